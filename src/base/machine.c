#include "base/machine.h"

#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* "Name:   123 kB" of a /proc file, in bytes. */
static int64_t proc_bytes(const char *path, const char *name)
{
    FILE *stream = fopen(path, "re");
    if (!stream)
        return -1;
    char         line[256];
    int64_t      bytes = -1;
    const size_t n = strlen(name);
    while (bytes < 0 && fgets(line, sizeof line, stream)) {
        long long kib;
        if (strncmp(line, name, n) == 0 && sscanf(line + n, ": %lld kB", &kib) == 1)
            bytes = (int64_t)kib * 1024;
    }
    fclose(stream);
    return bytes;
}

static int64_t cgroup_number(const char *path)
{
    FILE     *stream = fopen(path, "re");
    long long value = -1;
    if (!stream)
        return -1;
    if (fscanf(stream, "%lld", &value) != 1)
        value = -1; /* "max" */
    fclose(stream);
    return (int64_t)value;
}

int64_t lrc_machine_available_bytes(void)
{
    const int64_t available = proc_bytes("/proc/meminfo", "MemAvailable");
    const int64_t limit = cgroup_number("/sys/fs/cgroup/memory.max"),
                  used = cgroup_number("/sys/fs/cgroup/memory.current");
    if (limit < 0 || used < 0)
        return available;
    const int64_t left = limit > used ? limit - used : 0;
    return available < 0 || left < available ? left : available;
}

int64_t lrc_machine_peak_bytes(void)
{
    return proc_bytes("/proc/self/status", "VmHWM");
}

int64_t lrc_machine_heap_bytes(void)
{
    const struct mallinfo2 info = mallinfo2();
    return (int64_t)(info.uordblks + info.hblkhd);
}

void lrc_machine_heap_trim(void)
{
    (void)malloc_trim(0);
}

double lrc_machine_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}
