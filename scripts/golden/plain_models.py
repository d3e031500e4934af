"""The families written from their formulas with plain torch operations.

Independent of the reference library on purpose: it shares no code with it and reads the files itself. Tensors have no
batch dimension; T tokens, H width. Weights are a dict from the name in memory (4.52 and later) to the tensor.
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
    name = re.sub(r"^(model\.)?(vision|image)_tower\.(vision_model\.)?", "vision.", name)
    name = re.sub(r"^(model\.)?video_tower\.(vision_model\.)?", "video.", name)
    name = re.sub(r"^vision_model\.", "vision.", name)
    name = re.sub(r"^(model\.)?multi_modal_projector\.", "projector.", name)
    name = re.sub(r"^(model\.)?image_newline$", "newline", name)
    name = re.sub(r"^(language_model\.)?(lm_head|embed_out)\.", "head.", name)
    name = re.sub(r"^(language_model\.)?(transformer|gpt_neox)\.", "decoder.", name)
    name = re.sub(r"^decoder\.(wte|embed_in)\.", "decoder.embed_tokens.", name)
    name = re.sub(r"^decoder\.blocks\.", "decoder.layers.", name)
    name = re.sub(r"^(language_model\.model|model\.language_model|model)\.", "decoder.", name)
    return name.replace("decoder.decoder.", "decoder.", 1)  # OPT


def linear(w, name, x):
    y = x @ w[name + ".weight"].T
    return y + w[name + ".bias"] if name + ".bias" in w else y


def layer_norm(w, name, x, eps):
    mean = x.mean(-1, keepdim=True)
    variance = ((x - mean) ** 2).mean(-1, keepdim=True)
    y = (x - mean) / torch.sqrt(variance + eps) * w[name + ".weight"]
    return y + w[name + ".bias"] if name + ".bias" in w else y


def gelu(x):
    return x * 0.5 * (1 + torch.erf(x / math.sqrt(2)))


def tanh_gelu(x):
    return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


ACTIVATIONS = {
    "gelu": gelu,
    "gelu_pytorch_tanh": tanh_gelu,
    "relu": lambda x: x.clamp(min=0),
    "quick_gelu": lambda x: x / (1 + torch.exp(-1.702 * x)),
    "silu": lambda x: x / (1 + torch.exp(-x)),
}


def attention(q, k, v, heads, mask=None, scale=None, cap=None, bias=0):
    """q [Tq,heads*d], k and v [Tk,heads*d] -> [Tq,heads*d]. bias: [heads,Tq,Tk]."""
    q, k, v = (t.reshape(t.shape[0], heads, -1).transpose(0, 1) for t in (q, k, v))
    scores = soft_cap(q @ k.transpose(1, 2) * (scale or q.shape[-1] ** -0.5), cap) + bias
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    exponents = torch.exp(scores - scores.amax(-1, keepdim=True))
    return (exponents / exponents.sum(-1, keepdim=True) @ v).transpose(0, 1).flatten(1)


def soft_cap(x, cap):
    return cap * torch.tanh(x / cap) if cap else x


def rope_frequencies(config, length, head_dim):
    """(inverse frequencies float32 [rotated/2], factor on cos and sin) for a sequence of `length` tokens."""
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    theta = rope.get("rope_theta", config.get("rope_theta", 10000.0))
    kind, factor = rope.get("rope_type", rope.get("type", "default")), rope.get("factor", 1.0)
    part = rope.get("partial_rotary_factor", config.get("partial_rotary_factor", 1.0))
    head_dim = int(head_dim * part)
    exponent = torch.arange(0, head_dim, 2, dtype=torch.int64).float() / head_dim
    limit = config.get("max_position_embeddings", 2048)
    if kind == "dynamic" and length > limit:
        theta = theta * (factor * length / limit - (factor - 1)) ** (head_dim / (head_dim - 2))
    frequencies = 1.0 / theta**exponent
    if kind == "longrope":
        original = config["original_max_position_embeddings"]
        divisors = rope["long_factor" if length > original else "short_factor"]
        scale = math.sqrt(1 + math.log(limit / original) / math.log(original))
        return 1.0 / (torch.tensor(divisors) * theta**exponent), scale
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
    """Dimensions that turn more than beta_fast times in the original length are kept, less than beta_slow
    interpolated."""

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
    """All decoders: which they are is read from the config, what they have from the weights."""

    def __init__(self, config, w):
        self.config, self.w = config, w
        self.type = config.get("model_type", "llama")
        self.heads = config["num_attention_heads"]
        self.key_heads = config.get("num_key_value_heads") or self.heads
        self.head_dim = config.get("head_dim") or config["hidden_size"] // self.heads
        self.eps = config.get("rms_norm_eps", 1e-6)
        self.scale = config.get("query_pre_attn_scalar", self.head_dim) ** -0.5
        self.cap = config.get("attn_logit_softcapping") if self.type == "gemma2" else None
        self.logit_cap = config.get("final_logit_softcapping")

    def embed(self, ids):
        scale = self.config["hidden_size"] ** 0.5 if self.type == "gemma3_text" else 1
        return self.w["decoder.embed_tokens.weight"][ids] * scale

    def __call__(self, x, prompt_length=None):
        """x [T,H] -> (logits [T,V], output of each layer). The first prompt_length (None: all) tokens came at once."""
        length = x.shape[0]
        seen = self._lengths_seen(length, prompt_length or length)
        x = self._enter(x)
        layers = []
        for i in range(self.config["num_hidden_layers"]):
            self.cos, self.sin = self._turns(self._rope(i), seen, x.dtype)
            x = self._layer(f"decoder.layers.{i}.", x, self._mask(i, length))
            layers.append(x)
        x = self._leave(x)
        head = self.w.get("head.weight", self.w["decoder.embed_tokens.weight"])
        return soft_cap(x @ head.T, self.logit_cap), layers

    def _enter(self, x):
        if self.type == "gemma2":
            x = x * self.config["hidden_size"] ** 0.5
        if "decoder.project_in.weight" in self.w:
            x = linear(self.w, "decoder.project_in", x)
        if self.type == "opt":
            x = x + self.w["decoder.embed_positions.weight"][2 : 2 + x.shape[0]]
        return x

    def _leave(self, x):
        if self.type != "opt":
            return self._norm("decoder.norm", x)
        if "decoder.final_layer_norm.weight" in self.w:
            x = self._norm("decoder.final_layer_norm", x)
        return linear(self.w, "decoder.project_out", x) if "decoder.project_out.weight" in self.w else x

    @staticmethod
    def _lengths_seen(length, prompt_length):
        """For each token the length when it was computed: the whole prompt's, then one more at each step."""
        return [max(position + 1, prompt_length) for position in range(length)]

    def _slides(self, i):
        types = self.config.get("layer_types")
        if types:
            return types[i] == "sliding_attention"
        if self.type.startswith("gemma"):
            return (i + 1) % self.config.get("sliding_window_pattern", 2) != 0
        if self.type.startswith("qwen"):
            return self.config["use_sliding_window"] and i >= self.config["max_window_layers"]
        return bool(self.config.get("sliding_window"))

    def _mask(self, i, length):
        mask = torch.ones(length, length, dtype=torch.bool).tril()
        return mask.triu(1 - self.config["sliding_window"]) if self._slides(i) else mask

    def _rope(self, i):
        """The config whose rope layer i has."""
        both = self.config.get("rope_parameters") or {}
        if "full_attention" in both:
            return {"rope_parameters": both[self.config["layer_types"][i]]}
        if self._slides(i) and "rope_local_base_freq" in self.config:
            return {"rope_theta": self.config["rope_local_base_freq"]}
        return self.config

    def _turns(self, config, seen, dtype):
        """cos and sin [T, rotated/2]."""
        if self.type == "opt":
            return None, None
        if "original_max_position_embeddings" in config:  # longrope: by the length as it is now
            seen = [len(seen)] * len(seen)
        ropes = [rope_frequencies(config, n, self.head_dim) for n in seen]
        frequencies, scale = torch.stack([f for f, _ in ropes]), ropes[0][1]
        angles = torch.arange(len(seen)).to(dtype)[:, None] * frequencies.to(dtype)
        return angles.cos() * scale, angles.sin() * scale

    def _norm(self, name, x):
        weight = self.w[name + ".weight"]
        if self.type == "opt":
            return layer_norm(self.w, name, x, 1e-5)
        weight = 1 + weight if self.type.startswith("gemma") else weight
        return x / torch.sqrt((x * x).mean(-1, keepdim=True) + self.eps) * weight

    def _rotate(self, x, heads):
        """Pairs (j, j + d/2) of each head turn by position * frequency j; d dimensions turn."""
        x = x.reshape(x.shape[0], heads, -1)
        if self.cos is None:
            return x
        half, cos, sin = self.cos.shape[-1], self.cos[:, None], self.sin[:, None]
        first, second, rest = x[..., :half], x[..., half : 2 * half], x[..., 2 * half :]
        return torch.cat([first * cos - second * sin, second * cos + first * sin, rest], dim=-1)

    def _qkv(self, p, y):
        """q, k, v [T, heads, d], rotated."""
        w, p, d = self.w, p + "self_attn.", self.head_dim
        if p + "qkv_proj.weight" in w:
            sizes = [self.heads * d, self.key_heads * d, self.key_heads * d]
            q, k, v = linear(w, p + "qkv_proj", y).split(sizes, dim=-1)
        else:
            q, k, v = (linear(w, p + n + "_proj", y) for n in "qkv")
        if p + "q_norm.weight" in w:
            q = self._norm(p + "q_norm", q.unflatten(-1, (-1, d))).flatten(1)
            k = self._norm(p + "k_norm", k.unflatten(-1, (-1, d))).flatten(1)
        k = self._rotate(k, self.key_heads)
        return self._rotate(q, self.heads), k, v.reshape(k.shape)

    def _attend(self, p, y, mask):
        q, k, v = self._qkv(p, y)
        share = [
            h * self.key_heads // self.heads for h in range(self.heads)
        ]  # the key head of each query head
        k, v = k[:, share].flatten(1), v[:, share].flatten(1)
        mixed = attention(q.flatten(1), k, v, self.heads, mask, self.scale, self.cap)
        name = "out_proj" if self.type == "opt" else "o_proj"
        return linear(self.w, p + "self_attn." + name, mixed)

    def _mlp(self, p, y):
        w = self.w
        name = self.config.get("hidden_activation") or self.config.get("hidden_act", "silu")
        if self.type == "opt":
            act = ACTIVATIONS[self.config["activation_function"]]
            return linear(w, p + "fc2", act(linear(w, p + "fc1", y)))
        if p + "mlp.gate_up_proj.weight" in w:
            gate, up = linear(w, p + "mlp.gate_up_proj", y).chunk(2, dim=-1)
        else:
            gate, up = linear(w, p + "mlp.gate_proj", y), linear(w, p + "mlp.up_proj", y)
        return linear(w, p + "mlp.down_proj", ACTIVATIONS[name](gate) * up)

    def _layer(self, p, x, mask):
        if self.type == "opt" and not self.config["do_layer_norm_before"]:
            x = self._norm(p + "self_attn_layer_norm", x + self._attend(p, x, mask))
            return self._norm(p + "final_layer_norm", x + self._mlp(p, x))
        if self.type == "opt":
            x = x + self._attend(p, self._norm(p + "self_attn_layer_norm", x), mask)
            return x + self._mlp(p, self._norm(p + "final_layer_norm", x))
        mixed = self._attend(p, self._norm(p + "input_layernorm", x), mask)
        if self.type.startswith("gemma"):
            x = x + self._norm(p + "post_attention_layernorm", mixed)
            changed = self._mlp(p, self._norm(p + "pre_feedforward_layernorm", x))
            return x + self._norm(p + "post_feedforward_layernorm", changed)
        x = x + mixed
        return x + self._mlp(p, self._norm(p + "post_attention_layernorm", x))


