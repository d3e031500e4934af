"""What goes wrong around the server: its files, its descriptors, its log, its network."""

import contextlib
import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import threading
import time

import httpx
import pytest
import safetensors.numpy

from server_process import BINARY, GOLDEN, Server, read_all, request_bytes, run

CHAT = "/v1/chat/completions"
BODY = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 4, "temperature": 0, "ignore_eos": True}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def bare_server(host="127.0.0.1", **how):
    """A server whose stderr is not ours to read: its address."""
    port = free_port()
    process = subprocess.Popen([BINARY, "serve", GOLDEN / "llama_gqa", "--host", host, "--port", str(port), "--device",
                                "cpu", "--dtype", "float32", "--threads", "1"], **how)
    url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    try:
        end = time.monotonic() + 60
        while True:
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(url + "/health").status_code == 200:
                    break
            assert process.poll() is None and time.monotonic() < end
            time.sleep(0.02)
        yield url, process
        process.terminate()
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()


def answer(url):
    response = httpx.post(url + CHAT, json=BODY, timeout=20)
    assert response.status_code == 200, response.text
    return response.json()["choices"][0]["message"]["content"]


def test_model_files_may_change_while_it_serves(tmp_path):
    """What a server has read is its own: files cut short, written over or gone change nothing."""
    model, adapters = tmp_path / "model", tmp_path / "adapters"
    shutil.copytree(GOLDEN / "llama_gqa", model)
    shutil.copytree(GOLDEN / "adapters", adapters)
    server = Server(model, "--served-model-name", "base", "--lora", f"low={adapters}/llama_qv", "--lora",
                    f"learned={adapters}/llama_prompt")

    def answers():
        return [server.post(CHAT, {**BODY, "max_tokens": 8, "model": name}).json()["choices"]
                for name in ("base", "low", "learned")]

    before = answers()
    for weights in (model / "model.safetensors", *adapters.glob("*/adapter_model.safetensors")):
        size = weights.stat().st_size
        with open(weights, "r+b") as file:
            file.write(bytes(size // 2))
            file.truncate(size // 2)
    other = {**BODY, "messages": [{"role": "user", "content": "Something with other tokens: ÄÖÜ 123"}]}
    assert server.post(CHAT, other).status_code == 200
    shutil.rmtree(model)
    shutil.rmtree(adapters)
    assert answers() == before
    assert server.stop() == 0


def test_closed_standard_streams():
    with bare_server(preexec_fn=lambda: [os.close(fd) for fd in range(3)]) as (url, process):
        assert all(os.readlink(f"/proc/{process.pid}/fd/{fd}") == "/dev/null" for fd in range(3))
        assert answer(url) == answer(url)


def test_a_log_that_nobody_reads_holds_nobody_up():
    with bare_server(stderr=subprocess.PIPE) as (url, process):
        head = f"GET /health/{'x' * 200} HTTP/1.1\r\nHost: x\r\n"
        with socket.create_connection(("127.0.0.1", int(url.rsplit(":")[-1])), timeout=20) as connection:
            connection.sendall(f"{head}\r\n".encode() * 2000 + f"{head}Connection: close\r\n\r\n".encode())
            assert read_all(connection).count(b"HTTP/1.1 404 ") == 2001
        answer(url)
    text = process.stderr.read()
    assert b"listening on" in text and len(text) < 2001 * 200


def test_a_log_whose_reader_left_or_whose_disk_is_full():
    with bare_server(stderr=subprocess.PIPE) as (url, process):
        process.stderr.close()
        answer(url)
    with open("/dev/full", "w") as full, bare_server(stderr=full) as (url, _):
        answer(url)


@pytest.mark.parametrize("most", [32, 64])
def test_few_descriptors(most):
    """Connections that say nothing give way before descriptors run out."""
    with bare_server(preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (most, most)),
                     stderr=subprocess.PIPE) as (url, process), contextlib.ExitStack() as stack:
        port = int(url.rsplit(":")[-1])
        for _ in range(2 * most):
            stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=5))
        start = time.monotonic()
        answer(url)
        assert time.monotonic() - start < 15  # far below the 30 s after which silence ends by itself
    assert b"room for" in process.stderr.read()


def test_a_soft_limit_of_descriptors_is_raised():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard != resource.RLIM_INFINITY and hard < 1200:
        pytest.skip("this machine allows few descriptors")
    with bare_server(preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard)),
                     stderr=subprocess.DEVNULL) as (_, process):
        assert resource.prlimit(process.pid, resource.RLIMIT_NOFILE)[0] > 1024


def test_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        pytest.skip("this machine has no IPv6")
    with bare_server("::1", stderr=subprocess.DEVNULL) as (url, _):
        answer(url)
    server = Server("llama_gqa", "--host", "::1")
    assert any(f"http://[::1]:{server.port}" in line for line in server.lines)
    assert server.stop() == 0


