/* UTF-8 as Python's str sees it. A byte that is not UTF-8 counts as one character of its own. */
#ifndef LRC_TEMPLATE_TEXT_H
#define LRC_TEMPLATE_TEXT_H

#include <stddef.h>
#include <stdint.h>

/* Bytes of the character at bytes[0], 1 to n; its code point to *point (not NULL). n >= 1. */
size_t lrc_text__next(const char *bytes, size_t n, int32_t *point);
int64_t lrc_text__count(const char *bytes, size_t n);
/* Byte offset of the index-th character, n when there are fewer. */
size_t lrc_text__offset(const char *bytes, size_t n, int64_t index);
int lrc_text__is_space(int32_t point); /* str.isspace() */
int lrc_text__is_printable(int32_t point);
int lrc_text__is_digit(int32_t point);
int lrc_text__is_letter(int32_t point);
int lrc_text__is_letter_or_number(int32_t point);
/* Bytes of space at the beginning and at the end. */
size_t lrc_text__space_before(const char *bytes, size_t n);
size_t lrc_text__space_after(const char *bytes, size_t n);
size_t lrc_text__encode(char out[4], int32_t point);

#endif
