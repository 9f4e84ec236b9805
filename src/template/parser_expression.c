/* Expressions by recursive descent, one function per level of precedence, loosest first:
 *
 *   tuple  a if b else c  or  and  not  == in < ...  + -  ~  * / // %  **  unary - +  | filter, is test,
 * .name [item] (call) */
#include "template/ast.h"

#include "base/alloc.h"
#include "template/render.h"
#include "template/text.h"
#include <string.h>

static enum lrc_status parse_or(struct lrc_parser *p, struct lrc_ast **out);

static int is_op(const struct lrc_parser *p, const char *op)
{
    return lrc_parser__is(p, LRC_TOKEN_OPERATOR, op);
}

static int skip_op(struct lrc_parser *p, const char *op)
{
    return lrc_parser__skip(p, LRC_TOKEN_OPERATOR, op);
}

static int is_word(const struct lrc_parser *p, const char *word)
{
    return lrc_parser__is(p, LRC_TOKEN_NAME, word);
}

static int skip_word(struct lrc_parser *p, const char *word)
{
    return lrc_parser__skip(p, LRC_TOKEN_NAME, word);
}

static enum lrc_status constant(struct lrc_parser *p, struct lrc_ast **out, struct lrc_value value)
{
    LRC_TRY(lrc_parser__node(p, out, LRC_AST_CONST));
    (*out)->constant = value;
    return LRC_STATUS_OK;
}

enum lrc_status lrc_parser__expression(struct lrc_parser *p, struct lrc_ast **out)
{
    LRC_TRY(lrc_parser__enter(p));
    LRC_TRY(parse_or(p, out));
    while (is_word(p, "if")) {
        struct lrc_ast *node;
        LRC_TRY(lrc_parser__node(p, &node, LRC_AST_CONDITION));
        p->token++;
        node->b = *out;
        LRC_TRY(parse_or(p, &node->a));
        if (skip_word(p, "else"))
            LRC_TRY(lrc_parser__expression(p, &node->c));
        *out = node;
    }
    p->depth--;
    return LRC_STATUS_OK;
}

static int ends_tuple(const struct lrc_parser *p)
{
    return p->token->kind == LRC_TOKEN_VARIABLE_END || p->token->kind == LRC_TOKEN_BLOCK_END ||
           is_op(p, ")") || is_op(p, "]") || is_op(p, "=") || is_op(p, "}") || is_op(p, ":") ||
           is_word(p, "in");
}

enum lrc_status lrc_parser__tuple(struct lrc_parser *p, struct lrc_ast **out, enum lrc_condition condition)
{
    struct lrc_ast *tuple = NULL, *item;
    do {
        if (tuple && ends_tuple(p))
            break;
        LRC_TRY(condition == LRC_CONDITION_YES ? lrc_parser__expression(p, &item) : parse_or(p, &item));
        if (!tuple && !is_op(p, ",")) {
            *out = item;
            return LRC_STATUS_OK;
        }
        if (!tuple)
            LRC_TRY(lrc_parser__node(p, &tuple, LRC_AST_TUPLE));
        LRC_TRY(lrc_parser__add_item(p, tuple, item));
    } while (skip_op(p, ","));
    *out = tuple;
    return LRC_STATUS_OK;
}

static enum lrc_status parse_pair(struct lrc_parser *p, struct lrc_ast **out, enum lrc_ast_kind kind,
                                  struct lrc_ast *a,
                                  enum lrc_status (*parse)(struct lrc_parser *, struct lrc_ast **))
{
    LRC_TRY(lrc_parser__node(p, out, kind));
    p->token++;
    (*out)->a = a;
    return parse(p, &(*out)->b);
}

static enum lrc_status parse_math1(struct lrc_parser *p, struct lrc_ast **out);

static enum lrc_status parse_compare(struct lrc_parser *p, struct lrc_ast **out)
{
    static const struct {
        const char *text;
        int op;
    } operators[] = {{"==", LRC_OPERATOR_EQ}, {"!=", LRC_OPERATOR_NE}, {"<", LRC_OPERATOR_LT},
                     {"<=", LRC_OPERATOR_LE}, {">", LRC_OPERATOR_GT},  {">=", LRC_OPERATOR_GE}};
    LRC_TRY(parse_math1(p, out));
    struct lrc_ast *compare = NULL, *operand;
    for (;;) {
        int op = -1;
        for (size_t i = 0; i < sizeof operators / sizeof operators[0]; i++)
            if (is_op(p, operators[i].text))
                op = operators[i].op;
        if (is_word(p, "in"))
            op = LRC_OPERATOR_IN;
        if (is_word(p, "not") && p->token[1].kind == LRC_TOKEN_NAME && p->token[1].n == 2 &&
            !memcmp(p->token[1].bytes, "in", 2)) {
            op = LRC_OPERATOR_NOT_IN;
            p->token++;
        }
        if (op < 0)
            return LRC_STATUS_OK;
        if (!compare) {
            LRC_TRY(lrc_parser__node(p, &compare, LRC_AST_COMPARE));
            compare->a = *out;
            *out = compare;
        }
        LRC_TRY(lrc_parser__node(p, &operand, LRC_AST_OPERAND));
        operand->op = op;
        p->token++;
        LRC_TRY(parse_math1(p, &operand->a));
        LRC_TRY(lrc_parser__add_item(p, compare, operand));
    }
}

