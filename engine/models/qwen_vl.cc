// Qwen2-VL (Wang et al. 2024) and Qwen2.5-VL (Bai et al. 2025; transformers' modeling_qwen2_vl.py,
// modeling_qwen2_5_vl.py): pictures of their own size, and frames of videos in pairs, through a ViT
// with 2D rotary positions, merge x merge patches to a visual token -> a Qwen2 decoder whose
// positions tell frame, row and column.

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "engine/models/decoder_model.h"
#include "engine/models/encoder_batch.h"
#include "engine/models/family.h"
#include "engine/models/library_release.h"
#include "engine/models/qwen_vit.h"

namespace saccade {
namespace {

struct QwenVlConfig {
  QwenVitConfig vision;
  DecoderConfig text;

  int tokens_per_second = 0;  // how fast a video's frames count; 0: one by one
  // Whose positions these are: since 5.0 the text behind a video goes on after its longer side,
  // however many frames it has, and fractions of a second count.
  bool of_fifth = false;

  // Rows and columns of visual tokens; 0x0 where the item is not made of whole ones.
  TokenGrid grid(const MediaLayout& layout) const {
    const int unit = vision.unit();
    const ImageSize size = layout.part;
    if (size.height % unit != 0 || size.width % unit != 0) return {};
    TokenGrid grid{.rows = size.height / unit, .columns = size.width / unit};
    if (layout.kind != MediaKind::kVideo) return grid;
    if (tokens_per_second > 0) grid.frame_step = frame_step(layout);
    if (of_fifth) grid.extent = std::max(grid.rows, grid.columns);
    return grid;
  }

  int tokens(const MediaLayout& layout) const {
    const TokenGrid one = grid(layout);
    const int span = vision.temporal_patch_size;
    const int groups = layout.kind == MediaKind::kVideo ? (layout.parts + span - 1) / span : 1;
    return groups * one.rows * one.columns;
  }

 private:
  // Positions from one group of frames to the next: tokens_per_second for each second between them.
  // 4.57 knows the rate only where the request names it, takes 2 otherwise, and cuts the seconds
  // off to whole ones; 5.x takes the rate of the frames looked at. Both reckon in float32.
  float frame_step(const MediaLayout& layout) const {
    constexpr double kDefaultRate = 2;
    const double span = vision.temporal_patch_size;
    const auto per_second = static_cast<float>(tokens_per_second);
    if (of_fifth) return per_second * static_cast<float>(span / layout.fps);
    const double rate = layout.asked_fps > 0 ? layout.asked_fps : kDefaultRate;
    return per_second * std::trunc(static_cast<float>(span / rate));
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
  if (qwen.vision.window_size > 0) {  // 2.5
    qwen.tokens_per_second = folder.section("vision_config").positive_int("tokens_per_second", 4);
  }
  qwen.of_fifth = folder.library_version().first >= 5;
  qwen.text = parse_decoder_config(text, "qwen2_vl_text");
  follow_release(folder.library_version(), qwen.text);
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

// 4.x knows pictures and videos by the token in front of them. Where the file gives that token an
// id that no prompt can hold (the class's own in a smaller vocabulary), or another than that of the
// templates' token, all positions are those of text.
bool counts_like_text(const ModelFolder& folder, const QwenVlConfig& qwen) {
  if (qwen.of_fifth) return false;
  constexpr int kVisionStart = 151652;
  const int start = folder.config().integer_or("vision_start_token_id", kVisionStart);
  if (start < 0 || start >= qwen.text.vocab_size) return true;
  return folder.added_token_id("<|vision_start|>").value_or(start) != start;
}

class QwenVl : public DecoderModel {
 public:
  QwenVl(const QwenVlConfig& config, const WeightScope& root)
      : DecoderModel(Decoder(config.text, root("model")("language_model"), root)),
        tower_(config.vision, root("model")("visual")) {}

  // The patches of all pictures and videos run as one packed batch.
  std::vector<at::Tensor> encode(const std::vector<const EncoderInput*>& inputs) override {
    std::vector<at::Tensor> items;
    for (const EncoderInput* input : inputs) items.push_back(item_pixels(*input));
    return tower_(items);
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
  info.video_token = video_token_id(folder, 151656, config.text);
  info.max_videos = 16;
  info.frames = {.spread = FrameRule::Spread::kGroups,
                 .fps = 2,
                 .min_frames = 4,
                 .max_frames = 768,
                 .group = config.vision.temporal_patch_size,
                 .list_fps = 24};
  info.token_grid = [config,
                     as_text = counts_like_text(folder, config)](const MediaLayout& layout) {
    return as_text ? TokenGrid{} : config.grid(layout);
  };
  info.image_tokens = [config](const MediaLayout& layout) { return config.tokens(layout); };
  // As the published checkpoints have it.
  info.builtin_chat_template =
      "{% for message in messages %}{% if loop.first and message['role'] != 'system' %}"
      "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n{% endif %}"
      "<|im_start|>{{ message['role'] }}\n{% if message['content'] is string %}"
      "{{ message['content'] }}{% else %}{% for part in message['content'] %}"
      "{% if part['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
      "{% elif part['type'] == 'video' %}<|vision_start|><|video_pad|><|vision_end|>"
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
