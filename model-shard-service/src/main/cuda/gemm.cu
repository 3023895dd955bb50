// targets: sm_90a
// Products of a matrix with 9 to 128 vectors, at the memory's rate: out[vector][row] = sum over columns, weights as the
// tensor cores' 64 rows, vectors as their columns, so that few vectors waste nothing.
//
// A grid of one block a multiprocessor shares the matrix evenly, cut into tiles of rows and those into stages of columns
// (stream-K): a block's share begins and ends anywhere in a tile. What a tile's later blocks have summed, the one that began
// it adds up: theirs was the first thing they did, so it is there. Results that are added to others' need no such meeting.
//
// One warp brings stages of both by tensor boxes into a ring; two warpgroups multiply. The ring's weights are on their way
// before the kernel that makes the vectors has ended, where the launch allows that.
#include "pipeline.cuh"

constexpr int SLICE = 128;         // bytes of a row, as wide as a swizzled box may be
constexpr int CONSUMERS = 256;     // threads that multiply
constexpr int ROWS = 128;          // of a tile
constexpr int MOST_STAGES = 12;

enum { OF_BF16, OF_E4M3 };
enum { TO_F32, TO_SUM, TO_ACTIVATED };

struct Gemm {
    const float *rowScales, *scales;  // of e4m3: what a row, a vector is multiplied by
    void* out;                        // f32 [vectors, stride]; bf16 [vectors, rows / 2] where activated
    float* parts;                     // [blocks, a tile]
    u32* flags;                       // [blocks], zero between kernels
    int rows, slices, count, stride;  // slices: of a row, rounded up
    int into, stages;
};

// A shared matrix of rows of 128 bytes, permuted by 16, for the tensor cores.
FORCE u64 matrixAt(u32 address) {
    return (u64)((address & 0x3ffff) >> 4) | (u64)(1024 >> 4) << 32 | 1ull << 62;
}
FORCE void productFence() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
FORCE void productCommit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
template <int LEFT>
FORCE void productWait() { asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(LEFT) : "memory"); }

// Lists of an instruction's registers, eight at a time.
#define N0 "%0,%1,%2,%3,%4,%5,%6,%7"
#define N1 N0 ",%8,%9,%10,%11,%12,%13,%14,%15"
#define N2 N1 ",%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31"
#define N3 N2 ",%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47,%48,%49,%50,%51,%52,%53,%54,%55,%56,%57,%58,%59,%60,%61,%62,%63"
#define D0(i) "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3]), "+f"(d[i + 4]), "+f"(d[i + 5]), "+f"(d[i + 6]), "+f"(d[i + 7])
#define D1(i) D0(i), D0(i + 8)
#define D2(i) D1(i), D1(i + 16)
#define D3(i) D2(i), D2(i + 32)
#define PRODUCT(vectors, names, outs, a, b, p)                                                                          \
    if constexpr (N == vectors) {                                                                                       \
        if constexpr (TYPE == OF_BF16)                                                                                  \
            asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %" p ", 0;\nwgmma.mma_async.sync.aligned.m64n" #vectors      \
                         "k16.f32.bf16.bf16 {" names "}, %" a ", %" b ", p, 1, 1, 0, 0;\n}"                             \
                         : outs(0)                                                                                      \
                         : "l"(rows), "l"(columns), "r"(add));                                                          \
        else                                                                                                            \
            asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %" p ", 0;\nwgmma.mma_async.sync.aligned.m64n" #vectors      \
                         "k32.f32.e4m3.e4m3 {" names "}, %" a ", %" b ", p, 1, 1;\n}"                                   \
                         : outs(0)                                                                                      \
                         : "l"(rows), "l"(columns), "r"(add));                                                          \
    }
// d[64 x N] (+)= 32 bytes of 64 rows times 32 bytes of N vectors; warp w of four holds rows 16 w to 16 w + 15 as mma does.
template <int TYPE, int N>
FORCE void multiply(float* d, u64 rows, u64 columns, int add) {
    PRODUCT(16, N0, D0, "8", "9", "10")
    PRODUCT(32, N1, D1, "16", "17", "18")
    PRODUCT(64, N2, D2, "32", "33", "34")
    PRODUCT(128, N3, D3, "64", "65", "66")
}

FORCE void addTo(float* to, float v) { asm volatile("red.relaxed.gpu.global.add.f32 [%0], %1;" ::"l"(to), "f"(v) : "memory"); }
FORCE float activate(float gate, float up) { return __fdividef(gate, 1.f + __expf(-gate)) * up; }

