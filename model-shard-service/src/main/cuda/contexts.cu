// targets: sm_90a
// Attention of rows of few queries over the paged key/value cache, where there are many of them or their contexts are long: at
// the memory's rate. Queries are flattened as in attention.cu, at most 16 a row and key/value head.
//
// The host cuts all rows' tiles of 64 keys evenly into shares, one a block (ContextShares.java), so that all blocks end
// together; where a cut is inside a row's context, the last of its blocks to arrive joins what they have. In a block one warp
// brings tiles and queries into a ring, by bulk copies of whole pages and over the ends of contexts: the memory never waits for
// the four warps that multiply, nor for their joining of what each has. Two blocks a multiprocessor.
#include "attention.cuh"
#include "pipeline.cuh"

constexpr int WARPS = 4, THREADS = WARPS * 32;  // that multiply
constexpr int QUERIES = 16;
constexpr int SHARED = 112 * 1024;  // bytes of a ring
constexpr int MOST_SLOTS = 6;

struct Parts {
    float* values;  // [block, whether its first, 16, head size]: of contexts that are cut
    float2* sums;   // beside them: maximum and sum
    int* arrived;   // [row, kv head]: parts that are there, 0 between steps
};

template <int HD, bool EIGHTS>
struct Slots {
    static constexpr int ELEMENT = EIGHTS ? 1 : 2;
    static constexpr int SIDE = KEYS * HD * ELEMENT;           // bytes of a tile's keys, and of its values behind them
    static constexpr int PITCH = 2 * HD + 16;                  // from query to query: ldmatrix meets all banks
    static constexpr int BYTES = 2 * SIDE + QUERIES * PITCH;   // as StreamedContexts.java has it
    static constexpr int COUNT = SHARED / BYTES < MOST_SLOTS ? SHARED / BYTES : MOST_SLOTS;
    static_assert(BYTES % 128 == 0 && BYTES >= WARPS * 8 * (HD + 8) * 4, "a slot is where warps join what they have");
};

enum { BEGINS = 1, ENDS = 2, STOP = 4 };
// What the warp that brings a tile says of it.
struct Told {
    int flags, keys, firstKey;               // keys of the tile, and the first one's position
    int index, start, count, offset, kv;     // of its row
    int from, first, last;                   // the part's place; the blocks among which the context is cut, the same if it is not
};

// Where a share begins: in words[0] the row and its key/value head, then the tile; where that is not the first, the blocks
// that have the first and the last part of the row's context.
struct Cut {
    int row, kv, tile, first, last;
    FORCE Cut(const int* words) : row(words[0] >> 16), kv(words[0] & 0xffff), tile(words[1]), first(words[2] >> 16), last(words[2] & 0xffff) {}
};

// ---- the warp that brings

// Rows of the step, 32 at a time: a lane each, so that none is waited for when it comes.
struct Rows {
    int base = -1, start, count, offset, slot;
    FORCE void load(const Step& step, int index) {
        if (base >= 0 && index < base + 32) return;
        base = index;
        const int mine = index + threadIdx.x % 32;
        start = count = offset = slot = 0;
        if (mine >= step.decodeRows()) return;
        const int row = step.decodeRow()[mine];
        start = step.rowStart()[row];
        count = step.rowCount()[row];
        offset = step.rowOffset()[row];
        slot = step.rowSlot()[row];
    }
};

template <int HD, bool EIGHTS>
struct Bringer {
    using S = Slots<HD, EIGHTS>;
    enum { OPENS = 1, OLD = 2, NEW = 4, ALL = 7 };  // what to do of a tile

    const Step& step;
    const Cache& cache;
    const bf16* q;
    u8* memory;
    u64 *full, *empty;
    Told* tolds;
    const Cut begin, end;
    const int group, span, copies, lane, what, copy;
    u64 policy;

    // The tile that comes next, its row, and the page that this lane copies from.
    struct Walk {
        Rows rows;
        int row, kv, tile, tiles, start, count, offset, slot, page;
    };

    FORCE Bringer(const Step& step, const Cache& cache, const bf16* q, u8* memory, u64* full, u64* empty, Told* tolds)
        : step(step), cache(cache), q(q), memory(memory), full(full), empty(empty), tolds(tolds), begin(step.contextCut() + 3 * blockIdx.x),
          end(step.contextCut() + 3 * (blockIdx.x + 1)), group(cache.heads / cache.kvHeads), span(min(KEYS, cache.blockSize)),
          copies(KEYS / span), lane(threadIdx.x % 32), what(lane / copies), copy(lane % copies), policy(evictFirst()) {}

