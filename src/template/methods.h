/* The methods of str, in a file of their own. Private to this folder. */
#ifndef LRC_TEMPLATE_METHODS_H
#define LRC_TEMPLATE_METHODS_H

#include "template/render.h"

extern const struct lrc_method lrc_method_string[]; /* ends with a row without a name */

/* methods_find.c */
lrc_callable lrc_method__find_text, lrc_method__rfind, lrc_method__index, lrc_method__rindex,
    lrc_method__count, lrc_method__startswith, lrc_method__endswith, lrc_method__partition,
    lrc_method__rpartition, lrc_method__center, lrc_method__ljust, lrc_method__rjust, lrc_method__zfill,
    lrc_method__expandtabs;

#endif
