/* A data file cut into rows, each still text: JSONL (one object per line), one JSON array of objects, CSV or
 * TSV (one record per row), or a text (the whole file is one row). Rows come in batches; what is in memory is
 * a window of the file, as long as the longest row needs and LRC_ROW_WINDOW_BYTES at least. */
#ifndef LRC_DATA_ROW_FILE_H
#define LRC_DATA_ROW_FILE_H

#include "base/json.h"
#include "base/problems.h"
#include "data/csv.h"
#include "data/unpack.h"

enum lrc_row_kind {
    LRC_ROW_KIND_AUTO, /* by the first bytes, then by the file's name */
    LRC_ROW_KIND_JSON,
    LRC_ROW_KIND_CSV,
    LRC_ROW_KIND_TSV,
    LRC_ROW_KIND_TEXT,
    LRC_ROW_KIND_PARQUET, /* known, not read */
};

/* By the extension, .gz and .zst left off; AUTO when it says nothing. */
enum lrc_row_kind lrc_row_kind_of_name(const char *path);
/* The config's ds_type. errors: CONFIG when there is no such kind. */
enum lrc_status lrc_row_kind_find(enum lrc_row_kind *kind, const char *name,
                                  struct lrc_error *err) LRC_MUST_CHECK;

enum { LRC_ROW_WINDOW_BYTES = 8 << 20, LRC_ROW_BYTES_MAX = 1 << 30 };

struct lrc_row_text {
    const char *bytes; /* borrowed from the file, until its next batch */
    size_t      n;
    int64_t     line; /* of its first byte, from 1 */
};

/* Where the reading stands within the window. */
struct lrc_row_cursor {
    const char *at, *end;
    int64_t     line;
    int         after_comma; /* of an array */
};

struct lrc_row_file {
    const char            *path; /* for messages; "stdin" for "-". Borrowed */
    enum lrc_row_kind      kind;
    struct lrc_csv_columns columns; /* of CSV and TSV */
    struct lrc_row_text   *rows;    /* the batch that was read last */
    int64_t                n_rows, rows_cap;
    struct lrc_unpacker    unpacker;
    char                  *window; /* NULL: the caller's bytes */
    size_t                 window_bytes;
    struct lrc_row_cursor  cursor;
    int                    is_whole; /* the window reaches to the end of the file */
    int                    is_array;
    int64_t                array_line; /* of the '[' */
    int                    has_ended;
    struct lrc_problems   *problems; /* borrowed */
};

/* Open path ("-": stdin, which can be opened again); gzip and zstd are unpacked. JSON is told by its first
 * bytes under any name, an array by its '['. A UTF-8 byte order mark and blank lines are skipped.
 *
 * hash:      takes the bytes on the disk as they are read; NULL: none.
 * problems:  what is wrong between the rows, here and while batches are read: a missing bracket or comma of
 *            an array, a broken CSV header: "<path>:<line>: ...". Must live as long as file.
 * errors:    DATA for damaged packed data; UNSUPPORTED for Parquet, saying how to convert it; IO, NOMEM.
 * ownership: lrc_row_file_close(), also after an error. */
enum lrc_status lrc_row_file_open(struct lrc_row_file *file, const char *path, enum lrc_row_kind kind,
                                  struct lrc_hash *hash, struct lrc_problems *problems,
                                  struct lrc_error *err) LRC_MUST_CHECK;
void            lrc_row_file_close(struct lrc_row_file *file); /* safe on a zeroed file */

/* The next rows, at most n_max; what is inside a row is not looked at. file->n_rows 0: there are no more.
 * errors: as above; DATA for a row of more than LRC_ROW_BYTES_MAX. */
enum lrc_status lrc_row_file_next(struct lrc_row_file *file, int64_t n_max,
                                  struct lrc_error *err) LRC_MUST_CHECK;

/* All rows of bytes in memory, which must outlive file, as one batch; file is zeroed but for its kind. */
enum lrc_status lrc_row_file_scan(struct lrc_row_file *file, const char *bytes, size_t n, const char *path,
                                  struct lrc_problems *problems, struct lrc_error *err) LRC_MUST_CHECK;

/* A row of the batch as an object; of a text: {"text": ...}.
 * errors: DATA "<path>:<line>: ..." when the row is not valid JSON or not an object, a broken record, not
 * UTF-8. ownership: json_decref(). */
enum lrc_status lrc_row_file_parse(json_t **row, const struct lrc_row_file *file, int64_t index,
                                   struct lrc_error *err) LRC_MUST_CHECK;

/* row_scan.c: what comes next at the cursor. ROW: *row. PROBLEM: a sentence about what stands there, which is
 * skipped. END: the last row was the one before; with a sentence when the end is not a right one. The answer
 * holds only when the cursor stays within the window, or the window reaches to the file's end. */
enum lrc_row_step { LRC_ROW_STEP_ROW, LRC_ROW_STEP_PROBLEM, LRC_ROW_STEP_END };
struct lrc_row_found {
    enum lrc_row_step   step;
    struct lrc_row_text row;
    char                problem[128]; /* "" for none */
    int64_t             problem_line;
};
void lrc_row_scan__next(struct lrc_row_found *found, struct lrc_row_cursor *cursor,
                        const struct lrc_row_file *file);
void lrc_row_scan__skip_blank(struct lrc_row_cursor *cursor);

#endif
