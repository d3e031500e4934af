"""Stage 1: the Q-Former on cheap heads, with the trained ViT held fixed.

The visual tokens (queries after the projection) are compared with rows of the decoder's own
embedding table: queries 2i and 2i + 1 must look like the words of colour and kind of the i-th
object from the left, queries 10 and 11 like the answer to the question, and the last four stay
free. So the decoder of stage 2 meets tokens it can already read. Small extra heads on the query
states are thrown away afterwards: the centre and size of each object; early on its colour and
kind already, so that there are layers left to match the question's words with them; and, two layers
before the end, which objects the question is about and where they are. Some heads of the cross-attention are
told which patches to look at. Without these, questions
that compare two objects stay at chance.

    python stage1.py --data DIR --vision stage0.pt --language DIR --out stage1.pt
"""

import argparse
import random
import time
from pathlib import Path

import numpy
import torch
from torch import nn
from torch.nn import functional as F

import model
import questions
import scenes
from data import Shards
from layout import TARGET

SHARES = {"color": 2, "shape": 2, "count": 3, "left/right": 3, "above/below": 3, "yes/no": 2,
          "digit": 1, "background": 0.5, "caption": 0.7}
ANSWER = 2 * scenes.MAX_OBJECTS  # the query that must look like the answer
EARLY, MIDDLE, LATE = 1, 3, -1  # the layers whose query states the extra heads read
MEANT = slice(ANSWER + 1, ANSWER + 3)  # the two that say which objects the question is about
WORDS = [*scenes.COLOR_NAMES, "gray", *scenes.SHAPES, *scenes.DIGITS, "left", "right", "above",
         "below", "yes", "no", "nothing", "picture"]
WORD_ID = {w: i for i, w in enumerate(WORDS)}


def word_table(language: Path) -> torch.Tensor:
    """[words, 576] float32: the decoder's embedding of each word, with its leading space where
    the vocabulary has it in one piece."""
    from safetensors import safe_open
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(language / "tokenizer.json"))
    with safe_open(language / "model.safetensors", "pt") as f:
        table = f.get_tensor("model.embed_tokens.weight").float()

    def row(word):
        ids = tokenizer.encode(" " + word).ids
        return table[ids[0] if len(ids) == 1 else tokenizer.encode(word).ids[0]]
    return torch.stack([row(w) for w in WORDS])


def question_tokenizer():
    from tokenizers import Tokenizer

    return Tokenizer.from_file(str(TARGET / "qformer_tokenizer" / "tokenizer.json"))


