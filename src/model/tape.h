/* What the forward pass keeps for the backward pass: named slots per layer, each with a policy.
 *
 *   ALWAYS  one copy per layer
 *   KEEP    one copy per layer, but with gradient checkpointing one for all layers: a layer's forward pass,
 *   up
 *           to its last linear, is run again before its backward pass (Chen et al. 2016, arXiv:1604.06174)
 *   CHEAP   one copy for all layers; recomputed from kept slots by one pointwise op
 *
 * The adapters' products are ALWAYS: small, and those of the last linear would otherwise cost that linear
 * once more. In inference every slot is one copy. */
#ifndef LRC_MODEL_TAPE_H
#define LRC_MODEL_TAPE_H

#include "base/arena.h"
#include "model/model.h"

enum lrc_tape_policy { LRC_TAPE_ALWAYS, LRC_TAPE_KEEP, LRC_TAPE_CHEAP };
/* INPUT: an activation that linears read, with room for them behind each row (lrc_linear_room()). */
enum lrc_tape_type { LRC_TAPE_ACTIVATION, LRC_TAPE_INPUT, LRC_TAPE_F32 };

/* name, policy, element type, columns: an expression of c (the model's configuration) and ranks (the sum of a
 * layer's) */
#define LRC_TAPE_SLOT_MAP(XX)                                                                                \
    XX(X, "layer input", ALWAYS, ACTIVATION, c->hidden_size)                                                 \
    XX(RSTD_1, "norm 1 statistics", KEEP, F32, 1)                                                            \
    XX(NORM_1, "norm 1", CHEAP, INPUT, c->hidden_size)                                                       \
    XX(Q, "queries", KEEP, ACTIVATION, c->n_heads * c->head_dim)                                             \
    XX(K, "keys", KEEP, ACTIVATION, c->n_kv_heads * c->head_dim)                                             \
    XX(V, "values", KEEP, ACTIVATION, c->n_kv_heads * c->head_dim)                                           \
    XX(LSE, "attention lse", KEEP, F32, c->n_heads)                                                          \
    XX(ATT, "attention output", KEEP, INPUT, c->n_heads * c->head_dim)                                       \
    XX(MID, "middle residual", KEEP, ACTIVATION, c->hidden_size)                                             \
    XX(RSTD_2, "norm 2 statistics", KEEP, F32, 1)                                                            \
    XX(NORM_2, "norm 2", CHEAP, INPUT, c->hidden_size)                                                       \
    XX(GATE, "gate", KEEP, ACTIVATION, c->intermediate_size)                                                 \
    XX(UP, "up", KEEP, ACTIVATION, c->intermediate_size)                                                     \
    XX(ACT, "gated activation", CHEAP, INPUT, c->intermediate_size)                                          \
    XX(U, "adapter products", ALWAYS, F32, ranks)

enum lrc_tape_slot {
#define XX(slot, name, policy, type, cols) LRC_TAPE_##slot,
    LRC_TAPE_SLOT_MAP(XX)
#undef XX
        LRC_TAPE_SLOT_COUNT
};

/* Copies of the layer input with activation offloading (offload.h): the layer's, the next one's, and one on
 * its way. */
enum { LRC_TAPE_RING = 3 };

enum lrc_tape_use { LRC_TAPE_INFERENCE, LRC_TAPE_TRAINING, LRC_TAPE_CHECKPOINTING };

struct lrc_tape_options {
    int64_t           n_tokens; /* most of a batch */
    int64_t           rank_sum; /* of a layer's adapters */
    int64_t           room;     /* columns behind each row of an input */
    enum lrc_dtype    activation;
    enum lrc_tape_use use;
    int               offloads; /* of layer inputs LRC_TAPE_RING alone, the others are elsewhere */
};

struct lrc_tape {
    unsigned char *memory[LRC_TAPE_SLOT_COUNT];
    int64_t        cols[LRC_TAPE_SLOT_COUNT], stride[LRC_TAPE_SLOT_COUNT];
    enum lrc_dtype dtype[LRC_TAPE_SLOT_COUNT];
    int64_t        n_copies[LRC_TAPE_SLOT_COUNT]; /* layer l has number l mod n_copies */
    int64_t        n_tokens_max;
};

/* Plan one region per slot. Layer inputs have one copy more than there are layers, the input of the final
 * norm. */
enum lrc_status lrc_tape_plan(struct lrc_tape *tape, struct lrc_arena *arena,
                              const struct lrc_model_config *config, const struct lrc_tape_options *options,
                              struct lrc_error *err) LRC_MUST_CHECK;

/* View (n_tokens, columns) of a slot. */
struct lrc_tensor lrc_tape_get(const struct lrc_tape *tape, enum lrc_tape_slot slot, int64_t layer,
                               int64_t n_tokens);

#endif
