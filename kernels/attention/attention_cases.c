#include "attention/attention_oracle.h"
#include "common/cases.h"

#include "base/alloc.h"

#include <omp.h>
#include <stdio.h>

void lrc_attention_cases(const struct lrc_backend *backend);

enum { GAP = 8, THREADS_MAX = 4 }; /* GAP: elements between rows, NaN */

/* (T, H, C) views of strided rows, and the (T, H * C + GAP) tensors that own them. */
struct arrays {
    struct lrc_tensor          owner[N_ARRAYS], view[N_ARRAYS];
    struct lrc_tensor          lse; /* (T, H) */
    struct lrc_attention_shape shape;
    int32_t                   *offsets; /* those of the shape, on the heap */
    void                      *workspace;
    size_t                     workspace_bytes;
};

static void array_new(struct arrays *t, int i, const int64_t shape[3], enum lrc_dtype dtype)
{
    const int64_t width = shape[1] * shape[2] + GAP;
    t->owner[i] = lrc_cases_tensor_2d(dtype, shape[0], width, LRC_CASES_POISON);
    t->view[i] = lrc_tensor_3d(t->owner[i].data, dtype, shape[0], shape[1], shape[2]);
    t->view[i].stride[0] = width;
    for (int64_t r = 0; r < shape[0] && !is_output(i); r++)
        for (int64_t c = 0; c < shape[1] * shape[2]; c++)
            lrc_cases_set(&t->owner[i], r * width + c,
                          (double)lrc_cases_value((uint64_t)i + 50, r * width + c));
}

/* With the workspace for n_threads threads. */
static struct arrays arrays_new(const struct problem *p, int n_threads)
{
    const int64_t n_rows = p->doc_offsets[p->n_docs], n_keys = p->n_past + n_rows;
    struct arrays t = { 0 };
    for (int i = 0; i < N_ARRAYS; i++) {
        const int64_t shape[3] = { is_kv(i) ? n_keys : n_rows, heads_of(p, i), p->head_dim };
        array_new(&t, i, shape, p->dtype);
    }
    t.lse = lrc_cases_tensor_2d(LRC_DTYPE_F32, n_rows, p->n_heads, LRC_CASES_POISON);
    t.shape = (struct lrc_attention_shape){
        .doc_offsets = p->doc_offsets,
        .n_docs = p->n_docs,
        .n_past = p->n_past,
        .window = p->window,
        .scale = p->scale > 0 ? p->scale : 1.0f / sqrtf((float)p->head_dim),
    };
    t.offsets = lrc_calloc(p->n_docs + 1, sizeof *t.offsets);
    cr_assert(t.offsets, "no memory for a case");
    memcpy(t.offsets, p->doc_offsets, (size_t)(p->n_docs + 1) * sizeof *t.offsets);
    t.workspace_bytes =
        lrc_attention_workspace_bytes(n_rows, p->n_heads, p->n_kv_heads, p->head_dim, n_threads);
    t.workspace = lrc_calloc((int64_t)t.workspace_bytes + 64, 1);
    cr_assert(t.workspace, "no memory for a case");
    memset(t.workspace, 0xff, t.workspace_bytes + 64); /* NaN, and a guard after it */
    return t;
}

/* With the workspace that a device works best with. */
static struct arrays arrays_new_wide(const struct problem *p)
{
    const int64_t n_rows = p->doc_offsets[p->n_docs];
    struct arrays t = arrays_new(p, THREADS_MAX);
    lrc_free(t.workspace);
    t.workspace_bytes =
        lrc_attention_workspace_wide_bytes(n_rows, p->n_docs, n_rows, p->n_heads, p->n_kv_heads, p->head_dim);
    t.workspace = lrc_calloc((int64_t)t.workspace_bytes + 64, 1);
    cr_assert(t.workspace, "no memory for a case");
    memset(t.workspace, 0xff, t.workspace_bytes + 64);
    return t;
}

