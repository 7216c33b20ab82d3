// Which membranes of a step are masked: a sample's weakest neurons, and channels that are closed.

#pragma once

#include "blocks.h"

namespace {

QSNN_INLINE bool is_weak(float h, float cutoff) { return SPATIAL && fabsf(h) < cutoff; }

QSNN_INLINE float masked(float h, float cutoff, float open) {
    return is_weak(h, cutoff) || (GATES && !(open > 0.0f)) ? 0.0f : h;
}

// Writes 0 or 1 for each of n neurons of a sample at step t, from its neuron `first` on.
void spread(const Call& call, Index t, Index sample, Index first, Index n, float* each) {
    if constexpr (!GATES) return;
    const bool* is_open = call.is_open + (t * call.samples + sample) * call.maps;
    Index map = first / call.map_size, end = (map + 1) * call.map_size - first;
    for (Index i = 0; i < n; end += call.map_size) {
        const float value = is_open[map++];
        for (; i < std::min(end, n); i++) each[i] = value;
    }
}

// Masks of a block of a sample's neurons, step by step: how backward sees what the forward left.
class Past {
    const Call& call;
    const Index sample, first, n;

   public:
    Past(const Call& call, Index sample, Index first, Index n)
        : call(call), sample(sample), first(first), n(n) {}

    float cutoff(Index t) const { return SPATIAL ? call.cutoffs[t * call.samples + sample] : 0.0f; }

    void open(Index t, float* each) const {
        spread(call, t, sample, first, n, each);
    }
};

// Finds the (rank + 1)-th smallest |h|: bits of magnitudes are in their order, NaN last. A histogram
// of their leading bits leaves few to be sorted out.
class Ranking {
    static constexpr int SHIFT = 19, BINS = 1 << (31 - SHIFT), TABLES = 2;
    std::vector<unsigned> counts;
    std::vector<int> candidates;

    static int magnitude(float h) { return bits_of(h) & 0x7fffffff; }

   public:
    explicit Ranking(Index size) : counts(SPATIAL ? TABLES * BINS : 0), candidates(size + 1) {}

    void clear() { std::fill(counts.begin(), counts.end(), 0); }

    void add(const float* h, Index n) {
        // neighbours are often alike: two tables keep one from waiting for the other
        unsigned *even = counts.data(), *odd = even + BINS;
        Index i = 0;
        for (; i + 1 < n; i += 2) {
            even[magnitude(h[i]) >> SHIFT]++;
            odd[magnitude(h[i + 1]) >> SHIFT]++;
        }
        if (i < n) even[magnitude(h[i]) >> SHIFT]++;
    }

    float cutoff(const float* h, Index n, Index rank) {
        int bin = 0;
        for (Index here; (here = counts[bin] + counts[BINS + bin]) <= rank; bin++) rank -= here;
        Index found = 0;
        for (Index i = 0; i < n; i++) {
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
