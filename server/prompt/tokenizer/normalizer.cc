#include "server/prompt/tokenizer/normalizer.h"

#include <unicode/normalizer2.h>
#include <unicode/uniset.h>

#include <algorithm>
#include <functional>
#include <optional>
#include <stdexcept>
#include <utility>

#include "engine/core/status.h"
#include "server/prompt/tokenizer/byte_alphabet.h"
#include "server/prompt/tokenizer/regex.h"
#include "server/prompt/tokenizer/unicode.h"

namespace saccade {
namespace {

// Rewrites a text piece by piece and carries the origin of each piece along.
class Rewriter {
 public:
  explicit Rewriter(NormalizedText& target) : target_(target) {
    out_.text.reserve(target.text.size() + target.text.size() / 8);
  }
  std::string_view source() const { return target_.text; }

  // Appends `piece`, which stands for source bytes [begin, end).
  void put(std::string_view piece, size_t begin, size_t end) { put_at(begin, piece, begin, end); }
  // The same, for a piece that takes the place of source byte `anchor`.
  void put_at(size_t anchor, std::string_view piece, size_t begin, size_t end) {
    if (out_.text.empty() && !piece.empty() && anchor > 0) out_.at_start = false;
    out_.text += piece;
    mark(piece.size(), begin, end);
  }
  void put(char32_t c, size_t begin, size_t end) {
    const size_t before = out_.text.size();
    if (before == 0 && begin > 0) out_.at_start = false;
    unicode::append(out_.text, c);
    mark(out_.text.size() - before, begin, end);
  }
  void put_source(size_t begin, size_t end) {
    if (begin == end) return;
    if (out_.text.empty() && begin > 0) out_.at_start = false;
    out_.text.append(target_.text, begin, end - begin);
    if (!target_.from_user.empty()) {
      out_.from_user.insert(out_.from_user.end(),
                            target_.from_user.begin() + static_cast<long>(begin),
                            target_.from_user.begin() + static_cast<long>(end));
    }
  }
  void finish() {
    target_.text = std::move(out_.text);
    target_.from_user = std::move(out_.from_user);
    target_.at_start = target_.at_start && out_.at_start;
  }

 private:
  void mark(size_t bytes, size_t begin, size_t end) {
    if (target_.from_user.empty()) return;
    const auto* flags = target_.from_user.data();
    const bool user = std::any_of(flags + begin, flags + end, [](uint8_t f) { return f != 0; });
    out_.from_user.insert(out_.from_user.end(), bytes, user ? 1 : 0);
  }

  NormalizedText& target_;
  NormalizedText out_;
};

// fn(rewriter, c, begin, end) for each character.
template <typename Function>
void rewrite_chars(NormalizedText& text, Function fn) {
  Rewriter out(text);
  for (size_t pos = 0; pos < text.text.size();) {
    const size_t begin = pos;
    const char32_t c = unicode::next_char(out.source(), pos);
    fn(out, c, begin, pos);
  }
  out.finish();
}

class NormalizerSequence : public Normalizer {
 public:
  explicit NormalizerSequence(std::vector<std::unique_ptr<Normalizer>> parts)
      : parts_(std::move(parts)) {}
  void apply(NormalizedText& text) const override {
    for (const auto& part : parts_) part->apply(text);
  }

 private:
  std::vector<std::unique_ptr<Normalizer>> parts_;
};

// NFC, NFD, NFKC, NFKD. The reference's tables are those of Unicode 9; characters that came later
// pass through.
class UnicodeForm : public Normalizer {
 public:
  UnicodeForm(const char* data, UNormalization2Mode mode, const std::string& where) {
    UErrorCode error = U_ZERO_ERROR;
    const icu::Normalizer2* form = icu::Normalizer2::getInstance(nullptr, data, mode, error);
    known_ = std::make_unique<icu::UnicodeSet>(icu::UnicodeString("[:age=9.0:]"), error);
    if (U_FAILURE(error)) throw LoadError(where + ": ICU: " + u_errorName(error));
    known_->freeze();
    form_ = std::make_unique<icu::FilteredNormalizer2>(*form, *known_);
  }

  void apply(NormalizedText& text) const override {
    if (unicode::is_ascii(text.text)) return;
    if (text.from_user.empty()) {
      text.text = normalized(text.text);
      return;
    }
    // Piece by piece between borders over which nothing composes, so that origins can follow.
    Rewriter out(text);
    const std::string_view source = out.source();
    size_t begin = 0;
    for (size_t pos = 0; pos < source.size();) {
      unicode::next_char(source, pos);
      const bool border =
          pos == source.size() ||
          form_->hasBoundaryBefore(static_cast<UChar32>(unicode::char_at(source, pos)));
      if (!border) continue;
      out.put(normalized(source.substr(begin, pos - begin)), begin, pos);
      begin = pos;
    }
    out.finish();
  }

