"""Fields of other servers' APIs (vLLM, llama-server, SGLang): done, or refused by name where they would change the
answer, and accepted where they ask for nothing."""

import json

import pytest

import scripted
from server_process import Server, golden

CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
CASE = golden("llama_gqa")["cases"][0]
FIXED = {"messages": CASE["messages"], "temperature": 0, "max_tokens": 8, "ignore_eos": True}

# (field, what asks for nothing, what is refused)
REFUSED = [
    ("use_beam_search", [False], True), ("watermarking", [False], True), ("logprob_token_ids", [[]], [5]),
    ("thinking_token_budget", [-1], 0), ("repetition_detection", [{}], {"max_pattern_size": 3}),
    ("return_prompt_text", [False], True), ("priority", [0, 0.0], 1),
    ("prompt_embeds", [[]], "AAAA"), ("logits_processors", [[]], ["x"]), ("kv_transfer_params", [{}], {"a": 1}),
    ("n_predict", [-1], 5), ("n_probs", [0], 3), ("repeat_penalty", [1, 1.0], 1.1), ("dynatemp_range", [0], 0.5),
    ("typical_p", [1], 0.9), ("top_n_sigma", [-1, 0], 2), ("xtc_probability", [0], 0.5), ("dry_multiplier", [0], 0.8),
    ("mirostat", [0], 2), ("samplers", [[]], ["top_k"]), ("lora", [[]], [{"id": 0}]),
    ("reasoning_format", ["auto"], "none"), ("stop_regex", [[]], "a+"), ("custom_logit_processor", [], "x"),
    ("top_n_tokens", [0], 3),
]
ACCEPTED = {"length_penalty": 1.5, "early_stopping": True, "request_id": "r", "session_id": "s", "stream_interval": 4,
            "vllm_xargs": {"a": 1}, "cache_prompt": True, "id_slot": -1, "n_keep": 5,
            "guided_decoding_backend": "xgrammar"}


def ask(server, **fields):
    response = server.post(CHAT, {**FIXED, **fields})
    assert response.status_code == 200, response.text
    return response.json()["choices"][0]


def ids(server, **fields):
    return ask(server, return_token_ids=True, **fields)["token_ids"]


@pytest.mark.parametrize("path, least", [(CHAT, {"messages": CASE["messages"]}), (COMPLETIONS, {"prompt": "a"})])
def test_what_would_change_the_answer_is_refused_by_name(llama, path, least):
    for name, _, asks in REFUSED:
        response = llama.post(path, {**least, "max_tokens": 1, name: asks})
        assert response.status_code == 400 and response.json()["error"]["param"] == name, (name, response.text)
        assert "is not supported" in response.json()["error"]["message"]
    neutral = {name: value for name, nothing, _ in REFUSED for value in nothing[-1:]}
    first = {name: value for name, nothing, _ in REFUSED for value in nothing[:1]}
    for fields in (neutral, first, ACCEPTED, dict.fromkeys([name for name, _, _ in REFUSED])):
        response = llama.post(path, {**least, "max_tokens": 1, **fields})
        assert response.status_code == 200, response.text


def test_best_of_is_of_completions(llama):
    response = llama.post(CHAT, {**FIXED, "best_of": 2})
    assert response.status_code == 400 and response.json()["error"]["param"] == "best_of"
    assert ask(llama, best_of=1)["message"]["content"]


def test_settings_of_the_processor_are_refused_by_name(llava, picture):
    parts = [{"type": "image_url", "image_url": {"url": picture}}]
    response = llava.chat(parts, max_tokens=1, mm_processor_kwargs={"max_pixels": 1000})
    assert response.status_code == 400 and response.json()["error"]["param"] == "mm_processor_kwargs.max_pixels"
    assert llava.chat(parts, max_tokens=1, mm_processor_kwargs={"max_pixels": None}).status_code == 200


