#include "data/row_type.h"

#include "data/encode.h"

static void list_types(struct lrc_buf *names)
{
    for (const struct lrc_data_format *const *format = lrc_data_format_all; *format; format++)
        lrc_buf_printf(names, "%s%s", names->len ? ", " : "", (*format)->name);
}

/* The format that claims a row; CONFIG with both sides' names when none or several do. */
static enum lrc_status find_by_columns(const struct lrc_data_format **found, const json_t *row,
                                       const struct lrc_dataset_spec *spec, const char *path,
                                       struct lrc_error *err)
{
    struct lrc_buf claiming = { 0 }, columns = { 0 }, names = { 0 };
    int            n_claiming = 0;
    for (const struct lrc_data_format *const *format = lrc_data_format_all; *format; format++) {
        if (!(*format)->claims(row, spec))
            continue;
        lrc_buf_printf(&claiming, "%s%s", n_claiming++ ? ", " : "", (*format)->name);
        *found = *format;
    }
    const char *key;
    json_t     *value;
    json_object_foreach((json_t *)(uintptr_t)row, key, value)
        lrc_buf_printf(&columns, "%s%s", columns.len ? ", " : "", key);
    list_types(&names);

    enum lrc_status status = LRC_STATUS_OK;
    if (n_claiming == 0)
        status = lrc_fail(err, LRC_STATUS_CONFIG,
                          "%s: cannot tell the type from the columns (%.200s); want type: one of %s", path,
                          lrc_buf_text(&columns), lrc_buf_text(&names));
    if (n_claiming > 1)
        status = lrc_fail(err, LRC_STATUS_CONFIG,
                          "%s: the columns (%.200s) fit several types: %s; want type: one of them", path,
                          lrc_buf_text(&columns), lrc_buf_text(&claiming));
    lrc_buf_release(&claiming);
    lrc_buf_release(&columns);
    lrc_buf_release(&names);
    return status;
}

enum lrc_status lrc_row_type_find(const struct lrc_data_format **format, const struct lrc_dataset_spec *spec,
                                  const struct lrc_row_file *file, struct lrc_error *err)
{
    *format = NULL;
    if (spec->type) {
        *format = lrc_data_format_find(spec->type);
        if (*format)
            return LRC_STATUS_OK;
        struct lrc_buf names = { 0 };
        list_types(&names);
        const enum lrc_status status = lrc_fail(err, LRC_STATUS_CONFIG, "%s: type: want one of %s, got '%s'",
                                                file->path, lrc_buf_text(&names), spec->type);
        lrc_buf_release(&names);
        return status;
    }
    for (int64_t i = 0; i < file->n_rows; i++) {
        json_t *row;
        if (lrc_row_file_parse(&row, file, i, NULL) != LRC_STATUS_OK)
            continue;
        const enum lrc_status status = find_by_columns(format, row, spec, file->path, err);
        json_decref(row);
        return status;
    }
    return LRC_STATUS_OK;
}
