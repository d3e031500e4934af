#pragma once

// The `loop` variable of a for statement.

#include <optional>

#include "server/prompt/template/interpreter.h"

namespace saccade::jinja {

class LoopObject : public CallableObject, public std::enable_shared_from_this<LoopObject> {
 public:
  // `closure`: the scope around a recursive loop, kept alive by the interpreter.
  LoopObject(Interpreter& interpreter, const ForStmt& statement, Value iterable, int depth,
             Scope* closure);

  // Advances; false at the end.
  bool next(Value& out);

  Value call(Interpreter& interpreter, const Arguments& arguments) override;
  Value attribute(Interpreter& interpreter, std::string_view name) override;
  std::string repr(Interpreter& interpreter) override;

  int64_t length();
  bool last();
  Value cycle(const Arguments& arguments) const;
  bool changed(const Arguments& arguments);
  void forget() { last_changed_.reset(); }

 private:
  bool fetch(Value& out);
  bool peek();

  Interpreter& interpreter_;
  const ForStmt& statement_;
  const Value iterable_;
  Cursor cursor_;
  std::vector<Value> rest_;  // what length() had to read ahead
  size_t rest_position_ = 0;
  bool read_ahead_ = false;
  std::optional<int64_t> length_;
  std::optional<Value> after_;
  bool ended_ = false;
  Value current_;
  Value before_;
  int64_t index0_ = -1;
  const int depth_;
  Scope* const closure_;
  std::optional<std::vector<Value>> last_changed_;
};

}  // namespace saccade::jinja
