#include "tokenizer/unicode.h"

#include "base/alloc.h"
#include <string.h>
#include <utf8proc.h>

size_t lrc_utf8_step(int32_t *cp, const char *text, size_t n)
{
    const unsigned char *s = (const unsigned char *)text;
    const unsigned char  lead = s[0];
    unsigned char        low = 0x80, high = 0xBF; /* bounds of the second byte */
    size_t               n_tail;

    *cp = -1;
    if (lead < 0x80) {
        *cp = lead;
        return 1;
    }
    if (lead < 0xC2 || lead > 0xF4)
        return 1;
    n_tail = lead < 0xE0 ? 1 : lead < 0xF0 ? 2 : 3;
    if (lead == 0xE0)
        low = 0xA0; /* overlong */
    else if (lead == 0xED)
        high = 0x9F; /* surrogates */
    else if (lead == 0xF0)
        low = 0x90; /* overlong */
    else if (lead == 0xF4)
        high = 0x8F; /* above U+10FFFF */

    int32_t value = lead & (0x3F >> n_tail);
    for (size_t i = 1; i <= n_tail; i++) {
        if (i >= n || s[i] < low || s[i] > high)
            return i;
        value = value << 6 | (s[i] & 0x3F);
        low = 0x80;
        high = 0xBF;
    }
    *cp = value;
    return n_tail + 1;
}

size_t lrc_utf8_valid(const char *text, size_t n)
{
    size_t at = 0;
    while (at < n) {
        int32_t      cp;
        const size_t step = lrc_utf8_step(&cp, text + at, n - at);
        if (cp < 0)
            break;
        at += step;
    }
    return at;
}

size_t lrc_utf8_last(const char *text, size_t n)
{
    size_t at = n - 1;
    while (at > 0 && ((unsigned char)text[at] & 0xC0) == 0x80)
        at--;
    return at;
}

void lrc_utf8_append(struct lrc_buf *buf, int32_t cp)
{
    utf8proc_uint8_t       bytes[4];
    const utf8proc_ssize_t n = utf8proc_encode_char(cp, bytes);
    lrc_buf_append(buf, bytes, (size_t)n);
}

void lrc_utf8_append_lossy(struct lrc_buf *buf, const char *bytes, size_t n)
{
    size_t good = 0; /* start of the run of whole characters */
    for (size_t at = 0; at < n;) {
        int32_t      cp;
        const size_t step = lrc_utf8_step(&cp, bytes + at, n - at);
        if (cp < 0) {
            lrc_buf_append(buf, bytes + good, at - good);
            lrc_buf_puts(buf, "\xEF\xBF\xBD");
            good = at + step;
        }
        at += step;
    }
    lrc_buf_append(buf, bytes + good, n - good);
}

int lrc_char_is_space(int32_t cp)
{
    return (cp >= 0x09 && cp <= 0x0D) || cp == 0x20 || cp == 0x85 || cp == 0xA0 || cp == 0x1680 ||
           (cp >= 0x2000 && cp <= 0x200A) || cp == 0x2028 || cp == 0x2029 || cp == 0x202F || cp == 0x205F ||
           cp == 0x3000;
}

int lrc_char_is_numeric(int32_t cp)
{
    const utf8proc_category_t category = utf8proc_category(cp);
    return category >= UTF8PROC_CATEGORY_ND && category <= UTF8PROC_CATEGORY_NO;
}

int lrc_char_is_punctuation(int32_t cp)
{
    const utf8proc_category_t category = utf8proc_category(cp);
    if (category >= UTF8PROC_CATEGORY_PC && category <= UTF8PROC_CATEGORY_PO)
        return 1;
    return cp > 0 && cp < 0x80 && strchr("$+<=>^`|~", cp) != NULL;
}

int lrc_char_is_mark(int32_t cp)
{
    const utf8proc_category_t category = utf8proc_category(cp);
    return category >= UTF8PROC_CATEGORY_MN && category <= UTF8PROC_CATEGORY_ME;
}

int lrc_char_is_word(int32_t cp)
{
    switch (utf8proc_category(cp)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_PC: return 1;
    default: break;
    }
    /* Other_Alphabetic outside M*: circled and squared letters; then Join_Control. */
    return (cp >= 0x24B6 && cp <= 0x24E9) || (cp >= 0x1F130 && cp <= 0x1F149) ||
           (cp >= 0x1F150 && cp <= 0x1F169) || (cp >= 0x1F170 && cp <= 0x1F189) || cp == 0x200C ||
           cp == 0x200D;
}

