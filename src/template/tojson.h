/* JSON text of a value. Private to this folder. */
#ifndef LRC_TEMPLATE_TOJSON_H
#define LRC_TEMPLATE_TOJSON_H

#include "template/render.h"

struct lrc_json_style {
    const struct lrc_string *between_items; /* ", " */
    const struct lrc_string *after_key;     /* ": " */
    const struct lrc_string *indent;        /* of one level; NULL: all on one line */
    int ascii;                              /* \u escapes beyond ASCII */
    int sort_keys;
};

/* errors: DATA for a value that JSON has not; NUMERIC when a bound is hit. */
enum lrc_status lrc_json__put(struct lrc_builder *b, struct lrc_value v,
                              const struct lrc_json_style *style) LRC_MUST_CHECK;

#endif
