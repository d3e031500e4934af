"""Compares the C++ tokenizer with Hugging Face `tokenizers`: at least 10,000 generated texts for
every kind of tokenizer, id for id, both ways; then text of users, streams and hostile files.

    .venv/bin/pytest tests/server/tokenizer    (SACCADE_BUILD_DIR names the build folder)
"""

import copy
import functools
import json
import os
import pathlib
import random
import re
import subprocess

import pytest
import sentencepiece
import transformers
from tokenizers import Tokenizer, normalizers, pre_tokenizers

import reference_tokenizers as reference

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
ROOT = pathlib.Path(__file__).resolve().parents[3]
TOOL = pathlib.Path(os.environ.get("SACCADE_BUILD_DIR", ROOT / "build")) / "bin/tokenizer_tool"
COUNT = 10_000
USER_COUNT = 1_000


class Tool:
    def __init__(self, folder):
        self.folder = folder

    def ask(self, requests):
        lines = "".join(json.dumps(request) + "\n" for request in requests)
        done = subprocess.run([TOOL, self.folder], input=lines, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    def encode(self, texts, special=True, from_user=False, **options):
        return self.ask({"encode": [[t.encode().hex(), from_user]], "special": special, **options} for t in texts)

    def decode(self, id_lists, skip):
        return [bytes.fromhex(a).decode() for a in self.ask({"decode": i, "skip": skip} for i in id_lists)]


@functools.cache
def generated_texts():
    return reference.texts(COUNT, seed=1)


class Kind:
    def __init__(self, name, folder):
        self.name = name
        self.reference = reference.KINDS[name]()
        self.reference.save(str(folder / "tokenizer.json"))
        self.tool = Tool(folder)
        self.texts = generated_texts()
        self.ids = [e.ids for e in self.reference.encode_batch_fast(self.texts)]

    def decode(self, ids, skip):
        # Without tokens the reference's BPEDecoder panics.
        return self.reference.decode(ids, skip_special_tokens=skip) if ids else ""


@pytest.fixture(scope="module", params=list(reference.KINDS))
def kind(request, tmp_path_factory):
    return Kind(request.param, tmp_path_factory.mktemp(request.param))


def assert_same(kind, inputs, got, wanted):
    for given, ours, theirs in zip(inputs, got, wanted, strict=True):
        assert ours == theirs, f"{kind.name}: {given!a}"


def test_encode(kind):
    assert len(kind.texts) >= 10_000
    assert_same(kind, kind.texts, kind.tool.encode(kind.texts), kind.ids)


def test_decode(kind):
    rng = random.Random(5)
    size = kind.reference.get_vocab_size()
    lists = kind.ids[:1500] + [[rng.randrange(size) for _ in range(rng.randrange(12))] for _ in range(1500)]
    for skip in (True, False):
        assert_same(kind, lists, kind.tool.decode(lists, skip), [kind.decode(ids, skip) for ids in lists])


def test_user_text_never_becomes_special(kind):
    """As the reference does with encode_special_tokens, whatever the text spells."""
    texts = kind.texts[:USER_COUNT]
    plain = copy.deepcopy(kind.reference)
    plain.encode_special_tokens = True
    wanted = [plain.encode(t, add_special_tokens=False).ids for t in texts]
    got = kind.tool.encode(texts, special=False, from_user=True)
    assert_same(kind, texts, got, wanted)
    special = {i for i, t in kind.reference.get_added_tokens_decoder().items() if t.special}
    model_special = special & {i for ids in wanted for i in ids}  # <unk> is one, and comes from the model
    assert not (special - model_special) & {i for ids in got for i in ids}


def test_segments_are_one_text(kind):
    """Borders between segments of the same writer change nothing."""
    rng = random.Random(6)
    requests = []
    for text in kind.texts[:USER_COUNT]:
        cuts = sorted(rng.randrange(len(text) + 1) for _ in range(3))
        parts = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)])]
        requests.append({"encode": [[p.encode().hex(), False] for p in parts], "special": True})
    assert_same(kind, kind.texts[:USER_COUNT], kind.tool.ask(requests), kind.ids[:USER_COUNT])


def test_template_around_user_text(kind):
    """Template, user, template: the template's special tokens and no others."""
    special = [t.content for t in kind.reference.get_added_tokens_decoder().values()
               if t.special and not t.normalized]
    if not special:
        pytest.skip("no special tokens")
    opening, closing = special[0], special[-1]
    # What stands between two special tokens is tokenised on its own, but is not the start of the text.
    inner = copy.deepcopy(kind.reference)
    inner.encode_special_tokens = True
    if kind.name == "metaspace_first":
        inner.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never", split=False)
    texts = kind.texts[:USER_COUNT]
    around = [kind.reference.token_to_id(opening)], [kind.reference.token_to_id(closing)]
    wanted = [around[0] + inner.encode(t, add_special_tokens=False).ids + around[1] for t in texts]
    got = kind.tool.ask({"encode": [[opening.encode().hex(), False], [t.encode().hex(), True],
                                    [closing.encode().hex(), False]]} for t in texts)
    assert_same(kind, texts, got, wanted)


