#include "backend.h"

#include <string.h>

static void zero(struct lrc_stream *stream, void *memory, size_t size_bytes)
{
    (void)stream;
    memset(memory, 0, size_bytes);
}

#define NAME(isa) "cpu-" #isa
#define EXPAND(isa) NAME(isa)

const struct lrc_backend LRC_CPU(backend) = {
    .name = EXPAND(LRC_ISA),
    .zero = zero,
#define LRC_OP(op) .op = LRC_CPU(op),
#include "ops.def"
};
