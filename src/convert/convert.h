/* A model folder with the linears of its blocks in 4 bits, as transformers and bitsandbytes store them.
 *
 * What stays dense, the sharding, file names and metadata are the base's; config.json gets
 * quantization_config, everything else of it stays byte for byte. Loaded again, the linears have the bits
 * that load_in_4bit makes of the base.
 *
 * source: bitsandbytes, functional.py, QuantState.as_dict; transformers, utils/quantization_config.py */
#ifndef LRC_CONVERT_CONVERT_H
#define LRC_CONVERT_CONVERT_H

#include "base/problems.h"
#include "lorica.h"
#include "quant/quant.h"

struct lrc_convert_options {
    const char                  *model; /* folder of the base */
    const char                  *out;   /* folder to make; empty if it is there */
    const struct lrc_quant_type *type;
    int                          double_quant;
    const volatile sig_atomic_t *stop;     /* a signal once it has come; may be NULL */
    lrc_progress                *progress; /* tensors; may be NULL */
};

struct lrc_convert_report {
    int64_t n_tensors;   /* written */
    int64_t n_quantized; /* linears */
    int64_t n_weights;   /* elements of those */
    int64_t base_bytes;  /* of the base's weight files */
    int64_t n_bytes;     /* of the new ones */
    double  seconds;
};

/* Memory: the files are mapped; one linear at a time is quantized. With double quantization each is quantized
 * twice, first for the offset, whose digits the file's header must have room for; a weight that is not finite
 * is then found before anything is written.
 *
 * errors: USAGE when out is there and not empty; UNSUPPORTED for a base that is quantized; NOSPACE before
 * anything is written; NUMERIC for a weight that is not finite, named; INTERRUPTED, TERMINATED; FORMAT, IO,
 * NOMEM from reading and writing. Nothing is left behind. */
enum lrc_status lrc_convert(const struct lrc_convert_options *options, struct lrc_convert_report *report,
                            struct lrc_problems *problems, struct lrc_error *err) LRC_MUST_CHECK;

#endif
