#include "server/api/generation.h"

#include <atomic>
#include <random>

#include "server/output/stop_strings.h"
#include "server/prompt/tokenizer/detokenizer.h"

namespace saccade::api {
namespace {

// With several choices a worker cannot sleep on all their streams at once. They advance in step, so
// it sleeps on the first open one, and looks at the others at least this often.
constexpr std::chrono::milliseconds kOtherChoices{20};

RequestId next_request_id() {
  static std::atomic<RequestId> last{0};
  return ++last;
}

uint64_t random_seed() {
  thread_local std::mt19937_64 generator{std::random_device{}()};
  return generator();
}

// The end of the prompt, where the answer's text joins it: what a constraint allows is the text
// from its first byte on, too.
std::vector<TokenId> text_before(const PreparedPrompt& prompt, const GenerationOptions& options) {
  constexpr size_t kEnough = 8;
  if (!prompt.continues_text && !options.constraint) return {};
  return {prompt.ids.end() - static_cast<long>(std::min(kEnough, prompt.ids.size())),
          prompt.ids.end()};
}

}  // namespace

struct Generation::Choice {
  Choice(int choice_index, const Tokenizer& tokenizer, const PreparedPrompt& prompt,
         const GenerationOptions& options)
      : index(choice_index),
        stream(std::make_shared<TokenStream>()),
        detokenizer(tokenizer, options.skip_special_tokens, text_before(prompt, options)),
        stops(options.stop) {}

  const int index;
  std::shared_ptr<TokenStream> stream;
  StreamDetokenizer detokenizer;
  StopStringMatcher stops;
  std::vector<LogprobEntry> pending_logprobs;
  TimePoint first_token{};
  int generated = 0;
  bool open = true;
};

Generation::Generation(Service& service, const GenerationOptions&) : service_(service) {}

Generation::~Generation() {
  for (const auto& choice : choices_) {
    if (choice->open) finish(*choice, FinishReason::kCancelled);
  }
}

Result<std::unique_ptr<Generation>> Generation::start(Service& service,
                                                      std::vector<PreparedPrompt> prompts,
                                                      const GenerationOptions& options) {
  std::unique_ptr<Generation> generation(new Generation(service, options));
  std::vector<Request> requests;
  for (const PreparedPrompt& prompt : prompts) {
    for (int i = 0; i < options.n; ++i) {
      auto choice =
          std::make_unique<Choice>(generation->choices(), *service.tokenizer, prompt, options);
      Request request;
      request.id = next_request_id();
      request.prompt = prompt.ids;
      request.spans = prompt.spans;
      request.media = prompt.media;
      request.sampling = options.sampling;
      request.sampling.max_tokens = prompt.max_tokens;
      // Choices of one seed differ from one another, and are the same every time.
      request.sampling.seed = options.seed
                                  ? static_cast<uint64_t>(*options.seed) + static_cast<uint64_t>(i)
                                  : random_seed();
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
  if (const Status status = service.engine.submit_all(std::move(requests)); !status.ok()) {
    return status;
  }
  for (const auto& choice : generation->choices_) choice->open = true;
  generation->open_ = generation->choices();
  for (const PreparedPrompt& prompt : prompts) {
    service.metrics.prompt_accepted(static_cast<int>(prompt.ids.size()), prompt.image_tokens,
                                    static_cast<int>(prompt.media.size()));
  }
  return generation;
}

Result<std::optional<ChoiceDelta>> Generation::next(TimePoint deadline) {
  while (open_ > 0) {
    Choice* open_choice = nullptr;
    for (int i = 0; i < choices(); ++i) {  // what is there already, the longest unheard first
      Choice& choice = *choices_[(next_choice_ + i) % choices()];
      if (!choice.open) continue;
      if (open_choice == nullptr) open_choice = &choice;
      if (std::optional<TokenEvent> event = choice.stream->pop_until(TimePoint{})) {
        next_choice_ = choice.index + 1;
        Result<std::optional<ChoiceDelta>> delta = take(choice, *std::move(event));
        if (!delta || *delta) return delta;
      }
    }
    if (open_choice == nullptr || !open_choice->open) continue;
    const TimePoint now = Clock::now();
    if (now >= deadline) break;
    const TimePoint until = open_ == 1 ? deadline : std::min(deadline, now + kOtherChoices);
    if (std::optional<TokenEvent> event = open_choice->stream->pop_until(until)) {
      next_choice_ = open_choice->index + 1;
      Result<std::optional<ChoiceDelta>> delta = take(*open_choice, *std::move(event));
      if (!delta || *delta) return delta;
    }
  }
  return std::optional<ChoiceDelta>();
}

// The delta of one event; none while a character or a possible stop string is incomplete.
Result<std::optional<ChoiceDelta>> Generation::take(Choice& choice, TokenEvent event) {
  if (event.finish == FinishReason::kError || event.finish == FinishReason::kCancelled) {
    finish(choice, event.finish);
    if (event.finish == FinishReason::kError) return event.error;
    return Status(StatusCode::kUnavailable, "the server is stopping");
  }
  ChoiceDelta delta;
  delta.choice = choice.index;
  bool stopped = false;
  if (event.token) {
    if (choice.generated++ == 0) choice.first_token = Clock::now();
    ++usage_.completion_tokens;
    LogprobEntry entry{{*event.token, event.logprob}, {}};
    for (const TokenLogprob& other : event.top) entry.top.push_back({other.token, other.logprob});
    choice.pending_logprobs.push_back(std::move(entry));
    // The text of the token that ends the answer is no part of it.
    if (event.finish != FinishReason::kStop) {
      const auto matched = choice.stops.push(choice.detokenizer.push(*event.token));
      delta.text = matched.text;
      stopped = matched.stopped;
    }
  }
  if (stopped) {
    delta.finish = FinishReason::kStop;
  } else if (event.finish != FinishReason::kNone) {
    const auto rest = choice.stops.push(choice.detokenizer.flush());
    delta.text += rest.text;
    if (!rest.stopped) delta.text += choice.stops.flush();
    delta.finish = rest.stopped ? FinishReason::kStop : event.finish;
  }
  if (delta.text.empty() && !delta.finish) return std::optional<ChoiceDelta>();
  delta.logprobs = std::move(choice.pending_logprobs);
  choice.pending_logprobs.clear();
  if (choice.index == 0) usage_.cached_tokens = event.stats.cached_tokens;
  if (delta.finish) finish(choice, *delta.finish);
  return std::optional<ChoiceDelta>(std::move(delta));
}

void Generation::finish(Choice& choice, FinishReason reason) {
  choice.open = false;
  --open_;
  choice.stream->close();
  service_.metrics.request_finished(reason, arrival_, choice.first_token, Clock::now(),
                                    choice.generated);
}

}  // namespace saccade::api
