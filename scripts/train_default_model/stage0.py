"""Stage 0: the ViT on dense labels.

The mean over an object's patches, half-way and at the end, says its shape or digit: a bag of edges
is enough for that. Half-way every patch draws which of its pixels belong to an object; at the end
it draws the silhouette of its object, 8 x 8. Every patch also says what lies under it (shape or
digit, colour), where the centre of that object is, how large it is, and how many objects lie to the
left of it and above it (its ranks). The class token counts the shapes. The heads are thrown away
afterwards.

    python stage0.py --data DIR --out stage0.pt
"""

import argparse
import time
from pathlib import Path

import numpy
import torch
from torch import nn
from torch.nn import functional as F

import model
import scenes
from data import Shards

KIND_WEIGHT = 2.0  # shape is by far the slowest to be learnt
# Digits are rare, and there are ten of them.
KIND_BALANCE = torch.tensor([1.0] * len(scenes.SHAPES) + [3.0] * len(scenes.DIGITS))
KIND_BALANCE_AND_NOTHING = torch.cat([KIND_BALANCE, torch.ones(1)])
NOTHING_KIND, NOTHING_COLOR = len(scenes.KINDS), len(scenes.COLOR_NAMES)


def pooled_head(d: int) -> nn.Sequential:
    return nn.Sequential(nn.LayerNorm(d), nn.Linear(d, 2 * d), nn.GELU(),
                         nn.Linear(2 * d, NOTHING_KIND))


class DenseHeads(nn.Module):
    def __init__(self, d=model.VISION["hidden_size"]):
        super().__init__()
        self.kind = nn.Linear(d, NOTHING_KIND + 1)
        self.color = nn.Linear(d, NOTHING_COLOR + 1)
        self.ranks = nn.Linear(d, 2 * scenes.MAX_OBJECTS)
        self.place = nn.Linear(d, 5)  # centre x, y; offset x, y; size
        self.count = nn.Linear(d, scenes.MAX_OBJECTS + 1)
        self.mask = nn.Linear(d, scenes.PATCH ** 2)
        self.silhouette = nn.Linear(d, scenes.SILHOUETTE ** 2)
        self.pooled = nn.ModuleList(pooled_head(d) for _ in range(2))


def facts_table(scene_list) -> numpy.ndarray:
    """[b, 1 + MAX_OBJECTS, 7]: kind, colour, x, y, size, rank in x, rank in y; row 0 is nothing."""
    table = numpy.zeros((len(scene_list), 1 + scenes.MAX_OBJECTS, 7), numpy.float32)
    table[:, 0, 0], table[:, 0, 1] = NOTHING_KIND, NOTHING_COLOR
    for row, scene in zip(table, scene_list):
        down = sorted(range(len(scene.objects)), key=lambda i: scene.objects[i].y)
        for i, o in enumerate(scene.objects):
            row[i + 1] = (scenes.KINDS.index(o.kind), scenes.COLOR_NAMES.index(o.color), o.x, o.y,
                          o.size, i, down.index(i))
    return table


def bits(packed) -> torch.Tensor:
    return torch.from_numpy(numpy.unpackbits(packed, axis=-1))


def targets(labels, scene_list) -> dict:
    table = torch.from_numpy(facts_table(scene_list))
    owners, masks, silhouettes = labels
    owners = torch.from_numpy(owners).long()
    per_patch = table.gather(1, owners[:, :, None].expand(-1, -1, 7))
    count = torch.tensor([sum(not o.is_digit for o in s.objects) for s in scene_list])
    outlines = bits(silhouettes).gather(
        1, (owners - 1).clamp(min=0)[:, :, None].expand(-1, -1, scenes.SILHOUETTE ** 2))
    return {"owners": owners, "facts": per_patch, "count": count, "masks": bits(masks).float(),
            "silhouettes": outlines.float(), "kinds": table[:, 1:, 0].long()}


GRID_CENTRES = (torch.arange(scenes.GRID) + 0.5) / scenes.GRID
PATCH_XY = torch.stack([GRID_CENTRES.repeat(scenes.GRID),
                        GRID_CENTRES.repeat_interleave(scenes.GRID)], 1)  # [144, 2]: x, y


def pooled_loss(heads, layers, want) -> tuple:
    """Shape of each object from the mean of its patches: (losses, accuracy of the last layer)."""
    cover = F.one_hot(want["owners"], scenes.MAX_OBJECTS + 1)[:, :, 1:].transpose(1, 2)
    area = cover.sum(-1)
    there = area > 0
    losses = []
    for head, features in zip(heads.pooled, layers):
        mean = (cover.to(features.dtype) @ features[:, 1:]) / area.clamp(min=1)[..., None]
        logits = head(mean[there].to(features.dtype)).float()
        losses.append(F.cross_entropy(logits, want["kinds"][there], KIND_BALANCE))
    kinds = want["kinds"][there]
    right, digit = logits.argmax(-1) == kinds, kinds >= len(scenes.SHAPES)
    return losses, {"pooled": right[~digit].float().mean(),
                    "pooled digit": right[digit].float().mean()}


