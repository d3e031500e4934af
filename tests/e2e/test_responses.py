"""/v1/responses with the official client."""

import json

import httpx
import openai
import pytest

from conftest import data_url
from server_process import Server, golden

CASE = golden("llama_gqa")["cases"][0]
QUESTION = CASE["messages"][-1]["content"]
EXTRA = {"extra_body": {"ignore_eos": True}, "temperature": 0}


@pytest.fixture(scope="module")
def client(llama):
    return openai.OpenAI(base_url=llama.url + "/v1", api_key="none", max_retries=0)


def test_a_response_is_the_chats_answer(client):
    response = client.responses.create(model="tiny", input=QUESTION, max_output_tokens=16, **EXTRA)
    assert response.output_text == CASE["text"]
    assert response.status == "incomplete" and response.incomplete_details.reason == "max_output_tokens"
    assert response.id.startswith("resp_") and response.object == "response" and response.error is None
    assert response.output[0].role == "assistant" and response.output[0].content[0].annotations == []
    assert response.usage.input_tokens == len(CASE["input_ids"]) and response.usage.output_tokens == 16
    assert response.usage.total_tokens == response.usage.input_tokens + 16
    assert response.completed_at is None
    assert response.usage.output_tokens_details.reasoning_tokens == 0
    whole = client.responses.create(model="tiny", input=QUESTION, max_output_tokens=20, temperature=0,
                                    extra_body={"stop": [CASE["text"][4:6]]}, metadata={"a": "b"}, instructions=None)
    assert whole.status == "completed" and whole.incomplete_details is None and whole.metadata == {"a": "b"}
    assert whole.created_at <= whole.completed_at <= whole.created_at + 60


EVENTS = ["response.created", "response.in_progress", "response.output_item.added", "response.content_part.added",
          "response.output_text.delta", "response.output_text.done", "response.content_part.done",
          "response.output_item.done", "response.incomplete"]


def test_events_come_in_order(client, llama):
    events = list(client.responses.create(model="tiny", input=QUESTION, max_output_tokens=16, stream=True, **EXTRA))
    kinds = [event.type for event in events]
    assert [kind for i, kind in enumerate(kinds) if i == 0 or kinds[i - 1] != kind] == EVENTS
    assert [event.sequence_number for event in events] == list(range(len(events)))
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert text == CASE["text"] == events[-1].response.output_text
    assert next(event for event in events if event.type == "response.output_text.done").text == text
    assert events[0].response.id == events[-1].response.id and events[0].response.status == "in_progress"
    assert events[-1].response.usage.output_tokens == 16
    body = {"input": QUESTION, "stream": True, "max_output_tokens": 2}
    with httpx.stream("POST", llama.url + "/v1/responses", json=body) as raw:
        lines = [line for line in raw.iter_lines() if line]
    for name, data in zip(lines[::2], lines[1::2], strict=True):  # each event is named as its type
        assert name == "event: " + json.loads(data.removeprefix("data: "))["type"]


@pytest.mark.compatibility("openai (Python)", "responses: create, stream")
def test_the_clients_stream_reader(client):
    # The reader wants an answer that came to its end.
    with client.responses.stream(model="tiny", input=QUESTION, max_output_tokens=16, temperature=0,
                                 extra_body={"stop": [CASE["text"][6:8]]}) as stream:
        text = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
        assert stream.get_final_response().output_text == text == CASE["text"][: CASE["text"].find(CASE["text"][6:8])]


def test_a_conversation_goes_on_from_a_response(client, llama):
    first = client.responses.create(model="tiny", input="Hello", instructions="Be brief.", max_output_tokens=4, **EXTRA)
    second = client.responses.create(model="tiny", input="And now?", previous_response_id=first.id,
                                     max_output_tokens=8, **EXTRA)
    assert second.previous_response_id == first.id
    messages = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": first.output_text},
                {"role": "user", "content": "And now?"}]  # instructions are of one turn
    chat = llama.post("/v1/chat/completions", {"messages": messages, "max_tokens": 8, "temperature": 0,
                                               "ignore_eos": True}).json()
    assert second.output_text == chat["choices"][0]["message"]["content"]
    assert second.usage.input_tokens == chat["usage"]["prompt_tokens"]
    third = client.responses.create(model="tiny", input="Go on", previous_response_id=second.id, max_output_tokens=2)
    assert third.usage.input_tokens > second.usage.input_tokens


