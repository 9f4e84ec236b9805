#!/usr/bin/env python3
"""Writes the damaged and odd files that the fuzz targets start from: tests/fuzz/corpus/<target>/. Run from anywhere."""
import base64
import json
import os
import struct

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tests", "fuzz", "corpus")


def write(target, name, data):
    folder = os.path.join(ROOT, target)
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, name), "wb") as out:
        out.write(data if isinstance(data, bytes) else data.encode())


def tensors(header, data=b"", length=None):
    text = header if isinstance(header, bytes) else (header if isinstance(header, str) else json.dumps(header)).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def entry(dtype="F32", shape=(2,), offsets=(0, 8)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


def safetensors():
    good = {"__metadata__": {"format": "pt"}, "a": entry(), "b": entry("BF16", (2, 2), (8, 16))}
    files = {
        "good": tensors(good, bytes(16)),
        "empty_object": tensors("{}"),
        "padded": tensors(json.dumps(good) + "   ", bytes(16)),
        "scalar": tensors({"a": entry(shape=(), offsets=(0, 4))}, bytes(4)),
        "no_elements": tensors({"a": entry(shape=(0, 5), offsets=(0, 0))}),
        "four_bits": tensors({"a": entry("F4", (4,), (0, 2))}, bytes(2)),
        "empty_file": b"",
        "seven_bytes": bytes(7),
        "length_zero": bytes(8),
        "length_above_file": tensors(good, length=1 << 20),
        "length_above_limit": tensors(good, length=100_000_001),
        "length_all_ones": tensors(good, length=2**64 - 1),
        "length_wraps": tensors(good, length=2**64 - 8),
        "header_cut": tensors(json.dumps(good)[:40]),
        "not_utf8": tensors(b'{"\xff\xfe":1}'),
        "nul_in_header": tensors(b'{}\x00{"a":1}'),
        "array_header": tensors("[]"),
        "leading_space": tensors(" {}"),
        "deep": tensors("{" + '"a":{' * 3000),
        "same_name_twice": tensors('{"a":{},"a":{}}'),
        "metadata_number": tensors({"__metadata__": {"a": 1}}),
        "metadata_array": tensors({"__metadata__": []}),
        "entry_number": tensors({"a": 1}),
        "entry_empty": tensors({"a": {}}),
        "unknown_dtype": tensors({"a": entry("F33")}, bytes(8)),
        "dtype_number": tensors({"a": dict(entry(), dtype=4)}, bytes(8)),
        "negative_dim": tensors({"a": entry(shape=(-2,))}, bytes(8)),
        "real_dim": tensors({"a": entry(shape=(2.0,))}, bytes(8)),
        "huge_dims": tensors({"a": entry(shape=(2**32, 2**32))}, bytes(8)),
        "huge_dim": tensors({"a": entry(shape=(2**62,))}, bytes(8)),
        "nine_dims": tensors({"a": entry(shape=(1,) * 9, offsets=(0, 4))}, bytes(4)),
        "offsets_reversed": tensors({"a": entry(offsets=(8, 0))}, bytes(8)),
        "offsets_negative": tensors({"a": entry(offsets=(-8, 0))}, bytes(8)),
        "offsets_outside": tensors({"a": entry(offsets=(0, 8))}, bytes(4)),
        "offsets_three": tensors({"a": entry(offsets=(0, 4, 8))}, bytes(8)),
        "offsets_too_big": tensors('{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,18446744073709551615]}}', bytes(8)),
        "size_mismatch": tensors({"a": entry(shape=(3,))}, bytes(8)),
        "gap": tensors({"a": entry(), "b": entry(offsets=(12, 20))}, bytes(20)),
        "gap_at_start": tensors({"a": entry(offsets=(4, 12))}, bytes(12)),
        "overlap": tensors({"a": entry(), "b": entry(offsets=(4, 12))}, bytes(12)),
        "same_place": tensors({"a": entry(), "b": entry()}, bytes(8)),
        "bytes_left": tensors({"a": entry()}, bytes(9)),
        "data_cut": tensors({"a": entry()}, bytes(7)),
    }
    for name, data in files.items():
        write("safetensors", name, data)


SIZES = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 127,
         "max_position_embeddings": 64}


