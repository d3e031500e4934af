#pragma once

// One rendering: scopes, budget and output over an immutable syntax tree.

#include <ctime>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "server/prompt/template/ast.h"
#include "server/prompt/template/budget.h"

namespace saccade::jinja {

class LoopObject;

// Names bound in one block. A scope that a macro or a caller refers to lives until the rendering
// ends (the interpreter keeps it); every other one lives as long as its block.
struct Scope {
  explicit Scope(Scope* outer) : parent(outer) {}
  Scope* const parent;
  bool captured = false;
  std::vector<std::pair<int, Value>> names;

  void set(int id, Value value);
  const Value* find_here(int id) const;
};

// Walks any iterable value once; throws at construction when it is not iterable.
class Cursor {
 public:
  Cursor(Interpreter& interpreter, Value value);
  bool next(Value& out);

 private:
  Interpreter& interpreter_;
  Value value_;
  size_t position_ = 0;
};

class Interpreter {
 public:
  // `globals` by name id of the template; undefined where the caller gave none.
  Interpreter(const Template& source, std::vector<Value> globals, Budget budget,
              std::optional<std::time_t> now);
  ~Interpreter();
  Interpreter(const Interpreter&) = delete;
  Interpreter& operator=(const Interpreter&) = delete;

  MarkedText run();

  Budget& budget() { return budget_; }
  std::time_t now() const { return now_ ? *now_ : std::time(nullptr); }
  Value call(const Value& callee, const Arguments& arguments);
  Value make_namespace();
  // Its memory of loop.changed() may hold the loop itself; it is emptied at the end.
  void keep_loop(std::shared_ptr<LoopObject> loop) { kept_loops_.push_back(std::move(loop)); }

  Value evaluate(const Expr& expr);
  // Runs a macro or caller body in a new scope below `closure`.
  Value call_macro(const MacroCode& code, Scope* closure, const Arguments& arguments);
  // Runs the loop body over `iterable` and returns its output: loop(...) of a recursive loop.
  Value run_recursive_loop(const ForStmt& loop, const Value& iterable, int depth, Scope* closure);

 private:
  enum class Flow { kNormal, kBreak, kContinue };
  class ScopeGuard;
  class OutputGuard;

  Flow run_body(const Body& body);
  Flow run_statement(const Stmt& stmt);
  void write(std::string_view text, bool from_user);
  void print(const Value& value);
  void run_for(const ForStmt& loop, Value iterable, int depth);
  void run_iterations(const ForStmt& loop, const std::shared_ptr<LoopObject>& state);
  Flow run_if(const IfStmt& stmt);
  void run_set_block(const SetBlockStmt& stmt);
  void run_call_block(const CallBlockStmt& stmt);
  void run_with(const WithStmt& stmt);
  void run_scope(const ScopeStmt& stmt);
  void define_macro(const MacroStmt& stmt);
  MarkedText capture(const Body& body);
  void assign(const Expr& target, const Value& value);
  Scope* capture_scope();
  void drop_scope(std::unique_ptr<Scope> scope);

  Value evaluate_node(const Expr& expr);
  Value lookup(const NameExpr& name);
  Value evaluate_item(const ItemExpr& expr);
  Value evaluate_slice(const Value& object, const SliceExpr& slice);
  Value evaluate_call(const CallExpr& expr, const Value* caller);
  Value evaluate_filter(const FilterExpr& expr, const Value* block_text);
  Value evaluate_filter_input(const Expr& expr, const Value* block_text);
  Value evaluate_test(const TestExpr& expr);
  Value evaluate_unary(const UnaryExpr& expr);
  Value evaluate_concat(const ConcatExpr& expr);
  Value evaluate_compare(const CompareExpr& expr);
  Value evaluate_conditional(const ConditionalExpr& expr);
  Value evaluate_sequence(const SequenceExpr& expr);
  Value evaluate_dict(const DictExpr& expr);
  Arguments evaluate_arguments(const CallArguments& arguments);

  const Template& template_;
  std::vector<Value> globals_;
  Budget budget_;
  std::optional<std::time_t> now_;
  MarkedText* output_ = nullptr;
  Scope root_{nullptr};
  Scope* scope_ = &root_;
  // Kept to the end, then emptied: they may refer to each other in circles.
  std::vector<std::unique_ptr<Scope>> captured_scopes_;
  std::vector<std::shared_ptr<NamespaceObject>> namespaces_;
  std::vector<std::shared_ptr<LoopObject>> kept_loops_;
};

}  // namespace saccade::jinja
