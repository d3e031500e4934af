#include "server/output/grammar/utf8.h"

#include <array>

namespace saccade::grammar {
namespace {

// Last code point of one, two, three and four bytes.
constexpr std::array<char32_t, 4> kLastOfLength = {0x7f, 0x7ff, 0xffff, 0x10ffff};
constexpr std::array<uint8_t, 4> kLead = {0x00, 0xc0, 0xe0, 0xf0};

std::vector<uint8_t> encode(char32_t c, int length) {
  std::vector<uint8_t> bytes(static_cast<size_t>(length));
  for (int i = length - 1; i > 0; --i, c >>= 6) {
    bytes[static_cast<size_t>(i)] = static_cast<uint8_t>(0x80 | (c & 0x3f));
  }
  bytes[0] = static_cast<uint8_t>(kLead[static_cast<size_t>(length - 1)] | c);
  return bytes;
}

// Both ends are encoded in `length` bytes. Cut so that within a piece every byte but the ones that
// are equal for all runs over its whole range.
void split(char32_t first, char32_t last, int length, std::vector<std::vector<ByteRange>>& out) {
  for (int i = 1; i < length; ++i) {
    const char32_t low_bits = (char32_t{1} << (6 * i)) - 1;  // of the last i bytes
    if ((first & ~low_bits) == (last & ~low_bits)) continue;
    if ((first & low_bits) != 0) {
      split(first, first | low_bits, length, out);
      return split((first | low_bits) + 1, last, length, out);
    }
    if ((last & low_bits) != low_bits) {
      split(first, (last & ~low_bits) - 1, length, out);
      return split(last & ~low_bits, last, length, out);
    }
  }
  const std::vector<uint8_t> low = encode(first, length), high = encode(last, length);
  std::vector<ByteRange> sequence;
  for (int i = 0; i < length; ++i) {
    sequence.push_back({low[static_cast<size_t>(i)], high[static_cast<size_t>(i)]});
  }
  out.push_back(std::move(sequence));
}

}  // namespace

std::optional<char32_t> take_code_point(std::string_view text, size_t& at) {
  if (at >= text.size()) return std::nullopt;
  const auto lead = static_cast<unsigned char>(text[at]);
  const size_t more = lead < 0x80 ? 0 : lead < 0xe0 ? 1 : lead < 0xf0 ? 2 : 3;
  if (0x80 <= lead && lead < 0xc0) return std::nullopt;
  char32_t c = more == 0 ? lead : lead & (0x3f >> more);
  for (size_t i = at + 1; i <= at + more; ++i) {
    const auto next = static_cast<unsigned char>(i < text.size() ? text[i] : 0);
    if ((next & 0xc0) != 0x80) return std::nullopt;
    c = (c << 6) | (next & 0x3f);
  }
  const bool overlong = more > 0 && c <= kLastOfLength[more - 1];
  const bool surrogate = 0xd800 <= c && c <= 0xdfff;
  if (overlong || surrogate || c > kLastOfLength.back()) return std::nullopt;
  at += more + 1;
  return c;
}

std::vector<std::vector<ByteRange>> utf8_ranges(char32_t first, char32_t last) {
  std::vector<std::vector<ByteRange>> out;
  for (size_t i = 0; i < kLastOfLength.size() && first <= last; ++i) {
    if (first > kLastOfLength[i]) continue;
    const char32_t end = last < kLastOfLength[i] ? last : kLastOfLength[i];
    split(first, end, static_cast<int>(i) + 1, out);
    first = end + 1;
  }
  return out;
}

}  // namespace saccade::grammar
