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
from torch.nn import functional as F

import model
import questions
import stage1
from data import Shards

SYSTEM = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"
OTHER_SYSTEMS = ["You are a helpful assistant.", "Answer questions about pictures.", None]
IGNORE = -100


def prompt(rng: random.Random, scene, question: str) -> str:
    """The chat template's text up to the answer; now and then with another system prompt or with
    an earlier turn about the same picture."""
    system = SYSTEM if rng.random() < 0.9 else rng.choice(OTHER_SYSTEMS)
    text = f"<|im_start|>system\n{system}<|im_end|>\n" if system else ""
    if rng.random() < 0.1:
        _, earlier, said = questions.ask_some(rng, scene, 1, stage1.SHARES)[0]
        text += (f"<|im_start|>user\n{earlier}<|im_end|>\n<|im_start|>assistant\n"
                 f"{said}<|im_end|>\n")
    return text + f"<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n"


class Decoder:
    """The frozen language model, bfloat16."""

    def __init__(self, folder: Path):
        from tokenizers import Tokenizer
        from transformers import AutoModelForCausalLM

        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.model = AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.bfloat16, attn_implementation="eager").eval().requires_grad_(False)
        self.embedding = self.model.get_input_embeddings().weight

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
        """Mean over the questions of their answer's mean loss; and per question whether every
        token of the answer was the most likely one."""
        ids, labels = self.batch(pairs)
        inputs = torch.cat([tokens, F.embedding(ids, self.embedding)], 1)
        hidden = self.model.model(inputs_embeds=inputs, use_cache=False).last_hidden_state
        hidden = hidden[:, tokens.shape[1] - 1:-1]
        where = labels != IGNORE
        logits = F.linear(hidden[where], self.embedding).float()
        wanted, owner = labels[where], where.nonzero()[:, 0]
        each = F.cross_entropy(logits, wanted, reduction="none")
        share = 1 / where.sum(1).float().sqrt()  # long captions count more than short answers
        wrong = torch.zeros(len(pairs)).index_add_(
            0, owner, (logits.argmax(-1) != wanted).float())
        return (each * share[owner]).sum() / len(pairs), wrong == 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--start", type=Path, required=True, help="stage1.pt or stage2.pt")
    parser.add_argument("--language", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--shards", type=int, default=2)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--batch", type=int, default=6, help="pictures")
    parser.add_argument("--per-picture", type=int, default=4, help="questions")
    parser.add_argument("--lr", type=float, default=5e-4)
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
    optimiser = model.MasterAdam([(front, 1.0), (list(eyes.qformer.parameters()), 0.4)],
                                 weight_decay=0.01)
    shards = Shards(args.data)
    began, sums, asked = time.time(), {}, 0
    for step in range(args.steps):
        rows = pick.integers(0, args.shards * len(shards.scenes[0]), args.batch)
        images, _, facts = shards.batch(rows)
        with torch.no_grad():
            picture = eyes.vision_model(model.normalise(images).bfloat16())
        asks = [a for scene in facts
                for a in questions.ask_some(rng, scene, args.per_picture, stage1.SHARES)]
        ids, mask = stage1.pad(tokenizer.encode_batch([q for _, q, _ in asks]))
        states, tokens = eyes.look(picture, ids, mask, args.per_picture)
        kinds = [k for k, _, _ in asks]
        answers = torch.tensor([stage1.WORD_ID["picture" if k == "caption" else a]
                                for k, _, a in asks])
        cheap, stats = stage1.loss_of(heads, states, tokens, table, answers, facts,
                                      args.per_picture, kinds)
        owners = [scene for scene in facts for _ in range(args.per_picture)]
        spoken, right = decoder.loss(tokens, [(prompt(rng, s, q), a)
                                              for s, (_, q, a) in zip(owners, asks)])
        (spoken + 0.3 * cheap).backward()
        optimiser.step(model.schedule(step, args.steps, args.lr, warm=50))
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