def test_only_allowed_ids_are_chosen(llama):
    allowed = [70, 71, 399 - 300, 5]
    assert set(ids(llama, allowed_token_ids=allowed, temperature=1, seed=1, max_tokens=40)) == set(allowed)
    assert ids(llama, allowed_token_ids=[70], max_tokens=3) == [70, 70, 70]
    end = ask(llama, allowed_token_ids=[2], ignore_eos=False)
    assert end["finish_reason"] == "stop" and end["message"]["content"] == ""
    for choice in llama.post(CHAT, {**FIXED, "allowed_token_ids": [70, 71], "n": 3, "temperature": 2,
                                    "return_token_ids": True}).json()["choices"]:
        assert set(choice["token_ids"]) <= {70, 71}
    body = {"prompt": "a", "max_tokens": 2, "allowed_token_ids": [70], "return_token_ids": True, "temperature": 0}
    assert llama.post(COMPLETIONS, body).json()["choices"][0]["token_ids"] == [70, 70]


@pytest.mark.parametrize("value, param", [
    ([], "allowed_token_ids"), ([100000], "allowed_token_ids[0]"), ([5, -1], "allowed_token_ids[1]"),
    (["5"], "allowed_token_ids[0]"), (5, "allowed_token_ids"), ([1.5], "allowed_token_ids[0]")])
def test_allowed_ids_are_of_the_vocabulary(llama, value, param):
    response = llama.post(CHAT, {**FIXED, "allowed_token_ids": value})
    assert response.status_code == 400 and response.json()["error"]["param"] == param


@pytest.mark.parametrize("value, param", [
    ("", "bad_words"), ([""], "bad_words[0]"), (["a", " "], "bad_words[1]"), ([5], "bad_words[0]"),
    (["a"] * 1025, "bad_words")])
def test_bad_words_are_words(llama, value, param):
    response = llama.post(CHAT, {**FIXED, "bad_words": value})
    assert response.status_code == 400 and response.json()["error"]["param"] == param


def test_bad_words_are_never_written(llama):
    """A word of the greedy answer is not, wherever it stands, and what came before it stays."""
    text = ask(llama, max_tokens=16)["message"]["content"]
    greedy = ids(llama, max_tokens=16)

    def spelled(word):
        return llama.post("/tokenize", {"prompt": word, "add_special_tokens": False}).json()["tokens"]

    pieces = [llama.post("/detokenize", {"tokens": [token]}).json()["prompt"].strip() for token in greedy]
    place = next(i for i, piece in enumerate(pieces) if i > 0 and greedy[i] not in greedy[:i] and piece and
                 [greedy[i]] in (spelled(piece), spelled(" " + piece)))
    word = pieces[place]
    banned = ids(llama, bad_words=[word], max_tokens=16)
    assert word in text and banned[:place] == greedy[:place] and greedy[place] not in banned
    assert ids(llama, bad_words=[" " + word], max_tokens=16) == banned  # a space in front is the same word
    drafted = ids(llama, bad_words=[word], max_tokens=16, num_speculative_tokens=4)
    assert drafted == banned


@pytest.fixture(scope="module")
def spelling(tmp_path_factory):
    """Every byte is a token: words are several."""
    folder = scripted.make(tmp_path_factory.mktemp("model"), {
        "spell": "abc bc abc.", "think": "<think>secret</think>words"})
    server = Server(folder, "--reasoning-parser", "think")
    yield server
    assert server.stop() == 0


def test_the_last_token_of_a_bad_word_is_masked_behind_the_others(spelling):
    def text(**fields):
        answer = spelling.chat("spell", temperature=0, max_tokens=11, **fields).json()
        return answer["choices"][0]["message"]["content"]

    assert text() == "abc bc abc."
    banned = text(bad_words=["abc"])
    assert "abc" not in banned and banned.startswith("ab")
    assert text(bad_words=["abd"]) == "abc bc abc."  # its beginning alone is no bad word


