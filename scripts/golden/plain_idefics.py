"""IDEFICS written from its formulas: pictures that tokens look at between the layers. Shares no code with the
library."""

import json

import torch

from plain_models import ACTIVATIONS, Decoder, Tower, attention, layer_norm, linear, read_checkpoint


class LookingDecoder(Decoder):
    """`pictures`: rows [n,D] of each; `seen`: for each token of the prompt the picture it looks at, or None."""

    pictures, seen = [], []

    def __call__(self, x, prompt_length=None):
        self.crossed = []
        return super().__call__(x, prompt_length)

    def _layer(self, p, x, mask):
        i, every = int(p.split(".")[2]), self.config.get("cross_layer_interval", 1)
        if i % every == 0:
            x = self._cross(f"decoder.gated_cross_attn_layers.{i // every}.", x)
            self.crossed.append(x)
        return super()._layer(p, x, mask)

    def _cross(self, p, x):
        w = self.w
        looked = self._look(p + "cross_attn.", self._norm(p + "input_layernorm", x))
        x = x + torch.tanh(w[p + "alpha_cross_attn"].flatten()) * looked
        changed = self._mlp(p, self._norm(p + "post_attention_layernorm", x))
        return x + torch.tanh(w[p + "alpha_dense"].flatten()) * changed

    def _look(self, p, y):
        def heads_normed(name, rows):
            if not self.config.get("qk_layer_norms", False):
                return rows
            return self._norm(p + name, rows.unflatten(-1, (self.heads, -1))).flatten(1)

        out = torch.zeros_like(y)
        queries = heads_normed("q_layer_norm", linear(self.w, p + "q_proj", y))
        for token in range(len(y)):
            picture = self.seen[min(token, len(self.seen) - 1)]
            if picture is None:
                continue
            rows = self.pictures[picture]
            keys = heads_normed("k_layer_norm", linear(self.w, p + "k_proj", rows))
            values = linear(self.w, p + "v_proj", rows)
            mixed = attention(queries[token : token + 1], keys, values, self.heads)
            out[token] = linear(self.w, p + "o_proj", mixed)[0]
        return out


class IdeficsModel:
    resampler_act = "relu"

    def __init__(self, folder, _family, dtype):
        self.dtype = dtype
        self.config, weights = read_checkpoint(folder, dtype)
        self.w = {n.replace("decoder.vision_model.", "vision."): t for n, t in weights.items()}
        added = json.loads((folder / "tokenizer.json").read_text())["added_tokens"]
        ids = {token["content"]: token["id"] for token in added}
        self.image, self.end = ids["<image>"], ids["</s>"]
        if self.config.get("additional_vocab_size", 0) > 0:
            self._join("decoder.embed_tokens.", "additional_embedding.weight")
            self._join("head.", "additional_fc.weight")
        self.assemble()

    def _join(self, prefix, additional):
        rows = [self.w[prefix + "weight"], self.w.pop(prefix + additional)]
        self.w[prefix + "weight"] = torch.cat(rows)

    def assemble(self):
        self.decoder = LookingDecoder(self.config, self.w)
        vision = dict(self.config["vision_config"], model_type="clip_vision_model")
        vision.setdefault("hidden_act", "gelu")
        self.tower = Tower(vision, self.w)

    def looks(self, ids):
        """The last picture before each token, up to an end token."""
        found, picture, seen = [], -1, None
        for token in ids:
            if token == self.image:
                picture += 1
                seen = picture
            found.append(seen)
            if token == self.end:
                seen = None
        return found

    def resample(self, rows):
        """[patches + 1, D] -> [latents, D]"""
        config, name = self.config["perceiver_config"], "decoder.perceiver_resampler."
        heads, w = config["resampler_n_heads"], self.w

        def normed(p, x):
            if not config.get("qk_layer_norms_perceiver", False):
                return x
            return layer_norm(w, p, x.unflatten(-1, (heads, -1)), 1e-5).flatten(1)

        x = w[name + "latents"]
        for i in range(config["resampler_depth"]):
            p = f"{name}blocks.{i}.0."
            y = layer_norm(w, p + "latents_layer_norm", x, 1e-5)
            seen = torch.cat([layer_norm(w, p + "context_layer_norm", rows, 1e-5), y])
            q = normed(p + "q_layer_norm", linear(w, p + "q_proj", y))
            k = normed(p + "k_layer_norm", linear(w, p + "k_proj", seen))
            mixed = attention(q, k, linear(w, p + "v_proj", seen), heads)
            x = x + linear(w, p + "output_proj", mixed)
            p = f"{name}blocks.{i}.1."
            y = ACTIVATIONS[self.resampler_act](linear(w, p + "fc", layer_norm(w, p + "ln", x, 1e-5)))
            x = x + linear(w, p + "c_proj", y)
        return layer_norm(w, name + "layer_norm", x, 1e-5)

    def prompt(self, case, golden, prefix):
        """(stages, embeddings of the prompt)."""
        decoder, stages = self.decoder, {}
        decoder.seen, decoder.pictures = self.looks(case["input_ids"]), []
        listed = [None] * len(decoder.seen)
        for position, length, picture, *_ in case["spans"]:
            listed[position : position + length] = [picture] * length
        if listed != decoder.seen:
            raise SystemExit(f"{case['name']}: tokens look at {decoder.seen}, spans say {listed}")
        for pixels in golden.get(prefix + "pixel_values", []):
            states = self.tower(pixels.to(self.dtype))
            rows = states[-1]
            for key, value in [("vit.embeddings", states[0])] + [
                (f"vit.block.{i}", state) for i, state in enumerate(states[1:])
            ]:
                self._add(stages, key, value)
            if self.config.get("use_resampler", False):
                rows = self.resample(rows)
                self._add(stages, "resampler", rows)
            decoder.pictures.append(rows)
        embeds = decoder.embed(torch.tensor(case["input_ids"])).clone()
        logits, layers = decoder(embeds)
        stages |= {f"decoder.layer.{i}": layer for i, layer in enumerate(layers)}
        stages |= {f"decoder.cross.{i}": x for i, x in enumerate(decoder.crossed)}
        tail = {"prefill_logits": logits, "prefill_tail_logits": logits[-8:]}
        return stages | tail | {"inputs_embeds": embeds}, embeds

    @staticmethod
    def _add(stages, key, value):
        before = [stages[key]] if key in stages else []
        stages[key] = torch.cat([*before, value[None]])
