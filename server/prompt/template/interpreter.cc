#include "server/prompt/template/interpreter.h"

#include <utility>

#include "server/prompt/template/loop.h"
#include "server/prompt/template/unicode.h"

namespace saccade::jinja {

void Scope::set(int id, Value value) {
  for (auto& [name, present] : names) {
    if (name == id) {
      present = std::move(value);
      return;
    }
  }
  names.emplace_back(id, std::move(value));
}

const Value* Scope::find_here(int id) const {
  for (const auto& [name, value] : names) {
    if (name == id) return &value;
  }
  return nullptr;
}

Cursor::Cursor(Interpreter& interpreter, Value value)
    : interpreter_(interpreter), value_(std::move(value)) {
  switch (value_.kind()) {
    case Kind::kUndefined:
      truthy(value_);  // throws for a poisoned one
      return;
    case Kind::kString:
    case Kind::kList:
    case Kind::kTuple:
    case Kind::kDict:
    case Kind::kRange:
    case Kind::kView:
    case Kind::kIterator:
      return;
    default:
      throw TemplateError("'" + std::string(type_name(value_)) + "' object is not iterable");
  }
}

bool Cursor::next(Value& out) {
  switch (value_.kind()) {
    case Kind::kString: {
      const MarkedText& text = value_.text();
      if (position_ >= text.size()) return false;
      const size_t begin = position_;
      next_code_point(text.view(), position_);
      out = Value::string(text.substr(begin, position_));
      break;
    }
    case Kind::kDict:
      if (position_ >= value_.dict().entries.size()) return false;
      out = value_.dict().entries[position_++].first;
      break;
    case Kind::kRange:
      if (static_cast<int64_t>(position_) >= value_.range().length) return false;
      out = Value::integer(value_.range().at(static_cast<int64_t>(position_++)));
      break;
    case Kind::kIterator: {
      const DepthGuard guard(interpreter_.budget());
      if (!value_.as_iterator().next(out)) return false;
      break;
    }
    case Kind::kUndefined:
      return false;
    default:
      if (position_ >= value_.items().size()) return false;
      out = value_.items()[position_++];
  }
  interpreter_.budget().charge();
  return true;
}

// Opens a scope below the current one (or `parent`) and closes it at the end of the block.
class Interpreter::ScopeGuard {
 public:
  ScopeGuard(Interpreter& interpreter, Scope* parent)
      : interpreter_(interpreter),
        outer_(interpreter.scope_),
        scope_(std::make_unique<Scope>(parent)) {
    interpreter_.scope_ = scope_.get();
  }
  explicit ScopeGuard(Interpreter& interpreter) : ScopeGuard(interpreter, interpreter.scope_) {}
  ~ScopeGuard() {
    interpreter_.scope_ = outer_;
    interpreter_.drop_scope(std::move(scope_));
  }
  ScopeGuard(const ScopeGuard&) = delete;
  ScopeGuard& operator=(const ScopeGuard&) = delete;

  // An empty scope for the next iteration of a loop.
  void renew() {
    if (!scope_->captured) {
      scope_->names.clear();
      return;
    }
    Scope* const parent = scope_->parent;
    interpreter_.drop_scope(std::move(scope_));
    scope_ = std::make_unique<Scope>(parent);
    interpreter_.scope_ = scope_.get();
  }

 private:
  Interpreter& interpreter_;
  Scope* const outer_;
  std::unique_ptr<Scope> scope_;
};

// Sends output to `target` until the end of the block.
class Interpreter::OutputGuard {
 public:
  OutputGuard(Interpreter& interpreter, MarkedText& target)
      : interpreter_(interpreter), outer_(std::exchange(interpreter.output_, &target)) {}
  ~OutputGuard() { interpreter_.output_ = outer_; }
  OutputGuard(const OutputGuard&) = delete;
  OutputGuard& operator=(const OutputGuard&) = delete;

