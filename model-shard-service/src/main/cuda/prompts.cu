// targets: sm_90a
// Attention of rows of many queries over the paged key/value cache of bf16, at the tensor cores' rate. Queries are flattened
// as in attention.cu. A block a multiprocessor takes 128 of them at a time, 64 for each of two warpgroups, which meet 128 keys
// at a time; the queries of the next turn, and its first keys, are there when a turn ends.
//
// A warp brings keys and another one values by tensor boxes, a page or a part of one each: the cache's permutation of 16-byte pieces is
// the one that tensor cores read rows of 128 bytes by, so each 64 elements of a head become an operand as they are. A
// warpgroup multiplies with the next keys, and with the values of those before, while it makes weights of scores; the two
// take turns in asking tensor cores for more, so that one's weights are made while the other multiplies
// (Shah et al. 2024, FlashAttention-3).
//
// A query's result depends on its row only: keys come in the same tiles, from the first one, whatever queries are with it, and
// those that it must not see have weight 0 and change no sum.
#include "attention.cuh"
#include "warpgroup.cuh"

constexpr int QUERIES = 128, WIDE = 128;          // of a turn; keys of a tile
constexpr int WARPGROUP = 128, CONSUMERS = 256;   // threads
constexpr int LINE = 128;                         // bytes of a row in shared memory
constexpr int SIDE = WIDE * LINE;                 // bytes of 64 elements of a tile, or of a turn's queries
static_assert(QUERIES == WIDE, "both are as far from their first 64 elements to the next");

template <int HD>
struct Ring {
    static constexpr int HALVES = HD / 64, STAGES = 256 / HD, TILE = HALVES * SIDE;
};
// A tile's keys, or its values: there, and done with by all warpgroups.
struct Meeting {
    u64 full, empty;
};

// m64n128k16 and m64n64k16: d (+)= a times b. Matrices in shared memory, permuted, whose rows of 128 bytes follow each other:
// given by the first words of their descriptors, of which sums need no more.
// Of one whose rows are the sums' inner index: its columns, from the 64th on, are SIDE bytes on.
FORCE u32 storedWord(u32 address) { return matrixWord(address) | (u32)(SIDE >> 4) << 16; }

// A and B of 16 columns.
FORCE void multiplyKeys(float (&d)[64], u32 rows, u32 columns, int add) {
    asm volatile("{\n.reg .pred p;\n.reg .b64 a, b;\nmov.b64 a, {%64, %67};\nmov.b64 b, {%65, %67};\nsetp.ne.b32 p, %66, 0;\n"
                 "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 {" N3 "}, a, b, p, 1, 1, 0, 0;\n}"
                 : D3(0)
                 : "r"(rows), "r"(columns), "r"(add), "n"(ROWS_FOLLOW));
}
// A as mma's fragments are; 16 rows of B, which lie as they are stored.
#define VALUE_PRODUCT(names, outs, n, a0, a1, a2, a3, b, c)                                                        \
    asm volatile("{\n.reg .pred p;\n.reg .b64 b;\nmov.b64 b, {%" b ", %" c "};\nsetp.ne.b32 p, 1, 0;\n"           \
                 "wgmma.mma_async.sync.aligned.m64n" #n "k16.f32.bf16.bf16 {" names "}, {%" a0 ",%" a1 ",%" a2      \
                 ",%" a3 "}, b, p, 1, 1, 1;\n}"                                                                    \
                 : outs(0)                                                                                         \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(rows), "n"(ROWS_FOLLOW));
FORCE void multiplyValues(float (&d)[64], const u32* a, u32 rows) { VALUE_PRODUCT(N3, D3, 128, "64", "65", "66", "67", "68", "69") }
FORCE void multiplyValues(float (&d)[32], const u32* a, u32 rows) { VALUE_PRODUCT(N2, D2, 64, "32", "33", "34", "35", "36", "37") }

FORCE void threadsSync(int barrier, int threads) { asm volatile("bar.sync %0, %1;" ::"r"(barrier), "r"(threads) : "memory"); }
FORCE void threadsArrive(int barrier, int threads) { asm volatile("bar.arrive %0, %1;" ::"r"(barrier), "r"(threads) : "memory"); }
enum { ALL_CONSUMERS = 1, OF_WARPGROUP = 2, TURN = 4 };  // barriers, the latter two one a warpgroup

