#include "server/http/multipart.h"

#include <strings.h>

#include <algorithm>
#include <optional>

namespace saccade::http {
namespace {

constexpr size_t kMaxParts = 64;
constexpr size_t kMaxBoundary = 70;  // RFC 2046 5.1.1
constexpr size_t kMaxHead = 8192;    // headers of one part

bool starts_with_ignoring_case(std::string_view text, std::string_view prefix) {
  return text.size() >= prefix.size() &&
         strncasecmp(text.data(), prefix.data(), prefix.size()) == 0;
}

// The value of `name=` among the parameters behind the first semicolon: a token or a quoted string.
std::optional<std::string> parameter(std::string_view header, std::string_view name) {
  size_t at = header.find(';');
  while (at != std::string_view::npos) {
    at = header.find_first_not_of(" \t;", at);
    if (at == std::string_view::npos) return std::nullopt;
    const bool found = starts_with_ignoring_case(header.substr(at), name) &&
                       at + name.size() < header.size() && header[at + name.size()] == '=';
    at = header.find('=', at);
    if (at == std::string_view::npos) return std::nullopt;
    std::string value;
    if (++at < header.size() && header[at] == '"') {
      for (++at; at < header.size() && header[at] != '"'; ++at) {
        if (header[at] == '\\' && at + 1 < header.size()) ++at;
        value += header[at];
      }
      at = header.find(';', at);
    } else {
      const size_t end = std::min(header.find(';', at), header.size());
      value = header.substr(at, end - at);
      while (!value.empty() && (value.back() == ' ' || value.back() == '\t')) value.pop_back();
      at = end < header.size() ? end : std::string_view::npos;
    }
    if (found) return value;
  }
  return std::nullopt;
}

Status malformed() { return invalid_argument("the body is not valid multipart/form-data"); }

Result<FormPart> parse_part(std::string_view text) {
  const size_t end = text.substr(0, kMaxHead).find("\r\n\r\n");
  if (end == std::string_view::npos) return malformed();
  FormPart part;
  part.body = text.substr(end + 4);
  std::string_view head = text.substr(0, end + 2);
  while (!head.empty()) {
    const size_t line_end = head.find("\r\n");
    const std::string_view line = head.substr(0, line_end);
    head.remove_prefix(line_end + 2);
    if (!starts_with_ignoring_case(line, "Content-Disposition:")) continue;
    if (const auto name = parameter(line, "name")) part.name = *name;
    if (const auto filename = parameter(line, "filename")) part.filename = *filename;
  }
  if (part.name.empty()) return malformed();
  return part;
}

}  // namespace

Result<std::vector<FormPart>> parse_multipart(std::string_view content_type,
                                              std::string_view body) {
  if (!starts_with_ignoring_case(content_type, "multipart/form-data")) {
    return invalid_argument("the body must be multipart/form-data");
  }
  const auto boundary = parameter(content_type, "boundary");
  if (!boundary || boundary->empty() || boundary->size() > kMaxBoundary) return malformed();
  const std::string delimiter = "\r\n--" + *boundary;
  std::vector<FormPart> parts;
  // The first delimiter needs no line break before it.
  if (!body.starts_with(std::string_view(delimiter).substr(2))) return malformed();
  body.remove_prefix(delimiter.size() - 2);
  while (!body.starts_with("--")) {
    if (!body.starts_with("\r\n") || parts.size() == kMaxParts) return malformed();
    body.remove_prefix(2);
    const size_t end = body.find(delimiter);
    if (end == std::string_view::npos) return malformed();
    Result<FormPart> part = parse_part(body.substr(0, end));
    if (!part) return part.status();
    parts.push_back(*std::move(part));
    body.remove_prefix(end + delimiter.size());
  }
  return parts;
}

}  // namespace saccade::http
