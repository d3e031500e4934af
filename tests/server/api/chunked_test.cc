// Chunked bodies: taken apart however they are cut, and refused where a proxy might read another
// length.
#include "server/http/chunked.h"

#include <catch2/catch_test_macros.hpp>
#include <random>

using saccade::http::ChunkedDecoder;
using State = ChunkedDecoder::State;

namespace {

struct Read {
  State state;
  std::string content;
  size_t taken;
};

Read read(std::string_view text, size_t step, uint64_t max_size = 1000) {
  ChunkedDecoder decoder(max_size);
  Read result{};
  std::string_view piece;
  while (!decoder.ended() && result.taken < text.size()) {
    result.taken += decoder.push(text.substr(result.taken, step), piece);
    result.content += piece;
  }
  result.state = decoder.state();
  return result;
}

}  // namespace

TEST_CASE("chunks are joined, and what follows the body is left alone") {
  const std::string text = "3\r\nabc\r\n02 ;x=\"y\"\r\nde\r\n00\r\nTrailer: 1\r\nOther: 2\r\n\r\n";
  for (const size_t step : {1, 2, 3, 7, 1000}) {
    const Read got = read(text + "POST / HTTP/1.1\r\n", step);
    CHECK(got.state == State::kDone);
    CHECK(got.content == "abcde");
    CHECK(got.taken == text.size());
  }
  CHECK(read("A\r\n0123456789\r\n0\r\n\r\n", 4).content == "0123456789");
}

TEST_CASE("chunks that others could read differently are refused") {
  const std::string long_line(10'000, 'a');
  const struct {
    std::string text;
    State state;
  } kRows[] = {
      {"0x3\r\nabc\r\n0\r\n\r\n", State::kMalformed},
      {"+3\r\nabc\r\n0\r\n\r\n", State::kMalformed},
      {"-3\r\nabc\r\n0\r\n\r\n", State::kMalformed},
      {" 3\r\nabc\r\n0\r\n\r\n", State::kMalformed},
      {"3 3\r\nabc\r\n0\r\n\r\n", State::kMalformed},
      {"3g\r\nabc\r\n0\r\n\r\n", State::kMalformed},
      {"\r\nabc\r\n0\r\n\r\n", State::kMalformed},
      {";x\r\nabc\r\n0\r\n\r\n", State::kMalformed},
      {std::string("3\0\r\nabc\r\n0\r\n\r\n", 15), State::kMalformed},
      {"3\nabc\r\n0\r\n\r\n", State::kMalformed},
      {"3\r\nabc\n0\r\n\r\n", State::kMalformed},
      {"3\r\nabc0\r\n\r\n", State::kMalformed},
      {"3\r\nabcd\r\n0\r\n\r\n", State::kMalformed},
      {"0\r\n\n", State::kMalformed},
      {"0\r\nno colon\r\n\r\n", State::kMalformed},
      {"3;" + long_line, State::kMalformed},
      {"0\r\n" + long_line, State::kMalformed},
      {"3e9\r\n", State::kTooLarge},
      {"7fffffffffffffff\r\n", State::kTooLarge},
      {"10000000000000003\r\nabc", State::kTooLarge},
      {"3\r\nab", State::kData},
  };
  for (const auto& row : kRows) {
    CAPTURE(row.text.substr(0, 40));
    for (const size_t step : {1, 1000}) CHECK(read(row.text, step).state == row.state);
  }
}

TEST_CASE("damaged chunks never give more than there is") {
  const std::string text = "5\r\nhello\r\n6;a=b\r\n world\r\n0\r\nA: b\r\n\r\n";
  std::mt19937 random(3);
  for (int i = 0; i < 20'000; ++i) {
    std::string damaged = text.substr(0, random() % (text.size() + 1));
    for (int k = static_cast<int>(random() % 3); k > 0 && !damaged.empty(); --k) {
      damaged[random() % damaged.size()] = "\r\n;:0f-\x01 "[random() % 9];
    }
    const Read whole = read(damaged, 1000), cut = read(damaged, 1 + random() % 5);
    CHECK(whole.state == cut.state);
    CHECK(whole.content == cut.content);
    CHECK(whole.content.size() <= damaged.size());
  }
}
