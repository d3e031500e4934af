"""LaVIN written from its formulas, over the folder that the converter makes."""

import torch

from plain_models import ACTIVATIONS, Decoder, Tower, linear, read_checkpoint


def adapted(w, p, x, weights):
    """weights [T,2] or [2]: how much of each expert is added."""
    narrow = linear(w, p + "conv_A", x)
    first, second = (linear(w, p + name, narrow) for name in ("conv_B", "conv_D"))
    return x + weights[..., :1] * first + weights[..., 1:] * second


class RoutedTower(Tower):
    """Each row chooses for itself."""

    def _qkv(self, p, y):
        own = p.replace("self_attn.", "adapter_attn.")
        scores = linear(self.w, own + "expert_weights", y) / self.temperature
        exponents = torch.exp(scores - scores.amax(-1, keepdim=True))
        return super()._qkv(p, adapted(self.w, own, y, exponents / exponents.sum(-1, keepdim=True)))


class RoutedDecoder(Decoder):
    """`modality`: 0 of text, 1 of a prompt with a picture. The answer's positions begin with the prompt's last one."""

    def __call__(self, x, prompt_length=None):
        self.prompt_length = prompt_length or len(x)
        return super().__call__(x, prompt_length)

    def _turns(self, config, seen, dtype):
        cos, sin = super()._turns(config, seen, dtype)
        index = torch.arange(len(seen))
        places = torch.where(index < self.prompt_length, index, index - 1)
        return cos[places], sin[places]

    def _qkv(self, p, y):
        weights = self.w["router_weights"][int(p.split(".")[2]), self.modality]
        return super()._qkv(p, adapted(self.w, p + "adapter_attn.", y, weights))


class LavinModel:
    def __init__(self, folder, _family, dtype):
        self.dtype = dtype
        self.config, self.w = read_checkpoint(folder, dtype)
        self.assemble()

    def assemble(self):
        self.decoder = RoutedDecoder(self.config["text_config"], self.w)
        self.tower = RoutedTower(self.config["vision_config"], self.w)
        self.tower.temperature = self.config["router_temperature"]

    def picture(self, pixels):
        """[3, S, S] -> [tokens, H]"""
        states = self.tower(pixels)[:: self.config["vision_feature_interval"]][1:]
        hidden = linear(self.w, "projector.linear_1", torch.stack([state[0] for state in states]))
        return linear(self.w, "projector.linear_2", ACTIVATIONS["silu"](hidden))

    def prompt(self, case, golden, prefix):
        """(stages, embeddings of the prompt)."""
        embeds, stages = self.decoder.embed(torch.tensor(case["input_ids"])).clone(), {}
        self.decoder.modality = len(case["spans"])
        for position, length, *_ in case["spans"]:
            rows = self.picture(golden[prefix + "pixel_values"][0].to(self.dtype))
            stages["connector"] = rows[None]
            embeds[position : position + length] = rows
        logits, layers = self.decoder(embeds)
        stages |= {f"decoder.layer.{i}": layer for i, layer in enumerate(layers)}
        tail = {"prefill_logits": logits, "prefill_tail_logits": logits[-8:]}
        return stages | tail | {"inputs_embeds": embeds}, embeds
