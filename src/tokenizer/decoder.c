#include "tokenizer/decoder.h"

#include "tokenizer/byte_alphabet.h"
#include "tokenizer/unicode.h"
#include <string.h>

#define WHAT "decoder"

struct pass {
    const struct lrc_splits *in;
    struct lrc_splits       *out;
    struct lrc_matcher      *matcher;
};

struct lrc_decoder_kind {
    const char *type;
    enum lrc_status (*read)(struct lrc_decoder_stage *stage, const json_t *json, const char *name,
                            struct lrc_error *err);
    enum lrc_status (*apply)(const struct lrc_decoder_stage *stage, const struct pass *pass,
                             struct lrc_error *err);
};

static enum lrc_status read_nothing(struct lrc_decoder_stage *stage, const json_t *json, const char *name,
                                    struct lrc_error *err)
{
    (void)stage, (void)json, (void)name, (void)err;
    return LRC_STATUS_OK;
}

static enum lrc_status read_content(struct lrc_decoder_stage *stage, const json_t *json, const char *key,
                                    const char *name, struct lrc_error *err)
{
    const char *text;
    size_t      n;
    LRC_TRY(lrc_stage_text(&text, &n, json, key, name, err));
    lrc_buf_append(&stage->content, text, n);
    return lrc_buf_check(&stage->content, err);
}

/* Bytes a piece stands for; one with a character outside the byte alphabet stands for itself. */
static void append_piece_bytes(struct lrc_buf *bytes, const char *piece, size_t n)
{
    const size_t start = bytes->len;
    for (size_t at = 0; at < n;) {
        int32_t cp;
        at += lrc_utf8_step(&cp, piece + at, n - at);
        const int byte = lrc_byte_from_char(cp);
        if (byte < 0) {
            if (!bytes->failed && bytes->data)
                bytes->data[bytes->len = start] = '\0';
            lrc_buf_append(bytes, piece, n);
            return;
        }
        lrc_buf_putc(bytes, (char)byte);
    }
}

static enum lrc_status byte_level(const struct lrc_decoder_stage *stage, const struct pass *pass,
                                  struct lrc_error *err)
{
    struct lrc_buf bytes = { 0 };
    (void)stage;
    for (int64_t i = 0; i < pass->in->n; i++) {
        size_t      n;
        const char *piece = lrc_splits_get(pass->in, i, &n);
        append_piece_bytes(&bytes, piece, n);
    }
    const enum lrc_status status = lrc_buf_check(&bytes, err);
    if (status == LRC_STATUS_OK)
        lrc_utf8_append_lossy(&pass->out->text, lrc_buf_text(&bytes), bytes.len);
    lrc_splits_close(pass->out);
    lrc_buf_release(&bytes);
    return status;
}

static enum lrc_status read_metaspace(struct lrc_decoder_stage *stage, const json_t *json, const char *name,
                                      struct lrc_error *err)
{
    LRC_TRY(lrc_prepend_scheme_read(&stage->scheme, json, name, err));
    return read_content(stage, json, "replacement", name, err);
}

static enum lrc_status metaspace(const struct lrc_decoder_stage *stage, const struct pass *pass,
                                 struct lrc_error *err)
{
    const struct lrc_buf *meta = &stage->content;
    (void)err;
    for (int64_t i = 0; i < pass->in->n; i++) {
        size_t      n;
        const char *piece = lrc_splits_get(pass->in, i, &n);
        const int   drop = i == 0 && stage->scheme != LRC_PREPEND_NEVER;
        for (size_t at = 0; at < n;) {
            if (meta->len > 0 && n - at >= meta->len && memcmp(piece + at, meta->data, meta->len) == 0) {
                if (!drop)
                    lrc_buf_putc(&pass->out->text, ' ');
                at += meta->len;
            } else {
                lrc_buf_putc(&pass->out->text, piece[at++]);
            }
        }
        lrc_splits_close(pass->out);
    }
    return LRC_STATUS_OK;
}

static enum lrc_status read_replace(struct lrc_decoder_stage *stage, const json_t *json, const char *name,
                                    struct lrc_error *err)
{
    LRC_TRY(lrc_pattern_read(&stage->pattern, json_object_get(json, "pattern"), name, err));
    return read_content(stage, json, "content", name, err);
}

