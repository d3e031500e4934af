#include "server/prompt/tokenizer/byte_alphabet.h"

#include <array>

#include "server/prompt/tokenizer/unicode.h"

namespace saccade::byte_alphabet {
namespace {

// Printable Latin-1 characters stand for themselves, the 68 others for U+0100 and up, in order.
constexpr char32_t kShifted = 0x100;

bool stands_for_itself(unsigned char byte) {
  return (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte != 0xAD);
}

struct Tables {
  std::array<char32_t, 256> chars{};
  std::array<int, 512> bytes{};
  Tables() {
    bytes.fill(-1);
    char32_t next = kShifted;
    for (int byte = 0; byte < 256; ++byte) {
      const bool same = stands_for_itself(static_cast<unsigned char>(byte));
      chars[static_cast<size_t>(byte)] = same ? static_cast<char32_t>(byte) : next++;
      bytes[chars[static_cast<size_t>(byte)]] = byte;
    }
  }
};

const Tables& tables() {
  static const Tables instance;
  return instance;
}

}  // namespace

char32_t char_of(unsigned char byte) { return tables().chars[byte]; }

std::optional<unsigned char> byte_of(char32_t c) {
  if (c >= 512 || tables().bytes[c] < 0) return std::nullopt;
  return static_cast<unsigned char>(tables().bytes[c]);
}

std::optional<std::string> to_bytes(std::string_view piece) {
  std::string out;
  out.reserve(piece.size());
  for (size_t pos = 0; pos < piece.size();) {
    const auto byte = byte_of(unicode::next_char(piece, pos));
    if (!byte) return std::nullopt;
    out += static_cast<char>(*byte);
  }
  return out;
}

std::string from_bytes(std::string_view bytes) {
  std::string out;
  for (const char c : bytes) unicode::append(out, char_of(static_cast<unsigned char>(c)));
  return out;
}

}  // namespace saccade::byte_alphabet
