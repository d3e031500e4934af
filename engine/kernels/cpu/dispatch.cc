#include <atomic>
#include <cstdlib>
#include <new>
#include <utility>

#include "engine/kernels/cpu/kernel_table.h"
#include "engine/kernels/isa.h"
#include "engine/kernels/sampling.h"

#if defined(__x86_64__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace saccade::kernels {
namespace {

#if defined(__x86_64__)
// Linux gives the 8 KB of tile registers to those processes alone that ask for them.
bool amx_permitted() {
  constexpr long kRequestPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM
  constexpr unsigned long kTileData = 18;      // XFEATURE_XTILEDATA
  static const bool permitted = ::syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
  return permitted;
}

// CPUID leaf 7: AMX-BF16 and AMX-TILE. __builtin_cpu_supports of g++ 12 does not know them.
bool has_amx() {
  unsigned eax = 7, ebx = 0, ecx = 0, edx = 0;
  __asm__ volatile("cpuid" : "+a"(eax), "=b"(ebx), "+c"(ecx), "=d"(edx));
  constexpr unsigned kAmxBf16 = 1u << 22;
  constexpr unsigned kAmxTile = 1u << 24;
  return (edx & kAmxBf16) != 0 && (edx & kAmxTile) != 0;
}

bool has_avx2() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
         __builtin_cpu_supports("f16c");
}
bool has_avx512() {
  return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}
bool has_avx512_bf16() {
  return has_avx512() && __builtin_cpu_supports("avx512bf16") &&
         __builtin_cpu_supports("avx512vnni");
}
#endif

Isa best_isa() {
  for (const Isa isa : {Isa::kAmx, Isa::kAvx512Bf16, Isa::kAvx512, Isa::kAvx2}) {
    if (is_supported(isa)) return isa;
  }
  return Isa::kBaseline;
}

struct Selection {
  KernelTable table;
  Isa isa;
};

KernelTable table_of(Isa isa) {
  KernelTable table = baseline::kTable;
#if defined(__x86_64__)
  if (isa == Isa::kAvx2) table = avx2::kTable;
  if (isa == Isa::kAvx512) table = avx512::kTable;
  if (isa == Isa::kAvx512Bf16) table = avx512_bf16::kTable;
  if (isa == Isa::kAmx) table = amx::kTable;
#endif
  return table;
}

Selection& selection() {
  static Selection selected{table_of(best_isa()), best_isa()};
  return selected;
}

struct Scratch {
  struct Buffer {
    void* data = nullptr;
    size_t bytes = 0;
  };
  Buffer buffers[static_cast<int>(ScratchSlot::kCount)];
  ~Scratch() {
    for (Buffer& buffer : buffers) std::free(buffer.data);
  }
};

}  // namespace

std::string_view name_of(Isa isa) {
  switch (isa) {
    case Isa::kBaseline:
      return "baseline";
    case Isa::kAvx2:
      return "avx2";
    case Isa::kAvx512:
      return "avx512";
    case Isa::kAvx512Bf16:
      return "avx512_bf16";
    case Isa::kAmx:
      return "amx";
  }
  return "";
}

bool is_supported(Isa isa) {
  if (isa == Isa::kBaseline) return true;
#if defined(__x86_64__)
  if (isa == Isa::kAvx2) return has_avx2();
  if (isa == Isa::kAvx512) return has_avx512();
  if (isa == Isa::kAvx512Bf16) return has_avx512_bf16();
  if (isa == Isa::kAmx) return has_avx512_bf16() && has_amx() && amx_permitted();
#endif
  return false;
}

Isa active_isa() { return selection().isa; }
void use_isa(Isa isa) { selection() = Selection{table_of(isa), isa}; }
const KernelTable& kernel_table() { return selection().table; }

void* thread_scratch(ScratchSlot slot, size_t bytes) {
  constexpr size_t kAlignment = 64;
  static thread_local Scratch scratch;
  Scratch::Buffer& buffer = scratch.buffers[static_cast<int>(slot)];
  if (buffer.bytes < bytes) {
    std::free(std::exchange(buffer.data, nullptr));
    buffer.bytes = 0;
    const size_t rounded = (bytes + kAlignment - 1) / kAlignment * kAlignment;
    buffer.data = std::aligned_alloc(kAlignment, rounded);
    if (buffer.data == nullptr) throw std::bad_alloc();
    buffer.bytes = rounded;
  }
  return buffer.data;
}

void paged_attention(const PagedAttentionArgs& args) { kernel_table().paged_attention(args); }
void rope_and_write_kv(const RopeArgs& args) { kernel_table().rope_and_write_kv(args); }
void rms_norm(const RmsNormArgs& args) { kernel_table().rms_norm(args); }
void rms_norm_heads(const RmsNormArgs& args, int heads) {
  kernel_table().rms_norm_heads(args, heads);
}
void add_rms_norm(const RmsNormArgs& args, void* residual, int64_t residual_stride,
                  const void* delta, int64_t delta_stride) {
  kernel_table().add_rms_norm(args, residual, residual_stride, delta, delta_stride);
}
void activate(Activation activation, ElementType type, int64_t rows, int64_t width, const void* x,
              int64_t x_stride, void* out, int64_t out_stride) {
  kernel_table().activate(activation, type, rows, width, x, x_stride, out, out_stride);
}
void gate_mul(Activation activation, ElementType type, int64_t rows, int64_t width,
              const void* gate_up, int64_t gate_up_stride, void* out, int64_t out_stride) {
  kernel_table().gate_mul(activation, type, rows, width, gate_up, gate_up_stride, out, out_stride);
}
float max_value(const float* values, int64_t n) { return kernel_table().max_value(values, n); }
float log_sum_exp(const float* logits, int64_t n) { return kernel_table().log_sum_exp(logits, n); }
void softmax_weights(const float* logits, float scale, float least, const TokenWeights& to) {
  kernel_table().softmax_weights(logits, scale, least, to);
}
WeightMass mass_at_least(const TokenWeights& tokens, float bound) {
  return kernel_table().mass_at_least(tokens, bound);
}
void drop_below(const TokenWeights& tokens, float bound) {
  kernel_table().drop_below(tokens, bound);
}

}  // namespace saccade::kernels
