// Pixtral (Agrawal et al. 2024; transformers' modeling_llava.py over modeling_pixtral.py) and
// Mistral Small 3.1 (modeling_mistral3.py): whole pictures of their own size through PixtralVit ->
// Linear, activation, Linear -> a Mistral decoder. Mistral 3 has a norm, and merges squares of
// patches, in front of the two layers. The prompt shows a picture row by row, a break behind each.

#include "engine/models/pixtral.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <optional>

#include "engine/models/decoder_model.h"
#include "engine/models/encoder_batch.h"
#include "engine/models/family.h"
#include "engine/models/llava_parts.h"
#include "engine/models/pixtral_vit.h"
#include "engine/weights/file_exists.h"

namespace saccade {
namespace {

struct PixtralConfig {
  PixtralVitConfig vision;
  DecoderConfig text;
  std::vector<int> feature_layers;  // hidden states whose features are concatenated
  bool projector_bias = true;
  Activation projector_activation = Activation::kGelu;
  bool merges = false;  // Mistral 3
  int merge_size = 1;   // patches of each axis that become one visual token

  int unit() const { return vision.patch_size * merge_size; }  // pixels a side of a visual token
  int blocks() const { return *std::max_element(feature_layers.begin(), feature_layers.end()); }
  // Rows and columns of visual tokens.
  std::pair<int, int> grid(ImageSize size) const {
    return {size.height / unit(), size.width / unit()};
  }
};

PixtralConfig parse_config(const ModelFolder& folder) {
  const JsonView config = folder.config();
  PixtralConfig pixtral;
  pixtral.merges = folder.model_type() == "mistral3";
  if (const JsonView vision = folder.section("vision_config");
      vision.string("model_type", "pixtral") != "pixtral") {
    vision.fail("model_type", "the tower has to be a pixtral");
  }
  PixtralVitConfig::Defaults tower;
  if (pixtral.merges && !config.object("vision_config")) tower = {14, 1540};  // Mistral3Config's
  pixtral.vision =
      PixtralVitConfig::parse(folder.section("vision_config"), folder.library_version(), tower);
  pixtral.text = parse_backbone_config(folder, pixtral.merges ? "mistral" : "llama");
  pixtral.feature_layers =
      parse_feature_layers(config, pixtral.merges ? -1 : -2, pixtral.vision.num_layers);
  if (pixtral.merges) {
    pixtral.merge_size = config.positive_int("spatial_merge_size", 2);
    if (pixtral.feature_layers.size() > 1) {
      config.fail("vision_feature_layer", "the norm behind the tower takes one hidden state");
    }
  } else if (config.string("vision_feature_select_strategy", "default") != "full") {
    config.fail("vision_feature_select_strategy", "a Pixtral tower needs \"full\"");
  }
  pixtral.projector_bias = config.boolean("multimodal_projector_bias", !pixtral.merges);
  pixtral.projector_activation = parse_activation(config.string("projector_hidden_act", "gelu"),
                                                  "config.json: projector_hidden_act");
  return pixtral;
}

// Mistral 3: norm, then squares of patches -> one row each.
class PatchMerger {
 public:
  PatchMerger(const PixtralConfig& config, const WeightScope& scope)
      : merge_(config.merge_size),
        norm_(scope("norm"), config.vision.hidden_size, config.text.norm_eps),
        layer_(scope("patch_merger")("merging_layer"),
               int64_t{config.vision.hidden_size} * merge_ * merge_, config.vision.hidden_size,
               Bias::kNone) {}

  // [patches of all pictures, D] -> [squares, D]; `grids`: rows and columns of patches. What is
  // left beside the last whole square is dropped.
  at::Tensor operator()(const at::Tensor& x,
                        const std::vector<std::pair<int64_t, int64_t>>& grids) const {
    const at::Tensor rows = norm_(x);
    const int64_t m = merge_, width = x.size(1);
    std::vector<at::Tensor> squares;
    int64_t first = 0;
    for (const auto& [height, columns] : grids) {
      const int64_t down = height / m, across = columns / m;
      squares.push_back(rows.narrow(0, first, height * columns)
                            .view({height, columns, width})
                            .narrow(0, 0, down * m)
                            .narrow(1, 0, across * m)
                            .reshape({down, m, across, m, width})
                            .permute({0, 2, 4, 1, 3})  // a channel's square lies together
                            .reshape({down * across, width * m * m}));
      first += height * columns;
    }
    return layer_(at::cat(squares));
  }

 private:
  int64_t merge_;
  RmsNorm norm_;
  Linear layer_;
};

class Pixtral : public DecoderModel {
 public:
  Pixtral(const PixtralConfig& config, const WeightScope& root)
      : DecoderModel(Decoder(config.text, root("language_model")("model"), root("language_model"))),
        config_(config),
        tower_(config.vision, root("vision_tower"), config.blocks()),
        projector_(root("multi_modal_projector"),
                   config.vision.hidden_size * static_cast<int64_t>(config.feature_layers.size()),
                   config.text.hidden_size, config.projector_bias, config.projector_activation) {
    if (config.merges) merger_.emplace(config, root("multi_modal_projector"));
  }

