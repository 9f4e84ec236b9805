#include "common/cases.h"

#include "base/alloc.h"
#include "base/rng.h"

#include <stdio.h>

void lrc_linear_cases(const struct lrc_backend *backend);

enum weight_kind { WEIGHT_F32, WEIGHT_BF16, WEIGHT_F16_UNALIGNED, WEIGHT_NF4, WEIGHT_NF4_DOUBLE };

struct problem {
    int64_t             n_rows, in, out, rank; /* rank 0: no adapter */
    float               p;
    enum lrc_dtype      x, y; /* of x and d_x, of out and d_out */
    enum weight_kind    kind;
    int                 with_bias;
    enum lrc_accumulate accumulate;
    int                 is_wide; /* workspace of lrc_linear_workspace_wide_bytes() */
    int64_t             room;    /* behind rows of x, d_out and a dense weight; 0: all is contiguous */
};

struct arrays {
    struct lrc_weight         weight;
    unsigned char            *memory; /* of the weight */
    struct lrc_tensor         code, absmax, nested_absmax, nested_map;
    struct lrc_tensor         x, bias, u, y, d_y, d_x, d_weight, d_bias;
    struct lrc_linear_adapter adapter;
    uint32_t                 *row_ids;
    int32_t                  *positions;
    uint32_t                 *step;
    void                     *workspace;
    size_t                    workspace_bytes;
};

/* absmax in [-1, 1] out of 8 bits: in groups of 16, so that rows begin within them. */
static void weight_nest(struct arrays *t, int64_t n)
{
    t->weight.absmax = NULL;
    t->weight.absmax_code = t->memory + n;
    t->weight.nested_absmax = t->nested_absmax.data;
    t->weight.nested_map = t->nested_map.data;
    t->weight.nested_offset = 0.125f;
    t->weight.nested_block_elems = 16;
    for (int64_t i = 0; i < 256; i++)
        lrc_cases_set(&t->nested_map, i, 0.875 * lrc_cases_get(&t->nested_map, i));
}

enum { GUARD_BYTES = 64 };

/* Bytes of the weight, with its room. */
static int64_t weight_bytes(const struct problem *p)
{
    return 4 * (p->in + p->room) * (p->out + p->room) + 1;
}

/* The room is NaN, and so is what lies behind it. */
static void weight_dense(struct arrays *t, const struct problem *p)
{
    unsigned char *to = t->memory;
    memset(to, 0xff, (size_t)weight_bytes(p));
    if (p->kind == WEIGHT_F16_UNALIGNED)
        t->weight.data = ++to;
    t->weight.room = p->room;
    t->weight.dtype = p->kind == WEIGHT_F32    ? LRC_DTYPE_F32
                      : p->kind == WEIGHT_BF16 ? LRC_DTYPE_BF16
                                               : LRC_DTYPE_F16;
    for (int64_t i = 0; i < p->in * p->out; i++) {
        const float   value = lrc_cases_value(14, i);
        const int64_t at = i / p->in * lrc_weight_stride(&t->weight) + i % p->in;
        lrc_dtype_from_f32(to + (size_t)at * lrc_dtype_bytes(t->weight.dtype), t->weight.dtype, &value, 1);
    }
}

static void weight_new(struct arrays *t, const struct problem *p)
{
    const int64_t n = p->in * p->out;
    t->memory = lrc_calloc(weight_bytes(p) + GUARD_BYTES, 1);
    cr_assert(t->memory, "no memory for a case");
    memset(t->memory + weight_bytes(p), 0xff, GUARD_BYTES);
    t->code = lrc_cases_tensor_1d(LRC_DTYPE_F32, 16, 11);
    t->absmax = lrc_cases_tensor_1d(LRC_DTYPE_F32, (n + 63) / 64, 12);
    t->nested_absmax = lrc_cases_tensor_1d(LRC_DTYPE_F32, (n + 1023) / 1024, 15);
    t->nested_map = lrc_cases_tensor_1d(LRC_DTYPE_F32, 256, 16);
    t->weight = (struct lrc_weight){
        .type = LRC_BLOCK_DENSE, .rows = p->out, .cols = p->in, .dtype = LRC_DTYPE_F32, .data = t->memory
    };
    if (p->kind == WEIGHT_NF4 || p->kind == WEIGHT_NF4_DOUBLE) {
        for (int64_t i = 0; i < 4 * n; i++)
            t->memory[i] = (uint8_t)((lrc_cases_value(13, i) + 1.0f) * 128.0f);
        t->weight.type = LRC_BLOCK_NF4;
        t->weight.code = t->code.data;
        t->weight.absmax = t->absmax.data;
        t->weight.block_elems = 64;
        if (p->kind == WEIGHT_NF4_DOUBLE)
            weight_nest(t, n);
        return;
    }
    weight_dense(t, p);
}

static void adapter_new(struct arrays *t, const struct problem *p)
{
    const int64_t rank = p->rank > 0 ? p->rank : 1;
    t->adapter = (struct lrc_linear_adapter){ .a = lrc_cases_tensor_2d(LRC_DTYPE_F32, rank, p->in, 21),
                                              .b = lrc_cases_tensor_2d(LRC_DTYPE_F32, p->out, rank, 22),
                                              .d_a = lrc_cases_tensor_2d(LRC_DTYPE_F32, rank, p->in, 23),
                                              .d_b = lrc_cases_tensor_2d(LRC_DTYPE_F32, p->out, rank, 24),
                                              .scale = 0.7f };
    t->row_ids = lrc_calloc(p->n_rows, sizeof *t->row_ids);
    t->positions = lrc_calloc(p->n_rows, sizeof *t->positions);
    t->step = lrc_calloc(1, sizeof *t->step);
    cr_assert(t->row_ids && t->positions && t->step, "no memory for a case");
    *t->step = 3;
    for (int64_t i = 0; i < p->n_rows; i++) {
        t->row_ids[i] = (uint32_t)(i / 5 + 1000);
        t->positions[i] = (int32_t)(i % 5);
    }
}

