// Everything that is neither a matrix product nor attention nor sampling: memory-bound, one pass each.
#include "common.cuh"

// ---- load time

enum { F32, F16, BF16, Q8_0, Q4_0, Q4_1 };

// Bytes of a stored tensor to bf16. Element (r, c) of the result is element (r, columnFrom + c) of the source.
// Rows go to `rowMap`: 0 as they are; 1 or 2 as the gate or the up half of 16-row tiles (8 gate rows, then 8 up rows).
extern "C" __global__ void convert(const u8* from, int type, i64 sourceRowBytes, int rows, int columnFrom, int columns,
                                   bf16* to, i64 rowFrom, int rowMap) {
    for (i64 i = blockIdx.x * (i64)blockDim.x + threadIdx.x; i < (i64)rows * columns; i += (i64)gridDim.x * blockDim.x) {
        const i64 r = i / columns;
        const int c = (int)(i % columns), s = columnFrom + c;
        const u8* row = from + r * sourceRowBytes;
        i64 target = rowFrom + r;
        if (rowMap) target = target / 8 * 16 + target % 8 + (rowMap == 2 ? 8 : 0);
        bf16* out = to + target * columns + c;
        if (type == BF16) {
            *out = ((const u16*)row)[s];
        } else if (type == F32) {
            *out = toBf16(((const float*)row)[s]);
        } else if (type == F16) {
            *out = toBf16(halfToFloat(((const u16*)row)[s]));
        } else {
            const int bytes = type == Q8_0 ? 34 : type == Q4_0 ? 18 : 20, e = s % 32;
            const u8* block = row + (i64)(s / 32) * bytes;
            const float scale = halfToFloat((u16)(block[0] | block[1] << 8));
            float v;
            if (type == Q8_0) {
                v = scale * (float)(signed char)block[2 + e];
            } else if (type == Q4_0) {
                v = scale * (float)((block[2 + e % 16] >> (e / 16 * 4) & 15) - 8);
            } else {
                v = scale * (float)(block[4 + e % 16] >> (e / 16 * 4) & 15) +
                    halfToFloat((u16)(block[2] | block[3] << 8));
            }
            *out = toBf16(v);
        }
    }
}

// The same to f32, for norms and biases.
extern "C" __global__ void convertVector(const u8* from, int type, int count, float* to) {
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += gridDim.x * blockDim.x) {
        to[i] = type == F32    ? ((const float*)from)[i]
                : type == BF16 ? toFloat(((const u16*)from)[i])
                               : halfToFloat(((const u16*)from)[i]);
    }
}

// Random weights in (-scale, scale) for benchmarks: no checkpoint of that size need exist.
extern "C" __global__ void randomWeights(bf16* to, i64 count, float scale, u32 seed) {
    for (i64 i = blockIdx.x * (i64)blockDim.x + threadIdx.x; i < count; i += (i64)gridDim.x * blockDim.x) {
        u32 h = (u32)i * 2654435761u + (u32)(i >> 32) + seed;
        h ^= h >> 16;
        h *= 0x7feb352du;
        h ^= h >> 15;
        h *= 0x846ca68bu;
        h ^= h >> 16;
        to[i] = toBf16(scale * ((float)(h >> 8) * (2.f / 16777216.f) - 1.f));
    }
}

extern "C" __global__ void fill(float* to, i64 count, float value) {
    for (i64 i = blockIdx.x * (i64)blockDim.x + threadIdx.x; i < count; i += (i64)gridDim.x * blockDim.x) to[i] = value;
}

// cos and sin of position x frequency, scaled: [positions, pairs] of pairs of floats. In double, since an angle of 1e5
// radians keeps only two decimals in float.
extern "C" __global__ void ropeTable(const double* frequency, int pairs, int positions, float scale, float2* to) {
    for (i64 i = blockIdx.x * (i64)blockDim.x + threadIdx.x; i < (i64)positions * pairs; i += (i64)gridDim.x * blockDim.x) {
        double s, c;
        sincos((double)(i / pairs) * frequency[i % pairs], &s, &c);
        to[i] = make_float2((float)(c * scale), (float)(s * scale));
    }
}

