"""Damaged tokenizer files."""

from broken_files import MISSING, field, nested, raw, remove, text, tokenizer_row

TOKENIZER_TABLE = [
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