static struct arrays arrays_new(const struct problem *p)
{
    struct arrays t = { 0 };
    weight_new(&t, p);
    adapter_new(&t, p);
    t.x = lrc_cases_tensor_2d(p->x, p->n_rows, p->in, 31);
    t.bias = lrc_cases_tensor_1d(p->y, p->out, 32);
    t.u = lrc_cases_tensor_2d(LRC_DTYPE_F32, p->n_rows, t.adapter.a.shape[0], LRC_CASES_POISON);
    t.y = lrc_cases_tensor_2d(p->y, p->n_rows, p->out, LRC_CASES_POISON);
    t.d_y = lrc_cases_tensor_2d(p->y, p->n_rows, p->out, 33);
    const int adds = p->accumulate == LRC_ACCUMULATE_ADD;
    t.d_x = lrc_cases_tensor_2d(adds ? LRC_DTYPE_F32 : p->x, p->n_rows, p->in, adds ? 34 : LRC_CASES_POISON);
    t.d_weight = lrc_cases_tensor_2d(LRC_DTYPE_F32, p->out, p->in, 35);
    t.d_bias = lrc_cases_tensor_1d(LRC_DTYPE_F32, p->out, 36);
    t.workspace_bytes = lrc_linear_workspace_bytes(p->n_rows, p->in, p->out, p->rank, p->x);
    if (p->is_wide)
        t.workspace_bytes = lrc_linear_workspace_wide_bytes(p->n_rows, &t.weight, p->rank, p->x);
    t.workspace = lrc_calloc((int64_t)t.workspace_bytes + 64, 1);
    cr_assert(t.workspace, "no memory for a case");
    memset(t.workspace, 0xff, t.workspace_bytes + 64); /* NaN, and a guard after it */
    return t;
}

static void arrays_free(struct arrays *t)
{
    const unsigned char *after = (const unsigned char *)t->workspace + t->workspace_bytes;
    for (int i = 0; i < 64; i++)
        cr_expect(after[i] == 0xff, "linear: the workspace was overrun");
    struct lrc_tensor *const all[] = {
        &t->x,         &t->bias,      &t->u,           &t->y,          &t->d_y,           &t->d_x,
        &t->d_weight,  &t->d_bias,    &t->code,        &t->absmax,     &t->nested_absmax, &t->nested_map,
        &t->adapter.a, &t->adapter.b, &t->adapter.d_a, &t->adapter.d_b
    };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        lrc_cases_free(all[i]);
    lrc_free(t->memory);
    lrc_free(t->row_ids);
    lrc_free(t->positions);
    lrc_free(t->step);
    lrc_free(t->workspace);
}

static struct lrc_dropout dropout_of(const struct arrays *t, const struct problem *p)
{
    return (struct lrc_dropout){
        .p = p->p, .key = 77, .step = t->step, .row_ids = t->row_ids, .positions = t->positions
    };
}

static struct lrc_linear_forward_args forward_args(const struct arrays *t, const struct problem *p)
{
    struct lrc_linear_forward_args args = { .x = t->x,
                                            .weight = &t->weight,
                                            .bias = t->bias,
                                            .adapter = &t->adapter,
                                            .u = t->u,
                                            .dropout = dropout_of(t, p),
                                            .out = t->y,
                                            .workspace = t->workspace,
                                            .workspace_bytes = t->workspace_bytes };
    if (!p->with_bias)
        args.bias.data = NULL;
    if (p->rank == 0)
        args.adapter = NULL;
    return args;
}

static struct lrc_linear_backward_args backward_args(const struct arrays *t, const struct problem *p)
{
    return (struct lrc_linear_backward_args){ .d_out = t->d_y,
                                              .x = t->x,
                                              .weight = &t->weight,
                                              .adapter = p->rank > 0 ? &t->adapter : NULL,
                                              .u = t->u,
                                              .dropout = dropout_of(t, p),
                                              .d_x = t->d_x,
                                              .accumulate = p->accumulate,
                                              .d_weight = t->d_weight,
                                              .d_bias = t->d_bias,
                                              .workspace = t->workspace,
                                              .workspace_bytes = t->workspace_bytes };
}

/* ---- the oracle, in double; operands are rounded to the compute type as the header says, sums and u are not
 * ---- */

struct oracle {
    const struct problem *p;
    double               *x, *w, *a, *b, *bias, *mask, *d_y, scale;
    double               *u, *y,
        *low; /* low: sum of the magnitudes of the adapter's part, what its roundings are relative to */
    double *d_u, *d_x, *d_x_low, *d_a, *d_b, *d_weight, *d_bias;
};

static double rounded(double value, enum lrc_dtype dtype)
{
    const float narrow = (float)value;
    return dtype == LRC_DTYPE_BF16 ? (double)lrc_bf16_to_f32(lrc_bf16_from_f32(narrow)) : (double)narrow;
}

static double *rounded_copy(const struct lrc_tensor *tensor, enum lrc_dtype dtype)
{
    double *values = lrc_cases_to_doubles(tensor);
    for (int64_t i = 0; i < lrc_tensor_elems(tensor); i++)
        values[i] = rounded(values[i], dtype);
    return values;
}

static float absmax_value(const struct lrc_weight *weight, int64_t block)
{
    if (weight->absmax)
        return weight->absmax[block];
    const volatile float product = weight->nested_map[weight->absmax_code[block]] *
                                   weight->nested_absmax[block / weight->nested_block_elems];
    return product + weight->nested_offset;
}

static double weight_value(const struct arrays *t, int64_t i)
{
    if (t->weight.type == LRC_BLOCK_NF4) {
        const uint8_t byte = t->memory[i / 2];
        return (double)(t->weight.code[i % 2 == 0 ? byte >> 4 : byte & 15] *
                        absmax_value(&t->weight, i / 64));
    }
    const int64_t at = i / t->weight.cols * lrc_weight_stride(&t->weight) + i % t->weight.cols;
    float         value;
    lrc_dtype_to_f32(&value,
                     (const unsigned char *)t->weight.data + (size_t)at * lrc_dtype_bytes(t->weight.dtype),
                     t->weight.dtype, 1);
    return (double)value;
}

/* The header's formula, element by element. */
static double mask_value(const struct lrc_dropout *dropout, int64_t t, int64_t i)
{
    const struct lrc_rng_block block =
        lrc_rng_philox(dropout->key, (uint64_t)*dropout->step << 32 | dropout->row_ids[t],
                       (uint64_t)(uint32_t)dropout->positions[t] << 32 | (uint64_t)(i / 4));
    return lrc_rng_unit(block.word[i % 4]) >= dropout->p ? 1.0 / (1.0 - (double)dropout->p) : 0.0;
}

