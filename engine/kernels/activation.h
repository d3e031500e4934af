#pragma once

#include <cstdint>

#include "engine/kernels/element.h"

namespace saccade::kernels {

enum class Gate {
  kSilu,      // x / (1 + e^-x)
  kGeluTanh,  // x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))
};

// out[i] = round(round(gate(x[i])) * up[i]), the gate in float32: where the reference rounds.
// gate_up [rows, 2 * width]: x first. Strides in elements.
void gate_mul(Gate gate, ElementType type, int64_t rows, int64_t width, const void* gate_up,
              int64_t gate_up_stride, void* out, int64_t out_stride);

}  // namespace saccade::kernels
