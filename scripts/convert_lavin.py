#!/usr/bin/env python3
"""Makes a folder that saccade serves of LaVIN from its published parts.

    convert_lavin.py --checkpoint sqa-llama-7b.pth --llm LLAMA_7B_DIR --clip CLIP_DIR [--delta VICUNA_DELTA_DIR] OUT_DIR

The first file holds what was tuned: the adapters of tower and decoder, the projection, the embedding of the modalities.
LLM is the Hugging Face folder of the LLaMA, CLIP that of openai/clip-vit-large-patch14, the last that of Vicuna's
weights for files that were tuned on it. The result is `model_type: lavin` (engine/models/lavin.cc).

Names and constants: luogen1996/LaVIN (lavin/eval_model.py, lavin/mm_adapter.py, lavin/generator.py, eval_mme.py,
util/apply_delta.py). What the original computes of a request's first token, its modality, is computed here: see
router_weights(). Its second layers in groups become whole ones with zeros. It adds Vicuna's delta, whose rows of q and
k are in Hugging Face's order, onto rows in Meta's, and was tuned so: so does this.
"""

import argparse
import pathlib

import torch

from converting import (
    DTYPES,
    MESSAGE_TEXT,
    copy_tokenizer,
    generation_config,
    heads_halved,
    picture_token,
    read_clip,
    read_folder,
    read_llama,
    renamed,
    squashed_pictures,
    write_folder,
)

IMAGENET_MEAN, IMAGENET_STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
INTERVAL = 4  # blocks of the tower for each visual token
GROUPS = 2  # of the adapters' second layers
TEMPLATE = (
    "{% set seen = namespace(picture=false) %}"
    "{% for message in messages if message['content'] is not string %}"
    "{% for part in message['content'] if part['type'] == 'image' %}{% set seen.picture = true %}"
    "{% endfor %}{% endfor %}"
    "{% if seen.picture %}{{ 'Image: PICTURE' }}{% else %}{{ 'Image: N/A ' }}{% endif %}"
    "{% for message in messages %}{% if message['role'] == 'user' %}{{ 'Instruction: ' }}"
    "{% elif message['role'] == 'assistant' %}{{ 'Response: ' }}{% endif %}" + MESSAGE_TEXT + "{{ '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Response:' }}{% endif %}"
)
NAMES = [
    (r"adapter_modality_embedding\.weight", r"modality_embedding.weight"),
    (r"adapter_proj\.conv_A\.(weight|bias)", r"projector.linear_1.\1"),
    (r"adapter_proj\.conv_B\.(weight|bias)", r"projector.linear_2.\1"),
    (r"layers\.(\d+)\.(adapter_attn\.(?:conv_[ABD]|expert_weights)\..*)", r"language_model.model.layers.\1.\2"),
    (r"backbone\.visual\.transformer\.resblocks\.(\d+)\.(adapter_attn\.(?:conv_[ABD]|expert_weights)\..*)",
     r"vision_model.encoder.layers.\1.\2"),
]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", required=True, type=pathlib.Path, help="LaVIN's own .pth")
    parser.add_argument("--llm", required=True, type=pathlib.Path, help="Hugging Face folder of the LLaMA")
    parser.add_argument("--clip", required=True, type=pathlib.Path, help="Hugging Face folder of CLIP ViT-L/14")
    parser.add_argument("--delta", type=pathlib.Path, help="Hugging Face folder of Vicuna's delta")
    parser.add_argument("--temperature", type=float, help="of the routers; default: the checkpoint's own, else 10")
    parser.add_argument("--scale", type=float, help="of the adapters; default: the checkpoint's own, else 1")
    parser.add_argument("--dtype", default="float16", choices=DTYPES)
    parser.add_argument("out", type=pathlib.Path)
    convert(parser.parse_args())


