/* A Hugging Face model folder: config.json and one safetensors file or a sharded set with its index. */
#ifndef LRC_FORMATS_MODEL_DIR_H
#define LRC_FORMATS_MODEL_DIR_H

#include "base/hash.h"
#include "base/problems.h"
#include "formats/safetensors.h"

struct lrc_model_dir_tensor {
    const struct lrc_safetensors_entry *entry;
    int                                 shard;
};

struct lrc_model_dir {
    char                        *path;
    json_t                      *config;     /* config.json */
    json_t                      *generation; /* generation_config.json; NULL when absent */
    struct lrc_safetensors      *shards;
    char                       **shard_names; /* file names */
    int                          n_shards;
    struct lrc_model_dir_tensor *tensors; /* of all shards, sorted by name */
    int64_t                      n_tensors;
};

/* The folder is there, whatever is in it; what the message says instead of "no such file" where it is not.
 * errors: IO when nothing is there, UNSUPPORTED for a file. */
enum lrc_status lrc_model_dir_check(const char *path, struct lrc_error *err) LRC_MUST_CHECK;

/* Opens everything; checks that each tensor of the index is in its shard and in no other.
 *
 * problems:  missing shards, tensors of the index that are not there, tensors twice.
 * errors:    IO, FORMAT, NOMEM. ownership: lrc_model_dir_close(). */
enum lrc_status lrc_model_dir_open(struct lrc_model_dir *dir, const char *path, struct lrc_problems *problems,
                                   struct lrc_error *err) LRC_MUST_CHECK;
void            lrc_model_dir_close(struct lrc_model_dir *dir);

/* NULL: absent; the index is into dir->tensors, -1: absent */
const struct lrc_safetensors_entry *lrc_model_dir_find(const struct lrc_model_dir *dir, const char *name);
int64_t                             lrc_model_dir_index(const struct lrc_model_dir *dir, const char *name);

/* SHA-256 of the weights: over all tensors in order of name: name, NUL, dtype name, NUL, each dimension as
 * u64 LE, data. It does not depend on sharding. */
enum lrc_hash_pages {
    LRC_HASH_KEEPS_PAGES,
    /* the weights' pages leave this process's memory as they are done; others may read on */
    LRC_HASH_DROPS_PAGES
};
enum lrc_status lrc_model_dir_hash(char hex[LRC_HASH_HEX_MAX], const struct lrc_model_dir *dir,
                                   enum lrc_hash_pages pages, struct lrc_error *err) LRC_MUST_CHECK;

/* Where a model's chat templates beside the default one lie: <name>.jinja. */
#define LRC_TEMPLATES_DIR "additional_chat_templates"

/* Copy all files that are neither weights nor their index nor config.json (tokenizer files, templates,
 * generation_config.json, licence) to another folder. */
enum lrc_status lrc_model_dir_copy_rest(const struct lrc_model_dir *dir, const char *to,
                                        struct lrc_error *err) LRC_MUST_CHECK;
/* That, and config.json and the index, where they are there, as the caller writes them. */
typedef enum lrc_status lrc_model_dir_writer(void *context, const char *from, const char *to,
                                             struct lrc_error *err);
enum lrc_status lrc_model_dir_write_rest(const struct lrc_model_dir *dir, const char *to,
                                         lrc_model_dir_writer *config, lrc_model_dir_writer *index,
                                         void *context, struct lrc_error *err) LRC_MUST_CHECK;
/* Only the tokenizer's files and chat templates. */
enum lrc_status lrc_model_dir_copy_tokenizer(const char *from, const char *to,
                                             struct lrc_error *err) LRC_MUST_CHECK;

#endif
