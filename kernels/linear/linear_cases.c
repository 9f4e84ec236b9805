#include "common/cases.h"
void lrc_linear_cases(const struct lrc_backend *backend);
void lrc_linear_cases(const struct lrc_backend *backend)
{
    (void)backend;
}
