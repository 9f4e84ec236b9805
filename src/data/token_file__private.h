/* What the writer and the reader of a token cache's files share. */
#ifndef LRC_DATA_TOKEN_FILE__PRIVATE_H
#define LRC_DATA_TOKEN_FILE__PRIVATE_H

#include "data/token_cache.h"
#include "data/token_store.h"
#include "formats/sealed_h5.h"

#define LRC_TOKEN_PART_KIND  "lorica token part 1"
#define LRC_TOKEN_INDEX_KIND "lorica tokens 2"

enum {
    LRC_TOKEN_EXAMPLE_COLUMNS = 5,
    LRC_TOKEN_ROW_COLUMNS = 7,
    LRC_TOKEN_PART_COLUMNS = 2,
    LRC_TOKEN_CHUNK_COLUMNS = 2,
    LRC_TOKEN_N_HEX = LRC_HASH_HEX_MAX - 1
};

/* One dataset of a file. Its types are looked up when HDF5 runs: they are no constants. */
enum lrc_token_array_type { LRC_TOKEN_ARRAY_INT32, LRC_TOKEN_ARRAY_INT64, LRC_TOKEN_ARRAY_BYTES };
struct lrc_token_array {
    const char               *name;
    enum lrc_token_array_type type;
    int64_t                   n;
    void                     *data;
};
hid_t  lrc_token_array__file_type(enum lrc_token_array_type type);
hid_t  lrc_token_array__memory_type(enum lrc_token_array_type type);
size_t lrc_token_array__elem_bytes(enum lrc_token_array_type type);

/* The index's datasets, in the order they are written in. */
enum {
    LRC_TOKEN_INDEX_EXAMPLES,
    LRC_TOKEN_INDEX_ROWS,
    LRC_TOKEN_INDEX_HASHES,
    LRC_TOKEN_INDEX_PARTS,
    LRC_TOKEN_INDEX_CHUNKS,
    LRC_TOKEN_INDEX_CHUNK_HASHES,
    LRC_TOKEN_N_ARRAYS
};

#endif