def test_placeholders_are_protected(kind):
    """An id in `protect` is found in the template's text and not in a user's."""
    image = kind.reference.token_to_id("<image>")
    if image is None:
        pytest.skip("no placeholder")
    text = "<image><image> x <image>".encode().hex()
    answers = kind.tool.ask([{"encode": [[text, False]], "protect": [image]},
                             {"encode": [[text, True]], "protect": [image]},
                             {"encode": [[text, True]]}])
    assert [ids.count(image) for ids in answers] == [3, 0, 3]


def test_truncation(kind):
    limits = [2, 3, 5, 17]
    for limit in limits:
        shorter = copy.deepcopy(kind.reference)
        shorter.enable_truncation(limit)
        texts = kind.texts[20:220]
        wanted = [shorter.encode(t).ids for t in texts]
        assert_same(kind, texts, kind.tool.encode(texts, truncate=limit), wanted)


def test_stream_equals_decode(kind):
    """Texts of a stream put together are decode(): only an unfinished character at the end is missing."""
    lists = kind.ids[:1000]
    answers = kind.tool.ask({"stream": ids, "skip": True} for ids in lists)
    for ids, parts in zip(lists, answers, strict=True):
        texts = [bytes.fromhex(part).decode() for part in parts]  # every part is valid UTF-8
        assert "".join(texts) == kind.decode(ids, True), (kind.name, ids)


def test_cut_stream_never_shows_a_replacement_character(kind):
    lists = [ids[:-1] for ids in kind.ids[20:1020] if "\ufffd" not in kind.decode(ids, True)]
    for answer in kind.tool.ask({"stream": ids, "skip": True} for ids in lists):
        assert "\ufffd" not in bytes.fromhex("".join(answer)).decode()


def test_unigram_cuts_of_equal_worth(tmp_path):
    """`..` `.` and `.` `..` weigh the same but for rounding: the sums must round as the reference's do."""
    rng = random.Random(7)
    texts = ["?" * unknown + "a" * known + "..." + "." * more for unknown in range(4) for known in range(3)
             for more in range(3)]
    for _ in range(60):
        pieces = [("<unk>", 0.0), *((piece, -rng.uniform(2, 9)) for piece in ("a", ".", "..", "...."))]
        tokenizer = Tokenizer(reference.models.Unigram(pieces, 0, False))
        tokenizer.save(str(tmp_path / "tokenizer.json"))
        wanted = [tokenizer.encode(text).ids for text in texts]
        for text, ours, theirs in zip(texts, Tool(tmp_path).encode(texts), wanted, strict=True):
            assert ours == theirs, (text, pieces)


# --------------------------------------------------------------------------- all of Unicode


def code_points():
    rng = random.Random(1)
    alike = [range(0x3400, 0xA000), range(0xAC00, 0xD7A4), range(0xE000, 0xF900), range(0x17000, 0x18B00),
             range(0x20000, 0x110000)]
    for code in range(0x20000):
        if not 0xD800 <= code < 0xE000 and not any(code in r for r in alike):
            yield chr(code)
    for block in alike:
        yield from (chr(c) for c in rng.sample(block, 1500))
    yield from map(chr, [0x2A6DF, 0x2B739, 0x2B920, 0x2EBF0, 0x2EE5D, 0x31350, 0x323AF, 0xE0100])


