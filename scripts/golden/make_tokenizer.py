#!/usr/bin/env python3
"""Write tests/unit/data/tokenizer_golden.json: small tokenizers with what Hugging Face makes of nasty texts.

pip install tokenizers sentencepiece; python scripts/golden/make_tokenizer.py

Every tokenizer is trained here on a few lines, so the file depends on nothing else (the trainers break ties at random:
another run gives other vocabularies, as good as these). Characters that are younger than
Unicode 3.2 are left out of the random texts: the reference and we carry different editions of the Unicode tables.
"""

import json
import os
import random
import tempfile
import unicodedata

import sentencepiece
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

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
N_TEXTS = 24
LINES = """The quick brown fox jumps over the lazy dog, and the dog doesn't mind: it's asleep.
Return the lamp within 30 days; we'll refund 12.50 (or 1,234) euros!
def add(a, b):
    return a + b  # sum
\tTabbed line, trailing spaces   
Äpfel und Öl, naïve café, Ünïcödé — 한국어 각 你好，世界。 नमस्ते العربية ½ ² ﬁ Å
the the the there then these other mother father weather whether""".split("\n") * 4

SPICE = [
    " ",
    "  ",
    "     ",
    "\n",
    "\n\n",
    "\r\n",
    "\t",
    "\u00a0",
    "\u3000",
    "\u2028",
    "\x85",
    "\u200b",
    "\x0b",
    " \n",
    "\ufeff",
    "é",
    "e\u0301",
    "a\u0323\u0307",
    "a\u0307\u0323",
    "\u1e9b\u0323",
    "ﬁ",
    "한국어",
    "नमस्ते",
    "العربية",
    "١٢٣",
    "½",
    "²",
    "Ⅷ",
    "'\u017f",
    "'S",
    "'LL",
    "don't",
    "I'M",
    "\u0130",
    "ß",
    "\ufffd",
    "▁",
    "▁▁",
    "<0x0A>",
    "Ġ",
    "Ċ",
    "\u00ad",
    "1234567",
    "3.14",
    "$",
    "+",
    "```",
    "_",
    "__a",
    "…",
    "。",
    "👍",
    "👩\u200d👩\u200d👧",
    "<s>",
    "</s>",
    "<unk>",
    "[L]",
    "[R]",
    "[LR]",
    "tok",
    "Foo",
    "the",
    "other",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
]


def random_char(rng):
    while True:
        code = rng.randrange(rng.choice([0x80, 0x800, 0x10000, 0x110000]))
        if code and not 0xD800 <= code < 0xE000 and unicodedata.ucd_3_2_0.category(chr(code)) != "Cn":
            return chr(code)


def random_text(rng):
    parts = []
    for _ in range(rng.randrange(1, 9)):
        kind = rng.random()
        if kind < 0.3:
            line = rng.choice(LINES)
            start = rng.randrange(len(line))
            parts.append(line[start : start + rng.randrange(1, 15)])
        elif kind < 0.85:
            parts.append(rng.choice(SPICE))
        else:
            parts.append("".join(random_char(rng) for _ in range(rng.randrange(1, 4))))
    return "".join(parts)


def bytes_not_added(tokenizer):
    """The trainer adds <0xHH> as special tokens; in published files they are pieces of the model only."""
    text = json.loads(tokenizer.to_str())
    text["added_tokens"] = [token for token in text["added_tokens"] if not token["content"].startswith("<0x")]
    return Tokenizer.from_str(json.dumps(text))


def bpe(normalizer, pre_tokenizer, decoder, post=None, added=(), extra=150, **options):
    shape = {k: options.pop(k) for k in ("continuing_subword_prefix", "end_of_word_suffix") if k in options}
    tokenizer = Tokenizer(models.BPE(**options, **shape))
    if normalizer:
        tokenizer.normalizer = normalizer
    if pre_tokenizer:
        tokenizer.pre_tokenizer = pre_tokenizer
    special = ["<unk>", "<s>", "</s>"] + (
        [f"<0x{i:02X}>" for i in range(256)] if options.get("byte_fallback") else []
    )
    trainer = trainers.BpeTrainer(
        vocab_size=len(special) + extra, special_tokens=special, show_progress=False, **shape
    )
    tokenizer.train_from_iterator(LINES, trainer)
    tokenizer = bytes_not_added(tokenizer)
    if decoder:
        tokenizer.decoder = decoder
    if post:
        tokenizer.post_processor = post
    for token in added:
        (tokenizer.add_special_tokens if token.special else tokenizer.add_tokens)([token])
    return tokenizer


