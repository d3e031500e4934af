"""/v1/score and /v1/embeddings against the reference's plain forward pass."""

import base64

import numpy as np
import openai
import pytest

from conftest import with_data_urls
from reference import hidden_states, log_probabilities
from server_process import golden

CASES = golden("llama_gqa")["cases"]
TEXT = next(case for case in CASES if not case["messages"] and case.get("greedy_ids"))
CHAT = CASES[0]
TOLERANCE = 1e-5


def post(server, path, body):
    response = server.post(path, body)
    assert response.status_code == 200, response.text
    return response.json()


def ids_of(server, text, special=False):
    return server.post("/tokenize", {"prompt": text, "add_special_tokens": special}).json()["tokens"]


def continuation(prompt, option):
    """Log-probability of each token of the option behind the prompt."""
    table = log_probabilities("llama_gqa", prompt + option)
    return [table[len(prompt) + i - 1, token].item() for i, token in enumerate(option)]


OPTIONS = ["yes", "no", "a red circle on the left", "</s>"]


@pytest.mark.parametrize("chat", [False, True])
def test_score_equals_a_plain_forward_pass(llama, chat):
    body = {"messages": CHAT["messages"]} if chat else {"prompt": TEXT["prompt"]}
    prompt = (CHAT if chat else TEXT)["input_ids"]
    answer = post(llama, "/v1/score", {**body, "options": OPTIONS, "return_token_logprobs": True})
    assert [entry["index"] for entry in answer["data"]] == list(range(len(OPTIONS)))
    total = len(prompt)
    for entry, option in zip(answer["data"], OPTIONS):
        ids = ids_of(llama, option)
        assert 1 not in ids and 2 not in ids  # neither BOS nor what a user's text must not become
        expected = continuation(prompt, ids)
        assert entry["num_tokens"] == len(ids)
        assert entry["token_logprobs"] == pytest.approx(expected, abs=TOLERANCE)
        assert entry["sum_logprob"] == pytest.approx(sum(expected), abs=TOLERANCE * len(ids))
        assert entry["mean_logprob"] == pytest.approx(sum(expected) / len(ids), abs=TOLERANCE)
        total += len(ids)
    assert answer["usage"]["prompt_tokens"] == total and answer["usage"]["completion_tokens"] == 0


def test_score_takes_ids_and_computes_the_prompt_once(llama):
    prompt = [(i * 37) % 300 + 20 for i in range(100)]
    options = [[20 + i, 60 + i] for i in range(16)]
    before = llama.metric("saccade_engine_batched_tokens_total")
    answer = post(llama, "/v1/score", {"prompt": prompt, "options": options})
    computed = llama.metric("saccade_engine_batched_tokens_total") - before
    assert computed <= 102 + 15 * 18  # no more than the last block and the option, for all but the first
    for entry, option in zip(answer["data"], options):
        assert entry["sum_logprob"] == pytest.approx(sum(continuation(prompt, option)), abs=2 * TOLERANCE)


def test_score_of_a_picture(llava):
    case = golden("llava")["cases"][0]
    body = {"messages": with_data_urls(case["messages"]), "options": [[token] for token in case["greedy_ids"][:1]]}
    answer = post(llava, "/v1/score", body)
    assert answer["data"][0]["sum_logprob"] == pytest.approx(case["chosen_logprobs"][0], abs=1e-4)
    assert answer["usage"]["prompt_tokens_details"]["image_tokens"] == 9


WRONG_SCORES = [
    ({"prompt": "a"}, "options"),
    ({"prompt": "a", "options": []}, "options"),
    ({"prompt": "a", "options": ["a", ""]}, "options[1]"),
    ({"prompt": "a", "options": ["a", 5]}, "options[1]"),
    ({"prompt": "a", "options": [[1], [10**6]]}, "options[1][0]"),
    ({"prompt": "a", "options": ["a"] * 129}, "options"),
    ({"prompt": ["a", "b"], "options": ["a"]}, "prompt"),
    ({"options": ["a"]}, "prompt"),
    ({"messages": [], "options": ["a"]}, "messages"),
    ({"prompt": [5] * 200, "options": [[5] * 100]}, "options[0]"),
    ({"prompt": "a", "options": ["a"], "return_token_logprobs": 1}, "return_token_logprobs"),
]


