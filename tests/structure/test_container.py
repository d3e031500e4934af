"""What docker/Dockerfile relies on, without a Docker engine: the files that .dockerignore lets through are enough to
configure the build, the installed folder runs from elsewhere, and its packages are named."""

import os
import pathlib
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("SACCADE_BUILD_DIR", ROOT / "build"))


def run(*command, **options):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("installed")
    run("cmake", "--install", BUILD, "--prefix", folder)
    yield folder
    shutil.rmtree(folder)  # libtorch is large


def test_context_is_enough_to_configure(tmp_path):
    patterns = [line[1:] for line in (ROOT / ".dockerignore").read_text().split() if line.startswith("!")]
    assert patterns
    for path in [found for pattern in patterns for found in ROOT.glob(pattern)]:
        to = tmp_path / path.relative_to(ROOT)
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(path, to) if path.is_dir() else shutil.copy(path, to)
    (tmp_path / ".venv").symlink_to(ROOT / ".venv")
    run("cmake", "--preset", "release", "-DSACCADE_TESTS=OFF", cwd=tmp_path)
    run("ninja", "-C", "build", "-n", "saccade", cwd=tmp_path)  # every source is there
    assert (tmp_path / "models" / "saccade-eyes" / "eyes.safetensors").exists()


def test_installed_folder_brings_its_own_libtorch(installed):
    program = installed / "bin" / "saccade"
    assert run(program, "--version").startswith("saccade ")
    libraries = dict(line.split(" => ") for line in run("ldd", program).splitlines() if " => " in line)
    torch = {name.strip(): path for name, path in libraries.items()
             if "torch" in name or "c10" in name or "gomp" in name}
    assert len(torch) == 4
    for path in torch.values():
        assert pathlib.Path(path.split()[0]).resolve().parent == installed / "lib"


def test_packages_of_the_second_stage(installed):
    packages = run(ROOT / "scripts" / "runtime_packages.sh", installed / "bin" / "saccade").split()
    assert packages == sorted(set(packages))
    for stem in ("libavformat", "libcurl", "libfmt", "libjemalloc", "libspdlog", "libstdc++", "libwebp"):
        assert any(name.startswith(stem) for name in packages), stem
    run("dpkg-query", "-W", *packages)
    assert not any("dev" in name for name in packages)


def test_packages_of_a_broken_program_are_refused(tmp_path):
    done = subprocess.run([ROOT / "scripts" / "runtime_packages.sh", tmp_path / "none"], capture_output=True, text=True)
    assert done.returncode != 0