def unigram(normalizer, pre_tokenizer, decoder, byte_fallback=False):
    tokenizer = Tokenizer(models.Unigram())
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizer
    special = ["<unk>", "<s>", "</s>"] + ([f"<0x{i:02X}>" for i in range(256)] if byte_fallback else [])
    trainer = trainers.UnigramTrainer(
        vocab_size=len(special) + 160, special_tokens=special, unk_token="<unk>", show_progress=False
    )
    tokenizer.train_from_iterator(LINES, trainer)
    tokenizer.decoder = decoder
    text = json.loads(bytes_not_added(tokenizer).to_str())
    text["model"]["byte_fallback"] = byte_fallback
    return Tokenizer.from_str(json.dumps(text))


def tokenizers():
    ends = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)])
    llama = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    fallback = dict(unk_token="<unk>", byte_fallback=True, fuse_unk=True)
    words = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
    bytes_only = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    strips = [
        AddedToken("<extra>", special=True),
        AddedToken("tok", single_word=True, normalized=False),
        AddedToken("[L]", lstrip=True, normalized=False),
        AddedToken("[R]", rstrip=True, normalized=False),
        AddedToken("[LR]", lstrip=True, rstrip=True, special=True),
    ]
    yield "llama-legacy", bpe(
        normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]),
        None,
        llama,
        ends,
        strips,
        **fallback,
    )
    yield "llama", bpe(None, pre_tokenizers.Metaspace("▁", "first", False), llama, ends, strips, **fallback)
    yield "gemma", bpe(
        normalizers.Replace(" ", "▁"),
        pre_tokenizers.Split(" ", "merged_with_previous"),
        decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]),
        None,
        [AddedToken("\n\n", normalized=False)],
        **fallback,
    )
    yield "gpt2", bpe(
        None, pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel(), None, strips
    )
    yield "llama3", bpe(
        None,
        pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(words), "isolated"), bytes_only]),
        decoders.ByteLevel(),
        ends,
        ignore_merges=True,
    )
    yield "qwen2", bpe(
        normalizers.NFC(),
        pre_tokenizers.Sequence(
            [pre_tokenizers.Split(Regex(words.replace("{1,3}", "")), "isolated"), bytes_only]
        ),
        decoders.ByteLevel(),
    )
    yield "dolma", bpe(
        None,
        pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(words), "removed", True), bytes_only]),
        decoders.ByteLevel(),
    )
    yield "falcon", bpe(
        None,
        pre_tokenizers.Sequence(
            [
                pre_tokenizers.Punctuation("contiguous"),
                pre_tokenizers.ByteLevel(add_prefix_space=False),
                pre_tokenizers.Digits(False),
                pre_tokenizers.Split(Regex("[0-9][0-9][0-9]"), "isolated"),
            ]
        ),
        decoders.ByteLevel(),
    )
    yield "metaspace", bpe(
        normalizers.NFKC(),
        pre_tokenizers.Metaspace("▁", "always", True),
        decoders.Metaspace("▁", "always", True),
        None,
        [AddedToken("Foo", normalized=True), AddedToken("ther", normalized=True, single_word=True)],
        unk_token="<unk>",
    )
    yield "lowercase", bpe(
        normalizers.Sequence(
            [normalizers.NFD(), normalizers.StripAccents(), normalizers.Lowercase(), normalizers.Strip()]
        ),
        pre_tokenizers.Whitespace(),
        decoders.BPEDecoder("</w>"),
        None,
        [AddedToken("Öl, the", normalized=True), AddedToken("İ", normalized=True)],
        unk_token="<unk>",
        end_of_word_suffix="</w>",
    )
    yield "subwords", bpe(
        normalizers.NFKD(),
        pre_tokenizers.WhitespaceSplit(),
        None,
        None,
        unk_token="<unk>",
        continuing_subword_prefix="##",
    )
    yield "no-unk", bpe(
        normalizers.Replace(Regex("[0-9]"), "#"), pre_tokenizers.CharDelimiterSplit("e"), decoders.Fuse()
    )
    for behavior in ("removed", "isolated", "merged_with_previous", "merged_with_next", "contiguous"):
        for invert in (False, True):
            yield f"split-{behavior}-{invert}", bpe(
                None,
                pre_tokenizers.Sequence(
                    [pre_tokenizers.Split(Regex(r"\s|[aeiou]|\d"), behavior, invert), bytes_only]
                ),
                decoders.ByteLevel(),
                extra=40,
            )
    yield "unigram", unigram(
        normalizers.NFKC(),
        pre_tokenizers.Metaspace("▁", "always", True),
        decoders.Metaspace("▁", "always", True),
    )
    yield "unigram-bytes", unigram(None, pre_tokenizers.Metaspace("▁", "first", False), llama, True)


