#include "tokenizer/pre_tokenizer.h"

#include "base/alloc.h"
#include "tokenizer/byte_alphabet.h"
#include "tokenizer/byte_level.h"
#include "tokenizer/unicode.h"
#include <string.h>

#define WHAT "pre_tokenizer"

/* One piece on its way through one stage. */
struct pass {
    const char         *text;
    size_t              n;
    int                 at_start;
    struct lrc_matcher *matcher;
    struct lrc_splits  *out;
};

struct lrc_pre_tokenizer_kind {
    const char *type;
    enum lrc_status (*read)(struct lrc_pre_tokenizer_stage *stage, const json_t *json, const char *name,
                            struct lrc_error *err);
    enum lrc_status (*apply)(const struct lrc_pre_tokenizer_stage *stage, const struct pass *pass,
                             struct lrc_error *err);
};

/* Bytes [start, end) of the pass's text as a piece; nothing when empty. */
static void emit(const struct pass *pass, size_t start, size_t end)
{
    if (start == end)
        return;
    if (pass->out->n == 0)
        pass->out->at_start = pass->at_start && start == 0;
    lrc_splits_append(pass->out, pass->text + start, end - start);
}

/* ---- cutting by behavior ---- */

/* Matches and the text between them come in order; one piece is held open until it is known where it ends. */
struct cutter {
    const struct pass      *pass;
    enum lrc_split_behavior behavior;
    size_t                  start, end; /* the open piece */
    int                     was_match;
};

/* Whether the next part belongs to the open piece. */
static int joins(const struct cutter *cutter, int is_match)
{
    switch (cutter->behavior) {
    case LRC_SPLIT_MERGED_WITH_PREVIOUS: return is_match && !cutter->was_match;
    case LRC_SPLIT_MERGED_WITH_NEXT: return !is_match && cutter->was_match;
    case LRC_SPLIT_CONTIGUOUS: return is_match == cutter->was_match;
    case LRC_SPLIT_REMOVED:
    case LRC_SPLIT_ISOLATED: break;
    }
    return 0;
}

static void cut(struct cutter *cutter, size_t start, size_t end, int is_match)
{
    if (start == end)
        return;
    if (!joins(cutter, is_match)) {
        emit(cutter->pass, cutter->start, cutter->end);
        cutter->start = start;
    }
    cutter->end = cutter->behavior == LRC_SPLIT_REMOVED && is_match ? cutter->start : end;
    cutter->was_match = is_match;
}

static void finish(struct cutter *cutter)
{
    emit(cutter->pass, cutter->start, cutter->end);
}

static enum lrc_status cut_by_pattern(const struct lrc_pattern *pattern, enum lrc_split_behavior behavior,
                                      int invert, const struct pass *pass, struct lrc_error *err)
{
    struct lrc_scan scan = { .pattern = pattern, .matcher = pass->matcher, .text = pass->text, .n = pass->n };
    struct cutter   cutter = { .pass = pass, .behavior = behavior };
    size_t          done = 0;
    for (;;) {
        int found;
        LRC_TRY(lrc_scan_next(&scan, &found, err));
        if (!found)
            break;
        cut(&cutter, done, scan.start, invert);
        cut(&cutter, scan.start, scan.end, !invert);
        done = scan.end;
    }
    cut(&cutter, done, pass->n, invert);
    finish(&cutter);
    return LRC_STATUS_OK;
}

/* Every character of the class is a match of its own. */
static void cut_by_class(int (*in_class)(int32_t cp), enum lrc_split_behavior behavior,
                         const struct pass *pass)
{
    struct cutter cutter = { .pass = pass, .behavior = behavior };
    size_t        done = 0;
    for (size_t at = 0; at < pass->n;) {
        int32_t      cp;
        const size_t step = lrc_utf8_step(&cp, pass->text + at, pass->n - at);
        if (in_class(cp)) {
            cut(&cutter, done, at, 0);
            cut(&cutter, at, at + step, 1);
            done = at + step;
        }
        at += step;
    }
    cut(&cutter, done, pass->n, 0);
    finish(&cutter);
}

static enum lrc_status read_behavior(enum lrc_split_behavior *behavior, const json_t *json, const char *name,
                                     struct lrc_error *err)
{
    static const struct {
        const char             *text;
        enum lrc_split_behavior behavior;
    } table[] = {
        { "Removed", LRC_SPLIT_REMOVED },
        { "Isolated", LRC_SPLIT_ISOLATED },
        { "MergedWithPrevious", LRC_SPLIT_MERGED_WITH_PREVIOUS },
        { "MergedWithNext", LRC_SPLIT_MERGED_WITH_NEXT },
        { "Contiguous", LRC_SPLIT_CONTIGUOUS },
    };
    const char *text = NULL;
    LRC_TRY(lrc_json_get_string(&text, json, "behavior", name, err));
    for (size_t i = 0; text && i < sizeof table / sizeof *table; i++) {
        if (strcmp(table[i].text, text) == 0) {
            *behavior = table[i].behavior;
            return LRC_STATUS_OK;
        }
    }
    if (!text)
        return LRC_STATUS_OK; /* the stage's own default */
    return lrc_fail(err, LRC_STATUS_UNSUPPORTED,
                    "%s: 'behavior': want Removed, Isolated, MergedWithPrevious, MergedWithNext or "
                    "Contiguous, got '%.60s'",
                    name, text);
}

