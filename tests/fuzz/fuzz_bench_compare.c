/* Bytes as the file of `lorica bench --compare`: whatever they are, the text is printable lines. */
#include "cli/bench_compare.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char now[] =
    "{\"mode\": \"bf16\", \"shape\": \"p1\", \"batch\": 4, \"seq\": 512, \"rank\": 16, \"targets\": \"all\", "
    "\"ckpt\": \"off\", \"tokens_per_s\": {\"median\": 200}, \"memory\": {\"process_bytes\": 1e9, "
    "\"peak_allocated_bytes\": 5e8}, \"loss\": {\"first\": 10, \"last\": 8}, \"grad_norm\": {\"a\": 0.5, "
    "\"b\": "
    "0.25}, \"gemm_tflops\": {\"before\": 0.8, \"after\": 0.5}, \"op_ms\": {\"add\": 2.5, \"rope_forward\": "
    "0}}\n";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct lrc_buf        out = { 0 };
    struct lrc_error      err = { 0 };
    const enum lrc_status status =
        lrc_bench_compare(&out, now, (const char *)data, size, "earlier.jsonl", &err);
    LRC_ASSERT(status == LRC_STATUS_OK || err.message[0] != '\0');
    LRC_ASSERT(status != LRC_STATUS_OK || (out.len > 0 && out.data[out.len - 1] == '\n'));
    for (size_t i = 0; i < out.len; i++)
        LRC_ASSERT(out.data[i] == '\n' || (out.data[i] >= ' ' && out.data[i] <= '~'));
    lrc_buf_release(&out);
    return 0;
}
