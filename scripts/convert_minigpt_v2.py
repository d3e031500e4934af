#!/usr/bin/env python3
"""Makes a folder that saccade serves of MiniGPT-v2 from its published parts.

    convert_minigpt_v2.py --checkpoint minigptv2_checkpoint.pth --vit eva_vit_g.pth --llm LLAMA2_CHAT_DIR OUT_DIR

The first file holds the projection and the LoRA of the decoder, which is added to its weights here; a tower or
ln_vision that it holds too wins over --vit's and over an ln_vision that changes nothing, which is what the published
model has. The tower's positions are stretched to --image-size as the original does when it loads the file. LLM is a
Hugging Face LLaMA folder. The result is `model_type: minigpt_v2` (engine/models/minigpt_v2.cc).

Names and constants: Vision-CAIR/MiniGPT-4 (models/minigpt_v2.py, models/minigpt_base.py, models/eva_vit.py,
conversation/conversation.py). The prompts of its evaluation begin with two begin tokens: one is written, one added.
"""

import argparse
import pathlib
import re

import torch

from convert_minigpt4 import EVA_NAMES, read_eyes, vision_config
from converting import (
    DTYPES,
    MESSAGE_TEXT,
    add_product,
    copy_tokenizer,
    generation_config,
    load_pth,
    picture_token,
    read_llama,
    squashed_pictures,
    write_folder,
)

NAMES = [*EVA_NAMES, (r"llama_proj\.(.*)", r"projector.\1")]
LORA = re.compile(r"llama_model\.base_model\.model\.(model\.layers\.\d+\..*)\.lora_([AB])(?:\.default)?\.weight")
TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message['role'] in ['assistant', 'system'] %}" + MESSAGE_TEXT + "{% else %}{{ bos_token + '[INST] ' }}"
    "{% if message['content'] is not string %}"
    "{% for part in message['content'] if part['type'] == 'image' %}{{ '<Img>PICTURE</Img> ' }}{% endfor %}{% endif %}"
    + MESSAGE_TEXT + "{{ ' [/INST]' }}{% endif %}{% endfor %}"
)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", required=True, type=pathlib.Path, help="MiniGPT-v2's own .pth")
    parser.add_argument("--vit", type=pathlib.Path, help="EVA's .pth, unless the first holds the tower")
    parser.add_argument("--llm", required=True, type=pathlib.Path, help="Hugging Face folder of Llama-2-chat")
    parser.add_argument("--image-size", type=int, default=448, help="pixels a side (448)")
    parser.add_argument("--lora-alpha", type=float, default=16, help="as in the model's configuration (16)")
    parser.add_argument("--dtype", default="float16", choices=DTYPES)
    parser.add_argument("out", type=pathlib.Path)
    convert(parser.parse_args())


def convert(arguments):
    checkpoint = load_pth(arguments.checkpoint)
    eyes = read_eyes([checkpoint], load_pth(arguments.vit) if arguments.vit else {}, NAMES)
    if "projector.weight" not in eyes:
        raise SystemExit(f"{arguments.checkpoint}: no llama_proj.weight")
    stretch_positions(eyes, arguments.image_size)
    vision = vision_config(eyes)
    norm = "vision_model.post_layernorm."
    eyes.setdefault(norm + "weight", torch.ones(vision["hidden_size"]))
    eyes.setdefault(norm + "bias", torch.zeros(vision["hidden_size"]))
    llm_config, llm = read_llama(arguments.llm)
    merge_lora(checkpoint, llm, arguments.lora_alpha)
    arguments.out.mkdir(parents=True, exist_ok=True)
    copy_tokenizer(arguments.llm, arguments.out)
    image, text = picture_token(arguments.out)
    write_folder(
        arguments.out,
        eyes | {f"language_model.{name}": tensor for name, tensor in llm.items()},
        arguments.dtype,
        TEMPLATE.replace("PICTURE", text),
        config={
            "model_type": "minigpt_v2",
            "image_token_index": image,
            "patches_per_token": eyes["projector.weight"].shape[1] // vision["hidden_size"],
            "vision_config": vision,
            "text_config": llm_config,
        },
        generation_config=generation_config(arguments.llm, llm_config),
        preprocessor_config=squashed_pictures(arguments.image_size),
    )


def stretch_positions(eyes, image_size):
    """The position table [1, 1 + n * n, hidden] for pictures of that side; the class token's row stays."""
    name = "vision_model.embeddings.position_embedding"
    table = eyes[name].float()
    patch = eyes["vision_model.embeddings.patch_embedding.weight"].shape[2]
    old, new = round((table.shape[1] - 1) ** 0.5), image_size // patch
    if old == new:
        return
    grid = table[:, 1:].reshape(1, old, old, -1).permute(0, 3, 1, 2)
    grid = torch.nn.functional.interpolate(grid, size=(new, new), mode="bicubic", align_corners=False)
    eyes[name] = torch.cat([table[:, :1], grid.permute(0, 2, 3, 1).flatten(1, 2)], dim=1)


def merge_lora(checkpoint, llm, alpha):
    factors = {}
    for name, tensor in checkpoint.items():
        if name.startswith("llama_model."):
            match = LORA.fullmatch(name)
            if not match:
                raise SystemExit(f"the checkpoint's {name} is neither LoRA nor part of the eyes")
            factors.setdefault(match[1] + ".weight", {})[match[2]] = tensor
    for name, pair in factors.items():
        if name not in llm or set(pair) != {"A", "B"}:
            raise SystemExit(f"the checkpoint's LoRA of {name} does not fit the decoder")
        llm[name] = add_product(llm[name], pair["A"], pair["B"], alpha / len(pair["A"]))


if __name__ == "__main__":
    main()
