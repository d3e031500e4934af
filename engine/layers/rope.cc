#include "engine/layers/rope.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

namespace saccade {
namespace {

constexpr double kPi = 3.14159265358979323846;

RopeConfig::Kind parse_kind(const JsonView& scaling) {
  const char* key = scaling.has("rope_type") ? "rope_type" : "type";
  const std::string name = scaling.string(key, "default");
  if (name == "default") return RopeConfig::Kind::kDefault;
  if (name == "linear") return RopeConfig::Kind::kLinear;
  if (name == "dynamic") return RopeConfig::Kind::kDynamic;
  if (name == "llama3") return RopeConfig::Kind::kLlama3;
  if (name == "yarn") return RopeConfig::Kind::kYarn;
  scaling.fail(key, "rope type \"" + name + "\" is not supported");
}

double yarn_mscale(double scale, double mscale) {
  return scale <= 1 ? 1.0 : 0.1 * mscale * std::log(scale) + 1.0;
}

double yarn_attention_factor(const JsonView& scaling, double factor) {
  if (scaling.has("attention_factor")) return scaling.number("attention_factor");
  const double mscale = scaling.number("mscale", 0);
  const double all_dim = scaling.number("mscale_all_dim", 0);
  if (mscale != 0 && all_dim != 0)
    return yarn_mscale(factor, mscale) / yarn_mscale(factor, all_dim);
  return yarn_mscale(factor, 1.0);
}

// 1 / theta^(2i / dim) in float32, as torch computes it.
std::vector<float> plain_frequencies(int dim, double theta) {
  const at::Tensor exponent = at::arange(0, dim, 2, at::kLong).to(at::kFloat) / dim;
  const at::Tensor freq = 1.0 / at::pow(static_cast<float>(theta), exponent);
  const float* data = freq.const_data_ptr<float>();
  return std::vector<float>(data, data + freq.numel());
}

void scale_llama3(std::vector<float>& freq, const RopeConfig& config) {
  const float length = config.original_max_positions;
  const float low = config.low_freq_factor;
  const float high = config.high_freq_factor;
  const float factor = config.factor;
  for (float& f : freq) {
    const float wavelength = static_cast<float>(2 * kPi) / f;
    if (wavelength < length / high) continue;
    if (wavelength > length / low) {
      f /= factor;
      continue;
    }
    const float smooth = (length / wavelength - low) / (high - low);
    f = (1 - smooth) * f / factor + smooth * f;
  }
}

// Dimension whose wavelength makes `rotations` turns within `length` positions.
double yarn_correction_dim(double rotations, const RopeConfig& config) {
  return config.head_dim * std::log(config.original_max_positions / (rotations * 2 * kPi)) /
         (2 * std::log(config.theta));
}

void scale_yarn(std::vector<float>& freq, const RopeConfig& config) {
  double low = yarn_correction_dim(config.beta_fast, config);
  double high = yarn_correction_dim(config.beta_slow, config);
  if (config.truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, config.head_dim - 1.0);
  if (low == high) high += 0.001;  // the reference's guard against a division by zero
  for (size_t i = 0; i < freq.size(); ++i) {
    const float ramp = std::clamp(
        (static_cast<float>(i) - static_cast<float>(low)) / static_cast<float>(high - low), 0.0f,
        1.0f);
    const float keep = 1 - ramp;
    freq[i] = freq[i] / static_cast<float>(config.factor) * (1 - keep) + freq[i] * keep;
  }
}

}  // namespace

RopeConfig RopeConfig::parse(const JsonView& config, int head_dim, int max_positions) {
  RopeConfig rope;
  rope.head_dim = head_dim;
  rope.max_positions = max_positions;
  const std::optional<JsonView> parameters = config.object("rope_parameters");
  const std::optional<JsonView> scaling = parameters ? parameters : config.object("rope_scaling");
  rope.theta = (parameters && parameters->has("rope_theta") ? *parameters : config)
                   .number_in("rope_theta", 10000.0, 1e-3, 1e18);
  if (!scaling) return rope;
  rope.kind = parse_kind(*scaling);
  if (rope.kind == Kind::kDefault) return rope;
  if (!scaling->has("factor")) scaling->fail("factor", "is missing");
  rope.factor = scaling->number_in("factor", 1.0, 1e-3, 1e6);
  rope.original_max_positions =
      scaling->positive_int("original_max_position_embeddings", max_positions);
  rope.low_freq_factor = scaling->number_in("low_freq_factor", 1.0, 1e-6, 1e6);
  rope.high_freq_factor = scaling->number_in("high_freq_factor", 4.0, 1e-6, 1e6);
  if (rope.kind == Kind::kLlama3 && rope.high_freq_factor <= rope.low_freq_factor) {
    scaling->fail("high_freq_factor", "must be larger than low_freq_factor");
  }
  if (rope.kind == Kind::kDynamic && head_dim < 4) {
    scaling->fail("rope_type", "\"dynamic\" needs heads of at least 4");
  }
  if (rope.kind == Kind::kYarn) {
    rope.attention_factor = yarn_attention_factor(*scaling, rope.factor);
    rope.beta_fast = scaling->number_in("beta_fast", 32.0, 1e-6, 1e6);
    rope.beta_slow = scaling->number_in("beta_slow", 1.0, 1e-6, 1e6);
    if (rope.theta <= 1) scaling->fail("rope_type", "\"yarn\" needs a rope_theta above 1");
    rope.truncate = scaling->boolean("truncate", true);
  }
  return rope;
}

Rope::Rope(const RopeConfig& config)
    : config_(config), inv_freq_(plain_frequencies(config.head_dim, config.theta)) {
  if (config.kind == RopeConfig::Kind::kLinear) {
    for (float& f : inv_freq_) f /= static_cast<float>(config.factor);
  }
  if (config.kind == RopeConfig::Kind::kLlama3) scale_llama3(inv_freq_, config);
  if (config.kind == RopeConfig::Kind::kYarn) scale_yarn(inv_freq_, config);
}

const std::vector<float>& Rope::frequencies(int64_t sequence_length) const {
  if (!depends_on_length() || sequence_length <= config_.max_positions) return inv_freq_;
  if (sequence_length != dynamic_length_) {
    const double dim = config_.head_dim;
    const double stretch =
        config_.factor * sequence_length / config_.max_positions - (config_.factor - 1);
    dynamic_freq_ =
        plain_frequencies(config_.head_dim, config_.theta * std::pow(stretch, dim / (dim - 2)));
    dynamic_length_ = sequence_length;
  }
  return dynamic_freq_;
}

at::Tensor Rope::tables(const std::vector<RopePosition>& tokens) const {
  const int64_t half = config_.head_dim / 2;
  const int64_t count = static_cast<int64_t>(tokens.size());
  at::Tensor table = at::empty({2, count, half}, at::kFloat);
  float* cos = table.data_ptr<float>();
  float* sin = cos + count * half;
  const float scale = static_cast<float>(config_.attention_factor);
  for (int64_t t = 0; t < count; ++t) {
    const std::vector<float>& freq = frequencies(tokens[t].sequence_length);
    for (int64_t i = 0; i < half; ++i) {
      const float angle = static_cast<float>(tokens[t].position) * freq[i];
      cos[t * half + i] = std::cos(angle) * scale;
      sin[t * half + i] = std::sin(angle) * scale;
    }
  }
  return table;
}

}  // namespace saccade
