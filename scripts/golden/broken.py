#!/usr/bin/env python3
"""Makes hostile and damaged checkpoint folders from good ones.

    broken.py OUT_DIR   writes OUT_DIR/<name>/ for each entry of TABLE, and OUT_DIR/broken.json:
                        [{"name", "base", "part", "folder", "file", "fields"}]

A server that is given such a folder must exit with status 1 and print one line that holds `file` and at least one of `fields`
(fields may be empty: the file's name is enough). part says who notices: "weights" and "config" the engine, "tokenizer" and
"processor" the text and picture code.
"""

import argparse
import dataclasses
import json
import pathlib
import shutil
import struct
import sys
from typing import Callable

from broken_files import (
    INDEX,
    MISSING,
    WEIGHTS,
    Literal,
    add_tensor,
    config,
    drop_tensor,
    entry,
    field,
    header,
    nested,
    nested_objects,
    overlap,
    point_outside,
    raw,
    remove,
    repeated_key,
    text,
)

ROOT = pathlib.Path(__file__).resolve().parents[2] / "tests" / "golden"
NORM = "model.layers.0.input_layernorm.weight"
OTHER_NORM = "model.layers.1.input_layernorm.weight"
EMBED = "model.embed_tokens.weight"
HUGE = 10**9


@dataclasses.dataclass
class Broken:
    name: str
    base: str
    file: str
    fields: tuple
    mutate: Callable
    part: str


def _weights(name, mutate, *fields, base="llama_tied", file=WEIGHTS):
    return Broken("weights_" + name, base, file, fields, mutate, "weights")


def _config(name, mutate, *fields, base="llama_tied", file="config.json"):
    return Broken("config_" + name, base, file, fields, mutate, "config")


def _tokenizer(name, mutate, *fields, base="llama_tied", file="tokenizer.json"):
    return Broken("tokenizer_" + name, base, file, fields, mutate, "tokenizer")


def _processor(name, mutate, *fields, base="llava", file="preprocessor_config.json"):
    return Broken("processor_" + name, base, file, fields, mutate, "processor")


def _length(value):
    return raw(WEIGHTS, lambda b: struct.pack("<Q", value) + b[8:])


