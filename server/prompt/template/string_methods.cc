// Methods of str.

#include <algorithm>

#include "server/prompt/template/arguments.h"
#include "server/prompt/template/attributes.h"
#include "server/prompt/template/format.h"
#include "server/prompt/template/interpreter.h"
#include "server/prompt/template/text_functions.h"
#include "server/prompt/template/unicode.h"

namespace saccade::jinja {
namespace {

using Call = const Arguments&;

Value like(const Value& self, MarkedText text) {
  return Value::string(std::move(text), self.is_markup());
}

Value list_of(const Value& self, std::vector<MarkedText> parts) {
  std::vector<Value> items;
  items.reserve(parts.size());
  for (MarkedText& part : parts) items.push_back(like(self, std::move(part)));
  return Value::list(std::move(items));
}

template <CaseMapping mapping>
Value change_case(Interpreter& interpreter, const Value& self, Call call) {
  const Parameters none("str method", call, {});
  interpreter.budget().charge_bytes(self.text().size());
  return like(self, map_case(self.text(), mapping));
}

template <CharTest test>
Value check(Interpreter&, const Value& self, Call call) {
  const Parameters none("str method", call, {});
  return Value::boolean(test_characters(self.bytes(), test));
}

template <Side side>
Value strip_method(Interpreter& interpreter, const Value& self, Call call) {
  const Parameters given("strip", call, {"chars"});
  const Value* chars = given.unless_none(0);
  if (chars != nullptr) given.string(0);
  interpreter.budget().charge_bytes(self.text().size());
  return like(self, strip(self.text(), chars, side));
}

template <bool from_right>
Value split_method(Interpreter& interpreter, const Value& self, Call call) {
  const Parameters given("split", call, {"sep", "maxsplit"});
  const Value* separator = given.unless_none(0);
  if (separator != nullptr) given.string(0);
  return list_of(
      self, split(interpreter, self.text(), separator == nullptr ? nullptr : &separator->text(),
                  given.integer(1, -1), from_right));
}

Value splitlines(Interpreter& interpreter, const Value& self, Call call) {
  const Parameters given("splitlines", call, {"keepends"});
  return list_of(self, split_lines(interpreter, self.text(), given.flag(0)));
}

template <bool from_right>
Value partition(Interpreter&, const Value& self, Call call) {
  const Parameters given("partition", call, {"sep"}, 1);
  const MarkedText& text = self.text();
  const std::string_view mark = given.string(0).bytes();
  if (mark.empty()) throw TemplateError("empty separator");
  const size_t at = from_right ? text.view().rfind(mark) : text.view().find(mark);
  if (at == std::string_view::npos) {
    const Value empty = Value::string("");
    return from_right ? Value::tuple({empty, empty, self}) : Value::tuple({self, empty, empty});
  }
  return Value::tuple({like(self, text.substr(0, at)), given.string(0),
                       like(self, text.substr(at + mark.size(), text.size()))});
}

// The part of a string that optional start and end arguments select, in bytes.
struct Window {
  size_t begin = 0;
  size_t end = 0;
  bool valid = true;  // false: start lies behind the end of the string
  std::vector<size_t> offsets;
};

Window window(const Value& self, const Parameters& given, size_t first) {
  Window out;
  const auto start = given.optional_integer(first);
  const auto stop = given.optional_integer(first + 1);
  out.end = self.text().size();
  if (!start && !stop) return out;
  out.offsets = code_point_offsets(self.bytes());
  const int64_t size = static_cast<int64_t>(out.offsets.size()) - 1;
  const auto clamp = [size](int64_t at) {
    return at < 0 ? std::max<int64_t>(at < -size ? 0 : at + size, 0) : at;
  };
  const int64_t from = start ? clamp(*start) : 0;
  const int64_t to = std::min(stop ? clamp(*stop) : size, size);
  out.valid = from <= to;
  if (!out.valid) return out;
  out.begin = out.offsets[static_cast<size_t>(from)];
  out.end = out.offsets[static_cast<size_t>(to)];
  return out;
}

enum class Find { kFirst, kLast };

template <Find which, bool must_exist>
Value find_method_of(Interpreter& interpreter, const Value& self, Call call) {
  const Parameters given("find", call, {"sub", "start", "end"}, 1);
  const std::string_view wanted = given.string(0).bytes();
  const Window where = window(self, given, 1);
  interpreter.budget().charge_bytes(self.text().size());
  size_t at = std::string_view::npos;
  if (where.valid) {
    const std::string_view text = self.bytes().substr(where.begin, where.end - where.begin);
    at = which == Find::kFirst ? text.find(wanted) : text.rfind(wanted);
  }
  if (at == std::string_view::npos) {
    if (must_exist) throw TemplateError("substring not found");
    return Value::integer(-1);
  }
  const std::string_view before = self.bytes().substr(0, where.begin + at);
  return Value::integer(static_cast<int64_t>(count_code_points(before)));
}

Value count_substring(Interpreter& interpreter, const Value& self, Call call) {
  const Parameters given("count", call, {"sub", "start", "end"}, 1);
  const std::string_view wanted = given.string(0).bytes();
  const Window where = window(self, given, 1);
  interpreter.budget().charge_bytes(self.text().size());
  if (!where.valid) return Value::integer(0);
  const std::string_view text = self.bytes().substr(where.begin, where.end - where.begin);
  if (wanted.empty()) return Value::integer(static_cast<int64_t>(count_code_points(text)) + 1);
  int64_t found = 0;
  for (size_t at = text.find(wanted); at != std::string_view::npos;
       at = text.find(wanted, at + wanted.size())) {
    ++found;
  }
  return Value::integer(found);
}

template <bool at_end>
Value starts_or_ends(Interpreter&, const Value& self, Call call) {
  const Parameters given(at_end ? "endswith" : "startswith", call, {"prefix", "start", "end"}, 1);
  const Window where = window(self, given, 1);
  const auto matches = [&](const Value& part) {
    if (!part.is_string()) {
      refuse_undefined(part);
      throw TemplateError("startswith and endswith need a str or a tuple of str");
    }
    if (!where.valid) return false;
    const std::string_view text = self.bytes().substr(where.begin, where.end - where.begin);
    return at_end ? text.ends_with(part.bytes()) : text.starts_with(part.bytes());
  };
  if (!given[0]->is(Kind::kTuple)) return Value::boolean(matches(*given[0]));
  for (const Value& part : given[0]->items()) {
    if (matches(part)) return Value::boolean(true);
  }
  return Value::boolean(false);
}

Value replace_method(Interpreter& interpreter, const Value& self, Call call) {
  const Parameters given("replace", call, {"old", "new", "count"}, 2);
  return like(self, replace(interpreter, self.text(), given.string(0).text(),
                            given.string(1).text(), given.integer(2, -1)));
}

template <bool suffix>
Value remove_affix(Interpreter&, const Value& self, Call call) {
  const Parameters given("removeprefix", call, {"affix"}, 1);
  const std::string_view affix = given.string(0).bytes();
  const size_t size = self.text().size();
  if (suffix && !affix.empty() && self.bytes().ends_with(affix)) {
    return like(self, self.text().substr(0, size - affix.size()));
  }
  if (!suffix && self.bytes().starts_with(affix)) {
    return like(self, self.text().substr(affix.size(), size));
  }
  return self;
}

Value join_method(Interpreter& interpreter, const Value& self, Call call) {
  const Parameters given("join", call, {"iterable"}, 1);
  std::vector<MarkedText> parts;
  Cursor cursor(interpreter, *given[0]);
  for (Value item; cursor.next(item);) {
    if (self.is_markup() && !item.is_markup()) {
      parts.push_back(escape_html(interpreter, to_text(interpreter, item)));
      continue;
    }
    if (!item.is_string()) {
      refuse_undefined(item);
      throw TemplateError("sequence item " + std::to_string(parts.size()) +
                          ": expected str instance, " + std::string(type_name(item)) + " found");
    }
    parts.push_back(item.text());
  }
  return like(self, join(interpreter, self.text(), parts));
}

enum class Justify { kLeft, kRight, kCenter };

template <Justify where>
Value justify(Interpreter& interpreter, const Value& self, Call call) {
  const Parameters given("ljust", call, {"width", "fillchar"}, 1);
  const MarkedText fill = given.has(1) ? given.string(1).text() : MarkedText(" ", false);
  const int64_t width = given.integer(0, 0);
  const MarkedText& text = self.text();
  if (where == Justify::kCenter) return like(self, center(interpreter, text, fill, width));
  const int64_t missing = std::max<int64_t>(width, static_cast<int64_t>(0)) -
                          static_cast<int64_t>(count_code_points(text.view()));
  return like(self, where == Justify::kLeft ? pad(interpreter, text, fill, 0, missing)
                                            : pad(interpreter, text, fill, missing, 0));
}

Value zfill(Interpreter& interpreter, const Value& self, Call call) {
  const Parameters given("zfill", call, {"width"}, 1);
  const MarkedText& text = self.text();
  const int64_t width = std::max<int64_t>(given.integer(0, 0), 0);
  const int64_t missing = width - static_cast<int64_t>(count_code_points(text.view()));
  const bool sign = !text.empty() && (text.bytes()[0] == '+' || text.bytes()[0] == '-');
  const MarkedText zero("0", false);
  MarkedText out = text.substr(0, sign ? 1 : 0);
  out.append(pad(interpreter, text.substr(sign ? 1 : 0, text.size()), zero, missing, 0));
  return like(self, std::move(out));
}

Value expandtabs(Interpreter& interpreter, const Value& self, Call call) {
  const Parameters given("expandtabs", call, {"tabsize"});
  const int64_t tab = given.integer(0, 8);
  MarkedText out;
  int64_t column = 0;
  const MarkedText& text = self.text();
  for (size_t i = 0; i < text.size();) {
    const size_t begin = i;
    const UChar32 c = next_code_point(text.view(), i);
    if (c == '\t') {
      const int64_t spaces = tab > 0 ? tab - column % tab : 0;
      interpreter.budget().charge_bytes(out.size() + static_cast<size_t>(spaces));
      out.append(std::string(static_cast<size_t>(spaces), ' '), text.mark_at(begin));
      column += spaces;
      continue;
    }
    column = c == '\n' || c == '\r' ? 0 : column + 1;
    out.append(text, begin, i);
  }
  return like(self, std::move(out));
}

Value format_method(Interpreter& interpreter, const Value& self, Call call) {
  return str_format(interpreter, self, call);
}

Value format_map(Interpreter& interpreter, const Value& self, Call call) {
  const Parameters given("format_map", call, {"mapping"}, 1);
  if (!given[0]->is(Kind::kDict)) throw TemplateError("format_map() needs a mapping");
  Arguments named;
  for (const auto& [key, value] : given[0]->dict().entries) {
    if (key.is_string()) named.named.emplace_back(std::string(key.bytes()), value);
  }
  return str_format(interpreter, self, named);
}

}  // namespace

const MethodEntry kStringMethods[] = {
    {"strip", strip_method<Side::kBoth>},
    {"lstrip", strip_method<Side::kLeft>},
    {"rstrip", strip_method<Side::kRight>},
    {"split", split_method<false>},
    {"rsplit", split_method<true>},
    {"splitlines", splitlines},
    {"partition", partition<false>},
    {"rpartition", partition<true>},
    {"startswith", starts_or_ends<false>},
    {"endswith", starts_or_ends<true>},
    {"upper", change_case<CaseMapping::kUpper>},
    {"lower", change_case<CaseMapping::kLower>},
    {"title", change_case<CaseMapping::kTitle>},
    {"capitalize", change_case<CaseMapping::kCapitalize>},
    {"casefold", change_case<CaseMapping::kFold>},
    {"swapcase", change_case<CaseMapping::kSwap>},
    {"replace", replace_method},
    {"removeprefix", remove_affix<false>},
    {"removesuffix", remove_affix<true>},
    {"find", find_method_of<Find::kFirst, false>},
    {"rfind", find_method_of<Find::kLast, false>},
    {"index", find_method_of<Find::kFirst, true>},
    {"rindex", find_method_of<Find::kLast, true>},
    {"count", count_substring},
    {"join", join_method},
    {"format", format_method},
    {"format_map", format_map},
    {"ljust", justify<Justify::kLeft>},
    {"rjust", justify<Justify::kRight>},
    {"center", justify<Justify::kCenter>},
    {"zfill", zfill},
    {"expandtabs", expandtabs},
    {"isalnum", check<CharTest::kAlnum>},
    {"isalpha", check<CharTest::kAlpha>},
    {"isascii", check<CharTest::kAscii>},
    {"isdecimal", check<CharTest::kDecimal>},
    {"isdigit", check<CharTest::kDigit>},
    {"isidentifier", check<CharTest::kIdentifier>},
    {"islower", check<CharTest::kLower>},
    {"isnumeric", check<CharTest::kNumeric>},
    {"isprintable", check<CharTest::kPrintable>},
    {"isspace", check<CharTest::kSpace>},
    {"istitle", check<CharTest::kTitle>},
    {"isupper", check<CharTest::kUpper>},
    {"", nullptr},
};

}  // namespace saccade::jinja
