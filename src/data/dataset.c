#include "data/dataset.h"

#include "base/alloc.h"
#include "base/log.h"
#include "data/encode.h"
#include "data/row_file.h"
#include <stdio.h>
#include <string.h>

enum { CHUNK_ROWS = 512 }; /* rows encoded at once, then taken over in their order */

struct slot {
    struct lrc_encoded encoded;
    enum lrc_status    status;
    struct lrc_error   err;
};

struct loader {
    struct lrc_dataset               *dataset;
    const struct lrc_dataset_options *options;
    struct lrc_problems              *problems;
    struct lrc_hash                   hash;
    struct slot                      *slots; /* (CHUNK_ROWS) */
    int64_t                           ids_cap, examples_cap;
};

/* One file while it is read. */
struct source {
    const struct lrc_dataset_spec *spec;
    const struct lrc_data_format  *format;
    struct lrc_data_context        context;
    struct lrc_row_file            file;
    int64_t                        tally[LRC_ROW_FATE_COUNT];
    int64_t                        n_tokens, n_trained;
};

static void list_types(struct lrc_buf *names)
{
    for (const struct lrc_data_format *const *format = lrc_data_format_all; *format; format++)
        lrc_buf_printf(names, "%s%s", names->len ? ", " : "", (*format)->name);
}

/* The format that claims a row; CONFIG with both sides' names when none or several do. */
static enum lrc_status find_by_columns(const struct lrc_data_format **found, const json_t *row,
                                       const struct lrc_dataset_spec *spec, struct lrc_error *err)
{
    struct lrc_buf claiming = { 0 }, columns = { 0 }, names = { 0 };
    int            n_claiming = 0;
    for (const struct lrc_data_format *const *format = lrc_data_format_all; *format; format++) {
        if (!(*format)->claims(row, spec))
            continue;
        lrc_buf_printf(&claiming, "%s%s", n_claiming++ ? ", " : "", (*format)->name);
        *found = *format;
    }
    const char *key;
    json_t     *value;
    json_object_foreach((json_t *)row, key, value)
        lrc_buf_printf(&columns, "%s%s", columns.len ? ", " : "", key);
    list_types(&names);

    enum lrc_status status = LRC_STATUS_OK;
    if (n_claiming == 0)
        status = lrc_fail(err, LRC_STATUS_CONFIG,
                          "%s: cannot tell the type from the columns (%.200s); want type: one of %s",
                          spec->path, lrc_buf_text(&columns), lrc_buf_text(&names));
    if (n_claiming > 1)
        status = lrc_fail(err, LRC_STATUS_CONFIG,
                          "%s: the columns (%.200s) fit several types: %s; want type: one of them",
                          spec->path, lrc_buf_text(&columns), lrc_buf_text(&claiming));
    lrc_buf_release(&claiming);
    lrc_buf_release(&columns);
    lrc_buf_release(&names);
    return status;
}

/* The spec's type, or the one its first readable row shows. *format stays NULL when there is no such row. */
static enum lrc_status find_format(const struct lrc_data_format **format, const struct lrc_dataset_spec *spec,
                                   const struct lrc_row_file *file, struct lrc_error *err)
{
    *format = NULL;
    if (spec->type) {
        *format = lrc_data_format_find(spec->type);
        if (*format)
            return LRC_STATUS_OK;
        struct lrc_buf names = { 0 };
        list_types(&names);
        const enum lrc_status status = lrc_fail(err, LRC_STATUS_CONFIG, "%s: type: want one of %s, got '%s'",
                                                spec->path, lrc_buf_text(&names), spec->type);
        lrc_buf_release(&names);
        return status;
    }
    for (int64_t i = 0; i < file->n_rows; i++) {
        json_t *row;
        if (lrc_row_parse(&row, &file->rows[i], spec->path, NULL) != LRC_STATUS_OK)
            continue;
        const enum lrc_status status = find_by_columns(format, row, spec, err);
        json_decref(row);
        return status;
    }
    return LRC_STATUS_OK;
}

