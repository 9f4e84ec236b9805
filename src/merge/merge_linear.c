/* One linear, panel by panel: W + scale * B A, rounded, and its proof.
 *
 * The proof. x has random signs, e[c] = W'[r,c] - (W[r,c] + scale * sum_i B[r,i] A[i,c]) is the error of one
 * element. The sum of x[c] e[c] is computed as (W' - W) x - scale * B (A x), in double, without forming B A.
 * Each |e[c]| is at most
 *
 *   m[c] = u |W'[r,c]| + tiny + (R + 4) 2^-24 (2 |W'[r,c]| + 2 |scale| sum_i |B[r,i] A[i,c]|)
 *
 * (u: unit roundoff of the output type; tiny: half its smallest number; then R products and sums in float32,
 * scale, W). The signs are independent of the weights, so Hoeffding's inequality gives |x e| <= k |m|_2 with
 * probability at least 1 - 2 exp(-k^2 / 2): k = 8 fails a correct merge once in 10^13 rows. |m|_2 is bounded
 * by the triangle inequality, with the norms of the rows of A. */
#include "base/rng.h"
#include "base/vectors.h"
#include "common/gemm.h"
#include "merge/merge_private.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

static const double deviations = 8.0;

/* Doubles in panel.probes, for one linear: x (PROBES, cols); scale * A x (PROBES, R); |scale| * |row of A|_2
 * (R). */
struct probes {
    double *x, *ax, *norm;
    int64_t cols, rank;
};

static struct probes probes_of(const struct lrc_merge_panel *panel, int64_t cols, int64_t rank)
{
    double *x = panel->probes, *ax = x + LRC_MERGE_PROBES * cols;
    return (struct probes){x, ax, ax + LRC_MERGE_PROBES * rank, cols, rank};
}

static void make_probes(const struct probes *probes, const struct lrc_linear_adapter *adapter, int64_t place)
{
    const float *a = adapter->a.data;
    for (int p = 0; p < LRC_MERGE_PROBES; p++) {
        const uint64_t key = lrc_rng_key(0x6d65726765, LRC_RNG_SAMPLE, (uint32_t)place, (uint32_t)p);
        for (int64_t c = 0; c < probes->cols; c++)
            probes->x[p * probes->cols + c] = lrc_rng_philox(key, 0, (uint64_t)c).word[0] & 1u ? 1.0 : -1.0;
    }
    for (int64_t i = 0; i < probes->rank; i++) {
        double squares = 0.0;
        for (int64_t c = 0; c < probes->cols; c++)
            squares += (double)a[i * probes->cols + c] * (double)a[i * probes->cols + c];
        probes->norm[i] = fabs((double)adapter->scale) * sqrt(squares);
        for (int p = 0; p < LRC_MERGE_PROBES; p++) {
            double sum = 0.0;
            for (int64_t c = 0; c < probes->cols; c++)
                sum += (double)a[i * probes->cols + c] * probes->x[p * probes->cols + c];
            probes->ax[p * probes->rank + i] = (double)adapter->scale * sum;
        }
    }
}

struct rounding {
    double unit, tiny;
};

static struct rounding rounding_of(enum lrc_dtype dtype)
{
    switch (dtype) {
    case LRC_DTYPE_BF16:
        return (struct rounding){0x1p-8, 0x1p-134};
    case LRC_DTYPE_F16:
        return (struct rounding){0x1p-11, 0x1p-25};
    default:
        return (struct rounding){0x1p-24, 0x1p-150};
    }
}

/* What one row told. */
struct verdict {
    int64_t n_changed;
    double share; /* of the bound; NaN when something is not finite */
};

static double row_share(const struct probes *probes, const float *b, const double *projected, double squares,
                        struct rounding rounding)
{
    double norms = 0.0, share = 0.0;
    for (int64_t i = 0; i < probes->rank; i++)
        norms += fabs((double)b[i]) * probes->norm[i];
    const double weights = sqrt(squares);
    const double bound = rounding.unit * weights + rounding.tiny * sqrt((double)probes->cols) +
                         (double)(probes->rank + 4) * 0x1p-24 * 2.0 * (weights + norms);
    for (int p = 0; p < LRC_MERGE_PROBES; p++) {
        double want = 0.0;
        for (int64_t i = 0; i < probes->rank; i++)
            want += (double)b[i] * probes->ax[p * probes->rank + i];
        const double used = fabs(projected[p] - want) / (deviations * bound);
        if (!(used <= share))
            share = used;
        if (isnan(share))
            return share;
    }
    return share;
}

