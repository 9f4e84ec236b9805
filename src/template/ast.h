/* The tree of a parsed template, and the tokens it is made from. Private to this folder. */
#ifndef LRC_TEMPLATE_AST_H
#define LRC_TEMPLATE_AST_H

#include "base/status.h"
#include "template/bump.h"
#include "template/value.h"

enum lrc_token_kind {
    LRC_TOKEN_DATA,           /* text outside tags, whitespace control done */
    LRC_TOKEN_VARIABLE_BEGIN, /* {{ */
    LRC_TOKEN_VARIABLE_END,
    LRC_TOKEN_BLOCK_BEGIN, /* {% */
    LRC_TOKEN_BLOCK_END,
    LRC_TOKEN_NAME,
    LRC_TOKEN_STRING, /* escapes resolved */
    LRC_TOKEN_INT,
    LRC_TOKEN_FLOAT,
    LRC_TOKEN_OPERATOR,
    LRC_TOKEN_END
};

struct lrc_token {
    enum lrc_token_kind kind;
    int                 line;
    const char         *bytes;
    size_t              n;
    int64_t             integer;
    double              real;
};

struct lrc_tokens {
    struct lrc_token *items; /* ends with LRC_TOKEN_END; lrc_free() */
    int64_t           n, cap;
};

/* text must be UTF-8 with "\n" line ends and live as long as the tokens.
 * errors: FORMAT "<name>:<line>: want ..., got ..."; NOMEM. */
enum lrc_status lrc_tokens__read(struct lrc_tokens *tokens, struct lrc_bump *memory, const char *text,
                                 size_t n, const char *name, struct lrc_error *err) LRC_MUST_CHECK;

enum lrc_ast_kind {
    /* expressions */
    LRC_AST_CONST,     /* constant */
    LRC_AST_NAME,      /* name */
    LRC_AST_LIST,      /* items */
    LRC_AST_TUPLE,     /* items */
    LRC_AST_DICT,      /* items: key, value, key, value ... */
    LRC_AST_ATTRIBUTE, /* a.name */
    LRC_AST_ITEM,      /* a[b] */
    LRC_AST_SLICE,     /* a[items 0 : 1 : 2], each may be NULL */
    LRC_AST_NEGATE,
    LRC_AST_PLUS,
    LRC_AST_NOT,
    LRC_AST_BINARY,  /* a op b */
    LRC_AST_CONCAT,  /* items joined by ~ */
    LRC_AST_COMPARE, /* a, then items: OPERAND */
    LRC_AST_OPERAND, /* op a */
    LRC_AST_AND,
    LRC_AST_OR,
    LRC_AST_CONDITION, /* b if a else c; c may be NULL */
    LRC_AST_CALL,      /* a(arguments b) */
    LRC_AST_FILTER,    /* a | filter(arguments b) */
    LRC_AST_TEST,      /* a is test(arguments b); op: 1 for `is not` */
    LRC_AST_CAPTURED,  /* the text of the block that is being filtered */
    LRC_AST_ARGUMENTS, /* items: ARGUMENT */
    LRC_AST_ARGUMENT,  /* a; op: enum lrc_argument; name of a keyword */
    /* statements */
    LRC_AST_BLOCK,        /* items */
    LRC_AST_DATA,         /* constant */
    LRC_AST_OUTPUT,       /* a */
    LRC_AST_FOR,          /* target a in b if c: body; orelse may be NULL; op: 1 when recursive */
    LRC_AST_IF,           /* items: BRANCH */
    LRC_AST_BRANCH,       /* condition a (NULL: else): body */
    LRC_AST_SET,          /* target a = b */
    LRC_AST_SET_BLOCK,    /* target a = body through filters b */
    LRC_AST_WITH,         /* items: SET, then body */
    LRC_AST_MACRO,        /* name; items: PARAMETER; body; op: bits of enum lrc_macro_uses */
    LRC_AST_PARAMETER,    /* name, default a or NULL */
    LRC_AST_CALL_BLOCK,   /* call a with caller made of items: PARAMETER and body */
    LRC_AST_FILTER_BLOCK, /* body through filters b */
    LRC_AST_GENERATION,   /* body */
    LRC_AST_BREAK,
    LRC_AST_CONTINUE,
    LRC_AST_KIND_COUNT
};

