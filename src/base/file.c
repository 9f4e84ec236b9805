#include "base/file.h"

#include "base/alloc.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum lrc_status lrc_map_open(struct lrc_map *map, const char *path, struct lrc_error *err)
{
    *map = (struct lrc_map){ 0 };
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return lrc_fail_errno(err, "%s: cannot open", path);

    struct stat info;
    if (fstat(fd, &info) != 0) {
        const enum lrc_status status = lrc_fail_errno(err, "%s: cannot read its size", path);
        close(fd);
        return status;
    }
    if (!S_ISREG(info.st_mode)) {
        close(fd);
        return lrc_fail(err, LRC_STATUS_IO, "%s: want a regular file, got a folder or device", path);
    }
    if (info.st_size == 0) {
        close(fd);
        map->data = (const unsigned char *)"";
        return LRC_STATUS_OK;
    }
    void *data = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (data == MAP_FAILED) {
        const enum lrc_status status =
            lrc_fail_errno(err, "%s: cannot map %lld bytes", path, (long long)info.st_size);
        close(fd);
        return status;
    }
    close(fd);
    map->data = data;
    map->size_bytes = (size_t)info.st_size;
    return LRC_STATUS_OK;
}

void lrc_map_close(struct lrc_map *map)
{
    if (map->size_bytes > 0)
        munmap((void *)(uintptr_t)map->data, map->size_bytes);
    *map = (struct lrc_map){ 0 };
}

void lrc_map_drop(const void *data, size_t size_bytes)
{
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE),
                    first = ((uintptr_t)data + page - 1) / page * page;
    const uintptr_t end = ((uintptr_t)data + size_bytes) / page * page;
    if (end > first)
        /* only advice: a failure costs memory, not data */
        (void)madvise((void *)first, end - first, MADV_DONTNEED);
}

enum lrc_status lrc_file_read(struct lrc_buf *buf, const char *path, struct lrc_error *err)
{
    FILE *stream = fopen(path, "rbe");
    if (!stream)
        return lrc_fail_errno(err, "%s: cannot open", path);
    char   chunk[16384];
    size_t n;
    while ((n = fread(chunk, 1, sizeof chunk, stream)) > 0)
        lrc_buf_append(buf, chunk, n);
    const enum lrc_status status =
        ferror(stream) ? lrc_fail_errno(err, "%s: cannot read", path) : lrc_buf_check(buf, err);
    fclose(stream);
    return status;
}

enum lrc_status lrc_out_open(struct lrc_out *out, const char *path, struct lrc_error *err)
{
    *out = (struct lrc_out){ 0 };
    struct stat info;
    /* the rename would put a file in the place of a device */
    if (stat(path, &info) == 0 && !S_ISREG(info.st_mode))
        return lrc_fail(err, LRC_STATUS_IO, "%s: want a regular file or a new one, got a folder or device",
                        path);
    struct lrc_buf aside = { 0 };
    lrc_buf_printf(&aside, "%s.tmp", path);
    out->path = lrc_strdup(path);
    out->path_aside = aside.data;
    if (!out->path || aside.failed) {
        lrc_out_abort(out);
        return lrc_fail_nomem(err, path);
    }
    out->stream = fopen(out->path_aside, "wbe");
    if (!out->stream) {
        const enum lrc_status status = lrc_fail_errno(err, "%s: cannot create", out->path_aside);
        lrc_free(out->path_aside); /* nothing there to remove */
        out->path_aside = NULL;
        lrc_out_abort(out);
        return status;
    }
    return LRC_STATUS_OK;
}

enum lrc_status lrc_out_write(struct lrc_out *out, const void *bytes, size_t n, struct lrc_error *err)
{
    if (n > 0 && fwrite(bytes, 1, n, out->stream) != n)
        return lrc_fail_errno(err, "%s: cannot write %zu bytes", out->path_aside, n);
    return LRC_STATUS_OK;
}

