/* What a tokenizer does with text, ids and added tokens, on vocabularies small enough to read. */
#include "base/alloc.h"
#include "base/buf.h"
#include "tokenizer/tokenizer.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <string.h>

#define SPACE "\xE2\x96\x81" /* U+2581 */
#define LOST "\xEF\xBF\xBD"  /* U+FFFD */

/* Byte-level: "h", "e", "l", "o", "Ġ", the bytes of U+1F44D, "he", "ll", "hell", "hello". */
#define BYTE_MODEL                                                                                           \
    "'model': {'type': 'BPE', 'vocab': {'h': 0, 'e': 1, 'l': 2, 'o': 3, '\u0120': 4, '\u00f0': 5,"           \
    " '\u0141': 6, '\u0133': 7, '\u012f': 8, 'he': 9, 'll': 10, 'hell': 11, 'hello': 12},"                   \
    " 'merges': ['h e', ['l', 'l'], 'he ll', 'hell o']}"
#define BYTE_STAGES                                                                                          \
    "'pre_tokenizer': {'type': 'ByteLevel', 'add_prefix_space': false}, 'decoder': {'type': 'ByteLevel'}"
#define BYTES "," BYTE_MODEL ", " BYTE_STAGES "}"

/* json is written with ' for ". */
static enum lrc_status read_tiny(struct lrc_tokenizer **tokenizer, const char *json, struct lrc_error *err)
{
    struct lrc_buf text = { 0 };
    for (; *json; json++)
        lrc_buf_putc(&text, *json == '\'' ? '"' : *json);
    const enum lrc_status status =
        lrc_tokenizer_read_json(tokenizer, lrc_buf_text(&text), text.len, "tiny", err);
    lrc_buf_release(&text);
    return status;
}

static struct lrc_tokenizer *tokenizer_of(const char *json)
{
    struct lrc_tokenizer *tokenizer = NULL;
    struct lrc_error      err = { 0 };
    cr_assert_eq(read_tiny(&tokenizer, json, &err), LRC_STATUS_OK, "%s", err.message);
    return tokenizer;
}

static enum lrc_status status_of(const char *json, struct lrc_error *err)
{
    struct lrc_tokenizer *tokenizer = NULL;
    const enum lrc_status status = read_tiny(&tokenizer, json, err);
    cr_expect_eq(tokenizer == NULL, status != LRC_STATUS_OK);
    lrc_tokenizer_free(tokenizer);
    return status;
}

static void encode(const struct lrc_tokenizer *tokenizer, struct lrc_ids *ids, const char *text, size_t n)
{
    struct lrc_error      err = { 0 };
    const enum lrc_status status = lrc_tokenizer_encode(tokenizer, ids, text, n, LRC_SPECIAL_NONE, &err);
    cr_assert_eq(status, LRC_STATUS_OK, "%s", err.message);
}

/* The pieces of text with spaces between them. */
static void expect_pieces(const struct lrc_tokenizer *tokenizer, const char *text, const char *want)
{
    struct lrc_ids   ids = { 0 };
    struct lrc_buf   got = { 0 };
    encode(tokenizer, &ids, text, strlen(text));
    for (int64_t i = 0; i < ids.len; i++)
        lrc_buf_printf(&got, "%s%s", i ? " " : "", lrc_tokenizer_piece(tokenizer, ids.data[i]));
    cr_expect_str_eq(lrc_buf_text(&got), want, "'%s' became '%s'", text, lrc_buf_text(&got));
    lrc_ids_release(&ids);
    lrc_buf_release(&got);
}

static void expect_text(const struct lrc_tokenizer *tokenizer, const int32_t *ids, int64_t n,
                        enum lrc_skip skip, const char *want)
{
    struct lrc_buf   got = { 0 };
    struct lrc_error err;
    cr_assert_eq(lrc_tokenizer_decode(tokenizer, &got, ids, n, skip, &err), LRC_STATUS_OK, "%s", err.message);
    cr_expect_str_eq(lrc_buf_text(&got), want);
    lrc_buf_release(&got);
}

