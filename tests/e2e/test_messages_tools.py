"""Tools, thinking and formats on /v1/messages, with a scripted model and Anthropic's official client."""

import json

import anthropic
import pydantic
import pytest

import scripted
from conftest import blank_png
from server_process import Server
from test_reasoning import TEMPLATE
from test_tools import ARGUMENTS, PARAMETERS, SCRIPTS

TOOLS = [{"name": "get_weather", "description": "Tells it.", "input_schema": PARAMETERS},
         {"name": "get_time", "input_schema": {"type": "object", "additionalProperties": False}}]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    scripts = {**SCRIPTS, "Think.": "<think>\nwhich?\n</think>\n" + SCRIPTS["Weather?"],
               "Person?": '{"name": "Ada", "age": 36}',
               "Odd?": '<tool_call>{"name": "get_time", "arguments": [1]}</tool_call>'}
    made = Server(scripted.make(tmp_path_factory.mktemp("messages"), scripts, TEMPLATE))
    yield made
    assert made.stop() == 0


@pytest.fixture(scope="module")
def client(server):
    return anthropic.Anthropic(base_url=server.url, api_key="none", max_retries=0)


@pytest.fixture(scope="module")
def forced(tmp_path_factory):
    """Without thinking, which may come before a forced call."""
    made = Server(scripted.make(tmp_path_factory.mktemp("forced"), {"": "Hello"}))
    yield anthropic.Anthropic(base_url=made.url, api_key="none", max_retries=0)
    assert made.stop() == 0


def ask(client, content, **fields):
    messages = content if isinstance(content, list) else [{"role": "user", "content": content}]
    return client.messages.create(**{"model": "", "max_tokens": 400, "messages": messages, "tools": TOOLS,
                                     "extra_body": {"temperature": 0}, **fields})


@pytest.mark.compatibility("anthropic", "tools, tool_choice, disable_parallel_tool_use")
def test_calls_are_blocks(client):
    message = ask(client, "Weather?")
    text, call = message.content
    assert text.text == "Let me look." and message.stop_reason == "tool_use" and message.stop_sequence is None
    assert call.type == "tool_use" and call.id.startswith("toolu_") and call.name == "get_weather"
    assert call.input == ARGUMENTS
    first, second = ask(client, "Both?").content
    assert (first.name, second.name) == ("get_weather", "get_time") and first.id != second.id and second.input == {}
    alone = ask(client, "Both?", tool_choice={"type": "auto", "disable_parallel_tool_use": True})
    assert [block.name for block in alone.content] == ["get_weather"]
    none = ask(client, "Both?", tool_choice={"type": "none"})
    assert none.content[0].text == SCRIPTS["Both?"] and none.stop_reason == "end_turn"
    assert ask(client, "Hi").content[0].text == "Hello <there>."
    cut = ask(client, "Both?", max_tokens=60)
    assert cut.stop_reason == "max_tokens" and list(cut.content[0].input) == ["INVALID_JSON"]
    assert ask(client, "Odd?").content[0].input == {"INVALID_JSON": "[1]"}  # an input is an object


def test_forced_calls(forced):
    for choice, name in (({"type": "any", "disable_parallel_tool_use": True}, None),
                         ({"type": "tool", "name": "get_time"}, "get_time")):
        message = ask(forced, "Hi", tool_choice=choice)
        assert [block.type for block in message.content] == ["tool_use"] and message.stop_reason == "tool_use"
        assert name in (None, message.content[0].name)


@pytest.mark.compatibility("anthropic", "streams with tools and thinking")
def test_the_events_of_calls_and_thinking(client):
    with client.messages.stream(model="", max_tokens=400, messages=[{"role": "user", "content": "Think."}], tools=TOOLS,
                                extra_body={"temperature": 0}) as stream:
        events = list(stream)
        final = stream.get_final_message()
    order = [event.type if event.type != "content_block_delta" else event.delta.type for event in events
             if event.type in ("message_start", "content_block_start", "content_block_delta", "content_block_stop",
                               "message_delta", "message_stop")]
    assert [kind for i, kind in enumerate(order) if i == 0 or order[i - 1] != kind] == [
        "message_start", "content_block_start", "thinking_delta", "signature_delta", "content_block_stop",
        "content_block_start", "text_delta", "content_block_stop",
        "content_block_start", "input_json_delta", "content_block_stop", "message_delta", "message_stop"]
    assert [(event.index, event.content_block.type) for event in events if event.type == "content_block_start"] == [
        (0, "thinking"), (1, "text"), (2, "tool_use")]
    thinking, text, call = final.content
    assert thinking.thinking == "which?" and thinking.signature and text.text == "Let me look."
    assert call.input == ARGUMENTS and final.stop_reason == "tool_use"
    assert sum(event.type == "input_json" for event in events) > 5
    assert 5 < final.usage.output_tokens_details.thinking_tokens < final.usage.output_tokens
    whole = ask(client, "Think.")
    assert [block.type for block in whole.content] == ["thinking", "text", "tool_use"]
    assert whole.content[0].thinking == "which?" and whole.usage.output_tokens == final.usage.output_tokens


