#pragma once

#include "engine/kernels/cpu/kernel_table.h"

// What the sources compiled per instruction set define; gathered by table.cc.
namespace saccade::kernels::SACCADE_ISA {

void paged_attention(const PagedAttentionArgs& args);
void rope_and_write_kv(const RopeArgs& args);
void rms_norm(const RmsNormArgs& args);
void rms_norm_heads(const RmsNormArgs& args, int heads);
void add_rms_norm(const RmsNormArgs& args, void* residual, int64_t residual_stride,
                  const void* delta, int64_t delta_stride);
void activate(Activation activation, ElementType type, int64_t rows, int64_t width, const void* x,
              int64_t x_stride, void* out, int64_t out_stride);
void gate_mul(Activation activation, ElementType type, int64_t rows, int64_t width,
              const void* gate_up, int64_t gate_up_stride, void* out, int64_t out_stride);
void linear(const LinearArgs& args);
void linear_quantized(const LinearArgs& args);  // int8 and int4 weights
void linear_amx(const LinearArgs& args);        // bf16, k a multiple of 32; `amx` only
float max_value(const float* values, int64_t n);
float log_sum_exp(const float* logits, int64_t n);
void softmax_weights(const float* logits, float scale, float least, const TokenWeights& to);
WeightMass mass_at_least(const TokenWeights& tokens, float bound);
void drop_below(const TokenWeights& tokens, float bound);

}  // namespace saccade::kernels::SACCADE_ISA
