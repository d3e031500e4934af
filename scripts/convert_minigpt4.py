#!/usr/bin/env python3
"""Makes a folder that saccade serves of MiniGPT-4 (v1) from its published parts.

    convert_minigpt4.py --checkpoint pretrained_minigpt4_7b.pth --qformer blip2_pretrained_flant5xxl.pth \
        --vit eva_vit_g.pth --llm VICUNA_V0_DIR OUT_DIR

The .pth files are those that MiniGPT-4's configuration names; the projection is in the first, the Q-Former, its queries
and ln_vision in the second, the tower in the third. A file that holds more than that wins in the order given. LLM is a
Hugging Face LLaMA folder. The result is `model_type: blip-2` with a LLaMA text_config and three fields that Hugging
Face has not: `image_placement: placeholder` (pictures stand inside the prompt), `post_layernorm_eps` (LAVIS normalises
the tower's output with 1e-5, the blocks with 1e-6) and, in generation_config.json, `stop_strings: ["###"]`.

Names and constants: Vision-CAIR/MiniGPT-4 (models/mini_gpt4.py, models/eva_vit.py, conversation/conversation.py).
"""

import argparse
import pathlib
import re

import torch

from converting import (
    DTYPES,
    copy_tokenizer,
    generation_config,
    load_pth,
    picture_token,
    read_llama,
    renamed,
    squashed_pictures,
    write_folder,
)

EVA_BLOCKS = 39  # the file has 40; MiniGPT-4 builds one fewer and ignores the last
HEAD = {"vision": 88, "qformer": 64}  # width of one head of EVA-g and of BERT
TEMPLATE = (
    "{{ bos_token }}Give the following image: <Img>ImageContent</Img>. You will be able to see the image once "
    "I provide it to you. Please answer my questions.###"
    "{% for message in messages %}{% if message['role'] == 'assistant' %}{{ 'Assistant: ' }}{% else %}"
    "{{ 'Human: ' }}{% endif %}"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] if part['type'] == 'image' %}{{ '<Img>PICTURE</Img> ' }}{% endfor %}"
    "{% for part in message['content'] if part['type'] == 'text' %}{{ part['text'] }}{% endfor %}{% endif %}"
    "{{ '###' }}{% endfor %}{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)
# Tried in order; what no pattern takes is not part of the model.
EVA_NAMES = [
    (r"visual_encoder\.cls_token", r"vision_model.embeddings.class_embedding"),
    (r"visual_encoder\.pos_embed", r"vision_model.embeddings.position_embedding"),
    (r"visual_encoder\.patch_embed\.proj\.(.*)", r"vision_model.embeddings.patch_embedding.\1"),
    (r"visual_encoder\.blocks\.(\d+)\.norm([12])\.(.*)", r"vision_model.encoder.layers.\1.layer_norm\2.\3"),
    (r"visual_encoder\.blocks\.(\d+)\.attn\.proj\.(.*)", r"vision_model.encoder.layers.\1.self_attn.projection.\2"),
    (r"visual_encoder\.blocks\.(\d+)\.attn\.(qkv\.weight|q_bias|v_bias)",
     r"vision_model.encoder.layers.\1.self_attn.\2"),
    (r"visual_encoder\.blocks\.(\d+)\.mlp\.(fc[12]\..*)", r"vision_model.encoder.layers.\1.mlp.\2"),
    (r"ln_vision\.(.*)", r"vision_model.post_layernorm.\1"),
]
NAMES = [
    *EVA_NAMES,
    (r"query_tokens", r"query_tokens"),
    (r"Qformer\.bert\.embeddings\.LayerNorm\.(.*)", r"qformer.layernorm.\1"),
    (r"Qformer\.bert\.(encoder\.layer\.\d+\.(?:cross)?attention)\.self\.(.*)", r"qformer.\1.attention.\2"),
    (r"Qformer\.bert\.(encoder\.layer\.\d+\.(?:cross)?attention\.output\..*)", r"qformer.\1"),
    (r"Qformer\.bert\.(encoder\.layer\.\d+\.(?:intermediate|output)_query\..*)", r"qformer.\1"),
    (r"llama_proj\.(.*)", r"language_projection.\1"),
]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", required=True, type=pathlib.Path, help="MiniGPT-4's own .pth")
    parser.add_argument("--qformer", type=pathlib.Path, help="BLIP-2's .pth, unless the first holds the Q-Former")
    parser.add_argument("--vit", type=pathlib.Path, help="EVA's .pth, unless one of the others holds the tower")
    parser.add_argument("--llm", required=True, type=pathlib.Path, help="Hugging Face folder of the LLaMA decoder")
    parser.add_argument("--dtype", default="float16", choices=DTYPES)
    parser.add_argument("out", type=pathlib.Path)
    convert(parser.parse_args())


