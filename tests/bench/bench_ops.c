/* Times every op by itself, on the rows of its cases: bench_ops ops [OP ...] --shape p1 --batch 4 --seq 512.
 * It is the program of src/cli/ with one command of its own. */
#include "base/json.h"
#include "cli/command.h"
#include "cli/op_table.h"
#include "cli/model_options.h"
#include "cli/yardstick.h"
#include "common/cases.h"
#include "mirror.h"

#include <string.h>

enum { ROWS_MAX = 128, NAME_MAX = 96, ENTRIES_MAX = 64 };

/* A row runs until its op took that long, and at least so often; the fastest run of an entry counts. */
static double seconds_min = 0.3;
enum { RUNS_MIN = 3 };

#define LRC_OP_FOLDER(op) void lrc_##op##_rows(const struct lrc_cases_walk *walk);
#include "ops.def"

static const struct {
    const char *name;
    void (*rows)(const struct lrc_cases_walk *walk);
} folders[] = {
#define LRC_OP_FOLDER(op) { #op, lrc_##op##_rows },
#include "ops.def"
};

static const char *const entries[] = {
#define LRC_OP(op) #op,
#include "ops.def"
};

static struct {
    struct lrc_op_time times[ROWS_MAX];
    char               names[ROWS_MAX][NAME_MAX];
    const char        *entry[ROWS_MAX];
    int                n;
} table;

/* The entry's line in the rows from `first` on, made at its first run. */
static struct lrc_op_time *line_of(const char *entry, const char *row, int first)
{
    for (int i = first; i < table.n; i++)
        if (strcmp(table.entry[i], entry) == 0)
            return &table.times[i];
    cr_assert(table.n < ROWS_MAX, "more rows than the table holds");
    (void)snprintf(table.names[table.n], NAME_MAX, "%s: %s", entry, row);
    table.entry[table.n] = entry;
    table.times[table.n] = (struct lrc_op_time){ .name = table.names[table.n], .seconds = (double)INFINITY };
    return &table.times[table.n++];
}

static void time_row(const struct lrc_cases_row *row)
{
    const int first = table.n;
    double    spent = 0.0;
    row->run(row->context); /* makes what an op keeps from call to call */
    for (int run = 0; run < RUNS_MIN || spent < seconds_min; run++) {
        struct lrc_op_time times[ENTRIES_MAX];
        lrc_op_times_clear();
        row->run(row->context);
        const int n = lrc_op_times_list(times, ENTRIES_MAX);
        for (int i = 0; i < n && times[i].n_calls > 0; i++) {
            struct lrc_op_time *line = line_of(times[i].name, row->name, first);
            spent += times[i].seconds;
            if (times[i].seconds >= line->seconds)
                continue;
            *line = times[i];
            line->name = table.names[line - table.times];
        }
    }
}

static int64_t adapter_elems(const struct lrc_model_shape *s, int64_t rank)
{
    const int64_t q = s->n_heads * s->head_dim, kv = s->n_kv_heads * s->head_dim;
    return s->n_layers * rank *
           (2 * (s->hidden + q) + 2 * (s->hidden + kv) + 3 * (s->hidden + s->intermediate));
}

static struct lrc_cases_step step_of(const struct lrc_bench_settings *s)
{
    const enum lrc_dtype type = strcmp(s->mode, "f32") == 0 ? LRC_DTYPE_F32 : LRC_DTYPE_BF16;
    return (struct lrc_cases_step){
        .n_docs = s->batch,
        .n_tokens = s->batch * s->seq,
        .hidden = s->shape.hidden,
        .intermediate = s->shape.intermediate,
        .n_heads = s->shape.n_heads,
        .n_kv_heads = s->shape.n_kv_heads,
        .head_dim = s->shape.head_dim,
        .vocab = s->shape.vocab,
        .rank = s->rank,
        .n_params = adapter_elems(&s->shape, s->rank),
        .activation = type,
        .weight = type,
        .is_4bit = strcmp(s->mode, "nf4") == 0,
    };
}

/* No name given: every op, and then every entry of the backend must have had a row. */
static enum lrc_status walk_all(const struct lrc_cases_walk *walk, const struct lrc_cli *cli,
                                struct lrc_error *err)
{
    for (int a = 0; a < cli->n_arguments; a++) {
        size_t i = 0;
        while (i < sizeof folders / sizeof folders[0] && strcmp(folders[i].name, cli->arguments[a]) != 0)
            i++;
        if (i == sizeof folders / sizeof folders[0])
            return lrc_fail(err, LRC_STATUS_USAGE,
                            "ops: want the name of an op's folder in kernels/, got '%s'", cli->arguments[a]);
        folders[i].rows(walk);
    }
    if (cli->n_arguments > 0)
        return LRC_STATUS_OK;
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++)
        folders[i].rows(walk);
    for (size_t e = 0; e < sizeof entries / sizeof entries[0]; e++) {
        int n = 0;
        for (int i = 0; i < table.n; i++)
            n += strcmp(table.entry[i], entries[e]) == 0;
        if (n == 0)
            return lrc_fail(err, LRC_STATUS_NUMERIC, "%s: want a row in the op's cases, found none",
                            entries[e]);
    }
    return LRC_STATUS_OK;
}

