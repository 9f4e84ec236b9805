#!/usr/bin/env bash
# Whole runs through the program, on a tiny model: the same bits twice; killed with -9 at many moments and resumed; stopped by
# signals; resumed with settings that may and may not change.      run.sh PROGRAM PROJECT [KILLS]
. "$(dirname "$0")/common.sh"
lorica=$1
project=$2
kills=${3:-25}
model=$project/tests/golden/data/llama/model
RANDOM=7
# metrics without what a clock decides
metrics() { sed -E 's/, "(tokens_per_second|time_s)": [^,}]*//g' "$1/metrics.jsonl"; }

token_rows 60 >rows.jsonl
cat >run.yaml <<END
base_model: $model
adapter: lora
lora_r: 4
lora_alpha: 8
lora_dropout: 0.1
datasets: [{path: rows.jsonl, type: tokenized}]
val_set_size: 6
sequence_len: 32
micro_batch_size: 3
gradient_accumulation_steps: 4
num_epochs: 8
learning_rate: 5.0e-3
warmup_ratio: 0.1
bf16: false
save_steps: 3
logging_steps: 2
output_dir: one
END

ok "a plan" exits 0 "$lorica" plan run.yaml --json
ok "fits" grep -q '"fits": true' last.out
planned=$(number host_bytes <last.out)
ok "and needs no output folder" test ! -e one
ok "a dry run" exits 0 "$lorica" train run.yaml --dry-run
ok "writes nothing" test ! -e one
ok "a run" exits 0 "$lorica" train run.yaml
ok "takes what was planned" test "$("$lorica" train run.yaml output_dir=planned --json 2>/dev/null | number planned_bytes)" = "$planned"
ok "the same again" exits 0 "$lorica" train run.yaml output_dir=two
ok "same bits twice" same one two
for n in 1 4; do
    ok "a run with $n threads" exits 0 "$lorica" train run.yaml output_dir=threads-$n threads=$n
    ok "same bits with $n threads" same one threads-$n
done
ok "a finished run resumes to success" exits 0 "$lorica" train run.yaml --resume
ok "and changes nothing" same one two
ok "a folder that is not empty is refused" exits 2 "$lorica" train run.yaml
ok "and the hint names --resume" says "--resume"

# killed at any moment, also while a checkpoint is written; a run that gets through begins anew until there were enough kills
n=0
for ((tries = 0; n < kills && tries < 20 * kills; tries++)); do
    "$lorica" train run.yaml output_dir=killed --resume >last.out 2>last.err &
    pid=$!
    sleep "0.$(printf %03d $((10 + RANDOM % 240)))"
    kill -9 $pid 2>/dev/null && n=$((n + 1))
    wait $pid 2>/dev/null
    [ -f killed/run.json ] && rm -rf killed
done
ok "$kills kills" test $n = "$kills"
ok "resumed after them" exits 0 "$lorica" train run.yaml output_dir=killed --resume
ok "the adapter of the run left alone, byte for byte" same one killed
ok "and its metrics" cmp <(metrics one) <(metrics killed)
ok "nothing temporary is left" test -z "$(find killed -name '*.tmp')"

for signal in INT TERM HUP; do
    "$lorica" train run.yaml output_dir=sig$signal num_epochs=2000 save_steps=100000 >last.out 2>last.err &
    pid=$!
    until [ -s sig$signal/metrics.jsonl ] || ! kill -0 $pid 2>/dev/null; do sleep 0.02; done
    kill -$signal $pid
    wait $pid
    code=$?
    ok "SIG$signal ends with its exit code" test $code = $([ $signal = INT ] && echo 130 || echo 143)
    ok "SIG$signal leaves a complete checkpoint" test -n "$(ls -d sig$signal/checkpoint-* 2>/dev/null)"
done