static enum lrc_status check_ids(const struct lrc_encoded *encoded, int64_t vocab_size, struct lrc_error *err)
{
    for (int64_t i = 0; vocab_size > 0 && i < encoded->ids.len; i++)
        if (encoded->ids.data[i] < 0 || encoded->ids.data[i] >= vocab_size)
            return lrc_fail(err, LRC_STATUS_DATA,
                            "token %lld: want an id below the model's vocabulary size %lld, got %d",
                            (long long)i, (long long)vocab_size, encoded->ids.data[i]);
    return LRC_STATUS_OK;
}

/* Runs on any thread: touches its slot only. */
static void encode_row(struct slot *slot, const struct source *source, int64_t row_index)
{
    const struct lrc_row_text *text = &source->file.rows[row_index];
    struct lrc_error           inner;
    json_t                    *row;
    lrc_encoded_clear(&slot->encoded);
    slot->status = lrc_row_parse(&row, text, source->spec->path, &slot->err);
    if (slot->status != LRC_STATUS_OK)
        return;
    slot->status = source->format->encode(&slot->encoded, &source->context, row, &inner);
    if (slot->status == LRC_STATUS_OK)
        slot->status = check_ids(&slot->encoded, source->context.vocab_size, &inner);
    if (slot->status != LRC_STATUS_OK)
        (void)lrc_fail(&slot->err, slot->status, "%s:%lld: %s", source->spec->path, (long long)text->line,
                       inner.message);
    json_decref(row);
}

/* array: address of the caller's pointer. */
static enum lrc_status grow(void *array, int64_t *cap, int64_t n_wanted, size_t elem_bytes,
                            struct lrc_error *err)
{
    void *memory;
    if (n_wanted <= *cap)
        return LRC_STATUS_OK;
    const int64_t cap_new = n_wanted > 2 * *cap ? n_wanted : 2 * *cap;
    memcpy(&memory, array, sizeof memory);
    memory = lrc_realloc(memory, cap_new, elem_bytes);
    if (!memory)
        return lrc_fail_nomem(err, "the tokens of the data");
    memcpy(array, &memory, sizeof memory);
    *cap = cap_new;
    return LRC_STATUS_OK;
}

static enum lrc_status append_example(struct loader *loader, const struct lrc_encoded *encoded, int64_t n,
                                      uint32_t row_id, int64_t n_trained, struct lrc_error *err)
{
    struct lrc_dataset *dataset = loader->dataset;
    int64_t             targets_cap = loader->ids_cap;
    LRC_TRY(grow(&dataset->targets, &targets_cap, dataset->n_ids + n, sizeof *dataset->targets, err));
    LRC_TRY(grow(&dataset->ids, &loader->ids_cap, dataset->n_ids + n, sizeof *dataset->ids, err));
    LRC_TRY(grow(&dataset->examples, &loader->examples_cap, dataset->n_examples + 1,
                 sizeof *dataset->examples, err));
    int32_t *ids = dataset->ids + dataset->n_ids, *targets = dataset->targets + dataset->n_ids;
    memcpy(ids, encoded->ids.data, (size_t)n * sizeof *ids);
    for (int64_t i = 0; i < n; i++)
        targets[i] = i + 1 < n && encoded->trained.data[i + 1] ? ids[i + 1] : -1;
    dataset->examples[dataset->n_examples++] = (struct lrc_example){
        .first = dataset->n_ids, .n_tokens = n, .n_trained = n_trained, .row_id = row_id
    };
    dataset->n_ids += n;
    dataset->n_tokens += n;
    dataset->n_trained += n_trained;
    dataset->longest = n > dataset->longest ? n : dataset->longest;
    return LRC_STATUS_OK;
}

/* Fate of an encoded row; *n_tokens and *n_trained are what is left of it. */
static enum lrc_row_fate judge(const struct lrc_encoded *encoded, const struct lrc_dataset_options *options,
                               int64_t *n_tokens, int64_t *n_trained)
{
    int64_t n = encoded->ids.len;
    if (n == 0)
        return LRC_ROW_EMPTY;
    if (n > options->sequence_len && options->excess != LRC_EXCESS_TRUNCATE)
        return LRC_ROW_TOO_LONG;
    const enum lrc_row_fate fate = n > options->sequence_len ? LRC_ROW_TRUNCATED : LRC_ROW_KEPT;
    n = fate == LRC_ROW_TRUNCATED ? options->sequence_len : n;
    *n_tokens = n;
    *n_trained = 0;
    for (int64_t i = 1; i < n; i++) /* the first token is nobody's target */
        *n_trained += encoded->trained.data[i] != 0;
    return *n_trained == 0 && !options->keep_untrained ? LRC_ROW_NO_TARGET : fate;
}

