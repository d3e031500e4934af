"""Tools over HTTP: what a scripted model says, and what masks make a random one say."""

import json

import jsonschema
import openai
import pydantic
import pytest

import scripted
from server_process import Server

CALL = '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Köln", "days": [1, 2]}}\n</tool_call>'
OTHER = '<tool_call>{"name": "get_time", "arguments": {}}</tool_call>'
SCRIPTS = {
    "": "Hello <there>.",
    "Weather?": "Let me look.\n" + CALL,
    "Both?": CALL + "\n" + OTHER,
    "Broken?": '<tool_call>{"name": broken</tool_call> <tool_ca',
    "seven degrees": "It is 7 °C.",
    "Wild?": '<tool_call>{"name": "get_weather", "arguments": {"town": 1}}</tool_call>',
}
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string", "maxLength": 6},
                                               "days": {"type": "array",
                                                        "items": {"type": "integer", "minimum": 1, "maximum": 7},
                                                        "maxItems": 2}},
              "required": ["city"], "additionalProperties": False}
TOOLS = [{"type": "function",
          "function": {"name": "get_weather", "description": "Tells it.", "parameters": PARAMETERS}},
         {"type": "function", "function": {"name": "get_time"}}]
ARGUMENTS = {"city": "Köln", "days": [1, 2]}


@pytest.fixture(scope="module")
def hermes(tmp_path_factory):
    server = Server(scripted.make(tmp_path_factory.mktemp("hermes"), SCRIPTS))
    yield server
    assert server.stop() == 0


def ask(server, content, **fields):
    response = server.chat(content, **{"tools": TOOLS, "temperature": 0, **fields})
    assert response.status_code == 200, response.text
    return response.json()["choices"][0]


def deltas(server, content, **fields):
    body = {"messages": [{"role": "user", "content": content}], "tools": TOOLS, "temperature": 0, "stream": True,
            **fields}
    events = server.events("/v1/chat/completions", body)
    assert events[-1] == "[DONE]"
    choices = [choice for event in events[:-1] for choice in json.loads(event)["choices"]]
    return [choice["delta"] for choice in choices], choices[-1]["finish_reason"]


def check_call(call, name, arguments):
    assert set(call) == {"id", "type", "function"} and call["type"] == "function" and call["id"].startswith("call_")
    assert call["function"]["name"] == name and json.loads(call["function"]["arguments"]) == arguments


def test_a_call_and_the_text_before_it(hermes):
    choice = ask(hermes, "Weather?")
    assert choice["finish_reason"] == "tool_calls" and choice["message"]["content"] == "Let me look."
    (call,) = choice["message"]["tool_calls"]
    check_call(call, "get_weather", ARGUMENTS)


def test_several_calls_have_null_content(hermes):
    choice = ask(hermes, "Both?")
    assert choice["message"]["content"] is None and choice["finish_reason"] == "tool_calls"
    first, second = choice["message"]["tool_calls"]
    check_call(first, "get_weather", ARGUMENTS)
    check_call(second, "get_time", {})
    assert first["id"] != second["id"]
    assert len(ask(hermes, "Both?", parallel_tool_calls=False)["message"]["tool_calls"]) == 1


def test_streamed_calls(hermes):
    for content, texts in (("Weather?", ["get_weather"]), ("Both?", ["get_weather", "get_time"])):
        parts, finish = deltas(hermes, content)
        assert finish == "tool_calls"
        calls = {}
        for entry in (entry for delta in parts for entry in delta.get("tool_calls", [])):
            if entry["index"] not in calls:
                assert set(entry) == {"index", "id", "type", "function"} and entry["index"] == len(calls)
                assert set(entry["function"]) == {"name", "arguments"}
                calls[entry["index"]] = [entry["function"]["name"], entry["function"]["arguments"]]
            else:
                assert set(entry) == {"index", "function"} and set(entry["function"]) == {"arguments"}
                calls[entry["index"]][1] += entry["function"]["arguments"]
        assert [call[0] for call in calls.values()] == texts
        assert json.loads(calls[0][1]) == ARGUMENTS
        assert not any(value is None for delta in parts for value in delta.values())
        assert all(parts[:-1]) and not parts[-1]  # only the end brings nothing
        assert sum(1 for delta in parts if "tool_calls" in delta) > 5  # arguments came piece by piece
        text = "".join(delta.get("content", "") for delta in parts)
        assert text == ("Let me look." if content == "Weather?" else "")


