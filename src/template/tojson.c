/* json.dumps(value, ensure_ascii=False, indent=, separators=, sort_keys=), as transformers gives it to
 * templates; and back. */
#include "template/tojson.h"

#include "template/text.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

static void put_string(struct lrc_builder *b, const struct lrc_string *s, const struct lrc_json_style *style)
{
    static const char from[] = "\"\\\n\r\t\b\f", to[] = "\"\\nrtbf";
    lrc_builder__puts(b, "\"");
    for (size_t i = 0; i < s->n && !b->failed;) {
        char escape[16];
        int32_t point;
        const size_t n = lrc_text__next(s->bytes + i, s->n - i, &point);
        const char *simple = point > 0 && point < 0x80 ? strchr(from, point) : NULL;
        int n_escape = 0;
        if (simple)
            n_escape = snprintf(escape, sizeof escape, "\\%c", to[simple - from]);
        else if (point < 0x20 || (style->ascii && point >= 0x7f && point < 0x10000 && point != 0x7f))
            n_escape = snprintf(escape, sizeof escape, "\\u%04x", (unsigned)point);
        else if (style->ascii && point >= 0x10000)
            n_escape = snprintf(escape, sizeof escape, "\\u%04x\\u%04x",
                                0xd800u + (unsigned)((point - 0x10000) >> 10),
                                0xdc00u + (unsigned)((point - 0x10000) & 0x3ff));
        lrc_builder__append(b, n_escape > 0 ? escape : s->bytes + i, n_escape > 0 ? (size_t)n_escape : n);
        i += n;
    }
    lrc_builder__puts(b, "\"");
}

static void put_newline(struct lrc_builder *b, const struct lrc_json_style *style, int depth)
{
    if (!style->indent)
        return;
    lrc_builder__puts(b, "\n");
    for (int i = 0; i < depth && !b->failed; i++)
        lrc_builder__append(b, style->indent->bytes, style->indent->n);
}

static enum lrc_status put_value(struct lrc_builder *b, struct lrc_value v,
                                 const struct lrc_json_style *style, int depth);

static enum lrc_status put_list(struct lrc_builder *b, const struct lrc_list *list,
                                const struct lrc_json_style *style, int depth)
{
    lrc_builder__puts(b, "[");
    for (int64_t i = 0; i < list->n; i++) {
        if (i > 0)
            lrc_builder__append(b, style->between_items->bytes, style->between_items->n);
        put_newline(b, style, depth + 1);
        LRC_TRY(put_value(b, list->items[i], style, depth + 1));
    }
    if (list->n > 0)
        put_newline(b, style, depth);
    lrc_builder__puts(b, "]");
    return LRC_STATUS_OK;
}

static enum lrc_status put_key(struct lrc_builder *b, struct lrc_value key,
                               const struct lrc_json_style *style)
{
    struct lrc_builder text = {.r = b->r};
    if (key.kind != LRC_VALUE_STRING) { /* 1: "1", True: "true", None: "null" */
        if (key.kind == LRC_VALUE_TUPLE || key.kind == LRC_VALUE_UNDEFINED)
            return lrc_render__fail(b->r, LRC_STATUS_DATA,
                                    "tojson: want keys that are str, int, float, bool or None, got %s",
                                    lrc_value__type_name(key));
        LRC_TRY(put_value(&text, key, style, 0));
        LRC_TRY(lrc_builder__finish(&text, &key));
    }
    put_string(b, key.string, style);
    return LRC_STATUS_OK;
}

/* Entries by key. Keys of one dict are few; insertion keeps equal ones in place. */
static enum lrc_status sort_entries(struct lrc_render *r, struct lrc_dict *sorted,
                                    const struct lrc_dict *dict)
{
    *sorted = (struct lrc_dict){.n = dict->n};
    LRC_TRY(lrc_render__take(r, &sorted->entries, dict->n, sizeof *sorted->entries));
    for (int64_t i = 0; i < dict->n; i++) {
        int64_t at = i;
        for (int order = 1; at > 0; at--) {
            LRC_TRY(lrc_value__compare(r, &order, sorted->entries[at - 1].key, dict->entries[i].key));
            if (order <= 0)
                break;
            sorted->entries[at] = sorted->entries[at - 1];
        }
        sorted->entries[at] = dict->entries[i];
    }
    return LRC_STATUS_OK;
}

static enum lrc_status put_dict(struct lrc_builder *b, const struct lrc_dict *dict,
                                const struct lrc_json_style *style, int depth)
{
    struct lrc_dict sorted;
    if (style->sort_keys) {
        LRC_TRY(sort_entries(b->r, &sorted, dict));
        dict = &sorted;
    }
    lrc_builder__puts(b, "{");
    for (int64_t i = 0; i < dict->n; i++) {
        if (i > 0)
            lrc_builder__append(b, style->between_items->bytes, style->between_items->n);
        put_newline(b, style, depth + 1);
        LRC_TRY(put_key(b, dict->entries[i].key, style));
        lrc_builder__append(b, style->after_key->bytes, style->after_key->n);
        LRC_TRY(put_value(b, dict->entries[i].value, style, depth + 1));
    }
    if (dict->n > 0)
        put_newline(b, style, depth);
    lrc_builder__puts(b, "}");
    return LRC_STATUS_OK;
}

static enum lrc_status put_value(struct lrc_builder *b, struct lrc_value v,
                                 const struct lrc_json_style *style, int depth)
{
    char text[LRC_FLOAT_TEXT_MAX];
    LRC_TRY(lrc_render__charge(b->r, 1));
    LRC_TRY(lrc_render__enter(b->r));
    switch (v.kind) {
    case LRC_VALUE_NONE:
        lrc_builder__puts(b, "null");
        break;
    case LRC_VALUE_BOOL:
        lrc_builder__puts(b, v.truth ? "true" : "false");
        break;
    case LRC_VALUE_INT:
        LRC_TRY(lrc_value__repr(b, v));
        break;
    case LRC_VALUE_FLOAT:
        lrc_value__float_text(text, v.real);
        lrc_builder__puts(b, isfinite(v.real) ? text
                             : isnan(v.real)  ? "NaN"
                             : v.real > 0     ? "Infinity"
                                              : "-Infinity");
        break;
    case LRC_VALUE_STRING:
        put_string(b, v.string, style);
        break;
    case LRC_VALUE_LIST:
    case LRC_VALUE_TUPLE:
        LRC_TRY(put_list(b, v.list, style, depth));
        break;
    case LRC_VALUE_DICT:
        LRC_TRY(put_dict(b, v.dict, style, depth));
        break;
    default:
        return lrc_render__fail(b->r, LRC_STATUS_DATA, "tojson: want a value that JSON has, got %s",
                                lrc_value__type_name(v));
    }
    b->r->depth--;
    return b->failed ? lrc_render__fail_memory(b->r) : LRC_STATUS_OK;
}

enum lrc_status lrc_json__put(struct lrc_builder *b, struct lrc_value v, const struct lrc_json_style *style)
{
    return put_value(b, v, style, 0);
}
