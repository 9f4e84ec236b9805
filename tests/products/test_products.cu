/* The wrappers of common/wgmma.cuh against plain loops: small whole numbers, so that every sum is exact.
 * Without arguments all products; on the stand-in also every mistake that it must see, each in a process of
 * its own. On a device (built with an architecture 90a) it tells descriptors and fragments apart from what
 * kernels do with them. Exit code 0: all as they should be, or no device of compute capability 9.0. */
#include "common/mma.cuh"
#include "common/wgmma.cuh"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#ifdef LRC_CUDA_HOST
#include <sys/wait.h>
#include <unistd.h>
#endif

constexpr int ROWS = 2 * LRC_WGMMA_ROWS, K = 128, COLS_MAX = 128;

enum mistake {
    NONE,
    NO_FENCE,
    NO_COPY_WAIT,
    NO_PUBLISH,
    NO_BARRIER,
    NO_WAIT,
    READS_EARLY,
    WRITES_SUMS,
    CHANGES_LEFT,
    OVERWRITES,
    OVERWRITES_AFTER,
    SOME_WARPS,
    SOME_LANES,
    MISALIGNED,
    OTHER_SWIZZLE
};

#if LRC_WGMMA_HERE

/* A tile (rows, cols) of an array of as many columns. */
template <int TILE_ROWS> static __device__ void load(uint16_t *tile, const uint16_t *from, int cols)
{
    for (int i = (int)threadIdx.x; i < TILE_ROWS * cols / 8; i += (int)blockDim.x) {
        const int r = i / (cols / 8), c = i % (cols / 8) * 8;
        lrc_cp_async_16(tile + lrc_wgmma_at<TILE_ROWS>(r, c), from + r * cols + c, 16);
    }
}

/* Rows 16 w .. of `a`, columns k .., as lrc_mma_bf16 has them. */
static __device__ void left_words(uint32_t words[4], const uint16_t *a, int k)
{
    const int lane = threadIdx.x % 32;
    for (int i = 0; i < 4; i++) {
        const uint16_t *from =
            a + ((int)threadIdx.x / 32 * 16 + lane / 4 + i % 2 * 8) * K + k + lane % 4 * 2 + i / 2 * 8;
        words[i] = from[0] | (uint32_t)from[1] << 16;
    }
}

static __device__ void overwrite(uint16_t *tile, const uint16_t *from)
{
    lrc_cp_async_16(tile + threadIdx.x * 8, from, 16);
}

#endif

/* out (ROWS, N) = a (ROWS, K) b, twice: the second time it is added. b is (N, K), or with MN-major (K, N). */
template <int N, enum lrc_wgmma_major B, bool WORDS, enum mistake MISTAKE>
static __global__ void product_kernel(const uint16_t *a, const uint16_t *b, float *out)
{
#if LRC_WGMMA_HERE
    constexpr int RIGHT = B == LRC_WGMMA_K_MAJOR ? N : K;
    LRC_SHARED_TILES(uint16_t, left);
    uint16_t *right = left + ROWS * K + (MISTAKE == MISALIGNED ? LRC_WGMMA_PANEL : 0);
    float     sums[N / 8][4];
    uint32_t  words[K / 16][4];
    const int lane = threadIdx.x % 32, row = (int)threadIdx.x / LRC_WGMMA_THREADS * LRC_WGMMA_ROWS;
    load<ROWS>(left, a, K);
    load<RIGHT>(right, b, B == LRC_WGMMA_K_MAJOR ? K : N);
    lrc_cp_async_commit();
    if (MISTAKE != NO_COPY_WAIT)
        lrc_cp_async_wait<0>();
    if (MISTAKE != NO_PUBLISH)
        lrc_wgmma_publish();
    if (MISTAKE != NO_BARRIER)
        __syncthreads();
#pragma unroll
    for (int k = 0; k < K; k += 16)
        left_words(words[k / 16], a, k);
    if (MISTAKE != NO_FENCE)
        lrc_wgmma_fence();
    if (MISTAKE == SOME_WARPS && threadIdx.x / 32 == 2)
        return;
    if (MISTAKE == SOME_LANES && lane == 7)
        return;
#pragma unroll
    for (int turn = 0; turn < 2; turn++)
#pragma unroll
        for (int k = 0; k < K; k += 16) {
            uint64_t by =
                B == LRC_WGMMA_K_MAJOR ? lrc_wgmma_k_major<N>(right, 0, k) : lrc_wgmma_mn_major<K>(right, k);
            if (MISTAKE == OTHER_SWIZZLE)
                by ^= (uint64_t)3 << 62; /* of 64 bytes */
            if (WORDS)
                lrc_wgmma_words<N, B>(sums, words[k / 16], by, turn + k == 0);
            else
                lrc_wgmma_tiles<N, B>(sums, lrc_wgmma_k_major<ROWS>(left, row, k), by, turn + k == 0);
        }
    lrc_wgmma_commit();
    if (MISTAKE == WRITES_SUMS)
        sums[0][0] = 1;
    if (MISTAKE == CHANGES_LEFT)
        words[1][2] ^= 1;
    if (MISTAKE == OVERWRITES)
        overwrite(right, b);
    if (MISTAKE == READS_EARLY)
        out[threadIdx.x] = sums[0][0];
    if (MISTAKE != NO_WAIT)
        lrc_wgmma_wait<0>();
    lrc_wgmma_hold<N / 8>(sums);
    if (MISTAKE == OVERWRITES_AFTER)
        overwrite(right, b);
    if (MISTAKE == READS_EARLY)
        return;
    for (int n = 0; n < N / 8; n++)
        for (int i = 0; i < 4; i++)
            out[((int)threadIdx.x / 32 * 16 + lane / 4 + i / 2 * 8) * N + 8 * n + lane % 4 * 2 + i % 2] =
                sums[n][i];
#else
    (void)a, (void)b, (void)out;
#endif
}

