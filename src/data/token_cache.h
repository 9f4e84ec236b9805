/* Rows are tokenized once: the folder <dir>/<key>/ keeps a dataset as it came out of lrc_dataset_load().
 *
 * The key is a SHA-256 over everything that decides about the tokens: the bytes of the data files and how
 * their columns are read, the tokenizer's files, the template's text, the settings, the versions of program
 * and layout. A changed input is another key, so that no folder is ever out of date; old ones may be deleted.
 *
 * Tokens are written while rows are read, part by part; what a killed run has finished is found by the next
 * one. The index comes last: a folder with one is whole. All files are sealed (formats/sealed_h5.h) and hold
 * one-dimensional datasets, little-endian, chunked, shuffled and deflated; one without elements is left out.
 *
 *   1. part-<number>.h5, kind "lorica token part 1", about 2 M tokens each:
 *      /tokens    int32 (n_ids), chunks of 16384: id where the token is trained, else -1 - id
 *      /examples  int64 (5 n_examples): first in this part, n_tokens, n_trained, row_id, side of each
 *      /rows      int64 (7 n_rows): file, fate, line, n_tokens, n_kept, n_trained, n_examples of each
 *      /key       uint8 (64), hex digits
 *   2. index.h5, kind "lorica tokens 2":
 *      /examples, /rows of all parts one after another
 *      /hashes        uint8 (3 x 64): key; data files; tokens
 *      /parts         int64 (2 n_parts): n_ids, n_chunks
 *      /chunks        int64 (2 n_chunks): offset in the part's file, bytes
 *      /chunk_hashes  uint8 (64 n_chunks): SHA-256 of the chunk's bytes, hex digits
 *
 * A reader checks the index's seal, and of the tokens each chunk's hash when it is read; all of them at once
 * when they take at most LRC_TOKEN_VERIFY_BYTES. */
#ifndef LRC_DATA_TOKEN_CACHE_H
#define LRC_DATA_TOKEN_CACHE_H

#include "data/dataset.h"

enum { LRC_TOKEN_VERIFY_BYTES = 256 << 20 };

enum lrc_cache_write {
    LRC_CACHE_WRITE_TRY, /* a cache that cannot be written is a warning */
    LRC_CACHE_WRITE_MUST,
    LRC_CACHE_WRITE_NEVER /* what is not there is counted only: no tokens */
};

struct lrc_token_cache {
    const char          *dir;
    const char          *model_dir; /* the tokenizer's files */
    enum lrc_cache_write write;
};

/* As lrc_dataset_load(), from the cache where it is there. A cache that is damaged or does not fit is named
 * in a warning and made anew; a read one says so in the log. Two processes that want the same one wait for
 * each other.
 *
 * errors:    of lrc_dataset_load(); under LRC_CACHE_WRITE_MUST also those of writing. */
enum lrc_status lrc_dataset_load_cached(struct lrc_dataset *dataset, const struct lrc_dataset_list *specs,
                                        const struct lrc_dataset_options *options,
                                        const struct lrc_token_cache *cache, struct lrc_problems *problems,
                                        struct lrc_error *err) LRC_MUST_CHECK;

/* A finished cache <dir>/index.h5 as it is; tokens stay on the disk. errors: FORMAT, IO, NOMEM. ownership:
 * lrc_dataset_release(). */
enum lrc_status lrc_token_cache_read(struct lrc_dataset *dataset, const char *dir,
                                     struct lrc_error *err) LRC_MUST_CHECK;

/* files: SHA-256 of all data files in their order, one after another (appended to); may be NULL.
 * errors: IO, NOMEM, DEVICE. */
enum lrc_status lrc_token_cache__key(char key[LRC_HASH_HEX_MAX], struct lrc_buf *files,
                                     const struct lrc_dataset_list    *specs,
                                     const struct lrc_dataset_options *options, const char *model_dir,
                                     struct lrc_error *err) LRC_MUST_CHECK;

/* "<dir>/part-00012.h5"; NULL when out of memory. lrc_free() */
char *lrc_token_cache__part_path(const char *dir, int64_t number) LRC_MUST_CHECK;

/* errors: IO, NOSPACE, NOMEM. */
enum lrc_status lrc_token_cache__write_part(const char *path, const char *key,
                                            const struct lrc_token_part *part,
                                            struct lrc_error            *err) LRC_MUST_CHECK;
enum lrc_status lrc_token_cache__write_index(const char *path, const char *key,
                                             const struct lrc_dataset *dataset,
                                             struct lrc_error         *err) LRC_MUST_CHECK;

/* Add a part to store; part NULL: its places alone. errors: FORMAT for anything that is not what was written;
 * IO, NOMEM. ownership: lrc_token_part_release(). */
enum lrc_status lrc_token_cache__read_part(struct lrc_token_part *part, struct lrc_token_store *store,
                                           const char *path, const char *key,
                                           struct lrc_error *err) LRC_MUST_CHECK;
/* All but the names of the files; tokens stay on the disk. errors: as above. */
enum lrc_status lrc_token_cache__read_index(struct lrc_dataset *dataset, const char *path, const char *dir,
                                            const char *key, int64_t vocab_size,
                                            struct lrc_error *err) LRC_MUST_CHECK;

#endif
