// What a thread of the GPU's kernels owns: neurons side by side, one a lane, and what they read.

#pragma once

#include "neuron.h"

constexpr int BLOCK = QSNN_BLOCK, WARP = 32;  // threads
constexpr bool PACKS = QSNN_PACKS;  // whether the forward leaves the stored membranes in 2 bits
constexpr int STEPS_PER_WORD = 16;
static_assert(2 * STEPS_PER_WORD == 8 * sizeof(int), "2 bits a step");
constexpr bool MASKED = SPATIAL || MASKS_INPUT;
static_assert(!MASKED && !RETURNS_STATES && !LEAK_LEARNS, "a GPU's kernel has none of these");
static_assert(!PACKS || (STORE == LEVELS && LEVEL_COUNT <= 3 && !RESET_IS_LATE), "2 bits suffice");

// Call by value, and the numbers behind it.
struct Launch : Call {
    Numbers numbers;
};
static_assert(sizeof(Launch) <= 4096, "every CUDA takes as much with a launch");

template <typename Type, int WIDTH>
struct alignas(sizeof(Type) * WIDTH < 16 ? sizeof(Type) * WIDTH : 16) Lanes {
    Type lane[WIDTH];
};

// A GPU stops where lanes that are read or written at once are not aligned: an emulated one sees it.
#ifndef QSNN_EXPECT_ALIGNED
#define QSNN_EXPECT_ALIGNED(place, bytes)
#endif

template <int WIDTH, typename Type>
QSNN_INLINE Lanes<Type, WIDTH> load(const Type* from) {
    QSNN_EXPECT_ALIGNED(from, (alignof(Lanes<Type, WIDTH>)));
    return *reinterpret_cast<const Lanes<Type, WIDTH>*>(from);
}

template <int WIDTH, typename Type>
QSNN_INLINE void copy(Type* to, const Lanes<Type, WIDTH>& values) {
    QSNN_EXPECT_ALIGNED(to, (alignof(Lanes<Type, WIDTH>)));
    *reinterpret_cast<Lanes<Type, WIDTH>*>(to) = values;
}

// Leaves lanes in global memory, 16 bytes at once: of a copy the compiler makes single lanes.
template <int WIDTH, typename Type>
QSNN_INLINE void store(Type* to, const Lanes<Type, WIDTH>& values) {
#ifdef __CUDACC__
    constexpr int WORDS = sizeof values / 4, LANES_PER_WORD = sizeof(Type) == 4 ? 1 : 2;
    if constexpr (WORDS >= 4) {
        unsigned words[WORDS];
#pragma unroll
        for (int i = 0; i < WORDS; i++)
            words[i] = word_of(values.lane[i * LANES_PER_WORD],
                               values.lane[(i + 1) * LANES_PER_WORD - 1]);
#pragma unroll
        for (int i = 0; i < WORDS; i += 4)
            asm volatile(
                "{ .reg .u64 place; cvta.to.global.u64 place, %0; "
                "st.global.v4.b32 [place], {%1, %2, %3, %4}; }" ::"l"((char*)to + 4 * i),
                "r"(words[i]), "r"(words[i + 1]), "r"(words[i + 2]), "r"(words[i + 3])
                : "memory");
        return;
    }
#endif
    copy(to, values);
}

template <int WIDTH>
using Floats = Lanes<float, WIDTH>;

// Steps whose loads are under way together; more of eight lanes would not fit into the registers.
template <int WIDTH>
constexpr int CHUNK = WIDTH > 4 ? 2 : 4;

// Memory of a block, as large as its launch says.
struct alignas(16) Quad {
    float value[4];
};
extern __shared__ Quad shared[];

// A thread's own places in it: those of neighbours lie 16 bytes apart, which no two banks share.
template <int WIDTH>
struct Places {
    static constexpr int PART = WIDTH < 4 ? WIDTH : 4, PARTS = WIDTH / PART;

    QSNN_INLINE float* part(int place, int i) const {
        return shared->value + ((place * PARTS + i) * BLOCK + threadIdx.x) * PART;
    }

