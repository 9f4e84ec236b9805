/* 4-bit block formats: one table row per type (quant/types/<name>.c). */
#ifndef LRC_QUANT_QUANT_TYPE_H
#define LRC_QUANT_QUANT_TYPE_H

#include "tensor/tensor.h"

/* Compiles a function twice and lets the loader pick: 256-bit vectors where the machine has them. No fused
 * multiply-add, so both give the same bits. Not under sanitizers, which do not expect to run before they
 * are set up. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(memory_sanitizer)
#define LRC_QUANT_SANITIZED 1
#endif
#endif
#if defined(__x86_64__) && defined(__ELF__) && !defined(__SANITIZE_ADDRESS__) && !defined(LRC_QUANT_SANITIZED)
#define LRC_QUANT_VECTORS __attribute__((target_clones("avx2", "default")))
#else
#define LRC_QUANT_VECTORS
#endif

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
