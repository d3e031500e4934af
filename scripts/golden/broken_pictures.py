"""Damaged files of the picture processor."""

from broken_files import Literal, field, processor_row, text
from broken_values import HUGE

NESTED = "processor_config.json"
PICTURE_TABLE = [
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
