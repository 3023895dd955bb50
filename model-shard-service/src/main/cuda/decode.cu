// targets: sm_80 sm_90a
// A whole decode step of up to 16 sequences as one persistent kernel, put together from a model's description: a list of
// phases, with a barrier over the grid between two of them, or with values that carry a number ("values that carry a number"
// below). Longer than 500 lines: one kernel, told in the order of a step.
//
// In each block one warp streams the block's share of every weight, and of the keys and values it attends to, in
// order, into a ring in shared memory by bulk copies. Neither depends on the step's activations, so it never waits for the
// grid: the ring fills while blocks meet at a barrier, and what it takes next goes to the second-level cache. Few bytes are in
// flight, the rest of the ring has landed; a deep queue in the memory system would delay the loads of activations.
//
// A slot of the ring holds 16 rows (a tile) of some granules of 128 columns, and is one copy: a warp starts a copy in about 45
// ns whatever its size. All other warps take their columns of every slot through tensor cores and keep sums in registers; a
// tile's sums meet in shared memory. Weight formats differ in how
// a slot is laid out and how a granule meets the vectors:
//   BF16        pieces of 128 bytes of each of the 16 rows, permuted by 16 bytes, so that ldmatrix meets all banks
//   FP8_ROWS    e4m3 in the same way, a scale a row
//   FP8_BLOCKS  e4m3, a scale for 8 rows by 128 columns
//   INT4        tiles in the order in which lanes take them, 16 scales (f16) behind each granule
//   INT4_ZEROS  the same with 16 zero points (bytes) behind the scales
// Eight vectors cost the tensor cores what one does; which column meets which k of an instruction is free as long as the
// vectors are permuted alike.
//
// Devices before Hopper have no bulk copies: there all lanes of that warp copy 16 bytes each into the same places, and the
// slot's barrier counts their arrivals.
//
// Products that are added to others' (attention's and the MLP's output) go by columns: a block takes a piece of all rows, so
// that it needs few columns of the vectors. The others need whole vectors, or whole rows of results.
//
// Tensor-parallel ranks run such a kernel each. Their parts of a sum meet in a phase of their own (SHARE): each block takes a
// piece of the vectors, sends this rank's part of it to the others and adds up theirs, while the ring goes on filling.
#include "attention.cuh"
#include "pipeline.cuh"
#include "peers.cuh"

// As DecodeTiling.java has them; others can be tried by -D.
#ifndef TILING_WARPS
#define TILING_WARPS 7
#endif
#ifndef TILING_TRACE
#define TILING_TRACE 0
#endif
// Whether the copy engine fills slots: one lane asks, and bytes are counted. Without, a warp's lanes do, and are counted; which
// can be tried on Hopper too.
#ifndef TILING_BULK
#if __CUDA_ARCH__ >= 900
#define TILING_BULK 1
#else
#define TILING_BULK 0
#endif
#endif
constexpr int WARPS = TILING_WARPS, THREADS = WARPS * 32, GROUPS = WARPS / 4;
constexpr int TILE = 16, GRANULE = 128;                       // rows, columns
constexpr int BLOCK = TILE * 128;                             // bytes of a block of a slot
constexpr int ROWS_END = 14 * BLOCK;                          // of a slot of rows, where scales lie behind them
constexpr int ROW_SCALES = 4 * TILE;                          // bytes, behind the rows
constexpr int MOST = 16;                                      // sequences
constexpr int GRANULES = 64;                                  // of the columns that a block meets in a phase, at most
constexpr int NORM = (32 + WARPS - 1) / WARPS;                // quads of a vector that a thread brings at once
constexpr int NORMS = 2;                                      // times, at most
constexpr int PAIRS = (18 * 64 + THREADS - 1) / THREADS;      // pairs of q, k and v elements that a thread rotates
constexpr int JOINED = 8;                                     // parts of contexts that the output product joins itself
constexpr u32 PACE = 2000;                                    // cycles between two slots' way to the second-level cache

enum { QKV, ATTENTION, OUTPUT, GATE_UP, DOWN, LOGITS, SHARE };
enum { BF16, FP8_ROWS, FP8_BLOCKS, INT4, INT4_ZEROS };
// What a kernel can take besides bf16: the less, the shorter it is, and all of it runs once a layer.
enum { WITH_FP8 = 1, WITH_INT4 = 2 };

// As DecodeKernel.java writes it.
struct Phase {
    int type, format, rows, columns;
    int layer;            // of SHARE, the sum's number
    short cuts, numbered;  // slots that a tile's columns are cut into; whether the next phase goes by its values' numbers
    const u8 *weights, *scales;
    const float* vector;  // norm weights before the product, or the bias behind it (of attention's inputs)
    const u8* maps;       // how tiles are brought where rows are as they are: a wide slot, another one, a granule
    const float* norms;   // of attention's heads [2, head size], of queries and of keys, where the model has them
};

struct Decode {
    const Phase* phases;
    const bf16* embedding;
    const int* last;
    float *residual, *qkv;  // [vectors, ...]; qkv is zero between steps
    u64 *attended, *activated, *joined;  // numbered: [vectors, ... / 2], and the parts that the output product joins
    float *logits, *parts, *added;  // added: what output and down products are added to, the residual sums or this rank's part
    float2* partSums;
    u32 *arrivals, *barrier;  // arrivals: [vectors, kv heads]; barrier: two, and how many phases there were; zero but that between steps
    const float2* rope;
    bf16 *keys, *values;
    const int* table;
    u64* trace;      // [kinds of phase, marks]
    i64 cacheLayer;     // elements
    i64 numberedWords;  // of `attended` and what lies behind it
    int count, maxBlocks, blockSize, heads, kvHeads, hidden, vocabulary, interleaved, slots, slotBytes;
    int depth, ahead;                   // slots in flight; of a phase that the grid has not come to
    int fetched;                        // slots behind a full ring that are sent ahead to the second-level cache
    int pitch, vectorBytes, sumFloats;  // elements from vector to vector; shared memory for vectors; for sums
    int contextSlots;                   // that a tile of keys and values takes: one, or one each
    int contextDepth;                   // slots in flight of those: they hold fewer bytes than weights' do
    float epsilon, scale;
};

[[maybe_unused]] constexpr int MAP = 128;  // bytes of a tensor map
constexpr int FILLERS = TILING_BULK ? 1 : 32;  // arrivals that a slot's barrier counts

