// y = W x for 1 to 8 vectors x: bound by the reading of W. A block takes 16 rows of W, its warps part the columns; the
// products go through tensor cores, whose eight columns of B are the vectors, so that no shuffles are needed and eight
// vectors cost what one does.
//
// Which column of W meets which k of the instruction is free as long as x is permuted alike: a lane takes 8 neighbouring
// elements of a row by one 16-byte load and gives them to two instructions.
#include "common.cuh"

constexpr int WARPS = 8;
enum { STORE, ADD, SWIGLU };

// Weights pass once. The hint has the memory fetch 256 bytes of a row at a time: a warp's load takes but 64 of each of
// eight rows, and neighbours come in the loads behind it. Gate and up of a 72B model: from 2.4 to 3.0 TB/s.
FORCE uint4 loadStreamed(const uint4* p) {
    uint4 v;
    asm volatile("ld.global.nc.L1::no_allocate.L2::256B.v4.u32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
                 : "l"(p));
    return v;
}

template <int EPILOGUE>
FORCE void gemvTile(const bf16* w, const bf16* x, int rows, int columns, int vectors, void* y, int stride) {
    dependentsLaunch();
    dependencyWait();
    __shared__ float sums[WARPS][16 * 8];
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, g = lane / 4, q = lane % 4;
    const int first = blockIdx.x * 16;
    // Rows past the end read the last one; their results are dropped.
    const uint4* low = (const uint4*)(w + (i64)min(first + g, rows - 1) * columns) + q;
    const uint4* high = (const uint4*)(w + (i64)min(first + g + 8, rows - 1) * columns) + q;
    const uint4* vector = (const uint4*)(x + (i64)g * columns) + q;
    const bool used = g < vectors;
    float c[2][4] = {};
    const int steps = columns / 32;  // 32 columns a step: one load of each row a lane
    constexpr int U = 4, STRIDE = WARPS * U;
    uint4 a[U], b[U];
    int s = warp * U;
    if (s + U <= steps) {
#pragma unroll
        for (int u = 0; u < U; u++) {
            a[u] = loadStreamed(low + (s + u) * 4);
            b[u] = loadStreamed(high + (s + u) * 4);
        }
    }
    for (; s + U <= steps; s += STRIDE) {
        // The next loads are on their way while these are multiplied.
        uint4 nextA[U], nextB[U], v[U];
        const int next = s + STRIDE;
#pragma unroll
        for (int u = 0; u < U; u++) v[u] = used ? vector[(s + u) * 4] : make_uint4(0, 0, 0, 0);
        if (next + U <= steps) {
#pragma unroll
            for (int u = 0; u < U; u++) {
                nextA[u] = loadStreamed(low + (next + u) * 4);
                nextB[u] = loadStreamed(high + (next + u) * 4);
            }
        }
#pragma unroll
        for (int u = 0; u < U; u++) {
            mma(c[0], a[u].x, b[u].x, a[u].y, b[u].y, v[u].x, v[u].y);
            mma(c[1], a[u].z, b[u].z, a[u].w, b[u].w, v[u].z, v[u].w);
        }
#pragma unroll
        for (int u = 0; u < U; u++) {
            a[u] = nextA[u];
            b[u] = nextB[u];
        }
    }
    for (; s < steps; s++) {  // the last, partial chunk of the row: this warp's own
        const uint4 a = loadStreamed(low + s * 4), b = loadStreamed(high + s * 4);
        const uint4 v = used ? vector[s * 4] : make_uint4(0, 0, 0, 0);
        mma(c[0], a.x, b.x, a.y, b.y, v.x, v.y);
        mma(c[1], a.z, b.z, a.w, b.w, v.z, v.w);
    }
    sums[warp][g * 8 + 2 * q] = c[0][0] + c[1][0];
    sums[warp][g * 8 + 2 * q + 1] = c[0][1] + c[1][1];
    sums[warp][(g + 8) * 8 + 2 * q] = c[0][2] + c[1][2];
    sums[warp][(g + 8) * 8 + 2 * q + 1] = c[0][3] + c[1][3];
    __syncthreads();
    if (EPILOGUE == SWIGLU) {
        if (threadIdx.x < 64) {
            const int v = threadIdx.x / 8, r = threadIdx.x % 8;
            float gate = 0, up = 0;
            for (int i = 0; i < WARPS; i++) {
                gate += sums[i][r * 8 + v];
                up += sums[i][(r + 8) * 8 + v];
            }
            if (v < vectors) ((bf16*)y)[(i64)v * stride + blockIdx.x * 8 + r] = toBf16(activate(gate, up));
        }
    } else if (threadIdx.x < 128) {
        const int v = threadIdx.x / 16, r = threadIdx.x % 16;
        float sum = 0;
        for (int i = 0; i < WARPS; i++) sum += sums[i][r * 8 + v];
        if (v < vectors && first + r < rows) {
            float* out = (float*)y + (i64)v * stride + first + r;
            *out = EPILOGUE == ADD ? *out + sum : sum;
        }
    }
}

// w: [rows, columns]; x: [vectors, columns]; y: [vectors, stride] floats.
extern "C" __global__ void __launch_bounds__(256) gemvStore(const bf16* w, const bf16* x, int rows, int columns,
                                                           int vectors, float* y, int stride) {
    gemvTile<STORE>(w, x, rows, columns, vectors, y, stride);
}
// y += W x
extern "C" __global__ void __launch_bounds__(256) gemvAdd(const bf16* w, const bf16* x, int rows, int columns,
                                                         int vectors, float* y, int stride) {
    gemvTile<ADD>(w, x, rows, columns, vectors, y, stride);
}
// w: tiles of 8 gate and 8 up rows; y: [vectors, rows / 2] bf16, silu(gate) * up.
extern "C" __global__ void __launch_bounds__(256) gemvSwiglu(const bf16* w, const bf16* x, int rows, int columns,
                                                            int vectors, bf16* y, int stride) {
    gemvTile<SWIGLU>(w, x, rows, columns, vectors, y, stride);
}