FILE_FORM = [
    _weights("missing", remove(WEIGHTS)),
    _weights("empty", text(WEIGHTS, b"")),
    _weights("seven_bytes", text(WEIGHTS, b"\x10\0\0\0\0\0\0")),
    _weights("cut_in_header", raw(WEIGHTS, lambda b: b[:200])),
    _weights("cut_in_data", raw(WEIGHTS, lambda b: b[:-100])),
    _weights("cut_one_byte", raw(WEIGHTS, lambda b: b[:-1])),
    _weights("trailing_bytes", raw(WEIGHTS, lambda b: b + bytes(64))),
    _weights("header_length_all_ones", _length(2**64 - 1)),
    _weights("header_length_wraps", _length(2**64 - 8)),
    _weights(
        "header_length_past_the_end", raw(WEIGHTS, lambda b: struct.pack("<Q", len(b)) + b[8:])
    ),
    _weights("header_length_zero", _length(0)),
    _weights(
        "header_length_short",
        raw(WEIGHTS, lambda b: struct.pack("<Q", struct.unpack("<Q", b[:8])[0] // 2) + b[8:]),
    ),
    _weights("header_is_an_array", header(lambda h, d: (b"[]", d))),
    _weights("header_is_not_json", header(lambda h, d: (b"{" + b"x" * 64, d))),
    _weights("header_is_not_utf8", header(lambda h, d: (b'{"\xff\xfe":1}', d))),
    _weights(
        "header_nested_arrays", header(lambda h, d: (('{"a":' + nested(100000) + "}").encode(), d))
    ),
    _weights("header_nested_objects", header(lambda h, d: (nested_objects(100000).encode(), d))),
]
ENTRIES = [
    _weights("offsets_overlap", overlap(NORM, OTHER_NORM), NORM, OTHER_NORM),
    _weights("offsets_reversed", entry(NORM, data_offsets=[128, 0]), NORM),
    _weights("offsets_past_the_end", entry(NORM, data_offsets=[10**12, 10**12 + 128]), NORM),
    _weights("offsets_wrap", entry(NORM, data_offsets=[2**64 - 128, 2**64]), NORM),
    _weights("offset_negative", entry(NORM, data_offsets=[-128, 0]), NORM),
    _weights("offset_fraction", entry(NORM, data_offsets=[0.5, 128.5]), NORM),
    _weights("offset_text", entry(NORM, data_offsets=["0", "128"]), NORM),
    _weights("offsets_three", entry(NORM, data_offsets=[0, 64, 128]), NORM),
    _weights("offsets_missing", entry(NORM, data_offsets=None), NORM),
    _weights("dtype_of_other_size", entry(NORM, dtype="F16"), NORM),
    _weights("dtype_unknown", entry(NORM, dtype="F12"), NORM),
    _weights("dtype_number", entry(NORM, dtype=32), NORM),
    _weights("dtype_missing", entry(NORM, dtype=None), NORM),
    _weights("dtype_integer", entry(NORM, dtype="I32"), NORM),
    _weights("shape_bigger", entry(NORM, shape=[33]), NORM),
    _weights("shape_overflow", entry(NORM, shape=[2**32, 2**32, 2**3]), NORM),
    _weights("shape_overflow_to_fit", entry(NORM, shape=[2**62 + 8, 4]), NORM),
    _weights("shape_negative", entry(NORM, shape=[-32]), NORM),
    _weights("shape_two_negatives", entry(NORM, shape=[-4, -8]), NORM),
    _weights("shape_zero", entry(NORM, shape=[0]), NORM),
    _weights("shape_fraction", entry(NORM, shape=[32.5]), NORM),
    _weights("shape_text", entry(NORM, shape="32"), NORM),
    _weights("shape_many_sides", entry(NORM, shape=[1] * 5000 + [32]), NORM),
    _weights("shape_missing", entry(NORM, shape=None), NORM),
    _weights("entry_is_a_number", header(lambda h, d: h.__setitem__(NORM, 7)), NORM),
    _weights("name_twice", repeated_key(NORM), NORM),
]
CONTENT = [
    _weights("tensor_missing", drop_tensor(NORM), NORM),
    _weights(
        "tensor_of_a_layer_too_many",
        add_tensor("model.layers.2.input_layernorm.weight", [32]),
        "model.layers.2.input_layernorm.weight",
    ),
    _weights(
        "tensor_unknown",
        add_tensor("model.layers.0.mystery.weight", [4]),
        "model.layers.0.mystery.weight",
    ),
    _weights("tensor_transposed", header(lambda h, d: h[EMBED]["shape"].reverse()), EMBED),
    _weights(
        "tensor_flat",
        header(
            lambda h, d: h[EMBED].__setitem__(
                "shape", [h[EMBED]["shape"][0] * h[EMBED]["shape"][1]]
            )
        ),
        EMBED,
    ),
    _weights("tensor_extra_side", entry(NORM, shape=[1, 32]), NORM),
]
SHARDS = [
    _weights(
        "index_outside_folder",
        point_outside(EMBED),
        "../outside.safetensors",
        base="llama_sharded",
        file=INDEX,
    ),
    _weights(
        "index_absolute_path",
        field(INDEX, "weight_map", {EMBED: "/etc/passwd"}),
        "/etc/passwd",
        base="llama_sharded",
        file=INDEX,
    ),
    _weights(
        "index_shard_missing",
        remove("model-00002-of-00003.safetensors"),
        base="llama_sharded",
        file="model-00002-of-00003.safetensors",
    ),
    _weights("index_not_json", text(INDEX, "{"), base="llama_sharded", file=INDEX),
    _weights(
        "index_without_map",
        field(INDEX, "weight_map", MISSING),
        "weight_map",
        base="llama_sharded",
        file=INDEX,
    ),
    _weights(
        "index_map_is_a_list",
        field(INDEX, "weight_map", ["a"]),
        "weight_map",
        base="llama_sharded",
        file=INDEX,
    ),
    _weights(
        "index_value_is_a_number",
        field(INDEX, "weight_map", {EMBED: 3}),
        EMBED,
        base="llama_sharded",
        file=INDEX,
    ),
    _weights(
        "index_map_empty",
        field(INDEX, "weight_map", {}),
        "weight_map",
        EMBED,
        base="llama_sharded",
        file="",
    ),
    _weights(
        "index_names_absent_tensor",
        field(INDEX, "weight_map", {"model.ghost.weight": "model-00001-of-00003.safetensors"}),
        "model.ghost.weight",
        base="llama_sharded",
        file="",
    ),
    _weights(
        "shard_cut",
        raw("model-00003-of-00003.safetensors", lambda b: b[:-64]),
        base="llama_sharded",
        file="model-00003-of-00003.safetensors",
    ),
]
CONFIG_FORM = [
    _config("missing", remove("config.json")),
    _config("empty", text("config.json", "")),
    _config("not_json", text("config.json", '{"model_type": "llama",')),
    _config("trailing_text", raw("config.json", lambda b: b + b"x")),
    _config("array", text("config.json", "[]")),
    _config("nested", text("config.json", nested(200000))),
    _config("nested_in_a_field", config("rope_scaling", Literal(nested_objects(100000)))),
    _config("not_utf8", text("config.json", b'{"model_type":"\xff"}')),
    _config("nul_bytes", text("config.json", bytes(300))),
    _config("without_model_type", config("model_type", MISSING), "model_type"),
    _config(
        "unknown_model_type", config("model_type", "no_such_model"), "no_such_model", "model_type"
    ),
    _config("model_type_is_a_number", config("model_type", 5), "model_type"),
    _config(
        "generation_config_not_json",
        text("generation_config.json", "{"),
        file="generation_config.json",
    ),
    _config(
        "generation_config_eos_text",
        field("generation_config.json", "eos_token_id", "two"),
        "eos_token_id",
        file="generation_config.json",
    ),
    _config(
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
                _config(
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
    _config("key_heads_do_not_divide", config("num_key_value_heads", 3), "num_key_value_heads"),
    _config("head_dim_odd", config("head_dim", 7), "head_dim"),
    _config("rope_scaling_text", config("rope_scaling", "yarn"), "rope_scaling"),
    _config(
        "rope_type_unknown",
        config("rope_scaling", {"rope_type": "no_such_rope", "factor": 2.0}),
        "no_such_rope",
        "rope_type",
    ),
    _config("rope_factor_missing", config("rope_scaling", {"rope_type": "linear"}), "factor"),
    _config(
        "rope_factor_zero", config("rope_scaling", {"rope_type": "linear", "factor": 0.0}), "factor"
    ),
    _config(
        "rope_factor_text",
        config("rope_scaling", {"rope_type": "dynamic", "factor": "2"}),
        "factor",
    ),
    _config(
        "yarn_original_zero",
        config("rope_scaling.original_max_position_embeddings", 0),
        "original_max_position_embeddings",
        base="llama_yarn",
    ),
    _config(
        "llama3_factors_equal",
        config("rope_scaling.high_freq_factor", 1.0),
        "high_freq_factor",
        "low_freq_factor",
        base="llama_llama3",
    ),
    _config(
        "rope_parameters_list",
        config("rope_parameters", [1]),
        "rope_parameters",
        base="llama_yarn_v5",
    ),
]
LLAVA = [
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
    _config(
        "llava_heads_do_not_divide",
        config("vision_config.num_attention_heads", 7),
        "num_attention_heads",
        base="llava",
    ),
    _config(
        "llava_patch_bigger_than_picture",
        config("vision_config.patch_size", 50),
        "patch_size",
        "image_size",
        base="llava",
    ),
    _config(
        "llava_text_model_unknown",
        config("text_config.model_type", "no_such_model"),
        "no_such_model",
        "model_type",
        base="llava",
    ),
    _config(
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
            "cross_attention_frequency",
            "vocab_size",
        ],
        NO_SIZE[:4],
    ),
    *_bad_values("instructblip", "", ["num_query_tokens"], NO_SIZE[:6]),
    *_bad_values("instructblip", "", ["qformer_config"], [("list", []), ("text", "bert")]),
    _config(
        "instructblip_text_model_t5",
        config("text_config.model_type", "t5"),
        "t5",
        base="instructblip",
    ),
    _config(
        "instructblip_heads_do_not_divide",
        config("qformer_config.num_attention_heads", 5),
        "num_attention_heads",
        base="instructblip",
    ),
    _weights(
        "instructblip_queries",
        config("num_query_tokens", 9),
        "query_tokens",
        base="instructblip",
        file="",
    ),
    _weights(
        "instructblip_query_tensor_missing",
        drop_tensor("query_tokens"),
        "query_tokens",
        base="instructblip",
    ),
    _weights(
        "llava_projector_missing",
        drop_tensor("multi_modal_projector.linear_1.weight"),
        "linear_1.weight",
        base="llava",
    ),
]
TOKENIZER = [
    _tokenizer("missing", remove("tokenizer.json")),
    _tokenizer("empty", text("tokenizer.json", "")),
    _tokenizer("not_json", raw("tokenizer.json", lambda b: b[:-20])),
    _tokenizer("array", text("tokenizer.json", "[]")),
    _tokenizer("nested", text("tokenizer.json", nested(200000))),
    _tokenizer("not_utf8", raw("tokenizer.json", lambda b: b.replace(b"<unk>", b"<\xff>", 1))),
    _tokenizer("model_missing", field("tokenizer.json", "model", MISSING), "model"),
    _tokenizer(
        "model_type_unknown",
        field("tokenizer.json", "model.type", "NoSuchModel"),
        "NoSuchModel",
        "type",
    ),
    _tokenizer("vocab_is_a_number", field("tokenizer.json", "model.vocab", 5), "vocab"),
    _tokenizer("vocab_id_negative", field("tokenizer.json", "model.vocab.<s>", -1), "vocab", "<s>"),
    _tokenizer(
        "vocab_id_absurd", field("tokenizer.json", "model.vocab.<s>", 10**12), "vocab", "<s>"
    ),
    _tokenizer("vocab_id_text", field("tokenizer.json", "model.vocab.<s>", "1"), "vocab", "<s>"),
    _tokenizer(
        "merge_of_unknown_pieces",
        field("tokenizer.json", "model.merges.0", ["qqqq", "zzzz"]),
        "merges",
        "qqqq",
    ),
    _tokenizer("merge_with_one_piece", field("tokenizer.json", "model.merges.0", ["a"]), "merges"),
    _tokenizer(
        "added_token_id_negative",
        field("tokenizer.json", "added_tokens.0.id", -3),
        "added_tokens",
        "id",
    ),
    _tokenizer(
        "added_token_content_number",
        field("tokenizer.json", "added_tokens.0.content", 4),
        "added_tokens",
        "content",
    ),
    _tokenizer(
        "pre_tokenizer_unknown",
        field("tokenizer.json", "pre_tokenizer", {"type": "NoSuch"}),
        "NoSuch",
        "pre_tokenizer",
    ),
    _tokenizer(
        "decoder_unknown",
        field("tokenizer.json", "decoder", {"type": "NoSuch"}),
        "NoSuch",
        "decoder",
    ),
    _tokenizer(
        "regex_invalid",
        field("tokenizer.json", "pre_tokenizer.pretokenizers.0.pattern.Regex", "(((["),
        "Regex",
        "pattern",
        "(((",
        base="llama_bias",
    ),
    _tokenizer(
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
    _tokenizer(
        "qformer_missing",
        remove("qformer_tokenizer"),
        base="instructblip",
        file="qformer_tokenizer",
    ),
    _tokenizer(
        "qformer_not_json",
        text("qformer_tokenizer/tokenizer.json", "{"),
        base="instructblip",
        file="qformer_tokenizer/tokenizer.json",
    ),
]
PROCESSOR = [
    _processor("not_json", text("preprocessor_config.json", "{")),
    _processor("array", text("preprocessor_config.json", "[1]")),
    _processor(
        "size_zero", field("preprocessor_config.json", "size", {"shortest_edge": 0}), "size"
    ),
    _processor(
        "size_absurd", field("preprocessor_config.json", "size", {"shortest_edge": HUGE}), "size"
    ),
    _processor(
        "size_text", field("preprocessor_config.json", "size", {"shortest_edge": "42"}), "size"
    ),
    _processor("size_without_sides", field("preprocessor_config.json", "size", {}), "size"),
    _processor(
        "crop_negative",
        field("preprocessor_config.json", "crop_size", {"height": -42, "width": 42}),
        "crop_size",
    ),
    _processor(
        "crop_not_the_picture_size",
        field("preprocessor_config.json", "crop_size", {"height": 28, "width": 42}),
        "crop_size",
        "image_size",
    ),
    _processor(
        "std_zero", field("preprocessor_config.json", "image_std", [0.0, 0.5, 0.5]), "image_std"
    ),
    _processor("std_two", field("preprocessor_config.json", "image_std", [0.5, 0.5]), "image_std"),
    _processor(
        "mean_text", field("preprocessor_config.json", "image_mean", ["a", "b", "c"]), "image_mean"
    ),
    _processor("mean_nan", field("preprocessor_config.json", "image_mean", Literal("[NaN,0,0]"))),
    _processor("resample_unknown", field("preprocessor_config.json", "resample", 17), "resample"),
    _processor(
        "rescale_infinite", field("preprocessor_config.json", "rescale_factor", Literal("1e999"))
    ),
    _processor(
        "patch_size_zero",
        field("processor_config.json", "patch_size", 0),
        "patch_size",
        file="processor_config.json",
    ),
]
TABLE = [
    *FILE_FORM,
    *ENTRIES,
    *CONTENT,
    *SHARDS,
    *CONFIG_FORM,
    *CONFIG_VALUES,
    *LLAVA,
    *INSTRUCTBLIP,
    *TOKENIZER,
    *PROCESSOR,
]


def make(broken, folder):
    """A damaged copy of its base in `folder`, which must not exist."""
    shutil.copytree(ROOT / broken.base, folder, ignore=shutil.ignore_patterns("golden.*"))
    broken.mutate(folder)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=pathlib.Path)
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    rows = []
    for broken in TABLE:
        shutil.rmtree(out / broken.name, ignore_errors=True)
        make(broken, out / broken.name)
        rows.append(
            {
                "name": broken.name,
                "base": broken.base,
                "part": broken.part,
                "folder": str(out / broken.name),
                "file": broken.file,
                "fields": list(broken.fields),
            }
        )
    (out / "broken.json").write_text(json.dumps(rows, indent=1) + "\n")
    print(f"{len(rows)} folders in {out}")


if __name__ == "__main__":
    sys.exit(main())
