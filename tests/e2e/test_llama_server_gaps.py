"""What llama-server (of 2026-10) was measured to get wrong and no other file here asks about."""

import json

import jsonschema
import pytest

import scripted
from server_process import Server

CHAT = "/v1/chat/completions"
ANSWER = "It ends with <en"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    made = Server(scripted.make(tmp_path_factory.mktemp("gaps"), {"": ANSWER}))
    yield made
    assert made.stop() == 0


@pytest.mark.parametrize("stop", [["<end>"], ["<end>", "with <end"], ["n!", "<en>"]])
def test_the_beginning_of_a_stop_string_at_the_end_is_text(server, stop):
    body = {"messages": [{"role": "user", "content": "x"}], "temperature": 0, "stop": stop}
    choice = server.post(CHAT, body).json()["choices"][0]
    assert choice["message"]["content"] == ANSWER and choice["finish_reason"] == "stop"
    chunks = [json.loads(event) for event in server.events(CHAT, {**body, "stream": True})[:-1]]
    deltas = [chunk["choices"][0] for chunk in chunks]
    assert "".join(delta["delta"].get("content", "") for delta in deltas) == ANSWER
    assert deltas[-1]["finish_reason"] == "stop" and deltas[-1]["stop_reason"] is None
    cut = server.post(CHAT, {**body, "max_tokens": len(ANSWER) - 1}).json()["choices"][0]
    assert cut["message"]["content"] == ANSWER[:-1] and cut["finish_reason"] == "length"


@pytest.mark.parametrize("schema", [
    {"type": "string", "pattern": "^[A-C]{2}-[0-9]{3}$"}, {"type": "string", "format": "date"},
    {"type": "string", "format": "ipv4"}, {"type": "string", "minLength": 3, "maxLength": 5},
    {"type": "integer", "minimum": 17, "maximum": 23}, {"type": "integer", "exclusiveMinimum": -3, "maximum": 3},
    {"type": "integer", "multipleOf": 25, "minimum": 0, "maximum": 400},
    {"type": "array", "items": {"enum": ["a", "b"]}, "minItems": 2, "maxItems": 3}])
def test_every_keyword_of_a_schema_holds(llama, schema):
    whole = {"type": "object", "properties": {"value": schema}, "required": ["value"], "additionalProperties": False}
    answer = llama.chat("x", temperature=1.5, seed=3, n=8, max_tokens=120,
                        response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": whole}})
    assert answer.status_code == 200, answer.text
    finished = [choice for choice in answer.json()["choices"] if choice["finish_reason"] == "stop"]
    assert finished
    for choice in finished:
        jsonschema.validate(json.loads(choice["message"]["content"]), whole,
                            format_checker=jsonschema.FormatChecker())
