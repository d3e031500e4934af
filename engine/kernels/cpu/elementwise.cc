#include "engine/kernels/cpu/activated.h"
#include "engine/kernels/cpu/fixed_point.h"
#include "engine/kernels/cpu/isa_functions.h"
#include "engine/kernels/cpu/simd.h"

namespace saccade::kernels::SACCADE_ISA {
namespace {

// Below this many elements a call is not worth a parallel region.
constexpr int64_t kParallelElements = 8192;

// What a row is to be multiplied with: 1 / sqrt(mean of its squares + eps).
float inverse_rms(Vec squares, int64_t width, float eps) {
  return 1.0f / __builtin_sqrtf(reduce_add(squares) / static_cast<float>(width) + eps);
}

// One row of out = round(weight * round(x * rms)); the inner rounding is that of W.
template <typename T, typename W>
void scale_row(const T* x, const W* weight, float rms, T* out, int64_t width) {
  for_vectors(width, [&](int64_t i, int n) {
    const Vec scaled = round_to(weight, load_part(x + i, n) * rms);
    store_part(out + i, load_part(weight + i, n) * scaled, n);
  });
}

template <typename T>
void normalise_row(const RmsNormArgs& args, const T* x, Vec squares, T* out) {
  const float rms = inverse_rms(squares, args.width, args.eps);
  if (args.wide_weight) {
    scale_row(x, static_cast<const float*>(args.weight), rms, out, args.width);
  } else {
    scale_row(x, static_cast<const T*>(args.weight), rms, out, args.width);
  }
}

template <typename T>
Vec squares_of(const T* x, int64_t width) {
  Vec squares = splat(0);
  for_vectors(width, [&](int64_t i, int n) {
    const Vec v = load_part(x + i, n);
    squares = v * v + squares;
  });
  return squares;
}

template <typename T>
void rms_norm_rows(const RmsNormArgs& args, int heads) {
#pragma omp parallel for schedule(static) if (args.rows * heads * args.width > kParallelElements)
  for (int64_t row = 0; row < args.rows; ++row) {
    const T* x = static_cast<const T*>(args.x) + row * args.x_stride;
    T* out = static_cast<T*>(args.out) + row * args.out_stride;
    for (int head = 0; head < heads; ++head) {
      const T* from = x + head * args.width;
      normalise_row(args, from, squares_of(from, args.width), out + head * args.width);
    }
  }
}

template <typename T>
void add_rms_norm_rows(const RmsNormArgs& args, T* residual, int64_t residual_stride,
                       const T* delta, int64_t delta_stride) {
#pragma omp parallel for schedule(static) if (args.rows * args.width > kParallelElements)
  for (int64_t row = 0; row < args.rows; ++row) {
    T* sum = residual + row * residual_stride;
    const T* added = delta + row * delta_stride;
    Vec squares = splat(0);
    for_vectors(args.width, [&](int64_t i, int n) {
      const Vec v = round_to(sum, load_part(sum + i, n) + load_part(added + i, n));
      store_part(sum + i, v, n);
      squares = v * v + squares;
    });
    normalise_row<T>(args, sum, squares, static_cast<T*>(args.out) + row * args.out_stride);
  }
}

template <typename T>
void activate_rows(Activation activation, int64_t rows, int64_t width, const T* x, int64_t x_stride,
                   T* out, int64_t out_stride) {
#pragma omp parallel for schedule(static) if (rows * width > kParallelElements)
  for (int64_t row = 0; row < rows; ++row) {
    with_activation(activation, [&]<Activation A>() {
      activate_row<A>(x + row * x_stride, out + row * out_stride, width);
    });
  }
}

template <typename T>
void gate_mul_rows(Activation activation, int64_t rows, int64_t width, const T* gate_up,
                   int64_t gate_up_stride, T* out, int64_t out_stride) {
#pragma omp parallel for schedule(static) if (rows * width > kParallelElements)
  for (int64_t row = 0; row < rows; ++row) {
    const T* x = gate_up + row * gate_up_stride;
    with_activation(activation, [&]<Activation A>() {
      gate_row<A>(x, x + width, out + row * out_stride, width);
    });
  }
}

// Rotates one head: out[i] = x[i] cos - x[i + half] sin, out[i + half] = x[i + half] cos + x[i]
// sin; the dimensions behind the rotated ones are copied. out may be x.
template <typename T>
void rotate_head(const T* x, T* out, int head_dim, int half, const float* cos, const float* sin) {
  for (int i = 0; i < half; i += kLanes) {
    const int n = min_of(kLanes, half - i);
    const Vec c = load_part(cos + i, n);
    const Vec s = load_part(sin + i, n);
    const Vec a = load_part(x + i, n);
    const Vec b = load_part(x + half + i, n);
    store_part(out + i, a * c - b * s, n);
    store_part(out + half + i, b * c + a * s, n);
  }
  if (out != x) std::memcpy(out + 2 * half, x + 2 * half, (head_dim - 2 * half) * sizeof(T));
}

// A key or value to its place in an int8 pool.
template <typename T>
void write_bytes(const T* row, int head_dim, int8_t* to, float* scale) {
  *scale = step_of(row, head_dim, 127.0f);
  divide_by_step(row, head_dim, *scale, to);
}

template <typename T>
void rope_rows(const RopeArgs& args) {
  const int half = args.rotary_dim / 2;
  const int64_t d = args.head_dim;
  const int64_t work = args.num_tokens * (args.heads + 2 * args.kv_heads) * d;
#pragma omp parallel for schedule(static) if (work > kParallelElements)
  for (int64_t token = 0; token < args.num_tokens; ++token) {
    T* q = static_cast<T*>(args.qkv) + token * args.qkv_stride;
    const T* k = q + args.heads * d;
    const T* v = k + args.kv_heads * d;
    const float* cos = args.cos + token * args.table_stride;
    const float* sin = args.sin + token * args.table_stride;
    for (int head = 0; head < args.heads; ++head) {
      rotate_head(q + head * d, q + head * d, args.head_dim, half, cos, sin);
    }
    const int64_t slot = args.slots[token];
    if (slot < 0) continue;
    const int64_t block = slot / args.block_size;
    const int64_t offset = slot % args.block_size;
    for (int head = 0; head < args.kv_heads; ++head) {
      const int64_t row = (block * args.kv_heads + head) * args.block_size + offset;
      const int64_t at = row * d;
      if (args.k_scales != nullptr) {
        auto* key = static_cast<T*>(thread_scratch(ScratchSlot::kWidened, d * sizeof(T)));
        rotate_head(k + head * d, key, args.head_dim, half, cos, sin);
        write_bytes(key, args.head_dim, static_cast<int8_t*>(args.k_pool) + at,
                    args.k_scales + row);
        write_bytes(v + head * d, args.head_dim, static_cast<int8_t*>(args.v_pool) + at,
                    args.v_scales + row);
        continue;
      }
      rotate_head(k + head * d, static_cast<T*>(args.k_pool) + at, args.head_dim, half, cos, sin);
      std::memcpy(static_cast<T*>(args.v_pool) + at, v + head * d, d * sizeof(T));
    }
  }
}

}  // namespace

void rms_norm(const RmsNormArgs& args) {
  args.type == ElementType::kFloat32 ? rms_norm_rows<float>(args, 1) : rms_norm_rows<Bf16>(args, 1);
}

void rms_norm_heads(const RmsNormArgs& args, int heads) {
  args.type == ElementType::kFloat32 ? rms_norm_rows<float>(args, heads)
                                     : rms_norm_rows<Bf16>(args, heads);
}

void add_rms_norm(const RmsNormArgs& args, void* residual, int64_t residual_stride,
                  const void* delta, int64_t delta_stride) {
  if (args.type == ElementType::kFloat32) {
    add_rms_norm_rows(args, static_cast<float*>(residual), residual_stride,
                      static_cast<const float*>(delta), delta_stride);
  } else {
    add_rms_norm_rows(args, static_cast<Bf16*>(residual), residual_stride,
                      static_cast<const Bf16*>(delta), delta_stride);
  }
}

void activate(Activation activation, ElementType type, int64_t rows, int64_t width, const void* x,
              int64_t x_stride, void* out, int64_t out_stride) {
  if (type == ElementType::kFloat32) {
    activate_rows(activation, rows, width, static_cast<const float*>(x), x_stride,
                  static_cast<float*>(out), out_stride);
  } else {
    activate_rows(activation, rows, width, static_cast<const Bf16*>(x), x_stride,
                  static_cast<Bf16*>(out), out_stride);
  }
}

void gate_mul(Activation activation, ElementType type, int64_t rows, int64_t width,
              const void* gate_up, int64_t gate_up_stride, void* out, int64_t out_stride) {
  if (type == ElementType::kFloat32) {
    gate_mul_rows(activation, rows, width, static_cast<const float*>(gate_up), gate_up_stride,
                  static_cast<float*>(out), out_stride);
  } else {
    gate_mul_rows(activation, rows, width, static_cast<const Bf16*>(gate_up), gate_up_stride,
                  static_cast<Bf16*>(out), out_stride);
  }
}

void rope_and_write_kv(const RopeArgs& args) {
  args.type == ElementType::kFloat32 ? rope_rows<float>(args) : rope_rows<Bf16>(args);
}

}  // namespace saccade::kernels::SACCADE_ISA
