/* Template text to tokens, as jinja2's lexer does it with trim_blocks and lstrip_blocks:
 *
 *   -%} -}} -#}   swallow all space behind;   {%- {{- {#-   all space before
 *   %} #}         swallow one newline behind (trim_blocks); +%} +#} do not
 *   {% {#         swallow the space before them on their line (lstrip_blocks); {%+ {#+ do not */
#include "template/ast.h"

#include "base/alloc.h"
#include "template/text.h"
#include <stdlib.h>
#include <string.h>

enum { BRACKETS_MAX = 256 };

struct lexer {
    struct lrc_tokens *tokens;
    struct lrc_bump *memory;
    const char *text, *name;
    size_t n, at;
    int line;
    int line_starting; /* nothing but swallowed text stands before `at` on its line */
    struct lrc_error *err;
};

static enum lrc_status fail(struct lexer *x, const char *want, const char *got)
{
    return lrc_fail(x->err, LRC_STATUS_FORMAT, "%s:%d: want %s, got %s", x->name, x->line, want, got);
}

static enum lrc_status add(struct lexer *x, enum lrc_token_kind kind, const char *bytes, size_t n)
{
    struct lrc_tokens *tokens = x->tokens;
    if (tokens->n == tokens->cap) {
        const int64_t cap = tokens->cap ? tokens->cap * 2 : 256;
        struct lrc_token *items = lrc_realloc(tokens->items, cap, sizeof *items);
        if (!items)
            return lrc_fail_nomem(x->err, "template tokens");
        tokens->items = items;
        tokens->cap = cap;
    }
    tokens->items[tokens->n++] = (struct lrc_token){.kind = kind, .line = x->line, .bytes = bytes, .n = n};
    return LRC_STATUS_OK;
}

static int peek(const struct lexer *x, const char *text)
{
    const size_t n = strlen(text);
    return x->n - x->at >= n && memcmp(x->text + x->at, text, n) == 0;
}

static void advance(struct lexer *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x->line += x->text[x->at + i] == '\n';
    x->at += n;
}

static void skip_space(struct lexer *x)
{
    advance(x, lrc_text__space_before(x->text + x->at, x->n - x->at));
}

/* Behind a closing tag whose sign ('-', '+' or 0) has been read; trims says whether it is one that eats a
 * newline. */
static void after_tag(struct lexer *x, char sign, int trims)
{
    if (sign == '-')
        skip_space(x);
    else if (trims && sign != '+' && peek(x, "\n"))
        advance(x, 1);
    x->line_starting = x->at > 0 && x->text[x->at - 1] == '\n';
}

/* Text from begin up to the tag at end; sign is what follows the tag's two characters. */
static enum lrc_status add_data(struct lexer *x, size_t begin, size_t end, char sign, int lstrips)
{
    const char *data = x->text + begin;
    size_t n = end - begin;
    if (sign == '-') {
        n -= lrc_text__space_after(data, n);
    } else if (lstrips && sign != '+') {
        size_t line = n;
        while (line > 0 && data[line - 1] != '\n')
            line--;
        if ((line > 0 || x->line_starting) && lrc_text__space_before(data + line, n - line) == n - line)
            n = line;
    }
    if (n > 0)
        LRC_TRY(add(x, LRC_TOKEN_DATA, data, n));
    advance(x, end - x->at);
    return LRC_STATUS_OK;
}

static char sign_at(const struct lexer *x, size_t at)
{
    return at < x->n && (x->text[at] == '-' || x->text[at] == '+') ? x->text[at] : '\0';
}

static int is_name_start(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (unsigned char)c >= 0x80;
}

static int is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Length of `{%[-+]? WORD [-+]?%}` at x->at, 0 when something else stands there; the closing sign to *sign.
 */
static size_t word_tag(const struct lexer *x, size_t at, const char *word, char *sign)
{
    const size_t begin = at, n_word = strlen(word);
    if (x->n - at < 2 || memcmp(x->text + at, "{%", 2) != 0)
        return 0;
    at += 2;
    at += sign_at(x, at) != '\0';
    at += lrc_text__space_before(x->text + at, x->n - at);
    if (x->n - at < n_word || memcmp(x->text + at, word, n_word) != 0)
        return 0;
    at += n_word;
    at += lrc_text__space_before(x->text + at, x->n - at);
    *sign = sign_at(x, at);
    at += *sign != '\0';
    if (x->n - at < 2 || memcmp(x->text + at, "%}", 2) != 0)
        return 0;
    return at + 2 - begin;
}

