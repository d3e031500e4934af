#include "engine/kernels/packed_linear.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>

#include "engine/kernels/cpu/kernel_table.h"
#include "engine/kernels/isa.h"

namespace saccade::kernels {
namespace {

constexpr int64_t kAmxDepth = 32;  // bf16 of k in one tile

int64_t round_up(int64_t value, int64_t step) { return (value + step - 1) / step * step; }

// One panel: [padded_k / group][32][group] elements from rows [first, first + 32) of w.
template <typename T>
void pack_panel(const T* w, int64_t n, int64_t k, int64_t padded_k, int64_t group, int64_t first,
                T* out) {
  constexpr int64_t kPanel = PackedLinear::kPanel;
  std::memset(out, 0, kPanel * padded_k * sizeof(T));
  for (int64_t row = 0; row < std::min(kPanel, n - first); ++row) {
    const auto* from = reinterpret_cast<const char*>(w) + (first + row) * k * sizeof(T);
    for (int64_t i = 0; i < k; ++i) {  // memcpy: w may be unaligned
      std::memcpy(out + (i / group * kPanel + row) * group + i % group, from + i * sizeof(T),
                  sizeof(T));
    }
  }
}

// Rows of x copied with zeros up to padded_k elements, for kernels that read k in larger steps.
LinearArgs with_padded_rows(LinearArgs args) {
  const size_t row_bytes = args.padded_k * 2;
  auto* rows = static_cast<char*>(thread_scratch(ScratchSlot::kRows, args.m * row_bytes));
  for (int64_t row = 0; row < args.m; ++row) {
    char* to = rows + row * row_bytes;
    std::memcpy(to, static_cast<const char*>(args.x) + row * args.x_stride * 2, args.k * 2);
    std::memset(to + args.k * 2, 0, row_bytes - args.k * 2);
  }
  args.x = rows;
  args.x_stride = args.padded_k;
  return args;
}

}  // namespace

void PackedLinear::Free::operator()(std::byte* data) const { std::free(data); }

PackedLinear::PackedLinear(ElementType type, int64_t n, int64_t k)
    : type_(type),
      n_(n),
      k_(k),
      padded_k_(type == ElementType::kBFloat16 ? round_up(k, kAmxDepth) : k) {
  const size_t aligned = round_up(std::max<size_t>(bytes(), 1), 64);
  data_.reset(static_cast<std::byte*>(std::aligned_alloc(64, aligned)));
  if (data_ == nullptr) throw std::bad_alloc();
}

size_t PackedLinear::bytes() const {
  return static_cast<size_t>(round_up(n_, kPanel) * padded_k_) * bytes_of(type_);
}

PackedLinear PackedLinear::pack_bf16(const void* w, int64_t n, int64_t k) {
  PackedLinear linear(ElementType::kBFloat16, n, k);
  auto* out = reinterpret_cast<uint16_t*>(linear.data_.get());
#pragma omp parallel for schedule(static)
  for (int64_t first = 0; first < n; first += kPanel) {
    pack_panel(static_cast<const uint16_t*>(w), n, k, linear.padded_k_, 2, first,
               out + first * linear.padded_k_);
  }
  return linear;
}

PackedLinear PackedLinear::pack_f32(const void* w, int64_t n, int64_t k) {
  PackedLinear linear(ElementType::kFloat32, n, k);
  auto* out = reinterpret_cast<float*>(linear.data_.get());
#pragma omp parallel for schedule(static)
  for (int64_t first = 0; first < n; first += kPanel) {
    pack_panel(static_cast<const float*>(w), n, k, k, 1, first, out + first * k);
  }
  return linear;
}

void PackedLinear::run(const void* x, int64_t x_stride, int64_t m, const float* bias, void* y,
                       int64_t y_stride, ElementType out) const {
  LinearArgs args{.type = type_,
                  .out = out,
                  .m = m,
                  .n = n_,
                  .k = k_,
                  .padded_k = padded_k_,
                  .x = x,
                  .x_stride = x_stride,
                  .weight = data_.get(),
                  .bias = bias,
                  .y = y,
                  .y_stride = y_stride};
  const bool tiles = active_isa() == Isa::kAmx && m >= kAmxRows;
  const int64_t step = type_ == ElementType::kFloat32 ? 1 : tiles ? kAmxDepth : 2;
  kernel_table().linear(k_ % step == 0 ? args : with_padded_rows(args));
}

}  // namespace saccade::kernels
