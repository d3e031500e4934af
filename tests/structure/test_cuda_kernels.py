"""The CUDA kernels compile with nvcc alone, for the oldest and the newest GPU they are written for."""

import importlib.util
import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
KERNELS = ROOT / "engine/kernels/cuda"


def nvcc():
    """The compiler of the pip package nvidia-cuda-nvcc."""
    folders = importlib.util.find_spec("nvidia").submodule_search_locations
    (path,) = [found for folder in folders for found in pathlib.Path(folder).glob("cu13/bin/nvcc")]
    return path


@pytest.mark.parametrize("source", sorted(KERNELS.glob("*.cu")), ids=lambda path: path.name)
def test_compiles(source, tmp_path):
    command = [nvcc(), "-std=c++17", "-gencode=arch=compute_80,code=sm_80", "-gencode=arch=compute_90,code=sm_90",
               "--threads", "2", "-Werror", "all-warnings", "-Xptxas", "-warn-spills", f"-I{ROOT}",
               "-c", source, "-o", tmp_path / "kernel.o"]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert "warning" not in run.stderr, run.stderr


def test_kernels_include_no_torch():
    for source in KERNELS.iterdir():
        text = source.read_text()
        assert "ATen" not in text and "torch/" not in text and "c10/" not in text, source
