/* What the attention kernels of one call share: arguments, blocks of rows, masks. For attention_cuda.cu only.
 */
#ifndef LRC_ATTENTION_JOB_CUH
#define LRC_ATTENTION_JOB_CUH

#include "common/vec_cuda.cuh"

constexpr int ATTENTION_BLOCK = 64; /* query or key rows that belong together */

/* A (T, H, C) argument: strides in elements. */
struct attention_view {
    void          *data;
    enum lrc_dtype dtype;
    int64_t        row, head;
};

/* A block of rows of document `doc`, or none; all in rows of q, so that a document's first key is
 * row doc_first of k (n_past is 0 unless there is one document, from row 0). */
struct attention_rows {
    int32_t first, n, doc_first, doc_end, doc;
};

constexpr int ATTENTION_GROUP = 16; /* rows that one product of the tensor cores takes */

struct attention_job {
    struct attention_view q, k, v, out, d_out, d_q, d_k, d_v;
    float                *lse;         /* (T, H); NULL: not wanted */
    float                *delta;       /* (T, H) */
    const int32_t        *doc_offsets; /* (n_docs + 1), in device memory */
    int64_t               n_docs, n_blocks, n_rows, n_heads, n_kv_heads, n_past, window;
    int                   head_dim, is_aligned; /* rows can be moved 16 bytes at a time */
    float                 scale;
    /* d_s, (n_blocks, H, n_groups, warp, lane): of a block of keys and a group of queries of its document,
     * counted from the document's first, the factors of a product as a lane holds them. NULL: made again
     * where needed. */
    uint4  *d_s;
    int64_t n_groups;
};

static __device__ __forceinline__ uint4 *attention_d_s(const struct attention_job &job, int64_t block,
                                                       int64_t head, int64_t group)
{
    return job.d_s + ((block * job.n_heads + head) * job.n_groups + group) *
                         (ATTENTION_BLOCK / ATTENTION_GROUP) * LRC_CUDA_LANES;
}

/* Block `index` of up to BLOCK rows. Document d has the numbers first(d) .. first(d + 1) - 1, where first(d)
 * = doc_offsets[d] / BLOCK + d: as many as it needs, or one more, of which nothing is left. So the number of
 * blocks depends on the number of documents and rows alone, and no table has to be made: a few steps in
 * offsets that lie in the cache. */
template <int BLOCK = ATTENTION_BLOCK>
static __device__ __forceinline__ struct attention_rows attention_rows_find(const struct attention_job &job,
                                                                            int64_t                     index)
{
    int64_t low = 0, high = job.n_docs;
    while (high - low > 1) {
        const int64_t middle = (low + high) / 2;
        if (job.doc_offsets[middle] / BLOCK + middle <= index)
            low = middle;
        else
            high = middle;
    }
    const int32_t begin = job.doc_offsets[low], end = job.doc_offsets[low + 1];
    const int64_t nth = index - (begin / BLOCK + low), left = end - begin - nth * BLOCK;
    const int64_t n = left < BLOCK ? left : BLOCK;
    return { (int32_t)(begin + nth * BLOCK), n < 0 ? 0 : (int32_t)n, begin, end, (int32_t)low };
}

/* The number of the block of ATTENTION_BLOCK rows that begins with `row` of the document. */
static __device__ __forceinline__ int64_t attention_slot(const struct attention_rows &doc, int64_t row)
{
    return doc.doc_first / ATTENTION_BLOCK + doc.doc + (row - doc.doc_first) / ATTENTION_BLOCK;
}

/* Keys [from, to) that rows [first, first + n) of queries see between them. */
struct attention_span {
    int64_t from, to;
};

static __device__ __forceinline__ struct attention_span attention_keys(const struct attention_job  &job,
                                                                       const struct attention_rows &doc,
                                                                       int64_t first, int64_t n)
{
    const int64_t at = first + job.n_past, least = at - job.window + 1;
    return { job.window > 0 && least > doc.doc_first ? least : doc.doc_first, at + n };
}

/* Queries [from, to) that see any of the key rows [first, first + n); n_past is 0. */
static __device__ __forceinline__ struct attention_span attention_queries(const struct attention_job  &job,
                                                                          const struct attention_rows &doc,
                                                                          int64_t first, int64_t n)
{
    const int64_t most = first + n - 1 + job.window;
    return { first, job.window > 0 && most < doc.doc_end ? most : doc.doc_end };
}

/* Whether query row i sees key row j of its document. */
static __device__ __forceinline__ bool attention_sees(const struct attention_job &job, int64_t i, int64_t j)
{
    const int64_t at = i + job.n_past;
    return j <= at && (job.window == 0 || j > at - job.window);
}

/* Whether query rows i .. i + n_queries - 1 see all key rows j .. j + n_keys - 1: no mask is needed. */
static __device__ __forceinline__ bool attention_sees_all(const struct attention_job &job, int64_t i,
                                                          int n_queries, int64_t j, int n_keys)
{
    const int64_t at = i + job.n_past;
    return j + n_keys - 1 <= at && (job.window == 0 || j > at + n_queries - 1 - job.window);
}

static __device__ __forceinline__ int64_t attention_at(const struct attention_view &view, int64_t row,
                                                       int64_t head)
{
    return row * view.row + head * view.head;
}

/* A token's heads as one row. */
static __device__ __forceinline__ struct lrc_vec_view attention_vec_view(const struct attention_view &view,
                                                                         const struct attention_job  &job)
{
    return { static_cast<unsigned char *>(view.data), view.row, view.dtype, job.is_aligned };
}

#endif
