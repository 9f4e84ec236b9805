#include "support.h"

#include "base/alloc.h"
#include "base/file.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

uint64_t test_fnv(const void *bytes, size_t n)
{
    const unsigned char *b = bytes;
    uint64_t             hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < n; i++)
        hash = (hash ^ b[i]) * 0x100000001b3u;
    return hash;
}

static const char *next_path(const char *dir, const char *rest)
{
    static char     paths[4][1024];
    static unsigned turn;
    char           *path = paths[turn++ % 4];
    cr_assert_lt(snprintf(path, sizeof paths[0], "%s/%s", dir, rest), (int)sizeof paths[0]);
    return path;
}

const char *test_asset(const char *variable, const char *rest)
{
    const char *dir = getenv(variable);
    if (!dir || dir[0] == '\0')
        cr_skip_test("%s is not set", variable);
    return next_path(dir, rest);
}

/* Of this test, which is a process of its own; a process that a test forks leaves them alone. */
enum { FOLDERS_MAX = 256 };
static char  folders[FOLDERS_MAX][1024];
static int   n_folders;
static pid_t folders_owner;

static void remove_folders(void)
{
    struct lrc_error err;
    for (int i = 0; i < n_folders && getpid() == folders_owner; i++)
        if (lrc_dir_remove(folders[i], &err) != LRC_STATUS_OK)
            (void)fprintf(stderr, "%s\n", err.message);
}

const char *test_folder(const char *name)
{
    const char *base = getenv("TMPDIR");
    char        end[64];
    cr_assert_lt(n_folders, FOLDERS_MAX, "more folders than a test may have");
    (void)snprintf(end, sizeof end, "lorica-%s-XXXXXX", name);
    const char *pattern = next_path(base && base[0] ? base : "/tmp", end);
    (void)snprintf(folders[n_folders], sizeof folders[0], "%s", pattern);
    cr_assert_not_null(mkdtemp(folders[n_folders]), "%s: cannot make", folders[n_folders]);
    if (n_folders == 0) {
        folders_owner = getpid();
        cr_assert_eq(atexit(remove_folders), 0);
    }
    return folders[n_folders++];
}

static struct lrc_allocator original;
static _Atomic int64_t      left, live; /* rows are encoded on several threads */

static int fails(void)
{
    return left-- == 0;
}

static void *allocate(size_t size_bytes)
{
    void *memory = fails() ? NULL : original.allocate(size_bytes);
    live += memory != NULL;
    return memory;
}

static void *reallocate(void *memory, size_t size_bytes)
{
    void *moved = fails() ? NULL : original.reallocate(memory, size_bytes);
    live += moved != NULL && memory == NULL;
    return moved;
}

static void release(void *memory)
{
    live -= memory != NULL;
    original.release(memory);
}

void test_alloc_fail_at(int64_t n)
{
    original = lrc_allocator;
    left = n;
    live = 0;
    lrc_allocator = (struct lrc_allocator){ allocate, reallocate, release };
}

void test_alloc_restore(void)
{
    lrc_allocator = original;
}

int64_t test_alloc_live(void)
{
    return live;
}
