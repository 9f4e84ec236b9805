#!/usr/bin/env bash
# Whole runs with device: cuda on the stand-in of the CUDA runtime (tests/cuda_host), beside the same runs on the CPU: curves,
# the same bits twice, resumed across devices, score, generate, merge, and a device's bad days.
#     device.sh PROGRAM PROGRAM_WITH_STAND_IN PROJECT [short]      short: a part of it, for builds that are slow
. "$(dirname "$0")/common.sh"
cpu=$1
cuda=$2
project=$3
short=${4:-}
model=$project/tests/golden/data/llama/model

once() { [ "$(grep -c -- "$1" last.err)" = 1 ] || { echo "not once '$1' in:"; cat last.err; return 1; }; }
# the numbers of two files, one by one, within a relative difference (clocks left out); NaN is a difference
close() { # close LIMIT FILE FILE
    paste -d ' ' <(numbers "$2") <(numbers "$3") | awk -v limit="$1" '
        { d = $1 - $2; if (d < 0) d = -d; m = ($1 < 0 ? -$1 : $1) + 1e-30; n++
          if (NF != 2 || !(d <= limit * m)) { if (bad++ < 3) print "differ: " $0 } }
        END { exit n == 0 || bad > 0 }'
}
numbers() {
    sed -E 's/"(tokens_per_second|time_s)": [^,}]*//g' "$1" | grep -oE '"[a-z_]+": [-0-9.e+]+' | sed 's/.*: //'
}

token_rows 24 >rows.jsonl
head -6 rows.jsonl >few.jsonl
cat >run.yaml <<END
base_model: $model
adapter: lora
lora_r: 4
lora_alpha: 8
lora_dropout: 0.1
datasets: [{path: rows.jsonl, type: tokenized}]
val_set_size: 3
sequence_len: 32
micro_batch_size: 3
gradient_accumulation_steps: 2
max_steps: 5
learning_rate: 5.0e-3
bf16: false
save_steps: 2
logging_steps: 1
gradient_checkpointing: false
output_dir: one
END
on_cpu() { "$cpu" train run.yaml device=cpu "$@"; }
on_cuda() { "$cuda" train run.yaml device=cuda "$@"; }

# float32: the same numbers to the rounding of sums in another order. Sums have up to 176 terms of like size, each rounded to
# 2^-24: 1e-5 is 170 roundings, and the curve carries them over 5 steps.
ok "a run on the CPU" exits 0 on_cpu output_dir=cpu
ok "a run on the device" exits 0 env LRC_CUDA_HOST_GRAPHS=launched "$cuda" train run.yaml device=cuda
ok "says what it computes on" says "compute on cuda"
ok "its curve is the CPU's" close 1e-5 cpu/metrics.jsonl one/metrics.jsonl
ok "the same bits in another order of threads" exits 0 env LRC_CUDA_HOST_SEED=5 "$cuda" train run.yaml device=cuda output_dir=two
ok "are the same bits" same one two
# 10 batches of few shapes: recorded from the second time on, and nothing of that is in the bits
ok "recorded and replayed" test "$(cat launched)" -ge 5
ok "gradient checkpointing, nothing recorded" exits 0 env LRC_CUDA_HOST_FAIL=no_graphs "$cuda" train run.yaml device=cuda output_dir=recomputed gradient_checkpointing=true
ok "is told once" once "steps are not recorded and replayed: cuda: begin to record"
ok "changes no bit" same one recomputed

# a device that is lost: the last checkpoint is there, and going on from it gives the bits of the run left alone
ok "a device lost after step 2" exits 1 env LRC_CUDA_HOST_FAIL=lost_when=lost/checkpoint-2 "$cuda" train run.yaml device=cuda output_dir=lost
ok "is told" says "unspecified launch failure"
ok "after a checkpoint" test -d lost/checkpoint-2 -a ! -d lost/checkpoint-5
ok "which resumes" exits 0 on_cuda output_dir=lost --resume
ok "to the same bits" same one lost

