#!/usr/bin/env python3
"""How far typical mistakes move the goldens: the plain models with one mistake built in at a time.

Prints a table of the largest change of the prefill logits and of any stage. Exits 1 when a mistake stays under 1e-5 in
every stage, that is, when the goldens would let it pass.
"""

import copy
import json
import math
import sys

import torch
from safetensors.torch import load_file

import plain_tiles
from plain_models import tanh_gelu
from second_opinion import ROOT, TOLERANCE, make_model

# A mistake is a function of (model, case record, golden tensors, key prefix); it may change all of them.


def config(section, key, value):
    def mistake(model, *_):
        (model.config[section] if section else model.config)[key] = value
        model.assemble()

    return mistake


def weights(pattern, change):
    def mistake(model, *_):
        names = [name for name in model.w if pattern in name]
        assert names, f"no weight {pattern}"
        for name in names:
            model.w[name] = change(model.w[name])

    return mistake


def attribute(part, name, value):
    return lambda model, *_: setattr(getattr(model, part), name, value)


def method(part, name, build):
    """build(part, original) makes the replacement."""

    def mistake(model, *_):
        owner = getattr(model, part)
        setattr(owner, name, build(owner, getattr(owner, name)))

    return mistake


def ids(change):
    """change(input_ids, visual rows of the one picture) -> (input_ids, position of the picture)."""

    def mistake(_model, case, *_):
        count = case["spans"][0][1] if case["spans"] else 0
        case["input_ids"], position = change(case["input_ids"], count)
        case["spans"] = [[position, count]] if count else []

    return mistake


def tensor(key, change):
    def mistake(_model, _case, golden, prefix):
        golden[prefix + key] = change(golden[prefix + key])

    return mistake


def quick_gelu(x):
    return x * torch.sigmoid(1.702 * x)


