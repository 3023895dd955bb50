// targets: sm_90a
// Attention of rows of many queries over the paged key/value cache of bf16, at the tensor cores' rate. Queries are flattened
// as in attention.cu, 128 a block: 64 for each of two warpgroups, which meet 128 keys at a time.
//
// One warp brings keys and values by tensor boxes, a page or a part of one each: the cache's permutation of 16-byte pieces is
// the one that tensor cores read rows of 128 bytes by, so each 64 elements of a head become an operand as they are. A
// warpgroup multiplies with the next keys, and with the values of those before, while it makes weights of scores; the two
// take turns in asking tensor cores for more, so that one's weights are made while the other multiplies
// (Shah et al. 2024, FlashAttention-3).
//
// A query's result depends on its row only: keys come in the same tiles, from the first one, whatever the block begins with,
// and those that it must not see have weight 0 and change no sum.
#include "attention.cuh"
#include "warpgroup.cuh"

constexpr int QUERIES = 128, WIDE = 128;          // of a block; keys of a tile
constexpr int WARPGROUP = 128, CONSUMERS = 256;   // threads
constexpr int LINE = 128;                         // bytes of a row in shared memory
constexpr int SIDE = WIDE * LINE;                 // bytes of 64 elements of a tile, or of a block's queries
static_assert(QUERIES == WIDE, "both are as far from their first 64 elements to the next");

template <int HD>
struct Ring {
    static constexpr int HALVES = HD / 64, STAGES = 256 / HD, TILE = HALVES * SIDE;
};
// A tile's keys, or its values: there, and done with by all warpgroups.
struct Meeting {
    u64 full, empty;
};

// m64n128k16 and m64n64k16: d (+)= a times b. Rows of A and of B in shared memory, each of 16 columns.
#define SHARED_PRODUCT(names, outs, n, a, b, p)                                                                          \
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %" p ", 0;\nwgmma.mma_async.sync.aligned.m64n" #n                     \
                 "k16.f32.bf16.bf16 {" names "}, %" a ", %" b ", p, 1, 1, 0, 0;\n}"                                      \
                 : outs(0)                                                                                               \
                 : "l"(rows), "l"(columns), "r"(add));
FORCE void multiplyKeys(float (&d)[64], u64 rows, u64 columns, int add) { SHARED_PRODUCT(N3, D3, 128, "64", "65", "66") }

// A as mma's fragments are; 16 rows of B, which lie as they are stored.
#define VALUE_PRODUCT(names, outs, n, a0, a1, a2, a3, b, p)                                                              \
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %" p ", 0;\nwgmma.mma_async.sync.aligned.m64n" #n                     \
                 "k16.f32.bf16.bf16 {" names "}, {%" a0 ",%" a1 ",%" a2 ",%" a3 "}, %" b ", p, 1, 1, 1;\n}"              \
                 : outs(0)                                                                                               \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(rows), "r"(1));
FORCE void multiplyValues(float (&d)[64], const u32* a, u64 rows) { VALUE_PRODUCT(N3, D3, 128, "64", "65", "66", "67", "68", "69") }
FORCE void multiplyValues(float (&d)[32], const u32* a, u64 rows) { VALUE_PRODUCT(N2, D2, 64, "32", "33", "34", "35", "36", "37") }

// A shared matrix of rows of 128 bytes, permuted by 16, whose rows are the sums' inner index: 64 columns, SIDE bytes on the next.
FORCE u64 storedAt(u32 address) { return matrixAt(address) | (u64)(SIDE >> 4) << 16; }

// What tensor cores write, or read, is not touched before this.
template <int COUNT>
FORCE void settled(float (&d)[COUNT]) {
#pragma unroll
    for (int i = 0; i < COUNT; i++) asm volatile("" : "+f"(d[i])::"memory");
}
template <int COUNT>
FORCE void settled(u32 (&d)[COUNT]) {
#pragma unroll
    for (int i = 0; i < COUNT; i++) asm volatile("" : "+r"(d[i])::"memory");
}

// What this thread wrote to shared memory is there for tensor cores.
FORCE void showTensorCores() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }
FORCE void threadsSync(int barrier, int threads) { asm volatile("bar.sync %0, %1;" ::"r"(barrier), "r"(threads) : "memory"); }
FORCE void threadsArrive(int barrier, int threads) { asm volatile("bar.arrive %0, %1;" ::"r"(barrier), "r"(threads) : "memory"); }
enum { ALL_CONSUMERS = 1, OF_WARPGROUP = 2, TURN = 4 };  // barriers, the latter two one a warpgroup

// What a block has to do.
struct Item {
    int kv, row, first, count, start, offset, length, warpgroups;  // first: of its queries; length: of keys that these see
    FORCE Item(const Step& step, int group, int index, int kv)
        : kv(kv), row(step.prefillItem()[2 * index]), first(step.prefillItem()[2 * index + 1]), count(step.rowCount()[row]),
          start(step.rowStart()[row]), offset(step.rowOffset()[row]), length(start + min(count - 1, (first + QUERIES - 1) / group) + 1),
          warpgroups(first + 64 < count * group ? 2 : 1) {}  // one without queries does nothing
};

