#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "engine/core/status.h"
#include "engine/core/types.h"

namespace saccade {

enum class FinishReason { kNone, kStop, kLength, kCancelled, kError };

struct TokenLogprob {
  TokenId token = 0;
  float logprob = 0;
};

// How likely a token of the prompt was, given those before it.
struct PromptLogprob {
  TokenLogprob token;
  int rank = 0;                   // 1: the likeliest
  std::vector<TokenLogprob> top;  // best first; empty unless asked for
};

// Times and counts of one request, complete in its last event.
struct RequestStats {
  int cached_tokens = 0;  // prompt tokens served from the prefix cache at first admission
  TimePoint admitted{};   // first taken into a batch
  TimePoint first_token{};
  double encode_seconds = 0;  // vision encoder and connector time spent for this request
  int draft_tokens = 0;       // guesses that were computed
  int accepted_drafts = 0;    // of these, right
};

// One step's result for one request. The last event has a finish reason; it carries a token unless
// the request was cancelled or failed, or asked for no answer. A stop id's token is delivered too
// (kStop).
struct TokenEvent {
  std::optional<TokenId> token;
  float logprob = 0;              // of `token`, log-softmax of the raw logits
  std::vector<TokenLogprob> top;  // best first; empty unless asked for
  // The prompt's, as they were asked for, in order; perhaps over several events before the first
  // token's.
  std::vector<PromptLogprob> prompt;
  std::vector<float> pooled;  // [hidden] in the last event, where Request::pooling asks for it
  FinishReason finish = FinishReason::kNone;
  Status error;        // with kError
  RequestStats stats;  // so far; complete in the last event
};

// The way back from the engine to one HTTP worker. The engine thread pushes, one worker pops; no
// two workers share a condition variable, so a token wakes one thread.
class TokenStream {
 public:
  // What a worker sleeps on: the streams that it reads in turns share one.
  struct Waiter {
    std::mutex mutex;
    std::condition_variable ready;
  };

  TokenStream() : TokenStream(std::make_shared<Waiter>()) {}
  explicit TokenStream(std::shared_ptr<Waiter> waiter) : waiter_(std::move(waiter)) {}

  // Engine thread. Ignored after close().
  void push(TokenEvent event);

  // Worker. Waits for an event until `deadline`; nullopt when none came by then, at once when the
  // stream is closed and its events are read.
  std::optional<TokenEvent> pop_until(TimePoint deadline);

  // Worker. Waits until one of `streams`, which share a waiter, has an event or is closed. The
  // first such one; null when there was none by `deadline`.
  static TokenStream* wait_for_any(std::span<TokenStream* const> streams, TimePoint deadline);

  // Worker: the client left, a stop string was found, or the server stops. The engine frees the
  // request's blocks at its next step.
  void close();
  bool closed() const;

  // Called (on the closing thread) when close() is first called, to wake an engine that sleeps. At
  // once if the stream is closed already.
  void on_close(std::function<void()> callback);

 private:
  std::shared_ptr<Waiter> waiter_;
  std::deque<TokenEvent> events_;
  std::function<void()> close_callback_;
  std::atomic<bool> closed_ = false;  // written under the lock; the engine reads it every step
};

}  // namespace saccade
