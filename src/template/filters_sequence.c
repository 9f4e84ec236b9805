/* Filters of lists and dicts. Where jinja2 gives a generator, a list is given. */
#include "template/filters.h"

#include "template/strings.h"
#include <string.h>

enum lrc_status lrc_filter__length(struct lrc_render *r, struct lrc_value *out, const struct lrc_call *call)
{
    switch (call->self.kind) {
    case LRC_VALUE_UNDEFINED: *out = lrc_value__int(0); return LRC_STATUS_OK;
    case LRC_VALUE_STRING: *out = lrc_value__int(call->self.string->n_points); return LRC_STATUS_OK;
    case LRC_VALUE_LIST:
    case LRC_VALUE_TUPLE: *out = lrc_value__int(call->self.list->n); return LRC_STATUS_OK;
    case LRC_VALUE_DICT: *out = lrc_value__int(call->self.dict->n); return LRC_STATUS_OK;
    default:
        return lrc_render__fail(r, LRC_STATUS_DATA, "length: want something with a length, got %s",
                                lrc_value__type_name(call->self));
    }
}

enum lrc_status lrc_filter__first(struct lrc_render *r, struct lrc_value *out, const struct lrc_call *call)
{
    struct lrc_list items;
    LRC_TRY(lrc_value__iterate(r, &items, call->self));
    *out = items.n > 0 ? items.items[0] : lrc_value__undefined(NULL);
    return LRC_STATUS_OK;
}

enum lrc_status lrc_filter__last(struct lrc_render *r, struct lrc_value *out, const struct lrc_call *call)
{
    struct lrc_list items;
    LRC_TRY(lrc_value__iterate(r, &items, call->self));
    *out = items.n > 0 ? items.items[items.n - 1] : lrc_value__undefined(NULL);
    return LRC_STATUS_OK;
}

/* A new list of the items. */
static enum lrc_status copy_list(struct lrc_render *r, struct lrc_value *out, struct lrc_value from)
{
    struct lrc_list items;
    LRC_TRY(lrc_value__iterate(r, &items, from));
    LRC_TRY(lrc_list__new(r, out, LRC_VALUE_LIST));
    LRC_TRY(lrc_render__take(r, &out->list->items, items.n, sizeof *items.items));
    if (items.n > 0)
        memcpy(out->list->items, items.items, (size_t)items.n * sizeof *items.items);
    out->list->n = out->list->cap = items.n;
    return lrc_render__charge(r, items.n / 16);
}

enum lrc_status lrc_filter__list(struct lrc_render *r, struct lrc_value *out, const struct lrc_call *call)
{
    return copy_list(r, out, call->self);
}

enum lrc_status lrc_filter__items(struct lrc_render *r, struct lrc_value *out, const struct lrc_call *call)
{
    const struct lrc_args none = { 0 };
    if (call->self.kind == LRC_VALUE_UNDEFINED)
        return lrc_list__new(r, out, LRC_VALUE_LIST);
    if (call->self.kind != LRC_VALUE_DICT)
        return lrc_render__fail(r, LRC_STATUS_DATA, "items: want a dict, got %s",
                                lrc_value__type_name(call->self));
    return lrc_eval__entry(r, out, &lrc_method__find(call->self, "items", 5)->entry, call->self, &none);
}

/* v.a.0.b for "a.0.b" or a number. */
static enum lrc_status get_path(struct lrc_render *r, struct lrc_value *out, struct lrc_value v,
                                struct lrc_value path)
{
    *out = v;
    if (path.kind != LRC_VALUE_STRING)
        return lrc_eval__item(r, out, v, path);
    const char *at = path.string->bytes, *const end = at + path.string->n;
    for (;;) {
        const char      *dot = memchr(at, '.', (size_t)(end - at));
        const size_t     n = (size_t)((dot ? dot : end) - at);
        struct lrc_value key, object = *out;
        LRC_TRY(lrc_string__borrow(r, &key, at, n));
        if (n > 0 && n < 10 && strspn(at, "0123456789") >= n) {
            int64_t index = 0;
            for (size_t i = 0; i < n; i++)
                index = index * 10 + (at[i] - '0');
            key = lrc_value__int(index);
        }
        LRC_TRY(lrc_eval__item(r, out, object, key));
        if (!dot)
            return LRC_STATUS_OK;
        at = dot + 1;
    }
}

