/* What happens to a checkpoint when the process dies, the disk is full or the file is damaged. */
#include "base/file.h"
#include "base/log.h"
#include "checkpoint_fixture.h"
#include "support.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static struct test_run saved, loaded;
static struct lrc_error err;

_Noreturn static void save_forever(const char *dir, int64_t step)
{
    for (;; step++) {
        test_run_fill(&saved, step, (uint32_t)step);
        /* every third one twice: replacing must be as safe as making */
        for (int64_t again = step % 3 == 0; again >= 0; again--)
            if (test_run_save(&saved, dir, NULL) != LRC_STATUS_OK ||
                lrc_checkpoint_prune(dir, 2, -1, NULL) != LRC_STATUS_OK)
                _exit(1);
    }
}

static int64_t newest_step(const char *dir)
{
    char *path;
    int64_t step = 0;
    cr_assert_eq(lrc_checkpoint_newest(&path, dir, &err), LRC_STATUS_OK, "%s", err.message);
    if (path) {
        cr_assert_eq(test_run_load(&loaded, path, &err), LRC_STATUS_OK, "%s", err.message);
        step = loaded.state.step;
        test_run_fill(&saved, step, (uint32_t)step);
        cr_assert(test_run_equal(&saved, &loaded), "step %d: not what was saved", (int)step);
    }
    lrc_free(path);
    return step;
}

static int n_warnings;

static void count_warning(enum lrc_log_level level, const char *line)
{
    (void)line;
    n_warnings += level == LRC_LOG_WARN;
}

Test(checkpoint, killed_writer_leaves_the_newest_complete_fault)
{
    const char *dir = test_folder("ckpt-kill");
    int64_t step = 0;
    unsigned seed = 12345;
    lrc_log_set_sink(count_warning);
    for (int i = 0; i < 50; i++) {
        const pid_t child = fork();
        cr_assert_geq(child, 0);
        if (child == 0)
            save_forever(dir, step + 1);
        seed = seed * 1664525u + 1013904223u;
        const struct timespec wait = {0, (long)(seed % 60u) * 1000000L};
        (void)nanosleep(&wait, NULL);
        cr_assert_eq(kill(child, SIGKILL), 0, "the writer stopped by itself");
        int status;
        cr_assert_eq(waitpid(child, &status, 0), child);
        cr_assert(WIFSIGNALED(status), "the writer failed by itself");
        const int64_t now = newest_step(dir);
        cr_assert_geq(now, step, "kill %d: went back from step %d to %d", i, (int)step, (int)now);
        step = now;
    }
    cr_expect_gt(step, 0, "no checkpoint was written, so nothing was tested");
    cr_expect_eq(n_warnings, 0, "a visible checkpoint was damaged");
    lrc_log_set_sink(NULL);
}

static void expect_refusal(const char *dir, enum lrc_status want)
{
    char path[1200];
    cr_expect_eq(test_run_save(&saved, dir, &err), want, "%s", err.message);
    (void)snprintf(path, sizeof path, "%s/checkpoint-%d.tmp", dir, (int)saved.state.step);
    cr_expect_not(lrc_path_exists(path));
    (void)snprintf(path, sizeof path, "%s/checkpoint-%d", dir, (int)saved.state.step);
    cr_expect_not(lrc_path_exists(path));
}

Test(checkpoint, full_disk_is_refused_and_leaves_nothing_fault)
{
    const char *dir = test_folder("ckpt-full");
    char path[1200];
    int n_refused = 0;
    (void)snprintf(path, sizeof path, "%s/checkpoint-1", dir);
    if (mount("tmpfs", dir, "tmpfs", 0, "size=640k") != 0)
        cr_skip_test("no tmpfs can be mounted here");
    test_run_fill(&saved, 1, 1);
    cr_assert_eq(test_run_save(&saved, dir, &err), LRC_STATUS_OK, "%s", err.message);
    for (int64_t step = 2; step < 20; step++) {
        test_run_fill(&saved, step, (uint32_t)step);
        if (test_run_save(&saved, dir, &err) == LRC_STATUS_OK)
            continue;
        expect_refusal(dir, LRC_STATUS_NOSPACE);
        n_refused++;
    }
    cr_expect_gt(n_refused, 0);
    cr_expect_eq(test_run_load(&loaded, path, &err), LRC_STATUS_OK, "%s", err.message);
    cr_assert_eq(umount2(dir, MNT_DETACH), 0);
}

