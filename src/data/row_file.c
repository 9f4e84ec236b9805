#include "data/row_file.h"

#include "base/alloc.h"
#include "base/file.h"
#include "tokenizer/unicode.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct {
    const char       *extension;
    enum lrc_row_kind kind;
} extensions[] = {
    { ".jsonl", LRC_ROW_KIND_JSON }, { ".json", LRC_ROW_KIND_JSON },     { ".ndjson", LRC_ROW_KIND_JSON },
    { ".csv", LRC_ROW_KIND_CSV },    { ".tsv", LRC_ROW_KIND_TSV },       { ".txt", LRC_ROW_KIND_TEXT },
    { ".md", LRC_ROW_KIND_TEXT },    { ".markdown", LRC_ROW_KIND_TEXT }, { ".parquet", LRC_ROW_KIND_PARQUET },
};

static int ends_with(const char *text, size_t n, const char *end)
{
    const size_t n_end = strlen(end);
    return n > n_end && strncasecmp(text + n - n_end, end, n_end) == 0;
}

enum lrc_row_kind lrc_row_kind_of_name(const char *path)
{
    const char *name = lrc_path_base(path);
    size_t      n = strlen(name);
    n -= ends_with(name, n, ".gz") ? 3 : ends_with(name, n, ".zst") ? 4 : 0;
    for (size_t i = 0; i < sizeof extensions / sizeof *extensions; i++)
        if (ends_with(name, n, extensions[i].extension))
            return extensions[i].kind;
    return LRC_ROW_KIND_AUTO;
}

enum lrc_status lrc_row_kind_find(enum lrc_row_kind *kind, const char *name, struct lrc_error *err)
{
    static const char *const names[] = { [LRC_ROW_KIND_JSON] = "json",
                                         [LRC_ROW_KIND_CSV] = "csv",
                                         [LRC_ROW_KIND_TSV] = "tsv",
                                         [LRC_ROW_KIND_TEXT] = "text",
                                         [LRC_ROW_KIND_PARQUET] = "parquet" };
    *kind = LRC_ROW_KIND_AUTO;
    if (!name)
        return LRC_STATUS_OK;
    for (int i = LRC_ROW_KIND_JSON; i <= LRC_ROW_KIND_PARQUET; i++)
        if (strcmp(names[i], name) == 0) {
            *kind = (enum lrc_row_kind)i;
            return LRC_STATUS_OK;
        }
    return lrc_fail(err, LRC_STATUS_CONFIG, "ds_type: want one of json, csv, tsv, text, got '%.80s'", name);
}

static int is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static const char *skip_blanks(const char *at, const char *end)
{
    while (at < end && is_blank(*at))
        at++;
    return at;
}

/* '{' or '[' may open a text as well; '{"', '{}' and '[{' do not. */
static int looks_like_json(const char *at, const char *end)
{
    at = skip_blanks(at, end);
    if (at == end || (*at != '{' && *at != '['))
        return 0;
    const char *inside = skip_blanks(at + 1, end);
    return inside < end && (*at == '[' ? *inside == '{' : *inside == '"' || *inside == '}');
}

static enum lrc_row_kind find_kind(const char *at, const char *end, const char *path)
{
    if (end - at >= 4 && memcmp(at, "PAR1", 4) == 0)
        return LRC_ROW_KIND_PARQUET;
    const enum lrc_row_kind by_name = lrc_row_kind_of_name(path);
    if (looks_like_json(at, end) || by_name == LRC_ROW_KIND_AUTO || by_name == LRC_ROW_KIND_PARQUET)
        return LRC_ROW_KIND_JSON;
    return by_name;
}

static enum lrc_status fail_parquet(const char *path, struct lrc_error *err)
{
    return lrc_fail(err, LRC_STATUS_UNSUPPORTED,
                    "%.200s: want JSONL, a JSON array, CSV, TSV or text, got Parquet; to convert it: duckdb "
                    "-c \"COPY (FROM "
                    "'%.100s') TO 'data.jsonl' (FORMAT json)\", or python3 -c \"import pandas; "
                    "pandas.read_parquet('%.100s')"
                    ".to_json('data.jsonl', orient='records', lines=True)\"",
                    path, path, path);
}

