"""docs/compatibility.md says what the tests of this folder are, no more and no less."""

import os
import pathlib

import pytest

import compatibility
from test_clients import versions


@pytest.fixture
def items(request):
    items = request.session.items
    folder = pathlib.Path(__file__).parent
    ran = {pathlib.Path(item.fspath).name for item in items}
    if ran != {path.name for path in folder.glob("test_*.py")}:
        pytest.skip("only when the whole folder runs")
    return items


def test_the_document_is_that_of_this_run(items):
    text = compatibility.render(items, versions())
    if os.environ.get("SACCADE_WRITE_DOCS"):
        compatibility.PATH.write_text(text)
    assert compatibility.PATH.read_text() == text, "SACCADE_WRITE_DOCS=1 pytest tests/e2e writes it anew"


def test_every_proof_is_a_test(items):
    known = {item.nodeid.rsplit("/", 1)[-1].split("[")[0] for item in items}
    for wish, _, tests in compatibility.WISHES:
        assert set(tests) <= known, wish
