#!/usr/bin/env python3
"""Makes a folder that saccade serves of LLaMA-Adapter V2 with pictures from its published parts.

    convert_llama_adapter.py --checkpoint HASH_BIAS-7B.pth --llm LLAMA_7B_DIR --clip CLIP_DIR OUT_DIR

The first file holds the visual blocks, the prompts, the gates and what was tuned of the decoder: norms, biases and, in
the LORA-BIAS files, LoRA, which is added to the decoder's weights. LLM is the Hugging Face folder of LLaMA-7B, CLIP
that of openai/clip-vit-large-patch14. The result is `model_type: llama_adapter` (engine/models/llama_adapter.cc).

Names and constants: OpenGVLab/LLaMA-Adapter (llama_adapter_v2_multimodal7b: llama/llama_adapter.py, llama/llama.py,
llama/utils.py, data/dataset.py). The original reads pictures with OpenCV, blue first, in training and in its demo: here
the tower's first convolution and the normalisation take the channels the other way round instead. Its prompts' keys and
values are made without the LoRA of the layer's: where there is LoRA the layer's own matrices are kept beside.
"""

import argparse
import pathlib
import re

import torch

from converting import (
    CLIP_MEAN,
    CLIP_STD,
    DTYPES,
    MESSAGE_TEXT,
    add_product,
    copy_tokenizer,
    crop_pictures,
    generation_config,
    heads_halved,
    load_pth,
    read_clip,
    read_llama,
    renamed,
    write_folder,
)

HEAD = 48  # width of one head of the visual blocks
TEMPLATE = (
    "{% if messages[0]['role'] != 'system' %}{{ 'Below is an instruction that describes a task. "
    "Write a response that appropriately completes the request.\n\n' }}{% endif %}"
    "{% for message in messages %}{% if message['role'] == 'system' %}" + MESSAGE_TEXT + "{{ '\n\n' }}"
    "{% elif message['role'] == 'assistant' %}{{ '### Response:' }}" + MESSAGE_TEXT + "{{ '\n\n' }}"
    "{% else %}{{ '### Instruction:\n' }}" + MESSAGE_TEXT + "{{ '\n\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '### Response:' }}{% endif %}"
)
BLOCK = {"norm1": "layer_norm1", "norm2": "layer_norm2", "attn.qkv": "self_attn.qkv",
         "attn.proj": "self_attn.projection", "mlp.fc1": "mlp.fc1", "mlp.fc2": "mlp.fc2"}
VISUAL_NAMES = [
    (r"((?:clip_proj|clip_proj_norm|visual_query|visual_proj|visual_proj_norm|adapter_query)\..*)", r"\1"),
    *((rf"(visual_blocks\.\d+)\.{re.escape(old)}\.(.*)", rf"\1.{new}.\2") for old, new in BLOCK.items()),
]
PROJECTIONS = {"attention.wq": "self_attn.q_proj", "attention.wk": "self_attn.k_proj",
               "attention.wv": "self_attn.v_proj", "attention.wo": "self_attn.o_proj",
               "feed_forward.w1": "mlp.gate_proj", "feed_forward.w2": "mlp.down_proj",
               "feed_forward.w3": "mlp.up_proj"}
TUNED_NAMES = [
    (r"llama\.norm\.weight", r"model.norm.weight"),
    (r"llama\.layers\.(\d+)\.attention_norm\.weight", r"model.layers.\1.input_layernorm.weight"),
    (r"llama\.layers\.(\d+)\.ffn_norm\.weight", r"model.layers.\1.post_attention_layernorm.weight"),
    *((rf"llama\.layers\.(\d+)\.{re.escape(old)}\.bias", rf"model.layers.\1.{new}.bias")
      for old, new in PROJECTIONS.items()),
]
LORA = re.compile(r"llama\.layers\.(\d+)\.(attention|feed_forward)\.lora_(w[qkvo123])_l([12])\.weight")
GATE = re.compile(r"llama\.layers\.(\d+)\.attention\.(gate|new_gate)")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", required=True, type=pathlib.Path, help="LLaMA-Adapter V2's own .pth")
    parser.add_argument("--llm", required=True, type=pathlib.Path, help="Hugging Face folder of LLaMA-7B")
    parser.add_argument("--clip", required=True, type=pathlib.Path, help="Hugging Face folder of CLIP ViT-L/14")
    parser.add_argument("--dtype", default="float16", choices=DTYPES)
    parser.add_argument("out", type=pathlib.Path)
    convert(parser.parse_args())


