"""What rounding the weights, or the keys and values, costs: perplexity of the default model's language half on a fixed text
(the GNU GPL 3, which every Debian system holds), read off the server's prompt log-probabilities.

    .venv/bin/python scripts/bench/perplexity.py        # writes docs/benchmarks/perplexity.md
"""

import datetime
import json
import math
import pathlib
import sys
import urllib.request

import compare_llama_cpp as bench

ROOT = pathlib.Path(__file__).resolve().parents[2]
TEXT = pathlib.Path("/usr/share/common-licenses/GPL-3")
WINDOW = 1024  # tokens that are scored in one request, each given those before it in the window
RUNS = {"float32": ["--dtype", "float32"], "bfloat16": ["--dtype", "bfloat16"],
        "int8": ["--dtype", "bfloat16", "--quantization", "int8"],
        "int4": ["--dtype", "bfloat16", "--quantization", "int4"],
        "bfloat16, keys and values int8": ["--dtype", "bfloat16", "--kv-cache-dtype", "int8"]}
ALLOWED = {"int8": 1.01, "int4": 1.05, "bfloat16, keys and values int8": 1.01}  # times the bfloat16 figure


def ask(port, path, body):
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", json.dumps(body).encode(),
                                     {"Content-Type": "application/json"})
    return json.load(urllib.request.urlopen(request, timeout=600))


def perplexity(port) -> tuple[float, int]:
    ids = ask(port, "/tokenize", {"prompt": TEXT.read_text(), "add_special_tokens": False})["tokens"]
    total, count = 0.0, 0
    for first in range(0, len(ids), WINDOW):
        window = ids[first:first + WINDOW]
        if len(window) < 2:
            break
        answer = ask(port, "/v1/completions", {"prompt": window, "max_tokens": 1, "prompt_logprobs": 0,
                                               "temperature": 0})
        for token, entry in zip(window[1:], answer["choices"][0]["prompt_logprobs"][1:], strict=True):
            total -= entry[str(token)]["logprob"]
            count += 1
    return math.exp(total / count), count


def main():
    results = {}
    for name, options in RUNS.items():
        def command(port, options=options):
            return [bench.SACCADE, "serve", bench.MODEL, "--port", port, "--log-level", "off", *options]
        with bench.serving(command) as (_, port):
            results[name], count = perplexity(port)
        print(f"{name}: {results[name]:.4f}", file=sys.stderr)
    base = results["bfloat16"]
    lines = ["# Perplexity with rounded weights, and with rounded keys and values", "",
             f"Written by `.venv/bin/python scripts/bench/perplexity.py` on {datetime.date.today().isoformat()}, "
             f"{bench.machine()}. SmolLM2-135M, whose weights here come from a Q4_1 file: what int4 can lose against "
             f"them is little. {count} tokens of the GNU GPL 3 in windows of {WINDOW}.", "",
             "| weights | perplexity | over bfloat16 | allowed |", "|---|---|---|---|"]
    for name, value in results.items():
        allowed = ALLOWED.get(name)
        verdict = "" if allowed is None else f"{allowed:.2f}: {'met' if value <= allowed * base else '**missed**'}"
        lines.append(f"| {name} | {value:.4f} | {value / base:.4f} | {verdict} |")
    output = ROOT / "docs" / "benchmarks" / "perplexity.md"
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
