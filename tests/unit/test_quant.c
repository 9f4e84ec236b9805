/* Golden hashes: an independent implementation of bitsandbytes' rules, confirmed by running bitsandbytes
 * 0.50.2. The inputs come from a formula, exact in float32. */
#include "base/alloc.h"
#include "quant/quant.h"
#include "support.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

/* ((h >> 8) & mask) - half) / half * (1 + (i / 64) mod 7), h = i * 2654435761 mod 2^32 */
static float *generate(int64_t n, uint32_t mask)
{
    const float half = (float)(mask / 2 + 1);
    float      *x = lrc_calloc(n, sizeof *x);
    cr_assert(x);
    for (int64_t i = 0; i < n; i++) {
        const uint32_t h = (uint32_t)i * 2654435761u;
        x[i] = ((float)((h >> 8) & mask) - half) / half * (float)(1 + i / 64 % 7);
    }
    return x;
}

static float absmax_of(const struct lrc_weight *w, int64_t block)
{
    if (!w->absmax_code)
        return w->absmax[block];
    const float product =
        w->nested_map[w->absmax_code[block]] * w->nested_absmax[block / w->nested_block_elems];
    return product + w->nested_offset;
}

static float value_of(const struct lrc_weight *w, int64_t i)
{
    const uint8_t byte = ((const uint8_t *)w->data)[i / 2];
    return w->code[i % 2 == 0 ? byte >> 4 : byte & 15] * absmax_of(w, i / w->block_elems);
}

static struct lrc_weight quantize(void **storage, const void *x, enum lrc_dtype dtype, int64_t rows,
                                  int64_t cols, const struct lrc_quant_options *options)
{
    const struct lrc_weight source = { .rows = rows, .cols = cols, .dtype = dtype, .data = x };
    struct lrc_weight       w;
    struct lrc_error        err;
    *storage = lrc_calloc((int64_t)lrc_quant_bytes(rows, cols, options), 1);
    cr_assert(*storage);
    cr_assert_eq(lrc_quantize(&w, *storage, &source, options, &err), LRC_STATUS_OK, "%s", err.message);
    return w;
}

static const struct lrc_quant_options *options_of(const char *type, int64_t block, int double_quant)
{
    static struct lrc_quant_options options;
    options = (struct lrc_quant_options){ lrc_quant_type_find(type), block, double_quant };
    cr_assert(options.type);
    return &options;
}

Test(quant, dynamic_map_is_the_one_torch_makes)
{
    cr_expect_eq(test_fnv(lrc_quant_dynamic_map(), 256 * sizeof(float)), 0xd677f22a96665bc4u);
}

Test(quant, nf4_equals_bitsandbytes)
{
    enum { N = 1024 };
    float            *x = generate(N, 0xffff), out[N];
    uint16_t          out16[N];
    void             *storage;
    struct lrc_weight w = quantize(&storage, x, LRC_DTYPE_F32, 16, 64, options_of("nf4", 64, 0));
    cr_expect_eq(test_fnv(x, sizeof out), 0x7e56af96233e1073u, "the input itself");
    cr_expect_eq(test_fnv(w.data, N / 2), 0x3cfa2d0d2b9a5321u);
    cr_expect_eq(test_fnv(w.absmax, 16 * sizeof(float)), 0x250766bf2abf87f8u);
    for (int i = 0; i < N; i++)
        out[i] = value_of(&w, i);
    lrc_dtype_from_f32(out16, LRC_DTYPE_BF16, out, N);
    cr_expect_eq(test_fnv(out, sizeof out), 0xd9d414d9051a5123u);
    cr_expect_eq(test_fnv(out16, sizeof out16), 0x9bffa7ce530a5c60u);
    lrc_free(storage);
    lrc_free(x);
}

