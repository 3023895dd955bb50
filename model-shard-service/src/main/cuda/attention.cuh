// A warp's share of attention: 16 queries against keys and values that lie in shared memory, with an online softmax.
//
// The 16-byte pieces of a key or value are permuted by its position, in the cache as in shared memory, so that ldmatrix meets
// all banks and bulk copies can bring whole blocks.
#pragma once
#include "common.cuh"

constexpr int KEYS = 64;  // of a tile

struct Cache {
    const void *keys, *values;  // [block, kv head, position in block, head size] of one layer, permuted: bf16, or e4m3
    const int* table;           // [slot, maxBlocks]
    int maxBlocks, blockSize, heads, kvHeads;
};

template <int HD>
struct Tile {
    static constexpr int ELEMENTS = KEYS * HD;
    static constexpr int BYTES = 4 * ELEMENTS * 2;  // keys and values, two of each
};

// Where element d of a position's key or value lies.
FORCE int swizzled(int d, int position) { return ((d >> 3 ^ (position & 7)) << 3) | (d & 7); }

// Elements are bf16, or bytes of e4m3. Tiles begin at multiples of 64, so that places in a tile are permuted as positions are.
template <int HD, class Element>
FORCE void loadTile(const Cache& cache, const int* blocks, int kv, int firstKey, int length, Element* k, Element* v, int threads) {
    constexpr int PIECE = 16 / sizeof(Element);
    for (int i = threadIdx.x; i < KEYS * HD / PIECE; i += threads) {
        const int j = i / (HD / PIECE), d = i % (HD / PIECE) * PIECE, key = firstKey + j;
        const bool valid = key < length;
        const int block = valid ? blocks[key / cache.blockSize] : 0;
        const i64 at = (((i64)block * cache.kvHeads + kv) * cache.blockSize + key % cache.blockSize) * HD + d;
        copyAsync(shared(k + j * HD + d), (const Element*)cache.keys + (valid ? at : 0), valid);
        copyAsync(shared(v + j * HD + d), (const Element*)cache.values + (valid ? at : 0), valid);
    }
    copyCommit();
}

// Makes of raw keys and values a tile of bf16, values behind keys. Pieces of 8 elements are permuted in both.
template <int HD>
FORCE void widen(const u8* raw, bf16* tile, int threads) {
    for (int i = threadIdx.x; i < 2 * KEYS * HD / 16; i += threads) {
        const uint4 v = ((const uint4*)raw)[i];
        uint4* to = (uint4*)tile + 2 * i;
        to[0] = make_uint4(wideFp8(v.x), wideFp8(v.x >> 16), wideFp8(v.y), wideFp8(v.y >> 16));
        to[1] = make_uint4(wideFp8(v.z), wideFp8(v.z >> 16), wideFp8(v.w), wideFp8(v.w >> 16));
    }
}

// Brings tiles of keys and values to shared memory, each while the one before is worked on.
template <int HD, bool EIGHTS>
struct Tiles {
    const Cache& cache;
    const int* blocks;
    u8* memory;
    int kv, length, threads;

    // bf16: two tiles, each keys and values. e4m3: a tile of bf16, behind it two of bytes.
    FORCE u8* raw(int turn) const { return memory + KEYS * HD * (4 + turn % 2 * 2); }
    FORCE bf16* tile(int turn) const { return (bf16*)memory + (EIGHTS ? 0 : turn % 2 * 2 * Tile<HD>::ELEMENTS); }

    FORCE void begin(int tileIndex, int turn) const {
        if constexpr (EIGHTS) {
            loadTile<HD>(cache, blocks, kv, tileIndex * KEYS, length, raw(turn), raw(turn) + Tile<HD>::ELEMENTS, threads);
        } else {
            loadTile<HD>(cache, blocks, kv, tileIndex * KEYS, length, tile(turn), tile(turn) + Tile<HD>::ELEMENTS, threads);
        }
    }
    // The tile of a turn, all of it there for all threads; the next one, if any, on its way. `__syncthreads()` must
    // stand between work on it and the next call.
    FORCE const bf16* take(int tileIndex, int turn, bool more) const {
        if (more) {
            begin(tileIndex + 1, turn + 1);
            copyWait<1>();
        } else {
            copyWait<0>();
        }
        __syncthreads();
        if constexpr (EIGHTS) {
            widen<HD>(raw(turn), tile(turn), threads);
            __syncthreads();
        }
        return tile(turn);
    }
};

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

