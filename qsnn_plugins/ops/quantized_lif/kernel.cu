// The quantized LIF neuron over all time steps on a GPU, forward and backward.
//
// A thread owns a few neurons side by side for all steps, their state in registers; no result
// depends on the order in which threads run. neuron.h has the neuron, lanes.h what a thread reads
// and leaves, README.md the equations and what is saved. Every kernel takes one Launch, by value.

#include "lanes.h"

// One step: what is sent, and h on the way.
template <int WIDTH>
QSNN_INLINE Lanes<Value, WIDTH> advance(const Known& p, const Lanes<Value, WIDTH>& x,
                                        const Floats<WIDTH>& threshold, const Scaling& scale,
                                        Floats<WIDTH>& q, Floats<WIDTH>& h) {
    Lanes<Value, WIDTH> send;
#pragma unroll
    for (int i = 0; i < WIDTH; i++) {
        const float one = threshold.lane[i];
        h.lane[i] = charged(p, widen(x.lane[i]), q.lane[i], one);
        const float spikes = count(h.lane[i] - one, one);
        narrow(sent(spikes, one), send.lane[i]);
        q.lane[i] = stored(p, reset(p, h.lane[i], spikes, one), one, scale);
    }
    return send;
}

template <int WIDTH>
QSNN_INLINE void forward(const Launch& call, Index first) {
    const Known p = with_decay(call.numbers, call.decay);
    const Scaling scale = given_scale(call);
    const Floats<WIDTH> threshold = thresholds<WIDTH>(call, first);
    Floats<WIDTH> q = start<WIDTH>(call, first), h;
    Lanes<int, WIDTH> words{};
    const Index steps = call.steps;
#pragma unroll 1
    for (Index chunk = 0; chunk < steps; chunk += CHUNK<WIDTH>) {
        Lanes<Value, WIDTH> x[CHUNK<WIDTH>];
#pragma unroll
        for (int k = 0; k < CHUNK<WIDTH>; k++)
            if (chunk + k < steps) x[k] = load<WIDTH>(call.x + (chunk + k) * call.neurons + first);
#pragma unroll
        for (int k = 0; k < CHUNK<WIDTH>; k++) {
            const Index t = chunk + k;
            const int place = (int)(t % STEPS_PER_WORD);
            if (t >= steps) break;
            if constexpr (PACKS)
                for (int i = 0; i < WIDTH; i++)
                    words.lane[i] |= code_of(p, q.lane[i]) << 2 * place;
            store(call.spikes + t * call.neurons + first,
                  advance<WIDTH>(p, x[k], threshold, scale, q, h));
            if (PACKS && (place == STEPS_PER_WORD - 1 || t == steps - 1)) {
                store(call.packed + t / STEPS_PER_WORD * call.neurons + first, words);
                words = {};
            }
        }
    }
    store(call.last + first, q);
}

// One step where each needs its own greatest |r| before it can be stored: `last` holds r from one
// launch to the next, which finds the maximum complete. Returns this thread's, as bits.
template <int WIDTH>
QSNN_INLINE int forward_measured(const Launch& call, Index first) {
    const Known p = with_decay(call.numbers, call.decay);
    const Index t = call.step;
    const Floats<WIDTH> threshold = thresholds<WIDTH>(call, first);
    Floats<WIDTH> r;
    if (t == 0) {
        r = start<WIDTH>(call, first);
        if (first == 0) call.running[0] = first_running(call);
    } else {
        const Running now = next_running(p, call.running[t - 1], call.maxima[t - 1]);
        const Scaling scale = now.scale;
        r = load<WIDTH>(call.last + first);
#pragma unroll
        for (int i = 0; i < WIDTH; i++)
            r.lane[i] = stored(p, r.lane[i], threshold.lane[i], scale);
        if (first == 0) call.running[t] = now;
    }
    int greatest = 0;
    if (t < call.steps) {
        const auto x = load<WIDTH>(call.x + t * call.neurons + first);
        Lanes<Value, WIDTH> send;
#pragma unroll
        for (int i = 0; i < WIDTH; i++) {
            const float one = threshold.lane[i];
            const float h = charged(p, widen(x.lane[i]), r.lane[i], one);
            const float spikes = count(h - one, one);
            narrow(sent(spikes, one), send.lane[i]);
            r.lane[i] = reset(p, h, spikes, one);
            const int bits = bits_of(fabsf(r.lane[i]));
            greatest = bits > greatest ? bits : greatest;
        }
        store(call.spikes + t * call.neurons + first, send);
    }
    store(call.last + first, r);
    return greatest;
}

// What a thread has summed over its neurons and steps, backward.
template <int WIDTH>
struct Backward {
    Floats<WIDTH> grad_q, grad_threshold, grad_scale;

    QSNN_INLINE void start(const Launch& call, Index first) {
        *this = {};
        if (call.grad_last) grad_q = load<WIDTH>(call.grad_last + first);
    }

