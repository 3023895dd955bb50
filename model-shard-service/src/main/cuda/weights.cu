// Weight formats other than bf16 (WeightFormat.java): made from bf16 while a model is loaded, and made bf16 again for
// products of many vectors. All of a matrix' rows are in the order in which the format keeps them.
#include "common.cuh"

constexpr int GRANULE = 128;
enum { BF16, FP8_ROWS, FP8_BLOCKS, INT4, INT4_ZEROS };

// A block a row; rows past the end are there for their scales alone.
extern "C" __global__ void quantizeFp8Rows(const bf16* from, int rows, int columns, u8* to, float* scales) {
    __shared__ float scratch[32];
    const int row = blockIdx.x;
    const bf16* in = from + (i64)row * columns;
    float most = 0;
    if (row < rows)
        for (int i = threadIdx.x; i < columns; i += blockDim.x) most = fmaxf(most, fabsf(toFloat(in[i])));
    most = blockMax(most, scratch);
    const float scale = scaleOfFp8(most);
    if (threadIdx.x == 0) scales[row] = scale;
    if (row < rows)
        for (int i = threadIdx.x; i < columns; i += blockDim.x) to[(i64)row * columns + i] = toFp8(__fdiv_rn(toFloat(in[i]), scale));
}

// grid: (granules, blocks of 128 rows). With `halves`, a matrix is two of half the rows, in turn 8 rows of each.
extern "C" __global__ void quantizeFp8Blocks(const bf16* from, int rows, int columns, int halves, u8* to, float* scales) {
    __shared__ float scratch[32];
    const int granules = columns / GRANULE, padded = (granules + 1) & ~1, granule = blockIdx.x;
    const int each = halves ? rows / 2 : rows, blocksEach = (each + 127) / 128;
    // The halves' last blocks may be short: there may be more blocks than the grid's extent says.
    for (int b = blockIdx.y; b < (halves ? 2 : 1) * blocksEach; b += gridDim.y) {
        const int half = b / blocksEach, first = b % blocksEach * 128, count = min(128, each - first);
        const auto place = [&](int r) { return halves ? r / 8 * 16 + half * 8 + r % 8 : r; };
        float most = 0;
        for (int i = threadIdx.x; i < count * GRANULE; i += blockDim.x)
            most = fmaxf(most, fabsf(toFloat(from[(i64)place(first + i / GRANULE) * columns + granule * GRANULE + i % GRANULE])));
        most = blockMax(most, scratch);
        const float scale = scaleOfFp8(most);
        for (int i = threadIdx.x; i < count * GRANULE; i += blockDim.x) {
            const i64 at = (i64)place(first + i / GRANULE) * columns + granule * GRANULE + i % GRANULE;
            to[at] = toFp8(__fdiv_rn(toFloat(from[at]), scale));
        }
        for (int i = threadIdx.x; i < (count + 7) / 8; i += blockDim.x) {
            const int row = place(first + 8 * i);
            scales[2 * ((i64)(row / 16) * padded + granule) + row / 8 % 2] = scale;
        }
        __syncthreads();
    }
}

// Within a granule, lane 4 g + q of the decode kernel has 4 words of row g and 4 of row g + 8. Word i holds columns 32 i + 8 j
// + 2 q and the one behind, j from 0 to 3, in nibbles j and j + 4.
FORCE i64 granuleStart(int format, int granules, i64 row, int granule) {
    return (row / 16 * granules + granule) * (format == INT4 ? 1056 : 1072);
}
FORCE int wordInGranule(int row, int q, int i) { return row % 16 / 8 * 512 + (row % 8 * 4 + q) * 16 + i * 4; }

