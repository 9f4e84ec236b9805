#include "template/value.h"

#include "template/render.h"
#include "template/text.h"
#include <math.h>
#include <string.h>

enum { SMALL_DICT_MAX = 8 };

struct lrc_value lrc_value__bool(int truth)
{
    return (struct lrc_value){.kind = LRC_VALUE_BOOL, .truth = truth != 0};
}

struct lrc_value lrc_value__int(int64_t integer)
{
    return (struct lrc_value){.kind = LRC_VALUE_INT, .integer = integer};
}

struct lrc_value lrc_value__float(double real)
{
    return (struct lrc_value){.kind = LRC_VALUE_FLOAT, .real = real};
}

struct lrc_value lrc_value__none(void)
{
    return (struct lrc_value){.kind = LRC_VALUE_NONE};
}

struct lrc_value lrc_value__undefined(const struct lrc_string *name)
{
    return (struct lrc_value){.kind = LRC_VALUE_UNDEFINED, .string = name};
}

static enum lrc_status string_value(struct lrc_render *r, struct lrc_value *out, const char *bytes, size_t n,
                                    int64_t n_points)
{
    struct lrc_string *string;
    LRC_TRY(lrc_render__take(r, &string, 1, sizeof *string));
    *string = (struct lrc_string){bytes, n, n_points};
    *out = (struct lrc_value){.kind = LRC_VALUE_STRING, .string = string};
    return LRC_STATUS_OK;
}

enum lrc_status lrc_string__borrow(struct lrc_render *r, struct lrc_value *out, const char *bytes, size_t n)
{
    LRC_TRY(lrc_render__charge(r, (int64_t)(n / 64)));
    return string_value(r, out, bytes, n, lrc_text__count(bytes, n));
}

enum lrc_status lrc_string__concat(struct lrc_render *r, struct lrc_value *out, const struct lrc_string *a,
                                   const struct lrc_string *b)
{
    struct lrc_string *string;
    char *bytes;
    LRC_TRY(lrc_render__charge(r, (int64_t)((a->n + b->n) / 64)));
    LRC_TRY(lrc_render__take(r, &string, 1, sizeof *string));
    LRC_TRY(lrc_render__take(r, &bytes, (int64_t)(a->n + b->n), 1));
    if (a->n > 0)
        memcpy(bytes, a->bytes, a->n);
    if (b->n > 0)
        memcpy(bytes + a->n, b->bytes, b->n);
    *string = (struct lrc_string){bytes, a->n + b->n, a->n_points + b->n_points};
    *out = (struct lrc_value){.kind = LRC_VALUE_STRING, .string = string};
    return LRC_STATUS_OK;
}

int lrc_string__equals(const struct lrc_string *s, const char *text)
{
    return s->n == strlen(text) && memcmp(s->bytes, text, s->n) == 0;
}

enum lrc_status lrc_list__new(struct lrc_render *r, struct lrc_value *out, enum lrc_value_kind kind)
{
    struct lrc_list *list;
    LRC_TRY(lrc_render__take(r, &list, 1, sizeof *list));
    *list = (struct lrc_list){0};
    *out = (struct lrc_value){.kind = kind, .list = list};
    return LRC_STATUS_OK;
}

enum lrc_status lrc_list__append(struct lrc_render *r, struct lrc_list *list, struct lrc_value value)
{
    if (list->n == list->cap) {
        const int64_t cap = list->cap ? list->cap * 2 : 4;
        struct lrc_value *items;
        LRC_TRY(lrc_render__take(r, &items, cap, sizeof *items));
        if (list->n > 0)
            memcpy(items, list->items, (size_t)list->n * sizeof *items);
        list->items = items;
        list->cap = cap;
    }
    list->items[list->n++] = value;
    return LRC_STATUS_OK;
}

static uint64_t hash_bytes(uint64_t hash, const void *bytes, size_t n)
{
    const unsigned char *at = bytes;
    for (size_t i = 0; i < n; i++) /* FNV-1a */
        hash = (hash ^ at[i]) * 0x100000001b3u;
    return hash;
}

