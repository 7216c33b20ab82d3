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
    float scale = *call.scale;
    bool initialized = *call.initialized;
#pragma omp parallel num_threads(call.threads)
    {
        Thresholds thresholds(call, size);
        for (Index t = 0; t <= call.steps; t++) {
#pragma omp for schedule(static)
            for (Index block = 0; block < blocks; block++) {
                const Index from = block * size, n = std::min(size, call.neurons - from);
                const float one = *call.threshold, now = scale;
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
                scale = next_scale(p, scale, initialized, call.maxima[t]);
            }
        }
    }
}

// Masks, fires, resets and stores a block of a step: h becomes q. `counts` gains the neurons that the
// cutoff left, and those that both masks left.
void fire(const Call& call, const Numbers& numbers, const float* each, const float* open,
          float cutoff, Index n, float* __restrict h, Value* __restrict send, Index* counts) {
    const Numbers p = with_decay(numbers, call.decay);
    const float scale = HAS_SCALE ? *call.scale : 1.0f, one = *call.threshold;
    int strong = 0, left = 0;
#pragma omp simd reduction(+ : strong, left)
    for (Index i = 0; i < n; i++) {
        const float threshold = THRESHOLD_PER_CHANNEL ? each[i] : one;
        const bool is_strong = !is_weak(h[i], cutoff), is_open = GATES ? open[i] > 0.0f : true;
        const float m = masked(h[i], cutoff, GATES ? open[i] : 1.0f);
        const float spikes = count(m - threshold, threshold);
        narrow(sent(spikes, threshold), send[i]);
        h[i] = stored(p, reset(p, m, spikes, threshold), threshold, scale);
        strong += is_strong;
        left += is_strong & is_open;
    }
    counts[0] += strong;
    counts[1] += left;
}

void charge_block(const Call& call, const Numbers& numbers, const float* each, Index n,
                  const Value* __restrict x, float* __restrict q) {
    const Numbers p = with_decay(numbers, call.decay);
    const float one = *call.threshold;
#pragma omp simd
    for (Index i = 0; i < n; i++)
        q[i] = charged(p, widen(x[i]), q[i], THRESHOLD_PER_CHANNEL ? each[i] : one);
}

// Ends the step before with its masks and charges the next, which `last` holds in between: a sample's
// cutoff and a channel's mean need the whole sample, and the caller decides which channels are open.
void masked_step(const Call& call, const Numbers& numbers) {
    constexpr Index SIZE = 4 * WIDEST;
    const Index t = call.step, sample_size = call.maps * call.map_size;
    const bool fires = t > 0, charges = t < call.steps;
#pragma omp parallel num_threads(call.threads)
    {
        Thresholds thresholds(call, SIZE);
        std::vector<float> open(SIZE);
        Ranking ranking(SPATIAL ? sample_size : 0);
#pragma omp for schedule(static)
        for (Index sample = 0; sample < call.samples; sample++) {
            const Index begin = sample * sample_size;
            const Index before = (t - 1) * call.samples + sample;
            const float cutoff = SPATIAL && fires ? call.cutoffs[before] : 0.0f;
            ranking.clear();
            for (Index first = 0; first < sample_size; first += SIZE) {
                const Index n = std::min(SIZE, sample_size - first), from = begin + first;
                const Index now = t * call.neurons + from;
                thresholds.enter(from, n);
                const float* each = thresholds.each.data();
                if (!fires) start(call, from, call.last + from, n);
                if (fires) {
                    spread(call, t - 1, sample, first, n, open.data());
                    fire(call, numbers, each, open.data(), cutoff, n, call.last + from,
                         call.spikes + now - call.neurons, call.counts + 2 * before);
                }
                if (charges) charge_block(call, numbers, each, n, call.x + now, call.last + from);
                if (SPATIAL && charges) ranking.add(call.last + from, n);
            }
            if (SPATIAL && charges)
                call.cutoffs[t * call.samples + sample] =
                    call.rank && sample_size
                        ? ranking.cutoff(call.last + begin, sample_size, call.rank)
                        : 0.0f;
        }
    }
}

// How the backward cuts a sample: whole maps side by side, or one map in parts.
struct Cut {
    Index size, parts, group, groups, blocks;

