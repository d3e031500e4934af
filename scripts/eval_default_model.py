#!/usr/bin/env python3
"""Asks the default model questions about scenes it has never seen and counts exact answers.

    python scripts/eval_default_model.py --url http://127.0.0.1:8000     # a running server
    python scripts/eval_default_model.py --transformers models/default   # the reference library

Every question has a scene of its own, drawn from seeds that training never uses. The pictures go
in as PNG at their own size, temperature is 0. An answer is exact when it equals the expected word
after lower-casing and dropping the final stop; for counts "3" and "three" are the same. A caption
counts as exact when its whole sentence is; the share of objects it names right is given beside it.
With --write the table goes to docs/default_model.md.
"""

import argparse
import base64
import collections
import datetime
import io
import json
import os
import platform
import random
import re
import shlex
import sys
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts" / "train_default_model"))

import questions  # noqa: E402
import scenes  # noqa: E402
from data import EVAL_SEED  # noqa: E402

REQUIRED = ("color", "shape", "count", "left/right", "above/below")
OTHERS = [k for k in questions.KINDS if k not in REQUIRED]
TURNS = [*REQUIRED * 4, *OTHERS]
NUMBER_WORDS = {w: str(i) for i, w in enumerate(
    "zero one two three four five six seven eight nine".split())}
REPORT = ROOT / "docs" / "default_model.md"
MARK = "<!-- results -->"
COLORS = "|".join(scenes.BACKGROUND_COLORS)


def make_questions(count: int, seed: int) -> list:
    """`count` dictionaries: kind, picture (Pillow), question, answer; kinds take turns,
    those of REQUIRED four times as often as the others."""
    found, number = [], 0
    while len(found) < count:
        kind = TURNS[len(found) % len(TURNS)]
        rng = random.Random(EVAL_SEED + seed * 10_000_000 + number)
        number += 1
        scene, picture, _ = scenes.make_scene(rng, rng.choice([1, 2, 3, 4, 5]))
        pair = questions.ask(rng, scene, kind)
        if pair:
            found.append({"kind": kind, "picture": picture, "scene": scene,
                          "question": questions.vary(rng, pair[0], pair[1]), "answer": pair[1]})
    return found


def normal(text: str) -> str:
    text = text.strip().lower().rstrip(".")
    return NUMBER_WORDS.get(text, text)


def named_objects(text: str) -> collections.Counter:
    return collections.Counter(re.findall(rf"({COLORS}) (?:digit )?(\w+)", text.lower()))


def png(picture) -> bytes:
    data = io.BytesIO()
    picture.save(data, "PNG")
    return data.getvalue()


class Server:
    def __init__(self, url: str, key: str | None):
        self.url, self.headers = url.rstrip("/"), {"Content-Type": "application/json"}
        if key:
            self.headers["Authorization"] = f"Bearer {key}"
        with self.open("/v1/models", None) as reply:
            self.model = json.load(reply)["data"][0]["id"]
        self.name = "the HTTP server, POST /v1/chat/completions"

    def open(self, path: str, body):
        data = None if body is None else json.dumps(body).encode()
        return urllib.request.urlopen(
            urllib.request.Request(self.url + path, data, self.headers), timeout=120)

    def answer(self, picture, question: str) -> str:
        url = "data:image/png;base64," + base64.b64encode(png(picture)).decode()
        parts = [{"type": "image_url", "image_url": {"url": url}}]
        if question:
            parts.append({"type": "text", "text": question})
        with self.open("/v1/chat/completions", {
                "model": self.model, "temperature": 0, "max_tokens": 64,
                "messages": [{"role": "user", "content": parts}]}) as reply:
            return json.load(reply)["choices"][0]["message"]["content"]


