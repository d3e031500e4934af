#!/usr/bin/env python3
"""Makes a folder that saccade serves of MiniGPT-4 (v1) from its published parts.

    convert_minigpt4.py --checkpoint pretrained_minigpt4_7b.pth --qformer blip2_pretrained_flant5xxl.pth \
        --vit eva_vit_g.pth --llm VICUNA_V0_DIR OUT_DIR

The .pth files are those that MiniGPT-4's configuration names; the projection is in the first, the Q-Former, its queries and
ln_vision in the second, the tower in the third. A file that holds more than that wins in the order given. LLM is a Hugging
Face LLaMA folder. The result is `model_type: blip-2` with a LLaMA text_config and three fields that Hugging Face has not:
`image_placement: placeholder` (pictures stand inside the prompt), `post_layernorm_eps` (LAVIS normalises the tower's output
with 1e-5, the blocks with 1e-6) and, in generation_config.json, `stop_strings: ["###"]`.

Names and constants: Vision-CAIR/MiniGPT-4 (models/mini_gpt4.py, models/eva_vit.py, conversation/conversation.py).
"""

import argparse
import json
import pathlib
import re
import shutil

import torch
from safetensors.torch import load_file, save_file

IMAGE = "<image>"
EVA_BLOCKS = 39  # the file has 40; MiniGPT-4 builds one fewer and ignores the last
HEAD = {"vision": 88, "qformer": 64}  # width of one head of EVA-g and of BERT
TEMPLATE = (
    "{{ bos_token }}Give the following image: <Img>ImageContent</Img>. You will be able to see the image once I provide it "
    "to you. Please answer my questions.###"
    "{% for message in messages %}{% if message['role'] == 'assistant' %}{{ 'Assistant: ' }}{% else %}{{ 'Human: ' }}{% endif %}"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] if part['type'] == 'image' %}{{ '<Img><image></Img> ' }}{% endfor %}"
    "{% for part in message['content'] if part['type'] == 'text' %}{{ part['text'] }}{% endfor %}{% endif %}"
    "{{ '###' }}{% endfor %}{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)
