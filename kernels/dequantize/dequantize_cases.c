#include "common/cases.h"

#include "base/alloc.h"

void lrc_dequantize_cases(const struct lrc_backend *backend);

/* A 4-bit weight of rows x cols with every array on the heap. */
struct blocks {
    struct lrc_weight weight;
    struct lrc_tensor code, absmax, nested_absmax, nested_map;
    uint8_t          *packed, *absmax_code;
};

static uint8_t byte_value(uint64_t seed, int64_t i)
{
    return (uint8_t)((lrc_cases_value(seed, i) + 1.0f) * 128.0f);
}

static struct blocks blocks_new(int64_t rows, int64_t cols, int64_t block_elems, int is_nested)
{
    const int64_t n = rows * cols, n_blocks = (n + block_elems - 1) / block_elems, nested_elems = 3;
    struct blocks b = { .packed = lrc_calloc((n + 1) / 2, 1), .absmax_code = lrc_calloc(n_blocks, 1) };
    cr_assert(b.packed && b.absmax_code, "no memory for a case");
    for (int64_t i = 0; i < (n + 1) / 2; i++)
        b.packed[i] = byte_value(1, i);
    for (int64_t i = 0; i < n_blocks; i++)
        b.absmax_code[i] = byte_value(2, i);
    b.code = lrc_cases_tensor_1d(LRC_DTYPE_F32, 16, 3);
    b.absmax = lrc_cases_tensor_1d(LRC_DTYPE_F32, n_blocks, 4);
    b.nested_map = lrc_cases_tensor_1d(LRC_DTYPE_F32, 256, 5);
    b.nested_absmax = lrc_cases_tensor_1d(LRC_DTYPE_F32, n_blocks / nested_elems + 1, 6);
    b.weight = (struct lrc_weight){ .type = LRC_BLOCK_NF4,
                                    .rows = rows,
                                    .cols = cols,
                                    .dtype = LRC_DTYPE_BF16,
                                    .data = b.packed,
                                    .block_elems = block_elems,
                                    .code = b.code.data };
    if (is_nested) {
        b.weight.absmax_code = b.absmax_code;
        b.weight.nested_absmax = b.nested_absmax.data;
        b.weight.nested_map = b.nested_map.data;
        b.weight.nested_offset = 0.0371f;
        b.weight.nested_block_elems = nested_elems;
    } else {
        b.weight.absmax = b.absmax.data;
    }
    return b;
}

static void blocks_free(struct blocks *b)
{
    lrc_free(b->packed);
    lrc_free(b->absmax_code);
    lrc_cases_free(&b->code);
    lrc_cases_free(&b->absmax);
    lrc_cases_free(&b->nested_map);
    lrc_cases_free(&b->nested_absmax);
}

/* One element, one rounding per operation: volatile keeps the compiler from fusing product and sum. */
static float oracle(const struct lrc_weight *weight, int64_t i)
{
    const uint8_t  byte = ((const uint8_t *)weight->data)[i / 2];
    const int64_t  block = i / weight->block_elems;
    volatile float absmax = 0;
    if (weight->absmax_code) {
        volatile float product = weight->nested_map[weight->absmax_code[block]];
        product = product * weight->nested_absmax[block / weight->nested_block_elems];
        absmax = product + weight->nested_offset;
    } else {
        absmax = weight->absmax[block];
    }
    volatile float value = weight->code[i % 2 == 0 ? byte >> 4 : byte & 15];
    value = value * absmax;
    return value;
}

static void expect_range(const struct lrc_backend *backend, const struct lrc_weight *weight,
                         const struct lrc_tensor *all, int64_t first, int64_t n)
{
    struct lrc_error                 err = { 0 };
    struct lrc_tensor                got = lrc_cases_tensor_1d(all->dtype, n, LRC_CASES_POISON);
    struct lrc_tensor                want = lrc_tensor_rows(all, first, n);
    const struct lrc_dequantize_args args = { weight, first, got };
    lrc_cases_expect_status(backend, "dequantize", lrc_dequantize(backend, NULL, &args, &err), LRC_STATUS_OK,
                            &err);
    lrc_cases_expect_same(backend, "dequantize: a range", &got, &want);
    lrc_cases_free(&got);
}

static void expect_ranges(const struct lrc_backend *backend, const struct lrc_weight *weight,
                          const struct lrc_tensor *all)
{
    const int64_t n = weight->rows * weight->cols;
    expect_range(backend, weight, all, 0, n);
    expect_range(backend, weight, all, n, 0);
    expect_range(backend, weight, all, n - 1, 1);
    for (int64_t first = 0; first < 70 && first < n; first++)
        for (int64_t m = 0; m < 140 && first + m <= n; m += m < 5 ? 1 : 13)
            expect_range(backend, weight, all, first, m);
}

static void expect_blocks(const struct lrc_backend *backend, const int64_t shape[2], int64_t block_elems,
                          int is_nested)
{
    struct blocks b = blocks_new(shape[0], shape[1], block_elems, is_nested);
    const int64_t n = shape[0] * shape[1];
    for (int narrow = 0; narrow < 2; narrow++) {
        struct lrc_tensor want =
            lrc_cases_tensor_1d(narrow ? LRC_DTYPE_BF16 : LRC_DTYPE_F32, n, LRC_CASES_ZERO);
        for (int64_t i = 0; i < n; i++)
            lrc_cases_set(&want, i, (double)oracle(&b.weight, i));
        b.weight.type =
            narrow ? LRC_BLOCK_FP4 : LRC_BLOCK_NF4; /* the code tells them apart, not the arithmetic */
        if (n < 1000)
            expect_ranges(backend, &b.weight, &want);
        else
            for (int64_t first = 0; first < n; first += 16001)
                expect_range(backend, &b.weight, &want, first, n - first);
        lrc_cases_free(&want);
    }
    blocks_free(&b);
}

