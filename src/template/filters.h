/* Filters that stand in other files than the table. Private to this folder. */
#ifndef LRC_TEMPLATE_FILTERS_H
#define LRC_TEMPLATE_FILTERS_H

#include "template/render.h"

lrc_callable lrc_filter__length, lrc_filter__first, lrc_filter__last, lrc_filter__list, lrc_filter__items,
    lrc_filter__join, lrc_filter__reverse, lrc_filter__map, lrc_filter__select, lrc_filter__reject,
    lrc_filter__selectattr, lrc_filter__rejectattr, lrc_filter__sort, lrc_filter__dictsort,
    lrc_filter__unique, lrc_filter__min, lrc_filter__max, lrc_filter__sum, lrc_filter__groupby,
    lrc_filter__batch, lrc_filter__slice;

/* filters_text.c */
lrc_callable lrc_filter__attr, lrc_filter__center, lrc_filter__escape, lrc_filter__striptags,
    lrc_filter__truncate, lrc_filter__urlencode, lrc_filter__wordcount, lrc_filter__wordwrap,
    lrc_filter__xmlattr;

#endif
