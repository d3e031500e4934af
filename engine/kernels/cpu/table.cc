#include "engine/kernels/cpu/isa_functions.h"

namespace saccade::kernels::SACCADE_ISA {

const KernelTable kTable = {
    .paged_attention = paged_attention,
    .rope_and_write_kv = rope_and_write_kv,
    .rms_norm = rms_norm,
    .rms_norm_heads = rms_norm_heads,
    .add_rms_norm = add_rms_norm,
    .activate = activate,
    .gate_mul = gate_mul,
    .linear = linear,
    .max_value = max_value,
    .log_sum_exp = log_sum_exp,
    .softmax_weights = softmax_weights,
    .mass_at_least = mass_at_least,
    .drop_below = drop_below,
};

}  // namespace saccade::kernels::SACCADE_ISA
