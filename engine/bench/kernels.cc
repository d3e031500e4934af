#include "engine/bench/kernels.h"

#include <c10/core/InferenceMode.h>

#include <cstdio>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "engine/bench/ceiling.h"
#include "engine/bench/timing.h"
#include "engine/kernels/activation.h"
#include "engine/kernels/isa.h"
#include "engine/kernels/norm.h"
#include "engine/kernels/packed_linear.h"
#include "engine/kernels/paged_attention.h"
#include "engine/kernels/rope.h"
#include "engine/kernels/sampling.h"

namespace saccade {
namespace {

using kernels::ElementType;
using kernels::WeightFormat;

// SmolLM2-135M.
constexpr int kHidden = 576, kGate = 1536, kHeads = 9, kKvHeads = 3, kHeadDim = 64;
constexpr int64_t kVocabulary = 49152;
constexpr int kBlock = 16;
// Operands of a call that a step finds in memory are spread over this much: beyond every cache.
constexpr int64_t kBeyondCaches = int64_t{128} << 20;

// What one call reads and writes, and the multiplications and additions it takes.
struct Work {
  double bytes;
  double operations;
};

// Fills with numbers of ordinary size; bfloat16 values all, so that they serve as both types.
std::vector<uint16_t> random_bf16(int64_t count) {
  std::mt19937 random(1);
  std::vector<uint16_t> values(static_cast<size_t>(count));
  for (uint16_t& value : values) {
    value = kernels::float_to_bf16(static_cast<float>(random() % 2001) / 1000.0F - 1.0F);
  }
  return values;
}
std::vector<float> random_floats(int64_t count) {
  std::vector<float> values;
  values.reserve(static_cast<size_t>(count));
  for (const uint16_t value : random_bf16(count)) values.push_back(kernels::bf16_to_float(value));
  return values;
}

// Measures and prints rows beside the machine's ceilings.
class Table {
 public:
  Table(bool json, const Ceiling& ceiling) : json_(json), ceiling_(ceiling) {}

  // Times `calls` calls of run(i), each of which does `work`.
  template <class Run>
  void add(const char* kernel, const std::string& shape, const Work& work, int calls,
           const Run& run) const {
    constexpr double kEnough = 0.2;
    const auto all = [&] {
      for (int i = 0; i < calls; ++i) run(i);
    };
    const double seconds = best_seconds(all, kEnough) / calls;
    const double read = work.bytes / seconds / 1e9, rate = work.operations / seconds / 1e9;
    const double of_memory = read / ceiling_.read_gb_per_s;
    const double of_products = rate / ceiling_.gemm_gflop_per_s();
    const bool by_memory = of_memory > of_products;
    std::printf(json_ ? "{\"kernel\":\"%s\",\"shape\":\"%s\",\"ms\":%.5f,\"gb_per_s\":%.2f,"
                        "\"gflop_per_s\":%.1f,\"share\":%.3f,\"bound\":\"%s\"}\n"
                      : "%-24s %-34s %9.4f ms %7.1f GB/s %7.1f GFLOP/s  %.2f of the %s\n",
                kernel, shape.c_str(), seconds * 1e3, read, rate,
                by_memory ? of_memory : of_products, by_memory ? "bandwidth" : "product");
  }