/* A mistake in one row is a problem, and reading goes on; a mistake in the tokenizer or the machine would be
 * every row's. */
static int is_row_problem(enum lrc_status status)
{
    return status == LRC_STATUS_DATA || status == LRC_STATUS_FORMAT || status == LRC_STATUS_NUMERIC;
}

static enum lrc_status take_row(struct loader *loader, struct source *source, const struct slot *slot,
                                int64_t row_index, struct lrc_error *err)
{
    struct lrc_dataset *dataset = loader->dataset;
    if (dataset->n_rows >= UINT32_MAX)
        return lrc_fail(err, LRC_STATUS_DATA, "%s: want at most %lld rows in all files", source->spec->path,
                        (long long)UINT32_MAX);
    const uint32_t row_id = (uint32_t)dataset->n_rows++;
    if (slot->status != LRC_STATUS_OK) {
        if (!is_row_problem(slot->status))
            return lrc_fail(err, slot->status, "%s", slot->err.message);
        lrc_problems_add(loader->problems, "%s", slot->err.message);
        return LRC_STATUS_OK;
    }
    int64_t                 n_tokens = 0, n_trained = 0;
    const enum lrc_row_fate fate = judge(&slot->encoded, loader->options, &n_tokens, &n_trained);
    source->tally[fate]++;
    dataset->tally[fate]++;
    if (fate == LRC_ROW_TOO_LONG && loader->options->excess == LRC_EXCESS_RAISE)
        lrc_problems_add(loader->problems, "%s:%lld: want at most %lld tokens (sequence_len), got %lld",
                         source->spec->path, (long long)source->file.rows[row_index].line,
                         (long long)loader->options->sequence_len, (long long)slot->encoded.ids.len);
    if (fate != LRC_ROW_KEPT && fate != LRC_ROW_TRUNCATED)
        return LRC_STATUS_OK;
    source->n_tokens += n_tokens;
    source->n_trained += n_trained;
    return append_example(loader, &slot->encoded, n_tokens, row_id, n_trained, err);
}

static enum lrc_status encode_rows(struct loader *loader, struct source *source, struct lrc_error *err)
{
    for (int64_t first = 0; first < source->file.n_rows; first += CHUNK_ROWS) {
        const int64_t left = source->file.n_rows - first;
        const int64_t n = left < CHUNK_ROWS ? left : CHUNK_ROWS;
        struct slot  *slots = loader->slots;
#pragma omp parallel for schedule(dynamic, 4)
        for (int64_t i = 0; i < n; i++)
            encode_row(&slots[i], source, first + i);
        for (int64_t i = 0; i < n; i++)
            LRC_TRY(take_row(loader, source, &slots[i], first + i, err));
        if (loader->options->progress)
            loader->options->progress(first + n, source->file.n_rows);
    }
    return LRC_STATUS_OK;
}

/* 35120 as "35,120". */
static void append_count(struct lrc_buf *line, int64_t n)
{
    char digits[24];
    const int length = snprintf(digits, sizeof digits, "%lld", (long long)n);
    for (int i = 0; i < length; i++) {
        if (i > 0 && (length - i) % 3 == 0)
            lrc_buf_putc(line, ',');
        lrc_buf_putc(line, digits[i]);
    }
}

static void append_fates(struct lrc_buf *line, const int64_t tally[LRC_ROW_FATE_COUNT])
{
    static const char *const words[LRC_ROW_FATE_COUNT] = {
#define XX(name, text) [LRC_ROW_##name] = text,
        LRC_ROW_FATE_MAP(XX)
#undef XX
    };
    for (int fate = 0; fate < LRC_ROW_FATE_COUNT; fate++) {
        if (tally[fate] == 0 && fate != LRC_ROW_KEPT)
            continue;
        lrc_buf_puts(line, fate == LRC_ROW_KEPT ? "" : ", ");
        append_count(line, tally[fate]);
        lrc_buf_printf(line, " %s", words[fate]);
    }
}

