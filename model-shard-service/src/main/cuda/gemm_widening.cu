// targets: sm_90a
// Products of e4m3 or int4 weights with bf16 vectors, as gemm.cuh says. Weights become bf16 on their way from shared memory
// to the registers from where tensor cores take them, exactly: scales meet the sums of each granule of 128 columns, in f32.
//
// A thread keeps two halves of a granule as fragments, so that tensor cores work on one while it makes the other; and, where
// registers allow it, the sums of two granules, one of which is added up meanwhile.
//
// Two blocks of rows share the vectors where those are more than the weights: the second-level cache gives some 6.4 TB/s,
// and 64 vectors of bf16 are as many bytes as 256 rows of int4.
#include "gemm.cuh"

constexpr int TILE = 16, TILES = BLOCK_ROWS / TILE;
enum { OF_E4M3, OF_INT4 };
enum { BF16, FP8_ROWS, FP8_BLOCKS, INT4, INT4_ZEROS };

#define PRODUCT(vectors, names, outs, a0, a1, a2, a3, b, p)                                                             \
    if constexpr (N == vectors)                                                                                         \
        asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %" p ", 0;\nwgmma.mma_async.sync.aligned.m64n" #vectors          \
                     "k16.f32.bf16.bf16 {" names "}, {%" a0 ",%" a1 ",%" a2 ",%" a3 "}, %" b ", p, 1, 1, 0;\n}"         \
                     : outs(0)                                                                                          \
                     : "r"(f[0]), "r"(f[1]), "r"(f[2]), "r"(f[3]), "l"(columns), "r"(add));
// d[64 x N] (+)= 16 columns of 64 rows, as mma's fragments are, times 32 bytes of N vectors.
template <int N>
FORCE void multiply(float* d, const u32* f, u64 columns, int add) {
    PRODUCT(16, N0, D0, "8", "9", "10", "11", "12", "13")
    PRODUCT(32, N1, D1, "16", "17", "18", "19", "20", "21")
    PRODUCT(64, N2, D2, "32", "33", "34", "35", "36", "37")
}

FORCE u32 multiplyAdd(u32 a, u32 b, u32 c) {
    u32 r;
    asm("fma.rn.bf16x2 %0, %1, %2, %3;" : "=r"(r) : "r"(a), "r"(b), "r"(c));
    return r;
}

// Two e4m3 codes in the low half as two bf16: by way of f16 and f32, since there is no shorter one.
FORCE u32 widenEights(u32 two) {
    u32 halves;
    asm("cvt.rn.f16x2.e4m3x2 %0, %1;" : "=r"(halves) : "h"((u16)two));
    return pack(halfToFloat((u16)halves), halfToFloat((u16)(halves >> 16)));
}

// A granule of a warp's tile: what its lane 4 g + q has of rows g and g + 8, and the scales of these.
//
// e4m3: a lane's pairs of columns are 2 of every 8 bytes. Scales are in device memory, asked for a stage ahead.
template <int TYPE>
struct Granule;

template <>
struct Granule<OF_E4M3> {
    static constexpr int BYTES = TILE * SLICE;  // of shared memory
    u32 codes[16];
    FORCE void load(const Gemm&, u32 at, int half) {
        const u32 lane = threadIdx.x % 32, first = at + lane / 4 * (SLICE + 16) + lane % 4 * 2;
#pragma unroll
        for (int s = 0; s < 4; s++) {
            const u32 from = first ^ (4 * half + s) * 16;
#pragma unroll
            for (int i = 0; i < 4; i++) codes[4 * s + i] = loadShared2(from + i % 2 * 8 * SLICE + i / 2 * 8);
        }
    }
    FORCE void widen(u32 (&f)[16], int) const {
#pragma unroll
        for (int i = 0; i < 16; i++) f[i] = widenEights(codes[i]);
    }
};

