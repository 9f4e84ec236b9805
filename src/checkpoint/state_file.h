/* state.h5: the layout is in docs/checkpoint.md. Written and read by HDF5, closed by a hash beside it: state.sha256 (as sha256sum
 * writes it) is checked before the library sees a byte, because HDF5 has no defence against damaged files. */
#ifndef LRC_CHECKPOINT_STATE_FILE_H
#define LRC_CHECKPOINT_STATE_FILE_H

#include "checkpoint/checkpoint.h"

/* Both files into dir; neither is synced. errors: IO, NOSPACE, NOMEM. */
enum lrc_status lrc_state_write(const char *dir, const struct lrc_run_state *state, const char *config_json,
                                const struct lrc_trainables *trainables, const struct lrc_optimizer *optimizer,
                                struct lrc_error *err) LRC_MUST_CHECK;

/* errors: FORMAT when a file is missing, damaged or not ours. config_json may be NULL. */
enum lrc_status lrc_state_read(struct lrc_run_state *state, struct lrc_buf *config_json, const char *dir,
                               struct lrc_error *err) LRC_MUST_CHECK;
enum lrc_status lrc_state_read_tensors(struct lrc_trainables *trainables, const struct lrc_optimizer *optimizer, const char *dir,
                                       struct lrc_problems *problems, struct lrc_error *err) LRC_MUST_CHECK;

#endif
