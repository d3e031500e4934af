// LaVIN (Luo et al. 2023, "Cheap and Quick: Efficient Vision-Language Instruction Tuning for Large
// Language Models"; luogen1996/LaVIN, lavin/eval_model.py, mm_adapter.py, generator.py) as
// scripts/convert_lavin.py writes it: the class token behind every fourth block of a CLIP tower ->
// Linear, silu, Linear -> rows of the prompt of a LLaMA. In front of each attention, in tower and
// decoder, stands an adapter of two experts. In the tower each row routes itself.
//
// In the decoder the original routes by a modality token in front of the prompt, which it hides
// from all other tokens. It sees itself alone, so what a layer's router makes of it is one of two
// pairs of numbers, that of text and that of pictures: the converter computes them, the token is
// not needed, and a request's routes are the same in each of its steps. All its keys depend on
// whether it holds a picture (KeyRules).

#include <ATen/ATen.h>

#include "engine/models/decoder_model.h"
#include "engine/models/encoder_batch.h"
#include "engine/models/family.h"
#include "engine/models/routed_adapter.h"
#include "engine/models/vit.h"

namespace saccade {
namespace {

constexpr int kExperts = 2;
constexpr int kModalities = 2;  // 0: text alone, 1: with a picture

struct LavinConfig {
  VitConfig vision;
  DecoderConfig text;
  int rank = 0;            // of the adapters
  int interval = 0;        // blocks of the tower for each visual token
  int connector = 0;       // width between the connector's layers
  double temperature = 0;  // of the tower's routers

  int tokens() const { return vision.num_layers / interval; }
};

LavinConfig parse_config(const ModelFolder& folder) {
  const JsonView config = folder.config();
  LavinConfig lavin;
  lavin.vision = VitConfig::clip(folder.section("vision_config"));
  lavin.text = parse_text_config(folder, "llama");
  lavin.rank = config.positive_int("adapter_dim", 8);
  lavin.interval = config.positive_int("vision_feature_interval", 4);
  if (lavin.tokens() == 0) {
    config.fail("vision_feature_interval", "is more than the tower's layers");
  }
  lavin.connector = config.positive_int("hidden_proj", 128);
  lavin.temperature = config.number_in("router_temperature", 10, 1e-3, 1e6);
  return lavin;
}

// The adapter of a block of the tower with its router.
class TowerAdapter {
 public:
  TowerAdapter(const LavinConfig& config, const WeightScope& scope)
      : adapter_(scope, config.vision.hidden_size, config.rank),
        router_(scope("expert_weights"), config.vision.hidden_size, kExperts, Bias::kRequired),
        temperature_(config.temperature) {}

  // [n, positions, D] -> the same
  at::Tensor operator()(const at::Tensor& x) const {
    return adapter_(x, at::softmax(router_(x) / temperature_, -1));
  }

 private:
  RoutedAdapter adapter_;
  Linear router_;
  double temperature_;
};

// The adapter of a layer of the decoder.
class LayerAdapter : public DecoderInsert {
 public:
  // `weights` [modalities, experts]; `modality` [T]: of each of the step's tokens.
  LayerAdapter(RoutedAdapter adapter, at::Tensor weights,
               std::shared_ptr<const at::Tensor> modality)
      : adapter_(std::move(adapter)),
        weights_(std::move(weights)),
        modality_(std::move(modality)) {}

  at::Tensor operator()(const at::Tensor& x, const AttentionInput&) const override {
    return adapter_(x, weights_.index_select(0, *modality_));
  }

