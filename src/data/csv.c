#include "data/csv.h"

#include "base/alloc.h"
#include "tokenizer/unicode.h"
#include <string.h>

static void skip_blank_lines(struct lrc_csv_reader *reader)
{
    for (; reader->at < reader->end; reader->line++) {
        const size_t n = (size_t)(reader->end - reader->at);
        if (*reader->at == '\n')
            reader->at++;
        else if (*reader->at == '\r' && (n == 1 || reader->at[1] == '\n'))
            reader->at += n == 1 ? 1 : 2;
        else
            return;
    }
}

enum state { FIELD_START, PLAIN, QUOTED, QUOTE_CLOSED };

static enum state step(enum state state, char c, char separator)
{
    if (state == QUOTED)
        return c == '"' ? QUOTE_CLOSED : QUOTED;
    if (c == '"' && state != PLAIN) /* behind a closing one: the second half of a doubled quote */
        return QUOTED;
    return c == separator ? FIELD_START : PLAIN;
}

int lrc_csv_next(struct lrc_csv_record *record, struct lrc_csv_reader *reader)
{
    skip_blank_lines(reader);
    if (reader->at == reader->end)
        return 0;
    enum state state = FIELD_START;
    const char *at = reader->at;
    *record = (struct lrc_csv_record){.bytes = at, .line = reader->line};
    for (; at < reader->end && (state == QUOTED || *at != '\n'); at++) {
        reader->line += *at == '\n';
        state = step(state, *at, reader->separator);
    }
    record->n = (size_t)(at - record->bytes);
    reader->at = at;
    if (at < reader->end) {
        reader->at++;
        reader->line++;
    }
    if (state != QUOTED && record->n > 0 && record->bytes[record->n - 1] == '\r')
        record->n--;
    return 1;
}

/* The field at *at, unquoted, in place of text; *at goes to its separator or to the end. */
static enum lrc_status read_field(struct lrc_buf *text, const char **at, const char *end, char separator,
                                  const struct lrc_csv_record *record, struct lrc_error *err)
{
    enum state state = FIELD_START;
    lrc_buf_clear(text);
    for (; *at < end && (state == QUOTED || **at != separator); (*at)++) {
        const enum state next = step(state, **at, separator);
        if (state == QUOTE_CLOSED && next != QUOTED)
            return lrc_fail(err, LRC_STATUS_DATA, "%lld: want a separator after a closing quote, got '%c'",
                            (long long)record->line, **at >= ' ' && **at <= '~' ? **at : '?');
        if (next != QUOTE_CLOSED && !(next == QUOTED && state == FIELD_START))
            lrc_buf_putc(text, **at);
        state = next;
    }
    if (state == QUOTED)
        return lrc_fail(err, LRC_STATUS_DATA,
                        "%lld: want a closing quote for a field that starts with one, got none",
                        (long long)record->line);
    const size_t n_valid = lrc_utf8_valid(lrc_buf_text(text), text->len);
    if (n_valid != text->len)
        return lrc_fail(err, LRC_STATUS_DATA, "%lld: want UTF-8, got the byte 0x%02x",
                        (long long)record->line, (unsigned char)text->data[n_valid]);
    return lrc_buf_check(text, err);
}

static enum lrc_status add_column(struct lrc_csv_columns *columns, const struct lrc_buf *name, int64_t line,
                                  struct lrc_error *err)
{
    if (memchr(lrc_buf_text(name), '\0', name->len))
        return lrc_fail(err, LRC_STATUS_DATA, "%lld: want column names without NUL, got one in column %lld",
                        (long long)line, (long long)columns->n + 1);
    for (int64_t i = 0; i < columns->n; i++)
        if (strcmp(columns->names[i], lrc_buf_text(name)) == 0)
            return lrc_fail(err, LRC_STATUS_DATA, "%lld: want every column name once, got '%.80s' again",
                            (long long)line, columns->names[i]);
    if ((columns->n & (columns->n - 1)) == 0) { /* full at powers of two */
        char **names = lrc_realloc(columns->names, columns->n ? 2 * columns->n : 1, sizeof *names);
        if (!names)
            return lrc_fail_nomem(err, "the columns of a data file");
        columns->names = names;
    }
    char *copy = lrc_strdup(lrc_buf_text(name));
    if (!copy)
        return lrc_fail_nomem(err, "the columns of a data file");
    columns->names[columns->n++] = copy;
    return LRC_STATUS_OK;
}

enum lrc_status lrc_csv_columns_read(struct lrc_csv_columns *columns, const struct lrc_csv_record *header,
                                     char separator, struct lrc_error *err)
{
    *columns = (struct lrc_csv_columns){.separator = separator};
    const char *at = header->bytes, *end = header->bytes + header->n;
    struct lrc_buf name = {0};
    enum lrc_status status;
    for (;; at++) {
        status = read_field(&name, &at, end, separator, header, err);
        if (status == LRC_STATUS_OK)
            status = add_column(columns, &name, header->line, err);
        if (status != LRC_STATUS_OK || at == end)
            break;
    }
    lrc_buf_release(&name);
    return status;
}

void lrc_csv_columns_release(struct lrc_csv_columns *columns)
{
    for (int64_t i = 0; i < columns->n; i++)
        lrc_free(columns->names[i]);
    lrc_free(columns->names);
    *columns = (struct lrc_csv_columns){0};
}

static enum lrc_status fail_count(const struct lrc_csv_record *record, const struct lrc_csv_columns *columns,
                                  int64_t n_fields, struct lrc_error *err)
{
    return lrc_fail(err, LRC_STATUS_DATA, "%lld: want %lld field%s, as in the header, got %s%lld",
                    (long long)record->line, (long long)columns->n, columns->n == 1 ? "" : "s",
                    n_fields > columns->n ? "at least " : "", (long long)n_fields);
}

enum lrc_status lrc_csv_parse(json_t **row, const struct lrc_csv_record *record,
                              const struct lrc_csv_columns *columns, struct lrc_error *err)
{
    const char *at = record->bytes, *end = record->bytes + record->n;
    struct lrc_buf text = {0};
    int64_t n_fields = 0;
    enum lrc_status status = LRC_STATUS_OK;
    *row = json_object();
    if (!*row)
        return lrc_fail_nomem(err, "a row");
    for (;; at++) {
        if (n_fields == columns->n) {
            status = fail_count(record, columns, n_fields + 1, err);
            break;
        }
        status = read_field(&text, &at, end, columns->separator, record, err);
        if (status == LRC_STATUS_OK && json_object_set_new(*row, columns->names[n_fields],
                                                           json_stringn(lrc_buf_text(&text), text.len)) != 0)
            status = lrc_fail_nomem(err, "a row");
        n_fields++;
        if (status != LRC_STATUS_OK || at == end)
            break;
    }
    if (status == LRC_STATUS_OK && n_fields < columns->n)
        status = fail_count(record, columns, n_fields, err);
    lrc_buf_release(&text);
    if (status != LRC_STATUS_OK) {
        json_decref(*row);
        *row = NULL;
    }
    return status;
}
