#include "data/token_store.h"

#include "base/alloc.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

enum {
    DEFLATE_LEVEL = 1,
    SLOTS_MAX = LRC_TOKEN_STORE_BYTES / LRC_TOKEN_CHUNK_BYTES,
    NO_SLOT = -1,
    NO_CHUNK = -1
};

/* A chunk in memory. */
struct slot {
    int32_t *values; /* (LRC_TOKEN_CHUNK_TOKENS), NULL: never used */
    int64_t  chunk;
    int      was_read; /* since the hand passed */
};

struct lrc_token_store {
    int64_t                      vocab_size, n_ids;
    struct lrc_token_store_part *parts;
    int64_t                     *first_ids, *first_chunks; /* (n_parts) of a part, over all */
    int64_t                      n_parts, n_chunks;
    struct lrc_token_chunk      *chunks;
    int32_t                     *slot_of; /* (n_chunks) */
    pthread_mutex_t              mutex;   /* guards what follows */
    struct slot                  slots[SLOTS_MAX];
    int32_t                      hand;
    unsigned char               *packed, *planes; /* one chunk on its way into a slot */
};

enum lrc_status lrc_token_store_new(struct lrc_token_store **out, int64_t vocab_size, struct lrc_error *err)
{
    struct lrc_token_store *store = lrc_calloc(1, sizeof *store);
    *out = NULL;
    if (store) {
        store->packed = lrc_calloc(LRC_TOKEN_PACKED_BYTES_MAX, 1);
        store->planes = lrc_calloc(LRC_TOKEN_CHUNK_BYTES, 1);
    }
    if (!store || !store->packed || !store->planes) {
        if (store) {
            lrc_free(store->packed);
            lrc_free(store->planes);
        }
        lrc_free(store);
        return lrc_fail_nomem(err, "the cached tokens");
    }
    store->vocab_size = vocab_size;
    pthread_mutex_init(&store->mutex, NULL);
    *out = store;
    return LRC_STATUS_OK;
}

void lrc_token_store_close(struct lrc_token_store *store)
{
    if (!store)
        return;
    for (int64_t i = 0; i < store->n_parts; i++)
        lrc_free(store->parts[i].path);
    for (int i = 0; i < SLOTS_MAX; i++)
        lrc_free(store->slots[i].values);
    lrc_free(store->parts);
    lrc_free(store->first_ids);
    lrc_free(store->first_chunks);
    lrc_free(store->chunks);
    lrc_free(store->slot_of);
    lrc_free(store->packed);
    lrc_free(store->planes);
    pthread_mutex_destroy(&store->mutex);
    lrc_free(store);
}

/* array: address of the caller's pointer; capacity doubles at powers of two. */
static int grow(void *array, int64_t n, int64_t n_new, size_t elem_bytes)
{
    void   *memory;
    int64_t cap = 1;
    while (cap < n + n_new)
        cap *= 2;
    if (n > 0 && cap / 2 < n)
        return 1; /* it has room: the last growth went to cap */
    memcpy(&memory, array, sizeof memory);
    memory = lrc_realloc(memory, cap, elem_bytes);
    if (!memory)
        return 0;
    memcpy(array, &memory, sizeof memory);
    return 1;
}

