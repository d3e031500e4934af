#include "server/http/sse.h"

namespace saccade::http {

std::string sse_event(std::string_view data) {
  std::string event;
  event.reserve(data.size() + 8);
  event.append("data: ").append(data).append("\n\n");
  return event;
}

std::string sse_done() { return sse_event("[DONE]"); }

std::string sse_keepalive() { return ": keepalive\n\n"; }

}  // namespace saccade::http
