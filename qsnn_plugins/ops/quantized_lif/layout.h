// What Python hands to a kernel. schema.py reads these structs too, so that each layout is written
// once: one field per line, and of a table one value more than it has, which is 0.

#pragma once

#include "values.h"
#include "variant.h"

#ifdef __CUDACC__
using Index = long long;
#else
#include <cstdint>
using Index = std::int64_t;
#endif

struct Scalars {
    float tau;
    float inverse_tau;
    float decay;  // of DECAY; the rate of RATE; filled in by the kernel
    float v_reset;
    float sharpness;
    float smoothness;
    float gain_of_x;  // slopes of the charge
    float gain_of_q;
    float lower;  // of CLIP, and of CLIPPED_STRAIGHT_THROUGH
    float upper;
    float silent;  // up to here a pruned membrane is stored as 0
    float centre;  // of MIRRORED
    float momentum;  // of RUNNING
};

struct Numbers : Scalars {
    float midpoints[MIDPOINT_COUNT + 1];  // between levels
    float heights[HEIGHT_COUNT + 1];  // from one level to the next
    float levels[TABLE_OF_LEVELS + 1];
    float pair_sums[PAIR_COUNT + 1];  // of MIRRORED
    float pair_heights[PAIR_COUNT + 1];
};

struct Running {
    float scale;  // that the step stored with
    float average;  // of the steps' maxima, behind it
    float initialized;
};

// What a kernel has no use for is null or 0.
struct Call {
    Index steps;
    Index neurons;
    Index threads;  // of the CPU
    Index step;  // of a kernel that takes one
    Index segment;  // steps whose h a GPU's backward holds at once
    Index v_is_each;  // whether v is one number for each neuron, or one for all
    Index threshold_count;  // thresholds, which change every `threshold_inner` neurons
    Index threshold_inner;
    Index samples;  // one of all neurons where nothing is masked
    Index rank;  // neurons of a sample that are weaker than its cutoff
    const Value* x;  // [steps, neurons]
    const float* v;
    const float* threshold;
    const float* scale;
    const float* decay;
    const bool* initialized;
    Value* spikes;  // [steps, neurons]
    float* last;  // [neurons]
    float* maxima;  // [steps], the greatest |r|
    Running* running;  // [steps + 1], before the first step and after each
    int* packed;  // [steps / 16, neurons], the membrane before each step
    float* cutoffs;  // [steps, samples], of the spatial mask
    Index* counts;  // [steps, samples], neurons that are masked
    float* states;  // [steps, neurons], what each step stored
    const Value* grad_spikes;  // [steps, neurons]
    const float* grad_last;  // [neurons]
    Value* grad_x;  // [steps, neurons]
    float* grad_v;  // [neurons]
    float* grad_thresholds;  // [neurons], where each channel has a threshold
    double* sums;  // gradients of threshold, scale and leak; a GPU's [blocks, 2] of the first two
    float* kept;  // [segments - 1, neurons], the membrane before each segment but the first
};
