/* Statements. A template is a block of text, {{ expressions }} and {% statements %}. */
#include "base/alloc.h"
#include "template/render.h"
#include "template/text.h"
#include <stdio.h>
#include <string.h>

static enum lrc_status parse_block(struct lrc_parser *p, struct lrc_ast **out, const char *const *ends);

static void show_token(char out[64], const struct lrc_token *token)
{
    static const char *const names[] = { [LRC_TOKEN_DATA] = "text",
                                         [LRC_TOKEN_VARIABLE_BEGIN] = "'{{'",
                                         [LRC_TOKEN_BLOCK_BEGIN] = "'{%'",
                                         [LRC_TOKEN_END] = "the end of the template" };
    const int                n = (int)(token->n < 40 ? token->n : 40);
    switch (token->kind) {
    case LRC_TOKEN_DATA:
    case LRC_TOKEN_VARIABLE_BEGIN:
    case LRC_TOKEN_BLOCK_BEGIN:
    case LRC_TOKEN_END: (void)snprintf(out, 64, "%s", names[token->kind]); break;
    case LRC_TOKEN_STRING: (void)snprintf(out, 64, "the string '%.*s'", n, token->bytes); break;
    default: (void)snprintf(out, 64, "'%.*s'", n, token->bytes); break;
    }
}

enum lrc_status lrc_parser__fail(struct lrc_parser *p, const char *want)
{
    char got[64];
    show_token(got, p->token);
    return lrc_fail(p->err, LRC_STATUS_FORMAT, "%s:%d: want %s, got %s", p->template->name, p->token->line,
                    want, got);
}

enum lrc_status lrc_parser__enter(struct lrc_parser *p)
{
    if (++p->depth > LRC_PARSER_DEPTH_MAX)
        return lrc_fail(p->err, LRC_STATUS_FORMAT,
                        "%s:%d: want at most %d nested expressions and blocks, got more", p->template->name,
                        p->token->line, LRC_PARSER_DEPTH_MAX);
    return LRC_STATUS_OK;
}

enum lrc_status lrc_parser__node(struct lrc_parser *p, struct lrc_ast **out, enum lrc_ast_kind kind)
{
    *out = lrc_bump__take(&p->template->memory, sizeof **out);
    if (!*out)
        return lrc_fail_nomem(p->err, "template");
    **out = (struct lrc_ast){ .kind = kind, .line = p->token->line };
    return LRC_STATUS_OK;
}

enum lrc_status lrc_parser__add_item(struct lrc_parser *p, struct lrc_ast *node, struct lrc_ast *item)
{
    const int64_t n = node->n_items;
    if (n == 0 || (n >= 4 && (n & (n - 1)) == 0)) { /* full at 4, 8, 16 ... */
        struct lrc_ast **items =
            lrc_bump__take(&p->template->memory, (size_t)(n ? n * 2 : 4) * sizeof(void *));
        if (!items)
            return lrc_fail_nomem(p->err, "template");
        if (n > 0)
            memcpy(items, node->items, (size_t)n * sizeof *items);
        node->items = items;
    }
    node->items[node->n_items++] = item;
    return LRC_STATUS_OK;
}

static enum lrc_status intern_name(struct lrc_parser *p, int32_t *name, const char *bytes, size_t n)
{
    enum { NAMES_MAX = 10000 };
    struct lrc_template *t = p->template;
    for (int64_t i = 0; i < t->n_names; i++)
        if (t->names[i].n == n && memcmp(t->names[i].bytes, bytes, n) == 0) {
            *name = (int32_t)i;
            return LRC_STATUS_OK;
        }
    if (t->n_names == NAMES_MAX)
        return lrc_fail(p->err, LRC_STATUS_FORMAT, "%s:%d: want at most %d different names, got more",
                        t->name, p->token->line, NAMES_MAX);
    if (t->n_names == t->n_names_cap) {
        const int64_t      cap = t->n_names_cap ? t->n_names_cap * 2 : 64;
        struct lrc_string *names = lrc_realloc(t->names, cap, sizeof *names);
        if (!names)
            return lrc_fail_nomem(p->err, "template names");
        t->names = names;
        t->n_names_cap = cap;
    }
    *name = (int32_t)t->n_names;
    t->names[t->n_names++] = (struct lrc_string){ bytes, n, lrc_text__count(bytes, n) };
    return LRC_STATUS_OK;
}

