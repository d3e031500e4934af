"""The folders of families that the library has no class for are what our converters make of published parts."""

import json
import pathlib
import sys

import pytest
import torch
from safetensors.torch import load_file
from torch.testing import assert_close

ROOT = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(ROOT.parents[1] / "scripts" / "golden"), str(ROOT.parents[1] / "scripts")]

import build  # noqa: E402
from checkpoints import all_checkpoints  # noqa: E402

SPECS = [spec for spec in all_checkpoints() if build.published(spec)]
FILES = ["config.json", "generation_config.json", "preprocessor_config.json", "chat_template.jinja", "tokenizer.json"]


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_the_committed_folder_is_what_the_converter_makes(spec, tmp_path):
    folder = tmp_path / spec.name
    build.build(spec, folder)
    for name in FILES:
        assert (folder / name).read_text() == (ROOT / spec.name / name).read_text(), name
    made, committed = (load_file(path / "model.safetensors") for path in (folder, ROOT / spec.name))
    assert set(made) == set(committed)
    for name, tensor in made.items():  # sums (LoRA) may round otherwise on another machine
        assert_close(tensor, committed[name], rtol=2**-7, atol=1e-6, msg=name)


def stopped(name, file, change, out):
    """What the converter says of the parts of `name` where `change` was made to the tensors of one file."""
    [spec] = [spec for spec in SPECS if spec.name == name]
    family = build.FAMILIES[spec.family]
    parts = family.parts

    def changed(spec):
        made = parts(spec)
        change(made[file]["model"])
        return made

    family.parts = changed
    try:
        with pytest.raises(SystemExit) as stop:
            build.build(spec, out)
    finally:
        del family.parts
    return str(stop.value)


def test_what_a_checkpoint_lacks_or_holds_besides_is_named(tmp_path):
    def with_change(change):
        return stopped("minigpt_v2", "minigptv2.pth", change, tmp_path / "out")

    assert "llama_proj.weight" in with_change(lambda model: model.pop("llama_proj.weight"))
    lora = "llama_model.base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight"
    assert "layers.0.self_attn.q_proj.weight" in with_change(lambda model: model.pop(lora))
    head = "llama_model.base_model.model.lm_head.weight"
    assert head in with_change(lambda model: model.update({head: model["llama_proj.bias"]}))


def test_adapters_of_lavin_that_are_others_are_named(tmp_path):
    def with_change(change):
        return stopped("lavin", "adapter.pth", change, tmp_path / "out")

    expert = "module.layers.1.adapter_attn.conv_D.weight"
    assert "layers.1.adapter_attn.conv_D.weight" in with_change(lambda model: model.pop(expert))
    mlp = "module.layers.0.adapter_mlp.conv_A.weight"
    assert mlp in with_change(lambda model: model.update({mlp: model[expert]}))
    kinds = "module.adapter_modality_embedding.weight"
    assert "width 8" in with_change(lambda model: model.update({kinds: model[kinds][:, :8]}))


def test_vicunas_delta_is_added_as_lavin_adds_it():
    """Its rows of q and k, each head's halves one after the other, onto rows that stand in pairs."""
    import convert_lavin
    from llama_adapter import interleaved

    generator = torch.Generator().manual_seed(1)
    names = ["model.layers.0.self_attn.q_proj.weight", "model.layers.0.self_attn.v_proj.weight"]
    llm, delta = ({name: torch.randn(12, 5, generator=generator) for name in names} for _ in range(2))
    added = dict(llm)
    convert_lavin.add_delta(added, delta | {"rotary_emb.inv_freq": torch.ones(3)}, {"num_attention_heads": 2})
    assert_close(interleaved(added[names[0]], 2), interleaved(llm[names[0]], 2) + delta[names[0]])
    assert_close(added[names[1]], llm[names[1]] + delta[names[1]])
    with pytest.raises(SystemExit, match="q_proj"):
        convert_lavin.add_delta(added, {names[0]: torch.ones(13, 5)}, {"num_attention_heads": 2})


def test_a_head_has_as_many_rows_as_the_embedding():
    from convert_openflamingo import fitted

    rows = torch.arange(6.0).reshape(3, 2)
    assert_close(fitted(rows, 2), rows[:2])
    assert_close(fitted(rows, 4), torch.cat([rows, torch.zeros(1, 2)]))


def test_the_tensors_of_older_folders_are_read(tmp_path):
    from converting import read_folder

    parts = {"first.bin": {"a": torch.ones(2)}, "second.bin": {"b": torch.zeros(3)}}
    for name, tensors in parts.items():
        torch.save(tensors, tmp_path / name)
    places = {tensor: name for name, tensors in parts.items() for tensor in tensors}
    (tmp_path / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": places}))
    assert {name: len(tensor) for name, tensor in read_folder(tmp_path).items()} == {"a": 2, "b": 3}
    with pytest.raises(SystemExit, match="pytorch_model.bin"):
        read_folder(tmp_path / "none")
