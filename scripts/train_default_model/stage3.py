"""Stage 3: everything in front of the decoder at once, on the losses of all three stages.

Until here each part was trained behind a frozen one, so what the ViT mixes up (digits, most of all)
the later stages cannot mend. Pictures with digits are drawn more often; of the questions of a step
a few, captions above all, go through the decoder. Heads that are not in the start file are made
anew and first learn alone.

    python stage3.py --data DIR --start eyes.safetensors --language DIR --out stage3a.pt --spoken 0
    python stage3.py --data DIR --start stage3a.pt --language DIR --out stage3.pt

Without the decoder a step takes half the time, but the visual tokens drift away from what it reads:
the second run brings them back.
"""

import argparse
import random
import time
from pathlib import Path

import numpy
import torch

import model
import questions
import stage0
import stage1
import stage2
from data import Shards
from decoder import Decoder

SHARES = {**stage1.SHARES, "digit": 4}  # of the questions that only the cheap heads see
SPOKEN = {"color": 1, "shape": 1, "count": 3, "left/right": 1, "above/below": 1, "yes/no": 2,
          "digit": 3, "background": 0.3, "caption": 6}
BETWEEN = 3  # the ViT's layer that draws masks


class Heads(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.dense, self.query = stage0.DenseHeads(), stage1.Heads()
        model.initialise(self)


def load(path: Path, eyes, heads) -> bool:
    """Whether the file held heads, too."""
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        eyes.load_state_dict({k: v.float() for k, v in load_file(path).items()}, strict=False)
        return False
    old = torch.load(path, map_location="cpu")
    eyes.load_state_dict(old["eyes"])
    if "dense.kind.weight" not in old["heads"]:
        heads.query.load_state_dict(old["heads"])
        return False
    heads.load_state_dict(old["heads"])
    return True


class Pictures:
    """Rows of the shards; a share of each batch shows a digit."""

    def __init__(self, folder: Path, seed: int, digits: float):
        self.shards, self.pick, self.digits = Shards(folder), numpy.random.default_rng(seed), digits
        self.with_digit, self.known = [], 0
        self.refresh()

    def refresh(self) -> None:
        self.shards.refresh()
        size = len(self.shards.scenes[0])
        for s in range(self.known, len(self.shards.scenes)):
            self.with_digit += [s * size + i for i, scene in enumerate(self.shards.scenes[s])
                                if any(o.is_digit for o in scene.objects)]
        self.known = len(self.shards.scenes)

    def draw(self, count: int) -> tuple:
        chosen = self.pick.random(count) < self.digits
        rows = numpy.where(chosen, self.pick.choice(self.with_digit, count),
                           self.pick.integers(0, len(self.shards), count))
        return self.shards.batch(rows)


def spoken_questions(rng: random.Random, facts: list, count: int) -> list:
    """(picture, question) of `count` pictures."""
    return [(b, questions.ask_some(rng, facts[b], 1, SPOKEN)[0])
            for b in rng.sample(range(len(facts)), count)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--start", type=Path, required=True)
    parser.add_argument("--language", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--batch", type=int, default=32, help="pictures")
    parser.add_argument("--per-picture", type=int, default=1, help="questions")
    parser.add_argument("--spoken", type=int, default=6, help="questions through the decoder")
    parser.add_argument("--digits", type=float, default=0.5, help="share of pictures with a digit")
    parser.add_argument("--lr", type=float, default=2e-4)
    parser.add_argument("--warm", type=int, default=200)
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="bfloat16")
    parser.add_argument("--seed", type=int, default=4)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    dtype = getattr(torch, args.dtype)
    tokenizer = stage1.question_tokenizer()
    eyes, heads = model.Eyes(tokenizer.get_vocab_size()), Heads()
    heads_known = load(args.start, eyes, heads)
    eyes, heads = eyes.to(dtype), heads.to(dtype)
    decoder = Decoder(args.language, dtype)
    table = stage1.word_table(args.language)
    front = [p for n, p in eyes.named_parameters() if not n.startswith("vision_model.")]
    heads_only = [p for n, p in heads.named_parameters() if n != "query.scale"]
    groups = [(front, 1.0), (list(eyes.vision_model.parameters()), 1.0), (heads_only, 2.0),
              ([heads.query.scale], 20.0)]
    alone = 0 if heads_known else args.warm
    optimiser = model.MasterAdam(groups[2:] if alone else groups)
    rng, pictures = random.Random(args.seed), Pictures(args.data, args.seed, args.digits)
    began, sums = time.time(), {}
    for step in range(alone + args.steps):
        if alone and step == alone:
            optimiser = model.MasterAdam(groups)
        images, labels, facts = pictures.draw(args.batch)
        pixels = model.normalise(images).to(dtype)
        picture, between = eyes.vision_model(pixels, also=BETWEEN)
        dense, dense_stats = stage0.dense_loss(heads.dense, picture, between,
                                               stage0.targets(labels, facts))
        asks = [a for scene in facts
                for a in questions.ask_some(rng, scene, args.per_picture, SHARES)]
        ids, mask = stage1.pad(tokenizer.encode_batch([a[1] for a in asks]))
        looked = eyes.look(picture, ids, mask, args.per_picture)
        cheap, stats = stage1.loss_of(heads.query, looked, table, facts, labels[0], asks)
        said = spoken_questions(rng, facts, args.spoken if step >= alone else 0)
        loss, right = 0.3 * dense + cheap, []
        if said:
            rows = torch.tensor([b for b, _ in said])
            ids, mask = stage1.pad(tokenizer.encode_batch([a[1] for _, a in said]))
            tokens = eyes.look(picture[rows], ids, mask, 1)[-1]
            spoken, right = decoder.loss(
                tokens, [(stage2.prompt(rng, facts[b], a[1]), a[2]) for b, a in said])
            loss = loss + spoken
            stats["spoken"] = spoken
        loss.backward()
        peak = model.schedule(step, alone, 2e-3, 20) if step < alone else model.schedule(
            step - alone, args.steps, args.lr, args.warm)
        norm = optimiser.step(peak)
        stats |= {"pooled digit": dense_stats["pooled digit"], "pooled": dense_stats["pooled"]}
        stats |= {f"said {a[0]}": float(r) for (_, a), r in zip(said, right)}
        for name, value in stats.items():
            if numpy.isfinite(float(value)):
                sums.setdefault(name, []).append(float(value))
        if step % 25 == 24:
            text = "  ".join(f"{k} {numpy.mean(v):.3f}" for k, v in sorted(sums.items()))
            print(f"{step + 1:5d}  {time.time() - began:.0f} s  {text}  norm {norm:.2f}", flush=True)
            sums = {}
            pictures.refresh()
        if step % 100 == 99 or step + 1 == alone + args.steps:
            model.save(args.out, {
                "eyes": {k: v.float() for k, v in eyes.state_dict().items()},
                "heads": {k: v.float() for k, v in heads.state_dict().items()}})


if __name__ == "__main__":
    main()
