/* Full fine-tuning: the base's own weights as trainables, and the folder they are saved to. */
#ifndef LRC_TRAIN_FULL_H
#define LRC_TRAIN_FULL_H

#include "model/pass.h"

struct lrc_full {
    struct lrc_model          *model; /* loaded with options.trainable */
    struct lrc_arena           arena;
    float                     *grads;
    int64_t                    n_elems;
    struct lrc_model_gradients gradients;
};

/* Plan, then, with the model's weights in place, commit: the gradients' memory. init is both.
 * errors: NOMEM. ownership: lrc_full_release(). */
enum lrc_status lrc_full_plan(struct lrc_full *full, struct lrc_model *model,
                              struct lrc_error *err) LRC_MUST_CHECK;
enum lrc_status lrc_full_commit(struct lrc_full *full, struct lrc_error *err) LRC_MUST_CHECK;
enum lrc_status lrc_full_init(struct lrc_full *full, struct lrc_model *model,
                              struct lrc_error *err) LRC_MUST_CHECK;
void            lrc_full_release(struct lrc_full *full);

/* Every weight once (a tied output is the embedding's row). Decay only for tensors of two or more dimensions.
 */
enum lrc_status lrc_full_trainables(struct lrc_trainables *trainables, struct lrc_full *full,
                                    struct lrc_error *err) LRC_MUST_CHECK;

/* The weights of rows, which lie in host memory, into an existing folder: safetensors in the base's own
 * sharding and element types, index, config.json, tokenizer. */
enum lrc_status lrc_full_save(struct lrc_full *full, const struct lrc_trainables *rows, const char *dir,
                              struct lrc_error *err) LRC_MUST_CHECK;

#endif
