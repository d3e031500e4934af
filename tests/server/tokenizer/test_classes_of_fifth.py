"""Folders of transformers 5 are read as its classes read them. The tests run 4.57, so what those do stands here."""

import json

import pytest
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

import reference_tokenizers as reference
from test_tokenizer_against_reference import Tool


def pieces(model, scheme, strips=True):
    """LlamaTokenizer."""
    tokenizer = Tokenizer(models.BPE(**model, fuse_unk=True, byte_fallback=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace("\u2581", prepend_scheme=scheme, split=False)
    steps = [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()]
    tokenizer.decoder = decoders.Sequence(steps + [decoders.Strip(" ", 1, 0)] * strips)
    return tokenizer


def code_llama(model, scheme="first"):
    tokenizer = Tokenizer(models.BPE(**model, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    known = pieces(model, scheme)
    tokenizer.pre_tokenizer, tokenizer.decoder = known.pre_tokenizer, known.decoder
    tokenizer.post_processor = processors.TemplateProcessing("<s> $A", special_tokens=[("<s>", 1)])
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


def prefixed(model):
    return byte_level(model, prefix=True)


def gpt_neox(model):
    tokenizer = byte_level(model)
    tokenizer.normalizer = normalizers.NFC()
    return tokenizer


def qwen2(model):
    tokenizer = gpt_neox(model)
    words = pre_tokenizers.Split(Regex(reference.QWEN2), "isolated")
    ends = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([words, ends])
    return tokenizer


def special_tokens(read_as):
    """What the class adds where no file names it."""
    if read_as in (byte_level, prefixed, gpt_neox, qwen2):
        return ["<|endoftext|>"]
    return ["<bos>", "<eos>", "<unk>", "<pad>"] if read_as is gemma else ["<s>", "</s>", "<unk>"]


LEGACY, WORDS = "legacy_llama", "gpt2_prefix"  # what tokenizer.json holds
LLAMA = {"tokenizer_class": "LlamaTokenizer"}
# What it is, the model, the class that is named and fields beside it -> what it is read as (None: as it stands).
CASES = {
    "llama": (LEGACY, "llama", {"tokenizer_class": "LlamaTokenizer"}, lambda m: pieces(m, "first")),
    "llama_legacy": (LEGACY, "idefics2", {"tokenizer_class": "LlamaTokenizerFast", "legacy": True},
                     lambda m: pieces(m, "always")),
    "no_prefix": (LEGACY, "video_llava", {"tokenizer_class": "LlamaTokenizer", "add_prefix_space": False},
                  lambda m: pieces(m, "never", strips=False)),
    "code_llama": (LEGACY, "llama", {"tokenizer_class": "CodeLlamaTokenizerFast", "add_eos_token": True}, code_llama),
    "code_llama_no_prefix": (LEGACY, "llama", {"tokenizer_class": "CodeLlamaTokenizer", "add_prefix_space": False},
                             lambda m: code_llama(m, "never")),
    "gemma": (LEGACY, "gemma2", {"tokenizer_class": "GemmaTokenizer"}, gemma),
    "gpt2": (WORDS, "opt", {}, byte_level),
    "gpt2_prefix": ("gpt2", "opt", {"add_prefix_space": True}, prefixed),
    "qwen2": (WORDS, "qwen3", {"tokenizer_class": "Qwen2TokenizerFast"}, qwen2),
    "qwen2_always": (WORDS, "qwen2", {"tokenizer_class": "TokenizersBackend"}, qwen2),
    "backend": (WORDS, "qwen3", {"tokenizer_class": "TokenizersBackend", "add_prefix_space": False}, None),
    "llava": (LEGACY, "llava", {"tokenizer_class": "LlamaTokenizer", "add_eos_token": True}, None),
    "mistral": (LEGACY, "mistral", {"tokenizer_class": "LlamaTokenizer", "add_bos_token": False}, None),
    "unigram": ("unigram", "llama", LLAMA, lambda m: pieces(m, "first")),
    "unigram_qwen2": ("unigram", "qwen2", {"tokenizer_class": "TokenizersBackend"}, qwen2),
    "wordpiece": ("bert", "opt", {}, byte_level),
    "byte_level_llama": (WORDS, "llama", LLAMA, lambda m: pieces(m, "first")),
    "gpt_neox": (WORDS, "gpt_neox", {}, gpt_neox),
    "gpt_neox_named": (LEGACY, "mpt", {"tokenizer_class": "GPTNeoXTokenizer", "add_bos_token": True}, gpt_neox),
    "gpt_neox_backend": (WORDS, "mpt", {"tokenizer_class": "PreTrainedTokenizerFast", "add_prefix_space": False}, None),
}
# Since 5.22 what is byte-level stands where LlamaTokenizer is named, and only there.
CASES_OF_5_22 = {
    "kept_byte_level": (WORDS, "llama", {**LLAMA, "add_prefix_space": False}, None),
    "kept_behind_a_tower": (WORDS, "idefics2", {**LLAMA, "add_prefix_space": False}, None),
    "not_byte_level": CASES["llama"],
    "class_of_model": (WORDS, "idefics2", {}, lambda m: pieces(m, "first")),
    "other_class": CASES["qwen2"],
    "llama_of_qwen2": (WORDS, "qwen2", LLAMA, qwen2),
}


def bpe_of(tokenizer):
    """Vocabulary and merges, as the classes read them from any model."""
    model = json.loads(tokenizer.to_str())["model"]
    merges = [tuple(pair.split(" ")) if isinstance(pair, str) else tuple(pair) for pair in model.get("merges", [])]
    vocab = model["vocab"]
    return {"vocab": {piece: i for i, (piece, _) in enumerate(vocab)} if isinstance(vocab, list) else vocab,
            "merges": merges}


@pytest.mark.parametrize("version, case", [
    *[pytest.param("5.18.0", case, id=name) for name, case in CASES.items()],
    *[pytest.param("5.22.0", case, id=name) for name, case in CASES_OF_5_22.items()]])
def test_classes_with_a_pipeline_of_their_own(version, case, tmp_path):
    kind, model_type, config, read_as = case
    written = reference.KINDS[kind]()
    written.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": model_type, "transformers_version": version}))
    theirs = written
    if read_as:
        theirs = read_as(bpe_of(written))
        theirs.add_tokens([token for _, token in sorted(written.get_added_tokens_decoder().items())])
        theirs.add_special_tokens(special_tokens(read_as))
        if read_as is not gpt_neox and not theirs.post_processor:  # the classes' own, whatever add_bos_token says
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
