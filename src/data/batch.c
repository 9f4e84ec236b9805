#include "data/batch.h"

#include "base/alloc.h"
#include "base/arena.h"
#include "data/batch_fill.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { N_ROOMS = 2, NO_STEP = -1 };

/* Two rooms: the caller reads one while the thread fills the other. The thread alone fills, so that the plan
 * is its own; `wanted` and `ready` are guarded by the mutex, the room being filled belongs to the thread
 * until ready == wanted. */
struct lrc_batch_stream {
    struct lrc_arena       arena;
    struct lrc_batch_plan  plan;
    struct lrc_window_room rooms[N_ROOMS];
    int                    filled; /* room that the thread fills or has filled; the caller has the other */
    int64_t                limit_tokens, limit_docs, limit_trained;

    pthread_t        thread;
    pthread_mutex_t  mutex;
    pthread_cond_t   changed;
    int              is_running;
    int              stops;
    int64_t          wanted, ready; /* steps */
    enum lrc_status  status;        /* of filling `ready` */
    struct lrc_error err;
};

static void *fill_ahead(void *argument)
{
    struct lrc_batch_stream *stream = argument;
    pthread_mutex_lock(&stream->mutex);
    for (;;) {
        while (!stream->stops && stream->ready == stream->wanted)
            pthread_cond_wait(&stream->changed, &stream->mutex);
        if (stream->stops)
            break;
        const int64_t           step = stream->wanted;
        struct lrc_window_room *room = &stream->rooms[stream->filled];
        pthread_mutex_unlock(&stream->mutex);
        struct lrc_error      err = { 0 };
        const enum lrc_status status = lrc_batch__fill(room, &stream->plan, step, &err);
        pthread_mutex_lock(&stream->mutex);
        stream->status = status;
        stream->err = err;
        stream->ready = step;
        pthread_cond_broadcast(&stream->changed);
    }
    pthread_mutex_unlock(&stream->mutex);
    return NULL;
}

static void wait_for(struct lrc_batch_stream *stream, int64_t step)
{
    stream->wanted = step;
    pthread_cond_broadcast(&stream->changed);
    while (stream->ready != stream->wanted)
        pthread_cond_wait(&stream->changed, &stream->mutex);
}

enum lrc_status lrc_batch_stream_get(struct lrc_batch_stream *stream, const struct lrc_window **window,
                                     int64_t step, struct lrc_error *err)
{
    LRC_ASSERT(step >= 0);
    pthread_mutex_lock(&stream->mutex);
    wait_for(stream, stream->wanted == NO_STEP ? step : stream->wanted); /* the thread is idle then */
    if (stream->ready != step)
        wait_for(stream, step);
    const enum lrc_status status = stream->status;
    if (status != LRC_STATUS_OK) {
        (void)lrc_fail(err, status, "%s", stream->err.message);
        stream->wanted = stream->ready = NO_STEP; /* asked for again, it is tried again */
        pthread_mutex_unlock(&stream->mutex);
        return status;
    }
    *window = &stream->rooms[stream->filled].window;
    stream->filled = (stream->filled + 1) % N_ROOMS;
    stream->wanted = step + 1;
    pthread_cond_broadcast(&stream->changed);
    pthread_mutex_unlock(&stream->mutex);
    return LRC_STATUS_OK;
}

static int larger_first(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x < y) - (x > y);
}

struct limits {
    int64_t docs, tokens, trained; /* most that so many units can have */
};

static int64_t sum_first(const int64_t *sizes, int64_t n)
{
    int64_t sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += sizes[i];
    return sum;
}

static struct limits sum_largest(const struct lrc_unit_sizes *sizes, int64_t n, int64_t n_units)
{
    n = n_units < n ? n_units : n;
    return (struct limits){ .docs = sum_first(sizes->docs, n),
                            .tokens = sum_first(sizes->tokens, n),
                            .trained = sum_first(sizes->trained, n) };
}

static enum lrc_status measure_units(struct lrc_unit_sizes *sizes, const struct lrc_batch_plan *plan,
                                     struct lrc_error *err)
{
    const int64_t n = plan->n_units;
    if (plan->options.pack_tokens > 0)
        LRC_TRY(lrc_batch__packed_sizes(sizes, plan, err));
    else
        for (int64_t i = 0; i < n; i++) {
            sizes->tokens[i] = plan->dataset->examples[i].n_tokens;
            sizes->trained[i] = plan->dataset->examples[i].n_trained;
            sizes->docs[i] = 1;
        }
    qsort(sizes->tokens, (size_t)n, sizeof *sizes->tokens, larger_first);
    qsort(sizes->trained, (size_t)n, sizeof *sizes->trained, larger_first);
    qsort(sizes->docs, (size_t)n, sizeof *sizes->docs, larger_first);
    return LRC_STATUS_OK;
}

