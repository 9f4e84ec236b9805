#include "data/dataset.h"

#include "data/file_list.h"
#include "data/row_type.h"

enum { FIRST_ROWS = 64 }; /* among which a readable one is looked for */

/* Of the first readable row. */
static int row_needs_template(const struct lrc_data_format *format, const struct lrc_dataset_spec *spec,
                              const struct lrc_row_file *file)
{
    for (int64_t i = 0; format->row_needs_template && i < file->n_rows; i++) {
        json_t *row;
        if (lrc_row_file_parse(&row, file, i, NULL) != LRC_STATUS_OK)
            continue;
        const int needs = format->row_needs_template(row, spec);
        json_decref(row);
        return needs;
    }
    return 0;
}

static enum lrc_status file_needs(struct lrc_dataset_needs *needs, const struct lrc_dataset_spec *spec,
                                  const char *path, struct lrc_error *err)
{
    const struct lrc_data_format *format = NULL;
    struct lrc_row_file           file;
    struct lrc_problems           between_rows = { 0 }; /* told by lrc_dataset_load() */
    enum lrc_row_kind             kind;
    LRC_TRY(lrc_row_kind_find(&kind, spec->ds_type, err));
    enum lrc_status status = lrc_row_file_open(&file, path, kind, NULL, &between_rows, err);
    if (status == LRC_STATUS_OK)
        status = lrc_row_file_next(&file, FIRST_ROWS, err);
    if (status == LRC_STATUS_OK)
        status = lrc_row_type_find(&format, spec, &file, err);
    if (format) {
        needs->tokenizer |= format->needs_tokenizer;
        needs->template |= format->needs_template || row_needs_template(format, spec, &file);
        needs->preference = format->is_preference ? format->name : needs->preference;
    }
    lrc_row_file_close(&file);
    lrc_problems_release(&between_rows);
    return status;
}

enum lrc_status lrc_dataset_needs(struct lrc_dataset_needs *needs, const struct lrc_dataset_spec *specs,
                                  int n_specs, struct lrc_error *err)
{
    *needs = (struct lrc_dataset_needs){ 0 };
    for (int i = 0; i < n_specs; i++) {
        struct lrc_file_list files;
        enum lrc_status      status = lrc_file_list_find(&files, specs[i].path, err);
        for (int64_t k = 0; k < files.n && status == LRC_STATUS_OK; k++)
            status = file_needs(needs, &specs[i], files.paths[k], err);
        lrc_file_list_release(&files);
        LRC_TRY(status);
    }
    return LRC_STATUS_OK;
}
