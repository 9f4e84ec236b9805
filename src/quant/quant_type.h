/* 4-bit block formats: one table row per type (quant/types/<name>.c). An element gets the code of the value
 * that is nearest, in the middle between two of the lower: see lrc_quant_levels(). */
#ifndef LRC_QUANT_QUANT_TYPE_H
#define LRC_QUANT_QUANT_TYPE_H

#include "tensor/tensor.h"

struct lrc_quant_type {
    const char         *name; /* "nf4": bitsandbytes' spelling, also the config's */
    enum lrc_block_type type;
    const float        *code; /* (16) values of the codes */
};

extern const struct lrc_quant_type *const lrc_quant_type_all[]; /* generated; NULL-terminated */
const struct lrc_quant_type              *lrc_quant_type_find(const char *name);       /* NULL when unknown */
const struct lrc_quant_type              *lrc_quant_type_of(enum lrc_block_type type); /* NULL for DENSE */

#endif
