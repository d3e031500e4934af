"""Hostile checkpoint folders (scripts/golden/broken.py): each is refused with one line that names file and field."""

import concurrent.futures
import os
import resource
import subprocess
import sys
import time

import pytest
from server_process import BINARY, ROOT

sys.path.insert(0, str(ROOT / "scripts" / "golden"))
import broken  # noqa: E402

CPU_SECONDS = 10
WALL_SECONDS = 120  # for a busy machine; what counts is the processor time above
PEAK_BYTES = 1 << 30
ADDRESS_BYTES = 8 << 30
REFUSED = [row for row in broken.TABLE if not row.loads]
LOADED = [row for row in broken.TABLE if row.loads]


def limit_resources():
    resource.setrlimit(resource.RLIMIT_CPU, (2 * CPU_SECONDS, 2 * CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_BYTES, ADDRESS_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def run(arguments, folder):
    """(exit status, stdout, stderr, resource usage); a negative status is the signal that ended it."""
    outputs = [folder / "stdout", folder / "stderr"]
    with outputs[0].open("wb") as out, outputs[1].open("wb") as err:
        process = subprocess.Popen(
            [BINARY, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            preexec_fn=limit_resources,
        )
        deadline = time.monotonic() + WALL_SECONDS
        while True:
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
            if pid:
                break
            serves = b"listening on" in outputs[1].read_bytes()
            if serves or time.monotonic() > deadline:
                process.kill()
            time.sleep(0.02)
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, *(path.read_text(errors="replace") for path in outputs), usage


def run_row(row, folder):
    folder.mkdir()
    broken.make(row, folder / "model")
    if row.loads:
        return run(["inspect", str(folder / "model")], folder)
    return run(["serve", str(folder / "model"), "--port", "0", "--threads", "1"], folder)


@pytest.fixture(scope="session")
def outcomes(request, tmp_path_factory):
    """What became of each row that was asked for, by name; as many at a time as there are processors."""
    rows = [i.callspec.params["row"] for i in request.session.items if "outcomes" in i.fixturenames]
    root = tmp_path_factory.mktemp("broken")
    with concurrent.futures.ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        results = pool.map(lambda row: run_row(row, root / row.name), rows)
        return {row.name: result for row, result in zip(rows, results)}


def check_cost(usage):
    assert usage.ru_utime + usage.ru_stime < CPU_SECONDS
    assert usage.ru_maxrss * 1024 < PEAK_BYTES


@pytest.mark.parametrize("row", REFUSED, ids=lambda row: row.name)
def test_is_refused(row, outcomes):
    status, _, errors, usage = outcomes[row.name]
    assert status == 1, errors
    lines = errors.splitlines()
    assert len(lines) == 1, errors
    assert lines[0].isprintable()
    assert row.file in lines[0]
    assert not row.fields or any(field in lines[0] for field in row.fields), (row.fields, lines[0])
    check_cost(usage)


@pytest.mark.parametrize("row", LOADED, ids=lambda row: row.name)
def test_is_reported(row, outcomes):
    """Tensors nobody asks for are no error, but `inspect` lists them."""
    status, printed, errors, usage = outcomes[row.name]
    assert status == 0, errors
    assert all(field in printed for field in row.fields)
    check_cost(usage)


def test_the_undamaged_folders_load(tmp_path):
    for base in sorted({row.base for row in broken.TABLE}):
        status, printed, errors, _ = run(["inspect", str(broken.ROOT / base)], tmp_path)
        assert status == 0, errors
        assert "missing tensors: none" in printed
