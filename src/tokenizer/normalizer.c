#include "tokenizer/normalizer.h"

#include "base/alloc.h"
#include "tokenizer/base64.h"
#include "tokenizer/byte_alphabet.h"
#include "tokenizer/unicode.h"
#include <string.h>

#define WHAT       "normalizer"
#define META_SPACE "\xE2\x96\x81" /* U+2581 */

struct pass {
    const char         *text; /* in */
    size_t              n;
    enum lrc_at         at;
    struct lrc_matcher *matcher;
    struct lrc_buf     *out;
};

struct lrc_normalizer_kind {
    const char *type;
    enum lrc_status (*read)(struct lrc_normalizer_stage *stage, const json_t *json, const char *name,
                            struct lrc_error *err);
    enum lrc_status (*apply)(const struct lrc_normalizer_stage *stage, const struct pass *pass,
                             struct lrc_error *err);
};

static enum lrc_status read_nothing(struct lrc_normalizer_stage *stage, const json_t *json, const char *name,
                                    struct lrc_error *err)
{
    (void)stage, (void)json, (void)name, (void)err;
    return LRC_STATUS_OK;
}

static enum lrc_status nfc(const struct lrc_normalizer_stage *stage, const struct pass *pass,
                           struct lrc_error *err)
{
    (void)stage;
    return lrc_unicode_normalize(pass->out, pass->text, pass->n, LRC_UNICODE_NFC, err);
}

static enum lrc_status nfd(const struct lrc_normalizer_stage *stage, const struct pass *pass,
                           struct lrc_error *err)
{
    (void)stage;
    return lrc_unicode_normalize(pass->out, pass->text, pass->n, LRC_UNICODE_NFD, err);
}

static enum lrc_status nfkc(const struct lrc_normalizer_stage *stage, const struct pass *pass,
                            struct lrc_error *err)
{
    (void)stage;
    return lrc_unicode_normalize(pass->out, pass->text, pass->n, LRC_UNICODE_NFKC, err);
}

static enum lrc_status nfkd(const struct lrc_normalizer_stage *stage, const struct pass *pass,
                            struct lrc_error *err)
{
    (void)stage;
    return lrc_unicode_normalize(pass->out, pass->text, pass->n, LRC_UNICODE_NFKD, err);
}

static enum lrc_status lowercase(const struct lrc_normalizer_stage *stage, const struct pass *pass,
                                 struct lrc_error *err)
{
    (void)stage, (void)err;
    lrc_unicode_lowercase(pass->out, pass->text, pass->n);
    return LRC_STATUS_OK;
}

static enum lrc_status strip_accents(const struct lrc_normalizer_stage *stage, const struct pass *pass,
                                     struct lrc_error *err)
{
    (void)stage, (void)err;
    for (size_t at = 0; at < pass->n;) {
        int32_t      cp;
        const size_t step = lrc_utf8_step(&cp, pass->text + at, pass->n - at);
        if (!lrc_char_is_mark(cp))
            lrc_buf_append(pass->out, pass->text + at, step);
        at += step;
    }
    return LRC_STATUS_OK;
}

/* What SentencePiece's nmt rules drop and turn into spaces. source: tokenizers, normalizers/unicode.rs */
static int nmt_drops(int32_t cp)
{
    return (cp >= 0x01 && cp <= 0x08) || cp == 0x0B || (cp >= 0x0E && cp <= 0x1F) || cp == 0x7F ||
           cp == 0x8F || cp == 0x9F;
}

static int nmt_is_space(int32_t cp)
{
    return cp == 0x09 || cp == 0x0A || cp == 0x0C || cp == 0x0D || cp == 0x1680 ||
           (cp >= 0x200B && cp <= 0x200F) || cp == 0x2028 || cp == 0x2029 || cp == 0x2581 || cp == 0xFEFF ||
           cp == 0xFFFD;
}

