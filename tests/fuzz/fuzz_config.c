/* Bytes as a config file, and their beginning as an override's value. */
#include "config/config.h"
#include "config/yaml_tree.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct lrc_config   config = { 0 };
    struct lrc_problems problems = { 0 };
    struct lrc_error    err;
    char                path[64], override[256] = "lora_rank_pattern=";
    const char *const   overrides[] = { override };
    const size_t used = strlen(override),
                 n = size < sizeof override - used - 1 ? size : sizeof override - used - 1;
    const int           file = memfd_create("config", 0);
    if (file < 0 || (size > 0 && write(file, data, size) != (ssize_t)size))
        abort();
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    if (n > 0)
        memcpy(override + used, data, n);
    if (lrc_config_load(&config, path, overrides, 1, &problems, &err) == LRC_STATUS_OK) {
        struct lrc_buf text = { 0 };
        lrc_config_write_yaml(&config, &text);
        lrc_config_write_json(&config, &text);
        lrc_buf_release(&text);
    }
    lrc_config_release(&config);
    lrc_problems_release(&problems);
    (void)close(file);
    return 0;
}
