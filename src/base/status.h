/* Status codes and the error record: how every fallible function reports. */
#ifndef LRC_BASE_STATUS_H
#define LRC_BASE_STATUS_H

/* name, message, process exit code. One line adds a code everywhere. */
#define LRC_STATUS_MAP(XX)                                   \
    XX(OK,          "ok",                                 0) \
    XX(USAGE,       "bad command line",                   2) \
    XX(CONFIG,      "bad configuration",                  2) \
    XX(DATA,        "bad data row",                       2) \
    XX(NOMEM,       "does not fit in memory",             3) \
    XX(NOSPACE,     "does not fit on disk",               3) \
    XX(FORMAT,      "malformed file",                     4) \
    XX(UNSUPPORTED, "unsupported file",                   4) \
    XX(SHAPE,       "tensor shape or dtype mismatch",     1) \
    XX(IO,          "input/output error",                 1) \
    XX(DEVICE,      "device or library error",            1) \
    XX(NUMERIC,     "non-finite or out-of-range value",   1) \
    XX(INTERRUPTED, "interrupted",                      130) \
    XX(TERMINATED,  "terminated",                       143)

enum lrc_status {
#define XX(name, text, exit_code) LRC_STATUS_##name,
    LRC_STATUS_MAP(XX)
#undef XX
};

enum { LRC_ERROR_MESSAGE_MAX = 1024 };

struct lrc_error {
    enum lrc_status status;
    /* complete sentence, printable as is; many at once: problems.h */
    char            message[LRC_ERROR_MESSAGE_MAX];
};

#if defined(__GNUC__)
#define LRC_MUST_CHECK __attribute__((warn_unused_result))
#define LRC_PRINTF(f, a) __attribute__((format(printf, f, a)))
#else
#define LRC_MUST_CHECK
#define LRC_PRINTF(f, a)
#endif

/* Record a failure and return its status. err may be NULL. */
enum lrc_status lrc_fail(struct lrc_error *err, enum lrc_status status, const char *format, ...)
    LRC_PRINTF(3, 4);

/* The same for a failed system call: appends ": <strerror(errno)>"; ENOSPC and EDQUOT become NOSPACE, else
 * IO. */
enum lrc_status lrc_fail_errno(struct lrc_error *err, const char *format, ...) LRC_PRINTF(2, 3);

const char *lrc_status_text(enum lrc_status status);
int         lrc_status_exit_code(enum lrc_status status);

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
