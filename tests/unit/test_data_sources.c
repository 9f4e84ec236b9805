/* From bytes on disk to rows: kinds, CSV, packed files, folders, patterns, stdin. */
#include "base/alloc.h"
#include "base/file.h"
#include "data/dataset.h"
#include "data/file_list.h"
#include "data/row_file.h"
#include "data/unpack.h"
#include "support.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

/* All rows as "<line> <JSON>" lines, then problems and errors. lrc_buf_release() it. */
static struct lrc_buf read_all(const struct lrc_row_file *file)
{
    struct lrc_buf   shown = { 0 };
    struct lrc_error err;
    for (int64_t i = 0; i < file->n_rows; i++) {
        json_t *row;
        if (lrc_row_file_parse(&row, file, i, &err) != LRC_STATUS_OK) {
            lrc_buf_printf(&shown, "%s\n", err.message);
            continue;
        }
        char *text = json_dumps(row, JSON_COMPACT);
        lrc_buf_printf(&shown, "%lld %s\n", (long long)file->rows[i].line, text);
        free(text);
        json_decref(row);
    }
    return shown;
}

static void expect_rows(enum lrc_row_kind kind, const char *name, const char *bytes, size_t n,
                        const char *wanted)
{
    struct lrc_row_file file = { .kind = kind };
    struct lrc_problems problems = { 0 };
    struct lrc_error    err;
    cr_assert_eq(lrc_row_file_scan(&file, bytes, n, name, &problems, &err), LRC_STATUS_OK, "%s", err.message);
    struct lrc_buf shown = read_all(&file);
    lrc_buf_puts(&shown, lrc_buf_text(&problems.text));
    cr_expect_str_eq(lrc_buf_text(&shown), wanted, "%s\n got  %s\n want %s", bytes, lrc_buf_text(&shown),
                     wanted);
    lrc_buf_release(&shown);
    lrc_problems_release(&problems);
    lrc_row_file_close(&file);
}

static void expect_csv(const char *text, const char *wanted)
{
    expect_rows(LRC_ROW_KIND_CSV, "f", text, strlen(text), wanted);
}

Test(data_sources, csv_records_become_objects_of_strings)
{
    expect_csv("a,b\n1,2\n", "2 {\"a\":\"1\",\"b\":\"2\"}\n");
    expect_csv("a,b\r\n1,2\r\n\r\n3,4", "2 {\"a\":\"1\",\"b\":\"2\"}\n4 {\"a\":\"3\",\"b\":\"4\"}\n");
    expect_csv("a,b\n\"x, \"\"y\"\"\nz\",\n,\"\"\n",
               "2 {\"a\":\"x, \\\"y\\\"\\nz\",\"b\":\"\"}\n4 {\"a\":\"\",\"b\":\"\"}\n");
    expect_csv("a,b\n5\" disk, say \"hi\"\n", "2 {\"a\":\"5\\\" disk\",\"b\":\" say \\\"hi\\\"\"}\n");
    expect_csv("a\n\"x\r\ny\"\r\n", "2 {\"a\":\"x\\r\\ny\"}\n");
    expect_csv("a\n\"\"\"\"\n", "2 {\"a\":\"\\\"\"}\n");
    expect_csv("\n\n\"a,b\"\nx\n", "4 {\"a,b\":\"x\"}\n");
    expect_csv("\xef\xbb\xbfg\xc3\xbc\n\xc3\xa9\n", "2 {\"g\xc3\xbc\":\"\xc3\xa9\"}\n");
    expect_csv("", "");
    expect_csv("a,b\n", "");
    expect_rows(LRC_ROW_KIND_TSV, "f", "a\tb\n1,5\t\"2\t3\"\n", 14, "2 {\"a\":\"1,5\",\"b\":\"2\\t3\"}\n");
    expect_rows(LRC_ROW_KIND_CSV, "f", "a\nx\0y\n", 6, "2 {\"a\":\"x\\u0000y\"}\n");
}

