#include "formats/sealed_h5.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

enum { CACHE_BYTES = 128 << 10 }; /* of metadata */

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

/* libhdf5 keeps what it knows of a file up to a limit, counted as in the file, where a chunk index has 2 kB:
 * in memory it has ten times that. Left alone, a thousand tensors take 30 MB. */
static int limit_cache(hid_t access)
{
    H5AC_cache_config_t config = {.version = H5AC__CURR_CACHE_CONFIG_VERSION};
    if (H5Pget_mdc_config(access, &config) < 0)
        return 0;
    config.set_initial_size = 1;
    config.initial_size = config.min_size = config.max_size = CACHE_BYTES;
    return H5Pset_mdc_config(access, &config) >= 0;
}

hid_t lrc_h5_access(void)
{
    const hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    /* Superblock 0 (low bound EARLIEST): a file of version 3 that was open when its writer died opens no
     * more. STRONG: closing the file closes what is open in it. No locks: a checkpoint has one writer, and
     * NFS refuses them. */
    if (access >= 0 && H5Pset_libver_bounds(access, H5F_LIBVER_EARLIEST, H5F_LIBVER_V18) >= 0 &&
        H5Pset_fclose_degree(access, H5F_CLOSE_STRONG) >= 0 && H5Pset_file_locking(access, 0, 1) >= 0 &&
        limit_cache(access))
        return access;
    if (access >= 0)
        (void)H5Pclose(access);
    return -1;
}

/* Only links to objects of this same file. */
int lrc_h5_is_inside(hid_t parent, const char *name)
{
    H5L_info_t link;
    return H5Lexists(parent, name, H5P_DEFAULT) > 0 && H5Lget_info(parent, name, &link, H5P_DEFAULT) >= 0 &&
           link.type == H5L_TYPE_HARD;
}

hid_t lrc_h5_open_dataset(hid_t parent, const char *name, H5D_layout_t layout, const H5Z_filter_t *filters,
                          int n_filters)
{
    const hid_t dataset = lrc_h5_is_inside(parent, name) ? H5Dopen2(parent, name, H5P_DEFAULT) : -1;
    const hid_t create = dataset < 0 ? -1 : H5Dget_create_plist(dataset);
    int right = create >= 0 && H5Pget_nfilters(create) == n_filters && H5Pget_layout(create) == layout &&
                H5Pget_external_count(create) == 0;
    for (int i = 0; right && i < n_filters; i++) {
        size_t n_values = 0;
        right = H5Pget_filter2(create, (unsigned)i, NULL, &n_values, NULL, 0, NULL, NULL) == filters[i];
    }
    if (create >= 0)
        (void)H5Pclose(create);
    if (right || dataset < 0)
        return dataset;
    (void)H5Dclose(dataset);
    return -1;
}
