// targets: sm_90a
// A whole decode step of a few sequences as one persistent kernel, put together from a model's description: a list of
// phases, with one barrier over the grid between two of them.
//
// In each block a producer warp streams the block's share of every weight, in order, into a ring in shared memory by bulk
// copies. Weights do not depend on activations, so it never waits for the grid: the ring fills while blocks meet at a
// barrier. Few bytes are in flight, the rest of the ring has landed; a deep queue in the memory system would delay the
// loads of activations. Consumer warps take units of 16 rows by UNIT columns through tensor cores.
//
// Weights are row-major, as the library's products want them. A slot of the ring holds two neighbouring units, for two
// warps: it is 16 copies, one a row, and the engine that copies starts one in about 45 ns whatever its size, so that copies
// of one unit's row, 1 KiB, would just not keep up with the memory. Odd rows lie 64 bytes further, so that a warp's 16-byte
// reads of two rows meet all banks.
#include "attention.cuh"

// As DecodeTiling.java has them; others can be tried by -D.
#ifndef TILING_WARPS
#define TILING_WARPS 10
#define TILING_UNIT 512
#define TILING_SUMS 256
#define TILING_BEYOND 4
#define TILING_JOINED 8
#endif
constexpr int WARPS = TILING_WARPS, THREADS = WARPS * 32, TEAMS = WARPS / 2;
constexpr int UNIT = TILING_UNIT;                         // columns
constexpr int ROW = 4 * UNIT, PAIR = 2 * ROW + 64, SLOT = 8 * PAIR;  // bytes of a row of a slot, of two rows, of a slot
constexpr int SUMS = TILING_SUMS;                         // units whose sums wait at once, with one vector
constexpr int NORM = 8;                                   // quads of a vector that a thread normalises
constexpr int PAIRS = 4;                                  // pairs of q, k and v elements that a thread rotates
constexpr int JOINED = TILING_JOINED;                                 // parts of a context that the output product joins itself
constexpr int BEYOND = TILING_BEYOND, PACE = 2000;         // slots that go to the second-level cache; cycles for each
constexpr u64 DEADLINE = 4000000000ull;                   // nanoseconds that a block waits for the others

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
    int ahead;                // slots in flight of a phase that the grid has not come to
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
FORCE bool barrierTest(u64* b, int parity) {
    u32 done;
    asm volatile(
        "{\n.reg .pred p;\nmbarrier.test_wait.parity.shared::cta.b64 p, [%1], %2;\nselp.u32 %0, 1, 0, p;\n}"
        : "=r"(done)
        : "r"(shared(b)), "r"(parity)
        : "memory");
    return done;
}
FORCE void bulkPrefetch(const void* from, int bytes) {
    asm volatile("cp.async.bulk.prefetch.L2.global [%0], %1;" ::"l"(from), "r"(bytes) : "memory");
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

// A run of units whose sums wait together, in slots: slot q of the run holds those of units 2j and 2j + 1 of a tile that are
// in the run. Producer and consumers walk the same runs.
struct Run {
    int from, to, chunks, slotsATile, first, count;
    FORCE Run(int from, int to, int chunks) : from(from), to(to), chunks(chunks), slotsATile((chunks + 1) / 2) {
        first = from / chunks * slotsATile + from % chunks / 2;
        const int last = to - 1;
        count = last / chunks * slotsATile + last % chunks / 2 + 1 - first;
    }
};
// What a slot holds of a tile's rows.
struct Piece {
    int tile, column, columns, skipped;  // skipped: columns of the slot before its first
    FORCE Piece(const Run& run, const Phase& p, int tile, int j) : tile(tile) {
        const int base = tile * run.chunks, left = max(2 * j, run.from - base), right = min(min(2 * j + 2, run.chunks), run.to - base);
        column = left * UNIT;
        columns = min(right * UNIT, p.columns) - column;
        skipped = (left - 2 * j) * UNIT;
    }
    // Rows past the end are the last one once more.
    FORCE const bf16* row(const Phase& p, int r) const { return p.weights + (i64)min(tile * 16 + r, p.rows - 1) * p.columns + column; }
};
FORCE int runLength(int vectors, int chunks) { return SUMS / vectors / chunks * chunks; }

// What the producer must know of a phase. Each lane works one out for 32 phases to come, and hands it round by shuffles: a
// load and two divisions at each phase's start would leave the memory idle for longer than the bytes in flight last.
struct Outlook {
    Phase phase;
    int from, to;
    FORCE void look(const Decode& a, int i, int samples) {
        from = to = 0;
        if (i >= a.count) return;
        phase = a.phases[i];
        if (phase.type == ATTENTION || skipped(phase, samples)) return;
        share(phase, blockIdx.x, gridDim.x, from, to);
    }
    FORCE Outlook of(int lane) const {
        Outlook o;
        o.phase.rows = __shfl_sync(~0u, phase.rows, lane);
        o.phase.columns = __shfl_sync(~0u, phase.columns, lane);
        o.phase.weights = (const bf16*)__shfl_sync(~0u, (u64)phase.weights, lane);
        o.from = __shfl_sync(~0u, from, lane);
        o.to = __shfl_sync(~0u, to, lane);
        return o;
    }
};

// Blocks differ in how near the memory is. While one is late, the others run ahead into the next phase, and would take from
// its share of the memory's speed: so they have fewer bytes in flight then. `reached`: the phase the block is in.
FORCE void produce(const Decode& a, int samples, int vectors, u8* ring, u64* full, u64* empty, const volatile int* reached) {
    const int lane = threadIdx.x % 32;
    u64 policy;
    asm volatile("createpolicy.fractional.L2::evict_first.b64 %0, 1.0;" : "=l"(policy));
    const u32 row = shared(ring) + lane / 2 * PAIR + lane % 2 * (ROW + 64);
    int slot = 0, parity = 1, old = 0, oldParity = 0, flying = 0;
    Outlook mine;
    for (int i = 0; i < a.count; i++) {
        if (i % 32 == 0) mine.look(a, i + lane, samples);
        const Outlook now = mine.of(i % 32);
        if (now.from >= now.to) continue;
        const int chunks = (now.phase.columns + UNIT - 1) / UNIT, most = runLength(vectors, chunks);
        for (int from = now.from; from < now.to; from += most) {
            const Run run(from, min(now.to, from + most), chunks);
            int tile = run.first / run.slotsATile, j = run.first % run.slotsATile;
            for (int q = 0; q < run.count; q++) {
                const Piece piece(run, now.phase, tile, j);
                if (lane == 0) {
                    for (; flying >= (i > *reached ? a.ahead : a.depth); flying--) {
                        barrierWait(full + old, oldParity);
                        if (++old == a.slots) {
                            old = 0;
                            oldParity ^= 1;
                        }
                    }
                    flying++;
                }
                // The ring is full while attention has no weights to take. The memory need not rest: what the ring takes next
                // goes as far as the second-level cache, at the memory's own pace.
                if (BEYOND > 0 && !__all_sync(~0u, barrierTest(empty + slot, parity))) {
                    const i64 began = clock64();
                    for (int k = 0; !__all_sync(~0u, barrierTest(empty + slot, parity));) {
                        if (k >= BEYOND || !__any_sync(~0u, clock64() - began >= k * (i64)PACE)) continue;
                        const int rest = run.count - q, later = q + k;
                        if (k < rest) {
                            const Piece piece(run, now.phase, (run.first + later) / run.slotsATile, (run.first + later) % run.slotsATile);
                            if (lane < 16) bulkPrefetch(piece.row(now.phase, lane), 2 * piece.columns);
                        } else if (i % 32 < 31) {
                            const Outlook after = mine.of(i % 32 + 1);
                            if (after.from < after.to) {
                                const Run next(after.from, after.to, (after.phase.columns + UNIT - 1) / UNIT);
                                const int at = next.first + k - rest;
                                const Piece piece(next, after.phase, at / next.slotsATile, at % next.slotsATile);
                                if (lane < 16 && k - rest < next.count) bulkPrefetch(piece.row(after.phase, lane), 2 * piece.columns);
                            }
                        }
                        k++;
                    }
                }
                if (lane == 0) {
                    barrierWait(empty + slot, parity);
                    barrierExpect(full + slot, 32 * piece.columns);
                }
                __syncwarp();
                if (lane < 16) bulkCopy(row + slot * SLOT + piece.skipped * 2, piece.row(now.phase, lane), 2 * piece.columns, full + slot, policy);
                if (++j == run.slotsATile) {
                    j = 0;
                    tile++;
                }
                if (++slot == a.slots) {
                    slot = 0;
                    parity ^= 1;
                }
            }
        }
    }
}

// 16 rows times up to eight vectors (the V vectors over and over): out[row][vector].
template <int V>
FORCE void multiplyUnit(const u8* unit, const bf16* x, int pitch, int columns, float* out) {
    const int lane = threadIdx.x % 32, g = lane / 4, q = lane % 4;
    const uint4* low = (const uint4*)(unit + g / 2 * PAIR + g % 2 * (ROW + 64)) + q;
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

// What a block does in every attention phase of a step: one row's queries of one key/value head against a part of the
// row's context. It is the same in all layers, so addresses and angles are worked out once, into shared memory.
template <int HD>
struct Part {
    static constexpr int CHUNKS = KEYS * HD / 8;  // 16-byte pieces of a tile of keys
    int row, kv, split, most, position, from, to, tiles, used, newest;
    const int* blocks;
    int offset[CHUNKS];  // of the part's first tile within a layer's keys, in pieces; -1 for zeros
    float2 angle[HD / 2];
};

template <int HD>
FORCE void prepare(const Decode& a, const Step& step, int vectors, Part<HD>& p) {
    const int most = gridDim.x / (vectors * a.kvHeads), item = blockIdx.x, row = item / (a.kvHeads * most);
    if (row >= vectors) {
        if (threadIdx.x == 0) p.from = p.to = 0;
        return;
    }
    const int kv = item / most % a.kvHeads, split = item % most, position = step.tokenPosition()[row];
    const int tiles = position / KEYS + 1, each = (tiles + most - 1) / most, from = split * each;
    const int* blocks = a.table + (i64)step.tokenSlot()[row] * a.maxBlocks;
    if (threadIdx.x == 0) {
        p.row = row;
        p.kv = kv;
        p.split = split;
        p.most = most;
        p.position = position;
        p.from = from;
        p.to = min(tiles, from + each);
        p.tiles = tiles;
        p.used = (tiles + each - 1) / each;
        p.blocks = blocks;
        p.newest = ((blocks[position / a.blockSize] * a.kvHeads + kv) * a.blockSize + position % a.blockSize) * (HD / 8);
    }
    if (from >= tiles) return;
    for (int i = threadIdx.x; i < Part<HD>::CHUNKS; i += THREADS) {
        const int key = from * KEYS + i / (HD / 8);
        p.offset[i] = key >= position ? -1 : ((blocks[key / a.blockSize] * a.kvHeads + kv) * a.blockSize + key % a.blockSize) * (HD / 8) + i % (HD / 8);
    }
    for (int i = threadIdx.x; i < HD / 2; i += THREADS) p.angle[i] = a.rope[(i64)position * (HD / 2) + i];
}

// `work`: shared memory of a tile; `small`: of 18 rows and a little. What does not depend on this step's phases is asked
// for before the grid is awaited.
template <int HD>
FORCE void attendPart(const Decode& a, const Part<HD>& part, const Phase& p, u32 met, bf16* work, bf16* small) {
    constexpr int STRIDE = Tile<HD>::STRIDE, HALF = HD / 2;
    const int t = threadIdx.x, warp = t / 32, lane = t % 32, group = a.heads / a.kvHeads;
    const int from = part.from, to = part.to, kv = part.kv;
    const bf16 *layerKeys = a.keys + p.layer * a.cacheLayer, *layerValues = a.values + p.layer * a.cacheLayer;
    int* isLast = (int*)(small + 18 * STRIDE);
    bf16 *k = work, *v = work + Tile<HD>::ELEMENTS;
    if (from < to) {
        for (int i = t; i < Part<HD>::CHUNKS; i += THREADS) {
            const int offset = part.offset[i], at = i / (HD / 8) * STRIDE + i % (HD / 8) * 8;
            const bool valid = offset >= 0;
            const i64 element = valid ? (i64)offset * 8 : 0;
            copyAsync(shared(k + at), layerKeys + element, valid);
            copyAsync(shared(v + at), layerValues + element, valid);
        }
        copyCommit();
    }
    // The row's queries of this head, then, where the new key lies in this part, its key and its value.
    const int rotations = from < to ? (to == part.tiles ? group + 2 : group) * HALF : 0;
    float2 bias[PAIRS], value[PAIRS];
    int low[PAIRS], high[PAIRS];
#pragma unroll
    for (int j = 0; j < PAIRS; j++) {
        const int i = t + j * THREADS, h = i / HALF, pair = i % HALF;
        const int head = h < group ? kv * group + h : h == group ? a.heads + kv : a.heads + a.kvHeads + kv;
        const bool neighbours = a.interleaved || h > group;
        low[j] = head * HD + (neighbours ? 2 * pair : pair);
        high[j] = head * HD + (neighbours ? 2 * pair + 1 : pair + HALF);
        bias[j] = make_float2(0, 0);
        if (i < rotations && p.vector) bias[j] = make_float2(p.vector[low[j]], p.vector[high[j]]);
    }
    if (t == 0) awaitGrid(a.barrier, met);
    consumersSync();
    if (from >= to) return;
    const float* qkv = a.qkv + (i64)part.row * p.rows;
#pragma unroll
    for (int j = 0; j < PAIRS; j++)
        if (t + j * THREADS < rotations) value[j] = make_float2(__ldcg(qkv + low[j]), __ldcg(qkv + high[j]));
#pragma unroll
    for (int j = 0; j < PAIRS; j++) {
        const int i = t + j * THREADS, h = i / HALF;
        if (i >= rotations) continue;
        const float x = value[j].x + bias[j].x, y = value[j].y + bias[j].y;
        const float2 f = h <= group ? part.angle[i % HALF] : make_float2(1, 0);
        const bf16 e = toBf16(x * f.x - y * f.y), o = toBf16(y * f.x + x * f.y);
        const int d = low[j] % HD, d2 = high[j] % HD, r = h < group ? h : 16 + h - group;
        small[r * STRIDE + d] = e;
        small[r * STRIDE + d2] = o;
        if (h >= group) {
            bf16* out = (bf16*)(h == group ? layerKeys : layerValues) + (i64)part.newest * 8;
            out[d] = e;
            out[d2] = o;
        }
    }
    for (int i = group * STRIDE + t; i < 16 * STRIDE; i += THREADS) small[i] = 0;
    copyWait<0>();
    consumersSync();
    u32 q[HD / 16][4];
#pragma unroll
    for (int d = 0; d < HD / 16; d++) ldmatrix(q[d], shared(small + lane % 16 * STRIDE + d * 16 + lane / 16 * 8));
    const int limit[2] = {part.position + 1, part.position + 1};
    float m[2] = {NEG_INF, NEG_INF}, l[2] = {0, 0}, o[HD / 8][4] = {};
    for (int tile = from; tile < to; tile++) {
        if (tile > from) {
            const Cache cache = {layerKeys, layerValues, a.table, a.maxBlocks, a.blockSize, a.heads, a.kvHeads};
            loadTile<HD>(cache, part.blocks, kv, tile * KEYS, part.position, k, v, THREADS);
            copyWait<0>();
            consumersSync();
        }
        if (tile == part.tiles - 1) {
            const int at = part.position % KEYS * STRIDE;
            if (t < HD / 8) ((uint4*)(k + at))[t] = ((const uint4*)(small + 16 * STRIDE))[t];
            if (t >= 32 && t < 32 + HD / 8) ((uint4*)(v + at))[t - 32] = ((const uint4*)(small + 17 * STRIDE))[t - 32];
            consumersSync();
        }
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
    const i64 parts = (i64)(part.row * a.kvHeads + kv) * part.most;
    for (int i = t; i < group * HD; i += THREADS) {
        const int r = i / HD, d = i % HD;
        float top = NEG_INF, total = 0, sum = 0;
#pragma unroll
        for (int w = 0; w < 4; w++) top = fmaxf(top, ml[w * 16 + r].x);
#pragma unroll
        for (int w = 0; w < 4; w++) {
            const float e = power2(ml[w * 16 + r].x - top);
            total += ml[w * 16 + r].y * e;
            sum += sums[(w * 16 + r) * HD + d] * e;
        }
        __stcg(a.parts + ((parts + part.split) * 16 + r) * HD + d, sum);
        if (d == 0) __stcg(a.partSums + (parts + part.split) * 16 + r, make_float2(top, total));
    }
    if (part.used <= JOINED) return;
    // Many parts: the last block to finish a row's head joins them, so that not every block has to read them all.
    consumersSync();
    if (t == 0) {
        u32* arrivals = a.arrivals + part.row * a.kvHeads + kv;
        asm volatile("fence.acq_rel.gpu;" ::: "memory");
        *isLast = atomicAdd(arrivals, 1u) == (u32)part.used - 1;
        asm volatile("fence.acq_rel.gpu;" ::: "memory");
        if (*isLast) *arrivals = 0;
    }
    consumersSync();
    if (!*isLast) return;
    bf16* out = a.attended + ((i64)part.row * a.heads + kv * group) * HD;
    for (int i = t; i < group * HD; i += THREADS) {
        const int r = i / HD, d = i % HD;
        float top = NEG_INF, total = 0, sum = 0;
#pragma unroll 8
        for (int s = 0; s < part.used; s++) {
            const float2 theirs = __ldcg(a.partSums + (parts + s) * 16 + r);
            const float other = __ldcg(a.parts + ((parts + s) * 16 + r) * HD + d);
            const float higher = fmaxf(top, theirs.x), shrink = power2(top - higher), e = power2(theirs.x - higher);
            total = total * shrink + theirs.y * e;
            sum = sum * shrink + other * e;
            top = higher;
        }
        out[i] = toBf16(sum / total);
    }
}

// What attention gave, into shared memory; parts are joined on the way where they are few.
template <int HD>
FORCE void bringAttended(const Decode& a, const Step& step, int vectors, bf16* x, int pitch) {
    const int group = a.heads / a.kvHeads, most = gridDim.x / (vectors * a.kvHeads);
    for (int v = 0; v < vectors; v++) {
        const int tiles = step.tokenPosition()[v] / KEYS + 1, each = (tiles + most - 1) / most, used = (tiles + each - 1) / each;
        if (used > JOINED) {
            for (int i = threadIdx.x; i < a.heads * HD / 8; i += THREADS)
                ((uint4*)(x + v * pitch))[i] = __ldcg((const uint4*)(a.attended + (i64)v * a.heads * HD) + i);
            continue;
        }
        for (int i = threadIdx.x; i < a.heads * HD / 4; i += THREADS) {
            const int head = i / (HD / 4), r = head % group;
            const i64 parts = (i64)(v * a.kvHeads + head / group) * most;
            float2 ml[JOINED];
            float4 o[JOINED];
#pragma unroll
            for (int s = 0; s < JOINED; s++) {
                ml[s] = make_float2(NEG_INF, 0);
                o[s] = make_float4(0, 0, 0, 0);
                if (s < used) {
                    ml[s] = __ldcg(a.partSums + (parts + s) * 16 + r);
                    o[s] = __ldcg((const float4*)(a.parts + ((parts + s) * 16 + r) * HD) + i % (HD / 4));
                }
            }
            float top = NEG_INF, total = 0;
            float4 sum = make_float4(0, 0, 0, 0);
#pragma unroll
            for (int s = 0; s < JOINED; s++) top = fmaxf(top, ml[s].x);
#pragma unroll
            for (int s = 0; s < JOINED; s++) {
                const float e = power2(ml[s].x - top);
                total += ml[s].y * e;
                sum = make_float4(sum.x + o[s].x * e, sum.y + o[s].y * e, sum.z + o[s].z * e, sum.w + o[s].w * e);
            }
            const float f = 1.f / total;
            ((uint2*)(x + v * pitch))[i] = make_uint2(pack(sum.x * f, sum.y * f), pack(sum.z * f, sum.w * f));
        }
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
    Part<HD>& part = *(Part<HD>*)(sums + SUMS * 16);
    float* scratch = (float*)(&part + 1);
    u64* full = (u64*)(scratch + 32);
    u64* empty = full + a.slots;
    volatile int* reached = (volatile int*)(empty + a.slots);
    const int t = threadIdx.x, warp = t / 32, samples = step.samples(), tokens = step.tokens();
    if (t == 0) {
        for (int i = 0; i < a.slots; i++) {
            barrierInit(full + i, 1);
            barrierInit(empty + i, 2);
        }
        *reached = 0;
        asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
    }
    __syncthreads();
    if (warp == WARPS) {
        produce(a, samples, V, ring, full, empty, reached);
        return;
    }
    prepare<HD>(a, step, tokens, part);
    consumersSync();
    // A team of two warps takes every TEAMS-th slot, counted over all phases; each warp its half.
    const int team = warp / 2, half = warp % 2;
    int slot = team, parity = 0, next = team;
    u32 met = 0;
    for (int i = 0; i < a.count; i++) {
        const Phase p = a.phases[i];
        if (skipped(p, samples)) continue;
        if (p.type == ATTENTION) {
            attendPart<HD>(a, part, p, met, x, (bf16*)sums);
            consumersSync();
            if (t == 0) addRelease(a.barrier);
            met += gridDim.x;
            continue;
        }
        const bool normed = p.type == QKV || p.type == GATE_UP || p.type == LOGITS;
        float4 weight[NORM];
        if (normed) {
#pragma unroll
            for (int j = 0; j < NORM; j++)
                if (t + j * THREADS < a.hidden / 4) weight[j] = ((const float4*)p.vector)[t + j * THREADS];
        }
        const int chunks = (p.columns + UNIT - 1) / UNIT, most = runLength(V, chunks);
        int from, to;
        share(p, blockIdx.x, gridDim.x, from, to);
        if (i > 0) {
            if (t == 0) {
                awaitGrid(a.barrier, met);
                *reached = i;
            }
            consumersSync();
        }
        const int vectors = p.type == LOGITS ? samples : tokens;
        if (normed) {
            normalise<V>(a, step, p, i == 0, vectors, weight, x, pitch, scratch);
        } else {
            if (p.type == OUTPUT) {
                bringAttended<HD>(a, step, vectors, x, pitch);
                if (blockIdx.x == gridDim.x - 1) {
                    // For the next layer's sums.
                    const int all = tokens * (a.heads + 2 * a.kvHeads) * HD;
                    for (int j = t; j < all; j += THREADS) __stcg(a.qkv + j, 0.f);
                }
            } else {
                bring(a.activated, p.columns, vectors, x, pitch);
            }
            consumersSync();
        }
        for (; from < to; from += most) {
            const Run run(from, min(to, from + most), chunks);
            for (; next < run.count; next += TEAMS) {
                const int q = run.first + next, tile = q / run.slotsATile, chunk = q % run.slotsATile * 2 + half;
                const int unit = tile * chunks + chunk;
                barrierWait(full + slot, parity);
                if (chunk < chunks && unit >= run.from && unit < run.to) {
                    multiplyUnit<V>(ring + slot * SLOT + half * 2 * UNIT, x + chunk * UNIT, pitch, min(UNIT, p.columns - chunk * UNIT),
                                    sums + (unit - run.from) * 16 * V);
                }
                __syncwarp();
                if (t % 32 == 0) barrierArrive(empty + slot);
                slot += TEAMS;
                if (slot >= a.slots) {
                    slot -= a.slots;
                    parity ^= 1;
                }
            }
            next -= run.count;
            consumersSync();
            finish<V>(a, p, vectors, sums, run.from, run.to, chunks);
            consumersSync();
        }
        if (t == 0) addRelease(a.barrier);
        met += gridDim.x;
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