static enum lrc_status get_attribute(struct lrc_render *r, struct lrc_value *out, struct lrc_value v,
                                     struct lrc_value path)
{
    if (path.kind == LRC_VALUE_ABSENT || path.kind == LRC_VALUE_NONE) {
        *out = v;
        return LRC_STATUS_OK;
    }
    return get_path(r, out, v, path);
}

enum lrc_status lrc_filter__join(struct lrc_render *r, struct lrc_value *out, const struct lrc_call *call)
{
    struct lrc_builder       builder = { .r = r };
    const struct lrc_string *between = NULL;
    struct lrc_value         item;
    struct lrc_list          items;
    if (call->arg[0].kind != LRC_VALUE_ABSENT)
        LRC_TRY(lrc_value__to_string(r, &between, call->arg[0]));
    LRC_TRY(lrc_value__iterate(r, &items, call->self));
    for (int64_t i = 0; i < items.n; i++) {
        LRC_TRY(lrc_render__charge(r, 1));
        LRC_TRY(get_attribute(r, &item, items.items[i], call->arg[1]));
        if (i > 0 && between)
            lrc_builder__append(&builder, between->bytes, between->n);
        LRC_TRY(lrc_value__print(&builder, item));
    }
    return lrc_builder__finish(&builder, out);
}

enum lrc_status lrc_filter__reverse(struct lrc_render *r, struct lrc_value *out, const struct lrc_call *call)
{
    const struct lrc_value backwards[3] = { lrc_value__none(), lrc_value__none(), lrc_value__int(-1) };
    if (call->self.kind == LRC_VALUE_STRING)
        return lrc_eval__slice(r, out, call->self, backwards);
    LRC_TRY(copy_list(r, out, call->self));
    return lrc_eval__slice(r, out, *out, backwards);
}

static struct lrc_value named_argument(const struct lrc_args *args, const char *name)
{
    for (int64_t i = 0; args->named && i < args->named->n; i++)
        if (args->named->entries[i].key.kind == LRC_VALUE_STRING &&
            lrc_string__equals(args->named->entries[i].key.string, name))
            return args->named->entries[i].value;
    return (struct lrc_value){ .kind = LRC_VALUE_ABSENT };
}

/* As jinja2's map and select: what is false, whatever it is, has no items. */
static enum lrc_status iterate_unless_false(struct lrc_render *r, struct lrc_list *items, struct lrc_value v)
{
    *items = (struct lrc_list){ 0 };
    return lrc_value__is_true(v) ? lrc_value__iterate(r, items, v) : LRC_STATUS_OK;
}

/* map(attribute="a.b", default=x) or map("filter", arguments ...). */
enum lrc_status lrc_filter__map(struct lrc_render *r, struct lrc_value *out, const struct lrc_call *call)
{
    const struct lrc_value attribute = named_argument(call->args, "attribute"),
                           fallback = named_argument(call->args, "default");
    const struct lrc_filter *filter = NULL;
    const struct lrc_value  *first = call->args->n > 0 ? &call->args->values[0] : NULL;
    struct lrc_args          rest = { 0 };
    struct lrc_list          items;
    if (first && first->kind == LRC_VALUE_STRING)
        filter = lrc_filter__find(first->string->bytes, first->string->n);
    if (attribute.kind == LRC_VALUE_ABSENT && !filter)
        return lrc_render__fail(r, LRC_STATUS_DATA,
                                "map: want a filter's name or attribute=, got something else");
    if (filter)
        rest = (struct lrc_args){ call->args->values + 1, call->args->n - 1, call->args->named };
    LRC_TRY(iterate_unless_false(r, &items, call->self));
    LRC_TRY(lrc_list__new(r, out, LRC_VALUE_LIST));
    for (int64_t i = 0; i < items.n; i++) {
        struct lrc_value item;
        LRC_TRY(lrc_render__charge(r, 1));
        LRC_TRY(filter ? lrc_eval__entry(r, &item, &filter->entry, items.items[i], &rest)
                       : get_path(r, &item, items.items[i], attribute));
        if (!filter && item.kind == LRC_VALUE_UNDEFINED && fallback.kind != LRC_VALUE_ABSENT)
            item = fallback;
        LRC_TRY(lrc_list__append(r, out->list, item));
    }
    return LRC_STATUS_OK;
}

