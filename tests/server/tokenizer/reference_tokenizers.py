"""Tokenizers of every kind the server supports, trained or put together with the `tokenizers`
library, and the generator of the texts they are compared on."""

import json
import random

from tokenizers import (AddedToken, Regex, Tokenizer, decoders, models, normalizers,
                        pre_tokenizers, processors, trainers)

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
          r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
# A regex without a hand-written scanner, in the style of DeepSeek and GPT-4o.
OTHER = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
         r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
SPECIALS = ["<|im_start|>", "<|im_end|>", "<|endoftext|>", "<s>", "</s>", "<image>"]

SENTENCES = [
    "The quick brown fox jumps over the lazy dog. It's what they'd've said: 'we'll see'!",
    "Dr. Smith paid $1,234.56 on 2024-02-29 at 10:45pm; isn't that 50% more than 822?",
    "def forward(self, x: int = 0) -> list[int]:\n    return [x ** 2 for _ in range(10)]\n\n",
    "for (size_t i = 0; i < n; ++i) {\r\n\tsum += a[i] * b[i];  // dot product\r\n}\r\n",
    "Les élèves français étaient très fâchés à Noël. Ça coûte 3 000 € l’unité…",
    "Straße, Fußgängerübergang, ÄÖÜ äöü; Ελληνικά και Кириллица: съешь ещё этих булок",
    "我喜欢吃苹果。今天天气很好，我们去公园吧！「日本語のテキスト」カタカナ 한국어 문장입니다",
    "مرحبا بالعالم، كيف حالك؟ שלום עולם हिन्दी में लिखा हुआ ภาษาไทย",
    "\U0001F600\U0001F468‍\U0001F469‍\U0001F467 emoji \U0001F1E9\U0001F1EA ❤️ e\u0301 n\u0303 A\u030a \u1e9b\u0323 ﬁ ① ½ x²",
    "What is in <picture>? Answer with one word.\n\nUSER: hello\nASSISTANT: hi there   ",
]


def corpus(odd=True):
    rng = random.Random(7)
    for _ in range(600):
        yield " ".join(rng.sample(SENTENCES, 3))
        if odd:
            yield " ".join(random_text(rng) for _ in range(2))


# ------------------------------------------------------------------------------------------ texts

SPACES = [" ", "  ", "   ", "\t", "\n", "\r\n", "\n\n", "\u00a0", "\u1680", "\u2003", "\u2028",
          "\u202f", "\u3000", "\u0085", "\u200b", "\ufeff", "\x0b", "\x0c", "\u180e", "    \n  "]
MARKS = ["\u0301", "\u0308", "\u0323", "\u20dd", "\ufe0f", "\u200d", "\u094d", "\u0e31", "\u1dc4",
         "\u1df6", "\u0345", "\u0334", "\U0001e8d0", "\u3099"]
LOOKALIKES = ["<|im_start|", "|im_end|>", "<|im_end|>>", "<<s>", "< s>", "</s", "<image", "image>",
              "<|endoftext|>", "<s>", "</s>", "<|im_start|>", "<image><image>", "<IMAGE>", "[CLS]",
              "[SEP]", "[MASK]", "[UNK]", "##ing", "▁", "▁▁the", "<0x0A>", "<unk>", "Ġthe", "Ċ"]
CODE = ["{}", "();", "->", "::", "==", "!=", "/*", "*/", "//", "#include", "0x1F", "1e-5", "a_b", "\\n",
        "<div>", "&amp;", "'s", "'S", "'T", "'LL", "'ll", "'ve", "'re", "'ſ", "'", '"', "`", "don't",
        "I'M", "…", "“”", "—", "i++", "$x", "@y", "%d"]


def random_char(rng):
    kind = rng.random()
    if kind < 0.35:
        return chr(rng.randrange(0x20, 0x7f))
    if kind < 0.5:
        return chr(rng.choice([rng.randrange(0xa0, 0x250), rng.randrange(0x370, 0x600)]))
    if kind < 0.6:
        return chr(rng.choice([rng.randrange(0x4e00, 0x9fff), rng.randrange(0xac00, 0xd7a4),
                               rng.randrange(0x3040, 0x3100)]))
    if kind < 0.7:
        return chr(rng.randrange(0x1f300, 0x1faff))
    if kind < 0.75:
        return chr(rng.randrange(0, 0x20))
    while True:
        code = rng.randrange(rng.choice([0x3000, 0x10000, 0x20000, 0x32000, 0x110000]))
        if not 0xd800 <= code < 0xe000:
            return chr(code)


