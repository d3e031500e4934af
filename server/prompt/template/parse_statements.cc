#include <algorithm>

#include "server/prompt/template/parser.h"
#include "server/prompt/template/parser_impl.h"

namespace saccade::jinja {

Parser::Nesting::Nesting(Parser& owner) : parser(owner) {
  if (parser.depth_ >= kMaxDepth) parser.fail("the template is nested too deeply");
  ++parser.depth_;
}

const Token& Parser::advance() {
  const Token& token = tokens_[position_];
  if (position_ + 1 < tokens_.size()) ++position_;
  return token;
}

bool Parser::skip_op(std::string_view op) {
  if (!current().is_op(op)) return false;
  advance();
  return true;
}

bool Parser::skip_name(std::string_view name) {
  if (!current().is_name(name)) return false;
  advance();
  return true;
}

void Parser::fail(const std::string& message) const {
  throw TemplateError(message, current().line);
}

void Parser::fail_unexpected() const {
  switch (current().type) {
    case TokenType::kEnd:
      fail("unexpected end of template");
    case TokenType::kVariableEnd:
      fail("unexpected end of print statement");
    case TokenType::kBlockEnd:
      fail("unexpected end of statement block");
    default:
      fail("unexpected '" + current().text + "'");
  }
}

void Parser::expect_op(std::string_view op) {
  if (!skip_op(op)) fail("expected token '" + std::string(op) + "', got '" + current().text + "'");
}

void Parser::expect_name(std::string_view name) {
  if (!skip_name(name)) {
    fail("expected token '" + std::string(name) + "', got '" + current().text + "'");
  }
}

std::string Parser::expect_identifier() {
  if (current().type != TokenType::kName) fail("expected a name, got '" + current().text + "'");
  return advance().text;
}

void Parser::expect_type(TokenType type) {
  if (current().type != type) fail_unexpected();
  advance();
}

int Parser::intern(const std::string& name) {
  const auto [entry, is_new] = ids_.emplace(name, static_cast<int>(template_.names.size()));
  if (is_new) template_.names.push_back(name);
  return entry->second;
}

void Parser::note_read(const std::string& name, int id) {
  if (!macros_.empty()) {
    MacroCode& macro = *macros_.back();
    macro.uses_caller = macro.uses_caller || name == "caller";
    macro.uses_kwargs = macro.uses_kwargs || name == "kwargs";
    macro.uses_varargs = macro.uses_varargs || name == "varargs";
  }
  if (std::find(bound_.begin(), bound_.end(), id) != bound_.end()) return;
  auto& names = template_.free_names;
  if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
}

void Parser::note_unknown(const char* what, const std::string& name) {
  if (conditionals_ > 0) return;
  unknown_.emplace_back(std::string("No ") + what + " named '" + name + "'.", current().line);
}

Template Parser::run() {
  template_.caller_id = intern("caller");
  template_.kwargs_id = intern("kwargs");
  template_.varargs_id = intern("varargs");
  template_.loop_id = intern("loop");
  template_.body = parse_body({});
  if (!unknown_.empty()) throw unknown_.front();
  return std::move(template_);
}

// Up to, not over, the block whose tag is one of `end_names`; its "{%" is consumed.
Body Parser::parse_body(std::initializer_list<std::string_view> end_names) {
  const Nesting nesting(*this);
  Body body;
  while (true) {
    const Token& token = current();
    switch (token.type) {
      case TokenType::kEnd:
        if (end_names.size() != 0) {
          fail("Unexpected end of template: '" + std::string(*(end_names.end() - 1)) +
               "' is missing");
        }
        return body;
      case TokenType::kData:
        body.push_back(std::make_unique<TextStmt>(token.line, token.text));
        advance();
        break;
      case TokenType::kVariableBegin: {
        advance();
        body.push_back(std::make_unique<PrintStmt>(token.line, parse_tuple({})));
        expect_type(TokenType::kVariableEnd);
        break;
      }
      case TokenType::kBlockBegin:
        advance();
        for (const std::string_view name : end_names) {
          if (current().is_name(name)) return body;
        }
        if (current().is_name("print")) {
          parse_print(body);
        } else {
          body.push_back(parse_statement());
        }
        expect_type(TokenType::kBlockEnd);
        break;
      default:
        fail_unexpected();
    }
  }
}

// The body behind a tag that opens a block.
Body Parser::parse_block_body(std::initializer_list<std::string_view> end_names) {
  skip_op(":");
  expect_type(TokenType::kBlockEnd);
  ++nested_bodies_;
  Body body = parse_body(end_names);
  --nested_bodies_;
  return body;
}

StmtPtr Parser::parse_statement() {
  if (current().type != TokenType::kName) fail("tag name expected");
  const std::string& name = current().text;
  if (name == "for") return parse_for();
  if (name == "if") return parse_if();
  if (name == "set") return parse_set();
  if (name == "macro") return parse_macro();
  if (name == "call") return parse_call_block();
  if (name == "filter") return parse_filter_block();
  if (name == "generation") return parse_generation();
  if (name == "block") return parse_block();
  if (name == "with") return parse_with();
  if (name == "break") return parse_jump(StmtKind::kBreak);
  if (name == "continue") return parse_jump(StmtKind::kContinue);
  if (name == "include" || name == "import" || name == "from" || name == "extends") {
    return parse_unavailable(name);
  }
  fail("Encountered unknown tag '" + name + "'.");
}

void Parser::parse_print(Body& out) {
  const int line = advance().line;
  bool first = true;
  while (current().type != TokenType::kBlockEnd) {
    if (!first) expect_op(",");
    first = false;
    out.push_back(std::make_unique<PrintStmt>(line, parse_expression()));
  }
}

ExprPtr Parser::parse_target(bool allow_namespace, std::string_view end_name) {
  // Targets are not reads: what parse_primary noted is taken back.
  const size_t reads = template_.free_names.size();
  TupleRules rules;
  rules.targets = true;
  rules.allow_namespace = allow_namespace;
  rules.end_name = end_name;
  ExprPtr target = parse_tuple(rules);
  check_target(*target);
  template_.free_names.resize(reads);
  return target;
}

void Parser::check_target(const Expr& target) const {
  switch (target.kind) {
    case ExprKind::kName:
    case ExprKind::kNamespaceTarget:
      return;
    case ExprKind::kTuple:
    case ExprKind::kList:
      for (const ExprPtr& item : static_cast<const SequenceExpr&>(target).items) {
        check_target(*item);
      }
      return;
    default:
      throw TemplateError("can't assign to this expression", target.line);
  }
}

void Parser::bind_target(const Expr& target) {
  if (target.kind == ExprKind::kName) {
    bound_.push_back(static_cast<const NameExpr&>(target).id);
  } else if (target.kind == ExprKind::kTuple || target.kind == ExprKind::kList) {
    for (const ExprPtr& item : static_cast<const SequenceExpr&>(target).items) bind_target(*item);
  }
}

StmtPtr Parser::parse_for() {
  const int outer_conditionals = std::exchange(conditionals_, 0);
  auto node = std::make_unique<ForStmt>(advance().line);
  node->target = parse_target(false, "in");
  expect_name("in");
  TupleRules rules;
  rules.conditional = false;
  rules.end_name = "recursive";
  node->iterable = parse_tuple(rules);
  {
    const Binding binding(*this);
    bind_target(*node->target);
    if (skip_name("if")) node->filter = parse_expression();
    node->recursive = skip_name("recursive");
    bound_.push_back(template_.loop_id);
    ++loops_;
    node->body = parse_block_body({"else", "endfor"});
    --loops_;
  }
  if (advance().text == "else") {
    node->otherwise = parse_block_body({"endfor"});
    advance();
  }
  conditionals_ = outer_conditionals;
  return node;
}

StmtPtr Parser::parse_if() {
  auto node = std::make_unique<IfStmt>(advance().line);
  ++conditionals_;
  TupleRules rules;
  rules.conditional = false;
  while (true) {
    ExprPtr test = parse_tuple(rules);
    node->branches.emplace_back(std::move(test), parse_block_body({"elif", "else", "endif"}));
    const std::string& tag = advance().text;
    if (tag == "elif") continue;
    if (tag == "else") {
      node->otherwise = parse_block_body({"endif"});
      advance();
    }
    break;
  }
  --conditionals_;
  return node;
}

StmtPtr Parser::parse_set() {
  const int line = advance().line;
  ExprPtr target = parse_target(true);
  if (skip_op("=")) {
    auto node = std::make_unique<SetStmt>(line);
    node->value = parse_tuple({});
    if (nested_bodies_ == 0) bind_target(*target);
    node->target = std::move(target);
    return node;
  }
  auto node = std::make_unique<SetBlockStmt>(line);
  node->target = std::move(target);
  node->filter = parse_filter(nullptr, false);
  node->body = parse_block_body({"endset"});
  advance();
  if (nested_bodies_ == 0) bind_target(*node->target);
  return node;
}

void Parser::parse_signature(MacroCode& code) {
  expect_op("(");
  while (!current().is_op(")")) {
    if (!code.parameters.empty()) expect_op(",");
    const std::string name = expect_identifier();
    for (const auto& other : code.parameters) {
      if (other.second == name) fail("duplicate argument '" + name + "'");
    }
    const int id = intern(name);
    bound_.push_back(id);
    if (skip_op("=")) {
      code.defaults.push_back(parse_expression());
    } else if (!code.defaults.empty()) {
      fail("non-default argument follows default argument");
    }
    code.parameters.emplace_back(id, name);
  }
  expect_op(")");
}

void Parser::parse_macro_body(MacroCode& code, std::string_view end_name) {
  const int outer_loops = std::exchange(loops_, 0);
  const int outer_conditionals = std::exchange(conditionals_, 0);
  bound_.insert(bound_.end(), {template_.caller_id, template_.kwargs_id, template_.varargs_id});
  macros_.push_back(&code);
  code.body = parse_block_body({end_name});
  macros_.pop_back();
  advance();
  loops_ = outer_loops;
  conditionals_ = outer_conditionals;
}

StmtPtr Parser::parse_macro() {
  auto node = std::make_unique<MacroStmt>(advance().line);
  node->code.name = expect_identifier();
  node->name_id = intern(node->code.name);
  {
    const Binding binding(*this);
    bound_.push_back(node->name_id);  // it may call itself
    parse_signature(node->code);
    parse_macro_body(node->code, "endmacro");
  }
  if (nested_bodies_ == 0) bound_.push_back(node->name_id);
  return node;
}

StmtPtr Parser::parse_call_block() {
  auto node = std::make_unique<CallBlockStmt>(advance().line);
  node->caller.name = "caller";
  const Binding binding(*this);
  if (current().is_op("(")) parse_signature(node->caller);
  ExprPtr call = parse_expression();
  if (call->kind != ExprKind::kCall) fail("expected call");
  node->call.reset(static_cast<CallExpr*>(call.release()));
  parse_macro_body(node->caller, "endcall");
  return node;
}

StmtPtr Parser::parse_filter_block() {
  auto node = std::make_unique<FilterBlockStmt>(advance().line);
  node->filter = parse_filter(nullptr, true);
  node->body = parse_block_body({"endfilter"});
  advance();
  return node;
}

// {% generation %} marks what the assistant wrote; here it is a scope and nothing more.
StmtPtr Parser::parse_generation() {
  auto node = std::make_unique<ScopeStmt>(advance().line);
  const int outer_loops = std::exchange(loops_, 0);
  node->body = parse_block_body({"endgeneration"});
  advance();
  loops_ = outer_loops;
  return node;
}

StmtPtr Parser::parse_block() {
  auto node = std::make_unique<ScopeStmt>(advance().line);
  const std::string name = expect_identifier();
  node->isolated = !skip_name("scoped");
  const int outer_loops = std::exchange(loops_, 0);
  node->body = parse_block_body({"endblock"});
  advance();
  skip_name(name);
  loops_ = outer_loops;
  return node;
}

StmtPtr Parser::parse_with() {
  auto node = std::make_unique<WithStmt>(advance().line);
  const Binding binding(*this);
  while (current().type != TokenType::kBlockEnd) {
    if (!node->bindings.empty()) expect_op(",");
    ExprPtr target = parse_target(false);
    expect_op("=");
    ExprPtr value = parse_expression();
    node->bindings.emplace_back(std::move(target), std::move(value));
  }
  for (const auto& entry : node->bindings) bind_target(*entry.first);
  node->body = parse_block_body({"endwith"});
  advance();
  return node;
}

StmtPtr Parser::parse_jump(StmtKind kind) {
  if (loops_ == 0) fail("'" + current().text + "' outside loop");
  return std::make_unique<JumpStmt>(kind, advance().line);
}

// Checked for syntax only as far as finding its end; reaching it is an error.
StmtPtr Parser::parse_unavailable(const std::string& name) {
  auto node = std::make_unique<UnavailableStmt>(current().line, name);
  advance();
  while (current().type != TokenType::kBlockEnd && current().type != TokenType::kEnd) advance();
  return node;
}

Template parse_template(std::string_view source) { return Parser(source).run(); }

}  // namespace saccade::jinja
