/* 4-bit block formats: one table row per type (quant/types/<name>.c). */
#ifndef LRC_QUANT_QUANT_TYPE_H
#define LRC_QUANT_QUANT_TYPE_H

#include "base/vectors.h"
#include "tensor/tensor.h"

struct lrc_quant_type {
    const char         *name; /* "nf4": bitsandbytes' spelling, also the config's */
    enum lrc_block_type type;
    const float        *code; /* (16) values of the codes */
    /* codes of n values already divided by their block's absmax */
    void (*encode)(uint8_t *codes, const float *normalised, int64_t n);
};

extern const struct lrc_quant_type *const lrc_quant_type_all[]; /* generated; NULL-terminated */
const struct lrc_quant_type *lrc_quant_type_find(const char *name);      /* NULL when unknown */
const struct lrc_quant_type *lrc_quant_type_of(enum lrc_block_type type); /* NULL for DENSE */

#endif
