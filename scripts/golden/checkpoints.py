"""Which checkpoints there are: shapes, dialect, tokenizer and cases of each.

Every dimension of a model differs from every other one, so that a mix-up cannot cancel out.
"""

import dataclasses
from typing import Callable, Optional

import blip_video  # noqa: F401  its family is known from here on
import cases
import decoders
import idefics
import llama_adapter
import llava_line  # noqa: F401  its families are known from here on
import medvint
import minigpt
import openflamingo
import text_tokenizers as tt


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


def _rope(kind, **fields):
    return dict(ROPE, **fields, rope_scaling=dict(kind, rope_type=kind["rope_type"]))


def all_checkpoints():
    return (
        _llama()
        + decoders.checkpoints(Checkpoint)
        + _llava()
        + _llava_decoders()
        + _instructblip()
        + _blip2()
        + _tiles()
        + _anyres()
        + idefics.checkpoints(Checkpoint)
        + minigpt.checkpoints(Checkpoint)
        + openflamingo.checkpoints(Checkpoint)
        + llama_adapter.checkpoints(Checkpoint)
        + medvint.checkpoints(Checkpoint)
        + _idefics2()
        + _qwen_vl()
        + _second_dialect()
    )


def _llama():
    text = lambda shift: lambda: cases.few_text_cases(shift)
    rope = cases.rope_cases
    return [
        Checkpoint(
            "llama_gqa",
            "llama",
            cases.text_cases,
            GQA,
            tokenizer="prepend",
            eos=("</s>", "<|im_end|>"),
            full=(0,),
        ),
        Checkpoint(
            "llama_tied",
            "llama",
            text(1),
            dict(SMALL, tie_word_embeddings=True),
            tokenizer="metaspace",
        ),
        Checkpoint(
            "llama_bias",
            "llama",
            text(3),
            dict(SMALL, attention_bias=True, mlp_bias=True),
            tokenizer="bytes",
            eos=("<|end|>",),
            weights="bfloat16",
        ),
        Checkpoint("llama_sharded", "llama", text(5), SMALL, shard="60KB"),
        Checkpoint(
            "llama_bf16", "llama", text(7), SMALL, tokenizer="metaspace", weights="bfloat16"
        ),
        Checkpoint(
            "llama_fp16",
            "llama",
            text(9),
            SMALL,
            tokenizer="bytes",
            eos=("<|end|>",),
            weights="float16",
        ),
        Checkpoint(
            "llama_linear",
            "llama",
            rope,
            _rope({"rope_type": "linear", "factor": 2.5}),
            tokenizer="bytes",
            eos=("<|end|>",),
            weights="bfloat16",
        ),
        Checkpoint(
            "llama_dynamic",
            "llama",
            rope,
            _rope({"rope_type": "dynamic", "factor": 4.0}, max_position_embeddings=32),
            tokenizer="bytes",
            eos=("<|end|>",),
            weights="float16",
        ),
        Checkpoint(
            "llama_llama3",
            "llama",
            rope,
            _rope(
                {
                    "rope_type": "llama3",
                    "factor": 8.0,
                    "low_freq_factor": 1.0,
                    "high_freq_factor": 4.0,
                    "original_max_position_embeddings": 48,
                }
            ),
            tokenizer="bytes",
            eos=("<|end|>",),
            weights="bfloat16",
        ),
        Checkpoint(
            "llama_yarn",
            "llama",
            rope,
            _rope(
                {
                    "rope_type": "yarn",
                    "factor": 4.0,
                    "beta_fast": 2.0,
                    "beta_slow": 1.0,
                    "original_max_position_embeddings": 48,
                }
            ),
            tokenizer="bytes",
            eos=("<|end|>",),
            weights="float16",
        ),
        # Query width 60 from hidden 32, one key head, three rows that no token has.
        Checkpoint(
            "llama_head_dim",
            "llama",
            text(2),
            dict(SMALL, num_attention_heads=5, num_key_value_heads=1, head_dim=12),
            extra_rows=3,
            weights="bfloat16",
        ),
        # Every field at its class default is missing from the file, head_dim and the key heads too.
        Checkpoint(
            "llama_sparse",
            "llama",
            text(6),
            dict(SMALL, num_key_value_heads=4),
            tokenizer="metaspace",
            weights="float16",
            strip={
                "": [
                    "head_dim",
                    "num_key_value_heads",
                    "rms_norm_eps",
                    "rope_theta",
                    "rope_scaling",
                    "hidden_act",
                    "attention_bias",
                    "mlp_bias",
                    "tie_word_embeddings",
                    "bos_token_id",
                    "eos_token_id",
                ]
            },
        ),
    ]