enum lrc_status lrc_token_store_add(struct lrc_token_store *store, const char *path, int64_t n_ids,
                                    const struct lrc_token_chunk *chunks, int64_t n_chunks,
                                    struct lrc_error *err)
{
    const int64_t n = store->n_parts;
    char         *copy = lrc_strdup(path);
    if (!copy || !grow(&store->parts, n, 1, sizeof *store->parts) ||
        !grow(&store->first_ids, n, 1, sizeof *store->first_ids) ||
        !grow(&store->first_chunks, n, 1, sizeof *store->first_chunks) ||
        !grow(&store->chunks, store->n_chunks, n_chunks, sizeof *store->chunks) ||
        !grow(&store->slot_of, store->n_chunks, n_chunks, sizeof *store->slot_of)) {
        lrc_free(copy);
        return lrc_fail_nomem(err, "the cached tokens");
    }
    store->parts[n] = (struct lrc_token_store_part){ copy, n_ids, n_chunks };
    store->first_ids[n] = store->n_ids;
    store->first_chunks[n] = store->n_chunks;
    if (n_chunks > 0)
        memcpy(store->chunks + store->n_chunks, chunks, (size_t)n_chunks * sizeof *chunks);
    for (int64_t i = 0; i < n_chunks; i++)
        store->slot_of[store->n_chunks + i] = NO_SLOT;
    store->n_parts++;
    store->n_chunks += n_chunks;
    store->n_ids += n_ids;
    return LRC_STATUS_OK;
}

void lrc_token_store_forget(struct lrc_token_store *store, int64_t n_parts)
{
    if (n_parts >= store->n_parts)
        return;
    store->n_ids = store->first_ids[n_parts];
    store->n_chunks = store->first_chunks[n_parts];
    while (store->n_parts > n_parts)
        lrc_free(store->parts[--store->n_parts].path);
    for (int i = 0; i < SLOTS_MAX; i++)
        if (store->slots[i].values && store->slots[i].chunk >= store->n_chunks)
            store->slots[i].chunk = NO_CHUNK;
}

int64_t lrc_token_store_n_ids(const struct lrc_token_store *store)
{
    return store->n_ids;
}

int64_t lrc_token_store_disk_bytes(const struct lrc_token_store *store)
{
    int64_t n = 0;
    for (int64_t i = 0; i < store->n_chunks; i++)
        n += store->chunks[i].n_bytes;
    return n;
}

const struct lrc_token_store_part *lrc_token_store_parts(const struct lrc_token_store *store,
                                                         int64_t                      *n_parts)
{
    *n_parts = store->n_parts;
    return store->parts;
}

const struct lrc_token_chunk *lrc_token_store_chunks(const struct lrc_token_store *store, int64_t *n_chunks)
{
    *n_chunks = store->n_chunks;
    return store->chunks;
}

enum lrc_status lrc_token_chunk_pack(unsigned char *out, size_t *n_out, const int32_t *values,
                                     struct lrc_error *err)
{
    unsigned char *planes = lrc_calloc(LRC_TOKEN_CHUNK_BYTES, 1);
    uLongf         n = LRC_TOKEN_PACKED_BYTES_MAX;
    if (!planes)
        return lrc_fail_nomem(err, "the cached tokens");
    for (int64_t i = 0; i < LRC_TOKEN_CHUNK_TOKENS; i++)
        for (int byte = 0; byte < 4; byte++)
            planes[byte * LRC_TOKEN_CHUNK_TOKENS + i] = (unsigned char)((uint32_t)values[i] >> 8 * byte);
    const int result = compress2(out, &n, planes, LRC_TOKEN_CHUNK_BYTES, DEFLATE_LEVEL);
    lrc_free(planes);
    *n_out = n;
    return result == Z_OK ? LRC_STATUS_OK : lrc_fail_nomem(err, "the cached tokens");
}

/* The part of a chunk or of an id: the last that starts at or before it (parts may be empty). */
static int64_t find_part(const int64_t *firsts, int64_t n_parts, int64_t at)
{
    int64_t low = 0, high = n_parts;
    while (high - low > 1) {
        const int64_t middle = low + (high - low) / 2;
        if (firsts[middle] <= at)
            low = middle;
        else
            high = middle;
    }
    return low;
}