static void arrays_free(struct arrays *t)
{
    const unsigned char *after = (const unsigned char *)t->workspace + t->workspace_bytes;
    for (int i = 0; i < 64; i++)
        cr_expect(after[i] == 0xff, "attention: the workspace was overrun");
    for (int i = 0; i < N_ARRAYS; i++) {
        const int64_t width = t->view[i].stride[0];
        for (int64_t at = 0; at < lrc_tensor_elems(&t->owner[i]); at++)
            if (at % width >= width - GAP)
                cr_expect(isnan(lrc_cases_get(&t->owner[i], at)),
                          "attention: array %d was written between its rows", i);
        lrc_cases_free(&t->owner[i]);
    }
    lrc_cases_free(&t->lse);
    lrc_free(t->workspace);
    lrc_free(t->offsets);
}

/* A contiguous copy of a view. */
static struct lrc_tensor gather(const struct arrays *t, int i)
{
    const struct lrc_tensor *view = &t->view[i];
    const int64_t            row = view->shape[1] * view->shape[2];
    struct lrc_tensor        copy = lrc_cases_tensor(view->dtype, 3, view->shape, LRC_CASES_ZERO);
    const size_t             bytes = lrc_dtype_bytes(view->dtype);
    for (int64_t r = 0; r < view->shape[0]; r++)
        memcpy((unsigned char *)copy.data + (size_t)(r * row) * bytes,
               (const unsigned char *)view->data + (size_t)(r * view->stride[0]) * bytes,
               (size_t)row * bytes);
    return copy;
}

static double *gather_doubles(const struct arrays *t, int i)
{
    struct lrc_tensor copy = gather(t, i);
    double           *values = lrc_cases_to_doubles(&copy);
    lrc_cases_free(&copy);
    return values;
}

static struct lrc_attention_forward_args forward_args(const struct arrays *t)
{
    return (struct lrc_attention_forward_args){ .q = t->view[Q],
                                                .k = t->view[K],
                                                .v = t->view[V],
                                                .out = t->view[OUT],
                                                .lse = t->lse.data,
                                                .shape = t->shape,
                                                .workspace = t->workspace,
                                                .workspace_bytes = t->workspace_bytes };
}

static struct lrc_attention_backward_args backward_args(const struct arrays *t)
{
    return (struct lrc_attention_backward_args){ .d_out = t->view[D_OUT],
                                                 .q = t->view[Q],
                                                 .k = t->view[K],
                                                 .v = t->view[V],
                                                 .out = t->view[OUT],
                                                 .lse = t->lse.data,
                                                 .d_q = t->view[D_Q],
                                                 .d_k = t->view[D_K],
                                                 .d_v = t->view[D_V],
                                                 .shape = t->shape,
                                                 .workspace = t->workspace,
                                                 .workspace_bytes = t->workspace_bytes };
}

/* ---- comparison ---- */

static void run(const struct lrc_backend *backend, const struct arrays *t)
{
    struct lrc_error                         err = { 0 };
    const struct lrc_attention_forward_args  forward = forward_args(t);
    const struct lrc_attention_backward_args backward = backward_args(t);
    lrc_cases_expect_status(backend, "attention_forward",
                            lrc_attention_forward(backend, NULL, &forward, &err), LRC_STATUS_OK, &err);
    if (t->shape.n_past == 0)
        lrc_cases_expect_status(backend, "attention_backward",
                                lrc_attention_backward(backend, NULL, &backward, &err), LRC_STATUS_OK, &err);
}

static struct oracle oracle_of(const struct arrays *t, const struct problem *p)
{
    struct oracle o = { .p = p, .scale = (double)t->shape.scale };
    for (int i = 0; i < N_ARRAYS; i++)
        o.array[i] = is_output(i) ? lrc_cases_doubles(array_elems(p, i)) : gather_doubles(t, i);
    oracle_init(&o);
    return o;
}

static void expect_array(const struct lrc_backend *backend, const struct arrays *t, const struct oracle *o,
                         int i)
{
    static const char *const names[N_ARRAYS] = { [OUT] = "out", [D_Q] = "d_q", [D_K] = "d_k", [D_V] = "d_v" };
    char                     what[160];
    struct lrc_tensor        got = gather(t, i);
    snprintf(what, sizeof what, "attention, %s: %s", o->p->name, names[i]);
    lrc_cases_expect_noise(backend, what, &got, o->array[i],
                           &(struct lrc_cases_noise){ o->noise[i], o->along[i], LEAST });
    lrc_cases_free(&got);
}