// What a block has to do next; without tokens, nothing.
struct Item {
    int kv, first, count, start, offset, slot;  // first: of its queries
    Item() = default;
    FORCE Item(const Step& step, int index, int kv) : kv(kv), first(step.prefillItem()[2 * index + 1]) {
        const int row = step.prefillItem()[2 * index];
        count = step.rowCount()[row];
        start = step.rowStart()[row];
        offset = step.rowOffset()[row];
        slot = step.rowSlot()[row];
    }
    // Keys that the queries see.
    FORCE int length(int group) const { return start + min(count - 1, (first + QUERIES - 1) / group) + 1; }
};

// What warps of a block meet at.
template <int HD>
struct Block {
    Meeting keys[Ring<HD>::STAGES], values[Ring<HD>::STAGES];
    Meeting queries[2];
    u64 told[2];
    Item items[2];  // of the queries
};

// ---- the warps that bring keys and values

// Tiles that see many keys come first: blocks take the next one when they are nearly done with theirs.
struct Work {
    const Step& step;
    u32* tickets;  // 0 between kernels
    const int kvHeads, count;
    FORCE Work(const Step& step, u32* tickets, int kvHeads) : step(step), tickets(tickets), kvHeads(kvHeads), count(step.prefillItems() * kvHeads) {}

    FORCE Item item(int number) const {
        if (number < count) return Item(step, step.prefillItems() - 1 - number / kvHeads, number % kvHeads);
        Item nothing{};
        return nothing;
    }
    // Each block that has had work asks once in vain: as many tickets are taken as there are items.
    FORCE int next() const {
        u32 ticket = 0;
        if (threadIdx.x % 32 == 0) {
            ticket = atomicAdd(tickets, 1u);
            if (ticket == count - 1) *tickets = 0;
        }
        return gridDim.x + __shfl_sync(~0u, ticket, 0);
    }
};

// Brings keys, or values. A lane has a box of each tile: of 64 elements of a page. Pages have at least 8 tokens: no tile has
// more boxes.
template <int HD>
struct Bringer {
    using R = Ring<HD>;
    const TensorMap& map;
    const Cache& cache;
    const u32 ring;
    Meeting* const meets;
    const int size, span, pages, tilesOfPage, lane, page, half, group;
    int tile = 0;
    bool waited = false;

    FORCE Bringer(const TensorMap& map, const Cache& cache, u32 ring, Meeting* meets)
        : map(map), cache(cache), ring(ring), meets(meets), size(cache.blockSize), span(min(WIDE, size)), pages(WIDE / span), tilesOfPage(size / span),
          lane(threadIdx.x % 32), page(lane % pages), half(lane / pages), group(cache.heads / cache.kvHeads) {}

    FORCE void bring(const Item& item) {
        const int* blocks = cache.table + (i64)item.slot * cache.maxBlocks;
        const int length = item.length(group), newest = (length - 1) / size, n = (length + WIDE - 1) / WIDE;
        // Past the newest key, its own page once more: its keys are not seen, and its values are wiped.
        const auto rowOf = [&](int t) {
            return pages > 1 ? (blocks[min(t * pages + page, newest)] * cache.kvHeads + item.kv) * size
                             : (blocks[min(t / tilesOfPage, newest)] * cache.kvHeads + item.kv) * size + t % tilesOfPage * WIDE;
        };
        int row = rowOf(0);
        for (int t = 0; t < n; t++, tile++) {
            // What earlier steps have left is on its way before the kernel ahead has ended.
            if (t == R::STAGES || (t + 1) * WIDE > item.start) wait();
            const int next = t + 1 < n ? rowOf(t + 1) : 0, stage = tile % R::STAGES;
            if (tile >= R::STAGES) barrierWait(&meets[stage].empty, tile / R::STAGES + 1 & 1);
            if (lane == 0) barrierExpect(&meets[stage].full, R::TILE);
            __syncwarp();
            if (half < R::HALVES) boxCopy(ring + stage * R::TILE + half * SIDE + page * span * LINE, &map, row, half, &meets[stage].full);
            row = next;
        }
    }
    FORCE void wait() {
        if (waited) return;
        dependencyWait();
        waited = true;
    }
};

