"""Pictures that are sent once, and pictures that the server fetches."""

import hashlib
import http.server
import threading
import time

import httpx
import openai
import pytest

from server_process import GOLDEN, Server, golden

CASE = golden("llava")["cases"][0]
PICTURE = GOLDEN / CASE["images"][0]


def client_of(server, key="none"):
    return openai.OpenAI(base_url=server.url + "/v1", api_key=key, max_retries=0)


def answer_with(server, url, key=None, **fields):
    content = [{"type": "image_url", "image_url": {"url": url}} if part["type"] == "image_url" else part
               for part in CASE["messages"][0]["content"]]
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return server.post("/v1/chat/completions", {"messages": [{"role": "user", "content": content}], "temperature": 0,
                                                "max_tokens": 16, "ignore_eos": True, **fields}, headers=headers)


def text_of(response):
    assert response.status_code == 200, response.text
    return response.json()["choices"][0]["message"]["content"]


@pytest.mark.compatibility("openai (Python)", "files: create, retrieve, content, list, delete")
def test_a_picture_is_sent_once_and_referred_to(llava):
    client = client_of(llava)
    file = client.files.create(file=PICTURE.open("rb"), purpose="vision")
    assert file.bytes == PICTURE.stat().st_size and file.filename == PICTURE.name and file.purpose == "vision"
    digest = hashlib.sha256(PICTURE.read_bytes()).hexdigest()
    assert file.sha256 == digest
    assert text_of(answer_with(llava, file.id)) == CASE["text"]
    assert text_of(answer_with(llava, "sha256:" + digest)) == CASE["text"]
    parts = [{"type": "input_image", "file_id": file.id} if part["type"] == "image_url" else
             {"type": "input_text", "text": part["text"]} for part in CASE["messages"][0]["content"]]
    response = client.responses.create(model="llava", input=[{"role": "user", "content": parts}], temperature=0,
                                       max_output_tokens=16, extra_body={"ignore_eos": True})
    assert response.output_text == CASE["text"]
    part = [{"type": "image_file", "image_file": {"file_id": file.id}}, {"type": "text", "text": "What?"}]
    assert llava.chat(part, max_tokens=1).status_code == 200
    count = llava.post("/tokenize", {"messages": [{"role": "user", "content": part}]}).json()
    assert count["image_tokens"] == 9
    assert client.files.retrieve(file.id) == file
    assert client.files.content(file.id).read() == PICTURE.read_bytes()
    assert file.id in [listed.id for listed in client.files.list(purpose="vision")]
    assert client.files.delete(file.id).deleted
    for gone in (client.files.retrieve, client.files.delete, client.files.content):
        with pytest.raises(openai.NotFoundError):
            gone(file.id)


def test_an_unknown_file_is_to_be_sent_again(llava):
    for reference in ("file-unknown", "sha256:" + "0" * 64):
        response = answer_with(llava, reference)
        assert response.status_code == 404
        error = response.json()["error"]
        assert error["code"] == "not_found" and "Send it again with POST /v1/files" in error["message"]
        assert error["param"].endswith("image_url.url")


def test_pages_begin_behind_a_file_of_any_purpose(llava):
    client = client_of(llava)
    kinds = ("vision", "user_data", "vision", "user_data")
    files = [client.files.create(file=PICTURE.open("rb"), purpose=kind) for kind in kinds]
    newest = [file.id for file in reversed(files)]

    def page(**query):
        return [file.id for file in client.files.list(extra_query=query).data if file.id in newest]

    assert page(purpose="vision", after=newest[0]) == [newest[1], newest[3]]
    assert page(purpose="user_data", after=newest[1], order="desc") == [newest[2]]
    assert page(purpose="vision", after=newest[2], order="asc") == [newest[1]]
    assert [file.id for file in client.files.list(limit=1, purpose="user_data")][:2] == [newest[0], newest[2]]  # page by page
    for file in files:
        client.files.delete(file.id)
    for gone in (newest[0], "file-nowhere"):
        with pytest.raises(openai.BadRequestError) as error:
            client.files.list(after=gone)
        assert error.value.param == "after"


def test_files_are_private_bounded_and_expire(tmp_path):
    keys = tmp_path / "keys"
    keys.write_text("one\ntwo\n")
    size = PICTURE.stat().st_size
    server = Server("llava", "--api-key-file", keys, "--max-files-size", str(3 * (size + 1024)))
    one, two = client_of(server, "one"), client_of(server, "two")
    files = [one.files.create(file=PICTURE.open("rb"), purpose="vision") for _ in range(4)]
    assert answer_with(server, files[0].id, "one").status_code == 404  # made room
    assert answer_with(server, files[3].id, "one").status_code == 200
    assert answer_with(server, files[3].id, "two").status_code == 404
    assert two.files.list().data == [] and len(one.files.list(limit=2).data) == 2
    assert files[3].expires_at - files[3].created_at == 86400
    short = one.files.create(file=PICTURE.open("rb"), purpose="vision",
                             expires_after={"anchor": "created_at", "seconds": 1})
    assert short.expires_at - short.created_at == 1
    end = time.monotonic() + 20
    while answer_with(server, short.id, "one").status_code == 200:
        assert time.monotonic() < end
        time.sleep(0.2)
    assert short.id not in [file.id for file in one.files.list().data]
    assert server.stop() == 0


