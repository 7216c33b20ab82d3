// What a kernel is built for: every choice is a constant of the build, so that what a neuron does not
// do costs it nothing. schema.py passes each as -DQSNN_<NAME>=<VALUE>, with the names below.

#pragma once

enum Leak { NO_LEAK, TIME_CONSTANT, TIME_CONSTANT_OF_INPUT, DECAY, RATE, RATE_OF_INPUT };
enum Reset { HARD, SOFT, NONE };
enum Store { FLOAT, CLIP, LEVELS, UNIFORM };
enum Slope { STRAIGHT_THROUGH, CLIPPED_STRAIGHT_THROUGH, STACKED };
enum Shape { TRIANGLE, RECTANGLE, SIGMOID, ARCTAN, PIECEWISE_LEAKY_RELU };
enum Learning { FIXED, ORDINARY, SEPARATE };
enum Scale { GIVEN, STEP_MAX, RUNNING };

constexpr Leak LEAK = QSNN_LEAK;
constexpr Reset RESET = QSNN_RESET;
constexpr Store STORE = QSNN_STORE;
constexpr Slope SLOPE = QSNN_SLOPE;                  // gradient of the store
constexpr Shape SPIKE_SHAPE = QSNN_SPIKE_SHAPE;      // surrogate of the spike
constexpr Shape SLOPE_SHAPE = QSNN_SLOPE_SHAPE;      // surrogate of the stacked gradient
constexpr Learning LEARNING = QSNN_LEARNING;         // of the threshold
constexpr Shape WINDOW = QSNN_WINDOW;                // of its separate path
constexpr Scale SCALE = QSNN_SCALE;
constexpr int LEVEL_COUNT = QSNN_LEVEL_COUNT;
constexpr int LEAST_CODE = QSNN_LEAST_CODE, GREATEST_CODE = QSNN_GREATEST_CODE;  // of UNIFORM
constexpr int GREATEST_SPIKE = QSNN_GREATEST_SPIKE;
constexpr bool RESET_IS_LATE = QSNN_RESET_IS_LATE, DETACHED = QSNN_DETACHED;
constexpr bool FIRES_AT_ZERO = QSNN_FIRES_AT_ZERO, SENDS_THRESHOLD = QSNN_SENDS_THRESHOLD;
constexpr bool SPATIAL = QSNN_SPATIAL, MASKS_INPUT = QSNN_MASKS_INPUT;  // masks neurons: x, or h whole
constexpr bool RETURNS_STATES = QSNN_RETURNS_STATES;  // of every step
constexpr bool SCALE_LEARNS = QSNN_SCALE_LEARNS, LEAK_LEARNS = QSNN_LEAK_LEARNS;
constexpr bool THRESHOLD_PER_CHANNEL = QSNN_THRESHOLD_PER_CHANNEL;

// These follow from numbers.
constexpr bool RESTS_AT_ZERO = QSNN_RESTS_AT_ZERO, SHARPNESS_IS_ONE = QSNN_SHARPNESS_IS_ONE;
constexpr bool TAU_IS_EXACT = QSNN_TAU_IS_EXACT;  // a power of two: multiplying is as exact
constexpr bool SILENCES = QSNN_SILENCES;          // a level below 0 is stored as 0
constexpr bool MIRRORED = QSNN_MIRRORED, CENTRE_IS_ZERO = QSNN_CENTRE_IS_ZERO;

constexpr int MIDPOINT_COUNT = LEVEL_COUNT > 1 ? LEVEL_COUNT - 1 : 0;
// A table has what is read of it: CUDA before 12.1 takes no more than 4 KiB with a launch.
constexpr int TABLE_OF_LEVELS = STORE == LEVELS ? LEVEL_COUNT : 0;
constexpr int HEIGHT_COUNT = SLOPE == STACKED && !MIRRORED ? MIDPOINT_COUNT : 0;
constexpr int PAIR_COUNT = MIRRORED ? (MIDPOINT_COUNT + 1) / 2 : 0;
constexpr bool HAS_SCALE = STORE == UNIFORM, MEASURES = HAS_SCALE && SCALE != GIVEN;
constexpr bool KEEPS_COMPARISON = RESET_IS_LATE && STORE != FLOAT;
static_assert(!(SPATIAL && MEASURES), "a step's maximum is not measured of masked membranes");
