// LLaMA-Adapter V2 with pictures (Gao et al. 2023; OpenGVLab/LLaMA-Adapter,
// llama_adapter_v2_multimodal7b) as scripts/convert_llama_adapter.py writes it: all rows of a CLIP
// tower, projected -> blocks that gather them in learned queries -> added to learned prompts of the
// last layers of a LLaMA, whose every token looks at them beside its own keys, behind gates. A
// picture has no place in the prompt: its "visual tokens" are the prompts' keys and values in all
// those layers. Without one the model was tuned on a picture of zeros.

#include <ATen/ATen.h>

#include "engine/models/decoder_model.h"
#include "engine/models/encoder_batch.h"
#include "engine/models/family.h"
#include "engine/models/vit.h"

namespace saccade {
namespace {

struct AdapterConfig {
  VitConfig vision;
  VitConfig blocks;  // of the connector: blocks alone
  DecoderConfig text;
  int projected = 0;  // width of CLIP's joint space
  int queries = 0;
  int layers = 0;         // the last so many have prompts
  bool own_keys = false;  // prompts have projections of their own: the layers' without their LoRA
};

AdapterConfig parse_config(const ModelFolder& folder) {
  const JsonView config = folder.config();
  AdapterConfig adapter;
  adapter.vision = VitConfig::clip(folder.section("vision_config"));
  adapter.projected = config.positive_int("projection_dim", 768);
  const JsonView visual = folder.section("visual_config");
  adapter.blocks = {.hidden_size = visual.positive_int("hidden_size", 768),
                    .intermediate_size = visual.positive_int("intermediate_size", 3072),
                    .num_layers = visual.positive_int("num_hidden_layers", 8),
                    .num_heads = visual.positive_int("num_attention_heads", 16),
                    .layer_norm_eps = kTorchNormEps,
                    .fused_qkv = true};
  if (adapter.blocks.hidden_size % adapter.blocks.num_heads != 0) {
    visual.fail("num_attention_heads", "does not divide hidden_size");
  }
  adapter.text = parse_text_config(folder, "llama");
  if (adapter.text.num_kv_heads != adapter.text.num_heads) {
    folder.section("text_config").fail("num_key_value_heads", "must be num_attention_heads");
  }
  if (int64_t{adapter.text.num_heads} * adapter.text.head_dim != adapter.text.hidden_size) {
    folder.section("text_config").fail("head_dim", "must be hidden_size / num_attention_heads");
  }
  adapter.queries = config.positive_int("query_len", 10);
  adapter.layers = config.positive_int("query_layer", 31);
  if (adapter.layers > adapter.text.num_layers) {
    config.fail("query_layer", "is more than the decoder's layers");
  }
  adapter.own_keys = config.boolean("prompt_projections", false);
  return adapter;
}

// The prompts of one layer: keys and values of a picture's, and how a step's tokens look at them.
class PicturePrompts : public AttentionInsert {
 public:
  // `gates` [heads]: what is added is multiplied with them.
  PicturePrompts(const AdapterConfig& config, int index, const at::Tensor& gates,
                 std::shared_ptr<const at::Tensor> blank)
      : heads_(config.text.num_heads),
        width_(int64_t{config.text.num_heads} * config.text.head_dim),
        column_(2 * width_ * index),
        gates_(gates.unsqueeze(1).expand({-1, config.text.head_dim}).flatten()),
        blank_(std::move(blank)) {}

  // Tokens in no run look at the picture of zeros.
  void add_to(at::Tensor& mixed, const at::Tensor& queries,
              const AttentionInput& input) const override {
    int64_t done = 0;
    for (const MemoryRun& run : input.memories) {
      add_run(mixed, queries, {done, run.first - done, *blank_});
      add_run(mixed, queries, run);
      done = run.first + run.count;
    }
    add_run(mixed, queries, {done, mixed.size(0) - done, *blank_});
  }

 private:
  void add_run(at::Tensor& mixed, const at::Tensor& queries, const MemoryRun& run) const {
    if (run.count == 0) return;
    const auto by_heads = [&](int64_t column) {  // [rows, width] -> [1, heads, rows, d]
      const at::Tensor rows = run.memory.narrow(1, column, width_);
      return rows.unflatten(1, {heads_, width_ / heads_}).transpose(0, 1).unsqueeze(0);
    };
    const at::Tensor own = queries.narrow(0, run.first, run.count).transpose(0, 1).unsqueeze(0);
    const at::Tensor seen = full_attention(own, by_heads(column_), by_heads(column_ + width_))[0];
    mixed.narrow(0, run.first, run.count).add_(seen * gates_);
  }

