/* A token cache's part and index behind their seals: the input is what follows, so that the HDF5 side is
 * reached at all. What is accepted is read to its last token. */
#include "base/alloc.h"
#include "base/file.h"
#include "data/token_file__private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { VOCABULARY = 100, TOKENS_MAX = 1 << 20 };

static void put(const char *path, const char *kind, const uint8_t *data, size_t size)
{
    unsigned char    seal[LRC_H5_SEAL_BYTES];
    struct lrc_error err;
    FILE            *file = fopen(path, "wb");
    if (!file || lrc_h5_seal_make(seal, kind, data, size, &err) != LRC_STATUS_OK ||
        fwrite(seal, 1, sizeof seal, file) != sizeof seal || fwrite(data, 1, size, file) != size ||
        fclose(file) != 0)
        abort();
}

static void read_tokens(const struct lrc_dataset *dataset)
{
    struct lrc_error err = { 0 };
    const int64_t    n = dataset->longest < TOKENS_MAX ? dataset->longest : TOKENS_MAX;
    int32_t         *ids = lrc_calloc(n, sizeof *ids), *targets = lrc_calloc(n, sizeof *targets);
    for (int64_t i = 0; i < dataset->n_examples && ids && targets; i++)
        if (dataset->examples[i].n_tokens <= n &&
            lrc_dataset_read(dataset, &dataset->examples[i], ids, targets, &err) != LRC_STATUS_OK &&
            err.message[0] == '\0')
            abort();
    lrc_free(ids);
    lrc_free(targets);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char key[LRC_HASH_HEX_MAX] =
        "0000000000000000000000000000000000000000000000000000000000000000";
    char                    dir[] = "/tmp/lorica-fuzz-tokens-XXXXXX", part_path[64], index_path[64];
    struct lrc_token_store *store;
    struct lrc_token_part   part;
    struct lrc_dataset      dataset;
    struct lrc_error        err = { 0 };
    if (!mkdtemp(dir))
        abort();
    (void)snprintf(part_path, sizeof part_path, "%s/part-00000.h5", dir);
    (void)snprintf(index_path, sizeof index_path, "%s/index.h5", dir);
    put(part_path, LRC_TOKEN_PART_KIND, data, size);
    put(index_path, LRC_TOKEN_INDEX_KIND, data, size);
    if (lrc_token_store_new(&store, VOCABULARY, &err) != LRC_STATUS_OK)
        abort();
    if (lrc_token_cache__read_part(&part, store, part_path, key, &err) == LRC_STATUS_OK)
        lrc_token_part_release(&part);
    lrc_token_store_close(store);
    if (lrc_token_cache__read_index(&dataset, index_path, dir, key, VOCABULARY, &err) == LRC_STATUS_OK) {
        read_tokens(&dataset);
        lrc_dataset_release(&dataset);
    }
    (void)unlink(part_path);
    (void)unlink(index_path);
    (void)rmdir(dir);
    return 0;
}
