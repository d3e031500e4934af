#pragma once

#include <optional>
#include <string_view>

#include "server/http/gunzip.h"
#include "server/http/http_server.h"

namespace saccade::http {

// Collects a request's body as it arrives, inflated, within the limits. Used by one thread.
class BodyReader {
 public:
  enum class Fault {
    kNone,
    kTooLarge,
    kNoMemory,
    kMalformed,   // no gzip
    kBadChunks,   // framed wrongly
    kEndedEarly,  // the client ended its side before it was whole
    kIncomplete,  // the client is too slow, or gone
  };

  BodyReader(HttpRequest& request, size_t max_bytes, BodyBudget& budget, bool gzip);

  // False when it is no use to read on.
  bool push(std::string_view data);
  // Nothing more comes. `arrived`: kNone when all of the body has been pushed, else why not.
  Fault end(Fault arrived);

 private:
  Fault take(std::string_view data);

  HttpRequest& request_;
  const size_t max_bytes_;
  std::optional<Gunzip> gunzip_;
  size_t received_ = 0;
  Fault fault_ = Fault::kNone;
};

}  // namespace saccade::http
