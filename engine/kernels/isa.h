#pragma once

#include <string_view>

namespace saccade::kernels {

// Instruction sets that the kernels are compiled for, in one binary. Each holds those before it.
enum class Isa {
  kBaseline,    // what the compiler targets by default (x86-64: SSE2)
  kAvx2,        // AVX2, FMA, F16C
  kAvx512,      // AVX-512 F, BW, DQ, VL
  kAvx512Bf16,  // and AVX512-BF16 and -VNNI: dot products of bf16 and of bytes
  kAmx,         // and AMX-BF16 tiles, which the kernel of the operating system must permit
};

std::string_view name_of(Isa isa);
bool is_supported(Isa isa);
// The one in use; the best that this machine supports unless it was chosen by use_isa().
Isa active_isa();
// For tests and measurements; `isa` must be supported. Not while a kernel runs.
void use_isa(Isa isa);

}  // namespace saccade::kernels
