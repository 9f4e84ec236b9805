#include "common/cases.h"
void lrc_attention_cases(const struct lrc_backend *backend);
void lrc_attention_cases(const struct lrc_backend *backend)
{
    (void)backend;
}
