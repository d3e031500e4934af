"""PEFT adapters over HTTP: chosen by the name of the model, side by side with the model they were made for."""

import concurrent.futures
import json

import openai
import pytest

from conftest import with_data_urls
from server_process import GOLDEN, Server, golden, run

ADAPTERS = {"first": "llama_qv", "second": "llama_mlp", "learned": "llama_prompt"}


@pytest.fixture(scope="module")
def server():
    pairs = [a for name, folder in ADAPTERS.items() for a in ("--lora", f"{name}={GOLDEN}/adapters/{folder}")]
    server = Server("llama_gqa", "--served-model-name", "base", *pairs)
    yield server
    assert server.stop() == 0, "\n".join(server.lines[-20:])


def expected():
    """(model, prompt ids, chosen log-probabilities) of the base model and of both adapters."""
    cases = golden("llama_gqa")["cases"]
    rows = [("base", c["input_ids"], c["chosen_logprobs"]) for c in cases]
    for name, folder in ADAPTERS.items():
        answers = json.loads((GOLDEN / "adapters" / folder / "answers.json").read_text())
        for row in answers["cases"]:
            rows.append((name, cases[row["case"]]["input_ids"], row["chosen_logprobs"]))
    assert {model for model, *_ in rows} == {"base", *ADAPTERS}
    return rows


def test_the_model_chooses_the_adapter_even_within_a_batch(server):
    client = openai.OpenAI(base_url=server.url + "/v1", api_key="none", max_retries=0)

    def ask(row):
        model, prompt, _ = row
        return client.completions.create(model=model, prompt=prompt, temperature=0, max_tokens=16, logprobs=0,
                                         extra_body={"ignore_eos": True})

    for _ in range(2):  # the second time from the prefix cache
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            for row, answer in zip(expected(), pool.map(ask, expected())):
                assert answer.choices[0].logprobs.token_logprobs == pytest.approx(row[2], abs=1e-4)
                assert answer.model == row[0]


def test_adapters_are_listed_with_their_parent(server):
    client = openai.OpenAI(base_url=server.url + "/v1", api_key="none", max_retries=0)
    listed = {m.id: m.model_dump() for m in client.models.list()}
    assert list(listed) == ["base", "first", "second", "learned"]
    assert listed["base"]["parent"] is None
    assert {listed[name]["parent"] for name in ADAPTERS} == {"base"}
    assert client.models.retrieve("second").id == "second"
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model="third", messages=[{"role": "user", "content": "a"}])


def test_an_adapter_of_a_vision_language_model():
    server = Server("llava", "--lora", f"tuned={GOLDEN}/adapters/llava_language")
    try:
        client = openai.OpenAI(base_url=server.url + "/v1", api_key="none", max_retries=0)
        answers = json.loads((GOLDEN / "adapters" / "llava_language" / "answers.json").read_text())
        for row in answers["cases"]:
            case = golden("llava")["cases"][row["case"]]
            answer = client.chat.completions.create(
                model="tuned", messages=with_data_urls(case["messages"]), temperature=0, max_tokens=16,
                logprobs=True, extra_body={"ignore_eos": True})
            logprobs = [entry.logprob for entry in answer.choices[0].logprobs.content]
            assert logprobs == pytest.approx(row["chosen_logprobs"], abs=1e-4)
    finally:
        assert server.stop() == 0


@pytest.mark.parametrize("value, status, words", [
    ("no_folder", 2, ["--lora"]),
    ("llama_gqa=x", 2, ["llama_gqa", "taken"]),
    ("a=/nowhere", 1, ["/nowhere"]),
    (f"a={GOLDEN}/llama_gqa", 1, ["adapter_config.json"]),
    (f"a={GOLDEN}/adapters/llava_language", 1, ["adapter_model.safetensors", "projection"]),
])
def test_what_is_no_adapter_is_refused_at_start(value, status, words):
    result = run("serve", GOLDEN / "llama_gqa", "--port", "0", "--device", "cpu", "--lora", value)
    assert result.returncode == status
    assert all(word in result.stderr for word in words)
