#!/usr/bin/env python3
"""Checks every golden against an implementation of its own (plain_models.py). Exits 1 at the first disagreement."""

import argparse
import json
import pathlib
import sys

import torch
from safetensors.torch import load_file

import plain_anyres
import plain_medvint
from plain_decoders import decoder_class
from plain_models import QFormer, Tower, gelu, layer_norm, linear, read_checkpoint
from plain_idefics import IdeficsModel
from plain_idefics2 import Idefics2Model
from plain_lavin import LavinModel
from plain_llama_adapter import AdapterModel
from plain_openflamingo import FlamingoModel
from plain_pixtral import PixtralModel
from plain_qwen import QwenModel
from plain_tiles import TilesModel

ROOT = pathlib.Path(__file__).resolve().parents[2] / "tests" / "golden"
TOLERANCE = 1e-5
DOUBLE_TOLERANCE = 1e-10


class Model:
    def __init__(self, folder, family, dtype):
        self.family, self.dtype = family, dtype
        self.config, self.w = read_checkpoint(folder, dtype)
        self.assemble()

    def assemble(self):
        """The parts, from config and weights as they are now."""
        text = self.config.get("text_config", self.config)
        self.decoder = decoder_class(text)(text, self.w)
        # These have a head of their own, which caps nothing.
        if self.family == "llava" or self.family in plain_anyres.FAMILIES:
            self.decoder.logit_cap = None
        if "vision_config" in self.config and self.family != "medvint":
            self.tower = Tower(self.config["vision_config"], self.w)
        if "qformer_config" in self.config:
            self.qformer = QFormer(self.config["qformer_config"], self.w)

    def pictures(self, pixels, qformer_ids):
        """Stages of all pictures by the keys of golden.safetensors."""
        found = {}
        for picture in pixels.to(self.dtype):
            states = self.tower(picture)
            self._add(found, "vit.embeddings", states[0])
            for i, state in enumerate(states[1:]):
                self._add(found, f"vit.block.{i}", state)
            connect = self._minigpt_v2 if self.family == "minigpt_v2" else self._llava
            connect = self._instructblip if "qformer_config" in self.config else connect
            for key, value in connect(states, qformer_ids).items():
                self._add(found, key, value)
        return found

    @staticmethod
    def _add(found, key, value):
        found[key] = torch.cat([found[key], value[None]]) if key in found else value[None]

    def _llava(self, states, _):
        chosen = self.config.get("vision_feature_layer", -2)
        chosen = chosen if isinstance(chosen, list) else [chosen]
        first = (
            1 if self.config.get("vision_feature_select_strategy", "default") == "default" else 0
        )
        selected = torch.cat([states[c][first:] for c in chosen], dim=-1)
        hidden = gelu(linear(self.w, "projector.linear_1", selected))
        return {"vit.selected": selected, "connector": linear(self.w, "projector.linear_2", hidden)}

    def _minigpt_v2(self, states, _):
        eps = self.config["vision_config"]["post_layernorm_eps"]
        patches = layer_norm(self.w, "vision.post_layernorm", states[-1], eps)[1:]
        groups = patches.reshape(-1, self.config["patches_per_token"] * patches.shape[1])
        return {"vit.selected": patches, "connector": linear(self.w, "projector", groups)}

    def _instructblip(self, states, qformer_ids):
        image = self.tower.final(states[-1])
        queries = self.w["query_tokens"][0]
        embeddings, layers = self.qformer(queries, qformer_ids, image)
        output = layers[-1][: len(queries)]
        found = {
            "vit.post_layernorm": image,
            "qformer.embeddings": embeddings,
            "qformer.output": output,
            "connector": linear(self.w, "language_projection", output),
        }
        return found | {f"qformer.layer.{i}": layer for i, layer in enumerate(layers)}

    def prompt(self, case, golden, prefix):
        """(stages, embeddings of the prompt)."""
        embeds, stages = self.decoder.embed(torch.tensor(case["input_ids"])).clone(), {}
        if prefix + "pixel_values" in golden:
            ids = golden.get(prefix + "qformer_input_ids")
            pixels = golden[prefix + "pixel_values"]
            if self.family in plain_anyres.FAMILIES:
                stages = plain_anyres.stages(self, case, pixels.to(self.dtype))
            elif self.family == "medvint":
                stages = plain_medvint.pictures(self, pixels)
            else:
                stages = self.pictures(pixels, ids)
            rows = stages["connector"].reshape(-1, embeds.shape[1])
            for position, length, *_ in case["spans"]:
                embeds[position : position + length] = rows[:length]
                rows = rows[length:]
            assert len(rows) == 0
        logits, layers = self.decoder(embeds)
        stages |= {f"decoder.layer.{i}": layer for i, layer in enumerate(layers)}
        stages |= {
            "inputs_embeds": embeds,
            "prefill_logits": logits,
            "prefill_tail_logits": logits[-8:],
        }
        return stages, embeds


