"""/v1/messages with Anthropic's official client."""

import base64
import json

import anthropic
import httpx
import pytest

from server_process import GOLDEN, Server, golden

CASE = golden("llama_gqa")["cases"][0]
MESSAGES = [{"role": "user", "content": CASE["messages"][-1]["content"]}]
EXTRA = {"extra_body": {"ignore_eos": True, "temperature": 0}}


def client_of(server, key="none"):
    return anthropic.Anthropic(base_url=server.url, api_key=key, max_retries=0)


@pytest.fixture(scope="module")
def client(llama):
    return client_of(llama)


def ask(client, **fields):
    return client.messages.create(**{"model": "tiny", "max_tokens": 16, "messages": MESSAGES, **EXTRA,
                                     **fields})


@pytest.mark.compatibility("anthropic", "messages")
def test_a_message_is_the_chats_answer(client):
    message = ask(client)
    assert message.content[0].text == CASE["text"] and message.stop_reason == "max_tokens"
    assert message.role == "assistant" and message.type == "message" and message.id.startswith("msg_")
    usage = message.usage
    assert usage.input_tokens + usage.cache_read_input_tokens == len(CASE["input_ids"]) and usage.output_tokens == 16


def test_stop_sequences(client):
    stop = CASE["text"][3:5]
    message = ask(client, stop_sequences=[stop])
    assert message.content[0].text == CASE["text"][: CASE["text"].find(stop)]
    assert message.stop_reason == "stop_sequence" and message.stop_sequence == stop


@pytest.mark.compatibility("anthropic", "streams, the stream reader")
def test_the_stream_reader_and_its_events(client, llama):
    with client.messages.stream(model="tiny", max_tokens=16, messages=MESSAGES, **EXTRA) as stream:
        assert "".join(stream.text_stream) == CASE["text"]
        final = stream.get_final_message()
    assert final.stop_reason == "max_tokens" and final.usage.output_tokens == 16
    body = {"model": "tiny", "max_tokens": 3, "messages": MESSAGES, "stream": True, "temperature": 0,
            "ignore_eos": True}
    with httpx.stream("POST", llama.url + "/v1/messages", json=body) as raw:
        lines = [line for line in raw.iter_lines() if line]
    names = [line.removeprefix("event: ") for line in lines[::2]]
    data = [json.loads(line.removeprefix("data: ")) for line in lines[1::2]]
    assert names == [event["type"] for event in data]
    assert names[:3] == ["message_start", "ping", "content_block_start"]
    assert names[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    assert set(names[3:-3]) == {"content_block_delta"}
    assert data[0]["message"]["content"] == [] and data[0]["message"]["stop_reason"] is None
    assert data[-2]["usage"]["output_tokens"] == 3


def test_system_blocks_and_turns(client, llama):
    turns = [{"role": "user", "content": [{"type": "text", "text": "Hi"}]},
             {"role": "assistant", "content": "Hello"}, {"role": "user", "content": "Who?"}]
    message = ask(client, system=[{"type": "text", "text": "Be brief."}], messages=turns, max_tokens=8)
    chat = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": "Hello"}, {"role": "user", "content": "Who?"}]
    answer = llama.post("/v1/chat/completions", {"messages": chat, "max_tokens": 8, "temperature": 0,
                                                 "ignore_eos": True}).json()
    assert message.content[0].text == answer["choices"][0]["message"]["content"]


def test_the_answer_may_be_begun(client, llama):
    turns = MESSAGES + [{"role": "assistant", "content": "The picture"}]
    answer = llama.post("/v1/chat/completions", {"messages": turns, "max_tokens": 8, "temperature": 0,
                                                 "ignore_eos": True, "continue_final_message": True}).json()
    assert ask(client, messages=turns, max_tokens=8).content[0].text == answer["choices"][0]["message"]["content"]


def picture_turn(case):
    data = base64.b64encode((GOLDEN / case["images"][0]).read_bytes()).decode()
    source = {"type": "base64", "media_type": "image/png", "data": data}
    content = [{"type": "image", "source": source} if part["type"] == "image_url" else part
               for part in case["messages"][0]["content"]]
    return [{"role": "user", "content": content}]


@pytest.mark.compatibility("anthropic", "pictures, count_tokens")
def test_pictures_and_counting(llava):
    case = golden("llava")["cases"][0]
    client = client_of(llava)
    message = ask(client, model="llava", messages=picture_turn(case))
    assert message.content[0].text == case["text"]
    count = client.messages.count_tokens(model="llava", messages=picture_turn(case))
    assert count.input_tokens == len(case["input_ids"])


def test_what_a_tool_gave_back_is_part_of_the_prompt(client):
    turns = MESSAGES + [{"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "f", "input": {}}]},
                        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "42"}]}]
    assert ask(client, messages=turns, max_tokens=2).usage.output_tokens == 2


