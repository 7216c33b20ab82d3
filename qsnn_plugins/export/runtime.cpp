// Integer networks on a CPU: layer by layer over several steps, the sums of each place in registers.
#include <algorithm>
#include <chrono>
#include <cstring>
#include <ctime>
#include <vector>

#ifdef _OPENMP
#include <omp.h>
#endif

#include "runtime.h"
#include "runtime_sums.h"

namespace {

struct Run {
  const Plan* plan;
  const char* frames;
  char* arena;
  int64_t steps;  // of this pass
  int threads;

  const Value& value(int64_t i) const { return plan->values[i]; }
  char* data(int64_t i) const {
    const Value& v = value(i);
    return v.offset < 0 ? const_cast<char*>(frames) : arena + v.offset * plan->steps;
  }
};

template <class F>
void with_type(int64_t type, F f) {
  if (type == U8) f(uint8_t{});
  else if (type == I16) f(int16_t{});
  else if (type == I32) f(int32_t{});
  else f(int64_t{});
}

template <class X, class F>
void parallel(X count, int threads, F f) {
#pragma omp parallel for num_threads(threads) if (threads > 1) schedule(static)
  for (X i = 0; i < count; ++i) f(i);
}

// ---- sums, and the neurons right behind them

template <class A>
void synapse(const Run& run, const Op& op, uint8_t* state) {
  const Value &from = run.value(op.in[0]), &to = run.value(op.out);
  const int64_t size = from.channels * from.places, blocks = (to.channels + op.lanes - 1) / op.lanes;
  // few lists at a time where maps are large, all steps where weights are
  const int64_t at_once = std::clamp<int64_t>((int64_t{1} << 18) / (size * 2), 1, run.steps);
  const int64_t ranges = std::min<int64_t>(run.threads, to.places);
  Scratch& scratch = Scratch::mine();
  for (int64_t first = 0; first < run.steps; first += at_once) {
    const int64_t steps = std::min(at_once, run.steps - first);
    with_type(from.type, [&](auto x) {
      using X = decltype(x);
      const X* data = reinterpret_cast<const X*>(run.data(op.in[0])) + first * size;
      prepare(scratch, op, from, data, steps);
    });
    parallel(blocks * ranges, run.threads, [&](int64_t item) {
      const int64_t block = item / ranges, range = item % ranges, c0 = block * op.lanes;
      const int64_t begin = to.places * range / ranges, end = to.places * (range + 1) / ranges;
      const int64_t n = std::min(op.lanes, to.channels - c0);
      const void* weights = unpack(op, block);
      for (int64_t t = 0; t < steps; ++t) {
        auto done = [&](int64_t p, const A* sums) {
          const int64_t at = p * to.channels + c0, whole = (first + t) * to.places * to.channels + at;
          if (op.fires) {
            fire_lanes<A>(op, c0, n, sums, state + at, reinterpret_cast<uint8_t*>(run.data(op.out)) + whole);
          } else {
            with_type(to.type, [&](auto y) {
              auto* out = reinterpret_cast<decltype(y)*>(run.data(op.out)) + whole;
              for (int64_t c = 0; c < n; ++c) out[c] = static_cast<decltype(y)>(sums[c]);
            });
          }
        };
        sums_of<A>(scratch, op, from, weights, t, begin, end, done);
      }
    });
  }
}

template <class A>
void depthwise(const Run& run, const Op& op) {
  const Value &from = run.value(op.in[0]), &to = run.value(op.out);
  const int64_t c = to.channels;
  const int16_t* weights = static_cast<const int16_t*>(op.weights);
  with_type(from.type, [&](auto x) { with_type(to.type, [&](auto y) {
    using X = decltype(x); using Y = decltype(y);
    const X* in = reinterpret_cast<const X*>(run.data(op.in[0]));
    Y* out = reinterpret_cast<Y*>(run.data(op.out));
    parallel(run.steps * to.places, run.threads, [&](int64_t i) {
      const int64_t t = i / to.places, p = i % to.places;
      thread_local std::vector<A> sums;
      sums.assign(c, 0);
      for (int64_t tap = 0; tap < op.taps; ++tap) {
        const int64_t place = op.places[p * op.taps + tap];
        if (place < 0) continue;
        const X* row = in + (t * from.places + place) * c;
        const int16_t* w = weights + tap * c;
        A* s = sums.data();
        for (int64_t j = 0; j < c; ++j) s[j] = static_cast<A>(s[j] + static_cast<A>(row[j]) * w[j]);
      }
      for (int64_t j = 0; j < c; ++j) out[i * c + j] = static_cast<Y>(sums[j]);
    });
  }); });
}

enum class Into { SET, ADD, MAX };

// Bytes may alias anything, so rows are told apart.
template <class X, class Y>
void row_into(Into how, const X* __restrict from, Y* __restrict to, int64_t n) {
  if (how == Into::SET) for (int64_t i = 0; i < n; ++i) to[i] = static_cast<Y>(from[i]);
  else if (how == Into::ADD) for (int64_t i = 0; i < n; ++i) to[i] = static_cast<Y>(to[i] + from[i]);
  else for (int64_t i = 0; i < n; ++i) to[i] = std::max<Y>(to[i], static_cast<Y>(from[i]));
}

void pool(const Run& run, const Op& op) {
  const Value &from = run.value(op.in[0]), &to = run.value(op.out);
  const int64_t c = to.channels;
  with_type(from.type, [&](auto x) { with_type(to.type, [&](auto y) {
    using X = decltype(x); using Y = decltype(y);
    const X* in = reinterpret_cast<const X*>(run.data(op.in[0]));
    Y* out = reinterpret_cast<Y*>(run.data(op.out));
    parallel(run.steps * to.places, run.threads, [&](int64_t i) {
      const int64_t t = i / to.places, p = i % to.places;
      Y* to_row = out + i * c;
      bool begun = false;
      for (int64_t tap = 0; tap < op.taps; ++tap) {
        const int64_t place = op.places[p * op.taps + tap];
        if (place < 0) continue;
        const Into how = !begun ? Into::SET : op.kind == POOL_SUM ? Into::ADD : Into::MAX;
        row_into(how, in + (t * from.places + place) * c, to_row, c);
        begun = true;
      }
      if (!begun) std::fill_n(to_row, c, Y{0});
    });
  }); });
}

// ---- elementwise

void sum(const Run& run, const Op& op) {
  const Value& to = run.value(op.out);
  const int64_t count = run.steps * to.channels * to.places;
  with_type(to.type, [&](auto y) {
    using Y = decltype(y);
    Y* out = reinterpret_cast<Y*>(run.data(op.out));
    for (int64_t k = 0; k < op.inputs; ++k) with_type(run.value(op.in[k]).type, [&](auto x) {
      row_into(k ? Into::ADD : Into::SET, reinterpret_cast<const decltype(x)*>(run.data(op.in[k])), out, count);
    });
  });
}

void gather(const Run& run, const Op& op) {
  const Value& to = run.value(op.out);
  const int64_t size = to.channels * to.places;
  with_type(to.type, [&](auto y) {
    using Y = decltype(y);
    Y* out = reinterpret_cast<Y*>(run.data(op.out));
    const int32_t* pairs = op.pairs;
    for (int64_t k = 0; k < op.inputs; ++k) {
      const Value& from = run.value(op.in[k]);
      with_type(from.type, [&](auto x) {
        const auto* in = reinterpret_cast<const decltype(x)*>(run.data(op.in[k]));
        for (int64_t t = 0; t < run.steps; ++t)
          for (int64_t i = 0; i < op.pair_counts[k]; ++i)
            out[t * size + pairs[2 * i]] = static_cast<Y>(in[t * from.channels * from.places + pairs[2 * i + 1]]);
      });
      pairs += 2 * op.pair_counts[k];
    }
  });
}

template <class S, class X>
void add_products(S* __restrict total, const X* __restrict in, const int64_t* __restrict by, int64_t n) {
  for (int64_t j = 0; j < n; ++j) total[j] += static_cast<S>(in[j]) * static_cast<S>(by[j]);
}

template <class S, class Y>
void shift_into(const S* __restrict total, int64_t shift, const int64_t* __restrict bias, Y* __restrict out, int64_t n) {
  for (int64_t j = 0; j < n; ++j) out[j] = static_cast<Y>((total[j] >> shift) + static_cast<S>(bias[j]));
}

template <class S>
void rescale(const Run& run, const Op& op, uint8_t* state) {
  const Value& to = run.value(op.out);
  const int64_t count = run.steps * to.channels * to.places, half = int64_t{1} << op.shift >> 1;
  constexpr int64_t tile = 128;
  with_type(to.type, [&](auto y) {
    auto* out = reinterpret_cast<decltype(y)*>(run.data(op.out));
    const int64_t rows = count / op.period / run.steps;  // a neuron's steps come one after the other
    parallel(rows, run.threads, [&](int64_t row) {
      S total[tile];
      alignas(64) int32_t sums[tile] = {};
      for (int64_t t = 0; t < run.steps; ++t) for (int64_t j0 = 0; j0 < op.period; j0 += tile) {
        const int64_t n = std::min(tile, op.period - j0), at = (t * rows + row) * op.period + j0;
        std::fill_n(total, n, static_cast<S>(half));
        for (int64_t k = 0; k < op.inputs; ++k) with_type(run.value(op.in[k]).type, [&](auto x) {
          const auto* in = reinterpret_cast<const decltype(x)*>(run.data(op.in[k])) + at;
          add_products(total, in, op.multipliers + k * op.period + j0, n);
        });
        if (!op.fires) {
          shift_into(total, op.shift, op.bias + j0, out + at, n);
          continue;
        }
        shift_into(total, op.shift, op.bias + j0, sums, n);
        fire_lanes<int32_t>(op, j0, n, sums, state + row * op.period + j0, reinterpret_cast<uint8_t*>(out) + at);
      }
    });
  });
}

template <class A>
void neuron(const Run& run, const Op& op, uint8_t* state) {
  const Value& to = run.value(op.out);
  const int64_t size = to.channels * to.places;
  constexpr int64_t tile = 128;
  with_type(run.value(op.in[0]).type, [&](auto x) {
    const auto* in = reinterpret_cast<const decltype(x)*>(run.data(op.in[0]));
    auto* out = reinterpret_cast<uint8_t*>(run.data(op.out));
    parallel(size / op.period, run.threads, [&](int64_t row) {
      for (int64_t t = 0; t < run.steps; ++t)
        for (int64_t j0 = 0; j0 < op.period; j0 += tile) {
          alignas(64) A sums[tile];
          const int64_t n = std::min(tile, op.period - j0), at = row * op.period + j0;
          row_into(Into::SET, in + t * size + at, sums, n);
          fire_lanes<A>(op, j0, n, sums, state + at, out + t * size + at);
        }
    });
  });
}

void output(const Run& run, const Op& op, int64_t* answers) {
  const Value& to = run.value(op.out);
  const int64_t channels = to.channels, places = to.places, size = channels * places;
  for (int64_t t = 0; t < run.steps; ++t)
    for (int64_t i = 0; i < size; ++i) answers[t * size + i] = op.bias[i];
  for (int64_t k = 0; k < op.inputs; ++k) with_type(run.value(op.in[k]).type, [&](auto x) {
    const auto* in = reinterpret_cast<const decltype(x)*>(run.data(op.in[k]));
    for (int64_t t = 0; t < run.steps; ++t)
      for (int64_t p = 0; p < places; ++p)
        for (int64_t c = 0; c < channels; ++c) {
          const int64_t i = c * places + p;
          answers[t * size + i] += static_cast<int64_t>(in[t * size + p * channels + c]) * op.multipliers[k * size + i];
        }
  });
}

void step(const Run& run, const Op& op, uint8_t* state, int64_t* answers) {
  const bool narrow = op.sum_type == I16;
  switch (op.kind) {
    case SYNAPSE: narrow ? synapse<int16_t>(run, op, state) : synapse<int32_t>(run, op, state); break;
    case DEPTHWISE: depthwise<int32_t>(run, op); break;
    case POOL_SUM:
    case POOL_MAX: pool(run, op); break;
    case SUM: sum(run, op); break;
    case GATHER: gather(run, op); break;
    case RESCALE: op.sum_type == I64 ? rescale<int64_t>(run, op, state) : rescale<int32_t>(run, op, state); break;
    case NEURON: narrow ? neuron<int16_t>(run, op, state) : neuron<int32_t>(run, op, state); break;
    case OUTPUT: output(run, op, answers); break;
  }
}

// Of one thread its own time, which what else runs on the machine does not change.
double now(int threads) {
  const auto since = std::chrono::steady_clock::now().time_since_epoch();
  double seconds = std::chrono::duration<double>(since).count();
#ifdef CLOCK_THREAD_CPUTIME_ID
  timespec time;
  if (threads == 1 && !clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time))
    seconds = static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
#endif
  return seconds;
}

