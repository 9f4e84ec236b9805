#include "data/row_file.h"

#include "base/alloc.h"
#include <string.h>

struct scan {
    const char          *at, *end;
    int64_t              line;
    const char          *path;
    struct lrc_row_file *file;
    int64_t              cap;
    struct lrc_problems *problems;
};

static enum lrc_status add_row(struct scan *scan, const char *begin, const char *end, int64_t line,
                               struct lrc_error *err)
{
    struct lrc_row_file *file = scan->file;
    if (file->n_rows == scan->cap) {
        const int64_t        cap = scan->cap ? 2 * scan->cap : 64;
        struct lrc_row_text *rows = lrc_realloc(file->rows, cap, sizeof *rows);
        if (!rows)
            return lrc_fail_nomem(err, "the rows of a data file");
        file->rows = rows;
        scan->cap = cap;
    }
    file->rows[file->n_rows++] = (struct lrc_row_text) { begin, (size_t)(end - begin), line };
    return LRC_STATUS_OK;
}

static int is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static void skip_blank(struct scan *scan)
{
    for (; scan->at < scan->end && is_blank(*scan->at); scan->at++)
        scan->line += *scan->at == '\n';
}

static enum lrc_status scan_lines(struct scan *scan, struct lrc_error *err)
{
    for (skip_blank(scan); scan->at < scan->end; skip_blank(scan)) {
        const char *begin = scan->at;
        const char *end = memchr(begin, '\n', (size_t)(scan->end - begin));
        end = end ? end : scan->end;
        LRC_TRY(add_row(scan, begin, end, scan->line, err));
        scan->at = end;
    }
    return LRC_STATUS_OK;
}

/* Past the quote that closes the string at scan->at, or to the end of its line: a string cannot hold one, so
 * that a missing quote spoils one row and not the rest of the file. */
static void skip_string(struct scan *scan)
{
    for (scan->at++; scan->at < scan->end && *scan->at != '\n'; scan->at++) {
        if (*scan->at == '"') {
            scan->at++;
            return;
        }
        if (*scan->at == '\\' && scan->at + 1 < scan->end && scan->at[1] != '\n')
            scan->at++;
    }
}

/* To the comma or bracket that ends the array's element at scan->at. */
static void skip_element(struct scan *scan)
{
    int64_t depth = 0;
    while (scan->at < scan->end) {
        const char c = *scan->at;
        if (c == '"') {
            skip_string(scan);
            continue;
        }
        if (depth == 0 && (c == ',' || c == ']'))
            return;
        depth += (c == '{' || c == '[') - (c == '}' || c == ']');
        depth = depth < 0 ? 0 : depth;
        scan->line += c == '\n';
        scan->at++;
    }
}

static enum lrc_status scan_array(struct scan *scan, struct lrc_error *err)
{
    const int64_t first_line = scan->line;
    scan->at++;
    skip_blank(scan);
    int after_comma = 0;
    while (scan->at < scan->end && (*scan->at != ']' || after_comma)) {
        const char   *begin = scan->at;
        const int64_t line = scan->line;
        skip_element(scan);
        if (scan->at == begin)
            lrc_problems_add(scan->problems, "%s:%lld: want an object, got '%c'", scan->path, (long long)line,
                             *begin);
        else
            LRC_TRY(add_row(scan, begin, scan->at, line, err));
        after_comma = scan->at < scan->end && *scan->at == ',';
        scan->at += after_comma;
        skip_blank(scan);
        if (scan->at < scan->end && scan->at == begin) /* the ']' of "[1,]", reported above */
            break;
    }
    if (scan->at == scan->end) {
        lrc_problems_add(scan->problems,
                         "%s:%lld: want ']' for the '[' of line %lld, got the end of the file", scan->path,
                         (long long)scan->line, (long long)first_line);
        return LRC_STATUS_OK;
    }
    scan->at++;
    skip_blank(scan);
    if (scan->at < scan->end)
        lrc_problems_add(scan->problems,
                         "%s:%lld: want the end of the file after the array's ']', got more text", scan->path,
                         (long long)scan->line);
    return LRC_STATUS_OK;
}

enum lrc_status lrc_row_file_scan(struct lrc_row_file *file, const char *bytes, size_t n, const char *path,
                                  struct lrc_problems *problems, struct lrc_error *err)
{
    struct scan scan = {
        .at = bytes, .end = bytes + n, .line = 1, .path = path, .file = file, .problems = problems
    };
    if (n >= 3 && memcmp(bytes, "\xef\xbb\xbf", 3) == 0)
        scan.at += 3;
    skip_blank(&scan);
    if (scan.at < scan.end && *scan.at == '[')
        return scan_array(&scan, err);
    return scan_lines(&scan, err);
}

enum lrc_status lrc_row_file_open(struct lrc_row_file *file, const char *path, struct lrc_problems *problems,
                                  struct lrc_error *err)
{
    *file = (struct lrc_row_file) { 0 };
    LRC_TRY(lrc_map_open(&file->map, path, err));
    const enum lrc_status status =
        lrc_row_file_scan(file, (const char *)file->map.data, file->map.size_bytes, path, problems, err);
    if (status != LRC_STATUS_OK)
        lrc_row_file_close(file);
    return status;
}

void lrc_row_file_close(struct lrc_row_file *file)
{
    lrc_map_close(&file->map);
    lrc_free(file->rows);
    *file = (struct lrc_row_file) { 0 };
}

enum lrc_status lrc_row_parse(json_t **row, const struct lrc_row_text *text, const char *path,
                              struct lrc_error *err)
{
    json_error_t error;
    *row =
        json_loadb(text->bytes, text->n, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL | JSON_DECODE_ANY, &error);
    if (!*row)
        return lrc_fail(err, LRC_STATUS_DATA, "%s:%lld: want a JSON object, got an error at column %d: %s",
                        path, (long long)(text->line + (error.line > 0 ? error.line - 1 : 0)), error.column,
                        error.text);
    if (json_is_object(*row))
        return LRC_STATUS_OK;
    const char *type = lrc_json_type_name(*row);
    json_decref(*row);
    *row = NULL;
    return lrc_fail(err, LRC_STATUS_DATA, "%s:%lld: want a JSON object, got %s", path, (long long)text->line,
                    type);
}
