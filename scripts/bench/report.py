"""docs/benchmarks/cpu.md and cpu.svg from the measured rounds in cpu.json. Ratios are of medians; the
spread beside a figure is that of its rounds."""

import statistics

TARGETS = {("bfloat16", "decode 1"): 1.0, ("bfloat16", "decode 8"): 2.0, ("bfloat16", "decode 16"): 1.8,
           ("bfloat16", "prefill 512"): 1.5,
           **{(f, "decode 1"): 1.0 for f in ("int8", "int4")}, **{(f, "decode 8"): 1.5 for f in ("int8", "int4")},
           **{(f, "prefill 512"): 1.5 for f in ("int8", "int4")}}
SERVER_TARGETS = {"c=1": 1.0, "c=4": 1.6, "c=16": 1.9}
TRANSFORMERS = {"generate": "`generate` of 4.57, attention `sdpa` (its default)",
                "generate, attention eager": "`generate` of 4.57, attention `eager`",
                "generate_batch": "`generate_batch` of 5.24, attention `sdpa` (its default)"}


def median(values):
    return statistics.median(values)


def spread(values, digits=0):
    return f"{median(values):.{digits}f} ({min(values):.{digits}f}-{max(values):.{digits}f})"


def verdict(ratio, target):
    return "" if target is None else f"{target:.1f}x: {'met' if ratio >= target else '**missed**'}"


def engine_table(by_format):
    lines = ["| weights | what | saccade, tokens/s | llama.cpp, tokens/s | ratio | target |",
             "|---|---|---|---|---|---|"]
    for name, rounds in by_format.items():
        for what in rounds[0]["saccade"]:
            ours = [r["saccade"][what] for r in rounds]
            theirs = [r["llama.cpp"][what] for r in rounds]
            ratio = median(ours) / median(theirs)
            lines.append(f"| {name} | {what} | {spread(ours)} | {spread(theirs)} | {ratio:.2f} | "
                         f"{verdict(ratio, TARGETS.get((name, what)))} |")
    return lines


def ceiling_table(by_format):
    lines = ["| weights | read, GB/s | float32 / bfloat16 product, GFLOP/s | decode 1: share of the bandwidth | "
             "prefill 512: share of the faster product | host share of a step |", "|---|---|---|---|---|---|"]
    for name, rounds in by_format.items():
        c = [r["ceiling"] for r in rounds]
        lines.append(
            f"| {name} | {spread([x['read_gb_per_s'] for x in c], 1)} | "
            f"{median([x['gemm_f32_gflop_per_s'] for x in c]):.0f} / "
            f"{median([x['gemm_bf16_gflop_per_s'] for x in c]):.0f} | "
            f"{median([r['bandwidth_share'] for r in rounds]):.0%} | "
            f"{median([r['gflop_share'] for r in rounds]):.0%} | "
            f"{median([r['host_share'] for r in rounds]):.2%} |")
    return lines


def classes_table(rounds):
    last = rounds[-1]
    names = list(last["prefill_ms"])
    lines = ["| step | " + " | ".join(names) + " |", "|---|" + "---|" * len(names)]
    rows = {f"decode, batch {b}": ms for b, ms in last["decode_ms"].items()} | {"prefill of 512": last["prefill_ms"]}
    return lines + [f"| {name} | " + " | ".join(f"{ms[n]:.2f}" for n in names) + " |" for name, ms in rows.items()]


def server_row(load, name, rounds, ratio="", target=""):
    taken = [r[name][load] for r in rounds if load in r[name]]
    cell = {k: median([t[k] for t in taken]) for k in taken[0]}
    return (f"| {load} | {name} | {cell['tokens_per_s']:.0f} | {cell['ttft_p50_ms']:.0f} / {cell['ttft_p99_ms']:.0f} | "
            f"{cell['tpot_p50_ms']:.1f} / {cell['tpot_p99_ms']:.1f} | {ratio} | {target} |")


def server_ratio(load, rounds, figure="tokens_per_s"):
    ours, theirs = (median([r[name][load][figure] for r in rounds if load in r[name]])
                    for name in ("saccade", "llama.cpp"))
    return ours / theirs


