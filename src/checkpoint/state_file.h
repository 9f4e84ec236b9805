/* state.h5, the file that a run goes on from. Shared by the files of checkpoint/ and by the fuzz target.
 *
 *   1. 512 bytes, the seal: "lorica state 1\nbytes <20 digits>\nsha256 <64 hex digits>\n", then zeros.
 *      bytes is the length of the whole file, the hash is that of everything after the seal. HDF5 calls this
 *      a user block: its readers step over it.
 *   2. an HDF5 file, superblock 0: no object times, explicit little-endian types, so that equal states give
 *      equal bytes:
 *
 *      /                   attributes: format, format_version, optimizer, n_trainables, those of
 *                          LRC_RUN_STATE_MAP, complete
 *      /config             scalar string: the resolved configuration, JSON
 *      /trainables/<name>  value and the optimizer's states: float32, chunked, fletcher32
 *
 * HDF5 has no journal, and for the metadata of such a file no checksum; libhdf5 was not written for damaged
 * input. The seal is therefore checked before the library sees the file. */
#ifndef LRC_CHECKPOINT_STATE_FILE_H
#define LRC_CHECKPOINT_STATE_FILE_H

#include "checkpoint/checkpoint.h"

#include <hdf5.h>

enum { LRC_STATE_SEAL_BYTES = 512, LRC_STATE_VERSION = 1, LRC_STATE_CONFIG_MAX = 16 << 20 };

/* Fields of struct lrc_run_state that are attributes: integers with their least value, doubles, texts. */
#define LRC_RUN_STATE_MAP(INTEGER, REAL, TEXT)                                                               \
    INTEGER(step, 0)                                                                                         \
    INTEGER(n_tokens, 0)                                                                                     \
    INTEGER(n_trained, 0)                                                                                    \
    REAL(time_s)                                                                                             \
    REAL(loss_sum)                                                                                           \
    INTEGER(loss_steps, 0)                                                                                   \
    INTEGER(metrics_bytes, 0)                                                                                \
    REAL(best_eval_loss)                                                                                     \
    INTEGER(best_step, -1)                                                                                   \
    INTEGER(evals_without_gain, 0)                                                                           \
    INTEGER(n_steps, 0)                                                                                      \
    TEXT(base_hash)                                                                                          \
    TEXT(data_hash)                                                                                          \
    TEXT(device)                                                                                             \
    TEXT(version)

enum lrc_status lrc_state_file_write(const char *path, const struct lrc_run_state *state,
                                     const char *config_json, const struct lrc_trainables *trainables,
                                     const struct lrc_optimizer *optimizer,
                                     struct lrc_error *err) LRC_MUST_CHECK;
enum lrc_status lrc_state_file_read(struct lrc_run_state *state, struct lrc_buf *config_json,
                                    const char *path, struct lrc_error *err) LRC_MUST_CHECK;
enum lrc_status lrc_state_file_load(struct lrc_trainables *trainables, const struct lrc_optimizer *optimizer,
                                    const char *path, struct lrc_problems *problems,
                                    struct lrc_error *err) LRC_MUST_CHECK;

/* The seal of a file of n bytes in all, of which `body` are those after the seal. errors: NOMEM, DEVICE. */
enum lrc_status lrc_state_seal_make(unsigned char seal[LRC_STATE_SEAL_BYTES], const void *body,
                                    size_t body_bytes, struct lrc_error *err) LRC_MUST_CHECK;
/* Write the seal of a finished file into its first bytes. errors: IO, NOSPACE. */
enum lrc_status lrc_state_seal_put(const char *path, struct lrc_error *err) LRC_MUST_CHECK;
/* LENGTH: seal and length only, which is quick. errors: IO; FORMAT when the file is not as it was written. */
enum lrc_state_check { LRC_STATE_CHECK_LENGTH, LRC_STATE_CHECK_ALL };
enum lrc_status lrc_state_seal_check(const char *path, enum lrc_state_check check,
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
enum lrc_status lrc_state_reserve(const struct lrc_h5_job *job, uint64_t bound_bytes) LRC_MUST_CHECK;

/* Options common to reading and writing a file; negative on failure. H5Pclose(). */
hid_t lrc_h5_access(void);

#endif
