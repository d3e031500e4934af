// Expressions: one function per kind of node.

#include "server/prompt/template/attributes.h"
#include "server/prompt/template/filters.h"
#include "server/prompt/template/interpreter.h"

namespace saccade::jinja {

Value Interpreter::evaluate(const Expr& expr) {
  budget_.charge();
  const DepthGuard guard(budget_);
  try {
    return evaluate_node(expr);
  } catch (TemplateError& error) {
    if (error.line == 0) error.line = expr.line;
    throw;
  }
}

Value Interpreter::evaluate_node(const Expr& expr) {
  switch (expr.kind) {
    case ExprKind::kConst:
      return static_cast<const ConstExpr&>(expr).value;
    case ExprKind::kName:
      return lookup(static_cast<const NameExpr&>(expr));
    case ExprKind::kAttribute: {
      const auto& node = static_cast<const AttributeExpr&>(expr);
      return get_attribute(*this, evaluate(*node.object), node.name, node.undefined);
    }
    case ExprKind::kItem:
      return evaluate_item(static_cast<const ItemExpr&>(expr));
    case ExprKind::kCall:
      return evaluate_call(static_cast<const CallExpr&>(expr), nullptr);
    case ExprKind::kFilter:
      return evaluate_filter(static_cast<const FilterExpr&>(expr), nullptr);
    case ExprKind::kTest:
      return evaluate_test(static_cast<const TestExpr&>(expr));
    case ExprKind::kBinary: {
      const auto& node = static_cast<const BinaryExpr&>(expr);
      const Value left = evaluate(*node.left);
      return binary(*this, node.op, left, evaluate(*node.right));
    }
    case ExprKind::kUnary:
      return evaluate_unary(static_cast<const UnaryExpr&>(expr));
    case ExprKind::kConcat:
      return evaluate_concat(static_cast<const ConcatExpr&>(expr));
    case ExprKind::kCompare:
      return evaluate_compare(static_cast<const CompareExpr&>(expr));
    case ExprKind::kLogic: {
      const auto& node = static_cast<const LogicExpr&>(expr);
      Value left = evaluate(*node.left);
      return truthy(left) == node.conjunction ? evaluate(*node.right) : left;
    }
    case ExprKind::kConditional:
      return evaluate_conditional(static_cast<const ConditionalExpr&>(expr));
    case ExprKind::kList:
    case ExprKind::kTuple:
      return evaluate_sequence(static_cast<const SequenceExpr&>(expr));
    case ExprKind::kDict:
      return evaluate_dict(static_cast<const DictExpr&>(expr));
    case ExprKind::kSlice:
    case ExprKind::kNamespaceTarget:
      break;
  }
  throw TemplateError("this expression is not valid here");
}

Value Interpreter::lookup(const NameExpr& name) {
  for (const Scope* scope = scope_; scope != nullptr; scope = scope->parent) {
    if (const Value* value = scope->find_here(name.id)) return *value;
  }
  const Value& global = globals_[static_cast<size_t>(name.id)];
  return global.is_undefined() && global.undefined_info() == nullptr ? name.undefined : global;
}

Value Interpreter::evaluate_item(const ItemExpr& expr) {
  const Value object = evaluate(*expr.object);
  if (expr.index->kind == ExprKind::kSlice) {
    return evaluate_slice(object, static_cast<const SliceExpr&>(*expr.index));
  }
  return get_item(*this, object, evaluate(*expr.index));
}

Value Interpreter::evaluate_slice(const Value& object, const SliceExpr& slice) {
  const auto bound = [this](const ExprPtr& expr) {
    return expr == nullptr ? Value::none() : evaluate(*expr);
  };
  const Value start = bound(slice.start);
  const Value stop = bound(slice.stop);
  return get_slice(*this, object, start, stop, bound(slice.step));
}

Arguments Interpreter::evaluate_arguments(const CallArguments& arguments) {
  Arguments out;
  out.positional.reserve(arguments.positional.size());
  for (const ExprPtr& expr : arguments.positional) out.positional.push_back(evaluate(*expr));
  for (const auto& [name, expr] : arguments.named) out.named.emplace_back(name, evaluate(*expr));
  if (arguments.unpacked_list != nullptr) {
    Cursor cursor(*this, evaluate(*arguments.unpacked_list));
    for (Value item; cursor.next(item);) out.positional.push_back(item);
  }
  if (arguments.unpacked_dict != nullptr) {
    const Value dict = evaluate(*arguments.unpacked_dict);
    if (!dict.is(Kind::kDict)) throw TemplateError("argument after ** must be a mapping");
    for (const auto& [key, value] : dict.dict().entries) {
      if (!key.is_string()) throw TemplateError("keywords must be strings");
      for (const auto& other : out.named) {
        if (other.first == key.bytes()) {
          throw TemplateError("got multiple values for keyword argument '" + other.first + "'");
        }
      }
      out.named.emplace_back(std::string(key.bytes()), value);
    }
  }
  return out;
}

Value Interpreter::call(const Value& callee, const Arguments& arguments) {
  budget_.charge();
  if (callee.is_undefined()) fail_undefined(callee);
  if (!callee.is(Kind::kCallable)) {
    throw TemplateError("'" + std::string(type_name(callee)) + "' object is not callable");
  }
  return callee.callable().call(*this, arguments);
}

// `caller`: the body of a call block, passed as the keyword argument of that name.
Value Interpreter::evaluate_call(const CallExpr& expr, const Value* caller) {
  const DepthGuard guard(budget_);
  if (expr.callee->kind == ExprKind::kAttribute) {
    // A method call needs no object for the bound method.
    const auto& node = static_cast<const AttributeExpr&>(*expr.callee);
    const Value object = evaluate(*node.object);
    if (const Method method = find_method(object, node.name)) {
      Arguments arguments = evaluate_arguments(expr.arguments);
      if (caller != nullptr) arguments.named.emplace_back("caller", *caller);
      return method(*this, object, arguments);
    }
    const Value callee = get_attribute(*this, object, node.name, node.undefined);
    Arguments arguments = evaluate_arguments(expr.arguments);
    if (caller != nullptr) arguments.named.emplace_back("caller", *caller);
    return call(callee, arguments);
  }
  const Value callee = evaluate(*expr.callee);
  Arguments arguments = evaluate_arguments(expr.arguments);
  if (caller != nullptr) arguments.named.emplace_back("caller", *caller);
  return call(callee, arguments);
}

Value Interpreter::evaluate_filter(const FilterExpr& expr, const Value* block_text) {
  const Value input = expr.input != nullptr   ? evaluate_filter_input(*expr.input, block_text)
                      : block_text != nullptr ? *block_text
                                              : Value();
  if (expr.function == nullptr) throw TemplateError("No filter named '" + expr.name + "'.");
  static const Arguments kNone;
  if (expr.arguments.empty()) return expr.function(*this, input, kNone);
  return expr.function(*this, input, evaluate_arguments(expr.arguments));
}

// In {% filter a | b %} the text of the block enters the innermost filter of the chain.
Value Interpreter::evaluate_filter_input(const Expr& expr, const Value* block_text) {
  if (block_text != nullptr && expr.kind == ExprKind::kFilter) {
    return evaluate_filter(static_cast<const FilterExpr&>(expr), block_text);
  }
  return evaluate(expr);
}

Value Interpreter::evaluate_test(const TestExpr& expr) {
  if (expr.function == nullptr) throw TemplateError("No test named '" + expr.name + "'.");
  const Value input = evaluate(*expr.input);
  static const Arguments kNone;
  if (expr.arguments.empty()) return Value::boolean(expr.function(*this, input, kNone));
  return Value::boolean(expr.function(*this, input, evaluate_arguments(expr.arguments)));
}

Value Interpreter::evaluate_unary(const UnaryExpr& expr) {
  const Value value = evaluate(*expr.operand);
  switch (expr.op) {
    case UnaryOp::kNot:
      return Value::boolean(!truthy(value));
    case UnaryOp::kNegate:
      return negate(value);
    case UnaryOp::kPositive:
      return positive(value);
  }
  return Value();
}

Value Interpreter::evaluate_concat(const ConcatExpr& expr) {
  MarkedText out;
  for (const ExprPtr& part : expr.parts) append_text(*this, out, evaluate(*part));
  budget_.charge_bytes(out.size());
  return Value::string(std::move(out));
}

Value Interpreter::evaluate_compare(const CompareExpr& expr) {
  Value left = evaluate(*expr.first);
  for (const auto& [op, operand] : expr.rest) {
    Value right = evaluate(*operand);
    if (!compare(*this, op, left, right)) return Value::boolean(false);
    left = std::move(right);
  }
  return Value::boolean(true);
}

Value Interpreter::evaluate_conditional(const ConditionalExpr& expr) {
  if (truthy(evaluate(*expr.test))) return evaluate(*expr.then);
  if (expr.otherwise != nullptr) return evaluate(*expr.otherwise);
  return Value::undefined(
      "the inline if-expression evaluated to false and no else section was defined.");
}

Value Interpreter::evaluate_sequence(const SequenceExpr& expr) {
  std::vector<Value> items;
  items.reserve(expr.items.size());
  for (const ExprPtr& item : expr.items) items.push_back(evaluate(*item));
  return expr.kind == ExprKind::kList ? Value::list(std::move(items))
                                      : Value::tuple(std::move(items));
}

Value Interpreter::evaluate_dict(const DictExpr& expr) {
  std::vector<Entry> entries;
  entries.reserve(expr.entries.size());
  for (const auto& [key, value] : expr.entries) {
    Value key_value = evaluate(*key);
    entries.emplace_back(std::move(key_value), evaluate(*value));
  }
  return Value::dict(std::move(entries));
}

}  // namespace saccade::jinja
