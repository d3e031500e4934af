#pragma once

#include <cstdint>

#include "engine/kernels/element.h"

namespace saccade::kernels {

// out[i] = round(round(silu(gate[i])) * up[i]), silu in float32: where the reference rounds.
// gate_up [rows, 2 * width]: gate first. Strides in elements.
void silu_mul(ElementType type, int64_t rows, int64_t width, const void* gate_up,
              int64_t gate_up_stride, void* out, int64_t out_stride);

}  // namespace saccade::kernels
