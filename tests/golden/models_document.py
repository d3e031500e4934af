"""docs/models.md: what the golden tests found, one row for each checkpoint of tests/golden.

    SACCADE_WRITE_DOCS=1 pytest tests/golden/test_models_document.py     writes it anew
"""

import collections
import json
import os
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests" / "golden"
PATH = ROOT / "docs" / "models.md"
# The lines of the report that are deviations; one more, "ids", counts.
# With what the tests themselves allow.
STAGES = {"pixels": 2e-6, "connector": 1e-5, "logits": 1e-5, "float64": 1e-6, "logprobs": 1e-4}
PROGRAMS = [
    ("golden_prompt_test", ""),
    ("stages_test", "the encoder's output*,logits of whole*,float64 run*"),
    ("engine_golden_test", "alone: *"),
]
# Deviations differ between instruction sets by a small factor: the table says which of these they stay below.
SLACK = 4
BOUNDS = [1e-9, 1e-8, 1e-7, 1e-6, 2e-6, 5e-6, 1e-5, 2e-5, 5e-5, 1e-4]
HEAD = """# Models

Written by the test run (`tests/golden/models_document.py`): each row is a checkpoint of `tests/golden`, run by the tests
named below and compared with what the reference library computed (`scripts/golden/README.md` says what each shows). A
deviation is the largest of all cases and stands as a bound that it stays below on every machine; `-`: there is nothing to
compare. A row that stops being true turns the tests red.

* **prompts**: prompts whose ids, visual positions and Q-Former ids equal the reference processors' (`golden_prompt_test`).
* **pixels**: values from the bytes of pictures and frames against the reference's slow (Pillow) processors; 0: bit for bit
  (`golden_prompt_test`). Pictures are resized as Pillow up to 12 does it, across first; Pillow 13 goes down first where a
  picture loses more than twice as many rows as columns, and rounds those pictures differently (most by a level, Lanczos on
  noise by up to 25). The goldens of both dialects are made with Pillow 12. Classes named `...Fast` are run as their
  Pillow twins, which is what the library takes for them where torchvision is not installed; torchvision's own resize
  differs by a level here and there.
* **connector**: the visual tokens of the golden pixels; **logits**: of whole prompts, in float32 (`stages_test`).
* **float64**: logits of a run in double from pixels on (`stages_test`).
* **ids**: greedy ids that equal the reference's through queue, scheduler and executor, and the deviation of their
  **log-probabilities** and of the four next best ones' (`engine_golden_test`, which also runs every case batched, in
  chunks, cached, preempted and guessed ahead).

| checkpoint | library | model_type | decoder | prompts | several pictures | video | pixels | connector | logits | float64 | ids | log-probabilities |
|---|---|---|---|---|---|---|---|---|---|---|---|---|
"""


def measure(scratch):
    """{folder: {stage: largest deviation}}, from the test programs."""
    build = pathlib.Path(os.environ.get("SACCADE_BUILD_DIR", ROOT / "build"))
    report = scratch / "report"
    environment = dict(os.environ, SACCADE_GOLDEN_REPORT=str(report), OMP_NUM_THREADS="1")
    for program, tests in PROGRAMS:
        command = [build / "bin" / program, *([tests] if tests else [])]
        subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL)
    found = collections.defaultdict(dict)
    for line in report.read_text().splitlines():
        stage, folder, deviation = line.split()
        found[folder][stage] = max(found[folder].get(stage, 0), float(deviation))
    return found


def bound_of(stage, deviation):
    """The smallest bound with room for several times as much, but none beyond what the tests allow."""
    if deviation == 0:
        return 0
    return min(STAGES[stage], next((b for b in BOUNDS if SLACK * deviation <= b), STAGES[stage]))


def shown(stage, deviation, committed):
    """The committed bound where it holds, else a new one."""
    if deviation is None:
        return "-"
    if committed in [_text(b) for b in BOUNDS] and deviation <= float(committed.removeprefix("< ")):
        return committed
    return _text(bound_of(stage, deviation))


def _text(bound):
    return f"< {bound:.0e}" if bound else "0"


def render(measured, committed=""):
    """The document; `committed`: the text that is there."""
    known = {}
    for line in committed.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        known[cells[0].strip("`")] = cells
    return HEAD + "".join(_row(name, measured[name], known.get(name, [])) for name in sorted(measured))


def _row(name, deviations, known):
    golden = json.loads((GOLDEN / name / "golden.json").read_text())
    config = json.loads((GOLDEN / name / "config.json").read_text())
    cases = golden["cases"]
    decoder = config.get("text_config", {}).get("model_type", golden["family"])
    several = any(len(case["images"]) > 1 for case in cases)
    videos = any(case.get("videos") for case in cases)
    texts = [shown(stage, deviations.get(stage), _cell(known, stage)) for stage in STAGES]
    cells = [
        f"`{name}`",
        golden["library"]["transformers"],
        golden["family"],
        decoder,
        len(cases),
        "yes" if several else "-",
        "yes" if videos else "-",
        *texts[:-1],
        int(deviations["ids"]),
        texts[-1],
    ]
    return "| " + " | ".join(str(cell) for cell in cells) + " |\n"


def _cell(known, stage):
    """Of a row that is there: the ids stand between the last two."""
    place = 7 + list(STAGES).index(stage) + (stage == "logprobs")
    return known[place] if len(known) > place else None