def test_what_forbids_every_token_is_told(spelling):
    (token,) = spelling.post("/tokenize", {"prompt": "b", "add_special_tokens": False}).json()["tokens"]
    only = {"temperature": 0, "allowed_token_ids": [token], "max_tokens": 3}
    response = spelling.chat("spell", **only, logit_bias={str(token): -100})  # a bias forbids nothing
    assert response.json()["choices"][0]["message"]["content"] == "bbb"
    response = spelling.chat("spell", **only, bad_words=["b"])
    assert response.status_code == 400 and response.json()["error"]["param"] == "allowed_token_ids"
    assert "forbidden" in response.json()["error"]["message"]


def test_reasoning_is_left_out_on_request(spelling):
    whole = spelling.chat("think", temperature=0).json()["choices"][0]["message"]
    assert whole["reasoning_content"] == "secret" and whole["content"] == "words"
    less = spelling.chat("think", temperature=0, include_reasoning=False).json()
    assert less["choices"][0]["message"] == {"role": "assistant", "content": "words", "refusal": None}
    assert less["usage"]["completion_tokens_details"]["reasoning_tokens"] > 0
    events = spelling.events(CHAT, {"messages": [{"role": "user", "content": "think"}], "temperature": 0,
                                    "stream": True, "include_reasoning": False})
    deltas = [json.loads(event)["choices"][0]["delta"] for event in events[:-1]]
    assert not any("reasoning" in delta or "reasoning_content" in delta for delta in deltas)
    assert "".join(delta.get("content", "") for delta in deltas) == "words"


def test_log_probabilities_may_name_ids(llama):
    named = ask(llama, logprobs=True, top_logprobs=2, return_tokens_as_token_ids=True)
    plain = ask(llama, logprobs=True, top_logprobs=2, return_token_ids=True)
    entries = named["logprobs"]["content"]
    assert [entry["token"] for entry in entries] == [f"token_id:{token}" for token in plain["token_ids"]]
    assert all(other["token"].startswith("token_id:") for entry in entries for other in entry["top_logprobs"])
    assert [entry["logprob"] for entry in entries] == [entry["logprob"] for entry in plain["logprobs"]["content"]]
    body = {"prompt": "a", "max_tokens": 2, "temperature": 0, "logprobs": 1, "return_tokens_as_token_ids": True,
            "return_token_ids": True}
    choice = llama.post(COMPLETIONS, body).json()["choices"][0]
    assert choice["logprobs"]["tokens"] == [f"token_id:{token}" for token in choice["token_ids"]]
    assert all(name.startswith("token_id:") for top in choice["logprobs"]["top_logprobs"] for name in top)


def test_a_prompt_may_be_cut_to_its_beginning(llama):
    def tokens(**fields):
        response = llama.post(CHAT, {**FIXED, "truncate_prompt_tokens": 5, "return_token_ids": True, **fields})
        assert response.status_code == 200, response.text
        return response.json()["prompt_token_ids"]

    assert tokens(truncation_side="right") == CASE["input_ids"][:5]
    assert tokens(truncation_side="left") == tokens() == CASE["input_ids"][-5:]
    body = {"prompt": [5, 6, 7, 8], "max_tokens": 1, "truncate_prompt_tokens": 2, "truncation_side": "right",
            "return_token_ids": True}
    assert llama.post(COMPLETIONS, body).json()["choices"][0]["prompt_token_ids"] == [5, 6]


def test_templates_see_documents_and_earlier_reasoning(tmp_path):
    template = ("{% for document in documents or [] %}[{{ document.title }}]{% endfor %}"
                "{% for message in messages %}{{ message.reasoning_content or '' }}{{ message.content }}{% endfor %}")
    server = Server(scripted.make(tmp_path / "model", {"": "x"}, template))
    messages = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a", "reasoning": "why"}]

    def prompt(**fields):
        tokens = server.post("/tokenize", {"messages": messages, **fields}).json()["tokens"]
        return server.post("/detokenize", {"tokens": tokens}).json()["prompt"]

    assert prompt() == "qwhya" and prompt(documents=[{"title": "T", "text": "t"}]) == "[T]qwhya"
    for wrong, param in ((5, "documents"), (["x"], "documents[0]")):
        response = server.chat("q", documents=wrong)
        assert response.status_code == 400 and response.json()["error"]["param"] == param
    assert server.stop() == 0