    FORCE bool done(const Walk& w) const { return w.row == end.row && w.kv == end.kv && w.tile == end.tile; }
    FORCE void look(Walk& w) const {
        if (w.row >= step.decodeRows()) return;
        w.rows.load(step, w.row);
        const int of = w.row - w.rows.base;
        w.start = __shfl_sync(~0u, w.rows.start, of);
        w.count = __shfl_sync(~0u, w.rows.count, of);
        w.offset = __shfl_sync(~0u, w.rows.offset, of);
        w.slot = __shfl_sync(~0u, w.rows.slot, of);
        w.tiles = (w.start + w.count + KEYS - 1) / KEYS;
    }
    // Past the newest key, its own page once more: what lies there are numbers.
    FORCE void turnPage(Walk& w) const {
        if (what < 2 && w.row < step.decodeRows())
            w.page = cache.table[(i64)w.slot * cache.maxBlocks + min(w.tile * KEYS + copy * span, w.start + w.count - 1) / cache.blockSize];
    }
    FORCE Walk first() const {
        Walk w;
        w.row = begin.row;
        w.kv = begin.kv;
        w.tile = begin.tile;
        w.tiles = w.page = w.start = w.count = w.offset = w.slot = 0;
        look(w);
        turnPage(w);
        return w;
    }
    FORCE void advance(Walk& w) const {
        if (++w.tile == w.tiles) {
            w.tile = 0;
            if (++w.kv == cache.kvHeads) {
                w.kv = 0;
                w.row++;
                look(w);
            }
        }
        turnPage(w);
    }

    FORCE void bring(const Walk& w, bool ends, int slot, int doing) const {
        const int length = w.start + w.count, firstKey = w.tile * KEYS, keys = min(KEYS, length - firstKey);
        const bool middle = w.row == begin.row && w.kv == begin.kv && begin.tile > 0;
        const bool begins = w.tile == (middle ? begin.tile : 0);
        // A warp's 16 keys are there or are not looked at.
        const int whole = (keys + 15) & ~15, queries = begins ? w.count * group : 0;
        const u32 at = shared(memory) + slot * S::BYTES;
        if (doing & OPENS && lane == 0) {
            const bool cut = middle || (ends && w.tile + 1 < w.tiles);
            Told t;
            t.flags = (begins ? BEGINS : 0) | (ends ? ENDS : 0);
            t.keys = keys;
            t.firstKey = firstKey;
            t.index = w.row;
            t.start = w.start;
            t.count = w.count;
            t.offset = w.offset;
            t.kv = w.kv;
            t.from = 2 * blockIdx.x + !middle;
            t.first = !cut ? 0 : middle ? begin.first : blockIdx.x;
            t.last = !cut ? 0 : middle ? begin.last : end.last;
            tolds[slot] = t;
            barrierExpect(full + slot, 2 * whole * HD * S::ELEMENT + queries * 2 * HD);
        }
        __syncwarp();
        const bool old = firstKey + KEYS <= w.start;
        if (doing & (old ? OLD : NEW) && what < 2 && copy * span < whole) {
            const u8* from = (const u8*)(what ? cache.values : cache.keys);
            const int inPage = span == KEYS ? firstKey % cache.blockSize : 0;
            bulkCopy(at + what * S::SIDE + copy * span * HD * S::ELEMENT,
                     from + (((i64)w.page * cache.kvHeads + w.kv) * cache.blockSize + inPage) * HD * S::ELEMENT,
                     min(span, whole - copy * span) * HD * S::ELEMENT, full + slot, policy);
        }
        if (doing & NEW && lane < queries)
            bulkCopy(at + 2 * S::SIDE + lane * S::PITCH, q + ((i64)(w.offset + lane / group) * cache.heads + w.kv * group + lane % group) * HD, 2 * HD,
                     full + slot);
        __syncwarp();
    }