/* Every sum has an order of its own: neither the number of threads nor where the offsets lie changes a bit.
 */
static void expect_same_bits(const struct lrc_backend *backend, const struct arrays *first,
                             const struct problem *p, int n_threads)
{
    static const int outputs[] = { OUT, D_Q, D_K, D_V };
    struct arrays    again = arrays_new(p, THREADS_MAX);
    if (n_threads == 1)
        again.shape.doc_offsets_device = again.offsets;
    lrc_cases_threads(n_threads);
    run(backend, &again);
    lrc_cases_threads(0);
    for (int i = 0; i < (p->n_past > 0 ? 1 : 4); i++) {
        struct lrc_tensor got = gather(&again, outputs[i]), want = gather(first, outputs[i]);
        lrc_cases_expect_same(backend, p->name, &got, &want);
        lrc_cases_free(&got);
        lrc_cases_free(&want);
    }
    lrc_cases_expect_same(backend, p->name, &again.lse, &first->lse);
    arrays_free(&again);
}

static void expect_gradients(const struct lrc_backend *backend, const struct arrays *t,
                             const struct oracle *o)
{
    expect_array(backend, t, o, D_Q);
    expect_array(backend, t, o, D_K);
    expect_array(backend, t, o, D_V);
}

/* The least workspace: one that keeps more between its passes when there is room does not here. */
static void expect_narrow(const struct lrc_backend *backend, const struct problem *p, const struct oracle *o)
{
    struct arrays t = arrays_new(p, 1);
    run(backend, &t);
    expect_array(backend, &t, o, OUT);
    if (p->n_past == 0)
        expect_gradients(backend, &t, o);
    arrays_free(&t);
}

/* Offsets where the backend has its own, and room for more than the least. */
static void expect_wide(const struct lrc_backend *backend, const struct problem *p, const struct oracle *o)
{
    struct arrays t = arrays_new_wide(p);
    run(backend, &t);
    expect_gradients(backend, &t, o);
    arrays_free(&t);
    t = arrays_new_wide(p);
    t.shape.doc_offsets_device = t.offsets;
    run(backend, &t);
    expect_gradients(backend, &t, o);
    arrays_free(&t);
}

static void expect_problem(const struct lrc_backend *backend, const struct problem *p)
{
    struct arrays t = arrays_new(p, THREADS_MAX);
    struct oracle o = oracle_of(&t, p);
    char          what[160];
    lrc_cases_threads(2);
    run(backend, &t);
    lrc_cases_threads(0);
    oracle_run(&o, BACKWARD);
    oracle_run(&o, ALONG);
    snprintf(what, sizeof what, "attention, %s: lse", p->name);
    lrc_cases_expect_close(backend, what, &t.lse, o.lse, lse_bound(&o));
    expect_array(backend, &t, &o, OUT);
    if (p->n_past == 0) {
        expect_gradients(backend, &t, &o);
        expect_wide(backend, p, &o);
    }
    expect_narrow(backend, p, &o);
    expect_same_bits(backend, &t, p, 2);
    expect_same_bits(backend, &t, p, 1);
    oracle_free(&o);
    arrays_free(&t);
}

/* ---- finite differences of the oracle's forward pass ---- */

static double loss(void *context)
{
    struct oracle *o = context;
    oracle_run(o, FORWARD);
    return dot(o->array[OUT], o->array[D_OUT],
               o->p->doc_offsets[o->p->n_docs] * o->p->n_heads * o->p->head_dim);
}

