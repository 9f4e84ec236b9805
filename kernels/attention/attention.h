/* Causal attention inside documents, with grouped key/value heads and an optional sliding window. Memory is
 * linear in length.
 *
 * Query row i of a document of L rows (n_past = 0) attends the rows j of the same document with j <= i and,
 * when window > 0, j > i - window. Query head h uses key/value head h / (H / K).
 *
 *   forward:   s[i,j] = scale * q[i]·k[j],  lse[i] = log sum_j exp(s[i,j]),  out[i] = sum_j exp(s[i,j] -
 *              lse[i]) v[j]
 *   backward:  p[i,j] = exp(s[i,j] - lse[i]),  delta[i] = d_out[i]·out[i],  d_s[i,j] = p[i,j] (d_out[i]·v[j]
 *              - delta[i]) d_q[i] = scale sum_j d_s[i,j] k[j],  d_k[j] = scale sum_i d_s[i,j] q[i],  d_v[j] =
 *              sum_i p[i,j] d_out[i]
 *
 * With n_past > 0 (generation; one document) k and v hold n_past + T rows, and query row i stands at n_past +
 * i. Scores, softmax and sums are float32. With BF16 arguments a backend may round the factors p and d_s of
 * the products to BF16. A document of length 0 is allowed.
 *
 * errors: SHAPE.
 * source: Dao et al. 2022, arXiv:2205.14135; Dao 2023, arXiv:2307.08691. */
#ifndef LRC_ATTENTION_H
#define LRC_ATTENTION_H

#include "tensor/tensor.h"

struct lrc_attention_shape {
    const int32_t
        *doc_offsets; /* (n_docs + 1): rows doc_offsets[d] .. doc_offsets[d+1]-1 are document d; from 0 to T.
                                 * In host memory with every backend: the arguments' check reads it. */
    /* the same in the memory of the backend; NULL: a backend with memory of its own copies them at every
     * call, and a recorded sequence of calls keeps their values */
    const int32_t *doc_offsets_device;
    int64_t        n_docs;
    int64_t        longest; /* no document has more rows, nor one that comes at a replay; 0: nobody knows */
    int64_t        n_past;  /* 0 unless n_docs is 1 */
    int64_t        window;  /* rows a query sees, itself included; 0: all */
    float          scale;
};

struct lrc_attention_forward_args {
    struct lrc_tensor          q;   /* (T, H, C) F32 or BF16; rows may be strided */
    struct lrc_tensor          k;   /* (n_past + T, K, C) */
    struct lrc_tensor          v;   /* (n_past + T, K, C) */
    struct lrc_tensor          out; /* (T, H, C) */
    float                     *lse; /* (T, H); NULL when no backward pass follows */
    struct lrc_attention_shape shape;
    void                      *workspace; /* lrc_attention_workspace_bytes() */
    size_t                     workspace_bytes;
};

struct lrc_attention_backward_args {
    struct lrc_tensor          d_out;        /* (T, H, C) F32 or BF16 */
    struct lrc_tensor          q, k, v, out; /* as in forward */
    const float               *lse;          /* (T, H) of forward */
    struct lrc_tensor          d_q;          /* (T, H, C) */
    struct lrc_tensor          d_k;          /* (T, K, C) */
    struct lrc_tensor          d_v;          /* (T, K, C) */
    struct lrc_attention_shape shape;
    void                      *workspace;
    size_t                     workspace_bytes;
};

/* Enough for forward and backward of up to n_rows query rows on n_threads threads. */
size_t lrc_attention_workspace_bytes(int64_t n_rows, int64_t n_heads, int64_t n_kv_heads, int64_t head_dim,
                                     int n_threads);

/* With which a backend with memory of its own need not make the scores twice backwards: room for the
 * products of every pair of rows within documents of at most `longest` rows. */
size_t lrc_attention_workspace_wide_bytes(int64_t n_rows, int64_t n_docs, int64_t longest, int64_t n_heads,
                                          int64_t n_kv_heads, int64_t head_dim);

#endif
