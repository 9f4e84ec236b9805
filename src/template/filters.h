/* Filters that stand in other files than the table. Private to this folder. */
#ifndef LRC_TEMPLATE_FILTERS_H
#define LRC_TEMPLATE_FILTERS_H

#include "template/render.h"

lrc_callable lrc_filter__length, lrc_filter__first, lrc_filter__last, lrc_filter__list, lrc_filter__items,
    lrc_filter__join, lrc_filter__reverse, lrc_filter__map, lrc_filter__select, lrc_filter__reject,
    lrc_filter__selectattr, lrc_filter__rejectattr, lrc_filter__sort, lrc_filter__dictsort,
    lrc_filter__unique, lrc_filter__min, lrc_filter__max, lrc_filter__sum, lrc_filter__groupby;

/* The field at s->bytes[*at] == '%' with the next value; *at is left on its last byte. */
enum lrc_status lrc_format__field(struct lrc_builder *b, const struct lrc_string *s, size_t *at,
                                  const struct lrc_args *args, int64_t *next) LRC_MUST_CHECK;

#endif
