/* The formulas of attention.h in double, and how far rounding may take a backend from them. For
 * attention_cases.c only.
 *
 * Rounding errors are taken as independent of each other, each below its largest: a sum of them is
 * sub-Gaussian with the sum of their squares (Hoeffding 1963), which is what is kept here, per element of an
 * output and for sum(error * output). */
#ifndef LRC_ATTENTION_ORACLE_H
#define LRC_ATTENTION_ORACLE_H

#include "base/alloc.h"
#include "common/cases.h"

enum { DOCS_MAX = 300 };

struct problem {
    const char    *name;
    int64_t        n_heads, n_kv_heads, head_dim, window, n_past;
    float          scale; /* 0: 1 / sqrt(C) */
    enum lrc_dtype dtype;
    int64_t        n_docs;
    int32_t        doc_offsets[DOCS_MAX + 1];
};

enum { Q, K, V, OUT, D_OUT, D_Q, D_K, D_V, N_ARRAYS };

/* Values of p below 2^-126 may be flushed, at most 2^11 of them in a sum. */
#define LEAST 0x1p-115

static inline int is_output(int i)
{
    return i == OUT || i >= D_Q;
}

static inline int is_kv(int i)
{
    return i == K || i == V || i == D_K || i == D_V;
}

static inline int64_t heads_of(const struct problem *p, int i)
{
    return is_kv(i) ? p->n_kv_heads : p->n_heads;
}

static inline int64_t rows_of(const struct problem *p, int i)
{
    return (is_kv(i) ? p->n_past : 0) + p->doc_offsets[p->n_docs];
}

static inline int64_t array_elems(const struct problem *p, int i)
{
    return rows_of(p, i) * heads_of(p, i) * p->head_dim;
}

struct oracle {
    const struct problem *p;
    double                scale;
    double               *array[N_ARRAYS]; /* contiguous; outputs start at 0 */
    double               *noise[N_ARRAYS]; /* of outputs: squares of the roundings that reach an element */
    double                along[N_ARRAYS]; /* the same of sum(error * output) */
    double               *lse;             /* (T, H) */
    double               *p_row;           /* (n_keys) of one query */
};

/* What remains to be done after array[] is there. */
static inline void oracle_init(struct oracle *o)
{
    for (int i = 0; i < N_ARRAYS; i++)
        if (is_output(i))
            o->noise[i] = lrc_cases_doubles(array_elems(o->p, i));
    o->lse = lrc_cases_doubles(rows_of(o->p, Q) * o->p->n_heads);
    o->p_row = lrc_cases_doubles(rows_of(o->p, K));
}

static inline void oracle_free(struct oracle *o)
{
    for (int i = 0; i < N_ARRAYS; i++) {
        lrc_free(o->array[i]);
        lrc_free(o->noise[i]);
    }
    lrc_free(o->lse);
    lrc_free(o->p_row);
}

