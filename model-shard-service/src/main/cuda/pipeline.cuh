// Hopper's ways of bringing bytes: barriers in shared memory that count them, boxes of matrices.
#pragma once
#include "common.cuh"

constexpr u64 DEADLINE = 60000000000ull;  // nanoseconds that anybody waits for anything; peers get less

struct alignas(64) TensorMap {
    u64 words[16];
};

FORCE void barrierInit(u64* b, int n) { asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared(b)), "r"(n)); }
#if __CUDA_ARCH__ >= 900
FORCE void barrierExpect(u64* b, int bytes) {
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared(b)), "r"(bytes) : "memory");
}
#else
FORCE void barrierExpect(u64*, int) {}
#endif
FORCE void barrierArrive(u64* b) { asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared(b)) : "memory"); }
FORCE u64 evictFirst() {
    u64 policy;
    asm volatile("createpolicy.fractional.L2::evict_first.b64 %0, 1.0;" : "=l"(policy));
    return policy;
}
#if __CUDA_ARCH__ >= 900
// What this thread wrote to shared memory is there for the copy engine and for warpgroups' products.
FORCE void showAsync() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }
FORCE void bulkCopy(u32 to, const void* from, int bytes, u64* b) {
    asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(to), "l"(from), "r"(bytes), "r"(shared(b))
                 : "memory");
}
FORCE void bulkCopy(u32 to, const void* from, int bytes, u64* b, u64 policy) {
    asm volatile(
        "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.L2::cache_hint [%0], [%1], %2, [%3], %4;" ::"r"(to),
        "l"(from), "r"(bytes), "r"(shared(b)), "l"(policy)
        : "memory");
}
FORCE void boxCopy(u32 to, const void* map, int row, int block, u64* b, u64 policy) {
    asm volatile(
        "cp.async.bulk.tensor.3d.shared::cluster.global.tile.mbarrier::complete_tx::bytes.L2::cache_hint [%0], [%1, {%2, %3, %4}], [%5], %6;" ::"r"(to),
        "l"(map), "r"(0), "r"(row), "r"(block), "r"(shared(b)), "l"(policy)
        : "memory");
}
FORCE void boxCopy(u32 to, const void* map, int row, int block, u64* b) {
    asm volatile("cp.async.bulk.tensor.3d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3, %4}], [%5];" ::"r"(to),
                 "l"(map), "r"(0), "r"(row), "r"(block), "r"(shared(b))
                 : "memory");
}
#endif
FORCE u32 loadAcquire(const u32* p) {
    u32 v;
    asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(v) : "l"(p) : "memory");
    return v;
}
FORCE void storeRelease(u32* p, u32 v) { asm volatile("fence.acq_rel.gpu;\nst.relaxed.gpu.global.u32 [%0], %1;" ::"l"(p), "r"(v) : "memory"); }

// What never comes ends the context, not this loop's life.
struct Patience {
    u32 turns = 0;
    u64 began = 0;
    FORCE void turn() {
        if (++turns % 65536 != 0) return;
        const u64 now = nanoseconds();
        if (began == 0) began = now;
        if (now - began > DEADLINE) __trap();
    }
};
FORCE void barrierWait(u64* b, int parity) {
    u32 done;
    Patience patience;
    while (true) {
        asm volatile(
#if __CUDA_ARCH__ >= 900
            "{\n.reg .pred p;\nmbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\nselp.u32 %0, 1, 0, p;\n}"
#else
            "{\n.reg .pred p;\nmbarrier.test_wait.parity.shared::cta.b64 p, [%1], %2;\nselp.u32 %0, 1, 0, p;\n}"
#endif
            : "=r"(done)
            : "r"(shared(b)), "r"(parity)
            : "memory");
        if (done) return;
        patience.turn();
    }
}
// Waits until the counter has come so far.
FORCE void awaitGrid(const u32* counter, u32 target) {
    for (Patience patience; loadAcquire(counter) < target;) patience.turn();
}
template <int THREADS>
FORCE void consumersSync() { asm volatile("bar.sync 1, %0;" ::"n"(THREADS) : "memory"); }
