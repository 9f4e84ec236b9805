/* Products of activations with a weight. For linear_cpu.c only.
 *
 *   c (m,n) = or += a (m,k) W' (k,n) + mask ⊙ (low (m,r) low_weight' (r,n)) + bias,   W' = Wᵀ or W
 *
 * A thread takes a panel of c's columns at a time: packs its part of W', a depth of the sum at a time, so
 * that it stays in the second-level cache, and runs tiles over a block of rows. The adapter's product is more
 * steps of the same sums, so it costs its arithmetic and nothing else. */
#ifndef LRC_LINEAR_PRODUCT_H
#define LRC_LINEAR_PRODUCT_H

#include "linear/linear_cpu_layout.h"
#include "linear/linear_pack.h"
#include "linear/linear_tile.h"

#include <omp.h>

_Static_assert((int)TILE_ROWS_MAX == (int)LRC_LINEAR_CPU_STRIP_ROWS && (int)LRC_LINEAR_CPU_ROWS_MAX % 24 == 0,
               "the workspace has room for whole tiles of 6, 8 and 12 rows");

/* Rows in words: an activation as it lies, or a converted copy. */
struct word_rows {
    const uint32_t *words;
    int64_t         stride;
};

struct product {
    struct word               word;
    struct word_rows          a;
    const struct lrc_weight  *weight;
    int                       transposed; /* 1: W' is Wᵀ */
    struct word_rows          low;        /* words NULL: no low-rank part */
    const struct lrc_weight  *low_weight;
    int                       low_transposed;
    const struct lrc_dropout *dropout; /* masks the low-rank part; NULL: none */
    const float              *bias;    /* (n); NULL: none */
    struct lrc_tensor         c;       /* (m,n) */
    enum lrc_accumulate       accumulate;
};

/* What one thread works on. */
struct item {
    int64_t            col, n_cols, row, n_rows;
    int64_t            n_slivers, sliver;
    const struct tile *tile;
    uint32_t          *panel, *low_panel, *strip, *low_strip;
    float             *sums; /* (n_rows, n_slivers * sliver), when the sum takes several depths */
};

static int64_t product_k(const struct product *product)
{
    return product->transposed ? product->weight->cols : product->weight->rows;
}

static int64_t product_rank(const struct product *product)
{
    if (!product->low.words)
        return 0;
    return product->low_transposed ? product->low_weight->cols : product->low_weight->rows;
}

/* ---- finishing a tile ---- */

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

/* n sums of row `row` from column `col`, with bias, to c. */
static void row_finish(const struct product *product, float *sums, int64_t row, int64_t col, int64_t n)
{
    if (product->bias) {
        const float *bias = product->bias + col;
#pragma omp simd
        for (int64_t i = 0; i < n; i++)
            sums[i] += bias[i];
    }
    if (product->c.dtype == LRC_DTYPE_BF16) {
        lrc_vec_to_bf16(lrc_vec_at(&product->c, row, col), sums, n);
        return;
    }
    float *to = lrc_vec_at(&product->c, row, col);
    if (product->accumulate == LRC_ACCUMULATE_SET) {
        memcpy(to, sums, (size_t)n * sizeof *to);
        return;
    }
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        to[i] += sums[i];
}

/* Rows [0, n_rows) of a, or a copy with zeros below when a tile takes more rows than there are. */
static struct word_rows strip_of(uint32_t *strip, struct word_rows rows, int64_t n_rows, int64_t n_words,
                                 int tile_rows)
{
    if (n_rows >= tile_rows || n_words == 0)
        return rows;
    for (int64_t i = 0; i < tile_rows; i++) {
        if (i < n_rows)
            memcpy(strip + i * n_words, rows.words + i * rows.stride, (size_t)n_words * sizeof *strip);
        else
            memset(strip + i * n_words, 0, (size_t)n_words * sizeof *strip);
    }
    return (struct word_rows){ strip, n_words };
}

/* ---- one item ---- */

/* One depth [k, k + n_k) of the sums of one band of tile->rows rows. */
struct band {
    int64_t          row, n_rows;
    struct tile_part main, low; /* of sliver 0; low has steps at the last depth */
    int              starts, ends;
};

