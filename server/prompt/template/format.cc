#include "server/prompt/template/format.h"

#include "server/prompt/template/attributes.h"
#include "server/prompt/template/interpreter.h"
#include "server/prompt/template/numbers.h"
#include "server/prompt/template/unicode.h"

namespace saccade::jinja {
namespace {

constexpr int kMaxFieldNesting = 2;  // as in Python: "{:{width}}" and no deeper

MarkedText pad_text(const FormatSpec& spec, const MarkedText& text, char default_align) {
  const Padding padding = padding_for(spec, count_code_points(text.view()), default_align);
  MarkedText out;
  out.append(padding.before, false);
  out.append(text);
  out.append(padding.behind, false);
  return out;
}

MarkedText truncate_text(const MarkedText& text, int64_t code_points) {
  if (code_points < 0) return text;
  size_t offset = 0;
  for (int64_t i = 0; i < code_points && offset < text.size(); ++i) {
    next_code_point(text.view(), offset);
  }
  return text.substr(0, offset);
}

// Non-ASCII characters of a repr as escapes, as ascii() writes them.
MarkedText escape_non_ascii(const MarkedText& text) {
  MarkedText out;
  text.for_each_run(0, text.size(), [&out](std::string_view run, bool from_user) {
    std::string escaped;
    for (size_t i = 0; i < run.size();) {
      const UChar32 c = next_code_point(run, i);
      if (c < 0x80) {
        escaped += static_cast<char>(c);
        continue;
      }
      char buffer[16];
      std::snprintf(buffer, sizeof(buffer),
                    c < 0x100     ? "\\x%02x"
                    : c < 0x10000 ? "\\u%04x"
                                  : "\\U%08x",
                    static_cast<unsigned>(c));
      escaped += buffer;
    }
    out.append(escaped, from_user);
  });
  return out;
}

MarkedText converted(Interpreter& interpreter, const Value& value, char conversion) {
  if (conversion == 's') return to_text(interpreter, value);
  MarkedText out;
  append_repr(interpreter, out, value);
  return conversion == 'a' ? escape_non_ascii(out) : out;
}

class PercentFormatter {
 public:
  PercentFormatter(Interpreter& interpreter, const Value& format, const Value& values)
      : interpreter_(interpreter), format_(format.text()), values_(values) {}

  MarkedText run() {
    const std::string_view text = format_.view();
    while (position_ < text.size()) {
      const size_t percent = std::min(text.find('%', position_), text.size());
      out_.append(format_, position_, percent);
      position_ = percent;
      if (percent < text.size()) convert();
      interpreter_.budget().charge();
      interpreter_.budget().charge_bytes(out_.size());
    }
    if (values_.is(Kind::kTuple) && used_ < values_.items().size() && !by_name_) fail_unused();
    const bool single = !values_.is(Kind::kTuple) && !values_.is(Kind::kDict) &&
                        !values_.is(Kind::kList) && !values_.is(Kind::kRange) &&
                        !values_.is_undefined();
    if (single && used_ == 0) fail_unused();
    return std::move(out_);
  }

 private:
  [[noreturn]] static void fail_unused() {
    throw TemplateError("not all arguments converted during string formatting");
  }

  char peek() const {
    if (position_ >= format_.size()) throw TemplateError("incomplete format");
    return format_.bytes()[position_];
  }

  Value next_value() {
    if (by_name_) return named_;
    if (values_.is(Kind::kTuple)) {
      if (used_ >= values_.items().size()) fail_missing();
      return values_.items()[used_++];
    }
    if (used_++ > 0) fail_missing();
    return values_;
  }
  [[noreturn]] static void fail_missing() {
    throw TemplateError("not enough arguments for format string");
  }