def random_text(rng):
    parts = []
    for _ in range(rng.randrange(1, 12)):
        kind = rng.random()
        if kind < 0.3:
            sentence = rng.choice(SENTENCES)
            start = rng.randrange(len(sentence))
            parts.append(sentence[start:start + rng.randrange(1, 40)])
        elif kind < 0.45:
            parts.append(rng.choice(SPACES))
        elif kind < 0.55:
            parts.append(rng.choice(CODE))
        elif kind < 0.62:
            parts.append(rng.choice(LOOKALIKES))
        elif kind < 0.7:
            parts.append(str(rng.randrange(10 ** rng.randrange(1, 9))))
        elif kind < 0.76:
            parts.append(rng.choice("aeiounAEIOUyk") + "".join(rng.choices(MARKS, k=rng.randrange(1, 4))))
        elif kind < 0.8:
            parts.append(rng.choice(["٣", "५", "৭", "Ⅷ", "²", "①", "½", "𝟛", "1٣²", "١٢٣٤"]))
        else:
            parts.append("".join(random_char(rng) for _ in range(rng.randrange(1, 8))))
        if rng.random() < 0.3:
            parts.append(" ")
    return "".join(parts)


def texts(count, seed):
    rng = random.Random(seed)
    fixed = ["", " ", "  ", "\n", "a", " a", "a ", "\u0301", "<s>", " <s> ", "<image>" * 5, "'", "' s",
             "x" * 300, "ab" * 200, " " * 200, "1" * 50, "\U0010ffff", "\x00", "a\x00b"]
    return fixed + [random_text(rng) for _ in range(count - len(fixed))]


# ------------------------------------------------------------------------------------- tokenizers


def add_specials(tokenizer):
    tokenizer.add_special_tokens([AddedToken(s, normalized=False, special=True) for s in SPECIALS[:5]])
    tokenizer.add_tokens([AddedToken(SPECIALS[5], normalized=False, special=False)])
    tokenizer.add_tokens([
        AddedToken("<lstrip>", lstrip=True, normalized=False),
        AddedToken("<rstrip>", rstrip=True, normalized=False),
        AddedToken("word", single_word=True, normalized=False),
        AddedToken("Hello", normalized=True),
        AddedToken("<im", normalized=False),
    ])


def byte_level(pre, normalizer=None, ignore_merges=False, prefix_space=False):
    tokenizer = Tokenizer(models.BPE())
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=3000, show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator(corpus(), trainer)
    if ignore_merges:
        state = json.loads(tokenizer.to_str())
        state["model"]["ignore_merges"] = True
        # Words that no merge reaches.
        for word in ["Ġfrançais", "zzyzx", "ĠHELLO", "12", "ä½łå¥½"]:
            state["model"]["vocab"].setdefault(word, len(state["model"]["vocab"]))
        tokenizer = Tokenizer.from_str(json.dumps(state))
    add_specials(tokenizer)
    return tokenizer


def split(regex):
    return pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(regex), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def gpt2():
    tokenizer = byte_level(pre_tokenizers.ByteLevel(add_prefix_space=False))
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=True)
    return tokenizer


def gpt2_prefix():
    tokenizer = byte_level(pre_tokenizers.ByteLevel(add_prefix_space=True))
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", tokenizer.token_to_id("</s>")),
                                                            ("<s>", tokenizer.token_to_id("<s>")))
    return tokenizer


def llama3():
    tokenizer = byte_level(split(LLAMA3), ignore_merges=True)
    bos = ("<|endoftext|>", tokenizer.token_to_id("<|endoftext|>"))
    tokenizer.post_processor = processors.Sequence([
        processors.ByteLevel(trim_offsets=True),
        processors.TemplateProcessing(single="<|endoftext|> $A", pair="<|endoftext|> $A $B",
                                      special_tokens=[bos])])
    return tokenizer


def qwen2():
    return byte_level(split(QWEN2), normalizers.NFC())


def other_regex():
    return byte_level(split(OTHER))


def smollm2():
    return byte_level(pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True),
                                               pre_tokenizers.ByteLevel(add_prefix_space=False)]))


