#!/usr/bin/env bash
# What the kernel says that a run took (VmHWM) against what `lorica plan` says beforehand: without the part that is the same for
# every run, within 2 %.      memory.sh PROGRAM MAKE_BASE PEAK_OF
. "$(dirname "$0")/common.sh"
lorica=$1
make_base=$2
peak_of=$3

# hidden, layers, intermediate, heads, kv heads, head size, vocabulary, tied, positions
"$make_base" tied "512 8 1408 8 2 64 16384 1 2048" || exit 1
"$make_base" untied "512 8 1408 8 2 64 16384 0 2048" || exit 1
# every token is used: no page of an embedding stays untouched
awk 'BEGIN { for (r = 0; r < 64; r++) { s = ""; for (i = 0; i < 512; i++) s = s (i ? "," : "") ((r * 512 + i) * 7 % 16384);
             print "{\"input_ids\": [" s "]}" } }' >short.jsonl
paste -sd'\n\n\n\n' short.jsonl | awk '{ gsub(/[^0-9,]/, ""); s = s (NR % 4 == 1 ? "" : ",") $0; if (NR % 4 == 0) { print "{\"input_ids\": [" s "]}"; s = "" } }' >long.jsonl
# letters, and a vocabulary as large as the model's
awk 'BEGIN { printf "{\"version\": \"1.0\", \"added_tokens\": [{\"id\": 0, \"content\": \"</s>\", \"special\": true}], \"model\": {\"type\": \"BPE\", \"vocab\": {\"</s>\": 0";
             for (i = 1; i < 16384; i++) printf ", \"%s\": %d", i < 27 ? sprintf("%c", 96 + i) : "entry" i, i;
             print "}, \"merges\": []}}" }' >tokenizer.json
awk 'BEGIN { for (r = 0; r < 64; r++) { s = ""; for (i = 0; i < 500; i++) s = s sprintf("%c", 97 + (r * 7 + i * i) % 26);
             print "{\"text\": \"" s "\"}" } }' >text.jsonl
cp -r tied spoken
mv tokenizer.json spoken/
echo '{"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "</s>"}' >spoken/tokenizer_config.json

cat >run.yaml <<END
base_model: tied
adapter: lora
lora_r: 8
lora_alpha: 16
datasets: [{path: short.jsonl, type: tokenized}]
sequence_len: 512
micro_batch_size: 8
max_steps: 1
learning_rate: 1.0e-3
bf16: true
output_dir: out
END

takes() { # takes OVERRIDE...: a run of run.yaml with them
    local planned fixed peak
    rm -rf out
    if ! "$lorica" plan run.yaml "$@" --json >plan.json 2>last.err ||
        ! "$peak_of" peak.txt "$lorica" train run.yaml "$@" --json >train.json 2>last.err; then
        failed=$((failed + 1))
        echo "FAILED: $*"
        cat last.err
        return
    fi
    planned=$(number host_bytes <plan.json)
    fixed=$(grep -o '"where": "process", "bytes": [0-9]*' plan.json | awk '{ n += $NF } END { print n }')
    peak=$(cat peak.txt)
    if awk -v planned="$planned" -v fixed="$fixed" -v peak="$peak" -v said="$(number peak_bytes <train.json)" -v what="$*" 'BEGIN {
            off = (peak - planned) / (planned - fixed)
            printf "%-64s planned %8.2f MB + %.0f, took %8.2f MB: %+.2f %%\n", what, (planned - fixed) * 1e-6, fixed * 1e-6, peak * 1e-6, 100 * off
            exit !(planned > fixed && fixed > 0 && off <= 0.02 && off >= -0.02 && said <= peak && said >= peak - 2e6) }'; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAILED: $*: want the peak within 2 % of the plan, and the run's own word for it"
    fi
}

takes micro_batch_size=16
takes micro_batch_size=3
takes sequence_len=2048 micro_batch_size=2 'datasets=[{path: long.jsonl, type: tokenized}]'
takes lora_r=64
takes gradient_checkpointing=true micro_batch_size=16
takes bf16=false micro_batch_size=4
takes adapter=qlora
takes adapter=qlora base_model=untied lora_r=64 gradient_checkpointing=true micro_batch_size=16
takes adapter=full micro_batch_size=2
takes base_model=spoken 'datasets=[{path: text.jsonl, type: completion}]'
takes val_set_size=8 max_steps=3 save_steps=1 gradient_accumulation_steps=2 micro_batch_size=4 sample_packing=true
takes max_memory=330MB micro_batch_size=8
ok "max_memory turns checkpointing on" says 'gradient checkpointing on'
ok "max_memory is obeyed" test "$(cat peak.txt)" -le 330000000

finish
