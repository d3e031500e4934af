"""Wrong requests: the status and the field that is named, on every route."""

import json

import pytest

CHAT = "/v1/chat/completions"
COMPLETION = "/v1/completions"
MESSAGES = [{"role": "user", "content": "hi"}]


def chat(**fields):
    return CHAT, {"messages": MESSAGES, **fields}


def content(value):
    return CHAT, {"messages": [{"role": "user", "content": value}]}


def completion(**fields):
    return COMPLETION, {"prompt": "a", **fields}


# (path, body), status, param
ROWS = [
    ((CHAT, ""), 400, None),
    ((CHAT, "not json"), 400, None),
    ((CHAT, "[1]"), 400, None),
    ((CHAT, '{"messages":[}'), 400, None),
    ((CHAT, b'{"a":"\xff"}'), 400, "a"),
    ((CHAT, '{"messages":[{"role":"user","content":"a\\ud800"}]}'), 400, "messages[0].content"),
    ((CHAT, '{"messages":[{"role":"user","content":[{"type":"text","text":"\\udc00"}]}]}'), 400,
     "messages[0].content[0].text"),
    (("/v1/responses", '{"input":"\\ud800\\ud800"}'), 400, "input"),
    ((CHAT, "[" * 101 + "]" * 101), 400, None),
    ((CHAT, "[" * 200000), 400, None),
    ((CHAT, '{"messages":[{"role":"user","content":"a"}],"temperature":1e999}'), 400, "temperature"),
    ((CHAT, '{"messages":[{"role":"user","content":"a"}],"temperature":NaN}'), 400, "temperature"),
    ((CHAT, {}), 400, "messages"),
    ((CHAT, {"messages": []}), 400, "messages"),
    ((CHAT, {"messages": {}}), 400, "messages"),
    ((CHAT, {"messages": ["a"]}), 400, "messages[0]"),
    ((CHAT, {"messages": MESSAGES * 4097}), 400, "messages"),
    ((CHAT, {"messages": [{"role": "robot", "content": "a"}]}), 400, "messages[0].role"),
    ((CHAT, {"messages": MESSAGES + [{"role": "user"}]}), 400, "messages[1].content"),
    ((CHAT, {"messages": MESSAGES + [{"role": "tool", "content": "a"}]}), 400, "messages[1].tool_call_id"),
    ((CHAT, {"messages": MESSAGES + [{"role": "tool", "tool_call_id": "a", "content": "a"}]}), 400, "messages[1].role"),
    (content(5), 400, "messages[0].content"),
    (content([]), 400, "messages[0].content"),
    (content([5]), 400, "messages[0].content[0]"),
    (content([{"type": "text"}]), 400, "messages[0].content[0].text"),
    (content([{"type": "text", "text": 5}]), 400, "messages[0].content[0].text"),
    (content([{"type": "sound"}]), 400, "messages[0].content[0].type"),
    (content([{"type": "video_url", "video_url": {"url": "x"}}]), 400, "messages[0].content[0].video_url.url"),
    (content([{"type": "image_url"}]), 400, "messages[0].content[0].image_url"),
    (content([{"type": "image_url", "image_url": {"url": None}}]), 400, "messages[0].content[0].image_url.url"),
    (chat(model=5), 400, "model"),
    (chat(model="other"), 404, "model"),
    (chat(temperature="a"), 400, "temperature"),
    (chat(temperature=-1), 400, "temperature"),
    (chat(temperature=2.5), 400, "temperature"),
    (chat(temperature=[]), 400, "temperature"),
    (chat(temperature=True), 400, "temperature"),
    (chat(top_p=-0.1), 400, "top_p"),
    (chat(top_p=1.1), 400, "top_p"),
    (chat(top_k=-5), 400, "top_k"),
    (chat(top_k=0.5), 400, "top_k"),
    (chat(min_p=2), 400, "min_p"),
    (chat(repetition_penalty=0), 400, "repetition_penalty"),
    (chat(repetition_penalty=-1), 400, "repetition_penalty"),
    (chat(repetition_penalty=1e-300), 400, "repetition_penalty"),
    (chat(presence_penalty=2.1), 400, "presence_penalty"),
    (chat(frequency_penalty="x"), 400, "frequency_penalty"),
    (chat(max_tokens=0), 400, "max_tokens"),
    (chat(max_tokens=-5), 400, "max_tokens"),
    (chat(max_tokens=1.5), 400, "max_tokens"),
    (chat(max_tokens=10**9), 400, "max_tokens"),
    (chat(max_tokens=10**30), 400, "max_tokens"),
    (chat(max_completion_tokens="1"), 400, "max_completion_tokens"),
    (chat(max_completion_tokens=10**9), 400, "max_completion_tokens"),
    (chat(max_completion_tokens=10**9, max_tokens=1), 400, "max_completion_tokens"),
    (chat(min_tokens=-1), 400, "min_tokens"),
    (chat(min_tokens=5, max_tokens=4), 400, "min_tokens"),
    (chat(n=0), 400, "n"),
    (chat(n=129), 400, "n"),
    (chat(n="2"), 400, "n"),
    (chat(n=1.5), 400, "n"),
    (chat(seed="a"), 400, "seed"),
    (chat(seed=0.5), 400, "seed"),
    (chat(seed=2**63), 400, "seed"),
    (chat(stop=1), 400, "stop"),
    (chat(stop=["a"] * 5), 400, "stop"),
    (chat(stop=["a", None]), 400, "stop[1]"),
    (chat(stop="x" * 1025), 400, "stop"),
    (chat(stop_token_ids=[-1]), 400, "stop_token_ids[0]"),
    (chat(stop_token_ids=[10**6]), 400, "stop_token_ids[0]"),
    (chat(stop_token_ids="1"), 400, "stop_token_ids"),
    (chat(logit_bias={"a": 1}), 400, "logit_bias.a"),
    (chat(logit_bias={"1.0": 1}), 400, "logit_bias.1.0"),
    (chat(logit_bias={"99999": 1}), 400, "logit_bias.99999"),
    (chat(logit_bias={"1": 1000}), 400, "logit_bias.1"),
    (chat(logit_bias={"1": "x"}), 400, "logit_bias.1"),
    (chat(logit_bias={str(i): 0 for i in range(1025)}), 400, "logit_bias"),
    (chat(logprobs=1), 400, "logprobs"),
    (chat(logprobs=False, top_logprobs=1), 400, "top_logprobs"),
    (chat(logprobs=True, top_logprobs=21), 400, "top_logprobs"),
    (chat(logprobs=True, top_logprobs=-1), 400, "top_logprobs"),
    (chat(stream=1), 400, "stream"),
    (chat(stream_options={}), 400, "stream_options"),
    (chat(stream=True, stream_options=[]), 400, "stream_options"),
    (chat(stream=True, n=0), 400, "n"),
    (chat(tools="x"), 400, "tools"),
    (chat(tools=[{}]), 400, "tools[0].type"),
    (chat(tools=[{}] * 129, tool_choice="none"), 400, "tools"),
    (chat(tool_choice="required"), 400, "tool_choice"),
    (chat(response_format={"type": "json_schema"}), 400, "response_format.json_schema"),
    (chat(response_format={}), 400, "response_format.type"),
    (chat(response_format=5), 400, "response_format"),
    (chat(ignore_eos="no"), 400, "ignore_eos"),
    (chat(skip_special_tokens=0), 400, "skip_special_tokens"),
    (chat(add_generation_prompt=1), 400, "add_generation_prompt"),
    (chat(chat_template_kwargs="x"), 400, "chat_template_kwargs"),
    (chat(chat_template="{{ 1 }}"), 400, "chat_template"),
    (chat(metadata={"a": 1}), 400, "metadata.a"),
    (chat(metadata={str(i): "" for i in range(17)}), 400, "metadata"),
    (chat(service_tier="gold"), 400, "service_tier"),
    (chat(modalities=["audio"]), 400, "modalities[0]"),
    (chat(audio={"voice": "alloy", "format": "wav"}), 400, "audio"),
    (chat(user=5), 400, "user"),
    (chat(truncate_prompt_tokens=0), 400, "truncate_prompt_tokens"),
    (chat(stream=True, stream_options={"include_usage": "yes"}), 400, "stream_options.include_usage"),
    ((COMPLETION, {}), 400, "prompt"),
    (completion(prompt=5), 400, "prompt"),
    (completion(prompt=[]), 400, "prompt"),
    (completion(prompt=[1, "a"]), 400, "prompt[1]"),
    (completion(prompt=[[1], []]), 400, "prompt[1]"),
    (completion(prompt=[10**6]), 400, "prompt[0]"),
    (completion(prompt=[-1]), 400, "prompt[0]"),
    (completion(prompt=[5] * 100000), 400, "prompt"),
    (completion(prompt="word " * 20000), 400, "prompt"),
    (completion(prompt=["a"] * 129), 400, "prompt"),
    (completion(prompt=["a", "b"], n=65), 400, "n"),
    (completion(max_tokens=10**6), 400, "max_tokens"),
    (completion(suffix="b"), 400, "suffix"),
    (completion(best_of=1, n=2), 400, "best_of"),
    (completion(best_of=2, stream=True), 400, "best_of"),
    (completion(max_tokens=0), 400, "max_tokens"),
    (completion(prompt_logprobs=1, stream=True), 400, "prompt_logprobs"),
    (completion(logprobs=21), 400, "logprobs"),
    (("/v1/responses", {"input": "word " * 20000}), 400, "input"),
    (("/v1/responses", {"input": "a", "max_output_tokens": 10**9}), 400, "max_output_tokens"),
    (completion(prompt="a" * (9 << 20)), 400, "prompt"),
    (("/tokenize", {"prompt": "a" * (9 << 20)}), 400, "prompt"),
    (("/tokenize", {}), 400, "prompt"),
    (("/tokenize", {"prompt": 5}), 400, "prompt"),
    (("/tokenize", {"messages": []}), 400, "messages"),
    (("/detokenize", {}), 400, "tokens"),
    (("/detokenize", {"tokens": "a"}), 400, "tokens"),
    (("/detokenize", {"tokens": [10**7]}), 400, "tokens[0]"),
    (("/nowhere", {}), 404, None),
    (("/health", {}), 405, None),
]


