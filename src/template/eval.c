/* Statements, run. Scopes as in jinja2: a loop's body, a macro, a captured block and a generation block have
 * their own names; an if has not. */
#include "template/render.h"

#include <string.h>

static enum lrc_status assign(struct lrc_render *r, const struct lrc_ast *target, struct lrc_value value)
{
    struct lrc_value object;
    struct lrc_list  items;
    if (target->kind == LRC_AST_NAME)
        return lrc_scope__set(r, target->name, value);
    if (target->kind == LRC_AST_ATTRIBUTE) {
        LRC_TRY(lrc_scope__get(r, &object, target->a->name));
        if (object.kind != LRC_VALUE_NAMESPACE)
            return lrc_render__fail(r, LRC_STATUS_DATA, "want a namespace() to set '%s' of, got %s",
                                    r->template->names[target->name].bytes, lrc_value__type_name(object));
        return lrc_dict__set(
            r, object.dict,
            (struct lrc_value){ .kind = LRC_VALUE_STRING, .string = &r->template->names[target->name] },
            value);
    }
    LRC_TRY(lrc_value__iterate(r, &items, value));
    if (items.n != target->n_items)
        return lrc_render__fail(r, LRC_STATUS_DATA, "want %lld values to unpack, got %lld",
                                (long long)target->n_items, (long long)items.n);
    for (int64_t i = 0; i < items.n; i++)
        LRC_TRY(assign(r, target->items[i], items.items[i]));
    return LRC_STATUS_OK;
}

/* The text a body writes, as a value. */
static enum lrc_status capture(struct lrc_render *r, struct lrc_value *out, const struct lrc_ast *body)
{
    struct lrc_builder        builder = { .r = r };
    struct lrc_builder *const outer = r->capture;
    struct lrc_scope *const   scope = r->scope;
    LRC_TRY(lrc_scope__push(r, scope));
    r->capture = &builder;
    const enum lrc_status status = lrc_eval__block(r, body);
    r->capture = outer; /* also after a failure: builder ends here */
    r->scope = scope;
    LRC_TRY(status);
    return lrc_builder__finish(&builder, out);
}

static enum lrc_status run_data(struct lrc_render *r, const struct lrc_ast *node)
{
    return lrc_render__write(r, node->constant.string->bytes, node->constant.string->n);
}

/* {{ macro(...) }} writes where the macro is called, so that generation spans inside it keep their place. */
static enum lrc_status run_output(struct lrc_render *r, const struct lrc_ast *node)
{
    struct lrc_value         value;
    struct lrc_args          args;
    const struct lrc_string *string;
    if (node->a->kind == LRC_AST_CALL && node->a->a->kind == LRC_AST_NAME) {
        LRC_TRY(lrc_scope__get(r, &value, node->a->a->name));
        if (value.kind == LRC_VALUE_MACRO) {
            LRC_TRY(lrc_eval__arguments(r, &args, node->a->b));
            return lrc_eval__macro(r, value.macro, &args, (struct lrc_value){ .kind = LRC_VALUE_ABSENT });
        }
    }
    LRC_TRY(lrc_eval__expression(r, &value, node->a));
    LRC_TRY(lrc_value__to_string(r, &string, value));
    return lrc_render__write(r, string->bytes, string->n);
}

/* `for x in xs if condition`: the items that pass, each tried in a scope of its own. */
static enum lrc_status keep_matching(struct lrc_render *r, struct lrc_list *items, const struct lrc_ast *node)
{
    struct lrc_list         kept = { 0 };
    struct lrc_scope *const scope = r->scope;
    struct lrc_value        condition;
    for (int64_t i = 0; i < items->n; i++) {
        LRC_TRY(lrc_scope__push(r, scope));
        LRC_TRY(assign(r, node->a, items->items[i]));
        LRC_TRY(lrc_eval__expression(r, &condition, node->c));
        if (lrc_value__is_true(condition))
            LRC_TRY(lrc_list__append(r, &kept, items->items[i]));
    }
    r->scope = scope;
    *items = kept;
    return LRC_STATUS_OK;
}

