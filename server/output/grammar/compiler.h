#pragma once

#include <cstddef>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/core/request.h"
#include "engine/core/status.h"
#include "server/output/grammar/credit.h"
#include "server/output/grammar/mask_budget.h"
#include "server/prompt/tokenizer/tokenizer.h"

namespace saccade {

namespace grammar {
struct Program;
class TokenTrie;
}  // namespace grammar

// Follows one answer through a grammar. One thread at a time. Throws ConstraintError when the
// credit is spent.
class GrammarMatcher : public TokenConstraint {
 public:
  // Moves past text that was not sampled under the mask. False, and nothing changed, when it does
  // not fit.
  virtual bool accept_text(std::string_view text) = 0;
  // Whether it would.
  virtual bool fits(std::string_view text) = 0;
  // The text so far is a whole one; more may follow.
  virtual bool complete() const = 0;
};

// A grammar ready for one vocabulary. Thread-safe.
class CompiledGrammar {
 public:
  virtual ~CompiledGrammar() = default;
  // At the beginning of the text. May outlive this. The answers of one request share `credit`.
  virtual std::unique_ptr<GrammarMatcher> start(std::shared_ptr<GrammarCredit> credit) const = 0;
};

// What a text is to match.
struct GrammarSpec {
  enum class Kind {
    kJsonObject,  // any JSON object; no text
    kJsonSchema,  // a JSON Schema as JSON text
    kRegex,       // ECMA-262
    kChoice,      // a JSON array of strings
    kGrammar,     // EBNF, the rule `root` first
    kToolCalls,   // a description as grammar/tool_calls.h has it; its tools name their own paths
  };
  // The model may reason first: any text between `start` and `end`. `open`: it has begun.
  struct Reasoning {
    std::string start, end;
    bool open = false;
  };
  Kind kind = Kind::kJsonObject;
  std::string text;
  std::string param;  // path of the request's field, for errors
  std::optional<Reasoning> reasoning = std::nullopt;
};

struct GrammarLimits {
  size_t max_source_bytes = size_t{64} * 1024;   // of a spec's text
  size_t cache_entries = 128;                    // compiled grammars
  size_t mask_bytes = size_t{16} * 1024 * 1024;  // of masks remembered for each
};

// Compiles grammars on the caller's thread and remembers them. It makes the first mask of each, the
// others are made when they are first needed. Thread-safe.
class GrammarCompiler {
 public:
  // `vocab_size`: rows of the model's head. `end_ids` may follow a complete text, special tokens
  // nowhere.
  GrammarCompiler(std::shared_ptr<const Tokenizer> tokenizer, int vocab_size,
                  std::vector<TokenId> end_ids, GrammarLimits limits = {});
  ~GrammarCompiler();

  // kInvalidArgument with the path of the keyword: malformed, unsupported, too large, or too much
  // work.
  Result<std::shared_ptr<const CompiledGrammar>> compile(const GrammarSpec& spec);

 private:
  using Entry = std::pair<std::string, std::shared_ptr<const CompiledGrammar>>;
  std::shared_ptr<const grammar::TokenTrie> trie();
  std::shared_ptr<const CompiledGrammar> begin(grammar::Program program);
  std::shared_ptr<const CompiledGrammar> find(const std::string& key);
  void remember(std::string key, std::shared_ptr<const CompiledGrammar> grammar);

  const std::shared_ptr<const Tokenizer> tokenizer_;
  const int vocab_size_;
  const std::vector<TokenId> end_ids_;
  const GrammarLimits limits_;
  const std::shared_ptr<MaskBudget> budget_ = std::make_shared<MaskBudget>();

  std::once_flag trie_made_;
  std::shared_ptr<const grammar::TokenTrie> trie_;  // made when first used: it sorts all tokens

  std::mutex mutex_;
  std::list<Entry> recent_;  // the last used first
  std::map<std::string, std::list<Entry>::iterator> by_key_;
};

}  // namespace saccade