/* Sums over a row of delta - weight against the signs x (two rows of n), of squares, and of what changed. */
struct row_sums {
    double  projected[LRC_MERGE_PROBES], squares;
    int64_t n_changed;
};

LRC_VECTORS static void add_scaled(float *restrict delta, const float *restrict weight, float scale,
                                   int64_t n)
{
#pragma omp simd
    for (int64_t c = 0; c < n; c++)
        delta[c] = weight[c] + scale * delta[c];
}

LRC_VECTORS static void sum_row(struct row_sums *sums, const float *restrict delta,
                                const float *restrict weight, const double *restrict x, int64_t n)
{
    double  sum0 = 0.0, sum1 = 0.0, squares = 0.0;
    int64_t n_changed = 0;
#pragma omp simd reduction(+ : sum0, sum1, squares, n_changed)
    for (int64_t c = 0; c < n; c++) {
        const double difference = (double)delta[c] - (double)weight[c];
        sum0 += difference * x[c];
        sum1 += difference * x[n + c];
        squares += (double)delta[c] * (double)delta[c];
        n_changed += delta[c] != weight[c];
    }
    *sums = (struct row_sums){ { sum0, sum1 }, squares, n_changed };
}
_Static_assert(LRC_MERGE_PROBES == 2, "sum_row() has two sums");

/* In place: delta becomes the rounded sum; out gets the same in the output's type. */
static struct verdict merge_row(float *restrict weight, float *restrict delta, void *out, const float *b,
                                float scale, const struct probes *probes, enum lrc_dtype dtype)
{
    const int64_t n = probes->cols;
    struct row_sums sums;
    add_scaled(delta, weight, scale, n);
    lrc_dtype_from_f32(out, dtype, delta, n);
    lrc_dtype_to_f32(delta, out, dtype, n);
    sum_row(&sums, delta, weight, probes->x, n);
    return (struct verdict){sums.n_changed,
                            row_share(probes, b, sums.projected, sums.squares, rounding_of(dtype))};
}

struct work {
    struct lrc_merge_run *run;
    const struct lrc_merge_entry *entry;
    struct probes probes;
    int64_t first, n; /* rows of the panel */
};

static enum lrc_status load_rows(const struct work *work, struct lrc_error *err)
{
    const struct lrc_weight *weight = work->entry->weight;
    float *panel = work->run->panel.weight;
    const int64_t cols = weight->cols, first_elem = work->first * cols;
    if (weight->type != LRC_BLOCK_DENSE) {
        const struct lrc_dequantize_args args = {weight, first_elem,
                                                 lrc_tensor_1d(panel, LRC_DTYPE_F32, work->n * cols)};
        return lrc_dequantize(work->run->backend, NULL, &args, err);
    }
    const size_t row_bytes = (size_t)cols * lrc_dtype_bytes(weight->dtype);
    const unsigned char *source = (const unsigned char *)weight->data + (size_t)work->first * row_bytes;
#pragma omp parallel for schedule(static)
    for (int64_t r = 0; r < work->n; r++)
        lrc_dtype_to_f32(panel + r * cols, source + (size_t)r * row_bytes, weight->dtype, cols);
    return LRC_STATUS_OK;
}

static enum lrc_status product(const struct work *work, struct lrc_error *err)
{
    const struct lrc_linear_adapter *adapter = work->entry->adapter;
    const int64_t rank = work->probes.rank, cols = work->probes.cols;
    const struct lrc_gemm gemm = {
        .m = work->n,
        .n = cols,
        .k = rank,
        .a = {(const float *)adapter->b.data + work->first * rank, rank, 0},
        .b = {adapter->a.data, cols, 0},
        .c = work->run->panel.delta,
        .c_stride = cols,
        .dtype = LRC_DTYPE_F32,
        .c_dtype = LRC_DTYPE_F32,
        .mode = LRC_GEMM_SET,
    };
    return lrc_gemm_run(&gemm, err);
}

