/* Quantizing a weight into 4-bit blocks, equal to bitsandbytes to the bit (IEEE reciprocal, as its CPU
 * back-end).
 *
 *   absmax[b] = max |x| over block b of the row-major elements,  code = encode(x * (1 / absmax[b]))
 *   double quantization: offset = mean(absmax); d = absmax - offset in blocks of 256:
 *     nested_absmax = max |d|, absmax_code = entry of the signed dynamic 8-bit map near
 *     d * (1 / nested_absmax)
 *
 * Where bitsandbytes' back-ends differ (sign of a zero and three exact ties in FP4, neighbouring entries of
 * the 8-bit map, all-zero blocks, a partial last block), this is its CPU one: its output can be had, and
 * was compared, on any machine. The stored bytes are valid for all of them. The mean is taken in double:
 * torch's order of summation is not promised.
 *
 * source: Dettmers et al. 2023, arXiv:2305.14314, section 3. */
#ifndef LRC_QUANT_QUANT_H
#define LRC_QUANT_QUANT_H

#include "quantize/quantize.h"
#include "quant/quant_type.h"

struct lrc_quant_options {
    const struct lrc_quant_type *type;
    int64_t                      block_elems; /* power of two, 32 .. 4096; 64 as published */
    int                          double_quant;
};

/* Bytes of everything a quantized (rows, cols) weight needs: codes, absmax or its codes, nested absmax,
 * each part aligned to 64 bytes. The code table and the 8-bit map are static. */
size_t lrc_quant_bytes(int64_t rows, int64_t cols, const struct lrc_quant_options *options);

/* Quantize the dense weight `source` into `storage` (lrc_quant_bytes(), 64-byte aligned) and describe it in
 * *out, on the CPU. No float copy of the weight is made, only, for double quantization, one float per block.
 *
 * errors:    NUMERIC when source holds a non-finite value (names its index); SHAPE; NOMEM.
 * ownership: out borrows storage. */
enum lrc_status lrc_quantize(struct lrc_weight *out, void *storage, const struct lrc_weight *source,
                             const struct lrc_quant_options *options, struct lrc_error *err) LRC_MUST_CHECK;

/* The two halves of it, for a backend that encodes the blocks itself (the op quantize_blocks): its levels,
 * where the codes end, and what is made of one absmax per block, in host memory, behind them: `rest`, of
 * lrc_quant_bytes() - lrc_quant_codes_bytes(), 64-byte aligned. *out gets codes and rest as they are given;
 * source->data is in host memory, and only read to name a value that is not finite.
 *
 * errors: as above. */
void            lrc_quant_levels(struct lrc_quantize_levels *levels, const struct lrc_quant_type *type);
size_t          lrc_quant_codes_bytes(int64_t rows, int64_t cols);
enum lrc_status lrc_quantize_finish(struct lrc_weight *out, const void *codes, void *rest,
                                    const float *absmax, const struct lrc_weight *source,
                                    const struct lrc_quant_options *options,
                                    struct lrc_error               *err) LRC_MUST_CHECK;

/* bitsandbytes' signed dynamic 8-bit map (256), as torch on x86 computes it. */
const float *lrc_quant_dynamic_map(void);

#endif
