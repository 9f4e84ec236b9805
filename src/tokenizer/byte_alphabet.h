/* The 256 printable characters that byte-level BPE writes bytes with.
 *
 * 0x21-0x7E, 0xA1-0xAC and 0xAE-0xFF stand for themselves; the other 68 bytes, in order, are U+0100 and up.
 * source: Radford et al. 2019 (GPT-2), encoder.py, bytes_to_unicode */
#ifndef LRC_TOKENIZER_BYTE_ALPHABET_H
#define LRC_TOKENIZER_BYTE_ALPHABET_H

#include <stdint.h>

enum { LRC_BYTE_ALPHABET_END = 0x144 }; /* one more than the largest character */

static inline int lrc_byte_is_itself(int32_t byte)
{
    return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || (byte >= 0xAE && byte <= 0xFF);
}

/* The bytes that do not stand for themselves are 0x00-0x20, 0x7F-0xA0 and 0xAD. */
static inline int32_t lrc_byte_to_char(unsigned char byte)
{
    if (lrc_byte_is_itself(byte))
        return byte;
    return 0x100 + (byte <= 0x20 ? byte : byte <= 0xA0 ? byte - 0x7F + 0x21 : 0x43);
}

/* -1: not one of the 256. */
static inline int lrc_byte_from_char(int32_t cp)
{
    if (cp < 0x100)
        return lrc_byte_is_itself(cp) ? (int)cp : -1;
    if (cp >= LRC_BYTE_ALPHABET_END)
        return -1;
    return (int)(cp <= 0x120 ? cp - 0x100 : cp <= 0x142 ? cp - 0x121 + 0x7F : 0xAD);
}

#endif
