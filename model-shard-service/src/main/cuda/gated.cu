// targets: sm_90a
// Gates and ups of many vectors, joined where their sums are, so that neither goes to memory: out[vector][feature] =
// silu(gate) * up, of weights that are 8 gates' and 8 ups' rows in turn, at the tensor cores' rate.
//
// Vectors are the tensor cores' 64 rows here, and weights their 256 columns: a thread has gates, and the ups that belong to
// them, of the same vectors. Two warpgroups of 64 vectors share the weights of a tile; two blocks of a cluster, with
// neighbouring vectors, do so too: each brings half of them, for both. That is what the second-level cache can give; without,
// it would have to give half as much again.
//
// A block a multiprocessor takes one tile after the other. One thread brings both by tensor boxes into a ring, and the next
// tile's while results of the last one are made; a tile's results leave by the copy engine.
#include "warpgroup.cuh"

// Blocks that share weights; stages of the ring; tiles of vectors, of clusters, that share the second-level cache.
constexpr int CLUSTER = 2, STAGES = 4, GROUP = 8;
constexpr int SLICE = 128;                              // bytes of a row, as wide as a permuted box may be
constexpr int WARPGROUP = 128, CONSUMERS = 256;         // threads
constexpr int VECTORS = 128, ROWS = 256;                // of a block's tile
constexpr int BOX_ROWS = ROWS / CLUSTER, BOX = BOX_ROWS * SLICE;
constexpr int VECTOR_BYTES = VECTORS * SLICE, STAGE = VECTOR_BYTES + ROWS * SLICE;
constexpr int WARP_VECTORS = 16, WARP_BYTES = WARP_VECTORS * ROWS;  // a warp's results: bf16 of half as many features

// What a cluster has to do.
struct Gated {
    int rows, steps, count;  // of weights; slices of a row; vectors
};

// ---- clusters

