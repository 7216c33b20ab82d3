// As much of a GPU as kernel.cu needs, on the CPU: blocks in turn, a block's threads as fibers.
//
// Threads run one after another up to the next barrier or shuffle, so that each value they pass on
// really goes through one; threads of a block that do not all arrive there are an error.

#pragma once

#include <ucontext.h>

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>
#ifdef __SSE__
#include <immintrin.h>
#endif

#define QSNN_EMULATES_GPU
#define __global__
#define __device__
#define __shared__
#define __grid_constant__
#define __launch_bounds__(...)
#define QSNN_EXPECT_ALIGNED(place, bytes) emulated::expect_aligned(place, bytes)

struct Position {
    unsigned x;
};

inline Position threadIdx, blockIdx;

namespace emulated {

constexpr int THREADS = QSNN_BLOCK, WARP_SIZE = 32;
constexpr size_t STACK = 1 << 18;

struct Fiber {
    ucontext_t context;
    std::unique_ptr<char[]> stack{new char[STACK]};
    bool has_ended;
};

inline Fiber fibers[THREADS];
inline ucontext_t scheduler;
inline double passed_on[THREADS];
inline void (*work)();
inline bool backwards;
inline int misaligned, atomics;

inline void wait_for_all() { swapcontext(&fibers[threadIdx.x].context, &scheduler); }

// Ends the thread whose access a GPU would refuse.
inline void expect_aligned(const void* place, size_t bytes) {
    if (reinterpret_cast<uintptr_t>(place) % bytes == 0) return;
    misaligned++;
    fibers[threadIdx.x].has_ended = true;
    wait_for_all();
}

inline void start() {
    work();
    fibers[threadIdx.x].has_ended = true;
}

// Runs every thread up to its next barrier; returns how many have ended.
inline int run_to_barrier() {
    int ended = 0;
    for (int turn = 0; turn < THREADS; turn++) {
        const int i = backwards ? THREADS - 1 - turn : turn;
        threadIdx.x = i;
        if (!fibers[i].has_ended) swapcontext(&scheduler, &fibers[i].context);
        ended += fibers[i].has_ended;
    }
    return ended;
}

// As CuPy has kernels built: what is below 1.2e-38 is 0, read or computed.
struct FlushedDenormals {
#ifdef __SSE__
    const unsigned before = _mm_getcsr();
    FlushedDenormals() { _mm_setcsr(before | 0x8040); }
    ~FlushedDenormals() { _mm_setcsr(before); }
#endif
};

// Returns how many threads wait at a barrier to which others do not come.
inline int run_block(void (*of_thread)()) {
    const FlushedDenormals flushed;  // threads start with it
    work = of_thread;
    for (Fiber& fiber : fibers) {
        fiber.has_ended = false;
        getcontext(&fiber.context);
        fiber.context.uc_stack.ss_sp = fiber.stack.get();
        fiber.context.uc_stack.ss_size = STACK;
        fiber.context.uc_link = &scheduler;
        makecontext(&fiber.context, start, 0);
    }
    int ended = 0;
    while (ended == 0) ended = run_to_barrier();
    return THREADS - ended;
}

}  // namespace emulated

inline void __syncthreads() { emulated::wait_for_all(); }

template <typename Type>
Type __shfl_down_sync(unsigned, Type value, int offset) {
    using namespace emulated;
    static_assert(sizeof(Type) <= sizeof *passed_on);
    const unsigned own = threadIdx.x, other = own + offset;
    std::memcpy(&passed_on[own], &value, sizeof value);
    wait_for_all();
    if (other / WARP_SIZE == own / WARP_SIZE) std::memcpy(&value, &passed_on[other], sizeof value);
    wait_for_all();
    return value;
}

namespace emulated {

// A number up to two units in the last place away, as far as a GPU's fast functions may be.
inline float nearby(float exact) {
    if (!std::isfinite(exact) || exact == 0) return exact;
    int bits;
    std::memcpy(&bits, &exact, sizeof bits);
    bits += static_cast<int>(static_cast<unsigned>(bits) * 2654435761u >> 16) % 5 - 2;
    std::memcpy(&exact, &bits, sizeof bits);
    return exact;
}

}  // namespace emulated

inline float fast_power_of_two(float a) { return emulated::nearby(exp2f(a)); }

// Beyond 2^126 a GPU's is 0, and NaN of an infinite number.
inline float __fdividef(float a, float b) {
    const float size = fabsf(b);
    if (size > 0x1p126f && size < HUGE_VALF) return a * 0.0f;
    return emulated::nearby(a / b);
}

inline int atomicMax(int* to, int value) {
    emulated::atomics++;
    const int before = *to;
    if (value > before) *to = value;
    return before;
}
