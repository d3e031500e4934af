#!/usr/bin/env python3
"""Builds deliberate bugs into a copy of the sources and requires a test to turn red for each.

    run.py                  all mutants of mutants.py
    run.py --only vit_eps   some of them (may be repeated)
    run.py --list           what there is; exits 1 when a mutant does not fit the sources any more

Works in build/mutation/: src is a copy of the sources as they are in the working tree, out their build folder. All
mutants are woven into one build, each behind `SACCADE_MUTANT=<number>` (Untch et al. 1993 call it a mutant schema): one
build and many short test runs instead of a build for each. Exit status 1 when a mutant survives or does not fit, when
the sources do not build, or when a test is red without any mutant.
"""

import argparse
import collections
import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys
import time

from mutants import MUTANTS

REPO = pathlib.Path(__file__).resolve().parents[2]
WORK = REPO / "build" / "mutation"
SOURCE, OUT = WORK / "src", WORK / "out"
COPIED = ["CMakeLists.txt", "cmake", "engine", "tests/CMakeLists.txt", "tests/engine"]
TEST_SECONDS = 240
NUMBERS = {mutant.name: number for number, mutant in enumerate(MUTANTS, start=1)}
# A constant of each file: the kernels are compiled several times for different machines, and nothing may be shared.
SWITCH_NAME = "mutant_switch.h"
SWITCH = """#pragma once
#include <cstdlib>
[[maybe_unused]] static const int kActiveMutant =
    std::getenv("SACCADE_MUTANT") ? std::atoi(std::getenv("SACCADE_MUTANT")) : 0;
"""


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", action="append", metavar="NAME", help="this mutant (repeatable)")
    parser.add_argument("--list", action="store_true", help="print the table, build nothing")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes at a time")
    arguments = parser.parse_args()
    unknown = set(arguments.only or []) - set(NUMBERS)
    if unknown:
        raise SystemExit(f"no such mutant: {', '.join(sorted(unknown))}")
    chosen = [m for m in MUTANTS if not arguments.only or m.name in arguments.only]
    if arguments.list:
        for mutant in chosen:
            print(f"{mutant.name:28} {mutant.path}: {mutant.what}")
        print(f"{len(chosen)} mutants")
    faults = [f"{m.name}: {fault}" for m in MUTANTS if (fault := fault_of(m))]
    if faults:
        raise SystemExit("\n".join(faults))
    if not arguments.list:
        sys.exit(run(chosen, arguments.jobs))


def fault_of(mutant):
    """Why a mutant does not fit the sources, or None."""
    path = REPO / mutant.path
    count = path.read_text().count(mutant.old) if path.is_file() else 0
    if count != 1:
        return f"its text occurs {count} times in {mutant.path}"
    return "changes nothing" if mutant.old == mutant.new else None


def run(chosen, jobs):
    started = time.monotonic()
    copy_sources()
    tests = {test for mutant in chosen for test in mutant.tests}
    build({target for target, _ in tests}, jobs)
    print(f"built in {time.monotonic() - started:.0f} s", flush=True)
    counts = collections.Counter()
    with concurrent.futures.ThreadPoolExecutor(max_workers=jobs) as pool:
        for test, failure in zip(tests, pool.map(lambda t: failure_of(*t), tests)):
            if failure:
                raise SystemExit(f"red without any mutant: {test[0]}: {failure}")
        print("green without mutants", flush=True)
        for mutant, verdict in zip(chosen, pool.map(judge, chosen)):
            print(
                f"{mutant.name:28} {mutant.what} -> {verdict or 'NOT NOTICED BY ANY TEST'}",
                flush=True,
            )
            counts[verdict is not None] += 1
    print(f"{time.monotonic() - started:.0f} s")
    print(f"{counts[True]} passed, {counts[False]} failed")
    return 1 if counts[False] else 0


def judge(mutant):
    """Which test noticed it, or None."""
    for target, pattern in mutant.tests:
        failure = failure_of(target, pattern, NUMBERS[mutant.name])
        if failure:
            return f"red by {target}: {failure}"
    return None


def failure_of(target, pattern, number=0):
    """Name of the first red test case of a Catch2 program, or None when all are green."""
    command = [OUT / "bin" / target, *([pattern] if pattern else []), "--abort", "--reporter", "xml"]
    environment = dict(os.environ, OMP_NUM_THREADS="1", SACCADE_MUTANT=str(number))
    try:
        result = subprocess.run(
            command, cwd=REPO, env=environment, capture_output=True, timeout=TEST_SECONDS
        )
        output, ending = result.stdout, "" if result.returncode > 0 else " (crashed)"
        if result.returncode == 0:
            return None
    except subprocess.TimeoutExpired as expired:
        output, ending = expired.stdout or b"", " (did not end)"
    cases = re.findall(r'<TestCase name="([^"]*)"', output.decode(errors="replace"))
    if not cases:
        raise SystemExit(f"{target} {pattern!r} ran no test case")
    return f'"{cases[-1]}"{ending}'


def woven(text, mutants):
    """The file with each mutant's text beside the right one, chosen by number at run time."""
    places = collections.defaultdict(list)
    for mutant in mutants:
        places[text.index(mutant.old), mutant.old].append(mutant)
    for (start, old), variants in sorted(places.items(), reverse=True):
        end = start + len(old)
        if any(start < s < end for s, _ in places):
            raise SystemExit(f"{variants[0].name}: overlaps another mutant")
        out = old
        for mutant in variants:
            active = f"kActiveMutant == {NUMBERS[mutant.name]}"
            if old.endswith((";", "}")):
                out = f"{{ if ({active}) {{ {mutant.new} }} else {{ {out} }} }}"
            else:
                out = f"({active} ? {mutant.new} : {out})"
        text = text[:start] + out + text[end:]
    return f'#include "{SWITCH_NAME}"\n{text}'


def copy_sources():
    """Only files that changed are written, so that a second run builds little."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", *COPIED],
        cwd=REPO,
        check=True,
        capture_output=True,
        text=True,
    )
    wanted = {SWITCH_NAME: SWITCH}
    for name in listed.stdout.splitlines():
        if (REPO / name).is_file():
            text = (REPO / name).read_text()
            mutants = [m for m in MUTANTS if m.path == name]
            wanted[name] = woven(text, mutants) if mutants else text
    for name, text in wanted.items():
        place = SOURCE / name
        if not place.is_file() or place.read_text() != text:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)
    for folder, _, files in os.walk(SOURCE):
        for file in files:
            place = pathlib.Path(folder) / file
            if str(place.relative_to(SOURCE)) not in wanted:
                place.unlink()


def build(targets, jobs):
    if not (OUT / "build.ninja").exists():
        command = ["cmake", "-S", SOURCE, "-B", OUT, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release"]
        command += ["-DSACCADE_SERVER=OFF", *_torch_option()]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    result = subprocess.run(
        ["ninja", "-C", OUT, f"-j{jobs}", *sorted(targets)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if result.returncode:
        raise SystemExit(f"the mutated sources do not build:\n{result.stdout[-8000:]}")


def _torch_option():
    """The libtorch of this checkout's .venv, which a build of the copy would not find."""
    found = sorted(REPO.glob(".venv/lib/python3*/site-packages/torch"))
    return [f"-DSACCADE_TORCH_DIR={found[0]}"] if found else []


if __name__ == "__main__":
    main()
