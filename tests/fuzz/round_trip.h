/* What every tokenizer target does with a file that could be read: texts to ids and back, at once and id by id. */
#ifndef TESTS_FUZZ_ROUND_TRIP_H
#define TESTS_FUZZ_ROUND_TRIP_H

#include "base/buf.h"
#include "tokenizer/tokenizer.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void stream_all(const struct lrc_tokenizer *tokenizer, const struct lrc_ids *ids,
                       const struct lrc_buf *whole)
{
    struct lrc_decode_stream stream;
    struct lrc_error         err;
    struct lrc_buf           text = { 0 };
    enum lrc_status          status = LRC_STATUS_OK;
    lrc_decode_init(&stream, tokenizer, LRC_SKIP_NONE);
    for (int64_t i = 0; i < ids->len && status == LRC_STATUS_OK; i++)
        status = lrc_decode_push(&stream, &text, ids->data[i], &err);
    if (status == LRC_STATUS_OK && lrc_decode_finish(&stream, &text, &err) == LRC_STATUS_OK)
        LRC_ASSERT(text.len == whole->len && strcmp(lrc_buf_text(&text), lrc_buf_text(whole)) == 0);
    lrc_decode_release(&stream);
    lrc_buf_release(&text);
}

/* Frees the tokenizer. */
static void round_trip(struct lrc_tokenizer *tokenizer)
{
    static const char *const texts[] = { "", "Hello  wörld \r\n 12345 aaaaaaaaaaaaaaaa <s>[INST]",
                                         "\xE2\x96\x81 e\xCC\x81 \xF0\x9F\x91\x8D" };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct lrc_error err;
        struct lrc_ids   ids = { 0 };
        struct lrc_buf   whole = { 0 };
        if (lrc_tokenizer_encode(tokenizer, &ids, texts[i], strlen(texts[i]), LRC_SPECIAL_NONE, &err) ==
                LRC_STATUS_OK &&
            lrc_tokenizer_decode(tokenizer, &whole, ids.data, ids.len, LRC_SKIP_NONE, &err) == LRC_STATUS_OK)
            stream_all(tokenizer, &ids, &whole);
        lrc_ids_release(&ids);
        lrc_buf_release(&whole);
    }
    lrc_tokenizer_free(tokenizer);
}

#endif
