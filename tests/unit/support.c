#include "support.h"

#include "base/alloc.h"
#include "base/file.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

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

const char *test_folder(const char *name)
{
    const char      *base = getenv("TMPDIR");
    char             pid[64];
    struct lrc_error err;
    (void)snprintf(pid, sizeof pid, "lorica-test-%s", name);
    const char *path = next_path(base && base[0] ? base : "/tmp", pid);
    cr_assert_eq(lrc_dir_remove(path, &err), LRC_STATUS_OK, "%s", err.message);
    cr_assert_eq(lrc_dir_make(path, &err), LRC_STATUS_OK, "%s", err.message);
    return path;
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
