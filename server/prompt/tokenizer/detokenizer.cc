#include "server/prompt/tokenizer/detokenizer.h"

#include <utility>

#include "server/prompt/tokenizer/decoder.h"

namespace saccade {

struct StreamDetokenizer::Impl {
  const Tokenizer* tokenizer;
  bool skip_special_tokens;
  DecoderChain::Run run;

  void push(TokenId token, std::string& out) {
    if (skip_special_tokens && tokenizer->is_special(token)) return;
    const std::string piece = tokenizer->token_text(token);
    if (!piece.empty()) run.push(piece, out);
  }
};

StreamDetokenizer::StreamDetokenizer(const Tokenizer& tokenizer, bool skip_special_tokens,
                                     std::vector<TokenId> prompt_tail)
    : impl_(new Impl{&tokenizer, skip_special_tokens,
                     DecoderChain::Run(tokenizer.decoder(), DecodeMode::kStream)}) {
  std::string prompt;
  for (const TokenId token : prompt_tail) impl_->push(token, prompt);
}

StreamDetokenizer::~StreamDetokenizer() = default;
StreamDetokenizer::StreamDetokenizer(StreamDetokenizer&&) noexcept = default;
StreamDetokenizer& StreamDetokenizer::operator=(StreamDetokenizer&&) noexcept = default;

std::string StreamDetokenizer::push(TokenId token) {
  std::string out;
  impl_->push(token, out);
  return out;
}

std::string StreamDetokenizer::flush() {
  std::string out;
  impl_->run.finish(out);
  return out;
}

}  // namespace saccade