def model_config():
    changes = {
        "good": {}, "v4": {"torch_dtype": "float32", "rope_theta": 1e4, "rope_scaling": None},
        "v5": {"dtype": "float32", "rope_parameters": {"rope_type": "default", "rope_theta": 1e4}},
        "llama3": {"rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                                    "original_max_position_embeddings": 64}},
        "llama3_same_factors": {"rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 4.0,
                                                 "high_freq_factor": 4.0, "original_max_position_embeddings": 64}},
        "yarn": {"rope_scaling": {"type": "yarn", "factor": 4.0}},
        "yarn_bare": {"rope_scaling": {"type": "yarn"}},
        "yarn_theta_one": {"rope_theta": 1.0000001, "rope_scaling": {"type": "yarn", "factor": 4.0}},
        "linear": {"rope_scaling": {"type": "linear", "factor": 2}}, "dynamic": {"rope_scaling": {"type": "dynamic", "factor": 2}},
        "rope_array": {"rope_scaling": []}, "rope_type_number": {"rope_scaling": {"rope_type": 3}},
        "zero_heads": {"num_attention_heads": 0}, "negative_layers": {"num_hidden_layers": -1}, "huge_layers": {"num_hidden_layers": 2**40},
        "huge_hidden": {"hidden_size": 2**62}, "kv_three": {"num_key_value_heads": 3}, "kv_zero": {"num_key_value_heads": 0},
        "head_dim_null": {"head_dim": None}, "head_dim_odd": {"head_dim": 3}, "hidden_string": {"hidden_size": "64"},
        "eps_zero": {"rms_norm_eps": 0}, "eps_string": {"rms_norm_eps": "1e-5"}, "activation": {"hidden_act": "gelu"},
        "eos_list": {"eos_token_id": list(range(40))}, "eos_negative": {"eos_token_id": -1}, "eos_nested": {"eos_token_id": [[1]]},
        "tied_number": {"tie_word_embeddings": 1}, "unknown_type": {"model_type": "gpt5"}, "no_type": {"model_type": None},
        "qwen2": {"model_type": "qwen2", "use_sliding_window": True, "sliding_window": 8, "max_window_layers": 1},
        "qwen2_types": {"model_type": "qwen2", "use_sliding_window": True, "sliding_window": 8,
                        "layer_types": ["sliding_attention", "full_attention"]},
        "qwen2_types_short": {"model_type": "qwen2", "use_sliding_window": True, "sliding_window": 8, "layer_types": ["full_attention"]},
        "mistral": {"model_type": "mistral", "sliding_window": 8}, "mistral_window_huge": {"model_type": "mistral", "sliding_window": 2**62},
        "bnb": {"quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True}},
        "gptq": {"quantization_config": {"quant_method": "gptq"}}, "quantization_number": {"quantization_config": 4},
        "dtype_unknown": {"dtype": "int3"}, "dtype_number": {"dtype": 3},
    }
    for name, change in changes.items():
        write("model_config", name, json.dumps({"model_type": "llama", **SIZES, **change}))
    write("model_config", "empty_object", "{}")
    write("model_config", "array", "[]")
    write("model_config", "cut", json.dumps({"model_type": "llama", **SIZES})[:50])


def peft_config():
    changes = {
        "good": {"target_modules": ["q_proj"], "r": 4, "lora_alpha": 8}, "defaults": {}, "regex": {"target_modules": ".*q_proj"},
        "all_linear": {"target_modules": "all-linear"}, "regex_open": {"target_modules": "("}, "regex_slow": {"target_modules": "(a?.*){40}(x+x+)+y"},
        "regex_nested": {"target_modules": "(" * 400 + "a" + ")" * 400}, "regex_big": {"target_modules": "((a{1000}){1000}){1000}"},
        "regex_recursive": {"target_modules": "(?R)*a|m"}, "exclude_regex": {"exclude_modules": "[", "target_modules": ["q_proj"]},
        "layers": {"target_modules": ["q_proj"], "layers_to_transform": [0, 11]}, "layer": {"target_modules": ["q_proj"], "layers_to_transform": 0},
        "layers_pattern": {"target_modules": ["q_proj"], "layers_to_transform": [0], "layers_pattern": ["(layers)|h", "x"]},
        "layers_pattern_unset": {"target_modules": ["q_proj"], "layers_to_transform": [0], "layers_pattern": "(zzz)?layers"},
        "layers_negative": {"layers_to_transform": [-1]}, "layers_string": {"layers_to_transform": "0"},
        "rank_pattern": {"rank_pattern": {"q_proj": 2, "^model.*": 3}}, "rank_pattern_open": {"rank_pattern": {"(": 2}},
        "rank_pattern_close": {"rank_pattern": {"a)|(.*": 2}}, "rank_zero": {"rank_pattern": {"q": 0}}, "rank_real": {"rank_pattern": {"q": 1.5}},
        "rank_array": {"rank_pattern": []}, "r_zero": {"r": 0}, "r_huge": {"r": 2**60}, "r_string": {"r": "8"}, "alpha_negative": {"lora_alpha": -1},
        "dropout_one": {"lora_dropout": 1}, "targets_numbers": {"target_modules": [1]}, "targets_object": {"target_modules": {}},
        "target_nul": {"target_modules": ["a\u0000b"]}, "dora": {"use_dora": True}, "bias": {"bias": "all"}, "type": {"peft_type": "IA3"},
        "type_null": {"peft_type": None}, "init": {"init_lora_weights": "pissa"}, "unknown": {"something_new": [1, {}]},
    }
    for name, change in changes.items():
        write("peft_config", name, json.dumps({"peft_type": "LORA", **change}))
    write("peft_config", "empty_object", "{}")
    write("peft_config", "array", "[]")


def ranked():
    """Pieces of a small byte-level vocabulary, in order of rank."""
    return [bytes([byte]) for byte in range(256)] + [b"aa", b"ll", b"He", b" w", b"llo", b"aaaa", b"12"]


def line(piece, rank):
    return base64.b64encode(piece).decode() + f" {rank}\n"


def tiktoken():
    pieces = ranked()
    lines = [line(piece, rank) for rank, piece in enumerate(pieces)]
    good = "".join(lines)
    files = {
        name.split(".")[0] if "." in name else name: name + "\n" + good
        for name in ("tokenizer.model", "qwen.tiktoken", "cl100k_base.tiktoken", "o200k_base.tiktoken", "gpt2.tiktoken")
    }
    for name, text in {
        "empty": "",
        "blank": "\n\n\n",
        "crlf": good.replace("\n", "\r\n"),
        "no_last_end": good[:-1],
        "cut": good[: len(good) // 2],
        "byte_missing": "".join(lines[:100] + lines[101:]),
        "gap": "".join(lines) + line(b"zz", 300),
        "rank_falls": "".join(lines) + line(b"zz", 5),
        "rank_twice": "".join(lines) + line(b"zz", len(pieces) - 1),
        "rank_largest": good + line(b"zz", (1 << 22) - 1),
        "rank_too_large": good + line(b"zz", 1 << 22),
        "rank_endless": good + "eno= " + "9" * 400 + "\n",
        "rank_negative": good + "eno= -1\n",
        "rank_hex": good + "eno= 0x10\n",
        "rank_missing": good + "eno=\n",
        "rank_blank": good + "eno= \n",
        "two_blanks": good + "eno=  263\n",
        "piece_missing": good + " 263\n",
        "piece_empty": good + "= 263\n",
        "piece_odd": good + "e 263\n",
        "piece_not_base64": good + "e*o= 263\n",
        "piece_padded_inside": good + "eg==eg== 263\n",
        "piece_twice": good + line(b"aa", 263),
        "piece_long": good + line(b"a" * 5000, 263),
        "nul": good + "eno\0 263\n",
        "protobuf": "\n\x0e\n\x05<unk>\x15\0\0\0\0\x18\x02",
    }.items():
        files[name] = "qwen.tiktoken\n" + text
    files["unknown_name"] = "other.tiktoken\n" + good
    for name, text in files.items():
        write("tiktoken", name + ".txt", text)


def tekken():
    pieces = ranked()
    config = {
        "pattern": "\\p{L}+|\\s+|[^\\s\\p{L}]",
        "num_vocab_tokens": len(pieces),
        "default_vocab_size": 10 + len(pieces) - 2,
        "default_num_special_tokens": 10,
        "version": "v3",
    }
    vocab = [
        {"rank": rank, "token_bytes": base64.b64encode(piece).decode(), "token_str": None}
        for rank, piece in enumerate(pieces)
    ]
    specials = [{"rank": i, "token_str": text, "is_control": True} for i, text in enumerate(["<unk>", "<s>", "</s>"])]
    good = {"config": config, "vocab": vocab, "special_tokens": specials}
    files = {"good": json.dumps(good), "cut": json.dumps(good)[:5000], "empty": "", "array": "[]", "object": "{}"}

    def put(name, key=None, value=None, **changes):
        changed = dict(good, **changes)
        if key:
            changed["config"] = dict(config, **{key: value})
        files[name] = json.dumps(changed)

    put("no_specials", special_tokens=None)
    put("no_specials_v11", "version", "v11", special_tokens=None)
    put("no_version", "version", None, special_tokens=None)
    put("version_empty", "version", "", special_tokens=None)
    put("pattern_missing", "pattern", None)
    put("pattern_number", "pattern", 3)
    put("pattern_open", "pattern", "(")
    put("pattern_exponential", "pattern", "^((a+)+)+$")
    put("size_missing", "default_vocab_size", None)
    put("size_negative", "default_vocab_size", -5)
    put("size_large", "default_vocab_size", 1 << 40)
    put("size_above_vocab", "default_vocab_size", 500)
    put("size_small", "default_vocab_size", 100)
    put("specials_only", "default_vocab_size", 10)
    put("specials_negative", "default_num_special_tokens", -1)
    put("specials_none", "default_num_special_tokens", 0)
    put("specials_large", "default_num_special_tokens", 1 << 62)
    put("special_far", special_tokens=[{"rank": 10, "token_str": "<x>"}])
    put("special_twice", special_tokens=specials + [{"rank": 1, "token_str": "<x>"}])
    put("special_name_twice", special_tokens=specials + [{"rank": 4, "token_str": "<s>"}])
    put("special_empty", special_tokens=[{"rank": 0, "token_str": ""}])
    put("special_string", special_tokens=["<s>"])
    put("special_filler", special_tokens=[{"rank": 0, "token_str": "<SPECIAL_5>"}])
    put("vocab_object", vocab={})
    put("vocab_rank", vocab=[dict(vocab[0], rank=7)] + vocab[1:])
    put("vocab_bytes_missing", vocab=[{"rank": 0}] + vocab[1:])
    put("vocab_not_base64", vocab=[dict(vocab[0], token_bytes="%")] + vocab[1:])
    put("vocab_twice", vocab=[dict(vocab[0], token_bytes="AQ==")] + vocab[1:])
    for name, text in files.items():
        write("tekken", name + ".json", text)


def json_texts():
    texts = {
        "object": '{"a":[1,2.5,-3e7,true,false,null,"x"]}', "string": '"a\\u00e9\\ud83d\\ude00\\n"', "number": "1", "empty": "", "space": " \n\t",
        "nul": b"1\x00", "nul_inside": b'{"a":\x001}', "nul_escaped": '"a\\u0000b"', "nul_in_key": '{"a\\u0000b":1}', "twice": '{"a":1,"a":2}',
        "trailing_comma": "[1,]", "garbage": "{}x", "single_quotes": "{'a':1}", "comment": "/**/{}", "lone_surrogate": '"\\ud800"',
        "bad_utf8": b'"\xff"', "overlong": b'"\xc0\xaf"', "bom": b"\xef\xbb\xbf{}", "nan": "NaN", "infinity": "-Infinity", "huge_integer": "9" * 400,
        "huge_exponent": "1e999", "leading_zero": "01", "plus": "+1", "hex": "0x10", "deep_arrays": "[" * 3000, "deep_objects": '{"a":' * 3000,
        "unterminated": '"abc', "control": b'"a\x01b"', "escape": '"\\x"',
    }
    for name, text in texts.items():
        write("json", name, text)


safetensors()
model_config()
peft_config()
json_texts()
tiktoken()
tekken()
