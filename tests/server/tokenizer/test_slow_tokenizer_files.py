"""Folders that hold the files of a slow tokenizer alone are read as transformers converts them."""

import functools
import json
import subprocess

import pytest
import transformers

import reference_tokenizers as reference
from test_tokenizer_against_reference import TOOL, Tool

PIECES = {"unk_token": "</s>", "bos_token": "</s>", "eos_token": "</s>"}
TEXT_END = "<|endoftext|>"
# tokenizer_config.json, and what of other files stands beside it.
BYTE_LEVEL = {
    "opt": {"tokenizer_class": "GPT2Tokenizer", "add_bos_token": True, "add_prefix_space": False, **PIECES},
    "gpt2": {"tokenizer_class": "GPT2Tokenizer", "add_prefix_space": True},
    # A begin token of its own that no file lists.
    "added_bos": {"tokenizer_class": "GPT2Tokenizer", "add_bos_token": True, "bos_token": "<|begin|>"},
    "qwen2": {"tokenizer_class": "Qwen2Tokenizer", "eos_token": "<|im_end|>", "pad_token": TEXT_END,
              "added_tokens_decoder": {"3005": {"content": "<image>", "special": True, "normalized": False},
                                       "3006": {"content": "tool", "lstrip": True, "normalized": False}}},
    "qwen2_old": {"tokenizer_class": "Qwen2Tokenizer", "eos_token": "<|im_end|>", "pad_token": TEXT_END},
}
LEGACY = {"<image>": 3007, "<|im_end|>": 3006, "Hello": 3008}


@functools.cache
def texts():
    return reference.texts(1500, seed=5)


def same_ids(folder):
    theirs = transformers.AutoTokenizer.from_pretrained(folder)
    assert theirs.is_fast
    tool = Tool(folder)
    for special in (True, False):
        wanted = [theirs(t, add_special_tokens=special)["input_ids"] for t in texts()]
        for text, ours, ids in zip(texts(), tool.encode(texts(), special=special), wanted, strict=True):
            assert ours == ids, ascii(text)
    shown = [theirs.decode(ids, clean_up_tokenization_spaces=False) for ids in wanted[:300]]
    assert tool.decode(wanted[:300], skip=False) == shown


@pytest.mark.parametrize("name", BYTE_LEVEL)
def test_vocab_and_merges(name, tmp_path):
    model = json.loads(reference.KINDS["qwen2" if name.startswith("qwen2") else "gpt2"]().to_str())["model"]
    vocabulary = model["vocab"] | {"</s>": len(model["vocab"]), TEXT_END: len(model["vocab"]) + 1}
    (tmp_path / "vocab.json").write_text(json.dumps(vocabulary))
    pairs = [" ".join(pair) if isinstance(pair, list) else pair for pair in model["merges"]]
    (tmp_path / "merges.txt").write_text("\n".join(["#version: 0.2", *pairs]) + "\n")
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(BYTE_LEVEL[name]))
    if name == "qwen2_old":
        (tmp_path / "added_tokens.json").write_text(json.dumps(LEGACY))
    same_ids(tmp_path)


@pytest.mark.parametrize("lower", (True, False))
def test_vocab_of_bert(lower, tmp_path):
    vocabulary = json.loads(reference.KINDS["bert"]().to_str())["model"]["vocab"]
    tokens = sorted(vocabulary, key=vocabulary.get)
    (tmp_path / "vocab.txt").write_text("".join(token + "\n" for token in tokens))
    config = {"tokenizer_class": "BertTokenizer", "do_lower_case": lower, "model_max_length": 512}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    same_ids(tmp_path)


@pytest.mark.parametrize("flags", [
    {}, {"strip_accents": None}, {"do_lower_case": False}, {"do_lower_case": False, "tokenize_chinese_chars": False}])
@pytest.mark.parametrize("kind", ["bert", "bert_cased"])
def test_the_normalizer_of_bert_is_that_of_its_class(kind, flags, tmp_path):
    """Whatever tokenizer.json says: its class lowercases where no file says otherwise."""
    reference.KINDS[kind]().save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "BertTokenizer", **flags}))
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    sentences = ["ONE Two", "Stra\u00dfe \u00c9t\u00e9", "a\u4e2d\u6587B"]
    assert Tool(tmp_path).encode(sentences) == [theirs(text)["input_ids"] for text in sentences]


