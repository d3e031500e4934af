"""Tools, reasoning and formats on /v1/responses, with a scripted model and the official client."""

import json

import openai
import pydantic
import pytest
from openai.lib.responses_tool_runner import RegisteredFunction, ResponsesToolRunner

import scripted
from conftest import blank_png
from server_process import Server
from test_reasoning import TEMPLATE
from test_tools import ARGUMENTS, PARAMETERS, SCRIPTS

THINK = "<think>\nwhich?\n</think>\n"
TOOLS = [{"type": "function", "name": "get_weather", "description": "Tells it.", "parameters": PARAMETERS},
         {"type": "function", "name": "get_time"}]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    scripts = {**SCRIPTS, "Think.": THINK + SCRIPTS["Weather?"], "Person?": '{"name": "Ada", "age": 36}'}
    made = Server(scripted.make(tmp_path_factory.mktemp("responses"), scripts, TEMPLATE))
    yield made
    assert made.stop() == 0


@pytest.fixture(scope="module")
def client(server):
    return openai.OpenAI(base_url=server.url + "/v1", api_key="none", max_retries=0)


@pytest.fixture(scope="module")
def forced(tmp_path_factory):
    """Without reasoning, which may come before a forced call."""
    made = Server(scripted.make(tmp_path_factory.mktemp("forced"), {"": "Hello"}))
    yield openai.OpenAI(base_url=made.url + "/v1", api_key="none", max_retries=0)
    assert made.stop() == 0


def ask(client, question, **fields):
    return client.responses.create(**{"model": "", "input": question, "tools": TOOLS, "temperature": 0, **fields})


def kinds(response):
    return [item.type for item in response.output]


@pytest.mark.compatibility("openai (Python)", "responses: tools, parallel calls, tool_choice")
def test_calls_are_items(client):
    response = ask(client, "Weather?")
    assert kinds(response) == ["message", "function_call"] and response.status == "completed"
    assert response.output_text == "Let me look." and response.parallel_tool_calls
    call = response.output[1]
    assert call.name == "get_weather" and json.loads(call.arguments) == ARGUMENTS and call.status == "completed"
    assert call.id.startswith("fc_") and call.call_id.startswith("call_")
    assert [tool.name for tool in response.tools] == ["get_weather", "get_time"] and response.tools[0].strict is True

    first, second = ask(client, "Both?").output
    assert (first.name, second.name) == ("get_weather", "get_time") and first.call_id != second.call_id
    assert kinds(ask(client, "Both?", parallel_tool_calls=False)) == ["function_call"]
    none = ask(client, "Both?", tool_choice="none")
    assert kinds(none) == ["message"] and none.output_text == SCRIPTS["Both?"] and none.tool_choice == "none"
    assert kinds(ask(client, "Hi")) == ["message"]
    cut = ask(client, "Both?", max_output_tokens=60)
    assert cut.status == "incomplete" and cut.output[-1].status == "incomplete"
    assert cut.output[0].arguments.startswith('{"city"')


def test_forced_calls(forced):
    one = {"type": "function", "name": "get_time"}
    for choice, name in (("required", None), (one, "get_time"),
                         ({"type": "allowed_tools", "mode": "required", "tools": [one]}, "get_time")):
        response = ask(forced, "Hi", tool_choice=choice, parallel_tool_calls=False)
        assert kinds(response) == ["function_call"] and name in (None, response.output[0].name)
        assert isinstance(json.loads(response.output[0].arguments), dict)
    some = ask(forced, "Hi", tool_choice={"type": "allowed_tools", "mode": "auto", "tools": [one]})
    assert some.output_text == "Hello"


