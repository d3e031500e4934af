// Global functions: range, dict, namespace, cycler, joiner, raise_exception, strftime_now.

#include <ctime>

#include "server/prompt/template/arguments.h"
#include "server/prompt/template/filters.h"
#include "server/prompt/template/interpreter.h"

namespace saccade::jinja {
namespace {

constexpr int64_t kMaxRange = 100000;  // as the sandbox has it
constexpr size_t kMaxTimeText = 4096;  // bytes of one strftime_now

using Function = Value (*)(Interpreter&, const Arguments&);

class Builtin : public CallableObject {
 public:
  Builtin(std::string_view name, Function function)
      : CallableObject(std::string(name)), function_(function) {}
  Value call(Interpreter& interpreter, const Arguments& arguments) override {
    return function_(interpreter, arguments);
  }

 private:
  const Function function_;
};

Value range(Interpreter&, const Arguments& call) {
  if (!call.named.empty()) throw TemplateError("range() takes no keyword arguments");
  const Parameters given("range", call, {"start", "stop", "step"}, 1);
  const int64_t first = given.integer(0, 0);
  const int64_t step = given.integer(2, 1);
  if (step == 0) throw TemplateError("range() arg 3 must not be zero");
  const Value out =
      given.has(1) ? Value::range(first, given.integer(1, 0), step) : Value::range(0, first, 1);
  if (out.range().length > kMaxRange || out.range().length < 0) {
    throw TemplateError("Range too big. The sandbox blocks ranges larger than " +
                        std::to_string(kMaxRange) + ".");
  }
  return out;
}

// dict(mapping or pairs, **named).
std::vector<Entry> make_entries(Interpreter& interpreter, const Arguments& call) {
  if (call.positional.size() > 1) throw TemplateError("dict expected at most 1 argument");
  std::vector<Entry> entries;
  if (call.positional.size() == 1 && call.positional[0].is(Kind::kDict)) {
    entries = call.positional[0].dict().entries;
    interpreter.budget().charge(entries.size());
  } else if (call.positional.size() == 1) {
    Cursor cursor(interpreter, call.positional[0]);
    for (Value item; cursor.next(item);) {
      Cursor pair(interpreter, item);
      std::vector<Value> parts;
      for (Value part; parts.size() < 3 && pair.next(part);) parts.push_back(part);
      if (parts.size() != 2) throw TemplateError("a dict is made of pairs");
      // Keys that are no strings are compared one by one.
      if (!parts[0].is_string()) interpreter.budget().charge(entries.size() / 8);
      entries.emplace_back(parts[0], parts[1]);
    }
  }
  for (const auto& [name, value] : call.named) entries.emplace_back(Value::string(name), value);
  return entries;
}

Value dict(Interpreter& interpreter, const Arguments& call) {
  return Value::dict(make_entries(interpreter, call));
}

Value make_namespace(Interpreter& interpreter, const Arguments& call) {
  const Value entries = dict(interpreter, call);
  const Value out = interpreter.make_namespace();
  for (const auto& [key, value] : entries.dict().entries) {
    if (key.is_string()) out.name_space().attributes.emplace_back(key.bytes(), value);
  }
  return out;
}

class Cycler : public CallableObject, public std::enable_shared_from_this<Cycler> {
 public:
  Cycler(std::vector<Value> items, int depth)
      : CallableObject("Cycler", depth), items_(std::move(items)) {}
  Value call(Interpreter&, const Arguments&) override {
    throw TemplateError("'Cycler' object is not callable");
  }
  Value attribute(Interpreter&, std::string_view attribute_name) override;
  Value advance() {
    const Value out = items_[position_];
    position_ = (position_ + 1) % items_.size();
    return out;
  }
  void reset() { position_ = 0; }