def sentencepiece_models(folder):
    """Small ones: the identity normalizer keeps the charsmap out of the file."""
    text = os.path.join(folder, "lines.txt")
    with open(text, "w", encoding="utf-8") as file:
        file.write("\n".join(LINES))
    options = dict(
        input=text, normalization_rule_name="identity", minloglevel=2, character_coverage=0.98, num_threads=1
    )
    for name, extra in (
        ("llama", dict(model_type="bpe", vocab_size=420, byte_fallback=True, remove_extra_whitespaces=False)),
        ("squeezed", dict(model_type="bpe", vocab_size=180, user_defined_symbols=["<ud>", "th"])),
        (
            "no-dummy",
            dict(model_type="bpe", vocab_size=180, add_dummy_prefix=False, remove_extra_whitespaces=False),
        ),
        ("suffix", dict(model_type="bpe", vocab_size=180, treat_whitespace_as_suffix=True)),
        ("unigram", dict(model_type="unigram", vocab_size=170, hard_vocab_limit=False)),
        (
            "unigram-bytes",
            dict(model_type="unigram", vocab_size=420, byte_fallback=True, hard_vocab_limit=False),
        ),
    ):
        prefix = os.path.join(folder, name)
        sentencepiece.SentencePieceTrainer.train(model_prefix=prefix, **options, **extra)
        yield name, prefix + ".model"


def main():
    rng = random.Random(20260101)
    records = []
    fixed = ["", " ", "  ", "\n", "a", " a", "a ", "Hello world", "  two  spaces  "]
    for name, tokenizer in tokenizers():
        cases = []
        for text in fixed + [random_text(rng) for _ in range(N_TEXTS)]:
            ids = tokenizer.encode(text, add_special_tokens=False).ids
            cases.append(
                {
                    "text": text,
                    "ids": ids,
                    "with_special": tokenizer.encode(text).ids,
                    "decoded": tokenizer.decode(ids, skip_special_tokens=False),
                    "skipped": tokenizer.decode(ids),
                }
            )
        records.append({"name": name, "tokenizer": json.loads(tokenizer.to_str()), "cases": cases})
    with tempfile.TemporaryDirectory() as folder:
        for name, path in sentencepiece_models(folder):
            model = sentencepiece.SentencePieceProcessor(model_file=path)
            cases = []
            for text in fixed + [random_text(rng) for _ in range(N_TEXTS)]:
                if not any(
                    piece in text for piece in ("<s>", "</s>", "<unk>")
                ):  # written special tokens are Hugging Face's idea
                    cases.append({"text": text, "ids": model.encode(text)})
            with open(path, "rb") as file:
                records.append(
                    {"name": "sentencepiece-" + name, "sentencepiece": file.read().hex(), "cases": cases}
                )
    with open(
        os.path.join(ROOT, "tests", "unit", "data", "tokenizer_golden.json"), "w", encoding="utf-8"
    ) as file:
        json.dump(records, file, ensure_ascii=True, separators=(",", ":"))
        file.write("\n")


if __name__ == "__main__":
    main()
