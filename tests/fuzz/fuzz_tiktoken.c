/* A rank file of tiktoken from bytes, and a round trip through what could be read. The first line is the file's name. */
#include "round_trip.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct lrc_tokenizer *tokenizer;
    struct lrc_error      err;
    const char           *bytes = (const char *)data, *stop = size ? memchr(bytes, '\n', size) : NULL;
    char                  file[64] = "";
    const size_t          n_file = stop ? (size_t)(stop - bytes) : 0;
    if (n_file >= sizeof file)
        return 0;
    if (n_file > 0)
        memcpy(file, bytes, n_file);
    const size_t skip = stop ? n_file + 1 : 0;
    if (lrc_tokenizer_read_tiktoken(&tokenizer, bytes + skip, size - skip, file, "fuzz", &err) ==
        LRC_STATUS_OK)
        round_trip(tokenizer);
    return 0;
}
