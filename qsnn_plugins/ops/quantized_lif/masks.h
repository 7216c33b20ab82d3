// Which membranes of a step are masked: a sample's weakest neurons, and channels that are closed.

#pragma once

#include "blocks.h"

constexpr bool SPATIAL = QSNN_SPATIAL, GATES = QSNN_GATES;

// How neurons lie in a sample: `channels` maps of `inner` neurons; one map of all where no channel is
// masked. `rank` neurons of a sample are weaker than its border.
extern "C" struct Maps {
    int64_t samples, channels, inner, rank;
};

// What decided the masks: borders [steps, samples], and open channels [steps, samples, channels].
struct Masks {
    const float* borders;
    const uint8_t* open;
};

namespace {

QSNN_INLINE bool is_weak(float h, float border) { return SPATIAL && fabsf(h) < border; }

QSNN_INLINE float masked(float h, float border, float open) {
    const float left = is_weak(h, border) ? 0.0f : h;
    return GATES ? left * open : left;
}

// Writes 0 or 1 for each of n neurons of a sample, from its neuron `first` on.
void spread(const Maps& maps, const uint8_t* open, int64_t first, int64_t n, float* each) {
    if constexpr (!GATES) return;
    int64_t channel = first / maps.inner, end = (channel + 1) * maps.inner - first;
    for (int64_t i = 0; i < n; end += maps.inner) {
        const float value = open[channel++];
        for (; i < std::min(end, n); i++) each[i] = value;
    }
}

// Finds the (rank + 1)-th smallest |h|: bits of magnitudes are in their order, NaN last. A histogram
// of their leading bits leaves few to be sorted out.
class Ranking {
    static constexpr int SHIFT = 19, BINS = 1 << (31 - SHIFT), TABLES = 2;
    std::vector<uint32_t> counts;
    std::vector<int> candidates;

    static int magnitude(float h) { return bits_of(h) & 0x7fffffff; }

   public:
    explicit Ranking(int64_t size) : counts(SPATIAL ? TABLES * BINS : 0), candidates(size + 1) {}

    void clear() { std::fill(counts.begin(), counts.end(), 0); }

    void add(const float* h, int64_t n) {
        // neighbours are often alike: two tables keep one from waiting for the other
        uint32_t *even = counts.data(), *odd = even + BINS;
        int64_t i = 0;
        for (; i + 1 < n; i += 2) {
            even[magnitude(h[i]) >> SHIFT]++;
            odd[magnitude(h[i + 1]) >> SHIFT]++;
        }
        if (i < n) even[magnitude(h[i]) >> SHIFT]++;
    }

    float border(const float* h, int64_t n, int64_t rank) {
        int bin = 0;
        for (int64_t here; (here = counts[bin] + counts[BINS + bin]) <= rank; bin++) rank -= here;
        int64_t found = 0;
        for (int64_t i = 0; i < n; i++) {
            const int bits = magnitude(h[i]);
            candidates[found] = bits;
            found += bits >> SHIFT == bin;
        }
        const auto first = candidates.begin();
        std::nth_element(first, first + rank, first + found);
        return from_bits(candidates[rank]);
    }
};

}  // namespace
