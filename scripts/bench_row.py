#!/usr/bin/env python3
"""One row of scripts/bench_vs_peft's table.     bench_row.py NAME FILE      FILE: one JSON line per run, of both programs."""
import json, math, statistics, sys

if len(sys.argv) != 3:
    sys.exit(__doc__)
name, path = sys.argv[1:]
runs = [json.loads(line) for line in open(path) if line.strip()]


def trained(run):
    """Finite losses and norms, and a gradient of B: the program did the work that it is timed for."""
    if run.get("failed"):
        return False
    numbers = [run["loss"]["first"], run["loss"]["last"], run["grad_norm"]["a"], run["grad_norm"]["b"]]
    return all(n is not None and math.isfinite(n) for n in numbers) and run["grad_norm"]["b"] > 0


def side(program):
    own = [run for run in runs if run["program"] == program]
    if not own or not all(trained(run) for run in own):
        return None
    last = own[-1]
    return {
        "rate": statistics.median(run["tokens_per_s"]["median"] for run in own),
        "peak": max(run["memory"]["process_bytes"] for run in own) * 1e-9,
        "loss": f"{last['loss']['first']:.3f} -> {last['loss']['last']:.3f}",
        "norms": f"{last['grad_norm']['a']:.3g}, {last['grad_norm']['b']:.3g}",
        "share": statistics.median(run["mfu_gemm"] for run in own) if "mfu_gemm" in last else None,
    }


def cell(values, key, form="{}"):
    return form.format(values[key]) if values else "did not train"


ours, peer = side("lorica"), side("peft")
ratio = f"{ours['rate'] / peer['rate']:.2f}" if ours and peer else "none"
print("| " + " | ".join([
    name, cell(ours, "rate", "{:.1f}"), cell(peer, "rate", "{:.1f}"), ratio,
    cell(ours, "share", "{:.1%}"), cell(ours, "peak", "{:.2f}"), cell(peer, "peak", "{:.2f}"),
    cell(ours, "loss"), cell(peer, "loss"), cell(ours, "norms"), cell(peer, "norms"),
]) + " |")
