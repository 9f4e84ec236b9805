#include "attention/attention_mma.cuh"
#include "attention/attention_plain.cuh"
#ifdef LRC_CUDA_WGMMA
#include "attention/attention_wgmma.cuh"
#endif

extern "C" {
#include "attention/attention_layout.h"
}

constexpr int OFFSETS_PIECE = 960; /* offsets that go to the device at a time: arguments may have 4 KiB */

struct offsets_piece {
    int32_t at[OFFSETS_PIECE];
    int     n;
};

static struct attention_view view_of(const struct lrc_tensor &tensor)
{
    return { tensor.data, tensor.dtype, tensor.stride[0], tensor.stride[1] };
}

static bool is_bf16(const struct lrc_tensor &tensor)
{
    return tensor.dtype == LRC_DTYPE_BF16;
}

/* Whether every row of every head begins at a multiple of 16 bytes (of bf16). */
static bool is_aligned(const struct lrc_tensor &tensor)
{
    return ((uintptr_t)tensor.data & 15) == 0 && tensor.stride[0] % 8 == 0 && tensor.stride[1] % 8 == 0 &&
           tensor.shape[2] % 8 == 0;
}

static float *workspace_floats(void *workspace)
{
    return reinterpret_cast<float *>(((uintptr_t)workspace + LRC_ATTENTION_ALIGN - 1) / LRC_ATTENTION_ALIGN *
                                     LRC_ATTENTION_ALIGN);
}

static __global__ void __launch_bounds__(OFFSETS_PIECE)
    attention_offsets_kernel(int32_t *offsets, struct offsets_piece piece)
{
    if ((int)threadIdx.x < piece.n)
        offsets[threadIdx.x] = piece.at[threadIdx.x];
}

/* The piece to the end of the offsets. As a kernel's argument it needs no host memory that outlives the call.
 */
static enum lrc_status offsets_flush(struct lrc_stream *stream, int32_t *offsets, struct offsets_piece *piece,
                                     int64_t *n, struct lrc_error *err)
{
    LRC_LAUNCH(attention_offsets_kernel, 1, OFFSETS_PIECE, 0, stream, offsets + *n, *piece);
    *n += piece->n;
    piece->n = 0;
    return LRC_CUDA_LAUNCHED(err, "attention: %lld offsets", (long long)*n);
}

/* The offsets of the host to the device, without empty documents, so that they are never more than T + 1. */
static enum lrc_status offsets_upload(struct lrc_stream *stream, int32_t *offsets,
                                      const struct lrc_attention_shape &shape, int64_t *n_docs,
                                      struct lrc_error *err)
{
    struct offsets_piece piece = {};
    int64_t              n = 0;
    piece.at[piece.n++] = 0;
    for (int64_t d = 0; d < shape.n_docs; d++) {
        if (shape.doc_offsets[d + 1] == shape.doc_offsets[d])
            continue;
        if (piece.n == OFFSETS_PIECE)
            LRC_TRY(offsets_flush(stream, offsets, &piece, &n, err));
        piece.at[piece.n++] = shape.doc_offsets[d + 1];
    }
    LRC_TRY(offsets_flush(stream, offsets, &piece, &n, err));
    *n_docs = n - 1;
    return LRC_STATUS_OK;
}

static enum lrc_status job_start(struct lrc_stream *stream, struct attention_job *job,
                                 const struct lrc_tensor &q, const struct lrc_tensor &k,
                                 const struct lrc_attention_shape &shape, void *workspace,
                                 struct lrc_error *err)
{
    const struct lrc_attention_layout layout = lrc_attention__layout(q.shape[0], q.shape[1], q.shape[2]);
    job->delta = workspace_floats(workspace);
    job->n_rows = q.shape[0];
    job->n_heads = q.shape[1];
    job->n_kv_heads = k.shape[1];
    job->n_past = shape.n_past;
    job->window = shape.window;
    job->head_dim = (int)q.shape[2];
    job->scale = shape.scale;
    job->doc_offsets = shape.doc_offsets_device;
    job->n_docs = shape.n_docs;
    if (job->n_rows == 0)
        return LRC_STATUS_OK;
    if (!job->doc_offsets) { /* in the room of d_q's sums, which this backend does not need */
        int32_t *offsets = reinterpret_cast<int32_t *>(job->delta + layout.delta_floats);
        LRC_TRY(offsets_upload(stream, offsets, shape, &job->n_docs, err));
        job->doc_offsets = offsets;
    }
    job->n_blocks = job->n_rows / ATTENTION_BLOCK + job->n_docs;
    return LRC_STATUS_OK;
}

