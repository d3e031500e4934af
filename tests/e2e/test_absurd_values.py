"""Absurd values in every field of the routes that work: refused by name or within the documented range, never a 500."""

import json
import math
import time

import pytest

CREATE = {
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 1},
    "/v1/completions": {"prompt": "a", "max_tokens": 1},
    "/v1/responses": {"input": "a", "max_output_tokens": 1},
    "/v1/messages": {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 1},
    "/v1/embeddings": {"input": "a"},
    "/v1/score": {"prompt": "a", "options": ["b"]},
    "/tokenize": {"prompt": "a"},
}
# As they stand in a body. Some are no JSON.
NUMBERS = ["1e308", "-1e308", "5e-324", "9223372036854775807", "9223372036854775808", "-9223372036854775809", "1e400",
           "NaN",
           "-Infinity", "1" + "0" * 300, "0.1", "-1", "true", '"1"', '"NaN"', "[]", "{}", "[1]"]
DEEP = '{"a":' * 90 + "1" + "}" * 90
TEXTS = ['""', '"\\u0000"', '"\\ud800"', '"\\udfff\\ud800"', '"' + "x" * 100_000 + '"', '"\\ufeff\\u202e"', '"%s%n%x"',
         '"../../etc/passwd"', '"{{ 7*7 }}"', '"</s><s>"', "[" * 99 + "]" * 99, DEEP, '["a",["b"]]', "[null]", "[{}]",
         '{"":{}}',
         '[' + ",".join(["1"] * 5000) + "]", '{"a":1,"a":{"a":[]}}']
# Of values that are right in themselves, or are no value at all.
OTHER_REASONS = ("JSON", "UTF-8", "does not fit", "the prompt has", " needs ", "exclude each other")


def fields_of(server, path):
    document = server.get("/openapi.json").json()["paths"][path]["post"]
    return document["requestBody"]["content"]["application/json"]["schema"]["properties"]


def text_with(least, field, value):
    rest = {name: part for name, part in least.items() if name != field}
    return json.dumps(rest)[:-1] + (", " if rest else "") + json.dumps(field) + ": " + value + "}"


def check(response, field, value):
    assert response.status_code in (200, 400, 404), (field, value[:60], response.status_code, response.text[:300])
    if response.status_code == 200:
        return
    error = response.json()["error"]
    assert error["type"] in ("invalid_request_error", "not_found_error"), error
    assert len(response.content) < 3000
    named = (error.get("param") or "") + " " + error["message"]
    assert any(word in named for word in (field, *OTHER_REASONS)), (field, value[:60], error)


@pytest.mark.parametrize("path", CREATE)
def test_every_field_with_every_absurd_value(llama, path):
    properties = fields_of(llama, path)
    assert len(properties) > 3
    with llama.client() as client:
        for field in properties:
            for value in NUMBERS + TEXTS:
                start = time.monotonic()
                response = client.post(path, content=text_with(CREATE[path], field, value))
                check(response, field, value)
                assert time.monotonic() - start < 10, (field, value[:60])
    assert llama.wait_idle()


@pytest.mark.parametrize("path", CREATE)
def test_a_number_that_is_taken_is_in_the_documented_range(llama, path):
    with llama.client() as client:
        for field, schema in fields_of(llama, path).items():
            kinds = schema.get("type", [])
            if not {"number", "integer"} & set([kinds] if isinstance(kinds, str) else kinds):
                continue
            for value in (1e308, -1e308, 2 ** 63, -(2 ** 63) - 1, 0.5):
                if client.post(path, json={**CREATE[path], field: value}).status_code == 200:
                    assert schema.get("minimum", -math.inf) <= value <= schema.get("maximum", math.inf), (field, value)


def test_a_million_messages(llama):
    for body in ('{"messages":[' + ",".join(['{"role":"user","content":"a"}'] * 1_000_000) + "]}",
                 '{"messages":[' + ",".join(["{}"] * 1_000_000) + "]}", '{"messages":[' + "[" * 1_000_000,
                 '{"messages":' + '{"a":' * 1_000_000, '{"a":"' + "\\u0000" * 1_000_000 + '"}',
                 "[" + "0," * 1_000_000 + "0]",
                 "{" + ",".join(f'"k{i}":0' for i in range(200_000)) + "}"):
        start = time.monotonic()
        response = llama.post("/v1/chat/completions", body)
        assert response.status_code == 400 and len(response.content) < 2000, response.text[:300]
        assert time.monotonic() - start < 10


def test_stops_of_every_kind(llama):
    """Long, overlapping, empty and odd stop strings change nothing about an answer in which they are not."""
    body = {**CREATE["/v1/chat/completions"], "temperature": 0, "max_tokens": 8, "ignore_eos": True}
    expected = llama.post("/v1/chat/completions", body).json()["choices"][0]["message"]["content"]
    for stops in (["\u0000" * 1024], ["a" * 1024, "a" * 1023 + "b"], ["\U0001f600" * 256],
                  ["\n" * 1000, "\t" * 1000, " " * 1000, "\r" * 1000]):
        answer = llama.post("/v1/chat/completions", {**body, "stop": stops})
        assert answer.json()["choices"][0]["message"]["content"] == expected
        stream = llama.events("/v1/chat/completions", {**body, "stop": stops, "stream": True})
        deltas = [json.loads(event)["choices"][0]["delta"].get("content") or "" for event in stream[:-1]]
        assert "".join(deltas) == expected
