// One step of one neuron, forward and backward: what the kernels of the CPU and of the GPU share.
//
// Choices are constants (variant.h), numbers come in `Numbers` (layout.h). README.md has the equations.

#pragma once

#include "layout.h"

#ifdef __CUDACC__
// Many bumps at once would not fit into the registers.
#define QSNN_UNROLL _Pragma("unroll(MIDPOINT_COUNT > 2 ? 1 : 2)")
#else
// A loop inside keeps the compiler from vectorizing the loop over neurons.
#define QSNN_UNROLL _Pragma("GCC unroll 128")
#endif

// What a step reads. A GPU's thread has the scalars and leaves the tables where they are: an index
// that is no constant would move all of a copy out of the registers.
#ifdef QSNN_GPU
struct Known : Scalars {
    const float (&midpoints)[MIDPOINT_COUNT + 1], (&heights)[HEIGHT_COUNT + 1];
    const float (&levels)[TABLE_OF_LEVELS + 1];
    const float (&pair_sums)[PAIR_COUNT + 1], (&pair_heights)[PAIR_COUNT + 1];

    QSNN_INLINE Known(const Numbers& all)
        : Scalars(all), midpoints(all.midpoints), heights(all.heights), levels(all.levels),
          pair_sums(all.pair_sums), pair_heights(all.pair_heights) {}
};
#else
using Known = Numbers;
#endif

constexpr float PI = 3.14159265358979f, TINY = 1.17549435e-38f, EPSILON = 1.1920929e-7f;

// a b + c, rounded once where that is one instruction.
QSNN_INLINE float fuse(float a, float b, float c) {
#if defined(QSNN_GPU) || defined(__FP_FAST_FMAF)
    return fmaf(a, b, c);
#else
    return a * b + c;
#endif
}

// A quotient in a gradient, which need not be rounded as the reference's is.
QSNN_INLINE float ratio(float a, float b) {
#ifdef QSNN_GPU
    return __fdividef(a, b);
#else
    return a / b;
#endif
}

#ifdef __CUDACC__
QSNN_INLINE float fast_power_of_two(float a) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(a));
    return y;
}
#endif

// a / b from y = 1 / b, corrected once: it is rounded as a division is, without its branch and call.
// For b from 2^-60 to 2^60 and quotients from 2^-20 to 2^20; smaller ones are off by a few of their
// last bits, and keep their sign.
QSNN_INLINE float quotient(float a, float b, float y) {
    const float q = a * y;
    return fmaf(fmaf(b, q, -a), -y, q);  // keeps the sign of a zero
}

// 2^a for a <= 0, within 2e-7 of itself; a loop of it is vectorized.
QSNN_INLINE float power_of_two(float a) {
#ifdef QSNN_GPU
    return fast_power_of_two(a);
#else
    constexpr float ROUND = 12582912.0f;  // 1.5 * 2^23: a sum with it is rounded to an integer
    a = a < -126.0f ? -126.0f : a;  // so that a NaN stays one
    const float shifted = a + ROUND, f = a - (shifted - ROUND);
    float y = 1.32647269e-3f;
    y = fuse(y, f, 9.67151266e-3f);
    y = fuse(y, f, 5.55073374e-2f);
    y = fuse(y, f, 2.40222421e-1f);
    y = fuse(y, f, 6.93146978e-1f);
    y = fuse(y, f, 1.0f);
    return from_bits(bits_of(y) + (int)((unsigned)bits_of(shifted) << 23));
#endif
}

QSNN_INLINE float exp_negative(float a) { return power_of_two(a * 1.44269504f); }

template <Shape shape>
QSNN_INLINE float unit_derivative(float z) {
    const float size = fabsf(z);
    if constexpr (shape == TRIANGLE) return size >= 1.0f ? 0.0f : 1.0f - size;  // a NaN stays one
    if constexpr (shape == RECTANGLE) return size < 0.5f ? 1.0f : 0.0f;
    if constexpr (shape == SIGMOID) {
        const float e = exp_negative(-size);
        return ratio(e, (1.0f + e) * (1.0f + e));
    }
    if constexpr (shape == ARCTAN) return ratio(0.5f, 1.0f + (PI / 2 * z) * (PI / 2 * z));
    return size <= 1.0f ? 0.5f : 0.01f;
}

