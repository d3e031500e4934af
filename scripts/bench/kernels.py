"""The CPU kernels one by one beside the machine's ceilings. Writes docs/benchmarks/kernels.md.

    .venv/bin/python scripts/bench/kernels.py [--rounds 5]

Nothing else may run on the machine meanwhile. Each round measures its own ceilings; figures are medians.
"""

import argparse
import datetime
import statistics

import compare_llama_cpp as bench

NOTE = ("Linear layers of 1 and 8 rows read their weights from memory, decode attention its keys and values; the other "
        "operands lie where a step finds them. `share`: of the read bandwidth (a sum over 512 MB) or of the faster product of libtorch "
        "(1024 x 1024 x 1024, float32 or bfloat16), whichever is nearer. Integer products may pass a ceiling of floats. "
        "Greedy choice and softmax run on one thread, from the cache.")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    runs = [bench.json_lines(bench.command_output([bench.SACCADE, "bench", "--kernels", "--threads", bench.THREADS, "--json"]))
            for _ in range(rounds)]
    machines, tables = [run[0] for run in runs], [run[1:] for run in runs]
    lines = ["# The CPU kernels, one by one", "",
             f"Written by `.venv/bin/python scripts/bench/kernels.py --rounds {rounds}` on {datetime.date.today().isoformat()}, "
             f"{bench.machine()}: {statistics.median(m['read_gb_per_s'] for m in machines):.1f} GB/s read, "
             f"{statistics.median(m['gemm_gflop_per_s'] for m in machines):.0f} GFLOP/s. {NOTE}", "",
             "| kernel | shape | ms | GB/s | GFLOP/s | share | of |", "|---|---|---|---|---|---|---|"]
    for rows in zip(*tables):
        ms, read, rate, share = (statistics.median(row[k] for row in rows) for k in ("ms", "gb_per_s", "gflop_per_s", "share"))
        lines.append(f"| {rows[0]['kernel']} | {rows[0]['shape']} | {ms:.3f} | {read:.1f} | {rate:.0f} | {share:.0%} | "
                     f"{rows[0]['bound']} |")
    (bench.ROOT / "docs" / "benchmarks" / "kernels.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
