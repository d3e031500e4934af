#include "engine/models/number_words.h"

namespace saccade {
namespace {

constexpr const char* kSmall[] = {"zero",    "one",     "two",       "three",    "four",
                                  "five",    "six",     "seven",     "eight",    "nine",
                                  "ten",     "eleven",  "twelve",    "thirteen", "fourteen",
                                  "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"};
constexpr const char* kTens[] = {"",      "",      "twenty",  "thirty", "forty",
                                 "fifty", "sixty", "seventy", "eighty", "ninety"};

std::string below_hundred(int number) {
  if (number < 20) return kSmall[number];
  const std::string tens = kTens[number / 10];
  return number % 10 == 0 ? tens : tens + "-" + kSmall[number % 10];
}

std::string below_thousand(int number) {
  if (number < 100) return below_hundred(number);
  const std::string hundreds = std::string(kSmall[number / 100]) + " hundred";
  return number % 100 == 0 ? hundreds : hundreds + " and " + below_hundred(number % 100);
}

}  // namespace

std::string number_words(int number) {
  if (number < 1000) return below_thousand(number);
  const std::string thousands = below_thousand(number / 1000) + " thousand";
  const int rest = number % 1000;
  if (rest == 0) return thousands;
  return thousands + (rest < 100 ? " and " : ", ") + below_thousand(rest);
}

}  // namespace saccade