# killed at some moments, whatever it is at; then resumed
n=0
for ((tries = 0; n < 3 && tries < 20; tries++)); do
    "$cuda" train run.yaml device=cuda output_dir=killed --resume >last.out 2>last.err &
    pid=$!
    sleep "0.$((RANDOM % 7 + 3))"
    kill -9 $pid 2>/dev/null && n=$((n + 1))
    wait $pid 2>/dev/null
    [ -f killed/run.json ] && rm -rf killed
done
ok "3 kills" test $n = 3
ok "resumed after them" exits 0 on_cuda output_dir=killed --resume
ok "the bits of the run left alone" same one killed

if [ -n "$short" ]; then
    ok "4-bit base, bf16" exits 0 on_cuda output_dir=b max_steps=1 adapter=qlora bf16=true
    finish
fi

# layer inputs on the host: the same bits, in whatever order the streams get to what no event orders
cat >away.yaml <<END
base_model: $project/datasets/demo-base
adapter: lora
lora_r: 2
lora_alpha: 4
lora_target_modules: [q_proj, down_proj]
datasets: [{path: few.jsonl, type: tokenized}]
sequence_len: 24
gradient_accumulation_steps: 3
max_steps: 1
learning_rate: 5.0e-3
bf16: true
gradient_checkpointing: true
END
ok "layer inputs on the device" exits 0 env LRC_CUDA_HOST_FAIL=no_graphs "$cuda" train away.yaml device=cuda output_dir=here
for seed in 1 2; do
    ok "on the host" exits 0 env LRC_CUDA_HOST_SEED=$seed LRC_CUDA_HOST_PEAK=peak "$cuda" train away.yaml device=cuda output_dir=away$seed activation_offloading=true
    ok "the same bits, seed $seed" same here away$seed
done
ok "device memory as planned, and less" test "$(cat peak)" = "$("$cuda" plan away.yaml device=cuda output_dir=none activation_offloading=true --json 2>/dev/null | number device_bytes)" \
    -a "$(cat peak)" -lt "$("$cuda" plan away.yaml device=cuda output_dir=none --json 2>/dev/null | number device_bytes)"
rm -f peak

# shapes that differ in trained positions alone, and documents that begin elsewhere: replayed, the bits of the same run without
awk 'BEGIN { srand(4); for (r = 0; r < 40; r++) { n = 10 + int(rand() * 21); s = ""; l = ""; for (i = 0; i < n; i++) { t = 3 + int(rand() * 60)
             s = s (i ? "," : "") t; l = l (i ? "," : "") (r % 2 || i * 3 > n ? t : -100) }
             print "{\"input_ids\": [" s "], \"labels\": [" l "]}" } }' >masked.jsonl
for how in "sample_packing=true sequence_len=64 micro_batch_size=3" "micro_batch_size=8"; do
    # shellcheck disable=SC2086
    set -- gradient_accumulation_steps=1 max_steps=6 val_set_size=0 datasets="[{path: masked.jsonl, type: tokenized}]" $how
    ok "batches of several shapes: $how" exits 0 env LRC_CUDA_HOST_GRAPHS=launched "$cuda" train run.yaml device=cuda output_dir=a "$@"
    ok "some of them replayed" test "$(cat launched)" -ge 2
    ok "nothing recorded" exits 0 env LRC_CUDA_HOST_FAIL=no_graphs "$cuda" train run.yaml device=cuda output_dir=b "$@"
    ok "the same bits: $how" same a b
    rm -rf a b
done

# embedding and optimizer's states in the host's memory, read and written from there: the same bits, checkpoints too
ok "offloaded" exits 0 on_cuda output_dir=offloaded embedding_offloading=true optimizer_offloading=true
ok "the same bits" same one offloaded
rm -rf offloaded/checkpoint-[45] offloaded/run.json
ok "resumed" exits 0 on_cuda output_dir=offloaded embedding_offloading=true optimizer_offloading=true --resume
ok "to the same bits" same one offloaded
ok "on the CPU" exits 0 "$cpu" train run.yaml device=cpu --dry-run output_dir=none embedding_offloading=true optimizer_offloading=true
ok "is told" says "embedding_offloading has no effect on the CPU"
ok "of both" says "optimizer_offloading has no effect on the CPU"
ok "a tied embedding" exits 0 "$cuda" train away.yaml device=cuda --dry-run output_dir=none embedding_offloading=true
ok "is told" says "no effect: the output layer shares the embedding"

