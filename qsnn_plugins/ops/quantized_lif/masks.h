// Which membranes of a step are masked: a sample's weakest.

#pragma once

#include "blocks.h"

namespace {

QSNN_INLINE bool is_weak(float h, float cutoff) { return SPATIAL && fabsf(h) < cutoff; }

// Finds the (rank + 1)-th smallest |h|: bits of magnitudes are in their order, NaN last. A histogram
// of their leading bits leaves few to be sorted out.
class Ranking {
    static constexpr int SHIFT = 19, BINS = 1 << (31 - SHIFT), TABLES = 2;
    std::vector<unsigned> counts;
    std::vector<int> candidates;

    static int magnitude(float h) { return bits_of(h) & 0x7fffffff; }

   public:
    explicit Ranking(Index size) : counts(TABLES * BINS), candidates(size + 1) {}

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
