"""Tools and structured output over the libraries that sit on OpenAI's API: LangChain and LiteLLM."""

import json

import langchain_core.messages
import langchain_core.tools
import langchain_openai
import litellm
import pydantic
import pytest

import scripted
from server_process import Server
from test_tools import ARGUMENTS, PARAMETERS, SCRIPTS, TOOLS

CALL = {"name": "get_weather", "args": ARGUMENTS}


class Person(pydantic.BaseModel):
    name: str
    age: int


ADA = Person(name="Ada", age=36)


@langchain_core.tools.tool
def get_weather(city: str, days: list[int] = []) -> str:  # noqa: B006
    """Tells it."""
    return "seven degrees"


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    person = '{"name": "Ada", "age": 36}'
    scripts = {**SCRIPTS, "Person?": person,
               "Call with it.": '<tool_call>{"name": "Person", "arguments": %s}</tool_call>' % person}
    server = Server(scripted.make(tmp_path_factory.mktemp("client_tools"), scripts), "--served-model-name", "tiny")
    yield server.url + "/v1"
    assert server.stop() == 0


@pytest.mark.compatibility("langchain-openai", "tools and structured output, over chats and responses")
@pytest.mark.parametrize("responses", [False, True])
def test_langchain(url, responses):
    model = langchain_openai.ChatOpenAI(model="tiny", base_url=url, api_key="none", temperature=0, max_retries=0,
                                        use_responses_api=responses)
    assert model.invoke("Hi").text == SCRIPTS[""]
    assert "".join(chunk.text for chunk in model.stream("Hi")) == SCRIPTS[""]
    tooled = model.bind_tools([get_weather])
    answer = tooled.invoke("Weather?")
    (call,) = answer.tool_calls
    assert {name: call[name] for name in CALL} == CALL
    total = None
    for chunk in tooled.stream("Weather?"):
        total = chunk if total is None else total + chunk
    assert [{name: call[name] for name in CALL} for call in total.tool_calls] == [CALL]
    assert total.usage_metadata == answer.usage_metadata or not responses
    result = get_weather.invoke(call)
    assert isinstance(result, langchain_core.messages.ToolMessage)
    assert tooled.invoke([("user", "Weather?"), answer, result]).text == SCRIPTS["seven degrees"]
    assert model.with_structured_output(Person).invoke("Person?") == ADA
    assert model.with_structured_output(Person, method="function_calling").invoke("Call with it.") == ADA
    if not responses:
        assert model.with_structured_output(Person, method="json_mode").invoke("Person?") == ADA


@pytest.mark.compatibility("litellm", "tools, structured output, responses")
def test_litellm(url):
    fixed = {"model": "openai/tiny", "api_base": url, "api_key": "none", "temperature": 0, "num_retries": 0}

    def user(text):
        return [{"role": "user", "content": text}]

    message = litellm.completion(messages=user("Weather?"), tools=TOOLS, **fixed).choices[0].message
    (call,) = message.tool_calls
    assert call.function.name == "get_weather" and json.loads(call.function.arguments) == ARGUMENTS
    chunks = list(litellm.completion(messages=user("Weather?"), tools=TOOLS, stream=True,
                                     stream_options={"include_usage": True}, **fixed))
    whole = litellm.stream_chunk_builder(chunks)
    assert json.loads(whole.choices[0].message.tool_calls[0].function.arguments) == ARGUMENTS
    assert whole.choices[0].finish_reason == "tool_calls" and whole.usage.completion_tokens > 0
    again = [*user("Weather?"), message.model_dump(), {"role": "tool", "tool_call_id": call.id,
                                                       "content": "seven degrees"}]
    assert litellm.completion(messages=again, tools=TOOLS, **fixed).choices[0].message.content == "It is 7 °C."
    text = litellm.completion(messages=user("Person?"), response_format=Person, **fixed).choices[0].message.content
    assert Person.model_validate_json(text) == ADA
    tools = [{"type": "function", "name": "get_weather", "parameters": PARAMETERS}]
    response = litellm.responses(input="Weather?", tools=tools, **fixed)
    assert json.loads(response.output[-1].arguments) == ARGUMENTS


def test_a_prompt_that_is_too_long_is_known_as_such(llama):
    """What agents trim their history by: the code, and the words that LiteLLM looks for."""
    long = [{"role": "user", "content": "hello " * 400}]
    with pytest.raises(litellm.ContextWindowExceededError):
        litellm.completion(model="openai/tiny", api_base=llama.url + "/v1", api_key="none", messages=long,
                           num_retries=0)
    for path, body in (("/v1/chat/completions", {"messages": long}),
                       ("/v1/chat/completions", {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 9999}),
                       ("/v1/completions", {"prompt": "hello " * 400}), ("/v1/responses", {"input": "hello " * 400}),
                       ("/v1/embeddings", {"input": "hello " * 400})):
        response = llama.post(path, body)
        assert response.status_code == 400, response.text
        assert response.json()["error"]["code"] == "context_length_exceeded", response.text
