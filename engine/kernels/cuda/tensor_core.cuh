#pragma once

#include "engine/kernels/cuda/device_math.cuh"

namespace saccade::kernels::cuda {

using Bf16 = __nv_bfloat16;

// c [16, 8] += a [16, 16] b [16, 8], all spread over a warp as the PTX ISA has it ("Matrix
// Fragments for mma.m16n8k16"): lane t holds of a the rows t / 4 and t / 4 + 8, of b the column t /
// 4, both at k = 2 (t % 4), the next, and these plus 8; of c the rows t / 4 and t / 4 + 8 at the
// columns 2 (t % 4) and the next.
__device__ inline void multiply(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// The same where the rows from 8 on are zeros: of a and c what the other rows have.
__device__ inline void multiply(float (&c)[2], const uint32_t (&a)[2], uint32_t b0, uint32_t b1) {
  float none[2] = {};
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%5}, {%7,%8}, "
      "{%0,%1,%2,%3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(none[0]), "+f"(none[1])
      : "r"(a[0]), "r"(0u), "r"(a[1]), "r"(b0), "r"(b1));
}

}  // namespace saccade::kernels::cuda