static enum lrc_status run_loop(struct lrc_render *r, struct lrc_loop *loop)
{
    const struct lrc_ast *node = loop->node;
    if (node->c)
        LRC_TRY(keep_matching(r, &loop->items, node));
    for (; loop->index < loop->items.n && r->flow != LRC_FLOW_BREAK; loop->index++) {
        LRC_TRY(lrc_scope__push(r, loop->scope));
        LRC_TRY(lrc_scope__set(r, LRC_NAME_LOOP, (struct lrc_value){ .kind = LRC_VALUE_LOOP, .loop = loop }));
        LRC_TRY(assign(r, node->a, loop->items.items[loop->index]));
        LRC_TRY(lrc_eval__block(r, node->body));
        if (r->flow == LRC_FLOW_CONTINUE)
            r->flow = LRC_FLOW_ON;
    }
    r->flow = LRC_FLOW_ON;
    if (loop->items.n == 0 && node->orelse) {
        LRC_TRY(lrc_scope__push(r, loop->scope));
        LRC_TRY(lrc_eval__block(r, node->orelse));
    }
    return LRC_STATUS_OK;
}

static enum lrc_status run_for(struct lrc_render *r, const struct lrc_ast *node)
{
    struct lrc_scope *const scope = r->scope;
    struct lrc_loop        *loop;
    struct lrc_value        iterable;
    LRC_TRY(lrc_eval__expression(r, &iterable, node->b));
    LRC_TRY(lrc_render__take(r, &loop, 1, sizeof *loop));
    *loop = (struct lrc_loop){ .node = node, .scope = scope };
    LRC_TRY(lrc_value__iterate(r, &loop->items, iterable));
    LRC_TRY(run_loop(r, loop));
    r->scope = scope;
    return LRC_STATUS_OK;
}

enum lrc_status lrc_eval__recurse(struct lrc_render *r, const struct lrc_loop *loop,
                                  const struct lrc_args *args)
{
    struct lrc_scope *const scope = r->scope;
    struct lrc_loop        *inner;
    const int               line = r->line;
    if (!loop->node->op || args->n != 1)
        return lrc_render__fail(r, LRC_STATUS_DATA,
                                "want a recursive loop to call, with one argument, got another");
    LRC_TRY(lrc_render__enter(r));
    LRC_TRY(lrc_render__take(r, &inner, 1, sizeof *inner));
    *inner = (struct lrc_loop){ .node = loop->node, .scope = loop->scope, .depth = loop->depth + 1 };
    LRC_TRY(lrc_value__iterate(r, &inner->items, args->values[0]));
    r->scope = loop->scope;
    LRC_TRY(run_loop(r, inner));
    r->depth--;
    r->scope = scope;
    r->line = line;
    return LRC_STATUS_OK;
}

static enum lrc_status run_if(struct lrc_render *r, const struct lrc_ast *node)
{
    for (int64_t i = 0; i < node->n_items; i++) {
        const struct lrc_ast *branch = node->items[i];
        struct lrc_value      condition = lrc_value__bool(1);
        if (branch->a)
            LRC_TRY(lrc_eval__expression(r, &condition, branch->a));
        if (lrc_value__is_true(condition))
            return lrc_eval__block(r, branch->body);
    }
    return LRC_STATUS_OK;
}

static enum lrc_status run_set(struct lrc_render *r, const struct lrc_ast *node)
{
    struct lrc_value value;
    LRC_TRY(lrc_eval__expression(r, &value, node->b));
    return assign(r, node->a, value);
}

static enum lrc_status filtered_capture(struct lrc_render *r, struct lrc_value *out,
                                        const struct lrc_ast *node)
{
    LRC_TRY(capture(r, &r->captured, node->body));
    return lrc_eval__expression(r, out, node->b);
}

static enum lrc_status run_set_block(struct lrc_render *r, const struct lrc_ast *node)
{
    struct lrc_value value;
    LRC_TRY(filtered_capture(r, &value, node));
    return assign(r, node->a, value);
}

static enum lrc_status run_filter_block(struct lrc_render *r, const struct lrc_ast *node)
{
    struct lrc_value         value;
    const struct lrc_string *string;
    LRC_TRY(filtered_capture(r, &value, node));
    LRC_TRY(lrc_value__to_string(r, &string, value));
    return lrc_render__write(r, string->bytes, string->n);
}

