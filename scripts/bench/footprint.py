"""What a server of the default model takes: seconds until it is ready, memory after the start and after thousands of
pictures, how soon a picture that was seen before is answered, and how near its vision half comes to the ceiling. Writes docs/benchmarks/footprint.md.

    .venv/bin/python scripts/bench/footprint.py [--pictures 2000]
"""

import argparse
import base64
import datetime
import io
import pathlib
import random
import statistics
import time

import compare_llama_cpp as bench
from perplexity import ask
from PIL import Image, ImageDraw

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODEL = ROOT / "models" / "default"
DTYPE = "bfloat16"
KV_BYTES = 256 << 20
FILLING = 400  # pictures whose prompts fill the pool: its pages are taken as they are written


def server(port):
    return [bench.SACCADE, "serve", MODEL, "--port", port, "--dtype", DTYPE, "--threads", bench.THREADS,
            "--kv-cache-memory", KV_BYTES, "--log-level", "off"]


def encode_share():
    """(milliseconds a picture, share of the measured GFLOP/s) of the vision half, 8 pictures in one batch."""
    rows = bench.json_lines(bench.command_output([
        bench.SACCADE, "bench", MODEL, "--dtype", DTYPE, "--threads", bench.THREADS, "--batch", 1, "--prompt-tokens", 16,
        "--output-tokens", 2, "--images", 8, "--ceiling", "--json"]))
    row = next(row for row in rows if "images" in row)
    return row["encode_ms"], row["encode_gflop_share"]


def picture(seed):
    """A scene of shapes, different for each seed, as a data URL."""
    rng = random.Random(seed)
    image = Image.new("RGB", (320, 240), tuple(rng.randrange(256) for _ in range(3)))
    draw = ImageDraw.Draw(image)
    for _ in range(6):
        x, y, size = rng.randrange(280), rng.randrange(200), rng.randrange(10, 60)
        draw.ellipse([x, y, x + size, y + size], fill=tuple(rng.randrange(256) for _ in range(3)))
    data = io.BytesIO()
    image.save(data, "PNG")
    return "data:image/png;base64," + base64.b64encode(data.getvalue()).decode()


def question(url, tokens=1):
    return {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}},
                                                      {"type": "text", "text": "What do you see?"}]}],
            "temperature": 0, "max_tokens": tokens, "ignore_eos": True}


def answer_seconds(port, url):
    start = time.perf_counter()
    ask(port, "/v1/chat/completions", question(url))
    return time.perf_counter() - start


def start_seconds():
    start = time.perf_counter()
    with bench.serving(server):
        return time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=2000)
    options = parser.parse_args()
    encode_ms, encode = encode_share()
    weights_mb = sum(file.stat().st_size for file in MODEL.glob("*.safetensors")) / 1048576
    start_seconds()  # fills the page cache
    starts = [start_seconds() for _ in range(3)]
    with bench.serving(server) as (process, port):
        loaded = bench.resident_mb(process.pid)
        for seed in range(FILLING):
            ask(port, "/v1/chat/completions", question(picture(seed), 8))
        warm = bench.resident_mb(process.pid)
        fresh, again = [], []
        for seed in range(FILLING, FILLING + 20):
            url = picture(seed)
            fresh.append(answer_seconds(port, url))
            again.append(answer_seconds(port, url))
        for seed in range(1000, 1000 + options.pictures):
            ask(port, "/v1/chat/completions", question(picture(seed), 8))
        after = bench.resident_mb(process.pid)
    pool_mb = KV_BYTES / 1048576
    share = loaded / (weights_mb + pool_mb)
    ratio = statistics.median(again) / statistics.median(fresh)
    rows = [
        ("ready after exec, page cache warm", f"{statistics.median(starts):.2f} s ({min(starts):.2f}-{max(starts):.2f})",
         "< 2 s", statistics.median(starts) < 2),
        ("resident after the start", f"{loaded:.0f} MiB: {share:.2f}x weights ({weights_mb:.0f} MiB) + KV pool ({pool_mb:.0f} MiB)",
         "<= 1.15x", share <= 1.15),
        (f"resident after {FILLING} pictures, which fill the pool, then after {options.pictures} more",
         f"{warm:.0f}, {after:.0f} MiB", "flat within 5 %", after <= 1.05 * warm),
        ("first token of a picture seen before / never seen", f"{1000 * statistics.median(again):.0f} / "
         f"{1000 * statistics.median(fresh):.0f} ms: {ratio:.2f}x", "<= 0.25x", ratio <= 0.25),
        ("encoding of 8 pictures in one batch", f"{encode_ms:.1f} ms each, {encode:.0%} of the measured GFLOP/s", ">= 70 %",
         encode >= 0.7),
    ]
    lines = ["# What a server takes", "",
             f"Written by `.venv/bin/python scripts/bench/footprint.py` on {datetime.date.today().isoformat()}, "
             f"{bench.machine()}. The default model in {DTYPE}, one client.", "", "| what | measured | target | |", "|---|---|---|---|"]
    lines += [f"| {what} | {measured} | {target} | {'met' if met else '**missed**'} |" for what, measured, target, met in rows]
    (ROOT / "docs" / "benchmarks" / "footprint.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
