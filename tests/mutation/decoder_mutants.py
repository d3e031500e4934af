"""Deliberate bugs of decoders and their positions (mutants.py says how they are written)."""

from mutant import STAGES, mutants_in as _in

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
        "read_window_of_all(mistral, config, 4096);",
        "",
    ),
    ("qwen2_no_bias", "Qwen 2 without the biases of q, k and v", "qwen.qkv_bias = true;", ""),
    ("qwen_window_layers", "Qwen: the first layers slide", "layer >= first", "layer < first"),
    ("qwen3_no_head_norm", "Qwen 3 without the norms of q and k", "qwen.qk_norm = QkNorm::kHeads;", ""),
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
    "engine/models/gpt_neox.cc",
    (STAGES,),
    (
        "neox_qkv_in_three_blocks",
        "GPT-NeoX: q, k and v of all heads behind each other",
        "neox.qkv_by_head = true;",
        "",
    ),
    (
        "neox_serial",
        "GPT-NeoX: one sublayer after the other",
        'config.boolean("use_parallel_residual", true)',
        'config.boolean("use_serial_residual", false)',
    ),
    (
        "neox_whole_rotation",
        "GPT-NeoX: the class default's part of each head rotated",
        'nested ? "partial_rotary_factor" : "rotary_pct"',
        '"rotary"',
    ),
) + _in(
    "engine/models/mpt.cc",
    (STAGES,),
    (
        "mpt_not_clipped",
        "MPT: q, k and v not clipped",
        'mpt.qkv_clip = read_qkv_clip(attention, "clip_qkv");',
        "",
    ),
    (
        "mpt_score_scale",
        "MPT: scores scaled by the head's size whatever the file says",
        'attention.number_in("softmax_scale", mpt.attention_scale, 1e-9, 1e9)',
        'attention.number_in("scale", mpt.attention_scale, 1e-9, 1e9)',
    ),
) + _in(
    "engine/layers/alibi.cc",
    (STAGES,),
    ("alibi_slopes_in_order", "ALiBi: slopes of a power of two for any number of heads", "add(2, 2);", "add(1, 1);"),
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

RELEASES = _in(
    "engine/models/text_models.cc",
    (("decoder_model_test", ""),),
    (
        "longrope_anew_everywhere",
        "every decoder computes keys anew beyond longrope's original length",
        'config.type == "phi3"',
        "true",
    ),
) + _in(
    "engine/layers/rope.cc",
    (("decoder_model_test", ""),),
    (
        "longrope_factor_of_4x",
        "4.x: longrope's factor counts beside an original length",
        "fifth || !config.has(kOriginal)",
        "true",
    ),
)

ACTIVATIONS = _in(
    "engine/layers/activation.cc",
    (("activation_test", ""),),
    ("gelu_10_unclipped", "gelu_10 is gelu", "at::clamp(at::gelu(x), -10, 10)", "at::gelu(x)"),
)
