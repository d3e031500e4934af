#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

// Context-free grammars over Unicode text: what schemas and regular expressions become before they
// are compiled to a program.
namespace saccade::grammar {

// Code points first ... last, never surrogates.
struct CharRange {
  char32_t first;
  char32_t last;
};
using CharSet = std::vector<CharRange>;  // ascending and disjoint once normalized

// Sorted, overlaps joined, surrogates left out.
CharSet normalized(CharSet set);
CharSet complement(const CharSet& set);
CharSet intersection(const CharSet& a, const CharSet& b);
// What stands unescaped in a JSON string (RFC 8259, section 7).
const CharSet& json_unescaped();

struct Expr;
using ExprPtr = std::shared_ptr<const Expr>;

struct Expr {
  enum class Kind { kLiteral, kChars, kSequence, kChoice, kRepeat, kRule };
  Kind kind = Kind::kLiteral;
  std::string text;            // kLiteral: UTF-8; empty matches the empty text
  CharSet chars;               // kChars: one of them
  std::vector<ExprPtr> parts;  // kSequence, kChoice (none: matches nothing), kRepeat (one)
  int min = 0, max = 0;        // kRepeat; max kUnbounded
  int rule = -1;               // kRule
  int depth = 1;               // of expressions inside one another
};
inline constexpr int kUnbounded = -1;

// What walks an expression calls itself for every level; beyond these the functions below throw
// GrammarError.
inline constexpr int kMaxExprDepth = 1500;
// Of written patterns and grammars: groups inside one another, and what one quantifier repeats.
inline constexpr int kMaxGroupDepth = 100;
inline constexpr int kMaxRepeat = 10'000;

ExprPtr literal(std::string text);
ExprPtr chars(CharSet set);
ExprPtr sequence(std::vector<ExprPtr> parts);
ExprPtr choice(std::vector<ExprPtr> parts);
ExprPtr repeat(ExprPtr part, int min, int max);
ExprPtr optional(ExprPtr part);
ExprPtr rule(int id);

// Rules by number, which may refer to one another.
class Grammar {
 public:
  int add_rule();
  void define(int rule, ExprPtr body);
  void set_root(ExprPtr root) { root_ = std::move(root); }

  const std::vector<ExprPtr>& rules() const { return rules_; }
  const ExprPtr& root() const { return root_; }

 private:
  std::vector<ExprPtr> rules_;
  ExprPtr root_;
};

// What a schema or pattern asks for and cannot have. `path` is that of the keyword, from the
// schema's root ("properties.age.multipleOf"). Thrown below the compile functions only.
struct GrammarError {
  std::string path;
  std::string message;
};
[[noreturn]] inline void reject(const std::string& path, const std::string& message) {
  throw GrammarError{path, message};
}

}  // namespace saccade::grammar
