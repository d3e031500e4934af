// LLaVA-NeXT (Liu et al. 2024; transformers' modeling_llava_next.py): a picture is shown whole and
// as tiles of the best fitting resolution; each goes through CLIP's hidden state of a chosen layer
// and Linear, gelu, Linear; the tiles' features are joined, freed of padding, and get newlines.
// LLaVA-NeXT-Video (modeling_llava_next_video.py) takes videos too: each frame's features are
// pooled before the projector, and frames follow each other without newlines.

#include <ATen/ATen.h>

#include <optional>

#include "engine/models/anyres.h"
#include "engine/models/decoder_model.h"
#include "engine/models/encoder_batch.h"
#include "engine/models/family.h"
#include "engine/models/llava_parts.h"

namespace saccade {
namespace {

// How a frame's features shrink.
struct FramePool {
  enum class Mode { kAverage, kMax, kConv };
  Mode mode = Mode::kAverage;
  int stride = 2;
};

struct NextConfig {
  LlavaConfig llava;
  AnyresPacking packing;
  std::optional<FramePool> frames;  // of the video family

  int frame_side() const { return packing.side / frames->stride; }
};

FramePool parse_pool(const JsonView& config) {
  FramePool pool;
  pool.stride = config.positive_int("spatial_pool_stride", 2);
  const std::string mode = config.string("spatial_pool_mode", "average");
  if (mode == "max") {
    pool.mode = FramePool::Mode::kMax;
  } else if (mode == "conv") {
    pool.mode = FramePool::Mode::kConv;
  } else if (mode != "average") {
    config.fail("spatial_pool_mode", "expected average, max or conv, got " + printable(mode));
  }
  return pool;
}

NextConfig parse_config(const ModelFolder& folder) {
  NextConfig config{LlavaConfig::parse(folder, {}), {}, {}};
  require_square_tiles(folder, config.llava);
  config.packing = {.side = config.llava.vision.patches_per_side()};
  if (folder.model_type() == "llava_next") return config;
  config.frames = parse_pool(folder.config());
  if (config.packing.side % config.frames->stride != 0) {
    folder.config().fail(
        "spatial_pool_stride",
        "does not divide the tower's " + std::to_string(config.packing.side) + " patches a side");
  }
  return config;
}

class LlavaNext : public DecoderModel {
 public:
  LlavaNext(const NextConfig& config, const WeightScope& root)
      : DecoderModel(
            Decoder(config.llava.text, root("language_model")("model"), root("language_model"))),
        config_(config),
        tower_(config.llava, root("vision_tower")),
        projector_(config.llava, root("multi_modal_projector")),
        newline_(root.tensor("image_newline", {config.llava.text.hidden_size})) {
    if (!config.frames || config.frames->mode != FramePool::Mode::kConv) return;
    const int64_t d = config.llava.vision.hidden_size, s = config.frames->stride;
    const WeightScope pool = root("vision_resampler")("pool");
    pool_weight_ = pool.tensor("weight", {d, d, s, s});
    pool_bias_ = pool.tensor("bias", {d});
  }

  std::vector<at::Tensor> encode(const std::vector<const EncoderInput*>& inputs) override {
    const int side = config_.llava.vision.image_size;
    const at::Tensor features = tower_.features(stack_pixels(inputs, side, side));
    std::vector<at::Tensor> tokens;
    int64_t first = 0;
    for (const EncoderInput* input : inputs) {
      const MediaItem& item = *input->media;
      const at::Tensor own = features.narrow(0, first, item.frames);
      tokens.push_back(item.kind == MediaKind::kVideo
                           ? projector_(pool(own)).flatten(0, 1)
                           : config_.packing.pack(projector_(own), item, newline_));
      first += item.frames;
    }
    return tokens;
  }

 private:
  // [frames, side * side, D] -> [frames, frame_side^2, D]
  at::Tensor pool(const at::Tensor& features) const {
    if (!config_.frames) throw std::invalid_argument("this model takes no videos");
    const int64_t side = config_.packing.side, stride = config_.frames->stride;
    const at::Tensor grid =
        features.transpose(1, 2).reshape({features.size(0), features.size(2), side, side});
    return pooled(grid, stride).flatten(2).transpose(1, 2);
  }

  at::Tensor pooled(const at::Tensor& grid, int64_t stride) const {
    switch (config_.frames->mode) {
      case FramePool::Mode::kMax:
        return at::max_pool2d(grid, {stride, stride});
      case FramePool::Mode::kConv:
        return at::conv2d(grid, pool_weight_, pool_bias_, {stride, stride});
      case FramePool::Mode::kAverage:
        break;
    }
    return at::avg_pool2d(grid, {stride, stride});
  }

  NextConfig config_;
  LlavaTower tower_;
  LlavaProjector projector_;
  at::Tensor newline_;      // [H]
  at::Tensor pool_weight_;  // [D, D, stride, stride], of kConv
  at::Tensor pool_bias_;    // [D]
};

ModelInfo describe(const ModelFolder& folder) {
  const NextConfig config = parse_config(folder);
  ModelInfo info = describe_decoder(folder, config.llava.text);
  info.placement = MediaPlacement::kAtPlaceholder;
  info.image_token = image_token_id(folder, config.frames ? 32001 : 32000, config.llava.text);
  info.max_images = 64;
  if (config.frames) {
    info.video_token = video_token_id(folder, 32000, config.llava.text);
    info.max_videos = 16;
    info.frames = {.num_frames = 8};
  }
  const int side = config.llava.vision.image_size;
  info.encoder_input = {side, side};
  info.image_tokens = [config](const MediaLayout& layout) {
    if (layout.kind == MediaKind::kImage) return config.packing.tokens(layout);
    return layout.parts * config.frame_side() * config.frame_side();
  };
  info.builtin_chat_template = kVicunaTemplate;
  return info;
}

std::unique_ptr<VisionLanguageModel> build(const ModelFolder& folder, const WeightScope& root) {
  return std::make_unique<LlavaNext>(parse_config(folder), root);
}

std::vector<std::string> summary(const ModelFolder& folder) {
  const NextConfig config = parse_config(folder);
  std::string tokens = std::to_string(config.llava.tokens_per_tile()) +
                       " tokens per tile, tiles of the best fitting resolution";
  if (config.frames) {
    tokens += ", " + std::to_string(config.frame_side() * config.frame_side()) +
              " tokens per video frame";
  }
  return llava_summary(config.llava, tokens);
}

ModelFamily family_of(std::string_view model_type) {
  return {model_type, llava_renames(), llava_unread(), describe, build, summary};
}

}  // namespace

const ModelFamily& llava_next_family() {
  static const ModelFamily family = family_of("llava_next");
  return family;
}

const ModelFamily& llava_next_video_family() {
  static const ModelFamily family = family_of("llava_next_video");
  return family;
}

}  // namespace saccade