 private:
  const std::vector<Value> items_;
  size_t position_ = 0;
};

class CyclerMethod : public CallableObject {
 public:
  CyclerMethod(std::shared_ptr<Cycler> cycler, bool advances)
      : CallableObject(advances ? "next" : "reset", cycler->depth),
        cycler_(std::move(cycler)),
        advances_(advances) {}
  Value call(Interpreter&, const Arguments& arguments) override {
    const Parameters none(name, arguments, {});
    if (advances_) return cycler_->advance();
    cycler_->reset();
    return Value::none();
  }

 private:
  const std::shared_ptr<Cycler> cycler_;
  const bool advances_;
};

Value Cycler::attribute(Interpreter&, std::string_view attribute_name) {
  if (attribute_name == "current") return items_[position_];
  if (attribute_name != "next" && attribute_name != "reset") return Value();
  return Value::object(Kind::kCallable, std::make_shared<CyclerMethod>(shared_from_this(),
                                                                       attribute_name == "next"));
}

Value cycler(Interpreter&, const Arguments& call) {
  if (call.positional.empty() || !call.named.empty()) {
    throw TemplateError("at least one item has to be provided");
  }
  const int depth = Value::list(call.positional).depth();
  return Value::object(Kind::kCallable, std::make_shared<Cycler>(call.positional, depth));
}

class Joiner : public CallableObject {
 public:
  explicit Joiner(Value separator)
      : CallableObject("Joiner", Value::list({separator}).depth()),
        separator_(std::move(separator)) {}
  Value call(Interpreter&, const Arguments& arguments) override {
    const Parameters none("joiner", arguments, {});
    if (used_) return separator_;
    used_ = true;
    return Value::string("");
  }

 private:
  const Value separator_;
  bool used_ = false;
};

Value joiner(Interpreter&, const Arguments& call) {
  const Parameters given("joiner", call, {"sep"});
  return Value::object(Kind::kCallable,
                       std::make_shared<Joiner>(given.has(0) ? *given[0] : Value::string(", ")));
}

Value raise_exception(Interpreter& interpreter, const Arguments& call) {
  const Parameters given("raise_exception", call, {"message"}, 1);
  TemplateError error(to_text(interpreter, *given[0]).bytes());
  error.raised = true;
  throw error;
}

Value strftime_now(Interpreter& interpreter, const Arguments& call) {
  const Parameters given("strftime_now", call, {"format"}, 1);
  const MarkedText& format_text = given.string(0).text();
  if (format_text.size() > kMaxTimeText) throw TemplateError("the time format is too long");
  std::string format = format_text.bytes();
  // %f is Python's own; seconds are all the clock has.
  for (size_t i = 0; i + 1 < format.size(); ++i) {
    if (format[i] != '%') continue;
    if (format[i + 1] == 'f') format.replace(i, 2, "000000");
    ++i;
  }
  const std::time_t now = interpreter.now();
  std::tm local{};
  localtime_r(&now, &local);
  // A naive Python datetime knows no zone.
  local.tm_zone = "";
  local.tm_isdst = -1;
  format.insert(format.begin(), ' ');  // so that an empty result is not taken for a failure
  std::string out(kMaxTimeText, '\0');
  const size_t size = std::strftime(out.data(), out.size(), format.c_str(), &local);
  if (size == 0) throw TemplateError("the time format makes too long a text");
  return Value::string(out.substr(1, size - 1), format_text.any_from_user());
}

}  // namespace

Value find_global(std::string_view name) {
  struct Entry {
    std::string_view name;
    Function function;
  };
  static constexpr Entry kFunctions[] = {
      {"range", range},
      {"dict", dict},
      {"namespace", make_namespace},
      {"cycler", cycler},
      {"joiner", joiner},
      {"raise_exception", raise_exception},
      {"strftime_now", strftime_now},
  };
  for (const auto& [known, function] : kFunctions) {
    if (known == name) {
      return Value::object(Kind::kCallable, std::make_shared<Builtin>(known, function));
    }
  }
  return Value();
}

}  // namespace saccade::jinja
