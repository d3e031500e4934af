import sys
import pathlib

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from media_client import MediaTool, tool_path  # noqa: E402


@pytest.fixture(scope="module")
def tool():
    assert tool_path().exists(), f"build the target media_tool first ({tool_path()} is missing)"
    media_tool = MediaTool()
    yield media_tool
    assert media_tool.close() == 0