def test_text_is_no_call(hermes):
    assert ask(hermes, "Hi")["message"] == {"role": "assistant", "content": "Hello <there>.", "refusal": None}
    broken = ask(hermes, "Broken?")
    assert broken["message"]["content"] == SCRIPTS["Broken?"] and broken["finish_reason"] == "stop"
    parts, finish = deltas(hermes, "Broken?")
    assert "".join(delta.get("content", "") for delta in parts) == SCRIPTS["Broken?"] and finish == "stop"
    untouched = ask(hermes, "Both?", tool_choice="none")
    assert untouched["message"]["content"] == SCRIPTS["Both?"] and "tool_calls" not in untouched["message"]
    assert hermes.chat("Both?", temperature=0).json()["choices"][0]["message"]["content"] == SCRIPTS["Both?"]


def test_a_cut_call_says_length(hermes):
    choice = ask(hermes, "Both?", max_tokens=60)
    assert choice["finish_reason"] == "length"
    assert choice["message"]["tool_calls"][0]["function"]["arguments"].startswith('{"city"')


def test_a_call_cut_before_its_name_is_no_content(hermes):
    begun = len('Let me look.\n<tool_call>\n{"na')  # a byte is a token
    choice = ask(hermes, "Weather?", max_tokens=begun)
    assert choice["message"] == {"role": "assistant", "content": "Let me look.", "refusal": None}
    assert choice["finish_reason"] == "length"
    parts, finish = deltas(hermes, "Weather?", max_tokens=begun)
    assert "".join(part.get("content", "") for part in parts) == "Let me look." and finish == "length"


def test_the_older_functions(hermes):
    fields = {"tools": None, "functions": [tool["function"] for tool in TOOLS]}
    choice = ask(hermes, "Both?", **fields)
    assert choice["finish_reason"] == "function_call"
    assert choice["message"]["function_call"]["name"] == "get_weather"
    assert json.loads(choice["message"]["function_call"]["arguments"]) == ARGUMENTS
    parts, finish = deltas(hermes, "Both?", **fields)
    entries = [delta["function_call"] for delta in parts if "function_call" in delta]
    assert entries[0]["name"] == "get_weather" and all(set(entry) == {"arguments"} for entry in entries[1:])
    assert json.loads("".join(entry["arguments"] for entry in entries)) == ARGUMENTS and finish == "function_call"


def test_the_official_client_runs_a_tool(hermes):
    client = openai.OpenAI(base_url=hermes.url + "/v1", api_key="none", max_retries=0)
    messages = [{"role": "user", "content": "Weather?"}]
    answer = client.chat.completions.create(model="", messages=messages, tools=TOOLS, temperature=0).choices[0].message
    messages.append(answer.model_dump(exclude_none=True))
    for call in answer.tool_calls:
        assert json.loads(call.function.arguments) == ARGUMENTS
        messages.append({"role": "tool", "tool_call_id": call.id,
                         "content": [{"type": "text", "text": "seven degrees"}]})
    final = client.chat.completions.create(model="", messages=messages, tools=TOOLS, temperature=0)
    assert final.choices[0].message.content == "It is 7 °C." and final.choices[0].finish_reason == "stop"


class get_weather(pydantic.BaseModel):
    city: str
    days: list[int]


def test_the_official_stream_helper_parses_arguments(hermes):
    client = openai.OpenAI(base_url=hermes.url + "/v1", api_key="none", max_retries=0)
    with client.chat.completions.stream(model="", messages=[{"role": "user", "content": "Weather?"}], temperature=0,
                                        tools=[openai.pydantic_function_tool(get_weather)]) as stream:
        done = [event for event in stream if event.type == "tool_calls.function.arguments.done"]
        (call,) = stream.get_final_completion().choices[0].message.tool_calls
    assert len(done) == 1 and done[0].parsed_arguments == call.function.parsed_arguments == get_weather(**ARGUMENTS)


