"""Stage 2: alignment through the decoder, which stays as it is.

The visual tokens stand in front of the chat prompt, the loss is the decoder's own on the answer,
and its gradient reaches the projection, the queries and the Q-Former. The losses of stage 1 stay
on with a small weight so that the queries keep what they know.

    python stage2.py --data DIR --start stage1.pt --language DIR --out stage2.pt
"""

import argparse
import random
import time
from pathlib import Path

import numpy
import torch

import model
import questions
import stage1
from data import Shards
from decoder import Decoder

SYSTEM = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"
# Captions are whole sentences and need more examples here than in stage 1.
SHARES = {**stage1.SHARES, "caption": 5, "digit": 1.5}
OTHER_SYSTEMS = ["You are a helpful assistant.", "Answer questions about pictures.", None]


def prompt(rng: random.Random, scene, question: str) -> str:
    """The chat template's text up to the answer; now and then with another system prompt or with
    an earlier turn about the same picture."""
    system = SYSTEM if rng.random() < 0.9 else rng.choice(OTHER_SYSTEMS)
    text = f"<|im_start|>system\n{system}<|im_end|>\n" if system else ""
    if rng.random() < 0.1:
        _, earlier, said, *_ = questions.ask_some(rng, scene, 1, stage1.SHARES)[0]
        text += (f"<|im_start|>user\n{earlier}<|im_end|>\n<|im_start|>assistant\n"
                 f"{said}<|im_end|>\n")
    return text + f"<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--start", type=Path, required=True, help="stage1.pt or stage2.pt")
    parser.add_argument("--language", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--shards", type=int, default=2)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--batch", type=int, default=4, help="pictures")
    parser.add_argument("--per-picture", type=int, default=4, help="questions")
    parser.add_argument("--lr", type=float, default=4e-4)
    parser.add_argument("--warm", type=int, default=50)
    parser.add_argument("--seed", type=int, default=3)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    rng, pick = random.Random(args.seed), numpy.random.default_rng(args.seed)
    tokenizer, table = stage1.question_tokenizer(), stage1.word_table(args.language)
    decoder = Decoder(args.language)
    eyes, heads = model.Eyes(tokenizer.get_vocab_size()), stage1.Heads()
    old = torch.load(args.start)
    eyes.load_state_dict(old["eyes"])
    heads.load_state_dict(old["heads"])
    eyes, heads = eyes.bfloat16(), heads.bfloat16()
    front = [eyes.query_tokens, *eyes.language_projection.parameters()]
    optimiser = model.MasterAdam([(front, 1.0), (list(eyes.qformer.parameters()), 0.25)],
                                 weight_decay=0.01)
    shards = Shards(args.data)
    began, sums, asked = time.time(), {}, 0
    for step in range(args.steps):
        rows = pick.integers(0, args.shards * len(shards.scenes[0]), args.batch)
        images, (owners, *_), facts = shards.batch(rows)
        with torch.no_grad():
            picture = eyes.vision_model(model.normalise(images).bfloat16())
        asks = [a for scene in facts
                for a in questions.ask_some(rng, scene, args.per_picture, SHARES)]
        ids, mask = stage1.pad(tokenizer.encode_batch([a[1] for a in asks]))
        kinds = [a[0] for a in asks]
        looked = eyes.look(picture, ids, mask, args.per_picture)
        cheap, stats = stage1.loss_of(heads, looked, table, facts, owners, asks)
        askers = [scene for scene in facts for _ in range(args.per_picture)]
        spoken, right = decoder.loss(looked[-1], [(prompt(rng, s, a[1]), a[2])
                                                   for s, a in zip(askers, asks)])
        (spoken + 0.3 * cheap).backward()
        optimiser.step(model.schedule(step, args.steps, args.lr, args.warm))
        known = {"spoken": spoken, "queries": torch.stack(
            [stats[k] for k in set(kinds) if k != "caption"]).mean()}
        for kind in set(kinds):
            known[kind] = right[[k == kind for k in kinds]].float().mean()
        for name, value in known.items():
            sums.setdefault(name, []).append(float(value.detach()))
        asked += len(asks)
        if step % 20 == 19:
            text = "  ".join(f"{k} {numpy.mean(v):.3f}" for k, v in sorted(sums.items()))
            print(f"{step + 1:5d}  {asked / (time.time() - began):.1f}/s  {text}", flush=True)
            sums = {}
        if step % 50 == 49 or step + 1 == args.steps:
            model.save(args.out, {
                "eyes": {k: v.float() for k, v in eyes.state_dict().items()},
                "heads": {k: v.float() for k, v in heads.state_dict().items()}})


if __name__ == "__main__":
    main()
