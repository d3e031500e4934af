"""Damaged weight files: the container, its entries, their content, the shards."""

import struct

from broken_files import (
    INDEX,
    MISSING,
    WEIGHTS,
    add_tensor,
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
    weights_row,
)

NORM = "model.layers.0.input_layernorm.weight"
OTHER_NORM = "model.layers.1.input_layernorm.weight"
EMBED = "model.embed_tokens.weight"


def _length(value):
    return raw(WEIGHTS, lambda b: struct.pack("<Q", value) + b[8:])


FILE_FORM = [
    weights_row("missing", remove(WEIGHTS)),
    weights_row("empty", text(WEIGHTS, b"")),
    weights_row("seven_bytes", text(WEIGHTS, b"\x10\0\0\0\0\0\0")),
    weights_row("cut_in_header", raw(WEIGHTS, lambda b: b[:200])),
    weights_row("cut_in_data", raw(WEIGHTS, lambda b: b[:-100])),
    weights_row("cut_one_byte", raw(WEIGHTS, lambda b: b[:-1])),
    weights_row("trailing_bytes", raw(WEIGHTS, lambda b: b + bytes(64))),
    weights_row("header_length_all_ones", _length(2**64 - 1)),
    weights_row("header_length_wraps", _length(2**64 - 8)),
    weights_row(
        "header_length_past_the_end", raw(WEIGHTS, lambda b: struct.pack("<Q", len(b)) + b[8:])
    ),
    weights_row("header_length_zero", _length(0)),
    weights_row(
        "header_length_short",
        raw(WEIGHTS, lambda b: struct.pack("<Q", struct.unpack("<Q", b[:8])[0] // 2) + b[8:]),
    ),
    weights_row("header_is_an_array", header(lambda h, d: (b"[]", d))),
    weights_row("header_is_not_json", header(lambda h, d: (b"{" + b"x" * 64, d))),
    weights_row("header_is_not_utf8", header(lambda h, d: (b'{"\xff\xfe":1}', d))),
    weights_row(
        "header_nested_arrays", header(lambda h, d: (('{"a":' + nested(100000) + "}").encode(), d))
    ),
    weights_row("header_nested_objects", header(lambda h, d: (nested_objects(100000).encode(), d))),
]
ENTRIES = [
    weights_row("offsets_overlap", overlap(NORM, OTHER_NORM), NORM, OTHER_NORM),
    weights_row("offsets_reversed", entry(NORM, data_offsets=[128, 0]), NORM),
    weights_row("offsets_past_the_end", entry(NORM, data_offsets=[10**12, 10**12 + 128]), NORM),
    weights_row("offsets_wrap", entry(NORM, data_offsets=[2**64 - 128, 2**64]), NORM),
    weights_row("offset_negative", entry(NORM, data_offsets=[-128, 0]), NORM),
    weights_row("offset_fraction", entry(NORM, data_offsets=[0.5, 128.5]), NORM),
    weights_row("offset_text", entry(NORM, data_offsets=["0", "128"]), NORM),
    weights_row("offsets_three", entry(NORM, data_offsets=[0, 64, 128]), NORM),
    weights_row("offsets_missing", entry(NORM, data_offsets=None), NORM),
    weights_row("dtype_of_other_size", entry(NORM, dtype="F16"), NORM),
    weights_row("dtype_unknown", entry(NORM, dtype="F12"), NORM),
    weights_row("dtype_number", entry(NORM, dtype=32), NORM),
    weights_row("dtype_missing", entry(NORM, dtype=None), NORM),
    weights_row("dtype_integer", entry(NORM, dtype="I32"), NORM),
    weights_row("shape_bigger", entry(NORM, shape=[33]), NORM),
    weights_row("shape_overflow", entry(NORM, shape=[2**32, 2**32, 2**3]), NORM),
    weights_row("shape_overflow_to_fit", entry(NORM, shape=[2**62 + 8, 4]), NORM),
    weights_row("shape_negative", entry(NORM, shape=[-32]), NORM),
    weights_row("shape_two_negatives", entry(NORM, shape=[-4, -8]), NORM),
    weights_row("shape_zero", entry(NORM, shape=[0]), NORM),
    weights_row("shape_fraction", entry(NORM, shape=[32.5]), NORM),
    weights_row("shape_text", entry(NORM, shape="32"), NORM),
    weights_row("shape_many_sides", entry(NORM, shape=[1] * 5000 + [32]), NORM),
    weights_row("shape_missing", entry(NORM, shape=None), NORM),
    weights_row("entry_is_a_number", header(lambda h, d: h.__setitem__(NORM, 7)), NORM),
    weights_row("name_twice", repeated_key(NORM), NORM),
]
CONTENT = [
    weights_row("tensor_missing", drop_tensor(NORM), NORM),
    weights_row(
        "tensor_of_a_layer_too_many",
        add_tensor("model.layers.2.input_layernorm.weight", [32]),
        "model.layers.2.input_layernorm.weight",
        loads=True,
    ),
    weights_row(
        "tensor_unknown",
        add_tensor("model.layers.0.mystery.weight", [4]),
        "model.layers.0.mystery.weight",
        loads=True,
    ),
    weights_row("tensor_transposed", header(lambda h, d: h[EMBED]["shape"].reverse()), EMBED),
    weights_row(
        "tensor_flat",
        header(
            lambda h, d: h[EMBED].__setitem__(
                "shape", [h[EMBED]["shape"][0] * h[EMBED]["shape"][1]]
            )
        ),
        EMBED,
    ),
    weights_row("tensor_extra_side", entry(NORM, shape=[1, 32]), NORM),
]
SHARDS = [
    weights_row(
        "index_outside_folder",
        point_outside(EMBED),
        "../outside.safetensors",
        base="llama_sharded",
        file=INDEX,
    ),
    weights_row(
        "index_absolute_path",
        field(INDEX, "weight_map", {EMBED: "/etc/passwd"}),
        "/etc/passwd",
        base="llama_sharded",
        file=INDEX,
    ),
    weights_row(
        "index_shard_missing",
        remove("model-00002-of-00003.safetensors"),
        base="llama_sharded",
        file="model-00002-of-00003.safetensors",
    ),
    weights_row("index_not_json", text(INDEX, "{"), base="llama_sharded", file=INDEX),
    weights_row(
        "index_without_map",
        field(INDEX, "weight_map", MISSING),
        "weight_map",
        base="llama_sharded",
        file=INDEX,
    ),
    weights_row(
        "index_map_is_a_list",
        field(INDEX, "weight_map", ["a"]),
        "weight_map",
        base="llama_sharded",
        file=INDEX,
    ),
    weights_row(
        "index_value_is_a_number",
        field(INDEX, "weight_map", {EMBED: 3}),
        EMBED,
        base="llama_sharded",
        file=INDEX,
    ),
    weights_row(
        "index_map_empty",
        field(INDEX, "weight_map", {}),
        "weight_map",
        EMBED,
        base="llama_sharded",
        file="",
    ),
    weights_row(
        "index_names_absent_tensor",
        field(INDEX, "weight_map", {"model.ghost.weight": "model-00001-of-00003.safetensors"}),
        "model.ghost.weight",
        base="llama_sharded",
        file="",
    ),
    weights_row(
        "shard_cut",
        raw("model-00003-of-00003.safetensors", lambda b: b[:-64]),
        base="llama_sharded",
        file="model-00003-of-00003.safetensors",
    ),
]
WEIGHT_TABLE = [*FILE_FORM, *ENTRIES, *CONTENT, *SHARDS]
