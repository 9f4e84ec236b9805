/* Expressions, evaluated as Python does it. */
#include "template/format.h"
#include "template/render.h"
#include <math.h>
#include <string.h>

static enum lrc_status fail_operands(struct lrc_render *r, const char *op, struct lrc_value a,
                                     struct lrc_value b)
{
    const struct lrc_value *undefined = a.kind == LRC_VALUE_UNDEFINED   ? &a
                                        : b.kind == LRC_VALUE_UNDEFINED ? &b
                                                                        : NULL;
    if (undefined && undefined->string)
        return lrc_render__fail(
            r, LRC_STATUS_DATA, "want operands of '%s' that are defined, got '%.*s', which is not", op,
            (int)(undefined->string->n < 100 ? undefined->string->n : 100), undefined->string->bytes);
    return lrc_render__fail(r, LRC_STATUS_DATA, "want operands that '%s' can combine, got %s and %s", op,
                            lrc_value__type_name(a), lrc_value__type_name(b));
}

static enum lrc_status fail_overflow(struct lrc_render *r)
{
    return lrc_render__fail(r, LRC_STATUS_NUMERIC, "want an integer of 64 bits, got a larger one");
}

static enum lrc_status fail_zero(struct lrc_render *r)
{
    return lrc_render__fail(r, LRC_STATUS_DATA, "want a divisor that is not zero, got zero");
}

static int64_t to_int(struct lrc_value v)
{
    return v.kind == LRC_VALUE_BOOL ? v.truth : v.integer;
}

static enum lrc_status power_int(struct lrc_render *r, struct lrc_value *out, int64_t base, int64_t exponent)
{
    int64_t result = 1;
    while (exponent > 0) {
        if ((exponent & 1) && __builtin_mul_overflow(result, base, &result))
            return fail_overflow(r);
        exponent >>= 1;
        if (exponent > 0 && __builtin_mul_overflow(base, base, &base))
            return fail_overflow(r);
    }
    *out = lrc_value__int(result);
    return LRC_STATUS_OK;
}

/* Floor division and remainder: the remainder has the divisor's sign. */
static enum lrc_status divide_int(struct lrc_render *r, struct lrc_value *out, int op, int64_t a, int64_t b)
{
    if (b == 0)
        return fail_zero(r);
    if (a == INT64_MIN && b == -1) {
        if (op == LRC_OPERATOR_FLOOR_DIVIDE)
            return fail_overflow(r);
        *out = lrc_value__int(0);
        return LRC_STATUS_OK;
    }
    const int64_t remainder = a % b;
    const int     adjust = remainder != 0 && (remainder < 0) != (b < 0);
    *out = lrc_value__int(op == LRC_OPERATOR_MODULO ? remainder + (adjust ? b : 0) : a / b - adjust);
    return LRC_STATUS_OK;
}

static enum lrc_status combine_ints(struct lrc_render *r, struct lrc_value *out, int op, int64_t a, int64_t b)
{
    int64_t result = 0;
    int     overflow = 0;
    switch (op) {
    case LRC_OPERATOR_ADD: overflow = __builtin_add_overflow(a, b, &result); break;
    case LRC_OPERATOR_SUBTRACT: overflow = __builtin_sub_overflow(a, b, &result); break;
    case LRC_OPERATOR_MULTIPLY: overflow = __builtin_mul_overflow(a, b, &result); break;
    case LRC_OPERATOR_POWER: return power_int(r, out, a, b);
    default: return divide_int(r, out, op, a, b);
    }
    *out = lrc_value__int(result);
    return overflow ? fail_overflow(r) : LRC_STATUS_OK;
}