// The penalty window at a distance of 0 or more.
QSNN_INLINE float window(float distance) {
    if constexpr (WINDOW == SIGMOID) return ratio(1.0f, 1.0f + exp_negative(-distance));
    if constexpr (WINDOW == ARCTAN) return atanf(PI / 2 * distance) / PI + 0.5f;
    const float z = distance < 1.0f ? distance : 1.0f;
    return 0.5f + z - 0.5f * z * z;
}

// Numbers of a call: a decay is a tensor's, which may lie where only the kernel can read it.
QSNN_INLINE Known with_decay(const Numbers& given, const float* decay) {
    Known p(given);
    if constexpr (LEAK == DECAY) {
        p.decay = *decay < 0.0f ? 0.0f : *decay > 1.0f ? 1.0f : *decay;
        p.gain_of_q = p.decay;
    }
    if constexpr (LEAK == RATE || LEAK == RATE_OF_INPUT) {
        p.decay = *decay;
        p.gain_of_q = 1.0f - p.decay;
        if constexpr (LEAK == RATE_OF_INPUT) p.gain_of_x = p.decay;
    }
    return p;
}

QSNN_INLINE float charge(const Known& p, float x, float q) {
    if constexpr (LEAK == NO_LEAK) return q + x;
    if constexpr (LEAK == DECAY) return p.decay * q + x;
    const float above = RESTS_AT_ZERO ? q : q - p.v_reset;
    if constexpr (LEAK == RATE) return (q - above * p.decay) + x;
    if constexpr (LEAK == RATE_OF_INPUT) return q + (x - above) * p.decay;
    const auto divided = [&](float a) { return TAU_IS_EXACT ? a * p.inverse_tau : a / p.tau; };
    if constexpr (LEAK == TIME_CONSTANT) return (q - divided(above)) + x;
    return q + divided(x - above);
}

// How often the threshold fits: 0 or 1 with spikes of one bit. A NaN does not fire.
QSNN_INLINE float count(float distance, float threshold) {
    if constexpr (GREATEST_SPIKE == 1) {
        const bool fires = FIRES_AT_ZERO ? distance >= 0.0f : distance > 0.0f;
        return fires ? 1.0f : 0.0f;
    }
    const float over = distance / threshold;
    const float many = FIRES_AT_ZERO ? floorf(over) + 1.0f : ceilf(over);
    const float some = many < 0.0f ? 0.0f : many;
    return some > GREATEST_SPIKE ? (float)GREATEST_SPIKE : some;
}

// What of h is left to be stored; a late reset leaves all of it.
QSNN_INLINE float reset(const Known& p, float h, float spikes, float threshold) {
    if constexpr (RESET_IS_LATE || RESET == NONE) return h;
    if constexpr (RESET == SOFT) return h - spikes * threshold;
    return spikes > 0.0f ? p.v_reset : h;
}

// Charge from the stored membrane q, with the reset that the step before may owe.
QSNN_INLINE float charged(const Known& p, float x, float q, float threshold) {
    if constexpr (!RESET_IS_LATE || RESET == NONE) return charge(p, x, q);
    const float owed = count(q - threshold, threshold);
    if constexpr (RESET == HARD) return charge(p, x, owed > 0.0f ? 0.0f : q);
    return charge(p, x, q) - owed * threshold;
}

// The scale of a membrane, what is divided by in its place, and on a GPU the inverse of that: NaN
// where a quotient has to be a division.
struct Scaling {
    float scale, divisor;
#ifdef QSNN_GPU
    float inverse;
#endif

    QSNN_INLINE Scaling(float scale) : scale(scale), divisor(scale < TINY ? TINY : scale) {
#ifdef QSNN_GPU
        const bool is_ordinary = divisor > 0x1p-60f && divisor < 0x1p60f;
        inverse = is_ordinary ? 1.0f / divisor : from_bits(0x7fc00000);
#endif
    }
};

QSNN_INLINE float over_scale(float r, const Scaling& by) {
#ifdef QSNN_GPU
    if (fabsf(r * by.inverse) < 0x1p20f) return quotient(r, by.divisor, by.inverse);
#endif
    return r / by.divisor;
}

// The level of a code from LEAST_CODE to GREATEST_CODE, at a scale of 1.
QSNN_INLINE float level_of_code(float code) {
#ifdef QSNN_GPU
    return quotient(code, GREATEST_CODE, 1.0f / GREATEST_CODE);
#else
    return code / GREATEST_CODE;
#endif
}

