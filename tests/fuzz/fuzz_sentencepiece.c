/* tokenizer.model (a SentencePiece protobuf) from bytes, and a round trip through what could be read. */
#include "base/buf.h"
#include "tokenizer/tokenizer.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char
        text[] = "  the  Hello w\xC3\xB6rld <s> \xE2\x96\x81\xE2\x96\x81 aaaaaaaaaaaaaaaa \xF0\x9F\x91\x8D ";
    struct lrc_tokenizer *tokenizer;
    struct lrc_error      err;
    struct lrc_ids        ids = { 0 };
    struct lrc_buf        whole = { 0 };
    if (lrc_tokenizer_read_sentencepiece(&tokenizer, (const char *)data, size, "fuzz", &err) != LRC_STATUS_OK)
        return 0;
    if (lrc_tokenizer_encode(tokenizer, &ids, text, sizeof text - 1, LRC_SPECIAL_ADD, &err) == LRC_STATUS_OK)
        (void)!lrc_tokenizer_decode(tokenizer, &whole, ids.data, ids.len, LRC_SKIP_SPECIAL, &err);
    lrc_ids_release(&ids);
    lrc_buf_release(&whole);
    lrc_tokenizer_free(tokenizer);
    return 0;
}
