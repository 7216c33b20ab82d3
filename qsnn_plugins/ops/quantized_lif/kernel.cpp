// The quantized LIF neuron over all time steps, forward and backward. README.md has the equations.
//
// Neurons are taken in blocks that stay in the first cache levels. Blocks do not depend on the number
// of threads, nor does the order of any sum.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>
#include <vector>

#ifdef __linux__
#include <sys/mman.h>
#endif

enum Leak : int32_t { NO_LEAK, LEAK, LEAK_OF_INPUT };
enum Store : int32_t { KEEP, CLIP, LEVELS };
enum Slope : int32_t { ONE, INSIDE, STACKED };
enum Shape : int32_t { TRIANGLE, RECTANGLE, SIGMOID, ARCTAN, PIECEWISE_LEAKY_RELU };
enum Learning : int32_t { FIXED, ORDINARY, SEPARATE };
enum Type : int32_t { FLOAT32, FLOAT16, BFLOAT16 };

extern "C" struct Neuron {
    int64_t steps, neurons, threads;
    int32_t type, leak, store, slope, surrogate, membrane_surrogate, learning, window;
    int32_t hard, detach, fires_at_zero, border_count;
    float tau, v_reset, threshold, sharpness, smoothness;
    float lower, upper;  // bounds of CLIP, outer levels of INSIDE
    float silent;        // up to here a pruned membrane is stored as 0 and has no slope
    const float *borders, *values, *heights;
};