static enum lrc_status read_raw(struct lexer *x, size_t n_tag, char sign)
{
    const int line = x->line;
    advance(x, n_tag);
    if (sign == '-')
        skip_space(x);
    x->line_starting = x->at > 0 && x->text[x->at - 1] == '\n';
    for (size_t at = x->at; at < x->n; at++) {
        char end_sign;
        const size_t n_end = word_tag(x, at, "endraw", &end_sign);
        if (n_end == 0)
            continue;
        LRC_TRY(add_data(x, x->at, at, sign_at(x, at + 2), 1));
        advance(x, n_end);
        after_tag(x, end_sign, 1);
        return LRC_STATUS_OK;
    }
    x->line = line;
    return fail(x, "{% endraw %}", "the end of the template");
}

static enum lrc_status read_comment(struct lexer *x)
{
    const char *end = NULL;
    for (size_t at = x->at + 2; at + 1 < x->n && !end; at++)
        if (x->text[at] == '#' && x->text[at + 1] == '}')
            end = x->text + at;
    if (!end)
        return fail(x, "'#}'", "the end of the template");
    const size_t at = (size_t)(end - x->text);
    const char sign = at > x->at + 2 ? sign_at(x, at - 1) : '\0';
    advance(x, at + 2 - x->at);
    after_tag(x, sign, 1);
    return LRC_STATUS_OK;
}

