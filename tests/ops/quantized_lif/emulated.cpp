// kernel.cu on the emulated GPU: what tests launch.

#include "emulated_gpu.h"
#include "kernel.cu"

Quad shared[3072];  // 48 KiB, the most that a launch gets unasked

static void (*kernel)(Launch);
static const Launch* call;

extern "C" long long size_of_call() { return sizeof(Launch); }

// Returns how many threads of a block wait for others that have ended: 0 of a correct kernel.
extern "C" long long emulate(void (*name)(Launch), long long blocks, long long bytes,
                             long long backwards, const Launch* values) {
    if (blocks < 1 || bytes > static_cast<long long>(sizeof shared)) std::abort();
    kernel = name, call = values, emulated::backwards = backwards;
    for (long long i = 0; i < blocks; i++) {
        // NaN, and nothing of the block before
        std::memset(shared, 0xff, sizeof shared);
        blockIdx.x = static_cast<unsigned>(backwards ? blocks - 1 - i : i);
        const int waiting = emulated::run_block([] { kernel(*call); });
        if (waiting) return waiting;
    }
    return 0;
}
