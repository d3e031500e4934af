// LLaVA 1 and 1.5 (Liu et al. 2023; transformers' modeling_llava.py): CLIP's hidden state of a
// chosen layer, without its CLS row -> Linear, gelu, Linear -> a LLaMA decoder. Visual tokens stand
// where the template writes the placeholder.

#include <ATen/ATen.h>

#include <algorithm>

#include "engine/models/decoder_model.h"
#include "engine/models/encoder_batch.h"
#include "engine/models/family.h"
#include "engine/models/vit.h"

namespace saccade {
namespace {

struct LlavaConfig {
  VitConfig vision;
  DecoderConfig text;
  std::vector<int> feature_layers;  // hidden states whose features are concatenated, 0 = embeddings
  bool drop_class_token = true;
  bool projector_bias = true;
  Activation projector_activation = Activation::kGelu;

  int tokens_per_image() const { return vision.num_positions() - (drop_class_token ? 1 : 0); }
  int blocks() const { return *std::max_element(feature_layers.begin(), feature_layers.end()); }
};

VitConfig parse_vision(const ModelFolder& folder) {
  if (folder.config().object("vision_config")) {
    const JsonView vision = folder.section("vision_config");
    const std::string type = vision.string("model_type", "clip_vision_model");
    if (type != "clip_vision_model") {
      vision.fail("model_type",
                  "tower " + printable(type) + " is not supported (known: clip_vision_model)");
    }
    return VitConfig::clip(vision);
  }
  // The reference class's own tower: CLIP ViT-L/14 at 336 pixels.
  static const Json large = parse_json(
      R"({"intermediate_size": 4096, "hidden_size": 1024, "patch_size": 14, "image_size": 336,
          "num_hidden_layers": 24, "num_attention_heads": 16})",
      "config.json");
  return VitConfig::clip(JsonView(large, "config.json: vision_config"));
}

std::vector<int> parse_feature_layers(const JsonView& config, int num_layers) {
  std::vector<int> layers = config.int_or_int_list("vision_feature_layer");
  if (layers.empty() && config.has("vision_feature_layer")) {
    config.fail("vision_feature_layer", "names no layer");
  }
  if (layers.empty()) layers = {-2};
  for (int& layer : layers) {
    const int index = layer < 0 ? num_layers + 1 + layer : layer;
    if (index < 0 || index > num_layers) {
      config.fail("vision_feature_layer", "the tower has no hidden state " + std::to_string(layer));
    }
    layer = index;
  }
  return layers;
}

LlavaConfig parse_config(const ModelFolder& folder) {
  const JsonView config = folder.config();
  LlavaConfig llava;
  llava.vision = parse_vision(folder);
  llava.text = parse_text_config(folder, "llama");
  llava.text.logit_soft_cap = 0;  // the reference's head is LLaVA's own, which caps nothing
  llava.feature_layers = parse_feature_layers(config, llava.vision.num_layers);
  const std::string strategy = config.string("vision_feature_select_strategy", "default");
  if (strategy != "default" && strategy != "full") {
    config.fail("vision_feature_select_strategy",
                "expected \"default\" or \"full\", got " + printable(strategy));
  }
  llava.drop_class_token = strategy == "default";
  llava.projector_bias = config.boolean("multimodal_projector_bias", true);
  llava.projector_activation = parse_activation(config.string("projector_hidden_act", "gelu"),
                                                "config.json: projector_hidden_act");
  return llava;
}

class Llava : public DecoderModel {
 public:
  Llava(const LlavaConfig& config, const WeightScope& root)
      : DecoderModel(Decoder(config.text, root("language_model")("model"), root("language_model"))),
        config_(config),
        tower_(config.vision, root("vision_tower"), config.blocks(), /*with_post_norm=*/false),
        linear1_(root("multi_modal_projector")("linear_1"),
                 config.vision.hidden_size * int64_t(config.feature_layers.size()),
                 config.text.hidden_size, bias(config)),
        linear2_(root("multi_modal_projector")("linear_2"), config.text.hidden_size,
                 config.text.hidden_size, bias(config)) {}

