/* What the forward pass keeps for the backward pass: named slots per layer, each with a policy.
 *
 *   ALWAYS  one copy per layer
 *   KEEP    one copy per layer, but with gradient checkpointing one for all layers: a layer's forward pass,
 *           as far as gate and up, is run again before its backward (Chen et al. 2016, arXiv:1604.06174)
 *   CHEAP   one copy for all layers; recomputed from kept slots by one pointwise op just before it is read
 *
 * Down's product with its adapter is ALWAYS: it would otherwise cost that linear once more. In inference
 * every slot is one copy. A single copy lives in some phases of the walk only, and shares memory with what
 * lives in others. */
#ifndef LRC_MODEL_TAPE_H
#define LRC_MODEL_TAPE_H

#include "base/arena.h"
#include "model/model.h"

enum lrc_tape_policy { LRC_TAPE_ALWAYS, LRC_TAPE_KEEP, LRC_TAPE_CHEAP };
/* INPUT: an activation that linears read, with room for them behind each row (lrc_linear_room()). */
enum lrc_tape_type { LRC_TAPE_ACTIVATION, LRC_TAPE_INPUT, LRC_TAPE_F32 };

/* Ranks of a layer's adapters, each the largest of all layers: of any linear, of all before down together, of
 * down. All 0: no adapter. */
struct lrc_tape_ranks {
    int64_t any, before_down, down;
};

/* Phases of the walk. A layer's backward pass comes in four, after the layer is made again. */
enum lrc_phase {
    LRC_PHASE_ATTENTION, /* forward: from the first norm to the middle residual */
    LRC_PHASE_UP,        /* second norm, gate and up */
    LRC_PHASE_DOWN,
    LRC_PHASE_HEAD, /* and back to the last layer's output */
    LRC_PHASE_AGAIN_ATTENTION,
    LRC_PHASE_AGAIN_UP,
    LRC_PHASE_BACK_DOWN,      /* through down and the gate's product */
    LRC_PHASE_BACK_UP,        /* through gate, up and the second norm */
    LRC_PHASE_BACK_ATTENTION, /* through o and attention */
    LRC_PHASE_BACK_QKV        /* through q, k, v and the first norm */
};
#define LRC_PHASES(first, last) ((2u << LRC_PHASE_##last) - (1u << LRC_PHASE_##first))
#define LRC_PHASE(phase)        LRC_PHASES(phase, phase)

/* name, policy, element type, columns: an expression of c (the model's configuration) and ranks; phases of a
 * single copy: [first, last] forward, then backward, from where it is made again */
#define LRC_TAPE_SLOT_MAP(XX)                                                                                \
    XX(X, "layer input", ALWAYS, ACTIVATION, c->hidden_size, LRC_ARENA_ALL_PHASES)                           \
    XX(RSTD_1, "norm 1 statistics", KEEP, F32, 1,                                                            \
       LRC_PHASE(ATTENTION) | LRC_PHASE(AGAIN_ATTENTION) | LRC_PHASE(BACK_QKV))                              \
    XX(NORM_1, "norm 1", CHEAP, INPUT, c->hidden_size,                                                       \
       LRC_PHASE(ATTENTION) | LRC_PHASE(AGAIN_ATTENTION) | LRC_PHASE(BACK_QKV))                              \
    XX(Q, "queries", KEEP, ACTIVATION, c->n_heads * c->head_dim,                                             \
       LRC_PHASE(ATTENTION) | LRC_PHASES(AGAIN_ATTENTION, BACK_ATTENTION))                                   \
    XX(K, "keys", KEEP, ACTIVATION, c->n_kv_heads * c->head_dim,                                             \
       LRC_PHASE(ATTENTION) | LRC_PHASES(AGAIN_ATTENTION, BACK_ATTENTION))                                   \
    XX(V, "values", KEEP, ACTIVATION, c->n_kv_heads * c->head_dim,                                           \
       LRC_PHASE(ATTENTION) | LRC_PHASES(AGAIN_ATTENTION, BACK_ATTENTION))                                   \
    XX(LSE, "attention lse", KEEP, F32, c->n_heads,                                                          \
       LRC_PHASE(ATTENTION) | LRC_PHASES(AGAIN_ATTENTION, BACK_ATTENTION))                                   \
    XX(ATT, "attention output", KEEP, INPUT, c->n_heads * c->head_dim,                                       \
       LRC_PHASE(ATTENTION) | LRC_PHASES(AGAIN_ATTENTION, BACK_ATTENTION))                                   \
    XX(MID, "middle residual", KEEP, ACTIVATION, c->hidden_size,                                             \
       LRC_PHASES(ATTENTION, DOWN) | LRC_PHASES(AGAIN_ATTENTION, BACK_UP))                                   \
    XX(RSTD_2, "norm 2 statistics", KEEP, F32, 1, LRC_PHASE(UP) | LRC_PHASE(AGAIN_UP) | LRC_PHASE(BACK_UP))  \
    XX(NORM_2, "norm 2", CHEAP, INPUT, c->hidden_size,                                                       \
       LRC_PHASE(UP) | LRC_PHASE(AGAIN_UP) | LRC_PHASE(BACK_UP))                                             \
    XX(GATE, "gate", KEEP, INPUT, c->intermediate_size,                                                      \
       LRC_PHASES(UP, DOWN) | LRC_PHASES(AGAIN_UP, BACK_UP))                                                 \
    XX(UP, "up", KEEP, INPUT, c->intermediate_size, LRC_PHASES(UP, DOWN) | LRC_PHASES(AGAIN_UP, BACK_UP))    \
    XX(ACT, "gated activation", CHEAP, INPUT, c->intermediate_size, LRC_PHASE(DOWN) | LRC_PHASE(BACK_DOWN))  \
    XX(U, "adapter products", KEEP, F32, ranks->before_down, LRC_PHASES(ATTENTION, BACK_QKV))                \
    XX(U_DOWN, "down's adapter product", ALWAYS, F32, ranks->down, LRC_ARENA_ALL_PHASES)

enum lrc_tape_slot {
#define XX(slot, name, policy, type, cols, phases) LRC_TAPE_##slot,
    LRC_TAPE_SLOT_MAP(XX)
#undef XX
        LRC_TAPE_SLOT_COUNT
};

/* Copies of the layer input with activation offloading (offload.h): the layer's, the next one's, and one on
 * its way. */
enum { LRC_TAPE_RING = 3 };

enum lrc_tape_use { LRC_TAPE_INFERENCE, LRC_TAPE_TRAINING, LRC_TAPE_CHECKPOINTING };

struct lrc_tape_options {
    int64_t               n_tokens; /* most of a batch */
    struct lrc_tape_ranks ranks;
    int64_t               room; /* columns behind each row of an input */
    enum lrc_dtype        activation;
    enum lrc_tape_use     use;
    int                   offloads; /* of layer inputs LRC_TAPE_RING alone, the others are elsewhere */
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
