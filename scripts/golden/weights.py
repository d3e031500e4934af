"""Re-initialisation: every tensor gets values that reach the logits.

The defaults of the library hide bugs: query tokens 0, vision weights 1e-10, norm weights 1, biases 0.
Each tensor is drawn from a generator seeded by its own name, so adding one does not change the others.
"""

import re
import zlib

import torch

NORM = re.compile(r"(layer_?norm\d?|layrnorm|LayerNorm|(^|\.|q_|k_)norm(\d?|_\w)|ln_q|[qk]_ln|(^|\.)ln(_\w)?)\.weight$")
SUBLAYER_NORM = re.compile(r"post_(attention|feedforward)_layernorm\.weight$")
HALF = re.compile(
    r"(class_embedding|position_embeddings?(\.weight)?|embed_positions\.weight|query_tokens|latents)$"
)
EMBEDDING = re.compile(r"(embed_tokens|additional_embedding|word_embeddings|wte|embed_in)\.weight$")


def reinitialize(model, seed, byte_ids=()):
    """byte_ids: tokens of single bytes. Their head rows are scaled down, so that greedy text is mostly text."""
    tied = bool(getattr(model.config.get_text_config(), "tie_word_embeddings", False))
    gemma = model.config.get_text_config().model_type.startswith("gemma")
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            generator = torch.Generator().manual_seed(seed * 1000003 + zlib.crc32(name.encode()))
            values = torch.randn(parameter.shape, generator=generator, dtype=torch.float32)
            parameter.copy_(_scaled(name, values, tied))
            if gemma and NORM.search(name) and "vision" not in name:  # the factor is 1 + weight
                parameter -= 1
            if gemma and SUBLAYER_NORM.search(name):  # else a token's own embedding outweighs all
                parameter += 1.5
            if name.endswith(("lm_head.weight", "embed_out.weight")) and not tied:
                parameter[list(byte_ids)] *= 0.6


def _scaled(name, values, tied):
    if NORM.search(name):
        return 1 + 0.25 * values
    if name.endswith(".bias"):
        values = 0.25 * values
        if name.endswith("qkv.bias") and "visual." not in name:  # real files keep no key bias: the middle third is zero
            third = values.numel() // 3
            values[third : 2 * third] = 0
        return values
    if HALF.search(name):
        return 0.5 * values
    if "alpha_" in name:  # of a tanh: gates that are neither shut nor wide open
        return values
    if EMBEDDING.search(name):
        return values * (values.shape[1] ** -0.5 if tied else 1.0)
    fan_in = values[0].numel()
    return values * fan_in**-0.5
