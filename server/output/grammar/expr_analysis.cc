#include "server/output/grammar/expr_analysis.h"

#include <algorithm>

namespace saccade::grammar {
namespace {

// Rules that `expr` may begin with.
void leading_rules(const Expr& expr, const Nullable& nullable, std::vector<int>& found) {
  switch (expr.kind) {
    case Expr::Kind::kRule:
      found.push_back(expr.rule);
      return;
    case Expr::Kind::kSequence:
      for (const ExprPtr& part : expr.parts) {
        leading_rules(*part, nullable, found);
        if (!nullable.of(*part)) return;
      }
      return;
    case Expr::Kind::kChoice:
    case Expr::Kind::kRepeat:
      for (const ExprPtr& part : expr.parts) leading_rules(*part, nullable, found);
      return;
    default:
      return;
  }
}

}  // namespace

void RuleProperty::solve(const std::vector<ExprPtr>& rules) {
  known_.assign(rules.size(), false);
  // In both directions by turns: whether the parts of a rule come before or behind it, one pass
  // does for a long chain.
  bool changed = true;
  for (bool backwards = true; changed; backwards = !backwards) {
    changed = false;
    for (size_t k = 0; k < rules.size(); ++k) {
      const size_t i = backwards ? rules.size() - 1 - k : k;
      if (known_[i] || rules[i] == nullptr || !of(*rules[i])) continue;
      known_[i] = changed = true;
    }
  }
}

bool RuleProperty::of(const Expr& expr) const {
  const auto part = [this](const ExprPtr& p) { return of(*p); };
  switch (expr.kind) {
    case Expr::Kind::kLiteral:
      return of_literal(expr);
    case Expr::Kind::kChars:
      return of_chars(expr);
    case Expr::Kind::kSequence:
      return std::all_of(expr.parts.begin(), expr.parts.end(), part);
    case Expr::Kind::kChoice:
      return std::any_of(expr.parts.begin(), expr.parts.end(), part);
    case Expr::Kind::kRepeat:
      return expr.min == 0 || of(*expr.parts[0]);
    case Expr::Kind::kRule:
      return of_rule(expr.rule);
  }
  return false;
}

// Depth-first search with its own stack: 0 new, 1 open, 2 closed.
bool has_left_recursion(const std::vector<ExprPtr>& rules, const Nullable& nullable) {
  std::vector<std::vector<int>> edges(rules.size());
  for (size_t i = 0; i < rules.size(); ++i) {
    if (rules[i] != nullptr) leading_rules(*rules[i], nullable, edges[i]);
  }
  std::vector<int> mark(rules.size(), 0);
  for (size_t first = 0; first < rules.size(); ++first) {
    if (mark[first] != 0) continue;
    std::vector<std::pair<size_t, size_t>> stack = {{first, 0}};
    mark[first] = 1;
    while (!stack.empty()) {
      auto& [node, edge] = stack.back();
      if (edge == edges[node].size()) {
        mark[node] = 2;
        stack.pop_back();
        continue;
      }
      const auto to = static_cast<size_t>(edges[node][edge++]);
      if (mark[to] == 1) return true;
      if (mark[to] == 2) continue;
      mark[to] = 1;
      stack.emplace_back(to, 0);
    }
  }
  return false;
}

}  // namespace saccade::grammar
