/* The files that a dataset's path means. */
#ifndef LRC_DATA_FILE_LIST_H
#define LRC_DATA_FILE_LIST_H

#include "base/status.h"
#include <stdint.h>

struct lrc_file_list {
    char **paths;
    int64_t n;
};

/* "-" and a file: itself. A folder: the data files in it (.jsonl, .json, .ndjson, .csv, .tsv, also packed),
 * or when there are none its texts (.txt, .md); folders in it are not entered. Else a pattern with * ? [ ]:
 * the files that match. Folders and patterns give their files sorted bytewise.
 *
 * errors:    IO when there is no such file, none in the folder, none that matches; NOMEM.
 * ownership: lrc_file_list_release(), also after an error. */
enum lrc_status lrc_file_list_find(struct lrc_file_list *list, const char *path,
                                   struct lrc_error *err) LRC_MUST_CHECK;
void lrc_file_list_release(struct lrc_file_list *list);

#endif
