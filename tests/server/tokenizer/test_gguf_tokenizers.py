"""Tokenizers inside GGUF files: the same ids as the library that the file's tokens came from."""

import json
import subprocess

import gguf
import pytest
import sentencepiece

import reference_tokenizers as reference
from test_tokenizer_against_reference import TOOL, Tool, generated_texts, sentencepiece_model  # noqa: F401

CONTROL, USER_DEFINED = 3, 4


def write(path, model, tokens, types, **rest):
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_tokenizer_model(model)
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    for name, value in rest.items():
        getattr(writer, name)(value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.mark.parametrize("kind, pre", [("gpt2", "gpt-2"), ("llama3", "llama-bpe"), ("qwen2", "qwen2"),
                                       ("smollm2", "smollm")])
def test_byte_level_bpe(kind, pre, tmp_path):
    library = reference.KINDS[kind]()
    state = json.loads(library.to_str())
    tokens = [library.id_to_token(i) for i in range(library.get_vocab_size())]
    types = [1] * len(tokens)
    for added in state["added_tokens"]:
        types[added["id"]] = CONTROL if added["special"] else USER_DEFINED
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in state["model"]["merges"]]
    file = write(tmp_path / "t.gguf", "gpt2", tokens, types, add_tokenizer_pre=pre, add_token_merges=merges)
    # Such a file has no word for these flags.
    flagged = [a["content"] for a in state["added_tokens"] if a["lstrip"] or a["rstrip"] or a["single_word"]]
    texts = [t for t in generated_texts()[:3000] if not any(content in t for content in flagged)]
    assert len(texts) > 2000
    wanted = [e.ids for e in library.encode_batch_fast(texts, add_special_tokens=False)]
    got = Tool(file).encode(texts, special=False)
    assert [t for t, ours, theirs in zip(texts, got, wanted, strict=True) if ours != theirs] == []
    texts = [library.decode(i, skip_special_tokens=False) for i in wanted[:500]]
    assert Tool(file).decode(wanted[:500], False) == texts


@pytest.mark.parametrize("frame", [False, True])
def test_sentencepiece(sentencepiece_model, tmp_path, frame):  # noqa: F811
    processor = sentencepiece.SentencePieceProcessor(str(sentencepiece_model))
    count = processor.get_piece_size()
    types = [2 if processor.is_unknown(i) else CONTROL if processor.is_control(i) else 6 if processor.is_byte(i) else 1
             for i in range(count)]
    file = write(tmp_path / "t.gguf", "llama", [processor.id_to_piece(i) for i in range(count)], types,
                 add_token_scores=[processor.get_score(i) for i in range(count)],
                  add_bos_token_id=1, add_eos_token_id=2,
                 add_unk_token_id=0, add_add_bos_token=frame, add_add_eos_token=frame)
    special = ("<unk>", "<s>", "</s>")
    texts = [t for t in generated_texts()[:2000] if "\0" not in t and not any(s in t for s in special)]
    got = Tool(file).encode(texts)
    for text, ours in zip(texts, got, strict=True):
        wanted = processor.encode(text)
        assert ours == ([1, *wanted, 2] if frame else wanted), ascii(text)


def test_what_a_file_lacks_or_has_too_much_of_is_named(tmp_path):
    cases = [({"model": "bert", "tokens": ["a"]}, "tokenizer.ggml.model: \"bert\" is not supported"),
             ({"model": "gpt2", "tokens": ["a"], "types": [1, 1]}, "has 2 values for 1 tokens"),
             ({"model": "gpt2", "tokens": ["a"], "add_tokenizer_pre": "other"}, "tokenizer.ggml.pre: \"other\""),
             ({"model": "gpt2", "tokens": ["a"], "add_bos_token_id": 7}, "bos_token_id: is not a token"),
             ({"model": "llama", "tokens": ["a"]}, "tokenizer.ggml.scores: has 0 values for 1 tokens")]
    for i, (parts, message) in enumerate(cases):
        parts = {"types": [1], **parts}
        file = write(tmp_path / f"{i}.gguf", parts.pop("model"), parts.pop("tokens"), parts.pop("types"), **parts)
        done = subprocess.run([TOOL, "--check", file], capture_output=True, text=True, timeout=20)
        assert done.returncode == 1 and message in done.stderr, done.stderr
