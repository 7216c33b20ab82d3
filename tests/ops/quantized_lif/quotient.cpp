// The corrected quotient of neuron.h against division, bit by bit.
//
// Its error before it is rounded is below 2^-22 of a last place, so that it can differ only where a / b
// is that close to the middle of two floats. All such a and b are here: with mantissas a and b of 24 bits
// and an odd M of 25, a / b - M / 2^K = c / (b 2^K) with |c| <= 8, which M = -c / b mod 2^K solves.

#include <cstdio>

#include "emulated_gpu.h"
#include "neuron.h"

using Word = unsigned long long;

static Word compared, different;

static void compare(float ours, float exact) {
    compared++;
    const bool both_nan = ours != ours && exact != exact;
    different += !both_nan && bits_of(ours) != bits_of(exact);
}

static void compare_quotient(Word a, Word b, float inverse) {
    const float x = static_cast<float>(a), y = static_cast<float>(b);
    compare(quotient(x, y, inverse), x / y);
    compare(quotient(-x, y, inverse), -x / y);
}

static Word inverse_of_odd(Word b) {
    Word x = b;  // of three bits; each round doubles them
    for (int i = 0; i < 4; i++) x *= 2 - b * x;
    return x;
}

static void compare_hardest(Word b) {
    const float inverse = 1.0f / static_cast<float>(b);
    const int twos = __builtin_ctzll(b);
    const Word odd = b >> twos, inverse_of = inverse_of_odd(odd);
    for (const int power : {24, 25})  // a / b from 1 to 2, and from 1 / 2 to 1
        for (int c = -8; c <= 8; c++) {
            if (c % (1 << std::min(twos, 4)) || twos > 3) continue;
            const Word step = Word(1) << (power - twos);
            Word M = (0 - Word(c >> twos)) * inverse_of % step;
            M += (((1 << 24) - M + step - 1) / step) * step * (M < 1 << 24);
            for (; M < 1 << 25; M += step) {
                const Word a = (M * b + c) >> power;
                if (a >> 23 == 1 && M % 2) compare_quotient(a, b, inverse);
            }
        }
}

int main() {
    const emulated::FlushedDenormals flushed;
    for (Word b = 1 << 23; b < 1 << 24; b++) compare_hardest(b);
    const Word hardest = compared;
    std::printf("%llu %llu\n", hardest, different);

    compared = different = 0;
    for (int greatest = 1; greatest <= 127; greatest++)
        for (int code = -greatest; code <= greatest; code++)
            compare(quotient(code, greatest, 1.0f / greatest), static_cast<float>(code) / greatest);
    compare(quotient(-0.0f, 7, 1.0f / 7), -0.0f);
    compare(level_of_code(NAN), NAN);
    std::printf("%llu %llu\n", compared, different);

    // any number over any scale, rounded to a code as a membrane is
    compared = different = 0;
    unsigned bits = 1;
    const auto number = [&bits] { return from_bits(static_cast<int>(bits = bits * 1664525 + 1013904223)); };
    for (const float odd : {0.0f, 1e-45f, TINY, 0x1p-60f, 0x1p60f, 0x1p126f, 3e38f, HUGE_VALF, NAN})
        for (int i = 0; i < 100000; i++) {
            const Scaling of_odd(odd), any(number());
            for (const Scaling& by : {of_odd, any})
                for (const float r : {number(), 0.0f, -0.0f, odd, -odd, by.divisor, number() * by.divisor}) {
                    const float ours = over_scale(r, by), exact = r / by.divisor;
                    if (!(fabsf(exact) < 0x1p-20f)) compare(ours, exact);
                    compare(rintf(ours * GREATEST_CODE), rintf(exact * GREATEST_CODE));
                }
        }
    std::printf("%llu %llu\n", compared, different);
}