// grid: (granules, eighths of rows); a warp takes a row, a lane 4 columns. Without `zeros`: values -8 to 7 of the largest
// size's seventh; with, 0 to 15 of the range's fifteenth.
extern "C" __global__ void __launch_bounds__(256) quantizeInt4(const bf16* from, int rows, int columns, int zeros, u8* to) {
    const int granule = blockIdx.x, row = blockIdx.y * 8 + threadIdx.x / 32, lane = threadIdx.x % 32;
    const int format = zeros ? INT4_ZEROS : INT4;
    if (row >= (rows + 15) / 16 * 16) return;
    float v[4] = {0, 0, 0, 0};
    if (row < rows) {
        const uint2 e = *(const uint2*)(from + (i64)row * columns + granule * GRANULE + 4 * lane);
        v[0] = lowFloat(e.x), v[1] = highFloat(e.x), v[2] = lowFloat(e.y), v[3] = highFloat(e.y);
    }
    const float high = warpMax(fmaxf(fmaxf(v[0], v[1]), fmaxf(v[2], v[3])));
    const float low = -warpMax(fmaxf(fmaxf(-v[0], -v[1]), fmaxf(-v[2], -v[3])));
    float scale = zeros ? __fdiv_rn(__fsub_rn(fmaxf(high, 0.f), fminf(low, 0.f)), 15.f) : __fdiv_rn(fmaxf(high, -low), 7.f);
    u16 half;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(half) : "f"(scale));
    scale = halfToFloat(half);
    int zero = 8;
    if (zeros) zero = scale > 0 ? (int)fminf(15.f, fmaxf(0.f, rintf(__fdiv_rn(-fminf(low, 0.f), scale)))) : 0;
    u32 codes = 0, word = 0;  // codes: of the lane's columns, a byte each
#pragma unroll
    for (int i = 0; i < 4; i++) codes |= (u32)(scale > 0 ? (int)fminf(15.f, fmaxf(0.f, rintf(__fdiv_rn(v[i], scale)) + (float)zero)) : zero) << 8 * i;
    const int q = lane % 4, own = lane / 4 % 4;
#pragma unroll
    for (int j = 0; j < 4; j++) {
        const u32 theirs = __shfl_sync(~0u, codes, 8 * own + 2 * j + q / 2) >> q % 2 * 16;
        word |= (theirs & 15) << 4 * j | (theirs >> 8 & 15) << (4 * j + 16);
    }
    u8* out = to + granuleStart(format, columns / GRANULE, row, granule);
    if (lane < 16) *(u32*)(out + wordInGranule(row, q, own)) = word;
    if (lane == 0) {
        ((u16*)(out + 1024))[row % 16] = half;
        if (zeros) out[1056 + row % 16] = (u8)zero;
    }
}

// Rows [first, first + count) as bf16, one behind another. A thread makes 8 values.
extern "C" __global__ void __launch_bounds__(256) expand(const u8* from, const float* scales, int format, int columns, int first, int count,
                                                        bf16* to) {
    dependentsLaunch();
    dependencyWait();
    const int eights = columns / 8, granules = columns / GRANULE, padded = (granules + 1) & ~1;
    for (i64 i = blockIdx.x * (i64)blockDim.x + threadIdx.x; i < (i64)count * eights; i += (i64)gridDim.x * blockDim.x) {
        const int eight = (int)(i % eights), granule = eight / 16;
        const i64 row = first + i / eights;
        float v[8];
        if (format == FP8_ROWS || format == FP8_BLOCKS) {
            const float scale = format == FP8_ROWS ? scales[row] : scales[2 * (row / 16 * padded + granule) + row / 8 % 2];
            const uint2 codes = *(const uint2*)(from + row * columns + 8 * eight);
#pragma unroll
            for (int e = 0; e < 8; e++) v[e] = fromFp8((u8)((e < 4 ? codes.x : codes.y) >> e % 4 * 8)) * scale;
        } else {
            const u8* in = from + granuleStart(format, granules, row, granule);
            const float scale = halfToFloat(((const u16*)(in + 1024))[row % 16]);
            const int zero = format == INT4 ? 8 : in[1056 + row % 16];
#pragma unroll
            for (int q = 0; q < 4; q++) {
                const u32 word = *(const u32*)(in + wordInGranule((int)(row % 16), q, eight % 16 / 4)) >> eight % 4 * 4;
                v[2 * q] = (float)((int)(word & 15) - zero) * scale;
                v[2 * q + 1] = (float)((int)(word >> 16 & 15) - zero) * scale;
            }
        }
        ((uint4*)to)[i] = make_uint4(pack(v[0], v[1]), pack(v[2], v[3]), pack(v[4], v[5]), pack(v[6], v[7]));
    }
}