static enum lrc_status hash_value(struct lrc_render *r, uint64_t *hash, struct lrc_value v)
{
    double number = 0;
    switch (v.kind) {
    case LRC_VALUE_NONE:
    case LRC_VALUE_UNDEFINED:
        *hash = hash_bytes(*hash, "none", 4);
        return LRC_STATUS_OK;
    case LRC_VALUE_BOOL:
    case LRC_VALUE_INT:
    case LRC_VALUE_FLOAT: /* 1, 1.0 and True are one key; + 0.0 makes -0.0 and 0.0 one */
        number = lrc_value__to_double(v) + 0.0;
        *hash = hash_bytes(*hash, &number, sizeof number);
        return LRC_STATUS_OK;
    case LRC_VALUE_STRING:
        *hash = hash_bytes(*hash, v.string->bytes, v.string->n);
        return lrc_render__charge(r, (int64_t)(v.string->n / 64));
    case LRC_VALUE_TUPLE:
        LRC_TRY(lrc_render__enter(r));
        for (int64_t i = 0; i < v.list->n; i++) {
            LRC_TRY(lrc_render__charge(r, 1));
            LRC_TRY(hash_value(r, hash, v.list->items[i]));
        }
        r->depth--;
        return LRC_STATUS_OK;
    default:
        return lrc_render__fail(r, LRC_STATUS_DATA, "want a key of a hashable type, got %s",
                                lrc_value__type_name(v));
    }
}

enum lrc_status lrc_dict__new(struct lrc_render *r, struct lrc_value *out)
{
    struct lrc_dict *dict;
    LRC_TRY(lrc_render__take(r, &dict, 1, sizeof *dict));
    *dict = (struct lrc_dict){0};
    *out = (struct lrc_value){.kind = LRC_VALUE_DICT, .dict = dict};
    return LRC_STATUS_OK;
}

static void index_entry(struct lrc_dict *dict, int64_t at)
{
    uint64_t slot = dict->entries[at].hash & (uint64_t)(dict->n_slots - 1);
    while (dict->slots[slot] >= 0)
        slot = (slot + 1) & (uint64_t)(dict->n_slots - 1);
    dict->slots[slot] = (int32_t)at;
}

static enum lrc_status rebuild_index(struct lrc_render *r, struct lrc_dict *dict)
{
    if (dict->cap <= SMALL_DICT_MAX)
        return LRC_STATUS_OK;
    if (dict->n_slots < dict->cap * 2) {
        int64_t n_slots = 32;
        while (n_slots < dict->cap * 2)
            n_slots *= 2;
        LRC_TRY(lrc_render__take(r, &dict->slots, n_slots, sizeof *dict->slots));
        dict->n_slots = n_slots;
    }
    memset(dict->slots, 0xff, (size_t)dict->n_slots * sizeof *dict->slots); /* -1: free */
    for (int64_t i = 0; i < dict->n; i++)
        index_entry(dict, i);
    return LRC_STATUS_OK;
}

static enum lrc_status find_hashed(struct lrc_render *r, struct lrc_dict_entry **out,
                                   const struct lrc_dict *dict, struct lrc_value key, uint64_t hash)
{
    int64_t at = 0;
    *out = NULL;
    uint64_t slot = dict->n_slots ? hash & (uint64_t)(dict->n_slots - 1) : 0;
    for (int64_t i = 0; i < dict->n; i++) { /* at most every entry, by either way */
        at = i;
        if (dict->n_slots) {
            at = dict->slots[slot];
            slot = (slot + 1) & (uint64_t)(dict->n_slots - 1);
        }
        if (at < 0)
            return LRC_STATUS_OK;
        struct lrc_dict_entry *entry = &dict->entries[at];
        int equal = 0;
        LRC_TRY(lrc_render__charge(r, i > 0));
        if (entry->hash == hash)
            LRC_TRY(lrc_value__equal(r, &equal, entry->key, key));
        if (equal) {
            *out = entry;
            return LRC_STATUS_OK;
        }
    }
    return LRC_STATUS_OK;
}

