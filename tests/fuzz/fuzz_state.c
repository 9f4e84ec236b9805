/* state.h5 behind its seal: the input is what follows it, so that the HDF5 side is reached at all. */
#include "base/file.h"
#include "checkpoint/state_file.h"

#include <stdlib.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void put(int file, const void *bytes, size_t n)
{
    if (n > 0 && write(file, bytes, n) != (ssize_t)n)
        abort();
}

static void load(const char *path)
{
    float values[3][12];
    struct lrc_optimizer optimizer = {
        .name = "adamw_torch", .n_states = 2, .state_names = {"exp_avg", "exp_avg_sq"}};
    struct lrc_trainable row = {.name = "a.weight", .value = lrc_tensor_2d(values[0], LRC_DTYPE_F32, 3, 4)};
    struct lrc_trainables trainables = {.rows = &row, .n = 1};
    struct lrc_problems problems = {0};
    struct lrc_error err;
    row.state[0] = lrc_tensor_2d(values[1], LRC_DTYPE_F32, 3, 4);
    row.state[1] = lrc_tensor_2d(values[2], LRC_DTYPE_F32, 3, 4);
    if (lrc_state_file_load(&trainables, &optimizer, path, &problems, &err) != LRC_STATUS_OK &&
        err.message[0] == '\0')
        abort();
    lrc_problems_release(&problems);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct lrc_run_state state;
    struct lrc_buf config = {0};
    struct lrc_error err;
    unsigned char seal[LRC_H5_SEAL_BYTES];
    char path[] = "/tmp/lorica-fuzz-state-XXXXXX"; /* HDF5 wants a real path: no memfd */
    const int file = mkstemp(path);
    if (file < 0 || lrc_h5_seal_make(seal, LRC_STATE_KIND, data, size, &err) != LRC_STATUS_OK)
        abort();
    put(file, seal, sizeof seal);
    put(file, data, size);
    if (lrc_state_file_read(&state, &config, path, &err) != LRC_STATUS_OK && err.message[0] == '\0')
        abort();
    load(path);
    lrc_buf_release(&config);
    (void)close(file);
    (void)unlink(path);
    return 0;
}