Test(data_sources, broken_csv_names_the_line)
{
    expect_csv("a,b\n1\n1,2,3\n", "f:2: want 2 fields, as in the header, got 1\n"
                                  "f:3: want 2 fields, as in the header, got at least 3\n");
    expect_csv("a\n\"x\"y\nz\n", "f:2: want a separator after a closing quote, got 'y'\n3 {\"a\":\"z\"}\n");
    expect_csv("a\nx\n\"y\nz\n", "2 {\"a\":\"x\"}\n"
                                 "f:3: want a closing quote for a field that starts with one, got none\n");
    expect_csv("a\n\xff\n", "f:2: want UTF-8, got the byte 0xff\n");
    expect_csv("a,b,a\n1,2,3\n", "f:1: want every column name once, got 'a' again\n");
    expect_csv("\"a\n1\n", "f:1: want a closing quote for a field that starts with one, got none\n");
    expect_csv("\xff\n1\n", "f:1: want UTF-8, got the byte 0xff\n");
    expect_rows(LRC_ROW_KIND_CSV, "f", "a\0\n1\n", 5,
                "f:1: want column names without NUL, got one in column 1\n");
}

Test(data_sources, first_bytes_go_before_the_name)
{
    static const struct {
        const char       *name, *bytes;
        enum lrc_row_kind kind;
    } cases[] = {
        { "x.csv", "a,b\n", LRC_ROW_KIND_CSV },
        { "x.CSV.gz", "a,b\n", LRC_ROW_KIND_CSV },
        { "x.tsv.zst", "a\tb\n", LRC_ROW_KIND_TSV },
        { "x.md", "# Title\n", LRC_ROW_KIND_TEXT },
        { "x.md", "[a link](b)\n", LRC_ROW_KIND_TEXT },
        { "x.txt", "{%- if x %}", LRC_ROW_KIND_TEXT },
        { "x.txt", "\n {\"a\": 1}", LRC_ROW_KIND_JSON },
        { "x.csv", "[ {\"a\": 1}]", LRC_ROW_KIND_JSON },
        { "x.csv", "{}", LRC_ROW_KIND_JSON },
        { "x.parquet", "{\"a\": 1}", LRC_ROW_KIND_JSON },
        { "x", "a,b\n", LRC_ROW_KIND_JSON },
        { "csv", "a,b\n", LRC_ROW_KIND_JSON },
        { "x.txt", "", LRC_ROW_KIND_TEXT },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct lrc_row_file file = { 0 };
        struct lrc_problems problems = { 0 };
        struct lrc_error    err;
        cr_assert_eq(
            lrc_row_file_scan(&file, cases[i].bytes, strlen(cases[i].bytes), cases[i].name, &problems, &err),
            LRC_STATUS_OK);
        cr_expect_eq(file.kind, cases[i].kind, "%s %s", cases[i].name, cases[i].bytes);
        lrc_problems_release(&problems);
        lrc_row_file_close(&file);
    }
}

Test(data_sources, text_is_one_row)
{
    expect_rows(LRC_ROW_KIND_AUTO, "x.md", "# A\n\nb\n", 7, "1 {\"text\":\"# A\\n\\nb\\n\"}\n");
    expect_rows(LRC_ROW_KIND_AUTO, "x.txt",
                "\xef\xbb\xbf"
                "a",
                4, "1 {\"text\":\"a\"}\n");
    expect_rows(LRC_ROW_KIND_AUTO, "x.txt", "a\nb\xff", 4, "x.txt:2: want UTF-8, got the byte 0xff\n");
}

Test(data_sources, parquet_is_refused_with_the_way_out)
{
    struct lrc_row_file file = { 0 };
    struct lrc_problems problems = { 0 };
    struct lrc_error    err;
    cr_assert_eq(lrc_row_file_scan(&file, "PAR1xxxx", 8, "d.parquet", &problems, &err),
                 LRC_STATUS_UNSUPPORTED);
    cr_assert_str_eq(err.message,
                     "d.parquet: want JSONL, a JSON array, CSV, TSV or text, got Parquet; to convert it: "
                     "duckdb -c \"COPY (FROM 'd.parquet') TO 'data.jsonl' (FORMAT json)\", or python3 -c "
                     "\"import pandas; pandas.read_parquet('d.parquet').to_json('data.jsonl', "
                     "orient='records', lines=True)\"");
    lrc_row_file_close(&file);
}