Test(tokenizer, the_lowest_rank_merges_first_and_the_leftmost_on_ties)
{
    struct lrc_tokenizer *tokenizer = tokenizer_of("{'version': '1.0'" BYTES);
    expect_pieces(tokenizer, "hello", "hello");
    expect_pieces(tokenizer, "lll", "ll l");
    expect_pieces(tokenizer, "llll", "ll ll");
    expect_pieces(tokenizer, "hello hell", "hello \u0120 hell");
    expect_pieces(tokenizer, "", "");
    lrc_tokenizer_free(tokenizer);
}

Test(tokenizer, a_character_outside_the_vocabulary_is_dropped_without_unk)
{
    struct lrc_tokenizer *tokenizer = tokenizer_of("{'version': '1.0'" BYTES);
    expect_pieces(tokenizer, "hxe", "he"); /* as the reference: its neighbours meet */
    expect_pieces(tokenizer, "xyz", "");
    lrc_tokenizer_free(tokenizer);
}

Test(tokenizer, unknown_characters_become_bytes_or_one_unk)
{
    struct lrc_tokenizer *tokenizer = tokenizer_of(
        "{'model': {'type': 'BPE', 'unk_token': '<unk>', 'fuse_unk': true, 'byte_fallback': true,"
        " 'merges': [], 'vocab': {'<unk>': 0, 'a': 1, '<0xC3>': 2, '<0xA9>': 3}}}");
    expect_pieces(tokenizer, "a\u00e9a", "a <0xC3> <0xA9> a");
    expect_pieces(tokenizer, "axya", "a <unk> a");
    lrc_tokenizer_free(tokenizer);
}

Test(tokenizer, ignore_merges_takes_a_whole_word_the_merges_do_not_reach)
{
    struct lrc_tokenizer *tokenizer = tokenizer_of(
        "{'model': {'type': 'BPE', 'ignore_merges': true, 'merges': [], 'vocab': {'a': 0, 'b': 1, 'ab': 2}},"
        " 'pre_tokenizer': {'type': 'WhitespaceSplit'}}");
    expect_pieces(tokenizer, "ab ba", "ab b a");
    lrc_tokenizer_free(tokenizer);
}

#define ADDED(id, content, options) "{'id': " #id ", 'content': '" content "'" options "}"

Test(tokenizer, added_tokens_match_leftmost_then_longest)
{
    struct lrc_tokenizer *tokenizer = tokenizer_of(
        "{'added_tokens': [" ADDED(20, "<a>", "") "," ADDED(21, "<a><b>", "") "," 
        ADDED(22, "he", ", 'single_word': true") ","
        ADDED(23, "[L]", ", 'lstrip': true") "," ADDED(24, "[R]", ", 'rstrip': true, 'special': true") ","
        ADDED(25, " y", ", 'normalized': false") "],"
        BYTE_MODEL ", " BYTE_STAGES "}");
    expect_pieces(tokenizer, "<a><a><b>", "<a> <a><b>");
    expect_pieces(tokenizer, "he hell o_he", "he \u0120 hell \u0120 o he");
    expect_pieces(tokenizer, "o  [L] o", "o [L] \u0120 o");
    expect_pieces(tokenizer, "o  [R] \n o", "o \u0120 \u0120 [R] o");
    expect_pieces(tokenizer, "[R]  yo", "[R]  y o"); /* " y" begins inside what [R] took */
    cr_expect(lrc_tokenizer_is_special(tokenizer, 24));
    cr_expect_not(lrc_tokenizer_is_special(tokenizer, 23));
    cr_expect_eq(lrc_tokenizer_n_ids(tokenizer), 26);
    cr_expect_null(lrc_tokenizer_piece(tokenizer, 15));
    cr_expect_null(lrc_tokenizer_piece(tokenizer, -1));
    cr_expect_eq(lrc_tokenizer_find(tokenizer, "[L]", 3), 23);
    cr_expect_eq(lrc_tokenizer_find(tokenizer, "[L", 2), -1);
    lrc_tokenizer_free(tokenizer);
}