    // What earlier steps have left is on its way before the kernel ahead has ended.
    FORCE void run() const {
        const Walk from = first();
        Walk w = from;
        int ahead = 0;
        for (; ahead < S::COUNT && !done(w); ahead++) {
            const Walk now = w;
            advance(w);
            bring(now, w.tile == 0 || done(w), ahead, OPENS | OLD);
        }
        dependencyWait();
        Walk again = from;
        for (int i = 0; i < ahead; i++) {
            const Walk now = again;
            advance(again);
            bring(now, again.tile == 0 || done(again), i, NEW);
        }
        int slot = ahead == S::COUNT ? 0 : ahead, parity = ahead == S::COUNT ? 0 : 1;
        while (true) {
            barrierWait(empty + slot, parity);
            if (done(w)) break;
            const Walk now = w;
            advance(w);
            bring(now, w.tile == 0 || done(w), slot, ALL);
            if (++slot == S::COUNT) slot = 0, parity ^= 1;
        }
        if (lane == 0) {
            tolds[slot] = {STOP};
            barrierArrive(full + slot);
        }
    }
};

// ---- the warps that multiply

// Queries of a slot as fragments of A: as attend() takes them, or in the order in which attendEights() meets the columns.
template <int HD, bool EIGHTS>
FORCE void takeQueries(u32 (&a)[HD / 16][4], const u8* rows, int queries) {
    constexpr int PITCH = Slots<HD, EIGHTS>::PITCH;
    const int lane = threadIdx.x % 32, g = lane / 4, c = lane % 4;
    if constexpr (EIGHTS) {
#pragma unroll
        for (int h = 0; h < 2; h++) {
#pragma unroll
            for (int i = 0; i < HD / 32; i++) {
                const uint4 v = g + 8 * h < queries ? *(const uint4*)(rows + (g + 8 * h) * PITCH + 16 * (4 * i + c)) : uint4{};
                a[2 * i][h] = v.x;
                a[2 * i][h + 2] = v.y;
                a[2 * i + 1][h] = v.z;
                a[2 * i + 1][h + 2] = v.w;
            }
        }
    } else {
#pragma unroll
        for (int k = 0; k < HD / 16; k++) {
            ldmatrix(a[k], shared(rows + lane % 16 * PITCH + 32 * k + lane / 16 * 16));
            // Behind the last query lies what was there before.
#pragma unroll
            for (int h = 0; h < 4; h++) a[k][h] = g + h % 2 * 8 < queries ? a[k][h] : 0;
        }
    }
}

// As wideFp8, of two bytes that are the upper halves of `spread`'s halves.
FORCE u32 wideSpread(u32 spread) {
    u32 r;
    asm("fma.rn.bf16x2 %0, %1, %2, %3;" : "=r"(r) : "r"((spread >> 4 & 0x07f007f0u) | (spread & 0x80008000u)), "r"(0x7b807b80u), "r"(0x80008000u));
    return r;
}
template <int SELECTOR>
FORCE u32 wideBytes(u32 four) {
    u32 spread;
    asm("prmt.b32 %0, %1, 0, %2;" : "=r"(spread) : "r"(four), "n"(SELECTOR));
    return wideSpread(spread);
}

// attend() for 16 keys and values of e4m3, which become bf16 in registers. Which key is which column of the scores, and which
// element which column of an instruction, is free as long as both operands agree: even keys come first, so that the values' two
// halves of 16 bytes, which odd positions have the other way round, change places by one shuffle.
template <int HD>
FORCE void attendEights(const u32 (&a)[HD / 16][4], const u8* k, const u8* v, int firstKey, const int (&limit)[2], float scale, float (&m)[2],
                        float (&l)[2], float (&o)[HD / 8][4]) {
    const int lane = threadIdx.x % 32, g = lane / 4, c = lane % 4;
    float s[2][4] = {};
#pragma unroll
    for (int i = 0; i < HD / 32; i++) {
#pragma unroll
        for (int n = 0; n < 2; n++) {
            const int key = 2 * g + n;
            const uint2 w = *(const uint2*)(k + key * HD + ((4 * i + c ^ (key & 7)) << 3));
            mma(s[n], a[2 * i][0], a[2 * i][1], a[2 * i][2], a[2 * i][3], wideFp8(w.x), wideFp8(w.x >> 16));
            mma(s[n], a[2 * i + 1][0], a[2 * i + 1][1], a[2 * i + 1][2], a[2 * i + 1][3], wideFp8(w.y), wideFp8(w.y >> 16));
        }
    }
    softenScores<HD, 2>(s, [&](int n, int e) { return firstKey + 4 * c + 2 * (e & 1) + n; }, limit, scale, m, l, o);
    const u32 p0 = pack(s[0][0], s[0][1]), p1 = pack(s[0][2], s[0][3]), p2 = pack(s[1][0], s[1][1]), p3 = pack(s[1][2], s[1][3]);
    const int key = 2 * (lane % 8) + lane / 8 % 2, turn = (key & 7) >> 1;
#pragma unroll
    for (int piece = 0; piece < HD / 16; piece += 2) {
        u32 b[4];
        ldmatrixTransposed(b, shared(v + key * HD + ((piece + lane / 16 ^ turn) << 4)));
#pragma unroll
        for (int i = 0; i < 2; i++) {
            const u32 even = b[2 * i], odd = __shfl_xor_sync(~0u, b[2 * i + 1], 16);
            mma(o[2 * (piece + i)], p0, p1, p2, p3, wideBytes<0x2404>(even), wideBytes<0x2404>(odd));
            mma(o[2 * (piece + i) + 1], p0, p1, p2, p3, wideBytes<0x3414>(even), wideBytes<0x3414>(odd));
        }
    }
}

