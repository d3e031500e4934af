#!/usr/bin/env python3
"""Random shapes of a family: the reference library and the real binary must say the same. See README.md.

    SACCADE_BINARY=build/bin/saccade python scripts/golden/compare_random.py --family llava --count 20 --seed 0
"""

import argparse
import base64
import pathlib
import re
import sys
import tempfile
import traceback

import torch
import transformers

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "scripts" / "golden"), str(ROOT / "tests" / "e2e")]

import build  # noqa: E402
import hub_shapes  # noqa: E402
import random_files  # noqa: E402
import random_prompts  # noqa: E402
import random_rarities  # noqa: E402
import random_shapes  # noqa: E402
from prompts import Prompter  # noqa: E402
from reference import BLIP, Reference, model_inputs  # noqa: E402
from server_process import Server, run  # noqa: E402

STEPS, TOP, TOLERANCE = 12, 5, 1e-4
NO_TOKEN = 1 << 30  # never chosen: generate() goes on beyond end tokens


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--family", action="append", help="repeatable; default: all")
    parser.add_argument("--count", type=int, default=5, help="shapes of each family")
    parser.add_argument("--seed", type=int, default=0, help="of the first shape; the next has the next")
    parser.add_argument("--shape", action="append", metavar="FAMILY:SEED", help="only these shapes; repeatable")
    parser.add_argument("--hub", action="append", choices=[*hub_shapes.SHAPES, "all"], metavar="NAME",
                        help="only these of hub_shapes.py; repeatable")
    parser.add_argument("--tolerance", type=float, default=TOLERANCE, help="of log-probabilities")
    parser.add_argument("--keep", type=pathlib.Path, help="folder for the checkpoints that differ")
    arguments = parser.parse_args()
    hub = hub_shapes.SHAPES if arguments.hub == ["all"] else arguments.hub
    shapes = [tuple(shape.split(":")) for shape in arguments.shape or ()] or [("hub", name) for name in hub or ()] or [
        (family, seed)
        for family in arguments.family or random_shapes.FAMILIES
        for seed in range(arguments.seed, arguments.seed + arguments.count)
    ]
    findings = [report(f, seed, arguments.tolerance, arguments.keep) for f, seed in shapes]
    return min(sum(findings), 1)


def report(family, seed, tolerance, keep=None):
    """Prints what differs; how many findings."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = (keep or pathlib.Path(scratch)) / f"{family}_{seed}"
        outcome, findings = compare(family, seed, tolerance, folder)
    print(f"{family} {seed}: {outcome}", *findings, sep="\n    ", flush=True)
    return len(findings)


def compare(family, seed, tolerance, folder):
    """(one line, findings) of one shape, whose checkpoint is made in `folder`."""
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    rng = random_shapes.Draw(f"files {family} {seed}")
    try:
        spec = hub_shapes.make(seed, folder) if family == "hub" else _draw(rng, family, seed, folder)
        family = spec.family
        model, processor = build.load(spec, folder)
        if "phi3" in family:  # grown beyond the original length, eager attention has lost its mask
            model.set_attn_implementation("sdpa")
    except Exception as error:  # noqa: BLE001  whatever the library throws: it does not take this shape
        return f"the library refuses: {_last_line(error)}", []
    inspected = run("inspect", folder)
    if inspected.returncode != 0:
        return "inspect fails", [inspected.stderr.strip()[-300:]]
    named = re.findall(r"^(?:missing|unused) tensors: (?!none).*", inspected.stdout, re.M)
    findings = [line.strip() for line in named]
    try:
        server = Server(folder)
    except AssertionError as error:
        return "does not start", [str(error)[-300:]]
    try:
        asked, worst, refused = 0, 0.0, []
        tokenizer = getattr(processor, "tokenizer", processor)
        for prompt in random_prompts.prompts(rng, spec, folder, 4):
            try:
                expected = Expected(Reference(model, family), Prompter(family, processor), prompt)
            except Exception as error:  # noqa: BLE001
                refused.append(_last_line(error))
                continue
            found, distance = _ask(server, model, tokenizer, expected, prompt)
            asked, worst = asked + 1, max(worst, distance)
            findings += found
            if distance > tolerance:
                findings.append(f"log-probabilities differ by {distance:.1e} | {repr(prompt)[:200]}")
        left = f", the library refuses {len(refused)}: {refused[0]}" if refused else ""
        return f"{asked} prompts, log-probabilities within {worst:.1e}{left}", findings
    finally:
        server.stop()


def _draw(rng, family, seed, folder):
    spec = random_shapes.draw(family, seed)
    build.build(spec, folder)
    random_files.vary(rng, spec, folder)
    random_rarities.files(family, seed, spec, folder)
    return spec


def _last_line(error):
    where = traceback.extract_tb(error.__traceback__)[-1]
    text = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {text[0][:160]} ({pathlib.Path(where.filename).name}:{where.lineno})"


# ---- the reference's answer


class Expected:
    """Greedy ids, their log-probabilities [S,V] and the prompt's [T,V]."""

    def __init__(self, reference, prompter, prompt):
        self.record, inputs = prompter.prepare(prompt)
        self.inputs = inputs
        model = reference.model
        if reference.family in BLIP and "pixel_values" not in inputs:
            model = reference.decoder
        self.prompt = reference.forward(inputs).double().log_softmax(-1)
        reference.reset_rope()
        # Else generate() takes unknown tokens, whose id is that of the padding, for padding.
        mask = {"attention_mask": torch.ones_like(inputs["input_ids"])}
        with torch.no_grad():
            out = model.generate(
                **(mask | model_inputs(inputs)),
                max_new_tokens=STEPS,
                do_sample=False,
                num_beams=1,
                eos_token_id=NO_TOKEN,
                pad_token_id=0,
                return_dict_in_generate=True,
                output_logits=True,
            )
        self.ids = out.sequences[0, -STEPS:].tolist()
        self.rows = torch.cat(out.logits).double().log_softmax(-1)