enum lrc_status lrc_dict__find(struct lrc_render *r, struct lrc_dict_entry **out, const struct lrc_dict *dict,
                               struct lrc_value key)
{
    uint64_t hash = 0xcbf29ce484222325u;
    LRC_TRY(hash_value(r, &hash, key));
    return find_hashed(r, out, dict, key, hash);
}

enum lrc_status lrc_dict__set(struct lrc_render *r, struct lrc_dict *dict, struct lrc_value key,
                              struct lrc_value value)
{
    struct lrc_dict_entry *entry;
    uint64_t hash = 0xcbf29ce484222325u;
    LRC_TRY(hash_value(r, &hash, key));
    LRC_TRY(find_hashed(r, &entry, dict, key, hash));
    if (entry) {
        entry->value = value;
        return LRC_STATUS_OK;
    }
    const int grows = dict->n == dict->cap;
    if (grows) {
        const int64_t cap = dict->cap ? dict->cap * 2 : SMALL_DICT_MAX;
        LRC_TRY(lrc_render__take(r, &entry, cap, sizeof *entry));
        if (dict->n > 0)
            memcpy(entry, dict->entries, (size_t)dict->n * sizeof *entry);
        dict->entries = entry;
        dict->cap = cap;
    }
    dict->entries[dict->n++] = (struct lrc_dict_entry){key, value, hash};
    if (grows)
        return rebuild_index(r, dict);
    if (dict->n_slots)
        index_entry(dict, dict->n - 1);
    return LRC_STATUS_OK;
}

enum lrc_status lrc_dict__remove(struct lrc_render *r, struct lrc_dict *dict, struct lrc_value key)
{
    struct lrc_dict_entry *entry;
    LRC_TRY(lrc_dict__find(r, &entry, dict, key));
    if (!entry)
        return LRC_STATUS_OK;
    const int64_t at = entry - dict->entries;
    LRC_TRY(lrc_render__charge(r, dict->n));
    memmove(entry, entry + 1, (size_t)(dict->n - at - 1) * sizeof *entry);
    dict->n--;
    return rebuild_index(r, dict);
}

int lrc_value__is_true(struct lrc_value v)
{
    switch (v.kind) {
    case LRC_VALUE_ABSENT:
    case LRC_VALUE_UNDEFINED:
    case LRC_VALUE_NONE:
        return 0;
    case LRC_VALUE_BOOL:
        return v.truth;
    case LRC_VALUE_INT:
        return v.integer != 0;
    case LRC_VALUE_FLOAT:
        return v.real != 0;
    case LRC_VALUE_STRING:
        return v.string->n > 0;
    case LRC_VALUE_LIST:
    case LRC_VALUE_TUPLE:
        return v.list->n > 0;
    case LRC_VALUE_DICT:
        return v.dict->n > 0;
    default:
        return 1;
    }
}

int lrc_value__is_number(struct lrc_value v)
{
    return v.kind == LRC_VALUE_BOOL || v.kind == LRC_VALUE_INT || v.kind == LRC_VALUE_FLOAT;
}

double lrc_value__to_double(struct lrc_value v)
{
    switch (v.kind) {
    case LRC_VALUE_BOOL:
        return v.truth;
    case LRC_VALUE_INT:
        return (double)v.integer;
    default:
        return v.real;
    }
}

const char *lrc_value__type_name(struct lrc_value v)
{
    static const char *const names[] = {
        [LRC_VALUE_ABSENT] = "nothing",
        [LRC_VALUE_UNDEFINED] = "undefined",
        [LRC_VALUE_NONE] = "None",
        [LRC_VALUE_BOOL] = "bool",
        [LRC_VALUE_INT] = "int",
        [LRC_VALUE_FLOAT] = "float",
        [LRC_VALUE_STRING] = "str",
        [LRC_VALUE_LIST] = "list",
        [LRC_VALUE_TUPLE] = "tuple",
        [LRC_VALUE_DICT] = "dict",
        [LRC_VALUE_NAMESPACE] = "namespace",
        [LRC_VALUE_LOOP] = "loop",
        [LRC_VALUE_MACRO] = "macro",
        [LRC_VALUE_METHOD] = "method",
        [LRC_VALUE_GLOBAL] = "function",
    };
    return names[v.kind];
}

