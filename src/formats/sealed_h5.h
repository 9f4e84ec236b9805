/* HDF5 files that are whole or refused: a checkpoint's state, cached tokens.
 *
 *   1. 512 bytes, the seal: "<kind>\nbytes <20 digits>\nsha256 <64 hex digits>\n", then zeros. bytes is the
 *      length of the whole file, the hash is that of everything after the seal. HDF5 calls this a user block:
 *      its readers step over it.
 *   2. an HDF5 file, superblock 0
 *
 * HDF5 has no journal, and for the metadata of such a file no checksum; libhdf5 was not written for damaged
 * input. The seal is therefore checked before the library sees the file. kind names content and version. */
#ifndef LRC_FORMATS_SEALED_H5_H
#define LRC_FORMATS_SEALED_H5_H

#include "base/status.h"
#include <hdf5.h>
#include <stdint.h>

enum { LRC_H5_SEAL_BYTES = 512 };

/* The seal of a file of n bytes in all, of which `body` are those after the seal. errors: NOMEM, DEVICE. */
enum lrc_status lrc_h5_seal_make(unsigned char seal[LRC_H5_SEAL_BYTES], const char *kind, const void *body,
                                 size_t body_bytes, struct lrc_error *err) LRC_MUST_CHECK;
/* Write the seal of a finished file into its first bytes. errors: IO, NOSPACE. */
enum lrc_status lrc_h5_seal_put(const char *path, const char *kind, struct lrc_error *err) LRC_MUST_CHECK;
/* LENGTH: seal and length only, which is quick. errors: IO; FORMAT when the file is not as it was written. */
enum lrc_h5_check { LRC_H5_CHECK_LENGTH, LRC_H5_CHECK_ALL };
enum lrc_status lrc_h5_seal_check(const char *path, const char *kind, enum lrc_h5_check check,
                                  struct lrc_error *err) LRC_MUST_CHECK;

/* One reading or writing of a file. libhdf5 prints its errors to stderr, and forgets them at its next call,
 * also at those that clean up: from begin to end it is silent and the first failure is kept. */
struct lrc_h5_job {
    const char *path;
    struct lrc_error *err;
    char text[256]; /* innermost message of the first failure */
    int disk_full;
    H5E_auto2_t before; /* what printed errors before, put back at the end */
    void *before_context;
};
void lrc_h5_job_begin(struct lrc_h5_job *job, const char *path, struct lrc_error *err);
void lrc_h5_job_end(const struct lrc_h5_job *job);

/* "<path>: <what>: <message>"; a full disk is NOSPACE whatever the status. */
enum lrc_status lrc_h5_fail(const struct lrc_h5_job *job, enum lrc_status status, const char *what);

/* Make the file, an HDF5 file without content, with room for bound_bytes on the disk; closing it in HDF5 cuts
 * it to what is used. errors: IO, NOSPACE, NOMEM. */
enum lrc_status lrc_h5_reserve(const struct lrc_h5_job *job, uint64_t bound_bytes) LRC_MUST_CHECK;

/* Options common to reading and writing a file; negative on failure. H5Pclose(). */
hid_t lrc_h5_access(void);

/* Is name a link to an object of this same file? */
int lrc_h5_is_inside(hid_t parent, const char *name);
/* A dataset inside the file of just this layout and these filters, with no data outside the file; negative
 * when there is none. H5Dclose(). */
hid_t lrc_h5_open_dataset(hid_t parent, const char *name, H5D_layout_t layout, const H5Z_filter_t *filters,
                          int n_filters);

#endif
