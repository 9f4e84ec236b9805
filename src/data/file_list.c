#include "data/file_list.h"

#include "base/alloc.h"
#include "base/file.h"
#include "data/row_file.h"
#include <glob.h>
#include <stdlib.h>
#include <string.h>

static enum lrc_status add(struct lrc_file_list *list, const char *path, struct lrc_error *err)
{
    if ((list->n & (list->n - 1)) == 0) { /* full at powers of two */
        char **paths = lrc_realloc(list->paths, list->n ? 2 * list->n : 1, sizeof *paths);
        if (!paths)
            return lrc_fail_nomem(err, "the files of a dataset");
        list->paths = paths;
    }
    char *copy = lrc_strdup(path);
    if (!copy)
        return lrc_fail_nomem(err, "the files of a dataset");
    list->paths[list->n++] = copy;
    return LRC_STATUS_OK;
}

static int is_wanted(const char *name, int texts)
{
    const enum lrc_row_kind kind = lrc_row_kind_of_name(name);
    return name[0] != '.' && kind != LRC_ROW_KIND_AUTO && (kind == LRC_ROW_KIND_TEXT) == texts;
}

static enum lrc_status add_from_folder(struct lrc_file_list *list, const char *dir, char *const *names,
                                       int64_t n_names, int texts, struct lrc_error *err)
{
    for (int64_t i = 0; i < n_names; i++) {
        if (!is_wanted(names[i], texts))
            continue;
        char *path = lrc_path_join(dir, names[i]);
        if (!path)
            return lrc_fail_nomem(err, "the files of a dataset");
        const enum lrc_status status = lrc_path_is_dir(path) ? LRC_STATUS_OK : add(list, path, err);
        lrc_free(path);
        LRC_TRY(status);
    }
    return LRC_STATUS_OK;
}

static enum lrc_status list_folder(struct lrc_file_list *list, const char *dir, struct lrc_error *err)
{
    char **names;
    int64_t n_names;
    LRC_TRY(lrc_dir_list(dir, &names, &n_names, err));
    enum lrc_status status = add_from_folder(list, dir, names, n_names, 0, err);
    if (status == LRC_STATUS_OK && list->n == 0)
        status = add_from_folder(list, dir, names, n_names, 1, err);
    lrc_dir_list_free(names, n_names);
    if (status == LRC_STATUS_OK && list->n == 0)
        return lrc_fail(err, LRC_STATUS_IO,
                        "%s: want a .jsonl, .json, .csv, .tsv, .txt or .md file in the folder, got none",
                        dir);
    return status;
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static enum lrc_status list_matches(struct lrc_file_list *list, const char *pattern, struct lrc_error *err)
{
    glob_t found = {0};
    enum lrc_status status = LRC_STATUS_OK;
    const int result = glob(pattern, GLOB_NOSORT, NULL, &found);
    if (result == GLOB_NOSPACE)
        status = lrc_fail_nomem(err, "the files of a dataset");
    for (size_t i = 0; result == 0 && i < found.gl_pathc && status == LRC_STATUS_OK; i++)
        if (!lrc_path_is_dir(found.gl_pathv[i]))
            status = add(list, found.gl_pathv[i], err);
    globfree(&found);
    LRC_TRY(status);
    if (list->n == 0)
        return lrc_fail(err, LRC_STATUS_IO, "%s: want a file that matches, got none", pattern);
    qsort(list->paths, (size_t)list->n, sizeof *list->paths, compare);
    return LRC_STATUS_OK;
}

enum lrc_status lrc_file_list_find(struct lrc_file_list *list, const char *path, struct lrc_error *err)
{
    *list = (struct lrc_file_list){0};
    if (strcmp(path, "-") == 0)
        return add(list, path, err);
    if (lrc_path_is_dir(path))
        return list_folder(list, path, err);
    if (!lrc_path_exists(path) && strpbrk(path, "*?["))
        return list_matches(list, path, err);
    if (!lrc_path_exists(path))
        return lrc_fail_errno(err, "%s: cannot open", path);
    return add(list, path, err);
}

void lrc_file_list_release(struct lrc_file_list *list)
{
    for (int64_t i = 0; i < list->n; i++)
        lrc_free(list->paths[i]);
    lrc_free(list->paths);
    *list = (struct lrc_file_list){0};
}