def _llava():
    clip_defaults = [
        "hidden_act",
        "layer_norm_eps",
        "num_channels",
        "projection_dim",
        "initializer_factor",
        "initializer_range",
        "attention_dropout",
    ]
    return [
        Checkpoint(
            "llava",
            "llava",
            cases.llava_cases,
            GQA,
            CLIP,
            tokenizer="prepend",
            full=(0, 3),
            extra_rows=5,
        ),
        Checkpoint(
            "llava_full_list",
            "llava",
            cases.few_llava_cases,
            dict(GQA, tie_word_embeddings=True),
            dict(CLIP, hidden_act="gelu"),
            dict(vision_feature_layer=[-2, -3], vision_feature_select_strategy="full"),
            tokenizer="bytes",
            eos=("<|end|>",),
            full=(0,),
            weights="float16",
            current_names=True,
        ),
        Checkpoint(
            "llava_sparse",
            "llava",
            cases.few_llava_cases,
            SMALL,
            dict(CLIP, num_hidden_layers=3),
            dict(multimodal_projector_bias=False),
            tokenizer="metaspace",
            seed=2,
            old_processor=True,
            weights="bfloat16",
            strip={
                "": [
                    "vision_feature_layer",
                    "vision_feature_select_strategy",
                    "projector_hidden_act",
                    "image_seq_length",
                ],
                "vision_config": clip_defaults,
                "text_config": [
                    "rms_norm_eps",
                    "rope_theta",
                    "rope_scaling",
                    "hidden_act",
                    "attention_bias",
                    "mlp_bias",
                    "attention_dropout",
                    "pretraining_tp",
                    "use_cache",
                    "initializer_range",
                    "head_dim",
                ],
            },
        ),
    ]


def _instructblip():
    return [
        Checkpoint(
            "instructblip",
            "instructblip",
            cases.instructblip_cases,
            GQA,
            EVA,
            dict(num_query_tokens=7),
            qformer=QFORMER,
            tokenizer="prepend_old_bos",
            full=(0, 1, 2),
        ),
        # Separate q_bias and v_bias tensors, and a picture size of its own.
        Checkpoint(
            "instructblip_old",
            "instructblip",
            cases.few_instructblip_cases,
            SMALL,
            dict(EVA, image_size=28, num_hidden_layers=2),
            dict(num_query_tokens=5),
            tokenizer="metaspace",
            qformer=QFORMER,
            old_bias=True,
            seed=3,
            weights="bfloat16",
        ),
        Checkpoint(
            "instructblipvideo",
            "instructblipvideo",
            cases.frame_cases,
            SMALL,
            dict(EVA, image_size=28, num_hidden_layers=2, hidden_size=20, intermediate_size=36),
            dict(num_query_tokens=5),
            qformer=dict(
                QFORMER,
                num_hidden_layers=3,
                hidden_size=24,
                intermediate_size=44,
                encoder_hidden_size=20,
            ),
            tokenizer="prepend_old_bos",
            full=(0,),
            seed=5,
            weights="bfloat16",
        ),
    ]