/* The piece with every match replaced, not yet closed. */
static enum lrc_status replace_piece(const struct lrc_pattern *pattern, const char *with, size_t n_with,
                                     const struct pass *pass, int64_t i, struct lrc_error *err)
{
    struct lrc_scan scan = { .pattern = pattern, .matcher = pass->matcher };
    struct lrc_buf *out = &pass->out->text;
    size_t          done = 0;
    scan.text = lrc_splits_get(pass->in, i, &scan.n);
    for (;;) {
        int found;
        LRC_TRY(lrc_scan_next(&scan, &found, err));
        if (!found)
            break;
        lrc_buf_append(out, scan.text + done, scan.start - done);
        lrc_buf_append(out, with, n_with);
        done = scan.end;
    }
    lrc_buf_append(out, scan.text + done, scan.n - done);
    return LRC_STATUS_OK;
}

static enum lrc_status replace(const struct lrc_decoder_stage *stage, const struct pass *pass,
                               struct lrc_error *err)
{
    for (int64_t i = 0; i < pass->in->n; i++) {
        LRC_TRY(
            replace_piece(&stage->pattern, lrc_buf_text(&stage->content), stage->content.len, pass, i, err));
        lrc_splits_close(pass->out);
    }
    return LRC_STATUS_OK;
}

static enum lrc_status read_bpe(struct lrc_decoder_stage *stage, const json_t *json, const char *name,
                                struct lrc_error *err)
{
    const char *suffix = "</w>";
    LRC_TRY(lrc_json_get_string(&suffix, json, "suffix", name, err));
    lrc_buf_puts(&stage->pattern.literal, suffix);
    return lrc_buf_check(&stage->pattern.literal, err);
}

/* End-of-word suffixes are spaces, but for the last piece's. */
static enum lrc_status bpe(const struct lrc_decoder_stage *stage, const struct pass *pass,
                           struct lrc_error *err)
{
    for (int64_t i = 0; i < pass->in->n; i++) {
        LRC_TRY(replace_piece(&stage->pattern, " ", i + 1 < pass->in->n, pass, i, err));
        lrc_splits_close(pass->out);
    }
    return LRC_STATUS_OK;
}

static enum lrc_status fuse(const struct lrc_decoder_stage *stage, const struct pass *pass,
                            struct lrc_error *err)
{
    (void)stage, (void)err;
    lrc_splits_append(pass->out, lrc_buf_text(&pass->in->text), pass->in->text.len);
    return LRC_STATUS_OK;
}

static enum lrc_status read_strip(struct lrc_decoder_stage *stage, const json_t *json, const char *name,
                                  struct lrc_error *err)
{
    LRC_TRY(lrc_json_get_int(&stage->start, json, "start", name, err));
    LRC_TRY(lrc_json_get_int(&stage->stop, json, "stop", name, err));
    return read_content(stage, json, "content", name, err);
}

static enum lrc_status strip(const struct lrc_decoder_stage *stage, const struct pass *pass,
                             struct lrc_error *err)
{
    const struct lrc_buf *content = &stage->content;
    (void)err;
    for (int64_t i = 0; i < pass->in->n; i++) {
        size_t       start = 0, end;
        const char  *piece = lrc_splits_get(pass->in, i, &end);
        const size_t step = content->len;
        for (int64_t k = 0; step > 0 && k < stage->start && end - start >= step; k++, start += step)
            if (memcmp(piece + start, content->data, step) != 0)
                break;
        for (int64_t k = 0; step > 0 && k < stage->stop && end - start >= step; k++, end -= step)
            if (memcmp(piece + end - step, content->data, step) != 0)
                break;
        lrc_splits_append(pass->out, piece + start, end - start);
    }
    return LRC_STATUS_OK;
}

static int hex_value(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                  : -1;
}