static enum lrc_status judge(const struct work *work, double worst, struct lrc_error *err)
{
    struct lrc_merge_report *report = work->run->report;
    const char *name = work->entry->entry->name;
    if (!isfinite(worst))
        return lrc_fail(err, LRC_STATUS_NUMERIC,
                        "%s: want finite merged weights, got NaN or infinity in rows %" PRId64 " to %" PRId64,
                        name, work->first, work->first + work->n - 1);
    if (worst > report->proof_max)
        report->proof_max = worst;
    if (worst <= 1.0)
        return LRC_STATUS_OK;
    return lrc_fail(
        err, LRC_STATUS_NUMERIC,
        "%s: want W'x equal to Wx + scale B(Ax) within rounding, got %.3g times that in rows %" PRId64
        " to %" PRId64,
        name, worst, work->first, work->first + work->n - 1);
}

static enum lrc_status merge_rows(const struct work *work, struct lrc_error *err)
{
    const struct lrc_merge_panel *panel = &work->run->panel;
    const struct lrc_linear_adapter *adapter = work->entry->adapter;
    const int64_t cols = work->probes.cols, rank = work->probes.rank;
    const size_t row_bytes = (size_t)cols * lrc_dtype_bytes(work->entry->dtype);
    int64_t n_changed = 0, n_bad = 0;
    double worst = 0.0;
    LRC_TRY(product(work, err));
#pragma omp parallel for schedule(static) reduction(+ : n_changed, n_bad) reduction(max : worst)
    for (int64_t r = 0; r < work->n; r++) {
        const struct verdict verdict = merge_row(panel->weight + r * cols, panel->delta + r * cols,
                                                 panel->out[work->run->panel.turn] + (size_t)r * row_bytes,
                                                 (const float *)adapter->b.data + (work->first + r) * rank,
                                                 adapter->scale, &work->probes, work->entry->dtype);
        n_changed += verdict.n_changed;
        n_bad += !isfinite(verdict.share);
        worst = verdict.share > worst ? verdict.share : worst;
    }
    work->run->report->n_changed += n_changed;
    return judge(work, n_bad > 0 ? NAN : worst, err);
}

/* A 4-bit linear without adapter. */
static void round_rows(const struct work *work)
{
    const struct lrc_merge_panel *panel = &work->run->panel;
    const int64_t cols = work->entry->weight->cols;
    const size_t row_bytes = (size_t)cols * lrc_dtype_bytes(work->entry->dtype);
#pragma omp parallel for schedule(static)
    for (int64_t r = 0; r < work->n; r++)
        lrc_dtype_from_f32(panel->out[work->run->panel.turn] + (size_t)r * row_bytes, work->entry->dtype,
                           panel->weight + r * cols, cols);
}

enum lrc_status lrc_merge_linear(struct lrc_merge_run *run, const struct lrc_merge_entry *entry,
                                 struct lrc_merge_writer *writer, struct lrc_error *err)
{
    const struct lrc_weight *weight = entry->weight;
    const int64_t rank = entry->adapter ? entry->adapter->a.shape[0] : 0;
    const int64_t rows = run->panel.elems_max / weight->cols,
                  panel_rows = rows < weight->rows ? rows : weight->rows;
    struct work work = {run, entry, probes_of(&run->panel, weight->cols, rank), 0, 0};
    const size_t row_bytes = (size_t)weight->cols * lrc_dtype_bytes(entry->dtype);
    if (entry->adapter) {
        make_probes(&work.probes, entry->adapter, run->report->n_merged);
        run->report->n_merged++;
        run->report->n_weights += weight->rows * weight->cols;
    }
    for (; work.first < weight->rows; work.first += work.n) {
        const int64_t left = weight->rows - work.first;
        work.n = left < panel_rows ? left : panel_rows;
        LRC_TRY(load_rows(&work, err));
        if (entry->adapter)
            LRC_TRY(merge_rows(&work, err));
        else
            round_rows(&work);
        LRC_TRY(
            lrc_merge_writer_put(writer, run->panel.out[run->panel.turn], (size_t)work.n * row_bytes, err));
        run->panel.turn ^= 1;
    }
    return LRC_STATUS_OK;
}
