#include "backend.h"
#include "dequantize/dequantize_range.h"

enum { SHARE_ELEMS = 16384 }; /* of one thread at a time; starts on a block while block_elems divides it */

enum lrc_status LRC_CPU(dequantize)(struct lrc_stream *stream, const struct lrc_dequantize_args *args,
                                    struct lrc_error *err)
{
    const struct lrc_weight *weight = args->weight;
    const int64_t            n = lrc_tensor_elems(&args->out), last = args->first_elem + n;
    const int64_t first_share = args->first_elem / SHARE_ELEMS,
                  n_shares = (last + SHARE_ELEMS - 1) / SHARE_ELEMS;
    const size_t             bytes = lrc_dtype_bytes(args->out.dtype);
    (void)stream;
    (void)err;
#pragma omp parallel for schedule(static) if (n > LRC_VEC_PARALLEL_MIN)
    for (int64_t share = first_share; share < n_shares; share++) {
        const int64_t begin = share * SHARE_ELEMS > args->first_elem ? share * SHARE_ELEMS : args->first_elem;
        const int64_t end = (share + 1) * SHARE_ELEMS < last ? (share + 1) * SHARE_ELEMS : last;
        unsigned char *out = (unsigned char *)args->out.data + (size_t)(begin - args->first_elem) * bytes;
        dequantize_range(out, args->out.dtype, weight, begin, end - begin);
    }
    return LRC_STATUS_OK;
}
