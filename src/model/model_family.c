#include "model/model_family.h"

#include <stddef.h>
#include <string.h>

const struct lrc_model_family *lrc_model_family_find(const char *model_type)
{
    for (const struct lrc_model_family *const *family = lrc_model_family_all; *family; family++)
        if (strcmp((*family)->model_type, model_type) == 0)
            return *family;
    return NULL;
}