# what is planned is what is allocated, to the byte
planned() { "$cuda" plan run.yaml device=cuda --json "$@" 2>/dev/null | number device_bytes; }
for options in "" "micro_batch_size=1" "sequence_len=16 max_lost_rows_fraction=1" "lora_r=7 lora_alpha=7" "gradient_checkpointing=true bf16=true" "adapter=qlora" "adapter=full lora_dropout=0" \
    "embedding_offloading=true" "optimizer_offloading=true adapter=full lora_dropout=0"; do
    # shellcheck disable=SC2086
    LRC_CUDA_HOST_PEAK=peak "$cuda" train run.yaml device=cuda --dry-run output_dir=none $options >last.out 2>last.err
    # shellcheck disable=SC2086
    ok "device memory as planned: $options" test "$(cat peak)" = "$(planned $options)"
    rm -f peak
done
ok "regions of both memories" bash -c "'$cuda' plan run.yaml device=cuda --json 2>/dev/null | grep -q '\"where\": \"device\".*\"where\": \"host\"'"

# from one device to the other
cp -r lost from_cuda && cp -r cpu from_cpu
rm -rf from_cuda/checkpoint-[45] from_cuda/run.json from_cpu/checkpoint-[45] from_cpu/run.json
ok "a checkpoint of the device on the CPU" exits 0 on_cpu output_dir=from_cuda --resume
ok "says that bits differ" says "made on cuda, this is cpu-.*not bit for bit"
ok "and its curve" close 1e-5 cpu/metrics.jsonl from_cuda/metrics.jsonl
ok "a checkpoint of the CPU on the device" exits 0 on_cuda output_dir=from_cpu --resume
ok "says that bits differ" says "made on cpu-.*, this is cuda.*not bit for bit"
ok "and its curve" close 1e-5 cpu/metrics.jsonl from_cpu/metrics.jsonl

# the other ways to train; bf16 rounds to 2^-9 wherever it is stored
for options in "adapter=qlora" "adapter=full lora_dropout=0" "sample_packing=true micro_batch_size=1"; do
    # shellcheck disable=SC2086
    ok "on the CPU: $options" exits 0 on_cpu output_dir=a max_steps=2 $options
    # shellcheck disable=SC2086
    ok "on the device: $options" exits 0 on_cuda output_dir=b max_steps=2 $options
    ok "its curve: $options" close 1e-5 a/metrics.jsonl b/metrics.jsonl
    rm -rf a b
done
ok "bf16 on the CPU" exits 0 on_cpu output_dir=a max_steps=2 bf16=true
ok "bf16 on the device" exits 0 on_cuda output_dir=b max_steps=2 bf16=true
ok "its curve" close 2e-2 a/metrics.jsonl b/metrics.jsonl
rm -rf a b
# a base in bf16, nothing dropped: the adapter lies behind the rows of weights and of what linears read
sed '/lora_target_modules/d; s/gradient_checkpointing: true/gradient_checkpointing: false/; s/max_steps: 1/max_steps: 2/; s/steps: 3/steps: 2/' away.yaml >room.yaml
ok "a bf16 base on the CPU" exits 0 "$cpu" train room.yaml device=cpu output_dir=a
ok "on the device" exits 0 env LRC_CUDA_HOST_PEAK=peak "$cuda" train room.yaml device=cuda output_dir=b
ok "its curve" close 2e-2 a/metrics.jsonl b/metrics.jsonl
ok "device memory as planned" test "$(cat peak)" = "$("$cuda" plan room.yaml device=cuda output_dir=none --json 2>/dev/null | number device_bytes)"
ok "another order, nothing recorded" exits 0 env LRC_CUDA_HOST_SEED=2 LRC_CUDA_HOST_FAIL=no_graphs "$cuda" train room.yaml device=cuda output_dir=c
ok "the same bits" same b c
rm -rf a b c peak

