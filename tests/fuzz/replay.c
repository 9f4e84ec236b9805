/* Runs a fuzz target over the files of a folder, where libFuzzer is not linked in. */
#include "base/alloc.h"
#include "base/file.h"

#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int main(int argc, char **argv)
{
    struct lrc_error err;
    char           **names;
    int64_t          n_names, n_run = 0;

    if (argc != 2) {
        fprintf(stderr, "usage: %s CORPUS_FOLDER\n", argv[0]);
        return 2;
    }
    if (lrc_dir_list(argv[1], &names, &n_names, &err) != LRC_STATUS_OK) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    for (int64_t i = 0; i < n_names; i++) {
        struct lrc_map map;
        char          *path = lrc_path_join(argv[1], names[i]);
        if (!path || lrc_map_open(&map, path, &err) != LRC_STATUS_OK) {
            fprintf(stderr, "%s\n", err.message);
            return 1;
        }
        (void)LLVMFuzzerTestOneInput(map.data, map.size_bytes);
        n_run++;
        lrc_map_close(&map);
        lrc_free(path);
    }
    lrc_dir_list_free(names, n_names);
    printf("%lld files of %s read\n", (long long)n_run, argv[1]);
    return n_run > 0 ? 0 : 1; /* an empty corpus is a mistake */
}