static enum lrc_status parse_not(struct lrc_parser *p, struct lrc_ast **out)
{
    if (!is_word(p, "not"))
        return parse_compare(p, out);
    LRC_TRY(lrc_parser__enter(p));
    LRC_TRY(lrc_parser__node(p, out, LRC_AST_NOT));
    p->token++;
    LRC_TRY(parse_not(p, &(*out)->a));
    p->depth--;
    return LRC_STATUS_OK;
}

static enum lrc_status parse_and(struct lrc_parser *p, struct lrc_ast **out)
{
    LRC_TRY(parse_not(p, out));
    while (is_word(p, "and"))
        LRC_TRY(parse_pair(p, out, LRC_AST_AND, *out, parse_not));
    return LRC_STATUS_OK;
}

static enum lrc_status parse_or(struct lrc_parser *p, struct lrc_ast **out)
{
    LRC_TRY(parse_and(p, out));
    while (is_word(p, "or"))
        LRC_TRY(parse_pair(p, out, LRC_AST_OR, *out, parse_and));
    return LRC_STATUS_OK;
}

/* A left-associative level: operand (op operand)*. ops: texts and their operators, in step. */
static enum lrc_status parse_level(struct lrc_parser *p, struct lrc_ast **out, const char *const *texts,
                                   const int *ops,
                                   enum lrc_status (*parse)(struct lrc_parser *, struct lrc_ast **))
{
    LRC_TRY(parse(p, out));
    for (;;) {
        int i = 0;
        while (texts[i] && !is_op(p, texts[i]))
            i++;
        if (!texts[i])
            return LRC_STATUS_OK;
        LRC_TRY(parse_pair(p, out, LRC_AST_BINARY, *out, parse));
        (*out)->op = ops[i];
    }
}

static enum lrc_status parse_power(struct lrc_parser *p, struct lrc_ast **out)
{
    static const char *const texts[] = {"**", NULL};
    static const int ops[] = {LRC_OPERATOR_POWER};
    return parse_level(p, out, texts, ops, lrc_parser__unary);
}

static enum lrc_status parse_math2(struct lrc_parser *p, struct lrc_ast **out)
{
    static const char *const texts[] = {"*", "/", "//", "%", NULL};
    static const int ops[] = {LRC_OPERATOR_MULTIPLY, LRC_OPERATOR_DIVIDE, LRC_OPERATOR_FLOOR_DIVIDE,
                              LRC_OPERATOR_MODULO};
    return parse_level(p, out, texts, ops, parse_power);
}

static enum lrc_status parse_concat(struct lrc_parser *p, struct lrc_ast **out)
{
    struct lrc_ast *concat, *item;
    LRC_TRY(parse_math2(p, out));
    if (!is_op(p, "~"))
        return LRC_STATUS_OK;
    LRC_TRY(lrc_parser__node(p, &concat, LRC_AST_CONCAT));
    LRC_TRY(lrc_parser__add_item(p, concat, *out));
    while (skip_op(p, "~")) {
        LRC_TRY(parse_math2(p, &item));
        LRC_TRY(lrc_parser__add_item(p, concat, item));
    }
    *out = concat;
    return LRC_STATUS_OK;
}

static enum lrc_status parse_math1(struct lrc_parser *p, struct lrc_ast **out)
{
    static const char *const texts[] = {"+", "-", NULL};
    static const int ops[] = {LRC_OPERATOR_ADD, LRC_OPERATOR_SUBTRACT};
    return parse_level(p, out, texts, ops, parse_concat);
}