static void expect_finite_differences(const struct lrc_backend *backend)
{
    static const struct problem p = { "finite differences", 2, 1, 5, 3, 0, 0, LRC_DTYPE_F32, 2, { 0, 3, 8 } };
    static const int            gradients[] = { D_Q, D_K, D_V }, inputs[] = { Q, K, V };
    struct arrays               t = arrays_new(&p, THREADS_MAX);
    struct oracle               o = oracle_of(&t, &p);
    run(backend, &t);
    /* third derivatives below 100: truncation 2e-7; gradients below 4 in float32 sums of 16 terms: 64 * 4 eps
     */
    const struct lrc_cases_scalar scalar = { loss, &o, 1e-4, 2e-7 + 64 * 4 * LRC_CASES_EPS_F32 };
    for (int i = 0; i < 3; i++) {
        struct lrc_tensor got = gather(&t, gradients[i]);
        lrc_cases_expect_gradient(backend, "attention", &got, o.array[inputs[i]], &scalar);
        lrc_cases_free(&got);
    }
    oracle_free(&o);
    arrays_free(&t);
}

/* ---- refusals ---- */

static void expect_refusals(const struct lrc_backend *backend)
{
    static const struct problem p = { "refusals", 4, 2, 8, 0, 0, 0, LRC_DTYPE_F32, 2, { 0, 3, 8 } };
    static const int32_t        decreasing[] = { 0, 9, 8 }, too_short[] = { 0, 3, 7 };
    struct arrays               t = arrays_new(&p, THREADS_MAX);
    const struct lrc_attention_forward_args  good = forward_args(&t);
    const struct lrc_attention_backward_args good_back = backward_args(&t);
    struct lrc_attention_forward_args        f[8];
    struct lrc_attention_backward_args       b[4];
    for (int i = 0; i < 8; i++)
        f[i] = good;
    for (int i = 0; i < 4; i++)
        b[i] = good_back;
    f[0].k.shape[1] = 3;
    f[1].shape.doc_offsets = decreasing;
    f[2].shape.doc_offsets = too_short;
    f[3].shape.n_past = 1;
    f[4].workspace_bytes = 100;
    f[5].v.shape[2] = 4;
    f[6].q.dtype = LRC_DTYPE_F16;
    f[7].shape.window = -1;
    b[0].lse = NULL;
    b[1].d_k.shape[0] = 7;
    b[2].shape.doc_offsets = NULL;
    b[3].workspace = NULL;
    for (int i = 0; i < 8; i++) {
        struct lrc_error err = { 0 };
        lrc_cases_expect_status(backend, "attention_forward: bad",
                                lrc_attention_forward(backend, NULL, &f[i], &err), LRC_STATUS_SHAPE, &err);
    }
    for (int i = 0; i < 4; i++) {
        struct lrc_error err = { 0 };
        lrc_cases_expect_status(backend, "attention_backward: bad",
                                lrc_attention_backward(backend, NULL, &b[i], &err), LRC_STATUS_SHAPE, &err);
    }
    arrays_free(&t);
}

#define F32  LRC_DTYPE_F32
#define BF16 LRC_DTYPE_BF16

