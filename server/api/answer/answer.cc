#include "server/api/answer/answer.h"

#include <cmath>
#include <ctime>
#include <random>

#include "server/http/errors.h"
#include "server/http/sse.h"

namespace saccade::api {
namespace {

// How often a waiting worker looks whether its client is still there.
constexpr std::chrono::milliseconds kClientCheck{200};
constexpr double kRetryAfter = 1;  // seconds

bool write_events(http::BodyWriter& writer, const std::vector<Json>& events, bool named) {
  for (const Json& event : events) {
    const std::string name = named ? event["type"].get<std::string>() : std::string();
    if (!writer.write(http::sse_event(to_text(event), name))) return false;
  }
  return true;
}

void write_failure(const Status& status, const StreamFormat& format, http::BodyWriter& writer) {
  if (format.failure) {
    write_events(writer, format.failure(status), format.named_events);
  } else {
    writer.write(http::sse_event(http::error_reply(status).body));
  }
}

// Puts what came next behind what is there.
void append(ChoiceDelta next, ChoiceDelta& answer) {
  const auto move_all = [](auto& from, auto& to) {
    std::move(from.begin(), from.end(), std::back_inserter(to));
  };
  answer.text += next.text;
  move_all(next.logprobs, answer.logprobs);
  move_all(next.prompt_logprobs, answer.prompt_logprobs);
  move_all(next.pooled, answer.pooled);
  if (!next.finish) return;
  answer.finish = next.finish;
  answer.stop_string = std::move(next.stop_string);
  answer.stop_token = next.stop_token;
}

// False when the stream has ended before the generation did.
bool write_deltas(Generation& generation, const StreamFormat& format, http::BodyWriter& writer) {
  TimePoint last_write = Clock::now();
  while (!generation.done()) {
    const auto wait = std::min<Clock::duration>(kClientCheck, generation.keepalive());
    const auto delta = generation.next(Clock::now() + wait);
    if (!delta) {
      write_failure(delta.status(), format, writer);
      return false;
    }
    // Tokens of what only turns out later to be text or a call have no events.
    const std::vector<Json> events = *delta ? format.delta(**delta) : std::vector<Json>();
    if (!events.empty()) {
      if (!write_events(writer, events, format.named_events)) return false;
      last_write = Clock::now();
    } else if (writer.gone()) {
      return false;
    } else if (Clock::now() - last_write >= generation.keepalive()) {
      if (!writer.write(http::sse_keepalive())) return false;
      last_write = Clock::now();
    }
  }
  return true;
}

void write_stream(std::shared_ptr<Generation>& generation, const StreamFormat& format,
                  http::BodyWriter& writer) {
  const bool named = format.named_events;
  if (!write_events(writer, format.first(), named)) return;
  while (write_deltas(*generation, format, writer)) {
    auto following = format.next ? format.next() : std::unique_ptr<Generation>();
    if (!following) return write_failure(following.status(), format, writer);
    if (*following == nullptr) {
      if (write_events(writer, format.last(), named) && !named) writer.write(http::sse_done());
      return;
    }
    generation = *std::move(following);
  }
}

}  // namespace

const Status kShuttingDown(StatusCode::kUnavailable, "the server is shutting down");

http::HttpReply error_response(const Status& status) {
  http::ErrorReply error = http::error_reply(status);
  http::HttpReply reply = http::json_reply(std::move(error.body));
  reply.status = error.status;
  if (error.retry_later) set_retry_after(reply, kRetryAfter);
  return reply;
}

void set_retry_after(http::HttpReply& reply, double seconds) {
  const std::string value = std::to_string(static_cast<int64_t>(std::ceil(std::max(seconds, 1.0))));
  for (auto& [name, old] : reply.headers) {
    if (name == "Retry-After") {
      old = value;
      return;
    }
  }
  reply.headers.emplace_back("Retry-After", value);
}

Json usage_json(const Usage& usage) {
  return {{"prompt_tokens", usage.prompt_tokens},
          {"completion_tokens", usage.completion_tokens},
          {"total_tokens", usage.prompt_tokens + usage.completion_tokens},
          {"prompt_tokens_details",
           {{"cached_tokens", usage.cached_tokens}, {"image_tokens", usage.image_tokens}}}};
}

Json timings_json(const Generation& generation) {
  const Timings& times = generation.timings();
  const Usage& usage = generation.usage();
  const auto milliseconds = [](double seconds) { return std::round(seconds * 1e6) / 1e3; };
  const auto rate = [](int tokens, double seconds) {
    return tokens > 0 && seconds > 0 ? Json(std::round(tokens / seconds * 100) / 100) : Json();
  };
  return {
      {"queue_ms", milliseconds(times.queue)},
      {"media_decode_ms", milliseconds(times.media_decode)},
      {"media_preprocess_ms", milliseconds(times.media_preprocess)},
      {"encode_ms", milliseconds(times.encode)},
      {"prefill_ms", milliseconds(times.prefill)},
      {"decode_ms", milliseconds(times.decode)},
      {"prompt_tokens_per_second", rate(usage.prompt_tokens - usage.cached_tokens, times.prefill)},
      // The first token of each choice belongs to the prefill.
      {"tokens_per_second", rate(usage.completion_tokens - generation.choices(), times.decode)},
      {"draft_tokens", times.draft_tokens},
      {"accepted_draft_tokens", times.accepted_drafts}};
}

Json token_ids_json(const std::vector<LogprobEntry>& entries) {
  Json ids = Json::array();
  for (const LogprobEntry& entry : entries) ids.push_back(entry.chosen.id);
  return ids;
}

Json stop_reason_json(const ChoiceDelta& delta) {
  if (!delta.stop_string.empty()) return delta.stop_string;
  return delta.stop_token ? Json(*delta.stop_token) : Json();
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

std::string utc_text(int64_t unix_time) {
  const auto time = static_cast<std::time_t>(unix_time);
  std::tm parts{};
  gmtime_r(&time, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

Result<std::vector<ChoiceDelta>> collect(Generation& generation, http::Client& client,
                                         const std::function<void(const ChoiceDelta&)>& seen) {
  std::vector<ChoiceDelta> answers(static_cast<size_t>(generation.choices()));
  for (size_t i = 0; i < answers.size(); ++i) answers[i].choice = static_cast<int>(i);
  TimePoint next_check = Clock::now() + kClientCheck;
  while (!generation.done()) {
    auto delta = generation.next(next_check);
    if (!delta) return delta.status();
    if (*delta) {
      if (seen) seen(**delta);
      ChoiceDelta& answer = answers[(*delta)->choice];
      append(**std::move(delta), answer);
    }
    if (Clock::now() >= next_check) {
      if (client.gone()) return Status(StatusCode::kCancelled, "the client left");
      next_check = Clock::now() + kClientCheck;
    }
  }
  return answers;
}

http::HttpReply stream_reply(std::unique_ptr<Generation> generation, StreamFormat format) {
  http::HttpReply reply;
  reply.content_type = std::string(http::kEventStreamType);
  // std::function wants a copyable target.
  reply.stream = [generation = std::shared_ptr<Generation>(std::move(generation)),
                  format = std::move(format)](http::BodyWriter& writer) mutable {
    write_stream(generation, format, writer);
  };
  return reply;
}

}  // namespace saccade::api