// A context's part, or all of it: the warps' sums meet in `slot`, which nobody reads any more.
template <int HD, bool EIGHTS>
FORCE void finish(const Told& told, const Cache& cache, const Parts& parts, bf16* out, u8* slot, float2* ml, const float (&m)[2], float (&l)[2],
                  const float (&o)[HD / 8][4]) {
    constexpr int PITCH = HD + 8, PAIRS = HD / 2;
    const int t = threadIdx.x, warp = t / 32, lane = t % 32, g = lane / 4, c = lane % 4;
    const int group = cache.heads / cache.kvHeads, queries = told.count * group;
    float* sums = (float*)slot;
    bf16* answer = out + ((i64)told.offset * cache.heads + told.kv * group) * HD;
    consumersSync<THREADS>();
#pragma unroll
    for (int h = 0; h < 2; h++) {
        const float total = quadSum(l[h]);
        if (8 * h >= queries) break;
        float* mine = sums + (warp * 8 + g) * PITCH;
        if (c == 0) ml[warp * 8 + g] = make_float2(m[h], total);
        if constexpr (EIGHTS) {
#pragma unroll
            for (int d = 0; d < HD / 16; d++)
                *(float4*)(mine + d * 16 + 4 * c) = make_float4(o[2 * d][2 * h], o[2 * d + 1][2 * h], o[2 * d][2 * h + 1], o[2 * d + 1][2 * h + 1]);
        } else {
#pragma unroll
            for (int d = 0; d < HD / 8; d++) *(float2*)(mine + d * 8 + 2 * c) = make_float2(o[d][2 * h], o[d][2 * h + 1]);
        }
        consumersSync<THREADS>();
        for (int i = t; i < min(8, queries - 8 * h) * PAIRS; i += THREADS) {
            const int r = i / PAIRS, d = i % PAIRS * 2, query = r + 8 * h;
            float top = NEG_INF;
#pragma unroll
            for (int w = 0; w < WARPS; w++) top = fmaxf(top, ml[w * 8 + r].x);
            // A query that has seen no key of this part has weight 0, without a NaN.
            const float base = top == NEG_INF ? 0.f : top;
            float all = 0, x = 0, y = 0;
#pragma unroll
            for (int w = 0; w < WARPS; w++) {
                const float2 theirs = ml[w * 8 + r], value = *(const float2*)(sums + (w * 8 + r) * PITCH + d);
                const float e = power2(theirs.x - base);
                all += theirs.y * e;
                x += value.x * e;
                y += value.y * e;
            }
            if (told.first == told.last) {
                *(u32*)(answer + ((i64)(query / group) * cache.heads + query % group) * HD + d) = pack(x / all, y / all);
            } else {
                const i64 to = (i64)told.from * QUERIES + query;
                __stcg((float2*)(parts.values + to * HD + d), make_float2(x, y));
                if (d == 0) __stcg(parts.sums + to, make_float2(top, all));
            }
        }
        // What comes into the slot next comes through another path to memory than these writes.
        showAsync();
        consumersSync<THREADS>();
    }
}

