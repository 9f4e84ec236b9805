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

/* As lrc_merge_run() in lorica.h, with a list of problems.
 *
 * Memory: the files are mapped, and worked on in pieces of a few MiB a thread. Each linear is proved while it
 * is in memory: for random signs x, W'x - Wx must equal scale * B (A x) within the bound that rounding
 * allows. Each file is read again after it was written and compared by a checksum. */
enum lrc_status lrc_merge(const struct lrc_merge_options *options, struct lrc_merge_report *report,
                          struct lrc_problems *problems, struct lrc_error *err) LRC_MUST_CHECK;

#endif
