"""Raw answers against JSON Schemas of ours (schemas/), written down from the published descriptions of the APIs."""

import functools
import json
import pathlib

import jsonschema
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


def check(value, name, file):
    validator(name, file).validate(value)


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
    assert len({(chunk["id"], chunk["created"], chunk["model"]) for chunk in chunks}) == 1
    assert any("usage" in chunk for chunk in chunks) == with_usage
    assert (chunks[-1]["choices"] == []) == with_usage
    choices = [choice for chunk in chunks for choice in chunk["choices"]]
    assert all(choice["delta"]["role"] == "assistant" for choice in choices[:n])
    assert not any("role" in choice["delta"] for choice in choices[n:])
    assert sum(choice["finish_reason"] is not None for choice in choices) == n


@pytest.mark.parametrize("fields", CHATS, ids=range(len(CHATS)))
def test_chats(llama, fields):
    body = {"messages": MESSAGES, **SHORT, **fields}
    check(llama.post("/v1/chat/completions", body).json(), "completion", "chat")
    for options in (None, {"include_usage": True}, {"include_usage": True, "continuous_usage_stats": True}):
        events = llama.events("/v1/chat/completions", {**body, "stream": True, "stream_options": options})
        check_chunks(events, body.get("n", 1), options is not None)


def test_completions(llama):
    for fields in ({}, {"n": 2, "logprobs": 2}, {"echo": True, "logprobs": 0}, {"best_of": 3}):
        check(llama.post("/v1/completions", {"prompt": "a", **SHORT, **fields}).json(), "text_completion", "others")
    for event in llama.events("/v1/completions", {"prompt": "a", **SHORT, "stream": True, "logprobs": 1})[:-1]:
        check(json.loads(event), "text_completion", "others")


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
        check(event, event["type"], "responses")
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    items = [event["item"] for event in events if event["type"] == "response.output_item.done"]
    assert events[-1]["response"]["output"] == items


@pytest.mark.parametrize("cue", CUES)
def test_responses(talker, llama, cue):
    tools = [{"type": "function", **tool["function"]} for tool in TOOLS]
    for fields in ({}, {"max_output_tokens": 20}, {"tool_choice": "none"}, {"parallel_tool_calls": False},
                   {"top_logprobs": 2, "include": ["message.output_text.logprobs"]}):
        check_response(talker, {"input": cue, "tools": tools, "temperature": 0, **fields})
    check_response(llama, {"input": cue, "max_output_tokens": 3, "store": False})


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
                check(event, event["type"], "messages")
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
