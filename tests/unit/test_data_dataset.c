#include "base/alloc.h"
#include "base/file.h"
#include "base/log.h"
#include "data/batch.h"
#include "data/dataset.h"

#include <criterion/criterion.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct setup {
    char                       path[64];
    struct lrc_dataset_spec    spec;
    struct lrc_dataset_options options;
    struct lrc_dataset         dataset;
    struct lrc_problems        problems;
    struct lrc_error           err;
};

static void write_rows(struct setup *setup, const char *text, size_t n)
{
    struct lrc_error err;
    (void)snprintf(setup->path, sizeof setup->path, "/tmp/lrc_data_XXXXXX");
    const int fd = mkstemp(setup->path);
    cr_assert_geq(fd, 0);
    close(fd);
    cr_assert_eq(lrc_file_write(setup->path, text, n, &err), LRC_STATUS_OK, "%s", err.message);
    setup->spec = (struct lrc_dataset_spec){ .path = setup->path };
    setup->options =
        (struct lrc_dataset_options){ .sequence_len = 8, .max_lost_rows_fraction = 1, .vocab_size = 100 };
}

static enum lrc_status load(struct setup *setup)
{
    setup->err.message[0] = '\0';
    return lrc_dataset_load(&setup->dataset, &setup->spec, 1, &setup->options, &setup->problems, &setup->err);
}

static void finish(struct setup *setup)
{
    lrc_dataset_release(&setup->dataset);
    lrc_problems_release(&setup->problems);
    unlink(setup->path);
}

static void load_text(struct setup *setup, const char *text)
{
    write_rows(setup, text, strlen(text));
    cr_assert_eq(load(setup), LRC_STATUS_OK, "%s %s", setup->err.message,
                 lrc_buf_text(&setup->problems.text));
}

/* The problems, each without the file's path, must be exactly these lines. */
static void expect_problems(const char *text, size_t n, const char *wanted)
{
    struct setup   setup = { 0 };
    struct lrc_buf shown = { 0 };
    write_rows(&setup, text, n);
    cr_expect_eq(load(&setup), LRC_STATUS_DATA, "%s", text);
    const size_t path_length = strlen(setup.path);
    for (const char *line = lrc_buf_text(&setup.problems.text); *line; line = strchr(line, '\n') + 1) {
        cr_assert_eq(strncmp(line, setup.path, path_length), 0, "%s", line);
        lrc_buf_append(&shown, line + path_length + 1, (size_t)(strchr(line, '\n') - line) - path_length);
    }
    cr_expect_str_eq(lrc_buf_text(&shown), wanted);
    cr_expect_eq(setup.dataset.ids, NULL);
    lrc_buf_release(&shown);
    finish(&setup);
}

static void expect_problem(const char *text, const char *wanted)
{
    expect_problems(text, strlen(text), wanted);
}

Test(data_dataset, tokenized_row_is_shifted_and_masked)
{
    struct setup setup = { 0 };
    load_text(&setup,
              "{\"input_ids\": [5, 6, 7, 8], \"labels\": [-100, -100, 7, 8]}\n{\"input_ids\": [9, 9]}\n");
    const int32_t ids[] = { 5, 6, 7, 8, 9, 9 }, targets[] = { -1, 7, 8, -1, 9, -1 };
    cr_assert_eq(setup.dataset.n_ids, 6);
    cr_assert_eq(memcmp(setup.dataset.ids, ids, sizeof ids), 0);
    cr_assert_eq(memcmp(setup.dataset.targets, targets, sizeof targets), 0);
    cr_assert_eq(setup.dataset.n_examples, 2);
    cr_assert_eq(setup.dataset.examples[0].n_trained, 2);
    cr_assert_eq(setup.dataset.examples[1].first, 4);
    cr_assert_eq(setup.dataset.examples[1].n_trained, 1);
    cr_assert_eq(setup.dataset.examples[1].row_id, 1);
    cr_assert_eq(setup.dataset.n_trained, 3);
    cr_assert_eq(setup.dataset.longest, 4);
    finish(&setup);
}

Test(data_dataset, first_token_is_no_target)
{
    struct setup setup = { 0 };
    load_text(&setup, "{\"input_ids\": [5, 6], \"labels\": [5, -100]}\n{\"input_ids\": [7]}\n{\"input_ids\": "
                      "[]}\n{\"input_ids\": [1, 2]}");
    cr_assert_eq(setup.dataset.tally[LRC_ROW_NO_TARGET], 2);
    cr_assert_eq(setup.dataset.tally[LRC_ROW_EMPTY], 1);
    cr_assert_eq(setup.dataset.tally[LRC_ROW_KEPT], 1);
    cr_assert_eq(setup.dataset.n_rows, 4);
    cr_assert_eq(setup.dataset.examples[0].row_id, 3, "dropped rows keep their numbers");
    finish(&setup);
}

