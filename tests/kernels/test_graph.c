/* A sequence of ops recorded on a device and replayed: what it computes follows what lies in device memory.
 */
#include "backend.h"

#ifdef LRC_HAVE_CUDA

#include "common/graph_cuda.h"
#include "common/memory_cuda.h"

#include "base/alloc.h"

#include <criterion/criterion.h>
#include <math.h>

#define TRY(call) cr_assert_eq(call, LRC_STATUS_OK, "%s", err.message)

enum { T = 70, IN = 48, OUT = 96, RANK = 4, HEADS = 3, HEAD_DIM = 32, STEPS = 4, DOCS = 2 };

static const struct lrc_backend *const device = &lrc_backend_cuda;
static struct lrc_error                err;

/* All in device memory. */
struct state {
    struct lrc_step_scalars *scalars;
    struct lrc_tensor        x, weight, out, attended; /* out: (T, OUT) float32 and the heads of attention */
    struct lrc_tensor        a, b, d_a, d_b, u, m, v, lse;
    int32_t                 *positions, *offsets;
    uint32_t                *row_ids;
    void                    *workspace;
    size_t                   workspace_bytes;
};

static void *upload_new(const void *from, size_t size_bytes)
{
    void *memory = NULL;
    TRY(device->memory->allocate(&memory, size_bytes, &err));
    TRY(device->upload(NULL, memory, from, size_bytes, &err));
    TRY(device->synchronize(NULL, &err));
    return memory;
}

/* (rows, cols) of values of a wave; 0 with no amplitude */
static struct lrc_tensor tensor_new(enum lrc_dtype dtype, int64_t rows, int64_t cols, float amplitude)
{
    const int64_t n = rows * cols;
    const size_t  bytes = (size_t)n * lrc_dtype_bytes(dtype);
    float        *wide = lrc_calloc(n, sizeof *wide);
    void         *host = lrc_calloc(n, 4);
    cr_assert(wide && host);
    for (int64_t i = 0; i < n; i++)
        wide[i] = amplitude * sinf((float)i * 0.37f + amplitude);
    lrc_dtype_from_f32(host, dtype, wide, n);
    const struct lrc_tensor tensor = lrc_tensor_2d(upload_new(host, bytes), dtype, rows, cols);
    lrc_free(wide);
    lrc_free(host);
    return tensor;
}

static struct state state_new(void)
{
    int32_t      positions[T], offsets[DOCS + 1] = { 0, 30, T };
    uint32_t     row_ids[T];
    struct state s = { 0 };
    for (int t = 0; t < T; t++) {
        positions[t] = t;
        row_ids[t] = (uint32_t)(t / 7);
    }
    s.scalars = upload_new(&(struct lrc_step_scalars){ 0 }, sizeof *s.scalars);
    s.positions = upload_new(positions, sizeof positions);
    s.offsets = upload_new(offsets, sizeof offsets);
    s.row_ids = upload_new(row_ids, sizeof row_ids);
    s.x = tensor_new(LRC_DTYPE_BF16, T, IN, 0.5f);
    s.weight = tensor_new(LRC_DTYPE_BF16, OUT, IN, 0.2f);
    s.out = tensor_new(LRC_DTYPE_F32, T, OUT, 0);
    s.attended = tensor_new(LRC_DTYPE_F32, T, OUT, 0);
    s.a = tensor_new(LRC_DTYPE_F32, RANK, IN, 0.3f);
    s.b = tensor_new(LRC_DTYPE_F32, OUT, RANK, 0.1f);
    s.d_a = tensor_new(LRC_DTYPE_F32, RANK, IN, 0);
    s.d_b = tensor_new(LRC_DTYPE_F32, OUT, RANK, 0);
    s.u = tensor_new(LRC_DTYPE_F32, T, RANK, 0);
    s.m = tensor_new(LRC_DTYPE_F32, OUT, RANK, 0);
    s.v = tensor_new(LRC_DTYPE_F32, OUT, RANK, 0);
    s.lse = tensor_new(LRC_DTYPE_F32, T, HEADS, 0);
    const struct lrc_weight weight = {
        .rows = OUT, .cols = IN, .dtype = LRC_DTYPE_BF16, .data = s.weight.data
    };
    const size_t attention = lrc_attention_workspace_bytes(T, HEADS, HEADS, HEAD_DIM, 1);
    s.workspace_bytes = lrc_linear_workspace_wide_bytes(T, &weight, RANK, LRC_DTYPE_BF16);
    s.workspace_bytes = attention > s.workspace_bytes ? attention : s.workspace_bytes;
    TRY(device->memory->allocate(&s.workspace, s.workspace_bytes, &err));
    return s;
}

