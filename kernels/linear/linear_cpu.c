#include "backend.h"
#include "base/rng.h"
#include "common/gemm.h"
#include "common/vec_cpu.h"
#include "linear/linear_few.h"
#include "linear/linear_product.h"
#include "linear/linear_rank.h"

struct scratch {
    unsigned char *copies, *thread;
    uint32_t      *low;
    float         *d_u, *sums, *bias;
    size_t         thread_bytes;
};

static struct scratch scratch_place(void *workspace, const struct lrc_linear_cpu_layout *layout)
{
    unsigned char *base = workspace;
    return (struct scratch){ .copies = base + layout->copies,
                             .thread = base + layout->thread,
                             .low = (uint32_t *)(void *)(base + layout->low),
                             .d_u = (float *)(void *)(base + layout->d_u),
                             .sums = (float *)(void *)(base + layout->sums),
                             .bias = (float *)(void *)(base + layout->bias),
                             .thread_bytes = layout->thread_bytes };
}

/* Pairs need the instruction, and code for it: a narrower backend may run on a machine that has it. */
static struct word word_of(enum lrc_dtype compute)
{
    const int in_pairs = (int)TILE_HAS_PAIRS && compute == LRC_DTYPE_BF16 && lrc_backend_cpu_has_bf16();
    return (struct word){ compute, in_pairs ? 2 : 1 };
}

/* ---- activations as words ---- */

/* Rows of an activation, some at a time. */
struct source {
    const struct lrc_tensor  *tensor;
    const struct lrc_dropout *dropout; /* NULL: none */
};

static int source_is_direct(const struct source *source, struct word word)
{
    return source->tensor->dtype == word.compute && !source->dropout &&
           (size_t)word.elems * lrc_dtype_bytes(word.compute) == sizeof(uint32_t) &&
           source->tensor->shape[1] % word.elems == 0 && source->tensor->stride[0] % word.elems == 0 &&
           ((uintptr_t)source->tensor->data & (sizeof(uint32_t) - 1)) == 0;
}

/* Rows that fit copies when each of the given sources that is not direct is copied. */
static int64_t rows_at_a_time(const struct source *const sources[2], struct word word)
{
    const int64_t n_rows = sources[0]->tensor->shape[0];
    int64_t       n_words = 0, width = 0;
    for (int i = 0; i < 2; i++) {
        const int64_t n_cols = sources[i]->tensor->shape[1];
        n_words += source_is_direct(sources[i], word) ? 0 : word_count(word, n_cols);
        width += n_cols;
    }
    const int64_t rows = n_words > 0 ? lrc_linear__cpu_copy_words(n_rows, width) / n_words : n_rows;
    return rows < n_rows ? rows : n_rows;
}

/* to = n elements of a row from column c, masked, in words. */
static void copy_block(uint32_t *to, struct word word, const struct source *source, int64_t row, int64_t c,
                       int64_t n)
{
    if (source->tensor->dtype == LRC_DTYPE_F32 && word.elems == 2 && !source->dropout && n % 2 == 0) {
        lrc_vec_to_bf16((uint16_t *)(void *)to, lrc_vec_at(source->tensor, row, c), n);
        return;
    }
    LRC_VEC_BUFFER(wide);
    const void *from = lrc_vec_at(source->tensor, row, c);
    if (source->tensor->dtype == LRC_DTYPE_F32)
        memcpy(wide, from, (size_t)n * sizeof *wide);
    else
        lrc_vec_from_bf16(wide, from, n);
    if (source->dropout) {
        LRC_VEC_BUFFER(keep);
        dropout_factors(keep, source->dropout, row, c, n);
#pragma omp simd
        for (int64_t i = 0; i < n; i++)
            wide[i] *= keep[i];
    }
    if (word.compute == LRC_DTYPE_BF16) {
        _Alignas(LRC_VEC_ALIGN) uint16_t narrow[LRC_VEC_BLOCK + 1];
        lrc_vec_to_bf16(narrow, wide, n);
        narrow[n] = 0;
        if (word.elems == 2) {
            memcpy(to, narrow, (size_t)word_count(word, n) * sizeof *to);
            return;
        }
        lrc_vec_from_bf16(wide, narrow, n);
    }
    memcpy(to, wide, (size_t)n * sizeof *to);
}