    explicit Cut(const Call& call)
        : size(backward_size(call.steps)),
          parts(std::max<Index>((call.map_size + size - 1) / size, 1)),
          group(std::max<Index>(parts > 1 ? 1 : size / std::max<Index>(call.map_size, 1), 1)),
          groups((call.maps + group - 1) / group),
          blocks(call.map_size ? call.samples * groups * parts : 0) {}
};

// n neurons of a sample from `first` on: of maps from `map` on, or a part of one.
struct Block {
    Index sample, map, maps, part, first, n, from;

    Block(const Call& call, const Cut& cut, Index number) {
        part = number % cut.parts;
        map = number / cut.parts % cut.groups * cut.group;
        sample = number / cut.parts / cut.groups;
        maps = std::min(cut.group, call.maps - map);
        first = map * call.map_size + part * cut.size;
        n = cut.parts > 1 ? std::min(cut.size, call.map_size - part * cut.size)
                          : maps * call.map_size;
        from = sample * call.maps * call.map_size + first;
    }
};

// The scale that each step stored with.
std::vector<float> scales_of(const Call& call, const Numbers& numbers) {
    std::vector<float> scales(call.steps, HAS_SCALE ? *call.scale : 1.0f);
    if constexpr (MEASURES) {
        bool initialized = *call.initialized;
        float scale = *call.scale;
        for (Index t = 0; t < call.steps; t++)
            scales[t] = scale = next_scale(numbers, scale, initialized, call.maxima[t]);
    }
    return scales;
}

// Memory of a thread's blocks: h of all steps behind the first membrane, and rows of a step.
struct Scratch {
    std::vector<float> charges, rows;
    float *grad_q, *grad_threshold, *grad_scale, *grad_leak;  // sums over steps
    float *open, *open_before, *grad_open, *grad_h, *fired;

    Scratch(Index steps, Index size) : charges((steps + 1) * size), rows(9 * size) {
        float* row = rows.data();
        for (float** each : {&grad_q, &grad_threshold, &grad_scale, &grad_leak, &open, &open_before,
                             &grad_open, &grad_h, &fired}) {
            *each = row;
            row += size;
        }
    }
};

// The first membrane, and h of every step after it, before its mask; the gradients of what was sent
// come next.
void recompute(const Call& call, const Numbers& numbers, const float* each, const float* scales,
               const Past& past, Index from, Index n, float* charges, Index size,
               float* __restrict q, float* open) {
    const Numbers p = with_decay(numbers, call.decay);
    const float one = *call.threshold;
    start(call, from, charges, n);
    std::copy(charges, charges + n, q);
    for (Index t = 0; t < call.steps; t++) {
        const Value* __restrict x = call.x + t * call.neurons + from;
        float* __restrict h = charges + (t + 1) * size;
        const float scale = scales[t], cutoff = past.cutoff(t);
        past.open(t, open);
        expect(call.grad_spikes + t * call.neurons + from, n);
#pragma omp simd
        for (Index i = 0; i < n; i++) {
            const float threshold = THRESHOLD_PER_CHANNEL ? each[i] : one;
            h[i] = charged(p, widen(x[i]), q[i], threshold);
            const float m = masked(h[i], cutoff, GATES ? open[i] : 1.0f);
            const float spikes = count(m - threshold, threshold);
            q[i] = stored(p, reset(p, m, spikes, threshold), threshold, scale);
        }
    }
}

