// What currents and spikes are held in, and the way from there to float32 and back.

#pragma once

// A GPU, or one that a test emulates on the CPU, where what only a GPU has comes from elsewhere.
#if defined(__CUDACC__) || defined(QSNN_EMULATES_GPU)
#define QSNN_GPU
#endif

#ifdef __CUDACC__
#define QSNN_INLINE __device__ __forceinline__
#else
#include <cmath>
#include <cstring>
#define QSNN_INLINE inline __attribute__((always_inline))
#endif

struct bfloat {
    unsigned short bits;
};

#ifdef __CUDACC__
struct binary16 {
    unsigned short bits;
};
#else
using binary16 = _Float16;
#endif

using Value = QSNN_VALUE;  // float, binary16 or bfloat

QSNN_INLINE int bits_of(float a) {
#ifdef __CUDACC__
    return __float_as_int(a);
#else
    int bits;
    std::memcpy(&bits, &a, sizeof bits);
    return bits;
#endif
}

QSNN_INLINE float from_bits(int bits) {
#ifdef __CUDACC__
    return __int_as_float(bits);
#else
    float a;
    std::memcpy(&a, &bits, sizeof a);
    return a;
#endif
}

QSNN_INLINE float widen(float a) { return a; }

QSNN_INLINE float widen(bfloat a) {
    return from_bits(static_cast<int>(static_cast<unsigned>(a.bits) << 16));
}

QSNN_INLINE float widen(binary16 a) {
#ifdef __CUDACC__
    float wide;
    asm("cvt.f32.f16 %0, %1;" : "=f"(wide) : "h"(a.bits));
    return wide;
#else
    return static_cast<float>(a);
#endif
}

#ifdef __CUDACC__
// 32 bits of memory: one value of 32, or two of 16.
QSNN_INLINE unsigned word_of(float a, float) { return __float_as_uint(a); }

QSNN_INLINE unsigned word_of(int a, int) { return (unsigned)a; }

template <typename Half>
QSNN_INLINE unsigned word_of(Half first, Half second) {
    return first.bits | (unsigned)second.bits << 16;
}
#endif

QSNN_INLINE void narrow(float a, float& to) { to = a; }

QSNN_INLINE void narrow(float a, bfloat& to) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(to.bits) : "f"(a));
#else
    const unsigned bits = static_cast<unsigned>(bits_of(a));
    const unsigned rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
    to.bits = static_cast<unsigned short>(a == a ? rounded : 0x7fc0);
#endif
}

QSNN_INLINE void narrow(float a, binary16& to) {
#ifdef __CUDACC__
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(to.bits) : "f"(a));
#else
    to = static_cast<binary16>(a);
#endif
}
