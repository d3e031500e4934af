"""What random choices under the masks write, judged by the jsonschema package.

SACCADE_SCHEMAS sets how many random schemas each tokenizer gets (CI: 150; the full run: 1000).
"""

import json
import os
import pathlib
import random
import re
import subprocess
import sys

import jsonschema
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import random_schemas  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[3]
GOLDEN = ROOT / "tests" / "golden"
TOOL = pathlib.Path(os.environ.get("SACCADE_BUILD_DIR", ROOT / "build")) / "bin" / "grammar_tool"
SCHEMAS = int(os.environ.get("SACCADE_SCHEMAS", "150"))
# Byte-level BPE, and the two dialects of SentencePiece with bytes as tokens of their own.
TOKENIZERS = {"byte_level": ("llama_bias", 319), "sentencepiece": ("llama_gqa", 2), "legacy": ("llama_tied", 2)}


def run(jobs, tokenizer="byte_level"):
    folder, end = TOKENIZERS[tokenizer]
    lines = "".join(json.dumps(job) + "\n" for job in jobs)
    done = subprocess.run([TOOL, GOLDEN / folder, str(end)], input=lines, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    results = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(results) == len(jobs)
    return results


def texts(kind, text, count=20, **fields):
    jobs = [{"kind": kind, "text": text if isinstance(text, str) else json.dumps(text), "seed": seed, **fields}
            for seed in range(count)]
    results = run(jobs)
    assert all(result.get("finished") for result in results), results
    return [result["text"] for result in results]


def check(schema, text):
    value = json.loads(text)
    validator = jsonschema.Draft202012Validator(schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER)
    error = jsonschema.exceptions.best_match(validator.iter_errors(value))
    assert error is None, f"{text!r} of {json.dumps(schema)}: {error.message}"


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
def test_random_schemas(tokenizer):
    generator = random.Random(f"schemas for {tokenizer}")
    schemas = [random_schemas.schema(generator) for _ in range(SCHEMAS)]
    for schema in schemas:
        jsonschema.Draft202012Validator.check_schema(schema)
    jobs = [{"kind": "json_schema", "text": json.dumps(schema), "seed": seed, "max_tokens": 20000}
            for seed, schema in enumerate(schemas)]
    for schema, result in zip(schemas, run(jobs, tokenizer)):
        assert "error" not in result, (result, json.dumps(schema))
        assert result["finished"], (result["text"][-200:], json.dumps(schema))
        assert result["most_places"] < 60_000, json.dumps(schema)  # half of GrammarCredit::kMost
        check(schema, result["text"])


NUMBERS = [
    {"type": "integer", "minimum": 5, "maximum": 5}, {"type": "integer", "minimum": -12, "maximum": 1234},
    {"type": "integer", "exclusiveMinimum": 99, "exclusiveMaximum": 101}, {"type": "integer", "maximum": -1},
    {"type": "integer", "minimum": 1.5, "maximum": 3.2}, {"type": "integer", "minimum": 9007199254740993},
    {"type": "integer", "multipleOf": 7}, {"type": "integer", "multipleOf": 12, "minimum": -30, "maximum": 40},
    {"type": "number", "minimum": 0.25, "maximum": 0.75}, {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
    {"type": "number", "minimum": -2.5, "exclusiveMaximum": -2.4}, {"type": "number", "minimum": 3, "maximum": 3},
    {"type": "number", "exclusiveMinimum": -1e-3, "exclusiveMaximum": 1e-3}, {"type": "number", "minimum": 99.5},
    {"type": "number", "minimum": 19.99, "maximum": 20.01}, {"type": "number", "multipleOf": 3, "minimum": 0},
    {"type": "number", "minimum": -0.5, "maximum": 0}, {"type": "number", "maximum": 10}, {"type": "number"},
]


@pytest.mark.parametrize("schema", NUMBERS, ids=json.dumps)
def test_numbers(schema):
    for text in texts("json_schema", schema, 60):
        check(schema, text)


def test_cents_have_two_digits():
    for text in texts("json_schema", {"type": "number", "multipleOf": 0.01, "minimum": 1, "maximum": 2.5}, 60):
        assert re.fullmatch(r"\d(\.\d{1,2})?", text) and 1 <= float(text) <= 2.5


@pytest.mark.parametrize("pattern", random_schemas.PATTERNS)
def test_patterns_match_as_regular_expressions_too(pattern):
    for text in texts("regex", pattern):
        assert re.search(pattern, text), (pattern, text)


def test_a_pattern_without_anchors_is_the_whole_text():
    assert {len(text) for text in texts("regex", "[ab]{3}")} == {3}
    assert all(text.startswith("ab") for text in texts("regex", "^ab", max_tokens=20000))


def test_choices_and_grammars():
    assert set(texts("choice", ["yes", "no", "ä", "yes, but"], 60)) == {"yes", "no", "ä", "yes, but"}
    grammar = 'root ::= greeting ", " [A-Z]{2,3} "!"? # ends\ngreeting ::= "hi"\n  | "ho" ("\\x41" | [^\\x00-\\uFFFF])'
    for text in texts("grammar", grammar, 40):
        assert re.fullmatch(r"(hi|ho(A|.)), [A-Z]{2,3}!?", text), text


UNSUPPORTED = [
    ({"not": {}}, "not"), ({"properties": {"a": {"if": {}}}}, "properties.a.if"),
    ({"type": "array", "uniqueItems": True}, "uniqueItems"), ({"type": "array", "contains": {}}, "contains"),
    ({"patternProperties": {}}, "patternProperties"), ({"type": "string", "format": "color"}, "format"),
    ({"type": "string", "pattern": "(?=a)"}, "pattern"),
    ({"type": "string", "pattern": "a", "maxLength": 3}, "maxLength"),
    ({"type": "number", "multipleOf": 0.3}, "multipleOf"),
    ({"type": "integer", "multipleOf": 7, "minimum": 5}, "multipleOf"),
    ({"$ref": "https://example.com/schema"}, "$ref"), ({"$ref": "#/$defs/none"}, "$ref"),
    ({"oneOf": [{"type": "integer"}, {"type": "number"}]}, "oneOf"),
    ({"type": "thing"}, "type"), ({"enum": []}, "enum"),
    ({"type": "integer", "minimum": 5, "maximum": 3}, "maximum"), ({"type": "string", "minLength": -1}, "minLength"),
    ({"type": "object", "minProperties": 3, "properties": {"a": {}}}, "minProperties"),
    ({"type": "array", "items": {"dependentRequired": {}}}, "items.dependentRequired"),
    ({"allOf": [{"type": "string"}, {"type": "integer"}]}, "type"), ({"enum": ["abc"], "maxLength": 2}, "maxLength"),
    (False, ""), ({"$ref": "#"}, ""), ({"anyOf": [{"$ref": "#"}, {"type": "null"}]}, ""),
    ({"type": "object", "properties": {"n": {"$ref": "#"}}, "required": ["n"]}, ""),
]


@pytest.mark.parametrize("schema, path", UNSUPPORTED, ids=lambda value: json.dumps(value))
def test_what_cannot_be_enforced_is_refused_by_name(schema, path):
    (result,) = run([{"kind": "json_schema", "text": json.dumps(schema)}])
    assert result["param"] == ("field." + path if path else "field"), result


HOSTILE = [
    ("regex", "(" * 30000), ("regex", "(a{1000}){1000}"), ("regex", "((((a*)*)*)*)*b"),
    ("regex", "[" + "a-z" * 20000 + "]{9999}"),
    ("grammar", "root ::= " + "(" * 30000), ("grammar", "root ::= root \"a\" | \"a\""),
    ("grammar", "root ::= a\na ::= b?\n"),
    ("grammar", 'root ::= x x x x x x x x\nx ::= ("a"? "a"?)*'), ("grammar", 'root ::= s\ns ::= "(" s ")" s | ""'),
    ("json_schema", json.dumps({"anyOf": [{"type": "string", "maxLength": i} for i in range(1500)]})),
    ("json_schema", json.dumps({"properties": {f"p{i}": {"type": "string"} for i in range(1500)}})),
    ("json_schema", json.dumps({"$defs": {f"d{i}": {"allOf": [{"$ref": f"#/$defs/d{i + 1}"}] * 2} for i in range(60)},
                                "$ref": "#/$defs/d0"})),
]


@pytest.mark.parametrize("kind, text", HOSTILE, ids=lambda value: value[:40])
def test_hostile_grammars_cost_little(kind, text):
    (result,) = run([{"kind": kind, "text": text, "max_tokens": 200}])
    # The time is far above a quiet machine's.
    assert "error" in result or (result["tokens"] > 0 and result["compile_ms"] < 20_000), result
