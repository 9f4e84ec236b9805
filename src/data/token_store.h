/* Tokens on the disk, read example by example from any thread, in bounded memory.
 *
 * The tokens of a dataset lie in part files (token_cache.h), in chunks of LRC_TOKEN_CHUNK_TOKENS that are
 * compressed one by one. A chunk's place and SHA-256 are known before it is read, its bytes go through no
 * library that trusts them, and what was read last stays in memory up to LRC_TOKEN_STORE_BYTES.
 *
 * A token is stored as its id where it is trained, else as -1 - id. A chunk holds int32 numbers,
 * little-endian, their bytes shuffled (first all lowest bytes, then the next ...) and deflated: HDF5's
 * filters "shuffle" and "deflate". */
#ifndef LRC_DATA_TOKEN_STORE_H
#define LRC_DATA_TOKEN_STORE_H

#include "data/dataset.h"

enum {
    LRC_TOKEN_CHUNK_TOKENS = 1 << 14,
    LRC_TOKEN_CHUNK_BYTES = 4 * LRC_TOKEN_CHUNK_TOKENS, /* unpacked */
    LRC_TOKEN_STORE_BYTES = 64 << 20,
};

struct lrc_token_chunk {
    int64_t offset; /* in the file */
    int64_t n_bytes;
    char    hash[LRC_HASH_HEX_MAX];
};

struct lrc_token_store_part {
    char   *path;
    int64_t n_ids, n_chunks;
};

/* A store without parts. ids below vocab_size are right (0: all). ownership: lrc_token_store_close(). */
enum lrc_status lrc_token_store_new(struct lrc_token_store **store, int64_t vocab_size,
                                    struct lrc_error *err) LRC_MUST_CHECK;
void            lrc_token_store_close(struct lrc_token_store *store);

/* The next n_ids tokens lie in path. Not while another thread reads. errors: NOMEM. */
enum lrc_status lrc_token_store_add(struct lrc_token_store *store, const char *path, int64_t n_ids,
                                    const struct lrc_token_chunk *chunks, int64_t n_chunks,
                                    struct lrc_error *err) LRC_MUST_CHECK;

/* All parts from this number on are as if they had not been added. */
void lrc_token_store_forget(struct lrc_token_store *store, int64_t n_parts);

/* errors: IO; FORMAT when a chunk is not what was written, or example not what the tokens say. */
enum lrc_status lrc_token_store_read(struct lrc_token_store *store, const struct lrc_example *example,
                                     int32_t *ids, int32_t *targets, struct lrc_error *err) LRC_MUST_CHECK;

/* All chunks against their hashes. errors: as above. */
enum lrc_status lrc_token_store_verify(struct lrc_token_store *store, struct lrc_error *err) LRC_MUST_CHECK;

int64_t lrc_token_store_n_ids(const struct lrc_token_store *store);
int64_t lrc_token_store_disk_bytes(const struct lrc_token_store *store); /* of all chunks */
const struct lrc_token_store_part *lrc_token_store_parts(const struct lrc_token_store *store,
                                                         int64_t                      *n_parts);
const struct lrc_token_chunk *lrc_token_store_chunks(const struct lrc_token_store *store, int64_t *n_chunks);

/* out[0, bytes) of LRC_TOKEN_CHUNK_TOKENS values; out_bytes_max at least LRC_TOKEN_PACKED_BYTES_MAX. */
enum { LRC_TOKEN_PACKED_BYTES_MAX = LRC_TOKEN_CHUNK_BYTES + LRC_TOKEN_CHUNK_BYTES / 64 + 64 };
enum lrc_status lrc_token_chunk_pack(unsigned char *out, size_t *n_out, const int32_t *values,
                                     struct lrc_error *err) LRC_MUST_CHECK;

#endif
