// Sums of a synapse in four ways, and neurons over lanes of channels.
#pragma once
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <vector>

#if defined(__AVX512BW__) || defined(__AVX2__)
#include <immintrin.h>
#endif

#include "runtime.h"

#if defined(__AVX512BW__)
#define VECTOR 64
#elif defined(__AVX2__)
#define VECTOR 32
#else
#define VECTOR 16
#endif

#if defined(__AVX512VNNI__) && defined(__AVX512BW__)
#define HAS_DOT 1
#else
#define HAS_DOT 0
#endif

namespace {

// Vectors of the compiler: they become whatever the machine has.
template <class T, int bytes>
using Vector __attribute__((vector_size(bytes), may_alias)) = T;
template <class A>
constexpr int LANES = VECTOR / static_cast<int>(sizeof(A));
template <class A>
using Full = Vector<A, VECTOR>;

template <class V>
inline V load(const void* from) {
  V v;
  std::memcpy(&v, from, sizeof v);
  return v;
}

// As many signed or unsigned integers as a vector of A has lanes, from memory.
template <class A, class W>
inline Full<A> widened(const W* from) {
  if constexpr (sizeof(A) == sizeof(W)) {
    return load<Full<A>>(from);
  }
#if defined(__AVX512BW__)
  constexpr bool sign = std::is_signed_v<W>;
  if constexpr (sizeof(A) == 2 && sizeof(W) == 1) {
    const __m256i x = load<__m256i>(from);
    return (Full<A>)(sign ? _mm512_cvtepi8_epi16(x) : _mm512_cvtepu8_epi16(x));
  } else if constexpr (sizeof(W) == 1) {
    const __m128i x = load<__m128i>(from);
    return (Full<A>)(sign ? _mm512_cvtepi8_epi32(x) : _mm512_cvtepu8_epi32(x));
  } else {
    return (Full<A>)_mm512_cvtepi16_epi32(load<__m256i>(from));
  }
#elif defined(__AVX2__)
  constexpr bool sign = std::is_signed_v<W>;
  if constexpr (sizeof(A) == 2 && sizeof(W) == 1) {
    const __m128i x = load<__m128i>(from);
    return (Full<A>)(sign ? _mm256_cvtepi8_epi16(x) : _mm256_cvtepu8_epi16(x));
  } else if constexpr (sizeof(W) == 1) {
    const __m128i x = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(from));
    return (Full<A>)(sign ? _mm256_cvtepi8_epi32(x) : _mm256_cvtepu8_epi32(x));
  } else {
    return (Full<A>)_mm256_cvtepi16_epi32(load<__m128i>(from));
  }
#else
  return __builtin_convertvector(load<Vector<W, LANES<A> * static_cast<int>(sizeof(W))>>(from), Full<A>);
#endif
}

// The lowest byte of each.
template <class A>
inline void narrow_to(uint8_t* to, Full<A> from) {
#if defined(__AVX512BW__)
  if constexpr (sizeof(A) == 2) _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm512_cvtepi16_epi8((__m512i)from));
  else _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm512_cvtepi32_epi8((__m512i)from));
#else
  const auto bytes = __builtin_convertvector(from, Vector<uint8_t, LANES<A>>);
  std::memcpy(to, &bytes, sizeof bytes);
#endif
}

// The lower and the upper half of bytes, as 16 bits.
inline void halves(Full<int8_t> bytes, Full<int16_t>& low, Full<int16_t>& high) {
#if defined(__AVX512BW__)
  low += (Full<int16_t>)_mm512_cvtepi8_epi16(_mm512_castsi512_si256((__m512i)bytes));
  high += (Full<int16_t>)_mm512_cvtepi8_epi16(_mm512_extracti64x4_epi64((__m512i)bytes, 1));
#else
  int8_t each[VECTOR];
  std::memcpy(each, &bytes, sizeof each);
  low += widened<int16_t>(each);
  high += widened<int16_t>(each + VECTOR / 2);
#endif
}

