#pragma once

#include <string>

namespace saccade {

// An English number from 0 to 999,999 in words, as the num2words package writes it: "forty-two",
// "one hundred and five", "two thousand, three hundred".
std::string number_words(int number);

}  // namespace saccade
