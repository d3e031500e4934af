"""Every parameter that the official clients' calls take: used, accepted without effect, or refused by its name. A
client that learns a new one fails here until somebody has thought about it."""

import inspect

import anthropic
import openai
import pytest

USER = [{"role": "user", "content": "hi"}]
TOOL = {"type": "function", "function": {"name": "f"}}
NOT_SENT = {"extra_headers", "extra_query", "extra_body", "timeout"}
HEADERS = {"workspace_id"}  # of Anthropic's client

# (value that is taken, or None) and {value that is refused: the field that is named}, for each parameter.
SHARED = {
    "model": ("tiny", []), "metadata": ({"a": "b"}, [({"a": 1}, "metadata.a")]), "user": ("u", [(5, "user")]),
    "temperature": (0.5, [(3, "temperature")]), "top_p": (0.5, [(2, "top_p")]), "stream": (False, [("x", "stream")]),
    "service_tier": ("auto", [("gold", "service_tier")]), "store": (False, [("x", "store")]),
    "parallel_tool_calls": (False, [(1, "parallel_tool_calls")]),
    "safety_identifier": ("s", [(5, "safety_identifier")]),
    "prompt_cache_key": ("k", [(5, "prompt_cache_key")]),
    "prompt_cache_retention": ("24h", [(5, "prompt_cache_retention")]),
    "prompt_cache_options": ({"mode": "implicit", "ttl": "30m"}, [({"prewarm": True}, "prompt_cache_options.prewarm")]),
    "moderation": (None, [({"model": "omni-moderation-latest"}, "moderation")]),
    "top_logprobs": (None, [(21, "top_logprobs")]), "stream_options": (None, [({}, "stream_options")]),
}
SAMPLING = {
    "frequency_penalty": (1, [(3, "frequency_penalty")]), "presence_penalty": (-1, [(3, "presence_penalty")]),
    "logit_bias": ({"5": 1}, [({"a": 1}, "logit_bias.a")]), "max_tokens": (2, [(-1, "max_tokens")]),
    "n": (2, [(0, "n")]),
    "seed": (1, [("x", "seed")]), "stop": (["a"], [(["a"] * 5, "stop")]),
}
CHAT = {
    **SHARED, **SAMPLING, "messages": (USER, [([], "messages")]),
    "audio": (None, [({"voice": "a", "format": "wav"}, "audio")]),
    "function_call": ("none", [("x", "function_call")]),
    "functions": ([{"name": "f"}], [([{"name": ""}], "functions[0].name")]),
    "logprobs": (True, [(1, "logprobs")]), "max_completion_tokens": (2, [(0, "max_completion_tokens")]),
    "modalities": (["text"], [(["audio"], "modalities[0]")]),
    "prediction": ({"type": "content", "content": "a"}, [(5, "prediction")]),
    "reasoning_effort": ("low", [("x", "reasoning_effort")]),
    "response_format": ({"type": "text"}, [({}, "response_format.type")]),
    "tools": ([TOOL], [([{}], "tools[0].type")]), "tool_choice": ("none", [("required", "tool_choice")]),
    "verbosity": ("low", [("x", "verbosity")]), "web_search_options": (None, [({}, "web_search_options")]),
}
COMPLETIONS = {
    **SHARED, **SAMPLING, "prompt": ("a", [([], "prompt")]), "best_of": (2, [(0, "best_of")]),
    "echo": (True, [(1, "echo")]),
    "logprobs": (2, [(21, "logprobs")]), "suffix": (None, [("b", "suffix")]),
}
RESPONSES = {
    **SHARED, "input": ("a", [([], "input")]), "access_programs": ({}, [(5, "access_programs")]),
    "background": (False, [(True, "background")]), "background_options": ({}, [(5, "background_options")]),
    "context_management": (None, [([{"type": "compaction"}], "context_management")]),
    "conversation": (None, [("conv_1", "conversation")]), "image": ({"context_compression": "auto"}, [(5, "image")]),
    "include": (["message.output_text.logprobs"], [(["x"], "include[0]")]),
    "instructions": ("b", [(5, "instructions")]),
    "max_output_tokens": (2, [(0, "max_output_tokens")]), "max_tool_calls": (2, [(0, "max_tool_calls")]),
    "previous_response_id": (None, [(5, "previous_response_id")]), "prompt": (None, [({"id": "pmpt_1"}, "prompt")]),
    "reasoning": ({"effort": "low"}, [({"effort": "x"}, "reasoning.effort")]),
    "text": ({"verbosity": "low"}, [(5, "text")]),
    "tools": ([{"type": "function", "name": "f", "parameters": None}], [([{"type": "web_search"}], "tools[0].type")]),
    "tool_choice": ("none", [("required", "tool_choice")]), "truncation": ("auto", [("x", "truncation")]),
}
EMBEDDINGS = {
    "input": ("a", [([], "input")]), "model": SHARED["model"], "user": SHARED["user"],
    "encoding_format": ("float", [("x", "encoding_format")]),
    "dimensions": (None, [(5, "dimensions")]),
}
MESSAGES = {
    "messages": (USER, [([], "messages")]), "max_tokens": (2, [(0, "max_tokens")]), "model": SHARED["model"],
    "cache_control": ({"type": "ephemeral"}, [(5, "cache_control")]), "container": (None, [("c", "container")]),
    "diagnostics": (None, [({}, "diagnostics")]), "inference_geo": ("eu", [(5, "inference_geo")]),
    "metadata": ({"user_id": "u"}, [(5, "metadata")]),
    "output_config": ({"effort": "low"}, [({"effort": "x"}, "output_config.effort")]),
    "service_tier": ("auto", [("x", "service_tier")]), "speed": ("standard", [("x", "speed")]),
    "stop_sequences": (["a"], [(5, "stop_sequences")]), "stream": (False, [("x", "stream")]),
    "system": ("b", [(5, "system")]),
    "temperature": (0.5, [(2, "temperature")]), "thinking": ({"type": "disabled"}, [({}, "thinking.type")]),
    "tool_choice": ({"type": "none"}, [({"type": "any"}, "tool_choice")]), "top_k": (5, [("x", "top_k")]),
    "top_p": (0.5, [(2, "top_p")]),
    "tools": ([{"name": "f", "input_schema": {"type": "object"}}], [([{}], "tools[0]")]),
    "user_profile_id": ("u", [(5, "user_profile_id")]),
}

