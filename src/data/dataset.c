#include "data/dataset.h"

#include "base/alloc.h"
#include "base/log.h"
#include "data/dedup.h"
#include "data/encode.h"
#include "data/file_list.h"
#include "data/row_type.h"
#include <stdio.h>
#include <string.h>

enum { CHUNK_ROWS = 512 }; /* rows encoded at once, then taken over in their order */

struct slot {
    struct lrc_encoded encoded;
    enum lrc_status status;
    struct lrc_error err;
};

struct loader {
    struct lrc_dataset *dataset;
    const struct lrc_dataset_options *options;
    struct lrc_problems *problems;
    struct lrc_hash hash;
    struct slot *slots; /* (CHUNK_ROWS) */
    struct lrc_dedup dedup;
    int64_t ids_cap, examples_cap, rows_cap, files_cap;
};

/* What the files of one spec had. */
struct part {
    const struct lrc_data_format *format; /* of the last file */
    int64_t n_rows, n_tokens, n_trained;
    int64_t tally[LRC_ROW_FATE_COUNT];
};

/* One file while it is read. */
struct source {
    const struct lrc_dataset_spec *spec;
    const struct lrc_data_format *format;
    struct lrc_data_context context;
    struct lrc_row_file file;
    struct part *part;
};

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
    struct lrc_error inner;
    json_t *row;
    lrc_encoded_clear(&slot->encoded);
    slot->status = lrc_row_file_parse(&row, &source->file, row_index, &slot->err);
    if (slot->status != LRC_STATUS_OK)
        return;
    slot->status = source->format->encode(&slot->encoded, &source->context, row, &inner);
    if (slot->status == LRC_STATUS_OK)
        slot->status = check_ids(&slot->encoded, source->context.vocab_size, &inner);
    if (slot->status != LRC_STATUS_OK)
        (void)lrc_fail(&slot->err, slot->status, "%s:%lld: %s", source->file.path,
                       (long long)source->file.rows[row_index].line, inner.message);
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

/* encoded[first, first + n) as an example. */
static enum lrc_status append_example(struct loader *loader, const struct lrc_encoded *encoded, int64_t first,
                                      int64_t n, uint32_t row_id, struct lrc_error *err)
{
    struct lrc_dataset *dataset = loader->dataset;
    int64_t targets_cap = loader->ids_cap, n_trained = 0;
    LRC_TRY(grow(&dataset->targets, &targets_cap, dataset->n_ids + n, sizeof *dataset->targets, err));
    LRC_TRY(grow(&dataset->ids, &loader->ids_cap, dataset->n_ids + n, sizeof *dataset->ids, err));
    LRC_TRY(grow(&dataset->examples, &loader->examples_cap, dataset->n_examples + 1,
                 sizeof *dataset->examples, err));
    int32_t *ids = dataset->ids + dataset->n_ids, *targets = dataset->targets + dataset->n_ids;
    const char *trained = encoded->trained.data + first;
    memcpy(ids, encoded->ids.data + first, (size_t)n * sizeof *ids);
    for (int64_t i = 0; i < n; i++) {
        targets[i] = i + 1 < n && trained[i + 1] ? ids[i + 1] : -1;
        n_trained += targets[i] >= 0;
    }
    dataset->examples[dataset->n_examples++] = (struct lrc_example){
        .first = dataset->n_ids, .n_tokens = n, .n_trained = n_trained, .row_id = row_id};
    dataset->n_ids += n;
    return LRC_STATUS_OK;
}

/* Targets in encoded[first, end): a document's first token is nobody's. */
static int64_t count_trained(const struct lrc_encoded *encoded, int64_t first, int64_t end)
{
    int64_t n = 0;
    for (int64_t i = first + 1; i < end; i++)
        n += encoded->trained.data[i] != 0;
    return n;
}

