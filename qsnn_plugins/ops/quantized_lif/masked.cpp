// The quantized LIF neuron whose charged membranes are masked before they fire, on the CPU.
//
// A sample's border and a channel's mean need the whole sample, so steps run in turn: each call ends
// one step and charges the next, and between two calls the caller decides which channels are open.
// Blocks, and with them the order of any sum, do not depend on the number of threads. masks.h has
// the masks, blocks.h what kernels share, README.md the equations.

#include "masks.h"

namespace {

// Masks, fires, resets and stores a block of a step: h becomes q. `counts` gains the neurons that the
// border left, and those that both masks left.
void fire(const Call& call, const float* each, const float* open, float border, int64_t n,
          float* __restrict h, Value* __restrict send, int64_t* counts) {
    const Numbers p = with_decay(*call.numbers, call.decay);
    const float scale = HAS_SCALE ? *call.scale : 1.0f, one = *call.threshold;
    int strong = 0, left = 0;
#pragma omp simd reduction(+ : strong, left)
    for (int64_t i = 0; i < n; i++) {
        const float threshold = THRESHOLD_A_CHANNEL ? each[i] : one;
        const bool is_strong = !is_weak(h[i], border), is_open = GATES ? open[i] > 0.0f : true;
        const float m = masked(h[i], border, GATES ? open[i] : 1.0f);
        const float spikes = count(m - threshold, threshold);
        narrow(sent(spikes, threshold), send[i]);
        h[i] = stored(p, reset(p, m, spikes, threshold), threshold, scale);
        strong += is_strong;
        left += is_strong & is_open;
    }
    counts[0] += strong;
    counts[1] += left;
}

void charge(const Call& call, const float* each, int64_t n, const Value* __restrict x,
            float* __restrict q) {
    const Numbers p = with_decay(*call.numbers, call.decay);
    const float one = *call.threshold;
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        q[i] = charged(p, widen(x[i]), q[i], THRESHOLD_A_CHANNEL ? each[i] : one);
}

// Ends step t - 1 with its masks and charges step t, which `left` holds in between.
void step(const Call& call, const Maps& maps, int64_t t, const uint8_t* open, float* left,
          Value* sends, int64_t* counts, float* borders) {
    constexpr int64_t SIZE = 4 * WIDEST;
    const int64_t sample_size = maps.channels * maps.inner;
    const bool fires = t > 0, charges = t < call.steps;
#pragma omp parallel num_threads(call.threads)
    {
        Thresholds thresholds(call, SIZE);
        std::vector<float> opens(SIZE);
        Ranking ranking(SPATIAL ? sample_size : 0);
#pragma omp for schedule(static)
        for (int64_t sample = 0; sample < maps.samples; sample++) {
            const int64_t begin = sample * sample_size;
            const int64_t before = (t - 1) * maps.samples + sample;
            const float border = SPATIAL && fires ? borders[before] : 0.0f;
            ranking.clear();
            for (int64_t first = 0; first < sample_size; first += SIZE) {
                const int64_t n = std::min(SIZE, sample_size - first), from = begin + first;
                const int64_t now = t * call.neurons + from;
                thresholds.enter(from, n);
                const float* each = thresholds.each.data();
                if (!fires) start(call, from, left + from, n);
                if (fires) {
                    spread(maps, open + before * maps.channels, first, n, opens.data());
                    fire(call, each, opens.data(), border, n, left + from,
                         sends + now - call.neurons, counts + 2 * before);
                }
                if (charges) charge(call, each, n, call.x + now, left + from);
                if (SPATIAL && charges) ranking.add(left + from, n);
            }
            if (SPATIAL && charges)
                borders[t * maps.samples + sample] = maps.rank && sample_size
                                      ? ranking.border(left + begin, sample_size, maps.rank)
                                      : 0.0f;
        }
    }
}

// How the backward cuts a sample: whole channels side by side, or one channel in parts.
struct Cut {
    int64_t size, parts, group, groups;

    Cut(const Maps& maps, int64_t size)
        : size(size),
          parts(std::max<int64_t>((maps.inner + size - 1) / size, 1)),
          group(std::max<int64_t>(parts > 1 ? 1 : size / std::max<int64_t>(maps.inner, 1), 1)),
          groups((maps.channels + group - 1) / group) {}
};

// A block: n neurons of a sample from `first` on, of channels from `channel` on, or a part of one.
struct Block {
    int64_t sample, channel, channels, part, first, n;

