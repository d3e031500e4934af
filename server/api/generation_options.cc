#include "server/api/generation_options.h"

#include <limits>

namespace saccade::api {
namespace {

constexpr double kMaxInt = std::numeric_limits<int>::max();

struct FloatField {
  const char* name;
  float SamplingParams::*member;
  Fields::Range range;
};

constexpr FloatField kFloatFields[] = {
    {"temperature", &SamplingParams::temperature, {0, 2}},
    {"top_p", &SamplingParams::top_p, {0, 1}},
    {"min_p", &SamplingParams::min_p, {0, 1}},
    {"repetition_penalty", &SamplingParams::repetition_penalty, {0, 10, true}},
    {"presence_penalty", &SamplingParams::presence_penalty, {-2, 2}},
    {"frequency_penalty", &SamplingParams::frequency_penalty, {-2, 2}},
};

void read_stream_options(Fields& fields, GenerationOptions& options) {
  const Json* member = fields.ok() ? fields.find("stream_options") : nullptr;
  if (member == nullptr) return;
  if (!member->is_object()) {
    return fields.fail("stream_options", "stream_options must be an object");
  }
  if (!options.stream) {
    return fields.fail("stream_options", "stream_options needs stream: true");
  }
  Fields inner(*member, "stream_options");
  inner.read("include_usage", options.include_usage);
  if (!inner.ok()) fields.fail(inner.status().param(), inner.status().message());
}

}  // namespace

GenerationOptions read_generation_options(Fields& fields, const ModelLimits& limits) {
  GenerationOptions options;
  SamplingParams& sampling = options.sampling;
  sampling.temperature = limits.defaults.temperature;
  sampling.top_p = limits.defaults.top_p;
  sampling.top_k = limits.defaults.top_k;
  sampling.min_p = limits.defaults.min_p;
  sampling.repetition_penalty = limits.defaults.repetition_penalty;

  for (const FloatField& field : kFloatFields) {
    fields.read(field.name, sampling.*field.member, field.range);
  }
  fields.read("top_k", sampling.top_k, {-1, kMaxInt});
  if (sampling.top_k < 0) sampling.top_k = 0;  // -1: off, as vLLM has it
  if (sampling.top_p == 0) {                   // the smallest set there is: the best token alone
    sampling.top_p = 1;
    sampling.top_k = 1;
  }
  fields.read("max_tokens", options.max_tokens, {1, kMaxInt});
  fields.read("max_completion_tokens", options.max_tokens, {1, kMaxInt});  // the newer name wins
  fields.read("min_tokens", sampling.min_tokens, {0, kMaxInt});
  fields.read("ignore_eos", sampling.ignore_eos);
  fields.read("seed", options.seed);
  fields.read("n", options.n, {1, static_cast<double>(limits.fields.max_n)});
  fields.read_strings("stop", options.stop, limits.fields.max_stop_strings,
                      limits.fields.max_stop_bytes);
  fields.read_ids("stop_token_ids", sampling.stop_ids, limits.vocab_size, 1024);
  fields.read_biases("logit_bias", sampling.logit_bias, limits.vocab_size,
                     limits.fields.max_logit_bias);
  fields.read("stream", options.stream);
  fields.read("skip_special_tokens", options.skip_special_tokens);
  read_stream_options(fields, options);
  if (options.max_tokens && sampling.min_tokens > *options.max_tokens) {
    fields.fail("min_tokens", "min_tokens is " + std::to_string(sampling.min_tokens) +
                                  ", more than max_tokens " + std::to_string(*options.max_tokens));
  }
  return options;
}

}  // namespace saccade::api
