"""Deliberate bugs of the CPU kernels (mutants.py says how they are written)."""

from mutant import KERNELS, STAGES, mutants_in as _in

ROTATION = """\
  for (int i = 0; i < half; i += kLanes) {
    const int n = min_of(kLanes, half - i);
    const Vec c = load_part(cos + i, n);
    const Vec s = load_part(sin + i, n);
    const Vec a = load_part(x + i, n);
    const Vec b = load_part(x + half + i, n);
    store_part(out + i, a * c - b * s, n);
    store_part(out + half + i, b * c + a * s, n);
  }"""
INTERLEAVED = """\
  for (int i = 0; i < half; ++i) {
    const Vec c = load_part(cos + i, 1);
    const Vec s = load_part(sin + i, 1);
    const Vec a = load_part(x + 2 * i, 1);
    const Vec b = load_part(x + 2 * i + 1, 1);
    store_part(out + 2 * i, a * c - b * s, 1);
    store_part(out + 2 * i + 1, b * c + a * s, 1);
  }"""
KERNEL = (
    _in(
        "engine/kernels/cpu/elementwise.cc",
        (STAGES,),
        ("rope_interleaved", "rope turns neighbours instead of halves", ROTATION, INTERLEAVED),
    )
    + _in(
        "engine/kernels/cpu/activated.h",
        (STAGES,),
        (
            "llama_gelu",
            "the decoder's MLP with quick_gelu for silu",
            "x / (1.0f + vexp(-x))",
            "x / (1.0f + vexp(-1.702f * x))",
        ),
        (
            "gate_quick_gelu",
            "Gemma: quick_gelu for tanh gelu",
            "x / (1.0f + vexp(-2.0f * inner))",
            "x / (1.0f + vexp(-1.702f * x) + 0.0f * inner)",
        ),
    )
    + _in(
        "engine/kernels/cpu/epilogue.h",
        (STAGES,),
        (
            "residual_of_first_row",
            "each row gets the residual of the first one that is stored with it",
            "residual + row * epilogue.residual_stride",
            "residual + begin * epilogue.residual_stride",
        ),
    )
    + _in(
        "engine/kernels/cpu/task_ranges.cc",
        (KERNELS,),
        (
            "task_left_to_its_owner",
            "the last task of a thread that was held up is nobody's",
            "take(ranges_[(thread + i) % threads_].bounds, false)",
            "take(ranges_[thread].bounds, false)",
        ),
    )
    + _in(
        "engine/kernels/cpu/attention_prefill.h",
        (STAGES,),
        (
            "scores_not_capped",
            "Gemma 2: scores of a prompt not capped",
            "args_.soft_cap > 0",
            "false",
        ),
        (
            "prompt_without_alibi",
            "MPT: a prompt's scores do not fall with the distance",
            "splat_int(key + i / kStrip) - load(state.position + i % kStrip)",
            "splat_int(0)",
        ),
        (
            "gqa_tiled",
            "key head of query head h: h mod n instead of h div g",
            "static_cast<int64_t>(task_.kv_head) * group_ + r % group_",
            "task_.kv_head + static_cast<int64_t>(r % group_) * args_.kv_heads",
        ),
        (
            "causal_off_by_one",
            "a query sees the key after it",
            "distance < 0 ? hidden : load(scores_ + i)",
            "distance < -1 ? hidden : load(scores_ + i)",
        ),
    )
    + _in(
        "engine/kernels/cpu/attention_prefill.h",
        (KERNELS,),
        (
            "prompt_without_window",
            "a prompt's queries see keys in front of their window",
            "distance < window ? score : hidden",
            "score",
        ),
        (
            "values_not_rescaled",
            "a larger score behind: what was weighted before keeps its weights",
            "!any(maximum > before)",
            "true",
        ),
    )
    + _in(
        "engine/kernels/cpu/attention_plan.h",
        (KERNELS,),
        (
            "window_off_by_one",
            "sliding window one key too long",
            "max_of(0, position - args.sliding_window + 1)",
            "max_of(0, position - args.sliding_window)",
        ),
    )
    + _in(
        "engine/kernels/cpu/attention_decode.h",
        (KERNELS,),
        (
            "splits_not_rescaled",
            "long contexts: parts added up without their maxima",
            "vexp(splat(partial[2 * h] - maximum))[0]",
            "1.0f",
        ),
        (
            "alibi_of_each_split",
            "long contexts: distances counted anew in each part",
            "task.begin - (sequence.context_length - 1)",
            "0",
        ),
        (
            "one_heads_weights_for_all",
            "the values of a group weighted as its first head does",
            "weight + h * kWeightStride<K> + i",
            "weight + i",
        ),
        (
            "first_keys_scale_for_all",
            "int8 keys: those behind the first vector of a block take its scales",
            "load_part(run.scales + first, n)",
            "load_part(run.scales, n)",
        ),
        (
            "int8_values_unscaled",
            "int8 values: decode forgets their scales",
            "if constexpr (kScaled<K>) scale_weights<K>(args, sequence, task, group, scores);",
            "",
        ),
    )
    + _in(
        "engine/kernels/cpu/fixed_point.h",
        (KERNELS,),
        (
            "nan_becomes_a_number",
            "int8 keys: one that is not finite is rounded like any other",
            "not_finite += v - v;",
            "not_finite += v < v ? v : splat(0);",
        ),
    )
)