enum lrc_status lrc_out_write_at(struct lrc_out *out, size_t at, const void *bytes, size_t n,
                                 struct lrc_error *err)
{
    const int            fd = fileno(out->stream);
    const unsigned char *next = bytes;
    for (size_t done = 0; done < n;) {
        const ssize_t written = pwrite(fd, next + done, n - done, (off_t)(at + done));
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return lrc_fail_errno(err, "%s: cannot write %zu bytes", out->path_aside, n);
        done += (size_t)written;
    }
    return LRC_STATUS_OK;
}

void lrc_out_begin_sync(struct lrc_out *out, size_t at, size_t n)
{
    (void)sync_file_range(fileno(out->stream), (off_t)at, (off_t)n, SYNC_FILE_RANGE_WRITE);
}

static enum lrc_status sync_parent(const char *path, struct lrc_error *err)
{
    char *dir = lrc_path_dir(path);
    if (!dir)
        return lrc_fail_nomem(err, path);
    const enum lrc_status status = lrc_file_sync(dir, err);
    lrc_free(dir);
    return status;
}

enum lrc_status lrc_out_commit(struct lrc_out *out, struct lrc_error *err)
{
    enum lrc_status status = LRC_STATUS_OK;
    if (fflush(out->stream) != 0 || fsync(fileno(out->stream)) != 0)
        status = lrc_fail_errno(err, "%s: cannot write", out->path_aside);
    if (fclose(out->stream) != 0 && status == LRC_STATUS_OK)
        status = lrc_fail_errno(err, "%s: cannot close", out->path_aside);
    out->stream = NULL;
    if (status == LRC_STATUS_OK && rename(out->path_aside, out->path) != 0)
        status = lrc_fail_errno(err, "%s: cannot rename to %s", out->path_aside, out->path);
    if (status == LRC_STATUS_OK) {
        status = sync_parent(out->path, err);
        lrc_free(out->path_aside); /* it has become path */
        out->path_aside = NULL;
    }
    lrc_out_abort(out);
    return status;
}

void lrc_out_abort(struct lrc_out *out)
{
    if (out->stream)
        fclose(out->stream);
    if (out->path_aside)
        unlink(out->path_aside);
    lrc_free(out->path_aside);
    lrc_free(out->path);
    *out = (struct lrc_out){ 0 };
}

enum lrc_status lrc_file_write(const char *path, const void *bytes, size_t n, struct lrc_error *err)
{
    struct lrc_out out;
    LRC_TRY(lrc_out_open(&out, path, err));
    const enum lrc_status status = lrc_out_write(&out, bytes, n, err);
    if (status == LRC_STATUS_OK)
        return lrc_out_commit(&out, err);
    lrc_out_abort(&out);
    return status;
}

enum lrc_status lrc_file_copy(const char *to, const char *from, struct lrc_error *err)
{
    struct lrc_map map;
    LRC_TRY(lrc_map_open(&map, from, err));
    const enum lrc_status status = lrc_file_write(to, map.data, map.size_bytes, err);
    lrc_map_close(&map);
    return status;
}

enum lrc_status lrc_dir_lock(int *fd, const char *path, struct lrc_error *err)
{
    *fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (*fd < 0)
        return lrc_fail_errno(err, "%s: cannot open folder", path);
    if (flock(*fd, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK)
        return LRC_STATUS_OK; /* some file systems know no locks: a run is not refused for that */
    close(*fd);
    *fd = -1;
    return lrc_fail(err, LRC_STATUS_CONFIG, "%s: want a folder that no other run writes into, got one in use",
                    path);
}

enum lrc_status lrc_file_sync(const char *path, struct lrc_error *err)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return lrc_fail_errno(err, "%s: cannot open", path);
    const enum lrc_status status =
        fsync(fd) != 0 ? lrc_fail_errno(err, "%s: cannot sync", path) : LRC_STATUS_OK;
    close(fd);
    return status;
}

int lrc_path_exists(const char *path)
{
    return access(path, F_OK) == 0;
}

