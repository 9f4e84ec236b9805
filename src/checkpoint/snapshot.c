#include "checkpoint/snapshot.h"

#include "base/alloc.h"
#include <string.h>

enum lrc_status lrc_snapshot_plan(struct lrc_snapshot *snapshot, const struct lrc_backend *backend,
                                  int64_t n_elems, const struct lrc_optimizer *type, struct lrc_error *err)
{
    snapshot->backend = backend;
    snapshot->n_states = type->n_states;
    if (snapshot->in_place)
        return LRC_STATUS_OK;
    snapshot->arena.memory = backend->staging;
    return lrc_arena_plan(&snapshot->arena, "checkpoint snapshot", &snapshot->memory,
                          n_elems * (1 + type->n_states), sizeof(float), err);
}

enum lrc_status lrc_snapshot_bind(struct lrc_snapshot *snapshot, const struct lrc_trainables *live,
                                  struct lrc_error *err)
{
    struct lrc_trainables *rows = &snapshot->rows;
    float                 *next = snapshot->memory;
    *rows = (struct lrc_trainables){ .n = live->n, .n_elems = live->n_elems };
    rows->rows = lrc_calloc(live->n, sizeof *rows->rows);
    if (!rows->rows)
        return lrc_fail_nomem(err, "checkpoint snapshot");
    memcpy(rows->rows, live->rows, (size_t)live->n * sizeof *rows->rows);
    for (int64_t i = 0; !snapshot->in_place && i < live->n; i++) {
        struct lrc_trainable *row = &rows->rows[i];
        row->grad.data = NULL;
        row->value.data = next;
        for (int s = 0; s < snapshot->n_states; s++)
            row->state[s].data = next + (s + 1) * live->n_elems;
        next += lrc_tensor_elems(&row->value);
    }
    return LRC_STATUS_OK;
}

void lrc_snapshot_release(struct lrc_snapshot *snapshot)
{
    lrc_free(snapshot->rows.rows);
    lrc_arena_release(&snapshot->arena);
    *snapshot = (struct lrc_snapshot){ 0 };
}

typedef enum lrc_status transfer(struct lrc_stream *, void *to, const void *from, size_t size_bytes,
                                 struct lrc_error *);

static enum lrc_status copy_rows(const struct lrc_snapshot *snapshot, struct lrc_trainable *to,
                                 const struct lrc_trainable *from, transfer *copy, struct lrc_error *err)
{
    for (int64_t i = 0; i < snapshot->rows.n; i++) {
        const size_t bytes = (size_t)lrc_tensor_elems(&to[i].value) * sizeof(float);
        LRC_TRY(copy(NULL, to[i].value.data, from[i].value.data, bytes, err));
        for (int s = 0; s < snapshot->n_states; s++)
            LRC_TRY(copy(NULL, to[i].state[s].data, from[i].state[s].data, bytes, err));
    }
    return snapshot->backend->synchronize(NULL, err);
}

enum lrc_status lrc_snapshot_take(struct lrc_snapshot *snapshot, const struct lrc_trainables *live,
                                  struct lrc_error *err)
{
    return snapshot->in_place
               ? LRC_STATUS_OK
               : copy_rows(snapshot, snapshot->rows.rows, live->rows, snapshot->backend->download, err);
}

enum lrc_status lrc_snapshot_put(const struct lrc_snapshot *snapshot, struct lrc_trainables *live,
                                 struct lrc_error *err)
{
    return snapshot->in_place
               ? LRC_STATUS_OK
               : copy_rows(snapshot, live->rows, snapshot->rows.rows, snapshot->backend->upload, err);
}