static void log_fates(const char *subject, int64_t n_rows, const int64_t tally[LRC_ROW_FATE_COUNT],
                      int64_t n_tokens, int64_t n_trained)
{
    struct lrc_buf line = { 0 };
    lrc_buf_printf(&line, "%s: ", subject);
    append_count(&line, n_rows);
    lrc_buf_printf(&line, " row%s: ", n_rows == 1 ? "" : "s");
    append_fates(&line, tally);
    lrc_buf_puts(&line, "; ");
    append_count(&line, n_tokens);
    lrc_buf_puts(&line, " tokens, ");
    append_count(&line, n_trained);
    lrc_buf_puts(&line, " trained");
    lrc_log_info("%s", lrc_buf_text(&line));
    lrc_buf_release(&line);
}

/* The length keeps "ab" + "c" apart from "a" + "bc". */
static void hash_file(struct lrc_hash *hash, const struct lrc_map *map)
{
    char      length[32];
    const int n = snprintf(length, sizeof length, "%zu\n", map->size_bytes);
    lrc_hash_update(hash, length, (size_t)n);
    lrc_hash_update(hash, map->data, map->size_bytes);
}

static int ends_with_special(const struct lrc_dataset *dataset, const struct lrc_example *example,
                             const struct lrc_tokenizer *tokenizer)
{
    const int32_t *targets = dataset->targets + example->first;
    int64_t        last = example->n_tokens - 1;
    while (last >= 0 && targets[last] < 0)
        last--;
    return last >= 0 && lrc_tokenizer_is_special(tokenizer, targets[last]);
}

/* Text types append an end of text; a chat template must write the end of a turn itself, or the model learns
 * to go on for ever. */
static void warn_of_endless_turns(const struct loader *loader, const struct source *source,
                                  int64_t first_example)
{
    const struct lrc_dataset *dataset = loader->dataset;
    if (!source->format->needs_template || dataset->n_examples == first_example)
        return;
    for (int64_t i = first_example; i < dataset->n_examples; i++)
        if (ends_with_special(dataset, &dataset->examples[i], source->context.tokenizer))
            return;
    lrc_log_warn("%s: no trained turn ends with a special token: the template writes none after an "
                 "assistant's words, so the model does not learn to stop",
                 source->spec->path);
}

static enum lrc_status check_needs(const struct source *source, struct lrc_error *err)
{
    if (source->format->needs_tokenizer && !source->context.tokenizer)
        return lrc_fail(err, LRC_STATUS_CONFIG, "%s: type %s: want a model with a tokenizer, got none",
                        source->spec->path, source->format->name);
    if (source->format->needs_template && !source->context.template)
        return lrc_fail(err, LRC_STATUS_CONFIG, "%s: type %s: want a chat template, got none",
                        source->spec->path, source->format->name);
    return LRC_STATUS_OK;
}

static enum lrc_status load_file(struct loader *loader, const struct lrc_dataset_spec *spec,
                                 struct lrc_error *err)
{
    const struct lrc_dataset_options *options = loader->options;
    struct source                     source = { .spec = spec,
                                                 .context = { .tokenizer = options->tokenizer,
                                                              .template = options->template,
                                                              .spec = spec,
                                                              .train_on_inputs = options->train_on_inputs,
                                                              .vocab_size = options->vocab_size } };
    const int64_t first_example = loader->dataset->n_examples;
    LRC_TRY(lrc_row_file_open(&source.file, spec->path, loader->problems, err));
    hash_file(&loader->hash, &source.file.map);
    enum lrc_status status = find_format(&source.format, spec, &source.file, err);
    if (status != LRC_STATUS_OK)
        goto done;
    if (source.format && !spec->type)
        lrc_log_info("%s: type %s, by its columns", spec->path, source.format->name);
    if (source.format)
        status = check_needs(&source, err); /* without a format no row can be read, and each will say so */
    if (status == LRC_STATUS_OK)
        status = encode_rows(loader, &source, err);
    if (status == LRC_STATUS_OK && source.format)
        warn_of_endless_turns(loader, &source, first_example);
    if (status == LRC_STATUS_OK)
        log_fates(spec->path, source.file.n_rows, source.tally, source.n_tokens, source.n_trained);
done:
    lrc_row_file_close(&source.file);
    return status;
}

