#!/usr/bin/env python3
"""Write tests/unit/data/stage_golden.json: each stage of a tokenizer.json in its variants, with what Hugging Face makes of
nasty texts; SentencePiece models with a precompiled charsmap.

pip install tokenizers sentencepiece protobuf; python scripts/golden/make_stages.py
"""

import base64
import json
import os
import random
import tempfile

import sentencepiece
from make_tokenizer import LINES, ROOT, bpe, random_text, unigram
from sentencepiece import sentencepiece_model_pb2
from tokenizers import AddedToken, Regex, Tokenizer, decoders, normalizers, pre_tokenizers, processors

N_TEXTS = 14
FIXED = ["", " ", "a", "Hello world", "  two  spaces  ", "1a22b333", "x.y,,z!", "<unk>", "\u0001a\u200bb\ufffdc"]
PLAIN = dict(unk_token="<unk>", extra=60)


def changed(tokenizer, change):
    """The same after a change of its JSON: what the Python classes cannot say."""
    text = json.loads(tokenizer.to_str())
    change(text)
    return Tokenizer.from_str(json.dumps(text))


def metaspaces():
    for scheme in ("always", "first", "never"):
        for split in (False, True):
            yield f"metaspace-{scheme}-{split}", bpe(
                None,
                pre_tokenizers.Metaspace("▁", scheme, split),
                decoders.Metaspace("▁", scheme, split),
                None,
                [AddedToken("[L]", normalized=False)],
                **PLAIN,
            )
    for prefix in (False, True):

        def legacy(text, prefix=prefix):
            for stage in ("pre_tokenizer", "decoder"):
                text[stage] = {"type": "Metaspace", "replacement": "▁", "add_prefix_space": prefix}
                if not prefix:  # the library wants both then
                    text[stage]["prepend_scheme"] = "never"

        yield f"metaspace-legacy-{prefix}", changed(
            bpe(None, pre_tokenizers.Metaspace("▁"), decoders.Metaspace("▁"), **PLAIN), legacy
        )


def stages():
    for behavior in ("removed", "isolated", "merged_with_previous", "merged_with_next", "contiguous"):
        yield f"punctuation-{behavior}", bpe(None, pre_tokenizers.Punctuation(behavior), decoders.Fuse(), **PLAIN)
        yield f"split-string-{behavior}", bpe(
            None, pre_tokenizers.Split("the", behavior), decoders.Fuse(), **PLAIN
        )
    for individual in (False, True):
        yield f"digits-{individual}", bpe(None, pre_tokenizers.Digits(individual), decoders.Fuse(), **PLAIN)
    yield "bert-words", bpe(None, pre_tokenizers.BertPreTokenizer(), None, **PLAIN)
    yield "prefix-space", bpe(
        None, pre_tokenizers.ByteLevel(add_prefix_space=True), decoders.ByteLevel(), **PLAIN
    )
    yield "nmt", bpe(normalizers.Nmt(), pre_tokenizers.WhitespaceSplit(), decoders.Fuse(), **PLAIN)
    yield "bytes-normalized", bpe(
        normalizers.Sequence([normalizers.NFC(), normalizers.ByteLevel()]), None, decoders.ByteLevel(), **PLAIN
    )
    for left, right in ((True, False), (False, True)):
        yield f"strip-{left}-{right}", bpe(
            normalizers.Strip(left, right), pre_tokenizers.WhitespaceSplit(), decoders.Fuse(), **PLAIN
        )
    yield "replace-regex", bpe(
        normalizers.Sequence([normalizers.Replace(Regex(r"\s+"), " "), normalizers.Prepend("_")]),
        pre_tokenizers.Whitespace(),
        decoders.Sequence([decoders.Replace(Regex("e|o"), "*"), decoders.Fuse(), decoders.Strip("_", 1, 0)]),
        **PLAIN,
    )
    for fuse in (False, True):
        for unk in (False, True):
            options = dict(unk_token="<unk>") if unk else {}
            yield f"unknown-{fuse}-{unk}", changed(
                bpe(None, pre_tokenizers.WhitespaceSplit(), None, extra=60, fuse_unk=fuse, **options),
                lambda text: [text["model"]["vocab"].pop(c, None) for c in "éüÖ—"] and None,
            )
    yield "roberta", bpe(
        None,
        pre_tokenizers.ByteLevel(),
        decoders.ByteLevel(),
        processors.RobertaProcessing(("</s>", 2), ("<s>", 1)),
        **PLAIN,
    )
    yield "bert-ends", bpe(
        None,
        pre_tokenizers.Whitespace(),
        None,
        processors.Sequence(
            [
                processors.ByteLevel(),
                processors.BertProcessing(("</s>", 2), ("<s>", 1)),
                processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)]),
            ]
        ),
        **PLAIN,
    )


