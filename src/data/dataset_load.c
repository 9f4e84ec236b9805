
#include "base/alloc.h"
#include "base/log.h"
#include "data/file_list.h"
#include "data/loader__private.h"
#include "data/row_type.h"
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum {
    /* what a kill costs at most: a second or two of one core's work */
    PART_TOKENS = 2 << 20,
    PART_ROWS = 1 << 16,
};

/* All that is in memory goes. With problems nothing is kept any more: there will be no dataset. */
static enum lrc_status send_part(struct lrc_loader *loader, struct lrc_error *err)
{
    struct lrc_dataset         *dataset = loader->dataset;
    const struct lrc_token_part part = { .ids = dataset->ids,
                                         .targets = dataset->targets,
                                         .n_ids = dataset->n_ids - loader->n_gone,
                                         .examples = dataset->examples + loader->n_examples_gone,
                                         .n_examples = dataset->n_examples - loader->n_examples_gone,
                                         .first_id = loader->n_gone,
                                         .rows = dataset->rows + loader->n_rows_gone,
                                         .n_rows = dataset->n_rows - loader->n_rows_gone };
    if (loader->sink && part.n_rows > 0 && loader->problems->count == loader->n_problems_before)
        LRC_TRY(loader->sink->keep(loader->sink->context, &part, err));
    loader->n_gone = dataset->n_ids;
    loader->n_examples_gone = dataset->n_examples;
    loader->n_rows_gone = dataset->n_rows;
    return LRC_STATUS_OK;
}

static enum lrc_status settle(struct lrc_loader *loader, struct lrc_error *err)
{
    const struct lrc_dataset *dataset = loader->dataset;
    const int                 is_full =
        dataset->n_ids - loader->n_gone >= PART_TOKENS || dataset->n_rows - loader->n_rows_gone >= PART_ROWS;
    if ((loader->sink && is_full) || loader->options->counts_only)
        return send_part(loader, err);
    return LRC_STATUS_OK;
}

static enum lrc_status check_stop(struct lrc_loader *loader, struct lrc_error *err)
{
    const int number = loader->options->stop ? *loader->options->stop : 0;
    if (number == 0)
        return LRC_STATUS_OK;
    if (loader->sink)
        LRC_TRY(send_part(loader, err));
    return lrc_fail(err, number == SIGTERM ? LRC_STATUS_TERMINATED : LRC_STATUS_INTERRUPTED,
                    "stopped after %lld rows%s", (long long)loader->dataset->n_rows,
                    loader->sink ? "; the next run goes on from there" : "");
}

static enum lrc_status check_needs(const struct lrc_loader_file *source, struct lrc_error *err)
{
    if (source->format->needs_tokenizer && !source->context.tokenizer)
        return lrc_fail(err, LRC_STATUS_CONFIG, "%s: type %s: want a model with a tokenizer, got none",
                        source->file.path, source->format->name);
    if (source->format->needs_template && !source->context.template)
        return lrc_fail(err, LRC_STATUS_CONFIG, "%s: type %s: want a chat template, got none",
                        source->file.path, source->format->name);
    return LRC_STATUS_OK;
}

/* By the first batch with a readable row; before that no row can be read, and each will say so. */
static enum lrc_status find_format(struct lrc_loader_file *source, struct lrc_error *err)
{
    if (source->format)
        return LRC_STATUS_OK;
    LRC_TRY(lrc_row_type_find(&source->format, source->spec, &source->file, err));
    if (!source->format)
        return LRC_STATUS_OK;
    if (!source->spec->type && source->format != source->part->format)
        lrc_log_info("%s: type %s, by its columns", source->file.path, source->format->name);
    source->part->format = source->format;
    return check_needs(source, err);
}

static enum lrc_status encode_rows(struct lrc_loader *loader, struct lrc_loader_file *source,
                                   struct lrc_error *err)
{
    const uint64_t bytes_before = loader->progress.bytes;
    for (;;) {
        LRC_TRY(lrc_row_file_next(&source->file, LRC_LOADER_BATCH_ROWS, err));
        loader->progress.bytes = bytes_before + source->file.unpacker.n_in;
        if (source->file.n_rows == 0)
            return LRC_STATUS_OK;
        LRC_TRY(find_format(source, err));
        LRC_TRY(lrc_loader__encode_batch(loader, source, err));
        LRC_TRY(settle(loader, err));
        if (loader->options->progress)
            loader->options->progress(&loader->progress);
        LRC_TRY(check_stop(loader, err));
    }
}