static struct oracle oracle_new(const struct arrays *t, const struct problem *p)
{
    const struct lrc_dropout dropout = dropout_of(t, p);
    const int64_t            rank = t->adapter.a.shape[0];
    struct oracle            o = { .p = p, .scale = (double)t->adapter.scale };
    o.x = lrc_cases_to_doubles(&t->x);
    o.a = rounded_copy(&t->adapter.a, p->x);
    o.b = rounded_copy(&t->adapter.b, p->x);
    o.bias = lrc_cases_to_doubles(&t->bias);
    o.d_y = rounded_copy(&t->d_y, p->x);
    o.w = lrc_cases_doubles(p->out * p->in);
    for (int64_t i = 0; i < p->out * p->in; i++)
        o.w[i] = rounded(weight_value(t, i), p->x);
    o.mask = lrc_cases_doubles(p->n_rows * p->in);
    for (int64_t i = 0; i < p->n_rows * p->in; i++)
        o.mask[i] = p->p > 0 ? mask_value(&dropout, i / p->in, i % p->in) : 1.0;
    o.u = lrc_cases_doubles(p->n_rows * rank);
    o.d_u = lrc_cases_doubles(p->n_rows * rank);
    o.y = lrc_cases_doubles(p->n_rows * p->out);
    o.low = lrc_cases_doubles(p->n_rows * p->out);
    o.d_x_low = lrc_cases_doubles(p->n_rows * p->in);
    o.d_x = lrc_cases_doubles(p->n_rows * p->in);
    if (p->accumulate == LRC_ACCUMULATE_ADD)
        for (int64_t i = 0; i < p->n_rows * p->in; i++)
            o.d_x[i] = lrc_cases_get(&t->d_x, i);
    o.d_a = lrc_cases_to_doubles(&t->adapter.d_a);
    o.d_b = lrc_cases_to_doubles(&t->adapter.d_b);
    o.d_weight = lrc_cases_to_doubles(&t->d_weight);
    o.d_bias = lrc_cases_to_doubles(&t->d_bias);
    return o;
}

static void oracle_free(struct oracle *o)
{
    double *const all[] = { o->x,   o->w,   o->a,   o->b,       o->bias, o->mask, o->d_y,      o->u,     o->y,
                            o->low, o->d_u, o->d_x, o->d_x_low, o->d_a,  o->d_b,  o->d_weight, o->d_bias };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        lrc_free(all[i]);
}

static void oracle_forward_row(const struct oracle *o, int64_t t)
{
    const struct problem *p = o->p;
    const double         *x = o->x + t * p->in, *mask = o->mask + t * p->in;
    for (int64_t r = 0; r < p->rank; r++) {
        double sum = 0;
        for (int64_t i = 0; i < p->in; i++)
            sum += mask[i] * x[i] * o->a[r * p->in + i];
        o->u[t * p->rank + r] = sum;
    }
    for (int64_t j = 0; j < p->out; j++) {
        double sum = p->with_bias ? o->bias[j] : 0, low = 0, magnitude = 0;
        for (int64_t i = 0; i < p->in; i++)
            sum += x[i] * o->w[j * p->in + i];
        for (int64_t r = 0; r < p->rank; r++) {
            low += o->u[t * p->rank + r] * o->b[j * p->rank + r];
            magnitude += fabs(o->u[t * p->rank + r] * o->b[j * p->rank + r]);
        }
        o->y[t * p->out + j] = sum + o->scale * low;
        o->low[t * p->out + j] = fabs(o->scale) * magnitude;
    }
}

static void oracle_backward_row(const struct oracle *o, int64_t t)
{
    const struct problem *p = o->p;
    const double         *x = o->x + t * p->in, *mask = o->mask + t * p->in, *d_y = o->d_y + t * p->out;
    for (int64_t r = 0; r < p->rank; r++) {
        double sum = 0;
        for (int64_t j = 0; j < p->out; j++) {
            sum += d_y[j] * o->b[j * p->rank + r];
            o->d_b[j * p->rank + r] += o->scale * d_y[j] * o->u[t * p->rank + r];
        }
        o->d_u[t * p->rank + r] = o->scale * sum;
        for (int64_t i = 0; i < p->in; i++)
            o->d_a[r * p->in + i] += o->scale * sum * mask[i] * x[i];
    }
    for (int64_t i = 0; i < p->in; i++) {
        double sum = 0;
        for (int64_t j = 0; j < p->out; j++) {
            sum += d_y[j] * o->w[j * p->in + i];
            o->d_weight[j * p->in + i] += d_y[j] * x[i];
        }
        for (int64_t r = 0; r < p->rank; r++) {
            const double part = mask[i] * o->d_u[t * p->rank + r] * o->a[r * p->in + i];
            sum += part;
            o->d_x_low[t * p->in + i] += fabs(part);
        }
        o->d_x[t * p->in + i] += sum;
    }
    for (int64_t j = 0; j < p->out; j++)
        o->d_bias[j] += d_y[j];
}

static double largest(const double *values, int64_t n)
{
    double most = 0;
    for (int64_t i = 0; i < n; i++)
        most = fabs(values[i]) > most ? fabs(values[i]) : most;
    return most;
}

/* Bounds. A float32 sum of n terms of magnitude <= m: n^2... is never met; n * m * n_eps is the a-priori
 * bound of the sum of n products, (n + 2) eps per term. Values lie in [-1, 1), so every product of k terms is
 * at most k in magnitude, and u at most in / (1 - p). In BF16 each rounding of x (dropped), u and d_u adds
 * 2^-8 of the sum of the magnitudes it enters. */
struct bounds {
    double u, y, d_x, d_a, d_b, d_weight, d_bias;
};