/* ---- the stages ---- */

static enum lrc_status read_split(struct lrc_pre_tokenizer_stage *stage, const json_t *json, const char *name,
                                  struct lrc_error *err)
{
    LRC_TRY(read_behavior(&stage->behavior, json, name, err));
    LRC_TRY(lrc_json_get_bool(&stage->invert, json, "invert", name, err));
    return lrc_pattern_read(&stage->pattern, json_object_get(json, "pattern"), name, err);
}

static enum lrc_status split(const struct lrc_pre_tokenizer_stage *stage, const struct pass *pass,
                             struct lrc_error *err)
{
    return cut_by_pattern(&stage->pattern, stage->behavior, stage->invert, pass, err);
}

static enum lrc_status read_delimiter(struct lrc_pre_tokenizer_stage *stage, const json_t *json,
                                      const char *name, struct lrc_error *err)
{
    return lrc_pattern_read(&stage->pattern, json_object_get(json, "delimiter"), name, err);
}

static enum lrc_status read_whitespace(struct lrc_pre_tokenizer_stage *stage, const json_t *json,
                                       const char *name, struct lrc_error *err)
{
    static const char regex[] = "\\w+|[^\\w\\s]+";
    (void)json;
    stage->behavior = LRC_SPLIT_REMOVED;
    stage->invert = 1;
    return lrc_pattern_read_regex(&stage->pattern, regex, sizeof regex - 1, name, err);
}

static enum lrc_status read_nothing(struct lrc_pre_tokenizer_stage *stage, const json_t *json,
                                    const char *name, struct lrc_error *err)
{
    (void)stage, (void)json, (void)name, (void)err;
    return LRC_STATUS_OK;
}

static enum lrc_status whitespace_split(const struct lrc_pre_tokenizer_stage *stage, const struct pass *pass,
                                        struct lrc_error *err)
{
    (void)stage, (void)err;
    cut_by_class(lrc_char_is_space, LRC_SPLIT_REMOVED, pass);
    return LRC_STATUS_OK;
}

static enum lrc_status read_punctuation(struct lrc_pre_tokenizer_stage *stage, const json_t *json,
                                        const char *name, struct lrc_error *err)
{
    stage->behavior = LRC_SPLIT_ISOLATED;
    return read_behavior(&stage->behavior, json, name, err);
}

static enum lrc_status punctuation(const struct lrc_pre_tokenizer_stage *stage, const struct pass *pass,
                                   struct lrc_error *err)
{
    (void)err;
    cut_by_class(lrc_char_is_punctuation, stage->behavior, pass);
    return LRC_STATUS_OK;
}

/* White space goes, each punctuation character stands alone. */
static enum lrc_status bert(const struct lrc_pre_tokenizer_stage *stage, const struct pass *pass,
                            struct lrc_error *err)
{
    size_t done = 0;
    (void)stage, (void)err;
    for (size_t at = 0; at < pass->n;) {
        int32_t      cp;
        const size_t step = lrc_utf8_step(&cp, pass->text + at, pass->n - at);
        const int    is_space = lrc_char_is_space(cp);
        if (is_space || lrc_char_is_punctuation(cp)) {
            emit(pass, done, at);
            emit(pass, at, is_space ? at : at + step);
            done = at + step;
        }
        at += step;
    }
    emit(pass, done, pass->n);
    return LRC_STATUS_OK;
}

static enum lrc_status read_digits(struct lrc_pre_tokenizer_stage *stage, const json_t *json,
                                   const char *name, struct lrc_error *err)
{
    int individual = 0;
    LRC_TRY(lrc_json_get_bool(&individual, json, "individual_digits", name, err));
    stage->behavior = individual ? LRC_SPLIT_ISOLATED : LRC_SPLIT_CONTIGUOUS;
    return LRC_STATUS_OK;
}

static enum lrc_status digits(const struct lrc_pre_tokenizer_stage *stage, const struct pass *pass,
                              struct lrc_error *err)
{
    (void)err;
    cut_by_class(lrc_char_is_numeric, stage->behavior, pass);
    return LRC_STATUS_OK;
}

