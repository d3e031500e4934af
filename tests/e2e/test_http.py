"""HTTP itself: methods, compressed bodies, expectations, CORS, and places for those who have something to say."""

import contextlib
import gzip
import json
import threading
import time

import httpx
import pytest

from server_process import Server, read_all, request_bytes

CHAT = "/v1/chat/completions"
BODY = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 2, "temperature": 0, "ignore_eos": True}
ORIGIN = "https://app.example"


@pytest.fixture(scope="module")
def server():
    made = Server("llama_gqa", "--cors-origin", ORIGIN, "--cors-origin", "http://localhost:3000", "--api-key", "secret",
                  "--max-body-size", "100K", "--max-bodies-size", "150K")
    yield made
    assert made.stop() == 0


KEY = {"Authorization": "Bearer secret"}


def test_compressed_bodies(server):
    def post(content, encoding="gzip"):
        headers = {**KEY, "Content-Encoding": encoding, "Content-Type": "application/json"}
        return server.post(CHAT, content, headers=headers)

    plain = json.dumps(BODY).encode()
    assert post(gzip.compress(plain)).json()["choices"][0]["message"]["content"] == \
        server.post(CHAT, BODY, headers=KEY).json()["choices"][0]["message"]["content"]
    bomb = gzip.compress(b'{"messages":"' + b" " * 5_000_000 + b'"}')
    assert len(bomb) < 100_000
    assert post(bomb).status_code == 413  # the limit is that of the inflated text
    whole = gzip.compress(plain)
    for broken in (whole[:-1], whole[:-8], whole + b"x", b"\x1f\x8b" + b"x" * 50, plain):
        response = post(broken)
        assert response.status_code == 400, response.text
        assert response.json()["error"]["message"] == "the request body is not valid gzip"
    for encoding in ("br", "deflate", "gzip, gzip"):
        response = post(plain, encoding)
        assert response.status_code == 415 and "gzip" in response.headers["accept-encoding"]


def test_expectations_are_answered_before_the_body(server):
    payload = json.dumps(BODY).encode()
    head = f"POST {CHAT} HTTP/1.1\r\nHost: x\r\n{{}}Expect: 100-continue\r\nConnection: close\r\n" \
           f"Content-Length: {len(payload)}\r\n\r\n"
    with server.connect() as connection:
        connection.sendall(head.format("Authorization: Bearer secret\r\n").encode())
        assert connection.recv(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(payload)
        assert read_all(connection).startswith(b"HTTP/1.1 200 ")
    with server.connect() as connection:  # refused without waiting for the body
        connection.sendall(head.format("").encode())
        assert read_all(connection).startswith(b"HTTP/1.1 401 ")


def test_chunked_bodies_and_keep_alive(server):
    payload = json.dumps(BODY).encode()
    with server.client(headers=KEY) as client:
        for _ in range(3):
            pieces = (payload[i:i + 7] for i in range(0, len(payload), 7))
            response = client.post(CHAT, content=pieces)
            assert response.status_code == 200 and response.headers.get("connection") != "close"


def test_methods_are_told(server):
    for path, methods in (("/health", {"GET", "HEAD", "OPTIONS"}), (CHAT, {"POST", "OPTIONS"}),
                          ("/v1/models/tiny", {"GET", "HEAD", "OPTIONS"}),
                          ("/v1/responses/input_tokens", {"POST", "GET", "HEAD", "DELETE", "OPTIONS"})):
        response = httpx.options(server.url + path)
        assert response.status_code == 200 and response.content == b""
        assert sorted(response.headers["allow"].split(", ")) == sorted(methods)
    assert httpx.options(server.url + "/nowhere", headers=KEY).status_code == 404
    for method in ("GET", "PUT", "DELETE", "PATCH", "HEAD"):
        response = httpx.request(method, server.url + CHAT, headers=KEY)
        assert response.status_code == 405 and response.headers["allow"] == "POST"
    head, get = httpx.head(server.url + "/v1/models", headers=KEY), httpx.get(server.url + "/v1/models", headers=KEY)
    assert head.status_code == 200 and head.content == b""
    assert head.headers["content-length"] == str(len(get.content))


def test_what_is_below_a_route_is_none(llama):
    for path in ("/v1/responses/resp_1/x", "/v1/responses/resp_1/cancel/x", "/v1/responses//input_items",
                 "/v1/files/file-1/x", "/v1/files/file-1/content/x", "/v1/chat/completions/chatcmpl-1/x"):
        for method in ("GET", "POST", "DELETE"):
            refused = httpx.request(method, llama.url + path)
            assert refused.status_code == 404, (method, path, refused.text)
            assert refused.json()["error"]["message"] == "there is no such route"
    for method, path, allowed in (("POST", "/v1/responses/resp_1", "GET, HEAD, DELETE"),
                                  ("GET", "/v1/responses/resp_1/cancel", "POST"),
                                  ("DELETE", "/v1/responses/resp_1/input_items", "GET, HEAD"),
                                  ("DELETE", "/v1/files/file-1/content", "GET, HEAD"),
                                  ("POST", "/v1/files/file-1", "GET, HEAD, DELETE")):
        refused = httpx.request(method, llama.url + path)
        assert refused.status_code == 405 and refused.headers["allow"] == allowed, (method, path, refused.text)


def test_who_speaks_tls_is_told_at_once(llama):
    hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(32, 64)) * 15
    for begun in (hello, b"\x80", b"\x00" * 10, b" GET /health HTTP/1.1\r\n"):
        with llama.connect() as connection:
            connection.sendall(begun)  # and waits
            answer = read_all(connection)
        assert answer.startswith(b"HTTP/1.1 400 ") and b"not https" in answer, (begun, answer)
    with llama.connect() as connection:
        for byte in b"\r\nGET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n":
            connection.sendall(bytes([byte]))
        assert read_all(connection).startswith(b"HTTP/1.1 200 ")
    with pytest.raises(httpx.ConnectError):
        httpx.get(llama.url.replace("http:", "https:") + "/health", timeout=20)


