#include "tokenizer/charsmap.h"

#include "base/alloc.h"
#include "tokenizer/unicode.h"
#include <string.h>
#include <utf8proc.h>

static uint32_t read_u32(const char *bytes)
{
    const unsigned char *b = (const unsigned char *)bytes;
    return (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

enum lrc_status lrc_charsmap_read(struct lrc_charsmap *charsmap, const char *bytes, size_t n,
                                  const char *name, struct lrc_error *err)
{
    if (n == 0)
        return LRC_STATUS_OK;
    const size_t trie_bytes = n >= 4 ? read_u32(bytes) : 0;
    if (n < 4 || trie_bytes > n - 4 || trie_bytes < 4 || trie_bytes % 4 != 0)
        return lrc_fail(
            err, LRC_STATUS_FORMAT,
            "%s: precompiled_charsmap of %zu bytes: want a trie of whole units, got one of %zu bytes", name,
            n, trie_bytes);
    if (lrc_utf8_valid(bytes + 4 + trie_bytes, n - 4 - trie_bytes) != n - 4 - trie_bytes)
        return lrc_fail(err, LRC_STATUS_FORMAT,
                        "%s: precompiled_charsmap: want replacements in UTF-8, got other bytes", name);
    charsmap->n_units = (int64_t)(trie_bytes / 4);
    charsmap->units = lrc_calloc(charsmap->n_units, sizeof *charsmap->units);
    if (!charsmap->units)
        return lrc_fail_nomem(err, "precompiled_charsmap");
    for (int64_t i = 0; i < charsmap->n_units; i++)
        charsmap->units[i] = read_u32(bytes + 4 + 4 * i);
    lrc_buf_append(&charsmap->replacements, bytes + 4 + trie_bytes,
                   n - 4 - trie_bytes); /* NUL-terminated by lrc_buf */
    return lrc_buf_check(&charsmap->replacements, err);
}

void lrc_charsmap_release(struct lrc_charsmap *charsmap)
{
    lrc_free(charsmap->units);
    lrc_buf_release(&charsmap->replacements);
    *charsmap = (struct lrc_charsmap){ 0 };
}

/* Fields of a unit: bits 0-7 label with bit 31 (a leaf never equals a byte), bit 8 has_leaf, bit 9 wide
 * offset, bits 10-30 offset. */
static uint32_t unit_offset(uint32_t unit)
{
    return (unit >> 10) << ((unit & 1u << 9) >> 6);
}

const char *lrc_charsmap_find(const struct lrc_charsmap *charsmap, const char *text, size_t n,
                              enum lrc_charsmap_match match, size_t *n_key)
{
    const char *found = NULL;
    if (!charsmap->units)
        return NULL;
    uint64_t node = unit_offset(charsmap->units[0]);
    for (size_t i = 0; i < n; i++) {
        const unsigned char byte = (unsigned char)text[i];
        node ^= byte;
        if (node >= (uint64_t)charsmap->n_units || (charsmap->units[node] & (1u << 31 | 0xFF)) != byte)
            break;
        const uint32_t unit = charsmap->units[node];
        node ^= unit_offset(unit);
        if ((unit & 1u << 8) == 0)
            continue;
        if (node >= (uint64_t)charsmap->n_units)
            break;
        const uint32_t value = charsmap->units[node] & 0x7FFFFFFF;
        if (value >= charsmap->replacements.len)
            break;
        found = charsmap->replacements.data + value;
        *n_key = i + 1;
        if (match == LRC_CHARSMAP_SHORTEST)
            break;
    }
    return found;
}

/* The whole run as one key; 0 when no key begins it. */
static int replace(const struct lrc_charsmap *charsmap, struct lrc_buf *out, const char *text, size_t n)
{
    size_t      n_key;
    const char *with = lrc_charsmap_find(charsmap, text, n, LRC_CHARSMAP_SHORTEST, &n_key);
    if (with)
        lrc_buf_puts(out, with);
    return with != NULL;
}

static size_t grapheme(const char *text, size_t n)
{
    int32_t previous, cp, state = 0;
    size_t  at = lrc_utf8_step(&previous, text, n);
    while (at < n) {
        const size_t step = lrc_utf8_step(&cp, text + at, n - at);
        if (utf8proc_grapheme_break_stateful(previous, cp, &state))
            break;
        previous = cp;
        at += step;
    }
    return at;
}

void lrc_charsmap_apply(const struct lrc_charsmap *charsmap, struct lrc_buf *out, const char *text, size_t n)
{
    enum { CLUSTER_BYTES_MAX = 5 };
    for (size_t at = 0; at < n;) {
        const size_t cluster = grapheme(text + at, n - at);
        if (cluster <= CLUSTER_BYTES_MAX && replace(charsmap, out, text + at, cluster)) {
            at += cluster;
            continue;
        }
        for (const size_t end = at + cluster; at < end;) {
            int32_t      cp;
            const size_t step = lrc_utf8_step(&cp, text + at, end - at);
            if (!replace(charsmap, out, text + at, step))
                lrc_buf_append(out, text + at, step);
            at += step;
        }
    }
}
