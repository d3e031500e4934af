#include "server/api/responses/responses.h"

#include <algorithm>

#include "server/api/answer/answer.h"
#include "server/api/answer/answer_plan.h"
#include "server/api/answer/logprobs.h"
#include "server/api/answer/prepare.h"
#include "server/api/fields/read_request.h"
#include "server/api/files/list_page.h"
#include "server/api/request/tool_call_ids.h"
#include "server/api/responses/drop_oldest.h"
#include "server/api/responses/item_references.h"
#include "server/api/responses/response_items.h"
#include "server/api/responses/responses_request.h"

namespace saccade::api {
namespace {

Json response_usage(const Usage& usage, int reasoning_tokens) {
  return {{"input_tokens", usage.prompt_tokens},
          {"input_tokens_details",
           {{"cached_tokens", usage.cached_tokens},
            {"cache_write_tokens", 0},
            {"image_tokens", usage.image_tokens}}},
          {"output_tokens", usage.completion_tokens},
          {"output_tokens_details", {{"reasoning_tokens", reasoning_tokens}}},
          {"total_tokens", usage.prompt_tokens + usage.completion_tokens}};
}

Json error_of(const Status& status) {
  return {{"code", status.code() == StatusCode::kInternal ? "server_error" : "unavailable"},
          {"message", status.message()}};
}

// Writes a response, whole or as the events of a stream, and keeps it for the next turn.
class ResponseFormat {
 public:
  ResponseFormat(Service& service, const StartedAnswer& answer, ResponsesRequest request,
                 Conversation conversation, int owner)
      : service_(service),
        generation_(*answer.generation),
        request_(std::move(request)),
        conversation_(std::move(conversation)),
        owner_(owner),
        items_(answer.syntax, request_.tools.parallel) {
    Json& tools = request_.echoed["tools"];
    for (Json& tool : tools) {
      if (tool["strict"].is_null()) tool["strict"] = !answer.loosened;
    }
    if (tools.is_null()) tools = Json::array();
  }

  // Takes the next part of the answer; the events that tell it.
  std::vector<Json> take(const ChoiceDelta& delta) {
    if (delta.finish) finish_ = *delta.finish;
    return numbered(items_.take(delta, logprobs_of(delta)));
  }

  std::vector<Json> first() {
    const Json in_progress = response("in_progress", Json::array());
    return numbered({{{"type", "response.created"}, {"response", in_progress}},
                     {{"type", "response.in_progress"}, {"response", in_progress}}});
  }

  std::vector<Json> last() {
    const bool cut = finish_ == FinishReason::kLength;
    return numbered(
        {{{"type", cut ? "response.incomplete" : "response.completed"}, {"response", whole()}}});
  }

  std::vector<Json> failure(const Status& status) {
    Json failed = response("failed", items_.output());
    failed["error"] = error_of(status);
    return numbered({{{"type", "response.failed"}, {"response", std::move(failed)}}});
  }

  // The finished response, kept if that was wished.
  Json whole() {
    const bool cut = finish_ == FinishReason::kLength;
    Json made = response(cut ? "incomplete" : "completed", items_.output());
    if (cut) made["incomplete_details"] = {{"reason", "max_output_tokens"}};
    if (!cut) made["completed_at"] = unix_time();
    made["usage"] = response_usage(generation_.usage(), items_.reasoning_tokens());
    if (request_.options.timings) made["timings"] = timings_json(generation_);
    if (request_.store) keep(made);
    return made;
  }

 private:
  std::vector<Json> numbered(std::vector<Json> events) {
    for (Json& event : events) event["sequence_number"] = sequence_number_++;
    return events;
  }

  Json logprobs_of(const ChoiceDelta& delta) const {
    if (!request_.options.sampling.logprobs) return Json::array();
    return chat_logprobs({*service_.tokenizer, request_.options.tokens_as_ids},
                         delta.logprobs)["content"];
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
    stored.conversation.messages.push_back(items_.turn());
    service_.responses.add(std::move(stored));
  }

