"""What one needs to run the program: asked for as small containers, and templates that checkpoints lack."""

import json
import pathlib
import shutil

import pytest
from server_process import GOLDEN, Server


def test_the_program_and_all_it_loads_are_below_a_gigabyte(llama):
    mapped = {line.split()[-1] for line in pathlib.Path(f"/proc/{llama.process.pid}/maps").read_text().splitlines()
              if "/" in line and line.split()[1].startswith("r-xp")}
    files = [pathlib.Path(path) for path in mapped if pathlib.Path(path).is_file()]
    assert any("libtorch_cpu" in path.name for path in files) and not any("python" in path.name for path in files)
    assert sum(path.stat().st_size for path in files) < 1e9


@pytest.mark.skipif(not pathlib.Path("/sys/kernel/mm/transparent_hugepage").exists(), reason="no large pages here")
def test_memory_asks_for_large_pages(llama):
    flags = [line.split()[1:] for line in pathlib.Path(f"/proc/{llama.process.pid}/smaps").read_text().splitlines()
             if line.startswith("VmFlags:")]
    assert any("hg" in of_mapping for of_mapping in flags)


def test_llava_15_has_its_template_built_in(tmp_path):
    folder = tmp_path / "llava"
    shutil.copytree(GOLDEN / "llava", folder, ignore=shutil.ignore_patterns("golden*", "chat_template*"))
    for path in folder.glob("*.json"):
        content = json.loads(path.read_text())
        if isinstance(content, dict) and content.pop("chat_template", None):
            path.write_text(json.dumps(content))
    server = Server(folder)
    messages = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yo"},
                {"role": "user", "content": "Who?"}]
    ids = server.post("/tokenize", {"messages": messages}).json()["tokens"]
    text = server.post("/detokenize", {"tokens": ids}).json()["prompt"]
    assert "USER: Hi ASSISTANT: Yo" in text and text.endswith("USER: Who? ASSISTANT:")
    assert server.stop() == 0