/* More of the file behind what the cursor has not passed; rows that were given out lose their bytes. */
static enum lrc_status refill(struct lrc_row_file *file, struct lrc_error *err)
{
    struct lrc_row_cursor *cursor = &file->cursor;
    const size_t           n_kept = (size_t)(cursor->end - cursor->at);
    size_t                 n_new = 0, n_at = cursor->at ? (size_t)(cursor->at - file->window) : 0;
    if (n_kept > LRC_ROW_BYTES_MAX)
        return lrc_fail(err, LRC_STATUS_DATA, "%s:%lld: want a row of at most %d bytes, got more", file->path,
                        (long long)cursor->line, LRC_ROW_BYTES_MAX);
    if (2 * n_kept >= file->window_bytes) {
        const size_t n = file->window_bytes ? 2 * file->window_bytes : LRC_ROW_WINDOW_BYTES;
        char        *window = lrc_realloc(file->window, (int64_t)n, 1);
        if (!window)
            return lrc_fail_nomem(err, file->path);
        file->window = window;
        file->window_bytes = n;
    }
    memmove(file->window, file->window + n_at, n_kept);
    LRC_TRY(
        lrc_unpacker_read(&file->unpacker, file->window + n_kept, file->window_bytes - n_kept, &n_new, err));
    cursor->at = file->window;
    cursor->end = file->window + n_kept + n_new;
    file->is_whole = n_kept + n_new < file->window_bytes;
    return LRC_STATUS_OK;
}

static enum lrc_status add_row(struct lrc_row_file *file, const struct lrc_row_text *row,
                               struct lrc_error *err)
{
    if (file->n_rows == file->rows_cap) {
        const int64_t        cap = file->rows_cap ? 2 * file->rows_cap : 64;
        struct lrc_row_text *rows = lrc_realloc(file->rows, cap, sizeof *rows);
        if (!rows)
            return lrc_fail_nomem(err, "the rows of a data file");
        file->rows = rows;
        file->rows_cap = cap;
    }
    file->rows[file->n_rows++] = *row;
    return LRC_STATUS_OK;
}

enum lrc_status lrc_row_file_next(struct lrc_row_file *file, int64_t n_max, struct lrc_error *err)
{
    file->n_rows = 0;
    while (!file->has_ended && file->n_rows < n_max) {
        struct lrc_row_cursor cursor = file->cursor;
        struct lrc_row_found  found;
        lrc_row_scan__next(&found, &cursor, file);
        if (cursor.at == cursor.end && !file->is_whole) { /* it may go on behind the window */
            if (file->n_rows > 0)
                break;
            LRC_TRY(refill(file, err));
            continue;
        }
        file->cursor = cursor;
        if (found.problem[0])
            lrc_problems_add(file->problems, "%s:%lld: %s", file->path, (long long)found.problem_line,
                             found.problem);
        if (found.step == LRC_ROW_STEP_ROW)
            LRC_TRY(add_row(file, &found.row, err));
        file->has_ended = found.step == LRC_ROW_STEP_END ||
                          (file->kind == LRC_ROW_KIND_TEXT && found.step == LRC_ROW_STEP_ROW);
    }
    return LRC_STATUS_OK;
}

