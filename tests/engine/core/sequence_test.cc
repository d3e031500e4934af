#include "engine/core/sequence.h"

#include <catch2/catch_test_macros.hpp>

#include "tests/engine/core/fixtures.h"

namespace saccade::testing {
namespace {

std::vector<ContentHash> hashes(const Request& request, int blocks = 2, int block_size = 4) {
  Sequence sequence(queued(request));
  sequence.hash_blocks(blocks, block_size);
  return sequence.hashes;
}

Request with_spans(std::vector<MediaSpan> spans, std::vector<EncoderInput> media) {
  Request request = make_request(1, std::vector<TokenId>(8, 1), 4);
  request.spans = std::move(spans);
  request.media = std::move(media);
  return request;
}

TEST_CASE("a block is named by its tokens and by all tokens before it") {
  const auto first = hashes(make_request(1, {1, 2, 3, 4, 5, 6, 7, 8}, 1));
  const auto same = hashes(make_request(2, {1, 2, 3, 4, 5, 6, 7, 8, 9}, 5));
  CHECK(first == same);
  const auto other_start = hashes(make_request(1, {9, 2, 3, 4, 5, 6, 7, 8}, 1));
  CHECK(first[0] != other_start[0]);
  CHECK(first[1] != other_start[1]);  // the same four tokens after another past
  const auto other_end = hashes(make_request(1, {1, 2, 3, 4, 5, 6, 7, 9}, 1));
  CHECK(first[0] == other_end[0]);
  CHECK(first[1] != other_end[1]);
  CHECK(first[0] != first[1]);
}

TEST_CASE("equal placeholders of different pictures name different blocks") {
  const auto text = hashes(with_spans({}, {}));
  const auto one = hashes(with_spans({{2, 4, 0, 0}}, {picture(1, 4)}));
  const auto two = hashes(with_spans({{2, 4, 0, 0}}, {picture(2, 4)}));
  CHECK(text[0] != one[0]);
  CHECK(one[0] != two[0]);
  CHECK(one[1] != two[1]);
  // The same picture as the second of the request's media: what counts is its key.
  CHECK(one == hashes(with_spans({{2, 4, 1, 0}}, {picture(2, 4), picture(1, 4)})));
}

TEST_CASE("the same picture at other positions or rows names different blocks") {
  const auto base = hashes(with_spans({{1, 2, 0, 0}}, {picture(1, 8)}));
  CHECK(base[0] != hashes(with_spans({{2, 2, 0, 0}}, {picture(1, 8)}))[0]);
  CHECK(base[0] != hashes(with_spans({{1, 2, 0, 1}}, {picture(1, 8)}))[0]);
  CHECK(base[0] != hashes(with_spans({{1, 3, 0, 0}}, {picture(1, 8)}))[0]);
  CHECK(base[0] != hashes(with_spans({{1, 1, 0, 0}, {2, 1, 0, 0}}, {picture(1, 8)}))[0]);
}

TEST_CASE("frames at another pace, and answers whose positions jump, name different blocks") {
  const auto paced = [](float step, int extent, int prompt) {
    Request request = make_request(1, std::vector<TokenId>(static_cast<size_t>(prompt), 1), 8);
    request.media = {picture(1, 4)};
    request.spans = {{1, 4, 0, 0, {.rows = 1, .columns = 1, .frame_step = step, .extent = extent}}};
    Sequence sequence(queued(std::move(request)));
    sequence.tokens.resize(8, 1);  // what the prompt lacks of two blocks is answer
    sequence.hash_blocks(2, 4);
    return sequence.hashes;
  };
  CHECK(paced(1, 0, 8) == paced(1, 0, 6));
  CHECK(paced(1, 0, 8)[0] != paced(2, 0, 8)[0]);
  // The text behind goes on at position 2, the answer at 8: behind the last frame.
  CHECK(paced(2, 1, 8)[0] == paced(2, 1, 6)[0]);
  CHECK(paced(2, 1, 8)[1] != paced(2, 1, 6)[1]);
}

TEST_CASE("blocks of another salt have other names, those of the same salt the same") {
  const auto salted = [](const std::string& salt, int adapter = 0) {
    Request request = make_request(1, {1, 2, 3, 4, 5, 6, 7, 8}, 1);
    request.cache_salt = salt;
    request.adapter = adapter;
    return hashes(request);
  };
  CHECK(salted("") == hashes(make_request(2, {1, 2, 3, 4, 5, 6, 7, 8, 9}, 1)));
  CHECK(salted("a") == salted("a"));
  for (const auto& other : {salted(""), salted("b"), salted("aa"), salted("a", 1)}) {
    CHECK(salted("a")[0] != other[0]);
    CHECK(salted("a")[1] != other[1]);
  }
}

TEST_CASE("where media change text, the blocks before a picture are not those of text alone") {
  const auto named = [](Request request) {
    Sequence sequence(queued(std::move(request)));
    sequence.hash_blocks(2, 4, {.media_changes_text = true});
    return sequence.hashes;
  };
  const auto text = named(with_spans({}, {}));
  const auto late = named(with_spans({{5, 3, 0, 0}}, {picture(1, 3)}));
  CHECK(text == hashes(with_spans({}, {})));
  CHECK(text[0] != late[0]);
  // Another picture at the same place: the text before it is as before.
  CHECK(late[0] == named(with_spans({{5, 3, 0, 0}}, {picture(2, 3)}))[0]);
  Request adapted = with_spans({{5, 3, 0, 0}}, {picture(1, 3)});
  adapted.adapter = 1;
  CHECK(late[0] != named(std::move(adapted))[0]);
}

TEST_CASE("an answer at shifted positions names other blocks than a prompt of its tokens") {
  const auto named = [](int prompt, int shift) {
    Sequence sequence(
        queued(make_request(1, std::vector<TokenId>(static_cast<size_t>(prompt), 1), 8)));
    sequence.tokens.resize(8, 1);
    sequence.hash_blocks(2, 4, {.answer_shift = shift});
    return sequence.hashes;
  };
  CHECK(named(8, 0) == named(3, 0));
  CHECK(named(8, -1) == named(8, 0));
  CHECK(named(6, -1)[0] == named(8, -1)[0]);
  CHECK(named(6, -1)[1] != named(8, -1)[1]);
  CHECK(named(6, -1)[1] != named(5, -1)[1]);
  CHECK(named(3, -1)[1] != named(8, -1)[1]);
}

TEST_CASE("a picture that starts in a later block leaves the earlier ones shareable") {
  const auto text = hashes(with_spans({}, {}));
  const auto late = hashes(with_spans({{5, 3, 0, 0}}, {picture(1, 3)}));
  CHECK(text[0] == late[0]);
  CHECK(text[1] != late[1]);
  // A picture across the border counts in both, with its rows.
  const auto across = hashes(with_spans({{3, 3, 0, 0}}, {picture(1, 3)}));
  CHECK(text[0] != across[0]);
  CHECK(late[1] != across[1]);
}

TEST_CASE("a sequence knows its phase, its spans and the rows its media must have") {
  Request request = make_request(1, std::vector<TokenId>(12, 1), 3);
  request.media = {picture(1, 5), picture(2, 2)};
  request.spans = {{1, 2, 0, 0}, {4, 2, 1, 0}, {8, 3, 0, 2}};
  Sequence sequence(queued(std::move(request)));
  CHECK(sequence.media_rows == std::vector<int>{5, 2});
  CHECK(sequence.spans_after(0).size() == 3);
  CHECK(sequence.spans_after(2).size() == 3);  // row 1 of the first is ahead
  CHECK(sequence.spans_after(3).size() == 2);
  CHECK(sequence.spans_after(10).size() == 1);
  CHECK(sequence.spans_after(11).empty());

  CHECK(sequence.remaining() == 12);
  sequence.computed = 11;
  CHECK_FALSE(sequence.decoding());  // the last prompt token
  sequence.computed = 12;
  sequence.tokens.push_back(9);
  CHECK(sequence.decoding());
  CHECK(sequence.generated() == 1);
  const TokenId* before = sequence.tokens.data();
  sequence.tokens.insert(sequence.tokens.end(), 2, 9);
  CHECK(sequence.tokens.data() == before);  // batches point into it
}

}  // namespace
}  // namespace saccade::testing
