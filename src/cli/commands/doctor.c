/* What this machine has and what would be used. Facts are gathered once and shown as text or JSON. */
#include "backend.h"
#include "base/json.h"
#include "base/log.h"
#include "base/machine.h"
#include "cli/command.h"
#include "common/gemm.h"
#include "device.h"

#include <dnnl.h>
#include <hdf5.h>
#include <jansson.h>
#include <openssl/crypto.h>
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>
#include <utf8proc.h>
#include <yaml.h>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

enum { TEXT_MAX = 160, ISA_MAX = 24 };

struct facts {
    char        system[TEXT_MAX], cpu[TEXT_MAX];
    long        n_cores, n_usable; /* online; this process may run on */
    int64_t     memory_bytes, available_bytes, page_bytes;
    const char *isa[ISA_MAX];
    int         n_isa;
    char        onednn[32], hdf5[32], pcre2[64];
    double      peak_f32, peak_bf16; /* GFLOP/s of a large product */

    int                       has_gpu;
    struct lrc_device_facts   gpu;
    struct lrc_error          no_gpu;               /* why not */
    const struct lrc_backend *backend;              /* what auto means */
    double                    gpu_gflops, gpu_copy; /* bf16 product; GB/s read and written */
};

/* The value of a "name: value" line of a /proc file; 0 when there is none. */
static int read_proc(char value[TEXT_MAX], const char *path, const char *name)
{
    char   line[512];
    int    found = 0;
    FILE  *stream = fopen(path, "r");
    size_t n = strlen(name);
    if (!stream)
        return 0;
    while (!found && fgets(line, sizeof line, stream)) {
        const char *colon = strchr(line, ':');
        if (!colon || strncmp(line, name, n) != 0)
            continue;
        colon += 1 + strspn(colon + 1, " \t");
        (void)snprintf(value, TEXT_MAX, "%.*s", (int)strcspn(colon, "\n"), colon);
        found = 1;
    }
    (void)fclose(stream);
    return found;
}

static void add_isa(struct facts *facts, int has, const char *name)
{
    if (has && facts->n_isa < ISA_MAX)
        facts->isa[facts->n_isa++] = name;
}

static void find_isa(struct facts *facts)
{
#if defined(__x86_64__)
    __builtin_cpu_init();
    add_isa(facts, __builtin_cpu_supports("sse4.2"), "sse4.2");
    add_isa(facts, __builtin_cpu_supports("avx"), "avx");
    add_isa(facts, __builtin_cpu_supports("avx2"), "avx2");
    add_isa(facts, __builtin_cpu_supports("fma"), "fma");
    add_isa(facts, __builtin_cpu_supports("avx512f"), "avx512f");
    add_isa(facts, __builtin_cpu_supports("avx512bw"), "avx512bw");
    add_isa(facts, __builtin_cpu_supports("avx512dq"), "avx512dq");
    add_isa(facts, __builtin_cpu_supports("avx512vl"), "avx512vl");
    add_isa(facts, __builtin_cpu_supports("avx512vnni"), "avx512vnni");
    /* Intel SDM vol. 2A, CPUID leaf 7: subleaf 1 EAX bit 5 AVX512_BF16; subleaf 0 EDX bits 22, 24, 25 AMX. */
    unsigned a = 0, b = 0, c = 0, d = 0;
    if (__get_cpuid_count(7, 1, &a, &b, &c, &d))
        add_isa(facts, (a >> 5 & 1) && __builtin_cpu_supports("avx512f"), "avx512_bf16");
    if (__get_cpuid_count(7, 0, &a, &b, &c, &d)) {
        add_isa(facts, d >> 24 & 1, "amx_tile");
        add_isa(facts, d >> 22 & 1, "amx_bf16");
        add_isa(facts, d >> 25 & 1, "amx_int8");
    }
#elif defined(__aarch64__)
    add_isa(facts, 1, "neon");
#else
    (void)add_isa;
    (void)facts;
#endif
}

static void find_memory(struct facts *facts)
{
    facts->page_bytes = sysconf(_SC_PAGESIZE);
    facts->memory_bytes = (int64_t)sysconf(_SC_PHYS_PAGES) * facts->page_bytes;
    facts->available_bytes = lrc_machine_available_bytes();
    if (facts->available_bytes < 0)
        facts->available_bytes = (int64_t)sysconf(_SC_AVPHYS_PAGES) * facts->page_bytes;
}