/* Items that pass (want 1) or fail (want 0) the test named behind the n_path first arguments; without a name:
 * are true. */
static enum lrc_status pick(struct lrc_render *r, struct lrc_value *out, const struct lrc_call *call,
                            int n_path, int want)
{
    const struct lrc_args *args = call->args;
    const struct lrc_test *test = NULL;
    struct lrc_args        rest = { 0 };
    struct lrc_list        items;
    if (args->n < n_path)
        return lrc_render__fail(r, LRC_STATUS_DATA, "selectattr: want an attribute's name, got nothing");
    if (args->n > n_path) {
        const struct lrc_value name = args->values[n_path];
        test = name.kind == LRC_VALUE_STRING ? lrc_test__find(name.string->bytes, name.string->n) : NULL;
        if (!test)
            return lrc_render__fail(r, LRC_STATUS_DATA,
                                    "select: want the name of a test we have, got another");
        rest = (struct lrc_args){ args->values + n_path + 1, args->n - n_path - 1, args->named };
    }
    LRC_TRY(iterate_unless_false(r, &items, call->self));
    LRC_TRY(lrc_list__new(r, out, LRC_VALUE_LIST));
    for (int64_t i = 0; i < items.n; i++) {
        struct lrc_value subject = items.items[i], verdict;
        LRC_TRY(lrc_render__charge(r, 1));
        if (n_path)
            LRC_TRY(get_path(r, &subject, items.items[i], args->values[0]));
        verdict = subject;
        if (test)
            LRC_TRY(lrc_eval__entry(r, &verdict, &test->entry, subject, &rest));
        if (lrc_value__is_true(verdict) == want)
            LRC_TRY(lrc_list__append(r, out->list, items.items[i]));
    }
    return LRC_STATUS_OK;
}

enum lrc_status lrc_filter__select(struct lrc_render *r, struct lrc_value *out, const struct lrc_call *call)
{
    return pick(r, out, call, 0, 1);
}

enum lrc_status lrc_filter__reject(struct lrc_render *r, struct lrc_value *out, const struct lrc_call *call)
{
    return pick(r, out, call, 0, 0);
}

enum lrc_status lrc_filter__selectattr(struct lrc_render *r, struct lrc_value *out,
                                       const struct lrc_call *call)
{
    return pick(r, out, call, 1, 1);
}

enum lrc_status lrc_filter__rejectattr(struct lrc_render *r, struct lrc_value *out,
                                       const struct lrc_call *call)
{
    return pick(r, out, call, 1, 0);
}

/* What an item is ordered by: the attribute, strings in lower case unless case counts. */
static enum lrc_status make_key(struct lrc_render *r, struct lrc_value *key, struct lrc_value item,
                                struct lrc_value attribute, int case_sensitive)
{
    LRC_TRY(get_attribute(r, key, item, attribute));
    if (key->kind == LRC_VALUE_STRING && !case_sensitive)
        return lrc_string__to_case(r, key, key->string, LRC_CASE_LOWER);
    return LRC_STATUS_OK;
}

/* A list, also of one: lists are compared item by item and two that are undefined are equal, so that they
 * need no order. Several attributes: "a,b". */
static enum lrc_status make_sort_key(struct lrc_render *r, struct lrc_value *key, struct lrc_value item,
                                     struct lrc_value attribute, int case_sensitive)
{
    struct lrc_value part, name = attribute;
    LRC_TRY(lrc_list__new(r, key, LRC_VALUE_LIST));
    if (attribute.kind != LRC_VALUE_STRING) {
        LRC_TRY(make_key(r, &part, item, attribute, case_sensitive));
        return lrc_list__append(r, key->list, part);
    }
    const char *at = attribute.string->bytes, *const end = at + attribute.string->n;
    for (;;) {
        const char *comma = memchr(at, ',', (size_t)(end - at));
        LRC_TRY(lrc_string__borrow(r, &name, at, (size_t)((comma ? comma : end) - at)));
        LRC_TRY(make_key(r, &part, item, name, case_sensitive));
        LRC_TRY(lrc_list__append(r, key->list, part));
        if (!comma)
            return LRC_STATUS_OK;
        at = comma + 1;
    }
}

