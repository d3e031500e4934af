#include "engine/core/grid_positions.h"

#include <catch2/catch_test_macros.hpp>
#include <vector>

namespace saccade::testing {
namespace {

using Axes = std::array<int64_t, 3>;

constexpr int kLongPrompt = 1000;  // no answer in sight

// Positions [3][length], each axis as a list.
std::vector<std::vector<int64_t>> positions(const std::vector<MediaSpan>& spans, int length,
                                            int from = 0) {
  GridPositions walk(spans, kLongPrompt);
  std::vector<std::vector<int64_t>> axes(3);
  for (int i = from; i < length; ++i) {
    const Axes place = walk.at(i);
    for (int a = 0; a < 3; ++a) axes[a].push_back(place[a]);
  }
  return axes;
}

MediaSpan grid(int position, int frames, int rows, int columns) {
  MediaSpan span;
  span.position = position;
  span.length = frames * rows * columns;
  span.grid = {.rows = rows, .columns = columns};
  return span;
}

}  // namespace

TEST_CASE("text and spans without a grid count up on all axes") {
  MediaSpan plain;
  plain.position = 1;
  plain.length = 2;
  for (const auto& axis : positions({plain}, 5)) {
    CHECK(axis == std::vector<int64_t>{0, 1, 2, 3, 4});
  }
}

TEST_CASE("a video's tokens tell frame, row and column; the text goes on after the largest") {
  // The example of the reference's documentation: 3 frames of 2 x 2, then five words.
  const auto axes = positions({grid(0, 3, 2, 2)}, 17);
  CHECK(axes[0] == std::vector<int64_t>{0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 4, 5, 6, 7});
  CHECK(axes[1] == std::vector<int64_t>{0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 1, 1, 3, 4, 5, 6, 7});
  CHECK(axes[2] == std::vector<int64_t>{0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 3, 4, 5, 6, 7});
}

TEST_CASE("pictures among text shift what follows, by their longer side") {
  // two words, a picture of 2 x 3, a word, a picture of 4 x 1, a word
  const auto axes = positions({grid(2, 1, 2, 3), grid(9, 1, 4, 1)}, 15);
  CHECK(axes[0] == std::vector<int64_t>{0, 1, 2, 2, 2, 2, 2, 2, 5, 6, 6, 6, 6, 10, 11});
  CHECK(axes[1] == std::vector<int64_t>{0, 1, 2, 2, 2, 3, 3, 3, 5, 6, 7, 8, 9, 10, 11});
  CHECK(axes[2] == std::vector<int64_t>{0, 1, 2, 3, 4, 2, 3, 4, 5, 6, 6, 6, 6, 10, 11});
}

TEST_CASE("a walk that begins in the middle gives the same positions") {
  const std::vector<MediaSpan> spans = {grid(2, 2, 2, 3), grid(20, 1, 4, 1)};
  const auto whole = positions(spans, 30);
  for (int from = 0; from < 30; ++from) {
    const auto rest = positions(spans, 30, from);
    for (int a = 0; a < 3; ++a) {
      CHECK(rest[a] == std::vector<int64_t>(whole[a].begin() + from, whole[a].end()));
    }
  }
}

TEST_CASE("frames at a pace of their own") {
  MediaSpan span = grid(1, 3, 1, 1);
  span.grid.frame_step = 2;
  CHECK(positions({span}, 6)[0] == std::vector<int64_t>{0, 1, 3, 5, 6, 7});
  CHECK(positions({span}, 6)[1] == std::vector<int64_t>{0, 1, 1, 1, 6, 7});
  span.grid.frame_step = 1.5F;  // fractions are cut off
  CHECK(positions({span}, 6)[0] == std::vector<int64_t>{0, 1, 2, 4, 5, 6});
  span.grid.frame_step = 0;
  CHECK(positions({span}, 6)[0] == std::vector<int64_t>{0, 1, 1, 1, 2, 3});
}

TEST_CASE("text behind a video where the span says, the answer behind all of it") {
  // a word, three frames of one token, two words, then the answer
  MediaSpan span = grid(1, 3, 1, 1);
  span.grid.frame_step = 4;
  span.grid.extent = 1;
  const std::vector<MediaSpan> spans = {span};
  GridPositions walk(spans, 6);
  std::vector<int64_t> places;
  for (int i = 0; i < 8; ++i) places.push_back(walk.at(i)[0]);
  CHECK(places == std::vector<int64_t>{0, 1, 5, 9, 2, 3, 10, 11});
  CHECK(GridPositions::jump(spans, 6) == 6);
  CHECK(GridPositions::jump(spans, 20) == 0);
  GridPositions decode(spans, 6);
  CHECK(decode.at(7)[1] == 11);
}

TEST_CASE("an answer that is shifted") {
  GridPositions walk({}, 3, -1);
  std::vector<int64_t> places;
  for (int i = 0; i < 6; ++i) places.push_back(walk.at(i)[0]);
  CHECK(places == std::vector<int64_t>{0, 1, 2, 2, 3, 4});
}

}  // namespace saccade::testing
