"""What clients send that asks for nothing, comes in another spelling or is new: answered, not refused."""

import anthropic
import pytest

from server_process import Server

USER = {"role": "user", "content": "Hi"}
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
RESULT = {"role": "tool", "tool_call_id": "c1", "content": "r"}

CHATS = [
    {"seed": 1.0}, {"seed": -7.0}, {"top_logprobs": 0}, {"logprobs": False, "top_logprobs": 0},
    {"service_tier": "fast"}, {"reasoning_effort": "max"},
    {"messages": [USER, {"role": "assistant", "content": [], "tool_calls": [CALL]}, RESULT]},
    {"messages": [USER, {"role": "assistant", "tool_calls": [{**CALL, "id": None, "type": None}]}, RESULT]},
    {"messages": [USER, {"role": "assistant", "content": [{"type": "output_text", "text": "a"}]}, USER]},
    {"messages": [{**USER, "name": None}]},
]
RESPONSES = [
    {"reasoning": {"effort": "max"}}, {"text": {"verbosity": "low", "format": None}}, {"service_tier": "fast"},
    {"input": [USER, {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
               {"type": "function_call_output", "call_id": "c1", "output": []}]},
]
MESSAGES = [
    {"system": []}, {"mcp_servers": []},
    {"messages": [USER, {"role": "assistant", "content": [{"type": "tool_use", "id": "c1", "name": "f", "input": {}}]},
                  {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": []}]}]},
]
ROWS = [*[("/v1/chat/completions", {"messages": [USER], "max_tokens": 1, **fields}) for fields in CHATS],
        *[("/v1/responses", {"input": "Hi", "max_output_tokens": 1, **fields}) for fields in RESPONSES],
        *[("/v1/messages", {"messages": [USER], "max_tokens": 1, **fields}) for fields in MESSAGES]]


@pytest.mark.parametrize("path, body", ROWS, ids=range(len(ROWS)))
def test_it_is_answered(llama, path, body):
    response = llama.post(path, body)
    assert response.status_code == 200, response.text


WRONG = [
    ([{**USER, "name": 5}], "messages[0].name", "string"),
    ([USER, {"role": "assistant", "content": "a", "reasoning_content": []}], "messages[1].reasoning_content", "string"),
    ([USER, {"role": "assistant", "tool_calls": [CALL]}, {**RESULT, "tool_call_id": 5}], "messages[2].tool_call_id",
     "string"),
    ([USER, {"role": "assistant", "tool_calls": [{**CALL, "id": 5}]}], "messages[1].tool_calls[0].id", "string"),
    ([USER, {"role": "assistant", "tool_calls": [CALL]}, {**RESULT, "tool_call_id": "other"}],
     "messages[2].tool_call_id", "'other' is not found"),
    ([RESULT, USER], "messages[0].role", "preceding message with 'tool_calls'"),
    ([USER, {"role": "assistant", "tool_calls": [{**CALL, "type": "custom"}]}], "messages[1].tool_calls[0].type",
     "function"),
]


@pytest.mark.parametrize("messages, param, words", WRONG, ids=range(len(WRONG)))
def test_the_members_of_a_message_have_types(llama, messages, param, words):
    response = llama.post("/v1/chat/completions", {"messages": messages, "max_tokens": 1})
    assert response.status_code == 400, response.text
    assert response.json()["error"]["param"] == param and words in response.json()["error"]["message"]


@pytest.mark.parametrize("field, value, words", [
    ("seed", 2**64, "at most 9223372036854775808"), ("seed", -(2**64), "at least -9223372036854775808"),
    ("max_tokens", 2**31, "at most 2147483647"), ("max_tokens", 0, "at least 1"), ("n", 200, "between 1 and 128")])
def test_a_number_out_of_range_is_told_which_range(llama, field, value, words):
    response = llama.post("/v1/chat/completions", {"messages": [USER], field: value})
    assert response.status_code == 400 and response.json()["error"]["message"] == f"{field} must be {words}"


def test_details_of_pictures(llava, picture):
    """"original" is how the model's own processor takes it."""
    def ids(content):
        response = llava.post("/tokenize", {"messages": [{"role": "user", "content": content}]})
        assert response.status_code == 200, response.text
        return response.json()["tokens"]

    plain = ids([{"type": "image_url", "image_url": {"url": picture}}])
    assert ids([{"type": "image_url", "image_url": {"url": picture, "detail": "original"}}]) == plain
    assert ids([{"type": "input_image", "image_url": picture, "detail": "original"}]) == plain
    item = {"role": "user", "content": [{"type": "input_image", "image_url": picture, "detail": "original"}]}
    assert llava.post("/v1/responses", {"input": [item], "max_output_tokens": 1}).status_code == 200


def test_probes_of_other_servers(llama):
    assert llama.get("/ping").status_code == 200
    version = llama.get("/version").json()["version"]
    assert version == llama.get("/openapi.json").json()["info"]["version"]
    server = Server("llama_gqa", "--api-key", "secret")
    assert [server.get(path).status_code for path in ("/ping", "/health", "/version")] == [200, 200, 401]
    assert server.stop() == 0


@pytest.mark.compatibility("anthropic", "models: pages")
def test_anthropics_list_of_models_comes_in_pages():
    names = [f"name-{i}" for i in range(5)]
    server = Server("llama_gqa", *[word for name in names for word in ("--served-model-name", name)])
    client = anthropic.Anthropic(base_url=server.url, api_key="none", max_retries=0)
    assert [model.id for model in client.models.list(limit=2)] == names  # page by page
    first = client.models.list(limit=2)
    assert [model.id for model in first.data] == [first.first_id, first.last_id] == names[:2] and first.has_more
    before = client.models.list(limit=2, before_id=names[4])
    assert [model.id for model in before.data] == names[2:4] and before.has_more
    assert [model.id for model in client.models.list(limit=2, before_id=names[1]).data] == names[:1]
    for wrong in ({"limit": 0}, {"limit": 1001}, {"after_id": "x"}, {"before_id": "x"},
                  {"after_id": names[0], "before_id": names[4]}):
        with pytest.raises(anthropic.BadRequestError) as error:
            client.models.list(**wrong)
        assert next(iter(wrong)) in str(error.value) or "before_id" in str(error.value)
    with pytest.raises(anthropic.NotFoundError) as error:
        client.models.retrieve("nowhere")
    assert error.value.body["error"]["type"] == "not_found_error"
    whole = server.get("/v1/models", params={"limit": 1}).json()  # OpenAI's list has no pages
    assert [model["id"] for model in whole["data"]] == names and whole["has_more"] is False
    assert server.stop() == 0
