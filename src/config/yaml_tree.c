#include "config/yaml_tree.h"

#include "base/alloc.h"
#include <stdint.h>
#include <string.h>
#include <yaml.h>

struct lrc_pool_block {
    struct lrc_pool_block *older;
    max_align_t            bytes[];
};

void *lrc_pool_take(struct lrc_pool *pool, size_t size_bytes)
{
    if (size_bytes > (size_t)LRC_YAML_BYTES_MAX * 64)
        return NULL;
    struct lrc_pool_block *block = lrc_calloc((int64_t)(sizeof *block + size_bytes), 1);
    if (!block)
        return NULL;
    block->older = pool->newest;
    pool->newest = block;
    return block->bytes;
}

char *lrc_pool_copy(struct lrc_pool *pool, const char *text, size_t n)
{
    char *copy = lrc_pool_take(pool, n + 1);
    if (copy && n > 0)
        memcpy(copy, text, n);
    return copy;
}

void lrc_pool_release(struct lrc_pool *pool)
{
    while (pool->newest) {
        struct lrc_pool_block *older = pool->newest->older;
        lrc_free(pool->newest);
        pool->newest = older;
    }
}

struct reader {
    yaml_parser_t     parser;
    struct lrc_pool  *pool;
    const char       *bytes;
    size_t            n_bytes;
    int               n_nodes;
    int              *line; /* where the mistake is */
    struct lrc_error *err;
};

static enum lrc_status fail_at(struct reader *reader, size_t line, const char *sentence)
{
    *reader->line = (int)line + 1;
    return lrc_fail(reader->err, LRC_STATUS_CONFIG, "%s", sentence);
}

/* libyaml's reader gives a byte offset, its scanner and parser a line. */
static enum lrc_status fail_syntax(struct reader *reader)
{
    const yaml_parser_t *parser = &reader->parser;
    size_t               line = parser->problem_mark.line;
    if (parser->error == YAML_MEMORY_ERROR)
        return lrc_fail_nomem(reader->err, "YAML parser");
    if (parser->error == YAML_READER_ERROR) {
        line = 0;
        for (size_t i = 0; i < reader->n_bytes && i < parser->problem_offset; i++)
            line += reader->bytes[i] == '\n';
    }
    *reader->line = (int)line + 1;
    return lrc_fail(reader->err, LRC_STATUS_CONFIG, "want YAML, got a mistake: %s%s%s",
                    parser->problem ? parser->problem : "unknown", parser->context ? ", " : "",
                    parser->context ? parser->context : "");
}

static enum lrc_status next_event(struct reader *reader, yaml_event_t *event)
{
    if (!yaml_parser_parse(&reader->parser, event))
        return fail_syntax(reader);
    return LRC_STATUS_OK;
}

static enum lrc_status check_plain(struct reader *reader, const yaml_event_t *event)
{
    const size_t       line = event->start_mark.line;
    const yaml_char_t *anchor = NULL, *tag = NULL;
    if (event->type == YAML_ALIAS_EVENT)
        return fail_at(reader, line, "want plain settings, got a YAML alias (*name)");
    if (event->type == YAML_SCALAR_EVENT) {
        anchor = event->data.scalar.anchor;
        tag = event->data.scalar.tag;
    } else if (event->type == YAML_SEQUENCE_START_EVENT) {
        anchor = event->data.sequence_start.anchor;
        tag = event->data.sequence_start.tag;
    } else if (event->type == YAML_MAPPING_START_EVENT) {
        anchor = event->data.mapping_start.anchor;
        tag = event->data.mapping_start.tag;
    }
    if (anchor)
        return fail_at(reader, line, "want plain settings, got a YAML anchor (&name)");
    if (tag)
        return fail_at(reader, line, "want plain settings, got a YAML tag (!name)");
    if (++reader->n_nodes > LRC_YAML_NODES_MAX)
        return fail_at(reader, line, "want at most 20000 values, got more");
    return LRC_STATUS_OK;
}

static enum lrc_status read_node(struct reader *reader, struct lrc_node **node, const yaml_event_t *event,
                                 int depth);