static enum lrc_status read_bytes(unsigned char *out, const char *path, const struct lrc_token_chunk *chunk,
                                  struct lrc_error *err)
{
    enum lrc_status status = LRC_STATUS_OK;
    int64_t         done = 0;
    const int       fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return lrc_fail_errno(err, "%s: cannot open", path);
    while (status == LRC_STATUS_OK && done < chunk->n_bytes) {
        const ssize_t n = pread(fd, out + done, (size_t)(chunk->n_bytes - done), chunk->offset + done);
        if (n < 0 && errno != EINTR)
            status = lrc_fail_errno(err, "%s: cannot read", path);
        if (n == 0)
            status = lrc_fail(err, LRC_STATUS_FORMAT, "%s: want %lld bytes at %lld, got the end of the file",
                              path, (long long)chunk->n_bytes, (long long)chunk->offset);
        done += n > 0 ? n : 0;
    }
    (void)close(fd);
    return status;
}

/* The chunk's bytes into store->packed. */
static enum lrc_status fetch(struct lrc_token_store *store, int64_t index, struct lrc_error *err)
{
    const struct lrc_token_chunk *chunk = &store->chunks[index];
    const char *path = store->parts[find_part(store->first_chunks, store->n_parts, index)].path;
    char        hash[LRC_HASH_HEX_MAX];
    if (chunk->offset < 0 || chunk->n_bytes < 1 || chunk->n_bytes > LRC_TOKEN_PACKED_BYTES_MAX)
        return lrc_fail(err, LRC_STATUS_FORMAT, "%s: want a chunk of at most %d bytes, got %lld", path,
                        LRC_TOKEN_PACKED_BYTES_MAX, (long long)chunk->n_bytes);
    LRC_TRY(read_bytes(store->packed, path, chunk, err));
    LRC_TRY(lrc_hash_bytes(hash, store->packed, (size_t)chunk->n_bytes, err));
    if (memcmp(hash, chunk->hash, LRC_HASH_HEX_MAX) == 0)
        return LRC_STATUS_OK;
    return lrc_fail(
        err, LRC_STATUS_FORMAT,
        "%s: want the bytes at %lld that their SHA-256 names, got others: the token cache is damaged; "
        "remove its folder to have it made anew",
        path, (long long)chunk->offset);
}

static enum lrc_status unpack(struct lrc_token_store *store, int32_t *values, int64_t index,
                              struct lrc_error *err)
{
    const struct lrc_token_chunk *chunk = &store->chunks[index];
    uLongf                        n = LRC_TOKEN_CHUNK_BYTES;
    if (uncompress(store->planes, &n, store->packed, (uLong)chunk->n_bytes) != Z_OK ||
        n != LRC_TOKEN_CHUNK_BYTES)
        return lrc_fail(err, LRC_STATUS_FORMAT, "%s: want a whole chunk at %lld, got a damaged one",
                        store->parts[find_part(store->first_chunks, store->n_parts, index)].path,
                        (long long)chunk->offset);
    const unsigned char *planes = store->planes;
    for (int64_t i = 0; i < LRC_TOKEN_CHUNK_TOKENS; i++) {
        uint32_t value = 0;
        for (int byte = 0; byte < 4; byte++)
            value |= (uint32_t)planes[byte * LRC_TOKEN_CHUNK_TOKENS + i] << 8 * byte;
        memcpy(&values[i], &value, sizeof value);
    }
    return LRC_STATUS_OK;
}

/* A slot to be filled: an unused one, or the first under the hand that was not read since it last passed. */
static struct slot *take_slot(struct lrc_token_store *store)
{
    for (;;) {
        struct slot *slot = &store->slots[store->hand];
        if (!slot->values || !slot->was_read)
            return slot;
        slot->was_read = 0;
        store->hand = (store->hand + 1) % SLOTS_MAX;
    }
}

