/* Rows are tokenized once: <dir>/<key>.h5 keeps a dataset as it came out of lrc_dataset_load().
 *
 * The key is a SHA-256 over everything that decides about the tokens: the bytes of the data files and how
 * their columns are read, the tokenizer's files, the template's text, the settings, the versions of program
 * and layout. A changed input is another key, so that no file is ever out of date; old ones may be deleted.
 *
 * A file is sealed (formats/sealed_h5.h), kind "lorica tokens 1", and holds one-dimensional datasets,
 * little-endian, chunked, shuffled and deflated:
 *
 *   /ids       int32 (n_ids)
 *   /targets   int32 (n_ids)
 *   /examples  int64 (4 n_examples): first, n_tokens, n_trained, row_id of each
 *   /rows      int64 (7 n_rows): file, fate, line, n_tokens, n_kept, n_trained, n_examples of each
 *   /tally     int64 (LRC_ROW_FATE_COUNT)
 *   /hashes    uint8 (2 x 64): the key, the dataset's hash; hex digits */
#ifndef LRC_DATA_TOKEN_CACHE_H
#define LRC_DATA_TOKEN_CACHE_H

#include "data/dataset.h"

enum lrc_cache_write {
    LRC_CACHE_WRITE_TRY, /* a cache that cannot be written is a warning */
    LRC_CACHE_WRITE_MUST,
    LRC_CACHE_WRITE_NEVER
};

struct lrc_token_cache {
    const char *dir;
    const char *model_dir; /* the tokenizer's files */
    enum lrc_cache_write write;
};

/* As lrc_dataset_load(), from the cache where it is there. A cache that is damaged or does not fit is named
 * in a warning and made anew; a read one says so in the log.
 *
 * errors:    of lrc_dataset_load(); under LRC_CACHE_WRITE_MUST also those of writing. */
enum lrc_status lrc_dataset_load_cached(struct lrc_dataset *dataset, const struct lrc_dataset_list *specs,
                                        const struct lrc_dataset_options *options,
                                        const struct lrc_token_cache *cache, struct lrc_problems *problems,
                                        struct lrc_error *err) LRC_MUST_CHECK;

/* errors: IO, NOMEM, DEVICE. */
enum lrc_status lrc_token_cache__key(char key[LRC_HASH_HEX_MAX], const struct lrc_dataset_list *specs,
                                     const struct lrc_dataset_options *options, const char *model_dir,
                                     struct lrc_error *err) LRC_MUST_CHECK;

/* All but the names of the files. errors: FORMAT for anything that is not what was written; IO, NOMEM. */
enum lrc_status lrc_token_cache__read(struct lrc_dataset *dataset, const char *path, const char *key,
                                      int64_t vocab_size, struct lrc_error *err) LRC_MUST_CHECK;

/* Written aside as <path>.<process>.tmp, which a killed process leaves behind and the next writer removes.
 * errors: IO, NOSPACE, NOMEM. */
enum lrc_status lrc_token_cache__write(const struct lrc_dataset *dataset, const char *path, const char *key,
                                       struct lrc_error *err) LRC_MUST_CHECK;

#endif