def dense_loss(heads, features, between, want) -> tuple:
    """features and between [b, 145, d] -> (loss, dictionary of accuracies)."""
    patches, first = features[:, 1:], features[:, 0]
    facts, on = want["facts"], want["owners"] > 0
    kind, color = heads.kind(patches).float(), heads.color(patches).float()
    weight = torch.where(on, 1.0, 0.25)
    norm = weight.sum()

    def patch_ce(logits, column):
        loss = F.cross_entropy(logits.flatten(0, 1), facts[..., column].long().flatten(),
                               KIND_BALANCE_AND_NOTHING if column == 0 else None,
                               reduction="none")
        return (loss * weight.flatten()).sum() / norm
    losses, pooled = pooled_loss(heads, (between, features), want)
    losses += [KIND_WEIGHT * patch_ce(kind, 0), patch_ce(color, 1)]
    seen, known = patches[on], facts[on]
    mask = heads.mask(between[:, 1:]).float()
    outline, outline_goal = heads.silhouette(seen).float(), want["silhouettes"][on]
    losses += [2 * F.binary_cross_entropy_with_logits(mask, want["masks"]),
               2 * F.binary_cross_entropy_with_logits(outline, outline_goal)]
    ranks = heads.ranks(seen).float().view(-1, 2, scenes.MAX_OBJECTS)
    losses += [0.5 * F.cross_entropy(ranks[:, a], known[:, 5 + a].long()) for a in (0, 1)]
    place = heads.place(seen).float()
    own = PATCH_XY.expand(len(facts), -1, -1)[on]
    goal = torch.cat([known[:, 2:4], (known[:, 2:4] - own) * 4, known[:, 4:5]], 1)
    losses.append(4 * F.smooth_l1_loss(place, goal, beta=0.05))
    count = heads.count(first).float()
    losses.append(0.5 * F.cross_entropy(count, want["count"]))
    digit = known[:, 0] >= len(scenes.SHAPES)
    right = kind.argmax(-1)[on] == known[:, 0]
    stats = {**pooled, "mask": ((mask > 0) == (want["masks"] > 0)).float().mean(),
             "outline": ((outline > 0) == (outline_goal > 0)).float().mean(), "kind": right[~digit].float().mean(),
              "digit": right[digit].float().mean(),
             "color": (color.argmax(-1)[on] == known[:, 1]).float().mean(),
             "x rank": (ranks[:, 0].argmax(-1) == known[:, 5]).float().mean(),
             "y rank": (ranks[:, 1].argmax(-1) == known[:, 6]).float().mean(),
             "offset": (place[:, :2] - goal[:, :2]).abs().mean(),
             "count": (count.argmax(-1) == want["count"]).float().mean()}
    return sum(losses), stats


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=3800)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--lr", type=float, default=5e-4)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--start", type=Path, help="an earlier stage0.pt to go on from")
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    vision, heads = model.VisionModel(), DenseHeads()
    for m in (vision, heads):
        model.initialise(m)
    if args.start:
        old = torch.load(args.start)
        vision.load_state_dict(old["vision_model"])
        heads.load_state_dict(old["heads"], strict=False)
    vision, heads = vision.bfloat16(), heads.bfloat16()
    optimiser = model.MasterAdam([([*vision.parameters(), *heads.parameters()], 1.0)],
                                 weight_decay=0.05)
    shards, pick = Shards(args.data), numpy.random.default_rng(args.seed)
    while not len(shards):
        time.sleep(2)
        shards.refresh()
    order, began, sums, seen = [], time.time(), {}, 0
    for step in range(args.steps):
        if len(order) < args.batch:
            shards.refresh()
            order = list(pick.permutation(len(shards))[:10_000])
        rows = [order.pop() for _ in range(args.batch)]
        images, labels, facts = shards.batch(rows)
        features, between = vision(model.normalise(images).bfloat16(), also=3)
        loss, stats = dense_loss(heads, features, between, targets(labels, facts))
        loss.backward()
        norm = optimiser.step(model.schedule(step, args.steps, args.lr, warm=100))
        for name, value in {"loss": loss, **stats}.items():
            if torch.isfinite(value):
                sums.setdefault(name, []).append(float(value.detach()))
        seen += args.batch
        if step % 50 == 49:
            text = "  ".join(f"{k} {numpy.mean(v):.3f}" for k, v in sums.items())
            print(f"{step + 1:5d}  {seen / (time.time() - began):.0f}/s  {text}  norm {norm:.2f}",
                  flush=True)
            sums = {}
        if step % 200 == 199 or step + 1 == args.steps:
            model.save(args.out, {"vision_model": vision.float().state_dict(),
                                  "heads": heads.float().state_dict()})
            vision.bfloat16(), heads.bfloat16()


if __name__ == "__main__":
    main()
