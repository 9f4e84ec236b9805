/* Products of four warps on the tensor cores of compute capability 9.0, one wrapper per instruction, each
 * with a plain twin for tests/cuda_host (warpgroup.cc). Only code for sm_90a may hold them: the bodies of
 * kernels stand in #if LRC_WGMMA_HERE.
 *
 * lrc_wgmma_tiles, lrc_wgmma_words: d (64, N) += a (64, 16) b (16, N), bf16 in, float32 sums, N 64 or 128;
 * with `is_first` d = a b. All threads of a warp group, 128 of them with numbers from a multiple of 128 on,
 * take part. Warp w of the group holds rows 16 w .. of d, columns 8 n .. in d[n], and of `a` where it lies in
 * registers, as lrc_mma_bf16 has them (common/mma.cuh). b lies in shared memory, `a` may.
 *
 * A product works on its own from the call on. Until lrc_wgmma_wait<n>() has left its group not among the n
 * last committed ones, nobody may read or write d, change `a`, or write what it reads in shared memory.
 *   lrc_wgmma_fence    stands between other uses of d and `a` and the first product with them
 *   lrc_wgmma_commit   makes a group of the products asked for since the last one, or an empty one
 *   lrc_wgmma_hold     after a wait: the compiler moves no use of these registers to before it
 *   lrc_wgmma_publish  products read shared memory by the async proxy: what this thread wrote there (by
 *                      cp.async too, once that was waited for) is seen by products after this and a barrier
 *
 * A tile in shared memory is (ROWS, COLS) in panels of 64 columns, 128 bytes a row, and begins at a multiple
 * of 1024 bytes (LRC_SHARED_TILES). The eight pieces of 16 bytes of a row change places so that eight rows'
 * pieces of a column lie in different banks: piece p of row r is at p ^ r % 8, which is bits 4 .. 6 of the
 * address XORed with its bits 7 .. 9. What a product reads of it is named by a descriptor:
 *
 *   bits  0 .. 13  address / 16, of the first element as if no piece had changed places
 *   bits 16 .. 29  leading byte offset / 16
 *   bits 32 .. 45  stride byte offset / 16
 *   bits 49 .. 51  base offset: 0, since the pattern of eight rows begins at a multiple of 1024 bytes
 *   bits 62 .. 63  1: swizzle of 128 bytes
 *
 *   K-major:  rows are M or N, columns k: (r, k) at r % 8 * 128 + r / 8 * stride + 2 k; leading is not used
 *   MN-major: rows are k, columns M or N: (k, c) at k % 8 * 128 + k / 8 * stride + c % 64 * 2 + c / 64 *
 *             leading
 *
 * Pieces change places by the address that all this adds up to, so 16 columns on in a panel are 32 bytes on.
 *
 * source: PTX ISA 8.0, Asynchronous Warpgroup Level Matrix Multiply-Accumulate Instructions: Register
 * Fragments for wgmma.mma_async.m64nNk16; Shared Memory Matrix Layout (swizzle atoms, canonical layouts,
 * strides, matrix descriptor); wgmma.fence, commit_group, wait_group; and Async proxy, fence.proxy.async. */
#ifndef LRC_KERNELS_COMMON_WGMMA_CUH
#define LRC_KERNELS_COMMON_WGMMA_CUH

#include "common/launch.cuh"

#include <cstdint>

#if defined(LRC_CUDA_HOST) || defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define LRC_WGMMA_HERE 1
#else
#define LRC_WGMMA_HERE 0
#endif

constexpr int LRC_WGMMA_THREADS = 128, LRC_WGMMA_ROWS = 64; /* of a warp group */
constexpr int LRC_WGMMA_PANEL = 64;                         /* columns */

enum lrc_wgmma_major { LRC_WGMMA_K_MAJOR, LRC_WGMMA_MN_MAJOR }; /* numbers of the instruction */

#ifdef LRC_CUDA_HOST
#define LRC_SHARED_TILES(type, name) LRC_SHARED(type, name)
#else
#define LRC_SHARED_TILES(type, name)                                                                         \
    extern __shared__ __align__(1024) unsigned char lrc_smem_tiles[];                                        \
    type *const                                     name = reinterpret_cast<type *>(lrc_smem_tiles)
#endif

/* Where element (r, c) of a tile of ROWS rows lies. */
template <int ROWS> static __host__ __device__ __forceinline__ int lrc_wgmma_at(int r, int c)
{
    return (c / LRC_WGMMA_PANEL * ROWS + r) * LRC_WGMMA_PANEL + (c % LRC_WGMMA_PANEL / 8 ^ r % 8) * 8 + c % 8;
}

static __device__ __forceinline__ uint64_t lrc_wgmma_descriptor(const uint16_t *first, int leading_bytes)
{
#ifdef LRC_CUDA_HOST
    const uint32_t address = lrc_cuda_host_shared_address(first);
#else
    const uint32_t address = (uint32_t)__cvta_generic_to_shared(first);
#endif
    constexpr uint64_t STRIDE = 8 * LRC_WGMMA_PANEL * sizeof(uint16_t), SWIZZLE_128 = 1;
    return (address >> 4 & 0x3fff) | (uint64_t)(leading_bytes >> 4) << 16 | STRIDE >> 4 << 32 |
           SWIZZLE_128 << 62;
}

/* Rows from `row`, a multiple of 8, and columns k .. k + 15 of a tile: a factor whose rows are M or N. */
template <int ROWS>
static __device__ __forceinline__ uint64_t lrc_wgmma_k_major(const uint16_t *tile, int row, int k)
{
    return lrc_wgmma_descriptor(
        tile + (k / LRC_WGMMA_PANEL * ROWS + row) * LRC_WGMMA_PANEL + k % LRC_WGMMA_PANEL, 16);
}

