// targets: sm_90a
// A whole decode step of a few sequences as one persistent kernel, put together from a model's description: a list of
// phases, with one barrier over the grid between two of them.
//
// In each block a producer warp streams the block's share of every weight, in order, into a ring in shared memory by bulk
// copies. Weights do not depend on activations, so it never waits for the grid: the ring fills while blocks meet at a
// barrier. Few bytes are in flight, the rest of the ring has landed; a deep queue in the memory system would delay the
// loads of activations. Consumer warps take units of 16 rows by UNIT columns through tensor cores.
//
// Weights are row-major, as the library's products want them: a unit is 16 copies, one a row. Odd rows lie 64 bytes
// further, so that a warp's 16-byte reads of two rows meet all banks.
#include "attention.cuh"

constexpr int WARPS = 10, THREADS = WARPS * 32;
constexpr int UNIT = 512, PAIR = 4 * UNIT + 64, SLOT = 8 * PAIR;  // columns, bytes of two rows, bytes of a unit
constexpr int SUMS = 256;                                        // units whose sums wait at once, with one vector
constexpr int NORM = 8;                                          // quads of a vector that a thread normalises
constexpr u64 DEADLINE = 4000000000ull;                          // nanoseconds that a block waits for the others

enum { QKV, ATTENTION, OUTPUT, GATE_UP, DOWN, LOGITS };

// As DecodePhases.java writes it.
struct Phase {
    int type, rows, columns, layer;
    const bf16* weights;
    const float* vector;  // norm weights before the product, or the bias behind it (of attention's inputs)
};

struct Decode {
    const Phase* phases;
    const bf16* embedding;
    const int* last;
    float *residual, *qkv;  // [vectors, ...]; qkv is zero between steps
    bf16 *attended, *activated;
    float *logits, *parts;
    float2* partSums;
    u32 *arrivals, *barrier;  // arrivals: [vectors, kv heads]; barrier: two; all zero between steps
    const float2* rope;
    bf16 *keys, *values;
    const int* table;
    i64 cacheLayer;  // elements
    int count, maxBlocks, blockSize, heads, kvHeads, hidden, vocabulary, interleaved, slots, depth;
    int widest, vectorBytes;  // elements of the longest vector; shared memory for vectors, or for a tile of keys and values
    float epsilon, scale;
};

FORCE void barrierInit(u64* b, int n) { asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared(b)), "r"(n)); }
FORCE void barrierExpect(u64* b, int bytes) {
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared(b)), "r"(bytes) : "memory");
}
FORCE void barrierArrive(u64* b) { asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared(b)) : "memory"); }
FORCE void barrierWait(u64* b, int parity) {
    u32 done;
    do {
        asm volatile(
            "{\n.reg .pred p;\nmbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\nselp.u32 %0, 1, 0, p;\n}"
            : "=r"(done)
            : "r"(shared(b)), "r"(parity)
            : "memory");
    } while (!done);
}
FORCE void bulkCopy(u32 to, const void* from, int bytes, u64* b, u64 policy) {
    asm volatile(
        "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.L2::cache_hint [%0], [%1], %2, [%3], %4;" ::"r"(to),
        "l"(from), "r"(bytes), "r"(shared(b)), "l"(policy)
        : "memory");
}
FORCE void consumersSync() { asm volatile("bar.sync 1, %0;" ::"n"(THREADS) : "memory"); }
FORCE u32 loadAcquire(const u32* p) {
    u32 v;
    asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(v) : "l"(p) : "memory");
    return v;
}
FORCE void addRelease(u32* p) { asm volatile("fence.acq_rel.gpu;\nred.relaxed.gpu.global.add.u32 [%0], 1;" ::"l"(p) : "memory"); }
FORCE u64 nanoseconds() {
    u64 t;
    asm volatile("mov.u64 %0, %globaltimer;" : "=l"(t));
    return t;
}

