#pragma once

#include <vector>

#include "server/output/grammar/expr.h"

namespace saccade::grammar {

// A property of expressions that is a fixed point over the rules, starting from false.
class RuleProperty {
 public:
  virtual ~RuleProperty() = default;
  bool of(const Expr& expr) const;
  bool of_rule(int rule) const { return known_[static_cast<size_t>(rule)]; }

 protected:
  void solve(const std::vector<ExprPtr>& rules);
  virtual bool of_chars(const Expr& expr) const = 0;
  virtual bool of_literal(const Expr& expr) const = 0;

 private:
  std::vector<bool> known_;
};

// Some finite text matches.
class Productive : public RuleProperty {
 public:
  explicit Productive(const std::vector<ExprPtr>& rules) { solve(rules); }

 protected:
  bool of_chars(const Expr& expr) const override { return !expr.chars.empty(); }
  bool of_literal(const Expr&) const override { return true; }
};

// The empty text matches.
class Nullable : public RuleProperty {
 public:
  explicit Nullable(const std::vector<ExprPtr>& rules) { solve(rules); }

 protected:
  bool of_chars(const Expr&) const override { return false; }
  bool of_literal(const Expr& expr) const override { return expr.text.empty(); }
};

// Whether some rule can come back to itself before a byte is taken.
bool has_left_recursion(const std::vector<ExprPtr>& rules, const Nullable& nullable);

}  // namespace saccade::grammar