static void find_libraries(struct facts *facts)
{
    const dnnl_version_t *onednn = dnnl_version();
    unsigned              major = 0, minor = 0, patch = 0;
    (void)snprintf(facts->onednn, sizeof facts->onednn, "%d.%d.%d", onednn->major, onednn->minor,
                   onednn->patch);
    if (H5get_libversion(&major, &minor, &patch) >= 0)
        (void)snprintf(facts->hdf5, sizeof facts->hdf5, "%u.%u.%u", major, minor, patch);
    if (pcre2_config(PCRE2_CONFIG_VERSION, NULL) < (int)sizeof facts->pcre2)
        (void)pcre2_config(PCRE2_CONFIG_VERSION, facts->pcre2);
}

static void find_facts(struct facts *facts)
{
    struct utsname system;
    cpu_set_t      usable;
    *facts = (struct facts){ 0 };
    if (uname(&system) == 0)
        (void)snprintf(facts->system, sizeof facts->system, "%.40s %.60s %.40s", system.sysname,
                       system.release, system.machine);
    if (!read_proc(facts->cpu, "/proc/cpuinfo", "model name"))
        (void)snprintf(facts->cpu, sizeof facts->cpu, "unknown");
    facts->n_cores = sysconf(_SC_NPROCESSORS_ONLN);
    facts->n_usable = sched_getaffinity(0, sizeof usable, &usable) == 0 ? CPU_COUNT(&usable) : facts->n_cores;
    find_isa(facts);
    find_memory(facts);
    find_libraries(facts);
}

/* A device that cannot be used is a fact like others. */
static void find_gpu(struct facts *facts)
{
    struct lrc_error err;
    facts->backend = lrc_backend_cpu();
    facts->has_gpu = lrc_device_look(&facts->gpu, &facts->no_gpu) == LRC_STATUS_OK;
    if (!facts->has_gpu || lrc_device_choose(&facts->backend, "cuda", "gpu", &err) != LRC_STATUS_OK)
        return;
    if (lrc_device_gemm_peak(&facts->gpu_gflops, facts->backend, LRC_DTYPE_BF16, &err) != LRC_STATUS_OK ||
        lrc_device_copy_peak(&facts->gpu_copy, facts->backend, &err) != LRC_STATUS_OK)
        lrc_log_warn("gpu: not measured: %s", err.message);
}

static void print_gpu(const struct facts *facts)
{
    const double gib = 1024.0 * 1024.0 * 1024.0;
    if (!facts->has_gpu) {
        lrc_cli_print("gpu          none: %s\n", facts->no_gpu.message);
        return;
    }
    lrc_cli_print("gpu          %s, %s\n", facts->gpu.name, facts->gpu.detail);
    lrc_cli_print("             %.1f GiB, %.1f GiB available; product %.0f TFLOP/s bf16, copy %.0f GB/s\n",
                  (double)facts->gpu.total_bytes / gib, (double)facts->gpu.free_bytes / gib,
                  facts->gpu_gflops * 1e-3, facts->gpu_copy);
}

static void print_text(const struct facts *facts)
{
    const double gib = 1024.0 * 1024.0 * 1024.0;
    lrc_cli_print("lorica       %s\n", LRC_VERSION);
    lrc_cli_print("system       %s\n", facts->system);
    lrc_cli_print("cpu          %s\n", facts->cpu);
    lrc_cli_print("cores        %ld, of which %ld may be used\n", facts->n_cores, facts->n_usable);
    lrc_cli_print("instructions");
    for (int i = 0; i < facts->n_isa; i++)
        lrc_cli_print(" %s", facts->isa[i]);
    lrc_cli_print("%s\n", facts->n_isa ? "" : " none known");
    lrc_cli_print("computes on  %s, bf16 auto means %s\n", facts->backend->name,
                  lrc_device_has_bf16(facts->backend) ? "true" : "false");
    lrc_cli_print("GEMM peak    %.0f GFLOP/s float32, %.0f GFLOP/s bf16%s\n", facts->peak_f32,
                  facts->peak_bf16, facts->peak_bf16 > 0.0 ? "" : " (none)");
    lrc_cli_print("memory       %.1f GiB, %.1f GiB available\n", (double)facts->memory_bytes / gib,
                  (double)facts->available_bytes / gib);
    lrc_cli_print("page size    %lld bytes\n", (long long)facts->page_bytes);
    print_gpu(facts);
    lrc_cli_print(
        "libraries    oneDNN %s, HDF5 %s, libyaml %s, jansson %s, PCRE2 %s, OpenSSL %s, utf8proc %s\n",
        facts->onednn, facts->hdf5, yaml_get_version_string(), jansson_version_str(), facts->pcre2,
        OpenSSL_version(OPENSSL_VERSION_STRING), utf8proc_version());
}