  void read_name() {
    int depth = 1;
    const size_t begin = ++position_;
    while (depth > 0) {
      const char c = peek();
      depth += c == '(' ? 1 : c == ')' ? -1 : 0;
      ++position_;
    }
    if (!values_.is(Kind::kDict)) throw TemplateError("format requires a mapping");
    const std::string_view name = format_.view().substr(begin, position_ - 1 - begin);
    const Value* found = values_.dict().find(name);
    if (found == nullptr) throw TemplateError("no key '" + std::string(name) + "' to format");
    named_ = *found;
    by_name_ = true;
  }

  int64_t read_number() {
    if (peek() == '*') {
      ++position_;
      const Value value = next_value();
      if (!value.is_integral()) throw TemplateError("* wants int");
      if (value.as_int() > kMaxFormatWidth || value.as_int() < -kMaxFormatWidth) {
        throw TemplateError("a format width or precision is too large");
      }
      return value.as_int();
    }
    int64_t number = 0;
    while (peek() >= '0' && peek() <= '9') {
      number = number * 10 + (format_.bytes()[position_++] - '0');
      if (number > kMaxFormatWidth) {
        throw TemplateError("a format width or precision is too large");
      }
    }
    return number;
  }

  void convert() {
    ++position_;
    FormatSpec spec;
    bool left = false;
    if (peek() == '(') read_name();
    for (;; ++position_) {
      const char c = peek();
      if (c == '-') {
        left = true;
      } else if (c == '+') {
        spec.sign = '+';
      } else if (c == ' ') {
        spec.sign = spec.sign == '+' ? '+' : ' ';
      } else if (c == '#') {
        spec.alternate = true;
      } else if (c == '0') {
        spec.zero = true;
      } else {
        break;
      }
    }
    spec.width = read_number();
    if (spec.width < 0) {
      left = true;
      spec.width = -spec.width;
    }
    if (peek() == '.') {
      ++position_;
      spec.precision = std::max<int64_t>(read_number(), 0);
    }
    while (peek() == 'l' || peek() == 'h' || peek() == 'L') ++position_;
    if (left) {
      spec.align = '<';
      spec.zero = false;
    }
    write(spec, peek());
    ++position_;
  }

  void write(FormatSpec spec, char type) {
    if (type == '%') {
      out_.append(format_, position_, position_ + 1);
      return;
    }
    if (std::string_view("srac").find(type) == std::string_view::npos) {
      write_number(spec, type);
      return;
    }
    const Value value = next_value();
    spec.zero = false;
    if (type == 'c' && value.is_integral()) {
      FormatSpec plain;
      plain.type = 'c';
      const MarkedText text(format_int(plain, value.as_int()), value.number_from_user());
      out_.append(pad_text(spec, text, '>'));
      return;
    }
    if (type == 'c' && (!value.is_string() || count_code_points(value.bytes()) != 1)) {
      throw TemplateError("%c requires int or char");
    }
    const MarkedText text = converted(interpreter_, value, type == 'c' ? 's' : type);
    out_.append(pad_text(spec, type == 'c' ? text : truncate_text(text, spec.precision), '>'));
  }

  void write_number(FormatSpec spec, char type) {
    const bool integral = std::string_view("diuxXo").find(type) != std::string_view::npos;
    if (!integral && std::string_view("eEfFgG").find(type) == std::string_view::npos) {
      throw TemplateError(std::string("unsupported format character '") + type + "'");
    }
    const Value value = next_value();
    if (!value.is_number()) {
      refuse_undefined(value);
      throw TemplateError(std::string("%") + type + " format: a number is required, not " +
                          std::string(type_name(value)));
    }
    std::string text;
    if (integral) {
      if (value.is(Kind::kFloat) && (type == 'x' || type == 'X' || type == 'o')) {
        throw TemplateError(std::string("%") + type + " format: an integer is required, not float");
      }
      const int64_t number =
          value.is(Kind::kFloat) ? truncate_to_int(value.as_double()) : value.as_int();
      spec.type = type == 'i' || type == 'u' ? 'd' : type;
      text = format_integer(spec, number);
    } else {
      spec.type = type;
      text = format_float(spec, value.as_double());
    }
    out_.append(text, value.number_from_user());
  }

