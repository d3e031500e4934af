#include "tests/fuzz/mutator.h"

#include <algorithm>

namespace saccade::fuzz {
namespace {

constexpr size_t kLongest = 1 << 20;
constexpr uint64_t kNumbers[] = {0,          1,          0x7f,       0x80,           0xff,
                                 0x7fff,     0xffff,     0x10000,    0x7fffffff,     0x80000000,
                                 0xffffffff, 1ull << 32, 1ull << 62, ~0ull - 7,      ~0ull,
                                 1ull << 63, 0x01000000, 0x00010000, ~0ull >> 1 << 3};

}  // namespace

std::string Mutator::input(uint64_t seed, uint64_t number) {
  random_.seed(seed * 0x9E3779B97F4A7C15ull + number);
  std::string text = seeds_[below(seeds_.size())];
  for (size_t left = 1 + below(below(4) == 0 ? 32 : 4); left > 0; --left) damage(text);
  if (text.size() > kLongest) text.resize(kLongest);
  return text;
}

// A length, a count or an offset: 1, 2, 4 or 8 bytes of either order.
void Mutator::overwrite_number(std::string& text) {
  const size_t bytes = size_t{1} << below(4);
  if (text.size() < bytes) return;
  const size_t at = below(text.size() - bytes + 1);
  uint64_t value = kNumbers[below(std::size(kNumbers))];
  if (below(3) == 0) value = text.size() - below(16);
  const bool big_endian = below(2) == 0;
  for (size_t i = 0; i < bytes; ++i) {
    text[at + (big_endian ? bytes - 1 - i : i)] = static_cast<char>(value >> (8 * i));
  }
}

void Mutator::damage(std::string& text) {
  const size_t at = below(text.size() + 1);
  const size_t length = std::min(text.size() - at, below(below(2) == 0 ? 8 : 512) + 1);
  switch (below(9)) {
    case 0:
      if (at < text.size()) text[at] = static_cast<char>(text[at] ^ (1 << below(8)));
      return;
    case 1:
      if (at < text.size()) text[at] = static_cast<char>(random_());
      return;
    case 2:
      return overwrite_number(text);
    case 3:
      text.erase(at, length);
      return;
    case 4: {  // once more, or often
      const std::string piece = text.substr(at, length);
      for (size_t times = below(4) == 0 ? below(64) : 1; times > 0; --times) text.insert(at, piece);
      return;
    }
    case 5:
      text.resize(at);
      return;
    case 6: {  // the end of another one
      const std::string& other = seeds_[below(seeds_.size())];
      text.resize(at);
      text += other.substr(below(other.size() + 1));
      return;
    }
    case 7:
      if (!words_.empty()) text.insert(at, words_[below(words_.size())]);
      return;
    default:
      if (!words_.empty()) {
        const std::string& word = words_[below(words_.size())];
        text.replace(at, std::min(word.size(), text.size() - at), word);
      }
  }
}

}  // namespace saccade::fuzz