/* *values: of the chunk; stays until another is asked for. */
static enum lrc_status load_chunk(const int32_t **values, struct lrc_token_store *store, int64_t index,
                                  struct lrc_error *err)
{
    if (store->slot_of[index] != NO_SLOT) {
        struct slot *slot = &store->slots[store->slot_of[index]];
        slot->was_read = 1;
        *values = slot->values;
        return LRC_STATUS_OK;
    }
    struct slot *slot = take_slot(store);
    if (slot->values && slot->chunk != NO_CHUNK)
        store->slot_of[slot->chunk] = NO_SLOT;
    if (!slot->values && !(slot->values = lrc_calloc(LRC_TOKEN_CHUNK_TOKENS, sizeof *slot->values)))
        return lrc_fail_nomem(err, "the cached tokens");
    slot->chunk = NO_CHUNK; /* when this fails */
    slot->was_read = 0;
    LRC_TRY(fetch(store, index, err));
    LRC_TRY(unpack(store, slot->values, index, err));
    slot->chunk = index;
    store->slot_of[index] = store->hand;
    store->hand = (store->hand + 1) % SLOTS_MAX;
    slot->was_read = 1;
    *values = slot->values;
    return LRC_STATUS_OK;
}

/* values [first, first + n) of all, into out. */
static enum lrc_status read_values(struct lrc_token_store *store, int32_t *out, int64_t first, int64_t n,
                                   struct lrc_error *err)
{
    int64_t part = find_part(store->first_ids, store->n_parts, first);
    while (n > 0) {
        const int64_t in_part = first - store->first_ids[part], left = store->parts[part].n_ids - in_part;
        if (left == 0) {
            part++;
            continue;
        }
        const int64_t  at = in_part % LRC_TOKEN_CHUNK_TOKENS;
        const int64_t  in_chunk = LRC_TOKEN_CHUNK_TOKENS - at;
        const int64_t  n_most = in_chunk < left ? in_chunk : left, n_now = n < n_most ? n : n_most;
        const int32_t *values = NULL;
        LRC_TRY(
            load_chunk(&values, store, store->first_chunks[part] + in_part / LRC_TOKEN_CHUNK_TOKENS, err));
        memcpy(out, values + at, (size_t)n_now * sizeof *out);
        out += n_now;
        first += n_now;
        n -= n_now;
    }
    return LRC_STATUS_OK;
}

enum lrc_status lrc_token_store_read(struct lrc_token_store *store, const struct lrc_example *example,
                                     int32_t *ids, int32_t *targets, struct lrc_error *err)
{
    const int64_t n = example->n_tokens;
    int64_t       n_trained = 0;
    if (example->first < 0 || n < 1 || example->first > store->n_ids - n)
        return lrc_fail(err, LRC_STATUS_FORMAT, "row %u: want tokens within the cache's %lld, got others",
                        example->row_id, (long long)store->n_ids);
    pthread_mutex_lock(&store->mutex);
    const enum lrc_status status = read_values(store, ids, example->first, n, err);
    pthread_mutex_unlock(&store->mutex);
    LRC_TRY(status);
    targets[n - 1] = -1;
    for (int64_t i = 0; i < n; i++) {
        const int is_trained = ids[i] >= 0;
        ids[i] = is_trained ? ids[i] : -1 - ids[i];
        if (store->vocab_size > 0 && ids[i] >= store->vocab_size)
            return lrc_fail(err, LRC_STATUS_FORMAT, "row %u: want ids within the vocabulary, got %d",
                            example->row_id, ids[i]);
        if (i > 0)
            targets[i - 1] = is_trained ? ids[i] : -1;
        n_trained += i > 0 && is_trained;
    }
    if (n_trained != example->n_trained)
        return lrc_fail(err, LRC_STATUS_FORMAT, "row %u: want %lld trained tokens, got %lld", example->row_id,
                        (long long)example->n_trained, (long long)n_trained);
    return LRC_STATUS_OK;
}

enum lrc_status lrc_token_store_verify(struct lrc_token_store *store, struct lrc_error *err)
{
    enum lrc_status status = LRC_STATUS_OK;
    pthread_mutex_lock(&store->mutex);
    for (int64_t i = 0; i < store->n_chunks && status == LRC_STATUS_OK; i++)
        status = fetch(store, i, err);
    pthread_mutex_unlock(&store->mutex);
    return status;
}