static void state_free(struct state *s)
{
    const struct lrc_tensor *const tensors[] = { &s->x,   &s->weight, &s->out, &s->attended, &s->a, &s->b,
                                                 &s->d_a, &s->d_b,    &s->u,   &s->m,        &s->v, &s->lse };
    for (size_t i = 0; i < sizeof tensors / sizeof tensors[0]; i++)
        device->memory->release(tensors[i]->data);
    device->memory->release(s->scalars);
    device->memory->release(s->positions);
    device->memory->release(s->offsets);
    device->memory->release(s->row_ids);
    device->memory->release(s->workspace);
}

static struct lrc_tensor heads(struct lrc_tensor rows)
{
    return lrc_tensor_3d(rows.data, rows.dtype, T, HEADS, HEAD_DIM);
}

/* A step of sorts: a linear with dropout, attention over its result, the gradient of b, its norm, an update
 * of b. */
static void step(const struct state *s, struct lrc_stream *stream, const int32_t *offsets)
{
    const struct lrc_weight weight = {
        .rows = OUT, .cols = IN, .dtype = LRC_DTYPE_BF16, .data = s->weight.data
    };
    const struct lrc_linear_adapter      adapter = { s->a, s->b, s->d_a, s->d_b, 2.0f };
    const struct lrc_dropout             dropout = { 0.3f, 7, &s->scalars->step, s->row_ids, s->positions };
    const struct lrc_linear_forward_args forward = { .x = s->x,
                                                     .weight = &weight,
                                                     .adapter = &adapter,
                                                     .u = s->u,
                                                     .dropout = dropout,
                                                     .out = s->out,
                                                     .workspace = s->workspace,
                                                     .workspace_bytes = s->workspace_bytes };
    const struct lrc_attention_forward_args attention = {
        .q = heads(s->out),
        .k = heads(s->out),
        .v = heads(s->out),
        .out = heads(s->attended),
        .lse = s->lse.data,
        .shape = { .doc_offsets = offsets, .doc_offsets_device = s->offsets, .n_docs = DOCS, .scale = 0.2f },
        .workspace = s->workspace,
        .workspace_bytes = s->workspace_bytes
    };
    const struct lrc_linear_backward_args backward = { .d_out = s->attended,
                                                       .x = s->x,
                                                       .weight = &weight,
                                                       .adapter = &adapter,
                                                       .u = s->u,
                                                       .dropout = dropout,
                                                       .workspace = s->workspace,
                                                       .workspace_bytes = s->workspace_bytes };
    const struct lrc_grad_norm_args       norm = { .grads = &s->d_b,
                                                   .n_grads = 1,
                                                   .max_norm = 1,
                                                   .norm = &s->scalars->grad_norm,
                                                   .clip = &s->scalars->clip,
                                                   .workspace = s->workspace,
                                                   .workspace_bytes = s->workspace_bytes };
    const struct lrc_adamw_args           update = {
                  s->b, s->d_b, s->m, s->v, s->scalars, 0.9, 0.999, 1e-8, 0.01, 1.0
    };
    device->zero(stream, s->d_b.data, OUT * RANK * sizeof(float));
    TRY(lrc_linear_forward(device, stream, &forward, &err));
    TRY(lrc_attention_forward(device, stream, &attention, &err));
    TRY(lrc_linear_backward(device, stream, &backward, &err));
    TRY(lrc_grad_norm(device, stream, &norm, &err));
    TRY(lrc_adamw(device, stream, &update, &err));
}

/* What changes between steps: the scalars, and where documents begin. */
static void prepare(const struct state *s, int32_t offsets[DOCS + 1], int n)
{
    const struct lrc_step_scalars scalars = { .learning_rate = 0.01 / (n + 1), .step = (uint32_t)n };
    offsets[0] = 0;
    offsets[1] = 30 - 7 * n;
    offsets[2] = T;
    TRY(device->upload(NULL, s->scalars, &scalars, sizeof scalars, &err));
    TRY(device->upload(NULL, s->offsets, offsets, (DOCS + 1) * sizeof *offsets, &err));
    TRY(device->synchronize(NULL, &err));
}