// ---- what each way reads of the input, once per layer

struct Scratch {
  std::vector<uint32_t> channels;  // of what is not zero, place by place
  std::vector<int32_t> amounts;    // beside `channels` (PRODUCTS)
  std::vector<int64_t> ends;       // [steps * places + 1]
  std::vector<uint8_t> bytes;      // channels padded to fours (DENSE)
  std::vector<uint32_t> bits;      // [steps * places][planes][words] (PLANES)
  std::vector<int32_t> totals;     // [steps * places] (PLANES)
  int64_t words = 0, input_planes = 0, row = 0;

  static Scratch& mine() {
    thread_local Scratch scratch;
    return scratch;
  }
};

// Bit i is set where from[i] is not zero, of 64 bytes.
inline uint64_t nonzero(const uint8_t* from) {
#if defined(__AVX512BW__)
  const __m512i x = _mm512_loadu_si512(from);
  return _mm512_test_epi8_mask(x, x);
#elif defined(__AVX2__)
  const __m256i zero = _mm256_setzero_si256();
  const auto half = [&](const uint8_t* at) {
    const __m256i x = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at));
    return ~static_cast<uint32_t>(_mm256_movemask_epi8(_mm256_cmpeq_epi8(x, zero)));
  };
  return half(from) | static_cast<uint64_t>(half(from + 32)) << 32;
#else
  uint64_t bits = 0;
  for (int i = 0; i < 64; ++i) bits |= static_cast<uint64_t>(from[i] != 0) << i;
  return bits;
#endif
}

inline uint64_t nonzero(const uint8_t* from, int64_t count) {
  if (count >= 64) return nonzero(from);
  uint64_t bits = 0;
  for (int64_t i = 0; i < count; ++i) bits |= static_cast<uint64_t>(from[i] != 0) << i;
  return bits;
}

// A channel stands in its place's list as often as its value says.
inline void list_rows(Scratch& s, int64_t channels, const uint8_t* x, int64_t rows) {
  s.ends.resize(rows + 1);
  int64_t at = 0;
  s.ends[0] = 0;
  for (int64_t i = 0; i < rows; ++i, x += channels) {
    for (int64_t c0 = 0; c0 < channels; c0 += 64) {
      if (static_cast<int64_t>(s.channels.size()) < at + 64 * 256) s.channels.resize(2 * at + 64 * 256);
      uint32_t* list = s.channels.data();
      for (uint64_t bits = nonzero(x + c0, channels - c0); bits; bits &= bits - 1) {
        const int64_t c = c0 + __builtin_ctzll(bits);
        for (int v = x[c]; v; --v) list[at++] = static_cast<uint32_t>(c);
      }
    }
    s.ends[i + 1] = at;
  }
  if (static_cast<int64_t>(s.channels.size()) < at + 16) s.channels.resize(at + 16);
}

template <class X>
void list_products(Scratch& s, int64_t channels, const X* x, int64_t rows) {
  s.ends.resize(rows + 1);
  s.channels.resize(rows * channels);
  s.amounts.resize(rows * channels);
  int64_t at = 0;
  s.ends[0] = 0;
  for (int64_t i = 0; i < rows; ++i, x += channels) {
    for (int64_t c = 0; c < channels; ++c) {
      s.channels[at] = static_cast<uint32_t>(c);
      s.amounts[at] = static_cast<int32_t>(x[c]);
      at += x[c] != 0;
    }
    s.ends[i + 1] = at;
  }
}

inline void pad_bytes(Scratch& s, int64_t channels, const uint8_t* x, int64_t rows) {
  s.row = (channels + 3) / 4 * 4;
  s.bytes.assign((rows + 1) * s.row, 0);  // the last row is what lies outside
  for (int64_t i = 0; i < rows; ++i) std::memcpy(&s.bytes[i * s.row], x + i * channels, channels);
}