/* Fate of an encoded row by its length and targets; examples are appended where it is kept. */
static enum lrc_status place_row(enum lrc_row_fate *fate, struct loader *loader,
                                 const struct lrc_encoded *encoded, uint32_t row_id, struct lrc_error *err)
{
    const struct lrc_dataset_options *options = loader->options;
    const int64_t n = encoded->ids.len, n_most = options->sequence_len;
    const int64_t n_before = loader->dataset->n_examples;
    *fate = n == 0                                   ? LRC_ROW_EMPTY
            : n <= n_most                            ? LRC_ROW_KEPT
            : options->excess == LRC_EXCESS_TRUNCATE ? LRC_ROW_TRUNCATED
            : options->excess == LRC_EXCESS_SPLIT    ? LRC_ROW_SPLIT
                                                     : LRC_ROW_TOO_LONG;
    if (*fate == LRC_ROW_EMPTY || *fate == LRC_ROW_TOO_LONG)
        return LRC_STATUS_OK;
    const int64_t n_placed = *fate == LRC_ROW_TRUNCATED ? n_most : n;
    for (int64_t first = 0; first < n_placed; first += n_most) {
        const int64_t end = n_placed - first < n_most ? n_placed : first + n_most;
        if (options->keep_untrained || count_trained(encoded, first, end) > 0)
            LRC_TRY(append_example(loader, encoded, first, end - first, row_id, err));
    }
    if (loader->dataset->n_examples == n_before)
        *fate = LRC_ROW_NO_TARGET;
    return LRC_STATUS_OK;
}

/* Takes the examples from n_examples_before on back out when an earlier row was the same. */
static enum lrc_status drop_duplicate(enum lrc_row_fate *fate, struct loader *loader,
                                      int64_t n_examples_before, struct lrc_error *err)
{
    struct lrc_dataset *dataset = loader->dataset;
    int found;
    if (!loader->options->drop_duplicates || dataset->n_examples == n_examples_before)
        return LRC_STATUS_OK;
    const int64_t first = dataset->examples[n_examples_before].first;
    LRC_TRY(lrc_dedup_find(&found, &loader->dedup, dataset->ids, dataset->targets, first,
                           dataset->n_ids - first, err));
    if (!found)
        return LRC_STATUS_OK;
    *fate = LRC_ROW_DUPLICATE;
    dataset->n_ids = first;
    dataset->n_examples = n_examples_before;
    return LRC_STATUS_OK;
}

static void count_row(struct lrc_dataset *dataset, struct part *part, struct lrc_row_record *record,
                      int64_t n_examples_before)
{
    for (int64_t i = n_examples_before; i < dataset->n_examples; i++) {
        const struct lrc_example *example = &dataset->examples[i];
        dataset->longest = example->n_tokens > dataset->longest ? example->n_tokens : dataset->longest;
        record->n_kept += example->n_tokens;
        record->n_trained += example->n_trained;
    }
    record->n_examples = dataset->n_examples - n_examples_before;
    dataset->n_tokens += record->n_kept;
    dataset->n_trained += record->n_trained;
    dataset->tally[record->fate]++;
    part->n_tokens += record->n_kept;
    part->n_trained += record->n_trained;
    part->tally[record->fate]++;
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
    const int64_t line = source->file.rows[row_index].line, n_before = dataset->n_examples;
    if (dataset->n_rows >= UINT32_MAX)
        return lrc_fail(err, LRC_STATUS_DATA, "%s: want at most %lld rows in all files", source->file.path,
                        (long long)UINT32_MAX);
    LRC_TRY(grow(&dataset->rows, &loader->rows_cap, dataset->n_rows + 1, sizeof *dataset->rows, err));
    const uint32_t row_id = (uint32_t)dataset->n_rows++;
    struct lrc_row_record *record = &dataset->rows[row_id];
    *record = (struct lrc_row_record){
        .file = (int32_t)dataset->n_files - 1, .line = line, .n_tokens = slot->encoded.ids.len};
    if (slot->status != LRC_STATUS_OK) {
        if (!is_row_problem(slot->status))
            return lrc_fail(err, slot->status, "%s", slot->err.message);
        lrc_problems_add(loader->problems, "%s", slot->err.message);
        return LRC_STATUS_OK;
    }
    LRC_TRY(place_row(&record->fate, loader, &slot->encoded, row_id, err));
    LRC_TRY(drop_duplicate(&record->fate, loader, n_before, err));
    count_row(dataset, source->part, record, n_before);
    if (record->fate == LRC_ROW_TOO_LONG && loader->options->excess == LRC_EXCESS_RAISE)
        lrc_problems_add(loader->problems, "%s:%lld: want at most %lld tokens (sequence_len), got %lld",
                         source->file.path, (long long)line, (long long)loader->options->sequence_len,
                         (long long)slot->encoded.ids.len);
    return LRC_STATUS_OK;
}

