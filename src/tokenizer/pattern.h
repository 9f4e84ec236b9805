/* What stages search for: a literal string, or a regular expression of a tokenizer.json.
 *
 * Files are written for Oniguruma with Ruby syntax. PCRE2 (JIT, UTF, UCP, MULTILINE) runs them after a
 * translation of what differs: \s is White_Space, \w is Alphabetic, M*, Nd, Pc, \h is a hexadecimal digit.
 * Nested character classes, class intersections
 * (&&) and (?m) mean something else to PCRE2 and are refused. */
#ifndef LRC_TOKENIZER_PATTERN_H
#define LRC_TOKENIZER_PATTERN_H

#include "base/buf.h"
#include "base/json.h"
#include "base/status.h"
#include <stddef.h>

struct lrc_pattern {
    void          *regex; /* pcre2_code; NULL for a literal */
    struct lrc_buf literal;
};

/* {"String": "..."}, {"Regex": "..."} or a bare string (a literal).
 * errors: FORMAT, UNSUPPORTED (a regular expression PCRE2 does not take), NOMEM. */
enum lrc_status lrc_pattern_read(struct lrc_pattern *pattern, const json_t *json, const char *name,
                                 struct lrc_error *err) LRC_MUST_CHECK;
enum lrc_status lrc_pattern_read_regex(struct lrc_pattern *pattern, const char *regex, size_t n,
                                       const char *name, struct lrc_error *err) LRC_MUST_CHECK;
void            lrc_pattern_release(struct lrc_pattern *pattern);

/* Match memory of one thread, made at the first regular expression. */
struct lrc_matcher {
    void *data, *context; /* pcre2_match_data, pcre2_match_context */
};
void lrc_matcher_release(struct lrc_matcher *matcher);

/* The matches of a pattern in a text, from left to right, without overlap. An empty match right after another
 * match does not count. */
struct lrc_scan {
    const struct lrc_pattern *pattern;
    struct lrc_matcher       *matcher;
    const char               *text; /* UTF-8 */
    size_t                    n;
    size_t                    from;
    int                       any;        /* there was a match */
    size_t                    start, end; /* of the match */
};

/* *found = 0 when there are no more.
 * errors: NOMEM; UNSUPPORTED when the search runs into the limits set against hostile expressions. */
enum lrc_status lrc_scan_next(struct lrc_scan *scan, int *found, struct lrc_error *err) LRC_MUST_CHECK;

#endif
