"""The deliberate bugs: exact substitutions in the sources, and the tests of which one must turn red.

`old` is an expression or whole statements, occurs exactly once in `path`, and `new` could stand in its place. `tests` are run
in order until one is red: a test program, or one and the test cases to run (a Catch2 pattern).
"""

from idefics_mutants import IDEFICS
from llava_mutants import LLAVA
from mutant import ALONE, BATCHED, CHUNKED, CORE, DISTRIBUTION, KERNELS, SAMPLER, STAGES, mutants_in as _in
from visual_mutants import VISUAL

GELU = 'parse_activation(config.string("hidden_act", "gelu"), config.path() + ".hidden_act")'
VIT = _in(
    "engine/models/vit.cc",
    (STAGES,),
    (
        "vit_eps",
        "EVA tower: LayerNorm epsilon 1e-5 for 1e-6",
        'config.number_in("layer_norm_eps", 1e-6, 0, 1)',
        "1e-5",
    ),
    ("vit_gelu_tanh", "EVA tower: tanh gelu for erf gelu", GELU, "Activation::kGeluTanh"),
    ("vit_quick_gelu", "EVA tower: quick_gelu for erf gelu", GELU, "Activation::kQuickGelu"),
    (
        "clip_gelu",
        "CLIP tower: erf gelu for quick_gelu",
        "Activation::kQuickGelu",
        "Activation::kGelu",
    ),
    (
        "vit_no_positions",
        "no position embedding",
        "at::cat({class_.expand({n, 1, config_.hidden_size}), patches}, 1) + positions_",
        "at::cat({class_.expand({n, 1, config_.hidden_size}), patches}, 1)",
    ),
    (
        "vit_grid_transposed",
        "patches in column order",
        "patches_(rows)",
        "patches_(rows.view({n, high, wide, -1}).transpose(1, 2).reshape(rows.sizes()))",
    ),
    (
        "clip_no_pre_norm",
        "CLIP without its first LayerNorm",
        "return pre_norm_.empty() ? x : pre_norm_.front()(x);",
        "return x;",
    ),
    (
        "vit_qkv_bias_dropped",
        "qkv.bias not added",
        'Linear(weight, scope("qkv").tensor("bias", {3 * d}))',
        "Linear(weight, std::nullopt)",
    ),
    (
        "vit_old_bias_misplaced",
        "old files: v_bias added to the keys",
        'at::cat({q, at::zeros_like(q), scope.tensor("v_bias", {d})})',
        'at::cat({q, scope.tensor("v_bias", {d}), at::zeros_like(q)})',
    ),
)

QFORMER = _in(
    "engine/models/qformer.cc",
    (STAGES,),
    (
        "qformer_position_offset",
        "text positions counted after the queries",
        "positions_.narrow(0, 0, ids.size(1))",
        "positions_.narrow(0, config_.num_queries, ids.size(1))",
    ),
    (
        "qformer_eps",
        "LayerNorm epsilon 1e-5 for 1e-12",
        'config.number_in("layer_norm_eps", 1e-12, 0, 1)',
        "1e-5",
    ),
    (
        "qformer_cross_frequency",
        "cross-attention in half of its layers",
        "i % config.cross_attention_frequency == 0",
        "i % (2 * config.cross_attention_frequency) == 0",
    ),
    (
        "qformer_cross_skipped",
        "no cross-attention",
        "if (layer.cross_attention) queries = (*layer.cross_attention)(queries, image, config_.num_heads);",
        "",
    ),
    (
        "qformer_shared_ffn",
        "the text's feed-forward used for the queries",
        "layer.query_ffn(queries, config_.activation)",
        "(*layer.text_ffn)(queries, config_.activation)",
    ),
    (
        "qformer_query_ffn_for_text",
        "the queries' feed-forward used for the text",
        "(*layer.text_ffn)(text, config_.activation)",
        "layer.query_ffn(text, config_.activation)",
    ),
    ("qformer_gelu_tanh", "tanh gelu for erf gelu", GELU, "Activation::kGeluTanh"),
)

