#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/core/types.h"
#include "server/prompt/tokenizer/tokenizer.h"

namespace saccade {

// Turns the tokens of one output stream into text as soon as that text is certain. The texts put
// together are decode() of all tokens, except that an unfinished UTF-8 sequence at the very end is
// dropped and never shows as U+FFFD. Each token costs its own length, whatever came before it. One
// thread at a time.
class StreamDetokenizer {
 public:
  // `tokenizer` must outlive this. With `prompt_tail` the text continues a prompt that ends in
  // these tokens: a first space, which decoders of the SentencePiece kind strip, then stays.
  StreamDetokenizer(const Tokenizer& tokenizer, bool skip_special_tokens,
                    std::vector<TokenId> prompt_tail = {});
  ~StreamDetokenizer();
  StreamDetokenizer(StreamDetokenizer&&) noexcept;
  StreamDetokenizer& operator=(StreamDetokenizer&&) noexcept;

  std::string push(TokenId token);
  std::string flush();  // at the end of the stream, once

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace saccade
