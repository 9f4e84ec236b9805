/* Two lines of `lorica bench --json` side by side. */
#ifndef LRC_CLI_BENCH_COMPARE_H
#define LRC_CLI_BENCH_COMPARE_H

#include "base/buf.h"
#include "base/status.h"

/* `now` is a line just made; `then` the lines of an earlier file, called `name` in errors. The last line of
 * the same mode, shape, batch, seq, rank, targets and ckpt is compared: a text is appended to out.
 *
 * errors: FORMAT for a line that is not JSON, no such line, or one without its figures; NOMEM. */
enum lrc_status lrc_bench_compare(struct lrc_buf *out, const char *now, const char *then, size_t n_then,
                                  const char *name, struct lrc_error *err) LRC_MUST_CHECK;

#endif
