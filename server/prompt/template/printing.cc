// str(), repr() and HTML escaping: the operators that make text.

#include <cstdio>

#include "server/prompt/template/interpreter.h"
#include "server/prompt/template/numbers.h"
#include "server/prompt/template/operators.h"
#include "server/prompt/template/unicode.h"

namespace saccade::jinja {
namespace {

void append_escape(std::string& out, UChar32 c) {
  char buffer[16];
  switch (c) {
    case '\n':
      out += "\\n";
      return;
    case '\r':
      out += "\\r";
      return;
    case '\t':
      out += "\\t";
      return;
    case '\\':
      out += "\\\\";
      return;
    default:
      std::snprintf(buffer, sizeof(buffer),
                    c < 0x100     ? "\\x%02x"
                    : c < 0x10000 ? "\\u%04x"
                                  : "\\U%08x",
                    static_cast<unsigned>(c));
      out += buffer;
  }
}

void append_string_repr(MarkedText& out, const MarkedText& text) {
  const bool has_single = text.view().find('\'') != std::string_view::npos;
  const bool has_double = text.view().find('"') != std::string_view::npos;
  const char quote = has_single && !has_double ? '"' : '\'';
  out.append(std::string_view(&quote, 1), text.any_from_user());
  text.for_each_run(0, text.size(), [&](std::string_view run, bool from_user) {
    std::string escaped;
    for (size_t i = 0; i < run.size();) {
      const size_t begin = i;
      const UChar32 c = next_code_point(run, i);
      if (c == quote) {
        escaped += '\\';
        escaped += quote;
      } else if (c == '\\' || !is_printable(c)) {
        append_escape(escaped, c);
      } else {
        escaped.append(run.substr(begin, i - begin));
      }
    }
    out.append(escaped, from_user);
  });
  out.append(std::string_view(&quote, 1), text.any_from_user());
}

void append_items(Interpreter& interpreter, MarkedText& out, const std::vector<Value>& items) {
  for (size_t i = 0; i < items.size(); ++i) {
    if (i > 0) out.append(", ", false);
    append_repr(interpreter, out, items[i]);
  }
}

void append_sequence(Interpreter& interpreter, MarkedText& out, const Value& value) {
  const auto& items = value.items();
  if (value.is(Kind::kView)) {
    out.append(std::string(value.sequence().name) + "([", false);
    append_items(interpreter, out, items);
    out.append("])", false);
    return;
  }
  const bool list = value.is(Kind::kList);
  out.append(list ? "[" : "(", false);
  append_items(interpreter, out, items);
  if (!list && items.size() == 1) out.append(",", false);
  out.append(list ? "]" : ")", false);
}

void append_namespace(Interpreter& interpreter, MarkedText& out, const NamespaceObject& object) {
  out.append("<Namespace {", false);
  bool first = true;
  for (const auto& [name, value] : object.attributes) {
    if (!first) out.append(", ", false);
    first = false;
    append_string_repr(out, MarkedText(name, false));
    out.append(": ", false);
    append_repr(interpreter, out, value);
  }
  out.append("}>", false);
}

std::string range_repr(const RangeObject& range) {
  std::string out = "range(" + std::to_string(range.start) + ", " + std::to_string(range.stop);
  if (range.step != 1) out += ", " + std::to_string(range.step);
  return out + ")";
}

}  // namespace

void append_repr(Interpreter& interpreter, MarkedText& out, const Value& value) {
  Budget& budget = interpreter.budget();
  const DepthGuard guard(budget);  // namespaces can hold themselves
  budget.charge();
  if (out.size() > budget.max_bytes()) budget.charge_bytes(out.size());
  const bool mark = value.number_from_user();
  switch (value.kind()) {
    case Kind::kUndefined:
      if (value.undefined_info() != nullptr && value.undefined_info()->poison)
        fail_undefined(value);
      out.append("Undefined", false);
      return;
    case Kind::kNone:
      out.append("None", false);
      return;
    case Kind::kBool:
      out.append(value.as_bool() ? "True" : "False", mark);
      return;
    case Kind::kInt:
      out.append(std::to_string(value.as_int()), mark);
      return;
    case Kind::kFloat:
      out.append(value.literal() ? value.literal()->bytes() : float_repr(value.as_double()), mark);
      return;
    case Kind::kString:
      if (value.is_markup()) out.append("Markup(", false);
      append_string_repr(out, value.text());
      if (value.is_markup()) out.append(")", false);
      return;
    case Kind::kList:
    case Kind::kTuple:
    case Kind::kView:
      append_sequence(interpreter, out, value);
      return;
    case Kind::kDict: {
      out.append("{", false);
      bool first = true;
      for (const auto& [key, item] : value.dict().entries) {
        if (!first) out.append(", ", false);
        first = false;
        append_repr(interpreter, out, key);
        out.append(": ", false);
        append_repr(interpreter, out, item);
      }
      out.append("}", false);
      return;
    }
    case Kind::kRange:
      out.append(range_repr(value.range()), false);
      return;
    case Kind::kIterator:
      out.append("<" + std::string(value.as_iterator().name) + " object>", false);
      return;
    case Kind::kNamespace: {
      append_namespace(interpreter, out, value.name_space());
      return;
    }
    case Kind::kCallable:
      out.append(value.callable().repr(interpreter), false);
      return;
  }
}

void append_text(Interpreter& interpreter, MarkedText& out, const Value& value) {
  if (value.is_string()) {
    out.append(value.text());
  } else if (!value.is_undefined()) {
    append_repr(interpreter, out, value);
  } else if (value.undefined_info() != nullptr && value.undefined_info()->poison) {
    fail_undefined(value);
  }
}

MarkedText to_text(Interpreter& interpreter, const Value& value) {
  MarkedText out;
  append_text(interpreter, out, value);
  interpreter.budget().charge_bytes(out.size());
  return out;
}

Value soft_string(Interpreter& interpreter, const Value& value) {
  return value.is_string() ? value : Value::string(to_text(interpreter, value));
}

MarkedText escape_html(Interpreter& interpreter, const MarkedText& text) {
  MarkedText out;
  text.for_each_run(0, text.size(), [&out](std::string_view run, bool from_user) {
    std::string escaped;
    for (const char c : run) {
      switch (c) {
        case '&':
          escaped += "&amp;";
          break;
        case '<':
          escaped += "&lt;";
          break;
        case '>':
          escaped += "&gt;";
          break;
        case '"':
          escaped += "&#34;";
          break;
        case '\'':
          escaped += "&#39;";
          break;
        default:
          escaped += c;
      }
    }
    out.append(escaped, from_user);
  });
  interpreter.budget().charge_bytes(out.size());
  return out;
}

}  // namespace saccade::jinja
