#!/usr/bin/env python3
"""Write tests/golden/data: tiny random checkpoints and what the reference implementations compute on them.

pip install torch transformers peft bitsandbytes accelerate; python scripts/golden/make_models.py

The golden values are float32 results of transformers with its plain ("eager") attention on one CPU thread.
Beside them runs wide_forward(), a model of our own in float64: it checks the reference, and its distance is
what honest float32 arithmetic may cost, from which every tolerance is derived. Random numbers come from
numpy's PCG64, one stream per purpose, so that a family does not change when another is added. What is
written: tests/golden/README.md.
"""
import json
import math
import os
import pathlib
import shutil
import zlib

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import bitsandbytes
import numpy
import peft
import torch
import torch.nn.functional as F
import transformers
from safetensors.torch import load_file, save_file

SEED = 20
ROOT = pathlib.Path(__file__).resolve().parents[2] / "tests/golden/data"
N_ROWS, N_COLS, N_PAD_COLS, N_TRAIN_COLS = 2, 18, 15, 14
N_STEPS, N_WARMUP, N_MICRO = 8, 2, 2
N_PROMPT, N_NEW, GAP_MIN = 5, 16, 0.05
LORA = dict(r=3, lora_alpha=4, lora_dropout=0.0, bias="none", task_type="CAUSAL_LM",
            target_modules="all-linear")

COMMON = dict(num_hidden_layers=2, max_position_embeddings=64, bos_token_id=1, eos_token_id=2, pad_token_id=0)


def rope(theta, kind="default", **more):
    return dict(rope_type=kind, rope_theta=theta, **more)


# Sizes differ from each other wherever the family allows it; the eps of the norms is large enough to be seen.
FAMILIES = {
    # Quantised weights have 40 and 70 columns: blocks of 64 cross rows, and some last block is short.
    # Multiples of 16 that are none of 64 would meet wrong block scales in bitsandbytes 0.50 on AVX-512.
    "llama": dict(model_type="llama", hidden_size=40, intermediate_size=70, num_attention_heads=5,
                  num_key_value_heads=5, vocab_size=83, rms_norm_eps=3e-3, rope_parameters=rope(10000.0),
                  tie_word_embeddings=False),
    # Wavelengths 6 | 18 50 | 141 ...: one is kept, two are blended, three divided.
    "llama_gqa_tied": dict(model_type="llama", hidden_size=32, intermediate_size=44, num_attention_heads=4,
                           num_key_value_heads=2, head_dim=12, vocab_size=97, rms_norm_eps=3e-3,
                           tie_word_embeddings=True, max_position_embeddings=256,
                           rope_parameters=rope(500.0, "llama3", factor=8.0, low_freq_factor=1.0,
                                                high_freq_factor=4.0, original_max_position_embeddings=64)),
    "mistral": dict(model_type="mistral", hidden_size=48, intermediate_size=36, num_attention_heads=6,
                    num_key_value_heads=2, head_dim=8, vocab_size=67, rms_norm_eps=3e-3, sliding_window=5,
                    rope_parameters=rope(10000.0), tie_word_embeddings=False),
    "qwen2": dict(model_type="qwen2", hidden_size=40, intermediate_size=52, num_attention_heads=4,
                  num_key_value_heads=1, vocab_size=89, rms_norm_eps=2e-3, use_sliding_window=False,
                  rope_parameters=rope(1000000.0), tie_word_embeddings=True),
}


def stream(*names):
    return numpy.random.default_rng([SEED] + [zlib.crc32(name.encode()) for name in names])


def normal(rng, shape, std):
    return torch.from_numpy(rng.standard_normal(tuple(shape), dtype=numpy.float32)) * std


def write_tensors(path, tensors):
    own = {name: t.detach().contiguous().clone() for name, t in tensors.items()}
    save_file(own, path, metadata={"format": "pt"})


def write_json(path, value):
    path.write_text(json.dumps(value, indent=1) + "\n")


# ---- inputs: weights, adapter, batches ----


