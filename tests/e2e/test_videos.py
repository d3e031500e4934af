"""Videos over HTTP: containers, lists of frames, which frames are looked at, and what fails alone."""

import base64

import pytest

from conftest import data_url, with_data_urls
from server_process import GOLDEN, golden

CLIPS = {"h264.mp4": "video/mp4", "mpeg4.mp4": "video/mp4", "vp9.webm": "video/webm", "vp8.webm": "video/webm",
         "mjpeg.avi": "video/x-msvideo", "clip.gif": "image/gif"}
TEXT = {"type": "text", "text": "What happens?"}
PER_FRAME = 4  # of llava_next_video: 4 x 4 patches, pooled by 2
FRAMES = ["images/scene.png", "images/gray_exact.png", "images/wide_palette.png"]


def clip(name, **fields):
    data = base64.b64encode((GOLDEN / "videos" / name).read_bytes()).decode()
    return {"type": "video_url", "video_url": {"url": f"data:{CLIPS[name]};base64,{data}"}, **fields}


def listed(frames, **fields):
    return {"type": "video", "frames": [data_url(frame) for frame in frames], **fields}


def tokens(server, *parts, **body):
    answer = server.post("/tokenize", {"messages": [{"role": "user", "content": [*parts, TEXT]}], **body})
    assert answer.status_code == 200, answer.text
    return answer.json()["image_tokens"]


def answer(server, *parts, **fields):
    body = {"messages": [{"role": "user", "content": [*parts, TEXT]}], "temperature": 0, "max_tokens": 8,
            "ignore_eos": True, "logprobs": True, **fields}
    response = server.post("/v1/chat/completions", body)
    assert response.status_code == 200, response.text
    return [entry["logprob"] for entry in response.json()["choices"][0]["logprobs"]["content"]]


@pytest.mark.parametrize("name", CLIPS)
def test_every_container_is_decoded(llava_next_video, name):
    """All clips show the same: the answers to them are about as sure, whatever the codec did."""
    sure = answer(llava_next_video, clip(name))
    assert sure == pytest.approx(answer(llava_next_video, clip("mjpeg.avi")), abs=0.5)
    assert sure == answer(llava_next_video, clip(name))


@pytest.mark.parametrize("fields, frames", [
    ({}, 8),  # the family's rule
    ({"num_frames": 3}, 3),
    ({"num_frames": -1}, 24),
    ({"num_frames": 100}, 24),
    ({"fps": 2}, 4),  # of two seconds
    ({"start": 1}, 8),
    ({"start": 1.5, "num_frames": -1}, 6),
    ({"end": 0.5, "num_frames": -1}, 6),
])
def test_which_frames_are_looked_at(llava_next_video, fields, frames):
    assert tokens(llava_next_video, clip("h264.mp4", **fields)) == frames * PER_FRAME
    inner = clip("h264.mp4")
    inner["video_url"].update(fields)
    assert tokens(llava_next_video, inner) == frames * PER_FRAME


@pytest.mark.parametrize("model, fields, count", [
    # 48 x 32 pixels become 4 x 3 visual tokens for every two frames; two frames a second, but four at least
    ("qwen2_vl", {}, 2 * 12),
    ("qwen2_vl", {"fps": 4}, 4 * 12),
    ("qwen2_vl", {"num_frames": 5}, 2 * 12),  # to the even neighbour
    ("qwen2_vl", {"num_frames": -1}, 12 * 12),
    ("qwen2_5_vl", {}, 2 * 2),  # its own file allows five visual tokens: 1 x 2 remain
    # four visual tokens a frame, one frame a second
    ("smolvlm", {}, 2 * 4),
    ("smolvlm", {"fps": 3}, 6 * 4),
    ("smolvlm", {"fps": 3, "end": 1}, 3 * 4),
    ("smolvlm", {"num_frames": -1, "end": 0.5}, 6 * 4),
    ("instructblipvideo", {}, 4 * 5),
    ("instructblipvideo", {"start": 1}, 4 * 5),
])
def test_each_family_has_a_rule_of_its_own(request, model, fields, count):
    server = request.getfixturevalue(model)
    assert tokens(server, clip("h264.mp4", **fields)) == count
    assert len(answer(server, clip("h264.mp4", **fields))) == 8


def test_the_rate_of_frames_moves_their_positions(qwen2_5_vl):
    """The same frames at another pace: another answer, also right behind the first in the prefix cache."""
    frames = [f"images/frame{i}.jpg" for i in range(4)]
    slow, fast = listed(frames, fps=0.5), listed(frames, fps=2)
    first = answer(qwen2_5_vl, fast)
    assert answer(qwen2_5_vl, slow) != first
    assert answer(qwen2_5_vl, fast) == pytest.approx(first, abs=1e-5)


def test_a_model_of_four_frames_takes_four(instructblipvideo, picture):
    part = listed(FRAMES)
    response = instructblipvideo.chat([part, TEXT], max_tokens=2)
    assert response.status_code == 400
    assert "exactly 4 frames" in response.json()["error"]["message"]
    assert response.json()["error"]["param"] == "messages[0].content[0].frames"
    response = instructblipvideo.chat([{"type": "image_url", "image_url": {"url": picture}}, TEXT], max_tokens=2)
    assert response.status_code == 400
    assert response.json()["error"]["param"] == "messages[0].content[0].image_url.url"
    assert tokens(instructblipvideo, listed([*FRAMES, *FRAMES])) == 4 * 5


