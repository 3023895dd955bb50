// Attention over the paged key/value cache, with tensor cores and an online softmax.
//
// Queries of one key/value head are flattened: query f of a row is head f % group of token f / group, so that the heads
// that share keys share their loads. A tile of 64 keys lies in shared memory, the next one on its way.
//   prefillAttention: 64 queries a block, 16 a warp; every warp sees every key.
//   decodeAttention:  at most 16 queries a row; the warps part each tile's keys, blocks part the context, and
//                     mergeAttention joins the parts by their log-sum-exp.
#include "common.cuh"

constexpr int KEYS = 64, THREADS = 128;

struct Cache {
    const bf16 *keys, *values;  // [block, kv head, position in block, head size] of one layer
    const int* table;           // [slot, maxBlocks]
    int maxBlocks, blockSize, heads, kvHeads;
};

template <int HD>
struct Tile {
    static constexpr int STRIDE = HD + 8;  // padded: ldmatrix meets all banks
    static constexpr int ELEMENTS = KEYS * STRIDE;
    static constexpr int BYTES = 4 * ELEMENTS * 2;  // keys and values, two of each
};

template <int HD>
FORCE void loadTile(const Cache& cache, const int* blocks, int kv, int firstKey, int length, bf16* k, bf16* v) {
    for (int i = threadIdx.x; i < KEYS * HD / 8; i += THREADS) {
        const int j = i / (HD / 8), d = i % (HD / 8) * 8, key = firstKey + j;
        const bool valid = key < length;
        const int block = valid ? blocks[key / cache.blockSize] : 0;
        const i64 at = (((i64)block * cache.kvHeads + kv) * cache.blockSize + key % cache.blockSize) * HD + d;
        copyAsync(shared(k + j * Tile<HD>::STRIDE + d), cache.keys + (valid ? at : 0), valid);
        copyAsync(shared(v + j * Tile<HD>::STRIDE + d), cache.values + (valid ? at : 0), valid);
    }
    copyCommit();
}

// A warp's 16 queries as fragments of A.
template <int HD>
FORCE void loadQueries(u32 (&a)[HD / 16][4], const bf16* q, const Cache& cache, int offset, int kv, int first, int count) {
    const int lane = threadIdx.x % 32, g = lane / 4, c = lane % 4 * 2, group = cache.heads / cache.kvHeads;
#pragma unroll
    for (int h = 0; h < 2; h++) {
        const int f = first + g + 8 * h;
        const bool valid = f < count * group;
        const bf16* row = q + ((i64)(offset + (valid ? f / group : 0)) * cache.heads + kv * group + (valid ? f % group : 0)) * HD;
#pragma unroll
        for (int k = 0; k < HD / 16; k++) {
            a[k][h] = valid ? *(const u32*)(row + k * 16 + c) : 0;
            a[k][h + 2] = valid ? *(const u32*)(row + k * 16 + 8 + c) : 0;
        }
    }
}