static const char *const same_rows[] = {
    "{\"input_ids\": [1, 2]}\n{\"input_ids\": [3, 4]}\n",
    "\xef\xbb\xbf{\"input_ids\": [1, 2]}\r\n\r\n  \n{\"input_ids\": [3, 4]}",
    "[{\"input_ids\": [1, 2]}, {\"input_ids\": [3, 4]}]",
    ("\xef\xbb\xbf \n[\n  {\n    \"input_ids\": [1, 2],\n \"x\": \"a]},\\\"[{\"\n  }\n,"
     "{\"input_ids\": [3, 4]}\n]\n"),
};

Test(data_dataset, lines_and_arrays_give_the_same_rows)
{
    for (size_t i = 0; i < sizeof same_rows / sizeof *same_rows; i++) {
        struct setup setup = { 0 };
        load_text(&setup, same_rows[i]);
        const int32_t ids[] = { 1, 2, 3, 4 };
        cr_assert_eq(setup.dataset.n_ids, 4, "text %zu", i);
        cr_assert_eq(memcmp(setup.dataset.ids, ids, sizeof ids), 0);
        finish(&setup);
    }
}

Test(data_dataset, bad_lines_are_all_named)
{
    expect_problem(
        "{\"input_ids\": [1, 2]}\n{\"input_ids\": [1, 2\n\n[1]\n\"text\"\n{\"input_ids\": [1, 2]} x\n",
        "2: want a JSON object, got an error at column 19: ']' expected near end of file\n"
        "4: want a JSON object, got an array\n"
        "5: want a JSON object, got a string\n"
        "6: want a JSON object, got an error at column 23: end of file expected near 'x'\n");
}

Test(data_dataset, lines_of_an_array_are_counted)
{
    expect_problem(
        "[\n {\"input_ids\": [1, 2]},\n {\"input_ids\":\n   [1, x]},\n 7,\n {\"input_ids\": [3, 4]}\n]\n",
        "4: want a JSON object, got an error at column 8: invalid token near 'x'\n"
        "5: want a JSON object, got an integer\n");
}

Test(data_dataset, broken_arrays_are_named)
{
    expect_problem("[{\"input_ids\": [1, 2]},\n]", "2: want an object, got ']'\n");
    expect_problem("[{\"input_ids\": [1, 2]},,{\"input_ids\": [1, 2]}]", "1: want an object, got ','\n");
    expect_problem("\n[{\"input_ids\": [1, 2]}\n",
                   "3: want ']' for the '[' of line 2, got the end of the file\n");
    expect_problem("[{\"input_ids\": [1, 2]}]\n[]",
                   "2: want the end of the file after the array's ']', got more text\n");
}

Test(data_dataset, invalid_utf8_is_named)
{
    static const char text[] = "{\"input_ids\": [1, 2], \"x\": \"\xff\"}\n";
    expect_problem(
        text, "1: want a JSON object, got an error at column 28: unable to decode byte 0xff near '\"'\n");
}

Test(data_dataset, wrong_types_are_named)
{
    expect_problem(
        "{\"input_ids\": [1, 2]}\n{\"input_ids\": \"no\"}\n{}\n{\"input_ids\": [1, \"2\"]}\n{\"input_ids\": "
        "[1, 2.0]}\n"
        "{\"input_ids\": [1, 100]}\n{\"input_ids\": [-1, 1]}\n{\"input_ids\": [1, 2], \"labels\": [1]}\n"
        "{\"input_ids\": [1, 2], \"labels\": [1, 3]}\n{\"input_ids\": [1, 2], \"attention_mask\": [1, 0]}\n"
        "{\"input_ids\": [1, 2], \"labels\": 5}\n{\"input_ids\": [1, 9223372036854775807]}\n",
        "2: 'input_ids': want an array of integers, got a string\n"
        "3: 'input_ids': want an array of integers, got nothing\n"
        "4: 'input_ids'[1]: want an integer, got a string\n"
        "5: 'input_ids'[1]: want an integer, got a number\n"
        "6: 'input_ids'[1]: want an id from 0 to 99, got 100\n"
        "7: 'input_ids'[0]: want an id from 0 to 99, got -1\n"
        "8: 'labels': want 2 elements, as in 'input_ids', got 1\n"
        "9: 'labels'[1]: want -100 or the token's own id 2, got 3\n"
        "10: 'attention_mask'[1]: want 1 (rows without padding), got 0\n"
        "11: 'labels': want an array of integers, got an integer\n"
        "12: 'input_ids'[1]: want an id from 0 to 99, got 9223372036854775807\n");
}