def convert(arguments):
    files = [load_pth(path) for path in (arguments.checkpoint, arguments.qformer) if path]
    eyes = read_eyes(files, load_pth(arguments.vit) if arguments.vit else {}, NAMES)
    for wanted, holder in {
        "vision_model.post_layernorm.weight": "ln_vision: --qformer",
        "query_tokens": "the Q-Former: --qformer",
        "language_projection.weight": "llama_proj: --checkpoint",
    }.items():
        if wanted not in eyes:
            raise SystemExit(f"no file holds {holder}")
    llm_config, llm = read_llama(arguments.llm)
    arguments.out.mkdir(parents=True, exist_ok=True)
    copy_tokenizer(arguments.llm, arguments.out)
    image, text = picture_token(arguments.out)
    config = make_config(eyes, llm_config, image)
    write_folder(
        arguments.out,
        eyes | {f"language_model.{name}": tensor for name, tensor in llm.items()},
        arguments.dtype,
        TEMPLATE.replace("PICTURE", text),
        config=config,
        generation_config=generation_config(arguments.llm, llm_config, stop_strings=["###"]),
        preprocessor_config=squashed_pictures(config["vision_config"]["image_size"]),
    )


def read_eyes(files, vit, names):
    """Tower and what is behind it under blip-2's names; the first file that has a tensor wins, `vit` may lack the
    prefix."""
    found = {}
    for tensors in files:
        for name, tensor in tensors.items():
            add(found, renamed(name, names), tensor)
    for name, tensor in vit.items():
        name = name if name.startswith("visual_encoder.") else "visual_encoder." + name
        add(found, renamed(name, EVA_NAMES), tensor)
    layers = sorted({int(m) for name in found for m in re.findall(r"encoder\.layers\.(\d+)\.", name)})
    for layer in layers:
        if layer >= EVA_BLOCKS:
            for name in [n for n in found if f"encoder.layers.{layer}." in n]:
                del found[name]
            continue
        p = f"vision_model.encoder.layers.{layer}.self_attn."
        q, v = found.pop(p + "q_bias"), found.pop(p + "v_bias")
        found[p + "qkv.bias"] = torch.cat([q, torch.zeros_like(q), v])
    if "vision_model.embeddings.class_embedding" not in found:
        raise SystemExit("no file holds the tower: --vit")
    return found


def add(found, name, tensor):
    if name is not None:
        found.setdefault(name, tensor)


def vision_config(eyes):
    patch = eyes["vision_model.embeddings.patch_embedding.weight"]  # [hidden, 3, patch, patch]
    hidden, positions = patch.shape[0], eyes["vision_model.embeddings.position_embedding"].shape[1]
    return {
        "model_type": "blip_2_vision_model",
        "hidden_size": hidden,
        "intermediate_size": eyes["vision_model.encoder.layers.0.mlp.fc1.weight"].shape[0],
        "num_hidden_layers": 1 + max(int(n.split(".")[3]) for n in eyes if n.startswith("vision_model.encoder.")),
        "num_attention_heads": max(hidden // HEAD["vision"], 1),
        "image_size": round((positions - 1) ** 0.5) * patch.shape[2],
        "patch_size": patch.shape[2],
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-6,
        "post_layernorm_eps": 1e-5,
        "qkv_bias": True,
    }


def make_config(eyes, llm_config, image):
    vision = vision_config(eyes)
    layer = "qformer.encoder.layer."
    qformer_hidden = eyes["query_tokens"].shape[2]
    crossing = sorted({int(n.split(".")[3]) for n in eyes if n.startswith(layer) and "crossattention" in n})
    return {
        "architectures": ["Blip2ForConditionalGeneration"],
        "model_type": "blip-2",
        "image_placement": "placeholder",
        "image_token_index": image,
        "num_query_tokens": eyes["query_tokens"].shape[1],
        "use_decoder_only_language_model": True,
        "tie_word_embeddings": False,
        "vision_config": vision,
        "qformer_config": {
            "model_type": "blip_2_qformer",
            "hidden_size": qformer_hidden,
            "intermediate_size": eyes[layer + "0.intermediate_query.dense.weight"].shape[0],
            "num_hidden_layers": 1 + max(int(n.split(".")[3]) for n in eyes if n.startswith(layer)),
            "num_attention_heads": max(qformer_hidden // HEAD["qformer"], 1),
            "cross_attention_frequency": crossing[1] - crossing[0] if len(crossing) > 1 else 2,
            "encoder_hidden_size": vision["hidden_size"],
            "hidden_act": "gelu",
            "layer_norm_eps": 1e-12,
        },
        "text_config": llm_config,
    }


if __name__ == "__main__":
    main()
