/* One walk over the model, forward and backward, for every family.
 *
 *   h = embed(tokens)
 *   each layer:  m = h + o(attention(rope(q(n1)), rope(k(n1)), v(n1))),  n1 = norm(h)
 *                h = m + down(act(gate(n2)) * up(n2)),                   n2 = norm(m)
 *   log p = log softmax(output(norm(h)))[target], for trained positions only, in chunks
 *
 * Memory is planned when the pass is made; nothing is allocated while it runs. */
#ifndef LRC_MODEL_PASS_H
#define LRC_MODEL_PASS_H

#include "adapter/adapter.h"
#include "backend.h"
#include "data/batch.h"
#include "model/tape.h"

/* Gradients of the base's own weights, in full fine-tuning: laid out as the model is. */
struct lrc_model_layer_gradients {
    struct lrc_tensor norm_attention, norm_mlp;
    struct lrc_tensor weight[LRC_MODULE_COUNT];
    struct lrc_tensor bias[LRC_MODULE_COUNT];
};
struct lrc_model_gradients {
    struct lrc_tensor                 embedding;
    struct lrc_tensor                 output; /* of a tied model: embedding's */
    struct lrc_tensor                 final_norm;
    struct lrc_model_layer_gradients *layers;
};

struct lrc_pass_options {
    const struct lrc_backend *backend;
    struct lrc_stream        *stream;
    enum lrc_dtype            activation;  /* F32: exactness mode; BF16 */
    enum lrc_tape_use         use;
    int64_t                   n_tokens;    /* most tokens of a batch */
    int64_t                   n_trained;   /* most trained positions of a batch */
    int64_t                   n_cache;     /* rows of the KV cache; 0: none */
    int64_t                   rank_max;    /* of the adapters it will be given; 0: none */
    int64_t                   rank_sum;
    float                     dropout;     /* on the adapters' path while training */
    uint64_t                  seed;
};

struct lrc_pass {
    struct lrc_pass_options options;
    struct lrc_model       *model;
    struct lrc_arena        arena;
    struct lrc_tape         tape;
    struct lrc_step_scalars *scalars; /* learning rate, step, norm, clip: in the backend's memory */

    int64_t        head_chunk; /* rows of logits at a time */
    unsigned char *head_rows, *head_norm;
    float         *head_rstd, *logits, *logprob, *lse, *coef, *d_head;

    float         *d_x, *d_norm; /* gradients of the residual stream and of a norm's output stay float32 */
    unsigned char *d_act, *d_att, *d_q, *d_k, *d_v;

    unsigned char *cache_k, *cache_v; /* (n_layers, n_cache, K * C) */
    int64_t        n_past;            /* rows in the cache */

    unsigned char *workspace;
    size_t         workspace_bytes;
};

/* borrows model. errors: NOMEM, SHAPE. ownership: lrc_pass_release(). lrc_pass_plan() alone answers what it
 * would take: pass->arena.size_bytes and its regions. */
enum lrc_status lrc_pass_plan(struct lrc_pass *pass, struct lrc_model *model,
                              const struct lrc_pass_options *options, struct lrc_error *err) LRC_MUST_CHECK;
enum lrc_status lrc_pass_init(struct lrc_pass *pass, struct lrc_model *model,
                              const struct lrc_pass_options *options, struct lrc_error *err) LRC_MUST_CHECK;
void            lrc_pass_release(struct lrc_pass *pass);

/* Run the layers. adapter NULL: the base alone. With a KV cache (one document) the batch's rows come after
 * the n_past rows already there, and n_past grows by n_real. */
enum lrc_status lrc_pass_forward(struct lrc_pass *pass, const struct lrc_adapter *adapter,
                                 const struct lrc_batch *batch, struct lrc_error *err) LRC_MUST_CHECK;

/* The head over the batch's trained positions: *loss_sum = -sum log p(target).
 * With coef not 0 (d loss / d log p, the same for all: -1 / n_trained of the window) the head's backward pass
 * runs along, chunk by chunk, and lrc_pass_backward() may follow. gradients: NULL unless the base is trained.
 */
enum lrc_status lrc_pass_loss(struct lrc_pass *pass, double *loss_sum, const struct lrc_batch *batch,
                              double coef, const struct lrc_model_gradients *gradients,
                              struct lrc_error *err) LRC_MUST_CHECK;

/* Backward through the layers after lrc_pass_loss(); parameter gradients are added to. Stops at the lowest
 * layer that trains. */
enum lrc_status lrc_pass_backward(struct lrc_pass *pass, const struct lrc_adapter *adapter,
                                  const struct lrc_batch *batch, const struct lrc_model_gradients *gradients,
                                  struct lrc_error *err) LRC_MUST_CHECK;

/* Logits (n, V) F32 of rows first .. first + n - 1 of the last forward pass; n <= head_chunk. Lives in the
 * pass until the next call. */
enum lrc_status lrc_pass_logits(struct lrc_pass *pass, const float **logits, int64_t first, int64_t n,
                                struct lrc_error *err) LRC_MUST_CHECK;

#endif
