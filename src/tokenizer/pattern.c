#define PCRE2_CODE_UNIT_WIDTH 8
#include "tokenizer/pattern.h"

#include "base/alloc.h"
#include "tokenizer/unicode.h"
#include <pcre2.h>
#include <string.h>

/* Per search. A megabyte of one character class takes a few steps; an exponential expression runs into these.
 */
enum { MATCH_STEPS_MAX = 4000000, MATCH_DEPTH_MAX = 1000000, MATCH_HEAP_KIB_MAX = 65536 };

#define WORD_CLASS "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\x{200c}\\x{200d}"

/* escape, what replaces it outside and inside a character class; NULL inside: has no equal there. */
static const struct {
    char        escape;
    const char *outside, *inside;
} ESCAPES[] = {
    { 's', "\\p{White_Space}", "\\p{White_Space}" },
    { 'S', "\\P{White_Space}", "\\P{White_Space}" },
    { 'w', "[" WORD_CLASS "]", WORD_CLASS },
    { 'W', "[^" WORD_CLASS "]", NULL },
    { 'h', "[0-9a-fA-F]", "0-9a-fA-F" },
    { 'H', "[^0-9a-fA-F]", NULL },
};

static enum lrc_status refuse(const char *what, const char *regex, const char *name, struct lrc_error *err)
{
    return lrc_fail(err, LRC_STATUS_UNSUPPORTED, "%s: regular expression '%.200s': want one without %s", name,
                    regex, what);
}

static enum lrc_status translate_escape(struct lrc_buf *out, char escape, int in_class, const char *regex,
                                        const char *name, struct lrc_error *err)
{
    for (size_t i = 0; i < sizeof ESCAPES / sizeof *ESCAPES; i++) {
        if (ESCAPES[i].escape != escape)
            continue;
        const char *with = in_class ? ESCAPES[i].inside : ESCAPES[i].outside;
        if (!with)
            return refuse("\\W or \\H inside a character class", regex, name, err);
        lrc_buf_puts(out, with);
        return LRC_STATUS_OK;
    }
    lrc_buf_putc(out, '\\');
    lrc_buf_putc(out, escape);
    return LRC_STATUS_OK;
}

/* What Ruby and PCRE2 read differently at regex[at]; NULL when nothing. */
static const char *difference_at(const char *regex, size_t n, size_t at, int in_class)
{
    const size_t left = n - at;
    if (in_class && regex[at] == '[' && !(left > 1 && regex[at + 1] == ':'))
        return "a character class inside a character class";
    if (in_class && left > 1 && regex[at] == '&' && regex[at + 1] == '&')
        return "an intersection of character classes (&&)";
    if (!in_class && left > 2 && memcmp(regex + at, "(?m", 3) == 0)
        return "(?m)";
    return NULL;
}

static enum lrc_status translate(struct lrc_buf *out, const char *regex, size_t n, const char *name,
                                 struct lrc_error *err)
{
    int    in_class = 0;
    size_t class_start = 0; /* where a ']' is still a literal */

    for (size_t at = 0; at < n; at++) {
        const char c = regex[at];
        if (c == '\\' && at + 1 < n) {
            LRC_TRY(translate_escape(out, regex[++at], in_class, regex, name, err));
            continue;
        }
        const char *difference = difference_at(regex, n, at, in_class);
        if (difference)
            return refuse(difference, regex, name, err);
        if (!in_class && c == '[') {
            in_class = 1;
            class_start = at + 1 < n && regex[at + 1] == '^' ? at + 2 : at + 1;
        } else if (in_class && c == '[') { /* [:name:] */
            const char  *close = memmem(regex + at, n - at, ":]", 2);
            const size_t end = close ? (size_t)(close - regex) + 1 : at;
            lrc_buf_append(out, regex + at, end - at);
            at = end;
        } else if (in_class && c == ']' && at > class_start) {
            in_class = 0;
        }
        lrc_buf_putc(out, regex[at]);
    }
    return lrc_buf_check(out, err);
}

enum lrc_status lrc_pattern_read_regex(struct lrc_pattern *pattern, const char *regex, size_t n,
                                       const char *name, struct lrc_error *err)
{
    struct lrc_buf  translated = { 0 };
    enum lrc_status status = translate(&translated, regex, n, name, err);
    if (status == LRC_STATUS_OK) {
        int         code;
        PCRE2_SIZE  offset;
        PCRE2_UCHAR message[200];
        pattern->regex = pcre2_compile((PCRE2_SPTR)lrc_buf_text(&translated), translated.len,
                                       PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C,
                                       &code, &offset, NULL);
        if (!pattern->regex) {
            (void)pcre2_get_error_message(code, message, sizeof message);
            status = lrc_fail(err, LRC_STATUS_UNSUPPORTED,
                              "%s: regular expression '%.200s': want one that PCRE2 reads, got: %s", name,
                              regex, (const char *)message);
        } else {
            (void)pcre2_jit_compile(pattern->regex,
                                    PCRE2_JIT_COMPLETE); /* without JIT the interpreter runs it */
        }
    }
    lrc_buf_release(&translated);
    return status;
}

