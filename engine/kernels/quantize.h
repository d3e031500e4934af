#pragma once

#include <cstdint>
#include <vector>

#include "engine/kernels/weight_format.h"

namespace saccade::kernels {

// One group of one output column, before it is laid out.
struct QuantizedGroup {
  uint16_t scale;         // float16
  uint16_t min;           // float16; int4 only
  int8_t q[kQuantGroup];  // int8: [-127, 127]; int4: [0, 15]
};

// A weight [n, k] that a file holds rounded already; k is a multiple of kQuantGroup.
struct QuantizedRows {
  WeightFormat format;  // an integer one
  int64_t n;
  int64_t k;
  std::vector<QuantizedGroup> groups;  // [n, k / kQuantGroup]
};

// w[kQuantGroup], zeros behind the last input. int8: the largest magnitude becomes 127. int4: of a
// few ranges inside [min, max] the one with the least squared error, scale and min fitted to it.
// Numbers are rounded for the scale as it is stored. Values that are not finite make the group's
// scale not finite.
QuantizedGroup quantize_int8(const float* w);
QuantizedGroup quantize_int4(const float* w);

// IEEE 754 binary16, to nearest, ties to even; beyond its range infinity.
uint16_t float_to_half(float value);
float half_to_float(uint16_t half);

}  // namespace saccade::kernels