static void tile_finish(const struct product *product, const struct item *item, const struct band *band,
                        int64_t sliver, float *sums, int64_t stride)
{
    const int64_t col = item->col + sliver * item->sliver, end = item->col + item->n_cols;
    const int64_t n = end - col < item->sliver ? end - col : item->sliver;
    for (int64_t i = 0; i < band->n_rows; i++)
        row_finish(product, sums + i * stride, band->row + i, col, n);
}

/* Ask for the lines of c that tile_finish() will write, so that they are there by then. */
static void tile_expect(const struct product *product, const struct item *item, const struct band *band,
                        int64_t sliver)
{
    const int64_t col = item->col + sliver * item->sliver, end = item->col + item->n_cols;
    const int64_t n = end - col < item->sliver ? end - col : item->sliver;
    const size_t  n_bytes = (size_t)n * lrc_dtype_bytes(product->c.dtype);
    for (int64_t i = 0; i < band->n_rows; i++) {
        const unsigned char *to = lrc_vec_at(&product->c, band->row + i, col);
        for (size_t at = 0; at < n_bytes; at += 64)
            __builtin_prefetch(to + at, 1);
    }
}

/* sums += mask ⊙ (low low_weight') */
static void tile_add_masked(const struct product *product, const struct item *item, const struct band *band,
                            int64_t sliver, float *sums, int64_t stride)
{
    _Alignas(LRC_VEC_ALIGN) float masked[TILE_ROWS_MAX * TILE_COLS_MAX];
    _Alignas(LRC_VEC_ALIGN) float keep[TILE_COLS_MAX];
    struct tile_part              part[2] = { band->low, { 0 } };
    part[0].b += sliver * band->low.n_steps * item->sliver;
    item->tile->run[product->word.elems - 1](masked, item->sliver, 1, part);
    for (int64_t i = 0; i < band->n_rows; i++) {
        dropout_factors(keep, product->dropout, band->row + i, item->col + sliver * item->sliver,
                        item->sliver);
        for (int64_t j = 0; j < item->sliver; j++)
            sums[i * stride + j] += keep[j] * masked[i * item->sliver + j];
    }
}

static void band_run(const struct product *product, const struct item *item, const struct band *band)
{
    const int                     in_registers = band->starts && band->ends;
    const int64_t                 stride = in_registers ? item->sliver : item->n_slivers * item->sliver;
    tile_run                     *run = item->tile->run[product->word.elems - 1];
    struct tile_part              part[2] = { band->main, band->low };
    _Alignas(LRC_VEC_ALIGN) float local[TILE_ROWS_MAX * TILE_COLS_MAX];
    if (product->dropout)
        part[1].n_steps = 0;
    for (int64_t s = 0; s < item->n_slivers; s++) {
        float *sums = in_registers ? local : item->sums + (band->row - item->row) * stride + s * item->sliver;
        if (band->ends)
            tile_expect(product, item, band, s);
        run(sums, stride, band->starts, part);
        part[0].b += band->main.n_steps * item->sliver;
        part[1].b += band->low.n_steps * item->sliver;
        if (!band->ends)
            continue;
        if (product->dropout && product->low.words)
            tile_add_masked(product, item, band, s, sums, stride);
        tile_finish(product, item, band, s, sums, stride);
    }
}

static void depth_run(const struct product *product, const struct item *item, int64_t k, int64_t n_k)
{
    const struct word word = product->word;
    const int64_t     n_words = word_count(word, n_k), n_low = word_count(word, product_rank(product));
    const int         tile_rows = item->tile->rows, ends = k + n_k == product_k(product);
    for (int64_t row = item->row; row < item->row + item->n_rows; row += tile_rows) {
        const int64_t    left = item->row + item->n_rows - row, n_rows = left < tile_rows ? left : tile_rows;
        struct word_rows a = { product->a.words + row * product->a.stride + k / word.elems,
                               product->a.stride };
        struct word_rows low = { product->low.words, product->low.stride };
        a = strip_of(item->strip, a, n_rows, n_words, tile_rows);
        if (ends && low.words) {
            low.words += row * low.stride;
            low = strip_of(item->low_strip, low, n_rows, n_low, tile_rows);
        }
        const struct band band = {
            .row = row,
            .n_rows = n_rows,
            .main = { a.words, a.stride, item->panel, n_words },
            .low = { low.words, low.stride, item->low_panel, ends ? n_low : 0 },
            .starts = k == 0,
            .ends = ends,
        };
        band_run(product, item, &band);
    }
}

