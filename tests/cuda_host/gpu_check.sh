#!/usr/bin/env bash
# scripts/gpu_check with stand-ins of everything that a machine with a GPU has: what it calls, with which words, and its verdicts.
#     gpu_check.sh PROJECT
project=$1
. "$project/tests/train/common.sh"
says() { grep -qE -- "$1" "$2" || { echo "no '$1' in $2"; return 1; }; }
program() { # program PATH: the text on stdin
    mkdir -p "$(dirname "$1")"
    { echo '#!/usr/bin/env bash'; cat; } >"$1"
    chmod +x "$1"
}

program tools/nvidia-smi <<'END'
case $1 in *=name) echo "A Card" ;; *=compute_cap) echo 9.0 ;; *) echo 700 ;; esac
END
program build/lorica <<'END'
echo "$*" >>"$CALLS"
case $1 in
doctor) echo "gpu          A Card, compute capability 9.0" ;;
bench)
    device=${DEVICE:-cuda} label=${*: -1}
    echo "warming up" >&2
    echo '{"label": "'"$label"'", "program": "lorica", "device": "'"$device"'", "tokens_per_s": {"median": 1200.5, "min": 1190}, "memory": {"peak_allocated_bytes": 3e9}, "loss": {"first": 11, "last": 10.5}, "mfu_gemm": 0.7}' ;;
esac
END
program build/tests/test_kernels <<'END'
case $* in
*--list*) printf 'cuda: 2 tests\n├── rope\n└── add\n' ;;
*) echo "[====] Synthesis: Tested: 1 | Passing: ${PASSING:-1} | Failing: 0 | Crashing: 0" ;;
esac
END
mkdir -p peers/torch
echo 'class cuda: is_available = staticmethod(lambda: True)' >peers/torch/__init__.py
cat >peers/gpu_peer.py <<'END'
import os, sys
open(os.environ["CALLS"], "a").write("peer " + " ".join(sys.argv[1:]) + "\n")
print("loading")
if os.environ.get("PEER_FAILS"):
    sys.exit("CUDA out of memory")
print('{"label": "%s", "program": "peft", "tokens_per_s": {"median": 800.0}, "memory": {"peak_allocated_bytes": 4000000000}, '
      '"loss": {"last": 10.5}, "mfu_gemm": 0.4}' % sys.argv[sys.argv.index("--label") + 1])
END
echo 'print("{\"gemm\": 790}")' >peers/gpu_peaks.py
cat >peers/compare.py <<'END'
import json, sys
runs = [json.loads(line) for line in open(sys.argv[1])]
assert [r["program"] for r in runs] == ["lorica", "peft"] * 2, runs
print("label tokens/s\nlorica-x 1200 1.5")
END
printf 'export CARRIED=%s\n' yes >peers/env.sh
mkdir deps && printf 'export LD_LIBRARY_PATH=%s\n' "$work/deps" >deps/env.sh

export PATH=$work/tools:$PATH PYTHONPATH=$work/peers CALLS=$work/calls
check() { "$project/scripts/gpu_check" --build "$work/build" --peer "$work/peers" --deps "$work/deps" --out "$work/out" --quick "$@"; }

# peers: ours and theirs by turns, with the same words
ok "peers" exits 0 check --group peers
ok "by turns" test "$(cut -d ' ' -f 1 calls | tr '\n' ' ')" = "bench peer bench peer "
ok "our words" says '^bench --device cuda --mode bf16 --shape 1b --batch 2 --seq 2048 --rank 16 --targets all --steps 5 --warmup 5 --json --label lorica-1b-bf16$' calls
ok "their words" says '^peer --mode bf16 --shape 1b --batch 2 --seq 2048 --rank 16 --targets all --steps 5 --warmup 5 --label peft-1b-bf16$' calls
ok "a line for each" says '^\| PASS \| pair 1b-bf16 lorica 1 \| [0-9]+ \| 1200 tokens/s, peak 3.00 GB, 70 % of the product rate, loss 10.5 \|$' out/report.md
ok "and for the peer" says '^\| PASS \| pair 1b-bf16 peft 2 \| [0-9]+ \| 800 tokens/s, peak 4.00 GB' out/report.md
ok "and for the pair" says '^\| PASS \| pair 1b-bf16 \| [0-9]+ \| lorica-x 1200 1.5 \|$' out/report.md
ok "the measurements" test "$(grep -c '"tokens_per_s"' out/runs.jsonl)" = 4
rm -rf out
ok "a peer that fails" exits 1 env PEER_FAILS=1 "$project/scripts/gpu_check" --build build --peer peers --out "$work/out" --quick --group peers
ok "is told" says '^\| FAIL \| pair 1b-bf16 peft 1 .*no JSON line' out/report.md
ok "with its last words" says 'CUDA out of memory' out/report.md
rm -rf out
ok "no peers" exits 0 "$project/scripts/gpu_check" --build build --peer deps --out "$work/out" --group peers
ok "are skipped" says '^\| SKIP \| peers' out/report.md

# two builds by turns, the cases of the other first
cp -r build other
program build/tests/bench_ops <<'END'
echo "ops $*" >>"$CALLS"
echo 'attention_forward: documents    0.5   32  20 %'
END
cp build/tests/bench_ops other/tests/
rm -rf out calls
ok "builds" exits 0 check --group builds --other "$work/other"
ok "by turns" test "$(cut -d ' ' -f 1 calls | tr '\n' ' ')" = "ops ops ops ops bench bench bench bench "
ok "the other's cases" says '^\| PASS \| cases attention of the other' out/report.md
ok "attention by itself" says '^\| PASS \| attention other 2 \| [0-9]+ \| attention_forward: documents 0.5 32 20 %;' out/report.md
ok "their labels" test "$(grep -o 'label .*' calls | sort | uniq -c | tr -s ' \n' ' ')" = " 2 label one-1b-bf16 2 label other-1b-bf16 "
ok "and their ratio" says '^\| PASS \| builds 1b-bf16 \| 0 \| other over one: 1.000 \|$' out/report.md
rm -rf out
ok "cases of the other that fail" exits 1 env PASSING=0 "$project/scripts/gpu_check" --build build --other other --out "$work/out" --quick --group builds
ok "end it" test "$(grep -c '^| [A-Z]* | [^v]' out/report.md)" = 1
rm -rf out
ok "no other build" exits 0 check --group builds
ok "is skipped" says '^\| SKIP \| builds' out/report.md

# the rest, as far as stand-ins say something
rm -rf out
ok "carried programs" exits 0 env PATH="$work/tools:/usr/bin:/bin" "$project/scripts/gpu_check" --build "$work/build" --out "$work/out" --group cases --group bench --quick
ok "an op each" test "$(grep -c '^| PASS | cases ' out/report.md)" = 2
ok "a bench" says '^\| PASS \| bench 1b-bf16' out/report.md
rm -rf out
ok "measured on the CPU" exits 1 env DEVICE=cpu-avx2 "$project/scripts/gpu_check" --build "$work/build" --out "$work/out" --group bench --quick
ok "is no pass" says '^\| FAIL \| bench 1b-bf16 .*measured on another device' out/report.md
rm -rf out
ok "tests of nothing" exits 1 env PASSING=0 "$project/scripts/gpu_check" --build "$work/build" --out "$work/out" --group cases
ok "are no pass" says '^\| FAIL \| cases rope' out/report.md
printf '#!/bin/sh\nexit 9\n' >tools/nvidia-smi
ok "no device" exits 3 check --group bench

finish
