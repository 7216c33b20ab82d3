// Runs one kernel over odd shapes, with memory of exactly the size that it may touch.

#include <cstdio>

#include "kernel.cpp"

struct Sizes {
    Index steps, samples, size, rank;
};

const std::vector<Sizes> SIZES =
    SPATIAL ? std::vector<Sizes>{{1, 1, 1, 0},
                                 {3, 2, 0, 0},
                                 {2, 2, 3075, 900},
                                 {2, 1, 2100, 2099},
                                 {701, 2, 5, 1}}
            : std::vector<Sizes>{{1, 1, 1}, {3, 1, 0}, {2, 1, 4097}, {701, 1, 5}};

void run(const Sizes& shape, Index threads, bool v_is_each) {
    const float flat[] = {NUMBERS};
    Numbers numbers;
    static_assert(sizeof flat == sizeof numbers, "schema.kernel gives all Numbers");
    std::memcpy(&numbers, flat, sizeof numbers);
    const Index neurons = shape.samples * shape.size;
    const Index cells = shape.steps * neurons, rows = shape.steps * shape.samples;
    std::vector<Value> x(cells), spikes(cells), grad_spikes(cells), grad_x(cells);
    for (Index i = 0; i < cells; i++) {
        const float value = static_cast<float>(i * 7919 % 97) / 16 - 3;
        narrow(value, x[i]), narrow(1 - value, grad_spikes[i]);
    }
    const std::vector<float> v(v_is_each ? neurons : 1, 0.25f);
    const std::vector<float> thresholds(THRESHOLD_PER_CHANNEL ? 3 : 1, 0.75f);
    const float scale = 1.25f, decay = 0.5f;
    const bool initialized = true;
    std::vector<float> last(neurons), maxima(MEASURES ? shape.steps : 0), grad_v(neurons);
    std::vector<float> grad_thresholds(neurons), cutoffs(SPATIAL ? rows : 0);
    std::vector<Index> counts(SPATIAL ? rows : 0);
    std::vector<Running> running(MEASURES ? shape.steps + 1 : 0);
    std::vector<float> states(RETURNS_STATES ? cells : 0);
    double sums[3] = {};

    Call call{};
    call.steps = shape.steps, call.neurons = neurons, call.threads = threads;
    call.v_is_each = v_is_each, call.threshold_count = thresholds.size(), call.threshold_inner = 5;
    call.samples = shape.samples, call.rank = shape.rank;
    call.x = x.data(), call.v = v.data(), call.threshold = thresholds.data();
    call.scale = &scale, call.decay = &decay, call.initialized = &initialized;
    call.spikes = spikes.data(), call.last = last.data(), call.maxima = maxima.data();
    call.running = running.data();
    call.cutoffs = cutoffs.data(), call.counts = counts.data(), call.states = states.data();
    qsnn_forward(&call, &numbers);

    call.grad_spikes = grad_spikes.data(), call.grad_last = last.data();
    call.grad_x = grad_x.data(), call.grad_v = grad_v.data();
    call.grad_thresholds = grad_thresholds.data();
    call.sums = sums;
    qsnn_backward(&call, &numbers);
}

int main() {
    int runs = 0;
    for (const Sizes& shape : SIZES)
        for (const Index threads : {1, 2})
            for (const bool v_is_each : {false, true}) {
                run(shape, threads, v_is_each);
                runs++;
            }
    std::printf("%d\n", runs);
}
