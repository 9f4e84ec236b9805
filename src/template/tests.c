/* What may stand behind `is`. */
#include "template/strings.h"
#include <math.h>
#include <string.h>

static enum lrc_status answer(struct lrc_value *out, int truth)
{
    *out = lrc_value__bool(truth);
    return LRC_STATUS_OK;
}

/* Tests of the value's kind alone. */
#define KIND_TEST(name, condition)                                                                           \
    static enum lrc_status test_##name(struct lrc_render *r, struct lrc_value *out,                          \
                                       const struct lrc_call *call)                                          \
    {                                                                                                        \
        const struct lrc_value v = call->self;                                                               \
        (void)r;                                                                                             \
        return answer(out, condition);                                                                       \
    }
KIND_TEST(defined, v.kind != LRC_VALUE_UNDEFINED)
KIND_TEST(undefined, v.kind == LRC_VALUE_UNDEFINED)
KIND_TEST(none, v.kind == LRC_VALUE_NONE)
KIND_TEST(boolean, v.kind == LRC_VALUE_BOOL)
KIND_TEST(true, v.kind == LRC_VALUE_BOOL && v.truth)
KIND_TEST(false, v.kind == LRC_VALUE_BOOL && !v.truth)
KIND_TEST(integer, v.kind == LRC_VALUE_INT)
KIND_TEST(float, v.kind == LRC_VALUE_FLOAT)
KIND_TEST(number, lrc_value__is_number(v))
KIND_TEST(string, v.kind == LRC_VALUE_STRING)
KIND_TEST(mapping, v.kind == LRC_VALUE_DICT)
/* What has a length and items: in jinja2 a dict and undefined, too. */
KIND_TEST(sequence, v.kind == LRC_VALUE_STRING || v.kind == LRC_VALUE_LIST || v.kind == LRC_VALUE_TUPLE ||
                        v.kind == LRC_VALUE_DICT || v.kind == LRC_VALUE_UNDEFINED)
KIND_TEST(iterable, v.kind == LRC_VALUE_STRING || v.kind == LRC_VALUE_LIST || v.kind == LRC_VALUE_TUPLE ||
                        v.kind == LRC_VALUE_DICT || v.kind == LRC_VALUE_UNDEFINED)
KIND_TEST(callable, v.kind == LRC_VALUE_MACRO || v.kind == LRC_VALUE_METHOD || v.kind == LRC_VALUE_GLOBAL ||
                        v.kind == LRC_VALUE_UNDEFINED)
KIND_TEST(escaped, 0 && v.truth) /* nothing is: safe and escape give plain texts */
#undef KIND_TEST

static enum lrc_status test_case(struct lrc_render *r, struct lrc_value *out, const struct lrc_call *call,
                                 enum lrc_case which)
{
    const struct lrc_string *string;
    LRC_TRY(lrc_value__to_string(r, &string, call->self));
    LRC_TRY(lrc_render__charge(r, (int64_t)(string->n / 16)));
    return answer(out, lrc_string__is_case(string, which));
}

static enum lrc_status test_lower(struct lrc_render *r, struct lrc_value *out, const struct lrc_call *call)
{
    return test_case(r, out, call, LRC_CASE_LOWER);
}

static enum lrc_status test_upper(struct lrc_render *r, struct lrc_value *out, const struct lrc_call *call)
{
    return test_case(r, out, call, LRC_CASE_UPPER);
}

static enum lrc_status divides(struct lrc_render *r, struct lrc_value *out, struct lrc_value v,
                               struct lrc_value by, int64_t remainder)
{
    struct lrc_value rest;
    int              equal;
    LRC_TRY(lrc_eval__binary(r, &rest, LRC_OPERATOR_MODULO, v, by));
    LRC_TRY(lrc_value__equal(r, &equal, rest, lrc_value__int(remainder)));
    return answer(out, equal);
}

static enum lrc_status test_odd(struct lrc_render *r, struct lrc_value *out, const struct lrc_call *call)
{
    return divides(r, out, call->self, lrc_value__int(2), 1);
}

static enum lrc_status test_even(struct lrc_render *r, struct lrc_value *out, const struct lrc_call *call)
{
    return divides(r, out, call->self, lrc_value__int(2), 0);
}

static enum lrc_status test_divisibleby(struct lrc_render *r, struct lrc_value *out,
                                        const struct lrc_call *call)
{
    return divides(r, out, call->self, call->arg[0], 0);
}

static enum lrc_status test_eq(struct lrc_render *r, struct lrc_value *out, const struct lrc_call *call)
{
    int equal;
    LRC_TRY(lrc_value__equal(r, &equal, call->self, call->arg[0]));
    return answer(out, equal);
}

static enum lrc_status test_ne(struct lrc_render *r, struct lrc_value *out, const struct lrc_call *call)
{
    int equal;
    LRC_TRY(lrc_value__equal(r, &equal, call->self, call->arg[0]));
    return answer(out, !equal);
}