FORCE u32 rankInCluster() {
    u32 rank;
    asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
    return rank;
}
// Another block's shared address.
FORCE u32 addressIn(u32 rank, u32 address) {
    u32 there;
    asm volatile("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(there) : "r"(address), "r"(rank));
    return there;
}
FORCE void arriveThere(u32 barrier) { asm volatile("mbarrier.arrive.shared::cluster.b64 _, [%0];" ::"r"(barrier) : "memory"); }
// Without a deadline of its own: blocks of a cluster run at once, and all else that one of them waits for has one.
FORCE void clusterSync() {
    asm volatile("barrier.cluster.arrive.release.aligned;\nbarrier.cluster.wait.acquire.aligned;" ::: "memory");
}
// To the same place in all blocks of the cluster, each of whose barriers counts the bytes.
FORCE void boxCopyToAll(u32 to, const void* map, int row, int block, u64* b) {
    asm volatile(
        "cp.async.bulk.tensor.3d.shared::cluster.global.tile.mbarrier::complete_tx::bytes.multicast::cluster [%0], [%1, {%2, %3, %4}], [%5], %6;" ::"r"(to),
        "l"(map), "r"(0), "r"(row), "r"(block), "r"(shared(b)), "h"((u16)((1 << CLUSTER) - 1))
        : "memory");
}

// ---- results

FORCE void boxStore(const void* map, int byte, int row, u32 from) {
    asm volatile("cp.async.bulk.tensor.3d.global.shared::cta.tile.bulk_group [%0, {%1, %2, %3}], [%4];" ::"l"(map), "r"(byte), "r"(row), "r"(0), "r"(from)
                 : "memory");
}
FORCE void storesCommit() { asm volatile("cp.async.bulk.commit_group;" ::: "memory"); }
// What is to be stored has been read.
FORCE void storesRead() { asm volatile("cp.async.bulk.wait_group.read 0;" ::: "memory"); }
FORCE void storesWait() { asm volatile("cp.async.bulk.wait_group 0;" ::: "memory"); }

// 1 + e^-gate, as far as two of them can be multiplied: where it ends, what is divided by it is nothing.
FORCE float divisor(float gate) { return 1.f + power2(fminf(-1.44269504f * gate, 60.f)); }
// silu(gate) * up of two. A reciprocal for both: the unit that makes it, and powers, is what results wait for.
FORCE u32 activateTwo(float gate, float up, float nextGate, float nextUp) {
    const float d = divisor(gate), e = divisor(nextGate), inverse = reciprocal(d * e);
    return pack(gate * up * (inverse * e), nextGate * nextUp * (inverse * d));
}

// ---- tiles

// All tiles of a cluster, in turn, and the steps of each. Vectors change first, as far as the second-level cache holds them.
struct Walk {
    const Gated& a;
    const int vectorTiles, rowTiles;
    int tile, step = 0, row, vector;

    FORCE Walk(const Gated& a, int rank)
        : a(a), vectorTiles((a.count + CLUSTER * VECTORS - 1) / (CLUSTER * VECTORS)), rowTiles((a.rows + ROWS - 1) / ROWS), tile(blockIdx.x / CLUSTER) {
        find(rank);
    }
    FORCE void find(int rank) {
        const int group = tile / (GROUP * rowTiles), within = tile % (GROUP * rowTiles), wide = min(GROUP, vectorTiles - group * GROUP);
        row = within / wide * ROWS;
        vector = ((group * GROUP + within % wide) * CLUSTER + rank) * VECTORS;
    }
    FORCE bool more() const { return tile < vectorTiles * rowTiles; }
    FORCE void nextTile(int rank) {
        tile += gridDim.x / CLUSTER;
        if (more()) find(rank);
    }
    FORCE void nextStep(int rank) {
        if (++step < a.steps) return;
        step = 0;
        nextTile(rank);
    }
};

// What warps of a block meet at: a stage is full, and all blocks of the cluster are done with it.
struct Meetings {
    u64 full[STAGES], empty[STAGES];
};

// ---- the thread that brings vectors and weights

FORCE void bringAll(const TensorMap& weights, const TensorMap& vectors, const Gated& a, u32 ring, Meetings& meet, int rank) {
    const auto bringWeights = [&](const Walk& walk, int stage) {
        const u32 to = ring + stage * STAGE + VECTOR_BYTES;
        barrierExpect(&meet.full[stage], STAGE);
        boxCopyToAll(to + rank * BOX, &weights, walk.row + rank * BOX_ROWS, walk.step, &meet.full[stage]);
    };
    const auto bringVectors = [&](const Walk& walk, int stage) { boxCopy(ring + stage * STAGE, &vectors, walk.vector, walk.step, &meet.full[stage]); };
    Walk ahead(a, rank), walk(a, rank);
    int count = 0;
    for (; count < STAGES && ahead.more(); count++, ahead.nextStep(rank)) bringWeights(ahead, count);
    dependencyWait();
    for (int i = 0; i < count; i++, walk.nextStep(rank)) bringVectors(walk, i);
    for (int stage = 0, turn = 0; walk.more(); walk.nextStep(rank)) {
        barrierWait(&meet.empty[stage], turn);
        bringWeights(walk, stage);
        bringVectors(walk, stage);
        if (++stage == STAGES) stage = 0, turn ^= 1;
    }
}

// ---- the warpgroups that multiply

#define N4 N3 ",%64,%65,%66,%67,%68,%69,%70,%71,%72,%73,%74,%75,%76,%77,%78,%79,%80,%81,%82,%83,%84,%85,%86,%87,%88,%89,%90,%91,%92,%93,%94,%95" \
              ",%96,%97,%98,%99,%100,%101,%102,%103,%104,%105,%106,%107,%108,%109,%110,%111,%112,%113,%114,%115,%116,%117,%118,%119,%120,%121,%122" \
              ",%123,%124,%125,%126,%127"
#define D4(i) D3(i), D3(i + 64)

// d[64 x 256] (+)= 16 columns of 64 vectors times 16 columns of 256 rows.
FORCE void multiply(float (&d)[ROWS / 2], u32 vectors, u32 weights, int add) {
    asm volatile("{\n.reg .pred p;\n.reg .b64 a, b;\nmov.b64 a, {%128, %131};\nmov.b64 b, {%129, %131};\nsetp.ne.b32 p, %130, 0;\n"
                 "wgmma.mma_async.sync.aligned.m64n256k16.f32.bf16.bf16 {" N4 "}, a, b, p, 1, 1, 0, 0;\n}"
                 : D4(0)
                 : "r"(vectors), "r"(weights), "r"(add), "n"(ROWS_FOLLOW));
}

// A warp's results, by way of its own place, of boxes of 16 vectors by 64 features.
FORCE void store(const float (&d)[ROWS / 2], u8* place, const TensorMap& out, const Gated& a, int row, int vector) {
    const int lane = threadIdx.x % 32, g = lane / 4, c = lane % 4;
    if (lane == 0) storesRead();
    __syncwarp();
#pragma unroll
    for (int j = 0; j < ROWS / 16; j++) {
        u8* const to = place + j / 8 * WARP_VECTORS * SLICE + g * SLICE + (j % 8 ^ g) * 16 + c * 4;
        *(u32*)to = activateTwo(d[8 * j], d[8 * j + 4], d[8 * j + 1], d[8 * j + 5]);
        *(u32*)(to + 8 * SLICE) = activateTwo(d[8 * j + 2], d[8 * j + 6], d[8 * j + 3], d[8 * j + 7]);
    }
    showAsync();
    __syncwarp();
    // Past the last vector, and the last feature, nothing is stored.
    if (lane == 0 && vector < a.count) {
        boxStore(&out, row, vector, shared(place));
        boxStore(&out, row + SLICE, vector, shared(place) + WARP_VECTORS * SLICE);
        storesCommit();
    }
}

FORCE void multiplyAll(const TensorMap& out, const Gated& a, u8* memory, Meetings& meet, int rank, int mine) {
    const int warp = threadIdx.x / 32, thread = threadIdx.x % WARPGROUP;
    const u32 vectorsAt = matrixWord(shared(memory) + mine * 64 * SLICE), weightsAt = matrixWord(shared(memory) + VECTOR_BYTES);
    u8* const place = memory + STAGES * STAGE + warp * WARP_BYTES;
    // A thread for each block that waits for this warpgroup.
    const u32 theirs = thread < CLUSTER ? addressIn(thread, shared(meet.empty)) : 0;
    const auto release = [&](int stage) {
        if (thread < CLUSTER) arriveThere(theirs + 8 * stage);
    };
    float d[ROWS / 2];
    int stage = 0, turn = 0;
    for (Walk walk(a, rank); walk.more(); walk.nextTile(rank)) {
        for (int step = 0; step < a.steps; step++) {
            barrierWait(&meet.full[stage], turn);
            productFence();
#pragma unroll
            for (int piece = 0; piece < 4; piece++)
                multiply(d, vectorsAt + stage * (STAGE / 16) + piece * 2, weightsAt + stage * (STAGE / 16) + piece * 2, step > 0 || piece > 0);
            productCommit();
            if (step > 0) {
                productWait<1>();
                release(stage > 0 ? stage - 1 : STAGES - 1);
            }
            if (++stage == STAGES) stage = 0, turn ^= 1;
        }
        productWait<0>();
        settled(d);
        release(stage > 0 ? stage - 1 : STAGES - 1);
        store(d, place, out, a, walk.row, walk.vector + warp * WARP_VECTORS);
    }
    if (threadIdx.x % 32 == 0) storesWait();
}

// Maps of weights [rows, columns], of vectors [count, columns], of results [count, rows / 2], the latter by bytes of a row.
extern "C" __global__ void __launch_bounds__(CONSUMERS + WARPGROUP, 1) __cluster_dims__(CLUSTER, 1, 1)
    gatedBf16(const __grid_constant__ TensorMap weights, const __grid_constant__ TensorMap vectors, const __grid_constant__ TensorMap out, const __grid_constant__ Gated a) {
    dependentsLaunch();
    extern __shared__ __align__(1024) u8 memory[];  // the ring; each warp's results
    __shared__ Meetings meet;
    if (threadIdx.x == 0) {
        for (int i = 0; i < STAGES; i++) {
            barrierInit(&meet.full[i], 1);
            barrierInit(&meet.empty[i], CLUSTER * (CONSUMERS / WARPGROUP));
        }
        asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
    }
    __syncthreads();
    // Others' copies and arrivals come from here on.
    clusterSync();
    const int mine = __shfl_sync(~0u, threadIdx.x / WARPGROUP, 0), rank = rankInCluster();
    if (mine == 2) {
        registersDown<40>();
        if (threadIdx.x == CONSUMERS) bringAll(weights, vectors, a, shared(memory), meet, rank);
    } else {
        registersUp<232>();
        multiplyAll(out, a, memory, meet, rank, mine);
    }
    // A block's shared memory lasts until nobody arrives there any more.
    __syncwarp();
    clusterSync();
}