inline void split_bits(Scratch& s, int64_t channels, const uint8_t* x, int64_t rows) {
  uint8_t all = 0;
  for (int64_t i = 0; i < rows * channels; ++i) all |= x[i];
  s.input_planes = 1;
  while (all >> s.input_planes) ++s.input_planes;
  s.words = (channels + 31) / 32;
  s.bits.assign((rows + 1) * s.input_planes * s.words, 0);  // the last row is what lies outside
  s.totals.resize(rows);
  for (int64_t i = 0; i < rows; ++i, x += channels) {
    int32_t total = 0;
    uint32_t* bits = &s.bits[i * s.input_planes * s.words];
    for (int64_t c0 = 0; c0 < channels; c0 += 64) {
      const int64_t n = std::min<int64_t>(64, channels - c0);
      for (int64_t plane = 0; plane < s.input_planes; ++plane) {
        uint8_t one[64] = {};
        for (int64_t c = 0; c < n; ++c) one[c] = static_cast<uint8_t>(x[c0 + c] >> plane & 1);
        const uint64_t word = nonzero(one);
        bits[plane * s.words + c0 / 32] = static_cast<uint32_t>(word);
        if (n > 32) bits[plane * s.words + c0 / 32 + 1] = static_cast<uint32_t>(word >> 32);
        total += __builtin_popcountll(word) << plane;
      }
    }
    s.totals[i] = total;
  }
}

template <class X>
void prepare(Scratch& s, const Op& op, const Value& from, const X* x, int64_t steps) {
  const int64_t rows = steps * from.places;
  if constexpr (sizeof(X) == 1) {
    if (op.method == ROWS) return list_rows(s, from.channels, x, rows);
    if (op.method == DENSE) return pad_bytes(s, from.channels, x, rows);
    if (op.method == PLANES) return split_bits(s, from.channels, x, rows);
  }
  list_products(s, from.channels, x, rows);
}

// Codes of a block that lie two in a byte: those of 64 bytes are 64 of the lower halves, then the upper.
inline const void* unpack(const Op& op, int64_t block) {
  const char* stored = static_cast<const char*>(op.weights) + block * op.stride;
  if (!op.unpacked) return stored;
  thread_local std::vector<int8_t> codes;
  codes.resize(std::max<size_t>(codes.size(), static_cast<size_t>(op.unpacked + 64)));
  int8_t* const begin = codes.data() + -reinterpret_cast<uintptr_t>(codes.data()) % 64;  // no load over two lines
  int8_t* to = begin;
  const uint8_t* from = reinterpret_cast<const uint8_t*>(stored);
  for (int64_t i = 0; i < op.unpacked; i += 128, from += 64, to += 128) {
#if defined(__AVX512BW__)
    const __m512i levels = _mm512_broadcast_i32x4(load<__m128i>(op.levels)), mask = _mm512_set1_epi8(15);
    const __m512i both = _mm512_loadu_si512(from);
    _mm512_storeu_si512(to, _mm512_shuffle_epi8(levels, _mm512_and_si512(both, mask)));
    _mm512_storeu_si512(to + 64, _mm512_shuffle_epi8(levels, _mm512_and_si512(_mm512_srli_epi16(both, 4), mask)));
#else
    for (int j = 0; j < 64; ++j) {
      to[j] = op.levels[from[j] & 15];
      to[j + 64] = op.levels[from[j] >> 4];
    }
#endif
  }
  return begin;
}

// ---- sums of one block of channels: `done(place, sums)` for each place

struct Where {
  const Op& op;
  const Value& from;
  const void* weights;  // of the block
  int64_t step, begin, end;
};

