/* Which rows of which dataset: split and weight. */
#include "base/alloc.h"
#include "base/file.h"
#include "data/batch.h"
#include "data/dataset.h"
#include "support.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

enum { N_SPECS = 2, N_ROWS = 20 };

struct setup {
    char                       paths[N_SPECS][1200];
    struct lrc_dataset_spec    specs[N_SPECS];
    struct lrc_dataset_options options;
    struct lrc_dataset         dataset;
    struct lrc_problems        problems;
    struct lrc_error           err;
};

/* Rows of file f: [50 f + r, 50 f + r, 99]. */
static void begin(struct setup *s, const char *name)
{
    const char *folder = test_folder(name);
    *s = (struct setup){ .options = { .sequence_len = 2,
                                      .max_lost_rows_fraction = 1,
                                      .vocab_size = 100,
                                      .excess = LRC_EXCESS_SPLIT } };
    for (int f = 0; f < N_SPECS; f++) {
        struct lrc_buf text = { 0 };
        for (int r = 0; r < N_ROWS; r++)
            lrc_buf_printf(&text, "{\"input_ids\": [%d, %d%s]}\n", 1 + 40 * f + r, 1 + 40 * f + r,
                           r == 3 ? ", 99, 98" : "");
        (void)snprintf(s->paths[f], sizeof s->paths[f], "%s/%d.jsonl", folder, f);
        cr_assert_eq(lrc_file_write(s->paths[f], text.data, text.len, &s->err), LRC_STATUS_OK);
        s->specs[f] = (struct lrc_dataset_spec){ .path = s->paths[f] };
        lrc_buf_release(&text);
    }
}

static void load(struct setup *s)
{
    lrc_dataset_release(&s->dataset);
    cr_assert_eq(lrc_dataset_load(&s->dataset, s->specs, N_SPECS, &s->options, &s->problems, &s->err),
                 LRC_STATUS_OK, "%s", s->err.message);
}

static void end(struct setup *s)
{
    lrc_dataset_release(&s->dataset);
    lrc_problems_release(&s->problems);
}

static int64_t rows_kept(const struct setup *s, int spec, int64_t *first)
{
    int64_t n = 0;
    for (int64_t r = 0; r < s->dataset.n_rows; r++)
        if (s->dataset.rows[r].n_examples > 0 && s->dataset.file_specs[s->dataset.rows[r].file] == spec) {
            *first = n == 0 ? r % N_ROWS : *first;
            n++;
        }
    return n;
}

Test(data_mix, split_takes_rows_as_hugging_face_does)
{
    static const struct {
        const char *split;
        int64_t     first, n;
    } cases[] = {
        { "train", 0, 20 },        { "train[:10%]", 0, 2 },   { "train[90%:]", 18, 2 },
        { "train[-10%:]", 18, 2 }, { "train[:13%]", 0, 3 },   { "train[12%:13%]", 2, 1 },
        { "train[5:]", 5, 15 },    { "train[5:7]", 5, 2 },    { "train[:-5]", 0, 15 },
        { "train[-5:]", 15, 5 },   { "train[:1000]", 0, 20 }, { "train[:]", 0, 20 },
        { "train[50%:10]", 0, 0 }, { "train[7:5]", 0, 0 },
    };
    struct setup s;
    begin(&s, "mix-split");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t first = 0;
        s.specs[0].split = cases[i].split;
        load(&s);
        cr_expect_eq(rows_kept(&s, 0, &first), cases[i].n, "%s", cases[i].split);
        cr_expect_eq(first, cases[i].first, "%s", cases[i].split);
        cr_expect_eq(rows_kept(&s, 1, &first), N_ROWS);
        cr_expect_eq(s.dataset.tally[LRC_ROW_NOT_IN_SPLIT], N_ROWS - cases[i].n, "%s", cases[i].split);
        cr_expect_eq(s.dataset.n_rows, 2 * N_ROWS, "every row is in the ledger");
    }
    end(&s);
}

Test(data_mix, splits_that_are_none)
{
    static const char *const bad[] = { "test",         "train[",    "train[]",    "train[5]",
                                       "train[:101%]", "train[a:]", "train[:5] ", "train[:99999999999999]",
                                       "train[-:]",    "",          "train[::2]" };
    struct lrc_dataset_slice slice;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_expect_not(lrc_dataset_slice_read(&slice, bad[i]), "%s", bad[i]);
}

Test(data_mix, rows_outside_a_split_are_not_read)
{
    struct setup      s;
    static const char rows[] = "{\"input_ids\": [1, 2]}\nnot JSON at all\n";
    begin(&s, "mix-unread");
    cr_assert_eq(lrc_file_write(s.paths[0], rows, sizeof rows - 1, &s.err), LRC_STATUS_OK);
    s.specs[0].split = "train[:1]";
    load(&s);
    cr_expect_eq(s.problems.count, 0);
    end(&s);
}

static void weigh(struct setup *s, const char *first, const char *second, uint64_t seed)
{
    load(s);
    s->specs[0].weight = first;
    s->specs[1].weight = second;
    cr_assert_eq(lrc_dataset_weigh(&s->dataset, s->specs, N_SPECS, seed, &s->err), LRC_STATUS_OK, "%s",
                 s->err.message);
}

/* Examples of a spec; a row of two examples brings both or none. */
static int64_t examples_of(const struct setup *s, int spec)
{
    int64_t n = 0;
    for (int64_t i = 0; i < s->dataset.n_examples; i++)
        n += s->dataset.file_specs[s->dataset.rows[s->dataset.examples[i].row_id].file] == spec;
    return n;
}

