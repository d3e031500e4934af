#include "server/api/answer/prepare.h"

#include <algorithm>

#include "server/media/sha256.h"

namespace saccade::api {
namespace {

std::vector<MediaLayout> layouts_of(const std::vector<ProbedMedia>& media) {
  std::vector<MediaLayout> layouts;
  for (const ProbedMedia& one : media) layouts.push_back(one.layout);
  return layouts;
}

Result<int> room_for_answer(const Service& service, size_t prompt_tokens,
                            const GenerationOptions& asked, const char* prompt_field) {
  const std::optional<int>& max_tokens = asked.max_tokens;
  const auto length = static_cast<int64_t>(prompt_tokens);
  const int64_t limit = service.limits.max_model_len;
  const bool silent = max_tokens == 0;  // no room is needed for an answer
  // Words that clients know a prompt by that is too long.
  const std::string most = "this model's maximum context length is " + std::to_string(limit) +
                           " tokens, for prompt and answer together; the prompt has " +
                           std::to_string(length);
  if (silent ? length > limit : length >= limit) {
    return Status(StatusCode::kTooLong, most, prompt_field);
  }
  if (max_tokens && length + *max_tokens > limit && !asked.max_tokens_shrinks) {
    return Status(StatusCode::kTooLong,
                  most + " and " + asked.max_tokens_field + " is " + std::to_string(*max_tokens) +
                      ", together " + std::to_string(length + *max_tokens),
                  asked.max_tokens_field);
  }
  const int left = static_cast<int>(limit - length);
  return std::min(max_tokens.value_or(left), left);
}

// Keeps the last tokens, or the first ones, as vLLM does. A picture is never cut: a prompt that
// holds one has to fit.
Status truncate(const Service& service, const GenerationOptions& options, int default_max_tokens,
                bool has_media, std::vector<TokenId>& ids) {
  if (!options.truncate_prompt) return {};
  const int answer = std::max(options.max_tokens.value_or(default_max_tokens), 1);
  const int room = std::max(service.limits.max_model_len - answer, 1);
  const int wanted = *options.truncate_prompt;
  const size_t keep = static_cast<size_t>(wanted < 0 ? room : wanted);
  if (ids.size() <= keep) return {};
  if (has_media) {
    return invalid_argument("the prompt has " + std::to_string(ids.size()) +
                                " tokens and holds pictures, which are not cut",
                            "truncate_prompt_tokens");
  }
  const size_t first = options.truncate_right ? 0 : ids.size() - keep;
  ids = {ids.begin() + static_cast<long>(first), ids.begin() + static_cast<long>(first + keep)};
  return {};
}

// Names the encoder's output: of these pixels for this instruction.
ContentHash encoder_key(const ContentHash& media, const std::vector<TokenId>& instruction) {
  if (instruction.empty()) return media;
  return sha256(
      {as_bytes(media), std::string_view(reinterpret_cast<const char*>(instruction.data()),
                                         instruction.size() * sizeof(TokenId))});
}

MediaClient client_of(const Admission* admission) {
  return admission != nullptr ? admission->media_client() : MediaClient();
}

Status pay_for(const std::vector<ProbedMedia>& media, Admission* admission) {
  if (admission == nullptr) return {};
  double pixels = 0;
  for (const ProbedMedia& one : media) {
    pixels += one.video ? double(one.video->pixels())
                        : double(one.header.stored_width) * one.header.stored_height;
  }
  return admission->take(Account::kPixels, pixels);
}

}  // namespace

Result<Prompt> count_chat(Service& service, const Conversation& conversation,
                          const std::vector<ProbedMedia>& media) {
  const Stopwatch time;
  Result<Prompt> prompt = service.prompts.build(conversation, layouts_of(media));
  service.metrics.tokenize(time.seconds());
  return prompt;
}

Result<PreparedPrompt> prepare_chat(Service& service, const Conversation& conversation,
                                    const GenerationOptions& options, Admission* admission) {
  Result<std::vector<ProbedMedia>> media =
      service.media.probe(conversation.media(), client_of(admission));
  if (!media) return media.status();
  return prepare_chat(service, conversation, *std::move(media), options, admission);
}

Result<PreparedPrompt> prepare_chat(Service& service, const Conversation& conversation,
                                    std::vector<ProbedMedia> media,
                                    const GenerationOptions& options, Admission* admission) {
  Result<Prompt> prompt = count_chat(service, conversation, media);
  if (!prompt) return prompt.status();
  if (const Status status = truncate(service, options, 1, !media.empty(), prompt->ids);
      !status.ok()) {
    return status;
  }
  const Result<int> room = room_for_answer(service, prompt->ids.size(), options, "messages");
  if (!room) return room.status();

  if (const Status status = pay_for(media, admission); !status.ok()) return status;

  PreparedPrompt prepared;
  for (ProbedMedia& one : media) {
    Result<std::shared_ptr<const MediaItem>> item =
        service.media.decode(std::move(one), options.cache_salt, client_of(admission),
                             prepared.media_decode_seconds, prepared.media_preprocess_seconds);
    if (!item) return item.status();
    const ContentHash key = encoder_key((*item)->hash, prompt->instruction);
    prepared.media.push_back({*std::move(item), prompt->instruction, key});
  }
  prepared.ids = std::move(prompt->ids);
  prepared.spans = std::move(prompt->spans);
  prepared.image_tokens = prompt->image_tokens;
  prepared.max_tokens = *room;
  prepared.continues_text = conversation.continue_final_message;
  return prepared;
}

Result<PreparedPrompt> prepare_text(const Service& service, std::vector<TokenId> ids,
                                    const GenerationOptions& options, int default_max_tokens) {
  if (ids.empty()) return invalid_argument("the prompt has no tokens", "prompt");
  if (const Status status = truncate(service, options, default_max_tokens, false, ids);
      !status.ok()) {
    return status;
  }
  const Result<int> room = room_for_answer(service, ids.size(), options, "prompt");
  if (!room) return room.status();
  PreparedPrompt prepared;
  prepared.ids = std::move(ids);
  prepared.continues_text = true;
  prepared.max_tokens = options.max_tokens ? *room : std::min(*room, default_max_tokens);
  return prepared;
}

Result<Prompt> count_chat(Service& service, const Conversation& conversation,
                          const MediaClient& client) {
  const Result<std::vector<ProbedMedia>> media = service.media.probe(conversation.media(), client);
  if (!media) return media.status();
  return count_chat(service, conversation, *media);
}

}  // namespace saccade::api
