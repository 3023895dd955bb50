// targets: sm_90a
// A whole decode step of up to 16 sequences as one persistent kernel, put together from a model's description: a list of
// phases, with one barrier over the grid between two of them. Longer than 500 lines: one kernel, told in the order of a step.
//
// In each block producer warps stream the block's share of every weight, and of the keys and values it attends to, in
// order, into a ring in shared memory by bulk copies. Neither depends on the step's activations, so it never waits for the
// grid: the ring fills while blocks meet at a barrier. Few bytes are in flight, the rest of the ring has landed; a deep
// queue in the memory system would delay the loads of activations.
//
// A slot of the ring holds 16 rows (a tile) of up to 1,792 bytes each, brought by one instruction: a warp starts a copy in
// about 45 ns whatever its size, and a copy a row would leave the producer no time to make up for what it was late. All
// consumer warps take their columns of every
// slot through tensor cores and keep sums in registers; a tile's sums meet in shared memory. Weight formats differ in how
// a slot is laid out and how a granule, 16 rows by 128 columns, meets the vectors:
//   BF16        blocks of 16 rows by 128 bytes, 16-byte pieces permuted by row, so that ldmatrix meets all banks
//   FP8_ROWS    e4m3 in the same way, a scale a row
//   FP8_BLOCKS  e4m3 rows, a scale for 8 rows by 128 columns
//   INT4        tiles in the order in which lanes take them, 16 scales (f16) behind each granule
//   INT4_ZEROS  the same with 16 zero points (bytes) behind the scales
// Eight vectors cost the tensor cores what one does; which column meets which k of an instruction is free as long as the
// vectors are permuted alike.
//
// Products that are added to others' (attention's and the MLP's output) go by columns: a block takes a piece of all rows, so
// that it needs few columns of the vectors. The others need whole vectors, or whole rows of results.
//
// Tensor-parallel ranks run such a kernel each. Their parts of a sum meet in a phase of their own (SHARE): each block takes a
// piece of the vectors, sends this rank's part of it to the others and adds up theirs, while the ring goes on filling.
#include "attention.cuh"
#include "peers.cuh"

// As DecodeTiling.java has them; others can be tried by -D.
#ifndef TILING_WARPS
#define TILING_WARPS 7
#endif
#ifndef TILING_PRODUCERS
#define TILING_PRODUCERS 1
#endif
#ifndef TILING_TRACE
#define TILING_TRACE 0
#endif
constexpr int WARPS = TILING_WARPS, THREADS = WARPS * 32, GROUPS = WARPS / 4;
constexpr int PRODUCERS = TILING_PRODUCERS;                   // warps; eight warps in all can have 255 registers a thread
constexpr int TILE = 16, GRANULE = 128;                       // rows, columns
constexpr int BLOCK = TILE * 128, ROWS_END = 14 * BLOCK;      // bytes of a block of a slot, of all of them
constexpr int ROW_SCALES = 4 * TILE;                          // bytes, behind the rows
constexpr int MOST = 16;                                      // sequences
constexpr int NORM = (32 + WARPS - 1) / WARPS;                // quads of a vector that a thread brings at once
constexpr int NORMS = 2;                                      // times, at most
constexpr int PAIRS = (18 * 64 + THREADS - 1) / THREADS;      // pairs of q, k and v elements that a thread rotates
constexpr int JOINED = 8;                                     // parts of a context that the output product joins itself
constexpr u64 DEADLINE = 60000000000ull;                      // nanoseconds that anybody waits for anything; peers get less

enum { QKV, ATTENTION, OUTPUT, GATE_UP, DOWN, LOGITS, SHARE };
enum { BF16, FP8_ROWS, FP8_BLOCKS, INT4, INT4_ZEROS };

// As DecodeKernel.java writes it.
struct Phase {
    int type, format, rows, columns;
    int layer, cuts;  // layer: of SHARE, the sum's number; cuts: slots that a tile's columns are cut into
    const u8 *weights, *scales;
    const float* vector;  // norm weights before the product, or the bias behind it (of attention's inputs)
    const u8* maps;       // how tiles are brought where rows are as they are: a wide slot, another one, a granule
};

struct Decode {
    const Phase* phases;
    const bf16* embedding;
    const int* last;
    float *residual, *qkv;  // [vectors, ...]; qkv is zero between steps
    bf16 *attended, *activated;
    float *logits, *parts, *added;  // added: what output and down products are added to, the residual sums or this rank's part
    float2* partSums;
    u32 *arrivals, *barrier;  // arrivals: [vectors, kv heads]; barrier: two; all zero between steps
    const float2* rope;
    bf16 *keys, *values;
    const int* table;
    u64* trace;      // [kinds of phase, marks]
    i64 cacheLayer;  // elements
    int count, maxBlocks, blockSize, heads, kvHeads, hidden, vocabulary, interleaved, slots, slotBytes;
    int depth, ahead;                   // slots in flight; of a phase that the grid has not come to
    int pitch, vectorBytes, sumFloats;  // elements from vector to vector; shared memory for vectors; for sums
    int contextSlots;                   // that a tile of keys and values takes: one, or one each
    float epsilon, scale;
};

FORCE void barrierInit(u64* b, int n) { asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared(b)), "r"(n)); }
FORCE void barrierExpect(u64* b, int bytes) {
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared(b)), "r"(bytes) : "memory");
}
FORCE void barrierArrive(u64* b) { asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared(b)) : "memory"); }
FORCE void bulkCopy(u32 to, const void* from, int bytes, u64* b, u64 policy) {
    asm volatile(
        "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.L2::cache_hint [%0], [%1], %2, [%3], %4;" ::"r"(to),
        "l"(from), "r"(bytes), "r"(shared(b)), "l"(policy)
        : "memory");
}
constexpr int MAP = 128;  // bytes of a tensor map
FORCE void boxCopy(u32 to, const u8* map, int row, int block, u64* b, u64 policy) {
    asm volatile(
        "cp.async.bulk.tensor.3d.shared::cluster.global.tile.mbarrier::complete_tx::bytes.L2::cache_hint [%0], [%1, {%2, %3, %4}], [%5], %6;" ::"r"(to),
        "l"(map), "r"(0), "r"(row), "r"(block), "r"(shared(b)), "l"(policy)
        : "memory");
}
FORCE float loadShared(u32 at) {
    float v;
    asm volatile("ld.shared.f32 %0, [%1];" : "=f"(v) : "r"(at) : "memory");
    return v;
}
FORCE void loadShared4(u32* v, u32 at) {
    asm volatile("ld.shared.v4.u32 {%0,%1,%2,%3}, [%4];" : "=r"(v[0]), "=r"(v[1]), "=r"(v[2]), "=r"(v[3]) : "r"(at) : "memory");
}
FORCE u16 loadShared2(u32 at) {
    u16 v;
    asm volatile("ld.shared.u16 %0, [%1];" : "=h"(v) : "r"(at) : "memory");
    return v;
}
FORCE u32 loadShared1(u32 at) {
    u32 v;
    asm volatile("ld.shared.u8 %0, [%1];" : "=r"(v) : "r"(at) : "memory");
    return v;
}
FORCE void consumersSync() { asm volatile("bar.sync 1, %0;" ::"n"(THREADS) : "memory"); }
FORCE u32 loadAcquire(const u32* p) {
    u32 v;
    asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(v) : "l"(p) : "memory");
    return v;
}
FORCE void addRelease(u32* p) { asm volatile("fence.acq_rel.gpu;\nred.relaxed.gpu.global.add.u32 [%0], 1;" ::"l"(p) : "memory"); }

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
            "{\n.reg .pred p;\nmbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\nselp.u32 %0, 1, 0, p;\n}"
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