static enum lrc_status combine_floats(struct lrc_render *r, struct lrc_value *out, int op, double a, double b)
{
    double result;
    if (b == 0 && (op == LRC_OPERATOR_DIVIDE || op == LRC_OPERATOR_FLOOR_DIVIDE || op == LRC_OPERATOR_MODULO))
        return fail_zero(r);
    switch (op) {
    case LRC_OPERATOR_ADD: result = a + b; break;
    case LRC_OPERATOR_SUBTRACT: result = a - b; break;
    case LRC_OPERATOR_MULTIPLY: result = a * b; break;
    case LRC_OPERATOR_DIVIDE: result = a / b; break;
    case LRC_OPERATOR_FLOOR_DIVIDE: result = floor(a / b); break;
    case LRC_OPERATOR_MODULO:
        result = fmod(a, b);
        if (result != 0 && (result < 0) != (b < 0))
            result += b;
        break;
    default: result = pow(a, b); break;
    }
    *out = lrc_value__float(result);
    return LRC_STATUS_OK;
}

static enum lrc_status repeat_string(struct lrc_render *r, struct lrc_value *out, const struct lrc_string *s,
                                     int64_t times)
{
    char  *bytes;
    size_t n;
    if (__builtin_mul_overflow(s->n, (size_t)times, &n))
        n = LRC_RENDER_MEMORY_MAX_BYTES + 1; /* refused below */
    LRC_TRY(lrc_render__take(r, &bytes, (int64_t)n, 1));
    for (size_t at = 0; at < n; at += s->n)
        memcpy(bytes + at, s->bytes, s->n);
    return lrc_string__borrow(r, out, bytes, n);
}

static enum lrc_status repeat_list(struct lrc_render *r, struct lrc_value *out, struct lrc_value what,
                                   int64_t times)
{
    struct lrc_list *list;
    int64_t          n;
    if (__builtin_mul_overflow(what.list->n, times, &n))
        n = -1; /* refused below */
    LRC_TRY(lrc_list__new(r, out, what.kind));
    list = out->list;
    LRC_TRY(lrc_render__take(r, &list->items, n, sizeof *list->items));
    LRC_TRY(lrc_render__charge(r, n / 16));
    list->n = list->cap = n;
    for (int64_t i = 0; i < n; i++)
        list->items[i] = what.list->items[i % what.list->n];
    return LRC_STATUS_OK;
}

static enum lrc_status repeat(struct lrc_render *r, struct lrc_value *out, struct lrc_value what,
                              int64_t times)
{
    times = times > 0 ? times : 0;
    return what.kind == LRC_VALUE_STRING ? repeat_string(r, out, what.string, times)
                                         : repeat_list(r, out, what, times);
}

static enum lrc_status join_lists(struct lrc_render *r, struct lrc_value *out, struct lrc_value a,
                                  struct lrc_value b)
{
    LRC_TRY(lrc_list__new(r, out, a.kind));
    for (int64_t i = 0; i < a.list->n; i++)
        LRC_TRY(lrc_list__append(r, out->list, a.list->items[i]));
    for (int64_t i = 0; i < b.list->n; i++)
        LRC_TRY(lrc_list__append(r, out->list, b.list->items[i]));
    return lrc_render__charge(r, out->list->n / 16);
}

static int is_sequence(struct lrc_value v)
{
    return v.kind == LRC_VALUE_STRING || v.kind == LRC_VALUE_LIST || v.kind == LRC_VALUE_TUPLE;
}

static int is_integral(struct lrc_value v)
{
    return v.kind == LRC_VALUE_INT || v.kind == LRC_VALUE_BOOL;
}

/* What can be looked up by name or index need not be used up. */
static enum lrc_status format_percent(struct lrc_render *r, struct lrc_value *out, struct lrc_value format,
                                      struct lrc_value args)
{
    struct lrc_args list = { .values = &args, .n = 1 };
    if (args.kind == LRC_VALUE_TUPLE)
        list = (struct lrc_args){ .values = args.list->items, .n = args.list->n };
    if (args.kind == LRC_VALUE_DICT)
        list.named = args.dict;
    return lrc_format__percent(r, out, format.string, &list,
                               args.kind != LRC_VALUE_DICT && args.kind != LRC_VALUE_LIST &&
                                   args.kind != LRC_VALUE_UNDEFINED);
}

