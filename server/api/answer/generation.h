#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "server/api/answer/prepare.h"
#include "server/api/request/generation_options.h"
#include "server/api/service/call.h"
#include "server/api/service/service.h"

namespace saccade::api {

// One generated token and what else was likely at its place, as text.
struct TokenText {
  TokenId id = 0;
  float logprob = 0;
};
struct LogprobEntry {
  TokenText chosen;
  bool known = true;           // false: the first token of a prompt has no log-probability
  std::vector<TokenText> top;  // best first
};

// What one choice has gained since its last delta.
struct ChoiceDelta {
  int choice = 0;
  std::string text;
  std::vector<LogprobEntry> logprobs;  // of every token since the last delta
  std::optional<FinishReason> finish;  // kStop or kLength: nothing follows
  // With `finish`: the stop string or stop_token_ids member that ended the answer; else neither.
  std::string stop_string;
  std::optional<TokenId> stop_token;
  // In the first delta, where they were asked for: what the engine says of the prompt.
  std::vector<PromptLogprob> prompt_logprobs;
  std::vector<float> pooled;
};

struct Usage {
  int prompt_tokens = 0;
  int completion_tokens = 0;
  int cached_tokens = 0;
  int image_tokens = 0;
};

// Where the time of a request went, in seconds.
struct Timings {
  double media_decode = 0;
  double media_preprocess = 0;
  double queue = 0;         // until the first choice was taken into a batch
  double encode = 0;        // vision encoder and connector
  double prefill = 0;       // from there to the first token, encoding aside
  int draft_tokens = 0;     // guesses, over all choices
  int accepted_drafts = 0;  // of these, right
  double decode = 0;        // from the first token to the last one
};

// The answers to one request: `n` choices for each prompt, choice p * n + i being the i-th of
// prompt p. Used by one thread. Leaving the scope cancels what still runs.
class Generation {
 public:
  // Hands everything to the engine, or nothing. Errors as Engine::submit and Account::take.
  // `admission` is held until the end; null outside the server.
  static Result<std::unique_ptr<Generation>> start(Service& service,
                                                   std::shared_ptr<Admission> admission,
                                                   std::vector<PreparedPrompt> prompts,
                                                   const GenerationOptions& options);
  ~Generation();
  Generation(const Generation&) = delete;
  Generation& operator=(const Generation&) = delete;

  // Waits for the next delta of any choice, at most until `deadline`; nullopt when none came by
  // then. A failed choice fails the request.
  Result<std::optional<ChoiceDelta>> next(TimePoint deadline);

  // The longest silence that its stream may keep.
  std::chrono::milliseconds keepalive() const { return service_.options.keepalive; }
  bool done() const { return open_.empty(); }
  int choices() const { return static_cast<int>(choices_.size()); }
  const Usage& usage() const { return usage_; }
  const Timings& timings() const { return timings_; }
  // The prompt that a choice answers; its media are gone.
  const PreparedPrompt& prompt(int choice) const { return prompts_[choice / choices_per_prompt_]; }

 private:
  struct Choice;
  Generation(Service& service, const GenerationOptions& options);
  Result<std::optional<ChoiceDelta>> take(Choice& choice, TokenEvent event);
  void take_token(Choice& choice, TokenEvent& event, ChoiceDelta& delta);
  void take_stats(Choice& choice, const TokenEvent& event);
  Status charge(bool stream);
  void finish(Choice& choice, FinishReason reason);

  Service& service_;
  std::shared_ptr<Admission> admission_;
  const TimePoint arrival_ = Clock::now();
  const int choices_per_prompt_;
  const std::string constraint_field_;  // what a request's own failure is told of
  std::vector<PreparedPrompt> prompts_;
  std::vector<std::unique_ptr<Choice>> choices_;
  std::vector<TokenStream*> open_;  // of choices that have not finished; the longest unheard first
  Usage usage_;
  Timings timings_;
  TimePoint engine_first_token_{};  // of the first choice
};

}  // namespace saccade::api
