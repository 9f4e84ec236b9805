#include "tokenizer/base64.h"

#include <stdint.h>

static int value_of(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

size_t lrc_base64_decode(struct lrc_buf *bytes, const char *text, size_t n)
{
    size_t   end = n;
    uint32_t bits = 0;
    int      n_bits = 0;
    while (end > 0 && n - end < 2 && text[end - 1] == '=')
        end--;
    for (size_t i = 0; i < end; i++) {
        const int value = value_of(text[i]);
        if (value < 0)
            return i;
        bits = (bits << 6 | (uint32_t)value) & 0xFFFF;
        n_bits += 6;
        if (n_bits >= 8) {
            n_bits -= 8;
            lrc_buf_putc(bytes, (char)(bits >> n_bits & 0xFF));
        }
    }
    return n;
}
