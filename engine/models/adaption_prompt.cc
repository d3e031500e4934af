#include "engine/models/adaption_prompt.h"

#include <ATen/ATen.h>

#include "engine/core/status.h"

namespace saccade {
namespace {

constexpr std::string_view kQuery = ".q_proj";

}  // namespace

AdaptionPrompt::AdaptionPrompt(const JsonView& config, const std::filesystem::path& folder,
                               const std::vector<Rename>& renames, at::ScalarType dtype,
                               at::Device device)
    : name_(folder.string()),
      length_(config.positive_int("adapter_len")),
      layers_(config.positive_int("adapter_layers")),
      weights_(std::make_shared<const Checkpoint>(folder, "adapter_model"),
               adapter_renames(renames), dtype, device) {
  const std::string target = config.string("target_modules", "self_attn");
  if (target != "self_attn") {
    config.fail("target_modules", printable(target) + " is not supported (known: self_attn)");
  }
}

void AdaptionPrompt::fail(const std::string& file, const std::string& reason) const {
  throw LoadError(name_ + "/" + file + ": " + reason);
}

void AdaptionPrompt::apply_to(Linear&, int) {}

void AdaptionPrompt::apply_to(const AttentionParts& attention, int adapter) {
  const DecoderConfig& c = attention.config;
  if (c.type != "llama" && c.type != "mistral") {
    fail("adapter_config.json",
         "peft_type: ADAPTION_PROMPT is not supported with a decoder of type " + c.type);
  }
  std::string name = attention.qkv.rows().front().name;  // "model.layers.3.self_attn.q_proj"
  name.resize(name.size() - kQuery.size());
  if (!weights_.has(name + ".adaption_prompt")) return;
  const at::Tensor prompt =
      weights_.tensor(name + ".adaption_prompt", {1, length_, c.hidden_size}).squeeze(0);
  const at::Tensor gate = weights_.tensor(name + ".adaption_gate", {1});
  const int64_t queries = int64_t{c.num_heads} * c.head_dim;
  const int64_t keys = int64_t{c.num_kv_heads} * c.head_dim;
  const at::Tensor rows = attention.qkv(prompt);  // [length, (heads + 2 kv_heads) * d]
  const auto by_heads = [&](int64_t first) {      // [kv_heads, length, d]
    return rows.narrow(1, first, keys).unflatten(1, {c.num_kv_heads, c.head_dim}).transpose(0, 1);
  };
  attention.prompts.add(adapter, by_heads(queries), by_heads(queries + keys), gate, c.num_heads);
  // The reference sends what the prompts add through the output projection on its own, bias
  // included.
  attention.output.repeat_bias(adapter);
  ++applied_;
}

void AdaptionPrompt::check_all_applied() {
  const std::vector<std::string> rest = weights_.unused({});
  if (!rest.empty()) {
    fail("adapter_model.safetensors", rest.front() + ": the model has no such layer");
  }
  if (applied_ != layers_) {
    fail("adapter_config.json", "adapter_layers: " + std::to_string(layers_) +
                                    ", adapter_model.safetensors has prompts for " +
                                    std::to_string(applied_) + " of the model's layers");
  }
  weights_.leave_files();
}

}  // namespace saccade
