"""What a checkpoint is, and the shapes that several share.

Every dimension of a model differs from every other one, so that a mix-up cannot cancel out.
"""

import dataclasses
from typing import Callable, Optional


@dataclasses.dataclass
class Checkpoint:
    name: str
    family: str
    cases: Callable
    text: dict = dataclasses.field(default_factory=dict)
    vision: dict = dataclasses.field(default_factory=dict)
    top: dict = dataclasses.field(default_factory=dict)
    tokenizer: str = "prepend"
    eos: tuple = ("</s>",)
    weights: str = "float32"
    shard: Optional[str] = None
    full: tuple = ()  # the cases whose every layer output is kept
    source: Optional[str] = None  # 5.x dialect: the 4.57 folder whose weights it takes
    strip: dict = dataclasses.field(
        default_factory=dict
    )  # fields removed from the saved config.json: {section: [field]}
    extra_rows: int = 0  # rows of the embedding beyond the tokenizer's tokens
    old_bias: bool = False  # q_bias and v_bias instead of qkv.bias
    current_names: bool = (
        False  # llava: the names of 4.52 and later instead of those save_pretrained writes
    )
    old_processor: bool = False  # no processor_config.json
    tower: str = "CLIPVisionConfig"  # of llava
    qformer: dict = dataclasses.field(default_factory=dict)
    pictures: dict = dataclasses.field(default_factory=dict)  # of the image processor
    videos: Optional[dict] = None  # sizes of the video processor; None: it has no file of its own
    seed: int = 1
    decoder: str = "llama"  # of a multimodal family: text_config's model_type


GQA = dict(
    hidden_size=48,
    intermediate_size=80,
    num_hidden_layers=3,
    num_attention_heads=6,
    num_key_value_heads=2,
    head_dim=8,
    max_position_embeddings=256,
    rms_norm_eps=1e-5,
)
SMALL = dict(
    hidden_size=32,
    intermediate_size=56,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=8,
    max_position_embeddings=256,
    rms_norm_eps=1e-6,
)
# Sixteen rotary dimensions and a small base, so that every branch of the scaling formulas has a frequency in it.
ROPE = dict(SMALL, num_attention_heads=2, num_key_value_heads=1, head_dim=16, rope_theta=1000.0)
CLIP = dict(
    hidden_size=40,
    intermediate_size=72,
    num_hidden_layers=4,
    num_attention_heads=5,
    image_size=42,
    patch_size=14,
)
EVA = dict(
    hidden_size=40,
    intermediate_size=68,
    num_hidden_layers=3,
    num_attention_heads=5,
    image_size=42,
    patch_size=14,
)
QFORMER = dict(
    hidden_size=36,
    intermediate_size=52,
    num_hidden_layers=5,
    num_attention_heads=3,
    cross_attention_frequency=2,
    encoder_hidden_size=40,
    max_position_embeddings=128,
)


def rope_text(kind, **fields):
    return dict(ROPE, **fields, rope_scaling=dict(kind, rope_type=kind["rope_type"]))