static enum lrc_status nmt(const struct lrc_normalizer_stage *stage, const struct pass *pass,
                           struct lrc_error *err)
{
    (void)stage, (void)err;
    for (size_t at = 0; at < pass->n;) {
        int32_t      cp;
        const size_t step = lrc_utf8_step(&cp, pass->text + at, pass->n - at);
        if (nmt_is_space(cp))
            lrc_buf_putc(pass->out, ' ');
        else if (!nmt_drops(cp))
            lrc_buf_append(pass->out, pass->text + at, step);
        at += step;
    }
    return LRC_STATUS_OK;
}

static enum lrc_status byte_level(const struct lrc_normalizer_stage *stage, const struct pass *pass,
                                  struct lrc_error *err)
{
    (void)stage, (void)err;
    for (size_t i = 0; i < pass->n; i++)
        lrc_utf8_append(pass->out, lrc_byte_to_char((unsigned char)pass->text[i]));
    return LRC_STATUS_OK;
}

static enum lrc_status read_strip(struct lrc_normalizer_stage *stage, const json_t *json, const char *name,
                                  struct lrc_error *err)
{
    stage->left = stage->right = 1;
    LRC_TRY(lrc_json_get_bool(&stage->left, json, "strip_left", name, err));
    return lrc_json_get_bool(&stage->right, json, "strip_right", name, err);
}

static enum lrc_status strip(const struct lrc_normalizer_stage *stage, const struct pass *pass,
                             struct lrc_error *err)
{
    size_t start = 0, end = pass->n;
    (void)err;
    while (stage->left && start < end) {
        int32_t      cp;
        const size_t step = lrc_utf8_step(&cp, pass->text + start, end - start);
        if (!lrc_char_is_space(cp))
            break;
        start += step;
    }
    while (stage->right && end > start) {
        int32_t      cp;
        const size_t last = lrc_utf8_last(pass->text, end);
        (void)lrc_utf8_step(&cp, pass->text + last, end - last);
        if (!lrc_char_is_space(cp))
            break;
        end = last;
    }
    lrc_buf_append(pass->out, pass->text + start, end - start);
    return LRC_STATUS_OK;
}

static enum lrc_status read_content(struct lrc_normalizer_stage *stage, const json_t *json, const char *key,
                                    const char *name, struct lrc_error *err)
{
    const char *text;
    size_t      n;
    LRC_TRY(lrc_stage_text(&text, &n, json, key, name, err));
    lrc_buf_append(&stage->content, text, n);
    return lrc_buf_check(&stage->content, err);
}

static enum lrc_status read_prepend(struct lrc_normalizer_stage *stage, const json_t *json, const char *name,
                                    struct lrc_error *err)
{
    return read_content(stage, json, "prepend", name, err);
}

static enum lrc_status prepend(const struct lrc_normalizer_stage *stage, const struct pass *pass,
                               struct lrc_error *err)
{
    (void)err;
    if (pass->n > 0)
        lrc_buf_append(pass->out, lrc_buf_text(&stage->content), stage->content.len);
    lrc_buf_append(pass->out, pass->text, pass->n);
    return LRC_STATUS_OK;
}

static enum lrc_status read_replace(struct lrc_normalizer_stage *stage, const json_t *json, const char *name,
                                    struct lrc_error *err)
{
    LRC_TRY(lrc_pattern_read(&stage->pattern, json_object_get(json, "pattern"), name, err));
    return read_content(stage, json, "content", name, err);
}

static enum lrc_status replace(const struct lrc_normalizer_stage *stage, const struct pass *pass,
                               struct lrc_error *err)
{
    struct lrc_scan scan = {
        .pattern = &stage->pattern, .matcher = pass->matcher, .text = pass->text, .n = pass->n
    };
    size_t done = 0;
    for (;;) {
        int found;
        LRC_TRY(lrc_scan_next(&scan, &found, err));
        if (!found)
            break;
        lrc_buf_append(pass->out, pass->text + done, scan.start - done);
        lrc_buf_append(pass->out, lrc_buf_text(&stage->content), stage->content.len);
        done = scan.end;
    }
    lrc_buf_append(pass->out, pass->text + done, pass->n - done);
    return LRC_STATUS_OK;
}

