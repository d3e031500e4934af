#include "server/prompt/tokenizer/pre_tokenizer.h"

#include <utility>

#include "server/prompt/tokenizer/byte_alphabet.h"
#include "server/prompt/tokenizer/split_behavior.h"
#include "server/prompt/tokenizer/unicode.h"
#include "server/prompt/tokenizer/word_scanner.h"

namespace saccade {
namespace {

// Runs `cut(word, words)`, which appends spans relative to the word, on every word.
template <typename Cut>
void cut_words(SplitText& text, Cut cut) {
  std::vector<MatchSpan> words;
  words.reserve(text.words.size() * 2);
  const std::string_view all = text.text;
  for (const MatchSpan& word : text.words) {
    cut(all.substr(word.begin, word.end - word.begin), word.begin, words);
  }
  text.words = std::move(words);
}

// Rewrites every word; `append(out, word, is_first_of_input)` writes the new spelling.
template <typename Append>
void rewrite_words(SplitText& text, Append append) {
  std::string out;
  out.reserve(text.text.size() + text.words.size() + 8);
  const std::string_view all = text.text;
  const bool starts = !text.words.empty() && text.words.front().begin == 0 && text.at_start;
  bool first = true;
  for (MatchSpan& word : text.words) {
    const size_t begin = out.size();
    append(out, all.substr(word.begin, word.end - word.begin), first && starts);
    word = {begin, out.size()};
    first = false;
  }
  text.text = std::move(out);
  text.at_start = starts;
}

class PreTokenizerSequence : public PreTokenizer {
 public:
  explicit PreTokenizerSequence(std::vector<std::unique_ptr<PreTokenizer>> parts)
      : parts_(std::move(parts)) {}
  void apply(SplitText& text) const override {
    for (const auto& part : parts_) part->apply(text);
  }

 private:
  std::vector<std::unique_ptr<PreTokenizer>> parts_;
};

class RegexSplit : public PreTokenizer {
 public:
  RegexSplit(Regex regex, SplitBehavior behavior, bool invert)
      : regex_(std::move(regex)), behavior_(behavior), invert_(invert) {}
  void apply(SplitText& text) const override {
    std::vector<MatchSpan> matches;
    cut_words(text, [&](std::string_view word, size_t offset, std::vector<MatchSpan>& words) {
      regex_.find_all(word, matches);
      split_at(matches, word.size(), behavior_, invert_, offset, words);
    });
  }

 private:
  Regex regex_;
  SplitBehavior behavior_;
  bool invert_;
};

// Splits at single characters.
class CharSplit : public PreTokenizer {
 public:
  CharSplit(uint16_t flags, SplitBehavior behavior) : flags_(flags), behavior_(behavior) {}
  CharSplit(char32_t c, SplitBehavior behavior) : char_(c), behavior_(behavior) {}
  void apply(SplitText& text) const override {
    std::vector<MatchSpan> matches;
    cut_words(text, [&](std::string_view word, size_t offset, std::vector<MatchSpan>& words) {
      matches.clear();
      for (size_t pos = 0; pos < word.size();) {
        const size_t begin = pos;
        const char32_t c = unicode::next_char(word, pos);
        if (c == char_ || unicode::has(c, flags_)) matches.push_back({begin, pos});
      }
      split_at(matches, word.size(), behavior_, false, offset, words);
    });
  }

 private:
  static constexpr char32_t kNoChar = 0xFFFFFFFF;
  char32_t char_ = kNoChar;
  uint16_t flags_ = 0;
  SplitBehavior behavior_;
};

// \w+|[^\w\s]+ and nothing else.
class Whitespace : public PreTokenizer {
 public:
  void apply(SplitText& text) const override {
    cut_words(text, [](std::string_view word, size_t offset, std::vector<MatchSpan>& words) {
      const auto kind_at = [&](size_t pos) {
        const uint16_t flags = unicode::char_flags(unicode::char_at(word, pos));
        return flags & unicode::kWord ? 2 : flags & unicode::kSpace ? 0 : 1;
      };
      for (size_t pos = 0; pos < word.size();) {
        const size_t begin = pos;
        const int kind = kind_at(pos);
        while (pos < word.size() && kind_at(pos) == kind) unicode::next_char(word, pos);
        if (kind != 0) words.push_back({begin + offset, pos + offset});
      }
    });
  }
};

class PrefixSpace : public PreTokenizer {
 public:
  void apply(SplitText& text) const override {
    rewrite_words(text, [](std::string& out, std::string_view word, bool) {
      if (word.front() != ' ') out += ' ';
      out += word;
    });
  }
};

// Spells each byte in the GPT-2 alphabet.
class ByteLevelPreTokenizer : public PreTokenizer {
 public:
  void apply(SplitText& text) const override {
    rewrite_words(text, [](std::string& out, std::string_view word, bool) {
      out += byte_alphabet::from_bytes(word);
    });
  }
};

class Metaspace : public PreTokenizer {
 public:
  enum class Prepend { kAlways, kFirst, kNever };
  Metaspace(char32_t replacement, Prepend prepend, bool split)
      : split_(replacement, SplitBehavior::kMergedWithNext), prepend_(prepend), splits_(split) {
    unicode::append(mark_, replacement);
  }
  void apply(SplitText& text) const override {
    rewrite_words(text, [&](std::string& out, std::string_view word, bool at_start) {
      const bool wanted = prepend_ == Prepend::kAlways || (prepend_ == Prepend::kFirst && at_start);
      if (wanted && word.front() != ' ' && !word.starts_with(mark_)) out += mark_;
      for (const char c : word) {
        if (c == ' ') {
          out += mark_;
        } else {
          out += c;
        }
      }
    });
    if (splits_) split_.apply(text);
  }

