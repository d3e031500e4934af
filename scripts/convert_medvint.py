#!/usr/bin/env python3
"""Makes a folder that saccade serves of MedVInT-TD from its published parts.

    convert_medvint.py --checkpoint pytorch_model.bin --llm LLAMA_7B_DIR OUT_DIR

The first file holds everything: PMC-CLIP's ResNet, the query decoder, and the decoder with its LoRA, which is added to
its weights here. LLM is a Hugging Face folder of LLaMA-7B, of which configuration and tokenizer are taken. The result
is `model_type: medvint` (engine/models/medvint.cc).

Names and constants: xiaoman-zhang/PMC-VQA (MedVInT_TD/models/QA_model.py, models/blocks.py, models/transformer.py,
Dataset/PMC_QA_Dataset.py). Answers were trained to end with id 1, which is LLaMA's begin token.
"""

import argparse
import json
import pathlib
import re

import torch

from converting import (
    DTYPES,
    MESSAGE_TEXT,
    add_product,
    copy_tokenizer,
    generation_config,
    load_pth,
    renamed,
    squashed_pictures,
    write_folder,
)

IMAGE_SIZE, HEADS, END = 512, 8, 1
BATCH_NORM_EPS = 1e-5
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
# As the original asks blank questions; choices stand in the question ("... Choices: A:... B:...").
TEMPLATE = (
    "{% for message in messages %}{% if message['role'] in ['assistant', 'system'] %}" + MESSAGE_TEXT + "{% else %}"
    "{{ 'Question: ' }}" + MESSAGE_TEXT + "{{ 'The Answer is:' }}{% endif %}{% endfor %}"
)
# Of the tower the original keeps children by number: three convolutions with their norms, then three stages.
CONVOLUTIONS = [
    *((rf"vision_model\.{3 * i}\.weight", rf"vision_model.{3 * i + 1}", f"vision_model.stem.{i}") for i in range(3)),
    (r"vision_model\.(1[0-9])\.(\d+)\.conv(\d)\.weight", r"vision_model.\1.\2.bn\3", r"\1.\2.conv\3"),
    (r"vision_model\.(1[0-9])\.(\d+)\.downsample\.0\.weight", r"vision_model.\1.\2.downsample.1", r"\1.\2.downsample"),
]
FIRST_STAGE = 10
QUERY_NAMES = [
    (r"query_embed\.weight", r"query_decoder.queries"),
    (r"decoder\.(layers\.\d+\.self_attn)\.in_proj_(weight|bias)", r"query_decoder.\1.qkv.\2"),
    (r"decoder\.(layers\.\d+)\.multihead_attn\.in_proj_(weight|bias)", r"query_decoder.\1.cross_attn.in_proj.\2"),
    (r"decoder\.(layers\.\d+)\.multihead_attn\.(out_proj\..*)", r"query_decoder.\1.cross_attn.\2"),
    (r"decoder\.(.*)", r"query_decoder.\1"),
    (r"fc_l([12])\.(.*)", r"projector.linear_\1.\2"),
]
LLM = re.compile(r"llamacasual\.(?:base_model\.model\.)?((?:model|lm_head)\..*)")
LORA = re.compile(r"(.*)\.lora_([AB])(?:\.default)?\.weight")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", required=True, type=pathlib.Path, help="MedVInT-TD's pytorch_model.bin")
    parser.add_argument("--llm", required=True, type=pathlib.Path, help="Hugging Face folder of LLaMA-7B")
    parser.add_argument("--lora-alpha", type=float, default=32, help="as the model was trained (32)")
    parser.add_argument("--image-size", type=int, default=IMAGE_SIZE, help="pixels a side (512)")
    parser.add_argument("--dtype", default="float16", choices=DTYPES)
    parser.add_argument("out", type=pathlib.Path)
    convert(parser.parse_args())