WRONG = [
    ({}, "messages"), ({"messages": []}, "messages"), ({"messages": [5]}, "messages[0]"),
    ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role"),
    ({"messages": [{"role": "user", "content": [{"type": "image", "source": "x"}]}]}, "messages[0].content[0].source"),
    ({"messages": [{"role": "user"}]}, "messages[0].content"),
    ({"messages": [{"role": "user", "content": []}]}, "messages[0].content"),
    ({"messages": [{"role": "user", "content": [{"type": "sound"}]}]}, "messages[0].content[0].type"),
    ({"messages": [{"role": "user", "content": [{"type": "image"}]}]}, "messages[0].content[0].source"),
    ({"messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "ftp"}}]}]},
     "messages[0].content[0].source.type"),
    ({"messages": MESSAGES}, "max_tokens"), ({"messages": MESSAGES, "max_tokens": 0}, "max_tokens"),
    ({"messages": MESSAGES, "max_tokens": 5, "temperature": 1.5}, "temperature"),
    ({"messages": MESSAGES, "max_tokens": 5, "system": 5}, "system"),
    ({"messages": MESSAGES, "max_tokens": 5, "stop_sequences": ["a"] * 5}, "stop_sequences"),
]


@pytest.mark.parametrize("body, field", WRONG, ids=range(len(WRONG)))
def test_wrong_requests_in_anthropics_shape(llama, body, field):
    response = llama.post("/v1/messages", body)
    assert response.status_code == 400, response.text
    answer = response.json()
    assert answer["type"] == "error" and answer["error"]["type"] == "invalid_request_error"
    assert field in answer["error"]["message"]


@pytest.mark.compatibility("anthropic", "models")
def test_the_clients_list_of_models(client):
    listed = list(client.models.list())
    assert [(model.id, model.type, model.display_name) for model in listed] == [
        ("tiny", "model", "tiny"), ("alias", "model", "alias")]
    kept = client.models.retrieve("alias")
    assert kept.id == "alias" and kept.created_at.year >= 2025 and kept.max_input_tokens > 0


@pytest.mark.compatibility("anthropic", "errors")
def test_the_client_raises_what_it_should(llama):
    with pytest.raises(anthropic.NotFoundError) as error:
        ask(client_of(llama), model="claude")
    assert error.value.body["request_id"] == error.value.request_id == error.value.response.headers["request-id"]
    server = Server("llama_gqa", "--api-key", "secret", "--max-body-size", "20K", "--requests-per-minute", "2")
    with pytest.raises(anthropic.AuthenticationError) as error:
        ask(client_of(server, "wrong"), model="llama_gqa")
    assert error.value.body["error"]["type"] == "authentication_error"
    client = client_of(server, "secret")
    assert ask(client, model="llama_gqa").content[0].text == CASE["text"]
    with pytest.raises(anthropic.APIStatusError) as error:
        ask(client, model="llama_gqa", messages=[{"role": "user", "content": "x" * 30_000}])
    assert error.value.status_code == 413 and error.value.body["error"]["type"] == "request_too_large"
    ask(client, model="llama_gqa")
    with pytest.raises(anthropic.RateLimitError) as error:
        ask(client, model="llama_gqa")
    assert error.value.response.headers["retry-after"]
    assert httpx.get(server.url + "/v1/messages", headers={"x-api-key": "secret"}).status_code == 405
    assert server.stop() == 0


def test_requests_have_ids_and_a_tier(client):
    raw = client.messages.with_raw_response.create(model="tiny", max_tokens=1, messages=MESSAGES,
                                                   service_tier="standard_only")
    assert raw.parse()._request_id == raw.headers["request-id"] == raw.headers["x-request-id"]


def test_documents_are_text(client):
    """A document is its text below its title and context, and stands apart from the question."""
    def count(*blocks):
        return client.messages.count_tokens(model="tiny",
                                            messages=[{"role": "user", "content": list(blocks)}]).input_tokens

    question, words = {"type": "text", "text": "What is it?"}, "The grass is green."
    plain = {"type": "text", "media_type": "text/plain", "data": words}
    document = {"type": "document", "source": plain, "title": "Grass", "context": "a poem",
                "citations": {"enabled": False}}
    as_text = [{"type": "text", "text": text} for text in ("Grass\n", "a poem\n", words, "\n\n")]
    assert count(document, question) == count(*as_text, question)
    for content in (words, [{"type": "text", "text": words}]):
        made_of = {**document, "source": {"type": "content", "content": content}}
        assert count(made_of, question) == count(*as_text, question)
    result = {"type": "tool_result", "tool_use_id": "t", "content": [document]}
    turns = MESSAGES + [{"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {}}]},
                        {"role": "user", "content": [result, {**question, "citations": [{"type": "char_location"}]}]}]
    assert ask(client, messages=turns, max_tokens=2).usage.output_tokens == 2
    pdf = {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}
    for source, field in ((pdf, "source.type"), ({"type": "url", "url": "http://a/b.pdf"}, "source.type"),
                          ({}, "source.type"),
                          ({**plain, "data": 5}, "source.data"), ({"type": "text"}, "source.data"),
                          ({"type": "content", "content": [{"type": "sound"}]}, "source.content[0].type"),
                          ({**plain, "media_type": "text/html"}, "source.media_type")):
        with pytest.raises(anthropic.BadRequestError) as error:
            count({"type": "document", "source": source})
        assert "messages[0].content[0]." + field in error.value.body["error"]["message"]
    for block, field in (({"type": "document"}, "source"),
                         ({**document, "citations": {"enabled": True}}, "citations.enabled")):
        with pytest.raises(anthropic.BadRequestError) as error:
            count(block)
        assert "messages[0].content[0]." + field in error.value.body["error"]["message"]


def test_search_results_are_text(client):
    """A search result is its texts below its title and where it was found, in a question and in a tool's result."""
    def count(*blocks):
        return client.messages.count_tokens(model="tiny",
                                            messages=[{"role": "user", "content": list(blocks)}]).input_tokens

    question = {"type": "text", "text": "What is it?"}
    words = [{"type": "text", "text": "The grass "}, {"type": "text", "text": "is green."}]
    found = {"type": "search_result", "title": "Grass", "source": "https://a.example/grass", "content": words,
             "citations": {"enabled": False}, "cache_control": {"type": "ephemeral"}}
    as_text = [{"type": "text", "text": text} for text in ("Grass\n", "https://a.example/grass\n")]
    assert count(found, question) == count(*as_text, *words, {"type": "text", "text": "\n\n"}, question)
    result = {"type": "tool_result", "tool_use_id": "t", "content": [found, found]}
    turns = MESSAGES + [{"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {}}]},
                        {"role": "user", "content": [result, question]}]
    assert ask(client, messages=turns, max_tokens=2).usage.output_tokens == 2
    image = {"type": "image", "source": {"type": "url", "url": "http://a/b.png"}}
    for wrong, field in (({"title": None}, "title"), ({"source": None}, "source"), ({"source": {}}, "source"),
                         ({"content": None}, "content"),
                         ({"content": [image]}, "content[0]"), ({"content": []}, "content"), ({"title": 5}, "title"),
                         ({"citations": {"enabled": True}}, "citations.enabled")):
        with pytest.raises(anthropic.BadRequestError) as error:
            count({**found, **wrong})
        assert "messages[0].content[0]." + field in error.value.body["error"]["message"]


def test_a_system_message_may_stand_among_the_turns(client):
    def count(*messages):
        return client.messages.count_tokens(model="tiny", messages=list(messages)).input_tokens

    assert count(*MESSAGES, {"role": "system", "content": [{"type": "text", "text": "Be short."}]}) > count(*MESSAGES)


def test_refusals_outside_of_the_routes_have_the_clients_shape(llama):
    """Below /v1/messages, and where Anthropic's client says who it is; elsewhere OpenAI's."""
    client, version = llama.client(), {"anthropic-version": "2023-06-01"}
    for method, path, headers, status in (
            ("POST", "/v1/messages/batches", {}, 404), ("GET", "/v1/messages/batches/a", {}, 404),
            ("POST", "/v1/complete", version, 404), ("PUT", "/v1/messages", {}, 405), ("GET", "/v1/messages", {}, 405),
            ("PUT", "/v1/models", version, 405)):
        response = client.request(method, path, headers=headers)
        body = response.json()
        assert response.status_code == status and body["type"] == "error", (path, body)
        assert set(body["error"]) == {"type", "message"}
        assert body["request_id"] == response.headers["request-id"]
    for path in ("/v1/message", "/v1/messagesbatches", "/v1/complete"):
        assert set(client.post(path).json()["error"]) == {"message", "type", "param", "code"}
    with pytest.raises(anthropic.NotFoundError) as error:
        client_of(llama).messages.batches.list()
    assert error.value.body["error"]["type"] == "not_found_error"