static void check_ids_are_distinct(const struct lrc_dataset *dataset)
{
    for (int64_t i = 0; i < dataset->n_examples; i++) {
        cr_assert_neq(dataset->examples[i].id, UINT32_MAX, "the filler's");
        for (int64_t k = 0; k < i; k++)
            cr_assert_neq(dataset->examples[i].id, dataset->examples[k].id, "%lld and %lld", (long long)i,
                          (long long)k);
    }
}

Test(data_mix, weights_copy_rows_and_draw_them)
{
    struct setup s;
    begin(&s, "mix-weight");
    weigh(&s, "2.5", "0.25", 7);
    int64_t copies[2 * N_ROWS] = { 0 };
    for (int64_t i = 0; i < s.dataset.n_examples; i++)
        copies[s.dataset.examples[i].row_id]++;
    int64_t thrice = 0, drawn = 0;
    for (int r = 0; r < N_ROWS; r++) {
        const int64_t pieces = r == 3 ? 2 : 1, n = copies[r] / pieces, m = copies[N_ROWS + r] / pieces;
        cr_expect_eq(copies[r] % pieces + copies[N_ROWS + r] % pieces, 0);
        cr_expect(n == 2 || n == 3);
        cr_expect(m == 0 || m == 1);
        thrice += n == 3;
        drawn += m;
        cr_expect_eq(s.dataset.rows[r].n_examples, copies[r]);
        cr_expect_eq(s.dataset.rows[r].n_kept, 2 * copies[r]);
        cr_expect_eq(s.dataset.rows[N_ROWS + r].fate == LRC_ROW_NOT_DRAWN, m == 0);
    }
    cr_expect_eq(thrice, N_ROWS / 2);
    cr_expect_eq(drawn, N_ROWS / 4);
    cr_expect_eq(s.dataset.tally[LRC_ROW_NOT_DRAWN], N_ROWS - N_ROWS / 4);
    cr_expect_eq(s.dataset.n_tokens, 2 * s.dataset.n_examples);
    check_ids_are_distinct(&s.dataset);
    end(&s);
}

Test(data_mix, draws_follow_the_seed)
{
    struct setup a, b, c;
    begin(&a, "mix-seed");
    begin(&b, "mix-seed");
    begin(&c, "mix-seed");
    weigh(&a, "0.5", NULL, 7);
    weigh(&b, "0.5", NULL, 7);
    weigh(&c, "0.5", NULL, 8);
    const size_t bytes = (size_t)a.dataset.n_examples * sizeof *a.dataset.examples;
    cr_assert_eq(a.dataset.n_examples, b.dataset.n_examples);
    cr_expect_eq(memcmp(a.dataset.examples, b.dataset.examples, bytes), 0);
    cr_expect(a.dataset.n_examples != c.dataset.n_examples ||
              memcmp(a.dataset.examples, c.dataset.examples, bytes) != 0);
    cr_expect_eq(examples_of(&a, 1), N_ROWS + 1, "weight 1 is as it was");
    end(&a);
    end(&b);
    end(&c);
}

Test(data_mix, weights_leave_held_out_rows_alone)
{
    struct setup       s;
    struct lrc_dataset held_out;
    begin(&s, "mix-held");
    load(&s);
    cr_assert_eq(lrc_dataset_split(&s.dataset, &held_out, 0.2, 1, 3, &s.err), LRC_STATUS_OK);
    s.specs[0].weight = "3";
    cr_assert_eq(lrc_dataset_weigh(&s.dataset, s.specs, N_SPECS, 3, &s.err), LRC_STATUS_OK);
    for (int64_t h = 0; h < held_out.n_examples; h++)
        for (int64_t i = 0; i < s.dataset.n_examples; i++)
            cr_assert_neq(s.dataset.examples[i].row_id, held_out.examples[h].row_id);
    lrc_dataset_release(&held_out);
    end(&s);
}

Test(data_mix, weights_that_are_none)
{
    static const char *const bad[] = { "0", "-1", "x", "", "nan", "1001", "1x", "inf" };
    struct setup             s;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_expect_eq(lrc_dataset_weight_read(bad[i]), 0, "%s", bad[i]);
    begin(&s, "mix-none");
    load(&s);
    s.specs[0].weight = s.specs[1].weight = "0.001";
    cr_expect_eq(lrc_dataset_weigh(&s.dataset, s.specs, N_SPECS, 3, &s.err), LRC_STATUS_CONFIG);
    cr_expect(strstr(s.err.message, "want weights that leave a row"), "%s", s.err.message);
    end(&s);
}

/* Dropout is keyed by the id: pieces of one row must not share one. */
Test(data_mix, pieces_of_a_row_have_ids_of_their_own)
{
    struct setup s;
    begin(&s, "mix-ids");
    load(&s);
    check_ids_are_distinct(&s.dataset);
    cr_expect_eq(s.dataset.n_further, 2);
    struct lrc_batch_stream       *stream;
    const struct lrc_window       *window;
    const struct lrc_batch_options options = { .micro_batch_size = 5, .accumulation_steps = 1 };
    cr_assert_eq(lrc_batch_stream_new(&stream, &s.dataset, &options, &s.err), LRC_STATUS_OK);
    cr_assert_eq(lrc_batch_stream_get(stream, &window, 0, &s.err), LRC_STATUS_OK);
    const struct lrc_batch *batch = window->batches;
    cr_expect_eq(batch->doc_rows[3], 3u);
    cr_expect_eq(batch->doc_rows[4], 3u);
    cr_expect_eq(batch->row_ids[batch->doc_offsets[3]], 3u);
    cr_expect_eq(batch->row_ids[batch->doc_offsets[4]], UINT32_MAX - 1);
    lrc_batch_stream_free(stream);
    end(&s);
}
