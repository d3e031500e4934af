// BLIP-2 (Li et al. 2023; transformers' modeling_blip_2.py) and InstructBLIP (Dai et al. 2023;
// modeling_instructblip.py): EVA ViT with its final norm and CLS row -> Q-Former, which in
// InstructBLIP also reads the instruction -> Linear -> a decoder. Visual tokens stand before the
// whole prompt, BOS included. InstructBlipVideo (modeling_instructblipvideo.py) takes four frames
// of a video instead, each through all of this; their visual tokens follow each other.

#include <ATen/ATen.h>

#include <map>

#include "engine/models/decoder_model.h"
#include "engine/models/encoder_batch.h"
#include "engine/models/family.h"
#include "engine/models/qformer.h"
#include "engine/models/vit.h"

namespace saccade {
namespace {

// The length the published instruction tokenizer truncates to.
constexpr int kMaxInstructionTokens = 512;
// Fixed in the reference's processor.
constexpr int kVideoFrames = 4;

struct BlipConfig {
  VitConfig vision;
  QFormerConfig qformer;
  DecoderConfig text;
};

bool takes_videos(const ModelFolder& folder) { return folder.model_type() == "instructblipvideo"; }

bool reads_instruction(const ModelFolder& folder) {
  return folder.model_type() == "instructblip" || takes_videos(folder);
}

// Flan-T5 variants: nothing here runs an encoder-decoder.
void refuse_encoder_decoder(const ModelFolder& folder) {
  const JsonView text = folder.section("text_config");
  const std::string type = text.string("model_type", "opt");
  if (type == "t5") {
    text.fail("model_type",
              "\"t5\" is an encoder-decoder language model; only decoders are "
              "supported");
  }
  if (!folder.config().boolean("use_decoder_only_language_model", true)) {
    folder.config().fail("use_decoder_only_language_model",
                         "an encoder-decoder language model is not supported");
  }
}

BlipConfig parse_config(const ModelFolder& folder) {
  refuse_encoder_decoder(folder);
  const JsonView config = folder.config();
  BlipConfig blip;
  blip.vision = VitConfig::blip(folder.section("vision_config"));
  blip.qformer = QFormerConfig::parse(folder.section("qformer_config"),
                                      config.positive_int("num_query_tokens", 32));
  blip.qformer.reads_text = reads_instruction(folder);
  // The reference sets the cross-attention's input width to the tower's, whatever the file says.
  blip.qformer.encoder_hidden_size = blip.vision.hidden_size;
  blip.text = parse_text_config(folder, "opt");
  return blip;
}

class Blip : public DecoderModel {
 public:
  Blip(const BlipConfig& config, const WeightScope& root)
      : DecoderModel(Decoder(config.text, root("language_model"))),
        config_(config),
        tower_(config.vision, root("vision_model"), config.vision.num_layers,
               /*with_post_norm=*/true),
        qformer_(config.qformer, root("qformer"),
                 root.tensor("query_tokens",
                             {1, config.qformer.num_queries, config.qformer.hidden_size})),
        projection_(root("language_projection"), config.qformer.hidden_size,
                    config.text.hidden_size, Bias::kRequired) {}

  std::vector<at::Tensor> encode(const std::vector<const EncoderInput*>& inputs) override {
    return connect(inputs, tower(inputs));
  }

  std::vector<at::Tensor> tower(const std::vector<const EncoderInput*>& inputs) override {
    const int side = config_.vision.image_size;
    const at::Tensor pixels = stack_pixels(inputs, side, side);
    const at::Tensor images =
        tower_.post_norm(tower_.hidden_states(pixels, {config_.vision.num_layers})[0]);
    return split_parts(images, inputs);
  }

  std::vector<at::Tensor> connect(const std::vector<const EncoderInput*>& inputs,
                                  const std::vector<at::Tensor>& towers) override {
    std::vector<at::Tensor> tokens(inputs.size());
    for (const auto& [length, frames] : by_instruction_length(inputs)) {
      std::vector<at::Tensor> images;  // [1, patches, width] each
      for (const Frame& frame : frames) {
        images.push_back(towers[frame.input].narrow(0, frame.part, 1));
      }
      const at::Tensor image = at::cat(images);
      const at::Tensor ids = stack_instructions(inputs, frames, length).to(image.device());
      const at::Tensor projected = projection_(qformer_(image, ids));
      // A video's frames stand side by side: [frames, queries, H] -> [frames * queries, H].
      for (size_t i = 0; i < frames.size();) {
        const int64_t count = inputs[frames[i].input]->media->frames;
        tokens[frames[i].input] = projected.narrow(0, static_cast<int64_t>(i), count).flatten(0, 1);
        i += static_cast<size_t>(count);
      }
    }
    return tokens;
  }

 private:
  struct Frame {
    size_t input;  // whose picture, or frame of a video, it is
    int64_t part;  // of that input
  };

