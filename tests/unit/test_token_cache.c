#include "base/alloc.h"
#include "base/file.h"
#include "base/log.h"
#include "data/batch.h"
#include "data/token_cache.h"
#include "data/token_store.h"
#include "support.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { N_ROWS = 60, VOCABULARY = 100, PATH_BYTES = 1600 };

/* Rows in a file, the cache's folder beside it. */
struct setup {
    char                       rows[1200], dir[1200];
    struct lrc_dataset_spec    spec;
    struct lrc_dataset_list    list;
    struct lrc_dataset_options options;
    struct lrc_token_cache     cache;
    struct lrc_dataset         dataset;
    struct lrc_problems        problems;
    struct lrc_error           err;
};

static char warned[2048], told[2048], told_all[8192];

static void keep_line(enum lrc_log_level level, const char *line)
{
    char        *kept = level == LRC_LOG_WARN ? warned : told;
    const size_t n_all = strlen(told_all);
    (void)snprintf(kept, sizeof warned, "%s", line);
    (void)snprintf(told_all + n_all, sizeof told_all - n_all, "%s\n", line);
}

static void write_rows(const char *path, int first)
{
    struct lrc_buf   text = { 0 };
    struct lrc_error err;
    for (int r = 0; r < N_ROWS; r++) {
        lrc_buf_puts(&text, "{\"input_ids\": [1");
        for (int i = 0; i < r % 9; i++)
            lrc_buf_printf(&text, ", %d", (first + r * 7 + i) % VOCABULARY);
        lrc_buf_puts(&text, "]}\n");
    }
    cr_assert_eq(lrc_file_write(path, text.data, text.len, &err), LRC_STATUS_OK, "%s", err.message);
    lrc_buf_release(&text);
}

static void begin(struct setup *s, const char *name)
{
    const char *folder = test_folder(name);
    *s = (struct setup){ 0 };
    (void)snprintf(s->rows, sizeof s->rows, "%s/rows.jsonl", folder);
    (void)snprintf(s->dir, sizeof s->dir, "%s/cache", folder);
    write_rows(s->rows, 3);
    s->spec = (struct lrc_dataset_spec){ .path = s->rows, .type = "tokenized" };
    s->list = (struct lrc_dataset_list){ &s->spec, 1 };
    s->options = (struct lrc_dataset_options){ .sequence_len = 7,
                                               .max_lost_rows_fraction = 1,
                                               .vocab_size = VOCABULARY };
    s->cache = (struct lrc_token_cache){ .dir = s->dir, .model_dir = folder, .write = LRC_CACHE_WRITE_MUST };
    warned[0] = told[0] = told_all[0] = '\0';
    lrc_log_set_sink(keep_line);
}

static enum lrc_status load(struct setup *s)
{
    lrc_dataset_release(&s->dataset);
    return lrc_dataset_load_cached(&s->dataset, &s->list, &s->options, &s->cache, &s->problems, &s->err);
}

static void end(struct setup *s)
{
    lrc_log_set_sink(NULL);
    lrc_dataset_release(&s->dataset);
    lrc_problems_release(&s->problems);
}

static void key_of(char key[LRC_HASH_HEX_MAX], struct setup *s)
{
    cr_assert_eq(lrc_token_cache__key(key, NULL, &s->list, &s->options, s->cache.model_dir, &s->err),
                 LRC_STATUS_OK, "%s", s->err.message);
}

static void path_of(char path[PATH_BYTES], struct setup *s, const char *name)
{
    char key[LRC_HASH_HEX_MAX];
    key_of(key, s);
    (void)snprintf(path, PATH_BYTES, "%s/%s/%s", s->dir, key, name);
}

static void expect_same_tokens(const struct lrc_dataset *a, const struct lrc_dataset *b)
{
    int32_t *ids[2], *targets[2];
    for (int i = 0; i < 2; i++) {
        ids[i] = lrc_calloc(a->longest, sizeof *ids[i]);
        targets[i] = lrc_calloc(a->longest, sizeof *targets[i]);
    }
    for (int64_t i = 0; i < a->n_examples; i++) {
        struct lrc_error err;
        const size_t     bytes = (size_t)a->examples[i].n_tokens * sizeof(int32_t);
        cr_assert_eq(lrc_dataset_read(a, &a->examples[i], ids[0], targets[0], &err), LRC_STATUS_OK);
        cr_assert_eq(lrc_dataset_read(b, &b->examples[i], ids[1], targets[1], &err), LRC_STATUS_OK, "%s",
                     err.message);
        cr_assert_eq(memcmp(ids[0], ids[1], bytes), 0);
        cr_assert_eq(memcmp(targets[0], targets[1], bytes), 0);
    }
    for (int i = 0; i < 2; i++) {
        lrc_free(ids[i]);
        lrc_free(targets[i]);
    }
}

