/* The backend seam: one function per op, the same list for every backend.
 *
 * Conventions, kept by every op:
 *   - Activation gradients are written with =, parameter gradients with += (stated once, here).
 *   - Dimension letters: T tokens, D hidden size, F feed-forward size, H query heads, K key/value heads, C
 *   head size,
 *     V vocabulary, R adapter rank, N rows in general.
 *   - Activations are F32 (exactness) or BF16; sums, statistics and parameter gradients are float32 or wider.
 *   - An op reads and writes only through its views; it keeps no state and allocates nothing. Scratch comes
 *   as a
 *     workspace of at least lrc_<op>_workspace_bytes().
 *   - Reductions have a fixed order for a given number of threads: same inputs, same bits.
 *   - Argument structs may be reused at once; the pointers in them must live until the stream is
 *   synchronized. */
#ifndef LRC_KERNELS_BACKEND_H
#define LRC_KERNELS_BACKEND_H

#include "base/arena.h"
#include "ops_all.h"

struct lrc_stream; /* opaque; NULL: the CPU's only one, CUDA's default one */
struct lrc_event;  /* a place in a stream */
struct lrc_graph;  /* calls that were recorded */

struct lrc_backend {
    const char *name;
    /* Memory that the ops read and write, and the host memory that transfers are fast from and do not wait
     * for; NULL: both are the heap, and views on the host's data do. */
    const struct lrc_memory *memory;
    const struct lrc_memory *staging;
    /* Host memory that ops reach too, at the speed of the bus; there where memory is. */
    const struct lrc_memory *mapped;
    /* A transfer is in the stream's order; the host's side of it may be reused after an event behind it or
     * synchronize(). What fails in zero() shows at the next synchronize(). */
    void (*zero)(struct lrc_stream *, void *memory, size_t size_bytes);
    enum lrc_status (*upload)(struct lrc_stream *, void *to, const void *from, size_t size_bytes,
                              struct lrc_error *);
    enum lrc_status (*download)(struct lrc_stream *, void *to, const void *from, size_t size_bytes,
                                struct lrc_error *);
    enum lrc_status (*synchronize)(struct lrc_stream *, struct lrc_error *);
    /* Events: record puts one into the stream, wait returns when the stream has passed it, elapsed is the
     * time between two that are passed. Releasing NULL is fine. */
    enum lrc_status (*event_new)(struct lrc_event **, struct lrc_error *);
    void (*event_free)(struct lrc_event *);
    enum lrc_status (*event_record)(struct lrc_stream *, struct lrc_event *, struct lrc_error *);
    enum lrc_status (*event_wait)(struct lrc_event *, struct lrc_error *);
    enum lrc_status (*event_elapsed)(double *ms, const struct lrc_event *from, const struct lrc_event *to,
                                     struct lrc_error *);
    /* More streams, where there is memory to copy to; wait holds a stream until the event is passed. */
    enum lrc_status (*stream_new)(struct lrc_stream **, struct lrc_error *);
    void (*stream_free)(struct lrc_stream *);
    enum lrc_status (*stream_wait)(struct lrc_stream *, struct lrc_event *, struct lrc_error *);
    /* There too: bytes within the memory; calls recorded on a stream and replayed (common/graph_cuda.h). */
    enum lrc_status (*copy)(struct lrc_stream *, void *to, const void *from, size_t size_bytes,
                            struct lrc_error *);
    enum lrc_status (*graph_begin)(struct lrc_stream *, struct lrc_error *);
    enum lrc_status (*graph_end)(struct lrc_graph **, struct lrc_stream *, struct lrc_error *);
    enum lrc_status (*graph_replay)(struct lrc_graph *, struct lrc_stream *, struct lrc_error *);
    void (*graph_free)(struct lrc_graph *);
#define LRC_OP(op)                                                                                           \
    enum lrc_status (*op)(struct lrc_stream *, const struct lrc_##op##_args *, struct lrc_error *);
#include "ops.def"
};

/* The CPU backend exists once per instruction set, from the same sources: each is a backend of its own. */
extern const struct lrc_backend lrc_backend_cpu_portable;
#if defined(__x86_64__)
extern const struct lrc_backend lrc_backend_cpu_avx2;
extern const struct lrc_backend lrc_backend_cpu_avx512;
#endif

/* Compute capability 8.0 and later; there when the build has LRC_CUDA. */
#ifdef LRC_HAVE_CUDA
#define LRC_OP(op)                                                                                           \
    enum lrc_status lrc_##op##_cuda(struct lrc_stream *, const struct lrc_##op##_args *, struct lrc_error *);
#include "ops.def"
extern const struct lrc_backend lrc_backend_cuda;
#endif

/* The widest one this machine runs; the environment variable LRC_CPU_ISA (portable, avx2, avx512) caps it. */
const struct lrc_backend *lrc_backend_cpu(void);
/* All that this machine runs, NULL-terminated. */
const struct lrc_backend *const *lrc_backend_cpu_all(void);
/* 1 when this CPU multiplies bf16 natively (and the cap allows it). */
int lrc_backend_cpu_has_bf16(void);

/* lrc_<op>(): check the arguments once, then run the backend's kernel. */
#define LRC_OP(op)                                                                                          \
    enum lrc_status lrc_##op##_check(const struct lrc_##op##_args *args, struct lrc_error *err);            \
    static inline enum lrc_status lrc_##op(const struct lrc_backend *backend, struct lrc_stream *stream,    \
                                           const struct lrc_##op##_args *args, struct lrc_error *err)       \
    {                                                                                                       \
        LRC_TRY(lrc_##op##_check(args, err));                                                               \
        return backend->op(stream, args, err);                                                              \
    }
#include "ops.def"

/* Inside <op>_cpu.c, which is compiled once per instruction set: LRC_CPU(rmsnorm_forward) is the function's
 * name. */
#ifdef LRC_ISA
#define LRC_CPU__NAME(op, isa)   lrc_##op##_cpu_##isa
#define LRC_CPU__EXPAND(op, isa) LRC_CPU__NAME(op, isa)
#define LRC_CPU(op)              LRC_CPU__EXPAND(op, LRC_ISA)
#define LRC_OP(op)                                                                                           \
    enum lrc_status LRC_CPU(op)(struct lrc_stream *, const struct lrc_##op##_args *, struct lrc_error *);
#include "ops.def"
#endif

#endif