OPTIONS = [*([name, ""] for name in ("--host", "--api-key", "--served-model-name", "--max-messages", "--cors-origin",
                                     "--dtype", "--kv-cache-memory", "--trust-request-chat-template")),
           ["--read-timeout", "nan"], ["--requests-per-minute", "NaN"], ["--max-video-seconds", "-1"],
           ["--max-body-size", "-1"], ["--max-responses", "-1"], ["--max-image-pixels", "0"],
           ["--max-image-aspect", "-3"], ["--config", "/dev/zero"], ["--api-key-file", "/dev/zero"],
           *(["--allow-media-domain", host] for host in ("", "*", "http://a.example", "a.example:80", "a.example/b",
                                                         "a.example,b.example", "a.example.", "[]", "*.", "ä.example"))]


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: " ".join(option))
def test_absurd_options_are_refused_by_name(option):
    result = run("serve", GOLDEN / "llama_gqa", "--port", "0", *option)
    assert result.returncode == 2 and option[0] in result.stderr, result.stderr


@pytest.mark.parametrize("name", ["api-key", "api-key-file", "served-model-name", "port"])
def test_nothing_as_a_value_is_refused_wherever_it_stands(name, tmp_path):
    """What was to be a key, and got lost on its way, must not open the server."""
    variable = "SACCADE_" + name.upper().replace("-", "_")
    result = run("serve", GOLDEN / "llama_gqa", env={**os.environ, variable: ""})
    assert result.returncode == 2 and f"{variable}: must not be empty" in result.stderr, result.stderr
    config = tmp_path / "config.json"
    config.write_text(json.dumps({name: ""}))
    result = run("serve", GOLDEN / "llama_gqa", "--config", config)
    assert result.returncode == 2 and f"--{name}: must not be empty" in result.stderr, result.stderr
    assert run("inspect", GOLDEN / "llama_gqa", env={**os.environ, variable: ""}).returncode == 0


def test_hosts_of_pictures_may_be_names_and_addresses():
    """A host that is allowed is looked for: of these none is public."""
    hosts = ("localhost", "127.0.0.1", "[::1]", "::ffff:7f00:1")
    server = Server("llava", *[word for host in hosts for word in ("--allow-media-domain", host)])
    for host in (*hosts[:3], "[0::0:1]", "[::ffff:127.0.0.1]", "localhost.", "LOCALHOST"):
        response = server.chat([{"type": "image_url", "image_url": {"url": f"http://{host}:1/a.png"}}])
        assert response.status_code == 400 and "not public" in response.json()["error"]["message"], (host, response.text)
    assert server.stop() == 0


def test_a_folder_without_a_name_or_with_lines_in_it():
    assert run("serve", "", "--port", "0").returncode == 2
    result = run("serve", "/tmp/no\nsuch\x1bfolder", "--port", "0")
    assert result.returncode == 1 and result.stderr == "saccade: /tmp/no?such?folder: no such folder or file\n"


@pytest.mark.parametrize("host", ["256.1.1.1", "192.0.2.1"])
def test_addresses_that_are_not_ours(host):
    result = run("serve", GOLDEN / "llama_gqa", "--port", "0", "--host", host)
    assert result.returncode == 1 and host in result.stderr and "Traceback" not in result.stderr


def hang_up_ignored():
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup has it


@pytest.mark.parametrize("number, before", [("SIGUSR1", None), ("SIGUSR2", None), ("SIGPIPE", None),
                                            ("SIGHUP", hang_up_ignored)])
def test_signals_that_say_nothing_end_nothing(number, before):
    with bare_server(stderr=subprocess.DEVNULL, preexec_fn=before) as (url, process):
        process.send_signal(getattr(signal, number))
        assert answer(url) == answer(url)


def test_the_end_of_the_terminal_lets_answers_finish():
    ours = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup a server is to ignore it
    server = Server("llama_gqa", "--max-num-seqs", "1")
    signal.signal(signal.SIGHUP, ours)
    with server.connect() as connection:
        connection.sendall(request_bytes(CHAT, {**BODY, "max_tokens": 200, "n": 8, "stream": True}))
        connection.recv(16)
        server.process.send_signal(signal.SIGHUP)
        assert b"data: [DONE]" in read_all(connection)
    assert server.process.wait(20) == 0


def test_a_signal_while_loading():
    for delay in (0, 0.05, 0.2):
        process = subprocess.Popen([BINARY, "serve", GOLDEN / "llama_gqa", "--port", "0"], stderr=subprocess.DEVNULL)
        time.sleep(delay)
        process.terminate()
        assert process.wait(20) in (0, -signal.SIGTERM)