static size_t pack_gzip(unsigned char *packed, size_t n_max, const void *bytes, size_t n)
{
    z_stream stream = { .next_in = (unsigned char *)(uintptr_t)bytes,
                        .avail_in = (unsigned)n,
                        .next_out = packed,
                        .avail_out = (unsigned)n_max };
    cr_assert_eq(deflateInit2(&stream, 9, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY), Z_OK);
    cr_assert_eq(deflate(&stream, Z_FINISH), Z_STREAM_END);
    cr_assert_eq(deflateEnd(&stream), Z_OK);
    return stream.total_out;
}

static enum lrc_status unpack(struct lrc_buf *out, const unsigned char *bytes, size_t n,
                              const struct lrc_unpack_limits *limits, struct lrc_error *err)
{
    struct lrc_unpacker unpacker;
    static char         chunk[1 << 18];
    size_t              n_got = 1;
    const int           fd = memfd_create("packed", 0);
    cr_assert(fd >= 0 && write(fd, bytes, n) == (ssize_t)n && lseek(fd, 0, SEEK_SET) == 0);
    lrc_buf_clear(out);
    enum lrc_status status =
        lrc_unpacker_open(&unpacker, fd, "p", limits ? limits : &lrc_unpack_limits_default, NULL, err);
    cr_assert(status != LRC_STATUS_OK || unpacker.kind != LRC_PACKED_NOT);
    while (status == LRC_STATUS_OK && n_got > 0) {
        status = lrc_unpacker_read(&unpacker, chunk, sizeof chunk, &n_got, err);
        lrc_buf_append(out, chunk, n_got);
    }
    lrc_unpacker_close(&unpacker);
    return status;
}

/* Members one after another; every prefix of them is cut short, but for the one that ends with a member. */
static void check_packed(const unsigned char *one, size_t n, const char *text)
{
    unsigned char    two[512];
    struct lrc_buf   out = { 0 };
    struct lrc_error err;
    memcpy(two, one, n);
    memcpy(two + n, one, n);
    cr_assert_eq(unpack(&out, two, 2 * n, NULL, &err), LRC_STATUS_OK, "%s", err.message);
    cr_assert_eq(out.len, 2 * strlen(text));
    cr_assert_eq(memcmp(out.data, text, strlen(text)), 0);
    cr_assert_eq(memcmp(out.data + strlen(text), text, strlen(text)), 0);
    for (size_t cut = 4; cut < 2 * n; cut++)
        cr_assert_eq(unpack(&out, two, cut, NULL, &err), cut == n ? LRC_STATUS_OK : LRC_STATUS_DATA,
                     "%zu bytes: %s", cut, err.message);
    lrc_buf_release(&out);
}

Test(data_sources, gzip_and_zstd_are_unpacked)
{
    static const char text[] = "{\"input_ids\": [1, 2, 3]}\n";
    unsigned char     packed[256];
    check_packed(packed, pack_gzip(packed, sizeof packed, text, sizeof text - 1), text);
    const size_t n = ZSTD_compress(packed, sizeof packed, text, sizeof text - 1, 3);
    cr_assert(!ZSTD_isError(n));
    check_packed(packed, n, text);
}

Test(data_sources, damaged_packed_bytes_are_an_error)
{
    static const char text[] = "some text, and some more text";
    unsigned char     packed[256];
    struct lrc_buf    out = { 0 };
    struct lrc_error  err;
    size_t            n = pack_gzip(packed, sizeof packed - 8, text, sizeof text - 1);
    memcpy(packed + n, "\0\0\0", 3);
    cr_assert_eq(unpack(&out, packed, n + 3, NULL, &err), LRC_STATUS_OK, "padding with zeros is fine");
    cr_assert_eq(out.len, sizeof text - 1);
    memcpy(packed + n, "\0x", 2);
    cr_assert_eq(unpack(&out, packed, n + 2, NULL, &err), LRC_STATUS_DATA);
    cr_assert(strstr(err.message, "p: want the end of the file or more gzip data at byte "), "%s",
              err.message);
    packed[n - 6] ^= 1; /* the checksum */
    cr_assert_eq(unpack(&out, packed, n, NULL, &err), LRC_STATUS_DATA);
    cr_assert(strstr(err.message, "want gzip data, got a damaged stream near byte "), "%s", err.message);
    cr_assert_eq(unpack(&out, packed, 12, NULL, &err), LRC_STATUS_DATA);
    cr_assert_str_eq(err.message, "p: want a whole gzip stream, got the end of the file within it");
    n = ZSTD_compress(packed, sizeof packed, text, sizeof text - 1, 3);
    memcpy(packed + n, "xx", 2);
    cr_assert_eq(unpack(&out, packed, n + 2, NULL, &err), LRC_STATUS_DATA);
    packed[5] ^= 0xff;
    cr_assert_eq(unpack(&out, packed, n, NULL, &err), LRC_STATUS_DATA);
    lrc_buf_release(&out);
}

