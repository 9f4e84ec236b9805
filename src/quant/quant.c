#include "quant/quant.h"

#include "backend.h"
#include "base/alloc.h"
#include <math.h>
#include <pthread.h>
#include <string.h>

enum { BLOCK_MIN = 32, BLOCK_MAX = 4096, NESTED_ELEMS = 256, ALIGN_BYTES = 64, PARALLEL_BLOCKS_MIN = 256 };

static size_t round_up(size_t n)
{
    return (n + ALIGN_BYTES - 1) / ALIGN_BYTES * ALIGN_BYTES;
}

static int64_t divide_up(int64_t n, int64_t by)
{
    return (n + by - 1) / by;
}

size_t lrc_quant_codes_bytes(int64_t rows, int64_t cols)
{
    return round_up((size_t)divide_up(rows * cols, 2));
}

/* Where the parts of a quantized weight lie in its storage. */
struct layout {
    int64_t n_elems, n_blocks, n_nested;
    size_t  absmax_at, nested_at, size_bytes;
};

static struct layout lay_out(int64_t rows, int64_t cols, const struct lrc_quant_options *options)
{
    struct layout layout = { .n_elems = rows * cols };
    layout.n_blocks = divide_up(layout.n_elems, options->block_elems);
    layout.n_nested = options->double_quant ? divide_up(layout.n_blocks, NESTED_ELEMS) : 0;
    layout.absmax_at = lrc_quant_codes_bytes(rows, cols);
    layout.nested_at =
        layout.absmax_at + round_up((size_t)layout.n_blocks * (options->double_quant ? 1 : sizeof(float)));
    layout.size_bytes = layout.nested_at + round_up((size_t)layout.n_nested * sizeof(float));
    return layout;
}

size_t lrc_quant_bytes(int64_t rows, int64_t cols, const struct lrc_quant_options *options)
{
    return lay_out(rows, cols, options).size_bytes;
}

static enum lrc_status fail_nonfinite(const struct lrc_weight        *source,
                                      const struct lrc_quant_options *options, int64_t block,
                                      struct lrc_error *err)
{
    const size_t  elem_bytes = lrc_dtype_bytes(source->dtype);
    float         x[BLOCK_MAX];
    const int64_t first = block * options->block_elems, n_elems = source->rows * source->cols;
    const int64_t n = n_elems - first < options->block_elems ? n_elems - first : options->block_elems;
    int64_t       i = 0;
    lrc_dtype_to_f32(x, (const unsigned char *)source->data + (size_t)first * elem_bytes, source->dtype, n);
    while (i < n - 1 && isfinite(x[i]))
        i++;
    return lrc_fail(err, LRC_STATUS_NUMERIC, "element %lld: want a finite value to quantize, got %g",
                    (long long)(first + i), (double)x[i]);
}

/* bitsandbytes' CPU back-end does not search the map: it looks up one of 65536 evenly spaced bins,
 *   bin = trunc((y + 1) / 2 * 65535 + 1/2)  (sum and product fused),  code = number of midpoints below 2
 *   bin / 65535 - 1
 * so that 0 becomes code 131, not 127. */
enum { N_BINS = 65536 };
static uint8_t        code_of_bin[N_BINS];
static pthread_once_t bins_once = PTHREAD_ONCE_INIT;

static void fill_bins(void)
{
    const float *map = lrc_quant_dynamic_map();
    int          code = 0;
    for (int bin = 0; bin < N_BINS; bin++) {
        const float at = -1.0f + 2.0f * (float)bin / 65535.0f;
        while (code < 255 && 0.5f * (map[code] + map[code + 1]) < at)
            code++;
        code_of_bin[bin] = (uint8_t)code;
    }
}

static uint8_t encode_dynamic(float y)
{
    const float half = (y + 1.0f) * 0.5f;
    /* exact in double: one rounding, as an fma */
    return code_of_bin[(int32_t)(float)((double)half * 65535.0 + 0.5)];
}

static float quantize_nested(uint8_t *codes, const float *absmax, float offset, int64_t n)
{
    float most = 0.0f;
    for (int64_t i = 0; i < n; i++)
        most = fmaxf(most, fabsf(absmax[i] - offset));
    const float inverse = 1.0f / most;
    for (int64_t i = 0; i < n; i++) {
        const float y = (absmax[i] - offset) * inverse;
        codes[i] = most > 0.0f ? encode_dynamic(fminf(fmaxf(y, -1.0f), 1.0f)) : 0; /* 0 in a block of zeros */
    }
    return most;
}