static enum lrc_status read_children(struct reader *reader, struct lrc_node *parent, int depth)
{
    struct lrc_node **end = &parent->first;
    enum lrc_status   status = LRC_STATUS_OK;
    if (depth >= LRC_YAML_DEPTH_MAX)
        return fail_at(reader, (size_t)parent->line - 1,
                       "want settings nested at most 8 deep, got deeper ones");
    while (status == LRC_STATUS_OK) {
        yaml_event_t event;
        LRC_TRY(next_event(reader, &event));
        if (event.type == YAML_SEQUENCE_END_EVENT || event.type == YAML_MAPPING_END_EVENT) {
            yaml_event_delete(&event);
            break;
        }
        status = read_node(reader, end, &event, depth + 1);
        yaml_event_delete(&event);
        if (status == LRC_STATUS_OK) {
            end = &(*end)->next;
            parent->n++;
        }
    }
    if (parent->kind == LRC_NODE_MAP)
        parent->n /= 2;
    return status;
}

static enum lrc_status read_node(struct reader *reader, struct lrc_node **node, const yaml_event_t *event,
                                 int depth)
{
    LRC_TRY(check_plain(reader, event));
    struct lrc_node *made = lrc_pool_take(reader->pool, sizeof *made);
    if (!made)
        return lrc_fail_nomem(reader->err, "YAML value");
    made->line = (int)event->start_mark.line + 1;
    *node = made;
    if (event->type == YAML_SCALAR_EVENT) {
        const char *text = (const char *)event->data.scalar.value;
        made->kind = LRC_NODE_SCALAR;
        made->quoted = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
        if (strlen(text) != event->data.scalar.length)
            return fail_at(reader, event->start_mark.line, "want text, got a NUL character in it");
        made->text = lrc_pool_copy(reader->pool, text, event->data.scalar.length);
        return made->text ? LRC_STATUS_OK : lrc_fail_nomem(reader->err, "YAML value");
    }
    made->kind = event->type == YAML_SEQUENCE_START_EVENT ? LRC_NODE_LIST : LRC_NODE_MAP;
    return read_children(reader, made, depth);
}

/* Everything after the root: the end of its document and of the stream. */
static enum lrc_status read_end(struct reader *reader)
{
    for (;;) {
        yaml_event_t event;
        LRC_TRY(next_event(reader, &event));
        const yaml_event_type_t type = event.type;
        const size_t            line = event.start_mark.line;
        yaml_event_delete(&event);
        if (type == YAML_STREAM_END_EVENT)
            return LRC_STATUS_OK;
        if (type == YAML_DOCUMENT_START_EVENT)
            return fail_at(reader, line, "want one YAML document, got a second one");
    }
}

static enum lrc_status read_stream(struct reader *reader, struct lrc_node **root)
{
    for (;;) {
        yaml_event_t    event;
        enum lrc_status status = LRC_STATUS_OK;
        LRC_TRY(next_event(reader, &event));
        const yaml_event_type_t type = event.type;
        if (type != YAML_STREAM_START_EVENT && type != YAML_DOCUMENT_START_EVENT &&
            type != YAML_STREAM_END_EVENT)
            status = read_node(reader, root, &event, 0);
        yaml_event_delete(&event);
        if (status != LRC_STATUS_OK || type == YAML_STREAM_END_EVENT)
            return status;
        if (*root)
            return read_end(reader);
    }
}

enum lrc_status lrc_yaml_tree_read(struct lrc_node **root, int *line, struct lrc_pool *pool,
                                   const char *bytes, size_t n, struct lrc_error *err)
{
    const size_t  n_mark = n >= 3 && memcmp(bytes, "\xef\xbb\xbf", 3) == 0 ? 3 : 0; /* of Windows' editors */
    struct reader reader = {
        .pool = pool, .bytes = bytes + n_mark, .n_bytes = n - n_mark, .line = line, .err = err
    };
    *root = NULL;
    *line = 0;
    if (n > LRC_YAML_BYTES_MAX)
        return lrc_fail(err, LRC_STATUS_CONFIG, "want at most 1 MiB of YAML, got %zu bytes", n);
    if (!yaml_parser_initialize(&reader.parser))
        return lrc_fail_nomem(err, "YAML parser");
    yaml_parser_set_encoding(&reader.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&reader.parser, (const unsigned char *)reader.bytes, reader.n_bytes);
    const enum lrc_status status = read_stream(&reader, root);
    yaml_parser_delete(&reader.parser);
    return status;
}