Test(tokenizer, special_tokens_are_left_out_only_when_asked)
{
    struct lrc_tokenizer *tokenizer =
        tokenizer_of("{'added_tokens': [" ADDED(20, "<s>", ", 'special': true") "]" BYTES);
    const int32_t ids[] = { 20, 12, 4, 20, 3 };
    expect_text(tokenizer, ids, 5, LRC_SKIP_NONE, "<s>hello <s>o");
    expect_text(tokenizer, ids, 5, LRC_SKIP_SPECIAL, "hello o");
    lrc_tokenizer_free(tokenizer);
}

Test(tokenizer, the_post_processor_runs_only_when_asked)
{
    struct lrc_tokenizer *tokenizer = tokenizer_of(
        "{'post_processor': {'type': 'Sequence', 'processors': [{'type': 'ByteLevel'}, "
        " {'type': 'TemplateProcessing', 'single': [{'SpecialToken': {'id': 'B'}}, {'Sequence': {'id': 'A'}},"
        " {'SpecialToken': {'id': 'E'}}],"
        " 'special_tokens': {'B': {'ids': [7]}, 'E': {'ids': [8, 9]}}}]}," BYTE_MODEL ", " BYTE_STAGES "}");
    struct lrc_ids   ids = { 0 };
    struct lrc_error err;
    cr_assert_eq(lrc_tokenizer_encode(tokenizer, &ids, NULL, 0, LRC_SPECIAL_ADD, &err), LRC_STATUS_OK);
    cr_assert_eq(ids.len, 3);
    cr_expect(ids.data[0] == 7 && ids.data[1] == 8 && ids.data[2] == 9);
    encode(tokenizer, &ids, "o", 1);
    cr_assert_eq(ids.len, 4, "encode appends");
    lrc_ids_release(&ids);
    lrc_tokenizer_free(tokenizer);
}

/* ---- streaming ---- */

static void push(struct lrc_decode_stream *stream, int32_t id, const char *want)
{
    struct lrc_buf   piece = { 0 };
    struct lrc_error err;
    cr_assert_eq(lrc_decode_push(stream, &piece, id, &err), LRC_STATUS_OK, "%s", err.message);
    const char *got = lrc_buf_text(&piece);
    cr_expect_str_eq(got, want, "id %d gave '%s', want '%s'", id, got, want);
    lrc_buf_release(&piece);
}

static void finish(struct lrc_decode_stream *stream, const char *want)
{
    struct lrc_buf   piece = { 0 };
    struct lrc_error err;
    cr_assert_eq(lrc_decode_finish(stream, &piece, &err), LRC_STATUS_OK);
    cr_expect_str_eq(lrc_buf_text(&piece), want);
    lrc_buf_release(&piece);
}

Test(tokenizer, a_streamed_piece_never_ends_inside_a_character)
{
    struct lrc_tokenizer    *tokenizer = tokenizer_of("{'version': '1.0'" BYTES);
    struct lrc_decode_stream stream;
    lrc_decode_init(&stream, tokenizer, LRC_SKIP_NONE);
    push(&stream, 12, "hello");
    push(&stream, 5, "");
    push(&stream, 6, "");
    push(&stream, 7, "");
    push(&stream, 8, "\U0001F44D");
    push(&stream, 5, "");
    push(&stream, 3, LOST "o");
    push(&stream, 5, "");
    finish(&stream, LOST);
    lrc_tokenizer_free(tokenizer);
}

