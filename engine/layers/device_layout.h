#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "engine/kernels/paged_attention.h"

namespace saccade {

struct AttentionInput;

// A step's layout in a GPU's memory: all that a step reads of the host.
struct DeviceLayout {
  at::Tensor slots;      // [num_tokens] int64
  at::Tensor indices;    // [num_tokens] int64: RopePosition::index
  at::Tensor axes;       // [num_tokens, 3] float32: RopePosition::axes
  at::Tensor ids;        // [num_tokens] int32
  at::Tensor sequences;  // bytes: PagedSequence of each sequence; their block tables lie there too
};

// Memory of a GPU for the layouts of steps of one size, one after the other.
class LayoutBuffer {
 public:
  // `table_entries`: blocks of all sequences together, at most.
  LayoutBuffer(int64_t num_tokens, int64_t num_sequences, int64_t table_entries, at::Device device);

  const DeviceLayout& layout() const { return layout_; }

  // Overwrites the layout with that of a step of this size, by one copy that is not waited for.
  // `ids` and `input.positions` may be empty: what stands for them then is not to be read.
  void fill(const std::vector<int32_t>& ids, const AttentionInput& input);

 private:
  // Where the parts begin, in bytes; the tables come last.
  struct Places {
    int64_t indices, sequences, axes, ids, tables;
  };
  at::Tensor part(int64_t first, int64_t end) const;

  int64_t num_tokens_, num_sequences_, table_entries_;
  Places places_;
  at::Tensor storage_;  // bytes
  DeviceLayout layout_;
};

// A step's layout in memory of its own; no tensors where `device` is not a GPU, which has no need
// of it.
DeviceLayout upload_layout(const std::vector<int32_t>& ids, const AttentionInput& input,
                           at::Device device);

// `host` on `device`, not waited for.
at::Tensor upload(const at::Tensor& host, at::Device device);

// `x` in float32 in memory of the host, contiguous; waits for it.
at::Tensor download(const at::Tensor& x);

}  // namespace saccade
