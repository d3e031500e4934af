#include "engine/layers/device_layout.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cstring>
#include <stdexcept>

#include "engine/layers/attention.h"

namespace saccade {
namespace {

int64_t table_length(const kernels::PagedSequence& sequence, int block_size) {
  return (sequence.context_length + block_size - 1) / block_size;
}

int64_t length_of_tables(const AttentionInput& input) {
  int64_t blocks = 0;
  for (const kernels::PagedSequence& sequence : input.sequences) {
    blocks += table_length(sequence, input.block_size);
  }
  return blocks;
}

}  // namespace

LayoutBuffer::LayoutBuffer(int64_t num_tokens, int64_t num_sequences, int64_t table_entries,
                           at::Device device)
    : num_tokens_(num_tokens), num_sequences_(num_sequences), table_entries_(table_entries) {
  constexpr int64_t kLong = sizeof(int64_t), kInt = sizeof(int32_t);
  places_.indices = num_tokens * kLong;
  places_.sequences = places_.indices + num_tokens * kLong;
  places_.axes = places_.sequences + num_sequences * int64_t{sizeof(kernels::PagedSequence)};
  places_.ids = places_.axes + num_tokens * 3 * int64_t{sizeof(float)};
  places_.tables = places_.ids + num_tokens * kInt;
  storage_ =
      at::empty({places_.tables + table_entries * kInt}, at::dtype(at::kByte).device(device));
  layout_ = {.slots = part(0, places_.indices).view(at::kLong),
             .indices = part(places_.indices, places_.sequences).view(at::kLong),
             .axes = part(places_.axes, places_.ids).view(at::kFloat).view({num_tokens, 3}),
             .ids = part(places_.ids, places_.tables).view(at::kInt),
             .sequences = part(places_.sequences, places_.axes)};
}

at::Tensor LayoutBuffer::part(int64_t first, int64_t end) const {
  return storage_.narrow(0, first, end - first);
}

void LayoutBuffer::fill(const std::vector<int32_t>& ids, const AttentionInput& input) {
  const int64_t entries = length_of_tables(input);
  if (static_cast<int64_t>(input.slots.size()) != num_tokens_ ||
      static_cast<int64_t>(input.sequences.size()) != num_sequences_ || entries > table_entries_) {
    throw std::logic_error("a step's layout does not fit its buffer");
  }
  const int64_t size = places_.tables + entries * int64_t{sizeof(int32_t)};
  const at::Tensor host = at::empty({size}, at::dtype(at::kByte).pinned_memory(true));
  auto* bytes = host.data_ptr<uint8_t>();
  std::memcpy(bytes, input.slots.data(), input.slots.size() * sizeof(int64_t));
  std::memcpy(bytes + places_.ids, ids.data(), ids.size() * sizeof(int32_t));
  auto* index = reinterpret_cast<int64_t*>(bytes + places_.indices);
  auto* axes = reinterpret_cast<float*>(bytes + places_.axes);
  for (const RopePosition& place : input.positions) {
    *index++ = place.index;
    for (const int64_t axis : place.axes) *axes++ = static_cast<float>(axis);
  }
  auto* sequence = reinterpret_cast<kernels::PagedSequence*>(bytes + places_.sequences);
  auto* table = reinterpret_cast<int32_t*>(bytes + places_.tables);
  const auto* device_table =
      reinterpret_cast<const int32_t*>(storage_.data_ptr<uint8_t>() + places_.tables);
  for (const kernels::PagedSequence& of_host : input.sequences) {
    const int64_t count = table_length(of_host, input.block_size);
    table = std::copy_n(of_host.blocks, count, table);
    *sequence = of_host;
    sequence->blocks = device_table;
    ++sequence;
    device_table += count;
  }
  part(0, size).copy_(host, /*non_blocking=*/true);
}

DeviceLayout upload_layout(const std::vector<int32_t>& ids, const AttentionInput& input,
                           at::Device device) {
  if (device.is_cpu()) return {};
  LayoutBuffer buffer(static_cast<int64_t>(input.slots.size()),
                      static_cast<int64_t>(input.sequences.size()), length_of_tables(input),
                      device);
  buffer.fill(ids, input);
  return buffer.layout();
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
