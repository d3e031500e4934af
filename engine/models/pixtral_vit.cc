#include "engine/models/pixtral_vit.h"

#include <ATen/ATen.h>

#include <optional>

#include "engine/layers/attention.h"
#include "engine/models/segment_attention.h"

namespace saccade {
namespace {

constexpr double kPixtralNormEps = 1e-5;  // fixed in the reference
constexpr int kPictureChannels = 3;

Linear pixtral_patches(const PixtralVitConfig& c, const WeightScope& scope) {
  const at::Tensor weight =
      scope("patch_conv")
          .tensor("weight", {c.hidden_size, kPictureChannels, c.patch_size, c.patch_size});
  return Linear(weight.flatten(1), std::nullopt);
}

// [3, height, width] -> [rows * columns, 3 * p * p]
at::Tensor cut_patches(const at::Tensor& picture, int64_t p) {
  const int64_t rows = picture.size(1) / p, columns = picture.size(2) / p;
  return picture.narrow(1, 0, rows * p)
      .narrow(2, 0, columns * p)
      .reshape({kPictureChannels, rows, p, columns, p})
      .permute({1, 3, 0, 2, 4})
      .reshape({rows * columns, kPictureChannels * p * p});
}

// cos and sin [2, patches, head_dim / 2] of one picture after another: every other frequency turns
// by the row, the ones between by the column.
at::Tensor picture_rope(const PixtralVitConfig& config, const std::vector<at::Tensor>& pictures) {
  const int64_t dim = config.head_dim();
  const at::Tensor exponent = at::arange(0, dim, 2, at::kFloat) / dim;
  const at::Tensor frequency = 1.0 / at::pow(static_cast<float>(config.rope_theta), exponent);
  const at::Tensor of_rows = frequency.slice(0, 0, dim, 2);
  const at::Tensor of_columns = frequency.slice(0, 1, dim, 2);
  std::vector<at::Tensor> angles;
  for (const at::Tensor& picture : pictures) {
    const int64_t rows = picture.size(1) / config.patch_size;
    const int64_t columns = picture.size(2) / config.patch_size;
    const int64_t side = config.table_side > 0 ? config.table_side : columns;
    const at::Tensor place = (at::arange(rows, at::kLong).unsqueeze(1) * side +
                              at::arange(columns, at::kLong).unsqueeze(0))
                                 .flatten();
    const at::Tensor row = at::floor_divide(place, side).to(at::kFloat).unsqueeze(1);
    const at::Tensor column = at::remainder(place, side).to(at::kFloat).unsqueeze(1);
    angles.push_back(at::cat({row * of_rows, column * of_columns}, 1));
  }
  const at::Tensor all = at::cat(angles);
  return at::stack({all.cos(), all.sin()});
}

}  // namespace

PixtralVitConfig PixtralVitConfig::parse(const JsonView& config, LibraryVersion library_version,
                                         const Defaults& defaults) {
  PixtralVitConfig vit;
  vit.hidden_size = config.positive_int("hidden_size", 1024);
  vit.intermediate_size = config.positive_int("intermediate_size", 4096);
  vit.num_layers = config.positive_int("num_hidden_layers", 24);
  vit.num_heads = config.positive_int("num_attention_heads", 16);
  vit.patch_size = config.positive_int("patch_size", defaults.patch_size);
  if (vit.hidden_size % vit.num_heads != 0 || vit.head_dim() % 2 != 0) {
    config.fail("num_attention_heads", "does not make heads of an even width");
  }
  if (config.positive_int("num_channels", kPictureChannels) != kPictureChannels) {
    config.fail("num_channels", "must be 3");
  }
  const int image_size = config.positive_int("image_size", defaults.image_size);
  if (image_size < vit.patch_size) config.fail("image_size", "is smaller than a patch");
  if (library_version.first < 5) vit.table_side = image_size / vit.patch_size;
  const JsonView rope = config.object("rope_parameters").value_or(config);
  vit.rope_theta = rope.number_in("rope_theta", vit.rope_theta, 1e-3, 1e18);
  vit.activation =
      parse_activation(config.string("hidden_act", "gelu"), config.path() + ".hidden_act");
  return vit;
}

bool PixtralVitConfig::has_positions(ImageSize pixels) const {
  const int64_t side = table_side;
  const int64_t rows = pixels.height / patch_size, columns = pixels.width / patch_size;
  return side == 0 || (rows - 1) * side + columns <= side * side;
}

PixtralVit::Block::Block(const PixtralVitConfig& c, const WeightScope& scope)
    : attention_norm(scope("attention_norm"), c.hidden_size, kPixtralNormEps),
      qkv({{scope("attention")("q_proj"), c.hidden_size},
           {scope("attention")("k_proj"), c.hidden_size},
           {scope("attention")("v_proj"), c.hidden_size}},
          c.hidden_size, Bias::kNone),
      projection(scope("attention")("o_proj"), c.hidden_size, c.hidden_size, Bias::kNone),
      mlp_norm(scope("ffn_norm"), c.hidden_size, kPixtralNormEps),
      mlp(scope("feed_forward"), c.hidden_size, c.intermediate_size, c.hidden_size, c.activation) {}

PixtralVit::PixtralVit(const PixtralVitConfig& c, const WeightScope& scope, int blocks)
    : config_(c),
      options_(at::device(scope.device()).dtype(scope.dtype())),
      patches_(pixtral_patches(c, scope)),
      norm_(scope("ln_pre"), c.hidden_size, kPixtralNormEps) {
  for (int i = 0; i < blocks; ++i) blocks_.emplace_back(c, scope("transformer")("layers")(i));
}

at::Tensor PixtralVit::attend(const Block& block, const at::Tensor& x, const at::Tensor& rope,
                              const std::vector<int64_t>& lengths) const {
  const std::vector<at::Tensor> qkv =
      block.qkv(x).view({x.size(0), 3, config_.num_heads, config_.head_dim()}).unbind(1);
  return block.projection(
      segment_attention(rotate(qkv[0], rope), rotate(qkv[1], rope), qkv[2], lengths));
}

at::Tensor PixtralVit::features(const std::vector<at::Tensor>& pictures,
                                const std::vector<int>& layers) const {
  std::vector<at::Tensor> patches;
  std::vector<int64_t> lengths;
  for (const at::Tensor& picture : pictures) {
    patches.push_back(cut_patches(picture, config_.patch_size));
    lengths.push_back(patches.back().size(0));
  }
  const at::Tensor rope = picture_rope(config_, pictures).to(options_.device());
  std::vector<at::Tensor> chosen(layers.size());
  at::Tensor x = norm_(patches_(at::cat(patches).to(options_)));
  for (size_t state = 0;; ++state) {
    for (size_t i = 0; i < layers.size(); ++i) {
      if (layers[i] == static_cast<int>(state)) chosen[i] = x;
    }
    if (state == blocks_.size()) break;
    const Block& block = blocks_[state];
    const at::Tensor h = x + attend(block, block.attention_norm(x), rope, lengths);
    x = h + block.mlp(block.mlp_norm(h));
  }
  return at::cat(chosen, 1);
}

std::string pixtral_vit_summary(const PixtralVitConfig& c) {
  return "vision: Pixtral ViT, " + std::to_string(c.num_layers) + " layers, width " +
         std::to_string(c.hidden_size) + ", " + std::to_string(c.num_heads) +
         " heads, patches of " + std::to_string(c.patch_size) + " pixels";
}

}  // namespace saccade