def _blip2():
    blip = dict(qformer=QFORMER, full=(0,))
    return [
        Checkpoint(
            "blip2_opt",
            "blip-2",
            cases.blip2_cases,
            dict(decoders.OPT, max_position_embeddings=256),
            EVA,
            dict(num_query_tokens=7),
            decoder="opt",
            tokenizer="bytes",
            eos=("<|end|>",),
            weights="bfloat16",
            **blip
        ),
        Checkpoint(
            "blip2_llama",
            "blip-2",
            cases.blip2_cases,
            SMALL,
            dict(EVA, image_size=28, num_hidden_layers=2),
            dict(num_query_tokens=5),
            tokenizer="metaspace",
            seed=4,
            weights="float16",
            **blip
        ),
    ]


def _llava_decoders():
    """LLaVA over other decoders: Vicuna apart, Mistral (1.6), Qwen 2 and Llama 3 are in use."""
    few = cases.few_llava_cases
    clip = dict(CLIP, num_hidden_layers=3, num_attention_heads=4)
    byte_level = dict(tokenizer="bytes", eos=("<|end|>",), weights="bfloat16")
    llama3 = _rope(
        {
            "rope_type": "llama3",
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 48,
        }
    )
    return [
        Checkpoint(
            "llava_mistral",
            "llava",
            few,
            decoders.MISTRAL,
            clip,
            decoder="mistral",
            tokenizer="metaspace",
            weights="bfloat16",
            seed=5,
        ),
        Checkpoint("llava_qwen2", "llava", few, decoders.QWEN2, clip, decoder="qwen2", **byte_level),
        Checkpoint("llava_llama3", "llava", few, llama3, clip, **byte_level),
        Checkpoint(
            "llava_gemma2",
            "llava",
            few,
            dict(decoders.GEMMA, attn_logit_softcapping=1.5),
            clip,
            decoder="gemma2",
            **byte_level
        ),
    ]


# Four patches of six pixels a side; two by two of them are one visual token.
NAVIT = dict(
    hidden_size=40,
    intermediate_size=68,
    num_hidden_layers=3,
    num_attention_heads=5,
    image_size=24,
    patch_size=6,
)


def _tiles():
    return [
        Checkpoint(
            "idefics3",
            "idefics3",
            cases.tile_cases,
            GQA,
            NAVIT,
            dict(scale_factor=2),
            tokenizer="bytes",
            eos=("<|end|>", "<end_of_utterance>"),
            pictures=dict(size={"longest_edge": 48}),
            weights="bfloat16",
            full=(0,),
        ),
        # Three tiles a side, places in the third row and column without a token of their own; tied.
        Checkpoint(
            "smolvlm",
            "smolvlm",
            cases.smol_cases,
            dict(GQA, tie_word_embeddings=True, max_position_embeddings=512),
            dict(NAVIT, patch_size=4, num_hidden_layers=2),
            dict(scale_factor=3),
            tokenizer="smol",
            eos=("<end_of_utterance>",),
            pictures=dict(size={"longest_edge": 72}),
            videos=dict(size={"longest_edge": 40}, max_image_size={"longest_edge": 24}),
            weights="bfloat16",
            seed=2,
        ),
    ]


PERCEIVER = dict(
    hidden_size=48,
    resampler_n_latents=5,
    resampler_depth=2,
    resampler_n_heads=6,
    resampler_head_dim=10,
    num_key_value_heads=3,
    rms_norm_eps=1e-6,
)


def _idefics2():
    pictures = dict(size={"shortest_edge": 20, "longest_edge": 50})
    return [
        Checkpoint(
            "idefics2",
            "idefics2",
            cases.tile_cases,
            dict(GQA, sliding_window=None),
            NAVIT,
            qformer=PERCEIVER,
            decoder="mistral",
            tokenizer="metaspace",
            pictures=pictures,
            weights="bfloat16",
            full=(0,),
        ),
        # Four quarters and the picture, each of its own size.
        Checkpoint(
            "idefics2_split",
            "idefics2",
            cases.few_tile_cases,
            dict(GQA, sliding_window=None),
            dict(NAVIT, num_hidden_layers=2),
            qformer=dict(PERCEIVER, resampler_depth=1),
            decoder="mistral",
            tokenizer="metaspace",
            pictures=dict(pictures, do_image_splitting=True),
            weights="bfloat16",
            seed=2,
        ),
    ]