/* The list behind "(", which is the current token. */
static enum lrc_status parse_arguments(struct lrc_parser *p, struct lrc_ast **out)
{
    LRC_TRY(lrc_parser__node(p, out, LRC_AST_ARGUMENTS));
    LRC_TRY(lrc_parser__expect(p, LRC_TOKEN_OPERATOR, "(", "'('"));
    int named = 0;
    while (!skip_op(p, ")")) {
        struct lrc_ast *argument;
        if ((*out)->n_items > 0)
            LRC_TRY(lrc_parser__expect(p, LRC_TOKEN_OPERATOR, ",", "',' or ')'"));
        if (skip_op(p, ")"))
            break;
        LRC_TRY(lrc_parser__node(p, &argument, LRC_AST_ARGUMENT));
        if (skip_op(p, "**")) {
            argument->op = LRC_ARGUMENT_DICT;
        } else if (skip_op(p, "*")) {
            argument->op = LRC_ARGUMENT_LIST;
        } else if (p->token->kind == LRC_TOKEN_NAME && p->token[1].kind == LRC_TOKEN_OPERATOR &&
                   p->token[1].n == 1 && p->token[1].bytes[0] == '=') {
            argument->op = LRC_ARGUMENT_KEYWORD;
            LRC_TRY(lrc_parser__name(p, &argument->name, "a name"));
            p->token++;
        }
        if (argument->op == LRC_ARGUMENT_POSITIONAL && named)
            return lrc_parser__fail(p, "a keyword argument");
        named |= argument->op == LRC_ARGUMENT_KEYWORD || argument->op == LRC_ARGUMENT_DICT;
        LRC_TRY(lrc_parser__expression(p, &argument->a));
        LRC_TRY(lrc_parser__add_item(p, *out, argument));
    }
    return LRC_STATUS_OK;
}

/* Behind "[": an item, a slice, or a tuple of items. */
static enum lrc_status parse_item(struct lrc_parser *p, struct lrc_ast **out, struct lrc_ast *object)
{
    struct lrc_ast *bounds[3] = {NULL, NULL, NULL};
    int n_colons = 0;
    LRC_TRY(lrc_parser__node(p, out, LRC_AST_ITEM));
    (*out)->a = object;
    while (!is_op(p, "]") && n_colons < 3) {
        if (skip_op(p, ":")) {
            n_colons++;
            continue;
        }
        if (bounds[n_colons])
            break;
        LRC_TRY(n_colons ? lrc_parser__expression(p, &bounds[n_colons])
                         : lrc_parser__tuple(p, &bounds[0], LRC_CONDITION_YES));
    }
    if (n_colons > 2 || (n_colons == 0 && !bounds[0]))
        return lrc_parser__fail(p, "an index or a slice");
    LRC_TRY(lrc_parser__expect(p, LRC_TOKEN_OPERATOR, "]", "']'"));
    (*out)->b = bounds[0];
    if (n_colons > 0) {
        (*out)->kind = LRC_AST_SLICE;
        for (int i = 0; i < 3; i++)
            LRC_TRY(lrc_parser__add_item(p, *out, bounds[i]));
    }
    return LRC_STATUS_OK;
}

static enum lrc_status parse_attribute(struct lrc_parser *p, struct lrc_ast **out, struct lrc_ast *object)
{
    if (p->token->kind == LRC_TOKEN_INT) { /* a.0 is a[0] */
        LRC_TRY(lrc_parser__node(p, out, LRC_AST_ITEM));
        LRC_TRY(constant(p, &(*out)->b, lrc_value__int(p->token->integer)));
        p->token++;
    } else {
        LRC_TRY(lrc_parser__node(p, out, LRC_AST_ATTRIBUTE));
        LRC_TRY(lrc_parser__name(p, &(*out)->name, "an attribute's name"));
    }
    (*out)->a = object;
    return LRC_STATUS_OK;
}

static enum lrc_status parse_call(struct lrc_parser *p, struct lrc_ast **node)
{
    struct lrc_ast *call;
    LRC_TRY(lrc_parser__node(p, &call, LRC_AST_CALL));
    call->a = *node;
    LRC_TRY(parse_arguments(p, &call->b));
    *node = call;
    return LRC_STATUS_OK;
}

enum lrc_status lrc_parser__postfix(struct lrc_parser *p, struct lrc_ast **node)
{
    for (;;) {
        if (skip_op(p, "."))
            LRC_TRY(parse_attribute(p, node, *node));
        else if (skip_op(p, "["))
            LRC_TRY(parse_item(p, node, *node));
        else if (is_op(p, "("))
            LRC_TRY(parse_call(p, node));
        else
            return LRC_STATUS_OK;
    }
}