static enum lrc_status encode_rows(struct loader *loader, struct source *source, struct lrc_error *err)
{
    for (int64_t first = 0; first < source->file.n_rows; first += CHUNK_ROWS) {
        const int64_t left = source->file.n_rows - first;
        const int64_t n = left < CHUNK_ROWS ? left : CHUNK_ROWS;
        struct slot *slots = loader->slots;
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
    struct lrc_buf line = {0};
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
    char length[32];
    const int n = snprintf(length, sizeof length, "%zu\n", map->size_bytes);
    lrc_hash_update(hash, length, (size_t)n);
    lrc_hash_update(hash, map->data, map->size_bytes);
}

static int ends_with_special(const struct lrc_dataset *dataset, const struct lrc_example *example,
                             const struct lrc_tokenizer *tokenizer)
{
    const int32_t *targets = dataset->targets + example->first;
    int64_t last = example->n_tokens - 1;
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
                 source->file.path);
}

static enum lrc_status check_needs(const struct source *source, struct lrc_error *err)
{
    if (source->format->needs_tokenizer && !source->context.tokenizer)
        return lrc_fail(err, LRC_STATUS_CONFIG, "%s: type %s: want a model with a tokenizer, got none",
                        source->file.path, source->format->name);
    if (source->format->needs_template && !source->context.template)
        return lrc_fail(err, LRC_STATUS_CONFIG, "%s: type %s: want a chat template, got none",
                        source->file.path, source->format->name);
    return LRC_STATUS_OK;
}

static enum lrc_status add_file_name(struct loader *loader, const char *path, struct lrc_error *err)
{
    struct lrc_dataset *dataset = loader->dataset;
    if (dataset->n_files >= INT32_MAX)
        return lrc_fail(err, LRC_STATUS_DATA, "data: want at most %d files", INT32_MAX);
    LRC_TRY(grow(&dataset->files, &loader->files_cap, dataset->n_files + 1, sizeof *dataset->files, err));
    char *copy = lrc_strdup(path);
    if (!copy)
        return lrc_fail_nomem(err, "the names of the data files");
    dataset->files[dataset->n_files++] = copy;
    return LRC_STATUS_OK;
}

static enum lrc_status load_rows(struct loader *loader, struct source *source, struct lrc_error *err)
{
    const struct lrc_dataset_spec *spec = source->spec;
    const int64_t first_example = loader->dataset->n_examples;
    LRC_TRY(add_file_name(loader, source->file.path, err));
    hash_file(&loader->hash, &source->file.map);
    LRC_TRY(lrc_row_type_find(&source->format, spec, &source->file, err));
    if (source->format && !spec->type && source->format != source->part->format)
        lrc_log_info("%s: type %s, by its columns", source->file.path, source->format->name);
    if (source->format) {
        source->part->format = source->format;
        LRC_TRY(check_needs(source, err)); /* without a format no row can be read, and each will say so */
    }
    LRC_TRY(encode_rows(loader, source, err));
    if (source->format)
        warn_of_endless_turns(loader, source, first_example);
    source->part->n_rows += source->file.n_rows;
    return LRC_STATUS_OK;
}

