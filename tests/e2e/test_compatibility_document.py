"""docs/compatibility.md says what the tests of this folder are, no more and no less."""

import pytest

import compatibility


@pytest.fixture
def items(request):
    if not compatibility.is_whole(request.session.items):
        pytest.skip("only when the whole folder runs")
    return request.session.items


def test_the_document_is_that_of_this_run(items):
    text = compatibility.render(items, compatibility.versions())
    assert compatibility.PATH.read_text() == text, "SACCADE_WRITE_DOCS=1 pytest tests/e2e writes it anew"


def test_every_proof_is_a_test(items):
    known = {item.nodeid.split("[")[0].rsplit("/", 1)[-1] for item in items}
    for *_, tests in [*compatibility.WISHES, *compatibility.HABITS]:
        assert set(tests) <= known
