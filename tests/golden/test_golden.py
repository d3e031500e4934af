"""The committed goldens agree with a second implementation, would notice typical mistakes, and stay small."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parent
SCRIPTS = ROOT.parents[1] / "scripts" / "golden"
NAMES = sorted(path.parent.name for path in ROOT.glob("*/golden.json"))
# Every family in both dialects: as transformers 4.57 and as 5.x saves it.
LIMIT_BYTES = 28_000_000


def run(script, *arguments):
    environment = dict(os.environ, OMP_NUM_THREADS="1")
    return subprocess.run(
        [sys.executable, SCRIPTS / script, *arguments],
        capture_output=True,
        text=True,
        env=environment,
    )


def test_second_implementation_agrees():
    result = run("second_opinion.py")
    assert result.returncode == 0, result.stderr
    assert [line.split(":")[0] for line in result.stdout.splitlines()] == NAMES


def test_typical_mistakes_are_noticed():
    result = run("sensitivity.py")
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip().endswith("all noticed")


def test_size_limit():
    files = {path.resolve() for path in ROOT.rglob("*") if path.is_file()}  # what links point to counts once
    size = sum(path.stat().st_size for path in files)
    assert size < LIMIT_BYTES


@pytest.mark.parametrize("name", NAMES)
def test_greedy_ids_can_be_asserted_exactly(name):
    for case in json.loads((ROOT / name / "golden.json").read_text())["cases"]:
        assert case["min_margin"] >= 1e-2
        assert len(case["greedy_ids"]) == 16
        other = [
            i for i, step in enumerate(case["top_logprobs"]) if step[0][0] != case["greedy_ids"][i]
        ]
        assert not other, "the first of the top five is the chosen id"


def test_hostile_folders_are_made(tmp_path):
    result = run("broken.py", tmp_path)
    assert result.returncode == 0, result.stderr
    rows = json.loads((tmp_path / "broken.json").read_text())
    assert len(rows) == len({row["name"] for row in rows}) > 250
    assert all(pathlib.Path(row["folder"]).is_dir() for row in rows)