/* Rows [first, first + n) where they lie, or copied to *room, which is moved on. */
static struct word_rows source_rows(const struct source *source, struct word word, int64_t first, int64_t n,
                                    uint32_t **room)
{
    const int64_t n_cols = source->tensor->shape[1], stride = word_count(word, n_cols);
    if (source_is_direct(source, word))
        return (struct word_rows){ lrc_vec_at(source->tensor, first, 0),
                                   source->tensor->stride[0] / word.elems };
    uint32_t *to = *room;
    *room += n * stride;
#pragma omp parallel for schedule(static) if (n * n_cols > LRC_VEC_PARALLEL_MIN)
    for (int64_t r = 0; r < n; r++)
        for (int64_t c = 0; c < n_cols; c += LRC_VEC_BLOCK)
            copy_block(to + r * stride + c / word.elems, word, source, first + r, c,
                       lrc_vec_block(c, n_cols));
    return (struct word_rows){ to, stride };
}

/* low (T, words of R) = scale * from (T, R) */
static struct word_rows low_rows(uint32_t *low, struct word word, const float *from, int64_t n_rows,
                                 int64_t rank, float scale)
{
    const int64_t stride = word_count(word, rank);
#pragma omp parallel for schedule(static) if (n_rows * rank > LRC_VEC_PARALLEL_MIN)
    for (int64_t t = 0; t < n_rows; t++)
        for (int64_t c = 0; c < rank; c += LRC_VEC_BLOCK) {
            const int64_t n = lrc_vec_block(c, rank);
            LRC_VEC_BUFFER(scaled);
            for (int64_t i = 0; i < n; i++)
                scaled[i] = scale * from[t * rank + c + i];
            const struct lrc_tensor row = lrc_tensor_2d(scaled, LRC_DTYPE_F32, 1, n);
            copy_block(low + t * stride + c / word.elems, word, &(struct source){ &row, NULL }, 0, 0, n);
        }
    return (struct word_rows){ low, stride };
}

/* A factor of an adapter as a weight. */
static struct lrc_weight factor(const struct lrc_tensor *tensor)
{
    return (struct lrc_weight){ .type = LRC_BLOCK_DENSE,
                                .rows = tensor->shape[0],
                                .cols = tensor->shape[1],
                                .dtype = LRC_DTYPE_F32,
                                .data = tensor->data };
}

static const struct lrc_dropout *dropout_or_null(const struct lrc_dropout *dropout)
{
    return dropout->p > 0 ? dropout : NULL;
}

/* ---- forward ---- */

/* u = dropout(x) aᵀ, in the caller's u and, scaled, in low. */
static void low_forward(const struct lrc_linear_forward_args *args, struct word word,
                        const struct scratch *scratch)
{
    const struct lrc_linear_adapter *adapter = args->adapter;
    const struct lrc_weight          a = factor(&adapter->a);
    const struct source x = { &args->x, dropout_or_null(&args->dropout) }, plain = { &args->x, NULL };
    const int64_t       n_rows = args->x.shape[0],
                  step = rows_at_a_time((const struct source *[]){ &x, &plain }, word);
    for (int64_t row = 0; row < n_rows; row += step) {
        uint32_t      *room = (uint32_t *)(void *)scratch->copies;
        const int64_t  n = n_rows - row < step ? n_rows - row : step;
        struct product product = { .word = word,
                                   .a = source_rows(&x, word, row, n, &room),
                                   .weight = &a,
                                   .transposed = 1,
                                   .c = lrc_tensor_rows(&args->u, row, n) };
        product_run(&product, scratch->thread, scratch->thread_bytes);
    }
}

