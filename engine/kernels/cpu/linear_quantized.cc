// Linear layers with int8 and int4 weights: activations rounded to int8 by groups, integer
// products, one float32 multiplication per group.
#include "engine/kernels/cpu/epilogue.h"
#include "engine/kernels/cpu/fixed_point.h"
#include "engine/kernels/cpu/int8_dot.h"
#include "engine/kernels/cpu/isa_functions.h"
#include "engine/kernels/cpu/microkernel.h"
#include "engine/kernels/cpu/panel_tasks.h"

namespace saccade::kernels::SACCADE_ISA {
namespace {

constexpr int kSteps = kQuantGroup / 4;  // of four inputs
// Rows that share one pass over a panel: their integer sums stay in registers.
constexpr int kRowsAtATime = 8;
// Vectors of columns that are multiplied at a time. Few rows take several, which share what is read
// of x and do not wait for one another. Loops around this are not unrolled: g++ would fetch x for
// all of them first and run out of registers.
template <int R>
constexpr int kVecsAtATime = R > 2            ? 1
                             : kStripVecs < 4 ? kStripVecs
                                              : 4;
constexpr int64_t kTaskRows = 64;

// Activations of a call: x = scale q, and what a group's sum of x is.
struct Activations {
  int64_t groups;
  int8_t* q;      // [m, groups, kQuantGroup], kActivationOffset higher for int8 weights
  float* scales;  // [m, groups]
  float* sums;    // [m, groups]

  const int8_t* values(int64_t row, int64_t group) const {
    return q + (row * groups + group) * kQuantGroup;
  }
};

// One group of a row; inputs behind the last are zeros.
template <typename T>
void quantize_group(const T* x, int count, int offset, int8_t* q, float& scale, float& sum) {
  float values[kQuantGroup] = {};
  Vec largest = splat(0);
  for (int i = 0; i < count; i += kLanes) {
    const Vec v = load_part(x + i, min_of(kLanes, count - i));
    store(values + i, v);
    largest = vmax(vmax(v, -v), largest);
  }
  const float top = reduce_max(largest);
  scale = top / 127.0f;
  const float inverse = top > 0 ? 127.0f / top : 0.0f;
  int32_t total = 0;
  for (int i = 0; i < kQuantGroup; i += kLanes) {
    const IVec level = round_product(load(values + i), splat(inverse));
    for (int lane = 0; lane < kLanes; ++lane) {
      total += level[lane];
      q[i + lane] = static_cast<int8_t>(level[lane] + offset);
    }
  }
  sum = scale * static_cast<float>(total);
}

template <typename T>
void quantize_rows(const LinearArgs& args, const Activations& to) {
  const int offset = args.format == WeightFormat::kInt8 ? kActivationOffset : 0;
#pragma omp parallel for schedule(static) if (args.m * args.k > kParallelLinearWork)
  for (int64_t row = 0; row < args.m; ++row) {
    const T* x = static_cast<const T*>(args.x) + row * args.x_stride;
    for (int64_t g = 0; g < to.groups; ++g) {
      const int64_t at = row * to.groups + g;
      const int count = static_cast<int>(min_of<int64_t>(kQuantGroup, args.k - g * kQuantGroup));
      quantize_group(x + g * kQuantGroup, count, offset, to.q + at * kQuantGroup, to.scales[at],
                     to.sums[at]);
    }
  }
}

Activations quantize(const LinearArgs& args) {
  Activations to;
  to.groups = args.padded_k / kQuantGroup;
  const int64_t count = args.m * to.groups;
  auto* scratch = static_cast<char*>(thread_scratch(
      ScratchSlot::kRows, count * (kQuantGroup + 2 * static_cast<int64_t>(sizeof(float)))));
  to.q = reinterpret_cast<int8_t*>(scratch);
  to.scales = reinterpret_cast<float*>(scratch + count * kQuantGroup);
  to.sums = to.scales + count;
  args.in == ElementType::kFloat32 ? quantize_rows<float>(args, to) : quantize_rows<Bf16>(args, to);
  return to;
}

IVec broadcast(const int8_t* four) {
  int32_t bits;
  std::memcpy(&bits, four, sizeof bits);
  return splat_int(bits);
}

// The integer formats: products of one group, V vectors of columns from vector `first` of the strip
// on and R rows, added to `sums`. `block` is the group's block of a panel.
struct Int8Format {
  static constexpr WeightFormat kFormat = WeightFormat::kInt8;