# whoever reads the log may go first, as tee does on Ctrl-C
mkfifo log
"$lorica" train run.yaml output_dir=unread num_epochs=2000 save_steps=100000 >last.out 2>log &
pid=$!
head -2 <log >last.err
until [ "$(wc -l <unread/metrics.jsonl 2>/dev/null || echo 0)" -gt 20 ] || ! kill -0 $pid 2>/dev/null; do sleep 0.02; done
kill -INT $pid
wait $pid
ok "a run whose log nobody reads any more is interrupted as others are" test $? = 130
ok "and leaves a complete checkpoint" test -n "$(ls -d unread/checkpoint-* 2>/dev/null)"

"$lorica" train run.yaml output_dir=partial max_steps=24 >last.out 2>last.err
rm -rf changed && cp -r partial changed
ok "resume may not change the rank" exits 2 "$lorica" train run.yaml output_dir=changed --resume lora_r=8 max_steps=24
ok "and names key, old and new" says "lora_r may not change: it was 4, now 8"
ok "resume may not change the data" exits 2 bash -c "sed '1d' rows.jsonl >fewer.jsonl; sed 's/rows.jsonl/fewer.jsonl/; s/output_dir: one/output_dir: changed/' run.yaml >fewer.yaml; '$lorica' train fewer.yaml --resume max_steps=24"
ok "resume may not change the base" exits 2 "$lorica" train run.yaml output_dir=changed --resume base_model="$project/tests/golden/data/llama_gqa_tied/model" max_steps=24
ok "more steps may be asked for" exits 0 "$lorica" train run.yaml output_dir=changed --resume max_steps=30
ok "and the schedule's change is said" says "planned for 24 steps and has 30 now"

# a damaged newest checkpoint is passed over
rm -rf damaged && cp -r partial damaged
newest=$(ls -d damaged/checkpoint-* | sort -t- -k2 -n | tail -1)
printf 'x' | dd of="$newest/state.h5" bs=1 seek=3000 conv=notrunc 2>/dev/null
rm -f damaged/run.json
ok "a damaged checkpoint is passed over" exits 0 "$lorica" train run.yaml output_dir=damaged --resume max_steps=24
ok "with a warning" says "passed over"
ok "and the end is the same" same partial damaged
ok "naming it is refused" exits 4 bash -c "cp -r partial named; printf 'x' | dd of=named/${newest#*/}/state.h5 bs=1 seek=3000 conv=notrunc 2>/dev/null; '$lorica' train run.yaml output_dir=named --resume=named/${newest#*/} max_steps=24"

# checkpointing and accumulation change memory, not results
ok "gradient checkpointing" exits 0 "$lorica" train run.yaml output_dir=recomputed gradient_checkpointing=true
ok "changes no bit" same one recomputed
ok "full fine-tuning" exits 0 "$lorica" train run.yaml adapter=full lora_dropout=0 output_dir=full max_steps=6
ok "its result is a model" exits 0 "$lorica" score full rows.jsonl
ok "4-bit base" exits 0 "$lorica" train run.yaml adapter=qlora output_dir=nf4 max_steps=6

# packed: less steps of the same rows, the same bits twice and resumed
ok "a packed run" exits 0 "$lorica" train run.yaml output_dir=packed sample_packing=true longest_batch_first=true
ok "says how full its sequences are" grep -Eq 'packing: 54 rows into [0-9]+ sequences, 9[0-9]\.[0-9] % full' last.err
"$lorica" train run.yaml output_dir=packed2 sample_packing=true longest_batch_first=true max_steps=5 >last.out 2>last.err
rm packed2/run.json
ok "goes on" exits 0 "$lorica" train run.yaml output_dir=packed2 sample_packing=true longest_batch_first=true max_steps=0 --resume