def interleaved(decoder, _original):
    def rotate(x, heads):
        x = x.reshape(x.shape[0], heads, decoder.head_dim // 2, 2)
        a, b, cos, sin = x[..., 0], x[..., 1], decoder.cos[:, None], decoder.sin[:, None]
        return torch.stack([a * cos - b * sin, b * cos + a * sin], dim=-1).flatten(2)

    return rotate


def tiled_key_heads(model, *_):
    """Query head h reads key head h mod n instead of h div g: the same as permuting the query heads of q and o."""
    d = model.decoder
    size = d.heads // d.key_heads
    order = [(h % d.key_heads) * size + h // d.key_heads for h in range(d.heads)]
    inverse = [order.index(h) for h in range(d.heads)]
    for name in [n for n in model.w if "self_attn.q_proj.weight" in n and n.startswith("decoder")]:
        out = name.replace("q_proj", "o_proj")
        q, o = model.w[name], model.w[out]
        model.w[name] = q.reshape(d.heads, d.head_dim, -1)[inverse].reshape(q.shape)
        model.w[out] = o.reshape(-1, d.heads, d.head_dim)[:, inverse].reshape(o.shape)


def bos_before_picture(ids_, count):
    return [ids_[count]] + ids_[:count] + ids_[count + 1 :], 1


def keep(_decoder, _original):
    return lambda x: x


def frequencies(split):
    """split(all frequencies of Pixtral's tower) -> (those of rows, those of columns)."""
    return lambda model, *_: setattr(model, "frequencies_of", split)


def qwen_spans(change):
    def mistake(_model, case, *_):
        case["spans"] = [change(span) for span in case["spans"]]

    return mistake


def no_key_bias(bias):
    third = len(bias) // 3
    return torch.cat([bias[:third], ZERO(bias[:third]), bias[2 * third :]])


def with_rms_eps(eps):
    def mistake(model, *_):
        def norm(w, name, x, _eps):
            return x / torch.sqrt((x * x).mean(-1, keepdim=True) + eps) * w[name + ".weight"]

        model.norm = norm

    return mistake


def with_erf_gelu(model, *_):
    plain, tower = plain_tiles.gelu_tanh, model.tower

    def erf(tile):
        plain_tiles.gelu_tanh = lambda x: 0.5 * x * (1 + torch.erf(x / math.sqrt(2)))
        try:
            return tower(tile)
        finally:
            plain_tiles.gelu_tanh = plain

    model.tower = erf


def shuffled_by_columns(model, *_):
    """The patches of one visual token in column order: the same as permuting the projection's inputs."""
    name = "decoder.connector.modality_projection.proj.weight"
    scale = model.config["scale_factor"]
    out = model.w[name]
    model.w[name] = out.reshape(len(out), scale, scale, -1).transpose(1, 2).reshape(out.shape)


def looks_beyond_the_end_token(model, case, *_):
    model.end = -1
    (position, _, *rest), *_ = case["spans"]
    case["spans"] = [[position, len(case["input_ids"]) - position, *rest]]


ZERO = torch.zeros_like
MISTAKES = [
    ("decoder: RMSNorm eps 1e-6 for 1e-5", "llama_gqa", 0, attribute("decoder", "eps", 1e-6)),
    ("decoder: rope pairs interleaved", "llama_gqa", 0, method("decoder", "_rotate", interleaved)),
    ("decoder: key heads tiled", "llama_gqa", 0, tiled_key_heads),
    ("decoder: gelu for silu", "llama_gqa", 0, config("", "hidden_act", "gelu")),
    ("decoder: rope theta 1e5 for 1e4", "llama_gqa", 0, config("", "rope_theta", 1e5)),
    ("decoder: BOS missing", "llama_gqa", 2, ids(lambda i, _: (i[1:], 0))),
    ("decoder: biases dropped", "llama_bias", 1, weights("_proj.bias", ZERO)),
    ("decoder: untied head read as tied", "llama_gqa", 0, lambda m, *_: m.w.pop("head.weight")),
    ("rope: linear factor ignored", "llama_linear", 0, config("", "rope_scaling", None)),
    ("rope: dynamic ignored", "llama_dynamic", 1, config("", "rope_scaling", None)),
    (
        "rope: dynamic by each token's own position",
        "llama_dynamic",
        1,
        method("decoder", "_lengths_seen", lambda d, f: lambda n, _: range(1, n + 1)),
    ),
    ("rope: llama3 ignored", "llama_llama3", 0, config("", "rope_scaling", None)),
    ("rope: yarn ignored", "llama_yarn", 0, config("", "rope_scaling", None)),
    ("mistral: no window", "mistral", 1, config("", "sliding_window", None)),
    ("mistral: window one longer", "mistral", 1, config("", "sliding_window", 10)),
    ("qwen2: q, k and v biases dropped", "qwen2", 0, weights("_proj.bias", ZERO)),
    (
        "qwen2: the first layers slide",
        "qwen2_window",
        1,
        config("", "layer_types", ["sliding_attention"] + 2 * ["full_attention"]),
    ),
    ("qwen3: head norms without weight", "qwen3", 0, weights("q_norm.weight", torch.ones_like)),
    ("phi3: whole heads turn", "phi3", 0, config("", "partial_rotary_factor", 1.0)),
    (
        "phi3: short factors beyond the original length",
        "phi3_long",
        1,
        config("", "original_max_position_embeddings", 255),
    ),
    (
        "gemma2: score scale of the head size",
        "gemma2",
        0,
        attribute("decoder", "scale", 12**-0.5),
    ),
    ("gemma2: scores not capped", "gemma2", 0, attribute("decoder", "cap", None)),
    ("gemma2: logits not capped", "gemma2", 0, config("", "final_logit_softcapping", None)),
    ("gemma2: erf gelu for tanh", "gemma2", 0, config("", "hidden_activation", "gelu")),
    ("gemma2: embeddings not scaled", "gemma2", 0, method("decoder", "_enter", keep)),
    ("gemma3: one rope", "gemma3_text", 0, config("", "rope_local_base_freq", 20000.0)),
    ("opt: positions without offset", "opt", 0, weights("embed_positions", lambda t: t.roll(2, 0))),
    ("opt: gelu for relu", "opt", 0, config("", "activation_function", "gelu")),
    ("opt: norms before the sublayers", "opt_post", 0, config("", "do_layer_norm_before", True)),
    (
        "mpt: slopes of eight heads in order for six",
        "mpt",
        0,
        method("decoder", "slopes", lambda d, f: lambda: [2.0**-i for i in range(1, 7)]),
    ),
    ("mpt: q, k and v not clipped", "mpt", 0, attribute("decoder", "clip", None)),
    ("mpt: score scale of the head size", "mpt", 0, attribute("decoder", "scale", 0.5)),
    (
        "gpt_neox: q, k and v of all heads behind each other",
        "gpt_neox",
        0,
        method("decoder", "_split", lambda d, f: lambda qkv: qkv.chunk(3, dim=-1)),
    ),
    ("gpt_neox: one sublayer after the other", "gpt_neox", 0, attribute("decoder", "parallel", False)),
    ("gpt_neox: both sublayers side by side", "gpt_neox_serial", 0, attribute("decoder", "parallel", True)),
    ("gpt_neox: whole heads turn", "gpt_neox", 0, config("", "rotary_pct", 1.0)),
    ("gpt_neox: base 1e4 for 500", "gpt_neox", 0, config("", "rotary_emb_base", 10000)),
    ("gpt_neox: biases of q, k and v dropped", "gpt_neox", 0, weights("query_key_value.bias", ZERO)),
    ("clip: erf gelu for quick_gelu", "llava", 0, config("vision_config", "hidden_act", "gelu")),
    ("clip: last layer for -2", "llava", 0, config("", "vision_feature_layer", -1)),
    ("clip: one layer too early", "llava", 0, config("", "vision_feature_layer", -3)),
    ("clip: LayerNorm eps 1e-6 for 1e-5", "llava", 0, attribute("tower", "eps", 1e-6)),
    ("clip: no position embedding", "llava", 0, weights("vision.embeddings.position", ZERO)),
    ("clip: q bias dropped", "llava", 0, weights("q_proj.bias", ZERO)),
    (
        "clip: layers of a list swapped",
        "llava_full_list",
        0,
        config("", "vision_feature_layer", [-3, -2]),
    ),
    ("llava: pictures swapped", "llava", 3, tensor("pixel_values", lambda t: t.flip(0))),
    (
        "llava: pixels one level brighter",
        "llava",
        0,
        tensor("pixel_values", lambda t: t + 1 / 68.5),
    ),
    ("eva: LayerNorm eps 1e-5 for 1e-6", "instructblip", 0, attribute("tower", "eps", 1e-5)),
    ("eva: tanh gelu for erf", "instructblip", 0, attribute("tower", "act", tanh_gelu)),
    ("eva: quick_gelu for erf", "instructblip", 0, attribute("tower", "act", quick_gelu)),
    ("eva: no position embedding", "instructblip", 0, weights("vision.embeddings.position", ZERO)),
    (
        "eva: no post LayerNorm",
        "instructblip",
        0,
        method("tower", "final", lambda t, f: lambda x: x),
    ),
    (
        "eva: CLS dropped",
        "instructblip",
        0,
        method("tower", "final", lambda t, f: lambda x: f(x)[1:]),
    ),
    ("eva: qkv bias dropped", "instructblip", 0, weights("qkv.bias", ZERO)),
    ("eva: patch bias dropped", "instructblip", 0, weights("patch_embedding.bias", ZERO)),
    ("eva: old q and v biases dropped", "instructblip_old", 0, weights("q_bias", ZERO)),
    ("qformer: no text", "instructblip", 0, tensor("qformer_input_ids", lambda t: t[:0])),
    (
        "qformer: another question",
        "instructblip",
        0,
        tensor("qformer_input_ids", lambda t: t.flip(0)),
    ),
    (
        "qformer: text positions after the queries",
        "instructblip",
        0,
        weights("qformer.embeddings.position", lambda t: t.roll(-7, 0)),
    ),
    ("qformer: eps 1e-5 for 1e-12", "instructblip", 0, attribute("qformer", "eps", 1e-5)),
    (
        "qformer: text FFN for the queries",
        "instructblip",
        0,
        method("qformer", "_feed_forward", lambda q, f: lambda p, s, x: f(p, "", x)),
    ),
    (
        "qformer: cross-attention every 4th layer",
        "instructblip",
        0,
        config("qformer_config", "cross_attention_frequency", 4),
    ),
    ("instructblip: BOS before the picture", "instructblip", 0, ids(bos_before_picture)),
    ("navit: rows of 5.x for those of 4.57", "idefics3", 0, config("", "transformers_version", "5.0")),
    ("navit: LayerNorm eps 1e-5 for 1e-6", "idefics3", 0, config("vision_config", "layer_norm_eps", 1e-5)),
    ("navit: patch bias dropped", "idefics3", 0, weights("patch_embedding.bias", ZERO)),
    ("navit: no post LayerNorm", "idefics3", 0, weights("vision.post_layernorm", torch.ones_like)),
    ("navit: erf gelu for tanh gelu", "idefics3", 0, with_erf_gelu),
    ("idefics3: patches of a token column by column", "idefics3", 0, shuffled_by_columns),
    ("idefics3: whole picture before its tiles", "idefics3", 0, tensor("pixel_values", lambda p: p.roll(1, 0))),
    ("idefics: gates of the cross-attention shut", "idefics", 2, weights("alpha_cross", ZERO)),
    ("idefics: gates of the MLPs shut", "idefics", 5, weights("alpha_dense", ZERO)),
    ("idefics: pictures swapped", "idefics", 2, tensor("pixel_values", lambda p: p.flip(0))),
    ("idefics: queries and keys not normalised", "idefics", 2, config("", "qk_layer_norms", False)),
    ("idefics: quick_gelu in the tower", "idefics", 2, config("vision_config", "hidden_act", "quick_gelu")),
    ("idefics: tower's q bias dropped", "idefics", 2, weights("vision.encoder.layers.0.self_attn.q_proj.bias", ZERO)),
    ("lavin: experts of text for a picture", "lavin", 0, weights("router_weights", lambda w: w.flip(1))),
    ("lavin: routes of text for text alone swapped", "lavin", 2, weights("router_weights", lambda w: w.flip(2))),
    ("lavin: experts of the tower swapped", "lavin", 0, weights("expert_weights.weight", lambda w: -w)),
    ("idefics: an end token hides no picture", "idefics_plain", 2, looks_beyond_the_end_token),
    ("qwen: positions of text for all tokens", "qwen2_vl", 0, qwen_spans(lambda s: [*s[:4], 1, 1])),
    ("qwen: rows and columns of positions swapped", "qwen2_vl", 0, qwen_spans(lambda s: [*s[:4], s[5], s[4]])),
    ("qwen: sections of the axes ignored", "qwen2_vl", 0, attribute("decoder", "axis_of", [0] * 8)),
    ("qwen: axes interleaved", "qwen2_vl", 0, attribute("decoder", "axis_of", [0, 1, 2, 0, 1, 2, 1, 2])),
    ("qwen: gelu for quick_gelu in the tower", "qwen2_vl", 0, config("vision_config", "hidden_act", "gelu")),
    ("qwen: tower's keys without bias", "qwen2_vl", 0, weights("attn.qkv.bias", no_key_bias)),
    ("qwen2.5: every block sees the whole picture", "qwen2_5_vl", 0,
     config("vision_config", "fullatt_block_indexes", [0, 1, 2])),
    ("qwen2.5: no block sees the whole picture", "qwen2_5_vl", 0, config("vision_config", "fullatt_block_indexes", [])),
    ("qwen2.5: windows of half the side", "qwen2_5_vl", 0, config("vision_config", "window_size", 12)),
    ("qwen2.5: LayerNorm's eps in the RMS norms", "qwen2_5_vl", 0, with_rms_eps(1e-5)),
    ("pixtral: rows turn by the columns' frequencies", "pixtral", 0, frequencies(lambda f: (f[1::2], f[::2]))),
    ("pixtral: rows turn by the first frequencies", "pixtral", 0, frequencies(lambda f: (f[:2], f[2:]))),
    ("pixtral: silu for gelu in the tower", "pixtral", 0, config("vision_config", "hidden_act", "silu")),
    ("pixtral: no norm in front of the tower", "pixtral", 0, weights("vision.ln_pre.weight", torch.ones_like)),
    ("mistral3: the last hidden state for -2", "mistral3", 0, config("", "vision_feature_layer", -1)),
    ("mistral3: no norm behind the tower", "mistral3", 0, weights("projector.norm.weight", torch.ones_like)),
]


def changes(checkpoint, index, mistake):
    """(change of the last prompt row's logits, change of each stage)."""
    record = json.loads((ROOT / checkpoint / "golden.json").read_text())
    golden = load_file(ROOT / checkpoint / "golden.safetensors")
    case, prefix = copy.deepcopy(record["cases"][index]), f"case{index}."
    model = make_model(ROOT / checkpoint, record["family"], torch.float32)
    right = model.prompt(case, golden, prefix)[0]
    mistake(model, case, golden, prefix)
    wrong = model.prompt(case, golden, prefix)[0]
    deltas = {}
    for key, value in right.items():
        same = wrong[key].shape == value.shape
        deltas[key] = float((wrong[key] - value).abs().max()) if same else math.inf
    logits = float((wrong["prefill_logits"][-1] - right["prefill_logits"][-1]).abs().max())
    return logits, deltas


def main():
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    missed = []
    print(
        "| mistake | checkpoint | last logits | first stage that differs by more than 1e-5 |\n|---|---|---|---|"
    )
    for name, checkpoint, index, mistake in MISTAKES:
        logits, deltas = changes(checkpoint, index, mistake)
        first = next((key for key, delta in deltas.items() if delta > TOLERANCE), None)
        print(f"| {name} | {checkpoint} | {logits:.0e} | {first} |")
        if first is None:
            missed.append(name)
    if missed:
        raise SystemExit(f"not noticed: {missed}")
    print(f"\n{len(MISTAKES)} mistakes, all noticed")


if __name__ == "__main__":
    sys.exit(main())
