"""What masking costs: eight clients at a time write 64 tokens each, freely and held to a schema, in turns. Greedy, so
that the mask is all that differs. Writes docs/benchmarks/structured_output.md.

    .venv/bin/python scripts/bench/structured_overhead.py
"""

import asyncio
import datetime
import pathlib
import statistics

import compare_llama_cpp as bench
import load_client

ROOT = pathlib.Path(__file__).resolve().parents[2]
CLIENTS, TOKENS, ROUNDS, ALLOWED = 8, 64, 5, 1.05
RULES = {
    "a list of objects": {"guided_json": {
        "type": "array", "minItems": 40, "items": {
            "type": "object", "additionalProperties": False, "required": ["name", "count", "tags"],
            "properties": {"name": {"type": "string"}, "count": {"type": "integer"},
                           "tags": {"type": "array", "items": {"type": "string"}}}}}},
    "any JSON": {"guided_json": {"type": "array", "minItems": 60}},
    "a pattern": {"guided_regex": "([A-Za-z]{1,12} [0-9]{1,6}(, |\\. )){40}"},
}


def bodies(rule):
    return [{"prompt": f"Write item {i} of the list:", "max_tokens": TOKENS, "min_tokens": TOKENS, "temperature": 0,
             "stream": True, "stream_options": {"include_usage": True}, **rule} for i in range(2 * CLIENTS)]


def milliseconds_per_token(port, rule):
    answers, seconds = asyncio.run(load_client.closed_loop(port, "/v1/completions", bodies(rule), CLIENTS))
    load_client.summary(answers, seconds)  # raises where a request failed
    return 1e3 * statistics.median(a.time_per_token for a in answers)


def main():
    lines = ["# What holding an answer to a schema costs", "",
             f"Written by `.venv/bin/python scripts/bench/structured_overhead.py` on {datetime.date.today().isoformat()}, "
             f"{bench.machine()}. SmolLM2-135M in bfloat16 (49,152 tokens), {CLIENTS} clients at a time, {TOKENS} tokens each, "
             f"greedy, {ROUNDS} rounds in turns; the first request with a rule, which compiles it, is not counted.", "",
             "| rule | ms per token, free | held to it | ratio | target |", "|---|---|---|---|---|"]
    with bench.serving(bench.saccade_server) as (_, port):
        for name, rule in RULES.items():
            milliseconds_per_token(port, rule)
            free, held = [], []
            for _ in range(ROUNDS):
                free.append(milliseconds_per_token(port, {}))
                held.append(milliseconds_per_token(port, rule))
            ratio = statistics.median(h / f for h, f in zip(held, free))
            lines.append(f"| {name} | {statistics.median(free):.2f} | {statistics.median(held):.2f} | {ratio:.3f} | "
                         f"{ALLOWED}x: {'met' if ratio <= ALLOWED else '**missed**'} |")
    (ROOT / "docs" / "benchmarks" / "structured_output.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