/* The record of column names. */
static enum lrc_status read_header(struct lrc_row_file *file, struct lrc_error *err)
{
    struct lrc_row_found found;
    struct lrc_error     inner;
    for (;;) {
        struct lrc_row_cursor cursor = file->cursor;
        lrc_row_scan__next(&found, &cursor, file);
        if (cursor.at != cursor.end || file->is_whole) {
            file->cursor = cursor;
            break;
        }
        LRC_TRY(refill(file, err));
    }
    file->has_ended = found.step == LRC_ROW_STEP_END;
    if (file->has_ended)
        return LRC_STATUS_OK;
    const struct lrc_csv_record header = { found.row.bytes, found.row.n, found.row.line };
    const char                  separator = file->kind == LRC_ROW_KIND_TSV ? '\t' : ',';
    const enum lrc_status       status = lrc_csv_columns_read(&file->columns, &header, separator, &inner);
    if (status != LRC_STATUS_DATA)
        return status == LRC_STATUS_OK ? status : lrc_fail(err, status, "%s", inner.message);
    lrc_problems_add(file->problems, "%s:%s", file->path, inner.message);
    file->has_ended = 1;
    return LRC_STATUS_OK;
}

/* From the window's first bytes: the kind, and what stands before the first row. */
static enum lrc_status begin(struct lrc_row_file *file, struct lrc_error *err)
{
    struct lrc_row_cursor *cursor = &file->cursor;
    cursor->line = 1;
    if (cursor->end - cursor->at >= 3 && memcmp(cursor->at, "\xef\xbb\xbf", 3) == 0)
        cursor->at += 3;
    if (file->kind == LRC_ROW_KIND_AUTO)
        file->kind = find_kind(cursor->at, cursor->end, file->path);
    if (file->kind == LRC_ROW_KIND_PARQUET)
        return fail_parquet(file->path, err);
    if (file->kind == LRC_ROW_KIND_CSV || file->kind == LRC_ROW_KIND_TSV)
        return read_header(file, err);
    if (file->kind == LRC_ROW_KIND_TEXT)
        return LRC_STATUS_OK;
    lrc_row_scan__skip_blank(cursor);
    file->is_array = cursor->at < cursor->end && *cursor->at == '[';
    file->array_line = cursor->line;
    cursor->at += file->is_array;
    return LRC_STATUS_OK;
}

enum lrc_status lrc_row_file_scan(struct lrc_row_file *file, const char *bytes, size_t n, const char *path,
                                  struct lrc_problems *problems, struct lrc_error *err)
{
    file->path = path;
    file->problems = problems;
    file->cursor = (struct lrc_row_cursor){ .at = bytes, .end = bytes + n };
    file->is_whole = 1;
    LRC_TRY(begin(file, err));
    return lrc_row_file_next(file, INT64_MAX, err);
}

static const uint64_t STDIN_BYTES_MAX = (uint64_t)64 << 30; /* it is kept in memory */

/* What a pipe gives can be read once: it is moved into an anonymous file that takes descriptor 0, so that the
 * data can be opened a second time (once for its type, once for its rows). */
static enum lrc_status make_stdin_seekable(struct lrc_error *err)
{
    struct stat info;
    if (fstat(STDIN_FILENO, &info) == 0 && S_ISREG(info.st_mode))
        return LRC_STATUS_OK;
    const int fd = memfd_create("lorica-stdin", MFD_CLOEXEC);
    if (fd < 0)
        return lrc_fail_errno(err, "stdin: cannot make a file of it");
    enum lrc_status status = LRC_STATUS_OK;
    char            chunk[1 << 16];
    uint64_t        n_all = 0;
    for (ssize_t n; status == LRC_STATUS_OK && (n = read(STDIN_FILENO, chunk, sizeof chunk)) != 0;) {
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            status = lrc_fail_errno(err, "stdin: cannot read");
            break;
        }
        n_all += (uint64_t)n;
        if (n_all > STDIN_BYTES_MAX)
            status = lrc_fail(err, LRC_STATUS_DATA, "stdin: want at most %llu bytes, got more",
                              (unsigned long long)STDIN_BYTES_MAX);
        for (ssize_t done = 0, m; status == LRC_STATUS_OK && done < n; done += m)
            if ((m = write(fd, chunk + done, (size_t)(n - done))) < 0)
                status = lrc_fail_errno(err, "stdin: cannot keep it in memory");
    }
    if (status == LRC_STATUS_OK && dup2(fd, STDIN_FILENO) < 0)
        status = lrc_fail_errno(err, "stdin: cannot make a file of it");
    close(fd);
    return status;
}