static void item_run(const struct product *product, const struct item *item)
{
    const int64_t depth = (int64_t)LRC_LINEAR_CPU_DEPTH_WORDS * product->word.elems, all = product_k(product);
    struct pack   pack = { .weight = product->low_weight,
                           .transposed = product->low_transposed,
                           .n_k = product_rank(product),
                           .col = item->col,
                           .n_cols = item->n_cols,
                           .sliver = item->sliver };
    if (pack.n_k > 0)
        pack_run(item->low_panel, &pack, product->word);
    pack.weight = product->weight;
    pack.transposed = product->transposed;
    for (int64_t k = 0; k < all; k += depth) {
        pack.k = k;
        pack.n_k = all - k < depth ? all - k : depth;
        pack_run(item->panel, &pack, product->word);
        depth_run(product, item, k, pack.n_k);
    }
}

/* ---- all of c ---- */

static int64_t ceil_div(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

/* Rows of an item: all of a block, or less when there are fewer panels than threads. */
static int64_t rows_per_item(int64_t n_rows, int64_t n_panels, int tile_rows)
{
    const int64_t n_threads = omp_get_max_threads();
    const int64_t n_blocks = n_panels >= 2 * n_threads ? 1 : ceil_div(2 * n_threads, n_panels);
    const int64_t rows = ceil_div(ceil_div(n_rows, n_blocks), tile_rows) * tile_rows;
    return rows < LRC_LINEAR_CPU_ROWS_MAX ? rows : LRC_LINEAR_CPU_ROWS_MAX;
}

static void product_run(const struct product *product, unsigned char *scratch, size_t scratch_bytes)
{
    const int64_t      m = product->c.shape[0], n = product->c.shape[1];
    const struct tile *tile = tile_for(n);
    const int64_t      sliver = (int64_t)tile->vectors * VECTOR_FLOATS;
    const int64_t      width = LRC_LINEAR_CPU_PANEL_COLS / sliver * sliver, n_panels = ceil_div(n, width);
    const int64_t      n_rows = rows_per_item(m, n_panels, tile->rows), n_blocks = ceil_div(m, n_rows);
    const int64_t      n_low = word_count(product->word, product_rank(product));
#pragma omp parallel for schedule(dynamic, 1)
    for (int64_t i = 0; i < n_panels * n_blocks; i++) {
        uint32_t   *words = (uint32_t *)(void *)(scratch + (size_t)omp_get_thread_num() * scratch_bytes);
        struct item item = {
            .col = i / n_blocks * width, .row = i % n_blocks * n_rows, .sliver = sliver, .tile = tile
        };
        item.n_cols = n - item.col < width ? n - item.col : width;
        item.n_rows = m - item.row < n_rows ? m - item.row : n_rows;
        item.n_slivers = ceil_div(item.n_cols, sliver);
        item.panel = words;
        item.strip = item.panel + LRC_LINEAR_CPU_DEPTH_WORDS * LRC_LINEAR_CPU_PANEL_COLS;
        item.sums = (float *)(void *)(item.strip + LRC_LINEAR_CPU_DEPTH_WORDS * LRC_LINEAR_CPU_STRIP_ROWS);
        item.low_panel =
            (uint32_t *)(void *)(item.sums + LRC_LINEAR_CPU_ROWS_MAX * LRC_LINEAR_CPU_PANEL_COLS);
        item.low_strip = item.low_panel + n_low * LRC_LINEAR_CPU_PANEL_COLS;
        item_run(product, &item);
    }
}

#endif