def test_fields_for_all_videos_of_a_request(llava_next_video):
    part = clip("h264.mp4")
    for body in ({"media_io_kwargs": {"video": {"num_frames": 5}}}, {"mm_processor_kwargs": {"num_frames": 5}}):
        assert tokens(llava_next_video, part, **body) == 5 * PER_FRAME
        assert tokens(llava_next_video, part, clip("h264.mp4", num_frames=2), **body) == 7 * PER_FRAME


def test_frames_in_one_url_equal_a_list_of_frames(llava_next_video):
    frames = ["images/tall.jpg", "images/turned.jpg"]
    joined = ",".join(base64.b64encode((GOLDEN / frame).read_bytes()).decode() for frame in frames)
    url = {"type": "video_url", "video_url": {"url": "data:video/jpeg;base64," + joined}}
    parts = {"type": "video", "frames": [{"type": "image_url", "image_url": {"url": data_url(f)}} for f in frames]}
    expected = answer(llava_next_video, listed(frames, fps=2))
    assert answer(llava_next_video, url) == expected
    assert answer(llava_next_video, parts) == expected
    assert answer(llava_next_video, listed(frames[::-1])) != expected
    assert tokens(llava_next_video, listed(FRAMES, num_frames=2)) == 2 * PER_FRAME


BAD = {
    "address": ({"type": "video_url", "video_url": {"url": "http://127.0.0.1:1/x.mp4"}}, "video_url.url"),
    "path": ({"type": "video_url", "video_url": {"url": "/etc/passwd"}}, "video_url.url"),
    "file": ({"type": "video_url", "video_url": {"url": "file:///etc/passwd"}}, "video_url.url"),
    "no video": ({"type": "video_url", "video_url": {"url": "data:video/mp4;base64,AAAA"}}, "video_url.url"),
    "playlist": ({"type": "video_url", "video_url": {"url": "data:video/mp4;base64," + base64.b64encode(
        b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n").decode()}}, "video_url.url"),
    "no url": ({"type": "video_url"}, "video_url"),
    "bad frame": ({"type": "video", "frames": [data_url(FRAMES[0]), "data:image/png;base64,AAAA"]}, "frames"),
    "no frames": ({"type": "video", "frames": []}, "frames"),
    "frame type": ({"type": "video", "frames": [5]}, "frames[0]"),
    "num_frames": (clip("h264.mp4", num_frames=0), "num_frames"),
    "fps": (clip("h264.mp4", fps=0), "fps"),
    "both": (clip("h264.mp4", fps=1, num_frames=2), "fps"),
    "end before start": (clip("h264.mp4", start=1, end=0.5), "end"),
    "nothing left": (clip("h264.mp4", start=5), "video_url.url"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_video_names_its_place(llava_next_video, name):
    part, field = BAD[name]
    response = llava_next_video.chat([TEXT, part], max_tokens=2)
    assert response.status_code == 400, response.text
    error = response.json()["error"]
    assert error["param"] == "messages[0].content[1]." + field, error
    assert "/etc" not in error["message"]


def test_a_damaged_video_fails_and_the_next_request_does_not(llava_next_video):
    for name, kind in CLIPS.items():
        data = (GOLDEN / "videos" / name).read_bytes()
        cuts = [data[:len(data) * tenth // 10] for tenth in (1, 4, 7, 9)] + [data[:-200]]
        zeroed = [data[:at] + bytes(64) + data[at + 64:] for at in range(0, len(data) - 64, len(data) // 3)]
        for damaged in cuts + zeroed + [data[::-1], data * 2]:
            part = {"type": "video_url",
                    "video_url": {"url": f"data:{kind};base64," + base64.b64encode(damaged).decode()}}
            response = llava_next_video.chat([part, TEXT], max_tokens=2)
            assert response.status_code in (200, 400), (name, len(damaged), response.text)
            if response.status_code == 400:
                assert response.json()["error"]["param"] == "messages[0].content[0].video_url.url"
    case = golden("llava_next_video")["cases"][1]
    body = {"messages": with_data_urls(case["messages"]), "temperature": 0, "max_tokens": 16, "ignore_eos": True}
    response = llava_next_video.post("/v1/chat/completions", body).json()
    assert response["choices"][0]["message"]["content"] == case["text"]


def test_a_model_without_videos_says_so(llava):
    response = llava.chat([clip("h264.mp4"), TEXT], max_tokens=2)
    assert response.status_code == 400
    assert response.json()["error"]["param"] == "messages[0].content[0].video_url.url"


def test_detail_low_makes_one_tile(llava_next, picture):
    def visual(detail):
        part = {"type": "image_url", "image_url": {"url": picture, "detail": detail}}
        return tokens(llava_next, part)

    assert visual("low") == 3 * 3 + 1
    assert visual("high") == visual("auto") > visual("low")
