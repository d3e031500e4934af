#pragma once

#include <functional>
#include <memory>
#include <string>

#include "server/api/answer/generation.h"
#include "server/api/fields/json.h"
#include "server/http/http_server.h"

// What chat and completions share on the way from a Generation to the client.
namespace saccade::api {

extern const Status kShuttingDown;  // what a draining server says

// The reply to a request that failed.
http::HttpReply error_response(const Status& status);

// When a client that was refused may come again, in whole seconds.
void set_retry_after(http::HttpReply& reply, double seconds);

Json usage_json(const Usage& usage);

// Milliseconds of each stage, and tokens per second.
Json timings_json(const Generation& generation);

// Ids of the tokens, for return_token_ids.
Json token_ids_json(const std::vector<LogprobEntry>& entries);

// vLLM's stop_reason: the stop string or stop_token_ids member that ended a choice, else null.
Json stop_reason_json(const ChoiceDelta& delta);

// "stop" or "length".
const char* finish_name(FinishReason reason);

// "chatcmpl-" and 32 hex digits.
std::string response_id(const char* prefix);
int64_t unix_time();
std::string utc_text(int64_t unix_time);  // RFC 3339

// Waits for all choices, each with all that its deltas held. kCancelled: the client left.
// `seen` is shown every delta before it is merged.
Result<std::vector<ChoiceDelta>> collect(
    Generation& generation, http::Client& client,
    const std::function<void(const ChoiceDelta&)>& seen = nullptr);

// How one route writes its stream: each function gives the JSON of some events.
struct StreamFormat {
  std::function<std::vector<Json>()> first;  // before any delta
  std::function<std::vector<Json>(const ChoiceDelta&)> delta;
  std::function<std::vector<Json>()> last;  // when every choice has finished
  // The generation that goes on where one is done, its deltas in the same stream; null, or none
  // given: nothing does.
  std::function<Result<std::unique_ptr<Generation>>()> next = nullptr;
  // Instead, when the request fails on the way. None: OpenAI's error body.
  std::function<std::vector<Json>(const Status&)> failure = nullptr;
  // Events are named by their `type`, and the last one is the end; else [DONE] follows.
  bool named_events = false;
};

// The reply that streams `generation` as server-sent events. A failure on the way is an event with
// an error; silence is filled with comments.
http::HttpReply stream_reply(std::unique_ptr<Generation> generation, StreamFormat format);

}  // namespace saccade::api