@pytest.mark.parametrize("body, param", WRONG_SCORES, ids=range(len(WRONG_SCORES)))
def test_wrong_scores(llama, body, param):
    response = llama.post("/v1/score", body)
    assert response.status_code == 400, response.text
    assert response.json()["error"]["param"] == param


def expected_vector(ids, pooling, normalize=True):
    states = hidden_states("llama_gqa", ids)
    vector = (states.mean(0) if pooling == "mean" else states[-1]).numpy()
    return vector / np.linalg.norm(vector) if normalize else vector


@pytest.mark.parametrize("pooling", ["mean", "last"])
def test_embeddings_equal_the_reference(llama, pooling):
    texts = ["A red circle.", "Two blue squares on the left", "x"]
    for normalize in (True, False):
        answer = post(llama, "/v1/embeddings", {"input": texts, "pooling": pooling, "normalize": normalize})
        ids = [ids_of(llama, text, special=True) for text in texts]
        for entry, tokens in zip(answer["data"], ids):
            np.testing.assert_allclose(entry["embedding"], expected_vector(tokens, pooling, normalize), atol=TOLERANCE)
        assert answer["usage"] == {"prompt_tokens": sum(map(len, ids)), "total_tokens": sum(map(len, ids))}


@pytest.mark.compatibility("openai (Python)", "embeddings")
def test_embeddings_as_base64_and_of_ids(llama):
    ids = TEXT["input_ids"]
    answer = post(llama, "/v1/embeddings", {"input": ids, "encoding_format": "base64"})
    vector = np.frombuffer(base64.b64decode(answer["data"][0]["embedding"]), "<f4")
    np.testing.assert_allclose(vector, expected_vector(ids, "mean"), atol=TOLERANCE)
    client = openai.OpenAI(base_url=llama.url + "/v1", api_key="none")
    made = client.embeddings.create(model="tiny", input=[ids, TEXT["prompt"]])  # asks for base64 by itself
    assert len(made.data) == 2
    np.testing.assert_allclose(made.data[0].embedding, vector, atol=1e-6)


def test_many_inputs_do_not_fill_the_queue(llama):
    answer = post(llama, "/v1/embeddings", {"input": [f"text {i}" for i in range(300)]})
    assert [entry["index"] for entry in answer["data"]] == list(range(300))
    assert len({tuple(entry["embedding"]) for entry in answer["data"]}) == 300


def test_embeddings_of_pictures_tell_them_apart(llava):
    cases = golden("llava")["cases"]
    seen = []
    for case in (cases[0], cases[1]):
        body = {"messages": with_data_urls(case["messages"]), "pooling": "mean"}
        answer = post(llava, "/v1/embeddings", body)
        assert np.linalg.norm(answer["data"][0]["embedding"]) == pytest.approx(1, abs=1e-5)
        again = post(llava, "/v1/embeddings", body)
        np.testing.assert_allclose(answer["data"][0]["embedding"], again["data"][0]["embedding"], atol=1e-6)
        seen.append(answer["data"][0]["embedding"])
    assert seen[0] != seen[1]


WRONG_EMBEDDINGS = [
    ({}, "input"),
    ({"input": ""}, "input"),
    ({"input": []}, "input"),
    ({"input": ["a", ""]}, "input[1]"),
    ({"input": ["a", 5]}, "input[1]"),
    ({"input": [10**6]}, "input[0]"),
    ({"input": [5] * 257}, "input"),
    ({"input": ["a"] * 2049}, "input"),
    ({"input": "a", "dimensions": 8}, "dimensions"),
    ({"input": "a", "dimensions": 0}, "dimensions"),
    ({"input": "a", "encoding_format": "hex"}, "encoding_format"),
    ({"input": "a", "pooling": "max"}, "pooling"),
    ({"input": "a", "normalize": 1}, "normalize"),
    ({"messages": []}, "messages"),
    ({"messages": [{"role": "user", "content": "a"}], "input": "a"}, "messages"),
]


@pytest.mark.parametrize("body, param", WRONG_EMBEDDINGS, ids=range(len(WRONG_EMBEDDINGS)))
def test_wrong_embeddings(llama, body, param):
    response = llama.post("/v1/embeddings", body)
    assert response.status_code == 400, response.text
    assert response.json()["error"]["param"] == param


def test_nothing_is_left_running(llama):
    assert llama.wait_idle()