/* At most FEW_ROWS rows, nothing dropped. */
static void few_forward(const struct lrc_linear_forward_args *args, const struct scratch *scratch)
{
    const struct lrc_linear_adapter *adapter = args->adapter;
    struct few                       few = { .weight = args->weight,
                                             .compute = args->x.dtype,
                                             .x = args->x.data,
                                             .n_rows = args->x.shape[0],
                                             .has_bf16 = lrc_backend_cpu_has_bf16() };
    struct few_end                   end = { .out = args->out };
    struct few_project               project = { .few = few, .u = args->u.data, .low = scratch->d_u };
    struct lrc_weight                a;
    if (adapter) {
        a = factor(&adapter->a);
        project.few.weight = &a;
        project.scale = adapter->scale;
        few.low = scratch->d_u;
        few.b = adapter->b.data;
        few.rank = a.rows;
    }
    if (args->bias.data) {
        lrc_dtype_to_f32(scratch->bias, args->bias.data, args->bias.dtype, args->weight->rows);
        end.bias = scratch->bias;
    }
    if (few_is_fused(&few)) {
        few_mix(scratch->copies, &few);
        few.mixed = scratch->copies;
    }
    few_run(adapter ? &project : NULL, &few, &end);
}

enum lrc_status LRC_CPU(linear_forward)(struct lrc_stream *stream, const struct lrc_linear_forward_args *args,
                                        struct lrc_error *err)
{
    const struct lrc_linear_adapter *adapter = args->adapter;
    const struct lrc_weight         *weight = args->weight;
    const struct word                word = word_of(args->x.dtype);
    const int64_t                    n_rows = args->x.shape[0], rank = adapter ? adapter->a.shape[0] : 0;
    (void)stream;
    (void)err;
    if (n_rows == 0)
        return LRC_STATUS_OK;
    const struct lrc_linear_cpu_layout layout =
        lrc_linear__cpu_layout(n_rows, weight->cols, weight->rows, rank);
    const struct scratch scratch = scratch_place(args->workspace, &layout);
    const int            is_few =
        n_rows <= FEW_ROWS && lrc_tensor_is_contiguous(&args->x) && lrc_tensor_is_contiguous(&args->out);
    if (is_few && !(adapter && args->dropout.p > 0)) {
        few_forward(args, &scratch);
        return LRC_STATUS_OK;
    }
    const struct source x = { &args->x, NULL };
    struct product      product = { .word = word, .weight = weight, .transposed = 1 };
    struct lrc_weight   b;
    if (adapter) {
        low_forward(args, word, &scratch);
        b = factor(&adapter->b);
        product.low = low_rows(scratch.low, word, args->u.data, n_rows, rank, adapter->scale);
        product.low_weight = &b;
        product.low_transposed = 1;
    }
    if (args->bias.data) {
        lrc_dtype_to_f32(scratch.bias, args->bias.data, args->bias.dtype, weight->rows);
        product.bias = scratch.bias;
    }
    const int64_t   step = rows_at_a_time((const struct source *[]){ &x, &x }, word);
    const uint32_t *low = product.low.words;
    for (int64_t row = 0; row < n_rows; row += step) {
        uint32_t     *room = (uint32_t *)(void *)scratch.copies;
        const int64_t n = n_rows - row < step ? n_rows - row : step;
        product.a = source_rows(&x, word, row, n, &room);
        product.low.words = low ? low + row * product.low.stride : NULL;
        product.c = lrc_tensor_rows(&args->out, row, n);
        product_run(&product, scratch.thread, scratch.thread_bytes);
    }
    return LRC_STATUS_OK;
}

/* ---- backward ---- */

