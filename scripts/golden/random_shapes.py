"""Random but legal shapes of every family: what a config.json of it may say, drawn as a Checkpoint for build.py.

Sizes stay tiny; everything else is as free as the library lets it be.
"""

import random_rarities
from checkpoint import Checkpoint
from random_decoders import ACTIVATIONS, BEHIND_TOWERS, DECODERS, Draw, heads_of, text_of, window

# Tokenizers whose end token is "</s>", and those with "<|end|>".
PIECES, BYTES = ("prepend", "metaspace"), ("bytes",)
OTHERS = ("words", "unigram")


def draw(family, seed):
    """A Checkpoint of the family; the same for the same seed."""
    rng = Draw(f"{family} {seed}")
    spec = FAMILIES[family](rng, family, f"{family}_{seed}")
    random_rarities.shape(family, seed, spec)
    return spec


def dialect(rng, kinds=PIECES + BYTES):
    """Tokenizer, end tokens and how the weights are stored."""
    kind = rng.choice(OTHERS) if kinds == PIECES + BYTES and rng.maybe(0.2) else rng.choice(kinds)
    ends = ("<|end|>",) if kind in ("bytes", "qwen") else ("</s>",)
    if kind == "prepend" and rng.maybe():
        ends += ("<|im_end|>",)
    fields = {"tokenizer": kind, "eos": ends, "weights": rng.one("float32", "float16", "bfloat16")}
    return fields | rng.some(0.3, shard="40KB") | rng.some(0.3, extra_rows=rng.one(1, 7, 64))


def _text_only(rng, family, name):
    text, far = text_of(rng, family)
    if family == "opt" and rng.maybe(0.3):
        text["word_embed_proj_dim"] = rng.one(12, 24)
    return Checkpoint(name, family, None, text, pictures={"far": far}, **dialect(rng))


# ---- towers


def clip(rng):
    heads, patch = rng.one(1, 2, 4, 5), rng.one(4, 7, 14)
    return {
        "hidden_size": heads * rng.one(6, 8, 10),
        "intermediate_size": rng.one(36, 52, 72),
        "num_hidden_layers": rng.one(2, 3, 4),
        "num_attention_heads": heads,
        "image_size": patch * rng.one(2, 3, 4) + rng.one(0, 0, 0, 1, patch - 1),
        "patch_size": patch,
    } | rng.some(0.4, layer_norm_eps=rng.epsilon(), hidden_act=rng.choice(ACTIVATIONS))


def whole(vision):
    """Without a rest beside the last patch."""
    vision["image_size"] -= vision["image_size"] % vision["patch_size"]
    return vision


def layers_of(rng, vision, several=True):
    """vision_feature_layer: negative, positive, or several."""
    n = vision["num_hidden_layers"]
    one = lambda: rng.choice(range(-n - 1, n + 1))
    return [one() for _ in range(rng.one(1, 2, 3))] if several and rng.maybe(0.3) else one()


def mlp_fields(rng):
    return rng.some(
        0.4,
        projector_hidden_act=rng.choice(ACTIVATIONS),
        multimodal_projector_bias=rng.maybe(),
    )


def decoder_of(rng, *preferred):
    """(model_type, fields) of a decoder behind a tower."""
    name = rng.choice(preferred + BEHIND_TOWERS)
    text, _ = text_of(rng, name)
    text["max_position_embeddings"] = 2048
    return name, text


def _llava(rng, family, name):
    siglip = rng.maybe(0.3)
    vision = clip(rng)
    decoder, text = decoder_of(rng, "llama", "llama", "llama", "mistral", "qwen2")
    strategy = "full" if siglip else rng.one("default", "default", "full")
    top = {"vision_feature_layer": layers_of(rng, vision)}
    top |= {"vision_feature_select_strategy": strategy} | mlp_fields(rng)
    tower = "SiglipVisionConfig" if siglip else "CLIPVisionConfig"
    return Checkpoint(
        name, family, None, text, vision, top, tower=tower, decoder=decoder, **dialect(rng)
    )


def pinpoints(rng, side):
    grid = [[a * side, b * side] for a in range(1, 4) for b in range(1, 4)]
    return rng.sample(grid, rng.randint(1, 6))


def _anyres(rng, family, name):
    vision = whole(clip(rng))
    top = mlp_fields(rng)
    if family == "llava_onevision":
        decoder, text = decoder_of(rng, *["qwen2"] * 8)
        top["vision_aspect_ratio"] = f"anyres_max_{rng.one(1, 2, 4, 9)}"
        top["vision_feature_layer"] = rng.one(-1, layers_of(rng, vision, several=False))
    else:
        decoder, text = decoder_of(rng, *["llama", "mistral", "qwen2"] * 3)
        top["vision_feature_layer"] = layers_of(rng, vision, several=False)
    if family == "llava_next_video":
        vision["image_size"] = vision["patch_size"] * rng.one(2, 4)
        top |= rng.some(0.3, spatial_pool_mode=rng.one("average", "max"))
    pictures = {"image_grid_pinpoints": pinpoints(rng, vision["image_size"])}
    return Checkpoint(
        name,
        family,
        None,
        text,
        vision,
        top,
        decoder=decoder,
        pictures=pictures,
        **dialect(rng),
    )


