#include "server/prompt/tokenizer/unicode.h"

#include <unicode/uchar.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <memory>

#include "server/prompt/tokenizer/unicode_tables.h"

namespace saccade::unicode {
namespace {

constexpr char32_t kCodePoints = 0x110000;
constexpr size_t kBlock = 256;
using Block = std::array<uint16_t, kBlock>;

const CategoryRange* find_new_category(char32_t c) {
  const auto* end = std::end(kNewCategories);
  const auto* range =
      std::upper_bound(std::begin(kNewCategories), end, c,
                       [](char32_t x, const CategoryRange& r) { return x <= r.last; });
  return range != end && c >= range->first ? range : nullptr;
}

template <size_t N>
bool in_ranges(char32_t c, const CharRange (&ranges)[N]) {
  return std::any_of(ranges, ranges + N,
                     [c](const CharRange& r) { return c >= r.first && c <= r.last; });
}

// Major and minor version of Unicode that first assigned `c`; {0, 0} for none.
bool older_than(char32_t c, uint8_t major) {
  UVersionInfo age;
  u_charAge(static_cast<UChar32>(c), age);
  return age[0] != 0 && (age[0] < major || (age[0] == major && age[1] == 0));
}

bool is_ascii_punctuation(char32_t c) {
  return (c >= '!' && c <= '/') || (c >= ':' && c <= '@') || (c >= '[' && c <= '`') ||
         (c >= '{' && c <= '~');
}

uint16_t newer_flags(Category category) {
  switch (category) {
    case kLu:
    case kLl:
    case kLm:
    case kLo:
      return kLetter | kWord;
    case kMn:
    case kMc:
      return kWord;
    case kNd:
      return kNumber | kNumeric | kWord;
    case kNo:
      return kNumber | kNumeric;
    default:
      return 0;
  }
}

// Classes of the current Unicode version.
uint16_t current_flags(char32_t c) {
  const auto point = static_cast<UChar32>(c);
  const uint32_t mask = U_GET_GC_MASK(point);
  uint16_t flags = 0;
  if (mask & U_GC_L_MASK) flags |= kLetter;
  if (mask & U_GC_N_MASK) flags |= kNumber | kNumeric;
  if (u_hasBinaryProperty(point, UCHAR_ALPHABETIC) ||
      (mask & (U_GC_M_MASK | U_GC_ND_MASK | U_GC_PC_MASK)) ||
      u_hasBinaryProperty(point, UCHAR_JOIN_CONTROL)) {
    flags |= kWord;
  }
  if (const CategoryRange* range = find_new_category(c)) flags = newer_flags(range->category);
  if (u_hasBinaryProperty(point, UCHAR_WHITE_SPACE)) flags |= kSpace;
  if (in_ranges(c, kNewerNumeric)) flags |= kNumeric;
  return flags;
}

// Classes of unicode_categories (Unicode 8) and unicode-normalization (Unicode 9).
uint16_t dated_flags(char32_t c) {
  const uint32_t mask = U_GET_GC_MASK(static_cast<UChar32>(c));
  uint16_t flags = 0;
  if (older_than(c, 8)) {
    if (mask & U_GC_P_MASK) flags |= kPunctuation;
    if ((mask & U_GC_MN_MASK) && !in_ranges(c, kLaterNonspacing)) flags |= kNonspacing;
    if (mask & (U_GC_CC_MASK | U_GC_CF_MASK | U_GC_CO_MASK)) flags |= kControl;
  }
  if (in_ranges(c, kFormerPunctuation) || is_ascii_punctuation(c)) flags |= kPunctuation;
  if (in_ranges(c, kFormerNonspacing)) flags |= kNonspacing;
  if (older_than(c, 9) && (mask & U_GC_M_MASK) && !in_ranges(c, kLaterCombining))
    flags |= kCombining;
  if (in_ranges(c, kFormerCombining)) flags |= kCombining;
  return flags;
}

// Flags of 256 characters at a time, worked out when one of them is first asked for: all of them
// would cost a third of a second, and texts use few.
class FlagTable {
 public:
  const Block& block(size_t index) {
    const Block* known = blocks_[index].load(std::memory_order_acquire);
    return known ? *known : fill(index);
  }
  ~FlagTable() {
    for (auto& block : blocks_) delete block.load();
  }

