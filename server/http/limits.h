#pragma once

#include <chrono>
#include <cstddef>

namespace saccade::http {

// What one connection may cost. Enforced in Connection and HttpServer, nowhere else.
struct ConnectionLimits {
  size_t max_body_bytes = size_t{64} << 20;   // announced or received; beyond: 413
  size_t max_bodies_bytes = size_t{1} << 30;  // of all requests together, until parsed; beyond: 503
  size_t max_head_bytes = size_t{64} << 10;   // request line and headers; beyond: 431
  size_t max_target_bytes = size_t{8} << 10;  // beyond: 414
  // At this number a new one takes the place of the one that has sent nothing for longest.
  int max_connections = 1024;
  // A request head has to be complete within this time, and in every such span of a body at least
  // min_body_rate bytes a second have to arrive.
  std::chrono::milliseconds read_timeout{30'000};
  size_t min_body_rate = 256;  // bytes per second
  // A response of which the client takes no byte for this long is given up.
  std::chrono::milliseconds write_timeout{60'000};
};

}  // namespace saccade::http