def test_strict_tools_are_followed_inside_of_calls(hermes):
    strict = [{"type": "function", "function": {**TOOLS[0]["function"], "strict": True}}]
    assert json.loads(ask(hermes, "Wild?")["message"]["tool_calls"][0]["function"]["arguments"]) == {"town": 1}
    call = ask(hermes, "Wild?", tools=strict, max_tokens=400)["message"]["tool_calls"][0]
    assert call["function"]["arguments"].lstrip("{ \n\t").startswith('"city"')
    assert ask(hermes, "Hi", tools=strict)["message"]["content"] == "Hello <there>."


def valid_calls(message):
    for call in message["tool_calls"]:
        schema = {"get_weather": PARAMETERS,
                  "get_time": {"type": "object", "maxProperties": 0}}[call["function"]["name"]]
        jsonschema.validate(json.loads(call["function"]["arguments"]), schema)
    return len(message["tool_calls"])


# What a forced call begins with, white space aside.
FORCED = {"hermes": '<tool_call>{"name":"get_', "llama3_json": '{"name":"get_', "mistral": '[TOOL_CALLS][{"name":"get_',
          "mistral_args": "[TOOL_CALLS]get_", "json": '[{"name":"get_', "react": "Action:get_", "pythonic": "[get_"}


@pytest.mark.parametrize("style", FORCED)
def test_forced_calls_of_a_random_model_are_valid(style, tmp_path):
    """The scripted model wants to end at once; where it may not, every token is as likely as any other."""
    server = Server(scripted.make(tmp_path, {"": ""}), "--tool-call-parser", style)
    fields = {"tools": TOOLS, "temperature": 1.5, "n": 8, "seed": 4, "max_tokens": 150, "parallel_tool_calls": False,
              "logprobs": True}
    for choice_field, names in (("required", None),
                                ({"type": "function", "function": {"name": "get_time"}}, {"get_time"})):
        body = server.chat("x", tool_choice=choice_field, **fields).json()
        finished = [choice for choice in body["choices"] if choice["finish_reason"] == "tool_calls"]
        assert len(finished) >= 4, body
        for choice in finished:
            text = b"".join(bytes(entry["bytes"]) for entry in choice["logprobs"]["content"]).decode()
            assert "".join(text.split()).startswith(FORCED[style]), text
            assert valid_calls(choice["message"]) == 1 and choice["message"]["content"] is None
            assert names is None or choice["message"]["tool_calls"][0]["function"]["name"] in names
    assert server.stop() == 0


def test_special_markers_and_react(tmp_path):
    call = {"name": "get_weather", "arguments": ARGUMENTS}
    text = "[TOOL_CALLS]" + json.dumps([call, call])
    mistral = Server(scripted.make(tmp_path / "mistral", {"": text}, scripted.PLAIN), "--tool-call-parser", "mistral")
    for fields in ({}, {"tool_choice": "required"}):
        choice = ask(mistral, "Weather?", **fields)
        assert choice["message"]["content"] is None and len(choice["message"]["tool_calls"]) == 2
        check_call(choice["message"]["tool_calls"][1], "get_weather", ARGUMENTS)
    with_tools = mistral.chat("x", tools=TOOLS, max_tokens=1).json()["usage"]["prompt_tokens"]
    # told in the system message
    assert with_tools > mistral.chat("x", max_tokens=1).json()["usage"]["prompt_tokens"] + 100
    assert mistral.stop() == 0

    text = 'Thought: look.\nAction: get_weather\nAction Input: {"city": "Köln", "days": [1, 2]}\nObservation: invented'
    scripts = {"": text, "Observation: seven degrees": "Thought: I know.\nFinal Answer: 7"}
    react = Server(scripted.make(tmp_path / "react", scripts, scripted.PLAIN), "--tool-call-parser", "react")
    choice = ask(react, "Weather?")
    assert choice["message"]["content"] == "Thought: look." and choice["finish_reason"] == "tool_calls"
    check_call(choice["message"]["tool_calls"][0], "get_weather", ARGUMENTS)
    messages = [{"role": "user", "content": "Weather?"}, choice["message"],
                {"role": "tool", "tool_call_id": choice["message"]["tool_calls"][0]["id"], "content": "seven degrees"}]
    body = react.post("/v1/chat/completions", {"messages": messages, "tools": TOOLS, "temperature": 0}).json()
    assert body["choices"][0]["message"]["content"] == "Thought: I know.\nFinal Answer: 7"
    assert react.stop() == 0


