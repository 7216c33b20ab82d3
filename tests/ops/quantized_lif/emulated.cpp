// kernel.cu on the emulated GPU: what tests launch.

#include "emulated_gpu.h"
#include "kernel.cu"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(place, bytes)
#define ASAN_UNPOISON_MEMORY_REGION(place, bytes)
#endif

Quad shared[3072];  // 48 KiB, the most that a launch gets unasked

static void (*kernel)(Launch);
static const Launch* call;

extern "C" long long size_of_call() { return sizeof(Launch); }

// How many atomic operations the last launch took.
extern "C" long long atomics() { return emulated::atomics; }

// Returns how many threads of a block wait for others that have ended, or, negative, how many accesses
// are not aligned: 0 of a correct kernel.
extern "C" long long emulate(void (*name)(Launch), long long blocks, long long bytes,
                             long long backwards, const Launch* values) {
    if (blocks < 1 || bytes > static_cast<long long>(sizeof shared)) std::abort();
    kernel = name, call = values, emulated::backwards = backwards;
    emulated::misaligned = emulated::atomics = 0;
    for (long long i = 0; i < blocks; i++) {
        // NaN, and nothing of the block before; a sanitizer sees who goes beyond
        ASAN_UNPOISON_MEMORY_REGION(shared, sizeof shared);
        std::memset(shared, 0xff, sizeof shared);
        ASAN_POISON_MEMORY_REGION(reinterpret_cast<char*>(shared) + bytes, sizeof shared - bytes);
        blockIdx.x = static_cast<unsigned>(backwards ? blocks - 1 - i : i);
        const int waiting = emulated::run_block([] { kernel(*call); });
        if (emulated::misaligned) return -emulated::misaligned;
        if (waiting) return waiting;
    }
    return 0;
}