enum lrc_operator {
    LRC_OPERATOR_ADD,
    LRC_OPERATOR_SUBTRACT,
    LRC_OPERATOR_MULTIPLY,
    LRC_OPERATOR_DIVIDE,
    LRC_OPERATOR_FLOOR_DIVIDE,
    LRC_OPERATOR_MODULO,
    LRC_OPERATOR_POWER,
    LRC_OPERATOR_EQ,
    LRC_OPERATOR_NE,
    LRC_OPERATOR_LT,
    LRC_OPERATOR_LE,
    LRC_OPERATOR_GT,
    LRC_OPERATOR_GE,
    LRC_OPERATOR_IN,
    LRC_OPERATOR_NOT_IN
};

enum lrc_argument { LRC_ARGUMENT_POSITIONAL, LRC_ARGUMENT_KEYWORD, LRC_ARGUMENT_LIST, LRC_ARGUMENT_DICT };

enum lrc_macro_uses { LRC_MACRO_USES_VARARGS = 1, LRC_MACRO_USES_KWARGS = 2, LRC_MACRO_USES_CALLER = 4 };

struct lrc_ast {
    enum lrc_ast_kind        kind;
    int                      op;
    int                      line;
    int32_t                  name; /* index into lrc_template.names */
    struct lrc_value         constant;
    struct lrc_ast          *a, *b, *c;
    struct lrc_ast          *body, *orelse;
    struct lrc_ast         **items;
    int64_t                  n_items;
    const struct lrc_filter *filter;
    const struct lrc_test   *test;
};

/* Names every template knows by index: what the engine itself sets. */
enum { LRC_NAME_LOOP, LRC_NAME_CALLER, LRC_NAME_VARARGS, LRC_NAME_KWARGS, LRC_NAME_FIXED_COUNT };

struct lrc_template {
    char                *name;
    char                *text;   /* as given */
    char                *source; /* line ends normalised, last one cut */
    struct lrc_bump      memory; /* of the tree */
    struct lrc_ast      *root;
    struct lrc_string   *names;
    int64_t              n_names, n_names_cap;
    struct lrc_template *tool_use; /* what renders instead when there are tools; owned; NULL: this one */
};

/* Fills root and names from source. errors: FORMAT, UNSUPPORTED, NOMEM. */
enum lrc_status lrc_template__build(struct lrc_template *t, size_t n, struct lrc_error *err) LRC_MUST_CHECK;

/* Private to the parser's two files. */
struct lrc_parser {
    struct lrc_template *template;
    struct lrc_error *err;
    struct lrc_token *token; /* the current one; never past LRC_TOKEN_END */
    int               depth;
    int               loop_depth;
    int               macro_uses;
};

enum { LRC_PARSER_DEPTH_MAX = 100 };

enum lrc_status lrc_parser__fail(struct lrc_parser *p, const char *want) LRC_MUST_CHECK;
enum lrc_status lrc_parser__enter(struct lrc_parser *p) LRC_MUST_CHECK; /* the caller decrements depth */
enum lrc_status lrc_parser__node(struct lrc_parser *p, struct lrc_ast **out,
                                 enum lrc_ast_kind kind) LRC_MUST_CHECK;
enum lrc_status lrc_parser__add_item(struct lrc_parser *p, struct lrc_ast *node,
                                     struct lrc_ast *item) LRC_MUST_CHECK;
int             lrc_parser__is(const struct lrc_parser *p, enum lrc_token_kind kind, const char *text);
int             lrc_parser__skip(struct lrc_parser *p, enum lrc_token_kind kind,
                                 const char *text); /* 1 when it was there */
enum lrc_status lrc_parser__expect(struct lrc_parser *p, enum lrc_token_kind kind, const char *text,
                                   const char *want) LRC_MUST_CHECK;
enum lrc_status lrc_parser__name(struct lrc_parser *p, int32_t *name, const char *want) LRC_MUST_CHECK;

enum lrc_condition { LRC_CONDITION_NO, LRC_CONDITION_YES }; /* may `x if y` stand here? */
enum lrc_status lrc_parser__tuple(struct lrc_parser *p, struct lrc_ast **out,
                                  enum lrc_condition condition) LRC_MUST_CHECK;
enum lrc_status lrc_parser__expression(struct lrc_parser *p, struct lrc_ast **out) LRC_MUST_CHECK;
enum lrc_status lrc_parser__unary(struct lrc_parser *p, struct lrc_ast **out) LRC_MUST_CHECK;
/* One filter behind its bar, applied to input. */
enum lrc_status lrc_parser__filter(struct lrc_parser *p, struct lrc_ast **out,
                                   struct lrc_ast *input) LRC_MUST_CHECK;
enum lrc_status lrc_parser__primary(struct lrc_parser *p, struct lrc_ast **out) LRC_MUST_CHECK;
enum lrc_status lrc_parser__postfix(struct lrc_parser *p, struct lrc_ast **node) LRC_MUST_CHECK;

#endif