/* Stable merge sort of order[0, n) by keys; reverse keeps equal items in their order, as Python does. */
static enum lrc_status merge_sort(struct lrc_render *r, int64_t *order, int64_t *spare, int64_t n,
                                  const struct lrc_value *keys, int reverse)
{
    for (int64_t width = 1; width < n; width *= 2) {
        for (int64_t begin = 0; begin < n; begin += 2 * width) {
            const int64_t middle = begin + width < n ? begin + width : n,
                          end = middle + width < n ? middle + width : n;
            int64_t a = begin, b = middle;
            for (int64_t at = begin; at < end; at++) {
                int sign = 0;
                if (a < middle && b < end)
                    LRC_TRY(lrc_value__compare(r, &sign, keys[order[a]], keys[order[b]]));
                const int from_b = a >= middle || (b < end && (reverse ? sign < 0 : sign > 0));
                spare[at] = from_b ? order[b++] : order[a++];
            }
        }
        memcpy(order, spare, (size_t)n * sizeof *order);
        LRC_TRY(lrc_render__charge(r, n / 16));
    }
    return LRC_STATUS_OK;
}

static enum lrc_status sort_by(struct lrc_render *r, struct lrc_value *out, const struct lrc_list *items,
                               const struct lrc_value *keys, int reverse)
{
    int64_t *order, *spare;
    LRC_TRY(lrc_render__take(r, &order, items->n, sizeof *order));
    LRC_TRY(lrc_render__take(r, &spare, items->n, sizeof *spare));
    for (int64_t i = 0; i < items->n; i++)
        order[i] = i;
    LRC_TRY(merge_sort(r, order, spare, items->n, keys, reverse));
    LRC_TRY(lrc_list__new(r, out, LRC_VALUE_LIST));
    for (int64_t i = 0; i < items->n; i++)
        LRC_TRY(lrc_list__append(r, out->list, items->items[order[i]]));
    return LRC_STATUS_OK;
}

static enum lrc_status sort_items(struct lrc_render *r, struct lrc_value *out, struct lrc_list items,
                                  struct lrc_value attribute, int case_sensitive, int reverse)
{
    struct lrc_value *keys;
    LRC_TRY(lrc_render__take(r, &keys, items.n, sizeof *keys));
    for (int64_t i = 0; i < items.n; i++) {
        LRC_TRY(lrc_render__charge(r, 1));
        LRC_TRY(make_sort_key(r, &keys[i], items.items[i], attribute, case_sensitive));
    }
    return sort_by(r, out, &items, keys, reverse);
}

enum lrc_status lrc_filter__sort(struct lrc_render *r, struct lrc_value *out, const struct lrc_call *call)
{
    struct lrc_list items;
    LRC_TRY(lrc_value__iterate(r, &items, call->self));
    return sort_items(r, out, items, call->arg[2], lrc_value__is_true(call->arg[1]),
                      lrc_value__is_true(call->arg[0]));
}

enum lrc_status lrc_filter__dictsort(struct lrc_render *r, struct lrc_value *out, const struct lrc_call *call)
{
    const struct lrc_string *by = NULL;
    struct lrc_value         pairs;
    LRC_TRY(lrc_argument__string(r, &by, call->arg[1], "dictsort"));
    if (by && !lrc_string__equals(by, "key") && !lrc_string__equals(by, "value"))
        return lrc_render__fail(r, LRC_STATUS_DATA, "dictsort: want by='key' or by='value', got another");
    if (call->self.kind != LRC_VALUE_DICT)
        return lrc_render__fail(r, LRC_STATUS_DATA, "dictsort: want a dict, got %s",
                                lrc_value__type_name(call->self));
    LRC_TRY(lrc_filter__items(r, &pairs, call));
    return sort_items(r, out, *pairs.list, lrc_value__int(by && lrc_string__equals(by, "value")),
                      lrc_value__is_true(call->arg[0]), lrc_value__is_true(call->arg[2]));
}

