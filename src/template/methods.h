/* The methods of str, in a file of their own. Private to this folder. */
#ifndef LRC_TEMPLATE_METHODS_H
#define LRC_TEMPLATE_METHODS_H

#include "template/render.h"

extern const struct lrc_method lrc_method_string[]; /* ends with a row without a name */

#endif