def sentencepiece_bpe(metaspace, byte_fallback=True, fuse_unk=True):
    """`metaspace` is a prepend scheme, or None for the Prepend/Replace dialect."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=byte_fallback, fuse_unk=fuse_unk))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    bytes_ = [f"<0x{b:02X}>" for b in range(256)] if byte_fallback else []
    trainer = trainers.BpeTrainer(vocab_size=2500, show_progress=False, limit_alphabet=160,
                                  special_tokens=["<unk>", "<s>", "</s>"] + bytes_)
    tokenizer.train_from_iterator(corpus(), trainer)
    state = json.loads(tokenizer.to_str())
    state["added_tokens"] = [t for t in state["added_tokens"] if not t["content"].startswith("<0x")]
    strip = [decoders.Strip(" ", 1, 0)]
    state["pre_tokenizer"] = None
    tokenizer = Tokenizer.from_str(json.dumps(state))
    if metaspace is None:
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=metaspace, split=False)
        strip = strip if metaspace != "never" else []
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()] + strip)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", tokenizer.token_to_id("<s>"))])
    add_specials(tokenizer)
    return tokenizer


def legacy_llama():
    return sentencepiece_bpe(None)


def legacy_llama_normalized_specials():
    """Old conversions look for <s> and </s> in the normalized text."""
    state = json.loads(sentencepiece_bpe(None).to_str())
    for token in state["added_tokens"]:
        if token["content"] in ("<s>", "</s>", "<unk>"):
            token["normalized"] = True
    return Tokenizer.from_str(json.dumps(state))


def metaspace_split():
    tokenizer = sentencepiece_bpe("always", byte_fallback=False, fuse_unk=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always", split=True)
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    return tokenizer


def bert(lowercase=True):
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(vocab_size=2500, show_progress=False, limit_alphabet=400,
                                        special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])
    tokenizer.train_from_iterator(corpus(), trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(t, tokenizer.token_to_id(t)) for t in ("[CLS]", "[SEP]")])
    tokenizer.add_special_tokens([AddedToken("[DEC]", normalized=False, special=True)])
    return tokenizer


def bert_cased():
    return bert(lowercase=False)


def word_suffix_bpe():
    """CLIP's and GPT-1's way: a suffix ends a word; unknown characters are <unk>, one by one."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase(),
                                                 normalizers.Replace(Regex(r"\s+"), " ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(),
                                                       pre_tokenizers.Punctuation()])
    tokenizer.decoder = decoders.BPEDecoder(suffix="</w>")
    trainer = trainers.BpeTrainer(vocab_size=2000, show_progress=False, limit_alphabet=150,
                                  special_tokens=["<unk>"], end_of_word_suffix="</w>")
    tokenizer.train_from_iterator(corpus(), trainer)
    return tokenizer


def unigram():
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence([normalizers.Nmt(), normalizers.NFKC(),
                                                 normalizers.Replace(Regex(" {2,}"), " ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=1500, show_progress=False, unk_token="<unk>",
                                      special_tokens=["<unk>", "<s>", "</s>"])
    tokenizer.train_from_iterator(corpus(odd=False), trainer)
    return tokenizer


def odds_and_ends():
    """Parts that no well-known tokenizer combines, in one."""
    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0, "a": 1, "the": 2, "1": 3, " ": 4}, "[UNK]"))
    tokenizer.normalizer = normalizers.Sequence([
        normalizers.Strip(), normalizers.NFD(), normalizers.StripAccents(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split("x", "merged_with_previous"),
        pre_tokenizers.Split(Regex(r"\d"), "merged_with_next"),
        pre_tokenizers.Split(Regex(r"[aeiou]+"), "contiguous"),
        pre_tokenizers.Split(Regex(r"\w+|\W"), "removed", invert=True),
        pre_tokenizers.CharDelimiterSplit("-"),
        pre_tokenizers.Punctuation("merged_with_previous"),
        pre_tokenizers.Digits(individual_digits=False),
        pre_tokenizers.Whitespace()])
    return tokenizer


KINDS = {
    "gpt2": gpt2, "gpt2_prefix": gpt2_prefix, "llama3": llama3, "qwen2": qwen2, "smollm2": smollm2,
    "other_regex": other_regex, "legacy_llama": legacy_llama,
    "legacy_llama_normalized_specials": legacy_llama_normalized_specials,
    "metaspace_first": lambda: sentencepiece_bpe("first"),
    "metaspace_always": lambda: sentencepiece_bpe("always"),
    "metaspace_never": lambda: sentencepiece_bpe("never"), "metaspace_split": metaspace_split,
    "bert": bert, "bert_cased": bert_cased, "word_suffix_bpe": word_suffix_bpe, "unigram": unigram,
    "odds_and_ends": odds_and_ends,
}
