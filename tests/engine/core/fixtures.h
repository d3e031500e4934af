#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "engine/core/request.h"
#include "engine/core/scheduler.h"
#include "tests/engine/core/fake_executor.h"

namespace saccade::testing {

// Four blocks of four, two sequences, eight tokens a step: small enough to think through.
SchedulerConfig small_config();

// A picture of `rows` visual tokens, its key made of `name`.
EncoderInput picture(int name, int rows);

// The same picture for another question, which its encoder output depends on.
EncoderInput asked(EncoderInput input, int question);

Request make_request(RequestId id, std::vector<TokenId> prompt, int max_tokens);

// Puts picture `input` at prompt position `position`; its placeholders overwrite the prompt there.
void add_picture(Request& request, int position, const EncoderInput& input);

// `count` token ids starting at `first`, within the vocabulary of small_config().
std::vector<TokenId> ids(int first, int count);

QueuedRequest queued(Request request);

// Everything the stream holds now.
std::vector<TokenEvent> events_of(TokenStream& stream);
Answer answer_of(const std::vector<TokenEvent>& events);

// A scheduler with the fake executor as its model, stepped by hand.
struct Bench {
  explicit Bench(SchedulerConfig config, Faults faults = {});

  // Admits a request; returns its stream.
  std::shared_ptr<TokenStream> submit(Request request);
  // One step; false when the batch was empty.
  bool step();
  // Steps until idle; the number of steps. Throws after `limit`.
  int run(int limit = 10000);

  SchedulerConfig config;
  Scheduler scheduler;
  FakeExecutor executor;
};

}  // namespace saccade::testing
