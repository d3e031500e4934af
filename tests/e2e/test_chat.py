"""The shape of chat answers, and what every field does."""

import json

import httpx
import openai
import pytest

from server_process import golden

QUESTION = "What is in the picture?"
CASE = golden("llama_gqa")["cases"][0]  # the greedy answer to QUESTION
FIXED = {"temperature": 0, "max_tokens": 16, "ignore_eos": True}


def ask(server, **fields):
    response = server.chat(QUESTION, **{**FIXED, **fields})
    assert response.status_code == 200, response.text
    return response.json()


def stream(server, **fields):
    body = {"messages": [{"role": "user", "content": QUESTION}], "stream": True, **FIXED, **fields}
    events = server.events("/v1/chat/completions", body)
    assert events[-1] == "[DONE]"
    return [json.loads(event) for event in events[:-1]]


def text_of(chunks, index=0):
    return "".join(choice["delta"].get("content", "") for chunk in chunks for choice in chunk["choices"]
                   if choice["index"] == index)


def test_answer_has_every_field_of_the_schema(llama):
    answer = ask(llama, model="tiny")
    assert answer["object"] == "chat.completion" and answer["id"].startswith("chatcmpl-")
    assert answer["model"] == "tiny" and isinstance(answer["created"], int)
    (choice,) = answer["choices"]
    assert choice["index"] == 0 and choice["finish_reason"] == "length" and choice["logprobs"] is None
    assert choice["message"] == {"role": "assistant", "content": CASE["text"], "refusal": None}
    assert answer["usage"]["completion_tokens"] == 16


def test_chunks_have_every_field_of_the_schema(llama):
    chunks = stream(llama)
    assert len({chunk["id"] for chunk in chunks}) == 1 and len({chunk["created"] for chunk in chunks}) == 1
    assert all(chunk["object"] == "chat.completion.chunk" and len(chunk["choices"]) == 1 for chunk in chunks)
    assert not any("usage" in chunk for chunk in chunks)
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert all("role" not in chunk["choices"][0]["delta"] for chunk in chunks[1:])
    reasons = [chunk["choices"][0]["finish_reason"] for chunk in chunks]
    assert reasons[-1] == "length" and not any(reasons[:-1])
    assert text_of(chunks) == CASE["text"]


def test_usage_comes_when_asked_for(llama):
    chunks = stream(llama, stream_options={"include_usage": True})
    assert chunks[-1]["choices"] == [] and chunks[-1]["usage"]["completion_tokens"] == 16
    assert all(chunk["usage"] is None for chunk in chunks[:-1])


def test_stop_strings_are_found_across_tokens_and_never_shown(llama):
    text = CASE["text"]
    for stop in (text[5:9], text[3:5], [text[8:11], "never there"]):
        first = min(text.find(s) for s in ([stop] if isinstance(stop, str) else stop) if s in text)
        answer = ask(llama, stop=stop)
        assert answer["choices"][0]["message"]["content"] == text[:first]
        assert answer["choices"][0]["finish_reason"] == "stop"
        chunks = stream(llama, stop=stop)
        assert text_of(chunks) == text[:first]
        assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
    assert llama.wait_idle()


def test_stop_ids_end_the_answer_without_their_text(llama):
    stop_id = CASE["greedy_ids"][4]
    first = CASE["greedy_ids"].index(stop_id)
    answer = ask(llama, stop_token_ids=[stop_id])
    assert answer["choices"][0]["finish_reason"] == "stop"
    assert answer["usage"]["completion_tokens"] == first + 1
    assert CASE["text"].startswith(answer["choices"][0]["message"]["content"])


def test_logit_bias_forces_and_bans(llama):
    forced = ask(llama, logit_bias={"70": 100}, max_tokens=3, logprobs=True)
    assert len({entry["token"] for entry in forced["choices"][0]["logprobs"]["content"]}) == 1
    banned = ask(llama, logit_bias={str(CASE["greedy_ids"][0]): -100}, max_tokens=1)
    assert banned["choices"][0]["message"]["content"] != CASE["text"][:1]


def test_logprobs_have_bytes_and_alternatives(llama):
    answer = ask(llama, logprobs=True, top_logprobs=3)
    content = answer["choices"][0]["logprobs"]["content"]
    for entry in content:
        assert len(entry["top_logprobs"]) == 3 and entry["logprob"] <= 0
        assert bytes(entry["bytes"]).decode(errors="replace") == entry["token"]
    joined = b"".join(bytes(entry["bytes"]) for entry in content).decode(errors="replace")
    assert joined.strip() == CASE["text"].strip()
    streamed = [entry for chunk in stream(llama, logprobs=True, top_logprobs=3)
                for choice in chunk["choices"] if choice["logprobs"] for entry in choice["logprobs"]["content"]]
    assert [entry["token"] for entry in streamed] == [entry["token"] for entry in content]


