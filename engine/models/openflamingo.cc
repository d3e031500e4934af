// OpenFlamingo (Awadalla et al. 2023; mlfoundations/open_flamingo, src/flamingo.py, flamingo_lm.py,
// helpers.py) as scripts/convert_openflamingo.py writes it: a CLIP tower without class token and
// last norm -> perceiver resampler -> gated cross-attention before every n-th layer of a decoder.
// One token of the prompt stands for each picture; what follows looks at that picture until the
// next one. As in idefics.cc a picture's "visual tokens" are the keys and values of all blocks.

#include <ATen/ATen.h>

#include "engine/models/decoder_model.h"
#include "engine/models/encoder_batch.h"
#include "engine/models/family.h"
#include "engine/models/gated_cross_attention.h"
#include "engine/models/resampler.h"
#include "engine/models/vit.h"

namespace saccade {
namespace {

constexpr int kMlpWidening = 4;

struct FlamingoConfig {
  VitConfig vision;
  ResamplerConfig resampler;
  DecoderConfig text;
  GatedCrossConfig cross;
  int interval = 1;  // the last of so many layers has a block before it

  int blocks() const { return text.num_layers / interval; }
};

FlamingoConfig parse_config(const ModelFolder& folder) {
  const JsonView config = folder.config();
  FlamingoConfig flamingo;
  flamingo.vision = VitConfig::clip(folder.section("vision_config"));
  flamingo.resampler =
      ResamplerConfig::parse(folder.section("perceiver_config"), flamingo.vision.hidden_size);
  flamingo.resampler.activation = Activation::kGelu;
  flamingo.text = parse_text_config(folder, "llama");
  if (!flamingo.text.norm_first) {
    config.fail("text_config", "blocks between the layers need norms before the sublayers");
  }
  flamingo.interval = config.positive_int("cross_attn_every_n_layers", 1);
  if (flamingo.blocks() == 0) {
    config.fail("cross_attn_every_n_layers", "is more than the decoder's layers");
  }
  flamingo.cross = {.hidden_size = flamingo.text.hidden_size,
                    .intermediate_size = int64_t{kMlpWidening} * flamingo.text.hidden_size,
                    .num_heads = config.positive_int("cross_attn_heads", 8),
                    .head_dim = config.positive_int("cross_attn_head_dim", 64),
                    .memory_size = flamingo.vision.hidden_size,
                    .norm = NormKind::kLayer,
                    .norm_eps = kTorchNormEps,
                    .gated_mlp = false,
                    .activation = Activation::kGelu};
  return flamingo;
}

class OpenFlamingo : public DecoderModel {
 public:
  OpenFlamingo(const FlamingoConfig& config, const WeightScope& root)
      : DecoderModel(Decoder(config.text, root("language_model"))),
        tower_(config.vision, root("vision_model"), config.vision.num_layers,
               /*with_post_norm=*/false),
        resampler_(config.resampler, root("perceiver_resampler")) {
    for (int i = 0; i < config.blocks(); ++i) {
      blocks_.push_back(std::make_shared<const GatedCrossAttention>(
          config.cross, root("gated_cross_attn_layers")(i).quantizable(), i));
      decoder_.insert_before((i + 1) * config.interval - 1, blocks_.back());
    }
  }

  // Of each picture, [latents, blocks * 2 * inner]: keys and values of every block.
  std::vector<at::Tensor> encode(const std::vector<const EncoderInput*>& inputs) override {
    const int side = tower_.config().image_size;
    const at::Tensor pixels = stack_pixels(inputs, side, side);
    const at::Tensor rows = tower_.hidden_states(pixels, {tower_.config().num_layers})[0];
    return picture_memories(blocks_, resampler_(rows.narrow(1, 1, rows.size(1) - 1)));
  }

 private:
  Vit tower_;
  Resampler resampler_;
  std::vector<std::shared_ptr<const GatedCrossAttention>> blocks_;
};

ModelInfo describe(const ModelFolder& folder) {
  const FlamingoConfig config = parse_config(folder);
  ModelInfo info = describe_decoder(folder, config.text);
  info.placement = MediaPlacement::kBesidePrompt;
  if (!folder.config().has("image_token_id")) folder.config().fail("image_token_id", "missing");
  info.image_token = image_token_id(folder, 0, config.text);
  info.max_images = 64;
  info.encoder_input = {config.vision.image_size, config.vision.image_size};
  info.image_tokens = [rows = config.resampler.num_latents](const MediaLayout&) { return rows; };
  const int64_t width = int64_t{2} * config.blocks() * config.cross.inner();
  info.encoder_row_cost = static_cast<int>((width - 1) / config.text.hidden_size) + 1;
  return info;
}

std::unique_ptr<VisionLanguageModel> build(const ModelFolder& folder, const WeightScope& root) {
  return std::make_unique<OpenFlamingo>(parse_config(folder), root);
}

std::vector<std::string> summary(const ModelFolder& folder) {
  const FlamingoConfig config = parse_config(folder);
  return {vit_summary(config.vision),
          "connector: resampler of " + std::to_string(config.resampler.num_layers) + " layers, " +
              std::to_string(config.resampler.num_latents) +
              " rows per picture for cross-attention in " + std::to_string(config.blocks()) +
              " blocks",
          decoder_summary(config.text)};
}

}  // namespace

const ModelFamily& openflamingo_family() {
  static const ModelFamily family = {
      "openflamingo",
      {},
      {"rotary_emb.inv_freq", "position_ids", "vision_model.post_layernorm."},
      describe,
      build,
      summary};
  return family;
}

}  // namespace saccade
