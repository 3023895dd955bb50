// Attention over the paged key/value cache, with tensor cores and an online softmax.
//
// Queries of one key/value head are flattened: query f of a row is head f % group of token f / group, so that the heads
// that share keys share their loads. A tile of 64 keys lies in shared memory, the next one on its way. Keys and values that are
// e4m3 in the cache become bf16 there.
//   prefillAttention: 64 queries a block, 16 a warp; every warp sees every key.
//   decodeAttention:  at most 16 queries a row; the warps part each tile's keys, blocks part a long context, and the last of
//                     them joins the parts by their log-sum-exp.
#include "attention.cuh"

constexpr int THREADS = 128;

template <int HD, bool EIGHTS>
FORCE void prefill(const Step& step, const Cache& cache, const bf16* q, bf16* out, float scale) {
    dependentsLaunch();
    extern __shared__ __align__(128) u8 memory[];
    // The last tiles see the most keys: they start first.
    const int item = step.prefillItems() - 1 - (int)blockIdx.x, kv = blockIdx.y;
    if (item < 0) return dependencyWait();
    const int row = step.prefillItem()[2 * item], first = step.prefillItem()[2 * item + 1];
    const int group = cache.heads / cache.kvHeads, count = step.rowCount()[row], start = step.rowStart()[row];
    const int offset = step.rowOffset()[row];
    const int* blocks = cache.table + (i64)step.rowSlot()[row] * cache.maxBlocks;
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, g = lane / 4, c = lane % 4 * 2;
    const int length = start + min(count - 1, (first + 63) / group) + 1;
    dependencyWait();
    u32 a[HD / 16][4];
    loadQueries<HD>(a, q, cache, offset, kv, first + warp * 16, count);
    const int f0 = first + warp * 16 + g;
    const int limit[2] = {min(start + f0 / group + 1, length), min(start + (f0 + 8) / group + 1, length)};
    float m[2] = {NEG_INF, NEG_INF}, l[2] = {0, 0}, o[HD / 8][4] = {};
    const int n = (length + KEYS - 1) / KEYS;
    const Tiles<HD, EIGHTS> tiles{cache, blocks, memory, kv, length, THREADS};
    tiles.begin(0, 0);
    for (int t = 0; t < n; t++) {
        const bf16* k = tiles.take(t, t, t + 1 < n);
        attend<HD, KEYS / 8>(a, k, k + Tile<HD>::ELEMENTS, 0, t * KEYS, limit, scale, m, l, o);
        __syncthreads();
    }
#pragma unroll
    for (int h = 0; h < 2; h++) {
        const float inverse = 1.f / quadSum(l[h]);
        const int f = f0 + 8 * h;
        if (f < count * group) {
            bf16* to = out + ((i64)(offset + f / group) * cache.heads + kv * group + f % group) * HD + c;
#pragma unroll
            for (int d = 0; d < HD / 8; d++) *(u32*)(to + d * 8) = pack(o[d][2 * h] * inverse, o[d][2 * h + 1] * inverse);
        }
    }
}

// Tiles of a part of a context of n tiles. Few rows are parted to fill the device; with many, parts would only be work for
// whoever joins them.
FORCE int tilesAPart(int n, int splits, int items) { return max((n + splits - 1) / splits, min(8, 1 + items / 64)); }

struct Parts {
    float* values;  // [row, kv head, split, 16, head size]
    float2* sums;   // beside them: maximum and sum
    int* arrived;   // [row, kv head]: parts that are there, 0 between steps
};

