#include "server/api/messages/messages.h"

#include "server/api/answer/answer.h"
#include "server/api/answer/answer_plan.h"
#include "server/api/answer/prepare.h"
#include "server/api/fields/read_request.h"
#include "server/api/messages/message_blocks.h"
#include "server/api/messages/messages_request.h"
#include "server/http/errors.h"

namespace saccade::api {
namespace {

const char* message_error_type(int status) {
  switch (status) {
    case 401:
      return "authentication_error";
    case 403:
      return "permission_error";
    case 404:
      return "not_found_error";
    case 413:
      return "request_too_large";
    case 429:
      return "rate_limit_error";
    case 503:
      return "overloaded_error";
    default:
      return status >= 500 ? "api_error" : "invalid_request_error";
  }
}

http::HttpReply failure(const http::HttpRequest& request, const Status& status) {
  http::HttpReply reply = error_response(status);
  reply.body = message_error_body(reply.status, status.message(), status.param(), request.id);
  return reply;
}

// Anthropic counts what came from the cache apart from the rest of the input.
Json message_usage(const Usage& usage, int thinking_tokens) {
  return {{"input_tokens", usage.prompt_tokens - usage.cached_tokens},
          {"cache_creation_input_tokens", 0},
          {"cache_read_input_tokens", usage.cached_tokens},
          {"output_tokens", usage.completion_tokens},
          {"output_tokens_details", {{"thinking_tokens", thinking_tokens}}}};
}

// Writes a message, whole or as the events of a stream.
class MessageFormat {
 public:
  MessageFormat(const Call& call, const StartedAnswer& answer, const MessagesRequest& request)
      : generation_(*answer.generation),
        model_(call.service.name_of(request.model)),
        request_id_(call.request.id),
        blocks_(answer.syntax, request.tools.parallel) {}

  std::vector<Json> take(const ChoiceDelta& delta) {
    if (delta.finish) last_ = delta;
    return blocks_.take(delta);
  }

  // All of the answer was taken.
  Json whole() const {
    Json made = message(blocks_.content());
    made.update(end());
    made["usage"] = message_usage(generation_.usage(), blocks_.reasoning_tokens());
    return made;
  }

  std::vector<Json> first() const {
    Usage usage = generation_.usage();
    usage.cached_tokens = 0;  // not known yet
    Json start = message(Json::array());
    start["usage"] = message_usage(usage, 0);
    return {{{"type", "message_start"}, {"message", std::move(start)}}, {{"type", "ping"}}};
  }

  std::vector<Json> last() const {
    return {{{"type", "message_delta"},
             {"delta", end()},
             {"usage", message_usage(generation_.usage(), blocks_.reasoning_tokens())}},
            {{"type", "message_stop"}}};
  }

  std::vector<Json> failed(const Status& status) const {
    const int code = http::error_reply(status).status;
    return {Json::parse(message_error_body(code, status.message(), {}, request_id_))};
  }

 private:
  // How the answer ended.
  Json end() const {
    const bool called = blocks_.called() && last_.finish == FinishReason::kStop;
    const bool stopped = !called && !last_.stop_string.empty();
    const char* reason = last_.finish == FinishReason::kLength ? "max_tokens"
                         : called                              ? "tool_use"
                         : stopped                             ? "stop_sequence"
                                                               : "end_turn";
    return {{"stop_reason", reason}, {"stop_sequence", stopped ? Json(last_.stop_string) : Json()}};
  }

  Json message(Json content) const {
    return {{"id", id_},
            {"type", "message"},
            {"role", "assistant"},
            {"model", model_},
            {"content", std::move(content)},
            {"stop_reason", nullptr},
            {"stop_sequence", nullptr}};
  }

  const Generation& generation_;  // lives as long as the reply that streams it
  const std::string id_ = response_id("msg_");
  const std::string model_;
  const std::string request_id_;
  MessageBlocks blocks_;
  ChoiceDelta last_;  // that finished the answer
};

}  // namespace

std::string message_error_body(int status, const std::string& message, const std::string& param,
                               const std::string& request_id) {
  // The message is all that these clients show: it names the field where ours does not.
  const bool named = param.empty() || message.find(param) != std::string::npos;
  Json error = {{"type", message_error_type(status)},
                {"message", named ? message : param + ": " + message}};
  if (param == "thread") {  // the client goes on without one, and sends all messages
    error["details"] = {{"error_code", "thread_unsupported_request"},
                        {"unsupported", Json::array({"thread"})}};
  }
  return to_text({{"type", "error"}, {"error", std::move(error)}, {"request_id", request_id}});
}

http::HttpReply error_response(const http::HttpRequest& request, const Status& status) {
  return request.other_client ? failure(request, status) : error_response(status);
}

http::HttpReply create_message(Call& call) {
  auto request = read_request(call.service, call.request, parse_messages_request);
  if (!request) return failure(call.request, request.status());
  auto started =
      start_answer(call, request->conversation, request->tools, request->format, request->options);
  if (!started) return failure(call.request, started.status());

  const auto format = std::make_shared<MessageFormat>(call, *started, *request);
  if (!request->options.stream) {
    const auto answers = collect(*started->generation, call.client,
                                 [&](const ChoiceDelta& delta) { format->take(delta); });
    if (!answers) return failure(call.request, answers.status());
    return http::json_reply(to_text(format->whole()));
  }
  StreamFormat stream{[format] { return format->first(); },
                      [format](const ChoiceDelta& delta) { return format->take(delta); },
                      [format] { return format->last(); }};
  stream.failure = [format](const Status& status) { return format->failed(status); };
  stream.named_events = true;
  return stream_reply(std::move(started->generation), std::move(stream));
}

http::HttpReply count_message_tokens(Call& call) {
  auto request = read_request(call.service, call.request, parse_count_request);
  if (!request) return failure(call.request, request.status());
  show_tools(call.service, request->tools, request->conversation);
  const auto prompt =
      count_chat(call.service, request->conversation, call.admission->media_client());
  if (!prompt) return failure(call.request, prompt.status());
  return http::json_reply(to_text({{"input_tokens", prompt->ids.size()}}));
}

}  // namespace saccade::api
