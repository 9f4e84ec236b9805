/* Methods of list, dict and loop, and the search through all. A list or dict of a template may be changed
 * (transformers' sandbox forbids it, other engines do not): it is this rendering's own copy. */
#include "template/methods.h"

#include "template/strings.h"
#include <string.h>

static enum lrc_status dict_view(struct lrc_render *r, struct lrc_value *out, const struct lrc_dict *dict,
                                 int with_key, int with_value)
{
    struct lrc_value pair;
    LRC_TRY(lrc_list__new(r, out, LRC_VALUE_LIST));
    for (int64_t i = 0; i < dict->n; i++) {
        pair = with_key ? dict->entries[i].key : dict->entries[i].value;
        if (with_key && with_value) {
            LRC_TRY(lrc_list__new(r, &pair, LRC_VALUE_TUPLE));
            LRC_TRY(lrc_list__append(r, pair.list, dict->entries[i].key));
            LRC_TRY(lrc_list__append(r, pair.list, dict->entries[i].value));
        }
        LRC_TRY(lrc_list__append(r, out->list, pair));
    }
    return lrc_render__charge(r, dict->n);
}

static enum lrc_status dict_items(struct lrc_render *r, struct lrc_value *out, const struct lrc_call *call)
{
    return dict_view(r, out, call->self.dict, 1, 1);
}

static enum lrc_status dict_keys(struct lrc_render *r, struct lrc_value *out, const struct lrc_call *call)
{
    return dict_view(r, out, call->self.dict, 1, 0);
}

static enum lrc_status dict_values(struct lrc_render *r, struct lrc_value *out, const struct lrc_call *call)
{
    return dict_view(r, out, call->self.dict, 0, 1);
}

static enum lrc_status dict_get(struct lrc_render *r, struct lrc_value *out, const struct lrc_call *call)
{
    struct lrc_dict_entry *entry;
    LRC_TRY(lrc_dict__find(r, &entry, call->self.dict, call->arg[0]));
    *out = entry ? entry->value : call->arg[1].kind == LRC_VALUE_ABSENT ? lrc_value__none() : call->arg[1];
    return LRC_STATUS_OK;
}

static enum lrc_status dict_pop(struct lrc_render *r, struct lrc_value *out, const struct lrc_call *call)
{
    struct lrc_dict_entry *entry;
    LRC_TRY(lrc_dict__find(r, &entry, call->self.dict, call->arg[0]));
    if (!entry && call->arg[1].kind == LRC_VALUE_ABSENT)
        return lrc_render__fail(r, LRC_STATUS_DATA, "pop: want a key that is there, got one that is not");
    *out = entry ? entry->value : call->arg[1];
    return lrc_dict__remove(r, call->self.dict, call->arg[0]);
}

static enum lrc_status dict_copy(struct lrc_render *r, struct lrc_value *out, const struct lrc_call *call)
{
    LRC_TRY(lrc_dict__new(r, out));
    for (int64_t i = 0; i < call->self.dict->n; i++)
        LRC_TRY(
            lrc_dict__set(r, out->dict, call->self.dict->entries[i].key, call->self.dict->entries[i].value));
    return lrc_render__charge(r, out->dict->n);
}

static enum lrc_status dict_update(struct lrc_render *r, struct lrc_value *out, const struct lrc_call *call)
{
    const struct lrc_dict *sources[2] = { NULL, call->args->named };
    if (call->args->n == 1 && call->args->values[0].kind == LRC_VALUE_DICT)
        sources[0] = call->args->values[0].dict;
    else if (call->args->n > 0)
        return lrc_render__fail(r, LRC_STATUS_DATA, "update: want one dict, got something else");
    for (int k = 0; k < 2; k++)
        for (int64_t i = 0; sources[k] && i < sources[k]->n; i++)
            LRC_TRY(
                lrc_dict__set(r, call->self.dict, sources[k]->entries[i].key, sources[k]->entries[i].value));
    *out = lrc_value__none();
    return LRC_STATUS_OK;
}

static enum lrc_status list_append(struct lrc_render *r, struct lrc_value *out, const struct lrc_call *call)
{
    *out = lrc_value__none();
    return lrc_list__append(r, call->self.list, call->arg[0]);
}

static enum lrc_status list_extend(struct lrc_render *r, struct lrc_value *out, const struct lrc_call *call)
{
    struct lrc_list items;
    LRC_TRY(lrc_value__iterate(r, &items, call->arg[0]));
    LRC_TRY(lrc_render__charge(r, items.n / 16));
    for (int64_t i = 0; i < items.n; i++)
        LRC_TRY(lrc_list__append(r, call->self.list, items.items[i]));
    *out = lrc_value__none();
    return LRC_STATUS_OK;
}