def fill_model(model, family):
    """Every parameter random: norms around one, biases not zero, matrices of about unit gain."""
    for name, p in model.named_parameters():
        rng = stream(family, "weight", name)
        if "norm" in name:
            value = 1.0 + normal(rng, p.shape, 0.15)
        elif p.ndim == 1:
            value = normal(rng, p.shape, 0.2)
        else:
            value = normal(rng, p.shape, 1.2 / math.sqrt(p.shape[1]))
        p.data.copy_(value)


def fill_adapter(model, family):
    """A as PEFT draws it by default; B not zero, so that A has a gradient."""
    for name, p in model.named_parameters():
        if "lora_" in name:
            bound = 1.0 / math.sqrt(p.shape[1])
            rng = stream(family, "adapter", name)
            if "lora_A" in name:
                p.data.copy_(torch.from_numpy(rng.uniform(-bound, bound, p.shape)))
            else:
                p.data.copy_(normal(rng, p.shape, 0.06))


def make_batches(family, vocab):
    """Token ids 3..vocab-1, 0 in the padding; labels are the ids, -100 on prompts and padding."""
    rng = stream(family, "batches")

    def rows(n, n_cols, lengths, prompts):
        ids = torch.from_numpy(rng.integers(3, vocab, (n, n_cols)))
        at = torch.arange(n_cols).expand(n, n_cols)
        mask = (at < torch.tensor(lengths)[:, None]).long()
        labels = torch.where((at < torch.tensor(prompts)[:, None]) | (mask == 0), -100, ids)
        return {"input_ids": ids * mask, "attention_mask": mask, "labels": labels}

    batches = rows(N_ROWS, N_COLS, [N_COLS] * 2, [4, 7])
    del batches["attention_mask"]
    batches |= {"pad." + k: v for k, v in rows(2, N_PAD_COLS, [N_PAD_COLS, 11], [2, 3]).items()}
    n = N_STEPS * N_MICRO * 2
    lengths = [N_TRAIN_COLS if i % 4 < 3 else int(rng.integers(9, N_TRAIN_COLS)) for i in range(n)]
    train = rows(n, N_TRAIN_COLS, lengths, rng.integers(0, 6, n).tolist())
    batches |= {"train." + k: v.view(-1, 2, N_TRAIN_COLS).to(torch.int32) for k, v in train.items()}
    batches["prompts"] = torch.from_numpy(rng.integers(3, vocab, (64, N_PROMPT)))
    return batches


# ---- the model in float64 ----


def inverse_frequencies(config, dim):
    p = config.rope_parameters
    freq = p["rope_theta"] ** (-torch.arange(0, dim, 2, dtype=torch.float64) / dim)
    if p["rope_type"] == "llama3":
        low, high = p["low_freq_factor"], p["high_freq_factor"]
        turns = p["original_max_position_embeddings"] * freq / (2 * math.pi)
        kept = ((turns - low) / (high - low)).clamp(0, 1)
        freq = kept * freq + (1 - kept) * freq / p["factor"]
    return freq


def rotate(x, positions, freq):
    angle = positions[:, None, :, None] * freq
    a, b = x.chunk(2, -1)
    return torch.cat([a * angle.cos() - b * angle.sin(), b * angle.cos() + a * angle.sin()], -1)