class Tower:
    """CLIP, SigLIP and EVA (BLIP) vision transformers: names, class token and biases differ."""

    DEFAULT_ACT = {"clip": "quick_gelu", "siglip": "gelu_pytorch_tanh", "eva": "gelu"}

    def __init__(self, config, w, prefix="vision."):
        self.prefix = prefix
        kind = config.get("model_type", "clip_vision_model")
        self.kind = next((k for k in ("clip", "siglip") if kind.startswith(k)), "eva")
        self.config, self.w, self.clip = config, w, self.kind == "clip"
        self.eps = config.get("layer_norm_eps", 1e-5 if self.clip else 1e-6)
        self.act = ACTIVATIONS[config.get("hidden_act", self.DEFAULT_ACT[self.kind])]

    def __call__(self, pixels):
        """pixels [3,h,w] -> [embeddings, block outputs...], each [patches (+ 1), D]."""
        states = [self._embed(pixels)]
        for i in range(self.config["num_hidden_layers"]):
            states.append(self._block(f"{self.prefix}encoder.layers.{i}.", states[-1]))
        return states

    def final(self, x):
        return layer_norm(self.w, self.prefix + "post_layernorm", x, self.eps)

    def _embed(self, pixels):
        p, w = self.config["patch_size"], self.w
        rows, columns = pixels.shape[1] // p, pixels.shape[2] // p
        patches = (
            pixels[:, : rows * p, : columns * p]
            .reshape(3, rows, p, columns, p)
            .permute(1, 3, 0, 2, 4)
            .reshape(rows * columns, -1)
        )
        name = self.prefix + "embeddings."
        x = patches @ w[name + "patch_embedding.weight"].flatten(1).T
        if not self.clip:
            x = x + w[name + "patch_embedding.bias"]
        if self.kind != "siglip":
            x = torch.cat([w[name + "class_embedding"].reshape(1, -1), x])
        bare = self.kind == "eva"
        positions = w[name + ("position_embedding" if bare else "position_embedding.weight")]
        x = x + positions.reshape(x.shape)
        return layer_norm(w, self.prefix + "pre_layrnorm", x, self.eps) if self.clip else x

    def _block(self, p, x):
        w, heads = self.w, self.config["num_attention_heads"]
        y = layer_norm(w, p + "layer_norm1", x, self.eps)
        q, k, v = self._qkv(p + "self_attn.", y)
        x = x + linear(
            w,
            p + "self_attn." + ("projection" if self.kind == "eva" else "out_proj"),
            attention(q, k, v, heads),
        )
        y = layer_norm(w, p + "layer_norm2", x, self.eps)
        return x + linear(w, p + "mlp.fc2", self.act(linear(w, p + "mlp.fc1", y)))

    def _qkv(self, p, y):
        if self.kind != "eva":
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
        """queries [Q,D], ids [L] or None, image [N,Di] -> (embeddings, layer outputs), each [Q+L,D]."""
        w, e = self.w, "qformer.embeddings."
        if ids is None:  # BLIP-2
            embeddings = layer_norm(w, "qformer.layernorm", queries, self.eps)
            return embeddings, self._layers(embeddings, len(queries), image)
        text = (
            w[e + "word_embeddings.weight"][ids] + w[e + "position_embeddings.weight"][: len(ids)]
        )
        x = layer_norm(w, e + "layernorm", torch.cat([queries, text]), self.eps)
        return x, self._layers(x, len(queries), image)

    def _layers(self, x, queries, image):
        layers = []
        for i in range(self.config["num_hidden_layers"]):
            x = self._layer(i, x, queries, image)
            layers.append(x)
        return layers

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
        query = self._feed_forward(p, "_query", query)
        return torch.cat([query, self._feed_forward(p, "", text)]) if len(text) else query
