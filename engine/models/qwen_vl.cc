// Qwen2-VL (Wang et al. 2024) and Qwen2.5-VL (Bai et al. 2025; transformers' modeling_qwen2_vl.py,
// modeling_qwen2_5_vl.py): pictures of their own size through a ViT with 2D rotary positions, merge
// x merge patches to a visual token -> a Qwen2 decoder whose positions tell frame, row and column.

#include <ATen/ATen.h>

#include "engine/models/decoder_model.h"
#include "engine/models/encoder_batch.h"
#include "engine/models/family.h"
#include "engine/models/qwen_vit.h"

namespace saccade {
namespace {

struct QwenVlConfig {
  QwenVitConfig vision;
  DecoderConfig text;

  // Rows and columns of a picture's visual tokens; 0x0 where it is not made of whole ones.
  ImageSize grid(const MediaLayout& layout) const {
    const int unit = vision.unit();
    const ImageSize size = layout.part;
    if (size.height % unit != 0 || size.width % unit != 0) return {};
    return {size.height / unit, size.width / unit};
  }
};

// Before 4.52 the decoder's fields stood beside vision_config.
JsonView text_section(const ModelFolder& folder) {
  return folder.config().object("text_config").value_or(folder.config());
}

template <QwenVitConfig (*parse_vision)(const JsonView&)>
QwenVlConfig parse_config(const ModelFolder& folder) {
  QwenVlConfig qwen;
  qwen.vision = parse_vision(folder.section("vision_config"));
  const JsonView text = text_section(folder);
  qwen.text = parse_decoder_config(text, "qwen2_vl_text");
  qwen.text.tie_word_embeddings |= folder.config().boolean("tie_word_embeddings", false);
  if (qwen.text.rope.sections == std::array<int, 3>{}) {
    text.fail(text.has("rope_parameters") ? "rope_parameters" : "rope_scaling",
              "has no mrope_section");
  }
  if (qwen.vision.output_size != qwen.text.hidden_size) {
    folder.section("vision_config")
        .fail(qwen.vision.gated_mlp ? "out_hidden_size" : "hidden_size",
              "is not the decoder's hidden_size");
  }
  return qwen;
}

class QwenVl : public DecoderModel {
 public:
  QwenVl(const QwenVlConfig& config, const WeightScope& root)
      : DecoderModel(Decoder(config.text, root("model")("language_model"), root)),
        tower_(config.vision, root("model")("visual")) {}

  // The patches of all pictures run as one packed batch.
  std::vector<at::Tensor> encode(const std::vector<const EncoderInput*>& inputs) override {
    std::vector<at::Tensor> pictures;
    for (const EncoderInput* input : inputs) pictures.push_back(item_pixels(*input));
    return tower_(pictures);
  }

 private:
  QwenVit tower_;
};

using ParseConfig = QwenVlConfig (*)(const ModelFolder&);

template <ParseConfig parse>
ModelInfo describe(const ModelFolder& folder) {
  const QwenVlConfig config = parse(folder);
  ModelInfo info = describe_decoder(folder, config.text);
  info.placement = MediaPlacement::kAtPlaceholder;
  info.image_token = image_token_id(folder, 151655, config.text);
  info.max_images = 64;
  info.token_grid = [config](const MediaLayout& layout) { return config.grid(layout); };
  info.image_tokens = [config](const MediaLayout& layout) {
    const ImageSize grid = config.grid(layout);
    return grid.height * grid.width;
  };
  // As the published checkpoints have it.
  info.builtin_chat_template =
      "{% for message in messages %}{% if loop.first and message['role'] != 'system' %}"
      "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n{% endif %}"
      "<|im_start|>{{ message['role'] }}\n{% if message['content'] is string %}"
      "{{ message['content'] }}{% else %}{% for part in message['content'] %}"
      "{% if part['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
      "{% elif 'text' in part %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n"
      "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
  return info;
}

template <ParseConfig parse>
std::unique_ptr<VisionLanguageModel> build(const ModelFolder& folder, const WeightScope& root) {
  return std::make_unique<QwenVl>(parse(folder), root);
}

template <ParseConfig parse>
std::vector<std::string> summary(const ModelFolder& folder) {
  const QwenVlConfig config = parse(folder);
  const std::string merge = std::to_string(config.vision.merge_size);
  return {qwen_vit_summary(config.vision),
          "connector: merger of " + merge + "x" + merge + " patches, a visual token for " +
              std::to_string(config.vision.unit()) + "x" + std::to_string(config.vision.unit()) +
              " pixels",
          decoder_summary(config.text)};
}

// Files hold the names of before 4.52 ("visual.", "model.layers.") or those in memory since.
template <ParseConfig parse>
ModelFamily family_of(std::string_view model_type) {
  return {model_type,
          {{"model.visual.", "model.visual."},
           {"visual.", "model.visual."},
           {"model.language_model.", "model.language_model."},
           {"model.", "model.language_model."}},
          {"rotary_emb.inv_freq", "rotary_pos_emb.inv_freq"},
          describe<parse>,
          build<parse>,
          summary<parse>};
}

}  // namespace

const ModelFamily& qwen2_vl_family() {
  static const ModelFamily family = family_of<parse_config<QwenVitConfig::qwen2>>("qwen2_vl");
  return family;
}

const ModelFamily& qwen2_5_vl_family() {
  static const ModelFamily family = family_of<parse_config<QwenVitConfig::qwen2_5>>("qwen2_5_vl");
  return family;
}

}  // namespace saccade
