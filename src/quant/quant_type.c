#include "quant/quant_type.h"

#include <stddef.h>
#include <string.h>

const struct lrc_quant_type *lrc_quant_type_find(const char *name)
{
    for (const struct lrc_quant_type *const *type = lrc_quant_type_all; *type; type++)
        if (strcmp((*type)->name, name) == 0)
            return *type;
    return NULL;
}

const struct lrc_quant_type *lrc_quant_type_of(enum lrc_block_type block_type)
{
    for (const struct lrc_quant_type *const *type = lrc_quant_type_all; *type; type++)
        if ((*type)->type == block_type)
            return *type;
    return NULL;
}