static enum lrc_status test_lt(struct lrc_render *r, struct lrc_value *out, const struct lrc_call *call)
{
    int order;
    LRC_TRY(lrc_value__compare(r, &order, call->self, call->arg[0]));
    return answer(out, order < 0);
}

static enum lrc_status test_le(struct lrc_render *r, struct lrc_value *out, const struct lrc_call *call)
{
    int order;
    LRC_TRY(lrc_value__compare(r, &order, call->self, call->arg[0]));
    return answer(out, order <= 0);
}

static enum lrc_status test_gt(struct lrc_render *r, struct lrc_value *out, const struct lrc_call *call)
{
    int order;
    LRC_TRY(lrc_value__compare(r, &order, call->self, call->arg[0]));
    return answer(out, order > 0);
}

static enum lrc_status test_ge(struct lrc_render *r, struct lrc_value *out, const struct lrc_call *call)
{
    int order;
    LRC_TRY(lrc_value__compare(r, &order, call->self, call->arg[0]));
    return answer(out, order >= 0);
}

static enum lrc_status test_in(struct lrc_render *r, struct lrc_value *out, const struct lrc_call *call)
{
    int found;
    LRC_TRY(lrc_value__contains(r, &found, call->arg[0], call->self));
    return answer(out, found);
}

/* The same object; numbers, strings and constants are the same when they are equal and of one type. */
static enum lrc_status test_sameas(struct lrc_render *r, struct lrc_value *out, const struct lrc_call *call)
{
    int                    same = 0;
    const struct lrc_value a = call->self, b = call->arg[0];
    if (a.kind != b.kind)
        return answer(out, 0);
    if (a.kind == LRC_VALUE_LIST || a.kind == LRC_VALUE_TUPLE || a.kind == LRC_VALUE_DICT)
        return answer(out, a.list == b.list);
    LRC_TRY(lrc_value__equal(r, &same, a, b));
    return answer(out, same);
}

static enum lrc_status test_filter(struct lrc_render *r, struct lrc_value *out, const struct lrc_call *call)
{
    const struct lrc_string *name;
    LRC_TRY(lrc_value__to_string(r, &name, call->self));
    return answer(out, lrc_filter__find(name->bytes, name->n) != NULL);
}

static enum lrc_status test_test(struct lrc_render *r, struct lrc_value *out, const struct lrc_call *call)
{
    const struct lrc_string *name;
    LRC_TRY(lrc_value__to_string(r, &name, call->self));
    return answer(out, lrc_test__find(name->bytes, name->n) != NULL);
}

static const struct lrc_test tests[] = {
    { { "filter", "", 0, test_filter } },       { { "test", "", 0, test_test } },
    { { "escaped", "", 0, test_escaped } },     { { "defined", "", 0, test_defined } },
    { { "undefined", "", 0, test_undefined } }, { { "none", "", 0, test_none } },
    { { "boolean", "", 0, test_boolean } },     { { "true", "", 0, test_true } },
    { { "false", "", 0, test_false } },         { { "integer", "", 0, test_integer } },
    { { "float", "", 0, test_float } },         { { "number", "", 0, test_number } },
    { { "string", "", 0, test_string } },       { { "mapping", "", 0, test_mapping } },
    { { "sequence", "", 0, test_sequence } },   { { "iterable", "", 0, test_iterable } },
    { { "callable", "", 0, test_callable } },   { { "lower", "", 0, test_lower } },
    { { "upper", "", 0, test_upper } },         { { "odd", "", 0, test_odd } },
    { { "even", "", 0, test_even } },           { { "divisibleby", "num", 1, test_divisibleby } },
    { { "eq", "other", 1, test_eq } },          { { "equalto", "other", 1, test_eq } },
    { { "==", "other", 1, test_eq } },          { { "ne", "other", 1, test_ne } },
    { { "!=", "other", 1, test_ne } },          { { "lt", "other", 1, test_lt } },
    { { "lessthan", "other", 1, test_lt } },    { { "<", "other", 1, test_lt } },
    { { "le", "other", 1, test_le } },          { { "<=", "other", 1, test_le } },
    { { "gt", "other", 1, test_gt } },          { { "greaterthan", "other", 1, test_gt } },
    { { ">", "other", 1, test_gt } },           { { "ge", "other", 1, test_ge } },
    { { ">=", "other", 1, test_ge } },          { { "in", "seq", 1, test_in } },
    { { "sameas", "other", 1, test_sameas } },
};

const struct lrc_test *lrc_test__find(const char *name, size_t n)
{
    for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++)
        if (strlen(tests[i].entry.name) == n && memcmp(tests[i].entry.name, name, n) == 0)
            return &tests[i];
    return NULL;
}
