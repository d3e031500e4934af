#!/usr/bin/env python3
"""Benchmarks of models with the shapes of published ones on a GPU: docs/benchmarks/gpu.{md,json}.

    gpu.py --bench build-cuda/bin/saccade_bench [--work FOLDER] [--only MODEL]...
    gpu.py --page      writes gpu.md anew from gpu.json

Weights are random (random_checkpoint.py); FOLDER wants 16 GB and is best in memory (checkpoints that
lie there already are used; each is removed behind its run). What is measured
is the engine alone: scheduler, executor and sampling, no HTTP. Shares are of a copy's bandwidth and
of a bfloat16 product, both measured in the same process before the model runs.
"""

import argparse
import datetime
import json
import pathlib
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
OUT = ROOT / "docs" / "benchmarks"
TEXT = ["--prompt-tokens", "704", "--output-tokens", "128", "--batch", "1", "--batch", "8", "--batch", "64"]
RUNS = {
    "llama-7b": TEXT,
    "llama-3-8b": TEXT,
    "llava-1.5-7b": ["--prompt-tokens", "640", "--output-tokens", "64", "--batch", "16", "--batch", "64",
                     "--images", "16", "--requests", "256"],
    "instructblip-vicuna-7b": ["--prompt-tokens", "96", "--output-tokens", "8", "--batch", "64", "--images", "16",
                               "--requests", "512"],
}
TARGETS = {("llama-7b", 1): 250, ("llama-7b", 64): 5600}
REQUEST_TARGETS = {"llava-1.5-7b": 28, "instructblip-vicuna-7b": 126}


def card():
    query = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    return subprocess.run(query, capture_output=True, text=True, check=True).stdout.strip()


def measure(bench, model, work):
    folder = work / model
    if not (folder / "config.json").exists():  # written last
        subprocess.run([sys.executable, ROOT / "scripts/bench/random_checkpoint.py", model, folder], check=True)
    command = [bench, folder, "--device", "cuda", "--dtype", "bfloat16", "--max-num-batched-tokens", "2048",
               "--ceiling", "--json", *RUNS[model]]
    run = subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=300)
    shutil.rmtree(folder)
    if run.returncode != 0:
        sys.exit(f"{model}: {run.stdout}{run.stderr}")
    return [json.loads(line) for line in run.stdout.splitlines()]


def verdict(value, target):
    return f">= {target}: {'met' if value >= target else '**missed**'}" if target else ""


def text_rows(model, lines):
    for line in lines:
        if "batch" not in line:
            continue
        rate = line["decode_tokens_per_s"]
        yield (f"| {model} | {line['batch']} | {line['prompt_tokens']} + {line['output_tokens']} | "
               f"{line['prefill_tokens_per_s']:.0f} ({line['prefill_gflop_share']:.0%}) | {rate:.0f} | "
               f"{line['decode_step_ms']:.2f} | {line['decode_bandwidth_share']:.0%} | "
               f"{verdict(rate, TARGETS.get((model, line['batch'])))} |")


def request_rows(model, lines):
    for line in lines:
        if "requests" not in line:
            continue
        rate = line["requests_per_s"]
        yield (f"| {model} | {line['requests']}, {line['running']} at a time | "
               f"{line['prompt_tokens']} + {line['output_tokens']} | {rate:.1f} | {line['steps']} | "
               f"{line['step_ms']:.2f} | {verdict(rate, REQUEST_TARGETS.get(model))} |")


def page(record):
    taken = record["models"]
    read = [line["ceiling"] for lines in taken.values() for line in lines if "ceiling" in line]
    text = [
        "# On a GPU", "",
        f"Written by `scripts/bench/gpu.py` on {record['date']}: {record['machine']}. Random weights with the",
        "shapes of published models, bfloat16, greedy, chunks of 2,048 tokens, scheduler and sampling included,",
        "no HTTP. Decode: the steps in which all sequences of the batch decode, after a run of the same shape.",
        *record.get("note", []), "",
        f"Measured ceilings: copy {max(c['read_gb_per_s'] for c in read):.0f} GB/s, bfloat16 product "
        f"{max(c['gemm_bf16_gflop_per_s'] for c in read) / 1000:.0f} TFLOP/s (8192 x 8192 x 8192).", "",
        "| model | batch | prompt + output | prefill tokens/s (share of the product) | decode tokens/s | step, ms | "
        "weights read: share of the copy | target |", "|---|---|---|---|---|---|---|---|",
    ]
    for model, lines in taken.items():
        text += text_rows(model, lines)
    text += ["", "| model | pictures in a batch | encode, ms each | share of the product |", "|---|---|---|---|"]
    for model, lines in taken.items():
        text += [f"| {model} | {line['images']} | {line['encode_ms']:.2f} | {line['encode_gflop_share']:.0%} |"
                 for line in lines if "images" in line]
    text += ["", "Complete requests, each with a picture of its own: encoding, prefill and every token of the answer,",
             "from the first step to the last answer's end. All wait from the start (so a place that comes free is",
             "taken at once); reading and resizing pictures and HTTP are not in it.", "",
             "| model | requests | prompt (picture included) + output | requests/s | steps | step, ms | target |",
             "|---|---|---|---|---|---|---|"]
    for model, lines in taken.items():
        text += request_rows(model, lines)
    return "\n".join(text) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bench", type=pathlib.Path)
    parser.add_argument("--page", action="store_true")
    parser.add_argument("--work", type=pathlib.Path, default=pathlib.Path("/dev/shm"))
    parser.add_argument("--out", type=pathlib.Path, default=OUT)
    parser.add_argument("--only", action="append", choices=RUNS)
    arguments = parser.parse_args()
    results = arguments.out / "gpu.json"
    if not arguments.page:
        record = {"date": str(datetime.date.today()), "machine": card(), "models": {}}
        for model in arguments.only or RUNS:
            record["models"][model] = measure(arguments.bench, model, arguments.work)
            results.write_text(json.dumps(record, indent=1))
            print(*record["models"][model], sep="\n", flush=True)
    (arguments.out / "gpu.md").write_text(page(json.loads(results.read_text())))


if __name__ == "__main__":
    main()
