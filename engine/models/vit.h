#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <string>
#include <vector>

#include "engine/layers/activation.h"
#include "engine/layers/linear.h"
#include "engine/layers/norm.h"
#include "engine/weights/json.h"
#include "engine/weights/library_version.h"

namespace saccade {

// How a tower without a class token looks up the position of a patch in a table of side x side.
// NaViT (Dehghani et al. 2023) takes pictures of any size: a patch at the fraction i / n of the
// picture gets the table's row at that fraction. The reference library has had three formulas; they
// differ in rounding, the second one by a whole row, so a folder gets the one of its own version.
enum class PatchPositions {
  kTable,      // the picture has exactly the table's size
  kFractions,  // arange(0, 1 - 1e-6, 1 / n): up to 4.54, and what the models were trained with
  kShrunkFractions,  // i / n * (1 - 1e-6): 4.55 to 4.57; row i - 1 for patch i of a full grid
  kClampedFractions  // min(i * (1 / n), 1 - 1e-6): 5.x
};

// Rows of a table of `side` for `count` patches of one axis: [count] int64.
at::Tensor patch_positions(PatchPositions rule, int64_t count, int64_t side);

// One vision transformer (Dosovitskiy et al. 2020) with the differences between CLIP's, the BLIP
// family's EVA and SigLIP's towers as data.
struct VitConfig {
  int hidden_size = 0;
  int intermediate_size = 0;
  int num_layers = 0;
  int num_heads = 0;
  int image_size = 0;  // pixels a side
  int patch_size = 0;
  int channels = 3;
  double layer_norm_eps = 0;
  double post_norm_eps = 0;  // of post_layernorm
  Activation activation = Activation::kGelu;
  bool patch_bias = false;  // the patch convolution has one
  bool class_token = true;
  PatchPositions positions = PatchPositions::kTable;
  bool pre_layer_norm = false;  // CLIP normalises the embeddings (the name pre_layrnorm is real)
  bool fused_qkv = false;       // one qkv projection instead of three
  bool qkv_bias = true;

  // With the reference classes' defaults for absent fields.
  static VitConfig clip(const JsonView& config);
  static VitConfig idefics(const JsonView& config);
  static VitConfig blip(const JsonView& config);
  static VitConfig siglip(const JsonView& config);
  // SigLIP's, of pictures of any size: `defaults` are those of the family's class.
  static VitConfig navit(const JsonView& config, const VitConfig& defaults,
                         LibraryVersion library_version);

  int patches_per_side() const { return image_size / patch_size; }
  // Rows of the position table, CLS included.
  int num_positions() const { return patches_per_side() * patches_per_side() + class_token; }
};

// One block: x += attention(norm1(x)), x += mlp(norm2(x)), every row looking at every other.
class VitBlock {
 public:
  VitBlock(const VitConfig& config, const WeightScope& scope);
  at::Tensor operator()(const at::Tensor& x) const;  // [n, positions, hidden] -> the same

  // From now on attention reads what `insert` makes of its normalised input, row by row.
  using Insert = std::function<at::Tensor(const at::Tensor&)>;
  void insert_before_attention(Insert insert) { insert_ = std::move(insert); }

 private:
  at::Tensor attend(const at::Tensor& x) const;

  int64_t heads_;
  Activation activation_;
  LayerNorm norm1_;
  Insert insert_;  // empty: none
  Linear qkv_;     // [3 * hidden, hidden], rows q | k | v
  Linear projection_;
  LayerNorm norm2_;
  Linear fc1_;
  Linear fc2_;
};

class Vit {
 public:
  // Reads the first `blocks` blocks only: a family that takes hidden state -2 never runs the rest.
  // post_layernorm is read when `with_post_norm`.
  Vit(const VitConfig& config, const WeightScope& scope, int blocks, bool with_post_norm);

  // pixels [n, channels, height, width] -> hidden state 0 [n, positions, hidden]. With kTable the
  // picture is image_size x image_size; else positions are its own patches.
  at::Tensor embeddings(const at::Tensor& pixels) const;
  // Hidden state i -> i + 1, both [n, positions, hidden].
  at::Tensor block(int i, const at::Tensor& x) const { return blocks_[i](x); }
  at::Tensor post_norm(const at::Tensor& x) const { return post_norm_.front()(x); }
  // At load only.
  void insert_before_attention(int block, VitBlock::Insert insert) {
    blocks_.at(static_cast<size_t>(block)).insert_before_attention(std::move(insert));
  }

  // Hidden states by index (ascending, at most `blocks`), 0 being the embeddings.
  std::vector<at::Tensor> hidden_states(const at::Tensor& pixels,
                                        const std::vector<int>& indices) const;

  const VitConfig& config() const { return config_; }

 private:
  at::Tensor position_rows(int64_t rows, int64_t columns) const;

  VitConfig config_;
  Linear patches_;        // the patch convolution as a product: [hidden, channels * p * p]
  at::Tensor class_;      // [1, 1, hidden]; undefined without one
  at::Tensor positions_;  // [1, positions, hidden]
  std::vector<LayerNorm> pre_norm_;  // none or one
  std::vector<VitBlock> blocks_;
  std::vector<LayerNorm> post_norm_;  // none or one
};

std::string vit_summary(const VitConfig& config);

}  // namespace saccade