static int hex_value(char c)
{
    if (is_digit(c))
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* \xHH, \uHHHH, \UHHHHHHHH at s[0] = 'x', 'u', 'U': characters read, 0 when there are too few digits. */
static size_t hex_escape(const char *s, size_t n, int32_t *point)
{
    const size_t n_digits = s[0] == 'x' ? 2 : s[0] == 'u' ? 4 : 8;
    int64_t value = 0;
    if (n < 1 + n_digits)
        return 0;
    for (size_t i = 1; i <= n_digits; i++) {
        if (hex_value(s[i]) < 0)
            return 0;
        value = value * 16 + hex_value(s[i]);
    }
    if (value > 0x10ffff)
        return 0;
    *point = (int32_t)value;
    return 1 + n_digits;
}

/* One escape behind its backslash, as Python's: bytes read, 0 when it is none (the backslash stays). */
static size_t read_escape(const char *s, size_t n, char out[4], size_t *n_out)
{
    static const char from[] = "\\'\"abfnrtv", to[] = "\\'\"\a\b\f\n\r\t\v";
    int32_t point = 0;
    size_t n_read = 0;
    *n_out = 0;
    if (s[0] == '\n')
        return 1;
    const char *simple = s[0] ? strchr(from, s[0]) : NULL;
    if (simple) {
        out[0] = to[simple - from];
        *n_out = 1;
        return 1;
    }
    if (s[0] == 'x' || s[0] == 'u' || s[0] == 'U')
        n_read = hex_escape(s, n, &point);
    for (; n_read < 3 && n_read < n && s[n_read] >= '0' && s[n_read] <= '7'; n_read++)
        point = point * 8 + (s[n_read] - '0');
    if (n_read > 0)
        *n_out = lrc_text__encode(out, point);
    return n_read;
}

static enum lrc_status read_string(struct lexer *x)
{
    const char *s = x->text + x->at;
    const size_t left = x->n - x->at;
    size_t end = 1;
    while (end < left && s[end] != s[0])
        end += s[end] == '\\' ? 2 : 1;
    if (end >= left)
        return fail(x, "a closing quote", "the end of the template");
    char *out = lrc_bump__take(x->memory, end); /* an escape is never shorter than what it stands for */
    if (!out)
        return lrc_fail_nomem(x->err, "template strings");
    size_t n = 0;
    for (size_t i = 1; i < end;) {
        char escaped[4];
        size_t n_escaped, n_read;
        if (s[i] == '\\' && (n_read = read_escape(s + i + 1, end - i - 1, escaped, &n_escaped)) > 0) {
            memcpy(out + n, escaped, n_escaped);
            n += n_escaped;
            i += 1 + n_read;
        } else {
            out[n++] = s[i++];
        }
    }
    LRC_TRY(add(x, LRC_TOKEN_STRING, out, n));
    advance(x, end + 1);
    return LRC_STATUS_OK;
}

static size_t count_digits(const char *s, size_t n)
{
    size_t i = 0;
    while (i < n && (is_digit(s[i]) || (s[i] == '_' && i > 0 && i + 1 < n && is_digit(s[i + 1]))))
        i++;
    return i;
}

/* Length of the fraction and exponent behind an integer's digits; 0 when it is no float. */
static size_t float_tail(const char *s, size_t n)
{
    size_t i = 0;
    if (n > 1 && s[0] == '.' && is_digit(s[1]))
        i = 1 + count_digits(s + 1, n - 1);
    if (n > i + 1 && (s[i] == 'e' || s[i] == 'E')) {
        const size_t sign = (s[i + 1] == '+' || s[i + 1] == '-') ? 1 : 0;
        const size_t digits = count_digits(s + i + 1 + sign, n - i - 1 - sign);
        if (digits > 0)
            i += 1 + sign + digits;
    }
    return i;
}

static enum lrc_status read_number(struct lexer *x)
{
    enum { DIGITS_MAX = 400 };
    const char *s = x->text + x->at;
    const size_t left = x->n - x->at;
    const int behind_dot = x->at > 0 && s[-1] == '.';
    char digits[DIGITS_MAX + 1];
    size_t n = count_digits(s, left), n_digits = 0;
    const size_t tail = behind_dot ? 0 : float_tail(s + n, left - n);
    int base = 10;
    if (tail == 0 && left > 2 && s[0] == '0' && strchr("xXoObB", s[1]) && s[1]) {
        base = s[1] == 'x' || s[1] == 'X' ? 16 : s[1] == 'o' || s[1] == 'O' ? 8 : 2;
        for (n = 2; n < left && (s[n] == '_' || (hex_value(s[n]) >= 0 && hex_value(s[n]) < base));)
            n++;
    }
    n += tail;
    for (size_t i = base == 10 ? 0 : 2; i < n; i++) {
        if (n_digits == DIGITS_MAX)
            return fail(x, "a number of at most 400 digits", "a longer one");
        if (s[i] != '_')
            digits[n_digits++] = s[i];
    }
    digits[n_digits] = '\0';
    LRC_TRY(add(x, tail > 0 ? LRC_TOKEN_FLOAT : LRC_TOKEN_INT, s, n));
    struct lrc_token *token = &x->tokens->items[x->tokens->n - 1];
    if (tail > 0) {
        token->real = strtod(digits, NULL);
    } else {
        for (size_t i = 0; i < n_digits; i++)
            if (__builtin_mul_overflow(token->integer, base, &token->integer) ||
                __builtin_add_overflow(token->integer, hex_value(digits[i]), &token->integer))
                return fail(x, "an integer of 64 bits", "a larger one");
    }
    advance(x, n);
    return LRC_STATUS_OK;
}

static enum lrc_status read_operator(struct lexer *x, char brackets[BRACKETS_MAX], int *n_brackets)
{
    static const char *const pairs[] = {"//", "**", "==", "!=", ">=", "<="};
    const char c = x->text[x->at];
    size_t n = 1;
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++)
        if (peek(x, pairs[i]))
            n = 2;
    if (n == 1 && !strchr("+-/*%~[](){}><=.|,:;", c)) {
        char got[] = "'?'";
        got[1] = (unsigned char)c < 0x20 || c == 0x7f ? '?' : c;
        return fail(x, "an expression", got);
    }
    const char *open = n == 1 && c ? strchr("([{", c) : NULL;
    const char *close = n == 1 && c ? strchr(")]}", c) : NULL;
    if (open) {
        if (*n_brackets == BRACKETS_MAX)
            return fail(x, "at most 256 nested brackets", "more");
        brackets[(*n_brackets)++] = ")]}"[strchr("([{", c) - "([{"];
    }
    if (close) {
        if (*n_brackets == 0 || brackets[*n_brackets - 1] != c) {
            char got[] = "'?'";
            got[1] = c;
            return fail(x, *n_brackets ? "the bracket that was opened to be closed" : "no closing bracket",
                        got);
        }
        (*n_brackets)--;
    }
    LRC_TRY(add(x, LRC_TOKEN_OPERATOR, x->text + x->at, n));
    advance(x, n);
    return LRC_STATUS_OK;
}

