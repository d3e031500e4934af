#!/usr/bin/env python3
"""Makes a folder that saccade serves of OpenFlamingo from its published parts.

    convert_openflamingo.py --checkpoint checkpoint.pt --llm LLM_DIR --clip CLIP_DIR --every 4 OUT_DIR

    published                          LLM                                           --every
    OpenFlamingo-3B-vitl-mpt1b         anas-awadalla/mpt-1b-redpajama-200b           1
    OpenFlamingo-3B-...-langinstruct   anas-awadalla/mpt-1b-redpajama-200b-dolly     1
    OpenFlamingo-4B-vitl-rpj3b         togethercomputer/RedPajama-INCITE-Base-3B-v1  2
    OpenFlamingo-9B-vitl-mpt7b         anas-awadalla/mpt-7b                          4
    OpenFlamingo-9B (deprecated)       a LLaMA 7B                                    4

The first file holds the gated cross-attention blocks, the perceiver and the embeddings of two new tokens. LLM is the
Hugging Face folder of the decoder: LLaMA, MPT, MosaicGPT (MPT's predecessor) or GPT-NeoX, whose names and fields are
kept. CLIP is the Hugging Face folder of the tower (openai/clip-vit-large-patch14 has the weights of OpenCLIP's
ViT-L-14, openai). --every is the checkpoint's cross_attn_every_n_layers. The result is `model_type: openflamingo`
(engine/models/openflamingo.cc).

Names and constants: mlfoundations/open_flamingo (src/flamingo.py, src/flamingo_lm.py, src/helpers.py, src/factory.py,
eval/models/open_flamingo.py). Tokens are those of the tower's last layer before its last norm and without the class
token, as OpenCLIP gave them when the models were trained (2.16; today's release normalises them). Where the head is not
tied, the original starts its new rows anew at each load and never trains them: here they are zero.
"""

import argparse
import json
import pathlib
import re

import torch

from converting import (
    DTYPES,
    MESSAGE_TEXT,
    copy_tokenizer,
    crop_pictures,
    generation_config,
    load_pth,
    read_clip,
    read_folder,
    renamed,
    write_folder,
)

HEADS, HEAD_DIM = 8, 64  # of blocks and perceiver; fixed in the original
END, IMAGE = "<|endofchunk|>", "<image>"  # in the order they are added to the tokenizer
# As the original asks about pictures (VQA); other forms come as a chat template of the request's own.
TEMPLATE = (
    "{% for message in messages %}{% if message['role'] == 'assistant' %}" + MESSAGE_TEXT + "{{ '" + END + "' }}"
    "{% elif message['role'] == 'system' %}" + MESSAGE_TEXT + "{% else %}"
    "{% if message['content'] is not string %}"
    "{% for part in message['content'] if part['type'] == 'image' %}{{ '" + IMAGE + "' }}{% endfor %}{% endif %}"
    "{{ 'Question:' }}" + MESSAGE_TEXT + "{{ ' Short answer:' }}{% endif %}{% endfor %}"
)
LAYER = (
    r"lang_encoder\.(?:gated_cross_attn_layers\.(\d+)|"
    r"(?:model\.layers|transformer\.blocks|gpt_neox\.layers)\.(\d+)\.gated_cross_attn_layer)\.(.*)"
)
# Of a decoder's model_type: its embedding, its head (None: always tied), the field with its number of layers.
DECODERS = {
    "llama": ("model.embed_tokens.weight", "lm_head.weight", "num_hidden_layers"),
    "mpt": ("transformer.wte.weight", None, "n_layers"),
    "mosaic_gpt": ("transformer.wte.weight", None, "n_layers"),  # MPT-1B's own code, before MPT
    "gpt_neox": ("gpt_neox.embed_in.weight", "embed_out.weight", "num_hidden_layers"),
}
# What older releases saved beside the weights.
BUFFERS = ("rotary_emb.inv_freq", "attention.bias", "attention.masked_bias")
NORMS_AND_LINEARS = {
    "attn.norm": "input_layernorm",
    "attn.to_q": "cross_attn.q_proj",
    "attn.to_out": "cross_attn.o_proj",
    "ff.0": "post_attention_layernorm",
    "ff.1": "mlp.up_proj",
    "ff.3": "mlp.down_proj",
}
BLOCK_NAMES = [
    *((re.escape(old) + r"\.(.*)", new + r".\1") for old, new in NORMS_AND_LINEARS.items()),
    (r"attn\.to_kv\.weight", r"cross_attn.kv_proj.weight"),
    (r"attn_gate", r"alpha_cross_attn"),
    (r"ff_gate", r"alpha_dense"),
]
PERCEIVER_NAMES = [
    (r"latents", r"latents"),
    (r"norm\.(.*)", r"layer_norm.\1"),
    (r"layers\.(\d+)\.0\.norm_(media|latents)\.(.*)", r"blocks.\1.0.\2_layer_norm.\3"),
    (r"layers\.(\d+)\.0\.to_(q|kv)\.(.*)", r"blocks.\1.0.\2_proj.\3"),
    (r"layers\.(\d+)\.0\.to_out\.(.*)", r"blocks.\1.0.output_proj.\2"),
    (r"layers\.(\d+)\.1\.0\.(.*)", r"blocks.\1.1.ln.\2"),
    (r"layers\.(\d+)\.1\.1\.(.*)", r"blocks.\1.1.fc.\2"),
    (r"layers\.(\d+)\.1\.3\.(.*)", r"blocks.\1.1.c_proj.\2"),
]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", required=True, type=pathlib.Path, help="OpenFlamingo's checkpoint.pt")
    parser.add_argument("--llm", required=True, type=pathlib.Path,
                        help="Hugging Face folder of the decoder: LLaMA, MPT, GPT-NeoX")
    parser.add_argument("--clip", required=True, type=pathlib.Path, help="Hugging Face folder of the CLIP tower")
    parser.add_argument("--every", required=True, type=int, help="cross_attn_every_n_layers of the checkpoint")
    parser.add_argument("--dtype", default="float16", choices=DTYPES)
    parser.add_argument("out", type=pathlib.Path)
    convert(parser.parse_args())


