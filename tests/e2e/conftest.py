import base64
import os
import pathlib
import sys

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
instructblip = _session_server("instructblip")
blip2 = _session_server("blip2_opt")
idefics3 = _session_server("idefics3")


def data_url(path):
    kind = {".png": "png", ".jpg": "jpeg"}[pathlib.Path(path).suffix]
    data = base64.b64encode((GOLDEN / path).read_bytes()).decode()
    return f"data:image/{kind};base64,{data}"


def with_data_urls(messages):
    """The messages of a golden case, its picture paths replaced by data URLs."""
    converted = []
    for message in messages:
        content = message["content"]
        if not isinstance(content, str):
            content = [
                {"type": "image_url", "image_url": {"url": data_url(part["image_url"]["url"])}}
                if part["type"] == "image_url" else part
                for part in content
            ]
        converted.append({**message, "content": content})
    return converted


@pytest.fixture(scope="session")
def picture():
    return data_url("images/scene.png")


def pytest_collection_finish(session):
    """SACCADE_WRITE_DOCS=1: docs/compatibility.md anew, when all tests of this folder are there."""
    if os.environ.get("SACCADE_WRITE_DOCS") and compatibility.is_whole(session.items):
        compatibility.PATH.write_text(compatibility.render(session.items, compatibility.versions()))