def test_the_events_of_calls_and_reasoning(client):
    events = list(ask(client, "Think.", stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    order = [event.type.removeprefix("response.") for event in events]
    assert [kind for i, kind in enumerate(order) if i == 0 or order[i - 1] != kind] == [
        "created", "in_progress",
        "output_item.added", "content_part.added", "reasoning_text.delta", "reasoning_text.done", "content_part.done",
        "output_item.done",
        "output_item.added", "content_part.added", "output_text.delta", "output_text.done", "content_part.done",
        "output_item.done",
        "output_item.added", "function_call_arguments.delta", "function_call_arguments.done", "output_item.done",
        "completed"]
    added = [event.item for event in events if event.type == "response.output_item.added"]
    done = [event.item for event in events if event.type == "response.output_item.done"]
    assert [item.type for item in added] == ["reasoning", "message", "function_call"] == [item.type for item in done]
    assert [item.id for item in added] == [item.id for item in done]
    assert added[2].arguments == "" and added[2].status == "in_progress" and added[2].call_id == done[2].call_id
    assert done[0].content[0].text == "which?" and done[0].summary == []
    pieces = [event for event in events if event.type == "response.function_call_arguments.delta"]
    assert len(pieces) > 5 and {event.output_index for event in pieces} == {2}
    assert json.loads("".join(event.delta for event in pieces)) == ARGUMENTS
    final = events[-1].response
    assert [item.to_dict() for item in final.output] == [item.to_dict() for item in done]
    details = final.usage.output_tokens_details
    assert 5 < details.reasoning_tokens < final.usage.output_tokens - 20


def test_tools_are_strict_unless_they_say_no(tmp_path):
    """As OpenAI has it on this route: without `strict` arguments follow the schema, where it can be enforced."""
    call = '<tool_call>\n{"name": "get", "arguments": {"city": 5, "other": 1}}\n</tool_call>'
    server = Server(scripted.make(tmp_path, {"": call}))
    client = openai.OpenAI(base_url=server.url + "/v1", api_key="none", max_retries=0)
    schema = {"type": "object", "properties": {"city": {"enum": ["Rome"]}}, "required": ["city"],
              "additionalProperties": False}
    hard = {"type": "object", "properties": {"city": {}}, "not": {"required": ["a"]}}  # not enforced here

    def arguments(parameters, **fields):
        tool = {"type": "function", "name": "get", "parameters": parameters, **fields}
        events = list(client.responses.create(model="", input="Hi", tools=[tool], temperature=0, stream=True))
        made = events[-1].response
        assert {event.response.tools[0].strict for event in (events[0], events[-1])} == {made.tools[0].strict}
        return json.loads(made.output[0].arguments), made.tools[0].strict

    for fields in ({}, {"strict": None}, {"strict": True}):
        assert arguments(schema, **fields) == ({"city": "Rome"}, True)
    loose = {"city": 5, "other": 1}
    assert arguments(schema, strict=False) == (loose, False)
    assert arguments(hard) == (loose, False) == arguments(hard, strict=False)
    with pytest.raises(openai.BadRequestError) as error:
        arguments(hard, strict=True)
    assert error.value.param == "tools[0].parameters.not"
    chat = client.chat.completions.create(model="", messages=[{"role": "user", "content": "Hi"}], temperature=0, tools=[
        {"type": "function", "function": {"name": "get", "parameters": schema}}])
    assert json.loads(chat.choices[0].message.tool_calls[0].function.arguments) == loose  # there the default is false
    assert server.stop() == 0


class get_weather(pydantic.BaseModel):
    city: str
    days: list[int]


class Person(pydantic.BaseModel):
    name: str
    age: int


@pytest.mark.compatibility("openai (Python)", "responses: parse, the stream reader with tools and reasoning")
def test_the_clients_parsers(client, forced):
    tools = [openai.pydantic_function_tool(get_weather)]
    parsed = client.responses.parse(model="", input="Weather?", tools=tools, temperature=0)
    assert parsed.output[1].parsed_arguments == get_weather(**ARGUMENTS)
    with client.responses.stream(model="", input="Think.", tools=tools, temperature=0) as stream:
        snapshots = [event.snapshot for event in stream if event.type == "response.function_call_arguments.delta"]
        final = stream.get_final_response()
    assert json.loads(snapshots[-1]) == ARGUMENTS and final.output[2].parsed_arguments == get_weather(**ARGUMENTS)
    person = client.responses.parse(model="", input="Person?", text_format=Person, temperature=0)
    assert person.output_parsed == Person(name="Ada", age=36)
    person = forced.responses.parse(model="", input="Hi", text_format=Person, temperature=1, max_output_tokens=4000,
                                    extra_body={"seed": 3})  # the script does not fit: masks make it
    assert isinstance(person.output_parsed, Person)


def test_the_schema_holds_beside_tools_and_reasoning(client):
    schema = {"type": "object", "properties": {"a": {"type": "boolean"}}, "required": ["a"],
              "additionalProperties": False}
    text = {"format": {"type": "json_schema", "name": "x", "schema": schema, "strict": True}}
    response = ask(client, "Think.", text=text, tools=[])
    assert response.output[0].content[0].text == "which?"
    assert json.loads(response.output_text).keys() == {"a"}


@pytest.mark.compatibility("openai (Python)", "responses: previous_response_id with tool results")
def test_results_go_on_from_a_response(client, server):
    first = ask(client, "Think.")
    result = {"type": "function_call_output", "call_id": first.output[2].call_id, "output": "seven degrees"}
    second = ask(client, [result], previous_response_id=first.id)
    assert second.output_text == "It is 7 °C." and second.status == "completed"
    turn = {"role": "assistant", "content": "Let me look.", "tool_calls": [
        {"id": "x", "type": "function", "function": {"name": "get_weather", "arguments": first.output[2].arguments}}]}
    chat = {"messages": [{"role": "user", "content": "Think."}, turn,
                         {"role": "tool", "tool_call_id": "x", "content": "seven degrees"}],
            "tools": [{"type": "function", "function": {k: v for k, v in tool.items() if k != "type"}}
                      for tool in TOOLS]}
    tokens = server.post("/v1/chat/completions", {**chat, "max_tokens": 1}).json()["usage"]["prompt_tokens"]
    assert second.usage.input_tokens == tokens
    # The same from the client's own memory: items as they came, parts in the output.
    items = [{"role": "user", "content": "Think."}, *[item.to_dict() for item in first.output],
             {**result, "output": [{"type": "input_text", "text": "seven degrees"}]}]
    assert ask(client, items).usage.input_tokens == tokens
    with pytest.raises(openai.BadRequestError) as error:
        ask(client, [result, {**result, "call_id": "other"}], previous_response_id=first.id)
    assert error.value.param == "input[1].call_id" and "No tool call found" in str(error.value)
    kept = client.responses.retrieve(first.id)
    assert kinds(kept) == ["reasoning", "message", "function_call"]
    assert client.responses.input_items.list(second.id).data[0].output == "seven degrees"


@pytest.mark.compatibility("openai (Python)", "responses: the tool runner, in streams too")
def test_the_clients_tool_runner(client):
    asked = []

    def weather(arguments):
        asked.append(arguments)
        return "seven degrees"

    tool = {**TOOLS[0], "strict": True, "parameters": {**PARAMETERS, "additionalProperties": False}}
    runner = ResponsesToolRunner(functions=[RegisteredFunction(tool, weather)])
    for mode in ({}, {"stream": True}, {"stream": True, "eager": True}):
        last = runner.run(client, {"model": "", "input": "Think.", "temperature": 0}, max_steps=3, **mode)
        assert last.output_text == "It is 7 °C." and asked.pop() == ARGUMENTS and not asked


@pytest.mark.compatibility("openai (Node)", "responses with tools, their streams, runTools")
def test_nodes_client(run_node, server):
    seen = run_node("tools.mjs", server.url + "/v1")
    assert seen["items"] == seen["final"] == ["message", "function_call"]
    assert seen["arguments"] == seen["streamed"] == ARGUMENTS
    assert seen["answer"] == seen["runner"] == seen["streamingRunner"] == "It is 7 °C."


def test_a_result_may_be_a_picture(llava):
    items = [{"role": "user", "content": "Look."},
             {"type": "function_call", "call_id": "c", "name": "camera", "arguments": "{}"},
             {"type": "function_call_output", "call_id": "c",
              "output": [{"type": "input_image", "image_url": blank_png(40, 30)}, {"type": "input_text", "text": "?"}]}]
    client = openai.OpenAI(base_url=llava.url + "/v1", api_key="none", max_retries=0)
    response = client.responses.create(model="llava", input=items, max_output_tokens=3)
    assert response.usage.input_tokens_details.image_tokens > 0


def test_earlier_reasoning_reaches_the_template(tmp_path):
    shown = TEMPLATE.replace("{{ message.content or '' }}",
                             "[{{ message.reasoning_content or '' }}]{{ message.content or '' }}")
    server = Server(scripted.make(tmp_path, {"": "none", "assistant\n[so]A": "seen"},
                                  shown.replace("<|im_end|>\n{% endfor %}<|im_start|>assistant\n", "{% endfor %}")))
    items = [{"role": "user", "content": "Q"},
             {"type": "reasoning", "id": "rs_1", "summary": [], "content": [{"type": "reasoning_text", "text": "so"}]},
             {"role": "assistant", "content": "A"}]
    answer = server.post("/v1/responses", {"input": items, "temperature": 0}).json()
    assert answer["output"][0]["content"][0]["text"] == "seen"
    assert server.stop() == 0


WRONG = [
    ({"tools": {}}, "tools"), ({"tools": [1]}, "tools[0]"), ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
    ({"tools": [{"type": "function"}]}, "tools[0].name"),
    ({"tools": [{"type": "function", "name": "no spaces"}]}, "tools[0].name"),
    ({"tools": [{"type": "function", "name": "f", "parameters": []}]}, "tools[0].parameters"),
    ({"tools": TOOLS, "tool_choice": "maybe"}, "tool_choice"),
    ({"tools": TOOLS, "tool_choice": {}}, "tool_choice.type"),
    ({"tools": TOOLS, "tool_choice": {"type": "function"}}, "tool_choice.name"),
    ({"tools": TOOLS, "tool_choice": {"type": "function", "name": "other"}}, "tool_choice.name"),
    ({"tools": TOOLS, "tool_choice": {"type": "allowed_tools"}}, "tool_choice.mode"),
    ({"tools": TOOLS, "tool_choice": {"type": "allowed_tools", "mode": "auto"}}, "tool_choice.tools"),
    ({"tools": TOOLS, "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"name": "g"}]}},
     "tool_choice.tools[0]"),
    ({"tool_choice": "required"}, "tool_choice"), ({"parallel_tool_calls": "no"}, "parallel_tool_calls"),
    ({"tools": [{"type": "function", "name": "f", "parameters": {"properties": {"a": {"not": {}}}}}],
      "tool_choice": "required"}, "tools[0].parameters.properties.a.not"),
    ({"input": [{"type": "reasoning", "content": "x"}]}, "input[0].content"),
    ({"input": [{"type": "reasoning", "content": [{}]}]}, "input[0].content[0].text"),
    ({"input": [{"type": "reasoning", "summary": []}]}, "input"),
    ({"input": [{"type": "function_call_output", "output": "x"}]}, "input[0].call_id"),
    ({"input": [{"type": "function_call_output", "call_id": "x"}]}, "input[0].output"),
    ({"input": [{"type": "function_call_output", "call_id": "x", "output": "a"}]}, "input[0].call_id"),
    ({"input": [{"type": "function_call_output", "call_id": "x", "output": [{"type": "sound"}]}]},
     "input[0].output[0].type"),
]


@pytest.mark.parametrize("fields, param", WRONG, ids=lambda value: json.dumps(value)[:70])
def test_wrong_requests_name_the_field(llama, fields, param):
    response = llama.post("/v1/responses", {"input": "x", **fields})
    assert response.status_code == 400, response.text
    assert response.json()["error"]["param"] == param
