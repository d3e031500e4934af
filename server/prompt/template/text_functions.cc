#include "server/prompt/template/text_functions.h"

#include <algorithm>

#include "server/prompt/template/interpreter.h"
#include "server/prompt/template/unicode.h"

namespace saccade::jinja {
namespace {

bool holds(std::string_view set, std::string_view character) {
  // A whole UTF-8 character cannot match in the middle of another one.
  return set.find(character) != std::string_view::npos;
}

}  // namespace

MarkedText strip(const MarkedText& text, const Value* chars, Side side) {
  const std::string_view all = text.view();
  const auto drop = [&](size_t begin, size_t end) {
    if (chars != nullptr) return holds(chars->bytes(), all.substr(begin, end - begin));
    return is_space(next_code_point(all, begin));
  };
  size_t begin = 0;
  size_t end = all.size();
  while (side != Side::kRight && begin < end) {
    size_t behind = begin;
    next_code_point(all, behind);
    if (!drop(begin, behind)) break;
    begin = behind;
  }
  while (side != Side::kLeft && end > begin) {
    size_t start = end;
    previous_code_point(all, start);
    if (!drop(start, end)) break;
    end = start;
  }
  return text.substr(begin, end);
}

namespace {

// Replacing "" puts `to` before every character and at the end.
MarkedText replace_empty(Interpreter& interpreter, const MarkedText& text, const MarkedText& to,
                         int64_t count) {
  MarkedText out;
  size_t i = 0;
  while (true) {
    if (count == 0) {
      out.append(text, i, text.size());
      break;
    }
    out.append(to);
    --count;
    if (i >= text.size()) break;
    const size_t begin = i;
    next_code_point(text.view(), i);
    out.append(text, begin, i);
    interpreter.budget().charge();
    if (out.size() > interpreter.budget().max_bytes()) break;
  }
  return out;
}

}  // namespace

MarkedText replace(Interpreter& interpreter, const MarkedText& text, const MarkedText& from,
                   const MarkedText& to, int64_t count) {
  Budget& budget = interpreter.budget();
  budget.charge_bytes(text.size());
  MarkedText out;
  if (from.empty()) {
    out = replace_empty(interpreter, text, to, count);
  } else {
    size_t i = 0;
    while (count != 0) {
      const size_t found = text.view().find(from.view(), i);
      if (found == std::string_view::npos) break;
      out.append(text, i, found);
      out.append(to);
      i = found + from.size();
      --count;
      if (out.size() > budget.max_bytes()) break;
    }
    out.append(text, i, text.size());
  }
  budget.charge_bytes(out.size());
  return out;
}

namespace {

std::vector<MarkedText> split_spaces(const MarkedText& text, int64_t limit) {
  std::vector<MarkedText> out;
  const std::string_view all = text.view();
  size_t i = 0;
  while (true) {
    size_t begin = i;
    while (begin < all.size()) {
      size_t behind = begin;
      if (!is_space(next_code_point(all, behind))) break;
      begin = behind;
    }
    if (begin >= all.size()) return out;
    if (limit == 0) {
      out.push_back(text.substr(begin, all.size()));
      return out;
    }
    size_t end = begin;
    while (end < all.size()) {
      size_t behind = end;
      if (is_space(next_code_point(all, behind))) break;
      end = behind;
    }
    out.push_back(text.substr(begin, end));
    i = end;
    --limit;
  }
}

std::vector<MarkedText> split_spaces_from_right(const MarkedText& text, int64_t limit) {
  std::vector<MarkedText> out;
  const std::string_view all = text.view();
  size_t i = all.size();
  while (true) {
    size_t end = i;
    while (end > 0) {
      size_t start = end;
      if (!is_space(previous_code_point(all, start))) break;
      end = start;
    }
    if (end == 0) break;
    if (limit == 0) {
      out.push_back(text.substr(0, end));
      break;
    }
    size_t begin = end;
    while (begin > 0) {
      size_t start = begin;
      if (is_space(previous_code_point(all, start))) break;
      begin = start;
    }
    out.push_back(text.substr(begin, end));
    i = begin;
    --limit;
  }
  std::reverse(out.begin(), out.end());
  return out;
}

}  // namespace

std::vector<MarkedText> split(Interpreter& interpreter, const MarkedText& text,
                              const MarkedText* separator, int64_t limit, bool from_right) {
  interpreter.budget().charge_bytes(text.size());
  std::vector<MarkedText> out;
  if (separator == nullptr) {
    out = from_right ? split_spaces_from_right(text, limit) : split_spaces(text, limit);
    interpreter.budget().charge(out.size());
    return out;
  }
  if (separator->empty()) throw TemplateError("empty separator");
  const std::string_view all = text.view();
  const std::string_view mark = separator->view();
  if (!from_right) {
    size_t i = 0;
    for (size_t at = all.find(mark); at != std::string_view::npos && limit != 0; --limit) {
      out.push_back(text.substr(i, at));
      interpreter.budget().charge();
      i = at + mark.size();
      at = all.find(mark, i);
    }
    out.push_back(text.substr(i, all.size()));
    return out;
  }
  size_t end = all.size();
  while (limit != 0 && end >= mark.size()) {
    const size_t at = all.rfind(mark, end - mark.size());
    if (at == std::string_view::npos) break;
    out.push_back(text.substr(at + mark.size(), end));
    interpreter.budget().charge();
    end = at;
    --limit;
  }
  out.push_back(text.substr(0, end));
  std::reverse(out.begin(), out.end());
  return out;
}

std::vector<MarkedText> split_lines(Interpreter& interpreter, const MarkedText& text,
                                    bool keep_ends) {
  interpreter.budget().charge_bytes(text.size());
  std::vector<MarkedText> out;
  const std::string_view all = text.view();
  size_t begin = 0;
  size_t i = 0;
  while (i < all.size()) {
    const size_t end = i;
    const UChar32 c = next_code_point(all, i);
    if (!is_line_break(c)) continue;
    if (c == '\r' && i < all.size() && all[i] == '\n') ++i;
    out.push_back(text.substr(begin, keep_ends ? i : end));
    interpreter.budget().charge();
    begin = i;
  }
  if (begin < all.size()) out.push_back(text.substr(begin, all.size()));
  return out;
}

MarkedText join(Interpreter& interpreter, const MarkedText& separator,
                const std::vector<MarkedText>& parts) {
  size_t size = 0;
  for (const MarkedText& part : parts) size += part.size() + separator.size();
  interpreter.budget().charge_bytes(size);
  MarkedText out;
  out.reserve(size);
  for (size_t i = 0; i < parts.size(); ++i) {
    if (i > 0) out.append(separator);
    out.append(parts[i]);
  }
  return out;
}

MarkedText reverse(const MarkedText& text) {
  MarkedText out;
  out.reserve(text.size());
  size_t end = text.size();
  while (end > 0) {
    size_t begin = end;
    previous_code_point(text.view(), begin);
    out.append(text, begin, end);
    end = begin;
  }
  return out;
}

MarkedText pad(Interpreter& interpreter, const MarkedText& text, const MarkedText& fill,
               int64_t before, int64_t behind) {
  const auto columns = [&](int64_t count) {
    const uint64_t size = count > 0 ? static_cast<uint64_t>(count) : 0;
    if (size > interpreter.budget().max_bytes() / 4) interpreter.budget().charge_bytes(SIZE_MAX);
    MarkedText out;
    for (uint64_t i = 0; i < size; ++i) out.append(fill);
    return out;
  };
  if (count_code_points(fill.view()) != 1) {
    throw TemplateError("The fill character must be exactly one character long");
  }
  MarkedText out = columns(before);
  out.append(text);
  out.append(columns(behind));
  interpreter.budget().charge_bytes(out.size());
  return out;
}

MarkedText center(Interpreter& interpreter, const MarkedText& text, const MarkedText& fill,
                  int64_t width) {
  const int64_t size = static_cast<int64_t>(count_code_points(text.view()));
  const int64_t missing = width > size ? width - size : 0;
  // The odd column goes left when the width is odd.
  const int64_t before = missing / 2 + (missing & width & 1);
  return pad(interpreter, text, fill, before, missing - before);
}

}  // namespace saccade::jinja
