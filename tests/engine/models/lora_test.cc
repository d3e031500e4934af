// LoRA folders of tests/golden/adapters through the real engine: an adapter's answers are those
// that PEFT gives, the base model's stay as they are, and all of them run side by side in one
// batch.

#include <cmath>
#include <fstream>
#include <map>
#include <memory>

#include "engine/core/engine.h"
#include "engine/runtime/load_model.h"
#include "tests/engine/models/golden.h"
#include "tests/engine/weights/edit_safetensors.h"
#include "tests/engine/weights/test_folder.h"

namespace saccade::testing {
namespace {

const std::filesystem::path kAdapters = "tests/golden/adapters";

struct Expected {
  std::vector<TokenId> ids;
  std::vector<float> logprobs;
};

// What an adapter answers to cases of its base checkpoint, by the case's index.
struct AdapterAnswers {
  explicit AdapterAnswers(const std::string& name) {
    const JsonFile file(kAdapters / name / "answers.json");
    base = file.root().string("base");
    for (const Json& row : *file.root().find("cases")->array()) {
      const JsonView view(row, "answers.json: case");
      Expected expected;
      for (const int id : view.int_list("greedy_ids")) expected.ids.push_back(id);
      for (const double x : view.number_list("chosen_logprobs")) {
        expected.logprobs.push_back(static_cast<float>(x));
      }
      answers[view.integer("case")] = expected;
    }
  }
  std::string base;
  std::map<int, Expected> answers;
};

class ModelWithAdapters {
 public:
  ModelWithAdapters(const Golden& golden, const std::vector<std::string>& adapters, int budget)
      : golden_(golden) {
    ModelOptions options;
    options.dtype = DtypeKind::kFloat32;
    options.device = test_device().is_cuda() ? DeviceKind::kCuda : DeviceKind::kCpu;
    options.block_size = 4;
    options.kv_cache_bytes = 16 << 20;
    for (const std::string& name : adapters) options.adapters.push_back(kAdapters / name);
    LoadedModel loaded = load_model(golden.folder(), options);
    EngineConfig config;
    config.scheduler = {.num_blocks = loaded.num_blocks,
                        .block_size = loaded.block_size,
                        .max_num_seqs = 16,
                        .max_num_batched_tokens = budget,
                        .max_model_len = loaded.info.max_model_len,
                        .max_encode_per_step = 2,
                        .encoder_cache_tokens = 4096,
                        .eos_ids = loaded.info.eos_ids,
                        .prefix_caching = true,
                        .vocab_size = loaded.info.vocab_size};
    engine_ = std::make_unique<Engine>(config, std::move(loaded.executor));
  }

  std::shared_ptr<TokenStream> submit(const GoldenCase& c, int adapter) {
    Request request;
    request.id = ++last_id_;
    request.prompt = c.input_ids;
    request.spans = c.spans;
    request.media = golden_.media(c);
    request.adapter = adapter;
    request.sampling.temperature = 0;
    request.sampling.max_tokens = static_cast<int>(c.greedy_ids.size());
    request.sampling.ignore_eos = true;
    request.sampling.logprobs = 0;
    request.stream = std::make_shared<TokenStream>();
    request.arrival = Clock::now();
    const std::shared_ptr<TokenStream> stream = request.stream;
    REQUIRE(engine_->submit(std::move(request)).ok());
    return stream;
  }

