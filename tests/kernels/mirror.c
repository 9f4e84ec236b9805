#include "mirror.h"

#include "base/alloc.h"

#include <criterion/criterion.h>
#include <stdlib.h>

enum { BLOCKS_MAX = 4096, USED_MAX = 64, NESTED_MAX = 8, NESTED_BYTES = 32768 };

/* A heap block of the cases. */
struct block {
    unsigned char *host;
    size_t bytes;
};

static struct block blocks[BLOCKS_MAX];
static int n_blocks;
static struct lrc_allocator original;
static const struct lrc_backend *device;

static void *allocate(size_t size_bytes)
{
    void *memory = original.allocate(size_bytes);
    cr_assert(n_blocks < BLOCKS_MAX, "more blocks than the mirror holds");
    if (memory)
        blocks[n_blocks++] = (struct block){memory, size_bytes};
    return memory;
}

static void release(void *memory)
{
    for (int i = n_blocks - 1; i >= 0; i--)
        if (blocks[i].host == memory) {
            blocks[i] = blocks[--n_blocks];
            break;
        }
    original.release(memory);
}

void lrc_mirror_begin(void)
{
    original = lrc_allocator;
    lrc_allocator.allocate = allocate;
    lrc_allocator.release = release;
    n_blocks = 0;
}

void lrc_mirror_end(void)
{
    lrc_allocator = original;
}

/* One call: the blocks it uses and the copies of its nested structs. */
struct call {
    const struct block *used[USED_MAX];
    unsigned char *twin[USED_MAX];
    int n_used;
    uint64_t nested[NESTED_MAX][NESTED_BYTES / sizeof(uint64_t)];
    int n_nested;
};

static unsigned char *twin_of(struct call *call, const struct block *block)
{
    struct lrc_error err = {0};
    void *memory = NULL;
    for (int i = 0; i < call->n_used; i++)
        if (call->used[i] == block)
            return call->twin[i];
    cr_assert(call->n_used < USED_MAX, "more blocks than the mirror holds");
    cr_assert(device->memory->allocate(&memory, block->bytes, &err) == LRC_STATUS_OK, "%s", err.message);
    cr_assert(device->upload(NULL, memory, block->host, block->bytes, &err) == LRC_STATUS_OK, "%s",
              err.message);
    call->used[call->n_used] = block;
    call->twin[call->n_used++] = memory;
    return memory;
}

/* Every 8-byte word of a struct that points into a block is made to point into its twin; one past the end
 * counts: an empty tensor may lie there. */
static void translate(struct call *call, void *memory, size_t bytes)
{
    for (size_t at = 0; at + sizeof(uintptr_t) <= bytes; at += sizeof(uintptr_t)) {
        uintptr_t word;
        memcpy(&word, (unsigned char *)memory + at, sizeof word);
        for (int i = 0; i < n_blocks; i++) {
            const uintptr_t host = (uintptr_t)blocks[i].host;
            if (word < host || word > host + blocks[i].bytes)
                continue;
            word = (uintptr_t)twin_of(call, &blocks[i]) + (word - host);
            memcpy((unsigned char *)memory + at, &word, sizeof word);
            break;
        }
    }
}

/* The arguments that are host structs with device pointers in them; every other pointer of an argument struct
 * is the device's, or the host's and not followed (doc_offsets). An op that is forgotten here reads a host
 * address on the device, which faults. */
static const struct {
    const char *op;
    size_t at, bytes;
    size_t count_at; /* of an int64_t number of them; 0: one */
} nested[] = {
    {"dequantize", offsetof(struct lrc_dequantize_args, weight), sizeof(struct lrc_weight), 0},
    {"embedding_forward", offsetof(struct lrc_embedding_forward_args, weight), sizeof(struct lrc_weight), 0},
    {"linear_forward", offsetof(struct lrc_linear_forward_args, weight), sizeof(struct lrc_weight), 0},
    {"linear_forward", offsetof(struct lrc_linear_forward_args, adapter), sizeof(struct lrc_linear_adapter),
     0},
    {"linear_backward", offsetof(struct lrc_linear_backward_args, weight), sizeof(struct lrc_weight), 0},
    {"linear_backward", offsetof(struct lrc_linear_backward_args, adapter), sizeof(struct lrc_linear_adapter),
     0},
    {"grad_norm", offsetof(struct lrc_grad_norm_args, grads), sizeof(struct lrc_tensor),
     offsetof(struct lrc_grad_norm_args, n_grads)},
};

/* The nested structs of `original`, copied and translated, into the copy `args`. */
static void nest(struct call *call, const char *op, void *args, const void *original_args)
{
    for (size_t i = 0; i < sizeof nested / sizeof nested[0]; i++) {
        const void *pointer;
        int64_t n = 1;
        if (strcmp(nested[i].op, op) != 0)
            continue;
        memcpy(&pointer, (const unsigned char *)original_args + nested[i].at, sizeof pointer);
        if (nested[i].count_at)
            memcpy(&n, (const unsigned char *)original_args + nested[i].count_at, sizeof n);
        if (!pointer)
            continue;
        const size_t bytes = (size_t)n * nested[i].bytes;
        cr_assert(bytes <= NESTED_BYTES && call->n_nested < NESTED_MAX, "a nested argument is too large");
        void *copy = call->nested[call->n_nested++];
        memcpy(copy, pointer, bytes);
        translate(call, copy, bytes);
        memcpy((unsigned char *)args + nested[i].at, &copy, sizeof copy);
    }
}

static void finish(struct call *call)
{
    struct lrc_error err = {0};
    cr_assert(device->synchronize(NULL, &err) == LRC_STATUS_OK, "%s", err.message);
    for (int i = 0; i < call->n_used; i++) {
        const struct block *block = call->used[i];
        cr_assert(device->download(NULL, block->host, call->twin[i], block->bytes, &err) == LRC_STATUS_OK,
                  "%s", err.message);
    }
    cr_assert(device->synchronize(NULL, &err) == LRC_STATUS_OK, "%s", err.message);
    for (int i = 0; i < call->n_used; i++)
        device->memory->release(call->twin[i]);
}

#define LRC_OP(entry)                                                                                        \
    static enum lrc_status mirror_##entry(struct lrc_stream *stream, const struct lrc_##entry##_args *args,  \
                                          struct lrc_error *err)                                             \
    {                                                                                                        \
        struct lrc_##entry##_args copy = *args;                                                              \
        struct call call = {.n_used = 0};                                                                    \
        translate(&call, &copy, sizeof copy);                                                                \
        nest(&call, #entry, &copy, args);                                                                    \
        const enum lrc_status status = device->entry(stream, &copy, err);                                    \
        finish(&call);                                                                                       \
        return status;                                                                                       \
    }
#include "ops.def"

const struct lrc_backend *lrc_mirror_of(const struct lrc_backend *of)
{
    static struct lrc_backend mirror;
    device = of;
    mirror = *of;
#define LRC_OP(entry) mirror.entry = mirror_##entry;
#include "ops.def"
    return &mirror;
}
