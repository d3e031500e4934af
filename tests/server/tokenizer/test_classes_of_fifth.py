"""Folders of transformers 5 are read as its classes read them. The tests run 4.57, so what those do stands here."""

import json

import pytest
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

import reference_tokenizers as reference
from test_tokenizer_against_reference import Tool


def pieces(model, scheme, strips=True):
    """LlamaTokenizer."""
    tokenizer = Tokenizer(models.BPE(**model, fuse_unk=True, byte_fallback=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace("\u2581", prepend_scheme=scheme, split=False)
    steps = [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()]
    tokenizer.decoder = decoders.Sequence(steps + [decoders.Strip(" ", 1, 0)] * strips)
    return tokenizer


def gemma(model):
    tokenizer = Tokenizer(models.BPE(**model, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Replace(" ", "\u2581")
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    steps = [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()]
    tokenizer.decoder = decoders.Sequence(steps)
    return tokenizer


def byte_level(model, prefix=False):
    """GPT2Tokenizer."""
    tokenizer = Tokenizer(models.BPE(**model))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def qwen2(model):
    tokenizer = byte_level(model)
    tokenizer.normalizer = normalizers.NFC()
    words = pre_tokenizers.Split(Regex(reference.QWEN2), "isolated")
    ends = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([words, ends])
    return tokenizer


LEGACY, WORDS = "legacy_llama", "gpt2_prefix"  # what tokenizer.json holds
# What it is, the model, the class that is named and fields beside it -> what it is read as (None: as it stands).
CASES = {
    "llama": (LEGACY, "llama", {"tokenizer_class": "LlamaTokenizer"}, lambda m: pieces(m, "first")),
    "llama_legacy": (LEGACY, "idefics2", {"tokenizer_class": "LlamaTokenizerFast", "legacy": True},
                     lambda m: pieces(m, "always")),
    "no_prefix": (LEGACY, "video_llava", {"tokenizer_class": "LlamaTokenizer", "add_prefix_space": False},
                  lambda m: pieces(m, "never", strips=False)),
    "gemma": (LEGACY, "gemma2", {"tokenizer_class": "GemmaTokenizer"}, gemma),
    "gpt2": (WORDS, "opt", {}, byte_level),
    "gpt2_prefix": ("gpt2", "opt", {"add_prefix_space": True}, lambda m: byte_level(m, prefix=True)),
    "qwen2": (WORDS, "qwen3", {"tokenizer_class": "Qwen2TokenizerFast"}, qwen2),
    "qwen2_always": (WORDS, "qwen2", {"tokenizer_class": "TokenizersBackend"}, qwen2),
    "backend": (WORDS, "qwen3", {"tokenizer_class": "TokenizersBackend", "add_prefix_space": False}, None),
    "llava": (LEGACY, "llava", {"tokenizer_class": "LlamaTokenizer", "add_eos_token": True}, None),
    "mistral": (LEGACY, "mistral", {"tokenizer_class": "LlamaTokenizer", "add_bos_token": False}, None),
    "unigram": ("unigram", "llama", {"tokenizer_class": "LlamaTokenizer"}, None),
}


@pytest.mark.parametrize("name", CASES)
def test_classes_with_a_pipeline_of_their_own(name, tmp_path):
    kind, model_type, config, read_as = CASES[name]
    written = reference.KINDS[kind]()
    written.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": model_type, "transformers_version": "5.18.0"}))
    theirs = written
    if read_as:
        model = json.loads(written.to_str())["model"]
        merges = [tuple(pair.split(" ")) if isinstance(pair, str) else tuple(pair) for pair in model["merges"]]
        theirs = read_as({"vocab": model["vocab"], "merges": merges})
        theirs.add_tokens([token for _, token in sorted(written.get_added_tokens_decoder().items())])
        theirs.post_processor = written.post_processor
    texts = reference.texts(300, seed=11)
    wanted = [theirs.encode(text).ids for text in texts]
    for text, ours, ids in zip(texts, Tool(tmp_path).encode(texts), wanted, strict=True):
        assert ours == ids, ascii(text)
    assert Tool(tmp_path).decode(wanted[:200], skip=False) == [
        theirs.decode(ids, skip_special_tokens=False) if ids else "" for ids in wanted[:200]]


@pytest.mark.parametrize("version, ids", [("4.57.6", [3]), ("5.18.0", [])])
def test_the_template_is_that_of_the_file(version, ids, tmp_path):
    """Before 5 LlamaTokenizer begins every text with <s>, and obeys add_eos_token."""
    tokenizer = Tokenizer(models.BPE(vocab={"<unk>": 0, "\u2581a": 1, "</s>": 2, "<s>": 3}, merges=[]))
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "LlamaTokenizer"}))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama", "transformers_version": version}))
    assert Tool(tmp_path).encode([""]) == [ids]
