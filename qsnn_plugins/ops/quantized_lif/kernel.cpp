// The quantized LIF neuron over all time steps on the CPU, forward and backward.
//
// Neurons are taken in blocks that stay in the first cache levels. Blocks do not depend on the number
// of threads, nor does the order of any sum. neuron.h has the neuron, layout.h what a call is given,
// README.md the equations.

#include "masks.h"

namespace {

// All steps of a block, where the scale is known before and nothing is masked.
void run_block(const Call& call, const Numbers& numbers, const Thresholds& thresholds, Index from,
               Index n, float* __restrict q) {
    const Numbers p = with_decay(numbers, call.decay);
    const float scale = HAS_SCALE ? *call.scale : 1.0f, one = *call.threshold;
    const float* each = thresholds.each.data();
    for (Index t = 0; t < call.steps; t++) {
        const Value* __restrict x = call.x + t * call.neurons + from;
        Value* __restrict send = call.spikes + t * call.neurons + from;
#pragma omp simd
        for (Index i = 0; i < n; i++) {
            const float threshold = THRESHOLD_PER_CHANNEL ? each[i] : one;
            const float h = charged(p, widen(x[i]), q[i], threshold);
            const float spikes = count(h - threshold, threshold);
            narrow(sent(spikes, threshold), send[i]);
            q[i] = stored(p, reset(p, h, spikes, threshold), threshold, scale);
        }
        keep(call, t * call.neurons + from, q, n);
    }
}

void forward(const Call& call, const Numbers& numbers) {
    const Index size = forward_size(call.steps), blocks = (call.neurons + size - 1) / size;
#pragma omp parallel num_threads(call.threads)
    {
        Thresholds thresholds(call, size);
        std::vector<float> q(size);
#pragma omp for schedule(static)
        for (Index block = 0; block < blocks; block++) {
            const Index from = block * size, n = std::min(size, call.neurons - from);
            start(call, from, q.data(), n);
            thresholds.enter(from, n);
            run_block(call, numbers, thresholds, from, n, q.data());
            std::copy(q.data(), q.data() + n, call.last + from);
        }
    }
}

// Steps in turn over all neurons, where each needs its own greatest |r| before it can be stored;
// `last` holds r from one step to the next, and is quantized as soon as the scale is known.
void forward_measured(const Call& call, const Numbers& numbers) {
    const Numbers p = with_decay(numbers, call.decay);
    const Index size = forward_size(1), blocks = (call.neurons + size - 1) / size;
    std::vector<int> greatest(blocks);  // bits of |r|, whose order is that of the numbers, NaN last
    call.running[0] = first_running(call);
#pragma omp parallel num_threads(call.threads)
    {
        Thresholds thresholds(call, size);
        for (Index t = 0; t <= call.steps; t++) {
#pragma omp for schedule(static)
            for (Index block = 0; block < blocks; block++) {
                const Index from = block * size, n = std::min(size, call.neurons - from);
                const float one = *call.threshold, now = call.running[t].scale;
                const float* each = thresholds.each.data();
                float* __restrict r = call.last + from;
                int most = 0;
                thresholds.enter(from, n);
                if (t == 0)
                    start(call, from, r, n);
                else
#pragma omp simd
                    for (Index i = 0; i < n; i++)
                        r[i] = stored(p, r[i], THRESHOLD_PER_CHANNEL ? each[i] : one, now);
                if (t > 0) keep(call, (t - 1) * call.neurons + from, r, n);
                if (t == call.steps) continue;
                const Value* __restrict x = call.x + t * call.neurons + from;
                Value* __restrict send = call.spikes + t * call.neurons + from;
#pragma omp simd reduction(max : most)
                for (Index i = 0; i < n; i++) {
                    const float threshold = THRESHOLD_PER_CHANNEL ? each[i] : one;
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
                call.maxima[t] =
                    from_bits(blocks ? *std::max_element(greatest.begin(), greatest.end()) : 0);
                call.running[t + 1] = next_running(p, call.running[t], call.maxima[t]);
            }
        }
    }
}

// Masks, fires, resets and stores a block of a step: h becomes q. Returns how many neurons are masked.
int fire(const Call& call, const Numbers& numbers, const float* each, float cutoff, Index n,
         const float* __restrict rest, float* __restrict h, Value* __restrict send) {
    const Numbers p = with_decay(numbers, call.decay);
    const float scale = HAS_SCALE ? *call.scale : 1.0f, one = *call.threshold;
    int weak = 0;
#pragma omp simd reduction(+ : weak)
    for (Index i = 0; i < n; i++) {
        const float threshold = THRESHOLD_PER_CHANNEL ? each[i] : one;
        const bool masked = is_weak(h[i], cutoff);
        const float m = masked ? (MASKS_INPUT ? rest[i] : 0.0f) : h[i];
        const float spikes = count(m - threshold, threshold);
        narrow(sent(spikes, threshold), send[i]);
        h[i] = stored(p, reset(p, m, spikes, threshold), threshold, scale);
        weak += masked;
    }
    return weak;
}

// q becomes h; `rest` is what h would be without its input.
void charge_block(const Call& call, const Numbers& numbers, const float* each, Index n,
                  const Value* __restrict x, float* __restrict rest, float* __restrict q) {
    const Numbers p = with_decay(numbers, call.decay);
    const float one = *call.threshold;
#pragma omp simd
    for (Index i = 0; i < n; i++) {
        const float threshold = THRESHOLD_PER_CHANNEL ? each[i] : one, before = q[i];
        q[i] = charged(p, widen(x[i]), before, threshold);
        if constexpr (MASKS_INPUT) rest[i] = charged(p, 0.0f, before, threshold);
    }
}

// All steps of a sample, whose cutoff needs all of its neurons: a piece ends one step and charges the
// next while it is in the cache. `last` holds h or q.
void forward_masked(const Call& call, const Numbers& numbers) {
    constexpr Index SIZE = 4 * WIDEST;
    const Index sample_size = call.neurons / std::max<Index>(call.samples, 1);
#pragma omp parallel num_threads(call.threads)
    {
        Thresholds thresholds(call, SIZE);
        std::vector<float> rest(MASKS_INPUT ? sample_size : 0);
        Ranking ranking(sample_size);
#pragma omp for schedule(static)
        for (Index sample = 0; sample < call.samples; sample++) {
            float* const own = call.last + sample * sample_size;
            float cutoff = 0.0f;
            start(call, sample * sample_size, own, sample_size);
            for (Index t = 0; t <= call.steps; t++) {
                const bool fires = t > 0, charges = t < call.steps;
                Index weak = 0;
                ranking.clear();
                for (Index first = 0; first < sample_size; first += SIZE) {
                    const Index n = std::min(SIZE, sample_size - first);
                    const Index from = sample * sample_size + first, now = t * call.neurons + from;
                    float *h = own + first, *left = MASKS_INPUT ? &rest[first] : nullptr;
                    thresholds.enter(from, n);
                    const float* each = thresholds.each.data();
                    if (fires) {
                        const Index before = now - call.neurons;
                        weak += fire(call, numbers, each, cutoff, n, left, h, call.spikes + before);
                        keep(call, before, h, n);
                    }
                    if (charges) {
                        charge_block(call, numbers, each, n, call.x + now, left, h);
                        ranking.add(h, n);
                    }
                }
                if (fires) call.counts[(t - 1) * call.samples + sample] = weak;
                if (!charges) break;
                cutoff = call.rank && sample_size ? ranking.cutoff(own, sample_size, call.rank) : 0.0f;
                call.cutoffs[t * call.samples + sample] = cutoff;
            }
        }
    }
}

// n neurons from `from` on, of one sample.
struct Block {
    Index sample, from, n;

    Block(const Call& call, Index size, Index number) {
        const Index all = call.neurons / call.samples, blocks = (all + size - 1) / size;
        sample = number / blocks;
        const Index first = number % blocks * size;
        from = sample * all + first;
        n = std::min(size, all - first);
    }

    static Index count(const Call& call, Index size) {
        const Index all = call.samples ? call.neurons / call.samples : 0;
        return call.samples * ((all + size - 1) / size);
    }
};

// The scale that each step stored with.
std::vector<float> scales_of(const Call& call) {
    std::vector<float> scales(call.steps, HAS_SCALE ? *call.scale : 1.0f);
    if constexpr (MEASURES)
        for (Index t = 0; t < call.steps; t++) scales[t] = call.running[t + 1].scale;
    return scales;
}

// Memory of a thread's blocks: h of all steps behind the first membrane, which of them were masked, and
// rows of a step.
struct Scratch {
    std::vector<float> charges, rows;
    std::vector<unsigned char> weak;
    std::vector<Value> input;
    float *grad_q, *grad_threshold, *grad_scale, *grad_leak;  // sums over steps
    float* grad_h;

    Scratch(Index steps, Index size)
        : charges((steps + 1) * size),
          rows(5 * size),
          weak(SPATIAL ? steps * size : 0),
          input(MASKS_INPUT ? size : 0) {
        float* row = rows.data();
        for (float** each : {&grad_q, &grad_threshold, &grad_scale, &grad_leak, &grad_h}) {
            *each = row;
            row += size;
        }
    }
};

// The first membrane, and h of every step after it, as its mask left it; the gradients of what was sent
// come next.
void recompute(const Call& call, const Numbers& numbers, const float* each, const float* scales,
               const Block& block, Index size, Scratch& scratch) {
    const Numbers p = with_decay(numbers, call.decay);
    const Index n = block.n, from = block.from;
    const float one = *call.threshold;
    float* const charges = scratch.charges.data();
    float* __restrict q = scratch.grad_q;
    start(call, from, charges, n);
    std::copy(charges, charges + n, q);
    for (Index t = 0; t < call.steps; t++) {
        const Value* __restrict x = call.x + t * call.neurons + from;
        float* __restrict h = charges + (t + 1) * size;
        unsigned char* __restrict weak = scratch.weak.data() + t * size;
        const float scale = scales[t];
        const float cutoff = SPATIAL ? call.cutoffs[t * call.samples + block.sample] : 0.0f;
        expect(call.grad_spikes + t * call.neurons + from, n);
#pragma omp simd
        for (Index i = 0; i < n; i++) {
            const float threshold = THRESHOLD_PER_CHANNEL ? each[i] : one;
            float m = charged(p, widen(x[i]), q[i], threshold);
            if constexpr (SPATIAL) {
                const bool masked = is_weak(m, cutoff);
                weak[i] = masked;
                m = masked ? (MASKS_INPUT ? charged(p, 0.0f, q[i], threshold) : 0.0f) : m;
            }
            h[i] = m;
            const float spikes = count(m - threshold, threshold);
            q[i] = stored(p, reset(p, m, spikes, threshold), threshold, scale);
        }
    }
}

// The gradients of a block, after which memory reads `next` neurons.
void back(const Call& call, const Numbers& numbers, Index size, const Block& block,
          const float* each, const float* scales, Index next, Scratch& scratch) {
    const Numbers p = with_decay(numbers, call.decay);
    const Index n = block.n, from = block.from;
    const float one = *call.threshold;
    float *__restrict grad_q = scratch.grad_q, *__restrict grad_threshold = scratch.grad_threshold,
                      *__restrict grad_scale = scratch.grad_scale,
                      *__restrict grad_h = scratch.grad_h;
    recompute(call, numbers, each, scales, block, size, scratch);
    std::fill(grad_q, grad_q + 4 * size, 0.0f);
    if (call.grad_last) std::copy(call.grad_last + from, call.grad_last + from + n, grad_q);
    for (Index t = call.steps - 1; t >= 0; t--) {
        const float *h = &scratch.charges[(t + 1) * size], *before = h - size;
        const unsigned char* weak = scratch.weak.data() + t * size;
        const Value* __restrict x = call.x + t * call.neurons + from;
        const Value* __restrict up = call.grad_spikes + t * call.neurons + from;
        Value* __restrict grad_x = call.grad_x + t * call.neurons + from;
        const float scale = scales[t], scale_before = t > 0 ? scales[t - 1] : scale;
        expect(x + n, next);
#pragma omp simd
        for (Index i = 0; i < n; i++) {
            const float threshold = THRESHOLD_PER_CHANNEL ? each[i] : one;
            const bool masked = SPATIAL && weak[i];
            float was = before[i];
            if (RESET_IS_LATE && t > 0) was = seen(p, was, threshold, scale_before);
            const Gradients g = step_back(p, h[i], was, grad_q[i], widen(up[i]), threshold, scale,
                                          masked && !MASKS_INPUT ? 0.0f : 1.0f);
            narrow(masked ? 0.0f : g.x, grad_x[i]);
            grad_q[i] = g.q;
            if constexpr (LEARNING != FIXED) grad_threshold[i] += g.threshold;
            if constexpr (SCALE_LEARNS) grad_scale[i] += g.scale;
            if constexpr (LEAK_LEARNS) grad_h[i] = g.charge;
        }
        if constexpr (LEAK_LEARNS) {
            if constexpr (MASKS_INPUT) {
                for (Index i = 0; i < n; i++) narrow(weak[i] ? 0.0f : widen(x[i]), scratch.input[i]);
                x = scratch.input.data();
            }
            learn_leak(call, numbers, each, scale_before, t == 0, n, x, before, grad_h,
                       scratch.grad_leak);
        }
    }
    if (call.grad_v) std::copy(grad_q, grad_q + n, call.grad_v + from);
    if (call.grad_thresholds)
        std::copy(grad_threshold, grad_threshold + n, call.grad_thresholds + from);
}

void backward(const Call& call, const Numbers& numbers) {
    const Index size = backward_size(call.steps), blocks = Block::count(call, size);
    const std::vector<float> scales = scales_of(call);
    std::vector<double> grad_thresholds(blocks), grad_scales(blocks), grad_leaks(blocks);
#pragma omp parallel num_threads(call.threads)
    {
        Thresholds thresholds(call, size);
        Scratch scratch(call.steps, size);
#pragma omp for schedule(static)
        for (Index number = 0; number < blocks; number++) {
            const Block block(call, size, number);
            const Index next = std::min(size, call.neurons - block.from - block.n);
            thresholds.enter(block.from, block.n);
            back(call, numbers, size, block, thresholds.each.data(), scales.data(), next, scratch);
            if constexpr (LEARNING != FIXED)
                grad_thresholds[number] = sum(scratch.grad_threshold, block.n);
            if constexpr (SCALE_LEARNS) grad_scales[number] = sum(scratch.grad_scale, block.n);
            if constexpr (LEAK_LEARNS) grad_leaks[number] = sum(scratch.grad_leak, block.n);
        }
    }
    for (const double each : grad_thresholds) call.sums[0] += each;
    for (const double each : grad_scales) call.sums[1] += each;
    for (const double each : grad_leaks) call.sums[2] += each;
}

}  // namespace

extern "C" void qsnn_forward(const Call* call, const Numbers* numbers) {
    if constexpr (SPATIAL)
        forward_masked(*call, *numbers);
    else if constexpr (MEASURES)
        forward_measured(*call, *numbers);
    else
        forward(*call, *numbers);
}

extern "C" void qsnn_backward(const Call* call, const Numbers* numbers) { backward(*call, *numbers); }
