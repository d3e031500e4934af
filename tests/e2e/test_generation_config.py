"""What generation_config.json asks of answers, as the reference library's generate() has it."""

import json
import os

import pytest

from server_process import GOLDEN, Server, run

NAME, STEPS = "llama_gqa", 24
CASE = json.loads((GOLDEN / NAME / "golden.json").read_text())["cases"][0]
PROMPT, GREEDY = CASE["input_ids"], CASE["greedy_ids"]
END = GREEDY[5]  # the answer comes to it unless something keeps it away
BEYOND = len(PROMPT)


def folder_with(tmp_path, generation, config=None):
    """llama_gqa with another generation_config.json, or none but fields of config.json."""
    folder = tmp_path / "model"
    folder.mkdir()
    for source in (GOLDEN / NAME).iterdir():
        if source.name not in ("generation_config.json", "config.json"):
            os.symlink(source, folder / source.name)
    own = json.loads((GOLDEN / NAME / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(own | (config or {})))
    if generation is not None:
        (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [END], **generation}))
    return folder


def reference(folder, prompt, **asked):
    """The new ids of generate(), without the end token."""
    import torch
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(1)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    ids = torch.tensor([prompt])
    with torch.no_grad():
        out = model.generate(ids, attention_mask=torch.ones_like(ids), pad_token_id=0, do_sample=False, num_beams=1,
                             **{"max_new_tokens": STEPS, **asked})
    return without_end(out[0, len(prompt):].tolist())


def without_end(ids):
    return ids[:-1] if ids and ids[-1] == END else ids


def answer(server, prompt, **fields):
    body = {"prompt": prompt, "temperature": 0, "max_tokens": STEPS, "return_token_ids": True, **fields}
    reply = server.post("/v1/completions", body)
    assert reply.status_code == 200, reply.text
    return without_end(reply.json()["choices"][0]["token_ids"])


PLAIN = {"eos_token_id": None}
FIELDS = {
    "no_repeat_ngram_size": {"no_repeat_ngram_size": 2, "sequence_bias": [[[40], 9.0]], **PLAIN},
    "no token twice": {"no_repeat_ngram_size": 1, **PLAIN},
    "encoder_no_repeat_ngram_size": {"encoder_no_repeat_ngram_size": 1, **PLAIN},
    "encoder_repetition_penalty": {"encoder_repetition_penalty": 2.5, **PLAIN},
    "bad_words_ids": {"bad_words_ids": [GREEDY[:2], [PROMPT[-1], GREEDY[0]], GREEDY[3:6], [*PROMPT, 3, GREEDY[0]]]},
    "an end token among the bad words": {"bad_words_ids": [[END], [GREEDY[1]]]},
    "sequence_bias": {"sequence_bias": [[[GREEDY[0]], -3.5], [[GREEDY[0]], -1.5], [[PROMPT[-1], 17], 6.0],
                                        [[17, 21], 9.5], [[40], 1.25]]},
    "min_length": {"min_length": BEYOND + 9},
    "min_length, but min_new_tokens": {"min_length": BEYOND + 20, "min_new_tokens": 7},
    "min_new_tokens": {"min_new_tokens": 11},
    "begin_suppress_tokens": {"begin_suppress_tokens": [GREEDY[0], 9]},
    "forced_eos_token_id": {"forced_eos_token_id": 11, **PLAIN},
    "exponential_decay_length_penalty": {"eos_token_id": [7], "exponential_decay_length_penalty": [2, 1.4]},
    "suppress_tokens": {"suppress_tokens": [GREEDY[0], GREEDY[2]], **PLAIN},
    "all together": {
        "sequence_bias": [[[GREEDY[0]], -2.0]], "encoder_repetition_penalty": 1.2, "repetition_penalty": 1.3,
        "no_repeat_ngram_size": 3, "encoder_no_repeat_ngram_size": 4, "bad_words_ids": [[5, 6], [8]],
        "min_length": BEYOND + 4, "forced_eos_token_id": 11, "suppress_tokens": [12, 13],
        "begin_suppress_tokens": [14], "exponential_decay_length_penalty": [6, 1.05]},
}


@pytest.mark.parametrize("name", FIELDS)
def test_field_equals_reference(tmp_path, name):
    folder = folder_with(tmp_path, FIELDS[name])
    wanted = reference(folder, PROMPT)
    plain = GREEDY if FIELDS[name].get("eos_token_id", END) != END else GREEDY[:5]
    assert wanted[:16] != plain[:16] or name == "forced_eos_token_id"  # the field does something here
    server = Server(folder)
    assert answer(server, PROMPT) == wanted
    assert server.stop() == 0
    assert not [line for line in server.lines if "is not obeyed" in line]


def test_forced_bos_token_id_follows_a_prompt_of_one_token(tmp_path):
    folder = folder_with(tmp_path, {"forced_bos_token_id": 19, "begin_suppress_tokens": [20], **PLAIN})
    server = Server(folder)
    assert answer(server, PROMPT[:1]) == reference(folder, PROMPT[:1])
    assert answer(server, PROMPT[:1])[0] == 19
    assert answer(server, PROMPT[:2]) == reference(folder, PROMPT[:2])
    assert server.stop() == 0


def test_min_tokens_of_a_request_takes_the_place_of_min_length(tmp_path):
    folder = folder_with(tmp_path, {"min_length": BEYOND + 20})
    server = Server(folder)
    for count in (0, 8):
        assert answer(server, PROMPT, min_tokens=count) == reference(folder, PROMPT, min_new_tokens=count)
    assert server.stop() == 0


def test_fields_of_config_json_count_where_there_is_no_generation_config(tmp_path):
    fields = {"no_repeat_ngram_size": 2, "repetition_penalty": 1.4, "suppress_tokens": [GREEDY[0]],
              "top_k": 50, "bad_words_ids": None, "min_length": 0}
    folder = folder_with(tmp_path, None, fields)
    server = Server(folder)
    assert answer(server, PROMPT, ignore_eos=True) == reference(folder, PROMPT, eos_token_id=1 << 30)
    assert server.stop() == 0


def test_nothing_is_forced_on_structured_output(tmp_path):
    folder = folder_with(tmp_path, {"forced_eos_token_id": 11, **PLAIN})
    server = Server(folder)
    body = {"prompt": PROMPT, "temperature": 0, "max_tokens": 3, "guided_regex": "[a-z]{40}"}
    reply = server.post("/v1/completions", body)
    assert reply.status_code == 200, reply.text
    assert reply.json()["choices"][0]["text"].isalpha()
    assert server.stop() == 0


@pytest.mark.parametrize("field, value", [
    ("suppress_tokens", "all"), ("bad_words_ids", [5]), ("bad_words_ids", [[-1]]), ("sequence_bias", [[[5]]]),
    ("sequence_bias", [[[], 1.0]]), ("sequence_bias", {"5": 1.0}), ("no_repeat_ngram_size", -1),
    ("no_repeat_ngram_size", "2"), ("forced_eos_token_id", "</s>"), ("exponential_decay_length_penalty", 1.5),
    ("exponential_decay_length_penalty", [1, 0]), ("encoder_repetition_penalty", 0), ("min_length", -5),
])
def test_field_of_another_kind_is_refused(tmp_path, field, value):
    refused = run("serve", folder_with(tmp_path, {field: value}))
    assert refused.returncode == 1 and "generation_config.json" in refused.stderr and field in refused.stderr
