#include "network.h"

#include "weights.h"

/* right shifts of negative numbers round down, or this does not compile */
typedef char shifts_round_down[(-1 >> 1) == -1 ? 1 : -1];

static struct {
    int64_t answers[10];
    union {
        int32_t of1[8];
        int16_t of4[16];
    } sums;
    union {
        uint8_t of2[256];
        uint8_t of5[128];
        int16_t of7[10];
    } values_0;
    uint8_t state_2[512];
    uint8_t state_5[256];
    union {
        uint8_t of3[512];
        uint8_t of6[16];
    } values_1;
} memory;

typedef char memory_is_as_large_as_said[sizeof(memory) <= QSNN_RAM_BYTES ? 1 : -1];

static uint32_t bit_at(const uint8_t *from, uint32_t place)
{
    return ((uint32_t)from[place >> 3] >> (place & 7u)) & 1u;
}

static void put_bit(uint8_t *to, uint32_t place, uint32_t value)
{
    uint32_t mask = 1u << (place & 7u);
    uint32_t others = to[place >> 3] & ~mask;

    to[place >> 3] = (uint8_t)(value ? others | mask : others);
}

/* a value times a power of two, or minus one */
static int64_t shifted(int64_t value, int64_t factor)
{
    if (factor < 0) {
        value = -value;
        factor = -factor;
    }
    for (; factor > 1; factor >>= 1) {
        value += value;
    }
    return value;
}

/* `width` bits from place `bit`, 1 to 8 of them */
static uint32_t bits_at(const uint8_t *from, uint32_t bit, uint32_t width)
{
    uint32_t shift = bit & 7u;
    uint32_t word = from[bit >> 3];

    if (shift + width > 8u) {
        word |= (uint32_t)from[(bit >> 3) + 1u] << 8;
    }
    return (word >> shift) & ((1u << width) - 1u);
}

static void put_bits(uint8_t *to, uint32_t bit, uint32_t width, uint32_t value)
{
    uint32_t shift = bit & 7u;
    uint32_t mask = ((1u << width) - 1u) << shift;

    to += bit >> 3;
    value <<= shift;
    to[0] = (uint8_t)((to[0] & ~mask) | (value & mask));
    if (shift + width > 8u) {
        to[1] = (uint8_t)((to[1] & ~(mask >> 8)) | (value >> 8));
    }
}

static void add_row_32_4_8_whole(int32_t *sums, uint32_t count,
    const uint8_t *codes, uint32_t bit, const int8_t *levels)
{
    codes += bit >> 3;
    for (; count; count -= 2u, sums += 2) {
        uint32_t word = *codes++;

        sums[0] = (int32_t)(sums[0] + levels[(word >> 0) & 15u]);
        sums[1] = (int32_t)(sums[1] + levels[(word >> 4) & 15u]);
    }
}

static uint32_t outcome_2(const int16_t *bounds, int32_t sum)
{
    uint32_t outcome = 0;

    while (outcome < 3u && *bounds <= sum) {
        bounds += 3;
        outcome++;
    }
    return outcome;
}

/* blocks.conv1.neuron: Neuron */
static void layer_2(const qsnn_input_t *frame)
{
    int32_t *sums = memory.sums.of1;
    uint32_t planes = 8u, any = 0;

    for (uint32_t i = 0; i < 512u; i++) {
        uint32_t value = (uint32_t)frame[i];

        any |= value;
    }
    while (planes > 1u && !((any >> (planes - 1u)) & 1u)) {
        planes--;
    }
    uint32_t pixel = 0;
    const int16_t *first_bounds = bounds_2;
    for (int32_t y = -1, at_y = 0 - 16; y < 15; y += 1, at_y += 16) {
        for (int32_t x = -1, at_x = at_y - 1; x < 15; x += 1, at_x += 1) {
            int32_t at_pixel = at_x;
            for (uint32_t c = 0; c < 8u; c++) {
                sums[c] = 0;
            }
            for (uint32_t plane = planes; plane-- > 0u;) {
                for (uint32_t c = 0; c < 8u; c++) {
                    sums[c] = (int32_t)(sums[c] + sums[c]);
                }
                uint32_t row = 0;
                for (int32_t ky = y, at_ky = at_pixel; ky < y + 3; ky += 1, at_ky += 16) {
                    for (int32_t kx = x, at_kx = at_ky; kx < x + 3; kx += 1, at_kx += 1) {
                        if ((uint32_t)ky >= 16u || (uint32_t)kx >= 16u) {
                            row += 64u;
                            continue;
                        }
                        int32_t at = at_kx;
                        for (uint32_t i = 0; i < 2u; i++, at += 256, row += 32u) {
                            if (((uint32_t)frame[(uint32_t)at] >> plane) & 1u) {
                                add_row_32_4_8_whole(sums, 8u, codes_1, row, levels_0);
                            }
                        }
                    }
                }
            }
            uint32_t to = pixel;
            const int16_t *bounds = first_bounds;
            uint32_t bit = (pixel << 1);
            for (uint32_t c = 0; c < 8u; c++) {
                uint32_t state = bits_at(memory.state_2, bit, 2u);
                uint32_t outcome = outcome_2(bounds + state, (int32_t)sums[c]);

                put_bits(memory.state_2, bit, 2u, (uint32_t)next_2[outcome]);
                put_bit(memory.values_0.of2, to, (uint32_t)(spikes_2[outcome]));
                bounds += 9;
                bit += 512u;
                to += 256u;
            }
            pixel++;
        }
    }
}