int lrc_path_is_dir(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

char *lrc_path_join(const char *dir, const char *name)
{
    if (name[0] == '/' || dir[0] == '\0')
        return lrc_strdup(name);
    const size_t n_dir = strlen(dir), n_name = strlen(name);
    const int    slash = dir[n_dir - 1] != '/';
    char        *path = lrc_calloc((int64_t)(n_dir + n_name + 2), 1);
    if (!path)
        return NULL;
    memcpy(path, dir, n_dir);
    if (slash)
        path[n_dir] = '/';
    memcpy(path + n_dir + (size_t)slash, name, n_name);
    return path;
}

char *lrc_path_dir(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        return lrc_strdup(".");
    const size_t n = slash == path ? 1 : (size_t)(slash - path);
    char        *dir = lrc_calloc((int64_t)n + 1, 1);
    return dir ? memcpy(dir, path, n) : NULL;
}

const char *lrc_path_base(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

char *lrc_path_absolute(const char *path)
{
    char resolved[PATH_MAX];
    if (realpath(path, resolved))
        return lrc_strdup(resolved);
    if (!getcwd(resolved, sizeof resolved))
        return NULL;
    return lrc_path_join(resolved, path);
}

enum lrc_status lrc_dir_make(const char *path, struct lrc_error *err)
{
    char *partial = lrc_strdup(path);
    if (!partial)
        return lrc_fail_nomem(err, path);
    enum lrc_status status = LRC_STATUS_OK;
    for (char *p = partial + 1;; p++) {
        if (*p != '/' && *p != '\0')
            continue;
        const char end = *p;
        *p = '\0';
        if (mkdir(partial, 0777) != 0 && !(errno == EEXIST && lrc_path_is_dir(partial))) {
            status = lrc_fail_errno(err, "%s: cannot make folder", partial);
            break;
        }
        *p = end;
        if (end == '\0')
            break;
    }
    lrc_free(partial);
    return status;
}

enum lrc_status lrc_dir_remove(const char *path, struct lrc_error *err)
{
    struct stat info;
    if (lstat(path, &info) != 0)
        return errno == ENOENT ? LRC_STATUS_OK : lrc_fail_errno(err, "%s: cannot remove", path);
    if (!S_ISDIR(info.st_mode))
        return unlink(path) == 0 ? LRC_STATUS_OK : lrc_fail_errno(err, "%s: cannot remove", path);

    char  **names;
    int64_t n_names;
    LRC_TRY(lrc_dir_list(path, &names, &n_names, err));
    enum lrc_status status = LRC_STATUS_OK;
    for (int64_t i = 0; i < n_names && status == LRC_STATUS_OK; i++) {
        char *inner = lrc_path_join(path, names[i]);
        status = inner ? lrc_dir_remove(inner, err) : lrc_fail_nomem(err, path);
        lrc_free(inner);
    }
    lrc_dir_list_free(names, n_names);
    if (status == LRC_STATUS_OK && rmdir(path) != 0)
        status = lrc_fail_errno(err, "%s: cannot remove", path);
    return status;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

enum lrc_status lrc_dir_list(const char *path, char ***names, int64_t *n_names, struct lrc_error *err)
{
    *names = NULL;
    *n_names = 0;
    DIR *dir = opendir(path);
    if (!dir)
        return lrc_fail_errno(err, "%s: cannot list folder", path);
    enum lrc_status status = LRC_STATUS_OK;
    int64_t         n_max = 0;
    for (const struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (*n_names == n_max) {
            n_max = n_max ? n_max * 2 : 16;
            char **more = lrc_realloc(*names, n_max, sizeof *more);
            if (!more) {
                status = lrc_fail_nomem(err, path);
                break;
            }
            *names = more;
        }
        if (!((*names)[*n_names] = lrc_strdup(entry->d_name))) {
            status = lrc_fail_nomem(err, path);
            break;
        }
        ++*n_names;
    }
    closedir(dir);
    if (status != LRC_STATUS_OK) {
        lrc_dir_list_free(*names, *n_names);
        *names = NULL;
        *n_names = 0;
    } else if (*n_names > 0) {
        qsort(*names, (size_t)*n_names, sizeof **names, compare_names);
    }
    return status;
}

void lrc_dir_list_free(char **names, int64_t n_names)
{
    for (int64_t i = 0; i < n_names; i++)
        lrc_free(names[i]);
    lrc_free(names);
}