FORCE int granuleBytes(int format) { return format == INT4_ZEROS ? 1072 : 1056; }
FORCE bool isInt4(int format) { return format >= INT4; }
FORCE bool isFp8(int format) { return format == FP8_ROWS || format == FP8_BLOCKS; }
FORCE bool skipped(int type, int samples) { return type == SHARE || (type == LOGITS && samples == 0); }

// A block's share of a matrix, piece by piece: a piece is what one slot holds, a run of granules of one tile. By rows, the
// pieces of a tile follow one another; by columns, the tiles do.
struct Walk {
    int tile, column, left;  // granules
    int tiles, granules, cut, base, extra;  // the tile's columns lie in slots of base + 1 granules, `extra` of them, then of base
    bool byColumns;

    FORCE void extents(const Phase& p) {
        tiles = (p.rows + TILE - 1) / TILE;
        granules = (p.columns + GRANULE - 1) / GRANULE;
        base = granules / p.cuts;
        extra = granules % p.cuts;
        byColumns = p.type == OUTPUT || p.type == DOWN;
    }
    FORCE void start(const Phase& p, int b, int grid) {
        extents(p);
        u32 from, to;
        if (p.type == GATE_UP || p.type == LOGITS) {
            from = (u32)tiles * b / grid * granules;
            to = (u32)tiles * (b + 1) / grid * granules;
        } else {
            from = (u32)((u64)tiles * granules * b / grid);
            to = (u32)((u64)tiles * granules * (b + 1) / grid);
        }
        left = (int)(to - from);
        if (byColumns) {
            const u32 wide = (u32)tiles * (base + 1) * extra;
            const bool isWide = from < wide;
            const u32 rest = isWide ? from : from - wide, width = isWide ? base + 1 : base;
            cut = (isWide ? 0 : extra) + (int)(rest / (tiles * width));
            tile = (int)(rest % (tiles * width) / width);
            column = begin(cut) + (int)(rest % width);
        } else {
            tile = (int)(from / granules);
            column = (int)(from % granules);
            const int wide = (base + 1) * extra;
            cut = column < wide ? column / (base + 1) : extra + (column - wide) / base;
        }
    }
    FORCE int begin(int c) const { return c * base + min(c, extra); }
    FORCE int length() const { return min(left, begin(cut + 1) - column); }
    FORCE void advance(int n) {
        left -= n;
        column += n;
        if (column < begin(cut + 1)) return;
        if (!byColumns) {
            cut++;
            if (column == granules) {
                column = cut = 0;
                tile++;
            }
        } else {
            if (++tile == tiles) {
                tile = 0;
                cut++;
            }
            column = begin(cut);
        }
    }
};

// ---- the producer

// Pairs of scales of 8 rows, from an even granule to an even one, so that they can be copied.
FORCE int blockScaleBytes(const Walk& w, int n) { return 8 * (((w.column + n + 1) & ~1) - (w.column & ~1)); }

// What the producer must know of a phase. Each lane works one out for 32 phases to come, and hands it round by shuffles: a
// load and divisions at each phase's start would leave the memory idle for longer than the bytes in flight last.
struct Outlook {
    Phase phase;
    Walk walk;
    FORCE void look(const Decode& a, int i, int samples) {
        walk.left = walk.tile = walk.column = walk.cut = 0;
        phase.type = phase.format = phase.rows = phase.columns = phase.layer = 0;
        phase.cuts = 1;
        phase.weights = phase.scales = phase.maps = nullptr;
        if (i >= a.count) return;
        phase = a.phases[i];
        if (phase.type != ATTENTION && !skipped(phase.type, samples)) walk.start(phase, blockIdx.x, gridDim.x);
    }
    FORCE Outlook of(int lane) const {
        Outlook o;
        o.phase.type = __shfl_sync(~0u, phase.type, lane);
        o.phase.format = __shfl_sync(~0u, phase.format, lane);
        o.phase.rows = __shfl_sync(~0u, phase.rows, lane);
        o.phase.columns = __shfl_sync(~0u, phase.columns, lane);
        o.phase.layer = __shfl_sync(~0u, phase.layer, lane);
        o.phase.cuts = __shfl_sync(~0u, phase.cuts, lane);
        o.phase.weights = (const u8*)__shfl_sync(~0u, (u64)phase.weights, lane);
        o.phase.scales = (const u8*)__shfl_sync(~0u, (u64)phase.scales, lane);
        o.phase.maps = (const u8*)__shfl_sync(~0u, (u64)phase.maps, lane);
        o.walk.extents(o.phase);
        o.walk.tile = __shfl_sync(~0u, walk.tile, lane);
        o.walk.column = __shfl_sync(~0u, walk.column, lane);
        o.walk.left = __shfl_sync(~0u, walk.left, lane);
        o.walk.cut = __shfl_sync(~0u, walk.cut, lane);
        return o;
    }
};

// How the contexts are parted among the blocks: in items, each a part of one row's context for one key/value head.
struct Plan {
    int items;
    int position[MOST], tiles[MOST], each[MOST], parts[MOST], first[MOST];  // of a row; each: tiles of a part
    const int* blocks[MOST];
};
struct Item {
    int row, kv, split, from, to;  // tiles
    FORCE Item(const Plan& plan, int index, int rows, int kvHeads) {
        row = 0;
        while (row + 1 < rows && plan.first[row + 1] <= index) row++;
        const int rest = index - plan.first[row];
        kv = rest / plan.parts[row];
        split = rest % plan.parts[row];
        from = split * plan.each[row];
        to = min(plan.tiles[row], from + plan.each[row]);
    }
};