static void expect_same(const struct lrc_dataset *a, const struct lrc_dataset *b)
{
    cr_assert_eq(a->n_ids, b->n_ids);
    cr_assert_eq(a->n_examples, b->n_examples);
    for (int64_t i = 0; i < a->n_examples; i++) {
        cr_assert_eq(a->examples[i].first, b->examples[i].first);
        cr_assert_eq(a->examples[i].n_tokens, b->examples[i].n_tokens);
        cr_assert_eq(a->examples[i].n_trained, b->examples[i].n_trained);
        cr_assert_eq(a->examples[i].row_id, b->examples[i].row_id);
        cr_assert_eq(a->examples[i].id, b->examples[i].id);
        cr_assert_eq(a->examples[i].side, b->examples[i].side);
    }
    cr_assert_eq(memcmp(a->tally, b->tally, sizeof a->tally), 0);
    cr_assert(a->longest == b->longest && a->n_rows == b->n_rows && a->n_tokens == b->n_tokens &&
              a->n_trained == b->n_trained && a->n_further == b->n_further);
    cr_assert_str_eq(a->hash, b->hash);
    cr_assert_str_eq(a->tokens_hash, b->tokens_hash);
    cr_assert_eq(memcmp(a->rows, b->rows, (size_t)a->n_rows * sizeof *a->rows), 0);
    cr_assert_eq(a->n_files, b->n_files);
    for (int64_t i = 0; i < a->n_files; i++)
        cr_assert_str_eq(a->files[i], b->files[i]);
    expect_same_tokens(a, b);
}

static void expect_direct(struct setup *s)
{
    struct lrc_dataset direct;
    cr_assert_eq(lrc_dataset_load(&direct, &s->spec, 1, &s->options, &s->problems, &s->err), LRC_STATUS_OK);
    cr_assert_not_null(direct.ids);
    expect_same(&direct, &s->dataset);
    lrc_dataset_release(&direct);
}

Test(token_cache, second_load_reads_the_same_dataset)
{
    struct setup s;
    char         path[PATH_BYTES];
    begin(&s, "cache-same");
    cr_assert_eq(load(&s), LRC_STATUS_OK, "%s", s.err.message);
    expect_direct(&s);
    cr_assert_null(s.dataset.ids, "tokens stay on the disk");
    path_of(path, &s, "index.h5");
    cr_assert(lrc_path_exists(path));
    cr_assert_gt(s.dataset.tally[LRC_ROW_TOO_LONG], 0, "the test needs dropped rows");
    cr_assert_eq(load(&s), LRC_STATUS_OK, "%s", s.err.message);
    cr_assert(strncmp(told, "tokens from cache ", 18) == 0, "%s", told);
    expect_direct(&s);
    cr_assert_str_eq(warned, "");
    s.options.excess = LRC_EXCESS_SPLIT;
    cr_assert_eq(load(&s), LRC_STATUS_OK, "%s", s.err.message);
    cr_assert_gt(s.dataset.n_further, 0);
    expect_direct(&s);
    cr_assert_eq(load(&s), LRC_STATUS_OK, "%s", s.err.message);
    expect_direct(&s);
    end(&s);
}

