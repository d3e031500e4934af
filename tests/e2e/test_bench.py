"""`saccade bench` prints what the scripts under scripts/bench read."""

import json

from server_process import ROOT, run

MODEL = ROOT / "models" / "default"


def rows(*arguments):
    made = run("bench", *arguments, "--json", timeout=300)
    assert made.returncode == 0, made.stderr
    return [json.loads(line) for line in made.stdout.splitlines()]


def test_help_tells_the_options():
    made = run("bench", "--help")
    assert made.returncode == 0 and "--prompt-tokens N" in made.stdout and not made.stderr


def test_wrong_options_are_named():
    for arguments, message in ((["--kernels", MODEL], "--kernels takes no MODEL"), ([], "MODEL is missing"),
                               ([MODEL, "--batch", "0"], '--batch: expected a number from 1 on, got "0"')):
        made = run("bench", *map(str, arguments))
        assert made.returncode == 2 and message in made.stderr


def test_a_model_by_batch_and_its_pictures():
    model, pictures = rows(str(MODEL), "--batch", "2", "--prompt-tokens", "24", "--output-tokens", "4", "--images", "2")
    assert (model["batch"], model["prompt_tokens"], model["output_tokens"]) == (2, 24, 4)
    assert model["prefill_tokens_per_s"] > 0 and model["decode_tokens_per_s"] > 0
    for step, ms in ((model["decode_ms"], model["decode_step_ms"]), (model["prefill_ms"], model["prefill_step_ms"])):
        assert abs(sum(step.values()) - ms) < 0.01 * ms + 0.01 and step["linear"] > 0
    assert pictures["images"] == 2 and pictures["encode_ms"] > 0


def test_each_kernel_beside_the_ceilings():
    machine, *kernels = rows("--kernels", "--threads", "2")
    assert machine["read_gb_per_s"] > 0 and machine["gemm_gflop_per_s"] > 0
    names = {row["kernel"] for row in kernels}
    assert {"linear float32", "linear bfloat16", "linear int8", "linear int4", "attention, decode", "attention, prefill",
            "attention, decode, int8", "attention, prefill, int8",
            "attention, encoder", "add and norm", "silu and multiply", "gelu", "rotation and cache write", "greedy choice",
            "softmax of a choice"} == names
    for row in kernels:
        nearer = {"bandwidth": row["gb_per_s"] / machine["read_gb_per_s"],
                  "product": row["gflop_per_s"] / machine["gemm_gflop_per_s"]}
        assert row["ms"] > 0 and abs(nearer[row["bound"]] - row["share"]) < 0.02 * row["share"] + 0.01, row
        assert max(nearer.values()) == nearer[row["bound"]], row
