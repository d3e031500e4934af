#include "server/api/chat/chat.h"

#include <algorithm>
#include <utility>

#include "server/api/answer/answer.h"
#include "server/api/answer/answer_plan.h"
#include "server/api/answer/logprobs.h"
#include "server/api/chat/captions.h"
#include "server/api/chat/chat_answer.h"
#include "server/api/chat/chat_request.h"
#include "server/api/chat/fixed_steps.h"
#include "server/api/fields/read_request.h"

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
  ChatFormat(const Service& service, const ChatRequest& chat)
      : service_(service),
        n_(chat.options.n),
        model_(service.name_of(chat.model)),
        service_tier_(chat.options.service_tier),
        echoed_(echoed_text(chat)),
        with_logprobs_(chat.options.sampling.logprobs.has_value()),
        with_prompt_logprobs_(chat.options.sampling.prompt_logprobs.has_value()),
        with_token_ids_(chat.options.return_token_ids),
        tokens_as_ids_(chat.options.tokens_as_ids),
        with_reasoning_(chat.include_reasoning),
        with_timings_(chat.options.timings),
        with_usage_(chat.options.include_usage),
        continuous_usage_(chat.options.continuous_usage) {}

  // The steps before the answer, as far as they are written.
  void set_steps(const Steps& steps) { steps_ = steps; }

  // The chunk of a piece of them.
  Json thought(const std::string& text) const {
    Json delta = Json::object();
    append_reasoning(text, delta);
    return chunk({{"index", 0},
                  {"delta", shown(std::move(delta))},
                  {"logprobs", nullptr},
                  {"finish_reason", nullptr}});
  }

  // From here on the answer comes, of `started`, which outlives this.
  void begin(const StartedAnswer& started, const ChatRequest& chat) {
    generation_ = started.generation.get();
    choices_ = make_choices(*generation_, chat, started.syntax);
  }

  // Instead: what was thought leaves no room for an answer, which ends before it has begun.
  void cut(const ChatRequest& chat) {
    choices_.emplace_back(AnswerSyntax(), chat.tools.functions, chat.tools.parallel);
    cut_ = true;
  }

  // A piece of a whole answer: piece by piece, so that each token counts where it belongs.
  void take(const ChoiceDelta& delta) { choices_[delta.choice].take(delta); }

  // All pieces have been taken; `answers` are they put together.
  Json whole(std::vector<ChoiceDelta> answers) {
    if (cut_) answers = {ended()};
    Json choices = Json::array();
    for (const ChoiceDelta& answer : answers) {
      const ChatChoice& taken = choices_[answer.choice];
      Json choice = {{"index", answer.choice},
                     {"message", shown(taken.message(echoed_, steps_.text))},
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
      body["prompt_logprobs"] = prompt_logprobs_json(*service_.tokenizer, generation_->prompt(0),
                                                     answers.front().prompt_logprobs);
    }
    if (cut_) return body;
    if (with_token_ids_) body["prompt_token_ids"] = generation_->prompt(0).ids;
    if (with_timings_) body["timings"] = timings_json(*generation_);
    return body;
  }

  std::vector<Json> first() {
    std::vector<Json> chunks;
    for (int i = 0; i < n_; ++i) {
      chunks.push_back(chunk({{"index", i},
                              {"delta", {{"role", "assistant"}, {"content", echoed_}}},
                              {"logprobs", nullptr},
                              {"finish_reason", nullptr}}));
    }
    if (generation_ != nullptr) add_prompt(chunks.front());
    return chunks;
  }

  // What a piece of the answer brings, and in a chunk of its own, as OpenAI has it, that it ends.
  std::vector<Json> delta(const ChoiceDelta& delta) {
    ChatChoice& taken = choices_[delta.choice];
    Json content = shown(taken.take(delta));
    std::vector<Json> chunks;
    const bool tokens = (with_logprobs_ || with_token_ids_) && !delta.logprobs.empty();
    const bool counted = continuous_usage_ && !delta.finish;
    if (!content.empty() || tokens || counted) {
      Json choice = {{"index", delta.choice},
                     {"delta", std::move(content)},
                     {"logprobs", logprobs(delta)},
                     {"finish_reason", nullptr}};
      if (with_token_ids_) choice["token_ids"] = token_ids_json(delta.logprobs);
      chunks.push_back(chunk(std::move(choice)));
    }
    if (delta.finish) {
      chunks.push_back(chunk({{"index", delta.choice},
                              {"delta", Json::object()},
                              {"logprobs", nullptr},
                              {"finish_reason", taken.finish_name(*delta.finish)},
                              {"stop_reason", stop_reason_json(delta)}}));
    }
    if (!chunks.empty() && generation_ != nullptr) add_prompt(chunks.front());
    if (with_timings_ && !with_usage_ && generation_ != nullptr && generation_->done()) {
      chunks.back()["timings"] = timings_json(*generation_);
    }
    return chunks;
  }

  std::vector<Json> last() {
    std::vector<Json> chunks;
    if (cut_) chunks = delta(ended());
    if (!with_usage_) return chunks;
    Json chunk = object("chat.completion.chunk");
    chunk["choices"] = Json::array();
    chunk["usage"] = usage();
    if (with_timings_ && generation_ != nullptr) chunk["timings"] = timings_json(*generation_);
    chunks.push_back(std::move(chunk));
    return chunks;
  }

 private:
  static ChoiceDelta ended() {
    ChoiceDelta delta;
    delta.finish = FinishReason::kLength;
    return delta;
  }

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

  // Once, in the first chunk of an answer.
  void add_prompt(Json& chunk) {
    if (!with_token_ids_ || std::exchange(prompt_told_, true)) return;
    chunk["prompt_token_ids"] = generation_->prompt(0).ids;
  }

  Json usage() const {
    Usage counted = generation_ != nullptr ? generation_->usage() : Usage();
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

  // Of a message or delta what the client wants to see.
  Json shown(Json message) const {
    if (!with_reasoning_) remove_reasoning(message);
    return message;
  }

  Json logprobs(const ChoiceDelta& delta) const {
    if (!with_logprobs_) return {};
    return chat_logprobs({*service_.tokenizer, tokens_as_ids_}, delta.logprobs);
  }

  const Service& service_;
  const int n_;
  Steps steps_;
  const Generation* generation_ = nullptr;  // of the answer; null while steps are written
  bool prompt_told_ = false;
  bool cut_ = false;
  std::vector<ChatChoice> choices_;
  const std::string id_ = response_id("chatcmpl-");
  const int64_t created_ = unix_time();
  const std::string model_;
  const std::string service_tier_;
  const std::string echoed_;
  const bool with_logprobs_;
  const bool with_prompt_logprobs_;
  const bool with_token_ids_;
  const bool tokens_as_ids_;
  const bool with_reasoning_;
  const bool with_timings_;
  const bool with_usage_;
  const bool continuous_usage_;
};

// A chat on its way to an answer: its steps, if it has some, then the answer itself, one generation
// after the other.
class ChatRun {
 public:
  ChatRun(const Call& call, ChatRequest chat)
      : call_(call), chat_(std::move(chat)), format_(call.service, chat_) {
    if (chat_.steps) steps_.emplace(call_, chat_);
  }
  ChatRun(const ChatRun&) = delete;
  ChatRun& operator=(const ChatRun&) = delete;

  ChatFormat& format() { return format_; }

  // The next generation; null: the last one was the answer, or nothing more has room.
  Result<std::unique_ptr<Generation>> next() {
    if (answering_) return std::unique_ptr<Generation>();
    auto following = begin();
    const bool full = !following && following.status().code() == StatusCode::kTooLong;
    if (!full || !steps_ || steps_->written().tokens == 0) return following;
    format_.cut(chat_);
    return std::unique_ptr<Generation>();
  }

  void take(const ChoiceDelta& delta) {
    if (answering_) return format_.take(delta);
    steps_->take(delta);
    format_.set_steps(steps_->written());
  }

  std::vector<Json> chunks(const ChoiceDelta& delta) {
    if (answering_) return format_.delta(delta);
    const std::string text = steps_->take(delta);
    format_.set_steps(steps_->written());
    return {format_.thought(text)};
  }

 private:
  Result<std::unique_ptr<Generation>> begin() {
    if (steps_) {
      auto step = steps_->next();
      if (!step || *step) return step;
    }
    auto started =
        start_answer(call_, chat_.conversation, chat_.tools, chat_.format, chat_.options);
    if (!started) return started.status();
    format_.begin(*started, chat_);
    answering_ = true;
    return std::move(started->generation);
  }

  Call call_;
  ChatRequest chat_;
  ChatFormat format_;
  std::optional<StepChain> steps_;
  bool answering_ = false;
};

http::HttpReply whole_answer(ChatRun& run, std::unique_ptr<Generation> generation,
                             http::Client& client) {
  while (true) {
    const auto answers =
        collect(*generation, client, [&](const ChoiceDelta& delta) { run.take(delta); });
    if (!answers) return error_response(answers.status());
    auto following = run.next();
    if (!following) return error_response(following.status());
    if (*following == nullptr) return http::json_reply(to_text(run.format().whole(*answers)));
    generation = *std::move(following);
  }
}

}  // namespace

http::HttpReply chat_completions(Call& call) {
  Result<ChatRequest> chat = read_request(call.service, call.request, parse_chat_request);
  if (!chat) return error_response(chat.status());
  if (chat->captions) {
    if (const Status status = tell_videos(call, *chat); !status.ok()) return error_response(status);
  }
  const bool stream = chat->options.stream;
  const auto run = std::make_shared<ChatRun>(call, *std::move(chat));
  auto generation = run->next();
  if (!generation) return error_response(generation.status());
  if (!stream) return whole_answer(*run, *std::move(generation), call.client);
  StreamFormat format{[run] { return run->format().first(); },
                      [run](const ChoiceDelta& delta) { return run->chunks(delta); },
                      [run] { return run->format().last(); }};
  format.next = [run] { return run->next(); };
  return stream_reply(*std::move(generation), std::move(format));
}

}  // namespace saccade::api
