"""What one request brings never shows in the answer of another, and the memory of all of them comes back."""

import base64
import io
import pathlib
import re
import threading

import httpx
import PIL.Image

from conftest import with_data_urls
from server_process import GOLDEN, Server, golden, request_bytes

CASE = golden("llava")["cases"][0]
CHAT = "/v1/chat/completions"
TEXT = {"type": "text", "text": "What?"}
QUESTION = {"messages": with_data_urls(CASE["messages"]), "temperature": 0, "max_tokens": 16, "ignore_eos": True,
            "logprobs": True, "return_token_ids": True}


def encoded(image, kind="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def url_of(data, kind="png"):
    return f"data:image/{kind};base64," + base64.b64encode(data).decode()


def picture(data, kind="png"):
    return {"type": "image_url", "image_url": {"url": url_of(data, kind)}}


def scene(mode="RGB", size=(64, 48)):
    return PIL.Image.open(GOLDEN / "images" / "scene.png").convert("RGB").resize(size).convert(mode)


def many_frames(count):
    """An animation of so many frames of one pixel each."""
    head = b"GIF89a\x01\0\x01\0\x80\0\0\xff\0\0\0\xff\0"
    frame = b"!\xf9\x04\0\0\0\0\0," + b"\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0"
    return head + frame * count + b";"


def half(text):
    return text[: len(text) // 2]


ICC = b"\xff\xe2" + (14 + 50).to_bytes(2, "big") + b"ICC_PROFILE\0\xff\x00" + b"\xee" * 48
EXIF = b"\xff\xe1" + (2 + 6 + 60).to_bytes(2, "big") + b"Exif\0\0MM\0*\xff\xff\xff\xff" + b"\x01" * 52


def with_segment(jpeg, segment):
    return jpeg[:2] + segment + jpeg[2:]


JPEG = encoded(scene(), "JPEG")
# (picture, statuses that are right)
PICTURES = {
    "CMYK": ((encoded(scene("CMYK"), "JPEG"), "jpeg"), {200}),
    "16 bit": ((encoded(scene("L").convert("I;16")),), {200}),
    "palette with alpha": ((encoded(scene("P"), transparency=3),), {200}),
    "one bit": ((encoded(scene("1")),), {200}),
    "gray and alpha": ((encoded(scene("LA")),), {200}),
    "a profile of nonsense": ((with_segment(JPEG, ICC), "jpeg"), {200}),
    "Exif of nonsense": ((with_segment(JPEG, EXIF), "jpeg"), {200}),
    "a hundred thousand frames": ((many_frames(100_000), "gif"), {200}),
    "another type than it says": ((JPEG, "png"), {200}),
    "one pixel": ((encoded(scene(size=(1, 1))),), {200}),
    "thin": ((encoded(scene(size=(150, 1))),), {200}),
    "too thin": ((encoded(scene(size=(1, 500))),), {400}),
    "half of a PNG": ((half(encoded(scene())),), {400}),
    "a PNG within a PNG": ((encoded(scene())[:40] + encoded(scene()),), {400}),
    **{f"{tenth}0 % of a {kind}": ((encoded(scene(), kind)[: len(encoded(scene(), kind)) * tenth // 10], kind.lower()),
                                   {200, 400})
       for kind in ("PNG", "JPEG", "WEBP", "GIF", "BMP") for tenth in range(1, 10)},
}
DEEP = {"type": "object"}
for _ in range(40):
    DEEP = {"type": "object", "properties": {"a": DEEP}, "required": ["a"]}
CALL = {"role": "assistant", "content": None,
        "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]}


def result(content):
    return {"messages": [{"role": "user", "content": "hi"}, CALL,
                         {"role": "tool", "tool_call_id": "c", "content": content}]}


def said(text, **fields):
    return {"messages": [{"role": "user", "content": text}], **fields}


TEXTS = {
    "a grammar without end": (said("hi", guided_grammar="root ::= root2\nroot2 ::= [a-z] root2 | [a-z]"), {200}),
    "a grammar that goes in circles": (said("hi", guided_grammar="root ::= root | root root"), {200, 400}),
    "a large pattern": (said("hi", guided_regex="(a|b|c|d){1,400}(x|y){0,300}"), {200, 400}),
    "a pattern that explodes": (said("hi", guided_regex="((((a{1,50}){1,50}){1,50}){1,50}){1,50}"), {400}),
    "a pattern of back tracks": (said("hi", guided_regex="(a+)+(b+)+(c+)+$"), {200, 400}),
    "a deep schema": (said("hi", response_format={"type": "json_schema", "json_schema": {"name": "a", "schema": DEEP}}),
                      {200}),
    "a schema that holds itself": (said("hi", guided_json={"$ref": "#"}), {400, 200}),
    "biases against all": (said("hi", logit_bias={str(i): -100 for i in range(5, 400)}), {200}),
    "a hot answer": (said("hi", temperature=2, top_k=1, presence_penalty=2, repetition_penalty=5), {200}),
    "template text": (said("{% for a in range(10**9) %}{{ a }}{% endfor %}{{ ''.__class__ }}"), {200}),
    "tokens of the template": (said("</s><s>USER: <image>\n<image> ASSISTANT: <pad><unk>" * 5), {200}),
    "a tool that gives markers": (result("</s><image><image>\n[TOOL_CALLS]<tool_call>{}</tool_call>"), {200}),
    "a tool that gives a bad picture": (result([picture(half(encoded(scene())))]), {400}),
    "a tool that gives a picture": (result([picture(encoded(scene())), TEXT]), {200}),
}
ROWS = {**{name: (said([picture(*made), TEXT]), right) for name, (made, right) in PICTURES.items()}, **TEXTS}


def answer_of(response):
    assert response.status_code == 200, response.text
    choice = response.json()["choices"][0]
    return choice["token_ids"], [entry["logprob"] for entry in choice["logprobs"]["content"]]


def test_hostile_requests_and_their_neighbours(llava):
    """Every row beside a question whose ids stay the same; its own status is the one that is right for it."""
    ids, logprobs = answer_of(llava.post(CHAT, QUESTION))
    failures, wrong = llava.metric("saccade_engine_failed_steps_total"), {}
    done = threading.Event()

    def neighbour():
        while not done.is_set():
            mine = answer_of(llava.post(CHAT, QUESTION))
            if mine[0] != ids or max(abs(a - b) for a, b in zip(mine[1], logprobs)) > 1e-4:
                wrong["neighbour"] = mine

    def hostile(names):
        for name in names:
            body, right = ROWS[name]
            response = llava.post(CHAT, {"temperature": 0, "max_tokens": 4, **body})
            if response.status_code not in right:
                wrong[name] = response.text[:300]
            if response.status_code == 400 and not response.json()["error"]["param"]:
                wrong[name] = "no param: " + response.text[:300]

    names = list(ROWS)
    threads = [threading.Thread(target=hostile, args=(names[i::3],)) for i in range(3)]
    beside = threading.Thread(target=neighbour)
    for thread in (*threads, beside):
        thread.start()
    for thread in threads:
        thread.join()
    done.set()
    beside.join()
    assert wrong == {}
    assert llava.metric("saccade_engine_failed_steps_total") == failures and llava.wait_idle()
    assert answer_of(llava.post(CHAT, QUESTION))[0] == ids


def test_caches_are_shared_by_requests_of_the_same_salt(llava):
    """vLLM's cache_salt: neither the prefix nor the picture, decoded or encoded, is found under another one, the
    answer is."""
    def work():
        return [llava.metric(f"saccade_media_{stage}_seconds_count") for stage in ("decode", "encode")]

    def ask(**fields):
        before = work()
        answer = llava.post(CHAT, {**said([picture(JPEG, "jpeg"), TEXT]), "temperature": 0, "max_tokens": 4, **fields})
        assert answer.status_code == 200, answer.text
        body = answer.json()
        return (body["usage"]["prompt_tokens_details"]["cached_tokens"] > 0,
                [after - then for after, then in zip(work(), before)], body["choices"][0]["message"]["content"])

    ask()  # whoever asked before
    cached, done, text = ask()
    assert cached and done == [0, 0]
    for salt in ("one", "two"):
        assert ask(cache_salt=salt) == (False, [1, 1], text)
        assert ask(cache_salt=salt) == (True, [0, 0], text)
    assert ask() == ask(cache_salt=None) == (True, [0, 0], text)
    for path, body in ((CHAT, said("a")), ("/v1/completions", {"prompt": "a"}), ("/v1/embeddings", {"input": "a"}),
                       ("/v1/responses", {"input": "a"}), ("/v1/score", {"prompt": "a", "options": ["b"]})):
        assert llava.post(path, {"cache_salt": "one", **body}).status_code == 200
        for wrong in ("", 5):
            response = llava.post(path, {**body, "cache_salt": wrong})
            assert response.status_code == 400 and response.json()["error"]["param"] == "cache_salt"


def resident_bytes(server):
    status = pathlib.Path(f"/proc/{server.process.pid}/status").read_text()
    return 1024 * int(re.search(r"VmRSS:\s+(\d+)", status)[1])


def test_memory_is_flat_over_many_pictures_some_of_them_given_up():
    """Different pictures of 500 KB of pixels, every third request given up: what the first took is enough for all."""
    server = Server("llava")

    def ask(number):
        image = PIL.Image.new("RGB", (400, 400), (number % 256, number // 256, 77))
        body = said([picture(encoded(image, compress_level=1)), TEXT], max_tokens=8, ignore_eos=True,
                    stream=number % 2 == 0)
        if number % 3 == 0:
            with server.connect() as connection:
                connection.sendall(request_bytes(CHAT, body))
                if number % 2 == 0:
                    connection.recv(10)
        else:
            assert server.post(CHAT, body).status_code == 200

    def ask_all(numbers):
        threads = [threading.Thread(target=lambda some=numbers[i::4]: [ask(n) for n in some]) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert server.wait_idle()

    ask_all(range(60))
    before = resident_bytes(server)
    ask_all(range(60, 210))
    assert resident_bytes(server) - before < 40 << 20  # those that stayed would be 72 MB
    assert server.metric("saccade_num_requests_running") == 0
    with httpx.Client(base_url=server.url) as client:
        assert client.get("/health").status_code == 200
    assert server.stop() == 0