// Rows of weights that a place adds, one behind the other for all of its taps.
inline int64_t merge(const Scratch& s, const Where& w, int64_t p, int64_t lanes, std::vector<uint32_t>& rows) {
  const int64_t taps = w.op.taps, first = w.step * w.from.places, channels = w.from.channels;
  int64_t count = 0;
  for (int64_t tap = 0; tap < taps; ++tap) {
    const int64_t place = w.op.places[p * taps + tap];
    if (place < 0) continue;
    const int64_t begin = s.ends[first + place], n = s.ends[first + place + 1] - begin;
    if (static_cast<int64_t>(rows.size()) < count + n + 64) rows.resize(2 * (count + n) + 64);
    const uint32_t* list = s.channels.data() + begin;
    uint32_t* to = rows.data() + count;
    const uint32_t base = static_cast<uint32_t>(tap * channels);
    for (int64_t i = 0; i < n; i += 16)  // the list is longer than what it holds
      for (int64_t j = 0; j < 16; ++j) to[i + j] = (list[i + j] + base) * static_cast<uint32_t>(lanes);
    count += n;
  }
  return count;
}

// Groups of `known` rows, or of `group`, fit in 8 bits; as many as `flush` in 16.
template <class A, int lanes, int known, class F>
void sum_rows(const Scratch& s, const Where& w, F& done) {
  constexpr int n = lanes / LANES<int16_t>, bytes = lanes / VECTOR;
  const int8_t* weights = static_cast<const int8_t*>(w.weights);
  const int64_t group = known ? known : w.op.group_rows;
  thread_local std::vector<uint32_t> merged(4096);
  for (int64_t p = w.begin; p < w.end; ++p) {
    const int64_t count = merge(s, w, p, lanes, merged);
    const uint32_t* rows = merged.data();
    alignas(64) A all[lanes] = {};
    Full<int16_t> sums[n] = {};
    for (int64_t i = 0; i < count;) {
      const int64_t last = sizeof(A) == 2 ? count : std::min(count, i + w.op.flush);
      if constexpr (known != 1 && bytes > 0) {
        for (; i + group <= last; i += group) {
          Full<int8_t> few[bytes];
          for (int j = 0; j < bytes; ++j) few[j] = load<Full<int8_t>>(weights + rows[i] + j * VECTOR);
          for (int64_t k = 1; k < group; ++k)
            for (int j = 0; j < bytes; ++j) few[j] += load<Full<int8_t>>(weights + rows[i + k] + j * VECTOR);
          for (int j = 0; j < bytes; ++j) halves(few[j], sums[2 * j], sums[2 * j + 1]);
        }
        if (!known && i < last) {
          Full<int8_t> few[bytes] = {};
          for (; i < last; ++i)
            for (int j = 0; j < bytes; ++j) few[j] += load<Full<int8_t>>(weights + rows[i] + j * VECTOR);
          for (int j = 0; j < bytes; ++j) halves(few[j], sums[2 * j], sums[2 * j + 1]);
        }
      }
      for (; i < last; ++i)
        for (int j = 0; j < n; ++j) sums[j] += widened<int16_t>(weights + rows[i] + j * LANES<int16_t>);
      if constexpr (sizeof(A) == 4) {
        alignas(64) int16_t narrow[lanes];
        std::memcpy(narrow, sums, sizeof narrow);
        for (int j = 0; j < lanes; ++j) all[j] += narrow[j];
        for (int j = 0; j < n; ++j) sums[j] = Full<int16_t>{};
      }
    }
    if constexpr (sizeof(A) == 2) std::memcpy(all, sums, sizeof all);
    done(p, all);
  }
}