/* The inside of {{ }} or {% %} and its end. Inside brackets "}}" is two closing braces. */
static enum lrc_status read_tag(struct lexer *x, const char *end, enum lrc_token_kind end_kind)
{
    char brackets[BRACKETS_MAX];
    int n_brackets = 0;
    for (;;) {
        skip_space(x);
        if (x->at == x->n)
            return fail(x, end_kind == LRC_TOKEN_BLOCK_END ? "'%}'" : "'}}'", "the end of the template");
        const char c = x->text[x->at];
        const size_t n_sign = c == '-' || (c == '+' && end_kind == LRC_TOKEN_BLOCK_END) ? 1 : 0;
        if (n_brackets == 0 && x->n - x->at >= n_sign + 2 && memcmp(x->text + x->at + n_sign, end, 2) == 0) {
            LRC_TRY(add(x, end_kind, x->text + x->at, n_sign + 2));
            advance(x, n_sign + 2);
            after_tag(x, n_sign ? c : '\0', end_kind == LRC_TOKEN_BLOCK_END);
            return LRC_STATUS_OK;
        }
        if (is_name_start(c)) {
            size_t n = 1;
            while (n < x->n - x->at && (is_name_start(x->text[x->at + n]) || is_digit(x->text[x->at + n])))
                n++;
            LRC_TRY(add(x, LRC_TOKEN_NAME, x->text + x->at, n));
            x->at += n;
        } else if (is_digit(c)) {
            LRC_TRY(read_number(x));
        } else if (c == '\'' || c == '"') {
            LRC_TRY(read_string(x));
        } else {
            LRC_TRY(read_operator(x, brackets, &n_brackets));
        }
    }
}

static size_t find_tag(const struct lexer *x)
{
    size_t at = x->at;
    while (at + 1 < x->n && !(x->text[at] == '{' && strchr("{%#", x->text[at + 1]) && x->text[at + 1]))
        at++;
    return at + 1 < x->n ? at : x->n;
}

enum lrc_status lrc_tokens__read(struct lrc_tokens *tokens, struct lrc_bump *memory, const char *text,
                                 size_t n, const char *name, struct lrc_error *err)
{
    struct lexer x = {.tokens = tokens,
                      .memory = memory,
                      .text = text,
                      .name = name,
                      .n = n,
                      .line = 1,
                      .line_starting = 1,
                      .err = err};
    for (;;) {
        const size_t at = find_tag(&x);
        if (at == n) {
            if (at > x.at)
                LRC_TRY(add(&x, LRC_TOKEN_DATA, text + x.at, n - x.at));
            advance(&x, n - x.at);
            return add(&x, LRC_TOKEN_END, text + n, 0);
        }
        const char kind = text[at + 1], sign = sign_at(&x, at + 2);
        char raw_sign = '\0';
        const size_t n_raw = word_tag(&x, at, "raw", &raw_sign);
        LRC_TRY(add_data(&x, x.at, at, kind == '{' && sign == '+' ? '\0' : sign, kind != '{'));
        if (n_raw > 0 && raw_sign != '+') {
            LRC_TRY(read_raw(&x, n_raw, raw_sign));
        } else if (kind == '#') {
            LRC_TRY(read_comment(&x));
        } else {
            const enum lrc_token_kind begin = kind == '%' ? LRC_TOKEN_BLOCK_BEGIN : LRC_TOKEN_VARIABLE_BEGIN;
            LRC_TRY(add(&x, begin, text + at, 2));
            advance(&x, sign == '-' || (sign == '+' && kind == '%') ? 3 : 2);
            LRC_TRY(kind == '%' ? read_tag(&x, "%}", LRC_TOKEN_BLOCK_END)
                                : read_tag(&x, "}}", LRC_TOKEN_VARIABLE_END));
        }
    }
}