Test(tokenizer, a_stream_keeps_its_memory_small)
{
    struct lrc_tokenizer    *tokenizer = tokenizer_of("{'version': '1.0'" BYTES);
    struct lrc_decode_stream stream;
    lrc_decode_init(&stream, tokenizer, LRC_SKIP_NONE);
    for (int i = 0; i < 1000; i++) {
        push(&stream, 12, "hello");
        cr_assert_leq(stream.ids.len, 1);
    }
    finish(&stream, "");
    lrc_tokenizer_free(tokenizer);
}

Test(tokenizer, a_stream_drops_only_the_first_space)
{
    struct lrc_tokenizer *tokenizer = tokenizer_of(
        "{'added_tokens': [" ADDED(9, "<s>", ", 'special': true") "],"
        " 'decoder': {'type': 'Sequence', 'decoders': ["
        "{'type': 'Replace', 'pattern': {'String': '" SPACE "'}, 'content': ' '},"
        " {'type': 'ByteFallback'}, {'type': 'Fuse'},"
        " {'type': 'Strip', 'content': ' ', 'start': 1, 'stop': 0}]},"
        " 'model': {'type': 'BPE', 'merges': [],"
        " 'vocab': {'" SPACE "a': 0, '" SPACE "': 1, '<0xC3>': 2, '<0xA9>': 3}}}");
    struct lrc_decode_stream stream;
    lrc_decode_init(&stream, tokenizer, LRC_SKIP_SPECIAL);
    push(&stream, 9, "");
    push(&stream, 1, "");
    push(&stream, 0, " a");
    push(&stream, 0, " a");
    push(&stream, 9, "");
    push(&stream, 0, " a");
    push(&stream, 2, "");
    push(&stream, 3, ""); /* a run of bytes is read as a whole: its end is not known yet */
    push(&stream, 0, "\u00e9 a");
    push(&stream, 2, "");
    push(&stream, 1, LOST " ");
    finish(&stream, "");
    lrc_tokenizer_free(tokenizer);
}

/* ---- errors ---- */

Test(tokenizer, text_that_is_not_utf8_is_a_data_error)
{
    struct lrc_tokenizer *tokenizer = tokenizer_of("{'version': '1.0'" BYTES);
    struct lrc_ids        ids = { 0 };
    struct lrc_error      err = { 0 };
    static const char *const broken[] = { "ab\xff", "ab\xc3", "ab\xc0\xaf", "ab\xed\xa0\x80",
                                          "ab\xf4\x90\x80\x80", "ab\xe0\x80\x80" };
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        const size_t n = strlen(broken[i]);
        cr_expect_eq(lrc_tokenizer_encode(tokenizer, &ids, broken[i], n, LRC_SPECIAL_NONE, &err),
                     LRC_STATUS_DATA);
        cr_expect_not_null(strstr(err.message, "at 2"), "%s", err.message);
    }
    lrc_ids_release(&ids);
    lrc_tokenizer_free(tokenizer);
}

Test(tokenizer, an_id_outside_the_vocabulary_is_a_data_error)
{
    struct lrc_tokenizer    *tokenizer = tokenizer_of("{'version': '1.0'" BYTES);
    struct lrc_decode_stream stream;
    struct lrc_buf           text = { 0 };
    struct lrc_error         err = { 0 };
    const int32_t            bad[] = { 13, -1, INT32_MAX };
    lrc_decode_init(&stream, tokenizer, LRC_SKIP_NONE);
    for (int i = 0; i < 3; i++) {
        cr_expect_eq(lrc_tokenizer_decode(tokenizer, &text, &bad[i], 1, LRC_SKIP_SPECIAL, &err),
                     LRC_STATUS_DATA);
        cr_expect_eq(lrc_decode_push(&stream, &text, bad[i], &err), LRC_STATUS_DATA);
    }
    cr_expect_not_null(strstr(err.message, "2147483647"), "%s", err.message);
    lrc_decode_release(&stream);
    lrc_buf_release(&text);
    lrc_tokenizer_free(tokenizer);
}