Test(data_dataset, nothing_left_is_an_error)
{
    static const char *const texts[] = { "",
                                         "\n\n",
                                         "[]",
                                         "{\"input_ids\": [5]}",
                                         "{\"input_ids\": [5, 6], \"labels\": [5, -100]}",
                                         "{\"input_ids\": [1,2,3,4,5,6,7,8,9]}" };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct setup setup = { 0 };
        write_rows(&setup, texts[i], strlen(texts[i]));
        cr_expect_eq(load(&setup), LRC_STATUS_DATA);
        cr_expect_eq(
            strncmp(setup.err.message, "data: want at least one row with a trained token, got none of ", 61),
            0, "%s", setup.err.message);
        finish(&setup);
    }
}

static const char long_rows[] =
    "{\"input_ids\": [1,2,3,4,5,6,7,8]}\n{\"input_ids\": [1,2,3,4,5,6,7,8,9]}\n"
    "{\"input_ids\": [1,2,3,4,5,6,7,8,9], \"labels\": [-100,-100,-100,-100,-100,-100,-100,-100,9]}\n";

Test(data_dataset, long_rows_are_dropped)
{
    struct setup setup = { 0 };
    load_text(&setup, long_rows);
    cr_assert_eq(setup.dataset.tally[LRC_ROW_KEPT], 1);
    cr_assert_eq(setup.dataset.tally[LRC_ROW_TOO_LONG], 2);
    finish(&setup);
}

Test(data_dataset, long_rows_are_truncated_at_the_end)
{
    struct setup setup = { 0 };
    write_rows(&setup, long_rows, strlen(long_rows));
    setup.options.excess = LRC_EXCESS_TRUNCATE;
    cr_assert_eq(load(&setup), LRC_STATUS_OK);
    cr_assert_eq(setup.dataset.tally[LRC_ROW_KEPT], 1);
    cr_assert_eq(setup.dataset.tally[LRC_ROW_TRUNCATED], 1);
    cr_assert_eq(setup.dataset.tally[LRC_ROW_NO_TARGET], 1);
    cr_assert_eq(setup.dataset.n_examples, 2);
    cr_assert_eq(setup.dataset.ids[8], 1);
    cr_assert_eq(setup.dataset.targets[14], 8);
    cr_assert_eq(setup.dataset.targets[15], -1);
    finish(&setup);
}

Test(data_dataset, long_rows_can_be_an_error)
{
    struct setup setup = { 0 };
    write_rows(&setup, long_rows, strlen(long_rows));
    setup.options.excess = LRC_EXCESS_RAISE;
    cr_assert_eq(load(&setup), LRC_STATUS_DATA);
    cr_assert_eq(setup.problems.count, 2);
    cr_assert(strstr(setup.problems.text.data, ":2: want at most 8 tokens (sequence_len), got 9\n"));
    finish(&setup);
}

Test(data_dataset, too_many_lost_rows_are_an_error)
{
    struct setup setup = { 0 };
    write_rows(&setup, long_rows, strlen(long_rows));
    setup.options.max_lost_rows_fraction = 0.6;
    cr_assert_eq(load(&setup), LRC_STATUS_DATA);
    cr_assert(strstr(setup.err.message, "got 2 of 3 (1 kept, 2 dropped: longer than sequence_len)"), "%s",
              setup.err.message);
    setup.options.max_lost_rows_fraction = 0.7;
    cr_assert_eq(load(&setup), LRC_STATUS_OK);
    finish(&setup);
}

static struct lrc_buf logged;

static void remember(enum lrc_log_level level, const char *line)
{
    (void)level;
    lrc_buf_puts(&logged, line);
    lrc_buf_putc(&logged, '\n');
}

Test(data_dataset, fates_and_the_type_are_logged)
{
    struct setup   setup = { 0 };
    struct lrc_buf wanted = { 0 };
    write_rows(&setup, long_rows, strlen(long_rows));
    lrc_log_set_sink(remember);
    cr_assert_eq(load(&setup), LRC_STATUS_OK);
    lrc_log_set_sink(NULL);
    lrc_buf_printf(&wanted,
                   "%s: type tokenized, by its columns\n%s: 3 rows: 1 kept, 2 dropped: longer than "
                   "sequence_len; 8 tokens, 7 trained\n",
                   setup.path, setup.path);
    cr_assert_str_eq(logged.data, wanted.data);
    lrc_buf_release(&logged);
    lrc_buf_release(&wanted);
    finish(&setup);
}