    QSNN_INLINE Lanes<Value, WIDTH> step(const Known& p, const Floats<WIDTH>& h,
                                         const Floats<WIDTH>& before,
                                         const Lanes<Value, WIDTH>& grad_spikes,
                                         const Floats<WIDTH>& threshold,
                                         const Scaling& scale) {
        Lanes<Value, WIDTH> grad_x;
#pragma unroll
        for (int i = 0; i < WIDTH; i++) {
            const Gradients g = step_back(p, h.lane[i], before.lane[i], grad_q.lane[i],
                                          widen(grad_spikes.lane[i]), threshold.lane[i], scale);
            narrow(g.x, grad_x.lane[i]);
            grad_q.lane[i] = g.q;
            if constexpr (LEARNING != FIXED) grad_threshold.lane[i] += g.threshold;
            if constexpr (SCALE_LEARNS) grad_scale.lane[i] += g.scale;
        }
        return grad_x;
    }

    QSNN_INLINE void leave(const Launch& call, Index first, double& threshold, double& scale) const {
        if (call.grad_v) store(call.grad_v + first, grad_q);
        if (call.grad_thresholds) store(call.grad_thresholds + first, grad_threshold);
        for (int i = 0; i < WIDTH; i++) {
            threshold += grad_threshold.lane[i];
            scale += grad_scale.lane[i];
        }
    }
};

template <int WIDTH>
QSNN_INLINE Floats<WIDTH> seen(const Known& p, Floats<WIDTH> h, const Floats<WIDTH>& threshold,
                               const Scaling& scale) {
#pragma unroll
    for (int i = 0; i < WIDTH; i++) h.lane[i] = seen(p, h.lane[i], threshold.lane[i], scale);
    return h;
}

// The steps of a segment again. Where they are kept, h of step from + k is put at k + RESET_IS_LATE,
// behind the membrane that came before all where a late reset asks for it.
template <int WIDTH, bool KEEPS>
QSNN_INLINE void recompute(const Launch& call, Index first, Index from, Index end, const Known& p,
                           const Floats<WIDTH>& threshold, const Scaling& given,
                           Floats<WIDTH>& q) {
    const Places<WIDTH> places;
    if constexpr (KEEPS && RESET_IS_LATE) places.put(0, q);
#pragma unroll 1
    for (Index chunk = from; chunk < end; chunk += CHUNK<WIDTH>) {
        Lanes<Value, WIDTH> x[CHUNK<WIDTH>];
#pragma unroll
        for (int k = 0; k < CHUNK<WIDTH>; k++)
            if (chunk + k < end) x[k] = load<WIDTH>(call.x + (chunk + k) * call.neurons + first);
#pragma unroll
        for (int k = 0; k < CHUNK<WIDTH>; k++) {
            if (chunk + k >= end) break;
            Floats<WIDTH> h;
            advance<WIDTH>(p, x[k], threshold, scale_of(call, chunk + k, given), q, h);
            if constexpr (KEEPS) places.put((int)(chunk + k - from) + RESET_IS_LATE, h);
        }
    }
}

// From x alone, a segment at a time. A sequence of more than one is walked forward first, to keep
// the membrane before each.
template <int WIDTH>
QSNN_INLINE void back_from_x(const Launch& call, Index first, Backward<WIDTH>& sums) {
    const Known p = with_decay(call.numbers, call.decay);
    const Scaling given = given_scale(call);
    const Floats<WIDTH> threshold = thresholds<WIDTH>(call, first);
    const Places<WIDTH> places;
    const Index size = call.segment;
    Index from = 0, kept = first;
    Floats<WIDTH> q = start<WIDTH>(call, first);
    for (; from + size < call.steps; from += size, kept += call.neurons) {
        recompute<WIDTH, false>(call, first, from, from + size, p, threshold, given, q);
        store(call.kept + kept, q);
    }
    for (; from >= 0; from -= size) {
        const Index end = from + size < call.steps ? from + size : call.steps;
        recompute<WIDTH, true>(call, first, from, end, p, threshold, given, q);
#pragma unroll 1
        for (Index chunk = from + (end - 1 - from) / CHUNK<WIDTH> * CHUNK<WIDTH>; chunk >= from; chunk -= CHUNK<WIDTH>) {
            Lanes<Value, WIDTH> up[CHUNK<WIDTH>];
#pragma unroll
            for (int k = 0; k < CHUNK<WIDTH>; k++)
                if (chunk + k < end)
                    up[k] = load<WIDTH>(call.grad_spikes + (chunk + k) * call.neurons + first);
#pragma unroll
            for (int k = CHUNK<WIDTH> - 1; k >= 0; k--) {
                if (chunk + k >= end) continue;
                const int place = (int)(chunk + k - from);
                const Floats<WIDTH> h = places.get(place + RESET_IS_LATE);
                const Scaling scale = scale_of(call, chunk + k, given);
                Floats<WIDTH> before = RESET_IS_LATE ? places.get(place) : h;
                if (RESET_IS_LATE && place > 0)
                    before = seen<WIDTH>(p, before, threshold, scale_of(call, chunk + k - 1, given));
                store(call.grad_x + (chunk + k) * call.neurons + first,
                      sums.step(p, h, before, up[k], threshold, scale));
            }
        }
        kept -= call.neurons;
        if (from > 0)
            q = from > size ? load<WIDTH>(call.kept + kept - call.neurons)
                            : start<WIDTH>(call, first);
    }
}

