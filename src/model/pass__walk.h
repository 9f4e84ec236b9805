/* Shared by the forward and the backward walk; nobody else includes it. */
#ifndef LRC_MODEL_PASS__WALK_H
#define LRC_MODEL_PASS__WALK_H

#include "model/pass.h"

/* One run over one batch. */
struct lrc_walk {
    struct lrc_pass                  *pass;
    const struct lrc_adapter         *adapter;
    const struct lrc_batch           *batch; /* as the feed gives it */
    const struct lrc_model_gradients *gradients;
    int64_t                           n_tokens;
};

/* Forward of one layer. AGAIN: as far as gate and up, which is all that the backward pass needs again. */
enum lrc_walk_part { LRC_WALK_WHOLE, LRC_WALK_AGAIN };
enum lrc_status lrc_walk__layer(const struct lrc_walk *walk, int64_t layer, enum lrc_walk_part part,
                                struct lrc_error *err) LRC_MUST_CHECK;

struct lrc_tensor lrc_walk__slot(const struct lrc_walk *walk, enum lrc_tape_slot slot, int64_t layer);

/* (T, H * C) as (T, H, C) */
struct lrc_tensor lrc_walk__heads(struct lrc_tensor rows, int64_t n_heads);

/* Columns between the rows of the walk's own tensors: nobody's but the linears' that read them. */
int64_t lrc_walk__room(struct lrc_tensor rows);

/* x aᵀ of one module inside the layer's U slot; data NULL without an adapter. */
struct lrc_tensor lrc_walk__u(const struct lrc_walk *walk, int64_t layer, enum lrc_module module);

struct lrc_dropout lrc_walk__dropout(const struct lrc_walk *walk, int64_t layer, enum lrc_module module);

struct lrc_attention_shape lrc_walk__attention_shape(const struct lrc_walk *walk, int64_t layer);

enum lrc_status lrc_walk__norm(const struct lrc_walk *walk, struct lrc_tensor x,
                               const struct lrc_tensor *weight, struct lrc_tensor out, float *rstd,
                               struct lrc_error *err) LRC_MUST_CHECK;
enum lrc_status lrc_walk__gated(const struct lrc_walk *walk, int64_t layer,
                                struct lrc_error *err) LRC_MUST_CHECK;

/* The whole way of a batch, in three parts: embedding and layers; the head, which takes the gradient as far
 * as the last layer's output when it is asked for; layers backward, and the embedding's gradient. */
enum lrc_walk_head { LRC_WALK_FORWARD, LRC_WALK_AND_BACK };
enum lrc_status lrc_walk__forward(const struct lrc_walk *walk, struct lrc_error *err) LRC_MUST_CHECK;
enum lrc_status lrc_walk__head(const struct lrc_walk *walk, enum lrc_walk_head way,
                               struct lrc_error *err) LRC_MUST_CHECK;
enum lrc_status lrc_walk__backward(const struct lrc_walk *walk, struct lrc_error *err) LRC_MUST_CHECK;

#endif
