/* A folder that appears complete or not at all: it is made as <path>.tmp, and renamed when all is in it. */
#ifndef LRC_BASE_OUT_DIR_H
#define LRC_BASE_OUT_DIR_H

#include "base/status.h"
#include <stdint.h>

struct lrc_out_dir {
    char *path;  /* without trailing slashes */
    char *aside; /* "<path>.tmp": what is written until all is done */
};

/* The names; nothing is made yet. errors: USAGE when something is there, other than an empty folder; IO;
 * NOMEM. ownership: lrc_out_dir_release(), also after a failure. */
enum lrc_status lrc_out_dir_choose(struct lrc_out_dir *dir, const char *path,
                                   struct lrc_error *err) LRC_MUST_CHECK;
/* Its disk has room for need_bytes, and for tokenizer files and the like. errors: NOSPACE, IO. */
enum lrc_status lrc_out_dir_check_disk(const struct lrc_out_dir *dir, uint64_t need_bytes,
                                       struct lrc_error *err) LRC_MUST_CHECK;
/* The folder aside, new. */
enum lrc_status lrc_out_dir_make(struct lrc_out_dir *dir, struct lrc_error *err) LRC_MUST_CHECK;
/* status so far: when it is OK the folder is synced and renamed to its path. What fails, now or before, is
 * returned, and the folder aside removed. */
enum lrc_status lrc_out_dir_end(struct lrc_out_dir *dir, enum lrc_status status,
                                struct lrc_error *err) LRC_MUST_CHECK;
void            lrc_out_dir_release(struct lrc_out_dir *dir);

#endif