Test(token_cache, whatever_changes_tokens_changes_the_key)
{
    struct setup s;
    char         keys[8][LRC_HASH_HEX_MAX], moved[1400], again[LRC_HASH_HEX_MAX];
    begin(&s, "cache-key");
    key_of(keys[0], &s);
    (void)snprintf(moved, sizeof moved, "%s/moved", s.cache.model_dir);
    cr_assert_eq(lrc_dir_make(moved, &s.err), LRC_STATUS_OK);
    (void)snprintf(moved, sizeof moved, "%s/moved/rows.jsonl", s.cache.model_dir);
    cr_assert_eq(lrc_file_copy(moved, s.rows, &s.err), LRC_STATUS_OK);
    s.spec.path = moved;
    key_of(again, &s);
    cr_expect_str_eq(keys[0], again, "not where the file lies");
    s.options.sequence_len = 8, key_of(keys[1], &s);
    s.options.excess = LRC_EXCESS_TRUNCATE, key_of(keys[2], &s);
    s.options.train_on_inputs = 1, key_of(keys[3], &s);
    s.spec.type = NULL, key_of(keys[4], &s);
    s.spec.field_output = "x", key_of(keys[5], &s);
    write_rows(moved, 4), key_of(keys[6], &s);
    s.options.vocab_size = 101, key_of(keys[7], &s);
    for (int i = 0; i < 8; i++)
        for (int j = 0; j < i; j++)
            cr_expect_str_neq(keys[i], keys[j], "%d and %d", i, j);
    end(&s);
}

/* Without a sync: it is done often. */
static void rewrite(const char *path, const unsigned char *bytes, size_t n)
{
    FILE *file = fopen(path, "wb");
    cr_assert(file && fwrite(bytes, 1, n, file) == n && fclose(file) == 0, "%s", path);
}

static void expect_rebuilt(struct setup *s)
{
    warned[0] = '\0';
    cr_assert_eq(load(s), LRC_STATUS_OK, "%s", s->err.message);
    cr_expect(strstr(warned, "it is made anew"), "%s", warned);
    expect_direct(s);
    warned[0] = '\0';
    cr_assert_eq(load(s), LRC_STATUS_OK, "%s", s->err.message);
    cr_expect(strstr(told, "tokens from cache"), "%s", told);
    cr_expect_str_eq(warned, "");
}

static void read_index(struct setup *s, struct lrc_dataset *read, enum lrc_status wanted, size_t at)
{
    char key[LRC_HASH_HEX_MAX], index[PATH_BYTES], dir[PATH_BYTES];
    key_of(key, s);
    path_of(index, s, "index.h5");
    path_of(dir, s, "");
    cr_assert_eq(lrc_token_cache__read_index(read, index, dir, key, VOCABULARY, &s->err), wanted, "byte %zu",
                 at);
}

static void read_part(struct setup *s, enum lrc_status wanted, size_t at)
{
    char                    key[LRC_HASH_HEX_MAX], path[PATH_BYTES];
    struct lrc_token_part   part;
    struct lrc_token_store *store;
    key_of(key, s);
    path_of(path, s, "part-00000.h5");
    cr_assert_eq(lrc_token_store_new(&store, VOCABULARY, &s->err), LRC_STATUS_OK);
    cr_assert_eq(lrc_token_cache__read_part(&part, store, path, key, &s->err), wanted, "byte %zu", at);
    if (wanted == LRC_STATUS_OK)
        lrc_token_part_release(&part);
    lrc_token_store_close(store);
}

static void expect_damage_found(struct setup *s, const char *name)
{
    struct lrc_buf     whole = { 0 };
    struct lrc_dataset read;
    char               path[PATH_BYTES];
    const int          is_index = strcmp(name, "index.h5") == 0;
    path_of(path, s, name);
    cr_assert_eq(lrc_file_read(&whole, path, &s->err), LRC_STATUS_OK);
    unsigned char *bytes = (unsigned char *)whole.data;
    for (size_t at = 0; at < whole.len; at += at < 700 ? 1 : 61) {
        bytes[at] ^= 0x10;
        rewrite(path, bytes, whole.len);
        bytes[at] ^= 0x10;
        if (is_index)
            read_index(s, &read, LRC_STATUS_FORMAT, at);
        else
            read_part(s, LRC_STATUS_FORMAT, at);
    }
    for (size_t n = 0; n < whole.len; n += n < 600 ? 37 : 211) {
        rewrite(path, bytes, n);
        if (is_index)
            read_index(s, &read, LRC_STATUS_FORMAT, n);
        else
            read_part(s, LRC_STATUS_FORMAT, n);
    }
    rewrite(path, bytes, 1000);
    lrc_buf_release(&whole);
}

