/* The scheduler behind cuda_runtime.h of this folder. */
#include "fiber.h"
#include "scheduler.h"

#include <algorithm>
#include <cstdio>
#include <memory>
#include <numeric>
#include <random>
#include <vector>

#if defined(__x86_64__)
/* (save: rdi, load: rsi): the registers that a call must keep, on the stack. */
asm(".text\n"
    ".globl lrc_fiber_switch_x86_64\n"
    ".type lrc_fiber_switch_x86_64,@function\n"
    "lrc_fiber_switch_x86_64:\n"
    "  pushq %rbp\n  pushq %rbx\n  pushq %r12\n  pushq %r13\n  pushq %r14\n  pushq %r15\n"
    "  movq %rsp, (%rdi)\n"
    "  movq %rsi, %rsp\n"
    "  popq %r15\n  popq %r14\n  popq %r13\n  popq %r12\n  popq %rbx\n  popq %rbp\n"
    "  ret\n"
    ".size lrc_fiber_switch_x86_64, .-lrc_fiber_switch_x86_64\n");
#endif

namespace
{

enum state { READY, AT_BLOCK_BARRIER, AT_GATHER, DONE };
constexpr size_t gather_bytes_max = 32, warp_size = 32, threads_max = 1024;
constexpr size_t stack_bytes = 128 << 10;

/* What the lanes of a warp gave at one operation. */
struct gathered {
    unsigned char all[warp_size * gather_bytes_max];
};

/* A copy that has not arrived: `bytes`, and zeros up to `all`. */
struct copy {
    void       *to;
    const void *from;
    size_t      bytes, all;
};

struct thread {
    lrc_fiber                        fiber;
    std::unique_ptr<unsigned char[]> stack;
    lrc_cuda_host_index              index;
    state                            now = DONE;
    size_t                           number = 0; /* in its block */
    int                              lane = 0;
    unsigned                         mask = 0; /* of the warp operation it waits at */
    size_t                           bytes = 0;
    const gathered                  *got = nullptr;
    gathered                         own; /* of an operation that is not the whole warp's */
    unsigned char                    give[gather_bytes_max];
    std::vector<copy>                copies;     /* in the order they were asked for */
    std::vector<size_t>              groups;     /* committed: number of copies in each */
    size_t                           n_open = 0; /* not committed */
};

/* An operation of the whole warp is read from one place. Two of them: the next one is not over before every
 * lane has come to it, and so has read the last. */
struct warp {
    gathered whole[2];
    int      turn = 0;
};

struct shared_array {
    const void                *key;
    std::vector<unsigned char> memory;
};

lrc_fiber                            scheduler;
std::vector<std::unique_ptr<thread>> pool; /* fibers live on: a new block is a new round of each one's loop */
std::vector<warp>                    warps;
size_t                               n_threads;
thread                              *running;
const std::function<void()>         *kernel_body;
const char                          *kernel_name;
std::vector<unsigned char>           shared_memory;
std::vector<shared_array>            shared_arrays;

[[noreturn]] void stop(const thread &t, const char *words)
{
    fprintf(stderr, "cuda_host: %s: block (%u,%u,%u) thread (%u,%u,%u): %s\n", kernel_name, t.index.block.x,
            t.index.block.y, t.index.block.z, t.index.thread.x, t.index.thread.y, t.index.thread.z, words);
    abort();
}

void run_thread()
{
    lrc_fiber_arrived(running->fiber, scheduler);
    for (;;) {
        (*kernel_body)();
        running->now = DONE;
        lrc_fiber_switch(running->fiber, scheduler);
    }
}

void wait(state reason)
{
    running->now = reason;
    lrc_fiber_switch(running->fiber, scheduler);
}

size_t warp_end(size_t w)
{
    return std::min(n_threads, (w + 1) * warp_size);
}

void gather_lanes(size_t w, unsigned lanes, const thread &like, gathered &out)
{
    memset(out.all, 0xff, warp_size * like.bytes);
    for (size_t t = w * warp_size; t < warp_end(w); t++) {
        const thread &from = *pool[t];
        if (!(lanes >> from.lane & 1u))
            continue;
        if (from.mask != like.mask || from.bytes != like.bytes)
            stop(from, "lanes of one warp meet with different masks or types");
        memcpy(out.all + (size_t)from.lane * like.bytes, from.give, like.bytes);
    }
}

/* An operation is over when every lane of its mask that exists has come to it. */
bool release_warp(size_t w)
{
    unsigned present = 0, waiting = 0;
    for (size_t t = w * warp_size; t < warp_end(w); t++) {
        present |= 1u << pool[t]->lane;
        waiting |= (pool[t]->now == AT_GATHER ? 1u : 0u) << pool[t]->lane;
    }
    bool any = false;
    for (size_t t = w * warp_size; t < warp_end(w); t++) {
        const thread  &first = *pool[t];
        const unsigned lanes = first.mask & present;
        if (first.now != AT_GATHER || (lanes & ~waiting) != 0)
            continue;
        const bool is_whole = lanes == present;
        gathered   part, &out = is_whole ? warps[w].whole[warps[w].turn ^= 1] : part;
        gather_lanes(w, lanes, first, out);
        const size_t bytes = first.bytes;
        for (size_t u = w * warp_size; u < warp_end(w); u++) {
            thread &to = *pool[u];
            if (!(lanes >> to.lane & 1u))
                continue;
            if (!is_whole)
                memcpy(to.own.all, part.all, warp_size * bytes);
            to.got = is_whole ? &out : &to.own;
            to.now = READY;
        }
        waiting &= ~lanes;
        any = true;
    }
    return any;
}

/* Runs every ready thread of a warp until it waits; false when none was ready. */
bool run_warp(size_t w, std::minstd_rand &order)
{
    const size_t first = w * warp_size, n = warp_end(w) - first, from = order() % n,
                 step = order() % 2 ? 1 : n - 1;
    bool any = false;
    for (size_t i = 0, t = from; i < n; i++, t = (t + step) % n) {
        if (pool[first + t]->now != READY)
            continue;
        any = true;
        running = pool[first + t].get();
        lrc_fiber_switch(scheduler, running->fiber);
    }
    return any;
}

bool release_block_barrier()
{
    for (size_t t = 0; t < n_threads; t++)
        if (pool[t]->now != DONE && pool[t]->now != AT_BLOCK_BARRIER)
            return false;
    bool any = false;
    for (size_t t = 0; t < n_threads; t++)
        if (pool[t]->now == AT_BLOCK_BARRIER)
            pool[t]->now = READY, any = true;
    if (any)
        cuda_host::warpgroup_barrier();
    return any;
}

/* Between two block barriers: warp by warp as far as each can go, or all warps an operation at a time. */
void run_block(std::minstd_rand &order)
{
    const size_t        n_warps = (n_threads + warp_size - 1) / warp_size;
    std::vector<size_t> turn(n_warps);
    std::iota(turn.begin(), turn.end(), (size_t)0);
    do {
        std::shuffle(turn.begin(), turn.end(), order);
        const bool runs_ahead = order() % 2;
        for (bool any = true; any;) {
            any = false;
            for (const size_t w : turn)
                do {
                    if (!run_warp(w, order) && !release_warp(w))
                        break;
                    any = true;
                } while (runs_ahead);
        }
    } while (release_block_barrier());
    for (size_t t = 0; t < n_threads; t++)
        if (pool[t]->now != DONE)
            stop(*pool[t], pool[t]->now == AT_GATHER
                               ? "waits at a warp operation that not all lanes of its mask reach"
                               : "waits at a barrier that not all threads reach");
}

void grow_pool()
{
    while (pool.size() < n_threads) {
        pool.emplace_back(new thread);
        pool.back()->stack.reset(new unsigned char[stack_bytes]);
        lrc_fiber_init(pool.back()->fiber, pool.back()->stack.get(), stack_bytes, run_thread);
    }
    if (warps.size() < threads_max / warp_size)
        warps.resize(threads_max / warp_size);
}

void begin_block(size_t b, dim3 grid, dim3 block)
{
    for (size_t i = 0; i < n_threads; i++) {
        thread &t = *pool[i];
        t.index = { dim3((unsigned)(i % block.x), (unsigned)(i / block.x % block.y),
                         (unsigned)(i / block.x / block.y)),
                    dim3((unsigned)(b % grid.x), (unsigned)(b / grid.x % grid.y),
                         (unsigned)(b / grid.x / grid.y)),
                    block, grid };
        t.now = READY;
        t.number = i;
        t.lane = (int)(i % warp_size);
        t.copies.clear();
        t.groups.clear();
        t.n_open = 0;
    }
}

} // namespace

