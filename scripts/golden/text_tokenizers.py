"""Small tokenizers trained on one short text, in the dialects the server must obey."""

import collections
import json
import math

import transformers as hf
from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

TEXT = """
A chat about small pictures. USER: What is in the picture? ASSISTANT: There is a red circle left of a blue square.
How many circles are there? There are three circles and two squares, so five shapes in all. Which shape is on the left?
The green triangle is above the yellow star, and the star is below the triangle. Describe this image in one sentence.
The image shows a small boat on a lake, behind it a wood and a grey sky; two birds fly over the water.
Is the dog larger than the cat? No, the cat is larger than the dog. What colour has the car? The car is white, the road is black.
Where does the man stand? He stands next to the door of the house, with a book in his hand and a hat on his head.
The quick brown fox jumps over the lazy dog. What is the capital of France? The capital of France is Paris.
List the numbers: 0 1 2 3 4 5 6 7 8 9 10 11 12 20 21 42 99 100 1000. Sum of 12 and 30 is 42. At 9:30 the train left.
def area(width, height):\n    return width * height\nfor i in range(10):\n    print(i, area(i, 2))\n
Un café, une forêt; über dem Fluß steht ein Haus. El niño come una piña. Straße, naïve, façade, déjà vu.
Why is the sky blue? Because air scatters short waves more than long ones. Answer with yes or no, please. Yes. No. Maybe.
What is written on the sign? The sign says stop. Who is in the photo? A woman with a camera, and a child that laughs.
How would you answer this question about the photo? Think step by step, then give the answer on the last line.
Read the text on the page, count the words of each line and tell me which line is the longest one.
"""

SPACE = "\u2581"


def _trained_merges(size):
    """Pieces and merges of a BPE over words that begin with the SentencePiece space."""
    trainer_of = Tokenizer(models.BPE(unk_token="<unk>"))
    trainer_of.pre_tokenizer = pre_tokenizers.Metaspace(replacement=SPACE, prepend_scheme="always")
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=["<unk>"], show_progress=False)
    trainer_of.train_from_iterator(TEXT.splitlines(), trainer)
    model = json.loads(trainer_of.to_str())["model"]
    pieces = [
        p for p, _ in sorted(model["vocab"].items(), key=lambda item: item[1]) if p != "<unk>"
    ]
    return pieces, [tuple(m) for m in model["merges"]]


