/* The stages of byte-level vocabularies that come without a tokenizer.json: the text is cut by a regular expression,
 * and each cut is written in the byte alphabet. */
#ifndef LRC_TOKENIZER_BYTE_LEVEL_H
#define LRC_TOKENIZER_BYTE_LEVEL_H

#include "tokenizer/tokenizer_parts.h"

/* Radford et al. 2019 (GPT-2), encoder.py; tiktoken calls it r50k. */
#define LRC_REGEX_GPT2 "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"

/* cl100k and what came of it; digits: "\\p{N}" (Qwen) or "\\p{N}{1,3}" (GPT-4, Llama 3). */
#define LRC_REGEX_CL100K(digits)                                                                             \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" digits                                     \
    "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

/* o200k (GPT-4o): words end where a lower case letter is followed by an upper case one. */
#define LRC_REGEX_O200K                                                                                      \
    "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+"              \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)?"                                                                          \
    "|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*"             \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)?"                                                                          \
    "|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

struct lrc_byte_level {
    const char *regex;
    int         nfc; /* the text is normalized first */
};

/* Set normalizer, pre-tokenizer and decoder. errors: UNSUPPORTED (the regular expression), NOMEM. */
enum lrc_status lrc_tokenizer_set_byte_level(struct lrc_tokenizer        *tokenizer,
                                             const struct lrc_byte_level *options, const char *name,
                                             struct lrc_error *err) LRC_MUST_CHECK;

#endif