Test(quant, fp4_equals_bitsandbytes_on_the_cpu)
{
    float            *x = generate(1024, 0xffff);
    void             *storage;
    struct lrc_weight w = quantize(&storage, x, LRC_DTYPE_F32, 16, 64, options_of("fp4", 64, 0));
    cr_expect_eq(test_fnv(w.data, 512), 0x88c1927d694146c6u);
    lrc_free(storage);
    lrc_free(x);
}

Test(quant, double_quantization_equals_bitsandbytes_on_the_cpu)
{
    static const float reconstructed[4] = { 0.990886927f, 1.97303176f, 2.95517659f, 3.96901584f };
    float             *x = generate(65536, 0xff);
    void              *storage;
    struct lrc_weight  w = quantize(&storage, x, LRC_DTYPE_F32, 256, 256, options_of("nf4", 64, 1));
    cr_expect_eq(test_fnv(w.data, 32768), 0x475e95179ab9a72au);
    cr_expect_eq(test_fnv(w.absmax_code, 1024), 0x468f80b4d5a533c1u);
    cr_expect_eq(w.nested_offset, 0x1.fb514p+1f);
    for (int k = 0; k < 4; k++) {
        cr_expect_eq(w.nested_absmax[k], 0x1.84aecp+1f);
        cr_expect_eq(absmax_of(&w, k), reconstructed[k], "block %d: %.9g", k, (double)absmax_of(&w, k));
    }
    lrc_free(storage);
    lrc_free(x);
}

Test(quant, types_are_found_by_name_and_by_block_type)
{
    cr_expect_null(lrc_quant_type_find("nf5"));
    cr_expect_null(lrc_quant_type_of(LRC_BLOCK_DENSE));
    for (const struct lrc_quant_type *const *type = lrc_quant_type_all; *type; type++) {
        cr_expect_eq(lrc_quant_type_find((*type)->name), *type);
        cr_expect_eq(lrc_quant_type_of((*type)->type), *type);
    }
}

/* The code of a value within [-1, 1]: in a block whose absmax is 1. */
static uint8_t code_of(const struct lrc_quant_type *type, float value)
{
    float             x[64] = { value, 1.0f };
    void             *storage;
    struct lrc_weight w = quantize(&storage, x, LRC_DTYPE_F32, 1, 64, options_of(type->name, 64, 0));
    const uint8_t     code = *(const uint8_t *)w.data >> 4;
    lrc_free(storage);
    return code;
}

Test(quant, every_code_value_encodes_to_a_code_of_the_same_value)
{
    for (const struct lrc_quant_type *const *type = lrc_quant_type_all; *type; type++)
        for (int i = 0; i < 16; i++) {
            const uint8_t code = code_of(*type, (*type)->code[i]);
            cr_expect_eq((*type)->code[code], (*type)->code[i], "%s code %d gave %d", (*type)->name, i, code);
        }
}

/* Half the widest gap between codes bounds the error of every element, over block sizes, tails and dtypes. */
Test(quant, error_is_within_half_the_widest_gap)
{
    static const int64_t blocks[] = { 32, 64, 128, 4096 };
    enum { ROWS = 5, COLS = 1031 };
    float   *x = generate(ROWS * COLS, 0xffff);
    uint16_t x16[ROWS * COLS];
    lrc_dtype_from_f32(x16, LRC_DTYPE_BF16, x, ROWS * COLS);
    lrc_dtype_to_f32(x, x16, LRC_DTYPE_BF16, ROWS * COLS);
    for (const struct lrc_quant_type *const *type = lrc_quant_type_all; *type; type++)
        for (size_t b = 0; b < sizeof blocks / sizeof *blocks; b++) {
            void             *storage;
            struct lrc_weight w =
                quantize(&storage, x16, LRC_DTYPE_BF16, ROWS, COLS, options_of((*type)->name, blocks[b], 0));
            const double gap = (*type)->type == LRC_BLOCK_NF4 ? 0.31 : 0.34;
            for (int64_t i = 0; i < ROWS * COLS; i++)
                cr_assert(fabs((double)value_of(&w, i) - (double)x[i]) <=
                              gap / 2 * (double)absmax_of(&w, i / blocks[b]),
                          "%s block %d element %d", (*type)->name, (int)blocks[b], (int)i);
            lrc_free(storage);
        }
    lrc_free(x);
}