# tokens from the cache train to the same bits; its writer may be killed at any moment
seq 2000 | awk '{ s = "3"; for (i = 0; i < 25; i++) s = s "," 3 + ($1 * 7 + i * 13) % 60; print "{\"input_ids\": [" s "]}" }' >many.jsonl
for ((i = 0; i < 12; i++)); do
    "$lorica" preprocess run.yaml 'datasets=[{path: many.jsonl, type: tokenized}]' dataset_prepared_path=killed.cache >last.out 2>last.err &
    pid=$!
    sleep "0.0$(printf %02d $((5 + RANDOM % 60)))"
    kill -9 $pid 2>/dev/null
    wait $pid 2>/dev/null
done
ok "after the kills" exits 0 "$lorica" preprocess run.yaml 'datasets=[{path: many.jsonl, type: tokenized}]' dataset_prepared_path=killed.cache
ok "no half cache was met" test -z "$(grep anew last.err)"
ok "preprocess writes a cache" exits 0 "$lorica" preprocess run.yaml dataset_prepared_path=cache
ok "train reads it" exits 0 "$lorica" train run.yaml output_dir=cached dataset_prepared_path=cache
ok "and says so" says "tokens from cache cache/"
ok "and the end is the same" same one cached
ok "and its metrics" cmp <(metrics one) <(metrics cached)
ok "a dry run writes no cache" exits 0 "$lorica" train run.yaml output_dir=dry dataset_prepared_path=none.cache --dry-run
ok "nor its folder" test ! -e none.cache

# both halves of an adapter are drawn only where it is asked for: without a step's learning rate one changes the base, the other does not
for init in true false; do
    ok "a run that learns nothing, from $init" exits 0 "$lorica" train run.yaml output_dir=init-$init learning_rate=0 max_steps=1 peft_init_lora_weights=$init
    ok "an adapter drawn by $init changes the base or not" exits $([ $init = true ] && echo 1 || echo 0) "$lorica" merge --base "$model" --adapter init-$init --out merged-$init
done
ok "the first layer alone" exits 0 "$lorica" train run.yaml output_dir=layer0 max_steps=2 'peft_layers_to_transform=[0]'
ok "is what the adapter has" exits 0 "$lorica" inspect layer0
ok "of all linears" test "$(grep -c 'layers\.0\..*lora_A' last.out)-$(grep -c 'layers\.1\.' last.out)" = 7-0
ok "and what is read again" exits 0 "$lorica" score "$model" rows.jsonl --adapter layer0

# a folder has one run at a time, also one that goes on
"$lorica" train run.yaml output_dir=busy num_epochs=2000 save_steps=100000 >first.out 2>first.err &
pid=$!
until [ -s busy/metrics.jsonl ] || ! kill -0 $pid 2>/dev/null; do sleep 0.02; done
ok "a second run in one folder is refused" exits 2 "$lorica" train run.yaml output_dir=busy num_epochs=2000 save_steps=100000 --resume
ok "and says why" says "busy: want a folder that no other run writes into, got one in use"
kill $pid
wait $pid 2>/dev/null
ok "it goes on when the first has ended" exits 0 "$lorica" train run.yaml output_dir=busy max_steps=30 --resume

# what cannot be trained says so
printf '{"input_ids": [5, 6, 7], "labels": [-100, -100, -100]}\n' >masked.jsonl
ok "no trained token" exits 2 bash -c "sed 's/rows.jsonl/masked.jsonl/; s/output_dir: one/output_dir: none/; /val_set/d' run.yaml >masked.yaml; '$lorica' train masked.yaml"
ok "longer than the model's positions" exits 2 "$lorica" train run.yaml output_dir=none sequence_len=100000
ok "targets that match nothing" exits 2 bash -c "'$lorica' train run.yaml output_dir=none 'lora_target_modules=[nothing]'"
ok "a diverging run" exits 1 "$lorica" train run.yaml output_dir=diverged learning_rate=100 max_grad_norm=0 lr_scheduler=constant warmup_ratio=0 lora_dropout=0 weight_decay=1 num_epochs=400
ok "names step and rows" says "want a finite"
ok "and leaves no adapter" test ! -e diverged/adapter_model.safetensors

finish
