#include "server/http/sse.h"

namespace saccade::http {

std::string sse_event(std::string_view data, std::string_view name) {
  std::string event;
  event.reserve(data.size() + name.size() + 16);
  if (!name.empty()) event.append("event: ").append(name).append("\n");
  event.append("data: ").append(data).append("\n\n");
  return event;
}

std::string sse_done() { return sse_event("[DONE]"); }

std::string sse_keepalive() { return ": keepalive\n\n"; }

}  // namespace saccade::http
