#include "server/http/request_head.h"

#include <catch2/catch_test_macros.hpp>

using saccade::http::parse_request_head;
using saccade::http::RequestHead;

namespace {

int parse(const std::string& text, RequestHead& head) {
  std::string why;
  const int status = parse_request_head(text, head, why);
  if (status != 0) CHECK_FALSE(why.empty());
  return status;
}

}  // namespace

TEST_CASE("a request head is read as sent") {
  RequestHead head;
  REQUIRE(parse("POST /v1/chat%20x?q=1 HTTP/1.1\r\nHost: a\r\ncontent-length:  12 \r\n\r\n",
                head) == 0);
  CHECK(head.method == "POST");
  CHECK(head.target == "/v1/chat%20x?q=1");
  CHECK(head.header("CONTENT-LENGTH") == "12");
  CHECK(head.content_length == 12u);
  CHECK_FALSE(head.chunked);
  CHECK_FALSE(head.wants_close());
}

TEST_CASE("the connection stays or closes as the version and the header say") {
  RequestHead head;
  REQUIRE(parse("GET / HTTP/1.0\r\n\r\n", head) == 0);
  CHECK(head.wants_close());
  REQUIRE(parse("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", head) == 0);
  CHECK_FALSE(head.wants_close());
  for (const char* close :
       {"Close", "keep-alive, close", "x,close , y", "x\r\nConnection: close"}) {
    const std::string text = std::string("GET / HTTP/1.1\r\nHost: a\r\nConnection: ") + close;
    REQUIRE(parse(text + "\r\n\r\n", head) == 0);
    CHECK(head.wants_close());
  }
  REQUIRE(parse("GET / HTTP/1.1\r\nHost: a\r\nConnection: closed, Upgrade\r\n\r\n", head) == 0);
  CHECK_FALSE(head.wants_close());
}

TEST_CASE("of an absolute URL the path and the query count") {
  const struct {
    const char* target;
    const char* read;
  } kRows[] = {
      {"http://a/v1/models?x=http://b/c", "/v1/models?x=http://b/c"},
      {"HTTPS://a:8000/", "/"},
      {"http://a", "/"},
      {"http://a?x", "/?x"},
      {"ftp://a/b", "ftp://a/b"},
      {"/http://a/b", "/http://a/b"},
      {"//a/b", "//a/b"},
      {"*", "*"},
  };
  for (const auto& row : kRows) {
    CAPTURE(row.target);
    RequestHead head;
    REQUIRE(parse("GET " + std::string(row.target) + " HTTP/1.1\r\nHost: a\r\n\r\n", head) == 0);
    CHECK(head.target == row.read);
  }
}

TEST_CASE("one host is named") {
  const auto status = [](const std::string& version, const std::string& headers) {
    RequestHead head;
    return parse("GET / HTTP/" + version + "\r\n" + headers + "\r\n", head);
  };
  for (const char* host : {"a", "127.0.0.1:8000", "[::1]:80", "", "a.example"}) {
    CHECK(status("1.1", "Host: " + std::string(host) + "\r\n") == 0);
  }
  CHECK(status("1.0", "") == 0);
  CHECK(status("1.1", "") == 400);
  CHECK(status("1.1", "Host: a\r\nHost: a\r\n") == 400);
  CHECK(status("1.0", "Host: a\r\nHost: b\r\n") == 400);
  for (const char* host : {"a b", "a/b", "a@b", "a\\b", "a?b", "\xc3\xa4"}) {
    CHECK(status("1.1", "Host: " + std::string(host) + "\r\n") == 400);
  }
}

TEST_CASE("heads that a proxy could read differently are refused") {
  const struct {
    const char* text;
    int status;
  } kRows[] = {
      {"GET /\r\n\r\n", 400},
      {"GET  / HTTP/1.1\r\n\r\n", 400},
      {"GET / HTTP/2.0\r\n\r\n", 505},
      {"GET / FTP/1.1\r\n\r\n", 400},
      {"G\x01T / HTTP/1.1\r\n\r\n", 400},
      {"GET /a\x7f HTTP/1.1\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nNoColon\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nName : x\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nA: b\r\n folded\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nA: b\nB: c\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\nContent-Length: +1\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\nContent-Length: 1x\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
      {"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501},
      {"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 501},
  };
  for (const auto& row : kRows) {
    CAPTURE(row.text);
    RequestHead head;
    CHECK(parse(row.text, head) == row.status);
  }
}