@pytest.mark.compatibility("anthropic", "tool results, the tool runner")
def test_results_go_back(client, server):
    question = {"role": "user", "content": "Think."}
    first = ask(client, [question])
    result = {"type": "tool_result", "tool_use_id": first.content[2].id,
              "content": [{"type": "text", "text": "seven degrees"}]}
    turns = [question, {"role": "assistant", "content": [block.to_dict() for block in first.content]},
             {"role": "user", "content": [result]}]
    final = ask(client, turns)
    assert final.content[0].text == "It is 7 °C." and final.stop_reason == "end_turn"
    count = client.messages.count_tokens(model="", messages=turns, tools=TOOLS).input_tokens
    assert count == final.usage.input_tokens + final.usage.cache_read_input_tokens
    assert count > client.messages.count_tokens(model="", messages=turns).input_tokens + 100  # the tools are told

    # The runner would have the server keep the conversation (`thread`): it is told to send all of it.
    with pytest.raises(anthropic.BadRequestError) as error:
        client.beta.messages.create(model="", max_tokens=1, messages=[question], thread={"type": "create"})
    details = error.value.body["error"]["details"]
    assert details == {"error_code": "thread_unsupported_request", "unsupported": ["thread"]}

    @anthropic.beta_tool
    def get_weather(city: str, days: list[int]) -> str:
        """Tells it."""
        assert (city, days) == ("Köln", [1, 2])
        return "seven degrees"

    runner = client.beta.messages.tool_runner(model="", max_tokens=400, tools=[get_weather], messages=[question],
                                              extra_body={"temperature": 0})
    assert runner.until_done().content[0].text == "It is 7 °C."


def test_a_result_may_be_a_picture(llava):
    client = anthropic.Anthropic(base_url=llava.url, api_key="none", max_retries=0)
    picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png",
                                           "data": blank_png(40, 30).split(",")[1]}}
    messages = [{"role": "user", "content": "Look."},
                {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "camera", "input": {}}]},
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": [picture]},
                                             {"type": "text", "text": "What is there?"}]}]
    with_picture = client.messages.create(model="llava", max_tokens=3, messages=messages)
    messages[2]["content"][0]["content"] = ""
    without = client.messages.create(model="llava", max_tokens=3, messages=messages)
    def tokens(message):
        return message.usage.input_tokens + message.usage.cache_read_input_tokens

    assert tokens(with_picture) > tokens(without) + 8


class Person(pydantic.BaseModel):
    name: str
    age: int


@pytest.mark.compatibility("anthropic", "parse (output_config.format)")
def test_the_clients_parser(client):
    question = [{"role": "user", "content": "Person?"}]
    parsed = client.messages.parse(model="", max_tokens=100, messages=question, output_format=Person,
                                   extra_body={"temperature": 0})
    assert parsed.parsed_output == Person(name="Ada", age=36)


def tool(**fields):
    return {"tools": [{"name": "f", "input_schema": {"type": "object"}, **fields}]}


WRONG = [
    ({"tools": {}}, "tools"), ({"tools": [1]}, "tools[0]"), (tool(type="web_search_20250305"), "tools[0].type"),
    (tool(name="no spaces"), "tools[0].name"), (tool(input_schema=None), "tools[0].input_schema"),
    (tool(input_schema=5), "tools[0].input_schema"),
    (tool(input_schema={"type": "string"}), "tools[0].input_schema.type"),
    ({**tool(), "tool_choice": "any"}, "tool_choice"), ({**tool(), "tool_choice": {}}, "tool_choice.type"),
    ({**tool(), "tool_choice": {"type": "some"}}, "tool_choice.type"),
    ({**tool(), "tool_choice": {"type": "tool"}}, "tool_choice.name"),
    ({**tool(), "tool_choice": {"type": "tool", "name": "g"}}, "tool_choice.name"),
    ({**tool(), "tool_choice": {"type": "auto", "disable_parallel_tool_use": 1}},
     "tool_choice.disable_parallel_tool_use"),
    ({"tool_choice": {"type": "any"}}, "tool_choice"),
    ({**tool(input_schema={"properties": {"a": {"not": {}}}}), "tool_choice": {"type": "any"}},
     "tools[0].input_schema.properties.a.not"),
    ({"output_config": {"format": {"type": "xml"}}}, "output_config.format.type"),
    ({"output_config": {"format": {"type": "json_schema"}}}, "output_config.format.schema"),
    ({"messages": [{"role": "user", "content": "x"},
                   {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {}}]}]},
     "messages"),
    ({"messages": [{"role": "user", "content": [{"type": "tool_result", "content": "x"}]}]},
     "messages[0].content[0].tool_use_id"),
]


@pytest.mark.parametrize("fields, field", WRONG, ids=lambda value: json.dumps(value)[:70])
def test_wrong_requests_name_the_field(server, fields, field):
    response = server.post("/v1/messages", {"messages": [{"role": "user", "content": "x"}], "max_tokens": 5, **fields})
    assert response.status_code == 400, response.text
    error = response.json()["error"]
    assert error["type"] == "invalid_request_error" and field in error["message"], error