static struct bounds bounds_of(const struct oracle *o)
{
    const struct problem *p = o->p;
    const double          eps = LRC_CASES_EPS_F32, narrow = p->x == LRC_DTYPE_BF16 ? LRC_CASES_EPS_BF16 : 0;
    const double  in = (double)p->in, out = (double)p->out, rank = (double)p->rank, rows = (double)p->n_rows;
    const double  keep = p->p > 0 ? 1 / (1 - (double)p->p) : 1, dropped = p->p > 0 ? narrow : 0;
    const double  u = rank > 0 ? in * keep : 0, d_u = rank > 0 ? out : 0; /* |scale| < 1 */
    const double  low = largest(o->low, p->n_rows * p->out), d_low = largest(o->d_x_low, p->n_rows * p->in);
    const double  u_error = (in + 4) * eps * u + dropped * in * keep, d_u_error = (out + 4) * eps * d_u;
    struct bounds b;
    b.u = u_error;
    b.y = (in + 2) * eps * in + rank * u_error + (rank + 6) * eps * (low + in) + narrow * low;
    b.y += p->y == LRC_DTYPE_BF16 ? LRC_CASES_EPS_BF16 * (largest(o->y, p->n_rows * p->out) + b.y) : 0;
    b.d_x =
        (out + 2) * eps * out + rank * keep * d_u_error + (rank + 6) * eps * (d_low + out) + narrow * d_low;
    b.d_x += p->x == LRC_DTYPE_BF16 && p->accumulate == LRC_ACCUMULATE_SET
                 ? LRC_CASES_EPS_BF16 * (largest(o->d_x, p->n_rows * p->in) + b.d_x)
                 : 0;
    b.d_a = rows * (d_u_error * keep + (narrow + dropped) * largest(o->d_u, p->n_rows * p->rank) * keep) +
            (rows + 8) * eps * (rows * d_u * keep + 1);
    b.d_b =
        rows * (u_error + narrow * largest(o->u, p->n_rows * p->rank)) + (rows + 8) * eps * (rows * u + 1);
    b.d_weight = (rows + 2) * eps * (rows + 1);
    b.d_bias = (rows + 2) * eps * (rows + 1);
    if (p->y == LRC_DTYPE_F32 && p->x == LRC_DTYPE_BF16)
        b.d_bias += rows * narrow; /* the sum takes d_out as it is, the oracle what the products take */
    return b;
}

/* ---- rows apart: what lies between them stays as it is, but for the op's room ---- */

enum { GAP = 8 };

static unsigned char *row_of(const struct lrc_tensor *tensor, int64_t row)
{
    return (unsigned char *)tensor->data + (size_t)(row * tensor->stride[0]) * lrc_dtype_bytes(tensor->dtype);
}

/* Columns before each row: an odd room makes for an address that no vector has. */
static int64_t before_of(const struct problem *p)
{
    return p->room % 2;
}

/* *view, contiguous, becomes one of rows in a wider tensor with NaN around them, which is returned. */
static struct lrc_tensor apart_new(struct lrc_tensor *view, const struct problem *p)
{
    const int64_t           n_rows = view->shape[0], n_cols = view->shape[1];
    const size_t            bytes = lrc_dtype_bytes(view->dtype);
    const struct lrc_tensor wide =
        lrc_cases_tensor_2d(view->dtype, n_rows, before_of(p) + n_cols + p->room + GAP, LRC_CASES_POISON);
    const struct lrc_tensor from = *view;
    view->data = (unsigned char *)wide.data + (size_t)before_of(p) * bytes;
    view->stride[0] = wide.stride[0];
    for (int64_t row = 0; row < n_rows; row++)
        memcpy(row_of(view, row), row_of(&from, row), (size_t)n_cols * bytes);
    return wide;
}

/* Rows of an input are as they were, those of a result go back; `room` columns behind them may hold
 * anything. */
static void apart_free(struct lrc_tensor *wide, const struct lrc_tensor *tensor, int64_t before, int64_t room,
                       int is_result)
{
    const int64_t n_cols = tensor->shape[1], n_wide = wide->shape[1];
    const size_t  bytes = lrc_dtype_bytes(wide->dtype), row_bytes = (size_t)n_cols * bytes;
    for (int64_t row = 0; row < tensor->shape[0]; row++) {
        const unsigned char *from = row_of(wide, row) + (size_t)before * bytes;
        if (is_result)
            memcpy(row_of(tensor, row), from, row_bytes);
        cr_expect(memcmp(row_of(tensor, row), from, row_bytes) == 0,
                  "linear: row %lld of an input was written", (long long)row);
        for (int64_t c = 0; c < n_wide; c++)
            cr_expect((c >= before && c < before + n_cols + room) ||
                          isnan(lrc_cases_get(wide, row * n_wide + c)),
                      "linear: row %lld was written at column %lld of %lld", (long long)row, (long long)c,
                      (long long)n_cols);
    }
    lrc_cases_free(wide);
}

/* Both entries' arguments, with rows apart when the problem has room. */
struct call {
    struct lrc_linear_forward_args  forward;
    struct lrc_linear_backward_args backward;
    struct lrc_tensor               wide[4];
};

static int is_in_place(const struct arrays *t)
{
    return t->d_x.data == t->x.data;
}

static struct call call_new(const struct arrays *t, const struct problem *p)
{
    struct call              c = { forward_args(t, p), backward_args(t, p), { { 0 } } };
    struct lrc_tensor *const views[] = { &c.forward.x, &c.forward.out, &c.backward.d_out, &c.backward.d_x };
    const int                n = is_in_place(t) ? 3 : 4;
    for (int i = 0; i < n && p->room > 0; i++)
        c.wide[i] = apart_new(views[i], p);
    c.backward.x = c.forward.x;
    if (n == 3)
        c.backward.d_x = c.forward.x;
    c.forward.x_room = c.backward.d_out_room = p->room;
    return c;
}

static void call_free(struct call *c, const struct arrays *t, const struct problem *p)
{
    const struct lrc_tensor *const all[] = { &t->x, &t->y, &t->d_y, &t->d_x };
    const int                      n = is_in_place(t) ? 3 : 4;
    for (int i = 0; i < n && p->room > 0; i++)
        apart_free(&c->wide[i], all[i], before_of(p), i % 2 == 0 ? p->room : 0,
                   i % 2 == 1 || (i == 0 && n == 3));
}

