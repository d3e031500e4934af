"""Fields of chat and completions beyond the common ones: each does what its name says."""

import json

import pytest

from server_process import Server, golden

CHAT = "/v1/chat/completions"
CASE = golden("llama_gqa")["cases"][0]
FIXED = {"messages": CASE["messages"], "temperature": 0, "max_tokens": 8, "ignore_eos": True}


def ask(server, **fields):
    response = server.post(CHAT, {**FIXED, **fields})
    assert response.status_code == 200, response.text
    return response.json()


def content(answer):
    return answer["choices"][0]["message"]["content"]


def chunks_of(server, **fields):
    events = server.events(CHAT, {**FIXED, "stream": True, **fields})
    assert events[-1] == "[DONE]"
    return [json.loads(event) for event in events[:-1]]


def test_token_ids_are_those_of_the_reference(llama):
    answer = ask(llama, return_token_ids=True)
    assert answer["prompt_token_ids"] == CASE["input_ids"]
    assert answer["choices"][0]["token_ids"] == CASE["greedy_ids"][:8]
    chunks = chunks_of(llama, return_token_ids=True)
    assert chunks[0]["prompt_token_ids"] == CASE["input_ids"]
    assert sum((chunk["choices"][0].get("token_ids", []) for chunk in chunks), []) == CASE["greedy_ids"][:8]
    assert "token_ids" not in ask(llama)["choices"][0]


def test_the_stop_string_may_be_part_of_the_answer(llama):
    stop = CASE["text"][3:5]
    end = CASE["text"].find(stop) + 2
    answer = ask(llama, stop=stop, max_tokens=16, include_stop_str_in_output=True)
    assert content(answer) == CASE["text"][:end]
    assert answer["choices"][0]["stop_reason"] == stop
    assert content(ask(llama, stop=stop, max_tokens=16)) == CASE["text"][: end - 2]


def test_a_stop_id_may_be_part_of_the_answer_and_is_named(llama):
    stop = CASE["greedy_ids"][4]
    without = ask(llama, stop_token_ids=[stop])
    answer = ask(llama, stop_token_ids=[stop], include_stop_str_in_output=True)
    assert answer["choices"][0]["stop_reason"] == stop and without["choices"][0]["stop_reason"] == stop
    assert len(content(answer)) > len(content(without)) and content(answer).startswith(content(without))
    assert ask(llama)["choices"][0]["stop_reason"] is None


def test_no_end_before_min_tokens(llama):
    stop = CASE["greedy_ids"][0]
    answer = ask(llama, stop_token_ids=[stop], min_tokens=5)
    assert answer["usage"]["completion_tokens"] >= 6


def test_special_tokens_are_shown_when_asked_for(llama):
    bias = {"2": 100}  # the end token
    assert content(ask(llama, logit_bias=bias, max_tokens=3)) == ""
    apart = content(ask(llama, logit_bias=bias, max_tokens=3, skip_special_tokens=False))
    joined = content(ask(llama, logit_bias=bias, max_tokens=3, skip_special_tokens=False,
                         spaces_between_special_tokens=False))
    assert apart.count("</s>") == 3 and joined == "</s></s></s>"


def test_a_prompt_may_be_cut_to_its_end(llama):
    answer = ask(llama, truncate_prompt_tokens=5, return_token_ids=True)
    assert answer["prompt_token_ids"] == CASE["input_ids"][-5:] and answer["usage"]["prompt_tokens"] == 5
    limit = llama.get("/v1/models").json()["data"][0]["max_model_len"]
    body = {"prompt": [5] * limit, "max_tokens": 10, "truncate_prompt_tokens": -1}
    assert llama.post("/v1/completions", body).json()["usage"]["prompt_tokens"] == limit - 10


def test_a_prompt_with_pictures_is_not_cut(llava, picture):
    parts = [{"type": "image_url", "image_url": {"url": picture}}, {"type": "text", "text": "What?"}]
    response = llava.chat(parts, truncate_prompt_tokens=5)
    assert response.status_code == 400 and response.json()["error"]["param"] == "truncate_prompt_tokens"


def test_bos_is_added_or_left_out_on_request(llama):
    def tokens(**fields):
        return llama.post("/tokenize", {"messages": CASE["messages"], **fields}).json()["tokens"]

    assert tokens() == CASE["input_ids"]
    assert tokens(add_special_tokens=True) == [1] + CASE["input_ids"]
    assert tokens(add_special_tokens=False) == CASE["input_ids"]


def test_the_final_message_is_continued_and_repeated(llama):
    messages = CASE["messages"] + [{"role": "assistant", "content": "The picture shows"}]
    plain = ask(llama, messages=messages, continue_final_message=True)
    echoed = ask(llama, messages=messages, continue_final_message=True, echo=True)
    assert content(echoed) == "The picture shows" + content(plain)
    chunks = chunks_of(llama, messages=messages, continue_final_message=True, echo=True)
    assert chunks[0]["choices"][0]["delta"]["content"] == "The picture shows"