// The warp that brings keys says what comes next.
template <int HD>
FORCE void lead(Bringer<HD> keys, const Work& work, Block<HD>& block) {
    Item item = work.item(blockIdx.x);
    for (int turn = 0;; turn++) {
        if (turn > 1) barrierWait(&block.queries[turn % 2].empty, turn / 2 + 1 & 1);
        if (keys.lane == 0) {
            block.items[turn % 2] = item;
            barrierArrive(&block.told[turn % 2]);
        }
        if (item.count == 0) break;
        keys.bring(item);
        item = work.item(work.next());
    }
    keys.wait();
}
template <int HD>
FORCE void follow(Bringer<HD> values, Block<HD>& block) {
    for (int turn = 0;; turn++) {
        barrierWait(&block.told[turn % 2], turn / 2 & 1);
        const Item item = block.items[turn % 2];
        if (item.count == 0) break;
        values.bring(item);
    }
    values.wait();
}

// ---- the warps that bring queries

constexpr int CARRIERS = 64;  // threads

// 128 queries, zeros past the last, as rows of 128 bytes.
template <int HD>
FORCE void carry(const bf16* q, const Cache& cache, u32 memory, Block<HD>& block) {
    constexpr int PIECES = HD / 8, STEP = CARRIERS / PIECES;
    const int group = cache.heads / cache.kvHeads, r0 = threadIdx.x % CARRIERS / PIECES, piece = threadIdx.x % PIECES;
    dependencyWait();
    for (int turn = 0;; turn++) {
        barrierWait(&block.told[turn % 2], turn / 2 & 1);
        const Item item = block.items[turn % 2];
        if (item.count > 0) {
            const u32 to = memory + turn % 2 * Ring<HD>::TILE + piece / 8 * SIDE;
            int token = (item.first + r0) / group, head = (item.first + r0) % group;
            const bf16* from = q + ((i64)item.offset * cache.heads + item.kv * group) * HD + piece * 8;
#pragma unroll 4
            for (int r = r0; r < QUERIES; r += STEP) {
                const bool valid = token < item.count;
                copyAsync(to + r * LINE + (piece % 8 ^ r % 8) * 16, valid ? from + ((i64)token * cache.heads + head) * HD : q, valid);
                token += STEP / group;
                head += STEP % group;
                if (head >= group) head -= group, token++;
            }
            copyCommit();
            copyWait<0>();
            showAsync();
        }
        barrierArrive(&block.queries[turn % 2].full);
        if (item.count == 0) break;
    }
}

// ---- the warpgroups that multiply

// A tile's values from row `from` on become zeros: a weight of 0 makes no number of what may be none.
template <int HD>
FORCE void wipe(u8* values, int from, int threads) {
    const int pieces = (WIDE - from) * 8;
    for (int i = threadIdx.x; i < pieces * Ring<HD>::HALVES; i += threads)
        *(uint4*)(values + i / pieces * SIDE + from * LINE + i % pieces * 16) = uint4{};
}

// Scores become weights, which are added up; `shrink` is what earlier sums are worth. A query sees the first key, so there is
// always a largest score.
FORCE void soften(float (&s)[WIDE / 2], float scale, float (&m)[2], float (&l)[2], float (&shrink)[2]) {
    float top[2] = {m[0], m[1]};
#pragma unroll
    for (int i = 0; i < WIDE / 2; i++) top[i / 2 % 2] = fmaxf(top[i / 2 % 2], s[i]);
#pragma unroll
    for (int h = 0; h < 2; h++) {
        top[h] = fmaxf(top[h], __shfl_xor_sync(~0u, top[h], 1));
        top[h] = fmaxf(top[h], __shfl_xor_sync(~0u, top[h], 2));
        shrink[h] = power2((m[h] - top[h]) * scale);
        m[h] = top[h];
        l[h] *= shrink[h];
        top[h] *= -scale;
    }
#pragma unroll
    for (int i = 0; i < WIDE / 2; i++) {
        s[i] = power2(fmaf(s[i], scale, top[i / 2 % 2]));
        l[i / 2 % 2] += s[i];
    }
}

FORCE void release(Meeting& meet) {
    if (threadIdx.x % WARPGROUP == 0) barrierArrive(&meet.empty);
}
// A warpgroup that has no queries goes along all the same: who does not see a stage come cannot tell the next time from the last.
template <int HD>
FORCE void goAlong(int tiles, Block<HD>& block, int tile) {
    for (int t = tile; t < tile + tiles; t++) {
        const int stage = t % Ring<HD>::STAGES, parity = t / Ring<HD>::STAGES & 1;
        barrierWait(&block.keys[stage].full, parity);
        release(block.keys[stage]);
        barrierWait(&block.values[stage].full, parity);
        release(block.values[stage]);
    }
}

