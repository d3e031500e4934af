"""Pictures that are sent once, and pictures that the server fetches."""

import hashlib
import http.server
import threading
import time

import anthropic
import httpx
import openai
import pytest

from server_process import GOLDEN, Server, golden, request_bytes, wait_for

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


@pytest.mark.compatibility("anthropic", "files: upload, metadata, download, list, delete; pictures by file")
def test_anthropics_client_sends_a_picture_once(llava):
    client = anthropic.Anthropic(base_url=llava.url, api_key="none", max_retries=0)
    files = [client.files.upload(file=("a.png", PICTURE.read_bytes(), "image/png"), expires_in_seconds=3600)
             for _ in range(3)]
    file = files[0]
    assert file.type == "file" and file.size_bytes == PICTURE.stat().st_size and file.filename == "a.png"
    assert file.mime_type == "image/png" and file.downloadable and (file.expires_at - file.created_at).seconds == 3600
    stored = {"type": "image", "source": {"type": "file", "file_id": file.id}}
    content = [stored if part["type"] == "image_url" else part for part in CASE["messages"][0]["content"]]
    message = client.messages.create(model="llava", max_tokens=16, messages=[{"role": "user", "content": content}],
                                     extra_body={"temperature": 0, "ignore_eos": True})
    assert message.content[0].text == CASE["text"]
    assert client.files.retrieve_metadata(file.id) == file
    assert client.files.download(file.id).read() == PICTURE.read_bytes()
    own = {made.id for made in files}
    listed = [found.id for found in client.files.list(limit=1) if found.id in own]
    assert listed == [made.id for made in reversed(files)]
    some = client.files.list(ids=[files[0].id, files[2].id, files[0].id, "file-unknown"])
    assert {found.id for found in some.data} == {files[0].id, files[2].id} and some.next_page is None
    for made in files:
        assert client.files.delete(made.id).type == "file_deleted"
    for gone in (client.files.retrieve_metadata, client.files.delete, client.files.download):
        with pytest.raises(anthropic.NotFoundError) as error:
            gone(file.id)
        assert error.value.body["error"]["type"] == "not_found_error"
    for wrong in ({"file": ("a.png", b"\xff\0")}, {"file": ("a.png", PICTURE.read_bytes()), "expires_in_seconds": 0}):
        with pytest.raises(anthropic.BadRequestError):
            client.files.upload(**wrong)
    for wrong in ({"ids": [file.id], "limit": 5}, {"ids": [f"file-{i}" for i in range(101)]}):
        with pytest.raises(anthropic.BadRequestError):
            client.files.list(**wrong)


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

    client.files.content(files[0].id)  # what is used in between moves nothing
    assert page(purpose="vision", after=newest[0]) == [newest[1], newest[3]]
    assert page(purpose="user_data", after=newest[1], order="desc") == [newest[2]]
    assert page(purpose="vision", after=newest[2], order="asc") == [newest[1]]
    # page by page
    assert [file.id for file in client.files.list(limit=1, purpose="user_data")][:2] == [newest[0], newest[2]]
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
FIELD = b"--x\r\nContent-Disposition: form-data; name=\"%s\"\r\n\r\n%s\r\n"
FILE_PART = b"Content-Disposition: form-data; name=\"file\"\r\n\r\n" + PICTURE.read_bytes() + b"\r\n--x--"
FILE, PURPOSE = FIELD % (b"file", PICTURE.read_bytes()), FIELD % (b"purpose", b"vision")
FORMS = [
    (b"", "application/json", None), (b"", BOUNDARY, None), (b"--x--", BOUNDARY, "file"),
    (b"--x\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nvision\r\n--x--", BOUNDARY, "file"),
    (b"--x\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\nabc\r\n--x--", BOUNDARY, "purpose"),
    (b"--x\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\nabc\r\n--x\r\n"
     b"Content-Disposition: form-data; name=purpose\r\n\r\nvision\r\n--x--", BOUNDARY, "file"),
    (b"--x\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\nabc\r\n--x\r\n"
     b"Content-Disposition: form-data; name=purpose\r\n\r\nfine-tune\r\n--x--", BOUNDARY, "purpose"),
    (FILE + b"--x\r\n" + FILE_PART, BOUNDARY, "file"), (FILE + PURPOSE + PURPOSE + b"--x--", BOUNDARY, "purpose"),
    (FILE + PURPOSE + FIELD % (b"expires_after[anchor]", b"last_active_at") + b"--x--", BOUNDARY,
     "expires_after[anchor]"),
    *[(FILE + PURPOSE + FIELD % (b"expires_after[seconds]", text) + b"--x--", BOUNDARY, "expires_after[seconds]")
      for text in (b"0", b"-1", b"x", b"1.5", b"", b"99999999999999999999", b"2592001", b"1" * 100_000)],
    (FIELD % (b"purpose", b"v" * 1_000_000) + FILE + b"--x--", BOUNDARY, "purpose"),
    (FILE + PURPOSE + b"--y--", BOUNDARY, None),
    (b"--x\r\n" + b"A: b\r\n" * 2000 + b"\r\nabc\r\n--x--", BOUNDARY, None),
    (b"--x\r\nno head", BOUNDARY, None), (b"--x\r\n" * 200, BOUNDARY, None),
    (b"--x\r\n\r\n\r\n--x--", "multipart/form-data", None),
    (b"--x--", "multipart/form-data; boundary=" + "x" * 80, None),
]


