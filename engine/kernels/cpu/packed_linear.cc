#include "engine/kernels/packed_linear.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>

#include "engine/kernels/cpu/kernel_table.h"
#include "engine/kernels/isa.h"
#include "engine/kernels/quantize.h"

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

// Row `row` of w, inputs [first, first + kQuantGroup), as float32; zeros where there are none.
void load_group(const void* w, ElementType type, int64_t n, int64_t k, int64_t row, int64_t first,
                float* out) {
  std::fill(out, out + kQuantGroup, 0.0f);
  if (row >= n) return;
  const int64_t count = std::min<int64_t>(kQuantGroup, k - first);
  const char* from = static_cast<const char*>(w) + (row * k + first) * bytes_of(type);
  if (type == ElementType::kFloat32) {
    std::memcpy(out, from, count * sizeof(float));
    return;
  }
  for (int64_t i = 0; i < count; ++i) {
    uint16_t value;
    std::memcpy(&value, from + i * sizeof value, sizeof value);
    out[i] = bf16_to_float(value);
  }
}

// Column `column` of a panel's block; layouts in packed_linear.h.
void store_int8(const QuantizedGroup& group, int64_t column, std::byte* block) {
  constexpr int64_t kPanel = PackedLinear::kPanel;
  std::memcpy(block + column * 2, &group.scale, 2);
  std::byte* q = block + 2 * kPanel;
  for (int i = 0; i < kQuantGroup; ++i) {
    q[(i / 4 * kPanel + column) * 4 + i % 4] = static_cast<std::byte>(group.q[i]);
  }
}
void store_int4(const QuantizedGroup& group, int64_t column, std::byte* block) {
  constexpr int64_t kPanel = PackedLinear::kPanel;
  constexpr int kHalf = kQuantGroup / 2;
  std::memcpy(block + column * 2, &group.scale, 2);
  std::memcpy(block + (kPanel + column) * 2, &group.min, 2);
  std::byte* q = block + 4 * kPanel;
  for (int i = 0; i < kHalf; ++i) {
    q[(i / 4 * kPanel + column) * 4 + i % 4] =
        static_cast<std::byte>(group.q[i] | group.q[kHalf + i] << 4);
  }
}

// One panel of groups: `group_at(row, g)` gives inputs [g * kQuantGroup, ...) of a row; rows from n
// on are zeros.
template <typename GroupAt>
void pack_quantized_panel(int64_t padded_k, WeightFormat format, int64_t first, std::byte* out,
                          GroupAt group_at) {
  const int64_t block_bytes = quant_block_bytes(format);
  for (int64_t g = 0; g < padded_k / kQuantGroup; ++g, out += block_bytes) {
    for (int64_t column = 0; column < PackedLinear::kPanel; ++column) {
      const QuantizedGroup group = group_at(first + column, g);
      format == WeightFormat::kInt8 ? store_int8(group, column, out)
                                    : store_int4(group, column, out);
    }
  }
}

int64_t padded_depth(WeightFormat format, int64_t k) {
  switch (format) {
    case WeightFormat::kFloat32:
      return k;
    case WeightFormat::kBFloat16:
      return round_up(k, kAmxDepth);
    default:
      return round_up(k, kQuantGroup);
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

PackedLinear::PackedLinear(WeightFormat format, int64_t n, int64_t k)
    : format_(format), n_(n), k_(k), padded_k_(padded_depth(format, k)) {
  const size_t aligned = round_up(std::max<size_t>(bytes(), 1), 64);
  data_.reset(static_cast<std::byte*>(std::aligned_alloc(64, aligned)));
  if (data_ == nullptr) throw std::bad_alloc();
}

int64_t PackedLinear::panel_bytes() const {
  switch (format_) {
    case WeightFormat::kFloat32:
      return kPanel * padded_k_ * 4;
    case WeightFormat::kBFloat16:
      return kPanel * padded_k_ * 2;
    default:
      return padded_k_ / kQuantGroup * quant_block_bytes(format_);
  }
}

size_t PackedLinear::bytes() const {
  return static_cast<size_t>((n_ + kPanel - 1) / kPanel * panel_bytes());
}

PackedLinear PackedLinear::pack(const void* w, ElementType type, int64_t n, int64_t k,
                                WeightFormat format) {
  PackedLinear linear(format, n, k);
  const int64_t panels = (n + kPanel - 1) / kPanel;
#pragma omp parallel for schedule(static)
  for (int64_t panel = 0; panel < panels; ++panel) {
    std::byte* out = linear.data_.get() + panel * linear.panel_bytes();
    const int64_t first = panel * kPanel;
    if (format == WeightFormat::kFloat32) {
      pack_panel(static_cast<const float*>(w), n, k, linear.padded_k_, 1, first,
                 reinterpret_cast<float*>(out));
    } else if (format == WeightFormat::kBFloat16) {
      pack_panel(static_cast<const uint16_t*>(w), n, k, linear.padded_k_, 2, first,
                 reinterpret_cast<uint16_t*>(out));
    } else {
      pack_quantized_panel(linear.padded_k_, format, first, out, [&](int64_t row, int64_t g) {
        float values[kQuantGroup];
        load_group(w, type, n, k, row, g * kQuantGroup, values);
        return format == WeightFormat::kInt8 ? quantize_int8(values) : quantize_int4(values);
      });
    }
  }
  return linear;
}

PackedLinear PackedLinear::pack(const QuantizedRows& rows) {
  PackedLinear linear(rows.format, rows.n, rows.k);
  const int64_t groups = rows.k / kQuantGroup;
  const int64_t panels = (rows.n + kPanel - 1) / kPanel;
#pragma omp parallel for schedule(static)
  for (int64_t panel = 0; panel < panels; ++panel) {
    std::byte* out = linear.data_.get() + panel * linear.panel_bytes();
    pack_quantized_panel(rows.k, rows.format, panel * kPanel, out, [&](int64_t row, int64_t g) {
      return row < rows.n ? rows.groups[static_cast<size_t>(row * groups + g)] : QuantizedGroup{};
    });
  }
  return linear;
}

void PackedLinear::run(const void* x, ElementType in, int64_t x_stride, int64_t m,
                       const float* bias, void* y, int64_t y_stride, ElementType out,
                       const Epilogue& epilogue) const {
  LinearArgs args{.format = format_,
                  .in = in,
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
                  .y_stride = y_stride,
                  .epilogue = epilogue};
  if (format_ == WeightFormat::kBFloat16) {
    const bool tiles = active_isa() == Isa::kAmx && m >= kAmxRows;
    const bool pairs = tiles || active_isa() == Isa::kAvx512Bf16 || active_isa() == Isa::kAmx;
    if (pairs && k_ % (tiles ? kAmxDepth : 2) != 0) args = with_padded_rows(args);
  }
  kernel_table().linear(args);
}

}  // namespace saccade::kernels
