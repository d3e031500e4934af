"""Raw answers against JSON Schemas of ours (schemas/), written down from the published descriptions of the APIs."""

import functools
import json
import pathlib

import anthropic.types
import jsonschema
import openai.types.chat
import openai.types.responses
import pydantic
import pytest

import scripted
from server_process import Server
from test_reasoning import TEMPLATE
from test_tools import SCRIPTS, TOOLS

FOLDER = pathlib.Path(__file__).parent / "schemas"
SCHEMAS = {path.stem: json.loads(path.read_text()) for path in FOLDER.glob("*.json")}
MESSAGES = [{"role": "user", "content": "hi"}]
SHORT = {"max_tokens": 3, "ignore_eos": True}
# What the scripted model says to these: text, calls, reasoning before a call, text that looks like a call.
CUES = ["Hi", "Weather?", "Both?", "Think.", "Broken?"]


@functools.cache
def validator(name, file):
    return jsonschema.Draft202012Validator({**SCHEMAS[file], "$ref": f"#/$defs/{name}"})


# The official clients' own types of what a stream holds: required members, literals, discriminators.
EVENTS = {
    "chat": openai.types.chat.ChatCompletionChunk, "completions": openai.types.Completion,
    "responses": openai.types.responses.ResponseStreamEvent, "messages": anthropic.types.RawMessageStreamEvent,
}


@functools.cache
def client_type(file):
    return pydantic.TypeAdapter(EVENTS[file])


def check(value, name, file):
    validator(name, file).validate(value)


def check_event(event, name, file):
    check(event, name, file)
    if event["type"] != "ping":  # which the client drops before it reads it
        client_type(file).validate_python(event)


@pytest.fixture(scope="module")
def talker(tmp_path_factory):
    scripts = {**SCRIPTS, "Think.": "<think>hm</think>" + SCRIPTS["Weather?"]}
    server = Server(scripted.make(tmp_path_factory.mktemp("shapes"), scripts, TEMPLATE))
    yield server
    assert server.stop() == 0


CHATS = [
    {}, {"n": 3}, {"logprobs": True, "top_logprobs": 20}, {"logprobs": True}, {"stop": ["a"]},
    {"service_tier": "auto", "metadata": {"a": "b"}}, {"return_token_ids": True, "timings": True},
]


def check_chunks(events, n, with_usage):
    """A stream as clients want it: one id, the role first, usage in a chunk of its own if it was asked for, [DONE]."""
    assert events[-1] == "[DONE]"
    chunks = [json.loads(event) for event in events[:-1]]
    for chunk in chunks:
        check(chunk, "chunk", "chat")
        client_type("chat").validate_python(chunk)
    assert len({(chunk["id"], chunk["created"], chunk["model"]) for chunk in chunks}) == 1
    assert any("usage" in chunk for chunk in chunks) == with_usage
    assert (chunks[-1]["choices"] == []) == with_usage
    choices = [choice for chunk in chunks for choice in chunk["choices"]]
    assert all(choice["delta"]["role"] == "assistant" for choice in choices[:n])
    assert not any("role" in choice["delta"] for choice in choices[n:])
    ends = [choice for choice in choices if choice["finish_reason"] is not None]
    assert sorted(choice["index"] for choice in ends) == list(range(n))
    assert all(choice["delta"] == {} and choice["logprobs"] is None for choice in ends)
    assert all(choice["index"] not in [end["index"] for end in ends[:ends.index(choice)]] for choice in ends)
    for index in range(n):  # nothing comes behind a choice's end
        assert [choice for choice in choices if choice["index"] == index][-1] in ends
    check_call_deltas(choices)


def check_call_deltas(choices):
    """The first delta of a call has its id, type and name, in order of the index; later ones index and arguments."""
    begun = {}
    for choice in choices:
        for call in choice["delta"].get("tool_calls", []):
            key = choice["index"], call["index"]
            if key in begun:
                assert set(call) == {"index", "function"} and set(call["function"]) == {"arguments"}
            else:
                assert call["index"] == sum(index == choice["index"] for index, _ in begun)
                assert call["id"] and call["type"] == "function" and call["function"]["name"]
                begun[key] = call["id"]
    assert len(set(begun.values())) == len(begun)


