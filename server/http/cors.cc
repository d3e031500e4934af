#include "server/http/cors.h"

#include <algorithm>

namespace saccade::http {
namespace {

constexpr const char* kMaxAgeSeconds = "600";
constexpr const char* kExposed =
    "X-Request-Id, Retry-After, x-ratelimit-limit-requests, x-ratelimit-limit-tokens, "
    "x-ratelimit-remaining-requests, x-ratelimit-remaining-tokens, x-ratelimit-reset-requests, "
    "x-ratelimit-reset-tokens";

bool has(const std::vector<std::string>& origins, std::string_view origin) {
  return std::find(origins.begin(), origins.end(), origin) != origins.end();
}

// A list of header names and nothing else: it is sent back.
bool is_name_list(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](unsigned char c) {
    return std::isalnum(c) || c == '-' || c == '_' || c == ',' || c == ' ';
  });
}

}  // namespace

Headers cors_headers(const std::vector<std::string>& origins, const RequestHead& head) {
  if (origins.empty()) return {};
  const std::string_view origin = head.header("Origin");
  if (has(origins, "*")) {
    if (origin.empty()) return {};
    return {{"Access-Control-Allow-Origin", "*"}, {"Access-Control-Expose-Headers", kExposed}};
  }
  // The answer differs by origin, also for one that brings none: caches have to know.
  Headers headers = {{"Vary", "Origin"}};
  if (!origin.empty() && has(origins, origin)) {
    headers.emplace_back("Access-Control-Allow-Origin", origin);
    headers.emplace_back("Access-Control-Expose-Headers", kExposed);
  }
  return headers;
}

Headers options_headers(const std::vector<std::string>& origins, const RequestHead& head,
                        const std::string& methods) {
  Headers headers = cors_headers(origins, head);
  headers.emplace_back("Allow", methods + ", OPTIONS");
  const bool allowed = std::any_of(headers.begin(), headers.end(), [](const auto& header) {
    return header.first == "Access-Control-Allow-Origin";
  });
  if (!allowed || head.header("Access-Control-Request-Method").empty()) return headers;
  headers.emplace_back("Access-Control-Allow-Methods", methods);
  const std::string_view wanted = head.header("Access-Control-Request-Headers");
  if (is_name_list(wanted)) headers.emplace_back("Access-Control-Allow-Headers", wanted);
  headers.emplace_back("Access-Control-Max-Age", kMaxAgeSeconds);
  return headers;
}

}  // namespace saccade::http