static void run(const struct lrc_backend *backend, const struct arrays *t, const struct problem *p)
{
    struct call c = call_new(t, p);
    LRC_CASES_RUN(backend, linear_forward, &c.forward);
    LRC_CASES_RUN(backend, linear_backward, &c.backward);
    call_free(&c, t, p);
}

/* The same bits once more, with d_x in a memory of its own or in x's. */
static void expect_again(const struct lrc_backend *backend, const struct arrays *first,
                         const struct problem *p, int in_place)
{
    struct arrays           again = arrays_new(p);
    const struct lrc_tensor own = again.d_x;
    if (in_place)
        again.d_x = again.x;
    run(backend, &again, p);
    const struct {
        const char              *name;
        const struct lrc_tensor *got, *want;
    } results[] = { { "out", &again.y, &first->y },
                    { "d_x", &again.d_x, &first->d_x },
                    { "d_weight", &again.d_weight, &first->d_weight },
                    { "d_bias", &again.d_bias, &first->d_bias },
                    { "u", &again.u, &first->u },
                    { "d_a", &again.adapter.d_a, &first->adapter.d_a },
                    { "d_b", &again.adapter.d_b, &first->adapter.d_b } };
    for (size_t i = 0; i < (p->rank > 0 ? 7 : 4); i++) {
        char what[64];
        snprintf(what, sizeof what, "linear: %s, %s", results[i].name, in_place ? "in place" : "twice");
        lrc_cases_expect_same(backend, what, results[i].got, results[i].want);
    }
    again.d_x = own;
    arrays_free(&again);
}

/* The weight is as it was, and so is what lies behind its room. */
static void expect_weight(const struct arrays *t, const struct oracle *o)
{
    const struct problem *p = o->p;
    int64_t               n_bad = 0;
    for (int64_t i = 0; i < p->in * p->out; i++)
        n_bad += !(rounded(weight_value(t, i), p->x) == o->w[i]);
    cr_expect(n_bad == 0, "linear: %lld elements of the weight were written", (long long)n_bad);
    for (int i = 0; i < GUARD_BYTES; i++)
        cr_expect(t->memory[weight_bytes(p) + i] == 0xff, "linear: the weight's room was overrun");
}

static void expect_problem(const struct lrc_backend *backend, const struct problem *p)
{
    struct arrays t = arrays_new(p);
    struct oracle o = oracle_new(&t, p);
    char          what[160];
    for (int64_t row = 0; row < p->n_rows; row++) {
        oracle_forward_row(&o, row);
        oracle_backward_row(&o, row);
    }
    run(backend, &t, p);
    expect_weight(&t, &o);
    const struct bounds b = bounds_of(&o);
    const struct {
        const char              *name;
        const struct lrc_tensor *got;
        const double            *want;
        double                   bound;
    } results[] = { { "out", &t.y, o.y, b.y },
                    { "d_x", &t.d_x, o.d_x, b.d_x },
                    { "d_weight", &t.d_weight, o.d_weight, b.d_weight },
                    { "d_bias", &t.d_bias, o.d_bias, b.d_bias },
                    { "u", &t.u, o.u, b.u },
                    { "d_a", &t.adapter.d_a, o.d_a, b.d_a },
                    { "d_b", &t.adapter.d_b, o.d_b, b.d_b } };
    for (size_t i = 0; i < (p->rank > 0 ? 7 : 4); i++) {
        snprintf(what, sizeof what, "linear %lldx%lldx%lld rank %lld p %g %s->%s weight %d: %s",
                 (long long)p->n_rows, (long long)p->in, (long long)p->out, (long long)p->rank, (double)p->p,
                 lrc_dtype_info[p->x].name, lrc_dtype_info[p->y].name, (int)p->kind, results[i].name);
        lrc_cases_expect_close(backend, what, results[i].got, results[i].want, results[i].bound);
    }
    expect_again(backend, &t, p, 0);
    if (p->accumulate == LRC_ACCUMULATE_SET)
        expect_again(backend, &t, p, 1);
    oracle_free(&o);
    arrays_free(&t);
}

/* ---- gradients by finite differences of the oracle's forward pass; the loss is linear in each argument ----
 */

static double loss(void *context)
{
    const struct oracle *o = context;
    double               sum = 0;
    for (int64_t t = 0; t < o->p->n_rows; t++)
        oracle_forward_row(o, t);
    for (int64_t i = 0; i < o->p->n_rows * o->p->out; i++)
        sum += o->d_y[i] * o->y[i];
    return sum;
}

static void expect_finite_differences(const struct lrc_backend *backend)
{
    const struct problem p = { .n_rows = 3,
                               .in = 9,
                               .out = 5,
                               .rank = 2,
                               .p = 0.3f,
                               .x = LRC_DTYPE_F32,
                               .y = LRC_DTYPE_F32,
                               .kind = WEIGHT_F32,
                               .with_bias = 1 };
    struct arrays        t = arrays_new(&p);
    struct oracle        o = oracle_new(&t, &p);
    memset(t.adapter.d_a.data, 0,
           (size_t)(p.rank * p.in) * sizeof(float)); /* parameter gradients are added */
    memset(t.adapter.d_b.data, 0, (size_t)(p.rank * p.out) * sizeof(float));
    memset(t.d_weight.data, 0, (size_t)(p.in * p.out) * sizeof(float));
    memset(t.d_bias.data, 0, (size_t)p.out * sizeof(float));
    run(backend, &t, &p);
    /* 64 eps: sums of at most 9 terms of magnitude at most 13 */
    const struct lrc_cases_scalar scalar = { loss, &o, 0x1p-4, 64 * 13 * LRC_CASES_EPS_F32 };
    lrc_cases_expect_gradient(backend, "linear: d_x", &t.d_x, o.x, &scalar);
    lrc_cases_expect_gradient(backend, "linear: d_weight", &t.d_weight, o.w, &scalar);
    lrc_cases_expect_gradient(backend, "linear: d_bias", &t.d_bias, o.bias, &scalar);
    lrc_cases_expect_gradient(backend, "linear: d_a", &t.adapter.d_a, o.a, &scalar);
    lrc_cases_expect_gradient(backend, "linear: d_b", &t.adapter.d_b, o.b, &scalar);
    oracle_free(&o);
    arrays_free(&t);
}