// One online-softmax step of a warp: its 16 queries against N * 8 keys at row `keyRow` of the tile.
// `limit[h]`: first key that query row g + 8 h must not see.
template <int HD, int N>
FORCE void attend(const u32 (&a)[HD / 16][4], const bf16* k, const bf16* v, int keyRow, int firstKey, const int (&limit)[2],
                  float scale, float (&m)[2], float (&l)[2], float (&o)[HD / 8][4]) {
    constexpr int STRIDE = Tile<HD>::STRIDE;
    const int lane = threadIdx.x % 32, matrix = lane / 8, r = lane % 8, c = lane % 4 * 2;
    float s[N][4] = {};
#pragma unroll
    for (int kk = 0; kk < HD / 32; kk++) {
#pragma unroll
        for (int n = 0; n < N; n++) {
            u32 b[4];
            ldmatrix(b, shared(k + (keyRow + n * 8 + r) * STRIDE + kk * 32 + matrix * 8));
            mma(s[n], a[2 * kk][0], a[2 * kk][1], a[2 * kk][2], a[2 * kk][3], b[0], b[1]);
            mma(s[n], a[2 * kk + 1][0], a[2 * kk + 1][1], a[2 * kk + 1][2], a[2 * kk + 1][3], b[2], b[3]);
        }
    }
    float top[2] = {m[0], m[1]};
#pragma unroll
    for (int n = 0; n < N; n++) {
#pragma unroll
        for (int e = 0; e < 4; e++) {
            const int key = firstKey + keyRow + n * 8 + c + (e & 1);
            s[n][e] = key < limit[e / 2] ? s[n][e] * scale : NEG_INF;
            top[e / 2] = fmaxf(top[e / 2], s[n][e]);
        }
    }
#pragma unroll
    for (int h = 0; h < 2; h++) {
        top[h] = fmaxf(top[h], __shfl_xor_sync(~0u, top[h], 1));
        top[h] = fmaxf(top[h], __shfl_xor_sync(~0u, top[h], 2));
        // A query that has seen no key yet keeps weight 0, without a NaN.
        const float base = top[h] == NEG_INF ? 0.f : top[h], shrink = exp2f(m[h] - base);
        m[h] = top[h];
        l[h] *= shrink;
        top[h] = base;
#pragma unroll
        for (int n = 0; n < HD / 8; n++) {
            o[n][2 * h] *= shrink;
            o[n][2 * h + 1] *= shrink;
        }
    }
#pragma unroll
    for (int n = 0; n < N; n++) {
#pragma unroll
        for (int e = 0; e < 4; e++) {
            s[n][e] = exp2f(s[n][e] - top[e / 2]);
            l[e / 2] += s[n][e];
        }
    }
#pragma unroll
    for (int kk = 0; kk < N / 2; kk++) {
        const u32 p0 = pack(s[2 * kk][0], s[2 * kk][1]), p1 = pack(s[2 * kk][2], s[2 * kk][3]);
        const u32 p2 = pack(s[2 * kk + 1][0], s[2 * kk + 1][1]), p3 = pack(s[2 * kk + 1][2], s[2 * kk + 1][3]);
#pragma unroll
        for (int n = 0; n < HD / 8; n += 2) {
            u32 b[4];
            ldmatrixTransposed(b, shared(v + (keyRow + kk * 16 + matrix % 2 * 8 + r) * STRIDE + (n + matrix / 2) * 8));
            mma(o[n], p0, p1, p2, p3, b[0], b[1]);
            mma(o[n + 1], p0, p1, p2, p3, b[2], b[3]);
        }
    }
}

FORCE float quadSum(float v) {
    v += __shfl_xor_sync(~0u, v, 1);
    return v + __shfl_xor_sync(~0u, v, 2);
}