static int compare_strings(const struct lrc_string *a, const struct lrc_string *b)
{
    const size_t n = a->n < b->n ? a->n : b->n;
    const int order = n > 0 ? memcmp(a->bytes, b->bytes, n) : 0; /* byte order of UTF-8 is code point order */
    return order != 0 ? order : (a->n > b->n) - (a->n < b->n);
}

static int compare_numbers(struct lrc_value a, struct lrc_value b)
{
    if (a.kind == LRC_VALUE_INT && b.kind == LRC_VALUE_INT)
        return (a.integer > b.integer) - (a.integer < b.integer);
    const double x = lrc_value__to_double(a), y = lrc_value__to_double(b);
    return (x > y) - (x < y);
}

static enum lrc_status equal_lists(struct lrc_render *r, int *equal, const struct lrc_list *a,
                                   const struct lrc_list *b)
{
    *equal = a->n == b->n;
    for (int64_t i = 0; i < a->n && *equal; i++)
        LRC_TRY(lrc_value__equal(r, equal, a->items[i], b->items[i]));
    return LRC_STATUS_OK;
}

static enum lrc_status equal_dicts(struct lrc_render *r, int *equal, const struct lrc_dict *a,
                                   const struct lrc_dict *b)
{
    *equal = a->n == b->n;
    for (int64_t i = 0; i < a->n && *equal; i++) {
        struct lrc_dict_entry *other;
        LRC_TRY(find_hashed(r, &other, b, a->entries[i].key, a->entries[i].hash));
        *equal = other != NULL;
        if (other)
            LRC_TRY(lrc_value__equal(r, equal, a->entries[i].value, other->value));
    }
    return LRC_STATUS_OK;
}

enum lrc_status lrc_value__equal(struct lrc_render *r, int *equal, struct lrc_value a, struct lrc_value b)
{
    enum lrc_status status = LRC_STATUS_OK;
    LRC_TRY(lrc_render__charge(r, 1));
    *equal = 0;
    if (lrc_value__is_number(a) && lrc_value__is_number(b)) {
        *equal = compare_numbers(a, b) == 0 &&
                 lrc_value__to_double(a) == lrc_value__to_double(b); /* NaN is not itself */
        return LRC_STATUS_OK;
    }
    if (a.kind != b.kind)
        return LRC_STATUS_OK;
    switch (a.kind) {
    case LRC_VALUE_UNDEFINED:
    case LRC_VALUE_NONE:
        *equal = 1;
        return LRC_STATUS_OK;
    case LRC_VALUE_STRING:
        *equal = a.string->n == b.string->n && compare_strings(a.string, b.string) == 0;
        return lrc_render__charge(r, *equal ? (int64_t)(a.string->n / 64) : 0);
    case LRC_VALUE_LIST:
    case LRC_VALUE_TUPLE:
        LRC_TRY(lrc_render__enter(r));
        status = equal_lists(r, equal, a.list, b.list);
        break;
    case LRC_VALUE_DICT:
        LRC_TRY(lrc_render__enter(r));
        status = equal_dicts(r, equal, a.dict, b.dict);
        break;
    default:
        *equal = a.dict == b.dict;
        return LRC_STATUS_OK; /* the same object */
    }
    r->depth--;
    return status;
}

static enum lrc_status compare_lists(struct lrc_render *r, int *order, const struct lrc_list *a,
                                     const struct lrc_list *b)
{
    for (int64_t i = 0; i < a->n && i < b->n; i++) {
        int equal;
        LRC_TRY(lrc_value__equal(r, &equal, a->items[i], b->items[i]));
        if (!equal)
            return lrc_value__compare(r, order, a->items[i], b->items[i]);
    }
    *order = (a->n > b->n) - (a->n < b->n);
    return LRC_STATUS_OK;
}