/* ---- the mask itself: x = 1 and a = unit rows make u its picture ---- */

static void expect_mask(const struct lrc_backend *backend)
{
    const struct problem     p = { .n_rows = 150,
                                   .in = 600,
                                   .out = 1,
                                   .rank = 600,
                                   .p = 0.3f,
                                   .x = LRC_DTYPE_F32,
                                   .y = LRC_DTYPE_F32,
                                   .kind = WEIGHT_F32 };
    struct arrays            t = arrays_new(&p);
    const struct lrc_dropout dropout = dropout_of(&t, &p);
    struct lrc_error         err = { 0 };
    for (int64_t i = 0; i < p.n_rows * p.in; i++)
        lrc_cases_set(&t.x, i, 1.0);
    for (int64_t i = 0; i < p.rank * p.in; i++)
        lrc_cases_set(&t.adapter.a, i, i / p.in == i % p.in ? 1.0 : 0.0);
    const struct lrc_linear_forward_args args = forward_args(&t, &p);
    lrc_cases_expect_status(backend, "linear: mask", lrc_linear_forward(backend, NULL, &args, &err),
                            LRC_STATUS_OK, &err);
    double mean = 0;
    for (int64_t i = 0; i < p.n_rows * p.in; i++) {
        const double want = mask_value(&dropout, i / p.in, i % p.in), got = lrc_cases_get(&t.u, i);
        cr_expect(fabs(got - want) <= 2 * LRC_CASES_EPS_F32 * want, "%s: mask element %lld: want %g, got %g",
                  backend->name, (long long)i, want, got);
        mean += got / (double)(p.n_rows * p.in);
    }
    /* standard deviation of the mean: sqrt(p / (1 - p) / 90000) = 0.0022 */
    cr_expect(fabs(mean - 1) < 5 * 0.0022, "%s: mean of the mask: want 1, got %g", backend->name, mean);
    arrays_free(&t);
}

/* ---- refusals ---- */

static void expect_refusals(const struct lrc_backend *backend)
{
    const struct problem                  p = { .n_rows = 4,
                                                .in = 8,
                                                .out = 6,
                                                .rank = 2,
                                                .x = LRC_DTYPE_F32,
                                                .y = LRC_DTYPE_F32,
                                                .kind = WEIGHT_F32,
                                                .with_bias = 1 };
    struct arrays                         t = arrays_new(&p);
    const struct lrc_linear_forward_args  good = forward_args(&t, &p);
    const struct lrc_linear_backward_args good_back = backward_args(&t, &p);
    struct lrc_linear_forward_args        f[11];
    struct lrc_linear_backward_args       b[7];
    struct lrc_linear_adapter             no_gradient = t.adapter, wrong_rank = t.adapter;
    for (int i = 0; i < 11; i++)
        f[i] = good;
    for (int i = 0; i < 7; i++)
        b[i] = good_back;
    wrong_rank.b.shape[1] = 3;
    no_gradient.d_a.data = NULL;
    f[0].x.shape[1] = 7;
    f[1].out.dtype = LRC_DTYPE_F16;
    f[2].adapter = &wrong_rank;
    f[3].workspace_bytes = 16;
    f[4].weight = NULL;
    f[5].dropout.p = 1.0f;
    f[6].bias.shape[0] = 5;
    f[7].x_room = 1;
    f[8].x_room = -1;
    struct lrc_weight no_room = t.weight, other_room = t.weight;
    no_room.room = -1;
    other_room.type = LRC_BLOCK_NF4;
    other_room.code = t.code.data;
    other_room.absmax = t.absmax.data;
    other_room.block_elems = 64;
    other_room.room = 64;
    f[9].weight = &no_room;
    f[10].weight = &other_room;
    b[0].d_x.dtype = LRC_DTYPE_BF16;
    b[0].accumulate = LRC_ACCUMULATE_ADD;
    b[1].adapter = &no_gradient;
    b[2].d_out.shape[0] = 3;
    b[3].d_weight.shape[0] = 5;
    b[4].workspace = NULL;
    b[5].u.data = NULL;
    b[6].d_out.stride[0] = 7;
    b[6].d_out_room = 2;
    for (int i = 0; i < 11; i++) {
        struct lrc_error err = { 0 };
        lrc_cases_expect_status(backend, "linear_forward: bad",
                                lrc_linear_forward(backend, NULL, &f[i], &err), LRC_STATUS_SHAPE, &err);
    }
    for (int i = 0; i < 7; i++) {
        struct lrc_error err = { 0 };
        lrc_cases_expect_status(backend, "linear_backward: bad",
                                lrc_linear_backward(backend, NULL, &b[i], &err), LRC_STATUS_SHAPE, &err);
    }
    arrays_free(&t);
}

