"""saccade beside llama.cpp on a CPU: same weights, same lengths, greedy, token ids in, caches off,
one client, both in turns. Writes docs/benchmarks/cpu.json, cpu.md and cpu.svg.

    .venv/bin/python scripts/bench/compare_llama_cpp.py [--rounds 3]
        [--only engine quantized server transformers]

Nothing else may run on the machine meanwhile. What an earlier run measured of the parts that are
left out stays in cpu.json, with its own date.
"""

import argparse
import asyncio
import contextlib
import datetime
import json
import os
import pathlib
import platform
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import load_client
import llama_cpp
import report

ROOT = pathlib.Path(__file__).resolve().parents[2]
SACCADE = ROOT / "build" / "bin" / "saccade"
MODEL = ROOT / ".cache" / "smollm2"  # the language half of the default model, bfloat16
VOCABULARY = 49152
BATCHES = [1, 8, 16]
THREADS = os.cpu_count()


def command_output(command, environment=None) -> str:
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, env=environment)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stderr[-2000:]}")
    return done.stdout


def json_lines(text):
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


# ------------------------------------------------------------------------------ the engines alone


def saccade_engine(prompt, output, batches, *options):
    arguments = ["--prompt-tokens", prompt, "--output-tokens", output, "--threads", THREADS, "--json",
                 "--dtype", "bfloat16", *options]
    for batch in batches:
        arguments += ["--batch", batch]
    rows = json_lines(command_output([SACCADE, "bench", MODEL, *arguments]))
    return {row["batch"]: row for row in rows if "batch" in row}, [r for r in rows if "ceiling" in r]


def llama_engine(gguf, prompt, output, batches):
    rows = json_lines(command_output([
        llama_cpp.build() / "llama-batched-bench", "-m", gguf, "-npp", prompt, "-ntg", output, "-npl",
        ",".join(map(str, batches)), "-c", max(batches) * (prompt + output) + 64, "-b", 2048, "-ub", 512,
        "-t", THREADS, "-tb", THREADS, "--output-format", "jsonl"]))
    return {row["pl"]: row for row in rows}


def engine_round(gguf, *options):
    """One turn of both: decode at each batch after 128 tokens, prefill of 512."""
    ours, ceiling = saccade_engine(128, 64, BATCHES, "--ceiling", *options)
    theirs = llama_engine(gguf, 128, 64, BATCHES)
    our_prefill, _ = saccade_engine(512, 2, [1], "--ceiling", *options)
    their_prefill = llama_engine(gguf, 512, 2, [1])
    result = {"ceiling": ceiling[0]["ceiling"], "saccade": {}, "llama.cpp": {}}
    for batch in BATCHES:
        result["saccade"][f"decode {batch}"] = ours[batch]["decode_tokens_per_s"]
        result["llama.cpp"][f"decode {batch}"] = theirs[batch]["speed_tg"]
    result["saccade"]["prefill 512"] = our_prefill[1]["prefill_tokens_per_s"]
    result["llama.cpp"]["prefill 512"] = their_prefill[1]["speed_pp"]
    result["bandwidth_share"] = ours[1]["decode_bandwidth_share"]
    result["gflop_share"] = our_prefill[1]["prefill_gflop_share"]
    result["host_share"] = max(ours[batch]["host_share"] for batch in BATCHES)
    result["decode_ms"] = {batch: ours[batch]["decode_ms"] for batch in BATCHES}
    result["prefill_ms"] = our_prefill[1]["prefill_ms"]
    return result


def measure_engine(options):
    return {"bfloat16": [engine_round(llama_cpp.write_bf16()) for _ in range(options.rounds)]}


def measure_quantized(options):
    pairs = {"int8": "Q8_0", "int4": "Q4_1"}
    return {ours: [engine_round(llama_cpp.write_quantized(theirs), "--quantization", ours)
                   for _ in range(options.rounds)] for ours, theirs in pairs.items()}


# ------------------------------------------------------------------------------------- the servers


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_until_healthy(process, port):
    for _ in range(600):
        if process.poll() is not None:
            sys.exit(f"the server ended with {process.returncode}")
        with contextlib.suppress(OSError):
            if urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1).status == 200:
                return
        time.sleep(0.05)
    sys.exit("the server did not start")