 private:
  const Golden& golden_;
  std::unique_ptr<Engine> engine_;
  RequestId last_id_ = 0;
};

// Returns the prompt tokens that came from the prefix cache.
int check(TokenStream& stream, const Expected& expected) {
  std::vector<TokenId> ids;
  while (true) {
    const auto event = stream.pop_until(Clock::now() + std::chrono::seconds(60));
    REQUIRE(event.has_value());
    REQUIRE(event->finish != FinishReason::kError);
    if (event->token) {
      REQUIRE(ids.size() < expected.logprobs.size());
      CHECK(std::abs(event->logprob - expected.logprobs[ids.size()]) <= 1e-4f);
      ids.push_back(*event->token);
    }
    if (event->finish == FinishReason::kNone) continue;
    CHECK(ids == expected.ids);
    return event->stats.cached_tokens;
  }
}

Expected base_answer(const GoldenCase& c) { return {c.greedy_ids, c.chosen_logprobs}; }

// All cases with and without the adapters at once, twice: the second time from the prefix cache.
void check_together(const std::vector<std::string>& names, int budget) {
  std::vector<AdapterAnswers> adapters;
  for (const std::string& name : names) adapters.emplace_back(name);
  const Golden golden(adapters.front().base);
  ModelWithAdapters model(golden, names, budget);
  for (int round = 0; round < 2; ++round) {
    std::vector<std::pair<std::shared_ptr<TokenStream>, Expected>> running;
    for (const GoldenCase& c : golden.cases()) {
      running.emplace_back(model.submit(c, 0), base_answer(c));
      for (size_t i = 0; i < adapters.size(); ++i) {
        const auto found = adapters[i].answers.find(c.index);
        if (found == adapters[i].answers.end()) continue;
        running.emplace_back(model.submit(c, static_cast<int>(i) + 1), found->second);
      }
    }
    int cached = 0;
    for (auto& [stream, expected] : running) cached += check(*stream, expected);
    if (round == 1) CHECK(cached > 0);
  }
}

std::string load_error(const std::filesystem::path& adapter) {
  ModelOptions options;
  options.dtype = DtypeKind::kFloat32;
  options.kv_cache_bytes = 1 << 20;
  options.adapters = {adapter};
  try {
    load_model(Golden::root() / "llama_gqa", options);
  } catch (const LoadError& error) {
    return error.what();
  }
  return "no error";
}

bool holds(const std::string& message, const char* part) {
  INFO(message);
  return message.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("adapters: two and the base model in one batch") {
  check_together({"llama_qv", "llama_mlp"}, 4096);
}

TEST_CASE("adapters: prefilled in chunks") { check_together({"llama_qv", "llama_mlp"}, 5); }

TEST_CASE("adapters: biases, rank-stabilised scale, ranks and alphas by module") {
  check_together({"llama_all"}, 4096);
}

TEST_CASE("adapters: the decoder of a vision-language model") {
  check_together({"llava_language"}, 4096);
}

TEST_CASE("adapters: q, k and v of each head, or of all heads, in one weight") {
  check_together({"neox_all"}, 4096);
  check_together({"mpt_wqkv"}, 4096);
}

TEST_CASE("adapters: learned prompts, LoRA and the base model in one batch") {
  check_together({"llama_prompt", "llama_qv"}, 4096);
  check_together({"llama_qv", "llama_prompt"}, 5);
}

TEST_CASE("adapters: learned prompts of layers with biases") {
  check_together({"llama_prompt_bias", "llama_all"}, 4096);
}

TEST_CASE("adapters: learned prompts behind a shut gate change nothing") {
  const TestFolder folder;
  const auto prompt = kAdapters / "llama_prompt";
  folder.write("adapter_config.json", bytes_of(prompt / "adapter_config.json"));
  folder.write("adapter_model.safetensors",
               with_zeroed(bytes_of(prompt / "adapter_model.safetensors"), "adaption_gate"));
  const Golden golden("llama_gqa");
  ModelWithAdapters model(golden, {folder.path()}, 4096);
  for (const GoldenCase& c : golden.cases()) {
    check(*model.submit(c, 1), base_answer(c));
  }
}

TEST_CASE("adapters: learned prompts that do not fit the model are refused") {
  const auto changed = [](const std::string& config) {
    const TestFolder folder;
    folder.write("adapter_config.json", config);
    folder.write("adapter_model.safetensors",
                 bytes_of(kAdapters / "llama_prompt" / "adapter_model.safetensors"));
    return load_error(folder.path());
  };
  const auto fields = [](const std::string& more) {
    return R"({"peft_type": "ADAPTION_PROMPT")" + more + "}";
  };
  CHECK(holds(changed(fields(R"(, "adapter_len": 5, "adapter_layers": 2)")), "no error"));
  CHECK(holds(changed(fields(R"(, "adapter_layers": 2)")), "adapter_config.json: adapter_len"));
  CHECK(holds(changed(fields(R"(, "adapter_len": 4, "adapter_layers": 2)")), "adaption_prompt"));
  CHECK(holds(changed(fields(R"(, "adapter_len": 5, "adapter_layers": 3)")), "adapter_layers: 3"));
  CHECK(holds(changed(fields(R"(, "adapter_len": 5, "adapter_layers": 2, "target_modules": "x")")),
              "target_modules"));
}

TEST_CASE("adapters: what cannot be honoured is refused, naming file and field") {
  const auto changed = [](const std::string& config) {
    static TestFolder folder;
    const auto place = folder.path() / "adapter";
    std::filesystem::create_directories(place);
    std::filesystem::copy_file(kAdapters / "llama_qv" / "adapter_model.safetensors",
                               place / "adapter_model.safetensors",
                               std::filesystem::copy_options::overwrite_existing);
    std::ofstream(place / "adapter_config.json") << config;
    return load_error(place);
  };
  CHECK(holds(changed(R"({"peft_type": "IA3", "r": 4})"), "adapter_config.json: peft_type"));
  CHECK(holds(changed(R"({"peft_type": "LORA"})"), "adapter_config.json: r: missing"));
  CHECK(holds(changed(R"({"r": 0})"), "adapter_config.json: r:"));
  CHECK(holds(changed(R"({"r": 4, "use_dora": true})"), "use_dora"));
  CHECK(holds(changed(R"({"r": 4, "modules_to_save": ["lm_head"]})"), "modules_to_save"));
  CHECK(holds(changed(R"({"r": 4, "bias": "some"})"), "adapter_config.json: bias"));
  CHECK(holds(changed(R"({"r": 4, "rank_pattern": {"q_proj": 2}})"), "rank 4"));
  CHECK(holds(changed(R"({"r": 5})"), "adapter_model.safetensors: "));
  CHECK(holds(changed(R"({"r": 4, "lora_alpha": 6})"), "no error"));
  CHECK(holds(load_error("tests/golden/llama_gqa"), "adapter_config.json"));
  CHECK(holds(load_error(kAdapters / "llava_language"), "the model has no such projection"));
}

}  // namespace saccade::testing
