#include "backend.h"
#include "base/rng.h"
#include "common/gemm.h"
#include "common/vec_cpu.h"
#include "dequantize/dequantize_range.h"
#include "linear/linear_few.h"
#include "linear/linear_layout.h"

struct scratch {
    unsigned char *panel, *rows, *a, *b, *low;
    float         *tile, *masked, *d_u, *bias;
};

static struct scratch scratch_place(void *workspace, const struct lrc_linear_layout *layout)
{
    unsigned char *base = workspace;
    return (struct scratch){ .panel = base + layout->panel,
                             .rows = base + layout->rows,
                             .a = base + layout->a,
                             .b = base + layout->b,
                             .low = base + layout->low,
                             .tile = (float *)(void *)(base + layout->tile),
                             .masked = (float *)(void *)(base + layout->masked),
                             .d_u = (float *)(void *)(base + layout->d_u),
                             .bias = (float *)(void *)(base + layout->bias) };
}

static int64_t min64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* to[i] = scale * from[i] in the compute type; rows of n_cols. */
static void scale_to(void *to, enum lrc_dtype compute, const float *from, int64_t n, float scale)
{
#pragma omp parallel for schedule(static) if (n > LRC_VEC_PARALLEL_MIN)
    for (int64_t first = 0; first < n; first += LRC_VEC_BLOCK) {
        const int64_t m = lrc_vec_block(first, n);
        LRC_VEC_BUFFER(scaled);
        float *out = compute == LRC_DTYPE_F32 ? (float *)to + first : scaled;
#pragma omp simd
        for (int64_t i = 0; i < m; i++)
            out[i] = from[first + i] * scale;
        if (compute == LRC_DTYPE_BF16)
            lrc_vec_to_bf16((uint16_t *)to + first, scaled, m);
    }
}

/* A float32 factor in the compute type: itself, or rounded into `room`. */
static const void *factor(void *room, enum lrc_dtype compute, const struct lrc_tensor *tensor)
{
    if (compute == LRC_DTYPE_F32)
        return tensor->data;
    scale_to(room, compute, tensor->data, lrc_tensor_elems(tensor), 1.0f);
    return room;
}

/* ---- dropout ---- */

/* keep[i] = 0 or 1 / (1 - p) for n <= LRC_VEC_BLOCK columns from `first`, a multiple of 4, of row t. */
static void dropout_factors(float *keep, const struct lrc_dropout *dropout, int64_t t, int64_t first,
                            int64_t n)
{
    const float    kept = 1.0f / (1.0f - dropout->p), p = dropout->p;
    const uint64_t key = dropout->key, high = (uint64_t)*dropout->step << 32 | dropout->row_ids[t];
    const uint64_t low = (uint64_t)(uint32_t)dropout->positions[t] << 32 | (uint64_t)first / 4;
    const int64_t  whole = n / 4;
#pragma omp simd
    for (int64_t j = 0; j < whole; j++) {
        const struct lrc_rng_block block = lrc_rng_philox(key, high, low + (uint64_t)j);
        keep[4 * j] = lrc_rng_unit(block.word[0]) >= p ? kept : 0.0f;
        keep[4 * j + 1] = lrc_rng_unit(block.word[1]) >= p ? kept : 0.0f;
        keep[4 * j + 2] = lrc_rng_unit(block.word[2]) >= p ? kept : 0.0f;
        keep[4 * j + 3] = lrc_rng_unit(block.word[3]) >= p ? kept : 0.0f;
    }
    const struct lrc_rng_block block = lrc_rng_philox(key, high, low + (uint64_t)whole);
    for (int64_t i = 4 * whole; i < n; i++)
        keep[i] = lrc_rng_unit(block.word[i - 4 * whole]) >= p ? kept : 0.0f;
}

/* `rows` = rows [first, first + n) of x in the compute type, times their dropout factors unless dropout is
 * NULL. */
