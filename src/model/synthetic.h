/* A Llama of a given shape with random weights, made in place: what speed and memory are measured on. */
#ifndef LRC_MODEL_SYNTHETIC_H
#define LRC_MODEL_SYNTHETIC_H

#include "model/model.h"

struct lrc_model_shape {
    const char *name; /* "1b" */
    int64_t     hidden, n_layers, intermediate, n_heads, n_kv_heads, head_dim, vocab;
    int         tied;
    double      rope_theta;
};

/* p1 (the reference shape of docs/benchmarks.md), 1b, 3b, 8b (the Llama 3 models of these sizes), small,
 * tiny. NULL when unknown. */
const struct lrc_model_shape *lrc_model_shape_find(const char *name);

/* Weights uniform with the standard deviation 0.02 of initialisation, norms one, from the counter RNG. dtype
 * F32 or BF16; quant NULL: dense, otherwise the blocks' linears are quantized, one at a time.
 *
 * errors: NOMEM. ownership: lrc_model_release(). */
struct lrc_synthetic_options {
    const struct lrc_backend       *device; /* as in lrc_model_options */
    enum lrc_dtype                  dtype;
    const struct lrc_quant_options *quant;
    int64_t                         n_positions;
    int64_t                         room;                 /* as there */
    int                             embedding_offloading; /* as there too */
};
enum lrc_status lrc_model_synthetic(struct lrc_model *model, const struct lrc_model_shape *shape,
                                    const struct lrc_synthetic_options *options,
                                    struct lrc_error                   *err) LRC_MUST_CHECK;

#endif