// By one warp. Parts are as long as lets every block have at most one, where that can be.
FORCE void makePlan(const Decode& a, const Step& step, int rows, Plan& plan) {
    const int lane = threadIdx.x % 32, grid = gridDim.x;
    const int position = lane < rows ? step.tokenPosition()[lane] : 0, tiles = lane < rows ? position / KEYS + 1 : 0;
    const auto sum = [](int v) {
#pragma unroll
        for (int o = 16; o; o >>= 1) v += __shfl_xor_sync(~0u, v, o);
        return v;
    };
    int longest = tiles;
#pragma unroll
    for (int o = 16; o; o >>= 1) longest = max(longest, __shfl_xor_sync(~0u, longest, o));
    int each = max(1, sum(tiles) * a.kvHeads / grid), parts;
    while (true) {
        parts = (tiles + each - 1) / each;
        if (sum(parts) * a.kvHeads <= grid || each >= longest) break;
        each += max(1, each / 16);
    }
    if (lane < rows) {
        each = (tiles + parts - 1) / parts;
        parts = (tiles + each - 1) / each;
    }
    int before = parts;
#pragma unroll
    for (int o = 1; o < 32; o <<= 1) {
        const int v = __shfl_up_sync(~0u, before, o);
        if (lane >= o) before += v;
    }
    if (lane == 31) plan.items = before * a.kvHeads;
    if (lane < rows) {
        plan.position[lane] = position;
        plan.tiles[lane] = tiles;
        plan.each[lane] = each;
        plan.parts[lane] = parts;
        plan.first[lane] = (before - parts) * a.kvHeads;
        plan.blocks[lane] = a.table + (i64)step.tokenSlot()[lane] * a.maxBlocks;
    }
}
FORCE void planMade() { asm volatile("bar.arrive 2, %0;" ::"n"(THREADS + 32 * PRODUCERS) : "memory"); }
FORCE void planAwaited() { asm volatile("bar.sync 2, %0;" ::"n"(THREADS + 32 * PRODUCERS) : "memory"); }

struct Ring {
    u8* memory;
    u64 *full, *empty;
    int slots, slotBytes;
};

struct Producer {
    const Decode& a;
    const Ring& ring;
    const volatile int* reached;  // the phase that the block is in
    int number;  // of this warp among the producers
    u64 policy;
    int slot = 0, parity = 1, old = 0, oldParity = 0, flying = 0;

    // Blocks differ in how near the memory is. While one is late, the others run ahead into the next phase, and would take
    // from its share of the memory's speed: so they have fewer bytes in flight then.
    FORCE void limitFlight(int phase) {
        if (threadIdx.x % 32 == 0) {
            for (; flying >= (phase > *reached ? a.ahead : a.depth); flying--) {
                barrierWait(ring.full + old, oldParity);
                if (++old == ring.slots) {
                    old = 0;
                    oldParity ^= 1;
                }
            }
            flying++;
        }
    }
    // Waits for the slot, says what will come from this warp.
    FORCE u32 claim(int bytes) {
        if (threadIdx.x % 32 == 0) {
            barrierWait(ring.empty + slot, parity);
            barrierExpect(ring.full + slot, bytes);
        }
        __syncwarp();
        return shared(ring.memory) + slot * ring.slotBytes;
    }
    FORCE u64* full() const { return ring.full + slot; }
    FORCE void next() {
        if (++slot == ring.slots) {
            slot = 0;
            parity ^= 1;
        }
    }
};

// Keys and values of a block's items: a tile of 64 takes a slot, keys first, or two. They are the same blocks in all layers.
template <int HD>
struct Context {
    const Plan& plan;
    int rows, lane, span, copy, what;  // what: keys, values, or nothing
    Item first;
    int firstBlock;

    FORCE Context(const Decode& a, const Plan& plan, int rows)
        : plan(plan), rows(rows), lane(threadIdx.x % 32), span(min(KEYS, a.blockSize)), copy(lane % (KEYS / span)), what(lane / (KEYS / span)),
          first(plan, min((int)blockIdx.x, plan.items - 1), rows, a.kvHeads), firstBlock(block(a, first, first.from)) {}
    // Past the newest key, its own block once more: what lies there are numbers.
    FORCE int block(const Decode& a, const Item& item, int tile) const {
        return what < 2 ? plan.blocks[item.row][min(tile * KEYS + copy * span, plan.position[item.row]) / a.blockSize] : 0;
    }
    FORCE void produce(const Decode& a, Producer& to, int phase, int layer) const {
        const bf16* from = (what ? a.values : a.keys) + layer * a.cacheLayer;
        for (int index = blockIdx.x; index < plan.items; index += gridDim.x) {
            const bool isFirst = index == blockIdx.x;
            const Item item = isFirst ? first : Item(plan, index, rows, a.kvHeads);
            int here = isFirst ? firstBlock : block(a, item, item.from);
            for (int tile = item.from; tile < item.to; tile++) {
                const int next = tile + 1 < item.to ? block(a, item, tile + 1) : 0;
                for (int s = 0; s < a.contextSlots; s++) {
                    const bool copies = (a.contextSlots == 1 ? what < 2 : what == s) && lane % PRODUCERS == to.number;
                    to.limitFlight(phase);
                    const u32 slot = to.claim(__popc(__ballot_sync(~0u, copies)) * 2 * span * HD);
                    if (copies)
                        bulkCopy(slot + ((what - s) * KEYS + copy * span) * HD * 2,
                                 from + (((i64)here * a.kvHeads + item.kv) * a.blockSize + tile * KEYS % a.blockSize * (span == KEYS)) * HD,
                                 2 * span * HD, to.full(), to.policy);
                    to.next();
                }
                here = next;
            }
        }
    }
};

// A map that is not at hand when it is used costs the time of a load.
FORCE void prefetchMaps(const u8* maps) {
#pragma unroll
    for (int i = 0; i < 3; i++) asm volatile("prefetch.tensormap [%0];" ::"l"(maps + i * MAP) : "memory");
}

// The block's share of a matrix, a part of each piece. A few warps do this for all the others: it must be quick.
FORCE void produceMatrix(Producer& to, const Phase& p, Walk w, int phase) {
    const int lane = threadIdx.x % 32;
    const bool packed = isInt4(p.format);
    const int step = granuleBytes(p.format), blocks = p.format == BF16 ? 2 : 1;  // of a granule: bytes, blocks
    while (w.left > 0) {
        const int n = w.length();
        const int bytes = to.number > 0 ? 0 : packed ? n * step : n * blocks * BLOCK;
        const int scales = to.number > 0 ? 0 : p.format == FP8_ROWS ? ROW_SCALES : p.format == FP8_BLOCKS ? blockScaleBytes(w, n) : 0;
        to.limitFlight(phase);
        const u32 slot = to.claim(bytes + scales);
        if (bytes && packed) {
            if (lane == 0) bulkCopy(slot, p.weights + ((i64)w.tile * w.granules + w.column) * step, bytes, to.full(), to.policy);
        } else if (bytes) {
            // A part of a slot, where the block's share begins or ends, comes by granules.
            const bool whole = n == w.begin(w.cut + 1) - w.begin(w.cut);
            const u8* map = p.maps + MAP * (whole ? w.cut >= w.extra : 2);
            if (lane < (whole ? 1 : n)) boxCopy(slot + lane * blocks * BLOCK, map, w.tile * TILE, (w.column + lane) * blocks, to.full(), to.policy);
        }
        if (scales && lane == TILE) {
            if (p.format == FP8_ROWS) {
                bulkCopy(slot + ROWS_END, p.scales + (i64)w.tile * ROW_SCALES, ROW_SCALES, to.full(), to.policy);
            } else {
                const i64 padded = (w.granules + 1) & ~1;
                bulkCopy(slot + ROWS_END + ROW_SCALES, p.scales + 8 * (w.tile * padded + (w.column & ~1)), scales, to.full(), to.policy);
            }
        }
        to.next();
        w.advance(n);
    }
}