// A warpgroup's half of an item.
//
// @param tile of all that the block meets, the item's first
template <int HD>
FORCE void attendTo(const Item& item, const Cache& cache, bf16* out, float scale, u8* queries, u8* ring, Block<HD>& block, int mine, int tile) {
    using R = Ring<HD>;
    const int group = cache.heads / cache.kvHeads, length = item.length(group), n = (length + WIDE - 1) / WIDE;
    const int first = item.first + mine * 64, warp = threadIdx.x % WARPGROUP / 32, lane = threadIdx.x % 32, g = lane / 4, c = lane % 4 * 2;
    const bool both = item.first + 64 < item.count * group;
    const int f0 = first + warp * 16 + g;
    const int limit[2] = {min(item.start + f0 / group + 1, length), min(item.start + (f0 + 8) / group + 1, length)};
    const int seen = item.start + first / group + 1;  // keys that all queries of the warpgroup see
    const u32 queriesAt = matrixWord(shared(queries)), keysAt = matrixWord(shared(ring)), valuesAt = storedWord(shared(ring) + R::STAGES * R::TILE);
    float s[WIDE / 2], o[HD / 2] = {}, m[2] = {NEG_INF, NEG_INF}, l[2] = {}, shrink[2];
    u32 p[WIDE / 4];

    const auto askScores = [&](int stage) {
#pragma unroll
        for (int k = 0; k < HD / 16; k++) {
            const int at = (k / 4 * SIDE + k % 4 * 32) / 16;
            multiplyKeys(s, queriesAt + at, keysAt + stage * (R::TILE / 16) + at, k > 0);
        }
        productCommit();
    };
    const auto askSums = [&](int stage) {
#pragma unroll
        for (int k = 0; k < WIDE / 16; k++) multiplyValues(o, p + 4 * k, valuesAt + stage * (R::TILE / 16) + k * LINE);
        productCommit();
    };
    const auto weigh = [&](int t) {
        if ((t + 1) * WIDE > seen) {
#pragma unroll
            for (int i = 0; i < WIDE / 2; i++)
                if (t * WIDE + i / 4 * 8 + c + i % 2 >= limit[i / 2 % 2]) s[i] = NEG_INF;
        }
        soften(s, scale, m, l, shrink);
    };
    const auto packWeights = [&]() {
#pragma unroll
        for (int i = 0; i < WIDE / 4; i++) p[i] = pack(s[2 * i], s[2 * i + 1]);
    };

    if (both && mine == 1 && n > 1) threadsArrive(TURN, CONSUMERS);
    int stage = tile % R::STAGES, parity = tile / R::STAGES & 1;  // of the values that come next
    barrierWait(&block.keys[stage].full, parity);
    productFence();
    askScores(stage);
    productWait<0>();
    settled(s);
    release(block.keys[stage]);
    weigh(0);
    packWeights();
    for (int t = 1; t < n; t++) {
        const int keysStage = stage + 1 == R::STAGES ? 0 : stage + 1, keysParity = parity ^ (keysStage == 0);
        barrierWait(&block.keys[keysStage].full, keysParity);
        if (both) threadsSync(TURN + mine, CONSUMERS);
        productFence();
        askScores(keysStage);
        barrierWait(&block.values[stage].full, parity);
        productFence();
        askSums(stage);
        if (both && (mine == 0 || t + 1 < n)) threadsArrive(TURN + 1 - mine, CONSUMERS);
        productWait<1>();
        settled(s);
        release(block.keys[keysStage]);
        weigh(t);
        // Never so. The compiler would wait for the other product before it makes weights, were it not for this.
        if (l[0] + l[1] < 0) __trap();
        productWait<0>();
        settled(o);
        settled(p);
        release(block.values[stage]);
#pragma unroll
        for (int i = 0; i < HD / 2; i++) o[i] *= shrink[i / 2 % 2];
        packWeights();
        stage = keysStage, parity = keysParity;
    }
    barrierWait(&block.values[stage].full, parity);
    if (length % WIDE != 0) {
        wipe<HD>(ring + (R::STAGES + stage) * R::TILE, length % WIDE, both ? CONSUMERS : WARPGROUP);
        showAsync();
        threadsSync(both ? ALL_CONSUMERS : OF_WARPGROUP, both ? CONSUMERS : WARPGROUP);
    }
    productFence();
    askSums(stage);
    productWait<0>();
    settled(o);
    settled(p);
    release(block.values[stage]);

    // By way of the queries' place, so that whole rows are stored.
    threadsSync(OF_WARPGROUP + mine, WARPGROUP);
    u8* const rows = queries + warp * 16 * LINE;
#pragma unroll
    for (int h = 0; h < 2; h++) {
        const float inverse = 1.f / quadSum(l[h]);
#pragma unroll
        for (int d = 0; d < HD / 8; d++)
            *(u32*)(rows + d / 8 * SIDE + (g + 8 * h) * LINE + (d % 8 ^ g) * 16 + 2 * c) = pack(o[4 * d + 2 * h] * inverse, o[4 * d + 2 * h + 1] * inverse);
    }
    __syncwarp();
#pragma unroll
    for (int i = 0; i < HD / 16; i++) {
        const int at = i * 32 + lane, r = at / (HD / 8), piece = at % (HD / 8), f = first + warp * 16 + r;
        if (f < item.count * group)
            *(uint4*)(out + ((i64)(item.offset + f / group) * cache.heads + item.kv * group + f % group) * HD + piece * 8) =
                *(const uint4*)(rows + piece / 8 * SIDE + r * LINE + (piece % 8 ^ r % 8) * 16);
    }
}

