#include "engine/models/llava_parts.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "engine/core/status.h"

namespace saccade {
namespace {

// The reference classes' own towers, for a file that describes none.
constexpr const char* kLargeClip =
    R"({"intermediate_size": 4096, "hidden_size": 1024, "patch_size": 14, "image_size": 336,
        "num_hidden_layers": 24, "num_attention_heads": 16})";
constexpr const char* kLargeSiglip =
    R"({"intermediate_size": 4304, "hidden_size": 1152, "patch_size": 14, "image_size": 384,
        "num_hidden_layers": 26, "num_attention_heads": 16})";

VitConfig parse_tower(const std::string& type, const JsonView& vision) {
  if (type == "clip_vision_model") return VitConfig::clip(vision);
  if (type == "siglip_vision_model") return VitConfig::siglip(vision);
  vision.fail("model_type",
              "tower " + printable(type) +
                  " is not supported (known: clip_vision_model, siglip_vision_model; of llava and "
                  "mistral3 pixtral)");
}

VitConfig parse_vision(const ModelFolder& folder, const std::string& default_type) {
  if (folder.config().object("vision_config")) {
    const JsonView vision = folder.section("vision_config");
    return parse_tower(vision.string("model_type", default_type), vision);
  }
  const bool siglip = default_type == "siglip_vision_model";
  const Json large = parse_json(siglip ? kLargeSiglip : kLargeClip, "config.json");
  return parse_tower(default_type, JsonView(large, "config.json: vision_config"));
}

}  // namespace

std::vector<int> parse_feature_layers(const JsonView& config, int fallback, int num_layers) {
  std::vector<int> layers = config.int_or_int_list("vision_feature_layer");
  if (layers.empty() && config.has("vision_feature_layer")) {
    config.fail("vision_feature_layer", "names no layer");
  }
  if (layers.empty()) layers = {fallback};
  for (int& layer : layers) {
    const int index = layer < 0 ? num_layers + 1 + layer : layer;
    if (index < 0 || index > num_layers) {
      config.fail("vision_feature_layer", "the tower has no hidden state " + std::to_string(layer));
    }
    layer = index;
  }
  return layers;
}

const char* const kVicunaTemplate =
    "{% for message in messages %}"
    "{% if message['role'] == 'system' %}{{ message['content'] }} "
    "{% elif message['role'] == 'user' %}USER: "
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] if part['type'] == 'image' %}<image>\n{% endfor %}"
    "{% for part in message['content'] if part['type'] == 'video' %}<video>\n{% endfor %}"
    "{% for part in message['content'] if part['type'] == 'text' %}{{ part['text'] }}"
    "{% endfor %}{% endif %} "
    "{% elif message['role'] == 'assistant' %}ASSISTANT: "
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] if part['type'] == 'text' %}{{ part['text'] }}"
    "{% endfor %}{% endif %} {% endif %}{% endfor %}"
    "{% if add_generation_prompt %}ASSISTANT:{% endif %}";

LlavaConfig LlavaConfig::parse(const ModelFolder& folder, const LlavaDefaults& defaults) {
  const JsonView config = folder.config();
  LlavaConfig llava;
  llava.vision = parse_vision(folder, defaults.tower);
  llava.text = parse_backbone_config(folder, defaults.decoder);
  llava.feature_layers =
      parse_feature_layers(config, defaults.feature_layer, llava.vision.num_layers);
  const std::string strategy =
      config.string("vision_feature_select_strategy", defaults.select_strategy);
  if (strategy != "default" && strategy != "full") {
    config.fail("vision_feature_select_strategy",
                "expected \"default\" or \"full\", got " + printable(strategy));
  }
  llava.drop_first_row = strategy == "default";
  llava.projector_bias = config.boolean("multimodal_projector_bias", true);
  llava.projector_activation = parse_activation(config.string("projector_hidden_act", "gelu"),
                                                "config.json: projector_hidden_act");
  return llava;
}

