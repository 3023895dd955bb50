// Sums and gathering of tensor-parallel ranks as kernels of their own; in a decode step of one kernel they are part of it.
#include "peers.cuh"

// residual += the sum of all ranks' parts, for few values.
extern "C" __global__ void __launch_bounds__(256) sumSmall(Step step, Peers p, int index, float* residual, int hidden) {
    const int pairs = step.tokens() * hidden / 2, i = blockIdx.x * 256 + threadIdx.x;
    if (i >= pairs) return;
    const float2 mine = ((const float2*)p.part(p.rank, index))[i];
    float2* out = (float2*)residual + i;
    const float2 before = *out, sum = sumOverRanks(p, p.sequence(step, index), index, i, mine);
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