#define SPLIT(pattern, behavior)                                                                             \
    "{" BYTE_MODEL ", 'pre_tokenizer': {'type': 'Split', 'pattern': " pattern ", 'behavior': '" behavior "'}}"

Test(tokenizer, an_unknown_stage_is_named)
{
    static const struct {
        const char *json, *named;
    } cases[] = {
        { "{" BYTE_MODEL ", 'normalizer': {'type': 'Shuffle'}}", 
          "normalizer: want a stage this version knows, got 'Shuffle'" },
        { "{" BYTE_MODEL ", 'pre_tokenizer': {'type': 'UnicodeScripts'}}", "'UnicodeScripts'" },
        { "{" BYTE_MODEL ", 'post_processor': {'type': 'Sequence', 'processors': [{'type': 'Odd'}]}}",
          "'Odd'" },
        { "{" BYTE_MODEL ", 'decoder': {'type': 'CTC'}}", "'CTC'" },
        { "{'model': {'type': 'WordPiece'}}", "'WordPiece'" },
        { "{'model': {'type': 'BPE', 'dropout': 0.1, 'merges': [], 'vocab': {'a': 0}}}", "'dropout'" },
        { SPLIT("{'Regex': '[a&&b]'}", "Isolated"), "&&" },
        { SPLIT("{'Regex': 'a('}", "Isolated"), "a(" },
        { SPLIT("{'String': 'a'}", "Odd"), "'Odd'" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct lrc_error err = { 0 };
        cr_expect_eq(status_of(cases[i].json, &err), LRC_STATUS_UNSUPPORTED, "%s", cases[i].json);
        cr_expect_not_null(strstr(err.message, cases[i].named), "%s", err.message);
        cr_expect_eq(strncmp(err.message, "tiny: ", 6), 0, "%s", err.message);
    }
}

Test(tokenizer, a_damaged_file_is_a_format_error)
{
    static const char *const cases[] = {
        "", "[]", "{}", "{'model': 3}",
        "{'model': {'type': 'BPE', 'vocab': {'a': 0, 'b': 0}, 'merges': []}}",
        "{'model': {'type': 'BPE', 'vocab': {'a': -1}, 'merges': []}}",
        "{'model': {'type': 'BPE', 'vocab': {'a': 99999999999}, 'merges': []}}",
        "{'model': {'type': 'BPE', 'vocab': {'a': '0'}, 'merges': []}}",
        "{'model': {'type': 'BPE', 'vocab': {'a': 0}, 'merges': ['a a']}}",
        "{'model': {'type': 'BPE', 'vocab': {'a': 0, 'aa': 1}, 'merges': ['a a a']}}",
        "{'model': {'type': 'BPE', 'vocab': {'a': 0, 'aa': 1}, 'merges': [['a']]}}",
        "{'model': {'type': 'Unigram', 'unk_id': 5, 'vocab': [['a', 0]]}}",
        "{'added_tokens': [{'id': 1}]," BYTE_MODEL "}",
        "{'added_tokens': [{'id': 1, 'content': 'zz'}]," BYTE_MODEL "}",
        "{'normalizer': {'type': 'Precompiled', 'precompiled_charsmap': 'AAAA'}," BYTE_MODEL "}",
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct lrc_error err = { 0 };
        cr_expect_eq(status_of(cases[i], &err), LRC_STATUS_FORMAT, "%s: %s", cases[i], err.message);
    }
}

/* ---- hostile sizes ---- */

static void encode_repeated(const struct lrc_tokenizer *tokenizer, const char *unit, size_t n_bytes)
{
    struct lrc_buf   text = { 0 };
    struct lrc_ids   ids = { 0 };
    while (text.len < n_bytes)
        lrc_buf_puts(&text, unit);
    encode(tokenizer, &ids, text.data, text.len);
    cr_expect_gt(ids.len, 0);
    lrc_ids_release(&ids);
    lrc_buf_release(&text);
}

/* Quadratic work on four megabytes takes hours. */
Test(tokenizer, megabytes_without_a_space_take_seconds, .timeout = 100)
{
    enum { N_BYTES = 4000000 };
    struct lrc_tokenizer *bytes = tokenizer_of("{'normalizer': {'type': 'NFC'}" BYTES);
    struct lrc_tokenizer *unigram = tokenizer_of(
        "{'model': {'type': 'Unigram', 'unk_id': 0, 'vocab': [['<unk>', 0], ['l', -1], ['ll', -1.5],"
        " ['hello', -3]]}}");
    static const char *const units[] = { "l", "hello", " ", "\n ", "hllo", "o\u0323\u0307\u0323" };
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        encode_repeated(bytes, units[i], N_BYTES);
        encode_repeated(unigram, units[i], N_BYTES);
    }
    lrc_tokenizer_free(bytes);
    lrc_tokenizer_free(unigram);
}