Test(token_cache, damaged_files_are_named_and_made_anew)
{
    struct setup s;
    begin(&s, "cache-damage");
    cr_assert_eq(load(&s), LRC_STATUS_OK, "%s", s.err.message);
    expect_damage_found(&s, "index.h5");
    expect_rebuilt(&s);
    expect_damage_found(&s, "part-00000.h5");
    expect_rebuilt(&s);
    read_part(&s, LRC_STATUS_OK, 0);
    end(&s);
}

/* The tokens of a damaged part are not given out, whenever the damage comes. */
Test(token_cache, damage_under_an_open_store_is_an_error)
{
    struct setup   s;
    struct lrc_buf whole = { 0 };
    char           path[PATH_BYTES];
    int32_t        ids[16], targets[16];
    begin(&s, "cache-open");
    cr_assert_eq(load(&s), LRC_STATUS_OK, "%s", s.err.message);
    path_of(path, &s, "part-00000.h5");
    cr_assert_eq(lrc_file_read(&whole, path, &s.err), LRC_STATUS_OK);
    int64_t                       n_chunks;
    const struct lrc_token_chunk *chunk = lrc_token_store_chunks(s.dataset.store, &n_chunks);
    cr_assert_eq(n_chunks, 1);
    whole.data[chunk->offset + chunk->n_bytes / 2] ^= 1;
    rewrite(path, (const unsigned char *)whole.data, whole.len);
    cr_assert_eq(lrc_dataset_read(&s.dataset, &s.dataset.examples[0], ids, targets, &s.err),
                 LRC_STATUS_FORMAT);
    cr_expect(strstr(s.err.message, "that their SHA-256 names, got others"), "%s", s.err.message);
    struct lrc_batch_stream       *stream;
    const struct lrc_window       *window;
    const struct lrc_batch_options options = { .micro_batch_size = 2, .accumulation_steps = 1 };
    cr_assert_eq(lrc_batch_stream_new(&stream, &s.dataset, &options, &s.err), LRC_STATUS_OK);
    cr_assert_eq(lrc_batch_stream_get(stream, &window, 3, &s.err), LRC_STATUS_FORMAT);
    cr_expect(strstr(s.err.message, "remove its folder"), "%s", s.err.message);
    whole.data[chunk->offset + chunk->n_bytes / 2] ^= 1;
    rewrite(path, (const unsigned char *)whole.data, whole.len);
    cr_assert_eq(lrc_batch_stream_get(stream, &window, 3, &s.err), LRC_STATUS_OK, "tried again");
    cr_assert_eq(window->step, 3);
    lrc_batch_stream_free(stream);
    lrc_buf_release(&whole);
    end(&s);
}

static void expect_refused(struct setup *s, const char *want)
{
    char               path[PATH_BYTES], key[LRC_HASH_HEX_MAX];
    struct lrc_dataset read;
    key_of(key, s);
    path_of(path, s, "index.h5");
    cr_assert_eq(lrc_token_cache__write_index(path, key, &s->dataset, &s->err), LRC_STATUS_OK, "%s",
                 s->err.message);
    read_index(s, &read, LRC_STATUS_FORMAT, 0);
    cr_expect(strstr(s->err.message, want), "%s", s->err.message);
}

/* Whole by its seal, wrong by its content. */
Test(token_cache, sealed_nonsense_is_refused)
{
    struct setup s;
    begin(&s, "cache-nonsense");
    cr_assert_eq(load(&s), LRC_STATUS_OK, "%s", s.err.message);
    struct lrc_dataset *d = &s.dataset;
    struct lrc_example *last = &d->examples[d->n_examples - 1];
    d->examples[1].n_trained = d->examples[1].n_tokens;
    expect_refused(&s, "want fewer targets than tokens");
    d->examples[1].n_trained = -1;
    expect_refused(&s, "want fewer targets than tokens");
    d->examples[1].n_trained = d->examples[1].n_tokens - 1;
    d->examples[1].first++;
    expect_refused(&s, "want examples one after another");
    d->examples[1].first--;
    last->n_tokens += INT64_MAX / 2;
    expect_refused(&s, "want examples one after another");
    last->n_tokens -= INT64_MAX / 2;
    last->n_tokens--;
    last->n_trained--;
    expect_refused(&s, "want examples up to the last id");
    last->n_tokens++;
    last->n_trained++;
    d->examples[2].row_id = UINT32_MAX;
    expect_refused(&s, "want row numbers in order");
    d->examples[2].row_id = d->examples[1].row_id;
    last->row_id = (uint32_t)d->n_rows;
    expect_refused(&s, "want examples of its rows");
    end(&s);
}