// Rows times what the input says, or rows of 16 bits.
template <class A, class W, int lanes, bool products, class F>
void sum_products(const Scratch& s, const Where& w, F& done) {
  constexpr int n = lanes / LANES<A>;
  static_assert(n > 0, "a block is at least one vector");
  const int64_t channels = w.from.channels, taps = w.op.taps, first = w.step * w.from.places;
  const W* weights = static_cast<const W*>(w.weights);
  const int64_t* ends = s.ends.data();
  for (int64_t p = w.begin; p < w.end; ++p) {
    Full<A> sums[n] = {};
    for (int64_t tap = 0; tap < taps; ++tap) {
      const int64_t place = w.op.places[p * taps + tap];
      if (place < 0) continue;
      const W* rows = weights + tap * channels * lanes;
      const int64_t last = ends[first + place + 1];
      for (int64_t i = ends[first + place]; i < last; ++i) {
        const W* row = rows + s.channels[i] * static_cast<int64_t>(lanes);
        const A amount = products ? static_cast<A>(s.amounts[i]) : A{1};
        for (int j = 0; j < n; ++j) {
          const Full<A> codes = widened<A>(row + j * LANES<A>);
          sums[j] += products ? codes * amount : codes;
        }
      }
    }
    alignas(64) A all[lanes];
    std::memcpy(all, sums, sizeof all);
    done(p, all);
  }
}

// Four channels at a time in one product of bytes, four places at a time over the same weights.
template <class A, class F>
void sum_dense(const Scratch& s, const Where& w, F& done) {
  constexpr int lanes = 64, group = 4;
  const int64_t taps = w.op.taps, fours = s.row / 4;
  const int8_t* weights = static_cast<const int8_t*>(w.weights);
  const int64_t outside = static_cast<int64_t>(s.bytes.size()) - s.row, first = w.step * w.from.places;
  for (int64_t p = w.begin; p < w.end; p += group) {
    const int places = static_cast<int>(std::min<int64_t>(group, w.end - p));
    alignas(64) int32_t all[group][lanes] = {};
#if HAS_DOT
    __m512i sums[group][4];
    for (auto& each : sums)
      for (auto& sum : each) sum = _mm512_setzero_si512();
#endif
    for (int64_t tap = 0; tap < taps; ++tap) {
      const uint8_t* x[group];
      bool any = false;
      for (int g = 0; g < group; ++g) {
        const int64_t place = g < places ? w.op.places[(p + g) * taps + tap] : -1;
        x[g] = s.bytes.data() + (place < 0 ? outside : (first + place) * s.row);
        any |= place >= 0;
      }
      if (!any) continue;
      const int8_t* row = weights + tap * s.row * lanes;
      for (int64_t four = 0; four < fours; ++four, row += 4 * lanes) {
#if HAS_DOT
        __m512i codes[4];
        for (int j = 0; j < 4; ++j) codes[j] = _mm512_loadu_si512(row + 64 * j);
        for (int g = 0; g < group; ++g) {
          const __m512i value = _mm512_set1_epi32(load<int32_t>(x[g] + 4 * four));
          for (int j = 0; j < 4; ++j) sums[g][j] = _mm512_dpbusd_epi32(sums[g][j], value, codes[j]);
        }
#else
        for (int g = 0; g < group; ++g)
          for (int k = 0; k < 4; ++k) {
            const int32_t value = x[g][4 * four + k];
            for (int c = 0; c < lanes; ++c) all[g][c] += value * row[4 * c + k];
          }
#endif
      }
    }
#if HAS_DOT
    std::memcpy(all, sums, sizeof all);
#endif
    for (int g = 0; g < places; ++g) {
      alignas(64) A narrow[lanes];
      for (int c = 0; c < lanes; ++c) narrow[c] = static_cast<A>(all[g][c]);
      done(p + g, narrow);
    }
  }
}