void lrc_linear_cases(const struct lrc_backend *backend)
{
#define F32  LRC_DTYPE_F32
#define BF16 LRC_DTYPE_BF16
    /* rows, in, out, rank, p, x, out type, weight, bias, accumulate, workspace is wide, room */
    static const struct problem problems[] = {
        { 1, 1, 1, 1, 0, F32, F32, WEIGHT_F32, 1, LRC_ACCUMULATE_SET, 0, 0 },
        { 0, 8, 8, 4, 0.3f, F32, F32, WEIGHT_F32, 1, LRC_ACCUMULATE_SET, 0, 0 },
        { 5, 7, 3, 4, 0, F32, F32, WEIGHT_F32, 1, LRC_ACCUMULATE_ADD, 0, 0 },
        { 33, 65, 70, 17, 0.3f, F32, F32, WEIGHT_NF4, 0, LRC_ACCUMULATE_SET, 0, 0 },
        { 33, 130, 66, 16, 0.3f, F32, F32, WEIGHT_BF16, 1, LRC_ACCUMULATE_ADD, 0, 0 },
        { 19, 30, 45, 0, 0, F32, F32, WEIGHT_F16_UNALIGNED, 1, LRC_ACCUMULATE_SET, 0, 0 },
        { 19, 30, 45, 0, 0, BF16, BF16, WEIGHT_BF16, 0, LRC_ACCUMULATE_SET, 0, 0 },
        { 1, 64, 48, 4, 0, BF16, BF16, WEIGHT_NF4, 0, LRC_ACCUMULATE_SET, 0, 0 },
        { 33, 65, 70, 17, 0.3f, BF16, BF16, WEIGHT_NF4, 1, LRC_ACCUMULATE_SET, 0, 0 },
        { 40, 64, 96, 16, 0, BF16, BF16, WEIGHT_BF16, 1, LRC_ACCUMULATE_SET, 0, 0 },
        { 17, 33, 50, 1, 0.3f, BF16, F32, WEIGHT_F32, 1, LRC_ACCUMULATE_SET, 0, 0 },
        { 17, 33, 50, 4, 0.3f, F32, BF16, WEIGHT_F16_UNALIGNED, 1, LRC_ACCUMULATE_ADD, 0, 0 },
        { 300, 1100, 600, 4, 0.3f, BF16, F32, WEIGHT_NF4, 0, LRC_ACCUMULATE_SET, 0,
          0 }, /* panels and chunks of several kinds */
        { 40, 64, 96, 16, 0, BF16, BF16, WEIGHT_BF16, 0, LRC_ACCUMULATE_SET, 0, 0 },
        { 40, 64, 96, 16, 0, BF16, BF16, WEIGHT_NF4, 0, LRC_ACCUMULATE_SET, 1,
          0 }, /* what a device does with room */
        { 40, 96, 64, 16, 0, BF16, BF16, WEIGHT_NF4, 0, LRC_ACCUMULATE_SET, 1, 0 },
        { 33, 65, 70, 17, 0, BF16, F32, WEIGHT_NF4, 0, LRC_ACCUMULATE_SET, 1, 0 },
        { 33, 70, 65, 3, 0, BF16, BF16, WEIGHT_BF16, 0, LRC_ACCUMULATE_SET, 1, 0 },
        { 33, 65, 70, 17, 0.3f, BF16, F32, WEIGHT_NF4, 1, LRC_ACCUMULATE_SET, 1, 0 },
        { 17, 33, 50, 4, 0, F32, F32, WEIGHT_NF4, 0, LRC_ACCUMULATE_ADD, 1, 0 },
        { 300, 1100, 600, 4, 0, BF16, F32, WEIGHT_BF16, 0, LRC_ACCUMULATE_SET, 1, 0 },
        { 3, 3000, 2500, 2, 0, BF16, BF16, WEIGHT_NF4, 0, LRC_ACCUMULATE_SET, 0, 0 }, /* windows of columns */
        { 2600, 512, 24, 2, 0.3f, BF16, BF16, WEIGHT_NF4, 1, LRC_ACCUMULATE_SET, 0, 0 }, /* windows of rows */
        { 31, 2200, 70, 16, 0, BF16, BF16, WEIGHT_NF4, 1, LRC_ACCUMULATE_SET, 0, 0 }, /* sums in two depths */
        { 31, 70, 2200, 33, 0.3f, BF16, F32, WEIGHT_BF16, 0, LRC_ACCUMULATE_SET, 0, 0 },
        { 2100, 40, 24, 3, 0, F32, F32, WEIGHT_F32, 1, LRC_ACCUMULATE_ADD, 0, 0 },  /* blocks of rows */
        { 1, 192, 48, 16, 0, BF16, BF16, WEIGHT_NF4, 1, LRC_ACCUMULATE_SET, 0, 0 }, /* few rows */
        { 3, 192, 300, 5, 0, F32, F32, WEIGHT_NF4, 1, LRC_ACCUMULATE_SET, 0, 0 },
        { 7, 1030, 50, 3, 0, BF16, F32, WEIGHT_NF4, 0, LRC_ACCUMULATE_SET, 0,
          0 }, /* blocks that cross rows */
        { 8, 640, 70, 0, 0, BF16, F32, WEIGHT_NF4, 0, LRC_ACCUMULATE_SET, 0, 0 },
        { 1, 576, 37, 8, 0, BF16, BF16, WEIGHT_NF4_DOUBLE, 0, LRC_ACCUMULATE_SET, 0,
          0 }, /* half a piece at a row's end */
        { 2, 64, 6, 40, 0, F32, F32, WEIGHT_NF4_DOUBLE, 0, LRC_ACCUMULATE_SET, 0, 0 },
        { 5, 192, 9, 3, 0, BF16, F32, WEIGHT_NF4, 1, LRC_ACCUMULATE_SET, 0, 0 },
        { 1, 1152, 70, 16, 0, BF16, BF16, WEIGHT_NF4_DOUBLE, 0, LRC_ACCUMULATE_SET, 0, 0 },
        { 33, 65, 70, 17, 0.3f, BF16, BF16, WEIGHT_NF4_DOUBLE, 1, LRC_ACCUMULATE_SET, 0, 0 },
        { 2, 1100, 33, 17, 0, BF16, BF16, WEIGHT_BF16, 1, LRC_ACCUMULATE_SET, 0, 0 },
        { 8, 157, 40, 4, 0, F32, BF16, WEIGHT_BF16, 1, LRC_ACCUMULATE_SET, 0, 0 },
        { 4, 157, 40, 4, 0.3f, F32, F32, WEIGHT_F16_UNALIGNED, 1, LRC_ACCUMULATE_SET, 0, 0 },
        { 1, 700, 40, 4, 0, BF16, BF16, WEIGHT_F16_UNALIGNED, 0, LRC_ACCUMULATE_SET, 0, 0 },
        { 40, 64, 96, 16, 0, BF16, BF16, WEIGHT_NF4, 0, LRC_ACCUMULATE_SET, 1, 64 }, /* rows apart */
        { 40, 96, 64, 16, 0, BF16, BF16, WEIGHT_BF16, 0, LRC_ACCUMULATE_ADD, 1, 64 },
        { 40, 64, 96, 16, 0, BF16, BF16, WEIGHT_NF4, 0, LRC_ACCUMULATE_ADD, 1, 64 },
        { 33, 65, 70, 17, 0, BF16, F32, WEIGHT_NF4, 0, LRC_ACCUMULATE_SET, 1, 64 },
        { 33, 70, 65, 3, 0, BF16, BF16, WEIGHT_BF16, 1, LRC_ACCUMULATE_SET, 1, 64 },
        { 33, 65, 71, 64, 0.3f, BF16, BF16, WEIGHT_NF4, 1, LRC_ACCUMULATE_ADD, 1, 64 },
        { 33, 70, 65, 33, 0, BF16, BF16, WEIGHT_BF16, 0, LRC_ACCUMULATE_SET, 1, 16 }, /* room is too small */
        { 17, 33, 50, 1, 0, F32, F32, WEIGHT_NF4, 1, LRC_ACCUMULATE_ADD, 1, 16 },
        { 300, 1100, 600, 8, 0, BF16, BF16, WEIGHT_BF16, 0, LRC_ACCUMULATE_SET, 0, 64 },
        { 300, 600, 1100, 8, 0.3f, F32, F32, WEIGHT_BF16, 1, LRC_ACCUMULATE_SET, 0, 64 },
        { 1, 64, 48, 8, 0, BF16, BF16, WEIGHT_NF4, 0, LRC_ACCUMULATE_SET, 1, 64 },
        { 5, 192, 9, 3, 0, BF16, F32, WEIGHT_NF4, 1, LRC_ACCUMULATE_SET, 0, 64 },
        /* an adapter's gradients on a device: tiles of 128, groups of 512 or 256 rows, two or more a block */
        { 600, 400, 264, 16, 0, BF16, BF16, WEIGHT_NF4, 0, LRC_ACCUMULATE_SET, 1, 64 },
        { 1100, 136, 40, 8, 0, BF16, BF16, WEIGHT_BF16, 0, LRC_ACCUMULATE_ADD, 1, 64 },
        { 300, 136, 264, 32, 0, BF16, BF16, WEIGHT_BF16, 0, LRC_ACCUMULATE_SET, 1, 64 },
        { 700, 72, 136, 20, 0, BF16, F32, WEIGHT_NF4, 0, LRC_ACCUMULATE_SET, 1, 0 },
        { 300, 136, 264, 16, 0.3f, BF16, BF16, WEIGHT_BF16, 0, LRC_ACCUMULATE_SET, 1, 0 },
        { 130, 128, 128, 1, 0, BF16, BF16, WEIGHT_BF16, 0, LRC_ACCUMULATE_SET, 1, 0 },
        { 128, 128, 256, 64, 0, BF16, BF16, WEIGHT_BF16, 0, LRC_ACCUMULATE_SET, 1,
          64 }, /* a rank too large */
        { 530, 264, 400, 16, 0, BF16, BF16, WEIGHT_BF16, 0, LRC_ACCUMULATE_SET, 0, 64 }, /* windows */
        /* rows that no vector reads: of half vectors, half vectors apart, between vectors */
        { 40, 68, 100, 16, 0, BF16, BF16, WEIGHT_BF16, 0, LRC_ACCUMULATE_SET, 1, 60 },
        { 40, 64, 96, 16, 0, BF16, BF16, WEIGHT_NF4, 0, LRC_ACCUMULATE_SET, 1, 60 },
        { 40, 64, 96, 16, 0, BF16, BF16, WEIGHT_NF4, 0, LRC_ACCUMULATE_SET, 1, 63 },
    };
    for (size_t i = 0; i < sizeof problems / sizeof problems[0]; i++)
        expect_problem(backend, &problems[i]);
    expect_finite_differences(backend);
    expect_mask(backend);
    expect_refusals(backend);
}

