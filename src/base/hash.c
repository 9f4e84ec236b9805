#include "base/hash.h"

#include "base/file.h"
#include <openssl/evp.h>

enum lrc_status lrc_hash_init(struct lrc_hash *hash, struct lrc_error *err)
{
    hash->context = EVP_MD_CTX_new();
    if (!hash->context || EVP_DigestInit_ex(hash->context, EVP_sha256(), NULL) != 1) {
        lrc_hash_abort(hash);
        return lrc_fail(err, LRC_STATUS_DEVICE, "libcrypto: cannot start SHA-256");
    }
    return LRC_STATUS_OK;
}

void lrc_hash_update(struct lrc_hash *hash, const void *bytes, size_t n)
{
    LRC_ASSERT(EVP_DigestUpdate(hash->context, bytes, n) == 1);
}

/* Steps end where pages do, so that none is left behind. */
void lrc_hash_update_map(struct lrc_hash *hash, const void *mapped, size_t n)
{
    const unsigned char *at = mapped, *end = at + n;
    while (at < end) {
        const size_t left = (size_t)(end - at),
                     step = LRC_HASH_STEP_BYTES - (uintptr_t)at % LRC_HASH_STEP_BYTES,
                     now = left < step ? left : step;
        lrc_hash_update(hash, at, now);
        lrc_map_drop(at, now);
        at += now;
    }
}

void lrc_hash_finish(struct lrc_hash *hash, char hex[LRC_HASH_HEX_MAX])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned      n = 0;
    LRC_ASSERT(EVP_DigestFinal_ex(hash->context, digest, &n) == 1 && n == 32);
    for (unsigned i = 0; i < n; i++) {
        hex[2 * i] = "0123456789abcdef"[digest[i] >> 4];
        hex[2 * i + 1] = "0123456789abcdef"[digest[i] & 15];
    }
    hex[64] = '\0';
    lrc_hash_abort(hash);
}

void lrc_hash_abort(struct lrc_hash *hash)
{
    EVP_MD_CTX_free(hash->context);
    hash->context = NULL;
}

enum lrc_status lrc_hash_bytes(char hex[LRC_HASH_HEX_MAX], const void *bytes, size_t n, struct lrc_error *err)
{
    struct lrc_hash hash;
    LRC_TRY(lrc_hash_init(&hash, err));
    lrc_hash_update(&hash, bytes, n);
    lrc_hash_finish(&hash, hex);
    return LRC_STATUS_OK;
}

enum lrc_status lrc_hash_file(char hex[LRC_HASH_HEX_MAX], const char *path, struct lrc_error *err)
{
    struct lrc_map  map;
    struct lrc_hash hash;
    LRC_TRY(lrc_map_open(&map, path, err));
    const enum lrc_status status = lrc_hash_init(&hash, err);
    if (status == LRC_STATUS_OK) {
        lrc_hash_update_map(&hash, map.data, map.size_bytes);
        lrc_hash_finish(&hash, hex);
    }
    lrc_map_close(&map);
    return status;
}