/* Most of what a micro-batch and a window can hold. */
static enum lrc_status find_limits(struct limits *micro, struct limits *window,
                                   const struct lrc_batch_plan *plan, struct lrc_error *err)
{
    const int64_t         n = plan->n_units, size = plan->options.micro_batch_size;
    const int64_t         accumulation = plan->options.accumulation_steps;
    struct lrc_unit_sizes sizes = { lrc_calloc(n, sizeof *sizes.tokens), lrc_calloc(n, sizeof *sizes.trained),
                                    lrc_calloc(n, sizeof *sizes.docs) };
    enum lrc_status       status = LRC_STATUS_OK;
    if (!sizes.tokens || !sizes.trained || !sizes.docs)
        status = lrc_fail_nomem(err, "the batch stream");
    if (status == LRC_STATUS_OK)
        status = measure_units(&sizes, plan, err);
    if (status == LRC_STATUS_OK) {
        *micro = sum_largest(&sizes, n, size);
        *window = sum_largest(&sizes, n, accumulation > n / size ? n : accumulation * size);
    }
    if (status == LRC_STATUS_OK && micro->tokens > INT32_MAX - LRC_BATCH_ROUND_TOKENS)
        status = lrc_fail(err, LRC_STATUS_SHAPE,
                          "micro_batch_size %lld: want fewer than 2^31 tokens in a micro-batch, got %lld",
                          (long long)size, (long long)micro->tokens);
    lrc_free(sizes.tokens);
    lrc_free(sizes.trained);
    lrc_free(sizes.docs);
    return status;
}

static enum lrc_status plan_room(struct lrc_batch_stream *stream, struct lrc_window_room *room,
                                 const struct limits *window, int64_t n_micro, struct lrc_error *err)
{
    struct lrc_arena *arena = &stream->arena;
    const int64_t     n_tokens = window->tokens + n_micro * (LRC_BATCH_ROUND_TOKENS - 1);
    const int64_t     n_offsets = window->docs + 2 * n_micro; /* each: the leading 0, the filler's end */
    LRC_TRY(lrc_arena_plan(arena, "batch.tokens", &room->tokens, n_tokens, sizeof *room->tokens, err));
    LRC_TRY(lrc_arena_plan(arena, "batch.targets", &room->targets, n_tokens, sizeof *room->targets, err));
    LRC_TRY(
        lrc_arena_plan(arena, "batch.positions", &room->positions, n_tokens, sizeof *room->positions, err));
    LRC_TRY(lrc_arena_plan(arena, "batch.row_ids", &room->row_ids, n_tokens, sizeof *room->row_ids, err));
    LRC_TRY(lrc_arena_plan(arena, "batch.doc_rows", &room->doc_rows, n_offsets, sizeof *room->doc_rows, err));
    LRC_TRY(lrc_arena_plan(arena, "batch.doc_offsets", &room->doc_offsets, n_offsets,
                           sizeof *room->doc_offsets, err));
    LRC_TRY(lrc_arena_plan(arena, "batch.trained_index", &room->trained_index, window->trained,
                           sizeof *room->trained_index, err));
    LRC_TRY(lrc_arena_plan(arena, "batch.trained_target", &room->trained_target, window->trained,
                           sizeof *room->trained_target, err));
    return lrc_arena_plan(arena, "batch.batches", &room->window.batches, n_micro,
                          sizeof *room->window.batches, err);
}

static enum lrc_status plan_memory(struct lrc_batch_stream *stream, struct lrc_error *err)
{
    struct lrc_batch_plan *plan = &stream->plan;
    struct limits          micro = { 0 }, window = { 0 };
    LRC_TRY(find_limits(&micro, &window, plan, err));
    stream->limit_tokens =
        (micro.tokens + LRC_BATCH_ROUND_TOKENS - 1) / LRC_BATCH_ROUND_TOKENS * LRC_BATCH_ROUND_TOKENS;
    stream->limit_docs = micro.docs + 1;
    stream->limit_trained = micro.trained;