DECODERS = _in(
    "engine/models/decoder_config.cc",
    (STAGES,),
    (
        "decoder_eps",
        "RMSNorm epsilon 1e-6 whatever the file says",
        'config.number_in("rms_norm_eps", defaults.norm_eps, 0, 1)',
        "1e-6",
    ),
    (
        "llama_qkv_bias_dropped",
        "attention biases ignored",
        'llama.qkv_bias = llama.output_bias = config.boolean("attention_bias", false);',
        "llama.qkv_bias = llama.output_bias = false;",
    ),
    (
        "mistral_no_window",
        "Mistral without its sliding window",
        "mistral.slides.assign(mistral.num_layers, mistral.sliding_window > 0);",
        "",
    ),
    ("qwen2_no_bias", "Qwen 2 without the biases of q, k and v", "qwen.qkv_bias = true;", ""),
    ("qwen_window_layers", "Qwen: the first layers slide", "layer >= first", "layer < first"),
    ("qwen3_no_head_norm", "Qwen 3 without the norms of q and k", "qwen.qk_norm = true;", ""),
    (
        "phi3_whole_rotation",
        "Phi-3: whole heads rotated",
        'static_cast<int>(head_dim * place.number_in("partial_rotary_factor", 1, 0, 1))',
        "head_dim",
    ),
    (
        "gemma_score_scale",
        "Gemma: scores scaled by the head's size",
        'config.number_in("query_pre_attn_scalar", 256, 1e-6, 1e9)',
        "double{1} * gemma.head_dim",
    ),
    (
        "gemma2_input_scale",
        "Gemma 2: embeddings not scaled",
        "gemma.input_scale = std::sqrt(static_cast<double>(gemma.hidden_size));",
        "",
    ),
    (
        "gemma2_no_score_cap",
        "Gemma 2: scores not capped",
        'gemma.attention_soft_cap = read_cap(config, "attn_logit_softcapping", 50);',
        "",
    ),
    (
        "gemma2_other_layers_slide",
        "Gemma 2: the odd layers slide",
        "layer % 2 == 0",
        "layer % 2 != 0",
    ),
    (
        "gemma3_pattern",
        "Gemma 3: the layer that sees everything is the first of its group",
        "(layer + 1) % pattern != 0",
        "layer % pattern != 0",
    ),
    (
        "gemma3_one_rope",
        "Gemma 3: sliding layers turn as the others",
        'config.number_in("rope_local_base_freq", kSlidingTheta, 1e-3, 1e18)',
        "theta",
    ),
) + _in(
    "engine/models/decoder.cc",
    (STAGES,),
    (
        "head_tied",
        "the embedding used as head though the file has one",
        'config.tie_word_embeddings || !own.has("weight")',
        "true",
    ),
    (
        "no_final_norm",
        "the last layer's output normalised by its own input norm",
        "norm_ ? norm_->add(h, changed) : h + changed",
        "layers_.back().attention_norm.add(h, changed)",
    ),
    (
        "sublayer_norm_dropped",
        "Gemma: attention's output not normalised",
        "layer.attention_output_norm ? (*layer.attention_output_norm)(out) : out",
        "out",
    ),
    (
        "head_norms_swapped",
        "Qwen 3: keys normalised with the queries' weight",
        "layer.key_norm->normalize_heads(qkv, config_.num_heads, config_.num_kv_heads);",
        "layer.query_norm->normalize_heads(qkv, config_.num_heads, config_.num_kv_heads);",
    ),
    (
        "logits_not_capped",
        "Gemma: logits not capped",
        "soft_capped((*head_)(h), config_.logit_soft_cap)",
        "(*head_)(h)",
    ),
    (
        "opt_no_position_offset",
        "OPT: positions from the first row of the table",
        "place.index + config_.position_offset",
        "place.index",
    ),
    (
        "windows_mixed_up",
        "sliding and other layers exchange their ropes",
        "config_.slides[index] ? rope.sliding : rope.full",
        "config_.slides[index] ? rope.full : rope.sliding",
    ),
) + _in(
    "engine/layers/norm.cc",
    (STAGES,),
    (
        "gemma_norm_weight",
        "Gemma: norms multiply by weight, not by 1 + weight",
        "weight.to(wide_type(weight)) + 1",
        "weight.to(wide_type(weight))",
    ),
)

ROPE = _in(
    "engine/layers/rope.cc",
    (STAGES,),
    (
        "rope_linear_ignored",
        "linear scaling ignored",
        "for (float& f : inv_freq_) f /= static_cast<float>(config.factor);",
        "",
    ),
    (
        "rope_llama3_smooth",
        "llama3: a step instead of the blend",
        "(1 - smooth) * f / factor + smooth * f",
        "(smooth < 0.5f ? f / factor : f)",
    ),
    (
        "rope_yarn_attention_factor",
        "yarn: cos and sin not scaled",
        "yarn_attention_factor(scaling, factor)",
        "1.0",
    ),
    (
        "rope_yarn_low",
        "yarn: lower border of the ramp rounded up",
        "std::floor(low)",
        "std::ceil(low)",
    ),
    (
        "rope_yarn_high",
        "yarn: upper border of the ramp rounded down",
        "std::ceil(high)",
        "std::floor(high)",
    ),
    (
        "rope_dynamic_ignored",
        "dynamic scaling ignored",
        "length <= config_.max_positions",
        "true",
    ),
    (
        "rope_theta_of_5x",
        "rope_parameters.rope_theta ignored",
        "rope.theta = read_theta(parameters, default_theta);",
        "rope.theta = default_theta;",
    ),
    (
        "longrope_short_beyond",
        "longrope: the short factors beyond the original length",
        "place.total_len > config_.original_max_positions",
        "false",
    ),
    (
        "longrope_attention_factor",
        "longrope: cos and sin not scaled",
        "std::sqrt(1 + std::log(rope.factor) / std::log(rope.original_max_positions))",
        "1.0",
    ),
)

