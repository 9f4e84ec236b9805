/* Many mistakes, shown together: config keys, data rows, tensors of a model file.
 *
 * A reader that can go on after a mistake adds one sentence per mistake and fails once, at the end:
 *
 *   lrc_problems_add(problems, "%s:%d: unknown key '%s'", path, line, key);
 *   ...
 *   return lrc_problems_fail(problems, LRC_STATUS_CONFIG, path, err);
 *
 * The command line prints every line of problems->text, then the error. */
#ifndef LRC_BASE_PROBLEMS_H
#define LRC_BASE_PROBLEMS_H

#include "base/buf.h"
#include "base/status.h"

enum { LRC_PROBLEMS_SHOWN_MAX = 50 };

struct lrc_problems {
    struct lrc_buf text; /* one sentence per line; the first LRC_PROBLEMS_SHOWN_MAX of them */
    int            count; /* all of them */
};

void lrc_problems_add(struct lrc_problems *problems, const char *format, ...) LRC_PRINTF(2, 3);

/* OK when there are none; otherwise status with "<subject>: <count> problem(s)". */
enum lrc_status lrc_problems_fail(const struct lrc_problems *problems, enum lrc_status status,
                                  const char *subject, struct lrc_error *err) LRC_MUST_CHECK;

void lrc_problems_release(struct lrc_problems *problems);

#endif
