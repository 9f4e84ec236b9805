/* What lorica.h adds to the library's own functions: a list of mistakes goes to the log's sink. */
#include "lorica.h"

#include "base/log.h"
#include "infer/session.h"
#include "merge/merge.h"
#include "train/train.h"

#include <string.h>

const char *lrc_version(void)
{
    return LRC_VERSION;
}

/* Tells and releases. */
static void tell_problems(struct lrc_problems *problems, enum lrc_status status)
{
    char *line = status == LRC_STATUS_OK ? NULL : problems->text.data;
    for (char *end; line && *line; line = end) {
        end = strchr(line, '\n');
        *end++ = '\0'; /* every line has one */
        lrc_log_problem(line);
    }
    lrc_problems_release(problems);
}

enum lrc_status lrc_train_run(const char *config_path, const char *const *overrides, int n_overrides,
                              const struct lrc_train_options *options, struct lrc_train_report *report,
                              struct lrc_error *err)
{
    struct lrc_config   config = { 0 };
    struct lrc_problems problems = { 0 };
    enum lrc_status status = lrc_config_load(&config, config_path, overrides, n_overrides, &problems, err);
    if (status == LRC_STATUS_OK)
        status = lrc_train(&config, options, report, &problems, err);
    lrc_config_release(&config);
    tell_problems(&problems, status);
    return status;
}

enum lrc_status lrc_merge_run(const struct lrc_merge_options *options, struct lrc_merge_report *report,
                              struct lrc_error *err)
{
    struct lrc_problems   problems = { 0 };
    const enum lrc_status status = lrc_merge(options, report, &problems, err);
    tell_problems(&problems, status);
    return status;
}

enum lrc_status lrc_session_open(struct lrc_session **session, const struct lrc_session_options *options,
                                 struct lrc_error *err)
{
    struct lrc_problems   problems = { 0 };
    const enum lrc_status status = lrc_session__open(session, options, &problems, err);
    tell_problems(&problems, status);
    return status;
}
