#pragma once

#include <memory>
#include <string>
#include <vector>

#include "server/prompt/tokenizer/json_node.h"

namespace saccade {

// Text on its way through the normalizers.
struct NormalizedText {
  std::string text;
  // Per byte of `text` whether a user wrote it (1) or not (0); empty when nobody asks. A byte made
  // from several counts as the user's if one of them was.
  std::vector<uint8_t> from_user;
  // Whether the first character still stands for the first byte of the tokenizer's input. The
  // Metaspace pre-tokenizer asks for this.
  bool at_start = true;
};

class Normalizer {
 public:
  virtual ~Normalizer() = default;
  virtual void apply(NormalizedText& text) const = 0;  // thread-safe
};

// Builds the normalizer of a tokenizer.json. Throws LoadError naming an unknown type.
std::unique_ptr<Normalizer> make_normalizer(const JsonNode& node, int depth = 0);

}  // namespace saccade
