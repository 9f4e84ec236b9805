/* Matrix products on the device; the one place that knows cuBLASLt. What struct lrc_gemm says (common/gemm.h)
 * holds, with pointers to device memory.
 *
 * Sums are float32; F32 products are not rounded to TF32. The result depends on the shape, the device, the
 * library's version and the size of the room only: a sum that is split is added in a fixed order (in the
 * room), never by atomics.
 *
 * On tests/cuda_host the product is lrc_gemm_run(). */
#ifndef LRC_KERNELS_COMMON_GEMM_CUDA_H
#define LRC_KERNELS_COMMON_GEMM_CUDA_H

#include "common/gemm.h"

struct lrc_stream;

/* Device memory in which partial sums may lie during a call; none is fine, and slower for long sums of small
 * results. */
struct lrc_gemm_room {
    void  *memory; /* at a multiple of 256 */
    size_t size_bytes;
};

constexpr size_t LRC_GEMM_ROOM_BYTES = 32 << 20; /* more than that is of no use */

/* Beside what lrc_gemm_run() takes: c_dtype BF16 with LRC_GEMM_ADD, rounded once.
 *
 * errors: DEVICE, with the shape. m, n or k of 0: c is zero or as it was. */
enum lrc_status lrc_gemm_cuda(struct lrc_stream *stream, const struct lrc_gemm *gemm,
                              const struct lrc_gemm_room *room, struct lrc_error *err);

#endif