// ---- every step

// What the host may have written since any cache of the device has seen it.
FORCE int4 fromHost(const int4* p) {
    int4 v;
    asm volatile("ld.volatile.global.v4.s32 {%0, %1, %2, %3}, [%4];" : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w) : "l"(p));
    return v;
}

// Brings a step's description from the host's memory, then applies what it says about slots. One block. Later kernels
// of the step read the copy, so that the host may write the next step's meanwhile. All of it is asked for at once: the
// host's memory is a microsecond or two away. Both copies have room for what the last 16 bytes hold beyond `count`.
extern "C" __global__ void __launch_bounds__(1024) beginStep(const int* host, int count, Step step, int* table, int maxBlocks,
                                                            int* slots, int slotWords, int* occurrences, int vocabulary) {
    constexpr int QUADS = 4;
    const int quads = (count + 3) / 4;
    for (int from = 0; from < quads; from += QUADS * blockDim.x) {
        int4 v[QUADS];
#pragma unroll
        for (int k = 0; k < QUADS; k++) {
            const int i = from + k * blockDim.x + threadIdx.x;
            if (i < quads) v[k] = fromHost((const int4*)host + i);
        }
#pragma unroll
        for (int k = 0; k < QUADS; k++) {
            const int i = from + k * blockDim.x + threadIdx.x;
            if (i < quads) ((int4*)step.words)[i] = v[k];
        }
    }
    __syncthreads();
    const int* u = step.tableUpdate();
    for (int i = threadIdx.x; i < step.tableUpdates(); i += blockDim.x)
        table[(i64)u[3 * i] * maxBlocks + u[3 * i + 1]] = u[3 * i + 2];
    const int* record = u + 3 * step.tableUpdates();
    for (int a = 0; a < step.admissions(); a++) {
        const int slot = record[0], length = record[1], tokens = record[2], generated = record[3];
        for (int i = threadIdx.x; i < length; i += blockDim.x) slots[(i64)slot * slotWords + i] = record[4 + i];
        record += 4 + length;
        if (tokens > 0) {
            int* seen = occurrences + (i64)slot * vocabulary;
            for (int i = threadIdx.x; i < vocabulary; i += blockDim.x) seen[i] = 0;
            __syncthreads();
            for (int i = threadIdx.x; i < tokens; i += blockDim.x) atomicOr(seen + record[i], 1);
            __syncthreads();
            for (int i = tokens - generated + threadIdx.x; i < tokens; i += blockDim.x) atomicAdd(seen + record[i], 2);
            __syncthreads();
            record += tokens;
        }
    }
}

// residual += partial: a tensor-parallel rank's sum, once all ranks' parts are in it.
extern "C" __global__ void addTo(float* residual, const float* partial, i64 count) {
    dependentsLaunch();
    dependencyWait();
    for (i64 i = blockIdx.x * (i64)blockDim.x + threadIdx.x; i < count; i += (i64)gridDim.x * blockDim.x) residual[i] += partial[i];
}

// residual[token] = embedding of its id; an id below 0 is the one last sampled for its slot.
extern "C" __global__ void embed(Step step, const bf16* embedding, const int* last, float* residual, int hidden) {
    dependentsLaunch();
    dependencyWait();
    const int t = blockIdx.x;
    if (t >= step.tokens()) return;
    int id = step.tokenId()[t];
    if (id < 0) id = last[step.tokenSlot()[t]];
    const uint4* row = (const uint4*)(embedding + (i64)id * hidden);
    float4* out = (float4*)(residual + (i64)t * hidden);
    for (int i = threadIdx.x; i < hidden / 8; i += blockDim.x) {
        const uint4 v = row[i];
        out[2 * i] = make_float4(lowFloat(v.x), highFloat(v.x), lowFloat(v.y), highFloat(v.y));
        out[2 * i + 1] = make_float4(lowFloat(v.z), highFloat(v.z), lowFloat(v.w), highFloat(v.w));
    }
}