cp -r "$model" nan_base
weights=$(stat -c %s nan_base/model.safetensors)
printf '\0\0\300\177' | dd of=nan_base/model.safetensors bs=1 seek=$((weights - 4)) conv=notrunc 2>/dev/null # the last weight is NaN
ok "a loss that is not finite" exits 1 on_cuda output_dir=nan base_model="$PWD/nan_base" val_set_size=0
ok "names step and rows" says "want a finite .* rows of this step .* nothing was updated"

ok "score on the CPU" exits 0 "$cpu" score "$model" few.jsonl --adapter one --device cpu --json
mv last.out scored.cpu
ok "score on the device" exits 0 "$cuda" score "$model" few.jsonl --adapter one --device cuda --json --logits logits.safetensors
ok "the same losses" close 1e-5 scored.cpu last.out
ok "generate on the CPU" exits 0 "$cpu" generate "$project/datasets/demo-base" --device cpu --prompt "Hello" --max-new-tokens 6 --json
mv last.out said.cpu
ok "generate on the device" exits 0 "$cuda" generate "$project/datasets/demo-base" --device cuda --prompt "Hello" --max-new-tokens 6 --json
ok "the same tokens" cmp -s said.cpu last.out
ok "merge" exits 0 "$cuda" merge --base "$model" --adapter one --out merged
ok "score the merged model" exits 0 "$cuda" score merged few.jsonl --device cuda --json
ok "the same losses" close 1e-4 scored.cpu last.out
ok "bench" exits 0 "$cuda" bench --device cuda --shape tiny --batch 1 --seq 16 --steps 2 --warmup 1 --json
ok "its gradients" bash -c "! grep -qE '\"(a|b)\": 0[,}]' last.out"

# what may be wrong with a device
for bad in "no_driver:want the NVIDIA driver, got none" "old_driver:want a driver for CUDA 13.0 or later, got one for CUDA 11.4" \
    "no_device:want an NVIDIA device, got none" "old_device:want a device of compute capability 8.0 or later, got cuda_host of 7.5"; do
    export LRC_CUDA_HOST_FAIL=${bad%%:*}
    ok "$LRC_CUDA_HOST_FAIL" exits 1 on_cuda output_dir=none
    ok "is told" says "${bad#*:}"
    ok "and leaves nothing" test ! -e none
    ok "score: $LRC_CUDA_HOST_FAIL" exits 1 "$cuda" score "$model" few.jsonl --device cuda
    ok "is told" says "${bad#*:}"
done
ok "auto is the CPU then" exits 0 "$cuda" train run.yaml output_dir=auto
ok "and says so once" once "auto means the CPU here; cuda: want a device of compute"
ok "and the bits are the CPU's" same cpu auto
unset LRC_CUDA_HOST_FAIL
export LRC_CUDA_HOST_MEMORY=700000
ok "too little memory on the device" exits 3 on_cuda output_dir=small
ok "names memory, region and knob" says "device memory: want .* got 0.70 MB available; 'workspace' takes .*gradient_checkpointing: true saves .*nothing was loaded"
ok "auto checkpointing looks at the device" exits 3 on_cuda output_dir=small gradient_checkpointing=auto
ok "and says so" says "gradient checkpointing on: .* on the device"
ok "plan says it too" exits 3 "$cuda" plan run.yaml device=cuda
export LRC_CUDA_HOST_MEMORY=100000
ok "score does not fit either" exits 3 "$cuda" score "$model" few.jsonl --device cuda
ok "and names region, plan and knob" says "device memory: want .*'base weights'.*the base takes 0.15 MB.*--load-in-4bit saves"
export LRC_CUDA_HOST_MEMORY=200000
ok "nor beside the base" exits 3 "$cuda" score "$model" few.jsonl --device cuda
ok "and names region and plan" says "device memory: want .*'workspace'.*the rest goes with the longest row"
unset LRC_CUDA_HOST_MEMORY
ok "max_memory is of the host" exits 3 on_cuda output_dir=small max_memory=1MB
ok "and is named" says "got 1.00 MB by max_memory"

finish
