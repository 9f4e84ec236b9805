/* The op against src/quant, whose bytes are bitsandbytes': the same codes and absmax for both formats. */
#include "backend.h"
#include "base/alloc.h"
#include "quant/quant.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

static const uint8_t nf4_ascending[16] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 };
static const uint8_t fp4_ascending[16] = { 11, 10, 13, 12, 15, 14, 9, 0, 8, 1, 6, 7, 4, 5, 2, 3 };

static struct lrc_quantize_levels levels_of(const struct lrc_quant_type *type, const uint8_t ascending[16])
{
    struct lrc_quantize_levels levels;
    memcpy(levels.code, ascending, sizeof levels.code);
    for (int i = 0; i < 15; i++)
        levels.threshold[i] = (type->code[ascending[i]] + type->code[ascending[i + 1]]) * 0.5f;
    return levels;
}

static void expect_same(const char *name, const uint8_t ascending[16], enum lrc_dtype dtype, int64_t n)
{
    const struct lrc_quant_options options = { lrc_quant_type_find(name), 64, 0 };
    const int64_t                  n_blocks = (n + 63) / 64, n_bytes = (n + 1) / 2;
    struct lrc_error               err = { 0 };
    float   *x = lrc_calloc(n, sizeof *x), *absmax = lrc_calloc(n_blocks, sizeof *absmax);
    void    *data = lrc_calloc(n, 4), *storage = lrc_calloc((int64_t)lrc_quant_bytes(1, n, &options), 1);
    uint8_t *packed = lrc_calloc(n_bytes, 1);
    cr_assert(options.type && x && absmax && data && storage && packed);
    for (int64_t i = 0; i < n; i++)
        x[i] = sinf((float)i * 0.7f) * (float)(i % 97) * (i / 64 % 5 == 4 ? 0.0f : 0.01f);
    lrc_dtype_from_f32(data, dtype, x, n);
    const struct lrc_weight source = { .rows = 1, .cols = n, .dtype = dtype, .data = data };
    struct lrc_weight       want;
    cr_assert_eq(lrc_quantize(&want, storage, &source, &options, &err), LRC_STATUS_OK, "%s", err.message);
    const struct lrc_quantize_blocks_args args = { lrc_tensor_1d(data, dtype, n), 64,
                                                   levels_of(options.type, ascending), packed, absmax };
    cr_assert_eq(lrc_quantize_blocks(lrc_backend_cpu(), NULL, &args, &err), LRC_STATUS_OK, "%s", err.message);
    cr_expect_eq(memcmp(packed, want.data, (size_t)n_bytes), 0, "%s: codes", name);
    cr_expect_eq(memcmp(absmax, want.absmax, (size_t)n_blocks * sizeof *absmax), 0, "%s: absmax", name);
    lrc_free(x);
    lrc_free(absmax);
    lrc_free(data);
    lrc_free(storage);
    lrc_free(packed);
}

Test(quantize_blocks, nf4_and_fp4_have_the_bytes_of_quant)
{
    static const enum lrc_dtype dtypes[] = { LRC_DTYPE_F32, LRC_DTYPE_BF16, LRC_DTYPE_F16 };
    for (int d = 0; d < 3; d++)
        for (int64_t n = 63; n < 70000; n = n * 8 + 1) {
            expect_same("nf4", nf4_ascending, dtypes[d], n);
            expect_same("fp4", fp4_ascending, dtypes[d], n);
        }
}
