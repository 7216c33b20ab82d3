// Runs the kernel of masked membranes over odd shapes, with memory of exactly the size that it may touch.

#include <cstdio>

#include "masked.cpp"

int run(int64_t steps, const Maps& maps, int64_t threads, bool v_is_each) {
    const float flat[] = {NUMBERS};
    Numbers numbers;
    static_assert(sizeof flat == sizeof numbers, "variant.numbers is in the order of Numbers");
    std::memcpy(&numbers, flat, sizeof numbers);
    const int64_t neurons = maps.samples * maps.channels * maps.inner, cells = steps * neurons;
    const int64_t gates = GATES ? steps * maps.samples * maps.channels : 0;
    std::vector<Value> x(cells), sends(cells), of_sent(cells), of_x(cells);
    for (int64_t i = 0; i < cells; i++) {
        const float value = static_cast<float>(i * 7919 % 97) / 16 - 3;
        narrow(value, x[i]), narrow(1 - value, of_sent[i]);
    }
    const int64_t channels = THRESHOLD_A_CHANNEL ? 3 : 1;
    const std::vector<float> v(v_is_each ? neurons : 1, 0.25f), thresholds(channels, 0.75f);
    const float scale = 1.25f, decay = 0.5f;
    const uint8_t has_seen = 1;
    std::vector<float> left(neurons), borders(SPATIAL ? steps * maps.samples : 0), of_v(neurons),
        of_each(neurons), of_gates(gates * qsnn_masked_parts(steps, &maps));
    std::vector<uint8_t> open(gates);
    std::vector<int64_t> counts(2 * steps * maps.samples);
    for (int64_t i = 0; i < gates; i++) open[i] = i % 3 > 0;
    double sums[3] = {};
    const Call call{steps, neurons, threads, 5, channels, v_is_each, &numbers, x.data(),
                    v.data(), thresholds.data(), &scale, &decay, &has_seen};
    for (int64_t t = 0; t <= steps; t++)
        qsnn_masked_step(&call, &maps, t, open.data(), left.data(), sends.data(), counts.data(),
                         borders.data());
    qsnn_masked_backward(&call, &maps, borders.data(), open.data(), of_sent.data(), left.data(),
                         of_x.data(), of_v.data(), of_each.data(), sums, of_gates.data());
    return 1;
}

int main() {
    int runs = 0;
    for (const auto& [steps, maps] :
         {std::pair<int64_t, Maps>{1, {1, 1, 1, 0}}, {3, {2, 3, 0, 0}}, {2, {2, 3, 1025, 900}},
          {2, {1, 700, 3, 2099}}, {701, {2, 5, 1, 1}}})
        for (const int threads : {1, 2})
            for (const bool v_is_each : {false, true})
                runs += run(steps, maps, threads, v_is_each);
    std::printf("%d\n", runs);
}