/* The tokens say otherwise than the index. */
Test(token_cache, examples_that_the_tokens_contradict_are_refused)
{
    struct setup s;
    int32_t      ids[16], targets[16];
    begin(&s, "cache-contradiction");
    cr_assert_eq(load(&s), LRC_STATUS_OK, "%s", s.err.message);
    struct lrc_example example = s.dataset.examples[3];
    example.n_trained++;
    cr_assert_eq(lrc_dataset_read(&s.dataset, &example, ids, targets, &s.err), LRC_STATUS_FORMAT);
    example = s.dataset.examples[3];
    example.first = s.dataset.n_ids;
    cr_assert_eq(lrc_dataset_read(&s.dataset, &example, ids, targets, &s.err), LRC_STATUS_FORMAT);
    example.first = -1;
    cr_assert_eq(lrc_dataset_read(&s.dataset, &example, ids, targets, &s.err), LRC_STATUS_FORMAT);
    end(&s);
}

Test(token_cache, folder_that_cannot_be_written_is_told)
{
    struct setup s;
    begin(&s, "cache-folder");
    s.cache.dir = s.rows; /* a file */
    cr_expect_eq(load(&s), LRC_STATUS_IO);
    cr_expect_null(s.dataset.examples);
    s.cache.write = LRC_CACHE_WRITE_TRY;
    cr_expect_eq(load(&s), LRC_STATUS_OK, "%s", s.err.message);
    cr_expect(strstr(warned, "; going on without"), "%s", warned);
    expect_direct(&s);
    s.cache.dir = s.dir;
    s.cache.write = LRC_CACHE_WRITE_NEVER;
    cr_expect_eq(load(&s), LRC_STATUS_OK, "%s", s.err.message);
    cr_expect(!lrc_path_exists(s.dir));
    cr_expect_null(s.dataset.ids, "counts only");
    cr_expect_gt(s.dataset.n_tokens, 0);
    end(&s);
}

/* ---- larger than what is held in memory ---- */

/* Rows of 0 to 1600 tokens, several parts and many times the chunks that stay in memory are not needed: the
 * batches must be the same whatever stays. */
static void write_many(const char *path, int n_rows)
{
    struct lrc_buf   text = { 0 };
    struct lrc_error err;
    uint32_t         x = 12345;
    for (int r = 0; r < n_rows; r++) {
        lrc_buf_puts(&text, "{\"input_ids\": [1");
        x = x * 1664525u + 1013904223u;
        for (uint32_t i = 0, n = (x >> 16) % 1600; i < n; i++) {
            lrc_buf_printf(&text, ",%u", (x >> 8 ^ i * 7919u) % VOCABULARY);
        }
        lrc_buf_puts(&text, "]}\n");
    }
    cr_assert_eq(lrc_file_write(path, text.data, text.len, &err), LRC_STATUS_OK, "%s", err.message);
    lrc_buf_release(&text);
}

static void same_bytes(const void *a, const void *b, int64_t n, size_t elem_bytes)
{
    cr_assert_eq(memcmp(a, b, (size_t)n * elem_bytes), 0);
}

static void same_windows(const struct lrc_window *a, const struct lrc_window *b)
{
    cr_assert(a->n_batches == b->n_batches && a->n_trained == b->n_trained && a->n_tokens == b->n_tokens);
    for (int64_t i = 0; i < a->n_batches; i++) {
        const struct lrc_batch *x = &a->batches[i], *y = &b->batches[i];
        cr_assert(x->n_tokens == y->n_tokens && x->n_docs == y->n_docs && x->n_trained == y->n_trained);
        same_bytes(x->tokens, y->tokens, x->n_tokens, 4);
        same_bytes(x->targets, y->targets, x->n_tokens, 4);
        same_bytes(x->positions, y->positions, x->n_tokens, 4);
        same_bytes(x->row_ids, y->row_ids, x->n_tokens, 4);
        same_bytes(x->doc_rows, y->doc_rows, x->n_docs, 4);
        same_bytes(x->doc_offsets, y->doc_offsets, x->n_docs + 1, 4);
        same_bytes(x->trained_index, y->trained_index, x->n_trained, 4);
        same_bytes(x->trained_target, y->trained_target, x->n_trained, 4);
    }
}

