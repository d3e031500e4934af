#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace saccade::http {

// Request line and headers of one HTTP/1.x request, as sent (nothing is decoded); of an absolute
// URL the path and query alone.
struct RequestHead {
  std::string method;
  std::string target;
  bool http_1_0 = false;
  std::vector<std::pair<std::string, std::string>> headers;
  std::optional<uint64_t> content_length;
  bool chunked = false;

  // Value of the first header of that name (case-insensitive), or an empty view.
  std::string_view header(std::string_view name) const;
  bool wants_close() const;
};

// Reads `text`: everything up to and including the empty line. Strict (RFC 9112): CRLF line ends,
// one Host, one Content-Length, never together with Transfer-Encoding, no folded lines, no control
// characters; a proxy in front and this server must not see different requests. On failure returns
// the status to answer with and sets `why`; 0 when all is well.
int parse_request_head(std::string_view text, RequestHead& head, std::string& why);

}  // namespace saccade::http
