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

// Brings a step's description from the host's memory, then applies what it says about slots. One block. Later kernels
// of the step read the copy, so that the host may write the next step's meanwhile.
extern "C" __global__ void __launch_bounds__(1024) beginStep(const int* host, int count, Step step, int* table, int maxBlocks,
                                                            int* slots, int slotWords, int* occurrences, int vocabulary) {
    int* words = (int*)step.words;
    for (int i = threadIdx.x; i < count; i += blockDim.x) words[i] = ((const volatile int*)host)[i];
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

// Has a vector brought to the second-level cache, by a block.
FORCE void fetch(const float* vector, int count) {
    for (int i = threadIdx.x * 32; i < count; i += blockDim.x * 32) asm volatile("prefetch.global.L2 [%0];" ::"l"(vector + i));
}

FORCE void normRow(const float* in, const float* weight, const Normed& out, int at, int hidden, float epsilon, float* scratch) {
    const float4* x = (const float4*)in;
    const float4* w = (const float4*)weight;
    float s = 0;
    for (int i = threadIdx.x; i < hidden / 4; i += blockDim.x) {
        const float4 v = x[i];
        s += v.x * v.x + v.y * v.y + v.z * v.z + v.w * v.w;
    }
    const float r = rsqrtf(blockSum(s, scratch) / (float)hidden + epsilon);
    if (out.wide) {
        uint2* to = (uint2*)(out.wide + (i64)at * hidden);
        for (int i = threadIdx.x; i < hidden / 4; i += blockDim.x) {
            const float4 v = x[i], m = w[i];
            to[i] = make_uint2(pack(v.x * r * m.x, v.y * r * m.y), pack(v.z * r * m.z, v.w * r * m.w));
        }
        return;
    }
    float most = 0;
    for (int i = threadIdx.x; i < hidden / 4; i += blockDim.x) {
        const float4 v = x[i], m = w[i];
        most = fmaxf(most, fmaxf(fmaxf(fabsf(v.x * m.x), fabsf(v.y * m.y)), fmaxf(fabsf(v.z * m.z), fabsf(v.w * m.w))));
    }
    const float scale = scaleOfFp8(blockMax(most, scratch) * r), f = r / scale;
    if (threadIdx.x == 0) out.scales[at] = scale;
    u32* to = (u32*)(out.eights + (i64)at * hidden);
    for (int i = threadIdx.x; i < hidden / 4; i += blockDim.x) {
        const float4 v = x[i], m = w[i];
        to[i] = packFp8(v.x * m.x * f, v.y * m.y * f, v.z * m.z * f, v.w * m.w * f);
    }
}

extern "C" __global__ void rmsNorm(Step step, const float* residual, const float* weight, Normed out, int hidden, float epsilon) {
    dependentsLaunch();
    __shared__ float scratch[32];
    const int t = blockIdx.x;
    if (t == 0) fetch(weight, hidden);
    dependencyWait();
    if (t >= step.tokens()) return;
    normRow(residual + (i64)t * hidden, weight, out, t, hidden, epsilon, scratch);
}

// The final norm, of the rows that sample only.
extern "C" __global__ void sampleNorm(Step step, const float* residual, const float* weight, Normed out, int hidden, float epsilon) {
    dependentsLaunch();
    dependencyWait();
    __shared__ float scratch[32];
    const int s = blockIdx.x;
    if (s >= step.samples()) return;
    normRow(residual + (i64)step.sampleToken()[s] * hidden, weight, out, s, hidden, epsilon, scratch);
}

// Vectors of bf16 as e4m3, each with a scale.
extern "C" __global__ void narrow(Step step, const bf16* from, u8* to, float* scales, int columns) {
    dependentsLaunch();
    dependencyWait();
    __shared__ float scratch[32];
    const int t = blockIdx.x;
    if (t >= step.tokens()) return;
    const uint2* in = (const uint2*)(from + (i64)t * columns);
    float most = 0;
    for (int i = threadIdx.x; i < columns / 4; i += blockDim.x) {
        const uint2 v = in[i];
        most = fmaxf(most, fmaxf(fmaxf(fabsf(lowFloat(v.x)), fabsf(highFloat(v.x))), fmaxf(fabsf(lowFloat(v.y)), fabsf(highFloat(v.y)))));
    }
    const float scale = scaleOfFp8(blockMax(most, scratch)), f = 1.f / scale;
    if (threadIdx.x == 0) scales[t] = scale;
    u32* out = (u32*)(to + (i64)t * columns);
    for (int i = threadIdx.x; i < columns / 4; i += blockDim.x) {
        const uint2 v = in[i];
        out[i] = packFp8(lowFloat(v.x) * f, highFloat(v.x) * f, lowFloat(v.y) * f, highFloat(v.y) * f);
    }
}

// q, k, v of each token, a warp a head: bias, the head's own norm where there are norms [2, head size] (of queries, of keys),
// rotation; q to its buffer, k and v to the paged cache [block, kv head, position in block, head size], of bf16 or (eights) of
// e4m3 without a scale: at most 448. Leaves zeros in the vectors before `cleared`, to which the next product may add its parts.
extern "C" __global__ void rotateAndStore(Step step, float* qkv, const float* bias, const float* norms, float epsilon,
                                          const float2* rope, bf16* q, void* keys, void* values, const int* table,
                                          int maxBlocks, int blockSize, int heads, int kvHeads, int headSize, int interleaved,
                                          int eights, int cleared) {
    dependentsLaunch();
    constexpr int MOST = 2;  // pairs of a lane: heads of 128 at most
    const int t = blockIdx.x, lane = threadIdx.x % 32, warps = blockDim.x / 32;
    float* all = qkv + (i64)t * (heads + 2 * kvHeads) * headSize;
    const bool clears = t < cleared;
    if (t >= step.tokens()) {
        dependencyWait();
        if (!clears) return;
        for (int i = blockIdx.y * blockDim.x + threadIdx.x; i < (heads + 2 * kvHeads) * headSize; i += gridDim.y * blockDim.x) all[i] = 0;
        return;
    }
    const int position = step.tokenPosition()[t], half = headSize / 2;
    const int block = table[(i64)step.tokenSlot()[t] * maxBlocks + position / blockSize];
    float2 angle[MOST];
#pragma unroll
    for (int j = 0; j < MOST; j++)
        if (lane + 32 * j < half) angle[j] = rope[(i64)position * half + lane + 32 * j];
    dependencyWait();
    for (int h = blockIdx.y * warps + threadIdx.x / 32; h < heads + 2 * kvHeads; h += gridDim.y * warps) {
        const bool rotated = h < heads + kvHeads, neighbours = !rotated || interleaved;
        float* in = all + h * headSize;
        int a[MOST], b[MOST];
        float x[MOST], y[MOST], squares = 0;
#pragma unroll
        for (int j = 0; j < MOST; j++) {
            const int p = lane + 32 * j;
            if (p >= half) break;
            a[j] = neighbours ? 2 * p : p;
            b[j] = neighbours ? 2 * p + 1 : p + half;
            x[j] = in[a[j]];
            y[j] = in[b[j]];
            if (clears) in[a[j]] = in[b[j]] = 0;
            if (bias) {
                x[j] += bias[h * headSize + a[j]];
                y[j] += bias[h * headSize + b[j]];
            }
            squares += x[j] * x[j] + y[j] * y[j];
        }
        const bool normed = norms && rotated;
        const float* weight = norms + (h < heads ? 0 : headSize);
        const float r = normed ? rsqrtf(warpSum(squares) / (float)headSize + epsilon) : 1.f;
        bf16* out = q;
        u8* narrow = nullptr;
        i64 at = ((i64)t * heads + h) * headSize;
        int flip = 0;  // keys and values are permuted by position: see attention.cuh
        if (h >= heads) {
            const int kv = rotated ? h - heads : h - heads - kvHeads;
            out = (bf16*)(rotated ? keys : values);
            narrow = eights ? (u8*)out : nullptr;
            at = (((i64)block * kvHeads + kv) * blockSize + position % blockSize) * headSize;
            flip = (position & 7) << 3;
        }
#pragma unroll
        for (int j = 0; j < MOST; j++) {
            const int p = lane + 32 * j;
            if (p >= half) break;
            float u = x[j], v = y[j];
            if (normed) {
                u *= r * weight[a[j]];
                v *= r * weight[b[j]];
            }
            if (rotated) {
                const float2 f = angle[j];
                const float turned = u * f.x - v * f.y;
                v = v * f.x + u * f.y;
                u = turned;
            }
            if (narrow) {
                const u32 two = packFp8(u, v, 0, 0);
                narrow[at + (a[j] ^ flip)] = (u8)two;
                narrow[at + (b[j] ^ flip)] = (u8)(two >> 8);
            } else {
                out[at + (a[j] ^ flip)] = toBf16(u);
                out[at + (b[j] ^ flip)] = toBf16(v);
            }
        }
    }
}

// silu(gate) * up of 8 columns, of tiles of 8 gate and 8 up columns.
FORCE void activate(const uint4* gateUp, float (&o)[8]) {
    const uint4 g = gateUp[0], u = gateUp[1];
    const u32 gs[4] = {g.x, g.y, g.z, g.w}, us[4] = {u.x, u.y, u.z, u.w};
#pragma unroll
    for (int j = 0; j < 4; j++) {
        const float a = lowFloat(gs[j]), b = highFloat(gs[j]);
        o[2 * j] = a / (1.f + __expf(-a)) * lowFloat(us[j]);
        o[2 * j + 1] = b / (1.f + __expf(-b)) * highFloat(us[j]);
    }
}

// gateUp: [tokens, 2 * intermediate].
extern "C" __global__ void swiglu(Step step, const bf16* gateUp, bf16* out, int intermediate) {
    dependentsLaunch();
    dependencyWait();
    const int t = blockIdx.y, i = blockIdx.x * blockDim.x + threadIdx.x;  // i: 8 columns
    if (t >= step.tokens() || i >= intermediate / 8) return;
    float o[8];
    activate((const uint4*)(gateUp + (i64)t * 2 * intermediate) + 2 * i, o);
    ((uint4*)(out + (i64)t * intermediate))[i] = make_uint4(pack(o[0], o[1]), pack(o[2], o[3]), pack(o[4], o[5]), pack(o[6], o[7]));
}

// The same as e4m3 with a scale; a block a token, which reads it twice.
extern "C" __global__ void __launch_bounds__(1024) swigluEights(Step step, const bf16* gateUp, u8* out, float* scales, int intermediate) {
    dependentsLaunch();
    dependencyWait();
    __shared__ float scratch[32];
    const int t = blockIdx.x;
    if (t >= step.tokens()) return;
    const uint4* in = (const uint4*)(gateUp + (i64)t * 2 * intermediate);
    float o[8], most = 0;
    for (int i = threadIdx.x; i < intermediate / 8; i += blockDim.x) {
        activate(in + 2 * i, o);
#pragma unroll
        for (int j = 0; j < 8; j++) most = fmaxf(most, fabsf(o[j]));
    }
    const float scale = scaleOfFp8(blockMax(most, scratch)), f = 1.f / scale;
    if (threadIdx.x == 0) scales[t] = scale;
    uint2* to = (uint2*)(out + (i64)t * intermediate);
    for (int i = threadIdx.x; i < intermediate / 8; i += blockDim.x) {
        activate(in + 2 * i, o);
        to[i] = make_uint2(packFp8(o[0] * f, o[1] * f, o[2] * f, o[3] * f), packFp8(o[4] * f, o[5] * f, o[6] * f, o[7] * f));
    }
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