  // With a precision, % pads integers with zeros to that many digits.
  static std::string format_integer(FormatSpec spec, int64_t number) {
    if (spec.precision < 0) return format_int(spec, number);
    FormatSpec digits = spec;
    digits.width = spec.precision + (number < 0 || spec.sign != '-' ? 1 : 0) +
                   (spec.alternate && spec.type != 'd' ? 2 : 0);
    digits.precision = -1;
    digits.align = 0;
    digits.zero = true;
    const std::string text = format_int(digits, number);
    FormatSpec outer = spec;
    outer.fill = spec.zero && spec.align == 0 ? "0" : " ";
    const Padding padding = padding_for(outer, text.size(), '>');
    return padding.before + text + padding.behind;
  }

  Interpreter& interpreter_;
  const MarkedText& format_;
  const Value& values_;
  MarkedText out_;
  size_t position_ = 0;
  size_t used_ = 0;
  bool by_name_ = false;
  Value named_;
};

class StrFormatter {
 public:
  StrFormatter(Interpreter& interpreter, const Arguments& arguments)
      : interpreter_(interpreter), arguments_(arguments) {}

  MarkedText run(const MarkedText& format, int nesting) {
    if (nesting > kMaxFieldNesting) throw TemplateError("Max string recursion exceeded");
    MarkedText out;
    const std::string_view text = format.view();
    for (size_t i = 0; i < text.size();) {
      const size_t brace = std::min(text.find_first_of("{}", i), text.size());
      out.append(format, i, brace);
      if (brace == text.size()) break;
      if (brace + 1 < text.size() && text[brace + 1] == text[brace]) {
        out.append(format, brace, brace + 1);
        i = brace + 2;
        continue;
      }
      if (text[brace] == '}') throw TemplateError("Single '}' encountered in format string");
      const size_t end = field_end(text, brace + 1);
      out.append(field(format.substr(brace + 1, end), nesting));
      interpreter_.budget().charge();
      interpreter_.budget().charge_bytes(out.size());
      i = end + 1;
    }
    return out;
  }

 private:
  static size_t field_end(std::string_view text, size_t i) {
    int depth = 1;
    bool in_index = false;
    for (; i < text.size(); ++i) {
      if (text[i] == '[' && depth == 1) in_index = true;
      if (text[i] == ']') in_index = false;
      if (text[i] == '{' && !in_index) ++depth;
      if (text[i] == '}' && !in_index && --depth == 0) return i;
    }
    throw TemplateError("expected '}' before end of string");
  }

  // "name!conversion:spec" without its braces.
  MarkedText field(const MarkedText& inner, int nesting) {
    const std::string_view text = inner.view();
    size_t name_end = 0;
    bool in_index = false;
    while (name_end < text.size()) {
      const char c = text[name_end];
      in_index = c == '[' || (in_index && c != ']');
      if (!in_index && (c == '!' || c == ':')) break;
      if (c == '{') throw TemplateError("unexpected '{' in field name");
      ++name_end;
    }
    const Value value = resolve(text.substr(0, name_end));
    char conversion = 0;
    size_t i = name_end;
    if (i < text.size() && text[i] == '!') {
      if (i + 1 >= text.size()) throw TemplateError("end of string while looking for conversion");
      conversion = text[i + 1];
      if (conversion != 's' && conversion != 'r' && conversion != 'a') {
        throw TemplateError("Unknown conversion specifier " + std::string(1, conversion));
      }
      i += 2;
      if (i < text.size() && text[i] != ':') throw TemplateError("expected ':' after conversion");
    }
    const MarkedText spec =
        i < text.size() ? run(inner.substr(i + 1, inner.size()), nesting + 1) : MarkedText();
    if (conversion == 0) return format_value(value, spec.view());
    return format_value(Value::string(converted(interpreter_, value, conversion)), spec.view());
  }

