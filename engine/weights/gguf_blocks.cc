#include "engine/weights/gguf_blocks.h"

#include <algorithm>
#include <cstring>

namespace saccade {
namespace {

using kernels::kQuantGroup;
using kernels::QuantizedGroup;
using kernels::WeightFormat;

constexpr int kHalf = kQuantGroup / 2;

// 32 values as the file has them: w[i] = scale[i / 16] q[i] + min.
struct Group {
  float scale[2];
  float min = 0;
  int8_t q[kQuantGroup];

  float value(int i) const { return scale[i / kHalf] * q[i] + min; }
};

float read_half(const uint8_t* at) {
  uint16_t bits;
  std::memcpy(&bits, at, sizeof bits);
  return kernels::half_to_float(bits);
}

// 16 bytes: values 0-15 in the low halves, 16-31 in the high ones.
void read_nibbles(const uint8_t* at, int8_t* q) {
  for (int i = 0; i < kHalf; ++i) {
    q[i] = static_cast<int8_t>(at[i] & 15);
    q[kHalf + i] = static_cast<int8_t>(at[i] >> 4);
  }
}

// The fifth bits of 32 values.
void add_fifth_bits(const uint8_t* at, int8_t* q) {
  uint32_t bits;
  std::memcpy(&bits, at, sizeof bits);
  for (int i = 0; i < kQuantGroup; ++i) q[i] = static_cast<int8_t>(q[i] | (bits >> i & 1) << 4);
}

void shift(int8_t* q, int by) {
  for (int i = 0; i < kQuantGroup; ++i) q[i] = static_cast<int8_t>(q[i] - by);
}

void set_scale(Group& group, float scale) { group.scale[0] = group.scale[1] = scale; }

// Q4_0, Q5_0: {d, [fifth bits], nibbles}, w = d (q - half the range).
Group read_symmetric(const uint8_t* block, bool five_bits) {
  Group group;
  set_scale(group, read_half(block));
  read_nibbles(block + (five_bits ? 6 : 2), group.q);
  if (five_bits) add_fifth_bits(block + 2, group.q);
  shift(group.q, five_bits ? 16 : 8);
  return group;
}

// Q4_1, Q5_1: {d, m, [fifth bits], nibbles}, w = d q + m.
Group read_with_min(const uint8_t* block, bool five_bits) {
  Group group;
  set_scale(group, read_half(block));
  group.min = read_half(block + 2);
  read_nibbles(block + (five_bits ? 8 : 4), group.q);
  if (five_bits) add_fifth_bits(block + 4, group.q);
  return group;
}

Group read_q8_0(const uint8_t* block) {
  Group group;
  set_scale(group, read_half(block));
  std::memcpy(group.q, block + 2, kQuantGroup);
  return group;
}

// Q4_K, Q5_K: {d, dmin, 8 pairs of 6-bit scale and min in 12 bytes, [fifth bits], nibbles}:
// w = d scale q - dmin min. The pairs of the first four groups fill the low 6 bits of 8 bytes;
// those of the last four have their low halves in the last 4 bytes and their top bits in the first.
Group read_super_block(const uint8_t* block, int index, bool five_bits) {
  const uint8_t* packed = block + 4;
  int scale, min;
  if (index < 4) {
    scale = packed[index] & 63;
    min = packed[index + 4] & 63;
  } else {
    scale = (packed[index + 4] & 15) | packed[index - 4] >> 6 << 4;
    min = packed[index + 4] >> 4 | packed[index] >> 6 << 4;
  }
  Group group;
  set_scale(group, read_half(block) * static_cast<float>(scale));
  group.min = -(read_half(block + 2) * static_cast<float>(min));
  const uint8_t* fifth = block + 16;
  const uint8_t* nibbles = fifth + (five_bits ? 32 : 0) + index / 2 * 32;
  for (int i = 0; i < kQuantGroup; ++i) {
    int q = index % 2 == 0 ? nibbles[i] & 15 : nibbles[i] >> 4;
    if (five_bits) q |= (fifth[i] >> index & 1) << 4;
    group.q[i] = static_cast<int8_t>(q);
  }
  return group;
}

// {low halves [128], top pairs of bits [64], 16 int8 scales, d}, in two halves of 128 values.
Group read_q6_k(const uint8_t* block, int index) {
  const int half = index / 4, part = index % 4;
  const uint8_t* low = block + half * 64 + part % 2 * 32;
  const uint8_t* top = block + 128 + half * 32;
  const auto* scales = reinterpret_cast<const int8_t*>(block + 192) + half * 8 + part * 2;
  const float d = read_half(block + 208);
  Group group;
  for (int i = 0; i < 2; ++i) group.scale[i] = d * static_cast<float>(scales[i]);
  for (int i = 0; i < kQuantGroup; ++i) {
    const int nibble = part < 2 ? low[i] & 15 : low[i] >> 4;
    group.q[i] = static_cast<int8_t>((nibble | (top[i] >> 2 * part & 3) << 4) - 32);
  }
  return group;
}

Group read(const TensorView& tensor, int64_t row, int64_t group) {
  const int64_t groups_of_block = block_of(tensor.dtype) / kQuantGroup;
  const int64_t blocks_of_row = tensor.shape.back() / block_of(tensor.dtype);
  const auto* block = reinterpret_cast<const uint8_t*>(tensor.data) +
                      (row * blocks_of_row + group / groups_of_block) *
                          static_cast<int64_t>(bytes_of(tensor.dtype));
  const int index = static_cast<int>(group % groups_of_block);
  switch (tensor.dtype) {
    case TensorDtype::kQ4_0:
      return read_symmetric(block, false);
    case TensorDtype::kQ5_0:
      return read_symmetric(block, true);
    case TensorDtype::kQ4_1:
      return read_with_min(block, false);
    case TensorDtype::kQ5_1:
      return read_with_min(block, true);
    case TensorDtype::kQ4_K:
      return read_super_block(block, index, false);
    case TensorDtype::kQ5_K:
      return read_super_block(block, index, true);
    case TensorDtype::kQ6_K:
      return read_q6_k(block, index);
    default:
      return read_q8_0(block);
  }
}

// One scale, no offset, and numbers that the int8 kernels take: Q8_0 itself never makes a -128.
bool is_int8(const Group& group) {
  return group.min == 0 && group.scale[0] == group.scale[1] &&
         kernels::half_to_float(kernels::float_to_half(group.scale[0])) == group.scale[0] &&
         *std::min_element(group.q, group.q + kQuantGroup) >= -127;
}

}  // namespace

void read_group(const TensorView& tensor, int64_t row, int64_t group, float* out) {
  const Group values = read(tensor, row, group);
  for (int i = 0; i < kQuantGroup; ++i) out[i] = values.value(i);
}

WeightFormat packed_format(TensorDtype dtype) {
  const bool four_bits =
      dtype == TensorDtype::kQ4_0 || dtype == TensorDtype::kQ4_1 || dtype == TensorDtype::kQ4_K;
  return four_bits ? WeightFormat::kInt4 : WeightFormat::kInt8;
}

QuantizedGroup read_quantized_group(const TensorView& tensor, int64_t row, int64_t group,
                                    WeightFormat format) {
  Group values = read(tensor, row, group);
  QuantizedGroup out{kernels::float_to_half(values.scale[0]), 0, {}};
  if (format == WeightFormat::kInt4) {
    if (tensor.dtype == TensorDtype::kQ4_0) {  // w = d (q - 8) as d q - 8 d
      shift(values.q, -8);
      values.min = -8 * values.scale[0];
    }
    out.min = kernels::float_to_half(values.min);
  } else if (!is_int8(values)) {
    float floats[kQuantGroup];
    for (int i = 0; i < kQuantGroup; ++i) floats[i] = values.value(i);
    return kernels::quantize_int8(floats);
  }
  std::memcpy(out.q, values.q, kQuantGroup);
  return out;
}

}  // namespace saccade
