#include "tests/engine/core/fixtures.h"

#include <stdexcept>

#include "engine/core/sha256.h"

namespace saccade::testing {

SchedulerConfig small_config() {
  SchedulerConfig config;
  config.num_blocks = 4;
  config.block_size = 4;
  config.max_num_seqs = 2;
  config.max_num_batched_tokens = 8;
  config.max_model_len = 16;
  config.max_encode_per_step = 1;
  config.encoder_cache_tokens = 8;
  config.vocab_size = 1000;
  return config;
}

EncoderInput picture(int name, int rows) {
  auto item = std::make_shared<MediaItem>();
  item->height = rows;
  Sha256 hash;
  hash.update_u32(static_cast<uint32_t>(name));
  item->hash = hash.finish();
  EncoderInput input;
  input.key = item->hash;
  input.media = std::move(item);
  return input;
}

EncoderInput asked(EncoderInput input, int question) {
  Sha256 hash;
  hash.update(input.media->hash);
  hash.update_u32(static_cast<uint32_t>(question));
  input.key = hash.finish();
  return input;
}

Request make_request(RequestId id, std::vector<TokenId> prompt, int max_tokens) {
  Request request;
  request.id = id;
  request.prompt = std::move(prompt);
  request.sampling.max_tokens = max_tokens;
  request.sampling.seed = id;
  request.stream = std::make_shared<TokenStream>();
  request.arrival = Clock::now();
  return request;
}

void add_picture(Request& request, int position, const EncoderInput& input) {
  const int rows = input.media->height;
  const int index = static_cast<int>(request.media.size());
  request.media.push_back(input);
  request.spans.push_back({position, rows, index, 0});
  for (int i = 0; i < rows; ++i) request.prompt.at(position + i) = 1;
}

std::vector<TokenId> ids(int first, int count) {
  std::vector<TokenId> result(count);
  for (int i = 0; i < count; ++i) result[i] = first + i;
  return result;
}

QueuedRequest queued(Request request) { return {std::move(request), AdmissionTicket()}; }

std::vector<TokenEvent> events_of(TokenStream& stream) {
  std::vector<TokenEvent> events;
  while (std::optional<TokenEvent> event = stream.pop_until(TimePoint{})) {
    events.push_back(std::move(*event));
  }
  return events;
}

Answer answer_of(const std::vector<TokenEvent>& events) {
  Answer answer;
  for (const TokenEvent& event : events) {
    if (event.token) answer.tokens.push_back(*event.token);
    for (const PromptLogprob& score : event.prompt) {
      answer.prompt_logprobs.push_back(score.token.logprob);
    }
    answer.finish = event.finish;
  }
  return answer;
}

Bench::Bench(SchedulerConfig c, Faults faults) : config(c), scheduler(c), executor(c, faults) {}

std::shared_ptr<TokenStream> Bench::submit(Request request) {
  std::shared_ptr<TokenStream> stream = request.stream;
  scheduler.admit(queued(std::move(request)));
  return stream;
}

bool Bench::step() {
  const Batch& batch = scheduler.plan();
  scheduler.blocks().check();
  if (batch.empty()) return false;
  std::optional<StepOutput> output;
  try {
    output = executor.execute(batch);
  } catch (const Violation&) {
    throw;
  } catch (const std::runtime_error&) {
    scheduler.fail(Status(StatusCode::kInternal, "injected"));
  }
  if (output) scheduler.commit(std::move(*output));
  scheduler.blocks().check();
  return true;
}

int Bench::run(int limit) {
  int steps = 0;
  for (; !scheduler.idle(); ++steps) {
    if (steps == limit) throw std::logic_error("the scheduler does not come to an end");
    step();
  }
  return steps;
}

}  // namespace saccade::testing
