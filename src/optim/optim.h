/* What is trained, and how it is updated. */
#ifndef LRC_OPTIM_OPTIM_H
#define LRC_OPTIM_OPTIM_H

#include "backend.h"
#include "base/arena.h"
#include "optim/optimizer.h"
#include "optim/schedule.h"
#include "tensor/tensor.h"

/* The one table of trainables: adapters, and in full fine-tuning the base's weights. It feeds the optimizer,
 * clipping and the checkpoint; every row is float32 and contiguous. */
struct lrc_trainable {
    char              name[192]; /* as in the output file */
    struct lrc_tensor value;
    struct lrc_tensor grad;
    int               decays;    /* weight decay applies */
    struct lrc_tensor state[LRC_OPTIMIZER_STATES_MAX];
};

struct lrc_trainables {
    struct lrc_trainable *rows;
    struct lrc_tensor    *grads; /* (n): the gradients alone, for clipping */
    int64_t               n;
    int64_t               n_elems;
    void                 *grad_memory; /* all gradients lie in this block, so that one call zeroes them */
    size_t                grad_bytes;
};

struct lrc_optimizer_options {
    const struct lrc_optimizer *type;
    double                      beta1, beta2, eps, weight_decay;
};

/* Plan one region per state of the optimizer over the n_elems of all rows; after the arena's commit,
 * lrc_optimizer_bind() points the rows at it. */
struct lrc_optimizer_memory {
    float *state[LRC_OPTIMIZER_STATES_MAX];
};
enum lrc_status lrc_optimizer_plan(struct lrc_optimizer_memory *memory, struct lrc_arena *arena,
                                   int64_t n_elems, const struct lrc_optimizer *type,
                                   struct lrc_error *err) LRC_MUST_CHECK;
void lrc_optimizer_bind(const struct lrc_optimizer_memory *memory, struct lrc_trainables *trainables,
                        const struct lrc_optimizer *type);

#endif