static enum lrc_status read_precompiled(struct lrc_normalizer_stage *stage, const json_t *json,
                                        const char *name, struct lrc_error *err)
{
    struct lrc_buf bytes = { 0 };
    const char    *text;
    size_t         n;
    if (json_is_null(json_object_get(json, "precompiled_charsmap")))
        return LRC_STATUS_OK;
    LRC_TRY(lrc_stage_text(&text, &n, json, "precompiled_charsmap", name, err));
    const size_t n_read = lrc_base64_decode(&bytes, text, n);
    if (n_read < n) {
        lrc_buf_release(&bytes);
        return lrc_fail(err, LRC_STATUS_FORMAT,
                        "%s: 'precompiled_charsmap': want base64, got byte 0x%02x at %zu", name,
                        (unsigned char)text[n_read], n_read);
    }
    enum lrc_status status = lrc_buf_check(&bytes, err);
    if (status == LRC_STATUS_OK)
        status = lrc_charsmap_read(&stage->charsmap, lrc_buf_text(&bytes), bytes.len, name, err);
    lrc_buf_release(&bytes);
    return status;
}

static enum lrc_status precompiled(const struct lrc_normalizer_stage *stage, const struct pass *pass,
                                   struct lrc_error *err)
{
    (void)err;
    lrc_charsmap_apply(&stage->charsmap, pass->out, pass->text, pass->n);
    return LRC_STATUS_OK;
}

/* One step of SentencePiece's normalizer: a replacement of the charsmap, or the character itself. */
static size_t sentence_step(const struct lrc_normalizer_stage *stage, const char *text, size_t n,
                            const char **with, size_t *n_with)
{
    size_t n_key;
    *with = lrc_charsmap_find(&stage->charsmap, text, n, LRC_CHARSMAP_LONGEST, &n_key);
    if (*with) {
        *n_with = strlen(*with);
        return n_key;
    }
    int32_t cp;
    *with = text;
    *n_with = lrc_utf8_step(&cp, text, n);
    return *n_with;
}

static void append_space(const struct lrc_normalizer_stage *stage, struct lrc_buf *out)
{
    lrc_buf_puts(out, stage->sentence.escape_whitespaces ? META_SPACE : " ");
}

static void sentence_body(const struct lrc_normalizer_stage *stage, const struct pass *pass)
{
    const int collapse = stage->sentence.remove_extra_whitespaces;
    int       after_space = collapse;
    for (size_t at = 0; at < pass->n;) {
        const char *with;
        size_t      n_with, i = 0;
        at += sentence_step(stage, pass->text + at, pass->n - at, &with, &n_with);
        while (after_space && i < n_with && with[i] == ' ')
            i++;
        if (i < n_with)
            after_space = collapse && with[n_with - 1] == ' ';
        for (; i < n_with; i++) {
            if (with[i] == ' ')
                append_space(stage, pass->out);
            else
                lrc_buf_putc(pass->out, with[i]);
        }
    }
}

static enum lrc_status sentence(const struct lrc_normalizer_stage *stage, const struct pass *pass,
                                struct lrc_error *err)
{
    const struct lrc_sentence_options *options = &stage->sentence;
    const char                        *space = options->escape_whitespaces ? META_SPACE : " ";
    const size_t                       n_space = strlen(space);
    const int dummy = options->add_dummy_prefix && (!options->first_only || pass->at == LRC_AT_START);

