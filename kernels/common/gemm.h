/* Matrix products by oneDNN; the one place that knows the library.
 *
 *   c (m,n) = a (m,k) b (k,n)      or      c += a b,      sums in float32
 *
 * Primitives are made once per shape and kept in a cache, so that only the first call of a shape allocates.
 * One product runs at a time; it uses all OpenMP threads. For a given number of threads the result has the
 * same bits every time. */
#ifndef LRC_KERNELS_COMMON_GEMM_H
#define LRC_KERNELS_COMMON_GEMM_H

#include "tensor/tensor.h"

/* Row-major with `stride` elements from row to row. transposed: stored as the transpose of what the product
 * uses. */
struct lrc_gemm_operand {
    const void *data;
    int64_t     stride;
    int         transposed;
};

enum lrc_gemm_mode { LRC_GEMM_SET, LRC_GEMM_ADD };

struct lrc_gemm {
    int64_t                 m, n, k;
    struct lrc_gemm_operand a; /* (m,k), or (k,m) when transposed */
    struct lrc_gemm_operand b; /* (k,n), or (n,k) when transposed */
    void                   *c; /* (m,n) */
    int64_t                 c_stride;
    enum lrc_dtype          dtype;   /* of a and b: F32 or BF16 */
    enum lrc_dtype          c_dtype; /* F32, or BF16 when dtype is BF16 and mode is SET */
    enum lrc_gemm_mode      mode;
};

/* errors: SHAPE when sizes, strides or types are not as above; NOMEM; DEVICE when oneDNN fails. */
enum lrc_status lrc_gemm_run(const struct lrc_gemm *gemm, struct lrc_error *err) LRC_MUST_CHECK;

/* Free all that the cache holds. For the end of the program; a later product starts a new cache. */
void lrc_gemm_release(void);

/* Measured speed of a large square product, about 0.3 s for each type; *gflops_bf16 is 0 when the CPU has no
 * bf16.
 *
 * errors: NOMEM, DEVICE. */
enum lrc_status lrc_gemm_peak(double *gflops_f32, double *gflops_bf16, struct lrc_error *err) LRC_MUST_CHECK;

struct lrc_gemm_shape {
    int64_t        m, n, k;    /* each at least 1 */
    int            transposed; /* b is stored (n,k) */
    enum lrc_dtype dtype;      /* of a, b and c: F32 or BF16; BF16 is measured as F32 by a CPU without it */
};

/* oneDNN's best speed at this shape, of weights as they lie and of weights packed as it likes them best:
 * single products repeated for `seconds` each, the fastest one counts. Buffers are freed before it returns.
 *
 * errors: NOMEM, DEVICE. */
enum lrc_status lrc_gemm_best(double *gflops, const struct lrc_gemm_shape *shape, double seconds,
                              struct lrc_error *err) LRC_MUST_CHECK;

#endif
