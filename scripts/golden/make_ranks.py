#!/usr/bin/env python3
"""Write tests/unit/data/rank_golden.json: small rank files (tiktoken, tekken) with what their libraries make of texts.

pip install tokenizers sentencepiece tiktoken mistral-common; python scripts/golden/make_ranks.py

The ranks are trained here on a few lines, so the file depends on nothing else (another run gives other ranks, as good as
these).
"""

import base64
import json
import os
import random
import tempfile
import unicodedata

import tiktoken
from make_tokenizer import LINES, ROOT, random_text
from mistral_common.tokens.tokenizers.tekken import Tekkenizer
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

CL100K = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
O200K = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
TEKKEN = O200K.replace(r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?", "").replace("{1,3}", "")


def byte_chars():
    """The characters of the byte alphabet, by byte."""
    chars, extra = {}, 0
    for byte in range(256):
        if 0x21 <= byte <= 0x7E or 0xA1 <= byte <= 0xAC or 0xAE <= byte <= 0xFF:
            chars[byte] = chr(byte)
        else:
            chars[byte] = chr(256 + extra)
            extra += 1
    return chars


def train(n_merges, shuffled):
    """Pieces in order of rank: the bytes (GPT-2's order or shuffled), then what was merged."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=256 + n_merges,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(LINES, trainer)
    back = {char: byte for byte, char in byte_chars().items()}
    pieces = [bytes([byte]) for byte in range(256)]
    if shuffled:
        random.Random(5).shuffle(pieces)
    for left, right in json.loads(tokenizer.to_str())["model"]["merges"]:
        pieces.append(bytes(back[char] for char in left + right))
    pieces.append(" the other".encode())  # a whole piece that no merge reaches
    return list(dict.fromkeys(pieces))


def cases_of(encoding, texts, prepare=lambda text: text):
    cases = []
    for text in texts:
        ids = encoding.encode(prepare(text), allowed_special="all")
        cases.append({"text": text, "ids": ids, "decoded": encoding.decode(ids)})
    return cases


def rank_files(texts):
    llama3 = [
        "<|begin_of_text|>",
        "<|end_of_text|>",
        "<|reserved_special_token_0|>",
        "<|reserved_special_token_1|>",
        "<|finetune_right_pad_id|>",
        "<|step_id|>",
        "<|start_header_id|>",
        "<|end_header_id|>",
        "<|eom_id|>",
        "<|eot_id|>",
        "<|python_tag|>",
        "<|image|>",
    ]
    llama3 += [f"<|reserved_special_token_{i}|>" for i in range(2, 246)]
    qwen = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"] + [f"<|extra_{i}|>" for i in range(205)]
    public = {"<|endoftext|>": 1, "<|endofprompt|>": 20}
    fim = {"<|fim_prefix|>": 2, "<|fim_middle|>": 3, "<|fim_suffix|>": 4}
    for file, pattern, specials, nfc in (
        ("tokenizer.model", CL100K, {text: i for i, text in enumerate(llama3)}, False),
        ("qwen.tiktoken", CL100K.replace("{1,3}", ""), {text: i for i, text in enumerate(qwen)}, True),
        ("cl100k_base.tiktoken", CL100K, public | fim, False),
        ("o200k_base.tiktoken", O200K, public, False),
        ("r50k_base.tiktoken", GPT2, {"<|endoftext|>": 0}, False),
    ):
        pieces = train(160, shuffled=file[0] in "qr")
        ranks = {piece: i for i, piece in enumerate(pieces)}
        if file[0] == "o":  # a rank left out
            ranks = {piece: i + (i >= 300) for i, piece in enumerate(pieces)}
        end = max(ranks.values()) + 1
        specials = {text: end + offset for text, offset in specials.items()}
        encoding = tiktoken.Encoding(file, pat_str=pattern, mergeable_ranks=ranks, special_tokens=specials)
        some = [text for text in specials if not text.startswith(("<|reserved", "<|extra"))]
        spiced = texts + [random.Random(i).choice(texts) + text + " x" for i, text in enumerate(some)]
        spiced += [f"{list(specials)[-1]}{list(specials)[0]}"]
        yield {
            "name": file,
            "file": file,
            "tiktoken": "".join(
                f"{base64.b64encode(piece).decode()} {rank}\n" for piece, rank in ranks.items()
            ),
            "cases": cases_of(
                encoding, spiced, (lambda text: unicodedata.normalize("NFC", text)) if nfc else lambda text: text
            ),
        }


def tekkens(texts):
    for name, version, n_special, specials in (
        ("tekken-v3", "v3", 30, None),
        ("tekken-v11", "v11", 24, ["<unk>", "<s>", "</s>", "[INST]", "[/INST]", "<pad>", "[THINK]"]),
    ):
        pieces = train(160, shuffled=False)
        n_used = len(pieces) - 20  # the rest is cut off
        tekken = {
            "config": {
                "pattern": TEKKEN,
                "num_vocab_tokens": len(pieces),
                "default_vocab_size": n_special + n_used,
                "default_num_special_tokens": n_special,
                "version": version,
            },
            "vocab": [
                {"rank": i, "token_bytes": base64.b64encode(piece).decode(), "token_str": None}
                for i, piece in enumerate(pieces)
            ],
        }
        if specials:
            tekken["special_tokens"] = [
                {"rank": i, "token_str": text, "is_control": True} for i, text in enumerate(specials)
            ]
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "tekken.json")
            with open(path, "w", encoding="utf-8") as file:
                json.dump(tekken, file)
            library = Tekkenizer.from_file(path)
        special_ids = {library.id_to_piece(i): i for i in range(n_special)}
        encoding = tiktoken.Encoding(
            name,
            pat_str=TEKKEN,
            mergeable_ranks={piece: n_special + i for i, piece in enumerate(pieces[:n_used])},
            special_tokens=special_ids,
        )
        for text in texts:
            if not any(special in text for special in special_ids):
                assert library.encode(text, False, False) == encoding.encode(text)
        spiced = texts + ["[INST] Hi[/INST] there</s>", "<s>x<SPECIAL_23><SPECIAL_22>", "[INST", "<unk><pad>"]
        cases = cases_of(encoding, spiced)
        for case in cases:
            case["with_special"] = [library.bos_id] + case["ids"]
        yield {"name": name, "tekken": tekken, "cases": cases}


def main():
    rng = random.Random(20260102)
    texts = ["", " ", "a", "Hello world", "  two  spaces  ", "the other other", "HTTPServer isn't 123456"]
    texts += [random_text(rng) for _ in range(24)]
    records = list(rank_files(texts)) + list(tekkens(texts))
    with open(os.path.join(ROOT, "tests", "unit", "data", "rank_golden.json"), "w", encoding="utf-8") as file:
        json.dump(records, file, ensure_ascii=True, separators=(",", ":"))
        file.write("\n")


if __name__ == "__main__":
    main()