int lrc_parser__is(const struct lrc_parser *p, enum lrc_token_kind kind, const char *text)
{
    return p->token->kind == kind &&
           (!text || (p->token->n == strlen(text) && memcmp(p->token->bytes, text, p->token->n) == 0));
}

int lrc_parser__skip(struct lrc_parser *p, enum lrc_token_kind kind, const char *text)
{
    if (!lrc_parser__is(p, kind, text))
        return 0;
    p->token++;
    return 1;
}

enum lrc_status lrc_parser__expect(struct lrc_parser *p, enum lrc_token_kind kind, const char *text,
                                   const char *want)
{
    return lrc_parser__skip(p, kind, text) ? LRC_STATUS_OK : lrc_parser__fail(p, want);
}

enum lrc_status lrc_parser__name(struct lrc_parser *p, int32_t *name, const char *want)
{
    if (p->token->kind != LRC_TOKEN_NAME)
        return lrc_parser__fail(p, want);
    LRC_TRY(intern_name(p, name, p->token->bytes, p->token->n));
    p->token++;
    return LRC_STATUS_OK;
}

static int skip_word(struct lrc_parser *p, const char *word)
{
    return lrc_parser__skip(p, LRC_TOKEN_NAME, word);
}

static enum lrc_status end_tag(struct lrc_parser *p)
{
    return lrc_parser__expect(p, LRC_TOKEN_BLOCK_END, NULL, "'%}'");
}

static enum lrc_status parse_target(struct lrc_parser *p, struct lrc_ast **out);

/* a, (b, c) or ns.a: what one value is bound to. */
static enum lrc_status parse_target_item(struct lrc_parser *p, struct lrc_ast **out)
{
    if (lrc_parser__skip(p, LRC_TOKEN_OPERATOR, "(")) {
        LRC_TRY(lrc_parser__enter(p));
        LRC_TRY(parse_target(p, out));
        p->depth--;
        return lrc_parser__expect(p, LRC_TOKEN_OPERATOR, ")", "')'");
    }
    LRC_TRY(lrc_parser__node(p, out, LRC_AST_NAME));
    LRC_TRY(lrc_parser__name(p, &(*out)->name, "a name to assign to"));
    if (!lrc_parser__skip(p, LRC_TOKEN_OPERATOR, "."))
        return LRC_STATUS_OK;
    struct lrc_ast *attribute;
    LRC_TRY(lrc_parser__node(p, &attribute, LRC_AST_ATTRIBUTE));
    attribute->a = *out;
    *out = attribute;
    return lrc_parser__name(p, &attribute->name, "an attribute's name");
}

static enum lrc_status parse_target(struct lrc_parser *p, struct lrc_ast **out)
{
    struct lrc_ast *item, *tuple;
    LRC_TRY(parse_target_item(p, out));
    if (!lrc_parser__is(p, LRC_TOKEN_OPERATOR, ","))
        return LRC_STATUS_OK;
    LRC_TRY(lrc_parser__node(p, &tuple, LRC_AST_TUPLE));
    LRC_TRY(lrc_parser__add_item(p, tuple, *out));
    while (lrc_parser__skip(p, LRC_TOKEN_OPERATOR, ",") &&
           (p->token->kind == LRC_TOKEN_NAME || lrc_parser__is(p, LRC_TOKEN_OPERATOR, "("))) {
        if (lrc_parser__is(p, LRC_TOKEN_NAME, "in"))
            break;
        LRC_TRY(parse_target_item(p, &item));
        LRC_TRY(lrc_parser__add_item(p, tuple, item));
    }
    *out = tuple;
    return LRC_STATUS_OK;
}

/* A block and the tag that ends it. */
static enum lrc_status parse_body(struct lrc_parser *p, struct lrc_ast **out, const char *end)
{
    const char *const ends[] = { end, NULL };
    LRC_TRY(parse_block(p, out, ends));
    p->token++;
    return end_tag(p);
}

static enum lrc_status parse_for(struct lrc_parser *p, struct lrc_ast *node)
{
    static const char *const ends[] = { "endfor", "else", NULL };
    node->kind = LRC_AST_FOR;
    LRC_TRY(parse_target(p, &node->a));
    LRC_TRY(lrc_parser__expect(p, LRC_TOKEN_NAME, "in", "'in'"));
    LRC_TRY(lrc_parser__tuple(p, &node->b, LRC_CONDITION_NO));
    if (skip_word(p, "if"))
        LRC_TRY(lrc_parser__expression(p, &node->c));
    node->op = skip_word(p, "recursive");
    LRC_TRY(end_tag(p));
    p->loop_depth++;
    LRC_TRY(parse_block(p, &node->body, ends));
    p->loop_depth--;
    if (skip_word(p, "else")) {
        LRC_TRY(end_tag(p));
        return parse_body(p, &node->orelse, "endfor");
    }
    p->token++;
    return end_tag(p);
}