POSITION = "input.positions.push_back({places.at(p), p, computed, known});"
EXECUTOR = _in(
    "engine/runtime/torch_executor.cc",
    (ALONE,),
    (
        "position_in_decode",
        "positions one too high while decoding",
        POSITION,
        POSITION.replace("at(p)", "at(p + (entry.start > 0 ? 1 : 0))"),
    ),
    (
        "dynamic_length_of_token",
        "dynamic rope by each token's own position, not by the prompt",
        "std::max(p + 1, entry.prompt_length)",
        "p + 1",
    ),
    (
        "slot_off_by_one",
        "keys and values one slot further in their block",
        "block * options_.block_size + p % options_.block_size",
        "block * options_.block_size + (p + 1) % options_.block_size",
    ),
    (
        "splice_shifted",
        "visual tokens one position too late",
        "h.narrow(0, row, count)",
        "h.narrow(0, row + 1, count)",
    ),
    (
        "spans_ignored",
        "visual tokens never put in place",
        "if (first >= last) return true;",
        "return true;",
    ),
) + _in(
    "engine/runtime/torch_executor.cc",
    (BATCHED,),
    (
        "logits_row_of_neighbour",
        "in a batch the first sequence's logits for all",
        "logits.narrow(0, first, count)",
        "logits.narrow(0, 0, count)",
    ),
) + _in(
    "engine/runtime/torch_executor.cc",
    (CHUNKED,),
    (
        "splice_chunk_offset",
        "a chunk that begins inside a picture gets its first rows again",
        "span.offset + first - span.position",
        "span.offset",
    ),
)

SAMPLING = _in(
    "engine/runtime/sampler.cc",
    (SAMPLER,),
    (
        "logprob_after_penalties",
        "log-probability of the adjusted logits",
        "result.logprob = logits[result.token] - norm;",
        "result.logprob = (adjusted ? adjusted_[result.token] : logits[result.token]) - norm;",
    ),
    (
        "presence_counts_prompt",
        "presence and frequency penalties count the prompt",
        "tokens.subspan(prompt_length)",
        "tokens",
    ),
    (
        "repetition_sign",
        "repetition penalty divides negative logits too",
        "x = x < 0 ? x * params.repetition_penalty : x / params.repetition_penalty;",
        "x = x / params.repetition_penalty;",
    ),
) + _in(
    "engine/runtime/token_distribution.cc",
    (DISTRIBUTION,),
    (
        "top_p_one_too_few",
        "top_p leaves out the token that crosses the border",
        "std::max<int64_t>(1, std::llround(std::ceil(missing / last)))",
        "std::llround(std::ceil(missing / last)) - 1",
    ),
    (
        "top_k_keeps_equals",
        "top_k keeps all that weigh as much as the last",
        "count - mass_above(tokens(), last).count",
        "count",
    ),
)

PREFIX = _in(
    "engine/core/sequence.cc",
    (CORE,),
    (
        "prefix_without_media",
        "blocks of different pictures share one name",
        "hash.update(media[span.media].key);",
        "",
    ),
    (
        "prefix_without_row",
        "blocks that hold other rows of a picture share one name",
        "hash.update_u32(static_cast<uint32_t>(span.offset + first - span.position));",
        "",
    ),
    (
        "prefix_without_parent",
        "blocks after different beginnings share one name",
        "hash.update(parent);",
        "",
    ),
) + _in(
    "engine/core/scheduler.cc",
    (CORE,),
    (
        "prefix_takes_last_token",
        "a prompt found whole in the cache leaves nothing to compute",
        "sequence.cacheable() / config_.block_size",
        "sequence.length() / config_.block_size",
    ),
) + _in(
    "engine/core/block_manager.cc",
    (CORE,),
    (
        "block_keeps_name",
        "a block given to another sequence is still found by its old name",
        "by_hash_.erase(taken.hash);",
        "",
    ),
)

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
        "engine/kernels/cpu/attention_prefill.h",
        (STAGES,),
        (
            "scores_not_capped",
            "Gemma 2: scores of a prompt not capped",
            "args_.soft_cap > 0",
            "false",
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
            "min_of(count, position + 1 - key)",
            "min_of(count, position + 2 - key)",
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
    )
)

MUTANTS = [
    *VIT,
    *VISUAL,
    *IDEFICS,
    *LLAVA,
    *QFORMER,
    *DECODERS,
    *ROPE,
    *EXECUTOR,
    *SAMPLING,
    *PREFIX,
    *KERNEL,
]