# Four heads of sixteen on two key heads; of the eight frequencies two, three and three belong to the axes.
QWEN = dict(
    hidden_size=64,
    intermediate_size=88,
    num_hidden_layers=3,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=512,
    rms_norm_eps=1e-5,
    rope_theta=1000.0,
    rope_scaling={"type": "mrope", "mrope_section": [2, 3, 3]},
)
QWEN_VISION = dict(
    depth=3,
    hidden_size=64,
    num_heads=5,
    patch_size=6,
    spatial_merge_size=2,
    temporal_patch_size=2,
)
QWEN_PICTURES = dict(min_pixels=12 * 12 * 4, max_pixels=12 * 12 * 12)
QWEN_FRAMES = {"shortest_edge": 12 * 12 * 3, "longest_edge": 12 * 12 * 5}


def _qwen_vl():
    return [
        Checkpoint(
            "qwen2_vl",
            "qwen2_vl",
            cases.qwen_cases,
            QWEN,
            dict(QWEN_VISION, embed_dim=40, mlp_ratio=2),
            tokenizer="qwen",
            eos=("<|im_end|>",),
            pictures=QWEN_PICTURES,
            weights="bfloat16",
            full=(0,),
        ),
        # Windows of two by two visual tokens in the outer blocks, the whole picture in the middle one.
        Checkpoint(
            "qwen2_5_vl",
            "qwen2_5_vl",
            cases.qwen_cases,
            dict(QWEN, tie_word_embeddings=True),
            dict(
                QWEN_VISION,
                hidden_size=40,
                out_hidden_size=64,
                intermediate_size=52,
                window_size=24,
                fullatt_block_indexes=[1],
                tokens_per_second=2,
            ),
            tokenizer="qwen",
            eos=("<|im_end|>",),
            pictures=QWEN_PICTURES,
            videos=QWEN_FRAMES,
            weights="bfloat16",
            full=(0,),
            seed=2,
        ),
    ]


# No class token, tanh gelu, a bias on the patches.
SIGLIP = dict(
    hidden_size=40,
    intermediate_size=68,
    num_hidden_layers=3,
    num_attention_heads=5,
    image_size=19,  # one pixel more than whole patches
    patch_size=6,
)
# Tiles of 3 x 3 patches; wide, tall, square and long resolutions.
TILES = dict(
    hidden_size=40,
    intermediate_size=72,
    num_hidden_layers=4,
    num_attention_heads=5,
    image_size=12,
    patch_size=4,
)
PINPOINTS = [[12, 24], [24, 12], [24, 24], [36, 12], [12, 36]]


def _anyres():
    return [
        Checkpoint(
            "llava_siglip",
            "llava",
            cases.few_llava_cases,
            SMALL,
            SIGLIP,
            dict(vision_feature_layer=-1, vision_feature_select_strategy="full"),
            tokenizer="metaspace",
            full=(0,),
            weights="bfloat16",
            tower="SiglipVisionConfig",
        ),
        Checkpoint(
            "llava_next",
            "llava_next",
            cases.anyres_cases,
            dict(SMALL, max_position_embeddings=512),
            TILES,
            tokenizer="prepend",
            weights="bfloat16",
            pictures=dict(image_grid_pinpoints=PINPOINTS),
        ),
        Checkpoint(
            "llava_next_video",
            "llava_next_video",
            cases.video_cases,
            dict(SMALL, max_position_embeddings=512),
            dict(TILES, patch_size=3),
            tokenizer="metaspace",
            weights="bfloat16",
            pictures=dict(image_grid_pinpoints=PINPOINTS),
        ),
        # Odd tiles of 3 x 3 patches: a frame's features shrink to 2 x 2. Two tiles' features at most.
        Checkpoint(
            "llava_onevision",
            "llava_onevision",
            cases.video_cases,
            dict(decoders.QWEN2, max_position_embeddings=512),
            SIGLIP,
            dict(vision_aspect_ratio="anyres_max_2"),
            tokenizer="bytes",
            eos=("<|end|>",),
            weights="bfloat16",
            pictures=dict(
                image_grid_pinpoints=[[a * 19, b * 19] for a in (1, 2, 3) for b in (1, 2, 3)]
            ),
            decoder="qwen2",
        ),
        Checkpoint(
            "video_llava",
            "video_llava",
            cases.video_cases,
            dict(SMALL, max_position_embeddings=512),
            dict(TILES, num_hidden_layers=3),
            tokenizer="prepend",
            weights="bfloat16",
        ),
    ]


