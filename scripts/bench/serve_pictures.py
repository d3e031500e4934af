"""What pictures cost a server of the default model: the same short questions without a picture, each with a picture of
its own, and all with one picture, in closed loops of several clients that take turns. Writes docs/benchmarks/pictures.md.

    .venv/bin/python scripts/bench/serve_pictures.py [--rounds 3]
"""

import argparse
import asyncio
import datetime
import pathlib
import statistics

import compare_llama_cpp as bench
import footprint
import load_client

OUTPUT = pathlib.Path(__file__).resolve().parents[2] / "docs" / "benchmarks" / "pictures.md"
TOKENS = 16  # of each answer
LOADS = {"no picture": None, "a picture each": lambda seed: seed, "one picture": lambda seed: -1}


def body(load, seed):
    """A question of its own wording, so that no more of the prompt than its beginning is known."""
    choose = LOADS[load]
    question = footprint.question(footprint.picture(choose(seed)) if choose else "", TOKENS)
    parts = question["messages"][0]["content"]
    parts[1]["text"] = f"Question {seed}: what do you see?"
    question["messages"][0]["content"] = parts if choose else parts[1:]
    return question | {"stream": True, "stream_options": {"include_usage": True}}


def closed_loop(port, load, concurrency, seed):
    bodies = [body(load, seed + i) for i in range(max(12, 4 * concurrency))]
    return load_client.summary(*asyncio.run(
        load_client.closed_loop(port, "/v1/chat/completions", bodies, concurrency)))


def measure(rounds, clients):
    """{(clients, load): [summary of each round]}"""
    found = {(c, load): [] for c in clients for load in LOADS}
    with bench.serving(footprint.server) as (_, port):
        closed_loop(port, "a picture each", 4, 10**6)  # warm-up
        for turn in range(rounds):
            for index, (c, load) in enumerate(found):
                found[c, load].append(closed_loop(port, load, c, 1000 * (turn * len(found) + index)))
    return found


def rows(found):
    for (c, load), turns in found.items():
        def middle(figure, of=turns):
            return statistics.median(turn[figure] for turn in of)

        share = middle("requests_per_s") / middle("requests_per_s", found[c, "no picture"])
        yield (f"| {c} | {load} | {middle('requests_per_s'):.1f} | {share:.2f} | {middle('ttft_p50_ms'):.0f} / "
               f"{middle('ttft_p99_ms'):.0f} | {middle('tpot_p50_ms'):.1f} / {middle('tpot_p99_ms'):.1f} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clients", type=int, nargs="*", default=[1, 4, 16])
    options = parser.parse_args()
    found = measure(options.rounds, options.clients)
    OUTPUT.write_text("\n".join([
        "# What pictures cost a server", "",
        f"Written by `.venv/bin/python scripts/bench/serve_pictures.py` on {datetime.date.today().isoformat()}, "
        f"{bench.machine()}. The default model in {footprint.DTYPE}; N clients, each asks again when it has its answer of "
        f"{TOKENS} tokens. Questions differ; pictures are PNGs of 320x240 in `data:` URLs. Medians of {options.rounds} rounds in "
        "turns; the share is of the requests per second without a picture.", "",
        "| clients | load | requests/s | share | TTFT p50 / p99, ms | time per token p50 / p99, ms |",
        "|---|---|---|---|---|---|", *rows(found)]) + "\n")


if __name__ == "__main__":
    main()
