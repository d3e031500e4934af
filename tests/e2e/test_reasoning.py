"""Reasoning told apart from the answer, with a scripted model."""

import json

import openai
import pytest

import scripted
from server_process import Server

SCRIPTS = {
    "": "Four.",
    "Think.": "<think>\n2 + 2 < 5 </thin\n</think>\n\nFour.",
    "Endless.": "<think>and so on",
    "Both.": '<think>call</think>\n<tool_call>{"name": "f", "arguments": {}}</tool_call>',
    "Choose.": "<think>yes or no?</think>maybe",
    "Because.": "The answer is A.\nBECAUSE: it is red.",
    "Chain.": "It is red. The answer is A.",
}
# Mentions <think>, which is how the reasoning parser is chosen.
TEMPLATE = scripted.CHATML.replace("{% if false %}", "{% if false %}<think>")


@pytest.fixture(scope="module")
def thinker(tmp_path_factory):
    server = Server(scripted.make(tmp_path_factory.mktemp("think"), SCRIPTS, TEMPLATE))
    yield server
    assert server.stop() == 0


def ask(server, content, **fields):
    response = server.chat(content, temperature=0, **fields)
    assert response.status_code == 200, response.text
    return response.json()


def stream(server, content, **fields):
    body = {"messages": [{"role": "user", "content": content}], "temperature": 0, "stream": True, **fields}
    chunks = [json.loads(event) for event in server.events("/v1/chat/completions", body)[:-1]]
    parts = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
    return {name: "".join(part.get(name, "") for part in parts)
            for name in ("content", "reasoning_content", "reasoning")}


def test_reasoning_is_set_apart(thinker):
    body = ask(thinker, "Think.")
    message = body["choices"][0]["message"]
    assert message["content"] == "Four." and message["reasoning_content"] == "2 + 2 < 5 </thin" == message["reasoning"]
    tokens = body["usage"]["completion_tokens_details"]["reasoning_tokens"]
    assert 15 < tokens < body["usage"]["completion_tokens"] - 5
    assert stream(thinker, "Think.") == {"content": "Four.", "reasoning_content": "2 + 2 < 5 </thin",
                                         "reasoning": "2 + 2 < 5 </thin"}


def test_no_reasoning_and_nothing_else(thinker):
    body = ask(thinker, "Hi")
    assert body["choices"][0]["message"] == {"role": "assistant", "content": "Four.", "refusal": None}
    assert body["usage"]["completion_tokens_details"]["reasoning_tokens"] == 0
    message = ask(thinker, "Endless.")["choices"][0]["message"]
    assert message["content"] == "" and message["reasoning_content"] == "and so on"
    assert stream(thinker, "Endless.")["reasoning_content"] == "and so on"


def test_calls_and_formats_come_after_it(thinker):
    message = ask(thinker, "Both.", tools=[{"type": "function", "function": {"name": "f"}}])["choices"][0]["message"]
    assert message["reasoning_content"] == "call" and message["tool_calls"][0]["function"]["name"] == "f"
    for fields in ({"guided_choice": ["yes", "no"]}, {"guided_regex": "(yes|no)"}):
        message = ask(thinker, "Choose.", **fields)["choices"][0]["message"]
        assert message["reasoning_content"] == "yes or no?" and message["content"] in ("yes", "no")
    message = ask(thinker, "Hi", guided_choice=["Four.", "Five."])["choices"][0]["message"]
    assert message["content"] == "Four." and "reasoning_content" not in message  # or at once


def test_the_official_client_sees_it(thinker):
    client = openai.OpenAI(base_url=thinker.url + "/v1", api_key="none", max_retries=0)
    answer = client.chat.completions.create(model="", messages=[{"role": "user", "content": "Think."}], temperature=0)
    assert answer.choices[0].message.reasoning_content == "2 + 2 < 5 </thin"
    assert answer.usage.completion_tokens_details.reasoning_tokens > 0


@pytest.mark.parametrize("parser, cue, reasoning, content", [
    ("because", "Because.", "it is red.", "The answer is A."),
    ("answer", "Chain.", "It is red.", "The answer is A."),
    ("It is,The", "Chain.", "red.", "answer is A."),
    ("none", "Think.", None, SCRIPTS["Think."]),
])
def test_other_markers(tmp_path, parser, cue, reasoning, content):
    server = Server(scripted.make(tmp_path, SCRIPTS, TEMPLATE), "--reasoning-parser", parser)
    message = ask(server, cue)["choices"][0]["message"]
    assert message.get("reasoning_content") == reasoning and message["content"] == content
    assert server.stop() == 0


