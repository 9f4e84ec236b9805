/* A growable run of bytes, always NUL-terminated. Failure is sticky, so that a long build-up is checked once.
 *
 *   struct lrc_buf text = { 0 };
 *   lrc_buf_printf(&text, "%d rows", n);
 *   LRC_TRY(lrc_buf_check(&text, err));
 *   ... text.data, text.len ...
 *   lrc_buf_release(&text); */
#ifndef LRC_BASE_BUF_H
#define LRC_BASE_BUF_H

#include "base/status.h"
#include <stddef.h>

struct lrc_buf {
    char  *data; /* NULL until the first append; then data[len] == 0 */
    size_t len;
    size_t cap;
    int    failed;
};

void lrc_buf_append(struct lrc_buf *buf, const void *bytes, size_t n);
void lrc_buf_puts(struct lrc_buf *buf, const char *string);
void lrc_buf_putc(struct lrc_buf *buf, char byte);
void lrc_buf_printf(struct lrc_buf *buf, const char *format, ...) LRC_PRINTF(2, 3);
void lrc_buf_clear(struct lrc_buf *buf);   /* len = 0, memory kept */
void lrc_buf_release(struct lrc_buf *buf); /* back to { 0 } */

/* The content as a string, "" when nothing was appended. */
const char *lrc_buf_text(const struct lrc_buf *buf);

/* NOMEM when any append since the start failed. */
enum lrc_status lrc_buf_check(const struct lrc_buf *buf, struct lrc_error *err) LRC_MUST_CHECK;

#endif
