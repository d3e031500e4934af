#include "server/api/answer.h"

#include <random>

#include "server/http/errors.h"
#include "server/http/sse.h"

namespace saccade::api {
namespace {

// How often a waiting worker looks whether its client is still there.
constexpr std::chrono::milliseconds kClientCheck{200};
constexpr std::chrono::seconds kKeepalive{10};
constexpr const char* kRetryAfterSeconds = "1";

bool write_events(http::BodyWriter& writer, const std::vector<Json>& events) {
  for (const Json& event : events) {
    if (!writer.write(http::sse_event(to_text(event)))) return false;
  }
  return true;
}

void write_stream(Generation& generation, const StreamFormat& format, http::BodyWriter& writer) {
  TimePoint last_write = Clock::now();
  if (!write_events(writer, format.first())) return;
  while (!generation.done()) {
    const auto delta = generation.next(Clock::now() + kClientCheck);
    if (!delta) {
      writer.write(http::sse_event(http::error_reply(delta.status()).body));
      return;
    }
    if (*delta) {
      if (!writer.write(http::sse_event(to_text(format.delta(**delta))))) return;
      last_write = Clock::now();
    } else if (writer.gone()) {
      return;
    } else if (Clock::now() - last_write >= kKeepalive) {
      if (!writer.write(http::sse_keepalive())) return;
      last_write = Clock::now();
    }
  }
  if (write_events(writer, format.last())) writer.write(http::sse_done());
}

}  // namespace

http::HttpReply error_response(const Status& status) {
  http::ErrorReply error = http::error_reply(status);
  http::HttpReply reply = http::json_reply(std::move(error.body));
  reply.status = error.status;
  if (error.retry_later) reply.headers.emplace_back("Retry-After", kRetryAfterSeconds);
  return reply;
}

Json usage_json(const Usage& usage) {
  return {{"prompt_tokens", usage.prompt_tokens},
          {"completion_tokens", usage.completion_tokens},
          {"total_tokens", usage.prompt_tokens + usage.completion_tokens},
          {"prompt_tokens_details",
           {{"cached_tokens", usage.cached_tokens}, {"image_tokens", usage.image_tokens}}}};
}

const char* finish_name(FinishReason reason) {
  return reason == FinishReason::kLength ? "length" : "stop";
}

std::string response_id(const char* prefix) {
  thread_local std::mt19937_64 generator{std::random_device{}()};
  char text[33];
  std::snprintf(text, sizeof text, "%016llx%016llx", static_cast<unsigned long long>(generator()),
                static_cast<unsigned long long>(generator()));
  return std::string(prefix) + text;
}

int64_t unix_time() {
  return std::chrono::duration_cast<std::chrono::seconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

Status collect(Generation& generation, http::Client& client,
               const std::function<void(ChoiceDelta)>& take) {
  TimePoint next_check = Clock::now() + kClientCheck;
  while (!generation.done()) {
    auto delta = generation.next(next_check);
    if (!delta) return delta.status();
    if (*delta) take(**std::move(delta));
    if (Clock::now() >= next_check) {
      if (client.gone()) return Status(StatusCode::kCancelled, "the client left");
      next_check = Clock::now() + kClientCheck;
    }
  }
  return {};
}

http::HttpReply stream_reply(std::unique_ptr<Generation> generation, StreamFormat format,
                             std::shared_ptr<InFlight::Ticket> ticket) {
  http::HttpReply reply;
  reply.content_type = std::string(http::kEventStreamType);
  // std::function wants a copyable target.
  reply.stream = [generation = std::shared_ptr<Generation>(std::move(generation)),
                  format = std::move(format), ticket = std::move(ticket)](
                     http::BodyWriter& writer) { write_stream(*generation, format, writer); };
  return reply;
}

}  // namespace saccade::api