static void rows_convert(void *rows, enum lrc_dtype compute, const struct lrc_tensor *x, int64_t first,
                         int64_t n, const struct lrc_dropout *dropout)
{
    const int64_t n_cols = x->shape[1];
#pragma omp parallel for schedule(static)
    for (int64_t r = 0; r < n; r++)
        for (int64_t c = 0; c < n_cols; c += LRC_VEC_BLOCK) {
            const int64_t m = lrc_vec_block(c, n_cols), from = (first + r) * n_cols + c, to = r * n_cols + c;
            LRC_VEC_BUFFER(wide);
            if (x->dtype == LRC_DTYPE_F32)
                memcpy(wide, (const float *)x->data + from, (size_t)m * sizeof *wide);
            else
                lrc_vec_from_bf16(wide, (const uint16_t *)x->data + from, m);
            if (dropout) {
                LRC_VEC_BUFFER(keep);
                dropout_factors(keep, dropout, first + r, c, m);
#pragma omp simd
                for (int64_t i = 0; i < m; i++)
                    wide[i] *= keep[i];
            }
            if (compute == LRC_DTYPE_F32)
                memcpy((float *)rows + to, wide, (size_t)m * sizeof *wide);
            else
                lrc_vec_to_bf16((uint16_t *)rows + to, wide, m);
        }
}

/* Rows of an activation as a product reads them, some at a time. */
struct rows {
    const struct lrc_tensor  *tensor;
    const struct lrc_dropout *dropout; /* NULL: none */
    enum lrc_dtype            compute;
    void                     *room;
};

static int rows_are_direct(const struct rows *rows)
{
    return rows->tensor->dtype == rows->compute && !rows->dropout;
}

/* Rows that rows_get() gives at a time: all when they lie ready. */
static int64_t rows_chunk(const struct rows *rows)
{
    return rows_are_direct(rows) ? rows->tensor->shape[0]
                                 : lrc_linear__chunk(rows->tensor->shape[1], rows->compute);
}

static struct lrc_gemm_operand rows_get(const struct rows *rows, int64_t first, int64_t n)
{
    const int64_t           stride = rows->tensor->shape[1];
    struct lrc_gemm_operand operand = { rows->room, stride, 0 };
    if (rows_are_direct(rows))
        operand.data = lrc_vec_at(rows->tensor, first, 0);
    else
        rows_convert(rows->room, rows->compute, rows->tensor, first, n, rows->dropout);
    return operand;
}

/* ---- c = left W' + low right, W' = Wᵀ or W ---- */

struct product {
    enum lrc_dtype            compute;
    struct rows               left; /* (m,k) */
    const struct lrc_weight  *weight;
    int                       transposed; /* 1: W', (k,n), is Wᵀ */
    const unsigned char      *low;        /* (m,rank) in the compute type; NULL: no low-rank part */
    int64_t                   rank;
    struct lrc_gemm_operand   right;   /* (rank,n) */
    const struct lrc_dropout *dropout; /* masks the low-rank part; NULL: none */
    const float              *bias;    /* (n); NULL: none */
    struct lrc_tensor         c;       /* (m,n) */
    enum lrc_gemm_mode        mode;
};

/* The part of c that is worked on. */
struct window {
    int64_t row, n_rows, col, n_cols;
    float  *sums; /* float32: c itself or the tile */
    int64_t stride;
};

static int weight_is_direct(const struct lrc_weight *weight, enum lrc_dtype compute)
{
    return weight->type == LRC_BLOCK_DENSE && weight->dtype == compute &&
           ((uintptr_t)weight->data & (lrc_dtype_bytes(compute) - 1)) == 0;
}

