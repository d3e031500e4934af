#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/core/request.h"
#include "server/api/fields/fields.h"

namespace saccade::api {

// Limits of interface.md that concern single fields of a request. Enforced by the tables of
// request_tables.cc.
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
  int min_tokens = 0;             // min_new_tokens
  int min_length = 0;             // of prompt and answer, where a request has no min_tokens
  std::vector<std::string> stop;  // stop_strings: end every answer, beside the request's own
  std::shared_ptr<const GenerationRules> rules;  // hold whatever a request says; may be null
};

// The fields that chat and completions share.
struct GenerationOptions {
  SamplingParams sampling;        // max_tokens is set from `max_tokens` once the prompt is known
  std::optional<int> max_tokens;  // none: what the model's length leaves
  const char* max_tokens_field = "max_tokens";  // the field it came from
  bool max_tokens_shrinks = false;              // where the model's length leaves less
  std::optional<int64_t> seed;
  Pooling pooling = Pooling::kNone;  // a vector for each prompt instead of an answer
  int n = 1;                         // choices that are generated for each prompt
  int min_length = 0;                // SamplingDefaults::min_length, where it counts
  int adapter = 0;                   // Request::adapter, by the name of the model
  std::string cache_salt;            // Request::cache_salt
  std::vector<std::string> stop;
  std::vector<TokenId> allowed_ids;    // no other is chosen; empty: all may be
  std::vector<std::string> bad_words;  // none begins with a space
  bool include_stop = false;  // the stop string or token that ended the answer is part of its text
  bool stream = false;
  bool include_usage = false;
  bool continuous_usage = false;  // in every chunk
  bool skip_special_tokens = true;
  bool spaces_between_special_tokens = true;
  std::optional<int> truncate_prompt;  // keep this many last tokens; -1: what fits
  bool truncate_right = false;         // the first tokens instead
  bool return_token_ids = false;
  bool tokens_as_ids = false;  // log-probabilities name tokens "token_id:5"
  bool timings = false;
  std::vector<TokenId> shown_tokens;  // special, and yet part of the text: markers of calls
  // Makes the constraint of one choice; empty: none. Set once the request is known to be valid.
  std::function<std::shared_ptr<TokenConstraint>()> constraint;
  // Path of the field that the constraint, or else what forbids tokens, came from.
  std::string constraint_field;
  std::string service_tier;  // echoed; empty: not asked for
};

// What the parsers know of the model.
struct ModelLimits {
  int vocab_size = 0;
  int max_model_len = 0;
  FieldLimits fields;
  SamplingDefaults defaults;
  bool allow_chat_template = false;  // of a request
};

// Reads the fields of kGenerationFields; mistakes are kept in `fields`, whose tables hold them.
GenerationOptions read_generation_options(Fields& fields);

}  // namespace saccade::api