    QSNN_INLINE void put(int place, const Floats<WIDTH>& values) const {
#pragma unroll
        for (int i = 0; i < PARTS; i++)
            copy(part(place, i), load<PART>(values.lane + i * PART));
    }

    QSNN_INLINE Floats<WIDTH> get(int place) const {
        Floats<WIDTH> values;
#pragma unroll
        for (int i = 0; i < PARTS; i++)
            copy(values.lane + i * PART, load<PART>(part(place, i)));
        return values;
    }
};

QSNN_INLINE Scaling given_scale(const Launch& call) { return HAS_SCALE ? *call.scale : 1.0f; }

QSNN_INLINE Scaling scale_of(const Launch& call, Index t, const Scaling& given) {
    return MEASURES ? Scaling(call.running[t + 1].scale) : given;
}

template <int WIDTH>
QSNN_INLINE Floats<WIDTH> start(const Launch& call, Index first) {
    if (call.v_is_each) return load<WIDTH>(call.v + first);
    Floats<WIDTH> q;
    for (int i = 0; i < WIDTH; i++) q.lane[i] = *call.v;
    return q;
}

template <int WIDTH>
QSNN_INLINE Floats<WIDTH> thresholds(const Launch& call, Index first) {
    Floats<WIDTH> each;
    if constexpr (!THRESHOLD_PER_CHANNEL) {
        for (int i = 0; i < WIDTH; i++) each.lane[i] = *call.threshold;
        return each;
    }
    Index channel = first / call.threshold_inner % call.threshold_count;
    Index inside = first % call.threshold_inner;
    for (int i = 0; i < WIDTH; i++) {
        each.lane[i] = call.threshold[channel];
        if (++inside < call.threshold_inner) continue;
        inside = 0;
        channel = channel + 1 < call.threshold_count ? channel + 1 : 0;
    }
    return each;
}

// A stored level as 2 bits, of which 3 is no level but NaN.
QSNN_INLINE int code_of(const Known& p, float q) {
    int code = 3;
#pragma unroll
    for (int k = LEVEL_COUNT - 1; k >= 0; k--) code = q == p.levels[k] ? k : code;
    return code;
}

QSNN_INLINE float level_of(const Known& p, int code) {
    float q = from_bits(0x7fc00000);
#pragma unroll
    for (int k = 0; k < LEVEL_COUNT; k++) q = code == k ? p.levels[k] : q;
    return q;
}

// The greatest of a block's bits of numbers that are not negative, in any order; NaN is above all.
QSNN_INLINE void leave_greatest(float* greatest, int bits) {
    for (int offset = WARP / 2; offset > 0; offset /= 2) {
        const int other = __shfl_down_sync(~0u, bits, offset);
        bits = other > bits ? other : bits;
    }
    auto* warps = reinterpret_cast<int*>(shared);
    if (threadIdx.x % WARP == 0) warps[threadIdx.x / WARP] = bits;
    __syncthreads();
    if (threadIdx.x > 0) return;
    for (int warp = 1; warp < BLOCK / WARP; warp++) bits = warps[warp] > bits ? warps[warp] : bits;
    atomicMax(reinterpret_cast<int*>(greatest), bits);  // one of a block: all have the same address
}

// Sums of a block, always in the same order.
QSNN_INLINE void leave_sums(double* sums, double grad_threshold, double grad_scale) {
    auto* warps = reinterpret_cast<double(*)[2]>(shared);
    __syncthreads();  // it held something else
    for (int offset = WARP / 2; offset > 0; offset /= 2) {
        grad_threshold += __shfl_down_sync(~0u, grad_threshold, offset);
        grad_scale += __shfl_down_sync(~0u, grad_scale, offset);
    }
    if (threadIdx.x % WARP == 0) {
        warps[threadIdx.x / WARP][0] = grad_threshold;
        warps[threadIdx.x / WARP][1] = grad_scale;
    }
    __syncthreads();
    if (threadIdx.x > 1) return;
    double total = 0;
    for (int warp = 0; warp < BLOCK / WARP; warp++) total += warps[warp][threadIdx.x];
    sums[2 * (Index)blockIdx.x + threadIdx.x] = total;
}
