"""Members of the objects inside a request, as the official clients' types have them today: used, accepted where they
ask for nothing, or refused by their path."""

import json

import pytest

USER = {"role": "user", "content": "hi"}
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
TOOL = {"name": "f", "parameters": {"type": "object", "properties": {}}}
DOCUMENT = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "a"}}
CHAT, RESPONSES, MESSAGES = "/v1/chat/completions", "/v1/responses", "/v1/messages"
LEAST = {CHAT: {"messages": [USER], "max_tokens": 1}, RESPONSES: {"input": "hi", "max_output_tokens": 1},
         MESSAGES: {"messages": [USER], "max_tokens": 1}}


def tool(path, **members):
    if path == CHAT:
        return {"tools": [{"type": "function", "function": {**TOOL, **members}}], "tool_choice": "none"}
    if path == RESPONSES:
        return {"tools": [{"type": "function", **TOOL, **members}], "tool_choice": "none"}
    return {"tools": [{"name": "f", "input_schema": {"type": "object"}, **members}], "tool_choice": {"type": "none"}}


def message(content, path=CHAT):
    return {"input" if path == RESPONSES else "messages": [{"role": "user", "content": content}]}


def schema_name(path):
    return "input_schema" if path == MESSAGES else "parameters"


def allowed(tools):
    return {**tool(CHAT), "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": tools}}}


def block(kind, **members):
    return {"messages": [USER, {"role": "assistant", "content": [{"type": kind, **members}]}, USER]}


def item(kind, **members):
    return {"input": [{"type": kind, **members}, USER]}


def said(**members):
    return item("message", role="assistant", content=[{"type": "output_text", "text": "a", **members}])


def answered(**members):
    return {"messages": [USER, {"role": "assistant", "content": "a", **members}, USER]}


CALL_ITEM = {"call_id": "c", "name": "f", "arguments": "{}"}

# Known and not used: of the right type all the same.
UNUSED = [
    (MESSAGES, block("thinking", thinking="a", signature=5), "messages[1].content[0].signature"),
    (MESSAGES, block("redacted_thinking", data=[]), "messages[1].content[0].data"),
    (MESSAGES, block("tool_use", id="c", name="f", input={}, caller="direct"), "messages[1].content[0].caller"),
    (MESSAGES, block("tool_use", id="c", name="f", input={}, toolset_name=1), "messages[1].content[0].toolset_name"),
    (MESSAGES, block("text", text="a", citations={}), "messages[1].content[0].citations"),
    (MESSAGES, message([{"type": "image", "source": {}, "transformations": {"oversized_image": "error"}}], MESSAGES),
     "messages[0].content[0].transformations.oversized_image"),
    (RESPONSES, item("reasoning", summary="a"), "input[0].summary"),
    (RESPONSES, item("reasoning", summary=["a"]), "input[0].summary[0]"),
    (RESPONSES, item("reasoning", summary=[{"type": "summary_text"}]), "input[0].summary[0].text"),
    (RESPONSES, item("reasoning", summary=[], encrypted_content={}), "input[0].encrypted_content"),
    (RESPONSES, item("function_call", **CALL_ITEM, namespace=1), "input[0].namespace"),
    (RESPONSES, item("function_call", **CALL_ITEM, caller="x"), "input[0].caller"),
    (RESPONSES, said(annotations={}), "input[0].content[0].annotations"),
    (RESPONSES, said(annotations=[1]), "input[0].content[0].annotations[0]"),
    (RESPONSES, said(logprobs="a"), "input[0].content[0].logprobs"),
    (CHAT, answered(refusal=5), "messages[1].refusal"), (CHAT, answered(annotations="a"), "messages[1].annotations"),
    *[(path, tool(path, input_examples=5), f"tools[0].{'function.' if path == CHAT else ''}input_examples")
      for path in (CHAT, RESPONSES, MESSAGES)],
]