/* Columns [col, col + n) of W' as an operand, through the panel unless W can be used where it lies. */
static struct lrc_gemm_operand weight_panel(const struct product *product, unsigned char *panel, int64_t col,
                                            int64_t n)
{
    const struct lrc_weight *weight = product->weight;
    const size_t             bytes = lrc_dtype_bytes(product->compute);
    const int64_t            row = product->transposed ? col : 0, first = product->transposed ? 0 : col;
    if (weight_is_direct(weight, product->compute))
        return (struct lrc_gemm_operand){ (const unsigned char *)weight->data +
                                              (size_t)(row * weight->cols + first) * bytes,
                                          weight->cols, product->transposed };
    const int64_t n_rows = product->transposed ? n : weight->rows,
                  n_cols = product->transposed ? weight->cols : n;
#pragma omp parallel for schedule(static)
    for (int64_t r = 0; r < n_rows; r++)
        dequantize_range(panel + (size_t)(r * n_cols) * bytes, product->compute, weight,
                         (row + r) * weight->cols + first, n_cols);
    return (struct lrc_gemm_operand){ panel, n_cols, product->transposed };
}

/* sums += mask ⊙ masked */
static void add_masked(const struct window *window, const float *masked, const struct lrc_dropout *dropout)
{
#pragma omp parallel for schedule(static)
    for (int64_t r = 0; r < window->n_rows; r++)
        for (int64_t c = 0; c < window->n_cols; c += LRC_VEC_BLOCK) {
            const int64_t m = lrc_vec_block(c, window->n_cols);
            float        *sums = window->sums + r * window->stride + c;
            const float  *part = masked + r * window->n_cols + c;
            LRC_VEC_BUFFER(keep);
            dropout_factors(keep, dropout, window->row + r, window->col + c, m);
#pragma omp simd
            for (int64_t i = 0; i < m; i++)
                sums[i] += keep[i] * part[i];
        }
}

static enum lrc_status add_low_rank(const struct product *product, const struct window *window, float *masked,
                                    struct lrc_error *err)
{
    const size_t    bytes = lrc_dtype_bytes(product->compute);
    struct lrc_gemm gemm = { .m = window->n_rows,
                             .n = window->n_cols,
                             .k = product->rank,
                             .a = { product->low + (size_t)(window->row * product->rank) * bytes,
                                    product->rank, 0 },
                             .b = product->right,
                             .c = window->sums,
                             .c_stride = window->stride,
                             .dtype = product->compute,
                             .c_dtype = LRC_DTYPE_F32,
                             .mode = LRC_GEMM_ADD };
    const int64_t first = product->right.transposed ? window->col * product->right.stride : window->col;
    gemm.b.data = (const unsigned char *)product->right.data + (size_t)first * bytes;
    if (!product->dropout)
        return lrc_gemm_run(&gemm, err);
    gemm.c = masked;
    gemm.c_stride = window->n_cols;
    gemm.mode = LRC_GEMM_SET;
    LRC_TRY(lrc_gemm_run(&gemm, err));
    add_masked(window, masked, product->dropout);
    return LRC_STATUS_OK;
}

/* Bias, and the way from the tile to c. */
static void window_finish(const struct product *product, const struct window *window)
{
    const int in_c = window->sums == lrc_vec_at(&product->c, window->row, window->col);
    if (in_c && !product->bias)
        return;
#pragma omp parallel for schedule(static)
    for (int64_t r = 0; r < window->n_rows; r++) {
        float *sums = window->sums + r * window->stride;
        float *to = lrc_vec_at(&product->c, window->row + r, window->col);
        if (product->bias) {
            const float *bias = product->bias + window->col;
#pragma omp simd
            for (int64_t i = 0; i < window->n_cols; i++)
                sums[i] += bias[i];
        }
        if (in_c)
            continue;
        if (product->c.dtype == LRC_DTYPE_BF16)
            lrc_vec_to_bf16((uint16_t *)(void *)to, sums, window->n_cols);
        else if (product->mode == LRC_GEMM_SET)
            memcpy(to, sums, (size_t)window->n_cols * sizeof *to);
        else
#pragma omp simd
            for (int64_t i = 0; i < window->n_cols; i++)
                to[i] += sums[i];
    }
}

/* Whether a product may go to c as it is: float32, or BF16 to which nothing is added, so that oneDNN may
 * round it. */