@pytest.mark.parametrize("style, written", [
    ("pythonic", '[f(a=1, b="x", c=None), g()]'),
    ("mistral", '[{"name":"f","arguments":{"a":1,"b":"x","c":null}}, {"name":"g","arguments":{}}]'),
    ("mistral_args", 'f[ARGS]{"a":1,"b":"x","c":null}'),
    ("llama3_json", '{"name":"f","parameters":{"a":1,"b":"x","c":null}}; {"name":"g","parameters":{}}'),
])
def test_earlier_calls_are_told_as_the_style_writes_them(tmp_path, style, written):
    server = Server(scripted.make(tmp_path, {"": "no", written: "seen"}, scripted.PLAIN), "--tool-call-parser", style)
    calls = [{"id": name, "type": "function", "function": {"name": name, "arguments": arguments}}
             for name, arguments in (("f", '{"a": 1, "b": "x", "c": null}'), ("g", "{}"))]
    messages = [{"role": "user", "content": "x"}, {"role": "assistant", "tool_calls": calls},
                {"role": "tool", "tool_call_id": "f", "content": "y"}]
    answer = server.post("/v1/chat/completions", {"messages": messages, "temperature": 0}).json()
    assert answer["choices"][0]["message"]["content"] == "seen"
    assert server.stop() == 0


def function(**fields):
    return {"tools": [{"type": "function", "function": {"name": "f", **fields}}]}


WRONG = [
    ({"tools": {}}, "tools"), ({"tools": [1]}, "tools[0]"), ({"tools": [{}]}, "tools[0].type"),
    ({"tools": [{"type": "retrieval"}]}, "tools[0].type"), ({"tools": [{"type": "function"}]}, "tools[0].function"),
    (function(name="no spaces"), "tools[0].function.name"), (function(name=None), "tools[0].function.name"),
    (function(description=1), "tools[0].function.description"), (function(strict=1), "tools[0].function.strict"),
    (function(parameters=[]), "tools[0].function.parameters"),
    (function(parameters={"type": "string"}), "tools[0].function.parameters.type"),
    ({"tools": TOOLS + TOOLS}, "tools[2].function.name"), ({"tools": TOOLS * 65}, "tools"),
    ({"tools": TOOLS, "tool_choice": "maybe"}, "tool_choice"),
    ({"tools": TOOLS, "tool_choice": {}}, "tool_choice.type"),
    ({"tools": TOOLS, "tool_choice": {"type": "function"}}, "tool_choice.function"),
    ({"tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": "other"}}}, "tool_choice.function.name"),
    ({"tool_choice": "required"}, "tool_choice"),
    ({"tools": TOOLS, "parallel_tool_calls": "no"}, "parallel_tool_calls"),
    ({**function(parameters={"properties": {"a": {"not": {}}}}), "tool_choice": "required"},
     "tools[0].function.parameters.properties.a.not"),
    ({"functions": [{"name": "f", "parameters": 1}]}, "functions[0].parameters"),
    ({"functions": [{"name": "f"}], "tools": TOOLS}, "functions"),
    ({"functions": [{"name": "f"}], "function_call": {"name": "g"}}, "function_call.name"),
    ({"function_call": {"name": "g"}}, "function_call"),
]


@pytest.mark.parametrize("fields, param", WRONG, ids=lambda value: json.dumps(value)[:70])
def test_wrong_tools_name_the_field(llama, fields, param):
    response = llama.chat("x", **fields)
    assert response.status_code == 400, response.text
    assert response.json()["error"]["param"] == param
