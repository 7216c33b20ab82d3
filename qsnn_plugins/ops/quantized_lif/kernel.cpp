// The quantized LIF neuron over all time steps on the CPU, forward and backward.
//
// Neurons are taken in blocks that stay in the first cache levels. Blocks do not depend on the number
// of threads, nor does the order of any sum. neuron.h has the neuron, blocks.h what kernels share,
// README.md the equations.

#include "blocks.h"

namespace {

// All steps of a block, where the scale is known before.
void run_block(const Call& call, Thresholds& thresholds, int64_t from, int64_t n, Value* sends,
               float* __restrict q) {
    const Numbers p = with_decay(*call.numbers, call.decay);
    const float scale = HAS_SCALE ? *call.scale : 1.0f, one = *call.threshold;
    const float* each = thresholds.each.data();
    for (int64_t t = 0; t < call.steps; t++) {
        const Value* __restrict x = call.x + t * call.neurons + from;
        Value* __restrict send = sends + t * call.neurons + from;
#pragma omp simd
        for (int64_t i = 0; i < n; i++) {
            const float threshold = THRESHOLD_A_CHANNEL ? each[i] : one;
            const float h = charged(p, widen(x[i]), q[i], threshold);
            const float spikes = count(h - threshold, threshold);
            narrow(sent(spikes, threshold), send[i]);
            q[i] = stored(p, reset(p, h, spikes, threshold), threshold, scale);
        }
    }
}

void forward(const Call& call, Value* sends, float* last) {
    const int64_t size = forward_size(call.steps), blocks = (call.neurons + size - 1) / size;
#pragma omp parallel num_threads(call.threads)
    {
        Thresholds thresholds(call, size);
        std::vector<float> q(size);
#pragma omp for schedule(static)
        for (int64_t block = 0; block < blocks; block++) {
            const int64_t from = block * size, n = std::min(size, call.neurons - from);
            start(call, from, q.data(), n);
            thresholds.enter(from, n);
            run_block(call, thresholds, from, n, sends, q.data());
            std::copy(q.data(), q.data() + n, last + from);
        }
    }
}

// Steps in turn over all neurons, where each needs its own greatest |r| before it can be stored;
// `left` holds r from one step to the next, and is quantized as soon as the scale is known.
void forward_measured(const Call& call, Value* sends, float* left, float* maxima) {
    const Numbers p = with_decay(*call.numbers, call.decay);
    const int64_t size = forward_size(1), blocks = (call.neurons + size - 1) / size;
    std::vector<int> greatest(blocks);  // bits of |r|, whose order is that of the numbers, NaN last
    float scale = *call.scale;
    bool has_seen = *call.has_seen;
#pragma omp parallel num_threads(call.threads)
    {
        Thresholds thresholds(call, size);
        for (int64_t t = 0; t <= call.steps; t++) {
#pragma omp for schedule(static)
            for (int64_t block = 0; block < blocks; block++) {
                const int64_t from = block * size, n = std::min(size, call.neurons - from);
                const float one = *call.threshold, now = scale;
                const float* each = thresholds.each.data();
                float* __restrict r = left + from;
                int most = 0;
                thresholds.enter(from, n);
                if (t == 0)
                    start(call, from, r, n);
                else
#pragma omp simd
                    for (int64_t i = 0; i < n; i++)
                        r[i] = stored(p, r[i], THRESHOLD_A_CHANNEL ? each[i] : one, now);
                if (t == call.steps) continue;
                const Value* __restrict x = call.x + t * call.neurons + from;
                Value* __restrict send = sends + t * call.neurons + from;
#pragma omp simd reduction(max : most)
                for (int64_t i = 0; i < n; i++) {
                    const float threshold = THRESHOLD_A_CHANNEL ? each[i] : one;
                    const float h = charged(p, widen(x[i]), r[i], threshold);
                    const float spikes = count(h - threshold, threshold);
                    narrow(sent(spikes, threshold), send[i]);
                    r[i] = reset(p, h, spikes, threshold);
                    most = std::max(most, bits_of(fabsf(r[i])));
                }
                greatest[block] = most;
            }
#pragma omp single
            if (t < call.steps) {
                maxima[t] =
                    from_bits(blocks ? *std::max_element(greatest.begin(), greatest.end()) : 0);
                scale = next_scale(p, scale, has_seen, maxima[t]);
            }
        }
    }
}

// The scale that each step stored with.
std::vector<float> scales_of(const Call& call, const float* maxima) {
    std::vector<float> scales(call.steps, HAS_SCALE ? *call.scale : 1.0f);
    if constexpr (MEASURES) {
        bool has_seen = *call.has_seen;
        float scale = *call.scale;
        for (int64_t t = 0; t < call.steps; t++)
            scales[t] = scale = next_scale(*call.numbers, scale, has_seen, maxima[t]);
    }
    return scales;
}

// The first membrane, and h of every step after it; the gradients of what was sent come next.
void recompute(const Call& call, const Thresholds& thresholds, const float* scales, int64_t from,
               int64_t n, float* charges, int64_t size, float* __restrict q,
               const Value* of_sent) {
    const Numbers p = with_decay(*call.numbers, call.decay);
    const float one = *call.threshold;
    const float* each = thresholds.each.data();
    start(call, from, charges, n);
    std::copy(charges, charges + n, q);
    for (int64_t t = 0; t < call.steps; t++) {
        const Value* __restrict x = call.x + t * call.neurons + from;
        float* __restrict h = charges + (t + 1) * size;
        const float scale = scales[t];
        expect(of_sent + t * call.neurons + from, n);
#pragma omp simd
        for (int64_t i = 0; i < n; i++) {
            const float threshold = THRESHOLD_A_CHANNEL ? each[i] : one;
            h[i] = charged(p, widen(x[i]), q[i], threshold);
            const float spikes = count(h[i] - threshold, threshold);
            q[i] = stored(p, reset(p, h[i], spikes, threshold), threshold, scale);
        }
    }
}

void backward(const Call& call, const float* maxima, const Value* of_sent, const float* of_last,
              const Results& results) {
    const Numbers p = with_decay(*call.numbers, call.decay);
    const int64_t size = backward_size(call.steps), blocks = (call.neurons + size - 1) / size;
    const std::vector<float> scales = scales_of(call, maxima);
    std::vector<double> of_thresholds(blocks), of_scales(blocks), of_leaks(blocks);
#pragma omp parallel num_threads(call.threads)
    {
        Thresholds thresholds(call, size);
        std::vector<float> charges((call.steps + 1) * size), scratch(5 * size);
        float *__restrict of_q = scratch.data(), *__restrict of_threshold = of_q + size,
                          *__restrict of_scale = of_threshold + size,
                          *__restrict of_leak = of_scale + size,
                          *__restrict of_charge = of_leak + size;
#pragma omp for schedule(static)
        for (int64_t block = 0; block < blocks; block++) {
            const int64_t from = block * size, n = std::min(size, call.neurons - from);
            thresholds.enter(from, n);
            recompute(call, thresholds, scales.data(), from, n, charges.data(), size, of_q,
                      of_sent);
            std::fill(scratch.begin(), scratch.end(), 0.0f);
            if (of_last) std::copy(of_last + from, of_last + from + n, of_q);
            const float one = *call.threshold;
            const float* each = thresholds.each.data();
            for (int64_t t = call.steps - 1; t >= 0; t--) {
                const float *h = &charges[(t + 1) * size], *before = h - size;
                const Value* __restrict up = of_sent + t * call.neurons + from;
                Value* __restrict of_x = results.x + t * call.neurons + from;
                const float scale = scales[t], scale_before = t > 0 ? scales[t - 1] : scale;
                if (block + 1 < blocks)
                    expect(call.x + t * call.neurons + from + n,
                           std::min(size, call.neurons - from - n));
#pragma omp simd
                for (int64_t i = 0; i < n; i++) {
                    const float threshold = THRESHOLD_A_CHANNEL ? each[i] : one;
                    const float was =
                        t > 0 ? seen(p, before[i], threshold, scale_before) : before[i];
                    const Gradients g = step_back(p, h[i], was, of_q[i], widen(up[i]),
                                                  threshold, scale);
                    narrow(g.x, of_x[i]);
                    of_q[i] = g.q;
                    if constexpr (LEARNING != FIXED) of_threshold[i] += g.threshold;
                    if constexpr (SCALE_LEARNS) of_scale[i] += g.scale;
                    if constexpr (LEAK_LEARNS) of_charge[i] = g.charge;
                }
                if constexpr (LEAK_LEARNS)
                    learn_leak(call, each, scale_before, t == 0, n,
                               call.x + t * call.neurons + from, before, of_charge, of_leak);
            }
            if (results.v) std::copy(of_q, of_q + n, results.v + from);
            if (results.threshold_of_each)
                std::copy(of_threshold, of_threshold + n, results.threshold_of_each + from);
            if constexpr (LEARNING != FIXED) of_thresholds[block] = sum(of_threshold, n);
            if constexpr (SCALE_LEARNS) of_scales[block] = sum(of_scale, n);
            if constexpr (LEAK_LEARNS) of_leaks[block] = sum(of_leak, n);
        }
    }
    for (const double of_block : of_thresholds) results.sums[0] += of_block;
    for (const double of_block : of_scales) results.sums[1] += of_block;
    for (const double of_block : of_leaks) results.sums[2] += of_block;
}

}  // namespace

extern "C" void qsnn_forward(const Call* call, Value* sends, float* last, float* maxima) {
    if constexpr (MEASURES)
        forward_measured(*call, sends, last, maxima);
    else
        forward(*call, sends, last);
}

extern "C" void qsnn_backward(const Call* call, const float* maxima, const Value* of_sent,
                              const float* of_last, Value* of_x, float* of_v,
                              float* of_threshold_of_each, double* sums) {
    backward(*call, maxima, of_sent, of_last,
             {of_x, of_v, of_threshold_of_each, sums});
}
