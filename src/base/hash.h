/* SHA-256, by OpenSSL's libcrypto. */
#ifndef LRC_BASE_HASH_H
#define LRC_BASE_HASH_H

#include "base/status.h"
#include <stddef.h>

enum { LRC_HASH_HEX_MAX = 65 }; /* 64 lower-case hex digits and NUL */

struct lrc_hash {
    void *context; /* EVP_MD_CTX */
};

/* errors: NOMEM, DEVICE. ownership: lrc_hash_finish() or lrc_hash_abort(). */
enum lrc_status lrc_hash_init(struct lrc_hash *hash, struct lrc_error *err) LRC_MUST_CHECK;
void            lrc_hash_update(struct lrc_hash *hash, const void *bytes, size_t n);
/* Part of a map, whose pages leave this process's memory as they are done: LRC_HASH_STEP_BYTES of it are
 * there at a time. */
enum { LRC_HASH_STEP_BYTES = 4 << 20 };
void lrc_hash_update_map(struct lrc_hash *hash, const void *mapped, size_t n);
void lrc_hash_finish(struct lrc_hash *hash, char hex[LRC_HASH_HEX_MAX]);
void lrc_hash_abort(struct lrc_hash *hash);

enum lrc_status lrc_hash_bytes(char hex[LRC_HASH_HEX_MAX], const void *bytes, size_t n,
                               struct lrc_error *err) LRC_MUST_CHECK;
enum lrc_status lrc_hash_file(char hex[LRC_HASH_HEX_MAX], const char *path,
                              struct lrc_error *err) LRC_MUST_CHECK;

#endif