  // The patches of all pictures run as one packed batch.
  std::vector<at::Tensor> encode(const std::vector<const EncoderInput*>& inputs) override {
    const int64_t patch = config_.vision.patch_size;
    std::vector<at::Tensor> pictures;
    std::vector<std::pair<int64_t, int64_t>> grids;
    std::vector<int64_t> tokens;
    for (const EncoderInput* input : inputs) {
      pictures.push_back(item_parts(*input)[0]);
      const int64_t height = pictures.back().size(1), width = pictures.back().size(2);
      grids.emplace_back(height / patch, width / patch);
      tokens.push_back((height / config_.unit()) * (width / config_.unit()));
    }
    at::Tensor rows = tower_.features(pictures, config_.feature_layers);
    if (merger_) rows = (*merger_)(rows, grids);
    return projector_(rows).split_with_sizes(tokens);
  }

 private:
  PixtralConfig config_;
  PixtralVit tower_;
  std::optional<PatchMerger> merger_;
  LlavaProjector projector_;
};

// What the processor's file says of the prompt, and whether its patches are the tower's.
struct RowMarks {
  std::string row = "[IMG_BREAK]";  // behind each row of visual tokens ...
  std::string last = "[IMG_END]";   // ... but the last
};

RowMarks read_marks(const ModelFolder& folder, const PixtralConfig& config) {
  RowMarks marks;
  int patch = 16, merge = 1;
  const std::filesystem::path path = folder.path() / "processor_config.json";
  const std::string name = path.filename().string();
  if (!file_exists(path)) {
    if (patch == config.unit()) return marks;
    throw LoadError(name + ": missing; its patch_size would be the tower's " +
                    std::to_string(config.unit()));
  }
  const JsonFile file(path);
  const JsonView processor = file.root();
  patch = processor.positive_int("patch_size", patch);
  merge = processor.positive_int("spatial_merge_size", merge);
  if (int64_t{patch} * merge != config.unit()) {
    processor.fail("patch_size", "times spatial_merge_size is not the " +
                                     std::to_string(config.unit()) +
                                     " pixels that a visual token of the tower has");
  }
  marks.row = processor.string("image_break_token", marks.row);
  marks.last = processor.string("image_end_token", marks.last);
  return marks;
}

std::string picture_text(std::pair<int, int> grid, const RowMarks& marks,
                         const std::string& placeholder) {
  std::string text;
  for (int row = 0; row < grid.first; ++row) {
    for (int column = 0; column < grid.second; ++column) text += placeholder;
    text += row + 1 < grid.first ? marks.row : marks.last;
  }
  return text;
}

}  // namespace

bool has_pixtral_tower(const ModelFolder& folder) {
  return folder.section("vision_config").string("model_type", "") == "pixtral";
}

ModelInfo describe_pixtral(const ModelFolder& folder) {
  const PixtralConfig config = parse_config(folder);
  ModelInfo info = describe_decoder(folder, config.text);
  info.placement = MediaPlacement::kAtPlaceholder;
  info.image_token = image_token_id(folder, config.merges ? 10 : 32000, config.text);
  info.max_images = 64;
  info.image_tokens = [config](const MediaLayout& layout) {
    const auto [rows, columns] = config.grid(layout.part);
    return config.vision.has_positions(layout.part) ? rows * columns : -1;
  };
  info.image_text = [config, marks = read_marks(folder, config)](const MediaLayout& layout,
                                                                 const std::string& placeholder) {
    return picture_text(config.grid(layout.part), marks, placeholder);
  };
  info.builtin_chat_template =
      "{{ bos_token }}{% for message in messages %}"
      "{% if message['role'] == 'assistant' %}"
      "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
      "{% for part in message['content'] if part['type'] == 'text' %}{{ part['text'] }}"
      "{% endfor %}{% endif %}{{ eos_token }}"
      "{% else %}{% set mark = 'SYSTEM_PROMPT' if message['role'] == 'system' else 'INST' %}"
      "{{ '[' + mark + ']' }}"
      "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
      "{% for part in message['content'] %}{% if part['type'] == 'image' %}[IMG]{% else %}"
      "{{ part['text'] }}{% endif %}{% endfor %}{% endif %}{{ '[/' + mark + ']' }}"
      "{% endif %}{% endfor %}";
  return info;
}

std::unique_ptr<VisionLanguageModel> build_pixtral(const ModelFolder& folder,
                                                   const WeightScope& root) {
  return std::make_unique<Pixtral>(parse_config(folder), root);
}

std::vector<std::string> pixtral_summary(const ModelFolder& folder) {
  const PixtralConfig config = parse_config(folder);
  return {pixtral_vit_summary(config.vision),
          std::string("connector: ") + (config.merges ? "norm, patch merger and " : "") +
              "2-layer MLP, one token for " + std::to_string(config.unit()) + "x" +
              std::to_string(config.unit()) + " pixels",
          decoder_summary(config.text)};
}

const ModelFamily& mistral3_family() {
  static const ModelFamily family = {"mistral3",       llava_renames(), llava_unread(),
                                     describe_pixtral, build_pixtral,   pixtral_summary};
  return family;
}

}  // namespace saccade