static enum lrc_status parse_if(struct lrc_parser *p, struct lrc_ast *node)
{
    static const char *const ends[] = { "elif", "else", "endif", NULL }, *const last[] = { "endif", NULL };
    struct lrc_ast *branch;
    node->kind = LRC_AST_IF;
    for (int is_else = 0;;) {
        LRC_TRY(lrc_parser__node(p, &branch, LRC_AST_BRANCH));
        if (!is_else)
            LRC_TRY(lrc_parser__tuple(p, &branch->a, LRC_CONDITION_YES));
        LRC_TRY(end_tag(p));
        LRC_TRY(parse_block(p, &branch->body, is_else ? last : ends));
        LRC_TRY(lrc_parser__add_item(p, node, branch));
        if (skip_word(p, "endif"))
            return end_tag(p);
        is_else = lrc_parser__is(p, LRC_TOKEN_NAME, "else");
        p->token++;
    }
}

static enum lrc_status parse_captured(struct lrc_parser *p, struct lrc_ast **out)
{
    LRC_TRY(lrc_parser__node(p, out, LRC_AST_CAPTURED));
    return LRC_STATUS_OK;
}

static enum lrc_status parse_set(struct lrc_parser *p, struct lrc_ast *node)
{
    node->kind = LRC_AST_SET;
    LRC_TRY(parse_target(p, &node->a));
    if (lrc_parser__skip(p, LRC_TOKEN_OPERATOR, "=")) {
        LRC_TRY(lrc_parser__tuple(p, &node->b, LRC_CONDITION_YES));
        return end_tag(p);
    }
    node->kind = LRC_AST_SET_BLOCK;
    LRC_TRY(parse_captured(p, &node->b));
    while (lrc_parser__skip(p, LRC_TOKEN_OPERATOR, "|"))
        LRC_TRY(lrc_parser__filter(p, &node->b, node->b));
    LRC_TRY(end_tag(p));
    return parse_body(p, &node->body, "endset");
}

static enum lrc_status parse_filter_block(struct lrc_parser *p, struct lrc_ast *node)
{
    node->kind = LRC_AST_FILTER_BLOCK;
    LRC_TRY(parse_captured(p, &node->b));
    do
        LRC_TRY(lrc_parser__filter(p, &node->b, node->b));
    while (lrc_parser__skip(p, LRC_TOKEN_OPERATOR, "|"));
    LRC_TRY(end_tag(p));
    return parse_body(p, &node->body, "endfilter");
}

static enum lrc_status parse_with(struct lrc_parser *p, struct lrc_ast *node)
{
    struct lrc_ast *set;
    node->kind = LRC_AST_WITH;
    while (p->token->kind != LRC_TOKEN_BLOCK_END) {
        if (node->n_items > 0)
            LRC_TRY(lrc_parser__expect(p, LRC_TOKEN_OPERATOR, ",", "',' or '%}'"));
        LRC_TRY(lrc_parser__node(p, &set, LRC_AST_SET));
        LRC_TRY(parse_target_item(p, &set->a));
        LRC_TRY(lrc_parser__expect(p, LRC_TOKEN_OPERATOR, "=", "'='"));
        LRC_TRY(lrc_parser__expression(p, &set->b));
        LRC_TRY(lrc_parser__add_item(p, node, set));
    }
    LRC_TRY(end_tag(p));
    return parse_body(p, &node->body, "endwith");
}

/* "(a, b=1)" of a macro or a call block. */
static enum lrc_status parse_parameters(struct lrc_parser *p, struct lrc_ast *node)
{
    struct lrc_ast *parameter;
    int             has_default = 0;
    LRC_TRY(lrc_parser__expect(p, LRC_TOKEN_OPERATOR, "(", "'('"));
    while (!lrc_parser__skip(p, LRC_TOKEN_OPERATOR, ")")) {
        if (node->n_items > 0)
            LRC_TRY(lrc_parser__expect(p, LRC_TOKEN_OPERATOR, ",", "',' or ')'"));
        if (lrc_parser__skip(p, LRC_TOKEN_OPERATOR, ")"))
            break;
        LRC_TRY(lrc_parser__node(p, &parameter, LRC_AST_PARAMETER));
        LRC_TRY(lrc_parser__name(p, &parameter->name, "a parameter's name"));
        if (lrc_parser__skip(p, LRC_TOKEN_OPERATOR, "="))
            LRC_TRY(lrc_parser__expression(p, &parameter->a));
        else if (has_default)
            return lrc_parser__fail(p, "a default, as the parameter before has one");
        has_default = parameter->a != NULL;
        LRC_TRY(lrc_parser__add_item(p, node, parameter));
    }
    return LRC_STATUS_OK;
}

