"""/v1/completions, /tokenize and /detokenize."""

import json

from server_process import golden

CASE = next(case for case in golden("llama_gqa")["cases"] if not case["messages"] and case.get("greedy_ids"))
FIXED = {"temperature": 0, "max_tokens": 8, "ignore_eos": True}


def complete(server, **fields):
    response = server.post("/v1/completions", {"prompt": CASE["prompt"], **FIXED, **fields})
    assert response.status_code == 200, response.text
    return response.json()


def test_answer_and_chunks_have_every_field(llama):
    answer = complete(llama, model="tiny")
    assert answer["object"] == "text_completion" and answer["id"].startswith("cmpl-")
    (choice,) = answer["choices"]
    assert CASE["text_continued"].startswith(choice["text"])
    assert choice["finish_reason"] == "length" and choice["logprobs"] is None and choice["index"] == 0
    body = {"prompt": CASE["prompt"], "stream": True, "stream_options": {"include_usage": True}, **FIXED}
    events = llama.events("/v1/completions", body)
    assert events[-1] == "[DONE]"
    chunks = [json.loads(event) for event in events[:-1]]
    assert chunks[-1]["choices"] == [] and chunks[-1]["usage"]["completion_tokens"] == 8
    assert "".join(chunk["choices"][0]["text"] for chunk in chunks[:-1]) == choice["text"]
    assert chunks[-2]["choices"][0]["finish_reason"] == "length"


def test_several_prompts_and_choices_are_numbered_in_order(llama):
    alone = [complete(llama, prompt=prompt)["choices"][0]["text"] for prompt in ("one", "two")]
    answer = complete(llama, prompt=["one", "two"], n=2)
    assert [choice["index"] for choice in answer["choices"]] == [0, 1, 2, 3]
    assert [choice["text"] for choice in answer["choices"]] == [alone[0], alone[0], alone[1], alone[1]]
    single = [complete(llama, prompt=prompt)["usage"]["prompt_tokens"] for prompt in ("one", "two")]
    assert answer["usage"]["prompt_tokens"] == sum(single)
    assert answer["usage"]["completion_tokens"] == 32


def test_echo_puts_the_prompt_in_front(llama):
    plain = complete(llama)["choices"][0]["text"]
    assert complete(llama, echo=True)["choices"][0]["text"] == CASE["prompt"] + plain


def test_default_is_sixteen_tokens_or_what_fits(llama):
    assert complete(llama, max_tokens=None)["usage"]["completion_tokens"] == 16
    limit = llama.get("/v1/models").json()["data"][0]["max_model_len"]
    long_prompt = [5] * (limit - 3)
    assert complete(llama, prompt=long_prompt, max_tokens=None)["usage"]["completion_tokens"] == 3


def test_text_offsets_count_characters(llama):
    logprobs = complete(llama, logprobs=1)["choices"][0]["logprobs"]
    assert logprobs["text_offset"][0] == 0
    assert all(b >= a for a, b in zip(logprobs["text_offset"], logprobs["text_offset"][1:]))
    assert all(len(top) in (1, 2) for top in logprobs["top_logprobs"])


def test_tokenize_and_back(llama):
    answer = llama.post("/tokenize", {"prompt": CASE["prompt"], "return_token_strs": True}).json()
    assert answer["tokens"] == CASE["input_ids"] and answer["count"] == len(CASE["input_ids"])
    assert len(answer["token_strs"]) == answer["count"] and answer["max_model_len"] > 0
    bare = llama.post("/tokenize", {"prompt": CASE["prompt"], "add_special_tokens": False}).json()
    assert bare["tokens"] == CASE["input_ids"][1:] and bare["token_strs"] is None
    back = llama.post("/detokenize", {"tokens": bare["tokens"]}).json()
    assert back["prompt"].strip() == CASE["prompt"].strip()


def test_tokenize_counts_a_chat(llama):
    case = golden("llama_gqa")["cases"][0]
    answer = llama.post("/tokenize", {"messages": case["messages"]}).json()
    assert answer["tokens"] == case["input_ids"] and answer["image_tokens"] == 0
