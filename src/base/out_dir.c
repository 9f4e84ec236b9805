#include "base/out_dir.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>

enum { SLACK_BYTES = 16 << 20 }; /* tokenizer files and the like */

enum lrc_status lrc_out_dir_choose(struct lrc_out_dir *dir, const char *path, struct lrc_error *err)
{
    char  **names;
    int64_t n_names = 0;
    *dir = (struct lrc_out_dir){ .path = lrc_strdup(path) };
    if (!dir->path)
        return lrc_fail_nomem(err, path);
    for (size_t n = strlen(dir->path); n > 1 && dir->path[n - 1] == '/'; n--)
        dir->path[n - 1] = '\0';
    struct lrc_buf aside = { 0 };
    lrc_buf_printf(&aside, "%s.tmp", dir->path);
    dir->aside = aside.data;
    LRC_TRY(lrc_buf_check(&aside, err));
    if (!lrc_path_exists(dir->path))
        return LRC_STATUS_OK;
    if (!lrc_path_is_dir(dir->path))
        return lrc_fail(err, LRC_STATUS_USAGE, "%s: want a folder to make, got a file", dir->path);
    LRC_TRY(lrc_dir_list(dir->path, &names, &n_names, err));
    lrc_dir_list_free(names, n_names);
    return n_names == 0 ? LRC_STATUS_OK
                        : lrc_fail(err, LRC_STATUS_USAGE,
                                   "%s: want a new or empty folder, got one that holds %lld file(s)",
                                   dir->path, (long long)n_names);
}

/* The nearest folder of a path that is there. ownership: lrc_free(). */
static char *existing_parent(const char *path)
{
    char *dir = lrc_path_dir(path);
    while (dir && !lrc_path_exists(dir)) {
        char *up = lrc_path_dir(dir);
        lrc_free(dir);
        dir = up;
    }
    return dir;
}

enum lrc_status lrc_out_dir_check_disk(const struct lrc_out_dir *dir, uint64_t need_bytes,
                                       struct lrc_error *err)
{
    struct statvfs  disk;
    const uint64_t  need = need_bytes + SLACK_BYTES;
    enum lrc_status status = LRC_STATUS_OK;
    char           *parent = existing_parent(dir->path);
    if (!parent)
        return lrc_fail_nomem(err, dir->path);
    if (statvfs(parent, &disk) != 0)
        status = lrc_fail_errno(err, "%s: cannot ask for the room on its disk", parent);
    else if ((uint64_t)disk.f_bavail * disk.f_frsize < need)
        status = lrc_fail(err, LRC_STATUS_NOSPACE, "%s: want %.1f MiB on its disk, got %.1f MiB", dir->path,
                          (double)need / 0x1p20, (double)disk.f_bavail * (double)disk.f_frsize / 0x1p20);
    lrc_free(parent);
    return status;
}

enum lrc_status lrc_out_dir_make(struct lrc_out_dir *dir, struct lrc_error *err)
{
    LRC_TRY(lrc_dir_remove(dir->aside, err));
    return lrc_dir_make(dir->aside, err);
}

static enum lrc_status publish(const struct lrc_out_dir *dir, struct lrc_error *err)
{
    LRC_TRY(lrc_file_sync(dir->aside, err));
    if (rename(dir->aside, dir->path) != 0)
        return lrc_fail_errno(err, "%s: cannot rename to %s", dir->aside, dir->path);
    char *parent = lrc_path_dir(dir->path);
    if (!parent)
        return lrc_fail_nomem(err, dir->path);
    const enum lrc_status status = lrc_file_sync(parent, err);
    lrc_free(parent);
    return status;
}

enum lrc_status lrc_out_dir_end(struct lrc_out_dir *dir, enum lrc_status status, struct lrc_error *err)
{
    if (status == LRC_STATUS_OK)
        status = publish(dir, err);
    if (status != LRC_STATUS_OK &&
        lrc_dir_remove(dir->aside, NULL) != LRC_STATUS_OK) /* the first failure is in err */
        lrc_log_warn("%s: cannot be removed", dir->aside);
    return status;
}

void lrc_out_dir_release(struct lrc_out_dir *dir)
{
    lrc_free(dir->aside);
    lrc_free(dir->path);
    *dir = (struct lrc_out_dir){ 0 };
}
