#include "linear/linear_cpu_layout.h"
#include "linear/linear_layout.h"

#include <omp.h>

static size_t take(size_t *total, int64_t rows, int64_t cols)
{
    return lrc_linear__take(total, rows, cols, sizeof(float));
}

int64_t lrc_linear__cpu_copy_words(int64_t n_rows, int64_t width)
{
    const int64_t words = LRC_LINEAR_CPU_COPY_BYTES / (int64_t)sizeof(float);
    const int64_t row =
        lrc_linear__clamp(width, 0, INT32_MAX) + 2; /* two rows, each rounded up to whole words */
    const int64_t rows = lrc_linear__clamp(words / row, LRC_LINEAR_CPU_COPY_ROWS_MIN, INT32_MAX);
    return row * (rows < n_rows ? rows : n_rows);
}

struct lrc_linear_cpu_layout lrc_linear__cpu_layout(int64_t n_rows, int64_t in, int64_t out, int64_t rank)
{
    const int64_t                n_low = lrc_linear__clamp(rank, 0, INT32_MAX) + LRC_LINEAR_CPU_RANK_GROUP;
    struct lrc_linear_cpu_layout layout = { 0 };
    layout.copies = take(&layout.total, lrc_linear__cpu_copy_words(n_rows, in + out), 1);
    layout.low = take(&layout.total, n_rows + 1, n_low);
    layout.d_u = take(&layout.total, n_rows, rank);
    layout.sums =
        take(&layout.total, rank > 0 ? n_low : 0, (in > out ? in : out) + LRC_LINEAR_CPU_RANK_GROUP);
    layout.bias = take(&layout.total, 1, out);
    layout.thread = layout.total;
    (void)take(&layout.thread_bytes, LRC_LINEAR_CPU_DEPTH_WORDS,
               LRC_LINEAR_CPU_PANEL_COLS + LRC_LINEAR_CPU_STRIP_ROWS);
    (void)take(&layout.thread_bytes, LRC_LINEAR_CPU_ROWS_MAX, LRC_LINEAR_CPU_PANEL_COLS);
    (void)take(&layout.thread_bytes, n_low, LRC_LINEAR_CPU_PANEL_COLS + LRC_LINEAR_CPU_STRIP_ROWS);
    layout.total += (size_t)omp_get_max_threads() * layout.thread_bytes;
    return layout;
}
