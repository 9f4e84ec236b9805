/* Base64 (RFC 4648, section 4), as tokenizer files hold bytes. */
#ifndef LRC_TOKENIZER_BASE64_H
#define LRC_TOKENIZER_BASE64_H

#include "base/buf.h"
#include <stddef.h>

/* Append the bytes of text. Returns how many characters were read: n, or where the first stands that is none of
 * the alphabet. Padding may be absent; an incomplete last group gives its whole bytes. */
size_t lrc_base64_decode(struct lrc_buf *bytes, const char *text, size_t n);

#endif