  int64_t heads_;
  int64_t width_;                            // of one layer's keys
  int64_t column_;                           // of the memories: the first of this layer's
  at::Tensor gates_;                         // [width]
  std::shared_ptr<const at::Tensor> blank_;  // the memory of the picture of zeros
};

class LlamaAdapter : public DecoderModel {
 public:
  LlamaAdapter(const AdapterConfig& config, const WeightScope& root)
      : DecoderModel(Decoder(config.text, root("language_model")("model"), root("language_model"))),
        config_(config),
        tower_(config.vision, root("vision_model"), config.vision.num_layers,
               /*with_post_norm=*/true),
        joint_(root("visual_projection"), config.vision.hidden_size, config.projected, Bias::kNone),
        clip_projection_(root("clip_proj"), config.projected, config.blocks.hidden_size,
                         Bias::kRequired),
        clip_norm_(root("clip_proj_norm"), config.blocks.hidden_size, kTorchNormEps),
        query_(root("visual_query").tensor("weight", {config.queries, config.blocks.hidden_size})),
        output_(root("visual_proj"), config.blocks.hidden_size, config.text.hidden_size,
                Bias::kRequired),
        output_norm_(root("visual_proj_norm"), config.text.hidden_size, kTorchNormEps),
        prompts_(root("adapter_query")
                     .tensor("weight",
                             {int64_t{config.layers} * config.queries, config.text.hidden_size})
                     .view({config.layers, config.queries, config.text.hidden_size})),
        blank_(std::make_shared<at::Tensor>()) {
    const at::Tensor gates =
        at::tanh(root.tensor("adapter_gates", {config.layers, config.text.num_heads})) *
        root.tensor("adapter_gate_scales", {config.layers}).unsqueeze(1);
    for (int i = 0; i < config.blocks.num_layers; ++i) {
      blocks_.emplace_back(config.blocks, root("visual_blocks")(i));
    }
    for (int i = 0; i < config.layers; ++i) {
      if (config.own_keys) own_keys_.push_back(make_own_keys(root("prompt_projections")(i)));
      decoder_.insert_into_attention(
          first_layer() + i, std::make_shared<const PicturePrompts>(config, i, gates[i], blank_));
    }
  }

  // Of each picture, [queries, layers * 2 * H]: keys and values of every layer's prompts.
  std::vector<at::Tensor> encode(const std::vector<const EncoderInput*>& inputs) override {
    const int side = config_.vision.image_size;
    return memories(stack_pixels(inputs, side, side));
  }

  at::Tensor forward(at::Tensor h, const AttentionInput& input, KVCache& cache) override {
    if (!blank_->defined()) {
      const int64_t side = config_.vision.image_size;
      *blank_ = memories(at::zeros({1, config_.vision.channels, side, side}))[0];
    }
    return DecoderModel::forward(std::move(h), input, cache);
  }

 private:
  int first_layer() const { return config_.text.num_layers - config_.layers; }

  Linear make_own_keys(const WeightScope& scope) const {
    const int64_t hidden = config_.text.hidden_size;
    return Linear({{scope("k_proj"), hidden}, {scope("v_proj"), hidden}}, hidden, Bias::kNone);
  }

  // pixels [n, 3, S, S] -> n times [queries, layers * 2 * H]
  std::vector<at::Tensor> memories(const at::Tensor& pixels) const {
    const at::Tensor visual = gathered(pixels);
    std::vector<at::Tensor> of_layers;
    for (int i = 0; i < config_.layers; ++i) {
      const at::Tensor rows = (prompts_[i] + visual).flatten(0, 1);  // [n * queries, H]
      of_layers.push_back(config_.own_keys ? own_keys_[static_cast<size_t>(i)](rows)
                                           : decoder_.keys_and_values(first_layer() + i, rows));
    }
    return at::cat(of_layers, 1).unflatten(0, {pixels.size(0), config_.queries}).unbind(0);
  }

  // What the queries gather of each picture: [n, queries, H]
  at::Tensor gathered(const at::Tensor& pixels) const {
    const at::Tensor rows =
        tower_.post_norm(tower_.hidden_states(pixels, {config_.vision.num_layers})[0]);
    const at::Tensor clip = clip_norm_(clip_projection_(joint_(rows)));
    at::Tensor x = at::cat({query_.unsqueeze(0).expand({rows.size(0), -1, -1}), clip}, 1);
    for (const VitBlock& block : blocks_) x = block(x);
    return output_norm_(output_(x.narrow(1, 0, config_.queries)));
  }

  AdapterConfig config_;
  Vit tower_;
  Linear joint_;
  Linear clip_projection_;
  LayerNorm clip_norm_;
  at::Tensor query_;  // [queries, width of the blocks]
  std::vector<VitBlock> blocks_;
  Linear output_;
  LayerNorm output_norm_;
  at::Tensor prompts_;  // [layers, queries, H]
  std::vector<Linear> own_keys_;
  std::shared_ptr<at::Tensor> blank_;  // undefined until the first step
};

ModelInfo describe(const ModelFolder& folder) {
  const AdapterConfig config = parse_config(folder);
  ModelInfo info = describe_decoder(folder, config.text);
  info.placement = MediaPlacement::kBesidePrompt;
  info.max_images = 1;
  info.encoder_input = {config.vision.image_size, config.vision.image_size};
  info.image_tokens = [rows = config.queries](const MediaLayout&) { return rows; };
  info.encoder_row_cost = 2 * config.layers;
  return info;
}

std::unique_ptr<VisionLanguageModel> build(const ModelFolder& folder, const WeightScope& root) {
  return std::make_unique<LlamaAdapter>(parse_config(folder), root);
}

std::vector<std::string> summary(const ModelFolder& folder) {
  const AdapterConfig config = parse_config(folder);
  return {vit_summary(config.vision),
          "connector: " + std::to_string(config.blocks.num_layers) + " blocks with " +
              std::to_string(config.queries) + " queries, added to the prompts of the last " +
              std::to_string(config.layers) + " layers",
          decoder_summary(config.text)};
}

}  // namespace

const ModelFamily& llama_adapter_family() {
  static const ModelFamily family = {
      "llama_adapter", {}, {"rotary_emb.inv_freq", "position_ids"}, describe, build, summary};
  return family;
}

}  // namespace saccade
