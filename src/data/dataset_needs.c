#include "data/dataset.h"

#include "data/file_list.h"
#include "data/row_type.h"

static enum lrc_status file_needs(const struct lrc_data_format **format, const struct lrc_dataset_spec *spec,
                                  const char *path, struct lrc_error *err)
{
    struct lrc_row_file file;
    struct lrc_problems between_rows = {0}; /* told by lrc_dataset_load() */
    enum lrc_row_kind kind;
    LRC_TRY(lrc_row_kind_find(&kind, spec->ds_type, err));
    enum lrc_status status = lrc_row_file_open(&file, path, kind, &between_rows, err);
    lrc_problems_release(&between_rows);
    LRC_TRY(status);
    status = lrc_row_type_find(format, spec, &file, err);
    lrc_row_file_close(&file);
    return status;
}

static enum lrc_status spec_needs(int *tokenizer, int *template, const struct lrc_dataset_spec *spec,
                                  struct lrc_error *err)
{
    struct lrc_file_list files;
    const struct lrc_data_format *format = NULL;
    enum lrc_status status = lrc_file_list_find(&files, spec->path, err);
    for (int64_t i = 0; i < files.n && status == LRC_STATUS_OK; i++) {
        status = file_needs(&format, spec, files.paths[i], err);
        if (status != LRC_STATUS_OK || !format)
            continue;
        *tokenizer |= format->needs_tokenizer;
        *template |= format->needs_template;
        if (spec->type) /* the same for every file */
            break;
    }
    lrc_file_list_release(&files);
    return status;
}

enum lrc_status lrc_dataset_needs(int *tokenizer, int *template, const struct lrc_dataset_spec *specs,
                                  int n_specs, struct lrc_problems *problems, struct lrc_error *err)
{
    *tokenizer = *template = 0;
    for (int i = 0; i < n_specs; i++)
        LRC_TRY(spec_needs(tokenizer, template, &specs[i], err));
    (void)problems;
    return LRC_STATUS_OK;
}
