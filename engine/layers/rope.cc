#include "engine/layers/rope.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "engine/layers/device_layout.h"

namespace saccade {
namespace {

constexpr double kPi = 3.14159265358979323846;
constexpr const char* kOriginal = "original_max_position_embeddings";
constexpr const char* kPart = "partial_rotary_factor";

RopeConfig::Kind parse_kind(const JsonView& scaling) {
  const char* key = scaling.has("rope_type") ? "rope_type" : "type";
  const std::string name = scaling.string(key, "default");
  if (name == "default" || name == "mrope") return RopeConfig::Kind::kDefault;
  if (name == "linear") return RopeConfig::Kind::kLinear;
  if (name == "dynamic") return RopeConfig::Kind::kDynamic;
  if (name == "llama3") return RopeConfig::Kind::kLlama3;
  // Early Phi-3 files call LongRoPE "su" or "yarn".
  const bool has_factors = scaling.has("short_factor");
  if (name == "longrope" || name == "su" || has_factors) return RopeConfig::Kind::kLong;
  if (name == "yarn") return RopeConfig::Kind::kYarn;
  if (name == "proportional") return RopeConfig::Kind::kProportional;
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
  return config.rotary_dim * std::log(config.original_max_positions / (rotations * 2 * kPi)) /
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
  high = std::min(high, config.rotary_dim - 1.0);
  if (low == high) high += 0.001;  // the reference's guard against a division by zero
  for (size_t i = 0; i < freq.size(); ++i) {
    const float ramp = std::clamp(
        (static_cast<float>(i) - static_cast<float>(low)) / static_cast<float>(high - low), 0.0f,
        1.0f);
    const float keep = 1 - ramp;
    freq[i] = freq[i] / static_cast<float>(config.factor) * (1 - keep) + freq[i] * keep;
  }
}

std::vector<double> long_factors(const JsonView& scaling, const char* key, int count) {
  const std::vector<double> factors = scaling.number_list(key);
  if (static_cast<int>(factors.size()) != count) {
    scaling.fail(key, "expected " + std::to_string(count) +
                          " numbers, one for each frequency, got " +
                          std::to_string(factors.size()));
  }
  for (const double factor : factors) {
    if (!(factor >= 1e-6 && factor <= 1e6)) scaling.fail(key, "holds a number out of range");
  }
  return factors;
}

// LongRoPE (Ding et al. 2024). The original length stands beside the scaling; 5.x also takes one
// that stands in it. 4.x takes the scaling's factor only where there is no original length, 5.x
// wherever there is a factor.
void parse_long(RopeConfig& rope, const JsonView& config, const JsonView& scaling, bool fifth) {
  const JsonView& place = config.has(kOriginal) || !fifth ? config : scaling;
  rope.original_max_positions = place.positive_int(kOriginal, rope.max_positions);
  rope.short_factors = long_factors(scaling, "short_factor", rope.rotary_dim / 2);
  rope.long_factors = long_factors(scaling, "long_factor", rope.rotary_dim / 2);
  rope.factor = static_cast<double>(rope.max_positions) / rope.original_max_positions;
  if (fifth || !config.has(kOriginal)) {
    rope.factor = scaling.number_in("factor", rope.factor, 1e-6, 1e6);
  }
  const double recommended =
      rope.factor <= 1 || rope.original_max_positions == 1
          ? 1.0
          : std::sqrt(1 + std::log(rope.factor) / std::log(rope.original_max_positions));
  rope.attention_factor = scaling.number_in("attention_factor", recommended, 1e-6, 1e6);
}

void divide(std::vector<float>& freq, const std::vector<double>& factors, double theta) {
  // As the reference: 1 / (factor * theta^exponent), each step in float32.
  const int64_t count = static_cast<int64_t>(freq.size());
  const at::Tensor exponent = at::arange(0, 2 * count, 2, at::kLong).to(at::kFloat) / (2 * count);
  const at::Tensor scale = at::tensor(factors, at::kFloat);
  const at::Tensor out = 1.0 / (scale * at::pow(static_cast<float>(theta), exponent));
  std::copy_n(out.const_data_ptr<float>(), count, freq.begin());
}

double read_theta(const JsonView& place, double fallback) {
  return place.number_in("rope_theta", fallback, 1e-3, 1e18);
}

// 5.x's rope_parameters. Of a file that speaks both dialects rope_scaling counts.
std::optional<JsonView> parameters_of(const JsonView& config) {
  std::optional<JsonView> parameters = config.object("rope_parameters");
  const std::optional<JsonView> scaling = config.object("rope_scaling");
  return parameters && scaling && !scaling->members().empty() ? scaling : parameters;
}

}  // namespace

RopeConfig RopeConfig::parse(const JsonView& config, int rotary_dim, int max_positions,
                             double default_theta) {
  if (const std::optional<JsonView> parameters = parameters_of(config)) {
    RopeConfig rope = parse_parameters(*parameters, rotary_dim, max_positions, default_theta);
    if (!parameters->has("rope_theta")) rope.theta = read_theta(config, default_theta);
    if (rope.kind == Kind::kYarn || rope.kind == Kind::kLlama3) {  // beside it, it has priority
      rope.original_max_positions = config.positive_int(kOriginal, rope.original_max_positions);
    }
    if (rope.kind == Kind::kLong) parse_long(rope, config, *parameters, /*fifth=*/true);
    if (rope.kind == Kind::kProportional && !parameters->has(kPart)) rope.read_part(config);
    return rope;
  }
  RopeConfig rope;
  rope.rotary_dim = rotary_dim;
  rope.max_positions = max_positions;
  rope.theta = read_theta(config, default_theta);
  const std::optional<JsonView> scaling = config.object("rope_scaling");
  if (scaling) rope.read_scaling(*scaling);
  if (rope.kind == Kind::kLong) parse_long(rope, config, *scaling, /*fifth=*/false);
  return rope;
}

RopeConfig RopeConfig::parse_parameters(const JsonView& parameters, int rotary_dim,
                                        int max_positions, double default_theta) {
  RopeConfig rope;
  rope.rotary_dim = rotary_dim;
  rope.max_positions = max_positions;
  rope.theta = read_theta(parameters, default_theta);
  rope.read_scaling(parameters);
  return rope;
}

void RopeConfig::read_sections(const JsonView& scaling) {
  if (!scaling.has("mrope_section")) return;
  const std::vector<int> counts = scaling.int_list("mrope_section");
  const bool fits = counts.size() == 3 && counts[0] >= 0 && counts[1] >= 0 && counts[2] >= 0 &&
                    int64_t{counts[0]} + counts[1] + counts[2] == rotary_dim / 2;
  if (!fits) {
    scaling.fail("mrope_section", "expected 3 numbers that add up to " +
                                      std::to_string(rotary_dim / 2) + ", half a head");
  }
  std::copy(counts.begin(), counts.end(), sections.begin());
}

void RopeConfig::read_scaling(const JsonView& scaling) {
  read_sections(scaling);
  kind = parse_kind(scaling);
  if (kind == Kind::kDefault || kind == Kind::kLong) return;
  if (kind == Kind::kProportional) {
    factor = scaling.number_in("factor", 1.0, 1e-3, 1e6);
    return read_part(scaling);
  }
  original_max_positions = scaling.positive_int(kOriginal, max_positions);
  const bool derived = kind == Kind::kYarn && original_max_positions < max_positions;
  if (!scaling.has("factor") && !derived) scaling.fail("factor", "is missing");
  factor = scaling.number_in("factor", static_cast<double>(max_positions) / original_max_positions,
                             1e-3, 1e6);
  low_freq_factor = scaling.number_in("low_freq_factor", 1.0, 1e-6, 1e6);
  high_freq_factor = scaling.number_in("high_freq_factor", 4.0, 1e-6, 1e6);
  if (kind == Kind::kLlama3 && high_freq_factor <= low_freq_factor) {
    scaling.fail("high_freq_factor", "must be larger than low_freq_factor");
  }
  if (kind == Kind::kDynamic && rotary_dim < 4) {
    scaling.fail("rope_type", "\"dynamic\" needs heads of at least 4");
  }
  if (kind == Kind::kYarn) {
    attention_factor = yarn_attention_factor(scaling, factor);
    beta_fast = scaling.number_in("beta_fast", 32.0, 1e-6, 1e6);
    beta_slow = scaling.number_in("beta_slow", 1.0, 1e-6, 1e6);
    if (theta <= 1) scaling.fail("rope_type", "\"yarn\" needs a rope_theta above 1");
    truncate = scaling.boolean("truncate", true);
  }
}

void RopeConfig::read_part(const JsonView& place) {
  num_turning = static_cast<int>(rotary_dim * place.number_in(kPart, 1, 0, 1)) / 2;
}

Rope::Rope(const RopeConfig& config)
    : config_(config),
      inv_freq_(plain_frequencies(config.rotary_dim, config.theta)),
      axis_of_(static_cast<size_t>(config.rotary_dim / 2)) {
  for (int axis = 1, first = config.sections[0]; axis < 3; first += config.sections[axis++]) {
    std::fill_n(axis_of_.begin() + first, config.sections[axis], axis);
  }
  if (config.kind == RopeConfig::Kind::kProportional) {
    std::fill(inv_freq_.begin() + config.num_turning, inv_freq_.end(), 0.0f);
  }
  if (config.kind == RopeConfig::Kind::kLinear || config.kind == RopeConfig::Kind::kProportional) {
    for (float& f : inv_freq_) f /= static_cast<float>(config.factor);
  }
  if (config.kind == RopeConfig::Kind::kLlama3) scale_llama3(inv_freq_, config);
  if (config.kind == RopeConfig::Kind::kYarn) scale_yarn(inv_freq_, config);
  if (config.kind == RopeConfig::Kind::kLong) {
    long_freq_ = inv_freq_;
    divide(inv_freq_, config.short_factors, config.theta);
    divide(long_freq_, config.long_factors, config.theta);
  }
}

const std::vector<float>& Rope::frequencies(const RopePosition& place) const {
  if (config_.kind == RopeConfig::Kind::kDynamic) return dynamic_frequencies(place.computed_len);
  const bool beyond = !long_freq_.empty() && place.total_len > config_.original_max_positions;
  return beyond ? long_freq_ : inv_freq_;
}

const std::vector<float>& Rope::dynamic_frequencies(int64_t length) const {
  if (length <= config_.max_positions) return inv_freq_;
  if (length != dynamic_length_) {
    const double dim = config_.rotary_dim;
    const double stretch = config_.factor * length / config_.max_positions - (config_.factor - 1);
    dynamic_freq_ =
        plain_frequencies(config_.rotary_dim, config_.theta * std::pow(stretch, dim / (dim - 2)));
    dynamic_length_ = length;
  }
  return dynamic_freq_;
}

at::Tensor Rope::tables(const std::vector<RopePosition>& tokens, const at::Tensor& axes) const {
  if (!axes.defined()) return host_tables(tokens);
  return made_of_axes() ? device_tables(axes) : upload(host_tables(tokens), axes.device());
}

// Where all tokens turn by the same frequencies a GPU makes the tables itself: thousands of cosines
// are nothing to it.
at::Tensor Rope::device_tables(const at::Tensor& axes) const {
  if (!device_freq_.defined()) {
    device_freq_ = at::tensor(inv_freq_, at::kFloat).to(axes.device());
    device_axes_ = at::tensor(axis_of_, at::kInt).to(axes.device());
  }
  const at::Tensor places = axes.index_select(1, device_axes_);  // [num_tokens, rotary_dim / 2]
  const at::Tensor angles = places.mul(device_freq_);
  return at::stack({at::cos(angles), at::sin(angles)}).mul_(config_.attention_factor);
}

at::Tensor Rope::host_tables(const std::vector<RopePosition>& tokens) const {
  const int64_t half = config_.rotary_dim / 2;
  const int64_t count = static_cast<int64_t>(tokens.size());
  at::Tensor table = at::empty({2, count, half}, at::kFloat);
  float* cos = table.data_ptr<float>();
  float* sin = cos + count * half;
  const float scale = static_cast<float>(config_.attention_factor);
  for (int64_t t = 0; t < count; ++t) {
    const std::vector<float>& freq = frequencies(tokens[t]);
    for (int64_t i = 0; i < half; ++i) {
      const float angle = static_cast<float>(tokens[t].axes[axis_of_[i]]) * freq[i];
      cos[t * half + i] = std::cos(angle) * scale;
      sin[t * half + i] = std::sin(angle) * scale;
    }
  }
  return table;
}

}  // namespace saccade
