#include "engine/models/vit.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <utility>

#include "engine/core/status.h"
#include "engine/layers/attention.h"

namespace saccade {
namespace {

// Far above any tower; keeps the number of positions within an int.
constexpr int kMaxPatchesPerSide = 4096;

void check(const JsonView& config, const VitConfig& vit) {
  if (vit.hidden_size % vit.num_heads != 0) {
    config.fail("num_attention_heads", "does not divide hidden_size");
  }
  if (vit.patch_size > vit.image_size) config.fail("patch_size", "is larger than image_size");
  if (vit.patches_per_side() > kMaxPatchesPerSide) {
    config.fail("image_size",
                "is more than " + std::to_string(kMaxPatchesPerSide) + " patches a side");
  }
}

Linear patch_projection(const VitConfig& c, const WeightScope& scope) {
  const at::Tensor weight =
      scope.tensor("weight", {c.hidden_size, c.channels, c.patch_size, c.patch_size});
  std::optional<at::Tensor> bias;
  if (c.patch_bias) bias = scope.tensor("bias", {c.hidden_size});
  return Linear(weight.flatten(1), bias);
}

// LAVIS stored q_bias and v_bias; today's files hold cat(q_bias, 0, v_bias) as qkv.bias.
Linear fused_projection(const VitConfig& c, const WeightScope& scope) {
  const int64_t d = c.hidden_size;
  const at::Tensor weight = scope("qkv").tensor("weight", {3 * d, d});
  if (!c.qkv_bias) return Linear(weight, std::nullopt);
  if (scope("qkv").has("bias")) return Linear(weight, scope("qkv").tensor("bias", {3 * d}));
  const at::Tensor q = scope.tensor("q_bias", {d});
  return Linear(weight, at::cat({q, at::zeros_like(q), scope.tensor("v_bias", {d})}));
}

Linear qkv_projection(const VitConfig& c, const WeightScope& scope) {
  if (c.fused_qkv) return fused_projection(c, scope);
  const int64_t d = c.hidden_size;
  return Linear({{scope("q_proj"), d}, {scope("k_proj"), d}, {scope("v_proj"), d}}, d,
                Bias::kRequired);
}

// BLIP keeps a bare tensor [1, n, d], CLIP an embedding's weight [n, d].
at::Tensor position_table(const VitConfig& c, const WeightScope& scope) {
  const int64_t n = c.num_positions();
  if (scope.has("position_embedding")) {
    return scope.tensor("position_embedding", {1, n, c.hidden_size});
  }
  return scope("position_embedding").tensor("weight", {n, c.hidden_size}).unsqueeze(0);
}

at::Tensor class_token(const VitConfig& c, const WeightScope& scope) {
  if (!c.class_token) return {};
  const int64_t d = c.hidden_size;
  const bool flat = !c.patch_bias;  // CLIP stores [d], BLIP [1, 1, d]
  return flat ? scope.tensor("class_embedding", {d}).view({1, 1, d})
              : scope.tensor("class_embedding", {1, 1, d});
}

PatchPositions fraction_rule(LibraryVersion version) {
  if (version >= std::pair(5, 0)) return PatchPositions::kClampedFractions;
  if (version >= std::pair(4, 55)) return PatchPositions::kShrunkFractions;
  return PatchPositions::kFractions;
}

// CLIP's tower; `width` is what the class calls its hidden size.
VitConfig read_clip(const JsonView& config, const char* width, const VitConfig& defaults) {
  VitConfig vit = defaults;
  vit.hidden_size = config.positive_int(width, defaults.hidden_size);
  vit.intermediate_size = config.positive_int("intermediate_size", defaults.intermediate_size);
  vit.num_layers = config.positive_int("num_hidden_layers", defaults.num_layers);
  vit.num_heads = config.positive_int("num_attention_heads", defaults.num_heads);
  vit.image_size = config.positive_int("image_size", defaults.image_size);
  vit.patch_size = config.positive_int("patch_size", defaults.patch_size);
  vit.channels = config.positive_int("num_channels", 3);
  vit.layer_norm_eps = config.number_in("layer_norm_eps", 1e-5, 0, 1);
  vit.post_norm_eps = vit.layer_norm_eps;
  if (config.has("hidden_act")) {
    vit.activation = parse_activation(config.string("hidden_act"), config.path() + ".hidden_act");
  }
  vit.pre_layer_norm = true;
  check(config, vit);
  return vit;
}

}  // namespace

at::Tensor patch_positions(PatchPositions rule, int64_t count, int64_t side) {
  const auto index = at::arange(count, at::kFloat);
  if (rule == PatchPositions::kTable) return index.to(at::kLong);
  const auto n = static_cast<float>(count);
  constexpr double kBelowOne = 1 - 1e-6;
  at::Tensor fractions;
  if (rule == PatchPositions::kFractions) {
    fractions = at::arange(0, kBelowOne, 1.0 / static_cast<double>(count), at::kFloat);
  } else if (rule == PatchPositions::kShrunkFractions) {
    fractions = index / n * kBelowOne;
  } else {
    fractions = at::clamp_max(index * (1.0F / n), kBelowOne);
  }
  const double step = 1.0 / static_cast<double>(side);
  const at::Tensor borders = at::arange(step, 1.0, step, at::kFloat);
  // arange may have one border too many (rounding): the last row then does not exist.
  return at::bucketize(fractions, borders, /*out_int32=*/false, /*right=*/true).clamp_max(side - 1);
}

VitConfig VitConfig::clip(const JsonView& config) {
  return read_clip(config, "hidden_size",
                   {.hidden_size = 768,
                    .intermediate_size = 3072,
                    .num_layers = 12,
                    .num_heads = 12,
                    .image_size = 224,
                    .patch_size = 32,
                    .activation = Activation::kQuickGelu});
}

VitConfig VitConfig::idefics(const JsonView& config) {
  return read_clip(config, "embed_dim",
                   {.hidden_size = 768,
                    .intermediate_size = 5120,
                    .num_layers = 32,
                    .num_heads = 16,
                    .image_size = 224,
                    .patch_size = 14,
                    .activation = Activation::kGelu});
}

VitConfig VitConfig::blip(const JsonView& config) {
  VitConfig vit;
  vit.hidden_size = config.positive_int("hidden_size", 1408);
  vit.intermediate_size = config.positive_int("intermediate_size", 6144);
  vit.num_layers = config.positive_int("num_hidden_layers", 39);
  vit.num_heads = config.positive_int("num_attention_heads", 16);
  vit.image_size = config.positive_int("image_size", 224);
  vit.patch_size = config.positive_int("patch_size", 14);
  vit.layer_norm_eps = config.number_in("layer_norm_eps", 1e-6, 0, 1);
  // Ours, for weights of LAVIS, whose last norm has an epsilon of its own.
  vit.post_norm_eps = config.number_in("post_layernorm_eps", vit.layer_norm_eps, 0, 1);
  vit.activation =
      parse_activation(config.string("hidden_act", "gelu"), config.path() + ".hidden_act");
  vit.patch_bias = true;
  vit.fused_qkv = true;
  vit.qkv_bias = config.boolean("qkv_bias", true);
  check(config, vit);
  return vit;
}

VitConfig VitConfig::siglip(const JsonView& config) {
  const VitConfig defaults{.hidden_size = 768,
                           .intermediate_size = 3072,
                           .num_layers = 12,
                           .num_heads = 12,
                           .image_size = 224,
                           .patch_size = 16,
                           .layer_norm_eps = 1e-6};
  VitConfig vit = navit(config, defaults, {});
  vit.positions = PatchPositions::kTable;
  return vit;
}

VitConfig VitConfig::navit(const JsonView& config, const VitConfig& defaults,
                           LibraryVersion library_version) {
  VitConfig vit;
  vit.hidden_size = config.positive_int("hidden_size", defaults.hidden_size);
  vit.intermediate_size = config.positive_int("intermediate_size", defaults.intermediate_size);
  vit.num_layers = config.positive_int("num_hidden_layers", defaults.num_layers);
  vit.num_heads = config.positive_int("num_attention_heads", defaults.num_heads);
  vit.image_size = config.positive_int("image_size", defaults.image_size);
  vit.patch_size = config.positive_int("patch_size", defaults.patch_size);
  vit.channels = config.positive_int("num_channels", 3);
  vit.layer_norm_eps = config.number_in("layer_norm_eps", defaults.layer_norm_eps, 0, 1);
  vit.post_norm_eps = vit.layer_norm_eps;
  vit.activation = parse_activation(config.string("hidden_act", "gelu_pytorch_tanh"),
                                    config.path() + ".hidden_act");
  vit.patch_bias = true;
  vit.class_token = false;
  vit.positions = fraction_rule(library_version);
  check(config, vit);
  return vit;
}

VitBlock::VitBlock(const VitConfig& c, const WeightScope& scope)
    : heads_(c.num_heads),
      activation_(c.activation),
      norm1_(scope("layer_norm1"), c.hidden_size, c.layer_norm_eps),
      qkv_(qkv_projection(c, scope("self_attn"))),
      projection_(scope("self_attn")(c.fused_qkv ? "projection" : "out_proj"), c.hidden_size,
                  c.hidden_size, Bias::kRequired),
      norm2_(scope("layer_norm2"), c.hidden_size, c.layer_norm_eps),
      fc1_(scope("mlp")("fc1"), c.hidden_size, c.intermediate_size, Bias::kRequired),
      fc2_(scope("mlp")("fc2"), c.intermediate_size, c.hidden_size, Bias::kRequired) {}

at::Tensor VitBlock::attend(const at::Tensor& x) const {
  const int64_t n = x.size(0), t = x.size(1), d = x.size(2) / heads_;
  const at::Tensor qkv = qkv_(x).view({n, t, 3, heads_, d}).permute({2, 0, 3, 1, 4});
  return full_attention(qkv[0], qkv[1], qkv[2]);
}

at::Tensor VitBlock::operator()(const at::Tensor& x) const {
  const at::Tensor read = insert_ ? insert_(norm1_(x)) : norm1_(x);
  const at::Tensor h = projection_.added_to(x, attend(read));
  return fc2_.added_to(h, fc1_.activated(norm2_(h), activation_));
}

Vit::Vit(const VitConfig& config, const WeightScope& scope, int blocks, bool with_post_norm)
    : config_(config),
      patches_(patch_projection(config, scope("embeddings")("patch_embedding"))),
      class_(class_token(config, scope("embeddings"))),
      positions_(position_table(config, scope("embeddings"))) {
  if (config.pre_layer_norm) {
    pre_norm_.emplace_back(scope("pre_layrnorm"), config.hidden_size, config.layer_norm_eps);
  }
  for (int i = 0; i < blocks; ++i) {
    blocks_.emplace_back(config, scope("encoder")("layers")(i));
  }
  if (with_post_norm) {
    post_norm_.emplace_back(scope("post_layernorm"), config.hidden_size, config.post_norm_eps);
  }
}

at::Tensor Vit::embeddings(const at::Tensor& pixels) const {
  const int64_t n = pixels.size(0), c = config_.channels, p = config_.patch_size;
  const int64_t high = pixels.size(2) / p, wide = pixels.size(3) / p;  // patches
  // A stride-p convolution is a product with each patch flattened in (channel, row, column) order;
  // pixels beyond the last whole patch are not covered.
  const at::Tensor rows = pixels.narrow(2, 0, high * p)
                              .narrow(3, 0, wide * p)
                              .reshape({n, c, high, p, wide, p})
                              .permute({0, 2, 4, 1, 3, 5})
                              .reshape({n * high * wide, c * p * p})
                              .to(positions_.device(), positions_.scalar_type());
  const at::Tensor patches = patches_(rows).view({n, high * wide, config_.hidden_size});
  if (!config_.class_token) return patches + position_rows(high, wide);
  const at::Tensor x =
      at::cat({class_.expand({n, 1, config_.hidden_size}), patches}, 1) + positions_;
  return pre_norm_.empty() ? x : pre_norm_.front()(x);
}

// The table's rows for a picture of rows x columns patches: [1, rows * columns, hidden].
at::Tensor Vit::position_rows(int64_t rows, int64_t columns) const {
  if (config_.positions == PatchPositions::kTable) return positions_;
  const int64_t side = config_.patches_per_side();
  const at::Tensor row = patch_positions(config_.positions, rows, side).unsqueeze(1) * side;
  const at::Tensor ids = (row + patch_positions(config_.positions, columns, side)).flatten();
  return positions_.index_select(1, ids.to(positions_.device()));
}

std::vector<at::Tensor> Vit::hidden_states(const at::Tensor& pixels,
                                           const std::vector<int>& indices) const {
  std::vector<at::Tensor> states;
  at::Tensor x = embeddings(pixels);
  int reached = 0;
  for (const int index : indices) {
    for (; reached < index; ++reached) x = block(reached, x);
    states.push_back(x);
  }
  return states;
}

std::string vit_summary(const VitConfig& c) {
  const char* kind = !c.class_token ? "SigLIP" : c.fused_qkv ? "BLIP" : "CLIP";
  return "vision: " + std::string(kind) + " ViT, " + std::to_string(c.num_layers) +
         " layers, width " + std::to_string(c.hidden_size) + ", " + std::to_string(c.num_heads) +
         " heads, " + std::to_string(c.image_size) + " pixels in patches of " +
         std::to_string(c.patch_size);
}

}  // namespace saccade
