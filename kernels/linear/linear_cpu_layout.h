/* How linear divides its workspace on the CPU, and the sizes of the pieces in which it works there. */
#ifndef LRC_LINEAR_CPU_LAYOUT_H
#define LRC_LINEAR_CPU_LAYOUT_H

#include "tensor/tensor.h"

enum {
    LRC_LINEAR_CPU_DEPTH_WORDS =
        1024, /* of the sum, in 32-bit words: with PANEL_COLS half a second-level cache */
    LRC_LINEAR_CPU_PANEL_COLS = 128, /* columns of a result that a thread works on */
    LRC_LINEAR_CPU_ROWS_MAX = 2064,  /* rows that a packed panel is used for: whole tiles of every height */
    LRC_LINEAR_CPU_STRIP_ROWS = 12,  /* most rows of a tile */
    LRC_LINEAR_CPU_COPY_BYTES = 16 << 20, /* of converted or masked activations at a time */
    LRC_LINEAR_CPU_COPY_ROWS_MIN = 64,
    LRC_LINEAR_CPU_RANK_GROUP = 16 /* ranks are rounded up to groups */
};

/* Offsets in bytes. */
struct lrc_linear_cpu_layout {
    size_t copies; /* converted or masked rows of activations */
    size_t low;    /* (T, R) scale * u, or d_u, in words */
    size_t d_u;    /* (T, R) float32 */
    size_t sums;   /* (R, in or out) float32 */
    size_t bias;   /* (out)  float32 */
    size_t thread; /* panel, strip and sums of the first thread */
    size_t thread_bytes;
    size_t total;
};

/* Words for copies of x and d_out, `width` columns together: all rows, or as many as fit. */
int64_t lrc_linear__cpu_copy_words(int64_t n_rows, int64_t width);

struct lrc_linear_cpu_layout lrc_linear__cpu_layout(int64_t n_rows, int64_t in, int64_t out, int64_t rank);

#endif
