/* Files: read-only maps, and outputs that appear complete or not at all. */
#ifndef LRC_BASE_FILE_H
#define LRC_BASE_FILE_H

#include "base/buf.h"
#include "base/status.h"
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* A whole file mapped read-only. An empty file has size 0 and data "". */
struct lrc_map {
    const unsigned char *data;
    size_t               size_bytes;
};

/* errors: IO. ownership: lrc_map_close(). */
enum lrc_status lrc_map_open(struct lrc_map *map, const char *path, struct lrc_error *err) LRC_MUST_CHECK;
void            lrc_map_close(struct lrc_map *map); /* safe on a zeroed map */

/* Part of a map that is not read any more: its pages no longer count as this process's memory (they may be
 * read again). */
void lrc_map_drop(const void *data, size_t size_bytes);

/* Whole file into buf (appended). errors: IO, NOMEM. */
enum lrc_status lrc_file_read(struct lrc_buf *buf, const char *path, struct lrc_error *err) LRC_MUST_CHECK;

/* A file written aside as <path>.tmp: lrc_out_commit() flushes, fsyncs, renames it to path and fsyncs the
 * folder; lrc_out_abort() removes it. After either, out is { 0 }; abort on { 0 } does nothing, so `done:` may
 * always call it. */
struct lrc_out {
    FILE *stream;
    char *path;
    char *path_aside;
};
enum lrc_status lrc_out_open(struct lrc_out *out, const char *path, struct lrc_error *err) LRC_MUST_CHECK;
enum lrc_status lrc_out_write(struct lrc_out *out, const void *bytes, size_t n,
                              struct lrc_error *err) LRC_MUST_CHECK;
/* At a place behind what lrc_out_write() wrote; by several threads at once, if they like. */
enum lrc_status lrc_out_write_at(struct lrc_out *out, size_t at, const void *bytes, size_t n,
                                 struct lrc_error *err) LRC_MUST_CHECK;
/* The system begins to store a range, so that the commit has less to wait for. Only advice. */
void            lrc_out_begin_sync(struct lrc_out *out, size_t at, size_t n);
enum lrc_status lrc_out_commit(struct lrc_out *out, struct lrc_error *err) LRC_MUST_CHECK;
void            lrc_out_abort(struct lrc_out *out);

/* Open, write, commit in one. */
enum lrc_status lrc_file_write(const char *path, const void *bytes, size_t n,
                               struct lrc_error *err) LRC_MUST_CHECK;

/* Copy of a file, written as above. */
enum lrc_status lrc_file_copy(const char *to, const char *from, struct lrc_error *err) LRC_MUST_CHECK;

/* fsync a file or a folder */
enum lrc_status lrc_file_sync(const char *path, struct lrc_error *err) LRC_MUST_CHECK;

int lrc_path_exists(const char *path);
int lrc_path_is_dir(const char *path);

/* "dir/name"; name alone when it is absolute or dir is empty. NULL when out of memory. lrc_free(). */
char *lrc_path_join(const char *dir, const char *name) LRC_MUST_CHECK;
/* folder part; "." when there is none. lrc_free() */
char       *lrc_path_dir(const char *path) LRC_MUST_CHECK;
const char *lrc_path_base(const char *path); /* after the last '/' */
/* realpath; joined to the working folder when absent. lrc_free() */
char *lrc_path_absolute(const char *path) LRC_MUST_CHECK;

/* An advisory lock that holds until *fd is closed or the process ends; *fd is -1 only after an error.
 * errors: CONFIG when another holds it; IO. */
enum lrc_status lrc_dir_lock(int *fd, const char *path, struct lrc_error *err) LRC_MUST_CHECK;

/* with parents; fine when there */
enum lrc_status lrc_dir_make(const char *path, struct lrc_error *err) LRC_MUST_CHECK;
/* with all it holds; fine when absent */
enum lrc_status lrc_dir_remove(const char *path, struct lrc_error *err) LRC_MUST_CHECK;

/* Names in a folder without "." and "..", sorted bytewise. Each and the array: lrc_free(). */
enum lrc_status lrc_dir_list(const char *path, char ***names, int64_t *n_names,
                             struct lrc_error *err) LRC_MUST_CHECK;
void            lrc_dir_list_free(char **names, int64_t n_names);

#endif
