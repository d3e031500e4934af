"""A signal to the server, and a client that dies, while its request is in each stage of its way."""

import base64
import contextlib
import io
import itertools
import json
import signal
import socket
import struct
import threading
import time

import httpx
import PIL.Image
import pytest

from server_process import GOLDEN, Server, read_all, request_bytes, wait_for

CHAT = "/v1/chat/completions"
PICTURE = (GOLDEN / "images" / "scene.png").read_bytes()
ASK = {"temperature": 0, "ignore_eos": True, "max_tokens": 4}


class SlowHost:
    """Sends its picture when it is told to."""

    def __init__(self):
        self.asked, self.go_on = threading.Event(), threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        with contextlib.suppress(OSError):
            while True:
                connection = self.listener.accept()[0]
                connection.recv(65536)
                self.asked.set()
                self.go_on.wait(30)
                connection.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {len(PICTURE)}\r\n\r\n".encode() + PICTURE)
                connection.close()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.listener.getsockname()[1]}/a.png"


SEEDS = itertools.count()


def large_picture():
    """Some tenths of a second of decoding, another picture each time: one that is kept would not be decoded again."""
    seed, buffer = next(SEEDS), io.BytesIO()
    PIL.Image.new("RGB", (4000, 3000), (seed % 256, seed // 256 % 256, 7)).save(buffer, "PNG", compress_level=1)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def pictures(*urls):
    return [*({"type": "image_url", "image_url": {"url": url}} for url in urls), {"type": "text", "text": "What?"}]


def small_picture(seed):
    buffer = io.BytesIO()
    PIL.Image.new("RGB", (24, 24), (seed, 9, 9)).save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


# What a request of each stage holds. That of `fetch` waits for the host, the others for nobody.
STAGES = {
    "fetch": lambda host: {"content": pictures(host.url)},
    "decode": lambda host: {"content": pictures(large_picture(), large_picture())},
    "encode": lambda host: {"content": pictures(*(small_picture(i) for i in range(12)))},
    "prefill": lambda host: {"content": "word " * 40},
    "decode steps": lambda host: {"content": "hi", "max_tokens": 60, "n": 32},
}
MODEL = ("llava", "--allow-media-domain", "127.0.0.1", "--allow-private-media-hosts", "true", "--max-num-seqs", "2",
         "--max-num-batched-tokens", "2", "--media-fetch-timeout", "20")


def body_of(stage, host, stream):
    made = {**ASK, "stream": stream, **STAGES[stage](host)}
    return {**made, "messages": [{"role": "user", "content": made.pop("content")}]}


def send(server, stage, host, stream):
    """A connection whose request has come as far as the stage."""
    sign = "saccade_media_decode_seconds_count" if stage == "decode" else "saccade_prompt_tokens_total"
    before = server.metric(sign)
    connection = server.connect()
    connection.sendall(request_bytes(CHAT, body_of(stage, host, stream), "Connection: close\r\n"))
    if stage == "fetch":
        assert host.asked.wait(20)
    else:
        wait_for(lambda: server.metric(sign) > before)
    return connection


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("stage", STAGES)
def test_a_signal_lets_every_stage_finish(stage, stream):
    """What came before the signal is answered whole, what comes after it is told to come again, the end is clean."""
    host, server = SlowHost(), Server(*MODEL)
    expected = server.post(CHAT, body_of("decode steps", host, False)).json()["usage"]["completion_tokens"]
    assert expected == 32 * 60
    connection = send(server, stage, host, stream)
    server.process.send_signal(signal.SIGTERM)
    with contextlib.suppress(httpx.TransportError):  # it may have ended by now
        response = server.post(CHAT, {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 1})
        end = time.monotonic() + 10
        while response.status_code == 200 and time.monotonic() < end:  # the signal has not been seen yet
            response = server.post(CHAT, {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 1})
        assert response.status_code == 503 and int(response.headers["retry-after"]) > 0
        assert response.json()["error"]["type"]
    host.go_on.set()
    reply = read_all(connection)
    assert reply.startswith(b"HTTP/1.1 200 "), reply[:500]
    if stream:
        assert reply.rstrip(b"\r\n0").endswith(b"data: [DONE]")
        assert b'"error"' not in reply
    else:
        answer = json.loads(reply.split(b"\r\n\r\n", 1)[1])
        assert all(choice["finish_reason"] == "length" for choice in answer["choices"])
    assert server.process.wait(20) == 0


def die(connection):
    """As the kernel ends the connections of a process that was killed: unread bytes make it a reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


@pytest.fixture(scope="module")
def served():
    server = Server(*MODEL)
    yield server
    assert server.stop() == 0


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("stage", STAGES)
def test_a_client_that_dies_leaves_nothing_behind(served, stage, stream):
    """Its place is free again, its blocks are, and the next answer is the same as before."""
    question = {"messages": [{"role": "user", "content": pictures(small_picture(200))}], **ASK}
    before = served.post(CHAT, question).json()["choices"]
    assert served.wait_idle()
    used = served.metric("saccade_kv_cache_usage_perc")
    for _ in range(2):
        host = SlowHost()
        connection = send(served, stage, host, stream)
        die(connection)
        host.go_on.set()
    wait_for(lambda: served.wait_idle(20) and served.metric("saccade_kv_cache_usage_perc") <= used)
    assert served.post(CHAT, question).json()["choices"] == before


def test_a_client_that_dies_while_it_sends(served):
    data = request_bytes(CHAT, body_of("decode", None, False))
    for part in (10, 200, len(data) // 2, len(data) - 1):
        connection = served.connect()
        connection.sendall(data[:part])
        die(connection)
    assert served.wait_idle() and served.post(CHAT,
                                              {"messages": [{"role": "user", "content": "hi"}],
                                               **ASK}).status_code == 200