BOUNDARY = "multipart/form-data; boundary=x"
FORMS = [
    (b"", "application/json", None), (b"", BOUNDARY, None), (b"--x--", BOUNDARY, "file"),
    (b"--x\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nvision\r\n--x--", BOUNDARY, "file"),
    (b"--x\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\nabc\r\n--x--", BOUNDARY, "purpose"),
    (b"--x\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\nabc\r\n--x\r\n"
     b"Content-Disposition: form-data; name=purpose\r\n\r\nvision\r\n--x--", BOUNDARY, "file"),
    (b"--x\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\nabc\r\n--x\r\n"
     b"Content-Disposition: form-data; name=purpose\r\n\r\nfine-tune\r\n--x--", BOUNDARY, "purpose"),
    (b"--x\r\nno head", BOUNDARY, None), (b"--x\r\n" * 200, BOUNDARY, None),
    (b"--x\r\n\r\n\r\n--x--", "multipart/form-data", None), (b"--x--", "multipart/form-data; boundary=" + "x" * 80, None),
]


@pytest.mark.parametrize("body, kind, param", FORMS, ids=range(len(FORMS)))
def test_wrong_forms(llava, body, kind, param):
    response = llava.post("/v1/files", body, headers={"Content-Type": kind})
    assert response.status_code == 400, response.text
    assert response.json()["error"]["param"] == param


class Pictures(http.server.BaseHTTPRequestHandler):
    """A host with one good picture and many ways to go wrong."""

    seen = []

    def do_GET(self):
        Pictures.seen.append((self.path, dict(self.headers)))
        name, _, count = self.path.strip("/").partition("-")
        if name == "redirect" and count != "0":
            target = {"private": "http://10.0.0.1/x", "file": "file:///etc/passwd", "other": "http://evil.example/x"}
            following = target.get(count) or f"/redirect-{int(count) - 1}"
            self.send_response(302)
            self.send_header("Location", following)
            self.end_headers()
        elif name == "huge":
            self.send_response(200)
            self.end_headers()
            try:
                for _ in range(200):
                    self.wfile.write(b"x" * 10_000)
            except OSError:
                pass
        elif name == "slow":
            time.sleep(6)
        elif name == "missing":
            self.send_error(404)
        else:
            data = PICTURE.read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def host():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pictures)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture(scope="module")
def fetching():
    server = Server("llava", "--allow-media-domain", "127.0.0.1", "--allow-private-media-hosts", "true",
                    "--media-fetch-timeout", "3", "--max-image-size", "1M",
                    env={"http_proxy": "http://127.0.0.1:1", "HTTP_PROXY": "http://127.0.0.1:1"})
    yield server
    assert server.stop() == 0


def test_a_picture_is_fetched(fetching, host):
    assert text_of(answer_with(fetching, host + "/good", user="someone")) == CASE["text"]
    assert text_of(answer_with(fetching, host + "/redirect-3")) == CASE["text"]
    headers = {name.lower(): value for name, value in Pictures.seen[0][1].items()}
    assert set(headers) == {"host", "user-agent", "accept"}  # nothing of the client's
    assert fetching.post("/tokenize", {"messages": [{"role": "user", "content": [
        {"type": "image_url", "image_url": {"url": host + "/good"}}]}]}).json()["image_tokens"] == 9


@pytest.mark.parametrize("path", ["/redirect-4", "/redirect-private", "/redirect-file", "/redirect-other", "/huge",
                                  "/slow", "/missing"])
def test_what_goes_wrong_is_the_requests_own(fetching, host, path):
    start = time.monotonic()
    response = answer_with(fetching, host + path)
    assert response.status_code == 400, response.text
    assert response.json()["error"]["param"].endswith("image_url.url")
    assert "/etc" not in response.text and time.monotonic() - start < 20


@pytest.mark.parametrize("url", [
    "http://evil.example/x.png", "http://127.0.0.1.evil.example/x", "http://127.0.0.1@evil.example/x",
    "http://evil.example\\@127.0.0.1/x", "http://user:word@127.0.0.1/x", "ftp://127.0.0.1/x", "file:///etc/passwd",
    "http://localhost/x", "http:///x", "http://127.0.0.1 /x", "gopher://127.0.0.1/x", "//127.0.0.1/x"])
def test_other_hosts_and_odd_urls_are_refused(fetching, url):
    response = answer_with(fetching, url)
    assert response.status_code == 400, response.text


def test_private_addresses_are_refused_and_nothing_is_fetched_by_default(host, llava):
    assert answer_with(llava, host + "/good").status_code == 400
    server = Server("llava", "--allow-media-domain", "127.0.0.1", "--allow-media-domain", "localhost")
    before = len(Pictures.seen)
    for url in (host + "/good", host.replace("127.0.0.1", "localhost") + "/good"):
        response = answer_with(server, url)
        assert response.status_code == 400 and "not public" in response.json()["error"]["message"]
    assert len(Pictures.seen) == before
    assert httpx.get(server.url + "/health").status_code == 200
    assert server.stop() == 0