// Waits until the counter has come so far. A block that never comes ends the context, not this loop's life.
FORCE void awaitGrid(const u32* counter, u32 target) {
    u64 began = 0;
    for (u32 i = 1; loadAcquire(counter) < target; i++) {
        if (i % 65536 == 0) {
            const u64 now = nanoseconds();
            if (began == 0) began = now;
            if (now - began > DEADLINE) __trap();
        }
    }
}

// A block's units of a phase: whole tiles of 16 rows where the result needs whole rows, any run of units where parts are
// added up.
FORCE void share(const Phase& p, int b, int grid, int& from, int& to) {
    const int chunks = (p.columns + UNIT - 1) / UNIT, tiles = (p.rows + 15) / 16;
    if (p.type == GATE_UP || p.type == LOGITS) {
        from = (int)((i64)tiles * b / grid) * chunks;
        to = (int)((i64)tiles * (b + 1) / grid) * chunks;
    } else {
        const i64 all = (i64)tiles * chunks;
        from = (int)(all * b / grid);
        to = (int)(all * (b + 1) / grid);
    }
}

FORCE bool skipped(const Phase& p, int samples) { return p.type == LOGITS && samples == 0; }

FORCE void produce(const Decode& a, int samples, u8* ring, u64* full, u64* empty) {
    const int lane = threadIdx.x % 32;
    u64 policy;
    asm volatile("createpolicy.fractional.L2::evict_first.b64 %0, 1.0;" : "=l"(policy));
    const u32 row = (lane / 2) * PAIR + lane % 2 * (2 * UNIT + 64);
    int slot = 0, parity = 1, old = 0, oldParity = 0, asked = 0;
    for (int i = 0; i < a.count; i++) {
        const Phase p = a.phases[i];
        if (p.type == ATTENTION || skipped(p, samples)) continue;
        int from, to;
        share(p, blockIdx.x, gridDim.x, from, to);
        const int chunks = (p.columns + UNIT - 1) / UNIT;
        int tile = from / chunks, chunk = from % chunks;
        for (int u = from; u < to; u++) {
            if (asked >= a.depth) {
                if (lane == 0) barrierWait(full + old, oldParity);
                if (++old == a.slots) {
                    old = 0;
                    oldParity ^= 1;
                }
            } else {
                asked++;
            }
            const int columns = min(UNIT, p.columns - chunk * UNIT);
            if (lane == 0) {
                barrierWait(empty + slot, parity);
                barrierExpect(full + slot, 32 * columns);
            }
            __syncwarp();
            if (lane < 16) {
                // Rows past the end are the last one once more.
                const bf16* source = p.weights + (i64)min(tile * 16 + lane, p.rows - 1) * p.columns + chunk * UNIT;
                bulkCopy(shared(ring) + slot * SLOT + row, source, 2 * columns, full + slot, policy);
            }
            if (++chunk == chunks) {
                chunk = 0;
                tile++;
            }
            if (++slot == a.slots) {
                slot = 0;
                parity ^= 1;
            }
        }
    }
}

// 16 rows times up to eight vectors (the V vectors over and over): out[row][vector].
template <int V>
FORCE void multiplyUnit(const u8* unit, const bf16* x, int pitch, int columns, float* out) {
    const int lane = threadIdx.x % 32, g = lane / 4, q = lane % 4;
    const uint4* low = (const uint4*)(unit + g / 2 * PAIR + g % 2 * (2 * UNIT + 64)) + q;
    const uint4* high = (const uint4*)((const u8*)low + 4 * PAIR);
    const uint4* vector = (const uint4*)(x + g % V * pitch) + q;
    float c[2][4] = {};
    const int steps = columns / 32;
    if (steps == UNIT / 32) {
#pragma unroll 8
        for (int s = 0; s < UNIT / 32; s++) {
            const uint4 a = low[s * 4], b = high[s * 4], v = vector[s * 4];
            mma(c[0], a.x, b.x, a.y, b.y, v.x, v.y);
            mma(c[1], a.z, b.z, a.w, b.w, v.z, v.w);
        }
    } else {
        for (int s = 0; s < steps; s++) {
            const uint4 a = low[s * 4], b = high[s * 4], v = vector[s * 4];
            mma(c[0], a.x, b.x, a.y, b.y, v.x, v.y);
            mma(c[1], a.z, b.z, a.w, b.w, v.z, v.w);
        }
    }
#pragma unroll
    for (int e = 0; e < 2; e++) {
        if (2 * q + e < V) {
            out[g * V + 2 * q + e] = c[0][e] + c[1][e];
            out[(g + 8) * V + 2 * q + e] = c[0][e + 2] + c[1][e + 2];
        }
    }
}