enum lrc_status lrc_parser__filter(struct lrc_parser *p, struct lrc_ast **out, struct lrc_ast *input)
{
    const struct lrc_token *token = p->token;
    if (token->kind != LRC_TOKEN_NAME)
        return lrc_parser__fail(p, "a filter's name");
    LRC_TRY(lrc_parser__node(p, out, LRC_AST_FILTER));
    (*out)->a = input;
    (*out)->filter = lrc_filter__find(token->bytes, token->n);
    if (!(*out)->filter)
        return lrc_fail(p->err, LRC_STATUS_UNSUPPORTED, "%s:%d: want a filter we have, got '%.*s'",
                        p->template->name, token->line, (int)(token->n < 100 ? token->n : 100), token->bytes);
    p->token++;
    return is_op(p, "(") ? parse_arguments(p, &(*out)->b) : LRC_STATUS_OK;
}

/* Does the argument of a test that is written without brackets start here? */
static int starts_argument(const struct lrc_parser *p)
{
    switch (p->token->kind) {
    case LRC_TOKEN_NAME:
        return !is_word(p, "else") && !is_word(p, "or") && !is_word(p, "and") && !is_word(p, "is") &&
               !is_word(p, "if");
    case LRC_TOKEN_STRING:
    case LRC_TOKEN_INT:
    case LRC_TOKEN_FLOAT:
        return 1;
    case LRC_TOKEN_OPERATOR:
        return is_op(p, "[") || is_op(p, "{");
    default:
        return 0;
    }
}

/* Behind "is". */
static enum lrc_status parse_test(struct lrc_parser *p, struct lrc_ast **node)
{
    struct lrc_ast *test, *argument;
    LRC_TRY(lrc_parser__node(p, &test, LRC_AST_TEST));
    test->a = *node;
    test->op = skip_word(p, "not");
    const struct lrc_token *token = p->token;
    if (token->kind != LRC_TOKEN_NAME)
        return lrc_parser__fail(p, "a test's name");
    test->test = lrc_test__find(token->bytes, token->n);
    if (!test->test)
        return lrc_fail(p->err, LRC_STATUS_UNSUPPORTED, "%s:%d: want a test we have, got '%.*s'",
                        p->template->name, token->line, (int)(token->n < 100 ? token->n : 100), token->bytes);
    p->token++;
    if (is_op(p, "(")) {
        LRC_TRY(parse_arguments(p, &test->b));
    } else if (starts_argument(p)) {
        LRC_TRY(lrc_parser__node(p, &test->b, LRC_AST_ARGUMENTS));
        LRC_TRY(lrc_parser__node(p, &argument, LRC_AST_ARGUMENT));
        LRC_TRY(lrc_parser__primary(p, &argument->a));
        LRC_TRY(lrc_parser__postfix(p, &argument->a));
        LRC_TRY(lrc_parser__add_item(p, test->b, argument));
    }
    *node = test;
    return LRC_STATUS_OK;
}

static enum lrc_status parse_filters(struct lrc_parser *p, struct lrc_ast **node)
{
    for (;;) {
        if (skip_op(p, "|"))
            LRC_TRY(lrc_parser__filter(p, node, *node));
        else if (skip_word(p, "is"))
            LRC_TRY(parse_test(p, node));
        else if (is_op(p, "("))
            LRC_TRY(parse_call(p, node));
        else
            return LRC_STATUS_OK;
    }
}

/* Filters bind looser than the sign: -1|abs is (-1)|abs. */
static enum lrc_status parse_signed(struct lrc_parser *p, struct lrc_ast **out)
{
    const int minus = is_op(p, "-");
    if (!minus && !is_op(p, "+")) {
        LRC_TRY(lrc_parser__primary(p, out));
        return lrc_parser__postfix(p, out);
    }
    LRC_TRY(lrc_parser__enter(p));
    LRC_TRY(lrc_parser__node(p, out, minus ? LRC_AST_NEGATE : LRC_AST_PLUS));
    p->token++;
    LRC_TRY(parse_signed(p, &(*out)->a));
    p->depth--;
    return lrc_parser__postfix(p, out);
}

enum lrc_status lrc_parser__unary(struct lrc_parser *p, struct lrc_ast **out)
{
    LRC_TRY(parse_signed(p, out));
    return parse_filters(p, out);
}

