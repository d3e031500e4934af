"""The three families written from their formulas with plain torch operations.

Independent of the reference library on purpose: it shares no code with it and reads the files itself. Tensors have no batch
dimension; T tokens, H width. Weights are a dict from the name in memory (4.52 and later) to the tensor.
"""

import json
import math
import re

import torch
from safetensors.torch import load_file


def read_checkpoint(folder, dtype):
    """(config with defaults filled in, weights)."""
    index = folder / "model.safetensors.index.json"
    names = (
        sorted(set(json.loads(index.read_text())["weight_map"].values()))
        if index.exists()
        else ["model.safetensors"]
    )
    raw = {}
    for name in names:
        raw.update(load_file(folder / name))
    return json.loads((folder / "config.json").read_text()), {
        _name(k): v.to(dtype) for k, v in raw.items()
    }


def _name(name):
    """One spelling for all dialects: decoder.*, head.weight, vision.*, projector.*; the Q-Former as it is."""
    name = re.sub(r"^(model\.)?vision_tower\.(vision_model\.)?", "vision.", name)
    name = re.sub(r"^vision_model\.", "vision.", name)
    name = re.sub(r"^(model\.)?multi_modal_projector\.", "projector.", name)
    name = re.sub(r"^(language_model\.)?lm_head\.", "head.", name)
    return re.sub(r"^(language_model\.model|model\.language_model|model)\.", "decoder.", name)


def linear(w, name, x):
    y = x @ w[name + ".weight"].T
    return y + w[name + ".bias"] if name + ".bias" in w else y


def layer_norm(w, name, x, eps):
    mean = x.mean(-1, keepdim=True)
    variance = ((x - mean) ** 2).mean(-1, keepdim=True)
    return (x - mean) / torch.sqrt(variance + eps) * w[name + ".weight"] + w[name + ".bias"]


def gelu(x):
    return x * 0.5 * (1 + torch.erf(x / math.sqrt(2)))


ACTIVATIONS = {
    "gelu": gelu,
    "quick_gelu": lambda x: x / (1 + torch.exp(-1.702 * x)),
    "silu": lambda x: x / (1 + torch.exp(-x)),
}


def attention(q, k, v, heads, mask=None):
    """q [Tq,heads*d], k and v [Tk,heads*d] -> [Tq,heads*d]."""
    q, k, v = (t.reshape(t.shape[0], heads, -1).transpose(0, 1) for t in (q, k, v))
    scores = q @ k.transpose(1, 2) / math.sqrt(q.shape[-1])
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    exponents = torch.exp(scores - scores.amax(-1, keepdim=True))
    return (exponents / exponents.sum(-1, keepdim=True) @ v).transpose(0, 1).flatten(1)


def rope_frequencies(config, length, head_dim):
    """(inverse frequencies float32 [head_dim/2], factor on cos and sin) for a sequence of `length` tokens."""
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    theta = rope.get("rope_theta", config.get("rope_theta", 10000.0))
    kind, factor = rope.get("rope_type", "default"), rope.get("factor", 1.0)
    exponent = torch.arange(0, head_dim, 2, dtype=torch.int64).float() / head_dim
    limit = config.get("max_position_embeddings", 2048)
    if kind == "dynamic" and length > limit:
        theta = theta * (factor * length / limit - (factor - 1)) ** (head_dim / (head_dim - 2))
    frequencies = 1.0 / theta**exponent
    if kind == "linear":
        return frequencies / factor, 1.0
    if kind == "llama3":
        return _llama3(rope, frequencies), 1.0
    if kind == "yarn":
        return _yarn(rope, theta, frequencies, head_dim), 0.1 * math.log(factor) + 1
    return frequencies, 1.0


def _llama3(rope, frequencies):
    """Long waves are stretched by the factor, short ones kept, those between blended."""
    turns = (
        rope["original_max_position_embeddings"] * frequencies / (2 * math.pi)
    )  # full turns within the original length
    low, high = rope["low_freq_factor"], rope["high_freq_factor"]
    keep = ((turns - low) / (high - low)).clamp(0, 1)
    return (1 - keep) * frequencies / rope["factor"] + keep * frequencies