/* d_bias += sum_t d_out[t], in order of t */
static void add_columns(float *d_bias, const struct lrc_tensor *d_out)
{
    const int64_t n_rows = d_out->shape[0], n_cols = d_out->shape[1];
#pragma omp parallel for schedule(static) if (n_rows * n_cols > LRC_VEC_PARALLEL_MIN)
    for (int64_t c = 0; c < n_cols; c += LRC_VEC_BLOCK) {
        const int64_t m = lrc_vec_block(c, n_cols);
        LRC_VEC_BUFFER(sums) = { 0 };
        for (int64_t r = 0; r < n_rows; r++) {
            LRC_VEC_BUFFER(wide);
            const float *row = wide;
            if (d_out->dtype == LRC_DTYPE_F32)
                row = lrc_vec_at(d_out, r, c);
            else
                lrc_vec_from_bf16(wide, lrc_vec_at(d_out, r, c), m);
#pragma omp simd
            for (int64_t i = 0; i < m; i++)
                sums[i] += row[i];
        }
        for (int64_t i = 0; i < m; i++)
            d_bias[c + i] += sums[i];
    }
}

/* Some rows of the batch. */
struct rows_backward {
    const struct lrc_linear_backward_args *args;
    const struct scratch                  *scratch;
    struct word                            word;
    int64_t                                first, n;
    struct word_rows                       d_out, x; /* x: masked; without an adapter not set */
};

/* d_b += scale * d_outᵀ u */
static void add_d_b(const struct rows_backward *rows)
{
    const struct lrc_linear_adapter *adapter = rows->args->adapter;
    const int64_t                    rank = adapter->a.shape[0], out = adapter->b.shape[0];
    const float                     *u = (const float *)rows->args->u.data + rows->first * rank;
    float                           *d_b = adapter->d_b.data;
    const struct rank_product        product = { .word = rows->word,
                                                 .left = rows->scratch->low,
                                                 .rank = rank,
                                                 .n_rows = rows->n,
                                                 .x = rows->d_out,
                                                 .n_cols = out,
                                                 .sums = rows->scratch->sums,
                                                 .stride = ceil_div(out, VECTOR_FLOATS) * VECTOR_FLOATS };
    rank_pack(rows->scratch->low, rows->word, u, rows->n, rank, adapter->scale);
    rank_product_run(&product);
#pragma omp parallel for schedule(static) if (out * rank > LRC_VEC_PARALLEL_MIN)
    for (int64_t o = 0; o < out; o++)
        for (int64_t r = 0; r < rank; r++)
            d_b[o * rank + r] += product.sums[r * product.stride + o];
}

/* d_a += d_uᵀ dropout(x); d_u scaled already */
static void add_d_a(const struct rows_backward *rows)
{
    const struct lrc_linear_adapter *adapter = rows->args->adapter;
    const int64_t                    rank = adapter->a.shape[0], in = adapter->a.shape[1];
    float                           *d_a = adapter->d_a.data;
    const struct rank_product        product = { .word = rows->word,
                                                 .left = rows->scratch->low,
                                                 .rank = rank,
                                                 .n_rows = rows->n,
                                                 .x = rows->x,
                                                 .n_cols = in,
                                                 .sums = rows->scratch->sums,
                                                 .stride = ceil_div(in, VECTOR_FLOATS) * VECTOR_FLOATS };
    rank_pack(rows->scratch->low, rows->word, rows->scratch->d_u, rows->n, rank, adapter->scale);
    rank_product_run(&product);
#pragma omp parallel for schedule(static) if (in * rank > LRC_VEC_PARALLEL_MIN)
    for (int64_t r = 0; r < rank; r++)
#pragma omp simd
        for (int64_t i = 0; i < in; i++)
            d_a[r * in + i] += product.sums[r * product.stride + i];
}

/* d_u = d_out b, not yet scaled */
static void make_d_u(const struct rows_backward *rows)
{
    const struct lrc_weight b = factor(&rows->args->adapter->b);
    const struct product    product = {
           .word = rows->word,
           .a = rows->d_out,
           .weight = &b,
           .c = lrc_tensor_2d(rows->scratch->d_u, LRC_DTYPE_F32, rows->n, b.cols),
    };
    product_run(&product, rows->scratch->thread, rows->scratch->thread_bytes);
}