static void quantize_absmax(struct lrc_weight *out, unsigned char *rest, const float *absmax,
                            const struct layout *layout)
{
    uint8_t *codes = rest;
    float   *nested = (float *)(void *)(rest + (layout->nested_at - layout->absmax_at));
    double   sum = 0.0;
    for (int64_t b = 0; b < layout->n_blocks; b++)
        sum += (double)absmax[b];
    const float offset = (float)(sum / (double)layout->n_blocks);
    (void)pthread_once(&bins_once, fill_bins);
#pragma omp parallel for schedule(static) if (layout->n_blocks >= PARALLEL_BLOCKS_MIN)
    for (int64_t k = 0; k < layout->n_nested; k++) {
        const int64_t first = k * NESTED_ELEMS, left = layout->n_blocks - first;
        nested[k] =
            quantize_nested(codes + first, absmax + first, offset, left < NESTED_ELEMS ? left : NESTED_ELEMS);
    }
    out->nested_offset = offset;
    out->absmax_code = codes;
    out->nested_absmax = nested;
    out->nested_map = lrc_quant_dynamic_map();
    out->nested_block_elems = NESTED_ELEMS;
}

static enum lrc_status check(const struct lrc_weight *source, const struct lrc_quant_options *options,
                             struct lrc_error *err)
{
    const int64_t block = options->block_elems;
    if (!options->type || block < BLOCK_MIN || block > BLOCK_MAX || (block & (block - 1)) != 0)
        return lrc_fail(err, LRC_STATUS_SHAPE,
                        "quantize: want a type and a block of a power of two from %d to %d, got %lld",
                        BLOCK_MIN, BLOCK_MAX, (long long)block);
    if (source->type != LRC_BLOCK_DENSE || !lrc_dtype_is_float(source->dtype))
        return lrc_fail(err, LRC_STATUS_SHAPE, "quantize: want a dense weight of F32, F16 or BF16");
    if (source->rows < 1 || source->cols < 1 || source->cols > INT64_MAX / 8 / source->rows)
        return lrc_fail(err, LRC_STATUS_SHAPE,
                        "quantize: want rows and columns of at least 1, got %lld x %lld",
                        (long long)source->rows, (long long)source->cols);
    return LRC_STATUS_OK;
}

enum lrc_status lrc_quantize_finish(struct lrc_weight *out, const void *codes, void *rest,
                                    const float *absmax, const struct lrc_weight *source,
                                    const struct lrc_quant_options *options, struct lrc_error *err)
{
    const struct layout layout = lay_out(source->rows, source->cols, options);
    for (int64_t b = 0; b < layout.n_blocks; b++)
        if (!isfinite(absmax[b]))
            return fail_nonfinite(source, options, b, err);
    *out = (struct lrc_weight){ .type = options->type->type,
                                .rows = source->rows,
                                .cols = source->cols,
                                .dtype = source->dtype,
                                .data = codes,
                                .block_elems = options->block_elems,
                                .code = options->type->code };
    if (options->double_quant) {
        quantize_absmax(out, rest, absmax, &layout);
        return LRC_STATUS_OK;
    }
    if (rest != absmax)
        memcpy(rest, absmax, (size_t)layout.n_blocks * sizeof *absmax);
    out->absmax = rest;
    return LRC_STATUS_OK;
}

/* In ascending order, equal ones as they come; an element in the middle between two values belongs to the
 * lower. */
void lrc_quant_levels(struct lrc_quantize_levels *levels, const struct lrc_quant_type *type)
{
    for (int i = 0; i < 16; i++) {
        int at = i;
        for (; at > 0 && type->code[levels->code[at - 1]] > type->code[i]; at--)
            levels->code[at] = levels->code[at - 1];
        levels->code[at] = (uint8_t)i;
    }
    for (int i = 0; i < 15; i++)
        levels->threshold[i] = (type->code[levels->code[i]] + type->code[levels->code[i + 1]]) * 0.5f;
}

enum lrc_status lrc_quantize(struct lrc_weight *out, void *storage, const struct lrc_weight *source,
                             const struct lrc_quant_options *options, struct lrc_error *err)
{
    LRC_TRY(check(source, options, err));
    const struct layout layout = lay_out(source->rows, source->cols, options);
    unsigned char      *codes = storage, *rest = codes + layout.absmax_at;
    float              *own = NULL, *absmax = (float *)(void *)rest;
    if (options->double_quant) {
        absmax = own = lrc_calloc(layout.n_blocks, sizeof *own);
        if (!own)
            return lrc_fail_nomem(err, "quantize");
    }
    struct lrc_quantize_blocks_args args = {
        .x = lrc_tensor_1d((void *)(uintptr_t)source->data, source->dtype, layout.n_elems),
        .block_elems = options->block_elems,
        .packed = codes,
        .absmax = absmax,
    };
    lrc_quant_levels(&args.levels, options->type);
    enum lrc_status status = lrc_quantize_blocks(lrc_backend_cpu(), NULL, &args, err);
    if (status == LRC_STATUS_OK)
        status = lrc_quantize_finish(out, codes, rest, absmax, source, options, err);
    lrc_free(own);
    return status;
}
