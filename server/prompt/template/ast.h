#pragma once

// The syntax tree. Immutable once parsed; shared by concurrent renderings.

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "server/prompt/template/operators.h"
#include "server/prompt/template/value.h"

namespace saccade::jinja {

using Filter = Value (*)(Interpreter&, const Value& input, const Arguments&);
using Test = bool (*)(Interpreter&, const Value& input, const Arguments&);

enum class ExprKind : uint8_t {
  kConst,
  kName,
  kAttribute,
  kItem,
  kSlice,
  kCall,
  kFilter,
  kTest,
  kBinary,
  kUnary,
  kConcat,
  kCompare,
  kLogic,
  kConditional,
  kList,
  kTuple,
  kDict,
  kNamespaceTarget
};

struct Expr {
  Expr(ExprKind expr_kind, int line_number) : kind(expr_kind), line(line_number) {}
  virtual ~Expr() = default;
  const ExprKind kind;
  const int line;
  int depth = 1;  // levels of the tree below and including this node
};
using ExprPtr = std::unique_ptr<Expr>;
using ExprList = std::vector<ExprPtr>;

struct ConstExpr : Expr {
  ConstExpr(int line, Value constant) : Expr(ExprKind::kConst, line), value(std::move(constant)) {}
  Value value;
};

struct NameExpr : Expr {
  NameExpr(int line, int name_id, const std::string& name)
      : Expr(ExprKind::kName, line),
        id(name_id),
        undefined(Value::undefined("'" + name + "' is undefined")) {}
  int id;  // index into Template::names
  Value undefined;
};

struct AttributeExpr : Expr {
  AttributeExpr(int line, ExprPtr object_expr, std::string attribute)
      : Expr(ExprKind::kAttribute, line),
        object(std::move(object_expr)),
        name(std::move(attribute)),
        key(Value::string(name)),
        undefined(Value::undefined("there is no attribute '" + name + "'")) {}
  ExprPtr object;
  std::string name;
  Value key;
  Value undefined;
};

struct ItemExpr : Expr {
  ItemExpr(int line, ExprPtr object_expr, ExprPtr index_expr)
      : Expr(ExprKind::kItem, line), object(std::move(object_expr)), index(std::move(index_expr)) {}
  ExprPtr object, index;
};

struct SliceExpr : Expr {
  explicit SliceExpr(int line) : Expr(ExprKind::kSlice, line) {}
  ExprPtr start, stop, step;  // null: not given
};

struct CallArguments {
  ExprList positional;
  std::vector<std::pair<std::string, ExprPtr>> named;
  ExprPtr unpacked_list;  // *args
  ExprPtr unpacked_dict;  // **kwargs
  bool empty() const {
    return positional.empty() && named.empty() && !unpacked_list && !unpacked_dict;
  }
};

struct CallExpr : Expr {
  explicit CallExpr(int line) : Expr(ExprKind::kCall, line) {}
  ExprPtr callee;
  CallArguments arguments;
};

struct FilterExpr : Expr {
  explicit FilterExpr(int line) : Expr(ExprKind::kFilter, line) {}
  ExprPtr input;  // null inside {% filter %} and {% set x | filter %}: the block's text
  std::string name;
  Filter function = nullptr;  // null: unknown, an error when it is reached
  CallArguments arguments;
};

struct TestExpr : Expr {
  explicit TestExpr(int line) : Expr(ExprKind::kTest, line) {}
  ExprPtr input;
  std::string name;
  Test function = nullptr;
  CallArguments arguments;
};

struct BinaryExpr : Expr {
  BinaryExpr(int line, BinaryOp operation, ExprPtr a, ExprPtr b)
      : Expr(ExprKind::kBinary, line), op(operation), left(std::move(a)), right(std::move(b)) {}
  BinaryOp op;
  ExprPtr left, right;
};

enum class UnaryOp : uint8_t { kNot, kNegate, kPositive };

struct UnaryExpr : Expr {
  UnaryExpr(int line, UnaryOp operation, ExprPtr operand_expr)
      : Expr(ExprKind::kUnary, line), op(operation), operand(std::move(operand_expr)) {}
  UnaryOp op;
  ExprPtr operand;
};

struct ConcatExpr : Expr {
  ConcatExpr(int line, ExprList list) : Expr(ExprKind::kConcat, line), parts(std::move(list)) {}
  ExprList parts;
};

struct CompareExpr : Expr {
  CompareExpr(int line, ExprPtr expr) : Expr(ExprKind::kCompare, line), first(std::move(expr)) {}
  ExprPtr first;
  std::vector<std::pair<CompareOp, ExprPtr>> rest;
};

struct LogicExpr : Expr {
  LogicExpr(int line, bool is_and, ExprPtr a, ExprPtr b)
      : Expr(ExprKind::kLogic, line),
        conjunction(is_and),
        left(std::move(a)),
        right(std::move(b)) {}
  bool conjunction;
  ExprPtr left, right;
};

struct ConditionalExpr : Expr {
  explicit ConditionalExpr(int line) : Expr(ExprKind::kConditional, line) {}
  ExprPtr test, then, otherwise;  // otherwise may be null
};

struct SequenceExpr : Expr {  // kList or kTuple; a tuple is also an assignment target
  SequenceExpr(ExprKind kind, int line, ExprList list) : Expr(kind, line), items(std::move(list)) {}
  ExprList items;
};

struct DictExpr : Expr {
  explicit DictExpr(int line) : Expr(ExprKind::kDict, line) {}
  std::vector<std::pair<ExprPtr, ExprPtr>> entries;
};

struct NamespaceTarget : Expr {  // {% set object.attribute = ... %}
  NamespaceTarget(int line, ExprPtr name, std::string attr)
      : Expr(ExprKind::kNamespaceTarget, line),
        object(std::move(name)),
        attribute(std::move(attr)) {}
  ExprPtr object;
  std::string attribute;
};

enum class StmtKind : uint8_t {
  kText,
  kPrint,
  kFor,
  kIf,
  kSet,
  kSetBlock,
  kMacro,
  kCallBlock,
  kFilterBlock,
  kScope,
  kWith,
  kBreak,
  kContinue,
  kUnavailable
};

struct Stmt {
  Stmt(StmtKind stmt_kind, int line_number) : kind(stmt_kind), line(line_number) {}
  virtual ~Stmt() = default;
  const StmtKind kind;
  const int line;
};
using StmtPtr = std::unique_ptr<Stmt>;
using Body = std::vector<StmtPtr>;

struct TextStmt : Stmt {
  TextStmt(int line, std::string data) : Stmt(StmtKind::kText, line), text(std::move(data)) {}
  std::string text;
};

struct PrintStmt : Stmt {
  PrintStmt(int line, ExprPtr value) : Stmt(StmtKind::kPrint, line), expr(std::move(value)) {}
  ExprPtr expr;
};

struct ForStmt : Stmt {
  explicit ForStmt(int line) : Stmt(StmtKind::kFor, line) {}
  ExprPtr target, iterable, filter;  // filter may be null
  bool recursive = false;
  Body body, otherwise;
};

struct IfStmt : Stmt {
  explicit IfStmt(int line) : Stmt(StmtKind::kIf, line) {}
  std::vector<std::pair<ExprPtr, Body>> branches;
  Body otherwise;
};

struct SetStmt : Stmt {
  explicit SetStmt(int line) : Stmt(StmtKind::kSet, line) {}
  ExprPtr target, value;
};

struct SetBlockStmt : Stmt {
  explicit SetBlockStmt(int line) : Stmt(StmtKind::kSetBlock, line) {}
  ExprPtr target, filter;  // filter may be null
  Body body;
};

// Parameters and body of a macro or of a call block.
struct MacroCode {
  std::string name;
  std::vector<std::pair<int, std::string>> parameters;  // name id, name
  ExprList defaults;  // of the last parameters; may name the earlier ones
  Body body;
  bool uses_caller = false, uses_kwargs = false, uses_varargs = false;
};

struct MacroStmt : Stmt {
  explicit MacroStmt(int line) : Stmt(StmtKind::kMacro, line) {}
  int name_id = 0;
  MacroCode code;
};

struct CallBlockStmt : Stmt {
  explicit CallBlockStmt(int line) : Stmt(StmtKind::kCallBlock, line) {}
  MacroCode caller;
  std::unique_ptr<CallExpr> call;
};

struct FilterBlockStmt : Stmt {
  explicit FilterBlockStmt(int line) : Stmt(StmtKind::kFilterBlock, line) {}
  ExprPtr filter;
  Body body;
};

struct ScopeStmt : Stmt {  // {% generation %}, {% block %}: a scope of its own, nothing else
  explicit ScopeStmt(int line) : Stmt(StmtKind::kScope, line) {}
  bool isolated = false;  // {% block %}: sees the outermost names only
  Body body;
};

struct WithStmt : Stmt {
  explicit WithStmt(int line) : Stmt(StmtKind::kWith, line) {}
  std::vector<std::pair<ExprPtr, ExprPtr>> bindings;
  Body body;
};

struct JumpStmt : Stmt {
  using Stmt::Stmt;
};

struct UnavailableStmt : Stmt {  // include, import, extends: there is nothing to load from
  UnavailableStmt(int line, std::string tag)
      : Stmt(StmtKind::kUnavailable, line), name(std::move(tag)) {}
  std::string name;
};

struct Template {
  std::vector<std::string> names;       // id -> name
  std::vector<std::string> free_names;  // names read where nothing in the template binds them
  int caller_id = -1, kwargs_id = -1, varargs_id = -1, loop_id = -1;
  Body body;
};

}  // namespace saccade::jinja
