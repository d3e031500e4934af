#include "server/media/url_guard.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "server/ascii_case.h"

namespace saccade {
namespace {

struct Prefix4 {
  uint32_t address;
  int bits;
};

constexpr uint32_t ipv4(uint32_t a, uint32_t b, uint32_t c, uint32_t d) {
  return a << 24 | b << 16 | c << 8 | d;
}

// RFC 6890 and the IANA IPv4 special-purpose registry.
constexpr Prefix4 kSpecial4[] = {
    {ipv4(0, 0, 0, 0), 8},       {ipv4(10, 0, 0, 0), 8},     {ipv4(100, 64, 0, 0), 10},
    {ipv4(127, 0, 0, 0), 8},     {ipv4(169, 254, 0, 0), 16}, {ipv4(172, 16, 0, 0), 12},
    {ipv4(192, 0, 0, 0), 24},    {ipv4(192, 0, 2, 0), 24},   {ipv4(192, 31, 196, 0), 24},
    {ipv4(192, 52, 193, 0), 24}, {ipv4(192, 88, 99, 0), 24}, {ipv4(192, 168, 0, 0), 16},
    {ipv4(192, 175, 48, 0), 24}, {ipv4(198, 18, 0, 0), 15},  {ipv4(198, 51, 100, 0), 24},
    {ipv4(203, 0, 113, 0), 24},  {ipv4(224, 0, 0, 0), 4},    {ipv4(240, 0, 0, 0), 4},
};

bool is_global4(uint32_t address) {
  return std::none_of(std::begin(kSpecial4), std::end(kSpecial4), [&](const Prefix4& prefix) {
    return (address ^ prefix.address) >> (32 - prefix.bits) == 0;
  });
}

// Only 2000::/3 is global unicast at all; that leaves out ::, ::1, v4-mapped, NAT64 (64:ff9b::/96),
// unique local, link-local and multicast addresses.
bool is_global6(const std::array<uint8_t, 16>& a) {
  if (a[0] >> 5 != 1) return false;
  const auto group = [&](int i) { return a[2 * i] << 8 | a[2 * i + 1]; };
  if (group(0) == 0x2001 && group(1) < 0x0200) return false;   // 2001::/23, Teredo among it
  if (group(0) == 0x2001 && group(1) == 0x0db8) return false;  // documentation
  if (group(0) == 0x2002) return false;                        // 6to4: an IPv4 address inside
  if (group(0) == 0x3fff && a[2] >> 4 == 0) return false;      // documentation
  return true;
}

// Text of a URL part; empty when there is none.
std::string part(CURLU* url, CURLUPart which, unsigned flags = 0) {
  char* text = nullptr;
  if (curl_url_get(url, which, &text, flags) != CURLUE_OK) return {};
  std::string copy(text);
  curl_free(text);
  return copy;
}

bool matches(const std::string& host, const std::string& allowed) {
  const std::string domain = lower_case(allowed);
  if (!domain.starts_with("*.")) return host == domain;
  return host.size() > domain.size() - 1 && host.ends_with(domain.substr(1));
}

}  // namespace

Result<MediaUrl> MediaUrl::parse(const std::string& text, const FetchPolicy& policy) {
  // What parsers are known to disagree about is no URL here.
  const bool odd = std::any_of(text.begin(), text.end(),
                               [](unsigned char c) { return c <= 0x20 || c >= 0x7f || c == '\\'; });
  CURLU* url = curl_url();
  if (url == nullptr) return Status(StatusCode::kInternal, "no memory for a URL");
  MediaUrl result;
  result.handle_ = std::shared_ptr<void>(
      url, [](void* handle) { curl_url_cleanup(static_cast<CURLU*>(handle)); });
  if (odd || curl_url_set(url, CURLUPART_URL, text.c_str(), CURLU_DISALLOW_USER) != CURLUE_OK) {
    return invalid_argument("the picture's URL is malformed, or holds a user name");
  }
  const std::string scheme = part(url, CURLUPART_SCHEME);
  if (scheme != "http" && scheme != "https") {
    return invalid_argument("a picture is fetched by http or https alone");
  }
  curl_url_set(url, CURLUPART_FRAGMENT, nullptr, 0);
  result.host_ = lower_case(part(url, CURLUPART_HOST));
  result.port_ = part(url, CURLUPART_PORT, CURLU_DEFAULT_PORT);
  if (!result.host_.empty() && result.host_.back() == '.') result.host_.pop_back();
  const bool allowed =
      std::any_of(policy.domains.begin(), policy.domains.end(),
                  [&](const std::string& domain) { return matches(result.host_, domain); });
  if (!allowed) {
    return invalid_argument(
        "http(s) picture URLs of this host are not allowed on this server; send the picture as a "
        "data: URL");
  }
  if (curl_url_set(url, CURLUPART_HOST, result.host_.c_str(), 0) != CURLUE_OK) {
    return invalid_argument("the picture's URL is malformed");
  }
  return result;
}

bool is_global_address(const sockaddr& address) {
  if (address.sa_family == AF_INET) {
    return is_global4(ntohl(reinterpret_cast<const sockaddr_in&>(address).sin_addr.s_addr));
  }
  if (address.sa_family != AF_INET6) return false;
  std::array<uint8_t, 16> bytes;
  std::memcpy(bytes.data(), &reinterpret_cast<const sockaddr_in6&>(address).sin6_addr, 16);
  return is_global6(bytes);
}

Result<std::string> pin_address(const addrinfo* found, const FetchPolicy& policy) {
  std::string first;
  for (const addrinfo* entry = found; entry != nullptr; entry = entry->ai_next) {
    if (!policy.allow_private_addresses && !is_global_address(*entry->ai_addr)) {
      return invalid_argument("the picture's host has an address that is not public");
    }
    char text[INET6_ADDRSTRLEN + 1] = {};
    if (getnameinfo(entry->ai_addr, entry->ai_addrlen, text, sizeof text, nullptr, 0,
                    NI_NUMERICHOST) != 0) {
      continue;
    }
    if (first.empty()) first = entry->ai_family == AF_INET6 ? "[" + std::string(text) + "]" : text;
  }
  if (first.empty()) return invalid_argument("the picture's host has no address");
  return first;
}

Result<std::string> resolve_pinned(const MediaUrl& url, const FetchPolicy& policy,
                                   std::chrono::steady_clock::time_point deadline) {
  std::string host = url.host();
  if (host.size() > 2 && host.front() == '[') host = host.substr(1, host.size() - 2);
  const auto found = policy.resolver->resolve(host, deadline, *policy.stopped);
  if (!found) return found.status();
  return pin_address(found->get(), policy);
}

}  // namespace saccade
