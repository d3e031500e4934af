"""OpenFlamingo written from its formulas, over the folder that the converter makes: IDEFICS with other blocks."""

import torch

from plain_decoders import decoder_class
from plain_idefics import IdeficsModel
from plain_models import Tower, attention, gelu, layer_norm, linear, read_checkpoint


class FlamingoLayers:
    """In front of a decoder's class. `every`, `cross_heads`: of the gated blocks; `pictures`, `seen`: as in
    plain_idefics."""

    pictures, seen = [], []

    def __call__(self, x, prompt_length=None):
        self.crossed = []
        return super().__call__(x, prompt_length)

    def _layer(self, p, x, mask):
        i = int(p.split(".")[2])
        if (i + 1) % self.every == 0:
            x = self._cross(f"decoder.gated_cross_attn_layers.{(i + 1) // self.every - 1}.", x)
            self.crossed.append(x)
        return super()._layer(p, x, mask)

    def _cross(self, p, x):
        w = self.w
        looked = self._look(p + "cross_attn.", layer_norm(w, p + "input_layernorm", x, 1e-5))
        x = x + torch.tanh(w[p + "alpha_cross_attn"]) * looked
        hidden = linear(w, p + "mlp.up_proj", layer_norm(w, p + "post_attention_layernorm", x, 1e-5))
        return x + torch.tanh(w[p + "alpha_dense"]) * linear(w, p + "mlp.down_proj", gelu(hidden))

    def _look(self, p, y):
        out, queries = torch.zeros_like(y), linear(self.w, p + "q_proj", y)
        for token in range(len(y)):
            picture = self.seen[min(token, len(self.seen) - 1)]
            if picture is not None:
                keys, values = (linear(self.w, p + f"{n}_proj", self.pictures[picture]) for n in "kv")
                mixed = attention(queries[token : token + 1], keys, values, self.cross_heads)
                out[token] = linear(self.w, p + "o_proj", mixed)[0]
        return out


class FlamingoModel(IdeficsModel):
    resampler_act = "gelu"

    def __init__(self, folder, _family, dtype):
        self.dtype = dtype
        self.config, weights = read_checkpoint(folder, dtype)
        self.config["use_resampler"] = True
        inside = ("perceiver_resampler.", "gated_cross_attn_layers.")
        self.w = {("decoder." if n.startswith(inside) else "") + n: t for n, t in weights.items()}
        self.image, self.end = self.config["image_token_id"], None
        self.assemble()

    def assemble(self):
        text = self.config["text_config"]
        kind = type("FlamingoDecoder", (FlamingoLayers, decoder_class(text)), {})
        self.decoder = kind(text, self.w)
        self.decoder.every = self.config["cross_attn_every_n_layers"]
        self.decoder.cross_heads = self.config["cross_attn_heads"]
        self.tower = Tower(self.config["vision_config"], self.w)

    def resample(self, rows):
        return super().resample(rows[1:])  # without the class token