def _yarn(rope, theta, frequencies, head_dim):
    """Dimensions that turn more than beta_fast times in the original length are kept, less than beta_slow interpolated."""

    def dimension(turns):
        return (
            head_dim
            * math.log(rope["original_max_position_embeddings"] / (turns * 2 * math.pi))
            / (2 * math.log(theta))
        )

    low = max(math.floor(dimension(rope.get("beta_fast", 32))), 0)
    high = min(math.ceil(dimension(rope.get("beta_slow", 1))), head_dim - 1)
    steps = torch.arange(head_dim // 2).float()
    stretch = ((steps - low) / max(high - low, 1e-3)).clamp(0, 1)
    return stretch * frequencies / rope["factor"] + (1 - stretch) * frequencies


class Decoder:
    def __init__(self, config, w):
        self.config, self.w = config, w
        self.heads = config["num_attention_heads"]
        self.key_heads = config.get("num_key_value_heads") or self.heads
        self.head_dim = config.get("head_dim") or config["hidden_size"] // self.heads
        self.eps = config.get("rms_norm_eps", 1e-6)

    def embed(self, ids):
        return self.w["decoder.embed_tokens.weight"][ids]

    def __call__(self, x, prompt_length=None):
        """x [T,H] -> (logits [T,V], output of each layer). The first prompt_length (None: all) tokens came at once."""
        length = x.shape[0]
        seen = self._lengths_seen(length, prompt_length or length)
        ropes = [rope_frequencies(self.config, n, self.head_dim) for n in seen]
        frequencies, scale = torch.stack([f for f, _ in ropes]), ropes[0][1]
        angles = torch.arange(length).to(x.dtype)[:, None] * frequencies.to(x.dtype)
        self.cos, self.sin = angles.cos() * scale, angles.sin() * scale
        mask = torch.ones(length, length, dtype=torch.bool).tril()
        layers = []
        for i in range(self.config["num_hidden_layers"]):
            x = self._layer(f"decoder.layers.{i}.", x, mask)
            layers.append(x)
        head = self.w.get("head.weight", self.w["decoder.embed_tokens.weight"])
        return self._norm("decoder.norm", x) @ head.T, layers

    @staticmethod
    def _lengths_seen(length, prompt_length):
        """For each token the length when it was computed: the whole prompt's, then one more at each step."""
        return [max(position + 1, prompt_length) for position in range(length)]

    def _norm(self, name, x):
        return x / torch.sqrt((x * x).mean(-1, keepdim=True) + self.eps) * self.w[name + ".weight"]

    def _rotate(self, x, heads):
        """Pairs (j, j + d/2) of each head turn by position * frequency j."""
        x = x.reshape(x.shape[0], heads, 2, self.head_dim // 2)
        first, second, cos, sin = x[:, :, 0], x[:, :, 1], self.cos[:, None], self.sin[:, None]
        return torch.stack([first * cos - second * sin, second * cos + first * sin], dim=2).flatten(
            2
        )

    def _layer(self, p, x, mask):
        w = self.w
        y = self._norm(p + "input_layernorm", x)
        q = self._rotate(linear(w, p + "self_attn.q_proj", y), self.heads).flatten(1)
        k = self._rotate(linear(w, p + "self_attn.k_proj", y), self.key_heads)
        v = linear(w, p + "self_attn.v_proj", y).reshape(k.shape)
        share = [
            h * self.key_heads // self.heads for h in range(self.heads)
        ]  # the key head of each query head
        mixed = attention(q, k[:, share].flatten(1), v[:, share].flatten(1), self.heads, mask)
        x = x + linear(w, p + "self_attn.o_proj", mixed)
        y = self._norm(p + "post_attention_layernorm", x)
        gate = ACTIVATIONS[self.config.get("hidden_act", "silu")](linear(w, p + "mlp.gate_proj", y))
        return x + linear(w, p + "mlp.down_proj", gate * linear(w, p + "mlp.up_proj", y))


class Tower:
    """CLIP (llava) and EVA (instructblip) vision transformers; the second has one fused qkv and a bias on the patches."""

    def __init__(self, config, w, clip):
        self.config, self.w, self.clip = config, w, clip
        self.eps = config.get("layer_norm_eps", 1e-5 if clip else 1e-6)
        self.act = ACTIVATIONS[config.get("hidden_act", "quick_gelu" if clip else "gelu")]

    def __call__(self, pixels):
        """pixels [3,h,w] -> [embeddings, block outputs...], each [patches + 1, D]."""
        states = [self._embed(pixels)]
        for i in range(self.config["num_hidden_layers"]):
            states.append(self._block(f"vision.encoder.layers.{i}.", states[-1]))
        return states

    def final(self, x):
        return layer_norm(self.w, "vision.post_layernorm", x, self.eps)

    def _embed(self, pixels):
        p, w = self.config["patch_size"], self.w
        rows, columns = pixels.shape[1] // p, pixels.shape[2] // p
        patches = (
            pixels.reshape(3, rows, p, columns, p)
            .permute(1, 3, 0, 2, 4)
            .reshape(rows * columns, -1)
        )
        name = "vision.embeddings."
        x = patches @ w[name + "patch_embedding.weight"].flatten(1).T
        if not self.clip:
            x = x + w[name + "patch_embedding.bias"]
        x = torch.cat([w[name + "class_embedding"].reshape(1, -1), x])
        positions = w[name + ("position_embedding.weight" if self.clip else "position_embedding")]
        x = x + positions.reshape(x.shape)
        return layer_norm(w, "vision.pre_layrnorm", x, self.eps) if self.clip else x

    def _block(self, p, x):
        w, heads = self.w, self.config["num_attention_heads"]
        y = layer_norm(w, p + "layer_norm1", x, self.eps)
        q, k, v = self._qkv(p + "self_attn.", y)
        x = x + linear(
            w,
            p + "self_attn." + ("out_proj" if self.clip else "projection"),
            attention(q, k, v, heads),
        )
        y = layer_norm(w, p + "layer_norm2", x, self.eps)
        return x + linear(w, p + "mlp.fc2", self.act(linear(w, p + "mlp.fc1", y)))

    def _qkv(self, p, y):
        if self.clip:
            return [linear(self.w, p + n + "_proj", y) for n in "qkv"]
        q, k, v = linear(self.w, p + "qkv", y).chunk(3, dim=-1)
        if p + "q_bias" in self.w:
            q, v = q + self.w[p + "q_bias"], v + self.w[p + "v_bias"]
        return q, k, v


class QFormer:
    def __init__(self, config, w):
        self.config, self.w = config, w
        self.eps = config.get("layer_norm_eps", 1e-12)

    def __call__(self, queries, ids, image):
        """queries [Q,D], ids [L], image [N,Di] -> (embeddings, layer outputs), each [Q+L,D]."""
        w, e = self.w, "qformer.embeddings."
        text = (
            w[e + "word_embeddings.weight"][ids] + w[e + "position_embeddings.weight"][: len(ids)]
        )
        x = layer_norm(w, e + "layernorm", torch.cat([queries, text]), self.eps)
        embeddings, layers = x, []
        for i in range(self.config["num_hidden_layers"]):
            x = self._layer(i, x, len(queries), image)
            layers.append(x)
        return embeddings, layers

    def _attend(self, p, x, context):
        q, k, v = (
            linear(self.w, p + "attention." + n, t)
            for n, t in (("query", x), ("key", context), ("value", context))
        )
        out = linear(
            self.w, p + "output.dense", attention(q, k, v, self.config["num_attention_heads"])
        )
        return layer_norm(self.w, p + "output.LayerNorm", out + x, self.eps)

    def _feed_forward(self, p, suffix, x):
        y = gelu(linear(self.w, p + f"intermediate{suffix}.dense", x))
        return layer_norm(
            self.w,
            p + f"output{suffix}.LayerNorm",
            linear(self.w, p + f"output{suffix}.dense", y) + x,
            self.eps,
        )

    def _layer(self, i, x, queries, image):
        p = f"qformer.encoder.layer.{i}."
        x = self._attend(p + "attention.", x, x)
        query, text = x[:queries], x[queries:]
        if i % self.config.get("cross_attention_frequency", 2) == 0:
            query = self._attend(p + "crossattention.", query, image)
        return torch.cat([self._feed_forward(p, "_query", query), self._feed_forward(p, "", text)])