template <int HD>
FORCE void produce(const Decode& a, int samples, int rows, const Ring& ring, const Plan& plan, const volatile int* reached) {
    Producer to = {a, ring, reached, (int)threadIdx.x / 32 - WARPS};
    asm volatile("createpolicy.fractional.L2::evict_first.b64 %0, 1.0;" : "=l"(to.policy));
    Outlook mine;
    mine.look(a, threadIdx.x % 32, samples);
    const Outlook begin = mine.of(0);
    if (begin.phase.type != ATTENTION) produceMatrix(to, begin.phase, begin.walk, 0);
    planAwaited();
    const Context<HD> context(a, plan, rows);
    for (int i = begin.phase.type != ATTENTION; i < a.count; i++) {
        if (i % 32 == 0) mine.look(a, i + threadIdx.x % 32, samples);
        const Outlook now = mine.of(i % 32);
        if (threadIdx.x % 32 == (i + 1) % 32 && mine.phase.maps) prefetchMaps(mine.phase.maps);
        if (now.phase.type == ATTENTION)
            context.produce(a, to, i, now.phase.layer);
        else
            produceMatrix(to, now.phase, now.walk, i);
    }
}

// ---- products

// The e4m3 values of bytes 0 and 2, and of 1 and 3, as bf16 of 2^-120 their size.
FORCE void fromFp8(u32 four, u32& even, u32& odd) {
    even = (four << 8 & 0x80008000u) | (four << 4 & 0x07f007f0u);
    odd = (four & 0x80008000u) | (four >> 4 & 0x07f007f0u);
}
constexpr float FP8_VECTOR = 0x1p64f, FP8_SUM = 0x1p56f;  // what the vectors are multiplied by, and then the sums

// Nibbles i and i + 4, less the zero point; `zero` is 128 more than that, twice.
FORCE u32 fromInt4(u32 eight, int i, u32 zero) {
    u32 r;
    asm("lop3.b32 %0, %1, 0x000f000f, 0x43004300, 0xea;" : "=r"(r) : "r"(eight >> 4 * i));
    asm("sub.rn.bf16x2 %0, %1, %2;" : "=r"(r) : "r"(r), "r"(zero));
    return r;
}

// Sums of 16 rows and 8 vectors at a time, as the tensor cores leave them; two chains of additions.
template <int NT>
struct Sums {
    float c[2][NT][4];
    FORCE void clear() {
#pragma unroll
        for (int i = 0; i < 8 * NT; i++) (&c[0][0][0])[i] = 0;
    }
    FORCE void addScaled(const Sums& s, float low, float high) {
#pragma unroll
        for (int n = 0; n < NT; n++) {
#pragma unroll
            for (int e = 0; e < 4; e++) c[0][n][e] += (s.c[0][n][e] + s.c[1][n][e]) * (e < 2 ? low : high);
        }
    }
};

// 16 columns of 16 rows times the vectors.
template <int NT>
FORCE void multiplyStep(Sums<NT>& sums, int chain, u32 a0, u32 a1, u32 a2, u32 a3, const u32 (&x)[NT][4], int half) {
#pragma unroll
    for (int t = 0; t < NT; t++) mma(sums.c[chain][t], a0, a1, a2, a3, x[t][2 * half], x[t][2 * half + 1]);
}
template <int NT>
FORCE void loadVectors(u32 (&to)[NT][4], const u32 (&x)[NT], int column) {
#pragma unroll
    for (int t = 0; t < NT; t++) ldmatrix(to[t], x[t] + 2 * column);
}

// A piece in a slot times the vectors. `x`: addresses of this lane's part of the vectors' first 32 columns, where the
// matrix' first column would be.
template <int NT>
FORCE void multiplyPiece(const Phase& p, const Walk& w, int n, u32 slot, const u32 (&x)[NT], Sums<NT>& sums, float2& rowScale) {
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, g = lane / 4;
    const u32 rows = slot + lane % 16 * 128 + (lane / 16 ^ lane % 8) * 16;  // of the first block; 32 bytes on, a bit is turned
    const int start = w.column * GRANULE;
    if (p.format == BF16) {
        // Half a granule at a time, so that there are as many pieces of work as warps.
        for (int k = warp; k < 2 * n; k += WARPS) {
            const int column = start + k * 64;
            u32 a[4][4], v[2][NT][4];
            if (p.columns - column >= 64) {
#pragma unroll
                for (int i = 0; i < 4; i++) ldmatrix(a[i], (rows + k * BLOCK) ^ i * 32);
                loadVectors(v[0], x, column);
                loadVectors(v[1], x, column + 32);
#pragma unroll
                for (int i = 0; i < 4; i++) multiplyStep(sums, i % 2, a[i][0], a[i][1], a[i][2], a[i][3], v[i / 2], i % 2);
            } else if (p.columns > column) {
#pragma unroll
                for (int i = 0; i < 2; i++) ldmatrix(a[i], (rows + k * BLOCK) ^ i * 32);
                loadVectors(v[0], x, column);
#pragma unroll
                for (int i = 0; i < 2; i++) multiplyStep(sums, i, a[i][0], a[i][1], a[i][2], a[i][3], v[0], i);
            }
        }
    } else if (isFp8(p.format)) {
        if (p.format == FP8_ROWS) rowScale = make_float2(loadShared(slot + ROWS_END + 4 * g), loadShared(slot + ROWS_END + 4 * g + 32));
        for (int k = warp; k < n; k += WARPS) {
            u32 a[4][4], v[4][NT][4];
            Sums<NT> part;
            part.clear();
#pragma unroll
            for (int i = 0; i < 4; i++) {
                ldmatrix(a[i], (rows + k * BLOCK) ^ i * 32);
                loadVectors(v[i], x, start + k * GRANULE + i * 32);
            }
#pragma unroll
            for (int i = 0; i < 4; i++) {
#pragma unroll
                for (int h = 0; h < 2; h++) {
                    u32 even, odd, evenHigh, oddHigh;
                    fromFp8(a[i][2 * h], even, odd);
                    fromFp8(a[i][2 * h + 1], evenHigh, oddHigh);
                    multiplyStep(part, h, even, evenHigh, odd, oddHigh, v[i], h);
                }
            }
            float2 scale = make_float2(1, 1);
            if (p.format == FP8_BLOCKS) {
                const u32 at = slot + ROWS_END + ROW_SCALES + 8 * (w.column + k - (w.column & ~1));
                scale = make_float2(loadShared(at), loadShared(at + 4));
            }
            sums.addScaled(part, scale.x, scale.y);
        }
    } else {
        const int bytes = granuleBytes(p.format);
#pragma unroll 2
        for (int k = warp; k < n; k += WARPS) {
            const u32 granule = slot + k * bytes;
            u32 low[4], high[4], v[4][NT][4];
            loadShared4(low, granule + 16 * lane);
            loadShared4(high, granule + 512 + 16 * lane);
            const float scaleLow = halfToFloat(loadShared2(granule + 1024 + 2 * g)), scaleHigh = halfToFloat(loadShared2(granule + 1040 + 2 * g));
            u32 zeroLow = 0x43084308u, zeroHigh = 0x43084308u;
            if (p.format == INT4_ZEROS) {
                zeroLow = 0x43004300u | loadShared1(granule + 1056 + g) * 0x10001u;
                zeroHigh = 0x43004300u | loadShared1(granule + 1064 + g) * 0x10001u;
            }
#pragma unroll
            for (int i = 0; i < 4; i++) loadVectors(v[i], x, start + k * GRANULE + i * 32);
            Sums<NT> part;
            part.clear();
#pragma unroll
            for (int i = 0; i < 4; i++) {
#pragma unroll
                for (int h = 0; h < 2; h++)
                    multiplyStep(part, h, fromInt4(low[i], 2 * h, zeroLow), fromInt4(high[i], 2 * h, zeroHigh),
                                 fromInt4(low[i], 2 * h + 1, zeroLow), fromInt4(high[i], 2 * h + 1, zeroHigh), v[i], h);
            }
            sums.addScaled(part, scaleLow, scaleHigh);
        }
    }
}