  // Frames whose instructions are equally long form one batch without padding.
  static std::map<size_t, std::vector<Frame>> by_instruction_length(
      const std::vector<const EncoderInput*>& inputs) {
    std::map<size_t, std::vector<Frame>> groups;
    for (size_t i = 0; i < inputs.size(); ++i) {
      std::vector<Frame>& group = groups[inputs[i]->instruction.size()];
      for (int part = 0; part < inputs[i]->media->frames; ++part) group.push_back({i, part});
    }
    return groups;
  }

  // [frames, length]
  static at::Tensor stack_instructions(const std::vector<const EncoderInput*>& inputs,
                                       const std::vector<Frame>& frames, size_t length) {
    const auto count = static_cast<int64_t>(frames.size());
    at::Tensor ids = at::empty({count, static_cast<int64_t>(length)}, at::kInt);
    int32_t* out = ids.data_ptr<int32_t>();
    for (const Frame& frame : frames) {
      const std::vector<TokenId>& instruction = inputs[frame.input]->instruction;
      out = std::copy(instruction.begin(), instruction.end(), out);
    }
    return ids;
  }

  BlipConfig config_;
  Vit tower_;
  QFormer qformer_;
  Linear projection_;
};

// Ours, for MiniGPT-4 (Zhu et al. 2023): its pictures stand inside the prompt, where the template
// says.
MediaPlacement placement_of(const ModelFolder& folder) {
  const std::string name = folder.config().string("image_placement", "before_prompt");
  if (name == "before_prompt") return MediaPlacement::kBeforePrompt;
  if (name == "placeholder" && !reads_instruction(folder)) return MediaPlacement::kAtPlaceholder;
  folder.config().fail("image_placement",
                       "expected \"before_prompt\" or, for blip-2, "
                       "\"placeholder\", got " +
                           printable(name));
}

// Patches and the CLS row, in rows of the decoder's width.
int rows_of_tower(const BlipConfig& config) {
  const int64_t side = config.vision.patches_per_side();
  const int64_t values = (side * side + 1) * config.vision.hidden_size;
  return static_cast<int>((values + config.text.hidden_size - 1) / config.text.hidden_size);
}

ModelInfo describe(const ModelFolder& folder) {
  const BlipConfig config = parse_config(folder);
  ModelInfo info = describe_decoder(folder, config.text);
  info.placement = placement_of(folder);
  // Old files name no placeholder; its embedding is never read, so any id does.
  if (takes_videos(folder)) {
    info.video_token = video_token_id(folder, 0, config.text);
    info.max_videos = 1;
    info.frames = {.num_frames = kVideoFrames, .exact = true};
  } else {
    info.image_token = image_token_id(folder, 0, config.text);
    info.max_images = info.placement == MediaPlacement::kBeforePrompt ? 1 : 64;
  }
  info.encoder_input = {config.vision.image_size, config.vision.image_size};
  info.image_tokens = [count = config.qformer.num_queries](const MediaLayout& layout) {
    return layout.parts * count;
  };
  info.instruction_to_connector = config.qformer.reads_text;
  if (config.qformer.reads_text) {
    info.max_instruction_tokens = std::min(kMaxInstructionTokens, config.qformer.max_positions);
    info.tower_rows = rows_of_tower(config);
  }
  return info;
}

std::unique_ptr<VisionLanguageModel> build(const ModelFolder& folder, const WeightScope& root) {
  return std::make_unique<Blip>(parse_config(folder), root);
}

std::vector<std::string> summary(const ModelFolder& folder) {
  const BlipConfig config = parse_config(folder);
  return {vit_summary(config.vision),
          "connector: " + std::string(config.qformer.reads_text ? "instruction-aware " : "") +
              "Q-Former, " + std::to_string(config.qformer.num_layers) + " layers, width " +
              std::to_string(config.qformer.hidden_size) + ", " +
              std::to_string(config.qformer.num_queries) + " tokens per " +
              (takes_videos(folder) ? "frame" : "image"),
          decoder_summary(config.text)};
}

ModelFamily make_family(std::string_view model_type) {
  return {model_type,
          {{"model.language_model.", "language_model.model."},
           {"model.vision_model.", "vision_model."},
           {"model.qformer.", "qformer."},
           {"model.query_tokens", "query_tokens"},
           {"model.language_projection.", "language_projection."},
           {"lm_head.", "language_model.lm_head."}},
          {"rotary_emb.inv_freq", "position_ids"},
          describe,
          build,
          summary};
}

}  // namespace

const ModelFamily& blip2_family() {
  static const ModelFamily family = make_family("blip-2");
  return family;
}

const ModelFamily& instructblip_family() {
  static const ModelFamily family = make_family("instructblip");
  return family;
}

const ModelFamily& instructblipvideo_family() {
  static const ModelFamily family = make_family("instructblipvideo");
  return family;
}

}  // namespace saccade