void sample(const Plan& plan, const char* frames, int64_t frame_bytes, int64_t steps, int64_t n,
            uint8_t* const* states, uint8_t* const* spikes, int64_t* answers, int threads, double* seconds) {
  thread_local std::vector<char> arena;
  arena.resize(static_cast<size_t>(plan.arena * plan.steps));
  const Value& last = plan.values[plan.ops[plan.count - 1].out];
  const int64_t size = last.channels * last.places;
  for (int64_t first = 0; first < steps; first += plan.steps) {
    const int64_t at_once = std::min(plan.steps, steps - first);
    const Run run{&plan, frames + (n * steps + first) * frame_bytes, arena.data(), at_once, threads};
    for (int64_t i = 0; i < plan.count; ++i) {
      const Op& op = plan.ops[i];
      const Value& to = plan.values[op.out];
      const int64_t count = to.channels * to.places;
      const double begin = now(threads);
      step(run, op, op.fires ? states[op.slot] + n * count : nullptr, answers + (n * steps + first) * size);
      if (seconds) seconds[i] += now(threads) - begin;
      if (spikes && op.fires)
        std::memcpy(spikes[op.slot] + (n * steps + first) * count, run.data(op.out), static_cast<size_t>(at_once * count));
    }
  }
}

}  // namespace

// Frames [N][steps][places][channels]; states [N][...], spikes [N][steps][...], answers [N][steps][...].
extern "C" void qsnn_run_integers(const Plan* plan, const char* frames, int64_t frame_bytes, int64_t samples,
                                  int64_t steps, uint8_t* const* states, uint8_t* const* spikes, int64_t* answers,
                                  int64_t threads, double* seconds) {
  const int outer = static_cast<int>(samples >= threads ? threads : 1);
  const int inner = static_cast<int>(outer > 1 ? 1 : threads);
#pragma omp parallel for num_threads(outer) if (outer > 1) schedule(dynamic)
  for (int64_t n = 0; n < samples; ++n)
    sample(*plan, frames, frame_bytes, steps, n, states, spikes, answers, inner, seconds);
}

// What the machine offers: bytes of a vector, products of bytes, bits counted.
extern "C" int64_t qsnn_vector_bytes() { return VECTOR; }
extern "C" int64_t qsnn_has_dot() { return HAS_DOT; }
