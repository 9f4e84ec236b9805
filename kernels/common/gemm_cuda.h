/* Matrix products on the device; the one place that knows cuBLASLt. What struct lrc_gemm says (common/gemm.h)
 * holds, with pointers to device memory.
 *
 * Sums are float32; F32 products are not rounded to TF32. The result depends on the shape, the device and the
 * library's version only: no algorithm that adds in an order of chance (split-K by atomics) is taken.
 *
 * On tests/cuda_host the product is lrc_gemm_run(). */
#ifndef LRC_KERNELS_COMMON_GEMM_CUDA_H
#define LRC_KERNELS_COMMON_GEMM_CUDA_H

#include "common/gemm.h"

struct lrc_stream;

/* errors: DEVICE, with the shape. m, n or k of 0: c is zero or as it was. */
enum lrc_status lrc_gemm_cuda(struct lrc_stream *stream, const struct lrc_gemm *gemm, struct lrc_error *err);

#endif
