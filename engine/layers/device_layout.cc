#include "engine/layers/device_layout.h"

#include <ATen/ATen.h>

#include <cstring>

namespace saccade {

DeviceLayout upload_layout(const std::vector<int64_t>& slots,
                           const std::vector<kernels::PagedSequence>& sequences, int block_size,
                           at::Device device) {
  const auto blocks_of = [&](const kernels::PagedSequence& sequence) {
    return static_cast<size_t>((sequence.context_length + block_size - 1) / block_size);
  };
  size_t table_entries = 0;
  for (const kernels::PagedSequence& sequence : sequences) table_entries += blocks_of(sequence);
  const size_t slots_end = slots.size() * sizeof(int64_t);
  const size_t sequences_end = slots_end + sequences.size() * sizeof(kernels::PagedSequence);
  const auto size = static_cast<int64_t>(sequences_end + table_entries * sizeof(int32_t));

  at::Tensor storage = at::empty({size}, at::dtype(at::kByte).device(device));
  at::Tensor host = at::empty({size}, at::dtype(at::kByte).pinned_memory(true));
  auto* bytes = host.data_ptr<uint8_t>();
  std::memcpy(bytes, slots.data(), slots_end);
  auto* table = reinterpret_cast<int32_t*>(bytes + sequences_end);
  const auto* device_table =
      reinterpret_cast<const int32_t*>(storage.data_ptr<uint8_t>() + sequences_end);
  for (size_t i = 0; i < sequences.size(); ++i) {
    kernels::PagedSequence sequence = sequences[i];
    const size_t count = blocks_of(sequence);
    std::memcpy(table, sequence.blocks, count * sizeof(int32_t));
    sequence.blocks = device_table;
    std::memcpy(bytes + slots_end + i * sizeof sequence, &sequence, sizeof sequence);
    table += count;
    device_table += count;
  }
  storage.copy_(host, /*non_blocking=*/true);
  const auto part = [&](size_t first, size_t end) {
    return storage.narrow(0, static_cast<int64_t>(first), static_cast<int64_t>(end - first));
  };
  return {part(0, slots_end).view(at::kLong), part(slots_end, sequences_end)};
}

at::Tensor upload(const at::Tensor& host, at::Device device) {
  if (device.is_cpu()) return host;
  return host.pin_memory().to(device, /*non_blocking=*/true);
}

at::Tensor download(const at::Tensor& x) {
  if (x.is_cpu()) return x.to(at::kFloat).contiguous();
  at::Tensor host = at::empty(x.sizes(), at::dtype(at::kFloat).pinned_memory(true));
  return host.copy_(x.to(at::kFloat));
}

}  // namespace saccade
