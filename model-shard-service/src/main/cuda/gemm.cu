// targets: sm_90a
// Products of bf16 weights with bf16 vectors and of e4m3 weights with e4m3 vectors, as gemm.cuh says: tensor cores take both
// from shared memory.
#include "gemm.cuh"

enum { OF_BF16, OF_E4M3 };

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

// KB: slices of a stage.
template <int TYPE, int N, int KB>
struct Alike {
    static constexpr int VECTORS = N, BLOCKS = 1, DEPTH = KB, SLICES = KB, WEIGHTS = BLOCK_ROWS * SLICE * KB, SUMS = N / 2;
    static constexpr int RELEASING = 128;  // threads of which one says that they are done with a stage
    static constexpr bool SCALED = TYPE == OF_E4M3, LATE = TYPE == OF_BF16, MANY_REGISTERS = false;
    float sums[1][SUMS];
    float low = 1, high = 1;  // what two rows are multiplied by

    FORCE static int weightBytes(const Gemm&) { return WEIGHTS; }
    FORCE static void bring(u32 to, const TensorMap* weights, int tile, int stage, u64* b, u64 policy) {
        boxCopy(to, weights, tile * BLOCK_ROWS, stage * KB, b, policy);
    }
    FORCE void begin(const Gemm& a, int row, int) {
        if (!SCALED) return;
        low = row < a.rows ? __ldcg(a.rowScales + row) : 0;
        high = row + 8 < a.rows ? __ldcg(a.rowScales + row + 8) : 0;
    }
    template <class Release>
    FORCE void step(const Gemm&, u32 at, int, int, bool more, Release releaseLast) {
        const u32 rows = at + threadIdx.x / 128 * 64 * SLICE, columns = at + WEIGHTS;
        const auto slice = [&](float* to, int k, bool add) {
            productFence();
#pragma unroll
            for (int piece = 0; piece < 4; piece++)
                multiply<TYPE, N>(to, matrixAt(rows + k * BLOCK_ROWS * SLICE + piece * 32), matrixAt(columns + k * N * SLICE + piece * 32), add || piece > 0);
            productCommit();
        };
        if constexpr (TYPE == OF_BF16) {
#pragma unroll
            for (int k = 0; k < KB; k++) slice(sums[0], k, more || k > 0);
            // The stage before is done with, once no more than this one's products are on their way.
            if (more) {
                productWait<KB>();
                releaseLast();
            }
        } else {
            // Tensor cores keep 14 bits of a sum of e4m3 products: few of them are added up there.
#pragma unroll
            for (int k = 0; k < KB; k++) {
                float part[SUMS];
                slice(part, k, false);
                productWait<0>();
#pragma unroll
                for (int j = 0; j < SUMS; j++) sums[0][j] = more || k > 0 ? sums[0][j] + part[j] : part[j];
            }
        }
    }
    template <class Release>
    FORCE void end(Release releaseLast) {
        if (!LATE) return;
        productWait<0>();
        releaseLast();
    }
    FORCE void scale(const float* scales) {
        if constexpr (SCALED) {
#pragma unroll
            for (int i = 0; i < SUMS; i++) sums[0][i] *= (i % 4 < 2 ? low : high) * scales[i / 4 * 8 + threadIdx.x % 4 * 2 + i % 2];
        }
    }
};

#define GEMM(name, type, n, kb)                                                                                             \
    extern "C" __global__ void __launch_bounds__(CONSUMERS + 32, 1)                                                         \
        name##_##n(const __grid_constant__ TensorMap weights, const __grid_constant__ TensorMap vectors, const __grid_constant__ Gemm a) { \
        gemm<Alike<type, n, kb>>(weights, vectors, a);                                                                      \
    }
// As StreamedProducts.java has them.
#define GEMMS(name, type)    \
    GEMM(name, type, 16, 2)  \
    GEMM(name, type, 32, 2)  \
    GEMM(name, type, 64, 2)  \
    GEMM(name, type, 128, 1)
GEMMS(gemmBf16, OF_BF16)
GEMMS(gemmE4m3, OF_E4M3)