 private:
  std::string normalized(std::string_view text) const {
    UErrorCode error = U_ZERO_ERROR;
    const auto source = icu::UnicodeString::fromUTF8(
        icu::StringPiece(text.data(), static_cast<int32_t>(text.size())));
    const icu::UnicodeString result = form_->normalize(source, error);
    if (U_FAILURE(error)) return std::string(text);
    std::string out;
    result.toUTF8String(out);
    return out;
  }

  std::unique_ptr<icu::UnicodeSet> known_;
  std::unique_ptr<icu::Normalizer2> form_;
};

std::unique_ptr<UnicodeForm> make_form(std::string_view name, const std::string& where) {
  const bool compose = name.back() == 'C';
  return std::make_unique<UnicodeForm>(name.find('K') != std::string_view::npos ? "nfkc" : "nfc",
                                       compose ? UNORM2_COMPOSE : UNORM2_DECOMPOSE, where);
}

class Lowercase : public Normalizer {
 public:
  void apply(NormalizedText& text) const override {
    if (unicode::is_ascii(text.text)) {
      for (char& c : text.text) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
      return;
    }
    std::string lower;
    rewrite_chars(text, [&](Rewriter& out, char32_t c, size_t begin, size_t end) {
      lower.clear();
      unicode::append_lower(lower, c);
      out.put(lower, begin, end);
    });
  }
};

class Strip : public Normalizer {
 public:
  Strip(bool left, bool right) : left_(left), right_(right) {}
  void apply(NormalizedText& text) const override {
    const std::string_view source = text.text;
    size_t begin = 0, end = source.size();
    for (size_t pos = 0; left_ && pos < end; begin = pos) {
      if (!unicode::has(unicode::next_char(source, pos), unicode::kSpace)) break;
    }
    while (right_ && end > begin) {
      const size_t start = unicode::previous_start(source, end);
      if (!unicode::has(unicode::char_at(source, start), unicode::kSpace)) break;
      end = start;
    }
    Rewriter out(text);
    out.put_source(begin, end);
    out.finish();
  }

 private:
  bool left_, right_;
};

// Drops the characters for which `drop` holds and maps the others.
class CharMap : public Normalizer {
 public:
  using Drop = std::function<bool(char32_t)>;
  using Map = std::function<char32_t(char32_t)>;
  CharMap(Drop drop, Map map) : drop_(std::move(drop)), map_(std::move(map)) {}
  void apply(NormalizedText& text) const override {
    rewrite_chars(text, [&](Rewriter& out, char32_t c, size_t begin, size_t end) {
      if (!drop_(c)) out.put(map_(c), begin, end);
    });
  }

 private:
  Drop drop_;
  Map map_;
};

bool nmt_drops(char32_t c) {
  return (c >= 0x1 && c <= 0x8) || c == 0xB || (c >= 0xE && c <= 0x1F) || c == 0x7F || c == 0x8F ||
         c == 0x9F;
}

char32_t nmt_maps(char32_t c) {
  const bool blank = c == 0x9 || c == 0xA || c == 0xC || c == 0xD || c == 0x1680 ||
                     (c >= 0x200B && c <= 0x200F) || c == 0x2028 || c == 0x2029 || c == 0x2581 ||
                     c == 0xFEFF || c == 0xFFFD;
  return blank ? ' ' : c;
}

// Several times the longest prompt: a file whose patterns double a text again and again fails the
// request, not the process.
constexpr size_t kMaxReplacedBytes = size_t{64} << 20;

class Replace : public Normalizer {
 public:
  Replace(Regex regex, std::string content)
      : regex_(std::move(regex)), content_(std::move(content)) {}
  void apply(NormalizedText& text) const override {
    std::vector<MatchSpan> matches;
    regex_.find_all(text.text, matches);
    if (matches.empty()) return;
    if (text.text.size() + matches.size() * content_.size() > kMaxReplacedBytes) {
      throw std::length_error("the tokenizer's normalizer makes too much of a text");
    }
    Rewriter out(text);
    const std::string_view source = out.source();
    size_t last = 0;
    for (const MatchSpan& match : matches) {
      out.put_source(last, match.begin);
      // The replacement stands where the last replaced character stood.
      const size_t place =
          match.end > match.begin ? unicode::previous_start(source, match.end) : match.begin;
      out.put_at(place, content_, match.begin, match.end);
      last = match.end;
    }
    out.put_source(last, source.size());
    out.finish();
  }

 private:
  Regex regex_;
  std::string content_;
};

class Prepend : public Normalizer {
 public:
  explicit Prepend(std::string prefix) : prefix_(std::move(prefix)) {}
  void apply(NormalizedText& text) const override {
    if (text.text.empty()) return;
    text.text.insert(0, prefix_);
    if (!text.from_user.empty()) text.from_user.insert(text.from_user.begin(), prefix_.size(), 0);
  }

