/* Which of the data formats a file's rows are in. */
#ifndef LRC_DATA_ROW_TYPE_H
#define LRC_DATA_ROW_TYPE_H

#include "data/data_format.h"
#include "data/row_file.h"

/* The spec's type, or the one whose columns the first readable row of the file's batch has; NULL when there
 * is no such row.
 *
 * errors: CONFIG for an unknown type, and when no type or several fit the columns. */
enum lrc_status lrc_row_type_find(const struct lrc_data_format **format, const struct lrc_dataset_spec *spec,
                                  const struct lrc_row_file *file, struct lrc_error *err) LRC_MUST_CHECK;

#endif
