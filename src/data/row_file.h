/* A data file cut into rows, each still text: JSONL (one object per line) or one JSON array of objects. */
#ifndef LRC_DATA_ROW_FILE_H
#define LRC_DATA_ROW_FILE_H

#include "base/file.h"
#include "base/json.h"
#include "base/problems.h"

struct lrc_row_text {
    const char *bytes; /* borrowed from the map */
    size_t      n;
    int64_t     line; /* of its first byte, from 1 */
};

struct lrc_row_file {
    struct lrc_map       map;
    struct lrc_row_text *rows;
    int64_t              n_rows;
};

/* Map path and find its rows; what is inside a row is not looked at. The first byte that is not blank tells
 * the kind: '[' an array, anything else lines. A UTF-8 byte order mark and blank lines are skipped.
 *
 * problems:  what is wrong between the rows of an array (a missing bracket or comma), "<path>:<line>: ...".
 * errors:    IO, NOMEM.
 * ownership: lrc_row_file_close(). */
enum lrc_status lrc_row_file_open(struct lrc_row_file *file, const char *path, struct lrc_problems *problems,
                                  struct lrc_error *err) LRC_MUST_CHECK;
void            lrc_row_file_close(struct lrc_row_file *file); /* safe on a zeroed file */

/* The same rows from bytes in memory, which must outlive file. */
enum lrc_status lrc_row_file_scan(struct lrc_row_file *file, const char *bytes, size_t n, const char *path,
                                  struct lrc_problems *problems, struct lrc_error *err) LRC_MUST_CHECK;

/* errors: DATA "<path>:<line>: ..." when the row is not valid JSON or not an object. ownership:
 * json_decref(). */
enum lrc_status lrc_row_parse(json_t **row, const struct lrc_row_text *text, const char *path,
                              struct lrc_error *err) LRC_MUST_CHECK;

#endif
