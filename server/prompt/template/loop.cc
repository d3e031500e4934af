#include "server/prompt/template/loop.h"

#include <algorithm>

#include "server/prompt/template/arguments.h"

namespace saccade::jinja {
namespace {

// loop.cycle and loop.changed as values; calls reach the loop they belong to.
class LoopMethod : public CallableObject {
 public:
  LoopMethod(std::shared_ptr<LoopObject> loop, bool is_cycle)
      : CallableObject(is_cycle ? "cycle" : "changed", loop->depth),
        loop_(std::move(loop)),
        cycle_(is_cycle) {}
  Value call(Interpreter&, const Arguments& arguments) override {
    return cycle_ ? loop_->cycle(arguments) : Value::boolean(loop_->changed(arguments));
  }

 private:
  const std::shared_ptr<LoopObject> loop_;
  const bool cycle_;
};

}  // namespace

LoopObject::LoopObject(Interpreter& interpreter, const ForStmt& statement, Value iterable,
                       int depth, Scope* closure)
    : CallableObject("LoopContext", iterable.depth()),
      interpreter_(interpreter),
      statement_(statement),
      iterable_(iterable),
      cursor_(interpreter, std::move(iterable)),
      depth_(depth),
      closure_(closure) {}

bool LoopObject::fetch(Value& out) {
  if (read_ahead_) {
    if (rest_position_ >= rest_.size()) return false;
    out = rest_[rest_position_++];
    return true;
  }
  return cursor_.next(out);
}

bool LoopObject::peek() {
  if (after_) return true;
  if (ended_) return false;
  Value value;
  if (fetch(value)) {
    after_ = std::move(value);
  } else {
    ended_ = true;
  }
  return after_.has_value();
}

bool LoopObject::next(Value& out) {
  if (!peek()) return false;
  ++index0_;
  before_ = std::move(current_);
  current_ = *std::exchange(after_, std::nullopt);
  out = current_;
  return true;
}

int64_t LoopObject::length() {
  if (length_) return *length_;
  if (!iterable_.is(Kind::kIterator)) {
    length_ = jinja::length(iterable_);
    return *length_;
  }
  Value value;
  while (fetch(value)) rest_.push_back(value);
  read_ahead_ = true;
  length_ = static_cast<int64_t>(rest_.size()) + index0_ + 1 + (after_ ? 1 : 0);
  return *length_;
}

bool LoopObject::last() { return !peek(); }

Value LoopObject::cycle(const Arguments& arguments) const {
  if (!arguments.named.empty()) throw TemplateError("cycle() takes no keyword arguments");
  const auto& items = arguments.positional;
  if (items.empty()) throw TemplateError("no items for cycling given");
  return items[static_cast<size_t>(index0_) % items.size()];
}

bool LoopObject::changed(const Arguments& arguments) {
  if (!arguments.named.empty()) throw TemplateError("changed() takes no keyword arguments");
  const auto& values = arguments.positional;
  const bool same = last_changed_ && last_changed_->size() == values.size() &&
                    std::equal(values.begin(), values.end(), last_changed_->begin(), equals);
  if (!last_changed_) interpreter_.keep_loop(shared_from_this());
  if (!same) last_changed_ = values;
  return !same;
}

Value LoopObject::call(Interpreter& interpreter, const Arguments& arguments) {
  const Parameters parameters("loop", arguments, {"iterable"}, 1);
  if (!statement_.recursive) {
    throw TemplateError("The loop must have the 'recursive' marker to be called recursively.");
  }
  return interpreter.run_recursive_loop(statement_, *parameters[0], depth_ + 1, closure_);
}

Value LoopObject::attribute(Interpreter&, std::string_view name) {
  if (name == "index") return Value::integer(index0_ + 1);
  if (name == "index0") return Value::integer(index0_);
  if (name == "first") return Value::boolean(index0_ == 0);
  if (name == "last") return Value::boolean(last());
  if (name == "length") return Value::integer(length());
  if (name == "revindex") return Value::integer(length() - index0_);
  if (name == "revindex0") return Value::integer(length() - index0_ - 1);
  if (name == "depth") return Value::integer(depth_ + 1);
  if (name == "depth0") return Value::integer(depth_);
  if (name == "cycle" || name == "changed") {
    return Value::object(Kind::kCallable,
                         std::make_shared<LoopMethod>(shared_from_this(), name == "cycle"));
  }
  if (name == "previtem") {
    return index0_ == 0 ? Value::undefined("there is no previous item") : before_;
  }
  if (name == "nextitem") return peek() ? *after_ : Value::undefined("there is no next item");
  return Value();
}

std::string LoopObject::repr(Interpreter&) {
  return "<LoopContext " + std::to_string(index0_ + 1) + "/" + std::to_string(length()) + ">";
}

}  // namespace saccade::jinja