def test_items_and_instructions_are_messages(client, llama):
    items = [{"role": "developer", "content": "Rules."}, {"role": "user", "content": [
        {"type": "input_text", "text": "Hi"}]}, {"type": "message", "role": "assistant", "content": [
            {"type": "output_text", "text": "Hello", "annotations": []}]}, {"role": "user", "content": "Who?"}]
    response = client.responses.create(model="tiny", input=items, max_output_tokens=8, **EXTRA)
    messages = [{"role": "system", "content": "Rules."}, {"role": "user", "content": "Hi"},
                {"role": "assistant", "content": "Hello"}, {"role": "user", "content": "Who?"}]
    chat = llama.post("/v1/chat/completions", {"messages": messages, "max_tokens": 8, "temperature": 0,
                                               "ignore_eos": True}).json()
    assert response.output_text == chat["choices"][0]["message"]["content"]


def test_pictures(llava):
    client = openai.OpenAI(base_url=llava.url + "/v1", api_key="none", max_retries=0)
    case = golden("llava")["cases"][0]
    parts = [{"type": "input_image", "image_url": data_url(part["image_url"]["url"]), "detail": "auto"}
             if part["type"] == "image_url" else {"type": "input_text", "text": part["text"]}
             for part in case["messages"][0]["content"]]
    response = client.responses.create(model="llava", input=[{"role": "user", "content": parts}],
                                       max_output_tokens=16, **EXTRA)
    assert response.output_text == case["text"]
    again = client.responses.create(model="llava", input="And?", previous_response_id=response.id, max_output_tokens=2)
    assert again.usage.input_tokens > response.usage.input_tokens  # the picture is still there


def test_logprobs(client):
    response = client.responses.create(model="tiny", input=QUESTION, max_output_tokens=4, top_logprobs=2,
                                       include=["message.output_text.logprobs"], **EXTRA)
    logprobs = response.output[0].content[0].logprobs
    assert len(logprobs) == 4 and all(len(entry.top_logprobs) == 2 for entry in logprobs)


@pytest.mark.compatibility("openai (Python)", "responses: retrieve, input items, delete, cancel")
def test_stored_responses(client):
    made = client.responses.create(model="tiny", input="Keep this", max_output_tokens=2)
    kept = client.responses.retrieve(made.id)
    assert kept.output_text == made.output_text and kept.usage == made.usage
    items = client.responses.input_items.list(made.id)
    assert items.data[0].content[0].text == "Keep this"
    with pytest.raises(openai.BadRequestError):
        client.responses.cancel(made.id)  # it was not made in the background
    client.responses.delete(made.id)
    for gone in (client.responses.retrieve, client.responses.delete, client.responses.cancel):
        with pytest.raises(openai.NotFoundError) as error:
            gone(made.id)
        assert error.value.type == "invalid_request_error"
    with pytest.raises(openai.BadRequestError) as error:  # as OpenAI has it
        client.responses.create(model="tiny", input="x", previous_response_id=made.id)
    assert error.value.code == "previous_response_not_found" and error.value.param == "previous_response_id"
    unkept = client.responses.create(model="tiny", input="x", max_output_tokens=2, store=False)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(unkept.id)


def test_the_store_is_bounded_and_private(tmp_path):
    keys = tmp_path / "keys"
    keys.write_text("one\ntwo\n")
    server = Server("llama_gqa", "--max-responses", "3", "--api-key-file", keys)
    one, two = (openai.OpenAI(base_url=server.url + "/v1", api_key=key, max_retries=0) for key in ("one", "two"))
    ids = [one.responses.create(model="llama_gqa", input=str(i), max_output_tokens=1).id for i in range(4)]
    with pytest.raises(openai.NotFoundError):
        one.responses.retrieve(ids[0])
    assert one.responses.retrieve(ids[1]).id == ids[1]
    with pytest.raises(openai.NotFoundError):
        two.responses.retrieve(ids[1])
    assert server.stop() == 0


