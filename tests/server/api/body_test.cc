// What arrives as a body: compressed, as a form, and too much of it.
#include <zlib.h>

#include <catch2/catch_test_macros.hpp>
#include <random>

#include "server/http/body_reader.h"
#include "server/http/multipart.h"

using namespace saccade;
using namespace saccade::http;

namespace {

using Fault = BodyReader::Fault;

std::string gzip(const std::string& text) {
  z_stream stream{};
  REQUIRE(deflateInit2(&stream, 6, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK);
  std::string out(deflateBound(&stream, text.size()) + 64, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  REQUIRE(deflate(&stream, Z_FINISH) == Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

// The fault and the body of `data`, pushed in pieces of `step` bytes.
std::pair<Fault, std::string> read(const std::string& data, size_t step, size_t limit,
                                   bool gzipped = true) {
  HttpRequest request;
  BodyBudget budget(1 << 20);
  BodyReader reader(request, limit, budget, gzipped);
  bool going = true;
  for (size_t i = 0; i < data.size() && going; i += step) {
    going = reader.push(std::string_view(data).substr(i, step));
  }
  return {reader.end(going ? Fault::kNone : Fault::kIncomplete), request.body};
}

}  // namespace

TEST_CASE("a compressed body is inflated, however it is cut") {
  const std::string text(100'000, 'x');
  const std::string packed = gzip(text);
  for (const size_t step : {1, 7, 100, 100'000}) {
    const auto [fault, body] = read(packed, step, text.size());
    CHECK(fault == Fault::kNone);
    CHECK(body == text);
    CHECK(read(packed, step, text.size() - 1).first == Fault::kTooLarge);
    CHECK(read(packed.substr(0, packed.size() - 1), step, 1 << 20).first == Fault::kMalformed);
    CHECK(read(packed + "x", step, 1 << 20).first == Fault::kMalformed);
    CHECK(read(text, step, 1 << 20).first == Fault::kMalformed);
  }
  CHECK(read(gzip(""), 3, 10).second.empty());
}

TEST_CASE("damaged compressed bodies are refused, not crashed on") {
  const std::string text = R"({"messages": [{"role": "user", "content": "hello"}]})";
  const std::string packed = gzip(text);
  std::mt19937 random(7);
  for (int i = 0; i < 2000; ++i) {
    std::string damaged = packed;
    damaged[random() % damaged.size()] ^= static_cast<char>(1 + random() % 255);
    const auto [fault, body] = read(damaged, 1 + random() % 20, 1000);
    // The header has bytes that do not matter; what passes passes whole.
    if (fault == Fault::kNone) CHECK(body == text);
  }
}

TEST_CASE("all bodies share one budget, and give back what they took") {
  BodyBudget budget(100);
  HttpRequest one, two;
  BodyReader first(one, 1000, budget, false);
  CHECK(first.push(std::string(60, 'a')));
  {
    BodyReader second(two, 1000, budget, false);
    CHECK_FALSE(second.push(std::string(50, 'b')));
    CHECK(second.end(Fault::kIncomplete) == Fault::kNoMemory);
    CHECK(two.body.empty());
  }
  one.free_body();
  BodyReader third(two, 1000, budget, false);
  CHECK(third.push(std::string(100, 'c')));
  CHECK_FALSE(third.push("d"));
}

TEST_CASE("the parts of a form") {
  const std::string body =
      "--b\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nvision\r\n"
      "--b\r\ncontent-disposition: form-data; name=file; filename=\"a \\\"b\\\".png\"\r\n"
      "Content-Type: image/png\r\n\r\n\x01\r\n--x\r\n\r\n--b--\r\n";
  const auto parts = parse_multipart("multipart/form-data; charset=x; boundary=\"b\"", body);
  REQUIRE(parts.ok());
  REQUIRE(parts->size() == 2);
  CHECK((*parts)[0].name == "purpose");
  CHECK((*parts)[0].body == "vision");
  CHECK((*parts)[1].name == "file");
  CHECK((*parts)[1].filename == "a \"b\".png");
  CHECK((*parts)[1].body == "\x01\r\n--x\r\n");
}

TEST_CASE("a damaged form is refused or read, never overrun") {
  const std::string body =
      "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"x\"\r\n\r\nabc\r\n"
      "--b\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nvision\r\n--b--";
  std::mt19937 random(11);
  for (int i = 0; i < 5000; ++i) {
    std::string damaged = body.substr(0, random() % (body.size() + 1));
    for (int k = random() % 4; k > 0 && !damaged.empty(); --k) {
      damaged[random() % damaged.size()] = "\r\n-b\"=;\\ x"[random() % 10];
    }
    const auto parts = parse_multipart("multipart/form-data; boundary=b", damaged);
    if (!parts.ok()) continue;
    for (const FormPart& part : *parts) {
      CHECK(part.body.data() >= damaged.data());
      CHECK(part.body.data() + part.body.size() <= damaged.data() + damaged.size());
    }
  }
}