    Block(const Maps& maps, const Cut& cut, int64_t number) {
        part = number % cut.parts;
        channel = number / cut.parts % cut.groups * cut.group;
        sample = number / cut.parts / cut.groups;
        channels = std::min(cut.group, maps.channels - channel);
        first = channel * maps.inner + part * cut.size;
        n = cut.parts > 1 ? std::min(cut.size, maps.inner - part * cut.size)
                          : channels * maps.inner;
    }
};

// Masks of all steps and of the neurons of a block.
class Past {
    const Maps& maps;
    const Masks& masks;
    const Block& block;

   public:
    Past(const Maps& maps, const Masks& masks, const Block& block)
        : maps(maps), masks(masks), block(block) {}

    float border(int64_t t) const {
        return SPATIAL ? masks.borders[t * maps.samples + block.sample] : 0.0f;
    }

    void open(int64_t t, float* each) const {
        const uint8_t* row = masks.open + (t * maps.samples + block.sample) * maps.channels;
        spread(maps, row, block.first, block.n, each);
    }
};

// The first membrane, and h of every step after it, before its mask.
void recompute(const Call& call, const float* each, const Past& past, int64_t from, int64_t n,
               float* charges, int64_t size, float* __restrict q, float* open,
               const Value* of_sent) {
    const Numbers p = with_decay(*call.numbers, call.decay);
    const float scale = HAS_SCALE ? *call.scale : 1.0f, one = *call.threshold;
    start(call, from, charges, n);
    std::copy(charges, charges + n, q);
    for (int64_t t = 0; t < call.steps; t++) {
        const Value* __restrict x = call.x + t * call.neurons + from;
        float* __restrict h = charges + (t + 1) * size;
        const float border = past.border(t);
        past.open(t, open);
        expect(of_sent + t * call.neurons + from, n);
#pragma omp simd
        for (int64_t i = 0; i < n; i++) {
            const float threshold = THRESHOLD_A_CHANNEL ? each[i] : one;
            h[i] = charged(p, widen(x[i]), q[i], threshold);
            const float m = masked(h[i], border, GATES ? open[i] : 1.0f);
            const float spikes = count(m - threshold, threshold);
            q[i] = stored(p, reset(p, m, spikes, threshold), threshold, scale);
        }
    }
}

// Memory of a thread's blocks.
struct Scratch {
    int64_t size;
    std::vector<float> charges, rows;

    Scratch(int64_t steps, int64_t size)
        : size(size), charges((steps + 1) * size), rows(9 * size) {}

