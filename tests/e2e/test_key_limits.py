"""What one API key may use, and defaults that belong to a served name."""

import json
import threading
import time

import openai
import pytest

from conftest import data_url
from server_process import GOLDEN, Server, run

CHAT = "/v1/chat/completions"
BODY = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 2, "temperature": 0, "ignore_eos": True}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    keys = tmp_path_factory.mktemp("keys") / "keys"
    keys.write_text("few requests=3\nthrifty tokens=200\nblind pixels=6000\nsingle streams=1\n\nfree requests=0\n"
                    "plain\nclerk requests=4\n")
    made = Server("llava", "--api-key-file", keys, "--requests-per-minute", "1000", "--max-num-seqs", "1")
    yield made
    assert made.stop() == 0


def post(server, key, **fields):
    return server.post(CHAT, {**BODY, **fields}, headers={"Authorization": f"Bearer {key}"})


def test_requests_a_minute(server):
    left = []
    for _ in range(3):
        response = post(server, "few")
        assert response.status_code == 200
        assert response.headers["x-ratelimit-limit-requests"] == "3"
        left.append(int(response.headers["x-ratelimit-remaining-requests"]))
    assert left == [2, 1, 0]
    refused = post(server, "few")
    assert refused.status_code == 429
    error = refused.json()["error"]
    assert error["code"] == "rate_limit_exceeded" and error["type"] == "rate_limit_error"
    assert 1 <= int(refused.headers["retry-after"]) <= 20
    assert refused.headers["x-ratelimit-reset-requests"].endswith("s")
    assert post(server, "plain").status_code == 200  # another key's account
    client = openai.OpenAI(base_url=server.url + "/v1", api_key="few", max_retries=0)
    with pytest.raises(openai.RateLimitError):
        client.chat.completions.create(model="llava", messages=BODY["messages"])


def test_counting_and_files_are_requests_too(server):
    key = {"Authorization": "Bearer clerk"}
    client = openai.OpenAI(base_url=server.url + "/v1", api_key="clerk", max_retries=0)
    made = client.files.create(file=("a.png", (GOLDEN / "images" / "scene.png").read_bytes()), purpose="vision")
    assert client.files.retrieve(made.id).id == made.id
    counted = server.post("/tokenize", {"prompt": "a"}, headers=key)
    assert counted.status_code == 200 and counted.headers["x-ratelimit-remaining-requests"] == "1"
    assert server.post("/detokenize", {"tokens": [5]}, headers=key).status_code == 200
    refused = server.post("/tokenize", {"prompt": "a"}, headers=key)
    assert refused.status_code == 429 and int(refused.headers["retry-after"]) >= 1
    with pytest.raises(openai.RateLimitError):
        client.files.list()


def test_tokens_a_minute(server):
    response = post(server, "thrifty", max_tokens=60)
    assert response.status_code == 200
    used = response.json()["usage"]["total_tokens"]
    assert int(response.headers["x-ratelimit-remaining-tokens"]) in range(200 - used, 200 - used + 40)
    while response.status_code == 200:
        response = post(server, "thrifty", max_tokens=60)
    assert response.status_code == 429 and int(response.headers["retry-after"]) >= 1
    assert "tokens a minute" in response.json()["error"]["message"]
    never = post(server, "thrifty", messages=[{"role": "user", "content": "word " * 220}])
    assert never.status_code == 400  # waiting would not help


def test_pixels_a_minute(server):
    content = [{"type": "image_url", "image_url": {"url": data_url("images/scene.png")}}]
    messages = [{"role": "user", "content": content}]
    statuses = [post(server, "blind", messages=messages).status_code for _ in range(4)]
    assert statuses == [200, 200, 429, 429]  # of 2745 pixels each
    assert post(server, "blind").status_code == 200  # text costs none


def test_streams_at_a_time(server):
    first = threading.Event()
    stop = threading.Event()

    def hold():
        client = openai.OpenAI(base_url=server.url + "/v1", api_key="single", max_retries=0)
        with client.chat.completions.create(model="llava", messages=BODY["messages"], stream=True, max_tokens=100,
                                            n=100, extra_body={"ignore_eos": True}) as stream:
            for _ in stream:
                first.set()
                if stop.is_set():
                    break

    thread = threading.Thread(target=hold)
    thread.start()
    assert first.wait(20)
    refused = post(server, "single", stream=True)
    assert refused.status_code == 429 and "streams" in refused.json()["error"]["message"]
    stop.set()
    thread.join()
    end = time.monotonic() + 10
    while post(server, "single", stream=True).status_code == 429:
        assert time.monotonic() < end
        time.sleep(0.05)


def test_no_limit_no_headers(server, llama):
    assert not any(name.startswith("x-ratelimit") for name in post(server, "free").headers)
    assert not any(name.startswith("x-ratelimit") for name in llama.post(CHAT, BODY).headers)


@pytest.mark.parametrize("line", ["key requests", "key requests=x", "key wings=2", "key tokens=-1"])
def test_a_key_file_with_mistakes_is_refused(tmp_path, line):
    (tmp_path / "keys").write_text(line)
    result = run("serve", GOLDEN / "llama_gqa", "--api-key-file", tmp_path / "keys")
    assert result.returncode == 2 and line.split()[1] in result.stdout + result.stderr


def test_each_name_has_its_defaults(tmp_path):
    defaults = tmp_path / "defaults.json"
    defaults.write_text(json.dumps({"short": {"max_tokens": 3, "temperature": 0, "ignore_eos": True},
                                    "stopped": {"stop": ["a", "e", "i", "o"], "max_tokens": 20, "temperature": 0}}))
    server = Server("llama_gqa", "--served-model-name", "plain", "--served-model-name", "short",
                    "--served-model-name", "stopped", "--model-defaults", defaults)

    def tokens(model, **fields):
        body = {"messages": BODY["messages"], "model": model, **fields}
        return server.post(CHAT, body).json()["usage"]["completion_tokens"]

    assert tokens("short") == 3 and tokens("short", max_tokens=None) == 3
    assert tokens("short", max_tokens=5) == 5
    assert tokens("plain", max_tokens=6, temperature=0, ignore_eos=True) == 6
    stopped = server.post(CHAT, {"messages": BODY["messages"], "model": "stopped"}).json()
    assert not set("aeio") & set(stopped["choices"][0]["message"]["content"])
    assert server.post("/v1/completions", {"prompt": "a", "model": "short"}).json()["usage"]["completion_tokens"] == 3
    assert server.stop() == 0


@pytest.mark.parametrize("text, named", [
    ("[]", "JSON object"), ("{", "JSON object"), ('{"other": {}}', "other"), ('{"a": 5}', "a must be"),
    ('{"a": {"temperature": 9}}', "a.temperature"), ('{"a": {"messages": []}}', "a.messages"),
    ('{"a": {"stream": true}}', "a.stream")])
def test_wrong_defaults_are_named(tmp_path, text, named):
    (tmp_path / "defaults.json").write_text(text)
    result = run("serve", GOLDEN / "llama_gqa", "--served-model-name", "a", "--model-defaults",
                 tmp_path / "defaults.json", "--port", "0")
    assert result.returncode == 1 and "defaults.json" in result.stderr and named in result.stderr