def convert(arguments):
    checkpoint, tuning = read_checkpoint(arguments.checkpoint)
    temperature = setting(arguments.temperature, tuning.get("temperature"), 10.0)
    scale = setting(arguments.scale, tuning.get("adapter_scale"), 1.0)
    vision, clip = read_clip(arguments.clip)
    llm_config, llm = read_llama(arguments.llm)
    if bool(arguments.delta) != tuning.get("use_vicuna", bool(arguments.delta)):
        raise SystemExit(f"{arguments.checkpoint}: was tuned on {'LLaMA' if arguments.delta else 'Vicuna: --delta'}")
    if arguments.delta:
        add_delta(llm, read_folder(arguments.delta), llm_config)
    tensors = {n: t for n, t in clip.items() if n.startswith("vision_model.")}
    tensors |= {f"language_model.{name}": tensor for name, tensor in llm.items()}
    for name, tensor in checkpoint.items():
        new = renamed(name.removeprefix("module."), NAMES)
        if new is None:
            raise SystemExit(f"the checkpoint's {name} is not supported")
        tensors[new] = whole(new, tensor, scale)
    check_complete(tensors, vision["num_hidden_layers"], llm_config["num_hidden_layers"])
    modalities = tensors.pop("modality_embedding.weight")
    if modalities.shape[1] != llm_config["hidden_size"]:
        raise SystemExit(f"{arguments.checkpoint}: belongs to a LLaMA of width {modalities.shape[1]}")
    tensors["router_weights"] = router_weights(tensors, modalities, llm_config, temperature)
    arguments.out.mkdir(parents=True, exist_ok=True)
    copy_tokenizer(arguments.llm, arguments.out)
    image, text = picture_token(arguments.out)
    write_folder(
        arguments.out,
        tensors,
        arguments.dtype,
        TEMPLATE.replace("PICTURE", text),
        config={
            "model_type": "lavin",
            "image_token_index": image,
            "adapter_dim": len(tensors["language_model.model.layers.0.adapter_attn.conv_A.bias"]),
            "hidden_proj": len(tensors["projector.linear_1.bias"]),
            "router_temperature": temperature,
            "vision_feature_interval": INTERVAL,
            "vision_config": vision,
            "text_config": llm_config,
        },
        generation_config=generation_config(arguments.llm, llm_config),
        preprocessor_config=squashed_pictures(vision["image_size"])
        | {"image_mean": IMAGENET_MEAN, "image_std": IMAGENET_STD},
    )


def read_checkpoint(path):
    """(tensors, the arguments of the training): beside tensors a Namespace is read, which holds plain values."""
    with torch.serialization.safe_globals([argparse.Namespace]):
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    return loaded.get("model", loaded), vars(loaded.get("args", argparse.Namespace()))


def check_complete(tensors, blocks, layers):
    wanted = ["modality_embedding.weight"]
    wanted += [f"projector.linear_{i}.{kind}" for i in (1, 2) for kind in ("weight", "bias")]
    scopes = [f"vision_model.encoder.layers.{i}" for i in range(blocks)]
    for scope in scopes + [f"language_model.model.layers.{i}" for i in range(layers)]:
        parts = ("conv_A", "conv_B", "conv_D", "expert_weights")
        wanted += [f"{scope}.adapter_attn.{part}.{kind}" for part in parts for kind in ("weight", "bias")]
    for name in wanted:
        if name not in tensors:
            raise SystemExit(f"the checkpoint has nothing for {name}")


def setting(given, stored, otherwise):
    return float(next(value for value in (given, stored, otherwise) if value is not None))


def add_delta(llm, delta, config):
    for name in llm.keys() & delta.keys():
        if llm[name].shape != delta[name].shape:
            raise SystemExit(f"the delta's {name} is of another model")
        change = heads_halved(name, delta[name].float(), config)
        llm[name] = (llm[name].float() + change).to(llm[name].dtype)


def whole(name, tensor, scale):
    """A convolution of width 1 as a matrix, its groups as blocks of it; the second layers bring the scale."""
    if ".adapter_attn.conv_" not in name:
        return tensor
    if ".conv_A." in name:
        return tensor.flatten(1) if tensor.dim() > 1 else tensor
    if tensor.dim() == 1:
        return scale * tensor
    return scale * torch.block_diag(*tensor.flatten(1).chunk(GROUPS))


def router_weights(tensors, modalities, config, temperature):
    """[layers, 2, 2]: how much of each expert the layers add, for text and for a picture.

    The original reads this off the modality token in front of the prompt, in the input of each layer. The token sees
    itself alone and no other sees it: attention gives back its values, whatever the prompt is.
    """

    def linear(name, x):
        bias = tensors.get(f"{name}.bias")
        return torch.nn.functional.linear(x, tensors[f"{name}.weight"].float(), None if bias is None else bias.float())

    def norm(name, x):
        weight = tensors[f"{name}.weight"].float()
        return weight * x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + config["rms_norm_eps"])

    x, found = modalities.float(), []  # [modalities, H]
    for layer in range(config["num_hidden_layers"]):
        p = f"language_model.model.layers.{layer}."
        y = norm(p + "input_layernorm", x)
        found.append(torch.softmax(linear(p + "adapter_attn.expert_weights", y) / temperature, -1))
        narrow = linear(p + "adapter_attn.conv_A", y)
        experts = torch.stack([linear(p + f"adapter_attn.conv_{n}", narrow) for n in "BD"], dim=-1)
        y = y + (experts * found[-1][:, None]).sum(-1)
        x = x + linear(p + "self_attn.o_proj", linear(p + "self_attn.v_proj", y))
        y = norm(p + "post_attention_layernorm", x)
        gate = torch.nn.functional.silu(linear(p + "mlp.gate_proj", y))
        x = x + linear(p + "mlp.down_proj", gate * linear(p + "mlp.up_proj", y))
        for kind in ("weight", "bias"):
            del tensors[p + f"adapter_attn.expert_weights.{kind}"]
    return torch.stack(found)


if __name__ == "__main__":
    main()