// int4: nibbles are where a bf16's last bits are: as they are 2^-133 of what they say, and four bits higher 2^-129. They
// become a 64th, less that of the zero point, which is exact; scales are multiplied by 64.
template <>
struct Granule<OF_INT4> {
    static constexpr u32 LOW = 0x000f000fu, HIGH = 0x00f000f0u, UP_LOW = 0x7f007f00u, UP_HIGH = 0x7d007d00u;  // 2^127, 2^123
    static constexpr u32 ZERO = 0xbe00be00u, DOWN_LOW = 0xff00ff00u, NOTHING = 0x80008000u;                   // -8 / 64, -2^127, -0
    u32 low[4], high[4], zeroLow, zeroHigh;
    float2 scale;
    FORCE static int bytes(const Gemm& a) { return a.format == INT4_ZEROS ? 1072 : 1056; }
    FORCE void load(const Gemm& a, u32 at, int half) {
        if (half) return;
        const u32 lane = threadIdx.x % 32, row = lane / 4;
        loadShared4(low, at + 16 * lane);
        loadShared4(high, at + 512 + 16 * lane);
        scale = make_float2(halfToFloat((u16)loadShared2(at + 1024 + 2 * row)) * 64.f, halfToFloat((u16)loadShared2(at + 1040 + 2 * row)) * 64.f);
        zeroLow = zeroHigh = ZERO;
        if (a.format == INT4_ZEROS) {
            zeroLow = multiplyAdd(loadShared1(at + 1056 + row) * 0x10001u, DOWN_LOW, NOTHING);
            zeroHigh = multiplyAdd(loadShared1(at + 1064 + row) * 0x10001u, DOWN_LOW, NOTHING);
        }
    }
    FORCE void widen(u32 (&f)[16], int half) const {
#pragma unroll
        for (int s = 0; s < 4; s++) {
            const u32 l = low[2 * half + s / 2] >> s % 2 * 8, h = high[2 * half + s / 2] >> s % 2 * 8;
            f[4 * s] = multiplyAdd(l & LOW, UP_LOW, zeroLow);
            f[4 * s + 1] = multiplyAdd(h & LOW, UP_LOW, zeroHigh);
            f[4 * s + 2] = multiplyAdd(l & HIGH, UP_HIGH, zeroLow);
            f[4 * s + 3] = multiplyAdd(h & HIGH, UP_HIGH, zeroHigh);
        }
    }
};

// M: blocks of rows. K: granules of a stage. A unit of work is a granule of a block.
template <int TYPE, int N, int M, int K>
struct Widening {
    static constexpr int VECTORS = N, BLOCKS = M, DEPTH = K, SLICES = 2 * K, UNITS = M * K;
    static constexpr int WEIGHTS = TYPE == OF_E4M3 ? M * K * BLOCK_ROWS * SLICE : (M * K * TILES * 1072 + 1023) / 1024 * 1024;
    static constexpr int AT_ONCE = N < 64 ? N : 64, PASSES = N / AT_ONCE;  // vectors of an instruction; of a fragment
    static constexpr int PARTS = PASSES == 1 ? 2 : 1, SUMS = AT_ONCE / 2;
    static constexpr int RELEASING = 32;  // each warp reads stages itself
    static constexpr bool SCALED = false, LATE = true, MANY_REGISTERS = true;
    static_assert(UNITS % PARTS == 0, "each unit's sums have their place");
    float sums[M][PASSES * SUMS];
    float parts[PARTS][SUMS];
    float2 partScale;    // of the part that is not added up yet
    float2 next[UNITS];  // e4m3: scales of the next stage
    u32 fragments[2][16];