 private:
  RoutedAdapter adapter_;
  at::Tensor weights_;
  std::shared_ptr<const at::Tensor> modality_;
};

class Lavin : public DecoderModel {
 public:
  Lavin(const LavinConfig& config, const WeightScope& root)
      : DecoderModel(Decoder(config.text, root("language_model")("model"), root("language_model"))),
        config_(config),
        tower_(config.vision, root("vision_model"), config.vision.num_layers,
               /*with_post_norm=*/false),
        linear1_(root("projector")("linear_1"), config.vision.hidden_size, config.connector,
                 Bias::kRequired),
        linear2_(root("projector")("linear_2"), config.connector, config.text.hidden_size,
                 Bias::kRequired),
        modality_(std::make_shared<at::Tensor>()) {
    for (int i = 0; i < config.vision.num_layers; ++i) {
      const auto adapter = std::make_shared<const TowerAdapter>(
          config, root("vision_model")("encoder")("layers")(i)("adapter_attn"));
      tower_.insert_before_attention(i, [adapter](const at::Tensor& x) { return (*adapter)(x); });
    }
    const at::Tensor weights =
        root.tensor("router_weights", {config.text.num_layers, kModalities, kExperts});
    for (int i = 0; i < config.text.num_layers; ++i) {
      const WeightScope scope = root("language_model")("model")("layers")(i)("adapter_attn");
      RoutedAdapter adapter(scope, config.text.hidden_size, config.rank);
      decoder_.insert_before_attention(
          i, std::make_shared<const LayerAdapter>(std::move(adapter), weights[i], modality_));
    }
  }

  std::vector<at::Tensor> encode(const std::vector<const EncoderInput*>& inputs) override {
    const int side = config_.vision.image_size;
    std::vector<int> behind;
    for (int i = 1; i <= config_.tokens(); ++i) behind.push_back(i * config_.interval);
    std::vector<at::Tensor> rows;  // [n, 1, D] each
    for (const at::Tensor& state : tower_.hidden_states(stack_pixels(inputs, side, side), behind)) {
      rows.push_back(state.narrow(1, 0, 1));
    }
    return linear2_(linear1_.activated(at::cat(rows, 1), Activation::kSilu)).unbind(0);
  }

  at::Tensor forward(at::Tensor h, const AttentionInput& input, KVCache& cache) override {
    at::Tensor modality = at::zeros({h.size(0)}, at::kLong);
    for (const RowRun& run : input.with_media) modality.narrow(0, run.first, run.count).fill_(1);
    *modality_ = upload(modality, h.device());
    return DecoderModel::forward(std::move(h), input, cache);
  }

 private:
  LavinConfig config_;
  Vit tower_;
  Linear linear1_;
  Linear linear2_;
  std::shared_ptr<at::Tensor> modality_;  // [T] of the step that runs
};

ModelInfo describe(const ModelFolder& folder) {
  const LavinConfig config = parse_config(folder);
  ModelInfo info = describe_decoder(folder, config.text);
  info.placement = MediaPlacement::kAtPlaceholder;
  info.image_token = image_token_id(folder, 0, config.text);
  info.max_images = 1;
  info.encoder_input = {config.vision.image_size, config.vision.image_size};
  info.image_tokens = [count = config.tokens()](const MediaLayout&) { return count; };
  info.keys.media_changes_text = true;
  // The original's generator counts the modality token among the positions of the prompt, but not
  // among those of the answer: its first token stands where the prompt's last one does.
  info.keys.answer_shift = -1;
  return info;
}

std::unique_ptr<VisionLanguageModel> build(const ModelFolder& folder, const WeightScope& root) {
  return std::make_unique<Lavin>(parse_config(folder), root);
}

std::vector<std::string> summary(const ModelFolder& folder) {
  const LavinConfig config = parse_config(folder);
  return {vit_summary(config.vision),
          "connector: the class token behind every " + std::to_string(config.interval) +
              " blocks, 2-layer MLP, " + std::to_string(config.tokens()) +
              " tokens per image; adapters of rank " + std::to_string(config.rank) +
              " before attention",
          decoder_summary(config.text)};
}

}  // namespace

const ModelFamily& lavin_family() {
  static const ModelFamily family = {
      "lavin",  {},    {"rotary_emb.inv_freq", "position_ids", "vision_model.post_layernorm."},
      describe, build, summary};
  return family;
}

}  // namespace saccade
