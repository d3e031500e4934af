#include "engine/kernels/quantize.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace saccade::kernels {
namespace {

constexpr int kInt4Levels = 15;
// Ranges that are tried for int4: the outermost values are clipped by a little more each time.
constexpr float kShrink[] = {1.0f, 0.96f, 0.92f, 0.88f, 0.84f};

// q of each value for w = scale q + min.
void round_int4(const float* w, float scale, float min, int8_t* q) {
  const float inverse = scale > 0 ? 1.0f / scale : 0.0f;
  for (int i = 0; i < kQuantGroup; ++i) {
    const float level = std::nearbyint((w[i] - min) * inverse);
    q[i] = static_cast<int8_t>(std::clamp(level, 0.0f, static_cast<float>(kInt4Levels)));
  }
}

// The line w = scale q + min of least squared error for given q. False where q is constant.
bool fit_line(const float* w, const int8_t* q, float& scale, float& min) {
  double sum_q = 0, sum_qq = 0, sum_w = 0, sum_qw = 0;
  for (int i = 0; i < kQuantGroup; ++i) {
    sum_q += q[i];
    sum_qq += q[i] * q[i];
    sum_w += w[i];
    sum_qw += double{w[i]} * q[i];
  }
  const double spread = kQuantGroup * sum_qq - sum_q * sum_q;
  if (spread <= 0) return false;
  scale = static_cast<float>((kQuantGroup * sum_qw - sum_q * sum_w) / spread);
  min = static_cast<float>((sum_w - scale * sum_q) / kQuantGroup);
  return scale > 0;
}

double squared_error(const float* w, const QuantizedGroup& group) {
  const float scale = half_to_float(group.scale), min = half_to_float(group.min);
  double error = 0;
  for (int i = 0; i < kQuantGroup; ++i) {
    const double difference = scale * group.q[i] + min - w[i];
    error += difference * difference;
  }
  return error;
}

// `scale` and `min` as they are stored, and the numbers that go best with those.
QuantizedGroup stored_int4(const float* w, float scale, float min) {
  QuantizedGroup group{float_to_half(scale), float_to_half(min), {}};
  round_int4(w, half_to_float(group.scale), half_to_float(group.min), group.q);
  return group;
}

}  // namespace

uint16_t float_to_half(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  const uint16_t sign = bits >> 16 & 0x8000;
  bits &= 0x7fffffff;
  if (bits > 0x7f800000) return sign | 0x7e00;  // NaN
  if (bits >= 0x477ff000) return sign | 0x7c00;
  if (bits < 0x38800000) {  // subnormal: adding 0.5 leaves the bits of value / 2^-24 at the end
    float magnitude;
    std::memcpy(&magnitude, &bits, sizeof magnitude);
    magnitude += 0.5f;
    std::memcpy(&bits, &magnitude, sizeof bits);
    return sign | static_cast<uint16_t>(bits - 0x3f000000);
  }
  bits += 0xfff + (bits >> 13 & 1);
  return sign | static_cast<uint16_t>((bits - 0x38000000) >> 13);
}

float half_to_float(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000) << 16;
  const uint32_t exponent = half >> 10 & 0x1f;
  const uint32_t mantissa = half & 0x3ff;
  if (exponent == 0) {
    const float magnitude = static_cast<float>(mantissa) * 0x1p-24f;
    return sign != 0 ? -magnitude : magnitude;
  }
  const uint32_t bits = exponent == 31 ? sign | 0x7f800000 | mantissa << 13
                                       : sign | (exponent + 112) << 23 | mantissa << 13;
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

QuantizedGroup quantize_int8(const float* w) {
  float largest = 0;
  for (int i = 0; i < kQuantGroup; ++i) {
    largest = std::isfinite(w[i]) ? std::max(largest, std::fabs(w[i])) : w[i];
    if (!std::isfinite(largest)) break;
  }
  QuantizedGroup group{float_to_half(largest / 127), 0, {}};
  const float scale = half_to_float(group.scale);
  const float inverse = scale > 0 && std::isfinite(scale) ? 1 / scale : 0;
  for (int i = 0; i < kQuantGroup; ++i) {
    const float level = inverse > 0 ? std::nearbyint(w[i] * inverse) : 0.0f;
    group.q[i] = static_cast<int8_t>(std::clamp(level, -127.0f, 127.0f));
  }
  return group;
}

QuantizedGroup quantize_int4(const float* w) {
  const auto [low, high] = std::minmax_element(w, w + kQuantGroup);
  for (int i = 0; i < kQuantGroup; ++i) {
    if (!std::isfinite(w[i])) return {float_to_half(w[i]), 0, {}};
  }
  QuantizedGroup best;
  double least = -1;
  for (const float shrink : kShrink) {
    const float middle = (*low + *high) / 2;
    const float half_range = (*high - *low) / 2 * shrink;
    float scale = 2 * half_range / kInt4Levels, min = middle - half_range;
    for (int pass = 0; pass < 2; ++pass) {
      const QuantizedGroup group = stored_int4(w, scale, min);
      const double error = squared_error(w, group);
      if (least < 0 || error < least) {
        least = error;
        best = group;
      }
      if (!fit_line(w, group.q, scale, min)) break;
    }
  }
  return best;
}

}  // namespace saccade::kernels