def _second_dialect():
    few = lambda: cases.few_text_cases(0)

    def fifth(source, family, cases, **options):
        options = dict(weights="bfloat16") | options
        return Checkpoint(source + "_v5", family, cases, source=source, **options)

    return [
        Checkpoint("llama_v5", "llama", few, source="llama_tied"),
        Checkpoint(
            "llama_yarn_v5",
            "llama",
            cases.rope_cases,
            source="llama_yarn",
            weights="float16",
            eos=("<|end|>",),
        ),
        Checkpoint("llava_v5", "llava", cases.few_llava_cases, source="llava", weights="bfloat16"),
        Checkpoint(
            "llava_next_v5",
            "llava_next",
            cases.few_anyres_cases,
            source="llava_next",
            weights="bfloat16",
        ),
        Checkpoint(
            "instructblip_v5",
            "instructblip",
            cases.few_instructblip_cases,
            source="instructblip",
            weights="bfloat16",
        ),
        Checkpoint(
            "idefics_v5",
            "idefics",
            cases.few_inside_cases,
            source="idefics_plain",
            weights="bfloat16",
        ),
        Checkpoint(
            "idefics2_v5",
            "idefics2",
            cases.few_tile_cases,
            source="idefics2_split",
            weights="bfloat16",
        ),
        Checkpoint(
            "idefics3_v5",
            "idefics3",
            cases.few_tile_cases,
            source="idefics3",
            weights="bfloat16",
            eos=("<|end|>", "<end_of_utterance>"),
        ),
        fifth("llava_next_video", "llava_next_video", cases.few_video_cases),
        fifth("llava_onevision", "llava_onevision", cases.few_video_cases),
        fifth("video_llava", "video_llava", cases.few_video_cases),
        fifth("blip2_opt", "blip-2", cases.few_blip2_cases),
        fifth("smolvlm", "smolvlm", cases.few_smol_cases, eos=("<end_of_utterance>",)),
        fifth("instructblipvideo", "instructblipvideo", cases.few_frame_cases),
        fifth("qwen2_vl", "qwen2_vl", cases.few_qwen_cases, eos=("<|im_end|>",)),
        fifth("qwen2_5_vl", "qwen2_5_vl", cases.few_qwen_cases, eos=("<|im_end|>",)),
    ]


def make_tokenizer(kind):
    """(backend tokenizer, bos, eos, unk)."""
    if kind == "prepend":
        return tt.sentencepiece_bpe("prepend", 140, extra=("<|im_end|>",)), "<s>", "</s>", "<unk>"
    if kind == "small_prepend":
        return tt.sentencepiece_bpe("prepend", 72), "<s>", "</s>", "<unk>"
    if kind == "prepend_old_bos":  # as InstructBLIP-Vicuna: the begin token is </s>
        return tt.sentencepiece_bpe("prepend", 140, bos="</s>"), "</s>", "</s>", "</s>"
    if kind == "metaspace":
        return tt.sentencepiece_bpe("metaspace", 120), "<s>", "</s>", "<unk>"
    if kind == "qwen":  # no begin token at all
        return tt.byte_level_bpe(320, "<|begin|>", adds_bos=False), None, "<|end|>", None
    if kind == "smol":  # the begin token stands in the template alone
        return tt.byte_level_bpe(320, "<|im_start|>", adds_bos=False), "<|im_start|>", "<|end|>", None
    return tt.byte_level_bpe(320), "<|begin|>", "<|end|>", None