static void print(const struct lrc_cli *cli, const struct lrc_backend *backend,
                  const struct lrc_bench_settings *s, const struct lrc_op_peaks *peaks)
{
    struct lrc_buf out = { 0 };
    const int      is_json = lrc_cli_has(cli, "json");
    lrc_buf_printf(
        &out,
        is_json ? "{\"program\": \"bench_ops\", \"device\": \"%s\", \"mode\": \"%s\", \"shape\": \"%s\", "
                  "\"batch\": %lld, \"seq\": %lld, \"rank\": %lld"
                : "ops one by one on %s: %s at %s, %lld x %lld tokens, rank %lld",
        backend->name, s->mode, s->shape.name, (long long)s->batch, (long long)s->seq, (long long)s->rank);
    if (is_json) {
        lrc_buf_puts(&out, ", \"gemm_tflops\": ");
        lrc_json_append_number(&out, peaks->gflops * 1e-3);
        lrc_buf_puts(&out, ", \"copy_gb_per_s\": ");
        lrc_json_append_number(&out, peaks->copy_gb_per_s);
        lrc_buf_puts(&out, ", \"ops\": ");
        lrc_op_table_json(&out, table.times, table.n, 1, peaks);
        lrc_buf_puts(&out, "}\n");
    } else {
        lrc_buf_printf(&out, "\nproducts: %.0f GFLOP/s; copy %.1f GB/s\n\n", peaks->gflops,
                       peaks->copy_gb_per_s);
        lrc_op_table_text(&out, table.times, table.n, 1, peaks);
    }
    lrc_cli_write(lrc_buf_text(&out), out.len);
    lrc_buf_release(&out);
}

static enum lrc_status run(const struct lrc_cli *cli, struct lrc_problems *problems, struct lrc_error *err)
{
    struct lrc_cli            options = *cli;
    struct lrc_bench_settings settings;
    struct lrc_yardstick      before, after;
    const struct lrc_backend *backend;
    options.n_arguments = 0; /* they are ops, not a config */
    LRC_TRY(lrc_bench_settings_read(&settings, &options, problems, err));
    LRC_TRY(lrc_cli_number(cli, "seconds", &seconds_min, 0.0, 60.0, err));
    LRC_TRY(lrc_cli_set_threads(cli, err));
    LRC_TRY(lrc_cli_choose_device(&backend, cli, err));
    LRC_TRY(lrc_yardstick_measure(&before, backend, &settings, err));
    const struct lrc_backend *timed = lrc_op_times_start(backend);
    if (backend->memory)
        lrc_mirror_begin();
    const struct lrc_cases_walk walk = { backend->memory ? lrc_mirror_of(timed) : timed, step_of(&settings),
                                         time_row };
    const enum lrc_status       status = walk_all(&walk, cli, err);
    if (backend->memory)
        lrc_mirror_end();
    LRC_TRY(status);
    LRC_TRY(lrc_yardstick_measure(&after, backend, &settings, err));
    const struct lrc_op_peaks peaks = { fmax(before.gflops, after.gflops),
                                        fmax(before.copy_gb_per_s, after.copy_gb_per_s) };
    print(cli, backend, &settings, &peaks);
    return LRC_STATUS_OK;
}

static const struct lrc_option options[] = {
    { "mode", "bf16|nf4|f32", "type of the linears' weights; nf4 computes in bf16; default bf16" },
    { "shape", "p1|1b|3b|8b|small|tiny", "shape of the model; default p1" },
    { "batch", "N", "documents; 4" },
    { "seq", "N", "tokens per document; 512" },
    { "rank", "N", "of the adapters; 16" },
    { "seconds", "S", "that a row takes at least; 0.3" },
    { NULL, NULL, NULL },
};

static const struct lrc_command command = {
    .name = "ops",
    .arguments = "[OP ...]",
    .summary = "every op by itself, at the rows of its cases, beside the rates that the machine reaches",
    .arguments_max = -1,
    .options = options,
    .common = LRC_COMMON_THREADS | LRC_COMMON_DEVICE,
    .run = run,
};

const struct lrc_command *const lrc_command_all[] = { &command, NULL };
