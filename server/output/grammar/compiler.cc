#include "server/output/grammar/compiler.h"

#include <algorithm>
#include <unordered_map>

#include "server/output/grammar/automaton.h"
#include "server/output/grammar/source.h"
#include "server/output/grammar/token_trie.h"

namespace saccade {
namespace {

using grammar::Automaton;
using grammar::Program;
using grammar::TokenTrie;

using Mask = std::vector<uint32_t>;  // [ceil(vocab / 32)]

// Masks by Automaton::mask_key, shared by all answers to one grammar.
class MaskCache {
 public:
  explicit MaskCache(size_t max_bytes) : max_bytes_(max_bytes) {}

  std::shared_ptr<const Mask> find(const std::string& key) const {
    std::lock_guard lock(mutex_);
    const auto known = masks_.find(key);
    return known == masks_.end() ? nullptr : known->second;
  }

  void remember(const std::string& key, std::shared_ptr<const Mask> mask) {
    std::lock_guard lock(mutex_);
    const size_t bytes = mask->size() * sizeof(uint32_t) + key.size();
    if (bytes_ + bytes > max_bytes_) {
      masks_.clear();
      bytes_ = 0;
    }
    if (masks_.emplace(key, std::move(mask)).second) bytes_ += bytes;
  }

 private:
  const size_t max_bytes_;
  mutable std::mutex mutex_;
  size_t bytes_ = 0;
  std::unordered_map<std::string, std::shared_ptr<const Mask>> masks_;
};

// What the answers to one grammar share.
struct Shared {
  const Automaton beginning;
  const std::shared_ptr<const TokenTrie> trie;
  const std::vector<TokenId> end_ids;
  const std::shared_ptr<MaskBudget> budget;  // of all grammars
  MaskCache masks;

  Shared(Automaton at_start, std::shared_ptr<const TokenTrie> tokens, std::vector<TokenId> ends,
         std::shared_ptr<MaskBudget> shared_budget, size_t mask_bytes)
      : beginning(std::move(at_start)),
        trie(std::move(tokens)),
        end_ids(std::move(ends)),
        budget(std::move(shared_budget)),
        masks(mask_bytes) {}
};

class AutomatonMatcher : public GrammarMatcher {
 public:
  AutomatonMatcher(std::shared_ptr<Shared> shared, const std::shared_ptr<GrammarCredit>& credit)
      : shared_(std::move(shared)),
        credit_(credit),
        automaton_(shared_->beginning, credit),
        state_(automaton_.start()) {}

  void fill_mask(uint32_t* mask, int vocab_size) override {
    const size_t words = (static_cast<size_t>(vocab_size) + 31) / 32;
    std::fill(mask, mask + words, 0u);
    credit_->earn();
    const int64_t spent = credit_->spent();
    if (!ended_) {
      const std::shared_ptr<const Mask> allowed = allowed_tokens();
      std::copy_n(allowed->begin(), std::min(words, allowed->size()), mask);
    }
    if (ended_ || complete()) {
      for (const TokenId id : shared_->end_ids) {
        if (id >= 0 && id < vocab_size) mask[id / 32] |= 1u << (id % 32);
      }
    }
    shared_->budget->spend(*member_, credit_->spent() - spent);
    if (std::all_of(mask, mask + words, [](uint32_t word) { return word == 0; })) {
      throw ConstraintError("no token of this model continues the answer's grammar");
    }
  }

  bool accept(TokenId token) override {
    const auto& ends = shared_->end_ids;
    if (std::find(ends.begin(), ends.end(), token) != ends.end()) {
      ended_ = ended_ || complete();  // after that, with ignore_eos, only more of them
      return ended_;
    }
    if (ended_ || token < 0 || token >= shared_->trie->vocab_size()) return false;
    const std::string& bytes = shared_->trie->bytes(token);
    return !bytes.empty() && accept_text(bytes);
  }

  bool accept_text(std::string_view text) override {
    const int state = state_after(text);
    if (state == Automaton::kDead) return false;
    state_ = automaton_.compacted(state);
    return true;
  }

  bool sits_out() override { return shared_->budget->sits_out(member_); }

  bool fits(std::string_view text) override { return state_after(text) != Automaton::kDead; }

  bool complete() const override { return automaton_.accepting(state_); }

 private:
  int state_after(std::string_view text) {
    int state = ended_ ? Automaton::kDead : state_;
    for (size_t i = 0; i < text.size() && state != Automaton::kDead; ++i) {
      state = automaton_.step(state, static_cast<uint8_t>(text[i]));
    }
    return state;
  }