class Reference:
    """The same checkpoint through Hugging Face transformers."""

    def __init__(self, folder: str):
        import torch
        from transformers import InstructBlipForConditionalGeneration, InstructBlipProcessor

        self.torch = torch
        self.processor = InstructBlipProcessor.from_pretrained(folder)
        self.model = InstructBlipForConditionalGeneration.from_pretrained(
            folder, dtype=torch.bfloat16).eval()
        self.name = "transformers (InstructBlipForConditionalGeneration)"

    def answer(self, picture, question: str) -> str:
        torch, p = self.torch, self.processor
        prompt = p.tokenizer.apply_chat_template(
            [{"role": "user", "content": question}], tokenize=False, add_generation_prompt=True)
        image_id, queries = self.model.config.image_token_index, self.model.config.num_query_tokens
        ids = torch.tensor([[image_id] * queries + p.tokenizer(prompt).input_ids])
        asked = p.qformer_tokenizer(question, return_tensors="pt", truncation=True)
        pixels = p.image_processor(picture, return_tensors="pt").pixel_values
        with torch.no_grad():
            out = self.model.generate(
                pixel_values=pixels.to(torch.bfloat16), qformer_input_ids=asked.input_ids,
                qformer_attention_mask=asked.attention_mask, input_ids=ids,
                attention_mask=torch.ones_like(ids), max_new_tokens=64, do_sample=False)
        new = out[0, ids.shape[1]:] if out.shape[1] > ids.shape[1] else out[0]
        return p.tokenizer.decode(new, skip_special_tokens=True)


def evaluate(model, asked: list, show: int) -> dict:
    """kind -> [exact, asked]; "caption objects" -> [objects named right, objects there]."""
    tally = collections.defaultdict(lambda: [0, 0])
    for q in asked:
        said = model.answer(q["picture"], q["question"])
        exact = normal(said) == normal(q["answer"])
        tally[q["kind"]][0] += exact
        tally[q["kind"]][1] += 1
        if q["kind"] == "caption":
            there, named = named_objects(q["answer"]), named_objects(said)
            tally["caption objects"][0] += (there & named).total()
            tally["caption objects"][1] += there.total()
        if not exact and show > 0:
            show -= 1
            print(f"  {q['kind']}: {q['question']!r} -> {said!r}, expected {q['answer']!r}")
    return tally


def table(tally: dict) -> str:
    lines = ["| question kind | exact answers | asked | share |", "|---|---|---|---|"]
    rows = [(kind, *tally[kind]) for kind in (*questions.KINDS, "caption objects") if kind in tally]
    required = [r for r in rows if r[0] in REQUIRED]
    rows.append(("**color, shape, count and position together**",
                 sum(r[1] for r in required), sum(r[2] for r in required)))
    lines += [f"| {kind} | {right} | {n} | {100 * right / max(1, n):.1f} % |"
              for kind, right, n in rows]
    return "\n".join(lines)


def processor_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def write_report(text: str, model_name: str, count: int, seconds: float) -> None:
    command = "python scripts/" + " ".join(map(shlex.quote, [Path(sys.argv[0]).name, *sys.argv[1:]]))
    section = (f"{MARK}\n\nMeasured {datetime.date.today().isoformat()} through {model_name}, "
               f"{count} questions about {count} scenes never seen in training, greedy, "
               f"{seconds:.0f} s, on {os.cpu_count()} cores of {processor_name()}:\n\n"
               f"```\n{command}\n```\n\n{text}\n")
    old = REPORT.read_text(encoding="utf-8") if REPORT.exists() else "# The default model\n\n" + MARK
    REPORT.write_text(old.split(MARK)[0] + section, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--url", default="http://127.0.0.1:8000", help="a running server")
    where.add_argument("--transformers", metavar="DIR", help="evaluate with the reference library")
    parser.add_argument("--api-key")
    parser.add_argument("--count", type=int, default=500, help="questions")
    parser.add_argument("--seed", type=int, default=0, help="another set of unseen scenes")
    parser.add_argument("--show", type=int, default=0, metavar="N", help="print N wrong answers")
    parser.add_argument("--write", action="store_true", help="put the table into docs/")
    parser.add_argument("--least", type=float, default=0.0,
                        help="exit 1 if a required kind is below this share")
    args = parser.parse_args()
    model = Reference(args.transformers) if args.transformers else Server(args.url, args.api_key)
    began = time.time()
    tally = evaluate(model, make_questions(args.count, args.seed), args.show)
    text = table(tally)
    print(text)
    if args.write:
        write_report(text, model.name, args.count, time.time() - began)
    worst = min(tally[k][0] / max(1, tally[k][1]) for k in REQUIRED)
    if worst < args.least:
        sys.exit(f"a required kind is at {worst:.3f}, below {args.least}")


if __name__ == "__main__":
    main()