/* A body that runs later, elsewhere: loops outside cannot be left from it. */
static enum lrc_status parse_macro_body(struct lrc_parser *p, struct lrc_ast *node, const char *end)
{
    const int loop_depth = p->loop_depth, uses = p->macro_uses;
    p->loop_depth = 0;
    p->macro_uses = 0;
    LRC_TRY(parse_body(p, &node->body, end));
    node->op = p->macro_uses;
    p->loop_depth = loop_depth;
    p->macro_uses = uses;
    return LRC_STATUS_OK;
}

static enum lrc_status parse_macro(struct lrc_parser *p, struct lrc_ast *node)
{
    node->kind = LRC_AST_MACRO;
    LRC_TRY(lrc_parser__name(p, &node->name, "the macro's name"));
    LRC_TRY(parse_parameters(p, node));
    LRC_TRY(end_tag(p));
    return parse_macro_body(p, node, "endmacro");
}

static enum lrc_status parse_call_block(struct lrc_parser *p, struct lrc_ast *node)
{
    node->kind = LRC_AST_CALL_BLOCK;
    node->name = LRC_NAME_CALLER;
    if (lrc_parser__is(p, LRC_TOKEN_OPERATOR, "("))
        LRC_TRY(parse_parameters(p, node));
    LRC_TRY(lrc_parser__expression(p, &node->a));
    if (node->a->kind != LRC_AST_CALL)
        return lrc_parser__fail(p, "a call of a macro");
    LRC_TRY(end_tag(p));
    return parse_macro_body(p, node, "endcall");
}

static enum lrc_status parse_generation(struct lrc_parser *p, struct lrc_ast *node)
{
    node->kind = LRC_AST_GENERATION;
    LRC_TRY(end_tag(p));
    const int loop_depth = p->loop_depth;
    p->loop_depth = 0;
    LRC_TRY(parse_body(p, &node->body, "endgeneration"));
    p->loop_depth = loop_depth;
    return LRC_STATUS_OK;
}

static enum lrc_status parse_jump(struct lrc_parser *p, struct lrc_ast *node)
{
    node->kind = p->token[-1].n == strlen("break") ? LRC_AST_BREAK : LRC_AST_CONTINUE;
    if (p->loop_depth == 0)
        return lrc_fail(p->err, LRC_STATUS_FORMAT, "%s:%d: want '%s' inside a loop, got it outside",
                        p->template->name, node->line, node->kind == LRC_AST_BREAK ? "break" : "continue");
    return end_tag(p);
}

static enum lrc_status parse_print(struct lrc_parser *p, struct lrc_ast *node)
{
    node->kind = LRC_AST_OUTPUT;
    LRC_TRY(lrc_parser__tuple(p, &node->a, LRC_CONDITION_YES));
    return end_tag(p);
}

static const struct {
    const char *word;
    enum lrc_status (*parse)(struct lrc_parser *p, struct lrc_ast *node);
} statements[] = { { "for", parse_for },         { "if", parse_if },
                   { "set", parse_set },         { "macro", parse_macro },
                   { "call", parse_call_block }, { "filter", parse_filter_block },
                   { "with", parse_with },       { "generation", parse_generation },
                   { "break", parse_jump },      { "continue", parse_jump },
                   { "print", parse_print } };

/* Words of jinja2 that mean something there, and endings: the sentence differs. */
static int is_known_word(const struct lrc_token *token)
{
    static const char *const words[] = { "block",      "extends", "include", "import", "from",
                                         "autoescape", "do",      "trans",   "debug" };
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (token->n == strlen(words[i]) && memcmp(token->bytes, words[i], token->n) == 0)
            return 1;
    return 0;
}

