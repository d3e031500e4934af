#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/core/request.h"
#include "server/api/fields.h"

namespace saccade::api {

// Limits of interface.md that concern single fields of a request. Enforced where they are read.
struct FieldLimits {
  int max_n = 128;
  size_t max_stop_strings = 4;
  size_t max_stop_bytes = 1024;
  int max_top_logprobs = 20;
  size_t max_logit_bias = 1024;
  size_t max_messages = 4096;
  size_t max_tools = 128;
};

// What the model's generation_config.json brings: used where a request says nothing.
struct SamplingDefaults {
  float temperature = 1.0f;
  float top_p = 1.0f;
  int top_k = 0;
  float min_p = 0.0f;
  float repetition_penalty = 1.0f;
};

// The fields that chat and completions share.
struct GenerationOptions {
  SamplingParams sampling;        // max_tokens is set from `max_tokens` once the prompt is known
  std::optional<int> max_tokens;  // none: what the model's length leaves
  std::optional<int64_t> seed;
  int n = 1;
  std::vector<std::string> stop;
  bool stream = false;
  bool include_usage = false;
  bool skip_special_tokens = true;
  // Makes the constraint of one choice; empty: none. Set once the request is known to be valid.
  std::function<std::shared_ptr<TokenConstraint>()> constraint;
};

// What the parsers know of the model.
struct ModelLimits {
  int vocab_size = 0;
  int max_model_len = 0;
  FieldLimits fields;
  SamplingDefaults defaults;
};

// Reads the shared fields; mistakes are kept in `fields`.
GenerationOptions read_generation_options(Fields& fields, const ModelLimits& limits);

}  // namespace saccade::api
