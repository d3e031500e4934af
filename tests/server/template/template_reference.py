"""Both sides of the comparison: transformers' own Jinja environment, and ours behind a pipe."""

import datetime
import json
import os
import pathlib
import subprocess

from transformers.utils import chat_template_utils

REPOSITORY = pathlib.Path(__file__).resolve().parents[3]
NOW = 1753000000  # the clock of both sides: 20 July 2025


class FixedClock(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return datetime.datetime.fromtimestamp(NOW)


chat_template_utils.datetime = FixedClock


def tool_path() -> pathlib.Path:
    """SACCADE_BUILD_DIR names the build folder (default: build/ of this checkout)."""
    build = pathlib.Path(os.environ.get("SACCADE_BUILD_DIR", REPOSITORY / "build"))
    return build / "bin" / "template_tool"


def compile_reference(source: str):
    """The compiled template, or the exception."""
    try:
        return chat_template_utils._compile_jinja_template(source)
    except Exception as error:  # noqa: BLE001 - whatever Python raises is an error here
        return error


def render_reference(template, variables: dict) -> dict:
    if isinstance(template, Exception):
        return {"error": f"{type(template).__name__}: {template}"}
    try:
        return {"output": template.render(**variables)}
    except Exception as error:  # noqa: BLE001
        return {"error": f"{type(error).__name__}: {error}"}


def run_tool(templates: list[str], cases: list[dict], *options: str) -> list[dict]:
    path = tool_path()
    assert path.exists(), f"build the target template_tool first ({path} is missing)"
    document = json.dumps({"now": NOW, "templates": templates, "cases": cases})
    done = subprocess.run(
        [path, *options], input=document.encode(), stdout=subprocess.PIPE, check=True, timeout=120
    )
    return json.loads(done.stdout)
