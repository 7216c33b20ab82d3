"""C that all networks share; what a network does not call is left out."""

from __future__ import annotations

__all__ = ["HEADER", "HELPERS", "MAIN", "MAKEFILE", "add_row"]

HELPERS = {
    "bit_at": """\
static uint32_t bit_at(const uint8_t *from, uint32_t place)
{
    return ((uint32_t)from[place >> 3] >> (place & 7u)) & 1u;
}
""",
    "put_bit": """\
static void put_bit(uint8_t *to, uint32_t place, uint32_t value)
{
    uint32_t mask = 1u << (place & 7u);
    uint32_t others = to[place >> 3] & ~mask;

    to[place >> 3] = (uint8_t)(value ? others | mask : others);
}
""",
    "shifted": """\
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
""",
    "bits_at": """\
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
""",
    "put_bits": """\
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
""",
}


def add_row(
    kind: str, bits: int, levels: str, whole: bool, is_byte: bool = False
) -> tuple[str, str]:
    """Return the name and the C of the hot loop: accumulators plus a row of packed codes.

    Args:
        kind: Type of the accumulators.
        bits: What a code takes.
        levels: Type of the codes.
        whole: Whether rows begin and end with bytes that hold whole codes.
        is_byte: Whether all rows lie in one byte.

    Returns:
        Its name, and the function `name(sums, count, codes, bit, levels)`.

    Example:
        >>> add_row("int16_t", 4, "int8_t", whole=True)[0]
        'add_row_16_4_8_whole'
    """
    sums, codes = kind[3:-2], levels[3:-2]
    kinds = "_whole" * whole or "_byte" * is_byte
    name = f"add_row_{sums}_{bits}_{codes}{kinds}"
    head = f"""\
static void {name}({kind} *sums, uint32_t count,
    const uint8_t *codes, uint32_t bit, const {levels} *levels)
{{
"""
    mask = f"{(1 << bits) - 1}u"
    if whole:
        each = 8 // bits
        adds = "\n".join(
            f"        sums[{i}] = ({kind})(sums[{i}] + levels[(word >> {i * bits}) & {mask}]);"
            for i in range(each)
        )
        return (
            name,
            f"""{head}    codes += bit >> 3;
    for (; count; count -= {each}u, sums += {each}) {{
        uint32_t word = *codes++;

{adds}
    }}
}}
""",
        )
    if is_byte:  # compilers warn of a second one, even where it is never read
        return (
            name,
            f"""{head}    uint32_t word = (uint32_t)*codes >> bit;

    for (; count; count--, sums++) {{
        *sums = ({kind})(*sums + levels[word & {mask}]);
        word >>= {bits};
    }}
}}
""",
        )
    return (
        name,
        f"""{head}    uint32_t held = 8u - (bit & 7u);
    uint32_t word;

    codes += bit >> 3;
    word = (uint32_t)*codes++ >> (bit & 7u);
    for (; count; count--, sums++) {{
        while (held < {bits}u) {{
            word |= (uint32_t)*codes++ << held;
            held += 8u;
        }}
        *sums = ({kind})(*sums + levels[word & {mask}]);
        word >>= {bits};
        held -= {bits}u;
    }}
}}
""",
    )


HEADER = """\
/* A network of integers, written by qsnn_plugins. Call qsnn_reset before the first frame of a
 * sample, qsnn_step with each frame, and read the answer. Nothing is allocated. */
#ifndef QSNN_NETWORK_H
#define QSNN_NETWORK_H

#include <stdint.h>

/* values of a frame, [{shape}], and what they may be; 1 stands for {unit} */
#define QSNN_INPUT_SIZE {size}
#define QSNN_INPUT_LOW ({low})
#define QSNN_INPUT_HIGH ({high})
#define QSNN_OUTPUT_SIZE {outputs}
/* all memory that the network writes, static; the stack is small besides */
#define QSNN_RAM_BYTES {ram}
/* tables: codes and bounds as the account counts them, and the values of codes */
#define QSNN_TABLE_BYTES {tables}
#define QSNN_LEVEL_BYTES {levels}

typedef {type} qsnn_input_t;

#ifdef __cplusplus
extern "C" {{
#endif

/* forget what was shown */
void qsnn_reset(void);

/* run one step; the values have to lie in QSNN_INPUT_LOW to QSNN_INPUT_HIGH */
void qsnn_step(const qsnn_input_t *frame);

/* QSNN_OUTPUT_SIZE answers, summed over the steps since the reset; 1 stands for {answer} */
const int64_t *qsnn_sums(void);

/* the place of the greatest sum, the first of equals */
int qsnn_class(void);

#ifdef __cplusplus
}}
#endif
#endif
"""