def convert(arguments):
    checkpoint = load_pth(arguments.checkpoint)
    llm_config = json.loads((arguments.llm / "config.json").read_text())
    if llm_config.get("model_type") != "llama":
        raise SystemExit(f"{arguments.llm}/config.json: model_type is not llama")
    tower = read_tower(checkpoint)
    tensors = tower | read_queries(checkpoint) | read_llm(checkpoint, arguments.lora_alpha)
    arguments.out.mkdir(parents=True, exist_ok=True)
    copy_tokenizer(arguments.llm, arguments.out)
    layer = "query_decoder.layers."
    write_folder(
        arguments.out,
        tensors,
        arguments.dtype,
        TEMPLATE,
        config={
            "model_type": "medvint",
            "vision_config": {
                "width": len(tower["vision_model.stem.2.bias"]),
                "layers": [len({n.split(".")[3] for n in tower if n.startswith(f"vision_model.layers.{stage}.")})
                           for stage in range(3)],
                "image_size": arguments.image_size,
            },
            "query_config": {
                "num_queries": len(tensors["query_decoder.queries"]),
                "num_hidden_layers": len({n.split(".")[2] for n in tensors if n.startswith(layer)}),
                "num_attention_heads": HEADS,
                "intermediate_size": len(tensors[layer + "0.linear1.bias"]),
            },
            "text_config": llm_config | {"vocab_size": len(tensors["language_model.model.embed_tokens.weight"])},
        },
        generation_config=generation_config(arguments.llm, llm_config, eos_token_id=END),
        preprocessor_config=squashed_pictures(arguments.image_size) | {"image_mean": MEAN, "image_std": STD},
    )


def read_tower(checkpoint):
    """Each convolution with the batch norm behind it: weight * gamma / sigma, beta - mean * gamma / sigma."""
    found = {}
    for name, weight in checkpoint.items():
        for pattern, norm, new in CONVOLUTIONS:
            if not (match := re.fullmatch(pattern, name)):
                continue
            norm, new = match.expand(norm), match.expand(new)
            gamma, beta, mean, variance = (
                checkpoint[f"{norm}.{part}"].float() for part in ("weight", "bias", "running_mean", "running_var"))
            scale = gamma / torch.sqrt(variance + BATCH_NORM_EPS)
            if not new.startswith("vision_model."):
                stage, rest = new.split(".", 1)
                new = f"vision_model.layers.{int(stage) - FIRST_STAGE}.{rest}"
            found[new + ".weight"] = weight.float() * scale[:, None, None, None]
            found[new + ".bias"] = beta - mean * scale
    if "vision_model.stem.2.weight" not in found:
        raise SystemExit("the checkpoint has no ResNet (vision_model.6.weight): only those over PMC-CLIP are supported")
    return found


def read_queries(checkpoint):
    found = {}
    for name, tensor in checkpoint.items():
        new = renamed(name, QUERY_NAMES)
        if new is None:
            continue
        if ".cross_attn.in_proj." in new:
            third = len(tensor) // 3
            found[new.replace("in_proj", "q_proj")] = tensor[:third]
            found[new.replace("in_proj", "kv_proj")] = tensor[third:]
        else:
            found[new] = tensor
    if "query_decoder.queries" not in found:
        raise SystemExit("the checkpoint has no query_embed.weight")
    return found


def read_llm(checkpoint, alpha):
    found, factors = {}, {}
    for name, tensor in checkpoint.items():
        if not (match := LLM.fullmatch(name)) or "rotary_emb" in name:
            continue
        if lora := LORA.fullmatch(match[1]):
            factors.setdefault(lora[1], {})[lora[2]] = tensor
        else:
            found["language_model." + match[1].replace(".base_layer.", ".")] = tensor
    for name, pair in factors.items():
        weight = f"language_model.{name}.weight"
        found[weight] = add_product(found[weight], pair["A"], pair["B"], alpha / len(pair["A"]))
    return found


if __name__ == "__main__":
    main()
