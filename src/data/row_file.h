/* A data file cut into rows, each still text: JSONL (one object per line), one JSON array of objects, CSV or
 * TSV (one record per row), or a text (the whole file is one row). */
#ifndef LRC_DATA_ROW_FILE_H
#define LRC_DATA_ROW_FILE_H

#include "base/file.h"
#include "base/json.h"
#include "base/problems.h"
#include "data/csv.h"

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

struct lrc_row_text {
    const char *bytes; /* borrowed from the file */
    size_t n;
    int64_t line; /* of its first byte, from 1 */
};

struct lrc_row_file {
    const char *path;   /* for messages; "stdin" for "-". Borrowed */
    struct lrc_map map; /* the bytes on disk, packed ones as they are */
    struct lrc_buf unpacked;
    enum lrc_row_kind kind;
    struct lrc_csv_columns columns; /* of CSV and TSV */
    struct lrc_row_text *rows;
    int64_t n_rows;
};

/* Map path ("-": stdin, which can be opened again), unpack gzip and zstd, and find the rows; what is inside a
 * row is not looked at. JSON is told by its first bytes under any name, an array by its '['. A UTF-8 byte
 * order mark and blank lines are skipped.
 *
 * problems:  what is wrong between the rows: a missing bracket or comma of an array, a broken CSV header:
 *            "<path>:<line>: ...".
 * errors:    DATA for damaged packed data; UNSUPPORTED for Parquet, saying how to convert it; IO, NOMEM.
 * ownership: lrc_row_file_close(). */
enum lrc_status lrc_row_file_open(struct lrc_row_file *file, const char *path, enum lrc_row_kind kind,
                                  struct lrc_problems *problems, struct lrc_error *err) LRC_MUST_CHECK;
void lrc_row_file_close(struct lrc_row_file *file); /* safe on a zeroed file */

/* The same from bytes in memory, which must outlive file; file is zeroed but for its kind. */
enum lrc_status lrc_row_file_scan(struct lrc_row_file *file, const char *bytes, size_t n, const char *path,
                                  struct lrc_problems *problems, struct lrc_error *err) LRC_MUST_CHECK;

/* The row as an object; of a text: {"text": ...}.
 * errors: DATA "<path>:<line>: ..." when the row is not valid JSON or not an object, a broken record, not
 * UTF-8. ownership: json_decref(). */
enum lrc_status lrc_row_file_parse(json_t **row, const struct lrc_row_file *file, int64_t index,
                                   struct lrc_error *err) LRC_MUST_CHECK;

#endif