Test(data_sources, bombs_are_refused)
{
    static unsigned char packed[1 << 16], zeros[1 << 24];
    struct lrc_buf       out = { 0 };
    struct lrc_error     err;
    const size_t         sizes[] = { pack_gzip(packed, sizeof packed, zeros, sizeof zeros),
                                     ZSTD_compress(packed + 32768, 32768, zeros, sizeof zeros, 3) };
    for (int i = 0; i < 2; i++) {
        const unsigned char *bytes = packed + 32768 * i;
        if (i == 0 && sizes[0] > 32768) /* the second would overwrite it */
            cr_assert_fail("%zu", sizes[0]);
        cr_assert_eq(unpack(&out, bytes, sizes[i], NULL, &err), LRC_STATUS_OK, "below 1 GiB anything goes");
        cr_assert_eq(out.len, sizeof zeros);
        const struct lrc_unpack_limits by_ratio = { (uint64_t)1 << 40, 1 << 20, 100 },
                                       by_size = { 1 << 20, 1 << 20, 1 << 30 };
        cr_assert_eq(unpack(&out, bytes, sizes[i], &by_ratio, &err), LRC_STATUS_DATA);
        cr_assert(strstr(err.message, "p: want a file that unpacks to at most 100 times its size, got "),
                  "%s", err.message);
        cr_assert_leq(out.len, (1 << 20) + (1 << 18));
        cr_assert_eq(unpack(&out, bytes, sizes[i], &by_size, &err), LRC_STATUS_DATA);
        cr_assert_str_eq(err.message, "p: want at most 1048576 bytes when unpacked, got more");
        cr_assert_leq(out.len, (1 << 20) + (1 << 18));
    }
    lrc_buf_release(&out);
}

static void put(const char *dir, const char *name, const void *bytes, size_t n)
{
    struct lrc_error err;
    char            *path = lrc_path_join(dir, name);
    cr_assert_eq(lrc_file_write(path, bytes, n, &err), LRC_STATUS_OK, "%s", err.message);
    lrc_free(path);
}

static void expect_files(const char *dir, const char *path, const char *wanted)
{
    struct lrc_file_list list;
    struct lrc_error     err;
    struct lrc_buf       shown = { 0 };
    char                *full = lrc_path_join(dir, path);
    if (lrc_file_list_find(&list, full, &err) != LRC_STATUS_OK)
        lrc_buf_puts(&shown, strrchr(err.message, ':') ? strrchr(err.message, ':') + 2 : err.message);
    for (int64_t i = 0; i < list.n; i++)
        lrc_buf_printf(&shown, "%s%s", i ? " " : "", lrc_path_base(list.paths[i]));
    cr_expect_str_eq(lrc_buf_text(&shown), wanted, "%s: got %s, want %s", path, lrc_buf_text(&shown), wanted);
    lrc_file_list_release(&list);
    lrc_buf_release(&shown);
    lrc_free(full);
}

Test(data_sources, folders_and_patterns_name_files)
{
    struct lrc_error err;
    const char      *dir = test_folder("sources-list");
    put(dir, "b.txt", "b", 1);
    put(dir, "a.md", "a", 1);
    put(dir, "c.bin", "c", 1);
    put(dir, ".hidden.txt", "h", 1);
    expect_files(dir, "", "a.md b.txt");
    expect_files(dir, "?.[tb]*", "b.txt c.bin");
    expect_files(dir, "*.csv", "want a file that matches, got none");
    expect_files(dir, "b.txt", "b.txt");
    expect_files(dir, "d.txt", "No such file or directory");
    put(dir, "z.jsonl", "{}", 2);
    put(dir, "y.csv.gz", "", 0);
    expect_files(dir, "", "y.csv.gz z.jsonl");
    put(dir, "x[1].txt", "x", 1);
    expect_files(dir, "x[1].txt", "x[1].txt");
    cr_assert_eq(lrc_dir_remove(dir, &err), LRC_STATUS_OK);
    cr_assert_eq(lrc_dir_make(dir, &err), LRC_STATUS_OK);
    expect_files(dir, "", "want a .jsonl, .json, .csv, .tsv, .txt or .md file in the folder, got none");
    cr_assert_eq(lrc_dir_remove(dir, &err), LRC_STATUS_OK);
}