enum lrc_status lrc_pattern_read(struct lrc_pattern *pattern, const json_t *json, const char *name,
                                 struct lrc_error *err)
{
    const json_t *regex = json_object_get(json, "Regex");
    const json_t *literal = json_is_string(json) ? json : json_object_get(json, "String");
    if (json_is_string(regex))
        return lrc_pattern_read_regex(pattern, json_string_value(regex), json_string_length(regex), name,
                                      err);
    if (!json_is_string(literal))
        return lrc_fail(err, LRC_STATUS_FORMAT,
                        "%s: 'pattern': want {\"String\": ...} or {\"Regex\": ...}, got %s", name,
                        lrc_json_type_name(json));
    lrc_buf_append(&pattern->literal, json_string_value(literal), json_string_length(literal));
    return lrc_buf_check(&pattern->literal, err);
}

void lrc_pattern_release(struct lrc_pattern *pattern)
{
    pcre2_code_free(pattern->regex);
    lrc_buf_release(&pattern->literal);
    *pattern = (struct lrc_pattern){ 0 };
}

static enum lrc_status matcher_init(struct lrc_matcher *matcher, struct lrc_error *err)
{
    if (matcher->data)
        return LRC_STATUS_OK;
    matcher->context = pcre2_match_context_create(NULL);
    matcher->data = pcre2_match_data_create(1, NULL); /* the whole match is all we ask for */
    if (!matcher->context || !matcher->data) {
        lrc_matcher_release(matcher);
        return lrc_fail_nomem(err, "match data");
    }
    (void)pcre2_set_match_limit(matcher->context, MATCH_STEPS_MAX);
    (void)pcre2_set_depth_limit(matcher->context, MATCH_DEPTH_MAX);
    (void)pcre2_set_heap_limit(matcher->context, MATCH_HEAP_KIB_MAX);
    return LRC_STATUS_OK;
}

void lrc_matcher_release(struct lrc_matcher *matcher)
{
    pcre2_match_data_free(matcher->data);
    pcre2_match_context_free(matcher->context);
    *matcher = (struct lrc_matcher){ 0 };
}

/* One search from scan->from; sets start and end. */
static enum lrc_status find_regex(struct lrc_scan *scan, int *found, struct lrc_error *err)
{
    LRC_TRY(matcher_init(scan->matcher, err));
    const PCRE2_SPTR  text = (PCRE2_SPTR)scan->text;
    pcre2_match_data *data = scan->matcher->data;
    uint32_t          options = PCRE2_NO_UTF_CHECK;
    int               code =
        pcre2_match(scan->pattern->regex, text, scan->n, scan->from, options, data, scan->matcher->context);
    if (code == PCRE2_ERROR_JIT_STACKLIMIT) {
        options |= PCRE2_NO_JIT; /* the interpreter keeps its frames on the heap */
        code = pcre2_match(scan->pattern->regex, text, scan->n, scan->from, options, data,
                           scan->matcher->context);
    }
    *found = code >= 0;
    if (code == PCRE2_ERROR_NOMEMORY)
        return lrc_fail_nomem(err, "match data");
    if (code < 0 && code != PCRE2_ERROR_NOMATCH)
        return lrc_fail(err, LRC_STATUS_UNSUPPORTED,
                        "tokenizer: regular expression: want a search of at most %d steps, got more at byte "
                        "%zu of the text",
                        MATCH_STEPS_MAX, scan->from);
    if (*found) {
        const PCRE2_SIZE *bounds = pcre2_get_ovector_pointer(data);
        scan->start = bounds[0];
        scan->end = bounds[1];
    }
    return LRC_STATUS_OK;
}

static void find_literal(struct lrc_scan *scan, int *found)
{
    const struct lrc_buf *literal = &scan->pattern->literal;
    const char           *from = scan->text + scan->from;
    const char           *at = NULL;
    if (literal->len > 0)
        at = memmem(from, scan->n - scan->from, literal->data, literal->len);
    *found = at != NULL;
    if (at) {
        scan->start = (size_t)(at - scan->text);
        scan->end = scan->start + literal->len;
    }
}

enum lrc_status lrc_scan_next(struct lrc_scan *scan, int *found, struct lrc_error *err)
{
    const size_t last_end = scan->any ? scan->end : SIZE_MAX;
    *found = 0;
    while (scan->from <= scan->n) {
        if (scan->pattern->regex)
            LRC_TRY(find_regex(scan, found, err));
        else
            find_literal(scan, found);
        if (!*found)
            return LRC_STATUS_OK;
        if (scan->start < scan->from) /* \K must not lead backwards */
            scan->start = scan->from;
        if (scan->end < scan->start)
            scan->end = scan->start;
        const int empty = scan->start == scan->end;
        scan->from = scan->end;
        if (empty) {
            int32_t cp;
            scan->from +=
                scan->end < scan->n ? lrc_utf8_step(&cp, scan->text + scan->end, scan->n - scan->end) : 1;
        }
        if (!(empty && scan->end == last_end)) {
            scan->any = 1;
            return LRC_STATUS_OK;
        }
    }
    *found = 0;
    return LRC_STATUS_OK;
}
