/* Products of warp groups (common/wgmma.cuh), as a device of compute capability 9.0 runs them: later.
 *
 * A product's sums are NaN from the call until the wait that covers it, and nobody may write them; it runs
 * when it is committed or when it is waited for, as the seed draws. Descriptors are taken apart here, and
 * what they name is found from the address alone.
 *
 * Of every 16 bytes of dynamic shared memory it is known whether they were written by cp.async, waited for
 * and published by the thread that wrote them, and which barrier came since; and who reads them. Nothing else
 * is known to write what products read: a plain store counts as not published. What ends the program:
 *   - a product that reads what is not published, or was since the last barrier
 *   - a copy to what a product under way reads, or has read since the last barrier
 *   - a product without lrc_wgmma_fence() since the last wait
 *   - lanes that ask for different products; warps of a group that ask for more of them than others; a group
 *     that is not whole
 *   - a descriptor of another swizzle, with a base offset, or that begins within the pattern of 1024 bytes
 *   - sums or a left factor that were changed under way; products that nobody waits for */
#include "scheduler.h"

#include <algorithm>
#include <memory>
#include <random>
#include <vector>

using namespace cuda_host;

namespace
{

constexpr size_t   lanes = 32, group_warps = 4, n_max = 128, piece_bytes = 16;
constexpr uint32_t shared_begins = 1024; /* what lies before belongs to the system */
constexpr unsigned poison = 0x7fdead01u; /* NaN */

/* 16 bytes of shared memory. Barriers are counted from 1. */
struct piece {
    uint32_t n_writes, published /* after this many barriers; 0: not */, read /* the same */, n_readers;
};

/* (16, n) of a warp, in the registers of its lanes. */
struct sums {
    float *d[lanes];
    float  value[16][n_max];
    int    n, n_products; /* under way */
};

struct product {
    lrc_cuda_host_product_args args;
    const uint32_t            *words_at[lanes];
    uint32_t                   words[lanes][4];
    std::shared_ptr<sums>      to;
    std::vector<uint32_t>      reads; /* numbers of pieces */
    bool                       has_run;
};

struct warp {
    size_t               n_operations, of_lane[lanes], n_products;
    bool                 is_fenced;
    std::vector<product> asked; /* and not waited for, in order */
    std::vector<size_t>  groups;
    size_t               n_open; /* of asked, not committed */
    std::vector<product> over;   /* by the last wait */
};

struct unpublished {
    uint32_t number, n_writes;
};

std::vector<piece>                    pieces;
std::vector<warp>                     warps;
std::vector<std::vector<unpublished>> arrived; /* of every thread */
uint32_t                              n_barriers;
std::minstd_rand                      draw;

[[noreturn]] void stop(const char *words)
{
    stop_thread(thread_number(), words);
}

size_t lane_number()
{
    return thread_number() % lanes;
}

warp &warp_here()
{
    return warps[thread_number() / lanes];
}

/* ---- descriptors ---- */

struct matrix {
    uint32_t start, leading, stride;
    bool     is_mn_major;
};

matrix decode(uint64_t descriptor, bool is_mn_major)
{
    const auto     field = [&](int bit, int n) { return (uint32_t)(descriptor >> bit & ((1u << n) - 1)); };
    const uint32_t start = field(0, 14) << 4;
    if (field(62, 2) != 1)
        stop("a descriptor of another swizzle than that of 128 bytes");
    if (field(49, 3) != 0 || (start >> 7 & 7) != 0)
        stop("a descriptor that does not begin at the first row of the 1024 bytes of a pattern");
    return { start, field(16, 14) << 4, field(32, 14) << 4, is_mn_major };
}

/* Offset in shared memory of element (k, r), r a row of M or N. */
uint32_t element(const matrix &m, uint32_t k, uint32_t r)
{
    const uint32_t inner = m.is_mn_major ? r % 64 : k, outer = m.is_mn_major ? k : r;
    const uint32_t panel = m.is_mn_major ? r / 64 * m.leading : 0;
    const uint32_t address = m.start + outer % 8 * 128 + outer / 8 * m.stride + inner * 2 + panel;
    const uint32_t swapped = address ^ (address >> 7 & 7) << 4;
    if (swapped < shared_begins || (swapped - shared_begins) / piece_bytes >= pieces.size())
        stop("a product reads beyond shared memory");
    return swapped - shared_begins;
}

float load(uint32_t offset)
{
    uint16_t bits;
    memcpy(&bits, static_cast<unsigned char *>(lrc_cuda_host_shared()) + offset, sizeof bits);
    return __uint_as_float((uint32_t)bits << 16);
}

/* ---- what is read ---- */

void read_piece(product &p, uint32_t offset)
{
    const uint32_t number = offset / (uint32_t)piece_bytes;
    piece         &at = pieces[number];
    if (at.published == 0)
        stop("a product reads shared memory that was not published after it was written");
    if (at.published == n_barriers)
        stop("a product reads shared memory that was published, but no barrier came since");
    at.n_readers++;
    p.reads.push_back(number);
}

void read_matrix(product &p, const matrix &m, uint32_t from, uint32_t to)
{
    for (uint32_t k = 0; k < 16; k += m.is_mn_major ? 1 : 8)
        for (uint32_t r = from; r < to; r += m.is_mn_major ? 8 : 1)
            read_piece(p, element(m, k, r));
}

uint32_t first_row()
{
    return (uint32_t)(thread_number() / lanes % group_warps * 16);
}

/* ---- a warp's product ---- */

float left_factor(const product &p, uint32_t r, uint32_t k)
{
    if (!p.args.a_words)
        return load(element(decode(p.args.a, false), k, first_row() + r));
    const uint32_t word = p.words[r % 8 * 4 + k % 8 / 2][r / 8 + k / 8 * 2];
    return __uint_as_float(k % 2 ? word & 0xffff0000u : word << 16);
}

/* All n_max columns, the same number for every product: the compiler makes vectors of that. */
void run(product &p)
{
    const matrix b = decode(p.args.b, p.args.b_is_mn_major);
    sums        &to = *p.to;
    if (p.args.is_first)
        memset(to.value, 0, sizeof to.value);
    for (uint32_t k = 0; k < 16; k++) {
        float right[n_max] = {};
        for (int c = 0; c < p.args.n; c++)
            right[c] = load(element(b, k, (uint32_t)c));
        for (uint32_t r = 0; r < 16; r++) {
            const float left = left_factor(p, r, k);
            for (size_t c = 0; c < n_max; c++)
                to.value[r][c] += left * right[c];
        }
    }
    p.has_run = true;
}

/* Element i of a lane's registers. */
float &value_of(sums &s, size_t lane, int i)
{
    return s.value[lane / 4 + (size_t)(i % 4 / 2) * 8][(size_t)(i / 4) * 8 + lane % 4 * 2 + (size_t)(i % 2)];
}

void give(product &p, size_t lane)
{
    sums &to = *p.to;
    for (int i = 0; i < to.n / 2; i++) {
        value_of(to, lane, i) = p.args.is_first ? 0.0f : to.d[lane][i];
        memcpy(&to.d[lane][i], &poison, sizeof poison);
    }
}

void take(sums &from, size_t lane)
{
    for (int i = 0; i < from.n / 2; i++) {
        if (__float_as_uint(from.d[lane][i]) != poison)
            stop("the sums of a product under way were written");
        from.d[lane][i] = value_of(from, lane, i);
    }
}

/* Every operation is the whole warp's; true for the lane that comes first behind it. No lane comes to the
 * next one before all have done their part of this one. */
const unsigned char *meet(const void *give_words, size_t bytes, bool &is_first)
{
    const unsigned char *all = lrc_cuda_host_gather(0xffffffffu, give_words, bytes);
    warp                &w = warp_here();
    is_first = ++w.of_lane[lane_number()] > w.n_operations;
    if (is_first) {
        w.n_operations++;
        w.over.clear();
    }
    return all;
}

/* Where the sums go: on with those of a product under way, or new ones. */
std::shared_ptr<sums> sums_find(const warp &w, const lrc_cuda_host_product_args &args)
{
    for (const product &before : w.asked)
        if (before.to->d[lane_number()] == args.d)
            return before.to;
    std::shared_ptr<sums> made(new sums());
    made->n = args.n;
    return made;
}

void ask(warp &w, const lrc_cuda_host_product_args &args, const unsigned char *all)
{
    product p = {};
    if (!w.is_fenced)
        stop("a product without a fence of its registers since the last wait");
    p.args = args;
    p.to = sums_find(w, args);
    if (p.to->n != args.n)
        stop("a product continues sums of another shape");
    for (size_t lane = 0; lane < lanes; lane++)
        memcpy(p.words[lane], all + lane * 32 + 16, sizeof p.words[lane]);
    read_matrix(p, decode(args.b, args.b_is_mn_major), 0, (uint32_t)args.n);
    if (!args.a_words)
        read_matrix(p, decode(args.a, false), first_row(), first_row() + 16);
    p.to->n_products++;
    w.asked.push_back(p);
    w.n_open++;
    w.n_products++;
}

void finish(product &p)
{
    if (!p.has_run)
        run(p);
    for (const uint32_t number : p.reads) {
        pieces[number].n_readers--;
        pieces[number].read = n_barriers;
    }
    p.to->n_products--;
}

} // namespace