/* Whole numbers from -3 to 3, in bf16. */
static std::vector<uint16_t> numbers(size_t n, unsigned seed)
{
    static const uint16_t bf16[7] = { 0xc040, 0xc000, 0xbf80, 0x0000, 0x3f80, 0x4000, 0x4040 };
    std::vector<uint16_t> values(n);
    for (uint16_t &value : values) {
        seed = seed * 1664525u + 1013904223u;
        value = bf16[(seed >> 16) % 7];
    }
    return values;
}

static float number(uint16_t bf16)
{
    const uint32_t bits = (uint32_t)bf16 << 16;
    float          value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static bool succeeded(cudaError_t error)
{
    if (error != cudaSuccess)
        fprintf(stderr, "test_products: %s\n", cudaGetErrorString(error));
    return error == cudaSuccess;
}

/* Elements that differ from twice a b; -1 when the device fails. */
template <int N, enum lrc_wgmma_major B, bool WORDS, enum mistake MISTAKE> static int wrong_elements()
{
    constexpr size_t            shared = sizeof(uint16_t) * (ROWS * K + K * COLS_MAX) + 1024;
    const std::vector<uint16_t> a = numbers((size_t)ROWS * K, 1), b = numbers((size_t)N * K, 2);
    std::vector<float>          out((size_t)ROWS * N);
    void                       *device[3];
    int                         n_wrong = 0;
    if (!succeeded(cudaMalloc(&device[0], a.size() * 2)) ||
        !succeeded(cudaMalloc(&device[1], b.size() * 2)) ||
        !succeeded(cudaMalloc(&device[2], out.size() * 4)))
        return -1;
    (void)cudaMemcpyAsync(device[0], a.data(), a.size() * 2, cudaMemcpyDefault, nullptr);
    (void)cudaMemcpyAsync(device[1], b.data(), b.size() * 2, cudaMemcpyDefault, nullptr);
    LRC_SHARED_ALLOW((product_kernel<N, B, WORDS, MISTAKE>), shared);
    LRC_LAUNCH((product_kernel<N, B, WORDS, MISTAKE>), 1, 2 * LRC_WGMMA_THREADS, shared, nullptr,
               static_cast<const uint16_t *>(device[0]), static_cast<const uint16_t *>(device[1]),
               static_cast<float *>(device[2]));
    if (!succeeded(cudaGetLastError()) ||
        !succeeded(cudaMemcpyAsync(out.data(), device[2], out.size() * 4, cudaMemcpyDefault, nullptr)) ||
        !succeeded(cudaStreamSynchronize(nullptr)))
        return -1;
    for (int r = 0; r < ROWS; r++)
        for (int c = 0; c < N; c++) {
            float want = 0;
            for (int k = 0; k < K; k++)
                want += number(a[(size_t)(r * K + k)]) *
                        number(b[(size_t)(B == LRC_WGMMA_K_MAJOR ? c * K + k : k * N + c)]);
            n_wrong += !(out[(size_t)(r * N + c)] == 2 * want);
        }
    for (void *memory : device)
        (void)cudaFree(memory);
    return n_wrong;
}

static int report(const char *what, int n_wrong)
{
    printf("%s %s: %d elements differ\n", n_wrong == 0 ? "PASS" : "FAIL", what, n_wrong);
    return n_wrong != 0;
}

#ifdef LRC_CUDA_HOST

/* Whether the mistake ends a process of its own with these words; without words, whether it shows in the
 * result. */
template <enum mistake MISTAKE> static int is_missed(const char *words)
{
    int     ends[2], status;
    char    said[4096];
    size_t  n_said = 0;
    ssize_t n;
    if (fflush(nullptr) != 0 || pipe(ends) != 0)
        return 1;
    const pid_t child = fork();
    if (child == 0) {
        (void)dup2(ends[1], 2);
        (void)close(ends[0]);
        (void)close(ends[1]);
        _exit(wrong_elements<128, LRC_WGMMA_MN_MAJOR, true, MISTAKE>() == 0 ? 0 : 3);
    }
    (void)close(ends[1]);
    while ((n = read(ends[0], said + n_said, sizeof said - 1 - n_said)) > 0)
        n_said += (size_t)n;
    said[n_said] = '\0';
    (void)close(ends[0]);
    if (child < 0 || waitpid(child, &status, 0) != child)
        return 1;
    const bool is_seen = words ? WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT && strstr(said, words)
                               : WIFEXITED(status) && WEXITSTATUS(status) == 3;
    printf("%s mistake %d: %s\n", is_seen ? "PASS" : "FAIL", MISTAKE, words ? words : "a wrong result");
    if (!is_seen)
        printf("%s\n", said);
    return !is_seen;
}

static int mistakes()
{
    return is_missed<NO_FENCE>("without a fence of its registers") +
           is_missed<NO_COPY_WAIT>("not published after it was written") +
           is_missed<NO_PUBLISH>("not published after it was written") +
           is_missed<NO_BARRIER>("shared memory that was") + is_missed<NO_WAIT>("nobody has waited for") +
           is_missed<READS_EARLY>(nullptr) +
           is_missed<WRITES_SUMS>("sums of a product under way were written") +
           is_missed<CHANGES_LEFT>("left factor of a product under way was changed") +
           is_missed<OVERWRITES>("that a product under way reads") +
           is_missed<OVERWRITES_AFTER>("no barrier came since") +
           is_missed<SOME_WARPS>("only some warps of a group") +
           is_missed<SOME_LANES>("not all lanes of its mask reach") +
           is_missed<MISALIGNED>("does not begin at the first row") +
           is_missed<OTHER_SWIZZLE>("another swizzle");
}

#else

static int mistakes()
{
    return 0;
}

#endif

int main()
{
    int major = 0, minor = 0;
    if (cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0) != cudaSuccess ||
        cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, 0) != cudaSuccess || major != 9 ||
        minor != 0) {
        printf("SKIP: no device of compute capability 9.0\n");
        return 0;
    }
    const int n_failed =
        report("tiles, 64 columns, K-major", wrong_elements<64, LRC_WGMMA_K_MAJOR, false, NONE>()) +
        report("tiles, 128 columns, K-major", wrong_elements<128, LRC_WGMMA_K_MAJOR, false, NONE>()) +
        report("tiles, 64 columns, MN-major", wrong_elements<64, LRC_WGMMA_MN_MAJOR, false, NONE>()) +
        report("tiles, 128 columns, MN-major", wrong_elements<128, LRC_WGMMA_MN_MAJOR, false, NONE>()) +
        report("words, 64 columns, K-major", wrong_elements<64, LRC_WGMMA_K_MAJOR, true, NONE>()) +
        report("words, 128 columns, K-major", wrong_elements<128, LRC_WGMMA_K_MAJOR, true, NONE>()) +
        report("words, 64 columns, MN-major", wrong_elements<64, LRC_WGMMA_MN_MAJOR, true, NONE>()) +
        report("words, 128 columns, MN-major", wrong_elements<128, LRC_WGMMA_MN_MAJOR, true, NONE>()) +
        mistakes();
    printf("%d failed\n", n_failed);
    return n_failed == 0 ? 0 : 1;
}
