#include "config/config.h"

#include <stdlib.h>
#include <string.h>

static const int64_t ROWS_MAX = INT64_C(1) << 40;

static int read_end(struct lrc_slice_end *end, const char **at)
{
    char *stop;
    *end = (struct lrc_slice_end){ 0 };
    if (**at != '-' && (**at < '0' || **at > '9'))
        return 1;
    const long long value = strtoll(*at, &stop, 10);
    end->value = value;
    end->is_given = stop != *at;
    end->is_percent = *stop == '%';
    *at = stop + end->is_percent;
    const int64_t most = end->is_percent ? 100 : ROWS_MAX;
    return end->is_given && value >= -most && value <= most;
}

int lrc_dataset_slice_read(struct lrc_dataset_slice *slice, const char *split)
{
    *slice = (struct lrc_dataset_slice){ 0 };
    if (!split || strcmp(split, "train") == 0)
        return 1;
    if (strncmp(split, "train[", 6) != 0)
        return 0;
    const char *at = split + 6;
    if (!read_end(&slice->first, &at) || *at++ != ':' || !read_end(&slice->end, &at))
        return 0;
    return strcmp(at, "]") == 0;
}

static int is_relative(const struct lrc_slice_end *end)
{
    return end->is_given && (end->is_percent || end->value < 0);
}

int lrc_dataset_slice_is_relative(const struct lrc_dataset_slice *slice)
{
    return is_relative(&slice->first) || is_relative(&slice->end);
}

static int64_t row_of(const struct lrc_slice_end *end, int64_t n, int64_t otherwise)
{
    if (!end->is_given)
        return otherwise;
    int64_t row = end->value;
    if (end->is_percent) {
        const int64_t hundredths = (row < 0 ? -row : row) * (n / 100);
        const int64_t rest = (row < 0 ? -row : row) * (n % 100);
        row = (row < 0 ? -1 : 1) * (hundredths + (rest + 50) / 100);
    }
    row = end->value < 0 ? n + row : row;
    return row < 0 ? 0 : row > n ? n : row;
}

void lrc_dataset_slice_rows(int64_t *first, int64_t *end, const struct lrc_dataset_slice *slice, int64_t n)
{
    *first = row_of(&slice->first, n, 0);
    *end = row_of(&slice->end, n, n);
}

double lrc_dataset_weight_read(const char *weight)
{
    char *stop;
    if (!weight)
        return 1;
    const double value = strtod(weight, &stop);
    return stop != weight && *stop == '\0' && value > 0 && value <= 1000 ? value : 0;
}