template <int HD, bool EIGHTS>
FORCE void decode(const Step& step, const Cache& cache, const bf16* q, const Parts& parts, bf16* out, float scale) {
    dependentsLaunch();
    extern __shared__ __align__(128) u8 memory[];
    const int index = blockIdx.x, kv = blockIdx.y, split = blockIdx.z, splits = gridDim.z;
    if (index >= step.decodeRows()) return dependencyWait();
    const int row = step.decodeRow()[index], count = step.rowCount()[row], start = step.rowStart()[row];
    const int group = cache.heads / cache.kvHeads, length = start + count;
    const int* blocks = cache.table + (i64)step.rowSlot()[row] * cache.maxBlocks;
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, g = lane / 4, c = lane % 4 * 2;
    const int n = (length + KEYS - 1) / KEYS, each = tilesAPart(n, splits, step.decodeRows() * cache.kvHeads);
    const int from = split * each, to = min(n, from + each);
    const i64 part = ((i64)index * cache.kvHeads + kv) * splits + split;
    if (from >= to) return dependencyWait();
    const int offset = step.rowOffset()[row];
    // Keys and values of earlier steps are there already.
    const bool known = (from + 1) * KEYS <= start;
    const Tiles<HD, EIGHTS> tiles{cache, blocks, memory, kv, length, THREADS};
    if (known) tiles.begin(from, 0);
    dependencyWait();
    if (!known) tiles.begin(from, 0);
    u32 a[HD / 16][4];
    loadQueries<HD>(a, q, cache, offset, kv, 0, count);
    const int limit[2] = {min(start + g / group + 1, length), min(start + (g + 8) / group + 1, length)};
    float m[2] = {NEG_INF, NEG_INF}, l[2] = {0, 0}, o[HD / 8][4] = {};
    for (int t = from; t < to; t++) {
        const bf16* k = tiles.take(t, t - from, t + 1 < to);
        attend<HD, 2>(a, k, k + Tile<HD>::ELEMENTS, warp * 16, t * KEYS, limit, scale, m, l, o);
        __syncthreads();
    }
    // Join the four warps in shared memory.
    float* sums = (float*)memory;            // [4][16][HD]
    float2* ml = (float2*)(sums + 64 * HD);  // [4][16]
#pragma unroll
    for (int h = 0; h < 2; h++) {
        const float total = quadSum(l[h]);
        const int r = g + 8 * h;
        if (lane % 4 == 0) ml[warp * 16 + r] = make_float2(m[h], total);
#pragma unroll
        for (int d = 0; d < HD / 8; d++)
            *(float2*)(sums + (warp * 16 + r) * HD + d * 8 + c) = make_float2(o[d][2 * h], o[d][2 * h + 1]);
    }
    __syncthreads();
    const bool whole = each >= n;
    bf16* answer = out + ((i64)offset * cache.heads + kv * group) * HD;
    const auto place = [&](int r, int d) { return ((i64)(r / group) * cache.heads + r % group) * HD + d; };
    for (int i = threadIdx.x; i < count * group * HD; i += THREADS) {
        const int r = i / HD, d = i % HD;
        float top = NEG_INF;
#pragma unroll
        for (int w = 0; w < 4; w++) top = fmaxf(top, ml[w * 16 + r].x);
        const float base = top == NEG_INF ? 0.f : top;
        float total = 0, value = 0;
#pragma unroll
        for (int w = 0; w < 4; w++) {
            const float e = power2(ml[w * 16 + r].x - base);
            total += ml[w * 16 + r].y * e;
            value += sums[(w * 16 + r) * HD + d] * e;
        }
        if (whole) {
            answer[place(r, d)] = toBf16(value / total);
        } else {
            parts.values[(part * 16 + r) * HD + d] = value;
            if (d == 0) parts.sums[part * 16 + r] = make_float2(top, total);
        }
    }
    if (whole) return;
    __shared__ bool last;
    const int used = (n + each - 1) / each;
    int* arrived = parts.arrived + index * cache.kvHeads + kv;
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0) {
        last = atomicAdd(arrived, 1) == used - 1;
        if (last) *arrived = 0;
    }
    __syncthreads();
    if (!last) return;
    __threadfence();
    const i64 firstPart = part - split;
    for (int i = threadIdx.x; i < count * group * HD; i += THREADS) {
        const int r = i / HD, d = i % HD;
        float top = NEG_INF;
        for (int s = 0; s < used; s++) top = fmaxf(top, __ldcg(&parts.sums[(firstPart + s) * 16 + r]).x);
        float total = 0, value = 0;
        for (int s = 0; s < used; s++) {
            const float2 ml = __ldcg(&parts.sums[(firstPart + s) * 16 + r]);
            if (ml.x == NEG_INF) continue;
            const float e = power2(ml.x - top);
            total += ml.y * e;
            value += __ldcg(&parts.values[((firstPart + s) * 16 + r) * HD + d]) * e;
        }
        answer[place(r, d)] = toBf16(value / total);
    }
}

// grid: (tiles of 64 queries, kv heads). `scale` includes log2(e). Names end in what keys and values are.
#define PREFILL(NAME, HD, EIGHTS) \
    extern "C" __global__ void __launch_bounds__(THREADS) NAME(Step step, Cache cache, const bf16* q, bf16* out, float scale) { prefill<HD, EIGHTS>(step, cache, q, out, scale); }
PREFILL(prefillAttention64, 64, false)
PREFILL(prefillAttention128, 128, false)
PREFILL(prefillAttention64Fp8, 64, true)
PREFILL(prefillAttention128Fp8, 128, true)

// grid: (rows, kv heads, splits at most); out: [token, head, head size].
#define DECODE(NAME, HD, EIGHTS) \
    extern "C" __global__ void __launch_bounds__(THREADS) NAME(Step step, Cache cache, const bf16* q, Parts parts, bf16* out, float scale) { decode<HD, EIGHTS>(step, cache, q, parts, out, scale); }
DECODE(decodeAttention64, 64, false)
DECODE(decodeAttention128, 128, false)
DECODE(decodeAttention64Fp8, 64, true)
DECODE(decodeAttention128Fp8, 128, true)
