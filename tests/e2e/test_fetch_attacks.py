"""Hosts of pictures that mean harm: where they redirect to, and how they answer."""

import gzip
import socket
import threading
import time

import pytest

from server_process import GOLDEN, Server, golden

CASE = golden("llava")["cases"][0]
PICTURE = (GOLDEN / CASE["images"][0]).read_bytes()
TIMEOUT, MOST = 4, 200_000


class Host:
    """Answers a path with the bytes, or by the function, that stand behind it. Notes who asked for what."""

    def __init__(self, address="127.0.0.1"):
        self.seen, self.answers = [], {}
        self.listener = socket.create_server((address, 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                connection = self.listener.accept()[0]
            except OSError:
                return
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection):
        with connection:
            try:
                path = connection.recv(65536).split()[1].decode()
                self.seen.append(path)
                answer = self.answers.get(path, b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
                if callable(answer):
                    answer(connection)
                else:
                    connection.sendall(answer)
            except (OSError, IndexError):
                pass


@pytest.fixture(scope="module")
def host():
    made = Host()
    yield made
    made.listener.close()


@pytest.fixture(scope="module")
def inside():
    """What must not be reached: a service of another address of this machine."""
    made = Host("127.0.0.2")
    made.answers["/picture"] = reply(PICTURE)
    yield made
    made.listener.close()


@pytest.fixture(scope="module")
def fetching():
    server = Server("llava", "--allow-media-domain", "127.0.0.1", "--allow-media-domain", "*.pictures.example",
                    "--allow-private-media-hosts", "true", "--media-fetch-timeout", TIMEOUT, "--max-image-size", MOST)
    yield server
    assert server.stop() == 0


def reply(body, status="200 OK", **headers):
    head = {"Content-Length": len(body), **{name.replace("_", "-"): value for name, value in headers.items()}}
    lines = "".join(f"{name}: {value}\r\n" for name, value in head.items() if value is not None)
    return f"HTTP/1.1 {status}\r\n{lines}\r\n".encode() + body


def ask(server, url, text="What?"):
    return server.chat([{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": text}], max_tokens=2,
                       temperature=0, ignore_eos=True)


def check_refused(response):
    assert response.status_code == 400, response.text
    error = response.json()["error"]
    assert error["param"] == "messages[0].content[0].image_url.url" and error["type"] == "invalid_request_error"
    assert "root:" not in error["message"] and len(error["message"]) < 300


# {p}: the port of a service that must not be reached. Each is refused, behind a redirect and on its own.
TARGETS = [
    "http://127.0.0.2:{p}/picture", "http://localhost:{p}/picture", "http://2130706434:{p}/picture",
    "http://0x7f000002:{p}/picture",
    "http://0177.0.0.2:{p}/picture", "http://127.2:{p}/picture", "http://127.0.0.2.:{p}/picture",
    "http://[::1]:{p}/picture",
    "http://[::ffff:127.0.0.2]:{p}/picture", "http://[::ffff:7f00:2]:{p}/picture", "http://[::127.0.0.2]:{p}/picture",
    "http://[64:ff9b::7f00:2]:{p}/picture", "http://[fe80::1%25lo]:{p}/picture", "http://0:{p}/picture",
    "http://0.0.0.0:{p}/picture",
    "http://169.254.169.254/latest/meta-data/", "http://10.0.0.1/", "http://192.168.0.1/", "http://100.64.0.1/",
    "http://[fd00::1]/",
    "http://127.0.0.1@127.0.0.2:{p}/picture", "http://127.0.0.1:80@127.0.0.2:{p}/picture",
    "http://127.0.0.2:{p}\\@127.0.0.1/picture",
    "http://127.0.0.1\\@127.0.0.2:{p}/picture", "http://127.0.0.2:{p}#@127.0.0.1/picture",
    "http://127.0.0.2:{p}?@127.0.0.1/picture",
    "http://user:word@127.0.0.1/picture", "http://①②⑦.⓪.⓪.②:{p}/picture", "http://127.0.0.2%2f@127.0.0.1:{p}/picture",
    "http://127。0。0。2:{p}/picture", "http:127.0.0.2:{p}/picture", "http:/127.0.0.2:{p}/picture",
    "//127.0.0.2:{p}/picture",
    "http://127.0.0.2:{p}/picture\t", "http://127.0.0.1.evil.example/", "http://pictures.example.evil.example/",
    "http://pictures.example/", "file:///etc/passwd", "file://localhost/etc/passwd",
    "gopher://127.0.0.1:{p}/_GET%20/picture",
    "dict://127.0.0.1:{p}/x", "ftp://127.0.0.1:{p}/picture", "ldap://127.0.0.1:{p}/", "smb://127.0.0.1/x",
    "data:image/png,abc",
    "javascript:alert(1)", "http://", "http://:{p}/picture", "http://[/picture", "http://127.0.0.2:99999/",
    "http://127.0.0.2:-1/",
]


def test_redirects_lead_nowhere_else(fetching, host, inside):
    """A host that is allowed sends on to what is not: by address in every notation, by name, by another scheme."""
    for number, target in enumerate(TARGETS):
        location = target.format(p=inside.port)
        if location.startswith("//") or ":" not in location.split("/")[0]:
            continue  # relative: below
        status = ("301 Moved", "302 Found", "303 See Other", "307 Temporary Redirect",
                  "308 Permanent Redirect")[number % 5]
        host.answers[f"/to-{number}"] = reply(b"", status, Location=location)
        check_refused(ask(fetching, f"http://127.0.0.1:{host.port}/to-{number}"))
    assert inside.seen == []


def test_no_notation_of_an_address_gets_by(fetching, inside):
    for target in TARGETS:
        check_refused(ask(fetching, target.format(p=inside.port)))
    assert inside.seen == []


def test_a_data_url_in_capitals_is_not_fetched(fetching, picture):
    assert ask(fetching, "DATA:" + picture.removeprefix("data:")).status_code == 200


def test_private_addresses_are_refused_in_every_notation(host):
    """Allowed by name, but not public. Of a name's several addresses one such is enough (url_guard_test.cc)."""
    names = ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "169.254.169.254"]
    server = Server("llava", *[word for name in names for word in ("--allow-media-domain", name)])
    before = len(host.seen)
    for name in [*names, "2130706433", "0x7f.1", "127.1", "LOCALHOST", "localhost.", "0"]:
        check_refused(ask(server, f"http://{name}:{host.port}/picture"))
    assert len(host.seen) == before and server.stop() == 0


def test_redirects_come_to_an_end(fetching, host):
    host.answers["/loop"] = reply(b"", "302 Found", Location="/loop")
    host.answers["/a"] = reply(b"", "302 Found", Location="b")
    host.answers["/b"] = reply(b"", "302 Found", Location=f"//127.0.0.1:{host.port}/picture#top")
    host.answers["/picture"] = reply(PICTURE)
    before = len(host.seen)
    check_refused(ask(fetching, f"http://127.0.0.1:{host.port}/loop"))
    assert len(host.seen) - before == 4  # the first, and three redirects
    assert ask(fetching, f"http://127.0.0.1:{host.port}/a").status_code == 200
    for number, location in enumerate([None, "", "http://", "\x00", "http://127.0.0.1:1/" + "a" * 100_000]):
        host.answers[f"/odd-{number}"] = reply(b"", "302 Found", Location=location)
        check_refused(ask(fetching, f"http://127.0.0.1:{host.port}/odd-{number}"))


def drip(head, data):
    """The head, and then a byte of `data` at a time, again and again."""
    def answer(connection):
        connection.sendall(head)
        while True:
            for byte in data:
                connection.sendall(bytes([byte]))
                time.sleep(0.05)
    return answer


def endless(head, block):
    def answer(connection):
        connection.sendall(head)
        while True:
            connection.sendall(block)
    return answer


OPEN = b"HTTP/1.1 200 OK\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
BOMB = gzip.compress(bytes(50_000_000))
# A way to answer that must fail within the time and the size that a picture may take.
ANSWERS = {
    "silence": lambda connection: time.sleep(20), "a head by the byte": drip(b"", b"HTTP/1.1 200 OK\r\nX: "),
    "a body by the byte": drip(OPEN, PICTURE), "no end": endless(OPEN, b"x" * 65536),
    "chunks without end": endless(CHUNKED, b"1000\r\n" + b"x" * 4096 + b"\r\n"),
    "a chunk size without end": endless(CHUNKED, b"0" * 4096),
    "heads without end": endless(b"HTTP/1.1 200 OK\r\n", b"X: " + b"y" * 4000 + b"\r\n"),
    "interim answers without end": endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "one line without end": endless(b"HTTP/1.1 200 OK\r\nX: ", b"y" * 65536),
    "more than it says": reply(b"x" * 300_000, Content_Length=10),
    "less than it says": reply(PICTURE, Content_Length=len(PICTURE) + 1),
    "a huge length": reply(PICTURE, Content_Length=10 ** 18), "a length below 0": reply(PICTURE, Content_Length=-1),
    "no number": reply(PICTURE, Content_Length="many"), "nothing": b"", "no HTTP": b"hello\r\n\r\n",
    "HTTP 0.9": PICTURE,
    "empty": reply(b""), "no content": reply(b"", "204 No Content"),
    "half of it": reply(PICTURE[:50], "206 Partial Content"),
    "not modified": reply(b"", "304 Not Modified"), "an error": reply(PICTURE, "500 Oh"),
    "a wrong status": reply(PICTURE, "2000 OK"),
    "a page": reply(b"<html>root:x:0</html>", Content_Type="image/png"),
    "a gzip bomb": reply(BOMB, Content_Encoding="gzip", Content_Type="image/png"),
    "an encoding": reply(gzip.compress(PICTURE), Content_Encoding="gzip"),
    "half a chunk": CHUNKED + b"ff\r\nabc", "a wrong chunk": CHUNKED + b"zz\r\nabc\r\n0\r\n\r\n",
    "a reset": lambda connection: connection.setsockopt(
        socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0"),
}


def test_hosts_that_answer_badly_cost_their_own_request(fetching, host):
    """All at once, with good requests among them that keep their answer."""
    good = {}
    host.answers["/picture"] = reply(PICTURE)

    def check_good():
        response = ask(fetching, f"http://127.0.0.1:{host.port}/picture")
        good.setdefault(response.status_code, set()).add(response.json()["choices"][0]["message"]["content"])

    check_good()
    outcomes = {}

    def check(name):
        start = time.monotonic()
        response = ask(fetching, f"http://127.0.0.1:{host.port}/{name.replace(' ', '-')}")
        outcomes[name] = response, time.monotonic() - start

    for name, answer in ANSWERS.items():
        host.answers["/" + name.replace(" ", "-")] = answer
    threads = [threading.Thread(target=check, args=(name,)) for name in ANSWERS]
    threads += [threading.Thread(target=check_good) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [name for name, (response, _) in outcomes.items() if response.status_code != 400] == []
    for name, (response, seconds) in outcomes.items():
        check_refused(response)
        assert seconds < 20, name
    assert len(outcomes) == len(ANSWERS) and set(good) == {200} and len(good[200]) == 1
    assert fetching.wait_idle()


def test_headers_of_the_host_change_nothing(fetching, host):
    host.answers["/picture"] = reply(PICTURE)
    host.answers["/good"] = reply(PICTURE, Set_Cookie="a=b", Content_Type="text/html", Content_Disposition="attachment",
                                  X_Content_Type_Options="nosniff", Refresh="0; url=http://127.0.0.2/")
    answers = [ask(fetching, f"http://127.0.0.1:{host.port}/{name}").json()["choices"] for name in ("good", "picture")]
    assert answers[0] == answers[1]