Test(quant, zero_blocks_give_zeros)
{
    float x[200] = { 0 };
    for (const struct lrc_quant_type *const *type = lrc_quant_type_all; *type; type++) {
        void             *storage;
        struct lrc_weight w = quantize(&storage, x, LRC_DTYPE_F32, 1, 200, options_of((*type)->name, 64, 0));
        for (int i = 0; i < 200; i++)
            cr_expect(value_of(&w, i) == 0.0f);
        lrc_free(storage);
    }
    void             *storage;
    struct lrc_weight w = quantize(&storage, x, LRC_DTYPE_F32, 1, 200, options_of("nf4", 64, 0));
    cr_expect_eq(*(const uint8_t *)w.data, 0x77);
    lrc_free(storage);
}

Test(quant, unaligned_source_gives_the_same_blocks)
{
    enum { N = 640 };
    float        *x = generate(N, 0xffff);
    uint16_t      x16[N];
    unsigned char shifted[2 * N + 1];
    void         *storage[2];
    lrc_dtype_from_f32(x16, LRC_DTYPE_F16, x, N);
    memcpy(shifted + 1, x16, sizeof x16);
    struct lrc_weight a = quantize(&storage[0], x16, LRC_DTYPE_F16, 10, 64, options_of("nf4", 64, 0));
    struct lrc_weight b = quantize(&storage[1], shifted + 1, LRC_DTYPE_F16, 10, 64, options_of("nf4", 64, 0));
    cr_expect_arr_eq(a.data, b.data, N / 2);
    lrc_free(storage[0]);
    lrc_free(storage[1]);
    lrc_free(x);
}

Test(quant, non_finite_value_is_refused_with_its_index)
{
    static const float bad[] = { NAN, INFINITY, -INFINITY };
    for (int k = 0; k < 3; k++) {
        float                  *x = generate(40000, 0xffff);
        const struct lrc_weight source = { .rows = 100, .cols = 400, .dtype = LRC_DTYPE_F32, .data = x };
        const struct lrc_quant_options *options = options_of("nf4", 64, 1);
        void                           *storage = lrc_calloc((int64_t)lrc_quant_bytes(100, 400, options), 1);
        struct lrc_weight               w;
        struct lrc_error                err;
        x[39999] = bad[k];
        x[12345] = bad[k];
        cr_expect_eq(lrc_quantize(&w, storage, &source, options, &err), LRC_STATUS_NUMERIC);
        cr_expect(strstr(err.message, "12345"), "%s", err.message);
        lrc_free(storage);
        lrc_free(x);
    }
}

Test(quant, bad_block_size_is_refused)
{
    float                   x[64] = { 0 };
    unsigned char           storage[256];
    const struct lrc_weight source = { .rows = 1, .cols = 64, .dtype = LRC_DTYPE_F32, .data = x };
    static const int64_t    blocks[] = { 16, 48, 8192, 0, -64 };
    struct lrc_weight       w;
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
        cr_expect_eq(lrc_quantize(&w, storage, &source, options_of("nf4", blocks[i], 0), NULL),
                     LRC_STATUS_SHAPE);
}

/* Thresholds are the float32 means of neighbours; the tie itself belongs to the lower of the two. */
Test(quant, ties_go_to_the_lower_code)
{
    const struct lrc_quant_type *nf4 = lrc_quant_type_find("nf4");
    for (int i = 0; i < 15; i++) {
        const float tie = (nf4->code[i] + nf4->code[i + 1]) / 2.0f;
        cr_expect_eq(code_of(nf4, tie), i, "tie %d went to %d", i, code_of(nf4, tie));
        cr_expect_eq(code_of(nf4, nextafterf(tie, 2.0f)), i + 1, "above tie %d", i);
    }
}
