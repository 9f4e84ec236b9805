/* What became of every input row: JSON lines, one object per row.
 *
 *   {"row": 7, "file": "train.jsonl", "line": 8, "set": "training", "fate": "kept", "examples": 1, "tokens":
 * 63, "kept_tokens": 63, "trained_tokens": 21}
 *
 * row:            counts the rows of the set's files from 0; metrics and messages name rows by it
 * set:            "training" or "held out", of the files or by val_set_size
 * fate:           in the words of LRC_ROW_FATE_MAP
 * tokens:         of the whole row; kept_tokens (where a truncated row was cut off) and trained_tokens of its
 * examples */
#ifndef LRC_DATA_LEDGER_H
#define LRC_DATA_LEDGER_H

#include "data/dataset.h"

/* held_out: split off from training, or loaded from files of its own, or empty. A set without records is left
 * out. errors: IO, NOSPACE, NOMEM; path is then as it was. */
enum lrc_status lrc_ledger_write(const char *path, const struct lrc_dataset *training,
                                 const struct lrc_dataset *held_out, struct lrc_error *err) LRC_MUST_CHECK;

#endif
