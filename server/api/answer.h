#pragma once

#include <functional>
#include <memory>
#include <string>

#include "server/api/generation.h"
#include "server/api/json.h"
#include "server/http/http_server.h"

// What chat and completions share on the way from a Generation to the client.
namespace saccade::api {

// The reply to a request that failed.
http::HttpReply error_response(const Status& status);

Json usage_json(const Usage& usage);

// "stop" or "length".
const char* finish_name(FinishReason reason);

// "chatcmpl-" and 32 hex digits.
std::string response_id(const char* prefix);
int64_t unix_time();

// Hands every delta to `take`, until all choices have finished. kCancelled: the client left.
Status collect(Generation& generation, http::Client& client,
               const std::function<void(ChoiceDelta)>& take);

// How one route writes its stream: each function gives the JSON of one event.
struct StreamFormat {
  std::function<std::vector<Json>()> first;  // before any delta
  std::function<Json(const ChoiceDelta&)> delta;
  std::function<std::vector<Json>()> last;  // when every choice has finished
};

// The reply that streams `generation` as server-sent events. A failure on the way is an event with
// an error; silence is filled with comments. `ticket` is held until the last byte.
http::HttpReply stream_reply(std::unique_ptr<Generation> generation, StreamFormat format,
                             std::shared_ptr<InFlight::Ticket> ticket);

}  // namespace saccade::api
