#include "server/media/media_loader.h"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <random>

#include "server/media/sha256.h"

namespace saccade {
namespace {

constexpr size_t kMany = size_t{1} << 20;

std::string encode_base64(std::string_view bytes) {
  constexpr std::string_view kAlphabet =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    uint32_t bits = 0;
    for (size_t k = 0; k < 3; ++k) {
      bits = bits << 8 | (i + k < bytes.size() ? static_cast<uint8_t>(bytes[i + k]) : 0u);
    }
    for (size_t k = 0; k < 4; ++k) {
      out += i + k > bytes.size() ? '=' : kAlphabet[bits >> (18 - 6 * k) & 63];
    }
  }
  return out;
}

std::string hex(const ContentHash& hash) {
  std::string out;
  for (const uint8_t byte : hash.bytes) {
    out += "0123456789abcdef"[byte >> 4];
    out += "0123456789abcdef"[byte & 15];
  }
  return out;
}

TEST_CASE("base64 decodes the vectors of RFC 4648") {
  const std::pair<std::string_view, std::string_view> vectors[] = {
      {"", ""},
      {"Zg==", "f"},
      {"Zm8=", "fo"},
      {"Zm9v", "foo"},
      {"Zm9vYg==", "foob"},
      {"Zm9vYmE=", "fooba"},
      {"Zm9vYmFy", "foobar"},
      {"+/+/", "\xfb\xff\xbf"},
  };
  for (const auto& [text, bytes] : vectors) {
    INFO(text);
    const auto decoded = decode_base64(text, kMany);
    REQUIRE(decoded.ok());
    CHECK(*decoded == bytes);
  }
}

TEST_CASE("base64 round trips every length and byte") {
  std::mt19937 random(1);
  for (size_t length = 0; length < 300; ++length) {
    std::string bytes(length, '\0');
    for (char& byte : bytes) byte = static_cast<char>(random());
    const auto decoded = decode_base64(encode_base64(bytes), kMany);
    REQUIRE(decoded.ok());
    CHECK(*decoded == bytes);
  }
}

TEST_CASE("base64 refuses everything that is not strict") {
  const auto text = GENERATE(as<std::string>{}, "Z", "Zg", "Zg=", "Zg===", "Zm8", "=",
                             "==", "===", "====", "Z===", "Zg=a", "=Zg=", "Zg==Zg==", "Zm9v=m9v",
                             "Zm9v\nZm9v", "Zm9v Zm8=", "Zm9vZm9\n", " Zm9", "Zm9-", "Zm9_", "Zm%3",
                             "Zh==", "Zm9=", "Z\xc3\xa9v", std::string("Zm9\0", 4), "Zm9v\r\n\r\n");
  INFO(text);
  const auto decoded = decode_base64(text, kMany);
  REQUIRE(!decoded.ok());
  CHECK(decoded.status().code() == StatusCode::kInvalidArgument);
  CHECK(decoded.status().message().starts_with("invalid base64"));
}

TEST_CASE("base64 refuses every byte outside the alphabet at every place") {
  for (int byte = 0; byte < 256; ++byte) {
    const auto c = static_cast<char>(byte);
    const bool known = (byte >= '0' && byte <= '9') || (byte >= 'A' && byte <= 'Z') ||
                       (byte >= 'a' && byte <= 'z') || byte == '+' || byte == '/';
    for (size_t place = 0; place < 8; ++place) {
      std::string text = "Zm9vYmFy";
      text[place] = c;
      if (c == '=' && place == 7) text[6] = 'A' + 4;  // "YmE=": valid padding
      INFO(byte << " at " << place);
      CHECK(decode_base64(text, kMany).ok() == (known || (c == '=' && place == 7)));
    }
  }
}

TEST_CASE("base64 holds the limit before it decodes") {
  const std::string bytes(3000, 'x');
  const std::string text = encode_base64(bytes);
  CHECK(decode_base64(text, 3000).ok());
  const auto refused = decode_base64(text, 2999);
  REQUIRE(!refused.ok());
  CHECK(refused.status().message() ==
        "the data is 3000 bytes long; at most 2999 bytes are allowed");
  CHECK(decode_base64("Zg==", 1).ok());
  CHECK(!decode_base64("Zm8=", 1).ok());
}

TEST_CASE("data URLs of pictures are decoded") {
  const auto url = GENERATE(
      as<std::string>{}, "data:image/png;base64,Zm9v", "data:image/jpeg;base64,Zm9v",
      "data:image/jpg;base64,Zm9v", "data:image/webp;base64,Zm9v", "data:image/gif;base64,Zm9v",
      "data:image/bmp;base64,Zm9v", "DATA:IMAGE/PNG;BASE64,Zm9v",
      "data:image/png;charset=utf-8;base64,Zm9v", "data:image/png;name=a.png;base64,Zm9v");
  INFO(url);
  const auto decoded = decode_data_url(url, MediaLimits{});
  REQUIRE(decoded.ok());
  CHECK(*decoded == "foo");
}

TEST_CASE("other URLs are refused and say why") {
  const std::pair<std::string, std::string_view> table[] = {
      {"http://example.com/a.png", "not allowed"},
      {"HTTPS://example.com/a.png", "not allowed"},
      {"file:///etc/passwd", "file: URLs are not allowed"},
      {"/etc/passwd", "local paths are never opened"},
      {"a.png", "local paths are never opened"},
      {"", "must be a data: URL"},
      {"ftp://example.com/a.png", "must be a data: URL"},
      {"data:", "no ','"},
      {"data:image/png;base64", "no ','"},
      {"data:image/png;" + std::string(2000, 'x') + ";base64,Zm9v", "no ','"},
      {"data:,Zm9v", "unsupported media type"},
      {"data:;base64,Zm9v", "unsupported media type"},
      {"data:text/html;base64,Zm9v", "unsupported media type"},
      {"data:image/svg+xml;base64,Zm9v", "unsupported media type"},
      {"data: image/png;base64,Zm9v", "unsupported media type"},
      {"data:image/png,Zm9v", "must be base64"},
      {"data:image/png;base64;charset=x,Zm9v", "must be base64"},
      {"data:image/png;base64,", "no data"},
      {"data:image/png;base64,Zm9", "invalid base64"},
      {"data:image/png;base64,Zm9v\n", "invalid base64"},
      {"data:image/png;base64,Zm9v,Zm9v", "invalid base64"},
  };
  for (const auto& [url, words] : table) {
    INFO(url);
    const auto decoded = decode_data_url(url, MediaLimits{});
    REQUIRE(!decoded.ok());
    CHECK(decoded.status().code() == StatusCode::kInvalidArgument);
    INFO(decoded.status().message());
    CHECK(decoded.status().message().find(words) != std::string::npos);
  }
}

TEST_CASE("SHA-256 gives the published digests, in parts or whole") {
  CHECK(hex(sha256("")) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK(hex(sha256("abc")) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK(sha256({"a", "", "bc"}) == sha256("abc"));
  const std::string million(1000000, 'a');
  CHECK(hex(sha256(million)) == "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

}  // namespace
}  // namespace saccade
