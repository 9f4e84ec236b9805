#include "backend.h"

#include "base/alloc.h"

#include <string.h>

static void zero(struct lrc_stream *stream, void *memory, size_t size_bytes)
{
    (void)stream;
    memset(memory, 0, size_bytes);
}

static enum lrc_status allocate(void **memory, size_t size_bytes, struct lrc_error *err)
{
    *memory = size_bytes > INT64_MAX ? NULL : lrc_calloc((int64_t)size_bytes, 1);
    return *memory ? LRC_STATUS_OK : lrc_fail_nomem(err, "memory of the CPU backend");
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

#define NAME(isa) "cpu-" #isa
#define EXPAND(isa) NAME(isa)

const struct lrc_backend LRC_CPU(backend) = {
    .name = EXPAND(LRC_ISA),
    .zero = zero,
    .allocate = allocate,
    .release = lrc_free,
    .upload = copy,
    .download = copy,
    .synchronize = synchronize,
#define LRC_OP(op) .op = LRC_CPU(op),
#include "ops.def"
};
