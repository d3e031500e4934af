// Idefics2 (Laurençon et al. 2024; transformers' modeling_idefics2.py): pictures of their own size
// through a SigLIP NaViT with its final norm -> gated MLP -> perceiver resampler -> a Mistral
// decoder. A picture may be told in five parts: its quarters and itself.

#include <ATen/ATen.h>

#include <cstdlib>
#include <map>

#include "engine/models/decoder_model.h"
#include "engine/models/encoder_batch.h"
#include "engine/models/family.h"
#include "engine/models/perceiver.h"
#include "engine/models/vit.h"

namespace saccade {
namespace {

constexpr const char* kFake = "<fake_token_around_image>";

struct Idefics2Config {
  VitConfig vision;
  PerceiverConfig perceiver;
  DecoderConfig text;
};

Idefics2Config parse_config(const ModelFolder& folder) {
  const VitConfig defaults{.hidden_size = 768,
                           .intermediate_size = 3072,
                           .num_layers = 12,
                           .num_heads = 12,
                           .image_size = 224,
                           .patch_size = 32,
                           .layer_norm_eps = 1e-6};
  Idefics2Config idefics;
  idefics.vision =
      VitConfig::navit(folder.section("vision_config"), defaults, folder.library_version());
  idefics.text = parse_backbone_config(folder, "mistral");
  idefics.perceiver = PerceiverConfig::parse(folder.section("perceiver_config"),
                                             idefics.text.hidden_size, idefics.text.norm_eps);
  return idefics;
}

class Idefics2 : public DecoderModel {
 public:
  Idefics2(const Idefics2Config& config, const WeightScope& root)
      : DecoderModel(Decoder(config.text, root("model")("text_model"), root)),
        tower_(config.vision, root("model")("vision_model"), config.vision.num_layers,
               /*with_post_norm=*/true),
        projection_(root("model")("connector")("modality_projection"), config.vision.hidden_size,
                    config.text.intermediate_size, config.text.hidden_size, config.text.activation),
        perceiver_(config.perceiver, root("model")("connector")("perceiver_resampler")) {}

  // Parts of one size run as one batch; each keeps its own number of patches, none is padded.
  std::vector<at::Tensor> encode(const std::vector<const EncoderInput*>& inputs) override {
    std::vector<at::Tensor> parts;
    std::vector<int64_t> lengths;  // visual tokens of each picture
    for (const EncoderInput* input : inputs) {
      const std::vector<at::Tensor> own = item_parts(*input);
      lengths.push_back(static_cast<int64_t>(own.size()) * perceiver_.num_latents());
      parts.insert(parts.end(), own.begin(), own.end());
    }
    std::map<std::pair<int64_t, int64_t>, std::vector<size_t>> by_size;
    for (size_t i = 0; i < parts.size(); ++i) {
      by_size[{parts[i].size(1), parts[i].size(2)}].push_back(i);
    }
    std::vector<at::Tensor> rows(parts.size());
    for (const auto& [size, members] : by_size) {
      std::vector<at::Tensor> batch;
      for (const size_t i : members) batch.push_back(parts[i]);
      const std::vector<at::Tensor> tokens = resample(at::stack(batch)).unbind(0);
      for (size_t i = 0; i < members.size(); ++i) rows[members[i]] = tokens[i];
    }
    return at::cat(rows).split_with_sizes(lengths);
  }

 private:
  // pixels [n, 3, height, width] -> [n, latents, H]
  at::Tensor resample(const at::Tensor& pixels) const {
    const int layers = tower_.config().num_layers;
    return perceiver_(projection_(tower_.post_norm(tower_.hidden_states(pixels, {layers})[0])));
  }

  Vit tower_;
  GatedMlp projection_;
  Perceiver perceiver_;
};

// Each part between two boundary tokens; one stands between neighbours.
std::string picture_text(const MediaLayout& layout, int tokens, const std::string& placeholder) {
  std::string text = kFake;
  for (int part = 0; part < layout.parts; ++part) {
    for (int i = 0; i < tokens; ++i) text += placeholder;
    text += kFake;
  }
  return text;
}

ModelInfo describe(const ModelFolder& folder) {
  const Idefics2Config config = parse_config(folder);
  const int tokens = config.perceiver.num_latents, patch = config.vision.patch_size;
  ModelInfo info = describe_decoder(folder, config.text);
  info.placement = MediaPlacement::kAtPlaceholder;
  info.image_token = image_token_id(folder, 32001, config.text);
  info.max_images = 64;
  info.image_tokens = [tokens, patch](const MediaLayout& layout) {
    const bool fits = layout.part.height >= patch && layout.part.width >= patch;
    return fits ? layout.parts * tokens : 0;
  };
  info.image_text = [tokens](const MediaLayout& layout, const std::string& placeholder) {
    return picture_text(layout, tokens, placeholder);
  };
  info.single_token = kFake;
  // transformers' Idefics2Processor has done so since 5.0.
  info.space_behind_single_token = folder.library_version().first >= 5;
  // As the published checkpoint has it.
  info.builtin_chat_template =
      "{% for message in messages %}{{ message['role'].capitalize() }}"
      "{% if message['content'][0]['type'] == 'image' %}{{ ':' }}{% else %}{{ ': ' }}{% endif %}"
      "{% for line in message['content'] %}{% if line['type'] == 'text' %}{{ line['text'] }}"
      "{% elif line['type'] == 'image' %}{{ '<image>' }}{% endif %}{% endfor %}"
      "<end_of_utterance>\n{% endfor %}{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}";
  return info;
}

std::unique_ptr<VisionLanguageModel> build(const ModelFolder& folder, const WeightScope& root) {
  return std::make_unique<Idefics2>(parse_config(folder), root);
}

std::vector<std::string> summary(const ModelFolder& folder) {
  const Idefics2Config config = parse_config(folder);
  return {vit_summary(config.vision),
          "connector: gated MLP, perceiver of " + std::to_string(config.perceiver.num_layers) +
              " layers, " + std::to_string(config.perceiver.num_latents) + " tokens per part",
          decoder_summary(config.text)};
}

}  // namespace

const ModelFamily& idefics2_family() {
  static const ModelFamily family = {"idefics2", {},    {"rotary_emb.inv_freq", "position_ids"},
                                     describe,   build, summary};
  return family;
}

}  // namespace saccade
