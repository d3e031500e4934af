#include "server/prompt/template/json_dump.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "server/prompt/template/interpreter.h"
#include "server/prompt/template/numbers.h"
#include "server/prompt/template/unicode.h"

namespace saccade::jinja {
namespace {

void append_unit(std::string& out, unsigned unit) {
  char buffer[16];
  std::snprintf(buffer, sizeof(buffer), "\\u%04x", unit);
  out += buffer;
}

void append_escaped(std::string& out, UChar32 c, bool ensure_ascii) {
  static constexpr std::string_view kPlain = "\"\\\n\r\t\f\b";
  static constexpr std::string_view kLetter = "\"\\nrtfb";
  const size_t special = c < 0x80 ? kPlain.find(static_cast<char>(c)) : std::string_view::npos;
  if (special != std::string_view::npos) {
    out += '\\';
    out += kLetter[special];
  } else if (c < 0x20 || (ensure_ascii && c >= 0x7F && c < 0x10000)) {
    if (c == 0x7F) {
      out += '\x7F';
    } else {
      append_unit(out, static_cast<unsigned>(c));
    }
  } else if (ensure_ascii && c >= 0x10000) {
    append_unit(out, 0xD800u + ((static_cast<unsigned>(c) - 0x10000u) >> 10));
    append_unit(out, 0xDC00u + ((static_cast<unsigned>(c) - 0x10000u) & 0x3FFu));
  } else {
    append_utf8(out, c);
  }
}

std::string json_float(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value < 0 ? "-Infinity" : "Infinity";
  return float_repr(value);
}

class Dumper {
 public:
  Dumper(Interpreter& interpreter, const JsonStyle& style)
      : interpreter_(interpreter), style_(style) {}

  void dump(const Value& value) {
    interpreter_.budget().charge();
    interpreter_.budget().charge_bytes(out_.size() > last_charged_ ? out_.size() - last_charged_
                                                                   : 0);
    if (out_.size() > interpreter_.budget().max_bytes()) {
      throw TemplateError("the template exceeds its size budget");
    }
    last_charged_ = out_.size();
    const bool mark = value.number_from_user();
    switch (value.kind()) {
      case Kind::kNone:
        out_.append("null", false);
        return;
      case Kind::kBool:
        out_.append(value.as_bool() ? "true" : "false", mark);
        return;
      case Kind::kInt:
        out_.append(std::to_string(value.as_int()), mark);
        return;
      case Kind::kFloat:
        out_.append(value.literal() ? value.literal()->bytes() : json_float(value.as_double()),
                    mark);
        return;
      case Kind::kString:
        dump_string(value.text());
        return;
      case Kind::kList:
      case Kind::kTuple:
        dump_list(value.items());
        return;
      case Kind::kDict:
        dump_dict(value.dict().entries);
        return;
      default:
        refuse_undefined(value);
        throw TemplateError("Object of type " + std::string(type_name(value)) +
                            " is not JSON serializable");
    }
  }

  MarkedText take() { return std::move(out_); }

 private:
  void dump_string(const MarkedText& text) {
    out_.append("\"", text.any_from_user());
    text.for_each_run(0, text.size(), [this](std::string_view run, bool from_user) {
      std::string escaped;
      escaped.reserve(run.size());
      for (size_t i = 0; i < run.size();) {
        append_escaped(escaped, next_code_point(run, i), style_.ensure_ascii);
      }
      out_.append(escaped, from_user);
    });
    out_.append("\"", text.any_from_user());
  }

  void new_line() {
    if (!style_.indent) return;
    out_.append("\n", false);
    for (int i = 0; i < level_; ++i) out_.append(*style_.indent);
  }

  void dump_list(const std::vector<Value>& items) {
    out_.append("[", false);
    ++level_;
    for (size_t i = 0; i < items.size(); ++i) {
      if (i > 0) out_.append(style_.item_separator);
      new_line();
      dump(items[i]);
    }
    --level_;
    if (!items.empty()) new_line();
    out_.append("]", false);
  }

  void dump_key(const Value& key) {
    if (key.is_string()) {
      dump_string(key.text());
    } else if (key.is_number() || key.is_none()) {
      out_.append("\"", false);
      dump(key);
      out_.append("\"", false);
    } else {
      throw TemplateError("keys must be str, int, float, bool or None, not " +
                          std::string(type_name(key)));
    }
  }

  void dump_dict(const std::vector<Entry>& entries) {
    std::vector<const Entry*> order;
    for (const Entry& entry : entries) order.push_back(&entry);
    if (style_.sort_keys) {
      std::stable_sort(order.begin(), order.end(), [](const Entry* a, const Entry* b) {
        return ordered(CompareOp::kLt, a->first, b->first);
      });
    }
    out_.append("{", false);
    ++level_;
    for (size_t i = 0; i < order.size(); ++i) {
      if (i > 0) out_.append(style_.item_separator);
      new_line();
      dump_key(order[i]->first);
      out_.append(style_.key_separator);
      dump(order[i]->second);
    }
    --level_;
    if (!order.empty()) new_line();
    out_.append("}", false);
  }

  Interpreter& interpreter_;
  const JsonStyle& style_;
  MarkedText out_;
  size_t last_charged_ = 0;
  int level_ = 0;
};

}  // namespace

MarkedText dump_json(Interpreter& interpreter, const Value& value, const JsonStyle& style) {
  Dumper dumper(interpreter, style);
  dumper.dump(value);
  return dumper.take();
}

}  // namespace saccade::jinja
