"""media_mode "captions": a model without eyes for videos answers from what it says of their frames."""

import base64

import pytest

from conftest import data_url
from server_process import GOLDEN

CHAT = "/v1/chat/completions"
FRAMES = ["images/scene.png", "images/gray_exact.png", "images/wide_palette.png"]
TEXT = {"type": "text", "text": "What happens?"}
PROMPT = "What is here?"


def ask(server, *parts, **fields):
    body = {"messages": [{"role": "user", "content": list(parts)}], "temperature": 0, "max_tokens": 8,
            "return_token_ids": True, **fields}
    response = server.post(CHAT, body)
    assert response.status_code == 200, response.text
    return response.json()


def listed(frames, **fields):
    return {"type": "video", "frames": [data_url(frame) for frame in frames], **fields}


def film():
    data = base64.b64encode((GOLDEN / "videos" / "h264.mp4").read_bytes()).decode()
    return {"type": "video_url", "video_url": {"url": f"data:video/mp4;base64,{data}"}}


def captions(fields=None):
    return {"media_mode": "captions", "caption_prompt": PROMPT, "caption_max_tokens": 6, **(fields or {})}


def caption_of(server, url):
    picture = {"type": "image_url", "image_url": {"url": url}}
    answer = ask(server, picture, {"type": "text", "text": PROMPT}, max_tokens=6)
    return " ".join(answer["choices"][0]["message"]["content"].split())


def test_the_words_are_the_models_own(llava):
    """As if a client had asked about each frame and sent the answers as text."""
    told = ask(llava, listed(FRAMES, fps=2), TEXT, **captions())
    lines = [f"{second:.1f} s: {caption_of(llava, data_url(frame))}\n" for second, frame in zip((0, 0.5, 1), FRAMES)]
    by_hand = ask(llava, {"type": "text", "text": "The video, frame by frame:\n" + "".join(lines)}, TEXT)
    assert told["prompt_token_ids"] == by_hand["prompt_token_ids"]
    assert told["choices"][0]["token_ids"] == by_hand["choices"][0]["token_ids"]
    assert told["usage"]["prompt_tokens_details"]["image_tokens"] == 0


def test_frames_of_a_film_have_their_times(llava):
    def text(**fields):
        ids = ask(llava, {**film(), **fields}, TEXT, **captions({"caption_max_tokens": 1}))["prompt_token_ids"]
        return llava.post("/detokenize", {"tokens": ids}).json()["prompt"]

    assert [f"{second:.1f} s:" in text(num_frames=4) for second in (0, 0.5, 1, 1.5, 2)] == [True] * 4 + [False]
    assert text().count(" s:") == 8  # where nothing is said
    assert text(start=1, num_frames=2).count(" s:") == 2 and "1.0 s:" in text(start=1, num_frames=2)


def test_streams_and_pictures_beside(llava, picture):
    body = {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": picture}},
                                                      listed(FRAMES[:1]), TEXT]}],
            "temperature": 0, "max_tokens": 4, "ignore_eos": True, "stream": True, **captions()}
    assert llava.events(CHAT, body)[-1] == "[DONE]"
    whole = llava.post(CHAT, {**body, "stream": False}).json()
    assert whole["usage"]["prompt_tokens_details"]["image_tokens"] == 9  # of the picture alone


def test_without_videos_nothing_changes(llava):
    plain = ask(llava, TEXT)
    assert ask(llava, TEXT, **captions())["prompt_token_ids"] == plain["prompt_token_ids"]


@pytest.mark.parametrize("part, fields, param", [
    (listed(FRAMES), {"media_mode": "words"}, "media_mode"),
    (listed(FRAMES), {"caption_max_tokens": 0}, "caption_max_tokens"),
    (listed(FRAMES), {"caption_max_tokens": 1000}, "caption_max_tokens"),
    (listed(FRAMES), {"caption_prompt": 5}, "caption_prompt"),
    (listed(FRAMES * 22), {}, "messages[0].content[0].frames"),
    ({"type": "video", "frames": ["data:image/png;base64,AAAA"]}, {}, "messages[0].content[0].frames"),
    (film() | {"num_frames": 3, "start": 100}, {}, "messages[0].content[0].video_url.url"),
    ({"type": "video_url", "video_url": {"url": "data:video/mp4;base64,AAAA"}}, {},
     "messages[0].content[0].video_url.url"),
])
def test_what_goes_wrong_names_its_field(llava, part, fields, param):
    response = llava.post(CHAT, {"messages": [{"role": "user", "content": [part, TEXT]}], **captions(fields)})
    assert response.status_code == 400, response.text
    assert response.json()["error"]["param"] == param


def test_without_captions_it_takes_no_videos(llava, llama):
    response = llava.post(CHAT, {"messages": [{"role": "user", "content": [listed(FRAMES), TEXT]}]})
    assert response.status_code == 400 and "no videos" in response.json()["error"]["message"]
    response = llama.post(CHAT, {"messages": [{"role": "user", "content": [listed(FRAMES), TEXT]}], **captions()})
    assert response.status_code == 400 and "text only" in response.json()["error"]["message"]