// The parts of a context that blocks first to last have, in that order, by the last of them to come here.
template <int HD>
FORCE void join(const Told& told, const Cache& cache, const Parts& parts, bf16* out, int* isLast) {
    constexpr int QUADS = HD / 4;
    const int t = threadIdx.x, group = cache.heads / cache.kvHeads, queries = told.count * group;
    __threadfence();
    consumersSync<THREADS>();
    if (t == 0) {
        int* arrived = parts.arrived + told.index * cache.kvHeads + told.kv;
        *isLast = atomicAdd(arrived, 1) == told.last - told.first;
        if (*isLast) *arrived = 0;
    }
    consumersSync<THREADS>();
    if (!*isLast) return;
    __threadfence();
    bf16* answer = out + ((i64)told.offset * cache.heads + told.kv * group) * HD;
    for (int i = t; i < queries * QUADS; i += THREADS) {
        const int query = i / QUADS, d = i % QUADS * 4;
        const float4 all = joinParts<HD>(parts.sums, parts.values, told.last - told.first + 1, d,
                                         [&](int part) { return (i64)(2 * (told.first + part) + (part == 0)) * QUERIES + query; });
        *(uint2*)(answer + ((i64)(query / group) * cache.heads + query % group) * HD + d) = pack4(all);
    }
}

template <int HD, bool EIGHTS>
FORCE void contexts(const Step& step, const Cache& cache, const bf16* q, const Parts& parts, bf16* out, float scale) {
    dependentsLaunch();
    using S = Slots<HD, EIGHTS>;
    extern __shared__ __align__(128) u8 memory[];
    __shared__ u64 full[S::COUNT], empty[S::COUNT];
    __shared__ Told tolds[S::COUNT];
    __shared__ float2 ml[WARPS * 8];
    __shared__ int isLast;
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    if (threadIdx.x == 0) {
        for (int i = 0; i < S::COUNT; i++) {
            barrierInit(full + i, 1);
            barrierInit(empty + i, WARPS);
        }
        asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
    }
    __syncthreads();
    if (warp == WARPS) {
        const Bringer<HD, EIGHTS> bringer(step, cache, q, memory, full, empty, tolds);
        bringer.run();
        return;
    }
    dependencyWait();
    u32 a[HD / 16][4];
    int limit[2];
    float m[2], l[2], o[HD / 8][4];
    for (int slot = 0, parity = 0;;) {
        barrierWait(full + slot, parity);
        const Told told = tolds[slot];
        if (told.flags & STOP) return;
        u8* at = memory + slot * S::BYTES;
        if (told.flags & BEGINS) {
            const int group = cache.heads / cache.kvHeads, g = lane / 4, length = told.start + told.count;
            takeQueries<HD, EIGHTS>(a, at + 2 * S::SIDE, told.count * group);
            limit[0] = min(told.start + g / group + 1, length);
            limit[1] = min(told.start + (g + 8) / group + 1, length);
#pragma unroll
            for (int h = 0; h < 2; h++) m[h] = NEG_INF, l[h] = 0;
#pragma unroll
            for (int d = 0; d < HD / 8; d++) o[d][0] = o[d][1] = o[d][2] = o[d][3] = 0;
        }
        if (warp * 16 < told.keys) {
            if constexpr (EIGHTS)
                attendEights<HD>(a, at + warp * 16 * HD, at + S::SIDE + warp * 16 * HD, told.firstKey + warp * 16, limit, scale, m, l, o);
            else
                attend<HD, 2>(a, (const bf16*)at, (const bf16*)(at + S::SIDE), warp * 16, told.firstKey, limit, scale, m, l, o);
        }
        if (told.flags & ENDS) finish<HD, EIGHTS>(told, cache, parts, out, at, ml, m, l, o);
        __syncwarp();
        if (lane == 0) barrierArrive(empty + slot);
        if (++slot == S::COUNT) slot = 0, parity ^= 1;
        if (told.flags & ENDS && told.first != told.last) join<HD>(told, cache, parts, out, &isLast);
    }
}

// grid: shares; out: [token, head, head size]. `scale` includes log2(e). Names end in what keys and values are.
#define CONTEXTS(NAME, HD, EIGHTS) \
    extern "C" __global__ void __launch_bounds__(THREADS + 32, 2) NAME(Step step, Cache cache, const bf16* q, Parts parts, bf16* out, float scale) { contexts<HD, EIGHTS>(step, cache, q, parts, out, scale); }
CONTEXTS(contexts64, 64, false)
CONTEXTS(contexts128, 128, false)
CONTEXTS(contexts64Fp8, 64, true)
CONTEXTS(contexts128Fp8, 128, true)
