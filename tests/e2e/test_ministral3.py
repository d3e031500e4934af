"""Ministral 3, alone and behind Mistral 3's eyes: the reference is the library's Mistral with the one formula that
sets its attention apart (modeling_ministral3.py of transformers 5), as 4.57 has no such class."""

import json
import shutil
import sys

import pytest

from conftest import with_data_urls
from server_process import GOLDEN, ROOT, Server, run

sys.path.append(str(ROOT / "scripts" / "golden"))

BETA, ORIGINAL, STEPS = 0.4, 16, 12
YARN = {"rope_type": "yarn", "factor": 8.0, "original_max_position_embeddings": ORIGINAL, "beta_fast": 32.0,
        "beta_slow": 1.0, "mscale": 1.0, "mscale_all_dim": 1.0}
OURS = {"model_type": "ministral3",
        "rope_parameters": {**YARN, "rope_theta": 10000.0, "llama_4_scaling_beta": BETA,
                            "max_position_embeddings": 512}}
THEIRS = {"rope_scaling": YARN}


def folder_with(tmp_path, name, fields):
    """That golden folder, whose decoder has these fields, too."""
    folder = tmp_path / fields.get("model_type", "reference")
    shutil.copytree(GOLDEN / name, folder)
    config = json.loads((folder / "config.json").read_text())
    text = config.get("text_config", config)
    text |= fields
    if "rope_parameters" in fields:
        del text["rope_theta"]
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture
def growing_queries(monkeypatch):
    """The library's Mistral, whose turned queries grow with their position."""
    import torch
    from transformers.models.mistral import modeling_mistral

    turn, attend = modeling_mistral.apply_rotary_pos_emb, modeling_mistral.MistralAttention.forward
    places = []

    def forward(self, *args, **kwargs):
        places.append(kwargs["cache_position"])
        return attend(self, *args, **kwargs)

    def turn_and_grow(q, k, cos, sin):
        q, k = turn(q, k, cos, sin)
        return q * (1 + BETA * torch.log(1 + torch.floor(places[-1] / ORIGINAL)))[:, None].to(q.dtype), k

    monkeypatch.setattr(modeling_mistral.MistralAttention, "forward", forward)
    monkeypatch.setattr(modeling_mistral, "apply_rotary_pos_emb", turn_and_grow)


def expected(folder, name, case):
    """Greedy ids after that case's prompt, and their log-probabilities."""
    import build
    import torch
    from checkpoints import all_checkpoints
    from prompts import Prompter

    torch.set_num_threads(1)
    spec = next(spec for spec in all_checkpoints() if spec.name == name)
    model, processor = build.load(spec, folder)
    record, inputs = Prompter(spec.family, processor).prepare(case["messages"] or case["prompt"])
    assert record["input_ids"] == case["input_ids"]
    with torch.no_grad():
        inputs = {key: value for key, value in inputs.items() if not key.startswith("picture_")}
        out = model.eval().generate(**inputs, max_new_tokens=STEPS, do_sample=False, num_beams=1,
                                    eos_token_id=1 << 30, pad_token_id=0, return_dict_in_generate=True,
                                    output_logits=True)
    ids = out.sequences[0, -STEPS:].tolist()
    rows = torch.cat(out.logits).log_softmax(-1)
    return ids, [float(rows[i, token]) for i, token in enumerate(ids)]


def answer(server, case):
    body = {"temperature": 0, "max_tokens": STEPS, "ignore_eos": True, "return_token_ids": True}
    if case["messages"] is None:
        body |= {"prompt": case["input_ids"], "logprobs": 0}
        choice = server.post("/v1/completions", body).json()["choices"][0]
        return choice["token_ids"], choice["logprobs"]["token_logprobs"]
    body |= {"messages": with_data_urls(case["messages"]), "logprobs": True}
    choice = server.post("/v1/chat/completions", body).json()["choices"][0]
    return choice["token_ids"], [entry["logprob"] for entry in choice["logprobs"]["content"]]


@pytest.mark.parametrize("name", ["mistral", "mistral3"])
def test_answers_equal_reference(tmp_path, name, growing_queries):
    cases = json.loads((GOLDEN / name / "golden.json").read_text())["cases"]
    reference = folder_with(tmp_path, name, THEIRS)
    server = Server(folder_with(tmp_path, name, OURS), "--max-num-batched-tokens", "20")  # in chunks
    for case in cases:
        assert len(case["input_ids"]) + STEPS > 2 * ORIGINAL
        ids, logprobs = expected(reference, name, case)
        found, found_logprobs = answer(server, case)
        assert found == ids
        assert found_logprobs == pytest.approx(logprobs, abs=1e-4)
    assert server.stop() == 0


@pytest.mark.parametrize("field", ["llama_4_scaling_beta", "original_max_position_embeddings"])
def test_a_rope_without_the_growth_of_queries_is_refused(tmp_path, field):
    parameters = {key: value for key, value in OURS["rope_parameters"].items() if key != field}
    folder = folder_with(tmp_path, "mistral", {**OURS, "rope_parameters": parameters})
    refused = run("serve", folder, "--port", "0", timeout=30)
    assert refused.returncode == 1 and "config.json" in refused.stderr and field in refused.stderr
