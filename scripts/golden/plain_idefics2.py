"""Idefics2 written from its formulas: its tower is that of plain_tiles.py. Shares no code with the library."""

import torch

from plain_models import ACTIVATIONS, attention, linear
from plain_tiles import TilesModel


class Idefics2Model(TilesModel):
    def norm(self, name, x, eps):
        return x / torch.sqrt((x * x).mean(-1, keepdim=True) + eps) * self.w[name + ".weight"]

    def gated(self, name, x):
        gate = ACTIVATIONS["silu"](linear(self.w, name + ".gate_proj", x))
        return linear(self.w, name + ".down_proj", gate * linear(self.w, name + ".up_proj", x))

    def perceiver(self, context):
        """[patches, H] -> outputs of each layer and the visual tokens, [latents, H]."""
        config, name = self.config["perceiver_config"], "decoder.connector.perceiver_resampler."
        eps, d = config.get("rms_norm_eps", 1e-6), config["resampler_head_dim"]
        heads, keys = config["resampler_n_heads"], config["num_key_value_heads"]
        share = [h * keys // heads for h in range(heads)]
        x, layers = self.w[name + "latents"], []
        for i in range(config["resampler_depth"]):
            p = f"{name}layers.{i}."
            y = self.norm(p + "input_latents_norm", x, eps)
            seen = torch.cat([self.norm(p + "input_context_norm", context, eps), y])
            q = linear(self.w, p + "self_attn.q_proj", y)
            k, v = (
                linear(self.w, p + f"self_attn.{t}_proj", seen)
                .reshape(-1, keys, d)[:, share]
                .flatten(1)
                for t in "kv"
            )
            x = x + linear(self.w, p + "self_attn.o_proj", attention(q, k, v, heads))
            x = x + self.gated(p + "mlp", self.norm(p + "post_attention_layernorm", x, eps))
            layers.append(x)
        return layers, self.norm(name + "norm", x, eps)

    def parts(self, case, golden, prefix):
        for picture, count in enumerate(case["parts"]):
            for part in range(count):
                yield golden[f"{prefix}pixel_values.{picture}.{part}"]

    def visual(self, case, golden, prefix, dtype):
        """(stages, visual tokens of all parts)."""
        stages, tokens = {}, []
        for part in self.parts(case, golden, prefix):
            states = self.tower(part.to(dtype))
            context = self.gated("decoder.connector.modality_projection", states[-1])
            layers, found = self.perceiver(context)
            stages |= {f"vit.block.{i}": s for i, s in enumerate(states[1:-1])}
            stages |= {f"perceiver.layer.{i}": s for i, s in enumerate(layers)}
            stages |= {"vit.embeddings": states[0], "vit.post_layernorm": states[-1], "projector": context}
            tokens.append(found)
        stages["connector"] = torch.cat(tokens)
        return stages, stages["connector"]
