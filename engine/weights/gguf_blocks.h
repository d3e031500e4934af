#pragma once

#include <cstdint>

#include "engine/kernels/quantize.h"
#include "engine/weights/tensor_view.h"

namespace saccade {

// The block formats of GGUF files, read in groups of 32 values. Layouts: ggml's ggml-common.h.

// Group `group` of row `row` (as the file orders rows) of a tensor in a block format -> out[32].
void read_group(const TensorView& tensor, int64_t row, int64_t group, float* out);

// The packed format that comes closest. Q8_0 and Q5_0 become int8, Q4_0 and Q4_1 int4, number for
// number; Q4_K's int4 scales are products that get rounded to float16; groups of Q5_1, Q5_K and
// Q6_K (two scales, or an offset) are rounded anew, to int8.
kernels::WeightFormat packed_format(TensorDtype dtype);

// The same group in an integer format that is at least as wide as packed_format(tensor.dtype).
kernels::QuantizedGroup read_quantized_group(const TensorView& tensor, int64_t row, int64_t group,
                                             kernels::WeightFormat format);

}  // namespace saccade