static int sums_fit_c(const struct product *product)
{
    return product->c.dtype == LRC_DTYPE_F32 ||
           (product->compute == LRC_DTYPE_BF16 && !product->low && !product->bias);
}

static enum lrc_status product_window(const struct product *product, struct window *window,
                                      const struct lrc_gemm_operand *panel, const struct scratch *scratch,
                                      struct lrc_error *err)
{
    /* only whole rows: into part of them oneDNN multiplies at two thirds of the speed */
    const int       in_c = sums_fit_c(product) && window->n_cols == product->c.shape[1];
    struct lrc_gemm gemm = { .m = window->n_rows,
                             .n = window->n_cols,
                             .k = product->left.tensor->shape[1],
                             .a = rows_get(&product->left, window->row, window->n_rows),
                             .b = *panel,
                             .c = in_c ? lrc_vec_at(&product->c, window->row, 0) : scratch->tile,
                             .c_stride = window->n_cols,
                             .dtype = product->compute,
                             .c_dtype = in_c ? product->c.dtype : LRC_DTYPE_F32,
                             .mode = in_c ? product->mode : LRC_GEMM_SET };
    LRC_TRY(lrc_gemm_run(&gemm, err));
    if (in_c && product->c.dtype == LRC_DTYPE_BF16)
        return LRC_STATUS_OK;
    window->sums = gemm.c;
    window->stride = gemm.c_stride;
    if (product->low)
        LRC_TRY(add_low_rank(product, window, scratch->masked, err));
    window_finish(product, window);
    return LRC_STATUS_OK;
}

static enum lrc_status product_run(const struct product *product, const struct scratch *scratch,
                                   struct lrc_error *err)
{
    const int64_t m = product->c.shape[0], n = product->c.shape[1], k = product->left.tensor->shape[1];
    const int     whole = sums_fit_c(product) && !product->dropout &&
                      weight_is_direct(product->weight, product->compute);
    const int64_t width = whole ? n : lrc_linear__panel(k, product->compute);
    const int64_t step = min64(whole ? m : LRC_LINEAR_CHUNK_MAX, rows_chunk(&product->left));
    for (int64_t col = 0; col < n; col += width) {
        const int64_t                 n_cols = min64(width, n - col);
        const struct lrc_gemm_operand panel = weight_panel(product, scratch->panel, col, n_cols);
        for (int64_t row = 0; row < m; row += step) {
            struct window window = {
                .row = row, .n_rows = min64(step, m - row), .col = col, .n_cols = n_cols
            };
            LRC_TRY(product_window(product, &window, &panel, scratch, err));
        }
    }
    return LRC_STATUS_OK;
}

/* c (m,n) += left (T,m)ᵀ right (T,n): a sum over rows, a chunk of them at a time. */
struct row_product {
    const struct rows *left;
    const struct rows *right;
    float             *c;
};

static enum lrc_status row_product_run(const struct row_product *product, struct lrc_error *err)
{
    const int64_t n_rows = product->left->tensor->shape[0], m = product->left->tensor->shape[1];
    const int64_t n = product->right->tensor->shape[1];
    const int64_t step = min64(rows_chunk(product->left), rows_chunk(product->right));
    for (int64_t row = 0; row < n_rows; row += step) {
        const int64_t   n_now = min64(step, n_rows - row);
        struct lrc_gemm gemm = { .m = m,
                                 .n = n,
                                 .k = n_now,
                                 .a = rows_get(product->left, row, n_now),
                                 .b = rows_get(product->right, row, n_now),
                                 .c = product->c,
                                 .c_stride = n,
                                 .dtype = product->left->compute,
                                 .c_dtype = LRC_DTYPE_F32,
                                 .mode = LRC_GEMM_ADD };
        gemm.a.transposed = 1;
        LRC_TRY(lrc_gemm_run(&gemm, err));
    }
    return LRC_STATUS_OK;
}

