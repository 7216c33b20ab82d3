/* Startup of a Cortex-M3, and samples shown to a network; semihosting prints its answers. */
#include "network.h"
#include "samples.h"

extern uint8_t first_byte[], end_byte[], stack_top[];

void start(void);

static void fault(void)
{
    for (;;) {
    }
}

__attribute__((section(".vectors"), used)) static const void *vectors[16] = {
    stack_top, (void *)start, (void *)fault, (void *)fault,
};

static void host(uint32_t operation, const void *argument)
{
    register uint32_t r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = argument;

    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
}

/* 16 digits and what follows them */
static void print(int64_t value, char behind)
{
    static char text[18];
    uint64_t rest = (uint64_t)value;
    int i;

    for (i = 15; i >= 0; i--) {
        text[i] = "0123456789abcdef"[rest & 15u];
        rest >>= 4;
    }
    text[16] = behind;
    host(4, text);
}

void start(void)
{
    const qsnn_input_t *frame = samples;
    uint8_t *byte;
    int sample, step, i;

    for (byte = first_byte; byte < end_byte; byte++) {
        *byte = 0;
    }
    for (sample = 0; sample < SAMPLES; sample++) {
        qsnn_reset();
        for (step = 0; step < STEPS; step++, frame += QSNN_INPUT_SIZE) {
            qsnn_step(frame);
        }
        print(qsnn_class(), ' ');
        for (i = 0; i < QSNN_OUTPUT_SIZE; i++) {
            print(qsnn_sums()[i], i + 1 < QSNN_OUTPUT_SIZE ? ' ' : '\n');
        }
    }
    /* ADP_Stopped_ApplicationExit */
    host(0x18, (const void *)0x20026);
    fault();
}
