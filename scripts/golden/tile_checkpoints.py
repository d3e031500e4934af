"""Families whose pictures keep a size of their own, or are cut into tiles."""

import cases
import decoders
from checkpoint import GQA, SMALL, Checkpoint

NAVIT = dict(
    hidden_size=40,
    intermediate_size=68,
    num_hidden_layers=3,
    num_attention_heads=5,
    image_size=24,
    patch_size=6,
)


def tiles():
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


def idefics2():
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


def qwen_vl():
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


def anyres():
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