enum lrc_status lrc_value__compare(struct lrc_render *r, int *order, struct lrc_value a, struct lrc_value b)
{
    LRC_TRY(lrc_render__charge(r, 1));
    if (lrc_value__is_number(a) && lrc_value__is_number(b)) {
        *order = compare_numbers(a, b);
        return LRC_STATUS_OK;
    }
    if (a.kind == LRC_VALUE_STRING && b.kind == LRC_VALUE_STRING) {
        *order = compare_strings(a.string, b.string);
        return lrc_render__charge(r, (int64_t)(a.string->n / 64));
    }
    if (a.kind == b.kind && (a.kind == LRC_VALUE_LIST || a.kind == LRC_VALUE_TUPLE)) {
        LRC_TRY(lrc_render__enter(r));
        const enum lrc_status status = compare_lists(r, order, a.list, b.list);
        r->depth--;
        return status;
    }
    return lrc_render__fail(r, LRC_STATUS_DATA, "want two values that have an order, got %s and %s",
                            lrc_value__type_name(a), lrc_value__type_name(b));
}

enum lrc_status lrc_value__contains(struct lrc_render *r, int *found, struct lrc_value hay,
                                    struct lrc_value needle)
{
    struct lrc_dict_entry *entry;
    *found = 0;
    if (hay.kind == LRC_VALUE_STRING) {
        if (needle.kind != LRC_VALUE_STRING)
            return lrc_render__fail(r, LRC_STATUS_DATA, "want a str left of 'in' a str, got %s",
                                    lrc_value__type_name(needle));
        LRC_TRY(lrc_render__charge(r, (int64_t)(hay.string->n / 16)));
        *found = memmem(hay.string->bytes, hay.string->n, needle.string->bytes, needle.string->n) != NULL;
        return LRC_STATUS_OK;
    }
    if (hay.kind == LRC_VALUE_DICT) {
        LRC_TRY(lrc_dict__find(r, &entry, hay.dict, needle));
        *found = entry != NULL;
        return LRC_STATUS_OK;
    }
    struct lrc_list items;
    LRC_TRY(lrc_value__iterate(r, &items, hay));
    for (int64_t i = 0; i < items.n && !*found; i++)
        LRC_TRY(lrc_value__equal(r, found, items.items[i], needle));
    return LRC_STATUS_OK;
}

static enum lrc_status iterate_string(struct lrc_render *r, struct lrc_list *out, const struct lrc_string *s)
{
    int32_t point;
    struct lrc_value one;
    for (size_t i = 0; i < s->n;) {
        const size_t n = lrc_text__next(s->bytes + i, s->n - i, &point);
        LRC_TRY(lrc_render__charge(r, 1));
        LRC_TRY(string_value(r, &one, s->bytes + i, n, 1));
        LRC_TRY(lrc_list__append(r, out, one));
        i += n;
    }
    return LRC_STATUS_OK;
}

enum lrc_status lrc_value__iterate(struct lrc_render *r, struct lrc_list *out, struct lrc_value v)
{
    *out = (struct lrc_list){0};
    switch (v.kind) {
    case LRC_VALUE_UNDEFINED:
        return LRC_STATUS_OK;
    case LRC_VALUE_LIST:
    case LRC_VALUE_TUPLE:
        *out = *v.list;
        return LRC_STATUS_OK;
    case LRC_VALUE_STRING:
        return iterate_string(r, out, v.string);
    case LRC_VALUE_DICT:
        LRC_TRY(lrc_render__take(r, &out->items, v.dict->n, sizeof *out->items));
        LRC_TRY(lrc_render__charge(r, v.dict->n));
        out->n = out->cap = v.dict->n;
        for (int64_t i = 0; i < v.dict->n; i++)
            out->items[i] = v.dict->entries[i].key;
        return LRC_STATUS_OK;
    default:
        return lrc_render__fail(r, LRC_STATUS_DATA, "want something to iterate over, got %s",
                                lrc_value__type_name(v));
    }
}
