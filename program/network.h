/* A network of integers, written by qsnn_plugins. Call qsnn_reset before the first frame of a
 * sample, qsnn_step with each frame, and read the answer. Nothing is allocated. */
#ifndef QSNN_NETWORK_H
#define QSNN_NETWORK_H

#include <stdint.h>

/* values of a frame, [2, 16, 16], and what they may be; 1 stands for 1 */
#define QSNN_INPUT_SIZE 512
#define QSNN_INPUT_LOW (0)
#define QSNN_INPUT_HIGH (255)
#define QSNN_OUTPUT_SIZE 10
/* all memory that the network writes, static; the stack is small besides */
#define QSNN_RAM_BYTES 1648
/* tables: codes and bounds as the account counts them, and the values of codes */
#define QSNN_TABLE_BYTES 1296
#define QSNN_LEVEL_BYTES 15

typedef uint8_t qsnn_input_t;

#ifdef __cplusplus
extern "C" {
#endif

/* forget what was shown */
void qsnn_reset(void);

/* run one step; the values have to lie in QSNN_INPUT_LOW to QSNN_INPUT_HIGH */
void qsnn_step(const qsnn_input_t *frame);

/* QSNN_OUTPUT_SIZE answers, summed over the steps since the reset; 1 stands for 7.27595761e-12 */
const int64_t *qsnn_sums(void);

/* the place of the greatest sum, the first of equals */
int qsnn_class(void);

#ifdef __cplusplus
}
#endif
#endif
