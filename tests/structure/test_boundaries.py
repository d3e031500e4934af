"""Who may see whom, read off the compiler's own dependency lists (ninja -t deps) of the build folder."""

import os
import pathlib
import re
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("SACCADE_BUILD_DIR", ROOT / "build"))
TORCH_HEADER = re.compile(r"(^|/)(torch|ATen|c10)/")


@pytest.fixture(scope="module")
def dependencies():
    """Object file -> headers and sources that its compilation read."""
    text = subprocess.run(["ninja", "-C", BUILD, "-t", "deps"], capture_output=True, text=True, check=True).stdout
    found, current = {}, None
    for line in text.splitlines():
        if line.startswith("    "):
            found[current].append(line.strip())
        elif ": #deps" in line:
            current = line.split(":")[0]
            found[current] = []
    assert found, "no dependency list: build first"
    return found


def readers(dependencies, folders, header):
    return [
        (target, file)
        for target, files in dependencies.items()
        if target.startswith(folders)
        for file in files
        if header.search(file)
    ]


def test_server_core_and_kernels_see_no_torch(dependencies):
    folders = ("server/", "engine/core/", "engine/kernels/", "engine/weights/")
    assert any(target.startswith(folders[0]) for target in dependencies)
    assert readers(dependencies, folders, TORCH_HEADER) == []


def test_the_engine_does_see_torch(dependencies):
    """The check above would pass on an empty pattern; this one would not."""
    assert readers(dependencies, ("engine/CMakeFiles/saccade_engine",), TORCH_HEADER)


def test_one_file_sees_the_http_library(dependencies):
    found = {t for t, _ in readers(dependencies, ("server/",), re.compile(r"/httplib\.h$"))}
    assert {pathlib.Path(t).name.split(".")[0] for t in found} <= {"http_server", "connection"}


def test_the_engine_knows_nothing_of_the_server(dependencies):
    assert readers(dependencies, ("engine/",), re.compile(r"(^|/)server/.*\.h$")) == []


def test_core_includes_core_alone(dependencies):
    others = re.compile(r"(^|/)engine/(weights|kernels|layers|models|runtime)/")
    assert readers(dependencies, ("engine/core/",), others) == []
