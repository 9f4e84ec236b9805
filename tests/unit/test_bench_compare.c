#include "cli/bench_compare.h"

#include <criterion/criterion.h>
#include <string.h>

#define RUN(mode, rate, gemm)                                                                                \
    "{\"mode\": \"" mode "\", \"shape\": \"p1\", \"batch\": 4, \"seq\": 512, \"rank\": 16, \"targets\": "    \
    "\"all\", \"ckpt\": \"off\", \"tokens_per_s\": {\"median\": " rate                                       \
    "}, \"memory\": {\"process_bytes\": 1e9, \"peak_allocated_bytes\": 5e8}, \"loss\": {\"first\": 10, "     \
    "\"last\": 8}, \"grad_norm\": {\"a\": 0.5, \"b\": 0.25}, \"gemm_tflops\": {\"before\": " gemm            \
    ", \"after\": 0.5}, \"op_ms\": {\"add\": 2.5}}\n"

static enum lrc_status compare(struct lrc_buf *out, const char *then, struct lrc_error *err)
{
    return lrc_bench_compare(out, RUN("bf16", "200", "0.8"), then, strlen(then), "old.jsonl", err);
}

Test(bench_compare, last_line_of_the_same_run)
{
    struct lrc_buf   out = { 0 };
    struct lrc_error err;
    cr_assert_eq(
        compare(&out, RUN("bf16", "50", "0.8") RUN("bf16", "100", "0.8") RUN("nf4", "25", "0.8"), &err),
        LRC_STATUS_OK);
    const char *text = lrc_buf_text(&out);
    cr_assert(strstr(text, "tokens/s                              100          200    2.000\n"), "%s", text);
    cr_assert(strstr(text, "add, ms                               2.5          2.5    1.000\n"), "%s", text);
    cr_assert(!strstr(text, "moved"), "%s", text);
    lrc_buf_release(&out);
}

Test(bench_compare, says_when_the_machine_changed)
{
    struct lrc_buf   out = { 0 };
    struct lrc_error err;
    cr_assert_eq(compare(&out, RUN("bf16", "100", "1"), &err), LRC_STATUS_OK);
    cr_assert(strstr(lrc_buf_text(&out), "moved by -20.0 %"), "%s", lrc_buf_text(&out));
    lrc_buf_release(&out);
}

Test(bench_compare, files_that_are_something_else)
{
    static const char *const files[] = {
        "",
        "\n\n",
        "hello",
        "[1, 2]\n",
        "{}",
        "{\"mode\": 1}\n",
        RUN("nf4", "1", "1"),
        RUN("bf16", "null", "1"),
        RUN("bf16", "[]", "1"),
        RUN("bf16", "1", "1") "{\n",
        "{\"mode\": \"bf16\", \"shape\": \"p1\", \"batch\": 4, \"seq\": 512, \"rank\": 16, \"targets\": "
        "\"all\", "
        "\"ckpt\": \"off\", \"tokens_per_s\": 3, \"op_ms\": [], \"gemm_tflops\": \"x\"}",
    };
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        struct lrc_buf   out = { 0 };
        struct lrc_error err = { 0 };
        cr_assert_eq(compare(&out, files[i], &err), LRC_STATUS_FORMAT, "file %zu", i);
        lrc_buf_release(&out);
    }
    /* cut anywhere, a line is one of these or complete */
    const char *whole = RUN("bf16", "100", "0.8");
    for (size_t n = 0; n + 1 < strlen(whole); n++) {
        struct lrc_buf        out = { 0 };
        struct lrc_error      err = { 0 };
        const enum lrc_status status = lrc_bench_compare(&out, whole, whole, n, "old.jsonl", &err);
        cr_assert_eq(status, LRC_STATUS_FORMAT, "cut at %zu", n);
        lrc_buf_release(&out);
    }
}
