// Runs one kernel over odd shapes, with memory of exactly the size that it may touch.

#include <cstdio>

#include "kernel.cpp"

int run(int64_t steps, int64_t neurons, int64_t threads, bool v_is_each) {
    const float flat[] = {NUMBERS};
    Numbers numbers;
    static_assert(sizeof flat == sizeof numbers, "variant.numbers is in the order of Numbers");
    std::memcpy(&numbers, flat, sizeof numbers);
    const int64_t cells = steps * neurons;
    std::vector<Value> x(cells), sends(cells), of_sent(cells), of_x(cells);
    for (int64_t i = 0; i < cells; i++) {
        const float value = static_cast<float>(i * 7919 % 97) / 16 - 3;
        narrow(value, x[i]), narrow(1 - value, of_sent[i]);
    }
    const int64_t channels = THRESHOLD_A_CHANNEL ? 3 : 1;
    const std::vector<float> v(v_is_each ? neurons : 1, 0.25f), thresholds(channels, 0.75f);
    const float scale = 1.25f, decay = 0.5f;
    const uint8_t has_seen = 1;
    std::vector<float> last(neurons), maxima(steps), of_v(neurons), of_each(neurons);
    double sums[3] = {};
    const Call call{steps, neurons, threads, 5, channels, v_is_each, &numbers, x.data(),
                    v.data(), thresholds.data(), &scale, &decay, &has_seen};
    qsnn_forward(&call, sends.data(), last.data(), maxima.data());
    qsnn_backward(&call, maxima.data(), of_sent.data(), last.data(), of_x.data(), of_v.data(),
                  of_each.data(), sums);
    return 1;
}

int main() {
    int runs = 0;
    for (const auto& shape : {std::pair<int64_t, int64_t>{1, 1}, {3, 0}, {2, 4097}, {701, 5}})
        for (const int threads : {1, 2})
            for (const bool v_is_each : {false, true})
                runs += run(shape.first, shape.second, threads, v_is_each);
    std::printf("%d\n", runs);
}
