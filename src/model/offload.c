#include "model/offload.h"

#include "base/alloc.h"

enum lrc_status lrc_offload_plan(struct lrc_offload *offload, struct lrc_arena *staging, int64_t n_layers,
                                 struct lrc_error *err)
{
    const struct lrc_tape *tape = offload->tape;
    const int64_t          n_elems = tape->n_tokens_max * tape->cols[LRC_TAPE_X];
    /* of the n_layers + 1 inputs, the final norm's among them, the last ones stay */
    offload->n_away = n_layers + 1 > LRC_TAPE_RING ? n_layers + 1 - LRC_TAPE_RING : 0;
    offload->each_bytes = (size_t)n_elems * lrc_dtype_bytes(tape->dtype[LRC_TAPE_X]);
    if (offload->n_away == 0)
        return LRC_STATUS_OK;
    return lrc_arena_plan(staging, "layer inputs", &offload->away, offload->n_away * n_elems,
                          lrc_dtype_bytes(tape->dtype[LRC_TAPE_X]), err);
}

enum lrc_status lrc_offload_commit(struct lrc_offload *offload, struct lrc_error *err)
{
    if (offload->n_away == 0)
        return LRC_STATUS_OK;
    offload->moved = lrc_calloc(offload->n_away, sizeof(struct lrc_event *));
    if (!offload->moved)
        return lrc_fail_nomem(err, "layer inputs");
    LRC_TRY(offload->backend->stream_new(&offload->copies, err));
    LRC_TRY(offload->backend->event_new(&offload->ready, err));
    for (int64_t i = 0; i < offload->n_away; i++)
        LRC_TRY(offload->backend->event_new(&offload->moved[i], err));
    return LRC_STATUS_OK;
}

void lrc_offload_release(struct lrc_offload *offload)
{
    for (int64_t i = 0; offload->moved && i < offload->n_away; i++)
        offload->backend->event_free(offload->moved[i]);
    if (offload->ready)
        offload->backend->event_free(offload->ready);
    if (offload->copies)
        offload->backend->stream_free(offload->copies);
    lrc_free(offload->moved);
    *offload = (struct lrc_offload){ 0 };
}

/* The copy of a layer, behind everything that was asked of the stream that computes. */
static enum lrc_status begin_copy(struct lrc_offload *offload, struct lrc_error *err)
{
    LRC_TRY(offload->backend->event_record(offload->stream, offload->ready, err));
    return offload->backend->stream_wait(offload->copies, offload->ready, err);
}

static unsigned char *away(const struct lrc_offload *offload, int64_t layer)
{
    return offload->away + (size_t)layer * offload->each_bytes;
}

static struct lrc_tensor here(const struct lrc_offload *offload, int64_t layer, int64_t n_tokens)
{
    return lrc_tape_get(offload->tape, LRC_TAPE_X, layer, n_tokens);
}

static size_t bytes_of(const struct lrc_tensor *x)
{
    return (size_t)lrc_tensor_elems(x) * lrc_dtype_bytes(x->dtype);
}

enum lrc_status lrc_offload_make_room(struct lrc_offload *offload, int64_t layer, struct lrc_error *err)
{
    const int64_t before = layer - LRC_TAPE_RING;
    if (before < 0 || before >= offload->n_away)
        return LRC_STATUS_OK;
    return offload->backend->stream_wait(offload->stream, offload->moved[before], err);
}

enum lrc_status lrc_offload_send(struct lrc_offload *offload, int64_t layer, int64_t n_tokens,
                                 struct lrc_error *err)
{
    if (layer >= offload->n_away)
        return LRC_STATUS_OK;
    const struct lrc_tensor x = here(offload, layer, n_tokens);
    LRC_TRY(begin_copy(offload, err));
    LRC_TRY(offload->backend->download(offload->copies, away(offload, layer), x.data, bytes_of(&x), err));
    return offload->backend->event_record(offload->copies, offload->moved[layer], err);
}

static enum lrc_status bring(struct lrc_offload *offload, int64_t layer, int64_t n_tokens,
                             struct lrc_error *err)
{
    const struct lrc_tensor x = here(offload, layer, n_tokens);
    LRC_TRY(begin_copy(offload, err));
    LRC_TRY(offload->backend->upload(offload->copies, x.data, away(offload, layer), bytes_of(&x), err));
    return offload->backend->event_record(offload->copies, offload->moved[layer], err);
}

enum lrc_status lrc_offload_fetch(struct lrc_offload *offload, int64_t layer, int64_t lowest,
                                  int64_t n_tokens, struct lrc_error *err)
{
    if (layer - 1 >= lowest && layer - 1 < offload->n_away)
        LRC_TRY(bring(offload, layer - 1, n_tokens, err));
    return layer < offload->n_away
               ? offload->backend->stream_wait(offload->stream, offload->moved[layer], err)
               : LRC_STATUS_OK;
}
