"""Idefics3 and SmolVLM written from their formulas. Shares no code with the library."""

import math
import re

import torch

from plain_models import Decoder, attention, layer_norm, linear, read_checkpoint


def gelu_tanh(x):
    return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def position_rows(count, side, version):
    """Row of the position table for each of `count` patches along one axis of a table of `side`."""
    if version.startswith("4.5") and int(version.split(".")[1]) >= 55:
        # Patch i stands just below i / count: on a border it falls into the row before.
        return [max(0, math.ceil(i * side / count) - 1) for i in range(count)]
    return [i * side // count for i in range(count)]


class TilesModel:
    def __init__(self, folder, family, dtype):
        self.config, weights = read_checkpoint(folder, dtype)
        rename = [(r"^decoder\.vision_model\.", "vision."), (r"^decoder\.text_model\.", "decoder.")]
        self.w = {}
        for name, tensor in weights.items():
            for pattern, replacement in rename:
                name = re.sub(pattern, replacement, name)
            self.w[name] = tensor
        self.assemble()

    def assemble(self):
        self.decoder = Decoder(self.config["text_config"], self.w)
        self.vision = self.config["vision_config"]

    def tower(self, tile):
        """tile [3,h,w] -> [embeddings, block outputs..., after the final norm], each [patches, D]."""
        w, p, eps = self.w, self.vision["patch_size"], self.vision.get("layer_norm_eps", 1e-6)
        side, high, wide = self.vision["image_size"] // p, tile.shape[1] // p, tile.shape[2] // p
        x = tile[:, : high * p, : wide * p].reshape(3, high, p, wide, p)
        x = x.permute(1, 3, 0, 2, 4).reshape(high * wide, -1)
        x = x @ w["vision.embeddings.patch_embedding.weight"].flatten(1).T
        x = x + w["vision.embeddings.patch_embedding.bias"]
        version = self.config["transformers_version"]
        rows, columns = position_rows(high, side, version), position_rows(wide, side, version)
        table = w["vision.embeddings.position_embedding.weight"]
        states = [x + table[[r * side + c for r in rows for c in columns]]]
        for i in range(self.vision["num_hidden_layers"]):
            n, x = f"vision.encoder.layers.{i}.", states[-1]
            y = layer_norm(w, n + "layer_norm1", x, eps)
            q, k, v = (linear(w, n + f"self_attn.{t}_proj", y) for t in "qkv")
            mixed = attention(q, k, v, self.vision["num_attention_heads"])
            x = x + linear(w, n + "self_attn.out_proj", mixed)
            y = layer_norm(w, n + "layer_norm2", x, eps)
            states.append(x + linear(w, n + "mlp.fc2", gelu_tanh(linear(w, n + "mlp.fc1", y))))
        return states + [layer_norm(w, "vision.post_layernorm", states[-1], eps)]

    def connector(self, features):
        """[patches, D] -> [patches / scale^2, H]: scale x scale neighbours side by side, then one product."""
        side, scale = math.isqrt(len(features)), self.config.get("scale_factor", 2)
        square = features.reshape(side, side, -1)
        rows = [
            square[r : r + scale, c : c + scale].flatten()
            for r in range(0, side, scale)
            for c in range(0, side, scale)
        ]
        return linear(self.w, "decoder.connector.modality_projection.proj", torch.stack(rows))

    def visual(self, _case, golden, prefix, dtype):
        """(stages, visual tokens of all tiles)."""
        tiles = golden[prefix + "pixel_values"].to(dtype)
        states = [torch.stack(s) for s in zip(*(self.tower(tile) for tile in tiles))]
        stages = {f"vit.block.{i}": s for i, s in enumerate(states[1:-1])}
        stages |= {"vit.embeddings": states[0], "vit.post_layernorm": states[-1]}
        stages["connector"] = torch.stack([self.connector(s) for s in states[-1]])
        return stages, stages["connector"].flatten(0, 1)

    def prompt(self, case, golden, prefix):
        """(stages, embeddings of the prompt)."""
        embeds, stages = self.decoder.embed(torch.tensor(case["input_ids"])).clone(), {}
        if case["spans"]:
            stages, rows = self.visual(case, golden, prefix, embeds.dtype)
            for position, length, *_ in case["spans"]:
                embeds[position : position + length], rows = rows[:length], rows[length:]
            assert len(rows) == 0
        logits, layers = self.decoder(embeds)
        stages |= {f"decoder.layer.{i}": layer for i, layer in enumerate(layers)}
        stages |= {
            "inputs_embeds": embeds,
            "prefill_logits": logits,
            "prefill_tail_logits": logits[-8:],
        }
        return stages, embeds