    FORCE static int weightBytes(const Gemm& a) { return TYPE == OF_E4M3 ? WEIGHTS : M * K * TILES * Granule<OF_INT4>::bytes(a); }
    FORCE static void bring(u32 to, const TensorMap* weights, int tile, int stage, u64* b, u64 policy) {
        if (TYPE == OF_E4M3)
            boxCopy(to, weights, tile * M * BLOCK_ROWS, stage * K, b, policy);
        else
            boxCopy(to, weights, stage * K, tile * M * TILES, b, policy);
    }
    // Of a stage's rows and granules; 0 past the last granule, where scales may be anything.
    FORCE void askScales(const Gemm& a, int row, int stage) {
#pragma unroll
        for (int u = 0; u < UNITS; u++) {
            // Rows past the last tile are not stored.
            const int granule = stage * K + u / M, mine = min(row + u % M * BLOCK_ROWS, (a.rows - 1) / TILE * TILE + row % TILE);
            const bool blocks = a.format == FP8_BLOCKS;
            const float* from = a.rowScales + (blocks ? 2 * ((i64)(mine / TILE) * ((a.slices + 1) & ~1) + granule) : mine);
            next[u] = granule < a.slices ? make_float2(__ldcg(from), __ldcg(from + (blocks ? 1 : 8))) : make_float2(0, 0);
        }
    }
    FORCE void begin(const Gemm& a, int row, int first) {
#pragma unroll
        for (int m = 0; m < M; m++) {
#pragma unroll
            for (int j = 0; j < PASSES * SUMS; j++) sums[m][j] = 0;
        }
#pragma unroll
        for (int j = 0; j < SUMS; j++) parts[PARTS - 1][j] = 0;
        partScale = make_float2(0, 0);
        if (TYPE == OF_E4M3) askScales(a, row, first);
    }
    // Adds up what tensor cores have left of a unit and pass.
    FORCE void promote(int unit, int pass, const float2& scale) {
        float* const to = sums[unit % M] + pass * SUMS;
        float(&part)[SUMS] = parts[unit % PARTS];
        settled(part);
#pragma unroll
        for (int j = 0; j < SUMS; j++) to[j] += part[j] * (j % 4 < 2 ? scale.x : scale.y);
    }
    // Of the unit before.
    FORCE void promoteLast(int unit) { promote((unit + UNITS - 1) % UNITS, PASSES - 1, partScale); }
    // columns: a stage's vectors, as tensor cores are told; slice: of them.
    FORCE void multiplyHalf(int unit, int pass, u32 columns, int slice, int half) {
        productFence();
#pragma unroll
        for (int s = 0; s < 4; s++)
            multiply<AT_ONCE>(parts[unit % PARTS], fragments[half] + 4 * s, matrixAt(0) | (columns + ((slice * N + pass * AT_ONCE) * SLICE + s * 32) / 16), half > 0 || s > 0);
        productCommit();
    }
    template <class Release>
    FORCE void step(const Gemm& a, u32 at, int row, int stage, bool more, Release releaseLast) {
        const u32 columns = (at + WEIGHTS) / 16;
        float2 scale[UNITS];
        if (TYPE == OF_E4M3) {
#pragma unroll
            for (int u = 0; u < UNITS; u++) scale[u] = next[u];
            askScales(a, row, stage + 1);
        }
#pragma unroll
        for (int u = 0; u < UNITS; u++) {
            const int k = u / M, tile = u % M * TILES + threadIdx.x / 32;
            const u32 from = at + (TYPE == OF_E4M3 ? (k * M * TILES + tile) * Granule<OF_E4M3>::BYTES : (tile * K + k) * Granule<OF_INT4>::bytes(a));
            Granule<TYPE> granule;
            granule.load(a, from, 0);
            if constexpr (TYPE == OF_INT4) scale[u] = granule.scale;
            productWait<1>();
            granule.widen(fragments[0], 0);
            if (PARTS == 1) {
                productWait<0>();
                if (u == 0 && more) releaseLast();
                promoteLast(u);
            }
            multiplyHalf(u, 0, columns, 2 * k, 0);
            granule.load(a, from, 1);
            if (PARTS == 2) {
                productWait<1>();
                if (u == 0 && more) releaseLast();
            }
            granule.widen(fragments[1], 1);
            multiplyHalf(u, 0, columns, 2 * k + 1, 1);
            if (PARTS == 2) promoteLast(u);
#pragma unroll
            for (int pass = 1; pass < PASSES; pass++) {
                productWait<0>();
                promote(u, pass - 1, scale[u]);
                multiplyHalf(u, pass, columns, 2 * k, 0);
                multiplyHalf(u, pass, columns, 2 * k + 1, 1);
            }
            partScale = scale[u];
        }
    }
    template <class Release>
    FORCE void end(Release releaseLast) {
        productWait<0>();
        releaseLast();
        promoteLast(0);
    }
    FORCE void scale(const float*) {}
};

#define GEMM(name, type, n, m, k)                                                                                           \
    extern "C" __global__ void __launch_bounds__(CONSUMERS + 128, 1)                                                         \
        name##_##n(const __grid_constant__ TensorMap weights, const __grid_constant__ TensorMap vectors, const __grid_constant__ Gemm a) { \
        gemm<Widening<type, n, m, k>>(weights, vectors, a);                                                                 \
    }
// As StreamedProducts.java has them.
#define GEMMS(name, type)       \
    GEMM(name, type, 16, 1, 2)  \
    GEMM(name, type, 32, 2, 1)  \
    GEMM(name, type, 64, 2, 1)  \
    GEMM(name, type, 128, 2, 1)
GEMMS(gemmWideE4m3, OF_E4M3)
GEMMS(gemmWideInt4, OF_INT4)