/* The data begin at an odd byte, as tensors of a mapped file may. */
static void expect_dense(const struct lrc_backend *backend, enum lrc_dtype from, enum lrc_dtype to)
{
    enum { ROWS = 3, COLS = 401, N = ROWS * COLS };
    struct lrc_tensor source = lrc_cases_tensor_1d(from, N, 9),
                      want = lrc_cases_tensor_1d(to, N, LRC_CASES_ZERO);
    lrc_cases_set(&source, 3, (double)INFINITY);
    lrc_cases_set(&source, 4, 0x1p-24); /* the least half */
    lrc_cases_set(&source, 5, -0.0);
    for (int64_t i = 0; i < N; i++)
        lrc_cases_set(&want, i, lrc_cases_get(&source, i));
    const size_t   size = N * lrc_dtype_bytes(from);
    unsigned char *shifted = lrc_calloc((int64_t)size + 1, 1);
    cr_assert(shifted, "no memory for a case");
    memcpy(shifted + 1, source.data, size);
    const struct lrc_weight weight = {
        .type = LRC_BLOCK_DENSE, .rows = ROWS, .cols = COLS, .dtype = from, .data = shifted + 1
    };
    expect_range(backend, &weight, &want, 0, N);
    for (int64_t first = 0; first < 40; first++)
        expect_range(backend, &weight, &want, first, 3 * first + 1);
    lrc_free(shifted);
    lrc_cases_free(&source);
    lrc_cases_free(&want);
}

static void expect_refusals(const struct lrc_backend *backend)
{
    struct blocks     b = blocks_new(2, 64, 64, 1);
    struct lrc_tensor out = lrc_cases_tensor_1d(LRC_DTYPE_F32, 64, LRC_CASES_POISON);
    struct lrc_tensor half = out;
    half.dtype = LRC_DTYPE_F16;
    struct lrc_weight no_code = b.weight, odd_block = b.weight, no_map = b.weight, unknown = b.weight,
                      no_data = b.weight, with_room = b.weight;
    no_code.code = NULL;
    odd_block.block_elems = 48;
    no_map.nested_map = NULL;
    unknown.type = (enum lrc_block_type)99;
    no_data.data = NULL;
    with_room.type = LRC_BLOCK_DENSE;
    with_room.room = 1;
    const struct {
        const char                *what;
        struct lrc_dequantize_args args;
    } bad[] = { { "no weight", { NULL, 0, out } },          { "before the start", { &b.weight, -1, out } },
                { "past the end", { &b.weight, 65, out } }, { "F16 result", { &b.weight, 0, half } },
                { "no code", { &no_code, 0, out } },        { "block of 48", { &odd_block, 0, out } },
                { "no nested map", { &no_map, 0, out } },   { "unknown type", { &unknown, 0, out } },
                { "no data", { &no_data, 0, out } },        { "rows apart", { &with_room, 0, out } } };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct lrc_error err = { 0 };
        lrc_cases_expect_status(backend, bad[i].what, lrc_dequantize(backend, NULL, &bad[i].args, &err),
                                LRC_STATUS_SHAPE, &err);
    }
    lrc_cases_free(&out);
    blocks_free(&b);
}

void lrc_dequantize_cases(const struct lrc_backend *backend)
{
    static const int64_t        block_elems[] = { 2, 16, 64, 256 };
    static const enum lrc_dtype dtypes[] = { LRC_DTYPE_F32, LRC_DTYPE_BF16, LRC_DTYPE_F16 };
    for (int nested = 0; nested < 2; nested++) {
        for (size_t i = 0; i < sizeof block_elems / sizeof block_elems[0]; i++)
            expect_blocks(backend, (int64_t[]){ 7, 37 }, block_elems[i], nested);
        expect_blocks(backend, (int64_t[]){ 1, 1 }, 64, nested);
        expect_blocks(backend, (int64_t[]){ 301, 257 }, 64, nested); /* several threads, blocks across rows */
    }
    for (int from = 0; from < 3; from++)
        for (int to = 0; to < 2; to++)
            expect_dense(backend, dtypes[from], dtypes[to]);
    expect_refusals(backend);
}

struct row {
    const struct lrc_backend *backend;
    struct blocks             blocks;
    struct lrc_tensor         out;
};

static void run(void *context)
{
    const struct row                *t = context;
    const struct lrc_dequantize_args args = { &t->blocks.weight, 0, t->out };
    LRC_CASES_RUN(t->backend, dequantize, &args);
}

static void check_row(void *context, const char *name)
{
    const struct row *t = context;
    (void)name;
    expect_blocks(t->backend, (int64_t[]){ t->blocks.weight.rows, t->blocks.weight.cols }, 64, 1);
}

void lrc_dequantize_rows(const struct lrc_cases_walk *walk);
void lrc_dequantize_rows(const struct lrc_cases_walk *walk)
{
    const int64_t rows = walk->step.intermediate, cols = walk->step.hidden;
    struct row    t = { walk->backend, blocks_new(rows, cols, 64, 1),
                        lrc_cases_tensor_1d(walk->step.activation, rows * cols, LRC_CASES_POISON) };
    const struct lrc_cases_row row = { "intermediate x hidden, double quantization", run, check_row, &t };
    walk->visit(&row);
    lrc_cases_free(&t.out);
    blocks_free(&t.blocks);
}