# Tried in order; what no pattern takes is not part of the model.
NAMES = [
    (r"visual_encoder\.cls_token", r"vision_model.embeddings.class_embedding"),
    (r"visual_encoder\.pos_embed", r"vision_model.embeddings.position_embedding"),
    (r"visual_encoder\.patch_embed\.proj\.(.*)", r"vision_model.embeddings.patch_embedding.\1"),
    (r"visual_encoder\.blocks\.(\d+)\.norm([12])\.(.*)", r"vision_model.encoder.layers.\1.layer_norm\2.\3"),
    (r"visual_encoder\.blocks\.(\d+)\.attn\.proj\.(.*)", r"vision_model.encoder.layers.\1.self_attn.projection.\2"),
    (r"visual_encoder\.blocks\.(\d+)\.attn\.(qkv\.weight|q_bias|v_bias)", r"vision_model.encoder.layers.\1.self_attn.\2"),
    (r"visual_encoder\.blocks\.(\d+)\.mlp\.(fc[12]\..*)", r"vision_model.encoder.layers.\1.mlp.\2"),
    (r"ln_vision\.(.*)", r"vision_model.post_layernorm.\1"),
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
    parser.add_argument("--dtype", default="float16", choices=["float16", "bfloat16", "float32"])
    parser.add_argument("out", type=pathlib.Path)
    convert(parser.parse_args())


def convert(arguments):
    dtype = getattr(torch, arguments.dtype)
    eyes = read_eyes([arguments.checkpoint, arguments.qformer], arguments.vit)
    llm = read_llm(arguments.llm)
    llm_config = json.loads((arguments.llm / "config.json").read_text())
    if llm_config.get("model_type") != "llama":
        raise SystemExit(f"{arguments.llm}/config.json: model_type is not llama")
    arguments.out.mkdir(parents=True, exist_ok=True)
    image = add_image_token(arguments.llm, arguments.out, llm, llm_config)
    config = make_config(eyes, llm_config, image)
    for name, content in {
        "config.json": config,
        "generation_config.json": generation_config(arguments.llm, llm_config),
        "preprocessor_config.json": preprocessor_config(config["vision_config"]["image_size"]),
    }.items():
        (arguments.out / name).write_text(json.dumps(content, indent=2) + "\n")
    (arguments.out / "chat_template.jinja").write_text(TEMPLATE)
    tensors = eyes | {f"language_model.{name}": tensor for name, tensor in llm.items()}
    tensors = {name: tensor.to(dtype).contiguous() for name, tensor in tensors.items()}
    save_file(tensors, arguments.out / "model.safetensors", metadata={"format": "pt"})
    print(f"{arguments.out}: {len(tensors)} tensors")


def load_pth(path):
    """The tensors of a .pth; nothing in it is executed."""
    loaded = torch.load(path, map_location="cpu", weights_only=True)
    return loaded.get("model", loaded) if isinstance(loaded, dict) else loaded


def read_eyes(paths, vit):
    """Tower, Q-Former, queries and projection under blip-2's names; the first file that has a tensor wins."""
    found = {}
    for path in paths:
        for name, tensor in (load_pth(path) if path else {}).items():
            add(found, name, tensor)
    for name, tensor in (load_pth(vit) if vit else {}).items():
        add(found, name if name.startswith("visual_encoder.") else "visual_encoder." + name, tensor)
    layers = sorted({int(m) for name in found for m in re.findall(r"encoder\.layers\.(\d+)\.", name)})
    for layer in layers:
        if layer >= EVA_BLOCKS:
            for name in [n for n in found if f"encoder.layers.{layer}." in n]:
                del found[name]
            continue
        p = f"vision_model.encoder.layers.{layer}.self_attn."
        q, v = found.pop(p + "q_bias"), found.pop(p + "v_bias")
        found[p + "qkv.bias"] = torch.cat([q, torch.zeros_like(q), v])
    for wanted, holder in {
        "vision_model.embeddings.class_embedding": "the tower: --vit",
        "vision_model.post_layernorm.weight": "ln_vision: --qformer",
        "query_tokens": "the Q-Former: --qformer",
        "language_projection.weight": "llama_proj: --checkpoint",
    }.items():
        if wanted not in found:
            raise SystemExit(f"no file holds {holder}")
    return found


def add(found, name, tensor):
    for pattern, replacement in NAMES:
        match = re.fullmatch(pattern, name)
        if match:
            found.setdefault(match.expand(replacement), tensor)
            return


def read_llm(folder):
    index = folder / "model.safetensors.index.json"
    names = sorted(set(json.loads(index.read_text())["weight_map"].values())) if index.exists() else ["model.safetensors"]
    tensors = {}
    for name in names:
        tensors |= load_file(folder / name)
    return {name: tensor for name, tensor in tensors.items() if "rotary_emb" not in name}


def add_image_token(source, out, llm, config):
    """Copies the tokenizer with one more token; its rows equal those of the unknown token. Returns its id."""
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        if (source / name).exists():
            shutil.copy(source / name, out / name)
    if not (source / "tokenizer.json").exists():
        raise SystemExit(f"{source}: has no tokenizer.json (save it with transformers' fast tokenizer)")
    path = out / "tokenizer.json"
    tokenizer = json.loads(path.read_text())
    known = [token["id"] for token in tokenizer["added_tokens"] if token["content"] == IMAGE]
    if known:
        return known[0]
    rows = llm["model.embed_tokens.weight"].shape[0]
    tokenizer["added_tokens"].append(
        {"id": rows, "content": IMAGE, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
         "special": True})
    path.write_text(json.dumps(tokenizer, ensure_ascii=False))
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        if name in llm:
            llm[name] = torch.cat([llm[name], llm[name][:1]])
    config["vocab_size"] = rows + 1
    return rows


def make_config(eyes, llm_config, image):
    vision = "vision_model.embeddings."
    patch = eyes[vision + "patch_embedding.weight"]  # [hidden, 3, patch, patch]
    hidden, positions = patch.shape[0], eyes[vision + "position_embedding"].shape[1]
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
        "vision_config": {
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
        },
        "qformer_config": {
            "model_type": "blip_2_qformer",
            "hidden_size": qformer_hidden,
            "intermediate_size": eyes[layer + "0.intermediate_query.dense.weight"].shape[0],
            "num_hidden_layers": 1 + max(int(n.split(".")[3]) for n in eyes if n.startswith(layer)),
            "num_attention_heads": max(qformer_hidden // HEAD["qformer"], 1),
            "cross_attention_frequency": crossing[1] - crossing[0] if len(crossing) > 1 else 2,
            "encoder_hidden_size": hidden,
            "hidden_act": "gelu",
            "layer_norm_eps": 1e-12,
        },
        "text_config": llm_config,
    }


def generation_config(llm, llm_config):
    path = llm / "generation_config.json"
    config = json.loads(path.read_text()) if path.exists() else {}
    for key in ("bos_token_id", "eos_token_id", "pad_token_id"):
        if key not in config and llm_config.get(key) is not None:
            config[key] = llm_config[key]
    return config | {"stop_strings": ["###"]}


def preprocessor_config(side):
    return {
        "image_processor_type": "BlipImageProcessor",
        "do_convert_rgb": True,
        "do_resize": True,
        "size": {"height": side, "width": side},
        "resample": 3,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711],
    }


if __name__ == "__main__":
    main()
