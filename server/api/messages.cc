#include "server/api/messages.h"

#include "server/api/answer.h"
#include "server/api/messages_request.h"
#include "server/api/prepare.h"
#include "server/api/read_request.h"
#include "server/http/errors.h"

namespace saccade::api {
namespace {

const char* error_type(int status) {
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

http::HttpReply failure(const Status& status) {
  http::HttpReply reply = error_response(status);
  reply.body = message_error_body(reply.status, status.message(), status.param(), {});
  return reply;
}

// Anthropic counts what came from the cache apart from the rest of the input.
Json usage_of(const Usage& usage) {
  return {{"input_tokens", usage.prompt_tokens - usage.cached_tokens},
          {"cache_creation_input_tokens", 0},
          {"cache_read_input_tokens", usage.cached_tokens},
          {"output_tokens", usage.completion_tokens}};
}

const char* stop_reason(const ChoiceDelta& delta) {
  if (*delta.finish == FinishReason::kLength) return "max_tokens";
  return delta.stop_string.empty() ? "end_turn" : "stop_sequence";
}

Json stop_sequence(const ChoiceDelta& delta) {
  return delta.stop_string.empty() ? Json() : Json(delta.stop_string);
}

// Writes a message, whole or as the events of a stream.
class MessageFormat {
 public:
  MessageFormat(const Service& service, const Generation& generation,
                const MessagesRequest& request)
      : generation_(generation), model_(service.name_of(request.model)) {}

  Json whole(const ChoiceDelta& answer) const {
    Json made = message(Json::array({{{"type", "text"}, {"text", answer.text}}}));
    made["stop_reason"] = stop_reason(answer);
    made["stop_sequence"] = stop_sequence(answer);
    made["usage"] = usage_of(generation_.usage());
    return made;
  }

  std::vector<Json> first() const {
    Usage usage = generation_.usage();
    usage.cached_tokens = 0;  // not known yet
    Json start = message(Json::array());
    start["usage"] = usage_of(usage);
    return {{{"type", "message_start"}, {"message", std::move(start)}},
            {{"type", "content_block_start"},
             {"index", 0},
             {"content_block", {{"type", "text"}, {"text", ""}}}},
            {{"type", "ping"}}};
  }

  std::vector<Json> take(const ChoiceDelta& delta) {
    if (delta.finish) last_ = delta;
    if (delta.text.empty()) return {};
    return {{{"type", "content_block_delta"},
             {"index", 0},
             {"delta", {{"type", "text_delta"}, {"text", delta.text}}}}};
  }

  std::vector<Json> last() const {
    return {
        {{"type", "content_block_stop"}, {"index", 0}},
        {{"type", "message_delta"},
         {"delta", {{"stop_reason", stop_reason(last_)}, {"stop_sequence", stop_sequence(last_)}}},
         {"usage", usage_of(generation_.usage())}},
        {{"type", "message_stop"}}};
  }

  static std::vector<Json> failed(const Status& status) {
    const int code = http::error_reply(status).status;
    return {Json::parse(message_error_body(code, to_text(status.message()), {}, {}))};
  }

 private:
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
  ChoiceDelta last_;
};

}  // namespace

std::string message_error_body(int status, const std::string& message, const std::string& param,
                               const std::string&) {
  // The message is all that these clients show: it names the field where ours does not.
  const bool named = param.empty() || message.find(param) != std::string::npos;
  return to_text(
      {{"type", "error"},
       {"error",
        {{"type", error_type(status)}, {"message", named ? message : param + ": " + message}}}});
}

http::HttpReply create_message(Call& call) {
  Service& service = call.service;
  const auto request = read_request(service, call.request, parse_messages_request);
  if (!request) return failure(request.status());
  const GenerationOptions& options = request->options;
  Result<PreparedPrompt> prompt =
      prepare_chat(service, request->conversation, {options.max_tokens, options.truncate_prompt},
                   call.admission.get());
  if (!prompt) return failure(prompt.status());
  std::vector<PreparedPrompt> prompts;
  prompts.push_back(*std::move(prompt));
  auto generation = Generation::start(service, call.admission, std::move(prompts), options);
  if (!generation) return failure(generation.status());

  const auto format = std::make_shared<MessageFormat>(service, **generation, *request);
  if (!options.stream) {
    const auto answers = collect(**generation, call.client);
    if (!answers) return failure(answers.status());
    return http::json_reply(to_text(format->whole(answers->front())));
  }
  StreamFormat stream{[format] { return format->first(); },
                      [format](const ChoiceDelta& delta) { return format->take(delta); },
                      [format] { return format->last(); }};
  stream.failure = MessageFormat::failed;
  stream.named_events = true;
  return stream_reply(*std::move(generation), std::move(stream));
}

http::HttpReply count_message_tokens(Call& call) {
  const auto request = read_request(call.service, call.request, parse_count_request);
  if (!request) return failure(request.status());
  const auto prompt = count_chat(call.service, request->conversation, call.request.key);
  if (!prompt) return failure(prompt.status());
  return http::json_reply(to_text({{"input_tokens", prompt->ids.size()}}));
}

}  // namespace saccade::api