// Bits in common, counted: codes are least + scale * Σ 2^b plane_b. Four places over the same weights.
template <class A, class F>
void sum_planes(const Scratch& s, const Where& w, F& done) {
  constexpr int lanes = 64, group = 4;
  const int64_t taps = w.op.taps, planes = w.op.planes, first = w.step * w.from.places;
  const int64_t row_words = s.input_planes * s.words, outside = static_cast<int64_t>(s.bits.size()) - row_words;
  const uint32_t* weights = static_cast<const uint32_t*>(w.weights);
  for (int64_t p = w.begin; p < w.end; p += group) {
    const int places = static_cast<int>(std::min<int64_t>(group, w.end - p));
    int32_t totals[group] = {};
    alignas(64) int32_t all[group][lanes] = {};
    for (int64_t a = 0; a < s.input_planes; ++a)
      for (int64_t b = 0; b < planes; ++b) {
        const int shift = static_cast<int>(a + b);
#if defined(__AVX512VPOPCNTDQ__)
        __m512i sums[group][4];
        for (auto& each : sums)
          for (auto& sum : each) sum = _mm512_setzero_si512();
#endif
        for (int64_t tap = 0; tap < taps; ++tap) {
          const uint32_t* x[group];
          for (int g = 0; g < group; ++g) {
            const int64_t place = g < places ? w.op.places[(p + g) * taps + tap] : -1;
            x[g] = s.bits.data() + (place < 0 ? outside : (first + place) * row_words) + a * s.words;
            if (place >= 0 && shift == 0) totals[g] += s.totals[first + place];
          }
          const uint32_t* row = weights + (tap * s.words * planes + b) * lanes;
          for (int64_t word = 0; word < s.words; ++word, row += planes * lanes) {
#if defined(__AVX512VPOPCNTDQ__)
            __m512i bits[4];
            for (int j = 0; j < 4; ++j) bits[j] = _mm512_loadu_si512(row + 16 * j);
            for (int g = 0; g < group; ++g) {
              const __m512i value = _mm512_set1_epi32(static_cast<int32_t>(x[g][word]));
              for (int j = 0; j < 4; ++j)
                sums[g][j] = _mm512_add_epi32(sums[g][j], _mm512_popcnt_epi32(_mm512_and_si512(value, bits[j])));
            }
#else
            for (int g = 0; g < group; ++g)
              for (int c = 0; c < lanes; ++c) all[g][c] += __builtin_popcount(x[g][word] & row[c]) << shift;
#endif
          }
        }
#if defined(__AVX512VPOPCNTDQ__)
        alignas(64) int32_t counts[group][lanes];
        std::memcpy(counts, sums, sizeof counts);
        for (int g = 0; g < group; ++g)
          for (int c = 0; c < lanes; ++c) all[g][c] += counts[g][c] << shift;
#endif
      }
    for (int g = 0; g < places; ++g) {
      const int32_t offset = totals[g] * static_cast<int32_t>(w.op.least), scale = static_cast<int32_t>(w.op.scale);
      alignas(64) A narrow[lanes];
      for (int c = 0; c < lanes; ++c) narrow[c] = static_cast<A>(all[g][c] * scale + offset);
      done(p + g, narrow);
    }
  }
}

template <class A, int lanes, class F>
void sums_of_lanes(const Scratch& s, const Where& w, F& done) {
  const bool products = w.op.method == PRODUCTS;
  if (w.op.code_type == I16) {
    if (products) sum_products<A, int16_t, lanes, true>(s, w, done);
    else sum_products<A, int16_t, lanes, false>(s, w, done);
  } else if (products) {
    sum_products<A, int8_t, lanes, true>(s, w, done);
  } else {
    switch (w.op.group_rows) {
      case 1: sum_rows<A, lanes, 1>(s, w, done); break;
      case 2: sum_rows<A, lanes, 2>(s, w, done); break;
      case 3: sum_rows<A, lanes, 3>(s, w, done); break;
      case 4: sum_rows<A, lanes, 4>(s, w, done); break;
      default: sum_rows<A, lanes, 0>(s, w, done);
    }
  }
}

template <class A, class F>
void sums_of(const Scratch& s, const Op& op, const Value& from, const void* weights, int64_t step, int64_t begin,
             int64_t end, F& done) {
  const Where w{op, from, weights, step, begin, end};
  if (op.method == DENSE) return sum_dense<A>(s, w, done);
  if (op.method == PLANES) return sum_planes<A>(s, w, done);
  if (op.lanes == 128) sums_of_lanes<A, 128>(s, w, done);
  else if (op.lanes == 64) sums_of_lanes<A, 64>(s, w, done);
  else sums_of_lanes<A, 32>(s, w, done);
}

