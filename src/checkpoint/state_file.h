/* state.h5, the file that a run goes on from. Shared by the files of checkpoint/ and by the fuzz target.
 *
 *   1. 512 bytes, the seal of formats/sealed_h5.h, kind "lorica state 1".
 *   2. an HDF5 file, superblock 0: no object times, explicit little-endian types, so that equal states give
 *      equal bytes:
 *
 *      /                   attributes: format, format_version, optimizer, n_trainables, those of
 *                          LRC_RUN_STATE_MAP, complete
 *      /config             scalar string: the resolved configuration, JSON
 *      /trainables/<name>  value and the optimizer's states: float32, chunked, fletcher32 */
#ifndef LRC_CHECKPOINT_STATE_FILE_H
#define LRC_CHECKPOINT_STATE_FILE_H

#include "checkpoint/checkpoint.h"
#include "formats/sealed_h5.h"

#define LRC_STATE_KIND "lorica state 1"
enum { LRC_STATE_VERSION = 1, LRC_STATE_CONFIG_MAX = 16 << 20 };

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

#endif
