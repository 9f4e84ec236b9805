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
#include "model/feed.h"
#include "model/offload.h"
#include "model/replay.h"
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
    enum lrc_dtype            activation; /* F32: exactness mode; BF16 */
    enum lrc_tape_use         use;
    int64_t                   n_tokens;  /* most tokens of a batch */
    int64_t                   n_docs;    /* most documents of a batch; 0: one */
    int64_t                   n_trained; /* most trained positions of a batch */
    int64_t                   n_window;  /* most trained positions of an accumulation window; 0: of a batch */
    int64_t                   n_logits;  /* rows of logits that are asked for at a time, at most; 0: none */
    int64_t                   n_cache;   /* rows of the KV cache; 0: none */
    int offloads; /* on a device, with LRC_TAPE_CHECKPOINTING: layer inputs to the host */
    /* on a device: no more workspace than is needed, instead of what its products work best with */
    int                   narrow;
    struct lrc_tape_ranks ranks;   /* of the adapters it will be given */
    float                 dropout; /* on the adapters' path while training */
    uint64_t              seed;
};

struct lrc_pass {
    struct lrc_pass_options  options;
    struct lrc_model        *model;
    struct lrc_arena         arena;   /* the backend's memory */
    struct lrc_arena         staging; /* its staging memory; empty for a backend that works in the host's */
    struct lrc_feed          feed;
    struct lrc_feed_view     now;       /* the batch of the last forward pass, in the backend's memory */
    int64_t                  n_trained; /* of it, without what it is filled up with */
    struct lrc_tape          tape;
    struct lrc_offload       offload;
    struct lrc_replay        replay;
    struct lrc_step_scalars *scalars; /* learning rate, step, norm, clip: in the backend's memory */

    int64_t        head_chunk; /* rows of logits at a time */
    unsigned char *head_rows, *head_norm;
    float         *head_rstd, *logits, *logprob, *lse, *coef, *d_head;
    int64_t        n_logprob; /* of the window so far */

    /* staging: the host's side of these */
    struct lrc_step_scalars *host_scalars;
    float                   *host_logits, *host_logprob;

    int64_t        room; /* columns behind each row of what linears read: the tape's inputs, d_q, d_k, d_v */
    float         *d_x, *d_norm; /* gradients of the residual stream and of a norm's output stay float32 */
    unsigned char *d_att, *d_q, *d_k, *d_v;

    unsigned char *cache_k, *cache_v; /* (n_layers, n_cache, K * C) */
    int64_t        n_past;            /* rows in the cache */

    unsigned char *workspace;
    size_t         workspace_bytes;
};

/* borrows model. errors: NOMEM, SHAPE, DEVICE. ownership: lrc_pass_release(). lrc_pass_plan() alone answers
 * what it would take: the sizes and regions of both arenas. init is plan and commit. */
enum lrc_status lrc_pass_plan(struct lrc_pass *pass, struct lrc_model *model,
                              const struct lrc_pass_options *options, struct lrc_error *err) LRC_MUST_CHECK;
enum lrc_status lrc_pass_commit(struct lrc_pass *pass, struct lrc_error *err) LRC_MUST_CHECK;
enum lrc_status lrc_pass_init(struct lrc_pass *pass, struct lrc_model *model,
                              const struct lrc_pass_options *options, struct lrc_error *err) LRC_MUST_CHECK;
void            lrc_pass_release(struct lrc_pass *pass);

/* Rows of logits that the head makes at a time. */
int64_t lrc_pass_head_rows(const struct lrc_pass_options *options, int64_t vocab_size);

/* A step of training begins: its scalars, and no log-probabilities yet. */
enum lrc_status lrc_pass_begin_step(struct lrc_pass *pass, double learning_rate, int64_t step,
                                    struct lrc_error *err) LRC_MUST_CHECK;

/* The log-probabilities of all batches since then (n), in order, and the gradient norm if lrc_grad_norm()
 * wrote it: the one place of a step where the host waits. *logprob lives until the next step. */
enum lrc_status lrc_pass_read_step(struct lrc_pass *pass, const float **logprob, int64_t *n, float *grad_norm,
                                   struct lrc_error *err) LRC_MUST_CHECK;

/* Run the layers. adapter NULL: the base alone. With a KV cache (one document) the batch's rows come after
 * the n_past rows already there, and n_past grows by n_real. */
enum lrc_status lrc_pass_forward(struct lrc_pass *pass, const struct lrc_adapter *adapter,
                                 const struct lrc_batch *batch, struct lrc_error *err) LRC_MUST_CHECK;

/* The head over the trained positions of the last forward pass: *loss_sum is -sum log p(target), for which
 * the host waits. */
enum lrc_status lrc_pass_loss(struct lrc_pass *pass, double *loss_sum, struct lrc_error *err) LRC_MUST_CHECK;

/* A batch of a step: forward, head and backward; nothing waits. The log-probabilities of its targets are
 * appended to the step's, parameter gradients are added to; the walk stops at the lowest layer that trains.
 * coef: d loss / d log p, the same for all, -1 / n_trained of the window. gradients: NULL unless the base is
 * trained. */
enum lrc_status lrc_pass_train(struct lrc_pass *pass, const struct lrc_adapter *adapter,
                               const struct lrc_model_gradients *gradients, const struct lrc_batch *batch,
                               float coef, struct lrc_error *err) LRC_MUST_CHECK;

/* Logits (n, V) F32 of rows first .. first + n - 1 of the last forward pass, in host memory; n <= head_chunk,
 * n <= options.n_logits. Lives in the pass until the next call. */
enum lrc_status lrc_pass_logits(struct lrc_pass *pass, const float **logits, int64_t first, int64_t n,
                                struct lrc_error *err) LRC_MUST_CHECK;

#endif
