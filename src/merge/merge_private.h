/* Shared by the files of merge/. */
#ifndef LRC_MERGE_MERGE_PRIVATE_H
#define LRC_MERGE_MERGE_PRIVATE_H

#include "adapter/adapter.h"
#include "merge/merge.h"

#include <pthread.h>

enum { LRC_MERGE_PANEL_ELEMS = 1 << 20, LRC_MERGE_PROBES = 2 };

/* Buffers for one panel of rows. */
struct lrc_merge_panel {
    float *weight;         /* (rows, cols) */
    float *delta;          /* B A of the panel */
    unsigned char *out[2]; /* in the element type of the output: one is written while the other is filled */
    int turn;
    double *probes; /* of the linear at hand: see merge_linear.c */
    int64_t elems_max, rank_max, cols_max;
};

struct lrc_merge_run {
    const struct lrc_merge_options *options;
    struct lrc_merge_report *report;
    struct lrc_model model;
    struct lrc_adapter adapter;
    const struct lrc_backend *backend;
    struct lrc_merge_panel panel;
    char *out;   /* without trailing slashes */
    char recorded[LRC_HASH_HEX_MAX]; /* the base that the adapter names; "": none */
    char *aside; /* "<out>.tmp": what is written until all is done */
};

/* A checksum that any changed byte changes: eight lanes of 64 bits, each a bijection of its state per word.
 * Not cryptographic: it guards against our own and the disk's mistakes, at the speed of memory. */
struct lrc_merge_sum {
    uint64_t lane[8];
    unsigned char rest[64];
    size_t n_rest;
    uint64_t n_bytes;
};
void lrc_merge_sum_init(struct lrc_merge_sum *sum);
void lrc_merge_sum_add(struct lrc_merge_sum *sum, const void *bytes, size_t n);
uint64_t lrc_merge_sum_end(struct lrc_merge_sum *sum);

/* What is done with an entry of the base's files. */
enum lrc_merge_action { LRC_MERGE_COPY, LRC_MERGE_LINEAR, LRC_MERGE_DROP };
struct lrc_merge_entry {
    enum lrc_merge_action action;
    const struct lrc_safetensors_entry *entry;
    const struct lrc_weight *weight;          /* LINEAR */
    const struct lrc_linear_adapter *adapter; /* LINEAR; NULL: only dequantized */
    enum lrc_dtype dtype;                     /* of the output */
};
void lrc_merge_classify(struct lrc_merge_entry *entry, struct lrc_merge_run *run,
                        const struct lrc_safetensors_entry *source);
size_t lrc_merge_entry_bytes(const struct lrc_merge_entry *entry);

/* A thread that sums and writes while the next panel is computed: half of the time goes into copying to the
 * kernel. */
typedef enum lrc_status lrc_merge_write(void *file, const void *bytes, size_t n, struct lrc_error *err);
struct lrc_merge_writer {
    lrc_merge_write *write;
    void *file;
    struct lrc_merge_sum sum; /* of all bytes written */
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    const void *bytes; /* NULL: nothing to do */
    size_t n_bytes;
    int stop;
    enum lrc_status status; /* the first failure */
    struct lrc_error error;
};
enum lrc_status lrc_merge_writer_start(struct lrc_merge_writer *writer, lrc_merge_write *write, void *file,
                                       struct lrc_error *err) LRC_MUST_CHECK;
/* Returns when the bytes of the call before are written; these must stay until the next call or stop. */
enum lrc_status lrc_merge_writer_put(struct lrc_merge_writer *writer, const void *bytes, size_t n,
                                     struct lrc_error *err) LRC_MUST_CHECK;
/* Waits for the last bytes. */
enum lrc_status lrc_merge_writer_stop(struct lrc_merge_writer *writer, struct lrc_error *err) LRC_MUST_CHECK;

enum lrc_status lrc_merge_linear(struct lrc_merge_run *run, const struct lrc_merge_entry *entry,
                                 struct lrc_merge_writer *writer, struct lrc_error *err) LRC_MUST_CHECK;

/* One weight file: written, read again, compared. */
enum lrc_status lrc_merge_shard(struct lrc_merge_run *run, int shard, struct lrc_error *err) LRC_MUST_CHECK;
/* config.json and the index, and all files beside them. */
enum lrc_status lrc_merge_rest(struct lrc_merge_run *run, struct lrc_error *err) LRC_MUST_CHECK;

#endif
