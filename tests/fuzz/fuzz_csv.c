/* Bytes as CSV and as TSV: every record that is accepted has a string for each column, and no byte is left
 * over. */
#include "data/row_file.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_row(const json_t *row, const struct lrc_csv_columns *columns)
{
    if ((int64_t)json_object_size(row) != columns->n)
        abort();
    for (int64_t i = 0; i < columns->n; i++)
        if (!json_is_string(json_object_get(row, columns->names[i])))
            abort();
}

static void check_records(const struct lrc_row_file *file, const char *end)
{
    for (int64_t i = 0; i < file->n_rows; i++) {
        const struct lrc_row_text *row = &file->rows[i];
        const char *next = i + 1 < file->n_rows ? file->rows[i + 1].bytes : end;
        if (row->n == 0 || row->bytes + row->n > next || (i > 0 && row->line <= file->rows[i - 1].line))
            abort();
    }
}

static void read_as(enum lrc_row_kind kind, const char *bytes, size_t n)
{
    struct lrc_row_file file = {.kind = kind};
    struct lrc_problems problems = {0};
    struct lrc_error err;
    if (lrc_row_file_scan(&file, bytes, n, "fuzz", &problems, &err) == LRC_STATUS_OK) {
        if (problems.count > 0 && file.n_rows > 0) /* rows without columns */
            abort();
        check_records(&file, bytes + n);
        for (int64_t i = 0; i < file.n_rows; i++) {
            json_t *row;
            if (lrc_row_file_parse(&row, &file, i, &err) != LRC_STATUS_OK)
                continue;
            check_row(row, &file.columns);
            json_decref(row);
        }
    }
    lrc_row_file_close(&file);
    lrc_problems_release(&problems);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    read_as(LRC_ROW_KIND_CSV, (const char *)data, size);
    read_as(LRC_ROW_KIND_TSV, (const char *)data, size);
    return 0;
}
