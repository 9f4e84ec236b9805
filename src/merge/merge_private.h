/* Shared by the files of merge/. */
#ifndef LRC_MERGE_MERGE_PRIVATE_H
#define LRC_MERGE_MERGE_PRIVATE_H

#include "adapter/adapter.h"
#include "base/out_dir.h"
#include "merge/merge.h"

/* A thread makes a step of rows, and writes it while it is in the cache; its weights come there a panel at a
 * time. Neither is less than TILE_ROWS rows. */
enum {
    LRC_MERGE_STEP_ELEMS = 1 << 18,
    LRC_MERGE_PANEL_ELEMS = 1 << 16,
    LRC_MERGE_TILE_ROWS = 4,
    LRC_MERGE_PROBES = 2
};

/* What one thread works in, and what the rows it made told. */
struct lrc_merge_row_sums {
    double  projected[LRC_MERGE_PROBES]; /* (W' - W) x */
    double  squares;                     /* |W'|^2 */
    int64_t n_changed;
};
struct lrc_merge_worker {
    float                     *weight; /* (panel_elems) */
    struct lrc_merge_row_sums *sums;   /* (panel_elems / cols) */
    unsigned char             *out;    /* (step_elems) in the element type of the output */
    int64_t                    n_changed;
    double                     proof_max;
};

struct lrc_merge_run {
    const struct lrc_merge_options *options;
    struct lrc_merge_report        *report;
    struct lrc_model                model;
    struct lrc_adapter              adapter;
    const struct lrc_backend       *backend;
    struct lrc_merge_worker        *worker; /* (n_workers): one a thread */
    int                             n_workers;
    int64_t                         step_elems, panel_elems; /* as above */
    double                         *signs;                   /* (PROBES, cols_max): the x of the proof */
    int64_t                         cols_max, n_done;        /* done: tensors */
    struct lrc_out_dir              out;
    char recorded[LRC_HASH_HEX_MAX]; /* the base that the adapter names; "": none */
};

/* What is done with an entry of the base's files. */
enum lrc_merge_action { LRC_MERGE_COPY, LRC_MERGE_LINEAR, LRC_MERGE_DROP };
struct lrc_merge_entry {
    enum lrc_merge_action               action;
    const struct lrc_safetensors_entry *entry;
    const struct lrc_weight            *weight;  /* LINEAR */
    const struct lrc_linear_adapter    *adapter; /* LINEAR; NULL: only dequantized */
    enum lrc_dtype                      dtype;   /* of the output */
    double                             *probes;  /* (PROBES + 1, R): see merge_linear.c */
};
void   lrc_merge_classify(struct lrc_merge_entry *entry, struct lrc_merge_run *run,
                          const struct lrc_safetensors_entry *source);
size_t lrc_merge_entry_bytes(const struct lrc_merge_entry *entry);

/* entry->probes of a linear with an adapter: how many, and their values. */
int64_t lrc_merge_probe_elems(const struct lrc_merge_entry *entry);
void    lrc_merge_probe(const struct lrc_merge_run *run, const struct lrc_merge_entry *entry);

/* Rows [first, first + n) of a linear into worker->out. */
enum lrc_status lrc_merge_rows(struct lrc_merge_worker *worker, const struct lrc_merge_run *run,
                               const struct lrc_merge_entry *entry, int64_t first, int64_t n,
                               struct lrc_error *err) LRC_MUST_CHECK;

/* One weight file: written, read again, compared. */
enum lrc_status lrc_merge_shard(struct lrc_merge_run *run, int shard, struct lrc_error *err) LRC_MUST_CHECK;
/* config.json and the index, and all files beside them. */
enum lrc_status lrc_merge_rest(struct lrc_merge_run *run, struct lrc_error *err) LRC_MUST_CHECK;

#endif