#if TILING_BULK
FORCE void bulkFetch(const void* from, int bytes) {
    asm volatile("cp.async.bulk.prefetch.L2.global [%0], %1;" ::"l"(from), "r"(bytes) : "memory");
}
FORCE void boxFetch(const u8* map, int row, int block) {
    asm volatile("cp.async.bulk.prefetch.tensor.3d.L2.global.tile [%0, {%1, %2, %3}];" ::"l"(map), "r"(0), "r"(row), "r"(block) : "memory");
}
FORCE void fenceSlot() { showAsync(); }
#else
FORCE void copySixteen(u32 to, const void* from, bool valid, u64 policy) {
    asm volatile("cp.async.cg.shared.global.L2::cache_hint [%0], [%1], 16, %2, %3;" ::"r"(to), "l"(from), "r"(valid ? 16 : 0), "l"(policy) : "memory");
}
// By all lanes of a warp: a run of bytes, a multiple of 16.
FORCE void warpCopy(u32 to, const u8* from, int bytes, u64 policy) {
    for (int i = threadIdx.x % 32 * 16; i < bytes; i += 512) copySixteen(to + i, from + i, true, policy);
}
// Arrives once all copies of this lane have.
FORCE void arriveWhenCopied(u64* b) { asm volatile("cp.async.mbarrier.arrive.noinc.shared::cta.b64 [%0];" ::"r"(shared(b)) : "memory"); }
// One path to memory: nothing to be told of the other.
FORCE void fenceSlot() {}
#endif
FORCE float loadShared(u32 at) {
    float v;
    asm volatile("ld.shared.f32 %0, [%1];" : "=f"(v) : "r"(at) : "memory");
    return v;
}
FORCE void addRelaxed(u32* p) { asm volatile("red.relaxed.gpu.global.add.u32 [%0], 1;" ::"l"(p) : "memory"); }
FORCE void addRelease(u32* p) { asm volatile("fence.acq_rel.gpu;\nred.relaxed.gpu.global.add.u32 [%0], 1;" ::"l"(p) : "memory"); }

FORCE bool barrierPassed(u64* b, int parity) {
    u32 done;
    asm volatile(
        "{\n.reg .pred p;\nmbarrier.test_wait.parity.shared::cta.b64 p, [%1], %2;\nselp.u32 %0, 1, 0, p;\n}"
        : "=r"(done)
        : "r"(shared(b)), "r"(parity)
        : "memory");
    return done;
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
    int inParts;  // whether the output product joins any row's parts
    int position[MOST], tiles[MOST], each[MOST], parts[MOST], first[MOST];  // of a row; each: tiles of a part
    const int* blocks[MOST];
    // Whether attention leaves a row's vector, not parts of it.
    FORCE bool whole(int row, int rows) const { return parts[row] == 1 || parts[row] * rows > JOINED; }
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

// By one warp. Parts are as long as lets every block have at most one, where that can be, and not so short that joining them
// costs more than they save.
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
    int each = max(rows < 3 ? rows : 6, sum(tiles) * a.kvHeads / grid), parts;
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
    const bool inParts = __any_sync(~0u, lane < rows && parts > 1 && parts * rows <= JOINED);
    if (lane == 0) plan.inParts = inParts;
    if (lane < rows) {
        plan.position[lane] = position;
        plan.tiles[lane] = tiles;
        plan.each[lane] = each;
        plan.parts[lane] = parts;
        plan.first[lane] = (before - parts) * a.kvHeads;
        plan.blocks[lane] = a.table + (i64)step.tokenSlot()[lane] * a.maxBlocks;
    }
}
FORCE void planMade() { asm volatile("bar.arrive 2, %0;" ::"n"(THREADS + 32) : "memory"); }
FORCE void planAwaited() { asm volatile("bar.sync 2, %0;" ::"n"(THREADS + 32) : "memory"); }

struct Ring {
    u8* memory;
    u64 *full, *empty;
    int slots, slotBytes;
};

struct Producer {
    const Decode& a;
    const Ring& ring;
    const volatile int* reached;  // the phase that the block is in, and whether it is a short one
    u64 policy;
    int slot = 0, parity = 1, old = 0, oldParity = 0, flying = 0;
    u32 fetchedLast = 0;

    // Blocks differ in how near the memory is. While one is late, the others run ahead into the next phase, and would take
    // from its share of the memory's speed: so they have fewer bytes in flight then.
    FORCE void limitFlight(int phase, bool context) {
        if (threadIdx.x % 32 == 0) {
            for (; flying >= (context ? a.contextDepth : phase <= reached[0] ? a.depth : a.ahead); flying--) {
                barrierWait(ring.full + old, oldParity);
                if (++old == ring.slots) {
                    old = 0;
                    oldParity ^= 1;
                }
            }
            flying++;
        }
    }
    // Waits for the slot, says what will come. For one lane.
    FORCE u32 claim(int bytes) {
        barrierWait(ring.empty + slot, parity);
        if constexpr (TILING_BULK) barrierExpect(ring.full + slot, bytes);
        return place();
    }
    FORCE u32 place() const { return shared(ring.memory) + slot * ring.slotBytes; }
    FORCE bool mayFetch(int phase) {
        if (!reached[1] || phase <= reached[0]) return false;
        const u32 now = (u32)clock64();
        if (now - fetchedLast < PACE) return false;
        fetchedLast = now;
        return true;
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
                    const bool copies = (a.contextSlots == 1 ? what < 2 : what == s);
                    to.limitFlight(phase, true);
                    const int bytes = __popc(__ballot_sync(~0u, copies)) * 2 * span * HD;
                    if (lane == 0) to.claim(bytes);
                    __syncwarp();
                    const u32 slot = to.place();
#if TILING_BULK
                    if (copies)
                        bulkCopy(slot + ((what - s) * KEYS + copy * span) * HD * 2,
                                 from + (((i64)here * a.kvHeads + item.kv) * a.blockSize + tile * KEYS % a.blockSize * (span == KEYS)) * HD,
                                 2 * span * HD, to.full(), to.policy);
#else
                    const u32 at = slot + ((what - s) * KEYS + copy * span) * HD * 2;
                    const bf16* run = from + (((i64)here * a.kvHeads + item.kv) * a.blockSize + tile * KEYS % a.blockSize * (span == KEYS)) * HD;
                    for (u32 left = __ballot_sync(~0u, copies); left; left &= left - 1) {
                        const int which = __ffs(left) - 1;
                        warpCopy(__shfl_sync(~0u, at, which), (const u8*)__shfl_sync(~0u, (u64)run, which), 2 * span * HD, to.policy);
                    }
                    arriveWhenCopied(to.full());
#endif
                    to.next();
                }
                here = next;
            }
        }
    }
};

// A map that is not at hand when it is used costs the time of a load.
FORCE void prefetchMaps(const u8* maps) {
#if __CUDA_ARCH__ >= 900
#pragma unroll
    for (int i = 0; i < 3; i++) asm volatile("prefetch.tensormap [%0];" ::"l"(maps + i * MAP) : "memory");
#endif
}

#if !TILING_BULK
// A piece as a tensor box would bring it: blocks of 128 bytes of 16 rows, 16 bytes permuted by the row, zeros where there is
// nothing. By all lanes.
FORCE void copyRows(u32 slot, const Phase& p, const Walk& w, int blockCount, int firstBlock, int rowBytes, u64 policy) {
    for (int i = threadIdx.x % 32; i < blockCount * TILE * 8; i += 32) {
        const int piece = i % 8, row = i / 8 % TILE, block = i / (8 * TILE);
        const int from = (firstBlock + block) * 128 + piece * 16, r = w.tile * TILE + row;
        const bool valid = r < p.rows && from < rowBytes;
        copySixteen(slot + block * BLOCK + row * 128 + ((piece ^ (row & 7)) << 4), p.weights + (valid ? (i64)r * rowBytes + from : 0), valid, policy);
    }
}
#endif