#define LAUNCHED(err, job)                                                                                   \
    LRC_CUDA_LAUNCHED(err, "attention: (%lld, %lld, %d)", (long long)(job).n_rows, (long long)(job).n_heads, \
                      (job).head_dim)

/* ---- tensor cores, for heads of up to 256 ---- */

template <int CP, int BK>
static enum lrc_status mma_forward(struct lrc_stream *stream, const struct attention_job &job,
                                   struct lrc_error *err)
{
    constexpr size_t bytes = mma_forward_shared<CP, BK>();
    const dim3       grid((unsigned)job.n_blocks, (unsigned)job.n_heads);
    LRC_SHARED_ALLOW((attention_mma_forward_kernel<CP, BK>), bytes);
    LRC_LAUNCH((attention_mma_forward_kernel<CP, BK>), grid, MMA_THREADS, bytes, stream, job);
    return LAUNCHED(err, job);
}

template <int CP, int COLS, int BQ, int STAGES>
static enum lrc_status mma_keys(struct lrc_stream *stream, const struct attention_job &job,
                                struct lrc_error *err)
{
    constexpr size_t bytes = mma_key_shared<CP, BQ, STAGES>();
    const dim3       grid((unsigned)job.n_blocks, (unsigned)job.n_kv_heads, CP / COLS);
    LRC_SHARED_ALLOW((attention_mma_key_kernel<CP, COLS, BQ, STAGES>), bytes);
    LRC_LAUNCH((attention_mma_key_kernel<CP, COLS, BQ, STAGES>), grid, MMA_THREADS, bytes, stream, job);
    return LAUNCHED(err, job);
}

template <int CP, int BQ>
static enum lrc_status mma_fold(struct lrc_stream *stream, const struct attention_job &job,
                                struct lrc_error *err)
{
    constexpr size_t bytes = mma_fold_shared<CP>();
    const dim3       grid((unsigned)job.n_blocks, (unsigned)job.n_heads);
    LRC_SHARED_ALLOW((attention_mma_fold_kernel<CP, BQ>), bytes);
    LRC_LAUNCH((attention_mma_fold_kernel<CP, BQ>), grid, MMA_THREADS, bytes, stream, job);
    return LAUNCHED(err, job);
}

template <int CP, int BK, int STAGES>
static enum lrc_status mma_queries(struct lrc_stream *stream, const struct attention_job &job,
                                   struct lrc_error *err)
{
    constexpr size_t bytes = mma_query_shared<CP, BK, STAGES>();
    const dim3       grid((unsigned)job.n_blocks, (unsigned)job.n_heads);
    LRC_SHARED_ALLOW((attention_mma_query_kernel<CP, BK, STAGES>), bytes);
    LRC_LAUNCH((attention_mma_query_kernel<CP, BK, STAGES>), grid, MMA_THREADS, bytes, stream, job);
    return LAUNCHED(err, job);
}

constexpr int MMA_HEAD_DIM_MAX = 256;

/* ---- tensor cores of compute capability 9.0, in builds whose architectures name 90a ---- */

#ifdef LRC_CUDA_WGMMA

constexpr int WGMMA_HEAD_DIM_MAX = 128;

static bool wgmma_can(const struct attention_job &job)
{
    int major = 0, minor = 0;
    (void)cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0);
    (void)cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, 0);
    return major == 9 && minor == 0 && job.is_aligned;
}

static dim3 wgmma_grid(const struct attention_job &job, int64_t n_heads)
{
    return dim3((unsigned)(job.n_rows / WGMMA_ROWS + job.n_docs), (unsigned)n_heads);
}

template <int CP>
static enum lrc_status wgmma_forward(struct lrc_stream *stream, const struct attention_job &job,
                                     struct lrc_error *err)
{
    constexpr size_t bytes = wgmma_forward_shared<CP>();
    LRC_SHARED_ALLOW(attention_wgmma_forward_kernel<CP>, bytes);
    LRC_LAUNCH(attention_wgmma_forward_kernel<CP>, wgmma_grid(job, job.n_heads), WGMMA_THREADS, bytes, stream,
               job);
    return LAUNCHED(err, job);
}