Test(data_dataset, unknown_type_lists_the_types)
{
    struct setup setup = { 0 };
    write_rows(&setup, "{\"input_ids\": [1, 2]}", 21);
    setup.spec.type = "alpca";
    cr_assert_eq(load(&setup), LRC_STATUS_CONFIG);
    cr_assert(strstr(setup.err.message, "tokenized, got 'alpca'"), "%s", setup.err.message);
    finish(&setup);
}

Test(data_dataset, unknown_columns_list_the_types)
{
    struct setup setup = { 0 };
    write_rows(&setup, "{\"foo\": 1, \"bar\": 2}", 20);
    cr_assert_eq(load(&setup), LRC_STATUS_CONFIG);
    cr_assert(
        strstr(setup.err.message, "cannot tell the type from the columns (foo, bar); want type: one of "),
        "%s", setup.err.message);
    finish(&setup);
}

Test(data_dataset, several_files_are_read_in_order)
{
    struct setup       a = { 0 }, b = { 0 };
    struct lrc_dataset first = { 0 }, second = { 0 };
    write_rows(&a, "{\"input_ids\": [1, 2]}\n{\"input_ids\": [1]}",
               strlen("{\"input_ids\": [1, 2]}\n{\"input_ids\": [1]}"));
    write_rows(&b, "[{\"input_ids\": [3, 4]}]", 23);
    struct lrc_dataset_spec specs[2] = { a.spec, b.spec };
    cr_assert_eq(lrc_dataset_load(&first, specs, 2, &a.options, &a.problems, &a.err), LRC_STATUS_OK);
    cr_assert_eq(first.n_examples, 2);
    cr_assert_eq(first.examples[1].row_id, 2);
    cr_assert_eq(first.ids[2], 3);
    specs[0] = b.spec;
    specs[1] = a.spec;
    cr_assert_eq(lrc_dataset_load(&second, specs, 2, &a.options, &a.problems, &a.err), LRC_STATUS_OK);
    cr_assert_str_neq(first.hash, second.hash);
    cr_assert_eq(strlen(first.hash), 64);
    lrc_dataset_release(&first);
    lrc_dataset_release(&second);
    finish(&a);
    finish(&b);
}

/* 1500 rows: more than the loader encodes at once, with broken ones at the borders. */
Test(data_dataset, many_rows_keep_their_order)
{
    struct setup   setup = { 0 };
    struct lrc_buf text = { 0 };
    for (int r = 0; r < 1500; r++)
        lrc_buf_printf(&text, "{\"input_ids\": [%d, %d, %d]}\n", r % 100, r / 100, r % 7);
    write_rows(&setup, text.data, text.len);
    cr_assert_eq(load(&setup), LRC_STATUS_OK);
    cr_assert_eq(setup.dataset.n_examples, 1500);
    for (int r = 0; r < 1500; r++) {
        const int32_t *ids = setup.dataset.ids + setup.dataset.examples[r].first;
        cr_assert_eq(ids[0] + 100 * ids[1], r);
        cr_assert_eq(setup.dataset.examples[r].row_id, (uint32_t)r);
    }
    lrc_buf_release(&text);
    finish(&setup);
}

static void load_numbered(struct setup *setup, int n_rows)
{
    struct lrc_buf text = { 0 };
    for (int r = 0; r < n_rows; r++)
        lrc_buf_printf(&text, "{\"input_ids\": [%d, 1]}\n", r);
    load_text(setup, text.data);
    lrc_buf_release(&text);
}

Test(data_dataset, split_counts_are_rounded_up)
{
    const struct {
        double  size;
        int64_t n_held;
    } cases[] = { { 0, 0 }, { 0.1, 2 }, { 0.01, 1 }, { 0.5, 6 }, { 1, 1 }, { 3, 3 }, { 10, 10 } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct setup       setup = { 0 };
        struct lrc_dataset held_out;
        int                seen[11] = { 0 };
        load_numbered(&setup, 11);
        cr_assert_eq(lrc_dataset_split(&setup.dataset, &held_out, cases[i].size, 1, 42, &setup.err),
                     LRC_STATUS_OK, "%s", setup.err.message);
        cr_assert_eq(held_out.n_examples, cases[i].n_held);
        cr_assert_eq(setup.dataset.n_examples, 11 - cases[i].n_held);
        cr_assert_eq(held_out.n_trained, cases[i].n_held);
        cr_assert_eq(setup.dataset.n_tokens, 2 * (11 - cases[i].n_held));
        for (int64_t r = 0; r < held_out.n_examples; r++)
            seen[held_out.ids[held_out.examples[r].first]]++;
        for (int64_t r = 0; r < setup.dataset.n_examples; r++)
            seen[setup.dataset.ids[setup.dataset.examples[r].first]]++;
        for (int r = 0; r < 11; r++)
            cr_assert_eq(seen[r], 1);
        lrc_dataset_release(&held_out);
        finish(&setup);
    }
}

