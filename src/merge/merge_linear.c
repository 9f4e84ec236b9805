/* Rows of one linear: W + scale * B A, rounded, and their proof.
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
#include "merge/merge_private.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* Columns at a time: those of A stay in the first cache while the rows of B pass. */
enum { BLOCK_COLS = 512 };

static const double deviations = 8.0;

/* Of one linear: x is the run's; scale * A x (PROBES, R) and |scale| * |row of A|_2 (R) are its own. */
struct probes {
    const double *x[LRC_MERGE_PROBES];
    double       *ax, *norm;
    int64_t       cols, rank;
};

static struct probes probes_of(const struct lrc_merge_run *run, const struct lrc_merge_entry *entry)
{
    const int64_t rank = entry->adapter->a.shape[0];
    return (struct probes){ { run->signs, run->signs + run->cols_max },
                            entry->probes,
                            entry->probes + LRC_MERGE_PROBES * rank,
                            entry->weight->cols,
                            rank };
}
_Static_assert(LRC_MERGE_PROBES == 2, "struct probes and sum_row() have two");

LRC_VECTORS static void project(double sums[3], const float *restrict a, const double *restrict x,
                                const double *restrict y, int64_t n)
{
    double ax = 0.0, ay = 0.0, squares = 0.0;
#pragma omp simd reduction(+ : ax, ay, squares)
    for (int64_t c = 0; c < n; c++) {
        const double value = (double)a[c];
        ax += value * x[c];
        ay += value * y[c];
        squares += value * value;
    }
    sums[0] = ax;
    sums[1] = ay;
    sums[2] = squares;
}

int64_t lrc_merge_probe_elems(const struct lrc_merge_entry *entry)
{
    return (LRC_MERGE_PROBES + 1) * entry->adapter->a.shape[0];
}

void lrc_merge_probe(const struct lrc_merge_run *run, const struct lrc_merge_entry *entry)
{
    const struct probes probes = probes_of(run, entry);
    const float        *a = entry->adapter->a.data;
    const double        scale = (double)entry->adapter->scale;
    for (int64_t i = 0; i < probes.rank; i++) {
        double sums[3];
        project(sums, a + i * probes.cols, probes.x[0], probes.x[1], probes.cols);
        probes.ax[i] = scale * sums[0];
        probes.ax[probes.rank + i] = scale * sums[1];
        probes.norm[i] = fabs(scale) * sqrt(sums[2]);
    }
}

struct rounding {
    double unit, tiny;
};

static struct rounding rounding_of(enum lrc_dtype dtype)
{
    switch (dtype) {
    case LRC_DTYPE_BF16: return (struct rounding){ 0x1p-8, 0x1p-134 };
    case LRC_DTYPE_F16: return (struct rounding){ 0x1p-11, 0x1p-25 };
    default: return (struct rounding){ 0x1p-24, 0x1p-150 };
    }
}

/* The share of its bound that the error of a row took; NaN when something is not finite. */
static double row_share(const struct probes *probes, const float *b, const struct lrc_merge_row_sums *sums,
                        struct rounding rounding)
{
    double norms = 0.0, share = 0.0;
    for (int64_t i = 0; i < probes->rank; i++)
        norms += fabs((double)b[i]) * probes->norm[i];
    const double weights = sqrt(sums->squares);
    const double bound = rounding.unit * weights + rounding.tiny * sqrt((double)probes->cols) +
                         (double)(probes->rank + 4) * 0x1p-24 * 2.0 * (weights + norms);
    for (int p = 0; p < LRC_MERGE_PROBES; p++) {
        double want = 0.0;
        for (int64_t i = 0; i < probes->rank; i++)
            want += (double)b[i] * probes->ax[p * probes->rank + i];
        const double used = fabs(sums->projected[p] - want) / (deviations * bound);
        if (!(used <= share))
            share = used;
        if (isnan(share))
            return share;
    }
    return share;
}

/* merged = weight + scale * b A, for up to TILE_ROWS rows of the n columns at a. Strides: of weight and a
 * `cols`, of merged BLOCK_COLS. In tiles the sums stay in registers; each has the same order everywhere. */