static enum lrc_status load_file(struct loader *loader, const struct lrc_dataset_spec *spec, const char *path,
                                 struct part *part, struct lrc_error *err)
{
    const struct lrc_dataset_options *options = loader->options;
    struct source source = {.spec = spec,
                            .part = part,
                            .context = {.tokenizer = options->tokenizer,
                                        .template = options->template,
                                        .spec = spec,
                                        .train_on_inputs = options->train_on_inputs,
                                        .roles_to_train = options->roles_to_train,
                                        .last_turn_only = options->last_turn_only,
                                        .vocab_size = options->vocab_size}};
    enum lrc_row_kind kind;
    LRC_TRY(lrc_row_kind_find(&kind, spec->ds_type, err));
    LRC_TRY(lrc_row_file_open(&source.file, path, kind, loader->problems, err));
    const enum lrc_status status = load_rows(loader, &source, err);
    lrc_row_file_close(&source.file);
    return status;
}

static enum lrc_status load_spec(struct loader *loader, const struct lrc_dataset_spec *spec,
                                 struct lrc_error *err)
{
    struct part part = {0};
    struct lrc_file_list files;
    struct lrc_buf subject = {0};
    enum lrc_status status = lrc_file_list_find(&files, spec->path, err);
    for (int64_t i = 0; i < files.n && status == LRC_STATUS_OK; i++)
        status = load_file(loader, spec, files.paths[i], &part, err);
    lrc_buf_puts(&subject, strcmp(spec->path, "-") == 0 ? "stdin" : spec->path);
    if (files.n > 1)
        lrc_buf_printf(&subject, ": %lld files", (long long)files.n);
    if (status == LRC_STATUS_OK)
        log_fates(lrc_buf_text(&subject), part.n_rows, part.tally, part.n_tokens, part.n_trained);
    lrc_buf_release(&subject);
    lrc_file_list_release(&files);
    return status;
}

/* A wrong type or template shows in this: rows are read, and nothing in them is learned. */
static enum lrc_status check_masks(const struct lrc_dataset *dataset, struct lrc_error *err)
{
    const int64_t n_untrained = dataset->tally[LRC_ROW_NO_TARGET];
    if (2 * n_untrained <= dataset->n_rows)
        return LRC_STATUS_OK;
    return lrc_fail(
        err, LRC_STATUS_DATA,
        "data: want a trained token in at least half of the rows, got none in %lld of %lld; are type, "
        "roles_to_train and sequence_len right? (with max_lost_rows_fraction given, its limit counts "
        "instead)",
        (long long)n_untrained, (long long)dataset->n_rows);
}

static enum lrc_status check_losses(const struct lrc_dataset *dataset,
                                    const struct lrc_dataset_options *options, struct lrc_error *err)
{
    const int64_t n_lost = dataset->n_rows - dataset->tally[LRC_ROW_KEPT] - dataset->tally[LRC_ROW_SPLIT] -
                           dataset->tally[LRC_ROW_DUPLICATE];
    struct lrc_buf fates = {0};
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
    struct loader loader = {.dataset = dataset, .options = options, .problems = problems};
    const int n_problems = problems->count;
    *dataset = (struct lrc_dataset){0};
    LRC_TRY(lrc_hash_init(&loader.hash, err));
    enum lrc_status status = LRC_STATUS_OK;
    loader.slots = lrc_calloc(CHUNK_ROWS, sizeof *loader.slots);
    if (!loader.slots)
        status = lrc_fail_nomem(err, "the rows of the data");
    for (int i = 0; i < n_specs && status == LRC_STATUS_OK; i++)
        status = load_spec(&loader, &specs[i], err);
    for (int64_t i = 0; loader.slots && i < CHUNK_ROWS; i++)
        lrc_encoded_release(&loader.slots[i].encoded);
    lrc_free(loader.slots);
    lrc_dedup_release(&loader.dedup);
    lrc_hash_finish(&loader.hash, dataset->hash);
    if (status == LRC_STATUS_OK && problems->count > n_problems)
        status = lrc_problems_fail(problems, LRC_STATUS_DATA, "data", err);
    if (status == LRC_STATUS_OK)
        status = check_losses(dataset, options, err);
    if (status == LRC_STATUS_OK && options->check_masks)
        status = check_masks(dataset, err);
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
    lrc_free(dataset->rows);
    for (int64_t i = 0; i < dataset->n_files; i++)
        lrc_free(dataset->files[i]);
    lrc_free(dataset->files);
    *dataset = (struct lrc_dataset){0};
}