MAIN = """\
/* Reads frames from standard input and prints classes:
 *
 *     main [steps [sums]] < frames
 *
 * A frame is QSNN_INPUT_SIZE values, channel by channel and row by row, a byte each, or two
 * (four) bytes, the low one first, where qsnn_input_t has 16 (32) bits. Each `steps` frames are a
 * sample; without `steps`, all frames are one sample. With a second argument, the summed answers
 * follow each class. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "network.h"

static qsnn_input_t frame[QSNN_INPUT_SIZE];

/* 1 if a frame was read, 0 at the end of the input, -1 if something is wrong, which is printed */
static int read_frame(long frames)
{
    size_t i;

    for (i = 0; i < QSNN_INPUT_SIZE; i++) {
        uint32_t word = 0;
        int32_t value;
        unsigned byte;

        for (byte = 0; byte < sizeof(qsnn_input_t); byte++) {
            int next = getchar();

            if (next == EOF && i == 0 && byte == 0) {
                return 0;
            }
            if (next == EOF) {
                fprintf(stderr, "error: the input ends within frame %ld: a frame has %d values\\n",
                        frames, QSNN_INPUT_SIZE);
                return -1;
            }
            word |= (uint32_t)next << (8u * byte);
        }
        value = (int32_t)(qsnn_input_t)word;
        if (value < QSNN_INPUT_LOW || value > QSNN_INPUT_HIGH) {
            fprintf(stderr, "error: frame %ld has the value %ld: from %ld to %ld is allowed\\n",
                    frames, (long)value, (long)QSNN_INPUT_LOW, (long)QSNN_INPUT_HIGH);
            return -1;
        }
        frame[i] = (qsnn_input_t)value;
    }
    return 1;
}

static void print_answer(int sums)
{
    int i;

    printf("%d", qsnn_class());
    for (i = 0; sums && i < QSNN_OUTPUT_SIZE; i++) {
        printf(" %lld", (long long)qsnn_sums()[i]);
    }
    printf("\\n");
}

int main(int argc, char **argv)
{
    char *end = NULL;
    long steps = argc > 1 ? strtol(argv[1], &end, 10) : 0;
    long frames = 0; /* of all samples */
    long shown = 0;  /* of this one */
    int found;

    if (end != NULL && (*end != '\\0' || steps < 1)) {
        fprintf(stderr, "error: the steps of a sample are a number from 1, and not %s\\n", argv[1]);
        return 1;
    }
    qsnn_reset();
    while ((found = read_frame(frames)) > 0) {
        qsnn_step(frame);
        frames++;
        shown++;
        if (shown == steps) {
            print_answer(argc > 2);
            qsnn_reset();
            shown = 0;
        }
    }
    if (found < 0) {
        return 1;
    }
    if (frames == 0) {
        fprintf(stderr, "error: no frame on standard input\\n");
        return 1;
    }
    if (shown > 0 && steps > 0) {
        fprintf(stderr, "error: the input ends after %ld of the %ld steps of a sample\\n", shown,
                steps);
        return 1;
    }
    if (shown > 0) {
        print_answer(argc > 2);
    }
    return 0;
}
"""

MAKEFILE = """\
CC ?= cc
CFLAGS ?= -O2
STANDARD := -std=c99 -Wall -Wextra -Wconversion

main: main.c network.c network.h weights.h
	$(CC) $(STANDARD) $(CFLAGS) -o $@ main.c network.c

clean:
	rm -f main

.PHONY: clean
"""