/* A limit at every size up to the whole file: each way of running out. */
Test(checkpoint, file_limit_at_any_size_is_refused_fault)
{
    const char *dir = test_folder("ckpt-limit");
    struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};
    int64_t n_refused = 0;
    (void)signal(SIGXFSZ, SIG_IGN);
    test_run_fill(&saved, 5, 5);
    for (rlim_t bytes = 100; bytes < 4000000; bytes += bytes / 4) {
        limit.rlim_cur = bytes;
        cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
        const enum lrc_status status = test_run_save(&saved, dir, &err);
        if (status != LRC_STATUS_OK) {
            expect_refusal(dir, LRC_STATUS_IO);
            n_refused++;
            continue;
        }
        break;
    }
    limit.rlim_cur = RLIM_INFINITY;
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    cr_expect_gt(n_refused, 3);
    cr_expect_eq(newest_step(dir), 5, "the save that fitted");
}

static void damage(const char *path, const struct lrc_map *map, size_t at, unsigned char flip, size_t length)
{
    FILE *file = fopen(path, "wb");
    cr_assert(file);
    cr_assert_eq(fwrite(map->data, 1, length, file), length);
    if (at < length) {
        cr_assert_eq(fseek(file, (long)at, SEEK_SET), 0);
        cr_assert_neq(fputc(map->data[at] ^ flip, file), EOF);
    }
    cr_assert_eq(fclose(file), 0);
}

Test(checkpoint, damaged_file_is_refused_fault)
{
    const char *dir = test_folder("ckpt-damage");
    char folder[1200], path[1300], whole[1300];
    struct lrc_map map;
    int n = 0;
    (void)snprintf(folder, sizeof folder, "%s/checkpoint-3", dir);
    (void)snprintf(path, sizeof path, "%s/state.h5", folder);
    (void)snprintf(whole, sizeof whole, "%s/whole", dir);
    test_run_fill(&saved, 3, 3);
    cr_assert_eq(test_run_save(&saved, dir, &err), LRC_STATUS_OK, "%s", err.message);
    cr_assert_eq(lrc_file_copy(whole, path, &err), LRC_STATUS_OK);
    cr_assert_eq(lrc_map_open(&map, whole, &err), LRC_STATUS_OK);
    for (size_t at = 0; at < map.size_bytes; at += 97, n++) {
        damage(path, &map, at, (unsigned char)(1u << (n % 8)), map.size_bytes);
        cr_assert_eq(test_run_load(&loaded, folder, &err), LRC_STATUS_FORMAT, "flipped at %zu: %s", at,
                     err.message);
        cr_assert(strstr(err.message, "state.h5: want "), "%s", err.message);
        damage(path, &map, SIZE_MAX, 0, at);
        cr_assert_eq(test_run_load(&loaded, folder, &err), LRC_STATUS_FORMAT, "cut at %zu: %s", at,
                     err.message);
    }
    for (size_t at = 0; at < 600; at++) { /* the seal and what follows, byte by byte */
        damage(path, &map, at, 0x20, map.size_bytes);
        cr_assert_eq(test_run_load(&loaded, folder, &err), LRC_STATUS_FORMAT, "flipped at %zu: %s", at,
                     err.message);
    }
    damage(path, &map, SIZE_MAX, 0, map.size_bytes);
    cr_expect_eq(test_run_load(&loaded, folder, &err), LRC_STATUS_OK, "%s", err.message);
    cr_expect_eq(unlink(path), 0);
    cr_expect_eq(test_run_load(&loaded, folder, &err), LRC_STATUS_IO, "%s", err.message);
    lrc_map_close(&map);
}
