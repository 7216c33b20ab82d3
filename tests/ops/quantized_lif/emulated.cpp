// kernel.cu on the emulated GPU: what tests launch.

#include "emulated_gpu.h"
#include "kernel.cu"

Quad shared[3072];  // 48 KiB, the most that a launch gets unasked

static void (*kernel)(Call);
static const Call* call;

extern "C" size_t size_of_call() { return sizeof(Call); }

// Shared memory holds NaN, and nothing of the block before. Returns whether the launch is possible.
extern "C" bool emulate(void (*name)(Call), long long blocks, long long bytes, const Call* values) {
    if (blocks < 1 || bytes > static_cast<long long>(sizeof shared)) return false;
    kernel = name, call = values;
    for (long long block = 0; block < blocks; block++) {
        std::memset(shared, 0xff, sizeof shared);
        blockIdx.x = static_cast<unsigned>(block);
        emulated::run_block([] { kernel(*call); });
    }
    return true;
}
