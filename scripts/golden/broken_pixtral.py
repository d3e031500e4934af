"""Pixtral and Mistral 3: fields that contradict each other."""

from broken_files import config, config_row, field, processor_row

NESTED = "processor_config.json"


def _config(base, name, path, value):
    return config_row(f"{base}_{name}", config(path, value), path.rpartition(".")[2], base=base)


def _processor(base, name, path, value, file=NESTED):
    named = path.split(".")[0] if file == NESTED else path
    return processor_row(f"{base}_{name}", field(file, path, value), named, base=base, file=file)


PIXTRAL_TABLE = [
    _config("pixtral", "drops_a_patch", "vision_feature_select_strategy", "default"),
    _config("pixtral", "heads", "vision_config.num_attention_heads", 24),
    _config("pixtral", "tower_of_no_patch", "vision_config.image_size", 7),
    _config("pixtral", "gray", "vision_config.num_channels", 1),
    _config("pixtral", "layer", "vision_feature_layer", 4),
    _config("mistral3", "two_layers", "vision_feature_layer", [-1, -2]),
    _config("mistral3", "clip", "vision_config.model_type", "clip_vision_model"),
    _config("mistral3", "merge_of_nothing", "spatial_merge_size", 0),
    _processor("mistral3", "other_patches", "patch_size", 7),
    _processor("mistral3", "merge_text", "spatial_merge_size", "2"),
    _processor("pixtral", "break_number", "image_break_token", 5),
    _processor("pixtral", "size", "size", {"shortest_edge": 4}, "preprocessor_config.json"),
]
