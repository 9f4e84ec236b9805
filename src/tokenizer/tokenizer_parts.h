/* What a loaded tokenizer is made of, for the files that read and run it. */
#ifndef LRC_TOKENIZER_TOKENIZER_PARTS_H
#define LRC_TOKENIZER_TOKENIZER_PARTS_H

#include "base/json.h"
#include "tokenizer/added_tokens.h"
#include "tokenizer/decoder.h"
#include "tokenizer/normalizer.h"
#include "tokenizer/post_processor.h"
#include "tokenizer/pre_tokenizer.h"
#include "tokenizer/token_model.h"
#include "tokenizer/tokenizer.h"
#include <pthread.h>

/* Memory of earlier encode calls for later ones, of any thread. */
struct lrc_encode_space;
struct lrc_idle_spaces {
    pthread_mutex_t          lock;
    struct lrc_encode_space *first;
};

/* In the order text runs through them. */
struct lrc_tokenizer {
    struct lrc_added_tokens   added;
    struct lrc_normalizer     normalizer;
    struct lrc_pre_tokenizer  pre_tokenizer;
    struct lrc_token_model   *model;
    struct lrc_post_processor post_processor;
    struct lrc_decoder        decoder;
    char                     *roles[LRC_TOKEN_ROLE_COUNT]; /* NULL: not set */
    struct lrc_idle_spaces   *idle;
    int adds_ends; /* the post-processor is BOS and EOS, by add_bos_token and add_eos_token */
};

/* Readers fill an empty tokenizer; config is the parsed tokenizer_config.json or NULL. What they leave behind
 * on failure, lrc_tokenizer_free() releases. errors: FORMAT, UNSUPPORTED, NOMEM. */
enum lrc_status lrc_tokenizer_fill_json(struct lrc_tokenizer *tokenizer, const json_t *json, const char *name,
                                        struct lrc_error *err) LRC_MUST_CHECK;
enum lrc_status lrc_tokenizer_fill_sentencepiece(struct lrc_tokenizer *tokenizer, const char *bytes, size_t n,
                                                 const json_t *config, const char *name,
                                                 struct lrc_error *err) LRC_MUST_CHECK;
/* vocab.json and merges.txt, as GPT-2 and Qwen2 publish them. */
enum lrc_status lrc_tokenizer_fill_merges(struct lrc_tokenizer *tokenizer, const char *model_dir,
                                          const json_t *config, struct lrc_error *err) LRC_MUST_CHECK;

/* tekken.json. */
enum lrc_status lrc_tokenizer_fill_tekken(struct lrc_tokenizer *tokenizer, const json_t *json,
                                          const char *name, struct lrc_error *err) LRC_MUST_CHECK;

/* A rank file of tiktoken. file: its base name, which says what else belongs to it. */
enum lrc_rank_count { LRC_RANK_COUNT_ANY, LRC_RANK_COUNT_PUBLISHED };
struct lrc_rank_source {
    const char   *file, *name;
    const json_t *config;
    enum lrc_rank_count
        count; /* whether the file must have as many ranks as the published one of this name */
};
enum lrc_status lrc_tokenizer_fill_tiktoken(struct lrc_tokenizer *tokenizer, const char *bytes, size_t n,
                                            const struct lrc_rank_source *source,
                                            struct lrc_error             *err) LRC_MUST_CHECK;
int lrc_tiktoken_looks_like(const char *bytes, size_t n); /* whether they begin as a rank file does */

struct lrc_tokenizer *lrc_tokenizer_new(void); /* NULL: out of memory */

/* Roles, added tokens and the BOS and EOS switches of tokenizer_config.json (NULL: none), then the indexes.
 */
enum lrc_status lrc_tokenizer_finish(struct lrc_tokenizer *tokenizer, const json_t *config, const char *name,
                                     struct lrc_error *err) LRC_MUST_CHECK;
enum lrc_status lrc_tokenizer_set_role(struct lrc_tokenizer *tokenizer, enum lrc_token_role role,
                                       const char *text, struct lrc_error *err) LRC_MUST_CHECK;

#endif
