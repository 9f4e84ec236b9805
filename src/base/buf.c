#include "base/buf.h"

#include "base/alloc.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static int reserve(struct lrc_buf *buf, size_t extra)
{
    if (buf->failed)
        return 0;
    if (extra > SIZE_MAX / 4 - buf->len) {
        buf->failed = 1;
        return 0;
    }
    const size_t want = buf->len + extra + 1;
    if (want <= buf->cap)
        return 1;
    size_t cap = buf->cap ? buf->cap : 64;
    while (cap < want)
        cap *= 2;
    char *data = lrc_realloc(buf->data, (int64_t)cap, 1);
    if (!data) {
        buf->failed = 1;
        return 0;
    }
    buf->data = data;
    buf->cap = cap;
    return 1;
}

void lrc_buf_append(struct lrc_buf *buf, const void *bytes, size_t n)
{
    if (!reserve(buf, n))
        return;
    if (n > 0)
        memcpy(buf->data + buf->len, bytes, n);
    buf->len += n;
    buf->data[buf->len] = '\0';
}

void lrc_buf_puts(struct lrc_buf *buf, const char *string)
{
    lrc_buf_append(buf, string, strlen(string));
}

void lrc_buf_putc(struct lrc_buf *buf, char byte)
{
    lrc_buf_append(buf, &byte, 1);
}

void lrc_buf_printf(struct lrc_buf *buf, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    const int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (n >= 0 && reserve(buf, (size_t)n)) {
        (void)vsnprintf(buf->data + buf->len, (size_t)n + 1, format, again);
        buf->len += (size_t)n;
    }
    va_end(again);
}

void lrc_buf_clear(struct lrc_buf *buf)
{
    buf->len = 0;
    if (buf->data)
        buf->data[0] = '\0';
}

void lrc_buf_release(struct lrc_buf *buf)
{
    lrc_free(buf->data);
    *buf = (struct lrc_buf){ 0 };
}

const char *lrc_buf_text(const struct lrc_buf *buf)
{
    return buf->data ? buf->data : "";
}

enum lrc_status lrc_buf_check(const struct lrc_buf *buf, struct lrc_error *err)
{
    return buf->failed ? lrc_fail_nomem(err, "text buffer") : LRC_STATUS_OK;
}
