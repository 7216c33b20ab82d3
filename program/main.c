/* Reads frames from standard input and prints classes:
 *
 *     main [steps [sums]] < frames
 *
 * A frame is QSNN_INPUT_SIZE values, channel by channel and row by row, a byte each, or two
 * (four) bytes, the low one first, where qsnn_input_t has 16 (32) bits. Each `steps` frames are a
 * sample; without `steps`, or with 0, all frames are one. With a second argument, the summed
 * answers follow each class. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "network.h"

static qsnn_input_t frame[QSNN_INPUT_SIZE];

/* 1 if a frame was read, 0 at the end, -1 if something is wrong */
static int read_frame(void)
{
    size_t i;

    for (i = 0; i < QSNN_INPUT_SIZE; i++) {
        uint32_t word = 0;
        int32_t value;
        unsigned byte;

        for (byte = 0; byte < sizeof(qsnn_input_t); byte++) {
            int next = getchar();

            if (next == EOF) {
                return i == 0 && byte == 0 ? 0 : -1;
            }
            word |= (uint32_t)next << (8u * byte);
        }
        value = (int32_t)(qsnn_input_t)word;
        if (value < QSNN_INPUT_LOW || value > QSNN_INPUT_HIGH) {
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
        printf(" %" PRId64, qsnn_sums()[i]);
    }
    printf("\n");
}

int main(int argc, char **argv)
{
    long steps = argc > 1 ? strtol(argv[1], NULL, 10) : 0;
    long shown = 0;
    int found;

    qsnn_reset();
    while ((found = read_frame()) > 0) {
        qsnn_step(frame);
        shown++;
        if (shown == steps) {
            print_answer(argc > 2);
            qsnn_reset();
            shown = 0;
        }
    }
    if (found < 0 || (shown > 0 && steps > 0)) {
        fprintf(stderr, "error: frames of %d values from %d to %d are needed, and samples of "
                "%ld steps\n", QSNN_INPUT_SIZE, QSNN_INPUT_LOW, QSNN_INPUT_HIGH, steps);
        return 1;
    }
    if (shown > 0) {
        print_answer(argc > 2);
    }
    return 0;
}
