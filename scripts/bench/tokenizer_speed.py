#!/usr/bin/env python3
"""Compares the speed of saccade's tokenizer with that of Hugging Face `tokenizers`.

Both encode the same texts of 10 KB on one thread, in CPU time, so that other load on the machine
does not count; the median of many runs is printed. "warm" encodes one text again and again, so both
word caches hold every word; "new" encodes a text that was never seen before in each run.

    .venv/bin/python scripts/bench/tokenizer_speed.py --tool build/bin/tokenizer_tool
"""

import argparse
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/server/tokenizer"))
import reference_tokenizers  # noqa: E402

KIND_NAMES = ["gpt2", "llama3", "qwen2", "smollm2", "other_regex", "legacy_llama", "metaspace_first",
              "bert", "unigram"]
TEXT_BYTES = 10 * 1024


def texts(count):
    """`count` different texts of 10 KB: this repository's prose and code, then mixed scripts."""
    files = sorted(ROOT.glob("*.md")) + sorted(ROOT.glob("docs/**/*.md")) + sorted(
        ROOT.glob("engine/**/*.cc")) + sorted(ROOT.glob("server/**/*.cc")) + sorted(ROOT.glob("tests/**/*.cc"))
    source = b"".join(path.read_bytes() for path in files)
    source += " ".join(reference_tokenizers.texts(2000, 11)).encode()
    step = (len(source) - TEXT_BYTES) // count
    return [source[i * step:i * step + TEXT_BYTES].decode(errors="ignore") for i in range(count)]


def reference_seconds(tokenizer, text):
    start = time.thread_time()
    tokenizer.encode(text, add_special_tokens=False)
    return time.thread_time() - start


def tool_seconds(tool, folder, samples, runs):
    requests = "".join(json.dumps({"speed": text.encode().hex(), "runs": runs}) + "\n" for text in samples)
    done = subprocess.run([tool, folder], input=requests, capture_output=True, text=True, check=True)
    return [second for line in done.stdout.splitlines() for second in json.loads(line)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tool", default=str(ROOT / "build/bin/tokenizer_tool"))
    parser.add_argument("--kinds", default=",".join(KIND_NAMES))
    parser.add_argument("--runs", type=int, default=60)
    args = parser.parse_args()
    samples = texts(args.runs)
    print(f"{platform.processor() or platform.machine()}, one thread, {TEXT_BYTES} bytes, "
          f"median CPU milliseconds of {args.runs} runs")
    print("| tokenizer | text | tokenizers | saccade | times faster |\n|---|---|---|---|---|")
    for kind in args.kinds.split(","):
        tokenizer = reference_tokenizers.KINDS[kind]()
        with tempfile.TemporaryDirectory() as folder:
            tokenizer.save(folder + "/tokenizer.json")
            for name, theirs, ours in [
                ("new", [reference_seconds(tokenizer, text) for text in samples],
                 tool_seconds(args.tool, folder, samples, 1)),
                ("warm", [reference_seconds(tokenizer, samples[0]) for _ in samples],
                 tool_seconds(args.tool, folder, samples[:1], args.runs)),
            ]:
                a, b = statistics.median(theirs) * 1e3, statistics.median(ours) * 1e3
                print(f"| {kind} | {name} | {a:.3f} | {b:.3f} | {a / b:.1f} |", flush=True)


if __name__ == "__main__":
    main()
