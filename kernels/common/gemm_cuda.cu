#include "common/cuda.cuh"

extern "C" {
#include "common/gemm.h"
}
#include "common/gemm_cuda.h"

#ifdef LRC_CUDA_HOST

#include <vector>

/* The CPU's product does not add to BF16: through float32 sums, then. */
static enum lrc_status add_narrow(const struct lrc_gemm *gemm)
{
    std::vector<float> sums((size_t)(gemm->m * gemm->n));
    struct lrc_gemm    wide = *gemm;
    wide.c = sums.data();
    wide.c_stride = gemm->n;
    wide.c_dtype = LRC_DTYPE_F32;
    wide.mode = LRC_GEMM_SET;
    LRC_TRY(lrc_gemm_run(&wide, nullptr));
    for (int64_t r = 0; r < gemm->m; r++)
        for (int64_t i = 0; i < gemm->n; i++) {
            uint16_t *c = static_cast<uint16_t *>(gemm->c) + r * gemm->c_stride + i;
            *c = lrc_cuda_to_bf16(lrc_cuda_from_bf16(*c) + sums[(size_t)(r * gemm->n + i)]);
        }
    return LRC_STATUS_OK;
}

enum lrc_status lrc_gemm_cuda(struct lrc_stream *stream, const struct lrc_gemm *gemm,
                              const struct lrc_gemm_room *room, struct lrc_error *)
{
    const struct lrc_gemm      product = *gemm;
    const struct lrc_gemm_room its = *room;
    if (gemm->m == 0 || gemm->n == 0)
        return LRC_STATUS_OK;
    lrc_cuda_host_enter((cudaStream_t)stream);
    lrc_cuda_host_queue([product, its] {
        if (its.size_bytes > 0)
            memset(its.memory, 0xff, its.size_bytes); /* it is the product's for as long as that takes */
        const bool narrow = product.c_dtype == LRC_DTYPE_BF16 && product.mode == LRC_GEMM_ADD;
        return (narrow ? add_narrow(&product) : lrc_gemm_run(&product, nullptr)) == LRC_STATUS_OK
                   ? cudaSuccess
                   : cudaErrorUnknown;
    });
    return LRC_STATUS_OK;
}

#else

#include <cublasLt.h>
#include <mutex>

/* What the choice of an algorithm depends on. */
struct gemm_key {
    int64_t m, n, k, a_stride, b_stride, c_stride;
    int     a_transposed, b_transposed, dtype, c_dtype, a_align, b_align, c_align, device;
    uint64_t room_bytes;
};

/* Entries are replaced in turn: training uses a short list of shapes. */
constexpr int CACHE_MAX = 512, DEVICES_MAX = 64;

struct gemm_entry {
    gemm_key               key;
    cublasLtMatmulDesc_t   product;
    cublasLtMatrixLayout_t a, b, c;
    cublasLtMatmulAlgo_t   algorithm;
};

static struct {
    std::mutex       mutex;
    cublasLtHandle_t handle[DEVICES_MAX];
    gemm_entry       entries[CACHE_MAX];
    int              n_entries, next;
} cache;

static void entry_release(gemm_entry *entry)
{
    if (entry->product)
        (void)cublasLtMatmulDescDestroy(entry->product);
    const cublasLtMatrixLayout_t layouts[] = { entry->a, entry->b, entry->c };
    for (cublasLtMatrixLayout_t layout : layouts)
        if (layout)
            (void)cublasLtMatrixLayoutDestroy(layout);
    memset(entry, 0, sizeof *entry);
}

#define TRY_BLAS(expression)                                                                                 \
    do {                                                                                                     \
        const cublasStatus_t try_ = (expression);                                                            \
        if (try_ != CUBLAS_STATUS_SUCCESS)                                                                   \
            return try_;                                                                                     \
    } while (0)

