/* The state of lrc_dataset__load(), shared by dataset_load.c (files, parts) and dataset_rows.c (rows into
 * examples). */
#ifndef LRC_DATA_LOADER__PRIVATE_H
#define LRC_DATA_LOADER__PRIVATE_H

#include "data/dataset.h"
#include "data/dedup.h"
#include "data/row_file.h"

enum { LRC_LOADER_BATCH_ROWS = 512 }; /* encoded at once, then taken over in their order */

struct lrc_loader_slot {
    struct lrc_encoded encoded;
    enum lrc_status    status;
    struct lrc_error   err;
    int                is_in_split;
};

struct lrc_loader {
    struct lrc_dataset               *dataset;
    const struct lrc_dataset_options *options;
    const struct lrc_token_sink      *sink; /* NULL: tokens stay in dataset */
    struct lrc_problems              *problems;
    int                               n_problems_before;
    struct lrc_loader_slot           *slots; /* (LRC_LOADER_BATCH_ROWS) */
    struct lrc_dedup                  dedup;
    struct lrc_hash                   tokens_hash;
    struct lrc_load_progress          progress;
    unsigned char *ends_turns; /* (n_files_all) a trained part of the file ends with a special token */
    int64_t        n_files_all;
    int64_t        ids_cap, examples_cap, rows_cap;
    /* ids and targets hold [n_gone, n_ids); rows and examples up to these have gone with them */
    int64_t n_gone, n_rows_gone, n_examples_gone;
    int64_t n_examples_hashed;
    int64_t n_rows_restored;
};

/* What the files of one spec had. */
struct lrc_loader_spec {
    const struct lrc_data_format *format;             /* of the last file */
    int64_t                       first_row, end_row; /* rows of the spec that its split takes */
    int64_t                       n_rows, n_tokens, n_trained;
    int64_t                       tally[LRC_ROW_FATE_COUNT];
};

/* One file while it is read. */
struct lrc_loader_file {
    const struct lrc_dataset_spec *spec;
    const struct lrc_data_format  *format;
    struct lrc_data_context        context;
    struct lrc_row_file            file;
    struct lrc_loader_spec        *part;
};

/* Encode the file's batch on all threads and take its rows over; those that were restored are passed. */
enum lrc_status lrc_loader__encode_batch(struct lrc_loader *loader, struct lrc_loader_file *source,
                                         struct lrc_error *err) LRC_MUST_CHECK;
/* Append the rows and examples of a restored part. errors: FORMAT when it does not fit. */
enum lrc_status lrc_loader__take_part(struct lrc_loader *loader, const struct lrc_token_part *part,
                                      struct lrc_error *err) LRC_MUST_CHECK;

#endif
