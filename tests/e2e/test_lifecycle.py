"""Starting, stopping, leaving."""

import json
import os
import pathlib
import shutil
import signal
import socket
import threading
import time

import httpx
import pytest

from server_process import GOLDEN, Server, read_all, request_bytes, run, wait_for

CHAT = "/v1/chat/completions"
MESSAGES = [{"role": "user", "content": "hi"}]
ENDLESS = {"messages": MESSAGES, "ignore_eos": True, "temperature": 0}


@pytest.fixture
def slow_server():
    """One whose answers take a while: one sequence at a time, 128 choices of full length."""
    server = Server("llama_gqa", "--max-num-seqs", "4")
    yield server
    server.process.kill()


def start_endless(server, stream, n=64):
    connection = server.connect()
    connection.sendall(request_bytes(CHAT, {**ENDLESS, "stream": stream, "n": n}))
    end = time.monotonic() + 10
    while server.metric("saccade_num_requests_running") == 0:
        assert time.monotonic() < end
        time.sleep(0.01)
    return connection


@pytest.mark.parametrize("stream", [True, False])
def test_leaving_cancels_and_frees_everything(slow_server, stream):
    connection = start_endless(slow_server, stream)
    assert slow_server.metric("saccade_num_requests_waiting") > 0
    connection.close()
    assert slow_server.wait_idle()
    assert slow_server.metric("saccade_request_success_total", finished_reason="cancelled") > 0
    assert slow_server.metric("saccade_http_requests_total", route=CHAT, status="499") == 1
    assert slow_server.post(CHAT, {**ENDLESS, "max_tokens": 3}).status_code == 200


def test_drain_finishes_what_runs_and_refuses_what_comes():
    server = Server("llama_gqa", "--max-num-seqs", "1")  # one choice after the other: some three seconds of work
    connection = start_endless(server, stream=True, n=128)
    queued = {}

    def ask():
        queued["response"] = server.post(CHAT, {**ENDLESS, "max_tokens": 5})

    thread = threading.Thread(target=ask)
    before = server.metric("saccade_prompt_tokens_total")
    thread.start()
    wait_for(lambda: server.metric("saccade_prompt_tokens_total") > before)  # it is queued
    server.process.send_signal(signal.SIGTERM)
    wait_for(lambda: server.get("/health").status_code == 503)
    refused = server.post(CHAT, {**ENDLESS, "max_tokens": 1})
    assert refused.status_code == 503 and refused.headers["retry-after"]
    assert read_all(connection).endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")
    thread.join()
    assert queued["response"].status_code == 200
    assert server.process.wait(10) == 0


def test_drain_timeout_ends_what_still_runs():
    server = Server("llama_gqa", "--max-num-seqs", "1", "--drain-timeout", "0.3")
    connection = start_endless(server, stream=True, n=128)
    server.process.send_signal(signal.SIGTERM)
    data = read_all(connection)
    assert b'"error"' in data and b"[DONE]" not in data
    assert server.process.wait(10) == 0


def test_a_second_signal_ends_at_once(slow_server):
    connection = start_endless(slow_server, stream=True, n=128)
    slow_server.process.send_signal(signal.SIGINT)
    time.sleep(0.1)
    slow_server.process.send_signal(signal.SIGINT)
    start = time.monotonic()
    assert slow_server.process.wait(5) != 0
    assert time.monotonic() - start < 2
    connection.close()


def test_version_and_bad_arguments():
    version = run("--version")
    assert version.returncode == 0 and version.stdout.startswith("saccade ")
    assert run("--help").returncode == 0
    model = str(GOLDEN / "llama_gqa")
    for arguments in ([], ["fly"], ["serve"], ["serve", model, "--port", "x"], ["serve", model, "--port", "70000"],
                      ["serve", model, "--wings", "2"], ["serve", model, "--device", "abacus"],
                      ["serve", model, "--kv-cache-memory", "150%"], ["serve", model, "--config", "/nowhere"],
                      ["serve", model, "--max-queue", "0"], ["generate", model], ["inspect"]):
        result = run(*arguments)
        assert result.returncode == 2, arguments
        assert result.stderr or result.stdout


def test_a_folder_that_cannot_be_served_is_named(tmp_path):
    for folder, reason in ((tmp_path, "config.json"), (tmp_path / "missing", "missing: no such folder or file")):
        result = run("serve", folder, "--port", "0")
        assert result.returncode == 1 and reason in result.stderr
    (tmp_path / "config.json").write_text('{"model_type": "unknown"}')
    result = run("serve", tmp_path, "--port", "0")
    assert result.returncode == 1 and "model_type" in result.stderr
    assert len([line for line in result.stderr.splitlines() if line.startswith("saccade:")]) == 1


def test_a_taken_port_is_a_failure_to_start(llama):
    result = run("serve", GOLDEN / "llama_gqa", "--port", llama.port)
    assert result.returncode == 1 and str(llama.port) in result.stderr


def test_config_file_environment_and_command_line(tmp_path):
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"served_model_name": ["from-file", "second"], "max-model-len": 64, "api_key": "k"}))
    server = Server("llama_gqa", "--config", config, env={"SACCADE_MAX_MODEL_LEN": "48"})
    key = {"Authorization": "Bearer k"}
    models = server.get("/v1/models", headers=key).json()["data"]
    assert [model["id"] for model in models] == ["from-file", "second"]
    assert models[0]["max_model_len"] == 48
    assert server.stop() == 0
    server = Server("llama_gqa", "--config", config, "--max-model-len", "32", env={"SACCADE_MAX_MODEL_LEN": "48"})
    assert server.get("/v1/models", headers=key).json()["data"][0]["max_model_len"] == 32
    assert server.stop() == 0
    config.write_text('{"wings": 2}')
    result = run("serve", GOLDEN / "llama_gqa", "--config", config)
    assert result.returncode == 2 and "wings" in result.stdout + result.stderr