static void put_member(struct lrc_buf *text, const char *name, const char *value)
{
    lrc_buf_printf(text, ", \"%s\": ", name);
    lrc_json_append_string(text, value, strlen(value));
}

static void write_gpu(const struct facts *facts, struct lrc_buf *text)
{
    if (!facts->has_gpu) {
        lrc_buf_puts(text, ", \"gpu\": null, \"device\": \"cpu\"");
        put_member(text, "no_gpu", facts->no_gpu.message);
        return;
    }
    lrc_buf_puts(text, ", \"gpu\": {\"name\": ");
    lrc_json_append_string(text, facts->gpu.name, strlen(facts->gpu.name));
    put_member(text, "detail", facts->gpu.detail);
    lrc_buf_printf(text,
                   ", \"memory_bytes\": %lld, \"available_bytes\": %lld, \"gemm_gflops_bf16\": %.1f, "
                   "\"copy_gbytes_per_s\": %.1f}, \"device\": \"cuda\"",
                   (long long)facts->gpu.total_bytes, (long long)facts->gpu.free_bytes, facts->gpu_gflops,
                   facts->gpu_copy);
}

static void write_json(const struct facts *facts, struct lrc_buf *text)
{
    lrc_buf_printf(text, "{\"version\": \"%s\"", LRC_VERSION);
    put_member(text, "system", facts->system);
    put_member(text, "cpu", facts->cpu);
    lrc_buf_printf(text, ", \"cores\": %ld, \"usable_cores\": %ld, \"instruction_sets\": [", facts->n_cores,
                   facts->n_usable);
    for (int i = 0; i < facts->n_isa; i++)
        lrc_buf_printf(text, "%s\"%s\"", i ? ", " : "", facts->isa[i]);
    lrc_buf_printf(text, "], \"memory_bytes\": %lld, \"available_bytes\": %lld, \"page_bytes\": %lld",
                   (long long)facts->memory_bytes, (long long)facts->available_bytes,
                   (long long)facts->page_bytes);
    put_member(text, "backend", facts->backend->name);
    lrc_buf_printf(text, ", \"gemm_gflops_f32\": %.1f, \"gemm_gflops_bf16\": %.1f", facts->peak_f32,
                   facts->peak_bf16);
    lrc_buf_printf(text, ", \"bf16\": %s", lrc_device_has_bf16(facts->backend) ? "true" : "false");
    write_gpu(facts, text);
    lrc_buf_puts(text, ", \"libraries\": {\"lorica\": \"" LRC_VERSION "\"");
    put_member(text, "oneDNN", facts->onednn);
    put_member(text, "HDF5", facts->hdf5);
    put_member(text, "libyaml", yaml_get_version_string());
    put_member(text, "jansson", jansson_version_str());
    put_member(text, "PCRE2", facts->pcre2);
    put_member(text, "OpenSSL", OpenSSL_version(OPENSSL_VERSION_STRING));
    put_member(text, "utf8proc", utf8proc_version());
    lrc_buf_puts(text, "}}\n");
}

static enum lrc_status run(const struct lrc_cli *cli, struct lrc_problems *problems, struct lrc_error *err)
{
    struct facts   facts;
    struct lrc_buf text = { 0 };
    (void)problems;
    find_facts(&facts);
    find_gpu(&facts);
    LRC_TRY(lrc_gemm_peak(&facts.peak_f32, &facts.peak_bf16, err));
    if (!lrc_cli_has(cli, "json")) {
        print_text(&facts);
        return LRC_STATUS_OK;
    }
    write_json(&facts, &text);
    const enum lrc_status status = lrc_buf_check(&text, err);
    if (status == LRC_STATUS_OK)
        lrc_cli_write(lrc_buf_text(&text), text.len);
    lrc_buf_release(&text);
    return status;
}

const struct lrc_command lrc_command_doctor = {
    .name = "doctor",
    .arguments = "",
    .summary = "this machine: cores, instruction sets, memory, GPU, libraries, measured GEMM peak",
    .arguments_min = 0,
    .arguments_max = 0,
    .common = LRC_COMMON_NONE,
    .run = run,
};
