#include "template/text.h"

#include <string.h>
#include <utf8proc.h>

size_t lrc_text__next(const char *bytes, size_t n, int32_t *point)
{
    const unsigned char c = (unsigned char)bytes[0];
    if (c < 0x80) {
        *point = c;
        return 1;
    }
    utf8proc_int32_t found;
    const utf8proc_ssize_t n_read =
        utf8proc_iterate((const utf8proc_uint8_t *)bytes, (utf8proc_ssize_t)(n < 4 ? n : 4), &found);
    if (n_read < 1) {
        *point = 0xfffd;
        return 1;
    }
    *point = found;
    return (size_t)n_read;
}

int64_t lrc_text__count(const char *bytes, size_t n)
{
    int64_t count = 0;
    int32_t point;
    for (size_t i = 0; i < n; count++)
        i += lrc_text__next(bytes + i, n - i, &point);
    return count;
}

size_t lrc_text__offset(const char *bytes, size_t n, int64_t index)
{
    size_t i = 0;
    int32_t point;
    for (; index > 0 && i < n; index--)
        i += lrc_text__next(bytes + i, n - i, &point);
    return i;
}

int lrc_text__is_space(int32_t point)
{
    if (point < 0x80)
        return (point >= 9 && point <= 13) || (point >= 28 && point <= 32);
    return point == 0x85 || point == 0xa0 || point == 0x1680 || (point >= 0x2000 && point <= 0x200a) ||
           point == 0x2028 || point == 0x2029 || point == 0x202f || point == 0x205f || point == 0x3000;
}

int lrc_text__is_printable(int32_t point)
{
    if (point < 0x80)
        return point >= 0x20 && point != 0x7f;
    switch (utf8proc_category(point)) {
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
    case UTF8PROC_CATEGORY_ZS:
        return 0;
    default:
        return 1;
    }
}

size_t lrc_text__space_before(const char *bytes, size_t n)
{
    size_t i = 0;
    while (i < n) {
        int32_t point;
        const size_t step = lrc_text__next(bytes + i, n - i, &point);
        if (!lrc_text__is_space(point))
            break;
        i += step;
    }
    return i;
}

size_t lrc_text__space_after(const char *bytes, size_t n)
{
    size_t end = n;
    while (end > 0) {
        size_t start = end - 1;
        while (start > 0 && end - start < 4 && ((unsigned char)bytes[start] & 0xc0) == 0x80)
            start--;
        int32_t point;
        if (lrc_text__next(bytes + start, end - start, &point) != end - start || !lrc_text__is_space(point))
            break;
        end = start;
    }
    return n - end;
}

size_t lrc_text__encode(char out[4], int32_t point)
{
    utf8proc_uint8_t bytes[4];
    const utf8proc_ssize_t n = utf8proc_codepoint_valid(point) ? utf8proc_encode_char(point, bytes) : 0;
    if (n < 1) { /* a lone surrogate: U+FFFD */
        memcpy(out, "\xef\xbf\xbd", 3);
        return 3;
    }
    memcpy(out, bytes, (size_t)n);
    return (size_t)n;
}

int lrc_text__is_digit(int32_t point)
{
    return utf8proc_category(point) == UTF8PROC_CATEGORY_ND;
}

int lrc_text__is_letter(int32_t point)
{
    switch (utf8proc_category(point)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
        return 1;
    default:
        return 0;
    }
}

int lrc_text__is_letter_or_number(int32_t point)
{
    const utf8proc_category_t category = utf8proc_category(point);
    return lrc_text__is_letter(point) || category == UTF8PROC_CATEGORY_ND ||
           category == UTF8PROC_CATEGORY_NL || category == UTF8PROC_CATEGORY_NO;
}