@pytest.mark.parametrize("request_, status, param", ROWS, ids=range(len(ROWS)))
def test_wrong_request(llama, request_, status, param):
    path, body = request_
    response = llama.post(path, body)
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"] and isinstance(error["type"], str)
    assert error["code"] is None or isinstance(error["code"], str)
    assert error["param"] == param


def test_both_numbers_are_named_when_the_answer_does_not_fit(llama):
    limit = llama.get("/v1/models").json()["data"][0]["max_model_len"]
    count = llama.post("/tokenize", {"messages": MESSAGES}).json()["count"]
    message = llama.post(*chat(max_tokens=limit)).json()["error"]["message"]
    assert str(limit) in message and str(count) in message and str(count + limit) in message
    assert llama.post(*chat(max_tokens=limit - count)).status_code == 200


def test_null_is_absent_everywhere(llama):
    fields = ("model temperature top_p top_k min_p n seed stop stop_token_ids min_tokens logprobs top_logprobs "
              "logit_bias stream stream_options tools tool_choice response_format presence_penalty "
              "frequency_penalty repetition_penalty ignore_eos user max_completion_tokens").split()
    assert llama.post(*chat(max_tokens=1, **dict.fromkeys(fields))).status_code == 200
    assert llama.post(*completion(max_tokens=1, echo=None, suffix=None, best_of=None,
                                  **dict.fromkeys(fields))).status_code == 200


def test_methods(llama):
    response = llama.get(CHAT)
    assert response.status_code == 405 and response.headers["allow"] == "POST"
    assert json.loads(response.text)["error"]["message"]
    assert llama.metric("saccade_http_requests_total", route="unknown", status="405") >= 1