struct Normed {
    bf16* wide;     // or, where it is null,
    u8* eights;     // e4m3, and
    float* scales;  // what each vector was divided by
};

// What a thread holds of a vector between two passes over it, in fours of f32 and in eights of bf16: the host asks for as
// many threads as that takes (ForwardPass.java).
constexpr int FOURS = 4, EIGHTS = 8;

FORCE void loadFours(const float* vector, int count, float4 (&v)[FOURS]) {
#pragma unroll
    for (int k = 0; k < FOURS; k++) {
        const int i = threadIdx.x + k * blockDim.x;
        v[k] = i < count / 4 ? ((const float4*)vector)[i] : make_float4(0, 0, 0, 0);
    }
}

// The weights are there before the kernel ahead has ended.
FORCE void normRow(const float* in, const float4 (&weight)[FOURS], const Normed& out, int at, int hidden, float epsilon,
                   float* scratch) {
    float4 x[FOURS];
    loadFours(in, hidden, x);
    float squares = 0, most = 0;
#pragma unroll
    for (int k = 0; k < FOURS; k++) {
        float4& v = x[k];
        squares += v.x * v.x + v.y * v.y + v.z * v.z + v.w * v.w;
        v = make_float4(v.x * weight[k].x, v.y * weight[k].y, v.z * weight[k].z, v.w * weight[k].w);
        most = fmaxf(most, fmaxf(fmaxf(fabsf(v.x), fabsf(v.y)), fmaxf(fabsf(v.z), fabsf(v.w))));
    }
    const float r = rsqrtf(blockSum(squares, scratch) / (float)hidden + epsilon);
    float f = r;
    if (!out.wide) {
        const float scale = scaleOfFp8(blockMax(most, scratch) * r);
        if (threadIdx.x == 0) out.scales[at] = scale;
        f = r / scale;
    }
#pragma unroll
    for (int k = 0; k < FOURS; k++) {
        const int i = threadIdx.x + k * blockDim.x;
        if (i >= hidden / 4) break;
        const float4 v = x[k];
        if (out.wide) {
            ((uint2*)(out.wide + (i64)at * hidden))[i] = make_uint2(pack(v.x * f, v.y * f), pack(v.z * f, v.w * f));
        } else {
            ((u32*)(out.eights + (i64)at * hidden))[i] = packFp8(v.x * f, v.y * f, v.z * f, v.w * f);
        }
    }
}

extern "C" __global__ void rmsNorm(Step step, const float* residual, const float* weight, Normed out, int hidden, float epsilon) {
    dependentsLaunch();
    __shared__ float scratch[32];
    const int t = blockIdx.x, tokens = step.tokens();
    float4 weights[FOURS];
    loadFours(weight, hidden, weights);
    dependencyWait();
    if (t >= tokens) return;
    normRow(residual + (i64)t * hidden, weights, out, t, hidden, epsilon, scratch);
}

// The final norm, of the rows that sample only.
extern "C" __global__ void sampleNorm(Step step, const float* residual, const float* weight, Normed out, int hidden, float epsilon) {
    dependentsLaunch();
    __shared__ float scratch[32];
    const int s = blockIdx.x, samples = step.samples(), t = step.sampleToken()[s];
    float4 weights[FOURS];
    loadFours(weight, hidden, weights);
    dependencyWait();
    if (s >= samples) return;
    normRow(residual + (i64)t * hidden, weights, out, s, hidden, epsilon, scratch);
}

