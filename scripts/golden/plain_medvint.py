"""MedVInT-TD written from its formulas, over the folder that the converter makes."""

import torch

from plain_models import attention, layer_norm, linear


def convolved(x, weight, bias, stride=1):
    """[C, h, w] -> [out, h / stride, w / stride]: a product with each neighbourhood, zeros around the picture."""
    reach = weight.shape[-1] // 2
    c, h, w = x.shape
    padded = x.new_zeros(c, h + 2 * reach, w + 2 * reach)
    padded[:, reach : reach + h, reach : reach + w] = x
    total = bias[:, None, None]
    for i in range(weight.shape[2]):
        for j in range(weight.shape[3]):
            shifted = padded[:, i : i + h, j : j + w][:, ::stride, ::stride]
            total = total + torch.einsum("oc,chw->ohw", weight[:, :, i, j], shifted)
    return total


def halved(x):
    """Means of two by two."""
    return (x[:, ::2, ::2] + x[:, 1::2, ::2] + x[:, ::2, 1::2] + x[:, 1::2, 1::2]) / 4


def resnet(config, w, x):
    """[3, S, S] -> [C, S / 16, S / 16]"""

    def conv(name, x, stride=1):
        return convolved(x, w[f"vision.{name}.weight"], w[f"vision.{name}.bias"], stride)

    for i, stride in ((0, 2), (1, 1), (2, 1)):
        x = conv(f"stem.{i}", x, stride).clamp(min=0)
    x = halved(x)
    for stage, blocks in enumerate(config["layers"]):
        for i in range(blocks):
            p, halves = f"layers.{stage}.{i}.", stage > 0 and i == 0
            y = conv(p + "conv2", conv(p + "conv1", x).clamp(min=0)).clamp(min=0)
            y = conv(p + "conv3", halved(y) if halves else y)
            beside = halved(x) if halves else x
            x = (y + (conv(p + "downsample", beside) if i == 0 else beside)).clamp(min=0)
    return x


def query_decoder(config, w, seen):
    """[patches, C] -> [queries, C]"""
    x, heads = w["query_decoder.queries"], config["num_attention_heads"]
    for i in range(config["num_hidden_layers"]):
        p = f"query_decoder.layers.{i}."
        q, k, v = linear(w, p + "self_attn.qkv", layer_norm(w, p + "norm1", x, 1e-5)).chunk(3, dim=-1)
        x = x + linear(w, p + "self_attn.out_proj", attention(q, k, v, heads))
        q = linear(w, p + "cross_attn.q_proj", layer_norm(w, p + "norm2", x, 1e-5))
        k, v = linear(w, p + "cross_attn.kv_proj", seen).chunk(2, dim=-1)
        x = x + linear(w, p + "cross_attn.out_proj", attention(q, k, v, heads))
        hidden = linear(w, p + "linear1", layer_norm(w, p + "norm3", x, 1e-5)).clamp(min=0)
        x = x + linear(w, p + "linear2", hidden)
    return layer_norm(w, "query_decoder.norm", x, 1e-5)


def pictures(model, pixels):
    """Stages of all pictures."""
    rows = []
    for picture in pixels.to(model.dtype):
        seen = resnet(model.config["vision_config"], model.w, picture).flatten(1).T
        gathered = query_decoder(model.config["query_config"], model.w, seen)
        rows.append(linear(model.w, "projector.linear_2", linear(model.w, "projector.linear_1", gathered).clamp(min=0)))
    return {"connector": torch.stack(rows)}
