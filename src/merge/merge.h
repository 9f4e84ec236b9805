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