enum lrc_status lrc_eval__binary(struct lrc_render *r, struct lrc_value *out, int op, struct lrc_value a,
                                 struct lrc_value b)
{
    static const char *const names[] = { "+", "-", "*", "/", "//", "%", "**" };
    if (lrc_value__is_number(a) && lrc_value__is_number(b)) {
        const int whole = is_integral(a) && is_integral(b) && op != LRC_OPERATOR_DIVIDE &&
                          !(op == LRC_OPERATOR_POWER && to_int(b) < 0);
        return whole ? combine_ints(r, out, op, to_int(a), to_int(b))
                     : combine_floats(r, out, op, lrc_value__to_double(a), lrc_value__to_double(b));
    }
    if (op == LRC_OPERATOR_ADD && a.kind == LRC_VALUE_STRING && b.kind == LRC_VALUE_STRING)
        return lrc_string__concat(r, out, a.string, b.string);
    if (op == LRC_OPERATOR_ADD && a.kind == b.kind && (a.kind == LRC_VALUE_LIST || a.kind == LRC_VALUE_TUPLE))
        return join_lists(r, out, a, b);
    if (op == LRC_OPERATOR_MULTIPLY && is_sequence(a) && is_integral(b))
        return repeat(r, out, a, to_int(b));
    if (op == LRC_OPERATOR_MULTIPLY && is_integral(a) && is_sequence(b))
        return repeat(r, out, b, to_int(a));
    if (op == LRC_OPERATOR_MODULO && a.kind == LRC_VALUE_STRING)
        return format_percent(r, out, a, b);
    return fail_operands(r, names[op], a, b);
}

static enum lrc_status eval_constant(struct lrc_render *r, struct lrc_value *out, const struct lrc_ast *node)
{
    (void)r;
    *out = node->constant;
    return LRC_STATUS_OK;
}

static enum lrc_status eval_name(struct lrc_render *r, struct lrc_value *out, const struct lrc_ast *node)
{
    return lrc_scope__get(r, out, node->name);
}

static enum lrc_status eval_items(struct lrc_render *r, struct lrc_value *out, const struct lrc_ast *node)
{
    struct lrc_value item;
    LRC_TRY(lrc_list__new(r, out, node->kind == LRC_AST_LIST ? LRC_VALUE_LIST : LRC_VALUE_TUPLE));
    for (int64_t i = 0; i < node->n_items; i++) {
        LRC_TRY(lrc_eval__expression(r, &item, node->items[i]));
        LRC_TRY(lrc_list__append(r, out->list, item));
    }
    return LRC_STATUS_OK;
}

static enum lrc_status eval_dict(struct lrc_render *r, struct lrc_value *out, const struct lrc_ast *node)
{
    struct lrc_value key, value;
    LRC_TRY(lrc_dict__new(r, out));
    for (int64_t i = 0; i < node->n_items; i += 2) {
        LRC_TRY(lrc_eval__expression(r, &key, node->items[i]));
        LRC_TRY(lrc_eval__expression(r, &value, node->items[i + 1]));
        LRC_TRY(lrc_dict__set(r, out->dict, key, value));
    }
    return LRC_STATUS_OK;
}

static enum lrc_status eval_attribute(struct lrc_render *r, struct lrc_value *out, const struct lrc_ast *node)
{
    struct lrc_value object;
    LRC_TRY(lrc_eval__expression(r, &object, node->a));
    r->line = node->line;
    return lrc_eval__attribute(r, out, object, &r->template->names[node->name]);
}

static enum lrc_status eval_item(struct lrc_render *r, struct lrc_value *out, const struct lrc_ast *node)
{
    struct lrc_value object, key;
    LRC_TRY(lrc_eval__expression(r, &object, node->a));
    LRC_TRY(lrc_eval__expression(r, &key, node->b));
    r->line = node->line;
    return lrc_eval__item(r, out, object, key);
}

static enum lrc_status eval_slice(struct lrc_render *r, struct lrc_value *out, const struct lrc_ast *node)
{
    struct lrc_value object, bounds[3];
    LRC_TRY(lrc_eval__expression(r, &object, node->a));
    for (int i = 0; i < 3; i++) {
        bounds[i] = lrc_value__none();
        if (node->items[i])
            LRC_TRY(lrc_eval__expression(r, &bounds[i], node->items[i]));
    }
    r->line = node->line;
    return lrc_eval__slice(r, out, object, bounds);
}

