#include "server/media/media_loader.h"

#include <algorithm>
#include <array>
#include <cstdint>

namespace saccade {
namespace {

constexpr std::string_view kScheme = "data:";

constexpr int8_t kNotBase64 = -1;

constexpr std::array<int8_t, 256> make_base64_table() {
  std::array<int8_t, 256> table{};
  for (int8_t& value : table) value = kNotBase64;
  constexpr std::string_view kAlphabet =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  for (size_t i = 0; i < kAlphabet.size(); ++i) {
    table[static_cast<uint8_t>(kAlphabet[i])] = static_cast<int8_t>(i);
  }
  return table;
}
constexpr std::array<int8_t, 256> kBase64 = make_base64_table();

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool equals_ignoring_case(std::string_view a, std::string_view b) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(),
                                            [](char x, char y) { return lower(x) == lower(y); });
}

bool starts_with_ignoring_case(std::string_view text, std::string_view prefix) {
  return text.size() >= prefix.size() &&
         equals_ignoring_case(text.substr(0, prefix.size()), prefix);
}

Status refuse_non_data_url(std::string_view url) {
  if (starts_with_ignoring_case(url, "http://") || starts_with_ignoring_case(url, "https://")) {
    return invalid_argument(
        "http(s) picture URLs are not allowed on this server; send the picture as a data: URL");
  }
  if (starts_with_ignoring_case(url, "file:")) {
    return invalid_argument("file: URLs are not allowed; send the picture as a data: URL");
  }
  return invalid_argument(
      "a picture must be a data: URL (data:image/png;base64,...); local paths are never opened");
}

}  // namespace

Result<std::string> decode_base64(std::string_view text, size_t max_bytes) {
  if (text.size() % 4 != 0) {
    return invalid_argument(
        "invalid base64: the length is not a multiple of 4 (padding '=' is required)");
  }
  if (text.empty()) return std::string();
  const size_t padding = text.back() != '=' ? 0 : text[text.size() - 2] != '=' ? 1 : 2;
  const size_t size = text.size() / 4 * 3 - padding;
  if (size > max_bytes) {
    return invalid_argument("the data is " + std::to_string(size) + " bytes long; at most " +
                            std::to_string(max_bytes) + " bytes are allowed");
  }
  std::string out(size, '\0');
  const auto* in = reinterpret_cast<const uint8_t*>(text.data());
  const size_t full_groups = text.size() / 4 - (padding != 0 ? 1 : 0);
  size_t o = 0;
  int bad = 0;  // negative once any character was outside the alphabet
  for (size_t g = 0; g < full_groups; ++g, in += 4) {
    const int a = kBase64[in[0]], b = kBase64[in[1]], c = kBase64[in[2]], d = kBase64[in[3]];
    bad |= a | b | c | d;
    const uint32_t bits = static_cast<uint32_t>(a) << 18 | static_cast<uint32_t>(b) << 12 |
                          static_cast<uint32_t>(c) << 6 | static_cast<uint32_t>(d);
    out[o++] = static_cast<char>(bits >> 16);
    out[o++] = static_cast<char>(bits >> 8);
    out[o++] = static_cast<char>(bits);
  }
  if (padding != 0) {
    const int a = kBase64[in[0]], b = kBase64[in[1]], c = padding == 1 ? kBase64[in[2]] : 0;
    bad |= a | b | c;
    const uint32_t bits = static_cast<uint32_t>(a) << 18 | static_cast<uint32_t>(b) << 12 |
                          static_cast<uint32_t>(c) << 6;
    out[o++] = static_cast<char>(bits >> 16);
    if (padding == 1) out[o++] = static_cast<char>(bits >> 8);
    const uint32_t left_over = padding == 1 ? bits & 0xFF : bits & 0xFFFF;
    if (bad >= 0 && left_over != 0) {
      return invalid_argument("invalid base64: bits are left over behind the last byte");
    }
  }
  if (bad < 0) {
    return invalid_argument(
        "invalid base64: a character outside A-Z a-z 0-9 + / (or '=' before the "
        "end)");
  }
  return out;
}

bool is_data_url(std::string_view url) { return starts_with_ignoring_case(url, kScheme); }

Result<DataUrl> split_data_url(std::string_view url) {
  constexpr size_t kMaxHeader = 1024;
  const size_t comma = url.substr(0, kMaxHeader).find(',');
  if (comma == std::string_view::npos) {
    return invalid_argument("the data: URL has no ',' behind its media type");
  }
  return DataUrl{url.substr(kScheme.size(), comma - kScheme.size()), url.substr(comma + 1)};
}

bool is_picture_type(std::string_view type) {
  static constexpr std::string_view kTypes[] = {
      "image/png", "image/jpeg",     "image/jpg",   "image/webp", "image/gif",
      "image/bmp", "image/x-ms-bmp", "image/x-bmp", "image/apng", "image/pjpeg"};
  return std::any_of(std::begin(kTypes), std::end(kTypes),
                     [&](std::string_view known) { return equals_ignoring_case(type, known); });
}

Result<std::string> decode_data_url(std::string_view url, const MediaLimits& limits) {
  if (!is_data_url(url)) return refuse_non_data_url(url);
  const Result<DataUrl> parts = split_data_url(url);
  if (!parts) return parts.status();
  const std::string_view header = parts->header;
  const std::string_view type = header.substr(0, header.find(';'));
  if (!is_picture_type(type)) {
    return invalid_argument(std::string("unsupported media type in the data: URL; supported are ") +
                            kPictureTypes);
  }
  const size_t last = header.rfind(';');
  if (last == std::string_view::npos || !equals_ignoring_case(header.substr(last + 1), "base64")) {
    return invalid_argument("the data: URL must be base64 encoded (data:image/png;base64,...)");
  }
  Result<std::string> bytes = decode_base64(parts->data, limits.max_image_bytes);
  if (bytes.ok() && bytes->empty()) return invalid_argument("the data: URL holds no data");
  return bytes;
}

}  // namespace saccade