def train(folder, name, **options):
    """A model whose normalizer replaces a few characters: its charsmap is small."""
    text, rules = os.path.join(folder, "lines.txt"), os.path.join(folder, "rules.tsv")
    with open(text, "w", encoding="utf-8") as file:
        file.write("\n".join(LINES))
    with open(rules, "w", encoding="utf-8") as file:
        for source, target in (
            ("ﬁ", "fi"),
            ("…", "..."),
            ("\u00a0", " "),
            ("\u3000", " "),
            ("e\u0301", "é"),
            ("½", "1/2"),
            ("\u200b", ""),
            ("½ ²", "x"),
        ):
            codes = [" ".join(f"{ord(c):X}" for c in part) for part in (source, target)]
            file.write("\t".join(codes) + "\n")
    prefix = os.path.join(folder, name)
    sentencepiece.SentencePieceTrainer.train(
        input=text,
        model_prefix=prefix,
        normalization_rule_tsv=rules,
        minloglevel=2,
        character_coverage=0.98,
        num_threads=1,
        hard_vocab_limit=False,
        vocab_size=170,
        **options,
    )
    return prefix + ".model"


def charsmaps(folder, texts):
    for name, options in (
        ("bpe", dict(model_type="bpe", remove_extra_whitespaces=False)),
        ("bpe-squeezed", dict(model_type="bpe")),
        ("unigram", dict(model_type="unigram")),
    ):
        path = train(folder, name, **options)
        model = sentencepiece.SentencePieceProcessor(model_file=path)
        with open(path, "rb") as file:
            data = file.read()
        cases = [
            {"text": text, "ids": model.encode(text)}
            for text in texts
            if not any(piece in text for piece in ("<s>", "</s>", "<unk>"))
        ]
        yield {"name": "charsmap-" + name, "sentencepiece": data.hex(), "cases": cases}
    proto = sentencepiece_model_pb2.ModelProto.FromString(data)
    charsmap = base64.b64encode(proto.normalizer_spec.precompiled_charsmap).decode()

    def precompiled(text):
        text["normalizer"] = {"type": "Precompiled", "precompiled_charsmap": charsmap}

    tokenizer = unigram(None, pre_tokenizers.Metaspace("▁"), decoders.Metaspace("▁"))
    yield from records([("charsmap-precompiled", changed(tokenizer, precompiled))], texts)


def records(tokenizers, texts):
    for name, tokenizer in tokenizers:
        cases = []
        for text in texts:
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
        yield {"name": name, "tokenizer": json.loads(tokenizer.to_str()), "cases": cases}


def main():
    rng = random.Random(20260103)
    texts = FIXED + [random_text(rng) for _ in range(N_TEXTS)]
    made = list(records(metaspaces(), texts)) + list(records(stages(), texts))
    with tempfile.TemporaryDirectory() as folder:
        made += list(charsmaps(folder, texts + ["ﬁ… ½ ²\u200b\u00a0x e\u0301", "\u3000", "\u200b", "a\u200b \u00a0"]))
    with open(os.path.join(ROOT, "tests", "unit", "data", "stage_golden.json"), "w", encoding="utf-8") as file:
        json.dump(made, file, ensure_ascii=True, separators=(",", ":"))
        file.write("\n")


if __name__ == "__main__":
    main()