/* Marks of alternating classes, all of one character: reordering them pairwise would be quadratic too. */
Test(tokenizer, a_megabyte_of_combining_marks_is_put_in_order, .timeout = 100)
{
    struct lrc_tokenizer *tokenizer = tokenizer_of(
        "{'normalizer': {'type': 'NFD'}, 'model': {'type': 'BPE', 'merges': [],"
        " 'vocab': {'o': 0, '\u0323': 1, '\u0307': 2}}}");
    struct lrc_buf   text = { 0 };
    struct lrc_ids   ids = { 0 };
    enum { N_MARKS = 500000 };
    lrc_buf_puts(&text, "o");
    for (int i = 0; i < N_MARKS / 2; i++)
        lrc_buf_puts(&text, "\u0307\u0323"); /* classes 230 and 220 */
    encode(tokenizer, &ids, text.data, text.len);
    cr_assert_eq(ids.len, 1 + N_MARKS);
    for (int64_t i = 1; i <= N_MARKS; i++)
        cr_assert_eq(ids.data[i], i <= N_MARKS / 2 ? 1 : 2);
    lrc_ids_release(&ids);
    lrc_buf_release(&text);
    lrc_tokenizer_free(tokenizer);
}

Test(tokenizer, an_exponential_expression_ends_with_a_status, .timeout = 100)
{
    struct lrc_tokenizer *tokenizer = tokenizer_of(
        SPLIT("{'Regex': '^(([lo]+)+)+$'}", "Isolated"));
    char             text[65];
    struct lrc_ids   ids = { 0 };
    struct lrc_error err = { 0 };
    memset(text, 'l', 64);
    text[64] = 'h';
    cr_expect_eq(lrc_tokenizer_encode(tokenizer, &ids, text, sizeof text, LRC_SPECIAL_NONE, &err),
                 LRC_STATUS_UNSUPPORTED);
    cr_expect_not_null(strstr(err.message, "steps"), "%s", err.message);
    lrc_ids_release(&ids);
    lrc_tokenizer_free(tokenizer);
}

/* ---- threads ---- */

struct job {
    const struct lrc_tokenizer *tokenizer;
    struct lrc_ids              ids;
    unsigned                    failed;
};

static void *encode_many(void *argument)
{
    static const char text[] = "hello hell  he\U0001F44D lloo <s> ";
    struct job       *job = argument;
    struct lrc_error  err;
    for (int i = 0; i < 500; i++)
        job->failed |= lrc_tokenizer_encode(job->tokenizer, &job->ids, text, sizeof text - 1,
                                            LRC_SPECIAL_ADD, &err);
    return NULL;
}

