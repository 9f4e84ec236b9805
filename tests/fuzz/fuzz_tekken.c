/* tekken.json from bytes, and a round trip through what could be read. */
#include "round_trip.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct lrc_tokenizer *tokenizer;
    struct lrc_error      err;
    if (lrc_tokenizer_read_tekken(&tokenizer, (const char *)data, size, "fuzz", &err) == LRC_STATUS_OK)
        round_trip(tokenizer);
    return 0;
}
