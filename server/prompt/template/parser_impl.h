#pragma once

// The recursive-descent parser; expressions and statements are in one file each.

#include <algorithm>
#include <initializer_list>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "server/prompt/template/ast.h"
#include "server/prompt/template/lexer.h"

namespace saccade::jinja {

class Parser {
 public:
  explicit Parser(std::string_view source) : tokens_(tokenize(source)) {}
  Template run();

 private:
  // Bounds both the parser's own recursion and, later, the interpreter's.
  static constexpr int kMaxDepth = 200;
  struct Nesting {
    explicit Nesting(Parser& parser);
    ~Nesting() { --parser.depth_; }
    Parser& parser;
  };
  // Names that loops, macros and `with` bind while their body is parsed.
  struct Binding {
    explicit Binding(Parser& owner) : parser(owner), mark(owner.bound_.size()) {}
    ~Binding() { parser.bound_.resize(mark); }
    Parser& parser;
    size_t mark;
  };

  // Tokens.
  const Token& current() const { return tokens_[position_]; }
  const Token& ahead() const { return tokens_[std::min(position_ + 1, tokens_.size() - 1)]; }
  const Token& advance();
  bool skip_op(std::string_view op);
  bool skip_name(std::string_view name);
  void expect_op(std::string_view op);
  void expect_name(std::string_view name);
  std::string expect_identifier();
  void expect_type(TokenType type);
  [[noreturn]] void fail(const std::string& message) const;
  [[noreturn]] void fail_unexpected() const;

  // Statements.
  Body parse_body(std::initializer_list<std::string_view> end_names);
  Body parse_block_body(std::initializer_list<std::string_view> end_names);
  StmtPtr parse_statement();
  StmtPtr parse_for();
  StmtPtr parse_if();
  StmtPtr parse_set();
  StmtPtr parse_macro();
  StmtPtr parse_call_block();
  StmtPtr parse_filter_block();
  StmtPtr parse_generation();
  StmtPtr parse_block();
  StmtPtr parse_with();
  void parse_print(Body& out);
  StmtPtr parse_jump(StmtKind kind);
  StmtPtr parse_unavailable(const std::string& name);
  void parse_signature(MacroCode& code);
  void parse_macro_body(MacroCode& code, std::string_view end_name);
  ExprPtr parse_target(bool allow_namespace, std::string_view end_name = {});
  void check_target(const Expr& target) const;
  void bind_target(const Expr& target);

  // Expressions, from the loosest to the tightest operator.
  ExprPtr parse_expression();
  ExprPtr parse_or();
  ExprPtr parse_and();
  ExprPtr parse_not();
  ExprPtr parse_compare();
  ExprPtr parse_sum();
  ExprPtr parse_concat();
  ExprPtr parse_product();
  ExprPtr parse_power();
  ExprPtr parse_unary(bool with_filter);
  ExprPtr parse_primary(bool allow_namespace = false);
  ExprPtr parse_postfix(ExprPtr expr);
  ExprPtr parse_filters_and_tests(ExprPtr expr);
  ExprPtr parse_subscript(ExprPtr expr);
  ExprPtr parse_slice_or_expression();
  ExprPtr parse_call(ExprPtr callee);
  ExprPtr parse_filter(ExprPtr input, bool inline_start);
  ExprPtr parse_test(ExprPtr input);
  ExprPtr parse_list();
  ExprPtr parse_dict();
  ExprPtr parse_name(bool allow_namespace);
  std::string parse_dotted_name();

  struct TupleRules {
    bool targets = false;            // items are primaries
    bool allow_namespace = false;    // ... also name.attribute
    bool conditional = true;         // items may be `a if b else c`
    bool parenthesized = false;      // () is the empty tuple
    std::string_view end_name = {};  // a name that ends the tuple ("in", "recursive")
  };
  ExprPtr parse_tuple(const TupleRules& rules);
  bool at_tuple_end(std::string_view end_name) const;
  CallArguments parse_arguments(Expr& owner);

  int intern(const std::string& name);
  void note_read(const std::string& name, int id);
  // Remembers an unknown filter or test: an error of the template unless it stands in a
  // conditional.
  void note_unknown(const char* what, const std::string& name);
  // Records that `child` hangs below `parent`, which bounds the depth of the tree.
  void cover(Expr& parent, const ExprPtr& child);

  std::vector<Token> tokens_;
  size_t position_ = 0;
  Template template_;
  std::unordered_map<std::string, int> ids_;
  std::vector<int> bound_;
  std::vector<MacroCode*> macros_;  // the macros around the current token, innermost last
  std::vector<TemplateError> unknown_;
  int depth_ = 0;
  int loops_ = 0;          // loops a break could leave
  int conditionals_ = 0;   // {% if %} around the current token, within the innermost scope
  int nested_bodies_ = 0;  // 0: a `set` is certain to happen
};

}  // namespace saccade::jinja
