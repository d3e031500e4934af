#include "server/http/request_head.h"

#include <algorithm>
#include <charconv>

#include "server/http/head_text.h"

namespace saccade::http {
namespace {

bool is_token(std::string_view text) {  // RFC 9110 5.6.2
  return !text.empty() && std::all_of(text.begin(), text.end(), [](unsigned char c) {
    return std::isalnum(c) ||
           std::string_view("!#$%&'*+-.^_`|~").find(char(c)) != std::string::npos;
  });
}

std::string_view trimmed(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

// Path and query of an absolute URL, which is as good as a path (RFC 9112 section 3.2.2).
std::string origin_form(std::string_view target) {
  const size_t scheme = target.find("://");
  const std::string_view name = target.substr(0, std::min(scheme, target.size()));
  if (!equals_ignoring_case(name, "http") && !equals_ignoring_case(name, "https")) {
    return std::string(target);
  }
  target.remove_prefix(scheme + 3);
  target.remove_prefix(std::min(target.find_first_of("/?"), target.size()));
  return (target.starts_with('/') ? "" : "/") + std::string(target);
}

int parse_request_line(std::string_view line, RequestHead& head, std::string& why) {
  const size_t first = line.find(' ');
  const size_t last = line.rfind(' ');
  why = "malformed request line";
  if (first == std::string_view::npos || first == last) return 400;
  head.method = line.substr(0, first);
  head.target = line.substr(first + 1, last - first - 1);
  const std::string_view version = line.substr(last + 1);
  if (!is_token(head.method) || head.target.empty() || has_control(head.target) ||
      head.target.find(' ') != std::string::npos) {
    return 400;
  }
  head.target = origin_form(head.target);
  head.http_1_0 = version == "HTTP/1.0";
  if (!head.http_1_0 && version != "HTTP/1.1") {
    why = "only HTTP/1.1 and HTTP/1.0 are spoken here";
    return version.substr(0, 5) == "HTTP/" ? 505 : 400;
  }
  return 0;
}

bool is_host(std::string_view text) {  // RFC 3986 section 3.2.2, and a port
  return std::all_of(text.begin(), text.end(), [](unsigned char c) {
    return std::isalnum(c) ||
           std::string_view("-._~!$&'()*+,;=%:[]").find(char(c)) != std::string::npos;
  });
}

// RFC 9112 section 3.2: exactly one, which only HTTP/1.0 may leave out.
int check_host(const RequestHead& head, std::string& why) {
  int hosts = 0;
  for (const auto& [name, value] : head.headers) {
    if (!equals_ignoring_case(name, "Host")) continue;
    ++hosts;
    if (!is_host(value)) hosts = 2;
  }
  if (hosts == 1 || (hosts == 0 && head.http_1_0)) return 0;
  why = hosts == 0 ? "the Host header is missing" : "bad Host header";
  return 400;
}

int parse_framing(RequestHead& head, std::string& why) {
  int lengths = 0;
  for (const auto& [name, value] : head.headers) {
    if (equals_ignoring_case(name, "Content-Length")) {
      uint64_t length = 0;
      const char* end = value.data() + value.size();
      const auto [stop, error] = std::from_chars(value.data(), end, length);
      if (error != std::errc() || stop != end || ++lengths > 1) {
        why = "bad Content-Length";
        return 400;
      }
      head.content_length = length;
    } else if (equals_ignoring_case(name, "Transfer-Encoding")) {
      if (head.http_1_0) {  // RFC 9112 section 6.1: who sent it on may have framed it otherwise
        why = "HTTP/1.0 has no Transfer-Encoding";
        return 400;
      }
      if (head.chunked || !equals_ignoring_case(value, "chunked")) {
        why = "the only Transfer-Encoding understood is chunked";
        return 501;
      }
      head.chunked = true;
    }
  }
  if (head.chunked && lengths > 0) {
    why = "Content-Length together with Transfer-Encoding";
    return 400;
  }
  return 0;
}

}  // namespace

std::string_view RequestHead::header(std::string_view name) const {
  for (const auto& [key, value] : headers) {
    if (equals_ignoring_case(key, name)) return value;
  }
  return {};
}

bool RequestHead::wants_close() const {
  bool close = false, keep = false;
  for (const auto& [key, value] : headers) {
    if (!equals_ignoring_case(key, "Connection")) continue;
    for (std::string_view rest = value; !rest.empty();) {
      const std::string_view option = trimmed(rest.substr(0, rest.find(',')));
      close = close || equals_ignoring_case(option, "close");
      keep = keep || equals_ignoring_case(option, "keep-alive");
      rest.remove_prefix(std::min(std::min(rest.find(','), rest.size()) + 1, rest.size()));
    }
  }
  return close || (http_1_0 && !keep);
}

int parse_request_head(std::string_view text, RequestHead& head, std::string& why) {
  head = {};
  bool first = true;
  while (true) {
    const size_t end = text.find("\r\n");
    if (end == std::string_view::npos) {
      why = "header lines end with CRLF";
      return 400;
    }
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end + 2);
    if (first) {
      if (const int status = parse_request_line(line, head, why)) return status;
      first = false;
      continue;
    }
    if (line.empty()) break;
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos || !is_token(line.substr(0, colon)) || has_control(line)) {
      why = "malformed header line";
      return 400;
    }
    head.headers.emplace_back(line.substr(0, colon), trimmed(line.substr(colon + 1)));
  }
  if (const int status = parse_framing(head, why)) return status;
  return check_host(head, why);
}

}  // namespace saccade::http