void lrc_cuda_host_product(const lrc_cuda_host_product_args &args)
{
    const size_t lane = lane_number(), group = group_warps * lanes;
    uint64_t     words[4] = { args.a, args.b, 0, 0 };
    bool         is_first;
    if ((thread_number() / group + 1) * group > thread_count())
        stop("a product of a warp group that is not whole");
    if (args.a_words)
        memcpy(words + 2, args.a_words, 2 * sizeof words[0]);
    const unsigned char *all = meet(words, sizeof words, is_first);
    warp                &w = warp_here();
    if (is_first)
        ask(w, args, all);
    product &p = w.asked.back();
    if (p.args.a != args.a || p.args.b != args.b || p.args.is_first != args.is_first || p.args.n != args.n)
        stop("lanes ask for different products");
    p.words_at[lane] = args.a_words;
    if (p.to->d[lane] == args.d) {
        for (int i = 0; i < args.n / 2; i++)
            if (__float_as_uint(args.d[i]) != poison)
                stop("the sums of a product under way were written");
        return;
    }
    if (p.to->d[lane])
        stop("lanes ask for different products");
    p.to->d[lane] = args.d;
    give(p, lane);
}

void lrc_cuda_host_product_fence()
{
    bool is_first;
    (void)meet("", 1, is_first);
    warp_here().is_fenced = true;
}

