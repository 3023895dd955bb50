// Products of a matrix with 9 to 128 vectors, at the memory's rate: out[vector][row] = sum over columns, weights as the
// tensor cores' 64 rows, vectors as their columns, so that few vectors waste nothing.
//
// A grid of one block a multiprocessor shares the matrix evenly, cut into tiles of rows and those into stages of columns
// (stream-K): a block's share begins and ends anywhere in a tile. What a tile's later blocks have summed, the one that began
// it adds up: theirs was the first thing they did, so it is there. Results that are added to others' need no such meeting.
//
// One warp brings stages of both by tensor boxes into a ring; two warpgroups multiply. The ring's weights are on their way
// before the kernel that makes the vectors has ended, where the launch allows that.
//
// What differs by what the weights are is a struct Work: how a stage of them is brought, how it is multiplied.
#pragma once
#include "warpgroup.cuh"

constexpr int SLICE = 128;         // bytes of a row, as wide as a swizzled box may be
constexpr int CONSUMERS = 256;     // threads that multiply
constexpr int BLOCK_ROWS = 128;    // that they multiply at once; a tile is one such block or two
constexpr int MOST_STAGES = 12;

enum { TO_F32, TO_SUM, TO_ACTIVATED };

struct Gemm {
    const float *rowScales, *scales;  // of weights; of e4m3 vectors
    void* out;                        // f32 [vectors, stride]; bf16 [vectors, rows / 2] where activated
    float* parts;                     // [blocks, a tile]
    u32* flags;                       // [blocks], zero between kernels
    int rows, slices, count, stride;  // slices: of a row of weights, rounded up
    int into, stages;
    int format;                       // of weights; for kernels that take several
};

FORCE void addTo(float* to, float v) { asm volatile("red.relaxed.gpu.global.add.f32 [%0], %1;" ::"l"(to), "f"(v) : "memory"); }