static void same_epochs(const struct lrc_dataset *a, const struct lrc_dataset *b,
                        const struct lrc_batch_options *options)
{
    struct lrc_error         err;
    struct lrc_batch_stream *streams[2];
    cr_assert_eq(lrc_batch_stream_new(&streams[0], a, options, &err), LRC_STATUS_OK);
    cr_assert_eq(lrc_batch_stream_new(&streams[1], b, options, &err), LRC_STATUS_OK);
    const int64_t n = lrc_batch_stream_steps_per_epoch(streams[0]);
    cr_assert_eq(n, lrc_batch_stream_steps_per_epoch(streams[1]));
    for (int64_t step = 0; step < n + n / 2; step++) {
        const struct lrc_window *windows[2];
        for (int i = 0; i < 2; i++)
            cr_assert_eq(lrc_batch_stream_get(streams[i], &windows[i], step, &err), LRC_STATUS_OK, "%s",
                         err.message);
        same_windows(windows[0], windows[1]);
    }
    const struct lrc_window *windows[2]; /* as after a resume */
    for (int i = 0; i < 2; i++)
        cr_assert_eq(lrc_batch_stream_get(streams[i], &windows[i], 2 * n + 1, &err), LRC_STATUS_OK);
    same_windows(windows[0], windows[1]);
    lrc_batch_stream_free(streams[0]);
    lrc_batch_stream_free(streams[1]);
}

Test(token_cache, batches_from_the_disk_are_those_from_memory)
{
    struct setup       s;
    struct lrc_dataset direct;
    begin(&s, "cache-batches");
    write_many(s.rows, 6000);
    s.options.sequence_len = 1000;
    s.options.excess = LRC_EXCESS_SPLIT;
    cr_assert_eq(load(&s), LRC_STATUS_OK, "%s", s.err.message);
    cr_assert_eq(load(&s), LRC_STATUS_OK, "%s", s.err.message);
    int64_t n_parts;
    (void)lrc_token_store_parts(s.dataset.store, &n_parts);
    cr_assert_geq(n_parts, 2, "the test needs several parts");
    cr_assert_eq(lrc_dataset_load(&direct, &s.spec, 1, &s.options, &s.problems, &s.err), LRC_STATUS_OK);
    expect_same(&direct, &s.dataset);
    const struct lrc_batch_options options[] = {
        { .micro_batch_size = 7, .accumulation_steps = 3, .shuffle = 1, .seed = 5 },
        { .micro_batch_size = 7, .accumulation_steps = 3 },
        { .micro_batch_size = 4, .accumulation_steps = 2, .shuffle = 1, .seed = 5, .group_by_length = 1 },
        { .micro_batch_size = 2,
          .accumulation_steps = 4,
          .shuffle = 1,
          .seed = 5,
          .pack_tokens = 1000,
          .longest_first = 1 },
    };
    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        same_epochs(&direct, &s.dataset, &options[i]);
    struct lrc_dataset held[2];
    cr_assert_eq(lrc_dataset_split(&direct, &held[0], 0.1, 1, 3, &s.err), LRC_STATUS_OK);
    cr_assert_eq(lrc_dataset_split(&s.dataset, &held[1], 0.1, 1, 3, &s.err), LRC_STATUS_OK);
    same_epochs(&held[0], &held[1], &options[1]);
    same_epochs(&direct, &s.dataset, &options[0]);
    lrc_dataset_release(&held[0]);
    lrc_dataset_release(&held[1]);
    lrc_dataset_release(&direct);
    end(&s);
}

static volatile sig_atomic_t stop_flag;

static void stop_after(const struct lrc_load_progress *progress)
{
    if (progress->n_rows >= 2000)
        stop_flag = SIGTERM;
}

