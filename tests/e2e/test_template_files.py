"""Which of a folder's chat templates is taken: that of transformers' AutoProcessor or AutoTokenizer."""

import json
import os

import pytest

from server_process import GOLDEN, Server

TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}]
MESSAGES = [{"role": "user", "content": "hi"}]
OF_TEMPLATES = ("chat_template.jinja", "chat_template.json")
PICTURES, TEXT = "llava", "llama_gqa"


def template(name):
    return name + "{% if tools %}+{% endif %}{% for message in messages %} {{ message.content }}{% endfor %}"


def as_json(name):
    return json.dumps({"chat_template": template(name)})


JINJA = {"chat_template.jinja": template("jinja")}
JSON = {"chat_template.json": as_json("json")}
PROCESSOR = {"processor_config.json": as_json("processor")}
TOKENIZER = {"tokenizer_config.json": as_json("tokenizer")}
LIST = {"tokenizer_config.json": json.dumps({"chat_template": [
    {"name": name, "template": template(name)} for name in ("rag", "tool_use", "default")]})}
MORE = {f"additional_chat_templates/{name}.jinja": template("more_" + name) for name in ("rag", "tool_use")}
FIFTH = {"config.json": json.dumps({"transformers_version": "5.18.0"})}
BROKEN = {"chat_template.json": "{"}

# (base, files, template without tools, with them). Rows without FIFTH are asked of the library, too.
ROWS = [
    (PICTURES, JINJA | TOKENIZER, "jinja", None),
    (PICTURES, JSON | JINJA | TOKENIZER, "json", None),
    (PICTURES, PROCESSOR | JINJA, "jinja", None),
    (PICTURES, PROCESSOR | TOKENIZER, "processor", None),
    (PICTURES, JINJA | MORE, "jinja", "jinja"),
    (PICTURES, FIFTH | PROCESSOR | JSON | JINJA, "processor", None),
    (PICTURES, FIFTH | JSON | JINJA, "json", None),
    (TEXT, JSON | JINJA, "jinja", None),
    (TEXT, JSON | TOKENIZER, "tokenizer", None),
    (TEXT, BROKEN | JINJA | TOKENIZER, "jinja", "jinja"),
    (TEXT, LIST, "default", "tool_use"),
    (TEXT, LIST | JINJA, "jinja", "jinja"),
    (TEXT, LIST | JINJA | MORE, "jinja", "more_tool_use"),
]


def make_folder(folder, base, files):
    """The tiny checkpoint with these template files alone; JSON files keep their other members."""
    folder.mkdir()
    for source in (GOLDEN / base).iterdir():
        if source.name not in (*OF_TEMPLATES, *files):
            os.symlink(source, folder / source.name)
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        source = GOLDEN / base / name
        if source.exists() and name not in OF_TEMPLATES:
            text = json.dumps({**json.loads(source.read_text()), **json.loads(text)})
        path.write_text(text)
    return folder


def of_the_library(folder, base, tools):
    from transformers import AutoProcessor, AutoTokenizer

    reader = (AutoProcessor if base == PICTURES else AutoTokenizer).from_pretrained(folder)
    return reader.apply_chat_template(MESSAGES, tools=tools, tokenize=False)


def of_the_server(server, tools):
    body = {"messages": MESSAGES, "add_special_tokens": False, **({"tools": tools} if tools else {})}
    tokens = server.post("/tokenize", body).json()["tokens"]
    return server.post("/detokenize", {"tokens": tokens}).json()["prompt"]


@pytest.mark.parametrize("base, files, plain, with_tools", ROWS,
                         ids=lambda value: "+".join(value) if isinstance(value, dict) else value)
def test_the_librarys_choice(tmp_path, base, files, plain, with_tools):
    folder = make_folder(tmp_path / "model", base, files)
    server = Server(folder)
    for tools, name in ((None, plain), (TOOLS, with_tools)):
        if name is None:
            continue
        expected = name + "+" * bool(tools) + " hi"
        assert of_the_server(server, tools) == expected
        if "config.json" not in files:
            assert of_the_library(folder, base, tools) == expected
    assert server.stop() == 0
