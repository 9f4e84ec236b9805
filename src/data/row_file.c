#include "data/row_file.h"

#include "base/alloc.h"
#include "data/unpack.h"
#include "tokenizer/unicode.h"
#include <errno.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct {
    const char *extension;
    enum lrc_row_kind kind;
} extensions[] = {
    {".jsonl", LRC_ROW_KIND_JSON}, {".json", LRC_ROW_KIND_JSON},     {".ndjson", LRC_ROW_KIND_JSON},
    {".csv", LRC_ROW_KIND_CSV},    {".tsv", LRC_ROW_KIND_TSV},       {".txt", LRC_ROW_KIND_TEXT},
    {".md", LRC_ROW_KIND_TEXT},    {".markdown", LRC_ROW_KIND_TEXT}, {".parquet", LRC_ROW_KIND_PARQUET},
};

static int ends_with(const char *text, size_t n, const char *end)
{
    const size_t n_end = strlen(end);
    return n > n_end && strncasecmp(text + n - n_end, end, n_end) == 0;
}

enum lrc_row_kind lrc_row_kind_of_name(const char *path)
{
    const char *name = lrc_path_base(path);
    size_t n = strlen(name);
    n -= ends_with(name, n, ".gz") ? 3 : ends_with(name, n, ".zst") ? 4 : 0;
    for (size_t i = 0; i < sizeof extensions / sizeof *extensions; i++)
        if (ends_with(name, n, extensions[i].extension))
            return extensions[i].kind;
    return LRC_ROW_KIND_AUTO;
}

enum lrc_status lrc_row_kind_find(enum lrc_row_kind *kind, const char *name, struct lrc_error *err)
{
    static const char *const names[] = {[LRC_ROW_KIND_JSON] = "json",
                                        [LRC_ROW_KIND_CSV] = "csv",
                                        [LRC_ROW_KIND_TSV] = "tsv",
                                        [LRC_ROW_KIND_TEXT] = "text",
                                        [LRC_ROW_KIND_PARQUET] = "parquet"};
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

struct scan {
    const char *at, *end;
    int64_t line;
    const char *path;
    struct lrc_row_file *file;
    int64_t cap;
    struct lrc_problems *problems;
};

static enum lrc_status add_row(struct scan *scan, const char *begin, const char *end, int64_t line,
                               struct lrc_error *err)
{
    struct lrc_row_file *file = scan->file;
    if (file->n_rows == scan->cap) {
        const int64_t cap = scan->cap ? 2 * scan->cap : 64;
        struct lrc_row_text *rows = lrc_realloc(file->rows, cap, sizeof *rows);
        if (!rows)
            return lrc_fail_nomem(err, "the rows of a data file");
        file->rows = rows;
        scan->cap = cap;
    }
    file->rows[file->n_rows++] = (struct lrc_row_text){begin, (size_t)(end - begin), line};
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
        const char *begin = scan->at;
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

static enum lrc_status scan_records(struct scan *scan, struct lrc_error *err)
{
    const char separator = scan->file->kind == LRC_ROW_KIND_TSV ? '\t' : ',';
    struct lrc_csv_reader reader = {scan->at, scan->end, 1, separator};
    struct lrc_csv_record record;
    struct lrc_error inner;
    if (!lrc_csv_next(&record, &reader))
        return LRC_STATUS_OK;
    const enum lrc_status status = lrc_csv_columns_read(&scan->file->columns, &record, separator, &inner);
    if (status == LRC_STATUS_DATA) {
        lrc_problems_add(scan->problems, "%s:%s", scan->path, inner.message);
        return LRC_STATUS_OK;
    }
    if (status != LRC_STATUS_OK)
        return lrc_fail(err, status, "%s", inner.message);
    while (lrc_csv_next(&record, &reader))
        LRC_TRY(add_row(scan, record.bytes, record.bytes + record.n, record.line, err));
    return LRC_STATUS_OK;
}

enum lrc_status lrc_row_file_scan(struct lrc_row_file *file, const char *bytes, size_t n, const char *path,
                                  struct lrc_problems *problems, struct lrc_error *err)
{
    struct scan scan = {
        .at = bytes, .end = bytes + n, .line = 1, .path = path, .file = file, .problems = problems};
    file->path = path;
    if (n >= 3 && memcmp(bytes, "\xef\xbb\xbf", 3) == 0)
        scan.at += 3;
    if (file->kind == LRC_ROW_KIND_AUTO)
        file->kind = find_kind(scan.at, scan.end, path);
    switch (file->kind) {
    case LRC_ROW_KIND_PARQUET:
        return fail_parquet(path, err);
    case LRC_ROW_KIND_CSV:
    case LRC_ROW_KIND_TSV:
        return scan_records(&scan, err);
    case LRC_ROW_KIND_TEXT:
        return add_row(&scan, scan.at, scan.end, 1, err);
    case LRC_ROW_KIND_AUTO:
    case LRC_ROW_KIND_JSON:
        break;
    }
    skip_blank(&scan);
    if (scan.at < scan.end && *scan.at == '[')
        return scan_array(&scan, err);
    return scan_lines(&scan, err);
}

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
    char chunk[1 << 16];
    uint64_t n_all = 0;
    for (ssize_t n; status == LRC_STATUS_OK && (n = read(STDIN_FILENO, chunk, sizeof chunk)) != 0;) {
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            status = lrc_fail_errno(err, "stdin: cannot read");
            break;
        }
        n_all += (uint64_t)n;
        if (n_all > lrc_unpack_limits_default.bytes_max)
            status = lrc_fail(err, LRC_STATUS_DATA, "stdin: want at most %llu bytes, got more",
                              (unsigned long long)lrc_unpack_limits_default.bytes_max);
        for (ssize_t done = 0, m; status == LRC_STATUS_OK && done < n; done += m)
            if ((m = write(fd, chunk + done, (size_t)(n - done))) < 0)
                status = lrc_fail_errno(err, "stdin: cannot keep it in memory");
    }
    if (status == LRC_STATUS_OK && dup2(fd, STDIN_FILENO) < 0)
        status = lrc_fail_errno(err, "stdin: cannot make a file of it");
    close(fd);
    return status;
}

