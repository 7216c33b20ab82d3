// What the kernels of the CPU share: a call's memory, blocks of neurons, the thresholds of a block,
// sums that do not depend on the number of threads.

#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "values.h"

constexpr bool LEAK_LEARNS = QSNN_LEAK_LEARNS;  // on a GPU none does

// Sizes and memory of a call. A threshold is one for all neurons, or one for each of `channels` that
// change every `inner` neurons; v is one number, or one for each neuron.
extern "C" struct Call {
    int64_t steps, neurons, threads, inner, channels, v_is_each;
    const Numbers* numbers;
    const Value* x;
    const float *v, *threshold, *scale, *decay;
    const uint8_t* has_seen;
};

namespace {

constexpr int64_t SCRATCH = 16384;  // floats of h in a block's backward: 64 KiB
constexpr int64_t WIDEST = 512, NARROWEST = 64, LANES = 16;

int64_t backward_size(int64_t steps) {
    return std::clamp(SCRATCH / (steps + 1) / LANES * LANES, NARROWEST, WIDEST);
}

// Many steps are many streams of memory, which do better in longer pieces; measured.
int64_t forward_size(int64_t steps) { return steps > 8 ? 8 * WIDEST : WIDEST; }

// Asks for a row that is read next, while another is worked on.
void expect(const Value* row, int64_t n) {
    constexpr int64_t LINE = 64 / sizeof(Value);
    for (int64_t i = 0; i < n; i += LINE) __builtin_prefetch(row + i);
}

// Thresholds of a block: of one value all lanes read the same.
struct Thresholds {
    const Call& call;
    std::vector<float> each;

    Thresholds(const Call& call, int64_t size)
        : call(call), each(THRESHOLD_A_CHANNEL ? size : 0) {}

    void enter(int64_t from, int64_t n) {
        if constexpr (!THRESHOLD_A_CHANNEL) return;
        for (int64_t i = 0; i < n; i++)
            each[i] = call.threshold[(from + i) / call.inner % call.channels];
    }

    QSNN_INLINE float of(int64_t i) const {
        return THRESHOLD_A_CHANNEL ? each[i] : *call.threshold;
    }
};

void start(const Call& call, int64_t from, float* q, int64_t n) {
    for (int64_t i = 0; i < n; i++) q[i] = call.v[call.v_is_each ? from + i : 0];
}

double sum(const float* values, int64_t n) {
    double lanes[LANES] = {}, total = 0;
    const int64_t whole = n / LANES * LANES;
    for (int64_t i = 0; i < whole; i += LANES)
        for (int64_t lane = 0; lane < LANES; lane++) lanes[lane] += values[i + lane];
    for (int64_t i = whole; i < n; i++) lanes[i - whole] += values[i];
    for (const double lane : lanes) total += lane;
    return total;
}

// Adds what a learned leak gets of a step, in a loop of its own: the compiler gives up on both in one.
// `before` is the first q, or h of the step before as it fired.
void learn_leak(const Call& call, const float* each, float scale, bool is_first, int64_t n,
                const Value* __restrict x, const float* __restrict before,
                const float* __restrict of_charge, float* __restrict of_leak) {
    const Numbers p = with_decay(*call.numbers, call.decay);
    const float one = *call.threshold;
    if (is_first)
#pragma omp simd
        for (int64_t i = 0; i < n; i++) {
            const float threshold = THRESHOLD_A_CHANNEL ? each[i] : one;
            of_leak[i] += of_charge[i] * slope_by_leak(p, widen(x[i]), before[i], threshold);
        }
    else
#pragma omp simd
        for (int64_t i = 0; i < n; i++) {
            const float threshold = THRESHOLD_A_CHANNEL ? each[i] : one;
            const float q = left_of(p, before[i], threshold, scale);
            of_leak[i] += of_charge[i] * slope_by_leak(p, widen(x[i]), q, threshold);
        }
}

// Gradients of a call. Those of thresholds a channel are left a neuron, for the caller to sum.
struct Results {
    Value* x;
    float *v, *threshold_of_each;
    double* sums;  // of the threshold, of the scale and of the leak
};

}  // namespace
