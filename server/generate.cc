#include <cstdio>

#include "server/api/answer/generation.h"
#include "server/api/service/folder_files.h"
#include "server/commands.h"
#include "server/logging.h"

namespace saccade {
namespace {

[[noreturn]] void fail(const Status& status) { throw std::runtime_error(status.message()); }

Conversation one_question(const GenerateOptions& options) {
  ChatMessage message;
  message.role = "user";
  message.plain_string = options.images.empty() && options.videos.empty();
  for (const auto& path : options.images) {
    message.parts.push_back({ContentPart::Kind::kImage, path.string(), path.string()});
  }
  for (const auto& path : options.videos) {
    message.parts.push_back({ContentPart::Kind::kVideo, path.string(), path.string()});
  }
  message.parts.push_back({ContentPart::Kind::kText, options.prompt, {}});
  Conversation conversation;
  conversation.messages.push_back(std::move(message));
  return conversation;
}

// Files of the command line; a part's `text` is its path.
std::vector<api::ProbedMedia> probe_files(const api::MediaStage& stage,
                                          const Conversation& conversation, bool alone) {
  std::vector<api::ProbedMedia> media;
  for (const ContentPart* part : conversation.media()) {
    std::string bytes = api::read_file(part->text);
    const bool video = part->kind == ContentPart::Kind::kVideo;
    Result<api::ProbedMedia> one =
        video ? stage.probe_video({std::move(bytes), {}}, *part)
              : stage.probe_picture(std::move(bytes), {part->detail, alone}, part->param);
    if (!one) throw std::runtime_error(part->text + ": " + one.status().message());
    media.push_back(*std::move(one));
  }
  return media;
}

}  // namespace

int run_generate(const ServeOptions& options, const GenerateOptions& generate) {
  set_up_log(options);
  const auto service = load_service(options);
  const Conversation conversation = one_question(generate);
  std::vector<api::ProbedMedia> media =
      probe_files(service->media, conversation, generate.images.size() == 1);
  api::GenerationOptions generation_options;
  generation_options.sampling.temperature = generate.temperature;
  if (generate.max_tokens > 0) generation_options.max_tokens = generate.max_tokens;
  Result<api::PreparedPrompt> prompt =
      api::prepare_chat(*service, conversation, std::move(media), generation_options, nullptr);
  if (!prompt) fail(prompt.status());
  std::vector<api::PreparedPrompt> prompts;
  prompts.push_back(*std::move(prompt));
  auto generation =
      api::Generation::start(*service, nullptr, std::move(prompts), generation_options);
  if (!generation) fail(generation.status());
  while (!(*generation)->done()) {
    const auto delta = (*generation)->next(TimePoint::max());
    if (!delta) fail(delta.status());
    if (!*delta) continue;
    std::fwrite((*delta)->text.data(), 1, (*delta)->text.size(), stdout);
    std::fflush(stdout);
  }
  std::fputc('\n', stdout);
  return 0;
}

int run_inspect(const std::filesystem::path& folder) {
  std::fputs(inspect_model(folder).c_str(), stdout);
  return 0;
}

}  // namespace saccade
