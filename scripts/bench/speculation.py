"""What guessing ahead (num_speculative_tokens) brings: one client, greedy, with and without in turns,
on a text that repeats its prompt and on one that does not. Writes docs/benchmarks/speculation.md.

    .venv/bin/python scripts/bench/speculation.py
"""

import datetime
import pathlib
import statistics
import time

import compare_llama_cpp as bench
from perplexity import ask

ROOT = pathlib.Path(__file__).resolve().parents[2]
ROUNDS = 5
GUESSES = 8
PASSAGE = ("The lighthouse keeper walked down to the harbour every morning at six, counted the boats that lay at anchor, "
           "wrote their names into a green book, and walked back up the hill to trim the lamp before breakfast. ")
TEXTS = {
    # The model goes on with the passage that it has just read twice.
    "repeats its prompt": (PASSAGE * 2, 1.5),
    "does not": ("Write a short story about a fox who learns to fly.\n\nOnce upon a time", 0.97),
}


def generate(port, prompt, guesses):
    start = time.perf_counter()
    answer = ask(port, "/v1/completions", {"prompt": prompt, "max_tokens": 96, "temperature": 0, "ignore_eos": True,
                                           "num_speculative_tokens": guesses, "timings": True})
    return time.perf_counter() - start, answer


def main():
    lines = ["# Guessing ahead by prompt lookup", "",
             f"Written by `.venv/bin/python scripts/bench/speculation.py` on {datetime.date.today().isoformat()}, "
             f"{bench.machine()}. SmolLM2-135M in bfloat16, 96 tokens, greedy, {GUESSES} guesses a step at most, with and "
             f"without in turns, {ROUNDS} rounds; the answers were the same.", "",
             "| text | tokens/s without | with | ratio | target | guesses made / right |", "|---|---|---|---|---|---|"]
    with bench.serving(bench.saccade_server) as (_, port):
        for name, (prompt, target) in TEXTS.items():
            generate(port, prompt, 0)
            seconds = {0: [], GUESSES: []}
            for _ in range(ROUNDS):
                for guesses in seconds:
                    took, answer = generate(port, prompt, guesses)
                    seconds[guesses].append(took)
                    text = answer["choices"][0]["text"]
                    if guesses == 0:
                        plain = text
                assert text == plain, "the guesses have changed the answer"
            rate = {g: 96 / statistics.median(s) for g, s in seconds.items()}
            ratio = rate[GUESSES] / rate[0]
            lines.append(f"| {name} | {rate[0]:.0f} | {rate[GUESSES]:.0f} | {ratio:.2f} | {target}x: "
                         f"{'met' if ratio >= target else '**missed**'} | {answer['timings']['draft_tokens']} / "
                         f"{answer['timings']['accepted_draft_tokens']} |")
    (ROOT / "docs" / "benchmarks" / "speculation.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
