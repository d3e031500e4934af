"""Rare things that files may say, put on top of a drawn shape: activations of all names, ropes of all kinds in every
decoder, heads of a width of their own, weights of mixed dtypes, generation defaults, processor files of 5.x.

They come from a generator of their own, so that a shape stays what it was when another rarity is added.
"""

import json

import torch
import transformers as hf
from safetensors.torch import load_file, save_file
from transformers.activations import ACT2CLS

from random_decoders import Draw, rope_of
from reference import BLIP

FIFTH = hf.__version__.startswith("5")
# Those without weights of their own.
ACTIVATIONS = sorted(set(ACT2CLS) - {"prelu", "xielu"})
ACTIVATION_KEYS = ("hidden_act", "hidden_activation", "activation_function", "projector_hidden_act")
OF_DECODER = {"gemma2": "hidden_activation", "gemma3_text": "hidden_activation", "opt": "activation_function"}
ROPES = ("linear", "dynamic", "yarn", "longrope", "llama3") + (("proportional",) if FIFTH else ())
ORIGINAL = (24, 40, 56, 72)  # positions: prompts or answers go beyond them


def shape(family, seed, spec):
    rng = Draw(f"rarities {family} {seed}")
    decoder = spec.decoder if spec.vision else family
    if rng.maybe(0.25) and family != "idefics" and not family.startswith("qwen2_"):
        spec.text[OF_DECODER.get(decoder, "hidden_act")] = rng.choice(ACTIVATIONS)
    for fields in (spec.vision, spec.qformer, spec.top):
        for key in ACTIVATION_KEYS:
            if key in fields and rng.maybe():
                fields[key] = rng.choice(ACTIVATIONS)
    plain = decoder in ("llama", "mistral", "qwen2", "qwen3", "gemma2") and "rope_scaling" not in spec.text
    tower = getattr(hf, "Qwen2VLVisionConfig", None)  # 5.x alone
    if family.startswith("qwen2_") and hasattr(tower, "default_rope_type") and rng.maybe():
        spec.vision["rope_parameters"] = {"rope_type": "axial", "rope_theta": rng.one(100.0, 5000.0)}
    if family.startswith("qwen2_") or family == "idefics":
        return
    if plain and rng.maybe(0.35):
        _scale_rope(rng, decoder, spec)
    if decoder == "qwen2" and "rope_scaling" not in spec.text and rng.maybe(0.2):
        spec.text["head_dim"] = rng.one(8, 12, 18)


def _scale_rope(rng, decoder, spec):
    text = spec.text
    width = text.get("head_dim") or text["hidden_size"] // text["num_attention_heads"]
    if decoder == "mistral":  # some kinds ask for the field
        text["head_dim"] = width
    kind = rng.choice(ROPES)
    if kind == "proportional":
        scaling = {"rope_type": kind, "partial_rotary_factor": rng.one(0.25, 0.5, 1.0)}
        scaling |= rng.some(factor=rng.one(1.0, 4.0))
    else:
        scaling = rope_of(rng, width, (kind,))
        scaling = {"rope_type": kind} | {k: v for k, v in scaling.items() if k not in ("type", "rope_type")}
    if kind == "longrope":
        if rng.maybe(0.7):
            text["original_max_position_embeddings"] = rng.choice(ORIGINAL)
        else:
            scaling["factor"] = rng.one(1.0, 4.0)
        scaling |= rng.some(0.3, attention_factor=rng.one(0.8, 1.3))
    if kind == "dynamic":
        scaling["factor"] = 32.0
        text["max_position_embeddings"] = rng.one(48, 128)
    text["rope_scaling"] = scaling
    if not spec.vision:
        spec.pictures["far"] = True


def files(family, seed, spec, folder):
    rng = Draw(f"rare files {family} {seed}")
    if rng.maybe(0.2):
        _mix_dtypes(rng, folder / "model.safetensors")
    # The BLIP family generates by the defaults of its language model: README.md.
    if rng.maybe(0.4) and family not in BLIP:
        _vary_generation(rng, folder / "generation_config.json")
    if family.startswith("qwen2_") and rng.maybe(0.25):  # the class's own, which small vocabularies have not
        _change(folder / "config.json", lambda config: config.pop("vision_start_token_id"))
    elif family.startswith("qwen2_") and rng.maybe(0.15):  # a token that no template writes there
        _change(folder / "config.json", lambda config: config.update(vision_start_token_id=5))


def _change(path, change):
    config = json.loads(path.read_text())
    change(config)
    path.write_text(json.dumps(config, indent=2) + "\n")


def _mix_dtypes(rng, path):
    """Norms in float32 beside halves, or anything."""
    if not path.exists():
        return
    kinds = (torch.float32, torch.float16, torch.bfloat16)
    tensors = {name: t.to(rng.choice(kinds)) for name, t in load_file(path).items()}
    save_file(tensors, path, metadata={"format": "pt"})


def _vary_generation(rng, path):
    if not path.exists():
        return
    some = lambda: sorted(rng.sample(range(4, 60), rng.randint(1, 25)))
    config = json.loads(path.read_text()) | rng.some(
        0.3,
        repetition_penalty=rng.one(0.8, 1.1, 1.5),
        suppress_tokens=some,
        bad_words_ids=lambda: [[token] for token in some()],
        do_sample=True,
        temperature=rng.one(0.2, 0.9),
        top_p=0.9,
        top_k=rng.one(1, 20),
        max_length=rng.one(20, 4096),
        length_penalty=1.0,
    )
    rng = Draw(f"rules {path.parent.name}")
    config |= rng.some(
        0.3,
        no_repeat_ngram_size=rng.one(1, 2, 3),
        encoder_no_repeat_ngram_size=rng.one(2, 3),
        sequence_bias=lambda: [[[token], rng.one(-4.0, 2.5)] for token in some()],
        begin_suppress_tokens=some,
    )
    path.write_text(json.dumps(config, indent=2) + "\n")