def pad(encodings) -> tuple:
    """ids and mask, int64 [b, longest]"""
    longest = max(len(e.ids) for e in encodings)
    ids = torch.zeros(len(encodings), longest, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for i, e in enumerate(encodings):
        ids[i, :len(e.ids)] = torch.tensor(e.ids)
        mask[i, :len(e.ids)] = 1
    return ids, mask


def slot_targets(scene_list) -> tuple:
    """words [b, 10] (index into WORDS), place [b, 5, 3] (x, y, size), there [b, 5]"""
    words = torch.full((len(scene_list), ANSWER), WORD_ID["nothing"])
    place = torch.zeros(len(scene_list), scenes.MAX_OBJECTS, 3)
    for b, scene in enumerate(scene_list):
        for i, o in enumerate(scene.objects):
            words[b, 2 * i], words[b, 2 * i + 1] = WORD_ID[o.color], WORD_ID[o.kind]
            place[b, i] = torch.tensor([o.x, o.y, o.size])
    return words, place, words[:, 0::2] != WORD_ID["nothing"]


class Heads(nn.Module):
    def __init__(self):
        super().__init__()
        self.place = nn.Linear(model.QFORMER["hidden_size"], 3)
        self.early = nn.Linear(model.QFORMER["hidden_size"], len(WORDS))
        self.meant = nn.Linear(model.QFORMER["hidden_size"], scenes.MAX_OBJECTS)
        self.meant_place = nn.Linear(model.QFORMER["hidden_size"], 2)
        self.scale = nn.Parameter(torch.tensor(10.0))


def word_logits(tokens, table, scale):
    """Cosine of visual tokens with the words' embeddings, sharpened."""
    return scale * F.normalize(tokens.float(), dim=-1) @ F.normalize(table, dim=-1).T


def meant_loss(heads, between, scene_list, asks) -> tuple:
    """Which slots hold the objects a question is about, and, of a single one, where it is.
    Returns (loss, share of questions with every slot right)."""
    per_picture = len(asks) // len(scene_list)
    goal, place = torch.zeros(len(asks), 2, scenes.MAX_OBJECTS), torch.zeros(len(asks), 2, 2)
    alone = torch.zeros(len(asks), 2, dtype=torch.bool)
    for b, (_, _, _, *roles) in enumerate(asks):
        slots = scene_list[b // per_picture].objects
        for r, objects in enumerate(roles):
            for i, o in enumerate(slots):
                goal[b, r, i] = any(o is p for p in objects)
            if len(objects) == 1:
                place[b, r], alone[b, r] = torch.tensor([objects[0].x, objects[0].y]), True
    said = heads.meant(between[:, MEANT]).float()
    loss = F.binary_cross_entropy_with_logits(said, goal)
    where = heads.meant_place(between[:, MEANT]).float()
    loss = 5 * loss + 4 * F.smooth_l1_loss(where[alone], place[alone], beta=0.05)
    return loss, ((said > 0) == (goal > 0)).flatten(1).all(1).float().mean()


def look_loss(seen, owners, scene_list, asks) -> tuple:
    """Cross-attention of the answering queries must rest on the patches of the objects meant:
    half of the heads of the second one on objects named in the question, of the third one on the
    object asked for. owners [pictures, 144]. Returns (loss, attention on the right patches)."""
    per_picture = len(asks) // len(scene_list)
    places = [(1, ANSWER + 1, 0), (1, ANSWER + 2, 1), (2, ANSWER, 0), (2, ANSWER + 1, 0)]
    rows, masks = {p: [] for p in places}, {p: [] for p in places}
    for b, (kind, _, answer, *roles) in enumerate(asks):
        picture = b // per_picture
        objects = scene_list[picture].objects
        inferred = "/" in kind and answer in scenes.COLOR_NAMES + scenes.SHAPES
        for place in places:
            layer, query, role = place
            slots = [i + 1 for i, o in enumerate(objects) if any(o is p for p in roles[role])]
            if slots and not (inferred and layer == 1 and role == 0):
                rows[place].append((picture, b % per_picture * model.NUM_QUERIES + query))
                masks[place].append(numpy.isin(owners[picture], slots))
    losses, right = [], []
    for place in places:
        if not rows[place]:
            continue
        picture, row = torch.tensor(rows[place]).T
        mask = torch.from_numpy(numpy.stack(masks[place])).float()
        weights = seen[place[0]][:, ::2].transpose(1, 2)[picture, row][..., 1:].float()
        there = mask.sum(1) > 0
        on = (weights * mask[:, None]).sum(-1)[there]
        losses.append(-(on + 1e-4).log().mean())
        right.append(on.mean())
    return sum(losses) / len(losses), sum(right) / len(right)


def answer_ids(asks) -> torch.Tensor:
    return torch.tensor([WORD_ID["picture" if a[0] == "caption" else a[2]] for a in asks])


def loss_of(heads, looked, table, scene_list, owners, asks) -> tuple:
    """`looked` is what Eyes.look returned for `asks`. Returns (loss, statistics)."""
    states, seen, tokens = looked
    answers, kinds = answer_ids(asks), [a[0] for a in asks]
    per_picture = len(asks) // len(scene_list)
    words, place, there = slot_targets(scene_list)
    b = len(scene_list)
    logits = word_logits(tokens[:, :ANSWER + 1], table, heads.scale.float())
    slots = logits[:, :ANSWER].view(b, per_picture, ANSWER, -1)
    goal = words[:, None].expand(-1, per_picture, -1)
    slot_ce = F.cross_entropy(slots.flatten(0, 2), goal.flatten())
    answer_ce = F.cross_entropy(logits[:, ANSWER], answers)
    wanted = table[torch.cat([goal.reshape(-1, ANSWER), answers[:, None]], 1)]
    pull = F.mse_loss(tokens[:, :ANSWER + 1].float(), wanted) / table.var()
    early = heads.early(states[EARLY][:, :ANSWER]).float()
    early_ce = F.cross_entropy(early.flatten(0, 1), goal.flatten())
    centres = heads.place(states[LATE][:, 0:ANSWER:2]).float().view(b, per_picture, -1, 3)
    on = there[:, None].expand(-1, per_picture, -1)
    centre = F.smooth_l1_loss(centres[on], place[:, None].expand_as(centres)[on], beta=0.05)
    right = logits[:, ANSWER].argmax(-1) == answers
    meant, found = meant_loss(heads, states[MIDDLE], scene_list, asks)
    look, rested = look_loss(seen, owners, scene_list, asks)
    stats = {"early": early_ce, "look": rested, "loss": slot_ce + answer_ce, "meant": found,
             "slots": (slots.argmax(-1) == goal)[on.repeat_interleave(2, -1)].float().mean(),
             "pull": pull, "centre": centre}
    for kind in set(kinds):
        stats[kind] = right[[k == kind for k in kinds]].float().mean()
    return slot_ce + answer_ce + 0.3 * pull + 3 * centre + meant + early_ce + look, stats


def picture_features(vision, shards, index: int, cache: dict, keep: Path | None) -> torch.Tensor:
    """ViT output of a whole shard, bfloat16 [n, 145, 192], computed once; `keep` is a folder that
    holds them for a later run with the same ViT."""
    stored = keep / f"{index:03d}.pt" if keep else None
    if index not in cache and stored and stored.exists():
        cache[index] = torch.load(stored)
    if index not in cache:
        began, images = time.time(), shards.images[index]
        with torch.no_grad():
            cache[index] = torch.cat([
                vision(model.normalise(numpy.array(images[i:i + 50])).bfloat16())
                for i in range(0, len(images), 50)])
        print(f"features of shard {index}: {time.time() - began:.0f} s", flush=True)
        if stored:
            keep.mkdir(exist_ok=True)
            model.save(stored, cache[index])
    return cache[index]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--vision", type=Path, required=True)
    parser.add_argument("--language", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--start", type=Path, help="an earlier stage1.pt to go on from")
    parser.add_argument("--shards", type=int, default=6, help="how many shards to use")
    parser.add_argument("--features", type=Path, help="folder to keep the ViT's outputs in")
    parser.add_argument("--warm", type=int, default=300)
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--batch", type=int, default=24, help="pictures")
    parser.add_argument("--per-picture", type=int, default=6, help="questions")
    parser.add_argument("--lr", type=float, default=3.5e-4)
    parser.add_argument("--seed", type=int, default=2)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    rng, pick = random.Random(args.seed), numpy.random.default_rng(args.seed)
    tokenizer, table = question_tokenizer(), word_table(args.language)
    eyes, heads = model.Eyes(tokenizer.get_vocab_size()), Heads()
    model.initialise(eyes)
    eyes.vision_model.load_state_dict(torch.load(args.vision)["vision_model"])
    if args.start:
        old = torch.load(args.start)
        eyes.load_state_dict({k: v for k, v in old["eyes"].items()
                              if not k.startswith("vision_model.")}, strict=False)
        heads.load_state_dict(old["heads"], strict=False)
    eyes, heads = eyes.bfloat16(), heads.bfloat16()
    trained = [p for n, p in eyes.named_parameters() if not n.startswith("vision_model.")]
    small = [p for n, p in heads.named_parameters() if n != "scale"]
    optimiser = model.MasterAdam([(trained, 1.0), (small, 1.0), ([heads.scale], 20.0)])
    shards = Shards(args.data)
    cache, began, sums, asked = {}, time.time(), {}, 0
    order = []
    for step in range(args.steps):
        if len(order) < args.batch:
            # A new shard's features every hundred steps, until there are enough of them.
            if len(cache) < min(args.shards, len(shards.scenes)):
                picture_features(eyes.vision_model, shards, len(cache), cache,
                                 args.features)
            size = len(shards.scenes[0])
            order = [(int(s), int(i)) for s in pick.permutation(len(cache))
                     for i in pick.permutation(size)]
            rng.shuffle(order)
            order = order[:100 * args.batch] if len(cache) < args.shards else order
        rows = [order.pop() for _ in range(args.batch)]
        facts = [shards.scenes[s][i] for s, i in rows]
        owners = [shards.labels[s][0][i] for s, i in rows]
        picture = torch.stack([cache[s][i] for s, i in rows])
        asks = [a for scene in facts
                for a in questions.ask_some(rng, scene, args.per_picture, SHARES)]
        ids, mask = pad(tokenizer.encode_batch([a[1] for a in asks]))
        looked = eyes.look(picture, ids, mask, args.per_picture)
        loss, stats = loss_of(heads, looked, table, facts, owners, asks)
        loss.backward()
        norm = optimiser.step(model.schedule(step, args.steps, args.lr, args.warm))
        for name, value in stats.items():
            if torch.isfinite(value):
                sums.setdefault(name, []).append(float(value.detach()))
        asked += len(asks)
        if step % 50 == 49:
            text = "  ".join(f"{k} {numpy.mean(v):.3f}" for k, v in sorted(sums.items()))
            print(f"{step + 1:5d}  {asked / (time.time() - began):.0f}/s  {text}  norm {norm:.2f}",
                  flush=True)
            sums = {}
        if step % 250 == 249 or step + 1 == args.steps:
            model.save(args.out, {
                "eyes": {k: v.float() for k, v in eyes.state_dict().items()},
                "heads": {k: v.float() for k, v in heads.state_dict().items()}})


if __name__ == "__main__":
    main()