static enum lrc_status run_with(struct lrc_render *r, const struct lrc_ast *node)
{
    struct lrc_scope *const outer = r->scope;
    LRC_TRY(lrc_scope__push(r, outer));
    struct lrc_scope *const inner = r->scope;
    for (int64_t i = 0; i < node->n_items; i++) {
        struct lrc_value value;
        r->scope = outer; /* values are computed outside */
        LRC_TRY(lrc_eval__expression(r, &value, node->items[i]->b));
        r->scope = inner;
        LRC_TRY(assign(r, node->items[i]->a, value));
    }
    LRC_TRY(lrc_eval__block(r, node->body));
    r->scope = outer;
    return LRC_STATUS_OK;
}

static enum lrc_status new_macro(struct lrc_render *r, struct lrc_value *out, const struct lrc_ast *node)
{
    struct lrc_macro *macro;
    LRC_TRY(lrc_render__take(r, &macro, 1, sizeof *macro));
    *macro = (struct lrc_macro){ node, r->scope };
    *out = (struct lrc_value){ .kind = LRC_VALUE_MACRO, .macro = macro };
    return LRC_STATUS_OK;
}

static enum lrc_status run_macro(struct lrc_render *r, const struct lrc_ast *node)
{
    struct lrc_value macro;
    LRC_TRY(new_macro(r, &macro, node));
    return lrc_scope__set(r, node->name, macro);
}

static enum lrc_status run_call_block(struct lrc_render *r, const struct lrc_ast *node)
{
    struct lrc_value callee, caller;
    struct lrc_args  args;
    LRC_TRY(lrc_eval__expression(r, &callee, node->a->a));
    LRC_TRY(lrc_eval__arguments(r, &args, node->a->b));
    LRC_TRY(new_macro(r, &caller, node));
    if (callee.kind != LRC_VALUE_MACRO)
        return lrc_render__fail(r, LRC_STATUS_DATA, "want a macro to call, got %s",
                                lrc_value__type_name(callee));
    return lrc_eval__macro(r, callee.macro, &args, caller);
}

static enum lrc_status run_generation(struct lrc_render *r, const struct lrc_ast *node)
{
    struct lrc_scope *const scope = r->scope;
    if (r->generation && r->capture)
        return lrc_render__fail(
            r, LRC_STATUS_DATA,
            "want a generation block whose text is written where it stands, got one in a captured text");
    int64_t span[2] = { (int64_t)(r->text->len - r->text_begin), 0 };
    LRC_TRY(lrc_scope__push(r, scope));
    LRC_TRY(lrc_eval__block(r, node->body));
    r->scope = scope;
    if (!r->generation)
        return LRC_STATUS_OK;
    span[1] = (int64_t)(r->text->len - r->text_begin);
    lrc_buf_append(r->generation, span, sizeof span);
    return lrc_buf_check(r->generation, r->err);
}

static enum lrc_status run_break(struct lrc_render *r, const struct lrc_ast *node)
{
    (void)node;
    r->flow = LRC_FLOW_BREAK;
    return LRC_STATUS_OK;
}

static enum lrc_status run_continue(struct lrc_render *r, const struct lrc_ast *node)
{
    (void)node;
    r->flow = LRC_FLOW_CONTINUE;
    return LRC_STATUS_OK;
}

static enum lrc_status run_block(struct lrc_render *r, const struct lrc_ast *node)
{
    return lrc_eval__block(r, node);
}

typedef enum lrc_status statement_run(struct lrc_render *r, const struct lrc_ast *node);

static statement_run *const statements[LRC_AST_KIND_COUNT] = {
    [LRC_AST_BLOCK] = run_block,
    [LRC_AST_DATA] = run_data,
    [LRC_AST_OUTPUT] = run_output,
    [LRC_AST_FOR] = run_for,
    [LRC_AST_IF] = run_if,
    [LRC_AST_SET] = run_set,
    [LRC_AST_SET_BLOCK] = run_set_block,
    [LRC_AST_WITH] = run_with,
    [LRC_AST_MACRO] = run_macro,
    [LRC_AST_CALL_BLOCK] = run_call_block,
    [LRC_AST_GENERATION] = run_generation,
    [LRC_AST_FILTER_BLOCK] = run_filter_block,
    [LRC_AST_BREAK] = run_break,
    [LRC_AST_CONTINUE] = run_continue,
};

