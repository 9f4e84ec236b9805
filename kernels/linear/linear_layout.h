/* How linear divides its workspace, and the sizes of the pieces in which it works. */
#ifndef LRC_LINEAR_LAYOUT_H
#define LRC_LINEAR_LAYOUT_H

#include "tensor/tensor.h"

enum {
    LRC_LINEAR_PANEL_BYTES = 4 << 20, /* of a dequantized panel: a share of the last-level cache */
    LRC_LINEAR_PANEL_MIN = 64,        /* columns of the result per panel */
    LRC_LINEAR_PANEL_MAX = 512,
    LRC_LINEAR_CHUNK_MIN = 64, /* rows converted, masked or rounded at a time */
    LRC_LINEAR_CHUNK_MAX = 1024,
    LRC_LINEAR_GEMM_BYTES = 32 << 20, /* a device's matrix products: their partial sums */
    LRC_LINEAR_TAIL_STEP = 16,        /* columns that the adapter appends to a factor come in such groups */
    LRC_LINEAR_ROOM_STEP = 64,        /* and room for them in such: a cache line of BF16 */
    LRC_LINEAR_ROOM_MAX = 128         /* beyond it is more memory than the copies are worth */
};

/* Columns with which [x | u] [W ; b] holds an adapter: aligned as the factors alone. */
static inline int64_t lrc_linear__tail(int64_t rank)
{
    return (rank + LRC_LINEAR_TAIL_STEP - 1) / LRC_LINEAR_TAIL_STEP * LRC_LINEAR_TAIL_STEP;
}

static inline int64_t lrc_linear__clamp(int64_t value, int64_t least, int64_t most)
{
    return value < least ? least : value > most ? most : value;
}

/* The offset of (rows, cols) elements behind what is in *total, in whole lines of the cache. */
static inline size_t lrc_linear__take(size_t *total, int64_t rows, int64_t cols, size_t elem_bytes)
{
    const size_t at = *total, line = 64;
    *total += ((size_t)rows * (size_t)cols * elem_bytes + line - 1) / line * line;
    return at;
}

/* Offsets in bytes. `compute` is the type the products run in. */
struct lrc_linear_layout {
    size_t panel;  /* part of W in the compute type */
    size_t rows;   /* a chunk of x or d_out in the compute type */
    size_t tile;   /* float32 sums of a result that is BF16 */
    size_t masked; /* float32 adapter part before its mask */
    size_t a;      /* (R, in)  in the compute type */
    size_t b;      /* (out, R) in the compute type */
    size_t low;    /* (T, R)   in the compute type: scale * u, or d_u */
    size_t d_u;    /* (T, R)   float32 */
    size_t bias;   /* (out)    float32 */
    size_t total;
};

/* Columns of a result whose products sum over k, and rows of width n_cols, that are worked on at a time. */
int64_t lrc_linear__panel(int64_t k, enum lrc_dtype compute);
int64_t lrc_linear__chunk(int64_t n_cols, enum lrc_dtype compute);

struct lrc_linear_layout lrc_linear__layout(int64_t n_rows, int64_t in, int64_t out, int64_t rank,
                                            enum lrc_dtype compute);

#endif
