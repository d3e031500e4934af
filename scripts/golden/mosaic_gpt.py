"""MosaicGPT, the code that MPT-1B was published with (mosaicml/llm-foundry before 0.1, models/mosaic_gpt), made of the
library's MPT.

It differs by norms of all queries and of all keys of a token behind the clipping, by fields that the library reads
over, and by its names.
"""

import json
import re

import torch
import transformers as hf
from safetensors.torch import load_file, save_file

NAMES = [
    (r"\.attn\.Wqkv\.(q_ln|k_ln)\.", r".attn.\1."),
    (r"\.attn\.Wqkv\.linear\.", r".attn.Wqkv."),
    (r"\.norm_([12])\.", r".ln_\1."),
    (r"\.norm_f\.", r".ln_f."),
    (r"\.ffn\.(up|down)_proj\.", r".mlp.mlp_\1."),
]


class NormedProjection(torch.nn.Module):
    """q | k | v of a token: clipped, then q and k normalised."""

    def __init__(self, linear, width, clip):
        super().__init__()
        self.linear, self.clip = linear, clip
        self.q_ln, self.k_ln = (torch.nn.LayerNorm(width, bias=False) for _ in range(2))

    def forward(self, x):
        q, k, v = self.linear(x).clamp(-self.clip, self.clip).chunk(3, dim=-1)
        return torch.cat([self.q_ln(q), self.k_ln(k), v], dim=-1)


class MosaicGptConfig(hf.MptConfig):
    """`published`: fields of the published class that the library's has not."""

    def __init__(self, published=None, **fields):
        super().__init__(**fields)
        self.published = published


class MosaicGpt(hf.MptForCausalLM):
    config_class = MosaicGptConfig

    def __init__(self, config):
        super().__init__(config)
        from transformers.models.mpt import modeling_mpt

        fields = config.published
        for block in self.transformer.blocks:
            block.attn.Wqkv = NormedProjection(block.attn.Wqkv, config.d_model, fields["attn_clip_qkv"])

        def biases(heads, length, device=None):
            return modeling_mpt.build_mpt_alibi_tensor(heads, length, fields["alibi_bias_max"], device)

        self.transformer.build_mpt_alibi_tensor = biases

    def forward(self, *rest, **named):
        out = super().forward(*rest, **named)
        out.logits = out.logits * self.config.published["logit_scale"]
        return out


def publish(folder):
    """A saved folder in the published names and fields."""
    path = folder / "config.json"
    config = json.loads(path.read_text())
    sizes = ("d_model", "n_heads", "n_layers", "max_seq_len", "vocab_size", "bos_token_id", "eos_token_id")
    published = {
        "model_type": "mosaic_gpt",
        "architectures": ["MosaicGPT"],
        **{key: config[key] for key in sizes},
        "mlp_ratio": 4,
        "attn_qk_ln": True,
        "alibi": True,
        "no_bias": True,
        **config["published"],
    }
    path.write_text(json.dumps(published, indent=2, sort_keys=True) + "\n")
    tensors = load_file(folder / "model.safetensors")
    for pattern, name in NAMES:
        tensors = {re.sub(pattern, name, old): tensor for old, tensor in tensors.items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