namespace {

using half = _Float16;
struct bfloat {
    uint16_t bits;
};

constexpr int64_t SCRATCH = 32768;  // floats of h in a block's backward: 128 KiB
constexpr int64_t WIDEST = 4096, NARROWEST = 64, LANES = 16;
constexpr float PI = 3.14159265358979f;

int64_t block_size(int64_t steps) {
    return std::clamp(SCRATCH / steps / LANES * LANES, NARROWEST, WIDEST);
}

float widen(half a) { return static_cast<float>(a); }

float widen(bfloat a) {
    const uint32_t bits = static_cast<uint32_t>(a.bits) << 16;
    float wide;
    std::memcpy(&wide, &bits, sizeof wide);
    return wide;
}

void narrow(float a, half& to) { to = static_cast<half>(a); }

void narrow(float a, bfloat& to) {
    uint32_t bits;
    std::memcpy(&bits, &a, sizeof bits);
    const uint32_t rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
    to.bits = static_cast<uint16_t>(a == a ? rounded : 0x7fc0);
}

// Floats are read and written in place; 16-bit values go through a buffer of floats.
const float* read(const float* from, float*, int64_t) { return from; }

template <class T>
const float* read(const T* from, float* buffer, int64_t n) {
    for (int64_t i = 0; i < n; i++) buffer[i] = widen(from[i]);
    return buffer;
}

float* place(float* to, float*) { return to; }

template <class T>
float* place(T*, float* buffer) {
    return buffer;
}

void write(float*, const float*, int64_t) {}

template <class T>
void write(T* to, const float* buffer, int64_t n) {
    for (int64_t i = 0; i < n; i++) narrow(buffer[i], to[i]);
}

// Large results are fresh memory; with huge pages the system is asked for it less often.
void expect_large(void* memory, int64_t bytes) {
#ifdef __linux__
    constexpr uintptr_t PAGE = 1 << 21;
    const uintptr_t first = (reinterpret_cast<uintptr_t>(memory) + PAGE - 1) / PAGE * PAGE;
    const uintptr_t end = (reinterpret_cast<uintptr_t>(memory) + bytes) / PAGE * PAGE;
    if (first < end) madvise(reinterpret_cast<void*>(first), end - first, MADV_HUGEPAGE);
#else
    (void)memory, (void)bytes;
#endif
}

// a b + c, rounded once where that is one instruction.
inline float fuse(float a, float b, float c) {
#ifdef __FP_FAST_FMAF
    return __builtin_fmaf(a, b, c);
#else
    return a * b + c;
#endif
}

// e^a for a <= 0, to two units in the last place; a loop of it is vectorized.
inline float exp_negative(float a) {
    constexpr float ROUND = 12582912.0f;  // 1.5 * 2^23: a sum with it is rounded to an integer
    a = a < -87.0f ? -87.0f : a;
    const float shifted = fuse(a, 1.44269504f, ROUND);
    const float whole = shifted - ROUND;
    const float f = fuse(whole, 2.12194440e-4f, fuse(whole, -0.693359375f, a));
    float y = 1.9875691500e-4f;
    y = fuse(y, f, 1.3981999507e-3f);
    y = fuse(y, f, 8.3334519073e-3f);
    y = fuse(y, f, 4.1665795894e-2f);
    y = fuse(y, f, 1.6666665459e-1f);
    y = fuse(y, f, 5.0000001201e-1f);
    y = fuse(y, f * f, f) + 1.0f;
    uint32_t bits;
    std::memcpy(&bits, &shifted, sizeof bits);
    bits = (bits << 23) + 0x3f800000u;
    float power;
    std::memcpy(&power, &bits, sizeof power);
    return y * power;
}

template <int32_t shape>
inline float unit_derivative(float z) {
    const float size = std::fabs(z);
    if constexpr (shape == TRIANGLE) return size < 1.0f ? 1.0f - size : 0.0f;
    if constexpr (shape == RECTANGLE) return size < 0.5f ? 1.0f : 0.0f;
    if constexpr (shape == SIGMOID) {
        const float e = exp_negative(-size);
        return e / ((1.0f + e) * (1.0f + e));
    }
    if constexpr (shape == ARCTAN) return 0.5f / (1.0f + (PI / 2 * z) * (PI / 2 * z));
    return size <= 1.0f ? 0.5f : 0.01f;
}

template <class Call>
void with_shape(int32_t shape, Call call) {
    switch (shape) {
        case TRIANGLE: return call(std::integral_constant<int32_t, TRIANGLE>());
        case RECTANGLE: return call(std::integral_constant<int32_t, RECTANGLE>());
        case SIGMOID: return call(std::integral_constant<int32_t, SIGMOID>());
        case ARCTAN: return call(std::integral_constant<int32_t, ARCTAN>());
        default: return call(std::integral_constant<int32_t, PIECEWISE_LEAKY_RELU>());
    }
}

inline bool fires(const Neuron& p, float h) {
    const float x = h - p.threshold;
    return (x > 0.0f) | ((x == 0.0f) & (p.fires_at_zero != 0));
}

inline float reset(const Neuron& p, float h, bool fired) {
    const float after = p.hard ? p.v_reset : h - p.threshold;
    return fired ? after : h;
}

// One step of a block: charge, fire, reset, store. Forward and recomputation are this one loop, so
// that they round alike.
template <class Charge, class Quantize>
void step(const Neuron& neuron, Charge charge, Quantize quantize, const float* __restrict x,
          float* __restrict q, float* __restrict h, float* __restrict spike, int64_t n) {
    const Neuron p = neuron;
    for (int64_t i = 0; i < n; i++) {
        const float charged = charge(x[i], q[i]);
        const bool fired = fires(p, charged);
        h[i] = charged;
        spike[i] = fired ? 1.0f : 0.0f;
        q[i] = quantize(reset(p, charged, fired));
    }
}

template <class Charge>
void step_with(const Neuron& p, Charge charge, const float* x, float* q, float* h, float* spike,
               int64_t n) {
    if (p.store == KEEP) {
        step(p, charge, [](float r) { return r; }, x, q, h, spike, n);
    } else if (p.store == CLIP) {
        const float lower = p.lower, upper = p.upper;
        const auto clip = [=](float r) { return r < lower ? lower : r > upper ? upper : r; };
        step(p, charge, clip, x, q, h, spike, n);
    } else if (p.border_count == 2) {
        const float first = p.borders[0], second = p.borders[1];
        const float low = p.values[0], middle = p.values[1], high = p.values[2];
        const auto nearest = [=](float r) {
            const float level = r > second ? high : r > first ? middle : low;
            return r == r ? level : r;
        };
        step(p, charge, nearest, x, q, h, spike, n);
    } else {
        const auto nearest = [&p](float r) {
            float level = p.values[0];
            for (int32_t k = 0; k < p.border_count; k++)
                level = r > p.borders[k] ? p.values[k + 1] : level;
            return r == r ? level : r;
        };
        step(p, charge, nearest, x, q, h, spike, n);
    }
}

void advance(const Neuron& p, const float* x, float* q, float* h, float* spike, int64_t n) {
    const float tau = p.tau, rest = p.hard ? p.v_reset : 0.0f;
    const auto leaky = [&](auto over_tau) {
        if (p.leak == LEAK) {
            const auto charge = [=](float x, float q) { return (q - over_tau(q - rest)) + x; };
            return step_with(p, charge, x, q, h, spike, n);
        }
        const auto charge = [=](float x, float q) { return q + over_tau(x - (q - rest)); };
        step_with(p, charge, x, q, h, spike, n);
    };
    int exponent;
    if (p.leak == NO_LEAK) {
        step_with(p, [](float x, float q) { return q + x; }, x, q, h, spike, n);
    } else if (std::frexp(tau, &exponent) == 0.5f) {  // a power of two: multiplying is as exact
        leaky([inverse = 1.0f / tau](float a) { return a * inverse; });
    } else {
        leaky([tau](float a) { return a / tau; });
    }
}

void start(const float* v, bool one_for_all, int64_t from, float* q, int64_t n) {
    for (int64_t i = 0; i < n; i++) q[i] = one_for_all ? v[0] : v[from + i];
}

// Two equal steps around a centre: both bumps in one exponential and one division (README.md).
struct TwoBumps {
    float centre, smoothness, sum, factor;