static enum lrc_status list_pop(struct lrc_render *r, struct lrc_value *out, const struct lrc_call *call)
{
    struct lrc_list *list = call->self.list;
    int64_t          at = -1;
    LRC_TRY(lrc_argument__int(r, &at, call->arg[0], "pop"));
    at += at < 0 ? list->n : 0;
    if (at < 0 || at >= list->n)
        return lrc_render__fail(r, LRC_STATUS_DATA, "pop: want an index inside the list of %lld, got another",
                                (long long)list->n);
    *out = list->items[at];
    /* a loop over the list keeps its own view of the old items: the rest moves to new ones */
    struct lrc_value *items;
    LRC_TRY(lrc_render__take(r, &items, list->cap, sizeof *items));
    memcpy(items, list->items, (size_t)at * sizeof *items);
    memcpy(items + at, list->items + at + 1, (size_t)(list->n - at - 1) * sizeof *items);
    list->items = items;
    list->n--;
    return lrc_render__charge(r, list->n / 16);
}

static enum lrc_status list_copy(struct lrc_render *r, struct lrc_value *out, const struct lrc_call *call)
{
    const struct lrc_value whole[3] = { lrc_value__none(), lrc_value__none(), lrc_value__none() };
    return lrc_eval__slice(r, out, call->self, whole);
}

static enum lrc_status find_item(struct lrc_render *r, int64_t *index, int64_t *count,
                                 const struct lrc_call *call)
{
    *index = -1;
    *count = 0;
    for (int64_t i = 0; i < call->self.list->n; i++) {
        int equal;
        LRC_TRY(lrc_value__equal(r, &equal, call->self.list->items[i], call->arg[0]));
        *count += equal;
        if (equal && *index < 0)
            *index = i;
    }
    return LRC_STATUS_OK;
}

static enum lrc_status list_index(struct lrc_render *r, struct lrc_value *out, const struct lrc_call *call)
{
    int64_t index, count;
    LRC_TRY(find_item(r, &index, &count, call));
    *out = lrc_value__int(index);
    return index < 0 ? lrc_render__fail(r, LRC_STATUS_DATA,
                                        "index: want a value that is in the list, got one that is not")
                     : LRC_STATUS_OK;
}

static enum lrc_status list_count(struct lrc_render *r, struct lrc_value *out, const struct lrc_call *call)
{
    int64_t index, count;
    LRC_TRY(find_item(r, &index, &count, call));
    *out = lrc_value__int(count);
    return LRC_STATUS_OK;
}

static enum lrc_status loop_cycle(struct lrc_render *r, struct lrc_value *out, const struct lrc_call *call)
{
    if (call->args->n == 0)
        return lrc_render__fail(r, LRC_STATUS_DATA, "loop.cycle: want values to cycle through, got none");
    *out = call->args->values[call->self.loop->index % call->args->n];
    return LRC_STATUS_OK;
}

static enum lrc_status loop_changed(struct lrc_render *r, struct lrc_value *out, const struct lrc_call *call)
{
    struct lrc_value values;
    int              equal;
    LRC_TRY(lrc_list__new(r, &values, LRC_VALUE_TUPLE));
    for (int64_t i = 0; i < call->args->n; i++)
        LRC_TRY(lrc_list__append(r, values.list, call->args->values[i]));
    LRC_TRY(lrc_value__equal(r, &equal, values, call->self.loop->changed));
    call->self.loop->changed = values;
    *out = lrc_value__bool(!equal);
    return LRC_STATUS_OK;
}

static const struct lrc_method methods[] = {
    { LRC_VALUE_DICT, { "items", "", 0, dict_items } },
    { LRC_VALUE_DICT, { "keys", "", 0, dict_keys } },
    { LRC_VALUE_DICT, { "values", "", 0, dict_values } },
    { LRC_VALUE_DICT, { "get", "key default", 1, dict_get } },
    { LRC_VALUE_DICT, { "pop", "key default", 1, dict_pop } },
    { LRC_VALUE_DICT, { "copy", "", 0, dict_copy } },
    { LRC_VALUE_DICT, { "update", "*", 0, dict_update } },
    { LRC_VALUE_LIST, { "append", "object", 1, list_append } },
    { LRC_VALUE_LIST, { "extend", "iterable", 1, list_extend } },
    { LRC_VALUE_LIST, { "pop", "index", 0, list_pop } },
    { LRC_VALUE_LIST, { "copy", "", 0, list_copy } },
    { LRC_VALUE_LIST, { "index", "value", 1, list_index } },
    { LRC_VALUE_LIST, { "count", "value", 1, list_count } },
    { LRC_VALUE_TUPLE, { "index", "value", 1, list_index } },
    { LRC_VALUE_TUPLE, { "count", "value", 1, list_count } },
    { LRC_VALUE_LOOP, { "cycle", "*", 0, loop_cycle } },
    { LRC_VALUE_LOOP, { "changed", "*", 0, loop_changed } },
    { LRC_VALUE_ABSENT, { NULL, NULL, 0, NULL } },
};

const struct lrc_method *lrc_method__find(struct lrc_value self, const char *name, size_t n)
{
    const struct lrc_method *row = self.kind == LRC_VALUE_STRING ? lrc_method_string : methods;
    for (; row->entry.name; row++)
        if (row->kind == self.kind && strlen(row->entry.name) == n && memcmp(row->entry.name, name, n) == 0)
            return row;
    return NULL;
}