Test(tokenizer, threads_share_one_tokenizer)
{
    enum { N_THREADS = 4 };
    struct lrc_tokenizer *tokenizer = tokenizer_of("{'added_tokens': [" ADDED(20, "<s>", "") "]" BYTES);
    struct job            jobs[N_THREADS] = { { 0 } };
    pthread_t             threads[N_THREADS];
    for (int i = 0; i < N_THREADS; i++) {
        jobs[i].tokenizer = tokenizer;
        cr_assert_eq(pthread_create(&threads[i], NULL, encode_many, &jobs[i]), 0);
    }
    for (int i = 0; i < N_THREADS; i++)
        cr_assert_eq(pthread_join(threads[i], NULL), 0);
    cr_expect_gt(jobs[0].ids.len, 500);
    for (int i = 0; i < N_THREADS; i++) {
        cr_expect_eq(jobs[i].failed, 0);
        cr_assert_eq(jobs[i].ids.len, jobs[0].ids.len);
        const size_t n_bytes = (size_t)jobs[0].ids.len * sizeof(int32_t);
        cr_expect_eq(memcmp(jobs[i].ids.data, jobs[0].ids.data, n_bytes), 0);
    }
    for (int i = 0; i < N_THREADS; i++)
        lrc_ids_release(&jobs[i].ids);
    lrc_tokenizer_free(tokenizer);
}

/* Long texts remember words, short ones do not: both must say the same. */
Test(tokenizer, long_texts_give_the_ids_of_their_words)
{
    struct lrc_tokenizer *tokenizer = tokenizer_of("{'version': '1.0'" BYTES);
    struct lrc_buf        text = { 0 };
    struct lrc_ids        together = { 0 }, apart = { 0 };
    uint32_t              state = 1;
    for (int i = 0; i < 20000; i++) {
        struct lrc_buf word = { 0 };
        for (int k = 0; k < 8; k++) { /* 65,536 words of one length: many meet in the memory */
            state = state * 1664525 + 1013904223;
            lrc_buf_putc(&word, "helo"[state >> 30]);
        }
        lrc_buf_puts(&word, i % 3 ? "\n" : " ");
        lrc_buf_puts(&text, word.data);
        encode(tokenizer, &apart, word.data, word.len);
        lrc_buf_release(&word);
    }
    encode(tokenizer, &together, text.data, text.len);
    lrc_buf_release(&text);
    /* In the text a space belongs to the next word, but no merge takes it in: it is an id of its own too. */
    cr_assert_eq(together.len, apart.len);
    cr_expect_eq(memcmp(together.data, apart.data, (size_t)apart.len * sizeof(int32_t)), 0);
    lrc_ids_release(&together);
    lrc_ids_release(&apart);
    lrc_tokenizer_free(tokenizer);
}

/* U+180E is white space to PCRE2's \s, but neither to Unicode nor to the expressions' own engine. */
Test(tokenizer, classes_of_expressions_are_those_of_unicode)
{
    struct lrc_tokenizer *space = tokenizer_of(
        "{'pre_tokenizer': {'type': 'Split', 'pattern': {'Regex': '[^\\\\s]+'}, 'behavior': 'Isolated'},"
        " 'model': {'type': 'BPE', 'ignore_merges': true, 'merges': [],"
        " 'vocab': {'a\u180eb': 0, 'a': 1, 'b': 2, '\u2028': 3}}}");
    expect_pieces(space, "a\u180eb", "a\u180eb");
    expect_pieces(space, "a\u2028b", "a \u2028 b");
    lrc_tokenizer_free(space);
    struct lrc_tokenizer *word = tokenizer_of(
        "{'pre_tokenizer': {'type': 'Split', 'pattern': {'Regex': '\\\\w+'}, 'behavior': 'Isolated'},"
        " 'model': {'type': 'BPE', 'ignore_merges': true, 'merges': [],"
        " 'vocab': {'a\u0301b': 0, '-': 1, 'a': 2, 'b': 3}}}");
    expect_pieces(word, "a\u0301b-a", "a\u0301b - a"); /* a mark does not end the word */
    lrc_tokenizer_free(word);
}
