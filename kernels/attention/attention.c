#include "backend.h"
#include "attention/attention_layout.h"
#include "common/check.h"

#include <inttypes.h>

struct lrc_attention_layout lrc_attention__layout(int64_t n_rows, int64_t n_heads, int64_t head_dim)
{
    const size_t tile = (size_t)LRC_ATTENTION_BLOCK * (size_t)lrc_attention__padded(head_dim);
    const size_t scores = (size_t)LRC_ATTENTION_BLOCK * LRC_ATTENTION_BLOCK;
    const size_t width = (size_t)lrc_attention__padded(head_dim), heads = (size_t)n_heads;
    const size_t few = (size_t)(n_rows < LRC_ATTENTION_FEW_ROWS ? n_rows : LRC_ATTENTION_FEW_ROWS);
    const size_t d_q = heads * (size_t)n_rows * width;
    const size_t parts = LRC_ATTENTION_PARTS * heads * (2 * LRC_ATTENTION_BLOCK + few * width);
    return (struct lrc_attention_layout){
        .delta_floats = ((size_t)n_rows * (size_t)n_heads + 15) / 16 * 16,
        .d_q_floats = d_q > parts ? d_q : parts,
        .thread_floats = LRC_ATTENTION_TILES * tile + LRC_ATTENTION_SCORES * scores + LRC_ATTENTION_BLOCK * 4,
    };
}

size_t lrc_attention_workspace_bytes(int64_t n_rows, int64_t n_heads, int64_t n_kv_heads, int64_t head_dim,
                                     int n_threads)
{
    (void)n_kv_heads;
    const struct lrc_attention_layout layout = lrc_attention__layout(n_rows, n_heads, head_dim);
    const size_t                      n = n_threads > 0 ? (size_t)n_threads : 1;
    /* a block that starts anywhere can be aligned */
    return (layout.delta_floats + layout.d_q_floats + n * layout.thread_floats) * sizeof(float) +
           LRC_ATTENTION_ALIGN;
}

size_t lrc_attention_workspace_wide_bytes(int64_t n_rows, int64_t n_docs, int64_t longest, int64_t n_heads,
                                          int64_t n_kv_heads, int64_t head_dim)
{
    const int64_t n_blocks = n_rows / LRC_ATTENTION_BLOCK + n_docs;
    return lrc_attention_workspace_bytes(n_rows, n_heads, n_kv_heads, head_dim, 1) +
           lrc_attention__offsets_bytes(n_rows) + lrc_attention__d_s_bytes(n_blocks, n_heads, longest);
}

static enum lrc_status check_documents(const struct lrc_attention_shape *shape, const char *where,
                                       int64_t n_rows, struct lrc_error *err)
{
    if (shape->n_docs < 0 || !shape->doc_offsets)
        return lrc_fail(err, LRC_STATUS_SHAPE, "%s: doc_offsets: want %" PRId64 " + 1 offsets, got none",
                        where, shape->n_docs);
    if (shape->n_past < 0 || (shape->n_past > 0 && shape->n_docs != 1))
        return lrc_fail(err, LRC_STATUS_SHAPE,
                        "%s: n_past: want 0 unless there is one document, got %" PRId64, where,
                        shape->n_past);
    if (shape->window < 0)
        return lrc_fail(err, LRC_STATUS_SHAPE, "%s: window: want at least 0, got %" PRId64, where,
                        shape->window);
    for (int64_t d = 0; d < shape->n_docs; d++)
        if (shape->doc_offsets[d + 1] < shape->doc_offsets[d])
            return lrc_fail(err, LRC_STATUS_SHAPE,
                            "%s: doc_offsets: want no decrease, got %" PRId32 " after %" PRId32, where,
                            shape->doc_offsets[d + 1], shape->doc_offsets[d]);
    for (int64_t d = 0; d < shape->n_docs && shape->longest > 0; d++)
        if (shape->doc_offsets[d + 1] - shape->doc_offsets[d] > shape->longest)
            return lrc_fail(err, LRC_STATUS_SHAPE,
                            "%s: doc_offsets: want documents of at most %" PRId64 " rows, got %" PRId32,
                            where, shape->longest, shape->doc_offsets[d + 1] - shape->doc_offsets[d]);
    if (shape->doc_offsets[0] != 0 || shape->doc_offsets[shape->n_docs] != n_rows)
        return lrc_fail(err, LRC_STATUS_SHAPE,
                        "%s: doc_offsets: want 0 to %" PRId64 ", got %" PRId32 " to %" PRId32, where, n_rows,
                        shape->doc_offsets[0], shape->doc_offsets[shape->n_docs]);
    return LRC_STATUS_OK;
}

