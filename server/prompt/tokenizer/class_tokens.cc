#include "server/prompt/tokenizer/class_tokens.h"

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

namespace saccade {
namespace {

struct ClassTokens {
  std::string_view name;
  // As kSpecialNames has them; "": the class has none.
  std::array<std::string_view, kSpecialNames.size()> defaults;
};

constexpr std::string_view kEnd = "<|endoftext|>";
constexpr std::array kClasses = {
    ClassTokens{"LlamaTokenizer", {"<s>", "</s>", "<unk>"}},
    ClassTokens{"CodeLlamaTokenizer", {"<s>", "</s>", "<unk>"}},
    ClassTokens{"GemmaTokenizer", {"<bos>", "<eos>", "<unk>", "", "<pad>"}},
    ClassTokens{"CohereTokenizer", {"<BOS_TOKEN>", "<|END_OF_TURN_TOKEN|>", "<UNK>"}},
    ClassTokens{"GPTNeoXTokenizer", {kEnd, kEnd, kEnd}},
    ClassTokens{"GPT2Tokenizer", {kEnd, kEnd, kEnd}},
    ClassTokens{"Qwen2Tokenizer", {"", kEnd, kEnd, "", kEnd}},
    ClassTokens{"BertTokenizer", {"", "", "[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]"}},
};

}  // namespace

void use_class_tokens(std::string_view name, TokenizerConfig& config) {
  const auto* type = std::find_if(kClasses.begin(), kClasses.end(),
                                  [&](const ClassTokens& known) { return known.name == name; });
  if (type == kClasses.end()) return;
  std::vector<AddedToken> tokens;
  for (size_t i = 0; i < kSpecialNames.size(); ++i) {
    const std::string_view content = type->defaults[i];
    std::string* slot = config.slot(kSpecialNames[i]);
    if (content.empty() || config.names[i] || (slot && !slot->empty())) continue;
    if (slot) *slot = content;
    if (config.is_named(content)) continue;
    AddedToken token;
    token.content = content;
    token.special = true;
    token.normalized = false;
    tokens.push_back(std::move(token));
  }
  config.named.insert(config.named.begin(), tokens.begin(), tokens.end());
}

}  // namespace saccade