// Residual sums (or, before the first layer, embeddings) to normed vectors in shared memory.
template <int V>
FORCE void normalise(const Decode& a, const Step& step, const Phase& p, bool first, int vectors, const float4 (&weight)[NORM],
                     bf16* x, int pitch, float* scratch) {
    const int t = threadIdx.x;
    for (int v = 0; v < vectors; v++) {
        const int token = p.type == LOGITS ? step.sampleToken()[v] : v;
        const float4* in = (const float4*)(a.residual + (i64)token * a.hidden);
        const bf16* row = nullptr;
        if (first) {
            int id = step.tokenId()[v];
            if (id < 0) id = a.last[step.tokenSlot()[v]];
            row = a.embedding + (i64)id * a.hidden;
        }
        float4 value[NORM];
        float s = 0;
#pragma unroll
        for (int i = 0; i < NORM; i++) {
            const int j = t + i * THREADS;
            value[i] = make_float4(0, 0, 0, 0);
            if (j < a.hidden / 4) {
                if (first) {
                    const uint2 e = ((const uint2*)row)[j];
                    value[i] = make_float4(lowFloat(e.x), highFloat(e.x), lowFloat(e.y), highFloat(e.y));
                    if (blockIdx.x == 0) __stcg((float4*)(a.residual + (i64)v * a.hidden) + j, value[i]);
                } else {
                    value[i] = __ldcg(in + j);
                }
            }
            s += value[i].x * value[i].x + value[i].y * value[i].y + value[i].z * value[i].z + value[i].w * value[i].w;
        }
        s = warpSum(s);
        if (t % 32 == 0) scratch[t / 32] = s;
        consumersSync();
        s = 0;
#pragma unroll
        for (int i = 0; i < WARPS; i++) s += scratch[i];
        const float r = rsqrtf(s / (float)a.hidden + a.epsilon);
#pragma unroll
        for (int i = 0; i < NORM; i++) {
            const int j = t + i * THREADS;
            if (j < a.hidden / 4) {
                const float4 n = value[i], w = weight[i];
                ((uint2*)(x + v * pitch))[j] = make_uint2(pack(n.x * r * w.x, n.y * r * w.y), pack(n.z * r * w.z, n.w * r * w.w));
            }
        }
        consumersSync();
    }
}

// bf16 vectors to shared memory.
FORCE void bring(const bf16* from, int columns, int vectors, bf16* x, int pitch) {
    for (int v = 0; v < vectors; v++)
        for (int i = threadIdx.x; i < columns / 8; i += THREADS)
            ((uint4*)(x + v * pitch))[i] = __ldcg((const uint4*)(from + (i64)v * columns) + i);
}

FORCE float2 rotated(float x, float y, float2 f) { return make_float2(x * f.x - y * f.y, y * f.x + x * f.y); }