Test(token_cache, an_interrupted_writer_is_gone_on_with)
{
    struct setup s;
    begin(&s, "cache-interrupted");
    write_many(s.rows, 6000);
    s.options.sequence_len = 1000;
    s.options.excess = LRC_EXCESS_SPLIT;
    s.options.drop_duplicates = 1;
    s.options.stop = &stop_flag;
    s.options.progress = stop_after;
    cr_assert_eq(load(&s), LRC_STATUS_TERMINATED);
    cr_expect(strstr(s.err.message, "rows; the next run goes on from there"), "%s", s.err.message);
    stop_flag = 0;
    s.options.progress = NULL;
    told[0] = '\0';
    cr_assert_eq(load(&s), LRC_STATUS_OK, "%s", s.err.message);
    cr_expect(strstr(told_all, "going on after "), "%s", told_all);
    s.options.stop = NULL;
    expect_direct(&s);
    end(&s);
}

/* What kill -9 leaves: whole parts, half a file aside, no index. */
Test(token_cache, what_a_killed_writer_left_is_used)
{
    struct setup s;
    char         index[PATH_BYTES], aside[PATH_BYTES], second[PATH_BYTES];
    begin(&s, "cache-killed");
    write_many(s.rows, 9000);
    s.options.sequence_len = 1600;
    const pid_t child = fork();
    if (child == 0) {
        (void)load(&s);
        _exit(0);
    }
    path_of(second, &s, "part-00001.h5");
    path_of(index, &s, "index.h5");
    path_of(aside, &s, "part-00002.h5.tmp");
    for (int i = 0; i < 60000 && !lrc_path_exists(second); i++)
        usleep(1000);
    cr_assert_eq(kill(child, SIGKILL), 0);
    cr_assert_eq(waitpid(child, NULL, 0), child);
    cr_assert(lrc_path_exists(second));
    (void)unlink(index); /* had it been quicker than we */
    rewrite(aside, (const unsigned char *)"half", 4);
    cr_assert_eq(load(&s), LRC_STATUS_OK, "%s", s.err.message);
    cr_expect(strstr(told_all, "going on after "), "%s", told_all);
    cr_expect(!lrc_path_exists(aside), "written over or never needed");
    expect_direct(&s);
    end(&s);
}

/* A seal that is right on a part of other rows: everything is made anew. */
Test(token_cache, parts_that_do_not_fit_the_files_are_made_anew)
{
    struct setup            s;
    char                    key[LRC_HASH_HEX_MAX], index[PATH_BYTES], path[PATH_BYTES];
    struct lrc_token_part   part;
    struct lrc_token_store *store;
    begin(&s, "cache-misfit");
    cr_assert_eq(load(&s), LRC_STATUS_OK, "%s", s.err.message);
    key_of(key, &s);
    path_of(index, &s, "index.h5");
    path_of(path, &s, "part-00000.h5");
    cr_assert_eq(lrc_token_store_new(&store, VOCABULARY, &s.err), LRC_STATUS_OK);
    cr_assert_eq(lrc_token_cache__read_part(&part, store, path, key, &s.err), LRC_STATUS_OK);
    part.rows[5].line++;
    cr_assert_eq(lrc_token_cache__write_part(path, key, &part, &s.err), LRC_STATUS_OK);
    cr_assert_eq(unlink(index), 0);
    expect_rebuilt(&s);
    part.rows[5].line--;
    part.examples[2].n_trained++; /* found after the part's places were noted */
    cr_assert_eq(lrc_token_cache__write_part(path, key, &part, &s.err), LRC_STATUS_OK);
    cr_assert_eq(unlink(index), 0);
    expect_rebuilt(&s);
    part.examples[2].n_trained--;
    part.rows[5].file = 7;
    cr_assert_eq(lrc_token_cache__write_part(path, key, &part, &s.err), LRC_STATUS_OK);
    cr_assert_eq(unlink(index), 0);
    expect_rebuilt(&s);
    lrc_token_part_release(&part);
    lrc_token_store_close(store);
    end(&s);
}

