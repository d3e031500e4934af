"""The eyes: ViT, instruction-aware Q-Former and projection, with the tensor names of the
`instructblip` layout of Hugging Face transformers (so a state dict is the checkpoint).

Written as plain modules because training wants what the library's do not offer: the patch
convolution as one matrix product, many questions per picture in one pass, and whole-bfloat16
arithmetic with float32 master weights in the optimiser.
"""

import os
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

VISION = {"hidden_size": 192, "intermediate_size": 768, "num_hidden_layers": 6,
          "num_attention_heads": 3, "image_size": 96, "patch_size": 8, "layer_norm_eps": 1e-6}
QFORMER = {"hidden_size": 256, "intermediate_size": 1024, "num_hidden_layers": 6,
           "num_attention_heads": 4, "cross_attention_frequency": 2,
           "max_position_embeddings": 128, "layer_norm_eps": 1e-12}
NUM_QUERIES = 16
TEXT_HIDDEN = 576
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


def attention(q, k, v, heads: int, bias=None, seen: list | None = None):
    """q [b, n, d], k and v [b, m, d]; bias is added to the scores, [b, 1, 1, m]. The weights
    [b, heads, n, m] are appended to `seen`."""
    b, n, d = q.shape
    q = q.view(b, n, heads, d // heads).transpose(1, 2) * (d // heads) ** -0.5
    k = k.view(b, -1, heads, d // heads).transpose(1, 2)
    v = v.view(b, -1, heads, d // heads).transpose(1, 2)
    scores = q @ k.transpose(-1, -2)
    if bias is not None:
        scores = scores + bias
    weights = scores.softmax(-1)
    if seen is not None:
        seen.append(weights)
    return (weights @ v).transpose(1, 2).reshape(b, n, d)


# ---- ViT ----------------------------------------------------------------------------------------

class VitAttention(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.heads = c["num_attention_heads"]
        self.qkv = nn.Linear(c["hidden_size"], 3 * c["hidden_size"])
        self.projection = nn.Linear(c["hidden_size"], c["hidden_size"])

    def forward(self, x):
        return self.projection(attention(*self.qkv(x).chunk(3, -1), self.heads))


class Mlp(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.fc1 = nn.Linear(c["hidden_size"], c["intermediate_size"])
        self.fc2 = nn.Linear(c["intermediate_size"], c["hidden_size"])

    def forward(self, x):
        return self.fc2(F.gelu(self.fc1(x)))


class VitLayer(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.self_attn = VitAttention(c)
        self.layer_norm1 = nn.LayerNorm(c["hidden_size"], c["layer_norm_eps"])
        self.mlp = Mlp(c)
        self.layer_norm2 = nn.LayerNorm(c["hidden_size"], c["layer_norm_eps"])

    def forward(self, x):
        x = x + self.self_attn(self.layer_norm1(x))
        return x + self.mlp(self.layer_norm2(x))


class VitEmbeddings(nn.Module):
    def __init__(self, c):
        super().__init__()
        d, p = c["hidden_size"], c["patch_size"]
        self.patch = p
        self.class_embedding = nn.Parameter(torch.randn(1, 1, d) * 0.02)
        self.patch_embedding = nn.Conv2d(3, d, p, p)
        patches = (c["image_size"] // p) ** 2
        self.position_embedding = nn.Parameter(torch.randn(1, patches + 1, d) * 0.02)

    def forward(self, pixels):
        """pixels [b, 3, h, w]; the stride equals the kernel, so unfolding gives the convolution."""
        b, _, h, w = pixels.shape
        p = self.patch
        cells = pixels.view(b, 3, h // p, p, w // p, p).permute(0, 2, 4, 1, 3, 5)
        weight = self.patch_embedding.weight.flatten(1)
        x = F.linear(cells.reshape(b, -1, 3 * p * p), weight, self.patch_embedding.bias)
        return torch.cat([self.class_embedding.expand(b, -1, -1), x], 1) + self.position_embedding


class VisionModel(nn.Module):
    def __init__(self, c=VISION):
        super().__init__()
        self.embeddings = VitEmbeddings(c)
        self.encoder = nn.Module()
        self.encoder.layers = nn.ModuleList(VitLayer(c) for _ in range(c["num_hidden_layers"]))
        self.post_layernorm = nn.LayerNorm(c["hidden_size"], c["layer_norm_eps"])

    def forward(self, pixels, also: int | None = None):
        """Normalised pixels [b, 3, 96, 96] -> [b, 145, 192], the class token first; with `also`
        the output of that many layers comes second."""
        x, between = self.embeddings(pixels), None
        for i, layer in enumerate(self.encoder.layers):
            x = layer(x)
            between = x if i + 1 == also else between
        x = self.post_layernorm(x)
        return x if also is None else (x, between)


def normalise(images) -> torch.Tensor:
    """uint8 [b, h, w, 3] -> float32 [b, 3, h, w] as BlipImageProcessor does it."""
    x = torch.as_tensor(images).permute(0, 3, 1, 2).float() / 255
    mean, std = torch.tensor(CLIP_MEAN), torch.tensor(CLIP_STD)
    return ((x - mean[:, None, None]) / std[:, None, None]).contiguous()


# ---- Q-Former -----------------------------------------------------------------------------------

class BertAttention(nn.Module):
    """Self- or cross-attention with BERT's names and its LayerNorm after the residual."""

    def __init__(self, c, source: int):
        super().__init__()
        d = c["hidden_size"]
        self.heads = c["num_attention_heads"]
        self.attention = nn.Module()
        self.attention.query = nn.Linear(d, d)
        self.attention.key = nn.Linear(source, d)
        self.attention.value = nn.Linear(source, d)
        self.output = nn.Module()
        self.output.dense = nn.Linear(d, d)
        self.output.LayerNorm = nn.LayerNorm(d, c["layer_norm_eps"])

    def forward(self, x, source, bias=None, seen=None):
        a = self.attention
        y = attention(a.query(x), a.key(source), a.value(source), self.heads, bias, seen)
        return self.output.LayerNorm(x + self.output.dense(y))


class Dense(nn.Module):
    def __init__(self, a, b):
        super().__init__()
        self.dense = nn.Linear(a, b)


class DenseNorm(Dense):
    def __init__(self, a, b, eps):
        super().__init__(a, b)
        self.LayerNorm = nn.LayerNorm(b, eps)


class QFormerLayer(nn.Module):
    def __init__(self, c, index: int, encoder_hidden: int):
        super().__init__()
        d, f, eps = c["hidden_size"], c["intermediate_size"], c["layer_norm_eps"]
        self.attention = BertAttention(c, d)
        if index % c["cross_attention_frequency"] == 0:
            self.crossattention = BertAttention(c, encoder_hidden)
        self.intermediate, self.output = Dense(d, f), DenseNorm(f, d, eps)
        self.intermediate_query, self.output_query = Dense(d, f), DenseNorm(f, d, eps)

    def forward(self, x, bias, picture, queries: int, per_picture: int, seen: list):
        x = self.attention(x, x, bias)
        q, t = x[:, :queries], x[:, queries:]
        if hasattr(self, "crossattention"):
            # All questions of one picture look at it together, so its keys are made once.
            b, n, d = q.shape
            q = self.crossattention(q.reshape(b // per_picture, per_picture * n, d), picture,
                                    seen=seen)
            q = q.reshape(b, n, d)
        q = self.output_query.LayerNorm(
            q + self.output_query.dense(F.gelu(self.intermediate_query.dense(q))))
        t = self.output.LayerNorm(t + self.output.dense(F.gelu(self.intermediate.dense(t))))
        return torch.cat([q, t], 1)


class QFormer(nn.Module):
    def __init__(self, vocabulary: int, c=QFORMER, encoder_hidden=VISION["hidden_size"]):
        super().__init__()
        d = c["hidden_size"]
        self.embeddings = nn.Module()
        self.embeddings.word_embeddings = nn.Embedding(vocabulary, d, padding_idx=0)
        self.embeddings.position_embeddings = nn.Embedding(c["max_position_embeddings"], d)
        self.embeddings.layernorm = nn.LayerNorm(d, c["layer_norm_eps"])
        self.encoder = nn.Module()
        self.encoder.layer = nn.ModuleList(QFormerLayer(c, i, encoder_hidden)
                                           for i in range(c["num_hidden_layers"]))

    def forward(self, query_tokens, ids, mask, picture, per_picture: int):
        """ids and mask [b, t]; picture [b / per_picture, p, encoder hidden] -> the query states
        [b, queries, d] after each layer, and how each cross-attention looked at the picture,
        [b / per_picture, heads, per_picture * queries, p]."""
        b, t = ids.shape
        e = self.embeddings
        text = e.word_embeddings(ids) + e.position_embeddings.weight[:t]
        queries = query_tokens.shape[1]
        x = e.layernorm(torch.cat([query_tokens.expand(b, -1, -1), text], 1))
        seen = torch.cat([mask.new_ones(b, queries), mask], 1)
        bias = ((1 - seen.to(x.dtype)) * -1e4)[:, None, None, :]
        states, seen = [], []
        for layer in self.encoder.layer:
            x = layer(x, bias, picture, queries, per_picture, seen)
            states.append(x[:, :queries])
        return states, seen


class Eyes(nn.Module):
    """Everything this package trains; its state dict is models/saccade-eyes/eyes.safetensors."""

    def __init__(self, vocabulary: int):
        super().__init__()
        self.vision_model = VisionModel()
        self.query_tokens = nn.Parameter(torch.randn(1, NUM_QUERIES, QFORMER["hidden_size"]) * 0.02)
        self.qformer = QFormer(vocabulary)
        self.language_projection = nn.Linear(QFORMER["hidden_size"], TEXT_HIDDEN)

    def look(self, picture, ids, mask, per_picture: int):
        """ViT output and questions -> (query states after each layer, cross-attention weights,
        visual tokens)."""
        states, seen = self.qformer(self.query_tokens, ids, mask, picture, per_picture)
        return states, seen, self.language_projection(states[-1])


def initialise(module: nn.Module) -> None:
    for m in module.modules():
        if isinstance(m, (nn.Linear, nn.Conv2d)):
            fan_in = m.weight[0].numel()
            nn.init.trunc_normal_(m.weight, std=min(0.05, fan_in ** -0.5 * 0.6))
            nn.init.zeros_(m.bias)
        elif isinstance(m, nn.Embedding):
            nn.init.normal_(m.weight, std=0.02)


# ---- training in bfloat16 -----------------------------------------------------------------------

class MasterAdam:
    """AdamW on float32 copies of bfloat16 parameters; each group's gradient is clipped alone."""

    def __init__(self, groups, weight_decay=0.02, betas=(0.9, 0.98)):
        """groups: list of (list of parameters, learning-rate factor)."""
        self.pairs, self.clipped, options = [], [], []
        for parameters, factor in groups:
            masters = [p.detach().float().clone() for p in parameters]
            self.pairs += list(zip(parameters, masters))
            self.clipped.append(masters)
            for wide in (True, False):
                part = [m for m in masters if (m.ndim > 1) == wide]
                if part:
                    options.append({"params": part, "factor": factor,
                                    "weight_decay": weight_decay if wide else 0.0})
        self.adam = torch.optim.AdamW(options, lr=1e-3, betas=betas, fused=True)

    def step(self, lr: float, clip=1.0) -> float:
        for p, m in self.pairs:
            m.grad = None if p.grad is None else p.grad.float()
            p.grad = None
        norms = []
        for masters in self.clipped:
            some = [m for m in masters if m.grad is not None]
            norms.append(torch.nn.utils.clip_grad_norm_(some, clip) if some else torch.zeros(()))
        for group in self.adam.param_groups:
            group["lr"] = lr * group["factor"]
        norm = norms[0]
        if torch.isfinite(torch.stack(norms)).all():
            self.adam.step()
            torch._foreach_copy_([p.data for p, _ in self.pairs], [m for _, m in self.pairs])
        return float(norm)


def schedule(step: int, total: int, peak: float, warm: int = 300, floor: float = 0.03) -> float:
    """Linear warm-up, then a straight line down to floor * peak."""
    if step < warm:
        return peak * (step + 1) / warm
    return peak * max(floor, 1 - (step - warm) / max(1, total - warm))


def save(path: Path, value: dict) -> None:
    """Written whole or not at all."""
    part = Path(path).with_suffix(".part")
    torch.save(value, part)
    os.replace(part, path)
