/* A SentencePiece model, written as protobuf. */
#ifndef TESTS_UNIT_WRITE_SENTENCEPIECE_H
#define TESTS_UNIT_WRITE_SENTENCEPIECE_H

#include "base/buf.h"

#include <stdint.h>
#include <string.h>

static inline void put_varint(struct lrc_buf *out, uint64_t value)
{
    for (; value >= 0x80; value >>= 7)
        lrc_buf_putc(out, (char)((value & 0x7F) | 0x80));
    lrc_buf_putc(out, (char)value);
}

static inline void put_message(struct lrc_buf *out, unsigned field, const struct lrc_buf *message)
{
    put_varint(out, field << 3 | 2);
    put_varint(out, message->len);
    lrc_buf_append(out, lrc_buf_text(message), message->len);
}

static inline void put_piece(struct lrc_buf *out, const char *text, float score, unsigned type)
{
    struct lrc_buf piece = { 0 };
    put_varint(&piece, 1 << 3 | 2);
    put_varint(&piece, strlen(text));
    lrc_buf_puts(&piece, text);
    put_varint(&piece, 2 << 3 | 5);
    lrc_buf_append(&piece, &score, sizeof score);
    put_varint(&piece, 3 << 3);
    put_varint(&piece, type);
    put_message(out, 1, &piece);
    lrc_buf_release(&piece);
}

#endif
