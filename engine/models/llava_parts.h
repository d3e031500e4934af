#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "engine/layers/activation.h"
#include "engine/layers/linear.h"
#include "engine/models/decoder_model.h"
#include "engine/models/model_folder.h"
#include "engine/models/vit.h"
#include "engine/weights/weight_map.h"

namespace saccade {

// What a class of the LLaVA line assumes where config.json is silent.
struct LlavaDefaults {
  std::string tower = "clip_vision_model";
  std::string decoder = "llama";
  int feature_layer = -2;
  std::string select_strategy = "default";
};

// The fields that all of the LLaVA line share: tower, chosen hidden states, projector, decoder.
struct LlavaConfig {
  VitConfig vision;
  DecoderConfig text;
  std::vector<int> feature_layers;  // hidden states whose features are concatenated, 0 = embeddings
  bool drop_first_row = true;       // CLIP's class token; of a tower without one, its first patch
  bool projector_bias = true;
  Activation projector_activation = Activation::kGelu;

  static LlavaConfig parse(const ModelFolder& folder, const LlavaDefaults& defaults);

  int tokens_per_tile() const { return vision.num_positions() - (drop_first_row ? 1 : 0); }
  int blocks() const;  // of the tower that have to run
};

// vision_feature_layer, counted from 0 (the embeddings) on; throws for states the tower has not.
std::vector<int> parse_feature_layers(const JsonView& config, int fallback, int num_layers);

// A vision tower cut off behind the deepest hidden state that is used.
class LlavaTower {
 public:
  LlavaTower(const LlavaConfig& config, const WeightScope& scope);

  // pixels [n, 3, S, S] -> [n, tokens_per_tile, hidden * layers]. Runs a few pictures at a time, so
  // that memory does not grow with the number of tiles.
  at::Tensor features(const at::Tensor& pixels) const { return features(pixels, drop_first_row_); }
  at::Tensor features(const at::Tensor& pixels, bool drop_first_row) const;

 private:
  at::Tensor slice(const at::Tensor& pixels, int64_t skip) const;

  std::vector<int> feature_layers_;
  bool drop_first_row_;
  Vit vit_;
};

// Linear, activation, Linear.
class LlavaProjector {
 public:
  LlavaProjector(const LlavaConfig& config, const WeightScope& scope);
  LlavaProjector(const WeightScope& scope, int64_t in, int64_t out, bool bias,
                 Activation activation);
  at::Tensor operator()(const at::Tensor& features) const;  // [..., hidden * layers] -> [..., H]

 private:
  Activation activation_;
  Linear linear1_;
  Linear linear2_;
};

// Throws LoadError when a tile's features are no square of patches: they could not be joined.
void require_square_tiles(const ModelFolder& folder, const LlavaConfig& config);

// For folders without a chat template: the prompt LLaVA-1.5 and NeXT over Vicuna were tuned on.
extern const char* const kVicunaTemplate;

// Tensor names of the line. Saved by 4.x: vision_tower.vision_model.*; by 5.x: vision_tower.*; in
// memory since 4.52: model.*
std::vector<Rename> llava_renames();
// What lies behind the chosen hidden state is never run, nor is SigLIP's pooling head.
std::vector<std::string> llava_unread();

// One line each for tower and connector; `tokens` tells how many visual tokens there are.
std::vector<std::string> llava_summary(const LlavaConfig& config, const std::string& tokens);

}  // namespace saccade
