#pragma once

#include <string>
#include <string_view>

// Server-sent events, as far as the OpenAI API uses them.
namespace saccade::http {

inline constexpr std::string_view kEventStreamType = "text/event-stream; charset=utf-8";

// One event, with or without a name. `data` is a JSON text, which never holds a line break.
std::string sse_event(std::string_view data, std::string_view name = {});

// The event that ends a stream.
std::string sse_done();

// A line that clients skip; keeps proxies and clients from giving a silent connection up.
std::string sse_keepalive();

}  // namespace saccade::http