template <int HD>
FORCE void prompts(const TensorMap& keys, const TensorMap& values, const Step& step, const Cache& cache, const bf16* q, u32* tickets, bf16* out, float scale) {
    dependentsLaunch();
    using R = Ring<HD>;
    extern __shared__ __align__(1024) u8 memory[];  // queries of two items; keys of all stages; values
    __shared__ Block<HD> block;
    if (threadIdx.x == 0) {
        for (int i = 0; i < R::STAGES; i++) {
            barrierInit(&block.keys[i].full, 1);
            barrierInit(&block.keys[i].empty, CONSUMERS / WARPGROUP);
            barrierInit(&block.values[i].full, 1);
            barrierInit(&block.values[i].empty, CONSUMERS / WARPGROUP);
        }
        for (int i = 0; i < 2; i++) {
            barrierInit(&block.told[i], 1);
            barrierInit(&block.queries[i].full, CARRIERS);
            barrierInit(&block.queries[i].empty, CONSUMERS / 32);
        }
        asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
    }
    __syncthreads();
    u8* const ring = memory + 2 * R::TILE;
    // The compiler counts with these registers where no thread has ended before.
    const int mine = __shfl_sync(~0u, threadIdx.x / WARPGROUP, 0), warp = threadIdx.x % WARPGROUP / 32;
    if (mine == 2) {
        registersDown<72>();
        if (warp == 0)
            lead(Bringer<HD>(keys, cache, shared(ring), block.keys), Work(step, tickets, cache.kvHeads), block);
        else if (warp == 1)
            follow(Bringer<HD>(values, cache, shared(ring) + R::STAGES * R::TILE, block.values), block);
        else
            carry(q, cache, shared(memory), block);
    } else {
        registersUp<216>();
        dependencyWait();
        const int group = cache.heads / cache.kvHeads;
        int tile = 0;
        // A wait at the head of the loop would cost the registers again.
        barrierWait(&block.queries[0].full, 0);
        for (int turn = 0; block.items[turn % 2].count > 0;) {
            const Item item = block.items[turn % 2];
            const int tiles = (item.length(group) + WIDE - 1) / WIDE;
            if (item.first + mine * 64 < item.count * group)
                attendTo<HD>(item, cache, out, scale, memory + turn % 2 * R::TILE + mine * 64 * LINE, ring, block, mine, tile);
            else
                goAlong<HD>(tiles, block, tile);
            tile += tiles;
            __syncwarp();
            if (threadIdx.x % 32 == 0) barrierArrive(&block.queries[turn % 2].empty);
            turn++;
            barrierWait(&block.queries[turn % 2].full, turn / 2 & 1);
        }
    }
}

// One block a multiprocessor; maps of a layer's keys and values. `scale` includes log2(e).
#define PROMPTS(NAME, HD)                                                                  \
    extern "C" __global__ void __launch_bounds__(CONSUMERS + WARPGROUP, 1)                 \
        NAME(const __grid_constant__ TensorMap keys, const __grid_constant__ TensorMap values, Step step, Cache cache, const bf16* q, u32* tickets, bf16* out, float scale) { prompts<HD>(keys, values, step, cache, q, tickets, out, scale); }
PROMPTS(prompts64, 64)
PROMPTS(prompts128, 128)
