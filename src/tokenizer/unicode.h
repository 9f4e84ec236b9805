/* UTF-8 and the character classes the tokenizer stages speak of. */
#ifndef LRC_TOKENIZER_UNICODE_H
#define LRC_TOKENIZER_UNICODE_H

#include "base/buf.h"
#include "base/status.h"
#include <stddef.h>
#include <stdint.h>

/* The character at text[0..n), n >= 1. Returns its length and sets *cp; broken bytes give *cp = -1 and the
 * length of the maximal subpart (Unicode 15, section 3.9, "U+FFFD substitution of maximal subparts"). */
size_t lrc_utf8_step(int32_t *cp, const char *text, size_t n);

/* Bytes of text up to the first broken one; n when all of it is UTF-8. */
size_t lrc_utf8_valid(const char *text, size_t n);

/* Start of the last character of text[0..n), n >= 1, text UTF-8. */
size_t lrc_utf8_last(const char *text, size_t n);

void lrc_utf8_append(struct lrc_buf *buf, int32_t cp);
void lrc_utf8_append_lossy(struct lrc_buf *buf, const char *bytes,
                           size_t n); /* each broken subpart as U+FFFD */

int lrc_char_is_space(int32_t cp);       /* White_Space */
int lrc_char_is_numeric(int32_t cp);     /* Nd, Nl, No */
int lrc_char_is_punctuation(int32_t cp); /* P*, and the ASCII signs $+<=>^`|~ */
int lrc_char_is_mark(int32_t cp);        /* Mn, Mc, Me */
int lrc_char_is_word(int32_t cp);        /* \w of UTS 18: Alphabetic, M*, Nd, Pc, Join_Control */

enum lrc_unicode_form { LRC_UNICODE_NFC, LRC_UNICODE_NFD, LRC_UNICODE_NFKC, LRC_UNICODE_NFKD };

/* Append text in a normalization form (UAX 15). Linear, whatever the run of combining marks.
 * errors: NOMEM. */
enum lrc_status lrc_unicode_normalize(struct lrc_buf *out, const char *text, size_t n,
                                      enum lrc_unicode_form form, struct lrc_error *err) LRC_MUST_CHECK;

void lrc_unicode_lowercase(struct lrc_buf *out, const char *text,
                           size_t n); /* character by character, no context */

#endif