// A vector of bf16, held by a block, as e4m3 with a scale.
FORCE void storeEights(const uint4 (&v)[EIGHTS], int columns, u8* to, float* toScale, float* scratch) {
    float most = 0;
#pragma unroll
    for (int k = 0; k < EIGHTS; k++) {
        const u32 words[4] = {v[k].x, v[k].y, v[k].z, v[k].w};
#pragma unroll
        for (int j = 0; j < 4; j++) most = fmaxf(most, fmaxf(fabsf(lowFloat(words[j])), fabsf(highFloat(words[j]))));
    }
    const float scale = scaleOfFp8(blockMax(most, scratch)), f = 1.f / scale;
    if (threadIdx.x == 0) *toScale = scale;
#pragma unroll
    for (int k = 0; k < EIGHTS; k++) {
        const int i = threadIdx.x + k * blockDim.x;
        if (i >= columns / 8) break;
        const auto four = [f](u32 a, u32 b) { return packFp8(lowFloat(a) * f, highFloat(a) * f, lowFloat(b) * f, highFloat(b) * f); };
        ((uint2*)to)[i] = make_uint2(four(v[k].x, v[k].y), four(v[k].z, v[k].w));
    }
}

// Vectors of bf16 as e4m3, each with a scale.
extern "C" __global__ void __launch_bounds__(1024) narrow(Step step, const bf16* from, u8* to, float* scales, int columns) {
    dependentsLaunch();
    __shared__ float scratch[32];
    const int t = blockIdx.x, tokens = step.tokens();
    dependencyWait();
    if (t >= tokens) return;
    uint4 v[EIGHTS];
#pragma unroll
    for (int k = 0; k < EIGHTS; k++) {
        const int i = threadIdx.x + k * blockDim.x;
        v[k] = i < columns / 8 ? ((const uint4*)(from + (i64)t * columns))[i] : make_uint4(0, 0, 0, 0);
    }
    storeEights(v, columns, to + (i64)t * columns, scales + t, scratch);
}

// Rotates a pair.
FORCE void turn(float& u, float& v, float c, float s) {
    const float turned = u * c - v * s;
    v = v * c + u * s;
    u = turned;
}