/* c (T,n) = rows (T,k) right (k,n), float32. */
static enum lrc_status narrow_product(float *c, const struct rows *left, struct lrc_gemm_operand right,
                                      int64_t n, struct lrc_error *err)
{
    const int64_t n_rows = left->tensor->shape[0], step = rows_chunk(left);
    for (int64_t row = 0; row < n_rows; row += step) {
        const int64_t   n_now = min64(step, n_rows - row);
        struct lrc_gemm gemm = { .m = n_now,
                                 .n = n,
                                 .k = left->tensor->shape[1],
                                 .a = rows_get(left, row, n_now),
                                 .b = right,
                                 .c = c + row * n,
                                 .c_stride = n,
                                 .dtype = left->compute,
                                 .c_dtype = LRC_DTYPE_F32,
                                 .mode = LRC_GEMM_SET };
        LRC_TRY(lrc_gemm_run(&gemm, err));
    }
    return LRC_STATUS_OK;
}

static const struct lrc_dropout *dropout_or_null(const struct lrc_dropout *dropout)
{
    return dropout->p > 0 ? dropout : NULL;
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
    if (adapter) {
        const struct lrc_weight a = { .rows = adapter->a.shape[0],
                                      .cols = args->weight->cols,
                                      .dtype = LRC_DTYPE_F32,
                                      .data = adapter->a.data };
        struct few              project = few;
        project.weight = &a;
        few_project(args->u.data, scratch->d_u, &project, adapter->scale);
        end.low = scratch->d_u;
        end.b = adapter->b.data;
        end.rank = a.rows;
    }
    if (args->bias.data) {
        lrc_dtype_to_f32(scratch->bias, args->bias.data, args->bias.dtype, args->weight->rows);
        end.bias = scratch->bias;
    }
    if (few_is_fused(&few)) {
        few_mix(scratch->rows, &few);
        few.mixed = scratch->rows;
    }
    few_run(&few, &end);
}

enum lrc_status LRC_CPU(linear_forward)(struct lrc_stream *stream, const struct lrc_linear_forward_args *args,
                                        struct lrc_error *err)
{
    const struct lrc_linear_adapter *adapter = args->adapter;
    const struct lrc_weight         *weight = args->weight;
    const int64_t                    n_rows = args->x.shape[0], rank = adapter ? adapter->a.shape[0] : 0;
    const enum lrc_dtype             compute = args->x.dtype;
    (void)stream;
    if (n_rows == 0)
        return LRC_STATUS_OK;
    const struct lrc_linear_layout layout =
        lrc_linear__layout(n_rows, weight->cols, weight->rows, rank, compute);
    const struct scratch           scratch = scratch_place(args->workspace, &layout);
    if (n_rows <= FEW_ROWS && !(adapter && args->dropout.p > 0)) {
        few_forward(args, &scratch);
        return LRC_STATUS_OK;
    }
    struct product product = { .compute = compute,
                               .left = { &args->x, NULL, compute, scratch.rows },
                               .weight = weight,
                               .transposed = 1,
                               .c = args->out,
                               .mode = LRC_GEMM_SET };
    if (adapter) {
        const struct rows x = { &args->x, dropout_or_null(&args->dropout), compute, scratch.rows };
        const struct lrc_gemm_operand a = { factor(scratch.a, compute, &adapter->a), weight->cols, 1 };
        LRC_TRY(narrow_product(args->u.data, &x, a, rank, err));
        scale_to(scratch.low, compute, args->u.data, n_rows * rank, adapter->scale);
        product.low = scratch.low;
        product.rank = rank;
        product.right = (struct lrc_gemm_operand){ factor(scratch.b, compute, &adapter->b), rank, 1 };
    }
    if (args->bias.data) {
        lrc_dtype_to_f32(scratch.bias, args->bias.data, args->bias.dtype, weight->rows);
        product.bias = scratch.bias;
    }
    return product_run(&product, &scratch, err);
}

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
                row = (const float *)d_out->data + r * n_cols + c;
            else
                lrc_vec_from_bf16(wide, (const uint16_t *)d_out->data + r * n_cols + c, m);
