#include "server/api/responses.h"

#include "server/api/answer.h"
#include "server/api/logprobs.h"
#include "server/api/prepare.h"
#include "server/api/read_request.h"
#include "server/api/responses_request.h"

namespace saccade::api {
namespace {

Json usage_of(const Usage& usage) {
  return {{"input_tokens", usage.prompt_tokens},
          {"input_tokens_details",
           {{"cached_tokens", usage.cached_tokens}, {"image_tokens", usage.image_tokens}}},
          {"output_tokens", usage.completion_tokens},
          {"output_tokens_details", {{"reasoning_tokens", 0}}},
          {"total_tokens", usage.prompt_tokens + usage.completion_tokens}};
}

Json error_of(const Status& status) {
  return {{"code", status.code() == StatusCode::kInternal ? "server_error" : "unavailable"},
          {"message", status.message()}};
}

// Writes a response, whole or as the events of a stream, and keeps it for the next turn.
class ResponseFormat {
 public:
  ResponseFormat(Service& service, const Generation& generation, ResponsesRequest request,
                 Conversation conversation, int owner)
      : service_(service),
        generation_(generation),
        request_(std::move(request)),
        conversation_(std::move(conversation)),
        owner_(owner) {}

  // Takes the next part of the answer; the events that tell it.
  std::vector<Json> take(const ChoiceDelta& delta) {
    std::vector<Json> events;
    Json logprobs = logprobs_of(delta);
    if (!delta.text.empty()) {
      text_ += delta.text;
      events.push_back(event("response.output_text.delta", {{"item_id", message_id_},
                                                            {"output_index", 0},
                                                            {"content_index", 0},
                                                            {"delta", delta.text},
                                                            {"logprobs", logprobs}}));
    }
    for (Json& entry : logprobs) logprobs_.push_back(std::move(entry));
    if (delta.finish) finish_ = *delta.finish;
    return events;
  }

  std::vector<Json> first() {
    const Json in_progress = response("in_progress", Json::array());
    return {event("response.created", {{"response", in_progress}}),
            event("response.in_progress", {{"response", in_progress}}),
            event("response.output_item.added",
                  {{"output_index", 0}, {"item", message("in_progress", Json::array())}}),
            event("response.content_part.added", {{"item_id", message_id_},
                                                  {"output_index", 0},
                                                  {"content_index", 0},
                                                  {"part", part("", Json::array())}})};
  }

  std::vector<Json> last() {
    std::vector<Json> events = {
        event("response.output_text.done", {{"item_id", message_id_},
                                            {"output_index", 0},
                                            {"content_index", 0},
                                            {"text", text_},
                                            {"logprobs", logprobs_}}),
        event("response.content_part.done", {{"item_id", message_id_},
                                             {"output_index", 0},
                                             {"content_index", 0},
                                             {"part", part(text_, logprobs_)}}),
        event("response.output_item.done", {{"output_index", 0}, {"item", whole_message()}})};
    const std::string kind =
        finish_ == FinishReason::kLength ? "response.incomplete" : "response.completed";
    events.push_back(event(kind.c_str(), {{"response", whole()}}));
    return events;
  }

  std::vector<Json> failure(const Status& status) {
    Json failed = response("failed", Json::array());
    failed["error"] = error_of(status);
    return {event("response.failed", {{"response", std::move(failed)}})};
  }

  // The finished response, kept if that was wished.
  Json whole() {
    const bool cut = finish_ == FinishReason::kLength;
    Json made = response(cut ? "incomplete" : "completed", Json::array({whole_message()}));
    if (cut) made["incomplete_details"] = {{"reason", "max_output_tokens"}};
    made["usage"] = usage_of(generation_.usage());
    if (request_.options.timings) made["timings"] = timings_json(generation_);
    if (request_.store) keep(made);
    return made;
  }

 private:
  Json event(const char* type, Json fields) {
    Json made = {{"type", type}, {"sequence_number", sequence_number_++}};
    made.update(fields);
    return made;
  }

  Json logprobs_of(const ChoiceDelta& delta) const {
    if (!request_.options.sampling.logprobs) return Json::array();
    return chat_logprobs(*service_.tokenizer, delta.logprobs)["content"];
  }

  static Json part(const std::string& text, Json logprobs) {
    return {{"type", "output_text"},
            {"text", text},
            {"annotations", Json::array()},
            {"logprobs", std::move(logprobs)}};
  }

  Json message(const char* status, Json content) const {
    return {{"id", message_id_},
            {"type", "message"},
            {"status", status},
            {"role", "assistant"},
            {"content", std::move(content)}};
  }

  Json whole_message() const {
    const bool cut = finish_ == FinishReason::kLength;
    return message(cut ? "incomplete" : "completed", Json::array({part(text_, logprobs_)}));
  }

  Json response(const char* status, Json output) const {
    const SamplingParams& sampling = request_.options.sampling;
    Json made = {{"id", id_},
                 {"object", "response"},
                 {"created_at", created_},
                 {"status", status},
                 {"background", false},
                 {"error", nullptr},
                 {"incomplete_details", nullptr},
                 {"instructions", nullptr},
                 {"max_output_tokens", nullptr},
                 {"metadata", Json::object()},
                 {"model", service_.name_of(request_.model)},
                 {"output", std::move(output)},
                 {"parallel_tool_calls", true},
                 {"previous_response_id", nullptr},
                 {"reasoning", {{"effort", nullptr}, {"summary", nullptr}}},
                 {"service_tier", "default"},
                 {"store", request_.store},
                 {"temperature", sampling.temperature},
                 {"text", {{"format", {{"type", "text"}}}}},
                 {"tool_choice", "auto"},
                 {"tools", Json::array()},
                 {"top_logprobs", sampling.logprobs.value_or(0)},
                 {"top_p", sampling.top_p},
                 {"truncation", "disabled"},
                 {"usage", nullptr},
                 {"user", nullptr}};
    if (!request_.previous_response_id.empty()) {
      made["previous_response_id"] = request_.previous_response_id;
    }
    made.update(request_.echoed);
    return made;
  }

