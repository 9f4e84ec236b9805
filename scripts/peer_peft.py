#!/usr/bin/env python3
"""One measurement of transformers + PEFT on the CPU, at a named shape with random weights: the peer of `lorica bench`.

    peer_peft.py --shape p1 --mode bf16|f32|nf4 --batch 4 --seq 512 --rank 16 --steps 5 --warmup 2 [--ckpt on]

Prints one JSON line with the fields of `lorica bench --json` that a comparison needs. Needs torch, transformers, peft; nf4 also bitsandbytes."""
import argparse, json, math, resource, statistics, time

import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

SHAPES = {  # hidden, layers, intermediate, heads, kv heads, head size, vocabulary, tied
    "p1": (2048, 4, 8192, 32, 8, 64, 32000, True),
    "1b": (2048, 16, 8192, 32, 8, 64, 128256, True),
    "small": (576, 8, 1536, 9, 3, 64, 49152, True),
    "tiny": (64, 2, 176, 4, 2, 16, 512, True),
}

parser = argparse.ArgumentParser()
for name, default in (("shape", "p1"), ("mode", "bf16"), ("ckpt", "off"), ("label", "")):
    parser.add_argument("--" + name, default=default)
for name, default in (("batch", 4), ("seq", 512), ("rank", 16), ("steps", 5), ("warmup", 2), ("threads", 0)):
    parser.add_argument("--" + name, type=int, default=default)
args = parser.parse_args()
if args.threads:
    torch.set_num_threads(args.threads)
torch.manual_seed(0)
hidden, layers, inter, heads, kv, head, vocab, tied = SHAPES[args.shape]
dtype = torch.float32 if args.mode == "f32" else torch.bfloat16
config = LlamaConfig(hidden_size=hidden, num_hidden_layers=layers, intermediate_size=inter, num_attention_heads=heads,
                     num_key_value_heads=kv, head_dim=head, vocab_size=vocab, tie_word_embeddings=tied,
                     max_position_embeddings=max(args.seq, 512), rms_norm_eps=1e-5, attn_implementation="sdpa")
model = LlamaForCausalLM(config).to(dtype)
if args.mode == "nf4":
    import bitsandbytes as bnb
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, torch.nn.Linear) and name != "lm_head":
                new = bnb.nn.Linear4bit(child.in_features, child.out_features, bias=False, compute_dtype=dtype,
                                        quant_type="nf4", compress_statistics=True)
                new.weight = bnb.nn.Params4bit(child.weight.data, requires_grad=False, quant_type="nf4", compress_statistics=True)
                setattr(parent, name, new.to("cpu"))
model = get_peft_model(model, LoraConfig(r=args.rank, lora_alpha=2 * args.rank, target_modules="all-linear", task_type="CAUSAL_LM"))
if args.ckpt != "off":
    model.enable_input_require_grads()
    model.gradient_checkpointing_enable()
model.train()
optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3, weight_decay=0.0)
ids = torch.randint(0, vocab, (args.batch, args.seq))
seconds, losses = [], []
for step in range(args.warmup + args.steps):
    started = time.perf_counter()
    optimizer.zero_grad(set_to_none=True)
    loss = model(input_ids=ids, labels=ids).loss
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
    if step >= args.warmup:
        seconds.append(time.perf_counter() - started)
norms = {which: math.sqrt(sum(float(p.grad.double().square().sum()) for n, p in model.named_parameters() if p.grad is not None and f"lora_{which}" in n))
         for which in "AB"}
rates = sorted(args.batch * args.seq / s for s in seconds)
print(json.dumps({
    "label": args.label, "program": "peft", "mode": args.mode, "shape": args.shape, "batch": args.batch, "seq": args.seq,
    "rank": args.rank, "ckpt": args.ckpt,
    "tokens_per_s": {"median": statistics.median(rates), "min": rates[0], "max": rates[-1]},
    "memory": {"process_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024},
    "loss": {"first": losses[0], "last": losses[-1]}, "grad_norm": {"a": norms["A"], "b": norms["B"]},
}))