WRONG = [
    ({}, "input"), ({"input": []}, "input"), ({"input": 5}, "input"), ({"input": [5]}, "input[0]"),
    ({"input": [{"role": "robot", "content": "x"}]}, "input[0].role"),
    ({"input": [{"role": "user"}]}, "input[0].content"),
    ({"input": [{"type": "sound"}]}, "input[0].type"),
    ({"input": [{"role": "user", "content": [{"type": "sound"}]}]}, "input[0].content[0].type"),
    ({"input": [{"role": "user", "content": [{"type": "input_text"}]}]}, "input[0].content[0].text"),
    ({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}, "input[0].content[0].image_url"),
    ({"input": [{"type": "function_call", "call_id": "a"}]}, "input[0].name"),
    ({"input": "a", "temperature": 3}, "temperature"), ({"input": "a", "max_output_tokens": 0}, "max_output_tokens"),
    ({"input": "a", "n": 2}, "n"), ({"input": "a", "background": True}, "background"),
    ({"input": "a", "top_logprobs": 21}, "top_logprobs"), ({"input": "a", "truncation": "x"}, "truncation"),
    ({"input": "a", "metadata": {"a": 1}}, "metadata.a"), ({"input": "a", "store": "x"}, "store"),
    ({"input": "a", "instructions": 5}, "instructions"), ({"input": "a", "conversation": "x"}, "conversation"),
    ({"input": "a", "text": {"format": {"type": "xml"}}}, "text.format.type"),
    ({"input": "a", "text": {"format": {"type": "json_schema", "schema": {}}}}, "text.format.name"),
    ({"input": "a", "text": {"verbosity": "loud"}}, "text.verbosity"),
]


@pytest.mark.parametrize("body, param", WRONG, ids=range(len(WRONG)))
def test_wrong_requests(llama, body, param):
    response = llama.post("/v1/responses", body)
    assert response.status_code == 400, response.text
    assert response.json()["error"]["param"] == param


def test_the_input_is_counted_without_an_answer(client, llama):
    counted = client.responses.input_tokens.count(model="tiny", input="hi there", instructions="Be brief.")
    assert counted.object == "response.input_tokens"
    made = client.responses.create(model="tiny", input="hi there", instructions="Be brief.", max_output_tokens=1)
    assert counted.input_tokens == made.usage.input_tokens
    assert llama.post("/v1/responses/input_tokens", {"input": 5}).json()["error"]["param"] == "input"


def test_input_items_come_in_pages(client, llama):
    items = [{"role": "user", "content": f"word {i}"} for i in range(5)]
    made = client.responses.create(model="tiny", input=items, max_output_tokens=1)

    def texts(**query):
        page = llama.get(f"/v1/responses/{made.id}/input_items", params=query).json()
        return [item["content"][0]["text"] for item in page["data"]], page["has_more"], page["last_id"]

    assert texts()[0] == [f"word {i}" for i in (4, 3, 2, 1, 0)]
    first, more, last = texts(order="asc", limit=2)
    assert first == ["word 0", "word 1"] and more
    assert texts(order="asc", limit=3, after=last)[:2] == (["word 2", "word 3", "word 4"], False)
    assert [item.content[0].text for item in client.responses.input_items.list(made.id, limit=2, order="asc")] == \
        [f"word {i}" for i in range(5)]
    for query in ({"limit": 0}, {"limit": 101}, {"order": "up"}):
        wrong = llama.get(f"/v1/responses/{made.id}/input_items", params=query)
        assert wrong.status_code == 400 and wrong.json()["error"]["param"] == next(iter(query))
    again = llama.get(f"/v1/responses/{made.id}", params={"stream": "true"})
    assert again.status_code == 400 and again.json()["error"]["param"] == "stream"