// The block's share of a matrix. One warp does this for all the others: it must be quick.
//
// The grid's short phases take longer than the ring lasts. While it is full then, what it takes next goes to the second-level
// cache, no quicker than the memory can give it beside what others ask for.
template <int FORMATS>
FORCE void produceMatrix(Producer& to, const Phase& p, Walk w, int phase) {
    const bool packed = (FORMATS & WITH_INT4) && isInt4(p.format);
    const bool rowScales = (FORMATS & WITH_FP8) && p.format == FP8_ROWS, blockScales = (FORMATS & WITH_FP8) && p.format == FP8_BLOCKS;
    const int blocks = !FORMATS || p.format == BF16 ? 2 : 1;               // of a granule
    const int granule = packed ? granuleBytes(p.format) : blocks * BLOCK;  // bytes
#if TILING_BULK
    Walk far = w;
    int lead = 0;  // pieces from `w` to `far`
#endif
    while (w.left > 0) {
        const int n = w.length();
        const int scales = rowScales ? ROW_SCALES : blockScales ? blockScaleBytes(w, n) : 0;
        to.limitFlight(phase, false);
#if TILING_BULK
        if (threadIdx.x % 32 == 0) {
            Patience patience;
            while (!barrierPassed(to.ring.empty + to.slot, to.parity)) {
                patience.turn();
                if (lead >= to.a.fetched || far.left == 0 || !to.mayFetch(phase)) continue;
                const int m = far.length();
                if (packed)
                    bulkFetch(p.weights + ((i64)far.tile * far.granules + far.column) * granule, m * granule);
                else if (m >= far.base)
                    boxFetch(p.maps + MAP * (m == far.base), far.tile * TILE, far.column * blocks);
                far.advance(m);
                lead++;
            }
            const u32 slot = to.claim(n * granule + scales);
            if (packed) {
                bulkCopy(slot, p.weights + ((i64)w.tile * w.granules + w.column) * granule, n * granule, to.full(), to.policy);
            } else if (n >= w.base) {
                boxCopy(slot, p.maps + MAP * (n == w.base), w.tile * TILE, w.column * blocks, to.full(), to.policy);
            } else {
                for (int i = 0; i < n; i++) boxCopy(slot + i * granule, p.maps + 2 * MAP, w.tile * TILE, (w.column + i) * blocks, to.full(), to.policy);
            }
            if (rowScales) bulkCopy(slot + ROWS_END, p.scales + (i64)w.tile * ROW_SCALES, ROW_SCALES, to.full(), to.policy);
            if (blockScales) {
                const i64 padded = (w.granules + 1) & ~1;
                bulkCopy(slot + ROWS_END + ROW_SCALES, p.scales + 8 * (w.tile * padded + (w.column & ~1)), scales, to.full(), to.policy);
            }
        }
#else
        if (threadIdx.x % 32 == 0) to.claim(0);
        __syncwarp();
        const u32 slot = to.place();
        if (packed)
            warpCopy(slot, p.weights + ((i64)w.tile * w.granules + w.column) * granule, n * granule, to.policy);
        else
            copyRows(slot, p, w, n * blocks, w.column * blocks, p.columns * blocks, to.policy);
        if (rowScales) warpCopy(slot + ROWS_END, p.scales + (i64)w.tile * ROW_SCALES, ROW_SCALES, to.policy);
        if (blockScales) {
            const i64 padded = (w.granules + 1) & ~1;
            warpCopy(slot + ROWS_END + ROW_SCALES, p.scales + 8 * (w.tile * padded + (w.column & ~1)), scales, to.policy);
        }
        arriveWhenCopied(to.full());
#endif
        to.next();
        w.advance(n);
#if TILING_BULK
        if (lead > 0)
            lead--;
        else
            far = w;
#endif
    }
    __syncwarp();
}

template <int HD, int FORMATS>
FORCE void produce(const Decode& a, int samples, int rows, const Ring& ring, const Plan& plan, const volatile int* reached) {
    Producer to = {a, ring, reached};
    to.policy = evictFirst();
    Outlook mine;
    mine.look(a, threadIdx.x % 32, samples);
    const Outlook begin = mine.of(0);
    if (begin.phase.type != ATTENTION) produceMatrix<FORMATS>(to, begin.phase, begin.walk, 0);
    planAwaited();
    const Context<HD> context(a, plan, rows);
    for (int i = begin.phase.type != ATTENTION; i < a.count; i++) {
        if (i % 32 == 0) mine.look(a, i + threadIdx.x % 32, samples);
        const Outlook now = mine.of(i % 32);
        if (threadIdx.x % 32 == (i + 1) % 32 && mine.phase.maps) prefetchMaps(mine.phase.maps);
        if (now.phase.type == ATTENTION)
            context.produce(a, to, i, now.phase.layer);
        else
            produceMatrix<FORMATS>(to, now.phase, now.walk, i);
    }
}

// ---- values that carry a number

// What attention leaves to the output product, and gates and ups to the down product, has one writer each: 8 bytes, stored as
// one, of two bf16 or an f32 and the phase's number. Who sees the number has the value. So nobody fences, and a block waits only for
// those that make its columns.
//
// A number is how many phases this memory has seen, whatever they were part of: no two are alike. Before they would be, the
// memory is made zero, which is no phase's number. What is written again has been read: between two attentions, and between two
// gates and ups, all blocks meet at a barrier behind the phase that reads.
constexpr u32 LAST_NUMBER = 0xf0000000u;

FORCE void leave(u64* to, u32 value, u32 number) {
    asm volatile("st.relaxed.gpu.global.u64 [%0], %1;" ::"l"(to), "l"((u64)number << 32 | value) : "memory");
}
FORCE void leaveTwo(u64* to, u32 first, u32 second, u32 number) {
    asm volatile("st.relaxed.gpu.global.v2.u64 [%0], {%1, %2};" ::"l"(to), "l"((u64)number << 32 | first), "l"((u64)number << 32 | second) : "memory");
}
// {first, its number, second, its number}
FORCE uint4 askTwo(const u64* from) {
    u64 a, b;
    asm volatile("ld.relaxed.gpu.global.v2.u64 {%0, %1}, [%2];" : "=l"(a), "=l"(b) : "l"(from) : "memory");
    return make_uint4((u32)a, (u32)(a >> 32), (u32)b, (u32)(b >> 32));
}

// Those of `values` that are wanted, from where `from` says, by whole warps; number 0: as they are. All are on their way before the
// first is looked at. While some are not there, one lane asks for one: blocks that ask for all they want would take from those that
// they wait for.
template <int N, class Wants, class From>
FORCE void bringNumbered(uint4 (&values)[N], u32 number, Wants wants, From from) {
    while (true) {
#pragma unroll
        for (int k = 0; k < N; k++) values[k] = make_uint4(0, number, 0, number);
#pragma unroll
        for (int k = 0; k < N; k++)
            if (wants(k)) values[k] = askTwo(from(k));
        int late = -1;
#pragma unroll
        for (int k = 0; k < N; k++)
            if (values[k].y != number || values[k].w != number) late = k;
        const u32 lanes = __ballot_sync(~0u, late >= 0);
        if (lanes == 0 || number == 0) return;
        if (threadIdx.x % 32 == __ffs(lanes) - 1) {
            const u64* at = from(late);
            Patience patience;
            for (uint4 two = askTwo(at); two.y != number || two.w != number; two = askTwo(at)) patience.turn();
        }
        __syncwarp();
    }
}