def convert(arguments):
    checkpoint = load_pth(arguments.checkpoint)
    vision, clip = read_clip(arguments.clip)
    patches = "vision_model.embeddings.patch_embedding.weight"
    clip[patches] = clip[patches].flip(1)  # blue, green, red
    llm_config, llm = read_llama(arguments.llm)
    tensors = {n: t for n, t in clip.items() if n.startswith("vision_model.") or n == "visual_projection.weight"}
    gates, lora = {}, {}
    for name, tensor in checkpoint.items():
        if match := GATE.fullmatch(name):
            gates[match[2], int(match[1])] = tensor.flatten()
        elif match := LORA.fullmatch(name):
            lora.setdefault((int(match[1]), f"{match[2]}.{match[3]}"), {})[match[4]] = tensor
        elif new := renamed(name, VISUAL_NAMES):
            tensors[new] = tensor
        elif new := renamed(name, TUNED_NAMES):
            llm[new] = heads_halved(new, tensor, llm_config)
        elif not name.startswith("clip."):
            raise SystemExit(f"the checkpoint's {name} is not supported")
    queries = len(tensors["visual_query.weight"])
    prompted = len(tensors["adapter_query.weight"]) // queries
    layers = range(llm_config["num_hidden_layers"] - prompted, llm_config["num_hidden_layers"])
    if lora:
        keep_prompt_projections(tensors, llm, layers)
        merge_lora(lora, llm, llm_config)
    add_biases(llm, llm_config)
    tensors["adapter_gates"] = torch.stack([gates["gate", i] for i in layers])
    tensors["adapter_gate_scales"] = torch.cat([gates.get(("new_gate", i), torch.ones(1)) for i in layers])
    arguments.out.mkdir(parents=True, exist_ok=True)
    copy_tokenizer(arguments.llm, arguments.out)
    width = tensors["visual_query.weight"].shape[1]
    write_folder(
        arguments.out,
        tensors | {f"language_model.{name}": tensor for name, tensor in llm.items()},
        arguments.dtype,
        TEMPLATE,
        config={
            "model_type": "llama_adapter",
            "query_len": queries,
            "query_layer": prompted,
            "projection_dim": len(clip["visual_projection.weight"]),
            "prompt_projections": bool(lora),
            "visual_config": {
                "hidden_size": width,
                "intermediate_size": len(tensors["visual_blocks.0.mlp.fc1.bias"]),
                "num_hidden_layers": len({n.split(".")[1] for n in tensors if n.startswith("visual_blocks.")}),
                "num_attention_heads": max(width // HEAD, 1),
            },
            "vision_config": vision,
            "text_config": llm_config | {"attention_bias": True, "mlp_bias": True},
        },
        generation_config=generation_config(arguments.llm, llm_config),
        preprocessor_config=crop_pictures(vision["image_size"], CLIP_MEAN[::-1], CLIP_STD[::-1]),
    )


def keep_prompt_projections(tensors, llm, layers):
    for number, layer in enumerate(layers):
        for name in ("k_proj", "v_proj"):
            tensors[f"prompt_projections.{number}.{name}.weight"] = llm[f"model.layers.{layer}.self_attn.{name}.weight"]


def merge_lora(lora, llm, config):
    for (layer, old), pair in lora.items():
        name = f"model.layers.{layer}.{PROJECTIONS[old]}.weight"
        llm[name] = add_product(llm[name], pair["1"], heads_halved(name, pair["2"], config))


def add_biases(llm, config):
    """A LLaMA with biases has all of them; those that were not tuned are zero."""
    for layer in range(config["num_hidden_layers"]):
        for projection in PROJECTIONS.values():
            name = f"model.layers.{layer}.{projection}"
            weight = llm[name + ".weight"]
            llm.setdefault(name + ".bias", torch.zeros(len(weight), dtype=weight.dtype))


if __name__ == "__main__":
    main()
