#include "base/alloc.h"
#include "base/file.h"
#include "base/log.h"
#include "data/token_cache.h"
#include "support.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { N_ROWS = 60, VOCABULARY = 100 };

/* Rows in a file, the cache's folder beside it. */
struct setup {
    char rows[1200], dir[1200];
    struct lrc_dataset_spec spec;
    struct lrc_dataset_list list;
    struct lrc_dataset_options options;
    struct lrc_token_cache cache;
    struct lrc_dataset dataset;
    struct lrc_problems problems;
    struct lrc_error err;
};

static char warned[2048], told[2048];

static void keep_line(enum lrc_log_level level, const char *line)
{
    char *kept = level == LRC_LOG_WARN ? warned : told;
    (void)snprintf(kept, sizeof warned, "%s", line);
}

static void write_rows(const char *path, int first)
{
    struct lrc_buf text = {0};
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
    *s = (struct setup){0};
    (void)snprintf(s->rows, sizeof s->rows, "%s/rows.jsonl", folder);
    (void)snprintf(s->dir, sizeof s->dir, "%s/cache", folder);
    write_rows(s->rows, 3);
    s->spec = (struct lrc_dataset_spec){.path = s->rows, .type = "tokenized"};
    s->list = (struct lrc_dataset_list){&s->spec, 1};
    s->options = (struct lrc_dataset_options){
        .sequence_len = 7, .max_lost_rows_fraction = 1, .vocab_size = VOCABULARY};
    s->cache = (struct lrc_token_cache){.dir = s->dir, .model_dir = folder, .write = LRC_CACHE_WRITE_MUST};
    warned[0] = told[0] = '\0';
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
    cr_assert_eq(lrc_token_cache__key(key, &s->list, &s->options, s->cache.model_dir, &s->err), LRC_STATUS_OK,
                 "%s", s->err.message);
}

static void path_of(char path[1400], struct setup *s)
{
    char key[LRC_HASH_HEX_MAX];
    key_of(key, s);
    (void)snprintf(path, 1400, "%s/%s.h5", s->dir, key);
}

static void expect_same(const struct lrc_dataset *a, const struct lrc_dataset *b)
{
    cr_assert_eq(a->n_ids, b->n_ids);
    cr_assert_eq(a->n_examples, b->n_examples);
    cr_assert_eq(memcmp(a->ids, b->ids, (size_t)a->n_ids * 4), 0);
    cr_assert_eq(memcmp(a->targets, b->targets, (size_t)a->n_ids * 4), 0);
    for (int64_t i = 0; i < a->n_examples; i++) {
        cr_assert_eq(a->examples[i].first, b->examples[i].first);
        cr_assert_eq(a->examples[i].n_tokens, b->examples[i].n_tokens);
        cr_assert_eq(a->examples[i].n_trained, b->examples[i].n_trained);
        cr_assert_eq(a->examples[i].row_id, b->examples[i].row_id);
    }
    cr_assert_eq(memcmp(a->tally, b->tally, sizeof a->tally), 0);
    cr_assert(a->longest == b->longest && a->n_rows == b->n_rows && a->n_tokens == b->n_tokens &&
              a->n_trained == b->n_trained);
    cr_assert_str_eq(a->hash, b->hash);
    cr_assert_eq(memcmp(a->rows, b->rows, (size_t)a->n_rows * sizeof *a->rows), 0);
    cr_assert_eq(a->n_files, b->n_files);
    for (int64_t i = 0; i < a->n_files; i++)
        cr_assert_str_eq(a->files[i], b->files[i]);
}

static void expect_direct(struct setup *s)
{
    struct lrc_dataset direct;
    cr_assert_eq(lrc_dataset_load(&direct, &s->spec, 1, &s->options, &s->problems, &s->err), LRC_STATUS_OK);
    expect_same(&direct, &s->dataset);
    lrc_dataset_release(&direct);
}