def server_table(rounds):
    lines = ["| load | server | tokens/s | TTFT p50 / p99, ms | time per token p50 / p99, ms | ratio of tokens/s "
             "| target |",
             "|---|---|---|---|---|---|---|"]
    for load in [k for k in rounds[0]["saccade"] if k != "rss_mb"]:
        closed = load.startswith("c=")  # in the open loop each server has its own rate: no ratio there
        ratio = server_ratio(load, rounds)
        lines += [server_row(load, "saccade", rounds, f"{ratio:.2f}" if closed else "",
                             verdict(ratio, SERVER_TARGETS.get(load))),
                  server_row(load, "llama.cpp", rounds)]
    most = max((load for load in rounds[0]["saccade"] if load.startswith("c=")),
               key=lambda load: -abs(int(load[2:]) - 16))
    first = server_ratio(most, rounds, "ttft_p50_ms")
    rss = {name: median([r[name]["rss_mb"] for r in rounds]) for name in ("saccade", "llama.cpp")}
    return lines + ["", f"Time to the first token at {most}, saccade over llama.cpp: {first:.2f} (target 0.6: "
                        f"{'met' if first <= 0.6 else '**missed**'}). Resident memory after the load: saccade "
                        f"{rss['saccade']:.0f} MB, llama.cpp {rss['llama.cpp']:.0f} MB."]


def plot(results, path):
    import matplotlib
    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    labels, ratios = [], []
    for part in ("engine", "quantized"):
        for name, rounds in results.get(part, {}).get("rounds", {}).items():
            for what in rounds[0]["saccade"]:
                labels.append(f"{name} {what}")
                ours, theirs = ([r[server][what] for r in rounds] for server in ("saccade", "llama.cpp"))
                ratios.append(median(ours) / median(theirs))
    rounds = results.get("server", {}).get("rounds", [])
    for load in rounds[0]["saccade"] if rounds else []:
        if load.startswith("c="):
            labels.append(f"server {load}")
            ratios.append(server_ratio(load, rounds))
    figure, axes = plt.subplots(figsize=(7, 0.32 * len(labels) + 1))
    axes.barh(labels[::-1], ratios[::-1], color="#3b6ea5")
    axes.axvline(1, color="black", linewidth=1)
    axes.set_xlabel("tokens/s of saccade over llama.cpp (1: equal)")
    figure.tight_layout()
    figure.savefig(path)


def write(results, folder):
    lines = ["# On a CPU, beside llama.cpp", "",
             "Written by `.venv/bin/python scripts/bench/compare_llama_cpp.py`. Same weights (SmolLM2-135M), same "
             "lengths, greedy, token ids in, caches off, both in turns in one run. Absolute figures are this "
             "machine's; the ratios "
             "are what to read.", "", "![ratios](cpu.svg)", ""]
    titles = {"engine": "## The engines alone, bfloat16 weights",
              "quantized": "## Integer weights: int8 beside Q8_0, int4 beside Q4_1"}
    for part, title in titles.items():
        if part not in results:
            continue
        found = results[part]
        lines += [title, "", f"{found['date']}, {found['machine']}.", "", *engine_table(found["rounds"]), "",
                  *ceiling_table(found["rounds"]), ""]
        for name, rounds in found["rounds"].items():
            lines += [f"Milliseconds per step by class of kernel, {name} weights:", "", *classes_table(rounds), ""]
    if "server" in results:
        found = results["server"]
        lines += ["## The servers: 128 tokens in, 64 out", "",
                  f"{found['date']}, {found['machine']}. `c=N`: N clients, each asks again when it has its answer. "
                  "`poisson P%`: arrivals at that share of the server's own most requests per second.", "",
                  *server_table(found["rounds"]), ""]
    if "transformers" in results:
        found = results["transformers"]
        values = found["rounds"]
        lines += ["## Hugging Face transformers, 16 prompts at once", "",
                  f"{found['date']}, {found['machine']}. 128 tokens in, 64 out; transformers in {values['dtype']}, "
                  "saccade's server (bfloat16 weights) with 16 clients. `generate` is a static batch, "
                  "`generate_batch` transformers' continuous batching.", "",
                  "| | tokens/s | saccade over it | target |", "|---|---|---|---|",
                  f"| saccade's server | {spread(values['saccade'])} | | |"]
        for name in TRANSFORMERS:
            ratio = median(values["saccade"]) / median(values[name])
            lines.append(f"| {TRANSFORMERS[name]} | {spread(values[name])} | {ratio:.2f} | {verdict(ratio, 3.0)} |")
        lines.append("")
    (folder / "cpu.md").write_text("\n".join(lines))
    plot(results, folder / "cpu.svg")