/* Text types append an end of text; a chat template must write the end of a turn itself, or the model learns
 * to go on for ever. */
static void warn_of_endless_turns(const struct lrc_loader *loader, const struct lrc_loader_file *source,
                                  int64_t file)
{
    const struct lrc_dataset *dataset = loader->dataset;
    if (!source->format || !source->format->needs_template || loader->ends_turns[file] ||
        dataset->n_examples == 0 ||
        dataset->rows[dataset->examples[dataset->n_examples - 1].row_id].file != file)
        return;
    lrc_log_warn("%s: no trained turn ends with a special token: the template writes none after an "
                 "assistant's words, so the model does not learn to stop",
                 source->file.path);
}

static enum lrc_status add_file(struct lrc_loader *loader, const char *path, int spec_index,
                                struct lrc_error *err)
{
    struct lrc_dataset *dataset = loader->dataset;
    char               *copy = lrc_strdup(path);
    if (!copy)
        return lrc_fail_nomem(err, "the names of the data files");
    LRC_ASSERT(dataset->n_files < loader->n_files_all);
    dataset->files[dataset->n_files] = copy;
    dataset->file_specs[dataset->n_files++] = spec_index;
    return LRC_STATUS_OK;
}

static enum lrc_status load_file(struct lrc_loader *loader, const struct lrc_dataset_spec *spec,
                                 int spec_index, const char *path, struct lrc_loader_spec *part,
                                 struct lrc_error *err)
{
    const struct lrc_dataset_options *options = loader->options;
    struct lrc_loader_file            source = { .spec = spec,
                                                 .part = part,
                                                 .context = { .tokenizer = options->tokenizer,
                                                              .template = options->template,
                                                              .spec = spec,
                                                              .train_on_inputs = options->train_on_inputs,
                                                              .roles_to_train = options->roles_to_train,
                                                              .last_turn_only = options->last_turn_only,
                                                              .vocab_size = options->vocab_size } };
    struct lrc_hash                   hash;
    enum lrc_row_kind                 kind;
    LRC_TRY(lrc_row_kind_find(&kind, spec->ds_type, err));
    LRC_TRY(lrc_hash_init(&hash, err));
    enum lrc_status status = lrc_row_file_open(&source.file, path, kind, &hash, loader->problems, err);
    if (status == LRC_STATUS_OK)
        status = add_file(loader, source.file.path, spec_index, err);
    const int64_t file = loader->dataset->n_files - 1;
    if (status == LRC_STATUS_OK)
        status = encode_rows(loader, &source, err);
    if (status == LRC_STATUS_OK) {
        lrc_hash_finish(&hash, loader->dataset->file_hashes[file]);
        warn_of_endless_turns(loader, &source, file);
    } else {
        lrc_hash_abort(&hash);
    }
    lrc_row_file_close(&source.file);
    return status;
}

/* Rows of all files of a spec, for a split that is written in parts of them. */
static enum lrc_status count_rows(int64_t *n_rows, const struct lrc_dataset_spec *spec,
                                  const struct lrc_file_list *files, struct lrc_error *err)
{
    enum lrc_row_kind kind;
    enum lrc_status   status = lrc_row_kind_find(&kind, spec->ds_type, err);
    for (int64_t i = 0; i < files->n && status == LRC_STATUS_OK; i++) {
        struct lrc_problems between_rows = { 0 }; /* told when the rows are read */
        struct lrc_row_file file;
        status = lrc_row_file_open(&file, files->paths[i], kind, NULL, &between_rows, err);
        while (status == LRC_STATUS_OK) {
            status = lrc_row_file_next(&file, LRC_LOADER_BATCH_ROWS, err);
            *n_rows += file.n_rows;
            if (file.n_rows == 0)
                break;
        }
        lrc_row_file_close(&file);
        lrc_problems_release(&between_rows);
    }
    return status;
}

