/* Tokens on the screen, the trained ones marked: in colour on a terminal, else in [[...]]. */
#ifndef LRC_CLI_TOKEN_VIEW_H
#define LRC_CLI_TOKEN_VIEW_H

#include "base/buf.h"
#include "tokenizer/tokenizer.h"

struct lrc_token_view {
    const struct lrc_tokenizer *tokenizer;   /* NULL: ids are all there is */
    struct lrc_buf              out;         /* appended to; the caller's */
    const char                 *begin, *end; /* the marks */
    int                         is_open;
};

struct lrc_marked_tokens {
    const int32_t *ids;
    int64_t        n;
    int (*is_trained)(const void *flags, int64_t i);
    const void *flags;
};

/* Sets the marks. */
void lrc_token_view_init(struct lrc_token_view *view);

/* The text, control bytes made visible, and a newline at its end. */
enum lrc_status lrc_token_view_text(struct lrc_token_view *view, const struct lrc_marked_tokens *tokens,
                                    struct lrc_error *err) LRC_MUST_CHECK;
/* One token a line: "+" when trained, its id, its piece. */
void lrc_token_view_list(struct lrc_token_view *view, const struct lrc_marked_tokens *tokens);

#endif
