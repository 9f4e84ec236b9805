#include "backend.h"

#include "base/alloc.h"
#include "base/machine.h"

#include <string.h>

static void zero(struct lrc_stream *stream, void *memory, size_t size_bytes)
{
    (void)stream;
    memset(memory, 0, size_bytes);
}

static enum lrc_status copy(struct lrc_stream *stream, void *to, const void *from, size_t size_bytes,
                            struct lrc_error *err)
{
    (void)stream;
    (void)err;
    if (size_bytes > 0)
        memcpy(to, from, size_bytes);
    return LRC_STATUS_OK;
}

static enum lrc_status synchronize(struct lrc_stream *stream, struct lrc_error *err)
{
    (void)stream;
    (void)err;
    return LRC_STATUS_OK;
}

/* Everything is done when its call returns: an event is a time. */
struct lrc_event {
    double seconds;
};

static enum lrc_status event_new(struct lrc_event **event, struct lrc_error *err)
{
    *event = lrc_calloc(1, sizeof **event);
    return *event ? LRC_STATUS_OK : lrc_fail_nomem(err, "event");
}

static void event_free(struct lrc_event *event)
{
    lrc_free(event);
}

static enum lrc_status event_record(struct lrc_stream *stream, struct lrc_event *event, struct lrc_error *err)
{
    (void)stream;
    (void)err;
    event->seconds = lrc_machine_seconds();
    return LRC_STATUS_OK;
}

static enum lrc_status event_wait(struct lrc_event *event, struct lrc_error *err)
{
    (void)event;
    (void)err;
    return LRC_STATUS_OK;
}

static enum lrc_status event_elapsed(double *ms, const struct lrc_event *from, const struct lrc_event *to,
                                     struct lrc_error *err)
{
    (void)err;
    *ms = (to->seconds - from->seconds) * 1e3;
    return LRC_STATUS_OK;
}

#define NAME(isa)   "cpu-" #isa
#define EXPAND(isa) NAME(isa)

const struct lrc_backend LRC_CPU(backend) = {
    .name = EXPAND(LRC_ISA),
    .zero = zero,
    .upload = copy,
    .download = copy,
    .synchronize = synchronize,
    .event_new = event_new,
    .event_free = event_free,
    .event_record = event_record,
    .event_wait = event_wait,
    .event_elapsed = event_elapsed,
#define LRC_OP(op) .op = LRC_CPU(op),
#include "ops.def"
};