// ---- the warp that brings

// A lane has a box of each tile: of 64 elements of a page's keys, then of its values. Pages have at least 8 tokens: no tile
// has more boxes.
template <int HD>
FORCE void bring(const TensorMap& keys, const TensorMap& values, const Cache& cache, const int* blocks, const Item& item, u32 ring, Meeting* keysMeet,
                 Meeting* valuesMeet) {
    using R = Ring<HD>;
    const int size = cache.blockSize, span = min(WIDE, size), pages = WIDE / span, tilesOfPage = size / span;
    const int lane = threadIdx.x % 32, page = lane % pages, half = lane / pages;
    const int newest = (item.length - 1) / size, n = (item.length + WIDE - 1) / WIDE;
    // Past the newest key, its own page once more: its keys are not seen, and its values are wiped.
    const auto rowOf = [&](int t) {
        return pages > 1 ? (blocks[min(t * pages + page, newest)] * cache.kvHeads + item.kv) * size
                         : (blocks[min(t / tilesOfPage, newest)] * cache.kvHeads + item.kv) * size + t % tilesOfPage * WIDE;
    };
    const auto side = [&](const TensorMap& map, u32 to, u64* full, int row) {
        if (lane == 0) barrierExpect(full, R::TILE);
        __syncwarp();
        if (half < R::HALVES) boxCopy(to + half * SIDE + page * span * LINE, &map, row, half, full);
    };
    bool waited = false;
    int row = rowOf(0), stage = 0, parity = 1;
    for (int t = 0; t < n; t++) {
        // What earlier steps have left is on its way before the kernel ahead has ended.
        if (!waited && (t == R::STAGES || (t + 1) * WIDE > item.start)) {
            dependencyWait();
            waited = true;
        }
        const int next = t + 1 < n ? rowOf(t + 1) : 0;
        if (t >= R::STAGES) barrierWait(&keysMeet[stage].empty, parity);
        side(keys, ring + stage * R::TILE, &keysMeet[stage].full, row);
        if (t >= R::STAGES) barrierWait(&valuesMeet[stage].empty, parity);
        side(values, ring + (R::STAGES + stage) * R::TILE, &valuesMeet[stage].full, row);
        row = next;
        if (++stage == R::STAGES) stage = 0, parity ^= 1;
    }
}

// ---- the warpgroups that multiply

// A warpgroup's 64 queries, zeros past the last, to its rows of 128 bytes.
template <int HD>
FORCE void placeQueries(u8* to, const bf16* q, const Cache& cache, int offset, int kv, int first, int count) {
    const int group = cache.heads / cache.kvHeads;
#pragma unroll
    for (int i = 0; i < 64 * HD / 8 / WARPGROUP; i++) {
        const int at = i * WARPGROUP + threadIdx.x % WARPGROUP, r = at / (HD / 8), piece = at % (HD / 8), f = first + r;
        uint4 v = {};
        if (f < count * group) v = *(const uint4*)(q + ((i64)(offset + f / group) * cache.heads + kv * group + f % group) * HD + piece * 8);
        *(uint4*)(to + piece / 8 * SIDE + r * LINE + (piece % 8 ^ r % 8) * 16) = v;
    }
}

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