// Four elements of a vector, in the order that the weights' format wants: what a lane has of FP8's 16 columns are four
// neighbours, of which the even ones meet one half of an instruction's columns.
FORCE void putQuad(bf16* x, int format, int column, float4 v) {
    if (isFp8(format)) {
        const int at = (column & ~15) | (column & 12) >> 1;
        *(u32*)(x + at) = pack(v.x * FP8_VECTOR, v.z * FP8_VECTOR);
        *(u32*)(x + at + 8) = pack(v.y * FP8_VECTOR, v.w * FP8_VECTOR);
    } else {
        *(uint2*)(x + column) = make_uint2(pack(v.x, v.y), pack(v.z, v.w));
    }
}

// Residual sums (or, before the first layer, embeddings) times the norm's weights, to shared memory, and the sums of their
// squares: what a vector is divided by goes to the product's results instead.
FORCE void bringResidual(const Decode& a, const Step& step, const Phase& p, bool first, int vectors, const float4 (&weight)[NORM], bf16* x,
                         float* squares) {
    constexpr int TOGETHER = 4;
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, quads = a.hidden / 4;
    for (int v0 = 0; v0 < vectors; v0 += TOGETHER) {
        float s[TOGETHER] = {};
#pragma unroll 1
        for (int h = 0; h < NORMS; h++) {
            if ((warp + h * NORM * WARPS) * 32 >= quads) break;
            float4 value[TOGETHER][NORM];
#pragma unroll
            for (int u = 0; u < TOGETHER; u++) {
                const int v = v0 + u;
                if (v >= vectors) break;
                const float* in = a.residual + (i64)(p.type == LOGITS ? step.sampleToken()[v] : v) * a.hidden;
                const bf16* row = nullptr;
                if (first) {
                    int id = step.tokenId()[v];
                    if (id < 0) id = a.last[step.tokenSlot()[v]];
                    row = a.embedding + (i64)id * a.hidden;
                }
#pragma unroll
                for (int n = 0; n < NORM; n++) {
                    const int j = (warp + (h * NORM + n) * WARPS) * 32 + lane;
                    value[u][n] = make_float4(0, 0, 0, 0);
                    if (j >= quads) continue;
                    if (first) {
                        const uint2 e = ((const uint2*)row)[j];
                        value[u][n] = make_float4(lowFloat(e.x), highFloat(e.x), lowFloat(e.y), highFloat(e.y));
                    } else {
                        value[u][n] = __ldcg((const float4*)in + j);
                    }
                }
            }
#pragma unroll
            for (int u = 0; u < TOGETHER; u++) {
                const int v = v0 + u;
                if (v >= vectors) break;
#pragma unroll
                for (int n = 0; n < NORM; n++) {
                    const int j = (warp + (h * NORM + n) * WARPS) * 32 + lane;
                    if (j >= quads) continue;
                    const float4 e = value[u][n], f = h == 0 ? weight[n] : ((const float4*)p.vector)[j];
                    if (first && blockIdx.x == 0) __stcg((float4*)(a.residual + (i64)v * a.hidden) + j, e);
                    s[u] += e.x * e.x + e.y * e.y + e.z * e.z + e.w * e.w;
                    putQuad(x + v * a.pitch, p.format, 4 * j, make_float4(e.x * f.x, e.y * f.y, e.z * f.z, e.w * f.w));
                }
            }
        }
#pragma unroll
        for (int u = 0; u < TOGETHER; u++) {
            if (v0 + u >= vectors) break;
            const float total = warpSum(s[u]);
            if (lane == 0) squares[(v0 + u) * WARPS + warp] = total;
        }
    }
}

// Columns [from, to) of bf16 vectors to shared memory.
FORCE void bring(const Decode& a, const bf16* in, const Phase& p, int vectors, int from, int to, bf16* x) {
    const int pieces = (to - from) / 8;
#pragma unroll 4
    for (int i = threadIdx.x; i < pieces * vectors; i += THREADS) {
        const int v = i / pieces, c = i % pieces * 8;
        const uint4 e = __ldcg((const uint4*)(in + (i64)v * p.columns + from + c));
        if (isFp8(p.format)) {
            putQuad(x + v * a.pitch, p.format, c, make_float4(lowFloat(e.x), highFloat(e.x), lowFloat(e.y), highFloat(e.y)));
            putQuad(x + v * a.pitch, p.format, c + 4, make_float4(lowFloat(e.z), highFloat(e.z), lowFloat(e.w), highFloat(e.w)));
        } else {
            *(uint4*)(x + v * a.pitch + c) = e;
        }
    }
}

// Columns of what attention gave; parts are joined on the way where they are few.
template <int HD>
FORCE void bringAttended(const Decode& a, const Plan& plan, const Phase& p, int vectors, int from, int to, bf16* x) {
    const int group = a.heads / a.kvHeads, quads = (to - from) / 4;
    for (int i = threadIdx.x; i < quads * vectors; i += THREADS) {
        const int v = i / quads, c = i % quads * 4, head = (from + c) / HD, r = head % group, used = plan.parts[v];
        float4 sum = make_float4(0, 0, 0, 0);
        if (used > JOINED) {
            const uint2 e = __ldcg((const uint2*)(a.attended + (i64)v * p.columns + from + c));
            sum = make_float4(lowFloat(e.x), highFloat(e.x), lowFloat(e.y), highFloat(e.y));
        } else {
            const i64 parts = plan.first[v] + head / group * used;
            float2 ml[JOINED];
            float4 o[JOINED];
#pragma unroll
            for (int s = 0; s < JOINED; s++) {
                ml[s] = make_float2(NEG_INF, 0);
                o[s] = make_float4(0, 0, 0, 0);
                if (s < used) {
                    ml[s] = __ldcg(a.partSums + (parts + s) * 16 + r);
                    o[s] = __ldcg((const float4*)(a.parts + ((parts + s) * 16 + r) * HD) + c % HD / 4);
                }
            }
            float top = NEG_INF, total = 0;
#pragma unroll
            for (int s = 0; s < JOINED; s++) top = fmaxf(top, ml[s].x);
#pragma unroll
            for (int s = 0; s < JOINED; s++) {
                const float e = power2(ml[s].x - top);
                total += ml[s].y * e;
                sum = make_float4(sum.x + o[s].x * e, sum.y + o[s].y * e, sum.z + o[s].z * e, sum.w + o[s].w * e);
            }
            const float f = 1.f / total;
            sum = make_float4(sum.x * f, sum.y * f, sum.z * f, sum.w * f);
        }
        putQuad(x + v * a.pitch, p.format, c, sum);
    }
}

