#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "server/prompt/tokenizer/json_node.h"
#include "server/prompt/tokenizer/regex.h"

namespace saccade {

// A text and the words it is cut into. Words are ordered, do not overlap and are never empty; what
// lies between them is dropped.
struct SplitText {
  std::string text;
  std::vector<MatchSpan> words;
  bool at_start = true;  // whether byte 0 of `text` is the start of the tokenizer's input
};

class PreTokenizer {
 public:
  virtual ~PreTokenizer() = default;
  virtual void apply(SplitText& text) const = 0;  // thread-safe
};

struct PreTokenizerChain {
  std::unique_ptr<PreTokenizer> steps;  // null: nothing to do
  // The last step would only respell each byte in the GPT-2 alphabet. It is left to the model,
  // which then reads plain bytes.
  bool byte_level = false;
};

struct PreTokenizerOptions {
  // tokenizer_config.json's add_prefix_space, which a ByteLevel pre-tokenizer obeys when it is the
  // only one (transformers' PreTrainedTokenizerFast).
  std::optional<bool> add_prefix_space;
  bool leave_bytes = false;  // whether the model can take over a last respelling step
};

// Builds the pre-tokenizer of a tokenizer.json. Throws LoadError naming an unknown type.
PreTokenizerChain make_pre_tokenizer(const JsonNode& node, const PreTokenizerOptions& options);

}  // namespace saccade
