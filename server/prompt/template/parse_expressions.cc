#include <algorithm>

#include "server/prompt/template/filters.h"
#include "server/prompt/template/parser_impl.h"

namespace saccade::jinja {

void Parser::cover(Expr& parent, const ExprPtr& child) {
  if (child == nullptr) return;
  parent.depth = std::max(parent.depth, child->depth + 1);
  if (parent.depth > kMaxDepth)
    throw TemplateError("an expression is nested too deeply", parent.line);
}

ExprPtr Parser::parse_expression() {
  const Nesting nesting(*this);
  const size_t unknown_before = unknown_.size();
  ExprPtr expr = parse_or();
  while (current().is_name("if")) {
    auto node = std::make_unique<ConditionalExpr>(advance().line);
    node->then = std::move(expr);
    node->test = parse_or();
    if (skip_name("else")) node->otherwise = parse_expression();
    cover(*node, node->then);
    cover(*node, node->test);
    cover(*node, node->otherwise);
    expr = std::move(node);
    // Within a conditional it is an error only when it is reached.
    unknown_.erase(unknown_.begin() + static_cast<int64_t>(unknown_before), unknown_.end());
  }
  return expr;
}

ExprPtr Parser::parse_or() {
  ExprPtr left = parse_and();
  while (current().is_name("or")) {
    const int line = advance().line;
    auto node = std::make_unique<LogicExpr>(line, false, std::move(left), parse_and());
    cover(*node, node->left);
    cover(*node, node->right);
    left = std::move(node);
  }
  return left;
}

ExprPtr Parser::parse_and() {
  ExprPtr left = parse_not();
  while (current().is_name("and")) {
    const int line = advance().line;
    auto node = std::make_unique<LogicExpr>(line, true, std::move(left), parse_not());
    cover(*node, node->left);
    cover(*node, node->right);
    left = std::move(node);
  }
  return left;
}

ExprPtr Parser::parse_not() {
  if (!current().is_name("not")) return parse_compare();
  const Nesting nesting(*this);
  const int line = advance().line;
  auto node = std::make_unique<UnaryExpr>(line, UnaryOp::kNot, parse_not());
  cover(*node, node->operand);
  return node;
}

namespace {

bool compare_operator(const Token& token, CompareOp& op) {
  if (token.type != TokenType::kOperator) return false;
  static constexpr std::string_view kNames[] = {"==", "!=", "<", "<=", ">", ">="};
  for (int i = 0; i < 6; ++i) {
    if (token.text == kNames[i]) {
      op = static_cast<CompareOp>(i);
      return true;
    }
  }
  return false;
}

}  // namespace

ExprPtr Parser::parse_compare() {
  const int line = current().line;
  ExprPtr first = parse_sum();
  std::unique_ptr<CompareExpr> node;
  while (true) {
    CompareOp op = CompareOp::kEq;
    if (compare_operator(current(), op)) {
      advance();
    } else if (skip_name("in")) {
      op = CompareOp::kIn;
    } else if (current().is_name("not") && ahead().is_name("in")) {
      advance();
      advance();
      op = CompareOp::kNotIn;
    } else {
      break;
    }
    if (node == nullptr) {
      node = std::make_unique<CompareExpr>(line, std::move(first));
      cover(*node, node->first);
    }
    node->rest.emplace_back(op, parse_sum());
    cover(*node, node->rest.back().second);
  }
  if (node == nullptr) return first;
  return node;
}

ExprPtr Parser::parse_sum() {
  ExprPtr left = parse_concat();
  while (current().is_op("+") || current().is_op("-")) {
    const Token& token = advance();
    const BinaryOp op = token.text == "+" ? BinaryOp::kAdd : BinaryOp::kSub;
    auto node = std::make_unique<BinaryExpr>(token.line, op, std::move(left), parse_concat());
    cover(*node, node->left);
    cover(*node, node->right);
    left = std::move(node);
  }
  return left;
}

ExprPtr Parser::parse_concat() {
  const int line = current().line;
  ExprPtr first = parse_product();
  if (!current().is_op("~")) return first;
  ExprList parts;
  parts.push_back(std::move(first));
  while (skip_op("~")) parts.push_back(parse_product());
  auto node = std::make_unique<ConcatExpr>(line, std::move(parts));
  for (const ExprPtr& part : node->parts) cover(*node, part);
  return node;
}

ExprPtr Parser::parse_product() {
  ExprPtr left = parse_power();
  while (current().is_op("*") || current().is_op("/") || current().is_op("//") ||
         current().is_op("%")) {
    const Token& token = advance();
    const BinaryOp op = token.text == "*"    ? BinaryOp::kMul
                        : token.text == "/"  ? BinaryOp::kDiv
                        : token.text == "//" ? BinaryOp::kFloorDiv
                                             : BinaryOp::kMod;
    auto node = std::make_unique<BinaryExpr>(token.line, op, std::move(left), parse_power());
    cover(*node, node->left);
    cover(*node, node->right);
    left = std::move(node);
  }
  return left;
}

ExprPtr Parser::parse_power() {
  ExprPtr left = parse_unary(true);
  while (current().is_op("**")) {
    const int line = advance().line;
    auto node =
        std::make_unique<BinaryExpr>(line, BinaryOp::kPow, std::move(left), parse_unary(true));
    cover(*node, node->left);
    cover(*node, node->right);
    left = std::move(node);
  }
  return left;
}

ExprPtr Parser::parse_unary(bool with_filter) {
  ExprPtr expr;
  if (current().is_op("-") || current().is_op("+")) {
    const Nesting nesting(*this);
    const Token& token = advance();
    const UnaryOp op = token.text == "-" ? UnaryOp::kNegate : UnaryOp::kPositive;
    auto node = std::make_unique<UnaryExpr>(token.line, op, parse_unary(false));
    cover(*node, node->operand);
    expr = std::move(node);
  } else {
    expr = parse_primary();
  }
  expr = parse_postfix(std::move(expr));
  return with_filter ? parse_filters_and_tests(std::move(expr)) : std::move(expr);
}

ExprPtr Parser::parse_name(bool allow_namespace) {
  const Token& token = advance();
  const std::string& name = token.text;
  if (name == "true" || name == "True" || name == "false" || name == "False") {
    const bool value = name[0] == 't' || name[0] == 'T';
    return std::make_unique<ConstExpr>(token.line, Value::boolean(value));
  }
  if (name == "none" || name == "None") {
    return std::make_unique<ConstExpr>(token.line, Value::none());
  }
  const int id = intern(name);
  auto node = std::make_unique<NameExpr>(token.line, id, name);
  if (allow_namespace && skip_op(".")) {
    note_read(name, id);
    const int line = token.line;
    return std::make_unique<NamespaceTarget>(line, std::move(node), expect_identifier());
  }
  return node;
}

ExprPtr Parser::parse_primary(bool allow_namespace) {
  const Token& token = current();
  switch (token.type) {
    case TokenType::kName: {
      ExprPtr node = parse_name(allow_namespace);
      if (node->kind == ExprKind::kName) {
        note_read(token.text, static_cast<const NameExpr&>(*node).id);
      }
      return node;
    }
    case TokenType::kString: {
      std::string text;
      while (current().type == TokenType::kString) text += advance().text;
      return std::make_unique<ConstExpr>(token.line, Value::string(text));
    }
    case TokenType::kInteger:
      advance();
      return std::make_unique<ConstExpr>(token.line, Value::integer(token.integer));
    case TokenType::kFloat:
      advance();
      return std::make_unique<ConstExpr>(token.line, Value::real(token.real));
    default:
      break;
  }
  if (skip_op("(")) {
    const Nesting nesting(*this);
    TupleRules rules;
    rules.parenthesized = true;
    ExprPtr node = parse_tuple(rules);
    expect_op(")");
    return node;
  }
  if (token.is_op("[")) return parse_list();
  if (token.is_op("{")) return parse_dict();
  fail_unexpected();
}

bool Parser::at_tuple_end(std::string_view end_name) const {
  const TokenType type = current().type;
  if (type == TokenType::kVariableEnd || type == TokenType::kBlockEnd || current().is_op(")")) {
    return true;
  }
  return !end_name.empty() && current().is_name(end_name);
}

ExprPtr Parser::parse_tuple(const TupleRules& rules) {
  const int line = current().line;
  ExprList items;
  bool is_tuple = false;
  while (true) {
    if (!items.empty()) expect_op(",");
    if (at_tuple_end(rules.end_name)) break;
    items.push_back(rules.targets       ? parse_primary(rules.allow_namespace)
                    : rules.conditional ? parse_expression()
                                        : parse_or());
    if (!current().is_op(",")) break;
    is_tuple = true;
  }
  if (!is_tuple) {
    if (!items.empty()) return std::move(items[0]);
    if (!rules.parenthesized) fail("Expected an expression, got '" + current().text + "'");
  }
  auto node = std::make_unique<SequenceExpr>(ExprKind::kTuple, line, std::move(items));
  for (const ExprPtr& item : node->items) cover(*node, item);
  return node;
}

ExprPtr Parser::parse_list() {
  const Nesting nesting(*this);
  const int line = advance().line;
  ExprList items;
  while (!current().is_op("]")) {
    if (!items.empty()) expect_op(",");
    if (current().is_op("]")) break;
    items.push_back(parse_expression());
  }
  expect_op("]");
  auto node = std::make_unique<SequenceExpr>(ExprKind::kList, line, std::move(items));
  for (const ExprPtr& item : node->items) cover(*node, item);
  return node;
}

ExprPtr Parser::parse_dict() {
  const Nesting nesting(*this);
  auto node = std::make_unique<DictExpr>(advance().line);
  while (!current().is_op("}")) {
    if (!node->entries.empty()) expect_op(",");
    if (current().is_op("}")) break;
    ExprPtr key = parse_expression();
    expect_op(":");
    ExprPtr value = parse_expression();
    cover(*node, key);
    cover(*node, value);
    node->entries.emplace_back(std::move(key), std::move(value));
  }
  expect_op("}");
  return node;
}

ExprPtr Parser::parse_postfix(ExprPtr expr) {
  while (true) {
    if (current().is_op(".") || current().is_op("[")) {
      expr = parse_subscript(std::move(expr));
    } else if (current().is_op("(")) {
      expr = parse_call(std::move(expr));
    } else {
      return expr;
    }
  }
}

ExprPtr Parser::parse_filters_and_tests(ExprPtr expr) {
  while (true) {
    if (current().is_op("|")) {
      expr = parse_filter(std::move(expr), false);
    } else if (current().is_name("is")) {
      expr = parse_test(std::move(expr));
    } else if (current().is_op("(")) {
      expr = parse_call(std::move(expr));
    } else {
      return expr;
    }
  }
}

ExprPtr Parser::parse_subscript(ExprPtr object) {
  const Nesting nesting(*this);
  const Token& token = advance();
  ExprPtr index;
  if (token.text == ".") {
    const Token& name = advance();
    if (name.type == TokenType::kName) {
      auto node = std::make_unique<AttributeExpr>(token.line, std::move(object), name.text);
      cover(*node, node->object);
      return node;
    }
    if (name.type != TokenType::kInteger) fail("expected name or number");
    index = std::make_unique<ConstExpr>(name.line, Value::integer(name.integer));
  } else {
    ExprList parts;
    while (!current().is_op("]")) {
      if (!parts.empty()) expect_op(",");
      parts.push_back(parse_slice_or_expression());
    }
    expect_op("]");
    if (parts.size() == 1) {
      index = std::move(parts[0]);
    } else {
      auto tuple = std::make_unique<SequenceExpr>(ExprKind::kTuple, token.line, std::move(parts));
      for (const ExprPtr& part : tuple->items) cover(*tuple, part);
      index = std::move(tuple);
    }
  }
  auto node = std::make_unique<ItemExpr>(token.line, std::move(object), std::move(index));
  cover(*node, node->object);
  cover(*node, node->index);
  return node;
}

ExprPtr Parser::parse_slice_or_expression() {
  auto slice = std::make_unique<SliceExpr>(current().line);
  const auto at_end = [this] { return current().is_op("]") || current().is_op(","); };
  if (!current().is_op(":")) {
    ExprPtr first = parse_expression();
    if (!current().is_op(":")) return first;
    slice->start = std::move(first);
  }
  expect_op(":");
  if (!at_end() && !current().is_op(":")) slice->stop = parse_expression();
  if (skip_op(":") && !at_end()) slice->step = parse_expression();
  cover(*slice, slice->start);
  cover(*slice, slice->stop);
  cover(*slice, slice->step);
  return slice;
}

CallArguments Parser::parse_arguments(Expr& owner) {
  const Nesting nesting(*this);
  CallArguments out;
  const auto ensure = [this](bool condition) {
    if (!condition) fail("invalid syntax for function call expression");
  };
  expect_op("(");
  bool comma = false;
  while (!current().is_op(")")) {
    if (comma) {
      expect_op(",");
      if (current().is_op(")")) break;
    }
    comma = true;
    if (skip_op("*")) {
      ensure(!out.unpacked_list && !out.unpacked_dict);
      out.unpacked_list = parse_expression();
      cover(owner, out.unpacked_list);
    } else if (skip_op("**")) {
      ensure(!out.unpacked_dict);
      out.unpacked_dict = parse_expression();
      cover(owner, out.unpacked_dict);
    } else if (current().type == TokenType::kName && ahead().is_op("=")) {
      ensure(!out.unpacked_dict);
      const std::string name = advance().text;
      advance();
      for (const auto& other : out.named) ensure(other.first != name);
      out.named.emplace_back(name, parse_expression());
      cover(owner, out.named.back().second);
    } else {
      ensure(!out.unpacked_list && !out.unpacked_dict && out.named.empty());
      out.positional.push_back(parse_expression());
      cover(owner, out.positional.back());
    }
  }
  expect_op(")");
  return out;
}

ExprPtr Parser::parse_call(ExprPtr callee) {
  auto node = std::make_unique<CallExpr>(current().line);
  node->callee = std::move(callee);
  cover(*node, node->callee);
  node->arguments = parse_arguments(*node);
  return node;
}

std::string Parser::parse_dotted_name() {
  std::string name = expect_identifier();
  while (skip_op(".")) name += "." + expect_identifier();
  return name;
}

ExprPtr Parser::parse_filter(ExprPtr input, bool inline_start) {
  while (inline_start || current().is_op("|")) {
    if (!inline_start) advance();
    inline_start = false;
    auto node = std::make_unique<FilterExpr>(current().line);
    node->name = parse_dotted_name();
    node->function = find_filter(node->name);
    if (node->function == nullptr) note_unknown("filter", node->name);
    node->input = std::move(input);
    cover(*node, node->input);
    if (current().is_op("(")) node->arguments = parse_arguments(*node);
    input = std::move(node);
  }
  return input;
}

ExprPtr Parser::parse_test(ExprPtr input) {
  auto node = std::make_unique<TestExpr>(advance().line);
  const bool negated = skip_name("not");
  node->name = parse_dotted_name();
  node->function = find_test(node->name);
  if (node->function == nullptr) note_unknown("test", node->name);
  node->input = std::move(input);
  cover(*node, node->input);
  const Token& next = current();
  const bool is_argument = next.type == TokenType::kName || next.type == TokenType::kString ||
                           next.type == TokenType::kInteger || next.type == TokenType::kFloat ||
                           next.is_op("[") || next.is_op("{");
  if (next.is_op("(")) {
    node->arguments = parse_arguments(*node);
  } else if (is_argument && !next.is_name("else") && !next.is_name("or") && !next.is_name("and")) {
    if (next.is_name("is")) fail("You cannot chain multiple tests with is");
    node->arguments.positional.push_back(parse_postfix(parse_primary()));
    cover(*node, node->arguments.positional.back());
  }
  if (!negated) return node;
  const int line = node->line;
  auto inverse = std::make_unique<UnaryExpr>(line, UnaryOp::kNot, std::move(node));
  cover(*inverse, inverse->operand);
  return inverse;
}

}  // namespace saccade::jinja
