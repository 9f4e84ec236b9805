/* Every fate, from every kind of source, with the line it is told by. */
#include "base/alloc.h"
#include "base/file.h"
#include "data/dataset.h"
#include "data_fixture.h"
#include "support.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

enum { N_ROWS = 6, SEQUENCE_LEN = 5 };

static const char *const rows[N_ROWS][2] = { { "Q", "A" },       { "Q\nR", "A" }, { "QRSTUVW", "A" },
                                             { "Q", "ABCDEFG" }, { "", "" },      { "Q", "A" } };

/* by strategy */
static const enum lrc_row_fate fates[][N_ROWS] = {
    [LRC_EXCESS_DROP] = { LRC_ROW_KEPT, LRC_ROW_KEPT, LRC_ROW_TOO_LONG, LRC_ROW_TOO_LONG, LRC_ROW_EMPTY,
                          LRC_ROW_DUPLICATE },
    [LRC_EXCESS_TRUNCATE] = { LRC_ROW_KEPT, LRC_ROW_KEPT, LRC_ROW_NO_TARGET, LRC_ROW_TRUNCATED, LRC_ROW_EMPTY,
                              LRC_ROW_DUPLICATE },
    [LRC_EXCESS_SPLIT] = { LRC_ROW_KEPT, LRC_ROW_KEPT, LRC_ROW_SPLIT, LRC_ROW_SPLIT, LRC_ROW_EMPTY,
                           LRC_ROW_DUPLICATE },
};
static const int64_t n_tokens[N_ROWS] = { 3, 5, 9, 9, 0, 3 };

enum source { LINES, ARRAY, CSV, TSV, GZIP_CSV, ZSTD_LINES, STDIN_CSV, N_SOURCES };
static const char *const names[N_SOURCES] = { "r.jsonl",  "r.json",      "r.csv", "r.tsv",
                                              "r.csv.gz", "r.jsonl.zst", "-" };
static const int64_t     csv_lines[N_ROWS] = { 2, 3, 5, 6, 7, 8 };

static void put_json(struct lrc_buf *text, int is_array)
{
    lrc_buf_puts(text, is_array ? "[\n" : "");
    for (int r = 0; r < N_ROWS; r++) {
        lrc_buf_puts(text, "{\"prompt\": ");
        lrc_json_append_string(text, rows[r][0], strlen(rows[r][0]));
        lrc_buf_puts(text, ", \"completion\": ");
        lrc_json_append_string(text, rows[r][1], strlen(rows[r][1]));
        lrc_buf_puts(text, is_array && r + 1 < N_ROWS ? "},\n" : "}\n");
    }
    lrc_buf_puts(text, is_array ? "]" : "");
}

static void put_csv(struct lrc_buf *text, char separator)
{
    lrc_buf_printf(text, "completion%cprompt\r\n", separator);
    for (int r = 0; r < N_ROWS; r++)
        lrc_buf_printf(text, "\"%s\"%c\"%s\"\n", rows[r][1], separator, rows[r][0]);
}

static void put_file(const char *path, enum source source)
{
    struct lrc_buf   text = { 0 };
    unsigned char    packed[1024];
    struct lrc_error err;
    const void      *bytes;
    size_t           n;
    if (source == LINES || source == ARRAY || source == ZSTD_LINES)
        put_json(&text, source == ARRAY);
    else
        put_csv(&text, source == TSV ? '\t' : ',');
    bytes = text.data;
    n = text.len;
    if (source == ZSTD_LINES) {
        n = ZSTD_compress(packed, sizeof packed, text.data, text.len, 1);
        bytes = packed;
    }
    if (source == GZIP_CSV) {
        gzFile file = gzopen(path, "wb");
        cr_assert(file && gzwrite(file, text.data, (unsigned)text.len) == (int)text.len &&
                  gzclose(file) == Z_OK);
    } else {
        cr_assert_eq(lrc_file_write(path, bytes, n, &err), LRC_STATUS_OK, "%s", err.message);
    }
    lrc_buf_release(&text);
}

/* What a shell's pipe would give. */
static void pipe_into_stdin(const char *path)
{
    struct lrc_buf   text = { 0 };
    struct lrc_error err;
    int              ends[2];
    cr_assert_eq(lrc_file_read(&text, path, &err), LRC_STATUS_OK);
    cr_assert_eq(pipe(ends), 0);
    cr_assert_eq(write(ends[1], text.data, text.len), (ssize_t)text.len);
    close(ends[1]);
    cr_assert_eq(dup2(ends[0], STDIN_FILENO), STDIN_FILENO);
    close(ends[0]);
    lrc_buf_release(&text);
}

static void check(enum source source, enum lrc_excess excess, const struct lrc_tokenizer *tokenizer)
{
    struct lrc_dataset  dataset;
    struct lrc_problems problems = { 0 };
    struct lrc_error    err;
    const char         *folder = test_folder("fate-sources");
    char               *path = lrc_path_join(folder, source == STDIN_CSV ? "stdin.csv" : names[source]);
    const struct lrc_dataset_spec    spec = { .path = source == STDIN_CSV ? "-" : path,
                                              .ds_type = source == STDIN_CSV ? "csv" : NULL };
    const struct lrc_dataset_options options = { .tokenizer = tokenizer,
                                                 .sequence_len = SEQUENCE_LEN,
                                                 .excess = excess,
                                                 .max_lost_rows_fraction = 1,
                                                 .drop_duplicates = 1,
                                                 .vocab_size = 128 };
    put_file(path, source);
    if (source == STDIN_CSV)
        pipe_into_stdin(path);
    cr_assert_eq(lrc_dataset_load(&dataset, &spec, 1, &options, &problems, &err), LRC_STATUS_OK, "%s: %s",
                 names[source], err.message);
    cr_assert_eq(dataset.n_rows, N_ROWS);
    const int is_csv = source != LINES && source != ARRAY && source != ZSTD_LINES;
    for (int r = 0; r < N_ROWS; r++) {
        const struct lrc_row_record *record = &dataset.rows[r];
        cr_expect_eq(record->fate, fates[excess][r], "%s, row %d", names[source], r);
        cr_expect_eq(record->line, is_csv ? csv_lines[r] : r + 1 + (source == ARRAY), "%s, row %d: line %lld",
                     names[source], r, (long long)record->line);
        cr_expect_eq(record->n_tokens, n_tokens[r], "%s, row %d", names[source], r);
    }
    lrc_dataset_release(&dataset);
    lrc_problems_release(&problems);
    lrc_free(path);
}

Test(data_fate_sources, every_fate_from_every_source)
{
    struct lrc_tokenizer *tokenizer = data_fixture_tokenizer(FIXTURE_PLAIN);
    for (int source = 0; source < N_SOURCES; source++) {
        check((enum source)source, LRC_EXCESS_DROP, tokenizer);
        check((enum source)source, LRC_EXCESS_TRUNCATE, tokenizer);
        check((enum source)source, LRC_EXCESS_SPLIT, tokenizer);
    }
    lrc_tokenizer_free(tokenizer);
}