  template <int R, int V>
  static void add_group(const char* block, const Activations& x, int64_t row, int64_t group,
                        int first, Vec (&sums)[R][kStripVecs]) {
    const char* q = block + 2 * kStrip + first * static_cast<int64_t>(sizeof(IVec));
    IVec products[R][V] = {};
    IVec excess[V] = {};
#pragma GCC unroll 2
    for (int step = 0; step < kSteps; ++step) {
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) {
        const Int8Weights w(q + (step * kStrip + v * kLanes) * 4);
        excess[v] = w.excess(excess[v]);
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) {
          products[r][v] = w.dot(broadcast(x.values(row + r, group) + step * 4), products[r][v]);
        }
      }
    }
    const auto* scales = reinterpret_cast<const uint16_t*>(block) + first * kLanes;
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) {
      const Vec scale = load_half(scales + v * kLanes);
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) {
        const IVec exact = products[r][v] - excess[v] * kActivationOffset;
        sums[r][first + v] += to_float(exact) * (scale * x.scales[(row + r) * x.groups + group]);
      }
    }
  }
};

struct Int4Format {
  static constexpr WeightFormat kFormat = WeightFormat::kInt4;

  template <int R, int V>
  static void add_group(const char* block, const Activations& x, int64_t row, int64_t group,
                        int first, Vec (&sums)[R][kStripVecs]) {
    const char* q = block + 4 * kStrip + first * static_cast<int64_t>(sizeof(IVec));
    IVec products[R][V] = {};
#pragma GCC unroll 2
    for (int step = 0; step < kSteps / 2; ++step) {
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) {
        const IVec both = load_bytes(q + (step * kStrip + v * kLanes) * 4);
        const Int4Weights low(both & 0x0f0f0f0f);
        const Int4Weights high((both >> 4) & 0x0f0f0f0f);
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) {
          const int8_t* values = x.values(row + r, group) + step * 4;
          products[r][v] = low.dot(broadcast(values), products[r][v]);
          products[r][v] = high.dot(broadcast(values + kQuantGroup / 2), products[r][v]);
        }
      }
    }
    const auto* scales = reinterpret_cast<const uint16_t*>(block) + first * kLanes;
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) {
      const Vec scale = load_half(scales + v * kLanes);
      const Vec min = load_half(scales + kStrip + v * kLanes);
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) {
        const int64_t at = (row + r) * x.groups + group;
        sums[r][first + v] += to_float(Int4Weights::total(products[r][v])) * (scale * x.scales[at]);
        sums[r][first + v] += min * x.sums[at];
      }
    }
  }
};

template <class Format, typename Out>
void multiply_panel(const LinearArgs& args, const Activations& x, int64_t panel, int64_t row_begin,
                    int64_t row_end) {
  constexpr int64_t kBlock = quant_block_bytes(Format::kFormat);
  const char* weight = reinterpret_cast<const char*>(args.weight) + panel * x.groups * kBlock;
  const int64_t column = panel * kStrip;
  const float* bias = args.bias == nullptr ? nullptr : args.bias + column;
  for_row_groups<kRowsAtATime>(row_end - row_begin, [&]<int R>(int64_t first) {
    constexpr int64_t kFetchBlocks = kFetchSteps<R> / 16;
    const int64_t row = row_begin + first;
    Vec sums[R][kStripVecs] = {};
    for (int64_t g = 0; g < x.groups; ++g) {
      const char* block = weight + g * kBlock;
      const char* next = block + kFetchBlocks * kBlock;
      for (int64_t at = 0; at < kBlock; at += 64) __builtin_prefetch(next + at, 0, kFetchInto);
#pragma GCC unroll 1
      for (int first = 0; first < kStripVecs; first += kVecsAtATime<R>) {
        Format::template add_group<R, kVecsAtATime<R>>(block, x, row, g, first, sums);
      }
    }
    finish<Out, R>(sums, bias, static_cast<Out*>(args.y) + row * args.y_stride + column,
                   args.y_stride, args.n - column);
    run_epilogue<Out>(args, row, row + R, column, kStrip);
  });
}

template <class Format, typename Out>
void multiply_all(const LinearArgs& args) {
  const Activations x = quantize(args);
  run_panel_tasks(args, kTaskRows, 1, [&] {
    return [&](int64_t panel, int64_t row_begin, int64_t row_end) {
      multiply_panel<Format, Out>(args, x, panel, row_begin, row_end);
    };
  });
}

template <class Format>
void multiply_as(const LinearArgs& args) {
  args.out == ElementType::kFloat32 ? multiply_all<Format, float>(args)
                                    : multiply_all<Format, Bf16>(args);
}

}  // namespace

void linear_quantized(const LinearArgs& args) {
  args.format == WeightFormat::kInt8 ? multiply_as<Int8Format>(args)
                                     : multiply_as<Int4Format>(args);
}

}  // namespace saccade::kernels::SACCADE_ISA