def test_what_follows_a_chunked_body_is_the_next_request(server):
    head = "POST /tokenize HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer secret\r\nTransfer-Encoding: chunked\r\n\r\n"
    body = "f;x=y\r\n{\"prompt\":\"hi\"}\r\n0\r\nA: trailer\r\n\r\n"
    with server.connect() as connection:
        connection.sendall(((head + body) * 3 + head + "0xf\r\n").encode())
        reply = read_all(connection)
    assert reply.count(b"HTTP/1.1 200 ") == 3 and reply.count(b"HTTP/1.1 400 ") == 1, reply
    with server.connect() as connection:  # half a body, and the client's side ends
        connection.sendall(request_bytes("/tokenize", {"prompt": "a"}, "Authorization: Bearer secret\r\n")[:-3])
        connection.shutdown(1)
        assert read_all(connection).startswith(b"HTTP/1.1 400 ")


def preflight(server, origin, headers="authorization,content-type,x-stainless-lang"):
    return httpx.options(server.url + CHAT, headers={"Origin": origin, "Access-Control-Request-Method": "POST",
                                                     "Access-Control-Request-Headers": headers})


def test_allowed_origins_may_use_the_server(server):
    for origin in (ORIGIN, "http://localhost:3000"):
        response = preflight(server, origin)
        assert response.status_code == 200
        assert response.headers["access-control-allow-origin"] == origin
        assert response.headers["access-control-allow-methods"] == "POST"
        assert response.headers["access-control-allow-headers"] == "authorization,content-type,x-stainless-lang"
        assert response.headers["vary"] == "Origin"
        assert "access-control-allow-credentials" not in response.headers
        for answer in (server.post(CHAT, BODY, headers={**KEY, "Origin": origin}),
                       server.post(CHAT, {}, headers={**KEY, "Origin": origin}),
                       server.post(CHAT, BODY, headers={"Origin": origin})):  # errors must be readable, too
            assert answer.headers["access-control-allow-origin"] == origin
            assert "X-Request-Id" in answer.headers["access-control-expose-headers"]


