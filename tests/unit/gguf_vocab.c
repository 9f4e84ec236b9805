#include "unit/gguf_vocab.h"

#include "base/file.h"

#include <criterion/criterion.h>
#include <stdint.h>
#include <string.h>

enum { TYPE_FLOAT32 = 6, TYPE_STRING = 8, TYPE_ARRAY = 9 };

/* Bytes of the other types by their number; 0: not one of fixed size. */
static const size_t SIZES[] = { 1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8 };

struct reader {
    const unsigned char *at, *end;
};

static const void *take(struct reader *reader, uint64_t n)
{
    cr_assert_leq(n, (uint64_t)(reader->end - reader->at));
    const void *bytes = reader->at;
    reader->at += n;
    return bytes;
}

static uint64_t number(struct reader *reader, size_t n)
{
    uint64_t value = 0;
    memcpy(&value, take(reader, n), n);
    return value;
}

static json_t *value_of(struct reader *reader, uint64_t type)
{
    if (type == TYPE_STRING) {
        const uint64_t n = number(reader, 8);
        return json_stringn_nocheck(take(reader, n), n);
    }
    if (type == TYPE_ARRAY) {
        const uint64_t element = number(reader, 4), n = number(reader, 8);
        json_t        *array = json_array();
        for (uint64_t i = 0; i < n; i++)
            cr_assert_eq(json_array_append_new(array, value_of(reader, element)), 0);
        return array;
    }
    cr_assert(type < sizeof SIZES / sizeof *SIZES && SIZES[type] > 0, "type %d", (int)type);
    const uint64_t bits = number(reader, SIZES[type]);
    float          real;
    memcpy(&real, &bits, sizeof real);
    return type == TYPE_FLOAT32 ? json_real((double)real) : json_integer((json_int_t)bits);
}

json_t *gguf_vocab(const char *path)
{
    static const char prefix[] = "tokenizer.ggml.";
    struct lrc_map    map;
    struct lrc_error  err;
    json_t           *vocab = json_object();
    cr_assert_eq(lrc_map_open(&map, path, &err), LRC_STATUS_OK, "%s", err.message);
    struct reader reader = { map.data, map.data + map.size_bytes };
    cr_assert_eq(memcmp(take(&reader, 4), "GGUF", 4), 0);
    (void)number(&reader, 4);
    (void)number(&reader, 8);
    for (uint64_t left = number(&reader, 8); left > 0; left--) {
        json_t      *key = value_of(&reader, TYPE_STRING);
        const size_t n = sizeof prefix - 1;
        json_t      *value = value_of(&reader, number(&reader, 4));
        if (strncmp(json_string_value(key), prefix, n) == 0)
            cr_assert_eq(json_object_set(vocab, json_string_value(key) + n, value), 0);
        json_decref(value);
        json_decref(key);
    }
    lrc_map_close(&map);
    return vocab;
}