static enum lrc_status read_byte_level(struct lrc_pre_tokenizer_stage *stage, const json_t *json,
                                       const char *name, struct lrc_error *err)
{
    int use_regex = 1;
    stage->add_prefix_space = 1;
    LRC_TRY(lrc_json_get_bool(&use_regex, json, "use_regex", name, err));
    LRC_TRY(lrc_json_get_bool(&stage->add_prefix_space, json, "add_prefix_space", name, err));
    return use_regex
               ? lrc_pattern_read_regex(&stage->pattern, LRC_REGEX_GPT2, sizeof LRC_REGEX_GPT2 - 1, name, err)
               : LRC_STATUS_OK;
}

/* Bytes [start, end) in the byte alphabet, as one piece. */
static void emit_bytes(const struct pass *pass, const char *text, size_t start, size_t end)
{
    char   chars[256];
    size_t n = 0;
    if (pass->out->n == 0)
        pass->out->at_start = pass->at_start && start == 0;
    for (size_t i = start; i < end; i++) {
        const int32_t cp = lrc_byte_to_char((unsigned char)text[i]);
        if (cp >= 0x80)
            chars[n++] = (char)(0xC0 | cp >> 6);
        chars[n++] = (char)(cp >= 0x80 ? 0x80 | (cp & 0x3F) : cp);
        if (n >= sizeof chars - 1) {
            lrc_buf_append(&pass->out->text, chars, n);
            n = 0;
        }
    }
    lrc_splits_append(pass->out, chars, n);
}

static enum lrc_status byte_level_cut(const struct lrc_pre_tokenizer_stage *stage, const struct pass *pass,
                                      struct lrc_error *err)
{
    struct lrc_scan scan = {
        .pattern = &stage->pattern, .matcher = pass->matcher, .text = pass->text, .n = pass->n
    };
    size_t done = 0;
    if (!stage->pattern.regex) {
        emit_bytes(pass, pass->text, 0, pass->n);
        return LRC_STATUS_OK;
    }
    for (;;) {
        int found;
        LRC_TRY(lrc_scan_next(&scan, &found, err));
        if (!found)
            break;
        if (scan.start > done)
            emit_bytes(pass, pass->text, done, scan.start);
        if (scan.end > scan.start)
            emit_bytes(pass, pass->text, scan.start, scan.end);
        done = scan.end;
    }
    if (pass->n > done)
        emit_bytes(pass, pass->text, done, pass->n);
    return LRC_STATUS_OK;
}

static enum lrc_status byte_level(const struct lrc_pre_tokenizer_stage *stage, const struct pass *pass,
                                  struct lrc_error *err)
{
    if (!stage->add_prefix_space || pass->text[0] == ' ')
        return byte_level_cut(stage, pass, err);
    struct lrc_buf spaced = { 0 };
    lrc_buf_putc(&spaced, ' ');
    lrc_buf_append(&spaced, pass->text, pass->n);
    enum lrc_status status = lrc_buf_check(&spaced, err);
    if (status == LRC_STATUS_OK) {
        struct pass with_space = *pass;
        with_space.text = spaced.data;
        with_space.n = spaced.len;
        status = byte_level_cut(stage, &with_space, err);
    }
    lrc_buf_release(&spaced);
    return status;
}

enum lrc_status lrc_prepend_scheme_read(enum lrc_prepend_scheme *scheme, const json_t *json, const char *name,
                                        struct lrc_error *err)
{
    const char *text = NULL;
    int         add_prefix_space = 1;
    *scheme = LRC_PREPEND_ALWAYS;
    LRC_TRY(lrc_json_get_bool(&add_prefix_space, json, "add_prefix_space", name, err));
    LRC_TRY(lrc_json_get_string(&text, json, "prepend_scheme", name, err));
    if (!add_prefix_space || (text && strcmp(text, "never") == 0))
        *scheme = LRC_PREPEND_NEVER;
    else if (text && strcmp(text, "first") == 0)
        *scheme = LRC_PREPEND_FIRST;
    else if (text && strcmp(text, "always") != 0)
        return lrc_fail(err, LRC_STATUS_UNSUPPORTED,
                        "%s: 'prepend_scheme': want always, first or never, got '%.60s'", name, text);
    return LRC_STATUS_OK;
}

static enum lrc_status read_metaspace(struct lrc_pre_tokenizer_stage *stage, const json_t *json,
                                      const char *name, struct lrc_error *err)
{
    const char *text;
    size_t      n;
    stage->split = 1;
    LRC_TRY(lrc_json_get_bool(&stage->split, json, "split", name, err));
    LRC_TRY(lrc_prepend_scheme_read(&stage->scheme, json, name, err));
    LRC_TRY(lrc_stage_text(&text, &n, json, "replacement", name, err));
    lrc_buf_append(&stage->replacement, text, n);
    lrc_buf_append(&stage->pattern.literal, text, n);
    return lrc_buf_check(&stage->replacement, err);
}