// From x and the packed membranes: h of each step is recomputed alone.
template <int WIDTH>
QSNN_INLINE void back_from_packed(const Launch& call, Index first, Backward<WIDTH>& sums) {
    const Known p = with_decay(call.numbers, call.decay);
    const Floats<WIDTH> threshold = thresholds<WIDTH>(call, first);
    const Index steps = call.steps;
    Lanes<int, WIDTH> words{};
#pragma unroll 1
    for (Index chunk = (steps - 1) / CHUNK<WIDTH> * CHUNK<WIDTH>; chunk >= 0; chunk -= CHUNK<WIDTH>) {
        if (chunk + CHUNK<WIDTH> >= steps || (chunk + CHUNK<WIDTH>) % STEPS_PER_WORD == 0)
            words = load<WIDTH>(call.packed + chunk / STEPS_PER_WORD * call.neurons + first);
        Lanes<Value, WIDTH> x[CHUNK<WIDTH>], up[CHUNK<WIDTH>];
#pragma unroll
        for (int k = 0; k < CHUNK<WIDTH>; k++) {
            if (chunk + k >= steps) continue;
            x[k] = load<WIDTH>(call.x + (chunk + k) * call.neurons + first);
            up[k] = load<WIDTH>(call.grad_spikes + (chunk + k) * call.neurons + first);
        }
#pragma unroll
        for (int k = CHUNK<WIDTH> - 1; k >= 0; k--) {
            const Index t = chunk + k;
            if (t >= steps) continue;
            const int shift = 2 * (int)(t % STEPS_PER_WORD);
            Floats<WIDTH> q, h;
            if (t == 0) q = start<WIDTH>(call, first);
#pragma unroll
            for (int i = 0; i < WIDTH; i++) {
                if (t > 0) q.lane[i] = level_of(p, words.lane[i] >> shift & 3);
                h.lane[i] = charged(p, widen(x[k].lane[i]), q.lane[i], threshold.lane[i]);
            }
            store(call.grad_x + t * call.neurons + first,
                  sums.step(p, h, q, up[k], threshold, 1.0f));
        }
    }
}

template <int WIDTH>
QSNN_INLINE void run_forward(const Launch& call) {
    const Index first = ((Index)blockIdx.x * BLOCK + threadIdx.x) * WIDTH;
    if constexpr (MEASURES) {
        const int greatest = first < call.neurons ? forward_measured<WIDTH>(call, first) : 0;
        if (call.step < call.steps) leave_greatest(call.maxima + call.step, greatest);
    } else {
        if (first < call.neurons) forward<WIDTH>(call, first);
    }
}

template <int WIDTH>
QSNN_INLINE void run_backward(const Launch& call) {
    const Index first = ((Index)blockIdx.x * BLOCK + threadIdx.x) * WIDTH;
    double grad_threshold = 0, grad_scale = 0;
    if (first < call.neurons) {
        Backward<WIDTH> sums;
        sums.start(call, first);
        if constexpr (PACKS)
            back_from_packed<WIDTH>(call, first, sums);
        else
            back_from_x<WIDTH>(call, first, sums);
        sums.leave(call, first, grad_threshold, grad_scale);
    }
    if constexpr (LEARNING != FIXED || SCALE_LEARNS)
        leave_sums(call.sums, grad_threshold, grad_scale);
}

constexpr int VECTOR = 16 / sizeof(Value);
constexpr int RESIDENT = 3;  // blocks; left to itself the compiler spills to have more of them

extern "C" {

__global__ void __launch_bounds__(BLOCK) qsnn_forward_vector(const __grid_constant__ Launch call) {
    run_forward<VECTOR>(call);
}

__global__ void __launch_bounds__(BLOCK) qsnn_forward_scalar(const __grid_constant__ Launch call) {
    run_forward<1>(call);
}

__global__ void __launch_bounds__(BLOCK, RESIDENT) qsnn_backward_vector(const __grid_constant__ Launch call) {
    run_backward<VECTOR>(call);
}

__global__ void __launch_bounds__(BLOCK, RESIDENT) qsnn_backward_scalar(const __grid_constant__ Launch call) {
    run_backward<1>(call);
}
}
