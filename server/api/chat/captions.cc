#include "server/api/chat/captions.h"

#include <cstdio>

#include "server/api/answer/answer.h"
#include "server/api/answer/generation.h"
#include "server/api/answer/prepare.h"

namespace saccade::api {
namespace {

// A frame of one of the conversation's videos.
struct Told {
  ContentPart* video;
  double seconds;
};

// "What is here?" about one picture.
Conversation question_about(const std::string& prompt, const std::string& param) {
  ChatMessage message;
  message.role = "user";
  message.parts.push_back({ContentPart::Kind::kImage, {}, param});
  message.parts.push_back({ContentPart::Kind::kText, prompt, "caption_prompt"});
  Conversation conversation;
  conversation.messages.push_back(std::move(message));
  return conversation;
}

std::vector<ContentPart*> videos_of(Conversation& conversation) {
  std::vector<ContentPart*> videos;
  for (ChatMessage& message : conversation.messages) {
    for (ContentPart& part : message.parts) {
      if (part.kind == ContentPart::Kind::kVideo) videos.push_back(&part);
    }
  }
  return videos;
}

// On one line, as it stands behind its time.
std::string one_line(const std::string& text) {
  std::string line;
  for (const char c : text) {
    const bool space = c == ' ' || (c >= '\t' && c <= '\r');
    if (!space) {
      line += c;
    } else if (!line.empty() && line.back() != ' ') {
      line += ' ';
    }
  }
  if (line.ends_with(' ')) line.pop_back();
  return line;
}

Status prepare_frames(Call& call, const CaptionOptions& captions, const GenerationOptions& options,
                      ContentPart& video, std::vector<PreparedPrompt>& prompts,
                      std::vector<Told>& told) {
  MediaStage& stage = call.service.media;
  Result<std::vector<VideoFrame>> frames = stage.frames(video, call.admission->media_client());
  if (!frames) return frames.status();
  const Conversation question = question_about(captions.prompt, video.param);
  for (VideoFrame& frame : *frames) {
    auto picture =
        stage.probe_picture(std::move(frame.file), {ImageDetail::kAuto, true}, video.param);
    if (!picture) return picture.status();
    std::vector<ProbedMedia> media;
    media.push_back(*std::move(picture));
    auto prompt =
        prepare_chat(call.service, question, std::move(media), options, call.admission.get());
    if (!prompt) return prompt.status();
    prompts.push_back(*std::move(prompt));
    told.push_back({&video, frame.seconds});
  }
  return {};
}

}  // namespace

Status tell_videos(Call& call, ChatRequest& chat) {
  GenerationOptions options;  // the likeliest words
  options.sampling.temperature = 0;
  options.max_tokens = chat.captions->max_tokens;
  options.max_tokens_field = "caption_max_tokens";
  options.adapter = chat.options.adapter;
  options.cache_salt = chat.options.cache_salt;
  std::vector<PreparedPrompt> prompts;
  std::vector<Told> told;
  const std::vector<ContentPart*> videos = videos_of(chat.conversation);
  for (ContentPart* video : videos) {
    const Status status = prepare_frames(call, *chat.captions, options, *video, prompts, told);
    if (!status.ok()) return status.param().empty() ? status.with_param(video->param) : status;
  }
  if (prompts.empty()) return {};
  auto generation = Generation::start(call.service, call.admission, std::move(prompts), options);
  if (!generation) return generation.status();
  const auto captions = collect(**generation, call.client);
  if (!captions) return captions.status();
  for (ContentPart* video : videos) {
    *video = {ContentPart::Kind::kText, "The video, frame by frame:\n", video->param};
  }
  for (size_t i = 0; i < told.size(); ++i) {
    char time[32];
    std::snprintf(time, sizeof time, "%.1f s: ", told[i].seconds);
    told[i].video->text += time + one_line((*captions)[i].text) + "\n";
  }
  return {};
}

}  // namespace saccade::api