    float* row(int64_t number) { return rows.data() + number * size; }
};

// The gradients of a block; of_gates is [steps, samples, channels, parts].
void back(const Call& call, const Maps& maps, const Masks& masks, const Cut& cut,
          const Block& block, const Value* of_sent, const float* of_last, const Results& results,
          float* of_gates, const float* each, Scratch& scratch) {
    const Numbers p = with_decay(*call.numbers, call.decay);
    const float scale = HAS_SCALE ? *call.scale : 1.0f, one = *call.threshold;
    const int64_t n = block.n, size = scratch.size;
    const int64_t from = block.sample * maps.channels * maps.inner + block.first;
    const Past past(maps, masks, block);
    float *__restrict of_q = scratch.row(0), *__restrict of_threshold = scratch.row(1),
                      *__restrict of_scale = scratch.row(2), *__restrict of_leak = scratch.row(3);
    float *__restrict open = scratch.row(4), *__restrict open_before = scratch.row(5),
                      *__restrict of_open = scratch.row(6);
    float *__restrict of_charge = scratch.row(7), *__restrict fired = scratch.row(8);
    recompute(call, each, past, from, n, scratch.charges.data(), size, of_q, open, of_sent);
    std::fill(of_q, of_q + 4 * size, 0.0f);
    if (of_last) std::copy(of_last + from, of_last + from + n, of_q);
    for (int64_t t = call.steps - 1; t >= 0; t--) {
        const float *h = &scratch.charges[(t + 1) * size], *before = h - size;
        const Value* __restrict up = of_sent + t * call.neurons + from;
        Value* __restrict of_x = results.x + t * call.neurons + from;
        const float border = past.border(t), border_before = t > 0 ? past.border(t - 1) : 0.0f;
        past.open(t, open);
        if ((RESET_IS_LATE || LEAK_LEARNS) && t > 0) past.open(t - 1, open_before);
#pragma omp simd
        for (int64_t i = 0; i < n; i++) {
            const float threshold = THRESHOLD_A_CHANNEL ? each[i] : one;
            const float opens = GATES ? open[i] : 1.0f;
            float was = before[i];
            if (RESET_IS_LATE && t > 0)
                was = seen(p, masked(was, border_before, GATES ? open_before[i] : 1.0f), threshold,
                           scale);
            const Gradients g =
                step_back(p, masked(h[i], border, opens), was, of_q[i], widen(up[i]), threshold,
                          scale, is_weak(h[i], border) ? 0.0f : opens);
            narrow(g.x, of_x[i]);
            of_q[i] = g.q;
            if constexpr (GATES) of_open[i] = is_weak(h[i], border) ? 0.0f : g.masked * h[i];
            if constexpr (LEARNING != FIXED) of_threshold[i] += g.threshold;
            if constexpr (SCALE_LEARNS) of_scale[i] += g.scale;
            if constexpr (LEAK_LEARNS) of_charge[i] = g.charge;
        }
        if constexpr (LEAK_LEARNS) {
            for (int64_t i = 0; i < n; i++)
                fired[i] = t > 0 ? masked(before[i], border_before, GATES ? open_before[i] : 1.0f)
                                 : before[i];
            learn_leak(call, each, scale, t == 0, n, call.x + t * call.neurons + from, fired,
                       of_charge, of_leak);
        }
        if constexpr (GATES) {
            const int64_t row = (t * maps.samples + block.sample) * maps.channels + block.channel;
            const int64_t width = n / block.channels;
            for (int64_t c = 0; c < block.channels; c++)
                of_gates[(row + c) * cut.parts + block.part] =
                    static_cast<float>(sum(of_open + c * width, width));
        }
    }
    if (results.v) std::copy(of_q, of_q + n, results.v + from);
    if (results.threshold_of_each)
        std::copy(of_threshold, of_threshold + n, results.threshold_of_each + from);
}

void backward(const Call& call, const Maps& maps, const Masks& masks, const Value* of_sent,
              const float* of_last, const Results& results, float* of_gates) {
    const int64_t size = backward_size(call.steps);
    const Cut cut(maps, size);
    const int64_t blocks = maps.inner ? maps.samples * cut.groups * cut.parts : 0;
    std::vector<double> of_thresholds(blocks), of_scales(blocks), of_leaks(blocks);
#pragma omp parallel num_threads(call.threads)
    {
        Thresholds thresholds(call, size);
        Scratch scratch(call.steps, size);
#pragma omp for schedule(static)
        for (int64_t number = 0; number < blocks; number++) {
            const Block block(maps, cut, number);
            thresholds.enter(block.sample * maps.channels * maps.inner + block.first, block.n);
            back(call, maps, masks, cut, block, of_sent, of_last, results, of_gates,
                 thresholds.each.data(), scratch);
            if constexpr (LEARNING != FIXED) of_thresholds[number] = sum(scratch.row(1), block.n);
            if constexpr (SCALE_LEARNS) of_scales[number] = sum(scratch.row(2), block.n);
            if constexpr (LEAK_LEARNS) of_leaks[number] = sum(scratch.row(3), block.n);
        }
    }
    for (const double of_block : of_thresholds) results.sums[0] += of_block;
    for (const double of_block : of_scales) results.sums[1] += of_block;
    for (const double of_block : of_leaks) results.sums[2] += of_block;
}

}  // namespace

extern "C" int64_t qsnn_masked_parts(int64_t steps, const Maps* maps) {
    return Cut(*maps, backward_size(steps)).parts;
}

// `counts` is [steps, samples, 2], `borders` [steps, samples], `open` [steps, samples, channels].
extern "C" void qsnn_masked_step(const Call* call, const Maps* maps, int64_t t, const uint8_t* open,
                                 float* left, Value* sends, int64_t* counts, float* borders) {
    step(*call, *maps, t, open, left, sends, counts, borders);
}

extern "C" void qsnn_masked_backward(const Call* call, const Maps* maps, const float* borders,
                                     const uint8_t* open, const Value* of_sent,
                                     const float* of_last, Value* of_x, float* of_v,
                                     float* of_threshold_of_each, double* sums, float* of_gates) {
    backward(*call, *maps, {borders, open}, of_sent, of_last,
             {of_x, of_v, of_threshold_of_each, sums}, of_gates);
}