    const int64_t n = plan->dataset->n_examples, accumulation = plan->options.accumulation_steps;
    const int64_t n_micro = accumulation < plan->n_micro ? accumulation : plan->n_micro;
    for (int i = 0; i < N_ROOMS; i++)
        LRC_TRY(plan_room(stream, &stream->rooms[i], &window, n_micro, err));
    LRC_TRY(lrc_arena_plan(&stream->arena, "batch.order", &plan->order, n, sizeof *plan->order, err));
    LRC_TRY(lrc_arena_plan(&stream->arena, "batch.scratch", &plan->scratch, n, sizeof *plan->scratch, err));
    LRC_TRY(lrc_arena_plan(&stream->arena, "batch.batch_order", &plan->batch_order, plan->n_micro,
                           sizeof *plan->batch_order, err));
    return lrc_arena_commit(&stream->arena, err);
}

static enum lrc_status start_thread(struct lrc_batch_stream *stream, struct lrc_error *err)
{
    pthread_mutex_init(&stream->mutex, NULL);
    pthread_cond_init(&stream->changed, NULL);
    stream->wanted = stream->ready = NO_STEP;
    const int code = pthread_create(&stream->thread, NULL, fill_ahead, stream);
    if (code != 0) {
        pthread_cond_destroy(&stream->changed);
        pthread_mutex_destroy(&stream->mutex);
        return lrc_fail(err, LRC_STATUS_DEVICE, "batch stream: cannot start a thread: %s", strerror(code));
    }
    stream->is_running = 1;
    return LRC_STATUS_OK;
}

enum lrc_status lrc_batch_stream_new(struct lrc_batch_stream **out, const struct lrc_dataset *dataset,
                                     const struct lrc_batch_options *options, struct lrc_error *err)
{
    LRC_ASSERT(dataset->n_examples > 0 && options->micro_batch_size > 0 && options->accumulation_steps > 0);
    *out = NULL;
    struct lrc_batch_stream *stream = lrc_calloc(1, sizeof *stream);
    if (!stream)
        return lrc_fail_nomem(err, "the batch stream");
    struct lrc_batch_plan *plan = &stream->plan;
    *plan = (struct lrc_batch_plan){
        .dataset = dataset, .options = *options, .n_units = dataset->n_examples, .epoch = NO_STEP
    };
    enum lrc_status status = options->pack_tokens > 0 ? lrc_batch__pack(plan, err) : LRC_STATUS_OK;
    plan->n_micro = (plan->n_units - 1) / options->micro_batch_size + 1;
    plan->steps_per_epoch = (plan->n_micro - 1) / options->accumulation_steps + 1;
    if (status == LRC_STATUS_OK)
        status = plan_memory(stream, err);
    if (status == LRC_STATUS_OK)
        status = start_thread(stream, err);
    if (status != LRC_STATUS_OK) {
        lrc_batch_stream_free(stream);
        return status;
    }
    *out = stream;
    return LRC_STATUS_OK;
}

void lrc_batch_stream_free(struct lrc_batch_stream *stream)
{
    if (!stream)
        return;
    if (stream->is_running) {
        pthread_mutex_lock(&stream->mutex);
        stream->stops = 1;
        pthread_cond_broadcast(&stream->changed);
        pthread_mutex_unlock(&stream->mutex);
        pthread_join(stream->thread, NULL);
        pthread_cond_destroy(&stream->changed);
        pthread_mutex_destroy(&stream->mutex);
    }
    lrc_batch__packed_release(&stream->plan.packed);
    lrc_arena_release(&stream->arena);
    lrc_free(stream);
}

int64_t lrc_batch_stream_steps_per_epoch(const struct lrc_batch_stream *stream)
{
    return stream->plan.steps_per_epoch;
}

void lrc_batch_stream_limits(const struct lrc_batch_stream *stream, int64_t *n_tokens, int64_t *n_docs,
                             int64_t *n_trained)
{
    *n_tokens = stream->limit_tokens;
    *n_docs = stream->limit_docs;
    *n_trained = stream->limit_trained;
}

size_t lrc_batch_stream_packing_bytes(const struct lrc_batch_stream *stream)
{
    const struct lrc_batch_packed *packed = &stream->plan.packed;
    if (!packed->bin_order)
        return 0;
    return sizeof(int64_t) * (size_t)(stream->plan.dataset->n_examples + 2 * packed->packing.n_bins + 1 +
                                      2 * (packed->longest + 1));
}

size_t lrc_batch_stream_bytes(const struct lrc_batch_stream *stream)
{
    return stream->arena.size_bytes;
}
