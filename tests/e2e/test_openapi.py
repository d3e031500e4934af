"""/openapi.json is true: generated requests meet no status and no body that it does not describe."""

import json

import httpx
import pytest
from hypothesis import HealthCheck, given, settings

from server_process import Server

CASES = 8  # per operation and kind; the same ones on every run


@pytest.fixture(scope="module")
def server():
    # Small answers: what is generated may ask for as many tokens as it likes.
    made = Server("llava", "--max-model-len", "40", "--max-n", "3", "--max-top-logprobs", "3")
    yield made
    assert made.stop() == 0


@pytest.fixture(scope="module")
def document(server):
    return server.get("/openapi.json").json()


OPERATIONS = [
    ("post", "/v1/chat/completions"), ("post", "/v1/completions"), ("post", "/v1/responses"),
    ("get", "/v1/responses/{id}"), ("delete", "/v1/responses/{id}"), ("get", "/v1/responses/{id}/input_items"),
    ("post", "/v1/responses/{id}/cancel"), ("post", "/v1/responses/input_tokens"), ("post", "/v1/messages"),
    ("post", "/v1/messages/count_tokens"), ("post", "/v1/embeddings"), ("post", "/v1/score"), ("post", "/v1/files"),
    ("get", "/v1/files"),
    ("get", "/v1/files/{id}"), ("delete", "/v1/files/{id}"), ("post", "/tokenize"), ("post", "/detokenize"),
    ("get", "/v1/models"), ("get", "/v1/models/{id}"), ("get", "/version"), ("get", "/ping"), ("get", "/health"),
    ("get", "/metrics"), ("get", "/props"), ("get", "/v1/health"),
]


def test_every_route_is_described(document):
    described = {(method, path) for path, methods in document["paths"].items() for method in methods}
    assert described == set(OPERATIONS)


@pytest.mark.parametrize("method, path", OPERATIONS, ids=["_".join(operation) for operation in OPERATIONS])
def test_generated_requests_meet_nothing_undescribed(server, document, method, path):
    import schemathesis
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi.checks import (content_type_conformance, response_schema_conformance,
                                                   status_code_conformance)

    operation = schemathesis.openapi.from_dict(document)[path][method.upper()]
    kinds = [schemathesis.GenerationMode.POSITIVE]  # what the description allows
    if "application/json" in document["paths"][path][method].get("requestBody", {}).get("content", {}):
        kinds.append(schemathesis.GenerationMode.NEGATIVE)  # and what it rules out

    for kind in kinds:
        @given(case=operation.as_strategy(kind))
        @settings(max_examples=CASES, derandomize=True, database=None, deadline=None,
                  suppress_health_check=list(HealthCheck))
        def probe(case):
            response = case.call(base_url=server.url, timeout=60)
            case.validate_response(response, checks=[not_a_server_error, status_code_conformance,
                                                     content_type_conformance, response_schema_conformance])

        probe()
    assert server.get("/health").status_code == 200


def test_the_limits_of_the_document_are_those_of_the_server(document, llama):
    def fields(doc, path):
        return doc["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]["properties"]

    small = fields(document, "/v1/chat/completions")
    large = fields(llama.get("/openapi.json").json(), "/v1/chat/completions")
    assert small["n"]["maximum"] == 3 and large["n"]["maximum"] == 128
    assert small["top_logprobs"]["maximum"] == 3 and large["top_logprobs"]["maximum"] == 20
    assert large["temperature"] == {"type": ["number", "null"], "minimum": 0, "maximum": 2, "default": 1,
                                    "description": "0: the likeliest token"}


WRONG = {"integer": "x", "number": "x", "boolean": "x", "string": 5, "object": "x", "array": "x", "null": "x"}


def test_every_described_type_and_bound_is_held(document, server):
    """For each field of each route: a value that the document rules out is a 400 that names the field."""
    complete = {"/v1/chat/completions": {"messages": [{"role": "user", "content": "a"}]},
                "/v1/completions": {"prompt": "a"}, "/v1/responses": {"input": "a"},
                "/v1/messages": {"messages": [{"role": "user", "content": "a"}], "max_tokens": 1},
                "/v1/messages/count_tokens": {"messages": [{"role": "user", "content": "a"}]},
                "/v1/embeddings": {"input": "a"}, "/v1/score": {"prompt": "a", "options": ["b"]},
                "/tokenize": {"prompt": "a"}, "/detokenize": {"tokens": [5]}}
    tried = 0
    with httpx.Client(base_url=server.url, timeout=60) as client:
        for path, body in complete.items():
            schema = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]
            for name, field in schema["properties"].items():
                types = field.get("type")
                kind = types if isinstance(types, str) else (types or [None])[0]
                values = [WRONG[kind]] if kind else []
                for bound, step in (("minimum", -1), ("maximum", 1)):
                    if bound in field:
                        values.append(field[bound] + step)
                for value in values:
                    response = client.post(path, content=json.dumps({**body, name: value}))
                    assert response.status_code == 400, (path, name, value, response.text)
                    assert name in response.text, (path, name, value, response.text)
                    tried += 1
    assert tried > 200
