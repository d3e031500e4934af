#include "server/api/chat.h"

#include <algorithm>

#include "server/api/answer.h"
#include "server/api/answer_plan.h"
#include "server/api/captions.h"
#include "server/api/chat_answer.h"
#include "server/api/chat_request.h"
#include "server/api/fixed_steps.h"
#include "server/api/logprobs.h"
#include "server/api/read_request.h"

namespace saccade::api {
namespace {

// The words that the answer goes on from, where they are to be repeated.
std::string echoed_text(const ChatRequest& chat) {
  std::string text;
  if (!chat.echo || !chat.conversation.continue_final_message) return text;
  for (const ContentPart& part : chat.conversation.messages.back().parts) {
    if (part.kind == ContentPart::Kind::kText) text += part.text;
  }
  return text;
}

std::vector<ChatChoice> make_choices(const Generation& generation, const ChatRequest& chat,
                                     const AnswerSyntax& syntax) {
  std::vector<ChatChoice> choices;
  for (int i = 0; i < generation.choices(); ++i) {
    choices.emplace_back(syntax, chat.tools.functions, chat.tools.parallel);
  }
  return choices;
}

// Writes whole answers, and the chunks of a stream.
class ChatFormat {
 public:
  ChatFormat(const Service& service, const Generation& generation, const ChatRequest& chat,
             const AnswerSyntax& syntax, Steps steps)
      : service_(service),
        steps_(std::move(steps)),
        generation_(generation),
        choices_(make_choices(generation, chat, syntax)),
        model_(service.name_of(chat.model)),
        service_tier_(chat.options.service_tier),
        echoed_(echoed_text(chat)),
        with_logprobs_(chat.options.sampling.logprobs.has_value()),
        with_prompt_logprobs_(chat.options.sampling.prompt_logprobs.has_value()),
        with_token_ids_(chat.options.return_token_ids),
        with_timings_(chat.options.timings),
        with_usage_(chat.options.include_usage),
        continuous_usage_(chat.options.continuous_usage) {}

  // A piece of a whole answer: piece by piece, so that each token counts where it belongs.
  void take(const ChoiceDelta& delta) { choices_[delta.choice].take(delta); }

  // All pieces have been taken; `answers` are they put together.
  Json whole(const std::vector<ChoiceDelta>& answers) {
    Json choices = Json::array();
    for (const ChoiceDelta& answer : answers) {
      const ChatChoice& taken = choices_[answer.choice];
      Json choice = {{"index", answer.choice},
                     {"message", message(taken)},
                     {"logprobs", logprobs(answer)},
                     {"finish_reason", taken.finish_name(*answer.finish)},
                     {"stop_reason", stop_reason_json(answer)}};
      if (with_token_ids_) choice["token_ids"] = token_ids_json(answer.logprobs);
      choices.push_back(std::move(choice));
    }
    Json body = object("chat.completion");
    body["choices"] = std::move(choices);
    body["usage"] = usage();
    if (with_prompt_logprobs_) {
      body["prompt_logprobs"] = prompt_logprobs_json(*service_.tokenizer, generation_.prompt(0),
                                                     answers.front().prompt_logprobs);
    }
    if (with_token_ids_) body["prompt_token_ids"] = generation_.prompt(0).ids;
    if (with_timings_) body["timings"] = timings_json(generation_);
    return body;
  }

  std::vector<Json> first() const {
    std::vector<Json> chunks;
    for (int i = 0; i < generation_.choices(); ++i) {
      Json begun = {{"role", "assistant"}, {"content", echoed_}};
      add_steps(begun);
      Json start = chunk({{"index", i},
                          {"delta", std::move(begun)},
                          {"logprobs", nullptr},
                          {"finish_reason", nullptr}});
      if (with_token_ids_ && i == 0) start["prompt_token_ids"] = generation_.prompt(0).ids;
      chunks.push_back(std::move(start));
    }
    return chunks;
  }

  std::vector<Json> delta(const ChoiceDelta& delta) {
    ChatChoice& taken = choices_[delta.choice];
    Json content = taken.take(delta);
    Json choice = {
        {"index", delta.choice},
        {"delta", std::move(content)},
        {"logprobs", logprobs(delta)},
        {"finish_reason", delta.finish ? Json(taken.finish_name(*delta.finish)) : Json()}};
    if (delta.finish) choice["stop_reason"] = stop_reason_json(delta);
    if (with_token_ids_) choice["token_ids"] = token_ids_json(delta.logprobs);
    Json made = chunk(std::move(choice));
    if (with_timings_ && !with_usage_ && generation_.done()) {
      made["timings"] = timings_json(generation_);
    }
    return {std::move(made)};
  }