@pytest.mark.parametrize("fields", CHATS, ids=range(len(CHATS)))
def test_chats(llama, fields):
    body = {"messages": MESSAGES, **SHORT, **fields}
    check(llama.post("/v1/chat/completions", body).json(), "completion", "chat")
    for options in (None, {"include_obfuscation": False}, {"include_usage": True, "include_obfuscation": True},
                    {"include_usage": True, "continuous_usage_stats": True}):
        with_usage = bool(options and options.get("include_usage"))
        events = llama.events("/v1/chat/completions", {**body, "stream": True, "stream_options": options})
        check_chunks(events, body.get("n", 1), with_usage)
        usage = [json.loads(event)["usage"] for event in events[:-1]] if with_usage else [{}]
        assert usage[-1] is not None
        assert "continuous_usage_stats" in (options or {}) or usage[:-1] == [None] * len(usage[:-1])


def test_completions(llama):
    for fields in ({}, {"n": 2, "logprobs": 2}, {"echo": True, "logprobs": 0}, {"best_of": 3}):
        check(llama.post("/v1/completions", {"prompt": "a", **SHORT, **fields}).json(), "text_completion", "others")
    for options in (None, {"include_usage": True}):
        events = llama.events("/v1/completions",
                              {"prompt": ["a", "b"], **SHORT, "stream": True, "logprobs": 1, "stream_options": options})
        chunks = [json.loads(event) for event in events[:-1]]
        for chunk in chunks:
            check(chunk, "text_completion", "others")
            if chunk["choices"]:  # the client's type has no null for a piece that ends nothing, its answers do
                ends = [{**choice, "finish_reason": choice["finish_reason"] or "stop"} for choice in chunk["choices"]]
                client_type("completions").validate_python({**chunk, "choices": ends})
        assert len({(chunk["id"], chunk["created"]) for chunk in chunks}) == 1
        ends = [choice["index"] for chunk in chunks for choice in chunk["choices"] if choice["finish_reason"]]
        assert sorted(ends) == [0, 1] and (chunks[-1]["choices"] == []) == bool(options)


def test_other_routes(llama):
    check(llama.get("/v1/models").json(), "models", "others")
    check(llama.post("/v1/embeddings", {"input": ["a", "b"]}).json(), "embeddings", "others")
    check(llama.post("/v1/embeddings", {"input": "a", "encoding_format": "base64"}).json(), "embeddings", "others")


@pytest.mark.parametrize("cue", CUES)
@pytest.mark.parametrize("fields", [{}, {"max_tokens": 20}, {"tool_choice": "none"}, {"parallel_tool_calls": False}],
                         ids=lambda fields: next(iter(fields), "plain"))
def test_chats_with_tools(talker, cue, fields):
    body = {"messages": [{"role": "user", "content": cue}], "tools": TOOLS, "temperature": 0, **fields}
    check(talker.post("/v1/chat/completions", body).json(), "completion", "chat")
    check_chunks(talker.events("/v1/chat/completions", {**body, "stream": True}), 1, False)


def check_response(server, body):
    check(server.post("/v1/responses", body).json(), "response", "responses")
    events = [json.loads(event) for event in server.events("/v1/responses", {**body, "stream": True})]
    for event in events:
        check_event(event, event["type"], "responses")
    check_response_order(events)
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    items = [event["item"] for event in events if event["type"] == "response.output_item.done"]
    assert events[-1]["response"]["output"] == items


def check_response_order(events):
    """Items one after the other, each begun, told and done under one id; the whole first and last."""
    kinds = [event["type"] for event in events]
    assert kinds[:2] == ["response.created", "response.in_progress"]
    assert kinds[-1] in ("response.completed", "response.incomplete") and kinds.count(kinds[-1]) == 1
    assert all(event["response"]["usage"] is None and event["response"]["status"] == "in_progress"
               for event in events[:2])
    final = events[-1]["response"]
    assert final["usage"]["total_tokens"] == final["usage"]["input_tokens"] + final["usage"]["output_tokens"]
    reason = "max_output_tokens" if kinds[-1] == "response.incomplete" else None
    assert (final["incomplete_details"] or {}).get("reason") == reason
    assert len({event["response"]["id"] for event in events if "response" in event}) == 1
    index, item = -1, None
    for event in events[2:-1]:
        if event["type"] == "response.output_item.added":
            assert item is None and event["output_index"] == index + 1
            index, item = index + 1, event["item"]["id"]
        assert event["output_index"] == index and event.get("item_id", item) == item
        if event["type"] == "response.output_item.done":
            assert event["item"]["id"] == item
            item = None
    assert item is None