// What a thread's two rows of a tile are multiplied by.
struct RowScales {
    float low = 1, high = 1;
    template <int TYPE>
    FORCE void load(const Gemm& a, int row) {
        if (TYPE != OF_E4M3) return;
        low = row < a.rows ? __ldcg(a.rowScales + row) : 0;
        high = row + 8 < a.rows ? __ldcg(a.rowScales + row + 8) : 0;
    }
};

// A tile's sums, of this row and of the one 8 below it.
template <int TYPE, int N>
FORCE void store(const Gemm& a, int row, const float* sums, const RowScales& of, const float* scales) {
    const bool low = row < a.rows, high = row + 8 < a.rows;
#pragma unroll
    for (int i = 0; i < N / 4; i++) {
        const int vector = i / 2 * 8 + threadIdx.x % 4 * 2 + i % 2;
        if (vector >= a.count) continue;
        float u = sums[i / 2 * 4 + i % 2], v = sums[i / 2 * 4 + 2 + i % 2];
        if (TYPE == OF_E4M3) u *= of.low * scales[vector], v *= of.high * scales[vector];
        if (a.into == TO_ACTIVATED) {
            if (low) ((bf16*)a.out)[(i64)vector * a.stride + row / 16 * 8 + row % 8] = toBf16(activate(u, v));
            continue;
        }
        float* out = (float*)a.out + (i64)vector * a.stride + row;
        if (a.into == TO_SUM) {
            if (low) addTo(out, u);
            if (high) addTo(out + 8, v);
        } else {
            if (low) out[0] = u;
            if (high) out[8] = v;
        }
    }
}

// The first stage of a block's share.
FORCE int shareOf(int block, int stages) { return (int)((i64)stages * block / gridDim.x); }

