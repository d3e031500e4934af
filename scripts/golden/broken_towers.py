"""Fields and tensors of towers and of what joins them to decoders."""

from broken_files import MISSING, config, config_row, drop_tensor, weights_row
from broken_values import NO_NUMBER, NO_SIZE, bad_values

LLAVA = [
    config_row("video_token_index_null", config("video_token_index", None), "video_token_index",
               base="llava_onevision"),
    *bad_values(
        "llava",
        "vision_config.",
        ["hidden_size", "num_hidden_layers", "num_attention_heads", "image_size", "patch_size"],
        NO_SIZE[:6],
    ),
    *bad_values("llava", "vision_config.", ["layer_norm_eps"], NO_NUMBER[:4]),
    *bad_values("llava", "text_config.", ["hidden_size"], NO_SIZE[:4]),
    *bad_values(
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
    *bad_values(
        "llava", "", ["vision_feature_select_strategy"], [("unknown", "some"), ("number", 1)]
    ),
    *bad_values(
        "llava",
        "",
        ["image_token_index"],
        [("past_the_vocabulary", 99999), ("negative", -2), ("text", "<image>")],
    ),
    *bad_values("llava", "", ["projector_hidden_act"], [("unknown", "no_such_act")]),
    *bad_values("llava", "", ["text_config", "vision_config"], [("list", []), ("text", "llama")]),
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
    *bad_values(
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
    *bad_values(
        "instructblip",
        "qformer_config.",
        ["cross_attention_frequency"],
        NO_SIZE[:2] + NO_SIZE[3:],
    ),
    *bad_values("instructblip", "", ["num_query_tokens"], NO_SIZE[:6]),
    *bad_values("instructblip", "", ["qformer_config"], [("list", []), ("text", "bert")]),
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
    *bad_values("idefics", "", ["cross_layer_interval"], [*NO_SIZE, ("not_a_divisor", 3)]),
    *bad_values(
        "idefics", "", ["additional_vocab_size"], [("negative", -1), ("text", "3"), ("list", [3])]
    ),
    *bad_values("idefics", "", ["alpha_type"], [("unknown", "matrix"), ("number", 1)]),
    *bad_values("idefics", "", ["use_resampler", "qk_layer_norms"], [("text", "yes")]),
    *bad_values(
        "idefics",
        "perceiver_config.",
        ["resampler_n_latents", "resampler_depth", "resampler_n_heads", "resampler_head_dim"],
        NO_SIZE[:6],
    ),
    *bad_values("idefics", "vision_config.", ["embed_dim"], NO_SIZE[:2] + NO_SIZE[3:6]),
    *bad_values("idefics", "vision_config.", ["image_size", "patch_size"], NO_SIZE[:6]),
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
    *bad_values("minigpt_v2", "", ["patches_per_token"], [*NO_SIZE[:6], ("not_a_divisor", 3)]),
    *bad_values("openflamingo", "", ["cross_attn_every_n_layers"], [*NO_SIZE[:6], ("more_than_layers", 5)]),
    *bad_values("openflamingo", "", ["cross_attn_heads", "cross_attn_head_dim", "image_token_id"], NO_SIZE[1:6]),
    *bad_values("openflamingo", "", ["image_token_id"], [("missing", MISSING)]),
    *bad_values("llama_adapter", "", ["query_layer"], [*NO_SIZE[:6], ("more_than_layers", 4)]),
    *bad_values("llama_adapter", "", ["query_len", "projection_dim"], NO_SIZE[:6]),
    *bad_values("llama_adapter", "visual_config.", ["hidden_size", "num_attention_heads"], NO_SIZE[:2] + NO_SIZE[3:6]),
    *bad_values("medvint", "vision_config.", ["width"], [*NO_SIZE[:2], *NO_SIZE[3:6], ("odd", 3), ("wide", 1 << 20)]),
    *bad_values("medvint", "vision_config.", ["layers"],
                 [("none", []), ("zero", [0]), ("five", [1] * 5), ("text", "1")]),
    *bad_values("medvint", "vision_config.", ["image_size"], [*NO_SIZE[:2], ("no_multiple", 40)]),
    *bad_values("lavin", "", ["vision_feature_interval"], [*NO_SIZE[:6], ("more_than_layers", 9)]),
    *bad_values("lavin", "", ["adapter_dim", "hidden_proj"], NO_SIZE[:6]),
    *bad_values("lavin", "", ["router_temperature"], [("zero", 0), ("negative", -1), ("text", "10")]),
    *bad_values("medvint", "query_config.", ["num_queries", "num_hidden_layers"], NO_SIZE[:6]),
    weights_row("llama_adapter_gates_missing", drop_tensor("adapter_gates"), "adapter_gates", base="llama_adapter"),
    weights_row("lavin_routes_missing", drop_tensor("router_weights"), "router_weights", base="lavin"),
    weights_row("medvint_downsample_missing", drop_tensor("vision_model.layers.1.0.downsample.bias"), "downsample",
                base="medvint"),
]
TOWER_TABLE = [*LLAVA, *INSTRUCTBLIP, *IDEFICS, *CONVERTED]