 private:
  std::string prefix_;
};

class ByteLevelNormalizer : public Normalizer {
 public:
  void apply(NormalizedText& text) const override {
    Rewriter out(text);
    const std::string_view source = out.source();
    for (size_t i = 0; i < source.size(); ++i) {
      out.put(byte_alphabet::char_of(static_cast<unsigned char>(source[i])), i, i + 1);
    }
    out.finish();
  }
};

bool is_chinese(char32_t c) {
  return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) ||
         (c >= 0x20000 && c <= 0x2A6DF) || (c >= 0x2A700 && c <= 0x2B73F) ||
         (c >= 0x2B740 && c <= 0x2B81F) || (c >= 0x2B920 && c <= 0x2CEAF) ||
         (c >= 0xF900 && c <= 0xFAFF) || (c >= 0x2F800 && c <= 0x2FA1F);
}

class Bert : public Normalizer {
 public:
  explicit Bert(const JsonNode& node)
      : clean_(node.at("clean_text").boolean()),
        chinese_(node.at("handle_chinese_chars").boolean()),
        lower_(node.at("lowercase").boolean()) {
    strip_accents_ = node.boolean_or("strip_accents", lower_);
    decompose_ = make_form("NFD", node.where());
  }

  void apply(NormalizedText& text) const override {
    const bool ascii = unicode::is_ascii(text.text);
    if (clean_) clean(text);
    if (chinese_ && !ascii) spread_chinese(text);
    if (strip_accents_ && !ascii) {
      decompose_->apply(text);
      rewrite_chars(text, [](Rewriter& out, char32_t c, size_t begin, size_t end) {
        if (!unicode::has(c, unicode::kNonspacing)) out.put(c, begin, end);
      });
    }
    if (lower_) lowercase_.apply(text);
  }

 private:
  static void clean(NormalizedText& text) {
    rewrite_chars(text, [](Rewriter& out, char32_t c, size_t begin, size_t end) {
      if (c >= ' ' && c < 0x7F) {
        out.put(c, begin, end);
        return;
      }
      const bool layout = c == '\t' || c == '\n' || c == '\r';
      const uint16_t flags = unicode::char_flags(c);
      if (c == 0 || c == 0xFFFD || (!layout && (flags & unicode::kControl))) return;
      out.put(layout || (flags & unicode::kSpace) ? U' ' : c, begin, end);
    });
  }

  static void spread_chinese(NormalizedText& text) {
    rewrite_chars(text, [](Rewriter& out, char32_t c, size_t begin, size_t end) {
      const bool spread = is_chinese(c);
      if (spread) out.put(U' ', begin, end);
      out.put(c, begin, end);
      if (spread) out.put(U' ', begin, end);
    });
  }

  bool clean_, chinese_, strip_accents_ = false, lower_;
  std::unique_ptr<UnicodeForm> decompose_;
  Lowercase lowercase_;
};

std::unique_ptr<Normalizer> make_replace_normalizer(const JsonNode& node) {
  const JsonNode pattern = node.at("pattern");
  const std::string content = node.at("content").string();
  if (const auto text = pattern.find("String")) {
    return std::make_unique<Replace>(Regex::literal(text->string(), text->where()), content);
  }
  const JsonNode regex = pattern.at("Regex");
  return std::make_unique<Replace>(Regex(regex.string(), regex.where()), content);
}

std::unique_ptr<Normalizer> make_sequence(const JsonNode& node, int depth) {
  std::vector<std::unique_ptr<Normalizer>> parts;
  for (const JsonNode& part : node.at("normalizers").items()) {
    parts.push_back(make_normalizer(part, depth + 1));
  }
  return std::make_unique<NormalizerSequence>(std::move(parts));
}

}  // namespace

std::unique_ptr<Normalizer> make_normalizer(const JsonNode& node, int depth) {
  node.check_depth(depth);
  const std::string type = node.type();
  if (type == "Sequence") return make_sequence(node, depth);
  if (type == "NFC" || type == "NFD" || type == "NFKC" || type == "NFKD") {
    return make_form(type, node.where());
  }
  if (type == "Lowercase") return std::make_unique<Lowercase>();
  if (type == "Strip") {
    return std::make_unique<Strip>(node.at("strip_left").boolean(),
                                   node.at("strip_right").boolean());
  }
  if (type == "StripAccents") {
    return std::make_unique<CharMap>(
        [](char32_t c) { return unicode::has(c, unicode::kCombining); },
        [](char32_t c) { return c; });
  }
  if (type == "Nmt") return std::make_unique<CharMap>(nmt_drops, nmt_maps);
  if (type == "Replace") return make_replace_normalizer(node);
  if (type == "Prepend") return std::make_unique<Prepend>(node.at("prepend").string());
  if (type == "ByteLevel") return std::make_unique<ByteLevelNormalizer>();
  if (type == "BertNormalizer" || type == "Bert") return std::make_unique<Bert>(node);
  node.at("type").fail("the normalizer '" + type + "' is not supported");
}

}  // namespace saccade