// KB: slices of a stage.
template <int TYPE, int N, int KB>
FORCE void gemm(const TensorMap& weights, const TensorMap& vectors, const Gemm& a) {
    constexpr int SUMS = N / 2, ROWS_BYTES = ROWS * SLICE * KB, STAGE = ROWS_BYTES + N * SLICE * KB;
    extern __shared__ __align__(1024) u8 ring[];
    __shared__ u64 full[MOST_STAGES], empty[MOST_STAGES];
    __shared__ float scales[N];
    const int ofTile = (a.slices + KB - 1) / KB, all = (a.rows + ROWS - 1) / ROWS * ofTile;
    const int from = shareOf(blockIdx.x, all), to = shareOf(blockIdx.x + 1, all);
    if (threadIdx.x == 0) {
        for (int i = 0; i < a.stages; i++) {
            barrierInit(full + i, 1);
            barrierInit(empty + i, CONSUMERS / 128);
        }
        asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
    }
    __syncthreads();
    dependentsLaunch();

    if (threadIdx.x >= CONSUMERS) {
        if (threadIdx.x > CONSUMERS) return;
        const u64 once = evictFirst();
        const int ahead = min(to - from, a.stages);
        const auto bring = [&](u32 at, int slice, u64* b) {
#pragma unroll
            for (int k = 0; k < KB; k++) boxCopy(at + k * N * SLICE, &vectors, 0, slice + k, b);
        };
        for (int i = 0; i < ahead; i++) {
            barrierExpect(full + i, STAGE);
            boxCopy(shared(ring) + i * STAGE, &weights, (from + i) / ofTile * ROWS, (from + i) % ofTile * KB, full + i, once);
        }
        dependencyWait();
        for (int i = 0; i < ahead; i++) bring(shared(ring) + i * STAGE + ROWS_BYTES, (from + i) % ofTile * KB, full + i);
        int stage = 0, turn = 0;
        for (int i = from + ahead; i < to; i++) {
            barrierWait(empty + stage, turn);
            const u32 at = shared(ring) + stage * STAGE;
            barrierExpect(full + stage, STAGE);
            boxCopy(at, &weights, i / ofTile * ROWS, i % ofTile * KB, full + stage, once);
            bring(at + ROWS_BYTES, i % ofTile * KB, full + stage);
            if (++stage == a.stages) stage = 0, turn ^= 1;
        }
        return;
    }

    const int group = threadIdx.x / 128;
    float sums[SUMS];
    int stage = 0, turn = 0;
    const auto release = [&](int which) {
        if (threadIdx.x % 128 == 0) barrierArrive(empty + which);
    };
    for (int at = from; at < to;) {
        const int tile = at / ofTile, first = at % ofTile, last = min(ofTile, first + to - at);
        const int row = tile * ROWS + threadIdx.x / 32 * 16 + threadIdx.x % 32 / 4;
        RowScales rowScales;
        rowScales.load<TYPE>(a, row);
        for (int i = first; i < last; i++) {
            barrierWait(full + stage, turn);
            const u32 rows = shared(ring) + stage * STAGE + group * 64 * SLICE, columns = shared(ring) + stage * STAGE + ROWS_BYTES;
            const auto slice = [&](float* to, int k, bool add) {
                productFence();
#pragma unroll
                for (int piece = 0; piece < 4; piece++)
                    multiply<TYPE, N>(to, matrixAt(rows + k * ROWS * SLICE + piece * 32), matrixAt(columns + k * N * SLICE + piece * 32), add || piece > 0);
                productCommit();
            };
            if constexpr (TYPE == OF_BF16) {
#pragma unroll
                for (int k = 0; k < KB; k++) slice(sums, k, i > first || k > 0);
                // The stage before is done with, once no more than this one's products are on their way.
                if (i > first) {
                    productWait<KB>();
                    release(stage ? stage - 1 : a.stages - 1);
                }
            } else {
                // Tensor cores keep 14 bits of a sum of e4m3 products: few of them are added up there.
#pragma unroll
                for (int k = 0; k < KB; k++) {
                    float part[SUMS];
                    slice(part, k, false);
                    productWait<0>();
#pragma unroll
                    for (int j = 0; j < SUMS; j++) sums[j] = i > first || k > 0 ? sums[j] + part[j] : part[j];
                }
                release(stage);
            }
            if (++stage == a.stages) stage = 0, turn ^= 1;
        }
        if constexpr (TYPE == OF_BF16) {
            productWait<0>();
            release(stage ? stage - 1 : a.stages - 1);
        }
        // What made the vectors has ended by now, so their scales are there too.
        if (TYPE == OF_E4M3 && at == from) {
            if (threadIdx.x < N) scales[threadIdx.x] = threadIdx.x < a.count ? __ldcg(a.scales + threadIdx.x) : 0;
            consumersSync<CONSUMERS>();
        }
        at += last - first;

        if (a.into != TO_SUM && first > 0) {
            float4* part = (float4*)(a.parts + (i64)blockIdx.x * ROWS * N);
#pragma unroll
            for (int i = 0; i < SUMS / 4; i++)
                __stcg(part + i * CONSUMERS + threadIdx.x, make_float4(sums[4 * i], sums[4 * i + 1], sums[4 * i + 2], sums[4 * i + 3]));
            consumersSync<CONSUMERS>();
            if (threadIdx.x == 0) storeRelease(a.flags + blockIdx.x, 1);
            continue;
        }
        if (a.into != TO_SUM && last < ofTile) {
            for (int other = blockIdx.x + 1; other < gridDim.x && shareOf(other, all) < (tile + 1) * ofTile; other++) {
                if (shareOf(other, all) == shareOf(other + 1, all)) continue;
                awaitGrid(a.flags + other, 1);
                const float4* part = (const float4*)(a.parts + (i64)other * ROWS * N);
#pragma unroll
                for (int i = 0; i < SUMS / 4; i++) {
                    const float4 v = __ldcg(part + i * CONSUMERS + threadIdx.x);
                    sums[4 * i] += v.x, sums[4 * i + 1] += v.y, sums[4 * i + 2] += v.z, sums[4 * i + 3] += v.w;
                }
                consumersSync<CONSUMERS>();
                if (threadIdx.x == 0) a.flags[other] = 0;
            }
        }
        store<TYPE, N>(a, row, sums, rowScales, scales);
    }
}

#define GEMM(name, type, n, kb)                                                                                             \
    extern "C" __global__ void __launch_bounds__(CONSUMERS + 32, 1)                                                         \
        name##_##n(const __grid_constant__ TensorMap weights, const __grid_constant__ TensorMap vectors, const __grid_constant__ Gemm a) { \
        gemm<type, n, kb>(weights, vectors, a);                                                                             \
    }
// As StreamedProducts.java has them.
#define GEMMS(name, type)    \
    GEMM(name, type, 16, 2)  \
    GEMM(name, type, 32, 2)  \
    GEMM(name, type, 64, 2)  \
    GEMM(name, type, 128, 1)
GEMMS(gemmBf16, OF_BF16)
GEMMS(gemmE4m3, OF_E4M3)