struct row {
    const struct lrc_backend *backend;
    const struct problem     *p;
    struct call               call;
};

/* A base that is not trained. */
static void run_frozen(void *context)
{
    const struct row *t = context;
    LRC_CASES_RUN(t->backend, linear_forward, &t->call.forward);
    LRC_CASES_RUN(t->backend, linear_backward, &t->call.backward);
}

static void check_row(void *context, const char *name)
{
    const struct row *t = context;
    (void)name;
    expect_problem(t->backend, t->p);
}

static void visit(const struct lrc_cases_walk *walk, const char *name, const struct problem *p)
{
    struct arrays              arrays = arrays_new(p);
    struct row                 t = { walk->backend, p, call_new(&arrays, p) };
    const struct lrc_cases_row row = { name, run_frozen, check_row, &t };
    t.call.backward.d_weight.data = t.call.backward.d_bias.data = NULL;
    walk->visit(&row);
    call_free(&t.call, &arrays, p);
    arrays_free(&arrays);
}

void lrc_linear_rows(const struct lrc_cases_walk *walk);
void lrc_linear_rows(const struct lrc_cases_walk *walk)
{
    const struct lrc_cases_step *s = &walk->step;
    const enum weight_kind       dense = s->weight == LRC_DTYPE_BF16 ? WEIGHT_BF16 : WEIGHT_F32,
                           kind = s->is_4bit ? WEIGHT_NF4 : dense;
    const int64_t q = s->n_heads * s->head_dim, kv = s->n_kv_heads * s->head_dim;
    const int64_t chunk = s->n_tokens < 512 ? s->n_tokens : 512;
    const struct {
        const char      *name;
        int64_t          n_rows, in, out, rank;
        enum lrc_dtype   y;
        enum weight_kind kind;
    } linears[] = {
        { "q, o", s->n_tokens, s->hidden, q, s->rank, s->activation, kind },
        { "k, v", s->n_tokens, s->hidden, kv, s->rank, s->activation, kind },
        { "gate, up", s->n_tokens, s->hidden, s->intermediate, s->rank, s->activation, kind },
        { "down", s->n_tokens, s->intermediate, s->hidden, s->rank, s->activation, kind },
        { "head, a chunk", chunk, s->hidden, s->vocab, 0, LRC_DTYPE_F32, dense },
        { "gate, one token", 1, s->hidden, s->intermediate, s->rank, s->activation, kind },
    };
    for (size_t i = 0; i < sizeof linears / sizeof linears[0]; i++) {
        const struct problem p = { .n_rows = linears[i].n_rows,
                                   .in = linears[i].in,
                                   .out = linears[i].out,
                                   .rank = linears[i].rank,
                                   .x = s->activation,
                                   .y = linears[i].y,
                                   .kind = linears[i].kind,
                                   .is_wide = walk->backend->memory != NULL,
                                   .room = walk->backend->memory ? lrc_linear_room(linears[i].rank) : 0 };
        visit(walk, linears[i].name, &p);
    }
}