/* d_x = d_out W + mask ⊙ (scale d_u a) */
static void make_d_x(const struct rows_backward *rows)
{
    const struct lrc_linear_backward_args *args = rows->args;
    const struct lrc_linear_adapter       *adapter = args->adapter;
    struct lrc_weight                      a;
    struct lrc_dropout                     dropout = args->dropout;
    struct product                         product = { .word = rows->word,
                                                       .a = rows->d_out,
                                                       .weight = args->weight,
                                                       .c = lrc_tensor_rows(&args->d_x, rows->first, rows->n),
                                                       .accumulate = args->accumulate };
    if (adapter) {
        a = factor(&adapter->a);
        product.low =
            low_rows(rows->scratch->low, rows->word, rows->scratch->d_u, rows->n, a.rows, adapter->scale);
        product.low_weight = &a;
        if (dropout.p > 0) {
            dropout.row_ids += rows->first;
            dropout.positions += rows->first;
            product.dropout = &dropout;
        }
    }
    product_run(&product, rows->scratch->thread, rows->scratch->thread_bytes);
}

/* d_weight += d_outᵀ x: both are activations, so it is an ordinary product. */
static enum lrc_status add_d_weight(const struct rows_backward *rows, struct word_rows x,
                                    struct lrc_error *err)
{
    const struct lrc_linear_backward_args *args = rows->args;
    const int64_t                          elems = rows->word.elems;
    const struct lrc_gemm                  gemm = { .m = args->weight->rows,
                                                    .n = args->weight->cols,
                                                    .k = rows->n,
                                                    .a = { rows->d_out.words, rows->d_out.stride * elems, 1 },
                                                    .b = { x.words, x.stride * elems, 0 },
                                                    .c = args->d_weight.data,
                                                    .c_stride = args->weight->cols,
                                                    .dtype = elems == 2 ? LRC_DTYPE_BF16 : LRC_DTYPE_F32,
                                                    .c_dtype = LRC_DTYPE_F32,
                                                    .mode = LRC_GEMM_ADD };
    return lrc_gemm_run(&gemm, err);
}

enum lrc_status LRC_CPU(linear_backward)(struct lrc_stream                     *stream,
                                         const struct lrc_linear_backward_args *args, struct lrc_error *err)
{
    const struct lrc_weight *weight = args->weight;
    const struct word        word = word_of(args->x.dtype);
    const int64_t            n_rows = args->x.shape[0], rank = args->adapter ? args->adapter->a.shape[0] : 0;
    (void)stream;
    if (n_rows == 0)
        return LRC_STATUS_OK;
    const struct lrc_linear_cpu_layout layout =
        lrc_linear__cpu_layout(n_rows, weight->cols, weight->rows, rank);
    const struct scratch scratch = scratch_place(args->workspace, &layout);
    const struct source  d_out = { &args->d_out, NULL };
    const struct source  plain = { &args->x, NULL };
    const struct source  x = { &args->x, args->adapter ? dropout_or_null(&args->dropout) : NULL };
    const int64_t        step = rows_at_a_time((const struct source *[]){ &d_out, &x }, word);
    for (int64_t row = 0; row < n_rows; row += step) {
        uint32_t            *room = (uint32_t *)(void *)scratch.copies;
        struct rows_backward rows = { args,  &scratch, word, row, n_rows - row < step ? n_rows - row : step,
                                      { 0 }, { 0 } };
        rows.d_out = source_rows(&d_out, word, row, rows.n, &room);
        uint32_t *x_room = room; /* nobody needs the masked x by the time that d_weight needs the plain one */
        if (args->adapter) {
            rows.x = source_rows(&x, word, row, rows.n, &room);
            add_d_b(&rows);
            make_d_u(&rows);
            add_d_a(&rows);
        }
        if (args->d_weight.data)
            LRC_TRY(add_d_weight(&rows, source_rows(&plain, word, row, rows.n, &x_room), err));
        if (args->d_x.data)
            make_d_x(&rows);
    }
    if (args->d_bias.data)
        add_columns(args->d_bias.data, &args->d_out);
    return LRC_STATUS_OK;
}