// One row's queries of one key/value head against a part of its context; the last block to finish a row's head joins the
// parts. `work`: shared memory of a tile; `small`: of 16 queries and a little.
template <int HD>
FORCE void attendParts(const Decode& a, const Step& step, const Phase& p, int vectors, bf16* work, bf16* small) {
    const int t = threadIdx.x, warp = t / 32, lane = t % 32, group = a.heads / a.kvHeads, half = HD / 2;
    const int most = max(1, (int)gridDim.x / (vectors * a.kvHeads));  // parts of a row's context
    int* isLast = (int*)(small + 16 * Tile<HD>::STRIDE);
    for (int item = blockIdx.x; item < vectors * a.kvHeads * most; item += gridDim.x) {
        const int row = item / (a.kvHeads * most), kv = item / most % a.kvHeads, split = item % most;
        const int position = step.tokenPosition()[row], length = position + 1, slot = step.tokenSlot()[row];
        const int tiles = (length + KEYS - 1) / KEYS, each = (tiles + most - 1) / most, used = (tiles + each - 1) / each;
        const int from = split * each, to = min(tiles, from + each);
        if (from >= to) continue;
        const int* blocks = a.table + (i64)slot * a.maxBlocks;
        const Cache cache = {a.keys + p.layer * a.cacheLayer, a.values + p.layer * a.cacheLayer, a.table, a.maxBlocks, a.blockSize, a.heads, a.kvHeads};
        const float* qkv = a.qkv + (i64)row * p.rows;
        const float2* angle = a.rope + (i64)position * half;
        for (int i = t; i < 16 * half; i += THREADS) {
            const int h = i / half, pair = i % half, e = a.interleaved ? 2 * pair : pair, f = a.interleaved ? 2 * pair + 1 : pair + half;
            float2 v = make_float2(0, 0);
            if (h < group) {
                const int at = (kv * group + h) * HD;
                v = make_float2(__ldcg(qkv + at + e), __ldcg(qkv + at + f));
                if (p.vector) v = make_float2(v.x + p.vector[at + e], v.y + p.vector[at + f]);
                v = rotated(v.x, v.y, angle[pair]);
            }
            small[h * Tile<HD>::STRIDE + e] = toBf16(v.x);
            small[h * Tile<HD>::STRIDE + f] = toBf16(v.y);
        }
        if (to == tiles) {
            // The new key and value lie in this part.
            const i64 at = (((i64)blocks[position / a.blockSize] * a.kvHeads + kv) * a.blockSize + position % a.blockSize) * HD;
            for (int i = t; i < 2 * half; i += THREADS) {
                const bool isKey = i < half;
                const int pair = i % half, base = (a.heads + kv + (isKey ? 0 : a.kvHeads)) * HD;
                const int e = isKey && a.interleaved ? 2 * pair : pair, f = isKey && a.interleaved ? 2 * pair + 1 : pair + half;
                float2 v = make_float2(__ldcg(qkv + base + e), __ldcg(qkv + base + f));
                if (p.vector) v = make_float2(v.x + p.vector[base + e], v.y + p.vector[base + f]);
                if (isKey) v = rotated(v.x, v.y, angle[pair]);
                bf16* out = (bf16*)(isKey ? cache.keys : cache.values) + at;
                out[e] = toBf16(v.x);
                out[f] = toBf16(v.y);
            }
        }
        consumersSync();
        u32 q[HD / 16][4];
#pragma unroll
        for (int k = 0; k < HD / 16; k++) ldmatrix(q[k], shared(small + (lane % 16) * Tile<HD>::STRIDE + k * 16 + lane / 16 * 8));
        const int limit[2] = {length, length};
        float m[2] = {NEG_INF, NEG_INF}, l[2] = {0, 0}, o[HD / 8][4] = {};
        bf16 *k = work, *v = work + Tile<HD>::ELEMENTS;
        for (int tile = from; tile < to; tile++) {
            loadTile<HD>(cache, blocks, kv, tile * KEYS, length, k, v, THREADS);
            copyWait<0>();
            consumersSync();
            if (warp < 4) attend<HD, 2>(q, k, v, warp * 16, tile * KEYS, limit, a.scale, m, l, o);
            consumersSync();
        }
        float* sums = (float*)work;  // [4][16][HD]
        float2* ml = (float2*)(sums + 64 * HD);
        if (warp < 4) {
#pragma unroll
            for (int h = 0; h < 2; h++) {
                const float total = quadSum(l[h]);
                const int r = lane / 4 + 8 * h;
                if (lane % 4 == 0) ml[warp * 16 + r] = make_float2(m[h], total);
#pragma unroll
                for (int d = 0; d < HD / 8; d++) *(float2*)(sums + (warp * 16 + r) * HD + d * 8 + lane % 4 * 2) = make_float2(o[d][2 * h], o[d][2 * h + 1]);
            }
        }
        consumersSync();
        const i64 part = (i64)(row * a.kvHeads + kv) * most;
        bf16* out = a.attended + ((i64)row * a.heads + kv * group) * HD;
        for (int i = t; i < group * HD; i += THREADS) {
            const int r = i / HD, d = i % HD;
            float top = NEG_INF, total = 0, value = 0;
#pragma unroll
            for (int w = 0; w < 4; w++) top = fmaxf(top, ml[w * 16 + r].x);
#pragma unroll
            for (int w = 0; w < 4; w++) {
                const float e = exp2f(ml[w * 16 + r].x - top);
                total += ml[w * 16 + r].y * e;
                value += sums[(w * 16 + r) * HD + d] * e;
            }
            if (used == 1) {
                out[i] = toBf16(value / total);
            } else {
                __stcg(a.parts + ((part + split) * 16 + r) * HD + d, value);
                if (d == 0) __stcg(a.partSums + (part + split) * 16 + r, make_float2(top, total));
            }
        }
        if (used == 1) continue;
        consumersSync();
        if (t == 0) {
            u32* arrivals = a.arrivals + row * a.kvHeads + kv;
            asm volatile("fence.acq_rel.gpu;" ::: "memory");
            const u32 before = atomicAdd(arrivals, 1u);
            asm volatile("fence.acq_rel.gpu;" ::: "memory");
            *isLast = before == (u32)used - 1;
            if (*isLast) *arrivals = 0;
        }
        consumersSync();
        if (*isLast) {
            for (int i = t; i < group * HD; i += THREADS) {
                const int r = i / HD, d = i % HD;
                float top = NEG_INF, total = 0, value = 0;
                for (int s = 0; s < used; s++) {
                    const float2 ms = __ldcg(a.partSums + (part + s) * 16 + r);
                    const float partial = __ldcg(a.parts + ((part + s) * 16 + r) * HD + d);
                    const float higher = fmaxf(top, ms.x), shrink = exp2f(top - higher), e = exp2f(ms.x - higher);
                    total = total * shrink + ms.y * e;
                    value = value * shrink + partial * e;
                    top = higher;
                }
                out[i] = toBf16(value / total);
            }
        }
        consumersSync();
    }
}