/* Rows k .. k + 15 of a tile, all columns: a right factor whose columns are N. */
template <int ROWS> static __device__ __forceinline__ uint64_t lrc_wgmma_mn_major(const uint16_t *tile, int k)
{
    return lrc_wgmma_descriptor(tile + k * LRC_WGMMA_PANEL, ROWS * LRC_WGMMA_PANEL * (int)sizeof(uint16_t));
}

#if defined(LRC_CUDA_HOST)

template <int N, enum lrc_wgmma_major B>
static inline void lrc_wgmma_tiles(float d[N / 8][4], uint64_t a, uint64_t b, bool is_first)
{
    lrc_cuda_host_product({ &d[0][0], N, nullptr, a, b, B == LRC_WGMMA_MN_MAJOR, is_first });
}

template <int N, enum lrc_wgmma_major B>
static inline void lrc_wgmma_words(float d[N / 8][4], const uint32_t a[4], uint64_t b, bool is_first)
{
    lrc_cuda_host_product({ &d[0][0], N, a, 0, b, B == LRC_WGMMA_MN_MAJOR, is_first });
}

static inline void lrc_wgmma_fence()
{
    lrc_cuda_host_product_fence();
}

static inline void lrc_wgmma_commit()
{
    lrc_cuda_host_product_commit();
}

template <int N> static inline void lrc_wgmma_wait()
{
    lrc_cuda_host_product_wait(N);
}

static inline void lrc_wgmma_publish()
{
    lrc_cuda_host_publish();
}

template <int N, typename Word> static inline void lrc_wgmma_hold(Word (*)[4])
{
}

#elif LRC_WGMMA_HERE

#define LRC_WGMMA_F4(d) "+f"((d)[0]), "+f"((d)[1]), "+f"((d)[2]), "+f"((d)[3])
#define LRC_WGMMA_F16(d)                                                                                     \
    LRC_WGMMA_F4((d)[0]), LRC_WGMMA_F4((d)[1]), LRC_WGMMA_F4((d)[2]), LRC_WGMMA_F4((d)[3])
#define LRC_WGMMA_F32(d) LRC_WGMMA_F16(d), LRC_WGMMA_F16((d) + 4)
#define LRC_WGMMA_F64(d) LRC_WGMMA_F32(d), LRC_WGMMA_F32((d) + 8)
#define LRC_WGMMA_D32                                                                                        \
    "%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15"                                                  \
    ",%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31"
#define LRC_WGMMA_D64                                                                                        \
    LRC_WGMMA_D32                                                                                            \
    ",%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47"                                       \
    ",%48,%49,%50,%51,%52,%53,%54,%55,%56,%57,%58,%59,%60,%61,%62,%63"
/* `last` is the operand of is_first; what is multiplied is not negated; B's major follows */
#define LRC_WGMMA_TEXT(n, d, factors, last, major)                                                           \
    "{.reg .pred adds; setp.eq.b32 adds, " last ", 0; wgmma.mma_async.sync.aligned.m64n" n                   \
    "k16.f32.bf16.bf16 {" d "}, " factors ", adds, 1, 1, " major ";}"

template <int N, enum lrc_wgmma_major B>
static __device__ __forceinline__ void lrc_wgmma_tiles(float d[N / 8][4], uint64_t a, uint64_t b,
                                                       bool is_first)
{
    static_assert(N == 64 || N == 128, "columns that are written out below");
    if constexpr (N == 64)
        asm volatile(LRC_WGMMA_TEXT("64", LRC_WGMMA_D32, "%32, %33", "%34", "0, %35")
                     : LRC_WGMMA_F32(d)
                     : "l"(a), "l"(b), "r"((int)is_first), "n"((int)B));
    else
        asm volatile(LRC_WGMMA_TEXT("128", LRC_WGMMA_D64, "%64, %65", "%66", "0, %67")
                     : LRC_WGMMA_F64(d)
                     : "l"(a), "l"(b), "r"((int)is_first), "n"((int)B));
}

template <int N, enum lrc_wgmma_major B>
static __device__ __forceinline__ void lrc_wgmma_words(float d[N / 8][4], const uint32_t a[4], uint64_t b,
                                                       bool is_first)
{
    static_assert(N == 64 || N == 128, "columns that are written out below");
    if constexpr (N == 64)
        asm volatile(LRC_WGMMA_TEXT("64", LRC_WGMMA_D32, "{%32, %33, %34, %35}, %36", "%37", "%38")
                     : LRC_WGMMA_F32(d)
                     : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"((int)is_first), "n"((int)B));
    else
        asm volatile(LRC_WGMMA_TEXT("128", LRC_WGMMA_D64, "{%64, %65, %66, %67}, %68", "%69", "%70")
                     : LRC_WGMMA_F64(d)
                     : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"((int)is_first), "n"((int)B));
}

static __device__ __forceinline__ void lrc_wgmma_fence()
{
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}

static __device__ __forceinline__ void lrc_wgmma_commit()
{
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}

template <int N> static __device__ __forceinline__ void lrc_wgmma_wait()
{
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(N) : "memory");
}

static __device__ __forceinline__ void lrc_wgmma_publish()
{
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

static __device__ __forceinline__ void lrc_wgmma__hold(float &word)
{
    asm volatile("" : "+f"(word)::"memory");
}

static __device__ __forceinline__ void lrc_wgmma__hold(uint32_t &word)
{
    asm volatile("" : "+r"(word)::"memory");
}

template <int N, typename Word> static __device__ __forceinline__ void lrc_wgmma_hold(Word (*words)[4])
{
#pragma unroll
    for (int n = 0; n < N; n++)
#pragma unroll
        for (int i = 0; i < 4; i++)
            lrc_wgmma__hold(words[n][i]);
}

#endif

#endif
