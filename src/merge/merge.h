/* An adapter merged into the weights of its base.
 *
 *   W' = round(W + scale * B A),   W, B, A and the sum in float32, one rounding to W's element type
 *
 * Every other tensor, the sharding, file names, order of tensors and metadata stay as they are. A 4-bit base
 * is dequantized: its linears become BF16, and quantization_config leaves config.json.
 *
 * source: PEFT, tuners/lora/layer.py, merge() without safe_merge. */
#ifndef LRC_MERGE_MERGE_H
#define LRC_MERGE_MERGE_H

#include "base/problems.h"
#include <stdint.h>

struct lrc_merge_options {
    const char *base;     /* model folder */
    const char *adapter;  /* folder in PEFT's format */
    const char *out;      /* folder to make; empty if it is there */
    int         any_base; /* also when the adapter was trained on another base of the same shapes */
    void (*progress)(int64_t done, int64_t total, double rate, double loss); /* tensors; may be NULL */
};

struct lrc_merge_report {
    int64_t n_tensors;      /* written */
    int64_t n_merged;       /* linears with an adapter */
    int64_t n_weights;      /* elements of those */
    int64_t n_changed;      /* of them, after rounding */
    int64_t n_bytes;        /* of all weight files */
    double  proof_max;      /* largest share of its bound that a proof used: below 1 */
    double  seconds;        /* all of it */
    double  reread_seconds; /* of which reading again what was written */
};

/* Memory: the files are mapped, and worked on in panels of a few MiB.
 *
 * Each linear is proved while it is in memory: for random signs x, W'x - Wx must equal scale * B (A x) within
 * the bound that rounding allows. Each file is read again after it was written and compared by hash.
 *
 * out appears complete or not at all.
 *
 * errors: USAGE when out is there and not empty; NOSPACE before anything is written; FORMAT, UNSUPPORTED, IO,
 * NOMEM from reading; NUMERIC when a weight is not finite, a proof fails, or nothing changed at all. */
enum lrc_status lrc_merge(const struct lrc_merge_options *options, struct lrc_merge_report *report,
                          struct lrc_problems *problems, struct lrc_error *err) LRC_MUST_CHECK;

#endif