@pytest.mark.parametrize("body, kind, param", FORMS, ids=range(len(FORMS)))
def test_wrong_forms(llava, body, kind, param):
    response = llava.post("/v1/files", body, headers={"Content-Type": kind})
    assert response.status_code == 400, response.text
    assert response.json()["error"]["param"] == param


def part(disposition, body, *heads):
    return b"\r\n".join([b"--a b", b"Content-Disposition: form-data; " + disposition, *heads, b"", body, b""])


ODD_FORMS = {  # (name it gets, disposition of the file, further heads)
    "no file name": ("", b"name=file", []), "an empty file name": ("", b'name="file"; filename=""', []),
    "a quoted name": ('a"b\\c.png', b'name="file"; filename="a\\"b\\\\c.png"', []),
    "a semicolon": ("a;name=x.png", b'filename="a;name=x.png"; name="file"', []),
    "letters": ("\u00e4\u65e5.png", 'name="file"; filename="\u00e4\u65e5.png"'.encode(), []),
    "a path": ("../../etc/passwd", b'name="file"; filename="../../etc/passwd"', []),
    "capitals": ("x.png", b'NAME="file"; FILENAME=x.png', [b"CONTENT-TYPE: image/png", b"X-Odd: y"]),
    "a long name": ("n" * 256, b'name="file"; filename="' + b"n" * 5000 + b'"', []),
}


@pytest.mark.parametrize("name", ODD_FORMS)
def test_odd_forms_that_are_right(llava, name):
    filename, disposition, heads = ODD_FORMS[name]
    file = part(disposition, PICTURE.read_bytes(), *heads)
    body = part(b"name=ignored", b"x") + file + part(b'name="purpose"', b"vision") + b"--a b--\r\n"
    for kind in ('multipart/form-data; boundary="a b"', 'Multipart/Form-Data; charset=utf-8; Boundary="a b"'):
        response = llava.post("/v1/files", body, headers={"Content-Type": kind})
        assert response.status_code == 200, response.text
        file = response.json()
        assert file["filename"] == filename and file["bytes"] == PICTURE.stat().st_size
        assert llava.get(f"/v1/files/{file['id']}/content").content == PICTURE.read_bytes()
        client_of(llava).files.delete(file["id"])


