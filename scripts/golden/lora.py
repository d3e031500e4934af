#!/usr/bin/env python3
"""Generates tests/golden/adapters: PEFT folders over the checkpoints (LoRA, LLaMA-Adapter), and what the reference
library answers with them.

Needs requirements-lora.txt beside the 4.57 environment. Each folder is what save_pretrained of peft leaves, plus
answers.json: {"base": checkpoint, "cases": [{"case": its index in the checkpoint's golden.json, "greedy_ids",
"chosen_logprobs"}]}.
"""

import json
import pathlib
import shutil
import sys
import tempfile

import torch
import transformers
from peft import AdaptionPromptConfig, LoraConfig, get_peft_model

import build
import checks
import make
from checkpoints import all_checkpoints
from prompts import ROOT, Prompter
from reference import Reference

ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
# folder: (checkpoint, fields of LoraConfig or, where they name prompts, of AdaptionPromptConfig, seed)
ADAPTERS = {
    "llama_qv": ("llama_gqa", dict(r=4, lora_alpha=6, target_modules=["q_proj", "v_proj"]), 1),
    "llama_mlp": (
        "llama_gqa",
        dict(r=5, lora_alpha=5, target_modules=["gate_proj", "up_proj", "down_proj"]),
        2,
    ),
    "llama_all": (
        "llama_bias",
        dict(
            r=3,
            lora_alpha=4,
            target_modules=ALL,
            use_rslora=True,
            bias="lora_only",
            rank_pattern={"down_proj": 6},
            alpha_pattern={"layers.1.self_attn.k_proj": 9},
        ),
        3,
    ),
    "llava_language": (
        "llava",
        dict(r=4, lora_alpha=8, target_modules=r".*language_model.*\.(q_proj|o_proj|up_proj)"),
        4,
    ),
    # q, k and v of each head lie behind each other in one weight, and so do the rows of its update.
    "neox_all": (
        "gpt_neox",
        dict(
            r=3,
            lora_alpha=5,
            target_modules=["query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h"],
            bias="lora_only",
        ),
        7,
    ),
    "mpt_wqkv": ("mpt", dict(r=4, lora_alpha=6, target_modules=["Wqkv", "up_proj"]), 8),
    # Two of three layers, two query heads to a key head; then all layers, with biases everywhere.
    "llama_prompt": ("llama_gqa", dict(adapter_len=5, adapter_layers=2), 5),
    "llama_prompt_bias": ("llama_bias", dict(adapter_len=3, adapter_layers=2), 6),
}


def main():
    names = sys.argv[1:] or list(ADAPTERS)
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    specs = {spec.name: spec for spec in all_checkpoints()}
    (ROOT / "adapters").mkdir(exist_ok=True)
    for name in names:
        base, fields, seed = ADAPTERS[name]
        with tempfile.TemporaryDirectory(dir=ROOT) as scratch:
            generate(specs[base], fields, seed, scratch)
            shutil.rmtree(ROOT / "adapters" / name, ignore_errors=True)
            shutil.copytree(scratch, ROOT / "adapters" / name)
        print(name, flush=True)


def generate(spec, fields, seed, folder):
    folder = pathlib.Path(folder)
    model, processor = build.load(spec, ROOT / spec.name)
    config_class = AdaptionPromptConfig if "adapter_len" in fields else LoraConfig
    peft_model = get_peft_model(model, config_class(task_type="CAUSAL_LM", **fields))
    randomize(peft_model, seed)
    peft_model.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)
    tidy(folder, spec.name)
    reference, prompter = Reference(model, spec.family), Prompter(spec.family, processor)
    golden = json.loads((ROOT / spec.name / "golden.json").read_text())
    cases = []
    for index, case in enumerate(golden["cases"]):
        _, inputs = prompter.prepare(case["messages"] or case["prompt"])
        _, stages = reference.stages(inputs)
        ids, rows = reference.greedy(stages["inputs_embeds"])
        if checks.margin(rows) < checks.MIN_MARGIN or ids == case["greedy_ids"]:
            continue
        make._check_generate(spec, reference, inputs, ids, rows, set(golden["eos_token_ids"]))
        logprobs = rows.log_softmax(-1)
        chosen = [float(logprobs[i, token]) for i, token in enumerate(ids)]
        cases.append({"case": index, "greedy_ids": ids, "chosen_logprobs": chosen})
    if not cases:
        raise SystemExit(f"{folder.name}: no case with a clear answer of its own")
    answers = {"base": spec.name, "cases": cases}
    (folder / "answers.json").write_text(json.dumps(answers, separators=(",", ":")) + "\n")


def tidy(folder, base):
    """No path of this machine, and the same bytes every time."""
    path = folder / "adapter_config.json"
    config = json.loads(path.read_text()) | {"base_model_name_or_path": base}
    if isinstance(config.get("target_modules"), list):
        config["target_modules"].sort()
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    (folder / "adapter_model.safetensors").chmod(0o644)


def randomize(model, seed):
    """B and gates are zero at first: an adapter that does nothing."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "adaption_" in name:
                parameter.copy_(torch.randn(parameter.shape, generator=generator))
            elif "lora_" in name or (parameter.requires_grad and name.endswith("bias")):
                noise = torch.randn(parameter.shape, generator=generator)
                width = parameter.shape[-1] if parameter.dim() == 2 else 16
                parameter.copy_(noise * width**-0.5)


if __name__ == "__main__":
    main()