static enum lrc_status string_constant(struct lrc_parser *p, struct lrc_value *value)
{
    struct lrc_string *string = lrc_bump__take(&p->template->memory, sizeof *string);
    size_t n = 0;
    int count = 0;
    while (p->token[count].kind == LRC_TOKEN_STRING)
        n += p->token[count++].n;
    char *bytes = lrc_bump__take(&p->template->memory, n);
    if (!string || !bytes)
        return lrc_fail_nomem(p->err, "template");
    n = 0;
    for (; count > 0; count--, p->token++) { /* 'a' 'b' is 'ab' */
        memcpy(bytes + n, p->token->bytes, p->token->n);
        n += p->token->n;
    }
    *string = (struct lrc_string){bytes, n, lrc_text__count(bytes, n)};
    *value = (struct lrc_value){.kind = LRC_VALUE_STRING, .string = string};
    return LRC_STATUS_OK;
}

static enum lrc_status parse_word(struct lrc_parser *p, struct lrc_ast **out)
{
    if (skip_word(p, "true") || skip_word(p, "True"))
        return constant(p, out, lrc_value__bool(1));
    if (skip_word(p, "false") || skip_word(p, "False"))
        return constant(p, out, lrc_value__bool(0));
    if (skip_word(p, "none") || skip_word(p, "None"))
        return constant(p, out, lrc_value__none());
    LRC_TRY(lrc_parser__node(p, out, LRC_AST_NAME));
    LRC_TRY(lrc_parser__name(p, &(*out)->name, "a name"));
    static const int uses[LRC_NAME_FIXED_COUNT] = {[LRC_NAME_CALLER] = LRC_MACRO_USES_CALLER,
                                                   [LRC_NAME_VARARGS] = LRC_MACRO_USES_VARARGS,
                                                   [LRC_NAME_KWARGS] = LRC_MACRO_USES_KWARGS};
    if ((*out)->name < LRC_NAME_FIXED_COUNT)
        p->macro_uses |= uses[(*out)->name];
    return LRC_STATUS_OK;
}

static enum lrc_status parse_list(struct lrc_parser *p, struct lrc_ast **out)
{
    struct lrc_ast *item;
    LRC_TRY(lrc_parser__node(p, out, LRC_AST_LIST));
    while (!skip_op(p, "]")) {
        if ((*out)->n_items > 0)
            LRC_TRY(lrc_parser__expect(p, LRC_TOKEN_OPERATOR, ",", "',' or ']'"));
        if (skip_op(p, "]"))
            break;
        LRC_TRY(lrc_parser__expression(p, &item));
        LRC_TRY(lrc_parser__add_item(p, *out, item));
    }
    return LRC_STATUS_OK;
}

static enum lrc_status parse_dict(struct lrc_parser *p, struct lrc_ast **out)
{
    struct lrc_ast *key, *value;
    LRC_TRY(lrc_parser__node(p, out, LRC_AST_DICT));
    while (!skip_op(p, "}")) {
        if ((*out)->n_items > 0)
            LRC_TRY(lrc_parser__expect(p, LRC_TOKEN_OPERATOR, ",", "',' or '}'"));
        if (skip_op(p, "}"))
            break;
        LRC_TRY(lrc_parser__expression(p, &key));
        LRC_TRY(lrc_parser__expect(p, LRC_TOKEN_OPERATOR, ":", "':'"));
        LRC_TRY(lrc_parser__expression(p, &value));
        LRC_TRY(lrc_parser__add_item(p, *out, key));
        LRC_TRY(lrc_parser__add_item(p, *out, value));
    }
    return LRC_STATUS_OK;
}

static enum lrc_status parse_bracketed(struct lrc_parser *p, struct lrc_ast **out)
{
    if (skip_op(p, "["))
        return parse_list(p, out);
    if (skip_op(p, "{"))
        return parse_dict(p, out);
    if (!skip_op(p, "("))
        return lrc_parser__fail(p, "an expression");
    if (skip_op(p, ")"))
        return lrc_parser__node(p, out, LRC_AST_TUPLE);
    LRC_TRY(lrc_parser__tuple(p, out, LRC_CONDITION_YES));
    return lrc_parser__expect(p, LRC_TOKEN_OPERATOR, ")", "')'");
}

enum lrc_status lrc_parser__primary(struct lrc_parser *p, struct lrc_ast **out)
{
    struct lrc_value value;
    switch (p->token->kind) {
    case LRC_TOKEN_NAME:
        return parse_word(p, out);
    case LRC_TOKEN_INT:
        return constant(p, out, lrc_value__int((p->token++)->integer));
    case LRC_TOKEN_FLOAT:
        return constant(p, out, lrc_value__float((p->token++)->real));
    case LRC_TOKEN_STRING:
        LRC_TRY(string_constant(p, &value));
        return constant(p, out, value);
    default:
        break;
    }
    LRC_TRY(lrc_parser__enter(p));
    LRC_TRY(parse_bracketed(p, out));
    p->depth--;
    return LRC_STATUS_OK;
}