static enum lrc_status eval_sign(struct lrc_render *r, struct lrc_value *out, const struct lrc_ast *node)
{
    struct lrc_value v;
    const int        minus = node->kind == LRC_AST_NEGATE;
    LRC_TRY(lrc_eval__expression(r, &v, node->a));
    if (!lrc_value__is_number(v))
        return lrc_render__fail(r, LRC_STATUS_DATA, "want a number behind '%s', got %s", minus ? "-" : "+",
                                lrc_value__type_name(v));
    if (v.kind == LRC_VALUE_FLOAT) {
        *out = lrc_value__float(minus ? -v.real : v.real);
        return LRC_STATUS_OK;
    }
    return combine_ints(r, out, minus ? LRC_OPERATOR_SUBTRACT : LRC_OPERATOR_ADD, 0, to_int(v));
}

static enum lrc_status eval_not(struct lrc_render *r, struct lrc_value *out, const struct lrc_ast *node)
{
    struct lrc_value v;
    LRC_TRY(lrc_eval__expression(r, &v, node->a));
    *out = lrc_value__bool(!lrc_value__is_true(v));
    return LRC_STATUS_OK;
}

static enum lrc_status eval_binary(struct lrc_render *r, struct lrc_value *out, const struct lrc_ast *node)
{
    struct lrc_value a, b;
    LRC_TRY(lrc_eval__expression(r, &a, node->a));
    LRC_TRY(lrc_eval__expression(r, &b, node->b));
    r->line = node->line;
    return lrc_eval__binary(r, out, node->op, a, b);
}

static enum lrc_status eval_concat(struct lrc_render *r, struct lrc_value *out, const struct lrc_ast *node)
{
    struct lrc_builder builder = { .r = r };
    struct lrc_value   v;
    for (int64_t i = 0; i < node->n_items; i++) {
        LRC_TRY(lrc_eval__expression(r, &v, node->items[i]));
        LRC_TRY(lrc_value__print(&builder, v));
    }
    return lrc_builder__finish(&builder, out);
}

static enum lrc_status compare_by(struct lrc_render *r, int *truth, int op, struct lrc_value a,
                                  struct lrc_value b)
{
    int order = 0;
    if (op == LRC_OPERATOR_EQ || op == LRC_OPERATOR_NE) {
        LRC_TRY(lrc_value__equal(r, truth, a, b));
        *truth ^= op == LRC_OPERATOR_NE;
        return LRC_STATUS_OK;
    }
    if (op == LRC_OPERATOR_IN || op == LRC_OPERATOR_NOT_IN) {
        LRC_TRY(lrc_value__contains(r, truth, b, a));
        *truth ^= op == LRC_OPERATOR_NOT_IN;
        return LRC_STATUS_OK;
    }
    LRC_TRY(lrc_value__compare(r, &order, a, b));
    switch (op) {
    case LRC_OPERATOR_LT: *truth = order < 0; break;
    case LRC_OPERATOR_LE: *truth = order <= 0; break;
    case LRC_OPERATOR_GT: *truth = order > 0; break;
    default: *truth = order >= 0; break;
    }
    return LRC_STATUS_OK;
}

/* a < b < c holds when each neighbouring pair does. */
static enum lrc_status eval_compare(struct lrc_render *r, struct lrc_value *out, const struct lrc_ast *node)
{
    struct lrc_value left, right;
    int              truth = 1;
    LRC_TRY(lrc_eval__expression(r, &left, node->a));
    for (int64_t i = 0; i < node->n_items && truth; i++) {
        LRC_TRY(lrc_eval__expression(r, &right, node->items[i]->a));
        r->line = node->line;
        LRC_TRY(compare_by(r, &truth, node->items[i]->op, left, right));
        left = right;
    }
    *out = lrc_value__bool(truth);
    return LRC_STATUS_OK;
}