def resident_mb(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return 0.0


@contextlib.contextmanager
def serving(command):
    port = free_port()
    process = subprocess.Popen([str(c) for c in command(port)], stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
    try:
        wait_until_healthy(process, port)
        yield process, port
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def saccade_server(port):
    return [SACCADE, "serve", MODEL, "--port", port, "--dtype", "bfloat16", "--threads", THREADS,
            "--max-num-seqs", 64, "--log-level", "off"]


def llama_server(port):
    return [llama_cpp.build() / "llama-server", "-m", llama_cpp.write_bf16(), "--port", port, "-t", THREADS,
            "-tb", THREADS, "-np", 64, "-c", 64 * 256, "--no-cache-prompt", "-cram", 0, "--no-webui"]


def completion_bodies(count, seed, prompt=128, output=64):
    """Different random prompts, so that no cache can help anybody."""
    rng = random.Random(seed)
    return [{"prompt": [rng.randrange(100, VOCABULARY) for _ in range(prompt)], "max_tokens": output,
             "temperature": 0, "ignore_eos": True, "stream": True, "cache_prompt": False,
             "stream_options": {"include_usage": True}} for _ in range(count)]


def closed_loop(port, concurrency, seed):
    bodies = completion_bodies(max(6, 3 * concurrency), seed)
    return load_client.summary(*asyncio.run(
        load_client.closed_loop(port, "/v1/completions", bodies, concurrency)))


def open_loop(port, rate, seed, seconds=20):
    bodies = completion_bodies(max(8, int(rate * seconds)), seed)
    return load_client.summary(*asyncio.run(
        load_client.open_loop(port, "/v1/completions", bodies, rate, seed)))


def server_round(command, seed, concurrency, with_open_loop):
    with serving(command) as (process, port):
        closed_loop(port, 4, 999)  # warm-up
        result = {f"c={c}": closed_loop(port, c, seed + c) for c in concurrency}
        if with_open_loop:
            most = max(r["requests_per_s"] for r in result.values())
            for share in (0.5, 0.8, 0.95):
                result[f"poisson {share:.0%}"] = open_loop(port, share * most, seed + round(1000 * share))
        result["rss_mb"] = resident_mb(process.pid)
        return result


def measure_server(options):
    servers = {"saccade": saccade_server, "llama.cpp": llama_server}
    return [{name: server_round(command, 100 * i, options.concurrency, i == 0 and not options.no_open_loop)
             for name, command in servers.items()} for i in range(options.rounds)]


# ---------------------------------------------------------------------- Hugging Face transformers


def transformers_5():
    """The folder of a release whose continuous batching runs on a CPU, beside the pinned one."""
    folder = ROOT / ".cache" / "transformers-5.24.0"
    if not folder.is_dir():
        command_output([sys.executable, "-m", "pip", "install", "-q", "--target", folder,
                        "transformers==5.24.0"])
    return folder


def transformers_generate(*options, packages=None):
    """Tokens/s of transformers_generate.py with 16 prompts, of the library in `packages`."""
    script = ROOT / "scripts" / "bench" / "transformers_generate.py"
    command = [sys.executable, script, MODEL, "--batch", 16, "--threads", THREADS, *options]
    environment = dict(os.environ, PYTHONPATH=str(packages)) if packages else None
    return json_lines(command_output(command, environment))[0]["tokens_per_s"]


def saccade_at_16():
    with serving(saccade_server) as (_, port):
        closed_loop(port, 4, 999)
        return closed_loop(port, 16, 7)["tokens_per_s"]


def measure_transformers(options):
    """16 clients of the server beside 16 prompts of the library's: a static batch with either
    attention, and its continuous batching. All in the dtype that this machine is faster in."""
    dtype = "float32"
    if has_bf16():
        dtype = max(["float32", "bfloat16"], key=lambda name: transformers_generate("--dtype", name))
    packages = transformers_5()
    runs = {
        "saccade": saccade_at_16,
        "generate": lambda: transformers_generate("--dtype", dtype),
        "generate, attention eager": lambda: transformers_generate("--dtype", dtype, "--attention", "eager"),
        "generate_batch": lambda: transformers_generate("--dtype", dtype, "--continuous", packages=packages),
    }
    rounds = [{name: run() for name, run in runs.items()} for _ in range(options.rounds)]
    return {"dtype": dtype, **{name: [found[name] for found in rounds] for name in runs}}


# --------------------------------------------------------------------------------------------------

PARTS = {"engine": measure_engine, "quantized": measure_quantized, "server": measure_server,
         "transformers": measure_transformers}


def has_bf16() -> bool:
    return "avx512_bf16" in pathlib.Path("/proc/cpuinfo").read_text().split()


def machine() -> str:
    cpu = next((line.split(":")[1].strip() for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines()
                if line.startswith("model name")), platform.machine())
    flags = pathlib.Path("/proc/cpuinfo").read_text().split()
    best = next((name for flag, name in (("amx_bf16", "AMX"), ("avx512_bf16", "AVX-512 with BF16"),
                                         ("avx512f", "AVX-512"), ("avx2", "AVX2")) if flag in flags), "SSE2")
    return f"{THREADS} virtual cores of a {cpu} ({best})"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--concurrency", type=int, nargs="*", default=[1, 4, 16, 64],
                        help="closed loops of the server part")
    parser.add_argument("--no-open-loop", action="store_true")
    parser.add_argument("--only", nargs="*", choices=PARTS, default=list(PARTS))
    options = parser.parse_args()
    if not (MODEL / ".complete").exists():
        command_output([sys.executable, ROOT / "scripts/fetch_default_model.py", "--text-only", "--output", MODEL])
    output = ROOT / "docs" / "benchmarks" / "cpu.json"
    output.parent.mkdir(parents=True, exist_ok=True)
    results = json.loads(output.read_text()) if output.exists() else {}
    for part in options.only:
        print(f"measuring: {part}", file=sys.stderr, flush=True)
        results[part] = {"date": datetime.date.today().isoformat(), "machine": machine(),
                         "rounds": PARTS[part](options)}
        output.write_text(json.dumps(results, indent=1) + "\n")
    report.write(results, output.parent)


if __name__ == "__main__":
    main()