FAMILIES = {  # written in files of their own
    "idefics": IdeficsModel,
    "idefics2": Idefics2Model,
    "idefics3": TilesModel,
    "smolvlm": TilesModel,
    "lavin": LavinModel,
    "llama_adapter": AdapterModel,
    "mistral3": PixtralModel,
    "openflamingo": FlamingoModel,
    "pixtral": PixtralModel,
    "qwen2_vl": QwenModel,
    "qwen2_5_vl": QwenModel,
}


def make_model(folder, family, dtype):
    return FAMILIES.get(family, Model)(folder, family, dtype)


def check_case(model, exact, case, golden, index):
    prefix = f"case{index}."
    stages, embeds = model.prompt(case, golden, prefix)
    stages |= greedy(model, embeds, case["greedy_ids"])
    stored = {
        k[len(prefix) :]: v
        for k, v in golden.items()
        if k.startswith(prefix) and ".fp64." not in k and v.is_floating_point()
    }
    stored = {k: v for k, v in stored.items() if not k.startswith("pixel_values")}
    worst = {
        key: float((_like(stages[key], key, value) - value).abs().max())
        for key, value in stored.items()
    }
    for name in ("input_ids", "greedy_ids", "qformer_input_ids"):
        if prefix + name in golden and golden[prefix + name].tolist() != case[name]:
            raise SystemExit(
                f"case {index}: {name} differ between golden.json and golden.safetensors"
            )
    if prefix + "fp64.prefill_logits" in golden:
        double = (
            golden[prefix + "fp64.prefill_logits"].double()
            + golden[prefix + "fp64.prefill_logits_lo"].double()
        )
        logits = exact.prompt(case, golden, prefix)[0]["prefill_logits"][-len(double) :]
        error = float((logits - double).abs().max())
        if error > DOUBLE_TOLERANCE:
            raise SystemExit(f"case {index}: float64 logits differ by {error:.1e}")
    return worst


def _like(found, key, stored):
    """Of the last logits some goldens keep fewer rows than others."""
    found = found[-len(stored) :] if key == "prefill_tail_logits" else found
    return found.reshape(stored.shape)


def greedy(model, embeds, ids):
    """Logits before each chosen id: one causal pass over prompt and answer equals all steps."""
    whole = torch.cat([embeds, model.decoder.embed(torch.tensor(ids[:-1]))])
    start = len(embeds)
    rows = model.decoder(whole, prompt_length=start)[0][start - 1 :]
    if rows.argmax(-1).tolist() != ids:
        raise SystemExit(f"greedy ids {rows.argmax(-1).tolist()} are not {ids}")
    return {"step_logits": rows, "chosen_logprobs": rows.log_softmax(-1)[range(len(ids)), ids]}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*")
    names = parser.parse_args().names or sorted(p.parent.name for p in ROOT.glob("*/golden.json"))
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    for name in names:
        golden_json = json.loads((ROOT / name / "golden.json").read_text())
        golden = load_file(ROOT / name / "golden.safetensors")
        model, exact = (
            make_model(ROOT / name, golden_json["family"], dtype)
            for dtype in (torch.float32, torch.float64)
        )
        worst = {}
        for index, case in enumerate(golden_json["cases"]):
            for key, error in check_case(model, exact, case, golden, index).items():
                worst[key] = max(worst.get(key, 0), error)
        key = max(worst, key=worst.get)
        print(f"{name}: {len(golden_json['cases'])} cases, worst {worst[key]:.1e} in {key}")
        if not worst[key] <= TOLERANCE:
            raise SystemExit(f"{name}: {key} differs by {worst[key]:.1e}")


if __name__ == "__main__":
    sys.exit(main())