typedef float vector __attribute__((vector_size(64)));
typedef float vector_anywhere __attribute__((vector_size(64), aligned(4), may_alias));
enum {
    TILE_ROWS = LRC_MERGE_TILE_ROWS,
    TILE_VECTORS = 4,
    VECTOR_ELEMS = 16,
    TILE_COLS = TILE_VECTORS * VECTOR_ELEMS
};

LRC_VECTORS static void add_product_tile(float *restrict merged, const float *restrict weight,
                                         const float *restrict b, const float *restrict a, float scale,
                                         int64_t rank, int64_t cols)
{
    vector sum[TILE_ROWS][TILE_VECTORS];
    memset(sum, 0, sizeof sum);
    for (int64_t i = 0; i < rank; i++) {
        const vector_anywhere *row = (const void *)(a + i * cols);
#pragma GCC unroll 4
        for (int r = 0; r < TILE_ROWS; r++)
#pragma GCC unroll 4
            for (int v = 0; v < TILE_VECTORS; v++)
                sum[r][v] += b[r * rank + i] * row[v];
    }
#pragma GCC unroll 4
    for (int r = 0; r < TILE_ROWS; r++)
#pragma GCC unroll 4
        for (int v = 0; v < TILE_VECTORS; v++) {
            const vector_anywhere *w = (const void *)(weight + r * cols + v * VECTOR_ELEMS);
            vector_anywhere       *to = (void *)(merged + r * BLOCK_COLS + v * VECTOR_ELEMS);
            *to = *w + scale * sum[r][v];
        }
}

static void add_product(float *merged, const float *weight, const float *b, const float *a, float scale,
                        int64_t rank, int64_t cols, int64_t n_rows, int64_t n)
{
    const int64_t n_tiled = n_rows == TILE_ROWS ? n / TILE_COLS * TILE_COLS : 0;
    for (int64_t c = 0; c < n_tiled; c += TILE_COLS)
        add_product_tile(merged + c, weight + c, b, a + c, scale, rank, cols);
    for (int64_t r = 0; r < n_rows; r++)
        for (int64_t c = n_tiled; c < n; c++) {
            float sum = 0;
            for (int64_t i = 0; i < rank; i++)
                sum += b[r * rank + i] * a[i * cols + c];
            merged[r * BLOCK_COLS + c] = weight[r * cols + c] + scale * sum;
        }
}

/* Adds what the rounded sums `merged` tell to a row's sums. */
LRC_VECTORS static void sum_row(struct lrc_merge_row_sums *sums, const float *restrict merged,
                                const float *restrict weight, const double *restrict x,
                                const double *restrict y, int64_t n)
{
    double  along_x = 0.0, along_y = 0.0, squares = 0.0;
    int64_t n_changed = 0;
#pragma omp simd reduction(+ : along_x, along_y, squares, n_changed)
    for (int64_t c = 0; c < n; c++) {
        const double difference = (double)merged[c] - (double)weight[c];
        along_x += difference * x[c];
        along_y += difference * y[c];
        squares += (double)merged[c] * (double)merged[c];
        n_changed += merged[c] != weight[c];
    }
    sums->projected[0] += along_x;
    sums->projected[1] += along_y;
    sums->squares += squares;
    sums->n_changed += n_changed;
}

static enum lrc_status load(const struct lrc_merge_run *run, const struct lrc_weight *weight, int64_t first,
                            int64_t n, float *out, struct lrc_error *err)
{
    const int64_t first_elem = first * weight->cols, n_elems = n * weight->cols;
    if (weight->type != LRC_BLOCK_DENSE) {
        const struct lrc_dequantize_args args = { weight, first_elem,
                                                  lrc_tensor_1d(out, LRC_DTYPE_F32, n_elems) };
        return lrc_dequantize(run->backend, NULL, &args, err);
    }
    const size_t         elem_bytes = lrc_dtype_bytes(weight->dtype);
    const unsigned char *source = (const unsigned char *)weight->data + (size_t)first_elem * elem_bytes;
    lrc_dtype_to_f32(out, source, weight->dtype, n_elems);
    return LRC_STATUS_OK;
}