static enum lrc_status check_losses(const struct lrc_dataset         *dataset,
                                    const struct lrc_dataset_options *options, struct lrc_error *err)
{
    const int64_t   n_lost = dataset->n_rows - dataset->tally[LRC_ROW_KEPT];
    struct lrc_buf  fates = { 0 };
    enum lrc_status status = LRC_STATUS_OK;
    append_fates(&fates, dataset->tally);
    if (dataset->n_examples == 0)
        status = lrc_fail(err, LRC_STATUS_DATA,
                          "data: want at least one row with a trained token, got none of %lld (%s)",
                          (long long)dataset->n_rows, lrc_buf_text(&fates));
    else if ((double)n_lost > options->max_lost_rows_fraction * (double)dataset->n_rows)
        status = lrc_fail(err, LRC_STATUS_DATA,
                          "data: want at most %g of the rows lost (max_lost_rows_fraction), got %lld of %lld "
                          "(%s); rows are lost to sequence_len %lld",
                          options->max_lost_rows_fraction, (long long)n_lost, (long long)dataset->n_rows,
                          lrc_buf_text(&fates), (long long)options->sequence_len);
    lrc_buf_release(&fates);
    return status;
}

enum lrc_status lrc_dataset_load(struct lrc_dataset *dataset, const struct lrc_dataset_spec *specs,
                                 int n_specs, const struct lrc_dataset_options *options,
                                 struct lrc_problems *problems, struct lrc_error *err)
{
    struct loader loader = { .dataset = dataset, .options = options, .problems = problems };
    const int     n_problems = problems->count;
    *dataset = (struct lrc_dataset) { 0 };
    LRC_TRY(lrc_hash_init(&loader.hash, err));
    enum lrc_status status = LRC_STATUS_OK;
    loader.slots = lrc_calloc(CHUNK_ROWS, sizeof *loader.slots);
    if (!loader.slots)
        status = lrc_fail_nomem(err, "the rows of the data");
    for (int i = 0; i < n_specs && status == LRC_STATUS_OK; i++)
        status = load_file(&loader, &specs[i], err);
    for (int64_t i = 0; loader.slots && i < CHUNK_ROWS; i++)
        lrc_encoded_release(&loader.slots[i].encoded);
    lrc_free(loader.slots);
    lrc_hash_finish(&loader.hash, dataset->hash);
    if (status == LRC_STATUS_OK && problems->count > n_problems)
        status = lrc_problems_fail(problems, LRC_STATUS_DATA, "data", err);
    if (status == LRC_STATUS_OK)
        status = check_losses(dataset, options, err);
    if (status != LRC_STATUS_OK) {
        lrc_dataset_release(dataset);
        return status;
    }
    if (n_specs > 1)
        log_fates("all data", dataset->n_rows, dataset->tally, dataset->n_tokens, dataset->n_trained);
    return LRC_STATUS_OK;
}

void lrc_dataset_release(struct lrc_dataset *dataset)
{
    if (!dataset->borrows_ids) {
        lrc_free(dataset->ids);
        lrc_free(dataset->targets);
    }
    lrc_free(dataset->examples);
    *dataset = (struct lrc_dataset) { 0 };
}

enum lrc_status lrc_dataset_needs(int *tokenizer, int *template, const struct lrc_dataset_spec *specs,
                                  int n_specs, struct lrc_problems *problems, struct lrc_error *err)
{
    *tokenizer = *template = 0;
    for (int i = 0; i < n_specs; i++) {
        const struct lrc_data_format *format;
        struct lrc_row_file           file;
        struct lrc_problems           between_rows = { 0 }; /* told by lrc_dataset_load() */
        LRC_TRY(lrc_row_file_open(&file, specs[i].path, &between_rows, err));
        const enum lrc_status status = find_format(&format, &specs[i], &file, err);
        lrc_problems_release(&between_rows);
        lrc_row_file_close(&file);
        LRC_TRY(status);
        *tokenizer |= format && format->needs_tokenizer;
        *template |= format && format->needs_template;
    }
    (void)problems;
    return LRC_STATUS_OK;
}
