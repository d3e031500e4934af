#include "server/api/completions.h"

#include "server/api/answer.h"
#include "server/api/completion_request.h"
#include "server/api/logprobs.h"
#include "server/api/prepare.h"

namespace saccade::api {
namespace {

constexpr int kDefaultMaxTokens = 16;  // OpenAI's, for this route alone

struct CompletionAnswer {
  std::string text;
  std::vector<LogprobEntry> logprobs;
  FinishReason finish = FinishReason::kStop;
};

Result<CompletionRequest> read_request(const Service& service, http::HttpRequest& request) {
  const Result<Json> body = parse_body(request.body);
  request.body = {};
  if (!body) return body.status();
  Result<CompletionRequest> completion = parse_completion_request(*body, service.limits);
  if (!completion) return completion;
  if (const Status status = service.check_model(completion->model); !status.ok()) return status;
  return completion;
}

Result<std::vector<PreparedPrompt>> prepare(const Service& service,
                                            const CompletionRequest& request) {
  std::vector<PreparedPrompt> prompts;
  for (const auto& prompt : request.prompts) {
    const auto* text = std::get_if<std::string>(&prompt);
    std::vector<TokenId> ids =
        text != nullptr ? service.prompts.build_text(*text, request.add_special_tokens).ids
                        : std::get<std::vector<int32_t>>(prompt);
    Result<PreparedPrompt> prepared =
        prepare_text(service, std::move(ids), request.options.max_tokens, kDefaultMaxTokens);
    if (!prepared) return prepared.status();
    prompts.push_back(*std::move(prepared));
  }
  return prompts;
}

// The prompts' texts, for `echo`.
std::vector<std::string> prompt_texts(const Service& service, const CompletionRequest& request) {
  std::vector<std::string> texts;
  for (const auto& prompt : request.prompts) {
    const auto* text = std::get_if<std::string>(&prompt);
    texts.push_back(text != nullptr
                        ? *text
                        : service.tokenizer->decode(std::get<std::vector<int32_t>>(prompt), false));
  }
  return texts;
}

// Writes whole answers and chunks, which have the same shape here.
class CompletionFormat {
 public:
  CompletionFormat(const Service& service, const Generation& generation,
                   const CompletionRequest& request)
      : service_(service),
        generation_(generation),
        model_(request.model.empty() ? service.options.names.front() : request.model),
        with_logprobs_(request.options.sampling.logprobs.has_value()),
        with_usage_(request.options.include_usage),
        n_(request.options.n),
        offsets_(generation.choices(), 0) {
    if (request.echo) echoed_ = prompt_texts(service, request);
  }

  Json object() const {
    return {{"id", id_}, {"object", "text_completion"}, {"created", created_}, {"model", model_}};
  }
  std::string echoed(size_t choice) const {
    return echoed_.empty() ? std::string() : echoed_[choice / static_cast<size_t>(n_)];
  }
  bool with_logprobs() const { return with_logprobs_; }

  Json choice(size_t index, const std::string& text, const std::vector<LogprobEntry>& logprobs,
              std::optional<FinishReason> finish) {
    return {{"index", index},
            {"text", text},
            {"logprobs", with_logprobs_
                             ? completion_logprobs(*service_.tokenizer, logprobs, offsets_[index])
                             : Json()},
            {"finish_reason", finish ? Json(finish_name(*finish)) : Json()}};
  }

  std::vector<Json> first() {
    std::vector<Json> chunks;
    for (size_t i = 0; !echoed_.empty() && i < offsets_.size(); ++i) {
      chunks.push_back(chunk(choice(i, echoed(i), {}, std::nullopt)));
    }
    return chunks;
  }
  Json delta(const ChoiceDelta& delta) {
    return chunk(choice(delta.choice, delta.text, delta.logprobs, delta.finish));
  }
  std::vector<Json> last() {
    if (!with_usage_) return {};
    Json chunk = object();
    chunk["choices"] = Json::array();
    chunk["usage"] = usage_json(generation_.usage());
    return {std::move(chunk)};
  }

 private:
  Json chunk(Json choice) {
    Json chunk = object();
    chunk["choices"] = Json::array({std::move(choice)});
    if (with_usage_) chunk["usage"] = nullptr;
    return chunk;
  }

  const Service& service_;
  const Generation& generation_;  // lives as long as the reply that streams it
  const std::string id_ = response_id("cmpl-");
  const int64_t created_ = unix_time();
  const std::string model_;
  const bool with_logprobs_;
  const bool with_usage_;
  const int n_;
  std::vector<std::string> echoed_;  // [prompts]; empty without echo
  std::vector<size_t> offsets_;      // [choices] characters written, for text_offset
};

http::HttpReply whole_answer(Generation& generation, CompletionFormat& format,
                             http::Client& client) {
  std::vector<CompletionAnswer> answers(generation.choices());
  const Status status = collect(generation, client, [&](ChoiceDelta delta) {
    CompletionAnswer& answer = answers[delta.choice];
    answer.text += delta.text;
    if (format.with_logprobs()) {
      std::move(delta.logprobs.begin(), delta.logprobs.end(), std::back_inserter(answer.logprobs));
    }
    if (delta.finish) answer.finish = *delta.finish;
  });
  if (!status.ok()) return error_response(status);
  Json choices = Json::array();
  for (size_t i = 0; i < answers.size(); ++i) {
    choices.push_back(format.choice(i, format.echoed(i) + answers[i].text, answers[i].logprobs,
                                    answers[i].finish));
  }
  Json body = format.object();
  body["choices"] = std::move(choices);
  body["usage"] = usage_json(generation.usage());
  return http::json_reply(to_text(body));
}

}  // namespace

http::HttpReply completions(Service& service, http::HttpRequest& request, http::Client& client) {
  auto ticket = service.in_flight.enter();
  if (!ticket)
    return error_response(Status(StatusCode::kUnavailable, "the server is shutting down"));
  Result<CompletionRequest> completion = read_request(service, request);
  if (!completion) return error_response(completion.status());
  if (const Status status = constrain(service.grammars, completion->format, completion->options);
      !status.ok()) {
    return error_response(status);
  }
  Result<std::vector<PreparedPrompt>> prompts = prepare(service, *completion);
  if (!prompts) return error_response(prompts.status());
  auto generation = Generation::start(service, *std::move(prompts), completion->options);
  if (!generation) return error_response(generation.status());

  const auto format = std::make_shared<CompletionFormat>(service, **generation, *completion);
  if (!completion->options.stream) return whole_answer(**generation, *format, client);
  return stream_reply(*std::move(generation),
                      {[format] { return format->first(); },
                       [format](const ChoiceDelta& delta) { return format->delta(delta); },
                       [format] { return format->last(); }},
                      std::move(ticket));
}

}  // namespace saccade::api
