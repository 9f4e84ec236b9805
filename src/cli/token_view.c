#include "cli/token_view.h"

#include "base/json.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void lrc_token_view_init(struct lrc_token_view *view)
{
    const char *no_colour = getenv("NO_COLOR"), *term = getenv("TERM");
    const int   is_plain = (no_colour && *no_colour) || (term && strcmp(term, "dumb") == 0);
    const int   in_colour = !is_plain && isatty(STDOUT_FILENO);
    view->begin = in_colour ? "\033[32m" : "[[";
    view->end = in_colour ? "\033[0m" : "]]";
}

static void mark(struct lrc_token_view *view, int trained)
{
    if (trained != view->is_open)
        lrc_buf_puts(&view->out, trained ? view->begin : view->end);
    view->is_open = trained;
}

/* Control bytes could steer the terminal. */
static void put_safe(struct lrc_buf *out, const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const unsigned char byte = (unsigned char)text[i];
        if ((byte < 0x20 && byte != '\n' && byte != '\t') || byte == 0x7f)
            lrc_buf_printf(out, "\\x%02x", byte);
        else
            lrc_buf_putc(out, text[i]);
    }
}

/* Bytes of a character that is not whole yet come with the token that ends it. */
static enum lrc_status put_text(struct lrc_token_view *view, const struct lrc_marked_tokens *tokens,
                                struct lrc_error *err)
{
    struct lrc_decode_stream stream;
    struct lrc_buf           text = { 0 };
    enum lrc_status          status = LRC_STATUS_OK;
    lrc_decode_init(&stream, view->tokenizer, LRC_SKIP_NONE);
    for (int64_t i = 0; i <= tokens->n && status == LRC_STATUS_OK; i++) {
        lrc_buf_clear(&text);
        status = i < tokens->n ? lrc_decode_push(&stream, &text, tokens->ids[i], err)
                               : lrc_decode_finish(&stream, &text, err);
        if (text.len == 0)
            continue;
        mark(view, tokens->is_trained(tokens->flags, i < tokens->n ? i : tokens->n - 1));
        put_safe(&view->out, text.data, text.len);
    }
    lrc_decode_release(&stream);
    lrc_buf_release(&text);
    return status;
}

enum lrc_status lrc_token_view_text(struct lrc_token_view *view, const struct lrc_marked_tokens *tokens,
                                    struct lrc_error *err)
{
    view->is_open = 0;
    if (view->tokenizer)
        LRC_TRY(put_text(view, tokens, err));
    for (int64_t i = 0; !view->tokenizer && i < tokens->n; i++) {
        lrc_buf_puts(&view->out, i > 0 ? " " : "");
        mark(view, tokens->is_trained(tokens->flags, i));
        lrc_buf_printf(&view->out, "%d", tokens->ids[i]);
    }
    mark(view, 0);
    if (view->out.len > 0 && view->out.data[view->out.len - 1] != '\n')
        lrc_buf_putc(&view->out, '\n');
    return lrc_buf_check(&view->out, err);
}

void lrc_token_view_list(struct lrc_token_view *view, const struct lrc_marked_tokens *tokens)
{
    for (int64_t i = 0; i < tokens->n; i++) {
        const char *piece = view->tokenizer ? lrc_tokenizer_piece(view->tokenizer, tokens->ids[i]) : NULL;
        lrc_buf_printf(&view->out, "%c %d", tokens->is_trained(tokens->flags, i) ? '+' : '-', tokens->ids[i]);
        if (piece) {
            lrc_buf_putc(&view->out, '\t');
            lrc_json_append_string(&view->out, piece, strlen(piece));
        }
        lrc_buf_putc(&view->out, '\n');
    }
}
