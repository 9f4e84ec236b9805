/* libhdf5 1.10 does not survive a write that fails: the file stays half open in it, and the process dies at
 * exit. So it gets a file whose blocks are all there before it writes the first byte. */
#include "formats/sealed_h5.h"

#include "base/alloc.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum { IMAGE_BYTES_MAX = 64 << 10 };

/* An HDF5 file without content, made in memory; its length, 0 on failure. */
static size_t make_image(unsigned char *image)
{
    const hid_t access = lrc_h5_access(), create = H5Pcreate(H5P_FILE_CREATE);
    hid_t file = -1;
    ssize_t n = 0;
    if (access >= 0 && create >= 0 && H5Pset_obj_track_times(create, 0) >= 0 &&
        H5Pset_userblock(create, LRC_H5_SEAL_BYTES) >= 0 && H5Pset_fapl_core(access, IMAGE_BYTES_MAX, 0) >= 0)
        file = H5Fcreate("image.h5", H5F_ACC_TRUNC, create, access);
    if (file >= 0 && H5Fflush(file, H5F_SCOPE_GLOBAL) >= 0)
        n = H5Fget_file_image(file, image, IMAGE_BYTES_MAX);
    if (file >= 0)
        (void)H5Fclose(file);
    if (create >= 0)
        (void)H5Pclose(create);
    if (access >= 0)
        (void)H5Pclose(access);
    return n > 0 ? (size_t)n : 0;
}

static enum lrc_status write_image(const char *path, const unsigned char *image, size_t n,
                                   uint64_t bound_bytes, struct lrc_error *err)
{
    enum lrc_status status = LRC_STATUS_OK;
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0)
        return lrc_fail_errno(err, "%s: cannot create", path);
    errno = posix_fallocate(fd, 0, (off_t)bound_bytes);
    if (errno != 0)
        status =
            lrc_fail_errno(err, "%s: want %llu bytes on the disk", path, (unsigned long long)bound_bytes);
    else if (pwrite(fd, image, n, LRC_H5_SEAL_BYTES) != (ssize_t)n)
        status = lrc_fail_errno(err, "%s: cannot write", path);
    if (close(fd) != 0 && status == LRC_STATUS_OK)
        status = lrc_fail_errno(err, "%s: cannot close", path);
    return status;
}

enum lrc_status lrc_h5_reserve(const struct lrc_h5_job *job, uint64_t bound_bytes)
{
    unsigned char *image = lrc_calloc(IMAGE_BYTES_MAX, 1);
    if (!image)
        return lrc_fail_nomem(job->err, job->path);
    const size_t n = make_image(image);
    const enum lrc_status status = n > 0 ? write_image(job->path, image, n, bound_bytes, job->err)
                                         : lrc_h5_fail(job, LRC_STATUS_IO, "cannot be made");
    lrc_free(image);
    return status;
}
