/* Linear layer over a weight handle (dense or 4-bit), with an optional low-rank adapter beside it.
 *
 *   forward:   u = dropout(x) aᵀ
 *              out = x Wᵀ + bias + scale * u bᵀ
 *   backward:  d_u = scale * d_out b
 *              d_x = d_out W + mask ⊙ (d_u a)           (or d_x += ..., see `accumulate`)
 *              d_b += scale * d_outᵀ u,  d_a += d_uᵀ dropout(x)
 *              d_weight += d_outᵀ x,  d_bias += sum_t d_out[t]
 *
 * Products run in the type of x: F32 x: W is dequantized or widened to float32; BF16 x: W is rounded to BF16,
 * the adapter's float32 factors too, and sums are float32. Results are rounded once when the output is
 * BF16; a backend may round the adapter's part to BF16 before that.
 *
 * Dropout: element i of row t is kept when unit(word i % 4 of philox(key, step << 32 | row_ids[t],
 * positions[t] << 32 | i / 4)) >= p, and then multiplied by 1 / (1 - p); see base/rng.h. It acts on the
 * adapter's path only.
 *
 * shapes: rows of x, out, d_out and d_x may be apart, all else is contiguous.
 * errors: SHAPE; DEVICE when the GEMM library fails.
 * source: Hu et al. 2021, arXiv:2106.09685, eq. 3; Dettmers et al. 2023, arXiv:2305.14314, eq. 5. */
#ifndef LRC_LINEAR_H
#define LRC_LINEAR_H

#include "tensor/tensor.h"

struct lrc_dropout {
    float           p;         /* 0: off, and nothing else is read */
    uint64_t        key;       /* lrc_rng_key(seed, LRC_RNG_DROPOUT, layer, module) */
    const uint32_t *step;      /* optimizer step, in the backend's memory */
    const uint32_t *row_ids;   /* (T) */
    const int32_t  *positions; /* (T) */
};

/* The adapter of one linear. */
struct lrc_linear_adapter {
    struct lrc_tensor a;     /* (R, in)  F32 */
    struct lrc_tensor b;     /* (out, R) F32 */
    struct lrc_tensor d_a;   /* (R, in)  F32, += ; data NULL in inference */
    struct lrc_tensor d_b;   /* (out, R) F32, += */
    float             scale; /* alpha / R, or alpha / sqrt(R) */
};

struct lrc_linear_forward_args {
    struct lrc_tensor                x;       /* (T, in) F32 or BF16 */
    int64_t                          x_room;  /* see lrc_linear_room() */
    const struct lrc_weight         *weight;  /* (out, in) */
    struct lrc_tensor                bias;    /* (out) F32, BF16 or F16; data NULL: none */
    const struct lrc_linear_adapter *adapter; /* NULL: none */
    struct lrc_tensor                u;       /* (T, R) F32, saved for backward; needed with an adapter */
    struct lrc_dropout               dropout;
    struct lrc_tensor                out; /* (T, out) F32 or BF16 */
    void                            *workspace;
    size_t                           workspace_bytes;
};

enum lrc_accumulate { LRC_ACCUMULATE_SET, LRC_ACCUMULATE_ADD };

struct lrc_linear_backward_args {
    struct lrc_tensor                d_out;      /* (T, out) F32 or BF16 */
    int64_t                          d_out_room; /* see lrc_linear_room() */
    struct lrc_tensor                x;          /* (T, in) as in forward */
    const struct lrc_weight         *weight;
    const struct lrc_linear_adapter *adapter;
    struct lrc_tensor                u; /* (T, R) of forward */
    struct lrc_dropout               dropout;
    /* (T, in) F32 or BF16; data NULL: not wanted; may be x where it has its type: x is read before */
    struct lrc_tensor d_x;
    /* of d_x: several linears read the same x; ADD needs d_x F32 */
    enum lrc_accumulate accumulate;
    struct lrc_tensor   d_weight; /* (out, in) F32, +=; data NULL when frozen */
    struct lrc_tensor   d_bias;   /* (out) F32, +=; data NULL when frozen or absent */
    void               *workspace;
    size_t              workspace_bytes;
};

/* Columns behind each row of x and d_out, the last one's too, with which a device needs no copy of them to
 * add the adapter's part: x_room and d_out_room say how many there are; and the same for a dense weight
 * (struct lrc_weight). The op may write them, and nobody reads them afterwards. In whole cache lines, so that
 * rows stay aligned; 0 for a rank of 0, and for a large one. */
int64_t lrc_linear_room(int64_t rank);

/* Enough for forward and backward of up to n_rows rows in the given activation type. */
size_t lrc_linear_workspace_bytes(int64_t n_rows, int64_t in, int64_t out, int64_t rank,
                                  enum lrc_dtype activation);

/* What a backend with memory of its own works best with: room for all rows, for the whole weight unless it
 * can be read where it lies, and for the matrix products' own sums. The CPU gains nothing from it. */
size_t lrc_linear_workspace_wide_bytes(int64_t n_rows, const struct lrc_weight *weight, int64_t rank,
                                       enum lrc_dtype activation);

#endif
