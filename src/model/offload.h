/* Layer inputs in the host's page-locked memory, for gradient checkpointing on a device: the device holds the
 * last LRC_TAPE_RING of them, a stream of its own takes each away while the next layers run and brings it
 * back a layer before the backward pass wants it.
 *
 *   forward,  layer l:  x[l] leaves (not the last ones), room for x[l + 1] (x[l - 2] has left), layer
 *   backward, layer l:  x[l - 1] comes, in the place of x[l + 2]; x[l] has come; layer
 *
 * source: Chen et al. 2016, arXiv:1604.06174, with the checkpoints elsewhere. */
#ifndef LRC_MODEL_OFFLOAD_H
#define LRC_MODEL_OFFLOAD_H

#include "backend.h"
#include "model/tape.h"

struct lrc_offload {
    const struct lrc_backend *backend;
    struct lrc_stream        *stream; /* the one that computes */
    struct lrc_stream        *copies;
    const struct lrc_tape    *tape;
    int64_t                   n_away; /* layers whose input leaves: 0 .. n_away - 1; 0: offloading is off */
    unsigned char            *away;   /* staging: (n_away, n_tokens_max, D) */
    size_t                    each_bytes;
    struct lrc_event         *ready; /* of the stream that computes */
    struct lrc_event        **moved; /* (n_away): the copy of a layer, whichever way it went last */
};

/* Region of the staging arena; then stream and events. errors: NOMEM, DEVICE. ownership:
 * lrc_offload_release(). */
enum lrc_status lrc_offload_plan(struct lrc_offload *offload, struct lrc_arena *staging, int64_t n_layers,
                                 struct lrc_error *err) LRC_MUST_CHECK;
enum lrc_status lrc_offload_commit(struct lrc_offload *offload, struct lrc_error *err) LRC_MUST_CHECK;
void            lrc_offload_release(struct lrc_offload *offload);

/* All are nothing where offloading is off. Forward: before the input of a layer is written, and when it is
 * there. */
enum lrc_status lrc_offload_make_room(struct lrc_offload *offload, int64_t layer,
                                      struct lrc_error *err) LRC_MUST_CHECK;
enum lrc_status lrc_offload_send(struct lrc_offload *offload, int64_t layer, int64_t n_tokens,
                                 struct lrc_error *err) LRC_MUST_CHECK;
/* Backward, before the layer: its input is there, and the one below it is on its way unless it is below
 * `lowest`. */
enum lrc_status lrc_offload_fetch(struct lrc_offload *offload, int64_t layer, int64_t lowest,
                                  int64_t n_tokens, struct lrc_error *err) LRC_MUST_CHECK;

#endif
