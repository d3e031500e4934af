"""`--kv-cache-dtype int8`: more blocks in the same memory, answers near those of the exact cache and the same however
they come about."""

import concurrent.futures
import re

import pytest

import scripted
from server_process import GOLDEN, Server, golden, run

MEMORY = ["--kv-cache-memory", "1M"]
BYTES = ["--kv-cache-dtype", "int8"]
NEAR = 0.05  # of a log-probability
TIE = 0.01
CASES = [case for case in golden("llama_gqa")["cases"] if len(case["input_ids"]) > 1]


@pytest.fixture(scope="module")
def servers():
    made = [Server("llama_gqa", *MEMORY), Server("llama_gqa", *MEMORY, *BYTES)]
    yield made
    for server in made:
        assert server.stop() == 0


def answer(server, prompt, **fields):
    """Per choice and step: the id, and the log-probabilities of the best two, best first."""
    body = {"prompt": prompt, "max_tokens": 12, "temperature": 0, "ignore_eos": True, "logprobs": 2,
            "return_tokens_as_token_ids": True, **fields}
    response = server.post("/v1/completions", body)
    assert response.status_code == 200, response.text
    return [[(token, sorted(best.values(), reverse=True))
             for token, best in zip(found["tokens"], found["top_logprobs"], strict=True)]
            for found in (choice["logprobs"] for choice in response.json()["choices"])]


def same(got, expected):
    """Equal up to a step whose best two are so near that the rounding of one key decides."""
    for (token, _), (wanted, best) in zip(got, expected, strict=True):
        if token != wanted:
            return best[0] - best[1] < TIE
    return True


def test_more_blocks_in_the_same_memory(servers):
    blocks = [server.metric("saccade_kv_cache_blocks") for server in servers]
    # Heads of 8: 8 bytes and a scale instead of 8 floats.
    assert blocks[1] / blocks[0] == pytest.approx(32 / 12, rel=0.01)
    for server, number, kind in zip(servers, blocks, ("float32", "int8"), strict=True):
        told = rf"\b{int(number)} KV blocks of 16 tokens \({kind}, \d+ MiB\)"
        assert any(re.search(told, line) for line in server.lines)


def test_near_the_exact_cache(servers):
    differences = []
    for case in CASES:
        best = [answer(server, case["input_ids"], max_tokens=1)[0][0][1][0] for server in servers]
        differences.append(abs(best[0] - best[1]))
    assert 0 < max(differences) < NEAR


def test_alone_in_a_batch_and_from_the_prefix_cache(servers):
    server = servers[1]
    prompts = [case["input_ids"] * 3 for case in CASES if len(case["input_ids"]) < 80]
    alone = [answer(server, prompt) for prompt in prompts]
    hits = server.metric("saccade_prefix_cache_hits_total")
    for prompt, (expected,) in zip(prompts, alone, strict=True):
        assert same(answer(server, prompt)[0], expected)
    assert server.metric("saccade_prefix_cache_hits_total") > hits
    with concurrent.futures.ThreadPoolExecutor(len(prompts)) as pool:
        together = list(pool.map(lambda prompt: answer(server, prompt, n=3), prompts))
    for choices, (expected,) in zip(together, alone, strict=True):
        assert len(choices) == 3 and all(same(choice, expected) for choice in choices)


def test_refused_where_it_cannot_be(tmp_path):
    unknown = run("serve", GOLDEN / "llama_gqa", "--kv-cache-dtype", "int4")
    assert unknown.returncode == 2 and "--kv-cache-dtype" in unknown.stdout + unknown.stderr
    exact = run("serve", scripted.make(tmp_path / "model", {"": "yes"}), "--port", "0", *BYTES)
    assert exact.returncode == 1 and "--kv-cache-dtype" in exact.stderr
