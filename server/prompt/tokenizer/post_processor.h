#pragma once

#include <memory>
#include <vector>

#include "engine/core/types.h"
#include "server/prompt/tokenizer/json_node.h"

namespace saccade {

// Puts a text's ids between the special tokens of the model (a single sequence, never a pair).
class PostProcessor {
 public:
  // A piece of a template: ids to insert, or the text itself.
  struct Part {
    bool is_text = false;
    std::vector<TokenId> ids;
  };
  using Template = std::vector<Part>;

  PostProcessor() = default;
  // Throws LoadError naming an unknown type.
  explicit PostProcessor(const JsonNode& node);
  // `bos` and `eos` around the text where they are not empty.
  PostProcessor(std::vector<TokenId> bos, std::vector<TokenId> eos);

  std::vector<TokenId> apply(std::vector<TokenId> ids) const;
  // How many ids apply() adds to a text.
  size_t added_count() const;

 private:
  void read(const JsonNode& node, int depth);
  std::vector<Template> steps_;
};

}  // namespace saccade