  std::vector<at::Tensor> encode(const std::vector<const EncoderInput*>& inputs) override {
    const int side = config_.vision.image_size;
    const at::Tensor features = select(stack_pixels(inputs, side, side));
    const at::Tensor tokens = linear2_(activate(linear1_(features), config_.projector_activation));
    return join_parts(tokens, inputs);
  }

 private:
  static Bias bias(const LlavaConfig& config) {
    return config.projector_bias ? Bias::kRequired : Bias::kNone;
  }

  // pixels [n, 3, S, S] -> [n, tokens_per_image, hidden * layers]
  at::Tensor select(const at::Tensor& pixels) const {
    std::vector<int> ascending = config_.feature_layers;
    std::sort(ascending.begin(), ascending.end());
    const std::vector<at::Tensor> states = tower_.hidden_states(pixels, ascending);
    std::vector<at::Tensor> chosen;
    for (const int layer : config_.feature_layers) {
      const auto place = std::lower_bound(ascending.begin(), ascending.end(), layer);
      const at::Tensor& state = states[place - ascending.begin()];
      const int64_t skip = config_.drop_class_token ? 1 : 0;
      chosen.push_back(state.narrow(1, skip, state.size(1) - skip));
    }
    return at::cat(chosen, -1);
  }

  LlavaConfig config_;
  Vit tower_;
  Linear linear1_;
  Linear linear2_;
};

ModelInfo describe(const ModelFolder& folder) {
  const LlavaConfig config = parse_config(folder);
  ModelInfo info = describe_decoder(folder, config.text);
  info.placement = MediaPlacement::kAtPlaceholder;
  info.image_token = image_token_id(folder, 32000, config.text);
  info.max_images = 64;
  info.encoder_input = {config.vision.image_size, config.vision.image_size};
  info.image_tokens = [count = config.tokens_per_image()](const MediaLayout&) { return count; };
  // LLaVA-1.5's released folders have no chat template; this is the prompt it was tuned on.
  info.builtin_chat_template =
      "{% for message in messages %}"
      "{% if message['role'] == 'system' %}{{ message['content'] }} "
      "{% elif message['role'] == 'user' %}USER: "
      "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
      "{% for part in message['content'] if part['type'] == 'image' %}<image>\n{% endfor %}"
      "{% for part in message['content'] if part['type'] == 'text' %}{{ part['text'] }}"
      "{% endfor %}{% endif %} "
      "{% elif message['role'] == 'assistant' %}ASSISTANT: "
      "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
      "{% for part in message['content'] if part['type'] == 'text' %}{{ part['text'] }}"
      "{% endfor %}{% endif %} {% endif %}{% endfor %}"
      "{% if add_generation_prompt %}ASSISTANT:{% endif %}";
  return info;
}

std::unique_ptr<VisionLanguageModel> build(const ModelFolder& folder, const WeightScope& root) {
  return std::make_unique<Llava>(parse_config(folder), root);
}

std::vector<std::string> summary(const ModelFolder& folder) {
  const LlavaConfig config = parse_config(folder);
  return {vit_summary(config.vision),
          "connector: 2-layer MLP on " + std::to_string(config.feature_layers.size()) +
              " hidden state(s), " + std::to_string(config.tokens_per_image()) +
              " tokens per image",
          decoder_summary(config.text)};
}

}  // namespace

const ModelFamily& llava_family() {
  // Saved by 4.x: vision_tower.vision_model.*; by 5.x: vision_tower.*; in memory since 4.52:
  // model.*
  static const ModelFamily family = {
      "llava",
      {{"model.language_model.", "language_model.model."},
       {"lm_head.", "language_model.lm_head."},
       {"model.vision_tower.vision_model.", "vision_tower."},
       {"model.vision_tower.", "vision_tower."},
       {"vision_tower.vision_model.", "vision_tower."},
       {"model.multi_modal_projector.", "multi_modal_projector."}},
      // What lies behind the chosen hidden state is never run.
      {"rotary_emb.inv_freq", "position_ids", "vision_tower.post_layernorm.",
       "vision_tower.encoder.layers."},
      describe,
      build,
      summary};
  return family;
}

}  // namespace saccade