  Value resolve(std::string_view name) {
    const size_t first_end = std::min(name.find_first_of(".["), name.size());
    Value value = argument(name.substr(0, first_end));
    for (size_t i = first_end; i < name.size();) {
      if (name[i] == '.') {
        const size_t end = std::min(name.find_first_of(".[", i + 1), name.size());
        const std::string_view attribute = name.substr(i + 1, end - i - 1);
        if (attribute.empty()) throw TemplateError("Empty attribute in format string");
        value = attribute_of(value, attribute);
        i = end;
      } else {
        const size_t close = name.find(']', i);
        if (name[i] != '[' || close == std::string_view::npos || close == i + 1) {
          throw TemplateError("malformed field name in a format string");
        }
        const std::string_view index = name.substr(i + 1, close - i - 1);
        const bool digits = index.find_first_not_of("0123456789") == std::string_view::npos;
        value = get_item(interpreter_, value,
                         digits ? Value::integer(*parse_int(index, 10)) : Value::string(index));
        i = close + 1;
      }
    }
    return value;
  }

  Value attribute_of(const Value& value, std::string_view name) {
    return get_attribute(interpreter_, value, name,
                         Value::undefined("there is no attribute '" + std::string(name) + "'"));
  }

  const Value& argument(std::string_view name) {
    const bool digits = name.find_first_not_of("0123456789") == std::string_view::npos;
    if (!digits) {
      for (const auto& [key, value] : arguments_.named) {
        if (key == name) return value;
      }
      throw TemplateError("no argument '" + std::string(name) + "' to format");
    }
    if (name.empty() ? manual_ : automatic_ > 0) {
      throw TemplateError("cannot mix automatic and manual field numbering");
    }
    manual_ = manual_ || !name.empty();
    const size_t index = name.empty() ? automatic_++ : static_cast<size_t>(*parse_int(name, 10));
    if (index >= arguments_.positional.size()) {
      throw TemplateError("Replacement index out of range for positional args");
    }
    return arguments_.positional[index];
  }

  MarkedText format_value(const Value& value, std::string_view spec_text) {
    if (spec_text.empty()) return to_text(interpreter_, value);
    const FormatSpec spec = parse_format_spec(spec_text);
    if (value.is_string()) {
      const bool plain = spec.type == 0 || spec.type == 's';
      if (!plain || spec.sign != '-' || spec.alternate || spec.grouping != 0 || spec.align == '=') {
        throw TemplateError("Invalid format specifier for object of type 'str'");
      }
      FormatSpec filled = spec;
      if (spec.zero && spec.align == 0) filled.fill = "0";
      return pad_text(filled, truncate_text(value.text(), spec.precision), '<');
    }
    if (value.is(Kind::kBool) && spec.type == 0) {
      return pad_text(spec, to_text(interpreter_, value), '>');
    }
    if (value.is_integral()) {
      return MarkedText(format_int(spec, value.as_int()), value.number_from_user());
    }
    if (value.is(Kind::kFloat)) {
      return MarkedText(format_float(spec, value.as_double()), value.number_from_user());
    }
    throw TemplateError("unsupported format string passed to " + std::string(type_name(value)));
  }

  Interpreter& interpreter_;
  const Arguments& arguments_;
  size_t automatic_ = 0;
  bool manual_ = false;
};

}  // namespace

Value percent_format(Interpreter& interpreter, const Value& format, const Value& values) {
  return Value::string(PercentFormatter(interpreter, format, values).run(), format.is_markup());
}

Value str_format(Interpreter& interpreter, const Value& format, const Arguments& arguments) {
  return Value::string(StrFormatter(interpreter, arguments).run(format.text(), 1),
                       format.is_markup());
}

}  // namespace saccade::jinja
