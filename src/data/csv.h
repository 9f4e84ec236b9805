/* Comma- and tab-separated values: a header of column names, then one record per row.
 *
 * 1. record:  fields with the separator between them, ended by LF, CRLF or the end of the text
 * 2. field:   bytes without separator and newline; or '"', any bytes with every '"' doubled, '"'
 * 3. a quote inside an unquoted field stands for itself; a line with nothing on it is no record
 *
 * source: RFC 4180 */
#ifndef LRC_DATA_CSV_H
#define LRC_DATA_CSV_H

#include "base/buf.h"
#include "base/json.h"
#include "base/status.h"
#include <stddef.h>
#include <stdint.h>

struct lrc_csv_record {
    const char *bytes; /* without the newline that ends it; borrowed */
    size_t n;
    int64_t line; /* of its first byte, from 1 */
};

struct lrc_csv_reader {
    const char *at, *end;
    int64_t line; /* of at */
    char separator;
};

/* 0 at the end of the text. */
int lrc_csv_next(struct lrc_csv_record *record, struct lrc_csv_reader *reader);

struct lrc_csv_columns {
    char **names;
    int64_t n;
    char separator;
};

/* errors: DATA "<line>: ..." for a broken field, a repeated name, bytes that are not UTF-8; NOMEM.
 * ownership: lrc_csv_columns_release(), also after an error. */
enum lrc_status lrc_csv_columns_read(struct lrc_csv_columns *columns, const struct lrc_csv_record *header,
                                     char separator, struct lrc_error *err) LRC_MUST_CHECK;
void lrc_csv_columns_release(struct lrc_csv_columns *columns);

/* The record as an object of strings: {"column": "field", ...}.
 * errors: DATA as above, and where the number of fields is not that of the columns; NOMEM. ownership:
 * json_decref(). */
enum lrc_status lrc_csv_parse(json_t **row, const struct lrc_csv_record *record,
                              const struct lrc_csv_columns *columns, struct lrc_error *err) LRC_MUST_CHECK;

#endif