def wide_forward(config, weights, ids, starts=(0,)):
    """Logits of a Llama-like model. Weights (adapter, too) by names on disk; documents begin at `starts`."""
    n_rows, n_cols = ids.shape
    heads, kv_heads = config.num_attention_heads, config.num_key_value_heads
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // heads
    at = torch.arange(n_cols)
    doc = (at[:, None] >= torch.tensor(starts)).sum(1)
    positions = (at - torch.tensor(starts)[doc - 1]).double().expand(n_rows, n_cols)
    distance = at[:, None] - at
    allowed = (distance >= 0) & (doc[:, None] == doc)
    if config.model_type == "mistral":
        allowed &= distance < config.sliding_window

    def norm(x, name):
        mean_square = (x * x).mean(-1, keepdim=True)
        return x * torch.rsqrt(mean_square + config.rms_norm_eps) * weights[name + ".weight"]

    def linear(x, name):
        y = F.linear(x, weights[name + ".weight"], weights.get(name + ".bias"))
        lora = "base_model.model." + name + ".lora_"
        if lora + "A.weight" in weights:
            a, b = weights[lora + "A.weight"], weights[lora + "B.weight"]
            y = y + LORA["lora_alpha"] / LORA["r"] * (x @ a.T @ b.T)
        return y

    def attention(x, name):
        q, k, v = (linear(x, name + part).view(n_rows, n_cols, -1, head_dim).transpose(1, 2)
                   for part in (".q_proj", ".k_proj", ".v_proj"))
        freq = inverse_frequencies(config, head_dim)
        q, k = rotate(q, positions, freq), rotate(k, positions, freq)
        k, v = (t.repeat_interleave(heads // kv_heads, 1) for t in (k, v))
        scores = (q @ k.transpose(2, 3) / math.sqrt(head_dim)).masked_fill(~allowed, -math.inf)
        return linear((scores.softmax(-1) @ v).transpose(1, 2).reshape(n_rows, n_cols, -1), name + ".o_proj")

    x = weights["model.embed_tokens.weight"][ids]
    for i in range(config.num_hidden_layers):
        layer = f"model.layers.{i}."
        x = x + attention(norm(x, layer + "input_layernorm"), layer + "self_attn")
        h = norm(x, layer + "post_attention_layernorm")
        h = F.silu(linear(h, layer + "mlp.gate_proj")) * linear(h, layer + "mlp.up_proj")
        x = x + linear(h, layer + "mlp.down_proj")
    head = "model.embed_tokens.weight" if config.tie_word_embeddings else "lm_head.weight"
    return norm(x, "model.norm") @ weights[head].T


# ---- one thing to run: float32 by the reference, or float64 by wide_forward() ----


class Run:
    """forward(ids, mask, starts) gives logits; `weights` are the parameters by their names on disk."""

    def __init__(self, forward, weights, trained):
        self.forward, self.weights = forward, weights
        self.trained = {name: p for name, p in weights.items() if trained(name)}
        for name, p in weights.items():
            p.requires_grad_(trained(name))


def narrow_run(model, trained):
    def forward(ids, mask=None, starts=(0,)):
        more = dict(attention_mask=mask)
        if len(starts) > 1:
            at = torch.arange(ids.shape[1])
            doc = (at[:, None] >= torch.tensor(starts)).sum(1)
            allowed = (at[:, None] >= at) & (doc[:, None] == doc)
            more = dict(position_ids=(at - torch.tensor(starts)[doc - 1])[None],
                        attention_mask=torch.where(allowed, 0.0, torch.finfo(torch.float32).min)[None, None])
        return model(input_ids=ids, use_cache=False, **more).logits

    strip = (lambda n: n if "lora_" in n else n.removeprefix("base_model.model.").replace(".base_layer", ""))
    weights = {strip(name.replace(".default", "")): p for name, p in model.named_parameters()}
    return Run(forward, weights, trained)


def wide_run(config, weights, trained):
    wide = {name: p.detach().double().clone() for name, p in weights.items()}
    return Run(lambda ids, mask=None, starts=(0,): wide_forward(config, wide, ids, starts), wide, trained)


def runs_of(model, trained):
    """The model in float32 and, with copies of its weights, in float64."""
    narrow = narrow_run(model, trained)
    return narrow, wide_run(model.config, narrow.weights, trained)


def base_runs(model):
    return runs_of(model, lambda name: False)


def adapter_runs(model):
    return runs_of(model, lambda name: "lora_" in name)


def n_targets(labels):
    return int((labels[..., 1:] != -100).sum())


def loss_sum(logits, labels):
    """Position i predicts token i + 1."""
    targets = labels[:, 1:].flatten().long()
    return F.cross_entropy(logits[:, :-1].flatten(0, 1), targets, ignore_index=-100, reduction="sum")


def evaluate(run, batch, out, suffix="", gradients=False, starts=(0,)):
    logits = run.forward(batch["input_ids"], starts=starts)
    loss = loss_sum(logits, batch["labels"]) / n_targets(batch["labels"])
    out["logits" + suffix], out["loss" + suffix] = logits.detach(), loss.detach().view(1)
    if gradients:
        names = sorted(run.trained)
        grads = torch.autograd.grad(loss, [run.trained[n] for n in names])
        out |= {"grad." + n: g for n, g in zip(names, grads)}


def train(run, batches, out, lr):
    """8 steps of 2 micro-batches; losses divided by the targets of both; AdamW, clipping at 1, linear."""
    params = [run.trained[name] for name in sorted(run.trained)]
    groups = [dict(params=[p for p in params if p.ndim > 1], weight_decay=0.01),
              dict(params=[p for p in params if p.ndim == 1], weight_decay=0.0)]
    groups = [group for group in groups if group["params"]]
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.999), eps=1e-8, foreach=False)
    losses, norms = [], []  # of a step: sum of its micro-batches; before clipping
    for step in range(N_STEPS):
        micros = range(step * N_MICRO, (step + 1) * N_MICRO)
        n = sum(n_targets(batches["train.labels"][m]) for m in micros)
        total = 0.0
        for m in micros:
            logits = run.forward(batches["train.input_ids"][m].long(), batches["train.attention_mask"][m])
            loss = loss_sum(logits, batches["train.labels"][m]) / n
            loss.backward()
            total += float(loss.detach())
        norms.append(float(torch.nn.utils.clip_grad_norm_(params, 1.0)))
        factor = step / N_WARMUP if step < N_WARMUP else (N_STEPS - step) / (N_STEPS - N_WARMUP)
        for group in optimizer.param_groups:
            group["lr"] = lr * factor
        optimizer.step()
        optimizer.zero_grad()
        losses.append(total)
    out["train.loss"] = torch.tensor(losses, dtype=torch.float64)
    out["train.grad_norm"] = torch.tensor(norms, dtype=torch.float64)