 private:
  bool json_;
  Ceiling ceiling_;
};

int copies_of(double bytes) { return static_cast<int>(kBeyondCaches / bytes) + 1; }

void linear_rows(const Table& table) {
  constexpr int64_t n = 2 * kGate, k = kHidden;
  struct Format {
    WeightFormat format;
    const char* name;
  };
  constexpr Format kFormats[] = {{WeightFormat::kFloat32, "linear float32"},
                                 {WeightFormat::kBFloat16, "linear bfloat16"},
                                 {WeightFormat::kInt8, "linear int8"},
                                 {WeightFormat::kInt4, "linear int4"}};
  const std::vector<uint16_t> narrow = random_bf16(n * k);
  const std::vector<float> wide = random_floats(n * k);
  for (const Format& format : kFormats) {
    const bool floats = format.format == WeightFormat::kFloat32;
    const ElementType type = floats ? ElementType::kFloat32 : ElementType::kBFloat16;
    const auto packed = [&] {
      return kernels::PackedLinear::pack(
          floats ? static_cast<const void*>(wide.data()) : narrow.data(), type, n, k,
          format.format);
    };
    std::vector<kernels::PackedLinear> weights;
    weights.push_back(packed());
    const int copies = copies_of(static_cast<double>(weights.front().bytes()));
    while (static_cast<int>(weights.size()) < copies) weights.push_back(packed());
    for (const int64_t m : {1, 8, 64, 512}) {
      const std::vector<float> x = random_floats(m * k);  // as bf16 it is twice as much as needed
      std::vector<float> y(static_cast<size_t>(m * n));
      const auto size = static_cast<double>(kernels::bytes_of(type));
      const Work work{static_cast<double>(weights.front().bytes()) + size * m * (n + k),
                      2.0 * m * n * k};
      const int calls = m <= 8 ? copies : 4;
      table.add(format.name, std::to_string(m) + " x 576 -> 3072", work, calls, [&](int i) {
        weights[static_cast<size_t>(i)].run(x.data(), type, k, m, nullptr, y.data(), n, type);
      });
    }
  }
}

// Attention of `sequences` sequences, each of `queries` queries and `context` keys. `bytes`: keys
// and values in int8.
void attention_row(const Table& table, const char* name, int sequences, int queries, int context,
                   bool causal, bool bytes = false) {
  const int heads = causal ? kHeads : kKvHeads, kv_heads = kKvHeads;
  const int block = causal ? kBlock : context;  // an encoder's keys lie in one block
  const int per_sequence = (context + block - 1) / block;
  const int64_t pool = int64_t{sequences} * per_sequence * kv_heads * block * kHeadDim;
  const double pool_bytes = pool * (bytes ? 1 + 4.0 / kHeadDim : 2.0);
  const int layers = queries == 1 ? copies_of(2 * pool_bytes) : 2;
  const std::vector<uint16_t> keys = random_bf16(pool * layers), values = keys;
  const std::vector<float> scales(bytes ? pool / kHeadDim * layers : 0, 0.01F);
  const auto layer_of = [&](const std::vector<uint16_t>& pools, int layer) -> const void* {
    return bytes ? reinterpret_cast<const int8_t*>(pools.data()) + layer * pool
                 : static_cast<const void*>(pools.data() + layer * pool);
  };
  const auto scales_of = [&](int layer) {
    return bytes ? scales.data() + layer * (pool / kHeadDim) : nullptr;
  };
  const int64_t width = int64_t{heads} * kHeadDim, tokens = int64_t{sequences} * queries;
  const std::vector<uint16_t> q = random_bf16(tokens * width);
  std::vector<uint16_t> out(q.size());
  std::vector<int32_t> blocks(static_cast<size_t>(sequences * per_sequence));
  std::iota(blocks.begin(), blocks.end(), 0);
  std::vector<kernels::PagedSequence> shares;
  for (int s = 0; s < sequences; ++s) {
    shares.push_back(
        {s * queries, queries, context, &blocks[static_cast<size_t>(s) * per_sequence]});
  }
  const double pairs =
      causal ? queries * (context - queries + (queries + 1) / 2.0) : 1.0 * queries * context;
  const Work work{2 * pool_bytes + 4.0 * tokens * width, 4.0 * sequences * pairs * width};
  const std::string shape = std::to_string(sequences) + " x " + std::to_string(queries) +
                            " queries, " + std::to_string(context) + " keys";
  table.add(name, shape, work, layers, [&](int layer) {
    kernels::paged_attention({.type = ElementType::kBFloat16,
                              .heads = heads,
                              .kv_heads = kv_heads,
                              .head_dim = kHeadDim,
                              .scale = 0.125F,
                              .sliding_window = 0,
                              .q = q.data(),
                              .q_stride = width,
                              .causal = causal,
                              .k_pool = layer_of(keys, layer),
                              .v_pool = layer_of(values, layer),
                              .k_scales = scales_of(layer),
                              .v_scales = scales_of(layer),
                              .kv_strides = kernels::pool_strides(kv_heads, block, kHeadDim),
                              .block_size = block,
                              .sequences = shares.data(),
                              .num_sequences = sequences,
                              .out = out.data(),
                              .out_stride = width});
  });
}

// What passes over rows once. So many rows that they do not stay in a cache.
void elementwise_rows(const Table& table) {
  constexpr int64_t kRows = 16384;
  constexpr auto kType = ElementType::kBFloat16;
  constexpr int64_t kQkv = (kHeads + 2 * kKvHeads) * kHeadDim;
  const std::string rows = std::to_string(kRows) + " rows of ";
  std::vector<uint16_t> wide = random_bf16(kRows * 2 * kGate);
  std::vector<uint16_t> out(static_cast<size_t>(kRows * kGate));
  const std::vector<uint16_t> delta = random_bf16(kRows * kHidden);

  table.add("add and norm", rows + "576", {2.0 * kRows * kHidden * 4, 0}, 1, [&](int) {
    kernels::add_rms_norm({.type = kType,
                           .rows = kRows,
                           .width = kHidden,
                           .x = nullptr,
                           .x_stride = kHidden,
                           .weight = delta.data(),
                           .eps = 1e-5F,
                           .out = out.data(),
                           .out_stride = kHidden},
                          wide.data(), kHidden, delta.data(), kHidden);
  });
  table.add("silu and multiply", rows + "1536", {2.0 * kRows * kGate * 3, 0}, 1, [&](int) {
    kernels::gate_mul(kernels::Activation::kSilu, kType, kRows, kGate, wide.data(), 2 * kGate,
                      out.data(), kGate);
  });
  table.add("gelu", rows + "768", {2.0 * kRows * 768 * 2, 0}, 1, [&](int) {
    kernels::activate(kernels::Activation::kGelu, kType, kRows, 768, wide.data(), 768, out.data(),
                      768);
  });

  const std::vector<float> angles = random_floats(kRows * kHeadDim);
  std::vector<int64_t> slots(kRows);
  std::iota(slots.begin(), slots.end(), 0);
  std::vector<uint16_t> keys(static_cast<size_t>(kRows * kKvHeads * kHeadDim)), values(keys);
  const double rope_bytes = kRows * (2.0 * (2 * kHeads + 4 * kKvHeads) * kHeadDim + 4.0 * kHeadDim);
  table.add("rotation and cache write", rows + "960", {rope_bytes, 0}, 1, [&](int) {
    kernels::rope_and_write_kv({.type = kType,
                                .num_tokens = kRows,
                                .heads = kHeads,
                                .kv_heads = kKvHeads,
                                .head_dim = kHeadDim,
                                .rotary_dim = kHeadDim,
                                .qkv = wide.data(),
                                .qkv_stride = kQkv,
                                .cos = angles.data(),
                                .sin = angles.data() + kRows * kHeadDim / 2,
                                .table_stride = kHeadDim / 2,
                                .slots = slots.data(),
                                .k_pool = keys.data(),
                                .v_pool = values.data(),
                                .block_size = kBlock});
  });
}

// One row of logits on one thread, as a step leaves it in the cache.
void sampling_rows(const Table& table) {
  constexpr int kCalls = 32;
  const std::vector<float> logits = random_floats(kVocabulary);
  const std::string shape = std::to_string(kVocabulary) + " logits";
  int64_t best = 0;
  table.add("greedy choice", shape, {4.0 * kVocabulary, 0}, kCalls,
            [&](int) { best += kernels::argmax(logits.data(), kVocabulary); });
  std::vector<float> weights(kVocabulary), sums(kVocabulary / kernels::kWeightBlock), maxima(sums);
  const kernels::TokenWeights to{weights.data(), kVocabulary, sums.data(), maxima.data()};
  table.add("softmax of a choice", shape, {8.0 * kVocabulary, 0}, kCalls,
            [&](int) { kernels::softmax_weights(logits.data(), 1.25F, 0, to); });
}

}  // namespace

void bench_kernels(bool json) {
  const c10::InferenceMode guard;
  const Ceiling ceiling = measure_ceiling(at::kCPU);
  std::printf(json ? "{\"isa\":\"%s\",\"read_gb_per_s\":%.2f,\"gemm_gflop_per_s\":%.1f}\n"
                   : "%s: read %.1f GB/s, faster product %.0f GFLOP/s\n",
              std::string(kernels::name_of(kernels::active_isa())).c_str(), ceiling.read_gb_per_s,
              ceiling.gemm_gflop_per_s());
  const Table table(json, ceiling);
  linear_rows(table);
  attention_row(table, "attention, decode", 1, 1, 1024, true);
  attention_row(table, "attention, decode", 16, 1, 1024, true);
  attention_row(table, "attention, decode, int8", 16, 1, 1024, true, true);
  attention_row(table, "attention, prefill", 1, 512, 512, true);
  attention_row(table, "attention, prefill, int8", 1, 512, 512, true, true);
  attention_row(table, "attention, encoder", 8, 145, 145, false);
  elementwise_rows(table);
  sampling_rows(table);
}

}  // namespace saccade
