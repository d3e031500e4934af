"""docs/models.md says what the golden tests find."""

import json
import os

import models_document
import pytest


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    return models_document.measure(tmp_path_factory.mktemp("report"))


def test_the_document_is_that_of_this_run(measured):
    committed = models_document.PATH.read_text() if models_document.PATH.exists() else ""
    text = models_document.render(measured, committed)
    if os.environ.get("SACCADE_WRITE_DOCS"):
        models_document.PATH.write_text(text)
    assert models_document.PATH.read_text() == text, "SACCADE_WRITE_DOCS=1 pytest tests/golden writes it anew"
    folders = {path.parent.name for path in models_document.GOLDEN.glob("*/golden.json")}
    assert set(measured) == folders


def test_every_checkpoint_was_compared(measured):
    """Whatever a folder holds to compare was compared."""
    for name, stages in measured.items():
        golden = json.loads((models_document.GOLDEN / name / "golden.json").read_text())
        wanted = {"logits", "logprobs"}
        if any(case["images"] or case.get("videos") for case in golden["cases"]):
            tensors = (models_document.GOLDEN / name / "golden.safetensors").read_bytes()
            wanted |= {"connector"} if b'.connector"' in tensors else set()
            # Pillow 13 resizes otherwise: pixels made with it are compared loosely only.
            wanted |= {"pixels"} if golden["library"]["pillow"].startswith("12.") else set()
        assert wanted <= set(stages), name


def test_a_bound_holds_or_is_renewed():
    def shown(deviation, committed):
        return models_document.shown("logprobs", deviation, committed)

    assert shown(0.0, None) == "0"
    assert shown(2e-6, None) == "< 1e-05"
    assert shown(9e-6, "< 1e-05") == "< 1e-05"
    assert shown(1.1e-5, "< 1e-05") == "< 5e-05"
    assert shown(9e-5, "-") == "< 1e-04"
    assert shown(None, "< 1e-05") == "-"
    assert shown(0.0, "< 1e-05") == "< 1e-05"
    assert models_document.shown("logits", 9e-6, None) == "< 1e-05"