@pytest.mark.parametrize("cue", CUES)
def test_responses(talker, llama, cue):
    tools = [{"type": "function", **tool["function"]} for tool in TOOLS]
    for fields in ({}, {"max_output_tokens": 20}, {"tool_choice": "none"}, {"parallel_tool_calls": False},
                   {"top_logprobs": 2, "include": ["message.output_text.logprobs"]}):
        check_response(talker, {"input": cue, "tools": tools, "temperature": 0, **fields})
    check_response(llama, {"input": cue, "max_output_tokens": 3, "store": False})


def check_message_order(events):
    """Blocks one after the other between the message's start and its delta, which has the whole usage."""
    events = [event for event in events if event["type"] != "ping"]
    assert [event["type"] for event in events[:1] + events[-2:]] == ["message_start", "message_delta", "message_stop"]
    start, end = events[0]["message"], events[-2]
    assert start["content"] == [] and start["stop_reason"] is None and start["usage"]["output_tokens"] == 0
    assert end["delta"]["stop_reason"] and end["usage"]["output_tokens"] > 0
    before, after = start["usage"], end["usage"]
    assert before["input_tokens"] == after["input_tokens"] + after["cache_read_input_tokens"]
    assert (end["delta"]["stop_reason"] == "stop_sequence") == (end["delta"]["stop_sequence"] is not None)
    kinds = {"text": "text_delta", "thinking": "thinking_delta", "tool_use": "input_json_delta"}
    open_block = None
    for event in events[1:-2]:
        if event["type"] == "content_block_start":
            assert open_block is None
            open_block = event
        assert event["index"] == open_block["index"]
        if event["type"] == "content_block_delta":
            kind = event["delta"]["type"]
            assert kind in (kinds[open_block["content_block"]["type"]], "signature_delta")
        if event["type"] == "content_block_stop":
            open_block = None
    assert open_block is None


@pytest.mark.parametrize("cue", CUES)
def test_messages(talker, llama, cue):
    tools = [{"name": tool["function"]["name"], "input_schema": tool["function"].get("parameters", {"type": "object"})}
             for tool in TOOLS]
    messages = [{"role": "user", "content": cue}]
    for fields in ({"tools": tools}, {"tools": tools, "max_tokens": 20}, {"stop_sequences": ["e"]},
                   {"tools": tools, "tool_choice": {"type": "none"}}):
        for server in (talker, llama)[: 2 if "tools" not in fields else 1]:
            body = {"messages": messages, "max_tokens": 100, "temperature": 0, **fields}
            check(server.post("/v1/messages", body).json(), "message", "messages")
            events = [json.loads(event) for event in server.events("/v1/messages", {**body, "stream": True})]
            for event in events:
                check_event(event, event["type"], "messages")
            check_message_order(events)
            starts = [event["index"] for event in events if event["type"] == "content_block_start"]
            assert starts == list(range(len(starts))) and events[-1]["type"] == "message_stop"


def test_errors(llama):
    for response in (llama.post("/v1/chat/completions", {}), llama.post("/v1/completions", "x"), llama.get("/nowhere"),
                     llama.get("/v1/completions"), llama.post("/v1/responses", {"input": "a", "model": "x"}),
                     llama.get("/v1/files/file-x"), llama.post("/v1/embeddings", {"input": ""}),
                     llama.post("/v1/responses", {"input": [], "tools": 5}), llama.post("/tokenize", {}),
                     llama.post("/v1/chat/completions", {"messages": MESSAGES, "model": "x"})):
        assert response.status_code >= 400
        check(response.json(), "error", "chat")
    for response in (llama.post("/v1/messages", {}), llama.post("/v1/messages", "x"),
                     llama.post("/v1/messages", {"messages": MESSAGES, "max_tokens": 1, "model": "x"})):
        assert response.status_code >= 400
        check(response.json(), "error", "messages")