/* A row-major (rows, cols) is a column-major (cols, rows): cᵀ = bᵀ aᵀ, so b is cuBLAS's first operand. */
static cublasStatus_t layout_create(cublasLtMatrixLayout_t *layout, int dtype, int64_t rows, int64_t cols,
                                    int64_t stride)
{
    return cublasLtMatrixLayoutCreate(layout, dtype == LRC_DTYPE_BF16 ? CUDA_R_16BF : CUDA_R_32F,
                                      (uint64_t)cols, (uint64_t)rows, stride);
}

static cublasStatus_t product_create(gemm_entry *entry, const gemm_key *key)
{
    const cublasOperation_t first = key->b_transposed ? CUBLAS_OP_T : CUBLAS_OP_N,
                            second = key->a_transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
    TRY_BLAS(cublasLtMatmulDescCreate(&entry->product, CUBLAS_COMPUTE_32F, CUDA_R_32F));
    TRY_BLAS(
        cublasLtMatmulDescSetAttribute(entry->product, CUBLASLT_MATMUL_DESC_TRANSA, &first, sizeof first));
    TRY_BLAS(
        cublasLtMatmulDescSetAttribute(entry->product, CUBLASLT_MATMUL_DESC_TRANSB, &second, sizeof second));
    TRY_BLAS(layout_create(&entry->a, key->dtype, key->a_transposed ? key->k : key->m,
                           key->a_transposed ? key->m : key->k, key->a_stride));
    TRY_BLAS(layout_create(&entry->b, key->dtype, key->b_transposed ? key->n : key->k,
                           key->b_transposed ? key->k : key->n, key->b_stride));
    return layout_create(&entry->c, key->c_dtype, key->m, key->n, key->c_stride);
}

static cublasStatus_t preference_set(cublasLtMatmulPreference_t preference, const gemm_key *key)
{
    /* a sum that is split is added in a step of its own, in order, in the op's memory: the library's own would
     * be shared by streams */
    const uint64_t workspace = key->room_bytes;
    const uint32_t reduction = CUBLASLT_REDUCTION_SCHEME_NONE | CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
    const uint32_t align_a = (uint32_t)key->b_align, align_b = (uint32_t)key->a_align,
                   align_c = (uint32_t)key->c_align;
    TRY_BLAS(cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                                  &workspace, sizeof workspace));
    TRY_BLAS(cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
                                                  &reduction, sizeof reduction));
    TRY_BLAS(cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES,
                                                  &align_a, sizeof align_a));
    TRY_BLAS(cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
                                                  &align_b, sizeof align_b));
    TRY_BLAS(cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES,
                                                  &align_c, sizeof align_c));
    return cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES,
                                                &align_c, sizeof align_c);
}

static cublasStatus_t algorithm_choose(gemm_entry *entry, const gemm_key *key)
{
    cublasLtMatmulPreference_t      preference = nullptr;
    cublasLtMatmulHeuristicResult_t result = {};
    int                             n = 0;
    TRY_BLAS(cublasLtMatmulPreferenceCreate(&preference));
    cublasStatus_t status = preference_set(preference, key);
    if (status == CUBLAS_STATUS_SUCCESS)
        status = cublasLtMatmulAlgoGetHeuristic(cache.handle[key->device], entry->product, entry->b, entry->a,
                                                entry->c, entry->c, preference, 1, &result, &n);
    (void)cublasLtMatmulPreferenceDestroy(preference);
    if (status == CUBLAS_STATUS_SUCCESS && n == 0)
        status = CUBLAS_STATUS_NOT_SUPPORTED;
    entry->algorithm = result.algo;
    return status;
}

static cublasStatus_t entry_find(gemm_entry **found, const gemm_key *key)
{
    for (int i = 0; i < cache.n_entries; i++)
        if (memcmp(&cache.entries[i].key, key, sizeof *key) == 0) {
            *found = &cache.entries[i];
            return CUBLAS_STATUS_SUCCESS;
        }
    if (!cache.handle[key->device])
        TRY_BLAS(cublasLtCreate(&cache.handle[key->device]));
    gemm_entry     entry = {};
    cublasStatus_t status = product_create(&entry, key);
    if (status == CUBLAS_STATUS_SUCCESS)
        status = algorithm_choose(&entry, key);
    if (status != CUBLAS_STATUS_SUCCESS) {
        entry_release(&entry);
        return status;
    }
    memcpy(&entry.key, key, sizeof *key);
    const int at = cache.n_entries < CACHE_MAX ? cache.n_entries++ : cache.next;
    cache.next = (at + 1) % CACHE_MAX;
    entry_release(&cache.entries[at]);
    cache.entries[at] = entry;
    *found = &cache.entries[at];
    return CUBLAS_STATUS_SUCCESS;
}

