"""The folders of families that the library has no class for are what our converters make of published parts."""

import pathlib
import sys

import pytest
from safetensors.torch import load_file
from torch.testing import assert_close

ROOT = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT.parents[1] / "scripts" / "golden"))

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


def test_what_a_checkpoint_lacks_or_holds_besides_is_named(tmp_path):
    [spec] = [spec for spec in SPECS if spec.name == "minigpt_v2"]
    family = build.FAMILIES[spec.family]
    parts = family.parts

    def with_change(change):
        def changed(spec):
            made = parts(spec)
            change(made["minigptv2.pth"]["model"])
            return made

        family.parts = changed
        try:
            with pytest.raises(SystemExit) as stop:
                build.build(spec, tmp_path / "out")
        finally:
            del family.parts
        return str(stop.value)

    assert "llama_proj.weight" in with_change(lambda model: model.pop("llama_proj.weight"))
    lora = "llama_model.base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight"
    assert "layers.0.self_attn.q_proj.weight" in with_change(lambda model: model.pop(lora))
    head = "llama_model.base_model.model.lm_head.weight"
    assert head in with_change(lambda model: model.update({head: model["llama_proj.bias"]}))