static enum lrc_status check_heads(const struct lrc_tensor *q, const struct lrc_tensor *k, const char *where,
                                   struct lrc_error *err)
{
    const int64_t n_heads = q->shape[1], n_kv_heads = k->shape[1];
    if (q->shape[2] < 1 || q->shape[2] > LRC_ATTENTION_HEAD_DIM_MAX)
        return lrc_fail(err, LRC_STATUS_SHAPE, "%s: q: want a head size from 1 to %d, got %" PRId64, where,
                        LRC_ATTENTION_HEAD_DIM_MAX, q->shape[2]);
    if (n_kv_heads < 1 || n_heads < 1 || n_heads % n_kv_heads != 0)
        return lrc_fail(err, LRC_STATUS_SHAPE,
                        "%s: k: want a number of heads that divides %" PRId64 ", got %" PRId64, where,
                        n_heads, n_kv_heads);
    return LRC_STATUS_OK;
}

static enum lrc_status check_workspace(const void *workspace, size_t got, const struct lrc_tensor *q,
                                       const char *where, struct lrc_error *err)
{
    const size_t want = lrc_attention_workspace_bytes(q->shape[0], q->shape[1], 1, q->shape[2], 1);
    if (!workspace || got < want || ((uintptr_t)workspace & (sizeof(float) - 1)) != 0)
        return lrc_fail(err, LRC_STATUS_SHAPE,
                        "%s: workspace: want at least %zu bytes for one thread, got %zu", where, want,
                        workspace ? got : (size_t)0);
    return LRC_STATUS_OK;
}

enum lrc_status lrc_attention_forward_check(const struct lrc_attention_forward_args *args,
                                            struct lrc_error                        *err)
{
    static const char           where[] = "attention_forward";
    const struct lrc_check_want any = { LRC_CHECK_ACTIVATION,
                                        3,
                                        { LRC_CHECK_ANY, LRC_CHECK_ANY, LRC_CHECK_ANY } };
    const struct lrc_tensor    *q = &args->q;
    LRC_TRY(lrc_check_tensor(q, "attention_forward: q", &any, err));
    LRC_TRY(lrc_check_tensor(&args->k, "attention_forward: k", &any, err));
    LRC_TRY(check_heads(q, &args->k, where, err));
    LRC_TRY(check_documents(&args->shape, where, q->shape[0], err));
    const int64_t                n_keys = args->shape.n_past + q->shape[0];
    const struct lrc_check_want *kv =
        LRC_CHECK_3D(LRC_CHECK_ACTIVATION, n_keys, args->k.shape[1], q->shape[2]);
    LRC_TRY(lrc_check_tensor(&args->k, "attention_forward: k", kv, err));
    LRC_TRY(lrc_check_tensor(&args->v, "attention_forward: v", kv, err));
    LRC_TRY(lrc_check_tensor(&args->out, "attention_forward: out",
                             LRC_CHECK_3D(LRC_CHECK_ACTIVATION, q->shape[0], q->shape[1], q->shape[2]), err));
    return check_workspace(args->workspace, args->workspace_bytes, q, where, err);
}

enum lrc_status lrc_attention_backward_check(const struct lrc_attention_backward_args *args,
                                             struct lrc_error                         *err)
{
    static const char           where[] = "attention_backward";
    const struct lrc_check_want any = { LRC_CHECK_ACTIVATION,
                                        3,
                                        { LRC_CHECK_ANY, LRC_CHECK_ANY, LRC_CHECK_ANY } };
    const struct lrc_tensor    *q = &args->q;
    LRC_TRY(lrc_check_tensor(q, "attention_backward: q", &any, err));
    LRC_TRY(lrc_check_tensor(&args->k, "attention_backward: k", &any, err));
    LRC_TRY(check_heads(q, &args->k, where, err));
    LRC_TRY(check_documents(&args->shape, where, q->shape[0], err));
    if (args->shape.n_past != 0)
        return lrc_fail(err, LRC_STATUS_SHAPE, "%s: n_past: want 0, got %" PRId64, where, args->shape.n_past);
    const struct lrc_check_want *heads =
        LRC_CHECK_3D(LRC_CHECK_ACTIVATION, q->shape[0], q->shape[1], q->shape[2]);
    const struct lrc_check_want *kv =
        LRC_CHECK_3D(LRC_CHECK_ACTIVATION, q->shape[0], args->k.shape[1], q->shape[2]);
    LRC_TRY(lrc_check_tensor(&args->k, "attention_backward: k", kv, err));
    LRC_TRY(lrc_check_tensor(&args->v, "attention_backward: v", kv, err));
    LRC_TRY(lrc_check_tensor(&args->d_k, "attention_backward: d_k", kv, err));
    LRC_TRY(lrc_check_tensor(&args->d_v, "attention_backward: d_v", kv, err));
    LRC_TRY(lrc_check_tensor(&args->d_out, "attention_backward: d_out", heads, err));
    LRC_TRY(lrc_check_tensor(&args->out, "attention_backward: out", heads, err));
    LRC_TRY(lrc_check_tensor(&args->d_q, "attention_backward: d_q", heads, err));
    LRC_TRY(lrc_check_array(args->lse, "attention_backward: lse", q->shape[0] * q->shape[1], err));
    return check_workspace(args->workspace, args->workspace_bytes, q, where, err);
}