/* `and`, `or` give one of their operands. */
static enum lrc_status eval_logic(struct lrc_render *r, struct lrc_value *out, const struct lrc_ast *node)
{
    LRC_TRY(lrc_eval__expression(r, out, node->a));
    return lrc_value__is_true(*out) == (node->kind == LRC_AST_AND) ? lrc_eval__expression(r, out, node->b)
                                                                   : LRC_STATUS_OK;
}

static enum lrc_status eval_condition(struct lrc_render *r, struct lrc_value *out, const struct lrc_ast *node)
{
    struct lrc_value condition;
    LRC_TRY(lrc_eval__expression(r, &condition, node->a));
    if (lrc_value__is_true(condition))
        return lrc_eval__expression(r, out, node->b);
    if (node->c)
        return lrc_eval__expression(r, out, node->c);
    *out = lrc_value__undefined(NULL);
    return LRC_STATUS_OK;
}

static enum lrc_status eval_call(struct lrc_render *r, struct lrc_value *out, const struct lrc_ast *node)
{
    struct lrc_value callee;
    struct lrc_args  args;
    LRC_TRY(lrc_eval__expression(r, &callee, node->a));
    LRC_TRY(lrc_eval__arguments(r, &args, node->b));
    r->line = node->line;
    return lrc_eval__call(r, out, callee, &args);
}

static enum lrc_status eval_filter(struct lrc_render *r, struct lrc_value *out, const struct lrc_ast *node)
{
    struct lrc_value input;
    struct lrc_args  args;
    LRC_TRY(lrc_eval__expression(r, &input, node->a));
    LRC_TRY(lrc_eval__arguments(r, &args, node->b));
    r->line = node->line;
    return lrc_eval__entry(r, out, &node->filter->entry, input, &args);
}

static enum lrc_status eval_test(struct lrc_render *r, struct lrc_value *out, const struct lrc_ast *node)
{
    struct lrc_value input;
    struct lrc_args  args;
    LRC_TRY(lrc_eval__expression(r, &input, node->a));
    LRC_TRY(lrc_eval__arguments(r, &args, node->b));
    r->line = node->line;
    LRC_TRY(lrc_eval__entry(r, out, &node->test->entry, input, &args));
    *out = lrc_value__bool(lrc_value__is_true(*out) != node->op);
    return LRC_STATUS_OK;
}

static enum lrc_status eval_captured(struct lrc_render *r, struct lrc_value *out, const struct lrc_ast *node)
{
    (void)node;
    *out = r->captured;
    return LRC_STATUS_OK;
}

typedef enum lrc_status expression_eval(struct lrc_render *r, struct lrc_value *out,
                                        const struct lrc_ast *node);

static expression_eval *const expressions[LRC_AST_KIND_COUNT] = {
    [LRC_AST_CONST] = eval_constant,
    [LRC_AST_NAME] = eval_name,
    [LRC_AST_LIST] = eval_items,
    [LRC_AST_TUPLE] = eval_items,
    [LRC_AST_DICT] = eval_dict,
    [LRC_AST_ATTRIBUTE] = eval_attribute,
    [LRC_AST_ITEM] = eval_item,
    [LRC_AST_SLICE] = eval_slice,
    [LRC_AST_NEGATE] = eval_sign,
    [LRC_AST_PLUS] = eval_sign,
    [LRC_AST_NOT] = eval_not,
    [LRC_AST_BINARY] = eval_binary,
    [LRC_AST_CONCAT] = eval_concat,
    [LRC_AST_COMPARE] = eval_compare,
    [LRC_AST_AND] = eval_logic,
    [LRC_AST_OR] = eval_logic,
    [LRC_AST_CONDITION] = eval_condition,
    [LRC_AST_CALL] = eval_call,
    [LRC_AST_FILTER] = eval_filter,
    [LRC_AST_TEST] = eval_test,
    [LRC_AST_CAPTURED] = eval_captured,
};

enum lrc_status lrc_eval__expression(struct lrc_render *r, struct lrc_value *out, const struct lrc_ast *node)
{
    LRC_TRY(lrc_render__charge(r, 1));
    LRC_TRY(lrc_render__enter(r));
    r->line = node->line;
    LRC_TRY(expressions[node->kind](r, out, node));
    r->depth--;
    return LRC_STATUS_OK;
}
