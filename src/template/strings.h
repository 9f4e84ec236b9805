/* Operations on strings that filters and methods share. Private to this folder. */
#ifndef LRC_TEMPLATE_STRINGS_H
#define LRC_TEMPLATE_STRINGS_H

#include "template/render.h"

/* TITLE is str.title(): a letter behind a non-letter; WORDS is jinja2's title filter: behind space and - ( {
 * [ < */
enum lrc_case {
    LRC_CASE_LOWER,
    LRC_CASE_UPPER,
    LRC_CASE_TITLE,
    LRC_CASE_CAPITALIZE,
    LRC_CASE_WORDS,
    LRC_CASE_SWAP
};
enum lrc_side { LRC_SIDE_LEFT = 1, LRC_SIDE_RIGHT = 2, LRC_SIDE_BOTH = 3 };

enum lrc_status lrc_string__to_case(struct lrc_render *r, struct lrc_value *out, const struct lrc_string *s,
                                    enum lrc_case to) LRC_MUST_CHECK;
/* characters NULL: space. */
enum lrc_status lrc_string__strip(struct lrc_render *r, struct lrc_value *out, const struct lrc_string *s,
                                  const struct lrc_string *characters, enum lrc_side side) LRC_MUST_CHECK;
/* count < 0: all of them. */
enum lrc_status lrc_string__replace(struct lrc_render *r, struct lrc_value *out, const struct lrc_string *s,
                                    const struct lrc_string *from, const struct lrc_string *to,
                                    int64_t count) LRC_MUST_CHECK;
/* 1 when every letter is of that case and there is one. */
int lrc_string__is_case(const struct lrc_string *s, enum lrc_case which);

/* An argument of the wanted type; the value as it was when it is absent or None.
 * errors: DATA "replace: want a str for 'old', got int". what names the function. */
enum lrc_status lrc_argument__string(struct lrc_render *r, const struct lrc_string **value,
                                     struct lrc_value argument, const char *what) LRC_MUST_CHECK;
enum lrc_status lrc_argument__int(struct lrc_render *r, int64_t *value, struct lrc_value argument,
                                  const char *what) LRC_MUST_CHECK;

#endif