/* name, H, K, C, window, n_past, scale, dtype, documents */
static const struct problem problems[] = {
    { "no documents", 2, 1, 8, 0, 0, 0, F32, 0, { 0 } },
    { "one element", 1, 1, 1, 0, 0, 0, F32, 1, { 0, 1 } },
    { "empty document", 1, 1, 8, 0, 0, 0, F32, 1, { 0, 0 } },
    { "documents of 0, 1, 70, 0, 2", 2, 2, 8, 0, 0, 0, F32, 5, { 0, 0, 1, 71, 71, 73 } },
    { "several tiles", 4, 1, 24, 0, 0, 0, F32, 2, { 0, 130, 201 } },
    { "whole tiles", 2, 1, 64, 0, 0, 0, F32, 1, { 0, 128 } },
    { "window of 5", 4, 2, 16, 5, 0, 0, F32, 2, { 0, 3, 150 } },
    { "window of 1", 2, 1, 8, 1, 0, 0, F32, 1, { 0, 70 } },
    { "window of 2, over a tile's edge", 2, 1, 8, 2, 0, 0, F32, 1, { 0, 130 } },
    { "window of 64", 1, 1, 80, 64, 0, 0, F32, 1, { 0, 200 } },
    { "window of 100", 2, 2, 8, 100, 0, 0, F32, 1, { 0, 270 } },
    { "heads of 128", 2, 1, 128, 0, 0, 0, F32, 1, { 0, 97 } },
    { "steep softmax", 2, 1, 64, 30, 0, 8.0f, F32, 2, { 0, 100, 170 } },
    { "bf16", 4, 2, 64, 0, 0, 0, BF16, 3, { 0, 33, 34, 140 } },
    { "bf16, heads of 80", 4, 1, 80, 40, 0, 0, BF16, 1, { 0, 90 } },
    { "bf16, heads of 256", 2, 1, 256, 0, 0, 0, BF16, 2, { 0, 70, 100 } },
    { "bf16, heads of 150, window", 2, 1, 150, 33, 0, 0, BF16, 1, { 0, 72 } },
    { "bf16, heads of 13", 2, 2, 13, 0, 0, 0, BF16, 2, { 0, 66, 70 } },
    { "bf16, window of 3", 2, 1, 64, 3, 0, 0, BF16, 1, { 0, 130 } },
    { "bf16, heads of 264", 1, 1, 264, 0, 0, 0, BF16, 1, { 0, 40 } },
    { "bf16, groups of 4, an odd row after two tiles", 4, 1, 64, 0, 0, 0, BF16, 2, { 0, 129, 200 } },
    { "bf16, groups of 7, window over a tile's edge", 14, 2, 64, 70, 0, 0, BF16, 1, { 0, 150 } },
    { "bf16, groups of 8, heads of 96", 8, 1, 96, 0, 0, 0, BF16, 2, { 0, 67, 68 } },
    { "bf16, heads of 80, no window", 2, 1, 80, 0, 0, 0, BF16, 1, { 0, 131 } },
    { "bf16, heads of 128, window of 64", 2, 2, 128, 64, 0, 0, BF16, 2, { 0, 1, 194 } },
    { "bf16, heads of 256, window of 65", 2, 1, 256, 65, 0, 0, BF16, 1, { 0, 133 } },
    { "bf16, window of 66, over two tiles' edges", 2, 1, 64, 66, 0, 0, BF16, 1, { 0, 200 } },
    { "bf16, window of 79", 2, 1, 64, 79, 0, 0, BF16, 1, { 0, 130 } },
    { "bf16, steep softmax", 2, 1, 64, 30, 0, 8.0f, BF16, 2, { 0, 100, 170 } },
    { "bf16, 17 queries after 190, window", 4, 1, 128, 100, 190, 0, BF16, 1, { 0, 17 } },
    { "one query after 200, bf16", 4, 2, 64, 0, 200, 0, BF16, 1, { 0, 1 } },
    { "one query after 200", 4, 2, 64, 0, 200, 0, F32, 1, { 0, 1 } },
    { "one query after 63", 4, 4, 8, 0, 63, 0, F32, 1, { 0, 1 } },
    { "bf16, one query after 5000", 8, 2, 64, 0, 5000, 0, BF16, 1, { 0, 1 } },
    { "one query after 4200, window of 4100", 4, 2, 16, 4100, 4200, 0, F32, 1, { 0, 1 } },
    { "bf16, 2 queries after 126", 4, 2, 64, 0, 126, 0, BF16, 1, { 0, 2 } },
    { "2 queries after 126", 4, 2, 24, 0, 126, 0, F32, 1, { 0, 2 } },
    { "bf16, 3 queries after 1000, window of 600", 6, 2, 32, 600, 1000, 0, BF16, 1, { 0, 3 } },
    { "bf16, 4 queries after 700, groups of 7, window", 14, 2, 64, 300, 700, 0, BF16, 1, { 0, 4 } },
    { "4 queries after 600, groups of 8", 8, 1, 24, 0, 600, 0, F32, 1, { 0, 4 } },
    { "bf16, 4 queries after 255: keys that the first does not see", 2, 1, 16, 0, 255, 0, BF16, 1, { 0, 4 } },
    { "4 queries after 255: keys that the first does not see", 2, 1, 8, 0, 255, 0, F32, 1, { 0, 4 } },
    { "bf16, 8 queries after 300, groups of 8", 8, 1, 64, 0, 300, 0, BF16, 1, { 0, 8 } },
    { "bf16, 9 queries after 300, groups of 8", 8, 1, 64, 0, 300, 0, BF16, 1, { 0, 9 } },
    { "bf16, 2 queries after 900, window of 1, steep softmax", 4, 1, 64, 1, 900, 8.0f, BF16, 1, { 0, 2 } },
    { "bf16, 4 queries of a document, heads of 256", 2, 1, 256, 0, 0, 0, BF16, 1, { 0, 4 } },
    { "bf16, three blocks of 128 rows", 2, 1, 128, 0, 0, 0, BF16, 2, { 0, 321, 449 } },
    { "bf16, documents of 64, 65, 128, 127, 1", 2, 1, 64, 0, 0, 0, BF16, 5, { 0, 64, 129, 257, 384, 385 } },
    { "bf16, window of 150 over blocks of 128", 4, 2, 64, 150, 0, 0, BF16, 1, { 0, 420 } },
    { "bf16, 150 queries after 70, window of 130", 2, 1, 128, 130, 70, 0, BF16, 1, { 0, 150 } },
    { "70 queries after 3", 2, 1, 24, 0, 3, 0, BF16, 1, { 0, 70 } },
    { "window and past", 2, 1, 24, 20, 100, 0, F32, 1, { 0, 7 } },
};

