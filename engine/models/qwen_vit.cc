#include "engine/models/qwen_vit.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <numeric>
#include <optional>
#include <stdexcept>

#include "engine/core/status.h"
#include "engine/layers/attention.h"
#include "engine/models/segment_attention.h"

namespace saccade {
namespace {

constexpr double kNormEps = 1e-6;  // fixed in the reference

void read_common(const JsonView& config, QwenVitConfig& vit) {
  vit.num_layers = config.positive_int("depth", 32);
  vit.num_heads = config.positive_int("num_heads", 16);
  vit.channels = config.positive_int(config.has("in_channels") ? "in_channels" : "in_chans", 3);
  vit.patch_size = config.positive_int("patch_size", 14);
  vit.temporal_patch_size = config.positive_int("temporal_patch_size", 2);
  vit.merge_size = config.positive_int("spatial_merge_size", 2);
  const std::optional<JsonView> rope = config.object("rope_parameters");
  if (rope && rope->string("rope_type", "") == "axial") {
    vit.rope_theta = rope->number_in("rope_theta", vit.rope_theta, 1e-3, 1e18);
  }
}

void check(const JsonView& config, const QwenVitConfig& vit) {
  if (vit.hidden_size % vit.num_heads != 0 || vit.head_dim() % 4 != 0) {
    config.fail("num_heads", "does not make heads of a multiple of 4");
  }
  if (vit.channels != 3) config.fail("in_channels", "must be 3");
}

Linear patch_projection(const QwenVitConfig& c, const WeightScope& scope) {
  const at::Tensor weight = scope("patch_embed")("proj").tensor(
      "weight", {c.hidden_size, c.channels, c.temporal_patch_size, c.patch_size, c.patch_size});
  return Linear(weight.flatten(1), std::nullopt);
}

Linear first_of_mlp(const QwenVitConfig& c, const WeightScope& mlp) {
  if (!c.gated_mlp) return Linear(mlp("fc1"), c.hidden_size, c.intermediate_size, Bias::kRequired);
  return Linear({{mlp("gate_proj"), c.intermediate_size}, {mlp("up_proj"), c.intermediate_size}},
                c.hidden_size, Bias::kRequired);
}

// [rows * columns]: row (column) of each patch, in blocks of merge x merge.
at::Tensor in_blocks(const at::Tensor& grid, int64_t merge) {
  const int64_t rows = grid.size(0), columns = grid.size(1);
  return grid.reshape({rows / merge, merge, columns / merge, merge})
      .permute({0, 2, 1, 3})
      .flatten();
}

// cos and sin [2, patches, head_dim / 2]: half of the frequencies turn by the row, half by the
// column.
at::Tensor rope_tables(const QwenVitConfig& config, const std::vector<PatchGrid>& grids) {
  const int64_t dim = config.head_dim() / 2;
  const at::Tensor exponent = at::arange(0, dim, 2, at::kFloat) / dim;
  const at::Tensor frequency = 1.0 / at::pow(static_cast<float>(config.rope_theta), exponent);
  std::vector<at::Tensor> angles;
  for (const PatchGrid& grid : grids) {
    const at::Tensor row = at::arange(grid.rows, at::kFloat).unsqueeze(1);
    const at::Tensor column = at::arange(grid.columns, at::kFloat).unsqueeze(0);
    std::vector<at::Tensor> axes;
    for (const at::Tensor& axis : std::vector<at::Tensor>{row, column}) {
      const at::Tensor place = in_blocks(axis.expand({grid.rows, grid.columns}), config.merge_size);
      axes.push_back(place.unsqueeze(1) * frequency);
    }
    angles.push_back(at::cat(axes, 1).repeat({grid.frames, 1}));
  }
  const at::Tensor all = at::cat(angles);
  return at::stack({all.cos(), all.sin()});
}

// Visual tokens of one picture sorted by windows of `side` x `side`, and each window's length.
void append_windows(const PatchGrid& grid, int64_t merge, int64_t side, int64_t first,
                    std::vector<int64_t>& order, std::vector<int64_t>& lengths) {
  const int64_t rows = grid.rows / merge, columns = grid.columns / merge;
  for (int64_t t = 0; t < grid.frames; ++t) {
    for (int64_t top = 0; top < rows; top += side) {
      for (int64_t left = 0; left < columns; left += side) {
        const int64_t bottom = std::min(rows, top + side), right = std::min(columns, left + side);
        for (int64_t r = top; r < bottom; ++r) {
          for (int64_t c = left; c < right; ++c) {
            order.push_back(first + (t * rows + r) * columns + c);
          }
        }
        lengths.push_back((bottom - top) * (right - left) * merge * merge);
      }
    }
  }
}

at::Tensor normalized(const std::variant<LayerNorm, RmsNorm>& norm, const at::Tensor& x) {
  return std::visit([&](const auto& kind) { return kind(x); }, norm);
}

}  // namespace

QwenVitConfig QwenVitConfig::qwen2(const JsonView& config) {
  QwenVitConfig vit;
  read_common(config, vit);
  vit.hidden_size = config.positive_int("embed_dim", 1280);
  const double ratio = config.number_in("mlp_ratio", 4, 1e-3, 1e3);
  vit.intermediate_size = std::max(1, static_cast<int>(vit.hidden_size * ratio));
  vit.output_size = config.positive_int("hidden_size", 3584);
  vit.activation =
      parse_activation(config.string("hidden_act", "quick_gelu"), config.path() + ".hidden_act");
  check(config, vit);
  return vit;
}

QwenVitConfig QwenVitConfig::qwen2_5(const JsonView& config) {
  QwenVitConfig vit;
  read_common(config, vit);
  vit.hidden_size = config.positive_int("hidden_size", 3584);
  vit.intermediate_size = config.positive_int("intermediate_size", 3420);
  vit.output_size = config.positive_int("out_hidden_size", 3584);
  vit.activation =
      parse_activation(config.string("hidden_act", "silu"), config.path() + ".hidden_act");
  vit.rms_norm = true;
  vit.gated_mlp = true;
  vit.window_size = config.positive_int("window_size", 112);
  vit.full_attention_blocks = config.int_list("fullatt_block_indexes");
  if (!config.has("fullatt_block_indexes")) vit.full_attention_blocks = {7, 15, 23, 31};
  check(config, vit);
  if (vit.window_size < vit.unit()) config.fail("window_size", "is smaller than a visual token");
  return vit;
}

bool QwenVitConfig::full_attention(int block) const {
  const auto& blocks = full_attention_blocks;
  return window_size == 0 || std::find(blocks.begin(), blocks.end(), block) != blocks.end();
}

QwenVit::Norm QwenVit::make_norm(const QwenVitConfig& c, const WeightScope& scope) {
  if (c.rms_norm) return RmsNorm(scope, c.hidden_size, kNormEps);
  return LayerNorm(scope, c.hidden_size, kNormEps);
}

QwenVit::Block::Block(const QwenVitConfig& c, const WeightScope& scope)
    : norm1(make_norm(c, scope("norm1"))),
      qkv(scope("attn")("qkv"), c.hidden_size, int64_t{3} * c.hidden_size, Bias::kRequired),
      projection(scope("attn")("proj"), c.hidden_size, c.hidden_size, Bias::kRequired),
      norm2(make_norm(c, scope("norm2"))),
      up(first_of_mlp(c, scope("mlp"))),
      down(scope("mlp")(c.gated_mlp ? "down_proj" : "fc2"), c.intermediate_size, c.hidden_size,
           Bias::kRequired) {}

QwenVit::QwenVit(const QwenVitConfig& c, const WeightScope& scope)
    : config_(c),
      options_(at::device(scope.device()).dtype(scope.dtype())),
      patches_(patch_projection(c, scope)),
      merger_norm_(make_norm(c, scope("merger")("ln_q"))),
      merger1_(scope("merger")("mlp")(0), int64_t{c.hidden_size} * c.merge_size * c.merge_size,
               int64_t{c.hidden_size} * c.merge_size * c.merge_size, Bias::kRequired),
      merger2_(scope("merger")("mlp")(2), int64_t{c.hidden_size} * c.merge_size * c.merge_size,
               c.output_size, Bias::kRequired) {
  for (int i = 0; i < c.num_layers; ++i) blocks_.emplace_back(c, scope("blocks")(i));
}

at::Tensor QwenVit::patches(const at::Tensor& frames, PatchGrid* grid) const {
  const int64_t p = config_.patch_size, m = config_.merge_size, span = config_.temporal_patch_size;
  if (frames.size(2) % config_.unit() != 0 || frames.size(3) % config_.unit() != 0) {
    throw std::invalid_argument("the preprocessed picture is not made of whole visual tokens");
  }
  const int64_t missing = (span - frames.size(0) % span) % span;
  const at::Tensor last = frames.narrow(0, frames.size(0) - 1, 1);
  const at::Tensor whole =
      missing == 0 ? frames : at::cat({frames, last.expand({missing, -1, -1, -1})});
  *grid = {whole.size(0) / span, frames.size(2) / p, frames.size(3) / p};
  const at::Tensor cut = whole.reshape(
      {grid->frames, span, config_.channels, grid->rows / m, m, p, grid->columns / m, m, p});
  return cut.permute({0, 3, 6, 4, 7, 2, 1, 5, 8})
      .reshape({grid->size(), config_.channels * span * p * p});
}

PatchLayout QwenVit::layout(const std::vector<PatchGrid>& grids) const {
  PatchLayout layout;
  layout.rope = rope_tables(config_, grids);
  const int64_t merge = config_.merge_size;
  std::vector<int64_t> order;
  for (const PatchGrid& grid : grids) {
    layout.frame_lengths.insert(layout.frame_lengths.end(), grid.frames, grid.rows * grid.columns);
    if (config_.window_size == 0) continue;
    append_windows(grid, merge, config_.window_size / config_.unit(),
                   static_cast<int64_t>(order.size()), order, layout.window_lengths);
  }
  if (config_.window_size == 0) return layout;
  layout.order = at::tensor(order, at::kLong);
  layout.restore = at::argsort(layout.order);
  const int64_t size = merge * merge, width = layout.rope.size(2);
  const at::Tensor units = layout.rope.view({2, -1, size, width});
  layout.rope = units.index_select(1, layout.order).view({2, -1, width});
  return layout;
}

at::Tensor QwenVit::embeddings(const at::Tensor& patches) const {
  return patches_(patches.to(options_));
}

at::Tensor QwenVit::sorted(const at::Tensor& x, const PatchLayout& layout) const {
  if (!layout.order.defined()) return x;
  const int64_t size = int64_t{config_.merge_size} * config_.merge_size;
  return x.view({-1, size, x.size(1)}).index_select(0, layout.order.to(x.device())).flatten(0, 1);
}

// Rows attend within their segment only.
at::Tensor QwenVit::attend(const Block& block, const at::Tensor& x, const at::Tensor& rope,
                           const std::vector<int64_t>& lengths) const {
  const std::vector<at::Tensor> qkv =
      block.qkv(x).view({x.size(0), 3, config_.num_heads, config_.head_dim()}).unbind(1);
  return block.projection(
      segment_attention(rotate(qkv[0], rope), rotate(qkv[1], rope), qkv[2], lengths));
}

at::Tensor QwenVit::mlp(const Block& block, const at::Tensor& x) const {
  return block.down(config_.gated_mlp ? activate_gated(block.up(x), config_.activation)
                                      : block.up.activated(x, config_.activation));
}

at::Tensor QwenVit::block(int i, const at::Tensor& x, const PatchLayout& layout) const {
  const Block& block = blocks_[i];
  const std::vector<int64_t>& lengths =
      config_.full_attention(i) ? layout.frame_lengths : layout.window_lengths;
  const at::Tensor rope = layout.rope.to(x.device());
  const at::Tensor h = x + attend(block, normalized(block.norm1, x), rope, lengths);
  return h + mlp(block, normalized(block.norm2, h));
}

at::Tensor QwenVit::merge(const at::Tensor& x, const PatchLayout& layout) const {
  const int64_t width = merger1_.in_features();
  const at::Tensor rows = normalized(merger_norm_, x).reshape({-1, width});
  const at::Tensor tokens = merger2_(merger1_.activated(rows, Activation::kGelu));
  return layout.restore.defined() ? tokens.index_select(0, layout.restore.to(x.device())) : tokens;
}

std::vector<at::Tensor> QwenVit::operator()(const std::vector<at::Tensor>& pictures) const {
  std::vector<PatchGrid> grids(pictures.size());
  std::vector<at::Tensor> rows;
  std::vector<int64_t> tokens;
  for (size_t i = 0; i < pictures.size(); ++i) {
    rows.push_back(patches(pictures[i], &grids[i]));
    tokens.push_back(grids[i].size() / (config_.merge_size * config_.merge_size));
  }
  const PatchLayout places = layout(grids);
  at::Tensor x = sorted(embeddings(at::cat(rows)), places);
  for (int i = 0; i < config_.num_layers; ++i) x = block(i, x, places);
  return merge(x, places).split_with_sizes(tokens);
}

std::string qwen_vit_summary(const QwenVitConfig& c) {
  return "vision: Qwen ViT, " + std::to_string(c.num_layers) + " layers, width " +
         std::to_string(c.hidden_size) + ", " + std::to_string(c.num_heads) +
         " heads, patches of " + std::to_string(c.patch_size) + " pixels" +
         (c.window_size > 0 ? ", windows of " + std::to_string(c.window_size) + " pixels" : "");
}

}  // namespace saccade
