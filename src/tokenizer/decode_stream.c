/* Decoding as the ids come. The ids since the last clean cut are decoded again at every push; a clean cut is
 * where all of their text was given out, and then only the last id stays, because decoders look at what
 * stands before (a first piece's space, the space after a suffix). */
#include "base/alloc.h"
#include "tokenizer/tokenizer_parts.h"
#include <string.h>

void lrc_decode_init(struct lrc_decode_stream *stream, const struct lrc_tokenizer *tokenizer,
                     enum lrc_skip skip)
{
    *stream = (struct lrc_decode_stream){ .tokenizer = tokenizer, .skip = skip };
}

void lrc_decode_release(struct lrc_decode_stream *stream)
{
    lrc_ids_release(&stream->ids);
    stream->n_written = 0;
}

/* Bytes of text that later ids cannot change: an unfinished character is U+FFFD at the end until the rest of
 * it comes. */
static size_t stable_bytes(const struct lrc_buf *text)
{
    size_t n = text->len;
    while (n >= 3 && memcmp(text->data + n - 3, "\xEF\xBF\xBD", 3) == 0)
        n -= 3;
    return n;
}

static enum lrc_status give_out(struct lrc_decode_stream *stream, struct lrc_buf *text,
                                const struct lrc_buf *whole, size_t n, struct lrc_error *err)
{
    if (n > stream->n_written) {
        lrc_buf_append(text, whole->data + stream->n_written, n - stream->n_written);
        stream->n_written = n;
    }
    return lrc_buf_check(text, err);
}

/* Keep the last id alone, if it has text of its own. */
static enum lrc_status cut(struct lrc_decode_stream *stream, struct lrc_error *err)
{
    struct lrc_buf  alone = { 0 };
    const int32_t   last = stream->ids.data[stream->ids.len - 1];
    enum lrc_status status = lrc_tokenizer_decode(stream->tokenizer, &alone, &last, 1, stream->skip, err);
    if (status == LRC_STATUS_OK && alone.len > 0) {
        stream->ids.data[0] = last;
        stream->ids.len = 1;
        stream->n_written = alone.len;
    }
    lrc_buf_release(&alone);
    return status;
}

static int is_held(const struct lrc_tokenizer *tokenizer, int32_t id)
{
    const char *piece = lrc_tokenizer_piece(tokenizer, id);
    return tokenizer->decoder.revises ||
           (tokenizer->decoder.joins_bytes && piece && lrc_piece_byte(piece, strlen(piece)) >= 0);
}

enum lrc_status lrc_decode_push(struct lrc_decode_stream *stream, struct lrc_buf *text, int32_t id,
                                struct lrc_error *err)
{
    if (!lrc_tokenizer_piece(stream->tokenizer, id))
        return lrc_fail(err, LRC_STATUS_DATA, "token: want an id of the vocabulary (0 to %lld), got %d",
                        (long long)lrc_tokenizer_n_ids(stream->tokenizer) - 1, id);
    lrc_ids_append(&stream->ids, id);
    LRC_TRY(lrc_ids_check(&stream->ids, err));
    if (is_held(stream->tokenizer, id))
        return LRC_STATUS_OK;
    struct lrc_buf  whole = { 0 };
    enum lrc_status status =
        lrc_tokenizer_decode(stream->tokenizer, &whole, stream->ids.data, stream->ids.len, stream->skip, err);
    if (status == LRC_STATUS_OK)
        status = give_out(stream, text, &whole, stable_bytes(&whole), err);
    if (status == LRC_STATUS_OK && stream->n_written == whole.len)
        status = cut(stream, err);
    lrc_buf_release(&whole);
    return status;
}

enum lrc_status lrc_decode_finish(struct lrc_decode_stream *stream, struct lrc_buf *text,
                                  struct lrc_error *err)
{
    struct lrc_buf  whole = { 0 };
    enum lrc_status status =
        lrc_tokenizer_decode(stream->tokenizer, &whole, stream->ids.data, stream->ids.len, stream->skip, err);
    if (status == LRC_STATUS_OK)
        status = give_out(stream, text, &whole, whole.len, err);
    lrc_buf_release(&whole);
    lrc_decode_release(stream);
    return status;
}