int LlavaConfig::blocks() const {
  return *std::max_element(feature_layers.begin(), feature_layers.end());
}

void require_square_tiles(const ModelFolder& folder, const LlavaConfig& config) {
  const int side = config.vision.patches_per_side();
  if (config.tokens_per_tile() == side * side) return;
  folder.config().fail("vision_feature_select_strategy",
                       "leaves " + std::to_string(config.tokens_per_tile()) +
                           " rows of a tile of " + std::to_string(side) + "x" +
                           std::to_string(side) + " patches");
}

LlavaTower::LlavaTower(const LlavaConfig& config, const WeightScope& scope)
    : feature_layers_(config.feature_layers),
      drop_first_row_(config.drop_first_row),
      vit_(config.vision, scope, config.blocks(), /*with_post_norm=*/false) {}

at::Tensor LlavaTower::features(const at::Tensor& pixels, bool drop_first_row) const {
  constexpr int64_t kAtOnce = 8;
  const int64_t skip = drop_first_row ? 1 : 0;
  if (pixels.size(0) <= kAtOnce) return slice(pixels, skip);
  std::vector<at::Tensor> slices;
  for (const at::Tensor& some : pixels.split(kAtOnce)) slices.push_back(slice(some, skip));
  return at::cat(slices);
}

at::Tensor LlavaTower::slice(const at::Tensor& pixels, int64_t skip) const {
  std::vector<int> ascending = feature_layers_;
  std::sort(ascending.begin(), ascending.end());
  const std::vector<at::Tensor> states = vit_.hidden_states(pixels, ascending);
  std::vector<at::Tensor> chosen;
  for (const int layer : feature_layers_) {
    const auto place = std::lower_bound(ascending.begin(), ascending.end(), layer);
    const at::Tensor& state = states[place - ascending.begin()];
    chosen.push_back(state.narrow(1, skip, state.size(1) - skip));
  }
  return at::cat(chosen, -1);
}

LlavaProjector::LlavaProjector(const LlavaConfig& config, const WeightScope& scope)
    : LlavaProjector(scope,
                     config.vision.hidden_size * static_cast<int64_t>(config.feature_layers.size()),
                     config.text.hidden_size, config.projector_bias, config.projector_activation) {}

LlavaProjector::LlavaProjector(const WeightScope& scope, int64_t in, int64_t out, bool bias,
                               Activation activation)
    : activation_(activation),
      linear1_(scope("linear_1"), in, out, bias ? Bias::kRequired : Bias::kNone),
      linear2_(scope("linear_2"), out, out, bias ? Bias::kRequired : Bias::kNone) {}

at::Tensor LlavaProjector::operator()(const at::Tensor& features) const {
  return linear2_(linear1_.activated(features, activation_));
}

std::vector<Rename> llava_renames() {
  return {{"model.language_model.", "language_model.model."},
          {"model.vision_resampler.", "vision_resampler."},
          {"lm_head.", "language_model.lm_head."},
          {"model.vision_tower.vision_model.", "vision_tower."},
          {"model.vision_tower.", "vision_tower."},
          {"vision_tower.vision_model.", "vision_tower."},
          {"model.multi_modal_projector.", "multi_modal_projector."},
          {"model.image_newline", "image_newline"}};
}

std::vector<std::string> llava_unread() {
  return {"rotary_emb.inv_freq",
          "position_ids",
          "vision_tower.post_layernorm.",
          "vision_tower.encoder.layers.",
          "vision_tower.transformer.layers.",
          "vision_tower.head."};
}

std::vector<std::string> llava_summary(const LlavaConfig& config, const std::string& tokens) {
  return {vit_summary(config.vision),
          "connector: 2-layer MLP on " + std::to_string(config.feature_layers.size()) +
              " hidden state(s), " + tokens,
          decoder_summary(config.text)};
}

}  // namespace saccade
