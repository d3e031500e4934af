"""MPT, the code before it (MosaicGPT) and GPT-NeoX from their formulas. Shares no code with the library."""

import torch

from plain_models import ACTIVATIONS, Decoder, gelu, layer_norm, linear, attention


class BiasedDecoder(Decoder):
    """Without positions: a score falls with the distance between query and key, by its head's slope."""

    first, second, last, mlp = "norm_1", "norm_2", "norm_f", ("ffn.up_proj", "ffn.down_proj")
    eps = 1e-5
    clip, qk_norm, logit_scale, bias_max = None, False, 1, 8

    def __init__(self, config, w):
        named = dict(
            config,
            hidden_size=config["d_model"],
            num_attention_heads=config["n_heads"],
            num_hidden_layers=config["n_layers"],
        )
        super().__init__(named, w)
        self.read(config)

    def read(self, config):
        fields = config.get("attn_config") or {}
        self.eps = config.get("layer_norm_epsilon", 1e-5)
        self.scale = fields.get("softmax_scale") or self.head_dim**-0.5
        self.clip = fields.get("clip_qkv")

    def slopes(self):
        count = 1
        while count < self.heads:
            count *= 2
        falling = [2 ** (-self.bias_max * i / count) for i in range(1, count + 1)]
        return falling if count == self.heads else (falling[1::2] + falling[::2])[: self.heads]

    def _turns(self, _config, _seen, _dtype):
        return None, None

    def _norm(self, name, x):
        return layer_norm(self.w, name, x, self.eps)

    def _leave(self, x):
        return self._norm("decoder." + self.last, x) * self.logit_scale

    def _attend(self, p, y, mask):
        qkv = linear(self.w, p + "attn.Wqkv", y)
        if self.clip:
            qkv = qkv.clamp(-self.clip, self.clip)
        q, k, v = qkv.chunk(3, dim=-1)
        if self.qk_norm:
            q, k = self._norm(p + "attn.q_ln", q), self._norm(p + "attn.k_ln", k)
        place = torch.arange(len(y)).to(y.dtype)
        slopes = torch.tensor(self.slopes(), dtype=y.dtype)
        bias = slopes[:, None, None] * (place[None] - place[:, None])
        mixed = attention(q, k, v, self.heads, mask, self.scale, bias=bias)
        return linear(self.w, p + "attn.out_proj", mixed)

    def _layer(self, p, x, mask):
        x = x + self._attend(p, self._norm(p + self.first, x), mask)
        up, down = self.mlp
        hidden = gelu(linear(self.w, p + up, self._norm(p + self.second, x)))
        return x + linear(self.w, p + down, hidden)


class MosaicDecoder(BiasedDecoder):
    first, second, last, mlp = "ln_1", "ln_2", "ln_f", ("mlp.mlp_up", "mlp.mlp_down")

    def read(self, config):
        self.scale = config.get("softmax_scale") or self.head_dim**-0.5
        self.clip, self.qk_norm = config.get("attn_clip_qkv"), config.get("attn_qk_ln")
        self.bias_max = config.get("alibi_bias_max", 8)
        scale = config.get("logit_scale")
        self.logit_scale = config["d_model"] ** -0.5 if isinstance(scale, str) else scale or 1


class NeoxDecoder(Decoder):
    def __init__(self, config, w):
        if not config.get("rope_parameters"):
            config = dict(
                config,
                rope_theta=config.get("rotary_emb_base", 10000),
                partial_rotary_factor=config.get("rotary_pct", 0.25),
            )
        super().__init__(config, w)
        self.eps = config.get("layer_norm_eps", 1e-5)
        self.parallel = config.get("use_parallel_residual", True)

    def _norm(self, name, x):
        return layer_norm(self.w, name, x, self.eps)

    def _leave(self, x):
        return self._norm("decoder.final_layer_norm", x)

    def _attend(self, p, y, mask):
        qkv = linear(self.w, p + "attention.query_key_value", y)
        q, k, v = self._split(qkv)
        q, k = (self._rotate(x, self.heads).flatten(1) for x in (q, k))
        mixed = attention(q, k, v, self.heads, mask, self.scale)
        return linear(self.w, p + "attention.dense", mixed)

    def _split(self, qkv):
        """Each head's q, k and v lie behind each other."""
        heads = qkv.unflatten(-1, (self.heads, 3, self.head_dim))
        return [heads[:, :, i].flatten(1) for i in range(3)]

    def _mlp(self, p, y):
        act = ACTIVATIONS[self.config.get("hidden_act", "gelu")]
        return linear(self.w, p + "mlp.dense_4h_to_h", act(linear(self.w, p + "mlp.dense_h_to_4h", y)))

    def _layer(self, p, x, mask):
        mixed = self._attend(p, self._norm(p + "input_layernorm", x), mask)
        read = x if self.parallel else x + mixed
        return x + mixed + self._mlp(p, self._norm(p + "post_attention_layernorm", read))


CLASSES = {"mpt": BiasedDecoder, "mosaic_gpt": MosaicDecoder, "gpt_neox": NeoxDecoder}


def decoder_class(config):
    return CLASSES.get(config.get("model_type"), Decoder)
