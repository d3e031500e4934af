"""response_format and vLLM's guided_* over HTTP, on models with random weights: only the masks make sense of them."""

import json
import pathlib
import random
import re
import sys

import jsonschema
import openai
import pydantic
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "server" / "output"))
import random_schemas  # noqa: E402

from server_process import Server  # noqa: E402

WILD = {"temperature": 1.5, "max_tokens": 200}


@pytest.fixture(scope="module")
def byte_level():
    server = Server("llama_bias")
    yield server
    assert server.stop() == 0


def ask(server, **fields):
    response = server.chat("Write.", **{**WILD, **fields})
    assert response.status_code == 200, response.text
    return response.json()["choices"]


def schema_format(schema, **more):
    return {"response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, **more}}}


@pytest.mark.parametrize("name", ["llama", "byte_level", "llava"])
def test_random_schemas_give_valid_answers(name, request):
    server, generator = request.getfixturevalue(name), random.Random(name)
    finished = 0
    for seed in range(20):
        schema = random_schemas.obj(generator, 1)
        schema["$defs"] = {"leaf": {"type": "null"}}
        for choice in ask(server, seed=seed, n=2, **schema_format(schema, strict=True)):
            if choice["finish_reason"] == "stop":
                jsonschema.validate(json.loads(choice["message"]["content"]), schema)
                finished += 1
    assert finished > 20  # the others came to the model's length


def test_choices_have_a_matcher_each(llama):
    pattern = "^[a-f]{4}-[0-9]{4}$"
    texts = [choice["message"]["content"] for choice in ask(llama, n=8, guided_regex=pattern)]
    assert all(re.fullmatch(pattern[1:-1], text) for text in texts) and len(set(texts)) > 1


def test_json_object_is_one(llama):
    for choice in ask(llama, n=4, response_format={"type": "json_object"}, logit_bias={"96": 10}):
        assert choice["message"]["content"].startswith("{")


def test_vllm_names(llama):
    for fields in ({"guided_choice": ["red", "green"]}, {"structured_outputs": {"choice": ["red", "green"]}},
                   {"guided_grammar": 'root ::= "red" | "green"'}, {"guided_json": {"enum": ["red", "green"]}},
                   {"guided_json": '{"enum": ["red", "green"]}'}, {"structured_outputs": {"regex": "red|green"}}):
        (choice,) = ask(llama, **fields)
        assert choice["message"]["content"].strip('"') in ("red", "green") and choice["finish_reason"] == "stop"


def test_completions_take_them_too(llama):
    body = {"prompt": "Say", "guided_choice": [" yes", "no"], "max_tokens": 20, "n": 8, "temperature": 1.5, "seed": 1}
    choices = llama.post("/v1/completions", body).json()["choices"]
    assert {choice["text"] for choice in choices} == {" yes", "no"}


def test_a_stream_and_min_tokens(llama):
    body = {"messages": [{"role": "user", "content": "x"}], "stream": True, "guided_choice": ["yes"], "min_tokens": 50,
            "max_tokens": 60}
    events = [json.loads(event) for event in llama.events("/v1/chat/completions", body)[:-1]]
    text = "".join(c["delta"].get("content", "") for event in events for c in event["choices"])
    assert text == "yes" and events[-1]["choices"][0]["finish_reason"] == "stop"
    assert llama.wait_idle()


def test_preempted_answers_stay_valid():
    """Room for two of six sequences: the others are recomputed, the tokens of their matchers not repeated."""
    server = Server("llama_bias", "--kv-cache-memory", "40K", "--block-size", "4", "--max-model-len", "64")
    schema = {"type": "object", "properties": {"a": {"type": "string", "minLength": 8, "maxLength": 8},
                                               "b": {"type": "integer", "minimum": 0, "maximum": 99}},
              "required": ["a", "b"]}
    response = server.chat("x", n=6, temperature=1.5, seed=1, max_tokens=40, **schema_format(schema))
    choices = response.json()["choices"]
    assert any(choice["finish_reason"] == "stop" for choice in choices)
    for choice in choices:
        if choice["finish_reason"] == "stop":
            jsonschema.validate(json.loads(choice["message"]["content"]), schema)
    assert server.stop() == 0


WRONG = [
    ({"response_format": "json"}, "response_format"),
    ({"response_format": {"type": "xml"}}, "response_format.type"),
    ({"response_format": {}}, "response_format.type"),
    ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
    (schema_format({}, name="no spaces"), "response_format.json_schema.name"),
    (schema_format({}, strict="yes"), "response_format.json_schema.strict"),
    (schema_format([]), "response_format.json_schema.schema"),
    (schema_format({"properties": {"a": {"pattern": "("}}}), "response_format.json_schema.schema.properties.a.pattern"),
    (schema_format({"type": "object", "not": {}}), "response_format.json_schema.schema.not"),
    (schema_format({"description": "x" * 70000}), "response_format.json_schema.schema"),
    ({"guided_json": "{"}, "guided_json"), ({"guided_json": 3}, "guided_json"),
    ({"guided_regex": ""}, "guided_regex"), ({"guided_regex": r"(a)\1"}, "guided_regex"),
    ({"guided_choice": []}, "guided_choice"), ({"guided_choice": [1]}, "guided_choice"),
    ({"guided_grammar": "root ::= missing"}, "guided_grammar"),
    ({"guided_regex": "(.{0,100}){0,100}x"}, "guided_regex"),  # too ambiguous to follow
    ({"structured_outputs": []}, "structured_outputs"),
    ({"structured_outputs": {"regex": "a", "choice": ["a"]}}, "structured_outputs.choice"),
    ({"guided_regex": "a", "response_format": {"type": "json_object"}}, "guided_regex"),
]


@pytest.mark.parametrize("fields, param", WRONG, ids=lambda value: json.dumps(value)[:60])
def test_wrong_formats_name_the_field(llama, fields, param):
    response = llama.chat("x", **fields)
    assert response.status_code == 400, response.text
    error = response.json()["error"]
    assert error["param"] == param and error["type"] == "invalid_request_error"


class Point(pydantic.BaseModel):
    x: int = pydantic.Field(ge=0, le=9)
    label: str | None = pydantic.Field(max_length=3)


def test_the_official_client_parses_into_pydantic(llama):
    client = openai.OpenAI(base_url=llama.url + "/v1", api_key="none", max_retries=0)
    messages = [{"role": "user", "content": "A point."}]
    completion = client.chat.completions.parse(model="tiny", messages=messages, response_format=Point, seed=3, **WILD)
    assert isinstance(completion.choices[0].message.parsed, Point)
    with client.chat.completions.stream(model="tiny", messages=messages, response_format=Point, seed=3,
                                        **WILD) as stream:
        for _ in stream:
            pass
        assert stream.get_final_completion().choices[0].message.parsed == completion.choices[0].message.parsed