def test_what_changes_nothing_is_accepted(llama):
    plain = content(ask(llama))
    assert content(ask(llama, user="u", store=True, metadata={"a": "b"}, modalities=["text"], verbosity="low",
                       safety_identifier="s", prompt_cache_key="k",
                       prediction={"type": "content", "content": "The"})) == plain


def test_the_service_tier_is_echoed(llama):
    assert ask(llama, service_tier="flex")["service_tier"] == "flex"
    assert all(chunk["service_tier"] == "auto" for chunk in chunks_of(llama, service_tier="auto"))
    assert "service_tier" not in ask(llama)


def test_the_fingerprint_names_the_model_and_its_settings(llama, llava):
    first = ask(llama)["system_fingerprint"]
    assert first.startswith("fp_") and ask(llama)["system_fingerprint"] == first
    assert {chunk["system_fingerprint"] for chunk in chunks_of(llama)} == {first}
    assert llava.chat("hi", max_tokens=1).json()["system_fingerprint"] != first
    for setting in (["--quantization", "int8"], ["--kv-cache-dtype", "int8"]):
        other = Server("llama_gqa", *setting)
        assert ask(other)["system_fingerprint"] != first
        other.stop()


def test_usage_in_every_chunk(llama):
    chunks = chunks_of(llama, n=2, stream_options={"include_usage": True, "continuous_usage_stats": True})
    counts = [chunk["usage"]["completion_tokens"] for chunk in chunks]
    assert counts == sorted(counts) and counts[-1] == 16
    assert {chunk["usage"]["prompt_tokens"] for chunk in chunks} == {len(CASE["input_ids"])}


def test_usage_sums_the_choices_and_counts_cached_tokens_once(llama):
    ask(llama)  # so that its blocks are cached
    usage = ask(llama, n=5)["usage"]
    assert usage["completion_tokens"] == 40 and usage["prompt_tokens"] == len(CASE["input_ids"])
    assert 0 < usage["prompt_tokens_details"]["cached_tokens"] < usage["prompt_tokens"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + 40


def test_128_choices_compute_their_prompt_once(llama):
    prompt = list(range(10, 90))
    before = llama.metric("saccade_engine_batched_tokens_total")
    body = {"prompt": prompt, "n": 128, "max_tokens": 1, "temperature": 1, "seed": 1}
    answer = llama.post("/v1/completions", body).json()
    assert len(answer["choices"]) == 128 and answer["usage"]["prompt_tokens"] == 80
    computed = llama.metric("saccade_engine_batched_tokens_total") - before
    assert computed <= 80 + 127 * 16  # each but the first computes no more than the last block


TIMES = {"queue_ms", "media_decode_ms", "media_preprocess_ms", "encode_ms", "prefill_ms", "decode_ms",
         "prompt_tokens_per_second", "tokens_per_second"}


def test_timings_name_every_stage(llava, picture):
    content_ = [{"type": "image_url", "image_url": {"url": picture}}, {"type": "text", "text": "Timed?"}]
    body = {"messages": [{"role": "user", "content": content_}], "max_tokens": 4, "ignore_eos": True, "timings": True}
    times = llava.post(CHAT, body).json()["timings"]
    assert TIMES <= set(times)
    assert times["media_decode_ms"] > 0 and times["prefill_ms"] > 0 and times["decode_ms"] > 0
    assert times["tokens_per_second"] > 0
    chunks = [json.loads(event) for event in llava.events(CHAT, {**body, "stream": True})[:-1]]
    assert TIMES <= set(chunks[-1]["timings"]) and not any("timings" in chunk for chunk in chunks[:-1])
    body["stream_options"] = {"include_usage": True}
    chunks = [json.loads(event) for event in llava.events(CHAT, {**body, "stream": True})[:-1]]
    assert TIMES <= set(chunks[-1]["timings"]) and chunks[-1]["choices"] == []


@pytest.fixture(scope="module")
def trusting():
    server = Server("llama_gqa", "--trust-request-chat-template", "true")
    yield server
    assert server.stop() == 0


def test_a_template_of_the_request(trusting):
    def tokens(template):
        body = {"messages": [{"role": "user", "content": "hello"}], "chat_template": template}
        return trusting.post("/tokenize", body)

    shown = tokens("{% for m in messages %}[{{ m.role }}] {{ m.content }}{% endfor %}").json()["tokens"]
    text = trusting.post("/detokenize", {"tokens": shown}).json()["prompt"]
    assert text.strip() == "[user] hello"
    for bad in ("{% for %}", "{% for i in range(100000000) %}x{% endfor %}"):
        assert tokens(bad).status_code == 400
    assert tokens("{% if %}").json()["error"]["param"] == "chat_template"
