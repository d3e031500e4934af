"""Pictures: counting, failing alone, and what the metrics say of them."""

import base64
import io
import pathlib
import re
import struct
import threading
import zlib

import PIL.Image
import pytest

from conftest import data_url, with_data_urls
from server_process import golden


def image(url):
    return {"type": "image_url", "image_url": {"url": url}}


def png(width, height):
    """A PNG that declares this size, without its pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    data = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return "data:image/png;base64," + base64.b64encode(data).decode()


TEXT = {"type": "text", "text": "What is in the picture?"}
BAD_URLS = {
    "http": "http://127.0.0.1:1/x.png",
    "https": "https://example.com/x.png",
    "file": "file:///etc/passwd",
    "path": "/etc/passwd",
    "empty": "",
    "not base64": "data:image/png;base64,@@@@",
    "bad padding": "data:image/png;base64,AAA",
    "no picture": "data:image/png;base64," + base64.b64encode(b"hello, world").decode(),
    "wrong type": "data:text/plain;base64,AAAA",
    "bomb": png(60000, 60000),
    "aspect": png(20000, 2),
    "no pixels": png(0, 0),
    "truncated": png(20, 20),
}


@pytest.mark.parametrize("name", BAD_URLS)
def test_a_bad_picture_names_its_place(llava, picture, name):
    response = llava.chat([TEXT, image(picture), image(BAD_URLS[name])], max_tokens=2)
    assert response.status_code == 400, response.text
    error = response.json()["error"]
    assert error["param"] == "messages[0].content[2].image_url.url"
    assert error["type"] == "invalid_request_error" and "/etc" not in error["message"]


def test_a_bad_picture_fails_alone(llava, picture):
    """Good requests answer as always while bad ones fail beside them."""
    case = golden("llava")["cases"][0]
    answers, failures = [], []

    def good():
        body = {"messages": with_data_urls(case["messages"]), "temperature": 0, "max_tokens": 16, "ignore_eos": True}
        answers.append(llava.post("/v1/chat/completions", body).json()["choices"][0]["message"]["content"])

    def bad():
        failures.append(llava.chat([TEXT, image(BAD_URLS["truncated"])], max_tokens=2).status_code)

    threads = [threading.Thread(target=target) for target in [good, bad] * 6]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [case["text"]] * 6 and failures == [400] * 6


def test_tokenize_counts_pictures_without_decoding(llava):
    case = golden("llava")["cases"][0]
    before = llava.metric("saccade_media_decode_seconds_count")
    answer = llava.post("/tokenize", {"messages": with_data_urls(case["messages"])}).json()
    assert answer["tokens"] == case["input_ids"]
    assert answer["image_tokens"] == 9 and answer["text_tokens"] == answer["count"] - 9
    kinds = [part["type"] for part in case["messages"][0]["content"]]
    assert [part["type"] for part in answer["parts"]] == [kind.removesuffix("_url") for kind in kinds]
    assert [part["tokens"] for part in answer["parts"] if part["type"] == "image"] == [9]
    assert all(0 < part["tokens"] <= answer["count"] and part["message"] == 0 for part in answer["parts"])
    assert [part["part"] for part in answer["parts"]] == list(range(len(kinds)))
    assert llava.metric("saccade_media_decode_seconds_count") == before


def test_tokenize_tells_the_connectors_tokens(instructblip):
    case = golden("instructblip")["cases"][0]
    answer = instructblip.post("/tokenize", {"messages": with_data_urls(case["messages"])}).json()
    assert answer["tokens"] == case["input_ids"]
    assert answer["connector_tokens"] == len(case["qformer_input_ids"])


def test_a_text_model_refuses_pictures(llama, picture):
    response = llama.chat([TEXT, image(picture)])
    assert response.status_code == 400
    assert response.json()["error"]["param"] == "messages[0].content[1].image_url.url"


def test_too_many_pictures_are_counted(instructblip, picture):
    response = instructblip.chat([TEXT, image(picture), image(picture)])
    assert response.status_code == 400 and "2" in response.json()["error"]["message"]
    assert response.json()["error"]["param"] == "messages"


def test_a_plain_string_url_is_accepted(llava):
    part = {"type": "image_url", "image_url": data_url("images/scene.png")}
    assert llava.chat([part, TEXT], max_tokens=1).status_code == 200


def test_pictures_beyond_the_models_length_are_not_decoded(llava, picture):
    limit = llava.get("/v1/models").json()["data"][0]["max_model_len"]
    before = llava.metric("saccade_media_decode_seconds_count")
    response = llava.chat([image(picture)] * 30 + [TEXT])
    assert response.status_code == 400 and str(limit) in response.json()["error"]["message"]
    assert response.json()["error"]["param"] == "messages"
    assert llava.metric("saccade_media_decode_seconds_count") == before


def test_a_placeholder_in_the_text_takes_no_picture(llava, picture):
    response = llava.chat([image(picture), {"type": "text", "text": "<image> <image>"}], max_tokens=1)
    assert response.status_code == 200
    assert response.json()["usage"]["prompt_tokens_details"]["image_tokens"] == 9
    assert llava.chat("<image>", max_tokens=1).json()["usage"]["prompt_tokens_details"]["image_tokens"] == 0


def test_every_media_stage_is_timed(llava, picture):
    llava.chat([image(picture), TEXT], max_tokens=1)
    for stage in ("decode", "preprocess", "encode"):
        assert llava.metric(f"saccade_media_{stage}_seconds_count") > 0
    assert llava.metric("saccade_images_total") > 0
    assert llava.metric("saccade_image_tokens_total") > 0


def resident_bytes(server):
    status = pathlib.Path(f"/proc/{server.process.pid}/status").read_text()
    return 1024 * int(re.search(r"VmRSS:\s+(\d+)", status)[1])


def test_memory_does_not_grow_with_pictures(llava):
    """Pictures of 2 MB of pixels each, all different: what the first ones took is enough for all."""
    def ask(number):
        buffer = io.BytesIO()
        PIL.Image.new("RGB", (800, 800), (number, 255 - number, 7)).save(buffer, "PNG", compress_level=1)
        url = "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
        assert llava.chat([image(url), TEXT], max_tokens=1).status_code == 200

    for number in range(15):
        ask(number)
    before = resident_bytes(llava)
    for number in range(15, 65):
        ask(number)
    assert resident_bytes(llava) - before < 40 << 20  # fifty pictures that stayed would be 96 MB


def test_many_pictures_in_one_dialogue(llava, picture):
    messages = []
    for turn in range(4):
        content = [image(picture)] * 3 + [{"type": "text", "text": "?"}]
        messages.append({"role": "user", "content": content})
        answer = llava.post("/v1/chat/completions", {"messages": messages, "max_tokens": 1})
        assert answer.status_code == 200, answer.text
        assert answer.json()["usage"]["prompt_tokens_details"]["image_tokens"] == 3 * 9 * (turn + 1)
        messages.append({"role": "assistant", "content": "a"})
