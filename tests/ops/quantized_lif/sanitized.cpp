// Runs the kernel over odd shapes and every variant, with memory of exactly the size that it may touch.

#include <cstdio>

#include "kernel.cpp"

template <class T>
int run(Neuron p) {
    const int64_t cells = p.steps * p.neurons;
    std::vector<T> x(cells), spikes(cells), grad(cells), grad_x(cells);
    for (int64_t i = 0; i < cells; i++) {
        const float value = static_cast<float>(i * 7919 % 97) / 16 - 3;
        if constexpr (std::is_same_v<T, float>) {
            x[i] = value, grad[i] = 1 - value;
        } else {
            narrow(value, x[i]), narrow(1 - value, grad[i]);
        }
    }
    std::vector<float> one(1, 0.25f), each(p.neurons, -0.5f), last(p.neurons), grad_v(p.neurons);
    double grad_threshold;
    for (const int32_t for_all : {0, 1}) {
        const float* v = for_all ? one.data() : each.data();
        qsnn_forward(&p, x.data(), v, for_all, spikes.data(), last.data());
        qsnn_backward(&p, x.data(), v, for_all, grad.data(), last.data(), grad_x.data(),
                      grad_v.data(), &grad_threshold);
    }
    return 1;
}

int main() {
    const float levels[] = {-3, -2, -1, 0, 1}, heights[] = {1, 1, 1, 1};
    const float borders[] = {-2.5f, -1.5f, -0.5f, 0.5f};
    int runs = 0;
    for (const auto& shape : {std::pair<int64_t, int64_t>{1, 1}, {3, 0}, {2, 4097}, {701, 5}})
        for (int32_t count : {2, 4})
            for (int32_t variant = 0; variant < 180; variant++) {
                Neuron p{};
                p.steps = shape.first, p.neurons = shape.second, p.threads = 1 + variant % 2;
                p.type = variant % 3, p.leak = variant / 3 % 3, p.store = variant / 9 % 3;
                p.slope = p.store == LEVELS ? variant % 3 : p.store;
                p.surrogate = variant % 5, p.membrane_surrogate = 2 * (variant / 4 % 2);
                p.learning = variant / 2 % 3, p.window = variant % 2 ? ARCTAN : SIGMOID;
                p.hard = variant / 5 % 2, p.detach = variant / 7 % 2, p.fires_at_zero = variant % 2;
                p.border_count = count;
                p.tau = variant % 2 ? 2.0f : 3.0f, p.threshold = 1, p.sharpness = 2;
                p.smoothness = 2, p.lower = -1, p.upper = 1;
                p.silent = variant % 11 ? -std::numeric_limits<float>::infinity() : -0.5f;
                p.borders = borders + 4 - count, p.values = levels + 4 - count, p.heights = heights;
                runs += p.type == FLOAT32 ? run<float>(p)
                        : p.type == FLOAT16 ? run<half>(p)
                                            : run<bfloat>(p);
            }
    std::printf("%d\n", runs);
}
