/* How attention divides its workspace: delta of every query row and head, float32 sums of d_q, one piece per
 * thread. */
#ifndef LRC_ATTENTION_LAYOUT_H
#define LRC_ATTENTION_LAYOUT_H

#include "tensor/tensor.h"

enum {
    LRC_ATTENTION_BLOCK = 64, /* rows of a tile, of queries and of keys */
    LRC_ATTENTION_TILES = 7,  /* (BLOCK, C) tiles a thread holds */
    LRC_ATTENTION_SCORES = 3, /* (BLOCK, BLOCK) tiles */
    LRC_ATTENTION_ALIGN = 64, /* bytes */
    LRC_ATTENTION_HEAD_DIM_MAX = 1024,
    LRC_ATTENTION_THREADS_MAX = 256,
    LRC_ATTENTION_FEW_ROWS = 8, /* so few queries of one document share their keys out among threads, */
    LRC_ATTENTION_PARTS = 16    /* in at most so many parts */
};

/* Sizes in floats. */
struct lrc_attention_layout {
    size_t delta_floats; /* (T, H) */
    size_t d_q_floats;   /* (H, T, padded C); forward: what parts of the keys leave of few queries */
    size_t thread_floats;
};

/* Head size rounded up to whole vectors of the widest instruction set; tiles are padded with zeros. */
static inline int64_t lrc_attention__padded(int64_t head_dim)
{
    return (head_dim + 15) / 16 * 16;
}

/* A device's: offsets of up to n_rows documents, and d_s between blocks of 64 keys and groups of 16 queries
 * in bf16, in as many groups as the longest document has. */
static inline size_t lrc_attention__offsets_bytes(int64_t n_rows)
{
    return ((size_t)n_rows + 1 + 15) / 16 * 16 * sizeof(int32_t);
}

static inline int64_t lrc_attention__groups(int64_t longest)
{
    return (longest + LRC_ATTENTION_BLOCK - 1) / LRC_ATTENTION_BLOCK * (LRC_ATTENTION_BLOCK / 16);
}

static inline size_t lrc_attention__d_s_bytes(int64_t n_blocks, int64_t n_heads, int64_t longest)
{
    return (size_t)n_blocks * (size_t)n_heads * (size_t)lrc_attention__groups(longest) * LRC_ATTENTION_BLOCK *
           16 * 2;
}

struct lrc_attention_layout lrc_attention__layout(int64_t n_rows, int64_t n_heads, int64_t head_dim);

#endif
