#pragma once

#include <cstdint>

#include "engine/kernels/activation.h"
#include "engine/kernels/norm.h"
#include "engine/kernels/paged_attention.h"
#include "engine/kernels/rope.h"

struct CUstream_st;

// The loops of engine/kernels/*.h on an NVIDIA GPU: the same arguments with pointers into the
// device's memory, numerics as stated there. Each call puts its work on `stream` and returns; a
// launch that fails throws std::runtime_error. Plain pointers and a stream: nvcc alone compiles
// these.
namespace saccade::kernels::cuda {

using Stream = CUstream_st*;

void rms_norm(const RmsNormArgs& args, Stream stream);
void rms_norm_heads(const RmsNormArgs& args, int heads, Stream stream);
void add_rms_norm(const RmsNormArgs& args, void* residual, int64_t residual_stride,
                  const void* delta, int64_t delta_stride, Stream stream);

void rope_and_write_kv(const RopeArgs& args, Stream stream);

void gate_mul(Activation activation, ElementType type, int64_t rows, int64_t width,
              const void* gate_up, int64_t gate_up_stride, void* out, int64_t out_stride,
              Stream stream);

// What the host knows of a step's sequences: the grids' sizes come from it.
struct AttentionExtent {
  int max_queries = 0;     // the longest query_length
  int max_short_rows = 0;  // of sequences with few queries (is_short): the most rows per kv head
  int max_context = 0;     // of these, the longest context
  void include(const PagedSequence& sequence, int group);
};
// Sequences whose queries of one kv head, `group` to a token, fit in the rows that one warp
// multiplies: decodes. Their keys are split between the warps of several blocks.
constexpr int kShortRows = 16;
constexpr bool is_short(const PagedSequence& sequence, int group) {
  return sequence.query_length * group <= kShortRows;
}
inline void AttentionExtent::include(const PagedSequence& sequence, int group) {
  if (sequence.query_length > max_queries) max_queries = sequence.query_length;
  if (!is_short(sequence, group)) return;
  const int rows = sequence.query_length * group;
  if (rows > max_short_rows) max_short_rows = rows;
  if (sequence.context_length > max_context) max_context = sequence.context_length;
}

// Floats that paged_attention needs as scratch for partial results.
int64_t attention_workspace(const PagedAttentionArgs& args, const AttentionExtent& extent);

// Causal only. args.sequences and their block tables lie on the device, and no kernel writes them.
// A sequence's result depends on its own keys and queries, but for the last bits: how many
// sequences there are decides how its keys are shared out.
void paged_attention(const PagedAttentionArgs& args, const AttentionExtent& extent,
                     float* workspace, Stream stream);

// y = x W^T + b for few rows of bfloat16: x [rows, in], weight [out, in], bias [out] or null, y
// [rows, out], all rows contiguous and behind each other. `in` a multiple of 8, x and weight at
// multiples of 16 bytes. Reads the weight once, at the memory's pace; sums in float32.
constexpr int kFewRows = 4;
// Whether this GPU takes so many.
bool are_few_rows(int64_t rows, int64_t in);
void linear_few_rows(int rows, int64_t in, int64_t out, const void* x, const void* weight,
                     const void* bias, void* y, Stream stream);

// The best token of each row of logits [rows, vocab], of equals the first, and its logit. A row
// that holds NaN gives that.
void argmax(ElementType type, int64_t rows, int64_t vocab, const void* logits, int32_t* ids,
            float* values, Stream stream);

// Bytes of the current device's memory that are free.
int64_t free_memory();

}  // namespace saccade::kernels::cuda