 private:
  CharSplit split_;
  std::string mark_;
  Prepend prepend_;
  bool splits_;
};

using Parts = std::vector<std::unique_ptr<PreTokenizer>>;

void add_split(const JsonNode& node, Parts& parts) {
  const JsonNode pattern = node.at("pattern");
  const SplitBehavior behavior = read_split_behavior(node.at("behavior"));
  const bool invert = node.at("invert").boolean();
  const auto text = pattern.find("String");
  const JsonNode value = text ? *text : pattern.at("Regex");
  Regex regex =
      text ? Regex::literal(value.string(), value.where()) : Regex(value.string(), value.where());
  parts.push_back(std::make_unique<RegexSplit>(std::move(regex), behavior, invert));
}

void add_metaspace(const JsonNode& node, Parts& parts) {
  using Prepend = Metaspace::Prepend;
  const std::string scheme = node.string_or("prepend_scheme", "always");
  Prepend prepend = Prepend::kAlways;
  if (scheme == "first") {
    prepend = Prepend::kFirst;
  } else if (scheme == "never") {
    prepend = Prepend::kNever;
  } else if (scheme != "always") {
    node.at("prepend_scheme").fail("the scheme '" + scheme + "' is not supported");
  }
  if (!node.boolean_or("add_prefix_space", true)) prepend = Prepend::kNever;
  parts.push_back(std::make_unique<Metaspace>(node.at("replacement").character(), prepend,
                                              node.boolean_or("split", true)));
}

void add_byte_level(const JsonNode& node, std::optional<bool> prefix_override, Parts& parts) {
  const bool prefix = node.at("add_prefix_space").boolean();
  if (prefix_override.value_or(prefix)) parts.push_back(std::make_unique<PrefixSpace>());
  if (node.boolean_or("use_regex", true)) {
    parts.push_back(std::make_unique<RegexSplit>(Regex(kGpt2Pattern, node.where()),
                                                 SplitBehavior::kIsolated, false));
  }
  parts.push_back(std::make_unique<ByteLevelPreTokenizer>());
}

void add_char_split(uint16_t flags, SplitBehavior behavior, Parts& parts) {
  parts.push_back(std::make_unique<CharSplit>(flags, behavior));
}

void add_part(const JsonNode& node, const PreTokenizerOptions& options, int depth, Parts& parts) {
  node.check_depth(depth);
  const std::string type = node.type();
  if (type == "Sequence") {
    for (const JsonNode& part : node.at("pretokenizers").items()) {
      add_part(part, {}, depth + 1, parts);
    }
  } else if (type == "ByteLevel") {
    add_byte_level(node, options.add_prefix_space, parts);
  } else if (type == "Metaspace") {
    add_metaspace(node, parts);
  } else if (type == "Split") {
    add_split(node, parts);
  } else if (type == "Digits") {
    const bool single = node.at("individual_digits").boolean();
    add_char_split(unicode::kNumeric,
                   single ? SplitBehavior::kIsolated : SplitBehavior::kContiguous, parts);
  } else if (type == "Punctuation") {
    const auto behavior = node.find("behavior");
    add_char_split(unicode::kPunctuation,
                   behavior ? read_split_behavior(*behavior) : SplitBehavior::kIsolated, parts);
  } else if (type == "Whitespace") {
    parts.push_back(std::make_unique<Whitespace>());
  } else if (type == "WhitespaceSplit") {
    add_char_split(unicode::kSpace, SplitBehavior::kRemoved, parts);
  } else if (type == "BertPreTokenizer") {
    add_char_split(unicode::kSpace, SplitBehavior::kRemoved, parts);
    add_char_split(unicode::kPunctuation, SplitBehavior::kIsolated, parts);
  } else if (type == "CharDelimiterSplit" || type == "Delimiter") {
    parts.push_back(
        std::make_unique<CharSplit>(node.at("delimiter").character(), SplitBehavior::kRemoved));
  } else {
    node.at("type").fail("the pre-tokenizer '" + type + "' is not supported");
  }
}

}  // namespace

PreTokenizerChain make_pre_tokenizer(const JsonNode& node, const PreTokenizerOptions& options) {
  Parts parts;
  add_part(node, options, 0, parts);
  PreTokenizerChain chain;
  if (options.leave_bytes && !parts.empty() &&
      dynamic_cast<const ByteLevelPreTokenizer*>(parts.back().get()) != nullptr) {
    parts.pop_back();
    chain.byte_level = true;
  }
  if (parts.size() == 1) {
    chain.steps = std::move(parts.front());
  } else if (!parts.empty()) {
    chain.steps = std::make_unique<PreTokenizerSequence>(std::move(parts));
  }
  return chain;
}

}  // namespace saccade