Test(token_cache, second_load_reads_the_same_dataset)
{
    struct setup s;
    char path[1400];
    begin(&s, "cache-same");
    cr_assert_eq(load(&s), LRC_STATUS_OK, "%s", s.err.message);
    expect_direct(&s);
    path_of(path, &s);
    cr_assert(lrc_path_exists(path));
    cr_assert_gt(s.dataset.tally[LRC_ROW_TOO_LONG], 0, "the test needs dropped rows");
    cr_assert_eq(load(&s), LRC_STATUS_OK, "%s", s.err.message);
    cr_assert(strncmp(told, "tokens from cache ", 18) == 0, "%s", told);
    expect_direct(&s);
    cr_assert_str_eq(warned, "");
    end(&s);
}

Test(token_cache, whatever_changes_tokens_changes_the_key)
{
    struct setup s;
    char keys[8][LRC_HASH_HEX_MAX], moved[1400], again[LRC_HASH_HEX_MAX];
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

static void rewrite(const char *path, const unsigned char *bytes, size_t n)
{
    struct lrc_error err;
    cr_assert_eq(lrc_file_write(path, bytes, n, &err), LRC_STATUS_OK, "%s", err.message);
}

static void expect_rebuilt(struct setup *s)
{
    warned[0] = '\0';
    cr_assert_eq(load(s), LRC_STATUS_OK, "%s", s->err.message);
    cr_expect(strstr(warned, "it is made anew"), "%s", warned);
    expect_direct(s);
    cr_assert_eq(load(s), LRC_STATUS_OK, "%s", s->err.message);
    cr_expect(strstr(told, "tokens from cache"), "%s", told);
}

Test(token_cache, damaged_files_are_named_and_made_anew)
{
    struct setup s;
    char path[1400];
    struct lrc_buf whole = {0};
    begin(&s, "cache-damage");
    cr_assert_eq(load(&s), LRC_STATUS_OK, "%s", s.err.message);
    path_of(path, &s);
    cr_assert_eq(lrc_file_read(&whole, path, &s.err), LRC_STATUS_OK);
    unsigned char *bytes = (unsigned char *)whole.data;
    char key[LRC_HASH_HEX_MAX];
    key_of(key, &s);
    for (size_t at = 0; at < whole.len; at += at < 700 ? 1 : 61) {
        struct lrc_dataset read;
        bytes[at] ^= 0x10;
        rewrite(path, bytes, whole.len);
        bytes[at] ^= 0x10;
        cr_assert_eq(lrc_token_cache__read(&read, path, key, VOCABULARY, &s.err), LRC_STATUS_FORMAT,
                     "byte %zu", at);
        cr_assert_null(read.ids);
    }
    expect_rebuilt(&s);
    for (size_t n = 0; n < whole.len; n += n < 600 ? 37 : 211) {
        struct lrc_dataset read;
        rewrite(path, bytes, n);
        cr_assert_eq(lrc_token_cache__read(&read, path, key, VOCABULARY, &s.err), LRC_STATUS_FORMAT,
                     "%zu bytes", n);
    }
    expect_rebuilt(&s);
    lrc_buf_release(&whole);
    end(&s);
}

static void expect_refused(struct setup *s, const char *path, const char *key, const char *want)
{
    struct lrc_dataset read;
    cr_assert_eq(lrc_token_cache__write(&s->dataset, path, key, &s->err), LRC_STATUS_OK, "%s",
                 s->err.message);
    cr_assert_eq(lrc_token_cache__read(&read, path, key, VOCABULARY, &s->err), LRC_STATUS_FORMAT);
    cr_expect(strstr(s->err.message, want), "%s", s->err.message);
}

/* Whole by its seal, wrong by its content. */
Test(token_cache, sealed_nonsense_is_refused)
{
    struct setup s;
    char path[1400], key[LRC_HASH_HEX_MAX];
    begin(&s, "cache-nonsense");
    cr_assert_eq(load(&s), LRC_STATUS_OK, "%s", s.err.message);
    path_of(path, &s);
    key_of(key, &s);
    struct lrc_dataset *d = &s.dataset;
    d->ids[0] = VOCABULARY;
    expect_refused(&s, path, key, "want ids within the vocabulary");
    d->ids[0] = -1;
    expect_refused(&s, path, key, "want ids within the vocabulary");
    d->ids[0] = 1;
    d->targets[0]++;
    expect_refused(&s, path, key, "want targets that are the next ids");
    d->targets[0] -= 1;
    d->examples[1].n_trained++;
    expect_refused(&s, path, key, "want as many targets");
    d->examples[1].n_trained--;
    d->examples[1].first++;
    expect_refused(&s, path, key, "want examples one after another");
    d->examples[1].first--;
    d->examples[d->n_examples - 1].n_tokens += INT64_MAX / 2;
    expect_refused(&s, path, key, "want examples one after another");
    d->examples[d->n_examples - 1].n_tokens -= INT64_MAX / 2;
    d->examples[2].row_id = UINT32_MAX;
    expect_refused(&s, path, key, "want row numbers in order");
    key[0] ^= 1;
    struct lrc_dataset read;
    cr_assert_eq(lrc_token_cache__read(&read, path, key, VOCABULARY, &s.err), LRC_STATUS_FORMAT);
    cr_expect(strstr(s.err.message, "want the key in its name"), "%s", s.err.message);
    end(&s);
}

Test(token_cache, what_a_killed_writer_left_is_removed)
{
    struct setup s;
    char path[1400], dead[1500], living[1500];
    begin(&s, "cache-killed");
    const pid_t child = fork();
    if (child == 0)
        _exit(0);
    cr_assert_eq(waitpid(child, NULL, 0), child);
    path_of(path, &s);
    (void)snprintf(dead, sizeof dead, "%s.%ld.tmp", path, (long)child);
    (void)snprintf(living, sizeof living, "%s.%ld.tmp", path, (long)getppid());
    cr_assert_eq(lrc_dir_make(s.dir, &s.err), LRC_STATUS_OK);
    rewrite(dead, (const unsigned char *)"x", 1);
    rewrite(living, (const unsigned char *)"x", 1);
    cr_assert_eq(load(&s), LRC_STATUS_OK, "%s", s.err.message);
    cr_expect(!lrc_path_exists(dead));
    cr_expect(lrc_path_exists(living));
    cr_expect(lrc_path_exists(path));
    end(&s);
}

Test(token_cache, folder_that_cannot_be_written_is_told)
{
    struct setup s;
    begin(&s, "cache-folder");
    s.cache.dir = s.rows; /* a file */
    cr_expect_eq(load(&s), LRC_STATUS_IO);
    cr_expect_null(s.dataset.ids);
    s.cache.write = LRC_CACHE_WRITE_TRY;
    cr_expect_eq(load(&s), LRC_STATUS_OK, "%s", s.err.message);
    cr_expect(strstr(warned, "; going on without"), "%s", warned);
    expect_direct(&s);
    s.cache.dir = s.dir;
    s.cache.write = LRC_CACHE_WRITE_NEVER;
    cr_expect_eq(load(&s), LRC_STATUS_OK, "%s", s.err.message);
    cr_expect(!lrc_path_exists(s.dir));
    end(&s);
}

/* Writing and then reading, with every allocation of ours failing in its turn. */
Test(token_cache, out_of_memory_fault)
{
    struct setup s;
    char path[1400], key[LRC_HASH_HEX_MAX];
    begin(&s, "cache-memory");
    cr_assert_eq(load(&s), LRC_STATUS_OK, "%s", s.err.message);
    path_of(path, &s);
    key_of(key, &s);
    int n_refused = 0;
    for (int64_t n = 0; n < 40; n++) {
        struct lrc_dataset read = {0};
        test_alloc_fail_at(n);
        enum lrc_status status = lrc_token_cache__write(&s.dataset, path, key, &s.err);
        if (status == LRC_STATUS_OK)
            status = lrc_token_cache__read(&read, path, key, VOCABULARY, &s.err);
        lrc_dataset_release(&read);
        const int64_t live = test_alloc_live();
        test_alloc_restore();
        cr_assert_eq(live, 0, "allocation %lld leaks", (long long)n);
        cr_assert(status == LRC_STATUS_OK || status == LRC_STATUS_NOMEM, "%s", s.err.message);
        n_refused += status == LRC_STATUS_NOMEM;
    }
    cr_assert_gt(n_refused, 8);
    end(&s);
}