namespace cuda_host
{

size_t thread_number()
{
    return running->number;
}

size_t thread_count()
{
    return n_threads;
}

[[noreturn]] void stop_thread(size_t number, const char *words)
{
    stop(*pool[number], words);
}

} // namespace cuda_host

const lrc_cuda_host_index &lrc_cuda_host_here()
{
    return running->index;
}
int lrc_cuda_host_lane()
{
    return running->lane;
}
void *lrc_cuda_host_shared()
{
    return shared_memory.data();
}
void lrc_cuda_host_block_barrier()
{
    wait(AT_BLOCK_BARRIER);
}

void *lrc_cuda_host_shared_array(const void *key, size_t bytes)
{
    for (shared_array &array : shared_arrays)
        if (array.key == key)
            return array.memory.data();
    shared_arrays.push_back({ key, std::vector<unsigned char>(bytes, 0xff) });
    return shared_arrays.back().memory.data();
}

void lrc_cuda_host_copy_async(void *to_shared, const void *from, size_t bytes, size_t all)
{
    cuda_host::warpgroup_copy_asked(to_shared);
    running->copies.push_back({ to_shared, from, bytes, all });
    running->n_open++;
}

void lrc_cuda_host_copy_commit()
{
    running->groups.push_back(running->n_open);
    running->n_open = 0;
}