// The gradients of a block, after which memory reads `next` neurons.
void back(const Call& call, const Numbers& numbers, const Cut& cut, const Block& block,
          const float* each, const float* scales, Index next, Scratch& scratch) {
    const Numbers p = with_decay(numbers, call.decay);
    const Index n = block.n, from = block.from, size = cut.size;
    const float one = *call.threshold;
    const Past past(call, block.sample, block.first, n);
    float *__restrict grad_q = scratch.grad_q, *__restrict grad_threshold = scratch.grad_threshold,
                      *__restrict grad_scale = scratch.grad_scale;
    float *__restrict open = scratch.open, *__restrict open_before = scratch.open_before,
                      *__restrict grad_open = scratch.grad_open,
                      *__restrict grad_h = scratch.grad_h;
    recompute(call, numbers, each, scales, past, from, n, scratch.charges.data(), size, grad_q,
              open);
    std::fill(grad_q, grad_q + 4 * size, 0.0f);
    if (call.grad_last) std::copy(call.grad_last + from, call.grad_last + from + n, grad_q);
    for (Index t = call.steps - 1; t >= 0; t--) {
        const float *h = &scratch.charges[(t + 1) * size], *before = h - size;
        const Value* __restrict up = call.grad_spikes + t * call.neurons + from;
        Value* __restrict grad_x = call.grad_x + t * call.neurons + from;
        const float scale = scales[t], scale_before = t > 0 ? scales[t - 1] : scale;
        const float cutoff = past.cutoff(t), cutoff_before = t > 0 ? past.cutoff(t - 1) : 0.0f;
        past.open(t, open);
        if ((RESET_IS_LATE || LEAK_LEARNS) && t > 0) past.open(t - 1, open_before);
        expect(call.x + t * call.neurons + from + n, next);
#pragma omp simd
        for (Index i = 0; i < n; i++) {
            const float threshold = THRESHOLD_PER_CHANNEL ? each[i] : one;
            const float opens = GATES ? open[i] : 1.0f;
            float was = before[i];
            if (RESET_IS_LATE && t > 0)
                was = seen(p, masked(was, cutoff_before, GATES ? open_before[i] : 1.0f), threshold,
                           scale_before);
            const Gradients g =
                step_back(p, masked(h[i], cutoff, opens), was, grad_q[i], widen(up[i]), threshold,
                          scale, is_weak(h[i], cutoff) ? 0.0f : opens);
            narrow(g.x, grad_x[i]);
            grad_q[i] = g.q;
            if constexpr (GATES) grad_open[i] = is_weak(h[i], cutoff) ? 0.0f : g.masked * h[i];
            if constexpr (LEARNING != FIXED) grad_threshold[i] += g.threshold;
            if constexpr (SCALE_LEARNS) grad_scale[i] += g.scale;
            if constexpr (LEAK_LEARNS) grad_h[i] = g.charge;
        }
        if constexpr (LEAK_LEARNS) {
            const float* fired = before;
            if (MASKS && t > 0) {
                for (Index i = 0; i < n; i++)
                    scratch.fired[i] =
                        masked(before[i], cutoff_before, GATES ? open_before[i] : 1.0f);
                fired = scratch.fired;
            }
            learn_leak(call, numbers, each, scale_before, t == 0, n,
                       call.x + t * call.neurons + from, fired, grad_h, scratch.grad_leak);
        }
        if constexpr (GATES) {
            const Index row = (t * call.samples + block.sample) * call.maps + block.map;
            for (Index map = 0; map < block.maps; map++)
                call.grad_gates[(row + map) * cut.parts + block.part] = static_cast<float>(
                    sum(grad_open + map * (n / block.maps), n / block.maps));
        }
    }
    if (call.grad_v) std::copy(grad_q, grad_q + n, call.grad_v + from);
    if (call.grad_thresholds)
        std::copy(grad_threshold, grad_threshold + n, call.grad_thresholds + from);
}

void backward(const Call& call, const Numbers& numbers) {
    const Cut cut(call);
    const std::vector<float> scales = scales_of(call, numbers);
    std::vector<double> grad_thresholds(cut.blocks), grad_scales(cut.blocks), grad_leaks(cut.blocks);
#pragma omp parallel num_threads(call.threads)
    {
        Thresholds thresholds(call, cut.size);
        Scratch scratch(call.steps, cut.size);
#pragma omp for schedule(static)
        for (Index number = 0; number < cut.blocks; number++) {
            const Block block(call, cut, number);
            const Index next = std::min(cut.size, call.neurons - block.from - block.n);
            thresholds.enter(block.from, block.n);
            back(call, numbers, cut, block, thresholds.each.data(), scales.data(), next, scratch);
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
    if constexpr (MASKS)
        masked_step(*call, *numbers);
    else if constexpr (MEASURES)
        forward_measured(*call, *numbers);
    else
        forward(*call, *numbers);
}

extern "C" void qsnn_backward(const Call* call, const Numbers* numbers) { backward(*call, *numbers); }

// Into how many parts the backward cuts a map, whose gradients it leaves part by part.
extern "C" Index qsnn_parts(const Call* call) { return Cut(*call).parts; }