def test_a_prompt_that_opens_the_reasoning(tmp_path):
    """The template writes the marker; the script goes on behind it, because it counts from <|answer|> on."""
    opened = TEMPLATE.replace("<|answer|>", "<|answer|><think>\n")
    server = Server(scripted.make(tmp_path, {"": "<think>\nso</think>Four."}, opened))
    message = ask(server, "Hi")["choices"][0]["message"]
    assert message["reasoning_content"] == "so" and message["content"] == "Four."
    message = ask(server, "Hi", guided_choice=["Five"])["choices"][0]["message"]
    assert message["reasoning_content"] == "so" and message["content"] == "Five"
    assert server.stop() == 0


def test_an_end_that_is_a_special_token(tmp_path):
    """No grammar allows special tokens, but this one stands for its text."""
    server = Server(scripted.make(tmp_path, {"": "<think>so</think>Four."}, TEMPLATE, ["<think>", "</think>"]))
    message = ask(server, "Hi", guided_choice=["Five"])["choices"][0]["message"]
    assert message["reasoning_content"] == "so" and message["content"] == "Five"
    assert server.stop() == 0


# Says what it was told of thinking, as Qwen3's template (enable_thinking) and gpt-oss's (reasoning_effort) do.
ASKED = scripted.CHATML.replace(
    "assistant\n", "assistant\n{{ reasoning_effort | default('unsaid') }} "
    "{% if enable_thinking is defined and not enable_thinking %}quickly{% else %}slowly{% endif %}")
WISHES = [
    ({}, "unsaid slowly"), ({"reasoning_effort": "high"}, "high slowly"),
    ({"reasoning_effort": "none"}, "none quickly"),
    ({"reasoning_effort": None}, "unsaid slowly"), ({"reasoning": {"effort": "none"}}, "none quickly"),
    ({"reasoning_effort": "none", "chat_template_kwargs": {"enable_thinking": True}}, "none slowly"),
    ({"chat_template_kwargs": {"enable_thinking": False}}, "unsaid quickly"),
]


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    told = {wish: f"I was told: {wish}" for _, wish in WISHES} | {"low slowly": "I was told: low slowly",
                                                                "medium slowly": "I was told: medium slowly"}
    server = Server(scripted.make(tmp_path_factory.mktemp("asked"), told, ASKED))
    yield server
    assert server.stop() == 0


@pytest.mark.parametrize("fields, told", WISHES)
def test_templates_are_told_how_much_to_think(asked, fields, told):
    assert ask(asked, "Hi", **fields)["choices"][0]["message"]["content"] == f"I was told: {told}"


def test_templates_are_told_on_every_route(asked):
    for effort, told in (("none", "none quickly"), ("low", "low slowly"), (None, "unsaid slowly")):
        body = asked.post("/v1/responses", {"input": "Hi", "reasoning": {"effort": effort}}).json()
        assert body["output"][0]["content"][0]["text"] == f"I was told: {told}"
        assert body["reasoning"]["effort"] == effort
    again = {"input": "And now?", "previous_response_id": body["id"], "reasoning": {"effort": "low"}}
    assert asked.post("/v1/responses", again).json()["output"][0]["content"][0]["text"] == "I was told: low slowly"
    for fields, told in (({"thinking": {"type": "disabled"}}, "none quickly"), ({}, "unsaid slowly"),
                         ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, "medium slowly"),
                         ({"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}}, "low slowly")):
        body = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 100, **fields}
        assert asked.post("/v1/messages", body).json()["content"][0]["text"] == f"I was told: {told}"


@pytest.mark.parametrize("path, body, param", [
    ("/v1/chat/completions", {"reasoning_effort": "very"}, "reasoning_effort"),
    ("/v1/chat/completions", {"reasoning": {"effort": 3}}, "reasoning.effort"),
    ("/v1/responses", {"input": "a", "reasoning": {"effort": "much"}}, "reasoning.effort"),
    ("/v1/messages", {"max_tokens": 1, "thinking": {}}, "thinking.type"),
    ("/v1/messages", {"max_tokens": 1, "thinking": {"type": "deeply"}}, "thinking.type"),
    ("/v1/messages", {"max_tokens": 1, "thinking": {"type": "enabled", "budget_tokens": 0}}, "thinking.budget_tokens"),
])
def test_wrong_wishes_are_refused(asked, path, body, param):
    response = asked.post(path, {"messages": [{"role": "user", "content": "Hi"}], **body})
    assert response.status_code == 400
    assert param in response.json()["error"]["message"]
