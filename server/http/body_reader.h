#pragma once

#include <optional>
#include <string_view>

#include "server/http/gunzip.h"
#include "server/http/http_server.h"

namespace saccade::http {

// Collects a request's body as it arrives, inflated, within the limits. Used by one thread.
class BodyReader {
 public:
  enum class Fault { kNone, kTooLarge, kNoMemory, kMalformed, kIncomplete };

  BodyReader(HttpRequest& request, size_t max_bytes, BodyBudget& budget, bool gzip);

  // False when it is no use to read on.
  bool push(std::string_view data);
  // `arrived`: all of the body has been pushed.
  Fault end(bool arrived);

 private:
  Fault take(std::string_view data);

  HttpRequest& request_;
  const size_t max_bytes_;
  std::optional<Gunzip> gunzip_;
  size_t received_ = 0;
  Fault fault_ = Fault::kNone;
};

}  // namespace saccade::http