# ---- the server's, and the comparison


def _ask(server, model, tokenizer, expected, prompt):
    """(findings, largest distance of a log-probability)"""
    label = repr(prompt)[:200]
    greedy = {"temperature": 0, "max_tokens": STEPS, "ignore_eos": True, "return_token_ids": True}
    if isinstance(prompt, str):
        body = {"prompt": prompt, "logprobs": TOP, **greedy}
        answer = server.post("/v1/completions", {**body, "prompt_logprobs": 1})
    else:
        body = {"messages": _with_data(prompt), "logprobs": True, "top_logprobs": TOP, **greedy}
        answer = server.post("/v1/chat/completions", {**body, "prompt_logprobs": 1})
    if answer.status_code != 200:
        return [f"{answer.status_code} for {label}: {answer.text[:300]}"], 0
    findings, distance = _differences(answer.json(), expected)
    findings += _text_differences(answer.json()["choices"][0], expected, tokenizer)
    end = next((i for i, token in enumerate(expected.ids) if token in _end_ids(model)), None)
    if end is not None and not findings:
        path = "/v1/completions" if isinstance(prompt, str) else "/v1/chat/completions"
        choice = server.post(path, {**body, "ignore_eos": False}).json()["choices"][0]
        if choice["finish_reason"] != "stop" or len(choice["token_ids"]) - end not in (0, 1):
            findings.append(f"should end at step {end}: {choice['token_ids']}, {choice['finish_reason']}")
    return [f"{text} | {label}" for text in findings], distance


def _text_differences(choice, expected, tokenizer):
    """Both readings occur: the new tokens by themselves, or what they add to the prompt's text."""
    ids, prompt = choice["token_ids"], expected.record["input_ids"]
    decode = lambda some: tokenizer.decode(some, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    text = choice["text"] if "text" in choice else choice["message"]["content"]
    before = decode(prompt)
    wanted = (decode(ids), decode(prompt + ids).removeprefix(before))
    # Of bytes that are no character the library shows as many marks as there are tokens; a stream cannot.
    cut = "\ufffd" in wanted[0]
    return [] if cut or text in wanted else [f"text {text!r} for {wanted}"]


def _end_ids(model):
    ids = model.generation_config.eos_token_id
    return ids if isinstance(ids, list) else [ids]


def _differences(answer, expected):
    choice, ids = answer["choices"][0], expected.record["input_ids"]
    seen = answer.get("prompt_token_ids") or choice.get("prompt_token_ids")
    if seen != ids:
        place = next((i for i, (a, b) in enumerate(zip(seen, ids)) if a != b), min(len(seen), len(ids)))
        near = slice(max(place - 2, 0), place + 6)
        return [f"prompt ids differ at {place}: {seen[near]} for {ids[near]} ({len(seen)} for {len(ids)})"], 0
    findings, distance = [], _prompt_distance(choice, answer, expected)
    for step, (chosen, entry) in enumerate(zip(choice["token_ids"], _entries(choice))):
        row = expected.rows[step]
        best = row.topk(TOP).values.tolist()
        # Which of two nearly equal tokens comes first is noise, and from there on the texts differ.
        close = best[0] - best[1] < 1e-3
        if chosen != expected.ids[step]:
            if not close:
                findings.append(f"step {step}: chose {chosen} for {expected.ids[step]}")
            break
        values = [abs(a - b) for a, b in zip([entry[0], *sorted(entry[1])[::-1]], [row[chosen], *best])]
        distance = max(distance, float(max(values)))
    return findings, distance


def _prompt_distance(choice, answer, expected):
    """The largest of those prompt tokens that are not pictures."""
    given = answer.get("prompt_logprobs") or choice.get("prompt_logprobs")
    worst = 0.0
    for place, found in enumerate(given or []):
        token = str(expected.record["input_ids"][place])
        if found and token in found:
            worst = max(worst, abs(found[token]["logprob"] - float(expected.prompt[place - 1, int(token)])))
    return worst


def _entries(choice):
    """(log-probability of the chosen token, those of the best) of each step.

    Completions have one entry for several tokens of one text: no such list is compared.
    """
    found = choice["logprobs"]
    if "content" in found:
        return [(e["logprob"], [t["logprob"] for t in e["top_logprobs"]]) for e in found["content"]]
    return [(value, []) for value in found["token_logprobs"]]


def _data_url(path):
    kind = {".png": "png", ".jpg": "jpeg"}[pathlib.Path(path).suffix]
    return f"data:image/{kind};base64," + base64.b64encode(pathlib.Path(path).read_bytes()).decode()


def _with_data(messages):
    def part(found):
        if found["type"] == "image_url":
            return {"type": "image_url", "image_url": {"url": _data_url(found["image_url"]["url"])}}
        if found["type"] == "video":
            return {**found, "frames": [_data_url(frame) for frame in found["frames"]]}
        return found

    return [
        m if isinstance(m["content"], str) else {**m, "content": [part(p) for p in m["content"]]}
        for m in messages
    ]


if __name__ == "__main__":
    sys.exit(main())