def generate(run, prompts):
    """Greedy continuations; the one kept has the most different tokens of those that choose clearly."""
    ids, gaps = prompts, []
    with torch.no_grad():
        for _ in range(N_NEW):
            best = run.forward(ids)[:, -1].topk(2)
            gaps.append(best.values[:, 0] - best.values[:, 1])
            ids = torch.cat([ids, best.indices[:, :1]], 1)
    new, gap = ids[:, N_PROMPT:], torch.stack(gaps, 1)
    clear = [i for i in range(len(ids)) if gap[i].min() > GAP_MIN and new[i].min() > 2]
    i = max(clear, key=lambda i: (len(new[i].unique()), float(gap[i].min())))
    return {"generate.prompt": prompts[i : i + 1], "generate.tokens": new[i : i + 1], "generate.gap": gap[i]}


# ---- tolerances and files ----


def round_up(value):
    """To one significant digit."""
    unit = 10.0 ** math.floor(math.log10(value))
    return float(f"{math.ceil(value / unit) * unit:.0e}")


def write_golden(folder, narrow, wide, inputs, **more):
    """golden.safetensors and golden.json. Tolerance of a group: 8 times the distance of float32 from float64,
    at least 16 roundings (2^-24) of its largest value, rounded up to one digit."""
    folder.mkdir(parents=True, exist_ok=True)
    measured, tolerance = {}, {}
    groups = {name.split(".")[0] if name.startswith(("grad.", "final_adapter.")) else name for name in wide}
    for group in sorted(groups):
        names = [name for name in wide if name == group or name.startswith(group + ".")]
        scale = max(float(wide[name].abs().max()) for name in names)
        distance = max(float((narrow[name].double() - wide[name]).abs().max()) for name in names)
        assert distance < 1e-5 * max(scale, 0.1), f"{folder}: {group} is {distance} off at scale {scale}"
        measured[group] = dict(scale=scale, f32_vs_f64=distance)
        tolerance[group] = round_up(max(8 * distance, 16 * 2.0**-24 * scale))
        print(f"{folder.relative_to(ROOT)!s:16} {group:20} scale {scale:8.3g}  f32 against f64 {distance:.2e}"
              f"  tolerance {tolerance[group]:.0e}")
    tensors = {name: t.float() if t.is_floating_point() else t for name, t in (narrow | inputs).items()
               if not name.startswith("final_adapter.")}
    write_tensors(folder / "golden.safetensors", tensors)
    packages = (torch, transformers, peft, bitsandbytes, numpy)
    write_json(folder / "golden.json", dict(
        made_by="scripts/golden/make_models.py", seed=SEED,
        versions={p.__name__: p.__version__ for p in packages}, **more,
        measured=measured, tolerance=tolerance))