@pytest.mark.parametrize("files, expected", [
    ({"vocab.json": "{}"}, "merges.txt: cannot open"),
    ({"vocab.json": "[1", "merges.txt": ""}, "vocab.json"),
    ({"vocab.json": '{"a": 0, "b": 1}', "merges.txt": "#version\na b\n"}, "ab is not in the vocabulary"),
    ({"vocab.json": '{"a": 0}', "merges.txt": "\n", "tokenizer_config.json": '{"tokenizer_class": "BartTokenizer"}'},
     'tokenizer_config.json: tokenizer_class: "BartTokenizer"'),
    ({"vocab.txt": "[CLS]\n[SEP]\n"}, 'tokenizer_config.json: tokenizer_class: ""'),
])
def test_broken_files_are_named(files, expected, tmp_path):
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    done = subprocess.run([TOOL, "--check", tmp_path], capture_output=True, text=True, timeout=20)
    assert done.returncode == 1 and expected in done.stderr, done.stderr


@pytest.mark.parametrize("flags", [{}, {"add_bos_token": False}, {"add_bos_token": True, "add_eos_token": True}])
@pytest.mark.parametrize("kind, ends", [
    ("LlamaTokenizer", ("<s>", "</s>")), ("GemmaTokenizerFast", ("<bos>", "<eos>")),
    ("GPTNeoXTokenizerFast", ("<|endoftext|>", "<|endoftext|>")), ("PreTrainedTokenizerFast", ("<s>", "</s>"))])
def test_classes_with_a_template_of_their_own(kind, ends, flags, tmp_path):
    tokenizer = reference.KINDS["llama3"]()
    tokenizer.add_special_tokens(list(ends))
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    config = {"tokenizer_class": kind, "bos_token": ends[0], "eos_token": ends[1], **flags}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    sentences = ["one two", "", ends[0] + "three"]
    assert Tool(tmp_path).encode(sentences) == [theirs(text)["input_ids"] for text in sentences]


@pytest.mark.parametrize("kind", [
    "LlamaTokenizer", "GemmaTokenizerFast", "GPTNeoXTokenizerFast", "GPT2TokenizerFast", "Qwen2TokenizerFast"])
@pytest.mark.parametrize("config", [
    {}, {"bos_token": "<s>"}, {"add_eos_token": True}, {"add_prefix_space": None}, {"eos_token": "</s>"}])
def test_special_tokens_that_only_the_class_names(kind, config, tmp_path):
    """They are added, in its order. Null leaves the prefix of tokenizer.json, nothing (but Llama's) means none."""
    tokenizer = reference.KINDS["gpt2_prefix"]()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": kind, **config}))
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    sentences = ["one two", "", "a<unk><eos><bos><pad></s> <s><|endoftext|>"]
    assert Tool(tmp_path).encode(sentences) == [theirs(text)["input_ids"] for text in sentences]


@pytest.mark.parametrize("rows", [1, 0])
def test_a_begin_token_that_only_the_class_of_a_model_names(rows, tmp_path):
    """It is added where the embedding has a row for it. The library adds it in any case, and then cannot run."""
    tokenizer = reference.KINDS["gpt2"]()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    size = tokenizer.get_vocab_size() + rows
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "gemma2", "vocab_size": size}))
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    sentences = ["one two", "", "three"]
    read = [theirs(text)["input_ids"] if rows else tokenizer.encode(text).ids for text in sentences]
    assert Tool(tmp_path).encode(sentences) == read
    assert all(ids[0] == size - 1 for ids in read) or not rows


@pytest.mark.parametrize("model_type, bos, named", [
    ("llama", "<s>", {}), ("llava", "<s>", {}), ("gemma2", "<bos>", {}), ("qwen2", "<s>", {}), ("opt", "<s>", {}),
    ("mpt", "<s>", {}),
    ("qwen2", "<s>", {"tokenizer_class": "LlamaTokenizerFast"}), ("llama", "<s>", {"bos_token": "</s>"})])
def test_the_class_of_a_model_that_names_none(model_type, bos, named, tmp_path):
    """In config.json, or by its model_type; tokenizer_config.json may be missing."""
    tokenizer = reference.KINDS["gpt2"]()
    tokenizer.add_special_tokens([bos, "<unk>", "</s>", "<eos>", "<pad>", TEXT_END])
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": model_type, **named}))
    if "bos_token" in named:
        (tmp_path / "tokenizer_config.json").write_text(json.dumps(named))
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    sentences = ["one two", "", "</s>three"]
    assert Tool(tmp_path).encode(sentences) == [theirs(text)["input_ids"] for text in sentences]
