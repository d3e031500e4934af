import base64
import json
import os
import pathlib
import shutil
import struct
import subprocess
import sys
import zlib

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import compatibility  # noqa: E402
from server_process import GOLDEN, Server  # noqa: E402


def _session_server(model, *args):
    @pytest.fixture(scope="session")
    def fixture():
        server = Server(model, *args)
        yield server
        assert server.stop() == 0, "\n".join(server.lines[-20:])

    return fixture


# One server for each tiny checkpoint, shared by all tests that do not need settings of their own.
llama = _session_server("llama_gqa", "--served-model-name", "tiny", "--served-model-name", "alias")
llava = _session_server("llava")
llava_siglip = _session_server("llava_siglip")
llava_next = _session_server("llava_next")
llava_next_video = _session_server("llava_next_video")
llava_onevision = _session_server("llava_onevision")
video_llava = _session_server("video_llava")
instructblip = _session_server("instructblip")
blip2 = _session_server("blip2_opt")
instructblipvideo = _session_server("instructblipvideo")
idefics = _session_server("idefics")
idefics_plain = _session_server("idefics_plain")
minigpt_v2 = _session_server("minigpt_v2")
openflamingo = _session_server("openflamingo")
lavin = _session_server("lavin")
llama_adapter = _session_server("llama_adapter")
medvint = _session_server("medvint")
idefics3 = _session_server("idefics3")
smolvlm = _session_server("smolvlm")
qwen2_vl = _session_server("qwen2_vl")
qwen2_5_vl = _session_server("qwen2_5_vl")


@pytest.fixture(scope="session")
def run_node():
    """What Node's clients saw. They are fetched on the first run; where that cannot be done, nothing is claimed."""
    folder = compatibility.NODE
    if not shutil.which("npm"):
        pytest.skip("there is no npm on this machine")
    if not all((folder / "node_modules" / name).exists() for name in compatibility.node_packages()):
        try:
            subprocess.run(["npm", "ci", "--no-audit", "--no-fund"], cwd=folder, capture_output=True, timeout=120,
                           check=True)
        except subprocess.SubprocessError:
            pytest.skip("npm could not install the clients")

    def run(script, *arguments):
        ran = subprocess.run(["node", script, *arguments], cwd=folder, capture_output=True, text=True, timeout=120)
        assert ran.returncode == 0, ran.stderr
        return json.loads(ran.stdout)

    return run


def data_url(path):
    kind = {".png": "png", ".jpg": "jpeg"}[pathlib.Path(path).suffix]
    data = base64.b64encode((GOLDEN / path).read_bytes()).decode()
    return f"data:image/{kind};base64,{data}"


def _with_data(part):
    if part["type"] == "image_url":
        return {"type": "image_url", "image_url": {"url": data_url(part["image_url"]["url"])}}
    if part["type"] == "video":
        return {**part, "frames": [data_url(frame) for frame in part["frames"]]}
    return part


def with_data_urls(messages):
    """The messages of a golden case, its picture paths replaced by data URLs."""
    converted = []
    for message in messages:
        content = message["content"]
        if not isinstance(content, str):
            content = [_with_data(part) for part in content]
        converted.append({**message, "content": content})
    return converted


def blank_png(width, height):
    """A gray picture of that size."""
    row = b"\0" + bytes([127]) * width
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)),
              (b"IDAT", zlib.compress(row * height)), (b"IEND", b"")]
    data = b"\x89PNG\r\n\x1a\n"
    for name, body in chunks:
        data += struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
    return "data:image/png;base64," + base64.b64encode(data).decode()


@pytest.fixture(scope="session")
def picture():
    return data_url("images/scene.png")


def pytest_collection_finish(session):
    """SACCADE_WRITE_DOCS=1: docs/compatibility.md anew, when all tests of this folder are there."""
    if os.environ.get("SACCADE_WRITE_DOCS") and compatibility.is_whole(session.items):
        compatibility.PATH.write_text(compatibility.render(session.items, compatibility.versions()))
