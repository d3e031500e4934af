"""What the converters of published checkpoints share: reading their files, new tokens, writing the folder."""

import json
import re
import shutil

import torch
from safetensors.torch import load_file, save_file

CLIP_MEAN = [0.48145466, 0.4578275, 0.40821073]
CLIP_STD = [0.26862954, 0.26130258, 0.27577711]
# Of a chat template: the words of `message`.
MESSAGE_TEXT = (
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] if part['type'] == 'text' %}{{ part['text'] }}{% endfor %}{% endif %}"
)
DTYPES = ["float16", "bfloat16", "float32"]
ROTATED = (".q_proj.", ".k_proj.")


def load_pth(path, key="model"):
    """The tensors of a .pth, or of its part `key`; nothing in it is executed."""
    loaded = torch.load(path, map_location="cpu", weights_only=True)
    return loaded.get(key, loaded) if isinstance(loaded, dict) else loaded


def renamed(name, patterns):
    """The name that the first pattern makes of it; None: no pattern takes it."""
    for pattern, replacement in patterns:
        match = re.fullmatch(pattern, name)
        if match:
            return match.expand(replacement)
    return None


def read_folder(folder):
    """The tensors of a Hugging Face folder; of an older one from its pickles, in which nothing is executed."""
    for whole, read in (("model.safetensors", load_file), ("pytorch_model.bin", load_pth)):
        index = folder / f"{whole}.index.json"
        if index.exists() or (folder / whole).exists():
            names = sorted(set(json.loads(index.read_text())["weight_map"].values())) if index.exists() else [whole]
            tensors = {}
            for name in names:
                tensors |= read(folder / name)
            return tensors
    raise SystemExit(f"{folder}: has no model.safetensors and no pytorch_model.bin")


def read_llama(folder):
    """(config, tensors) of a LLaMA folder."""
    config = json.loads((folder / "config.json").read_text())
    if config.get("model_type") != "llama":
        raise SystemExit(f"{folder}/config.json: model_type is {config.get('model_type')}, only llama is supported")
    return config, {name: tensor for name, tensor in read_folder(folder).items() if "rotary_emb" not in name}


def read_clip(folder):
    """(vision_config, tensors) of a CLIP folder, whole or its tower alone."""
    config = json.loads((folder / "config.json").read_text())
    vision = config.get("vision_config", config)
    if config.get("model_type") not in ("clip", "clip_vision_model"):
        raise SystemExit(f"{folder}/config.json: model_type is {config.get('model_type')}, clip is expected")
    tensors = {n: t for n, t in read_folder(folder).items() if "position_ids" not in n}
    patch = tensors["vision_model.embeddings.patch_embedding.weight"]
    positions = len(tensors["vision_model.embeddings.position_embedding.weight"])
    layers = {int(n.split(".")[3]) for n in tensors if n.startswith("vision_model.encoder.layers.")}
    return {
        "model_type": "clip_vision_model",
        "hidden_size": len(patch),
        "intermediate_size": len(tensors["vision_model.encoder.layers.0.mlp.fc1.weight"]),
        "num_hidden_layers": len(layers),
        "num_attention_heads": vision.get("num_attention_heads", 12),
        "image_size": round((positions - 1) ** 0.5) * patch.shape[2],
        "patch_size": patch.shape[2],
        "hidden_act": vision.get("hidden_act", "quick_gelu"),
        "layer_norm_eps": vision.get("layer_norm_eps", 1e-5),
    }, tensors


def copy_tokenizer(source, out, added=()):
    """Copies the tokenizer with these special tokens more, behind those that are there. Returns their ids.

    A token that is there already keeps its id.
    """
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        if (source / name).exists():
            shutil.copy(source / name, out / name)
    path = out / "tokenizer.json"
    if not path.exists():
        raise SystemExit(f"{source}: has no tokenizer.json (save it with transformers' fast tokenizer)")
    tokenizer = json.loads(path.read_text())
    ids = {token["content"]: token["id"] for token in tokenizer["added_tokens"]}
    following = 1 + max([*ids.values(), *tokenizer["model"]["vocab"].values()])
    for content in added:
        if content not in ids:
            ids[content] = following
            tokenizer["added_tokens"].append(
                {"id": following, "content": content, "single_word": False, "lstrip": False, "rstrip": False,
                 "normalized": False, "special": True})
            following += 1
    path.write_text(json.dumps(tokenizer, ensure_ascii=False))
    return [ids[content] for content in added]


def picture_token(folder):
    """(id, text) of the token that stands where pictures do: the unknown one.

    Its embedding is never read there, no text becomes it (the tokenizer falls back to bytes), and the vocabulary, over
    which log-probabilities are taken, stays the original's.
    """
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    text = tokenizer["model"].get("unk_token")
    ids = {token["content"]: token["id"] for token in tokenizer["added_tokens"]}
    if text not in ids or not tokenizer["model"].get("byte_fallback"):
        raise SystemExit(f"{folder}/tokenizer.json: has no unknown token beside bytes, as LLaMA's have")
    return ids[text], text


def heads_halved(name, tensor, config):
    """Outputs of q and k in Hugging Face's order: of each head first the even ones, then the odd ones."""
    if not any(part in name for part in ROTATED):
        return tensor
    pairs = tensor.unflatten(0, (config["num_attention_heads"], -1, 2))
    return pairs.transpose(1, 2).flatten(0, 2)


def add_product(weight, down, up, scale=1.0):
    """weight + scale * up down (LoRA), computed in float32."""
    return (weight.float() + scale * (up.float() @ down.float())).to(weight.dtype)


def generation_config(llm, llm_config, **fields):
    path = llm / "generation_config.json"
    config = json.loads(path.read_text()) if path.exists() else {}
    for key in ("bos_token_id", "eos_token_id", "pad_token_id"):
        if key not in config and llm_config.get(key) is not None:
            config[key] = llm_config[key]
    return config | fields


def squashed_pictures(side):
    """The preprocessor of pictures that are squashed to a square."""
    return {
        "image_processor_type": "BlipImageProcessor",
        "do_convert_rgb": True,
        "do_resize": True,
        "size": {"height": side, "width": side},
        "resample": 3,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": CLIP_MEAN,
        "image_std": CLIP_STD,
    }


def crop_pictures(side, mean=CLIP_MEAN, std=CLIP_STD):
    """The preprocessor of OpenAI's and OpenCLIP's pictures: the shorter edge to `side`, then the middle."""
    return {
        "image_processor_type": "OpenClipImageProcessor",
        "size": {"shortest_edge": side},
        "crop_size": {"height": side, "width": side},
        "resample": 3,
        "image_mean": mean,
        "image_std": std,
    }


def write_folder(out, tensors, dtype, template, **files):
    """model.safetensors, the chat template, and each of `files` as JSON under its name with .json."""
    for name, content in files.items():
        (out / f"{name}.json").write_text(json.dumps(content, indent=2) + "\n")
    (out / "chat_template.jinja").write_text(template)
    tensors = {name: tensor.to(getattr(torch, dtype)).contiguous() for name, tensor in tensors.items()}
    save_file(tensors, out / "model.safetensors", metadata={"format": "pt"})
    print(f"{out}: {len(tensors)} tensors")
