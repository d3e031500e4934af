#include "server/media/url_guard.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <catch2/catch_test_macros.hpp>
#include <cstring>

using namespace saccade;

namespace {

sockaddr_storage address_of(const std::string& text) {
  sockaddr_storage storage{};
  if (text.find(':') != std::string::npos) {
    auto& address = reinterpret_cast<sockaddr_in6&>(storage);
    address.sin6_family = AF_INET6;
    REQUIRE(inet_pton(AF_INET6, text.c_str(), &address.sin6_addr) == 1);
  } else {
    auto& address = reinterpret_cast<sockaddr_in&>(storage);
    address.sin_family = AF_INET;
    REQUIRE(inet_pton(AF_INET, text.c_str(), &address.sin_addr) == 1);
  }
  return storage;
}

bool is_global(const std::string& text) {
  const sockaddr_storage storage = address_of(text);
  return is_global_address(reinterpret_cast<const sockaddr&>(storage));
}

std::chrono::steady_clock::time_point soon() {
  return std::chrono::steady_clock::now() + std::chrono::seconds(60);
}

// What a resolver that found these addresses would give.
struct Resolved {
  explicit Resolved(const std::vector<std::string>& texts)
      : addresses(texts.size()), entries(texts.size()) {
    for (size_t i = 0; i < texts.size(); ++i) {
      addresses[i] = address_of(texts[i]);
      entries[i].ai_family = addresses[i].ss_family;
      entries[i].ai_addr = reinterpret_cast<sockaddr*>(&addresses[i]);
      entries[i].ai_addrlen =
          addresses[i].ss_family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
      entries[i].ai_next = i + 1 < texts.size() ? &entries[i + 1] : nullptr;
    }
  }
  const addrinfo* list() const { return entries.empty() ? nullptr : entries.data(); }

  std::vector<sockaddr_storage> addresses;
  std::vector<addrinfo> entries;
};

}  // namespace

TEST_CASE("only addresses of the public internet are global") {
  for (const char* address : {"0.0.0.0",
                              "10.1.2.3",
                              "100.64.0.1",
                              "100.127.255.255",
                              "127.0.0.1",
                              "127.255.0.1",
                              "169.254.169.254",
                              "172.16.0.1",
                              "172.31.255.255",
                              "192.0.0.1",
                              "192.0.2.1",
                              "192.88.99.1",
                              "192.168.0.1",
                              "198.18.0.1",
                              "198.19.255.255",
                              "198.51.100.1",
                              "203.0.113.1",
                              "224.0.0.1",
                              "240.0.0.1",
                              "255.255.255.255",
                              "::",
                              "::1",
                              "::ffff:8.8.8.8",
                              "64:ff9b::808:808",
                              "64:ff9b:1::1",
                              "100::1",
                              "fe80::1",
                              "fc00::1",
                              "fd12:3456::1",
                              "ff02::1",
                              "2001::1",
                              "2001:db8::1",
                              "2002:a00:1::1",
                              "3fff::1"}) {
    CAPTURE(address);
    CHECK_FALSE(is_global(address));
  }
  for (const char* address : {"1.1.1.1", "8.8.8.8", "100.63.255.255", "100.128.0.1", "172.15.0.1",
                              "172.32.0.1", "192.0.1.1", "198.20.0.1", "223.255.255.255",
                              "2606:4700::1111", "2a00:1450::1", "2001:4860:4860::8888"}) {
    CAPTURE(address);
    CHECK(is_global(address));
  }
}

TEST_CASE("a URL is of an allowed host or it is none") {
  FetchPolicy policy;
  policy.domains = {"example.com", "*.Pictures.example"};
  for (const char* url :
       {"http://example.com/a.png", "https://EXAMPLE.com./a.png", "https://example.com:8443/a?b#c",
        "https://a.pictures.example/x", "https://b.a.pictures.example/x"}) {
    CAPTURE(url);
    CHECK(MediaUrl::parse(url, policy).ok());
  }
  for (const char* url : {"http://example.org/",
                          "http://example.com.evil.org/",
                          "http://evilexample.com/",
                          "http://example.com@evil.org/",
                          "http://user@example.com/",
                          "http://evil.org\\@example.com/",
                          "http://example.com\\.evil.org/",
                          "http://pictures.example/",
                          "http://evilpictures.example/",
                          "ftp://example.com/",
                          "file:///etc/passwd",
                          "example.com/a.png",
                          "//example.com/",
                          "http://",
                          "http:///a",
                          "http://[::1]/",
                          "http://127.1/",
                          "http://example.com /",
                          "http://exam\tple.com",
                          "http://example.com:99999/",
                          "http://ex\xc3\xa4mple.com/",
                          ""}) {
    CAPTURE(url);
    const auto parsed = MediaUrl::parse(url, policy);
    REQUIRE_FALSE(parsed.ok());
    CHECK(parsed.status().code() == StatusCode::kInvalidArgument);
  }
}

TEST_CASE("one address that is not public among a name's is enough to refuse it") {
  struct Row {
    std::vector<std::string> addresses;
    const char* pinned;  // null: refused
  };
  const Row rows[] = {
      {{"8.8.8.8"}, "8.8.8.8"},
      {{"8.8.8.8", "1.1.1.1"}, "8.8.8.8"},
      {{"2606:4700::1111", "8.8.8.8"}, "[2606:4700::1111]"},
      {{"8.8.8.8", "127.0.0.1"}, nullptr},
      {{"127.0.0.1", "8.8.8.8"}, nullptr},
      {{"8.8.8.8", "::1"}, nullptr},
      {{"8.8.8.8", "1.1.1.1", "169.254.169.254"}, nullptr},
      {{"2606:4700::1111", "::ffff:10.0.0.1"}, nullptr},
      {{"2606:4700::1111", "64:ff9b::a00:1"}, nullptr},
      {{}, nullptr},
  };
  FetchPolicy lenient;
  lenient.allow_private_addresses = true;
  for (const Row& row : rows) {
    CAPTURE(row.addresses);
    const Resolved resolved(row.addresses);
    const auto pinned = pin_address(resolved.list(), {});
    CHECK(pinned.ok() == (row.pinned != nullptr));
    if (row.pinned != nullptr) CHECK(*pinned == row.pinned);
    CHECK(pin_address(resolved.list(), lenient).ok() == !row.addresses.empty());
  }
}

TEST_CASE("an address that is not public is refused before anything is sent to it") {
  FetchPolicy policy;
  policy.domains = {"127.0.0.1", "[::1]"};
  for (const char* url : {"http://127.0.0.1:1/", "http://[::1]:1/"}) {
    const auto parsed = MediaUrl::parse(url, policy);
    REQUIRE(parsed.ok());
    CHECK_FALSE(resolve_pinned(*parsed, policy, soon()).ok());
    FetchPolicy lenient = policy;
    lenient.allow_private_addresses = true;
    CHECK(resolve_pinned(*parsed, lenient, soon()).ok());
  }
}