Test(data_sources, stdin_of_a_pipe_is_read_twice)
{
    static const char        text[] = "{\"input_ids\": [1, 2]}\n{\"input_ids\": [3, 4, 5]}\n";
    struct lrc_dataset       dataset;
    struct lrc_problems      problems = { 0 };
    struct lrc_error         err;
    struct lrc_dataset_needs needs;
    int                      ends[2];
    cr_assert_eq(pipe(ends), 0);
    cr_assert_eq(write(ends[1], text, sizeof text - 1), (ssize_t)sizeof text - 1);
    close(ends[1]);
    cr_assert_eq(dup2(ends[0], STDIN_FILENO), STDIN_FILENO);
    close(ends[0]);
    const struct lrc_dataset_spec    spec = { .path = "-" };
    const struct lrc_dataset_options options = { .sequence_len = 8,
                                                 .max_lost_rows_fraction = 1,
                                                 .vocab_size = 10 };
    cr_assert_eq(lrc_dataset_needs(&needs, &spec, 1, &err), LRC_STATUS_OK, "%s", err.message);
    cr_assert_eq(lrc_dataset_load(&dataset, &spec, 1, &options, &problems, &err), LRC_STATUS_OK, "%s",
                 err.message);
    cr_assert_eq(dataset.n_rows, 2);
    cr_assert_eq(dataset.n_ids, 5);
    cr_assert_str_eq(dataset.files[0], "stdin");
    lrc_dataset_release(&dataset);
}

Test(data_sources, a_folder_of_packed_files_is_one_dataset)
{
    static const char one[] = "{\"input_ids\": [1, 2]}\n",
                      two[] = "[{\"input_ids\": [3, 4]},\n{\"input_ids\": [5, 6]}]";
    unsigned char       packed[256];
    struct lrc_dataset  dataset;
    struct lrc_problems problems = { 0 };
    struct lrc_error    err;
    const char         *dir = test_folder("sources-load");
    put(dir, "a.jsonl.gz", packed, pack_gzip(packed, sizeof packed, one, sizeof one - 1));
    put(dir, "b.json.zst", packed, ZSTD_compress(packed, sizeof packed, two, sizeof two - 1, 3));
    put(dir, "README.md", "x", 1);
    const struct lrc_dataset_spec    spec = { .path = dir };
    const struct lrc_dataset_options options = { .sequence_len = 8,
                                                 .max_lost_rows_fraction = 1,
                                                 .vocab_size = 10 };
    cr_assert_eq(lrc_dataset_load(&dataset, &spec, 1, &options, &problems, &err), LRC_STATUS_OK, "%s",
                 err.message);
    cr_assert_eq(dataset.n_rows, 3);
    cr_assert_eq(dataset.n_files, 2);
    cr_assert_eq(dataset.rows[2].file, 1);
    cr_assert_eq(dataset.rows[2].line, 2);
    cr_assert_eq(dataset.ids[4], 5);
    lrc_dataset_release(&dataset);
    cr_assert_eq(lrc_dir_remove(dir, &err), LRC_STATUS_OK);
}

Test(data_sources, ds_type_says_what_bytes_cannot)
{
    struct lrc_dataset  dataset;
    struct lrc_problems problems = { 0 };
    struct lrc_error    err;
    const char         *dir = test_folder("sources-kind");
    put(dir, "rows", "a\n1\n", 4);
    char                            *path = lrc_path_join(dir, "rows");
    struct lrc_dataset_spec          spec = { .path = path, .ds_type = "csv" };
    const struct lrc_dataset_options options = { .sequence_len = 8,
                                                 .max_lost_rows_fraction = 1,
                                                 .vocab_size = 10 };
    cr_assert_eq(lrc_dataset_load(&dataset, &spec, 1, &options, &problems, &err), LRC_STATUS_CONFIG);
    cr_assert(strstr(err.message, "cannot tell the type from the columns (a)"), "%s", err.message);
    spec.ds_type = "xml";
    cr_assert_eq(lrc_dataset_load(&dataset, &spec, 1, &options, &problems, &err), LRC_STATUS_CONFIG);
    cr_assert_str_eq(err.message, "ds_type: want one of json, csv, tsv, text, got 'xml'");
    lrc_free(path);
    cr_assert_eq(lrc_dir_remove(dir, &err), LRC_STATUS_OK);
}

