/* lorica.h's session, opened with a list of problems. */
#ifndef LRC_INFER_SESSION_H
#define LRC_INFER_SESSION_H

#include "base/problems.h"

/* errors: those of reading a model, a tokenizer, an adapter; *session is NULL then.
 * ownership: lrc_session_free(). */
enum lrc_status lrc_session__open(struct lrc_session **session, const struct lrc_session_options *options,
                                  struct lrc_problems *problems, struct lrc_error *err) LRC_MUST_CHECK;

#endif
