#include "server/api/answer/generation.h"

#include <algorithm>
#include <atomic>
#include <utility>

#include "server/api/request/token_rules.h"
#include "server/output/stop_strings.h"
#include "server/prompt/tokenizer/detokenizer.h"

namespace saccade::api {
namespace {

RequestId next_request_id() {
  static std::atomic<RequestId> last{0};
  return ++last;
}

// The end of the prompt, where the answer's text joins it: what a constraint allows is the text
// from its first byte on, too.
std::vector<TokenId> text_before(const PreparedPrompt& prompt, const GenerationOptions& options) {
  constexpr size_t kEnough = 8;
  if (!prompt.continues_text && !options.constraint) return {};
  return {prompt.ids.end() - static_cast<long>(std::min(kEnough, prompt.ids.size())),
          prompt.ids.end()};
}

// The request's and those that end every answer of this model.
std::vector<std::string> stop_strings(const GenerationOptions& options, const Service& service) {
  std::vector<std::string> stop = options.stop;
  const std::vector<std::string>& always = service.limits.defaults.stop;
  stop.insert(stop.end(), always.begin(), always.end());
  return stop;
}

}  // namespace

struct Generation::Choice {
  Choice(int choice_index, const Tokenizer& the_tokenizer, const PreparedPrompt& prompt,
         const GenerationOptions& options, std::vector<std::string> stop,
         std::shared_ptr<TokenStream::Waiter> waiter)
      : index(choice_index),
        include_stop(options.include_stop),
        joins_added_tokens(!options.skip_special_tokens && !options.spaces_between_special_tokens),
        stop_ids(options.sampling.stop_ids),
        tokenizer(the_tokenizer),
        stream(std::make_shared<TokenStream>(std::move(waiter))),
        shown_tokens(options.skip_special_tokens ? options.shown_tokens : std::vector<TokenId>()),
        detokenizer(tokenizer, options.skip_special_tokens, text_before(prompt, options)),
        stops(std::move(stop), options.include_stop) {}

  // As vLLM has it: without spaces between them, an added token behind another one is as spelled.
  std::string text_of(TokenId token) {
    std::string text = detokenizer.push(token);
    const bool added = joins_added_tokens && tokenizer.is_added(token);
    if (added && last_added && text.starts_with(' ')) text.erase(0, 1);
    last_added = added;
    const bool shown =
        std::find(shown_tokens.begin(), shown_tokens.end(), token) != shown_tokens.end();
    return shown ? text + tokenizer.token_text(token) : text;
  }