template <int HD>
FORCE void prefill(const Step& step, const Cache& cache, const bf16* q, bf16* out, float scale) {
    extern __shared__ __align__(128) u8 memory[];
    bf16* tiles = (bf16*)memory;
    constexpr int E = Tile<HD>::ELEMENTS;
    // The last tiles of a row see the most keys: they start first.
    const int item = step.prefillItems() - 1 - (int)blockIdx.x, kv = blockIdx.y;
    if (item < 0) return;
    const int row = step.prefillItem()[2 * item], first = step.prefillItem()[2 * item + 1];
    const int group = cache.heads / cache.kvHeads, count = step.rowCount()[row], start = step.rowStart()[row];
    const int offset = step.rowOffset()[row];
    const int* blocks = cache.table + (i64)step.rowSlot()[row] * cache.maxBlocks;
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, g = lane / 4, c = lane % 4 * 2;
    const int length = start + min(count - 1, (first + 63) / group) + 1;
    u32 a[HD / 16][4];
    loadQueries<HD>(a, q, cache, offset, kv, first + warp * 16, count);
    const int f0 = first + warp * 16 + g;
    const int limit[2] = {min(start + f0 / group + 1, length), min(start + (f0 + 8) / group + 1, length)};
    float m[2] = {NEG_INF, NEG_INF}, l[2] = {0, 0}, o[HD / 8][4] = {};
    const int n = (length + KEYS - 1) / KEYS;
    loadTile<HD>(cache, blocks, kv, 0, length, tiles, tiles + E);
    for (int t = 0; t < n; t++) {
        bf16 *k = tiles + t % 2 * 2 * E, *v = k + E;
        if (t + 1 < n) {
            bf16* next = tiles + (t + 1) % 2 * 2 * E;
            loadTile<HD>(cache, blocks, kv, (t + 1) * KEYS, length, next, next + E);
            copyWait<1>();
        } else {
            copyWait<0>();
        }
        __syncthreads();
        attend<HD, KEYS / 8>(a, k, v, 0, t * KEYS, limit, scale, m, l, o);
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

template <int HD>
FORCE void decode(const Step& step, const Cache& cache, const bf16* q, float* partial, float2* partialSums, float scale) {
    extern __shared__ __align__(128) u8 memory[];
    bf16* tiles = (bf16*)memory;
    constexpr int E = Tile<HD>::ELEMENTS;
    const int index = blockIdx.x, kv = blockIdx.y, split = blockIdx.z, splits = gridDim.z;
    if (index >= step.decodeRows()) return;
    const int row = step.decodeRow()[index], count = step.rowCount()[row], start = step.rowStart()[row];
    const int group = cache.heads / cache.kvHeads, length = start + count;
    const int* blocks = cache.table + (i64)step.rowSlot()[row] * cache.maxBlocks;
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, g = lane / 4, c = lane % 4 * 2;
    const int n = (length + KEYS - 1) / KEYS, each = (n + splits - 1) / splits;
    const int from = split * each, to = min(n, from + each);
    const i64 part = ((i64)index * cache.kvHeads + kv) * splits + split;
    if (from >= to) {
        if (threadIdx.x < 16) partialSums[part * 16 + threadIdx.x] = make_float2(NEG_INF, 0.f);
        return;
    }
    u32 a[HD / 16][4];
    loadQueries<HD>(a, q, cache, step.rowOffset()[row], kv, 0, count);
    const int limit[2] = {min(start + g / group + 1, length), min(start + (g + 8) / group + 1, length)};
    float m[2] = {NEG_INF, NEG_INF}, l[2] = {0, 0}, o[HD / 8][4] = {};
    loadTile<HD>(cache, blocks, kv, from * KEYS, length, tiles, tiles + E);
    for (int t = from; t < to; t++) {
        bf16 *k = tiles + (t - from) % 2 * 2 * E, *v = k + E;
        if (t + 1 < to) {
            bf16* next = tiles + (t + 1 - from) % 2 * 2 * E;
            loadTile<HD>(cache, blocks, kv, (t + 1) * KEYS, length, next, next + E);
            copyWait<1>();
        } else {
            copyWait<0>();
        }
        __syncthreads();
        attend<HD, 2>(a, k, v, warp * 16, t * KEYS, limit, scale, m, l, o);
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
    for (int i = threadIdx.x; i < 16 * HD; i += THREADS) {
        const int r = i / HD, d = i % HD;
        float top = NEG_INF;
#pragma unroll
        for (int w = 0; w < 4; w++) top = fmaxf(top, ml[w * 16 + r].x);
        const float base = top == NEG_INF ? 0.f : top;
        float total = 0, value = 0;
#pragma unroll
        for (int w = 0; w < 4; w++) {
            const float e = exp2f(ml[w * 16 + r].x - base);
            total += ml[w * 16 + r].y * e;
            value += sums[(w * 16 + r) * HD + d] * e;
        }
        partial[(part * 16 + r) * HD + d] = value;
        if (d == 0) partialSums[part * 16 + r] = make_float2(top, total);
    }
}

// grid: (tiles of 64 queries, kv heads). `scale` includes log2(e).
extern "C" __global__ void __launch_bounds__(THREADS) prefillAttention64(Step step, Cache cache, const bf16* q, bf16* out, float scale) { prefill<64>(step, cache, q, out, scale); }
extern "C" __global__ void __launch_bounds__(THREADS) prefillAttention128(Step step, Cache cache, const bf16* q, bf16* out, float scale) { prefill<128>(step, cache, q, out, scale); }

// grid: (rows, kv heads, splits); partial: [row, kv head, split, 16, head size], partialSums beside it (maximum, sum).
extern "C" __global__ void __launch_bounds__(THREADS) decodeAttention64(Step step, Cache cache, const bf16* q, float* partial, float2* partialSums, float scale) { decode<64>(step, cache, q, partial, partialSums, scale); }
extern "C" __global__ void __launch_bounds__(THREADS) decodeAttention128(Step step, Cache cache, const bf16* q, float* partial, float2* partialSums, float scale) { decode<128>(step, cache, q, partial, partialSums, scale); }

// grid: (rows, kv heads); out: [token, head, head size].
extern "C" __global__ void mergeAttention(Step step, const float* partial, const float2* partialSums, int splits, int heads,
                                          int kvHeads, int headSize, bf16* out) {
    const int index = blockIdx.x, kv = blockIdx.y, group = heads / kvHeads;
    if (index >= step.decodeRows()) return;
    const int row = step.decodeRow()[index], count = step.rowCount()[row], offset = step.rowOffset()[row];
    const i64 part = ((i64)index * kvHeads + kv) * splits;
    for (int i = threadIdx.x; i < count * group * headSize; i += blockDim.x) {
        const int f = i / headSize, d = i % headSize;
        float top = NEG_INF;
        for (int s = 0; s < splits; s++) top = fmaxf(top, partialSums[(part + s) * 16 + f].x);
        float total = 0, value = 0;
        for (int s = 0; s < splits; s++) {
            const float2 ml = partialSums[(part + s) * 16 + f];
            if (ml.x == NEG_INF) continue;
            const float e = exp2f(ml.x - top);
            total += ml.y * e;
            value += partial[((part + s) * 16 + f) * headSize + d] * e;
        }
        out[((i64)(offset + f / group) * heads + kv * group + f % group) * headSize + d] = toBf16(value / total);
    }
}