template <int CP>
static enum lrc_status wgmma_keys(struct lrc_stream *stream, const struct attention_job &job,
                                  struct lrc_error *err)
{
    constexpr size_t bytes = wgmma_key_shared<CP>();
    LRC_SHARED_ALLOW(attention_wgmma_key_kernel<CP>, bytes);
    LRC_LAUNCH(attention_wgmma_key_kernel<CP>, wgmma_grid(job, job.n_kv_heads), WGMMA_THREADS, bytes, stream,
               job);
    return LAUNCHED(err, job);
}

template <int CP>
static enum lrc_status wgmma_fold(struct lrc_stream *stream, const struct attention_job &job,
                                  struct lrc_error *err)
{
    constexpr size_t bytes = wgmma_fold_shared<CP>();
    const dim3       grid((unsigned)job.n_blocks, (unsigned)job.n_heads);
    LRC_SHARED_ALLOW(attention_wgmma_fold_kernel<CP>, bytes);
    LRC_LAUNCH(attention_wgmma_fold_kernel<CP>, grid, LRC_WGMMA_THREADS, bytes, stream, job);
    return LAUNCHED(err, job);
}

#endif

/* ---- which of them ---- */

template <int CP, int BK>
static enum lrc_status tensor_forward(struct lrc_stream *stream, const struct attention_job &job,
                                      struct lrc_error *err)
{
#ifdef LRC_CUDA_WGMMA
    if constexpr (CP <= WGMMA_HEAD_DIM_MAX)
        if (wgmma_can(job))
            return wgmma_forward<CP>(stream, job, err);
#endif
    return mma_forward<CP, BK>(stream, job, err);
}

template <int CP, int COLS, int BK, int BQ, int STAGES>
static enum lrc_status tensor_backward(struct lrc_stream *stream, const struct attention_job &job,
                                       struct lrc_error *err)
{
#ifdef LRC_CUDA_WGMMA
    if constexpr (CP <= WGMMA_HEAD_DIM_MAX)
        if (wgmma_can(job)) {
            LRC_TRY(wgmma_keys<CP>(stream, job, err));
            return job.d_s ? wgmma_fold<CP>(stream, job, err) : mma_queries<CP, BK, STAGES>(stream, job, err);
        }
#endif
    LRC_TRY((mma_keys<CP, COLS, BQ, STAGES>(stream, job, err)));
    return job.d_s ? mma_fold<CP, BQ>(stream, job, err) : mma_queries<CP, BK, STAGES>(stream, job, err);
}

/* ---- float32 ---- */

static enum lrc_status plain_forward(struct lrc_stream *stream, const struct attention_job &job,
                                     struct lrc_error *err)
{
    const size_t bytes = plain_shared_bytes(2, job.head_dim);
    const dim3   grid((unsigned)(job.n_blocks * PLAIN_PARTS), (unsigned)job.n_heads);
    LRC_SHARED_ALLOW(attention_plain_forward_kernel, bytes);
    LRC_LAUNCH(attention_plain_forward_kernel, grid, PLAIN_THREADS, bytes, stream, job);
    return LAUNCHED(err, job);
}

static enum lrc_status plain_backward(struct lrc_stream *stream, const struct attention_job &job,
                                      struct lrc_error *err)
{
    const size_t query_bytes = plain_shared_bytes(3, job.head_dim),
                 key_bytes = plain_shared_bytes(4, job.head_dim);
    const unsigned n = (unsigned)(job.n_blocks * PLAIN_PARTS);
    LRC_SHARED_ALLOW(attention_plain_query_kernel, query_bytes);
    LRC_LAUNCH(attention_plain_query_kernel, dim3(n, (unsigned)job.n_heads), PLAIN_THREADS, query_bytes,
               stream, job);
    LRC_TRY(LAUNCHED(err, job));
    LRC_SHARED_ALLOW(attention_plain_key_kernel, key_bytes);
    LRC_LAUNCH(attention_plain_key_kernel, dim3(n, (unsigned)job.n_kv_heads), PLAIN_THREADS, key_bytes,
               stream, job);
    return LAUNCHED(err, job);
}

/* ---- the entries ---- */

