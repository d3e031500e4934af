#include "engine/core/request_check.h"

#include <algorithm>
#include <cstdint>
#include <string>

namespace saccade {
namespace {

Status check_tokens(const Request& request, const SchedulerConfig& config) {
  const auto valid = [&](TokenId id) { return id >= 0 && id < config.vocab_size; };
  if (request.prompt.empty()) return invalid_argument("the prompt is empty");
  if (!std::all_of(request.prompt.begin(), request.prompt.end(), valid)) {
    return invalid_argument("the prompt holds a token id outside the vocabulary");
  }
  return Status();
}

Status check_length(const Request& request, const SchedulerConfig& config) {
  const int64_t prompt = static_cast<int64_t>(request.prompt.size());
  const int64_t answer = request.sampling.max_tokens;
  const bool may_be_silent =
      request.pooling != Pooling::kNone || request.sampling.prompt_logprobs.has_value();
  if (answer < (may_be_silent ? 0 : 1)) {
    return invalid_argument("max_tokens must be at least 1", "max_tokens");
  }
  if (answer > 0 && request.pooling != Pooling::kNone) {
    return invalid_argument("a pooled request has no answer", "max_tokens");
  }
  if (request.sampling.prompt_logprobs_from < 1) {
    return invalid_argument("the first token of a prompt has no log-probability");
  }
  const std::string asked = std::to_string(prompt + answer) + " tokens (" + std::to_string(prompt) +
                            " in the prompt, " + std::to_string(answer) + " in the answer)";
  if (prompt + answer > config.max_model_len) {
    return Status(StatusCode::kTooLong, "this model's maximum context length is " +
                                            std::to_string(config.max_model_len) +
                                            " tokens, but you asked for " + asked);
  }
  // The last token of the answer is never computed.
  const int64_t room = static_cast<int64_t>(config.num_blocks) * config.block_size;
  if (prompt + std::max<int64_t>(answer, 1) - 1 > room) {
    return Status(StatusCode::kTooLong, "the KV cache holds " + std::to_string(room) +
                                            " tokens, but you asked for " + asked);
  }
  return Status();
}

Status check_media(const Request& request, const SchedulerConfig& config) {
  int64_t end = 0;  // of the previous span
  for (const MediaSpan& span : request.spans) {
    const int64_t last = int64_t{span.position} + span.length;
    if (span.length < 1 || span.offset < 0 || span.memory_rows < 0 || span.position < end ||
        last > static_cast<int64_t>(request.prompt.size())) {
      return invalid_argument("the prompt's media spans are malformed");
    }
    if (span.media < 0 || static_cast<size_t>(span.media) >= request.media.size()) {
      return invalid_argument("a media span refers to a picture the request does not have");
    }
    if (request.media[span.media].media == nullptr) {
      return invalid_argument("a media span refers to a picture without content");
    }
    const int64_t rows = span.looks() ? span.memory_rows : int64_t{span.offset} + span.length;
    if (rows > config.encoder_cache_tokens) {
      return invalid_argument("a picture needs " + std::to_string(rows) +
                              " visual tokens; the encoder cache holds " +
                              std::to_string(config.encoder_cache_tokens));
    }
    end = last;
  }
  return Status();
}

}  // namespace

Status check_request(const Request& request, const SchedulerConfig& config) {
  if (request.stream == nullptr) return Status(StatusCode::kInternal, "the request has no stream");
  for (const auto check : {check_tokens, check_length, check_media}) {
    if (Status status = check(request, config); !status.ok()) return status;
  }
  return Status();
}

}  // namespace saccade