  Service& service_;
  const Generation& generation_;  // lives as long as the reply that streams it
  ResponsesRequest request_;
  const Conversation conversation_;  // with what came before, without instructions
  const int owner_;
  const std::string id_ = response_id("resp_");
  const int64_t created_ = unix_time();
  int sequence_number_ = 0;
  ResponseItems items_;
  FinishReason finish_ = FinishReason::kStop;
};

// The request, with the items that its input refers to in their places.
Result<ResponsesRequest> read_request_of(Call& call) {
  return read_request(call.service, call.request, parse_responses_request, [&call](Json& body) {
    return put_referred_items(call.service.responses, call.request.key, body);
  });
}

// Outputs are of calls that the input holds, or else what came before.
Status check_outputs(const ResponsesRequest& request, const std::vector<ChatMessage>& before) {
  if (request.earlier_calls.empty()) return {};
  const ToolCallIds calls(before);
  for (const EarlierCall& call : request.earlier_calls) {
    if (calls.knows(call.id)) continue;
    return invalid_argument(
        "No tool call found for function call output with call_id " + call.id + ".", call.param);
  }
  return {};
}

// What came before, then this request's input.
Result<Conversation> whole_conversation(Service& service, const ResponsesRequest& request,
                                        int owner) {
  if (request.previous_response_id.empty()) {
    const Status status = check_outputs(request, {});
    return status.ok() ? Result<Conversation>(request.conversation) : status;
  }
  auto previous = service.responses.find(request.previous_response_id, owner);
  if (!previous) {
    return Status(StatusCode::kPreviousNotFound, previous.status().message(),
                  "previous_response_id");
  }
  Conversation conversation = request.conversation;
  const auto& before = previous->conversation.messages;
  if (const Status status = check_outputs(request, before); !status.ok()) return status;
  conversation.messages.insert(conversation.messages.begin(), before.begin(), before.end());
  return conversation;
}

// What chats call messages is the input here.
Status named_as_here(const Status& status) {
  return status.param() == "messages" ? status.with_param("input") : status;
}

// What the model is told: the instructions, and as much of the conversation as was asked for.
Result<Conversation> told_conversation(Call& call, const ResponsesRequest& request,
                                       const Conversation& conversation) {
  Conversation told = conversation;
  if (!request.instructions.empty()) {
    ChatMessage system;
    system.role = "system";
    system.plain_string = true;
    system.parts.push_back({ContentPart::Kind::kText, request.instructions, "instructions"});
    told.messages.insert(told.messages.begin(), std::move(system));
  }
  if (request.drops_oldest) {
    const Status status = drop_oldest(call, request.tools, request.options, told);
    if (!status.ok()) return named_as_here(status);
  }
  return told;
}

}  // namespace

http::HttpReply create_response(Call& call) {
  Service& service = call.service;
  auto request = read_request_of(call);
  if (!request) return error_response(request.status());
  auto conversation = whole_conversation(service, *request, call.request.key);
  if (!conversation) return error_response(conversation.status());
  const bool stream = request->options.stream;
  auto told = told_conversation(call, *request, *conversation);
  if (!told) return error_response(told.status());
  auto started = start_answer(call, *told, request->tools, request->format, request->options);
  if (!started) return error_response(named_as_here(started.status()));

  const auto format = std::make_shared<ResponseFormat>(service, *started, *std::move(request),
                                                       *std::move(conversation), call.request.key);
  if (!stream) {
    const auto answers = collect(*started->generation, call.client,
                                 [&](const ChoiceDelta& delta) { format->take(delta); });
    if (!answers) return error_response(answers.status());
    return http::json_reply(to_text(format->whole()));
  }
  StreamFormat events{[format] { return format->first(); },
                      [format](const ChoiceDelta& delta) { return format->take(delta); },
                      [format] { return format->last(); }};
  events.failure = [format](const Status& status) { return format->failure(status); };
  events.named_events = true;
  return stream_reply(std::move(started->generation), std::move(events));
}

http::HttpReply get_response(Service& service, http::HttpRequest& request, http::Client&) {
  const auto stored = service.responses.find(request.id_in_path, request.key);
  if (!stored) return error_response(stored.status().with_param("response_id"));
  if (http::query_value(request.query, "stream") != "true") {
    return http::json_reply(to_text(stored->response));
  }
  return error_response(invalid_argument(
      "only a response that was made in the background can be streamed again", "stream"));
}

http::HttpReply list_input_items(Service& service, http::HttpRequest& request, http::Client&) {
  constexpr int64_t kItemsOfAPage = 20, kMostItems = 100;  // OpenAI's
  const auto stored = service.responses.find(request.id_in_path, request.key);
  if (!stored) return error_response(stored.status().with_param("response_id"));
  const auto query = read_list_query(request, {{}, {}, false, kItemsOfAPage}, kMostItems);
  if (!query) return error_response(query.status());
  Json data = stored->input;
  std::reverse(data.begin(), data.end());
  const auto page = list_page(std::move(data), *query);
  return page ? http::json_reply(to_text(*page)) : error_response(page.status());
}

http::HttpReply delete_response(Service& service, http::HttpRequest& request, http::Client&) {
  const Status status = service.responses.remove(request.id_in_path, request.key);
  if (!status.ok()) return error_response(status.with_param("response_id"));
  return http::json_reply(
      to_text({{"id", request.id_in_path}, {"object", "response"}, {"deleted", true}}));
}

// As OpenAI has it: only what was made in the background can be cancelled, and nothing is here.
http::HttpReply cancel_response(Service& service, http::HttpRequest& request, http::Client&) {
  const auto stored = service.responses.find(request.id_in_path, request.key);
  if (!stored) return error_response(stored.status().with_param("response_id"));
  return error_response(invalid_argument(
      "a response that was not made in the background cannot be cancelled; close its connection",
      "response_id"));
}

http::HttpReply count_response_tokens(Call& call) {
  auto request = read_request_of(call);
  if (!request) return error_response(request.status());
  auto conversation = whole_conversation(call.service, *request, call.request.key);
  if (!conversation) return error_response(conversation.status());
  auto told = told_conversation(call, *request, *conversation);
  if (!told) return error_response(told.status());
  show_tools(call.service, request->tools, *told);
  const auto prompt = count_chat(call.service, *told, call.admission->media_client());
  if (!prompt) return error_response(named_as_here(prompt.status()));
  return http::json_reply(
      to_text({{"object", "response.input_tokens"}, {"input_tokens", prompt->ids.size()}}));
}

}  // namespace saccade::api