@contextlib.contextmanager
def silent_host():
    """Takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        held = []
        thread = threading.Thread(target=lambda: _hold(listener, held), daemon=True)
        thread.start()
        yield listener.getsockname()[1], held
    for connection in held:
        connection.close()


def _hold(listener, held):
    with contextlib.suppress(OSError):
        while True:
            held.append(listener.accept()[0])


def test_a_signal_while_a_picture_is_fetched():
    """A drain waits for a fetch no longer than for anything else."""
    with silent_host() as (port, held):
        server = Server("llava", "--allow-media-domain", "127.0.0.1", "--allow-private-media-hosts", "true",
                        "--media-fetch-timeout", "60", "--drain-timeout", "0.5")
        content = [{"type": "image_url", "image_url": {"url": f"http://127.0.0.1:{port}/a.png"}}]
        with server.connect() as connection:
            connection.sendall(request_bytes(CHAT, {"messages": [{"role": "user", "content": content}]}))
            end = time.monotonic() + 10
            while not held and time.monotonic() < end:
                time.sleep(0.01)
            server.process.send_signal(signal.SIGTERM)
            start = time.monotonic()
            assert server.process.wait(30) == 0
            assert time.monotonic() - start < 10


def test_a_model_whose_numbers_are_none(tmp_path):
    """Weights that are not finite cannot be answered with: each request is told so, and the log; the server stays."""
    model = tmp_path / "model"
    shutil.copytree(GOLDEN / "llama_gqa", model)
    weights = safetensors.numpy.load_file(model / "model.safetensors")
    weights["model.norm.weight"][0] = float("nan")
    safetensors.numpy.save_file(weights, model / "model.safetensors", metadata={"format": "pt"})
    server = Server(model)
    for path, body in ((CHAT, BODY), (CHAT, {**BODY, "temperature": 1, "logprobs": True}),
                       ("/v1/score", {"prompt": "a", "options": ["b"]}),
                       ("/v1/completions", {"prompt": "a", "max_tokens": 1, "prompt_logprobs": 1}),
                       *(("/v1/embeddings", {"input": "a", "pooling": pooling, "encoding_format": encoding})
                         for pooling, encoding in (("mean", "float"), ("last", "float"), ("mean", "base64")))):
        response = server.post(path, body)
        assert response.status_code == 500, (path, response.text[:200])
        assert "not finite" in response.json()["error"]["message"]
    error = json.loads(server.events(CHAT, {**BODY, "stream": True})[-1])["error"]
    assert "not finite" in error["message"] and error["type"] == "server_error"
    assert server.get("/health").status_code == 200 and server.wait_idle() and server.stop() == 0
    assert sum("not finite" in line for line in server.lines) >= 8


CONFIGS = ["", "[]", "5", "{", '{"port": "x"}', '{"port": -1}', '{"port": 1.5}', '{"port": [1, 2]}',
           '{"port": {"a": 1}}',
           '{"max_queue": true}', '{"max_queue": 1e99}', '{"api_key": {"a": "b"}}', '{"served_model_name": [["a"]]}',
           '{"config": "x"}', '{"dtype": "int3"}', '{"model": "x"}', '{"help": true}', '{"": 1}', '{"--port": 1}',
           "[" * 100_000, '{"a":' * 50_000, '{"port": 1}\0', '{"log_level": "\ud83d"}', '{"max_body_size": "1X"}']


@pytest.mark.parametrize("text", CONFIGS, ids=range(len(CONFIGS)))
def test_a_wrong_config_file_is_told_in_one_line(tmp_path, text):
    file = tmp_path / "config.json"
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    result = run("serve", GOLDEN / "llama_gqa", "--config", file)
    assert result.returncode == 2, (result.returncode, result.stderr[-300:])
    said = (result.stderr + result.stdout).strip()
    assert said and len(said) < 600, said[:300]


def test_a_huge_config_file(tmp_path):
    file = tmp_path / "config.json"
    file.write_text('{"api_key": "' + "x" * 20_000_000 + '"}')
    result = run("serve", GOLDEN / "llama_gqa", "--config", file)
    assert result.returncode == 2 and len(result.stderr) < 600


# (text of a number, what fields may make of it)
NUMBERS = ["1e308", "-1e308", "9223372036854775808", "18446744073709551616", '"NaN"', '"1"', "true", "[1]", "{}",
           "-2147483649", "NaN", "Infinity", "0x10", "+1", "01", "1.", ".5", "1e400", "1" + "0" * 400]
FIELDS = ["temperature", "top_p", "top_k", "min_p", "repetition_penalty", "presence_penalty", "frequency_penalty",
          "max_tokens", "max_completion_tokens", "min_tokens", "n", "top_logprobs", "prompt_logprobs",
          "truncate_prompt_tokens", "num_speculative_tokens"]


@pytest.mark.parametrize("field", FIELDS)
def test_absurd_numbers(llama, field):
    with llama.client() as client:
        for number in NUMBERS:
            text = f'{{"messages":[{{"role":"user","content":"hi"}}],"logprobs":true,"{field}":{number}}}'
            response = client.post(CHAT, content=text)
            assert response.status_code == 400, (number, response.text[:200])
            param = response.json()["error"]["param"]
            assert param == field or param is None and "JSON" in response.text or "fit" in response.text, response.text
        for number in ("-0", "-0.0", "1e-400"):
            text = f'{{"messages":[{{"role":"user","content":"hi"}}],"max_tokens":1,"{field}":{number}}}'
            assert client.post(CHAT, content=text).status_code in (200, 400)


BODIES = [
    (b"\xef\xbb\xbf%s", 200), (b"%s\0", 400), (b"%s\0\0garbage", 400), (b"%s x", 400), (b"/* */%s", 400), (b"%s,", 400),
    (b"\n\t %s \r\n", 200), (b"\xfe\xff%s", 400),
]


@pytest.mark.parametrize("frame, status", BODIES, ids=range(len(BODIES)))
def test_what_stands_around_a_body(llama, frame, status):
    assert llama.post(CHAT, frame % json.dumps(BODY).encode()).status_code == status


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32"])
def test_other_encodings(llama, encoding):
    text = json.dumps({**BODY, "user": "ä"}, ensure_ascii=False)
    assert llama.post(CHAT, text.encode(encoding)).status_code == 400


@pytest.mark.parametrize("text, status", [
    ('"\\ud800"', 400), ('"\\udc00"', 400), ('"\\ud83d\\ude00"', 200), ('"\\uffff\\ufdd0"', 200), ('"a\\u0000b"', 200),
    ('"\\u202e\\u0007"', 200), ('"\\x41"', 400), ("'a'", 400)])
def test_escapes(llama, text, status):
    body = f'{{"messages":[{{"role":"user","content":{text}}}],"max_tokens":1}}'
    assert llama.post(CHAT, body).status_code == status


def test_the_last_of_equal_keys_counts(llama):
    body = '{"messages":[],"messages":[{"role":"user","content":"hi"}],"max_tokens":1,"max_tokens":3,"ignore_eos":true}'
    assert llama.post(CHAT, body).json()["usage"]["completion_tokens"] == 3


def test_long_and_odd_names(llama):
    for name in ("x" * 1_000_000, "\u65e5\u672c\u202e\n\0", "../../etc/passwd", "%s%n", "a" * 255 + "\U0001f600"):
        response = llama.post(CHAT, {**BODY, "model": name})
        assert response.status_code == 404 and len(response.content) < 2000
        assert response.json()["error"]["param"] == "model"


def test_odd_header_values(llama):
    for value in ("\u65e5\u672c".encode(), b"\xff\xfe", b"a" * 300, b"<script>", b"%0d%0aX-Evil: 1", b""):
        with llama.connect() as connection:
            connection.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\nX-Request-Id: " + value +
                               b"\r\nAuthorization: " + value + b"\r\nConnection: close\r\n\r\n")
            reply = read_all(connection)
        assert reply.startswith(b"HTTP/1.1 200 ") and b"Evil" not in reply and value[:9] not in reply[9:] or not value
    for value in (b"a\x01b", b"a\0b", b"a\x7fb"):
        with llama.connect() as connection:
            connection.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\nX-A: " + value + b"\r\nConnection: close\r\n\r\n")
            assert read_all(connection).startswith(b"HTTP/1.1 400 ")


def test_requests_behind_one_another(llama):
    """Pipelined: answered in order, each once."""
    lengths = [1, 5, 2, 7, 3]
    with llama.connect() as connection:
        for length in lengths:
            connection.sendall(request_bytes(CHAT, {**BODY, "max_tokens": length}))
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        reply = read_all(connection)
    counts = [json.loads(b"{" + part.split(b"{", 1)[1])["usage"]["completion_tokens"]
              for part in reply.split(b"HTTP/1.1 200 OK")[1:-1]]
    assert counts == lengths and reply.endswith(b'{"status":"ok"}')


def test_a_stream_that_nobody_reads_is_given_up():
    server = Server("llama_gqa", "--write-timeout", "0.5", "--max-num-seqs", "2")
    with server.connect(receive_buffer=2048) as connection:
        body = {**BODY, "max_tokens": 200, "n": 100, "logprobs": True, "top_logprobs": 20, "stream": True}
        connection.sendall(request_bytes(CHAT, body))
        end = time.monotonic() + 20
        while server.metric("saccade_request_success_total", finished_reason="cancelled") == 0:
            assert time.monotonic() < end
            time.sleep(0.05)
        assert server.wait_idle()
        assert server.post(CHAT, BODY).status_code == 200
    assert server.stop() == 0
