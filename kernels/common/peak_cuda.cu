/* What the card reaches here and now, for shares of it: the largest product of this program's own GEMM, and a
 * copy. */
#include "common/cuda.cuh"

extern "C" {
#include "common/gemm.h"
}
#include "common/gemm_cuda.h"
#define _Noreturn [[noreturn]]
extern "C" {
#include "common/memory_cuda.h"
}
#undef _Noreturn

#ifdef LRC_CUDA_HOST
constexpr int64_t GEMM_N = 64, COPY_BYTES = 1 << 16;
#else
constexpr int64_t GEMM_N = 8192, COPY_BYTES = (int64_t)1 << 30;
#endif
constexpr int THREADS = 256, ROUNDS = 10;

/* Values of both signs and all mantissas: products of zeros draw less power and run faster than any real one.
 */
static __global__ void __launch_bounds__(THREADS) peak_fill_kernel(uint16_t *to, int64_t n)
{
    const int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    if (i >= n)
        return;
    uint32_t x = (uint32_t)i * 0x9e3779b9u;
    x = (x ^ x >> 15) * 0x85ebca6bu;
    x ^= x >> 13;
    to[i] = lrc_cuda_to_bf16((float)(int32_t)x * 0x1p-31f);
}

struct peak_job {
    void *a, *b, *c;
};

static enum lrc_status gemm_round(const struct peak_job &job, struct lrc_error *err)
{
    const struct lrc_gemm_room none = {}; /* sums of 8192 results need none */
    struct lrc_gemm            gemm = {};
    gemm.m = gemm.n = gemm.k = GEMM_N;
    gemm.a = { job.a, GEMM_N, 0 };
    gemm.b = { job.b, GEMM_N, 1 };
    gemm.c = job.c;
    gemm.c_stride = GEMM_N;
    gemm.dtype = LRC_DTYPE_BF16;
    gemm.c_dtype = LRC_DTYPE_BF16;
    return lrc_gemm_cuda(nullptr, &gemm, &none, err);
}

static enum lrc_status copy_round(const struct peak_job &job, struct lrc_error *err)
{
    return lrc_cuda_result(cudaMemcpyAsync(job.b, job.a, COPY_BYTES, cudaMemcpyDeviceToDevice, nullptr), err,
                           "copy peak: %lld bytes", (long long)COPY_BYTES);
}

/* The fastest of ROUNDS, in ms, after one that is not timed. */
static enum lrc_status time_rounds(double *best, const struct peak_job &job,
                                   enum lrc_status (*round)(const struct peak_job &, struct lrc_error *),
                                   struct lrc_error *err)
{
    struct lrc_event *from = nullptr, *to = nullptr;
    enum lrc_status   status = lrc_cuda_event_new(&from, err);
    if (status == LRC_STATUS_OK)
        status = lrc_cuda_event_new(&to, err);
    if (status == LRC_STATUS_OK)
        status = round(job, err);
    *best = 1e30;
    for (int i = 0; status == LRC_STATUS_OK && i < ROUNDS; i++) {
        double ms = 0;
        status = lrc_cuda_event_record(nullptr, from, err);
        if (status == LRC_STATUS_OK)
            status = round(job, err);
        if (status == LRC_STATUS_OK)
            status = lrc_cuda_event_record(nullptr, to, err);
        if (status == LRC_STATUS_OK)
            status = lrc_cuda_event_wait(to, err);
        if (status == LRC_STATUS_OK)
            status = lrc_cuda_event_elapsed(&ms, from, to, err);
        *best = ms < *best ? ms : *best;
    }
    lrc_cuda_event_free(from);
    lrc_cuda_event_free(to);
    return status;
}

/* Memory of n_bytes each for as many of a, b, c as n says; a and b filled. */
static enum lrc_status measure(double *ms, int n, int64_t n_bytes,
                               enum lrc_status (*round)(const struct peak_job &, struct lrc_error *),
                               struct lrc_error *err)
{
    struct peak_job job = {};
    void **const    all[] = { &job.a, &job.b, &job.c };
    enum lrc_status status = LRC_STATUS_OK;
    const int64_t   n_elems = n_bytes / 2;
    for (int i = 0; status == LRC_STATUS_OK && i < n; i++)
        status = lrc_cuda_memory.allocate(all[i], (size_t)n_bytes, err);
    for (int i = 0; status == LRC_STATUS_OK && i < 2; i++) {
        LRC_LAUNCH(peak_fill_kernel, (unsigned)lrc_cuda_blocks(n_elems, THREADS), THREADS, 0, nullptr,
                   static_cast<uint16_t *>(*all[i]), n_elems);
        status = LRC_CUDA_LAUNCHED(err, "peak: fill %lld elements", (long long)n_elems);
    }
    if (status == LRC_STATUS_OK)
        status = time_rounds(ms, job, round, err);
    for (int i = 0; i < n; i++)
        lrc_cuda_memory.release(*all[i]);
    return status;
}

extern "C" enum lrc_status lrc_cuda_gemm_peak(double *tflops, struct lrc_error *err)
{
    double ms = 1;
    *tflops = 0;
    LRC_TRY(measure(&ms, 3, GEMM_N * GEMM_N * 2, gemm_round, err));
    *tflops = 2.0 * (double)GEMM_N * (double)GEMM_N * (double)GEMM_N / ms * 1e-9;
    return LRC_STATUS_OK;
}

extern "C" enum lrc_status lrc_cuda_copy_peak(double *gbytes_per_second, struct lrc_error *err)
{
    double ms = 1;
    *gbytes_per_second = 0;
    LRC_TRY(measure(&ms, 2, COPY_BYTES, copy_round, err));
    *gbytes_per_second = 2.0 * (double)COPY_BYTES / ms * 1e-6;
    return LRC_STATUS_OK;
}