# (query, status, field that is named or how many files come)
QUERIES = [
    ("", 200, 3), ("limit=2", 200, 2), ("limit=10000", 200, 3), ("limit=0", 400, "limit"),
    ("limit=10001", 400, "limit"),
    ("limit=-1", 400, "limit"), ("limit=x", 400, "limit"), ("limit=1.5", 400, "limit"),
    ("limit=" + "9" * 50, 400, "limit"),
    ("order=asc", 200, 3), ("order=up", 400, "order"), ("order=ASC", 400, "order"), ("after=file-x", 400, "after"),
    ("purpose=vision", 200, 3), ("purpose=batch", 200, 0), ("unknown=1", 200, 3), ("limit=1&limit=2", 200, 1),
    ("limit", 200, 3),
    ("limit=%32", 200, 2), ("purpose=%zz", 200, 0), ("&&=&", 200, 3),
]


@pytest.mark.parametrize("query, status, right", QUERIES, ids=[query[:20] for query, _, _ in QUERIES])
def test_queries_of_the_list(three_files, query, status, right):
    response = three_files.get("/v1/files?" + query)
    assert response.status_code == status, response.text
    if status == 200:
        page = response.json()
        assert page["object"] == "list" and len(page["data"]) == right and page["has_more"] == (0 < right < 3)
        ids = [file["id"] for file in page["data"]]
        assert [page["first_id"], page["last_id"]] == ([ids[0], ids[-1]] if ids else [None, None])
    else:
        assert response.json()["error"]["param"] == right


@pytest.fixture(scope="module")
def three_files():
    server = Server("llava", "--served-model-name", "org/model:1", "--served-model-name", "a b")
    for _ in range(3):
        client_of(server).files.create(file=PICTURE.open("rb"), purpose="vision")
    yield server
    assert server.stop() == 0


def test_paths_of_files_and_models(three_files):
    client = three_files.client()
    for method, path, status, code in (
            ("GET", "/v1/models/org/model:1", 200, None), ("GET", "/v1/models/org%2Fmodel%3A1", 200, None),
            ("GET", "/v1/models/a%20b", 200, None), ("HEAD", "/v1/models/a%20b", 200, None),
            ("HEAD", "/v1/models", 200, None),
            ("GET", "/v1/models/", 404, "not_found"), ("GET", "/v1/models/gpt-4o", 404, "model_not_found"),
            ("GET", "/v1/models/org", 404, "model_not_found"), ("GET", "/v1/models/..%2fa%20b", 404, "model_not_found"),
            ("DELETE", "/v1/models/a%20b", 405, "method_not_allowed"),
            ("POST", "/v1/models", 405, "method_not_allowed"),
            ("GET", "/v1/files/", 404, "not_found"), ("GET", "/v1/files/file-x", 404, "not_found"),
            ("GET", "/v1/files/content", 404, "not_found"),
            ("GET", "/v1/files//content", 404, "not_found"), ("GET", "/v1/files/file-x/content", 404, "not_found"),
            ("DELETE", "/v1/files/file-x", 404, "not_found"), ("DELETE", "/v1/files/", 404, "not_found"),
            ("PUT", "/v1/files/file-x", 405, "method_not_allowed"), ("HEAD", "/v1/files", 200, None),
            ("HEAD", "/v1/files/file-x", 404, None)):
        response = client.request(method, path)
        assert response.status_code == status, (method, path, response.text)
        if method != "HEAD" and status != 200:
            assert response.json()["error"]["code"] == code, (path, response.text)
        if method == "HEAD":
            assert response.content == b""


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


def test_nothing_is_fetched_for_a_client_that_left(host):
    """Six seconds each: neither the first is waited for, nor the next one asked for."""
    server = Server("llava", "--allow-media-domain", "127.0.0.1", "--allow-private-media-hosts", "true")
    Pictures.seen.clear()
    parts = [{"type": "image_url", "image_url": {"url": f"{host}/slow-{i}"}} for i in range(3)]
    with server.connect() as connection:
        connection.sendall(request_bytes("/v1/chat/completions", {"messages": [{"role": "user", "content": parts}]}))
        wait_for(lambda: Pictures.seen)
    wait_for(lambda: 'status="499"' in server.get("/metrics").text, 4)
    assert [path for path, _ in Pictures.seen] == ["/slow-0"]
    assert server.stop() == 0


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