enum lrc_status lrc_filter__unique(struct lrc_render *r, struct lrc_value *out, const struct lrc_call *call)
{
    struct lrc_list  items;
    struct lrc_value seen, key;
    LRC_TRY(lrc_value__iterate(r, &items, call->self));
    LRC_TRY(lrc_list__new(r, out, LRC_VALUE_LIST));
    LRC_TRY(lrc_dict__new(r, &seen));
    for (int64_t i = 0; i < items.n; i++) {
        struct lrc_dict_entry *entry;
        LRC_TRY(make_key(r, &key, items.items[i], call->arg[1], lrc_value__is_true(call->arg[0])));
        LRC_TRY(lrc_dict__find(r, &entry, seen.dict, key));
        if (entry)
            continue;
        LRC_TRY(lrc_dict__set(r, seen.dict, key, lrc_value__none()));
        LRC_TRY(lrc_list__append(r, out->list, items.items[i]));
    }
    return LRC_STATUS_OK;
}

static enum lrc_status extreme(struct lrc_render *r, struct lrc_value *out, const struct lrc_call *call,
                               int sign)
{
    struct lrc_list  items;
    struct lrc_value best = { 0 }, key;
    LRC_TRY(lrc_value__iterate(r, &items, call->self));
    *out = lrc_value__undefined(NULL);
    for (int64_t i = 0; i < items.n; i++) {
        int order = sign;
        LRC_TRY(make_key(r, &key, items.items[i], call->arg[1], lrc_value__is_true(call->arg[0])));
        if (i > 0)
            LRC_TRY(lrc_value__compare(r, &order, key, best));
        if (i > 0 && (sign > 0 ? order <= 0 : order >= 0))
            continue;
        best = key;
        *out = items.items[i];
    }
    return LRC_STATUS_OK;
}

enum lrc_status lrc_filter__min(struct lrc_render *r, struct lrc_value *out, const struct lrc_call *call)
{
    return extreme(r, out, call, -1);
}

enum lrc_status lrc_filter__max(struct lrc_render *r, struct lrc_value *out, const struct lrc_call *call)
{
    return extreme(r, out, call, 1);
}

enum lrc_status lrc_filter__sum(struct lrc_render *r, struct lrc_value *out, const struct lrc_call *call)
{
    struct lrc_list items;
    LRC_TRY(lrc_value__iterate(r, &items, call->self));
    *out = call->arg[1].kind == LRC_VALUE_ABSENT ? lrc_value__int(0) : call->arg[1];
    if (out->kind == LRC_VALUE_STRING)
        return lrc_render__fail(r, LRC_STATUS_DATA, "sum: want a start that is no str, got one");
    for (int64_t i = 0; i < items.n; i++) {
        struct lrc_value item;
        LRC_TRY(lrc_render__charge(r, 1));
        LRC_TRY(get_attribute(r, &item, items.items[i], call->arg[0]));
        LRC_TRY(lrc_eval__binary(r, out, LRC_OPERATOR_ADD, *out, item));
    }
    return LRC_STATUS_OK;
}

/* Sorted (key, items) pairs; the key shown is that of the first of its items. */
static enum lrc_status add_groups(struct lrc_render *r, struct lrc_value *out, const struct lrc_list *items,
                                  const struct lrc_value *shown, int case_sensitive)
{
    struct lrc_value       pair, group = { 0 }, key, last = { 0 };
    const struct lrc_value itself = lrc_value__none();
    LRC_TRY(lrc_list__new(r, out, LRC_VALUE_LIST));
    for (int64_t i = 0; i < items->n; i++) {
        int equal = 0;
        LRC_TRY(make_key(r, &key, shown[i], itself, case_sensitive));
        if (i > 0)
            LRC_TRY(lrc_value__equal(r, &equal, key, last));
        if (!equal) {
            LRC_TRY(lrc_list__new(r, &group, LRC_VALUE_LIST));
            LRC_TRY(lrc_list__new(r, &pair, LRC_VALUE_TUPLE));
            LRC_TRY(lrc_list__append(r, pair.list, shown[i]));
            LRC_TRY(lrc_list__append(r, pair.list, group));
            LRC_TRY(lrc_list__append(r, out->list, pair));
        }
        LRC_TRY(lrc_list__append(r, group.list, items->items[i]));
        last = key;
    }
    return LRC_STATUS_OK;
}