def convert(arguments):
    checkpoint = load_pth(arguments.checkpoint, "model_state_dict")
    checkpoint = {name.removeprefix("module."): tensor for name, tensor in checkpoint.items()}
    vision, tower = read_clip(arguments.clip)
    llm_config, llm = read_decoder(arguments.llm)
    blocks = read_blocks(checkpoint, arguments.every, llm_config[DECODERS[llm_config["model_type"]][2]])
    perceiver = read_perceiver(checkpoint)
    arguments.out.mkdir(parents=True, exist_ok=True)
    end, image = add_tokens(arguments, checkpoint, llm, llm_config)
    write_folder(
        arguments.out,
        {name: tensor for name, tensor in tower.items() if name.startswith("vision_model.")}
        | blocks | perceiver | {f"language_model.{name}": tensor for name, tensor in llm.items()},
        arguments.dtype,
        TEMPLATE,
        config={
            "model_type": "openflamingo",
            "image_token_id": image,
            "cross_attn_every_n_layers": arguments.every,
            "cross_attn_head_dim": HEAD_DIM,
            "cross_attn_heads": blocks["gated_cross_attn_layers.0.cross_attn.q_proj.weight"].shape[0] // HEAD_DIM,
            "perceiver_config": {
                "resampler_n_latents": len(perceiver["perceiver_resampler.latents"]),
                "resampler_depth": 1 + max(int(n.split(".")[2]) for n in perceiver if ".blocks." in n),
                "resampler_n_heads": perceiver["perceiver_resampler.blocks.0.0.q_proj.weight"].shape[0] // HEAD_DIM,
                "resampler_head_dim": HEAD_DIM,
            },
            "vision_config": vision,
            "text_config": llm_config,
        },
        generation_config=generation_config(arguments.llm, llm_config, eos_token_id=end),
        preprocessor_config=crop_pictures(vision["image_size"]),
    )


def read_decoder(folder):
    """(config, tensors)"""
    config = json.loads((folder / "config.json").read_text())
    if config.get("model_type") not in DECODERS:
        known = ", ".join(DECODERS)
        raise SystemExit(f"{folder}/config.json: model_type is {config.get('model_type')}, not one of {known}")
    return config, {name: tensor for name, tensor in read_folder(folder).items() if not name.endswith(BUFFERS)}


def read_blocks(checkpoint, every, layers):
    """The gated blocks under IDEFICS's names, numbered from 0; the file numbers them by the layer behind them."""
    found = {}
    for name, tensor in checkpoint.items():
        match = re.fullmatch(LAYER, name)
        if not match:
            continue
        layer, rest = int(match[1] or match[2]), renamed(match[3], BLOCK_NAMES)
        if rest is None or (layer + 1) % every != 0 or layer >= layers:
            raise SystemExit(f"the checkpoint's {name} fits no block before every {every}th of {layers} layers")
        add_halved(found, f"gated_cross_attn_layers.{(layer + 1) // every - 1}.{rest}", tensor)
    blocks = {int(name.split(".")[1]) for name in found}
    if blocks != set(range(layers // every)):
        raise SystemExit(f"the checkpoint has {len(blocks)} gated blocks, {layers // every} are expected: "
                         "--every, --llm")
    return found


def read_perceiver(checkpoint):
    found = {}
    for name, tensor in checkpoint.items():
        if name.startswith("perceiver."):
            rest = renamed(name.removeprefix("perceiver."), PERCEIVER_NAMES)
            if rest is None:
                raise SystemExit(f"the checkpoint's {name} is not supported")
            rest = rest.replace(".media_layer_norm", ".context_layer_norm")
            add_halved(found, f"perceiver_resampler.{rest}", tensor)
    if "perceiver_resampler.latents" not in found:
        raise SystemExit("the checkpoint has no perceiver")
    return found


def add_halved(found, name, tensor):
    """Keys and values have a tensor of their own each."""
    if "kv_proj" not in name:
        found[name] = tensor
        return
    for part, half in zip("kv", tensor.chunk(2)):
        found[name.replace("kv_proj", part + "_proj")] = half


def add_tokens(arguments, checkpoint, llm, llm_config):
    """Tokenizer, embedding and head with the new tokens; their ids (end of chunk, picture)."""
    config = json.loads((arguments.llm / "tokenizer_config.json").read_text())
    padding = [] if config.get("pad_token") else ["<PAD>"]
    ids = copy_tokenizer(arguments.llm, arguments.out, [END, IMAGE, *padding])
    table, output, _ = DECODERS[llm_config["model_type"]]
    embedding = checkpoint.get(f"lang_encoder.{table}")
    if embedding is None or len(embedding) <= max(ids):
        raise SystemExit(f"the checkpoint has no embeddings of the new tokens (lang_encoder.{table})")
    llm[table] = embedding
    llm_config["vocab_size"] = len(embedding)
    head = llm.get(output)
    if head is not None:
        own = checkpoint.get(f"lang_encoder.{output}")
        llm[output] = fitted(head, len(embedding)) if own is None else own
    return ids[:2]


def fitted(rows, count):
    """The first `count` rows, zeros where there are fewer: the original cuts and adds, and never trains the new
    ones."""
    return torch.cat([rows[:count], torch.zeros(max(count - len(rows), 0), rows.shape[1], dtype=rows.dtype)])


if __name__ == "__main__":
    main()