static enum lrc_status read_folder(const char *dir, struct lrc_error *err)
{
    struct lrc_file_list list;
    enum lrc_status      status = lrc_file_list_find(&list, dir, err);
    for (int64_t i = 0; i < list.n && status == LRC_STATUS_OK; i++) {
        struct lrc_row_file file;
        struct lrc_problems problems = { 0 };
        status = lrc_row_file_open(&file, list.paths[i], LRC_ROW_KIND_AUTO, NULL, &problems, err);
        if (status == LRC_STATUS_OK)
            status = lrc_row_file_next(&file, INT64_MAX, err);
        for (int64_t row = 0; row < file.n_rows && status == LRC_STATUS_OK; row++) {
            json_t *json;
            status = lrc_row_file_parse(&json, &file, row, err);
            if (status == LRC_STATUS_OK)
                json_decref(json);
        }
        lrc_problems_release(&problems);
        lrc_row_file_close(&file);
    }
    lrc_file_list_release(&list);
    return status;
}

Test(data_sources, every_allocation_may_fail_fault)
{
    static const char text[] = "a,b,c\nx,\"y\"\"\",z\nx,y,z\n";
    unsigned char     packed[256];
    struct lrc_error  err;
    const char       *dir = test_folder("sources-fault");
    put(dir, "a.csv.gz", packed, pack_gzip(packed, sizeof packed, text, sizeof text - 1));
    put(dir, "b.csv.zst", packed, ZSTD_compress(packed, sizeof packed, text, sizeof text - 1, 3));
    put(dir, "c.csv", text, sizeof text - 1);
    for (int i = 0;; i++) {
        test_alloc_fail_at(i);
        const enum lrc_status status = read_folder(dir, &err);
        const int64_t         live = test_alloc_live();
        test_alloc_restore();
        cr_assert_eq(live, 0, "allocation %d", i);
        if (status == LRC_STATUS_OK) {
            cr_assert_geq(i, 20);
            break;
        }
        cr_assert_eq(status, LRC_STATUS_NOMEM, "allocation %d: %s", i, err.message);
    }
    cr_assert_eq(lrc_dir_remove(dir, &err), LRC_STATUS_OK);
}

/* ---- files larger than the window ---- */

static void put_row(struct lrc_buf *text, enum lrc_row_kind kind, int is_array, int r)
{
    if (kind == LRC_ROW_KIND_CSV) {
        lrc_buf_printf(text, "%d,\"", r);
        for (int i = 0; i < r % 97; i++)
            lrc_buf_printf(text, "line %d \"\"quoted\"\"%s", i, i % 3 ? "\n" : ",\r\n");
        lrc_buf_puts(text, "\"\n");
        return;
    }
    lrc_buf_printf(text, "%s{\"id\":%d,\"text\":\"", is_array && r > 0 ? ",\n" : "", r);
    for (int i = 0; i < r % 97; i++)
        lrc_buf_puts(text, "\\\"],} [{ a text that looks like brackets\\\\");
    lrc_buf_puts(text, is_array ? "\"}" : "\"}\n\n");
}

