#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "engine/kernels/paged_attention.h"

namespace saccade {

// A step's layout in a GPU's memory.
struct DeviceLayout {
  at::Tensor slots;      // [num_tokens] int64
  at::Tensor sequences;  // bytes: PagedSequence of each sequence; their block tables lie there too
};

// One copy, which is not waited for. A `device` that is not a GPU has no need of it.
DeviceLayout upload_layout(const std::vector<int64_t>& slots,
                           const std::vector<kernels::PagedSequence>& sequences, int block_size,
                           at::Device device);

// `host` on `device`, not waited for.
at::Tensor upload(const at::Tensor& host, at::Device device);

// `x` in float32 in memory of the host, contiguous; waits for it.
at::Tensor download(const at::Tensor& x);

}  // namespace saccade
