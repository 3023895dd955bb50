// What tensor-parallel ranks tell each other, device to device: each has a mailbox in its own memory that the others have
// mapped, and writes into theirs. A rank may be another process on the same device, or on another one that can reach it.
//
// All ranks run the same kernels in the same order, each twice or more a step, and each needs something of every rank. So a
// rank that has come to a sum knows that the others have come to the one before, and are done with the one before that:
// two buffers, taken in turn, are enough, and nobody ever answers that a message has been read.
//
// No wait is endless: it ends when the host says so (a peer is gone, the epoch is over) or at a deadline. Then the rank's
// `fault` is set, later waits of the step end at once, what they compute is worthless, and the host hears of it.
#pragma once
#include "common.cuh"

constexpr int MAX_RANKS = 8, GATHER_BLOCKS = 128;
constexpr u32 ABORTED = 1, SILENT = 2;  // SILENT + its rank
// In every mailbox, as MailboxLayout.java has it.
constexpr i64 READY = 1024, GATHERED = 4096, SCATTERED = 8192;

struct Peers {
    u8* mailbox[MAX_RANKS];
    u32* fault;                   // this rank's, on the device
    volatile u32* told;           // the same in page-locked memory
    const volatile u32* abort;    // page-locked: not 0 once the host gives the peers up
    i64 small, parts, logits;     // where these begin in a mailbox, bytes
    i64 smallSlot, partSlot;      // bytes from a rank's small message to the next one's, from one part to the other
    u64 deadline;                 // nanoseconds
    int ranks, rank, sums;        // sums of a step: even

    FORCE u32 serial(const Step& step) const { return (u32)step.serial(); }
    // Never the same for two sums that use the same memory one after the other.
    FORCE u32 sequence(const Step& step, int index) const { return serial(step) * (u32)sums + (u32)index + 1; }
    FORCE u32* ready(int of, int from) const { return (u32*)(mailbox[of] + READY + from * 128); }
    FORCE u32* gathered(int of, int from, int block) const {
        return (u32*)(mailbox[of] + GATHERED) + from * GATHER_BLOCKS + block;
    }
    FORCE u32* scattered(int of, int from, int block) const {
        return (u32*)(mailbox[of] + SCATTERED) + from * GATHER_BLOCKS + block;
    }
    FORCE uint4* message(int of, int from, int index) const {
        return (uint4*)(mailbox[of] + small + ((index & 1) * ranks + from) * smallSlot);
    }
    FORCE float* part(int of, int index) const { return (float*)(mailbox[of] + parts + (index & 1) * partSlot); }
};

FORCE u32 loadRelaxed(const u32* p) {
    u32 v;
    asm volatile("ld.relaxed.gpu.global.u32 %0, [%1];" : "=r"(v) : "l"(p) : "memory");
    return v;
}
FORCE u32 loadAcquireSystem(const u32* p) {
    u32 v;
    asm volatile("ld.acquire.sys.global.u32 %0, [%1];" : "=r"(v) : "l"(p) : "memory");
    return v;
}
FORCE void storeReleaseSystem(u32* p, u32 v) {
    asm volatile("fence.acq_rel.sys;\nst.relaxed.sys.global.u32 [%0], %1;" ::"l"(p), "r"(v) : "memory");
}

// How long to go on asking. The host's word is a trip over the bus away: looked at rarely.
struct PeerPatience {
    u32 turns = 0;
    u64 began = 0;
    FORCE bool over(const Peers& p, int peer) {
        if (++turns % 256) return false;
        if (loadRelaxed(p.fault)) return true;
        if (turns % 8192) return false;
        const u64 now = nanoseconds();
        if (began == 0) began = now;
        const u32 reason = *p.abort ? ABORTED : now - began > p.deadline ? SILENT + peer : 0;
        if (reason == 0) return false;
        atomicCAS(p.fault, 0, reason);
        *p.told = loadRelaxed(p.fault);
        __threadfence_system();
        return true;
    }
};

FORCE void await(const Peers& p, const u32* counter, u32 target, int peer) {
    PeerPatience patience;
    while ((int)(loadAcquireSystem(counter) - target) < 0 && !patience.over(p, peer)) {
    }
}

// A pair of values of this rank, summed with the other ranks' of the same number: goes out with its sum's sequence beside it,
// so that whoever sees the sequence has the values, and no fence is needed. Added in the order of ranks: all ranks hold the
// same bits.
FORCE float2 sumOverRanks(const Peers& p, u32 sequence, int index, int i, float2 mine) {
    for (int q = 0; q < p.ranks; q++) {
        if (q == p.rank) continue;
        asm volatile("st.volatile.global.v4.u32 [%0], {%1, %2, %3, %2};" ::"l"(p.message(q, p.rank, index) + i),
                     "r"(__float_as_uint(mine.x)), "r"(sequence), "r"(__float_as_uint(mine.y))
                     : "memory");
    }
    float2 sum = make_float2(0, 0);
    for (int q = 0; q < p.ranks; q++) {
        float2 theirs = mine;
        if (q != p.rank) {
            const uint4* message = p.message(p.rank, q, index) + i;
            uint4 m;
            PeerPatience patience;
            do {
                asm volatile("ld.volatile.global.v4.u32 {%0, %1, %2, %3}, [%4];"
                             : "=r"(m.x), "=r"(m.y), "=r"(m.z), "=r"(m.w)
                             : "l"(message)
                             : "memory");
            } while ((m.y != sequence || m.w != sequence) && !patience.over(p, q));
            theirs = make_float2(__uint_as_float(m.x), __uint_as_float(m.z));
        }
        sum.x += theirs.x;
        sum.y += theirs.y;
    }
    return sum;
}