/* blocks.conv1.neuron.pool: SumPool */
static void layer_3(void)
{
    uint32_t to = 0;
    int32_t at_channel = 0;
    for (uint32_t c = 0; c < 8u; c++, at_channel += 256) {
        for (int32_t y = 0, at_y = at_channel; y < 16; y += 2, at_y += 32) {
            for (int32_t x = 0, at_x = at_y; x < 16; x += 2, at_x += 2) {
                int32_t at_pixel = at_x;
                int32_t value = 0;
                for (int32_t ky = y, at_ky = at_pixel; ky < y + 2; ky += 1, at_ky += 16) {
                    for (int32_t kx = x, at_kx = at_ky; kx < x + 2; kx += 1, at_kx += 1) {
                        value += (int32_t)bit_at(memory.values_0.of2, (uint32_t)at_kx);
                    }
                }
                memory.values_1.of3[to] = (uint8_t)(value);
                to++;
            }
        }
    }
}

static void add_row_16_4_8_whole(int16_t *sums, uint32_t count,
    const uint8_t *codes, uint32_t bit, const int8_t *levels)
{
    codes += bit >> 3;
    for (; count; count -= 2u, sums += 2) {
        uint32_t word = *codes++;

        sums[0] = (int16_t)(sums[0] + levels[(word >> 0) & 15u]);
        sums[1] = (int16_t)(sums[1] + levels[(word >> 4) & 15u]);
    }
}

static uint32_t outcome_5(const int16_t *bounds, int32_t sum)
{
    uint32_t outcome = 0;

    while (outcome < 3u && *bounds <= sum) {
        bounds += 3;
        outcome++;
    }
    return outcome;
}

/* blocks.conv2.neuron: Neuron */
static void layer_5(void)
{
    int16_t *sums = memory.sums.of4;
    uint32_t planes = 3u, any = 0;

    for (uint32_t i = 0; i < 512u; i++) {
        uint32_t value = (uint32_t)memory.values_1.of3[i];

        any |= value;
    }
    while (planes > 1u && !((any >> (planes - 1u)) & 1u)) {
        planes--;
    }
    uint32_t pixel = 0;
    const int16_t *first_bounds = bounds_5;
    for (int32_t y = -1, at_y = 0 - 8; y < 7; y += 1, at_y += 8) {
        for (int32_t x = -1, at_x = at_y - 1; x < 7; x += 1, at_x += 1) {
            int32_t at_pixel = at_x;
            for (uint32_t c = 0; c < 16u; c++) {
                sums[c] = 0;
            }
            for (uint32_t plane = planes; plane-- > 0u;) {
                for (uint32_t c = 0; c < 16u; c++) {
                    sums[c] = (int16_t)(sums[c] + sums[c]);
                }
                uint32_t row = 0;
                for (int32_t ky = y, at_ky = at_pixel; ky < y + 3; ky += 1, at_ky += 8) {
                    for (int32_t kx = x, at_kx = at_ky; kx < x + 3; kx += 1, at_kx += 1) {
                        if ((uint32_t)ky >= 8u || (uint32_t)kx >= 8u) {
                            row += 512u;
                            continue;
                        }
                        int32_t at = at_kx;
                        for (uint32_t i = 0; i < 8u; i++, at += 64, row += 64u) {
                            if (((uint32_t)memory.values_1.of3[(uint32_t)at] >> plane) & 1u) {
                                add_row_16_4_8_whole(sums, 16u, codes_4, row, levels_0);
                            }
                        }
                    }
                }
            }
            uint32_t to = pixel;
            const int16_t *bounds = first_bounds;
            uint32_t bit = (pixel << 1);
            for (uint32_t c = 0; c < 16u; c++) {
                uint32_t state = bits_at(memory.state_5, bit, 2u);
                uint32_t outcome = outcome_5(bounds + state, (int32_t)sums[c]);

                put_bits(memory.state_5, bit, 2u, (uint32_t)next_5[outcome]);
                put_bit(memory.values_0.of5, to, (uint32_t)(spikes_5[outcome]));
                bounds += 9;
                bit += 128u;
                to += 64u;
            }
            pixel++;
        }
    }
}

