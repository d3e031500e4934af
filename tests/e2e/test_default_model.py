"""The default model as the quickstart serves it: made by scripts/fetch_default_model.py."""

import base64
import subprocess
import sys

import pytest
from server_process import ROOT, Server

MODEL = ROOT / "models" / "default"


@pytest.fixture(scope="module")
def folder():
    subprocess.run([sys.executable, ROOT / "scripts" / "fetch_default_model.py"], check=True)
    return MODEL


@pytest.fixture(scope="module")
def server(folder):
    server = Server(folder)
    yield server
    assert server.stop() == 0


@pytest.fixture(scope="module")
def sample():
    data = (ROOT / "docs" / "images" / "sample.png").read_bytes()
    url = "data:image/png;base64," + base64.b64encode(data).decode()
    return {"type": "image_url", "image_url": {"url": url}}


def answer(server, content, **fields):
    body = server.chat(content, temperature=0, max_tokens=24, **fields).json()
    return body["choices"][0]["message"]["content"]


def test_it_knows_the_capital_of_france(server):
    assert "Paris" in answer(server, "What is the capital of France?")


@pytest.mark.parametrize(
    "question, word",
    [
        ("What color is the circle?", "purple"),
        ("What color is the triangle?", "blue"),
        ("What shape is green?", "cross"),
    ],
)
def test_it_sees_the_sample_picture(server, sample, question, word):
    assert word in answer(server, [sample, {"type": "text", "text": question}]).lower()


def test_it_tells_a_video_in_words(server, sample):
    """It takes no videos; it says what color the circle is in every frame, and answers from that."""
    film = {"type": "video", "frames": [sample["image_url"]["url"]] * 2, "fps": 0.5}
    body = server.chat([film, {"type": "text", "text": "hi"}], temperature=0, max_tokens=24, media_mode="captions",
                       caption_prompt="What color is the circle?", return_token_ids=True).json()
    seen = server.post("/detokenize", {"tokens": body["prompt_token_ids"]}).json()["prompt"].lower()
    assert "0.0 s:" in seen and "2.0 s:" in seen and seen.count("purple") == 2
    assert body["usage"]["prompt_tokens_details"]["image_tokens"] == 0


def test_a_picture_without_a_question_is_answered(server, sample):
    response = server.chat([sample], temperature=0, max_tokens=24)
    assert response.status_code == 200
    assert response.json()["usage"]["prompt_tokens_details"]["image_tokens"] > 0


def test_a_question_it_was_not_trained_for_breaks_nothing(server, sample):
    text = "Write a poem about the tax law of Portugal in the style of this painting."
    assert server.chat([sample, {"type": "text", "text": text}], max_tokens=40).status_code == 200


def test_greedy_text_is_that_of_transformers(folder, server, tmp_path):
    torch = pytest.importorskip("torch")
    from transformers import AutoModelForCausalLM, AutoTokenizer

    subprocess.run(
        [sys.executable, ROOT / "scripts" / "fetch_default_model.py", "--text-only", "--output", tmp_path / "text"],
        check=True,
    )
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "text")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "text", dtype=torch.float32)
    for question in ("What is the capital of France?", "Write one sentence about the sea.", "What is 12 + 30?"):
        messages = [{"role": "user", "content": question}]
        ids = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt")
        with torch.no_grad():
            out = model.generate(ids, max_new_tokens=32, do_sample=False, num_beams=1)
        expected = tokenizer.decode(out[0, ids.shape[1]:], skip_special_tokens=True)
        got = server.chat(question, temperature=0, max_tokens=32).json()
        assert got["choices"][0]["message"]["content"] == expected
        assert got["usage"]["prompt_tokens"] == ids.shape[1]