// q, k, v of each token: bias, the head's own norm where there are norms [2, head size] (of queries, of keys), rotation; q to
// its buffer, k and v to the paged cache [block, kv head, position in block, head size], of bf16 or (eights) of e4m3 without a
// scale: at most 448. Leaves zeros in the vectors before `cleared`, to which the next product may add its parts.
//
// An eighth of a head's size is the lanes that have it, four neighbouring elements of each half a lane. A block is of one
// token; a lane has HEADS heads, with the same angles, and asks for all of both before it needs any.
extern "C" __global__ void __launch_bounds__(320) rotateAndStore(Step step, float* qkv, const float* bias, const float* norms,
                                                                float epsilon, const float2* rope, bf16* q, void* keys,
                                                                void* values, const int* table, int maxBlocks, int blockSize,
                                                                int heads, int kvHeads, int headSize, int interleaved,
                                                                int eights, int cleared) {
    dependentsLaunch();
    constexpr int HEADS = 2;
    const int lanesLog = headSize == 128 ? 4 : 3, lanes = 1 << lanesLog, half = headSize / 2, all = heads + 2 * kvHeads;
    const int lane = threadIdx.x & (lanes - 1), groups = gridDim.y * blockDim.x >> lanesLog;
    const int group = (blockIdx.y * blockDim.x + threadIdx.x) >> lanesLog;
    const int t = blockIdx.x, tokens = step.tokens(), position = step.tokenPosition()[t], slot = step.tokenSlot()[t];
    const bool used = t < tokens;
    const float4 zeros = make_float4(0, 0, 0, 0);
    float4 biases[HEADS][2], angles[2] = {zeros, zeros};  // cosine and sine, twice
    int block = 0, inBlock = 0;
    if (used) {
        const int index = (int)((u32)position / (u32)blockSize);
        inBlock = position - index * blockSize;
        block = table[(i64)slot * maxBlocks + index];
        const float4* angle = (const float4*)(rope + (i64)position * half);
        angles[0] = angle[interleaved ? lane : 2 * lane];
        angles[1] = angle[interleaved ? lanes + lane : 2 * lane + 1];
    }
#pragma unroll
    for (int j = 0; j < HEADS; j++) {
        const int h = group + j * groups;
        const float4* from = (const float4*)(bias + h * headSize);
        const bool biased = bias && h < all;
        biases[j][0] = biased ? from[lane] : zeros;
        biases[j][1] = biased ? from[lanes + lane] : zeros;
    }
    dependencyWait();
    float4 x[HEADS][2];
#pragma unroll
    for (int j = 0; j < HEADS; j++) {
        const int h = group + j * groups;
        const float4* in = (const float4*)(qkv + ((i64)t * all + h) * headSize);
        const bool loaded = used && h < all;
        x[j][0] = loaded ? in[lane] : zeros;
        x[j][1] = loaded ? in[lanes + lane] : zeros;
    }
#pragma unroll
    for (int j = 0; j < HEADS; j++) {
        const int h = group + j * groups;
        const bool rotated = h < heads + kvHeads;
        if (t < cleared && h < all) {
            float4* in = (float4*)(qkv + ((i64)t * all + h) * headSize);
            in[lane] = in[lanes + lane] = zeros;
        }
        float u[4] = {x[j][0].x + biases[j][0].x, x[j][0].y + biases[j][0].y, x[j][0].z + biases[j][0].z, x[j][0].w + biases[j][0].w};
        float v[4] = {x[j][1].x + biases[j][1].x, x[j][1].y + biases[j][1].y, x[j][1].z + biases[j][1].z, x[j][1].w + biases[j][1].w};
        if (norms) {
            float squares = 0;
#pragma unroll
            for (int i = 0; i < 4; i++) squares += u[i] * u[i] + v[i] * v[i];
            for (int o = lanes / 2; o; o >>= 1) squares += __shfl_xor_sync(~0u, squares, o);
            const float r = rsqrtf(squares / (float)headSize + epsilon);
            const float* weight = norms + (h < heads ? 0 : headSize) + 4 * lane;
#pragma unroll
            for (int i = 0; rotated && i < 4; i++) {
                u[i] *= r * weight[i];
                v[i] *= r * weight[half + i];
            }
        }
        if (!used || h >= all) continue;
        if (rotated && interleaved) {
            turn(u[0], u[1], angles[0].x, angles[0].y);
            turn(u[2], u[3], angles[0].z, angles[0].w);
            turn(v[0], v[1], angles[1].x, angles[1].y);
            turn(v[2], v[3], angles[1].z, angles[1].w);
        } else if (rotated) {
            turn(u[0], v[0], angles[0].x, angles[0].y);
            turn(u[1], v[1], angles[0].z, angles[0].w);
            turn(u[2], v[2], angles[1].x, angles[1].y);
            turn(u[3], v[3], angles[1].z, angles[1].w);
        }
        void* out = q;
        i64 at = ((i64)t * heads + h) * headSize;
        int flip = 0;  // keys and values are permuted by position: see attention.cuh
        if (h >= heads) {
            out = rotated ? keys : values;
            at = (((i64)block * kvHeads + h - heads - (rotated ? 0 : kvHeads)) * blockSize + inBlock) * headSize;
            flip = (position & 7) << 3;
        }
        const i64 low = at + (4 * lane ^ flip), high = at + ((half + 4 * lane) ^ flip);
        if (h >= heads && eights) {
            *(u32*)((u8*)out + low) = packFp8(u[0], u[1], u[2], u[3]);
            *(u32*)((u8*)out + high) = packFp8(v[0], v[1], v[2], v[3]);
        } else {
            *(uint2*)((bf16*)out + low) = make_uint2(pack(u[0], u[1]), pack(u[2], u[3]));
            *(uint2*)((bf16*)out + high) = make_uint2(pack(v[0], v[1]), pack(v[2], v[3]));
        }
    }
}