/* Making and then reading, with every allocation of ours failing in its turn. */
Test(token_cache, out_of_memory_fault)
{
    struct setup s;
    begin(&s, "cache-memory");
    int n_refused = 0;
    for (int64_t n = 0; n < 120; n++) {
        struct lrc_problems problems = { 0 };
        enum lrc_status     status = LRC_STATUS_OK;
        cr_assert_eq(lrc_dir_remove(s.dir, &s.err), LRC_STATUS_OK);
        test_alloc_fail_at(n);
        for (int round = 0; round < 2 && status == LRC_STATUS_OK; round++) {
            status = lrc_dataset_load_cached(&s.dataset, &s.list, &s.options, &s.cache, &problems, &s.err);
            lrc_dataset_release(&s.dataset);
        }
        lrc_problems_release(&problems);
        const int64_t live = test_alloc_live();
        test_alloc_restore();
        cr_assert_eq(live, 0, "allocation %lld leaks", (long long)n);
        cr_assert(status == LRC_STATUS_OK || status == LRC_STATUS_NOMEM, "%lld: %s", (long long)n,
                  s.err.message);
        n_refused += status == LRC_STATUS_NOMEM;
    }
    cr_assert_gt(n_refused, 30);
    end(&s);
}

/* ---- memory ---- */

static int64_t peak_bytes(void)
{
    char  line[256];
    long  kib = 0;
    FILE *file = fopen("/proc/self/status", "r");
    cr_assert(file);
    while (fgets(line, sizeof line, file))
        if (sscanf(line, "VmHWM: %ld kB", &kib) == 1)
            break;
    (void)fclose(file);
    return 1024 * (int64_t)kib;
}

/* Every row once, in a shuffled order. */
static int64_t read_epoch(const struct lrc_dataset *dataset)
{
    struct lrc_error               err;
    struct lrc_batch_stream       *stream;
    const struct lrc_window       *window;
    int64_t                        n_tokens = 0;
    const struct lrc_batch_options options = {
        .micro_batch_size = 4, .accumulation_steps = 2, .shuffle = 1, .seed = 3
    };
    if (lrc_batch_stream_new(&stream, dataset, &options, &err) != LRC_STATUS_OK)
        return -1;
    for (int64_t step = 0; step < lrc_batch_stream_steps_per_epoch(stream); step++)
        n_tokens += lrc_batch_stream_get(stream, &window, step, &err) == LRC_STATUS_OK ? window->n_tokens : 0;
    lrc_batch_stream_free(stream);
    return n_tokens;
}

/* 28 M tokens, 224 MB as they would lie in memory: two parts' buffers, the window of the file and the store
 * stay below 144 MB whatever the number of tokens. */
Test(token_cache, memory_does_not_grow_with_the_tokens)
{
    enum { ROWS = 14000, ROW_TOKENS = 2000, BOUND_BYTES = 144 << 20 };
#ifdef __SANITIZE_ADDRESS__
    cr_skip_test("memory is not measured under a sanitizer");
#endif
    struct setup s;
    begin(&s, "cache-bounded");
    FILE *file = fopen(s.rows, "w");
    cr_assert(file);
    for (int r = 0; r < ROWS; r++) {
        (void)fputs("{\"input_ids\":[1", file);
        for (int i = 1; i < ROW_TOKENS; i++)
            (void)fprintf(file, ",%d", (int)((uint32_t)(r * 7919 + i) * 2654435761u >> 16) % VOCABULARY);
        (void)fputs("]}\n", file);
    }
    cr_assert_eq(fclose(file), 0);
    s.options.sequence_len = ROW_TOKENS;
    const pid_t child = fork(); /* its peak is its own */
    if (child == 0) {
        const int64_t before = peak_bytes();
        const int     made = load(&s) == LRC_STATUS_OK && s.dataset.n_ids == (int64_t)ROWS * ROW_TOKENS;
        const int     is_read = made && read_epoch(&s.dataset) == s.dataset.n_ids;
        const int64_t grown = peak_bytes() - before;
        (void)fprintf(stderr, "memory: %lld MB for %lld MB of tokens\n", (long long)grown >> 20,
                      (long long)s.dataset.n_ids * 8 >> 20);
        _exit(!is_read ? 1 : grown < BOUND_BYTES ? 0 : 2);
    }
    int state;
    cr_assert_eq(waitpid(child, &state, 0), child);
    cr_assert(WIFEXITED(state));
    cr_expect_eq(WEXITSTATUS(state), 0, "%d", WEXITSTATUS(state));
    cr_assert_eq(lrc_dir_remove(s.cache.model_dir, &s.err), LRC_STATUS_OK);
    end(&s);
}
