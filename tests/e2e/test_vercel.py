"""The Vercel AI SDK over OpenAI's own provider, in both of its APIs, and over the one for compatible servers."""

import pytest

import scripted
from server_process import Server
from test_tools import ARGUMENTS, SCRIPTS

QUESTION = "What is in the picture?"
PERSON = {"name": "Ada", "age": 36}


@pytest.fixture(scope="module")
def talking(tmp_path_factory):
    scripts = {**SCRIPTS, "Person?": '{"name": "Ada", "age": 36}'}
    server = Server(scripted.make(tmp_path_factory.mktemp("vercel"), scripts), "--served-model-name", "tiny")
    yield server
    assert server.stop() == 0


@pytest.fixture(scope="module")
def seen(run_node, talking, llava, picture):
    return run_node("vercel.mjs", talking.url + "/v1", llava.url + "/v1", picture, QUESTION)


@pytest.mark.compatibility("Vercel AI SDK", "over each of its providers: text, streams, tool loops, objects, pictures")
@pytest.mark.parametrize("provider", ["chat", "responses", "compatible"])
def test_a_provider(talking, llava, picture, seen, provider):
    saw = seen[provider]
    assert saw["text"] == saw["streamed"] == saw["turns"] == SCRIPTS[""]
    assert saw["finish"] == "stop"
    assert saw["usage"] == saw["streamedUsage"] and saw["usage"][0] + saw["usage"][1] == saw["usage"][2]
    assert saw["kinds"] == ["start", "start-step", "text-start", "text-delta", "text-end", "finish-step", "finish"]
    assert saw["steps"] == ["tool-calls", "stop"] and saw["called"] == [["get_weather", ARGUMENTS]]
    assert saw["answer"] == saw["streamedAnswer"] == SCRIPTS["seven degrees"]
    assert saw["callKinds"] == ["tool-input-start", "tool-input-delta", "tool-input-end", "tool-call", "tool-result"]
    assert saw["none"] == 0
    assert saw["object"] == saw["partial"] == saw["output"] == PERSON
    assert saw["error"] == [True, 400, "temperature must be between 0 and 2"]
    parts = [{"type": "image_url", "image_url": {"url": picture}}, {"type": "text", "text": QUESTION}]
    raw = llava.chat(parts, temperature=0, max_tokens=16).json()["choices"][0]["message"]["content"]
    assert saw["picture"] == saw["pictureStreamed"] == raw
