"""The clients of scripts/examples, with a model that plays its part."""

import json
import subprocess
import sys

import scripted
from server_process import ROOT, Server, request_bytes


BLOCK = 16  # tokens of a KV block: what the prefix cache holds are whole ones


def run(name, server, *arguments):
    done = subprocess.run([sys.executable, ROOT / "scripts" / "examples" / name, server.url + "/v1", *arguments],
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_tool_runner(tmp_path):
    call = '<tool_call>{"name": "multiply", "arguments": {"a": 12, "b": 13}}</tool_call>'
    server = Server(scripted.make(tmp_path, {"What is": call, "156": "It is 156."}))
    assert run("tool_runner.py", server, "What is 12 times 13?") == "It is 156."
    assert server.stop() == 0


def test_react(tmp_path):
    # What the client puts in stands where the model would have said it.
    text = ("Thought: compare.\nAction: lookup[Main]\nObservation: 525 km\nThought: and the other.\n"
            "Action: lookup[Rhine]\nObservation: 1233 km\nThought: done.\nFinal Answer: the Rhine")
    server = Server(scripted.make(tmp_path, {"": text}, scripted.PLAIN))
    assert run("react.py", server, "Which is larger, the Main or the Rhine?") == "the Rhine"
    assert server.stop() == 0


def test_toolformer(tmp_path):
    text = "Out of 1400 participants, 400 (or [Calculator(400 / 1400) -> 0.29] 29 %) passed."
    server = Server(scripted.make(tmp_path, {"": text}))
    assert run("toolformer.py", server, text[:33]) == text
    assert server.stop() == 0


def test_fixed_steps(tmp_path):
    text = "Step 1: the circle is red.\nStep 2: the square is left of it.\nAnswer: no\nStep 4: more"
    server = Server(scripted.make(tmp_path, {"": text}, scripted.PLAIN))
    said = run("fixed_steps.py", server, "Is the circle left of the square?", "2").splitlines()
    assert said[:3] == ["Step 1: the circle is red.", "Step 2: the square is left of it.", "Answer: no"]
    computed = [int(number) for number in said[3].removeprefix("prompt tokens computed: ").split()]
    whole = len("Is the circle left of the square?"
                "Step 1: the circle is red.\nStep 2: the square is left of it.\nAnswer:")
    assert computed[0] > 40 and all(count <= BLOCK + len("\nStep 2:") for count in computed[1:]) and whole > 3 * BLOCK
    assert server.stop() == 0


def complete(server, prompt, **fields):
    body = {"prompt": prompt, "temperature": 0, "ignore_eos": True, "logprobs": 0, "return_token_ids": True, **fields}
    return server.post("/v1/completions", body).json()


def test_an_interrupted_answer_goes_on_as_if_it_had_been_prompted(llama):
    """Stopped, tokens put in, gone on: nothing but the unfilled block and the new tokens is computed, and what follows
    has the log-probabilities of a server that has never seen any of it."""
    begun = complete(llama, "one two three four", max_tokens=50)
    result = llama.post("/tokenize", {"prompt": " 42]", "add_special_tokens": False}).json()["tokens"]
    before = begun["choices"][0]["prompt_token_ids"] + begun["choices"][0]["token_ids"]
    resumed = complete(llama, before + result, max_tokens=12)
    cached = resumed["usage"]["prompt_tokens_details"]["cached_tokens"]
    assert cached == (len(before) - 1) // BLOCK * BLOCK  # the last token's keys are not computed before it is read
    assert resumed["usage"]["prompt_tokens"] - cached <= BLOCK + len(result)
    assert resumed["usage"]["completion_tokens"] == 12  # what was put in is prompt
    fresh_server = Server("llama_gqa")
    fresh = complete(fresh_server, before + result, max_tokens=12)
    assert fresh["usage"]["prompt_tokens_details"]["cached_tokens"] == 0
    assert fresh["choices"][0]["token_ids"] == resumed["choices"][0]["token_ids"]
    pairs = zip(*(answer["choices"][0]["logprobs"]["token_logprobs"] for answer in (fresh, resumed)))
    assert max(abs(a - b) for a, b in pairs) < 1e-5
    assert fresh_server.stop() == 0


def test_an_interrupted_chat_goes_on_with_its_pictures_and_its_cache(llava, picture):
    """A decode-time interrupt: stopped at a marker, a result's text put behind it, gone on. Of the whole conversation,
    its picture included, nothing is computed again but the block that was not full; the ids are those of a server
    that gets the same text uninterrupted."""
    question = [{"type": "image_url", "image_url": {"url": picture}},
                {"type": "text", "text": "How many shapes are left?"}]
    ask = {"temperature": 0, "ignore_eos": True, "return_token_ids": True, "timings": True}

    def answer(server, said=None, **fields):
        messages = [{"role": "user", "content": question}]
        if said is not None:
            messages.append({"role": "assistant", "content": said})
        made = server.post("/v1/chat/completions", {"messages": messages, **ask, **fields, "continue_final_message":
                                                    said is not None})
        assert made.status_code == 200, made.text
        return made.json()

    text = answer(llava, max_tokens=40)["choices"][0]["message"]["content"]
    marker = text[25:27]
    begun = answer(llava, max_tokens=60, stop=[marker], include_stop_str_in_output=True)
    choice = begun["choices"][0]
    assert choice["stop_reason"] == marker and choice["message"]["content"] == text[: text.find(marker) + 2]
    before = begun["prompt_token_ids"] + choice["token_ids"]
    resumed = answer(llava, choice["message"]["content"] + " 42]", max_tokens=16)
    prompt = resumed["prompt_token_ids"]
    common = next((i for i, (a, b) in enumerate(zip(before, prompt)) if a != b), min(len(before), len(prompt)))
    cached = resumed["usage"]["prompt_tokens_details"]["cached_tokens"]
    # The model's text need not be spelled by the tokens that it was written in: what counts is as far as they agree.
    assert common > len(begun["prompt_token_ids"]) > 2 * BLOCK
    assert cached == min(common, len(before) - 1) // BLOCK * BLOCK
    assert resumed["timings"]["encode_ms"] == 0  # the picture was not looked at again
    server = Server("llava")
    fresh = answer(server, choice["message"]["content"] + " 42]", max_tokens=16)
    assert fresh["usage"]["prompt_tokens_details"]["cached_tokens"] == 0 and fresh["prompt_token_ids"] == prompt
    assert fresh["choices"][0]["token_ids"] == resumed["choices"][0]["token_ids"]
    assert server.stop() == 0


CHAIN = "Step 1: the circle is red.\nStep 2: the square is left of it.\nAnswer: no.\nMore"
FIXED = {"reasoning": {"mode": "fixed", "steps": 2}, "temperature": 0, "stop": "."}


def test_fixed_steps_as_one_request(tmp_path):
    """What fixed_steps.py does with three requests: the steps are the reasoning, the answer is the content."""
    server = Server(scripted.make(tmp_path, {"": CHAIN}, scripted.PLAIN))
    question = "Is the circle left of the square?"
    steps = "Step 1: the circle is red.\nStep 2: the square is left of it.\n"
    before = server.metric("saccade_prompt_tokens_total")
    body = server.chat(question, **FIXED).json()
    message = body["choices"][0]["message"]
    assert message["content"] == " no" and message["reasoning_content"] == message["reasoning"] == steps
    assert body["choices"][0]["finish_reason"] == "stop"
    usage = body["usage"]
    thought = usage["completion_tokens_details"]["reasoning_tokens"]
    assert thought == len(" the circle is red.\n") + len(" the square is left of it.\n")
    assert usage["completion_tokens"] == thought + len(" no.") and usage["total_tokens"] == \
        usage["prompt_tokens"] + usage["completion_tokens"]
    assert usage["prompt_tokens"] < 100 and server.metric("saccade_prompt_tokens_total") - before > 200
    events = [json.loads(event) for event in server.events("/v1/chat/completions", {
        "messages": [{"role": "user", "content": question}], "stream": True, **FIXED})[:-1]]
    deltas = [event["choices"][0]["delta"] for event in events]
    assert "".join(delta.get("reasoning_content", "") for delta in deltas) == steps
    assert "".join(delta.get("content", "") for delta in deltas) == " no"
    shorter = server.chat(question, **{**FIXED, "reasoning": {"mode": "fixed", "steps": 1, "step_max_tokens": 5,
                                                              "step_prefix": "Step", "answer_prefix": ""}}).json()
    assert shorter["choices"][0]["message"]["reasoning_content"] == "Step 1: t\n"
    assert server.stop() == 0


def test_fixed_steps_are_streamed_as_they_are_written(tmp_path, llama):
    server = Server(scripted.make(tmp_path, {"": CHAIN}, scripted.PLAIN))
    body = {"messages": [{"role": "user", "content": "Is it?"}], "stream": True, "return_token_ids": True, **FIXED,
            "stream_options": {"include_usage": True, "continuous_usage_stats": True}}
    events = [json.loads(event) for event in server.events("/v1/chat/completions", body)[:-1]]
    deltas = [event["choices"][0]["delta"] for event in events[:-1]]
    assert deltas[0] == {"role": "assistant", "content": ""}
    steps = [i for i, delta in enumerate(deltas) if "reasoning_content" in delta]
    answer = [i for i, delta in enumerate(deltas) if delta.get("content")]
    assert len(steps) > 40 and steps == list(range(1, len(steps) + 1)) and min(answer) > max(steps)
    assert deltas[1]["reasoning_content"].startswith("Step 1:")
    assert deltas[1]["reasoning"] == deltas[1]["reasoning_content"]
    counts = [event["usage"]["completion_tokens"] for event in events]
    assert counts == sorted(counts) and counts[steps[9]] == 10  # the tenth piece comes with the tenth token
    assert {event["usage"]["prompt_tokens"] for event in events[1:]} == {events[-1]["usage"]["prompt_tokens"]}
    assert {event["id"] for event in events} == {events[0]["id"]}
    assert [i for i, event in enumerate(events) if "prompt_token_ids" in event] == [max(steps) + 1]
    whole = server.chat("Is it?", **FIXED).json()
    assert events[-1]["usage"]["completion_tokens"] == whole["usage"]["completion_tokens"]
    assert server.stop() == 0
    # Who leaves within a step leaves nothing behind.
    long = {"messages": [{"role": "user", "content": "hi"}], "stream": True, "ignore_eos": True, "temperature": 0,
            "reasoning": {"mode": "fixed", "steps": 1, "step_stop": "\0", "step_max_tokens": 190}, "max_tokens": 5}
    before = llama.metric("saccade_generation_tokens_total")
    with llama.connect() as connection:
        connection.sendall(request_bytes("/v1/chat/completions", long))
        data = b""
        while b"reasoning_content" not in data:
            data += connection.recv(4096)
    assert llama.wait_idle() and llama.metric("saccade_generation_tokens_total") - before < 180


def test_fixed_steps_have_room_or_are_refused_at_once(llama, tmp_path):
    """256 tokens are all there are."""
    ask = {"ignore_eos": True, "temperature": 0, "max_tokens": 5}
    for stream in (False, True):
        steps = {"mode": "fixed", "steps": 3, "step_stop": "\0", "step_max_tokens": 100}
        refused = llama.chat("hi", reasoning=steps, stream=stream, **ask)
        error = refused.json()["error"]
        assert refused.status_code == 400 and error["code"] == "context_length_exceeded", refused.text
        assert error["param"] == "reasoning.step_max_tokens" and "is 256 tokens" in error["message"]
        assert "the steps take up to 300" in error["message"]
        refused = llama.chat("hi", reasoning={"mode": "fixed"}, stream=stream, max_tokens=250)
        assert refused.status_code == 400 and refused.json()["error"]["param"] == "max_tokens", refused.text
    # Without a length of their own the steps share what is left.
    fits = llama.chat("hi", reasoning={"mode": "fixed", "steps": 4, "step_stop": "\0"}, **ask)
    assert fits.status_code == 200 and 4 < fits.json()["usage"]["completion_tokens"] < 256
    # A lone byte is one token when it is written, and three when it is read again as U+FFFD.
    server = Server(scripted.make(tmp_path, {"": ""}, scripted.PLAIN), "--max-model-len", "300")
    byte = scripted.make_tokenizer(scripted.SPECIAL).token_to_id("\u0122")  # 0x80 in a byte-level alphabet
    lone = {"logit_bias": {str(byte): 100}, "ignore_eos": True, "timings": True, "return_token_ids": True,
            "messages": [{"role": "user", "content": "hi"}], "max_tokens": 5, "logprobs": True,
            "reasoning": {"mode": "fixed", "steps": 2, "step_max_tokens": 90}}
    whole = server.post("/v1/chat/completions", lone).json()
    choice = whole["choices"][0]
    assert choice["finish_reason"] == "length" and choice["message"]["content"] == ""
    assert choice["message"]["reasoning_content"].startswith("Step 1:\ufffd")
    assert whole["usage"]["completion_tokens"] == whole["usage"]["completion_tokens_details"]["reasoning_tokens"] > 0
    for usage in (False, True):
        events = server.events("/v1/chat/completions", {**lone, "stream": True,
                                                        "stream_options": {"include_usage": usage}})
        assert events[-1] == "[DONE]"
        chunks = [json.loads(event) for event in events[:-1]]
        assert [c["choices"][0]["finish_reason"] for c in chunks if c["choices"]][-2:] == [None, "length"]
        assert not usage or chunks[-1]["usage"] == whole["usage"]
    assert server.stop() == 0


def test_fixed_steps_that_cannot_be(llama):
    for fields, param in (({"n": 2}, "reasoning.mode"), ({"guided_regex": "a"}, "reasoning.mode"),
                          ({"prompt_logprobs": 1}, "reasoning.mode"), ({"truncate_prompt_tokens": 5}, "reasoning.mode"),
                          ({"reasoning": {"mode": "free"}}, "reasoning.mode"),
                          ({"reasoning": {"mode": "fixed", "steps": 17}}, "reasoning.steps"),
                          ({"reasoning": {"mode": "fixed", "step_stop": ""}}, "reasoning.step_stop"),
                          ({"reasoning": {"mode": "fixed", "step_prefix": ""}}, "reasoning.step_prefix"),
                          ({"reasoning": {"mode": "fixed", "step_max_tokens": 10**6}}, "reasoning.step_max_tokens")):
        response = llama.chat("hi", **{**FIXED, **fields})
        assert response.status_code == 400, response.text
        assert response.json()["error"]["param"] == param