enum lrc_status lrc_eval__block(struct lrc_render *r, const struct lrc_ast *node)
{
    LRC_TRY(lrc_render__enter(r));
    for (int64_t i = 0; i < node->n_items && r->flow == LRC_FLOW_ON; i++) {
        r->line = node->items[i]->line;
        LRC_TRY(lrc_render__charge(r, 1));
        LRC_TRY(statements[node->items[i]->kind](r, node->items[i]));
    }
    r->depth--;
    return LRC_STATUS_OK;
}

static enum lrc_status bind_rest(struct lrc_render *r, const struct lrc_ast *node,
                                 const struct lrc_args *args)
{
    struct lrc_value rest, named;
    if (node->op & LRC_MACRO_USES_VARARGS) {
        LRC_TRY(lrc_list__new(r, &rest, LRC_VALUE_TUPLE));
        for (int64_t i = node->n_items; i < args->n; i++)
            LRC_TRY(lrc_list__append(r, rest.list, args->values[i]));
        LRC_TRY(lrc_scope__set(r, LRC_NAME_VARARGS, rest));
    } else if (args->n > node->n_items) {
        return lrc_render__fail(r, LRC_STATUS_DATA, "want at most %lld arguments of the macro, got %lld",
                                (long long)node->n_items, (long long)args->n);
    }
    LRC_TRY(lrc_dict__new(r, &named));
    for (int64_t i = 0; args->named && i < args->named->n; i++) {
        const struct lrc_dict_entry *entry = &args->named->entries[i];
        int                          is_parameter = 0;
        for (int64_t k = 0; k < node->n_items && !is_parameter; k++) {
            const struct lrc_string *name = &r->template->names[node->items[k]->name];
            is_parameter = entry->key.kind == LRC_VALUE_STRING && name->n == entry->key.string->n &&
                           memcmp(name->bytes, entry->key.string->bytes, name->n) == 0;
        }
        if (!is_parameter && !(node->op & LRC_MACRO_USES_KWARGS))
            return lrc_render__fail(r, LRC_STATUS_DATA,
                                    "want arguments the macro has, got a keyword it does not take");
        if (!is_parameter)
            LRC_TRY(lrc_dict__set(r, named.dict, entry->key, entry->value));
    }
    return node->op & LRC_MACRO_USES_KWARGS ? lrc_scope__set(r, LRC_NAME_KWARGS, named) : LRC_STATUS_OK;
}

static enum lrc_status bind_parameters(struct lrc_render *r, const struct lrc_ast *node,
                                       const struct lrc_args *args)
{
    for (int64_t i = 0; i < node->n_items; i++) {
        const struct lrc_ast    *parameter = node->items[i];
        const struct lrc_string *name = &r->template->names[parameter->name];
        struct lrc_dict_entry   *entry = NULL;
        struct lrc_value         value = lrc_value__undefined(name);
        if (args->named)
            LRC_TRY(lrc_dict__find(r, &entry, args->named,
                                   (struct lrc_value){ .kind = LRC_VALUE_STRING, .string = name }));
        if (entry && i < args->n)
            return lrc_render__fail(r, LRC_STATUS_DATA,
                                    "want one value for each argument of the macro, got two");
        if (i < args->n)
            value = args->values[i];
        else if (entry)
            value = entry->value;
        else if (parameter->a)
            LRC_TRY(lrc_eval__expression(r, &value, parameter->a));
        LRC_TRY(lrc_scope__set(r, parameter->name, value));
    }
    return bind_rest(r, node, args);
}

enum lrc_status lrc_eval__macro(struct lrc_render *r, const struct lrc_macro *macro,
                                const struct lrc_args *args, struct lrc_value caller)
{
    struct lrc_scope *const scope = r->scope;
    const int               line = r->line;
    LRC_TRY(lrc_render__enter(r));
    LRC_TRY(lrc_scope__push(r, macro->closure));
    if (caller.kind != LRC_VALUE_ABSENT)
        LRC_TRY(lrc_scope__set(r, LRC_NAME_CALLER, caller));
    LRC_TRY(bind_parameters(r, macro->node, args));
    LRC_TRY(lrc_eval__block(r, macro->node->body));
    r->depth--;
    r->scope = scope;
    r->line = line;
    return LRC_STATUS_OK;
}
