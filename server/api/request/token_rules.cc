#include "server/api/request/token_rules.h"

namespace saccade::api {

std::shared_ptr<const TokenRules> token_rules(const Tokenizer& tokenizer,
                                              const GenerationOptions& options, int vocab_size) {
  if (options.allowed_ids.empty() && options.bad_words.empty()) return nullptr;
  auto rules = std::make_shared<TokenRules>();
  if (!options.allowed_ids.empty()) rules->allowed.resize((vocab_size + 31) / 32);
  for (const TokenId id : options.allowed_ids) rules->allowed[id / 32] |= 1u << (id % 32);
  EncodeOptions bare;
  bare.add_special_tokens = false;
  for (const std::string& word : options.bad_words) {
    const std::vector<TokenId> plain = tokenizer.encode(word, bare);
    const std::vector<TokenId> spaced = tokenizer.encode(" " + word, bare);
    if (!plain.empty()) rules->bad_words.push_back(plain);
    if (!spaced.empty() && spaced != plain) rules->bad_words.push_back(spaced);
  }
  return rules;
}

}  // namespace saccade::api