// ---- neurons: outcome k is the number of bounds reached, so spikes and states are sums of differences

template <class A, int states>
void fire_vectors(const Op& op, int64_t c0, int64_t count, const A* sums, uint8_t* state, uint8_t* out) {
  constexpr int n = LANES<A>;
  const A* bounds = static_cast<const A*>(op.bounds) + c0;
  // bytes may alias anything: what is read in the loop is local
  const int64_t known = states ? states : op.states, padded = op.padded, bounds_count = op.bounds_count;
  A spikes[256], nexts[256];
  for (int64_t k = 0; k <= bounds_count; ++k) {
    spikes[k] = static_cast<A>(op.spikes[k] - (k ? op.spikes[k - 1] : 0));
    nexts[k] = static_cast<A>(op.next_state[k] - (k ? op.next_state[k - 1] : 0));
  }
  for (int64_t j = 0; j < count; j += n) {
    const Full<A> sum = load<Full<A>>(sums + j), q = widened<A>(state + j);
    Full<A> spike = Full<A>{} + spikes[0], next = Full<A>{} + nexts[0];
    for (int64_t k = 0; k < bounds_count; ++k) {
      Full<A> bound = load<Full<A>>(bounds + k * padded + j);
      for (int64_t i = 1; i < known; ++i)
        bound = q == static_cast<A>(i) ? load<Full<A>>(bounds + (i * bounds_count + k) * padded + j) : bound;
      const auto reached = sum >= bound;
      spike += reached & spikes[k + 1];
      next += reached & nexts[k + 1];
    }
    narrow_to<A>(out + j, spike);
    narrow_to<A>(state + j, next);
  }
}

// By bisection, a step of all lanes at a time, where bounds are many or charges are added.
template <class A>
void fire_searched(const Op& op, int64_t c0, int64_t n, const A* sums, uint8_t* state, uint8_t* out) {
  const int32_t *bounds = static_cast<const int32_t*>(op.bounds), *charge = op.charge, *group = op.group + c0;
  const int32_t states = static_cast<int32_t>(op.states), count = static_cast<int32_t>(op.bounds_count);
  int32_t h[128], first[128], at[128];
  for (int64_t j = 0; j < n; ++j) {
    const int32_t row = group[j] * states + state[j];
    h[j] = sums[j] + (charge ? charge[row] : 0);
    at[j] = first[j] = (charge ? group[j] : row) * count;
  }
  for (int32_t left = count; left > 0;) {
    const int32_t half = (left + 1) / 2;
    for (int64_t j = 0; j < n; ++j) at[j] += bounds[at[j] + half - 1] <= h[j] ? half : 0;
    left -= half;
  }
  for (int64_t j = 0; j < n; ++j) {
    out[j] = op.spikes[at[j] - first[j]];
    state[j] = op.next_state[at[j] - first[j]];
  }
}

template <class A>
void fire_lanes(const Op& op, int64_t c0, int64_t n, const A* sums, uint8_t* state, uint8_t* out) {
  if (op.searched) return fire_searched<A>(op, c0, n, sums, state, out);
  const auto run = [&](int64_t count, uint8_t* q, uint8_t* sent) {
    if (op.states == 2) fire_vectors<A, 2>(op, c0, count, sums, q, sent);
    else if (op.states == 3) fire_vectors<A, 3>(op, c0, count, sums, q, sent);
    else if (op.states == 4) fire_vectors<A, 4>(op, c0, count, sums, q, sent);
    else fire_vectors<A, 0>(op, c0, count, sums, q, sent);
  };
  if (n % LANES<A> == 0) return run(n, state, out);
  uint8_t q[128 + VECTOR] = {}, sent[128 + VECTOR];
  std::memcpy(q, state, n);
  run(n, q, sent);
  std::memcpy(state, q, n);
  std::memcpy(out, sent, n);
}

}  // namespace
