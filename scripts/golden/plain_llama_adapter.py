"""LLaMA-Adapter V2 written from its formulas, over the folder that the converter makes."""

import torch

from plain_models import Decoder, Tower, attention, gelu, layer_norm, linear, read_checkpoint


class PromptedDecoder(Decoder):
    """`prompts`: of each of the last layers its rows [queries, H]."""

    def _attend(self, p, y, mask):
        mixed = super()._attend(p, y, mask)
        number = int(p.split(".")[2]) - (self.config["num_hidden_layers"] - len(self.prompts))
        if number < 0:
            return mixed
        q, _, _ = self._qkv(p, y)
        own = f"prompt_projections.{number}." if self.own_keys else p + "self_attn."
        k, v = (linear(self.w, own + f"{n}_proj", self.prompts[number]) for n in "kv")
        seen = attention(q.flatten(1), k, v, self.heads).unflatten(1, (self.heads, -1))
        gates = torch.tanh(self.w["adapter_gates"][number]) * self.w["adapter_gate_scales"][number]
        added = (seen * gates[:, None]).flatten(1)
        return mixed + added @ self.w[p + "self_attn.o_proj.weight"].T  # its bias is in `mixed`


class AdapterModel:
    def __init__(self, folder, _family, dtype):
        self.dtype = dtype
        self.config, self.w = read_checkpoint(folder, dtype)
        self.assemble()

    def assemble(self):
        self.decoder = PromptedDecoder(self.config["text_config"], self.w)
        self.decoder.own_keys = self.config["prompt_projections"]
        self.tower = Tower(self.config["vision_config"], self.w)

    def gathered(self, pixels):
        """[3, S, S] -> [queries, H]"""
        w, visual = self.w, self.config["visual_config"]
        rows = linear(w, "visual_projection", self.tower.final(self.tower(pixels)[-1]))
        rows = layer_norm(w, "clip_proj_norm", linear(w, "clip_proj", rows), 1e-5)
        x = torch.cat([w["visual_query.weight"], rows])
        for i in range(visual["num_hidden_layers"]):
            p = f"visual_blocks.{i}."
            q, k, v = linear(w, p + "self_attn.qkv", layer_norm(w, p + "layer_norm1", x, 1e-5)).chunk(3, dim=-1)
            x = x + linear(w, p + "self_attn.projection", attention(q, k, v, visual["num_attention_heads"]))
            y = layer_norm(w, p + "layer_norm2", x, 1e-5)
            x = x + linear(w, p + "mlp.fc2", gelu(linear(w, p + "mlp.fc1", y)))
        rows = linear(w, "visual_proj", x[: self.config["query_len"]])
        return layer_norm(w, "visual_proj_norm", rows, 1e-5)

    def prompt(self, case, golden, prefix):
        """(stages, embeddings of the prompt)."""
        side = self.config["vision_config"]["image_size"]
        pixels = golden.get(prefix + "pixel_values", torch.zeros(1, 3, side, side))[0].to(self.dtype)
        prompts = self.w["adapter_query.weight"].unflatten(0, (-1, self.config["query_len"]))
        self.decoder.prompts = prompts + self.gathered(pixels)
        embeds = self.decoder.embed(torch.tensor(case["input_ids"])).clone()
        logits, layers = self.decoder(embeds)
        stages = {f"decoder.layer.{i}": layer for i, layer in enumerate(layers)}
        tail = {"prefill_logits": logits, "prefill_tail_logits": logits[-8:]}
        return stages | tail | {"inputs_embeds": embeds}, embeds