static enum lrc_status parse_statement(struct lrc_parser *p, struct lrc_ast **out)
{
    for (size_t i = 0; i < sizeof statements / sizeof statements[0]; i++)
        if (lrc_parser__is(p, LRC_TOKEN_NAME, statements[i].word)) {
            LRC_TRY(lrc_parser__node(p, out, LRC_AST_BLOCK));
            p->token++;
            return statements[i].parse(p, *out);
        }
    if (p->token->kind == LRC_TOKEN_NAME && is_known_word(p->token))
        return lrc_fail(p->err, LRC_STATUS_UNSUPPORTED, "%s:%d: want a statement we have, got '%.*s'",
                        p->template->name, p->token->line, (int)p->token->n, p->token->bytes);
    return lrc_parser__fail(p, "a statement (for, if, set, macro ...)");
}

static int is_end(const struct lrc_parser *p, const char *const *ends)
{
    for (; ends && *ends; ends++)
        if (lrc_parser__is(p, LRC_TOKEN_NAME, *ends))
            return 1;
    return 0;
}

static enum lrc_status parse_data(struct lrc_parser *p, struct lrc_ast **out)
{
    struct lrc_string *string = lrc_bump__take(&p->template->memory, sizeof *string);
    if (!string)
        return lrc_fail_nomem(p->err, "template");
    LRC_TRY(lrc_parser__node(p, out, LRC_AST_DATA));
    *string = (struct lrc_string){ p->token->bytes, p->token->n, 0 };
    (*out)->constant = (struct lrc_value){ .kind = LRC_VALUE_STRING, .string = string };
    p->token++;
    return LRC_STATUS_OK;
}

static enum lrc_status missing_end(struct lrc_parser *p, const char *const *ends, int line)
{
    while (strncmp(*ends, "end", 3) != 0)
        ends++;
    return lrc_fail(p->err, LRC_STATUS_FORMAT,
                    "%s:%d: want {%% %s %%} for the block of line %d, got the end of the template",
                    p->template->name, p->token->line, *ends, line);
}

/* Up to {% and one of ends (then the current token), or to the end of the template when ends is NULL. */
static enum lrc_status parse_block(struct lrc_parser *p, struct lrc_ast **out, const char *const *ends)
{
    struct lrc_ast *item = NULL;
    const int       line = ends ? p->token[-1].line : 1; /* of the tag before */
    LRC_TRY(lrc_parser__enter(p));
    LRC_TRY(lrc_parser__node(p, out, LRC_AST_BLOCK));
    for (;;) {
        switch (p->token->kind) {
        case LRC_TOKEN_DATA: LRC_TRY(parse_data(p, &item)); break;
        case LRC_TOKEN_VARIABLE_BEGIN:
            p->token++;
            LRC_TRY(lrc_parser__node(p, &item, LRC_AST_OUTPUT));
            LRC_TRY(lrc_parser__tuple(p, &item->a, LRC_CONDITION_YES));
            LRC_TRY(lrc_parser__expect(p, LRC_TOKEN_VARIABLE_END, NULL, "'}}'"));
            break;
        case LRC_TOKEN_BLOCK_BEGIN:
            p->token++;
            if (is_end(p, ends)) {
                p->depth--;
                return LRC_STATUS_OK;
            }
            LRC_TRY(parse_statement(p, &item));
            break;
        default:
            if (ends)
                return missing_end(p, ends, line);
            p->depth--;
            return LRC_STATUS_OK;
        }
        LRC_TRY(lrc_parser__add_item(p, *out, item));
    }
}

enum lrc_status lrc_template__build(struct lrc_template *t, size_t n, struct lrc_error *err)
{
    static const char *const fixed[LRC_NAME_FIXED_COUNT] = { [LRC_NAME_LOOP] = "loop",
                                                             [LRC_NAME_CALLER] = "caller",
                                                             [LRC_NAME_VARARGS] = "varargs",
                                                             [LRC_NAME_KWARGS] = "kwargs" };
    struct lrc_tokens        tokens = { 0 };
    struct lrc_parser        parser = { .template = t, .err = err };
    int32_t                  name;

    enum lrc_status status = lrc_tokens__read(&tokens, &t->memory, t->source, n, t->name, err);
    if (status != LRC_STATUS_OK)
        goto done;
    parser.token = tokens.items;
    for (int i = 0; i < LRC_NAME_FIXED_COUNT && status == LRC_STATUS_OK; i++)
        status = intern_name(&parser, &name, fixed[i], strlen(fixed[i]));
    if (status == LRC_STATUS_OK)
        status = parse_block(&parser, &t->root, NULL);
done:
    lrc_free(tokens.items);
    return status;
}
