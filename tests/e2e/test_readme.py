"""What the README tells its reader to type runs as it stands there."""

import json
import os
import re
import subprocess
import sys

import pytest

from server_process import ROOT, Server, run

TEXT = (ROOT / "README.md").read_text()
ADDRESS = "http://127.0.0.1:8000"


def block(language, word):
    """The one code block of the README that holds the word."""
    blocks = [text for text in re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL) if word in text]
    assert len(blocks) == 1, (language, word)
    return blocks[0]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    defaults = tmp_path_factory.mktemp("readme") / "defaults.json"
    defaults.write_text(json.dumps({"saccade-default": {"temperature": 0}}))  # by chance an answer could be empty
    made = Server("llava", "--served-model-name", "saccade-default", "--model-defaults", defaults)
    yield made
    assert made.stop() == 0


def typed(command, text, server):
    assert ADDRESS in text
    made = subprocess.run([*command, text.replace(ADDRESS, server.url)], cwd=ROOT, capture_output=True, text=True,
                          timeout=60, env={**os.environ, "no_proxy": "127.0.0.1"})
    assert made.returncode == 0, made.stderr
    return made.stdout


def test_the_picture_by_curl(server):
    answer = json.loads(typed(["bash", "-c"], block("sh", "curl http"), server))
    assert answer["choices"][0]["message"]["content"] and answer["usage"]["prompt_tokens_details"]["image_tokens"] == 9


def test_the_stream_by_the_official_client(server):
    assert typed([sys.executable, "-c"], block("python", "OpenAI"), server).strip()


def test_every_file_that_is_named_is_there():
    texts = {name: (ROOT / name).read_text() for name in ("README.md", "CONTRIBUTING.md", "docs/api.md")}
    for name, text in texts.items():
        here = (ROOT / name).parent
        for path in re.findall(r"\]\(([a-z][\w./-]*)\)", text):
            assert (here / path).exists(), (name, path)
        for path in re.findall(r"`((?:scripts|docs|tests|server|engine)/[\w./-]*\w)`", text):
            assert (ROOT / path).exists() or list((ROOT / path).parent.glob((ROOT / path).name + ".*")), (name, path)
    examples = {path.name for path in (ROOT / "scripts" / "examples").glob("*.py")}
    assert examples == set(re.findall(r"`(\w+\.py)`", texts["docs/api.md"])), "docs/api.md lists each example"


def test_every_option_that_is_named_is_one():
    known = "".join(run(command, "--help").stdout for command in ("serve", "bench", "generate"))
    others = {"--preset", "--build", "--install", "--prefix", "--once"}  # of cmake, and of the scripts
    for name in ("README.md", "docs/api.md", "docs/videos.md", "docs/structured_output.md"):
        text = re.sub(r"```.*?```", "", (ROOT / name).read_text(), flags=re.DOTALL)
        for option in re.findall(r"`[^`]*?(--[a-z][a-z-]+)", text):
            assert option in others or re.search(rf"{option}\b", known), (name, option)