// What becomes of the sums of a run of tiles. `factors`: of the vectors, where they were normed.
FORCE void finish(const Decode& a, const Phase& p, int vectors, const float* sums, const float* factors, int firstTile, int tiles, int allTiles) {
    const int stride = TILE * vectors;  // from warp to warp
    if (p.type == GATE_UP) {
        for (int i = threadIdx.x; i < tiles * 8 * vectors; i += THREADS) {
            const int r = i % 8, v = i / 8 % vectors, tile = i / (8 * vectors);
            const float* s = sums + tile * WARPS * stride + r * vectors + v;
            float gate = 0, up = 0;
#pragma unroll
            for (int w = 0; w < WARPS; w++) {
                gate += s[w * stride];
                up += s[w * stride + 8 * vectors];
            }
            gate *= factors[v];
            up *= factors[v];
            a.activated[(i64)v * (p.rows / 2) + (firstTile + tile) * 8 + r] = toBf16(gate / (1.f + __expf(-gate)) * up);
        }
        return;
    }
    const bool normed = p.type != OUTPUT && p.type != DOWN;
    float* out = p.type == LOGITS ? a.logits : p.type == QKV ? a.qkv : a.added;
    const i64 pitch = p.type == LOGITS ? a.vocabulary : p.rows;
    for (int i = threadIdx.x; i < tiles * TILE * vectors; i += THREADS) {
        const int r = i % TILE, v = i / TILE % vectors, tile = i / stride;
        const float* s = sums + tile * WARPS * stride + r * vectors + v;
        float sum = 0;
#pragma unroll
        for (int w = 0; w < WARPS; w++) sum += s[w * stride];
        if (normed) sum *= factors[v];
        int at = firstTile + tile;
        if (at >= allTiles) at -= allTiles;
        const int row = at * TILE + r;
        if (row >= p.rows) continue;
        if (p.type == LOGITS)
            out[v * pitch + row] = sum;
        else
            atomicAdd(out + v * pitch + row, sum);
    }
}

// ---- attention

struct Taker {
    const Ring& ring;
    int slot = 0, parity = 0;
    FORCE u8* await() {
        barrierWait(ring.full + slot, parity);
        return ring.memory + slot * ring.slotBytes;
    }
    // The slot behind, while this one is still held.
    FORCE u8* awaitFollowing() {
        const int next = slot + 1 == ring.slots ? 0 : slot + 1;
        barrierWait(ring.full + next, next == 0 ? parity ^ 1 : parity);
        return ring.memory + next * ring.slotBytes;
    }
    FORCE void release() {
        __syncwarp();
        if (threadIdx.x % 32 == 0) barrierArrive(ring.empty + slot);
        if (++slot == ring.slots) {
            slot = 0;
            parity ^= 1;
        }
    }
};