// What becomes of the sums of a run of units.
template <int V>
FORCE void finish(const Decode& a, const Phase& p, int vectors, const float* sums, int from, int to, int chunks) {
    const int firstTile = from / chunks, tiles = (to + chunks - 1) / chunks - firstTile;
    if (p.type == GATE_UP) {
        for (int i = threadIdx.x; i < tiles * 8 * V; i += THREADS) {
            const int v = i % V, r = i / V % 8, tile = i / (8 * V);
            const float* s = sums + (i64)tile * chunks * 16 * V + r * V + v;
            float gate = 0, up = 0;
            for (int c = 0; c < chunks; c++) {
                gate += s[c * 16 * V];
                up += s[c * 16 * V + 8 * V];
            }
            if (v < vectors) a.activated[(i64)v * (p.rows / 2) + (firstTile + tile) * 8 + r] = toBf16(gate / (1.f + __expf(-gate)) * up);
        }
        return;
    }
    for (int i = threadIdx.x; i < tiles * 16 * V; i += THREADS) {
        const int v = i % V, r = i / V % 16, tile = firstTile + i / (16 * V), row = tile * 16 + r;
        const int first = max(tile * chunks, from), last = min(tile * chunks + chunks, to);
        float s = 0;
        for (int u = first; u < last; u++) s += sums[((u - from) * 16 + r) * V + v];
        if (v >= vectors || row >= p.rows) continue;
        if (p.type == LOGITS) {
            a.logits[(i64)v * a.vocabulary + row] = s;
        } else if (p.type == QKV) {
            atomicAdd(a.qkv + (i64)v * p.rows + row, s);
        } else {
            atomicAdd(a.residual + (i64)v * a.hidden + row, s);
        }
    }
}