/* Read in batches through the window, rows are those of the whole text in memory. */
static void check_window(enum lrc_row_kind kind, int is_array, int is_packed)
{
    struct lrc_row_file whole = { .kind = kind }, file;
    struct lrc_problems problems = { 0 };
    struct lrc_error    err;
    struct lrc_buf      text = { 0 };
    struct lrc_hash     hash;
    char                hex[2][LRC_HASH_HEX_MAX];
    char               *path = lrc_path_join(test_folder("sources-window"), "rows");
    lrc_buf_puts(&text, kind == LRC_ROW_KIND_CSV ? "id,text\n" : is_array ? " [" : "");
    for (int r = 0; text.len < (size_t)2 * LRC_ROW_WINDOW_BYTES + 4321; r++)
        put_row(&text, kind, is_array, r);
    lrc_buf_puts(&text, is_array ? "\n]\n" : "");
    if (is_packed) {
        struct lrc_buf packed = { 0 };
        const size_t   n_max = ZSTD_compressBound(text.len);
        char          *room = lrc_calloc((int64_t)n_max, 1);
        lrc_buf_append(&packed, room, ZSTD_compress(room, n_max, text.data, text.len, 1));
        cr_assert_eq(lrc_file_write(path, room, packed.len, &err), LRC_STATUS_OK);
        lrc_buf_release(&packed);
        lrc_free(room);
    } else {
        cr_assert_eq(lrc_file_write(path, text.data, text.len, &err), LRC_STATUS_OK);
    }
    cr_assert_eq(lrc_row_file_scan(&whole, text.data, text.len, path, &problems, &err), LRC_STATUS_OK);
    cr_assert_eq(lrc_hash_init(&hash, &err), LRC_STATUS_OK);
    cr_assert_eq(lrc_row_file_open(&file, path, kind, &hash, &problems, &err), LRC_STATUS_OK, "%s",
                 err.message);
    int64_t n = 0;
    for (;;) {
        cr_assert_eq(lrc_row_file_next(&file, 300, &err), LRC_STATUS_OK, "%s", err.message);
        if (file.n_rows == 0)
            break;
        for (int64_t i = 0; i < file.n_rows; i++, n++) {
            cr_assert_lt(n, whole.n_rows);
            cr_assert_eq(file.rows[i].line, whole.rows[n].line, "row %lld", (long long)n);
            cr_assert_eq(file.rows[i].n, whole.rows[n].n, "row %lld", (long long)n);
            cr_assert_eq(memcmp(file.rows[i].bytes, whole.rows[n].bytes, file.rows[i].n), 0);
        }
    }
    cr_assert_eq(n, whole.n_rows);
    cr_assert_eq(problems.count, 0);
    cr_assert_eq(file.window_bytes, LRC_ROW_WINDOW_BYTES, "rows are short");
    lrc_hash_finish(&hash, hex[0]);
    cr_assert_eq(lrc_hash_file(hex[1], path, &err), LRC_STATUS_OK);
    cr_assert_str_eq(hex[0], hex[1]);
    lrc_row_file_close(&file);
    lrc_row_file_close(&whole);
    lrc_buf_release(&text);
    lrc_free(path);
}

Test(data_sources, rows_across_the_window_are_whole)
{
    check_window(LRC_ROW_KIND_JSON, 0, 0);
    check_window(LRC_ROW_KIND_JSON, 0, 1);
    check_window(LRC_ROW_KIND_JSON, 1, 0);
    check_window(LRC_ROW_KIND_CSV, 0, 0);
    check_window(LRC_ROW_KIND_CSV, 0, 1);
}

/* A row longer than the window: the window grows. */
Test(data_sources, a_text_larger_than_the_window_is_one_row)
{
    struct lrc_row_file file;
    struct lrc_problems problems = { 0 };
    struct lrc_error    err;
    struct lrc_buf      text = { 0 };
    char               *path = lrc_path_join(test_folder("sources-long"), "a.txt");
    while (text.len < (size_t)3 * LRC_ROW_WINDOW_BYTES)
        lrc_buf_printf(&text, "line at %zu\n", text.len);
    cr_assert_eq(lrc_file_write(path, text.data, text.len, &err), LRC_STATUS_OK);
    cr_assert_eq(lrc_row_file_open(&file, path, LRC_ROW_KIND_AUTO, NULL, &problems, &err), LRC_STATUS_OK);
    cr_assert_eq(lrc_row_file_next(&file, 5, &err), LRC_STATUS_OK, "%s", err.message);
    cr_assert_eq(file.n_rows, 1);
    cr_assert_eq(file.rows[0].n, text.len);
    cr_assert_eq(memcmp(file.rows[0].bytes, text.data, text.len), 0);
    cr_assert_eq(lrc_row_file_next(&file, 5, &err), LRC_STATUS_OK);
    cr_assert_eq(file.n_rows, 0);
    lrc_row_file_close(&file);
    lrc_buf_release(&text);
    lrc_free(path);
}
