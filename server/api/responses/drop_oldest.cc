#include "server/api/responses/drop_oldest.h"

#include <algorithm>

#include "server/api/answer/answer_plan.h"

namespace saccade::api {
namespace {

// For each message the part of the conversation that it goes with, oldest first; kKept: never.
constexpr int kKept = -1;
struct Parts {
  std::vector<int> of_message;
  int count = 0;
};

Parts parts_of(const std::vector<ChatMessage>& messages) {
  const auto is = [&](int i, const char* role) {
    return messages[static_cast<size_t>(i)].role == role;
  };
  const auto count = static_cast<int>(messages.size());
  int last_user = count - 1;
  while (last_user >= 0 && !is(last_user, "user")) --last_user;  // -1: there is none
  Parts parts;
  for (int i = 0; i < count; ++i) {
    const bool begins = is(i, i <= last_user ? "user" : "assistant");
    if (begins || i == 0) ++parts.count;
    parts.of_message.push_back(is(i, "system") || i == last_user ? kKept : parts.count - 1);
  }
  const int last = parts.of_message.empty() ? kKept : parts.of_message.back();
  std::replace(parts.of_message.begin(), parts.of_message.end(), last, kKept);
  return parts;
}

class Dropper {
 public:
  Dropper(Service& service, const ToolOptions& tools, const Conversation& conversation,
          const std::vector<ProbedMedia>& media)
      : service_(service),
        tools_(tools),
        conversation_(conversation),
        parts_(parts_of(conversation.messages)),
        media_(media) {}

  int parts() const { return parts_.count; }

  Conversation without(int dropped, std::vector<MediaLayout>* layouts = nullptr) const {
    Conversation rest = conversation_;
    rest.messages.clear();
    size_t medium = 0;
    for (size_t i = 0; i < conversation_.messages.size(); ++i) {
      const ChatMessage& message = conversation_.messages[i];
      const int part = parts_.of_message[i];
      const bool kept = part == kKept || part >= dropped;
      for (const ContentPart& content : message.parts) {
        if (content.kind == ContentPart::Kind::kText) continue;
        if (kept && layouts != nullptr) layouts->push_back(media_[medium].layout);
        ++medium;
      }
      if (kept) rest.messages.push_back(message);
    }
    return rest;
  }

  Result<size_t> tokens_without(int dropped) const {
    std::vector<MediaLayout> layouts;
    Conversation rest = without(dropped, &layouts);
    show_tools(service_, tools_, rest);
    const Result<Prompt> prompt = service_.prompts.build(rest, layouts);
    if (!prompt) return prompt.status();
    return prompt->ids.size();
  }

 private:
  Service& service_;
  const ToolOptions& tools_;
  const Conversation& conversation_;
  const Parts parts_;
  const std::vector<ProbedMedia>& media_;
};

}  // namespace

Status drop_oldest(Call& call, const ToolOptions& tools, const GenerationOptions& options,
                   Conversation& conversation) {
  Service& service = call.service;
  const auto media = service.media.probe(conversation.media(), call.admission->media_client());
  if (!media) return media.status();
  const Dropper dropper(service, tools, conversation, *media);
  const int answer = std::max(options.max_tokens.value_or(1), 1);
  const auto room = static_cast<size_t>(std::max(service.limits.max_model_len - answer, 0));
  int few = 0, enough = dropper.parts();  // the least that fits lies between
  for (int dropped = 0; few < enough; dropped = (few + enough) / 2) {
    const auto tokens = dropper.tokens_without(dropped);
    if (!tokens) return tokens.status();
    if (*tokens <= room) {
      enough = dropped;
    } else {
      few = dropped + 1;
    }
  }
  if (enough > 0) conversation = dropper.without(enough);
  return {};
}

}  // namespace saccade::api
