#include "engine/models/segment_attention.h"

#include <ATen/ATen.h>

#include "engine/layers/attention.h"

namespace saccade {

at::Tensor segment_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                             const std::vector<int64_t>& lengths) {
  std::vector<at::Tensor> mixed;
  int64_t first = 0;
  for (size_t i = 0; i < lengths.size();) {
    size_t end = i;
    while (end < lengths.size() && lengths[end] == lengths[i]) ++end;
    const auto count = static_cast<int64_t>(end - i);
    const auto segments = [&](const at::Tensor& rows) {
      return rows.narrow(0, first, count * lengths[i])
          .view({count, lengths[i], rows.size(1), rows.size(2)})
          .transpose(1, 2);
    };
    mixed.push_back(full_attention(segments(q), segments(k), segments(v)).flatten(0, 1));
    first += count * lengths[i];
    i = end;
  }
  return mixed.size() == 1 ? mixed[0] : at::cat(mixed);
}

}  // namespace saccade