/* More documents than a backend may handle at a time, every fourth of them empty. */
static void expect_many_documents(const struct lrc_backend *backend, enum lrc_dtype dtype)
{
    struct problem p = { .name = "300 documents", .n_heads = 1, .n_kv_heads = 1, .head_dim = 8 };
    p.dtype = dtype;
    p.n_docs = DOCS_MAX;
    for (int d = 0; d < DOCS_MAX; d++)
        p.doc_offsets[d + 1] = p.doc_offsets[d] + d % 4;
    expect_problem(backend, &p);
}

void lrc_attention_cases(const struct lrc_backend *backend)
{
    expect_many_documents(backend, F32);
    expect_many_documents(backend, BF16);
    for (size_t i = 0; i < sizeof problems / sizeof problems[0]; i++)
        expect_problem(backend, &problems[i]);
    expect_finite_differences(backend);
    expect_refusals(backend);
}

struct row {
    const struct lrc_backend *backend;
    const struct problem     *p;
    struct arrays             arrays;
};

static void run_row(void *context)
{
    const struct row *t = context;
    run(t->backend, &t->arrays);
}

static void check_row(void *context, const char *name)
{
    const struct row *t = context;
    (void)name;
    expect_problem(t->backend, t->p);
}

static void visit(const struct lrc_cases_walk *walk, const struct problem *p)
{
    const int                  is_wide = walk->backend->memory != NULL && p->n_past == 0;
    struct row                 t = { walk->backend, p,
                                     is_wide ? arrays_new_wide(p) : arrays_new(p, omp_get_max_threads()) };
    const struct lrc_cases_row row = { p->name, run_row, check_row, &t };
    walk->visit(&row);
    arrays_free(&t.arrays);
}

void lrc_attention_rows(const struct lrc_cases_walk *walk);
void lrc_attention_rows(const struct lrc_cases_walk *walk)
{
    const struct lrc_cases_step *s = &walk->step;
    struct problem documents = { .name = "documents", .n_heads = s->n_heads, .n_kv_heads = s->n_kv_heads };
    documents.head_dim = s->head_dim;
    documents.dtype = s->activation;
    struct problem one = documents, query = documents;
    documents.n_docs = s->n_docs < DOCS_MAX ? s->n_docs : DOCS_MAX;
    for (int64_t d = 0; d <= documents.n_docs; d++)
        documents.doc_offsets[d] = (int32_t)(d * (s->n_tokens / s->n_docs));
    one.name = "one document of all tokens";
    query.name = "one query after them";
    one.n_docs = query.n_docs = 1;
    one.doc_offsets[1] = (int32_t)s->n_tokens;
    query.doc_offsets[1] = 1;
    query.n_past = s->n_tokens;
    visit(walk, &documents);
    visit(walk, &one);
    visit(walk, &query);
}
