// Steps that a GPU repeats by itself (SACCADE_TEST_DEVICE=cuda): the numbers are those of the step
// launched kernel by kernel.
#include "engine/runtime/decode_graphs.h"

#include "engine/core/scheduler.h"
#include "engine/core/token_stream.h"
#include "engine/runtime/load_model.h"
#include "engine/runtime/torch_executor.h"
#include "tests/engine/catch.h"
#include "tests/engine/models/golden.h"

namespace saccade::testing {
namespace {

// Of one sequence, with everything that came of its logits.
struct Answer {
  std::vector<TokenId> tokens;
  std::vector<float> logprobs;
  bool operator==(const Answer&) const = default;
};

class Executor {
 public:
  Executor(const Golden& golden, DtypeKind dtype, int max_graph_rows) : golden_(golden) {
    ModelOptions options;
    options.device = test_device().is_cuda() ? DeviceKind::kCuda : DeviceKind::kCpu;
    options.dtype = dtype;
    options.block_size = 4;
    options.kv_cache_bytes = 64 << 20;
    options.max_graph_rows = max_graph_rows;
    loaded_ = load_model(golden.folder(), options);
  }

  // The case's prompt `count` times side by side, plain (greedy, the best token alone) or with
  // log-probabilities.
  std::vector<Answer> run(const GoldenCase& c, int count, bool plain) {
    Scheduler scheduler({.num_blocks = loaded_.num_blocks,
                         .block_size = loaded_.block_size,
                         .max_num_seqs = count,
                         .max_num_batched_tokens = 1 << 16,
                         .max_model_len = loaded_.info.max_model_len,
                         .max_encode_per_step = count,
                         .encoder_cache_tokens = 1 << 16,
                         .eos_ids = {},
                         .prefix_caching = false,
                         .keys = loaded_.info.keys,
                         .vocab_size = loaded_.info.vocab_size});
    std::vector<std::shared_ptr<TokenStream>> streams;
    for (int i = 0; i < count; ++i) {
      Request request;
      request.id = i + 1;
      request.prompt = c.input_ids;
      request.spans = c.spans;
      request.media = golden_.media(c);
      request.sampling.temperature = 0;
      request.sampling.max_tokens = static_cast<int>(c.greedy_ids.size());
      request.sampling.ignore_eos = true;
      if (!plain) request.sampling.logprobs = 5;
      request.stream = std::make_shared<TokenStream>();
      streams.push_back(request.stream);
      scheduler.admit({std::move(request), {}});
    }
    while (!scheduler.idle()) {
      const Batch& batch = scheduler.plan();
      if (!batch.empty()) scheduler.commit(loaded_.executor->execute(batch));
    }
    std::vector<Answer> answers;
    for (const auto& stream : streams) answers.push_back(read(*stream));
    return answers;
  }

  int64_t recorded() const {
    return dynamic_cast<const TorchExecutor&>(*loaded_.executor).graphs().recorded();
  }
  bool fits(const GoldenCase& c) const {
    return static_cast<int>(c.input_ids.size() + c.greedy_ids.size()) <= loaded_.info.max_model_len;
  }

 private:
  static Answer read(TokenStream& stream) {
    Answer answer;
    while (true) {
      const auto event = stream.pop_until(Clock::now() + std::chrono::seconds(60));
      REQUIRE(event.has_value());
      REQUIRE(event->finish != FinishReason::kError);
      if (event->token) {
        answer.tokens.push_back(*event->token);
        answer.logprobs.push_back(event->logprob);
        for (const TokenLogprob& top : event->top) answer.logprobs.push_back(top.logprob);
      }
      if (event->finish != FinishReason::kNone) return answer;
    }
  }

  const Golden& golden_;
  LoadedModel loaded_;
};

AttentionInput lengths(const std::vector<int>& contexts) {
  AttentionInput input;
  for (const int context : contexts) input.sequences.push_back({0, 1, context, nullptr});
  return input;
}

}  // namespace

TEST_CASE("steps are filled up to few sizes") {
  using Size = DecodeGraphs::Size;
  CHECK((DecodeGraphs::size_of(lengths({1})) == Size{1, 256}));
  CHECK((DecodeGraphs::size_of(lengths({256, 3})) == Size{2, 256}));
  CHECK((DecodeGraphs::size_of(lengths({3, 257, 3})) == Size{4, 512}));
  CHECK((DecodeGraphs::size_of(lengths({513})) == Size{1, 1024}));
  CHECK(DecodeGraphs::size_of(lengths(std::vector<int>(8, 1))).rows == 8);
  CHECK(DecodeGraphs::size_of(lengths(std::vector<int>(9, 1))).rows == 16);
  CHECK(DecodeGraphs::size_of(lengths(std::vector<int>(17, 1))).rows == 32);
  CHECK(DecodeGraphs::size_of(lengths(std::vector<int>(48, 1))).rows == 48);
  CHECK(DecodeGraphs::size_of(lengths(std::vector<int>(49, 1))).rows == 64);
}

TEST_CASE("a recorded step = the same launched kernel by kernel, bit for bit") {
  if (!test_device().is_cuda()) return;
  int families = 0;
  for (const std::string& name : Golden::names()) {
    const Golden golden(name);
    for (const DtypeKind dtype : {DtypeKind::kFloat32, DtypeKind::kBfloat16}) {
      Executor recorded(golden, dtype, 256), launched(golden, dtype, 0);
      const GoldenCase& c = golden.cases().front();
      if (!recorded.fits(c)) continue;
      for (const int count : {1, 2, 4, 16}) {
        INFO(name << " " << count << (dtype == DtypeKind::kFloat32 ? " float32" : " bfloat16"));
        CHECK((recorded.run(c, count, false) == launched.run(c, count, false)));
        CHECK((recorded.run(c, count, true) == launched.run(c, count, true)));
      }
      families += recorded.recorded() > 0;
      CHECK(launched.recorded() == 0);
    }
  }
  CHECK(families > 0);
}

TEST_CASE("a step filled up with rows answers as a full one") {
  if (!test_device().is_cuda()) return;
  const Golden golden("llama_gqa");
  Executor recorded(golden, DtypeKind::kFloat32, 256);
  for (const GoldenCase& c : golden.cases()) {
    for (const int count : {3, 5, 11}) {
      for (const Answer& answer : recorded.run(c, count, true)) {
        CHECK(answer.tokens == c.greedy_ids);
      }
    }
  }
  CHECK(recorded.recorded() == 3);  // 4, 8 and 16 rows
}

TEST_CASE("no graph holds more rows than are allowed") {
  if (!test_device().is_cuda()) return;
  const Golden golden("llama_gqa");
  Executor executor(golden, DtypeKind::kFloat32, 4);
  executor.run(golden.cases().front(), 5, true);
  CHECK(executor.recorded() == 0);
  executor.run(golden.cases().front(), 3, true);
  CHECK(executor.recorded() == 1);
}

TEST_CASE("a model that reads more than a step's layout is never recorded") {
  const Golden golden("idefics");
  Executor executor(golden, DtypeKind::kFloat32, 256);
  executor.run(golden.cases().front(), 1, true);
  CHECK(executor.recorded() == 0);
}

}  // namespace saccade::testing