def test_several_choices_share_one_prompt(llama):
    answer = ask(llama, n=3, temperature=1, seed=5)
    assert [choice["index"] for choice in answer["choices"]] == [0, 1, 2]
    texts = [choice["message"]["content"] for choice in answer["choices"]]
    assert len(set(texts)) > 1
    assert answer["usage"]["prompt_tokens"] == len(CASE["input_ids"])
    assert answer["usage"]["completion_tokens"] == 48
    chunks = stream(llama, n=3, temperature=1, seed=5)
    assert [text_of(chunks, i) for i in range(3)] == texts


def test_a_seed_gives_the_same_text_again(llama):
    def texts(**fields):
        return ask(llama, temperature=1.5, **fields)["choices"][0]["message"]["content"]

    assert texts(seed=7) == texts(seed=7)
    assert len({texts(seed=seed) for seed in range(4)}) > 1
    assert len({texts() for _ in range(4)}) > 1


def test_max_completion_tokens_wins(llama):
    assert ask(llama, max_tokens=9, max_completion_tokens=3)["usage"]["completion_tokens"] == 3


def test_default_length_is_what_the_model_leaves(llama):
    response = llama.chat(QUESTION, temperature=0, ignore_eos=True).json()
    limit = llama.get("/v1/models").json()["data"][0]["max_model_len"]
    assert response["usage"]["total_tokens"] == limit
    assert response["choices"][0]["finish_reason"] == "length"


def test_content_as_parts_is_content_as_string(llama):
    parts = llama.chat([{"type": "text", "text": QUESTION}], **FIXED).json()
    assert parts["choices"][0]["message"]["content"] == CASE["text"]


def test_a_user_cannot_write_special_tokens(llama):
    plain = llama.post("/tokenize", {"messages": [{"role": "user", "content": "x"}]}).json()["tokens"]
    tokens = llama.post("/tokenize", {"messages": [{"role": "user", "content": "x</s><s>"}]}).json()["tokens"]
    for special in (1, 2):
        assert tokens.count(special) == plain.count(special)


def test_a_developer_is_a_system_message(llama):
    asked = [llama.post("/tokenize", {"messages": [{"role": role, "content": "Be brief."},
                                                   {"role": "user", "content": "Hi"}]}).json()["tokens"]
             for role in ("developer", "system")]
    assert asked[0] == asked[1]


@pytest.mark.compatibility("openai (Python)", "errors")
def test_the_official_client_reads_errors(llama):
    client = openai.OpenAI(base_url=llama.url + "/v1", api_key="none", max_retries=0)
    with pytest.raises(openai.BadRequestError) as error:
        client.chat.completions.create(model="tiny", messages=[], temperature=0)
    assert error.value.param == "messages" and error.value.status_code == 400
    with pytest.raises(openai.NotFoundError) as error:
        client.chat.completions.create(model="other", messages=[{"role": "user", "content": "a"}])
    assert error.value.code == "model_not_found"


def test_models(llama):
    listed = llama.get("/v1/models").json()
    assert [model["id"] for model in listed["data"]] == ["tiny", "alias"] and listed["object"] == "list"
    assert llama.get("/v1/models/alias").json()["id"] == "alias"
    assert llama.get("/v1/models/none").status_code == 404


def test_request_ids(llama):
    given = httpx.get(llama.url + "/health", headers={"X-Request-Id": "abc-123"})
    assert given.headers["x-request-id"] == "abc-123"
    assert llama.get("/health").headers["x-request-id"] != llama.get("/health").headers["x-request-id"]


def test_page_and_health(llama):
    assert llama.get("/health").status_code == 200
    page = llama.get("/")
    assert page.headers["content-type"].startswith("text/html") and "<title>saccade</title>" in page.text


def test_a_refusal_is_what_was_said(llama):
    def tokens(*turn):
        messages = [{"role": "user", "content": "a"}, *turn, {"role": "user", "content": "b"}]
        answer = llama.post("/tokenize", {"messages": messages})
        assert answer.status_code == 200, answer.text
        return answer.json()["tokens"]

    said = tokens({"role": "assistant", "content": "No."})
    assert tokens({"role": "assistant", "content": None, "refusal": "No."}) == said
    assert tokens({"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]}) == said
    assert tokens({"role": "assistant", "content": "No.", "refusal": None}) == said
    wrong = llama.chat([{"type": "refusal", "refusal": "No."}])  # a user refuses nothing
    assert wrong.status_code == 400 and wrong.json()["error"]["param"] == "messages[0].content[0].type"


def test_chats_are_not_stored(llama):
    client = openai.OpenAI(base_url=llama.url + "/v1", api_key="x", max_retries=0)
    made = client.chat.completions.create(model="tiny", messages=[{"role": "user", "content": "hi"}], max_tokens=1,
                                          store=True)
    for ask in (lambda: client.chat.completions.retrieve(made.id), lambda: client.chat.completions.delete(made.id),
                lambda: client.chat.completions.update(made.id, metadata={}),
                lambda: client.chat.completions.messages.list(made.id)):
        with pytest.raises(openai.NotFoundError, match="not stored"):
            ask()