def words_probe(pre_tokenizer):
    """The ids tell where words begin and end."""
    vocab = {t: i for i, t in enumerate(["[UNK]", "a", "-", "1", " ", "'", "aa", "11", "--", " a"])}
    tokenizer = Tokenizer(reference.models.WordLevel(vocab, "[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizer
    return tokenizer, "a{0}a-{0}-1{0}1 {0} '{0}"


def text_probe(normalizer):
    """The ids are the bytes of the normalized text."""
    vocab = {f"<0x{b:02X}>": b for b in range(256)} | {"<unk>": 256}
    tokenizer = Tokenizer(reference.models.BPE(vocab, [], unk_token="<unk>", byte_fallback=True))
    tokenizer.normalizer = normalizer
    return tokenizer, "a{0}b {0}\u0301\u0323\u1df6 \u0345{0}e{0}\u0308"


def split(pattern, behavior="isolated"):
    return pre_tokenizers.Split(reference.Regex(pattern), behavior)


PROBES = {
    **{f"regex_{n}": (words_probe, split(p)) for n, p in {
        "gpt2": reference.GPT2, "llama3": reference.LLAMA3, "qwen2": reference.QWEN2, "other": reference.OTHER,
        "space": r"\s+", "not_space": r"[^\S\n]", "word": r"\w+", "not_word": r"\W", "digit": r"\d",
        "border": r"\b", "punctuation": r"[\p{P}\p{S}]", "marks": r"\p{M}+", "han": r"\p{Han}",
        "contraction": r"(?i:'s|'k|a-)",
        "possessive": r"(?:\p{N}|-){1,2}+|\s++|[a\x{3000}]{2}+|\x{2003}+a|[^\n]?+"}.items()},
    "digits": (words_probe, pre_tokenizers.Digits(individual_digits=True)),
    "punctuation": (words_probe, pre_tokenizers.Punctuation()),
    "whitespace": (words_probe, pre_tokenizers.Whitespace()),
    "whitespace_split": (words_probe, pre_tokenizers.WhitespaceSplit()),
    "bert_words": (words_probe, pre_tokenizers.BertPreTokenizer()),
    "nfc": (text_probe, normalizers.NFC()), "nfd": (text_probe, normalizers.NFD()),
    "nfkc": (text_probe, normalizers.NFKC()), "nfkd": (text_probe, normalizers.NFKD()),
    "lowercase": (text_probe, normalizers.Lowercase()), "strip_accents": (text_probe, normalizers.StripAccents()),
    "strip": (text_probe, normalizers.Strip()), "nmt": (text_probe, normalizers.Nmt()),
    "byte_level": (text_probe, normalizers.ByteLevel()),
    "bert": (text_probe, normalizers.BertNormalizer()),
    "bert_cased": (text_probe, normalizers.BertNormalizer(lowercase=False)),
}


@pytest.mark.parametrize("name", list(PROBES))
def test_every_character(name, tmp_path):
    make, part = PROBES[name]
    tokenizer, pattern = make(part)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    characters = list(code_points())
    texts = [" ".join(map(pattern.format, characters[i:i + 8])) for i in range(0, len(characters), 8)]
    wanted = [e.ids for e in tokenizer.encode_batch_fast(texts)]
    got = Tool(tmp_path).encode(texts)
    wrong = [ascii(t) for t, ours, theirs in zip(texts, got, wanted, strict=True) if ours != theirs]
    assert not wrong, f"{len(wrong)} texts differ: {wrong[:20]}"


# --------------------------------------------------------------------------- SentencePiece alone


@pytest.fixture(scope="module")
def sentencepiece_model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sentencepiece")
    (folder / "corpus.txt").write_text("\n".join(line.replace("\n", " ") for line in reference.corpus(odd=False)))
    sentencepiece.SentencePieceTrainer.train(
        input=str(folder / "corpus.txt"), model_prefix=str(folder / "tokenizer"), vocab_size=900,
        model_type="bpe", byte_fallback=True, normalization_rule_name="identity", add_dummy_prefix=True,
        remove_extra_whitespaces=False, minloglevel=2, num_threads=1)
    return folder / "tokenizer.model"


def not_legacy_ids(model, text):
    """What LlamaTokenizer(legacy=False) does, which needs a protobuf package to run itself."""
    processor = sentencepiece.SentencePieceProcessor()
    processor.LoadFromSerializedProto(model + b"\x1a\x02\x18\x00")  # add_dummy_prefix: false
    special = {"<unk>": 0, "<s>": 1, "</s>": 2, "<image>": 900}
    hidden = len(processor.encode("<unk>"))
    ids = []
    for part in re.split("(<unk>|<s>|</s>|<image>)", "▁" + text.replace("▁", " ") if text else ""):
        if part in special:
            ids = ids if ids != processor.encode("<unk>▁")[hidden:] else []
            ids.append(special[part])
        elif part.startswith(("▁", " ")):
            ids += processor.encode("<unk>" + part)[hidden:]
        else:
            ids += processor.encode(part)
    return [1, *ids]


@pytest.mark.parametrize("legacy", [True, False])
def test_tokenizer_model_without_tokenizer_json(sentencepiece_model, tmp_path, legacy):
    (tmp_path / "tokenizer.model").write_bytes(sentencepiece_model.read_bytes())
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({
        "tokenizer_class": "LlamaTokenizer", "legacy": legacy, "bos_token": "<s>", "eos_token": "</s>",
        "unk_token": "<unk>", "add_bos_token": True,
        "added_tokens_decoder": {"900": {"content": "<image>", "special": True, "normalized": False}}}))
    texts = [t for t in generated_texts()[:2000] if "\0" not in t]
    if legacy:
        slow = transformers.LlamaTokenizer.from_pretrained(tmp_path, legacy=True)
        wanted = [slow(t)["input_ids"] for t in texts]
    else:
        wanted = [not_legacy_ids(sentencepiece_model.read_bytes(), t) for t in texts]
    got = Tool(tmp_path).encode(texts)
    for text, ours, theirs in zip(texts, got, wanted, strict=True):
        assert ours == theirs, ascii(text)


# --------------------------------------------------------------------------- hostile files


def check(folder):
    done = subprocess.run([TOOL, "--check", folder], capture_output=True, text=True, timeout=20)
    assert done.returncode in (0, 1), f"crashed with {done.returncode}: {done.stderr}"
    if done.returncode == 1:
        assert "tokenizer" in done.stderr and done.stderr.count("\n") == 1, done.stderr
    return done.returncode, done.stderr


def paths_of(value, path=()):
    yield path
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in list(children)[:6]:
        yield from paths_of(child, (*path, key))


def small_state(name):
    state = json.loads(reference.KINDS[name]().to_str())
    if isinstance(state["model"].get("merges"), list):
        state["model"]["merges"] = state["model"]["merges"][:20]
    return state


def test_hostile_files_are_refused_or_read_but_never_crash(tmp_path):
    rng = random.Random(3)
    values = [None, True, -1, 0, 1e300, 2**40, "", "x" * 5000, [], [[]], {}, {"type": "Sequence"}, "\u0000"]
    refused = 0
    for name in ("llama3", "legacy_llama", "bert", "unigram", "odds_and_ends"):
        state = small_state(name)
        places = [p for p in paths_of(state) if p]
        for place in rng.sample(places, 40):
            broken = copy.deepcopy(state)
            at = broken
            for key in place[:-1]:
                at = at[key]
            at[place[-1]] = rng.choice(values)
            (tmp_path / "tokenizer.json").write_text(json.dumps(broken))
            refused += check(tmp_path)[0]
    assert refused > 50


def test_truncated_files_are_refused(tmp_path):
    text = json.dumps(small_state("legacy_llama"))
    for length in (0, 1, 100, len(text) // 2, len(text) - 1):
        (tmp_path / "tokenizer.json").write_text(text[:length])
        code, message = check(tmp_path)
        assert code == 1 and "tokenizer.json: not valid JSON" in message


@pytest.mark.parametrize("field, value, expected", [
    (("pre_tokenizer",), {"type": "Sorcery"}, "pre_tokenizer.type: the pre-tokenizer 'Sorcery' is not supported"),
    (("normalizer",), {"type": "Sorcery"}, "normalizer.type: the normalizer 'Sorcery' is not supported"),
    (("decoder",), {"type": "CTC"}, "decoder.type: the decoder 'CTC' is not supported"),
    (("post_processor",), {"type": "Sorcery"}, "post_processor.type: the post-processor 'Sorcery' is not supported"),
    (("model", "type"), "Sorcery", "the model 'Sorcery' is not supported"),
    (("model", "vocab", "a"), 2**31, "model.vocab: the id of 'a' is not an integer"),
    (("model", "vocab", "a"), -1, "model.vocab: the id of 'a' is not an integer"),
    (("model", "merges", 0), ["a"], "model.merges[0]: expected two pieces"),
    (("model", "merges", 0), ["a", "no such piece"], "model.merges[0]: no such piece is not in the vocabulary"),
    (("pre_tokenizer",), {"type": "Split", "pattern": {"Regex": "("}, "behavior": "Isolated", "invert": False},
     "pre_tokenizer.pattern.Regex: the regex '(' cannot be used"),
    (("added_tokens", 0, "content"), 5, "added_tokens[0].content: expected a string"),
])
def test_messages_name_the_field(tmp_path, field, value, expected):
    state = small_state("legacy_llama")
    at = state
    for key in field[:-1]:
        at = at[key]
    at[field[-1]] = value
    (tmp_path / "tokenizer.json").write_text(json.dumps(state))
    code, message = check(tmp_path)
    assert code == 1 and "tokenizer.json: " in message and expected in message


def test_deep_nesting(tmp_path):
    state = small_state("bert")
    for field, key in (("normalizer", "normalizers"), ("pre_tokenizer", "pretokenizers"),
                       ("decoder", "decoders"), ("post_processor", "processors")):
        deep = json.dumps(state | {field: "HERE"}).replace(
            '"HERE"', ('{"type": "Sequence", "%s": [' % key) * 30000 + "]}" * 30000)
        (tmp_path / "tokenizer.json").write_text(deep)
        code, message = check(tmp_path)
        assert code == 1 and "nested too deeply" in message


def test_a_regex_that_explodes_does_not_hang(tmp_path):
    tokenizer, _ = words_probe(split(r"(a+a+)+$"))
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    Tool(tmp_path).encode(["a" * 5000 + "b"])