// ---- products

// Pairs of e4m3 values as f16. The vectors are f16 then, so that an instruction makes two weights; a sixteenth of their size,
// so that they reach a million. The least that they tell apart is 2^-20.
FORCE void fromFp8(u32 four, u32& low, u32& high) {
#if __CUDA_ARCH__ >= 890
    asm("{\n.reg .b16 l, h;\nmov.b32 {l, h}, %2;\ncvt.rn.f16x2.e4m3x2 %0, l;\ncvt.rn.f16x2.e4m3x2 %1, h;\n}" : "=r"(low), "=r"(high) : "r"(four));
#else
    // Their bits are those of an f16 that is 2^-8 of them.
    u32 a, b;
    asm("prmt.b32 %0, %1, 0, 0x1404;" : "=r"(a) : "r"(four));
    asm("prmt.b32 %0, %1, 0, 0x3424;" : "=r"(b) : "r"(four));
    const auto widened = [](u32 spread) {
        u32 r;
        asm("mul.rn.f16x2 %0, %1, %2;" : "=r"(r) : "r"((spread >> 1 & 0x3f803f80u) | (spread & 0x80008000u)), "r"(0x5c005c00u));
        return r;
    };
    low = widened(a);
    high = widened(b);
#endif
}
FORCE u32 packHalf(float low, float high) {
    u32 r;
    asm("cvt.rn.satfinite.f16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(high), "f"(low));
    return r;
}
constexpr float FP8_VECTOR = 0x1p-4f, FP8_SUM = 0x1p4f;  // what the vectors are multiplied by, and then the sums

// Two nibbles where a bf16's last bits are: as they are 2^-133 of what they say, and four bits higher 2^-129. The vectors'
// elements that meet the latter are a sixteenth, and the sums of both are multiplied by the same.
constexpr u32 INT4_LOW = 0x000f000fu, INT4_HIGH = 0x00f000f0u;
constexpr float INT4_VECTOR = 0x1p64f, INT4_SUM = 0x1p69f;
// What zero points take off: 8 and 1 for every element, in the same two sizes.
constexpr u32 EIGHT_LOW = 0x80088008u, EIGHT_HIGH = 0x80808080u, ONE_LOW = 0x80018001u, ONE_HIGH = 0x80108010u;

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
FORCE void multiplyHalves(Sums<NT>& sums, int chain, u32 a0, u32 a1, u32 a2, u32 a3, const u32 (&x)[NT][4], int half) {
#pragma unroll
    for (int t = 0; t < NT; t++) mmaHalf(sums.c[chain][t], a0, a1, a2, a3, x[t][2 * half], x[t][2 * half + 1]);
}
template <int NT>
FORCE void loadVectors(u32 (&to)[NT][4], const u32 (&x)[NT], int column) {
#pragma unroll
    for (int t = 0; t < NT; t++) ldmatrix(to[t], x[t] + 2 * column);
}

// A piece in a slot, times the vectors. A warp takes granules (of bf16, halves) `WARPS` apart, two at a time: chains of
// additions that do not wait for one another.
template <int NT, int FORMATS>
struct Piece {
    const Phase& p;
    const u32 (&x)[NT];  // addresses of this lane's part of the vectors' first 32 columns, where the matrix' first would be
    Sums<NT>& sums;
    float* zeroSums;  // of this lane
    u32 slot, rows;
    int column, granules;  // the first, and how many

    FORCE int index() const { return threadIdx.x / 32; }
    FORCE int row() const { return threadIdx.x % 32 / 4; }
    template <class Two, class One>
    FORCE void each(int n, Two two, One one) const {
        int k = index();
#pragma unroll 1
        for (; k + WARPS < n; k += 2 * WARPS) two(k);
        if (k < n) one(k);
    }

    template <int N>
    FORCE void wide(int first) {
        u32 a[N][4][4], v[N][2][NT][4];
#pragma unroll
        for (int j = 0; j < N; j++) {
            const int k = first + j * WARPS, at = column * GRANULE + k * 64;
#pragma unroll
            for (int i = 0; i < 4; i++) ldmatrix(a[j][i], (rows + k * BLOCK) ^ i * 32);
            loadVectors(v[j][0], x, at);
            loadVectors(v[j][1], x, at + 32);
        }
#pragma unroll
        for (int i = 0; i < 4; i++) {
#pragma unroll
            for (int j = 0; j < N; j++) multiplyStep(sums, j * (N - 1) ^ i % 2, a[j][i][0], a[j][i][1], a[j][i][2], a[j][i][3], v[j][i / 2], i % 2);
        }
    }

    // The last 32 columns of a matrix.
    FORCE void wideRest(int k) {
        u32 a[2][4], v[NT][4];
#pragma unroll
        for (int i = 0; i < 2; i++) ldmatrix(a[i], (rows + k * BLOCK) ^ i * 32);
        loadVectors(v, x, column * GRANULE + k * 64);
#pragma unroll
        for (int i = 0; i < 2; i++) multiplyStep(sums, i, a[i][0], a[i][1], a[i][2], a[i][3], v, i);
    }

    template <int N>
    FORCE void eights(int first, bool blocks) {
        u32 a[N][4][4];
        Sums<NT> part[N];
#pragma unroll
        for (int j = 0; j < N; j++) {
            part[j].clear();
#pragma unroll
            for (int i = 0; i < 4; i++) ldmatrix(a[j][i], (rows + (first + j * WARPS) * BLOCK) ^ i * 32);
        }
#pragma unroll
        for (int i = 0; i < 4; i++) {
            u32 v[N][NT][4];
#pragma unroll
            for (int j = 0; j < N; j++) loadVectors(v[j], x, (column + first + j * WARPS) * GRANULE + i * 32);
#pragma unroll
            for (int h = 0; h < 2; h++) {
#pragma unroll
                for (int j = 0; j < N; j++) {
                    u32 low, high, lowEight, highEight;
                    fromFp8(a[j][i][2 * h], low, high);
                    fromFp8(a[j][i][2 * h + 1], lowEight, highEight);
                    multiplyHalves(part[j], h, low, lowEight, high, highEight, v[j], h);
                }
            }
        }
#pragma unroll
        for (int j = 0; j < N; j++) {
            float2 scale = make_float2(1, 1);
            if (blocks) {
                const u32 at = slot + ROWS_END + ROW_SCALES + 8 * (column + first + j * WARPS - (column & ~1));
                scale = make_float2(loadShared(at), loadShared(at + 4));
            }
            sums.addScaled(part[j], scale.x, scale.y);
        }
    }

    // Zero points are not taken off the weights: the product with them is a vector's sum over the granule. KNOWN: the warp has
    // met these granules before, and their sums are in `zeroSums`; `keeps`: it will meet them again.
    template <int N, bool ZEROS, bool KNOWN>
    FORCE void fours(int first, bool keeps) {
        constexpr int BYTES = ZEROS ? 1072 : 1056;
        const int lane = threadIdx.x % 32;
        u32 low[N][4], high[N][4];
        float2 scale[N];
        Sums<NT> part[N];
#pragma unroll
        for (int j = 0; j < N; j++) {
            const u32 granule = slot + (first + j * WARPS) * BYTES;
            loadShared4(low[j], granule + 16 * lane);
            loadShared4(high[j], granule + 512 + 16 * lane);
            scale[j] = make_float2(halfToFloat(loadShared2(granule + 1024 + 2 * row())), halfToFloat(loadShared2(granule + 1040 + 2 * row())));
            part[j].clear();
            if (KNOWN) {
#pragma unroll
                for (int t = 0; t < NT; t++) {
                    const float2 zero = *(const float2*)(zeroSums + (first + j * WARPS) * MOST + t * 8);
                    part[j].c[0][t][0] = part[j].c[0][t][2] = zero.x;
                    part[j].c[0][t][1] = part[j].c[0][t][3] = zero.y;
                }
            } else {
                constexpr u32 unitLow = ZEROS ? ONE_LOW : EIGHT_LOW, unitHigh = ZEROS ? ONE_HIGH : EIGHT_HIGH;
#pragma unroll
                for (int i = 0; i < 4; i++) {
                    u32 v[NT][4];
                    loadVectors(v, x, (column + first + j * WARPS) * GRANULE + i * 32);
                    multiplyStep(part[j], 0, unitLow, unitLow, unitHigh, unitHigh, v, 0);
                    multiplyStep(part[j], 0, unitLow, unitLow, unitHigh, unitHigh, v, 1);
                }
                if (keeps && row() == 0) {
#pragma unroll
                    for (int t = 0; t < NT; t++)
                        *(float2*)(zeroSums + (first + j * WARPS) * MOST + t * 8) = make_float2(part[j].c[0][t][0], part[j].c[0][t][1]);
                }
            }
            if (ZEROS) {
                const float zeroLow = (float)loadShared1(granule + 1056 + row()), zeroHigh = (float)loadShared1(granule + 1064 + row());
#pragma unroll
                for (int t = 0; t < NT; t++) {
#pragma unroll
                    for (int e = 0; e < 4; e++) part[j].c[0][t][e] *= e < 2 ? zeroLow : zeroHigh;
                }
            }
        }
#pragma unroll
        for (int i = 0; i < 4; i++) {
            u32 v[N][NT][4];
#pragma unroll
            for (int j = 0; j < N; j++) loadVectors(v[j], x, (column + first + j * WARPS) * GRANULE + i * 32);
#pragma unroll
            for (int h = 0; h < 2; h++) {
#pragma unroll
                for (int j = 0; j < N; j++) {
                    const u32 l = low[j][i] >> 8 * h, e = high[j][i] >> 8 * h;
                    multiplyStep(part[j], h, l & INT4_LOW, e & INT4_LOW, l & INT4_HIGH, e & INT4_HIGH, v[j], h);
                }
            }
        }
#pragma unroll
        for (int j = 0; j < N; j++) sums.addScaled(part[j], scale[j].x, scale[j].y);
    }
    template <bool ZEROS>
    FORCE void fours(bool known, bool keeps) {
        if (known) {
            each(granules, [&](int k) { fours<2, ZEROS, true>(k, keeps); }, [&](int k) { fours<1, ZEROS, true>(k, keeps); });
        } else {
            each(granules, [&](int k) { fours<2, ZEROS, false>(k, keeps); }, [&](int k) { fours<1, ZEROS, false>(k, keeps); });
            __syncwarp();
        }
    }

    FORCE void multiply(float2& rowScale, bool known, bool keeps) {
        if (!FORMATS || p.format == BF16) {
            const int columns = min(granules * GRANULE, p.columns - column * GRANULE), halves = columns / 64;
            each(halves, [&](int k) { wide<2>(k); }, [&](int k) { wide<1>(k); });
            if (columns > halves * 64 && halves % WARPS == index()) wideRest(halves);
        } else if ((FORMATS & WITH_FP8) && isFp8(p.format)) {
            const bool blocks = p.format == FP8_BLOCKS;
            if (!blocks) rowScale = make_float2(loadShared(slot + ROWS_END + 4 * row()), loadShared(slot + ROWS_END + 4 * row() + 32));
            each(granules, [&](int k) { eights<2>(k, blocks); }, [&](int k) { eights<1>(k, blocks); });
        } else if ((FORMATS & WITH_INT4) && p.format == INT4) {
            fours<false>(known, keeps);
        } else if (FORMATS & WITH_INT4) {
            fours<true>(known, keeps);
        }
    }
};

// Four elements of a vector, in the order that the weights' format wants: what a lane has of FP8's 16 columns are four
// neighbours, of which the first two meet one half of an instruction's columns.
template <int FORMATS>
FORCE void putQuad(bf16* x, int format, int column, float4 v) {
    if ((FORMATS & WITH_FP8) && isFp8(format)) {
        const int at = (column & ~15) | (column & 12) >> 1;
        *(u32*)(x + at) = packHalf(v.x * FP8_VECTOR, v.y * FP8_VECTOR);
        *(u32*)(x + at + 8) = packHalf(v.z * FP8_VECTOR, v.w * FP8_VECTOR);
    } else {
        const float f = !(FORMATS & WITH_INT4) || !isInt4(format) ? 1.f : column & 8 ? INT4_VECTOR / 16 : INT4_VECTOR;
        *(uint2*)(x + column) = make_uint2(pack(v.x * f, v.y * f), pack(v.z * f, v.w * f));
    }
}

// Residual sums times the norm's weights, to shared memory, and the sums of their squares: what a vector is divided by goes to
// the product's results instead. All loads are on their way before the first is looked at.
template <int FORMATS>
FORCE void bringResidual(const Decode& a, const Step& step, const Phase& p, int vectors, const float4 (&weight)[NORM], bf16* x, float* squares) {
    constexpr int TOGETHER = 4;
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, quads = a.hidden / 4, rounds = (vectors + TOGETHER - 1) / TOGETHER;
#pragma unroll 1
    for (int round = 0; round < rounds; round++) {
        // Blocks begin with different vectors, so that not all ask for the same at once.
        const int v0 = (round + blockIdx.x) % rounds * TOGETHER;
        float s[TOGETHER] = {};
        const float4* in[TOGETHER];
#pragma unroll
        for (int u = 0; u < TOGETHER; u++) {
            const int v = min(v0 + u, vectors - 1);
            in[u] = (const float4*)(a.residual + (i64)(p.type == LOGITS ? step.sampleToken()[v] : v) * a.hidden);
        }
#pragma unroll 1
        for (int h = 0; h < NORMS; h++) {
            const int first = (warp + h * NORM * WARPS) * 32 + lane;
            if (first - lane >= quads) break;
            float4 value[TOGETHER][NORM];
#pragma unroll
            for (int u = 0; u < TOGETHER; u++) {
#pragma unroll
                for (int n = 0; n < NORM; n++) value[u][n] = make_float4(0, 0, 0, 0);
#pragma unroll
                for (int n = 0; n < NORM; n++)
                    if (v0 + u < vectors && first + n * THREADS < quads) value[u][n] = __ldcg(in[u] + first + n * THREADS);
            }
#pragma unroll
            for (int n = 0; n < NORM; n++) {
                const int j = first + n * THREADS;
                if (j >= quads) continue;
                const float4 f = h == 0 ? weight[n] : ((const float4*)p.vector)[j];
#pragma unroll
                for (int u = 0; u < TOGETHER; u++) {
                    if (v0 + u >= vectors) break;
                    const float4 e = value[u][n];
                    s[u] += e.x * e.x + e.y * e.y + e.z * e.z + e.w * e.w;
                    putQuad<FORMATS>(x + (v0 + u) * a.pitch, p.format, 4 * j, make_float4(e.x * f.x, e.y * f.y, e.z * f.z, e.w * f.w));
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

// The same before the first layer: embeddings, which one block makes residual sums.
template <int FORMATS>
FORCE void bringEmbedding(const Decode& a, const Step& step, const Phase& p, int vectors, bf16* x, float* squares) {
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, quads = a.hidden / 4;
#pragma unroll 1
    for (int v = 0; v < vectors; v++) {
        int id = step.tokenId()[v];
        if (id < 0) id = a.last[step.tokenSlot()[v]];
        const uint2* in = (const uint2*)(a.embedding + (i64)id * a.hidden);
        float s = 0;
#pragma unroll 4
        for (int j = threadIdx.x; j < quads; j += THREADS) {
            const uint2 two = in[j];
            const float4 e = make_float4(lowFloat(two.x), highFloat(two.x), lowFloat(two.y), highFloat(two.y)), f = ((const float4*)p.vector)[j];
            if (blockIdx.x == 0) __stcg((float4*)(a.residual + (i64)v * a.hidden) + j, e);
            s += e.x * e.x + e.y * e.y + e.z * e.z + e.w * e.w;
            putQuad<FORMATS>(x + v * a.pitch, p.format, 4 * j, make_float4(e.x * f.x, e.y * f.y, e.z * f.z, e.w * f.w));
        }
        const float total = warpSum(s);
        if (lane == 0) squares[v * WARPS + warp] = total;
    }
}

// Columns [from, to) of numbered bf16 vectors to shared memory.
template <int FORMATS>
FORCE void bring(const u64* in, const Phase& p, int vectors, int from, int to, u32 number, int pitch, bf16* x) {
    constexpr int TOGETHER = 4, PLACES = 4;
    const int quads = (to - from) / 4, lane = threadIdx.x % 32;
#pragma unroll 1
    for (int first = threadIdx.x - lane; first < quads; first += PLACES * THREADS) {
#pragma unroll 1
        for (int v0 = 0; v0 < vectors; v0 += TOGETHER) {
            uint4 e[PLACES * TOGETHER];
            const auto quad = [&](int k) { return first + lane + k / TOGETHER * THREADS; };
            const auto wants = [&](int k) { return v0 + k % TOGETHER < vectors && quad(k) < quads; };
            bringNumbered(e, number, wants, [&](int k) { return in + (i64)(v0 + k % TOGETHER) * (p.columns / 2) + from / 2 + 2 * quad(k); });
#pragma unroll
            for (int k = 0; k < PLACES * TOGETHER; k++) {
                if (!wants(k)) continue;
                bf16* to = x + (v0 + k % TOGETHER) * pitch;
                if (FORMATS && p.format != BF16)
                    putQuad<FORMATS>(to, p.format, 4 * quad(k), make_float4(lowFloat(e[k].x), highFloat(e[k].x), lowFloat(e[k].z), highFloat(e[k].z)));
                else
                    *(uint2*)(to + 4 * quad(k)) = make_uint2(e[k].x, e[k].z);
            }
        }
    }
}

// Columns of what attention gave, where some rows' parts are joined on the way: few of them.
template <int HD, int FORMATS>
FORCE void bringParts(const Decode& a, const Plan& plan, const Phase& p, int vectors, int from, int to, u32 number, bf16* x) {
    const int group = a.heads / a.kvHeads, quads = (to - from) / 4, all = quads * vectors, lane = threadIdx.x % 32;
#pragma unroll 1
    for (int first = threadIdx.x - lane; first < all; first += THREADS) {
        const int i = min(first + lane, all - 1), v = i / quads, c = i % quads * 4, head = (from + c) / HD, used = plan.parts[v];
        const bool whole = plan.whole(v, vectors);
        const u64* at = whole ? a.attended + ((i64)v * p.columns + from + c) / 2
                              : a.joined + ((i64)(plan.first[v] + head / group * used) * 16 + head % group) * (HD + 2) + c % HD;
        // Of each part two pairs of values, then its largest score and sum.
        uint4 e[3 * JOINED];
        bringNumbered(e, number, [&](int k) { return whole ? k == 0 : k / 3 < used; },
                      [&](int k) { return (k % 3 == 2 ? at + (HD - c % HD) : at + k % 3 * 2) + k / 3 * (16 * (HD + 2)); });
        float4 sum = make_float4(lowFloat(e[0].x), highFloat(e[0].x), lowFloat(e[0].z), highFloat(e[0].z));
        if (!whole) {
            float top = NEG_INF, total = 0;
            sum = make_float4(0, 0, 0, 0);
#pragma unroll
            for (int s = 0; s < JOINED; s++)
                if (s < used) top = fmaxf(top, __uint_as_float(e[3 * s + 2].x));
#pragma unroll
            for (int s = 0; s < JOINED; s++) {
                if (s >= used) break;
                const uint4 low = e[3 * s], high = e[3 * s + 1], ml = e[3 * s + 2];
                const float f = power2(__uint_as_float(ml.x) - top);
                total += __uint_as_float(ml.z) * f;
                sum = make_float4(sum.x + __uint_as_float(low.x) * f, sum.y + __uint_as_float(low.z) * f, sum.z + __uint_as_float(high.x) * f,
                                  sum.w + __uint_as_float(high.z) * f);
            }
            const float f = 1.f / total;
            sum = make_float4(sum.x * f, sum.y * f, sum.z * f, sum.w * f);
        }
        putQuad<FORMATS>(x + v * a.pitch, p.format, c, sum);
    }
}

// What becomes of the sums of a run of tiles. `factors`: of the vectors, where they were normed.
FORCE void finish(const Decode& a, const Phase& p, int vectors, const float* sums, const float* factors, int firstTile, int tiles, int allTiles, u32 number) {
    const int stride = TILE * vectors;  // from warp to warp
    if (p.type == GATE_UP) {
        for (int i = threadIdx.x; i < tiles * 4 * vectors; i += THREADS) {
            const int r = i % 4 * 2, v = i / 4 % vectors, tile = i / (4 * vectors);
            const float* s = sums + tile * WARPS * stride + r * vectors + v;
            float gate[2] = {}, up[2] = {};
#pragma unroll
            for (int w = 0; w < WARPS; w++) {
#pragma unroll
                for (int e = 0; e < 2; e++) {
                    gate[e] += s[w * stride + e * vectors];
                    up[e] += s[w * stride + (8 + e) * vectors];
                }
            }
            const float f = factors[v];
            leave(a.activated + ((i64)v * (p.rows / 2) + (firstTile + tile) * 8 + r) / 2, pack(activate(gate[0] * f, up[0] * f), activate(gate[1] * f, up[1] * f)),
                number);
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
FORCE void attendItems(const Decode& a, const Plan& plan, const Phase& p, int rows, Taker& taker, bf16* small, float* sums, u32 number, Await await) {
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
            value[j].x += bias[j].x;
            value[j].y += bias[j].y;
        }
        if (p.norms) {
            // A warp's pairs are of one head.
            float* squares = (float*)ml;
#pragma unroll
            for (int j = 0; j < PAIRS; j++) {
                const int i = t + j * THREADS;
                if (i >= rotations) continue;
                const float s = warpSum(value[j].x * value[j].x + value[j].y * value[j].y);
                if (lane == 0) squares[i / 32] = s;
            }
            consumersSync<THREADS>();
#pragma unroll
            for (int j = 0; j < PAIRS; j++) {
                const int i = t + j * THREADS, h = i / HALF;
                if (i >= rotations || h > group) continue;
                float s = 0;
#pragma unroll
                for (int w = 0; w < HALF / 32; w++) s += squares[h * (HALF / 32) + w];
                const float r = rsqrtf(s / (float)HD + a.epsilon);
                const float* weight = p.norms + (h < group ? 0 : HD);
                value[j].x *= r * weight[low[j] % HD];
                value[j].y *= r * weight[high[j] % HD];
            }
        }
#pragma unroll
        for (int j = 0; j < PAIRS; j++) {
            const int i = t + j * THREADS, h = i / HALF;
            if (i >= rotations) continue;
            const float x = value[j].x, y = value[j].y;
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
        consumersSync<THREADS>();
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
                fenceSlot();
                consumersSync<THREADS>();
            }
            if (warp / 4 == (tile - item.from) % GROUPS) attend<HD, 2>(q, k, v, warp % 4 * 16, tile * KEYS, limit, a.scale, m, l, o);
            taker.release();
            if (a.contextSlots == 2) taker.release();
        }
        const int used = plan.parts[item.row];
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
                consumersSync<THREADS>();
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
                consumersSync<THREADS>();
            }
            if (warp < 4) put();
            consumersSync<THREADS>();
            for (int i = t; i < min(8, group - 8 * h) * HALF; i += THREADS) {
                const int row = i / HALF, d = i % HALF * 2;
                float top = NEG_INF, total = 0;
                float2 sum = make_float2(0, 0);
#pragma unroll
                for (int w = 0; w < 4; w++) top = fmaxf(top, ml[w * 8 + row].x);
#pragma unroll
                for (int w = 0; w < 4; w++) {
                    const float e = power2(ml[w * 8 + row].x - top);
                    const float2 s = *(const float2*)(sums + (w * 8 + row) * HD + d);
                    total += ml[w * 8 + row].y * e;
                    sum = make_float2(sum.x + s.x * e, sum.y + s.y * e);
                }
                const i64 to = (i64)index * 16 + 8 * h + row;
                if (used == 1) {
                    leave(a.attended + (((i64)item.row * a.heads + kv * group + 8 * h + row) * HD + d) / 2, pack(sum.x / total, sum.y / total), number);
                } else if (plan.whole(item.row, rows)) {
                    __stcg((float2*)(a.parts + to * HD + d), sum);
                    if (d == 0) __stcg(a.partSums + to, make_float2(top, total));
                } else {
                    leaveTwo(a.joined + to * (HD + 2) + d, __float_as_uint(sum.x), __float_as_uint(sum.y), number);
                    if (d == 0) leaveTwo(a.joined + to * (HD + 2) + HD, __float_as_uint(top), __float_as_uint(total), number);
                }
            }
            consumersSync<THREADS>();
        }
        if (used == 1 || !plan.whole(item.row, rows)) continue;
        // Many parts: the last block to finish a row's head joins them, so that not every block has to read them all.
        if (t == 0) {
            u32* arrivals = a.arrivals + item.row * a.kvHeads + kv;
            asm volatile("fence.acq_rel.gpu;" ::: "memory");
            *isLast = atomicAdd(arrivals, 1u) == (u32)used - 1;
            asm volatile("fence.acq_rel.gpu;" ::: "memory");
            if (*isLast) *arrivals = 0;
        }
        consumersSync<THREADS>();
        if (*isLast) {
            u64* out = a.attended + ((i64)item.row * a.heads + kv * group) * HALF;
            const i64 parts = index - item.split;
            for (int i = t; i < group * (HD / 4); i += THREADS) {
                const int r = i / (HD / 4), d = i % (HD / 4) * 4;
                const uint2 two = pack4(joinParts<HD>(a.partSums, a.parts, used, d, [&](int part) { return (parts + part) * 16 + r; }));
                leaveTwo(out + (r * HD + d) / 2, two.x, two.y, number);
            }
        }
        consumersSync<THREADS>();
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

template <int HD, int NT, int FORMATS>
FORCE void consume(const Decode& a, const Peers& peers, const Step& step, const Ring& ring, Plan& plan, bf16* x, float* sums, float* squares, float* factors,
                   float* zeroSums, volatile int* reached, u64* trace) {
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
    consumersSync<THREADS>();
    Taker taker = {ring};
    u32 arrived = 0;
    const u32 ran = __ldcg(a.barrier + 2);
    bool numbered = false;  // what the phase before left
    for (int i = 0; i < a.count; i++) {
        const Phase p = a.phases[i];
        const u32 number = ran + i + 1, awaited = numbered ? ran + i : 0;
        if (i + 2 < a.count) asm volatile("prefetch.global.L1 [%0];" ::"l"(a.phases + i + 2));
        const auto reach = [&]() {
            reached[0] = i;
            reached[1] = p.type <= OUTPUT || p.type == SHARE;
        };
        const auto await = [&]() {
            if (i > 0 && !awaited) {
                if (t == 0) {
                    awaitGrid(a.barrier, arrived);
                    reach();
                }
                consumersSync<THREADS>();
            }
            mark(p.type, 0);
        };
        if (p.type == ATTENTION) {
            attendItems<HD>(a, plan, p, tokens, taker, x, sums, number, await);
            consumersSync<THREADS>();
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
                if (i == 0)
                    bringEmbedding<FORMATS>(a, step, p, vectors, x, squares);
                else
                    bringResidual<FORMATS>(a, step, p, vectors, weight, x, squares);
                consumersSync<THREADS>();
                // The next phase adds to what has been read here; it lies in shared memory, so there is nothing to be fenced.
                if (p.numbered && t == 0) addRelaxed(a.barrier);
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
                // Whether all have read what is added to here: long ago, so asked beside the values.
                const u32 come = awaited ? loadRelaxed(a.barrier) : arrived;
                if (p.type == OUTPUT && plan.inParts)
                    bringParts<HD, FORMATS>(a, plan, p, vectors, base, end, awaited, x);
                else
                    bring<FORMATS>(p.type == OUTPUT ? a.attended : a.activated, p, vectors, base, end, awaited, a.pitch, x);
                if (awaited && t == 0) {
                    if (come < arrived) awaitGrid(a.barrier, arrived);
                    reach();
                }
                if (p.type == DOWN && blockIdx.x == gridDim.x - 1) {
                    // For the next layer's sums; no barrier lies between attention, which reads them, and the output product.
                    const int all = tokens * (a.heads + 2 * a.kvHeads) * HD;
                    for (int j = t; j < all; j += THREADS) __stcg(a.qkv + j, 0.f);
                }
                consumersSync<THREADS>();
            }
            mark(p.type, 1);
            u32 mine[NT];
#pragma unroll
            for (int n = 0; n < NT; n++) mine[n] = shared(x) + 2 * (min(n * 8 + lane % 8, vectors - 1) * a.pitch - base + lane / 8 * 8);
            Sums<NT> acc;
            acc.clear();
            bool begun = false;
            u32 met = 0;  // a bit for each of a tile's slots: whether all of it has been met
            while (w.left > 0) {
                const int firstTile = w.tile;
                int tiles = 0;
                while (w.left > 0 && tiles < capacity) {
                    const int n = w.length(), tile = w.tile;
                    float2 rowScale = make_float2(1, 1);
                    const u32 slot = shared(taker.await());
                    if (!begun) mark(p.type, 2);
                    begun = true;
                    const bool whole = w.column == w.begin(w.cut) && w.column + n == w.begin(w.cut + 1);
                    float* zero = zeroSums + (w.column - base / GRANULE) * MOST + lane % 4 * 2;
                    Piece<NT, FORMATS> piece = {p, mine, acc, zero, slot, slot + lane % 16 * 128 + ((lane / 16 ^ lane % 8) << 4), w.column, n};
                    piece.multiply(rowScale, whole && (met >> (w.cut & 31) & 1), whole);
                    if (whole) met |= 1u << (w.cut & 31);
                    taker.release();
                    w.advance(n);
                    if (!w.byColumns && w.tile == tile && w.left > 0) continue;
                    const float unit = (FORMATS & WITH_FP8) && isFp8(p.format) ? FP8_SUM : (FORMATS & WITH_INT4) && isInt4(p.format) ? INT4_SUM : 1.f;
                    float* to = sums + (tiles * WARPS + warp) * TILE * vectors;
#pragma unroll
                    for (int k = 0; k < NT; k++) {
#pragma unroll
                        for (int e = 0; e < 4; e++) {
                            const int v = k * 8 + lane % 4 * 2 + e % 2, r = lane / 4 + e / 2 * 8;
                            if (v < vectors) to[r * vectors + v] = (acc.c[0][k][e] + acc.c[1][k][e]) * (e < 2 ? rowScale.x : rowScale.y) * unit;
                        }
                    }
                    acc.clear();
                    tiles++;
                }
                if (w.left == 0) mark(p.type, 3);
                consumersSync<THREADS>();
                finish(a, p, vectors, sums, factors, firstTile, tiles, w.tiles, number);
                consumersSync<THREADS>();
            }
            mark(p.type, 4);
        } else {
            await();
            if (p.type == SHARE) {
                share(a, peers, step, p.layer, tokens);
                consumersSync<THREADS>();
                mark(p.type, 1);
            }
        }
        // Gates and ups that carry numbers have arrived when they had read.
        if (t == 0 && !p.numbered) addRelease(a.barrier);
        if (!p.numbered || p.type == GATE_UP) arrived += gridDim.x;
        numbered = p.numbered;
        mark(p.type, 5);
    }
    if (t == 0) {
        if (TILING_TRACE && a.trace)
            for (int i = 0; i < 64; i++) atomicAdd(a.trace + i, trace[i]);
        // The last block to leave makes the counters ready for the next step.
        if (atomicAdd(a.barrier + 1, 1u) == gridDim.x - 1) {
            a.barrier[0] = 0;
            a.barrier[1] = 0;
            const u32 now = ran + a.count;
            // Milliseconds, once in a day.
            for (i64 i = 0; now > LAST_NUMBER && i < a.numberedWords; i++) a.attended[i] = 0;
            a.barrier[2] = now > LAST_NUMBER ? 0 : now;
        }
    }
}

template <int HD, int NT, int FORMATS>
FORCE void decodeStep(const Step& step, const Decode& a, const Peers& peers) {
    extern __shared__ __align__(1024) u8 memory[];
    const int t = threadIdx.x, warp = t / 32, samples = step.samples(), tokens = step.tokens();
    bf16* x = (bf16*)(memory + a.slots * a.slotBytes);
    float* sums = (float*)((u8*)x + a.vectorBytes);
    float* squares = sums + a.sumFloats;  // [vectors, warps]
    float* factors = squares + MOST * WARPS;
    float* zeroSums = factors + MOST;  // [granules, vectors]
    Plan& plan = *(Plan*)(zeroSums + GRANULES * MOST);
    u64* full = (u64*)(&plan + 1);
    u64* empty = full + a.slots;
    volatile int* reached = (volatile int*)(empty + a.slots);
    u64* trace = (u64*)(reached + 2);  // [kinds, marks]
    const Ring ring = {memory, full, empty, a.slots, a.slotBytes};
    if (t == 0) {
        for (int i = 0; i < a.slots; i++) {
            barrierInit(full + i, FILLERS);
            barrierInit(empty + i, WARPS);
        }
        reached[0] = 0;
        reached[1] = 0;
#if __CUDA_ARCH__ >= 900
        asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
#endif
        if (TILING_TRACE)
            for (int i = 0; i < 64; i++) trace[i] = 0;
    }
    __syncthreads();
    if (warp >= WARPS) {
        produce<HD, FORMATS>(a, samples, tokens, ring, plan, reached);
    } else {
        consume<HD, NT, FORMATS>(a, peers, step, ring, plan, x, sums, squares, factors, zeroSums, reached, trace);
    }
}

// Has all multiprocessors take note of maps that the host has written.
extern "C" __global__ void acquireMaps(const u8* maps, int count) {
#if __CUDA_ARCH__ >= 900
    for (int i = threadIdx.x; i < count; i += blockDim.x) asm volatile("fence.proxy.tensormap::generic.acquire.sys [%0], 128;" ::"l"(maps + (i64)i * MAP) : "memory");
#endif
}

#define DECODE(HD, NT, NAME, FORMATS)                                                                                        \
    extern "C" __global__ void __launch_bounds__(THREADS + 32, 1) decode##HD##x##NT##NAME(Step step, const __grid_constant__ Decode a, \
                                                                                          const __grid_constant__ Peers peers) { \
        decodeStep<HD, NT, FORMATS>(step, a, peers);                                                                         \
    }
#define DECODES(NAME, FORMATS)    \
    DECODE(64, 1, NAME, FORMATS)  \
    DECODE(64, 2, NAME, FORMATS)  \
    DECODE(128, 1, NAME, FORMATS) \
    DECODE(128, 2, NAME, FORMATS)
DECODES(, 0)
DECODES(fp8, WITH_FP8)
DECODES(int4, WITH_INT4)
DECODES(mixed, WITH_FP8 | WITH_INT4)