enum lrc_status lrc_filter__groupby(struct lrc_render *r, struct lrc_value *out, const struct lrc_call *call)
{
    struct lrc_value *keys, *shown, sorted, order;
    struct lrc_list   items, indices = { 0 };
    const int         case_sensitive = lrc_value__is_true(call->arg[2]);
    LRC_TRY(lrc_value__iterate(r, &items, call->self));
    LRC_TRY(lrc_render__take(r, &keys, items.n, sizeof *keys));
    LRC_TRY(lrc_render__take(r, &shown, items.n, sizeof *shown));
    for (int64_t i = 0; i < items.n; i++) {
        LRC_TRY(lrc_render__charge(r, 1));
        LRC_TRY(get_attribute(r, &shown[i], items.items[i], call->arg[0]));
        if (shown[i].kind == LRC_VALUE_UNDEFINED && call->arg[1].kind != LRC_VALUE_ABSENT)
            shown[i] = call->arg[1];
        LRC_TRY(make_key(r, &keys[i], shown[i], lrc_value__none(), case_sensitive));
        LRC_TRY(lrc_list__append(r, &indices, lrc_value__int(i)));
    }
    LRC_TRY(sort_by(r, &order, &indices, keys, 0));
    LRC_TRY(lrc_list__new(r, &sorted, LRC_VALUE_LIST));
    for (int64_t i = 0; i < items.n; i++) {
        const int64_t from = order.list->items[i].integer;
        keys[i] = shown[from];
        LRC_TRY(lrc_list__append(r, sorted.list, items.items[from]));
    }
    return add_groups(r, out, sorted.list, keys, case_sensitive);
}

/* A tuple or list of no items that later ones are added to. */
static enum lrc_status start_group(struct lrc_render *r, struct lrc_value *group, struct lrc_value groups)
{
    LRC_TRY(lrc_list__new(r, group, LRC_VALUE_LIST));
    return lrc_list__append(r, groups.list, *group);
}

/* Lists of n items; the last is filled up when there is something to fill it with. */
enum lrc_status lrc_filter__batch(struct lrc_render *r, struct lrc_value *out, const struct lrc_call *call)
{
    struct lrc_list  items;
    struct lrc_value group = { .kind = LRC_VALUE_ABSENT };
    int64_t          n = 0;
    LRC_TRY(lrc_argument__int(r, &n, call->arg[0], "batch"));
    LRC_TRY(lrc_value__iterate(r, &items, call->self));
    LRC_TRY(lrc_list__new(r, out, LRC_VALUE_LIST));
    for (int64_t i = 0; i < items.n; i++) {
        if (group.kind == LRC_VALUE_ABSENT || group.list->n == n)
            LRC_TRY(start_group(r, &group, *out));
        LRC_TRY(lrc_list__append(r, group.list, items.items[i]));
    }
    const int fills = call->arg[1].kind != LRC_VALUE_ABSENT && call->arg[1].kind != LRC_VALUE_NONE;
    while (fills && items.n > 0 && group.list->n < n) {
        LRC_TRY(lrc_render__charge(r, 1));
        LRC_TRY(lrc_list__append(r, group.list, call->arg[1]));
    }
    return lrc_render__charge(r, items.n / 16);
}

/* n lists, the first ones longer by one where the items do not divide evenly; the others may be filled up. */
enum lrc_status lrc_filter__slice(struct lrc_render *r, struct lrc_value *out, const struct lrc_call *call)
{
    struct lrc_list  items;
    struct lrc_value group;
    int64_t          n = 0, at = 0;
    LRC_TRY(lrc_argument__int(r, &n, call->arg[0], "slice"));
    LRC_TRY(lrc_value__iterate(r, &items, call->self));
    if (n < 1)
        return lrc_render__fail(r, LRC_STATUS_DATA, "slice: want a count of at least 1, got %lld",
                                (long long)n);
    LRC_TRY(lrc_list__new(r, out, LRC_VALUE_LIST));
    const int64_t each = items.n / n, longer = items.n % n;
    const int     fills = call->arg[1].kind != LRC_VALUE_ABSENT && call->arg[1].kind != LRC_VALUE_NONE;
    for (int64_t i = 0; i < n; i++) {
        LRC_TRY(lrc_render__charge(r, 1));
        LRC_TRY(start_group(r, &group, *out));
        for (int64_t end = at + each + (i < longer); at < end; at++)
            LRC_TRY(lrc_list__append(r, group.list, items.items[at]));
        if (fills && i >= longer)
            LRC_TRY(lrc_list__append(r, group.list, call->arg[1]));
    }
    return lrc_render__charge(r, items.n / 16);
}
