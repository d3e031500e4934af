#include "server/prompt/picture_text.h"

#include <string_view>

namespace saccade {
namespace {

// The first byte of the text behind segment `index`; 0: none.
char first_behind(const std::vector<TextSegment>& text, size_t index) {
  for (size_t i = index + 1; i < text.size(); ++i) {
    if (!text[i].text.empty()) return text[i].text.front();
  }
  return 0;
}

void erase_spaces_from(std::string& text, size_t first) {
  const size_t word = text.find_first_not_of(' ', first);
  text.erase(first, word == std::string::npos ? word : word - first);
}

// Returns where what stood at `end` stands now.
size_t erase_spaces_before(std::string& text, size_t end) {
  const size_t last = end == 0 ? std::string::npos : text.find_last_not_of(' ', end - 1);
  const size_t first = last == std::string::npos ? 0 : last + 1;
  text.erase(first, end - first);
  return first;
}

// Spaces at the start of the text and directly behind a `token`.
void trim_behind(std::vector<TextSegment>& text, const std::string& token) {
  bool behind = true;
  for (TextSegment& segment : text) {
    if (behind) erase_spaces_from(segment.text, 0);
    if (segment.text.empty()) continue;
    for (size_t at = 0; !segment.from_user;) {
      at = segment.text.find(token, at);
      if (at == std::string::npos) break;
      at += token.size();
      erase_spaces_from(segment.text, at);
    }
    behind = !segment.from_user && segment.text.ends_with(token);
  }
}

// Spaces at the end of the text and directly before a `token`.
void trim_before(std::vector<TextSegment>& text, const std::string& token) {
  bool before = true;
  for (size_t i = text.size(); i-- > 0;) {
    TextSegment& segment = text[i];
    if (before) erase_spaces_before(segment.text, segment.text.size());
    if (segment.text.empty()) continue;
    for (size_t at = 0; !segment.from_user; at += token.size()) {
      at = segment.text.find(token, at);
      if (at == std::string::npos) break;
      at = erase_spaces_before(segment.text, at);
    }
    before = !segment.from_user && segment.text.starts_with(token);
  }
}

}  // namespace

// Of two neighbouring `token`s of the template's own one goes, as Python's replace(token + token,
// token) has it.
void drop_doubles(std::vector<TextSegment>& text, const std::string& token) {
  bool ends_with_token = false;  // the template's text so far, with no user's behind it
  for (TextSegment& segment : text) {
    if (segment.text.empty()) continue;
    if (segment.from_user) {
      ends_with_token = false;
      continue;
    }
    if (ends_with_token && segment.text.starts_with(token)) segment.text.erase(0, token.size());
    const std::string twice = token + token;
    for (size_t at = 0; (at = segment.text.find(twice, at)) != std::string::npos;) {
      segment.text.erase(at, token.size());
      at += token.size();
    }
    if (!segment.text.empty()) ends_with_token = segment.text.ends_with(token);
  }
}

// A space behind each `token` of the template's own that a word follows directly, as Python's
// sub(token + "(?=[^\\s<])", token + " ") has it.
void space_words(std::vector<TextSegment>& text, const std::string& token) {
  constexpr std::string_view kNoWord = " \t\n\r\f\v<";
  for (size_t i = 0; i < text.size(); ++i) {
    std::string& own = text[i].text;
    if (text[i].from_user) continue;
    for (size_t at = 0; (at = own.find(token, at)) != std::string::npos;) {
      at += token.size();
      const char next = at < own.size() ? own[at] : first_behind(text, i);
      if (next != 0 && kNoWord.find(next) == std::string_view::npos) own.insert(at, 1, ' ');
    }
  }
}

void trim_around(std::vector<TextSegment>& text, const std::string& token) {
  trim_behind(text, token);
  trim_before(text, token);
}

}  // namespace saccade
