// Blocks of neurons on the CPU: their size, their thresholds, and sums that do not depend on the
// number of threads.

#pragma once

#include <algorithm>
#include <vector>

#include "neuron.h"

namespace {

constexpr Index SCRATCH = 16384;  // floats of h in a block's backward: 64 KiB
constexpr Index WIDEST = 512, NARROWEST = 64, LANES = 16;

Index backward_size(Index steps) {
    return std::clamp(SCRATCH / (steps + 1) / LANES * LANES, NARROWEST, WIDEST);
}

// Many steps are many streams of memory, which do better in longer pieces; measured.
Index forward_size(Index steps) { return steps > 8 ? 8 * WIDEST : WIDEST; }

// Asks for a row that is read next, while another is worked on.
void expect(const Value* row, Index n) {
    constexpr Index LINE = 64 / sizeof(Value);
    for (Index i = 0; i < n; i += LINE) __builtin_prefetch(row + i);
}

// Thresholds of a block: of one value all lanes read the same.
struct Thresholds {
    const Call& call;
    std::vector<float> each;

    Thresholds(const Call& call, Index size)
        : call(call), each(THRESHOLD_PER_CHANNEL ? size : 0) {}

    void enter(Index from, Index n) {
        if constexpr (!THRESHOLD_PER_CHANNEL) return;
        for (Index i = 0; i < n; i++)
            each[i] = call.threshold[(from + i) / call.threshold_inner % call.threshold_count];
    }
};

void start(const Call& call, Index from, float* q, Index n) {
    for (Index i = 0; i < n; i++) q[i] = call.v[call.v_is_each ? from + i : 0];
}

// Leaves what a step stored, where it is wanted.
void keep(const Call& call, Index at, const float* q, Index n) {
    if constexpr (RETURNS_STATES) std::copy(q, q + n, call.states + at);
}

double sum(const float* values, Index n) {
    double lanes[LANES] = {}, total = 0;
    const Index whole = n / LANES * LANES;
    for (Index i = 0; i < whole; i += LANES)
        for (Index lane = 0; lane < LANES; lane++) lanes[lane] += values[i + lane];
    for (Index i = whole; i < n; i++) lanes[i - whole] += values[i];
    for (const double lane : lanes) total += lane;
    return total;
}

// Adds what a learned leak gets of a step, in a loop of its own: the compiler gives up on both in one.
// `before` is the first q, or h of the step before as its mask left it.
void learn_leak(const Call& call, const Numbers& numbers, const float* each, float scale,
                bool is_first, Index n, const Value* __restrict x, const float* __restrict before,
                const float* __restrict grad_h, float* __restrict grad_leak) {
    const Numbers p = with_decay(numbers, call.decay);
    const float one = *call.threshold;
    if (is_first)
#pragma omp simd
        for (Index i = 0; i < n; i++) {
            const float threshold = THRESHOLD_PER_CHANNEL ? each[i] : one;
            grad_leak[i] += grad_h[i] * slope_by_leak(p, widen(x[i]), before[i], threshold);
        }
    else
#pragma omp simd
        for (Index i = 0; i < n; i++) {
            const float threshold = THRESHOLD_PER_CHANNEL ? each[i] : one;
            const float q = left_of(p, before[i], threshold, scale);
            grad_leak[i] += grad_h[i] * slope_by_leak(p, widen(x[i]), q, threshold);
        }
}

}  // namespace