  std::shared_ptr<const Mask> allowed_tokens() {
    const std::string key = automaton_.mask_key(state_, shared_->trie->longest());
    std::shared_ptr<const Mask> mask = shared_->masks.find(key);
    if (mask == nullptr) {
      mask = std::make_shared<const Mask>(shared_->trie->allowed(automaton_, state_));
      shared_->masks.remember(key, mask);
    }
    return mask;
  }

  const std::shared_ptr<Shared> shared_;
  const std::shared_ptr<GrammarCredit> credit_;
  const std::shared_ptr<MaskBudget::Member> member_ = std::make_shared<MaskBudget::Member>();
  Automaton automaton_;
  int state_;
  bool ended_ = false;
};

// Off the engine's thread there is more time.
constexpr int64_t kFirstMaskPlaces = 4 * GrammarCredit::kMost;

std::string cache_key(const GrammarSpec& spec) {
  std::string key = std::to_string(static_cast<int>(spec.kind));
  if (spec.reasoning) {
    key += (spec.reasoning->open ? "+" : "-") + spec.reasoning->start + "," + spec.reasoning->end;
  }
  return key + "\n" + spec.text;
}

class SharedGrammar : public CompiledGrammar {
 public:
  explicit SharedGrammar(std::shared_ptr<Shared> shared) : shared_(std::move(shared)) {}
  std::unique_ptr<GrammarMatcher> start(std::shared_ptr<GrammarCredit> credit) const override {
    return std::make_unique<AutomatonMatcher>(shared_, credit);
  }

 private:
  const std::shared_ptr<Shared> shared_;
};

}  // namespace

GrammarCompiler::GrammarCompiler(std::shared_ptr<const Tokenizer> tokenizer, int vocab_size,
                                 std::vector<TokenId> end_ids, GrammarLimits limits)
    : tokenizer_(std::move(tokenizer)),
      vocab_size_(vocab_size),
      end_ids_(std::move(end_ids)),
      limits_(limits) {}

GrammarCompiler::~GrammarCompiler() = default;

std::shared_ptr<const TokenTrie> GrammarCompiler::trie() {
  std::call_once(trie_made_,
                 [this] { trie_ = std::make_shared<const TokenTrie>(*tokenizer_, vocab_size_); });
  return trie_;
}

std::shared_ptr<const CompiledGrammar> GrammarCompiler::find(const std::string& key) {
  std::lock_guard lock(mutex_);
  const auto known = by_key_.find(key);
  if (known == by_key_.end()) return nullptr;
  recent_.splice(recent_.begin(), recent_, known->second);
  return known->second->second;
}

void GrammarCompiler::remember(std::string key, std::shared_ptr<const CompiledGrammar> grammar) {
  std::lock_guard lock(mutex_);
  if (by_key_.contains(key)) return;
  recent_.emplace_front(key, std::move(grammar));
  by_key_.emplace(std::move(key), recent_.begin());
  if (recent_.size() <= limits_.cache_entries) return;
  by_key_.erase(recent_.back().first);
  recent_.pop_back();
}

// With the first state and its mask, which every answer needs.
std::shared_ptr<const CompiledGrammar> GrammarCompiler::begin(Program program) {
  const auto credit = std::make_shared<GrammarCredit>(kFirstMaskPlaces);
  Automaton automaton(std::make_shared<const Program>(std::move(program)), credit);
  auto compiled = std::make_shared<SharedGrammar>(std::make_shared<Shared>(
      std::move(automaton), trie(), end_ids_, budget_, limits_.mask_bytes));
  std::vector<uint32_t> first((static_cast<size_t>(vocab_size_) + 31) / 32);
  compiled->start(credit)->fill_mask(first.data(), vocab_size_);
  return compiled;
}

Result<std::shared_ptr<const CompiledGrammar>> GrammarCompiler::compile(const GrammarSpec& spec) {
  if (spec.text.size() > limits_.max_source_bytes) {
    return invalid_argument(
        spec.param + " is larger than " + std::to_string(limits_.max_source_bytes) + " bytes",
        spec.param);
  }
  if (end_ids_.empty()) {
    return invalid_argument(spec.param + ": this model has no token that ends an answer",
                            spec.param);
  }
  const std::string key = cache_key(spec);
  if (auto known = find(key)) return known;
  Result<Program> program = grammar::program_of(spec);
  if (!program) return program.status();
  try {
    auto compiled = begin(*std::move(program));
    remember(key, compiled);
    return compiled;
  } catch (const ConstraintError& error) {
    return invalid_argument(spec.param + ": " + error.what(), spec.param);
  }
}

}  // namespace saccade