def _video_llava(rng, family, name):
    vision = whole(clip(rng))
    decoder, text = decoder_of(rng, *["llama"] * 8)
    top = mlp_fields(rng) | {"vision_feature_layer": layers_of(rng, vision, several=False)}
    return Checkpoint(name, family, None, text, vision, top, decoder=decoder, **dialect(rng))


def qformer(rng, vision):
    heads = rng.one(1, 2, 3)
    return {
        "hidden_size": heads * rng.one(8, 10, 12),
        "intermediate_size": rng.one(28, 44, 52),
        "num_hidden_layers": rng.one(1, 2, 3, 5),
        "num_attention_heads": heads,
        "cross_attention_frequency": rng.one(1, 2, 3),
        "encoder_hidden_size": vision["hidden_size"],
        "max_position_embeddings": rng.one(128, 512),
    } | rng.some(0.4, layer_norm_eps=rng.epsilon(), hidden_act=rng.choice(ACTIVATIONS))


def _blip(rng, family, name):
    vision = clip(rng) | rng.some(0.3, qkv_bias=False)
    vision["image_size"] = max(vision["image_size"], 2 * vision["patch_size"])
    decoder, text = decoder_of(rng, *["llama", "opt"] * 4)
    kinds = PIECES + BYTES + (("prepend_old_bos",) if family != "blip-2" else ())
    return Checkpoint(
        name,
        family,
        None,
        text,
        vision,
        {"num_query_tokens": rng.one(1, 4, 7, 32)},
        qformer=qformer(rng, vision),
        decoder=decoder,
        **dialect(rng, kinds),
    )


def navit(rng, merge):
    heads, patch = rng.one(1, 2, 4), rng.one(4, 6, 7)
    return {
        "hidden_size": heads * rng.one(6, 8, 10),
        "intermediate_size": rng.one(36, 52),
        "num_hidden_layers": rng.one(1, 2, 3),
        "num_attention_heads": heads,
        "image_size": patch * merge * rng.one(1, 2, 3),
        "patch_size": patch,
    } | rng.some(0.4, layer_norm_eps=rng.epsilon(), hidden_act=rng.choice(ACTIVATIONS))


def _tiles(rng, family, name):
    scale = rng.one(1, 2, 3)
    vision = navit(rng, scale)
    decoder, text = decoder_of(rng, *["llama"] * 12)
    side = vision["image_size"]
    pictures = {"size": {"longest_edge": side * rng.one(1, 2, 3)}}
    pictures |= rng.some(0.4, do_image_splitting=rng.maybe())
    videos = {"size": {"longest_edge": side * 2}, "max_image_size": {"longest_edge": side}}
    return Checkpoint(
        name,
        family,
        None,
        text,
        vision,
        {"scale_factor": scale},
        decoder=decoder,
        pictures=pictures,
        videos=videos if family == "smolvlm" else None,
        **dialect(rng, ("bytes", "smol") if family == "idefics3" else ("smol",)),
    )


def perceiver(rng, hidden):
    heads = rng.one(2, 4, 6)
    return {
        "hidden_size": hidden,
        "resampler_n_latents": rng.one(1, 3, 8),
        "resampler_depth": rng.one(1, 2, 3),
        "resampler_n_heads": heads,
        "resampler_head_dim": rng.one(8, 10, 12),
        "num_key_value_heads": rng.choice([n for n in (1, 2, 3) if heads % n == 0]),
        "rms_norm_eps": rng.epsilon(),
    } | rng.some(0.4, hidden_act=rng.choice(ACTIVATIONS))


