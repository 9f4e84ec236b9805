#include "data/row_file.h"

#include <stdio.h>
#include <string.h>

static int is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

void lrc_row_scan__skip_blank(struct lrc_row_cursor *cursor)
{
    for (; cursor->at < cursor->end && is_blank(*cursor->at); cursor->at++)
        cursor->line += *cursor->at == '\n';
}

static void found_row(struct lrc_row_found *found, const char *begin, const char *end, int64_t line)
{
    found->step = LRC_ROW_STEP_ROW;
    found->row = (struct lrc_row_text){ begin, (size_t)(end - begin), line };
}

static void next_line(struct lrc_row_found *found, struct lrc_row_cursor *cursor)
{
    lrc_row_scan__skip_blank(cursor);
    if (cursor->at == cursor->end)
        return;
    const char *begin = cursor->at;
    const char *end = memchr(begin, '\n', (size_t)(cursor->end - begin));
    cursor->at = end ? end : cursor->end;
    found_row(found, begin, cursor->at, cursor->line);
}

/* Past the quote that closes the string at the cursor, or to the end of its line: a string cannot hold one,
 * so that a missing quote spoils one row and not the rest of the file. */
static void skip_string(struct lrc_row_cursor *cursor)
{
    for (cursor->at++; cursor->at < cursor->end && *cursor->at != '\n'; cursor->at++) {
        if (*cursor->at == '"') {
            cursor->at++;
            return;
        }
        if (*cursor->at == '\\' && cursor->at + 1 < cursor->end && cursor->at[1] != '\n')
            cursor->at++;
    }
}

/* To the comma or bracket that ends the array's element at the cursor. */
static void skip_element(struct lrc_row_cursor *cursor)
{
    int64_t depth = 0;
    while (cursor->at < cursor->end) {
        const char c = *cursor->at;
        if (c == '"') {
            skip_string(cursor);
            continue;
        }
        if (depth == 0 && (c == ',' || c == ']'))
            return;
        depth += (c == '{' || c == '[') - (c == '}' || c == ']');
        depth = depth < 0 ? 0 : depth;
        cursor->line += c == '\n';
        cursor->at++;
    }
}

static void end_array(struct lrc_row_found *found, struct lrc_row_cursor *cursor,
                      const struct lrc_row_file *file)
{
    found->problem_line = cursor->line;
    if (cursor->at == cursor->end) {
        (void)snprintf(found->problem, sizeof found->problem,
                       "want ']' for the '[' of line %lld, got the end of the file",
                       (long long)file->array_line);
        return;
    }
    cursor->at++;
    lrc_row_scan__skip_blank(cursor);
    found->problem_line = cursor->line;
    if (cursor->at < cursor->end)
        (void)snprintf(found->problem, sizeof found->problem,
                       "want the end of the file after the array's ']', got more text");
}

static void next_element(struct lrc_row_found *found, struct lrc_row_cursor *cursor,
                         const struct lrc_row_file *file)
{
    lrc_row_scan__skip_blank(cursor);
    if (cursor->at == cursor->end || (*cursor->at == ']' && !cursor->after_comma)) {
        end_array(found, cursor, file);
        return;
    }
    const char   *begin = cursor->at;
    const int64_t line = cursor->line;
    skip_element(cursor);
    if (cursor->at == begin) { /* a comma, or the ']' of "[1,]" */
        found->step = LRC_ROW_STEP_PROBLEM;
        found->problem_line = line;
        (void)snprintf(found->problem, sizeof found->problem, "want an object, got '%c'", *begin);
    } else {
        found_row(found, begin, cursor->at, line);
    }
    cursor->after_comma = cursor->at < cursor->end && *cursor->at == ',';
    cursor->at += cursor->after_comma;
    lrc_row_scan__skip_blank(cursor);
}

static void next_record(struct lrc_row_found *found, struct lrc_row_cursor *cursor, char separator)
{
    struct lrc_csv_reader reader = { cursor->at, cursor->end, cursor->line, separator };
    struct lrc_csv_record record;
    if (lrc_csv_next(&record, &reader))
        found_row(found, record.bytes, record.bytes + record.n, record.line);
    cursor->at = reader.at;
    cursor->line = reader.line;
}

void lrc_row_scan__next(struct lrc_row_found *found, struct lrc_row_cursor *cursor,
                        const struct lrc_row_file *file)
{
    *found = (struct lrc_row_found){ .step = LRC_ROW_STEP_END };
    if (file->kind == LRC_ROW_KIND_CSV || file->kind == LRC_ROW_KIND_TSV) {
        next_record(found, cursor, file->kind == LRC_ROW_KIND_TSV ? '\t' : ',');
    } else if (file->kind == LRC_ROW_KIND_TEXT) {
        found_row(found, cursor->at, cursor->end, 1);
        cursor->at = cursor->end;
    } else if (file->is_array) {
        next_element(found, cursor, file);
    } else {
        next_line(found, cursor);
    }
}
