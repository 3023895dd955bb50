// What all kernels share. No header of the CUDA toolkit is included, so that NVRTC can compile these files anywhere.
#pragma once
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef long long i64;
typedef u16 bf16;  // bits of a bfloat16

#define FORCE __device__ __forceinline__
#define NEG_INF __int_as_float(0xff800000)

FORCE float toFloat(bf16 v) { return __uint_as_float((u32)v << 16); }
FORCE float lowFloat(u32 two) { return __uint_as_float(two << 16); }
FORCE float highFloat(u32 two) { return __uint_as_float(two & 0xffff0000u); }
FORCE bf16 toBf16(float v) {
    u16 r;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(r) : "f"(v));
    return r;
}
// Two bf16 in a word, the first in the low half.
FORCE u32 pack(float low, float high) {
    u32 r;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(high), "f"(low));
    return r;
}
FORCE float halfToFloat(u16 h) {
    float r;
    asm("cvt.f32.f16 %0, %1;" : "=f"(r) : "h"(h));
    return r;
}

// 2^x; a result too small for a float is 0.
FORCE float power2(float x) {
    float r;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(x));
    return r;
}
// 1/x, likewise.
FORCE float reciprocal(float x) {
    float r;
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(x));
    return r;
}
// silu(gate) * up.
FORCE float activate(float gate, float up) { return gate * reciprocal(1.f + power2(-1.44269504f * gate)) * up; }

FORCE float warpSum(float v) {
#pragma unroll
    for (int o = 16; o; o >>= 1) v += __shfl_xor_sync(~0u, v, o);
    return v;
}
FORCE float warpMax(float v) {
#pragma unroll
    for (int o = 16; o; o >>= 1) v = fmaxf(v, __shfl_xor_sync(~0u, v, o));
    return v;
}

FORCE u64 nanoseconds() {
    u64 t;
    asm volatile("mov.u64 %0, %globaltimer;" : "=l"(t));
    return t;
}

// Where the launch lets a kernel begin before the one ahead of it has ended (CudaModules.following): waits until that has,
// and its results are there. Every thread of such a kernel comes here before it reads or writes what other kernels of the
// graph do, and before it ends. Weights, the step's description and what earlier steps have left may be read before.
FORCE void dependencyWait() {
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}
// Lets the next such kernel begin, once all blocks have come here.
FORCE void dependentsLaunch() {
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

FORCE u32 shared(const void* p) { return (u32)__cvta_generic_to_shared(p); }

FORCE void loadShared4(u32* v, u32 at) {
    asm volatile("ld.shared.v4.u32 {%0,%1,%2,%3}, [%4];" : "=r"(v[0]), "=r"(v[1]), "=r"(v[2]), "=r"(v[3]) : "r"(at) : "memory");
}
FORCE u16 loadShared2(u32 at) {
    u16 v;
    asm volatile("ld.shared.u16 %0, [%1];" : "=h"(v) : "r"(at) : "memory");
    return v;
}
FORCE u32 loadShared1(u32 at) {
    u32 v;
    asm volatile("ld.shared.u8 %0, [%1];" : "=r"(v) : "r"(at) : "memory");
    return v;
}

// c[16x8] += a[16x16] * b[16x8]; lane = 4 g + q holds c0,c1 of row g and c2,c3 of row g + 8, columns 2q and 2q + 1.
FORCE void mma(float* c, u32 a0, u32 a1, u32 a2, u32 a3, u32 b0, u32 b1) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%0,%1,%2,%3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}
// The same of f16.
FORCE void mmaHalf(float* c, u32 a0, u32 a1, u32 a2, u32 a3, u32 b0, u32 b1) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%0,%1,%2,%3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}
FORCE void ldmatrix(u32* r, u32 address) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(address));
}
FORCE void ldmatrixTransposed(u32* r, u32 address) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(address));
}
// 16 bytes to shared memory; zeros where not `valid`.
FORCE void copyAsync(u32 to, const void* from, bool valid) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(valid ? 16 : 0) : "memory");
}
FORCE void copyCommit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int N>
FORCE void copyWait() {
    asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
}

// Sum over a block of up to 1,024 threads; every thread gets it. `scratch` holds 32 floats.
FORCE float blockSum(float v, float* scratch) {
    v = warpSum(v);
    const int warp = threadIdx.x / 32, warps = blockDim.x / 32;
    __syncthreads();
    if (threadIdx.x % 32 == 0) scratch[warp] = v;
    __syncthreads();
    float s = 0;
    for (int i = 0; i < warps; i++) s += scratch[i];
    return s;
}