 private:
  const Block& fill(size_t index) {
    auto fresh = std::make_unique<Block>();
    for (char32_t i = 0; i < kBlock; ++i) {
      const auto c = static_cast<char32_t>(index * kBlock) + i;
      (*fresh)[i] = current_flags(c) | dated_flags(c);
    }
    const Block* expected = nullptr;
    if (blocks_[index].compare_exchange_strong(expected, fresh.get(), std::memory_order_acq_rel)) {
      return *fresh.release();
    }
    return *expected;  // another thread was faster
  }

  std::array<std::atomic<const Block*>, kCodePoints / kBlock> blocks_{};
};

char32_t stand_in_of(Category category, char32_t c) {
  const bool three_bytes = c < 0x10000;
  switch (category) {
    case kLu:
      return three_bytes ? 0x10A0 : 0x10400;
    case kLl:
      return three_bytes ? 0x10D0 : 0x10428;
    case kLm:
      return 0x10780;
    case kLo:
      return c >= 0x20000 ? 0x20000 : 0x10280;
    case kMn:
      return three_bytes ? 0x816 : 0x101FD;
    case kMc:
      return three_bytes ? 0x903 : 0x11000;
    case kNd:
      return 0x104A0;
    case kNo:
      return 0x10107;
    case kPd:
      return 0x10EAD;
    case kPo:
      return three_bytes ? 0x830 : 0x10100;
    case kSm:
      return 0x1D6C1;
    case kSo:
      return three_bytes ? 0x9FA : 0x10137;
    case kCf:
      return 0x110BD;
  }
  return c;
}

}  // namespace

uint16_t char_flags(char32_t c) {
  static FlagTable table;
  if (c >= kCodePoints) return 0;
  return table.block(c / kBlock)[c % kBlock];
}

void append(std::string& out, char32_t c) {
  if (c < 0x80) {
    out += static_cast<char>(c);
  } else if (c < 0x800) {
    out += static_cast<char>(0xC0 | c >> 6);
    out += static_cast<char>(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    out += static_cast<char>(0xE0 | c >> 12);
    out += static_cast<char>(0x80 | (c >> 6 & 0x3F));
    out += static_cast<char>(0x80 | (c & 0x3F));
  } else {
    out += static_cast<char>(0xF0 | c >> 18);
    out += static_cast<char>(0x80 | (c >> 12 & 0x3F));
    out += static_cast<char>(0x80 | (c >> 6 & 0x3F));
    out += static_cast<char>(0x80 | (c & 0x3F));
  }
}

bool is_ascii(std::string_view text) {
  return std::none_of(text.begin(), text.end(),
                      [](char c) { return static_cast<signed char>(c) < 0; });
}

int scan_sequence(std::string_view bytes, bool& incomplete) {
  incomplete = false;
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(bytes[i]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) return 1;
  if (lead < 0xC2 || lead > 0xF4) return -1;
  const size_t length = utf8_length(lead);
  // The second byte of E0, ED, F0 and F4 has a smaller range (Unicode, table 3-7).
  const unsigned char low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
  const unsigned char high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
  for (size_t i = 1; i < length; ++i) {
    if (i >= bytes.size()) {
      incomplete = true;
      return -static_cast<int>(i);
    }
    const bool ok = i == 1 ? byte(i) >= low && byte(i) <= high : (byte(i) & 0xC0) == 0x80;
    if (!ok) return -static_cast<int>(i);
  }
  return static_cast<int>(length);
}

bool is_valid(std::string_view bytes) {
  bool incomplete = false;
  while (!bytes.empty()) {
    const int length = scan_sequence(bytes, incomplete);
    if (length < 0) return false;
    bytes.remove_prefix(static_cast<size_t>(length));
  }
  return true;
}

std::string to_valid(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size());
  bool incomplete = false;
  while (!bytes.empty()) {
    const int length = scan_sequence(bytes, incomplete);
    const auto taken = static_cast<size_t>(length < 0 ? -length : length);
    out += length < 0 ? std::string_view("\xEF\xBF\xBD") : bytes.substr(0, taken);
    bytes.remove_prefix(taken);
  }
  return out;
}

void append_lower(std::string& out, char32_t c) {
  if (c == 0x130) {  // the only unconditional one-to-many lower case: i and a combining dot
    out += "i\xCC\x87";
    return;
  }
  for (const LowerRange& range : kNewerLower) {
    if (c >= range.first && c <= range.last) {
      append(out, c + range.distance);
      return;
    }
  }
  append(out, static_cast<char32_t>(u_tolower(static_cast<UChar32>(c))));
}

char32_t regex_stand_in(char32_t c) {
  const CategoryRange* range = find_new_category(c);
  return range ? stand_in_of(range->category, c) : c;
}

}  // namespace saccade::unicode
