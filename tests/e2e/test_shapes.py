"""Raw answers against JSON Schemas of ours (schemas/), written down from the published descriptions of the APIs."""

import json
import pathlib

import jsonschema
import pytest

SCHEMAS = {name: json.loads((pathlib.Path(__file__).parent / "schemas" / name).read_text())
           for name in ("chat.json", "others.json")}
MESSAGES = [{"role": "user", "content": "hi"}]
SHORT = {"max_tokens": 3, "ignore_eos": True}


def check(value, name, file="others.json"):
    jsonschema.Draft202012Validator({**SCHEMAS[file], "$ref": f"#/$defs/{name}"}).validate(value)


CHATS = [
    {}, {"n": 3}, {"logprobs": True, "top_logprobs": 20}, {"logprobs": True}, {"stop": ["a"]},
    {"service_tier": "auto", "metadata": {"a": "b"}}, {"return_token_ids": True, "timings": True},
]


@pytest.mark.parametrize("fields", CHATS, ids=range(len(CHATS)))
def test_chats(llama, fields):
    body = {"messages": MESSAGES, **SHORT, **fields}
    check(llama.post("/v1/chat/completions", body).json(), "completion", "chat.json")
    for options in (None, {"include_usage": True}, {"include_usage": True, "continuous_usage_stats": True}):
        events = llama.events("/v1/chat/completions", {**body, "stream": True, "stream_options": options})
        assert events[-1] == "[DONE]"
        chunks = [json.loads(event) for event in events[:-1]]
        for chunk in chunks:
            check(chunk, "chunk", "chat.json")
        assert len({(chunk["id"], chunk["created"], chunk["model"]) for chunk in chunks}) == 1
        assert any("usage" in chunk for chunk in chunks) == (options is not None)
        first = [chunk for chunk in chunks if chunk["choices"]][: body.get("n", 1)]
        assert all(chunk["choices"][0]["delta"]["role"] == "assistant" for chunk in first)


def test_completions(llama):
    for fields in ({}, {"n": 2, "logprobs": 2}, {"echo": True, "logprobs": 0}, {"best_of": 3}):
        check(llama.post("/v1/completions", {"prompt": "a", **SHORT, **fields}).json(), "text_completion")
    for event in llama.events("/v1/completions", {"prompt": "a", **SHORT, "stream": True, "logprobs": 1})[:-1]:
        check(json.loads(event), "text_completion")


def test_other_routes(llama):
    check(llama.get("/v1/models").json(), "models")
    check(llama.post("/v1/embeddings", {"input": ["a", "b"]}).json(), "embeddings")
    check(llama.post("/v1/embeddings", {"input": "a", "encoding_format": "base64"}).json(), "embeddings")
    check(llama.post("/v1/responses", {"input": "a", "max_output_tokens": 2}).json(), "response")
    check(llama.post("/v1/messages", {"messages": MESSAGES, "max_tokens": 2}).json(), "message")
    for event in llama.events("/v1/responses", {"input": "a", "max_output_tokens": 2, "stream": True}):
        made = json.loads(event)
        assert made["type"].startswith("response.") and isinstance(made["sequence_number"], int)
        if "response" in made:
            check(made["response"], "response")


def test_errors(llama):
    for response in (llama.post("/v1/chat/completions", {}), llama.post("/v1/completions", "x"), llama.get("/nowhere"),
                     llama.get("/v1/completions"), llama.post("/v1/responses", {"input": "a", "model": "x"}),
                     llama.get("/v1/files/file-x"), llama.post("/v1/embeddings", {"input": ""})):
        assert response.status_code >= 400
        check(response.json(), "error", "chat.json")
