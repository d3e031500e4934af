#pragma once

#include <optional>
#include <string>
#include <string_view>

// The 256 printable characters in which byte-level vocabularies spell bytes (GPT-2).
namespace saccade::byte_alphabet {

char32_t char_of(unsigned char byte);
std::optional<unsigned char> byte_of(char32_t c);
// "Ġthe" -> " the"; none when a character is outside of the alphabet.
std::optional<std::string> to_bytes(std::string_view piece);
std::string from_bytes(std::string_view bytes);

}  // namespace saccade::byte_alphabet
