#include "checkpoint/state_file.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

static herr_t keep_first(unsigned depth, const H5E_error2_t *error, void *context)
{
    struct lrc_h5_job *job = context;
    const char *desc = error->desc ? error->desc : "";
    if (depth == 0 && job->text[0] == '\0')
        (void)snprintf(job->text, sizeof job->text, "%s", desc);
    /* HDF5 keeps a failed write's errno in its text alone: ENOSPC, EDQUOT */
    if (strstr(desc, "errno = 28,") || strstr(desc, "errno = 122,"))
        job->disk_full = 1;
    return 0;
}

static herr_t keep_failure(hid_t stack, void *context)
{
    struct lrc_h5_job *job = context;
    (void)H5Ewalk2(stack, H5E_WALK_UPWARD, keep_first, job);
    for (char *c = job->text; *c; c++) /* dates of HDF5 end in a newline */
        if (iscntrl((unsigned char)*c))
            *c = ' ';
    return 0;
}

void lrc_h5_job_begin(struct lrc_h5_job *job, const char *path, struct lrc_error *err)
{
    *job = (struct lrc_h5_job){.path = path, .err = err};
    (void)H5Eget_auto2(H5E_DEFAULT, &job->before, &job->before_context);
    (void)H5Eset_auto2(H5E_DEFAULT, keep_failure, job);
}

void lrc_h5_job_end(const struct lrc_h5_job *job)
{
    (void)H5Eset_auto2(H5E_DEFAULT, job->before, job->before_context);
}

enum lrc_status lrc_h5_fail(const struct lrc_h5_job *job, enum lrc_status status, const char *what)
{
    if (job->disk_full)
        return lrc_fail(job->err, LRC_STATUS_NOSPACE, "%s: %s: want room on the disk, it is full", job->path,
                        what);
    return lrc_fail(job->err, status, "%s: %s%s%s", job->path, what, job->text[0] ? ": " : "", job->text);
}

hid_t lrc_h5_access(void)
{
    const hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    /* Superblock 0 (low bound EARLIEST): a file of version 3 that was open when its writer died opens no
     * more. STRONG: closing the file closes what is open in it. No locks: a checkpoint has one writer, and
     * NFS refuses them. */
    if (access >= 0 && H5Pset_libver_bounds(access, H5F_LIBVER_EARLIEST, H5F_LIBVER_V18) >= 0 &&
        H5Pset_fclose_degree(access, H5F_CLOSE_STRONG) >= 0 && H5Pset_file_locking(access, 0, 1) >= 0)
        return access;
    if (access >= 0)
        (void)H5Pclose(access);
    return -1;
}