def test_generation_config_gives_the_defaults(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    for source in (GOLDEN / "llama_gqa").iterdir():
        if source.name != "generation_config.json":
            os.symlink(source, folder / source.name)
    generation = json.loads((GOLDEN / "llama_gqa" / "generation_config.json").read_text())
    others = {"num_beams": 4, "guidance_scale": 1, "penalty_alpha": None, "typical_p": 0.9, "min_length": 3}
    (folder / "generation_config.json").write_text(json.dumps({**generation, "temperature": 1.7, "top_k": 1, **others}))
    server = Server(folder)
    told = [line.split("generation_config.json: ")[1] for line in server.lines if "generation_config" in line]
    assert told == [f"{name} is not obeyed" for name in ("num_beams", "typical_p")]
    body = {"messages": MESSAGES, "max_tokens": 8}
    texts = {server.post(CHAT, body).json()["choices"][0]["message"]["content"] for _ in range(3)}
    assert len(texts) == 1  # top_k 1
    hot = {server.post(CHAT, {**body, "top_k": 0}).json()["choices"][0]["message"]["content"] for _ in range(4)}
    assert len(hot) > 1
    assert server.stop() == 0


def test_generation_config_suppresses_tokens(tmp_path):
    """Whatever a request says."""
    case = json.loads((GOLDEN / "llama_gqa" / "golden.json").read_text())["cases"][0]
    first, second = (ids[0][0] for ids in case["top_logprobs"][:2])
    folder = shutil.copytree(GOLDEN / "llama_gqa", tmp_path / "model")
    generation = json.loads((folder / "generation_config.json").read_text())
    (folder / "generation_config.json").write_text(
        json.dumps({**generation, "suppress_tokens": [first], "bad_words_ids": [[second], [5, 6]]}))
    server = Server(folder)
    body = {"prompt": case["input_ids"], "max_tokens": 16, "temperature": 0, "return_token_ids": True}
    ids = server.post("/v1/completions", {**body, "logit_bias": {str(first): 100}}).json()["choices"][0]["token_ids"]
    assert ids[0] == case["top_logprobs"][0][1][0]  # the second best
    assert not {first, second} & set(ids)
    assert server.stop() == 0


def test_a_seed_of_all_answers_makes_a_run_repeat():
    def texts(seed):
        server = Server("llama_gqa", seed=seed)
        answers = [server.chat("hi", temperature=1.5, max_tokens=12, n=2).json()["choices"] for _ in range(2)]
        assert server.stop() == 0
        return [choice["message"]["content"] for answer in answers for choice in answer]

    first = texts(3)
    assert first == texts(3) and len(set(first)) == 4
    assert first != texts(4) and texts(None) != texts(None)
    wrong = run("serve", GOLDEN / "llama_gqa", "--seed", "-1")
    assert wrong.returncode == 2 and "--seed" in wrong.stderr


def test_generate_prints_one_answer():
    case = json.loads((GOLDEN / "llava" / "golden.json").read_text())["cases"][0]
    question = case["messages"][0]["content"][1]["text"]
    result = run("generate", GOLDEN / "llava", "--dtype", "float32", "--prompt", question, "--image",
                 GOLDEN / case["images"][0], "--max-tokens", 16, "--log-level", "off")
    assert result.returncode == 0, result.stderr
    expected = case["text"] if case["eos_step"] is None else case["text"][:1]
    assert result.stdout.startswith(expected)


def test_inspect():
    result = run("inspect", GOLDEN / "instructblip")
    assert result.returncode == 0 and "instructblip" in result.stdout
    assert run("inspect", "/nowhere").returncode == 1


def test_memory_comes_from_one_allocator(slow_server):
    """glibc's heaps grow with pictures that one thread makes and another drops (server/CMakeLists.txt)."""
    maps = pathlib.Path(f"/proc/{slow_server.process.pid}/maps").read_text()
    assert "libjemalloc" in maps
    assert "[heap]" not in maps or heap_kib(maps) < 4096


def heap_kib(maps):
    line = next(line for line in maps.splitlines() if line.endswith("[heap]"))
    start, end = (int(x, 16) for x in line.split()[0].split("-"))
    return (end - start) // 1024


def test_logs_as_json():
    server = Server("llama_gqa", "--log-format", "json")
    server.get('/no"where\\')
    for head in (b"GET /\xff\x9b31m\xc3\xa9 HTTP/1.1", b"\xf4\x80 / HTTP/1.1"):  # no UTF-8, and an escape of terminals
        with server.connect() as connection:
            connection.sendall(head + b"\r\nHost: x\r\nConnection: close\r\n\r\n")
            read_all(connection)
    assert server.stop() == 0
    records = [json.loads(line) for line in server.lines if line.startswith("{")]
    assert any(" 404 " in record["message"] for record in records)
    assert any("GET /??31m??" in record["message"] for record in records)
    assert all(line.isascii() for line in server.lines)


def test_keepalive_connection_serves_on(slow_server):
    with slow_server.client() as client:
        for _ in range(20):
            assert client.get("/health").status_code == 200
    with httpx.Client(base_url=slow_server.url) as client:
        assert client.post("/tokenize", json={"prompt": 5}).status_code == 400
        assert client.post("/tokenize", json={"prompt": "a"}).status_code == 200
    assert isinstance(slow_server.connect(), socket.socket)
