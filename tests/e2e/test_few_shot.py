"""Several (picture, text) pairs and then a question, as in-context learning has it."""

import pytest

from conftest import data_url

CHAT = "/v1/chat/completions"
PICTURES = ["images/scene.png", "images/gray_exact.png", "images/wide_palette.png"]
WORDS = ["a scene", "all gray", "a wide one"]
BLOCK = 16  # tokens of a KV block
FIXED = {"temperature": 0, "max_tokens": 6, "ignore_eos": True, "return_token_ids": True, "logprobs": True}


def image(path):
    return {"type": "image_url", "image_url": {"url": data_url(path)}}


def shots(order, query):
    """Turns: a picture and its words each, then a picture without."""
    messages = []
    for i in order:
        messages += [{"role": "user", "content": [image(PICTURES[i]), {"type": "text", "text": "What is it?"}]},
                     {"role": "assistant", "content": WORDS[i]}]
    return messages + [{"role": "user", "content": [image(query), {"type": "text", "text": "What is it?"}]}]


def ask(server, messages, **fields):
    response = server.post(CHAT, {"messages": messages, **FIXED, **fields})
    assert response.status_code == 200, response.text
    return response.json()


def sure(answer):
    return [entry["logprob"] for entry in answer["choices"][0]["logprobs"]["content"]]


@pytest.mark.parametrize("model", ["llava", "idefics3", "qwen2_vl", "llava_onevision"])
def test_pairs_stay_in_their_order(request, model):
    """Placeholders are all alike: which picture stands where shows in the answer alone."""
    server = request.getfixturevalue(model)
    answers = {order: sure(ask(server, shots(order, "images/scene.png"))) for order in ((0, 1), (1, 0))}
    # The same words in the same places, and the other picture at each.
    swapped = shots((0, 1), "images/scene.png")
    first, second = swapped[0]["content"], swapped[2]["content"]
    first[0], second[0] = second[0], first[0]
    assert answers[0, 1] != answers[1, 0]
    assert sure(ask(server, swapped)) not in answers.values()
    assert sure(ask(server, shots((0, 1), "images/scene.png"))) == pytest.approx(answers[0, 1], abs=1e-5)


def test_pairs_in_one_message_are_turns_text_in_between(llava):
    """Interleaved: text, picture, text, picture, with every picture's rows where it stands."""
    parts = []
    for path, words in zip(PICTURES, WORDS):
        parts += [image(path), {"type": "text", "text": words}]
    body = {"messages": [{"role": "user", "content": parts}]}
    counted = llava.post("/tokenize", body).json()
    assert [part["type"] for part in counted["parts"]] == ["image", "text"] * 3
    assert counted["image_tokens"] == 3 * 9


def test_the_shots_are_computed_once_for_all_queries(llava):
    def computed(answer):
        usage = answer["usage"]
        return usage["prompt_tokens"] - usage["prompt_tokens_details"]["cached_tokens"]

    support = shots((2, 0, 1), PICTURES[0])[:-1]
    prefix = llava.post("/tokenize", {"messages": support, "add_generation_prompt": False}).json()["count"]
    encodes = llava.metric("saccade_media_encode_seconds_count")
    answers = [ask(llava, support + shots((), query)) for query in (PICTURES[1], PICTURES[2], PICTURES[0])]
    whole = answers[0]["usage"]["prompt_tokens"]
    assert prefix > 3 * BLOCK
    for answer in answers[1:]:  # but for the last, unfilled block
        assert computed(answer) <= whole - prefix + BLOCK
    assert llava.metric("saccade_media_encode_seconds_count") - encodes <= 3  # each picture once, or known before
    # What the cache holds is what a server computes that has never seen the shots.
    again = ask(llava, support + shots((), PICTURES[2]))
    assert sure(again) == pytest.approx(sure(answers[1]), abs=1e-5)


@pytest.mark.parametrize("model", ["instructblip", "blip2"])
@pytest.mark.parametrize("count", [2, 3])
def test_a_model_of_one_picture_says_how_many_came(request, model, count):
    server = request.getfixturevalue(model)
    response = server.post(CHAT, {"messages": shots(range(count - 1), PICTURES[0]), **FIXED})
    assert response.status_code == 400
    error = response.json()["error"]
    assert error["param"] == "messages" and f"{count} pictures" in error["message"] and "at most 1" in error["message"]
