// What tensor-parallel ranks tell each other, device to device: each has a mailbox in its own memory that the others have
// mapped, and writes into theirs. A rank may be another process on the same device, or on another one that can reach it.
//
// All ranks run the same kernels in the same order, each twice or more a step, and each needs something of every rank. So a
// rank that has come to a sum knows that the others have come to the one before, and are done with the one before that:
// two buffers, taken in turn, are enough, and nobody ever answers that a message has been read.
//
// No wait is endless: it ends when the host says so (a peer is gone, the epoch is over) or at a deadline. Then the rank's
// `fault` is set, later waits of the step end at once, what they compute is worthless, and the host hears of it.
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
FORCE u64 nanoseconds() {
    u64 t;
    asm volatile("mov.u64 %0, %globaltimer;" : "=l"(t));
    return t;
}

// How long to go on asking. The host's word is a trip over the bus away: looked at rarely.
struct Patience {
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
    Patience patience;
    while ((int)(loadAcquireSystem(counter) - target) < 0 && !patience.over(p, peer)) {
    }
}

// residual += the sum of all ranks' parts, for few values: each goes out with its sum's number beside it, so that whoever
// sees the number has the value, and no fence is needed. Added in the order of ranks: all ranks hold the same bits.
extern "C" __global__ void __launch_bounds__(256) sumSmall(Step step, Peers p, int index, float* residual, int hidden) {
    const int pairs = step.tokens() * hidden / 2, i = blockIdx.x * 256 + threadIdx.x;
    if (i >= pairs) return;
    const u32 sequence = p.sequence(step, index);
    const float2 mine = ((const float2*)p.part(p.rank, index))[i];
    for (int q = 0; q < p.ranks; q++) {
        if (q == p.rank) continue;
        asm volatile("st.volatile.global.v4.u32 [%0], {%1, %2, %3, %2};" ::"l"(p.message(q, p.rank, index) + i),
                     "r"(__float_as_uint(mine.x)), "r"(sequence), "r"(__float_as_uint(mine.y))
                     : "memory");
    }
    float2* out = (float2*)residual + i;
    const float2 before = *out;
    float2 sum = make_float2(0, 0);
    for (int q = 0; q < p.ranks; q++) {
        float2 theirs = mine;
        if (q != p.rank) {
            const uint4* message = p.message(p.rank, q, index) + i;
            uint4 m;
            Patience patience;
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
    *out = make_float2(before.x + sum.x, before.y + sum.y);
}

// The same for many values: ranks say that their part is there, and read the others'.
extern "C" __global__ void __launch_bounds__(512) sumLarge(Step step, Peers p, int index, float* residual, int hidden) {
    const u32 sequence = p.sequence(step, index);
    const int t = threadIdx.x;
    if (t < p.ranks && t != p.rank) {
        if (blockIdx.x == 0) storeReleaseSystem(p.ready(t, p.rank), sequence);
        await(p, p.ready(p.rank, t), sequence, t);
    }
    __syncthreads();
    const i64 count = (i64)step.tokens() * hidden / 4, stride = (i64)gridDim.x * 512;
    float4* out = (float4*)residual;
    for (i64 from = blockIdx.x * 512 + t; from < count; from += 4 * stride) {
        float4 sum[4];
#pragma unroll
        for (int u = 0; u < 4; u++) sum[u] = make_float4(0, 0, 0, 0);
        for (int q = 0; q < p.ranks; q++) {
            const float4* part = (const float4*)p.part(q, index);
            float4 v[4];
#pragma unroll
            for (int u = 0; u < 4; u++)
                v[u] = from + u * stride < count ? __ldcg(part + from + u * stride) : make_float4(0, 0, 0, 0);
#pragma unroll
            for (int u = 0; u < 4; u++) {
                sum[u].x += v[u].x;
                sum[u].y += v[u].y;
                sum[u].z += v[u].z;
                sum[u].w += v[u].w;
            }
        }
#pragma unroll
        for (int u = 0; u < 4; u++) {
            const i64 i = from + u * stride;
            if (i >= count) break;
            float4 v = out[i];
            v.x += sum[u].x;
            v.y += sum[u].y;
            v.z += sum[u].z;
            v.w += sum[u].w;
            out[i] = v;
        }
    }
}

// The same again for more than two ranks: each sums one slice of the values, writes it where every rank has its own part, and
// takes the other slices from there, so that a value crosses the wires twice and not once for each pair of ranks. A slice of a
// part is read by one rank only, the one that then overwrites it. As many blocks on all ranks: a block waits for its like.
extern "C" __global__ void __launch_bounds__(512) sumScattered(Step step, Peers p, int index, float* residual, int hidden) {
    const u32 sequence = p.sequence(step, index);
    const int t = threadIdx.x;
    if (t < p.ranks && t != p.rank) {
        if (blockIdx.x == 0) storeReleaseSystem(p.ready(t, p.rank), sequence);
        await(p, p.ready(p.rank, t), sequence, t);
    }
    __syncthreads();
    const i64 count = (i64)step.tokens() * hidden / 4, stride = (i64)gridDim.x * 512;
    const i64 each = (count + p.ranks - 1) / p.ranks, first = p.rank * each, end = min(count, first + each);
    for (i64 from = first + blockIdx.x * 512 + t; from < end; from += 2 * stride) {
        const bool two = from + stride < end;
        float4 a = make_float4(0, 0, 0, 0), b = a;
        for (int q = 0; q < p.ranks; q++) {
            const float4* part = (const float4*)p.part(q, index) + from;
            const float4 u = __ldcg(part), v = two ? __ldcg(part + stride) : make_float4(0, 0, 0, 0);
            a = make_float4(a.x + u.x, a.y + u.y, a.z + u.z, a.w + u.w);
            b = make_float4(b.x + v.x, b.y + v.y, b.z + v.z, b.w + v.w);
        }
        for (int q = 0; q < p.ranks; q++) {
            float4* part = (float4*)p.part(q, index) + from;
            __stcg(part, a);
            if (two) __stcg(part + stride, b);
        }
    }
    __syncthreads();
    if (t < p.ranks && t != p.rank) {
        storeReleaseSystem(p.scattered(t, p.rank, blockIdx.x), sequence);
        await(p, p.scattered(p.rank, t, blockIdx.x), sequence, t);
    }
    __syncthreads();
    float4* out = (float4*)residual;
    const float4* sums = (const float4*)p.part(p.rank, index);
    for (int q = 0; q < p.ranks; q++) {
        const i64 last = min(count, (q + 1) * each);
        for (i64 i = q * each + blockIdx.x * 512 + t; i < last; i += stride) {
            const float4 v = out[i], sum = __ldcg(sums + i);
            out[i] = make_float4(v.x + sum.x, v.y + sum.y, v.z + sum.z, v.w + sum.w);
        }
    }
}

// Each rank's columns of the sampled rows' logits, [samples, columns], to their place in all ranks' [samples, vocabulary].
// A rank that gathers again has been through a sum since, so the others have sampled from what is overwritten.
extern "C" __global__ void __launch_bounds__(512) gatherLogits(Step step, Peers p, const float* part, int columns, int from,
                                                              int vocabulary) {
    const i64 count = (i64)step.samples() * columns;
    const int t = threadIdx.x;
    for (i64 i = blockIdx.x * 512 + t; i < count; i += (i64)gridDim.x * 512) {
        const float v = part[i];
        const i64 at = i / columns * vocabulary + from + i % columns;
        for (int q = 0; q < p.ranks; q++) ((float*)(p.mailbox[q] + p.logits))[at] = v;
    }
    __syncthreads();
    if (t < p.ranks && t != p.rank) {
        storeReleaseSystem(p.gathered(t, p.rank, blockIdx.x), p.serial(step));
        await(p, p.gathered(p.rank, t, blockIdx.x), p.serial(step), t);
    }
}
