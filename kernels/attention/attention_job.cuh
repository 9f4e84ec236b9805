/* What the attention kernels of one call share: arguments, blocks of rows, masks. For attention_cuda.cu only.
 */
#ifndef LRC_ATTENTION_JOB_CUH
#define LRC_ATTENTION_JOB_CUH

#include "common/cuda.cuh"

constexpr int ATTENTION_BLOCK = 64; /* query or key rows that a block of the table has */

/* A (T, H, C) argument: strides in elements. */
struct attention_view {
    void *data;
    enum lrc_dtype dtype;
    int64_t row, head;
};

/* Up to ATTENTION_BLOCK rows of one document; all in rows of q, so that a document's first key is row
 * doc_first of k (n_past is 0 unless there is one document, from row 0). */
struct attention_rows {
    int32_t first, n, doc_first, doc_end;
};

struct attention_job {
    struct attention_view q, k, v, out, d_out, d_q, d_k, d_v;
    float *lse;                          /* (T, H); NULL: not wanted */
    float *delta;                        /* (T, H) */
    const struct attention_rows *blocks; /* (n_blocks), in device memory */
    int64_t n_blocks, n_rows, n_heads, n_kv_heads, n_past, window;
    int head_dim, is_aligned; /* rows can be moved 16 bytes at a time */
    float scale;
};

/* Keys [from, to) that rows [first, first + n) of queries see between them. */
struct attention_span {
    int64_t from, to;
};

static __device__ __forceinline__ struct attention_span
attention_keys(const struct attention_job &job, const struct attention_rows &doc, int64_t first, int64_t n)
{
    const int64_t at = first + job.n_past, least = at - job.window + 1;
    return {job.window > 0 && least > doc.doc_first ? least : doc.doc_first, at + n};
}

/* Queries [from, to) that see any of the key rows [first, first + n); n_past is 0. */
static __device__ __forceinline__ struct attention_span
attention_queries(const struct attention_job &job, const struct attention_rows &doc, int64_t first, int64_t n)
{
    const int64_t most = first + n - 1 + job.window;
    return {first, job.window > 0 && most < doc.doc_end ? most : doc.doc_end};
}

/* Whether query row i sees key row j of its document. */
static __device__ __forceinline__ bool attention_sees(const struct attention_job &job, int64_t i, int64_t j)
{
    const int64_t at = i + job.n_past;
    return j <= at && (job.window == 0 || j > at - job.window);
}

static __device__ __forceinline__ int64_t attention_at(const struct attention_view &view, int64_t row,
                                                       int64_t head)
{
    return row * view.row + head * view.head;
}

#endif
