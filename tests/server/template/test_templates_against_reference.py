"""Our interpreter against Python's jinja2 with transformers' settings: same text, or both fail."""

import copy
import random
import re
import time

import pytest

from conversations import variables
from expressions import VARIABLES, Expressions
from template_reference import REPOSITORY, compile_reference, render_reference, run_tool

TEMPLATES = sorted((REPOSITORY / "tests/server/template/templates").glob("*.jinja"))
CONVERSATIONS = 120
EXPRESSIONS = 5000

# Printed objects without a text of their own name their address in Python.
ADDRESS = re.compile(r"<[^<>]* at 0x[0-9a-f]+>|of [a-z]+ object at|object at")

# A slice of a number fails at run time, but Jinja folds the same slice of a literal to an undefined
# value while it compiles. We fail for both.
FOLDED_SLICE = re.compile(r"cannot be sliced|slice indices must|slice step")


def differs(expected: dict, actual: dict) -> bool:
    return expected.get("output") != actual.get("output") or ("error" in expected) != ("error" in actual)


def test_there_are_enough_templates():
    assert len(TEMPLATES) >= 30


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
def test_template_renders_as_in_transformers(path):
    source = path.read_text()
    reference = compile_reference(source)
    assert not isinstance(reference, Exception), reference
    rng = random.Random(path.stem)
    given = [variables(rng) for _ in range(CONVERSATIONS)]
    expected = [render_reference(reference, one) for one in given]
    actual = run_tool([source], [{"template": 0, "globals": one, "segments": True} for one in given])
    assert any("output" in one for one in expected), "no conversation fits this template"
    for one, want, got in zip(given, expected, actual):
        assert not differs(want, got), f"{one}\nexpected {want}\nactual   {got}"
        if "output" in got:
            segments = got["segments"]
            assert "".join(text for text, _ in segments) == got["output"]
            marks = [mark for _, mark in segments]
            assert all(a != b for a, b in zip(marks, marks[1:])), "adjacent segments of one mark"


def test_raised_message_is_quoted():
    (got,) = run_tool(
        ["{{ raise_exception('Roles \"must\" alternate: ' ~ messages[0].role) }}"],
        [{"template": 0, "globals": {"messages": [{"role": "tool"}]}}],
    )
    assert 'Roles "must" alternate: tool' in got["error"]


def test_random_expressions_agree():
    generator = Expressions(seed=20250720)
    sources = [generator.template() for _ in range(EXPRESSIONS)]
    actual = run_tool(sources, [{"template": i, "globals": VARIABLES} for i in range(len(sources))])
    compared = rendered = 0
    wrong = []
    for source, got in zip(sources, actual):
        want = render_reference(compile_reference(source), copy.deepcopy(VARIABLES))
        if ADDRESS.search(want.get("output", "")) or "64 bits" in got.get("error", ""):
            continue
        if "output" in want and FOLDED_SLICE.search(got.get("error", "")):
            continue
        compared += 1
        rendered += "output" in want
        if differs(want, got):
            wrong.append(f"{source}\n  expected {want}\n  actual   {got}")
    assert not wrong, f"{len(wrong)} of {compared} differ:\n" + "\n".join(wrong[:20])
    assert compared > EXPRESSIONS * 0.9
    assert rendered > EXPRESSIONS * 0.25  # the others fail on both sides


def test_a_conversation_renders_in_microseconds():
    source = (REPOSITORY / "tests/server/template/templates/chatml_default_system.jinja").read_text()
    messages = [
        {"role": "user" if i % 2 == 0 else "assistant", "content": f"Turn {i}: " + "some words " * 20}
        for i in range(10)
    ]
    case = {"template": 0, "globals": {"messages": messages, "add_generation_prompt": True}}
    (got,) = run_tool([source], [case], "--time", "2000")
    start = time.perf_counter()
    reference = compile_reference(source)
    for _ in range(200):
        reference.render(messages=messages, add_generation_prompt=True)
    python = (time.perf_counter() - start) / 200 * 1e6
    print(f"10 messages: {got['microseconds']:.1f} us, jinja2: {python:.1f} us")
    assert got["microseconds"] < 1000  # an order of magnitude above what an idle machine needs