void lrc_cuda_host_product_commit()
{
    bool is_first;
    (void)meet("", 1, is_first);
    warp &w = warp_here();
    if (!is_first)
        return;
    const bool now = draw() % 2;
    for (product &p : w.asked)
        if (now && !p.has_run)
            run(p);
    w.groups.push_back(w.n_open);
    w.n_open = 0;
}

void lrc_cuda_host_product_wait(size_t n_under_way)
{
    bool is_first;
    (void)meet("", 1, is_first);
    warp        &w = warp_here();
    const size_t lane = lane_number();
    while (is_first && w.groups.size() > n_under_way) {
        const auto end = w.asked.begin() + (std::ptrdiff_t)w.groups.front();
        std::for_each(w.asked.begin(), end, finish);
        w.over.insert(w.over.end(), w.asked.begin(), end);
        w.asked.erase(w.asked.begin(), end);
        w.groups.erase(w.groups.begin());
    }
    w.is_fenced = false;
    for (const product &p : w.over) {
        if (p.words_at[lane] && memcmp(p.words_at[lane], p.words[lane], sizeof p.words[lane]) != 0)
            stop("the left factor of a product under way was changed");
        if (p.to->n_products > 0 || !p.to->d[lane])
            continue;
        take(*p.to, lane);
        p.to->d[lane] = nullptr;
    }
}

void lrc_cuda_host_publish()
{
    for (const unpublished &a : arrived[thread_number()])
        if (pieces[a.number].n_writes == a.n_writes)
            pieces[a.number].published = n_barriers;
    arrived[thread_number()].clear();
}

uint32_t lrc_cuda_host_shared_address(const void *shared)
{
    const std::ptrdiff_t offset =
        static_cast<const unsigned char *>(shared) - static_cast<unsigned char *>(lrc_cuda_host_shared());
    if (offset < 0 || (size_t)offset >= pieces.size() * piece_bytes)
        stop("a descriptor of what is not dynamic shared memory");
    return shared_begins + (uint32_t)offset;
}

namespace cuda_host
{

void warpgroup_begin(size_t shared_bytes, unsigned seed)
{
    pieces.assign(shared_bytes / piece_bytes, {});
    warps.assign((thread_count() + lanes - 1) / lanes, {});
    arrived.resize(std::max(arrived.size(), thread_count()));
    for (auto &of_thread : arrived)
        of_thread.clear();
    n_barriers = 1;
    draw.seed(seed);
}

void warpgroup_barrier()
{
    n_barriers++;
    for (size_t w = 0; w < warps.size(); w++)
        if (warps[w].n_products != warps[w / group_warps * group_warps].n_products)
            stop_thread(w * lanes, "only some warps of a group have asked for a product");
}

void warpgroup_end()
{
    warpgroup_barrier();
    for (size_t w = 0; w < warps.size(); w++)
        if (!warps[w].asked.empty())
            stop_thread(w * lanes, "ends with products that nobody has waited for");
}

static uint32_t piece_number(const void *to_shared)
{
    const std::ptrdiff_t offset =
        static_cast<const unsigned char *>(to_shared) - static_cast<unsigned char *>(lrc_cuda_host_shared());
    return offset < 0 ? UINT32_MAX : (uint32_t)((size_t)offset / piece_bytes);
}

void warpgroup_copy_asked(const void *to_shared)
{
    const uint32_t number = piece_number(to_shared);
    if (number >= pieces.size())
        return;
    piece &at = pieces[number];
    if (at.n_readers > 0)
        stop("a copy to shared memory that a product under way reads");
    if (at.read == n_barriers)
        stop("a copy to shared memory that a product has read, but no barrier came since");
    at.n_writes++;
    at.published = 0;
}

void warpgroup_copy_arrived(const void *to_shared)
{
    const uint32_t number = piece_number(to_shared);
    if (number < pieces.size())
        arrived[thread_number()].push_back({ number, pieces[number].n_writes });
}

} // namespace cuda_host