template <int HD>
FORCE void attendTo(const Item& item, const Cache& cache, const bf16* q, bf16* out, float scale, u8* memory, Meeting* keysMeet, Meeting* valuesMeet, int mine) {
    using R = Ring<HD>;
    u8* const ring = memory + R::TILE;
    const int kv = item.kv, count = item.count, start = item.start, offset = item.offset, length = item.length, warpgroups = item.warpgroups;
    const int group = cache.heads / cache.kvHeads, n = (length + WIDE - 1) / WIDE;
    const int first = item.first + mine * 64, threads = warpgroups * WARPGROUP;
    const int warp = threadIdx.x % WARPGROUP / 32, lane = threadIdx.x % 32, g = lane / 4, c = lane % 4 * 2;
    u8* const queries = memory + mine * 64 * LINE;
    placeQueries<HD>(queries, q, cache, offset, kv, first, count);
    showTensorCores();
    threadsSync(OF_WARPGROUP + mine, WARPGROUP);

    const int f0 = first + warp * 16 + g;
    const int limit[2] = {min(start + f0 / group + 1, length), min(start + (f0 + 8) / group + 1, length)};
    const int seen = start + first / group + 1;  // keys that all queries of the warpgroup see
    const u64 queriesAt = matrixAt(shared(queries)), keysAt = matrixAt(shared(ring)), valuesAt = storedAt(shared(ring) + R::STAGES * R::TILE);
    float s[WIDE / 2], o[HD / 2] = {}, m[2] = {NEG_INF, NEG_INF}, l[2] = {}, shrink[2];
    u32 p[WIDE / 4];

    const auto askScores = [&](int stage) {
#pragma unroll
        for (int k = 0; k < HD / 16; k++) {
            const int at = (k / 4 * SIDE + k % 4 * 32) / 16;
            multiplyKeys(s, queriesAt + at, keysAt + (u64)(stage * R::TILE / 16 + at), k > 0);
        }
        productCommit();
    };
    const auto askSums = [&](int stage) {
#pragma unroll
        for (int k = 0; k < WIDE / 16; k++) multiplyValues(o, p + 4 * k, valuesAt + (u64)(stage * R::TILE / 16 + k * 16 * LINE / 16));
        productCommit();
    };
    const auto release = [&](Meeting& meet) {
        if (threadIdx.x % WARPGROUP == 0) barrierArrive(&meet.empty);
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

    if (warpgroups == 2 && mine == 1 && n > 1) threadsArrive(TURN, CONSUMERS);
    barrierWait(&keysMeet[0].full, 0);
    productFence();
    askScores(0);
    productWait<0>();
    settled(s);
    release(keysMeet[0]);
    weigh(0);
    packWeights();
    int stage = 0, parity = 0;  // of the values that come next
    for (int t = 1; t < n; t++) {
        const int keysStage = stage + 1 == R::STAGES ? 0 : stage + 1, keysParity = parity ^ (keysStage == 0);
        barrierWait(&keysMeet[keysStage].full, keysParity);
        if (warpgroups == 2) threadsSync(TURN + mine, CONSUMERS);
        productFence();
        askScores(keysStage);
        barrierWait(&valuesMeet[stage].full, parity);
        productFence();
        askSums(stage);
        if (warpgroups == 2 && (mine == 0 || t + 1 < n)) threadsArrive(TURN + 1 - mine, CONSUMERS);
        productWait<1>();
        settled(s);
        release(keysMeet[keysStage]);
        weigh(t);
        productWait<0>();
        settled(o);
        settled(p);
        release(valuesMeet[stage]);
#pragma unroll
        for (int i = 0; i < HD / 2; i++) o[i] *= shrink[i / 2 % 2];
        packWeights();
        stage = keysStage, parity = keysParity;
    }
    barrierWait(&valuesMeet[stage].full, parity);
    if (length % WIDE != 0) {
        wipe<HD>(ring + (R::STAGES + stage) * R::TILE, length % WIDE, threads);
        showTensorCores();
        threadsSync(ALL_CONSUMERS, threads);
    }
    productFence();
    askSums(stage);
    productWait<0>();
    settled(o);
    settled(p);

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
        if (f < count * group)
            *(uint4*)(out + ((i64)(offset + f / group) * cache.heads + kv * group + f % group) * HD + piece * 8) =
                *(const uint4*)(rows + piece / 8 * SIDE + r * LINE + (piece % 8 ^ r % 8) * 16);
    }
}

template <int HD>
FORCE void prompts(const TensorMap& keys, const TensorMap& values, const Step& step, const Cache& cache, const bf16* q, bf16* out, float scale) {
    dependentsLaunch();
    using R = Ring<HD>;
    extern __shared__ __align__(1024) u8 memory[];  // queries; keys of all stages; values
    __shared__ Meeting keysMeet[R::STAGES], valuesMeet[R::STAGES];
    // The last tiles of a row see the most keys: they start first.
    const int index = step.prefillItems() - 1 - (int)blockIdx.y, group = cache.heads / cache.kvHeads;
    const Item item(step, group, max(index, 0), blockIdx.x);
    if (threadIdx.x == 0) {
        for (int i = 0; i < R::STAGES; i++) {
            barrierInit(&keysMeet[i].full, 1);
            barrierInit(&keysMeet[i].empty, item.warpgroups);
            barrierInit(&valuesMeet[i].full, 1);
            barrierInit(&valuesMeet[i].empty, item.warpgroups);
        }
        asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
    }
    __syncthreads();
    // The compiler counts with these registers where no thread has ended before.
    const int mine = __shfl_sync(~0u, threadIdx.x / WARPGROUP, 0);
    if (mine == 2) {
        registersDown<40>();
        if (index >= 0 && threadIdx.x < CONSUMERS + 32) {
            bring<HD>(keys, values, cache, cache.table + (i64)step.rowSlot()[item.row] * cache.maxBlocks, item, shared(memory) + R::TILE, keysMeet, valuesMeet);
        } else {
            dependencyWait();
        }
    } else {
        registersUp<232>();
        dependencyWait();
        if (index >= 0 && mine < item.warpgroups) attendTo<HD>(item, cache, q, out, scale, memory, keysMeet, valuesMeet, mine);
    }
}

// grid: (kv heads, tiles of 128 queries); maps of a layer's keys and values. `scale` includes log2(e).
#define PROMPTS(NAME, HD)                                                                  \
    extern "C" __global__ void __launch_bounds__(CONSUMERS + WARPGROUP, 1)                 \
        NAME(const __grid_constant__ TensorMap keys, const __grid_constant__ TensorMap values, Step step, Cache cache, const bf16* q, bf16* out, float scale) { prompts<HD>(keys, values, step, cache, q, out, scale); }
PROMPTS(prompts64, 64)
PROMPTS(prompts128, 128)