static int wants_prefix(const struct lrc_pre_tokenizer_stage *stage, const struct pass *pass)
{
    const struct lrc_buf *meta = &stage->replacement;
    if (pass->text[0] == ' ')
        return 0; /* it begins with one already */
    if (pass->n >= meta->len && memcmp(pass->text, lrc_buf_text(meta), meta->len) == 0)
        return 0;
    return stage->scheme == LRC_PREPEND_ALWAYS || (stage->scheme == LRC_PREPEND_FIRST && pass->at_start);
}

static enum lrc_status metaspace(const struct lrc_pre_tokenizer_stage *stage, const struct pass *pass,
                                 struct lrc_error *err)
{
    const struct lrc_buf *meta = &stage->replacement;
    struct lrc_buf        spaced = { 0 };

    if (wants_prefix(stage, pass))
        lrc_buf_append(&spaced, lrc_buf_text(meta), meta->len);
    for (size_t i = 0; i < pass->n; i++) {
        if (pass->text[i] == ' ')
            lrc_buf_append(&spaced, lrc_buf_text(meta), meta->len);
        else
            lrc_buf_putc(&spaced, pass->text[i]);
    }
    enum lrc_status status = lrc_buf_check(&spaced, err);
    if (status == LRC_STATUS_OK) {
        struct pass whole = *pass;
        whole.text = lrc_buf_text(&spaced);
        whole.n = spaced.len;
        if (stage->split)
            status = cut_by_pattern(&stage->pattern, LRC_SPLIT_MERGED_WITH_NEXT, 0, &whole, err);
        else
            emit(&whole, 0, whole.n);
    }
    lrc_buf_release(&spaced);
    return status;
}

static const struct lrc_pre_tokenizer_kind KINDS[] = {
    { "ByteLevel", read_byte_level, byte_level },
    { "Split", read_split, split },
    { "Metaspace", read_metaspace, metaspace },
    { "Digits", read_digits, digits },
    { "Punctuation", read_punctuation, punctuation },
    { "Whitespace", read_whitespace, split },
    { "WhitespaceSplit", read_nothing, whitespace_split },
    { "CharDelimiterSplit", read_delimiter, split },
    { "BertPreTokenizer", read_nothing, bert },
};

static enum lrc_status read_stage(void *into, const char *type, const json_t *json, const char *name,
                                  struct lrc_error *err)
{
    struct lrc_pre_tokenizer *pre_tokenizer = into;
    for (size_t i = 0; i < sizeof KINDS / sizeof *KINDS; i++) {
        if (strcmp(KINDS[i].type, type) != 0)
            continue;
        struct lrc_pre_tokenizer_stage *stage = &pre_tokenizer->stages[pre_tokenizer->n_stages++];
        stage->kind = &KINDS[i];
        return stage->kind->read(stage, json, name, err);
    }
    return lrc_stage_unknown(type, WHAT, name, err);
}

static const struct lrc_stage_list LIST = { WHAT, "pretokenizers", read_stage };

enum lrc_status lrc_pre_tokenizer_read(struct lrc_pre_tokenizer *pre_tokenizer, const json_t *json,
                                       const char *name, struct lrc_error *err)
{
    return lrc_stage_list_read(&LIST, pre_tokenizer, json, name, err);
}

enum lrc_status lrc_pre_tokenizer_apply(const struct lrc_pre_tokenizer *pre_tokenizer,
                                        struct lrc_splits *splits, struct lrc_splits *spare,
                                        struct lrc_matcher *matcher, struct lrc_error *err)
{
    LRC_TRY(lrc_splits_check(splits, err));
    for (int s = 0; s < pre_tokenizer->n_stages; s++) {
        const struct lrc_pre_tokenizer_stage *stage = &pre_tokenizer->stages[s];
        lrc_splits_clear(spare);
        for (int64_t i = 0; i < splits->n; i++) {
            struct pass pass = { .at_start = i == 0 && splits->at_start, .matcher = matcher, .out = spare };
            pass.text = lrc_splits_get(splits, i, &pass.n);
            if (pass.n > 0)
                LRC_TRY(stage->kind->apply(stage, &pass, err));
        }
        LRC_TRY(lrc_splits_check(spare, err));
        const struct lrc_splits swapped = *splits;
        *splits = *spare;
        *spare = swapped;
    }
    return LRC_STATUS_OK;
}

void lrc_pre_tokenizer_release(struct lrc_pre_tokenizer *pre_tokenizer)
{
    for (int i = 0; i < pre_tokenizer->n_stages; i++) {
        lrc_pattern_release(&pre_tokenizer->stages[i].pattern);
        lrc_buf_release(&pre_tokenizer->stages[i].replacement);
    }
    pre_tokenizer->n_stages = 0;
}