 private:
  Interpreter& interpreter_;
  MarkedText* const outer_;
};

namespace {

class MacroObject : public CallableObject {
 public:
  MacroObject(const MacroCode& code, Scope* closure)
      : CallableObject(code.name), code_(code), closure_(closure) {}
  Value call(Interpreter& interpreter, const Arguments& arguments) override {
    return interpreter.call_macro(code_, closure_, arguments);
  }
  Value attribute(Interpreter&, std::string_view attribute_name) override {
    if (attribute_name == "name") return Value::string(name);
    if (attribute_name == "catch_kwargs") return Value::boolean(code_.uses_kwargs);
    if (attribute_name == "catch_varargs") return Value::boolean(code_.uses_varargs);
    if (attribute_name == "caller") return Value::boolean(code_.uses_caller);
    if (attribute_name != "arguments") return Value();
    std::vector<Value> names;
    for (const auto& parameter : code_.parameters) names.push_back(Value::string(parameter.second));
    return Value::tuple(std::move(names));
  }
  std::string repr(Interpreter&) override { return "<Macro '" + name + "'>"; }

 private:
  const MacroCode& code_;
  Scope* const closure_;
};

Value make_macro(const MacroCode& code, Scope* closure) {
  return Value::object(Kind::kCallable, std::make_shared<MacroObject>(code, closure));
}

}  // namespace

Interpreter::Interpreter(const Template& source, std::vector<Value> globals, Budget budget,
                         std::optional<std::time_t> now)
    : template_(source), globals_(std::move(globals)), budget_(budget), now_(now) {}

Interpreter::~Interpreter() {
  for (const auto& scope : captured_scopes_) scope->names.clear();
  for (const auto& object : namespaces_) object->attributes.clear();
  for (const auto& loop : kept_loops_) loop->forget();
}

MarkedText Interpreter::run() {
  MarkedText out;
  const OutputGuard guard(*this, out);
  run_body(template_.body);
  return out;
}

void Interpreter::drop_scope(std::unique_ptr<Scope> scope) {
  if (scope->captured) captured_scopes_.push_back(std::move(scope));
}

// The current scope, kept with all around it until the rendering ends.
Scope* Interpreter::capture_scope() {
  for (Scope* scope = scope_; scope != nullptr && !scope->captured; scope = scope->parent) {
    scope->captured = true;
  }
  return scope_;
}

Value Interpreter::make_namespace() {
  budget_.charge();
  namespaces_.push_back(std::make_shared<NamespaceObject>());
  return Value::object(Kind::kNamespace, namespaces_.back());
}

void Interpreter::write(std::string_view text, bool from_user) {
  if (text.size() > budget_.max_bytes() - output_->size()) {
    throw TemplateError("the template exceeds its size budget");
  }
  output_->append(text, from_user);
}

void Interpreter::print(const Value& value) {
  const auto emit = [this](std::string_view run, bool from_user) { write(run, from_user); };
  if (value.is_string()) {
    value.text().for_each_run(0, value.text().size(), emit);
  } else if (!value.is_undefined() || value.undefined_info() != nullptr) {
    const MarkedText text = to_text(*this, value);
    text.for_each_run(0, text.size(), emit);
  }
}

Interpreter::Flow Interpreter::run_body(const Body& body) {
  const DepthGuard guard(budget_);
  for (const StmtPtr& stmt : body) {
    const Flow flow = run_statement(*stmt);
    if (flow != Flow::kNormal) return flow;
  }
  return Flow::kNormal;
}

Interpreter::Flow Interpreter::run_statement(const Stmt& stmt) {
  budget_.charge();
  try {
    switch (stmt.kind) {
      case StmtKind::kText:
        write(static_cast<const TextStmt&>(stmt).text, false);
        break;
      case StmtKind::kPrint:
        print(evaluate(*static_cast<const PrintStmt&>(stmt).expr));
        break;
      case StmtKind::kFor: {
        const auto& loop = static_cast<const ForStmt&>(stmt);
        run_for(loop, evaluate(*loop.iterable), 0);
        break;
      }
      case StmtKind::kIf:
        return run_if(static_cast<const IfStmt&>(stmt));
      case StmtKind::kSet: {
        const auto& set = static_cast<const SetStmt&>(stmt);
        assign(*set.target, evaluate(*set.value));
        break;
      }
      case StmtKind::kSetBlock:
        run_set_block(static_cast<const SetBlockStmt&>(stmt));
        break;
      case StmtKind::kMacro:
        define_macro(static_cast<const MacroStmt&>(stmt));
        break;
      case StmtKind::kCallBlock:
        run_call_block(static_cast<const CallBlockStmt&>(stmt));
        break;
      case StmtKind::kFilterBlock: {
        const auto& block = static_cast<const FilterBlockStmt&>(stmt);
        const Value text = Value::string(capture(block.body));
        print(evaluate_filter(static_cast<const FilterExpr&>(*block.filter), &text));
        break;
      }
      case StmtKind::kScope:
        run_scope(static_cast<const ScopeStmt&>(stmt));
        break;
      case StmtKind::kWith:
        run_with(static_cast<const WithStmt&>(stmt));
        break;
      case StmtKind::kBreak:
        return Flow::kBreak;
      case StmtKind::kContinue:
        return Flow::kContinue;
      case StmtKind::kUnavailable:
        throw TemplateError("'" + static_cast<const UnavailableStmt&>(stmt).name +
                            "' is not available: a chat template stands alone");
    }
  } catch (TemplateError& error) {
    if (error.line == 0) error.line = stmt.line;
    throw;
  }
  return Flow::kNormal;
}

Interpreter::Flow Interpreter::run_if(const IfStmt& stmt) {
  for (const auto& [test, body] : stmt.branches) {
    if (truthy(evaluate(*test))) return run_body(body);
  }
  return stmt.otherwise.empty() ? Flow::kNormal : run_body(stmt.otherwise);
}

// The items for which the loop's own `if` holds, tested as the loop reaches them.
static Value filtered(Interpreter& interpreter, const Value& iterable,
                      std::function<bool(const Value&)> accept) {
  auto cursor = std::make_shared<Cursor>(interpreter, iterable);
  auto next = [cursor, accept = std::move(accept)](Value& out) {
    while (cursor->next(out)) {
      if (accept(out)) return true;
    }
    return false;
  };
  return Value::iterator("generator", iterable, std::move(next));
}

void Interpreter::run_for(const ForStmt& loop, Value iterable, int depth) {
  Scope* closure = nullptr;
  if (loop.recursive || loop.filter != nullptr) closure = capture_scope();
  if (loop.filter != nullptr) {
    iterable = filtered(*this, iterable, [this, &loop, closure](const Value& item) {
      const ScopeGuard scope(*this, closure);
      assign(*loop.target, item);
      return truthy(evaluate(*loop.filter));
    });
  }
  const auto state = std::make_shared<LoopObject>(*this, loop, std::move(iterable), depth, closure);
  run_iterations(loop, state);
}

void Interpreter::run_iterations(const ForStmt& loop, const std::shared_ptr<LoopObject>& state) {
  bool any = false;
  {
    ScopeGuard scope(*this);
    const Value loop_value = Value::object(Kind::kCallable, state);
    for (Value item; state->next(item);) {
      if (any) scope.renew();
      any = true;
      scope_->set(template_.loop_id, loop_value);
      assign(*loop.target, item);
      if (run_body(loop.body) == Flow::kBreak) break;
    }
  }
  if (!any && !loop.otherwise.empty()) {
    const ScopeGuard scope(*this);
    run_body(loop.otherwise);
  }
}

Value Interpreter::run_recursive_loop(const ForStmt& loop, const Value& iterable, int depth,
                                      Scope* closure) {
  const DepthGuard guard(budget_);
  MarkedText out;
  const OutputGuard output(*this, out);
  const ScopeGuard scope(*this, closure);
  run_for(loop, iterable, depth);
  return Value::string(std::move(out));
}

MarkedText Interpreter::capture(const Body& body) {
  MarkedText out;
  const OutputGuard output(*this, out);
  const ScopeGuard scope(*this);
  run_body(body);
  return out;
}

void Interpreter::run_set_block(const SetBlockStmt& stmt) {
  Value value = Value::string(capture(stmt.body));
  if (stmt.filter != nullptr) {
    value = evaluate_filter(static_cast<const FilterExpr&>(*stmt.filter), &value);
  }
  assign(*stmt.target, value);
}

void Interpreter::define_macro(const MacroStmt& stmt) {
  Scope* const closure = capture_scope();
  closure->set(stmt.name_id, make_macro(stmt.code, closure));
}

void Interpreter::run_call_block(const CallBlockStmt& stmt) {
  const Value caller = make_macro(stmt.caller, capture_scope());
  print(evaluate_call(*stmt.call, &caller));
}

void Interpreter::run_with(const WithStmt& stmt) {
  std::vector<Value> values;  // all evaluated outside the new scope
  for (const auto& binding : stmt.bindings) values.push_back(evaluate(*binding.second));
  const ScopeGuard scope(*this);
  for (size_t i = 0; i < values.size(); ++i) assign(*stmt.bindings[i].first, values[i]);
  run_body(stmt.body);
}

void Interpreter::run_scope(const ScopeStmt& stmt) {
  const ScopeGuard scope(*this, stmt.isolated ? &root_ : scope_);
  run_body(stmt.body);
}

void Interpreter::assign(const Expr& target, const Value& value) {
  if (target.kind == ExprKind::kName) {
    scope_->set(static_cast<const NameExpr&>(target).id, value);
    return;
  }
  if (target.kind == ExprKind::kNamespaceTarget) {
    const auto& place = static_cast<const NamespaceTarget&>(target);
    const Value object = evaluate(*place.object);
    if (!object.is(Kind::kNamespace)) {
      throw TemplateError("cannot assign attribute on non-namespace object");
    }
    for (auto& [name, present] : object.name_space().attributes) {
      if (name == place.attribute) {
        present = value;
        return;
      }
    }
    object.name_space().attributes.emplace_back(place.attribute, value);
    return;
  }
  const auto& targets = static_cast<const SequenceExpr&>(target).items;
  std::vector<Value> values;
  Cursor cursor(*this, value);
  for (Value item; values.size() <= targets.size() && cursor.next(item);) values.push_back(item);
  if (values.size() != targets.size()) {
    throw TemplateError("cannot unpack into " + std::to_string(targets.size()) + " names");
  }
  for (size_t i = 0; i < values.size(); ++i) assign(*targets[i], values[i]);
}

Value Interpreter::call_macro(const MacroCode& code, Scope* closure, const Arguments& arguments) {
  const DepthGuard guard(budget_);
  const size_t count = code.parameters.size();
  const auto& positional = arguments.positional;
  if (positional.size() > count && !code.uses_varargs) {
    throw TemplateError("macro '" + code.name + "' takes not more than " + std::to_string(count) +
                        " argument(s)");
  }
  std::vector<const Value*> given(count, nullptr);
  for (size_t i = 0; i < std::min(count, positional.size()); ++i) given[i] = &positional[i];
  Value caller = Value::undefined("No caller defined");
  std::vector<Entry> extra;
  for (const auto& [name, value] : arguments.named) {
    size_t i = 0;
    while (i < count && code.parameters[i].second != name) ++i;
    if (i < count && i >= positional.size()) {
      given[i] = &value;
    } else if (i == count && name == "caller" && code.uses_caller) {
      caller = value;
    } else if (i == count && code.uses_kwargs) {
      extra.emplace_back(Value::string(name), value);
    } else {
      throw TemplateError("macro '" + code.name + "' takes no keyword argument '" + name + "'");
    }
  }
  MarkedText out;
  const OutputGuard output(*this, out);
  const ScopeGuard scope(*this, closure);
  if (code.uses_caller) scope_->set(template_.caller_id, caller);
  if (code.uses_kwargs) scope_->set(template_.kwargs_id, Value::dict(std::move(extra)));
  if (code.uses_varargs) {
    const size_t taken = std::min(count, positional.size());
    scope_->set(template_.varargs_id,
                Value::tuple({positional.begin() + static_cast<int64_t>(taken), positional.end()}));
  }
  const size_t first_default = count - code.defaults.size();
  for (size_t i = 0; i < count; ++i) {
    const auto& [id, name] = code.parameters[i];
    if (given[i] != nullptr) {
      scope_->set(id, *given[i]);
    } else if (i >= first_default) {
      scope_->set(id, evaluate(*code.defaults[i - first_default]));
    } else {
      scope_->set(id, Value::undefined("parameter '" + name + "' was not provided"));
    }
  }
  run_body(code.body);
  return Value::string(std::move(out));
}

}  // namespace saccade::jinja