int lrc_piece_byte(const char *piece, size_t n)
{
    if (n != 6 || memcmp(piece, "<0x", 3) != 0 || piece[5] != '>')
        return -1;
    const int high = hex_value(piece[3]), low = hex_value(piece[4]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

/* A run of bytes that is not UTF-8 as a whole is one U+FFFD per byte. */
static void close_bytes(const struct pass *pass, struct lrc_buf *bytes)
{
    if (bytes->len == 0)
        return;
    if (lrc_utf8_valid(bytes->data, bytes->len) == bytes->len) {
        lrc_splits_append(pass->out, bytes->data, bytes->len);
    } else {
        for (size_t i = 0; i < bytes->len; i++)
            lrc_splits_append(pass->out, "\xEF\xBF\xBD", 3);
    }
    lrc_buf_clear(bytes);
}

static enum lrc_status byte_fallback(const struct lrc_decoder_stage *stage, const struct pass *pass,
                                     struct lrc_error *err)
{
    struct lrc_buf bytes = { 0 };
    (void)stage;
    for (int64_t i = 0; i < pass->in->n; i++) {
        size_t      n;
        const char *piece = lrc_splits_get(pass->in, i, &n);
        const int   byte = lrc_piece_byte(piece, n);
        if (byte >= 0) {
            lrc_buf_putc(&bytes, (char)byte);
            continue;
        }
        close_bytes(pass, &bytes);
        lrc_splits_append(pass->out, piece, n);
    }
    close_bytes(pass, &bytes);
    const enum lrc_status status = lrc_buf_check(&bytes, err);
    lrc_buf_release(&bytes);
    return status;
}

static const struct lrc_decoder_kind KINDS[] = {
    { "ByteLevel", read_nothing, byte_level },
    { "ByteFallback", read_nothing, byte_fallback },
    { "Metaspace", read_metaspace, metaspace },
    { "Replace", read_replace, replace },
    { "Fuse", read_nothing, fuse },
    { "Strip", read_strip, strip },
    { "BPEDecoder", read_bpe, bpe },
};

static enum lrc_status read_stage(void *into, const char *type, const json_t *json, const char *name,
                                  struct lrc_error *err)
{
    struct lrc_decoder *decoder = into;
    for (size_t i = 0; i < sizeof KINDS / sizeof *KINDS; i++) {
        if (strcmp(KINDS[i].type, type) != 0)
            continue;
        struct lrc_decoder_stage *stage = &decoder->stages[decoder->n_stages++];
        stage->kind = &KINDS[i];
        return stage->kind->read(stage, json, name, err);
    }
    return lrc_stage_unknown(type, WHAT, name, err);
}

static const struct lrc_stage_list LIST = { WHAT, "decoders", read_stage };

/* What streaming has to know. After Fuse or ByteLevel all text is one piece: a stage that then cuts or
 * replaces at the end of it works on what is not final. */
static void plan_streaming(struct lrc_decoder *decoder)
{
    int whole = 0;
    for (int i = 0; i < decoder->n_stages; i++) {
        const struct lrc_decoder_stage *stage = &decoder->stages[i];
        if (stage->kind->apply == byte_fallback)
            decoder->joins_bytes = 1;
        if (whole && (stage->kind->apply == replace || (stage->kind->apply == strip && stage->stop > 0)))
            decoder->revises = 1;
        if (stage->kind->apply == fuse || stage->kind->apply == byte_level)
            whole = 1;
    }
}

enum lrc_status lrc_decoder_read(struct lrc_decoder *decoder, const json_t *json, const char *name,
                                 struct lrc_error *err)
{
    LRC_TRY(lrc_stage_list_read(&LIST, decoder, json, name, err));
    plan_streaming(decoder);
    return LRC_STATUS_OK;
}

static enum lrc_status apply_stages(const struct lrc_decoder *decoder, struct lrc_splits *splits,
                                    struct lrc_splits *spare, struct lrc_matcher *matcher,
                                    struct lrc_error *err)
{
    for (int s = 0; s < decoder->n_stages; s++) {
        const struct pass pass = { splits, spare, matcher };
        lrc_splits_clear(spare);
        LRC_TRY(decoder->stages[s].kind->apply(&decoder->stages[s], &pass, err));
        LRC_TRY(lrc_splits_check(spare, err));
        const struct lrc_splits swapped = *splits;
        *splits = *spare;
        *spare = swapped;
    }
    return LRC_STATUS_OK;
}

enum lrc_status lrc_decoder_apply(const struct lrc_decoder *decoder, struct lrc_buf *text,
                                  struct lrc_splits *splits, struct lrc_splits *spare, struct lrc_error *err)
{
    struct lrc_matcher matcher = { 0 };
    enum lrc_status    status = lrc_splits_check(splits, err);
    if (status == LRC_STATUS_OK)
        status = apply_stages(decoder, splits, spare, &matcher, err);
    lrc_matcher_release(&matcher);
    for (int64_t i = 0; status == LRC_STATUS_OK && i < splits->n; i++) {
        size_t      n;
        const char *piece = lrc_splits_get(splits, i, &n);
        if (i > 0 && decoder->n_stages == 0)
            lrc_buf_putc(text, ' ');
        lrc_buf_append(text, piece, n);
    }
    return status == LRC_STATUS_OK ? lrc_buf_check(text, err) : status;
}

void lrc_decoder_release(struct lrc_decoder *decoder)
{
    for (int i = 0; i < decoder->n_stages; i++) {
        lrc_pattern_release(&decoder->stages[i].pattern);
        lrc_buf_release(&decoder->stages[i].content);
    }
    decoder->n_stages = 0;
}