  const int index;
  const bool include_stop;
  const bool joins_added_tokens;
  const std::vector<TokenId> stop_ids;
  const Tokenizer& tokenizer;
  std::shared_ptr<TokenStream> stream;
  const std::vector<TokenId> shown_tokens;
  StreamDetokenizer detokenizer;
  StopStringMatcher stops;
  std::vector<LogprobEntry> pending_logprobs;
  std::vector<PromptLogprob> prompt_logprobs;
  TimePoint first_token{};
  int generated = 0;
  bool last_added = false;  // the last token was an added one
  bool stopped = false;     // by a stop string
  bool open = true;
};

Generation::Generation(Service& service, const GenerationOptions& options)
    : service_(service),
      choices_per_prompt_(options.n),
      constraint_field_(options.constraint_field) {}

Generation::~Generation() {
  for (const auto& choice : choices_) {
    if (choice->open) finish(*choice, FinishReason::kCancelled);
  }
}

Result<std::unique_ptr<Generation>> Generation::start(Service& service,
                                                      std::shared_ptr<Admission> admission,
                                                      std::vector<PreparedPrompt> prompts,
                                                      const GenerationOptions& options) {
  std::unique_ptr<Generation> generation(new Generation(service, options));
  std::vector<Request> requests;
  // One worker hears all choices.
  const auto waiter = std::make_shared<TokenStream::Waiter>();
  const auto rules = token_rules(*service.tokenizer, options, service.limits.vocab_size);
  for (const PreparedPrompt& prompt : prompts) {
    for (int i = 0; i < options.n; ++i) {
      auto choice = std::make_unique<Choice>(generation->choices(), *service.tokenizer, prompt,
                                             options, stop_strings(options, service), waiter);
      Request request;
      request.id = next_request_id();
      request.prompt = prompt.ids;
      request.spans = prompt.spans;
      request.media = prompt.media;
      request.adapter = options.adapter;
      request.cache_salt = options.cache_salt;
      request.sampling = options.sampling;
      const int missing = options.min_length - static_cast<int>(prompt.ids.size());
      request.sampling.min_tokens = std::max(request.sampling.min_tokens, missing);
      request.sampling.max_tokens = prompt.max_tokens;
      request.sampling.prompt_logprobs_from = prompt.score_from;
      request.pooling = options.pooling;
      // Choices of one seed differ from one another, and are the same every time.
      request.sampling.seed = options.seed
                                  ? static_cast<uint64_t>(*options.seed) + static_cast<uint64_t>(i)
                                  : service.seeds.next();
      request.sampling.rules = rules;
      request.sampling.model_rules = service.limits.defaults.rules;
      if (options.constraint) request.sampling.constraint = options.constraint();
      request.stream = choice->stream;
      request.arrival = generation->arrival_;
      requests.push_back(std::move(request));
      choice->open = false;  // until the engine has it
      generation->choices_.push_back(std::move(choice));
    }
    generation->usage_.prompt_tokens += static_cast<int>(prompt.ids.size());
    generation->usage_.image_tokens += prompt.image_tokens;
  }
  generation->admission_ = std::move(admission);
  if (const Status status = generation->charge(options.stream); !status.ok()) return status;
  if (const Status status = service.engine.submit_all(std::move(requests)); !status.ok()) {
    return status;
  }
  for (const auto& choice : generation->choices_) {
    choice->open = true;
    generation->open_.push_back(choice->stream.get());
  }
  for (const PreparedPrompt& prompt : prompts) {
    service.metrics.prompt_accepted(static_cast<int>(prompt.ids.size()), prompt.image_tokens,
                                    static_cast<int>(prompt.media.size()));
    generation->timings_.media_decode += prompt.media_decode_seconds;
    generation->timings_.media_preprocess += prompt.media_preprocess_seconds;
  }
  generation->prompts_ = std::move(prompts);
  for (PreparedPrompt& prompt : generation->prompts_) prompt.media.clear();  // the engine has them
  return generation;
}

Status Generation::charge(bool stream) {
  if (!admission_) return {};
  const Status status = admission_->take(Account::kTokens, usage_.prompt_tokens);
  return status.ok() && stream ? admission_->open_stream() : status;
}

Result<std::optional<ChoiceDelta>> Generation::next(TimePoint deadline) {
  while (!done()) {
    TokenStream* const ready = TokenStream::wait_for_any(open_, deadline);
    if (ready == nullptr) break;
    const auto place = std::find(open_.begin(), open_.end(), ready);
    std::rotate(place, place + 1, open_.end());
    const auto heard = std::find_if(choices_.begin(), choices_.end(), [&](const auto& choice) {
      return choice->stream.get() == ready;
    });
    Choice& choice = **heard;
    std::optional<TokenEvent> event = choice.stream->pop_until(deadline);
    if (!event) break;
    Result<std::optional<ChoiceDelta>> delta = take(choice, *std::move(event));
    if (!delta || *delta) return delta;
  }
  return std::optional<ChoiceDelta>();
}

// The delta of one event; none while a character or a possible stop string is incomplete.
Result<std::optional<ChoiceDelta>> Generation::take(Choice& choice, TokenEvent event) {
  if (event.finish == FinishReason::kError || event.finish == FinishReason::kCancelled) {
    finish(choice, event.finish);
    if (event.finish == FinishReason::kError) {
      const bool format = event.error.code() == StatusCode::kInvalidArgument;
      return format ? event.error.with_param(constraint_field_) : event.error;
    }
    return Status(StatusCode::kUnavailable, "the server is stopping");
  }
  std::move(event.prompt.begin(), event.prompt.end(), std::back_inserter(choice.prompt_logprobs));
  take_stats(choice, event);
  ChoiceDelta delta;
  delta.choice = choice.index;
  if (event.token) take_token(choice, event, delta);
  if (choice.stopped) {
    delta.finish = FinishReason::kStop;
  } else if (event.finish != FinishReason::kNone) {
    const auto rest = choice.stops.push(choice.detokenizer.flush());
    delta.text += rest.text;
    if (!rest.stopped) delta.text += choice.stops.flush();
    delta.stop_string = rest.which;
    delta.finish = rest.stopped ? FinishReason::kStop : event.finish;
  }
  if (delta.text.empty() && !delta.finish) return std::optional<ChoiceDelta>();
  delta.logprobs = std::exchange(choice.pending_logprobs, {});
  delta.prompt_logprobs = std::exchange(choice.prompt_logprobs, {});
  delta.pooled = std::move(event.pooled);
  if (delta.finish) finish(choice, *delta.finish);
  return std::optional<ChoiceDelta>(std::move(delta));
}

void Generation::take_token(Choice& choice, TokenEvent& event, ChoiceDelta& delta) {
  const TokenId token = *event.token;
  if (choice.generated++ == 0) choice.first_token = Clock::now();
  ++usage_.completion_tokens;
  LogprobEntry entry;
  entry.chosen = {token, event.logprob};
  for (const TokenLogprob& other : event.top) entry.top.push_back({other.token, other.logprob});
  choice.pending_logprobs.push_back(std::move(entry));
  const bool ends = event.finish == FinishReason::kStop;
  const auto& stops = choice.stop_ids;
  if (ends && std::find(stops.begin(), stops.end(), token) != stops.end()) delta.stop_token = token;
  // The text of the token that ends the answer is no part of it, unless that was asked for.
  if (ends && !choice.include_stop) return;
  const auto matched = choice.stops.push(choice.text_of(token));
  delta.text = matched.text;
  delta.stop_string = matched.which;
  choice.stopped = matched.stopped;
}

void Generation::take_stats(Choice& choice, const TokenEvent& event) {
  const bool first = choice.generated == 0 && (event.token || event.finish != FinishReason::kNone);
  if (first && choice.index % choices_per_prompt_ == 0) {
    usage_.cached_tokens += event.stats.cached_tokens;
  }
  if (event.finish == FinishReason::kNone && !first) return;
  const auto seconds = [](TimePoint from, TimePoint to) {
    return std::max(std::chrono::duration<double>(to - from).count(), 0.0);
  };
  const RequestStats& stats = event.stats;
  if (choice.index == 0 && first) {
    timings_.queue = seconds(arrival_, stats.admitted);
    timings_.prefill =
        std::max(seconds(stats.admitted, stats.first_token) - stats.encode_seconds, 0.0);
    engine_first_token_ = stats.first_token;
  }
  if (first) timings_.encode += stats.encode_seconds;
  if (event.finish != FinishReason::kNone) {
    timings_.draft_tokens += stats.draft_tokens;
    timings_.accepted_drafts += stats.accepted_drafts;
  }
  if (engine_first_token_ != TimePoint{}) {
    timings_.decode = seconds(engine_first_token_, Clock::now());
  }
}

void Generation::finish(Choice& choice, FinishReason reason) {
  choice.open = false;
  std::erase(open_, choice.stream.get());
  choice.stream->close();
  if (admission_) admission_->take_anyway(Account::kTokens, choice.generated);
  service_.metrics.request_finished(reason, arrival_, choice.first_token, Clock::now(),
                                    choice.generated);
}

}  // namespace saccade::api