QSNN_INLINE float quantize(const Known& p, float r, const Scaling& by) {
    if constexpr (STORE == CLIP) return r < p.lower ? p.lower : r > p.upper ? p.upper : r;
    if constexpr (STORE == LEVELS) {
        float level = p.levels[0];
        for (int k = 0; k < MIDPOINT_COUNT; k++) level = r > p.midpoints[k] ? p.levels[k + 1] : level;
        return r == r ? level : r;
    }
    if constexpr (STORE == UNIFORM) {
        const float code = over_scale(r, by) * GREATEST_CODE;
        const float low = code < LEAST_CODE ? (float)LEAST_CODE : code;
        return by.scale * level_of_code(rintf(low > GREATEST_CODE ? (float)GREATEST_CODE : low));
    }
    return r;
}

// What is stored of r. Before a late reset it is kept on the side of the threshold where it was.
QSNN_INLINE float stored(const Known& p, float r, float threshold, const Scaling& by) {
    const float q = quantize(p, r, by);
    if constexpr (!KEEPS_COMPARISON || RESET == NONE) return q;
    const float above = threshold * (1.0f + EPSILON);
    const bool fired = count(r - threshold, threshold) > 0.0f;
    return fired ? (q < above ? above : q) : q > threshold ? threshold : q;
}

QSNN_INLINE float sent(float spikes, float threshold) {
    return SENDS_THRESHOLD ? spikes * threshold : spikes;
}

// Steps that mirror each other in a centre: one power for all bumps, and a division a pair.
QSNN_INLINE float mirrored_bumps(const Known& p, float u) {
    const float away = fabsf(CENTRE_IS_ZERO ? u : u - p.centre);
    const float e = power_of_two(-1.44269504f * p.smoothness * away);
    const float square = fuse(e, e, 1.0f), four = 4.0f * e;
    float sum = 0.0f;
    QSNN_UNROLL
    for (int k = 0; k < PAIR_COUNT; k++) {
        const float root = fuse(e, p.pair_sums[k] + e, 1.0f);
        sum += ratio(p.pair_heights[k] * fuse(p.pair_sums[k], square, four), root * root);
    }
    return e * sum;
}

// Slope that stands in for that of storing r.
QSNN_INLINE float slope(const Known& p, float r, const Scaling& by) {
    float each = 1.0f;
    constexpr bool JUMPS =
        SLOPE == CLIPPED_STRAIGHT_THROUGH || SLOPE_SHAPE == RECTANGLE || SLOPE_SHAPE == PIECEWISE_LEAKY_RELU;
    float u = r;
    if constexpr (HAS_SCALE && SLOPE != STRAIGHT_THROUGH)
        u = JUMPS ? over_scale(r, by) : ratio(r, by.divisor);
    if constexpr (SLOPE == CLIPPED_STRAIGHT_THROUGH)
        each = (u >= p.lower) & (u <= p.upper) ? 1.0f : 0.0f;
    if constexpr (SLOPE == STACKED && MIRRORED) each = mirrored_bumps(p, u);
    if constexpr (SLOPE == STACKED && !MIRRORED) {
        each = 0.0f;
        QSNN_UNROLL
        for (int k = 0; k < MIDPOINT_COUNT; k++)
            each += p.heights[k] * p.smoothness *
                    unit_derivative<SLOPE_SHAPE>(p.smoothness * (u - p.midpoints[k]));
    }
    return SILENCES && r <= p.silent ? 0.0f : each;
}

QSNN_INLINE float spike_slope(const Known& p, float distance, float threshold) {
    if constexpr (GREATEST_SPIKE == 1)
        return SHARPNESS_IS_ONE ? unit_derivative<SPIKE_SHAPE>(distance)
                                : p.sharpness * unit_derivative<SPIKE_SHAPE>(p.sharpness * distance);
    const float over = distance / threshold;
    return (over >= -1.0f) & (over < GREATEST_SPIKE) ? 1.0f / threshold : 0.0f;
}

struct Gradients {
    float x, q, threshold, scale;
    float charge, masked;  // of h, and of h as it fires, after any mask
};

// What a late reset saw, from the charge that it was stored of. Of spikes of one bit the charge itself
// tells the same, as what is stored lies on its side of the threshold.
QSNN_INLINE float seen(const Known& p, float h, float threshold, const Scaling& by) {
    if constexpr (RESET_IS_LATE && GREATEST_SPIKE > 1) return stored(p, h, threshold, by);
    return h;
}