def row1(out, name):
    """Keeps the second row only, under another name: it attends to nothing of the first."""
    out[name + "_row1"] = out.pop(name)[1:]


def open_base(path):
    how = dict(dtype=torch.float32, attn_implementation="eager")
    return transformers.AutoModelForCausalLM.from_pretrained(path, **how).eval()


def open_adapter(base, folder):
    return peft.PeftModel.from_pretrained(base, folder, is_trainable=True).eval()


def save_adapter(model, folder, family):
    model.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)
    config = json.loads((folder / "adapter_config.json").read_text())
    config |= dict(target_modules=sorted(config["target_modules"]), base_model_name_or_path="tiny-" + family)
    (folder / "adapter_config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def base_values(run, batches):
    out = {}
    with torch.no_grad():
        evaluate(run, batches, out)
        logits = run.forward(batches["pad.input_ids"], batches["pad.attention_mask"])
    out["pad.loss"] = (loss_sum(logits, batches["pad.labels"]) / n_targets(batches["pad.labels"])).view(1)
    return out


def adapter_values(run, batches):
    out = {}
    evaluate(run, batches, out, "_lora", gradients=True)
    row1(out, "logits_lora")
    train(run, batches, out, 1e-2)
    return out


def make_family(family, settings):
    """model/, adapter_init/, adapter_final/ and the golden values; returns the batches."""
    folder = ROOT / family
    config = transformers.AutoConfig.for_model(**COMMON | settings)
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    fill_model(model, family)
    model.save_pretrained(folder / "model")
    batches = make_batches(family, config.vocab_size)
    prompts = batches.pop("prompts")

    base = open_base(folder / "model")
    narrow, wide = (base_values(run, batches) for run in base_runs(base))
    adapted = peft.get_peft_model(base, peft.LoraConfig(**LORA))
    fill_adapter(adapted, family)
    save_adapter(adapted, folder / "adapter_init", family)
    adapted = open_adapter(open_base(folder / "model"), folder / "adapter_init")
    runs = adapter_runs(adapted)
    for run, out in zip(runs, (narrow, wide)):
        out |= adapter_values(run, batches)
        out |= {"final_adapter." + name: p.detach().clone() for name, p in run.trained.items()}
    save_adapter(adapted, folder / "adapter_final", family)
    path = generate(runs[0], prompts)
    write_golden(folder, narrow, wide, batches | path, smallest_gap=float(path["generate.gap"].min()))
    return batches


def make_full(batches):
    """Every weight trained."""
    model = open_base(ROOT / "llama/model")
    results = []
    for run in runs_of(model, lambda name: True):
        out = {}
        evaluate(run, batches, out, gradients=True)
        train(run, batches, out, 1e-3)
        out["logits_trained"] = run.forward(batches["input_ids"]).detach()
        row1(out, "logits_trained")
        del out["logits"]
        results.append(out)
    write_golden(ROOT / "llama/full", *results, {}, lr=1e-3, not_decayed="one-dimensional parameters")


def make_packed(vocab):
    """Two documents in one row; labels are -100 on the first token of each, and on prompts."""
    starts, n = (0, 7), N_COLS
    ids = torch.from_numpy(stream("llama", "packed").integers(3, vocab, (1, n)))
    labels = ids.clone()
    for start, n_prompt in zip(starts, (2, 4)):
        labels[0, start : start + n_prompt] = -100
    batch = dict(input_ids=ids, labels=labels)
    base, results = open_base(ROOT / "llama/model"), ({}, {})
    for run, out in zip(base_runs(base), results):
        with torch.no_grad():
            evaluate(run, batch, out, starts=starts)
            apart = torch.cat([run.forward(ids[:, : starts[1]]), run.forward(ids[:, starts[1] :])], 1)
        assert (apart - out["logits"]).abs().max() < 1e-5, "packed documents see each other"
    for run, out in zip(adapter_runs(open_adapter(base, ROOT / "llama/adapter_init")), results):
        evaluate(run, batch, out, "_lora", gradients=True, starts=starts)
        del out["logits_lora"]
    write_golden(ROOT / "llama/packed", *results, batch | {"cu_seqlens": torch.tensor([*starts, n])})


def dequantise(file, name):
    """w[i] = map[code[i]] * (nested_map[absmax[b]] * nested_absmax[b / 256] + offset), b = i / 64."""
    part = {key.removeprefix(name + "."): t for key, t in file.items() if key.startswith(name + ".")}
    state = json.loads(bytes(part["quant_state.bitsandbytes__nf4"].tolist()))
    packed = file[name].flatten().long()
    codes = torch.stack([packed >> 4, packed & 15], 1).flatten()
    nested = part["nested_absmax"].repeat_interleave(state["nested_blocksize"])[: len(part["absmax"])]
    absmax = part["nested_quant_map"][part["absmax"].long()] * nested + numpy.float32(state["nested_offset"])
    scales = absmax.repeat_interleave(state["blocksize"])[: len(codes)]
    return (part["quant_map"][codes] * scales).view(state["shape"])


def make_nf4(batches):
    """The base as bitsandbytes stores it; the values of a dense model of the dequantised weights."""
    folder = ROOT / "llama/qlora_nf4"
    how = transformers.BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.float32)
    stored = transformers.AutoModelForCausalLM.from_pretrained(
        ROOT / "llama/model", quantization_config=how, dtype=torch.float32, device_map="cpu",
        attn_implementation="eager")
    stored.train()  # no dropout here; in eval mode bitsandbytes packs the weights anew, for a kernel in bf16
    stored.save_pretrained(folder / "model")
    file = load_file(folder / "model/model.safetensors")
    base = open_base(ROOT / "llama/model")
    for name, module in stored.named_modules():
        if isinstance(module, bitsandbytes.nn.Linear4bit):
            weight = dequantise(file, name + ".weight")
            theirs = bitsandbytes.functional.dequantize_4bit(module.weight.data, module.weight.quant_state)
            assert torch.equal(weight, theirs), f"{name}: bitsandbytes dequantises differently"
            base.get_submodule(name).weight.data.copy_(weight)
    results = [base_values(run, batches) for run in base_runs(base)]
    with torch.no_grad():
        theirs = stored(input_ids=batches["input_ids"], use_cache=False).logits
    distance = float((theirs - results[0]["logits"]).abs().max())
    assert distance < 1e-5, f"bitsandbytes computes other logits: {distance}"
    for run, out in zip(adapter_runs(open_adapter(base, ROOT / "llama/adapter_init")), results):
        del out["pad.loss"]
        out |= adapter_values(run, batches)
    write_golden(folder, *results, {}, dense_vs_bitsandbytes=distance)


def main():
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    shutil.rmtree(ROOT, ignore_errors=True)
    batches = {family: make_family(family, settings) for family, settings in FAMILIES.items()}
    make_full(batches["llama"])
    make_packed(FAMILIES["llama"]["vocab_size"])
    make_nf4(batches["llama"])


if __name__ == "__main__":
    main()