enum lrc_status lrc_row_file_open(struct lrc_row_file *file, const char *path, enum lrc_row_kind kind,
                                  struct lrc_hash *hash, struct lrc_problems *problems, struct lrc_error *err)
{
    const int is_stdin = strcmp(path, "-") == 0;
    *file = (struct lrc_row_file){ .path = is_stdin ? "stdin" : path, .kind = kind, .problems = problems };
    if (is_stdin)
        LRC_TRY(make_stdin_seekable(err));
    const int   fd = open(is_stdin ? "/dev/stdin" : path, O_RDONLY | O_CLOEXEC);
    struct stat info;
    if (fd < 0)
        return lrc_fail_errno(err, "%s: cannot open", file->path);
    if (!is_stdin && fstat(fd, &info) == 0 && !S_ISREG(info.st_mode)) { /* it is opened twice */
        close(fd);
        return lrc_fail(err, LRC_STATUS_IO, "%s: want a regular file, got a pipe or device ('-' reads stdin)",
                        path);
    }
    LRC_TRY(lrc_unpacker_open(&file->unpacker, fd, file->path, &lrc_unpack_limits_default, hash, err));
    LRC_TRY(refill(file, err));
    return begin(file, err);
}

void lrc_row_file_close(struct lrc_row_file *file)
{
    lrc_unpacker_close(&file->unpacker);
    lrc_csv_columns_release(&file->columns);
    lrc_free(file->rows);
    lrc_free(file->window);
    *file = (struct lrc_row_file){ 0 };
}

static enum lrc_status parse_text(json_t **row, const struct lrc_row_text *text, const char *path,
                                  struct lrc_error *err)
{
    const size_t n_valid = lrc_utf8_valid(text->bytes, text->n);
    int64_t      line = text->line;
    *row = NULL;
    for (size_t i = 0; n_valid != text->n && i < n_valid; i++)
        line += text->bytes[i] == '\n';
    if (n_valid != text->n)
        return lrc_fail(err, LRC_STATUS_DATA, "%s:%lld: want UTF-8, got the byte 0x%02x", path,
                        (long long)line, (unsigned char)text->bytes[n_valid]);
    json_t *object = json_object();
    if (!object || json_object_set_new(object, "text", json_stringn(text->bytes, text->n)) != 0) {
        json_decref(object);
        return lrc_fail_nomem(err, "a row");
    }
    *row = object;
    return LRC_STATUS_OK;
}

static enum lrc_status parse_record(json_t **row, const struct lrc_row_file *file,
                                    const struct lrc_row_text *text, struct lrc_error *err)
{
    const struct lrc_csv_record record = { text->bytes, text->n, text->line };
    struct lrc_error            inner;
    const enum lrc_status       status = lrc_csv_parse(row, &record, &file->columns, &inner);
    if (status == LRC_STATUS_OK)
        return LRC_STATUS_OK;
    return lrc_fail(err, status, "%s%s%s", status == LRC_STATUS_DATA ? file->path : "",
                    status == LRC_STATUS_DATA ? ":" : "", inner.message);
}

static enum lrc_status parse_json(json_t **row, const struct lrc_row_text *text, const char *path,
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

enum lrc_status lrc_row_file_parse(json_t **row, const struct lrc_row_file *file, int64_t index,
                                   struct lrc_error *err)
{
    const struct lrc_row_text *text = &file->rows[index];
    switch (file->kind) {
    case LRC_ROW_KIND_CSV:
    case LRC_ROW_KIND_TSV: return parse_record(row, file, text, err);
    case LRC_ROW_KIND_TEXT: return parse_text(row, text, file->path, err);
    default: return parse_json(row, text, file->path, err);
    }
}
