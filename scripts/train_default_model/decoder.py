"""The frozen language model for stages 2 and 3: gradients only for its inputs.

A plain rewrite of the LLaMA forward pass that folds the norms' weights into the matrices behind
them, joins q/k/v and gate/up and shares key heads without copying: the library's modules spend
half of their time on one core in elementwise work. `python decoder.py DIR` compares it with
transformers.
"""

import json
import sys
from pathlib import Path

import torch
from torch.nn import functional as F

IGNORE = -100


class RootMeanSquare(torch.autograd.Function):
    """x / rms(x) without a weight, in few passes over the rows."""

    @staticmethod
    def forward(ctx, x, eps):
        size = x.shape[-1]
        norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=torch.float32)
        scale = torch.rsqrt(norm.square() / size + eps)
        ctx.save_for_backward(x, scale)
        return x * scale.to(x.dtype)

    @staticmethod
    def backward(ctx, gradient):
        x, scale = ctx.saved_tensors
        along = (gradient * x).sum(-1, keepdim=True, dtype=torch.float32) / x.shape[-1]
        inner = torch.addcmul(gradient, x, (along * scale.square()).to(x.dtype), value=-1)
        return inner.mul_(scale.to(x.dtype)), None


class Layer:
    def __init__(self, read, prefix: str):
        def folded(names, norm):
            weight = torch.cat([read(f"{prefix}.{n}.weight") for n in names])
            weight_type, weight = weight.dtype, weight.float()
            return (weight * read(f"{prefix}.{norm}.weight").float()).to(weight_type).contiguous()
        self.qkv = folded([f"self_attn.{x}_proj" for x in "qkv"], "input_layernorm")
        self.out = read(f"{prefix}.self_attn.o_proj.weight")
        self.gate_up = folded(["mlp.gate_proj", "mlp.up_proj"], "post_attention_layernorm")
        self.down = read(f"{prefix}.mlp.down_proj.weight")


class Decoder:
    def __init__(self, folder: Path, dtype=torch.bfloat16):
        from safetensors.torch import load_file
        from tokenizers import Tokenizer

        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        config = json.loads((folder / "config.json").read_text())
        weights = {k: v.to(dtype) for k, v in load_file(folder / "model.safetensors").items()}
        self.embedding = weights["model.embed_tokens.weight"]
        self.norm = weights["model.norm.weight"]
        self.layers = [Layer(weights.__getitem__, f"model.layers.{i}")
                       for i in range(config["num_hidden_layers"])]
        self.heads, self.kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
        self.head_dim, self.eps = config["head_dim"], config["rms_norm_eps"]
        self.theta = config["rope_theta"]

    def rotary(self, length: int) -> tuple:
        step = torch.arange(0, self.head_dim, 2, dtype=torch.float32) / self.head_dim
        angles = torch.arange(length, dtype=torch.float32)[:, None] * self.theta ** -step
        dtype = self.embedding.dtype
        return angles.cos()[:, None].to(dtype), angles.sin()[:, None].to(dtype)

    def attend(self, qkv, rotary, mask):
        """qkv [b, t, (heads + 2 kv) * d] -> [b, t, heads * d]; each group of queries shares its
        key head without copying it."""
        b, t, _ = qkv.shape
        d, groups = self.head_dim, self.heads // self.kv_heads
        x = qkv.view(b, t, -1, d)
        turned, v = x[:, :, :self.heads + self.kv_heads], x[:, :, self.heads + self.kv_heads:]
        first, second = turned.chunk(2, -1)
        cos, sin = rotary
        turned = torch.cat([first * cos - second * sin, second * cos + first * sin], -1)
        q = turned[:, :, :self.heads].view(b, t, self.kv_heads, groups, d)
        q = q.permute(0, 2, 3, 1, 4).reshape(b, self.kv_heads, groups * t, d) * d ** -0.5
        k = turned[:, :, self.heads:].permute(0, 2, 3, 1)
        scores = (q @ k).view(b, self.kv_heads, groups, t, t) + mask
        mixed = scores.softmax(-1).view(b, self.kv_heads, groups * t, t) @ v.transpose(1, 2)
        return mixed.view(b, self.heads, t, d).transpose(1, 2).reshape(b, t, -1)

    def hidden(self, inputs):
        """Input embeddings [b, t, h] -> last hidden states before the final norm's weight."""
        x, t = inputs, inputs.shape[1]
        rotary = self.rotary(t)
        mask = torch.full((t, t), -1e9, dtype=x.dtype).triu(1)
        for layer in self.layers:
            a = self.attend(F.linear(RootMeanSquare.apply(x, self.eps), layer.qkv), rotary, mask)
            x = x + F.linear(a, layer.out)
            gate, up = F.linear(RootMeanSquare.apply(x, self.eps), layer.gate_up).chunk(2, -1)
            x = x + F.linear(F.silu(gate) * up, layer.down)
        return RootMeanSquare.apply(x, self.eps)

    def logits(self, hidden):
        return F.linear(hidden * self.norm, self.embedding).float()

    def batch(self, pairs) -> tuple:
        """(prompt, answer) pairs -> ids and labels [b, t], padded on the right."""
        rows = []
        for text, answer in pairs:
            given = self.tokenizer.encode(text).ids
            wanted = self.tokenizer.encode(answer + "<|im_end|>").ids
            rows.append((given + wanted, [IGNORE] * len(given) + wanted))
        longest = max(len(ids) for ids, _ in rows)
        ids = torch.zeros(len(rows), longest, dtype=torch.long)
        labels = torch.full_like(ids, IGNORE)
        for i, (row, label) in enumerate(rows):
            ids[i, :len(row)], labels[i, :len(row)] = torch.tensor(row), torch.tensor(label)
        return ids, labels

    def loss(self, tokens, pairs) -> tuple:
        """Mean over the questions of their answer's loss; and per question whether every token of
        the answer was the most likely one."""
        ids, labels = self.batch(pairs)
        inputs = torch.cat([tokens, F.embedding(ids, self.embedding)], 1)
        hidden = self.hidden(inputs)[:, tokens.shape[1] - 1:-1]
        where = labels != IGNORE
        logits = self.logits(hidden[where])
        wanted, owner = labels[where], where.nonzero()[:, 0]
        each = F.cross_entropy(logits, wanted, reduction="none")
        share = 1 / where.sum(1).float().sqrt()  # long captions count more than short answers
        wrong = torch.zeros(len(pairs)).index_add_(
            0, owner, (logits.argmax(-1) != wanted).float())
        return (each * share[owner]).sum() / len(pairs), wrong == 0


def main() -> None:
    from transformers import AutoModelForCausalLM

    folder = Path(sys.argv[1])
    ours = Decoder(folder)
    theirs = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    ids = torch.tensor([ours.tokenizer.encode("The capital of France is Paris, and of Spain").ids])
    with torch.no_grad():
        a = ours.logits(ours.hidden(F.embedding(ids, ours.embedding))).softmax(-1)
        b = theirs(ids).logits.softmax(-1)
    print(f"largest difference of a probability: {(a - b).abs().max():.4f}")


if __name__ == "__main__":
    main()