void lrc_cuda_host_copy_wait(size_t n_under_way)
{
    thread &t = *running;
    while (t.groups.size() > n_under_way) {
        for (size_t i = 0; i < t.groups.front(); i++) {
            memset(t.copies[i].to, 0, t.copies[i].all);
            memcpy(t.copies[i].to, t.copies[i].from, t.copies[i].bytes);
            cuda_host::warpgroup_copy_arrived(t.copies[i].to);
        }
        t.copies.erase(t.copies.begin(), t.copies.begin() + (std::ptrdiff_t)t.groups.front());
        t.groups.erase(t.groups.begin());
    }
}

void lrc_cuda_host_aligned(const void *address, size_t bytes)
{
    if ((uintptr_t)address % bytes != 0)
        stop(*running, "misaligned address");
}

const unsigned char *lrc_cuda_host_gather(unsigned mask, const void *give, size_t bytes)
{
    if (!(mask >> running->lane & 1u))
        stop(*running, "calls a warp operation whose mask leaves it out");
    if (bytes > gather_bytes_max)
        stop(*running, "gives more than a warp operation takes");
    running->mask = mask;
    running->bytes = bytes;
    memcpy(running->give, give, bytes);
    wait(AT_GATHER);
    return running->got->all;
}

void lrc_cuda_host_run(const char *kernel, dim3 grid, dim3 block, size_t shared_bytes,
                       const std::function<void()> &body)
{
    const char      *seed = getenv("LRC_CUDA_HOST_SEED");
    std::minstd_rand order(seed ? (unsigned)atoi(seed) : 1u);
    n_threads = (size_t)block.x * block.y * block.z;
    kernel_name = kernel;
    kernel_body = &body;
    grow_pool();
    std::vector<size_t> blocks((size_t)grid.x * grid.y * grid.z);
    std::iota(blocks.begin(), blocks.end(), (size_t)0);
    std::shuffle(blocks.begin(), blocks.end(), order);
    for (const size_t b : blocks) {
        shared_memory.assign(shared_bytes, 0xff); /* reads as NaN until written */
        shared_arrays.clear();
        begin_block(b, grid, block);
        cuda_host::warpgroup_begin(shared_bytes, (unsigned)order());
        run_block(order);
        cuda_host::warpgroup_end();
    }
}
