/* How every fallible function reports: the status codes and the error record are in lorica.h, one line of
 * LRC_STATUS_MAP each. Many mistakes at once: problems.h. */
#ifndef LRC_BASE_STATUS_H
#define LRC_BASE_STATUS_H

#include "lorica.h"

#if defined(__GNUC__)
#define LRC_PRINTF(f, a) __attribute__((format(printf, f, a)))
#else
#define LRC_PRINTF(f, a)
#endif

/* Record a failure and return its status. err may be NULL. */
enum lrc_status lrc_fail(struct lrc_error *err, enum lrc_status status, const char *format, ...)
    LRC_PRINTF(3, 4);

/* The same for a failed system call: appends ": <strerror(errno)>"; ENOSPC and EDQUOT become NOSPACE, else
 * IO. */
enum lrc_status lrc_fail_errno(struct lrc_error *err, const char *format, ...) LRC_PRINTF(2, 3);

/* Forward a failure. Only where nothing needs releasing; otherwise `goto done`. */
#define LRC_TRY(expression)                              \
    do {                                                 \
        const enum lrc_status lrc_try_ = (expression);   \
        if (lrc_try_ != LRC_STATUS_OK) return lrc_try_;  \
    } while (0)

/* Our own bugs only, in every build. A user's mistake is a status. */
#define LRC_ASSERT(expression) ((expression) ? (void)0 : lrc_assert_failed(#expression, __FILE__, __LINE__))
_Noreturn void lrc_assert_failed(const char *expression, const char *file, int line);

#endif
