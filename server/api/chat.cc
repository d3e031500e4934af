#include "server/api/chat.h"

#include "server/api/answer.h"
#include "server/api/chat_request.h"
#include "server/api/logprobs.h"
#include "server/api/prepare.h"

namespace saccade::api {
namespace {

// What every chunk of a stream, and a whole answer, begin with.
struct Header {
  std::string id = response_id("chatcmpl-");
  int64_t created = unix_time();
  std::string model;

  Json object(const char* kind) const {
    return {{"id", id}, {"object", kind}, {"created", created}, {"model", model}};
  }
};

struct ChatAnswer {
  std::string text;
  std::vector<LogprobEntry> logprobs;
  FinishReason finish = FinishReason::kStop;
};

Result<ChatRequest> read_request(const Service& service, http::HttpRequest& request) {
  const Result<Json> body = parse_body(request.body);
  request.body = {};  // as large as its pictures, and not needed any more
  if (!body) return body.status();
  Result<ChatRequest> chat = parse_chat_request(*body, service.limits);
  if (!chat) return chat;
  if (const Status status = service.check_model(chat->model); !status.ok()) return status;
  return chat;
}

http::HttpReply whole_answer(Service& service, Generation& generation, const Header& header,
                             bool with_logprobs, http::Client& client) {
  std::vector<ChatAnswer> answers(generation.choices());
  const Status status = collect(generation, client, [&](ChoiceDelta delta) {
    ChatAnswer& answer = answers[delta.choice];
    answer.text += delta.text;
    if (with_logprobs) {
      std::move(delta.logprobs.begin(), delta.logprobs.end(), std::back_inserter(answer.logprobs));
    }
    if (delta.finish) answer.finish = *delta.finish;
  });
  if (!status.ok()) return error_response(status);

  Json choices = Json::array();
  for (size_t i = 0; i < answers.size(); ++i) {
    const ChatAnswer& answer = answers[i];
    choices.push_back(
        {{"index", i},
         {"message", {{"role", "assistant"}, {"content", answer.text}, {"refusal", nullptr}}},
         {"logprobs", with_logprobs ? chat_logprobs(*service.tokenizer, answer.logprobs) : Json()},
         {"finish_reason", finish_name(answer.finish)}});
  }
  Json body = header.object("chat.completion");
  body["choices"] = std::move(choices);
  body["usage"] = usage_json(generation.usage());
  return http::json_reply(to_text(body));
}

// The chunks of a stream, as StreamFormat wants them.
class ChunkFormat {
 public:
  ChunkFormat(const Service& service, const Generation& generation, Header header,
              bool with_logprobs, bool with_usage)
      : service_(service),
        generation_(generation),
        header_(std::move(header)),
        with_logprobs_(with_logprobs),
        with_usage_(with_usage) {}

  std::vector<Json> first() const {
    std::vector<Json> chunks;
    for (int i = 0; i < generation_.choices(); ++i) {
      chunks.push_back(chunk({{"index", i},
                              {"delta", {{"role", "assistant"}, {"content", ""}}},
                              {"logprobs", nullptr},
                              {"finish_reason", nullptr}}));
    }
    return chunks;
  }

  Json delta(const ChoiceDelta& delta) const {
    Json content = Json::object();
    if (!delta.text.empty()) content["content"] = delta.text;
    return chunk(
        {{"index", delta.choice},
         {"delta", std::move(content)},
         {"logprobs", with_logprobs_ ? chat_logprobs(*service_.tokenizer, delta.logprobs) : Json()},
         {"finish_reason", delta.finish ? Json(finish_name(*delta.finish)) : Json()}});
  }

  std::vector<Json> last() const {
    if (!with_usage_) return {};
    Json chunk = header_.object("chat.completion.chunk");
    chunk["choices"] = Json::array();
    chunk["usage"] = usage_json(generation_.usage());
    return {std::move(chunk)};
  }

 private:
  Json chunk(Json choice) const {
    Json chunk = header_.object("chat.completion.chunk");
    chunk["choices"] = Json::array({std::move(choice)});
    if (with_usage_) chunk["usage"] = nullptr;
    return chunk;
  }

  const Service& service_;
  const Generation& generation_;  // lives as long as the reply that streams it
  const Header header_;
  const bool with_logprobs_;
  const bool with_usage_;
};

}  // namespace

http::HttpReply chat_completions(Service& service, http::HttpRequest& request,
                                 http::Client& client) {
  auto ticket = service.in_flight.enter();
  if (!ticket)
    return error_response(Status(StatusCode::kUnavailable, "the server is shutting down"));
  Result<ChatRequest> chat = read_request(service, request);
  if (!chat) return error_response(chat.status());
  if (const Status status = constrain(service.grammars, chat->format, chat->options);
      !status.ok()) {
    return error_response(status);
  }
  const GenerationOptions& options = chat->options;
  Result<PreparedPrompt> prompt = prepare_chat(service, chat->conversation, options.max_tokens);
  if (!prompt) return error_response(prompt.status());
  std::vector<PreparedPrompt> prompts;
  prompts.push_back(*std::move(prompt));
  auto generation = Generation::start(service, std::move(prompts), options);
  if (!generation) return error_response(generation.status());

  Header header;
  header.model = chat->model.empty() ? service.options.names.front() : chat->model;
  const bool with_logprobs = options.sampling.logprobs.has_value();
  if (!options.stream) return whole_answer(service, **generation, header, with_logprobs, client);
  const auto format = std::make_shared<const ChunkFormat>(service, **generation, std::move(header),
                                                          with_logprobs, options.include_usage);
  return stream_reply(*std::move(generation),
                      {[format] { return format->first(); },
                       [format](const ChoiceDelta& delta) { return format->delta(delta); },
                       [format] { return format->last(); }},
                      std::move(ticket));
}

}  // namespace saccade::api