static enum lrc_status read_rows(struct lrc_row_file *file, struct lrc_problems *problems,
                                 struct lrc_error *err)
{
    const struct lrc_packed packed = {file->map.data, file->map.size_bytes, file->path};
    if (!lrc_unpack_is_packed(packed.bytes, packed.n))
        return lrc_row_file_scan(file, (const char *)packed.bytes, packed.n, file->path, problems, err);
    LRC_TRY(lrc_unpack(&file->unpacked, &packed, &lrc_unpack_limits_default, err));
    return lrc_row_file_scan(file, lrc_buf_text(&file->unpacked), file->unpacked.len, file->path, problems,
                             err);
}

enum lrc_status lrc_row_file_open(struct lrc_row_file *file, const char *path, enum lrc_row_kind kind,
                                  struct lrc_problems *problems, struct lrc_error *err)
{
    const int is_stdin = strcmp(path, "-") == 0;
    *file = (struct lrc_row_file){.path = is_stdin ? "stdin" : path, .kind = kind};
    if (is_stdin)
        LRC_TRY(make_stdin_seekable(err));
    LRC_TRY(lrc_map_open(&file->map, is_stdin ? "/dev/stdin" : path, err));
    const enum lrc_status status = read_rows(file, problems, err);
    if (status != LRC_STATUS_OK)
        lrc_row_file_close(file);
    return status;
}

void lrc_row_file_close(struct lrc_row_file *file)
{
    lrc_map_close(&file->map);
    lrc_buf_release(&file->unpacked);
    lrc_csv_columns_release(&file->columns);
    lrc_free(file->rows);
    *file = (struct lrc_row_file){0};
}

static enum lrc_status parse_text(json_t **row, const struct lrc_row_text *text, const char *path,
                                  struct lrc_error *err)
{
    const size_t n_valid = lrc_utf8_valid(text->bytes, text->n);
    int64_t line = text->line;
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
    const struct lrc_csv_record record = {text->bytes, text->n, text->line};
    struct lrc_error inner;
    const enum lrc_status status = lrc_csv_parse(row, &record, &file->columns, &inner);
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
    case LRC_ROW_KIND_TSV:
        return parse_record(row, file, text, err);
    case LRC_ROW_KIND_TEXT:
        return parse_text(row, text, file->path, err);
    default:
        return parse_json(row, text, file->path, err);
    }
}