def test_other_origins_may_not(server, llama):
    for origin in ("https://evil.example", ORIGIN + ".evil.example", "null", ORIGIN.upper(), "http://app.example"):
        response = preflight(server, origin)
        assert not any(name.startswith("access-control") for name in response.headers)
    assert not any(name.startswith("access-control") for name in preflight(llama, ORIGIN).headers)  # off by default
    assert "access-control-allow-headers" not in preflight(server, ORIGIN, "a:b").headers


def test_any_origin():
    server = Server("llama_gqa", "--cors-origin", "*")
    response = preflight(server, "https://anywhere.example")
    assert response.headers["access-control-allow-origin"] == "*" and "vary" not in response.headers
    assert server.stop() == 0


def test_bodies_together_have_a_limit(server):
    half = b'{"messages":"' + b" " * 80_000
    with server.connect() as one, server.connect() as two:
        for connection in (one, two):
            connection.sendall(f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer secret\r\n"
                               f"Content-Length: {len(half) + 10}\r\n\r\n".encode())
        one.sendall(half)
        time.sleep(1.5)  # it has arrived
        two.sendall(half)
        reply = read_all(two)
        assert reply.startswith(b"HTTP/1.1 503 ") and b"Retry-After: 1" in reply
        one.sendall(b'"}' + b" " * 8)
        one.settimeout(10)
        assert one.recv(13) == b"HTTP/1.1 400 "
    big = json.dumps({**BODY, "user": "x" * 80_000})
    assert server.post(CHAT, big, headers=KEY).status_code == 400  # given back: read, and its field refused


def test_silent_connections_lose_their_places():
    """Four times as many silent connections as there are places, and a request is answered at once."""
    server = Server("llama_gqa", "--max-connections", "32", "--read-timeout", "60")
    with contextlib.ExitStack() as stack:
        silent = [stack.enter_context(server.connect()) for _ in range(64)]
        partial = [stack.enter_context(server.connect()) for _ in range(64)]
        for connection in partial:
            with contextlib.suppress(OSError):
                connection.sendall(request_bytes(CHAT, BODY)[:-3])
        start = time.monotonic()
        for _ in range(5):
            assert server.post(CHAT, BODY).status_code == 200
        assert time.monotonic() - start < 20  # far below the 60 s after which silence ends by itself
        closed = 0
        for connection in silent + partial:
            connection.settimeout(0.05)
            with contextlib.suppress(TimeoutError):
                try:
                    closed += connection.recv(1) == b""
                except ConnectionResetError:
                    closed += 1
        assert closed >= 96
    assert server.stop() == 0


def test_who_is_being_answered_keeps_its_place():
    server = Server("llama_gqa", "--max-connections", "4", "--max-num-seqs", "1")
    with contextlib.ExitStack() as stack:
        busy = stack.enter_context(server.connect())
        busy.sendall(request_bytes(CHAT, {**BODY, "max_tokens": 200, "n": 6, "stream": True},
                                   "Connection: close\r\n"))
        assert busy.recv(12) == b"HTTP/1.1 200"
        for _ in range(20):
            stack.enter_context(server.connect())
        assert read_all(busy).endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")
    assert server.stop() == 0


def test_silent_streams_get_comments():
    server = Server("llama_gqa", "--max-num-seqs", "1", "--sse-keepalive", "0.05")
    with server.connect() as busy:
        busy.sendall(request_bytes(CHAT, {**BODY, "max_tokens": 200, "n": 100}))
        while server.metric("saccade_num_requests_running") == 0:
            time.sleep(0.01)
        lines = []

        def wait():
            with httpx.stream("POST", server.url + CHAT, json={**BODY, "stream": True}, timeout=60) as response:
                lines.extend(response.iter_lines())

        thread = threading.Thread(target=wait)
        thread.start()
        time.sleep(0.5)
        busy.close()  # now it is the other one's turn
        thread.join()
    comments = [i for i, line in enumerate(lines) if line.startswith(":")]
    first_text = next(i for i, line in enumerate(lines) if line.startswith("data:") and '"content":""' not in line)
    assert comments and comments[0] < first_text and lines[comments[0]] == ": keepalive"
    assert [line for line in lines if line][-1] == "data: [DONE]"
    assert server.stop() == 0
