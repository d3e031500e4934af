// A decoder that says what config.json tells it to, so that protocols (tool calls, reasoning,
// structured output) can be tested over HTTP without a trained model:
//   {"model_type": "scripted", "vocab_size": 300, "max_position_embeddings": 4096, "eos_token_id":
//   2,
//    "answer_token_id": 7, "after": [[5, 6], ...], "emit": [[8, 9], ...]}
// An answer begins behind the last `answer_token_id` of the sequence. The script whose `after` ids
// stand last in the prompt is emitted, then the end id; an empty `after` is the default. All it
// knows of the past it reads from the KV cache, as every decoder does.

#include <ATen/ATen.h>

#include <algorithm>

#include "engine/models/family.h"
#include "engine/models/vlm.h"

namespace saccade {
namespace {

// Ids travel as two numbers, exact in every dtype that a model may run in.
constexpr int kDigit = 128;
constexpr int kWidth = 2;
constexpr double kUnlikely = -30.0;  // the logit of every id but the next

struct ScriptedConfig {
  int vocab_size = 0;
  int max_positions = 0;
  TokenId answer_token = 0;
  TokenId end_token = 0;
  std::vector<std::vector<int>> after, emit;  // [scripts]

  static ScriptedConfig parse(const ModelFolder& folder) {
    const JsonView json = folder.config();
    ScriptedConfig config;
    config.vocab_size = json.integer("vocab_size", 1, kDigit * kDigit);
    config.max_positions = json.positive_int("max_position_embeddings");
    config.answer_token = json.integer("answer_token_id", 0, config.vocab_size - 1);
    config.end_token = json.integer("eos_token_id", 0, config.vocab_size - 1);
    config.after = json.int_lists("after");
    config.emit = json.int_lists("emit");
    if (config.after.size() != config.emit.size()) json.fail("emit", "must be as long as after");
    for (const auto& script : config.emit) {
      for (const int id : script) {
        if (id < 0 || id >= config.vocab_size) json.fail("emit", "holds an id beyond vocab_size");
      }
    }
    return config;
  }
};

class Scripted : public VisionLanguageModel {
 public:
  explicit Scripted(ScriptedConfig config) : config_(std::move(config)) {}

  CacheShape cache_shape() const override { return {1, 1, kWidth, /*exact=*/true}; }
  bool prefix_cacheable() const override { return true; }

  std::vector<at::Tensor> encode(const std::vector<const EncoderInput*>&) override {
    throw std::logic_error("a scripted model has no encoder");
  }

  void add_adapter(int, Adapter&) override {
    throw LoadError("--lora: a scripted model takes no adapter");
  }

  // [T] -> [T, 2]: the id's digits.
  at::Tensor embed(const at::Tensor& ids) override {
    const at::Tensor digits =
        at::stack({at::floor_divide(ids, kDigit), at::remainder(ids, kDigit)}, 1);
    return digits.to(at::kFloat);
  }

  // [T, 2] ids -> [T, 2], where the last row of each sequence holds the id to say next.
  at::Tensor forward(at::Tensor h, const AttentionInput& input, KVCache& cache) override {
    const at::Tensor rows = h.to(at::kCPU, at::kFloat).contiguous();
    at::Tensor keys = cache[0].keys;  // [num_blocks, 1, block_size, 2]
    for (size_t row = 0; row < input.slots.size(); ++row) {
      const int64_t slot = input.slots[row];
      keys[slot / input.block_size][0][slot % input.block_size].copy_(
          rows[static_cast<int64_t>(row)]);
    }
    at::Tensor next = rows.clone();
    for (const kernels::PagedSequence& sequence : input.sequences) {
      const TokenId id = next_id(history(sequence, input.block_size, keys));
      const int64_t last = sequence.query_start + sequence.query_length - 1;
      next[last][0] = static_cast<float>(id / kDigit);
      next[last][1] = static_cast<float>(id % kDigit);
    }
    return next.to(h.device());
  }

  // [n, 2] -> [n, V]
  at::Tensor logits(const at::Tensor& h) override {
    const at::Tensor rows = h.to(at::kCPU, at::kFloat);
    at::Tensor logits = at::full({h.size(0), config_.vocab_size}, kUnlikely);
    for (int64_t i = 0; i < h.size(0); ++i) logits[i][id_of(rows[i])] = 0.0;
    return logits;
  }

 private:
  static int64_t id_of(const at::Tensor& digits) {
    return std::lround(digits[0].item<float>()) * kDigit + std::lround(digits[1].item<float>());
  }

  // Every id of the sequence so far, out of the cache.
  static std::vector<TokenId> history(const kernels::PagedSequence& sequence, int block_size,
                                      const at::Tensor& keys) {
    std::vector<int64_t> slots;
    for (int p = 0; p < sequence.context_length; ++p) {
      slots.push_back(int64_t{sequence.blocks[p / block_size]} * block_size + p % block_size);
    }
    const at::Tensor chosen = at::tensor(slots, at::kLong).to(keys.device());
    const at::Tensor digits = keys.view({-1, kWidth}).index_select(0, chosen);
    const at::Tensor rows = digits.to(at::kCPU, at::kFloat).contiguous();
    std::vector<TokenId> ids;
    for (const float* row = rows.const_data_ptr<float>(); ids.size() < slots.size();
         row += kWidth) {
      ids.push_back(static_cast<TokenId>(std::lround(row[0]) * kDigit + std::lround(row[1])));
    }
    return ids;
  }

  TokenId next_id(const std::vector<TokenId>& ids) const {
    const auto answer = std::find(ids.rbegin(), ids.rend(), config_.answer_token);
    const auto said = static_cast<size_t>(answer - ids.rbegin());
    const std::vector<TokenId> prompt(ids.begin(), answer.base());
    const std::vector<int>* script = nullptr;
    auto latest = prompt.begin();
    for (size_t i = 0; i < config_.after.size(); ++i) {
      const auto& cue = config_.after[i];
      const auto found = std::find_end(prompt.begin(), prompt.end(), cue.begin(), cue.end());
      const bool there = cue.empty() ? script == nullptr : found != prompt.end();
      if (!there || (!cue.empty() && script != nullptr && found < latest)) continue;
      script = &config_.emit[i];
      if (!cue.empty()) latest = found;
    }
    return script != nullptr && said < script->size() ? (*script)[said] : config_.end_token;
  }

  const ScriptedConfig config_;
};

ModelInfo describe(const ModelFolder& folder) {
  const ScriptedConfig config = ScriptedConfig::parse(folder);
  ModelInfo info;
  info.family = folder.model_type();
  info.vocab_size = config.vocab_size;
  info.max_model_len = config.max_positions;
  info.eos_ids = folder.eos_ids();
  return info;
}

std::unique_ptr<VisionLanguageModel> build(const ModelFolder& folder, const WeightScope&) {
  return std::make_unique<Scripted>(ScriptedConfig::parse(folder));
}

std::vector<std::string> summary(const ModelFolder& folder) {
  const ScriptedConfig config = ScriptedConfig::parse(folder);
  return {"scripted answers: " + std::to_string(config.emit.size())};
}

}  // namespace

const ModelFamily& scripted_family() {
  static const ModelFamily family = {"scripted", {}, {}, describe, build, summary};
  return family;
}

}  // namespace saccade
