"""Pixtral and Mistral 3 written from their formulas. Shares no code with the library."""

import torch

from plain_decoders import decoder_class
from plain_models import ACTIVATIONS, attention, gelu, linear
from plain_qwen import turned
from plain_tiles import TilesModel

EPS = 1e-5


class PixtralModel(TilesModel):
    frequencies_of = staticmethod(lambda both: (both[::2], both[1::2]))  # of rows and of columns

    def __init__(self, folder, family, dtype):
        self.merges = family == "mistral3"
        super().__init__(folder, family, dtype)

    def assemble(self):
        text = self.config["text_config"]
        self.decoder = decoder_class(text)(text, self.w)
        self.vision = self.config["vision_config"]

    def norm(self, name, x, eps=EPS):
        return x / torch.sqrt((x * x).mean(-1, keepdim=True) + eps) * self.w[name + ".weight"]

    def angles(self, rows, columns, dtype):
        width = self.vision["hidden_size"] // self.vision["num_attention_heads"]
        theta = (self.vision.get("rope_parameters") or self.vision).get("rope_theta", 10000.0)
        both = 1.0 / theta ** (torch.arange(0, width, 2).float() / width)
        down, across = self.frequencies_of(both)
        places = [(r, c) for r in range(rows) for c in range(columns)]
        found = [torch.cat([r * down, c * across]) for r, c in places]
        return torch.stack(found).to(dtype)

    def tower(self, picture):
        """picture [3,h,w] -> [embeddings, block outputs...], each [patches, D]."""
        w, p, heads = self.w, self.vision["patch_size"], self.vision["num_attention_heads"]
        rows, columns = picture.shape[1] // p, picture.shape[2] // p
        cut = [
            picture[:, r * p : r * p + p, c * p : c * p + p].flatten() for r in range(rows) for c in range(columns)
        ]
        x = torch.stack(cut) @ w["vision.patch_conv.weight"].flatten(1).T
        states, angles = [self.norm("vision.ln_pre", x)], self.angles(rows, columns, x.dtype)
        act = ACTIVATIONS[self.vision.get("hidden_act", "gelu")]
        for i in range(self.vision["num_hidden_layers"]):
            n, x = f"vision.transformer.layers.{i}.", states[-1]
            y = self.norm(n + "attention_norm", x)
            q, k, v = (linear(w, n + f"attention.{t}_proj", y) for t in "qkv")
            mixed = attention(turned(q, angles, heads), turned(k, angles, heads), v, heads)
            x = x + linear(w, n + "attention.o_proj", mixed)
            y = self.norm(n + "ffn_norm", x)
            gate = act(linear(w, n + "feed_forward.gate_proj", y))
            y = gate * linear(w, n + "feed_forward.up_proj", y)
            states.append(x + linear(w, n + "feed_forward.down_proj", y))
        return states

    def connector(self, x, rows, columns):
        """[patches, D] -> [tokens, H]"""
        if self.merges:
            x = self.norm("projector.norm", x, self.config["text_config"].get("rms_norm_eps", 1e-6))
            m = self.config.get("spatial_merge_size", 2)
            grid = x.reshape(rows, columns, -1)
            squares = [
                grid[r : r + m, c : c + m].permute(2, 0, 1).flatten()
                for r in range(0, rows - m + 1, m)
                for c in range(0, columns - m + 1, m)
            ]
            x = linear(self.w, "projector.patch_merger.merging_layer", torch.stack(squares))
        return linear(self.w, "projector.linear_2", gelu(linear(self.w, "projector.linear_1", x)))

    def visual(self, case, golden, prefix, dtype):
        layer = self.config.get("vision_feature_layer", -1)
        found, tokens, p = [], [], self.vision["patch_size"]
        for i in range(len(case["images"])):
            picture = golden[f"{prefix}pixel_values.{i}"][0].to(dtype)
            found.append(self.tower(picture))
            tokens.append(self.connector(found[-1][layer], picture.shape[1] // p, picture.shape[2] // p))
        states = [torch.cat(s) for s in zip(*found)]
        stages = {f"vit.block.{i}": s for i, s in enumerate(states[1:])}
        stages |= {"vit.embeddings": states[0], "connector": torch.cat(tokens)}
        return stages, stages["connector"]
