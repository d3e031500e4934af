"""Slow, silent, hostile and too many clients."""

import json
import threading
import time

import httpx
import pytest

from server_process import Server, read_all, request_bytes

CHAT = "/v1/chat/completions"
LONG = {"messages": [{"role": "user", "content": "hi"}], "ignore_eos": True, "temperature": 0}


@pytest.fixture(scope="module")
def strict():
    server = Server("llama_gqa", "--max-body-size", "100K", "--read-timeout", "1", "--write-timeout", "1",
                    "--max-connections", "40", "--max-num-seqs", "1", "--max-queue", "2", "--api-key", "secret")
    yield server
    assert server.stop() == 0


KEY = {"Authorization": "Bearer secret"}


def test_bodies_beyond_the_limit(strict):
    big = json.dumps({"messages": "x" * 200_000})
    assert strict.post(CHAT, big, headers=KEY).status_code == 413
    assert strict.post(CHAT, big, headers=KEY).json()["error"]["code"] == "request_too_large"
    with strict.connect() as connection:  # refused by what it announces
        connection.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer secret\r\n"
                           b"Content-Length: 99999999999\r\n\r\n")
        assert b" 413 " in read_all(connection)
    response = httpx.post(strict.url + CHAT, content=(b"x" * 1000 for _ in range(300)), headers=KEY)
    assert response.status_code == 413  # chunked: counted while it arrives


def test_heads_beyond_the_limit(strict):
    assert strict.get("/" + "a" * 9000).status_code == 414
    assert strict.get("/health", headers={"A": "a" * 70000}).status_code == 431
    assert strict.get("/health", headers={f"A{i}": "a" * 1000 for i in range(70)}).status_code == 431
    assert strict.get("/health", headers={f"A{i}": "a" * 1000 for i in range(50)}).status_code == 200


def test_keys(strict):
    body = {**LONG, "max_tokens": 1}
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Bearer secret "[:-1] + "x"}):
        response = strict.post(CHAT, body, headers=headers)
        assert response.status_code == 401 and response.json()["error"]["code"] == "invalid_api_key"
    assert strict.post(CHAT, body, headers=KEY).status_code == 200
    for path in ("/v1/models", "/metrics", "/openapi.json", "/nowhere"):
        assert strict.get(path).status_code == 401
    assert strict.post("/tokenize", {"prompt": "a"}).status_code == 401
    assert strict.get("/health").status_code == 200
    assert strict.get("/").status_code == 200  # the page, which asks for the key


def test_slow_clients_are_cut_and_hold_nobody_up(strict):
    partial = request_bytes(CHAT, LONG, "Authorization: Bearer secret\r\n")
    slow = [strict.connect() for _ in range(30)]
    for i, connection in enumerate(slow):
        connection.sendall(partial[: 20 if i % 2 else len(partial) - 5])
    start = time.monotonic()
    assert strict.post(CHAT, {**LONG, "max_tokens": 2}, headers=KEY).status_code == 200
    assert time.monotonic() - start < 0.9
    for connection in slow:
        assert b" 408 " in read_all(connection)
        connection.close()


def test_connections_beyond_the_limit_are_closed(strict):
    silent = [strict.connect() for _ in range(60)]
    time.sleep(0.2)
    closed = 0
    for connection in silent:
        connection.settimeout(0.01)
        try:
            closed += connection.recv(1) == b""
        except TimeoutError:
            pass
        except ConnectionResetError:
            closed += 1
        connection.close()
    assert closed >= 20
    time.sleep(0.2)
    assert strict.get("/health").status_code == 200


def test_the_queue_is_bounded(strict):
    statuses, retry_after = [], []

    def ask():
        response = strict.post(CHAT, LONG, headers=KEY)
        statuses.append(response.status_code)
        retry_after.append(response.headers.get("retry-after"))

    threads = [threading.Thread(target=ask) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(statuses) == {200, 429}, statuses
    assert all(retry for status, retry in zip(statuses, retry_after) if status == 429)
    assert strict.post(CHAT, {**LONG, "n": 100}, headers=KEY).status_code == 400  # never fits the queue


HOSTILE = [
    b"\x00" * 100 + b"\r\n\r\n",
    b"GET / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"POST /v1/completions HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
    b"GET / HTTP/9.9\r\n\r\n",
    b"GET /health HTTP/1.1\r\n\r\n",
    b"GET /health HTTP/1.1\nHost: x\n\n",
    b"GET /health HTTP/1.1\r\nHost: x\rA: b\r\n",
    b"POST /tokenize HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer secret\r\nTransfer-Encoding: chunked\r\n\r\n-f\r\n",
    b"GET /health HTTP/1.1\nHost: x\n\n" + b"\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\r\n\r\n",
]


@pytest.mark.parametrize("data", HOSTILE, ids=range(len(HOSTILE)))
def test_malformed_http_is_refused(strict, data):
    with strict.connect() as connection:
        connection.sendall(data)
        reply = read_all(connection)
    status = int(reply.split()[1])
    assert 400 <= status < 600 and b'{"error":' in reply
    assert strict.get("/health").status_code == 200


def test_chunk_sizes_without_end_are_cut(strict):
    with strict.connect() as connection:
        connection.sendall(b"POST /tokenize HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer secret\r\n"
                           b"Transfer-Encoding: chunked\r\n\r\n")
        try:
            for _ in range(100):
                connection.sendall(b"0" * 10000)
        except OSError:
            pass
        reply = read_all(connection)
    assert b" 400 " in reply or reply == b""
    assert strict.get("/health").status_code == 200