static enum lrc_status judge(const struct lrc_merge_entry *entry, double worst, int64_t first, int64_t n,
                             struct lrc_error *err)
{
    const char *name = entry->entry->name;
    if (!isfinite(worst))
        return lrc_fail(err, LRC_STATUS_NUMERIC,
                        "%s: want finite merged weights, got NaN or infinity in rows %" PRId64 " to %" PRId64,
                        name, first, first + n - 1);
    if (worst <= 1.0)
        return LRC_STATUS_OK;
    return lrc_fail(
        err, LRC_STATUS_NUMERIC,
        "%s: want W'x equal to Wx + scale B(Ax) within rounding, got %.3g times that in rows %" PRId64
        " to %" PRId64,
        name, worst, first, first + n - 1);
}

/* Of a panel: n_rows rows from `row`, n columns from `col`. */
struct block {
    int64_t row, n_rows, col, n;
};

static void merge_block(struct lrc_merge_worker *worker, const struct lrc_merge_entry *entry,
                        const struct probes *probes, unsigned char *out, const float *b, struct block at)
{
    _Alignas(64) float merged[TILE_ROWS * BLOCK_COLS];
    const int64_t      cols = probes->cols, first = at.row * cols + at.col;
    const float       *weight = worker->weight + first, *a = (const float *)entry->adapter->a.data + at.col;
    add_product(merged, weight, b + at.row * probes->rank, a, entry->adapter->scale, probes->rank, cols,
                at.n_rows, at.n);
    for (int64_t r = 0; r < at.n_rows; r++) {
        float *row = merged + r * BLOCK_COLS;
        void  *to = out + (size_t)(first + r * cols) * lrc_dtype_bytes(entry->dtype);
        lrc_dtype_from_f32(to, entry->dtype, row, at.n);
        lrc_dtype_to_f32(row, to, entry->dtype, at.n);
        sum_row(&worker->sums[at.row + r], row, weight + r * cols, probes->x[0] + at.col,
                probes->x[1] + at.col, at.n);
    }
}

static enum lrc_status merge_panel(struct lrc_merge_worker *worker, const struct lrc_merge_entry *entry,
                                   const struct probes *probes, unsigned char *out, int64_t first, int64_t n,
                                   struct lrc_error *err)
{
    const int64_t cols = probes->cols;
    const float  *b = (const float *)entry->adapter->b.data + first * probes->rank;
    double        worst = 0.0;
    memset(worker->sums, 0, (size_t)n * sizeof *worker->sums);
    for (int64_t c = 0; c < cols; c += BLOCK_COLS)
        for (int64_t r = 0; r < n; r += TILE_ROWS)
            merge_block(worker, entry, probes, out, b,
                        (struct block){ r, n - r < TILE_ROWS ? n - r : TILE_ROWS, c,
                                        cols - c < BLOCK_COLS ? cols - c : BLOCK_COLS });
    for (int64_t r = 0; r < n && !isnan(worst); r++) {
        const double share =
            row_share(probes, b + r * probes->rank, &worker->sums[r], rounding_of(entry->dtype));
        worst = share <= worst ? worst : share;
        worker->n_changed += worker->sums[r].n_changed;
    }
    worker->proof_max = worst > worker->proof_max ? worst : worker->proof_max;
    return judge(entry, worst, first, n, err);
}

enum lrc_status lrc_merge_rows(struct lrc_merge_worker *worker, const struct lrc_merge_run *run,
                               const struct lrc_merge_entry *entry, int64_t first, int64_t n,
                               struct lrc_error *err)
{
    const int64_t       cols = entry->weight->cols, panel_rows = run->panel_elems / cols, end = first + n;
    const struct probes probes = entry->adapter ? probes_of(run, entry) : (struct probes){ 0 };
    unsigned char      *out = worker->out;
    for (int64_t now; first < end; first += now) {
        now = end - first < panel_rows ? end - first : panel_rows;
        LRC_TRY(load(run, entry->weight, first, now, worker->weight, err));
        if (entry->adapter)
            LRC_TRY(merge_panel(worker, entry, &probes, out, first, now, err));
        else
            lrc_dtype_from_f32(out, entry->dtype, worker->weight, now * cols);
        out += (size_t)(now * cols) * lrc_dtype_bytes(entry->dtype);
    }
    return LRC_STATUS_OK;
}
