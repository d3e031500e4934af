"""Damaged config, tokenizer and processor files."""

from broken_files import (
    MISSING,
    Literal,
    config,
    drop_tensor,
    field,
    nested,
    nested_objects,
    raw,
    remove,
    text,
    weights_row,
    config_row,
    tokenizer_row,
    processor_row,
)

HUGE = 10**9
NESTED = "processor_config.json"
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


def _bad_values(base, prefix, names, values):
    """One entry for each field and each value it must not have."""
    rows = []
    for name in names:
        for label, value in values:
            path = prefix + name
            # A literal may already be refused as JSON; an absurd size as a tensor of another shape.
            fields = (
                ()
                if isinstance(value, Literal)
                else (name, ".safetensors") if value == HUGE else (name,)
            )
            rows.append(
                config_row(
                    f"{base}_{path.replace('.', '_')}_{label}",
                    config(path, value),
                    *fields,
                    base=base,
                    file="" if value == HUGE else "config.json",
                )
            )
    return rows


NO_SIZE = [
    ("zero", 0),
    ("negative", -4),
    ("absurd", HUGE),
    ("past_int64", Literal("9" * 23)),
    ("fraction", 48.5),
    ("text", "48"),
    ("list", [48]),
    ("bool", True),
]
NO_NUMBER = [
    ("negative", -1.0),
    ("text", "1e-5"),
    ("nan", Literal("NaN")),
    ("infinite", Literal("1e999")),
    ("list", [1.0]),
]
CONFIG_VALUES = [
    *_bad_values(
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
    *_bad_values("llama_tied", "", ["num_key_value_heads", "head_dim"], NO_SIZE[:4]),
    *_bad_values("llama_tied", "", ["rms_norm_eps"], NO_NUMBER),
    *_bad_values("llama_tied", "", ["rope_theta"], NO_NUMBER + [("zero", 0)]),
    *_bad_values("llama_tied", "", ["max_position_embeddings"], NO_SIZE[:2] + NO_SIZE[3:]),
    *_bad_values(
        "llama_tied", "", ["tie_word_embeddings", "attention_bias"], [("text", "yes"), ("list", [])]
    ),
    *_bad_values("llama_tied", "", ["hidden_act"], [("unknown", "no_such_act"), ("number", 3)]),
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
    *_bad_values("mpt", "", ["d_model", "n_heads", "n_layers"], NO_SIZE[:3]),
    *_bad_values("mpt", "", ["max_seq_len", "vocab_size"], NO_SIZE[:1]),
    *_bad_values("mpt", "", ["layer_norm_epsilon"], NO_NUMBER[:2]),
    *_bad_values("mpt", "", ["expansion_ratio"], [*NO_SIZE[:2], ("other", 2), ("text", "4")]),
    *_bad_values("mpt", "", ["logit_scale"], [("number", 0.5), ("text", "inv_sqrt_d_model")]),
    *_bad_values("mpt", "", ["no_bias"], [("off", False), ("text", "no")]),
    *_bad_values("mpt", "", ["norm_type"], [("other", "rmsnorm"), ("number", 1)]),
    *_bad_values("mpt", "", ["attn_config"], [("list", []), ("text", "alibi")]),
    *_bad_values("mpt", "attn_config.", ["clip_qkv", "softmax_scale"], NO_NUMBER[:2]),
    *_bad_values("mpt", "attn_config.", ["alibi_bias_max"], [("other", 16), ("text", "8")]),
    *_bad_values("mpt", "attn_config.", ["qk_ln", "prefix_lm"], [("on", True), ("text", "yes")]),
    *_bad_values("mpt", "attn_config.", ["alibi"], [("off", False), ("number", 1)]),
    *_bad_values("mpt", "attn_config.", ["attn_type"], [("other", "multiquery_attention")]),
    *_bad_values("gpt_neox", "", ["hidden_size", "num_attention_heads", "num_hidden_layers"], NO_SIZE[:3]),
    *_bad_values("gpt_neox", "", ["rotary_pct"], [("text", "all"), ("nothing", 0), ("odd", 0.4), ("above_one", 1.5)]),
    *_bad_values("gpt_neox", "", ["rotary_emb_base"], [("text", "1e4"), ("zero", 0)]),
    *_bad_values("gpt_neox", "", ["use_parallel_residual", "attention_bias"], [("text", "yes")]),
    *_bad_values("gpt_neox_v5", "rope_parameters.", ["partial_rotary_factor"], [("nothing", 0), ("text", "0.5")]),
    config_row("mpt_heads_do_not_divide", config("n_heads", 5), "n_heads", "d_model", base="mpt"),
    weights_row(
        "gpt_neox_bias_missing",
        drop_tensor("gpt_neox.layers.0.attention.query_key_value.bias"),
        "query_key_value.bias",
        base="gpt_neox",
    ),
    weights_row("gpt_neox_other_width", config("intermediate_size", 41), "dense_h_to_4h", base="gpt_neox"),
]
LLAVA = [
    config_row("video_token_index_null", config("video_token_index", None), "video_token_index",
               base="llava_onevision"),
    *_bad_values(
        "llava",
        "vision_config.",
        ["hidden_size", "num_hidden_layers", "num_attention_heads", "image_size", "patch_size"],
        NO_SIZE[:6],
    ),
    *_bad_values("llava", "vision_config.", ["layer_norm_eps"], NO_NUMBER[:4]),
    *_bad_values("llava", "text_config.", ["hidden_size"], NO_SIZE[:4]),
    *_bad_values(
        "llava",
        "",
        ["vision_feature_layer"],
        [
            ("past_the_end", 9),
            ("before_the_start", -9),
            ("text", "-2"),
            ("empty_list", []),
            ("list_of_text", ["-2"]),
        ],
    ),
    *_bad_values(
        "llava", "", ["vision_feature_select_strategy"], [("unknown", "some"), ("number", 1)]
    ),
    *_bad_values(
        "llava",
        "",
        ["image_token_index"],
        [("past_the_vocabulary", 99999), ("negative", -2), ("text", "<image>")],
    ),
    *_bad_values("llava", "", ["projector_hidden_act"], [("unknown", "no_such_act")]),
    *_bad_values("llava", "", ["text_config", "vision_config"], [("list", []), ("text", "llama")]),
    config_row(
        "llava_heads_do_not_divide",
        config("vision_config.num_attention_heads", 7),
        "num_attention_heads",
        base="llava",
    ),
    config_row(
        "llava_patch_bigger_than_picture",
        config("vision_config.patch_size", 50),
        "patch_size",
        "image_size",
        base="llava",
    ),
    config_row(
        "llava_text_model_unknown",
        config("text_config.model_type", "no_such_model"),
        "no_such_model",
        "model_type",
        base="llava",
    ),
    config_row(
        "llava_vision_model_unknown",
        config("vision_config.model_type", "no_such_model"),
        "no_such_model",
        "model_type",
        base="llava",
    ),
]
INSTRUCTBLIP = [
    *_bad_values(
        "instructblip",
        "qformer_config.",
        [
            "hidden_size",
            "num_hidden_layers",
            "num_attention_heads",
            "vocab_size",
        ],
        NO_SIZE[:4],
    ),
    # A large one is no error: only the first layer looks at the picture then.
    *_bad_values(
        "instructblip",
        "qformer_config.",
        ["cross_attention_frequency"],
        NO_SIZE[:2] + NO_SIZE[3:],
    ),
    *_bad_values("instructblip", "", ["num_query_tokens"], NO_SIZE[:6]),
    *_bad_values("instructblip", "", ["qformer_config"], [("list", []), ("text", "bert")]),
    config_row(
        "instructblip_text_model_t5",
        config("text_config.model_type", "t5"),
        "t5",
        base="instructblip",
    ),
    config_row(
        "instructblip_heads_do_not_divide",
        config("qformer_config.num_attention_heads", 5),
        "num_attention_heads",
        base="instructblip",
    ),
    weights_row(
        "instructblip_queries",
        config("num_query_tokens", 9),
        "query_tokens",
        base="instructblip",
        file="",
    ),
    weights_row(
        "instructblip_query_tensor_missing",
        drop_tensor("query_tokens"),
        "query_tokens",
        base="instructblip",
    ),
    weights_row(
        "llava_projector_missing",
        drop_tensor("multi_modal_projector.linear_1.weight"),
        "linear_1.weight",
        base="llava",
    ),
]
IDEFICS = [
    *_bad_values("idefics", "", ["cross_layer_interval"], [*NO_SIZE, ("not_a_divisor", 3)]),
    *_bad_values(
        "idefics", "", ["additional_vocab_size"], [("negative", -1), ("text", "3"), ("list", [3])]
    ),
    *_bad_values("idefics", "", ["alpha_type"], [("unknown", "matrix"), ("number", 1)]),
    *_bad_values("idefics", "", ["use_resampler", "qk_layer_norms"], [("text", "yes")]),
    *_bad_values(
        "idefics",
        "perceiver_config.",
        ["resampler_n_latents", "resampler_depth", "resampler_n_heads", "resampler_head_dim"],
        NO_SIZE[:6],
    ),
    *_bad_values("idefics", "vision_config.", ["embed_dim"], NO_SIZE[:2] + NO_SIZE[3:6]),
    *_bad_values("idefics", "vision_config.", ["image_size", "patch_size"], NO_SIZE[:6]),
    weights_row(
        "idefics_gate_missing",
        drop_tensor("model.gated_cross_attn_layers.1.alpha_dense"),
        "alpha_dense",
        base="idefics",
    ),
    weights_row(
        "idefics_other_gates", config("alpha_type", "float"), "alpha_cross_attn", base="idefics"
    ),
    weights_row(
        "idefics_fewer_additional_tokens",
        config("additional_vocab_size", 2),
        "additional_embedding",
        base="idefics",
    ),
]
CONVERTED = [  # what only our converters write
    *_bad_values("minigpt_v2", "", ["patches_per_token"], [*NO_SIZE[:6], ("not_a_divisor", 3)]),
    *_bad_values("openflamingo", "", ["cross_attn_every_n_layers"], [*NO_SIZE[:6], ("more_than_layers", 5)]),
    *_bad_values("openflamingo", "", ["cross_attn_heads", "cross_attn_head_dim", "image_token_id"], NO_SIZE[1:6]),
    *_bad_values("openflamingo", "", ["image_token_id"], [("missing", MISSING)]),
    *_bad_values("llama_adapter", "", ["query_layer"], [*NO_SIZE[:6], ("more_than_layers", 4)]),
    *_bad_values("llama_adapter", "", ["query_len", "projection_dim"], NO_SIZE[:6]),
    *_bad_values("llama_adapter", "visual_config.", ["hidden_size", "num_attention_heads"], NO_SIZE[:2] + NO_SIZE[3:6]),
    *_bad_values("medvint", "vision_config.", ["width"], [*NO_SIZE[:2], *NO_SIZE[3:6], ("odd", 3), ("wide", 1 << 20)]),
    *_bad_values("medvint", "vision_config.", ["layers"],
                 [("none", []), ("zero", [0]), ("five", [1] * 5), ("text", "1")]),
    *_bad_values("medvint", "vision_config.", ["image_size"], [*NO_SIZE[:2], ("no_multiple", 40)]),
    *_bad_values("lavin", "", ["vision_feature_interval"], [*NO_SIZE[:6], ("more_than_layers", 9)]),
    *_bad_values("lavin", "", ["adapter_dim", "hidden_proj"], NO_SIZE[:6]),
    *_bad_values("lavin", "", ["router_temperature"], [("zero", 0), ("negative", -1), ("text", "10")]),
    *_bad_values("medvint", "query_config.", ["num_queries", "num_hidden_layers"], NO_SIZE[:6]),
    weights_row("llama_adapter_gates_missing", drop_tensor("adapter_gates"), "adapter_gates", base="llama_adapter"),
    weights_row("lavin_routes_missing", drop_tensor("router_weights"), "router_weights", base="lavin"),
    weights_row("medvint_downsample_missing", drop_tensor("vision_model.layers.1.0.downsample.bias"), "downsample",
                base="medvint"),
]
TOKENIZER = [
    tokenizer_row("missing", remove("tokenizer.json")),
    tokenizer_row("empty", text("tokenizer.json", "")),
    tokenizer_row("not_json", raw("tokenizer.json", lambda b: b[:-20])),
    tokenizer_row("array", text("tokenizer.json", "[]")),
    tokenizer_row("nested", text("tokenizer.json", nested(200000))),
    tokenizer_row("not_utf8", raw("tokenizer.json", lambda b: b.replace(b"<unk>", b"<\xff>", 1))),
    tokenizer_row("model_missing", field("tokenizer.json", "model", MISSING), "model"),
    tokenizer_row(
        "model_type_unknown",
        field("tokenizer.json", "model.type", "NoSuchModel"),
        "NoSuchModel",
        "type",
    ),
    tokenizer_row("vocab_is_a_number", field("tokenizer.json", "model.vocab", 5), "vocab"),
    tokenizer_row(
        "vocab_id_negative", field("tokenizer.json", "model.vocab.<s>", -1), "vocab", "<s>"
    ),
    tokenizer_row(
        "vocab_id_absurd", field("tokenizer.json", "model.vocab.<s>", 10**12), "vocab", "<s>"
    ),
    tokenizer_row("vocab_id_text", field("tokenizer.json", "model.vocab.<s>", "1"), "vocab", "<s>"),
    tokenizer_row(
        "merge_of_unknown_pieces",
        field("tokenizer.json", "model.merges.0", ["qqqq", "zzzz"]),
        "merges",
        "qqqq",
    ),
    tokenizer_row(
        "merge_with_one_piece", field("tokenizer.json", "model.merges.0", ["a"]), "merges"
    ),
    tokenizer_row(
        "without_the_placeholder",
        field("tokenizer.json", "model.vocab.<0x4A>", MISSING),
        "399",
        base="llava_v5",
        file="config.json",
    ),
    tokenizer_row(
        "added_token_id_negative",
        field("tokenizer.json", "added_tokens.0.id", -3),
        "added_tokens",
        "id",
    ),
    tokenizer_row(
        "added_token_content_number",
        field("tokenizer.json", "added_tokens.0.content", 4),
        "added_tokens",
        "content",
    ),
    tokenizer_row(
        "pre_tokenizer_unknown",
        field("tokenizer.json", "pre_tokenizer", {"type": "NoSuch"}),
        "NoSuch",
        "pre_tokenizer",
    ),
    tokenizer_row(
        "decoder_unknown",
        field("tokenizer.json", "decoder", {"type": "NoSuch"}),
        "NoSuch",
        "decoder",
    ),
    tokenizer_row(
        "regex_invalid",
        field("tokenizer.json", "pre_tokenizer.pretokenizers.0.pattern.Regex", "(((["),
        "Regex",
        "pattern",
        "(((",
        base="llama_bias",
    ),
    tokenizer_row(
        "template_unknown_token",
        field(
            "tokenizer.json",
            "post_processor",
            {
                "type": "TemplateProcessing",
                "pair": [],
                "special_tokens": {},
                "single": [{"SpecialToken": {"id": "<ghost>", "type_id": 0}}],
            },
        ),
        "<ghost>",
        "post_processor",
    ),
    tokenizer_row(
        "qformer_missing",
        remove("qformer_tokenizer"),
        base="instructblip",
        file="qformer_tokenizer",
    ),
    tokenizer_row(
        "qformer_not_json",
        text("qformer_tokenizer/tokenizer.json", "{"),
        base="instructblip",
        file="qformer_tokenizer/tokenizer.json",
    ),
]
PROCESSOR = [
    processor_row("not_json", text("preprocessor_config.json", "{")),
    processor_row("array", text("preprocessor_config.json", "[1]")),
    processor_row(
        "size_zero", field("preprocessor_config.json", "size", {"shortest_edge": 0}), "size"
    ),
    processor_row(
        "size_absurd", field("preprocessor_config.json", "size", {"shortest_edge": HUGE}), "size"
    ),
    processor_row(
        "size_text", field("preprocessor_config.json", "size", {"shortest_edge": "42"}), "size"
    ),
    processor_row("size_without_sides", field("preprocessor_config.json", "size", {}), "size"),
    processor_row(
        "crop_negative",
        field("preprocessor_config.json", "crop_size", {"height": -42, "width": 42}),
        "crop_size",
    ),
    processor_row(
        "crop_not_the_picture_size",
        field("preprocessor_config.json", "crop_size", {"height": 28, "width": 42}),
        "crop_size",
        "image_size",
    ),
    processor_row(
        "std_zero", field("preprocessor_config.json", "image_std", [0.0, 0.5, 0.5]), "image_std"
    ),
    processor_row(
        "std_two", field("preprocessor_config.json", "image_std", [0.5, 0.5]), "image_std"
    ),
    processor_row(
        "mean_text", field("preprocessor_config.json", "image_mean", ["a", "b", "c"]), "image_mean"
    ),
    processor_row(
        "mean_nan", field("preprocessor_config.json", "image_mean", Literal("[NaN,0,0]"))
    ),
    processor_row(
        "resample_unknown", field("preprocessor_config.json", "resample", 17), "resample"
    ),
    processor_row(
        "rescale_infinite", field("preprocessor_config.json", "rescale_factor", Literal("1e999"))
    ),
    processor_row("values_not_finite", field("preprocessor_config.json", "image_mean", [1e308, 0, 0]), "image_mean"),
    processor_row("values_huge", field("preprocessor_config.json", "rescale_factor", 2**63), "rescale_factor"),
    processor_row("spread_tiny", field("preprocessor_config.json", "image_std", [1e-30, 0.5, 0.5]), "image_std"),
    *(
        processor_row(
            f"{part}_patch_size_null",
            field(NESTED, f"{part}_processor.patch_size", None),
            "patch_size",
            base="qwen2_5_vl_v5",
            file=NESTED,
        )
        for part in ("image", "video")
    ),
    processor_row("patch_size_zero", field(NESTED, "patch_size", 0), "patch_size", file=NESTED),
]
CONFIG_TABLE = [*CONFIG_FORM, *CONFIG_VALUES, *DECODERS, *LLAVA, *INSTRUCTBLIP, *IDEFICS, *CONVERTED,
                *TOKENIZER, *PROCESSOR]