// silu(gate) * up of 8 columns, of tiles of 8 gate and 8 up columns.
FORCE uint4 activate(const uint4& gate, const uint4& up) {
    const auto two = [](u32 g, u32 u) { return pack(activate(lowFloat(g), lowFloat(u)), activate(highFloat(g), highFloat(u))); };
    return make_uint4(two(gate.x, up.x), two(gate.y, up.y), two(gate.z, up.z), two(gate.w, up.w));
}

// The same of N of a thread's tiles, `threads` apart from `first` on; all are asked for before the first is used.
template <int N>
FORCE void activate(const uint4* gateUp, int tiles, int first, int threads, uint4* out) {
    uint4 in[N][2];
#pragma unroll
    for (int k = 0; k < N; k++) {
        const int i = first + k * threads;
        in[k][0] = i < tiles ? gateUp[2 * i] : make_uint4(0, 0, 0, 0);
        in[k][1] = i < tiles ? gateUp[2 * i + 1] : make_uint4(0, 0, 0, 0);
    }
#pragma unroll
    for (int k = 0; k < N; k++) out[k] = activate(in[k][0], in[k][1]);
}

// gateUp: [tokens, 2 * intermediate].
extern "C" __global__ void __launch_bounds__(128) swiglu(Step step, const bf16* gateUp, bf16* out, int intermediate) {
    dependentsLaunch();
    constexpr int TILES = 2;
    const int t = blockIdx.y, tokens = step.tokens(), tiles = intermediate / 8;
    const int first = blockIdx.x * blockDim.x * TILES + threadIdx.x;
    dependencyWait();
    if (t >= tokens) return;
    uint4 o[TILES];
    activate<TILES>((const uint4*)(gateUp + (i64)t * 2 * intermediate), tiles, first, blockDim.x, o);
#pragma unroll
    for (int k = 0; k < TILES; k++) {
        const int i = first + k * blockDim.x;
        if (i < tiles) ((uint4*)(out + (i64)t * intermediate))[i] = o[k];
    }
}

// The same as e4m3 with a scale, by way of bf16, as `narrow` behind a product makes it; a block a token.
extern "C" __global__ void __launch_bounds__(1024) swigluEights(Step step, const bf16* gateUp, u8* out, float* scales, int intermediate) {
    dependentsLaunch();
    __shared__ float scratch[32];
    const int t = blockIdx.x, tokens = step.tokens();
    dependencyWait();
    if (t >= tokens) return;
    constexpr int HALF = EIGHTS / 2;
    uint4 o[EIGHTS];
#pragma unroll
    for (int k = 0; k < EIGHTS; k += HALF)
        activate<HALF>((const uint4*)(gateUp + (i64)t * 2 * intermediate), intermediate / 8, threadIdx.x + k * blockDim.x, blockDim.x, o + k);
    storeEights(o, intermediate, out + (i64)t * intermediate, scales + t, scratch);
}

// Bits of a long read kept from being optimised away; what a plain streaming read of device memory reaches.
extern "C" __global__ void readAll(const uint4* from, i64 count, u32* sink) {
    const i64 stride = (i64)gridDim.x * blockDim.x;
    i64 i = blockIdx.x * (i64)blockDim.x + threadIdx.x;
    u32 bits = 0;
    for (; i + 7 * stride < count; i += 8 * stride) {
        uint4 v[8];
#pragma unroll
        for (int u = 0; u < 8; u++) v[u] = __ldcs(from + i + u * stride);
#pragma unroll
        for (int u = 0; u < 8; u++) bits ^= v[u].x ^ v[u].y ^ v[u].z ^ v[u].w;
    }
    if (bits == 0x9e3779b9u) *sink = bits;
}