/* The power of two, up to 256, that a pointer is a multiple of. */
static int alignment_of(const void *pointer)
{
    int align = 256;
    while (((uintptr_t)pointer & (uintptr_t)(align - 1)) != 0)
        align /= 2;
    return align;
}

static cublasStatus_t run(struct lrc_stream *stream, const struct lrc_gemm *gemm,
                          const struct lrc_gemm_room *room, int device)
{
    gemm_key key;
    memset(&key, 0, sizeof key); /* compared as bytes */
    key.m = gemm->m;
    key.n = gemm->n;
    key.k = gemm->k;
    key.a_stride = gemm->a.stride;
    key.b_stride = gemm->b.stride;
    key.c_stride = gemm->c_stride;
    key.a_transposed = gemm->a.transposed;
    key.b_transposed = gemm->b.transposed;
    key.dtype = gemm->dtype;
    key.c_dtype = gemm->c_dtype;
    key.a_align = alignment_of(gemm->a.data);
    key.b_align = alignment_of(gemm->b.data);
    key.c_align = alignment_of(gemm->c);
    key.device = device;
    key.room_bytes = room->size_bytes < LRC_GEMM_ROOM_BYTES ? room->size_bytes : LRC_GEMM_ROOM_BYTES;
    const std::lock_guard<std::mutex> lock(cache.mutex);
    gemm_entry                       *entry = nullptr;
    const float                       one = 1.0f, beta = gemm->mode == LRC_GEMM_ADD ? 1.0f : 0.0f;
    TRY_BLAS(entry_find(&entry, &key));
    return cublasLtMatmul(cache.handle[device], entry->product, &one, gemm->b.data, entry->b, gemm->a.data,
                          entry->a, &beta, gemm->c, entry->c, gemm->c, entry->c, &entry->algorithm,
                          room->memory, (size_t)key.room_bytes, (cudaStream_t)stream);
}

enum lrc_status lrc_gemm_cuda(struct lrc_stream *stream, const struct lrc_gemm *gemm,
                              const struct lrc_gemm_room *room, struct lrc_error *err)
{
    if (gemm->m == 0 || gemm->n == 0 || (gemm->k == 0 && gemm->mode == LRC_GEMM_ADD))
        return LRC_STATUS_OK;
    const size_t bytes = lrc_dtype_bytes(gemm->c_dtype);
    if (gemm->k == 0) /* which the library refuses */
        return lrc_cuda_result(cudaMemset2DAsync(gemm->c, (size_t)gemm->c_stride * bytes, 0,
                                                 (size_t)gemm->n * bytes, (size_t)gemm->m, (cudaStream_t)stream),
                               err, "matrix product (m %lld, n %lld, k 0)", (long long)gemm->m,
                               (long long)gemm->n);
    int device = 0;
    LRC_TRY(lrc_cuda_result(cudaGetDevice(&device), err, "matrix product"));
    if (device >= DEVICES_MAX)
        return lrc_fail(err, LRC_STATUS_DEVICE, "matrix product: want a device below %d, got %d", DEVICES_MAX,
                        device);
    const cublasStatus_t status = run(stream, gemm, room, device);
    if (status == CUBLAS_STATUS_SUCCESS)
        return LRC_STATUS_OK;
    return lrc_fail(err, LRC_STATUS_DEVICE,
                    "matrix product (m %lld, n %lld, k %lld, %s): want success of cuBLASLt, got '%s'",
                    (long long)gemm->m, (long long)gemm->n, (long long)gemm->k,
                    lrc_dtype_info[gemm->dtype].name, cublasLtGetStatusString(status));
}

#endif