static enum lrc_status find_slice(struct lrc_loader_spec *part, const struct lrc_dataset_spec *spec,
                                  const struct lrc_file_list *files, struct lrc_error *err)
{
    struct lrc_dataset_slice slice;
    int64_t                  n_rows = UINT32_MAX;
    if (!lrc_dataset_slice_read(&slice, spec->split)) /* the config's reader has said so */
        return lrc_fail(err, LRC_STATUS_CONFIG, "%s: split: want 'train' or rows of it, got '%.80s'",
                        spec->path, spec->split);
    if (lrc_dataset_slice_is_relative(&slice)) {
        n_rows = 0;
        LRC_TRY(count_rows(&n_rows, spec, files, err));
    }
    lrc_dataset_slice_rows(&part->first_row, &part->end_row, &slice, n_rows);
    return LRC_STATUS_OK;
}

static enum lrc_status load_spec(struct lrc_loader *loader, const struct lrc_dataset_spec *spec,
                                 int spec_index, const struct lrc_file_list *files, struct lrc_error *err)
{
    struct lrc_loader_spec part = { 0 };
    struct lrc_buf         subject = { 0 };
    enum lrc_status        status = find_slice(&part, spec, files, err);
    for (int64_t i = 0; i < files->n && status == LRC_STATUS_OK; i++)
        status = load_file(loader, spec, spec_index, files->paths[i], &part, err);
    lrc_buf_puts(&subject, strcmp(spec->path, "-") == 0 ? "stdin" : spec->path);
    if (files->n > 1)
        lrc_buf_printf(&subject, ": %lld files", (long long)files->n);
    if (status == LRC_STATUS_OK)
        lrc_dataset__log_fates(lrc_buf_text(&subject), part.n_rows, part.tally, part.n_tokens,
                               part.n_trained);
    lrc_buf_release(&subject);
    return status;
}

static enum lrc_status restore(struct lrc_loader *loader, struct lrc_error *err)
{
    for (int64_t n_rows = 1; n_rows > 0;) {
        struct lrc_token_part part = { 0 };
        enum lrc_status       status = loader->sink->restore(loader->sink->context, &part, err);
        if (status == LRC_STATUS_OK && part.n_rows > 0)
            status = lrc_loader__take_part(loader, &part, err);
        n_rows = part.n_rows;
        lrc_token_part_release(&part);
        LRC_TRY(status);
        loader->n_gone = loader->dataset->n_ids;
        loader->n_examples_gone = loader->dataset->n_examples;
        loader->n_rows_gone = loader->dataset->n_rows;
    }
    loader->n_rows_restored = loader->dataset->n_rows;
    if (loader->n_rows_restored > 0)
        lrc_log_info("going on after %lld rows that are in the token cache",
                     (long long)loader->n_rows_restored);
    return LRC_STATUS_OK;
}

/* The files of all specs, and how much there is to read. */
static enum lrc_status find_files(struct lrc_loader *loader, struct lrc_file_list *lists,
                                  const struct lrc_dataset_spec *specs, int n_specs, struct lrc_error *err)
{
    struct lrc_dataset *dataset = loader->dataset;
    int                 is_known = 1;
    for (int i = 0; i < n_specs; i++) {
        LRC_TRY(lrc_file_list_find(&lists[i], specs[i].path, err));
        loader->n_files_all += lists[i].n;
        for (int64_t k = 0; k < lists[i].n; k++) {
            struct stat info;
            const int   is_file = stat(lists[i].paths[k], &info) == 0 && S_ISREG(info.st_mode);
            loader->progress.bytes_all += is_file ? (uint64_t)info.st_size : 0;
            is_known &= is_file;
        }
    }
    loader->progress.bytes_all = is_known ? loader->progress.bytes_all : 0;
    if (loader->n_files_all > INT32_MAX)
        return lrc_fail(err, LRC_STATUS_DATA, "data: want at most %d files", INT32_MAX);
    dataset->files = lrc_calloc(loader->n_files_all, sizeof *dataset->files);
    dataset->file_specs = lrc_calloc(loader->n_files_all, sizeof *dataset->file_specs);
    dataset->file_hashes = lrc_calloc(loader->n_files_all, sizeof *dataset->file_hashes);
    loader->ends_turns = lrc_calloc(loader->n_files_all, 1);
    loader->slots = lrc_calloc(LRC_LOADER_BATCH_ROWS, sizeof *loader->slots);
    if (!dataset->files || !dataset->file_specs || !dataset->file_hashes || !loader->ends_turns ||
        !loader->slots)
        return lrc_fail_nomem(err, "the rows of the data");
    return LRC_STATUS_OK;
}

