#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace saccade {

// Attention of packed rows within their segment only: q, k and v [n, heads, head_dim], `lengths` of
// the segments one after another, n together -> [n, heads * head_dim]. Neighbouring segments of one
// length run as one batch.
at::Tensor segment_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                             const std::vector<int64_t>& lengths);

}  // namespace saccade