def sentencepiece_bpe(dialect, pieces=200, bos="<s>", extra=()):
    """SentencePiece-style BPE with byte fallback. dialect: "prepend" (normaliser) or "metaspace" (first)."""
    trained, merges = _trained_merges(pieces)
    tokens = ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)] + trained
    vocab = {token: i for i, token in enumerate(tokens)}
    tok = Tokenizer(
        models.BPE(vocab=vocab, merges=merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    )
    if dialect == "prepend":
        tok.normalizer = normalizers.Sequence(
            [normalizers.Prepend(SPACE), normalizers.Replace(" ", SPACE)]
        )
    else:
        tok.pre_tokenizer = pre_tokenizers.Metaspace(
            replacement=SPACE, prepend_scheme="first", split=False
        )
    tok.decoder = decoders.Sequence(
        [
            decoders.Replace(SPACE, " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    tok.add_special_tokens(
        [AddedToken(t, normalized=False, special=True) for t in ("<unk>", "<s>", "</s>", *extra)]
    )
    tok.post_processor = _with_bos(tok, bos)
    return tok


def byte_level_bpe(size=340, bos="<|begin|>", end="<|end|>", adds_bos=True):
    tok = Tokenizer(models.BPE())
    split = Regex(
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|"
        r"\s*[\r\n]+|\s+(?!\S)|\s+"
    )
    tok.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(split, "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tok.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size - 2,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tok.train_from_iterator(TEXT.splitlines(keepends=True), trainer)
    tok.add_special_tokens([AddedToken(t, normalized=False, special=True) for t in (bos, end)])
    bytes_only = processors.ByteLevel(trim_offsets=False)
    tok.post_processor = (
        processors.Sequence([bytes_only, _with_bos(tok, bos)]) if adds_bos else bytes_only
    )
    return tok


def word_level():
    """A word is a token, or unknown. No decoder: words are joined with spaces."""
    split = pre_tokenizers.Whitespace()
    words = _most_frequent([word for word, _ in split.pre_tokenize_str(TEXT)], 90)
    vocab = {token: i for i, token in enumerate(["<unk>", "<s>", "</s>", *words])}
    tok = Tokenizer(models.WordLevel(vocab=vocab, unk_token="<unk>"))
    tok.pre_tokenizer = split
    tok.add_special_tokens([AddedToken(t, normalized=False, special=True) for t in ("<unk>", "<s>", "</s>")])
    tok.post_processor = _with_bos(tok, "<s>")
    return tok


def unigram():
    """Pieces with the logarithms of their frequencies, without a begin token of its own."""
    trained, _ = _trained_merges(160)
    counts = [max(TEXT.count(piece.replace(SPACE, " ")), 1) for piece in trained]
    scores = [math.log(count / len(TEXT)) for count in counts]
    pieces = [("<unk>", 0.0), ("<s>", 0.0), ("</s>", 0.0), *zip(trained, scores)]
    tok = Tokenizer(models.Unigram(pieces, unk_id=0))
    tok.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")])
    tok.pre_tokenizer = pre_tokenizers.Metaspace(replacement=SPACE, prepend_scheme="always")
    tok.decoder = decoders.Metaspace(replacement=SPACE, prepend_scheme="always")
    tok.add_special_tokens([AddedToken(t, normalized=False, special=True) for t in ("<unk>", "<s>", "</s>")])
    return tok


def wordpiece(words=70, endings=40):
    """The Q-Former's tokenizer: lower-casing WordPiece with [CLS] ... [SEP].

    The vocabulary is made by counting: the library's trainer breaks ties in a different order in every run.
    """
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    normalizer, splitter = (
        normalizers.BertNormalizer(lowercase=True),
        pre_tokenizers.BertPreTokenizer(),
    )
    text = [w for w, _ in splitter.pre_tokenize_str(normalizer.normalize_str(TEXT))]
    letters = sorted(set("".join(text)))
    whole = _most_frequent([w for w in text if len(w) > 1], words)
    parts = _most_frequent([w[-n:] for w in text for n in (2, 3) if len(w) > n + 1], endings)
    vocab = specials + letters + ["##" + c for c in letters] + whole + ["##" + p for p in parts]
    model = models.WordPiece(
        vocab={token: i for i, token in enumerate(vocab)},
        unk_token="[UNK]",
        max_input_chars_per_word=100,
    )
    tok = Tokenizer(model)
    tok.normalizer, tok.pre_tokenizer = normalizer, splitter
    tok.add_special_tokens([AddedToken(t, normalized=False, special=True) for t in specials])
    tok.decoder = decoders.WordPiece(prefix="##")
    tok.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", tok.token_to_id("[CLS]")), ("[SEP]", tok.token_to_id("[SEP]"))],
    )
    return tok


def _most_frequent(items, count):
    ranked = sorted(collections.Counter(items).items(), key=lambda item: (-item[1], item[0]))
    return [item for item, _ in ranked[:count]]


def _with_bos(tok, bos):
    return processors.TemplateProcessing(
        single=f"{bos} $A",
        pair=f"{bos} $A {bos} $B:1",
        special_tokens=[(bos, tok.token_to_id(bos))],
    )


def qformer():
    """The second tokenizer of InstructBLIP, as the library wraps it."""
    tokenizer = hf.BertTokenizerFast(
        tokenizer_object=wordpiece(), model_max_length=128, truncation_side="left"
    )
    tokenizer.add_special_tokens({"bos_token": "[DEC]"})
    return tokenizer