static enum lrc_status load_all(struct lrc_loader *loader, struct lrc_file_list *lists,
                                const struct lrc_dataset_spec *specs, int n_specs, struct lrc_error *err)
{
    const struct lrc_dataset *dataset = loader->dataset;
    LRC_TRY(find_files(loader, lists, specs, n_specs, err));
    if (loader->sink)
        LRC_TRY(restore(loader, err));
    for (int i = 0; i < n_specs; i++)
        LRC_TRY(load_spec(loader, &specs[i], i, &lists[i], err));
    if (loader->problems->count > loader->n_problems_before)
        return lrc_problems_fail(loader->problems, LRC_STATUS_DATA, "data", err);
    if (dataset->n_rows < loader->n_rows_restored)
        return lrc_fail(err, LRC_STATUS_FORMAT, "kept rows: want at most those of the files, got more");
    if (loader->sink || loader->options->counts_only)
        LRC_TRY(send_part(loader, err));
    return LRC_STATUS_OK;
}

static enum lrc_status hash_files(struct lrc_dataset *dataset, struct lrc_error *err)
{
    struct lrc_hash hash;
    LRC_TRY(lrc_hash_init(&hash, err));
    lrc_hash_update(&hash, dataset->file_hashes, (size_t)dataset->n_files * sizeof *dataset->file_hashes);
    lrc_hash_finish(&hash, dataset->hash);
    return LRC_STATUS_OK;
}

/* Fates of all rows, and the tokens that are nowhere but in the sink. */
static void conclude(struct lrc_loader *loader)
{
    struct lrc_dataset *dataset = loader->dataset;
    for (int64_t r = 0; r < dataset->n_rows; r++)
        dataset->tally[dataset->rows[r].fate]++;
    lrc_dataset__recount(dataset);
    if (!loader->sink && !loader->options->counts_only)
        return;
    lrc_free(dataset->ids);
    lrc_free(dataset->targets);
    dataset->ids = dataset->targets = NULL;
}

enum lrc_status lrc_dataset__load(struct lrc_dataset *dataset, const struct lrc_dataset_spec *specs,
                                  int n_specs, const struct lrc_dataset_options *options,
                                  const struct lrc_token_sink *sink, struct lrc_problems *problems,
                                  struct lrc_error *err)
{
    struct lrc_loader     loader = { .dataset = dataset,
                                     .options = options,
                                     .sink = sink,
                                     .problems = problems,
                                     .n_problems_before = problems->count };
    struct lrc_file_list *lists = lrc_calloc(n_specs, sizeof *lists);
    *dataset = (struct lrc_dataset){ 0 };
    enum lrc_status status =
        lists ? lrc_hash_init(&loader.tokens_hash, err) : lrc_fail_nomem(err, "the rows of the data");
    if (status == LRC_STATUS_OK) {
        status = load_all(&loader, lists, specs, n_specs, err);
        lrc_hash_finish(&loader.tokens_hash, dataset->tokens_hash);
    }
    for (int64_t i = 0; loader.slots && i < LRC_LOADER_BATCH_ROWS; i++)
        lrc_encoded_release(&loader.slots[i].encoded);
    for (int i = 0; lists && i < n_specs; i++)
        lrc_file_list_release(&lists[i]);
    lrc_free(lists);
    lrc_free(loader.slots);
    lrc_free(loader.ends_turns);
    lrc_dedup_release(&loader.dedup);
    if (status == LRC_STATUS_OK)
        status = hash_files(dataset, err);
    if (status != LRC_STATUS_OK) {
        lrc_dataset_release(dataset);
        return status;
    }
    conclude(&loader);
    if (n_specs > 1)
        lrc_dataset__log_fates("all data", dataset->n_rows, dataset->tally, dataset->n_tokens,
                               dataset->n_trained);
    return LRC_STATUS_OK;
}

enum lrc_status lrc_dataset_load(struct lrc_dataset *dataset, const struct lrc_dataset_spec *specs,
                                 int n_specs, const struct lrc_dataset_options *options,
                                 struct lrc_problems *problems, struct lrc_error *err)
{
    LRC_TRY(lrc_dataset__load(dataset, specs, n_specs, options, NULL, problems, err));
    const enum lrc_status status = lrc_dataset_check(dataset, options, err);
    if (status != LRC_STATUS_OK)
        lrc_dataset_release(dataset);
    return status;
}
