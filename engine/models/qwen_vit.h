#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "engine/layers/activation.h"
#include "engine/layers/linear.h"
#include "engine/layers/norm.h"
#include "engine/weights/json.h"

namespace saccade {

// The vision tower of Qwen2-VL and Qwen2.5-VL, with what tells them apart as data.
struct QwenVitConfig {
  int hidden_size = 0;
  int intermediate_size = 0;
  int num_layers = 0;
  int num_heads = 0;
  int output_size = 0;  // the decoder's width
  int channels = 3;
  int patch_size = 0;           // pixels a side
  int temporal_patch_size = 0;  // frames that one patch spans
  int merge_size = 0;           // patches of each axis that become one visual token
  double rope_theta = 10000.0;  // fixed in the reference, but for releases that know "axial" rope
  Activation activation = Activation::kQuickGelu;
  bool rms_norm = false;                   // else LayerNorm
  bool gated_mlp = false;                  // down(act(gate) * up) with biases
  int window_size = 0;                     // pixels a side; 0: every block sees a whole frame
  std::vector<int> full_attention_blocks;  // with windows: the blocks that see a whole frame

  // With the reference classes' defaults for absent fields.
  static QwenVitConfig qwen2(const JsonView& config);
  static QwenVitConfig qwen2_5(const JsonView& config);

  int head_dim() const { return hidden_size / num_heads; }
  int unit() const { return patch_size * merge_size; }  // pixels a side of one visual token
  bool full_attention(int block) const;
};

// Patches of one picture or video: frames in pairs, rows and columns.
struct PatchGrid {
  int64_t frames = 0;
  int64_t rows = 0;
  int64_t columns = 0;
  int64_t size() const { return frames * rows * columns; }
};

// What the attention of several pictures' patches, one after another, needs to know of them.
struct PatchLayout {
  at::Tensor rope;                      // [2, patches, head_dim / 2] float32: cos and sin
  std::vector<int64_t> frame_lengths;   // patches of each frame
  std::vector<int64_t> window_lengths;  // of each window; empty: no windows
  at::Tensor order;    // [tokens] visual token that comes at each place, sorted by window
  at::Tensor restore;  // [tokens] place of each visual token in that order
};

// A ViT on packed patches of pictures of any size (Wang et al. 2024, Bai et al. 2025; transformers'
// modeling_qwen2_vl.py, modeling_qwen2_5_vl.py): 2D rotary positions, attention within a frame or
// a window of it, and a merger that makes one visual token of merge x merge patches.
class QwenVit {
 public:
  QwenVit(const QwenVitConfig& config, const WeightScope& scope);

  // Frames [frames, 3, height, width], sides whole visual tokens -> their patches in blocks of
  // merge x merge [patches, channels * temporal * p * p], the last frame repeated to fill a pair.
  // Throws std::invalid_argument for other sides.
  at::Tensor patches(const at::Tensor& frames, PatchGrid* grid) const;
  PatchLayout layout(const std::vector<PatchGrid>& grids) const;

  at::Tensor embeddings(const at::Tensor& patches) const;  // -> [patches, hidden]
  // Rows stand in layout.order, as `sorted` gives them.
  at::Tensor sorted(const at::Tensor& x, const PatchLayout& layout) const;
  at::Tensor block(int i, const at::Tensor& x, const PatchLayout& layout) const;
  // [patches, hidden] in layout.order -> [patches / merge^2, output] in the pictures' own.
  at::Tensor merge(const at::Tensor& x, const PatchLayout& layout) const;

  // The whole tower: visual tokens of each picture, [tokens, output].
  std::vector<at::Tensor> operator()(const std::vector<at::Tensor>& pictures) const;

  const QwenVitConfig& config() const { return config_; }

 private:
  using Norm = std::variant<LayerNorm, RmsNorm>;
  static Norm make_norm(const QwenVitConfig& config, const WeightScope& scope);

  struct Block {
    Block(const QwenVitConfig& config, const WeightScope& scope);

    Norm norm1;
    Linear qkv;  // [3 * hidden, hidden], rows q | k | v
    Linear projection;
    Norm norm2;
    Linear up;  // gated: rows gate | up
    Linear down;
  };

  at::Tensor attend(const Block& block, const at::Tensor& x, const at::Tensor& rope,
                    const std::vector<int64_t>& lengths) const;
  at::Tensor mlp(const Block& block, const at::Tensor& x) const;

  QwenVitConfig config_;
  at::TensorOptions options_;  // of the weights
  Linear patches_;             // the 3D patch convolution as a product
  std::vector<Block> blocks_;
  Norm merger_norm_;
  Linear merger1_;
  Linear merger2_;
};

std::string qwen_vit_summary(const QwenVitConfig& config);

}  // namespace saccade