OPENAI, ANTHROPIC = openai.OpenAI(api_key="x"), anthropic.Anthropic(api_key="x")
CALLS = {
    "/v1/chat/completions": (OPENAI.chat.completions.create, CHAT, {"messages": USER, "max_completion_tokens": 1}),
    "/v1/completions": (OPENAI.completions.create, COMPLETIONS, {"prompt": "a", "max_tokens": 1}),
    "/v1/responses": (OPENAI.responses.create, RESPONSES, {"input": "a", "max_output_tokens": 1}),
    "/v1/embeddings": (OPENAI.embeddings.create, EMBEDDINGS, {"input": "a"}),
    "/v1/messages": (ANTHROPIC.messages.create, MESSAGES, {"messages": USER, "max_tokens": 1}),
}


@pytest.mark.parametrize("path", CALLS)
def test_every_parameter_is_known(llama, path):
    create, rows, _ = CALLS[path]
    taken = set(inspect.signature(create).parameters) - NOT_SENT - HEADERS
    assert taken <= set(rows), "the client has learned new ones"
    body = llama.get("/openapi.json").json()["paths"][path]["post"]["requestBody"]
    schema = body["content"]["application/json"]["schema"]
    assert taken <= set(schema["properties"])


@pytest.mark.parametrize("path, name", [(path, name) for path, (create, rows, _) in CALLS.items() for name in rows
                                        if name in inspect.signature(create).parameters])
def test_a_parameter_is_taken_or_refused_by_name(llama, path, name):
    _, rows, least = CALLS[path]
    good, wrong = rows[name]
    for value in [None] * (name not in least) + [good] * (good is not None):
        response = llama.post(path, {**least, name: value})
        assert response.status_code == 200, response.text
    for value, param in wrong:
        response = llama.post(path, {**least, name: value})
        assert response.status_code == 400, response.text
        error = response.json()["error"]
        assert error.get("param", param) == param, error
        assert "param" in error or param in error["message"], error  # Anthropic's have none