LRC_CUDA_OP(attention_forward)
(struct lrc_stream *stream, const struct lrc_attention_forward_args *args, struct lrc_error *err)
{
    struct attention_job job = {};
    LRC_TRY(job_start(stream, &job, args->q, args->k, args->shape, args->workspace, err));
    if (job.n_blocks == 0)
        return LRC_STATUS_OK;
    job.q = view_of(args->q);
    job.k = view_of(args->k);
    job.v = view_of(args->v);
    job.out = view_of(args->out);
    job.lse = args->lse;
    job.is_aligned =
        is_aligned(args->q) && is_aligned(args->k) && is_aligned(args->v) && is_aligned(args->out);
    const bool narrow = is_bf16(args->q) && is_bf16(args->k) && is_bf16(args->v) && is_bf16(args->out);
    if (!narrow || job.head_dim > MMA_HEAD_DIM_MAX)
        return plain_forward(stream, job, err);
    if (job.head_dim <= 64)
        return tensor_forward<64, 64>(stream, job, err);
    if (job.head_dim <= 128)
        return tensor_forward<128, 64>(stream, job, err);
    return tensor_forward<256, 32>(stream, job, err);
}

/* Rows of the longest document, as far as it is known before a recording is replayed. */
static int64_t longest_of(const struct lrc_attention_shape &shape, int64_t n_rows)
{
    int64_t longest = 0;
    if (shape.longest > 0)
        return shape.longest < n_rows ? shape.longest : n_rows;
    if (shape.doc_offsets_device)
        return n_rows;
    for (int64_t d = 0; d < shape.n_docs; d++) {
        const int64_t n = shape.doc_offsets[d + 1] - shape.doc_offsets[d];
        longest = n > longest ? n : longest;
    }
    return longest;
}

/* Where d_s may be kept, behind delta and the offsets: when the workspace has room for it. */
static void d_s_place(struct attention_job *job, const struct lrc_attention_shape &shape, void *workspace,
                      size_t workspace_bytes)
{
    const int64_t                     longest = longest_of(shape, job->n_rows);
    const struct lrc_attention_layout layout =
        lrc_attention__layout(job->n_rows, job->n_heads, job->head_dim);
    unsigned char *at = reinterpret_cast<unsigned char *>(job->delta + layout.delta_floats) +
                        lrc_attention__offsets_bytes(job->n_rows);
    const size_t left = (size_t)(static_cast<unsigned char *>(workspace) + workspace_bytes - at);
    if (lrc_attention__d_s_bytes(job->n_blocks, job->n_heads, longest) > left)
        return;
    job->d_s = reinterpret_cast<uint4 *>(at);
    job->n_groups = lrc_attention__groups(longest);
}

LRC_CUDA_OP(attention_backward)
(struct lrc_stream *stream, const struct lrc_attention_backward_args *args, struct lrc_error *err)
{
    struct attention_job job = {};
    LRC_TRY(job_start(stream, &job, args->q, args->k, args->shape, args->workspace, err));
    if (job.n_blocks == 0)
        return LRC_STATUS_OK;
    const struct lrc_tensor *const all[] = { &args->q,     &args->k,   &args->v,   &args->out,
                                             &args->d_out, &args->d_q, &args->d_k, &args->d_v };
    struct attention_view *const   views[] = { &job.q,     &job.k,   &job.v,   &job.out,
                                               &job.d_out, &job.d_q, &job.d_k, &job.d_v };
    bool                           narrow = true;
    job.is_aligned = 1;
    for (int i = 0; i < 8; i++) {
        *views[i] = view_of(*all[i]);
        narrow = narrow && is_bf16(*all[i]);
        job.is_aligned = job.is_aligned && is_aligned(*all[i]);
    }
    job.lse = const_cast<float *>(args->lse);
    LRC_LAUNCH(attention_delta_kernel, (unsigned)lrc_cuda_blocks(job.n_rows * job.n_heads, PLAIN_WARPS),
               PLAIN_THREADS, 0, stream, job);
    LRC_TRY(LAUNCHED(err, job));
    if (!narrow || job.head_dim > MMA_HEAD_DIM_MAX)
        return plain_backward(stream, job, err);
    d_s_place(&job, args->shape, args->workspace, args->workspace_bytes);
    if (job.head_dim <= 64)
        return tensor_backward<64, 64, 64, 64, 2>(stream, job, err);
    if (job.head_dim <= 128)
        return tensor_backward<128, 128, 64, 32, 2>(stream, job, err);
    return tensor_backward<256, 128, 32, 16, 1>(stream, job, err);
}
