#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "server/api/generation_options.h"
#include "server/api/prepare.h"
#include "server/api/service.h"

namespace saccade::api {

// One generated token and what else was likely at its place, as text.
struct TokenText {
  TokenId id = 0;
  float logprob = 0;
};
struct LogprobEntry {
  TokenText chosen;
  std::vector<TokenText> top;  // best first
};

// What one choice has gained since its last delta.
struct ChoiceDelta {
  int choice = 0;
  std::string text;
  std::vector<LogprobEntry>
      logprobs;  // of every token since the last delta; empty unless asked for
  std::optional<FinishReason> finish;  // kStop or kLength: nothing follows
};

struct Usage {
  int prompt_tokens = 0;
  int completion_tokens = 0;
  int cached_tokens = 0;
  int image_tokens = 0;
};

// The answers to one request: `n` choices for each prompt, choice p * n + i being the i-th of
// prompt p. Used by one thread. Leaving the scope cancels what still runs.
class Generation {
 public:
  // Hands everything to the engine, or nothing. Errors as Engine::submit.
  static Result<std::unique_ptr<Generation>> start(Service& service,
                                                   std::vector<PreparedPrompt> prompts,
                                                   const GenerationOptions& options);
  ~Generation();
  Generation(const Generation&) = delete;
  Generation& operator=(const Generation&) = delete;

  // Waits for the next delta of any choice, at most until `deadline`; nullopt when none came by
  // then. A failed choice fails the request.
  Result<std::optional<ChoiceDelta>> next(TimePoint deadline);

  bool done() const { return open_ == 0; }
  int choices() const { return static_cast<int>(choices_.size()); }
  const Usage& usage() const { return usage_; }

 private:
  struct Choice;
  Generation(Service& service, const GenerationOptions& options);
  Result<std::optional<ChoiceDelta>> take(Choice& choice, TokenEvent event);
  void finish(Choice& choice, FinishReason reason);

  Service& service_;
  const TimePoint arrival_ = Clock::now();
  std::vector<std::unique_ptr<Choice>> choices_;
  int open_ = 0;         // choices that have not finished
  int next_choice_ = 0;  // where next() looks first
  Usage usage_;
};

}  // namespace saccade::api
