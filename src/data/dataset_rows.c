#include "base/alloc.h"
#include "data/loader__private.h"

#include <string.h>

static enum lrc_status check_ids(const struct lrc_encoded *encoded, int64_t vocab_size, struct lrc_error *err)
{
    for (int64_t i = 0; vocab_size > 0 && i < encoded->ids.len; i++)
        if (encoded->ids.data[i] < 0 || encoded->ids.data[i] >= vocab_size)
            return lrc_fail(err, LRC_STATUS_DATA,
                            "token %lld: want an id below the model's vocabulary size %lld, got %d",
                            (long long)i, (long long)vocab_size, encoded->ids.data[i]);
    if (encoded->ids.len > INT32_MAX)
        return lrc_fail(err, LRC_STATUS_DATA, "want fewer than 2^31 tokens, got %lld",
                        (long long)encoded->ids.len);
    return LRC_STATUS_OK;
}

/* Runs on any thread: touches its slot only. */
static void encode_row(struct lrc_loader_slot *slot, const struct lrc_loader_file *source, int64_t index)
{
    struct lrc_error inner;
    json_t          *row;
    const int64_t    row_of_spec = source->part->n_rows + index;
    lrc_encoded_clear(&slot->encoded);
    slot->status = LRC_STATUS_OK;
    slot->is_in_split = row_of_spec >= source->part->first_row && row_of_spec < source->part->end_row;
    if (!slot->is_in_split)
        return;
    slot->status = lrc_row_file_parse(&row, &source->file, index, &slot->err);
    if (slot->status != LRC_STATUS_OK)
        return;
    slot->status = source->format->encode(&slot->encoded, &source->context, row, &inner);
    if (slot->status == LRC_STATUS_OK)
        slot->status = check_ids(&slot->encoded, source->context.vocab_size, &inner);
    if (slot->status != LRC_STATUS_OK)
        (void)lrc_fail(&slot->err, slot->status, "%s:%lld: %s", source->file.path,
                       (long long)source->file.rows[index].line, inner.message);
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

static enum lrc_status add_example(struct lrc_loader *loader, const struct lrc_example *example,
                                   struct lrc_error *err)
{
    struct lrc_dataset *dataset = loader->dataset;
    LRC_TRY(grow(&dataset->examples, &loader->examples_cap, dataset->n_examples + 1,
                 sizeof *dataset->examples, err));
    struct lrc_example *added = &dataset->examples[dataset->n_examples++];
    *added = *example;
    added->id = example->row_id;
    if (dataset->n_examples > 1 && added[-1].row_id == example->row_id)
        lrc_dataset__number_further(dataset, added);
    return LRC_STATUS_OK;
}

/* Room for n more tokens. */
static enum lrc_status grow_tokens(struct lrc_loader *loader, int64_t n, struct lrc_error *err)
{
    struct lrc_dataset *dataset = loader->dataset;
    int64_t             targets_cap = loader->ids_cap;
    const int64_t       n_wanted = dataset->n_ids - loader->n_gone + n;
    LRC_TRY(grow(&dataset->targets, &targets_cap, n_wanted, sizeof *dataset->targets, err));
    return grow(&dataset->ids, &loader->ids_cap, n_wanted, sizeof *dataset->ids, err);
}

/* encoded[first, end) as an example. */
static enum lrc_status append_piece(struct lrc_loader *loader, const struct lrc_encoded *encoded,
                                    int64_t first, int64_t end, enum lrc_side side, struct lrc_error *err)
{
    struct lrc_dataset *dataset = loader->dataset;
    const int64_t       n = end - first;
    struct lrc_example  example = {
         .first = dataset->n_ids, .n_tokens = n, .row_id = (uint32_t)(dataset->n_rows - 1), .side = side
    };
    LRC_TRY(grow_tokens(loader, n, err));
    int32_t    *ids = dataset->ids + dataset->n_ids - loader->n_gone;
    int32_t    *targets = dataset->targets + dataset->n_ids - loader->n_gone;
    const char *trained = encoded->trained.data + first;
    memcpy(ids, encoded->ids.data + first, (size_t)n * sizeof *ids);
    for (int64_t i = 0; i < n; i++) {
        targets[i] = i + 1 < n && trained[i + 1] ? ids[i + 1] : -1;
        example.n_trained += targets[i] >= 0;
    }
    dataset->n_ids += n;
    return add_example(loader, &example, err);
}

/* Targets in encoded[first, end): a document's first token is nobody's. */
static int64_t count_trained(const struct lrc_encoded *encoded, int64_t first, int64_t end)
{
    int64_t n = 0;
    for (int64_t i = first + 1; i < end; i++)
        n += encoded->trained.data[i] != 0;
    return n;
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* A pair stays whole: without one of its answers the other says nothing. */
static enum lrc_status place_pair(enum lrc_row_fate *fate, struct lrc_loader *loader,
                                  const struct lrc_encoded *encoded, struct lrc_error *err)
{
    const int64_t n = encoded->ids.len, n_most = loader->options->sequence_len, middle = encoded->n_chosen;
    const int     is_long = middle > n_most || n - middle > n_most;
    *fate = !is_long                                         ? LRC_ROW_KEPT
            : loader->options->excess == LRC_EXCESS_TRUNCATE ? LRC_ROW_TRUNCATED
                                                             : LRC_ROW_TOO_LONG;
    const int64_t ends[2] = { least(middle, n_most), middle + least(n - middle, n_most) };
    if (*fate == LRC_ROW_TOO_LONG)
        return LRC_STATUS_OK;
    if (count_trained(encoded, 0, ends[0]) == 0 || count_trained(encoded, middle, ends[1]) == 0) {
        *fate = LRC_ROW_NO_TARGET;
        return LRC_STATUS_OK;
    }
    LRC_TRY(append_piece(loader, encoded, 0, ends[0], LRC_SIDE_CHOSEN, err));
    return append_piece(loader, encoded, middle, ends[1], LRC_SIDE_REJECTED, err);
}

/* Fate of an encoded row by its length and targets; examples are appended where it is kept. */
static enum lrc_status place_row(enum lrc_row_fate *fate, struct lrc_loader *loader,
                                 const struct lrc_encoded *encoded, struct lrc_error *err)
{
    const struct lrc_dataset_options *options = loader->options;
    const int64_t                     n = encoded->ids.len, n_most = options->sequence_len;
    const int64_t                     n_before = loader->dataset->n_examples;
    const int may_split = options->excess == LRC_EXCESS_SPLIT && encoded->side == LRC_SIDE_NONE;
    if (encoded->n_chosen > 0)
        return place_pair(fate, loader, encoded, err);
    *fate = n == 0                                   ? LRC_ROW_EMPTY
            : n <= n_most                            ? LRC_ROW_KEPT
            : options->excess == LRC_EXCESS_TRUNCATE ? LRC_ROW_TRUNCATED
            : may_split                              ? LRC_ROW_SPLIT
                                                     : LRC_ROW_TOO_LONG;
    if (*fate == LRC_ROW_EMPTY || *fate == LRC_ROW_TOO_LONG)
        return LRC_STATUS_OK;
    const int64_t n_placed = *fate == LRC_ROW_TRUNCATED ? n_most : n;
    for (int64_t first = 0; first < n_placed; first += n_most) {
        const int64_t end = least(first + n_most, n_placed);
        if (options->keep_untrained || count_trained(encoded, first, end) > 0)
            LRC_TRY(append_piece(loader, encoded, first, end, encoded->side, err));
    }
    if (loader->dataset->n_examples == n_before)
        *fate = LRC_ROW_NO_TARGET;
    return LRC_STATUS_OK;
}

/* Takes the examples from n_before on back out when an earlier row was the same. */
static enum lrc_status drop_duplicate(enum lrc_row_fate *fate, struct lrc_loader *loader, int64_t n_before,
                                      int64_t n_further_before, struct lrc_error *err)
{
    struct lrc_dataset *dataset = loader->dataset;
    int                 found;
    if (!loader->options->drop_duplicates || dataset->n_examples == n_before)
        return LRC_STATUS_OK;
    const int64_t first = dataset->examples[n_before].first;
    LRC_TRY(lrc_dedup_find(&found, &loader->dedup, dataset->ids + first - loader->n_gone,
                           dataset->targets + first - loader->n_gone, dataset->n_ids - first, err));
    if (!found)
        return LRC_STATUS_OK;
    *fate = LRC_ROW_DUPLICATE;
    dataset->n_ids = first;
    dataset->n_examples = n_before;
    dataset->n_further = n_further_before;
    return LRC_STATUS_OK;
}

static void fill_record(struct lrc_row_record *record, const struct lrc_dataset *dataset, int64_t n_before)
{
    for (int64_t i = n_before; i < dataset->n_examples; i++) {
        record->n_kept += dataset->examples[i].n_tokens;
        record->n_trained += dataset->examples[i].n_trained;
    }
    record->n_examples = dataset->n_examples - n_before;
}

static void count_row(struct lrc_loader_spec *part, const struct lrc_row_record *record)
{
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

static enum lrc_status add_record(struct lrc_loader *loader, const struct lrc_row_record *record,
                                  struct lrc_error *err)
{
    struct lrc_dataset *dataset = loader->dataset;
    if (dataset->n_rows >= UINT32_MAX)
        return lrc_fail(err, LRC_STATUS_DATA, "data: want at most %lld rows in all files",
                        (long long)UINT32_MAX);
    LRC_TRY(grow(&dataset->rows, &loader->rows_cap, dataset->n_rows + 1, sizeof *dataset->rows, err));
    dataset->rows[dataset->n_rows++] = *record;
    return LRC_STATUS_OK;
}

/* A row that an earlier run encoded: its examples are there. */
static enum lrc_status pass_row(const struct lrc_loader *loader, const struct lrc_loader_file *source,
                                int64_t row_id, int64_t line, struct lrc_error *err)
{
    const struct lrc_row_record *record = &loader->dataset->rows[row_id];
    if (record->file != loader->dataset->n_files - 1 || record->line != line)
        return lrc_fail(err, LRC_STATUS_FORMAT, "row %lld: want the row of line %lld in %s, got another",
                        (long long)row_id, (long long)line, source->file.path);
    count_row(source->part, record);
    return LRC_STATUS_OK;
}

static enum lrc_status take_row(struct lrc_loader *loader, struct lrc_loader_file *source,
                                const struct lrc_loader_slot *slot, int64_t index, struct lrc_error *err)
{
    struct lrc_dataset         *dataset = loader->dataset;
    const int64_t               line = source->file.rows[index].line, n_before = dataset->n_examples;
    const int64_t               n_further_before = dataset->n_further;
    const struct lrc_row_record blank = { .file = (int32_t)dataset->n_files - 1,
                                          .line = line,
                                          .n_tokens = slot->encoded.ids.len };
    LRC_TRY(add_record(loader, &blank, err));
    struct lrc_row_record *record = &dataset->rows[dataset->n_rows - 1];
    if (slot->status != LRC_STATUS_OK) {
        if (!is_row_problem(slot->status))
            return lrc_fail(err, slot->status, "%s", slot->err.message);
        lrc_problems_add(loader->problems, "%s", slot->err.message);
        return LRC_STATUS_OK;
    }
    if (slot->is_in_split)
        LRC_TRY(place_row(&record->fate, loader, &slot->encoded, err));
    else
        record->fate = LRC_ROW_NOT_IN_SPLIT;
    LRC_TRY(drop_duplicate(&record->fate, loader, n_before, n_further_before, err));
    fill_record(record, dataset, n_before);
    count_row(source->part, record);
    if (record->fate == LRC_ROW_TOO_LONG && loader->options->excess == LRC_EXCESS_RAISE)
        lrc_problems_add(loader->problems, "%s:%lld: want at most %lld tokens (sequence_len), got %lld",
                         source->file.path, (long long)line, (long long)loader->options->sequence_len,
                         (long long)slot->encoded.ids.len);
    return LRC_STATUS_OK;
}

static int ends_with_special(const struct lrc_loader *loader, const struct lrc_example *example)
{
    const int32_t *targets = loader->dataset->targets + example->first - loader->n_gone;
    int64_t        last = example->n_tokens - 1;
    while (last >= 0 && targets[last] < 0)
        last--;
    return last >= 0 && lrc_tokenizer_is_special(loader->options->tokenizer, targets[last]);
}

/* New examples into the hash of all; the file of a trained special token is remembered. */
static void note_examples(struct lrc_loader *loader)
{
    const struct lrc_dataset *dataset = loader->dataset;
    for (int64_t i = loader->n_examples_hashed; i < dataset->n_examples; i++) {
        const struct lrc_example *example = &dataset->examples[i];
        const int64_t             at = example->first - loader->n_gone;
        const uint32_t head[3] = { (uint32_t)example->n_tokens, example->row_id, (uint32_t)example->side };
        const size_t   bytes = (size_t)example->n_tokens * sizeof *dataset->ids;
        lrc_hash_update(&loader->tokens_hash, head, sizeof head);
        lrc_hash_update(&loader->tokens_hash, dataset->ids + at, bytes);
        lrc_hash_update(&loader->tokens_hash, dataset->targets + at, bytes);
        unsigned char *ends = &loader->ends_turns[dataset->rows[example->row_id].file];
        if (!*ends && loader->options->tokenizer)
            *ends = (unsigned char)ends_with_special(loader, example);
    }
    loader->n_examples_hashed = dataset->n_examples;
}

enum lrc_status lrc_loader__encode_batch(struct lrc_loader *loader, struct lrc_loader_file *source,
                                         struct lrc_error *err)
{
    struct lrc_loader_slot *slots = loader->slots;
    const int64_t n = source->file.n_rows, n_known = loader->n_rows_restored - loader->progress.n_rows;
    const int64_t first = n_known < 0 ? 0 : least(n_known, n);
    for (int64_t i = 0; i < first; i++)
        LRC_TRY(pass_row(loader, source, loader->progress.n_rows + i, source->file.rows[i].line, err));
#pragma omp parallel for schedule(dynamic, 4)
    for (int64_t i = first; i < n; i++)
        encode_row(&slots[i], source, i);
    for (int64_t i = first; i < n; i++)
        LRC_TRY(take_row(loader, source, &slots[i], i, err));
    source->part->n_rows += n;
    loader->progress.n_rows += n;
    note_examples(loader);
    return LRC_STATUS_OK;
}

enum lrc_status lrc_loader__take_part(struct lrc_loader *loader, const struct lrc_token_part *part,
                                      struct lrc_error *err)
{
    struct lrc_dataset *dataset = loader->dataset;
    const int64_t       first_row = dataset->n_rows, first_id = dataset->n_ids;
    for (int64_t r = 0; r < part->n_rows; r++) {
        if (part->rows[r].file < 0 || part->rows[r].file >= loader->n_files_all)
            return lrc_fail(err, LRC_STATUS_FORMAT, "kept rows: want one of %lld files, got file %d",
                            (long long)loader->n_files_all, part->rows[r].file);
        LRC_TRY(add_record(loader, &part->rows[r], err));
    }
    LRC_TRY(grow_tokens(loader, part->n_ids, err));
    memcpy(dataset->ids + first_id - loader->n_gone, part->ids, (size_t)part->n_ids * sizeof *part->ids);
    memcpy(dataset->targets + first_id - loader->n_gone, part->targets,
           (size_t)part->n_ids * sizeof *part->targets);
    dataset->n_ids += part->n_ids;
    for (int64_t i = 0, end; i < part->n_examples; i = end) {
        struct lrc_example example = part->examples[i];
        int                found;
        int64_t            n = 0;
        for (end = i; end < part->n_examples && part->examples[end].row_id == example.row_id; end++)
            n += part->examples[end].n_tokens;
        if (loader->options->drop_duplicates)
            LRC_TRY(lrc_dedup_find(&found, &loader->dedup, part->ids + example.first,
                                   part->targets + example.first, n, err));
        if (example.row_id < first_row || example.row_id >= dataset->n_rows)
            return lrc_fail(err, LRC_STATUS_FORMAT, "kept rows: want examples of them, got one of row %u",
                            example.row_id);
        for (int64_t k = i; k < end; k++) {
            example = part->examples[k];
            example.first += first_id;
            LRC_TRY(add_example(loader, &example, err));
        }
    }
    note_examples(loader);
    return LRC_STATUS_OK;
}