    static bool fits(const Neuron& p) {
        return p.border_count == 2 && p.membrane_surrogate == SIGMOID &&
               p.heights[0] == p.heights[1] &&
               p.smoothness * (p.borders[1] - p.borders[0]) < 40.0f;
    }

    explicit TwoBumps(const Neuron& p)
        : centre((p.borders[0] + p.borders[1]) / 2),
          smoothness(p.smoothness),
          sum(2.0f * std::cosh(p.smoothness * (p.borders[1] - p.borders[0]) / 2)),
          factor(p.heights[0] * p.smoothness) {}

    float operator()(float r) const {
        const float e = exp_negative(-smoothness * std::fabs(r - centre));
        const float root = fuse(e, sum + e, 1.0f);
        return factor * e * fuse(sum, fuse(e, e, 1.0f), 4.0f * e) / (root * root);
    }
};

template <class Measure>
void pull_back(const Neuron& neuron, Measure slope, const float* __restrict h,
               float* __restrict grad, int64_t n) {
    const Neuron p = neuron;
    for (int64_t i = 0; i < n; i++) grad[i] *= slope(reset(p, h[i], fires(p, h[i])));
}

// Gradient of what is stored to gradient of the membrane after reset, in place.
void through_store(const Neuron& p, const float* h, float* grad, float* bumps, int64_t n) {
    if (p.slope == INSIDE) {
        const float lower = p.lower, upper = p.upper;
        pull_back(p, [=](float r) { return (r >= lower) & (r <= upper) ? 1.0f : 0.0f; }, h, grad, n);
    } else if (p.slope == STACKED && TwoBumps::fits(p)) {
        pull_back(p, TwoBumps(p), h, grad, n);
    } else if (p.slope == STACKED) {
        std::fill(bumps, bumps + n, 0.0f);
        with_shape(p.membrane_surrogate, [&](auto shape) {
            for (int32_t k = 0; k < p.border_count; k++) {
                const float border = p.borders[k], factor = p.heights[k] * p.smoothness;
                for (int64_t i = 0; i < n; i++) {
                    const float r = reset(p, h[i], fires(p, h[i]));
                    bumps[i] += factor * unit_derivative<shape>(p.smoothness * (r - border));
                }
            }
        });
        for (int64_t i = 0; i < n; i++) grad[i] *= bumps[i];
    }
    if (p.silent > -std::numeric_limits<float>::infinity()) {
        const float silent = p.silent;
        pull_back(p, [=](float r) { return r <= silent ? 0.0f : 1.0f; }, h, grad, n);
    }
}

// One step backward. In: the gradients of r and of the spike. Out: those of x, of the state before,
// and of the distance from the threshold.
template <int32_t shape>
void step_back(const Neuron& neuron, const float* __restrict h, const float* __restrict grad_r,
               const float* __restrict grad_spike, float* __restrict grad_x,
               float* __restrict grad_q, float* __restrict grad_distance, int64_t n) {
    const Neuron p = neuron;
    const float of_x = p.leak == LEAK_OF_INPUT ? 1.0f / p.tau : 1.0f;
    const float of_q = p.leak == NO_LEAK ? 1.0f : 1.0f - 1.0f / p.tau;
    for (int64_t i = 0; i < n; i++) {
        const bool fired = fires(p, h[i]);
        const float jump = p.hard ? p.v_reset - h[i] : -p.threshold;
        const float of_spike = grad_spike[i] + (p.detach ? 0.0f : grad_r[i] * jump);
        const float z = p.sharpness * (h[i] - p.threshold);
        const float through = of_spike * (p.sharpness * unit_derivative<shape>(z));
        const float grad_h = through + ((fired & (p.hard != 0)) ? 0.0f : grad_r[i]);
        grad_distance[i] = through;
        grad_x[i] = grad_h * of_x;
        grad_q[i] = grad_h * of_q;
    }
}

// The penalty window at a distance x >= 0.
inline float window(int32_t shape, float x) {
    if (shape == SIGMOID) return 1.0f / (1.0f + exp_negative(-x));
    if (shape == ARCTAN) return std::atan(PI / 2 * x) / PI + 0.5f;
    const float z = x < 1.0f ? x : 1.0f;
    return 0.5f + z - 0.5f * z * z;
}

void learn(const Neuron& p, const float* h, const float* grad_r, const float* grad_distance,
           float* __restrict grad_threshold, int64_t n) {
    if (p.learning == ORDINARY) {
        for (int64_t i = 0; i < n; i++) {
            const bool soft = fires(p, h[i]) & (p.hard == 0);
            grad_threshold[i] -= grad_distance[i] + (soft ? grad_r[i] : 0.0f);
        }
    } else if (p.learning == SEPARATE) {
        for (int64_t i = 0; i < n; i++) {
            const float x = h[i] - p.threshold;
            const float each = grad_distance[i] * window(p.window, x < 0.0f ? 0.0f : x);
            grad_threshold[i] -= x >= 0.0f ? each : 0.0f;
        }
    }
}

template <class T>
void forward(const Neuron& p, const T* x, const float* v, bool one_for_all, T* spikes, float* last) {
    const int64_t size = block_size(1), blocks = (p.neurons + size - 1) / size;
    expect_large(spikes, p.steps * p.neurons * sizeof(T));
#pragma omp parallel num_threads(p.threads)
    {
        std::vector<float> scratch(4 * size);
        float *q = scratch.data(), *h = q + size, *wide_x = h + size, *wide_spike = wide_x + size;
#pragma omp for schedule(static)
        for (int64_t block = 0; block < blocks; block++) {
            const int64_t from = block * size, n = std::min(size, p.neurons - from);
            start(v, one_for_all, from, q, n);
            for (int64_t t = 0; t < p.steps; t++) {
                const int64_t at = t * p.neurons + from;
                float* spike = place(spikes + at, wide_spike);
                advance(p, read(x + at, wide_x, n), q, h, spike, n);
                write(spikes + at, spike, n);
            }
            std::copy(q, q + n, last + from);
        }
    }
}

template <class T>
void backward(const Neuron& p, const T* x, const float* v, bool one_for_all, const T* grad_spikes,
              const float* grad_last, T* grad_x, float* grad_v, double* grad_threshold) {
    const int64_t size = block_size(p.steps), blocks = (p.neurons + size - 1) / size;
    std::vector<double> partial(blocks);
    expect_large(grad_x, p.steps * p.neurons * sizeof(T));
#pragma omp parallel num_threads(p.threads)
    {
        std::vector<float> charged(p.steps * size), scratch(7 * size);
        float *q = scratch.data(), *grad_r = q + size, *distance = grad_r + size,
              *threshold = distance + size, *wide = threshold + size, *wide_grad = wide + size,
              *bumps = wide_grad + size;
#pragma omp for schedule(static)
        for (int64_t block = 0; block < blocks; block++) {
            const int64_t from = block * size, n = std::min(size, p.neurons - from);
            start(v, one_for_all, from, q, n);
            for (int64_t t = 0; t < p.steps; t++)
                advance(p, read(x + t * p.neurons + from, wide, n), q, &charged[t * size], bumps, n);
            if (grad_last)
                std::copy(grad_last + from, grad_last + from + n, grad_r);
            else
                std::fill(grad_r, grad_r + n, 0.0f);
            std::fill(threshold, threshold + n, 0.0f);
            for (int64_t t = p.steps - 1; t >= 0; t--) {
                const int64_t at = t * p.neurons + from;
                const float *h = &charged[t * size], *of_spike = read(grad_spikes + at, wide, n);
                float* of_x = place(grad_x + at, wide_grad);
                through_store(p, h, grad_r, bumps, n);
                with_shape(p.surrogate, [&](auto shape) {
                    step_back<shape>(p, h, grad_r, of_spike, of_x, q, distance, n);
                });
                learn(p, h, grad_r, distance, threshold, n);
                write(grad_x + at, of_x, n);
                std::swap(q, grad_r);
            }
            if (grad_v) std::copy(grad_r, grad_r + n, grad_v + from);
            double sum = 0;
            for (int64_t i = 0; i < n; i++) sum += threshold[i];
            partial[block] = sum;
        }
    }
    *grad_threshold = 0;
    for (const double sum : partial) *grad_threshold += sum;
}

}  // namespace

extern "C" void qsnn_forward(const Neuron* p, const void* x, const float* v, int32_t one_for_all,
                             void* spikes, float* last) {
    const auto run = [&](auto type) {
        using T = decltype(type);
        forward(*p, static_cast<const T*>(x), v, one_for_all != 0, static_cast<T*>(spikes), last);
    };
    if (p->type == FLOAT32) return run(float());
    if (p->type == FLOAT16) return run(half());
    return run(bfloat());
}

extern "C" void qsnn_backward(const Neuron* p, const void* x, const float* v, int32_t one_for_all,
                              const void* grad_spikes, const float* grad_last, void* grad_x,
                              float* grad_v, double* grad_threshold) {
    const auto run = [&](auto type) {
        using T = decltype(type);
        backward(*p, static_cast<const T*>(x), v, one_for_all != 0,
                 static_cast<const T*>(grad_spikes), grad_last, static_cast<T*>(grad_x), grad_v,
                 grad_threshold);
    };
    if (p->type == FLOAT32) return run(float());
    if (p->type == FLOAT16) return run(half());
    return run(bfloat());
}
