"""Qwen2-VL and Qwen2.5-VL written from their formulas. Shares no code with the library."""

import re

import torch

from plain_models import ACTIVATIONS, Decoder, attention, gelu, layer_norm, linear, read_checkpoint

EPS = 1e-6


def rms_norm(w, name, x, _eps=EPS):
    return x / torch.sqrt((x * x).mean(-1, keepdim=True) + EPS) * w[name + ".weight"]


def turned(x, angles, heads):
    """x [N, heads*d]; pairs (j, j + d/2) of each head turn by angles [N, d/2]."""
    first, second = x.reshape(len(x), heads, 2, -1).unbind(2)
    cos, sin = angles.cos()[:, None], angles.sin()[:, None]
    return torch.stack([first * cos - second * sin, second * cos + first * sin], 2).flatten(1)


def spans_positions(length, spans, paces, prompt_length):
    """[3, length]: frame, row and column of every token; spans hold rows and columns at the end.

    paces: of each item, positions from frame to frame and to the text behind it (0: as many as it needs).
    """
    places, start = [], 0
    items = {position: span for position, *span in spans}
    while len(places) < length:
        if len(places) == prompt_length:
            start = 1 + max(max(place) for place in places)
        if len(places) in items:
            count, media, _, rows, columns = items[len(places)]
            step, extent = paces[media] if paces else (1, 0)
            own = []
            for i in range(count):
                frame, rest = divmod(i, rows * columns)
                own.append((int(frame * step), rest // columns, rest % columns))
            places += [tuple(start + axis for axis in place) for place in own]
            start += extent or 1 + max(max(place) for place in own)
        else:
            places.append((start, start, start))
            start += 1
    return torch.tensor(places).T


class ThreeAxisDecoder(Decoder):
    """Its rotary angles come from three positions: each frequency belongs to one axis."""

    spans, paces, prompt_length = [], [], 0
    axis_of = None  # overrides the sections

    def _turns(self, config, seen, dtype):
        length = len(seen)
        places = spans_positions(length, self.spans, self.paces, self.prompt_length)[:, :length]
        rope = config.get("rope_parameters") or config.get("rope_scaling")
        theta = rope.get("rope_theta", config.get("rope_theta", 1000000.0))
        half = self.head_dim // 2
        frequencies = 1.0 / theta ** (torch.arange(0, 2 * half, 2).float() / (2 * half))
        axes = [a for a, n in enumerate(rope["mrope_section"]) for _ in range(n)]
        angles = places[self.axis_of or axes].T.to(dtype) * frequencies.to(dtype)
        return angles.cos(), angles.sin()


class QwenModel:
    def __init__(self, folder, family, dtype):
        self.config, self.w = read_checkpoint(folder, dtype)
        self.w = {re.sub(r"^(decoder\.)?visual\.", "visual.", n): t for n, t in self.w.items()}
        self.second = family == "qwen2_5_vl"
        self.assemble()

    def assemble(self):
        self.decoder = ThreeAxisDecoder(self.config["text_config"], self.w)
        self.vision = self.config["vision_config"]
        self.norm = rms_norm if self.second else layer_norm
        width = self.vision.get("hidden_size") if self.second else self.vision["embed_dim"]
        self.head_dim = width // self.vision["num_heads"]

    def patches(self, frames):
        """frames [n,3,h,w] -> rows of two frames each, with (pair, row, column), merged blocks together."""
        p, m = self.vision["patch_size"], self.vision["spatial_merge_size"]
        rows, columns = frames.shape[2] // p, frames.shape[3] // p
        frames = list(frames) + list(frames[-1:]) * (len(frames) % 2)
        pairs = list(zip(frames[::2], frames[1::2]))
        places = [
            (pair, top + r, left + c)
            for pair in range(len(pairs))
            for top in range(0, rows, m)
            for left in range(0, columns, m)
            for r in range(m)
            for c in range(m)
        ]
        cut = [
            torch.stack([frame[:, r * p : r * p + p, c * p : c * p + p] for frame in pairs[pair]], 1)
            for pair, r, c in places
        ]
        return torch.stack([x.flatten() for x in cut]), places

    def windows(self, places):
        """Indices of the patches of each window, in the order in which windows are laid out."""
        side = self.vision["window_size"] // self.vision["patch_size"]
        found = {}
        for index, (pair, r, c) in enumerate(places):
            found.setdefault((pair, r // side, c // side), []).append(index)
        return [found[key] for key in sorted(found)]

    def tower(self, picture):
        """[embeddings, block outputs..., visual tokens]; blocks in the reference's order of rows."""
        w, v = self.w, self.vision
        rows, places = self.patches(picture)
        x = rows @ w["visual.patch_embed.proj.weight"].flatten(1).T
        states, groups = [x], []
        order = torch.arange(len(rows))
        if self.second:
            windows = self.windows(places)
            order = torch.tensor([i for window in windows for i in window])
            ends = torch.tensor([len(window) for window in windows]).cumsum(0).tolist()
            groups = [list(range(a, b)) for a, b in zip([0] + ends, ends)]
        x, places = x[order], torch.tensor(places)[order]
        quarter = self.head_dim // 4
        frequencies = 1.0 / 10000.0 ** (torch.arange(quarter).float() * 2 / (2 * quarter))
        pairs, places = places[:, 0], places[:, 1:]
        angles = (places[:, :, None].to(x.dtype) * frequencies.to(x.dtype)).flatten(1)
        whole = [torch.nonzero(pairs == pair).flatten().tolist() for pair in pairs.unique()]
        for i in range(v["depth"]):
            full = not self.second or i in v["fullatt_block_indexes"]
            x = self.block(f"visual.blocks.{i}.", x, angles, whole if full else groups)
            states.append(x)
        merged = self.norm(w, "visual.merger.ln_q", x, EPS).reshape(-1, w["visual.merger.mlp.0.weight"].shape[1])
        tokens = linear(w, "visual.merger.mlp.2", gelu(linear(w, "visual.merger.mlp.0", merged)))
        size = v["spatial_merge_size"] ** 2
        back = torch.empty_like(tokens)
        back[order[::size] // size] = tokens
        return states + [back]

    def block(self, p, x, angles, groups):
        w, heads = self.w, self.vision["num_heads"]
        q, k, v = linear(w, p + "attn.qkv", self.norm(w, p + "norm1", x, EPS)).chunk(3, -1)
        q, k = turned(q, angles, heads), turned(k, angles, heads)
        mixed = torch.cat([attention(q[g], k[g], v[g], heads) for g in groups])
        x = x + linear(w, p + "attn.proj", mixed)
        y = self.norm(w, p + "norm2", x, EPS)
        if self.second:
            gate = ACTIVATIONS["silu"](linear(w, p + "mlp.gate_proj", y))
            return x + linear(w, p + "mlp.down_proj", gate * linear(w, p + "mlp.up_proj", y))
        act = ACTIVATIONS[self.vision.get("hidden_act", "quick_gelu")]
        return x + linear(w, p + "mlp.fc2", act(linear(w, p + "mlp.fc1", y)))

    def prompt(self, case, golden, prefix):
        """(stages, embeddings of the prompt)."""
        embeds, stages = self.decoder.embed(torch.tensor(case["input_ids"])).clone(), {}
        self.decoder.spans = case["spans"]
        self.decoder.paces = list(zip(case.get("frame_steps", []), case.get("extents", [])))
        self.decoder.prompt_length = len(case["input_ids"])
        if prefix + "pixel_values.0" in golden:
            count = len(case["images"]) + len(case.get("videos", []))
            pictures = [golden[f"{prefix}pixel_values.{i}"] for i in range(count)]
            states = [torch.cat(s) for s in zip(*(self.tower(p.to(embeds.dtype)) for p in pictures))]
            stages = {f"vit.block.{i}": s for i, s in enumerate(states[1:-1])}
            stages |= {"vit.embeddings": states[0], "connector": states[-1]}
            rows = states[-1]
            for position, length, *_ in sorted(case["spans"], key=lambda span: span[2]):
                embeds[position : position + length], rows = rows[:length], rows[length:]
            assert len(rows) == 0
        logits, layers = self.decoder(embeds)
        stages |= {f"decoder.layer.{i}": layer for i, layer in enumerate(layers)}
        stages |= {
            "inputs_embeds": embeds,
            "prefill_logits": logits,
            "prefill_tail_logits": logits[-8:],
        }
        return stages, embeds