REFUSED = [
    *UNUSED,
    (CHAT, {"messages": [USER, {"role": "assistant", "content": "a", "audio": {"id": "x"}}]}, "messages[1].audio"),
    (CHAT, {"messages": [USER, {"role": "assistant", "tool_calls": [
        {**CALL, "function": {"name": "f", "arguments": 5}}]}]}, "messages[1].tool_calls[0].function.arguments"),
    (CHAT, {"messages": [{"role": "function", "content": "a"}]}, "messages[0].name"),
    (CHAT, {"prediction": {}}, "prediction.type"), (CHAT, {"prediction": {"type": "x"}}, "prediction.type"),
    (CHAT, {"prediction": {"type": "content"}}, "prediction.content"),
    (CHAT, {"prediction": {"type": "content", "content": 5}}, "prediction.content"),
    (CHAT, {"prediction": {"type": "content", "content": []}}, "prediction.content"),
    (CHAT, {"prediction": {"type": "content", "content": [5]}}, "prediction.content[0]"),
    (CHAT, {"prediction": {"type": "content", "content": [{"type": "text"}]}}, "prediction.content[0].text"),
    (CHAT, message([{"type": "input_image", "image_url": "x", "detail": 5}]), "messages[0].content[0].detail"),
    *[(path, message([{**part, "prompt_cache_breakpoint": {"mode": "x"}}], path),
       f"{next(iter(LEAST[path]))}[0].content[0].prompt_cache_breakpoint.mode")
      for path, part in ((CHAT, {"type": "text", "text": "a"}), (RESPONSES, {"type": "input_text", "text": "a"}))],
    (CHAT, {"messages": [USER, {"role": "assistant", "content": [{"type": "refusal"}]}]},
     "messages[1].content[0].refusal"),
    (CHAT, {"mm_processor_kwargs": {"do_sample_frames": 5}}, "mm_processor_kwargs.do_sample_frames"),
    (CHAT, {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {
        "$ref": "#/$defs/a", "$defs": {"a": {"type": "x"}}}}}}, "response_format.json_schema.schema.$defs.a.type"),
    (CHAT, {"metadata": {"a" * 65: "b"}}, "metadata"),
    (CHAT, {"prompt_cache_options": {"mode": "x"}}, "prompt_cache_options.mode"),
    (CHAT, allowed([]), "tool_choice.allowed_tools.tools"),
    (CHAT, {"response_format": {"type": "json_object", "schema": 5}}, "response_format.schema"),
    (RESPONSES, {"reasoning": {"context": "x"}}, "reasoning.context"),
    (RESPONSES, {"reasoning": {"mode": "pro"}}, "reasoning.mode"),
    (RESPONSES, {"prompt_cache_options": {"ttl": "1m"}}, "prompt_cache_options.ttl"),
    (RESPONSES, {"input": [{**USER, "phase": "x"}]}, "input[0].phase"),
    (RESPONSES, {"input": [{**USER, "status": "x"}]}, "input[0].status"),
    (RESPONSES, {"input": [{"type": "reasoning", "content": [{"type": "reasoning_text"}]}, USER]},
     "input[0].content[0].text"),
    (RESPONSES, {"input": [{"role": "assistant", "content": [{"type": "refusal"}]}, USER]},
     "input[0].content[0].refusal"),
    ("/v1/embeddings", {"input": [""]}, "input[0]"),
    (MESSAGES, {"cache_control": {"type": "x"}}, "cache_control.type"),
    (MESSAGES, {"cache_control": {"type": "ephemeral", "ttl": "2h"}}, "cache_control.ttl"),
    (MESSAGES, {"metadata": {"user_id": 5}}, "metadata.user_id"),
    (MESSAGES, {"compaction": {"type": "compact"}}, "compaction"), (MESSAGES, {"thread": {"type": "create"}}, "thread"),
    (MESSAGES, {"thinking": {"type": "enabled"}}, "thinking.budget_tokens"),
    (MESSAGES, {"thinking": {"type": "enabled", "budget_tokens": None}}, "thinking.budget_tokens"),
    *[(MESSAGES, message([block]), "messages[0].content[0]." + name)
      for block, name in (
          ({**DOCUMENT, "citations": 5}, "citations"), ({**DOCUMENT, "citations": {"enabled": 5}}, "citations.enabled"),
          ({"type": "text", "text": "a", "citations": 5}, "citations"),
          ({**DOCUMENT, "citations": {"enabled": True}}, "citations.enabled"),
          ({"type": "image", "source": {"type": "base64", "media_type": "x/y", "data": ""}}, "source.media_type"))],
    (MESSAGES, {"messages": [{"role": "user", "content": [{"type": "text", "text": "a", "cache_control": {}}]}]},
     "messages[0].content[0].cache_control.type"),
    *[(path, tool(path, **members), f"tools[0].{'function.' if path == CHAT else ''}{name}")
      for path in LEAST for members, name in (
          ({"async": True}, "async"), ({"defer_loading": "x"}, "defer_loading"), ({"strict": "x"}, "strict"),
          ({"allowed_callers": ["programmatic"]}, "allowed_callers"), ({"allowed_callers": 5}, "allowed_callers"))],
    *[(path, tool(path, **{schema_name(path): {"type": "object", name: value}}),
       f"tools[0].{'function.' if path == CHAT else ''}{schema_name(path)}.{name}{index}")
      for path in LEAST for name, value, index in (
          ("properties", [], ""), ("required", "a", ""), ("required", [5], "[0]"))],
    (MESSAGES, tool(MESSAGES, cache_control={"type": "x"}), "tools[0].cache_control.type"),
]
TAKEN = [
    (MESSAGES, block("thinking", thinking="a", signature="s")), (MESSAGES, block("redacted_thinking", data="d")),
    (MESSAGES, message([{"type": "text", "text": "a", "transformations": {"oversized_image": "downsize"}}], MESSAGES)),
    (RESPONSES, item("reasoning", summary=[{"type": "summary_text", "text": "a"}], encrypted_content="e")),
    (RESPONSES, said(annotations=[{"type": "url_citation"}], logprobs=[])),
    (RESPONSES, item("reasoning", summary=[], encrypted_content=None)),
    (CHAT, answered(refusal=None, annotations=[])),
    (CHAT, {"prediction": {"type": "content", "content": [{"type": "text", "text": "a"}]}}),
    (CHAT, {"metadata": {"a" * 64: "b"}}), (CHAT, {"messages": [{**USER, "audio": None}]}),
    (CHAT, {"messages": [USER, {"role": "assistant", "tool_calls": [
        {**CALL, "function": {"name": "f", "arguments": {"a": 1}}}]},
                         {"role": "tool", "tool_call_id": "c", "content": "r"}]}),
    (CHAT, {"response_format": {"type": "json_object", "schema": {"enum": ["a"]}}}),
    (RESPONSES, {"reasoning": {"context": "auto", "mode": "standard"}, "service_tier": "ultrafast"}),
    (RESPONSES, {"input": [{**USER, "phase": "final_answer", "status": "completed"}]}),
    (MESSAGES, {"cache_control": {"type": "ephemeral", "ttl": "1h"}, "metadata": {"user_id": None}}),
    (MESSAGES, {"thinking": {"type": "adaptive"}}),
    (MESSAGES, message([{**DOCUMENT, "citations": {"enabled": None}}, {"type": "text", "text": "a", "citations": []}])),
    *[(path, tool(path, **{schema_name(path): {"type": "object", "properties": None, "required": None}}))
      for path in LEAST],
    (MESSAGES, {"context_management": {"edits": []}, "fallbacks": "default", "billing_policy": {}, "thread": None,
                "compaction": None}),
    *[(path, tool(path, **{"async": False, "defer_loading": False, "allowed_callers": ["direct"], "output_schema": {}}))
      for path in (RESPONSES, MESSAGES)],
]


@pytest.mark.parametrize("path, fields, param", REFUSED, ids=lambda value: json.dumps(value)[:70])
def test_a_wrong_member_is_refused_by_its_path(llama, path, fields, param):
    response = llama.post(path, {**LEAST.get(path, {}), **fields})
    assert response.status_code == 400, response.text
    error = response.json()["error"]
    if path == MESSAGES:
        assert param in error["message"]
    else:
        assert error["param"] == param, error


@pytest.mark.parametrize("path, fields", TAKEN, ids=lambda value: json.dumps(value)[:70])
def test_a_member_that_asks_for_nothing_is_taken(llama, path, fields):
    response = llama.post(path, {**LEAST[path], **fields})
    assert response.status_code == 200, response.text


def test_a_json_object_follows_the_schema_that_comes_with_it(llama):
    """llama-server's spelling."""
    response = llama.post(CHAT, {"messages": [USER], "max_tokens": 40, "temperature": 1, "response_format": {
        "type": "json_object", "schema": {"type": "object", "properties": {"a": {"enum": ["b"]}}, "required": ["a"],
                                          "additionalProperties": False}}})
    assert json.loads(response.json()["choices"][0]["message"]["content"]) == {"a": "b"}