/* blocks.conv2.neuron.pool: SumPool */
static void layer_6(void)
{
    uint32_t to = 0;
    int32_t at_channel = 0;
    for (uint32_t c = 0; c < 1u; c++, at_channel += 1024) {
        for (int32_t y = 0, at_y = at_channel; y < 16; y += 1, at_y += 64) {
            for (int32_t x = 0, at_x = at_y; x < 64; x += 64, at_x += 64) {
                int32_t at_pixel = at_x;
                int32_t value = 0;
                for (int32_t ky = y, at_ky = at_pixel; ky < y + 1; ky += 1, at_ky += 64) {
                    for (int32_t kx = x, at_kx = at_ky; kx < x + 64; kx += 1, at_kx += 1) {
                        value += (int32_t)bit_at(memory.values_0.of5, (uint32_t)at_kx);
                    }
                }
                memory.values_1.of6[to] = (uint8_t)(value);
                to++;
            }
        }
    }
}

/* blocks.fc1.1: Linear */
static void layer_7(void)
{
    int16_t *sums = memory.values_0.of7;
    uint32_t planes = 7u, any = 0;

    for (uint32_t i = 0; i < 16u; i++) {
        uint32_t value = (uint32_t)memory.values_1.of6[i];

        any |= value;
    }
    while (planes > 1u && !((any >> (planes - 1u)) & 1u)) {
        planes--;
    }
    {
        int32_t at_pixel = 0;
        for (uint32_t c = 0; c < 10u; c++) {
            sums[c] = 0;
        }
        for (uint32_t plane = planes; plane-- > 0u;) {
            for (uint32_t c = 0; c < 10u; c++) {
                sums[c] = (int16_t)(sums[c] + sums[c]);
            }
            uint32_t row = 0;
            int32_t at = at_pixel;
            for (uint32_t i = 0; i < 16u; i++, at += 1, row += 40u) {
                if (((uint32_t)memory.values_1.of6[(uint32_t)at] >> plane) & 1u) {
                    add_row_16_4_8_whole(sums, 10u, codes_7, row, levels_0);
                }
            }
        }
    }
}

/* output: Output */
static void layer_8(void)
{
    const int64_t *bias = bias_8;
    const int32_t *factor_0 = factors_8;
    uint32_t to = 0;
    for (uint32_t group = 0; group < 10u; group++) {
        for (uint32_t i = 0; i < 1u; i++) {
            int64_t total = 0;

            total += shifted((int32_t)memory.values_0.of7[to], *factor_0);
            memory.answers[to] += total + *bias;
            to++;
        }
        bias++;
        factor_0++;
    }
}

void qsnn_reset(void)
{
    for (uint32_t i = 0; i < QSNN_OUTPUT_SIZE; i++) {
        memory.answers[i] = 0;
    }
    for (uint32_t bit = 0; bit < 4096u; bit += 2u) {
        put_bits(memory.state_2, bit, 2u, 1u);
    }
    for (uint32_t bit = 0; bit < 2048u; bit += 2u) {
        put_bits(memory.state_5, bit, 2u, 1u);
    }
}

void qsnn_step(const qsnn_input_t *frame)
{
    layer_2(frame);
    layer_3();
    layer_5();
    layer_6();
    layer_7();
    layer_8();
}

const int64_t *qsnn_sums(void)
{
    return memory.answers;
}

int qsnn_class(void)
{
    int best = 0;

    for (int i = 1; i < QSNN_OUTPUT_SIZE; i++) {
        if (memory.answers[i] > memory.answers[best]) {
            best = i;
        }
    }
    return best;
}
