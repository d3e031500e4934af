"""PEFT adapters over HTTP: chosen by the name of the model, side by side with the model they were made for."""

import concurrent.futures
import json
import shutil

import openai
import pytest
from safetensors import safe_open

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


def edited(name, folder, **fields):
    """The golden adapter with other fields in its adapter_config.json."""
    shutil.copytree(GOLDEN / "adapters" / name, folder)
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))
    return folder


def modules_of(folder):
    with safe_open(folder / "adapter_model.safetensors", "numpy") as file:
        ends = [key for key in file.keys() if key.endswith(".lora_A.weight")]
    return [key.removeprefix("base_model.model.").removesuffix(".lora_A.weight") for key in ends]


@pytest.mark.parametrize("pattern", ["whole names", r"^model\.language_model\.layers\.\d+\..*", "(q|o|up)_proj"])
def test_patterns_speak_of_the_names_that_the_file_has(tmp_path, pattern):
    whole = modules_of(GOLDEN / "adapters" / "llava_language")
    keys = whole if pattern == "whole names" else [pattern]
    folder = edited("llava_language", tmp_path / "a", lora_alpha=999, alpha_pattern=dict.fromkeys(keys, 8),
                    r=1, rank_pattern=dict.fromkeys(keys, 4))
    answers = json.loads((folder / "answers.json").read_text())
    server = Server("llava", "--lora", f"tuned={folder}")
    row = answers["cases"][0]
    case = golden("llava")["cases"][row["case"]]
    body = {"model": "tuned", "messages": with_data_urls(case["messages"]), "temperature": 0, "max_tokens": 16,
            "logprobs": True, "ignore_eos": True}
    entries = server.post("/v1/chat/completions", body).json()["choices"][0]["logprobs"]["content"]
    assert [entry["logprob"] for entry in entries] == pytest.approx(row["chosen_logprobs"], abs=1e-4)
    assert server.stop() == 0


@pytest.mark.parametrize("fields", [
    {"init_lora_weights": "pissa"}, {"init_lora_weights": "pissa_niter_16"}, {"init_lora_weights": "olora"},
    {"init_lora_weights": "corda"}, {"init_lora_weights": "loftq"}, {"layer_replication": [[0, 1], [0, 2]]},
    {"alora_invocation_tokens": [40]}, {"target_parameters": ["mlp.weight"]}, {"kasa_config": {"beta": 1}},
    {"use_bdlora": {"nblocks": 2}}, {"use_dora": True}, {"lora_bias": True}, {"modules_to_save": ["lm_head"]},
    {"target_modules": ["q_proj"]}, {"target_modules": ".*q_proj"}, {"exclude_modules": ["v_proj"]},
    {"exclude_modules": ".*v_proj"}, {"layers_to_transform": [1]}, {"layers_to_transform": 1},
    {"layers_pattern": "h", "layers_to_transform": [0, 1]}, {"alpha_pattern": {"(q_proj": 4}},
])
def test_what_would_mean_other_weights_is_refused_by_its_field(tmp_path, fields):
    adapter = edited("llama_qv", tmp_path / "a", **fields)
    result = run("serve", GOLDEN / "llama_gqa", "--port", "0", "--lora", f"a={adapter}", timeout=30)
    assert result.returncode == 1
    assert all(name in result.stderr for name in fields if name != "layers_pattern"), result.stderr


def test_fields_that_change_nothing_are_taken(tmp_path):
    fields = {"fan_in_fan_out": True, "init_lora_weights": "gaussian", "exclude_modules": ["lm_head"],
              "layers_to_transform": [0, 1, 2, 3], "layers_pattern": "layers", "modules_to_save": [],
              "layer_replication": None, "target_modules": ["v_proj", "self_attn.q_proj", "gate_proj"]}
    folder = edited("llama_qv", tmp_path / "a", **fields)
    row = json.loads((folder / "answers.json").read_text())["cases"][0]
    server = Server("llama_gqa", "--lora", f"a={folder}")
    body = {"model": "a", "prompt": golden("llama_gqa")["cases"][row["case"]]["input_ids"], "temperature": 0,
            "max_tokens": 16, "logprobs": 0, "ignore_eos": True}
    found = server.post("/v1/completions", body).json()["choices"][0]["logprobs"]["token_logprobs"]
    assert found == pytest.approx(row["chosen_logprobs"], abs=1e-4)
    assert server.stop() == 0