// The block's items of a layer. `small`: shared memory of 18 rows, `sums`: of 32 rows of floats and a little. What does not
// depend on this step's phases is asked for before the grid is awaited, by `await`.
template <int HD, class Await>
FORCE void attendItems(const Decode& a, const Plan& plan, const Phase& p, int rows, Taker& taker, bf16* small, float* sums, Await await) {
    constexpr int STRIDE = HD + 8, HALF = HD / 2;
    const int t = threadIdx.x, warp = t / 32, lane = t % 32, group = a.heads / a.kvHeads;
    bf16 *layerKeys = a.keys + p.layer * a.cacheLayer, *layerValues = a.values + p.layer * a.cacheLayer;
    float2* ml = (float2*)(sums + 4 * 8 * HD);
    int* isLast = (int*)(ml + 32);
    bool awaited = false;
    for (int index = blockIdx.x;; index += gridDim.x) {
        const bool any = index < plan.items;
        if (!any && awaited) return;
        const Item item(plan, any ? index : 0, rows, a.kvHeads);
        const int position = plan.position[item.row], kv = item.kv;
        const bool newest = item.to == plan.tiles[item.row];
        // The row's queries of this head, then, where the new key lies in this part, its key and its value.
        const int rotations = any ? (newest ? group + 2 : group) * HALF : 0;
        float2 bias[PAIRS], angle[PAIRS], value[PAIRS];
        int low[PAIRS], high[PAIRS];
#pragma unroll
        for (int j = 0; j < PAIRS; j++) {
            const int i = t + j * THREADS, h = i / HALF, pair = i % HALF;
            const int head = h < group ? kv * group + h : h == group ? a.heads + kv : a.heads + a.kvHeads + kv;
            const bool neighbours = a.interleaved || h > group;
            low[j] = head * HD + (neighbours ? 2 * pair : pair);
            high[j] = head * HD + (neighbours ? 2 * pair + 1 : pair + HALF);
            bias[j] = make_float2(0, 0);
            angle[j] = make_float2(1, 0);
            if (i < rotations && p.vector) bias[j] = make_float2(p.vector[low[j]], p.vector[high[j]]);
            if (i < rotations && h <= group) angle[j] = a.rope[(i64)position * HALF + pair];
        }
        const int newestBlock = any ? plan.blocks[item.row][position / a.blockSize] : 0;
        if (!awaited) await();
        awaited = true;
        if (!any) return;
        const float* qkv = a.qkv + (i64)item.row * p.rows;
#pragma unroll
        for (int j = 0; j < PAIRS; j++)
            if (t + j * THREADS < rotations) value[j] = make_float2(__ldcg(qkv + low[j]), __ldcg(qkv + high[j]));
#pragma unroll
        for (int j = 0; j < PAIRS; j++) {
            const int i = t + j * THREADS, h = i / HALF;
            if (i >= rotations) continue;
            const float x = value[j].x + bias[j].x, y = value[j].y + bias[j].y;
            const float2 f = angle[j];
            const bf16 e = toBf16(x * f.x - y * f.y), o = toBf16(y * f.x + x * f.y);
            const int d = low[j] % HD, d2 = high[j] % HD, r = h < group ? h : 16 + h - group;
            small[r * STRIDE + d] = e;
            small[r * STRIDE + d2] = o;
            if (h >= group) {
                bf16* out = (h == group ? layerKeys : layerValues) +
                            (((i64)newestBlock * a.kvHeads + kv) * a.blockSize + position % a.blockSize) * HD;
                out[swizzled(d, position)] = e;
                out[swizzled(d2, position)] = o;
            }
        }
        for (int i = group * STRIDE + t; i < 16 * STRIDE; i += THREADS) small[i] = 0;
        consumersSync();
        u32 q[HD / 16][4];
#pragma unroll
        for (int d = 0; d < HD / 16; d++) ldmatrix(q[d], shared(small + lane % 16 * STRIDE + d * 16 + lane / 16 * 8));
        const int limit[2] = {position + 1, position + 1};
        float m[2] = {NEG_INF, NEG_INF}, l[2] = {0, 0}, o[HD / 8][4] = {};
        for (int tile = item.from; tile < item.to; tile++) {
            bf16* k = (bf16*)taker.await();
            bf16* v = a.contextSlots == 1 ? k + KEYS * HD : (bf16*)taker.awaitFollowing();
            if (newest && tile == item.to - 1) {
                const int at = position % KEYS * HD, flip = position & 7;
                if (t < HD / 8) ((uint4*)(k + at))[t ^ flip] = ((const uint4*)(small + 16 * STRIDE))[t];
                if (t >= 32 && t < 32 + HD / 8) ((uint4*)(v + at))[(t - 32) ^ flip] = ((const uint4*)(small + 17 * STRIDE))[t - 32];
                // The slot's next content comes through another path to memory than these writes.
                asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
                consumersSync();
            }
            if (warp / 4 == (tile - item.from) % GROUPS) attend<HD, 2>(q, k, v, warp % 4 * 16, tile * KEYS, limit, a.scale, m, l, o);
            taker.release();
            if (a.contextSlots == 2) taker.release();
        }
        const bool several = GROUPS > 1 && item.to - item.from > 1;
        l[0] = quadSum(l[0]);
        l[1] = quadSum(l[1]);
        // 8 of the 16 queries at a time: the groups of warps, then the warps of the first.
#pragma unroll
        for (int h = 0; h < 2; h++) {
            if (8 * h >= group) break;
            const int r = lane / 4, c = lane % 4 * 2;
            const auto put = [&]() {
                if (lane % 4 == 0) ml[warp % 4 * 8 + r] = make_float2(m[h], l[h]);
#pragma unroll
                for (int d = 0; d < HD / 8; d++) *(float2*)(sums + (warp % 4 * 8 + r) * HD + d * 8 + c) = make_float2(o[d][2 * h], o[d][2 * h + 1]);
            };
            for (int other = 1; several && other < GROUPS; other++) {
                if (warp / 4 == other) put();
                consumersSync();
                if (warp < 4) {
                    const float2 theirs = ml[warp * 8 + r];
                    const float top = fmaxf(m[h], theirs.x), base = top == NEG_INF ? 0.f : top;
                    const float e = power2(m[h] - base), f = power2(theirs.x - base);
                    m[h] = top;
                    l[h] = l[h] * e + theirs.y * f;
#pragma unroll
                    for (int d = 0; d < HD / 8; d++) {
                        const float2 s = *(const float2*)(sums + (warp * 8 + r) * HD + d * 8 + c);
                        o[d][2 * h] = o[d][2 * h] * e + s.x * f;
                        o[d][2 * h + 1] = o[d][2 * h + 1] * e + s.y * f;
                    }
                }
                consumersSync();
            }
            if (warp < 4) put();
            consumersSync();
            for (int i = t; i < min(8, group - 8 * h) * HD; i += THREADS) {
                const int row = i / HD, d = i % HD;
                float top = NEG_INF, total = 0, sum = 0;
#pragma unroll
                for (int w = 0; w < 4; w++) top = fmaxf(top, ml[w * 8 + row].x);
#pragma unroll
                for (int w = 0; w < 4; w++) {
                    const float e = power2(ml[w * 8 + row].x - top);
                    total += ml[w * 8 + row].y * e;
                    sum += sums[(w * 8 + row) * HD + d] * e;
                }
                const i64 to = (i64)index * 16 + 8 * h + row;
                __stcg(a.parts + to * HD + d, sum);
                if (d == 0) __stcg(a.partSums + to, make_float2(top, total));
            }
            consumersSync();
        }
        const int used = plan.parts[item.row];
        if (used <= JOINED) continue;
        // Many parts: the last block to finish a row's head joins them, so that not every block has to read them all.
        if (t == 0) {
            u32* arrivals = a.arrivals + item.row * a.kvHeads + kv;
            asm volatile("fence.acq_rel.gpu;" ::: "memory");
            *isLast = atomicAdd(arrivals, 1u) == (u32)used - 1;
            asm volatile("fence.acq_rel.gpu;" ::: "memory");
            if (*isLast) *arrivals = 0;
        }
        consumersSync();
        if (*isLast) {
            bf16* out = a.attended + ((i64)item.row * a.heads + kv * group) * HD;
            const i64 parts = index - item.split;
            for (int i = t; i < group * HD; i += THREADS) {
                const int r = i / HD, d = i % HD;
                float top = NEG_INF, total = 0, sum = 0;
#pragma unroll 8
                for (int s = 0; s < used; s++) {
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
        consumersSync();
    }
}

// ---- tensor-parallel ranks

// This block's piece of all ranks' parts of the residual sums.
FORCE void share(const Decode& a, const Peers& peers, const Step& step, int index, int tokens) {
    const int pairs = tokens * a.hidden / 2, from = (int)((i64)pairs * blockIdx.x / gridDim.x);
    const int to = (int)((i64)pairs * (blockIdx.x + 1) / gridDim.x);
    const u32 sequence = peers.sequence(step, index);
    for (int i = from + threadIdx.x; i < to; i += THREADS) {
        float2 *part = (float2*)a.added + i, *out = (float2*)a.residual + i;
        const float2 mine = __ldcg(part), before = __ldcg(out);
        // For the next sum.
        __stcg(part, make_float2(0, 0));
        const float2 sum = sumOverRanks(peers, sequence, index, i, mine);
        __stcg(out, make_float2(before.x + sum.x, before.y + sum.y));
    }
}

// ---- the step

template <int HD, int NT>
FORCE void consume(const Decode& a, const Peers& peers, const Step& step, const Ring& ring, Plan& plan, bf16* x, float* sums, float* squares, float* factors,
                   volatile int* reached, u64* trace) {
    const int t = threadIdx.x, warp = t / 32, lane = t % 32, samples = step.samples(), tokens = step.tokens();
    i64 marked = clock64();
    const auto mark = [&](int type, int what) {
        if (TILING_TRACE && t == 0) {
            const i64 now = clock64();
            trace[type * 8 + what] += now - marked;
            marked = now;
        }
    };
    if (warp == 0) makePlan(a, step, tokens, plan);
    planMade();
    consumersSync();
    Taker taker = {ring};
    u32 met = 0;
    for (int i = 0; i < a.count; i++) {
        const Phase p = a.phases[i];
        if (i + 2 < a.count) asm volatile("prefetch.global.L1 [%0];" ::"l"(a.phases + i + 2));
        const auto await = [&]() {
            if (i > 0) {
                if (t == 0) {
                    awaitGrid(a.barrier, met);
                    *reached = i;
                }
                consumersSync();
            }
            mark(p.type, 0);
        };
        if (p.type == ATTENTION) {
            attendItems<HD>(a, plan, p, tokens, taker, x, sums, await);
            consumersSync();
            mark(p.type, 1);
        } else if (!skipped(p.type, samples)) {
            const bool normed = p.type != OUTPUT && p.type != DOWN;
            float4 weight[NORM];
            if (normed) {
#pragma unroll
                for (int j = 0; j < NORM; j++)
                    if ((warp + j * WARPS) * 32 + lane < a.hidden / 4) weight[j] = ((const float4*)p.vector)[(warp + j * WARPS) * 32 + lane];
            }
            Walk w;
            w.start(p, blockIdx.x, gridDim.x);
            const int vectors = p.type == LOGITS ? samples : tokens, capacity = a.sumFloats / (WARPS * TILE * vectors);
            const int base = w.byColumns ? w.begin(w.cut) * GRANULE : 0;  // the first column that x holds
            await();
            if (normed) {
                bringResidual(a, step, p, i == 0, vectors, weight, x, squares);
                consumersSync();
                if (t < vectors) {
                    float s = 0;
#pragma unroll
                    for (int k = 0; k < WARPS; k++) s += squares[t * WARPS + k];
                    factors[t] = rsqrtf(s / (float)a.hidden + a.epsilon);
                }
            } else {
                // A share never reaches over more than two slots' columns.
                const int width = w.begin(w.cut + 1) - w.begin(w.cut);
                const bool more = w.left > (w.tiles - w.tile) * width - (w.column - w.begin(w.cut));
                const int end = min(w.begin(w.cut + 1 + more) * GRANULE, p.columns);
                if (p.type == OUTPUT) {
                    bringAttended<HD>(a, plan, p, vectors, base, end, x);
                    if (blockIdx.x == gridDim.x - 1) {
                        // For the next layer's sums.
                        const int all = tokens * (a.heads + 2 * a.kvHeads) * HD;
                        for (int j = t; j < all; j += THREADS) __stcg(a.qkv + j, 0.f);
                    }
                } else {
                    bring(a, a.activated, p, vectors, base, end, x);
                }
                consumersSync();
            }
            mark(p.type, 1);
            u32 mine[NT];
#pragma unroll
            for (int n = 0; n < NT; n++) mine[n] = shared(x) + 2 * (min(n * 8 + lane % 8, vectors - 1) * a.pitch - base + lane / 8 * 8);
            Sums<NT> acc;
            acc.clear();
            bool begun = false;
            while (w.left > 0) {
                const int firstTile = w.tile;
                int tiles = 0;
                while (w.left > 0 && tiles < capacity) {
                    const int n = w.length(), tile = w.tile;
                    float2 rowScale = make_float2(1, 1);
                    const u32 slot = shared(taker.await());
                    if (!begun) mark(p.type, 2);
                    begun = true;
                    multiplyPiece<NT>(p, w, n, slot, mine, acc, rowScale);
                    taker.release();
                    w.advance(n);
                    if (!w.byColumns && w.tile == tile && w.left > 0) continue;
                    const float fp8 = isFp8(p.format) ? FP8_SUM : 1.f;
                    float* to = sums + (tiles * WARPS + warp) * TILE * vectors;
#pragma unroll
                    for (int k = 0; k < NT; k++) {
#pragma unroll
                        for (int e = 0; e < 4; e++) {
                            const int v = k * 8 + lane % 4 * 2 + e % 2, r = lane / 4 + e / 2 * 8;
                            if (v < vectors) to[r * vectors + v] = (acc.c[0][k][e] + acc.c[1][k][e]) * (e < 2 ? rowScale.x : rowScale.y) * fp8;
                        }
                    }
                    acc.clear();
                    tiles++;
                }
                if (w.left == 0) mark(p.type, 3);
                consumersSync();
                finish(a, p, vectors, sums, factors, firstTile, tiles, w.tiles);
                consumersSync();
            }
            mark(p.type, 4);
        } else {
            await();
            if (p.type == SHARE) {
                share(a, peers, step, p.layer, tokens);
                consumersSync();
                mark(p.type, 1);
            }
        }
        if (t == 0) addRelease(a.barrier);
        met += gridDim.x;
        mark(p.type, 5);
    }
    if (t == 0) {
        if (TILING_TRACE && a.trace)
            for (int i = 0; i < 64; i++) atomicAdd(a.trace + i, trace[i]);
        // The last block to leave makes the counters ready for the next step.
        if (atomicAdd(a.barrier + 1, 1u) == gridDim.x - 1) {
            a.barrier[0] = 0;
            a.barrier[1] = 0;
        }
    }
}

template <int HD, int NT>
FORCE void decodeStep(const Step& step, const Decode& a, const Peers& peers) {
    extern __shared__ __align__(1024) u8 memory[];
    const int t = threadIdx.x, warp = t / 32, samples = step.samples(), tokens = step.tokens();
    bf16* x = (bf16*)(memory + a.slots * a.slotBytes);
    float* sums = (float*)((u8*)x + a.vectorBytes);
    float* squares = sums + a.sumFloats;  // [vectors, warps]
    float* factors = squares + MOST * WARPS;
    Plan& plan = *(Plan*)(factors + MOST);
    u64* full = (u64*)(&plan + 1);
    u64* empty = full + a.slots;
    volatile int* reached = (volatile int*)(empty + a.slots);
    u64* trace = (u64*)(reached + 2);  // [kinds, marks]
    const Ring ring = {memory, full, empty, a.slots, a.slotBytes};
    if (t == 0) {
        for (int i = 0; i < a.slots; i++) {
            barrierInit(full + i, PRODUCERS);
            barrierInit(empty + i, WARPS);
        }
        *reached = 0;
        asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
        if (TILING_TRACE)
            for (int i = 0; i < 64; i++) trace[i] = 0;
    }
    __syncthreads();
    if (warp >= WARPS) {
        produce<HD>(a, samples, tokens, ring, plan, reached);
    } else {
        consume<HD, NT>(a, peers, step, ring, plan, x, sums, squares, factors, reached, trace);
    }
}

// Has all multiprocessors take note of maps that the host has written.
extern "C" __global__ void acquireMaps(const u8* maps, int count) {
    for (int i = threadIdx.x; i < count; i += blockDim.x) asm volatile("fence.proxy.tensormap::generic.acquire.sys [%0], 128;" ::"l"(maps + (i64)i * MAP) : "memory");
}

#define DECODE(HD, NT)                                                                                                     \
    extern "C" __global__ void __launch_bounds__(THREADS + 32 * PRODUCERS, 1) decode##HD##x##NT(Step step, const __grid_constant__ Decode a, \
                                                                                          const __grid_constant__ Peers peers) { \
        decodeStep<HD, NT>(step, a, peers);                                                                                \
    }
DECODE(64, 1)
DECODE(64, 2)
DECODE(128, 1)
DECODE(128, 2)
