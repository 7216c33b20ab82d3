// What runtime.py hands over: layers in order, values between them, and where everything lies.
// Values lie as [steps][places][channels]; all integers wrap, and what is stored was proven to fit.
#pragma once
#include <cstdint>

enum Type : int64_t { U8, I16, I32, I64 };
enum Kind : int64_t { SYNAPSE, DEPTHWISE, POOL_SUM, POOL_MAX, SUM, GATHER, RESCALE, NEURON, OUTPUT };
enum Method : int64_t { ROWS, PRODUCTS, DENSE, PLANES };

struct Value {
  int64_t offset;  // bytes per step in the arena, or -1 for the frames
  int64_t type, channels, places;
};

struct Op {
  int64_t kind, out;
  const int64_t* in;
  int64_t inputs;
  // sums: places[p][tap] is the input's place, or -1; weights in blocks of `lanes` channels
  const int32_t* places;
  int64_t taps, method, lanes, code_type, sum_type;
  const void* weights;
  int64_t stride, unpacked;        // bytes from block to block; codes of a block that lie two in a byte, or 0
  const int8_t* levels;            // 16, which those stand for
  int64_t group_rows, flush;       // rows that 8 bits hold, and that 16 do (ROWS)
  int64_t planes, scale, least;    // codes are least + scale * (their planes) (PLANES)
  // elements of a gather: to, from
  const int32_t* pairs;
  const int64_t* pair_counts;      // per input
  // factors: per place of a period
  int64_t period, shift;
  const int64_t* multipliers;      // [inputs][period]
  const int64_t* bias;             // [period]
  // neurons: bounds [states][bounds_count][padded] of the sum's type; where they are searched int32
  // [group][states][bounds_count], or [group][bounds_count] where charges are added to the sums
  int64_t fires, states, bounds_count, padded, searched;
  const void* bounds;
  const int32_t* charge;           // [group][states], or none
  const int32_t* group;            // [period]
  const uint8_t* spikes;           // [bounds_count + 1]
  const uint8_t* next_state;
  int64_t slot;                    // which state, which spikes
};

struct Plan {
  const Op* ops;
  int64_t count;
  const Value* values;
  int64_t arena;                   // bytes per step
  int64_t steps;                   // at a time
};