  void keep(const Json& made) {
    StoredResponse stored{id_, owner_, made, request_.input, conversation_};
    ChatMessage answer;
    answer.role = "assistant";
    answer.plain_string = true;
    answer.parts.push_back({ContentPart::Kind::kText, text_, {}});
    stored.conversation.messages.push_back(std::move(answer));
    service_.responses.add(std::move(stored));
  }

  Service& service_;
  const Generation& generation_;  // lives as long as the reply that streams it
  const ResponsesRequest request_;
  const Conversation conversation_;  // with what came before, without instructions
  const int owner_;
  const std::string id_ = response_id("resp_");
  const std::string message_id_ = response_id("msg_");
  const int64_t created_ = unix_time();
  int sequence_number_ = 0;
  std::string text_;
  Json logprobs_ = Json::array();
  FinishReason finish_ = FinishReason::kStop;
};

// What came before, then this request's input.
Result<Conversation> whole_conversation(Service& service, const ResponsesRequest& request,
                                        int owner) {
  if (request.previous_response_id.empty()) return request.conversation;
  auto previous = service.responses.find(request.previous_response_id, owner);
  if (!previous) return previous.status().with_param("previous_response_id");
  Conversation conversation = std::move(previous->conversation);
  const auto& own = request.conversation.messages;
  conversation.messages.insert(conversation.messages.end(), own.begin(), own.end());
  return conversation;
}

Conversation with_instructions(const Conversation& conversation, const std::string& instructions) {
  Conversation told = conversation;
  if (instructions.empty()) return told;
  ChatMessage system;
  system.role = "system";
  system.plain_string = true;
  system.parts.push_back({ContentPart::Kind::kText, instructions, "instructions"});
  told.messages.insert(told.messages.begin(), std::move(system));
  return told;
}

}  // namespace

http::HttpReply create_response(Call& call) {
  Service& service = call.service;
  auto request = read_request(service, call.request, parse_responses_request);
  if (!request) return error_response(request.status());
  if (const Status status = constrain(service.grammars, request->format, request->options);
      !status.ok()) {
    return error_response(status);
  }
  auto conversation = whole_conversation(service, *request, call.request.key);
  if (!conversation) return error_response(conversation.status());
  const GenerationOptions options = request->options;
  Result<PreparedPrompt> prompt =
      prepare_chat(service, with_instructions(*conversation, request->instructions),
                   {options.max_tokens, options.truncate_prompt}, call.admission.get());
  if (!prompt) return error_response(prompt.status());
  std::vector<PreparedPrompt> prompts;
  prompts.push_back(*std::move(prompt));
  auto generation = Generation::start(service, call.admission, std::move(prompts), options);
  if (!generation) return error_response(generation.status());

  const auto format = std::make_shared<ResponseFormat>(service, **generation, *std::move(request),
                                                       *std::move(conversation), call.request.key);
  if (!options.stream) {
    const auto answers = collect(**generation, call.client);
    if (!answers) return error_response(answers.status());
    format->take(answers->front());
    return http::json_reply(to_text(format->whole()));
  }
  StreamFormat stream{[format] { return format->first(); },
                      [format](const ChoiceDelta& delta) { return format->take(delta); },
                      [format] { return format->last(); }};
  stream.failure = [format](const Status& status) { return format->failure(status); };
  stream.named_events = true;
  return stream_reply(*std::move(generation), std::move(stream));
}

http::HttpReply get_response(Service& service, http::HttpRequest& request, http::Client&) {
  constexpr std::string_view kItems = "/input_items";
  std::string id = request.suffix;
  const bool items = id.ends_with(kItems);
  if (items) id.resize(id.size() - kItems.size());
  const auto stored = service.responses.find(id, request.key);
  if (!stored) return error_response(stored.status().with_param("response_id"));
  if (!items) return http::json_reply(to_text(stored->response));
  Json data = stored->input;
  for (size_t i = 0; i < data.size(); ++i) {
    if (!data[i].contains("id")) data[i]["id"] = "msg_" + id.substr(5) + "_" + std::to_string(i);
  }
  Json first = data.empty() ? Json() : data.front()["id"];
  Json last = data.empty() ? Json() : data.back()["id"];
  return http::json_reply(to_text({{"object", "list"},
                                   {"data", std::move(data)},
                                   {"first_id", std::move(first)},
                                   {"last_id", std::move(last)},
                                   {"has_more", false}}));
}

http::HttpReply delete_response(Service& service, http::HttpRequest& request, http::Client&) {
  const Status status = service.responses.remove(request.suffix, request.key);
  if (!status.ok()) return error_response(status.with_param("response_id"));
  return http::json_reply(
      to_text({{"id", request.suffix}, {"object", "response"}, {"deleted", true}}));
}

// As OpenAI has it: only what was made in the background can be cancelled, and nothing is here.
http::HttpReply cancel_response(Service& service, http::HttpRequest& request, http::Client&) {
  constexpr std::string_view kCancel = "/cancel";
  if (!request.suffix.ends_with(kCancel)) {
    return error_response(Status(StatusCode::kNotFound, "there is no such route"));
  }
  const std::string id = request.suffix.substr(0, request.suffix.size() - kCancel.size());
  const auto stored = service.responses.find(id, request.key);
  if (!stored) return error_response(stored.status().with_param("response_id"));
  return error_response(invalid_argument(
      "a response that was not made in the background cannot be cancelled; close its connection",
      "response_id"));
}

}  // namespace saccade::api
