#include "server/api/request/generation_options.h"

namespace saccade::api {
namespace {

void read_stream_options(Fields& fields, GenerationOptions& options) {
  const Json* member = fields.ok() ? fields.find("stream_options") : nullptr;
  if (member == nullptr) return;
  if (!options.stream) {
    return fields.fail("stream_options", "stream_options needs stream: true");
  }
  Fields inner(*member, "stream_options");
  inner.read("include_usage", options.include_usage);
  inner.read("continuous_usage_stats", options.continuous_usage);
}

void read_sampling(Fields& fields, SamplingParams& sampling) {
  fields.read("temperature", sampling.temperature);
  fields.read("top_p", sampling.top_p);
  fields.read("min_p", sampling.min_p);
  fields.read("top_k", sampling.top_k);
  fields.read("repetition_penalty", sampling.repetition_penalty);
  fields.read("presence_penalty", sampling.presence_penalty);
  fields.read("frequency_penalty", sampling.frequency_penalty);
  if (sampling.top_k < 0) sampling.top_k = 0;  // -1: off, as vLLM has it
  if (sampling.top_p == 0) {                   // the smallest set there is: the best token alone
    sampling.top_p = 1;
    sampling.top_k = 1;
  }
  fields.read("min_tokens", sampling.min_tokens);
  fields.read("ignore_eos", sampling.ignore_eos);
  fields.read_ids("stop_token_ids", sampling.stop_ids);
  fields.read_biases("logit_bias", sampling.logit_bias);
  fields.read("prompt_logprobs", sampling.prompt_logprobs);
  fields.read("num_speculative_tokens", sampling.draft_tokens);
}

// Which tokens are never chosen.
void read_token_rules(Fields& fields, GenerationOptions& options) {
  const Json* allowed = fields.ok() ? fields.find("allowed_token_ids") : nullptr;
  if (allowed != nullptr && allowed->empty()) {
    fields.fail("allowed_token_ids", "allowed_token_ids must hold an id");
  }
  fields.read_ids("allowed_token_ids", options.allowed_ids);
  fields.read_strings("bad_words", options.bad_words);
  for (size_t i = 0; i < options.bad_words.size(); ++i) {
    std::string& word = options.bad_words[i];
    word.erase(0, word.find_first_not_of(" \t\r\n"));
    const std::string path = element_path("bad_words", i);
    if (word.empty()) return fields.fail(path, path + " holds no word");
  }
  if (!options.bad_words.empty()) options.constraint_field = "bad_words";
  if (!options.allowed_ids.empty()) options.constraint_field = "allowed_token_ids";
}

}  // namespace

GenerationOptions read_generation_options(Fields& fields) {
  GenerationOptions options;
  read_sampling(fields, options.sampling);
  fields.read("max_tokens", options.max_tokens);
  fields.read("max_completion_tokens", options.max_tokens);  // the newer name wins
  if (fields.find("max_completion_tokens") != nullptr) {
    options.max_tokens_field = "max_completion_tokens";
  }
  fields.read("seed", options.seed);
  fields.read("n", options.n);
  fields.read_strings("stop", options.stop);
  fields.read("include_stop_str_in_output", options.include_stop);
  fields.read("stream", options.stream);
  fields.read("skip_special_tokens", options.skip_special_tokens);
  fields.read("spaces_between_special_tokens", options.spaces_between_special_tokens);
  fields.read("truncate_prompt_tokens", options.truncate_prompt);
  std::string side;
  fields.read("truncation_side", side);
  options.truncate_right = side == "right";
  fields.read("return_token_ids", options.return_token_ids);
  fields.read("return_tokens_as_token_ids", options.tokens_as_ids);
  fields.read("timings", options.timings);
  fields.read("cache_salt", options.cache_salt);
  fields.read("service_tier", options.service_tier);
  read_stream_options(fields, options);
  read_token_rules(fields, options);
  const SamplingParams& sampling = options.sampling;
  const bool asked = fields.find("min_tokens") != nullptr;  // the model's own default is no mistake
  if (!asked) options.min_length = fields.limits().defaults.min_length;
  if (asked && options.max_tokens && sampling.min_tokens > *options.max_tokens) {
    fields.fail("min_tokens", "min_tokens is " + std::to_string(sampling.min_tokens) +
                                  ", more than max_tokens " + std::to_string(*options.max_tokens));
  }
  if (options.truncate_prompt == 0) {
    fields.fail("truncate_prompt_tokens", "truncate_prompt_tokens must be -1 or at least 1");
  }
  if (options.stream && sampling.prompt_logprobs) {
    fields.fail("prompt_logprobs", "prompt_logprobs are not given in a stream");
  }
  return options;
}

}  // namespace saccade::api