/* The adapter's b after STEPS steps, from the second on replayed if asked for. */
static void run(float b[OUT * RANK], int is_replayed)
{
    struct state       s = state_new();
    struct lrc_stream *stream = NULL;
    struct lrc_graph  *graph = NULL;
    int32_t            offsets[DOCS + 1];
    TRY(lrc_cuda_stream_new(&stream, &err));
    for (int n = 0; n < STEPS; n++) {
        prepare(&s, offsets, n);
        if (n == 0 || !is_replayed)
            step(&s, stream, offsets);
        else
            TRY(lrc_cuda_graph_replay(graph, stream, &err));
        TRY(device->synchronize(stream, &err));
        if (n > 0 || !is_replayed)
            continue;
        TRY(lrc_cuda_graph_begin(stream, &err)); /* which runs nothing */
        step(&s, stream, offsets);
        TRY(lrc_cuda_graph_end(&graph, stream, &err));
    }
    TRY(device->download(NULL, b, s.b.data, OUT * RANK * sizeof *b, &err));
    TRY(device->synchronize(NULL, &err));
    lrc_cuda_graph_free(graph);
    lrc_cuda_stream_free(stream);
    state_free(&s);
}

Test(cuda, graph_replays_with_other_scalars_and_documents)
{
    static float straight[OUT * RANK], replayed[OUT * RANK];
    if (lrc_cuda_device_count() < 1)
        cr_skip_test("no CUDA device here");
    run(straight, 0);
    run(replayed, 1);
    cr_assert(isfinite(straight[0]) && straight[0] != 0);
    cr_expect_arr_eq(replayed, straight, sizeof straight);
}

static void record_on_two(struct lrc_graph **graph, struct lrc_stream *streams[2],
                          struct lrc_event *events[2], const struct state *s, float *copied,
                          enum lrc_status want)
{
    TRY(lrc_cuda_graph_begin(streams[0], &err));
    device->zero(streams[0], s->b.data, OUT * RANK * sizeof(float));
    TRY(device->event_record(streams[0], events[0], &err));
    TRY(device->stream_wait(streams[1], events[0], &err)); /* recorded from here on */
    TRY(device->copy(streams[1], s->d_b.data, s->b.data, OUT * RANK * sizeof(float), &err));
    TRY(device->event_record(streams[1], events[1], &err));
    if (want == LRC_STATUS_OK)
        TRY(device->stream_wait(streams[0], events[1], &err));
    TRY(device->download(streams[0], copied, s->d_b.data, OUT * RANK * sizeof(float), &err));
    cr_expect_eq(lrc_cuda_graph_end(graph, streams[0], &err), want);
}

Test(cuda, graph_of_two_streams_keeps_what_orders_them)
{
    struct state       s;
    struct lrc_stream *streams[2];
    struct lrc_event  *events[2];
    struct lrc_graph  *graph;
    void              *copied;
    if (lrc_cuda_device_count() < 1)
        cr_skip_test("no CUDA device here");
    s = state_new();
    for (int i = 0; i < 2; i++) {
        TRY(device->stream_new(&streams[i], &err));
        TRY(device->event_new(&events[i], &err));
    }
    TRY(device->staging->allocate(&copied, OUT * RANK * sizeof(float), &err));
    record_on_two(&graph, streams, events, &s, copied, LRC_STATUS_OK);
    for (int n = 0; n < 3; n++) {
        memset(copied, 0x55, OUT * RANK * sizeof(float));
        TRY(device->upload(streams[0], s.d_b.data, copied, OUT * RANK * sizeof(float), &err));
        TRY(lrc_cuda_graph_replay(graph, streams[0], &err));
        TRY(device->synchronize(streams[0], &err));
        for (int i = 0; i < OUT * RANK; i++)
            cr_assert_eq(((const float *)copied)[i], 0.0f);
    }
    lrc_cuda_graph_free(graph);
    record_on_two(&graph, streams, events, &s, copied, LRC_STATUS_DEVICE); /* nobody waits for the second */
    cr_expect_null(graph);
    device->staging->release(copied);
    for (int i = 0; i < 2; i++) {
        device->event_free(events[i]);
        device->stream_free(streams[i]);
    }
    state_free(&s);
}

Test(cuda, graph_of_something_that_waits_is_refused)
{
    struct lrc_stream *stream = NULL;
    struct lrc_graph  *graph = NULL;
    if (lrc_cuda_device_count() < 1)
        cr_skip_test("no CUDA device here");
    cr_expect_eq(lrc_cuda_graph_begin(NULL, &err), LRC_STATUS_DEVICE, "the default stream");
    TRY(lrc_cuda_stream_new(&stream, &err));
    TRY(lrc_cuda_graph_begin(stream, &err));
    cr_expect_eq(device->synchronize(stream, &err), LRC_STATUS_DEVICE);
    cr_expect_eq(lrc_cuda_graph_end(&graph, stream, &err), LRC_STATUS_DEVICE);
    cr_expect_null(graph);
    lrc_cuda_stream_free(stream);
}

#endif