template <int HD, int V>
FORCE void decodeStep(const Step& step, const Decode& a) {
    extern __shared__ __align__(128) u8 memory[];
    u8* ring = memory;
    bf16* x = (bf16*)(ring + a.slots * SLOT);
    const int pitch = a.widest + 32;
    float* sums = (float*)((u8*)x + a.vectorBytes);
    float* scratch = sums + SUMS * 16;
    u64* full = (u64*)(scratch + 32);
    u64* empty = full + a.slots;
    const int t = threadIdx.x, warp = t / 32, samples = step.samples(), tokens = step.tokens();
    if (t == 0) {
        for (int i = 0; i < a.slots; i++) {
            barrierInit(full + i, 1);
            barrierInit(empty + i, 1);
        }
        asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
    }
    __syncthreads();
    if (warp == WARPS) {
        produce(a, samples, ring, full, empty);
        return;
    }
    int slot = warp, parity = 0, next = warp;  // this warp's next unit, counted over all phases from `done`
    u32 met = 0;
    for (int i = 0; i < a.count; i++) {
        const Phase p = a.phases[i];
        if (skipped(p, samples)) continue;
        const bool normed = p.type == QKV || p.type == GATE_UP || p.type == LOGITS;
        float4 weight[NORM];
        if (normed) {
#pragma unroll
            for (int j = 0; j < NORM; j++)
                if (t + j * THREADS < a.hidden / 4) weight[j] = ((const float4*)p.vector)[t + j * THREADS];
        }
        if (i > 0) {
            if (t == 0) awaitGrid(a.barrier, met);
            consumersSync();
        }
        met += gridDim.x;
        const int vectors = p.type == LOGITS ? samples : tokens;
        if (p.type == ATTENTION) {
            attendParts<HD>(a, step, p, tokens, x, (bf16*)sums);
        } else {
            if (normed) {
                normalise<V>(a, step, p, i == 0, vectors, weight, x, pitch, scratch);
            } else {
                bring(p.type == OUTPUT ? a.attended : a.activated, p.columns, vectors, x, pitch);
                if (p.type == OUTPUT && blockIdx.x == gridDim.x - 1) {
                    // For the next layer's sums.
                    const int all = tokens * (a.heads + 2 * a.kvHeads) * HD;
                    for (int j = t; j < all; j += THREADS) __stcg(a.qkv + j, 0.f);
                }
                consumersSync();
            }
            const int chunks = (p.columns + UNIT - 1) / UNIT, most = SUMS / V / chunks * chunks;
            int from, to;
            share(p, blockIdx.x, gridDim.x, from, to);
            for (; from < to; from += most) {
                const int count = min(most, to - from);
                int chunk = (from + next) % chunks;
                for (; next < count; next += WARPS) {
                    barrierWait(full + slot, parity);
                    multiplyUnit<V>(ring + slot * SLOT, x + chunk * UNIT, pitch, min(UNIT, p.columns - chunk * UNIT), sums + next * 16 * V);
                    __syncwarp();
                    if (t % 32 == 0) barrierArrive(empty + slot);
                    for (chunk += WARPS; chunk >= chunks;) chunk -= chunks;
                    slot += WARPS;
                    if (slot >= a.slots) {
                        slot -= a.slots;
                        parity ^= 1;
                    }
                }
                next -= count;
                consumersSync();
                finish<V>(a, p, vectors, sums, from, from + count, chunks);
                consumersSync();
            }
        }
        consumersSync();
        if (t == 0) addRelease(a.barrier);
    }
    if (t == 0) {
        // The last block to leave makes the counters ready for the next step.
        if (atomicAdd(a.barrier + 1, 1u) == gridDim.x - 1) {
            a.barrier[0] = 0;
            a.barrier[1] = 0;
        }
    }
}

#define DECODE(HD, V)                                                                                                     \
    extern "C" __global__ void __launch_bounds__(THREADS + 32, 1) decode##HD##x##V(Step step, const __grid_constant__ Decode a) { \
        decodeStep<HD, V>(step, a);                                                                                       \
    }
DECODE(64, 1)
DECODE(64, 2)
DECODE(128, 1)
DECODE(128, 2)
