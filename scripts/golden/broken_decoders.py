"""Damaged config files, and the fields and tensors of decoders."""

from broken_files import (
    MISSING,
    Literal,
    config,
    config_row,
    drop_tensor,
    field,
    nested,
    nested_objects,
    raw,
    remove,
    text,
    weights_row,
)
from broken_values import NO_NUMBER, NO_SIZE, bad_values

CONFIG_FORM = [
    config_row("missing", remove("config.json")),
    config_row("empty", text("config.json", "")),
    config_row("not_json", text("config.json", '{"model_type": "llama",')),
    config_row("trailing_text", raw("config.json", lambda b: b + b"x")),
    config_row("array", text("config.json", "[]")),
    config_row("nested", text("config.json", nested(200000))),
    config_row("nested_in_a_field", config("rope_scaling", Literal(nested_objects(100000)))),
    config_row("not_utf8", text("config.json", b'{"model_type":"\xff"}')),
    config_row("nul_bytes", text("config.json", bytes(300))),
    config_row("without_model_type", config("model_type", MISSING), "model_type"),
    config_row(
        "unknown_model_type", config("model_type", "no_such_model"), "no_such_model", "model_type"
    ),
    config_row("model_type_is_a_number", config("model_type", 5), "model_type"),
    config_row(
        "generation_config_not_json",
        text("generation_config.json", "{"),
        file="generation_config.json",
    ),
    config_row(
        "generation_config_eos_text",
        field("generation_config.json", "eos_token_id", "two"),
        "eos_token_id",
        file="generation_config.json",
    ),
    config_row(
        "generation_config_eos_negative",
        field("generation_config.json", "eos_token_id", [2, -7]),
        "eos_token_id",
        file="generation_config.json",
    ),
]
CONFIG_VALUES = [
    *bad_values(
        "llama_tied",
        "",
        [
            "hidden_size",
            "num_hidden_layers",
            "num_attention_heads",
            "vocab_size",
            "intermediate_size",
        ],
        NO_SIZE,
    ),
    *bad_values("llama_tied", "", ["num_key_value_heads", "head_dim"], NO_SIZE[:4]),
    *bad_values("llama_tied", "", ["rms_norm_eps"], NO_NUMBER),
    *bad_values("llama_tied", "", ["rope_theta"], NO_NUMBER + [("zero", 0)]),
    *bad_values("llama_tied", "", ["max_position_embeddings"], NO_SIZE[:2] + NO_SIZE[3:]),
    *bad_values(
        "llama_tied", "", ["tie_word_embeddings", "attention_bias"], [("text", "yes"), ("list", [])]
    ),
    *bad_values("llama_tied", "", ["hidden_act"], [("unknown", "no_such_act"), ("number", 3)]),
    config_row("key_heads_do_not_divide", config("num_key_value_heads", 3), "num_key_value_heads"),
    config_row("head_dim_odd", config("head_dim", 7), "head_dim"),
    config_row("rope_scaling_text", config("rope_scaling", "yarn"), "rope_scaling"),
    config_row(
        "rope_type_unknown",
        config("rope_scaling", {"rope_type": "no_such_rope", "factor": 2.0}),
        "no_such_rope",
        "rope_type",
    ),
    config_row("rope_factor_missing", config("rope_scaling", {"rope_type": "linear"}), "factor"),
    config_row(
        "rope_factor_zero", config("rope_scaling", {"rope_type": "linear", "factor": 0.0}), "factor"
    ),
    config_row(
        "rope_factor_text",
        config("rope_scaling", {"rope_type": "dynamic", "factor": "2"}),
        "factor",
    ),
    config_row(
        "yarn_original_zero",
        config("rope_scaling.original_max_position_embeddings", 0),
        "original_max_position_embeddings",
        base="llama_yarn",
    ),
    config_row(
        "llama3_factors_equal",
        config("rope_scaling.high_freq_factor", 1.0),
        "high_freq_factor",
        "low_freq_factor",
        base="llama_llama3",
    ),
    config_row(
        "rope_parameters_list",
        config("rope_parameters", [1]),
        "rope_parameters",
        base="llama_yarn_v5",
    ),
]
DECODERS = [
    *bad_values("mpt", "", ["d_model", "n_heads", "n_layers"], NO_SIZE[:3]),
    *bad_values("mpt", "", ["max_seq_len", "vocab_size"], NO_SIZE[:1]),
    *bad_values("mpt", "", ["layer_norm_epsilon"], NO_NUMBER[:2]),
    *bad_values("mpt", "", ["expansion_ratio"], [*NO_SIZE[:2], ("other", 2), ("text", "4")]),
    *bad_values("mpt", "", ["logit_scale"], [("number", 0.5), ("text", "inv_sqrt_d_model")]),
    *bad_values("mpt", "", ["no_bias"], [("off", False), ("text", "no")]),
    *bad_values("mpt", "", ["norm_type"], [("other", "rmsnorm"), ("number", 1)]),
    *bad_values("mpt", "", ["attn_config"], [("list", []), ("text", "alibi")]),
    *bad_values("mpt", "attn_config.", ["clip_qkv", "softmax_scale"], NO_NUMBER[:2]),
    *bad_values("mpt", "attn_config.", ["alibi_bias_max"], [("other", 16), ("text", "8")]),
    *bad_values("mpt", "attn_config.", ["qk_ln", "prefix_lm"], [("on", True), ("text", "yes")]),
    *bad_values("mpt", "attn_config.", ["alibi"], [("off", False), ("number", 1)]),
    *bad_values("mpt", "attn_config.", ["attn_type"], [("other", "multiquery_attention")]),
    *bad_values("gpt_neox", "", ["hidden_size", "num_attention_heads", "num_hidden_layers"], NO_SIZE[:3]),
    *bad_values("gpt_neox", "", ["rotary_pct"], [("text", "all"), ("nothing", 0), ("odd", 0.4), ("above_one", 1.5)]),
    *bad_values("gpt_neox", "", ["rotary_emb_base"], [("text", "1e4"), ("zero", 0)]),
    *bad_values("gpt_neox", "", ["use_parallel_residual", "attention_bias"], [("text", "yes")]),
    *bad_values("gpt_neox_v5", "rope_parameters.", ["partial_rotary_factor"], [("nothing", 0), ("text", "0.5")]),
    config_row("mpt_heads_do_not_divide", config("n_heads", 5), "n_heads", "d_model", base="mpt"),
    weights_row(
        "gpt_neox_bias_missing",
        drop_tensor("gpt_neox.layers.0.attention.query_key_value.bias"),
        "query_key_value.bias",
        base="gpt_neox",
    ),
    weights_row("gpt_neox_other_width", config("intermediate_size", 41), "dense_h_to_4h", base="gpt_neox"),
]
DECODER_TABLE = [*CONFIG_FORM, *CONFIG_VALUES, *DECODERS]
