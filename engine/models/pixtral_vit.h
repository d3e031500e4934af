#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "engine/core/media.h"
#include "engine/layers/activation.h"
#include "engine/layers/linear.h"
#include "engine/layers/norm.h"
#include "engine/models/gated_mlp.h"
#include "engine/weights/json.h"
#include "engine/weights/library_version.h"

namespace saccade {

struct PixtralVitConfig {
  int hidden_size = 0;
  int intermediate_size = 0;
  int num_layers = 0;
  int num_heads = 0;
  int patch_size = 0;  // pixels a side
  // Rows and columns of the table of positions; 0: a position for any row and column. A column
  // beyond the table takes a place of the row below, as in the reference (transformers 4.x).
  int table_side = 0;
  double rope_theta = 10000.0;
  Activation activation = Activation::kGelu;

  // The reference class's, for absent fields.
  struct Defaults {
    int patch_size = 16;
    int image_size = 1024;
  };
  // As that release of the library reads it.
  static PixtralVitConfig parse(const JsonView& config, LibraryVersion library_version,
                                const Defaults& defaults);

  int head_dim() const { return hidden_size / num_heads; }
  // Whether the patches of such a picture all have a position.
  bool has_positions(ImageSize pixels) const;
};

// The tower of Pixtral (Agrawal et al. 2024; transformers' modeling_pixtral.py): patches of whole
// pictures of any size, 2D rotary positions, attention within a picture, RMSNorm, gated MLP, no
// biases and no final norm.
class PixtralVit {
 public:
  // Runs the first `blocks` blocks.
  PixtralVit(const PixtralVitConfig& config, const WeightScope& scope, int blocks);

  // Pictures [3, height, width]; what is left beside the last whole patch is cut off. -> of all
  // patches one after another the hidden states `layers` (0: the embeddings) side by side,
  // [patches, hidden * layers].
  at::Tensor features(const std::vector<at::Tensor>& pictures,
                      const std::vector<int>& layers) const;

 private:
  struct Block {
    Block(const PixtralVitConfig& config, const WeightScope& scope);

    RmsNorm attention_norm;
    Linear qkv;  // [3 * hidden, hidden], rows q | k | v
    Linear projection;
    RmsNorm mlp_norm;
    GatedMlp mlp;
  };

  at::Tensor attend(const Block& block, const at::Tensor& x, const at::Tensor& rope,
                    const std::vector<int64_t>& lengths) const;

  PixtralVitConfig config_;
  at::TensorOptions options_;  // of the weights
  Linear patches_;             // the patch convolution as a product
  RmsNorm norm_;
  std::vector<Block> blocks_;
};

std::string pixtral_vit_summary(const PixtralVitConfig& config);

}  // namespace saccade