def _pixtral(rng, family, name):
    heads, patch = rng.one(1, 2, 3, 4), rng.one(4, 6, 7, 8)
    merge = rng.one(1, 2, 3) if family == "mistral3" else 1
    unit = patch * merge
    vision = {
        "hidden_size": heads * rng.one(6, 8, 10, 12),
        "intermediate_size": rng.one(36, 52),
        "num_hidden_layers": rng.one(1, 2, 3),
        "num_attention_heads": heads,
        "image_size": unit * rng.one(4, 6, 9) + rng.one(0, 0, 1, patch),
        "patch_size": patch,
    } | rng.some(0.4, rope_theta=rng.one(50.0, 1000.0), hidden_act=rng.choice(ACTIVATIONS))
    decoder, text = decoder_of(rng, *["mistral"] * 12)
    top = {"vision_feature_layer": layers_of(rng, vision, several=family == "pixtral")} | mlp_fields(rng)
    if family == "mistral3":
        top["spatial_merge_size"] = merge
    pictures = {"size": {"longest_edge": vision["image_size"] // unit * unit - rng.one(0, 0, 1, 5)}}
    pictures |= rng.some(0.2, size={"height": unit * rng.one(3, 4), "width": unit * rng.one(2, 4)})
    return Checkpoint(
        name, family, None, text, vision, top, decoder=decoder, pictures=pictures, **dialect(rng)
    )


def _idefics2(rng, family, name):
    vision = navit(rng, 1)
    decoder, text = decoder_of(rng, *["mistral"] * 12)
    least = rng.one(10, 16, 20)
    pictures = {"size": {"shortest_edge": least, "longest_edge": least + rng.one(0, 10, 30)}}
    pictures |= rng.some(0.5, do_image_splitting=rng.maybe())
    return Checkpoint(
        name,
        family,
        None,
        text,
        vision,
        qformer=perceiver(rng, text["hidden_size"]),
        decoder=decoder,
        pictures=pictures,
        **dialect(rng),
    )


def _idefics(rng, family, name):
    heads = rng.one(1, 2, 4)
    interval = rng.one(1, 2)
    text = {
        "hidden_size": heads * rng.one(8, 12, 16),
        "intermediate_size": rng.one(40, 56),
        "num_hidden_layers": interval * rng.one(1, 2),
        "num_attention_heads": heads,
        "max_position_embeddings": 1024,
        "rms_norm_eps": rng.epsilon(),
        "tie_word_embeddings": rng.maybe(0.2),
    } | rng.some(0.3, hidden_act=rng.choice(ACTIVATIONS))
    vision = clip(rng)
    vision["embed_dim"] = vision.pop("hidden_size")
    resampler = {
        "resampler_n_latents": rng.one(1, 4, 6),
        "resampler_depth": rng.one(1, 2),
        "resampler_n_heads": rng.one(1, 2),
        "resampler_head_dim": rng.one(8, 10),
        "qk_layer_norms_perceiver": rng.maybe(),
    }
    top = {
        "alpha_type": rng.one("float", "vector"),
        "cross_layer_interval": interval,
        "qk_layer_norms": rng.maybe(),
        "use_resampler": rng.maybe(),
    }
    return Checkpoint(
        name,
        family,
        None,
        text,
        vision,
        top,
        qformer=resampler,
        pictures=rng.some(0.5, utterances=True),
        **(dialect(rng, PIECES) | {"extra_rows": 0}),
    )


def _qwen_vl(rng, family, name):
    merge = 2
    shape, _ = heads_of(rng, explicit_width=False)
    width = rng.one(8, 16, 24)
    shape["hidden_size"] = shape["num_attention_heads"] * width
    first = rng.randint(0, width // 2)
    second = rng.randint(0, width // 2 - first)
    text = shape | {
        "intermediate_size": rng.one(40, 56, 88),
        "num_hidden_layers": rng.one(1, 2, 3),
        "max_position_embeddings": 2048,
        "rms_norm_eps": rng.epsilon(),
        "rope_theta": rng.one(1000.0, 1e6),
        "tie_word_embeddings": rng.maybe(),
        "rope_scaling": {
            "type": "mrope",
            "mrope_section": [first, second, width // 2 - first - second],
        },
    }
    if rng.maybe(0.3):
        text |= window(rng, text["num_hidden_layers"])
    heads, patch = rng.one(1, 2, 3), rng.one(4, 6, 7)
    wide = heads * rng.one(8, 12, 16)
    vision = {
        "depth": rng.one(1, 2, 3),
        "num_heads": heads,
        "patch_size": patch,
        "spatial_merge_size": merge,
        "temporal_patch_size": 2,
    } | rng.some(0.4, hidden_act=rng.choice(ACTIVATIONS))
    if family == "qwen2_vl":
        vision |= {"embed_dim": wide, "hidden_size": text["hidden_size"], "mlp_ratio": rng.one(1, 2, 4)}
    else:
        vision |= {
            "hidden_size": wide,
            "out_hidden_size": text["hidden_size"],
            "intermediate_size": rng.one(36, 52),
            "window_size": patch * merge * rng.one(1, 2, 3) + rng.one(0, 0, 1),
            "fullatt_block_indexes": rng.one([], [0], [1], [0, 2]),
            "tokens_per_second": rng.one(1, 2, 4, 25),
        }
    unit = (patch * merge) ** 2
    pictures = dict(min_pixels=unit * rng.one(1, 4), max_pixels=unit * rng.one(6, 12, 30))
    return Checkpoint(
        name,
        family,
        None,
        text,
        vision,
        pictures=pictures,
        videos={"shortest_edge": unit * 2, "longest_edge": unit * 6} if rng.maybe() else None,
        **dialect(rng, ("qwen",)),
    )


FAMILIES = {
    **dict.fromkeys(DECODERS, _text_only),
    "llava": _llava,
    "llava_next": _anyres,
    "llava_next_video": _anyres,
    "llava_onevision": _anyres,
    "video_llava": _video_llava,
    "blip-2": _blip,
    "instructblip": _blip,
    "instructblipvideo": _blip,
    "pixtral": _pixtral,
    "mistral3": _pixtral,
    "idefics": _idefics,
    "idefics2": _idefics2,
    "idefics3": _tiles,
    "smolvlm": _tiles,
    "qwen2_vl": _qwen_vl,
    "qwen2_5_vl": _qwen_vl,
}