#pragma omp simd
            for (int64_t i = 0; i < m; i++)
                sums[i] += row[i];
        }
        for (int64_t i = 0; i < m; i++)
            d_bias[c + i] += sums[i];
    }
}

/* d_u into scratch->d_u and, in the compute type, scratch->low; d_b and d_a. */
static enum lrc_status adapter_backward(const struct lrc_linear_backward_args *args, const struct rows *d_out,
                                        const struct scratch *scratch, struct lrc_error *err)
{
    const struct lrc_linear_adapter *adapter = args->adapter;
    const enum lrc_dtype             compute = args->x.dtype;
    const int64_t n_rows = args->x.shape[0], rank = adapter->a.shape[0], n_low = n_rows * rank;
    const struct lrc_tensor          low = lrc_tensor_2d(scratch->low, compute, n_rows, rank);
    const struct rows                low_rows = { &low, NULL, compute, NULL };
    const struct rows x = { &args->x, dropout_or_null(&args->dropout), compute, scratch->rows };

    scale_to(scratch->low, compute, args->u.data, n_low, adapter->scale);
    LRC_TRY(row_product_run(&(struct row_product){ d_out, &low_rows, adapter->d_b.data }, err));
    const struct lrc_gemm_operand b = { factor(scratch->b, compute, &adapter->b), rank, 0 };
    LRC_TRY(narrow_product(scratch->d_u, d_out, b, rank, err));
    scale_to(scratch->low, compute, scratch->d_u, n_low, adapter->scale);
    return row_product_run(&(struct row_product){ &low_rows, &x, adapter->d_a.data }, err);
}

static enum lrc_status input_backward(const struct lrc_linear_backward_args *args, const struct rows *d_out,
                                      const struct scratch *scratch, struct lrc_error *err)
{
    const struct lrc_linear_adapter *adapter = args->adapter;
    const enum lrc_dtype             compute = args->x.dtype;
    struct product product = { .compute = compute,
                               .left = *d_out,
                               .weight = args->weight,
                               .transposed = 0,
                               .c = args->d_x,
                               .mode = args->accumulate == LRC_ACCUMULATE_ADD ? LRC_GEMM_ADD : LRC_GEMM_SET };
    if (adapter) {
        product.low = scratch->low;
        product.rank = adapter->a.shape[0];
        product.right =
            (struct lrc_gemm_operand){ factor(scratch->a, compute, &adapter->a), args->weight->cols, 0 };
        product.dropout = dropout_or_null(&args->dropout);
    }
    return product_run(&product, scratch, err);
}

enum lrc_status LRC_CPU(linear_backward)(struct lrc_stream *stream,
                                         const struct lrc_linear_backward_args *args, struct lrc_error *err)
{
    const struct lrc_weight *weight = args->weight;
    const enum lrc_dtype     compute = args->x.dtype;
    const int64_t            n_rows = args->x.shape[0], rank = args->adapter ? args->adapter->a.shape[0] : 0;
    (void)stream;
    if (n_rows == 0)
        return LRC_STATUS_OK;
    const struct lrc_linear_layout layout =
        lrc_linear__layout(n_rows, weight->cols, weight->rows, rank, compute);
    const struct scratch           scratch = scratch_place(args->workspace, &layout);
    const struct rows              d_out = { &args->d_out, NULL, compute, scratch.rows };
    if (args->adapter)
        LRC_TRY(adapter_backward(args, &d_out, &scratch, err));
    if (args->d_x.data)
        LRC_TRY(input_backward(args, &d_out, &scratch, err));
    if (args->d_weight.data) {
        const struct rows x = { &args->x, NULL, compute, NULL };
        LRC_TRY(row_product_run(&(struct row_product){ &d_out, &x, args->d_weight.data }, err));
    }
    if (args->d_bias.data)
        add_columns(args->d_bias.data, &args->d_out);
    return LRC_STATUS_OK;
}