// One online-softmax step of a warp's 16 queries: scores against N * 8 keys become weights, what was summed before shrinks.
// `keyOf` gives the position of a lane's score; `limit[h]`: first key that query row g + 8 h must not see.
template <int HD, int N, class KeyOf>
FORCE void softenScores(float (&s)[N][4], KeyOf keyOf, const int (&limit)[2], float scale, float (&m)[2], float (&l)[2], float (&o)[HD / 8][4]) {
    float top[2] = {m[0], m[1]};
#pragma unroll
    for (int n = 0; n < N; n++) {
#pragma unroll
        for (int e = 0; e < 4; e++) {
            s[n][e] = keyOf(n, e) < limit[e / 2] ? s[n][e] * scale : NEG_INF;
            top[e / 2] = fmaxf(top[e / 2], s[n][e]);
        }
    }
#pragma unroll
    for (int h = 0; h < 2; h++) {
        top[h] = fmaxf(top[h], __shfl_xor_sync(~0u, top[h], 1));
        top[h] = fmaxf(top[h], __shfl_xor_sync(~0u, top[h], 2));
        // A query that has seen no key yet keeps weight 0, without a NaN.
        const float base = top[h] == NEG_INF ? 0.f : top[h], shrink = power2(m[h] - base);
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
            s[n][e] = power2(s[n][e] - top[e / 2]);
            l[e / 2] += s[n][e];
        }
    }
}

// A warp's 16 queries against N * 8 keys at row `keyRow` of the tile; `limit` as above.
template <int HD, int N>
FORCE void attend(const u32 (&a)[HD / 16][4], const bf16* k, const bf16* v, int keyRow, int firstKey, const int (&limit)[2],
                  float scale, float (&m)[2], float (&l)[2], float (&o)[HD / 8][4]) {
    const int lane = threadIdx.x % 32, matrix = lane / 8, r = lane % 8, c = lane % 4 * 2;
    float s[N][4] = {};
#pragma unroll
    for (int kk = 0; kk < HD / 32; kk++) {
#pragma unroll
        for (int n = 0; n < N; n++) {
            u32 b[4];
            ldmatrix(b, shared(k + (keyRow + n * 8 + r) * HD + ((kk * 4 + matrix) ^ r) * 8));
            mma(s[n], a[2 * kk][0], a[2 * kk][1], a[2 * kk][2], a[2 * kk][3], b[0], b[1]);
            mma(s[n], a[2 * kk + 1][0], a[2 * kk + 1][1], a[2 * kk + 1][2], a[2 * kk + 1][3], b[2], b[3]);
        }
    }
    softenScores<HD, N>(s, [&](int n, int e) { return firstKey + keyRow + n * 8 + c + (e & 1); }, limit, scale, m, l, o);
#pragma unroll
    for (int kk = 0; kk < N / 2; kk++) {
        const u32 p0 = pack(s[2 * kk][0], s[2 * kk][1]), p1 = pack(s[2 * kk][2], s[2 * kk][3]);
        const u32 p2 = pack(s[2 * kk + 1][0], s[2 * kk + 1][1]), p3 = pack(s[2 * kk + 1][2], s[2 * kk + 1][3]);
#pragma unroll
        for (int n = 0; n < HD / 8; n += 2) {
            u32 b[4];
            ldmatrixTransposed(b, shared(v + (keyRow + kk * 16 + matrix % 2 * 8 + r) * HD + ((n + matrix / 2) ^ r) * 8));
            mma(o[n], p0, p1, p2, p3, b[0], b[1]);
            mma(o[n + 1], p0, p1, p2, p3, b[2], b[3]);
        }
    }
}

FORCE float quadSum(float v) {
    v += __shfl_xor_sync(~0u, v, 1);
    return v + __shfl_xor_sync(~0u, v, 2);
}

// Four elements, from column d on, of a query's parts, joined by their log-sum-exp in their order. `at` gives the row in which a
// part's sums and values lie. A thread that loads parts one by one waits for the memory as often as there are parts.
template <int HD, class At>
FORCE float4 joinParts(const float2* sums, const float* values, int used, int d, At at) {
    constexpr int ONCE = 8;
    float top = NEG_INF, total = 0, x = 0, y = 0, z = 0, w = 0;
#pragma unroll 1
    for (int s = 0; s < used; s += ONCE) {
        float2 theirs[ONCE];
        float4 value[ONCE];
#pragma unroll
        for (int k = 0; k < ONCE; k++) {
            const i64 row = at(min(s + k, used - 1));
            theirs[k] = __ldcg(sums + row);
            value[k] = __ldcg((const float4*)(values + row * HD + d));
        }
#pragma unroll
        for (int k = 0; k < ONCE; k++) {
            const float higher = fmaxf(top, theirs[k].x), base = higher == NEG_INF ? 0.f : higher;
            const float shrink = power2(top - base), e = s + k < used ? power2(theirs[k].x - base) : 0.f;
            total = total * shrink + theirs[k].y * e;
            x = x * shrink + value[k].x * e;
            y = y * shrink + value[k].y * e;
            z = z * shrink + value[k].z * e;
            w = w * shrink + value[k].w * e;
            top = higher;
        }
    }
    const float inverse = 1.f / total;
    return make_float4(x * inverse, y * inverse, z * inverse, w * inverse);
}
FORCE uint2 pack4(float4 v) { return make_uint2(pack(v.x, v.y), pack(v.z, v.w)); }