/* Below these code points text is already in the form: no decomposition applies and no mark can reorder. */
static int32_t first_changed(enum lrc_unicode_form form)
{
    return form == LRC_UNICODE_NFC ? 0x300 : form == LRC_UNICODE_NFD ? 0xC0 : 0xA0;
}

static int is_normalized(const char *text, size_t n, enum lrc_unicode_form form)
{
    const int32_t bound = first_changed(form);
    for (size_t at = 0; at < n;) {
        int32_t cp;
        at += lrc_utf8_step(&cp, text + at, n - at);
        if (cp >= bound)
            return 0;
    }
    return 1;
}

struct codepoints {
    int32_t *data;
    int64_t  len, cap;
};

static int codepoints_reserve(struct codepoints *list, int64_t extra)
{
    if (list->len + extra <= list->cap)
        return 1;
    const int64_t cap = (list->len + extra) * 2;
    int32_t      *data = lrc_realloc(list->data, cap, sizeof *data);
    if (!data)
        return 0;
    list->data = data;
    list->cap = cap;
    return 1;
}

/* Stable order of a run of marks by combining class, by counting: utf8proc's own exchange sort is quadratic.
 */
static int sort_run(int32_t *run, int64_t n)
{
    if (n < 2)
        return 1;
    int64_t  first[257] = { 0 };
    int32_t *sorted = lrc_realloc(NULL, n, sizeof *sorted);
    if (!sorted)
        return 0;
    for (int64_t i = 0; i < n; i++)
        first[(utf8proc_get_property(run[i])->combining_class & 0xFF) + 1]++;
    for (int i = 0; i < 256; i++)
        first[i + 1] += first[i];
    for (int64_t i = 0; i < n; i++)
        sorted[first[utf8proc_get_property(run[i])->combining_class & 0xFF]++] = run[i];
    memcpy(run, sorted, (size_t)n * sizeof *run);
    lrc_free(sorted);
    return 1;
}

static int reorder_marks(struct codepoints *list)
{
    int64_t start = 0;
    for (int64_t i = 0; i <= list->len; i++) {
        if (i < list->len && utf8proc_get_property(list->data[i])->combining_class != 0)
            continue;
        if (!sort_run(list->data + start, i - start))
            return 0;
        start = i + 1;
    }
    return 1;
}

static int decompose(struct codepoints *list, const char *text, size_t n, utf8proc_option_t options)
{
    enum { EXPANSION_MAX = 32 }; /* the longest compatibility decomposition has 18 characters (U+FDFA) */
    for (size_t at = 0; at < n;) {
        int32_t cp;
        at += lrc_utf8_step(&cp, text + at, n - at);
        if (!codepoints_reserve(list, EXPANSION_MAX))
            return 0;
        int                    last_boundclass = 0;
        const utf8proc_ssize_t got =
            utf8proc_decompose_char(cp, list->data + list->len, EXPANSION_MAX, options, &last_boundclass);
        LRC_ASSERT(got >= 0 && got <= EXPANSION_MAX);
        list->len += got;
    }
    return 1;
}

enum lrc_status lrc_unicode_normalize(struct lrc_buf *out, const char *text, size_t n,
                                      enum lrc_unicode_form form, struct lrc_error *err)
{
    if (is_normalized(text, n, form)) {
        lrc_buf_append(out, text, n);
        return lrc_buf_check(out, err);
    }
    const int         compose = form == LRC_UNICODE_NFC || form == LRC_UNICODE_NFKC;
    const int         compat = form == LRC_UNICODE_NFKC || form == LRC_UNICODE_NFKD;
    const int         options = UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | (compat ? UTF8PROC_COMPAT : 0);
    struct codepoints list = { 0 };
    enum lrc_status   status = LRC_STATUS_OK;

    if (!decompose(&list, text, n, (utf8proc_option_t)options) || !reorder_marks(&list)) {
        status = lrc_fail_nomem(err, "normalized text");
        goto done;
    }
    if (compose)
        list.len = utf8proc_normalize_utf32(list.data, list.len, UTF8PROC_STABLE | UTF8PROC_COMPOSE);
    for (int64_t i = 0; i < list.len; i++)
        lrc_utf8_append(out, list.data[i]);
    status = lrc_buf_check(out, err);
done:
    lrc_free(list.data);
    return status;
}

void lrc_unicode_lowercase(struct lrc_buf *out, const char *text, size_t n)
{
    for (size_t at = 0; at < n;) {
        int32_t cp;
        at += lrc_utf8_step(&cp, text + at, n - at);
        if (cp == 0x130) /* the only character whose lower case is two */
            lrc_buf_puts(out, "i\xCC\x87");
        else
            lrc_utf8_append(out, utf8proc_tolower(cp));
    }
}
