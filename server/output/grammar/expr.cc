#include "server/output/grammar/expr.h"

#include <algorithm>

namespace saccade::grammar {
namespace {

constexpr char32_t kLast = 0x10ffff;
constexpr CharRange kSurrogates = {0xd800, 0xdfff};

ExprPtr make(Expr expr) {
  for (const ExprPtr& part : expr.parts) expr.depth = std::max(expr.depth, part->depth + 1);
  if (expr.depth > kMaxExprDepth) throw GrammarError{"", "its parts are nested too deeply"};
  return std::make_shared<const Expr>(std::move(expr));
}

}  // namespace

const CharSet& json_unescaped() {
  static const CharSet set = {{' ', '!'}, {'#', '['}, {']', 0x10ffff}};
  return set;
}

CharSet normalized(CharSet set) {
  std::sort(set.begin(), set.end(),
            [](const CharRange& a, const CharRange& b) { return a.first < b.first; });
  CharSet joined;
  for (const CharRange& range : set) {
    if (!joined.empty() && range.first <= joined.back().last + 1) {
      joined.back().last = std::max(joined.back().last, range.last);
    } else {
      joined.push_back(range);
    }
  }
  CharSet result;
  for (const CharRange& range : joined) {
    if (range.first < kSurrogates.first) {
      result.push_back({range.first, std::min<char32_t>(range.last, kSurrogates.first - 1)});
    }
    if (range.last > kSurrogates.last) {
      result.push_back({std::max<char32_t>(range.first, kSurrogates.last + 1), range.last});
    }
  }
  return result;
}

CharSet complement(const CharSet& set) {
  CharSet result;
  char32_t next = 0;
  for (const CharRange& range : normalized(set)) {
    if (range.first > next) result.push_back({next, range.first - 1});
    next = range.last + 1;
  }
  if (next <= kLast) result.push_back({next, kLast});
  return normalized(std::move(result));
}

CharSet intersection(const CharSet& a, const CharSet& b) {
  CharSet outside = complement(a);
  const CharSet other = complement(b);
  outside.insert(outside.end(), other.begin(), other.end());
  return complement(outside);
}

ExprPtr literal(std::string text) {
  Expr expr;
  expr.text = std::move(text);
  return make(std::move(expr));
}

ExprPtr chars(CharSet set) {
  Expr expr;
  expr.kind = Expr::Kind::kChars;
  expr.chars = normalized(std::move(set));
  return make(std::move(expr));
}

ExprPtr sequence(std::vector<ExprPtr> parts) {
  Expr expr;
  expr.kind = Expr::Kind::kSequence;
  for (ExprPtr& part : parts) {  // flat, so that long lists are not deep
    if (part->kind == Expr::Kind::kSequence) {
      expr.parts.insert(expr.parts.end(), part->parts.begin(), part->parts.end());
    } else {
      expr.parts.push_back(std::move(part));
    }
  }
  return expr.parts.size() == 1 ? expr.parts[0] : make(std::move(expr));
}

ExprPtr choice(std::vector<ExprPtr> parts) {
  if (parts.size() == 1) return parts[0];
  Expr expr;
  expr.kind = Expr::Kind::kChoice;
  expr.parts = std::move(parts);
  return make(std::move(expr));
}

ExprPtr repeat(ExprPtr part, int min, int max) {
  if (max == 0) return literal("");
  if (min == 1 && max == 1) return part;
  Expr expr;
  expr.kind = Expr::Kind::kRepeat;
  expr.parts = {std::move(part)};
  expr.min = min;
  expr.max = max;
  return make(std::move(expr));
}

ExprPtr optional(ExprPtr part) { return repeat(std::move(part), 0, 1); }

ExprPtr rule(int id) {
  Expr expr;
  expr.kind = Expr::Kind::kRule;
  expr.rule = id;
  return make(std::move(expr));
}

int Grammar::add_rule() {
  rules_.push_back(nullptr);
  return static_cast<int>(rules_.size()) - 1;
}

void Grammar::define(int rule, ExprPtr body) {
  rules_[static_cast<size_t>(rule)] = std::move(body);
}

}  // namespace saccade::grammar