def test_what_may_be_included(llama):
    def status(include):
        return llama.post("/v1/responses", {"input": "a", "max_output_tokens": 1, "include": include})

    assert status(["reasoning.encrypted_content"]).status_code == 200
    assert status(["message.output_text.logprobs", "nonsense"]).json()["error"]["param"] == "include[1]"
    assert status("message.output_text.logprobs").json()["error"]["param"] == "include"
    body = llama.post("/v1/responses", {"input": "a", "max_output_tokens": 1, "text": {"verbosity": "low"}}).json()
    assert body["text"] == {"verbosity": "low", "format": {"type": "text"}}


def turns_of(*roles):
    return [{"role": role, "content": f"{role} {i} says so and so and more"} for i, role in enumerate(roles)]


def test_the_oldest_turns_are_dropped_on_request(client, llama):
    """truncation auto: what is answered is the same input without its oldest turns, as few as make room."""
    items = [{"role": "developer", "content": "Rules."}, *turns_of(*["user", "assistant"] * 12),
             {"role": "user", "content": "Last?"}]
    ask = {"model": "tiny", "instructions": "Be brief.", "max_output_tokens": 20, **EXTRA}
    with pytest.raises(openai.BadRequestError) as error:
        client.responses.create(input=items, **ask)
    assert error.value.param in ("input", "max_output_tokens")
    made = client.responses.create(input=items, truncation="auto", **ask)
    assert made.truncation == "auto" and made.usage.output_tokens == 20
    fitting = [rest for first in range(1, len(items), 2)
               if (rest := [items[0], *items[first:]]) and client.responses.input_tokens.count(
                   model="tiny", instructions="Be brief.", input=rest).input_tokens + 20 <= 256]
    assert 3 < len(fitting[0]) < len(items)  # more than one turn is left, and it begins with a user
    by_hand = client.responses.create(input=fitting[0], **ask)
    assert (by_hand.output_text, by_hand.usage.input_tokens) == (made.output_text, made.usage.input_tokens)
    counted = client.responses.input_tokens.count(model="tiny", instructions="Be brief.", input=items,
                                                  truncation="auto")
    assert made.usage.input_tokens <= counted.input_tokens < 256  # there, no room is asked for the answer
    # Nothing is lost: the next turn has its own choice of all that there was.
    kept = client.responses.input_items.list(made.id, limit=100).data
    assert len(kept) == len(items)
    again = client.responses.create(input="And?", previous_response_id=made.id, truncation="auto", **ask)
    assert 0 < again.usage.input_tokens <= 236


def test_what_came_last_is_never_dropped(client):
    ask = {"model": "tiny", "max_output_tokens": 20, "truncation": "auto", **EXTRA}
    short = client.responses.create(input="Last?", **ask)
    for before in ([], turns_of("user")):
        made = client.responses.create(input=[*before, {"role": "user", "content": "Last?"}], **ask)
        assert made.usage.input_tokens >= short.usage.input_tokens
    with pytest.raises(openai.BadRequestError) as error:
        client.responses.create(input=[*turns_of("user", "assistant"), {"role": "user", "content": "word " * 300}],
                                **ask)
    assert error.value.param in ("input", "max_output_tokens")
    # Of a turn that called tools again and again: the oldest calls, each with its result.
    calls = [item for i in range(12) for item in (
        {"type": "function_call", "call_id": f"c{i}", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": f"c{i}", "output": f"result {i} and some more words"})]
    items = [*turns_of("user", "assistant"), {"role": "user", "content": "Last?"}, *calls]
    made = client.responses.create(input=items, **ask)
    left = next(n for n in range(0, 24, 2) if client.responses.input_tokens.count(
        model="tiny", input=[items[2], *calls[n:]]).input_tokens + 20 <= 256)
    assert left > 0 and made.usage.input_tokens == client.responses.input_tokens.count(
        model="tiny", input=[items[2], *calls[left:]]).input_tokens