// One step backward. `before` is what was `seen` of the step before, or the first q, which tells what
// reset it owed; grad_q and grad_sent are the gradients of what was stored and of what was sent.
// Where membranes are masked, h is what the mask left, and `kept` is 0 or 1.
QSNN_INLINE Gradients step_back(const Known& p, float h, float before, float grad_q,
                                float grad_sent, float threshold, const Scaling& by,
                                float kept = 1.0f) {
    Gradients g{};
    const float distance = h - threshold, spikes = count(distance, threshold);
    const float r = reset(p, h, spikes, threshold), through_store = slope(p, r, by);
    const float grad_r = grad_q * through_store;
    if constexpr (SCALE_LEARNS)
        g.scale =
            grad_q * (over_scale(quantize(p, r, by), by) - over_scale(r, by) * through_store);

    constexpr bool RESETS_NOW = !RESET_IS_LATE && RESET != NONE;
    float grad_spikes = SENDS_THRESHOLD ? grad_sent * threshold : grad_sent;
    if constexpr (RESETS_NOW && !DETACHED) {
        const float jump = RESET == SOFT ? -threshold : p.v_reset - h;
        const bool flat = RESET == HARD && GREATEST_SPIKE > 1 && spikes > 1.0f;
        grad_spikes += flat ? 0.0f : grad_r * jump;
    }
    const float grad_distance = grad_spikes * spike_slope(p, distance, threshold);
    const bool forgets = RESETS_NOW && RESET == HARD && spikes > 0.0f;
    g.masked = grad_distance + (forgets ? 0.0f : grad_r);
    const float grad_h = kept > 0.0f ? g.masked : 0.0f;  // what is masked may be NaN

    const float owed = RESET_IS_LATE ? count(before - threshold, threshold) : 0.0f;
    if constexpr (LEARNING == ORDINARY) {
        g.threshold = -grad_distance;
        if constexpr (GREATEST_SPIKE > 1) g.threshold -= grad_distance * (distance / threshold);
        if constexpr (RESETS_NOW && RESET == SOFT) g.threshold -= grad_r * spikes;
        if constexpr (RESET_IS_LATE && RESET == SOFT) g.threshold -= grad_h * owed;
        if constexpr (SENDS_THRESHOLD) g.threshold += grad_sent * spikes;
    } else if constexpr (LEARNING == SEPARATE) {
        g.threshold = distance >= 0.0f ? -grad_distance * window(distance) : 0.0f;
    }
    g.x = LEAK == TIME_CONSTANT_OF_INPUT || LEAK == RATE_OF_INPUT ? grad_h * p.gain_of_x : grad_h;
    g.charge = grad_h;
    g.q = RESET_IS_LATE && RESET == HARD && owed > 0.0f ? 0.0f : grad_h * p.gain_of_q;
    return g;
}

// What is stored of a charge, as it fires.
QSNN_INLINE float left_of(const Known& p, float h, float threshold, const Scaling& by) {
    return stored(p, reset(p, h, count(h - threshold, threshold), threshold), threshold, by);
}

// What the slope of h by a learned leak is: h is charged of x and q, on which a late reset may fall.
QSNN_INLINE float slope_by_leak(const Known& p, float x, float q, float threshold) {
    if constexpr (RESET_IS_LATE && RESET == HARD)
        q = count(q - threshold, threshold) > 0.0f ? 0.0f : q;
    if constexpr (LEAK == DECAY) return q;
    const float above = RESTS_AT_ZERO ? q : q - p.v_reset;
    return LEAK == RATE_OF_INPUT ? x - above : -above;
}

// Before the first step of a measured scale.
QSNN_INLINE Running first_running(const Call& call) {
    return {*call.scale, *call.scale, *call.initialized ? 1.0f : 0.0f};
}

// After a step whose greatest |r| is known.
QSNN_INLINE Running next_running(const Known& p, Running now, float greatest) {
    if (greatest > 0.0f && greatest - greatest == 0.0f) {  // not where it is infinite or NaN
        const bool goes_on = now.initialized > 0.0f;
        now.average = goes_on ? now.average + p.momentum * (greatest - now.average) : greatest;
        now.initialized = 1.0f;
    }
    now.scale = SCALE == STEP_MAX ? greatest : now.average;
    return now;
}
