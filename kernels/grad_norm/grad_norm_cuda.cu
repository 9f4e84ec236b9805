#include "common/vec_cuda.cuh"

extern "C" {
#include "grad_norm/grad_norm_layout.h"
}

/* Two stages: up to SUMS_MAX blocks add the squares of up to TABLE_MAX tensors a launch, each into its own
 * partial sum in the workspace; one block then adds the partial sums in order. The number of blocks depends
 * on the sizes alone, never on the device, and so does the order. */
constexpr int SUMS_MAX = LRC_GRAD_NORM_SUMS_MAX;
constexpr int TABLE_MAX = 120; /* tensors: 2,880 of the 4,096 bytes that arguments may take */

struct norm_entry {
    const float *data;
    int64_t      n_elems;
    int          first_block; /* that of chunk 0: small tensors follow one another over the blocks */
};

struct norm_table {
    struct norm_entry entries[TABLE_MAX];
    int               n_entries;
    int               next_block; /* after the last entry */
    int               is_first;   /* of the launches: = instead of += */
    double           *sums;       /* (SUMS_MAX) */
};

static __device__ __forceinline__ double chunk_squares(const struct lrc_vec_view &view, int64_t n_elems,
                                                       int64_t chunk)
{
    const struct lrc_vec_place at = { 0, chunk * LRC_VEC_BLOCK_ELEMS + (int64_t)threadIdx.x * LRC_VEC_GROUP,
                                      n_elems };
    float                      x[LRC_VEC_GROUP];
    double                     sum = 0;
    if (at.col >= n_elems)
        return 0;
    lrc_vec_load(x, view, at);
#pragma unroll
    for (int i = 0; i < LRC_VEC_GROUP; i++)
        sum += (double)x[i] * (double)x[i];
    return sum;
}

static __global__ void __launch_bounds__(LRC_VEC_THREADS) grad_norm_sums_kernel(struct norm_table table)
{
    LRC_SHARED_ARRAY(double, scratch, LRC_VEC_WARPS_MAX);
    const int n_blocks = (int)gridDim.x, block = (int)blockIdx.x;
    double    sum = 0;
    for (int e = 0; e < table.n_entries; e++) {
        const int                 first = block - table.entries[e].first_block;
        const int64_t             n_elems = table.entries[e].n_elems;
        const int64_t             n_chunks = lrc_cuda_blocks(n_elems, LRC_VEC_BLOCK_ELEMS);
        unsigned char *const      data = (unsigned char *)table.entries[e].data;
        const struct lrc_vec_view view = { data, 0, LRC_DTYPE_F32, (uintptr_t)data % 16 == 0 };
        for (int64_t c = first < 0 ? first + n_blocks : first; c < n_chunks; c += n_blocks)
            sum += chunk_squares(view, n_elems, c);
    }
    sum = lrc_vec_block_sum(sum, scratch);
    if (threadIdx.x == 0)
        table.sums[blockIdx.x] = table.is_first ? sum : table.sums[blockIdx.x] + sum;
}

static __global__ void __launch_bounds__(SUMS_MAX)
    grad_norm_finish_kernel(float *norm, float *clip, float max_norm, const double *sums, int n_sums)
{
    LRC_SHARED_ARRAY(double, scratch, LRC_VEC_WARPS_MAX);
    const double mine = (int)threadIdx.x < n_sums ? sums[threadIdx.x] : 0.0;
    const double total = lrc_vec_block_sum(mine, scratch);
    if (threadIdx.x != 0)
        return;
    const double root = sqrt(total), ratio = (double)max_norm / (root + 1e-6);
    *norm = (float)root;
    /* `ratio > 1` is false for NaN, so that a NaN norm gives a NaN factor */
    *clip = max_norm == 0.0f || ratio > 1.0 ? 1.0f : (float)ratio;
}

static int64_t chunks_of(const struct lrc_tensor *grad)
{
    return lrc_cuda_blocks(lrc_tensor_elems(grad), LRC_VEC_BLOCK_ELEMS);
}

/* Tensors from `first` on, empty ones left out; returns the first one that is not in the table. */
static int64_t table_fill(struct norm_table *table, const struct lrc_grad_norm_args *args, int64_t first,
                          int n_sums)
{
    int64_t i = first;
    table->n_entries = 0;
    for (; i < args->n_grads && table->n_entries < TABLE_MAX; i++) {
        const struct lrc_tensor *grad = &args->grads[i];
        if (chunks_of(grad) == 0)
            continue;
        table->entries[table->n_entries++] = { static_cast<const float *>(grad->data), lrc_tensor_elems(grad),
                                               table->next_block };
        table->next_block = (int)((table->next_block + chunks_of(grad)) % n_sums);
    }
    return i;
}

LRC_CUDA_OP(grad_norm)
(struct lrc_stream *stream, const struct lrc_grad_norm_args *args, struct lrc_error *err)
{
    struct norm_table table = {};
    int64_t           n_all = 0;
    for (int64_t i = 0; i < args->n_grads; i++)
        n_all += chunks_of(&args->grads[i]);
    const int n_sums = (int)(n_all < SUMS_MAX ? n_all : SUMS_MAX);
    table.is_first = 1;
    table.sums = static_cast<double *>(args->workspace);
    for (int64_t next = 0; next < args->n_grads && n_sums > 0; table.is_first = 0) {
        next = table_fill(&table, args, next, n_sums);
        LRC_LAUNCH(grad_norm_sums_kernel, (unsigned)n_sums, LRC_VEC_THREADS, 0, stream, table);
        LRC_TRY(LRC_CUDA_LAUNCHED(err, "grad_norm: sums of %d tensors", table.n_entries));
    }
    LRC_LAUNCH(grad_norm_finish_kernel, 1, SUMS_MAX, 0, stream, args->norm, args->clip, args->max_norm,
               static_cast<const double *>(args->workspace), n_sums);
    return LRC_CUDA_LAUNCHED(err, "grad_norm: %lld tensors", (long long)args->n_grads);
}
