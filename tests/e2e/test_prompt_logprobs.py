"""What is asked of a prompt: its tokens' log-probabilities, against the reference's plain forward pass."""

import json

import pytest

from reference import log_probabilities
from server_process import golden

CASE = next(case for case in golden("llama_gqa")["cases"] if not case["messages"] and case.get("greedy_ids"))
CHAT_CASE = golden("llama_gqa")["cases"][0]
TOLERANCE = 1e-5


def complete(server, **fields):
    body = {"prompt": CASE["prompt"], "temperature": 0, "max_tokens": 4, "ignore_eos": True, **fields}
    response = server.post("/v1/completions", body)
    assert response.status_code == 200, response.text
    return response.json()


def expected(ids):
    """The log-probability of each token but the first."""
    table = log_probabilities("llama_gqa", ids)
    return [table[i, token].item() for i, token in enumerate(ids[1:])]


def check_entries(entries, ids):
    assert len(entries) == len(ids) and entries[0] is None
    table = log_probabilities("llama_gqa", ids)
    for i, (entry, token) in enumerate(zip(entries[1:], ids[1:])):
        row = table[i]
        assert entry[str(token)]["logprob"] == pytest.approx(row[token].item(), abs=TOLERANCE)
        assert entry[str(token)]["rank"] == 1 + int((row > row[token]).sum())
        best = row.topk(2).indices.tolist()
        assert {str(b) for b in best} <= set(entry)
        assert all(entry[str(b)]["rank"] == r + 1 for r, b in enumerate(best))
        assert len(entry) in (2, 3)


def test_prompt_logprobs_are_those_of_a_plain_forward_pass(llama):
    for _ in range(2):  # the second time much of the prompt could come from the cache
        answer = complete(llama, prompt_logprobs=2)["choices"][0]
        check_entries(answer["prompt_logprobs"], CASE["input_ids"])


def test_prompt_logprobs_of_a_chat(llama):
    response = llama.post("/v1/chat/completions", {"messages": CHAT_CASE["messages"], "max_tokens": 1,
                                                   "prompt_logprobs": 2, "return_token_ids": True}).json()
    assert response["prompt_token_ids"] == CHAT_CASE["input_ids"]
    check_entries(response["prompt_logprobs"], CHAT_CASE["input_ids"])


def test_pictures_have_no_log_probabilities(llava, picture):
    body = {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": picture}},
                                                      {"type": "text", "text": "What?"}]}],
            "max_tokens": 1, "prompt_logprobs": 0}
    answer = llava.post("/v1/chat/completions", body).json()
    entries = answer["prompt_logprobs"]
    assert len(entries) == answer["usage"]["prompt_tokens"]
    assert sum(entry is None for entry in entries) == 1 + answer["usage"]["prompt_tokens_details"]["image_tokens"]


@pytest.mark.parametrize("stream", [False, True])
def test_echo_with_logprobs(llama, stream):
    fields = {"echo": True, "logprobs": 2, "max_tokens": 3}
    if stream:
        body = {"prompt": CASE["prompt"], "temperature": 0, "ignore_eos": True, "stream": True, **fields}
        choices = [json.loads(event)["choices"][0] for event in llama.events("/v1/completions", body)[:-1]]
        text = "".join(choice["text"] for choice in choices)
        logprobs = {key: sum((choice["logprobs"][key] for choice in choices), []) for key in choices[0]["logprobs"]}
    else:
        (choice,) = complete(llama, **fields)["choices"]
        text, logprobs = choice["text"], choice["logprobs"]
    assert text.startswith(CASE["prompt"]) and len(text) > len(CASE["prompt"])
    count = len(CASE["input_ids"])
    assert len(logprobs["tokens"]) == count + 3
    assert logprobs["token_logprobs"][0] is None and logprobs["top_logprobs"][0] is None
    ids = CASE["input_ids"] + CASE["greedy_ids"][:3]
    assert logprobs["token_logprobs"][1:] == pytest.approx(expected(ids), abs=1e-4)
    assert all(len(top) in (2, 3) for top in logprobs["top_logprobs"][1:])
    assert logprobs["text_offset"] == sorted(logprobs["text_offset"])


def test_echo_without_an_answer(llama):
    (choice,) = complete(llama, echo=True, logprobs=0, max_tokens=0)["choices"]
    assert choice["text"] == CASE["prompt"] and choice["finish_reason"] == "length"
    assert choice["logprobs"]["token_logprobs"][1:] == pytest.approx(expected(CASE["input_ids"]), abs=TOLERANCE)
    plain = complete(llama, echo=True, max_tokens=0)
    assert plain["choices"][0]["text"] == CASE["prompt"] and plain["usage"]["completion_tokens"] == 0


def test_best_of_returns_the_likeliest(llama):
    fields = {"temperature": 1.5, "seed": 3, "max_tokens": 6, "logprobs": 0}
    every = complete(llama, n=6, **fields)["choices"]
    best = complete(llama, n=2, best_of=6, **fields)

    def mean(choice):
        return sum(choice["logprobs"]["token_logprobs"]) / 6

    wanted = sorted(every, key=mean, reverse=True)[:2]
    assert [choice["text"] for choice in best["choices"]] == [choice["text"] for choice in wanted]
    assert [choice["index"] for choice in best["choices"]] == [0, 1]
    assert best["usage"]["completion_tokens"] == 36  # all that was generated
    assert complete(llama, best_of=3, temperature=1, seed=1)["choices"][0]["logprobs"] is None