static inline double dot(const double *a, const double *b, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

static inline double dot_of_magnitudes(const double *a, const double *b, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += fabs(a[i] * b[i]);
    return sum;
}

static inline double square(double x)
{
    return x * x;
}

/* One query: row `at` of all rows, key rows [from, to]. */
struct query {
    int64_t at, head, kv_head, from, to;
    double  reach; /* largest scale * sum_c |q k|: what the roundings of a score are relative to */
};

static inline int64_t offset_of(const struct oracle *o, int i, const struct query *q, int64_t key)
{
    const int64_t row = is_kv(i) ? key : q->at, head = is_kv(i) ? q->kv_head : q->head;
    return (row * heads_of(o->p, i) + head) * o->p->head_dim;
}

static inline double *row_of(const struct oracle *o, int i, const struct query *q, int64_t key)
{
    return o->array[i] + offset_of(o, i, q, key);
}

static inline double *noise_of(const struct oracle *o, int i, const struct query *q, int64_t key)
{
    return o->noise[i] + offset_of(o, i, q, key);
}

static inline void query_forward(const struct oracle *o, struct query *q)
{
    const int64_t n_cols = o->p->head_dim;
    const double *row = row_of(o, Q, q, 0);
    double       *out = row_of(o, OUT, q, 0), most = -INFINITY, sum = 0;
    q->reach = 0;
    for (int64_t j = q->from; j <= q->to; j++) {
        o->p_row[j] = o->scale * dot(row, row_of(o, K, q, j), n_cols);
        most = fmax(most, o->p_row[j]);
        q->reach = fmax(q->reach, o->scale * dot_of_magnitudes(row, row_of(o, K, q, j), n_cols));
    }
    for (int64_t j = q->from; j <= q->to; j++)
        sum += exp(o->p_row[j] - most);
    const double lse = most + log(sum);
    o->lse[q->at * o->p->n_heads + q->head] = lse;
    memset(out, 0, (size_t)n_cols * sizeof *out);
    for (int64_t j = q->from; j <= q->to; j++) {
        o->p_row[j] = exp(o->p_row[j] - lse);
        for (int64_t c = 0; c < n_cols; c++)
            out[c] += o->p_row[j] * row_of(o, V, q, j)[c];
    }
}

static inline void query_backward(const struct oracle *o, const struct query *q)
{
    const int64_t n_cols = o->p->head_dim;
    const double *row = row_of(o, Q, q, 0), *d_out = row_of(o, D_OUT, q, 0);
    const double  delta = dot(d_out, row_of(o, OUT, q, 0), n_cols);
    double       *d_q = row_of(o, D_Q, q, 0);
    for (int64_t j = q->from; j <= q->to; j++) {
        const double  p = o->p_row[j], d_s = o->scale * p * (dot(d_out, row_of(o, V, q, j), n_cols) - delta);
        const double *k = row_of(o, K, q, j);
        double       *d_k = row_of(o, D_K, q, j), *d_v = row_of(o, D_V, q, j);
        for (int64_t c = 0; c < n_cols; c++) {
            d_q[c] += d_s * k[c];
            d_k[c] += d_s * row[c];
            d_v[c] += p * d_out[c];
        }
    }
}

/* ---- roundings ---- */

/* Of one query, squared. */
struct roundings {
    double p;     /* relative, of a factor p or d_s */
    double delta; /* of delta */
};

/* A factor is rounded to BF16 where a backend may do so. In float32: p is e^(s - lse) of a sum of C products
 * in each of the two, their difference and exp's own 2 ulp, where lse is common to a query's keys; then the
 * partial sums over n terms. delta sees out's rounding when it is stored, and the roundings of p in it. */
static inline struct roundings roundings_of(const struct oracle *o, const struct query *q)
{
    const struct problem *p = o->p;
    const int             is_bf16 = p->dtype == LRC_DTYPE_BF16;
    const double          eps = LRC_CASES_EPS_F32, stored = is_bf16 ? LRC_CASES_EPS_BF16 : eps;
    const int64_t         n_cols = p->head_dim, group = p->n_heads / p->n_kv_heads;
    const double          n_keys = (double)(q->to - q->from + 1),
                 terms = fmax(n_keys, (double)(group * p->doc_offsets[p->n_docs]));
    const double     score = eps * (q->reach * (sqrt(2 * (double)n_cols + 6) + 4) + log(n_keys) + 8);
    const double    *d_out = row_of(o, D_OUT, q, 0), *out = row_of(o, OUT, q, 0);
    struct roundings r = { (is_bf16 ? square(stored) : 0) + n_keys * square(score) + square(terms * eps), 0 };
    for (int64_t c = 0; c < n_cols; c++)
        r.delta += square(stored * d_out[c] * out[c]);
    for (int64_t j = q->from; j <= q->to; j++)
        r.delta += r.p * square(o->p_row[j] * dot(d_out, row_of(o, V, q, j), n_cols));
    r.delta += square(eps * dot_of_magnitudes(d_out, out, n_cols)) * (double)(n_cols + 2);
    return r;
}

/* Of d_s[i,j], squared, but for delta's. */
static inline double rounding_of_d_s(const struct oracle *o, const struct query *q, int64_t j,
                                     const struct roundings *r)
{
    const int64_t n_cols = o->p->head_dim;
    const double *d_out = row_of(o, D_OUT, q, 0), *v = row_of(o, V, q, j);
    const double  delta = dot(d_out, row_of(o, OUT, q, 0), n_cols);
    const double  product = square(LRC_CASES_EPS_F32 * dot_of_magnitudes(d_out, v, n_cols));
    return square(o->scale * o->p_row[j]) *
           (r->p * square(dot(d_out, v, n_cols) - delta) + (double)(n_cols + 2) * product);
}

/* delta's roundings are common to a query's keys: `common` is what one of size 1 does to d_q. */
static inline void query_noise(const struct oracle *o, const struct query *q)
{
    const struct roundings r = roundings_of(o, q);
    const int64_t          n_cols = o->p->head_dim;
    const double          *row = row_of(o, Q, q, 0), *d_out = row_of(o, D_OUT, q, 0);
    double                *common = lrc_cases_doubles(n_cols);
    for (int64_t j = q->from; j <= q->to; j++) {
        const double  p = o->p_row[j], d_s = rounding_of_d_s(o, q, j, &r);
        const double *k = row_of(o, K, q, j), *v = row_of(o, V, q, j);
        for (int64_t c = 0; c < n_cols; c++) {
            noise_of(o, OUT, q, 0)[c] += r.p * square(p * v[c]);
            noise_of(o, D_V, q, j)[c] += r.p * square(p * d_out[c]);
            noise_of(o, D_Q, q, 0)[c] += d_s * square(k[c]);
            noise_of(o, D_K, q, j)[c] += (d_s + r.delta * square(o->scale * p)) * square(row[c]);
            common[c] += o->scale * p * k[c];
        }
    }
    for (int64_t c = 0; c < n_cols; c++)
        noise_of(o, D_Q, q, 0)[c] += r.delta * square(common[c]);
    lrc_free(common);
}

/* What the same roundings do to sum(error * output), once the outputs are there. */
static inline void query_along(struct oracle *o, const struct query *q)
{
    const struct roundings r = roundings_of(o, q);
    const int64_t          n_cols = o->p->head_dim;
    const double          *row = row_of(o, Q, q, 0), *d_out = row_of(o, D_OUT, q, 0);
    double                 by_delta_q = 0, by_delta_k = 0;
    for (int64_t j = q->from; j <= q->to; j++) {
        const double p = o->p_row[j], d_s = rounding_of_d_s(o, q, j, &r);
        const double d_q = dot(row_of(o, D_Q, q, 0), row_of(o, K, q, j), n_cols),
                     d_k = dot(row_of(o, D_K, q, j), row, n_cols);
        o->along[OUT] += r.p * square(p * dot(row_of(o, OUT, q, 0), row_of(o, V, q, j), n_cols));
        o->along[D_V] += r.p * square(p * dot(row_of(o, D_V, q, j), d_out, n_cols));
        o->along[D_Q] += d_s * square(d_q);
        o->along[D_K] += d_s * square(d_k);
        by_delta_q += o->scale * p * d_q;
        by_delta_k += o->scale * p * d_k;
    }
    o->along[D_Q] += r.delta * square(by_delta_q);
    o->along[D_K] += r.delta * square(by_delta_k);
}

/* ---- all queries ---- */

enum pass { FORWARD, BACKWARD, ALONG };

static inline void oracle_run(struct oracle *o, enum pass pass)
{
    const struct problem *p = o->p;
    for (int64_t d = 0; d < p->n_docs; d++)
        for (int64_t at = p->doc_offsets[d]; at < p->doc_offsets[d + 1]; at++)
            for (int64_t h = 0; h < p->n_heads; h++) {
                const int64_t to = p->n_past + at, first = p->window > 0 ? to - p->window + 1 : 0;
                const int64_t from = first > p->doc_offsets[d] ? first : p->doc_offsets[d];
                struct query  q = { at, h, h / (p->n_heads / p->n_kv_heads), from, to, 0 };
                query_forward(o, &q);
                if (pass == BACKWARD) {
                    query_backward(o, &q);
                    query_noise(o, &q);
                }
                if (pass == ALONG)
                    query_along(o, &q);
            }
}

/* Of a sum of C products and a scale, e^ of it with 2 ulp, and the sum of n such; rounded once. */
static inline double lse_bound(const struct oracle *o)
{
    const double eps = LRC_CASES_EPS_F32, c = (double)o->p->head_dim, n = (double)rows_of(o->p, K);
    double       most = 0;
    for (int64_t i = 0; i < rows_of(o->p, Q) * o->p->n_heads; i++)
        most = fmax(most, fabs(o->lse[i]));
    return (c + 3) * eps * c * o->scale + (n + 8) * eps + eps * most;
}

#endif