Test(data_dataset, split_takes_the_end_of_the_shuffled_order)
{
    struct setup       setup = { 0 };
    struct lrc_dataset held_out;
    int64_t            order[20];
    load_numbered(&setup, 20);
    lrc_batch_order(order, 20, 7, -1);
    cr_assert_eq(lrc_dataset_split(&setup.dataset, &held_out, 0.15, 1, 7, &setup.err), LRC_STATUS_OK);
    cr_assert_eq(held_out.n_examples, 3);
    for (int i = 0; i < 3; i++)
        cr_assert(held_out.examples[i].row_id == order[17] || held_out.examples[i].row_id == order[18] ||
                  held_out.examples[i].row_id == order[19]);
    lrc_dataset_release(&held_out);
    finish(&setup);
}

Test(data_dataset, split_without_shuffle_takes_the_last_rows)
{
    struct setup       setup = { 0 };
    struct lrc_dataset held_out;
    load_numbered(&setup, 5);
    cr_assert_eq(lrc_dataset_split(&setup.dataset, &held_out, 2, 0, 7, &setup.err), LRC_STATUS_OK);
    cr_assert_eq(held_out.examples[0].row_id, 3);
    cr_assert_eq(held_out.examples[1].row_id, 4);
    cr_assert_eq(setup.dataset.examples[2].row_id, 2);
    lrc_dataset_release(&held_out);
    finish(&setup);
}

Test(data_dataset, split_must_leave_something)
{
    const double sizes[] = { 5, 6, 0.99, -1, 0.0 / 0.0, 1e300 };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct setup       setup = { 0 };
        struct lrc_dataset held_out;
        load_numbered(&setup, 5);
        cr_assert_eq(lrc_dataset_split(&setup.dataset, &held_out, sizes[i], 1, 7, &setup.err),
                     LRC_STATUS_CONFIG, "%g", sizes[i]);
        cr_assert_eq(setup.dataset.n_examples, 5);
        lrc_dataset_release(&held_out);
        finish(&setup);
    }
}

Test(data_dataset, missing_file_is_io)
{
    struct setup setup = { 0 };
    write_rows(&setup, "", 0);
    unlink(setup.path);
    cr_assert_eq(load(&setup), LRC_STATUS_IO);
}

Test(data_dataset, needs_are_found)
{
    struct setup             setup = { 0 };
    struct lrc_dataset_needs needs = { 7, 7, "x" };
    write_rows(&setup, "{\"input_ids\": [1, 2]}", 21);
    cr_assert_eq(lrc_dataset_needs(&needs, &setup.spec, 1, &setup.err), LRC_STATUS_OK);
    cr_assert_eq(needs.tokenizer, 0);
    cr_assert_eq(needs.template, 0);
    cr_assert_null(needs.preference);
    finish(&setup);
}

static atomic_int           n_allocations, fail_at;
static struct lrc_allocator real;

static void *counted_allocate(size_t size_bytes)
{
    return atomic_fetch_add(&n_allocations, 1) == fail_at ? NULL : real.allocate(size_bytes);
}

static void *counted_reallocate(void *memory, size_t size_bytes)
{
    return atomic_fetch_add(&n_allocations, 1) == fail_at ? NULL : real.reallocate(memory, size_bytes);
}

Test(data_dataset, every_allocation_may_fail_fault)
{
    struct setup setup = { 0 };
    write_rows(&setup, long_rows, strlen(long_rows));
    setup.spec.type = "tokenized";
    real = lrc_allocator;
    for (int i = 0;; i++) {
        n_allocations = 0;
        fail_at = i;
        lrc_allocator.allocate = counted_allocate;
        lrc_allocator.reallocate = counted_reallocate;
        const enum lrc_status status = load(&setup);
        lrc_allocator = real;
        if (status == LRC_STATUS_OK) {
            cr_assert_geq(i, 6);
            break;
        }
        cr_assert_eq(status, LRC_STATUS_NOMEM, "allocation %d: %s", i, setup.err.message);
        cr_assert_eq(setup.dataset.ids, NULL);
    }
    finish(&setup);
}