  std::vector<Json> last() const {
    if (!with_usage_) return {};
    Json chunk = object("chat.completion.chunk");
    chunk["choices"] = Json::array();
    chunk["usage"] = usage();
    if (with_timings_) chunk["timings"] = timings_json(generation_);
    return {std::move(chunk)};
  }

 private:
  // What every chunk of a stream, and a whole answer, begin with.
  Json object(const char* kind) const {
    Json object = {{"id", id_}, {"object", kind}, {"created", created_}, {"model", model_}};
    if (!service_tier_.empty()) object["service_tier"] = service_tier_;
    object["system_fingerprint"] = service_.options.fingerprint;
    return object;
  }

  Json chunk(Json choice) const {
    Json chunk = object("chat.completion.chunk");
    chunk["choices"] = Json::array({std::move(choice)});
    if (continuous_usage_) {
      chunk["usage"] = usage();
    } else if (with_usage_) {
      chunk["usage"] = nullptr;
    }
    return chunk;
  }

  Json usage() const {
    Usage counted = generation_.usage();
    if (steps_.tokens > 0) {  // what was thought is part of the answer, not of the prompt
      counted.prompt_tokens = steps_.prompt_tokens;
      counted.cached_tokens = std::min(counted.cached_tokens, counted.prompt_tokens);
      counted.completion_tokens += steps_.tokens;
    }
    Json usage = usage_json(counted);
    usage["completion_tokens_details"] = completion_details(choices_);
    Json& thought = usage["completion_tokens_details"]["reasoning_tokens"];
    thought = thought.get<int>() + steps_.tokens;
    return usage;
  }

  // Under the names that vLLM's clients read.
  void add_steps(Json& message) const {
    if (steps_.text.empty()) return;
    message["reasoning_content"] = steps_.text;
    message["reasoning"] = steps_.text;
  }

  Json message(const ChatChoice& taken) const {
    Json message = taken.message(echoed_);
    add_steps(message);
    return message;
  }

  Json logprobs(const ChoiceDelta& delta) const {
    return with_logprobs_ ? chat_logprobs(*service_.tokenizer, delta.logprobs) : Json();
  }

  const Service& service_;
  const Steps steps_;
  const Generation& generation_;  // lives as long as the reply that streams it
  std::vector<ChatChoice> choices_;
  const std::string id_ = response_id("chatcmpl-");
  const int64_t created_ = unix_time();
  const std::string model_;
  const std::string service_tier_;
  const std::string echoed_;
  const bool with_logprobs_;
  const bool with_prompt_logprobs_;
  const bool with_token_ids_;
  const bool with_timings_;
  const bool with_usage_;
  const bool continuous_usage_;
};

}  // namespace

http::HttpReply chat_completions(Call& call) {
  Service& service = call.service;
  Result<ChatRequest> chat = read_request(service, call.request, parse_chat_request);
  if (!chat) return error_response(chat.status());
  if (chat->captions) {
    if (const Status status = tell_videos(call, *chat); !status.ok()) return error_response(status);
  }
  Steps steps;
  if (chat->steps) {
    Result<Steps> thought = think_in_steps(call, *chat);
    if (!thought) return error_response(thought.status());
    steps = *std::move(thought);
  }
  Result<StartedAnswer> started =
      start_answer(call, chat->conversation, chat->tools, chat->format, chat->options);
  if (!started) return error_response(started.status());
  std::unique_ptr<Generation>& generation = started->generation;
  const auto format =
      std::make_shared<ChatFormat>(service, *generation, *chat, started->syntax, std::move(steps));
  if (!chat->options.stream) {
    const Result<std::vector<ChoiceDelta>> answers =
        collect(*generation, call.client, [&](const ChoiceDelta& delta) { format->take(delta); });
    if (!answers) return error_response(answers.status());
    return http::json_reply(to_text(format->whole(*answers)));
  }
  return stream_reply(std::move(generation),
                      {[format] { return format->first(); },
                       [format](const ChoiceDelta& delta) { return format->delta(delta); },
                       [format] { return format->last(); }});
}

}  // namespace saccade::api