// The same of the largest.
FORCE float blockMax(float v, float* scratch) {
    v = warpMax(v);
    __syncthreads();
    if (threadIdx.x % 32 == 0) scratch[threadIdx.x / 32] = v;
    __syncthreads();
    float m = scratch[0];
    for (int i = 1; i < blockDim.x / 32; i++) m = fmaxf(m, scratch[i]);
    return m;
}

// The nearest e4m3 value, of two the even one; at most 448.
FORCE u8 toFp8(float v) {
    const u32 sign = __float_as_uint(v) >> 24 & 0x80, bits = __float_as_uint(v) & 0x7fffffffu;
    const float size = __uint_as_float(bits);
    u32 code;
    if (size < 0x1p-6f) {
        code = (u32)rintf(size * 512.f);
    } else {
        code = ((bits + 0x7ffffu + (bits >> 20 & 1)) >> 20) - (120 << 3);
        code = code < 0x7e ? code : 0x7e;
    }
    return (u8)(sign | code);
}
FORCE float fromFp8(u8 code) { return __uint_as_float((code & 0x80u) << 24 | (code & 0x7fu) << 20) * 0x1p120f; }

// Two of them, in the low half, as two bf16: exactly. Their bits are those of a bf16 that is 2^-120 of them.
FORCE u32 wideFp8(u32 two) {
    u32 spread, r;
    asm("prmt.b32 %0, %1, 0, 0x1404;" : "=r"(spread) : "r"(two));
    const u32 small = (spread >> 4 & 0x07f007f0u) | (spread & 0x80008000u);
    // Times 2^120, less 0: a product alone is no instruction on sm_80.
    asm("fma.rn.bf16x2 %0, %1, %2, %3;" : "=r"(r) : "r"(small), "r"(0x7b807b80u), "r"(0x80008000u));
    return r;
}

// Four of them in a word, the first in the lowest byte.
FORCE u32 packFp8(float a, float b, float c, float d) {
#if __CUDA_ARCH__ >= 890
    u16 low, high;
    asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;" : "=h"(low) : "f"(b), "f"(a));
    asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;" : "=h"(high) : "f"(d), "f"(c));
    return (u32)high << 16 | low;
#else
    return toFp8(a) | toFp8(b) << 8 | toFp8(c) << 16 | (u32)toFp8(d) << 24;
#endif
}
// What a vector with this largest size is divided by, to be e4m3.
FORCE float scaleOfFp8(float most) { return most > 0 ? __fdiv_rn(most, 448.f) : 1.f; }

// A step as the host describes it: one buffer of words, copied once a step. The offsets are words and depend on the
// step's bucket only; StepDescriptor.java holds the same list.
constexpr int SHARES = 304;  // of contexts, at most
struct Step {
    const int* words;
    int maxTokens, maxRows;
    FORCE int tokens() const { return words[0]; }
    FORCE int decodeRows() const { return words[1]; }
    FORCE int prefillItems() const { return words[2]; }
    FORCE int samples() const { return words[3]; }
    FORCE int tableUpdates() const { return words[4]; }
    FORCE int admissions() const { return words[5]; }
    FORCE int parity() const { return words[6]; }
    FORCE int serial() const { return words[7]; }  // of the step, the same on all ranks
    FORCE const int* tokenId() const { return words + 16; }
    FORCE const int* tokenPosition() const { return tokenId() + maxTokens; }
    FORCE const int* tokenSlot() const { return tokenPosition() + maxTokens; }
    // Rows that attend with at most 16 queries a key/value head: index into the four row arrays.
    FORCE const int* decodeRow() const { return tokenSlot() + maxTokens; }
    FORCE const int* rowSlot() const { return decodeRow() + maxRows; }
    FORCE const int* rowStart() const { return rowSlot() + maxRows; }
    FORCE const int* rowCount() const { return rowStart() + maxRows; }
    FORCE const int* rowOffset() const { return rowCount() + maxRows; }
    FORCE const int* sampleToken() const { return rowOffset() + maxRows; }
    FORCE const int* sampleSlot() const { return sampleToken() + maxRows; }
    FORCE const int* samplePosition() const { return sampleSlot() + maxRows; }
    // Pairs (row, first query of a tile), those that see the most keys last.
    FORCE const int* prefillItem() const { return samplePosition() + maxRows; }
    // Where each block's share of the contexts begins, and where the last one ends (ContextShares.java), 3 words each.
    FORCE const int* contextCut() const { return prefillItem() + 2 * (maxTokens + maxRows); }
    // Triples (slot, index, block); behind the last, the admissions: slot, words of its record, tokens, generated among
    // them (the last ones); the record; the tokens (with penalties only).
    FORCE const int* tableUpdate() const { return contextCut() + 3 * (SHARES + 1); }
};