    if (dummy && !options->whitespace_as_suffix)
        append_space(stage, pass->out);
    const size_t start = pass->out->len;
    sentence_body(stage, pass);
    LRC_TRY(lrc_buf_check(pass->out, err));
    struct lrc_buf *out = pass->out;
    while (options->remove_extra_whitespaces && out->len >= start + n_space &&
           memcmp(out->data + out->len - n_space, space, n_space) == 0)
        out->data[out->len -= n_space] = 0;
    if (out->len == start && (options->remove_extra_whitespaces || pass->n == 0))
        lrc_buf_clear(out); /* nothing but white space: no dummy either */
    else if (dummy && options->whitespace_as_suffix)
        append_space(stage, out);
    return LRC_STATUS_OK;
}

static const struct lrc_normalizer_kind SENTENCE = { "SentencePiece", NULL, sentence };

static const struct lrc_normalizer_kind KINDS[] = {
    { "NFC", read_nothing, nfc },
    { "NFD", read_nothing, nfd },
    { "NFKC", read_nothing, nfkc },
    { "NFKD", read_nothing, nfkd },
    { "Lowercase", read_nothing, lowercase },
    { "StripAccents", read_nothing, strip_accents },
    { "Strip", read_strip, strip },
    { "Prepend", read_prepend, prepend },
    { "Replace", read_replace, replace },
    { "Precompiled", read_precompiled, precompiled },
    { "Nmt", read_nothing, nmt },
    { "ByteLevel", read_nothing, byte_level },
};

static enum lrc_status read_stage(void *into, const char *type, const json_t *json, const char *name,
                                  struct lrc_error *err)
{
    struct lrc_normalizer *normalizer = into;
    for (size_t i = 0; i < sizeof KINDS / sizeof *KINDS; i++) {
        if (strcmp(KINDS[i].type, type) != 0)
            continue;
        struct lrc_normalizer_stage *stage = &normalizer->stages[normalizer->n_stages++];
        stage->kind = &KINDS[i];
        return stage->kind->read(stage, json, name, err);
    }
    return lrc_stage_unknown(type, WHAT, name, err);
}

static const struct lrc_stage_list LIST = { WHAT, "normalizers", read_stage };

enum lrc_status lrc_normalizer_read(struct lrc_normalizer *normalizer, const json_t *json, const char *name,
                                    struct lrc_error *err)
{
    return lrc_stage_list_read(&LIST, normalizer, json, name, err);
}

void lrc_normalizer_add_sentence(struct lrc_normalizer             *normalizer,
                                 const struct lrc_sentence_options *options, struct lrc_charsmap *charsmap)
{
    LRC_ASSERT(normalizer->n_stages < LRC_STAGES_MAX);
    struct lrc_normalizer_stage *stage = &normalizer->stages[normalizer->n_stages++];
    stage->kind = &SENTENCE;
    stage->sentence = *options;
    stage->charsmap = *charsmap;
    *charsmap = (struct lrc_charsmap){ 0 };
}

enum lrc_status lrc_normalizer_apply(const struct lrc_normalizer *normalizer, struct lrc_buf *text,
                                     enum lrc_at at, struct lrc_matcher *matcher, struct lrc_error *err)
{
    struct lrc_buf  out = { 0 };
    enum lrc_status status = lrc_buf_check(text, err);
    for (int i = 0; i < normalizer->n_stages && status == LRC_STATUS_OK; i++) {
        const struct pass pass = { lrc_buf_text(text), text->len, at, matcher, &out };
        status = normalizer->stages[i].kind->apply(&normalizer->stages[i], &pass, err);
        if (status == LRC_STATUS_OK)
            status = lrc_buf_check(&out, err);
        const struct lrc_buf swapped = *text;
        *text = out;
        out = swapped;
        lrc_buf_clear(&out);
    }
    lrc_buf_release(&out);
    return status;
}

void lrc_normalizer_release(struct lrc_normalizer *normalizer)
{
    for (int i = 0; i < normalizer->n_stages; i++) {
        lrc_pattern_release(&normalizer->stages[i].pattern);
        lrc_buf_release(&normalizer->stages[i].content);
        lrc_charsmap_release(&normalizer->stages[i].charsmap);
    }
    normalizer->n_stages = 0;
}