// A block's sums, of this row and of the one 8 below it.
template <int N>
FORCE void store(const Gemm& a, int row, const float* sums) {
    const bool low = row < a.rows, high = row + 8 < a.rows;
#pragma unroll
    for (int i = 0; i < N / 4; i++) {
        const int vector = i / 2 * 8 + threadIdx.x % 4 * 2 + i % 2;
        if (vector >= a.count) continue;
        const float u = sums[i / 2 * 4 + i % 2], v = sums[i / 2 * 4 + 2 + i % 2];
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

template <class Work>
FORCE void gemm(const TensorMap& weights, const TensorMap& vectors, const Gemm& a) {
    constexpr int N = Work::VECTORS, BLOCKS = Work::BLOCKS, SUMS = N / 2, STAGE = Work::WEIGHTS + N * SLICE * Work::SLICES;
    extern __shared__ __align__(1024) u8 ring[];
    __shared__ u64 full[MOST_STAGES], empty[MOST_STAGES];
    __shared__ float scales[N];
    const int ofTile = (a.slices + Work::DEPTH - 1) / Work::DEPTH, all = (a.rows + BLOCKS * BLOCK_ROWS - 1) / (BLOCKS * BLOCK_ROWS) * ofTile;
    const int from = shareOf(blockIdx.x, all), to = shareOf(blockIdx.x + 1, all);
    if (threadIdx.x == 0) {
        for (int i = 0; i < a.stages; i++) {
            barrierInit(full + i, 1);
            barrierInit(empty + i, CONSUMERS / Work::RELEASING);
        }
        asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
    }
    __syncthreads();
    dependentsLaunch();

    if (threadIdx.x >= CONSUMERS) {
        if constexpr (Work::MANY_REGISTERS) registersDown<24>();
        if (threadIdx.x > CONSUMERS) return;
        const u64 once = evictFirst();
        const int ahead = min(to - from, a.stages), bytes = Work::weightBytes(a) + N * SLICE * Work::SLICES;
        const auto bring = [&](u32 at, int stage, u64* b) {
#pragma unroll
            for (int k = 0; k < Work::SLICES; k++) boxCopy(at + k * N * SLICE, &vectors, 0, stage * Work::SLICES + k, b);
        };
        for (int i = 0; i < ahead; i++) {
            barrierExpect(full + i, bytes);
            Work::bring(shared(ring) + i * STAGE, &weights, (from + i) / ofTile, (from + i) % ofTile, full + i, once);
        }
        dependencyWait();
        for (int i = 0; i < ahead; i++) bring(shared(ring) + i * STAGE + Work::WEIGHTS, (from + i) % ofTile, full + i);
        int stage = 0, turn = 0;
        for (int i = from + ahead; i < to; i++) {
            barrierWait(empty + stage, turn);
            const u32 at = shared(ring) + stage * STAGE;
            barrierExpect(full + stage, bytes);
            Work::bring(at, &weights, i / ofTile, i % ofTile, full + stage, once);
            bring(at + Work::WEIGHTS, i % ofTile, full + stage);
            if (++stage == a.stages) stage = 0, turn ^= 1;
        }
    } else {
        if constexpr (Work::MANY_REGISTERS) registersUp<240>();
        Work work;
        int stage = 0, turn = 0;
        const auto release = [&](int which) {
            if (threadIdx.x % Work::RELEASING == 0) barrierArrive(empty + which);
        };
        // Of the stage before.
        const auto releaseLast = [&]() { release(stage ? stage - 1 : a.stages - 1); };
        for (int at = from; at < to;) {
            const int tile = at / ofTile, first = at % ofTile, last = min(ofTile, first + to - at);
            const int row = tile * BLOCKS * BLOCK_ROWS + threadIdx.x / 32 * 16 + threadIdx.x % 32 / 4;
            work.begin(a, row, first);
            for (int i = first; i < last; i++) {
                barrierWait(full + stage, turn);
                work.step(a, shared(ring) + stage * STAGE, row, i, i > first, releaseLast);
                if (!Work::LATE) release(stage);
                if (++stage == a.stages) stage = 0, turn ^= 1;
            }
            work.end(releaseLast);
            // What made the vectors has ended by now, so their scales are there too.
            if (Work::SCALED && at == from) {
                if (threadIdx.x < N) scales[threadIdx.x] = threadIdx.x < a.count ? __ldcg(a.scales + threadIdx.x) : 0;
                consumersSync<CONSUMERS>();
            }
            at += last - first;

            float* const sums = &work.sums[0][0];
            if (a.into != TO_SUM && first > 0) {
                float4* part = (float4*)(a.parts + (i64)blockIdx.x * BLOCKS * BLOCK_ROWS * N);
#pragma unroll
                for (int i = 0; i < BLOCKS * SUMS / 4; i++)
                    __stcg(part + i * CONSUMERS + threadIdx.x, make_float4(sums[4 * i], sums[4 * i + 1], sums[4 * i + 2], sums[4 * i + 3]));
                consumersSync<CONSUMERS>();
                if (threadIdx.x == 0) storeRelease(a.flags + blockIdx.x, 1);
                continue;
            }
            if (a.into != TO_SUM && last < ofTile) {
                for (int other = blockIdx.x + 1; other < gridDim.x && shareOf(other, all) < (tile + 1) * ofTile; other++) {
                    if (shareOf(other, all) == shareOf(other + 1, all)) continue;
                    awaitGrid(a.flags + other, 1);
                    const float4* part = (const float4*)(a.parts + (i64)other * BLOCKS * BLOCK_ROWS * N);
#pragma unroll
                    for (int i = 0; i < BLOCKS * SUMS / 4; i++) {
                        const float4 v = __ldcg(part + i * CONSUMERS + threadIdx.x);
                        sums[4 * i] += v.x, sums[4 * i + 1] += v.y, sums[4 * i + 2] += v.z, sums[4 * i + 3] += v.w;
                    }
                    consumersSync<CONSUMERS>();
                    if (threadIdx.x == 0) a.flags[other] = 0;
                }
            }
            work.scale(scales);
#pragma unroll
            for (int m = 0; m < BLOCKS; m++) store<N>(a, row + m * BLOCK_ROWS, work.sums[m]);
        }
    }
}
